"""The path of a request: bytes are those that Ollama sent, when it sent them (F01, F17, F27)."""

import json
import os
import re
import subprocess
import time

import pytest

import h1
import harness
from conftest import Stable
from harness import chat, wait_for

LONG = os.environ.get("CORRAL_LONG") == "1"
MASKS = [(re.compile(rb'"(created_at|modified_at|expires_at)":"[^"]*"'), rb'"\1":"T"'),
         (re.compile(rb'"(created|created_at|completed_at)":\d+'), rb'"\1":0'),
         (re.compile(rb'"[a-z_]+_duration":\d+'), rb'"D":0'),
         (re.compile(rb'"(chatcmpl|cmpl|msg|resp|rs|fc|call)[-_][0-9a-zA-Z_]+"'), rb'"\1"')]


def masked(data):
    for pattern, text in MASKS:
        data = pattern.sub(text, data)
    return data


MESSAGES = [{"role": "user", "content": "say \u00e9 and \"quote\""}]
ROUTES = {
    "chat": ("/api/chat", {"messages": MESSAGES, "options": {"num_predict": 5}}),
    "chat-whole": ("/api/chat", {"messages": MESSAGES, "stream": False}),
    "generate": ("/api/generate", {"prompt": "hello", "options": {"num_predict": 5}}),
    "generate-whole": ("/api/generate", {"prompt": "hello", "stream": False}),
    "embed": ("/api/embed", {"model": "embed", "input": ["a", "b"]}),
    "embeddings": ("/api/embeddings", {"model": "embed", "prompt": "a"}),
    "show": ("/api/show", {}),
    "v1-chat": ("/v1/chat/completions", {"messages": MESSAGES, "max_tokens": 5}),
    "v1-chat-stream": ("/v1/chat/completions",
                       {"messages": MESSAGES, "stream": True, "max_tokens": 5}),
    "v1-chat-usage": ("/v1/chat/completions",
                      {"messages": MESSAGES, "stream": True,
                       "stream_options": {"include_usage": True}}),
    "v1-completions": ("/v1/completions", {"prompt": "x", "max_tokens": 5}),
    "v1-completions-stream": ("/v1/completions", {"prompt": "x", "stream": True}),
    "v1-completions-usage": ("/v1/completions", {"prompt": "x", "stream": True,
                                                 "stream_options": {"include_usage": True}}),
    "v1-embeddings": ("/v1/embeddings", {"model": "embed", "input": "a"}),
    "v1-responses": ("/v1/responses", {"input": "hello"}),
    "v1-responses-stream": ("/v1/responses", {"input": "hello", "stream": True}),
    "v1-messages": ("/v1/messages", {"messages": MESSAGES, "max_tokens": 5}),
    "v1-messages-stream": ("/v1/messages",
                           {"messages": MESSAGES, "max_tokens": 5, "stream": True}),
}


@pytest.mark.parametrize("name", ROUTES)
def test_bytes_are_those_of_the_server(shared, name):
    corral, sim = shared
    path, body = ROUTES[name]
    body = {"model": "tiny", **body}
    direct = sim.ask(h1.post(path, body))
    answer = corral.post(path, body)
    assert direct.status == answer.status == 200, answer
    assert answer.end == "whole"
    assert masked(answer.body) == masked(direct.body)
    assert [masked(c) for c in answer.chunks] == [masked(c) for c in direct.chunks] or \
        "/v1" in path or harness.PROTOCOL == "h2", "native streams are passed chunk for chunk"
    assert answer.field("Content-Type") == direct.field("Content-Type")
    assert re.match(r"^req_[0-9a-f]{24}$", answer.field("X-Request-Id"))
    line = corral.access(answer.field("X-Request-Id"))
    assert (line["status"], line["reason"], line["tenant"]) == (200, "ok", "acme")
    assert line["bytes_out"] == len(answer.body)


@pytest.mark.parametrize("path,body", [("/api/chat", {"options": {"num_predict": 1000}}),
                                       ("/v1/chat/completions", {"max_tokens": 1000, "stream": True})],
                         ids=["native", "v1"])
def test_a_thousand_chunks_are_those_of_the_server(shared, path, body):
    """F01: as fast as they come, so that several are read at once."""
    corral, sim = shared
    body = dict(chat(), **body)
    direct, answer = sim.ask(h1.post(path, body)), corral.post(path, body, timeout=30)
    assert len(direct.chunks) >= 1000 and (answer.status, answer.end) == (200, "whole")
    assert masked(answer.body) == masked(direct.body)


def test_each_chunk_passes_when_it_was_sent(stable):
    sim = stable.sim("--tokens-per-s", "50").warm()
    corral = stable.corral(sim)
    with corral.open_chat(tokens=100, timeout=20) as client:
        answer = client.answer()
    assert answer.end == "whole"
    lines = answer.lines
    assert len(lines) in (100, 101)
    assert lines[-1]["done"] and lines[-1]["eval_count"] == 100
    gaps = sorted(b - a for a, b in zip(answer.times, answer.times[1:]))
    print("gap ms: p50 %.1f p99 %.1f" % (gaps[len(gaps) // 2] * 1e3, gaps[-2] * 1e3))
    assert 0.015 < gaps[len(gaps) // 2] < 0.025


def test_the_delay_of_a_chunk_is_small(stable):
    """Side by side: one client at the sim, one at corral, both of one and the same batch."""
    sim = stable.sim("--tokens-per-s", "50", "--slots", "2").warm()
    corral = stable.corral(sim, slots=2)
    ends = [sim.address, corral.address]
    first = []
    for address in ends * 10:
        with h1.Client(address) as client:
            began = time.monotonic()
            client.send(h1.post("/api/chat", chat(tokens=2), corral.key()))
            client.until(b'"done":false')
            first.append(time.monotonic() - began)
    direct, through = sorted(first[0::2])[5], sorted(first[1::2])[5]
    print("first chunk ms: direct %.2f through %.2f" % (direct * 1e3, through * 1e3))
    assert through - direct < 0.010


def load(sim_load, corral, streams, seconds, *more, body=None):
    body = body or json.dumps(chat(tokens=60))
    command = [sim_load, "--port", str(corral.address[1]), "--streams", str(streams), "--seconds",
               str(seconds), "--header", "Authorization: Bearer " + corral.key(), "--body", body,
               *more]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=True)
    return json.loads(done.stdout)


def busy(streams):
    return {"acme": {"max_running": streams, "max_waiting": streams}}


def test_two_hundred_streams(stable, sim_load):
    sim = stable.sim("--slots", "200", "--tokens-per-s", "10").warm()
    corral = stable.corral(sim, slots=200, tenants=busy(200))
    seen = load(sim_load, corral, 200, 8)
    print(seen)
    assert (seen["truncated"], seen["refused"]) == (0, 0)
    assert set(seen["statuses"]) == {"200"}
    assert seen["completed"] + seen["open_at_end"] == seen["started"] >= 200
    corral.wait_idle()


def test_thousand_streams(stable, sim_load):
    """For a while (CORRAL_LONG=1: a minute): none truncated, none refused, memory flat."""
    sim = stable.sim("--slots", "1000", "--tokens-per-s", "3").warm()
    corral = stable.corral(sim, slots=1000, tenants=busy(1000))
    load(sim_load, corral, 1000, 4, body=json.dumps(chat(tokens=8)))
    corral.wait_idle()
    before = corral.rss()
    seen = load(sim_load, corral, 1000, 50 if LONG else 15, body=json.dumps(chat(tokens=30)))
    grown = corral.rss() - before
    print(seen, "grown by %d KiB" % (grown // 1024))
    assert (seen["truncated"], seen["refused"]) == (0, 0)
    assert set(seen["statuses"]) == {"200"}
    assert grown < 32 * 1024 * 1024
    corral.wait_idle()


# ---- lists ----


@pytest.fixture(scope="module")
def pair(tmp_path_factory, keyfile, make_config):
    """One gateway over two sims that share one model."""
    with Stable(tmp_path_factory.mktemp("pair"), keyfile.keys, make_config) as made:
        one = made.sim("--models", "tiny:268.10M,embed:22.57M").warm("tiny")
        two = made.sim("--models", "tiny:268.10M,other:1B,tinytwo:2B").warm("tiny", "other")
        yield made.corral(one, two), one, two


def names(answer, member="models", key="name"):
    return sorted(m[key] for m in answer.json[member])


def test_tags_are_merged_and_filtered(pair):
    corral, one, two = pair
    everything = sorted(set(names(one.ask(h1.get("/api/tags")))) |
                        set(names(two.ask(h1.get("/api/tags")))))
    assert names(corral.get("/api/tags")) == everything
    assert names(corral.get("/api/tags", "lister")) == ["embed:latest"]
    assert corral.get("/api/tags", "chatonly").status == 403


def test_ps_is_merged(pair):
    corral, _, _ = pair
    wait_for(lambda: len(names(corral.get("/api/ps"))) >= 2, 5, "residency")
    seen = names(corral.get("/api/ps"))
    assert set(seen) == {"tiny:latest", "other:latest"}
    assert names(corral.get("/api/ps", "lister")) == []


def test_v1_models_are_merged_and_filtered(pair):
    corral, one, _ = pair
    answer = corral.get("/v1/models")
    listed = names(answer, "data", "id")
    assert len(listed) == len(set(listed))
    assert {"tiny:latest", "embed:latest", "other:latest"} <= set(listed)
    assert answer.json["object"] == "list"
    assert names(corral.get("/v1/models", "lister"), "data", "id") == ["embed:latest"]
    direct = one.ask(h1.get("/v1/models/embed")).json
    seen = corral.get("/v1/models/embed").json
    assert set(seen) == set(direct) and seen["id"] == direct["id"]


def test_a_v1_model_is_permitted_before_it_exists(pair):
    corral, _, _ = pair
    for model, status in (("tiny", 403), ("nope", 403), ("embed-nope", 404), ("embed", 200)):
        answer = corral.get("/v1/models/" + model, "lister")
        assert answer.status == status, (model, answer)
        if status != 200:
            assert set(answer.json["error"]) == {"message", "type", "param", "code"}


def test_own_answers(pair):
    corral, one, _ = pair
    before = one.stats()["requests_total"]
    assert corral.get("/api/version").json == {"version": "0.24.0"}
    root = corral.get("/")
    assert root.status == 200 and root.body == b"Ollama is running"
    assert one.stats()["requests_total"] - before <= 6, "no request went to the sim (but polls)"


@pytest.mark.parametrize("path", ["/", "/api/version", "/api/tags", "/api/ps", "/v1/models",
                                  "/v1/models/tiny"])
def test_head_is_get_without_a_body(pair, path):
    corral, _, _ = pair
    full = corral.get(path)
    with corral.client() as client:
        client.send(h1.get(path, corral.key(), method="HEAD"))
        client.send(h1.get("/api/version", corral.key()))
        head = client.answer("HEAD")
        after = client.answer("GET")
    assert (head.status, full.status, after.status) == (200, 200, 200)
    assert head.field("Content-Length") == str(len(full.body))
    assert head.field("Content-Type") == full.field("Content-Type")
    assert after.json == {"version": "0.24.0"}


# ---- what the replica sees ----

ALLOWED = {"host", "content-type", "content-length", "accept", "x-request-id", "traceparent",
           "tracestate"}
HOP_BY_HOP = ("Connection", "Keep-Alive", "Upgrade", "Proxy-Authorization", "HTTP2-Settings")
NOISE = [("Cookie", "a=b"), ("Origin", "https://evil.example"), ("Forwarded", "for=1.2.3.4"),
         ("X-Forwarded-For", "1.2.3.4"), ("X-Real-IP", "1.2.3.4"), ("Accept-Encoding", "gzip"),
         ("User-Agent", "probe/1"), ("X-OpenWebUI-User-Id", "ada"), ("X-Request-Id", "mine"),
         ("Connection", "keep-alive, X-Request-Id, Host"), ("Keep-Alive", "timeout=5"),
         ("Proxy-Authorization", "Basic x"), ("TE", "trailers"), ("Upgrade", "h2c"),
         ("X-HTTP-Method-Override", "DELETE"), ("X-Original-URL", "/api/delete"),
         ("HTTP2-Settings", "AAMAAABkAARAAAAAAAIAAAAA"), ("Accept", "text/html")]


@pytest.mark.parametrize("name", ["chat", "v1-chat-stream", "embed", "show", "v1-messages"])
def test_the_replica_sees_only_what_we_build(shared, name):
    corral, sim = shared
    path, body = ROUTES[name]
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    answer = corral.post(path, {"model": "tiny", **body},
                         headers=[n for n in NOISE if harness.PROTOCOL == "h1" or
                                  n[0] not in HOP_BY_HOP] +
                         [("traceparent", parent), ("tracestate", "a=1")])
    assert answer.status == 200, answer
    line, fields, sent = sim.last(path)
    assert line == "POST %s HTTP/1.1" % path
    assert set(fields) <= ALLOWED, fields
    assert all(len(values) == 1 for values in fields.values()), fields
    assert fields["host"] == ["localhost:%d" % sim.port]
    assert fields["content-length"] == [str(len(sent))]
    assert fields["x-request-id"] == [answer.field("X-Request-Id")]
    assert fields["traceparent"] == [parent] and fields["tracestate"] == ["a=1"]
    assert json.loads(sent)["model"] == body.get("model", "tiny")
    assert corral.access(answer.field("X-Request-Id"))["client_request_id"] == "mine"


def test_a_malformed_trace_is_not_passed_on(shared):
    corral, sim = shared
    for bad in ("00-xyz", "00-" + "0" * 32 + "-" + "1" * 16 + "-0\u00e9", "ff" * 27 + "f"):
        assert corral.post("/api/chat", chat(), headers=[("traceparent", bad)]).status == 200
        assert "traceparent" not in sim.last("/api/chat")[1]


def sent_for(shared, path, body):
    corral, sim = shared
    answer = corral.post(path, body)
    assert answer.status == 200, answer
    return json.loads(sim.last(path)[2])


def test_operators_fields_are_dropped_and_the_rest_kept(shared):
    raw = (b'{ "model" : "TINY:Latest", "keep_alive":-1,"messages":[{"role":"user","content":'
           b'"num_ctx keep_alive \\u00e9"}],"options":{"num_ctx":99,"temperature":0.50,'
           b'"num_gpu":1,"num_predict":3,"num_thread":7},"unknown":[1,2.0] }')
    corral, sim = shared
    answer = corral.ask(h1.post("/api/chat", raw, corral.key()))
    assert answer.status == 200, answer
    sent = sim.last("/api/chat")[2]
    assert b'"TINY:Latest"' in sent and b'"temperature":0.50' in sent and b"\\u00e9" in sent
    parsed = json.loads(sent)
    assert "keep_alive" not in parsed
    assert parsed["options"] == {"temperature": 0.5, "num_predict": 3}
    assert parsed["unknown"] == [1, 2.0]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
def test_usage_is_asked_for_and_taken_out_again(shared, path):
    body = {"model": "tiny", "messages": MESSAGES, "prompt": "x", "stream": True}
    sent = sent_for(shared, path, body)
    assert sent["stream_options"] == {"include_usage": True}
    corral, _ = shared
    answer = corral.post(path, body)
    assert b'"usage"' not in answer.body
    assert answer.events[-1] == "[DONE]"
    assert all(event["choices"] for event in answer.events[:-1])
    line = corral.access(answer.field("X-Request-Id"))
    assert line["output_tokens"] > 0 and line["prompt_tokens"] > 0
    asked = corral.post(path, {**body, "stream_options": {"include_usage": True}})
    assert asked.events[-2]["usage"]["completion_tokens"] == line["output_tokens"]


def test_max_completion_tokens_becomes_max_tokens(shared):
    sent = sent_for(shared, "/v1/chat/completions",
                    {"model": "tiny", "messages": MESSAGES, "max_completion_tokens": 3,
                     "max_tokens": 9})
    assert sent["max_tokens"] == 3 and "max_completion_tokens" not in sent


@pytest.mark.http1
def test_a_chunked_request_arrives_with_one_length(shared):
    corral, sim = shared
    body = json.dumps(chat()).encode()
    pieces = b"".join(b"%x;ext=1\r\n%s\r\n" % (len(body[i:i + 7]), body[i:i + 7])
                      for i in range(0, len(body), 7))
    head = h1.request("POST", "/api/chat", h1.bearer(corral.key(), ("Transfer-Encoding",
                                                                    "cHuNkEd")))
    answer = corral.ask(head + pieces + b"0\r\nHost: evil\r\nContent-Length: 3\r\n\r\n")
    assert answer.status == 200, answer
    _, fields, sent = sim.last("/api/chat")
    assert sent == body
    assert fields["content-length"] == [str(len(body))] and "transfer-encoding" not in fields


def test_the_rows_of_the_route_are_kept_by_the_connection(shared):
    """Keep-alive: many requests of different dialects on one connection, each answered in full."""
    corral, _ = shared
    with corral.client() as client:
        for name in ("chat", "v1-chat", "embed", "v1-messages-stream", "show"):
            path, body = ROUTES[name]
            client.send(h1.post(path, {"model": "tiny", **body}, corral.key()))
            answer = client.answer()
            assert (answer.status, answer.end) == (200, "whole"), answer
            assert answer.field("Connection") is None
