"""What one client may take of what all share: connections, failed logins, log lines, the health port."""

import contextlib
import socket
import threading
import time

import jwt
import pytest

import h1
import h2
from harness import release, together, wait_for

WIRES = {"h1": h1, "h2": h2}


@pytest.fixture(params=sorted(WIRES))
def protocol(request):
    return WIRES[request.param]


def on(corral, wire, tenant="acme", source=None, path="/api/tags"):
    """A connection on which a request was answered, and the answer."""
    client = wire.Client(corral.address, source=source)
    return client, client.send(h1.get(path, corral.key(tenant))).answer()


@contextlib.contextmanager
def crowd(corral, wire, count, **kwargs):
    """So many connections of one tenant, all of them let in."""
    held = [on(corral, wire, **kwargs) for _ in range(count)]
    assert {answer.status for _, answer in held} <= {200}, [a for _, a in held if a.status != 200][:2]
    try:
        yield [client for client, _ in held]
    finally:
        for client, _ in held:
            client.close()


# ---- connections ----

def test_a_tenant_has_a_share_of_connections(stable, protocol):
    """At its edge, and to this tenant alone; what it gives back it may take again."""
    corral = stable.corral(stable.sim(), limits={"connections_per_tenant": 5})
    with crowd(corral, protocol, 5) as held:
        client, answer = on(corral, protocol)
        assert answer.status == 429 and answer.field("Retry-After"), answer
        assert client.wait_end(3), "the connection stays"
        assert corral.metrics().sum("corral_limited_total", tenant="acme", limit="too_many_of_tenant") == 1
        assert on(corral, protocol, "beta")[1].status == 200
        assert corral.metrics().sum("corral_tenant_connections", tenant="acme") == 5
        held[0].close()
        wait_for(lambda: corral.metrics().sum("corral_tenant_connections", tenant="acme") == 4, 3, "one to end")
        assert on(corral, protocol)[1].status == 200


def test_by_itself_a_tenant_has_half_of_all_connections(stable):
    corral = stable.corral(stable.sim(), limits={"connections": 40})
    with crowd(corral, h1, 20):
        assert on(corral, h1)[1].status == 429
        with crowd(corral, h1, 10, tenant="beta"):
            pass


def test_the_last_tenth_of_connections_is_kept(stable):
    """For tenants that hold fewer than ten: 36 of 40 are others', acme holds ten of them."""
    corral = stable.corral(stable.sim(), limits={"connections": 40, "connections_per_tenant": 30})
    with crowd(corral, h1, 10), crowd(corral, h1, 26, tenant="beta"):
        _, answer = on(corral, h1)
        assert answer.status == 503 and answer.field("Retry-After"), answer
        client, answer = on(corral, h1, "lister")
        assert answer.status == 200
        client.close()


def test_an_address_has_a_share_of_connections_with_a_credential_too(stable, protocol):
    corral = stable.corral(stable.sim(), limits={"connections_per_known_address": 4})
    with crowd(corral, protocol, 4, source="127.0.0.3"):
        client, answer = on(corral, protocol, source="127.0.0.3")
        assert answer.status == 429 and client.wait_end(3)
        assert on(corral, protocol, source="127.0.0.4")[1].status == 200


def test_trusted_sources_may_hold_many_connections(stable, make_config):
    """Behind them are many clients: with a credential only the share of the tenant holds."""
    config = make_config([stable.sim()], limits={"connections_per_address": 2, "connections_per_known_address": 2,
                                                 "connections_per_trusted_address": 3, "connections_per_tenant": 8})
    config["listeners"][0]["trusted_sources"] = ["127.0.0.9/32"]
    corral = stable.serve(config)
    with crowd(corral, h1, 8, source="127.0.0.9"):
        assert on(corral, h1, source="127.0.0.9")[1].status == 429
        assert on(corral, h1, "beta", source="127.0.0.9")[1].status == 200


def test_silent_strangers_make_room(stable):
    """All connections are in use by peers that say nothing: who comes is served all the same."""
    corral = stable.corral(stable.sim(), workers=1, limits={"connections": 10})
    silent = [socket.create_connection(corral.address) for _ in range(10)]
    wait_for(lambda: corral.metrics().sum("corral_open_connections") == 10, 3, "the strangers")
    time.sleep(1.2)
    for _ in range(5):
        assert corral.get("/api/tags").status == 200
    for one in silent:
        one.close()


@pytest.mark.parametrize("wire", ["h1", "h2"])
def test_a_stranger_idles_briefly(stable, wire):
    """As long as the first request may take, by both protocols, also after a refusal."""
    corral = stable.corral(stable.sim(), timeouts={"handshake_s": 1, "head_s": 1, "idle_s": 60})
    with WIRES[wire].Client(corral.address) as quiet, WIRES[wire].Client(corral.address) as refused:
        if wire == "h2":
            assert quiet.wire.until(lambda: quiet.wire.acked, 2)
        assert refused.send(h1.get("/api/tags")).answer().status == 401
        began = time.monotonic()
        assert quiet.wait_end(5) != "open" and time.monotonic() - began < 4
        assert refused.wait_end(5) != "open" and time.monotonic() - began < 5
    known, _ = on(corral, WIRES[wire])
    assert known.wait_end(4) in ("open", None)


# ---- failed logins ----

def wrong(corral, key="ck_" + "A" * 43, **kwargs):
    return corral.ask(h1.get("/api/tags", key), **kwargs)


def token(text="a.b.c"):
    return h1.get("/api/tags", text)


def test_what_is_no_guess_does_not_count(stable):
    """Requests without a credential, however many, lock nobody out."""
    corral = stable.corral(stable.sim(), workers=1, limits={"auth_failures_per_10s": 3})
    for _ in range(10):
        assert corral.ask(h1.get("/api/tags")).status == 401
    assert corral.ask(token()).status == 401, "still looked at"


def test_too_many_guesses_are_told_so(stable):
    corral = stable.corral(stable.sim(), workers=1, limits={"auth_failures_per_10s": 3})
    for _ in range(3):
        assert wrong(corral).status == 401
    answer = corral.ask(token())
    assert answer.status == 429 and answer.field("Retry-After") == "10", answer
    assert corral.get("/api/tags").status == 200, "an API key costs nothing to look at"


def test_trusted_sources_have_more_guesses(stable, make_config):
    config = make_config([stable.sim()], workers=1, limits={"auth_failures_per_10s": 3, "trusted_auth_failures_per_10s": 8})
    config["listeners"][0]["trusted_sources"] = ["127.0.0.9/32"]
    corral = stable.serve(config)
    for source, bound in (("127.0.0.8", 3), ("127.0.0.9", 8)):
        for _ in range(bound):
            assert wrong(corral, source=source).status == 401
        assert corral.ask(token(), source=source).status == 429


# ---- log lines ----

def test_strangers_lines_are_sampled_and_counted(stable):
    corral = stable.corral(stable.sim(), workers=1, log={"refusals_per_10s": 5})
    for _ in range(30):
        assert corral.ask(h1.get("/x")).status in (401, 404)
    assert corral.get("/api/tags").status == 200
    wait_for(lambda: [x for x in corral.logged("access") if x["status"] == 200], 3, "the good line")
    assert len([x for x in corral.logged("access") if x["status"] != 200]) == 5
    assert corral.metrics().sum("corral_log_sampled_total") == 25
    corral.stop()
    assert [x["left_out"] for x in corral.logged("access.sampled")] == [25]


def test_no_line_of_a_tenant_is_lost_to_strangers(stable, monkeypatch):
    """Requests without a credential as fast as they can be sent, beside a client whose every line counts."""
    monkeypatch.setenv("CORRAL", release())
    corral = stable.corral(stable.sim(), workers=1, log={"refusals_per_10s": 20})
    over = threading.Event()

    def flood(_):
        pipelined = h1.get("/x") * 200
        while not over.is_set():
            with contextlib.suppress(OSError, AssertionError):
                with corral.client() as client:
                    client.send(pipelined)
                    for _ in range(200):
                        client.answer()
    thread = threading.Thread(target=lambda: together(2, flood), daemon=True)
    thread.start()
    ids = []
    began = time.monotonic()
    while time.monotonic() - began < 3:
        answer = corral.get("/api/tags")
        assert answer.status == 200
        ids.append(answer.field("X-Request-Id"))
    over.set()
    thread.join(20)
    time.sleep(0.3)
    lines = {x["request_id"] for x in corral.logged("access")}
    assert [i for i in ids if i not in lines] == [], "of %d" % len(ids)
    assert corral.metrics().sum("corral_log_dropped_total") == 0
    assert corral.metrics().sum("corral_log_sampled_total") > 100


# ---- health and metrics ----

def test_an_address_holds_a_few_of_the_health_ports_connections(stable):
    """32 of one address, 256 in all: the oldest silent ones are closed."""
    corral = stable.corral(stable.sim())

    def silent(source):
        one = socket.socket()
        one.bind((source, 0))
        one.connect(corral.health)
        return one

    def still_open(peers):
        count = 0
        for one in peers:
            try:
                count += one.recv(1, socket.MSG_DONTWAIT) != b""
            except BlockingIOError:
                count += 1
            except OSError:
                pass
        return count
    one_address = [silent("127.0.0.1") for _ in range(40)]
    wait_for(lambda: still_open(one_address) == 32, 3, "eight to be closed")
    assert still_open(one_address[:8]) == 0, "the oldest"
    many = [silent("127.0.2.%d" % (i % 20)) for i in range(400)]
    wait_for(lambda: still_open(one_address + many) == 256, 3, "256 to be left")
    for one in one_address + many:
        one.close()


@pytest.mark.parametrize("port", ["health", "metrics_address"])
def test_a_thousand_silent_peers_keep_no_probe_waiting(stable, monkeypatch, port):
    """From one address and from many, from the probe's own too."""
    monkeypatch.setenv("CORRAL", release())
    corral = stable.corral(stable.sim())
    address, path = getattr(corral, port), "/healthz" if port == "health" else "/metrics"
    silent, slowest = [], 0
    for i in range(1000):
        one = socket.socket()
        one.bind(("127.0.1.%d" % (i % 20) if i % 2 else "127.0.0.1", 0))
        one.connect(address)
        silent.append(one)
        if i % 50 == 49:
            began = time.monotonic()
            assert h1.ask(address, h1.get(path), timeout=2).status == 200
            slowest = max(slowest, time.monotonic() - began)
    for one in silent:
        one.close()
    print("slowest probe: %.1f ms" % (slowest * 1000))
    assert slowest < 0.1


def test_metrics_are_not_for_other_names(stable):
    """A page whose name was made to point here (DNS rebinding) reads nothing; addresses and no Host pass."""
    corral = stable.corral(stable.sim(), server_names=["corral.test"])
    for host, status in (("evil.example", 421), ("127.0.0.1:9464", 200), ("10.1.2.3", 200), ("[fd00::1]:9464", 200),
                         ("localhost", 200), ("corral.test:9464", 200), ("a b", 400)):
        answer = h1.ask(corral.metrics_address, h1.request("GET", "/metrics", host=host))
        assert answer.status == status, (host, answer)
    answer = h1.ask(corral.metrics_address, b"GET /metrics HTTP/1.0\r\n\r\n")
    assert answer.status == 200


# ---- lists ----

def test_a_list_is_shared_only_by_who_may_see_the_same(stable, tmp_path):
    """Tokens of one tenant whose own models differ, again and again on one worker, beside an API key."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"0123456789abcdef0123456789abcdef")
    secret.chmod(0o600)
    sim = stable.sim("--models", "tiny:268.10M,embed:22.57M,other:1B")
    corral = stable.corral(sim, workers=1, issuers=[
        {"issuer": "test", "audience": ["corral"], "keys_file": str(secret), "kid": "one"}])
    wait_for(lambda: b"other" in corral.get("/api/tags").body, 5, "the models")

    def token_of(*models):
        now = int(time.time())
        claims = {"iss": "test", "aud": "corral", "sub": "ann", "tenant": "acme", "iat": now, "exp": now + 600,
                  "models": list(models)}
        return jwt.encode(claims, secret.read_bytes(), algorithm="HS256", headers={"kid": "one"})
    every = {"tiny", "embed", "other"}
    callers = [(corral.key(), every), (token_of("tiny"), {"tiny"}), (token_of("embed", "other"), {"embed", "other"}),
               (token_of("embed,other"), set()), (token_of(), set()), (token_of("*"), every),
               (corral.key("lister"), {"embed"})]
    for _ in range(3):
        for path in ("/api/tags", "/v1/models"):
            for key, expected in callers:
                body = corral.ask(h1.get(path, key)).json
                names = {m["name"] for m in body["models"]} if "models" in body else {m["id"] for m in body["data"] or []}
                assert {name.split(":")[0] for name in names} == expected, (path, expected, names)
    sim.kill()
    wait_for(lambda: corral.get("/api/tags").status == 503, 10, "the end of a list that nobody has any more")


# ---- a document in Open WebUI: a hundred and fifty requests at once ----

def default_limits(make_config, sim, **listener):
    config = make_config([sim])
    del config["limits"], config["log"]
    config["listeners"][0].update(listener)
    return config


def embed_at_once(corral, protocol, count):
    """All are connected before the first one sends: their answers, None for who was closed."""
    clients = [protocol.Client(corral.address, timeout=30) for _ in range(count)]
    data = h1.post("/api/embed", {"model": "embed", "input": "x"}, corral.key())

    def ask(i):
        try:
            return clients[i].send(data).answer()
        except OSError:
            return None
        finally:
            clients[i].close()
    return together(count, ask)


def test_a_document_of_open_webui_is_embedded_with_the_defaults(stable, make_config, protocol):
    sim = stable.sim("--models", "embed:22M").warm("embed")
    corral = stable.serve(default_limits(make_config, sim, trusted_sources=["127.0.0.0/8"]))
    answers = embed_at_once(corral, protocol, 150)
    wrong = [a for a in answers if a is None or a.status != 200]
    assert not wrong, "%d of 150: %s" % (len(wrong), wrong[:2])


def test_a_refused_connection_leaves_a_line_that_names_the_setting(stable, make_config):
    corral = stable.serve(default_limits(make_config, stable.sim()))
    held = [h1.Client(corral.address) for _ in range(150)]
    refused = 150 - 64
    wait_for(lambda: corral.metrics().sum("corral_connections_refused_total") == refused, 5, "the refusals")
    wait_for(lambda: len(corral.logged("connection.refused")) >= 10, 5, "lines")
    lines = corral.logged("connection.refused")
    assert all(line["reason"] == "too_many_from_address" and "connections_per_address" in line["detail"]
               and "trusted_sources" in line["detail"] for line in lines), lines[0]
    assert len(lines) <= 2 * 20 < refused, "a line for each, up to log.refusals_per_10s of a worker"
    for client in held:
        client.close()
