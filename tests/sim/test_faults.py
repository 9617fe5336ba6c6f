"""Every fault by name, once at least."""

import json
import time

import pytest

import cases
import compare
import wire
from client import (ask, chat, config, get, open_and_send, post, stats, together, wait_for)

exercised = set()


@pytest.fixture
def faulty(start):
    """faulty("cut", after_chunks=2) -> a fast sim whose next requests meet that fault."""
    def begin(name, *args, **fields):
        sim = start("--tokens-per-s", "200", *args)
        exercised.add(name)
        config(sim, faults=[dict(fields, name=name)])
        return sim

    return begin


V1_CHAT = {"model": "tiny", "stream": True, "max_tokens": 6,
           "messages": [{"role": "user", "content": "hello"}]}
V1_RESPONSES = {"model": "tiny", "stream": True, "max_output_tokens": 6, "input": "hello"}


def test_status(faulty):
    sim = faulty("status", status=429, header="Retry-After: 7\r\n")
    answer = post(sim, "/api/chat", chat())
    assert answer.status == 429 and b"\r\nRetry-After: 7\r\n" in answer.head
    assert answer.json == {"error": "simulated error 429"}
    assert post(sim, "/v1/chat/completions", V1_CHAT).json["error"]["type"] == "api_error"
    assert post(sim, "/v1/messages", V1_CHAT).json["type"] == "error"
    config(sim, faults=[{"name": "status", "status": 500, "text": "<html>"}])
    assert post(sim, "/api/chat", chat()).body == b"<html>"


def test_busy(faulty):
    sim = faulty("busy")
    assert post(sim, "/v1/messages", V1_CHAT).json["error"]["type"] == "overloaded_error"


def test_runner_death_native(faulty):
    sim = faulty("runner_death", after_chunks=2, count=1)
    answer = post(sim, "/api/chat", chat(tokens=9))
    assert answer.status == 200 and answer.end == "whole"
    assert len(answer.lines) == 3
    assert answer.lines[-1] == {
        "error": "an error was encountered while running the model: unexpected EOF"}
    assert len(get(sim, "/api/ps").json["models"]) == 1
    assert post(sim, "/api/chat", chat()).lines[-1]["done"] is True
    assert stats(sim)["loads"] == 2


def test_runner_death_in_the_other_dialects(faulty):
    sim = faulty("runner_death", after_chunks=2)
    answer = post(sim, "/v1/chat/completions", V1_CHAT)
    last = json.loads(answer.chunks[-1][6:])
    assert last["model"] == "" and last["choices"][0]["finish_reason"] is None
    assert b"[DONE]" not in answer.body and answer.end == "whole"
    answer = post(sim, "/v1/messages", V1_CHAT)
    assert b"content_block_delta" in answer.chunks[-1] and answer.end == "whole"
    answer = post(sim, "/v1/responses", V1_RESPONSES)
    assert b"output_text.delta" in answer.chunks[-1] and answer.end == "whole"
    answer = post(sim, "/api/chat", chat(stream=False))
    assert answer.status == 500
    assert answer.json["error"].endswith("unexpected EOF")
    answer = post(sim, "/v1/chat/completions", dict(V1_CHAT, stream=False))
    assert answer.json["error"]["type"] == "api_error"


@pytest.mark.parametrize("path", compare.deaths(), ids=lambda p: p.rsplit("/", 1)[1][6:-5])
def test_runner_death_as_recorded(faulty, path):
    # As many tokens as were recorded: /v1/responses numbers its events.
    tokens = wire.load(path)[1].count(b"event: response.output_text.delta") or 3
    sim = faulty("runner_death", after_chunks=tokens)
    assert compare.compare_death(path, sim.address) == ""


def test_runner_death_takes_all_streams_of_the_model(faulty):
    sim = faulty("runner_death", "--slots", "4", after_chunks=20, count=1)
    answers = together(4, lambda i: post(sim, "/api/chat", chat(tokens=400)))
    assert all("error" in a.lines[-1] for a in answers)
    assert stats(sim)["runner_deaths"] == 1


def test_error_line(faulty):
    sim = faulty("error_line", after_chunks=1, text="out of memory")
    assert post(sim, "/api/chat", chat()).lines[-1] == {"error": "out of memory"}


def test_no_last_event(faulty):
    sim = faulty("no_last_event", after_chunks=2)
    answer = post(sim, "/api/chat", chat())
    assert [line["done"] for line in answer.lines] == [False, False] and answer.end == "whole"


@pytest.mark.parametrize("rst", [False, True])
def test_cut(faulty, rst):
    sim = faulty("cut", after_chunks=2, rst=rst)
    answer = post(sim, "/api/chat", chat())
    assert answer.end == ("rst" if rst else "fin")
    assert len(answer.chunks) == 2 or rst
    assert stats(sim)["in_flight"] == 0


def test_cut_after_bytes(faulty):
    sim = faulty("cut", after_bytes=150)
    answer = post(sim, "/api/generate", dict(chat(), prompt="x"))
    assert len(b"".join(answer.rest.split(b"\r\n")[1::2])) == 150
    answer = post(sim, "/api/chat", chat(stream=False))
    assert answer.end == "fin" and len(answer.rest) == 150


def test_cut_before_head(faulty):
    answer = post(faulty("cut_before_head"), "/api/chat", chat())
    assert (answer.data, answer.end) == (b"", "fin")


def test_cut_mid_head(faulty):
    answer = post(faulty("cut_mid_head"), "/api/chat", chat())
    assert answer.data.startswith(b"HTTP/1.1 200") and b"\r\n\r\n" not in answer.data
    assert answer.end == "fin"


def test_cut_mid_chunk(faulty):
    answer = post(faulty("cut_mid_chunk", after_chunks=1), "/api/chat", chat())
    assert len(answer.chunks) == 1 and answer.end == "fin" and not answer.data.endswith(b"\r\n")


def test_hang_before_head(faulty):
    sim = faulty("hang_before_head", count=2)
    assert post(sim, "/api/chat", chat(), timeout=0.4).end == "timeout"
    assert post(sim, "/api/chat", chat(stream=False), timeout=0.4).end == "timeout"
    wait_for(lambda: stats(sim)["aborted"] == 2)
    config(sim, faults=[{"name": "hang_before_head", "ms": 300}])
    for stream in (True, False):
        begin = time.monotonic()
        assert post(sim, "/api/chat", chat(stream=stream)).status == 200
        assert time.monotonic() - begin > 0.3
    config(sim, faults=[{"name": "hang_before_head", "route": "/api/tags"}])
    assert get(sim, "/api/tags", timeout=0.2).end == "timeout"


def test_hang_mid_stream(faulty):
    answer = post(faulty("hang_mid_stream", after_chunks=2), "/api/chat", chat(), timeout=0.4)
    assert answer.end == "timeout" and len(answer.chunks) == 2


def test_silence(faulty):
    begin = time.monotonic()
    answer = post(faulty("silence", after_chunks=2, ms=400), "/api/chat", chat())
    assert answer.lines[-1]["done"] and time.monotonic() - begin > 0.4


def test_early_abort_leak(faulty):
    sim = faulty("early_abort_leak", "--prefill-ms", "400")
    request = cases.post("/api/chat", json.dumps(chat()))
    before = stats(sim)["connections_open"]
    open_and_send(sim, request).close()
    wait_for(lambda: stats(sim)["leaked_descriptors"] == 1)
    late = open_and_send(sim, request)
    time.sleep(0.2)  # past the window of 150 ms
    late.close()
    wait_for(lambda: stats(sim)["aborted"] == 2)
    assert stats(sim)["leaked_descriptors"] == 1
    assert stats(sim)["connections_open"] == before
    assert post(sim, "/api/chat", chat()).status == 200


def test_slot_wedge(faulty):
    sim = faulty("slot_wedge", count=1)
    with open_and_send(sim, cases.post("/api/chat", json.dumps(chat(tokens=1000)))) as sock:
        sock.recv(1)
    wait_for(lambda: stats(sim)["wedged_slots"] == 1)
    assert post(sim, "/api/chat", chat(), timeout=0.3).end == "timeout"
    assert len(get(sim, "/api/ps").json["models"]) == 1
    wait_for(lambda: stats(sim)["aborted"] == 2)
    post(sim, "/sim/unload", {})
    assert post(sim, "/api/chat", chat()).status == 200


def test_garbage_status(faulty):
    sim = faulty("garbage_status", text="SSH-2.0-OpenSSH_9.2")
    assert post(sim, "/api/chat", chat(), timeout=0.5).data.startswith(b"SSH-2.0")


def test_cl_and_te(faulty):
    head = post(faulty("cl_and_te"), "/api/chat", chat()).head
    assert b"Content-Length: 5\r\n" in head and b"Transfer-Encoding: chunked\r\n" in head


def test_bad_chunk(faulty):
    sim = faulty("bad_chunk", after_chunks=1)
    assert b"\r\nzz\r\n" in post(sim, "/api/chat", chat(), timeout=0.5).data


def test_huge_head(faulty):
    assert len(post(faulty("huge_head", n=200000), "/api/chat", chat()).head) > 200000


def test_flood_1xx(faulty):
    answer = post(faulty("flood_1xx", n=500), "/api/chat", chat())
    assert answer.data.count(b"HTTP/1.1 100 Continue\r\n\r\n") == 250
    assert answer.data.count(b"HTTP/1.1 103 ") == 250
    assert answer.data.count(b"HTTP/1.1 200 OK") == 1


def test_switch_101(faulty):
    assert post(faulty("switch_101"), "/api/chat", chat(), timeout=0.3).status == 101


def test_redirect(faulty):
    answer = post(faulty("redirect", text="http://elsewhere.example/"), "/api/chat", chat())
    assert answer.status == 302 and b"Location: http://elsewhere.example/\r\n" in answer.head


def test_gzip_header(faulty):
    assert b"Content-Encoding: gzip\r\n" in post(faulty("gzip_header"), "/api/chat", chat()).head


def test_extra_bytes(faulty):
    sim = faulty("extra_bytes", n=10)
    answer = post(sim, "/api/chat", chat(stream=False), enough=lambda data: data.endswith(b"X" * 10))
    length = int(answer.head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    assert len(answer.rest) == length + 10


def test_idle_bytes(faulty):
    sim = faulty("idle_bytes", ms=30)
    with open_and_send(sim, cases.post("/api/chat", json.dumps(chat()))) as sock:
        data = b""
        while b"408 Request Timeout" not in data:
            data += sock.recv(65536)
    assert b"0\r\n\r\nHTTP/1.1 408" in data


def test_extra_headers(faulty):
    head = post(faulty("extra_headers"), "/api/chat", chat()).head
    assert b"Set-Cookie: " in head and b"Server: " in head


def test_zero_counts(faulty):
    sim = faulty("zero_counts")
    last = post(sim, "/api/chat", chat()).lines[-1]
    assert last["done"] and not {"prompt_eval_count", "eval_count", "eval_duration"} & set(last)
    body = dict(V1_CHAT, stream=False)
    assert post(sim, "/v1/chat/completions", body).json["usage"]["total_tokens"] == 0


def test_overrun(faulty):
    last = post(faulty("overrun", n=7), "/api/chat", chat()).lines[-1]
    assert last["eval_count"] == chat()["options"]["num_predict"] + 7


def test_giant_line(faulty):
    answer = post(faulty("giant_line", n=500000, after_chunks=1), "/api/chat", chat())
    assert len(answer.chunks[1]) > 500000 and len(answer.lines) == 5


@pytest.mark.parametrize("in_chunk, chunks", [(False, 5), (True, 2)])
def test_batch(faulty, in_chunk, chunks):
    answer = post(faulty("batch", n=3, in_chunk=in_chunk), "/api/chat", chat())
    assert len(answer.chunks) == chunks and len(answer.lines) == 5


def test_dribble(faulty):
    sim = faulty("dribble", ms=1)
    with open_and_send(sim, cases.post("/api/generate", '{"model":"tiny"}')) as sock:
        pieces = []
        while not b"".join(pieces).endswith(b'"done_reason":"load"}'):
            pieces.append(sock.recv(65536))
    assert len(pieces) > 50


def test_dribble_a_stream(faulty):
    assert post(faulty("dribble"), "/api/chat", chat(tokens=50)).lines[-1]["eval_count"] == 50


def test_close_after(faulty):
    sim = faulty("close_after")
    with open_and_send(sim, cases.post("/api/chat", json.dumps(chat()))) as sock:
        data = b""
        while piece := sock.recv(65536):
            data += piece
    assert data.endswith(b"0\r\n\r\n") and b"Connection: close" not in data


def test_blank_line(faulty):
    assert b"\n\n" in post(faulty("blank_line", after_chunks=1), "/api/chat", chat()).body


def test_slow_accept(start):
    sim = start("--accept-delay-ms", "200")
    begin = time.monotonic()
    assert get(sim, "/api/version").status == 200
    assert time.monotonic() - begin > 0.2


def test_count_skip_route_model_and_probability(start):
    sim = start("--tokens-per-s", "0", "--models", "tiny:1B,other:1B")

    def statuses(n, path="/api/chat", model="tiny"):
        return [post(sim, path, chat(model)).status for _ in range(n)]

    config(sim, faults=[{"name": "status", "status": 500, "count": 2, "skip": 1}])
    assert statuses(5) == [200, 500, 500, 200, 200]
    config(sim, faults=[{"name": "status", "status": 500, "model": "other"}])
    assert statuses(1) == [200] and statuses(1, model="other") == [500]
    config(sim, faults=[{"name": "status", "status": 500, "route": "/v1/*"}])
    assert statuses(1) == [200] and statuses(1, "/v1/chat/completions") == [500]
    config(sim, faults=[{"name": "status", "status": 500, "probability": 0.5}], reset_stats=True)
    assert 20 < statuses(100).count(500) < 80
    assert 20 < stats(sim)["faults_fired"]["status"] < 80
    config(sim, faults=[])
    assert statuses(1) == [200]


def test_two_faults_at_once(faulty):
    sim = faulty("silence", after_chunks=1, ms=200)
    config(sim, add_faults=[{"name": "cut", "after_chunks": 2}])
    begin = time.monotonic()
    assert post(sim, "/api/chat", chat()).end == "fin"
    assert time.monotonic() - begin > 0.2


def test_no_fault_was_forgotten(start):
    if len(exercised) < 5:
        pytest.skip("runs after the others only")
    assert exercised == set(get(start(), "/sim/faults").json)
