"""Two corral binaries in one run: rows in turns with paired ratios, and instructions counted by callgrind."""

import http.client
import json
import pathlib
import re
import statistics
import subprocess
import sys
import time

import gateways
import machine
import report
import rows

REQUESTS, CHUNKS = 200, 2000  # counted by callgrind
LARGE = 1 << 20  # bytes of a body

# row, figure, what it says
LINES = [
    ("request.clear.hs256", "cpu_us", "CPU us a request, clear, HS256"),
    ("request.clear.hs256", "per_s", "requests/s, clear, HS256"),
    ("request.body.1m", "cpu_us", "CPU us a request with a body of 1 MiB, clear"),
    ("request.body.1m", "per_s", "requests/s with a body of 1 MiB, clear"),
    ("h2.request.clear", "cpu_us", "HTTP/2: CPU us a request, clear"),
    ("h2.request.tls", "cpu_us", "HTTP/2: CPU us a request, TLS 1.3"),
    ("chunk.clear.10000", "cpu_us", "200 streams x 50/s, clear: CPU us a chunk"),
    ("chunk.clear.10000", "p99_us", "delay of a chunk, p99 us"),
    ("memory.idle.clear", "kib", "KiB an idle connection, clear"),
    ("memory.idle.clear", "rest_mib", "MiB at rest"),
    ("memory.stream.clear", "kib", "KiB an open stream, clear"),
    ("memory.idle.tls", "kib", "KiB an idle connection, TLS 1.3"),
    ("h2.memory.stream.20", "kib", "KiB an open stream, HTTP/2, TLS 1.3, 20 on a connection"),
    ("instructions.request", "count", "instructions a request"),
    ("instructions.request.1m", "count", "instructions a request with a body of 1 MiB"),
    ("instructions.h2.request", "count", "instructions a request, HTTP/2"),
    ("instructions.chunk", "count", "instructions a chunk, /api/chat"),
    ("instructions.chunk.openai", "count", "instructions a chunk, /v1/chat/completions"),
]
MEMORY = (("memory.idle.clear", False, False, 0), ("memory.stream.clear", False, True, 0),
          ("memory.idle.tls", True, False, 0), ("h2.memory.stream.20", True, True, 20))


class Plan:
    def __init__(self, quick, only=""):
        self.only, self.turns, self.memory_turns, self.seconds = only, 4 if quick else 10, 2 if quick else 4, 1 if quick else 2
        self.patience_s = 10 if quick else 60

    def wants(self, row):
        return row.startswith(self.only)


def measure(herd, plan):
    samples = rows.Samples(herd, plan.patience_s)
    running = {name: herd.start(name) for name in herd.corrals}

    def turns(row, take, times):
        if not plan.wants(row):
            return
        print(row, file=sys.stderr)
        for turn in range(times):
            for name in list(herd.corrals)[::1 if turn % 2 else -1]:
                samples.add(row, name, lambda name=name: take(name))

    s = plan.seconds
    turns("request.clear.hs256", lambda n: rows.request(herd, running[n], False, "hs256", s), plan.turns)
    turns("request.body.1m", lambda n: rows.request(herd, running[n], False, "hs256", s, LARGE, 4), plan.turns)
    turns("h2.request.clear", lambda n: rows.request_h2(herd, running[n], False, s), plan.turns)
    turns("h2.request.tls", lambda n: rows.request_h2(herd, running[n], True, s), plan.turns)
    herd.pace(50)
    turns("chunk.clear.10000", lambda n: rows.chunks(herd, running[n], False, s, 200), plan.turns)
    for gateway in running.values():
        gateway.stop()
        herd.gateways.remove(gateway)
    for row, tls, stream, h2 in MEMORY:
        turns(row, lambda n, tls=tls, stream=stream, h2=h2: rows.memory(herd, n, tls, stream, 1000, h2),
              plan.memory_turns)
    herd.pace(0)
    if any(plan.wants(row) for row, _, _ in LINES if row.startswith("instructions")):
        if machine.install({"valgrind": "valgrind"}):
            for name in herd.corrals:
                for row, count in instructions(herd, name).items():
                    if plan.wants(row):
                        samples.keep(row, name, 0, {"count": count})
        else:
            print("bench: without valgrind, no instructions are counted", file=sys.stderr)
    return samples


class Counter:
    """callgrind's count of a process between two moments: of its busiest thread, the worker. What the others do depends
    on how long it takes."""

    def __init__(self, gateway, files):
        self.pid, self.files = gateway.process.pid, files

    def dumps(self):
        """The totals of each dump's threads: files are named FILES.DUMP-THREAD."""
        found = {}
        for path in self.files.parent.glob(self.files.name + ".*-*"):
            total = re.search(r"^totals: (\d+)", path.read_text(), re.M)
            if total:
                found.setdefault(int(path.suffix[1:].split("-")[0]), []).append(int(total.group(1)))
        return found

    def dump(self):
        before, threads = len(self.dumps()), len(machine.tasks([self.pid]))
        subprocess.run(["callgrind_control", "-d", str(self.pid)], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
        for _ in range(300):
            now = self.dumps()
            if len(now) > before and len(now[max(now)]) >= threads:
                return max(now[max(now)])
            time.sleep(0.1)
        raise SystemExit("bench: callgrind wrote no count")

    def of(self, work, times):
        self.dump()
        work()
        return self.dump() / times


def ask(herd, gateway, path, bodies, tenant="bench"):
    """The bodies one after another on one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", gateway.clear, timeout=120)
    headers = {"Authorization": f"Bearer {herd.tokens['hs256', tenant]}", "Content-Type": "application/json",
               "Host": "localhost"}
    for data in bodies:
        connection.request("POST", path, data, headers)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise SystemExit(f"bench: {gateway.name}: {path}: {answer.status} {text[:200]}")
    connection.close()


def ask_h2(herd, gateway, times):
    text = herd.work / "post.json"
    text.write_text(gateways.body(False, 1))
    done = subprocess.run([herd.binaries["h2load"], "-t1", "-c1", "-m1", "-n", str(times), "-d", text, "-H",
                           f"authorization: Bearer {herd.tokens['hs256', 'bench']}", "-H",
                           "content-type: application/json", f"http://localhost:{gateway.h2c}/api/chat"],
                          capture_output=True, text=True)
    if f" {times} succeeded" not in done.stdout:
        raise SystemExit(f"bench: {gateway.name}: requests over HTTP/2 failed\n{done.stdout}")


def instructions(herd, name):
    files = pathlib.Path(herd.work, f"callgrind-{name}")
    gateway = herd.start(name, wrapper=["valgrind", "-q", "--tool=callgrind", "--separate-threads=yes",
                                        f"--callgrind-out-file={files}"])
    try:
        counter, found = Counter(gateway, files), {}
        small, large = gateways.body(False, 1), gateways.body(False, 1, LARGE)
        ask(herd, gateway, "/api/chat", [small] * 20 + [large] * 2)
        ask_h2(herd, gateway, 20)
        found["instructions.request"] = counter.of(
            lambda: ask(herd, gateway, "/api/chat", [small] * REQUESTS), REQUESTS)
        # How a body comes in pieces varies; the least of several counts varies less.
        found["instructions.request.1m"] = min(
            counter.of(lambda: ask(herd, gateway, "/api/chat", [large] * 3), 3) for _ in range(12))
        found["instructions.h2.request"] = counter.of(lambda: ask_h2(herd, gateway, REQUESTS), REQUESTS)
        stream = json.dumps({"model": "tiny", "stream": True, "max_tokens": CHUNKS,
                             "messages": [{"role": "user", "content": "hello there"}]})
        for row, path, data in (("instructions.chunk", "/api/chat", gateways.body(True, CHUNKS)),
                                ("instructions.chunk.openai", "/v1/chat/completions", stream)):
            ask(herd, gateway, path, [data])
            found[row] = counter.of(lambda path=path, data=data: ask(herd, gateway, path, [data]), CHUNKS)
        return found
    finally:
        gateway.stop()
        herd.gateways.remove(gateway)


def ratios(result, row, figure):
    """new / old of each turn."""
    new, old = (result["rows"].get(row, {}).get(name, {}).get(figure) for name in ("new", "old"))
    return [a / b for a, b in zip(new, old)] if new and old and min(old) > 0 else []


def spread(values):
    """The median and, of several, the middle half."""
    middle = f"{statistics.median(values):.3f}"
    if len(values) < 4:
        return middle if len(values) == 1 else f"{middle} ({min(values):.3f} to {max(values):.3f})"
    low, _, high = statistics.quantiles(values, n=4)
    return f"{middle} ({low:.3f} to {high:.3f})"


def draw(result):
    lines = []
    for row, figure, what in LINES:
        found = ratios(result, row, figure)
        if found:
            lines.append([f"`{row}`", what, *(report.number(statistics.median(result["rows"][row][name][figure]))
                                              for name in ("old", "new")), spread(found), str(len(found))])
    versions = ", ".join(f"{name}: {version}" for name, version in result["versions"].items())
    return "\n\n".join([
        f"Measured on {result['machine']}: {versions}. Others used "
        f"{statistics.median(result['others'] or [0]):.2f} cores beside a median sample; {result['repeated']} disturbed "
        "samples were taken again. The ratio is new / old, turn by turn: its median and its middle half.",
        report.table(["row", "what", "old", "new", "new / old", "turns"], lines)])
