"""What ollama-sim does beyond single answers: slots, loads, unloads, aborts, counts, speed."""

import json
import socket
import subprocess
import time

import cases
from client import (ask, chat, config, get, open_and_send, post, stats, together, wait_for)


def test_slots_are_never_exceeded(start):
    sim = start("--slots", "2", "--tokens-per-s", "100", "--tokens", "5")
    answers = together(10, lambda i: post(sim, "/api/chat", chat()))
    assert [a.status for a in answers] == [200] * 10
    seen = stats(sim)
    assert seen["models"]["tiny:latest"]["max_running"] == 2
    assert seen["max_in_flight"] == 2
    assert seen["served"] >= 10


def test_an_embedding_model_runs_one_at_a_time(start):
    sim = start("--slots", "4", "--prefill-ms", "20")
    answers = together(4, lambda i: post(sim, "/api/embed", {"model": "embed", "input": "x"}))
    assert [len(a.json["embeddings"][0]) for a in answers] == [384] * 4
    assert stats(sim)["models"]["embed:latest"]["max_running"] == 1


def test_loads_are_serial_and_take_their_time(start):
    sim = start("--models", "a:1B,b:1B,c:1B", "--load-ms", "120", "--tokens-per-s", "0")
    begin = time.monotonic()
    answers = together(3, lambda i: post(sim, "/api/chat", chat("abc"[i])))
    assert [a.status for a in answers] == [200] * 3
    assert time.monotonic() - begin >= 0.36
    seen = stats(sim)
    assert (seen["loads"], seen["max_loading"]) == (3, 1)


def test_a_loading_model_is_listed_before_it_is_ready(start):
    sim = start("--load-ms", "400")
    with open_and_send(sim, cases.post("/api/generate", '{"model":"tiny"}')):
        assert get(sim, "/api/ps").json == {"models": []}
        wait_for(lambda: get(sim, "/api/ps").json["models"])
        assert stats(sim)["loads"] == 0


def test_changed_runner_options_reload_after_running_streams_end(start):
    sim = start("--tokens-per-s", "50")
    slow = open_and_send(sim, cases.post("/api/chat", json.dumps(chat(tokens=20))))
    wait_for(lambda: stats(sim)["in_flight"] == 1)
    answer = post(sim, "/api/chat", chat(options={"num_predict": 2, "num_ctx": 1024}))
    assert answer.status == 200
    seen = stats(sim)
    assert (seen["loads"], seen["reloads"], seen["unloads"]) == (2, 1, 1)
    assert seen["aborted"] == 0
    assert get(sim, "/api/ps").json["models"][0]["context_length"] == 1024
    slow.close()
    assert post(sim, "/api/chat", chat(options={"num_predict": 2, "num_ctx": 1024})).status == 200
    assert stats(sim)["loads"] == 2


def test_max_loaded_evicts_an_idle_model(start):
    sim = start("--models", "a:1B,b:1B,c:1B", "--max-loaded", "2", "--tokens-per-s", "0")
    for name in "abc":
        assert post(sim, "/api/chat", chat(name)).status == 200
    assert [m["name"] for m in get(sim, "/api/ps").json["models"]] == ["c:latest", "b:latest"]


def test_queue_full_only_while_the_model_is_not_loaded(start):
    sim = start("--slots", "2", "--load-ms", "300", "--max-queue", "1", "--tokens-per-s", "0")
    # Before it is listed, a loading model takes no joiners: one works, one waits, six are refused.
    answers = together(8, lambda i: post(sim, "/api/chat", chat()))
    assert sorted(a.status for a in answers) == [200] * 2 + [503] * 6
    busy = next(a for a in answers if a.status == 503)
    assert busy.json == {"error": "server busy, please try again.  maximum pending requests exceeded"}
    assert b"Retry-After" not in busy.head
    answers = together(8, lambda i: post(sim, "/api/chat", chat()))
    assert [a.status for a in answers] == [200] * 8
    assert stats(sim)["busy"] == 6


def test_keep_alive_zero_unloads_and_lets_streams_end(start):
    sim = start("--tokens-per-s", "50")
    with open_and_send(sim, cases.post("/api/chat", json.dumps(chat(tokens=10)))) as slow:
        wait_for(lambda: stats(sim)["in_flight"] == 1)
        answer = post(sim, "/api/generate", {"model": "tiny", "keep_alive": 0})
        assert answer.json["done_reason"] == "unload"
        assert len(get(sim, "/api/ps").json["models"]) == 1
        data = b""
        while not data.endswith(b"0\r\n\r\n"):
            data += slow.recv(65536)
        assert b'"done":true' in data
    wait_for(lambda: get(sim, "/api/ps").json == {"models": []})
    assert stats(sim)["unloads"] == 1


def test_keep_alive_runs_out(start):
    sim = start()
    assert post(sim, "/api/generate", {"model": "tiny", "keep_alive": "150ms"}).status == 200
    assert len(get(sim, "/api/ps").json["models"]) == 1
    wait_for(lambda: get(sim, "/api/ps").json == {"models": []})
    assert post(sim, "/api/generate", {"model": "tiny", "keep_alive": -1}).status == 200
    assert get(sim, "/api/ps").json["models"][0]["expires_at"].startswith("23")


def test_aborts_are_counted_with_phase_and_give_the_slot_back(start):
    sim = start("--tokens-per-s", "50", "--prefill-ms", "300")
    request = cases.post("/api/chat", json.dumps(chat(tokens=1000)))
    running = open_and_send(sim, request)
    wait_for(lambda: stats(sim)["in_flight"] == 1)
    waiting = open_and_send(sim, request)
    wait_for(lambda: stats(sim)["models"]["tiny:latest"]["waiting"] == 1)
    waiting.close()
    wait_for(lambda: stats(sim)["aborted"] == 1)
    running.recv(1)
    running.shutdown(socket.SHUT_WR)  # a half-close is a cancel to Ollama
    wait_for(lambda: stats(sim)["aborted"] == 2)
    running.close()
    notes = stats(sim)["aborts"]
    assert [n["phase"] for n in notes] == ["slot", "stream"]
    assert notes[1]["after_ms"] >= 300
    assert stats(sim)["in_flight"] == 0
    assert stats(sim)["leaked_descriptors"] == 0


def test_an_abort_during_the_load_aborts_the_load(start):
    sim = start("--load-ms", "60000")
    with open_and_send(sim, cases.post("/api/chat", json.dumps(chat()))):
        wait_for(lambda: stats(sim)["models"]["tiny:latest"]["state"] == "loading")
    wait_for(lambda: stats(sim)["loads_aborted"] == 1)
    assert stats(sim)["aborts"][0]["phase"] == "loading"


def test_an_abort_in_the_queue_frees_its_place(start):
    sim = start("--load-ms", "60000", "--max-queue", "1", "--models", "tiny:1B,other:1B")
    with open_and_send(sim, cases.post("/api/chat", json.dumps(chat()))):
        wait_for(lambda: stats(sim)["models"]["tiny:latest"]["state"] == "loading")
        with open_and_send(sim, cases.post("/api/chat", json.dumps(chat("other")))):
            wait_for(lambda: stats(sim)["pending"] == 1)
            assert post(sim, "/api/chat", chat("other")).status == 503
        wait_for(lambda: stats(sim)["pending"] == 0)


def test_counts_and_reasons(start):
    sim = start("--tokens-per-s", "0", "--tokens", "7")
    last = post(sim, "/api/chat", {"model": "tiny", "messages": [{"role": "user", "content": "x" * 400}]})
    assert last.lines[-1]["done_reason"] == "stop"
    assert last.lines[-1]["eval_count"] == 7 == len(last.lines) - 1
    assert last.lines[-1]["prompt_eval_count"] == 108
    assert post(sim, "/api/chat", chat(tokens=3)).lines[-1]["done_reason"] == "length"
    long = chat()
    long["messages"][0]["content"] = "x" * 100000
    assert post(sim, "/api/chat", long).lines[-1]["prompt_eval_count"] == 2048
    config(sim, stop_tokens=2)
    assert post(sim, "/api/chat", chat(tokens=9)).lines[-1]["done_reason"] == "stop"
    body = {"model": "tiny", "messages": [{"role": "user", "content": "x"}], "max_tokens": 9,
            "max_completion_tokens": 1}
    config(sim, stop_tokens=0)
    answer = post(sim, "/v1/chat/completions", body)
    assert answer.json["usage"]["completion_tokens"] == 9


def test_text_is_the_same_every_time_and_of_the_size_asked(start):
    sim = start("--tokens-per-s", "0", "--chunk-bytes", "100")
    first, second = (post(sim, "/api/generate", {"model": "tiny", "prompt": "x"}) for _ in range(2))
    texts = [[line["response"] for line in a.lines] for a in (first, second)]
    assert texts[0] == texts[1]
    assert {len(t) for t in texts[0][:-1]} == {100}


def test_speed_and_prefill(start):
    sim = start("--tokens-per-s", "50", "--prefill-ms", "200")
    begin = time.monotonic()
    post(sim, "/api/chat", chat(tokens=20))
    took = time.monotonic() - begin
    assert 0.55 < took < 1.5
    begin = time.monotonic()
    post(sim, "/api/chat", chat(tokens=20, stream=False))
    assert 0.55 < time.monotonic() - begin < 1.5


def test_pipelined_requests_are_answered_in_order(start):
    sim = start("--tokens-per-s", "0")
    both = cases.get("/api/version") + cases.post("/api/chat", json.dumps(chat())) + cases.get("/nope")
    answer = ask(sim, both, enough=lambda data: b"404 page not found" in data)
    assert answer.data.count(b"HTTP/1.1 ") == 3
    places = [answer.data.index(part) for part in (b"version", b"done_reason", b"404 page")]
    assert places == sorted(places)


def test_a_path_beside_the_port(start, tmp_path):
    path = tmp_path / "ollama.sock"
    path.touch()  # as an earlier one leaves it
    sim = start("--path", str(path))
    port, sim.address = sim.address, str(path)
    assert len(post(sim, "/api/chat", chat(tokens=4)).lines) == 5
    sim.address = port
    assert stats(sim)["served"] == 1


def test_a_path_does_not_wait_with_the_port(start, tmp_path):
    path = tmp_path / "ollama.sock"
    sim = start("--path", str(path), "--accept-delay-ms", "60000")
    sim.address = str(path)
    assert get(sim, "/api/version").status == 200


def test_a_request_in_single_bytes(start):
    sim = start("--tokens-per-s", "0")
    with socket.create_connection(sim.address) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in cases.post("/api/chat", json.dumps(chat())):
            sock.sendall(bytes([byte]))
        data = b""
        while not data.endswith(b"0\r\n\r\n"):
            data += sock.recv(65536)
    assert b'"done":true' in data


def test_last_request_as_it_came(start):
    sim = start("--tokens-per-s", "0")
    request = cases.post("/api/chat", json.dumps(chat()), headers=[("X-Odd", "caf\xe9")])
    ask(sim, request)
    get(sim, "/api/tags")
    assert get(sim, "/sim/last?route=/api/chat").body == request
    assert get(sim, "/sim/last").body == cases.get("/api/tags")


def test_admin_routes_answer_and_are_counted(start):
    sim = start()
    for path in ("/api/pull", "/api/push", "/api/create", "/api/copy"):
        assert post(sim, path, {"model": "x"}).status == 200
    assert ask(sim, cases.raw("DELETE", "/api/delete", '{"model":"x"}')).status == 200
    assert ask(sim, cases.post("/api/blobs/sha256:00", "data")).status == 201
    counts = stats(sim)["requests"]
    assert counts["POST /api/pull"] == 1 and counts["DELETE /api/delete"] == 1
    assert counts["POST /api/blobs/:"] == 1


def test_config_refuses_what_it_does_not_know(start):
    sim = start()
    assert post(sim, "/sim/config", {"slotz": 1}).status == 400
    assert post(sim, "/sim/config", {"faults": [{"name": "nonsense"}]}).status == 400
    assert post(sim, "/sim/config", {"faults": [{"name": "cut", "after": 1}]}).status == 400
    assert post(sim, "/sim/config", {"slots": "many"}).status == 400


def test_models_can_change_while_it_runs(start):
    sim = start("--tokens-per-s", "0")
    config(sim, models="llama3:8b:8B,embed:22M")
    assert [m["name"] for m in get(sim, "/api/tags").json["models"]] == ["embed:latest", "llama3:8b"]
    assert post(sim, "/api/chat", chat("tiny")).status == 404
    assert post(sim, "/api/chat", chat("registry.ollama.ai/library/LLAMA3:8B")).status == 200


def test_the_help_names_every_knob(start):
    sim = start()
    text = subprocess.run([sim.process.args[0], "--help"], capture_output=True, text=True,
                          check=True).stdout
    for name in stats(sim)["config"]:
        assert "--" + name.replace("_", "-") in text


def test_a_thousand_streams_keep_their_pace(start, sim_load):
    sim = start("--slots", "1000", "--tokens-per-s", "20")
    out = subprocess.run([sim_load, "--port", str(sim.address[1]), "--streams", "1000", "--seconds", "3"],
                         capture_output=True, text=True, check=True).stdout
    result = json.loads(out)
    assert result["statuses"] == {"200": 1000}
    assert result["truncated"] == result["refused"] == 0
    assert result["chunks_per_s"] > 15000
