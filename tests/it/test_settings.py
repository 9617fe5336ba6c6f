"""Keys of the schema whose effect no other test is about: each is set, and what it changes is seen (schema_keys.py)."""

import contextlib
import hashlib
import hmac
import json
import ssl
import struct
import time

import pytest

import h1
import h2
import pki
from attack_tokens import b64
from conftest import Stable
from harness import chat, wait_for

KEY = "authorization"
SECRET = "a secret of more than thirty-two bytes, and more than sixty-four bytes for the longer hash"


@pytest.fixture(scope="module")
def tuned(tmp_path_factory, keyfile, make_config):
    """tuned(key={...}): the one gateway of this module, reloaded with these settings; and its sim."""
    secret = keyfile.folder / "secret"  # in a folder that the sandbox knows from the start
    secret.write_text(SECRET)
    with Stable(tmp_path_factory.mktemp("tuned"), keyfile.keys, make_config) as made:
        sim = made.sim("--tokens-per-s", "0", "--slots", "8", "--models",
                       "tiny:268.10M,embed:22.57M,other:1B").warm("tiny", "embed")
        corral = made.corral(sim, slots=8)
        corral.sim, corral.secret = sim, str(secret)

        def tune(**settings):
            config = json.loads(json.dumps(corral.config))
            for name, value in settings.items():
                config[name] = {**config.get(name, {}), **value} if isinstance(value, dict) else value
            corral.reload(config)
            return corral
        yield tune


# ---- issuers ----


def token(alg="HS256", kid="k1", lifetime=60, **claims):
    now = int(time.time())
    payload = {"iss": "me", "aud": "corral", "tenant": "acme", "sub": "ann", "iat": now, "exp": now + lifetime}
    payload.update(claims)
    header = {"alg": alg, "typ": "JWT", **({"kid": kid} if kid else {})}
    data = (b64(json.dumps(header).encode()) + "." + b64(json.dumps(payload).encode())).encode()
    return data.decode() + "." + b64(hmac.new(SECRET.encode(), data, getattr(hashlib, "sha" + alg[2:])).digest())


ISSUER = {"issuer": "me", "audience": ["corral"], "kid": "k1"}

# key -> (what is changed in ISSUER, a token that is good then, one that would be good without the change)
ISSUERS = {
    "issuer": ({"issuer": "you"}, {"iss": "you"}, {}),
    "audience": ({"audience": ["a", "b"]}, {"aud": "b"}, {}),
    "kid": ({"kid": "k2"}, {"kid": "k2"}, {}),
    "algorithm": ({"algorithm": "HS512"}, {"alg": "HS512"}, {}),
    "tenant": ({"tenant": "beta"}, {"tenant": "nobody"}, None),
    "max_token_lifetime_s": ({"max_token_lifetime_s": 100}, {}, {"lifetime": 200}),
    "claims.tenant": ({"claims": {"tenant": "org"}}, {"org": "acme", "tenant": "nobody"}, {}),
}


@pytest.mark.parametrize("key", ISSUERS)
def test_what_an_issuer_says(tuned, key):
    changes, good, bad = ISSUERS[key]
    corral = tuned(issuers=[{**ISSUER, **changes, "keys_file": tuned().secret}])
    answer = corral.ask(h1.get("/api/tags", token(**good)))
    assert answer.status == 200, answer
    assert corral.access(answer.field("X-Request-Id"))["tenant"] == changes.get("tenant", "acme")
    if bad is not None:
        assert corral.ask(h1.get("/api/tags", token(**bad))).status == 401


def test_claims_have_the_names_that_are_set(tuned):
    """user, verbs, models: each by another name, and the usual ones mean nothing then."""
    claims = {"user": "who", "verbs": "may", "models": "sees"}
    corral = tuned(issuers=[{**ISSUER, "keys_file": tuned().secret, "claims": claims}])
    usual = token(sub="eve", verbs=["show"], models=["none"], who="ann")
    answer = corral.ask(h1.post("/api/chat", chat(), usual))
    assert answer.status == 200 and corral.access(answer.field("X-Request-Id"))["user"] == "ann"
    narrow = token(who="ann", may=["list", "chat"], sees=["other"])
    assert corral.ask(h1.post("/api/generate", {"model": "other"}, narrow)).status == 403
    assert corral.ask(h1.post("/api/chat", chat(), narrow)).status == 403
    assert [m["name"] for m in corral.ask(h1.get("/api/tags", narrow)).json["models"]] == ["other:latest"]


# ---- models and bodies ----


def test_models_have_settings_of_their_own(tuned):
    """name, options.allowed: for the first entry that covers the model, and for no other."""
    corral = tuned(models=[{"name": "tin*", "options": {"allowed": ["num_gpu", "use_mmap"]}},
                           {"name": "tiny", "options": {"allowed": ["num_thread"]}}])
    asked = {"num_gpu": 1, "use_mmap": True, "num_thread": 2, "temperature": 0.5}
    for model, kept in (("tiny", {"num_gpu", "use_mmap", "temperature"}), ("other", {"temperature"})):
        assert corral.post("/api/chat", {**chat(model), "options": asked}).status == 200
        assert set(json.loads(corral.sim.last("/api/chat")[2])["options"]) == kept


def test_cloud_models_are_let_through_where_it_says_so(tuned):
    body = {"model": "big:cloud", "messages": [{"role": "user", "content": "x"}]}
    assert tuned().post("/api/chat", body).status == 403
    corral = tuned(models=[{"name": "big*", "allow_remote": True}])
    assert corral.post("/api/chat", body).status == 404, "no replica has it"


PICTURE = "QUFB"  # three bytes
COUNTS = {
    "images_bytes": ({"images_bytes": 8}, "/api/generate", {"model": "tiny", "prompt": "x", "images": [PICTURE] * 2},
                     {"model": "tiny", "prompt": "x", "images": [PICTURE] * 3}),
    "image_bytes": ({"image_bytes": 5}, "/api/generate", {"model": "tiny", "prompt": "x", "images": [PICTURE]},
                    {"model": "tiny", "prompt": "x", "images": [PICTURE * 2]}),
    "images": ({"images": 1}, "/api/generate", {"model": "tiny", "prompt": "x", "images": [PICTURE]},
               {"model": "tiny", "prompt": "x", "images": [PICTURE] * 2}),
    "messages": ({"messages": 2}, "/api/chat", {"model": "tiny", "messages": [{"role": "user", "content": "x"}] * 2},
                 {"model": "tiny", "messages": [{"role": "user", "content": "x"}] * 3}),
    "inputs": ({"inputs": 2}, "/api/embed", {"model": "embed", "input": ["a", "b"]},
               {"model": "embed", "input": ["a", "b", "c"]}),
    "body_bytes": ({"body_bytes": 1024}, "/api/chat", chat(), {**chat(), "more": "x" * 1024}),
}


@pytest.mark.parametrize("key", COUNTS)
def test_how_large_and_how_many(tuned, key):
    limits, path, fits, too_much = COUNTS[key]
    corral = tuned(limits=limits)
    assert corral.post(path, fits).status != 413
    assert corral.post(path, too_much).status == 413
    assert tuned().post(path, too_much).status != 413


# ---- HTTP/2 ----


@contextlib.contextmanager
def wired(corral, **kwargs):
    with h2.Connection(corral.address, **kwargs) as c:
        assert c.until(lambda: c.peer and c.acked), "no SETTINGS"
        yield c


def begin(corral, c):
    """A stream whose body does not come."""
    return c.headers(c.fields("POST", "/api/chat", [(KEY, "Bearer " + corral.key())]), end=False)


def reset_mine(corral, c):
    return c.rst(begin(corral, c))


def reset_yours(corral, c):
    """A head that is malformed: corral resets the stream."""
    return c.headers([*c.fields(), ("connection", "close")])


def stale(corral, c):
    stream = reset_yours(corral, c)
    assert c.until(lambda: c.stream(stream).over)
    return c.send(h2.frame(h2.DATA, 0, stream, b"x") * 20)


def parts(corral, c):
    """A head in one HEADERS and two CONTINUATION frames."""
    return c.headers(c.fields(), more=([("a", "b")], [("c", "d")]))


def empty(corral, c):
    return c.send(h2.frame(h2.DATA, 0, begin(corral, c)) * 20)


def frames(data):
    return lambda corral, c: c.send(data * 20)


# key -> (settings, what is done, how often, why it ends). What the defaults allow.
ENOUGH = {
    "pings_per_s": (2, frames(h2.frame(h2.PING, 0, 0, b"12345678")), 1, "h2_pings"),
    "settings_per_s": (2, frames(h2.settings({4: 65535})), 1, "h2_settings"),
    "priorities_per_s": (2, frames(h2.frame(h2.PRIORITY, 0, 5, b"\0\0\0\0\x10")), 1, "h2_priorities"),
    "window_updates_per_s": (2, frames(h2.frame(h2.WINDOW, 0, 0, b"\0\0\0\1")), 1, "h2_window_updates"),
    "unknown_frames_per_s": (2, frames(h2.frame(0xbb, 0, 0, b"x")), 1, "h2_unknown_frames"),
    "empty_data_per_s": (2, empty, 1, "h2_empty_data"),
    "stale_frames_per_s": (2, stale, 1, "h2_stale_frames"),
    "continuations_per_head": (1, parts, 1, "h2_continuations"),
    "resets_received_burst": (5, reset_mine, 20, "h2_resets_received"),
    "resets_before_response": (5, reset_mine, 20, "h2_resets_before_response"),
    "resets_sent_burst": (5, reset_yours, 20, "h2_resets_sent"),
    "resets_sent_lifetime": (5, reset_yours, 20, "h2_resets_sent"),
    "frames_lifetime": (5, frames(h2.frame(h2.PING, 0, 0, b"12345678")), 1, "h2_pings"),
}


def ended(corral, reason):
    return corral.metrics().sum("corral_http2_ended_total", reason=reason)


@pytest.mark.parametrize("key", ENOUGH)
def test_budgets_of_a_connection(tuned, key):
    value, act, times, reason = ENOUGH[key]
    for settings, ends in (({}, False), ({key: value}, True)):
        corral = tuned(http2=settings)
        before = ended(corral, reason)
        with wired(corral, window=65535) as c:
            for _ in range(times):
                act(corral, c)
            if ends:
                assert c.wait_goaway() is not None, "the connection goes on"
                wait_for(lambda: ended(corral, reason) > before, 3, reason)
            else:
                pings = c.pings
                c.frame(h2.PING, 0, 0, b"87654321")
                assert c.until(lambda: c.pings > pings) and not c.goaways, c.goaways


@pytest.mark.parametrize("kind,act", [("received", reset_mine), ("sent", reset_yours)])
def test_resets_come_back(tuned, kind, act):
    """resets_received_per_s and resets_sent_per_s: thirty of them, five at once and the rest as they come back."""
    per_s = {"received": "resets_received_per_s", "sent": "resets_sent_per_s"}[kind]
    corral = tuned(http2={"resets_%s_burst" % kind: 5, per_s: 1000, "resets_before_response": 1000})
    with wired(corral) as c:
        for i in range(30):
            act(corral, c)
            if i % 4 == 3:
                c.frame(h2.PING, 0, 0, b"12345678")
                time.sleep(0.02)
        pings = c.pings
        c.frame(h2.PING, 0, 0, b"87654321")
        assert c.until(lambda: c.pings > pings) and not c.goaways, c.goaways


def test_what_a_connection_is_told_at_its_beginning(tuned):
    """max_streams, stream_window_bytes, connection_window_bytes."""
    corral = tuned(http2={"max_streams": 7, "stream_window_bytes": 20000, "connection_window_bytes": 70000})
    with h1.Client(corral.address) as raw:
        raw.send(h2.PREFACE + h2.settings())
        raw.until(h2.frame(h2.WINDOW, 0, 0, struct.pack(">I", 70000 - 65535)))
    with wired(corral) as c:
        assert (c.peer[h2.MAX_STREAMS], c.peer[h2.INITIAL_WINDOW]) == (7, 20000)
        streams = [begin(corral, c) for _ in range(8)]
        assert c.until(lambda: c.stream(streams[-1]).over) and c.stream(streams[-1]).end == h2.REFUSED
        assert not any(c.stream(s).over for s in streams[:-1])


# ---- the process ----


def test_workers_are_as_many_as_it_says(stable):
    corral = stable.corral(stable.sim(), workers=3)
    assert corral.logged("start")[0]["workers"] == 3


def test_the_level_of_the_log(tuned):
    corral = tuned(log={"level": "error"})
    answer = corral.post("/api/chat", chat())
    corral = tuned()
    after = corral.post("/api/chat", chat())
    corral.access(after.field("X-Request-Id"))
    assert answer.field("X-Request-Id") not in corral.text()


def test_certificates_keys_and_addresses_are_where_it_says(stable, make_config, tmp_path):
    """listeners[].address and tls, tls.certificates[].chain and key, health.address, metrics.address, log.file."""
    authority = pki.Authority(tmp_path)
    chain, key = authority.leaf(tmp_path, "mine")
    config = make_config([stable.sim("--tokens-per-s", "0").warm()], log={"file": str(tmp_path / "log")},
                         tls={"certificates": [{"chain": chain, "key": key}]})
    config["listeners"][0]["tls"] = True
    corral = stable.serve(config)
    made = ssl.create_default_context(cafile=str(authority.file))
    assert h1.ask(corral.address, h1.get("/api/tags", corral.key()), tls=made, name="localhost").status == 200
    assert h1.ask(corral.health, h1.get("/healthz")).status == 200
    assert h1.ask(corral.metrics_address, h1.get("/metrics")).status == 200
    wait_for(lambda: '"access"' in (tmp_path / "log").read_text(), 3, "the line")
