"""Bodies larger than what a connection takes at once, and replicas that answer before they read them."""

import json
import socket
import threading
import time

import pytest

import h1
from harness import chat, wait_for

MODEL = {"name": "tiny:latest", "model": "tiny:latest", "size": 1, "digest": "a" * 64,
         "modified_at": "2026-01-01T00:00:00Z", "details": {"family": "x"},
         "expires_at": "2099-01-01T00:00:00Z", "size_vram": 1, "context_length": 1}


@pytest.mark.parametrize("size", [1000, 80000, 300000, 1500000, 15000000])
def test_a_field_is_dropped_behind_a_large_part(stable, size):
    """keep_alive stands last, as the SDKs send it: the piece behind it must go out too."""
    sim = stable.sim("--tokens-per-s", "0").warm()
    corral = stable.corral(sim)
    body = {"model": "tiny", "messages": [{"role": "user", "content": "x" * size}],
            "options": {"num_predict": 1, "num_ctx": 9}, "stream": False, "keep_alive": "5m"}
    began = time.monotonic()
    answer = corral.post("/api/chat", body, timeout=20)
    assert answer.status == 200 and time.monotonic() - began < 15
    sent = json.loads(sim.last("/api/chat")[2]) if size < 500000 else None
    assert sent is None or ("keep_alive" not in sent and sent["messages"] == body["messages"])
    corral.wait_idle()


class EarlyReplica:
    """Answers a chat with a head and a chunk before it has read the body, then reads on."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = "http://127.0.0.1:%d" % self.listener.getsockname()[1]
        self.read = 0
        self.closed = threading.Event()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with connection:
            while True:
                head = b""
                while b"\r\n\r\n" not in head:
                    more = connection.recv(4096)
                    if not more:
                        return
                    head += more
                if head.startswith(b"POST"):
                    self.answer_early(connection)
                    return
                text = json.dumps({"models": [MODEL]}).encode()
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                                   b"Content-Length: %d\r\n\r\n" % len(text) + text)

    def answer_early(self, connection):
        line = b'{"model":"tiny","message":{"role":"assistant","content":"x"},"done":false}\n'
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n"
                           b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(line), line))
        time.sleep(0.3)
        connection.settimeout(1)
        try:
            while more := connection.recv(1 << 20):
                self.read += len(more)
        except TimeoutError:
            pass
        self.closed.set()


def test_an_answer_before_the_body_was_read(stable, make_config):
    replica = EarlyReplica()
    corral = stable.serve(make_config([replica]))
    body = {"model": "tiny", "messages": [{"role": "user", "content": "x" * 15000000}],
            "keep_alive": "5m", "think": False,
            "options": {"temperature": 0.5, "num_ctx": 1, "seed": 3, "num_gpu": 1}}
    with corral.client(timeout=20) as client:
        client.send(h1.post("/api/chat", body, corral.key()))
        client.until(b'"done":false')
        assert replica.closed.wait(20)
        assert client.answer().end == "fin"
    assert replica.read > 14900000, "the rest of the body was sent"
    assert corral.get("/api/tags").status == 200
    replica.listener.close()


@pytest.mark.http1  # pipelining
def test_a_client_that_blocks_before_its_stream(stable):
    """Its answers are stuck already when the stream begins: the replica is paused all the same."""
    sim = stable.sim("--tokens-per-s", "0", "--slots", "2", "--chunk-bytes", "900").warm()
    corral = stable.corral(sim, timeouts={"write_stall_s": 2})
    one = len(corral.get("/api/tags").body) + 300
    before = corral.rss()
    client = corral.client(timeout=20, rcvbuf=4096)
    # Below the 64 KiB of answers at which the next request is not begun, above what is taken.
    client.send(h1.get("/api/tags", corral.key()) * (60000 // one))
    client.send(corral.chat_bytes(tokens=100000000))
    wait_for(lambda: sim.stat("aborted") == 1, 15, "the stalled client to be cut")
    assert corral.rss() - before < 8 * 1024 * 1024
    client.close()
    corral.wait_idle()


def test_a_name_keeps_its_replicas_over_a_reload(stable):
    sim = stable.sim("--tokens-per-s", "50").warm()
    corral = stable.corral(sim)
    named = {**corral.config, "replicas": [{"url": sim.url.replace("127.0.0.1", "localhost.")}]}
    try:
        socket.getaddrinfo("localhost.", 80)
    except OSError:
        named["replicas"] = [{"url": sim.url.replace("127.0.0.1", "localhost")}]
    corral.reload(named)
    wait_for(lambda: corral.post("/api/chat", chat()).status == 200, 8, "the named replica")
    ups = len(corral.logged("replica.up"))
    for i in range(5):
        corral.reload({**named, "queue": {"max_waiting": 900 + i}})
        assert corral.post("/api/chat", chat()).status == 200
    assert len(corral.logged("replica.up")) == ups
