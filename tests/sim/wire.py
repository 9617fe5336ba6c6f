"""Raw HTTP/1.1 over a socket: send bytes, take back exactly the bytes of one response."""

import re
import socket
import time

SEPARATOR = re.compile(rb"\n=== response(, then closed)? ===\n")


def split_head(data):
    """(head, rest) at the first empty line; rest is None while the head is not complete."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return data, None
    return data[:end + 4], data[end + 4:]


def fields(head):
    """(status line, [(name, value), ...]) of a head."""
    lines = head.decode("latin-1").split("\r\n")
    pairs = []
    for line in lines[1:]:
        if line:
            name, _, value = line.partition(":")
            pairs.append((name, value.strip()))
    return lines[0], pairs


def unchunk(data):
    """(list of chunks, rest after the last chunk or None while not complete)."""
    chunks = []
    while True:
        line, found, rest = data.partition(b"\r\n")
        if not found:
            return chunks, None
        size = int(line.split(b";")[0], 16)
        if len(rest) < size + 2:
            return chunks, None
        if size == 0:
            return chunks, rest[2:]
        chunks.append(rest[:size])
        data = rest[size + 2:]


def complete(data, method):
    """True when `data` holds a final response that its own framing ends."""
    while True:
        head, rest = split_head(data)
        if rest is None:
            return False
        status_line, pairs = fields(head)
        status = int(status_line.split()[1])
        if 100 <= status < 200 and status != 101:
            data = rest
            continue
        names = {name.lower(): value for name, value in pairs}
        if method == "HEAD" or status in (204, 304):
            return True
        if names.get("transfer-encoding") == "chunked":
            return unchunk(rest)[1] is not None
        if "content-length" in names:
            return len(rest) >= int(names["content-length"])
        return False  # ends with the connection


def exchange(address, request, timeout=120.0):
    """Send one request, return the raw response and whether the peer closed after it."""
    method = request.split(b" ", 1)[0].decode("latin-1")
    data = b""
    with socket.create_connection(address, timeout=timeout) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(request)
        deadline = time.monotonic() + timeout
        while not complete(data, method):
            sock.settimeout(max(0.01, deadline - time.monotonic()))
            piece = sock.recv(65536)
            if not piece:
                return data, True
            data += piece
        sock.settimeout(0.05)
        try:
            return data, sock.recv(1) == b""
        except socket.timeout:
            return data, False
        except ConnectionError:
            return data, True


def store(path, request, response, closed):
    mark = b"\n=== response, then closed ===\n" if closed else b"\n=== response ===\n"
    with open(path, "wb") as out:
        out.write(request + mark + response)


def load(path):
    """(request, response, whether the server closed after it) of one recording."""
    with open(path, "rb") as src:
        data = src.read()
    mark = SEPARATOR.search(data)
    return data[:mark.start()], data[mark.end():], mark.group(1) is not None
