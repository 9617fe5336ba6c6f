"""S-133: every strict case of h2spec 2.2.1, over TLS (ALPN) and by prior knowledge."""

import os
import pathlib
import shutil
import subprocess
import xml.etree.ElementTree as tree

import pytest

from pki import Authority

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = ROOT / ".cache" / "h2spec"
CASES = 146


@pytest.fixture(scope="module")
def h2spec():
    """Built once, from the pinned modules of tests/h2spec; nothing is kept outside the tree."""
    if not BINARY.exists():
        go = shutil.which("go")
        if go is None:
            pytest.skip("package golang-go builds h2spec")
        cache = ROOT / ".cache"
        cache.mkdir(exist_ok=True)
        config = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
        env = {**os.environ, "GOPATH": str(cache / "go"), "GOCACHE": str(cache / "go-build"),
               "GOTOOLCHAIN": "local", "GOFLAGS": "-modcacherw",
               # Go's telemetry goes there; the user's settings of Go stay in force.
               "XDG_CONFIG_HOME": str(cache / "go-config"), "GOENV": os.environ.get("GOENV", config + "/go/env")}
        done = subprocess.run([go, "build", "-o", str(BINARY), "github.com/summerwind/h2spec/cmd/h2spec"],
                              cwd=ROOT / "tests" / "h2spec", env=env, capture_output=True, text=True,
                              timeout=300, check=False)
        if done.returncode != 0 and "dial tcp" in done.stderr:
            pytest.skip("no network, and h2spec was not built before")
        assert done.returncode == 0, done.stderr
    return BINARY


@pytest.mark.parametrize("how", ["tls", "prior knowledge"])
def test_s133_every_strict_case(h2spec, stable, make_config, tmp_path, how):
    config = make_config([stable.sim()])
    config["listeners"][0]["protocols"] = ["h2"]
    options = []
    if how == "tls":
        chain, key = Authority(tmp_path).leaf(tmp_path, "localhost")
        config["listeners"][0]["tls"] = True
        config["tls"] = {"certificates": [{"chain": str(chain), "key": str(key)}]}
        options = ["-t", "-k"]
    corral = stable.serve(config)
    report = tmp_path / "report.xml"
    done = subprocess.run([str(h2spec), "-h", corral.address[0], "-p", str(corral.address[1]), "-P", "/", "-S",
                           "-o", "5", "-j", str(report), *options], capture_output=True, text=True, timeout=120,
                          check=False)
    cases = list(tree.parse(report).getroot().iter("testcase"))
    failed = [case.get("classname") for case in cases if len(case)]
    assert (len(cases), failed, done.returncode) == (CASES, [], 0), done.stdout[-3000:]
    print("%s: %d of %d" % (how, len(cases), CASES))
