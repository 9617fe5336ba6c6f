"""A gateway that is replaced under load: what its load balancer has not noticed yet is served (timeouts.drain_delay_s).

Kubernetes tells a pod to end and takes it out of its Service at the same time; the latter arrives everywhere one or
two seconds later. Until then new connections come, and every one of them must be served.
"""

import signal
import threading
import time

import h1
from harness import PROTOCOL, chat, in_the_background, wait_for, wire

LAG_S = 2.0
H2 = PROTOCOL == "h2"


def ready(corral):
    try:
        return h1.ask(corral.health, h1.get("/readyz"), timeout=2).status == 200
    except OSError:
        return False


class Balancer:
    """Chooses a gateway for each connection in turn; learns LAG_S late that one is not ready any more."""

    def __init__(self):
        self.lock, self.members, self.turn, self.over = threading.Lock(), {}, 0, False
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def add(self, corral):
        with self.lock:
            self.members[corral] = None
        return corral

    def pick(self):
        with self.lock:
            self.turn += 1
            members = list(self.members)
            return members[self.turn % len(members)].address

    def _watch(self):
        while not self.over:
            now = time.monotonic()
            for corral in list(self.members):
                if ready(corral):
                    self.members[corral] = None
                elif self.members[corral] is None:
                    self.members[corral] = now
                elif now - self.members[corral] > LAG_S:
                    with self.lock:
                        del self.members[corral]
            time.sleep(0.05)

    def close(self):
        self.over = True
        self.thread.join(5)


class Person:
    """Keeps its connection while it may, as every HTTP client does; `losses` says what went wrong."""

    def __init__(self, pick, data, losses):
        self.pick, self.data, self.losses, self.client, self.asked = pick, data, losses, None, 0

    def _connect(self):
        if self.client and (self.client.wait_end(0.001) != "open" or (H2 and self.client.wire.goaways)):
            self.client.close()
            self.client = None
        self.client = self.client or wire.Client(self.pick(), timeout=15)

    def ask(self):
        try:
            self._connect()
            self.asked += 1
            self.client.send(self.data)
            answer = self.client.answer()
        except OSError as error:
            self.losses.append(repr(error))
            self.client = None
            return
        if answer.status != 200 or answer.end != "whole":
            self.losses.append(repr(answer))
            self.client.close()
            self.client = None
        elif answer.field("Connection") == "close":
            self.client.close()
            self.client = None

    def go_on(self, over, pause):
        while not over.is_set():
            self.ask()
            over.wait(pause)
        if self.client:
            self.client.close()
        return self.asked


def crowd(pick, key, over, losses):
    """50 requests a second from ten people, and twenty streams of two seconds each, one after the other."""
    short = h1.post("/api/chat", {**chat(tokens=2), "stream": False}, key)
    long = h1.post("/api/chat", chat(tokens=100), key)
    people = [Person(pick, short, losses) for _ in range(10)] + [Person(pick, long, losses) for _ in range(20)]
    return in_the_background(30, lambda i: people[i].go_on(over, 0.2 if i < 10 else 0.0))


SETTINGS = {"slots": 200, "tenants": {"acme": {"max_running": 200}}}


def test_nothing_is_lost_in_a_rolling_update(stable):
    sim = stable.sim("--tokens-per-s", "50", "--slots", "200", "--models", "tiny:1M").warm()
    settings = {**SETTINGS, "timeouts": {"drain_delay_s": 3, "drain_s": 30}}
    balancer, over, losses = Balancer(), threading.Event(), []
    first = [balancer.add(stable.corral(sim, **settings)) for _ in range(2)]
    join = crowd(balancer.pick, first[0].key(), over, losses)
    time.sleep(1)
    for old in first:
        balancer.add(stable.corral(sim, **settings))
        old.signal(signal.SIGTERM)
        assert old.wait_exit(20) == 0
    time.sleep(0.5)
    over.set()
    asked = join()
    balancer.close()
    assert losses == [], "%d of %d: %s" % (len(losses), sum(asked), losses[:3])
    assert sum(asked[:10]) > 200 and sum(asked[10:]) > 60
    late = [c for c in stable.corrals[2:] if len(c.logged("access")) < 20]
    assert not late, "the new ones were used"


def test_a_restart_loses_nothing_for_who_tries_again(stable):
    """One gateway, as `systemctl restart` does it: what runs is finished, and a client that is refused comes again."""
    sim = stable.sim("--tokens-per-s", "50", "--slots", "200", "--models", "tiny:1M").warm()
    corral = stable.corral(sim, **SETTINGS)
    running = [corral.open_chat(tokens=100) for _ in range(20)]
    for client in running:
        client.data = client.until(b'"done":false') + client.data
    refused, lost, asked = [], [], []
    over = threading.Event()
    data = h1.post("/api/chat", {**chat(tokens=2), "stream": False}, corral.key())

    def keep_asking(_):
        while not over.is_set():
            for _ in range(200):
                try:
                    answer = wire.ask(corral.address, data)
                except OSError as error:
                    refused.append(repr(error))
                    time.sleep(0.05)
                    continue
                if answer.status != 200 or answer.end != "whole":
                    lost.append(repr(answer))
                asked.append(1)
                break
            else:
                lost.append("tried for ten seconds")
            time.sleep(0.1)
    join = in_the_background(5, keep_asking)
    time.sleep(0.3)
    corral.signal(signal.SIGTERM)
    assert corral.wait_exit(10) == 0
    again = stable.serve(corral.config)
    time.sleep(0.5)
    over.set()
    join()
    assert lost == [] and refused and len(asked) > 20, (lost[:3], len(refused), len(asked))
    for client in running:
        answer = client.answer()
        assert answer.end == "whole" and answer.lines[-1]["eval_count"] == 100
        client.close()
    assert again.get("/").status == 200


def test_it_is_not_ready_and_serves_on_for_the_delay(stable):
    sim = stable.sim("--tokens-per-s", "50", "--slots", "4").warm()
    corral = stable.corral(sim, slots=4, timeouts={"drain_delay_s": 2})
    idle, unused = corral.client(), corral.client()
    idle.send(h1.get("/api/version", corral.key()))
    assert idle.answer("GET").status == 200
    with corral.open_chat(tokens=200) as running:
        running.data = running.until(b'"done":false') + running.data
        began = time.monotonic()
        corral.signal(signal.SIGTERM)
        wait_for(lambda: not ready(corral), 1, "not ready")
        assert time.monotonic() - began < 0.5
        assert b"draining" in h1.ask(corral.health, h1.get("/readyz")).body
        if H2:
            assert idle.wire.wait_goaway(1) == 0, "an idle connection is asked to come again elsewhere"
        else:
            assert idle.wait_end(0.2) == "open", "a client may just be sending on it"
        for client in (idle, unused, corral.client()):
            client.send(h1.get("/api/version", corral.key()))
            answer = client.answer("GET")
            assert answer.status == 200 and answer.end == "whole", answer
            if H2:
                assert client.wire.wait_goaway(1) == 0
            else:
                assert answer.field("Connection") == "close" and client.wait_end(1) == "fin"
            client.close()
        assert time.monotonic() - began < 1.8, "all of that within the delay"
        wait_for(lambda: corral.logged("drain.delay"), 1, "a line about it")
        assert not corral.logged("drain.begin")
        wait_for(corral.refuses_connections, 4, "no new connections")
        assert 1.9 < time.monotonic() - began < 3
        answer = running.answer()
        assert answer.end == "whole" and answer.lines[-1]["eval_count"] == 200
    assert corral.wait_exit(5) == 0


def test_a_second_signal_ends_the_delay(stable):
    corral = stable.corral(stable.sim(), timeouts={"drain_delay_s": 600})
    corral.signal(signal.SIGTERM)
    wait_for(lambda: not ready(corral), 1, "not ready")
    corral.signal(signal.SIGTERM)
    assert corral.wait_exit(3) == 0
