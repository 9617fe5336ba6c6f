"""What a hostile or broken replica says, by number: S-122 to S-132.

name -> (reply, how it ends, what the client must see). Expected: a status, or "cut": 200 and then
an end that looks like one; "lost": that or a 502, as an RST takes along what was not read yet. The request is a streaming /api/chat.
"""

from recorder import answer

OK = b"HTTP/1.1 200 OK\r\n"
NDJSON = b"Content-Type: application/x-ndjson\r\n"
JSON = b"Content-Type: application/json\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
LINE = b'{"model":"tiny","message":{"role":"assistant","content":"x"},"done":false}\n'
LAST = (b'{"model":"tiny","message":{"role":"assistant","content":""},"done":true,'
        b'"done_reason":"stop","prompt_eval_count":1,"eval_count":1}\n')


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


def stream(*pieces):
    return OK + NDJSON + CHUNKED + b"\r\n" + b"".join(pieces)


def reply(fields, body=LAST, status=OK):
    return status + JSON + fields + b"\r\n" + body


LENGTH = b"Content-Length: %d\r\n" % len(LAST)
END = b"0\r\n\r\n"

TABLE = {
    "S-122 CL and TE": (reply(LENGTH + CHUNKED, chunk(LAST) + END), "fin", 502),
    "S-122 two CL": (reply(LENGTH + LENGTH), "fin", 502),
    "S-122 two different CL": (reply(LENGTH + b"Content-Length: 1\r\n"), "fin", 502),
    "S-122 CL of letters": (reply(b"Content-Length: 1x\r\n"), "fin", 502),
    "S-122 CL with a sign": (reply(b"Content-Length: +1\r\n"), "fin", 502),
    "S-122 TE of two": (reply(b"Transfer-Encoding: gzip, chunked\r\n", chunk(LAST) + END), "fin", 502),
    "S-122 TE twice": (reply(CHUNKED + CHUNKED, chunk(LAST) + END), "fin", 502),
    "S-122 no framing": (reply(b""), "fin", 502),
    "S-122 bad chunk size": (stream(chunk(LINE), b"zz\r\n"), "fin", "cut"),
    "S-122 chunk of nine digits": (stream(chunk(LINE), b"000000001\r\n"), "fin", "cut"),
    "S-122 chunk without CRLF": (stream(chunk(LINE)[:-2], b"XX", END), "fin", "cut"),
    "S-122 chunk ended by LF": (stream(chunk(LINE)[:-2], b"\n", END), "fin", "cut"),
    "S-122 LF lines": (reply(LENGTH).replace(b"\r\n", b"\n"), "fin", 502),
    "S-122 one LF line": (reply(b"A: b\n" + LENGTH), "fin", 502),
    "S-122 NUL in a field": (reply(b"A: \0\r\n" + LENGTH), "fin", 502),
    "S-122 no status line": (JSON + LENGTH + b"\r\n" + LAST, "fin", 502),
    "S-122 HTTP/1.0": (reply(LENGTH, status=b"HTTP/1.0 200 OK\r\n"), "fin", 502),
    "S-122 HTTP/2": (reply(LENGTH, status=b"HTTP/2 200\r\n"), "fin", 502),
    "S-122 status of two digits": (reply(LENGTH, status=b"HTTP/1.1 20 OK\r\n"), "fin", 502),
    "S-122 status of four digits": (reply(LENGTH, status=b"HTTP/1.1 2000 OK\r\n"), "fin", 502),
    "S-122 status 099": (reply(LENGTH, status=b"HTTP/1.1 099 OK\r\n"), "fin", 502),
    "S-122 status 600": (reply(LENGTH, status=b"HTTP/1.1 600 OK\r\n"), "fin", 502),
    "S-122 two spaces": (reply(LENGTH, status=b"HTTP/1.1  200 OK\r\n"), "fin", 502),
    "S-122 64 KiB of head": (reply(b"A: " + b"b" * 65536 + b"\r\n" + LENGTH), "fin", 502),
    "S-122 65 fields": (reply(b"A: b\r\n" * 65 + LENGTH), "fin", 502),
    "S-122 fold": (reply(b"A: b\r\n c\r\n" + LENGTH), "fin", 502),
    "S-122 space before colon": (reply(b"Content-Length : 1\r\n"), "fin", 502),
    "S-122 a name with a space": (reply(b"A B: c\r\n" + LENGTH), "fin", 502),
    "S-122 a line without colon": (reply(b"nocolon\r\n" + LENGTH), "fin", 502),
    "S-123 nothing at all": (b"", "fin", 502),
    "S-123 nothing and RST": (b"", "rst", 502),
    "S-123 in the head": (reply(LENGTH)[:40], "fin", 502),
    "S-123 before the head's end": (reply(LENGTH, b"")[:-2], "fin", 502),
    "S-123 in a body with a length": (reply(LENGTH, LAST[:30]), "fin", "cut"),
    "S-123 in a chunk": (stream(chunk(LINE), b"40\r\n" + LINE[:20]), "fin", "cut"),
    "S-123 in a chunk and RST": (stream(chunk(LINE), b"40\r\n" + LINE[:20]), "rst", "lost"),
    "S-123 before the last chunk": (stream(chunk(LINE)), "fin", "cut"),
    "S-123 clean end without done": (stream(chunk(LINE), END), "keep", "cut"),
    "S-126 101": (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", "keep", 502),
    "S-126 ten thousand": ([b"HTTP/1.1 103 Early Hints\r\n\r\n"] * 10000, "fin", 502),
    "S-126 eleven and a good one": ([b"HTTP/1.1 103 Early Hints\r\n\r\n"] * 11 + [
        reply(LENGTH)], "keep", 502),
    "S-127 204 with a body": (b"HTTP/1.1 204 No Content\r\n" + LENGTH + b"\r\n" + LAST, "keep", 502),
    "S-127 304 with a body": (b"HTTP/1.1 304 Not Modified\r\n" + LENGTH + b"\r\n" + LAST, "keep", 502),
    "S-102 301": (answer(b"{}", b"301 Moved\r\nLocation: http://127.0.0.1:1/"), "keep", 502),
    "S-102 307": (answer(b"{}", b"307 Temporary\r\nLocation: /api/pull"), "keep", 502),
    "S-129 CR in a value": (reply(b"A: b\rSet-Cookie: c\r\n" + LENGTH), "fin", 502),
    "S-129 a type too long to send on": (
        OK + b"Content-Type: application/x-ndjson; x=" + b"x" * 5000 + b"\r\n" + CHUNKED + b"\r\n" +
        chunk(LAST) + END, "keep", 502),
    "S-129 a cache rule too long to send on": (
        reply(b"Cache-Control: " + b"x" * 5000 + b"\r\n" + LENGTH), "keep", 502),
    "S-131 endless head": ([OK] + [b"A: %s\r\n" % (b"b" * 1000)] * 2000, "fin", 502),
    "S-131 endless field": ([OK + b"A: "] + [b"b" * 1000] * 2000, "fin", 502),
    "S-131 endless first line": ([b"x" * 1000] * 2000, "fin", 502),
    "S-132 gzip": (reply(b"Content-Encoding: gzip\r\n" + LENGTH), "keep", 502),
    "S-132 gzip and identity": (reply(b"Content-Encoding: identity, gzip\r\n" + LENGTH), "keep", 502),
}

GOOD = {
    "S-124 more than its length": (reply(LENGTH, LAST + b"HTTP/1.1 200 OK\r\n\r\n"), "keep", 200),
    "S-124 more than its last chunk": (stream(chunk(LAST), END, b"HTTP/1.1 200 OK\r\n"), "keep", 200),
    "S-126 one 103": (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + reply(LENGTH), "keep", 200),
    "S-126 100 unasked": (b"HTTP/1.1 100 Continue\r\n\r\n" + reply(LENGTH), "keep", 200),
    "S-128 fields of its own": (reply(
        b"Set-Cookie: a=b\r\nServer: x\r\nX-Powered-By: x\r\nVia: 1.1 x\r\nAlt-Svc: h3\r\n"
        b"Strict-Transport-Security: max-age=1\r\nAccess-Control-Allow-Origin: *\r\n"
        b"Connection: X-Request-Id\r\nX-Request-Id: theirs\r\n" + LENGTH), "keep", 200),
    "S-131 one long line": (stream(chunk(
        b'{"message":{"content":"' + b"x" * 3000000 + b'"},"done":false}\n'), chunk(LAST), END),
        "keep", 200),
}
