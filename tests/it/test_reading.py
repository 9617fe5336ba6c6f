"""P-07: what corral reads in a body is what Go's encoding/json reads there, or it is refused."""

import base64
import json
import os
import pathlib
import shutil
import struct
import subprocess

import pytest

from harness import program
from recorder import SEED

HERE = pathlib.Path(__file__).parents[1] / "reading"
PATHS = ["/api/chat", "/api/generate", "/api/embed", "/api/embeddings", "/v1/chat/completions",
         "/v1/completions", "/v1/embeddings", "/v1/responses", "/v1/messages", "/api/show"]


def driver():
    return str(pathlib.Path(program("CORRAL")).parents[1] / "tests/reading/reading")


def test_recorded_readings_of_go():
    """Bodies with Go's reading of them, made by oracle.go; nothing but our own driver runs."""
    pairs = [json.loads(line) for line in (HERE / "pairs.jsonl").read_text().splitlines()]
    records = b""
    for pair in pairs:
        pair["body"] = base64.b64decode(pair["body"])
        records += struct.pack("<BI", PATHS.index(pair["route"]), len(pair["body"])) + pair["body"]
    done = subprocess.run([driver()], input=records, capture_output=True, timeout=60, check=True)
    readings = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(readings) == len(pairs) >= 500
    held = 0
    for pair, reading in zip(pairs, readings):
        if not reading["ok"] or pair["error"]:
            continue
        held += 1
        assert reading["model"] == pair["model"], pair
        assert reading["stream"] == pair["stream"], pair
        assert reading["bound"] <= 64, pair
        sent = {key.casefold(): value for key, value in json.loads(reading["sent"]).items()}
        assert not {"keep_alive", "shift", "insecure"} & set(sent), pair
        assert sent.get("model", "").strip() == pair["model"].strip(), pair
    assert held > len(pairs) // 5


@pytest.mark.long
def test_a_million_bodies(tmp_path):
    if shutil.which("go") is None:
        pytest.skip("package golang-go has the oracle's compiler")
    oracle = tmp_path / "oracle"
    env = dict(os.environ, GOCACHE=str(tmp_path / "cache"), GOFLAGS="-mod=mod")
    subprocess.run(["go", "build", "-o", str(oracle), str(HERE / "oracle.go")], env=env, check=True,
                   timeout=300)
    done = subprocess.run([str(oracle), driver(), "1000000", str(SEED)], capture_output=True,
                          text=True, timeout=1800, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
