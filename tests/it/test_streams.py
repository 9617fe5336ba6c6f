"""A thousand streams on twenty connections: F01, F02, F08, F21 and P-11 as a client of HTTP/2 meets them.

The contract suite with CORRAL_PROTOCOL=h2 has one stream on a connection; here many share one.
"""

import os
import signal
import threading
import time

import pytest

import h1
import h2
from harness import chat, together, wait_for
from test_path import masked

LONG = os.environ.get("CORRAL_LONG") == "1"
CONNECTIONS, EACH = (20, 50) if LONG else (8, 25)
COUNT = CONNECTIONS * EACH
TURNS = 125 if LONG else 10
ABORTS = 4 * TURNS * 20


def many(**more):
    return {"acme": {"max_running": COUNT, "max_waiting": COUNT, **more}}


class Fleet:
    """Connections with EACH chats on each; a thread per connection reads."""

    def __init__(self, corral, tokens, connections=CONNECTIONS):
        self.corral, self.tokens = corral, tokens
        self.answers, self.wires = [], []
        self.threads = [threading.Thread(target=self.run, daemon=True) for _ in range(connections)]
        for thread in self.threads:
            thread.start()

    def run(self):
        with h2.Connection(self.corral.address, timeout=120) as wire:
            self.wires.append(wire)
            streams = [wire.post("/api/chat", chat(tokens=self.tokens), self.corral.key()) for _ in range(EACH)]
            answers = [wire.answer(stream) for stream in streams]
            self.answers += [(a.status, a.end, a.lines[-1].get("eval_count")) for a in answers]

    def join(self):
        for thread in self.threads:
            thread.join(120)
        return self.answers


def test_f21_reloads_and_a_drain_under_a_thousand_streams(stable):
    """Reloads, then SIGTERM: every stream of every connection ends whole (P-10, P-11)."""
    tokens = 80
    sim = stable.sim("--tokens-per-s", "20", "--slots", str(COUNT)).warm()
    corral = stable.corral(sim, slots=COUNT, tenants=many())
    fleet = Fleet(corral, tokens)
    wait_for(lambda: sim.stat("in_flight") == COUNT, 30, "the streams")
    for i in range(5):
        corral.reload({**corral.config, "queue": {"max_waiting": 1000 + i}})
        time.sleep(0.2)
    assert sim.stat("in_flight") == COUNT
    corral.signal(signal.SIGTERM)
    assert fleet.join() == [(200, "whole", tokens)] * COUNT
    assert corral.wait_exit() == 0
    assert sim.stat("aborted") == 0
    # Both steps were told on each: no new streams soon, none from here.
    assert all([code for _, code in wire.goaways] == [h2.NO_ERROR] * 2 for wire in fleet.wires)


def test_f02_aborted_streams_on_shared_connections(stable):
    """Resets in the queue, before the first byte and in mid-stream, beside streams that go on to their end."""
    sim = stable.sim("--tokens-per-s", "200", "--slots", "32", "--prefill-ms", "5").warm()
    corral = stable.corral(sim, slots=32, timeouts={"cancel_grace_ms": 20}, tenants=many(),
                           http2={name: 1000000 for name in ("resets_received_burst", "resets_received_per_s",
                                                             "resets_before_response")})
    assert corral.post("/api/chat", chat()).status == 200
    corral.wait_idle()
    fds, rss = corral.fds(), []
    kept = []

    def storm(which):
        with h2.Connection(corral.address, timeout=60) as wire:
            for turn in range(TURNS):
                stays = wire.post("/api/chat", chat(tokens=5), corral.key())
                streams = [wire.post("/api/chat", chat(tokens=5000, stream=i % 2 == 0), corral.key())
                           for i in range(20)]
                if turn % 3:
                    own = wire.stream(streams[0])
                    wire.until(lambda own=own: own.chunks, 0.01 * (turn % 3))
                for stream in streams:
                    wire.rst(stream)
                answer = wire.answer(stays, 30)
                kept.append((answer.status, answer.end))
                for stream in [stays, *streams]:
                    wire.streams.pop(stream, None)
                assert not wire.goaways, corral.logged("http2.ended")
                if which == 0 and turn == TURNS // 2:
                    rss.append(corral.rss())
    together(4, storm)
    corral.wait_idle(20)
    wait_for(lambda: sim.stat("in_flight") == 0, 5, "the replica's slots")
    assert sim.stat("max_in_flight") <= 32
    assert kept == [(200, "whole")] * (4 * TURNS)
    wait_for(lambda: corral.fds() <= fds + 64, 5, "descriptors (idle upstream connections apart)")
    cancels = {phase: int(corral.metrics().sum("corral_cancels_total", phase=phase))
               for phase in ("queued", "first_byte", "stream")}
    print("%d aborts: %s, %+d KiB in their second half" % (
        ABORTS, cancels, (corral.rss() - rss[0]) // 1024))
    assert sum(cancels.values()) > ABORTS * 0.9 and all(cancels.values())
    assert corral.metrics().sum("corral_body_bytes") == 0
    assert corral.post("/api/chat", chat()).end == "whole"


def test_f08_a_thousand_streams_share_what_there_is(stable):
    """Whatever they ask, all together they get no more than the limit, and no stream harms its connection."""
    tokens = COUNT * 20
    sim = stable.sim("--tokens-per-s", "400", "--slots", str(COUNT)).warm()
    corral = stable.corral(sim, slots=COUNT, tenants=many(
        limits=[{"name": "tpm", "tokens": tokens, "window_s": 60}]))
    answers, broken = [], []

    def ask(_):
        with h2.Connection(corral.address, timeout=60) as wire:
            streams = [wire.post("/api/chat", chat(tokens=30), corral.key()) for _ in range(EACH)]
            answers.extend(wire.answer(stream) for stream in streams)
            broken.extend(wire.goaways)
    together(CONNECTIONS, ask)
    served = [a for a in answers if a.status == 200]
    assert len(answers) == COUNT and {a.status for a in answers} == {200, 429} and broken == []
    assert all(a.end == "whole" for a in answers)
    given = sum(a.lines[-1]["eval_count"] + a.lines[-1]["prompt_eval_count"] for a in served)

    def settled():
        rows = corral.get("/corral/v1/usage").json["limits"]
        return [row for row in rows if row["name"] == "tpm" and row["reserved"] == 0]
    row = wait_for(settled, 5, "reservations given back")[0]
    print("%d of %d streams served, %d tokens of %d" % (len(served), COUNT, given, tokens))
    assert row["used"] == given <= tokens


@pytest.mark.parametrize("path,body", [
    ("/api/chat", {"options": {"num_predict": 1000}}),
    ("/v1/chat/completions", {"max_tokens": 1000, "stream": True})], ids=["native", "v1"])
def test_f01_a_thousand_chunks_beside_others(stable, path, body):
    """Each is byte for byte what the server sends, while another stream of the connection flows."""
    sim = stable.sim("--tokens-per-s", "0", "--slots", "2").warm()
    corral = stable.corral(sim, slots=2)
    data = dict(chat(), **body)
    direct = sim.ask(h1.post(path, data))
    with h2.Connection(corral.address, timeout=60) as wire:
        other = wire.post("/api/chat", chat(tokens=3000), corral.key())
        answer = wire.answer(wire.post(path, data, corral.key()))
        assert wire.answer(other).end == "whole"
    assert (answer.status, answer.end) == (200, "whole") and len(direct.chunks) >= 1000
    assert masked(answer.body) == masked(direct.body)
