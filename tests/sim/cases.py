"""The requests that are recorded from a real Ollama and replayed against ollama-sim.

The order matters: some cases need a loaded model, some an unloaded one.
"""

HOST = "localhost:11434"


def raw(method, path, body=None, headers=(), version="HTTP/1.1", host=HOST):
    """One request as bytes; a str body gets a Content-Length."""
    lines = ["%s %s %s" % (method, path, version)]
    if host is not None:
        lines.append("Host: " + host)
    lines.extend("%s: %s" % pair for pair in headers)
    data = b""
    if body is not None:
        data = body.encode()
        lines.append("Content-Type: application/json")
        lines.append("Content-Length: %d" % len(data))
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + data


def get(path, **more):
    return raw("GET", path, **more)


def post(path, body, **more):
    return raw("POST", path, body, **more)


MSG = '"messages":[{"role":"user","content":"Say hello"}]'
OPT = '"options":{"num_predict":4,"temperature":0}'
TWO = '"options":{"num_predict":2,"temperature":0}'
ONE = '"options":{"num_predict":1,"temperature":0}'

CASES = [
    # nothing loaded
    ("unload-first", post("/api/generate", '{"model":"tiny","keep_alive":0}')),
    ("unload-embed", post("/api/generate", '{"model":"embed","keep_alive":0}')),
    ("ps-empty", get("/api/ps")),
    ("load", post("/api/generate", '{"model":"tiny"}')),
    ("load-chat", post("/api/chat", '{"model":"tiny","messages":[]}')),
    ("ps-loaded", get("/api/ps")),
    # plain reads
    ("root-get", get("/")),
    ("root-head", raw("HEAD", "/")),
    ("version-get", get("/api/version")),
    ("version-head", raw("HEAD", "/api/version")),
    ("status", get("/api/status")),
    ("tags", get("/api/tags")),
    ("tags-head", raw("HEAD", "/api/tags")),
    ("tags-percent", get("/api/%74ags")),
    ("tags-query", get("/api/tags?x=1")),
    ("show", post("/api/show", '{"model":"tiny"}')),
    ("show-name", post("/api/show", '{"name":"embed","model":""}')),
    ("show-unknown", post("/api/show", '{"model":"nope"}')),
    ("show-nothing", post("/api/show", "{}")),
    ("models", get("/v1/models")),
    ("model-one", get("/v1/models/tiny")),
    ("model-unknown", get("/v1/models/nope")),
    # native inference
    ("generate-stream", post("/api/generate", '{"model":"tiny","prompt":"Say hello",%s}' % OPT)),
    ("generate-raw", post("/api/generate", '{"model":"tiny","prompt":"Hi","raw":true,%s}' % TWO)),
    ("generate-one", post("/api/generate", '{"model":"tiny","prompt":"Hi",%s}' % ONE)),
    ("generate-whole",
     post("/api/generate", '{"model":"tiny","prompt":"Say hello","stream":false,%s}' % OPT)),
    ("chat-stream", post("/api/chat", '{"model":"tiny",%s,%s}' % (MSG, OPT))),
    ("chat-whole", post("/api/chat", '{"model":"tiny","stream":false,%s,%s}' % (MSG, OPT))),
    ("chat-spelling", post("/api/chat", '{"model":"TINY:Latest",%s,%s}' % (MSG, TWO))),
    ("chat-twice", post("/api/chat", '{"model":"nope","Model":"tiny",%s,%s}' % (MSG, TWO))),
    ("chat-trailing", post("/api/chat", '{"model":"tiny",%s,%s} trailing' % (MSG, TWO))),
    ("chat-http10", post("/api/chat", '{"model":"tiny",%s,%s}' % (MSG, TWO), version="HTTP/1.0")),
    ("chat-close", post("/api/chat", '{"model":"tiny",%s,%s}' % (MSG, TWO),
                        headers=[("Connection", "close")])),
    ("chat-expect", post("/api/chat", '{"model":"tiny",%s,%s}' % (MSG, TWO),
                         headers=[("Expect", "100-continue")])),
    ("embed", post("/api/embed", '{"model":"embed","input":"Hello there"}')),
    ("embed-two", post("/api/embed", '{"model":"embed","input":["a","b"],"dimensions":8}')),
    ("embed-empty", post("/api/embed", '{"model":"embed","input":[]}')),
    ("embed-bad-input", post("/api/embed", '{"model":"embed","input":5}')),
    ("embed-unknown", post("/api/embed", '{"model":"nope","input":"x"}')),
    ("embeddings-empty", post("/api/embeddings", '{"model":"embed","prompt":""}')),
    ("embeddings", post("/api/embeddings", '{"model":"embed","prompt":"Hello"}')),
    ("embeddings-unknown", post("/api/embeddings", '{"model":"nope","prompt":"Hello"}')),
    ("chat-on-embed", post("/api/chat", '{"model":"embed",%s}' % MSG)),
    ("generate-on-embed", post("/api/generate", '{"model":"embed","prompt":"x"}')),
    # OpenAI
    ("oai-chat-stream",
     post("/v1/chat/completions",
          '{"model":"tiny","stream":true,"max_tokens":3,"temperature":0,%s}' % MSG)),
    ("oai-chat-usage",
     post("/v1/chat/completions", '{"model":"tiny","stream":true,"max_tokens":3,"temperature":0,'
          '"stream_options":{"include_usage":true},%s}' % MSG)),
    ("oai-chat-whole", post("/v1/chat/completions",
                            '{"model":"tiny","max_tokens":3,"temperature":0,%s}' % MSG)),
    ("oai-completion-stream",
     post("/v1/completions", '{"model":"tiny","prompt":"Hi","stream":true,"max_tokens":3,'
          '"temperature":0}')),
    ("oai-completion-usage",
     post("/v1/completions", '{"model":"tiny","prompt":"Hi","stream":true,"max_tokens":3,'
          '"temperature":0,"stream_options":{"include_usage":true}}')),
    ("oai-completion-whole",
     post("/v1/completions", '{"model":"tiny","prompt":"Hi","max_tokens":3,"temperature":0}')),
    ("oai-embeddings", post("/v1/embeddings", '{"model":"embed","input":"Hi","dimensions":8}')),
    ("oai-embeddings-base64",
     post("/v1/embeddings", '{"model":"embed","input":["Hi","Ho"],"encoding_format":"base64",'
          '"dimensions":8}')),
    ("oai-embeddings-none", post("/v1/embeddings", '{"model":"embed"}')),
    ("oai-unknown", post("/v1/chat/completions", '{"model":"nope",%s}' % MSG)),
    ("oai-no-messages", post("/v1/chat/completions", '{"model":"tiny"}')),
    ("oai-no-body", post("/v1/chat/completions", "")),
    ("oai-cut-json", post("/v1/chat/completions", '{"model":')),
    ("oai-no-model", post("/v1/chat/completions", '{%s}' % MSG)),
    ("oai-embeddings-unknown", post("/v1/embeddings", '{"model":"nope","input":"x"}')),
    ("responses-stream",
     post("/v1/responses", '{"model":"tiny","input":"Say hello","stream":true,'
          '"max_output_tokens":3,"temperature":0}')),
    ("responses-whole", post("/v1/responses", '{"model":"tiny","input":"Say hello",'
                             '"max_output_tokens":3,"temperature":0}')),
    ("responses-unknown", post("/v1/responses", '{"model":"nope","input":"Say hello"}')),
    ("responses-unknown-stream",
     post("/v1/responses", '{"model":"nope","input":"Say hello","stream":true}')),
    # Anthropic
    ("messages-stream", post("/v1/messages", '{"model":"tiny","stream":true,"max_tokens":3,'
                             '"temperature":0,%s}' % MSG)),
    ("messages-whole",
     post("/v1/messages", '{"model":"tiny","max_tokens":3,"temperature":0,%s}' % MSG)),
    ("messages-no-max", post("/v1/messages", '{"model":"tiny",%s}' % MSG)),
    ("messages-no-model", post("/v1/messages", '{"max_tokens":3,%s}' % MSG)),
    ("messages-no-messages", post("/v1/messages", '{"model":"tiny","max_tokens":3}')),
    ("messages-unknown", post("/v1/messages", '{"model":"nope","max_tokens":3,%s}' % MSG)),
    ("messages-unknown-stream",
     post("/v1/messages", '{"model":"nope","max_tokens":3,"stream":true,%s}' % MSG)),
    ("messages-no-body", post("/v1/messages", "")),
    # bodies that Ollama reads its own way
    ("think", post("/api/chat", '{"model":"tiny","think":true,%s}' % MSG)),
    ("keep-alive-bad", post("/api/chat", '{"model":"tiny","keep_alive":"soon",%s}' % MSG)),
    ("image-url", post("/v1/chat/completions", '{"model":"tiny","messages":[{"role":"user","content":['
                       '{"type":"image_url","image_url":{"url":"http://x.example/a.png"}}]}]}')),
    ("encoding-format-bad",
     post("/v1/embeddings", '{"model":"embed","input":"x","encoding_format":"hex"}')),
    ("oai-completion-unknown", post("/v1/completions", '{"model":"nope","prompt":"x"}')),
    ("oai-completion-no-model", post("/v1/completions", '{"prompt":"x"}')),
    ("oai-prompt-array", post("/v1/completions", '{"model":"tiny","prompt":["a"]}')),
    ("oai-max-tokens-string",
     post("/v1/chat/completions", '{"model":"tiny","max_tokens":"5",%s}' % MSG)),
    ("oai-max-tokens-fraction",
     post("/v1/chat/completions", '{"model":"tiny","max_tokens":1.5,%s}' % MSG)),
    ("oai-stream-number", post("/v1/chat/completions", '{"model":"tiny","stream":1,%s}' % MSG)),
    ("oai-array", post("/v1/chat/completions", "[]")),
    ("oai-on-embed", post("/v1/chat/completions", '{"model":"embed",%s}' % MSG)),
    ("oai-blocks", post("/v1/chat/completions", '{"model":"tiny","max_tokens":2,"temperature":0,'
                        '"messages":[{"role":"user","content":[{"type":"text","text":"Hi"}]}]}')),
    ("messages-blocks",
     post("/v1/messages", '{"model":"tiny","max_tokens":2,"temperature":0,"stream":true,"system":['
          '{"type":"text","text":"Be short."}],"messages":[{"role":"user","content":['
          '{"type":"text","text":"Hello there"}]}]}')),
    ("messages-max-string",
     post("/v1/messages", '{"model":"tiny","max_tokens":"5",%s}' % MSG)),
    ("messages-on-embed", post("/v1/messages", '{"model":"embed","max_tokens":3,%s}' % MSG)),
    ("responses-items",
     post("/v1/responses", '{"model":"tiny","max_output_tokens":2,"temperature":0,"input":['
          '{"type":"message","role":"user","content":[{"type":"input_text","text":"Hi"}]}]}')),
    ("responses-no-body", post("/v1/responses", "")),
    ("responses-no-model", post("/v1/responses", '{"input":"Hi"}')),
    ("generate-prompt-number", post("/api/generate", '{"model":"tiny","prompt":5}')),
    ("embed-no-body", post("/api/embed", "")),
    ("embed-no-model", post("/api/embed", '{"input":"x"}')),
    ("embed-mixed-input", post("/api/embed", '{"model":"embed","input":["a",5]}')),
    ("embeddings-no-model", post("/api/embeddings", '{"prompt":"x"}')),
    ("show-number", post("/api/show", '{"model":5}')),
    ("show-bad-name", post("/api/show", '{"model":"a b"}')),
    ("chat-null", post("/api/chat", "null")),
    ("chat-null-model", post("/api/chat", '{"model":null,%s}' % MSG)),
    ("chat-control-character", post("/api/chat", '{"model":"ti\nny"}')),
    ("chat-bad-escape", post("/api/chat", '{"model":"ti\\qny"}')),
    ("chat-bad-word", post("/api/chat", '{"model":"tiny","stream":flase}')),
    ("chat-bad-number", post("/api/chat", '{"model":"tiny","options":{"seed":01}}')),
    ("chat-missing-colon", post("/api/chat", '{"model" "tiny"}')),
    ("chat-quote-in-error", post("/api/chat", '{"model":"tiny" "x":1}')),
    ("chat-registry-name",
     post("/api/chat", '{"model":"registry.ollama.ai/library/tiny:latest",%s,%s}' % (MSG, TWO))),
    ("chat-local-name", post("/api/chat", '{"model":"tiny:local",%s,%s}' % (MSG, TWO))),
    ("chat-html-name", post("/api/chat", '{"model":"a<b>&c",%s}' % MSG)),
    ("chat-other-tag", post("/api/chat", '{"model":"tiny:7b",%s}' % MSG)),
    # errors
    ("chat-unknown", post("/api/chat", '{"model":"nope",%s}' % MSG)),
    ("generate-unknown", post("/api/generate", '{"model":"nope","prompt":"x"}')),
    ("chat-no-body", post("/api/chat", "")),
    ("chat-cut-json", post("/api/chat", '{"model":"tiny"')),
    ("chat-array", post("/api/chat", "[]")),
    ("chat-number", post("/api/chat", "5")),
    ("chat-not-json", post("/api/chat", "hello")),
    ("chat-bad-key", post("/api/chat", "{model:1}")),
    ("chat-comma", post("/api/chat", '{"model":"tiny",}')),
    ("chat-model-number", post("/api/chat", '{"model":5}')),
    ("chat-stream-string", post("/api/chat", '{"model":"tiny","stream":"yes"}')),
    ("chat-messages-object", post("/api/chat", '{"model":"tiny","messages":{}}')),
    ("chat-no-model", post("/api/chat", '{%s}' % MSG)),
    ("chat-bad-name", post("/api/chat", '{"model":"a b/c?d",%s}' % MSG)),
    ("generate-no-model", post("/api/generate", '{"prompt":"x"}')),
    ("chat-cloud", post("/api/chat", '{"model":"big:cloud",%s}' % MSG)),
    ("oai-cloud", post("/v1/chat/completions", '{"model":"big:120b-cloud",%s}' % MSG)),
    ("too-long", post("/api/generate", '{"model":"tiny","prompt":"%s","truncate":false,'
                      '"raw":true}' % ("word " * 2600))),
    ("not-found", get("/nope")),
    ("count-tokens", post("/v1/messages/count_tokens", "{}")),
    ("wrong-method", get("/api/chat")),
    ("wrong-method-ps", post("/api/ps", "{}")),
    ("wrong-method-tags", raw("DELETE", "/api/tags")),
    ("trailing-slash", get("/api/tags/")),
    ("trailing-slash-post", post("/api/chat/", "{}")),
    ("double-slash", get("//api/tags")),
    ("dot-segment", get("/api/../api/tags")),
    ("options-plain", raw("OPTIONS", "/api/chat")),
    ("options-origin", raw("OPTIONS", "/api/chat", headers=[
        ("Origin", "http://localhost:3000"), ("Access-Control-Request-Method", "POST")])),
    ("origin-good", get("/api/version", headers=[("Origin", "http://127.0.0.1:9")])),
    ("origin-foreign", get("/api/version", headers=[("Origin", "http://evil.example")])),
    ("host-foreign", get("/api/version", host="evil.example")),
    ("host-none", get("/api/version", host=None)),
    ("host-private", get("/api/version", host="10.1.2.3")),
    ("options-address", raw("OPTIONS", "/api/chat", host="127.0.0.1:11434")),
    ("options-unknown", raw("OPTIONS", "/nope")),
    ("head-unknown", raw("HEAD", "/nope")),
    ("head-wrong-method", raw("HEAD", "/api/ps")),
    ("put-version", raw("PUT", "/api/version")),
    ("model-trailing-slash", get("/v1/models/")),
    ("version-post", post("/api/version", "{}")),
    ("slash-slash-end", get("/api//version/")),
    ("percent-bad", get("/api/%zz")),
    ("percent-slash", get("/api%2fversion")),
    ("absolute-form", get("http://localhost:11434/api/version")),
    ("host-twice", b"GET /api/version HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n"),
    ("length-twice", b"POST /api/show HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n"
     b"Content-Length: 2\r\n\r\n{}"),
    ("length-differs", b"POST /api/show HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n"
     b"Content-Length: 3\r\n\r\n{}"),
    ("length-and-chunked", b"POST /api/show HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n"
     b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"),
    ("bare-newlines", b"GET /api/version HTTP/1.1\nHost: localhost\n\n"),
    ("version-two", b"GET /api/version HTTP/2.0\r\nHost: localhost\r\n\r\n"),
    ("expect-unknown-path", raw("POST", "/nope", "{}", headers=[("Expect", "100-continue")])),
    ("high-bytes", get("/api/version", headers=[("X-Name", "caf\xe9")])),
    ("space-in-name", b"GET /api/version HTTP/1.1\r\nHost: localhost\r\nX-A : b\r\n\r\n"),
    ("bad-request-line", b"GET /\r\n\r\n"),
    ("bad-header", b"GET / HTTP/1.1\r\nHost: localhost\r\nbad header\r\n\r\n"),
    ("bad-length", b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n"),
    ("bad-coding", b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n"),
    ("chunked-body", b"POST /api/show HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
     b"\r\n8\r\n{\"model\"\r\n8\r\n:\"nope\"}\r\n0\r\n\r\n"),
    ("http10-get", get("/api/version", version="HTTP/1.0", host=None)),
    ("http10-keep", get("/api/version", version="HTTP/1.0", headers=[("Connection", "keep-alive")])),
    ("close-get", get("/api/version", headers=[("Connection", "close")])),
    ("unload", post("/api/generate", '{"model":"tiny","keep_alive":0}')),
    ("unload-chat", post("/api/chat", '{"model":"tiny","messages":[],"keep_alive":"0s"}')),
]

# Recorded while the runner is killed in mid stream.
LONG = '"options":{"num_predict":400,"temperature":0}'
DEATHS = [
    ("chat", post("/api/chat", '{"model":"tiny",%s,%s}' % (MSG, LONG))),
    ("chat-whole", post("/api/chat", '{"model":"tiny","stream":false,%s,%s}' % (MSG, LONG))),
    ("generate", post("/api/generate", '{"model":"tiny","prompt":"Hi",%s}' % LONG)),
    ("oai-chat", post("/v1/chat/completions", '{"model":"tiny","stream":true,%s}' % MSG)),
    ("oai-chat-whole", post("/v1/chat/completions", '{"model":"tiny","max_tokens":400,%s}' % MSG)),
    ("oai-completion", post("/v1/completions", '{"model":"tiny","stream":true,"prompt":"Hi",'
                            '"stream_options":{"include_usage":true}}')),
    ("messages", post("/v1/messages", '{"model":"tiny","stream":true,"max_tokens":400,%s}' % MSG)),
    ("messages-whole", post("/v1/messages", '{"model":"tiny","max_tokens":400,%s}' % MSG)),
    ("responses", post("/v1/responses", '{"model":"tiny","stream":true,"input":"Say hello",'
                       '"max_output_tokens":400}')),
]
