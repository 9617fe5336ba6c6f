"""Layers and lengths of STYLE: who may include whom, where third-party headers belong, how long things are, and that
calls inside a room go one way."""

import collections
import pathlib
import re
import subprocess
import sys

ROWS = {
    "base": 0, "obs": 1, "http": 1, "net": 2, "ollama": 2, "auth": 3, "limit": 3, "sched": 3,
    "upstream": 3, "config": 4, "exchange": 5, "front": 6, "app": 7, ".": 8,
}
THIRD_PARTY = {
    "event2/": {"net"}, "curl/": {"net"}, "nghttp2/": {"http"}, "jwt.h": {"auth"},
    "hiredis/": {"limit"}, "sqlite3.h": {"limit"}, "openssl/": {"net", "auth"}, "cjson/": {"ollama", "auth", "config", "front"},
    "yaml.h": {"config"}, "xxhash.h": {"base"}, "seccomp.h": {"app"},
}
# main.c prints the libraries' versions, app/ takes signals from the loop.
ALSO = {"gateway/main.c": {"event2/", "openssl/", "cjson/", "yaml.h", "xxhash.h", "sqlite3.h"},
        "gateway/app/app.c": {"event2/"}}
MAX_FILE, MAX_HEADER, MAX_FUNCTION, MAX_PARAMETERS = 600, 150, 80, 6
OPT_OUT = re.compile(r"/\* long: .+ \*/")
MANY_PARAMETERS = re.compile(r"/\* parameters: .+ \*/")

# Files of one room that still call each other in a circle; nothing may join them.
CIRCLES = {"exchange": {"account.c", "admit.c", "answer.c", "body.c", "dispatch.c", "engine.c", "exchange.c", "fail.c",
                        "limits.c", "relay.c", "steps.c"}}
DEFINITION = re.compile(r"^(?!static\b)[A-Za-z_][^\n;{}]*?\b(\w+)\([^;{}]*?\)\n\{", re.M)

errors = []


def module_of(path):
    parts = pathlib.PurePath(path).parts
    return parts[1] if len(parts) > 2 else "."


def check_includes(path, text):
    module = module_of(path)
    for line in text.splitlines():
        local = re.match(r'#include "([^"]+)"', line)
        if local:
            target = local.group(1).split("/")[0] if "/" in local.group(1) else "."
            if target not in ROWS:
                errors.append(f"{path}: includes unknown {local.group(1)}")
            elif target != module and ROWS[target] >= ROWS[module]:
                errors.append(f"{path}: row {ROWS[module]} includes {local.group(1)} of row {ROWS[target]}")
        other = re.match(r"#include <([^>]+)>", line)
        if other:
            for prefix, homes in THIRD_PARTY.items():
                if other.group(1).startswith(prefix) and module not in homes \
                        and prefix not in ALSO.get(path, ()):
                    errors.append(f"{path}: <{other.group(1)}> belongs into {', '.join(sorted(homes))}")


def check_functions(path, lines):
    start = None
    for number, line in enumerate(lines, 1):
        if line == "{":
            start = number
        elif line == "}" and start is not None:
            length = number - start - 1
            before = "".join(lines[max(0, start - 4):start])
            if length > MAX_FUNCTION and not OPT_OUT.search(before):
                errors.append(f"{path}:{start}: function of {length} lines (at most {MAX_FUNCTION})")
            start = None


def check_parameters(path, text):
    """Of each function that is defined: its head ends in ")" before a line of "{" alone."""
    for found in re.finditer(r"^(?!\s|#|/|\*|})[^\n;{}]*\((?:[^;{}]*)\)\n{$", text, re.M):
        head, depth, count, opened = found.group(0), 0, 0, False
        for c in head:
            depth += (c == "(") - (c == ")")
            opened = opened or depth == 1
            count += c == "," and depth == 1
        line = text.count("\n", 0, found.start()) + 1
        before = "\n".join(text.splitlines()[max(0, line - 6):line - 1])
        if opened and count + 1 > MAX_PARAMETERS and not MANY_PARAMETERS.search(before):
            errors.append(f"{path}:{line}: {count + 1} parameters (at most {MAX_PARAMETERS})")


def code_of(text):
    """Without comments and strings."""
    return re.sub(r'/\*.*?\*/|"(?:\\.|[^"\\])*"', " ", text, flags=re.S)


def calls_of(files):
    """For each file the files of its room that it names a function of."""
    homes = {name: file for file, text in files.items() for name in DEFINITION.findall(text)}
    return {file: {homes[word] for word in set(re.findall(r"\w+", text)) & set(homes)} - {file}
            for file, text in files.items()}


def reach(calls, start):
    seen, left = set(), [start]
    while left:
        for other in calls[left.pop()] - seen:
            seen.add(other)
            left.append(other)
    return seen


def check_circles(rooms):
    for room, files in sorted(rooms.items()):
        calls = calls_of(files)
        reached = {file: reach(calls, file) for file in files}
        circle = {file for file in files if file in reached[file]}
        for file in sorted(circle - CIRCLES.get(room, set())):
            others = sorted(other for other in calls[file] if file in reached[other])
            errors.append(f"gateway/{room}/{file}: calls in a circle, by {', '.join(others)}")


def main():
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "gateway", "tests", "fuzz", "bench"],
        capture_output=True, text=True, check=True).stdout.split()
    rooms = collections.defaultdict(dict)
    for path in sorted(set(listed)):
        if not path.endswith((".c", ".h")) or not pathlib.Path(path).exists():
            continue
        text = pathlib.Path(path).read_text()
        lines = text.splitlines()
        if path.startswith("gateway/"):
            if path.endswith(".c"):
                rooms[module_of(path)][pathlib.PurePath(path).name] = code_of(text)
            check_includes(path, text)
            if path.endswith(".h") and len(lines) > MAX_HEADER and not OPT_OUT.search(text):
                errors.append(f"{path}: header of {len(lines)} lines (at most {MAX_HEADER})")
            check_parameters(path, text)
        if len(lines) > MAX_FILE:
            errors.append(f"{path}: {len(lines)} lines (at most {MAX_FILE})")
        check_functions(path, lines)
        if any(len(line) > 100 for line in lines) and path.startswith("gateway/"):
            errors.append(f"{path}: a line over 100 columns")
    check_circles(rooms)
    for error in errors:
        print(error, file=sys.stderr)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
