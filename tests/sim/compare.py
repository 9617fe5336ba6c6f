#!/usr/bin/env python3
"""compare.py [PATH_OF_OLLAMA_SIM]: replay the recorded requests against ollama-sim and compare the
shape of every answer with what the real Ollama 0.24.0 said.

Compared: status line, header names, order and values, framing, sequence of chunks and events, JSON
keys in order with their types, error texts, terminators, whether the connection was closed. Masked:
what cannot be equal (generated text, numbers, times, digests, ids). Differences that are meant stand
in DIFFERENT, each with its reason.
"""

import glob
import json
import os
import subprocess
import sys

import wire

HERE = os.path.dirname(os.path.abspath(__file__))

# (case, JSON path or "header:Name", reason). A path is masked on both sides, keys below it too.
DIFFERENT = [
    ("show", "model_info", "made from the model file; the sim gives a few members of it"),
    ("show", "tensors", "made from the model file; the sim gives a few of them"),
    ("show-name", "model_info", "made from the model file; the sim gives a few members of it"),
    ("show-name", "tensors", "made from the model file; the sim gives a few of them"),
]

EXACT_STRINGS = {
    "error", "message", "type", "object", "role", "done_reason", "finish_reason", "stop_reason",
    "status", "system_fingerprint", "owned_by", "model", "version", "service_tier", "truncation",
    "tool_choice", "source", "format", "family", "code", "name",
}
EXACT_NUMBERS = {"index", "output_index", "content_index", "sequence_number", "eval_count",
                 "completion_tokens", "output_tokens", "cached_tokens", "reasoning_tokens",
                 "max_output_tokens", "temperature", "top_p", "context_length", "size_vram"}


class Sim:
    """A running ollama-sim."""

    def __init__(self, path, *args):
        self.process = subprocess.Popen([path, "--port", "0", *args], stdout=subprocess.PIPE,
                                        text=True)
        line = self.process.stdout.readline().split()
        host, port = line[-1].rsplit(":", 1)
        self.address = (host, int(port))

    def close(self):
        self.process.terminate()
        self.process.wait(10)
        self.process.stdout.close()


def shape(value, key, path, masked):
    """A JSON value with everything that may differ replaced by its type."""
    if path in masked:
        return "(masked)"
    if isinstance(value, list) and value and isinstance(value[0], tuple):
        return [(k, shape(v, k, (path + "." + k).lstrip("."), masked)) for k, v in value]
    if isinstance(value, list):
        items = [shape(v, key, path, masked) for v in value]
        if items and all(item == "number" for item in items):
            return ["number..."]  # embeddings, context: how many is the model's affair
        return items
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, (int, float)):
        return value if key in EXACT_NUMBERS else "number"
    return value if key in EXACT_STRINGS else "string"


def json_shape(text, masked):
    try:
        value = json.loads(text, object_pairs_hook=lambda pairs: pairs or "{}")
    except ValueError:
        return ["not JSON", text.decode("utf-8", "replace")]
    return shape(value, "", "", masked)


def event_shapes(chunk, masked):
    """The parts of one SSE or NDJSON chunk, with what stands between them."""
    parts = []
    for line in chunk.split(b"\n"):
        if line.startswith(b"data: {"):
            parts.append(("data", json_shape(line[6:], masked)))
        elif line.startswith(b"{"):
            parts.append(("json", json_shape(line, masked)))
        else:
            parts.append(("text", line.decode("latin-1")))
    return parts


def header_shape(pairs, masked):
    out = []
    for name, value in pairs:
        if name == "Date" or (name == "Content-Length" and value not in ("0", "17")):
            value = "(any)"
        if "header:" + name in masked:
            continue
        out.append((name, value))
    return out


def response_shape(data, method, masked):
    shapes = []
    while True:
        head, rest = wire.split_head(data)
        status, pairs = wire.fields(head)
        shapes.append((status, header_shape(pairs, masked)))
        if status.split()[1] != "100":
            break
        data = rest
    names = {name.lower(): value for name, value in pairs}
    if names.get("transfer-encoding") == "chunked":
        chunks, left = wire.unchunk(rest)
        body = [event_shapes(chunk, masked) for chunk in chunks]
        return shapes, body, "ended, then %r" % left if left is not None else "cut"
    if rest.startswith(b"{") or b"\n{" in rest:
        return shapes, [event_shapes(rest, masked)], "plain"
    return shapes, rest.decode("latin-1"), "plain"


def case_name(path):
    return os.path.basename(path)[4:-5]


def compare_one(path, address):
    """Differences of one recording as text, empty when there are none."""
    request, real, real_closed = wire.load(path)
    name = case_name(path)
    masked = {what for case, what, _ in DIFFERENT if case == name}
    method = request.split(b" ", 1)[0].decode("latin-1")
    ours, closed = wire.exchange(address, request, timeout=20)
    want = response_shape(real, method, masked)
    got = response_shape(ours, method, masked)
    problems = []
    if closed != real_closed:
        problems.append("%s: real closed=%s, sim closed=%s" % (name, real_closed, closed))
    for label, a, b in zip(("head", "body", "end"), want, got):
        if a != b:
            problems.append("%s %s:\n  real %s\n  sim  %s" % (name, label, a, b))
    return "\n".join(problems)


def death_ends(data):
    """How an answer ends whose runner died: head, its last two chunks, and what follows them."""
    head, body, end = response_shape(data, "POST", set())
    return head, body[-2:] if head[0][0].endswith("200 OK") else body, end


def compare_death(path, address):
    """Like compare_one; the sim at `address` was told to let the runner die."""
    request, real, real_closed = wire.load(path)
    ours, closed = wire.exchange(address, request, timeout=20)
    want, got = death_ends(real) + (real_closed,), death_ends(ours) + (closed,)
    return "" if want == got else "%s:\n  real %s\n  sim  %s" % (path, want, got)


def recordings():
    return sorted(glob.glob(os.path.join(HERE, "recordings", "[0-9]*.http")))


def deaths():
    return sorted(glob.glob(os.path.join(HERE, "recordings", "death-*.http")))


def main():
    path = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("OLLAMA_SIM", "ollama-sim")
    sim = Sim(path)
    bad = 0
    try:
        for recording in recordings():
            problem = compare_one(recording, sim.address)
            if problem:
                bad += 1
                print(problem)
    finally:
        sim.close()
    print("%d recordings, %d differ" % (len(recordings()), bad))
    return 1 if bad or not recordings() else 0


if __name__ == "__main__":
    sys.exit(main())
