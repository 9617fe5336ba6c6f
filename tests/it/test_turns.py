"""No client makes a worker's turn long: what one sends is not felt by the others of that worker.

The release binary behind its sandbox, one worker; a turn is measured in the worker's own CPU time
(turns.c), so that a busy machine does not count. Beside it a good client asks: none of its requests
may fail.
"""

import contextlib
import os
import threading
import time

import pytest

import h1
import h2
import recorder
from conftest import Stable
from harness import chat, release, together, wait_for
from turns import Turns

LONGEST_MS = 5.0
BODY = 20 * 1000 * 1000


def p99(ms):
    return ms[max(0, len(ms) - 1 - len(ms) // 100)]


class Measured:
    def __init__(self, corral, turns):
        self.corral, self.turns = corral, turns

    def good(self, over, seconds=None):
        """What a client that asks every 10 ms sees: milliseconds of each answer. A failure ends the test."""
        took, until = [], time.monotonic() + (seconds or 600)
        while not over.is_set() and time.monotonic() < until:
            began = time.monotonic()
            answer = self.corral.post("/api/chat", chat("good", 1), timeout=30)
            took.append((time.monotonic() - began) * 1000)
            assert answer.status == 200, answer
            time.sleep(0.01)
        return sorted(took)

    def longest(self, work, tries=3):
        """The longest turn while `work` ran beside a good client, whose slowest percent may take twice what it takes
        alone and 50 ms. The best of a few tries: a neighbour of the machine may spoil one."""
        seen = []
        for _ in range(tries):
            over, during = threading.Event(), []
            calm = p99(self.good(over, 0.3))
            self.turns.clear()

            def beside():
                try:
                    during.append(self.good(over))
                except AssertionError as error:
                    during.append(error)
            thread = threading.Thread(target=beside, daemon=True)
            thread.start()
            try:
                work()
            finally:
                over.set()
                thread.join(30)
            assert isinstance(during[0], list), during[0]
            assert self.turns.count() > 0
            late = p99(during[0]) if during[0] else 0
            seen.append(self.turns.longest_ms())
            print("longest turn %.2f ms; good client's p99 %.1f ms alone, %.1f ms beside it" % (seen[-1], calm, late))
            if seen[-1] <= LONGEST_MS and late <= 2 * calm + 50:
                return seen[-1]
        return max(seen[-1], LONGEST_MS + 1)


@pytest.fixture(scope="module")
def measured(tmp_path_factory, keyfile, make_config):
    folder = tmp_path_factory.mktemp("turns")
    turns = Turns(folder)
    before = os.environ["CORRAL"]
    os.environ["CORRAL"] = release()
    try:
        with Stable(folder, keyfile.keys, make_config) as made:
            # A replica for each: what is measured is the gateway, not a replica that reads 20 MB for somebody else.
            sims = [made.sim("--slots", "64", "--tokens-per-s", "0", "--models", name + ":268.10M").warm(name)
                    for name in ("tiny", "good")]
            os.setpriority(os.PRIO_PROCESS, sims[0].process.pid, 10)
            config = make_config(sims, slots=64, workers=1, timeouts={"head_s": 2}, limits={"body_memory_bytes": 1 << 30},
                                 log={"refusals_per_10s": 20})
            yield Measured(made.serve(config, env=turns.env), turns)
    finally:
        os.environ["CORRAL"] = before


def filled(before, unit, after, size=BODY):
    return (before + unit * ((size - len(before) - len(after)) // len(unit)) + after).encode()


MESSAGE = '{"model":"tiny","messages":[{"role":"user","content":'
# By what they make a reader do; most are refused by Ollama or by corral at their end.
BODIES = {
    "objects": ("/v1/chat/completions", filled(MESSAGE + "[{}", ",{}", "]}]}")),
    "numbers": ("/api/generate", filled('{"model":"tiny","prompt":"x","context":[1', ",1", "]}")),
    "deep": ("/api/chat", filled('{"model":"tiny","a":[0', "," + "[" * 29 + "]" * 29, "]}")),
    "blanks": ("/api/chat", filled('{"model":"tiny",', " ", '"a":1}')),
    "one string": ("/api/chat", filled(MESSAGE + '"', "x", '"}]}')),
    "escapes": ("/api/chat", filled(MESSAGE + '"', "\\n", '"}]}')),
    "image": ("/api/chat", filled(MESSAGE + '"","images":["', "QUJD", '"]}]}')),
    "data url": ("/v1/chat/completions",
                 filled(MESSAGE + '[{"type":"image_url","image_url":{"url":"data:image/png;base64,', "QUJD", '"}}]}]}')),
    "messages": ("/api/chat", filled('{"model":"tiny","messages":[{}', ",{}", "]}", 29000)),
    "options": ("/api/chat", filled('{"model":"tiny","options":{"stop":[""', ',""', "]}}")),
    "keep_alive": ("/api/chat", filled('{"model":"tiny","keep_alive":"', "0", '"}')),
    "model": ("/api/chat", filled('{"model":"', "\\u0061", '"}')),
    "keys": ("/api/chat", b'{"model":"tiny",' + b",".join(b'"k%d":{}' % i for i in range(9990)) + b"}"),
    "wrong at the end": ("/api/chat", filled(MESSAGE + "[{}", ",{}", "]]")),
    "wrong at once": ("/api/chat", filled('{"model":tiny,"a":[{}', ",{}", "]}")),
    "not JSON": ("/api/chat", b"\x80" * BODY),
}


@pytest.mark.parametrize("name", sorted(BODIES))
def test_no_body_makes_a_turn_long(measured, name):
    path, body = BODIES[name]

    def send():
        def one(_):
            with measured.corral.client(timeout=60) as client:
                head = h1.bearer(measured.corral.key("beta"), ("Content-Length", str(len(body))))
                client.try_send(h1.request("POST", path, head) + body)
                assert client.answer().status in (200, 400, 413, 429)
        together(2, one)
    assert measured.longest(send) <= LONGEST_MS


def test_pipelined_strangers(measured):
    """As many requests in one read as fit, all of them refused."""
    flood = h1.get("/x") * 300

    def send(_):
        for _ in range(10):
            with measured.corral.client(timeout=20) as client, contextlib.suppress(OSError, AssertionError):
                client.send(flood)
                for _ in range(300):
                    client.answer()
    assert measured.longest(lambda: together(4, send)) <= LONGEST_MS


def test_streams_in_one_read(measured):
    """A hundred requests of HTTP/2 whose heads come together, again and again."""
    def send(_):
        with h2.Connection(measured.corral.address, timeout=20) as c:
            assert c.until(lambda: c.acked, 5)
            for _ in range(10):
                fields = c.fields("GET", "/api/tags", [("authorization", "Bearer " + measured.corral.key())])
                first = c.next
                block = c.block_of(fields)
                c.send(b"".join(h2.frame(h2.HEADERS, 5, first + 2 * i, block) for i in range(90)))
                c.next = first + 180
                assert c.until(lambda f=first: all(c.stream(f + 2 * i).over for i in range(90)), 20)
    assert measured.longest(lambda: together(2, send)) <= LONGEST_MS


def test_tiny_chunks(measured):
    """A body of a byte a chunk."""
    body = b'{"model":"tiny","messages":[{"role":"user","content":"' + b"x" * 60000 + b'"}],"options":{"num_predict":1}}'
    chunked = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"

    def send(_):
        head = h1.request("POST", "/api/chat", h1.bearer(measured.corral.key("beta"), ("Transfer-Encoding", "chunked")))
        for _ in range(5):
            with measured.corral.client(timeout=30) as client:
                assert client.send(head + chunked).answer().status == 200
    assert measured.longest(lambda: together(2, send)) <= LONGEST_MS


@pytest.mark.parametrize("protocol", ["h1", "h2"])
def test_bodies_that_are_refused_before_they_come(measured, protocol):
    """60 MB of each of four strangers, all of it read and dropped after the 401 (limits.linger_bytes)."""
    size, piece = 60 * 1000 * 1000, b"x" * 1000000

    def over_h1():
        with h1.Client(measured.corral.address, timeout=30) as client:
            client.send(h1.request("POST", "/api/chat", [("Content-Length", str(size))]))
            for _ in range(size // len(piece)):
                client.send(piece)
            assert client.answer().status == 401

    def over_h2():
        with h2.Connection(measured.corral.address, timeout=30) as c:
            stream = c.headers(c.fields("POST", "/api/chat", [("content-length", str(size))]), end=False)
            assert c.press(stream, size) == size
            assert c.answer(stream).status == 401
    send = over_h1 if protocol == "h1" else over_h2
    assert measured.longest(lambda: together(4, lambda _: send())) <= LONGEST_MS


def test_a_crowd_that_asks_at_once_and_one_that_is_late(measured):
    """400 requests that are there in the same moment; 400 heads whose time ends in the same moment."""
    def send():
        clients = [measured.corral.client(timeout=30) for _ in range(400)]
        data = h1.get("/api/tags", measured.corral.key())
        for client in clients:
            client.send(data)
        for client in clients:
            assert client.answer().status == 200
            client.send(b"GET / HTTP/1.1\r\nHost:")
        for client in clients:
            assert client.wait_end(10) != "open"
            client.close()
    assert measured.longest(send) <= LONGEST_MS


def test_long_lists(tmp_path, stable, make_config, monkeypatch):
    """Four thousand models of three replicas: written once, read by many, by tokens of several tenants."""
    turns = Turns(tmp_path)
    monkeypatch.setenv("CORRAL", release())
    monkeypatch.setattr(recorder, "MODELS", tuple("model-with-a-longer-name-%d" % i for i in range(4000)))
    replicas = [recorder.Recorder() for _ in range(3)]
    corral = stable.serve(make_config(replicas, workers=1), env=turns.env)
    wait_for(lambda: all(corral.get("/v1/models/model-with-a-longer-name-%d" % i).status == 200 for i in range(2)), 10,
             "the lists of the replicas")

    def send():
        for path in ("/api/tags", "/v1/models", "/api/ps", "/corral/v1/usage", "/v1/models/model-with-a-longer-name-7"):
            for tenant in ("acme", "beta", "lister"):
                for _ in range(3):
                    assert corral.get(path, tenant).status in (200, 403)
    turns.clear()
    send()  # the first time counts: afterwards the lists are there
    print("longest turn: %.1f ms" % turns.longest_ms())
    for replica in replicas:
        replica.close()
    assert 0 < turns.longest_ms() <= LONGEST_MS
