#!/usr/bin/env python3
"""record.py OUT_DIR BASE_URL [PID]: renew the recordings from a real Ollama 0.24.0.

Start it with tests/real/ollama-start.sh (OLLAMA_NUM_PARALLEL=1); it needs the models `tiny` and
`embed`. Each case of cases.py becomes one file: raw request, a separator line, raw response. With the
server's PID, the answers while its runner is killed are recorded too. Folders of the recording machine
are overwritten by letters of the same number, so that every length in the file stays true.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.parse

import cases
import wire

FOLDER = re.compile(rb"(?<![A-Za-z0-9.:/>])(/[A-Za-z0-9_./-]*?)(?=/blobs/sha256)")


def hide_folders(data):
    return FOLDER.sub(lambda m: b"/" + b"m" * (len(m.group(1)) - 1), data)


def kill_runners(server_pid):
    children = subprocess.run(["pgrep", "-P", str(server_pid)], capture_output=True, text=True,
                              check=True)
    for pid in children.stdout.split():
        os.kill(int(pid), signal.SIGKILL)


def record_death(address, request, server_pid):
    """One answer whose runner is killed half a second after it began, or after it was asked."""
    method = request.split(b" ", 1)[0].decode()
    streams = b'"stream":true' in request or (b"/api/" in request and b'"stream"' not in request)
    with socket.create_connection(address, timeout=30) as sock:
        sock.sendall(request)
        data = sock.recv(65536) if streams else b""
        time.sleep(0.3 if streams else 4.0)
        kill_runners(server_pid)
        while not wire.complete(data, method):
            piece = sock.recv(65536)
            if not piece:
                return data, True
            data += piece
    return data, False


def record(out_dir, name, request, answer):
    response, closed = answer
    path = os.path.join(out_dir, name + ".http")
    wire.store(path, request, hide_folders(response), closed)
    print("%s: %d bytes%s" % (path, len(response), ", closed" if closed else ""))


def main():
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    out_dir = sys.argv[1]
    url = urllib.parse.urlsplit(sys.argv[2])
    address = (url.hostname, url.port or 11434)
    os.makedirs(out_dir, exist_ok=True)
    for old in os.listdir(out_dir):
        if old.endswith(".http") and (len(sys.argv) == 4 or not old.startswith("death-")):
            os.unlink(os.path.join(out_dir, old))
    for number, (name, request) in enumerate(cases.CASES):
        record(out_dir, "%03d-%s" % (number, name), request, wire.exchange(address, request))
        if name.startswith("unload"):
            time.sleep(1.0)  # the runner ends a moment after the answer
    if len(sys.argv) == 4:
        for name, request in cases.DEATHS:
            record(out_dir, "death-" + name, request,
                   record_death(address, request, int(sys.argv[3])))


if __name__ == "__main__":
    main()
