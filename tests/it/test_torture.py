"""Every call of a scripted run fails once (P-14): memory and sockets.

A small fixed allocation that fails ends the process with one line and status 70; everything else is answered, or
closed, and the next request is served.
"""

import os
import time

import pytest

import h1
import h2
from harness import PROTOCOL, chat, wait_for
from shim import KINDS, Shim

MOST = 400 if os.environ.get("CORRAL_LONG") == "1" else 60


@pytest.fixture
def shim(tmp_path):
    return Shim(tmp_path)


def script(corral):
    """What is asked while a call fails: (status, end) of a whole answer and of a stream, on new connections."""
    seen = []
    for body in (chat(tokens=3, stream=False), chat(tokens=5)):
        time.sleep(0.03)  # the replica closes behind its answer: a request right then may meet that
        try:
            with corral.client(timeout=8) as client:
                client.try_send(h1.post("/api/chat", body, corral.key()))
                answer = client.answer()
                seen.append((answer.status, answer.end))
        except OSError:
            seen.append((0, "closed"))
    return seen + (resets(corral) if PROTOCOL == "h2" else [])


def resets(corral):
    """Streams that corral resets by itself: one too many, and one with trailers that break a rule."""
    try:
        with h2.Connection(corral.address, timeout=8) as wire:
            more = [("authorization", "Bearer " + corral.key()), ("content-type", "application/json")]
            streams = [wire.headers(wire.fields("POST", "/api/chat", more), end=False) for _ in range(3)]
            wire.headers([("connection", "close")], stream=streams[0])
            wire.until(lambda: all(wire.stream(s).over for s in (streams[0], streams[2])))
            return [(a.status, a.end) for a in (wire.answer(streams[0], 0.1), wire.answer(streams[2], 0.1))]
    except OSError:
        return [(0, "closed")] * 2


GOOD = [(200, "whole")] * 2 + ([(0, "fin")] * 2 if PROTOCOL == "h2" else [])


def judge(kind, n, seen, corral):
    for status, end in seen:
        assert end != "timeout", (kind, n, seen)
        # A cut may leave a part of a head; what is whole must be one of our answers.
        assert end != "whole" or status in (200, 500, 502, 503), (kind, n, seen)
    if corral.process.poll() is not None:
        assert kind == "memory" and corral.process.returncode == 70, (kind, n, seen, corral.text()[-500:])
        assert corral.text().count('"event":"memory.exhausted"') == 1, corral.text()[-500:]


def torture(stable, monkeypatch, shim, kind, more=0):
    """Each call of the script fails once, with so many behind it."""
    monkeypatch.setenv("CORRAL", os.environ["CORRAL_PLAIN"])
    sim = stable.sim("--tokens-per-s", "0").warm("tiny")
    sim.fault("close_after")  # a connection to the replica for each request
    corral, failed, ended = None, 0, 0
    for n in range(1, MOST + 1):
        if corral is None:
            config = stable.make_config([sim], slots=2, workers=1, http2={"max_streams": 2})
            corral = stable.serve(config, env=shim.env)
            assert script(corral) == GOOD
        shim.arm(kind, n, more=more)
        seen = script(corral)
        hit = shim.disarm()
        wait_for(lambda: corral.process.poll() is not None or script(corral) == GOOD, 10,
                 "service after call %d" % n)
        judge(kind, n, seen, corral)
        if corral.process.poll() is not None:
            ended += 1
            stable.corrals.remove(corral)
            corral.log.unlink()  # the next one has the same folder
            corral = None
        failed += hit
        if hit == 0:
            break  # the script does not make so many
    print("%s: %d calls failed in %d turns, %d times corral ended" % (kind, failed, n, ended))
    assert failed > 0


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_call_fails_once(stable, monkeypatch, shim, kind):
    torture(stable, monkeypatch, shim, kind)


@pytest.mark.http2
def test_memory_fails_three_times_in_a_row(stable, monkeypatch, shim):
    """Then not even the end of a connection can be told: it is closed without."""
    torture(stable, monkeypatch, shim, "memory", more=2)
