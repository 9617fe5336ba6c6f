"""Whose turn it is: slots, weights, bounds and order of the queue (F05, F06)."""

import threading
import time

import pytest

import h1
from harness import chat, together, wait_for


def backlog(corral, tenant, stop, size, path="/api/chat"):
    """One client that always has a request waiting."""
    data = h1.post(path, chat(tokens=size), corral.key(tenant))
    while not stop.is_set():
        with corral.client(timeout=60) as client:
            client.send(data)
            while not stop.is_set():
                answer = client.answer()
                if answer.status == 429:
                    time.sleep(0.02)
                elif answer.status != 200 or answer.end != "whole":
                    return
                client.send(data)


def share(corral, clients, seconds):
    """Run clients = [(tenant, how many, tokens)]; units of service by tenant meanwhile."""
    stop = threading.Event()
    threads = [threading.Thread(target=backlog, args=(corral, tenant, stop, size), daemon=True)
               for tenant, count, size in clients for _ in range(count)]
    for thread in threads:
        thread.start()
    wait_for(lambda: corral.waiting() >= len(threads) // 2, 10, "backlog")

    def units():
        now = corral.metrics()
        return {tenant: now.sum("corral_service_units_total", tenant=tenant)
                for tenant, _, _ in clients}
    before = units()
    time.sleep(seconds)
    after = units()
    stop.set()
    for thread in threads:
        thread.join(20)
    return {tenant: after[tenant] - before[tenant] for tenant in after}


@pytest.mark.parametrize("weights,wanted", [((1, 1), 1.0), ((1, 3), 3.0)])
def test_two_tenants_share_one_slot_by_weight(stable, weights, wanted):
    """One sends ten times the requests, each eight times as long: it gets no more for that."""
    sim = stable.sim("--tokens-per-s", "1000").warm()
    corral = stable.corral(sim, tenants={
        "acme": {"weight": weights[0], "max_running": 100, "max_waiting": 100},
        "beta": {"weight": weights[1], "max_running": 100, "max_waiting": 100}})
    got = share(corral, [("acme", 20, 80), ("beta", 4, 10)], 12)
    ratio = got["beta"] / got["acme"]
    print("service acme %(acme)d beta %(beta)d" % got, "ratio %.3f, wanted %g" % (ratio, wanted))
    assert abs(ratio / wanted - 1) < 0.10
    assert sim.stat("max_in_flight") == 1


def test_an_idle_tenants_share_is_used(stable):
    sim = stable.sim("--tokens-per-s", "200").warm()
    corral = stable.corral(sim)
    alone = together(6, lambda i: corral.post("/api/chat", chat(tokens=10), "acme"))
    assert [a.status for a in alone] == [200] * 6
    began = time.monotonic()  # 6 x 10 tokens at 200/s: the slot was never idle for long
    together(6, lambda i: corral.post("/api/chat", chat(tokens=10), "acme"))
    assert time.monotonic() - began < 6 * 0.05 + 1.0


def test_a_returning_tenant_has_no_credit_and_does_not_starve(stable):
    sim = stable.sim("--tokens-per-s", "500").warm()
    corral = stable.corral(sim, tenants={"acme": {"max_waiting": 100}, "beta": {}})
    stop = threading.Event()
    threads = [threading.Thread(target=backlog, args=(corral, "acme", stop, 25), daemon=True)
               for _ in range(20)]
    for thread in threads:
        thread.start()
    wait_for(lambda: corral.waiting() >= 15, 10, "backlog")
    time.sleep(1.5)
    waits = []
    for _ in range(5):
        began = time.monotonic()
        assert corral.post("/api/chat", chat(tokens=5), "beta").status == 200
        waits.append(time.monotonic() - began)
        time.sleep(0.1)
    stop.set()
    for thread in threads:
        thread.join(20)
    print("waits of the newcomer", ["%.3f" % w for w in waits])
    assert max(waits) < 0.6, "20 x 50 ms stood before it"


@pytest.mark.parametrize("slots", [1, 2, 5])
def test_slots_are_never_exceeded(stable, slots):
    sims = [stable.sim("--tokens-per-s", "500", "--slots", "64").warm() for _ in range(2)]
    corral = stable.corral(*sims, slots=slots)
    answers = together(40, lambda i: corral.post("/api/chat", chat(tokens=10), timeout=60))
    assert [a.status for a in answers] == [200] * 40
    seen = [sim.stats()["models"]["tiny:latest"]["max_running"] for sim in sims]
    assert seen == [slots, slots], "full, and never more"
    corral.wait_idle()


def test_models_do_not_wait_for_each_other(stable):
    sim = stable.sim("--tokens-per-s", "20", "--slots", "8").warm("tiny", "embed")
    corral = stable.corral(sim)
    with corral.open_chat(tokens=200) as running:
        running.until(b'"done":false')
        began = time.monotonic()
        assert corral.post("/api/embed", {"model": "embed", "input": "x"}).status == 200
        assert corral.post("/api/show", {"model": "tiny"}).status == 200
        assert time.monotonic() - began < 0.5


def test_max_running_waits(stable):
    sim = stable.sim("--tokens-per-s", "100", "--slots", "8").warm()
    corral = stable.corral(sim, slots=8, tenants={"acme": {"max_running": 2}, "beta": {}})
    with corral.open_chat(tokens=100) as one, corral.open_chat(tokens=100) as two:
        for client in (one, two):
            client.until(b'"done":false')
        with corral.open_chat(tokens=2) as third:
            wait_for(lambda: corral.waiting() == 1, 5, "the third waits")
            assert corral.post("/api/chat", chat(), "beta").status == 200, "beta is not held up"
            assert third.answer().status == 200
    assert sim.stat("max_in_flight") <= 3


def hold(corral, tenant="acme"):
    """A running stream that keeps the one slot."""
    client = corral.open_chat(tenant, tokens=2000, timeout=60)
    client.until(b'"done":false')
    return client


def test_a_full_queue_of_the_tenant_is_429(stable):
    sim = stable.sim("--tokens-per-s", "20").warm()
    corral = stable.corral(sim, tenants={"acme": {"max_waiting": 2}, "beta": {}})
    with hold(corral), corral.open_chat(), corral.open_chat():
        wait_for(lambda: corral.waiting() == 2, 5, "two waiters")
        for path in ("/api/chat", "/v1/chat/completions", "/v1/messages"):
            answer = corral.post(path, chat(max_tokens=2))
            assert answer.status == 429 and int(answer.field("Retry-After")) > 0, answer
            assert answer.json["error"]
            line = corral.access(answer.field("X-Request-Id"))
            assert line["reason"] == "tenant_queue_full"
        with corral.open_chat("beta"):
            wait_for(lambda: corral.waiting() == 3, 5, "beta may wait")
    assert corral.metrics().sum("corral_limited_total", tenant="acme") == 3
    corral.wait_idle()


def test_a_full_queue_is_503(stable):
    sim = stable.sim("--tokens-per-s", "20").warm()
    corral = stable.corral(sim, queue={"max_waiting": 2})
    with hold(corral), corral.open_chat(), corral.open_chat("beta"):
        wait_for(lambda: corral.waiting() == 2, 5, "two waiters")
        answer = corral.post("/v1/chat/completions", chat(), "beta")
        assert answer.status == 503 and int(answer.field("Retry-After")) > 0, answer
        assert corral.access(answer.field("X-Request-Id"))["reason"] == "queue_full"
    corral.wait_idle()


def test_a_wait_has_an_end(stable):
    sim = stable.sim("--tokens-per-s", "20").warm()
    corral = stable.corral(sim, queue={"max_wait_s": 1})
    with hold(corral):
        began = time.monotonic()
        answer = corral.post("/api/chat", chat())
        assert answer.status == 503 and 0.9 < time.monotonic() - began < 2.5, answer
        assert answer.field("Retry-After")
        assert corral.access(answer.field("X-Request-Id"))["reason"] == "queue_timeout"
        assert corral.waiting() == 0
    corral.wait_idle()


def test_first_come_first_served_within_a_tenant(stable):
    sim = stable.sim("--tokens-per-s", "200").warm()
    corral = stable.corral(sim)
    running = hold(corral)
    waiters = []
    for i in range(8):
        waiters.append(corral.open_chat(tokens=3, timeout=30))
        wait_for(lambda n=i: corral.waiting() == n + 1, 5, "each in its place")
    gone = waiters.pop(3)
    gone.leave("fin")
    wait_for(lambda: corral.waiting() == 7, 2, "the one that left")
    running.close()
    done = together(len(waiters), lambda i: (waiters[i].answer().end, time.monotonic()))
    assert [end for end, _ in done] == ["whole"] * 7
    assert [at for _, at in done] == sorted(at for _, at in done), "in the order of their coming"
    for client in waiters:
        client.close()
    corral.wait_idle()


def test_work_goes_where_the_model_is_loaded(stable):
    cold, warm = stable.sim("--tokens-per-s", "0"), stable.sim("--tokens-per-s", "0")
    warm.warm()
    corral = stable.corral(cold, warm)
    for _ in range(10):
        assert corral.post("/api/chat", chat()).status == 200
    assert cold.stat("loads") == 0 and cold.posts() == 0
    assert warm.stats()["requests"]["POST /api/chat"] == 10


def test_two_cold_models_load_one_after_the_other(stable):
    sim = stable.sim("--models", "a:1B,b:1B", "--load-ms", "300", "--tokens-per-s", "0",
                     "--slots", "4")
    corral = stable.corral(sim, slots=4)
    answers = together(8, lambda i: corral.post("/api/chat", chat("ab"[i % 2]), timeout=20))
    assert [a.status for a in answers] == [200] * 8
    seen = sim.stats()
    assert (seen["loads"], seen["max_loading"]) == (2, 1)
