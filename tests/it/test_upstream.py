"""Replicas that fail: what the client sees, and what is tried again (facts/attacks.md 4.5)."""

import json
import time

import pytest

import h1
import recorder
from harness import chat, wait_for

DIALECTS = {"/api/chat": "native", "/api/generate": "native", "/v1/chat/completions": "openai",
            "/v1/completions": "openai", "/v1/messages": "anthropic", "/v1/responses": "openai"}


def streaming(path, tokens=1000):
    return {**chat(tokens=tokens), "prompt": "x", "input": "x", "max_tokens": tokens,
            "max_output_tokens": tokens, "stream": True}


def error_in(answer, path):
    """The error object at the end of a cut stream; a torn event may stand before it."""
    if DIALECTS[path] == "native":
        last = json.loads(answer.body.splitlines()[-1])
        assert set(last) == {"error"}, last
        return last["error"]
    last = json.loads(answer.body.rstrip().splitlines()[-1].removeprefix(b"data: "))
    assert "error" in last, last
    if path == "/v1/messages":
        assert last["type"] == "error" and last["request_id"] == answer.field("X-Request-Id")
    return last["error"]["message"]



@pytest.mark.parametrize("path", DIALECTS)
def test_a_killed_server_is_a_visible_cut(stable, path):
    sim = stable.sim("--tokens-per-s", "50").warm()
    corral = stable.corral(sim, queue={"replica_grace_s": 0})
    with corral.client() as client:
        client.send(h1.post(path, streaming(path), corral.key()))
        head = client.until(b"\r\n\r\n")
        wait_for(lambda: sim.stat("tokens_sent") > 5, 5, "tokens")
        sim.kill()
        began = time.monotonic()
        client.data = head + client.data
        answer = client.answer(timeout=3)
        assert answer.end == "fin" and time.monotonic() - began < 1.0, answer
    assert len(error_in(answer, path)) > 10
    line = corral.access(answer.field("X-Request-Id"))
    assert (line["status"], line["reason"]) == (200, "cut_in_stream")
    assert corral.metrics().sum("corral_truncated_streams_total", dialect=DIALECTS[path]) == 1
    corral.wait_idle()
    down = wait_for(lambda: (lambda a: a if a.status == 503 else None)
                    (corral.post(path, streaming(path))), 10, "the replica's absence")
    assert down.field("Retry-After") and down.end == "whole"


CUTS = {
    "cut": {"name": "cut", "after_chunks": 3},
    "rst": {"name": "cut", "after_chunks": 3, "rst": True},
    "mid-chunk": {"name": "cut_mid_chunk", "after_chunks": 3},
    "bad-chunk": {"name": "bad_chunk", "after_chunks": 3},
    "runner-death": {"name": "runner_death", "after_chunks": 3},
    "no-last-event": {"name": "no_last_event", "after_chunks": 3},
    "error-line": {"name": "error_line", "after_chunks": 3},
}


@pytest.mark.parametrize("path", DIALECTS)
@pytest.mark.parametrize("name", CUTS)
def test_every_broken_stream_looks_broken(stable, name, path):
    """Also those that Ollama itself ends cleanly."""
    sim = stable.sim("--tokens-per-s", "200").warm()
    sim.config(faults=[dict(CUTS[name], count=1)])
    corral = stable.corral(sim)
    answer = corral.post(path, streaming(path, 50))
    assert answer.status == 200 and answer.end in ("fin", "rst"), answer
    assert answer.end == "fin", "an orderly cut, so that the error object arrives"
    text = answer.body.decode()
    assert "error" in text and "[DONE]" not in text and '"done":true' not in text
    error_in(answer, path)
    if path in ("/v1/chat/completions", "/v1/completions"):
        assert answer.events, "held events come whole or not at all"
    line = corral.access(answer.field("X-Request-Id"))
    assert line["reason"] in ("cut_in_stream", "ended_without_last_event", "error_in_stream")
    corral.wait_idle()
    again = corral.post(path, streaming(path, 3), timeout=15)
    assert (again.status, again.end) == (200, "whole"), again


NONSENSE = {
    "garbage": {"name": "garbage_status"},
    "cl-and-te": {"name": "cl_and_te"},
    "huge-head": {"name": "huge_head", "n": 100000},
    "flood-1xx": {"name": "flood_1xx", "n": 1000},
    "switch-101": {"name": "switch_101"},
    "redirect": {"name": "redirect", "text": "http://127.0.0.1:1/x"},
    "gzip": {"name": "gzip_header"},
    "cut-before-head": {"name": "cut_before_head"},
    "rst-before-head": {"name": "cut_before_head", "rst": True},
    "cut-mid-head": {"name": "cut_mid_head"},
}


@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions", "/v1/messages"])
@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_is_502(stable, name, path):
    sim = stable.sim("--tokens-per-s", "0").warm()
    sim.config(faults=[dict(NONSENSE[name], count=1)])
    corral = stable.corral(sim)
    with corral.client() as client:
        client.send(h1.post(path, streaming(path, 3), corral.key()))
        answer = client.answer(timeout=5)
        assert (answer.status, answer.end) == (502, "whole"), answer
        assert "error" in answer.json and answer.field("Location") is None
        line = corral.access(answer.field("X-Request-Id"))
        assert line["reason"] in ("protocol_error", "closed_early"), line
        corral.wait_idle()
        client.send(h1.post(path, streaming(path, 3), corral.key()))
        after = client.answer()
        assert (after.status, after.end) == (200, "whole"), "the client's connection lives on"
    assert sim.stats()["requests"]["POST " + path] == 2, "no request was sent twice"


def test_headers_of_the_server_do_not_pass(stable):
    sim = stable.sim("--tokens-per-s", "0").warm()
    sim.fault("extra_headers")
    corral = stable.corral(sim)
    answer = corral.post("/api/chat", chat())
    assert answer.status == 200
    names = {name.lower() for name, _ in answer.fields}
    assert names <= {"date", "content-type", "cache-control", "x-request-id", "transfer-encoding",
                     "x-accel-buffering"}, names


@pytest.mark.parametrize("stream", [True, False])
def test_no_first_byte_is_504(stable, stream):
    sim = stable.sim("--tokens-per-s", "0").warm()
    corral = stable.corral(sim, timeouts={"first_byte_s": 1})
    sim.fault("hang_before_head", count=1)
    began = time.monotonic()
    answer = corral.post("/api/chat", chat(stream=stream))
    assert answer.status == 504 and 0.9 < time.monotonic() - began < 3, answer
    assert corral.access(answer.field("X-Request-Id"))["reason"] == "first_byte_timeout"
    assert corral.metrics().sum("corral_upstream_failures_total", reason="first_byte_timeout") == 1
    wait_for(lambda: sim.stat("aborted") == 1, 2, "the abort")
    corral.wait_idle()
    assert corral.post("/api/chat", chat()).status == 200


def test_a_load_has_its_own_time(stable):
    sim = stable.sim("--tokens-per-s", "0", "--load-ms", "1800")
    corral = stable.corral(sim, timeouts={"first_byte_s": 1, "load_s": 1})
    answer = corral.post("/api/chat", chat())
    assert answer.status == 504, answer
    assert corral.access(answer.field("X-Request-Id"))["reason"] == "load_timeout"
    sim.config(load_ms=1500).ask(h1.post("/sim/unload", {}))
    corral.reload({**corral.config, "timeouts": {"first_byte_s": 1, "load_s": 10}})
    wait_for(lambda: not sim.ask(h1.get("/api/ps")).json["models"], 5, "an empty replica")
    wait_for(lambda: not corral.get("/api/ps").json["models"], 5, "the poller's look at it")
    assert corral.post("/api/chat", chat()).status == 200


@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions"])
def test_silence_in_mid_stream_is_a_cut(stable, path):
    sim = stable.sim("--tokens-per-s", "100").warm()
    corral = stable.corral(sim, timeouts={"stream_silence_s": 1})
    sim.fault("hang_mid_stream", after_chunks=3, count=1)
    began = time.monotonic()
    answer = corral.post(path, streaming(path, 50))
    assert answer.end == "fin" and 0.9 < time.monotonic() - began < 3, answer
    error_in(answer, path)
    assert corral.access(answer.field("X-Request-Id"))["reason"] == "stream_silence"
    wait_for(lambda: sim.stat("aborted") == 1, 2, "the abort")
    corral.wait_idle()


@pytest.mark.parametrize("fault", [{"name": "extra_bytes", "n": 50}, {"name": "idle_bytes",
                                                                      "ms": 20},
                                   {"name": "close_after"}])
def test_a_dirty_connection_is_not_used_again(stable, fault):
    sim = stable.sim("--tokens-per-s", "0").warm()
    corral = stable.corral(sim, workers=1)
    sim.config(faults=[dict(fault, count=5)])
    for _ in range(8):
        answer = corral.post("/api/chat", chat(stream=False))
        assert answer.status == 200 and answer.json["done"], answer
        time.sleep(0.05)


def test_odd_but_right_streams_pass(stable):
    sim = stable.sim("--tokens-per-s", "0").warm()
    corral = stable.corral(sim)
    for fault in ({"name": "batch", "n": 4, "in_chunk": True}, {"name": "dribble", "ms": 0},
                  {"name": "giant_line", "after_chunks": 2, "n": 200000},
                  {"name": "zero_counts"}):
        for path in DIALECTS:
            sim.config(faults=[dict(fault, count=1)])
            answer = corral.post(path, streaming(path, 6))
            assert (answer.status, answer.end) == (200, "whole"), (fault, path, answer)
            if fault["name"] == "giant_line":
                assert len(answer.body) > 200000


# ---- several replicas ----


def test_a_second_try_that_finds_nobody_has_not_waited(stable):
    """The first grant is void: no time since a later start may be told (it would be below nothing)."""
    one, two = (stable.sim("--tokens-per-s", "0").warm() for _ in range(2))
    corral = stable.corral(one, two, queue={"replica_grace_s": 0})
    two.kill()
    wait_for(lambda: corral.logged("replica.down"), 10, "one replica gone")
    one.kill()
    answer = corral.post("/api/chat", chat())
    assert answer.status in (502, 503), answer
    line = corral.access(answer.field("X-Request-Id"))
    assert line.get("queue_s", 0) < 60, line


def test_a_refused_connection_is_tried_elsewhere_once(stable):
    one, two = (stable.sim("--tokens-per-s", "0").warm() for _ in range(2))
    corral = stable.corral(one, two, slots=4)
    for _ in range(4):
        assert corral.post("/api/chat", chat()).status == 200
    one.kill()
    seen = [corral.post("/api/chat", chat()) for _ in range(10)]
    assert [a.status for a in seen] == [200] * 10, seen
    assert two.stats()["requests"]["POST /api/chat"] >= 10
    for answer in seen:
        assert corral.access(answer.field("X-Request-Id"))["replica"] == two.replica
    assert corral.metrics().sum("corral_upstream_retries_total") <= 10
    corral.wait_idle()


def test_nothing_is_sent_twice(stable):
    """A request that reached a replica is never tried on another one."""
    sims = [stable.sim("--tokens-per-s", "0").warm() for _ in range(2)]
    corral = stable.corral(*sims)
    for sim in sims:
        sim.fault("cut_before_head", count=1)
        sim.config(reset_stats=True)
    answers = [corral.post("/api/chat", chat()) for _ in range(6)]
    assert sorted(a.status for a in answers)[:4] == [200] * 4
    sent = sum(sim.stats()["requests"].get("POST /api/chat", 0) for sim in sims)
    assert sent == 6 and corral.metrics().sum("corral_upstream_retries_total") == 0


def test_a_page_of_html_is_no_answer(stable):
    """Something before Ollama speaks: its 200 is a 502 for every client, in the dialect."""
    replica = recorder.Recorder()
    corral = stable.corral(replica)
    for kind in (b"text/html", b"text/plain", b"application/jsonx", b"", b"application/octet-stream"):
        replica.reply = recorder.answer(b"<html>Please log in</html>", kind=kind)
        for path in DIALECTS:
            answer = corral.post(path, chat(max_tokens=3, prompt="x", input="x"))
            assert answer.status == 502 and b"html" not in answer.body, (kind, path, answer)
            assert ("message" in answer.json["error"]) == (DIALECTS[path] != "native")
        assert corral.post("/api/show", {"model": "tiny"}).status == 502, kind
    assert corral.metrics().sum("corral_upstream_failures_total", reason="protocol_error") > 0
    wrong = {"/api/chat": b"text/event-stream", "/v1/chat/completions": b"application/x-ndjson",
             "/v1/messages": b"application/x-ndjson", "/api/show": b"application/x-ndjson"}
    for path, kind in wrong.items():
        replica.reply = recorder.answer(b"{}", kind=kind)
        assert corral.post(path, chat(max_tokens=3)).status == 502, (path, kind)
    for kind in (b"application/json", b"application/json; charset=utf-8", b"Application/JSON"):
        replica.reply = recorder.answer(json.dumps(recorder.DONE).encode(), kind=kind)
        assert corral.post("/api/chat", chat()).status == 200, kind
    replica.close()


def test_the_version_is_the_least_of_those_that_can_be_reached(stable, monkeypatch):
    """Open WebUI and others decide by it what they may ask for; with nobody there it is no lie."""
    sims = [stable.sim("--tokens-per-s", "0", "--slots", "4").warm() for _ in range(3)]
    for sim, version in zip(sims, ("0.24.0", "0.9.6", "0.24.0-rc1")):
        sim.config(version_string=version)
    corral = stable.corral(*sims, queue={"replica_grace_s": 0})

    def told():
        answer = corral.get("/api/version")
        return answer.json["version"] if answer.status == 200 else answer.status
    assert told() == "0.9.6"
    sims[1].kill()
    wait_for(lambda: told() == "0.24.0-rc1", 8, "the version without the oldest")
    sims[2].kill()
    wait_for(lambda: told() == "0.24.0", 8, "the version of the last")
    sims[0].kill()
    wait_for(lambda: told() == 503, 8, "no version")
    answer = corral.get("/api/version")
    assert "No model server" in answer.json["error"] and answer.field("Retry-After")
    assert corral.get("/").status == 200
    stable.sim("--tokens-per-s", "0", port=sims[0].port).config(version_string="0.30.1")
    wait_for(lambda: told() == "0.30.1", 8, "the version after an update")


def test_a_replica_that_tells_no_version_serves(stable, monkeypatch):
    monkeypatch.setattr(recorder, "VERSION", "0.24.0\r\nx: y")
    replica = recorder.Recorder()
    corral = stable.corral(replica)
    assert corral.get("/api/version").status == 502
    assert corral.post("/api/chat", chat()).status == 200
    replica.close()


def test_readiness_is_corrals_own_unless_it_is_told_otherwise(stable):
    """All gateways out of the Service would keep the sentence from every client."""
    sim = stable.sim("--tokens-per-s", "0").warm()
    corral = stable.corral(sim, health={"ready_without_replicas": True}, queue={"replica_grace_s": 0})
    strict = stable.corral(sim, queue={"replica_grace_s": 0})

    def ready(one):
        answer = h1.ask(one.health, h1.get("/readyz"))
        return answer.status, answer.body.decode().splitlines()
    assert ready(corral) == ready(strict) == (200, ["ok", "replicas: 1 of 1 reachable"])
    sim.kill()
    wait_for(lambda: ready(strict) == (503, ["not ready", "replicas: 0 of 1 reachable"]), 5, "not ready")
    wait_for(lambda: corral.post("/api/chat", chat()).status == 503, 5, "the loss")
    wait_for(lambda: ready(corral) == (200, ["ok", "replicas: 0 of 1 reachable"]), 8, "ready without replicas")
    begun = stable.corral(sim, health={"ready_without_replicas": True}, wait=False)
    wait_for(lambda: "listening" in begun.text(), 5, "the start")
    first = wait_for(lambda: answered(begun), 5, "the health port")
    assert first.status == 503, "in the first seconds replicas are looked for"
    wait_for(lambda: ready(begun)[0] == 200, 8, "ready all the same")
    assert ready(strict)[0] == 503, "also when it has looked for long"


def answered(corral):
    try:
        return h1.ask(corral.health, h1.get("/readyz"))
    except OSError:
        return None


def test_all_replicas_down(stable):
    sims = [stable.sim("--tokens-per-s", "0").warm() for _ in range(2)]
    corral = stable.corral(*sims, queue={"replica_grace_s": 0})
    for sim in sims:
        sim.kill()
    wait_for(lambda: h1.ask(corral.health, h1.get("/readyz")).status == 503, 5, "not ready")
    for path in ("/api/chat", "/v1/chat/completions", "/v1/messages", "/api/embed", "/api/show"):
        began = time.monotonic()
        answer = corral.post(path, chat(max_tokens=3, input="x"))
        assert answer.status == 503 and answer.field("Retry-After"), answer
        assert time.monotonic() - began < 1
        assert json.loads(answer.body)["error"]
    for path in ("/api/tags", "/v1/models", "/api/version"):
        assert corral.get(path).status == 503
    assert h1.ask(corral.health, h1.get("/healthz")).status == 200
    again = stable.sim("--tokens-per-s", "0", port=sims[0].port)
    wait_for(lambda: corral.post("/api/chat", chat()).status == 200, 10, "the return")
    assert again.posts() >= 1


def test_waiters_are_told_when_the_last_replica_dies(stable):
    sim = stable.sim("--tokens-per-s", "20").warm()
    corral = stable.corral(sim, queue={"replica_grace_s": 0})
    with corral.open_chat(tokens=500) as running:
        running.until(b'"done":false')
        with corral.open_chat() as waiting:
            wait_for(lambda: corral.waiting() == 1, 5, "a waiter")
            sim.kill()
            answer = waiting.answer(timeout=8)
            assert answer.status in (502, 503), answer
    corral.wait_idle()


def test_an_unknown_model_is_404_everywhere(stable):
    sims = [stable.sim() for _ in range(2)]
    corral = stable.corral(*sims)
    for path in list(DIALECTS) + ["/api/embed", "/api/show"]:
        answer = corral.post(path, {**streaming(path), "model": "nope"})
        assert answer.status == 404, (path, answer)
        assert "nope" in answer.body.decode()
    assert all(sim.posts() == 0 for sim in sims)
