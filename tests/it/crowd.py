"""A crowd that does harm, and a steady good client beside it: each a process of its own.

    crowd.py '{"kind": ..., ...}'   until standard input ends; prints what it saw as one JSON object

In processes of their own, so that the crowd's work does not hold up the clock of who measures.
"""

import json
import os
import select
import socket
import subprocess
import sys
import time

SIP_BYTES = 1
PIECE = b"a" * 262144


class Crowd:
    """Keeps `count` connections open from `sources`; each sends `first`, then `more` every `every` seconds.

    `sip`: reads a byte each time instead of all there is. `hold_s`: leaves after so long.
    `total`: sends so many letters as fast as they are taken, then reads.
    `cut`: bytes in hexadecimal; what comes with them in it is an end, as a reset stream is.
    """

    def __init__(self, host, port, count, sources, first, more="", every=0.25, sip=False, hold_s=None,
                 per_s=2000, total=0, tail="", cut=""):
        self.address, self.count, self.sources = (host, port), count, sources
        self.first, self.more, self.tail = (text.encode("latin-1") for text in (first, more, tail))
        self.every, self.sip, self.hold_s, self.per_s, self.total = every, sip, hold_s, per_s, total
        self.open, self.opened, self.failed = {}, 0, 0
        self.cut = bytes.fromhex(cut)
        self.ages, self.answers, self.sent = [], {}, 0

    def connect(self):
        sock = socket.socket()
        sock.settimeout(2)
        try:
            # One port may serve many addresses of the other side.
            sock.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
            sock.bind((self.sources[self.opened % len(self.sources)], 0))
            if self.sip:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            self.opened += 1
            sock.connect(self.address)
            sock.sendall(self.first)
        except OSError:
            self.failed += 1
            sock.close()
            return
        sock.setblocking(False)
        self.open[sock] = [time.monotonic(), self.total, b""]

    def drop(self, sock, by_peer=True):
        born, _, data = self.open.pop(sock)
        if by_peer:
            self.ages.append(time.monotonic() - born)
        status = data[9:12].decode("latin-1")
        self.answers[status] = self.answers.get(status, 0) + 1
        sock.close()

    def flood(self, sock, state):
        """True when something was taken."""
        if state[1] <= 0:
            return False
        n = sock.send(PIECE[:state[1]])
        state[1] -= n
        self.sent += n
        if state[1] == 0 and self.tail:
            sock.settimeout(5)
            sock.sendall(self.tail)
            sock.setblocking(False)
        return n > 0

    def step(self, sock, state):
        busy = False
        try:
            if self.total:
                busy = self.flood(sock, state)
            elif self.more:
                self.sent += sock.send(self.more)
        except BlockingIOError:
            pass
        except OSError:
            pass  # the answer may still be there to read
        try:
            data = sock.recv(SIP_BYTES if self.sip else 65536)
            state[2] = (state[2] + data)[:64]
            whole = self.total and state[2].startswith(b"HTTP/1.1 ") and state[1] <= 0
            if not data or whole or (self.cut and self.cut in data):
                self.drop(sock)
                return True
        except BlockingIOError:
            pass
        except OSError:
            self.drop(sock)
            return True
        if self.hold_s is not None and time.monotonic() - state[0] >= self.hold_s:
            self.drop(sock, by_peer=False)
        return busy

    def run(self):
        began = time.monotonic()
        while not select.select([sys.stdin], [], [], 0)[0]:
            turn = time.monotonic()
            while len(self.open) < self.count and self.opened < 1 + (turn - began) * self.per_s:
                self.connect()
                if time.monotonic() - turn > 0.2:
                    break
            busy = [self.step(sock, state) for sock, state in list(self.open.items())]
            rest = 0.002 if any(busy) else self.every if len(self.open) >= self.count else 0.02
            time.sleep(max(0, turn + rest - time.monotonic()))
        ages = sorted(self.ages) or [0]
        return {"opened": self.opened, "failed": self.failed, "open": len(self.open), "sent": self.sent,
                "ended": len(self.ages), "age": ages[len(ages) // 2], "oldest": ages[-1],
                "answers": self.answers}


def steady(host, port, source, request, seconds, every=0.02):
    """A whole exchange each 20 ms, every tenth on a new connection: milliseconds, and what went wrong."""
    took, wrong, client, count = [], [], None, 0
    request = request.encode()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.monotonic()
        try:
            if client is None:
                client = socket.socket()
                client.settimeout(10)
                client.bind((source, 0))
                client.connect((host, port))
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.sendall(request)
            data = b""
            while not data.endswith((b"0\r\n\r\n", b'"done":true}\n')) and b'"error"' not in data:
                piece = client.recv(65536)
                if not piece:
                    raise OSError("the gateway left: %r" % data[:100])
                data += piece
            if not data.startswith(b"HTTP/1.1 200 "):
                wrong.append(data[:100].decode("latin-1"))
        except OSError as error:
            wrong.append(str(error))
        took.append((time.monotonic() - began) * 1000)
        count += 1
        if wrong or count % 10 == 0:
            client.close()
            client = None
        time.sleep(max(0, began + every - time.monotonic()))
    return {"ms": sorted(took), "wrong": wrong}


def start(kind, nice=0, **settings):
    """The process of one of the two; `result` ends it."""
    return subprocess.Popen([sys.executable, __file__, json.dumps(dict(settings, kind=kind))],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                            preexec_fn=lambda: os.nice(nice) and None)


def result(process, lasts_s=0):
    try:
        out, _ = process.communicate(timeout=lasts_s + 120)
    finally:
        process.kill()
    assert process.returncode == 0, "see standard error"
    return json.loads(out)


def main():
    settings = json.loads(sys.argv[1])
    if settings.pop("kind") == "steady":
        print(json.dumps(steady(**settings)))
    else:
        print(json.dumps(Crowd(**settings).run()))


if __name__ == "__main__":
    main()
