"""CONTRACTS "Answers": status, dialect, fields, connection and log of everything refused; F17."""

import contextlib
import json
import re
import time

import pytest

import h1
import harness
from harness import PROTOCOL, chat, wait_for

INFERENCE = ["/api/generate", "/api/chat", "/api/embed", "/api/embeddings", "/v1/chat/completions",
             "/v1/completions", "/v1/embeddings", "/v1/responses", "/v1/messages", "/api/show"]
VERBS = {"/api/generate": "generate", "/api/chat": "chat", "/api/embed": "embed",
         "/api/embeddings": "embed", "/v1/chat/completions": "chat",
         "/v1/completions": "generate", "/v1/embeddings": "embed", "/v1/responses": "chat",
         "/v1/messages": "chat", "/api/show": "show"}
ADMIN = [("POST", "/api/pull"), ("POST", "/api/push"), ("POST", "/api/create"),
         ("POST", "/api/copy"), ("DELETE", "/api/delete"),
         ("POST", "/api/blobs/sha256:" + "0" * 64), ("HEAD", "/api/blobs/sha256:" + "0" * 64),
         ("POST", "/api/me"), ("POST", "/api/signout"), ("GET", "/api/status"),
         ("POST", "/v1/audio/transcriptions"), ("GET", "/api/experimental/web_search")]


def dialect_of(path):
    if (path + "/").startswith("/v1/messages/"):
        return "anthropic"
    return "openai" if (path + "/").startswith("/v1/") else "native"


def check_shape(answer, dialect):
    """The body is an error of that dialect; the sentence in it."""
    assert answer.field("Content-Type").startswith("application/json")
    request_id = answer.field("X-Request-Id")
    assert re.match(r"^req_[0-9a-f]{24}$", request_id)
    body = answer.json
    if dialect == "native":
        assert set(body) == {"error"}
        sentence = body["error"]
    elif dialect == "openai":
        assert set(body) == {"error"}
        assert set(body["error"]) == {"message", "type", "param", "code"}
        assert body["error"]["param"] is None and body["error"]["type"]
        sentence = body["error"]["message"]
    else:
        assert set(body) == {"type", "error", "request_id"} and body["type"] == "error"
        assert set(body["error"]) == {"type", "message"}
        assert body["request_id"] == request_id
        sentence = body["error"]["message"]
    assert isinstance(sentence, str) and len(sentence) > 10
    return sentence


def refused(corral, data, status, reason, dialect="native", closes=None):
    """Send; hold status, shape, fields, connection and the access line against the contract."""
    with corral.client() as client:
        client.send(data)
        answer = client.answer(data.split(b" ", 1)[0].decode())
        assert (answer.status, answer.end) == (status, "whole"), answer
        if not data.startswith(b"HEAD"):
            check_shape(answer, dialect)
        said = answer.field("Connection") == "close"
        assert closes is None or said == (closes and harness.PROTOCOL == "h1"), answer.head
        if said:
            assert client.wait_end(1) in ("fin", "rst")
        else:
            client.send(h1.get("/api/version", corral.key()))
            assert client.answer("GET").json == {"version": "0.24.0"}
    line = corral.access(answer.field("X-Request-Id"))
    assert line["status"] == status and reason in (line["reason"], None)
    return answer


# ---- credentials ----

BAD_CREDENTIALS = {
    "none": ([], "no_credential"),
    "basic": ([("Authorization", "Basic YTpi")], "bad_scheme"),
    "empty": ([("Authorization", "")], None),
    "bearer-only": ([("Authorization", "Bearer")], None),
    "unknown-key": ([("Authorization", "Bearer ck_" + "A" * 43)], "unknown_api_key"),
    "short-key": ([("Authorization", "Bearer ck_abc")], None),
    "jwt-garbage": ([("Authorization", "Bearer a.b.c")], None),
    "other": ([("Authorization", "Bearer hunter2")], "token_shape"),
    "cookie": ([("Cookie", "token=ck_" + "A" * 43)], "no_credential"),
    "in-x-api-key": ([("X-Api-Key", "ck_" + "A" * 43)], None),
}


@pytest.mark.parametrize("name", BAD_CREDENTIALS)
@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions", "/v1/messages"])
def test_bad_credentials_all_look_the_same(shared, name, path):
    corral, _ = shared
    headers, reason = BAD_CREDENTIALS[name]
    data = h1.request("POST", path, headers, chat())
    answer = corral.ask(data)
    assert answer.status == 401, answer
    assert answer.field("WWW-Authenticate") == "Bearer"
    if harness.PROTOCOL == "h1":
        assert answer.field("Connection") == "close", "the body was not read"
    sentence = check_shape(answer, dialect_of(path))
    plain = corral.ask(h1.request("POST", path, (), chat()))
    assert sentence == check_shape(plain, dialect_of(path))
    line = corral.access(answer.field("X-Request-Id"))
    assert line["status"] == 401 and "tenant" not in line
    assert reason is None or line["reason"] == reason


def test_two_credentials_are_none(shared):
    corral, _ = shared
    key = corral.key()
    for headers in ([("Authorization", "Bearer " + key)] * 2,
                    [("Authorization", "Bearer %s, Bearer %s" % (key, key))],
                    [("Authorization", "Bearer %s  %s" % (key, key))]):
        assert corral.ask(h1.get("/api/tags", headers=headers)).status == 401, headers
    assert corral.ask(h1.get("/api/tags", headers=[("authorization", "bearer " + key)])).status \
        == 200


def test_a_get_without_credential_keeps_the_connection(shared):
    corral, _ = shared
    answer = refused(corral, h1.get("/api/tags"), 401, "no_credential", closes=False)
    assert answer.field("WWW-Authenticate") == "Bearer"


def test_a_token_in_the_query_is_not_taken(shared):
    corral, _ = shared
    refused(corral, h1.get("/api/tags?access_token=" + corral.key()), 401, "no_credential")
    assert corral.key() not in corral.text()


# ---- rights ----


@pytest.mark.parametrize("path", INFERENCE)
def test_verbs_not_allowed(shared, path):
    corral, sim = shared
    before = sim.posts()
    allowed = VERBS[path] == "chat"
    body = {"model": "tiny", "messages": [{"role": "user", "content": "x"}], "input": "x",
            "prompt": "x", "max_tokens": 2}
    if allowed:
        assert corral.post(path, body, "chatonly").status == 200
        assert sim.posts() == before + 1
    else:
        answer = refused(corral, h1.post(path, body, corral.key("chatonly")), 403,
                         "verb_forbidden", dialect_of(path))
        assert VERBS[path] in answer.body.decode()
        assert sim.posts() == before
    listing = corral.post(path, body, "lister")
    assert listing.status == 403


@pytest.mark.parametrize("path", ["/api/tags", "/api/ps", "/v1/models", "/v1/models/tiny"])
def test_lists_need_the_verb(shared, path):
    corral, _ = shared
    refused(corral, h1.get(path, corral.key("chatonly")), 403, "verb_forbidden",
            dialect_of(path), closes=False)


@pytest.mark.parametrize("method,path", ADMIN)
def test_admin_routes_are_closed(shared, method, path):
    corral, sim = shared
    before = sim.stats()["requests"]
    body = {"model": "tiny", "name": "tiny"} if method in ("POST", "DELETE") else None
    data = h1.request(method, path, h1.bearer(corral.key()), body)
    refused(corral, data, 403, "admin_forbidden", dialect_of(path))
    assert refused(corral, h1.request(method, path, (), body), 401, "no_credential",
                   dialect_of(path))
    changed = {k: v for k, v in sim.stats()["requests"].items() if before.get(k) != v}
    assert set(changed) <= {"GET /api/ps", "GET /api/tags", "other"}


@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions", "/v1/messages"])
def test_permission_comes_before_existence(shared, path):
    """What the tenant's `models` do not cover is forbidden, whether it is there or not."""
    corral, _ = shared
    key = corral.key("chatonly")
    for model, status, reason in (("other", 403, "model_forbidden"),
                                  ("nowhere", 403, "model_forbidden"),
                                  ("tiny-nowhere", 404, "model_unknown")):
        data = h1.post(path, chat(model, max_tokens=3), key)
        answer = refused(corral, data, status, reason, dialect_of(path), closes=False)
        assert model in answer.body.decode()
    assert corral.post(path, chat("TINY", max_tokens=3), "chatonly").status == 200


@pytest.mark.parametrize("name", ["registry.ollama.ai/library/tiny", "library/tiny:latest",
                                  "tiny:LATEST"])
def test_every_spelling_is_the_same_model(shared, name):
    corral, _ = shared
    assert corral.post("/api/chat", chat(name), "chatonly").status == 200
    refused(corral, h1.post("/api/chat", chat(name), corral.key("lister")), 403, "verb_forbidden")


def test_an_unload_is_the_operators(shared):
    corral, sim = shared
    for path in ("/api/generate", "/api/chat"):
        for extra in ({}, {"messages": [], "prompt": ""}):
            body = {"model": "tiny", "keep_alive": 0, **extra}
            refused(corral, h1.post(path, body, corral.key()), 403, "admin_forbidden")
    assert sim.stat("unloads") == 0


@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions"])
def test_cloud_models_stay_out(shared, path):
    corral, _ = shared
    for name, status in (("tiny:cloud", 403), ("gpt-oss:120b-cloud", 403), ("evil.example/library/tiny", 404),
                         ("https://evil.example/library/tiny", 400)):
        assert corral.post(path, chat(name)).status == status, name
    refused(corral, h1.post(path, chat("tiny:cloud"), corral.key()), 403, "model_remote",
            dialect_of(path))


# ---- routes and methods ----

UNKNOWN = ["/api/nope", "/API/chat", "/api/chat/", "/api", "/v2/models", "/debug/pprof/",
           "/metrics", "/healthz", "/readyz", "/sim/stats", "/api/tags.json", "/v1", "/robots.txt",
           "/v1/nope", "/v1/messages/nope", "/v1/messagesx", "/v10"]


@pytest.mark.parametrize("path", UNKNOWN)
def test_unknown_paths(shared, path):
    corral, _ = shared
    refused(corral, h1.get(path, corral.key()), 404, "unknown_route", dialect_of(path), closes=False)
    refused(corral, h1.get(path), 404, "unknown_route", dialect_of(path), closes=False)


WRONG = [("GET", "/api/chat", "POST"), ("DELETE", "/api/chat", "POST"),
         ("POST", "/api/tags", "GET, HEAD"), ("PUT", "/api/generate", "POST"),
         ("POST", "/v1/models", "GET, HEAD"), ("GET", "/api/delete", "DELETE"),
         ("OPTIONS", "/v1/chat/completions", "POST"), ("PATCH", "/", "GET, HEAD"),
         ("TRACE", "/api/tags", "GET, HEAD"), ("PROPFIND", "/api/ps", "GET, HEAD"),
         ("POST", "/api/version", "GET, HEAD"), ("post", "/api/chat", "POST")]


@pytest.mark.parametrize("method,path,allow", WRONG)
def test_wrong_methods(shared, method, path, allow):
    corral, _ = shared
    answer = refused(corral, h1.request(method, path, h1.bearer(corral.key())), 405,
                     "method_not_allowed", dialect_of(path), closes=False)
    assert answer.field("Allow") == allow


@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions", "/v1/messages", "/v1/messages?beta=true",
                                  "/v1/messages/count_tokens", "/v1"])
def test_a_head_that_breaks_a_rule_is_answered_in_the_dialect_of_its_path(shared, path):
    """openai-python shows the sentence only when `error` is an object."""
    corral, _ = shared
    dialect = dialect_of(path.split("?")[0])
    more = [("Content-Type", "application/json"), *h1.bearer(corral.key())]
    refused(corral, h1.request("POST", path, [*more, ("Expect", "something")], {}), 417, None, dialect)
    many = [("X-%d" % i, "x") for i in range(120)]
    refused(corral, h1.request("POST", path, [*more, *many], {}), 431, None, dialect)


@pytest.mark.http1
def test_a_head_of_which_no_path_can_be_read(shared):
    corral, _ = shared
    for data in (b"\x00\x01\r\n\r\n", b"GET\r\n\r\n", b"GET /v1/models", b"GET  /v1 HTTP/1.1\r\n\r\n"):
        with corral.client() as client:
            client.send(data + b"\r\nbad\r\n\r\n")
            answer = client.answer()
            assert answer.status == 400 and answer.end == "whole", (data, answer)
    with corral.client() as client:
        client.send(b"POST /v1/messages HTTP/1.1\r\nbad field\r\n\r\n")
        check_shape(client.answer(), "anthropic")


# ---- bodies ----

BODIES = {
    "not-json": (b"hello", 400, "json_syntax"),
    "truncated": (b'{"model":"tiny"', 400, "json_syntax"),
    "trailing": (b'{"model":"tiny"}x', 400, "json_syntax"),
    "array": (b"[]", 400, None),
    "utf8": (b'{"model":"tiny","x\xff":1}', 400, "json_utf8"),
    "nul": (b'{"model":"tiny\\u0000","x":1}', 400, None),
    "duplicate": (b'{"model":"tiny","model":"other"}', 400, "json_duplicate_key"),
    "duplicate-case": (b'{"model":"tiny","MODEL":"other"}', 400, "json_duplicate_key"),
    "deep": (b'{"model":"tiny","x":' + b"[" * 2000 + b"]" * 2000 + b"}", 400, "json_depth"),
    "no-model": (b'{"messages":[]}', 400, "model_missing"),
    "model-type": (b'{"model":7}', 400, "json_type"),
    "model-name": (b'{"model":"../../etc/passwd"}', 400, "model_name"),
    "debug": (b'{"model":"tiny","_debug_render_only":true}', 400, "field_refused"),
}


@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions", "/v1/messages"])
@pytest.mark.parametrize("name", BODIES)
def test_bad_bodies(shared, name, path):
    corral, sim = shared
    body, status, reason = BODIES[name]
    before = sim.posts()
    answer = corral.ask(h1.post(path, body, corral.key()))
    assert (answer.status, answer.end) == (status, "whole"), answer
    check_shape(answer, dialect_of(path))
    line = corral.access(answer.field("X-Request-Id"))
    assert reason is None or line["reason"] == reason, line
    assert sim.posts() == before


MEDIA = [("Content-Type", "multipart/form-data; boundary=x"),
         ("Content-Type", "application/json; charset=utf-16"),
         ("Content-Type", 'application/json; charset="latin1"'),
         ("Content-Encoding", "gzip"), ("Content-Encoding", "identity, br"),
         ("Content-Encoding", "zstd")]


@pytest.mark.parametrize("field", MEDIA)
def test_media_types_refused(shared, field):
    corral, _ = shared
    answer = corral.post("/v1/chat/completions", chat(), headers=[field])
    assert answer.status == 415, answer
    check_shape(answer, "openai")


@pytest.mark.parametrize("value", ["application/x-www-form-urlencoded", "text/plain",
                                   "application/json; charset=UTF-8", "anything/else"])
def test_media_types_accepted(shared, value):
    corral, _ = shared
    assert corral.post("/api/chat", chat(), headers=[("Content-Type", value)]).status == 200


def test_no_length_is_411(shared):
    corral, _ = shared
    refused(corral, h1.request("POST", "/api/chat", h1.bearer(corral.key())), 411,
            "length_required", closes=False)


def test_sizes(stable):
    sim = stable.sim("--tokens-per-s", "0").warm()
    corral = stable.corral(sim, limits={"body_bytes": 4096, "body_memory_bytes": 1048576,
                                        "image_bytes": 64, "images": 2, "messages": 3})
    declared = h1.request("POST", "/api/chat", h1.bearer(corral.key(), ("Content-Length", "4097")))
    refused(corral, declared, 413, "body_too_large", closes=True)
    chunked = h1.request("POST", "/v1/chat/completions",
                         h1.bearer(corral.key(), ("Transfer-Encoding", "chunked")))
    if harness.PROTOCOL == "h1":
        refused(corral, chunked + b"1001\r\n" + b" " * 4097, 413, "body_too_large", "openai", True)
    message = {"role": "user", "content": "x"}
    pictured = dict(message, images=["QUFB" * 30])
    for messages in ([message] * 4, [pictured], [dict(message, images=["QUFB"] * 3)]):
        answer = corral.post("/api/chat", {"model": "tiny", "messages": messages})
        assert answer.status == 413, answer
    assert sim.stats()["requests"].get("POST /api/chat", 0) == 0


def test_a_body_that_is_wrong_early_is_answered_when_it_has_come(stable):
    """Its memory is given back at once; what still comes is dropped, and it too has an end."""
    sim = stable.sim("--tokens-per-s", "0").warm()
    corral = stable.corral(sim, limits={"body_bytes": 1048576})
    bad = b'{"model":tiny,"a":"'
    with corral.client() as client:
        client.send(h1.request("POST", "/api/chat", h1.bearer(corral.key(), ("Content-Length", "1000000"))) +
                    bad + b"x" * 500000)
        time.sleep(0.3)
        assert corral.metrics().sum("corral_body_bytes") == 0, "held for nothing"
        if PROTOCOL == "h1":
            client.send(b"x" * (500000 - len(bad)))
            answer = client.answer()
            assert answer.status == 400 and answer.field("Connection") is None, answer
            assert client.send(h1.post("/api/chat", chat(), corral.key())).answer().status == 200
    if PROTOCOL == "h1":
        chunked = h1.request("POST", "/api/chat", h1.bearer(corral.key(), ("Transfer-Encoding", "chunked")))
        refused(corral, chunked + b"100100\r\n" + bad + b"x" * (0x100100 - len(bad)), 413, "body_too_large", closes=True)


def test_body_memory_is_bounded(stable):
    sim = stable.sim("--tokens-per-s", "0").warm()
    corral = stable.corral(sim, limits={"body_bytes": 1048576, "body_memory_bytes": 1048576})
    with half_sent(corral, "acme", 800000):
        answer = refused(corral, large(corral, "beta", 400000), 503, "body_memory", closes=True)
        assert answer.field("Retry-After")
        assert corral.metrics().sum("corral_limited_total", tenant="beta", limit="body_memory") == 1
    wait_for(lambda: corral.metrics().sum("corral_body_bytes") == 0, 5, "memory given back")
    assert corral.post("/api/chat", chat()).status == 200


def large(corral, tenant, size):
    """The beginning of a request with a body of 900,000 bytes."""
    return h1.request("POST", "/api/chat", h1.bearer(corral.key(tenant), ("Content-Length", "900000"))) + b" " * size


@contextlib.contextmanager
def half_sent(corral, tenant, size):
    """A client whose body does not end, and corral holds so much of it."""
    before = corral.metrics().sum("corral_body_bytes", tenant=tenant)
    with corral.client() as client:
        client.send(large(corral, tenant, size))
        wait_for(lambda: corral.metrics().sum("corral_body_bytes", tenant=tenant) == before + size, 5, "the body")
        yield


def test_a_tenant_has_a_share_of_body_memory(stable):
    """At its edge: 1,500,000 bytes fit, one more is refused, to this tenant alone."""
    sim = stable.sim("--tokens-per-s", "0").warm()
    corral = stable.corral(sim, limits={"body_bytes": 1000000, "body_memory_bytes": 4000000,
                                        "tenant_body_memory_bytes": 1500000})
    with half_sent(corral, "acme", 800000):
        with half_sent(corral, "acme", 700000):
            answer = refused(corral, large(corral, "acme", 1), 429, "tenant_body_memory", closes=True)
            assert answer.field("Retry-After")
            assert corral.metrics().sum("corral_limited_total", tenant="acme", limit="tenant_body_memory") == 1
            assert corral.post("/api/chat", chat(), tenant="beta").status == 200
            with half_sent(corral, "beta", 800000):
                wait_for(lambda: corral.metrics().sum("corral_body_bytes") == 2300000, 3, "the sum")
        # The client has left; its memory is given back when corral has seen that.
        wait_for(lambda: corral.metrics().sum("corral_body_bytes") == 800000, 3, "the rest")
        with half_sent(corral, "acme", 700000):
            pass
    wait_for(lambda: corral.metrics().sum("corral_body_bytes") == 0, 5, "memory given back")
    assert corral.post("/api/chat", chat()).status == 200


def test_a_tenants_share_is_half_without_a_word(stable):
    """And at least one body: here half would be less."""
    sim = stable.sim("--tokens-per-s", "0").warm()
    corral = stable.corral(sim, limits={"body_bytes": 900000, "body_memory_bytes": 1048576})
    with half_sent(corral, "acme", 600000):
        with half_sent(corral, "acme", 300000):
            refused(corral, large(corral, "acme", 1), 429, "tenant_body_memory", closes=True)
    config = dict(corral.config, limits=dict(corral.config["limits"], body_memory_bytes=2000000))
    corral.reload(config)
    with half_sent(corral, "acme", 600000):
        with half_sent(corral, "acme", 400000):
            refused(corral, large(corral, "acme", 1), 429, "tenant_body_memory", closes=True)


@pytest.mark.http1
def test_a_refused_request_with_unread_body_smuggles_nothing(shared):
    corral, sim = shared
    hidden = h1.post("/api/chat", chat(), corral.key())
    before = sim.posts()
    for key, path in ((None, "/api/chat"), (corral.key("lister"), "/api/chat"),
                      (corral.key(), "/api/nope"), (corral.key(), "/api/pull")):
        with corral.client() as client:
            client.send(h1.post(path, hidden, key) + hidden)
            assert client.answer().status in (401, 403, 404)
            assert client.wait_end(1) in ("fin", "rst")
            assert b"HTTP/1.1" not in client.data, "a second answer"
    assert sim.posts() == before


def test_own_errors_of_the_server_pass(shared):
    corral, sim = shared
    for path in ("/api/chat", "/v1/chat/completions", "/v1/messages"):
        sim.fault("status", status=400, count=2)
        direct = sim.ask(h1.post(path, chat(max_tokens=2)))
        answer = corral.post(path, chat(max_tokens=2))
        assert answer.status == direct.status == 400
        assert set(json.loads(answer.body)) == set(json.loads(direct.body))
        sim.fault("busy", count=1)
        busy = corral.post(path, chat(max_tokens=2))
        assert busy.status == 503 and busy.field("Retry-After") == "5"
    sim.config(faults=[])
