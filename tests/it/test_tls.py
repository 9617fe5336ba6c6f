"""TLS towards clients: versions, certificates, ALPN, renewal without a dropped stream."""

import os
import pathlib
import socket
import ssl
import threading
import time

import pytest

import h1
import pki
from conftest import Stable
from harness import chat, together, wait_for


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pki")
    made = pki.Authority(folder)
    made.pairs = [made.leaf(folder, "leaf-ecdsa"), made.leaf(folder, "leaf-rsa", "rsa")]
    return made


def settings(pairs):
    return {"certificates": [{"chain": chain, "key": key} for chain, key in pairs]}


def tls_config(make_config, sims, pairs, **more):
    config = make_config(sims, tls=settings(pairs), **more)
    config["listeners"][0]["tls"] = True
    return config


@pytest.fixture(scope="module")
def secure(tmp_path_factory, keyfile, make_config, authority):
    with Stable(tmp_path_factory.mktemp("tls"), keyfile.keys, make_config) as made:
        sim = made.sim("--tokens-per-s", "0", "--slots", "8").warm()
        yield made.serve(tls_config(make_config, [sim], authority.pairs, slots=8)), sim


def context(authority, low=None, high=None, alpn=None, ciphers=None):
    made = ssl.create_default_context(cafile=str(authority.file))
    made.set_ciphers((ciphers or "DEFAULT") + ":@SECLEVEL=0")
    if low:
        made.minimum_version = low
    if high:
        made.maximum_version = high
    if alpn:
        made.set_alpn_protocols(alpn)
    return made


@pytest.mark.parametrize("version,name", [(ssl.TLSVersion.TLSv1_2, "TLSv1.2"),
                                          (ssl.TLSVersion.TLSv1_3, "TLSv1.3")])
@pytest.mark.parametrize("alpn", [None, ["http/1.1"], ["spdy/3", "http/1.1"]])
def test_a_stream_over_tls_is_identical(secure, authority, version, name, alpn):
    corral, sim = secure
    made = context(authority, version, version, alpn)
    with corral.client(tls=made, name="localhost") as client:
        assert client.sock.version() == name
        assert client.sock.selected_alpn_protocol() == ("http/1.1" if alpn else None)
        for _ in range(3):
            client.send(h1.post("/api/chat", chat(tokens=50), corral.key()))
            answer = client.answer()
            assert (answer.status, answer.end) == (200, "whole")
            direct = sim.ask(h1.post("/api/chat", chat(tokens=50)))
            assert len(answer.lines) == len(direct.lines)
            assert [x["message"] for x in answer.lines] == [x["message"] for x in direct.lines]


def test_a_large_body_and_a_byte_at_a_time(secure, authority):
    corral, _ = secure
    body = chat()
    body["messages"][0]["content"] = "a" * 3000000
    made = context(authority)
    data = h1.post("/api/chat", body, corral.key())
    assert h1.ask(corral.address, data, tls=made, name="localhost").status == 200
    with corral.client(tls=made, name="localhost") as client:
        for byte in h1.post("/api/chat", chat(), corral.key()):
            client.send(bytes([byte]))
        assert client.answer().status == 200


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_old_versions_are_refused(secure, authority, version):
    corral, _ = secure
    with pytest.raises((ssl.SSLError, OSError)):
        corral.client(tls=context(authority, version, version), name="localhost").close()


def test_both_certificates_are_offered(secure, authority):
    corral, _ = secure
    for ciphers, name in (("ECDHE-ECDSA-AES128-GCM-SHA256", b"leaf-ecdsa"),
                          ("ECDHE-RSA-AES128-GCM-SHA256", b"leaf-rsa")):
        made = context(authority, high=ssl.TLSVersion.TLSv1_2, ciphers=ciphers)
        with corral.client(tls=made, name="localhost") as client:
            assert client.sock.cipher()[0] == ciphers
            assert name in client.sock.getpeercert(True)


def test_alpn_without_a_common_protocol_is_refused(secure, authority):
    corral, _ = secure
    with pytest.raises((ssl.SSLError, OSError)):
        corral.client(tls=context(authority, alpn=["spdy/3"]), name="localhost").close()


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\x16\x03",
                                  b"\x00" * 3000, b"\x16\x03\x01\xff\xff" + b"a" * 60000])
def test_what_is_not_tls_is_closed(secure, data):
    corral, _ = secure
    refused = "corral_connections_refused_total"
    before = corral.metrics().sum(refused)
    with corral.client() as client:
        client.try_send(data)
        if len(data) < 10:
            client.leave("half")
        assert client.wait_end(2) in ("fin", "rst")
        assert b"HTTP" not in client.data
    wait_for(lambda: corral.metrics().sum(refused) == before + 1, 2, "the count")


def test_a_client_that_is_cut_off(secure, authority):
    """Every prefix of a TLS conversation, then RST or FIN without close_notify."""
    corral, sim = secure

    def torn(i):
        client = corral.client(tls=context(authority), name="localhost")
        raw = socket.socket(fileno=client.sock.detach())
        if i % 2:
            raw.send(b"\x17\x03\x03\x00\x40" + b"x" * (i % 64))
        client.sock = raw
        client.leave("rst" if i % 3 else "fin")
    together(24, torn)
    wait_for(lambda: corral.metrics().sum("corral_open_connections") == 0, 8, "closing")
    with corral.client(tls=context(authority), name="localhost") as client:
        client.send(h1.post("/api/chat", chat(tokens=50000000), corral.key()))
        client.until(b'"done":false')
        client.sock = socket.socket(fileno=client.sock.detach())
        client.leave("rst")
        wait_for(lambda: sim.stat("aborted") >= 1, 2, "the abort")
    corral.wait_idle()


def link(folder, target):
    """What the kubelet does: the name `..data` is renamed from one folder to the next."""
    fresh = pathlib.Path(folder) / "..fresh"
    fresh.symlink_to(target)
    os.replace(fresh, pathlib.Path(folder) / "..data")


def serial(corral, authority):
    made = context(authority)
    with corral.client(tls=made, name="localhost") as client:
        return client.sock.getpeercert()["serialNumber"]


def test_s208_s211_a_renewed_certificate_is_used_without_a_dropped_stream(
        stable, tmp_path, authority, make_config):
    mount = tmp_path / "mount"
    for name in ("one", "two", "three"):
        (mount / name).mkdir(parents=True)
    authority.leaf(mount / "one", "tls")
    link(mount, "one")
    pairs = [(str(mount / "..data" / "tls.pem"), str(mount / "..data" / "tls.key"))]
    sim = stable.sim("--tokens-per-s", "20", "--slots", "4").warm()
    corral = stable.serve(tls_config(make_config, [sim], pairs, slots=4))
    first = serial(corral, authority)
    answers = []

    def run():
        data = h1.post("/api/chat", chat(tokens=220), corral.key())
        answers.append(corral.ask(data, timeout=30, tls=context(authority), name="localhost"))
    threads = [threading.Thread(target=run, daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    wait_for(lambda: sim.stat("in_flight") == 3, 5, "streams")
    authority.leaf(mount / "two", "tls", days=9)
    expiry = corral.metrics().sum("corral_certificate_expiry_timestamp_seconds")
    link(mount, "two")
    wait_for(lambda: serial(corral, authority) != first, 6, "the new certificate")
    second = serial(corral, authority)
    assert corral.metrics().sum("corral_certificate_expiry_timestamp_seconds") > expiry + 86400
    # A pair that does not fit together: the old one stays in force.
    authority.leaf(mount / "three", "tls")
    (mount / "three" / "tls.key").write_bytes((mount / "one" / "tls.key").read_bytes())
    link(mount, "three")
    wait_for(lambda: corral.reloads("failed") >= 1, 6, "the refusal")
    assert serial(corral, authority) == second
    wait_for(lambda: corral.logged("reload.failed"), 2, "the line about it")
    for thread in threads:
        thread.join(30)
    assert [(a.status, a.end) for a in answers] == [(200, "whole")] * 3
    assert all(a.lines[-1]["eval_count"] == 220 for a in answers)


def test_handshakes_that_never_end_are_closed(stable, authority, make_config):
    sim = stable.sim()
    corral = stable.serve(tls_config(make_config, [sim], authority.pairs,
                                     timeouts={"handshake_s": 1}))
    clients = [corral.client() for _ in range(5)]
    for client in clients:
        client.send(b"\x16\x03\x01")
    began = time.monotonic()
    assert all(client.wait_end(3) in ("fin", "rst") for client in clients)
    assert time.monotonic() - began < 3
    wait_for(lambda: len(corral.logged("tls.failed")) == 5, 2, "a line for each")
    assert corral.metrics().sum("corral_connections_refused_total",
                                reason="tls_handshake_timeout") == 5
