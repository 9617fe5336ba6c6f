"""Malformed HTTP/1.1 requests by number: facts/attacks.md 4.1 to 4.4.

Every entry: name -> (status, bytes). KEY stands for a valid credential, so that nothing but the
form of the request can be what refuses it. Status 0: the connection may also close unanswered.
"""

BODY = b'{"model":"tiny","messages":[{"role":"user","content":"x"}]}'
CL = b"Content-Length: %d\r\n" % len(BODY)
TE = b"Transfer-Encoding: chunked\r\n"
ONE_CHUNK = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
AUTH = b"Authorization: Bearer KEY\r\n"


def post(fields=CL, body=BODY, line=b"POST /api/chat HTTP/1.1\r\n", host=b"Host: localhost\r\n"):
    return line + host + AUTH + fields + b"\r\n" + body


def te(value):
    return post(b"Transfer-Encoding:" + value + b"\r\n", ONE_CHUNK)


def cl(value):
    return post(b"Content-Length:" + value + b"\r\n")


def chunked(body):
    return post(TE, body)


def get(target=b"/api/tags", fields=b"", host=b"Host: localhost\r\n", version=b"HTTP/1.1",
        method=b"GET"):
    return method + b" " + target + b" " + version + b"\r\n" + host + AUTH + fields + b"\r\n"


SECOND = post()

TABLE = {
    # 4.1 framing
    "S-001 CL.TE": (400, post(CL + TE, b"0\r\n\r\nG")),
    "S-002 CL.TE with a request behind": (400, post(CL + TE, ONE_CHUNK + SECOND)),
    "S-003 TE.CL": (400, post(b"Content-Length: 4\r\n" + TE, ONE_CHUNK)),
    "S-004 CL and invalid TE": (400, post(CL + b"Transfer-Encoding: xchunked\r\n")),
    "S-005 xchunked": (501, te(b" xchunked")),
    "S-005 identity": (501, te(b" identity")),
    "S-005 deflate": (501, te(b" deflate")),
    "S-006 gzip, chunked": (501, te(b" gzip, chunked")),
    "S-006 identity, chunked": (501, te(b" identity, chunked")),
    "S-007 chunked, identity": (400, te(b" chunked, identity")),
    "S-007 three": (400, te(b" identity, chunked, identity")),
    "S-008 chunked twice": (400, te(b" chunked, chunked")),
    "S-008 two lines": (400, post(TE + TE, ONE_CHUNK)),
    "S-009 chunked then identity": (400, post(TE + b"Transfer-Encoding: identity\r\n", ONE_CHUNK)),
    "S-009 reversed": (400, post(b"Transfer-Encoding: identity\r\n" + TE, ONE_CHUNK)),
    "S-010 leading comma": (400, te(b" ,chunked")),
    "S-010 trailing comma": (400, te(b" chunked,")),
    "S-011 empty": (400, te(b"")),
    "S-011 spaces": (400, te(b"   ")),
    "S-012 quoted": (400, te(b' "chunked"')),
    "S-012 single quotes": (501, te(b" 'chunked'")),
    "S-012 parameter": (400, te(b" chunked;q=1")),
    "S-012 encoded word": (400, te(b" =?UTF-8?B?Y2h1bmtlZA==?=")),
    "S-014 space before colon": (400, post(b"Transfer-Encoding : chunked\r\n", ONE_CHUNK)),
    "S-014 tab before colon": (400, post(b"Transfer-Encoding\t: chunked\r\n", ONE_CHUNK)),
    "S-015 folded": (400, post(b"Transfer-Encoding:\r\n chunked\r\n", ONE_CHUNK)),
    "S-015 folded by LF": (400, post(b"Transfer-Encoding:\n chunked\r\n", ONE_CHUNK)),
    "S-016 nameprefix": (400, post(b"X: a\r\n Transfer-Encoding: chunked\r\n" + CL)),
    "S-017 CR in a value": (400, post(b"Foo: bar\rTransfer-Encoding: chunked\r\n" + CL)),
    "S-017 LF in a value": (400, post(b"Foo: bar\nTransfer-Encoding: chunked\r\n" + CL)),
    "S-017 0dwrap": (400, post(b"Foo: bar\r\n\rTransfer-Encoding: chunked\r\n" + CL)),
    "S-018 underscore": (400, post(b"Transfer_Encoding: chunked\r\n" + CL)),
    "S-018 space in name": (400, post(b"Transfer Encoding: chunked\r\n" + CL)),
    "S-018 backslash": (400, post(b"Transfer\\Encoding: chunked\r\n" + CL)),
    "S-019 on HTTP/1.0": (400, post(TE, ONE_CHUNK, b"POST /api/chat HTTP/1.0\r\n")),
    "S-022 list equal": (400, cl(b" 59,59")),
    "S-022 list": (400, cl(b" 2, 3")),
    "S-023 two equal": (400, post(CL + CL)),
    "S-023 two different": (400, post(CL + b"Content-Length: 3\r\n")),
    "S-025 2^63": (400, cl(b" 9223372036854775808")),
    "S-025 2^64": (400, cl(b" 18446744073709551616")),
    "S-025 2^64+2": (400, cl(b" 18446744073709551618")),
    "S-025 200 digits": (400, cl(b" " + b"9" * 200)),
    "S-026 over the cap": (413, cl(b" 999999999")),
    "S-029 GET with CL": (400, get(fields=b"Content-Length: 1\r\n") + b"x"),
    "S-029 GET chunked": (400, get(fields=TE) + b"0\r\n\r\n"),
    "S-029 HEAD with CL": (400, get(fields=b"Content-Length: 1\r\n", method=b"HEAD") + b"x"),
    "S-031 nine digits": (400, chunked(b"000000002\r\n{}\r\n0\r\n\r\n")),
    "S-031 ffffffffffffffff": (400, chunked(b"ffffffffffffffff\r\n{}\r\n0\r\n\r\n")),
    "S-031 2^60+2": (400, chunked(b"10000000000000002\r\n{}\r\n0\r\n\r\n")),
    "S-032 LF after size": (400, chunked(b"2\n{}\r\n0\r\n\r\n")),
    "S-032 LF after extension": (400, chunked(b"2;a=b\n{}\r\n0\r\n\r\n")),
    "S-032 LF after data": (400, chunked(b"2\r\n{}\n0\r\n\r\n")),
    "S-032 LF after last": (400, chunked(b"2\r\n{}\r\n0\n\r\n")),
    "S-032 LF after trailer": (400, chunked(b"2\r\n{}\r\n0\r\nA: b\n\r\n")),
    "S-032 LF at the end": (400, chunked(b"2\r\n{}\r\n0\r\n\n")),
    "S-033 CR CR LF": (400, chunked(b"2\r\n{}\r\r\n0\r\n\r\n")),
    "S-033 CR X": (400, chunked(b"2\r\n{}\rX0\r\n\r\n")),
    "S-033 XX": (400, chunked(b"2\r\n{}XX0\r\n\r\n")),
    "S-035 NUL in extension": (400, chunked(b"2;a=\0b\r\n{}\r\n0\r\n\r\n")),
    "S-035 quoted CRLF": (400, chunked(b'2;a="\r\n"\r\n{}\r\n0\r\n\r\n')),
    "S-036 long extension": (400, chunked(b"2;a=" + b"b" * 400 + b"\r\n{}\r\n0\r\n\r\n")),
    "S-036 many extensions": (400, chunked((b"1;a=" + b"b" * 200 + b"\r\n \r\n") * 30)),
    "S-038 data longer than size": (400, chunked(b"2\r\n{}XX\r\n0\r\n\r\n")),
    "S-041 long trailer": (400, chunked(b"2\r\n{}\r\n0\r\nA: " + b"b" * 5000 + b"\r\n\r\n")),
    "S-041 bad trailer": (400, chunked(b"2\r\n{}\r\n0\r\nno colon\r\n\r\n")),
    "S-048 0x85 in name": (400, post(b"Content-Length\x85: 2\r\n" + CL)),
    "S-048 space in name": (400, post(b"Content-Length : 2\r\n")),
    "S-049 CRLF in name": (400, post(b"Transfer-\r\nEncoding: chunked\r\n", ONE_CHUNK)),
    # 4.2 syntax
    "S-054 line ended by LF": (400, get().replace(b"HTTP/1.1\r\n", b"HTTP/1.1\n", 1)),
    "S-055 header ended by LF": (400, get(fields=b"A: b\n")),
    "S-055 blank line LF": (400, get()[:-2] + b"\n"),
    "S-055 CR only": (400, get().replace(b"\r\n", b"\r") + b"x\r\n"),
    "S-057 0x80 in a forwarded field": (0, b""),
    "S-059 empty name": (400, get(fields=b": x\r\n")),
    "S-059 colon alone": (400, get(fields=b":\r\n")),
    "S-060 no colon": (400, get(fields=b"nocolon\r\n")),
    "S-061 space before the first": (400, get(host=b" Host: localhost\r\n")),
    "S-062 fold": (400, get(fields=b"A: b\r\n c\r\n")),
    "S-062 fold by tab": (400, get(fields=b"A: b\r\n\tc\r\n")),
    "S-063 65 headers": (431, get(fields=b"".join(b"A%d: b\r\n" % i for i in range(65)))),
    "S-063 10,000 headers": (431, get(fields=b"A: b\r\n" * 10000)),
    "S-064 16 KiB": (431, get(fields=b"A: " + b"b" * 16384 + b"\r\n")),
    "S-064 64 KiB": (431, get(fields=b"A: " + b"b" * 65536 + b"\r\n")),
    "S-065 long target": (414, get(b"/" + b"a" * 8200)),
    "S-065 long query": (414, get(b"/api/tags?" + b"a" * 2100)),
    "S-065 long method": (400, get(method=b"G" * 40000)),
    "S-066 HTTP/1.2": (505, get(version=b"HTTP/1.2")),
    "S-066 HTTP/2.0": (505, get(version=b"HTTP/2.0")),
    "S-066 HTTP/3.0": (505, get(version=b"HTTP/3.0")),
    "S-067 lower case": (400, get(version=b"http/1.1")),
    "S-067 01.1": (400, get(version=b"HTTP/01.1")),
    "S-067 1.10": (400, get(version=b"HTTP/1.10")),
    "S-067 no minor": (400, get(version=b"HTTP/1")),
    "S-067 space": (400, get(version=b"HTTP/ 1.1")),
    "S-067 suffix": (400, get(version=b"HTTP/1.1x")),
    "S-068 HTTP/0.9": (400, b"GET /api/tags\r\n\r\n"),
    "S-069 two spaces": (400, get().replace(b"GET ", b"GET  ", 1)),
    "S-069 tab": (400, get().replace(b"GET ", b"GET\t", 1)),
    "S-069 vertical tab": (400, get().replace(b" HTTP", b"\x0bHTTP", 1)),
    "S-069 trailing space": (400, get(version=b"HTTP/1.1 ")),
    "S-069 leading space": (400, b" " + get()),
    "S-070 method with CTL": (400, get(method=b"G\x01T")),
    "S-070 method with colon": (400, get(method=b'G=":<>')),
    "S-071 flood of CRLF": (400, b"\r\n" * 2000 + get()),
    "S-072 ClientHello": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 40),
    "S-072 SSH banner": (400, b"SSH-2.0-OpenSSH_9.2p1\r\n\r\n"),
    "S-073 HTTP/2 preface": (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    # 4.3 targets and hosts
    "S-079 percent": (400, get(b"/api/%70ull")),
    "S-080 encoded slash": (400, get(b"/api%2fpull")),
    "S-080 backslash": (400, get(b"/api\\pull")),
    "S-081 double slash": (400, get(b"//api/pull")),
    "S-081 inner double slash": (400, get(b"/api//pull")),
    "S-082 dot dot": (400, get(b"/api/../api/pull")),
    "S-082 dot": (400, get(b"/api/./pull")),
    "S-082 only dot dot": (400, get(b"/..")),
    "S-082 encoded dots": (400, get(b"/api/%2e%2e/pull")),
    "S-082 semicolon": (400, get(b"/api/..;/pull")),
    "S-083 parameter": (400, get(b"/api/pull;x=1")),
    "S-083 encoded NUL": (400, get(b"/api/tags%00")),
    "S-083 double encoded": (400, get(b"/api/%252e%252e/pull")),
    "S-085 fragment": (400, get(b"/api/tags#x")),
    "S-086 overlong": (400, get(b"/api/%c0%ae%c0%ae/pull")),
    "S-086 raw 0xC0": (400, get(b"/api/\xc0\xae/pull")),
    "S-087 %zz": (400, get(b"/api/tags%zz")),
    "S-087 query %zz": (400, get(b"/api/tags?a=%zz")),
    "S-089 userinfo": (400, get(b"http://a@localhost/api/tags")),
    "S-089 https on plain": (400, get(b"https://localhost/api/tags")),
    "S-089 ftp": (400, get(b"ftp://localhost/api/tags")),
    "S-089 other host": (400, get(b"http://evil.example/api/tags")),
    "S-090 authority form": (400, get(b"localhost:80")),
    "S-090 star": (400, get(b"*")),
    "S-092 CONNECT": (405, get(b"localhost:22", method=b"CONNECT") + b"SSH-2.0-x\r\n"),
    "S-094 no host": (400, get(host=b"")),
    "S-094 two hosts": (400, get(host=b"Host: localhost\r\nHost: localhost\r\n")),
    "S-094 list": (400, get(host=b"Host: a, b\r\n")),
    "S-094 userinfo": (400, get(host=b"Host: a@localhost\r\n")),
    "S-094 path": (400, get(host=b"Host: localhost/x\r\n")),
    "S-094 port 99999": (400, get(host=b"Host: localhost:99999\r\n")),
    "S-094 port 0": (400, get(host=b"Host: localhost:0\r\n")),
    "S-094 open bracket": (400, get(host=b"Host: [::1\r\n")),
    "S-094 empty": (400, get(host=b"Host:\r\n")),
    "S-094 space": (400, get(host=b"Host: a b\r\n")),
    "S-094 long label": (400, get(host=b"Host: " + b"a" * 300 + b"\r\n")),
    "S-095 foreign host": (421, get(host=b"Host: evil.example\r\n")),
    "S-095 foreign address": (421, get(host=b"Host: 192.0.2.1\r\n")),
    # 4.4 fields
    "S-114 200-ok": (417, post(CL + b"Expect: 200-ok\r\n")),
    "S-114 prefix": (417, post(CL + b"Expect: y 100-continue\r\n")),
    "S-114 two": (417, post(CL + b"Expect: 100-continue\r\n" * 2)),
    "S-114 NUL": (400, post(CL + b"Expect: \x00100-continue\r\n")),
    "S-117 underscore": (400, get(fields=b"X_Forwarded_For: 1.2.3.4\r\n")),
    "S-118 PROXY v1": (400, b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + get()),
    "S-118 PROXY v2": (400, b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + b"\x01" * 12 + get()),
}
del TABLE["S-057 0x80 in a forwarded field"]

for _value in (b"+2", b"-2", b"0x2", b"2e0", b"2_0", b"2 2", b"2;x", b"2.0", b"", b"\xef\xbc\x92",
               b"\xd9\xa2"):
    TABLE["S-021 CL %r" % _value] = (400, cl(b" " + _value))
for _value in (b" 2", b"2 ", b"+2", b"-2", b"0x2", b"2_", b"2g", b"", b"\xef\xbc\x92"):
    TABLE["S-030 chunk size %r" % _value] = (400, chunked(_value + b"\r\n{}\r\n0\r\n\r\n"))
for _byte in (0x00, 0x0B, 0x0C, 0x0D, 0x85, 0xA0, 0xAD, 0xFF):
    _raw = bytes([_byte])
    for _place, _value in (("before", _raw + b"chunked"), ("inside", b"chu" + _raw + b"nked"),
                           ("after", b"chunked" + _raw)):
        TABLE["S-013 TE %02x %s" % (_byte, _place)] = (400, te(b" " + _value))
for _byte in [b for b in range(0x20) if b != 9] + [0x7F]:
    TABLE["S-056 value %02x" % _byte] = (400, get(fields=b"A: b%cc\r\n" % _byte))
for _byte in b'\x00\x01 (),/;<=>?@[\\]{}"\x80\xff':
    TABLE["S-058 name %02x" % _byte] = (400, get(fields=b"A%cB: c\r\n" % _byte))
