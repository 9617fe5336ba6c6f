"""Slow readers: memory is bounded, the replica is slowed, nobody else notices (F23)."""

import socket
import struct
import time

import pytest

import h1
import h2
from harness import PROTOCOL, chat, program, wait_for

ENDLESS = 100000000


def steady(read, seconds=0.5):
    """True when read() does not change for so long."""
    before = read()
    time.sleep(seconds)
    return read() == before


def test_a_slow_reader_stops_the_replica_and_nobody_else(stable):
    sim = stable.sim("--tokens-per-s", "0", "--slots", "32", "--chunk-bytes", "200").warm()
    corral = stable.corral(sim, slots=32, timeouts={"stream_silence_s": 2})
    assert corral.post("/api/chat", chat()).status == 200
    before = corral.rss()
    slow = [corral.client(timeout=30, rcvbuf=4096).send(corral.chat_bytes(tokens=ENDLESS))
            for _ in range(16)]
    for client in slow:
        client.until(b'"done":false')
    wait_for(lambda: steady(lambda: sim.stat("tokens_sent")), 20, "the sim to be paused")
    grown = corral.rss() - before
    print("16 blocked streams: %d KiB each" % (grown // 16 // 1024))
    assert grown < 16 * 1024 * 1024
    began = time.monotonic()
    assert corral.post("/v1/chat/completions", chat()).status == 200
    assert time.monotonic() - began < 2
    time.sleep(2.5)  # a paused replica is not silent: nothing is cut
    assert corral.metrics().sum("corral_truncated_streams_total") == 0
    sent = sim.stat("tokens_sent")

    def read_on():
        """What the kernel holds on both legs comes first."""
        if PROTOCOL == "h2":
            for number in (0, 1):
                slow[0].wire.frame(h2.WINDOW, 0, number, struct.pack(">I", 1 << 20))
            slow[0].wire.until(lambda: False, 0.2)
            return sim.stat("tokens_sent") > sent
        for _ in range(500):
            assert slow[0].sock.recv(65536)
        return sim.stat("tokens_sent") > sent
    wait_for(read_on, 30, "the replica to go on")
    for client in slow:
        client.close()
    wait_for(lambda: sim.stat("aborted") == 16, 5, "the aborts")
    corral.wait_idle()


def per_minute(samples):
    """Slope of the line through one sample a second, in bytes a minute."""
    n, mean = len(samples), sum(samples) / len(samples)
    middle = (n - 1) / 2
    return 60 * sum((i - middle) * (y - mean) for i, y in enumerate(samples)) / sum(
        (i - middle) ** 2 for i in range(n))


def slow_readers(stable, monkeypatch, count, settle, seconds):
    """One byte a second each; memory stays under docs/ARCHITECTURE.md's formula and is flat."""
    monkeypatch.setenv("CORRAL", program("CORRAL_PLAIN"))  # sanitizers have memory of their own
    sims = [stable.sim("--tokens-per-s", "500", "--slots", "1000", "--chunk-bytes", "400").warm()
            for _ in range(-(-count // 1000))]
    corral = stable.corral(*sims, slots=1000, timeouts={"write_stall_s": 3600},
                           limits={"connections_per_address": count,
                                   "connections_per_trusted_address": count,
                                   "connections_per_known_address": count, "connections_per_tenant": count,
                                   "answer_memory_bytes": 1 << 30, "tenant_answer_memory_bytes": 1 << 30},
                           tenants={"acme": {"max_running": count}})
    at_rest = corral.rss()
    slow = [corral.client(timeout=60, rcvbuf=4096).send(corral.chat_bytes(tokens=ENDLESS))
            for _ in range(count)]
    for client in slow:
        client.until(b'"done":false')
    samples = []
    for _ in range(settle + seconds):
        next_second = time.monotonic() + 1
        for client in slow:
            assert client.sock.recv(1, socket.MSG_DONTWAIT)
        samples.append(corral.rss())
        time.sleep(max(0, next_second - time.monotonic()))
    slope = per_minute(samples[settle:])
    print("%d slow readers: %.1f KiB each, at most %d MiB in all, %+d KiB a minute" % (
        count, (samples[-1] - at_rest) / count / 1024, max(samples) >> 20, slope / 1024))
    allowed = corral.config["workers"] * 1024 * 1024 + count * (1 + 1 + 4 + 18) * 1024
    assert max(samples) - at_rest < allowed, (max(samples) - at_rest, allowed)
    assert slope < 1024 * 1024
    assert corral.metrics().sum("corral_truncated_streams_total") == 0

    def held_back():
        sent = [sim.stat("tokens_sent") for sim in sims]
        time.sleep(1)
        return sum(sim.stat("tokens_sent") - before for sim, before in zip(sims, sent)) < count
    # The kernel's buffers on the way are full by now, on a busy machine a little later.
    wait_for(held_back, 15, "the end of reading faster than the clients do")
    for client in slow:
        client.close()
    corral.wait_idle(60)


@pytest.mark.http1  # streams that share connections: S-308
def test_s309_slow_readers(stable, monkeypatch):
    slow_readers(stable, monkeypatch, 1000, 5, 10)


@pytest.mark.http1
@pytest.mark.long
def test_s309_nine_thousand_five_hundred_slow_readers(stable, monkeypatch):
    """P-08: as many as 20,000 descriptors allow, two here and two for each."""
    slow_readers(stable, monkeypatch, 9500, 60, 240)


def slow_streams(stable, monkeypatch, connections, settle, seconds):
    """The same over HTTP/2, 100 streams a connection: a byte of window a second for each."""
    monkeypatch.setenv("CORRAL", program("CORRAL_PLAIN"))
    count = connections * 100
    sims = [stable.sim("--tokens-per-s", "500", "--slots", "1000", "--chunk-bytes", "400").warm()
            for _ in range(-(-count // 1000))]
    corral = stable.corral(*sims, slots=1000, timeouts={"write_stall_s": 3600},
                           tenants={"acme": {"max_running": count}})
    at_rest = corral.rss()
    wires = [h2.Connection(corral.address, timeout=60, window=2048) for _ in range(connections)]
    for wire in wires:
        assert wire.until(lambda wire=wire: wire.peer and wire.acked)
        wire.frame(h2.WINDOW, 0, 0, struct.pack(">I", (1 << 31) - 1 - 65535))
        for _ in range(100):
            wire.post("/api/chat", chat(tokens=ENDLESS), corral.key())

    def filled(wire):
        return all(len(s.body) == 2048 for s in wire.streams.values())
    # In turns: the kernel drops a connection that nobody reads for half a minute.
    wait_for(lambda: all([wire.until(lambda wire=wire: filled(wire), 0.05) for wire in wires]), 120, "windows")
    samples = []
    for _ in range(settle + seconds):
        next_second = time.monotonic() + 1
        for wire in wires:
            wire.send(b"".join(h2.frame(h2.WINDOW, 0, stream, b"\0\0\0\1") for stream in wire.streams))
        for wire in wires:
            before = wire.streams[1].body
            assert wire.until(lambda wire=wire, n=len(before): len(wire.streams[1].body) > n, 30)
            assert not wire.goaways
        samples.append(corral.rss())
        time.sleep(max(0, next_second - time.monotonic()))
    slope = per_minute(samples[settle:])
    print("%d slow streams on %d connections: %.1f KiB each, at most %d MiB in all, %+d KiB a minute" % (
        count, connections, (samples[-1] - at_rest) / count / 1024, max(samples) >> 20, slope / 1024))
    allowed = corral.config["workers"] * 1024 * 1024 + connections * 48 * 1024 + count * (1 + 8 + 18) * 1024
    assert max(samples) - at_rest < allowed, (max(samples) - at_rest, allowed)
    assert slope < 1024 * 1024
    for wire in wires:
        wire.close()
    corral.wait_idle(60)


def test_s308_slow_streams(stable, monkeypatch):
    slow_streams(stable, monkeypatch, 5, 3, 6)


@pytest.mark.long
def test_s308_ten_thousand_slow_streams(stable, monkeypatch):
    slow_streams(stable, monkeypatch, 100, 60, 60)


def test_a_slow_reader_gets_every_byte(stable):
    sim = stable.sim("--tokens-per-s", "0", "--chunk-bytes", "100").warm()
    corral = stable.corral(sim)
    wide = {"window": 1 << 30} if PROTOCOL == "h2" else {}
    with corral.client(timeout=60, rcvbuf=4096, **wide) as client:
        client.send(corral.chat_bytes(tokens=20000))
        time.sleep(0.5)
        answer = client.answer()
    assert answer.end == "whole" and answer.lines[-1]["eval_count"] == 20000
    assert sum(1 for line in answer.lines if not line["done"]) == 20000


def test_a_stalled_client_is_cut(stable):
    sim = stable.sim("--tokens-per-s", "0", "--slots", "4", "--chunk-bytes", "200").warm()
    corral = stable.corral(sim, slots=4, timeouts={"write_stall_s": 1})
    began = time.monotonic()
    client = corral.client(timeout=30, rcvbuf=4096).send(corral.chat_bytes(tokens=ENDLESS))
    client.until(b'"done":false')
    wait_for(lambda: sim.stat("aborted") == 1, 6, "the cut")
    assert time.monotonic() - began > 0.9
    corral.wait_idle()
    line = wait_for(lambda: corral.logged("access"), 3, "the line")[0]
    assert line["reason"] == "client_stalled"
    client.close()


def test_a_client_that_sips_is_cut_too(stable):
    """It takes something now and then, but less than the floor."""
    sim = stable.sim("--tokens-per-s", "0", "--slots", "4", "--chunk-bytes", "200").warm()
    corral = stable.corral(sim, slots=4, timeouts={"write_stall_s": 1})
    client = corral.client(timeout=30, rcvbuf=4096).send(corral.chat_bytes(tokens=ENDLESS))

    def sipped():
        client.sock.settimeout(1)
        try:
            client.sock.recv(64)
        except OSError:
            pass
        return sim.stat("aborted") == 1
    wait_for(sipped, 15, "the cut")
    client.close()
    corral.wait_idle()


def test_a_large_body_goes_to_a_slow_replica_whole(stable):
    """Bodies of 8 MiB: counted while they are held, given back when they are sent."""
    sim = stable.sim("--tokens-per-s", "0").warm()
    corral = stable.corral(sim)
    body = chat(tokens=2)
    body["messages"][0]["content"] = "a" * (8 * 1024 * 1024)
    data = h1.post("/api/chat", body, corral.key())
    for _ in range(4):
        assert corral.ask(data, timeout=60).status == 200
    assert corral.metrics().sum("corral_body_bytes") == 0


def test_pipelining_without_reading_is_bounded(stable):
    """Requests without end from a client that reads no answer."""
    sim = stable.sim("--tokens-per-s", "0").warm()
    corral = stable.corral(sim, timeouts={"write_stall_s": 2})
    before = corral.rss()
    request = h1.get("/v1/models", corral.key()) * 200
    with corral.client(rcvbuf=4096, timeout=5) as client:
        client.sock.setblocking(False)
        deadline = time.monotonic() + 3
        sent = 0
        while time.monotonic() < deadline and sent < 64 * 1024 * 1024:
            try:
                sent += client.sock.send(request)
            except BlockingIOError:
                time.sleep(0.01)
            except OSError:
                break
    grown = corral.rss() - before
    print("sent %d KiB, grown %d KiB" % (sent // 1024, grown // 1024))
    assert grown < 24 * 1024 * 1024
    assert corral.get("/api/version").status == 200
