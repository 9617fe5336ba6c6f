"""Clients that leave, in every phase: F02 and CONTRACTS "Clients that leave"."""

import time

import pytest

import h1
from harness import chat, wait_for

HOW = ["fin", "rst", "half"]
PROMPT = 0.5  # seconds; the contract says 100 ms, a busy machine with ASan gets some more


def leave(client, how):
    """Leave, and keep the half-open socket alive until the end of the test."""
    client.leave(how)
    return time.monotonic()


def served_after(corral):
    answer = corral.post("/api/chat", chat(tokens=2), timeout=10)
    assert (answer.status, answer.end) == (200, "whole"), answer


def cancels(corral, phase):
    return corral.metrics().sum("corral_cancels_total", phase=phase)


@pytest.mark.parametrize("how", HOW)
def test_in_the_body(stable, how):
    sim = stable.sim("--tokens-per-s", "0").warm()
    corral = stable.corral(sim)
    client = corral.client().send(corral.chat_bytes()[:-5])
    wait_for(lambda: corral.metrics().sum("corral_body_bytes") > 0, 5, "the body")
    leave(client, how)
    wait_for(lambda: corral.metrics().sum("corral_body_bytes") == 0, PROMPT, "the body's end")
    assert cancels(corral, "body") == 1
    assert sim.stats()["requests"].get("POST /api/chat", 0) == 0
    served_after(corral)


@pytest.mark.parametrize("how", HOW)
def test_in_the_queue(stable, how):
    sim = stable.sim("--tokens-per-s", "20").warm()
    corral = stable.corral(sim)
    with corral.open_chat(tokens=60, timeout=20) as running:
        running.until(b'"done":false')
        waiting = corral.open_chat()
        wait_for(lambda: corral.waiting() == 1, 5, "a waiter")
        leave(waiting, how)
        wait_for(lambda: corral.waiting() == 0, PROMPT, "the place")
        assert cancels(corral, "queued") == 1
    corral.wait_idle()
    assert sim.stats()["requests"]["POST /api/chat"] == 1, "the waiter never reached the sim"
    served_after(corral)


@pytest.mark.parametrize("how", HOW)
def test_while_the_model_loads(stable, how):
    """Kept until the first byte, the slot draining, then closed: else Ollama leaks."""
    sim = stable.sim("--tokens-per-s", "20", "--load-ms", "800")
    corral = stable.corral(sim)
    client = corral.open_chat(tokens=200)
    wait_for(lambda: corral.slots_taken() == 1, 5, "the slot")
    time.sleep(0.1)  # so that the request is with the sim, deep in its load
    leave(client, how)
    wait_for(lambda: corral.metrics().sum("corral_slots", state="draining") == 1, PROMPT, "drain")
    assert cancels(corral, "loading") == 1
    assert sim.stat("aborted") == 0, "too early"
    wait_for(lambda: sim.stat("aborted") == 1, 5, "the abort after the load")
    assert sim.stat("loads") == 1 and sim.stat("loads_aborted") == 0
    corral.wait_idle()
    served_after(corral)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("how", HOW)
def test_before_the_first_byte(stable, how, stream):
    """Early: at the end of the grace. Later: at once."""
    sim = stable.sim("--tokens-per-s", "20", "--prefill-ms", "5000").warm()
    corral = stable.corral(sim, timeouts={"cancel_grace_ms": 700})
    client = corral.client().send(corral.chat_bytes(stream=stream))
    wait_for(lambda: sim.stat("in_flight") == 1, 5, "the request")
    began = leave(client, how)
    wait_for(lambda: sim.stat("aborted") == 1, 3, "the abort")
    assert 0.4 < time.monotonic() - began < 0.7 + PROMPT
    corral.wait_idle(2)
    client = corral.client().send(corral.chat_bytes(stream=stream))
    wait_for(lambda: sim.stat("in_flight") == 1, 5, "the request")
    time.sleep(0.9)  # past the grace
    began = leave(client, how)
    wait_for(lambda: sim.stat("aborted") == 2, PROMPT, "the abort")
    corral.wait_idle(PROMPT)
    assert cancels(corral, "first_byte") == 2
    sim.config(prefill_ms=0)
    served_after(corral)


@pytest.mark.parametrize("path", ["/api/chat", "/api/generate", "/v1/chat/completions",
                                  "/v1/completions", "/v1/responses", "/v1/messages"])
@pytest.mark.parametrize("how", HOW)
def test_in_mid_stream(stable, how, path):
    sim = stable.sim("--tokens-per-s", "50").warm()
    corral = stable.corral(sim)
    body = {**chat(tokens=500), "prompt": "x", "input": "x", "max_tokens": 500,
            "max_output_tokens": 500, "stream": True}
    client = corral.client().send(h1.post(path, body, corral.key()))
    client.until(b"\r\n\r\n")
    wait_for(lambda: sim.stat("tokens_sent") > 5, 5, "tokens")
    leave(client, how)
    wait_for(lambda: sim.stat("aborted") == 1, PROMPT, "the abort")
    corral.wait_idle(PROMPT)
    assert cancels(corral, "stream") == 1
    note = sim.stat("aborts")[0]
    assert note["phase"] == "stream" and note["route"] == path
    served_after(corral)


@pytest.mark.parametrize("how", HOW)
def test_after_the_last_event_is_finished(stable, how):
    sim = stable.sim("--tokens-per-s", "0").warm()
    corral = stable.corral(sim)
    with corral.open_chat() as client:
        client.until(b'"done":true')
        client.leave(how)
        wait_for(lambda: corral.logged("access"), 3, "the line")
    line = corral.logged("access")[0]
    assert (line["status"], line["reason"]) == (200, "ok")
    assert corral.metrics().sum("corral_cancels_total") == 0


def test_with_pipelined_bytes_behind(stable):
    """At the cap of kept bytes reading stops; the FIN is found all the same."""
    sim = stable.sim("--tokens-per-s", "20", "--prefill-ms", "3000").warm()
    corral = stable.corral(sim, timeouts={"cancel_grace_ms": 0})
    client = corral.open_chat(tokens=500)
    client.try_send(b"GET /api/version HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 60000)
    wait_for(lambda: sim.stat("in_flight") == 1, 5, "the request")
    time.sleep(0.1)
    client.close()
    wait_for(lambda: sim.stat("aborted") == 1, 1.5, "the abort")
    corral.wait_idle(1)


def test_early_aborts_leak_nothing_in_the_server(stable):
    sim = stable.sim("--tokens-per-s", "100", "--prefill-ms", "60", "--slots", "4").warm()
    sim.fault("early_abort_leak", window_ms=150)
    corral = stable.corral(sim, slots=4)
    for i in range(50):
        client = corral.open_chat(tokens=100)
        if i % 2:
            wait_for(lambda: corral.slots_taken() > 0, 5, "the slot")
        client.leave("rst" if i % 3 else "fin")
    corral.wait_idle(10)
    assert sim.stat("leaked_descriptors") == 0
    served_after(corral)


def storm(stable, rounds):
    """Aborted requests in mixed phases; afterwards everything is as before."""
    sim = stable.sim("--tokens-per-s", "200", "--slots", "8", "--prefill-ms", "5").warm()
    corral = stable.corral(sim, slots=8, timeouts={"cancel_grace_ms": 20})
    served_after(corral)
    corral.wait_idle()
    fds, rss = corral.fds(), 0
    data = [corral.chat_bytes(path=path, tokens=50, stream=stream)
            for path in ("/api/chat", "/v1/chat/completions") for stream in (True, False)]
    batch = 40
    for i in range(rounds // batch):
        clients = [corral.client() for _ in range(batch)]
        for j, client in enumerate(clients):
            whole = data[j % len(data)]
            client.send(whole[:len(whole) // 2] if j % 5 == 4 else whole)
        if i % 2:
            time.sleep(0.03)
        for j, client in enumerate(clients):
            client.leave("rst" if j % 2 else "fin")
        for client in clients:
            client.close()
        if i == rounds // batch // 2:
            rss = corral.rss()
    corral.wait_idle(20)
    wait_for(lambda: corral.metrics().sum("corral_open_connections") == 0, 10, "closing")
    assert sim.stat("max_in_flight") <= 8
    wait_for(lambda: corral.fds() <= fds + 64, 5, "descriptors (idle upstream connections apart)")
    print("fds %d -> %d, rss %d -> %d KiB" % (fds, corral.fds(), rss // 1024, corral.rss() // 1024))
    assert sum(corral.metrics().sum("corral_cancels_total", phase=phase) for phase in
               ("body", "queued", "first_byte", "loading", "stream")) > rounds * 0.5
    assert corral.metrics().sum("corral_body_bytes") == 0
    served_after(corral)


def test_ten_thousand_aborted_requests(stable):
    storm(stable, 10000)


@pytest.mark.long
def test_a_hundred_thousand_aborted_requests(stable):
    storm(stable, 100000)
