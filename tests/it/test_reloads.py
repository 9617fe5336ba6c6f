"""A reload is beside main's loop: whatever a file costs to read, probes are answered and signals heard (F21)."""

import json
import pathlib
import shutil
import signal
import subprocess
import threading
import time

import pytest

import h1
from harness import chat, program, wait_for


def herd(config, tenants=1000, limits=16):
    """A good configuration that takes a while to read: megabytes of tenants."""
    rules = [{"name": "r%d" % i, "requests": 1000, "window_s": 60, "shadow": True} for i in range(limits)]
    return {**config, "tenants": config["tenants"] + [
        {"name": "t%d" % i, "limits": rules} for i in range(tenants - len(config["tenants"]))]}


def large(config):
    """As large as a file may be, and refused at its very end."""
    text = json.dumps(herd(config))
    return text + "\n# much\n" * ((8 << 20) // 8 - len(text) // 8 - 10) + "more: 1\n"


BOMBS = {
    "deep": "[" * 40000,
    "deep-blocks": "".join("%s- a:\n" % (" " * i) for i in range(2000)),
    "wide": "a: [" + "[]," * (2 << 20),
    "keys": "".join("key_%d: 1\n" % i for i in range(500000)),
    "scalar": "a: \"" + "x\n" * (3 << 20),
    "directives": "".join("%%TAG !a%d! tag:a\n" % i for i in range(300000)),
}


def reload(corral, config, result):
    """Corral.reload, for what takes long under a sanitizer."""
    before = corral.reloads(result)
    corral.write(config)
    corral.signal(signal.SIGHUP)
    wait_for(lambda: corral.reloads(result) > before, 60, "a reload that is " + result)


class Probes:
    """Asks /healthz all the time."""

    def __init__(self, corral):
        self.corral, self.took, self.stop = corral, [], threading.Event()
        self.thread = threading.Thread(target=self._ask, daemon=True)

    def _ask(self):
        while not self.stop.is_set():
            began = time.monotonic()
            assert h1.ask(self.corral.health, h1.get("/healthz"), timeout=20).status == 200
            self.took.append(time.monotonic() - began)
            time.sleep(0.002)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join(30)

    def judge(self):
        """100 ms; on a machine that is busy with other things a few may take longer, but none a second."""
        slow = [took for took in self.took if took > 0.1]
        print("%d probes, the slowest %.0f ms, %d above 100 ms" % (
            len(self.took), max(self.took) * 1000, len(slow)))
        assert len(slow) <= 1 + len(self.took) // 50 and max(self.took) < 1


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_delays_no_probe(stable, monkeypatch, name):
    """Without a sanitizer, which takes ten times as long: tests/unit/config/test_bombs.c has one."""
    monkeypatch.setenv("CORRAL", program("CORRAL_PLAIN"))
    sim = stable.sim("--tokens-per-s", "0").warm()
    corral = stable.corral(sim)
    with Probes(corral) as probes:
        for _ in range(3):
            reload(corral, BOMBS[name], "failed")
        assert corral.post("/api/chat", chat()).status == 200
    probes.judge()
    done = subprocess.run([program("CORRAL_PLAIN"), "check", str(corral.file)], capture_output=True, text=True,
                          timeout=10, check=False)
    assert done.returncode == 1 and done.stderr.startswith(str(corral.file) + ":"), done.stderr[:300]
    assert int(done.stderr[len(str(corral.file)) + 1:].split(":")[0]) >= 1


def test_a_large_herd_delays_no_probe(stable, monkeypatch):
    """Read, checked and put into force; and back again."""
    monkeypatch.setenv("CORRAL", program("CORRAL_PLAIN"))
    sim = stable.sim("--tokens-per-s", "0").warm()
    corral = stable.corral(sim)
    many = herd(corral.config)
    with Probes(corral) as probes:
        for _ in range(2):
            reload(corral, many, "ok")
            reload(corral, corral.config, "ok")
    probes.judge()
    assert corral.post("/api/chat", chat()).status == 200


def outcomes(corral):
    return corral.reloads("ok") + corral.reloads("failed")


def test_signals_during_a_reload_become_one_more(stable):
    sim = stable.sim("--tokens-per-s", "0").warm()
    corral = stable.corral(sim)
    corral.write(large(corral.config))
    for _ in range(20):
        corral.signal(signal.SIGHUP)
        time.sleep(0.005)
    assert outcomes(corral) == 0, "still reading"
    corral.write(corral.config)
    wait_for(lambda: outcomes(corral) == 2, 30, "both")
    time.sleep(0.5)
    assert (corral.reloads("failed"), corral.reloads("ok")) == (1, 1), "the last state of the file is in force"
    assert corral.post("/api/chat", chat()).status == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_drain_during_a_reload(stable, number):
    sim = stable.sim("--tokens-per-s", "0").warm()
    corral = stable.corral(sim)
    corral.write(large(corral.config))
    corral.signal(signal.SIGHUP)
    time.sleep(0.05)
    assert outcomes(corral) == 0, "still reading"
    began = time.monotonic()
    corral.signal(number)
    assert corral.wait_exit(10) == 0
    print("ended after %.2f s" % (time.monotonic() - began))


def test_what_changes_during_a_reload_is_seen_after_it(stable, make_config, tmp_path):
    """A key file that is replaced while the configuration is read."""
    sim = stable.sim("--tokens-per-s", "0").warm()
    config = make_config([sim])
    keys = tmp_path / "keys"
    head, *lines = pathlib.Path(config["api_keys_file"]).read_text().splitlines(keepends=True)
    keys.write_text(head + "".join(lines))
    keys.chmod(0o600)
    config["api_keys_file"] = str(keys)
    corral = stable.serve(config)
    assert corral.post("/api/chat", chat(), "beta").status == 200
    corral.write(large(config))
    corral.signal(signal.SIGHUP)
    time.sleep(0.05)
    fresh = tmp_path / "fresh"
    fresh.write_text(head + "".join(line for line in lines if '"beta"' not in line))
    fresh.chmod(0o600)
    fresh.rename(keys)
    wait_for(lambda: corral.post("/api/chat", chat(), "beta").status == 401, 15, "the key's end")
    assert corral.post("/api/chat", chat()).status == 200


def test_what_changes_during_the_start_is_seen_after_it(stable, make_config, tmp_path, monkeypatch):
    """Between reading a key file and looking at its state: here the ports take their time to be bound."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("no strace")
    slow = tmp_path / "slow-corral"
    slow.write_text("#!/bin/sh\nexec %s -D -f -o /dev/null -e trace=bind -e inject=bind:delay_enter=700000 %s \"$@\"\n" % (
        strace, program("CORRAL_PLAIN")))
    slow.chmod(0o755)
    config = make_config([stable.sim("--tokens-per-s", "0").warm()])
    keys = tmp_path / "keys"
    head, *lines = pathlib.Path(config["api_keys_file"]).read_text().splitlines(keepends=True)
    keys.write_text(head + "".join(lines))
    monkeypatch.setenv("CORRAL", str(slow))
    corral = stable.serve({**config, "api_keys_file": str(keys), "sandbox": {"mode": "off"}}, wait=False)
    monkeypatch.undo()
    time.sleep(0.6)  # it has read them, and waits in bind
    assert not corral.logged("start")
    fresh = tmp_path / "fresh"
    fresh.write_text(head + "".join(line for line in lines if '"beta"' not in line))
    fresh.rename(keys)
    corral.wait_ready()
    wait_for(lambda: corral.post("/api/chat", chat(), "beta").status == 401, 8, "the key's end")
    assert corral.post("/api/chat", chat()).status == 200


def test_budgets_of_new_tenants_are_restored_by_a_reload(stable, tmp_path):
    """Beside main's loop as well, and before the tenant's first request."""
    daily = {"name": "daily", "tokens": 1000, "calendar": "day"}
    sim = stable.sim("--tokens-per-s", "0").warm()
    state = tmp_path / "state"
    state.mkdir()
    first = stable.corral(sim, state_dir=str(state), tenants={"acme": {}, "beta": {"limits": [daily]}})
    assert first.post("/api/chat", chat(tokens=50), "beta").status == 200
    used = first.get("/corral/v1/usage", "beta").json["limits"][0]["used"]
    assert used >= 50 and first.stop() == 0
    corral = stable.corral(sim, state_dir=str(state), tenants={"acme": {"limits": [daily]}, "beta": {}})
    corral.reload({**corral.config, "tenants": [{"name": "acme", "limits": [daily]},
                                                {"name": "beta", "limits": [daily]}]})
    assert corral.get("/corral/v1/usage", "beta").json["limits"][0]["used"] == used
