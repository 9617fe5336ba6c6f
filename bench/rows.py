"""What is measured, sample by sample. Every figure is kept with its round; report.py makes medians of them."""

import json
import os
import re
import resource
import subprocess
import sys
import time

import gateways
import machine

LOAD = gateways.BUILD / "bench/bench-load"
STREAM_TOKENS = 1000000  # no stream ends while it is measured
DISTURBED = 0.25  # cores that others used; above it a sample is taken again


class Samples:
    def __init__(self, herd, patience_s):
        self.herd, self.patience_s = herd, patience_s
        self.rows, self.others, self.repeated = {}, [], 0

    def add(self, row, name, sample):
        """Take a sample; once more when others used the machine, as long as patience lasts: the quieter one counts."""
        best = None
        for _ in range(3):
            self.herd.empty_logs()
            began = time.monotonic()
            others, figures = sample()
            if best is None or others < best[0]:
                best = others, figures
            if others <= DISTURBED or self.patience_s <= 0:
                break
            self.patience_s -= time.monotonic() - began
            self.repeated += 1
        self.keep(row, name, *best)

    def keep(self, row, name, others, figures):
        self.others.append(others)
        into = self.rows.setdefault(row, {}).setdefault(name, {})
        for figure, value in figures.items():
            into.setdefault(figure, []).append(round(value, 4))
        print(f"  {row:34} {name:10} " + "  ".join(f"{k} {v:.2f}" for k, v in figures.items()), file=sys.stderr)


class Window:
    """The processor time of a gateway, and of everybody else, between two moments."""

    def __init__(self, herd, gateway, client=None):
        self.herd, self.gateway, self.client = herd, gateway, client
        self.pids = gateway.pids()
        self.start = self.look()

    def look(self):
        own = [pid for g in self.herd.gateways if g.process.poll() is None for pid in g.pids()]
        if self.client:
            own.append(self.client)
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        return (time.monotonic(), machine.cpu_us(self.pids), machine.user_us(self.pids), machine.busy_us(),
                machine.cpu_us(own) + (0 if self.client else (ended.ru_utime + ended.ru_stime) * 1e6))

    def close(self):
        self.seconds, self.cpu, self.user, busy, own = (b - a for a, b in zip(self.start, self.look()))
        self.others = max(0.0, (busy - own) / 1e6 / self.seconds)


def load(herd, gateway, mode, tls, *options, stream=False, token="hs256", h2=0, path=False):
    """One run of bench-load: (what it printed, the window that it marked). `h2`: streams of a connection; `path`: over
    UNIX sockets."""
    port = gateway.tls if tls else gateway.h2c if h2 else gateway.clear
    where = ["--path", gateway.tls_path if tls else gateway.path] if path else ["--port", port]
    arguments = [LOAD, mode, *where, *(["--tls"] if tls else []),
                 *(["--h2-streams", h2] if h2 else []),
                 *(["--streaming"] if stream else []), "--token", herd.tokens[token, "bench"],
                 "--body", gateways.body(stream, STREAM_TOKENS if stream else 1), *options]
    with subprocess.Popen([str(a) for a in arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as p:
        def expect(word):
            if p.stdout.readline().strip() != word:
                raise SystemExit(f"bench: {gateway.name}: {mode} failed")
        expect("begin")
        window = Window(herd, gateway, p.pid)
        if mode == "hold":
            time.sleep(1)
            window.written_kib = machine.written_kib(gateway.pids())
            p.stdin.close()
        expect("end")
        window.close()
        return json.loads(p.stdout.read()), window


def begin_wrk(herd, gateway, tls, token, seconds, tenant, connections, size=gateways.BODY_BYTES):
    script = herd.work / f"post-{tenant}.lua"
    script.write_text(f'wrk.method = "POST"\nwrk.body = [[{gateways.body(False, 1, size)}]]\n'
                      f'wrk.headers["Authorization"] = "Bearer {herd.tokens[token, tenant]}"\n'
                      'wrk.headers["Content-Type"] = "application/json"\nwrk.headers["Host"] = "localhost"\n')
    url = f"https://127.0.0.1:{gateway.tls}" if tls else f"http://127.0.0.1:{gateway.clear}"
    return subprocess.Popen([herd.binaries["wrk"], "-t1", f"-c{connections}", f"-d{seconds}", "-s", script,
                             f"{url}/api/chat"], stdout=subprocess.PIPE, text=True)


def end_wrk(gateway, process):
    """How many requests it made."""
    out = process.communicate()[0]
    if process.returncode != 0 or "Non-2xx" in out or "Socket errors" in out:
        raise SystemExit(f"bench: {gateway.name}: requests failed\n{out}")
    return int(re.search(r"(\d+) requests in", out).group(1))


def request(herd, gateway, tls, token, seconds, size=gateways.BODY_BYTES, connections=32):
    window = Window(herd, gateway)
    count = end_wrk(gateway, begin_wrk(herd, gateway, tls, token, seconds, "bench", connections, size))
    window.close()
    figures = {"per_s": count / seconds}
    if gateway.process:
        figures.update(cpu_us=window.cpu / count, user_us=window.user / count)
    return window.others, figures


def request_h2(herd, gateway, tls, seconds):
    """h2load: 8 connections with 4 requests each at any time."""
    text = herd.work / "post.json"
    text.write_text(gateways.body(False, 1))
    window = Window(herd, gateway)
    done = subprocess.run([herd.binaries["h2load"], "-t1", "-c8", "-m4", "-D", str(seconds), "-d", text,
                           "-H", f"authorization: Bearer {herd.tokens['hs256', 'bench']}",
                           "-H", "content-type: application/json",
                           f"https://localhost:{gateway.tls}/api/chat" if tls else
                           f"http://localhost:{gateway.h2c}/api/chat"], capture_output=True, text=True)
    window.close()
    got = re.search(r"(\d+) done, (\d+) succeeded, 0 failed, 0 errored", done.stdout)
    protocol = "h2" if tls else "h2c"
    if done.returncode != 0 or not got or got.group(1) != got.group(2) or f"protocol: {protocol}\n" not in done.stdout:
        raise SystemExit(f"bench: {gateway.name}: requests over HTTP/2 failed\n{done.stdout}{done.stderr}")
    count = int(got.group(1))
    return window.others, {"per_s": count / seconds, "cpu_us": window.cpu / count, "user_us": window.user / count}


def limits(samples, gateways_of, seconds):
    """Two corrals at the same moment, one asked by each tenant: what disturbs one disturbs the other."""
    herd = samples.herd
    windows = {tenant: Window(herd, gateway) for tenant, gateway in gateways_of.items()}
    clients = {tenant: begin_wrk(herd, gateway, False, "hs256", seconds, tenant, 16)
               for tenant, gateway in gateways_of.items()}
    counts = {tenant: end_wrk(gateways_of[tenant], client) for tenant, client in clients.items()}
    for tenant, window in windows.items():
        window.close()
        samples.keep("request.limits", tenant, window.others,
                     {"cpu_us": window.cpu / counts[tenant], "user_us": window.user / counts[tenant]})


def paced(herd, gateway, tls, seconds, seed):
    got, window = load(herd, gateway, "paced", tls, "--connections", 50, "--rate", 2000, "--seconds", seconds,
                       "--ramp", 0.3, "--seed", seed)
    figures = {p: got[p] for p in ("p50_us", "p99_us", "p999_us")}
    if gateway.process:
        figures["cpu_us"] = window.cpu / got["samples"]
    return window.others, figures


def chunks(herd, gateway, tls, seconds, connections, h2=0, path=False):
    got, window = load(herd, gateway, "streams", tls, "--connections", connections, "--seconds", seconds, "--ramp", 0.5,
                       stream=True, h2=h2, path=path)
    figures = {"per_s": got["lines"] / window.seconds, "p50_us": got["p50_us"], "p99_us": got["p99_us"]}
    if gateway.process:
        figures["cpu_us"] = window.cpu / got["lines"]
    return window.others, figures


def chunks_apart(herd, gateway, tls, seconds, h2=0):
    """A thousand streams over UNIX sockets, the gateway on a core of its own: load and replica have the others."""
    cores = sorted(os.sched_getaffinity(0))
    machine.place(herd.sim.pids(), cores[:-1] or cores, ahead=True)
    machine.place(gateway.pids(), cores[-1:])
    os.sched_setaffinity(0, cores[:-1] or cores)  # what is started inherits it
    try:
        return chunks(herd, gateway, tls, seconds, 1000 // (h2 or 1), h2, path=True)
    finally:
        os.sched_setaffinity(0, cores)
        machine.place(herd.sim.pids(), cores)


def handshakes(herd, gateway, seconds):
    """Two clients at once, so that the gateway is not woken for each step alone."""
    arguments = [str(a) for a in (LOAD, "handshakes", "--port", gateway.tls, "--tls", "--seconds", seconds)]
    window = Window(herd, gateway)
    clients = [subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    count = sum(json.loads(p.communicate()[0].splitlines()[-1])["samples"] for p in clients)
    window.close()
    return window.others, {"cpu_us": window.cpu / count}


def memory(herd, name, tls, stream, count, h2=0):
    """A gateway of its own: at rest after 20 connections, then with `count` more, or streams on fewer of them."""
    herd.pace(0)
    gateway = herd.start(name)
    try:
        # So many that buffers of a fixed size, of a log say, have been filled once.
        load(herd, gateway, "paced", tls, "--connections", 20, "--rate", 2000, "--seconds", 0.6)
        if h2:
            load(herd, gateway, "hold", tls, "--connections", 20, h2=h2)
        herd.pace(10 if stream else 0)
        time.sleep(0.5)
        rest, written = machine.pss_kib(gateway.pids()), machine.written_kib(gateway.pids())
        _, window = load(herd, gateway, "hold", tls, "--connections", count // (h2 or 1), stream=stream, h2=h2)
        return 0, {"kib": (window.written_kib - written) / count, "rest_mib": rest / 1024}
    finally:
        gateway.stop()
        herd.gateways.remove(gateway)


class Plan:
    """How long, how often, who."""

    def __init__(self, quick, only=""):
        self.quick, self.only = quick, only
        self.rounds, self.memory_rounds, self.seconds = (2, 1, 1) if quick else (5, 3, 2)
        self.limit_turns = 8 if quick else 24
        self.patience_s = 10 if quick else 60


def measure(herd, plan):
    samples = Samples(herd, plan.patience_s)
    names = [n for n in herd.names() if not (plan.quick and n == "envoy")]
    with_jwt = [n for n in names if n != "nginx"]
    running = {n: herd.start(n) for n in ["direct", "floor", *names, *([] if plan.quick else ["corral2"])]}

    def rounds(row, who, take, times=plan.rounds, among=running):
        if not row.startswith(plan.only):
            return
        print(row, file=sys.stderr)
        for turn in range(times):
            shift = turn % len(who)
            for name in who[shift:] + who[:shift]:
                samples.add(row, name, lambda name=name: take(among[name], turn))

    two = [n for n in ("corral2",) if n in running]
    s = plan.seconds
    rounds("request.clear.hs256", ["direct", "floor", *names, *two],
           lambda g, turn: request(herd, g, False, "hs256", s))
    rounds("request.tls.hs256", [*names, *two], lambda g, turn: request(herd, g, True, "hs256", s))
    rounds("request.clear.rs256", with_jwt, lambda g, turn: request(herd, g, False, "rs256", s))
    if "request.limits".startswith(plan.only):
        twin = herd.start("corral")
        pair = [running["corral"], twin]
        for turn in range(plan.limit_turns):
            limits(samples, dict(zip(("unlimited", "bench"), pair[::1 if turn % 2 else -1])), min(s, 2))
        twin.stop()
        herd.gateways.remove(twin)
    rounds("h2.request.clear", names, lambda g, turn: request_h2(herd, g, False, s))
    rounds("h2.request.tls", [*names, *two], lambda g, turn: request_h2(herd, g, True, s))
    rounds("paced.clear", ["direct", "floor", *names], lambda g, turn: paced(herd, g, False, s, turn))
    if not plan.quick:
        rounds("paced.tls", names, lambda g, turn: paced(herd, g, True, s, turn))
    rounds("handshake", names, lambda g, turn: handshakes(herd, g, min(s, 2)))
    herd.pace(50)
    rounds("chunk.clear.10000", ["direct", "floor", *names], lambda g, turn: chunks(herd, g, False, s, 200))
    rounds("chunk.tls.10000", names, lambda g, turn: chunks(herd, g, True, s, 200))
    rounds("h2.chunk.10000", names, lambda g, turn: chunks(herd, g, True, s, 10, 20))
    rounds("chunk.clear.50000", ["direct", "floor", "corral"], lambda g, turn: chunks(herd, g, False, s, 1000),
           plan.memory_rounds)
    rounds("h2.chunk.50000", ["corral"], lambda g, turn: chunks(herd, g, True, s, 50, 20), plan.memory_rounds)
    rounds("h2.chunk.clear.50000", ["corral"], lambda g, turn: chunks(herd, g, False, s, 50, 20), plan.memory_rounds)
    by_path = [row for row in (("chunk.path.clear.50000", False, 0), ("h2.chunk.path.clear.50000", False, 20),
                               ("h2.chunk.path.tls.50000", True, 20)) if row[0].startswith(plan.only)]
    if by_path:
        apart = {"direct": running["direct"], "corral": herd.start("corral-path")}
        for row, tls, h2 in by_path:
            rounds(row, [*([] if h2 else ["direct"]), "corral"],
                   lambda g, turn, tls=tls, h2=h2: chunks_apart(herd, g, tls, s, h2), among=apart)
        apart["corral"].stop()
        herd.gateways.remove(apart["corral"])
    herd.pace(1000)
    rounds("chunk.clear.200000", ["direct", "floor", *names], lambda g, turn: chunks(herd, g, False, s, 200))
    rounds("h2.chunk.200000", [*names, *two], lambda g, turn: chunks(herd, g, True, s, 10, 20))
    for gateway in running.values():
        gateway.stop()
        if gateway in herd.gateways:
            herd.gateways.remove(gateway)
    for turn in range(plan.memory_rounds):
        for row, tls, stream, h2 in (("memory.idle.clear", False, False, 0), ("memory.idle.tls", True, False, 0),
                                     ("memory.stream.clear", False, True, 0), ("memory.stream.tls", True, True, 0),
                                     ("h2.memory.idle", True, False, 1), ("h2.memory.stream.1", True, True, 1),
                                     ("h2.memory.stream.20", True, True, 20)):
            for name in [*names, *([] if tls else ["floor"])] if row.startswith(plan.only) else []:
                samples.add(row, name, lambda name=name, tls=tls, stream=stream, h2=h2: memory(
                    herd, name, tls, stream, 1000, h2))
    return samples
