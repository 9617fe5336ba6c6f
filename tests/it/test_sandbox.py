"""The sandbox around the running process (S-380, S-381, P-16); attempts from inside are unit tests."""

import os
import pathlib
import re
import signal

import pytest

from harness import chat, wait_for


@pytest.fixture
def boxed(stable, monkeypatch):
    """boxed(*sims, **settings): a gateway without sanitizers, so that its sandbox is closed."""
    monkeypatch.setenv("CORRAL", os.environ["CORRAL_PLAIN"])

    def start(*sims, **settings):
        corral = stable.corral(*sims, **settings)
        line = wait_for(lambda: corral.logged("start"), 3, "the start line")[0]
        assert line["sandbox"] is True, line
        return corral
    return start


def status_of(task):
    return dict(re.findall(r"^(\w+):\t(.*)$", (task / "status").read_text(), re.M))


def test_every_thread_is_in_it(stable, boxed, tmp_path):
    state = tmp_path / "state"
    state.mkdir()
    limits = [{"name": "daily", "tokens": 1000, "calendar": "day"}]
    corral = boxed(stable.sim(), state_dir=str(state), tenants={"acme": {"limits": limits}, "beta": {}},
                   sandbox={"mode": "required"})
    tasks = list(pathlib.Path("/proc/%d/task" % corral.process.pid).iterdir())
    assert len(tasks) >= 5  # main, log, budgets, two workers
    for task in tasks:
        found = status_of(task)
        assert (found["NoNewPrivs"], found["Seccomp"]) == ("1", "2"), (task, found)
        assert {int(found[name], 16) for name in ("CapEff", "CapPrm", "CapBnd")} == {0}, (task, found)


def test_serving_inside(stable, boxed, tmp_path):
    """A name as replica, a budget, a rotated log, a reload and a new key: all within."""
    state, logs = tmp_path / "state", tmp_path / "logs"
    state.mkdir()
    logs.mkdir()
    sim = stable.sim()
    limits = [{"name": "daily", "tokens": 1000, "calendar": "day"}]
    config = stable.make_config([sim], state_dir=str(state), log={"file": str(logs / "corral.log")},
                                tenants={"acme": {"limits": limits}, "beta": {}})
    config["replicas"] = [{"url": "http://localhost:%d" % sim.port}]
    corral = stable.serve(config)
    assert corral.post("/api/chat", chat()).status == 200
    wait_for(lambda: corral.metrics().sum("corral_budget_rows_written_total") > 0, 5, "a written budget")
    (logs / "corral.log").rename(logs / "old.log")
    corral.signal(signal.SIGUSR1)
    assert corral.post("/api/chat", chat()).status == 200
    wait_for(lambda: (logs / "corral.log").exists() and "access" in (logs / "corral.log").read_text(), 5,
             "a line in the new file")
    corral.reload(dict(config, queue={"max_waiting": 7}))
    assert corral.post("/api/chat", chat()).status == 200
    assert corral.stop() == 0


@pytest.mark.parametrize("change,sentence", [
    ("folder", "is new: the sandbox is closed around those of the start"),
    ("port", "of a replica is new")])
def test_a_reload_out_of_it_needs_a_restart(stable, boxed, tmp_path, change, sentence):
    sim, other = stable.sim(), stable.sim()
    corral = boxed(sim)
    if corral.logged("start")[0]["landlock_abi"] < 4:
        pytest.skip("this kernel's Landlock does not know ports")
    config = dict(corral.config)
    if change == "folder":
        away = tmp_path / "away"
        away.mkdir()
        (away / "keys").write_text(pathlib.Path(config["api_keys_file"]).read_text())
        (away / "keys").chmod(0o600)
        config["api_keys_file"] = str(away / "keys")
    else:
        config["replicas"] = [{"url": other.url}]
    corral.reload(config, result="failed")
    wait_for(lambda: any(sentence in line.get("detail", "") for line in corral.logged("reload.failed")), 3,
             "the reason in the log")
    assert corral.post("/api/chat", chat()).status == 200


def test_off_says_so(stable, monkeypatch):
    monkeypatch.setenv("CORRAL", os.environ["CORRAL_PLAIN"])
    corral = stable.corral(stable.sim(), sandbox={"mode": "off"})
    line = wait_for(lambda: corral.logged("start"), 3, "the start line")[0]
    assert line["sandbox"] is False
    assert status_of(pathlib.Path("/proc/%d" % corral.process.pid))["Seccomp"] == "0"
