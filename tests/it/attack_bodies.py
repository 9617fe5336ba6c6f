"""Bodies and what else only Ollama's routes have, by number: S-267 to S-303.

name -> (status, bytes). KEY and NARROW stand for credentials; NARROW's tenant may use `embed*`.
"""

import json

CHAT = "/api/chat"
MODELLED = ["/api/generate", "/api/chat", "/api/embed", "/api/embeddings", "/api/show",
            "/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses",
            "/v1/messages"]
HEX = "0123456789abcdef" * 4


def post(body, path=CHAT, fields=b"Content-Type: application/json\r\n", key=b"KEY",
         method=b"POST"):
    if not isinstance(body, bytes):
        body = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return (method + b" " + path.encode() + b" HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " +
            key + b"\r\n" + fields + b"Content-Length: %d\r\n\r\n" % len(body) + body)


def named(model, **more):
    return post({"model": model, "messages": [], **more})


def member(text, model='"tiny"'):
    return post(b'{"model":' + model.encode() + b"," +
                (text if isinstance(text, bytes) else text.encode()) + b"}")


MESSAGE = {"role": "user", "content": "x"}
TABLE = {
    "S-267 model twice": (400, post('{"model":"tiny","model":"other"}')),
    "S-267 model and Model": (400, post('{"model":"tiny","Model":"other"}')),
    "S-267 model escaped": (400, post('{"model":"tiny","mod\\u0065l":"other"}')),
    "S-267 KELVIN SIGN": (400, member('"keep_alive":1,"\u212aeep_alive":2')),
    "S-267 KELVIN SIGN escaped": (400, member('"keep_alive":1,"\\u212Aeep_alive":2')),
    "S-267 LONG S": (400, member('"stream":true,"\u017ftream":false')),
    "S-267 twice inside": (400, member('"options":{"num_ctx":1,"num_ctx":2}')),
    "S-268 model and name": (400, post('{"model":"tiny","name":"other"}')),
    "S-269 escaped NUL": (400, member('"x":1', '"tiny\\u0000/evil"')),
    "S-269 raw NUL": (400, post(b'{"model":"tiny\0"}')),
    "S-269 high surrogate": (400, member('"\\ud800":"x"')),
    "S-269 low surrogate": (400, member('"\\udc00":"x"')),
    "S-269 surrogates reversed": (400, member('"x":1', '"tiny\\udc00\\ud800"')),
    "S-269 invalid UTF-8": (400, member(b'"x\xff":1')),
    "S-269 overlong UTF-8": (400, member(b'"x\xc0\xaf":1')),
    "S-269 surrogate in UTF-8": (400, member(b'"x\xed\xa0\x80":1')),
    "S-269 BOM": (400, post(b'\xef\xbb\xbf{"model":"tiny"}')),
    "S-269 control byte": (400, member(b'"x":"\x1f"')),
    "S-270 two documents": (400, post('{"model":"tiny"}{"model":"other"}')),
    "S-270 two lines": (400, post('{"model":"tiny"}\n{"model":"other"}')),
    "S-270 garbage behind": (400, post('{"model":"tiny"}x')),
    "S-270 garbage before": (400, post('x{"model":"tiny"}')),
    "S-270 comment": (400, post('{"model":"tiny"/*x*/}')),
    "S-270 line comment": (400, post('{"model":"tiny"//x\n}')),
    "S-270 comma behind": (400, post('{"model":"tiny",}')),
    "S-270 single quotes": (400, post("{'model':'tiny'}")),
    "S-271 depth 33": (400, member('"x":' + "[" * 32 + "]" * 32)),
    "S-271 brackets": (400, member('"x":' + "[" * 100000)),
    "S-271 objects": (400, member('"x":' + '{"a":' * 100000)),
    "S-271 keys": (400, member(",".join('"k%d":0' % i for i in range(10001)))),
    "S-273 multipart": (415, post('{"model":"tiny"}',
                                  fields=b"Content-Type: multipart/form-data; boundary=x\r\n")),
    "S-273 utf-16": (415, post('{"model":"tiny"}',
                               fields=b"Content-Type: application/json; charset=utf-16\r\n")),
    "S-273 two types": (415, post('{"model":"tiny"}', fields=b"Content-Type: application/json\r\n" * 2)),
    "S-274 list": (415, post('{"model":"tiny"}', fields=b"Content-Encoding: gzip, identity\r\n")),
    "S-280 from remote": (403, post({"model": "tiny", "from": "evil.example/a/b"}, "/api/create")),
    "S-280 files": (403, post({"model": "tiny", "files": {"a": "sha256:" + HEX}}, "/api/create")),
    "S-279 insecure": (403, post({"model": "tiny", "insecure": True}, "/api/pull")),
    "S-279 address": (403, post({"model": "169.254.169.254/a/b"}, "/api/pull")),
    "S-281 dots": (400, post("", "/api/blobs/sha256:../../x")),
    "S-281 short": (400, post("", "/api/blobs/sha256-")),
    "S-281 upper case": (400, post("", "/api/blobs/sha256:" + HEX.upper())),
    "S-281 encoded": (400, post("", "/api/blobs/sha256:%2e%2e")),
    "S-281 other hash": (400, post("", "/api/blobs/sha512:" + HEX)),
    "S-282 unload": (403, post({"model": "tiny", "keep_alive": 0}, "/api/generate")),
    "S-282 unload in words": (403, post({"model": "tiny", "keep_alive": "0s"}, "/api/generate")),
    "S-285 a deep format": (400, member('"format":' + '{"a":' * 100 + "1" + "}" * 100)),
    "S-286 debug": (400, member('"_debug_render_only":true')),
    "S-286 debug escaped": (400, member('"\\u005fdebug_render_only":true')),
    "S-287 not base64": (400, post({"model": "tiny", "images": ["?"]}, "/api/generate")),
    "S-287 empty": (400, post({"model": "tiny", "images": [""]}, "/api/generate")),
    "S-287 newline": (400, post({"model": "tiny", "images": ["QUFB\nQUFB"]}, "/api/generate")),
    "S-287 sixty-five": (413, post({"model": "tiny", "images": ["QUFB"] * 65}, "/api/generate")),
    "S-288 messages": (413, named("tiny", messages=[0] * 10001)),
    "S-288 bytes": (413, b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer KEY\r\n"
                         b"Content-Length: 20971521\r\n\r\n"),
    "S-289 inputs": (413, post({"model": "embed", "input": ["x"] * 4097}, "/api/embed")),
    "S-290 tools": (400, named("tiny", tools=[{"function": {"k%d" % j: 0 for j in range(11)}}] * 1000)),
    "S-297 x-api-key": (401, b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: KEY\r\n"
                             b"OpenAI-Organization: x\r\n\r\n"),
    "S-299 version without a credential": (401, b"GET /api/version HTTP/1.1\r\nHost: localhost\r\n\r\n"),
}
for _text in ("NaN", "1e400", "-1e400", "0123", "+1", "1.", ".5", "Infinity", "0x1", "1_0", "True"):
    TABLE["S-270 number " + _text] = (400, member('"x":' + _text))
for _coding in ("gzip", "zstd", "br", "identity, gzip", "x"):
    TABLE["S-274 %s." % _coding] = (415, post('{"model":"tiny"}', fields=b"Content-Encoding: " +
                                              _coding.encode() + b"\r\n"))
for _name in ("tiny", "tiny:latest", "library/tiny", "registry.ollama.ai/library/tiny:latest",
              " tiny ", "TINY", "tiny:LATEST", "\ttiny"):
    TABLE["S-275 %r" % _name] = (403, post({"model": _name, "messages": []}, key=b"NARROW"))
for _name in ("http://evil.example/b/c", "https://registry.ollama.ai/library/tiny",
              "a@b", "../x", "a/../b", "a//b", "/a", "a/", "a\\b", "a%2fb",
              "a" * 4096, "tin\u00ff", "-a", ".a", "a:", "a::b", "a b", "a/b/c/d"):
    TABLE["S-276 %.24r" % _name] = (400, named(_name))
for _name in ("host.x/b/c", "127.0.0.1:1/b/c"):  # a name as any, of no model here: nobody is asked
    TABLE["S-276 %.24r" % _name] = (404, named(_name))
for _name in ("tiny:cloud", "tiny:20b-cloud", "tiny:CLOUD ", "tiny:20b-Cloud", " tiny:Cloud"):
    TABLE["S-277 %r" % _name] = (403, named(_name))
for _method, _path in (("POST", "/api/pull"), ("POST", "/api/push"), ("POST", "/api/create"),
                       ("POST", "/api/copy"), ("DELETE", "/api/delete"),
                       ("POST", "/api/blobs/sha256:" + HEX), ("HEAD", "/api/blobs/sha256:" + HEX),
                       ("POST", "/api/me"), ("POST", "/api/signout"),
                       ("DELETE", "/api/user/keys/x"), ("POST", "/api/experimental/web_search"),
                       ("POST", "/api/experimental/web_fetch"), ("GET", "/api/status"),
                       ("POST", "/v1/audio/transcriptions")):
    _data = post({"model": "tiny", "name": "tiny"}, _path, method=_method.encode())
    if _method in ("HEAD", "GET"):
        _data = (_method + " " + _path + " HTTP/1.1\r\nHost: localhost\r\n"
                 "Authorization: Bearer KEY\r\n\r\n").encode()
    TABLE["S-278 %s %.24s" % (_method, _path)] = (403, _data)
for _path in MODELLED:
    TABLE["S-296 %s twice" % _path] = (400, post('{"model":"tiny","MODEL":"other"}', _path))
    TABLE["S-296 %s cloud" % _path] = (403, post({"model": "tiny:cloud"}, _path))
    TABLE["S-296 %s forbidden" % _path] = (403, post({"model": "tiny"}, _path, key=b"NARROW"))
    TABLE["S-296 %s debug" % _path] = (400, post({"model": "tiny", "_debug": 1}, _path))
    TABLE["S-296 %s no model" % _path] = (400, post({"messages": []}, _path))
    TABLE["S-296 %s stream" % _path] = (400, post({"model": "tiny", "stream": "yes"}, _path))
