"""Instructions of a worker for scripted exchanges, beside those written down in instructions.json.

Wall time says nothing on a shared machine; valgrind's count does not care. More than 5 % over the record
fails; a rise on purpose is recorded with CORRAL_RECORD=1. Another compiler or libc counts differently, so there is a
record for each (Debian 12 and 13), and with any other nothing is compared: the case is skipped.
"""

import json
import os
import pathlib
import platform
import re
import shutil
import subprocess

import pytest

import h1
from harness import chat, wait_for

RECORD = pathlib.Path(__file__).with_name("instructions.json")
REQUESTS, CHUNKS, MAY_RISE = 200, 2000, 0.05


def built_with():
    """The compilers that the program itself names, and the C library here; not the `cc` in PATH, which may be another."""
    said = subprocess.run(["readelf", "-p", ".comment", os.environ["CORRAL_PLAIN"]], capture_output=True, text=True,
                          check=True)
    names = sorted(set(re.findall(r"^ *\[ *[0-9a-f]+\] +(.*)$", said.stdout, re.M)))
    return "; ".join([*names, "%s %s" % platform.libc_ver()])


@pytest.fixture
def counted(stable, monkeypatch, tmp_path):
    """(corral under callgrind, instructions): instructions(work) -> how many work() took."""
    if shutil.which("valgrind") is None:
        pytest.skip("valgrind is not installed")
    wrapper, out = tmp_path / "corral", tmp_path / "callgrind"
    wrapper.write_text("#!/bin/sh\nexec valgrind -q --tool=callgrind --separate-threads=yes "
                       "--callgrind-out-file=%s %s \"$@\"\n" % (out, os.environ["CORRAL_PLAIN"]))
    wrapper.chmod(0o755)
    monkeypatch.setenv("CORRAL", str(wrapper))
    sim = stable.sim("--slots", "4", "--tokens-per-s", "0").warm("tiny")
    rules = [{"name": "rpm", "requests": 5000000, "window_s": 60, "per": ["user"]},
             {"name": "tpm", "tokens": 500000000, "window_s": 60},
             {"name": "daily", "tokens": 900000000, "calendar": "day", "per": ["user", "model"]}]
    corral = stable.serve(stable.make_config([sim], slots=4, workers=1, sandbox={"mode": "off"},
                                             timeouts={"connect_ms": 60000},  # under valgrind, beside others
                                             tenants={"acme": {}, "beta": {"limits": rules}}), wait=False)
    corral.wait_ready(60)

    def dumps():
        """The totals of each dump's threads: files are named out.DUMP-THREAD."""
        found = {}
        for path in tmp_path.glob("callgrind.*-*"):
            total = re.search(r"^totals: (\d+)", path.read_text(), re.M)
            if total:
                found.setdefault(int(path.suffix[1:].split("-")[0]), []).append(int(total.group(1)))
        return found

    def instructions(work):
        """Of the busiest thread, the worker: what main does meanwhile depends on how long that takes."""
        threads = len(os.listdir("/proc/%d/task" % corral.process.pid))
        for step in (lambda: None, work):
            step()
            before = len(dumps())
            subprocess.run(["callgrind_control", "-d", str(corral.process.pid)], check=True,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            wait_for(lambda: len(dumps()) > before and len(dumps()[max(dumps())]) >= threads, 20, "a dump")
        return max(dumps()[max(dumps())])
    return corral, instructions


def test_instructions(counted):
    corral, instructions = counted
    found = {}
    with corral.client(timeout=60) as client:
        def repeat(data, times):
            for _ in range(times):
                client.send(data)
                assert client.answer().status == 200
        for name, tenant in (("request", "acme"), ("request with three limits", "beta")):
            data = h1.post("/api/chat", chat(tokens=1, stream=False), corral.key(tenant))
            repeat(data, 20)
            found[name] = instructions(lambda data=data: repeat(data, REQUESTS)) // REQUESTS
        for path in ("/api/chat", "/v1/chat/completions"):
            body = chat(tokens=CHUNKS) if path == "/api/chat" else dict(
                chat(), stream=True, max_tokens=CHUNKS)
            data = h1.post(path, body, corral.key())
            repeat(data, 1)
            found["chunk of " + path] = instructions(lambda data=data: repeat(data, 1)) // CHUNKS
    print(json.dumps(found, indent=1))
    records, name = json.loads(RECORD.read_text()), built_with()
    if os.environ.get("CORRAL_RECORD") == "1":
        records[name] = found
        RECORD.write_text(json.dumps(records, indent=1, sort_keys=True) + "\n")
    if name not in records:
        pytest.skip("nothing is recorded for %s" % name)
    rises = {what: (count, records[name][what]) for what, count in found.items()
             if count > records[name][what] * (1 + MAY_RISE)}
    assert not rises, "more than recorded (now, then): %s" % rises
