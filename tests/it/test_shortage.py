"""When the machine runs short: descriptors, log space."""

import errno
import os
import pathlib
import resource
import time

import h1
from harness import program, wait_for
from shim import Shim


def cpu_seconds(pid):
    fields = pathlib.Path("/proc/%d/stat" % pid).read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_s312_no_descriptor_left(stable, monkeypatch):
    """Accepting rests instead of spinning, and goes on when there are descriptors again."""
    monkeypatch.setenv("CORRAL", program("CORRAL_PLAIN"))
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
    time.sleep(2)
    assert cpu_seconds(pid) - spent <= 0.05 * 2
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    began = time.monotonic()
    for client in clients:
        assert client.answer().status == 200
        client.close()
    assert time.monotonic() - began < 1


def test_s313_accept_fails(stable, monkeypatch, tmp_path):
    """Once for each client: all are served, at the latest when accepting has rested."""
    monkeypatch.setenv("CORRAL", program("CORRAL_PLAIN"))
    shim = Shim(tmp_path)
    sim = stable.sim("--tokens-per-s", "0").warm()
    corral = stable.serve(stable.make_config([sim], workers=1), env=shim.env)
    for error in (errno.ECONNABORTED, errno.EINTR, errno.ENOBUFS, errno.EPERM, errno.EMFILE, errno.ENFILE):
        shim.arm("accept", 1, error)
        with corral.client() as client:
            client.send(h1.get("/api/version", corral.key()))
            assert client.answer("GET", timeout=2).status == 200
        assert shim.disarm() == 1, error


def test_a_log_target_that_is_full_stops_nobody(stable):
    sim = stable.sim("--tokens-per-s", "0").warm()
    corral = stable.corral(sim, log={"file": "/dev/full"})
    for _ in range(20):
        assert corral.get("/api/version").status == 200
    wait_for(lambda: corral.metrics().sum("corral_log_dropped_total") >= 20, 3, "the drops")
