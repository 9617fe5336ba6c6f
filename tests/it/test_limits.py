"""How much: requests and tokens in windows, budgets, and what an answer tells of them (F08, F19)."""

import time

import pytest

import h1
from harness import chat, together, wait_for

TPM = {"name": "tpm", "tokens": 1000, "window_s": 60}
RPM = {"name": "rpm", "requests": 3, "window_s": 60}


def limited(stable, *rules, sims=None, **more):
    sim = stable.sim("--tokens-per-s", "0", "--slots", "64").warm("tiny")
    corral = stable.corral(sim, slots=64, tenants={"acme": {"limits": list(rules), "max_running": 64},
                                                   "beta": {}}, **more)
    return corral, sim


def usage(corral, name, tenant="acme"):
    answer = corral.get("/corral/v1/usage", tenant)
    assert answer.status == 200, answer
    rows = [row for row in answer.json["limits"] if row["name"] == name]
    assert len(rows) == 1, answer.json
    return rows[0]


def test_requests_in_a_window(stable):
    corral, sim = limited(stable, RPM)
    before = sim.posts()
    answers = [corral.post("/api/chat", chat()) for _ in range(4)]
    assert [a.status for a in answers] == [200, 200, 200, 429]
    assert sim.posts() - before == 3
    refused = answers[3]
    assert refused.json["error"].startswith("Too many requests: the limit is 3 requests in 60 seconds"), refused
    wait = int(refused.field("retry-after"))
    assert 18 <= wait <= 20  # one comes free every 20 s
    assert refused.field("ratelimit-policy") == '"rpm";q=3;w=60'
    assert refused.field("ratelimit") == '"rpm";r=0;t=60'
    assert refused.field("x-ratelimit-limit-requests") == "3"
    assert refused.field("x-ratelimit-remaining-requests") == "0"
    assert answers[0].field("x-ratelimit-remaining-requests") == "2"
    assert refused.field("x-should-retry") is None
    assert corral.metrics().sum("corral_limited_total", tenant="acme", limit="rpm") == 1
    assert corral.post("/api/chat", chat(), "beta").status == 200
    print(refused, refused.json)


def test_a_token_limit_bounds_the_output(stable):
    corral, sim = limited(stable, TPM)
    answer = corral.post("/api/chat", chat(tokens=5))
    assert answer.status == 200
    done = answer.lines[-1]
    row = usage(corral, "tpm")
    assert row["used"] == done["prompt_eval_count"] + done["eval_count"] == done["prompt_eval_count"] + 5
    assert row["reserved"] == 0 and row["debt"] == 0
    answer = corral.post("/api/chat", {"model": "tiny", "messages": [{"role": "user", "content": "x"}]})
    _, _, body = sim.last("/api/chat")
    print(body, answer.lines[-1], usage(corral, "tpm"))
