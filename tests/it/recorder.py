"""A replica that keeps every byte that reached it, and answers whatever a test says."""

import json
import os
import random
import re
import socket
import threading

MODELS = ("tiny", "embed", "other")
VERSION = "0.24.0"
POLL = re.compile(rb"GET /api/(tags|ps|version) HTTP/1\.1\r\nHost: [a-z0-9.:]+\r\n"
                  rb"Accept: application/json\r\n\r\n")
DONE = {"model": "tiny", "message": {"role": "assistant", "content": "x"}, "response": "x",
        "done": True, "done_reason": "stop", "prompt_eval_count": 1, "eval_count": 1}


SEED = int(os.environ.get("CORRAL_SEED") or random.SystemRandom().randrange(10 ** 9))


def split(data, dice):
    """Pieces of it, cut at a few random places."""
    cuts = sorted(dice.randrange(1, len(data)) for _ in range(dice.randrange(1, 6)))
    return [data[a:b] for a, b in zip([0] + cuts, cuts + [len(data)])]


def ways(data, name):
    """(how, pieces to send): whole, byte by byte where it is not a flood, split at random."""
    yield "whole", [data]
    if len(data) < 9000:
        yield "bytes", [data[i:i + 1] for i in range(len(data))]
    yield "split", split(data, random.Random("%d %s" % (SEED, name)))


def answer(body, status=b"200 OK", kind=b"application/json"):
    return (b"HTTP/1.1 " + status + b"\r\nContent-Type: " + kind +
            b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


def tags():
    return {"models": [{"name": name + ":latest", "model": name + ":latest", "size": 1,
                        "modified_at": "2026-01-01T00:00:00Z", "digest": "%064x" % i,
                        "details": {"family": "x"}} for i, name in enumerate(MODELS)]}


class Recorder:
    """All but the gateway's own polls counts: `taken()`, byte for byte, one piece a connection.

    `reply` is what a request gets: bytes, a list of bytes sent one after the other, or a function
    of the socket. `end`: keep, fin or rst. `early`: answer a head at once, and read no more.
    """

    def __init__(self):
        self.sock = socket.socket()
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.bind(("127.0.0.1", 0))
        self.sock.listen(256)
        self.port = self.sock.getsockname()[1]
        self.url = "http://127.0.0.1:%d" % self.port
        self.lock = threading.Lock()
        self.streams = []
        self.accepted = self.ended = 0  # connections; ended by the other side
        self.calm()
        threading.Thread(target=self._accept, daemon=True).start()

    def calm(self):
        """Answer as a replica should."""
        self.reply, self.end, self.early = answer(json.dumps(DONE).encode()), "keep", False

    def taken(self):
        """Everything that came since the last call and is not a poll."""
        with self.lock:
            found = [bytes(s) for s in self.streams if s]
            for stream in self.streams:
                del stream[:]
        return found

    def _accept(self):
        while True:
            try:
                conn, _ = self.sock.accept()
            except OSError:
                return
            self.accepted += 1
            stream = bytearray()
            with self.lock:
                self.streams.append(stream)
            threading.Thread(target=self._serve, args=(conn, stream), daemon=True).start()

    def _serve(self, conn, stream):
        pending = b""
        try:
            conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while True:
                piece = conn.recv(262144)
                if not piece:
                    self.ended += 1
                    return
                pending += piece
                poll = POLL.fullmatch(pending)
                if poll:
                    said = {b"tags": tags(), b"ps": {"models": []}, b"version": {"version": VERSION}}
                    conn.sendall(answer(json.dumps(said[poll.group(1)]).encode()))
                    pending = b""
                    continue
                with self.lock:
                    stream += piece
                if self.early:
                    self._answer(conn)
                    threading.Event().wait(1)
                    return
                while self._whole(pending):
                    pending = pending[self._whole(pending):]
                    if not self._answer(conn):
                        return
        except OSError:
            self.ended += 1
        finally:
            conn.close()

    @staticmethod
    def _whole(data):
        """Length of the request at the front once it is complete; 0 until then."""
        head, mark, _ = data.partition(b"\r\n\r\n")
        length = re.search(rb"\r\nContent-Length: (\d+)", head)
        size = len(head) + 4 + (int(length.group(1)) if length else 0)
        return size if mark and len(data) >= size else 0

    def _answer(self, conn):
        reply = self.reply
        if callable(reply):
            reply(conn)
        for piece in [] if callable(reply) else [reply] if isinstance(reply, bytes) else reply:
            conn.sendall(piece)
        if self.end == "keep":
            return True
        if self.end == "rst":
            conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        return False

    def close(self):
        self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()
