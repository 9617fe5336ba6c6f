"""Attacks by number. Here: the form of HTTP/1.1 requests, S-001 to S-121.

Every entry: name -> (status, bytes). A name begins with its number. KEY stands for a valid
credential, so that nothing but the form of the request can be what refuses it. At the end: which
numbers other tests hold, and which have no case and why.
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
STRANGER = b"GET /api/tags HTTP/1.1\r\nHost: localhost\r\n%s\r\n"

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
    "S-010 both commas": (400, te(b" , chunked")),
    "S-012 chunk": (501, te(b" chunk")),
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
    "S-017 CR LF CR": (400, post(b"Foo: bar\r\n\r\rTransfer-Encoding: chunked\r\n" + CL)),
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
    "S-028 neither": (411, post(b"", b"")),
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
    "S-035 CR in extension": (400, chunked(b"2;a=\rb\r\n{}\r\n0\r\n\r\n")),
    "S-035 CTL in extension": (400, chunked(b"2;a=\x01b\r\n{}\r\n0\r\n\r\n")),
    "S-035 0x80 in extension": (400, chunked(b"2;a=\x80\r\n{}\r\n0\r\n\r\n")),
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
    "S-083 upper case": (404, get(b"/API/pull")),
    "S-083 slash behind": (404, get(b"/api/pull/")),
    "S-083 dot behind": (400, get(b"/api/pull/.")),
    "S-083 suffix": (404, get(b"/api/pull.json")),
    "S-083 encoded space": (400, get(b"/api/pull%20")),
    "S-083 encoded LF": (400, get(b"/api/pull%0a")),
    "S-084 admin route with a query": (403, post(line=b"POST /api/pull?x HTTP/1.1\r\n")),
    "S-084 with a path in it": (403, post(line=b"POST /api/pull?x=/api/tags HTTP/1.1\r\n")),
    "S-084 from health": (404, get(b"/health?/api/pull")),
    "S-085 path behind a fragment": (400, get(b"/public#/../api/pull")),
    "S-086 fullwidth slash": (400, get("/api\uff0fpull".encode())),
    "S-086 %u002f": (400, get(b"/api%u002fpull")),
    "S-087 lone %": (400, get(b"/api/tags%")),
    "S-087 %2": (400, get(b"/api/tags%2")),
    "S-087 query lone %": (400, get(b"/api/tags?a=%")),
    "S-087 query %2": (400, get(b"/api/tags?a=%2")),
    "S-089 other port": (400, get(b"http://localhost:1/api/tags")),
    "S-089 other host": (400, get(b"http://evil.example/api/tags")),
    "S-090 authority form": (400, get(b"localhost:80")),
    "S-090 star": (400, get(b"*")),
    "S-091 OPTIONS *": (405, get(b"*", method=b"OPTIONS")),
    "S-092 CONNECT to us": (405, get(b"localhost", method=b"CONNECT") + get()),
    "S-093 TRACE": (405, get(method=b"TRACE")),
    "S-093 TRACK": (405, get(method=b"TRACK")),
    "S-093 DEBUG": (405, get(method=b"DEBUG")),
    "S-093 PRI": (405, get(method=b"PRI")),
    "S-093 PROPFIND": (405, get(method=b"PROPFIND")),
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
    "S-094 label of 64": (400, get(host=b"Host: " + b"a" * 64 + b".example\r\n")),
    "S-095 foreign host": (421, get(host=b"Host: evil.example\r\n")),
    "S-095 foreign address": (421, get(host=b"Host: 192.0.2.1\r\n")),
    "S-094 two different hosts": (400, get(host=b"Host: localhost\r\nHost: evil.example\r\n")),
    "S-098 another URL in a field": (404, get(b"/nope", b"X-Original-URL: /api/tags\r\n"
                                              b"X-Rewrite-URL: /api/tags\r\n")),
    "S-097 another method in a field": (405, get(b"/api/chat", b"X-HTTP-Method-Override: POST\r\n"
                                                 b"X-Method-Override: POST\r\n")),
    "S-099 a probe's name": (401, STRANGER % b"User-Agent: kube-probe/1.29\r\n"),
    "S-099 a health checker's name": (401, STRANGER % b"User-Agent: GoogleHC/1.0\r\n"),
    "S-101 pprof": (404, get(b"/debug/pprof/")),
    "S-101 pprof heap": (404, get(b"/debug/pprof/heap")),
    "S-101 vars": (404, get(b"/debug/vars")),
    "S-101 metrics": (404, get(b"/metrics")),
    "S-103 preflight": (405, get(b"/api/chat", b"Origin: https://evil.example\r\n"
                                 b"Access-Control-Request-Method: POST\r\n", method=b"OPTIONS")),
    # 4.4 fields
    "S-106 a connection of many": (431, get(fields=b"Connection: " + b"a," * 9000 + b"\r\n")),
    "S-106 CTL in connection": (400, get(fields=b"Connection: clo\x01se\r\n")),
    "S-116 an address in a field": (401, STRANGER % b"X-Forwarded-For: 127.0.0.1\r\n"
                                    b"Forwarded: for=127.0.0.1\r\nX-Real-IP: 127.0.0.1\r\n"),
    "S-119 a long cookie": (431, get(fields=b"Cookie: " + b"a" * 8200 + b"\r\n")),
    "S-119 a hundred cookies": (431, get(fields=b"Cookie: a=b\r\n" * 100)),
    "S-120 two fields": (401, get(fields=AUTH)),
    "S-120 Basic": (401, STRANGER % b"Authorization: Basic YTpi\r\n"),
    "S-120 two spaces": (401, STRANGER % b"Authorization: Bearer KEY  KEY\r\n"),
    "S-120 a tab": (401, STRANGER % b"Authorization: Bearer\tKEY\r\n"),
    "S-120 a list": (401, STRANGER % b"Authorization: Bearer KEY, Bearer KEY\r\n"),
    "S-121 in the query": (401, b"GET /api/tags?access_token=KEY HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    "S-121 in a cookie": (401, STRANGER % b"Cookie: access_token=KEY\r\n"),
    "S-114 200-ok": (417, post(CL + b"Expect: 200-ok\r\n")),
    "S-114 prefix": (417, post(CL + b"Expect: y 100-continue\r\n")),
    "S-114 two": (417, post(CL + b"Expect: 100-continue\r\n" * 2)),
    "S-114 NUL": (400, post(CL + b"Expect: \x00100-continue\r\n")),
    "S-117 in small letters": (400, get(fields=b"x-corral_tenant: acme\r\n")),
    "S-117 underscore": (400, get(fields=b"X_Forwarded_For: 1.2.3.4\r\n")),
    "S-118 PROXY v1": (400, b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + get()),
    "S-118 PROXY v2": (400, b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + b"\x01" * 12 + get()),
}

for _value in (b"+2", b"-2", b"0x2", b"2e0", b"2_0", b"2 2", b"2;x", b"2.0", b"", b"\xef\xbc\x92",
               b"\xd9\xa2"):
    TABLE["S-021 CL %r" % _value] = (400, cl(b" " + _value))
TABLE["S-030 junk for CR"] = (400, chunked(b"2x\n{}\r\n0\r\n\r\n"))
TABLE["S-032 junk for LF"] = (400, chunked(b"2\rx{}\r\n0\r\n\r\n"))
TABLE["S-033 junk for CR"] = (400, chunked(b"2\r\n{}x\n0\r\n\r\n"))
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

# Numbers that are no single message: the test that holds each.
HELD = {
    27: "tests/it/test_strict.py::test_slow_heads_and_bodies_end",
    37: "tests/it/test_attacks.py::test_a_mebibyte_of_one_byte_chunks",
    39: "tests/it/test_strict.py::test_every_prefix_then_fin_is_forgotten",
    42: "tests/it/test_strict.py::test_pipelined_requests_are_answered_in_order",
    43: "tests/it/test_strict.py::test_a_thousand_pipelined",
    44: "tests/it/test_strict.py::test_good_then_bad",
    45: "tests/it/test_errors.py::test_a_refused_request_with_unread_body_smuggles_nothing",
    46: "tests/it/test_strict.py::test_slow_heads_and_bodies_end",
    47: "tests/it/test_attacks.py::test_a_client_that_leaves_in_its_body",
    53: "tests/it/test_attacks.py::test_mutated_streams",
    74: "tests/it/test_strict.py::test_every_prefix_then_fin_is_forgotten",
    75: "tests/it/test_strict.py::test_a_byte_now_and_then_is_served",
    76: "tests/it/test_strict.py::test_every_split_reads_the_same",
    77: "tests/it/test_strict.py::test_http_1_0",
    78: "tests/it/test_path.py::test_head_is_get_without_a_body",
    96: "tests/it/test_path.py::test_the_replica_sees_only_what_we_build",
    100: "tests/it/test_errors.py::test_admin_routes_are_closed",
    107: "tests/it/test_path.py::test_the_replica_sees_only_what_we_build",
    108: "tests/it/test_strict.py::test_upgrade_is_ignored",
    109: "tests/it/test_attacks.py::test_upgrade_with_a_body",
    110: "tests/it/test_strict.py::test_upgrade_is_ignored",
    111: "tests/it/test_strict.py::test_expect_is_answered_when_the_body_is_wanted",
    112: "tests/it/test_strict.py::test_expect_of_a_refused_request_gets_no_100",
    113: "tests/it/test_strict.py::test_expect_is_answered_when_the_body_is_wanted",
    125: "tests/it/test_upstream.py::test_a_dirty_connection_is_not_used_again",
    130: "tests/it/test_replies.py::test_a_reply_before_the_request_was_sent",
    250: "tests/unit/auth/test_claims.c::s250_expiry_during_a_stream",
    251: "tests/unit/auth/test_identify.c::s251_the_cache_is_bounded",
    252: "tests/unit/auth/test_identify.c::a_flood_sees_only_what_is_cheap",
    253: "tests/it/test_attacks.py::test_bad_tokens_beside_a_tls_connection",
    249: "tests/unit/auth/test_identify.c::s249_many_tokens",
    261: "tests/unit/auth/test_keys.c::s261_short_secrets",
    272: "tests/unit/ollama/test_request.c::what_goes_upstream",
    283: "tests/it/test_path.py::test_operators_fields_are_dropped_and_the_rest_kept",
    284: "tests/it/test_path.py::test_operators_fields_are_dropped_and_the_rest_kept",
    291: "tests/it/test_path.py::test_bytes_are_those_of_the_server",
    293: "tests/it/test_limits.py::test_a_replica_that_goes_on_is_ended",
    294: "tests/unit/ollama/test_stream.c::recordings_split_at_every_offset",
    295: "tests/unit/ollama/test_stream.c::recordings_whole_and_byte_by_byte",
    298: "tests/it/test_path.py::test_tags_are_merged_and_filtered",
    300: "tests/it/test_attacks.py::test_prompts_stay_out_of_logs_and_metrics",
    301: "tests/it/test_limits.py::test_usage_is_for_who_asks",
    302: "tests/it/test_upstream.py::test_an_unknown_model_is_404_everywhere",
    303: "tests/it/test_upstream.py::test_nothing_is_sent_twice",
    # floods and slow peers
    304: "tests/it/test_crowds.py::test_s304_slow_heads",
    305: "tests/it/test_crowds.py::test_s305_slow_bodies",
    306: "tests/it/test_crowds.py::test_s306_slow_reads",
    309: "tests/it/test_pressure.py::test_s309_slow_readers",
    311: "tests/it/test_crowds.py::test_s311_a_flood_of_connections",
    312: "tests/it/test_shortage.py::test_s312_no_descriptor_left",
    313: "tests/it/test_shortage.py::test_s313_accept_fails",
    315: "tests/it/test_crowds.py::test_s315_connections_that_come_and_go",
    # replicas and the network
    337: "tests/it/test_network.py::test_s337_a_filtered_replica",
    338: "tests/it/test_upstream.py::test_a_killed_server_is_a_visible_cut",
    339: "tests/it/test_network.py::test_s338_s339_lost_hosts",
    340: "tests/it/test_upstream.py::test_a_load_has_its_own_time",
    341: "tests/it/test_upstream.py::test_silence_in_mid_stream_is_a_cut",
    342: "tests/it/test_leaving.py::test_in_mid_stream",
    343: "tests/it/test_leaving.py::test_before_the_first_byte",
    346: "tests/it/test_network.py::test_s346_polls_that_pass_while_nothing_else_does",
    347: "tests/it/test_upstream.py::test_all_replicas_down",
    350: "tests/it/test_deaths.py::test_pieces_change_nothing",
    351: "tests/it/test_pressure.py::test_s309_slow_readers",
    # the life of the process
    352: "tests/it/test_life.py::test_sigterm_with_a_thousand_streams",
    353: "tests/it/test_life.py::test_a_drain_has_an_end",
    354: "tests/it/test_life.py::test_a_bad_configuration_keeps_the_old",
    355: "tests/it/test_life.py::test_s355_two_hundred_signals_in_two_seconds",
    356: "tests/it/test_life.py::test_s356_a_reload_takes_things_away",
    357: "tests/it/test_machine.py::test_s357_a_log_pipe_whose_reader_stopped",
    358: "tests/it/test_life.py::test_a_log_file_is_opened_again",
    359: "tests/it/test_machine.py::test_s359_the_wall_clock_jumps",
    366: "tests/it/test_machine.py::test_s366_a_start_without_a_network",
    367: "tests/it/test_life.py::test_a_second_corral_on_the_port_fails_loudly",
    368: "tests/it/test_machine.py::test_s368_a_read_only_root_and_no_rights",
    369: "tests/it/test_life.py::test_closed_standard_descriptors",
    370: "tests/it/test_life.py::test_too_few_descriptors_are_named",
    371: "tests/it/test_machine.py::test_s371_one_escaped_line_each",
    372: "tests/it/test_cli.py::test_secrets_and_prompts_are_never_written",
    373: "tests/it/test_path.py::test_the_replica_sees_only_what_we_build",
}

# Numbers that have no case.
WITHOUT = {
    50: "a list of others: its payloads are S-001 to S-049, S-054 to S-071 and S-052 here",
    51: "a list of others: its cases are S-001 to S-071 and S-089 to S-119 here",
    104: "routes are one constant table; no configuration names or renames one",
    292: "there is no limit on switching models: one cold load at a time per replica bounds it",
}
