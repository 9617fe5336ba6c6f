"""System calls of a worker: what a request and a chunk may cost (DESIGN "Where the time goes")."""

import collections
import os
import pathlib
import re
import shutil
import subprocess

import pytest

import h1
from harness import chat, wait_for

REQUESTS, CHUNKS = 100, 400
CALL = re.compile(r"^(\d+)\s+(?:[\d.]+\s+)?([a-z_0-9]+)\(")
# Reading and sending go through one call each; anything else on the way is a surprise.
READS, SENDS, WAITS = {"read", "recvfrom"}, {"write", "sendto"}, {"epoll_wait", "epoll_pwait"}


def all_traced(pid):
    tasks = pathlib.Path("/proc/%d/task" % pid).iterdir()
    return all("TracerPid:\t0\n" not in (task / "status").read_text() for task in tasks)


@pytest.fixture
def traced(stable, monkeypatch, tmp_path):
    """(corral of one worker without sanitizers, sim, count): count(work) -> calls of the worker."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    monkeypatch.setenv("CORRAL", os.environ["CORRAL_PLAIN"])
    sim = stable.sim("--slots", "4", "--tokens-per-s", "0").warm("tiny")
    corral = stable.corral(sim, workers=1, slots=4)

    def count(work):
        out = tmp_path / "calls"
        strace = subprocess.Popen(["strace", "-f", "-q", "-p", str(corral.process.pid), "-o", str(out)],
                                  stderr=subprocess.DEVNULL)
        try:
            wait_for(lambda: all_traced(corral.process.pid), 10, "strace at every thread")
            work()
        finally:
            strace.terminate()
            strace.wait(10)
        threads = collections.defaultdict(collections.Counter)
        for line in out.read_text().splitlines():
            found = CALL.match(line)
            if found and "resumed" not in line.split("(")[0]:
                threads[found.group(1)][found.group(2)] += 1
        worker = max(threads.values(), key=lambda calls: sum(calls[c] for c in SENDS))
        print(dict(worker))
        return worker
    return corral, sim, count


def total(calls, names):
    return sum(calls[name] for name in names)


def test_calls_of_a_request(traced):
    corral, _, count = traced
    data = h1.post("/api/chat", chat(tokens=1, stream=False), corral.key())
    with corral.client() as client:
        def work():
            for _ in range(REQUESTS):
                client.send(data)
                assert client.answer().status == 200
        work()
        calls = count(work)
    slack = REQUESTS // 20
    assert total(calls, READS) <= 2 * REQUESTS + slack
    assert total(calls, SENDS) <= 2 * REQUESTS + slack
    assert total(calls, WAITS) <= 2 * REQUESTS + slack + 40  # a wheel that ticks meanwhile
    others = {name: n for name, n in calls.items() if name not in READS | SENDS | WAITS}
    assert sum(others.values()) <= slack, others


def test_calls_of_a_chunk(traced):
    corral, sim, count = traced
    sim.config(tokens_per_s=200)
    data = h1.post("/api/chat", chat(tokens=CHUNKS), corral.key())
    with corral.client(timeout=60) as client:
        client.send(h1.post("/api/chat", chat(tokens=1), corral.key()))  # connects, too
        assert client.answer().status == 200

        def work():
            client.send(data)
            assert len(client.answer().lines) == CHUNKS + 1
        calls = count(work)
    slack = CHUNKS // 20
    assert total(calls, READS) <= CHUNKS + slack
    assert total(calls, SENDS) <= CHUNKS + slack
    assert total(calls, WAITS) <= CHUNKS + slack + 40
    # The kernel is asked to acknowledge late: at the fourth read, and at every 32nd from there.
    assert abs(calls.pop("setsockopt", 0) - (1 + (CHUNKS - 4) // 32)) <= 1
    others = {name: n for name, n in calls.items() if name not in READS | SENDS | WAITS}
    assert sum(others.values()) <= slack, others
