"""Where clients come in: sockets in the file system, and load balancers that speak for them."""

import os
import socket
import stat
import ssl
import struct
import time

import pytest

import h1
import pki
from conftest import Stable
from harness import chat, wait_for
from relay import Relay

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def header(source="192.0.2.7", port=40000, command=0x21, family=None, extra=b""):
    """A PROXY header, version 2."""
    if ":" in source:
        block = socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, "::1")
        family = 0x21 if family is None else family
    else:
        block = socket.inet_aton(source) + socket.inet_aton("127.0.0.1")
        family = 0x11 if family is None else family
    block += struct.pack(">HH", port, 8443) + extra
    return SIGNATURE + bytes([command, family]) + struct.pack(">H", len(block)) + block


LOCAL = SIGNATURE + b"\x20\x00\0\0"
UNSPEC = SIGNATURE + b"\x21\x00\0\0"


@pytest.fixture
def sim(stable):
    return stable.sim("--tokens-per-s", "0", "--slots", "8").warm()


def at_path(make_config, sims, path, **more):
    config = make_config(sims, **more)
    config["listeners"][0]["address"] = "unix:%s" % path
    return config


def client_of(corral, answer):
    return corral.access(answer.field("X-Request-Id"))["client"]


# ---- sockets in the file system ----

def test_clients_come_in_by_a_path(stable, sim, make_config, tmp_path):
    path = tmp_path / "corral.sock"
    corral = stable.serve(at_path(make_config, [sim], path, slots=8))
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o660
    answer = corral.post("/api/chat", chat(tokens=20))
    assert (answer.status, answer.end, len(answer.lines)) == (200, "whole", 21)
    assert client_of(corral, answer) == "unix"
    assert corral.get("/api/tags", None).status == 401
    # A client that leaves is noticed here too.
    client = corral.open_chat(tokens=50000000)
    client.until(b'"done":false')
    client.close()
    corral.wait_idle()
    assert sim.stat("aborted") >= 1
    assert corral.stop() == 0
    assert not path.exists()


def test_tls_by_a_path(stable, sim, make_config, tmp_path):
    authority = pki.Authority(tmp_path)
    chain, key = authority.leaf(tmp_path, "leaf")
    config = at_path(make_config, [sim], tmp_path / "s",
                     tls={"certificates": [{"chain": chain, "key": key}]})
    config["listeners"][0]["tls"] = True
    corral = stable.serve(config)
    made = ssl.create_default_context(cafile=str(authority.file))
    assert corral.post("/api/chat", chat(), tls=made, name="localhost").status == 200


def test_all_peers_of_a_path_are_one_source(stable, sim, make_config, tmp_path):
    corral = stable.serve(at_path(make_config, [sim], tmp_path / "s", limits={
        "connections_per_address": 3, "connections_per_trusted_address": 5}))
    strangers = [corral.client() for _ in range(5)]
    for one in strangers:
        one.send(h1.get("/api/version"))
        assert one.answer().status == 401
    with corral.client() as sixth:
        assert sixth.wait_end(2) in ("fin", "rst")
    strangers[0].send(h1.get("/api/version", corral.key()))
    assert strangers[0].answer().status == 200  # known now, and no longer counted
    assert corral.get("/api/version").status == 200
    for one in strangers:
        one.close()


def test_a_stale_socket_is_replaced_and_nothing_else(stable, sim, make_config, tmp_path):
    path = tmp_path / "s"
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()  # bound, and nobody listens: what a crash leaves
    corral = stable.serve(at_path(make_config, [sim], path))
    assert corral.get("/api/version").status == 200
    # A second one does not take it away.
    second = stable.serve(at_path(make_config, [sim], path), wait=False)
    second.exit_expected = 1
    assert second.wait_exit() == 1
    assert "Address already in use" in second.text()
    assert corral.get("/api/version").status == 200
    # Nor is a file that is no socket.
    file = tmp_path / "file"
    file.write_text("mine")
    third = stable.serve(at_path(make_config, [sim], file), wait=False)
    third.exit_expected = 1
    assert third.wait_exit() == 1
    assert "File exists" in third.text()
    assert file.read_text() == "mine"


def test_a_successor_s_socket_is_left_alone(stable, sim, make_config, tmp_path):
    path = tmp_path / "s"
    old = stable.serve(at_path(make_config, [sim], path))
    stream = old.open_chat(tokens=50000000)
    stream.until(b'"done":false')
    old.signal(15)
    wait_for(lambda: h1_refused(str(path)), 3, "the drain")
    new = stable.serve(at_path(make_config, [sim], path))
    stream.close()
    assert old.wait_exit() == 0
    assert new.get("/api/version").status == 200


def h1_refused(path):
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) != 0


def test_replicas_by_a_path(stable, sim, make_config, tmp_path):
    relay = Relay(sim.address, str(tmp_path / "ollama.sock"))
    corral = stable.serve(make_config([], replicas=[{"url": "unix:%s" % relay.path, "slots": 4}],
                                      queue={"replica_grace_s": 0}))
    answer = corral.post("/api/chat", chat(tokens=20))
    assert (answer.status, answer.end, len(answer.lines)) == (200, "whole", 21)
    line = corral.access(answer.field("X-Request-Id"))
    assert line["replica"] == "unix:%s" % relay.path
    assert sim.last()[1]["host"] == ["localhost"]
    relay.close()
    wait_for(lambda: corral.logged("replica.down"), 5, "the loss to be seen")
    assert corral.post("/api/chat", chat()).status == 503


# ---- PROXY ----

def proxied(make_config, sims, **more):
    config = make_config(sims, slots=8, **more)
    config["listeners"][0].update(proxy_protocol=True, trusted_sources=["127.0.0.1/32"])
    return config


def refusals(corral, reason):
    return corral.metrics().sum("corral_connections_refused_total", reason=reason)


@pytest.mark.parametrize("preface,client", [
    (header(), "192.0.2.7"), (header("2001:db8::9"), "2001:db8::9"),
    (header(extra=b"\x02\x00\x05corra"), "192.0.2.7"), (header(extra=b"x" * 508), "192.0.2.7"),
    (LOCAL, "127.0.0.1"), (UNSPEC, "127.0.0.1"), (header(command=0x20), "127.0.0.1")])
def test_the_header_s_address_is_the_client(proxy, preface, client):
    answer = proxy.post("/api/chat", chat(), preface=preface)
    assert answer.status == 200
    assert client_of(proxy, answer) == client


@pytest.fixture(scope="module")
def proxy(tmp_path_factory, keyfile, make_config):
    with Stable(tmp_path_factory.mktemp("proxy"), keyfile.keys, make_config) as made:
        sim = made.sim("--tokens-per-s", "0", "--slots", "8").warm()
        yield made.serve(proxied(make_config, [sim]))


def test_a_header_in_pieces_and_together_with_the_request(proxy):
    with proxy.client() as client:
        for byte in header():
            client.send(bytes([byte]))
        client.send(h1.get("/api/version", proxy.key()))
        assert client.answer().status == 200
        client.send(h1.get("/api/version", proxy.key()))
        assert client.answer().status == 200
    with proxy.client() as client:
        client.send(header() + h1.get("/api/version", proxy.key()))
        assert client.answer().status == 200


@pytest.mark.parametrize("data", [
    b"PROXY TCP4 192.0.2.7 127.0.0.1 40000 8443\r\n", h1.get("/api/version"), b"\x16\x03\x01\0\5hello",
    header(family=0x12), header(family=0x41), header(command=0x22), header(command=0x11),
    SIGNATURE + b"\x21\x11\0\x0b" + bytes(11), header(extra=b"x" * 509), SIGNATURE[:-1] + b"x"])
def test_what_is_no_header_is_closed(proxy, data):
    before, logged = refusals(proxy, "bad_proxy_header"), len(proxy.logged("proxy.refused"))
    with proxy.client() as client:
        client.try_send(data + h1.get("/api/version", proxy.key()))
        assert client.wait_end(2) in ("fin", "rst")
        assert client.data == b""
    wait_for(lambda: refusals(proxy, "bad_proxy_header") == before + 1, 2, "the count")
    wait_for(lambda: len(proxy.logged("proxy.refused")) == logged + 1, 2, "a line")


def test_a_header_cut_short_is_counted_and_a_look_at_the_port_is_not(proxy):
    before = refusals(proxy, "bad_proxy_header")
    proxy.client().close()
    with proxy.client() as client:
        client.send(header()[:20])
        client.leave("half")
        assert client.wait_end(2) in ("fin", "rst")
    wait_for(lambda: refusals(proxy, "bad_proxy_header") == before + 1, 2, "the count")
    wait_for(lambda: proxy.metrics().sum("corral_open_connections") == 0, 2, "no leak")


def test_a_header_from_elsewhere_is_not_believed(proxy):
    before = refusals(proxy, "proxy_source_untrusted")
    with proxy.client(source="127.0.0.2") as client:
        client.try_send(header("10.9.9.9") + h1.get("/api/version", proxy.key()))
        assert client.wait_end(2) in ("fin", "rst")
        assert client.data == b""
    wait_for(lambda: refusals(proxy, "proxy_source_untrusted") == before + 1, 2, "the count")
    line = wait_for(lambda: [x for x in proxy.logged("proxy.refused")
                             if x["reason"] == "proxy_source_untrusted"], 2, "a line")[-1]
    assert line["client"] == "127.0.0.2"


def test_a_header_must_come_within_the_handshake_time(stable, sim, make_config):
    corral = stable.serve(proxied(make_config, [sim], timeouts={"handshake_s": 1}))
    silent, slow = corral.client(), corral.client()
    slow.send(header()[:27])
    began = time.monotonic()
    assert silent.wait_end(8) in ("fin", "rst") and slow.wait_end(8) in ("fin", "rst")
    assert 0.8 < time.monotonic() - began < 5
    wait_for(lambda: refusals(corral, "proxy_header_timeout") == 2, 2, "the counts")


def test_caps_and_failures_are_the_client_s_own(stable, sim, make_config):
    corral = stable.serve(proxied(make_config, [sim], workers=1, limits={
        "connections_per_address": 2, "connections_per_trusted_address": 4,
        "auth_failures_per_10s": 3}))
    held = []
    for source in ("192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"):
        held += [corral.client(preface=header(source)) for _ in range(2)]
        with corral.client(preface=header(source)) as third:
            assert third.wait_end(2) in ("fin", "rst"), source
    wait_for(lambda: refusals(corral, "too_many_from_address") == 4, 2, "the counts")
    for client in held:
        client.send(h1.get("/api/version", corral.key()))
        assert client.answer().status == 200  # and all of them are served
        client.close()
    bad = "x.y.z"

    def reasons(source):
        answers = [corral.ask(h1.get("/api/version", bad), preface=header(source)) for _ in range(5)]
        return [corral.access(a.field("X-Request-Id"))["reason"] for a in answers]
    assert reasons("192.0.2.5")[-1] == "too_many_failures"
    assert reasons("192.0.2.6")[0] != "too_many_failures"


def test_proxy_before_tls_and_by_a_path(stable, sim, make_config, tmp_path):
    authority = pki.Authority(tmp_path)
    chain, key = authority.leaf(tmp_path, "leaf")
    config = proxied(make_config, [sim], tls={"certificates": [{"chain": chain, "key": key}]})
    config["listeners"][0]["tls"] = True
    config["listeners"].append({"address": "unix:%s" % (tmp_path / "s"), "proxy_protocol": True})
    corral = stable.serve(config)
    made = ssl.create_default_context(cafile=str(authority.file))
    answer = corral.post("/api/chat", chat(), preface=header(), tls=made, name="localhost")
    assert (answer.status, client_of(corral, answer)) == (200, "192.0.2.7")
    data = h1.post("/api/chat", chat(), corral.key())
    answer = h1.ask(str(tmp_path / "s"), data, preface=header("192.0.2.8"))
    assert (answer.status, client_of(corral, answer)) == (200, "192.0.2.8")
    answer = h1.ask(str(tmp_path / "s"), data, preface=LOCAL)
    assert (answer.status, client_of(corral, answer)) == (200, "unix")
    # A handshake that fails is told with the client's own address.
    with corral.client(preface=header("192.0.2.9")) as client:
        client.send(b"no hello at all, this is")
        assert client.wait_end(2) in ("fin", "rst")
    line = wait_for(lambda: corral.logged("tls.failed"), 2, "the line")[-1]
    assert line["client"] == "192.0.2.9"


def test_a_drain_ends_while_headers_are_awaited(stable, sim, make_config):
    corral = stable.serve(proxied(make_config, [sim], timeouts={"handshake_s": 60, "drain_s": 30}))
    waiting = [corral.client() for _ in range(3)]
    wait_for(lambda: corral.metrics().sum("corral_open_connections") == 3, 2, "the connections")
    began = time.monotonic()
    corral.signal(15)
    waiting[0].send(header() + h1.get("/api/version", corral.key()))
    assert waiting[0].answer().status == 200  # it was on its way
    assert corral.wait_exit(10) == 0
    assert time.monotonic() - began < 5


def test_proxying_can_be_changed_by_a_reload(stable, sim, make_config):
    config = proxied(make_config, [sim])
    corral = stable.serve(config)
    assert corral.get("/api/version", preface=header()).status == 200
    config["listeners"][0].update(proxy_protocol=False)
    corral.reload(config)
    wait_for(lambda: corral.get("/api/version").status == 200, 3, "plain requests")
