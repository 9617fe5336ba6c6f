"""When the machine runs short: descriptors, log space."""

import os
import pathlib
import resource
import time

import h1
from harness import wait_for


def cpu_seconds(pid):
    fields = pathlib.Path("/proc/%d/stat" % pid).read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_no_descriptor_left(stable):
    """Accepting rests instead of spinning, and goes on when there are descriptors again."""
    sim = stable.sim("--tokens-per-s", "0").warm()
    corral = stable.corral(sim)
    pid = corral.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    highest = max(int(fd) for fd in os.listdir("/proc/%d/fd" % pid))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (highest + 1, before[1]))
    clients = [corral.client(timeout=10) for _ in range(8)]
    for client in clients:
        client.send(h1.get("/api/version", corral.key()))
    spent = cpu_seconds(pid)
    time.sleep(1.5)
    assert cpu_seconds(pid) - spent < 0.3
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    began = time.monotonic()
    for client in clients:
        assert client.answer().status == 200
        client.close()
    assert time.monotonic() - began < 2


def test_a_log_target_that_is_full_stops_nobody(stable):
    sim = stable.sim("--tokens-per-s", "0").warm()
    corral = stable.corral(sim, log={"file": "/dev/full"})
    for _ in range(20):
        assert corral.get("/api/version").status == 200
    wait_for(lambda: corral.metrics().sum("corral_log_dropped_total") >= 20, 3, "the drops")
