"""Kept connections to a replica that close: a request that did not arrive is sent again, once; no other is."""

import ctypes
import os
import pathlib
import random
import select
import signal
import socket
import ssl
import time

import pytest

import h1
import pki
from harness import chat, together, wait_for
from relay import Relay

LIBC = ctypes.CDLL(None, use_errno=True)
HELD = ctypes.PyDLL(None)  # its calls keep the interpreter's lock: nothing comes between two of them
BIG = 2 * 1024 * 1024  # more than a send buffer takes


def end_if_idle(sock):
    """As a proxy does that looks once more: with nothing unread, FIN."""
    fd, byte = sock.fileno(), ctypes.create_string_buffer(1)
    if HELD.recv(fd, byte, 1, socket.MSG_PEEK | socket.MSG_DONTWAIT) > 0:
        return False
    HELD.shutdown(fd, socket.SHUT_RDWR)
    return True


def reset(sock):
    """RST and no FIN, with the descriptor still open: connect(2) to AF_UNSPEC."""
    assert LIBC.connect(sock.fileno(), bytes(16), 16) == 0, os.strerror(ctypes.get_errno())


class Door(Relay):
    """In front of a sim. `idle_s`: closes a connection so long after its last byte. `swallow`: reads a POST and
    closes."""

    def __init__(self, sim, tls=None, idle_s=None):
        self.idle_s, self.swallow = idle_s, False
        super().__init__(sim.address, tls=tls)
        self.url = "%s://127.0.0.1:%d" % ("https" if tls else "http", self.port)

    def _copy(self, near, far):
        if self.tls:
            super()._copy(near, far)
            return
        while True:
            ready = select.select([near, far], [], [], self.idle_s or 60)[0]
            if not ready and end_if_idle(near):
                return
            for one in ready:
                data = one.recv(65536)
                if not data or (self.swallow and data.startswith(b"POST ")):
                    return
                (far if one is near else near).sendall(data)

    def end(self, how):
        with self.lock:
            for one in self.open:
                if how == "rst":
                    reset(one)
        if how == "fin":
            self.cut()


@pytest.fixture(scope="module")
def herd(tmp_path_factory):
    make = pki.Maker(tmp_path_factory.mktemp("herd"))
    root = make.authority("root")
    return root, make.issue("replica", root, ip=["127.0.0.1"], usage=("server",))


@pytest.fixture
def sim(stable):
    return stable.sim("--tokens-per-s", "0", "--slots", "8").warm("tiny", "embed")


def retries(corral):
    return corral.metrics().sum("corral_upstream_retries_total", reason="closed_early")


def bodies():
    large = chat(tokens=2)
    large["messages"][0]["content"] = "x " * (BIG // 2)
    return {"chat": ("/api/chat", chat(tokens=2)), "large": ("/api/chat", large),
            "openai": ("/v1/chat/completions", chat(max_tokens=2)),
            "embed": ("/api/embed", {"model": "embed", "input": "x"}),
            "show": ("/api/show", {"model": "tiny"})}


def stop(corral):
    """SIGSTOP, and wait until every thread stands still."""
    corral.signal(signal.SIGSTOP)
    tasks = pathlib.Path("/proc/%d/task" % corral.process.pid)

    def stands_still():
        return all((task / "stat").read_text().rsplit(") ", 1)[1][0] == "T" for task in tasks.iterdir())
    wait_for(stands_still, 5, "a standstill")


def ask_while_it_closes(corral, door, data, how):
    """The gateway stands still; a request comes, then the end of its kept connections: so it takes the request
    first, and sends it on a connection that has ended already."""
    with corral.client(timeout=20) as client:
        client.send(h1.get("/api/version", corral.key()))
        assert client.answer().status == 200
        stop(corral)
        client.send(data)
        time.sleep(0.02)
        door.end(how)
        time.sleep(0.02)
        corral.signal(signal.SIGCONT)
        return client.answer()


@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize("kind", ["chat", "large", "openai", "embed", "show"])
def test_a_request_that_did_not_arrive_is_sent_again(stable, make_config, sim, kind, how):
    door = Door(sim)
    corral = stable.serve(make_config([door], slots=8, workers=1))
    path, body = bodies()[kind]
    assert corral.post("/api/chat", chat(tokens=2)).status == 200
    for i in range(5):
        posts, before = sim.posts(), retries(corral)
        if kind == "large":  # it would not fit before the stop
            with corral.client(timeout=20) as client:
                door.end(how)
                client.send(h1.post(path, body, corral.key()))
                answer = client.answer()
        else:
            answer = ask_while_it_closes(corral, door, h1.post(path, body, corral.key()), how)
            assert retries(corral) == before + 1, "on a connection that had ended"
        assert (answer.status, answer.end) == (200, "whole"), (i, answer)
        assert sim.posts() == posts + 1, "and once"
        assert corral.access(answer.field("X-Request-Id"))["reason"] == "ok"
    assert not corral.logged("replica.down"), "and nobody else felt it"
    corral.wait_idle()
    door.close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_over_tls_too(stable, make_config, sim, herd, version):
    root, own = herd
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*own.pair)
    tls.minimum_version = tls.maximum_version = version
    door = Door(sim, tls=tls)
    config = make_config([], workers=1, replicas=[
        {"url": door.url, "slots": 8, "tls": {"ca_file": root.chain}}])
    corral = stable.serve(config)
    for _ in range(5):
        assert corral.post("/api/chat", chat(tokens=2)).status == 200
        posts = sim.posts()
        answer = ask_while_it_closes(corral, door, corral.chat_bytes(tokens=2), "fin")
        assert (answer.status, answer.end) == (200, "whole"), answer
        assert sim.posts() == posts + 1
    assert retries(corral) == 5
    door.close()


@pytest.mark.parametrize("fault", [{"name": "cut_before_head"}, {"name": "cut_before_head", "rst": True}])
@pytest.mark.parametrize("kind", ["chat", "openai", "embed"])
def test_a_request_that_arrived_is_never_sent_again(stable, sim, kind, fault):
    """On a kept connection too: the replica may have begun."""
    corral = stable.corral(sim, slots=8, workers=1)
    path, body = bodies()[kind]
    for i in range(20):
        assert corral.post("/api/chat", chat(tokens=2)).status == 200
        posts = sim.posts()
        sim.config(faults=[dict(fault, count=1)])
        answer = corral.post(path, body)
        assert (answer.status, answer.end) == (502, "whole"), (i, answer)
        assert sim.posts() == posts + 1, (i, "a generation ran twice")
    assert corral.metrics().sum("corral_upstream_retries_total") == 0


def test_a_request_that_was_read_is_not_sent_again(stable, make_config, sim):
    """Whatever stands before the replica may have handed it on."""
    door = Door(sim)
    corral = stable.serve(make_config([door], slots=8, workers=1))
    for _ in range(20):
        assert corral.post("/api/chat", chat(tokens=2)).status == 200
        posts = sim.posts()
        door.swallow = True
        assert corral.post("/api/chat", chat(tokens=2)).status == 502
        door.swallow = False
        assert sim.posts() == posts
    assert corral.metrics().sum("corral_upstream_retries_total") == 0
    door.close()


def test_who_closes_idle_connections_early_is_not_felt(stable, make_config, sim):
    """Requests at the very moment at which the connections before them are closed, over and over. One that comes
    between the door's last look and its FIN was received, as far as anybody can know: that is rare."""
    idle_s = 0.03
    door = Door(sim, idle_s=idle_s)
    corral = stable.serve(make_config([door], slots=8, workers=1))
    seen = []

    def ask(i):
        dice = random.Random(i)
        with corral.client(timeout=20) as client:
            for _ in range(60):
                client.send(corral.chat_bytes(tokens=1))
                answer = client.answer()
                seen.append((answer.status, answer.end))
                time.sleep(idle_s + dice.uniform(-0.003, 0.002))
    together(6, ask)
    lost = [one for one in seen if one != (200, "whole")]
    print("%d answers, %d lost, %d sent again" % (len(seen), len(lost), retries(corral)))
    assert len(seen) == 360 and len(lost) <= 3, lost
    assert sim.stats()["requests"]["POST /api/chat"] == 360 - len(lost), "each once"
    assert not corral.logged("replica.down")
    door.close()


def test_how_long_a_connection_is_kept_is_a_setting(stable, make_config, sim):
    door = Door(sim)
    config = make_config([door], slots=8, workers=1, timeouts={"replica_idle_s": 1})
    corral = stable.serve(config)
    assert corral.post("/api/chat", chat(tokens=1)).status == 200
    assert len(door.open) == 2, "the poller's, and the one that is kept"
    wait_for(lambda: len(door.open) == 1, 3, "its end")
    corral.reload({**config, "timeouts": {"replica_idle_s": 0}})
    before = door.accepted
    for _ in range(5):
        assert corral.post("/api/chat", chat(tokens=1)).status == 200
    assert door.accepted == before + 5
    corral.reload({**config, "timeouts": {}})
    before = door.accepted
    for _ in range(5):
        assert corral.post("/api/chat", chat(tokens=1)).status == 200
    assert door.accepted <= before + 1
    door.close()


def test_a_poll_on_an_old_connection_is_no_failure(stable, make_config, sim):
    """Every poll's connection is closed under it: the replica is not lost for that."""
    door = Door(sim)
    corral = stable.serve(make_config([door], slots=8, workers=1))
    for _ in range(5):
        stop(corral)
        time.sleep(1.2)  # a poll is due
        door.end("fin")
        time.sleep(0.05)
        corral.signal(signal.SIGCONT)
        assert corral.post("/api/chat", chat(tokens=1)).status == 200
    assert not corral.logged("replica.down")
    door.close()
