"""HTTP/1.1 beside the attacks: what is odd but legal, pipelining, Expect, Upgrade, deadlines (F30)."""

import json
import random
import socket
import time

import pytest

import attacks
import h1
from harness import chat, wait_for

CLOSES = 3.0


GOOD = {
    "S-020 cHuNkEd": attacks.te(b" cHuNkEd"),
    "S-024 CL with zeroes": attacks.cl(b" 00%d" % len(attacks.BODY)),
    "S-034 extensions": attacks.chunked(b'%x;a=b;c="x y"\r\n%s\r\n0\r\n\r\n'
                                        % (len(attacks.BODY), attacks.BODY)),
    "S-040 trailers": attacks.chunked(attacks.ONE_CHUNK[:-2] + b"Authorization: x\r\nHost: evil\r\n"
                                      b"Content-Length: 5\r\nTransfer-Encoding: gzip\r\n\r\n"),
    "S-057 bytes over 0x80": attacks.post(attacks.CL + b"User-Agent: caf\xc3\xa9 \xff\r\n"),
    "S-071 one empty line": b"\r\n" + attacks.post(),
    "S-084 query": attacks.post(line=b"POST /api/chat?x=/api/tags HTTP/1.1\r\n"),
    "S-088 absolute form": attacks.post(line=b"POST http://localhost/api/chat HTTP/1.1\r\n"),
    "S-105 connection names ours": attacks.post(
        attacks.CL + b"Connection: Authorization, Content-Length, Host, X-Request-Id\r\n"),
    "S-106 connection of commas": attacks.post(attacks.CL + b"Connection: ,,,\r\n"),
    "S-115 expect on HTTP/1.0": attacks.post(attacks.CL + b"Expect: 100-continue\r\n",
                                             line=b"POST /api/chat HTTP/1.0\r\n"),
    "S-119 cookies": attacks.post(attacks.CL + b"Cookie: a=b\r\n" * 40),
}


@pytest.mark.parametrize("name", GOOD)
def test_odd_but_legal_requests_are_served(shared, name):
    corral, sim = shared
    data = GOOD[name].replace(b"KEY", corral.key().encode())
    for pace in (None, 1):
        with corral.client() as client:
            for i in range(0, len(data), pace or len(data)):
                client.send(data[i:i + (pace or len(data))])
            answer = client.answer()
        assert answer.status == 200, answer
        line, fields, body = sim.last("/api/chat")
        assert line == "POST /api/chat HTTP/1.1" and body == attacks.BODY
        assert fields["content-length"] == [str(len(attacks.BODY))]
        assert not {"cookie", "user-agent", "authorization", "expect"} & set(fields)


def test_every_split_reads_the_same(shared):
    """S-076: random split points give the same request upstream."""
    corral, sim = shared
    data = GOOD["S-034 extensions"].replace(b"KEY", corral.key().encode())
    dice = random.Random(7)
    for _ in range(100):
        cuts = sorted(dice.randrange(1, len(data)) for _ in range(dice.randrange(1, 5)))
        with corral.client() as client:
            for a, b in zip([0] + cuts, cuts + [len(data)]):
                client.send(data[a:b])
            assert client.answer().status == 200, cuts
        assert sim.last("/api/chat")[2] == attacks.BODY


def test_every_prefix_then_fin_is_forgotten(shared):
    """S-074, S-027, S-039: no answer is owed, nothing reaches the replica, nothing stays."""
    corral, sim = shared
    data = attacks.chunked(attacks.ONE_CHUNK).replace(b"KEY", corral.key().encode())
    before = sim.posts()
    for length in range(0, len(data), 3):
        with corral.client() as client:
            client.send(data[:length])
            client.leave("half")
            assert client.wait_end(1) in ("fin", "rst"), length
            assert b" 200 " not in client.data
    wait_for(lambda: corral.metrics().sum("corral_open_connections") == 0, 5, "closed connections")
    assert sim.posts() == before
    assert corral.metrics().sum("corral_body_bytes") == 0


def test_an_unknown_byte_storm(shared):
    """S-072: 64 KiB of anything."""
    corral, _ = shared
    dice = random.Random(3)
    for _ in range(20):
        with corral.client() as client:
            client.try_send(bytes(dice.randrange(256) for _ in range(65536)))
            assert client.wait_end(CLOSES) in ("fin", "rst")
    assert corral.get("/api/version").status == 200


# ---- pipelining ----


def test_pipelined_requests_are_answered_in_order(shared):
    corral, _ = shared
    key = corral.key()
    with corral.client() as client:
        client.send(h1.post("/api/chat", chat(), key) + h1.get("/api/version", key) +
                    h1.get("/api/nope", key) + h1.post("/v1/embeddings",
                                                       {"model": "embed", "input": "x"}, key))
        answers = [client.answer() for _ in range(4)]
    assert [a.status for a in answers] == [200, 200, 404, 200]
    assert answers[0].lines[-1]["done"] and answers[3].json["object"] == "list"


def test_good_then_bad(shared):
    """S-044."""
    corral, sim = shared
    before = sim.posts()
    bad = attacks.TABLE["S-001 CL.TE"][1].replace(b"KEY", corral.key().encode())
    with corral.client() as client:
        client.send(h1.get("/api/version", corral.key()) + bad + h1.get("/api/tags", corral.key()))
        assert client.answer().status == 200
        assert client.answer().status == 400
        assert client.wait_end(1) in ("fin", "rst") and client.data == b""
    assert sim.posts() == before


def test_a_thousand_pipelined(shared):
    """S-043: one at a time, whatever the client wrote; no more than a bounded part is held."""
    corral, sim = shared
    one = h1.post("/api/generate", {"model": "tiny", "prompt": "x", "stream": False,
                                    "options": {"num_predict": 1}}, corral.key())
    sim.config(reset_stats=True)
    sent = one * 1000
    with corral.client(timeout=60) as client:
        client.sock.setblocking(False)
        answers, at = 0, 0
        deadline = time.monotonic() + 60
        data = b""
        while answers < 1000 and time.monotonic() < deadline:
            try:
                at += client.sock.send(sent[at:at + 65536]) if at < len(sent) else 0
            except BlockingIOError:
                pass
            try:
                data += client.sock.recv(262144)
            except BlockingIOError:
                time.sleep(0.001)
            answers = data.count(b"HTTP/1.1 200 OK")
    assert answers == 1000
    assert sim.stat("max_in_flight") == 1


# ---- Expect, HTTP/1.0, Upgrade ----


def test_expect_is_answered_when_the_body_is_wanted(shared):
    corral, sim = shared
    body = json.dumps(chat()).encode()
    head = h1.post("/api/chat", body, corral.key(), [("Expect", "100-continue")])[:-len(body)]
    with corral.client() as client:
        client.send(head)
        assert client.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(body)
        answer = client.answer()
    assert answer.status == 200 and "expect" not in sim.last("/api/chat")[1]
    with corral.client() as client:  # S-113: the body at once
        client.send(head + body)
        answer = client.answer()
        assert answer.status == 200
        client.send(h1.get("/api/version", corral.key()))
        assert client.answer().status == 200


@pytest.mark.parametrize("case", ["token", "size", "route"])
def test_expect_of_a_refused_request_gets_no_100(shared, case):
    """S-112."""
    corral, _ = shared
    length = "999999999" if case == "size" else "10"
    key = "ck_" + "B" * 43 if case == "token" else corral.key()
    path = "/api/nope" if case == "route" else "/api/chat"
    head = h1.request("POST", path, h1.bearer(key, ("Expect", "100-continue"),
                                              ("Content-Length", length)))
    with corral.client() as client:
        client.send(head)
        first = client.until(b"\r\n\r\n")
        assert first.split(b" ")[1] == {"token": b"401", "size": b"413", "route": b"404"}[case]
        assert client.wait_end(1) in ("fin", "rst")


def test_http_1_0(shared):
    """S-077: no chunked answer, no interim one, and the connection ends."""
    corral, _ = shared
    key = corral.key()
    for stream in (True, False):
        with corral.client() as client:
            client.send(h1.post("/api/chat", chat(stream=stream), key, version="HTTP/1.0"))
            answer = client.answer()
            assert answer.status == 200 and answer.field("Transfer-Encoding") is None
            assert client.wait_end(1) == "fin"
            assert (answer.lines[-1] if stream else json.loads(answer.body))["done"]
    with corral.client() as client:
        client.send(h1.get("/api/version", key, version="HTTP/1.0"))
        assert client.answer().status == 200 and client.wait_end(1) == "fin"


@pytest.mark.parametrize("value", ["websocket", "h2c", "foo"])
def test_upgrade_is_ignored(shared, value):
    """S-108: what follows is one more request, with its own credential, never a tunnel."""
    corral, sim = shared
    with corral.client() as client:
        client.send(h1.post("/api/chat", chat(), corral.key(),
                            [("Upgrade", value), ("Connection", "Upgrade, HTTP2-Settings"),
                             ("HTTP2-Settings", "AAMAAABk")]) + h1.get("/api/tags"))
        assert client.answer().status == 200
        assert client.answer().status == 401
    assert "upgrade" not in sim.last("/api/chat")[1]


def test_own_names(stable):
    sim = stable.sim("--tokens-per-s", "0")
    corral = stable.corral(sim, server_names=["corral.example.com"])
    for host, status in (("corral.example.com", 200), ("CORRAL.example.com:8443", 200),
                         ("localhost:1", 200), ("127.0.0.1", 200), ("[::1]:80", 200),
                         ("corral.example.com.evil.org", 421), ("example.com", 421)):
        assert corral.ask(h1.get("/api/tags", corral.key(), host=host)).status == status, host


# ---- deadlines ----


def test_slow_heads_and_bodies_end(stable):
    """S-027, S-046: 408 and closed, and what comes late is not read."""
    sim = stable.sim("--tokens-per-s", "0").warm()
    corral = stable.corral(sim, timeouts={"head_s": 1, "body_s": 1, "idle_s": 1})
    whole = h1.post("/api/chat", chat(), corral.key())
    before = sim.posts()
    with corral.client() as head, corral.client() as body, corral.client() as idle:
        began = time.monotonic()
        head.send(whole[:20])
        body.send(whole[:-10])
        idle.send(h1.get("/api/version", corral.key()))
        assert idle.answer().status == 200
        while time.monotonic() - began < 0.7:  # a drip does not prolong the head
            head.try_send(b"a")
            time.sleep(0.1)
        for client in (head, body):
            answer = client.answer(timeout=3)
            assert (answer.status, answer.field("Connection")) == (408, "close"), answer
            client.try_send(whole)
            assert client.wait_end(1.5) in ("fin", "rst") and client.data == b""
        assert idle.wait_end(3) == "fin"
        assert 0.9 < time.monotonic() - began < 4
    assert sim.posts() == before
    wait_for(lambda: {"head_timeout", "body_timeout"} <=
             {line["reason"] for line in corral.logged("access")}, 2, "both lines")


def test_a_byte_now_and_then_is_served(shared):
    """S-075."""
    corral, _ = shared
    with corral.client() as client:
        for byte in h1.get("/api/version", corral.key()):
            client.send(bytes([byte]))
            time.sleep(0.005)
        assert client.answer().status == 200


def test_strangers_per_address_are_bounded(stable):
    sim = stable.sim("--tokens-per-s", "0")
    corral = stable.corral(sim, limits={"connections_per_address": 8})
    known = [corral.client() for _ in range(6)]
    for client in known:  # a credential was seen: these count no longer
        client.send(h1.get("/api/version", corral.key()))
        assert client.answer().status == 200
    strangers = [corral.client() for _ in range(12)]
    ends = [client.wait_end(0.3) for client in strangers]
    assert ends.count("open") == 8, ends
    seen = corral.metrics()
    assert seen.sum("corral_connections_refused_total", reason="too_many_from_address") == 4, \
        [line for line in seen.text.splitlines() if "refused" in line]
    for client in known + strangers:
        client.close()
    wait_for(lambda: corral.metrics().sum("corral_open_connections") == 0, 5, "closing")
    assert socket.create_connection(corral.address, 2).close() is None
