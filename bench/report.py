"""Medians, ratios and bars; the tables on the screen and in docs/PERFORMANCE.md."""

import re
import statistics

import machine

DOC = machine.ROOT / "docs/PERFORMANCE.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
COLUMNS = {"direct": "direct", "floor": "byte relay", "corral": "corral", "haproxy": "HAProxy", "nginx": "nginx",
           "envoy": "Envoy", "corral2": "corral, 2 workers"}

# row, figure, what it says
LINES = [
    ("request.clear.hs256", "cpu_us", "CPU us a request, clear, HS256"),
    ("request.clear.hs256", "user_us", "of it in user space"),
    ("request.clear.hs256", "per_s", "requests/s, clear, HS256"),
    ("request.tls.hs256", "cpu_us", "CPU us a request, TLS 1.3, HS256"),
    ("request.tls.hs256", "per_s", "requests/s, TLS 1.3, HS256"),
    ("request.clear.rs256", "cpu_us", "CPU us a request, clear, RS256"),
    ("h2.request.clear", "cpu_us", "HTTP/2: CPU us a request, clear, HS256"),
    ("h2.request.clear", "per_s", "requests/s, HTTP/2, clear"),
    ("h2.request.tls", "cpu_us", "HTTP/2: CPU us a request, TLS 1.3, HS256"),
    ("h2.request.tls", "user_us", "of it in user space"),
    ("h2.request.tls", "per_s", "requests/s, HTTP/2, TLS 1.3"),
    ("paced.clear", "cpu_us", "2,000/s Poisson, clear: CPU us a request"),
    ("paced.clear", "p50_us", "p50 us"),
    ("paced.clear", "p99_us", "p99 us"),
    ("paced.tls", "cpu_us", "2,000/s Poisson, TLS 1.3: CPU us a request"),
    ("paced.tls", "p50_us", "p50 us"),
    ("paced.tls", "p99_us", "p99 us"),
    ("chunk.clear.10000", "cpu_us", "200 streams x 50/s, clear: CPU us a chunk"),
    ("chunk.clear.10000", "p50_us", "delay of a chunk, p50 us"),
    ("chunk.clear.10000", "p99_us", "delay of a chunk, p99 us"),
    ("chunk.tls.10000", "cpu_us", "200 streams x 50/s, TLS 1.3: CPU us a chunk"),
    ("chunk.tls.10000", "p99_us", "delay of a chunk, p99 us"),
    ("chunk.clear.50000", "cpu_us", "1,000 streams x 50/s, clear: CPU us a chunk"),
    ("chunk.clear.50000", "per_s", "chunks/s that came"),
    ("chunk.clear.50000", "p50_us", "delay of a chunk, p50 us"),
    ("chunk.clear.50000", "p99_us", "delay of a chunk, p99 us"),
    ("chunk.path.clear.50000", "cpu_us", "1,000 streams x 50/s by path, a core apart, clear: CPU us a chunk"),
    ("chunk.path.clear.50000", "p50_us", "delay of a chunk, p50 us"),
    ("chunk.path.clear.50000", "p99_us", "delay of a chunk, p99 us"),
    ("chunk.clear.200000", "cpu_us", "200 streams x 1,000/s offered, clear: CPU us a chunk"),
    ("chunk.clear.200000", "per_s", "chunks/s that came"),
    ("chunk.clear.200000", "p50_us", "delay of a chunk, p50 us"),
    ("h2.chunk.10000", "cpu_us", "HTTP/2, TLS 1.3, 10 x 20 streams x 50/s: CPU us a chunk"),
    ("h2.chunk.10000", "p50_us", "delay of a chunk, p50 us"),
    ("h2.chunk.10000", "p99_us", "delay of a chunk, p99 us"),
    ("h2.chunk.clear.50000", "cpu_us", "HTTP/2, clear, 50 x 20 streams x 50/s: CPU us a chunk"),
    ("h2.chunk.clear.50000", "per_s", "chunks/s that came"),
    ("h2.chunk.clear.50000", "p50_us", "delay of a chunk, p50 us"),
    ("h2.chunk.clear.50000", "p99_us", "delay of a chunk, p99 us"),
    ("h2.chunk.50000", "cpu_us", "HTTP/2, TLS 1.3, 50 x 20 streams x 50/s: CPU us a chunk"),
    ("h2.chunk.50000", "per_s", "chunks/s that came"),
    ("h2.chunk.50000", "p50_us", "delay of a chunk, p50 us"),
    ("h2.chunk.50000", "p99_us", "delay of a chunk, p99 us"),
    ("h2.chunk.path.clear.50000", "cpu_us", "HTTP/2, clear, 50 x 20 x 50/s by path, a core apart: CPU us a chunk"),
    ("h2.chunk.path.clear.50000", "p50_us", "delay of a chunk, p50 us"),
    ("h2.chunk.path.clear.50000", "p99_us", "delay of a chunk, p99 us"),
    ("h2.chunk.path.tls.50000", "cpu_us", "HTTP/2, TLS 1.3, 50 x 20 x 50/s by path, a core apart: CPU us a chunk"),
    ("h2.chunk.path.tls.50000", "p50_us", "delay of a chunk, p50 us"),
    ("h2.chunk.path.tls.50000", "p99_us", "delay of a chunk, p99 us"),
    ("h2.chunk.200000", "cpu_us", "HTTP/2, TLS 1.3, 10 x 20 streams x 1,000/s offered: CPU us a chunk"),
    ("h2.chunk.200000", "per_s", "chunks/s that came"),
    ("h2.chunk.200000", "p50_us", "delay of a chunk, p50 us"),
    ("handshake", "cpu_us", "CPU us a full handshake, TLS 1.3, ECDSA P-256"),
    ("memory.idle.clear", "kib", "KiB an idle connection, clear"),
    ("memory.idle.tls", "kib", "KiB an idle connection, TLS 1.3"),
    ("memory.stream.clear", "kib", "KiB an open stream, clear"),
    ("memory.stream.tls", "kib", "KiB an open stream, TLS 1.3"),
    ("h2.memory.idle", "kib", "KiB an idle connection, HTTP/2, TLS 1.3"),
    ("h2.memory.stream.1", "kib", "KiB an open stream, HTTP/2, TLS 1.3, alone on its connection"),
    ("h2.memory.stream.20", "kib", "KiB an open stream, HTTP/2, TLS 1.3, 20 on a connection"),
    ("memory.idle.clear", "rest_mib", "MiB at rest"),
]

# row, figure, against whom (None: the figure itself; "better": of HAProxy and nginx; "unlimited": the tenant without
# limits), bar, kind
BARS = [
    ("request.clear.hs256", "cpu_us", "haproxy", 0.62, "CPU a request, clear, HS256 + limits"),
    ("request.clear.hs256", "cpu_us", "floor", 1.20, "CPU a request, clear, HS256 + limits"),
    ("request.clear.hs256", "user_us", "haproxy", 0.31, "user-space part of it"),
    ("request.clear.hs256", "user_us", "nginx", 0.60, "user-space part of it"),
    ("request.clear.hs256", "user_us", None, 3.0, "user-space part of it, us"),
    ("request.tls.hs256", "cpu_us", "haproxy", 0.65, "CPU a request, TLS"),
    ("request.clear.rs256", "cpu_us", "haproxy", 0.30, "CPU a request, clear, RS256"),
    ("request.clear.rs256", "cpu_us", "hs256", 1.05, "RS256 tokens against HS256 tokens"),
    ("request.limits", "cpu_us", "unlimited", 1.02, "CPU a request, three limits"),
    ("request.clear.hs256", "per_s", "haproxy", -1.4, "requests/s, clear"),
    ("h2.request.clear", "cpu_us", "haproxy", 0.65, "CPU a request, HTTP/2, clear"),
    ("h2.request.tls", "cpu_us", "haproxy", 0.65, "CPU a request, HTTP/2, TLS"),
    ("h2.request.tls", "per_s", "haproxy", -1.5, "requests/s, HTTP/2, TLS"),
    ("paced.clear", "added_p99_us", "haproxy", 0.6, "added p99, 2,000/s Poisson, clear"),
    ("paced.clear", "added_p99_us", "nginx", 0.9, "added p99, 2,000/s Poisson, clear"),
    ("chunk.clear.10000", "cpu_us", "better", 0.90, "CPU a chunk, 10,000/s, clear"),
    ("chunk.tls.10000", "cpu_us", "better", 0.97, "CPU a chunk, 10,000/s, TLS"),
    ("chunk.clear.200000", "cpu_us", "better", 1.0, "CPU a chunk, 200,000/s offered, clear"),
    ("h2.chunk.10000", "cpu_us", "better", 0.95, "CPU a chunk, 10,000/s, HTTP/2, TLS"),
    ("h2.chunk.200000", "cpu_us", "haproxy", 1.0, "CPU a chunk, 200,000/s offered, HTTP/2, TLS"),
    ("h2.chunk.200000", "p50_us", "haproxy", 1.0, "median chunk delay beside it"),
    ("chunk.clear.10000", "added_p99_us", "nginx", 1.1, "added p99 chunk delay, 10,000/s, clear"),
    ("chunk.path.clear.50000", "p99_us", None, 1000, "p99 chunk delay, 1,000 streams x 50/s, a core apart, us"),
    ("h2.chunk.path.clear.50000", "p99_us", None, 1000, "the same over HTTP/2, clear, us"),
    ("h2.chunk.path.tls.50000", "p99_us", None, 1000, "the same over HTTP/2, TLS, us"),
    ("memory.idle.clear", "kib", None, 0.6, "KiB an idle connection, clear"),
    ("memory.idle.tls", "kib", "better", 1.02, "KiB an idle connection, TLS"),
    ("memory.stream.clear", "kib", None, 1.2, "KiB an open stream, clear"),
    ("memory.stream.clear", "kib", "haproxy", 0.23, "KiB an open stream, clear"),
    ("memory.stream.tls", "kib", None, 17.0, "KiB an open stream, TLS"),
    ("memory.stream.tls", "kib", "haproxy", 0.85, "KiB an open stream, TLS"),
    ("h2.memory.idle", "kib", "better", 1.45, "KiB an idle connection, HTTP/2, TLS"),
    ("h2.memory.stream.20", "kib", None, 2.2, "KiB an open stream, HTTP/2, TLS, 20 on a connection"),
    ("h2.memory.stream.20", "kib", "haproxy", 0.5, "KiB an open stream, HTTP/2, TLS, 20 on a connection"),
    ("memory.idle.clear", "rest_mib", None, 8, "MiB at rest, one worker"),
    ("handshake", "cpu_us", None, 275, "CPU a full handshake, us"),
]


def number(value):
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.1f}" if abs(value) >= 100 else f"{value:.2f}"


def spread(values):
    return f"{number(statistics.median(values))} ({number(min(values))} to {number(max(values))})"


def of(result, row, name, figure):
    """The values of a figure, round by round; "added": above a direct connection of the same round."""
    found = result["rows"].get(row, {}).get(name, {})
    if not figure.startswith("added_"):
        return found.get(figure)
    direct = result["rows"].get(row, {}).get("direct", {}).get(figure[6:])
    here = found.get(figure[6:])
    return [a - b for a, b in zip(here, direct)] if here and direct else None


def better(result, row, figure):
    peers = [n for n in ("haproxy", "nginx") if of(result, row, n, figure)]
    return min(peers, key=lambda n: statistics.median(of(result, row, n, figure)), default=None)


def ratio(result, row, figure, peer):
    """corral / peer in each round; None when one of them was not measured."""
    mine = of(result, row, "bench" if peer == "unlimited" else "corral", figure)
    theirs = of(result, "request.clear.hs256", "corral", figure) if peer == "hs256" else of(result, row, peer, figure)
    if not mine or not theirs or min(mine + theirs) <= 0:
        return None  # less than nothing was added when the direct connection was the disturbed one
    return [a / b for a, b in zip(mine, theirs)]


def judge(result):
    """(what, the bar in words, measured in words, verdict) for each bar of which both sides were measured."""
    lines = []
    for row, figure, peer, bar, what in BARS:
        name = better(result, row, figure) if peer == "better" else peer
        values = of(result, row, "corral", figure) if peer is None else ratio(result, row, figure, name)
        if figure.startswith("added_") and row in result["rows"] and not values:
            lines.append((what, f"<= {bar:g} x {COLUMNS[name]}", "too disturbed to be told", "not judged"))
        if not values:
            continue
        middle, limit = statistics.median(values), abs(bar)
        good = middle >= limit if bar < 0 else middle <= limit
        named = {**COLUMNS, "hs256": "HS256", "unlimited": "no limits"}
        against = "" if peer is None else f" x {named[name]}"
        verdict = "met" if good else f"missed by {abs(middle / limit - 1) * 100:.0f} %"
        lines.append((what, f"{'>=' if bar < 0 else '<='} {limit:g}{against}", spread(values), verdict))
    return lines


def table(head, lines):
    return "\n".join(["| " + " | ".join(head) + " |", "| " + " | ".join("---" for _ in head) + " |",
                      *("| " + " | ".join(line) + " |" for line in lines)])


def held_up(result):
    if "pauses" not in result:
        return ""  # an older run's
    per_s, longest_ms = result["pauses"]
    return (f"A loop that only looks at the clock was held up for more than 1 ms {number(per_s)} times a second, at most "
            f"for {number(longest_ms)} ms.")


def draw(result):
    """The measured part of the page."""
    names = [n for n in COLUMNS if any(n in row for row in result["rows"].values())]
    figures = []
    for row, figure, what in LINES:
        cells = [of(result, row, n, figure) for n in names]
        if any(cells):
            figures.append([what, *(spread(c) if c else "" for c in cells)])
    ratios = []
    for row, figure, what in LINES:
        values = [ratio(result, row, figure, peer) for peer in ("floor", "haproxy", "nginx", "envoy")]
        if figure.endswith(("cpu_us", "kib")) and any(values):
            ratios.append([what, *(spread(v) if v else "" for v in values)])
    pairs = ratio(result, "request.limits", "cpu_us", "unlimited")
    versions = ", ".join(f"{COLUMNS.get(k, k)} {v}" for k, v in result["versions"].items())
    parts = [f"Measured on {result['machine']}: {versions}; commit {result['commit']}. "
             f"{result['rounds']} interleaved rounds of {result['seconds']} s ({result['memory_rounds']} for memory "
             f"and for 1,000 streams). Medians, with the least and the greatest. Others used "
             f"{statistics.median(result['others']):.2f} cores beside a median sample; "
             f"{result['repeated']} disturbed samples were taken again. {held_up(result)}",
             "## Bars\n\n" + table(["what", "bar", "measured", ""], judge(result)),
             "## corral in proportion to the others\n\n" + table(
                 ["corral /", "byte relay", "HAProxy", "nginx", "Envoy"], ratios),
             "## Figures\n\n" + table(["", *(COLUMNS[n] for n in names)], figures)]
    if pairs:
        parts.append(f"A tenant with three limits costs {spread(pairs)} times the CPU of one without any, over "
                     f"{len(pairs)} turns "
                     f"({spread(of(result, 'request.limits', 'unlimited', 'cpu_us'))} us without).")
    return "\n\n".join(parts)


def write(result):
    page = DOC.read_text()
    DOC.write_text(re.sub(re.escape(BEGIN) + ".*" + re.escape(END),
                          lambda _: f"{BEGIN}\n\n{draw(result)}\n\n{END}", page, flags=re.S))
