"""HTTP/1.1 over a raw socket: exactly the bytes we want go out, exactly what comes back is kept."""

import json
import re
import socket
import struct
import time

SIZE = re.compile(rb"^[0-9a-f]+$")


def request(method, path, headers=(), body=None, host="localhost", version="HTTP/1.1"):
    """One request as bytes; a body that is not bytes becomes JSON with its Content-Length."""
    lines = ["%s %s %s" % (method, path, version)]
    if host is not None:
        lines.append("Host: " + host)
    lines.extend("%s: %s" % pair for pair in headers)
    data = b""
    if body is not None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        if not any(name.lower() == "content-type" for name, _ in headers):
            lines.append("Content-Type: application/json")
        lines.append("Content-Length: %d" % len(data))
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + data


def bearer(key, *more):
    return [("Authorization", "Bearer " + key), *more] if key else list(more)


def post(path, body, key=None, headers=(), **kwargs):
    return request("POST", path, bearer(key, *headers), body, **kwargs)


def get(path, key=None, headers=(), method="GET", **kwargs):
    return request(method, path, bearer(key, *headers), **kwargs)


class Answer:
    """One response. `end` is whole, fin, rst or timeout; `times` says when each chunk was there.

    `reset`: the code of the RST_STREAM that cut it, over HTTP/2.
    """

    def __init__(self, head, body, chunks, times, end, reset=None):
        self.head, self.body, self.chunks, self.times, self.end = head, body, chunks, times, end
        self.reset = reset
        lines = head.decode("latin-1").split("\r\n")
        parts = lines[0].split(" ", 2)
        self.status = int(parts[1]) if len(parts) > 1 and parts[1].isdigit() else 0
        self.fields = [tuple(line.split(": ", 1)) for line in lines[1:] if ": " in line]

    def field(self, name):
        """The value of a header that may stand there once; None when it does not."""
        values = [value for key, value in self.fields if key.lower() == name.lower()]
        assert len(values) <= 1, (name, values)
        return values[0] if values else None

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def lines(self):
        """The objects of an NDJSON answer."""
        return [json.loads(line) for line in self.body.splitlines() if line.strip()]

    @property
    def events(self):
        """The data lines of an SSE answer, parsed unless they are [DONE]."""
        found = re.findall(rb"^data: (.*)$", self.body, re.M)
        return ["[DONE]" if text == b"[DONE]" else json.loads(text) for text in found]

    def __repr__(self):
        return "<%s %s %r>" % (self.end, self.head[:60], self.body[:200])


class Client:
    """A connection. Every wait is bounded by `timeout` seconds."""

    # `address`: (host, port), or the path of a socket. `preface` goes out before TLS.
    def __init__(self, address, timeout=10.0, tls=None, name=None, rcvbuf=None, preface=b"",
                 source=None):
        by_path = isinstance(address, str)
        raw = socket.socket(socket.AF_UNIX if by_path else socket.AF_INET, socket.SOCK_STREAM)
        raw.settimeout(timeout)
        if source:
            raw.bind((source, 0))
        if rcvbuf:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        raw.connect(address)
        if not by_path:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if preface:
            raw.sendall(preface)
        self.sock = tls.wrap_socket(raw, server_hostname=name) if tls else raw
        self.timeout = timeout
        self.data = b""  # came, and not given to anybody yet
        self.end = None  # fin or rst, once seen

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, data):
        self.sock.sendall(data)
        return self

    def try_send(self, data):
        """Send to a peer that may have closed already."""
        try:
            self.sock.sendall(data)
            return True
        except OSError:
            return False

    def fill(self, deadline):
        """Wait for more bytes. False when the peer has left; TimeoutError when nothing comes."""
        if self.end:
            return False
        self.sock.settimeout(max(0.001, deadline - time.monotonic()))
        try:
            piece = self.sock.recv(262144)
        except (ConnectionResetError, BrokenPipeError):
            self.end = "rst"
            return False
        if not piece:
            self.end = "fin"
            return False
        self.data += piece
        return True

    def until(self, mark, timeout=None):
        """Bytes up to and with `mark`; AssertionError when they do not come."""
        deadline = time.monotonic() + (timeout or self.timeout)
        while mark not in self.data:
            assert self.fill(deadline), "the peer left: %r" % self.data[-300:]
        at = self.data.index(mark) + len(mark)
        taken, self.data = self.data[:at], self.data[at:]
        return taken

    def answer(self, method="POST", timeout=None):
        """The next final response, as far as it comes."""
        deadline = time.monotonic() + (timeout or self.timeout)
        head, body, chunks, times = b"", b"", [], []
        try:
            while True:
                while b"\r\n\r\n" not in self.data:
                    if not self.fill(deadline):
                        return Answer(self.data, b"", [], [], self.end)
                head, self.data = self.data.split(b"\r\n\r\n", 1)
                if not head.startswith(b"HTTP/1.1 1"):
                    break
            found = Answer(head, b"", [], [], "whole")
            if method == "HEAD" or found.status in (204, 304):
                return found
            if found.field("Transfer-Encoding") == "chunked":
                while True:
                    while b"\r\n" not in self.data:
                        if not self.fill(deadline):
                            return Answer(head, b"".join(chunks), chunks, times, self.end)
                    size, rest = self.data.split(b"\r\n", 1)
                    assert SIZE.match(size), size
                    length = int(size, 16)
                    while len(rest) < length + 2:
                        if not self.fill(deadline):
                            return Answer(head, b"".join(chunks), chunks, times, self.end)
                        rest = self.data.split(b"\r\n", 1)[1]
                    assert rest[length:length + 2] == b"\r\n", rest[:length + 2]
                    self.data = rest[length + 2:]
                    if length == 0:
                        return Answer(head, b"".join(chunks), chunks, times, "whole")
                    chunks.append(rest[:length])
                    times.append(time.monotonic())
            length = found.field("Content-Length")
            while length is None or len(self.data) < int(length):
                if not self.fill(deadline):
                    body, self.data = self.data, b""
                    return Answer(head, body, [], [], self.end)
            body, self.data = self.data[:int(length)], self.data[int(length):]
            return Answer(head, body, [], [], "whole")
        except socket.timeout:
            return Answer(head or self.data, body or b"".join(chunks), chunks, times, "timeout")

    def wait_end(self, timeout=1.0):
        """fin, rst, or open when the peer has not left in time. Bytes that come are kept."""
        deadline = time.monotonic() + timeout
        try:
            while self.fill(deadline):
                pass
        except socket.timeout:
            return "open"
        return self.end

    def close(self):
        self.sock.close()

    def reset(self):
        """Leave with an RST instead of a FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def leave(self, how):
        """fin, half (a FIN while we could still read) or rst."""
        if how == "half":
            self.sock.shutdown(socket.SHUT_WR)
        elif how == "rst":
            self.reset()
        else:
            self.close()


def ask(address, data, timeout=10.0, **kwargs):
    """One request on a connection of its own."""
    with Client(address, timeout, **kwargs) as client:
        client.send(data)
        return client.answer(data.split(b" ", 1)[0].decode("latin-1"))
