"""The last replica is lost, and comes back or not: who waits, for how long (queue.replica_grace_s)."""

import threading
import time

import pytest

import h1
from harness import chat, free_port, in_the_background, together, wait_for


def is_ready(corral):
    return h1.ask(corral.health, h1.get("/readyz")).status == 200


def lose(corral, sim):
    """kill -9, and wait until the gateway knows."""
    sim.kill()
    wait_for(lambda: not is_ready(corral), 5, "the loss to be seen")


def test_a_restart_loses_nothing_that_was_not_begun(stable):
    """Waiting before it, arriving during it, and granted at the very moment of it.

    One may be sent while the server dies: its kernel still accepts and acknowledges a connection that the process
    never sees. Nothing tells that from a request that was begun, so it is not sent again: 502.
    """
    sim = stable.sim("--tokens-per-s", "50").warm()
    port = sim.port
    corral = stable.corral(sim, tenants={"acme": {"max_waiting": 100}, "beta": {"max_waiting": 100}})
    with corral.open_chat(tokens=1000) as running:
        running.until(b'"done":false')
        before = in_the_background(
            20, lambda i: corral.post("/api/chat", chat(tokens=2), ("acme", "beta")[i % 2], timeout=40))
        wait_for(lambda: corral.waiting() == 20, 10, "twenty that wait")
        sim.kill()
        assert running.answer(timeout=5).end == "fin", "what ran is cut"
    during = in_the_background(
        20, lambda i: corral.post(("/api/chat", "/v1/chat/completions")[i % 2], chat(tokens=2), timeout=40))
    def sent_to_the_dying():
        return [line for line in corral.logged("access") if line["reason"] == "closed_early"]
    wait_for(lambda: corral.waiting() + len(sent_to_the_dying()) == 40, 10, "forty that wait")
    time.sleep(1.5)  # it stays away for more than a poll
    lost = len(sent_to_the_dying())
    assert corral.waiting() == 40 - lost and lost <= 1
    began = time.monotonic()
    again = stable.sim("--tokens-per-s", "0", "--slots", "4", port=port)
    assert corral.post("/api/chat", chat(), timeout=40).status == 200
    answers = before() + during()
    print("all served %.2f s after the return" % (time.monotonic() - began))
    assert sorted(a.status for a in answers) == [200] * (40 - lost) + [502] * lost, answers
    assert again.posts() == 41 - lost, "each was sent once"
    corral.wait_idle()


def test_it_is_served_within_a_second_of_the_return(stable):
    sim = stable.sim("--tokens-per-s", "0").warm()
    corral = stable.corral(sim)
    lose(corral, sim)
    waiter = in_the_background(1, lambda i: (corral.post("/api/chat", chat(), timeout=40).status,
                                             time.monotonic()))
    wait_for(lambda: corral.waiting() == 1, 5, "the waiter")
    stable.sim("--tokens-per-s", "0", port=sim.port)
    began = time.monotonic()
    status, at = waiter()[0]
    print("served %.3f s after the return" % (at - began))
    assert status == 200 and at - began < 1.2


def test_after_the_grace_all_are_refused(stable):
    """Those that wait within a second of its end; those that come later at once; then it heals."""
    sim = stable.sim("--tokens-per-s", "0").warm()
    corral = stable.corral(sim, queue={"replica_grace_s": 3})
    began = time.monotonic()
    lose(corral, sim)
    paths = ("/api/chat", "/v1/chat/completions", "/v1/messages", "/api/embed", "/api/show")

    def ask(i):
        answer = corral.post(paths[i % 5], chat(max_tokens=3, input="x"), timeout=20)
        return answer, time.monotonic() - began
    early = in_the_background(10, ask)
    wait_for(lambda: corral.waiting() == 10, 5, "ten that wait")
    time.sleep(1)
    late = in_the_background(5, ask)
    for answer, after in early() + late():
        assert answer.status == 503 and int(answer.field("Retry-After")) > 0, answer
        assert 2.5 < after < 4.5, after
        assert corral.access(answer.field("X-Request-Id"))["reason"] == "no_replica"
    for path in paths:
        asked = time.monotonic()
        answer = corral.post(path, chat(max_tokens=3, input="x"))
        assert answer.status == 503 and time.monotonic() - asked < 0.5, answer
    assert corral.waiting() == 0
    stable.sim("--tokens-per-s", "0", port=sim.port)
    wait_for(lambda: corral.post("/api/chat", chat()).status == 200, 3, "the return")
    corral.wait_idle()


def test_the_bounds_of_the_queue_hold_meanwhile(stable):
    sim = stable.sim("--tokens-per-s", "0").warm()
    corral = stable.corral(sim, queue={"max_waiting": 4, "max_wait_s": 2},
                           tenants={"acme": {"max_waiting": 2}, "beta": {"max_waiting": 9}})
    lose(corral, sim)
    with corral.open_chat(), corral.client() as show:
        show.send(h1.post("/api/show", {"model": "tiny"}, corral.key("acme")))
        wait_for(lambda: corral.waiting() == 2, 5, "two of one tenant")
        assert corral.post("/api/chat", chat()).status == 429
        assert corral.post("/api/show", {"model": "tiny"}).status == 429
        with corral.open_chat("beta"), corral.open_chat("beta"):
            wait_for(lambda: corral.waiting() == 4, 5, "four in all")
            assert corral.post("/api/chat", chat(), "beta").status == 503
            began = time.monotonic()
            answer = show.answer(timeout=5)
            assert answer.status == 503 and time.monotonic() - began < 3
            assert corral.access(answer.field("X-Request-Id"))["reason"] == "queue_timeout"
    corral.wait_idle()


def test_who_leaves_meanwhile_gives_the_place_back(stable):
    sim = stable.sim("--tokens-per-s", "0").warm()
    corral = stable.corral(sim)
    lose(corral, sim)
    clients = [corral.open_chat() for _ in range(3)]
    shows = [corral.client().send(h1.post("/api/show", {"model": "tiny"}, corral.key()))
             for _ in range(3)]
    wait_for(lambda: corral.waiting() == 6, 5, "six that wait")
    for client in clients + shows:
        client.close()
    wait_for(lambda: corral.waiting() == 0, 2, "their places")


def test_a_model_is_known_through_a_loss(stable):
    """404 is for what a replica that answers does not have; what was there a moment ago is waited for."""
    big = stable.sim("--models", "big:1B", "--tokens-per-s", "0").warm("big")
    small = stable.sim("--models", "small:1B", "--tokens-per-s", "0").warm("small")
    corral = stable.corral(big, small)
    wait_for(lambda: corral.post("/api/chat", chat("big")).status == 200, 5, "both known")
    big.kill()
    wait_for(lambda: corral.logged("replica.down"), 5, "the loss")
    waiters = in_the_background(2, lambda i: corral.post(("/api/chat", "/api/show")[i], chat("big"), timeout=20))
    wait_for(lambda: corral.waiting() == 2, 5, "both wait")
    for path in ("/api/chat", "/api/show"):
        assert corral.post(path, chat("small")).status == 200
        answer = corral.post(path, chat("nope"))
        assert answer.status == 404, answer
    stable.sim("--models", "big:1B", "--tokens-per-s", "0", port=big.port)
    assert [a.status for a in waiters()] == [200, 200]


def test_at_the_start_requests_wait_as_well(stable, make_config):
    """Started before Ollama: nothing is known yet, not even a model's name."""
    sim = stable.sim("--tokens-per-s", "0")
    port = sim.port
    sim.kill()
    corral = stable.serve(make_config([sim]), wait=False)
    wait_for(lambda: corral.logged("replica.unreachable"), 10, "the first poll")
    waiters = in_the_background(
        4, lambda i: corral.post(("/api/chat", "/api/show")[i % 2], chat(("tiny", "nope")[i // 2]), timeout=40))
    wait_for(lambda: corral.waiting() == 4, 5, "four that wait")
    assert corral.get("/api/tags").status == 503, "a list says what is there now"
    stable.sim("--tokens-per-s", "0", port=port)
    assert [a.status for a in waiters()] == [200, 200, 404, 404]


def test_a_reload_sets_the_grace(stable):
    sim = stable.sim("--tokens-per-s", "0").warm()
    corral = stable.corral(sim)
    lose(corral, sim)
    waiter = in_the_background(1, lambda i: corral.post("/api/chat", chat(), timeout=40))
    wait_for(lambda: corral.waiting() == 1, 5, "the waiter")
    corral.reload({**corral.config, "queue": {"replica_grace_s": 1}})
    assert waiter()[0].status == 503
    began = time.monotonic()
    assert corral.post("/api/chat", chat()).status == 503 and time.monotonic() - began < 0.5


@pytest.mark.parametrize("times", [3])
def test_restarts_under_load(stable, times):
    """A client that asks all the time: only what was begun may fail, and a replica sees nothing twice."""
    sim = stable.sim("--tokens-per-s", "0", "--slots", "4").warm()
    corral = stable.corral(sim, slots=4)
    stop = threading.Event()

    def ask_on(_):
        seen = []
        while not stop.is_set():
            answer = corral.post("/api/chat", chat(tokens=1), timeout=40)
            seen.append((answer.status, answer.end))
        return seen
    asking = in_the_background(6, ask_on)
    posts = 0
    for _ in range(times):
        time.sleep(0.5)
        posts += sim.posts()
        sim.kill()
        time.sleep(0.3)
        sim = stable.sim("--tokens-per-s", "0", "--slots", "4", port=sim.port)
        wait_for(lambda: is_ready(corral), 5, "the return")
    time.sleep(0.5)
    stop.set()
    seen = [one for some in asking() for one in some]
    lost = [one for one in seen if one != (200, "whole")]
    print("%d answers, %d lost of %d restarts: %s" % (len(seen), len(lost), times, lost))
    assert len(seen) > 100 and len(lost) <= 6 * times
    assert all(status in (200, 502) for status, _ in lost), "and none was refused"
    corral.wait_idle()


def test_two_replicas_and_the_other_one_serves(stable):
    """Nobody waits for a lost replica while another one has the model."""
    one, two = (stable.sim("--tokens-per-s", "0", "--slots", "8").warm() for _ in range(2))
    corral = stable.corral(one, two, slots=8)
    one.kill()
    began = time.monotonic()
    answers = together(20, lambda i: corral.post("/api/chat", chat(tokens=1), timeout=20))
    assert [a.status for a in answers] == [200] * 20
    assert time.monotonic() - began < 3
    corral.wait_idle()


def test_five_thousand_replicas_one_after_the_other(stable):
    """Pods come and go for months: each has a name and a number of its own, however many there were before."""
    sim = stable.sim("--tokens-per-s", "0").warm()
    corral = stable.corral(sim, queue={"replica_grace_s": 0}, sandbox={"mode": "off"})  # which allows no new ports
    port = free_port()  # nobody listens there
    for turn in range(6):
        config = {**corral.config, "replicas": [{"url": "http://127.%d.%d.%d:%d" % (1 + turn, i // 250, 1 + i % 250, port)}
                                                for i in range(900)]}
        corral.reload(config)
    others = [stable.sim("--tokens-per-s", "0").warm() for _ in range(2)]
    corral.reload({**corral.config, "replicas": [{"url": s.url} for s in others]})
    wait_for(lambda: {labels["replica"] for name, labels, _ in corral.metrics().series
                      if name == "corral_slots"} == {s.replica for s in others}, 10, "the rows of those that are there")
    answers = together(2, lambda _: corral.post("/api/chat", chat(tokens=20)))
    assert [a.status for a in answers] == [200, 200]
    assert {corral.access(a.field("X-Request-Id"))["replica"] for a in answers} <= {s.replica for s in others}
    assert not corral.logged("replica.too_many")
