"""Small rules at their edges: what a byte more, or another kind of byte, changes."""

import json

import pytest

import h1
import harness
import recorder
from harness import chat, wait_for

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
STATES = {
    "plain": ("vendor=a,other=b~", True),
    "at the limit": ("a" * 512, True),
    "over the limit": ("a" * 513, False),
    "above ASCII": ("vendor=\xe9", False),
    "0x80": ("vendor=\x80", False),
    "a tab": ("vendor=a,\tother=b", False),
}


@pytest.mark.parametrize("name", STATES)
def test_a_trace_state_is_short_and_printable(shared, name):
    """What is not goes no further; the trace itself does."""
    corral, sim = shared
    value, passes = STATES[name]
    answer = corral.post("/api/chat", chat(), headers=[("traceparent", PARENT), ("tracestate", value)])
    assert answer.status == 200, answer
    fields = sim.last("/api/chat")[1]
    assert fields["traceparent"] == [PARENT]
    assert fields.get("tracestate") == ([value] if passes else None)


def test_a_trace_state_alone_goes_no_further(shared):
    corral, sim = shared
    assert corral.post("/api/chat", chat(), headers=[("tracestate", "vendor=a")]).status == 200
    assert "tracestate" not in sim.last("/api/chat")[1]


def test_two_trace_states_go_no_further(shared):
    corral, sim = shared
    two = [("traceparent", PARENT), ("tracestate", "a=b"), ("tracestate", "c=d")]
    assert corral.post("/api/chat", chat(), headers=two).status == 200
    assert "tracestate" not in sim.last("/api/chat")[1]


@pytest.mark.parametrize("junk", [b"\r\n", b"x", recorder.answer(b'{"done":true,"model":"tiny","response":"poison"}')],
                         ids=["line", "byte", "answer"])
def test_bytes_on_an_idle_replica_connection_end_it(stable, junk):
    """Nobody asked for them: they are the answer to no later request."""
    replica = recorder.Recorder()
    corral = stable.corral(replica, workers=1)
    good, used = replica.reply, []

    def reply(conn):
        used.append(conn)
        conn.sendall(good)
    replica.reply = reply
    assert corral.post("/api/chat", chat()).status == 200
    assert corral.post("/api/chat", chat()).status == 200
    assert used[0] is used[1], "the connection is kept"
    wait_for(lambda: corral.slots_taken() == 0, 3, "the slot")
    used[0].sendall(junk)
    wait_for(lambda: used[0].fileno() == -1, 3, "the end of the connection")
    answer = corral.post("/api/chat", chat())
    assert answer.status == 200 and b"poison" not in answer.body, answer
    assert used[2] is not used[0]
    replica.close()


@pytest.mark.parametrize("size,status", [(8192, 404), (8193, 414)])
def test_a_target_has_8_kib(shared, size, status):
    """Over both protocols; HTTP/1.1 counts the whole line."""
    corral, _ = shared
    line = 0 if harness.PROTOCOL == "h2" else len("GET  HTTP/1.1")
    answer = corral.get("/" + "a" * (size - line - 1))
    assert answer.status == status, answer


@pytest.mark.parametrize("size,status", [(253, 421), (254, 400)])
def test_a_host_has_253_bytes(shared, size, status):
    """A possible host of somebody else, and one that no name server knows."""
    corral, _ = shared
    host = ("a" * 49 + ".") * 5 + "b" * (size - 250)
    data = b"GET /api/tags HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n" % (
        host.encode(), corral.key().encode())
    assert corral.ask(data).status == status


# ---- field names with an underscore ----

@pytest.mark.parametrize("name", ["session_id", "conversation_id", "x_trace", "_", "_a_", "sentry_trace", "user_agent",
                                  "x_request_id", "content_length_x", "traceparent_"])
def test_an_unknown_field_with_an_underscore_is_dropped(shared, name):
    """As one without: editors' agents and error trackers send such. Nothing of it goes on."""
    corral, sim = shared
    answer = corral.post("/api/chat", chat(), headers=[(name, "1"), ("x-other", "2")])
    assert answer.status == 200, answer
    fields = sim.last("/api/chat")[1]
    assert name not in fields and "x-other" not in fields
    line = corral.access(answer.field("X-Request-Id"))
    assert "client_request_id" not in line


@pytest.mark.parametrize("name", ["content_length", "transfer_encoding", "content_encoding", "content_type", "keep_alive",
                                  "proxy_connection", "proxy_authorization", "x_api_key", "x_real_ip", "remote_user",
                                  "x_forwarded_for", "x-forwarded_for", "x_forwarded-proto", "x_openwebui_user_id"])
def test_a_name_that_folds_to_framing_or_identity_is_refused(shared, name):
    """Who maps '_' to '-', as CGI does, would read another request. The log names the field."""
    corral, sim = shared
    before = sim.posts()
    for spelled in {name, name if harness.PROTOCOL == "h2" else name.title()}:
        answer = corral.post("/api/chat", chat(), headers=[(spelled, "3")])
        assert answer.status == 400 and spelled.encode() in answer.body, answer
        line = corral.access(answer.field("X-Request-Id"))
        assert (line["reason"], line["field"]) == ("field_alias", spelled)
    assert sim.posts() == before


@pytest.mark.parametrize("name,status", [("x_cache", 200), ("Content_Length", 502), ("transfer_encoding", 502)])
def test_a_replica_may_name_its_fields_so_too(stable, name, status):
    """What something before it adds."""
    replica = recorder.Recorder()
    corral = stable.corral(replica)
    replica.reply = replica.reply.replace(b"\r\n", b"\r\n" + name.encode() + b": 1\r\n", 1)
    assert corral.post("/api/chat", chat()).status == status


@pytest.mark.http1
def test_trailers_with_an_underscore_are_dropped(shared):
    corral, _ = shared
    body = b'{"model":"tiny","stream":false}'
    head = ("POST /api/show HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nTransfer-Encoding: chunked\r\n\r\n"
            % corral.key()).encode()
    data = head + b"%x\r\n%s\r\n0\r\nx_checksum: 1\r\n\r\n" % (len(body), body)
    assert corral.ask(data).status == 200


# ---- probes of balancers ----

PROBES = [b"GET %s HTTP/1.0\r\n\r\n", b"HEAD %s HTTP/1.0\r\n\r\n", b"GET %s HTTP/1.0\r\nConnection: close\r\n\r\n",
          b"GET %s HTTP/1.0\r\nHost: \r\n\r\n", b"GET %s HTTP/1.1\r\nHost: 10.0.0.1:8081\r\n\r\n",
          b"GET %s HTTP/1.0\r\nUser-Agent: x\r\nContent-Length: 0\r\n\r\n"]


@pytest.mark.parametrize("probe", PROBES)
def test_probes_without_a_host_are_answered(shared, probe):
    """HAProxy's `option httpchk GET /readyz` sends HTTP/1.0 and no Host."""
    corral, _ = shared
    for address, path in ((corral.health, b"/readyz"), (corral.health, b"/healthz"), (corral.metrics_address, b"/metrics")):
        answer = h1.ask(address, probe % path)
        assert answer.status == 200, (path, answer)


@pytest.mark.parametrize("probe,status", [
    (b"GET /readyz HTTP/1.1\r\n\r\n", 400), (b"GET /readyz HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    (b"OPTIONS /readyz HTTP/1.0\r\n\r\n", 405), (b"OPTIONS / HTTP/1.0\r\n\r\n", 404), (b"GET /nope HTTP/1.0\r\n\r\n", 404)])
def test_what_is_no_probe_is_refused(shared, probe, status):
    corral, _ = shared
    assert h1.ask(corral.health, probe).status == status


# ---- what others send, too ----

def test_the_root_says_what_ollama_says(shared):
    """Public clients look for this very text."""
    corral, sim = shared
    for method in ("GET", "HEAD"):
        answer, direct = corral.get("/", None, method), sim.ask(h1.get("/", method=method))
        assert answer.status == direct.status == 200
        assert answer.body == direct.body == (b"Ollama is running" if method == "GET" else b"")
        assert answer.field("Content-Type") == direct.field("Content-Type")
        assert answer.field("Content-Length") == "17"


@pytest.mark.parametrize("credential,status", [
    ("Bearer %s", 200), ("Bearer  %s", 200), ("bearer   %s", 200), ("Bearer\t%s", 401), ("Bearer%s", 401), ("Bearer %s %s", 401),
    *[pytest.param(text, status, marks=pytest.mark.http1)  # RFC 9113 section 8.2.1: no space at an end
      for text, status in (("Bearer %s ", 200), ("Bearer ", 401), ("Bearer   ", 401), (" Bearer %s", 200))]])
def test_spaces_around_a_credential(shared, credential, status):
    """RFC 9110 section 11.4: one space or more between the scheme and the token."""
    corral, _ = shared
    value = credential.replace("%s", corral.key())
    assert corral.get("/api/tags", None, headers=[("Authorization", value)]).status == status


@pytest.mark.parametrize("fields,status", [
    ([("Content-Encoding", "identity")], 200), ([("Content-Encoding", "Identity")], 200), ([("Content-Encoding", "")], 200),
    ([("Content-Encoding", "identity, identity")], 200), ([("Content-Encoding", "identity")] * 2, 200),
    ([("Content-Encoding", "identity, gzip")], 415), ([("Content-Encoding", "identity"), ("Content-Encoding", "gzip")], 415),
    ([("Content-Encoding", "gzip"), ("Content-Encoding", "identity")], 415), ([("Content-Encoding", "identity;q=1")], 415),
    ([("Content-Type", "application/json; charset=utf8")], 200), ([("Content-Type", "application/json; charset=US-ASCII")], 200),
    ([("Content-Type", "application/json; charset=utf-16")], 415)])
def test_codings_and_charsets_that_change_nothing(shared, fields, status):
    corral, sim = shared
    body = json.dumps(chat()).encode()
    answer = corral.post("/api/chat", body, headers=fields)
    assert answer.status == status, answer
    if status == 200:
        assert "content-encoding" not in sim.last("/api/chat")[1] and sim.last("/api/chat")[2] == body


@pytest.mark.parametrize("text,says", [
    (b"\xef\xbb\xbf{}", b"byte order mark"), (b"\xef\xbb\xbf", b"byte order mark"),
    ('{"model":"tiny"}'.encode("utf-16"), b"byte order mark"), ('{"model":"tiny"}'.encode("utf-16-be"), b"NUL"),
    (b"\xef\xbb", b"not valid UTF-8"), (b"\xc3\xa9", b"not valid UTF-8")])
def test_a_byte_order_mark_is_named(shared, text, says):
    corral, _ = shared
    for path in ("/api/chat", "/v1/chat/completions"):
        answer = corral.post(path, text)
        assert answer.status == 400 and says in answer.body, answer
        reason = corral.access(answer.field("X-Request-Id"))["reason"]
        assert (reason == "json_byte_order_mark") == (says == b"byte order mark")
