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


def keys_in(folder, config):
    folder.mkdir()
    kept = folder / "keys"
    kept.write_text(pathlib.Path(config["api_keys_file"]).read_text())
    kept.chmod(0o600)
    return kept


@pytest.mark.parametrize("way", ["a link elsewhere", "a folder by a link", "links of links"])
def test_files_behind_links_are_read_again(stable, boxed, tmp_path, way):
    """A link may lead out of its folder, and be replaced: by certbot, by the kubelet."""
    sim = stable.sim()
    config = stable.make_config([sim])
    real = keys_in(tmp_path / "archive", config)
    live = tmp_path / "live"
    live.mkdir()
    if way == "a link elsewhere":
        (live / "keys").symlink_to(os.path.join("..", "archive", "keys"))
        named = live / "keys"
    elif way == "a folder by a link":
        (live / "..data").symlink_to(real.parent)
        named = live / "..data" / "keys"
    else:
        (tmp_path / "two").symlink_to("archive")
        (live / "keys").symlink_to(tmp_path / "two" / "keys")
        named = live / "keys"
    corral = boxed(sim, api_keys_file=str(named))
    corral.reload({**corral.config, "queue": {"max_waiting": 7}})
    # The file is replaced where it is, and the link beside it.
    fresh = real.with_name("fresh")
    fresh.write_text(real.read_text())
    fresh.chmod(0o600)
    fresh.rename(real)
    corral.reload({**corral.config, "queue": {"max_waiting": 8}})
    assert corral.post("/api/chat", chat()).status == 200


def test_a_folder_that_a_link_is_turned_to_is_read(stable, boxed, tmp_path):
    """As the kubelet does: `..data` is renamed from one folder to the next beside it."""
    sim = stable.sim()
    config = stable.make_config([sim])
    keys_in(tmp_path / "one", config)
    keys_in(tmp_path / "two", config)
    (tmp_path / "..data").symlink_to("one")
    corral = boxed(sim, api_keys_file=str(tmp_path / "..data" / "keys"))
    (tmp_path / "..next").symlink_to("two")
    (tmp_path / "..next").rename(tmp_path / "..data")
    corral.reload({**corral.config, "queue": {"max_waiting": 7}})
    assert corral.post("/api/chat", chat()).status == 200


def test_a_link_out_of_the_sandbox_needs_a_restart(stable, boxed, tmp_path):
    sim = stable.sim()
    config = stable.make_config([sim])
    keys_in(tmp_path / "in", config)
    (tmp_path / "live").mkdir()
    (tmp_path / "live" / "keys").symlink_to(tmp_path / "in" / "keys")
    corral = boxed(sim, api_keys_file=str(tmp_path / "live" / "keys"))
    keys_in(tmp_path / "out", config)
    (tmp_path / "live" / "next").symlink_to(tmp_path / "out" / "keys")
    (tmp_path / "live" / "next").rename(tmp_path / "live" / "keys")
    corral.reload({**corral.config, "queue": {"max_waiting": 7}}, result="failed")
    # The folder is named, or the file that cannot be read.
    detail = corral.logged("reload.failed")[0]["detail"]
    assert str(tmp_path / "out") in detail or "Permission denied" in detail, detail
    assert corral.post("/api/chat", chat()).status == 200


def test_off_says_so(stable, monkeypatch):
    monkeypatch.setenv("CORRAL", os.environ["CORRAL_PLAIN"])
    corral = stable.corral(stable.sim(), sandbox={"mode": "off"})
    line = wait_for(lambda: corral.logged("start"), 3, "the start line")[0]
    assert line["sandbox"] is False
    assert status_of(pathlib.Path("/proc/%d" % corral.process.pid))["Seccomp"] == "0"
