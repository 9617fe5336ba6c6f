"""How much: requests and tokens in windows, budgets, and what an answer tells of them (F08, F19)."""

import json
import sqlite3
import time

import jwt
import pytest

import h1
from harness import chat, together, wait_for

TPM = {"name": "tpm", "tokens": 1000, "window_s": 60}
RPM = {"name": "rpm", "requests": 3, "window_s": 60}
MESSAGES = [{"role": "user", "content": "hello there"}]
SECRET = b"a secret of more than thirty-two bytes"

# Every route whose answer can be ended by a limit: path, body, name of its output bound.
STREAMS = [
    ("/api/chat", {"messages": MESSAGES, "options": {"num_predict": 5}}),
    ("/api/generate", {"prompt": "hello there", "options": {"num_predict": 5}}),
    ("/v1/chat/completions", {"messages": MESSAGES, "max_tokens": 5, "stream": True}),
    ("/v1/completions", {"prompt": "hello there", "max_tokens": 5, "stream": True}),
    ("/v1/responses", {"input": "hello there", "max_output_tokens": 5, "stream": True}),
    ("/v1/messages", {"messages": MESSAGES, "max_tokens": 5, "stream": True}),
]


def limited(stable, *rules, speed="0", tenant=(), **more):
    sim = stable.sim("--tokens-per-s", speed, "--slots", "64").warm("tiny")
    settings = dict({"limits": list(rules), "max_running": 64}, **dict(tenant))
    more.setdefault("slots", 64)
    return stable.corral(sim, tenants={"acme": settings, "beta": {}}, **more), sim


def usage(corral, name, tenant="acme"):
    answer = corral.get("/corral/v1/usage", tenant)
    assert answer.status == 200, answer
    rows = [row for row in answer.json["limits"] if row["name"] == name]
    assert len(rows) == 1, answer.json
    return rows[0]


def settled(corral, name="tpm", timeout=2.0):
    """Wait until nothing is reserved; (the row, how long it took)."""
    began = time.monotonic()
    row = wait_for(lambda: [r for r in [usage(corral, name)] if r["reserved"] == 0], timeout,
                   "reservations given back")[0]
    return row, time.monotonic() - began


def outputs(path, answer):
    """Events of a stream that carry text, and the reason it ended."""
    if path.startswith("/api"):
        texts = [x for x in answer.lines if x.get("response") or x.get("message", {}).get("content")]
        return len(texts), answer.lines[-1].get("done_reason")
    events = answer.events
    if path == "/v1/messages":
        texts = [e for e in events if e["type"] == "content_block_delta"]
        reasons = [e["delta"]["stop_reason"] for e in events if e["type"] == "message_delta"]
        assert events[-1]["type"] == "message_stop"
        return len(texts), reasons[-1]
    if path == "/v1/responses":
        texts = [e for e in events if e["type"] == "response.output_text.delta"]
        return len(texts), events[-1]["response"]["incomplete_details"]["reason"]
    assert events[-1] == "[DONE]"
    choices = [e["choices"][0] for e in events[:-1] if e["choices"]]
    texts = [c for c in choices if c.get("text") or c.get("delta", {}).get("content")]
    return len(texts), [c["finish_reason"] for c in choices if c.get("finish_reason")][-1]


# ---- requests ----

def test_requests_in_a_window(stable):
    corral, sim = limited(stable, RPM)
    before = sim.posts()
    answers = [corral.post("/api/chat", chat()) for _ in range(4)]
    assert [a.status for a in answers] == [200, 200, 200, 429]
    assert sim.posts() - before == 3
    refused = answers[3]
    assert refused.json["error"].startswith(
        'Too many requests: the limit is 3 requests in 60 seconds ("rpm"). Please try again in ')
    assert 18 <= int(refused.field("retry-after")) <= 20  # one comes free every 20 s
    assert refused.field("ratelimit-policy") == '"rpm";q=3;w=60'
    assert refused.field("ratelimit") == '"rpm";r=0;t=60'
    assert refused.field("x-ratelimit-limit-requests") == "3"
    assert refused.field("x-ratelimit-remaining-requests") == "0"
    assert refused.field("x-should-retry") is None
    assert answers[0].field("ratelimit").startswith('"rpm";r=2;t=')
    assert answers[0].field("x-ratelimit-limit-requests") is None
    assert answers[0].field("retry-after") is None
    assert corral.metrics().sum("corral_limited_total", tenant="acme", limit="rpm") == 1
    assert corral.access(refused.field("x-request-id"))["reason"] == "request_limit"
    assert corral.post("/api/chat", chat(), "beta").status == 200


def test_a_burst_is_less_than_the_window(stable):
    corral, _ = limited(stable, dict(RPM, requests=600, burst=2))
    statuses = [corral.post("/api/chat", chat()).status for _ in range(3)]
    assert statuses[:2] == [200, 200]
    assert usage(corral, "rpm")["remaining"] <= 2
    wait_for(lambda: corral.post("/api/chat", chat()).status == 200, 2, "the next tenth of a second")


def test_what_counts_as_a_request(stable):
    """What corral answers by itself costs nothing; what goes to a replica does."""
    corral, _ = limited(stable, dict(RPM, requests=2))
    for path in ("/api/tags", "/api/ps", "/v1/models", "/api/version"):
        answer = corral.get(path)
        assert answer.status == 200 and answer.field("ratelimit") is None
    assert corral.post("/api/chat", {"model": "tiny", "messages": 1}).status == 400
    assert corral.post("/api/chat", chat(model="nowhere")).status in (404, 200)
    assert corral.post("/api/show", {"model": "tiny"}).status == 200
    assert corral.post("/api/show", {"model": "tiny"}).status == 429


@pytest.mark.parametrize("path,body", STREAMS)
def test_a_refusal_in_every_dialect(stable, path, body):
    corral, _ = limited(stable, dict(RPM, requests=1))
    body = dict(body, model="tiny")
    first = corral.post(path, body)
    assert first.status == 200
    openai = path.startswith("/v1/") and path != "/v1/messages"
    assert first.field("x-ratelimit-remaining-requests") == ("0" if openai else None)
    refused = corral.post(path, body)
    assert refused.status == 429
    error = refused.json["error"]
    if path.startswith("/api"):
        assert "the limit is" in error
    elif path == "/v1/messages":
        assert error["type"] == "rate_limit_error" and refused.json["request_id"]
    else:
        assert error["code"] == "rate_limit_exceeded" and "the limit is" in error["message"]


# ---- tokens ----

def test_tokens_are_charged_as_the_replica_counts_them(stable):
    corral, _ = limited(stable, TPM)
    done = corral.post("/api/chat", chat(tokens=5)).lines[-1]
    row = usage(corral, "tpm")
    assert done["eval_count"] == 5
    assert row["used"] == done["prompt_eval_count"] + 5
    assert row["reserved"] == row["debt"] == 0


def test_the_bound_that_is_sent(stable):
    """min(asked, the default, what is left) goes to the replica; without a limit nothing does."""
    corral, sim = limited(stable, dict(TPM, tokens=300), limits={"default_output_tokens": 100})

    def sent():
        return json.loads(sim.last("/api/chat")[2])["options"].get("num_predict")
    plain = {"model": "tiny", "messages": MESSAGES, "options": {}}
    assert corral.post("/api/chat", plain).status == 200 and sent() == 100
    assert corral.post("/api/chat", chat(tokens=7)).status == 200 and sent() == 7
    left = usage(corral, "tpm")["remaining"]
    answer = corral.post("/api/chat", chat(tokens=1000))
    estimate = corral.access(answer.field("x-request-id"))["prompt_estimate"]
    assert sent() == left - estimate
    assert corral.post("/api/chat", plain, "beta").status == 200 and sent() is None


def test_tokens_run_out_and_come_back(stable):
    corral, sim = limited(stable, dict(TPM, tokens=60, window_s=2))
    assert corral.post("/api/chat", chat(tokens=1000)).status == 200
    before = sim.posts()
    refused = corral.post("/api/chat", chat())
    assert refused.status == 429 and sim.posts() == before
    assert refused.json["error"].startswith("Too many tokens: the limit is 60 tokens in 2 seconds")
    wait = int(refused.field("retry-after"))
    assert 1 <= wait <= 2
    time.sleep(wait)
    assert corral.post("/api/chat", chat()).status == 200


def test_a_prompt_that_can_never_pass(stable):
    corral, sim = limited(stable, dict(TPM, tokens=100))
    before = sim.posts()
    refused = corral.post("/api/generate", {"model": "tiny", "prompt": "x" * 1000})
    assert refused.status == 413 and "shorten" in refused.json["error"]
    assert refused.field("retry-after") is None and refused.field("x-should-retry") == "false"
    assert sim.posts() == before and usage(corral, "tpm")["used"] == 0


def test_fifty_streams_share_what_there_is(stable):
    """F08: whatever they ask, together they get no more than the limit: not even one after the other."""
    corral, _ = limited(stable, dict(TPM, tokens=1200), speed="400")

    def one(_):
        return corral.post("/api/chat", chat(tokens=30), timeout=30)
    answers = together(50, one)
    assert {a.status for a in answers} == {200, 429}
    given = sum(a.lines[-1]["eval_count"] + a.lines[-1]["prompt_eval_count"]
                for a in answers if a.status == 200)
    row, took = settled(corral)
    print("%d of 50 served, %d tokens of 1200, all given back %.0f ms later"
          % (sum(a.status == 200 for a in answers), given, took * 1000))
    assert row["used"] == given <= 1200
    assert all(a.end == "whole" for a in answers)


def test_output_over_windows_stays_under_the_limit(stable):
    """Three seconds of a backlog: every window gives at most its tokens, streams that cross one too."""
    corral, _ = limited(stable, dict(TPM, tokens=400, window_s=1), speed="100")
    began, stop = time.monotonic(), time.monotonic() + 3.0

    def one(_):
        total = 0
        while time.monotonic() < stop:
            answer = corral.post("/api/chat", chat(tokens=40), timeout=30)
            if answer.status == 200:
                total += answer.lines[-1]["eval_count"]
            else:
                time.sleep(0.05)
        return total
    total = sum(together(20, one))
    windows = int(time.monotonic() - began) + 2
    print("%d tokens in at most %d windows of 400" % (total, windows))
    assert 400 < total <= 400 * windows
    assert settled(corral)[0]["used"] <= 400


def test_a_prompt_longer_than_its_estimate_is_carried_on(stable):
    """The replica counts 200 tokens more than four bytes each: the difference is paid later."""
    corral, sim = limited(stable, dict(TPM, tokens=100, window_s=2))
    sim.config(prompt_extra=200)
    answer = corral.post("/api/generate", {"model": "tiny", "prompt": "x",
                                           "options": {"num_predict": 5}})
    assert answer.lines[-1]["prompt_eval_count"] > 200
    row = usage(corral, "tpm")
    assert row["used"] == 100 and row["debt"] == answer.lines[-1]["prompt_eval_count"] + 5 - 100
    refused = corral.post("/api/chat", chat())
    assert refused.status == 429
    wait_for(lambda: usage(corral, "tpm")["debt"] < row["debt"], 4, "the next window")
    assert usage(corral, "tpm")["used"] == 100  # it begins with what is owed


def test_a_count_that_no_context_could_hold_is_not_believed(stable):
    """A replica that tells 10^8 tokens would else lock its callers out for years of debt."""
    corral, sim = limited(stable, TPM)
    sim.config(prompt_extra=10 ** 8, num_ctx=10 ** 9)
    answer = corral.post("/api/chat", chat(tokens=5))  # generate would write all of them out as its context
    told = answer.lines[-1]["prompt_eval_count"]
    row = usage(corral, "tpm")
    assert told > 16 * 1024 * 1024
    assert row["used"] + row["debt"] == 16 * 1024 * 1024 + 5


# ---- the clean end ----

@pytest.mark.parametrize("how", ["chunks", "batched", "dribbled"])
@pytest.mark.parametrize("path,body", STREAMS)
def test_a_replica_that_goes_on_is_ended(stable, path, body, how):
    corral, sim = limited(stable, TPM)
    faults = [{"name": "overrun", "n": 50}]
    if how == "batched":
        faults.append({"name": "batch", "n": 4, "in_chunk": True})
    elif how == "dribbled":
        faults.append({"name": "dribble", "ms": 0})
    sim.config(faults=faults)
    answer = corral.post(path, dict(body, model="tiny"), timeout=30)
    assert answer.status == 200 and answer.end == "whole", answer
    texts, reason = outputs(path, answer)
    assert texts == 5
    assert reason == {"/v1/messages": "max_tokens", "/v1/responses": "max_output_tokens"}.get(
        path, "length")
    line = corral.access(answer.field("x-request-id"))
    assert line["reason"] == "output_bound" and line["status"] == 200
    row, _ = settled(corral)
    assert row["used"] == line["prompt_estimate"] + 5
    corral.wait_idle()
    assert corral.metrics().sum("corral_limited_total", limit="output_bound") == 1
    assert corral.metrics().sum("corral_truncated_streams_total") == 0


@pytest.mark.parametrize("asks", [False, True])
def test_the_end_tells_usage_to_who_asked(stable, asks):
    corral, sim = limited(stable, TPM)
    sim.fault("overrun", n=50)
    body = dict(STREAMS[2][1], model="tiny")
    if asks:
        body["stream_options"] = {"include_usage": True}
    events = corral.post("/v1/chat/completions", body).events
    told = [e["usage"] for e in events if e != "[DONE]" and e.get("usage")]
    assert [u["completion_tokens"] for u in told] == ([5] if asks else [])


# ---- honest accounts ----

@pytest.mark.parametrize("path,body", STREAMS)
@pytest.mark.parametrize("how", ["fin", "rst"])
def test_an_abort_is_charged_what_came(stable, path, body, how):
    """F19: k chunks were taken, k are charged; the prompt once; the rest is back at once."""
    corral, _ = limited(stable, TPM, speed="200")
    body = json.loads(json.dumps(body).replace(": 5", ": 500"))
    client = corral.client(timeout=10)
    client.send(h1.post(path, dict(body, model="tiny"), corral.key()))
    wait_for(lambda: client.fill(time.monotonic() + 5) and client.data.count(b"\n") >= 60, 10, "chunks")
    client.leave(how)
    row, took = settled(corral)
    line = wait_for(lambda: [x for x in corral.logged("access") if x.get("route") == path], 3,
                    "an access line")[-1]
    print("%s %s: %d chunks, %d used, back after %.0f ms"
          % (path, how, line["chunks"], row["used"], took * 1000))
    assert line["reason"] == "client_gone" and line["chunks"] > 0
    assert abs(row["used"] - line["prompt_estimate"] - line["chunks"]) <= 1


def test_a_client_that_leaves_in_prefill_pays_the_prompt(stable):
    corral, sim = limited(stable, TPM)
    sim.config(prefill_ms=3000)
    client = corral.open_chat()
    wait_for(lambda: sim.stat("in_flight") == 1, 5, "the request at the replica")
    client.close()
    row, took = settled(corral, timeout=1.0)
    assert took < 1.0  # long before the upstream connection may close
    assert 0 < row["used"] < 60
    corral.wait_idle()
    assert usage(corral, "tpm")["used"] == row["used"]


def test_nothing_is_charged_for_nothing(stable):
    """Refused in the queue, left in the queue, died before the first byte, an error of Ollama's."""
    corral, sim = limited(stable, TPM, slots=1, tenant={"max_waiting": 1})
    sim.config(prefill_ms=60000)
    first = corral.open_chat()
    wait_for(lambda: sim.stat("in_flight") == 1, 5, "the slot is taken")
    held = usage(corral, "tpm")["reserved"]
    second = corral.open_chat()
    wait_for(lambda: corral.waiting() == 1, 5, "one that waits")
    assert usage(corral, "tpm")["reserved"] == 2 * held
    assert corral.post("/api/chat", chat()).status == 429
    assert usage(corral, "tpm")["reserved"] == 2 * held
    second.close()
    wait_for(lambda: usage(corral, "tpm")["reserved"] == held, 2, "the place given back")
    assert usage(corral, "tpm")["used"] == 0
    sim.config(prefill_ms=0)
    first.close()
    corral.wait_idle(10)
    paid = settled(corral)[0]["used"]
    for fault in ({"name": "cut_before_head"}, {"name": "status", "status": 400}):
        sim.config(faults=[fault])
        assert corral.post("/api/chat", chat()).status in (400, 502)
    assert settled(corral)[0]["used"] == paid


def test_an_explicit_zero_stays_zero(stable):
    corral, sim = limited(stable, TPM)
    sim.fault("zero_counts")
    body = {"model": "tiny", "messages": MESSAGES, "max_tokens": 5}
    answer = corral.post("/v1/chat/completions", body)
    assert answer.json["usage"]["total_tokens"] == 0
    assert settled(corral)[0]["used"] == 0
    answer = corral.post("/api/chat", chat(tokens=5))  # natively a zero is no count at all
    line = corral.access(answer.field("x-request-id"))
    assert settled(corral)[0]["used"] == line["prompt_estimate"] + 5


def test_embeddings_cost_their_prompt(stable):
    sim = stable.sim("--models", "tiny:268.10M,embed:22.57M").warm("tiny", "embed")
    corral = stable.corral(sim, tenants={"acme": {"limits": [TPM]}, "beta": {}})
    answer = corral.post("/api/embed", {"model": "embed", "input": "hello there"})
    assert answer.status == 200
    assert settled(corral)[0]["used"] == answer.json["prompt_eval_count"]


# ---- whose counter ----

def token(user, **more):
    now = int(time.time())
    claims = dict({"iss": "test", "aud": "corral", "sub": user, "tenant": "acme", "iat": now,
                   "exp": now + 600}, **more)
    return jwt.encode(claims, SECRET, algorithm="HS256", headers={"kid": "one"})


def with_users(stable, tmp_path, *rules, **more):
    secret = tmp_path / "secret"
    secret.write_bytes(SECRET)
    secret.chmod(0o600)
    issuers = [{"issuer": "test", "audience": ["corral"], "keys_file": str(secret), "kid": "one"}]
    return limited(stable, *rules, issuers=issuers, **more)


def as_user(corral, user, model="tiny"):
    return corral.ask(h1.post("/api/chat", chat(model=model), token(user)))


def test_each_user_has_a_count_and_the_tenant_one(stable, tmp_path):
    corral, _ = with_users(stable, tmp_path, dict(RPM, requests=2, per=["user"]),
                           dict(RPM, name="all", requests=5))
    statuses = {user: [as_user(corral, user).status for _ in range(3)] for user in ("ann", "bob")}
    assert statuses == {"ann": [200, 200, 429], "bob": [200, 200, 429]}
    assert corral.post("/api/chat", chat()).status == 200  # a key without a user is one of its own
    last = as_user(corral, "eve")
    assert last.status == 429 and '"all"' in last.json["error"]
    answer = corral.ask(h1.get("/corral/v1/usage", token("ann")))
    assert answer.json["user"] == "ann"
    assert [row["remaining"] for row in answer.json["limits"]] == [0, 0]
    answer = corral.ask(h1.get("/corral/v1/usage", token("eve")))
    assert [row["used"] for row in answer.json["limits"]] == [0, 5]


def test_each_model_has_a_count(stable):
    sim = stable.sim("--models", "tiny:268.10M,other:1B", "--slots", "8").warm("tiny", "other")
    rules = [dict(RPM, requests=1, per=["model"]), dict(RPM, name="some", models=["oth*"])]
    corral = stable.corral(sim, slots=8, tenants={"acme": {"limits": rules}, "beta": {}})
    assert [corral.post("/api/chat", chat(model=m)).status for m in
            ("tiny", "tiny", "TINY:latest", "other", "other")] == [200, 429, 429, 200, 429]
    rows = corral.get("/corral/v1/usage").json["limits"]
    own = {row["model"]: row["used"] for row in rows if row["name"] == "rpm"}
    assert {name.split("/")[-1]: used for name, used in own.items()} == {
        "tiny:latest": 1, "other:latest": 1}
    assert [row["used"] for row in rows if row["name"] == "some"] == [1]


def test_more_users_than_counters(stable, tmp_path):
    corral, _ = with_users(stable, tmp_path, dict(RPM, per=["user"]), limits={"counters_per_tenant": 64})
    assert [as_user(corral, "user-%d" % i).status for i in range(64)] == [200] * 64
    refused = as_user(corral, "one too many")
    assert refused.status == 503 and refused.field("retry-after")
    assert as_user(corral, "user-0").status == 200
    assert corral.metrics().sum("corral_limited_total", limit="limit_store_full") == 1


# ---- budgets, shadow, reload ----

def test_a_budget_is_used_up(stable):
    corral, _ = limited(stable, {"name": "daily", "tokens": 60, "calendar": "day"})
    assert corral.post("/api/chat", chat(tokens=1000)).status == 200
    refused = corral.post("/v1/chat/completions", dict(STREAMS[2][1], model="tiny"))
    left = 86400 - time.time() % 86400
    assert refused.status == 429 and refused.json["error"]["code"] == "insufficient_quota"
    assert abs(int(refused.field("retry-after")) - left) < 5
    assert refused.field("x-should-retry") == ("false" if left > 60 else None)
    assert refused.field("ratelimit-policy") == '"daily";q=60;w=86400'


def test_shadow_counts_and_refuses_nothing(stable):
    corral, sim = limited(stable, dict(RPM, requests=1, shadow=True), dict(TPM, tokens=40, shadow=True))
    answers = [corral.post("/api/chat", chat(tokens=50)) for _ in range(3)]
    assert [a.status for a in answers] == [200] * 3
    assert [a.lines[-1]["eval_count"] for a in answers] == [50] * 3
    assert answers[0].field("ratelimit") is None and answers[0].field("ratelimit-policy") is None
    assert json.loads(sim.last("/api/chat")[2])["options"]["num_predict"] == 50
    now = corral.metrics()
    assert now.sum("corral_shadow_limited_total", limit="rpm") == 2
    assert now.sum("corral_shadow_limited_total", limit="tpm") >= 2
    assert now.sum("corral_limited_total") == 0


def test_a_count_goes_on_over_a_reload(stable):
    corral, _ = limited(stable, TPM, speed="50")
    assert corral.post("/api/chat", chat(tokens=5)).status == 200
    used = settled(corral)[0]["used"]
    with corral.open_chat(tokens=20) as running:
        running.until(b"\n")
        config = dict(corral.config)
        config["tenants"] = [dict(t, limits=[dict(TPM, tokens=40)] if t["name"] == "acme" else [])
                             for t in config["tenants"]]
        corral.reload(config)
        assert running.answer().end == "whole"
    row = settled(corral)[0]
    assert row["limit"] == 40 and row["used"] + row["debt"] > used
    assert corral.post("/api/chat", chat()).status == 429


# ---- usage ----

def test_usage_is_for_who_asks(stable):
    corral, _ = limited(stable, TPM)
    assert corral.get("/corral/v1/usage", None).status == 401
    assert corral.post("/corral/v1/usage", {}).status == 405
    answer = corral.get("/corral/v1/usage", "beta")
    assert answer.json["tenant"] == "beta" and answer.json["limits"] == []
    assert answer.field("cache-control") == "no-store"
    row = usage(corral, "tpm")
    assert row == {"name": "tpm", "window_s": 60, "kind": "tokens", "per_user": False, "shadow": False,
                   "limit": 1000, "used": 0, "reserved": 0, "debt": 0, "remaining": 1000, "reset_s": 60}


# ---- over a restart ----

DAILY = {"name": "daily", "tokens": 1000, "calendar": "day", "per": ["user"]}


def test_a_budget_survives_a_restart(stable, tmp_path):
    state = tmp_path / "state"
    state.mkdir()
    corral, sim = limited(stable, DAILY, dict(TPM, name="window"), state_dir=str(state))
    assert corral.post("/api/chat", chat(tokens=50)).status == 200
    used = settled(corral, "daily")[0]["used"]
    assert corral.stop() == 0
    again = stable.corral(sim, slots=64, state_dir=str(state),
                          tenants={"acme": {"limits": [DAILY, dict(TPM, name="window")]}, "beta": {}})
    assert usage(again, "daily")["used"] == used > 50
    assert usage(again, "window")["used"] == 0  # windows begin anew
    assert again.metrics().sum("corral_budget_writes_failed_total") == 0


def test_a_kill_loses_a_second_at_most(stable, tmp_path):
    state = tmp_path / "state"
    state.mkdir()
    corral, sim = limited(stable, DAILY, state_dir=str(state), speed="0")
    assert corral.post("/api/chat", chat(tokens=50)).status == 200
    used = settled(corral, "daily")[0]["used"]
    wait_for(lambda: corral.metrics().sum("corral_budget_rows_written_total") > 0, 5, "a written budget")
    assert corral.post("/api/chat", chat(tokens=20)).status == 200
    corral.process.kill()
    corral.process.wait(10)
    stable.corrals.remove(corral)
    again = stable.corral(sim, slots=64, state_dir=str(state),
                          tenants={"acme": {"limits": [DAILY]}, "beta": {}})
    assert usage(again, "daily")["used"] >= used


def test_a_budget_comes_with_a_reload(stable, tmp_path):
    """A tenant that gets its limits back by a reload goes on where its budget stood."""
    state = tmp_path / "state"
    state.mkdir()
    corral, sim = limited(stable, DAILY, state_dir=str(state))
    assert corral.post("/api/chat", chat(tokens=50)).status == 200
    used = settled(corral, "daily")[0]["used"]
    assert corral.stop() == 0
    again = stable.corral(sim, slots=64, state_dir=str(state), tenants={"acme": {}, "beta": {}})
    config = dict(again.config)
    config["tenants"] = [dict(t, limits=[DAILY] if t["name"] == "acme" else []) for t in config["tenants"]]
    again.reload(config)
    assert usage(again, "daily")["used"] == used


def test_a_second_corral_on_the_same_folder_does_not_start(stable, tmp_path):
    state = tmp_path / "state"
    state.mkdir()
    corral, sim = limited(stable, DAILY, state_dir=str(state))
    second = stable.corral(sim, wait=False, state_dir=str(state), tenants={"acme": {"limits": [DAILY]}})
    second.exit_expected = 1
    assert second.wait_exit() == 1
    assert "limits.db" in second.text() and "in use by another process" in second.text(), second.text()
    assert usage(corral, "daily")["used"] == 0


@pytest.mark.parametrize("content", [b"no database at all\n" * 100, b"SQLite format 3\0" + b"x" * 4096],
                         ids=["text", "broken"])
def test_a_damaged_file_is_not_touched(stable, tmp_path, content):
    state = tmp_path / "state"
    state.mkdir()
    (state / "limits.db").write_bytes(content)
    sim = stable.sim()
    corral = stable.corral(sim, wait=False, state_dir=str(state), tenants={"acme": {"limits": [DAILY]}})
    corral.exit_expected = 1
    assert corral.wait_exit() == 1
    assert str(state / "limits.db") in corral.text()
    assert (state / "limits.db").read_bytes() == content


ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT "


@pytest.mark.parametrize("sql", [
    "DROP TABLE meta; CREATE VIEW meta(name, value) AS " + ENDLESS +
    "CASE WHEN i < 0 THEN 'schema' END, i FROM n",
    "DROP TABLE counters; CREATE VIEW counters(tenant, key, ends_ms, used, debt) AS " + ENDLESS +
    "'acme', zeroblob(16), i, i, i FROM n",
    "CREATE TRIGGER t INSERT ON counters BEGIN DELETE FROM counters; END"])
def test_a_file_that_somebody_wrote_to_is_refused_soon(stable, tmp_path, sql):
    """What stands in a database is run by the first question: nothing foreign may stand there."""
    state = tmp_path / "state"
    state.mkdir()
    corral, sim = limited(stable, DAILY, state_dir=str(state))
    assert corral.post("/api/chat", chat()).status == 200
    assert corral.stop() == 0
    with sqlite3.connect(state / "limits.db") as db:
        db.executescript(sql)
    db.close()
    content = (state / "limits.db").read_bytes()
    again = stable.corral(sim, wait=False, state_dir=str(state), tenants={"acme": {"limits": [DAILY]}})
    again.exit_expected = 1
    assert again.wait_exit(5) == 1
    assert "did not make" in again.text() and str(state / "limits.db") in again.text()
    assert (state / "limits.db").read_bytes() == content


def test_budgets_without_a_folder_are_warned_about(stable):
    corral, _ = limited(stable, DAILY)
    assert [line["level"] for line in corral.logged("budgets.not_kept")] == ["warn"]


@pytest.mark.parametrize("folder", [False, True])
def test_a_reload_that_brings_the_first_budget_warns(stable, monkeypatch, tmp_path, folder):
    """With a folder that nothing was to be kept in at the start: kept after a restart."""
    if folder:
        monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    corral, _ = limited(stable)
    config = dict(corral.config)
    config["tenants"] = [dict(t, limits=[DAILY]) for t in config["tenants"]]
    assert corral.logged("budgets.not_kept") == []
    corral.reload(config)
    corral.reload(config)  # nothing new: nothing to say
    wait_for(lambda: corral.logged("budgets.not_kept"), 3, "the warning")
    [line] = corral.logged("budgets.not_kept")
    assert line["level"] == "warn" and ("a restart" if folder else "set state_dir") in line["detail"]
