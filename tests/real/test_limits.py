"""Limits with a real Ollama and the official SDKs (F08, F19): who waits, what is charged."""

import json
import time

import pytest

import h1
import harness
import stand
import test_sdk

TPM = {"name": "tpm", "tokens": 400, "window_s": 600}


def usage(gateway, tenant="limited"):
    return gateway.ask(h1.get("/corral/v1/usage", gateway.keys[tenant])).json["limits"][0]


def chat_lines(gateway, tenant):
    return [x for x in gateway.corral.logged("access")
            if x.get("tenant") == tenant and x["method"] == "POST"]


@pytest.mark.parametrize("client, protocol", test_sdk.WAYS, ids=test_sdk.NAMES)
def test_sdks_wait_as_told(client, protocol, gateway, tmp_path):
    """openai and anthropic come again when Retry-After has passed; ollama hands the 429 on."""
    before = len(chat_lines(gateway, "limited"))
    harness.wait_for(lambda: usage(gateway)["remaining"] == 1, 20, "a request that may pass")
    done = test_sdk.start(client, protocol, gateway, tmp_path, ONLY="limited chats")
    found = json.loads(done.stdout)
    wanted = before + (2 if client.startswith("ollama") else 3)
    harness.wait_for(lambda: len(chat_lines(gateway, "limited")) >= wanted, 5, "access lines")
    lines = chat_lines(gateway, "limited")[before:]
    statuses = [line["status"] for line in lines]
    assert {line["protocol"] for line in lines} == {stand.PROTOCOLS[protocol]}, lines
    if client.startswith("ollama"):
        assert statuses == [200, 429] and found["status"] == 429, (statuses, found)
        assert "Please try again in" in found["message"], found
        return
    assert len(found["text"]) > 5 and statuses == [200, 429, 200], (statuses, found)
    waited = stand.seconds(lines[2]) - lines[2]["duration_s"] - stand.seconds(lines[1])
    stand.note("%-13s %s 429, waited %.2f s, then served" % (client, protocol, waited))
    assert waited >= 1.0, lines  # 8 s window; the first chat took some of them


@pytest.mark.parametrize("client, protocol", test_sdk.WAYS, ids=test_sdk.NAMES)
def test_sdks_do_not_wait_for_tomorrow(client, protocol, gateway, tmp_path):
    while gateway.ask(h1.post("/api/chat", harness.chat(tokens=40), gateway.keys["budget"])).status == 200:
        pass
    time.sleep(0.2)  # the log's last lines
    before = len(chat_lines(gateway, "budget"))
    began = time.monotonic()
    done = test_sdk.start(client, protocol, gateway, tmp_path, ONLY="budget chat")
    found = json.loads(done.stdout)
    assert found["status"] == 429 and "The token budget is used up" in found["message"], found
    if not client.startswith("ollama"):
        assert found["raised"].endswith("RateLimitError"), found
    assert time.monotonic() - began < 20
    harness.wait_for(lambda: len(chat_lines(gateway, "budget")) > before, 5, "an access line")
    lines = chat_lines(gateway, "budget")[before:]
    assert [line["protocol"] for line in lines] == [stand.PROTOCOLS[protocol]]  # asked once


def fifty_answers(gateway, protocol, data):
    """To fifty requests at once: over HTTP/1.1 fifty connections, over HTTP/2 one."""
    if protocol == "h1":
        return harness.together(50, lambda _: gateway.ask(data, timeout=120))
    with gateway.client(120, protocol) as client:
        for _ in range(50):
            client.send(data)
        return [client.answer() for _ in range(50)]


@pytest.mark.parametrize("protocol", stand.PROTOCOLS)
def test_fifty_streams_on_a_real_replica(ollama, make_gateway, protocol):
    gateway = make_gateway([ollama], tenants={"limited": {"limits": [TPM], "max_waiting": 64}})
    data = h1.post("/api/chat", harness.chat(tokens=12), gateway.keys["limited"])
    answers = fifty_answers(gateway, protocol, data)
    whole = [a for a in answers if a.status == 200]
    given = sum(a.lines[-1].get("eval_count", 0) + a.lines[-1].get("prompt_eval_count", 0) for a in whole)
    row = usage(gateway)
    stand.note("50 streams, 400 tokens, %s: %d served, %d refused, %d tokens used"
               % (protocol, len(whole), len(answers) - len(whole), row["used"]))
    assert {a.status for a in answers} == {200, 429} and all(a.end == "whole" for a in answers)
    assert row["used"] <= 400 and row["reserved"] == 0
    assert row["used"] == given or row["debt"] > 0, (row, given)
    gateway.corral.finish()


@pytest.mark.parametrize("protocol", stand.PROTOCOLS)
def test_an_abort_on_a_real_replica_is_charged_what_came(ollama, make_gateway, protocol):
    gateway = make_gateway([ollama], tenants={"limited": {"limits": [dict(TPM, tokens=5000)]}})
    with gateway.client(protocol=protocol) as client:
        client.send(h1.post("/api/chat", harness.chat(tokens=400), gateway.keys["limited"]))
        harness.wait_for(lambda: client.fill(time.monotonic() + 10) and client.data.count(b'"done":false') > 15,
                         30, "some chunks")
        client.leave("rst" if protocol == "h2" else "fin")
        row = harness.wait_for(lambda: [r for r in [usage(gateway)] if r["reserved"] == 0], 2,
                               "a settled account")[0]
    line = harness.wait_for(lambda: chat_lines(gateway, "limited"), 3, "an access line")[-1]
    stand.note("abort after %d chunks, %s: %d used, %d of them for the prompt"
               % (line["chunks"], protocol, row["used"], line["prompt_estimate"]))
    assert (line["reason"], line["protocol"]) == ("client_gone", stand.PROTOCOLS[protocol])
    assert abs(row["used"] - line["chunks"] - line["prompt_estimate"]) <= 1
    gateway.corral.finish()
