"""Every key of the schema has a test that shows its effect, and the "change" column says what a reload does."""

import ast
import copy
import os
import pathlib
import re
import signal
import subprocess

import pytest

import pki
from schema_keys import KEYS
from harness import wait_for

HERE = pathlib.Path(__file__).parent
def rows():
    """key -> ((kind, default, range), change), as `corral reference` prints it."""
    done = subprocess.run([os.environ["CORRAL"], "reference"], capture_output=True, text=True, timeout=20, check=True)
    cells = [[cell.strip(" `") for cell in line.split(" | ")] for line in done.stdout.splitlines()
             if line.startswith("| `")]
    assert len(cells) > 100
    return {c[0].lstrip("| `"): ((c[1], c[2], c[3]), c[4]) for c in cells}


def leaves():
    return [key for key, (row, _) in rows().items() if row[0] not in ("block", "list of blocks")]


def source_of(test):
    """The test with its decorators, and whatever of its file it names, twice over."""
    file, _, name = test.partition("::")
    text = (HERE / file).read_text()
    parts = {}
    for node in ast.parse(text).body:
        first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
        for target in [node.name] if isinstance(node, (ast.FunctionDef, ast.ClassDef)) else \
                [n.id for t in node.targets for n in ast.walk(t) if isinstance(n, ast.Name)] \
                if isinstance(node, ast.Assign) else []:
            parts[target] = "\n".join(text.splitlines()[first - 1:node.end_lineno])
    assert name in parts, "there is no such test: " + test
    found = parts.pop(name)
    for _ in range(2):
        for target in [t for t in parts if re.search(r"\b%s\b" % t, found)]:
            found += parts.pop(target)
    return found


def test_every_key_has_a_test():
    wanted = set(leaves())
    assert wanted - set(KEYS) == set(), "keys without a test in schema_keys.py"
    assert set(KEYS) - wanted == set(), "keys that the schema does not have"


@pytest.mark.parametrize("key", KEYS)
def test_its_test_is_about_it(key):
    assert re.search(r"\b%s\b" % re.escape(key.split(".")[-1].replace("[]", "")), source_of(KEYS[key])), KEYS[key]


# ---- what a reload takes ----

# Values that are others than those of the gateway below, for what is no number or `true or false`.
OTHER = {
    "listeners[].address": "127.0.0.1:1", "state_dir": "/tmp", "log.file": "/dev/null", "health.address": "127.0.0.1:2",
    "metrics.address": "127.0.0.1:3", "sandbox.mode": "off", "log.level": "debug", "tls.unknown_name": "refuse",
    "tenants[].limits[].calendar": None, "tenants[].limits[].shadow": None,
    "limits.connections_per_trusted_address": 5000, "limits.tenant_body_memory_bytes": 30000000, "tls.client_auth": None,
    "listeners[].protocols": ["http/1.1"], "listeners[].trusted_sources": ["10.0.0.0/8"], "server_names": ["a.test"],
    "tenants[].verbs": ["chat"], "tenants[].models": ["x"], "models[].options.allowed": ["shift"],
    "issuers[].max_token_lifetime_s": None, "listeners[].proxy_protocol": None, "listeners[].tls": None, "tenants[].name": None,
}


def other_value(key, row):
    """Another value that is allowed, or None: the key needs files or further keys."""
    kind, default, span = row
    if key in OTHER:
        return OTHER[key]
    if kind == "true or false":
        return default != "true"
    if kind.startswith("number") and default.isdigit():
        low, _, high = span.partition(" to ")
        return int(default) + 1 if int(default) < int(high) else int(low)
    return None


def put(config, key, value):
    """Set "a.b[].c" in a configuration, in the first element of each list."""
    at = config
    *blocks, last = key.split(".")
    for block in blocks:
        at = at.setdefault(block.replace("[]", ""), [{}] if block.endswith("[]") else {})
        at = at[0] if isinstance(at, list) else at
    at[last] = value


def reload_of(corral, config):
    """What a reload says: (result, its detail, the keys that need a restart)."""
    wait_for(lambda: len(corral.logged("reload.done")) == corral.reloads("ok"), 3, "all lines")
    marks = [len(corral.logged(event)) for event in ("reload.failed", "reload.restart_needed")]
    before = corral.reloads("ok") + corral.reloads("failed")
    failed = corral.reloads("failed")
    corral.write(config)
    corral.signal(signal.SIGHUP)
    wait_for(lambda: corral.reloads("ok") + corral.reloads("failed") > before, 5, "a reload")
    if corral.reloads("failed") > failed:
        return "failed", wait_for(lambda: corral.logged("reload.failed")[marks[0]:], 3, "the line")[0]["detail"]
    wait_for(lambda: len(corral.logged("reload.done")) == corral.reloads("ok"), 3, "the line")
    corral.reload(corral.config)  # and back
    lines = corral.logged("reload.restart_needed")[marks[1]:]
    return "ok", lines[0]["detail"] if lines else ""


def test_the_change_column_says_what_a_reload_does(stable):
    """Where the reference says restart, each key alone is named; where it says reload, all are taken in silence."""
    corral = stable.corral(stable.sim(), models=[{"name": "x"}])
    everything, tried, wrong = copy.deepcopy(corral.config), {"reload": 0, "restart": 0}, []
    for key, (row, change) in rows().items():
        value = other_value(key, row)
        if row[0] in ("block", "list of blocks") or value is None:
            continue
        tried[change] += 1
        if change == "reload":
            put(everything, key, value)
            continue
        config = copy.deepcopy(corral.config)
        put(config, key, value)
        said = reload_of(corral, config)
        if re.sub(r"\[\d+\]", "[]", said[1]).split(" changed: that needs a restart")[0] != key:
            wrong.append((key, said))
    assert not wrong, "\n".join(map(str, wrong))
    assert reload_of(corral, everything) == ("ok", "")
    assert tried["reload"] > 60 and tried["restart"] >= 8, tried


@pytest.mark.parametrize("key", ["listeners", "listeners[].tls"])
def test_other_listeners_need_a_restart(stable, make_config, tmp_path, key):
    chain, private = pki.Authority(tmp_path).leaf(tmp_path, "leaf")
    corral = stable.serve(make_config([stable.sim()], tls={"certificates": [{"chain": chain, "key": private}]}))
    config = copy.deepcopy(corral.config)
    if key == "listeners":
        config["listeners"].append({"address": "127.0.0.1:1"})
    else:
        config["listeners"][0]["tls"] = True
    assert dict((k, v[1]) for k, v in rows().items())[key] == "restart"
    result, detail = reload_of(corral, config)
    assert result == "failed" and re.sub(r"\[\d+\]", "[]", detail) == key + " changed: that needs a restart"
