"""Client hellos made by hand: what no decent TLS library would send."""

import os
import socket
import struct

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

TLS12_GOOD = [0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8]
TLS13 = [0x1301, 0x1302, 0x1303]
ALERTS = {10: "unexpected_message", 40: "handshake_failure", 47: "illegal_parameter",
          50: "decode_error", 70: "protocol_version", 80: "internal_error",
          109: "missing_extension", 112: "unrecognized_name"}
SIGNATURES = [0x0403, 0x0503, 0x0804, 0x0805, 0x0401]
RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")


def u16(n):
    return struct.pack(">H", n)


def vector(data, width=2):
    return len(data).to_bytes(width, "big") + data


def extension(kind, body):
    return u16(kind) + vector(body)


def server_name(name, kind=0):
    return extension(0, vector(bytes([kind]) + vector(name)))


def share(group):
    if group == 0x001d:
        return os.urandom(32)
    curve = {0x0017: ec.SECP256R1, 0x0018: ec.SECP384R1}[group]()
    return ec.generate_private_key(curve).public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)


def key_share(*pairs):
    return extension(0x33, vector(b"".join(u16(group) + vector(key) for group, key in pairs)))


def usual(groups=(0x1d, 0x17, 0x18)):
    return [extension(0x0a, vector(b"".join(map(u16, groups)))), extension(0x0b, b"\1\0"),
            extension(0x0d, vector(b"".join(map(u16, SIGNATURES))))]


def versions(*numbers):
    return extension(0x2b, vector(b"".join(map(u16, numbers)), 1))


def hello(ciphers, extensions, version=0x0303, compression=b"\0"):
    body = (u16(version) + os.urandom(32) + vector(os.urandom(32), 1) +
            vector(b"".join(map(u16, ciphers))) + vector(compression, 1) +
            vector(b"".join(extensions)))
    return b"\1" + vector(body, 3)


def hello12(ciphers, extensions=None, **kwargs):
    return hello(ciphers, usual() if extensions is None else extensions, **kwargs)


def hello13(ciphers, groups=(0x1d,), shares=None, more=()):
    pairs = [(g, share(g)) for g in groups] if shares is None else shares
    return hello(ciphers, [versions(0x0304), key_share(*pairs), *usual(groups), *more])


def record(payload, version=0x0301, kind=22):
    return bytes([kind]) + u16(version) + vector(payload)


def read(sock, count):
    data = b""
    while len(data) < count:
        piece = sock.recv(count - len(data))
        if not piece:
            return None
        data += piece
    return data


class Reply:
    """What came first: `alert` (its name), or a server hello (`version`, `cipher`, `retry`); all
    None when the peer closed at once."""

    alert = version = cipher = compression = extensions = None
    retry = False

    def __init__(self, sock):
        try:
            head = read(sock, 5)
            body = head and read(sock, struct.unpack(">H", head[3:])[0])
        except ConnectionResetError:
            body = None
        if not body:
            return
        if head[0] == 21:
            self.alert = ALERTS.get(body[1], str(body[1]))
        elif head[0] == 22 and body[0] == 2:
            after = 39 + body[38]
            self.version, self.retry = struct.unpack(">H", body[4:6])[0], body[6:38] == RETRY
            self.cipher, self.compression = struct.unpack(">HB", body[after:after + 3])
            self.extensions = self._kinds(body[after + 5:])
            if 0x2b in self.extensions:
                self.version = 0x0304
        else:
            raise AssertionError("neither alert nor server hello: %r" % (head + body)[:80])

    @staticmethod
    def _kinds(data):
        kinds = []
        while len(data) >= 4:
            kind, size = struct.unpack(">HH", data[:4])
            kinds.append(kind)
            data = data[4 + size:]
        return kinds

    def __repr__(self):
        return "<%s %s %s>" % (self.alert, self.version, self.cipher)


def ask(address, data, timeout=5):
    """Send records, see what comes."""
    with socket.create_connection(address, timeout) as sock:
        try:
            sock.sendall(data)
        except OSError:
            pass
        return Reply(sock)
