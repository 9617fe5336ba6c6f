"""Clients that leave in the first tenth of a second, and what stays behind in a real Ollama.

Ollama 0.24 keeps a goroutine and a descriptor for ever when its client leaves before it has asked its
runner. corral holds such a connection for its grace, so that the replica never sees the client leave.
"""

import random
import time

import pytest

import h1
import h2
import harness
import stand

SETTLE = 75.0  # the kernel drops a socket in CLOSE-WAIT after a minute; a leaked descriptor stays
GRACE = 2.0  # timeouts.cancel_grace_ms: where Ollama needs longer for a first byte, one descriptor leaks
ROUTES = ["/api/chat", "/api/generate", "/v1/chat/completions", "/v1/messages"]


def body(path):
    asked = {"model": "tiny", "stream": True, "options": {"num_predict": 200}, "max_tokens": 200}
    if path == "/api/generate":
        return dict(asked, prompt="Tell me a story.")
    return dict(asked, messages=[{"role": "user", "content": "Tell me a story."}])


def quiet(count, limit, timeout):
    """Wait until `count()` is at most `limit`; the last number, without failing."""
    deadline = time.monotonic() + timeout
    while count() > limit and time.monotonic() < deadline:
        time.sleep(0.25)
    return count()


def test_control_ollama_alone_leaks():
    """Without corral the same aborts do leak: the count below would notice."""
    server = stand.Ollama()
    try:
        answer = h1.ask(server.address, h1.post("/api/chat", dict(body("/api/chat"), stream=False,
                                                                  options={"num_predict": 1})))
        assert answer.status == 200, answer
        before = server.fds()
        for i in range(10):
            with h1.Client(server.address) as client:
                client.send(h1.post("/api/chat", body("/api/chat")))
                time.sleep(0.005 * (i % 5))
        after = quiet(server.fds, before, 15)
        stand.note("10 early aborts straight at Ollama: %d descriptors before, %d after 15 s" % (
            before, after))
        assert after >= before + 5, (before, after)
    finally:
        server.stop()


def chat_works(gateway):
    start = time.monotonic()
    answer = gateway.ask(h1.post("/api/chat", dict(body("/api/chat"), stream=False,
                                                   options={"num_predict": 4}), gateway.keys["full"]))
    assert answer.status == 200 and answer.json["done"], answer
    return time.monotonic() - start


def cancels(gateway):
    now = gateway.corral.metrics()
    return {labels["phase"]: int(value) for name, labels, value in now.series
            if name == "corral_cancels_total"}


def abort(gateway, path, delay, how):
    client = gateway.client()
    client.send(h1.post(path, body(path), gateway.keys["full"]))
    time.sleep(delay)
    client.leave(how)
    client.close()


class Streams:
    """Aborts of HTTP/2: an RST_STREAM each, forty in a connection, which goes on."""

    def __init__(self, gateway):
        self.gateway, self.count, self.wire = gateway, 0, None

    def begin(self, path):
        if self.count % 40 == 0:  # corral closes one that has reset 50 before their answers
            self.close()
            self.wire = self.gateway.client(protocol="h2").wire
        self.count += 1
        return self.wire.post(path, body(path), self.gateway.keys["full"])

    def leave(self, stream, when):
        own = self.wire.stream(stream)
        self.wire.until(lambda: own.over, max(0.001, when - time.monotonic()))
        assert not own.over and self.wire.rst(stream), own.end

    def abort(self, path, delay):
        self.leave(self.begin(path), time.monotonic() + delay)

    def close(self):
        if self.wire:
            self.wire.frame(h2.PING, 0, 0, b"all read")
            assert self.wire.until(lambda: self.wire.pings), "no answer to a PING"
            assert not self.wire.goaways and not self.wire.raw.end, self.wire.goaways
            self.wire.close()


def gone(lines, protocol):
    """How many of these requests the log calls left by their client."""
    return sum(x["protocol"] == stand.PROTOCOLS[protocol] and x["reason"] == "client_gone"
               for x in lines)


@pytest.mark.parametrize("protocol", stand.PROTOCOLS)
def test_200_early_aborts_leave_nothing(ollama, gateway, protocol):
    rng, streams = random.Random(200), Streams(gateway)
    for _ in range(3):
        chat_works(gateway)
    gateway.corral.wait_idle()
    before, own_before, cancels_before = ollama.fds(), gateway.corral.fds(), cancels(gateway)
    start = time.monotonic()

    late = []

    def leave_early():
        for i in range(200):
            if protocol == "h2":
                streams.abort(ROUTES[i % 4], rng.uniform(0, 0.1))
            else:
                abort(gateway, ROUTES[i % 4], rng.uniform(0, 0.1), rng.choice(["fin", "rst"]))
            # The slot must be free, or the next would hit the queue and never reach Ollama.
            left = time.monotonic()
            harness.wait_for(lambda: gateway.corral.slots_taken() == 0, 10, "a free slot")
            if time.monotonic() - left > GRACE - 0.3:
                late.append(i)
        streams.close()

    # A connection may end before corral has read its request; a stream never does.
    least = 200 if protocol == "h2" else 150
    lines = gateway.heard(leave_early, least)[1]
    took = time.monotonic() - start
    gateway.corral.wait_idle(10)
    slots_back = time.monotonic() - start - took
    after = quiet(ollama.fds, before, SETTLE)
    own_after = quiet(gateway.corral.fds, own_before, 10)
    found = {phase: count - cancels_before.get(phase, 0)
             for phase, count in cancels(gateway).items() if count > cancels_before.get(phase, 0)}
    again = chat_works(gateway)
    stand.note("200 early aborts through corral (%s) in %.0f s, %d seen, by phase %s, %d times Ollama "
               "was slower than the grace: %d descriptors before, %d after; corral %d before, %d after; slots back after %.1f s; "
               "next chat %.2f s" % (
                   protocol, took, gone(lines, protocol), found, len(late), before, after, own_before,
                   own_after, slots_back, again))
    # Nearly all were on their way to the replica; a few left before corral had read them.
    assert found.get("first_byte", 0) + found.get("stream", 0) >= 150, found
    assert gone(lines, protocol) >= least and len({x["protocol"] for x in lines}) == 1, lines
    assert after <= before + len(late), (before, after, late)
    assert own_after <= own_before + 2, (own_before, own_after)


def burst(gateway, protocol):
    """40 at once for one slot, the last of them leaves after half a second."""
    if protocol == "h1":
        harness.together(40, lambda i: abort(gateway, ROUTES[i % 4], 0.05 + 0.01 * i, "fin"))
        return
    streams, start = Streams(gateway), time.monotonic()
    for i, stream in enumerate([streams.begin(ROUTES[i % 4]) for i in range(40)]):
        streams.leave(stream, start + 0.05 + 0.01 * i)
    streams.close()


@pytest.mark.parametrize("protocol", stand.PROTOCOLS)
def test_a_burst_of_aborts_waits_nowhere(ollama, gateway, protocol):
    """Those in the queue leave without ever reaching Ollama."""
    chat_works(gateway)
    before = ollama.fds()
    burst(gateway, protocol)
    left = time.monotonic()
    harness.wait_for(lambda: gateway.corral.waiting() == 0, 2, "an empty queue")
    gateway.corral.wait_idle(10)
    after = quiet(ollama.fds, before, SETTLE)
    stand.note("40 aborts at once (%s): idle again after %.1f s; Ollama %d descriptors before, %d after" % (
        protocol, time.monotonic() - left, before, after))
    assert after <= before, (before, after)
    chat_works(gateway)
