"""HTTP/2 over a raw socket: any frame can be sent, right or wrong, and what comes back is kept.

`Connection` is the wire. `Client` has the face of h1.Client, so that a test written for one
protocol runs over the other (CORRAL_PROTOCOL=h2).
"""

import json
import socket
import struct
import time

import hpack

import h1

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, END_HEADERS, PADDED, PRIORITIZED, ACK = 1, 4, 8, 32, 1
NO_ERROR, PROTOCOL, INTERNAL, FLOW, SETTINGS_TIMEOUT, CLOSED, FRAME_SIZE, REFUSED, CANCEL, \
    COMPRESSION, CONNECT, CALM = range(12)
MAX_STREAMS, INITIAL_WINDOW, MAX_FRAME = 3, 4, 5


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + \
        struct.pack(">I", stream) + payload


def settings(values=None):
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", k, v) for k, v in (values or {}).items()))


class Stream:
    """What came on one stream. `end`: None while it goes on, whole, or the code of its reset."""

    def __init__(self):
        self.heads, self.chunks, self.times, self.end = [], [], [], None

    @property
    def body(self):
        return b"".join(self.chunks)

    @property
    def head(self):
        """The final head, or None."""
        final = [h for h in self.heads if not dict(h)[":status"].startswith("1")]
        return final[0] if final else None

    @property
    def status(self):
        return int(dict(self.head)[":status"]) if self.head else 0

    @property
    def over(self):
        return self.end is not None


class Connection:
    """Every wait is bounded by `timeout` seconds. `window`: what we let a stream send us."""

    def __init__(self, address, timeout=10.0, tls=None, name=None, own=None, window=1 << 30,
                 ack=True, begin=True, **kwargs):
        self.raw = h1.Client(address, timeout, tls, name, **kwargs)
        self.timeout, self.window, self.ack = timeout, window, ack
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()
        self.streams, self.goaways, self.pings, self.peer = {}, [], 0, {}
        self.next, self.acked, self.credit, self.block = 1, 0, {}, b""
        self.sent_window = 65535
        if begin:
            values = {INITIAL_WINDOW: min(window, (1 << 31) - 1)}
            values.update(own or {})
            self.send(PREFACE + settings(values))
            if window > 65535:
                self.send(frame(WINDOW, 0, 0, struct.pack(">I", (1 << 31) - 1 - 65535)))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # ---- sending ----

    def send(self, data):
        return self.raw.try_send(data)

    def frame(self, kind, flags=0, stream=0, payload=b""):
        return self.send(frame(kind, flags, stream, payload))

    def block_of(self, fields):
        return self.encoder.encode([(n, v) for n, v in fields], huffman=False)

    def headers(self, fields, end=True, stream=None, more=()):
        """HEADERS, and a CONTINUATION for each further list of fields; the stream's id."""
        stream = stream or self.take_id()
        flags = (END_STREAM if end else 0) | (0 if more else END_HEADERS)
        out = frame(HEADERS, flags, stream, self.block_of(fields))
        for i, part in enumerate(more):
            out += frame(CONTINUATION, END_HEADERS if i == len(more) - 1 else 0, stream,
                         self.block_of(part))
        self.streams.setdefault(stream, Stream())
        self.send(out)
        return stream

    def take_id(self):
        taken, self.next = self.next, self.next + 2
        return taken

    def fields(self, method="GET", path="/", more=(), authority="localhost", scheme=None):
        scheme = scheme or ("https" if hasattr(self.raw.sock, "version") else "http")
        return [(":method", method), (":scheme", scheme), (":path", path),
                (":authority", authority), *more]

    def request(self, method="GET", path="/", more=(), body=None, end=True):
        """A whole request; the stream's id. Waits for window where the body needs it."""
        if body is None:
            return self.headers(self.fields(method, path, more), end=end)
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        fields = [*self.fields(method, path, more)]
        if not any(name == "content-length" for name, _ in more):
            fields.append(("content-length", str(len(body))))
        stream = self.headers(fields, end=False)
        self.body(stream, body, end)
        return stream

    def body(self, stream, body, end=True):
        deadline = time.monotonic() + self.timeout
        at = 0
        while at < len(body) or (end and not body):
            room = min(16384, self.sent_window, self.credit.setdefault(stream, self.first_window()))
            if room <= 0 and not self.streams[stream].over:
                assert self.pump(deadline), "the peer left while a body was sent"
                continue
            if self.streams[stream].over or self.raw.end:
                return
            piece = body[at:at + room]
            at += len(piece)
            self.sent_window -= len(piece)
            self.credit[stream] -= len(piece)
            self.frame(DATA, END_STREAM if end and at == len(body) else 0, stream, piece)
            if not body:
                return

    def press(self, stream, size, pause=0.0):
        """So many blanks, as windows allow, whatever is answered meanwhile, as httpx does; pause after each MiB. How
        many went out: fewer when no window opens any more."""
        left, paused, deadline = size, size, time.monotonic() + self.timeout
        while left > 0:
            room = min(16384, self.sent_window, self.credit.setdefault(stream, self.first_window()), left)
            if room <= 0:
                try:
                    if self.pump(deadline):
                        continue
                except socket.timeout:
                    pass
                break
            left -= room
            self.sent_window -= room
            self.credit[stream] -= room
            self.frame(DATA, END_STREAM if left == 0 else 0, stream, b" " * room)
            if paused - left > 1 << 20:
                paused = left
                time.sleep(pause)
        return size - left

    def first_window(self):
        return self.peer.get(INITIAL_WINDOW, 65535)

    def post(self, path, body, key=None, more=()):
        more = [("content-type", "application/json"), *more]
        if key:
            more.append(("authorization", "Bearer " + key))
        return self.request("POST", path, more, body)

    def rst(self, stream, code=CANCEL):
        return self.frame(RST, 0, stream, struct.pack(">I", code))

    # ---- receiving ----

    def pump(self, deadline):
        """Wait for bytes and take whole frames. False when the peer has left."""
        if not self.raw.fill(deadline):
            self.take_frames()
            return False
        self.take_frames()
        return True

    def take_frames(self):
        data = self.raw.data
        while len(data) >= 9:
            length = int.from_bytes(data[:3], "big")
            if len(data) < 9 + length:
                break
            kind, flags = data[3], data[4]
            stream = int.from_bytes(data[5:9], "big") & 0x7fffffff
            payload, data = data[9:9 + length], data[9 + length:]
            self.take(kind, flags, stream, payload)
        self.raw.data = data

    def take(self, kind, flags, stream, payload):
        if kind in (HEADERS, CONTINUATION):
            self.block += payload
            if flags & END_HEADERS:
                self.stream(stream).heads.append(self.decoder.decode(self.block))
                self.block = b""
            if kind == HEADERS and flags & END_STREAM:
                self.stream(stream).end = "whole"
        elif kind == DATA:
            own = self.stream(stream)
            own.chunks.append(payload)
            own.times.append(time.monotonic())
            if flags & END_STREAM:
                own.end = "whole"
        elif kind == RST:
            own = self.stream(stream)
            code = int.from_bytes(payload, "big")
            if own.end != "whole":
                own.end = code
            own.reset = code
        elif kind == SETTINGS and flags & ACK:
            self.acked += 1
        elif kind == SETTINGS:
            for i in range(0, len(payload), 6):
                key, value = struct.unpack(">HI", payload[i:i + 6])
                self.peer[key] = value
            if self.ack:
                self.frame(SETTINGS, ACK)
        elif kind == PING:
            self.pings += 1
            if not flags & ACK:
                self.frame(PING, ACK, 0, payload)
        elif kind == GOAWAY:
            self.goaways.append((int.from_bytes(payload[:4], "big") & 0x7fffffff,
                                 int.from_bytes(payload[4:8], "big")))
        elif kind == WINDOW:
            more = int.from_bytes(payload, "big")
            if stream == 0:
                self.sent_window += more
            else:
                self.credit[stream] = self.credit.get(stream, self.first_window()) + more

    def stream(self, stream):
        return self.streams.setdefault(stream, Stream())

    def until(self, condition, timeout=None):
        """Pump until it holds: its value; False when the peer left or the time is over."""
        deadline = time.monotonic() + (timeout or self.timeout)
        while not condition():
            try:
                if not self.pump(deadline):
                    return condition()
            except socket.timeout:
                return condition()
        return condition()

    def answer(self, stream, timeout=None):
        """The stream's answer with the face of h1.Answer; a reset is `fin`: a visible cut."""
        own = self.stream(stream)
        self.until(lambda: own.over, timeout)
        head = own.head or [(":status", "0")]
        lines = ["HTTP/2 %s x" % dict(head)[":status"]]
        lines += ["%s: %s" % (n, v) for n, v in head if not n.startswith(":")]
        end = "whole" if own.end == "whole" else self.raw.end or "timeout" if own.end is None else "fin"
        return h1.Answer("\r\n".join(lines).encode("latin-1"), own.body, own.chunks, own.times, end,
                         None if own.end == "whole" else own.end)

    def wait_goaway(self, timeout=5.0):
        """The code of the last GOAWAY, or None."""
        self.until(lambda: self.raw.end or self.goaways, timeout)
        return self.goaways[-1][1] if self.goaways else None

    def wait_end(self, timeout=3.0):
        """fin, rst, or open."""
        self.until(lambda: self.raw.end, timeout)
        return self.raw.end or "open"

    def close(self):
        self.raw.close()


class Client:
    """h1.Client's face: requests are given as the bytes of HTTP/1.1."""

    def __init__(self, address, timeout=10.0, tls=None, name=None, window=None, **kwargs):
        if tls is not None:
            tls.set_alpn_protocols(["h2"])
        window = window or (65535 if "rcvbuf" in kwargs else 1 << 30)
        self.wire = Connection(address, timeout, tls, name, window=window, **kwargs)
        self.sock, self.timeout = self.wire.raw.sock, timeout
        self.asked, self.given = [], 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def end(self):
        return self.wire.raw.end

    def send(self, data):
        if b"\r\n\r\n" not in data:  # half a head: a block that does not end
            self.wire.frame(HEADERS, 0, self.wire.take_id(), self.wire.block_of([(":method", "POST")]))
            return self
        head, _, body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, path, _ = first.split(" ")
        fields = [tuple(line.split(": ", 1)) for line in lines]
        host = [v for n, v in fields if n.lower() == "host"]
        more = [(n.lower(), v) for n, v in fields if n.lower() not in ("host", "connection")]
        lengths = [v for n, v in more if n == "content-length"]
        own = self.wire.fields(method, path, more, host[0] if host else "localhost")
        if not lengths:
            self.asked.append(self.wire.headers(own))
            return self
        stream = self.wire.headers(own, end=False)
        self.asked.append(stream)
        self.wire.body(stream, body, end=len(body) == int(lengths[0]))
        return self

    def try_send(self, data):
        self.send(data)
        return self.end is None

    def answer(self, method="POST", timeout=None):
        stream = self.asked[self.given]
        self.given += 1
        return self.wire.answer(stream, timeout)

    def until(self, mark, timeout=None):
        """Bytes of the body up to and with `mark`; an empty line stands for the head."""
        own = self.wire.stream(self.asked[self.given])
        if mark == b"\r\n\r\n":
            assert self.wire.until(lambda: own.head, timeout), "no head"
            return b""
        assert self.wire.until(lambda: mark in own.body or own.over, timeout), "%r did not come" % mark
        assert mark in own.body, "the stream ended: %r" % own.body[-300:]
        data = own.body
        at = data.index(mark) + len(mark)
        own.chunks[:] = [data[at:]]
        return data[:at]

    def fill(self, deadline):
        return self.wire.pump(deadline)

    @property
    def data(self):
        """What came of the answer that is waited for."""
        return self.wire.stream(self.asked[self.given]).body

    @data.setter
    def data(self, value):
        self.wire.stream(self.asked[self.given]).chunks[:] = [value]

    def wait_end(self, timeout=1.0):
        return self.wire.wait_end(timeout)

    def close(self):
        self.wire.close()

    def reset(self):
        self.wire.raw.reset()

    def leave(self, how):
        """rst: the stream alone; half: as many clients do, a FIN."""
        if how == "rst" and self.asked:
            self.wire.rst(self.asked[-1])
        else:
            self.wire.raw.leave(how)


def ask(address, data, timeout=10.0, **kwargs):
    """One request on a connection of its own."""
    with Client(address, timeout, **kwargs) as client:
        client.send(data)
        return client.answer(timeout=timeout)
