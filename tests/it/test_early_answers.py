"""Answers that come before the end of their request, and answers that are taken slowly: nobody loses one.

Many clients send their whole body before they read anything. Closing over bytes that were not read makes the
kernel send a RST, which takes the answer from them (RFC 9112 section 9.6); an HTTP/2 client without a window waits.
"""

import time

import pytest

import h1
import h2
import recorder
from harness import PROTOCOL, together, wait_for

H2 = PROTOCOL == "h2"
SIZE = 25_000_000

REFUSED = {
    "401": (None, "/api/chat", SIZE, 401),
    "403": ("lister", "/api/chat", SIZE, 403),
    "404": ("acme", "/api/nothing", SIZE, 404),
    "413": ("acme", "/api/chat", SIZE, 413),
    "413 of /v1": ("acme", "/v1/chat/completions", SIZE, 413),
}


def send_h1(corral, key, path, size, pause):
    """All of the body first, then the answer; a send that fails does not keep it from reading."""
    fields = [("Content-Type", "application/json"), ("Content-Length", str(size))]
    if key:
        fields.append(("Authorization", "Bearer " + key))
    with h1.Client(corral.address, timeout=20) as c:
        c.send(h1.request("POST", path, fields))
        left = size
        while left > 0 and c.try_send(b" " * min(left, 1 << 20)):
            left -= min(left, 1 << 20)
            time.sleep(pause)
        return c.answer(), size - left


def send_h2(corral, key, path, size, pause):
    fields = [("content-type", "application/json"), ("content-length", str(size))]
    if key:
        fields.append(("authorization", "Bearer " + key))
    with h2.Connection(corral.address, timeout=20) as c:
        stream = c.headers(c.fields("POST", path, fields), end=False)
        sent = c.press(stream, size, pause)
        return c.answer(stream, 1), sent


def refused(corral, key, path, size=SIZE, pause=0.0):
    return (send_h2 if H2 else send_h1)(corral, key, path, size, pause)


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("pause", [0.0, 0.07], ids=["fast", "slow"])
def test_an_early_refusal_reaches_who_sends_his_whole_body_first(shared, case, pause):
    corral, _ = shared
    tenant, path, size, status = REFUSED[case]
    answer, sent = refused(corral, corral.key(tenant), path, size, pause)
    assert sent == size, "the body was not taken: %d of %d bytes" % (sent, size)
    assert answer.status == status and answer.end == "whole", answer
    assert "error" in answer.json
    corral.wait_idle()


@pytest.mark.http1
def test_a_malformed_request_with_a_body_is_answered(shared):
    corral, _ = shared
    for head, status in ((b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nbad field\r\n\r\n", 400),
                         (b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 70000 + b"\r\n\r\n", 431)):
        with h1.Client(corral.address, timeout=20) as c:
            c.try_send(head)
            for _ in range(100):
                if not c.try_send(b"x" * 100000):
                    break
            answer = c.answer()
            assert answer.status == status and answer.end == "whole", answer


def test_what_is_dropped_is_bounded(stable):
    """limits.linger_bytes and timeouts.linger_s: whoever goes on is cut, and has his answer."""
    corral = stable.corral(stable.sim(), timeouts={"linger_s": 2}, limits={"linger_bytes": 100000})
    answer, sent = refused(corral, None, "/api/chat", SIZE)
    assert sent < 8_000_000, "more than the kernels hold: %d" % sent
    if H2:  # nothing takes it from him here
        assert answer.status == 401 and answer.end == "whole"
    began = time.monotonic()
    with corral.client() as c:
        if H2:
            wire = c.wire
            stream = wire.headers(wire.fields("POST", "/api/chat", [("content-length", "900")]), end=False)
            for _ in range(40):
                if hasattr(wire.stream(stream), "reset"):
                    break
                wire.frame(h2.DATA, 0, stream, b"x")
                wire.until(lambda: hasattr(wire.stream(stream), "reset"), 0.2)
            assert wire.stream(stream).status == 401 and wire.stream(stream).reset == h2.NO_ERROR
        else:
            c.send(h1.request("POST", "/api/chat", [("Content-Length", "90")]))
            answer = c.answer()
            assert answer.status == 401
            while time.monotonic() - began < 8 and c.try_send(b"x"):
                time.sleep(0.2)
    assert 1.5 < time.monotonic() - began < 6
    wait_for(lambda: corral.metrics().sum("corral_open_connections") == 0, 5, "the end of the connections")


def test_a_silent_rest_is_waited_for_briefly(shared):
    """Five seconds of silence end it, though linger_s is 30."""
    corral, _ = shared
    began = time.monotonic()
    with corral.client(timeout=12) as c:
        if H2:
            wire = c.wire
            stream = wire.headers(wire.fields("POST", "/api/chat", [("content-length", "9")]), end=False)
            assert wire.until(lambda: hasattr(wire.stream(stream), "reset"), 10)
            assert wire.stream(stream).status == 401 and wire.stream(stream).reset == h2.NO_ERROR
        else:
            c.send(h1.request("POST", "/api/chat", [("Content-Length", "90")]))
            assert c.answer().status == 401
            assert c.wait_end(2) == "fin", "our side is shut at once"
            wait_for(lambda: not c.try_send(b"x") if time.monotonic() - began > 6.5 else False, 10, "the end")
    assert 4 < time.monotonic() - began < 11


@pytest.mark.http1
def test_a_slow_reader_of_the_last_answer_gets_all_of_it(stable, monkeypatch):
    """Connection: close, and nobody reads for ten seconds near the end: what waits is not thrown away."""
    monkeypatch.setattr(recorder, "MODELS", tuple("model-with-some-name-%d" % i for i in range(590)))
    replica = recorder.Recorder()
    corral = stable.corral(replica)
    request = h1.get("/api/tags", corral.key(), [("Connection", "close")])
    whole = wait_for(lambda: [b for b in [corral.ask(request).body] if len(b) > 100000], 8, "a long list")[0]

    def read(left):
        with h1.Client(corral.address, timeout=30, rcvbuf=4096) as c:
            c.send(request)
            while len(c.data) < len(whole) - left:
                c.fill(time.monotonic() + 10)
            time.sleep(10)
            return c.answer()
    answers = together(12, lambda i: read(26000 + 3000 * i))
    lost = [len(whole) - len(a.body) for a in answers]
    assert lost == [0] * 12, "of %d bytes: %s" % (len(whole), lost)
    replica.close()


@pytest.mark.http1
def test_a_last_answer_that_nobody_takes_is_held_to_progress(stable, monkeypatch):
    """16 KiB in write_stall_s, or all there is: as for any other answer."""
    monkeypatch.setattr(recorder, "MODELS", tuple("model-with-some-name-%d" % i for i in range(590)))
    replica = recorder.Recorder()
    corral = stable.corral(replica, timeouts={"write_stall_s": 2})
    request = h1.get("/api/tags", corral.key(), [("Connection", "close")])
    whole = wait_for(lambda: [b for b in [corral.ask(request).body] if len(b) > 100000], 8, "a long list")[0]

    def stop(left):
        c = h1.Client(corral.address, timeout=30, rcvbuf=4096)
        c.send(request)
        while len(c.data) < len(whole) - left:
            c.fill(time.monotonic() + 10)
        return c
    held = together(12, lambda i: stop(26000 + 3000 * i))
    wait_for(lambda: corral.metrics().sum("corral_open_connections") == 0, 10, "the end of the connections")
    for c in held:
        c.close()
    replica.close()
