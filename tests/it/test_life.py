"""Start, reload, drain and stop: F21 and the edges of a process's life."""

import json
import os
import pathlib
import resource
import signal
import subprocess
import threading
import time

import pytest

import h1
import harness
from harness import chat, together, wait_for


RATE = 2  # tokens a second: a thousand threads of Python read no more


def many(count):
    return {"acme": {"max_running": count, "max_waiting": count}}


def begin_streams(corral, streams, tokens):
    """Threads with chats, over HTTP/2 fifty on a connection, and where they note their ends."""
    each, ends = 50 if harness.PROTOCOL == "h2" else 1, []

    def run():
        with corral.client(timeout=tokens / RATE + 60) as client:
            for _ in range(each):
                client.send(corral.chat_bytes(tokens=tokens))
            for _ in range(each):
                done = client.answer()
                ends.append((done.status, done.end, done.lines[-1].get("eval_count")))
    threads = [threading.Thread(target=run, daemon=True) for _ in range(streams // each)]
    for thread in threads:
        thread.start()
    return threads, ends


def reload_under_streams(stable, streams, tokens, reloads, pause):
    sim = stable.sim("--tokens-per-s", str(RATE), "--slots", str(streams)).warm()
    corral = stable.corral(sim, slots=streams, tenants=many(streams))
    threads, ends = begin_streams(corral, streams, tokens)
    wait_for(lambda: sim.stat("in_flight") == streams, 20, "the streams")
    for i in range(reloads):
        # Each one different, so that nothing may be taken for unchanged.
        corral.reload({**corral.config, "queue": {"max_waiting": 1000 + i}})
        time.sleep(pause)
    assert corral.reloads("ok") == reloads
    for thread in threads:
        thread.join(tokens / RATE + 60)
    assert ends == [(200, "whole", tokens)] * streams
    assert sim.stat("aborted") == 0
    corral.wait_idle()


def test_fifty_reloads_under_fifty_streams(stable):
    reload_under_streams(stable, 50, 12, 50, 0)


def test_a_reload_each_second_under_a_thousand_streams(stable):
    reload_under_streams(stable, 1000, 34, 10, 1)


@pytest.mark.long
def test_a_reload_each_second_for_ten_minutes(stable):
    reload_under_streams(stable, 1000, 1240, 595, 1)


def test_a_reload_changes_what_it_says(stable):
    one, two = (stable.sim("--tokens-per-s", "0").warm() for _ in range(2))
    # The sandbox allows only the ports of the start.
    corral = stable.corral(one, *([two] if harness.is_boxed() else []), tenants={"acme": {}, "beta": {}})
    assert corral.get("/api/tags", "beta").status == 200
    config = json.loads(json.dumps(corral.config))
    config["replicas"] = [{"url": two.url}]
    config["tenants"][1]["verbs"] = ["chat"]
    corral.reload(config)
    wait_for(lambda: corral.get("/api/tags", "beta").status == 403, 2, "the new rights")
    wait_for(lambda: corral.post("/api/chat", chat()).status == 200, 5, "the new replica")
    assert two.stats()["requests"].get("POST /api/chat", 0) >= 1
    before = one.posts()
    corral.post("/api/chat", chat())
    assert one.posts() == before
    done = corral.metrics().sum("corral_requests_total", tenant="acme", route="/api/chat")
    assert done >= 2, "counters survive"


# S-354: broken syntax, nothing, wrong kinds, a word for a number, an unknown key, no text at all.
BAD = ["listeners: [", "{}", '{"listeners": 3}', "workers: many\n", "nonsense: 1\n", "",
       "\x00\x01\x02\x7f" * 100, "# much\n" * (15 << 20)]


def test_a_bad_configuration_keeps_the_old(stable):
    sim = stable.sim("--tokens-per-s", "50").warm()
    corral = stable.corral(sim)
    good = corral.file.read_text()
    with corral.open_chat(tokens=100) as running:
        running.until(b'"done":false')
        for text in BAD + [good[:len(good) // 2], json.dumps({
                **corral.config, "listeners": [{"address": "127.0.0.1:1"}]}), json.dumps({
                    **corral.config, "api_keys_file": "/nonexistent"})]:
            corral.reload(text, result="failed")
            assert corral.get("/api/version").status == 200
        corral.file.unlink()
        before = corral.reloads("failed")
        corral.signal(signal.SIGHUP)
        wait_for(lambda: corral.reloads("failed") == before + 1, 3, "the missing file")
        corral.reload(good)
        assert running.until(b'"done":true')
    wait_for(lambda: len(corral.logged("reload.failed")) == len(BAD) + 4, 2, "the lines")
    events = corral.logged("reload.failed")
    assert all(event["level"] == "error" and event["in_force"] for event in events)
    assert ":1:" in corral.text(), "line and column of what was wrong"


# ---- drain ----


def test_sigterm_drains(stable):
    sim = stable.sim("--tokens-per-s", "50", "--slots", "4").warm()
    corral = stable.corral(sim, slots=4)
    idle = corral.client()
    idle.send(h1.get("/api/version", corral.key()))
    assert idle.answer().status == 200
    running = [corral.open_chat(tokens=80) for _ in range(3)]
    for client in running:
        client.data = client.until(b'"done":false') + client.data
    corral.signal(signal.SIGTERM)
    assert idle.wait_end(2) == "fin", "an idle connection ends at once"
    ready = h1.ask(corral.health, h1.get("/readyz"))
    assert ready.status == 503 and b"draining" in ready.body
    wait_for(corral.refuses_connections, 2, "no new connections")
    for client in running:
        answer = client.answer(timeout=10)
        assert answer.end == "whole" and answer.lines[-1]["eval_count"] == 80
        assert client.wait_end(2) == "fin"
        client.close()
    assert corral.wait_exit(5) == 0
    assert [line["reason"] for line in corral.logged("access")] == ["ok"] * 4, "all are written"


def test_a_waiter_is_served_before_the_end(stable):
    sim = stable.sim("--tokens-per-s", "50").warm()
    corral = stable.corral(sim)
    with corral.open_chat(tokens=40) as running:
        running.until(b'"done":false')
        with corral.open_chat(tokens=3) as waiting:
            wait_for(lambda: corral.waiting() == 1, 3, "a waiter")
            corral.signal(signal.SIGTERM)
            running.until(b'"done":true')
            running.close()
            answer = waiting.answer()
            assert (answer.status, answer.end) == (200, "whole")
            assert harness.PROTOCOL != "h1" or answer.field("Connection") == "close"
    assert corral.wait_exit(5) == 0


@pytest.mark.parametrize("cause", ["limit", "SIGTERM", "SIGINT", "SIGQUIT"])
def test_a_drain_has_an_end(stable, cause):
    """S-353: by its limit, or by a second signal."""
    sim = stable.sim("--tokens-per-s", "50", "--slots", "4").warm()
    corral = stable.corral(sim, slots=4, timeouts={"drain_s": 1 if cause == "limit" else 100})
    corral.exit_expected = 3
    paths = ["/api/chat", "/v1/chat/completions", "/v1/messages"]
    clients = []
    for path in paths:
        body = chat(tokens=5000, max_tokens=5000, stream=True)
        clients.append(corral.client().send(h1.post(path, body, corral.key())))
        clients[-1].data = clients[-1].until(b"\r\n\r\n")
    wait_for(lambda: sim.stat("tokens_sent") > 10, 5, "tokens")
    began = time.monotonic()
    corral.signal(signal.SIGTERM)
    if cause != "limit":
        time.sleep(0.3)
        assert corral.process.poll() is None
        corral.signal(getattr(signal, cause))
    for client in clients:
        answer = client.answer(timeout=5)
        assert answer.end == "fin" and b"error" in answer.body.splitlines()[-1] + \
            answer.body.rstrip().splitlines()[-1], answer
        client.close()
    assert corral.wait_exit(5) == 3
    assert time.monotonic() - began < 4
    wait_for(lambda: sim.stat("aborted") == 3, 3, "the aborts")


def test_stop_at_once_in_every_phase(stable):
    """Two signals while requests load, wait, stream and come in: no leak, no crash."""
    sim = stable.sim("--tokens-per-s", "50", "--prefill-ms", "3000", "--models",
                     "tiny:268.10M,cold:1B").warm()
    sim.config(load_ms=3000)
    corral = stable.corral(sim)
    corral.exit_expected = 3
    clients = [corral.open_chat() for _ in range(3)]
    clients.append(corral.open_chat(model="cold"))
    clients.append(corral.client().send(corral.chat_bytes()[:-3]))
    clients.append(corral.client())
    wait_for(lambda: corral.waiting() == 2, 5, "waiters")
    corral.signal(signal.SIGTERM)
    corral.signal(signal.SIGTERM)
    time.sleep(0.1)
    corral.signal(signal.SIGTERM)
    assert corral.wait_exit(5) == 3
    for client in clients:
        client.close()


# ---- start ----


def serve(corral_file, **kwargs):
    return subprocess.run([os.environ["CORRAL"], "serve", str(corral_file)], capture_output=True,
                          text=True, timeout=20, check=False, **kwargs)


def test_a_second_corral_on_the_port_fails_loudly(stable, make_config):
    sim = stable.sim()
    corral = stable.corral(sim)
    for port in ("listeners", "health", "metrics"):
        config = make_config([sim])
        config[port] = corral.config[port]
        file = corral.folder / ("second-%s.yaml" % port)
        file.write_text(json.dumps(config))
        done = serve(file)
        assert done.returncode == 1
        assert "cannot listen on 127.0.0.1:" in done.stderr and "another corral" in done.stderr
        assert port in done.stderr
    assert corral.get("/api/version").status == 200


def test_too_few_descriptors_are_named(stable, make_config, tmp_path):
    file = tmp_path / "corral.yaml"
    file.write_text(json.dumps(make_config([stable.sim()])))
    done = serve(file, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)))
    assert done.returncode == 1
    assert "64 file descriptors are not enough" in done.stderr and "ulimit -n" in done.stderr


def test_closed_standard_descriptors(stable):
    """A socket must not take the place of standard output or error."""
    sim = stable.sim("--tokens-per-s", "0").warm()
    corral = stable.corral(sim, preexec=lambda: os.closerange(0, 3),
                           log={"file": "/dev/null"})
    for fd in range(3):
        assert os.readlink("/proc/%d/fd/%d" % (corral.process.pid, fd)) == "/dev/null"
    assert corral.post("/api/chat", chat()).status == 200


def test_descriptors_run_out_and_come_back(stable):
    """At the cap of connections new ones are closed, old ones are served."""
    sim = stable.sim("--tokens-per-s", "0").warm()
    corral = stable.corral(sim, limits={"connections": 200})
    clients = [corral.client() for _ in range(230)]
    ends = together(230, lambda i: clients[i].wait_end(0.5))
    assert ends.count("open") == 200, ends.count("open")
    first = clients[ends.index("open")]
    first.send(corral.chat_bytes())
    assert first.answer().status == 200
    for client in clients:
        client.close()
    wait_for(lambda: corral.metrics().sum("corral_open_connections") == 0, 5, "closing")
    assert corral.post("/api/chat", chat()).status == 200


def test_a_log_file_is_opened_again(stable, tmp_path):
    log = tmp_path / "access.log"
    sim = stable.sim("--tokens-per-s", "0").warm()
    corral = stable.corral(sim, log={"file": str(log)})
    assert corral.get("/api/version").status == 200
    wait_for(lambda: "/api/version" in log.read_text(), 3, "the line")
    log.rename(tmp_path / "old.log")
    corral.signal(signal.SIGUSR1)

    def written():
        corral.get("/api/version")
        return log.exists() and "/api/version" in log.read_text()
    wait_for(written, 5, "the new file")
    assert all(json.loads(line) for line in log.read_text().splitlines())
    log.unlink()  # gone without a word: what is written has no name until the next signal
    corral.get("/api/version")
    corral.signal(signal.SIGUSR1)
    wait_for(written, 5, "the file anew")


def test_workers_share_the_connections(stable):
    sim = stable.sim("--tokens-per-s", "0", "--slots", "16").warm()
    corral = stable.corral(sim, workers=4, slots=16)
    answers = together(64, lambda i: corral.post("/api/chat", chat(), timeout=30))
    assert [a.status for a in answers] == [200] * 64
    corral.wait_idle()


def test_health_port_serves_health_only(stable):
    sim = stable.sim()
    corral = stable.corral(sim)
    assert h1.ask(corral.health, h1.get("/healthz")).status == 200
    for path in ("/metrics", "/api/tags", "/"):
        assert h1.ask(corral.health, h1.get(path)).status == 404
        assert h1.ask(corral.metrics_address, h1.get("/api/tags")).status == 404
    for address in (corral.health, corral.metrics_address):
        for data in (b"\xff" * 100 + b"\r\n\r\n", b"POST /healthz HTTP/1.1\r\n\r\n",
                     b"GET /healthz HTTP/1.1\r\n" + b"A: b\r\n" * 5000 + b"\r\n"):
            with h1.Client(address) as client:
                client.try_send(data)
                assert client.answer(timeout=3).status in (400, 404, 405, 413, 431, 0)
    assert h1.ask(corral.health, h1.get("/healthz")).status == 200


def test_sigterm_with_a_thousand_streams(stable):
    """P-11: all of them complete, then the process is gone with status 0."""
    streams, tokens = 1000, 14
    sim = stable.sim("--tokens-per-s", str(RATE), "--slots", str(streams)).warm()
    corral = stable.corral(sim, slots=streams, tenants=many(streams))
    threads, ends = begin_streams(corral, streams, tokens)
    wait_for(lambda: sim.stat("in_flight") == streams, 30, "the streams")
    corral.signal(signal.SIGTERM)
    for thread in threads:
        thread.join(120)
    assert ends == [(200, "whole", tokens)] * streams
    assert corral.wait_exit() == 0
    assert sim.stat("aborted") == 0


def many_signals(stable, count, seconds):
    """As fast as they come, not one awaited: no request fails, nothing is left over."""
    sim = stable.sim("--tokens-per-s", "50", "--slots", "64").warm()
    corral = stable.corral(sim, slots=64, tenants=many(64))
    ask = {"tenants": [dict(t, weight=2) for t in corral.config["tenants"]]}
    stop, ends = threading.Event(), []

    def run(tokens):
        while not stop.is_set():
            done = corral.post("/api/chat", chat(tokens=tokens), timeout=60)
            ends.append((done.status, done.end, done.lines[-1].get("eval_count") == tokens))
    threads = [threading.Thread(target=run, args=(tokens,), daemon=True) for tokens in [1] * 8 + [50] * 8]
    for thread in threads:
        thread.start()
    corral.reload()
    before, fds = corral.rss(), corral.fds()
    for i in range(count):
        began = time.monotonic()
        corral.write({**corral.config, **(ask if i % 2 else {})})
        corral.signal(signal.SIGHUP)
        time.sleep(max(0, began + seconds / count - time.monotonic()))
    corral.reload()
    stop.set()
    for thread in threads:
        thread.join(60)
    print("%d reloads of %d signals, %d requests, %+d KiB" % (
        corral.reloads("ok"), count + 2, len(ends), (corral.rss() - before) // 1024))
    assert set(ends) == {(200, "whole", True)} and len(ends) > 50
    assert corral.reloads("failed") == 0 and corral.reloads("ok") > count / 4
    corral.wait_idle()
    assert corral.fds() <= fds + 64


def test_s355_two_hundred_signals_in_two_seconds(stable):
    many_signals(stable, 200, 2)


@pytest.mark.long
def test_s355_a_thousand_signals_in_ten_seconds(stable):
    many_signals(stable, 1000, 10)


def test_s356_a_reload_takes_things_away(stable):
    """A tenant, a right, a slot at a time: new requests see it, what runs is finished."""
    sim = stable.sim("--tokens-per-s", "50", "--slots", "8").warm()
    corral = stable.corral(sim, slots=8, tenants={"acme": {"max_running": 4}, "beta": {}})
    running = [corral.open_chat(tenant, tokens=80) for tenant in ("acme", "acme", "beta")]
    for client in running:
        client.data = client.until(b'"done":false') + client.data
    keys = pathlib.Path(corral.config["api_keys_file"])
    kept = "".join(line for line in keys.read_text().splitlines(True) if '"beta"' not in line)
    fewer = pathlib.Path(corral.folder) / "fewer"
    fewer.write_text(kept)
    fewer.chmod(0o600)
    corral.reload({**corral.config, "api_keys_file": str(fewer),
                   "tenants": [{"name": "acme", "max_running": 1, "verbs": ["chat"]}]})
    assert corral.get("/api/version", "beta").status == 401
    assert corral.get("/api/tags", "acme").status == 403
    waiting = corral.open_chat("acme", tokens=1)
    wait_for(lambda: corral.waiting() == 1, 3, "the lower limit")
    for client in running:
        answer = client.answer(timeout=10)
        assert answer.end == "whole" and answer.lines[-1]["eval_count"] == 80
        client.close()
    assert waiting.answer().status == 200
    waiting.close()
    corral.wait_idle()


@pytest.mark.long
def test_a_thousand_reloads_under_load(stable):
    """P-10: as fast as they go, under streams and short requests: nothing fails, nothing is lost."""
    sim = stable.sim("--tokens-per-s", "20", "--slots", "300").warm()
    corral = stable.corral(sim, slots=300, tenants=many(300))
    stop, ends = threading.Event(), []

    def run(tokens):
        while not stop.is_set():
            done = corral.post("/api/chat", chat(tokens=tokens), timeout=60)
            ends.append((done.status, done.end, done.lines[-1].get("eval_count") == tokens))
    threads = [threading.Thread(target=run, args=(tokens,), daemon=True) for tokens in [1] * 20 + [200] * 100]
    for thread in threads:
        thread.start()
    for i in range(1000):
        corral.reload({**corral.config, "queue": {"max_waiting": 1000 + i % 2}})
    stop.set()
    for thread in threads:
        thread.join(60)
    print("%d requests over 1000 reloads" % len(ends))
    assert corral.reloads("ok") == 1000 and len(ends) > 1000
    assert set(ends) == {(200, "whole", True)}
    corral.wait_idle()
