"""Every call of a scripted run fails once (P-14): memory and sockets.

A small fixed allocation that fails ends the process with one line and status 70; everything else is answered, or
closed, and the next request is served.
"""

import os

import pytest

import h1
from harness import chat, wait_for
from shim import KINDS, Shim

MOST = 400 if os.environ.get("CORRAL_LONG") == "1" else 60


@pytest.fixture
def shim(tmp_path):
    return Shim(tmp_path)


def script(corral):
    """What is asked while a call fails: (status, end) of a whole answer and of a stream, on new connections."""
    seen = []
    for body in (chat(tokens=3, stream=False), chat(tokens=5)):
        try:
            with corral.client(timeout=8) as client:
                client.try_send(h1.post("/api/chat", body, corral.key()))
                answer = client.answer()
                seen.append((answer.status, answer.end))
        except OSError:
            seen.append((0, "closed"))
    return seen


def judge(kind, n, seen, corral):
    for status, end in seen:
        assert end != "timeout", (kind, n, seen)
        # A cut may leave a part of a head; what is whole must be one of our answers.
        assert end != "whole" or status in (200, 500, 502, 503), (kind, n, seen)
    if corral.process.poll() is not None:
        assert kind == "memory" and corral.process.returncode == 70, (kind, n, seen, corral.text()[-500:])
        assert corral.text().count('"event":"memory.exhausted"') == 1, corral.text()[-500:]


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_call_fails_once(stable, monkeypatch, shim, kind):
    monkeypatch.setenv("CORRAL", os.environ["CORRAL_PLAIN"])
    sim = stable.sim("--tokens-per-s", "0").warm("tiny")
    sim.fault("close_after")  # a connection to the replica for each request
    corral, failed, ended = None, 0, 0
    for n in range(1, MOST + 1):
        if corral is None:
            corral = stable.serve(stable.make_config([sim], slots=2, workers=1), env=shim.env)
            assert script(corral) == [(200, "whole")] * 2
        shim.arm(kind, n)
        seen = script(corral)
        hit = shim.disarm()
        wait_for(lambda: corral.process.poll() is not None or script(corral) == [(200, "whole")] * 2, 10,
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
    print("%s: %d of %d calls failed, %d times corral ended" % (kind, failed, n, ended))
    assert failed > 0
