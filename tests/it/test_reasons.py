"""Each error says what it is about: in the access line, in the answer, in the dialect's type."""

import json

import pytest

import h1
from harness import chat, wait_for


@pytest.mark.parametrize("status", [400, 404, 500, 503])
def test_a_replicas_error_is_not_ok(shared, status):
    corral, sim = shared
    sim.fault("status", status=status)
    answer = corral.post("/api/chat", chat())
    sim.config(faults=[])
    assert answer.status == status, answer
    line = corral.access(answer.field("X-Request-Id"))
    assert (line["status"], line["reason"]) == (status, "replica_error")
    answer = corral.post("/api/chat", chat())
    assert corral.access(answer.field("X-Request-Id"))["reason"] == "ok"


def limited(stable, **rule):
    sim = stable.sim("--tokens-per-s", "0").warm()
    return stable.corral(sim, tenants={"acme": {"limits": [dict(rule, name="one")]}})


@pytest.mark.parametrize("rule,kind", [({"requests": 1, "window_s": 3600}, "requests"),
                                       ({"tokens": 30, "window_s": 3600}, "tokens"),
                                       ({"tokens": 30, "calendar": "day"}, "insufficient_quota")])
def test_the_type_of_a_429_is_what_ran_out(stable, rule, kind):
    corral = limited(stable, **rule)
    body = {"model": "tiny", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 25}
    answers = [corral.post("/v1/chat/completions", body) for _ in range(3)]
    assert answers[-1].status == 429, answers
    assert answers[-1].json["error"]["type"] == kind, answers[-1].json


FIELDS = [
    ("/api/chat", b"[]", "the body itself, which must be an object"),
    ("/api/chat", b'{"model":"tiny","_secret":1}', "_secret"),
    ("/api/chat", b'{"model":"tiny","options":{"num_predict":"5"}}', "options.num_predict"),
    ("/v1/chat/completions", b'{"model":"tiny","stream":true,"stream_options":{"include_usage":1}}',
     "stream_options.include_usage"),
    ("/v1/chat/completions", b'{"model":"tiny","messages":[{"content":[{"image_url":{"url":"data:,!"}}]}]}', "image_url"),
    ("/v1/messages", b'{"model":"tiny","messages":[{"content":[{"source":{"data":"!"}}]}]}', "source.data"),
]


@pytest.mark.parametrize("size", ["small", "large"])
@pytest.mark.parametrize("path,body,name", FIELDS)
def test_a_field_error_names_the_field(shared, path, body, name, size):
    corral, _ = shared
    if size == "large":  # read in steps, and answered when all of it has come
        body += b" " * 300000
    answer = corral.ask(h1.post(path, body, corral.key()))
    error = answer.json["error"]
    sentence = error if isinstance(error, str) else error["message"]
    assert answer.status == 400 and sentence.endswith(": %s." % name), answer


@pytest.mark.parametrize("method,path,name", [
    ("POST", "/api/pull", "pull"), ("POST", "/api/push", "push"), ("POST", "/api/create", "create"),
    ("POST", "/api/copy", "copy"), ("DELETE", "/api/delete", "delete"), ("POST", "/api/me", "/api/me")])
def test_a_refused_operation_is_named(shared, method, path, name):
    corral, _ = shared
    body = b'{"model":"tiny"}'
    answer = corral.ask(h1.request(method, path, h1.bearer(corral.key(), ("Content-Type", "application/json")), body))
    assert answer.status == 403 and "(%s)" % name in answer.json["error"], answer


def test_an_unload_is_named(shared):
    corral, _ = shared
    answer = corral.post("/api/generate", {"model": "tiny", "keep_alive": 0})
    assert answer.status == 403 and "(unload)" in answer.json["error"], answer


def test_what_would_turn_the_text_of_a_log_around(shared):
    """A model's name of a client: U+202E turns round what follows, U+2028 ends a line for many readers."""
    corral, _ = shared
    mark = "a\u202egpj.b\u2028c\u2066d\ufeffe"
    answer = corral.ask(h1.get("/api/tags", corral.key(), [("User-Agent", mark.encode().decode("latin-1"))]))
    line = wait_for(lambda: [x for x in corral.text().splitlines() if answer.field("X-Request-Id") in x], 3, "the line")[0]
    assert json.loads(line)["user_agent"] == mark
    for c in "\u202e\u2028\u2066\ufeff":
        assert c not in line and "\\u%04x" % ord(c) in line
