"""Peers that fall silent, doors that do not open, polls that lie (S-337 to S-346)."""

import ctypes
import socket
import struct
import time

import pytest

import h1
from faults import FaultProxy
from harness import chat, together, wait_for

SO_ATTACH_FILTER, DROP_ALL = 26, struct.pack("HBBI", 0x06, 0, 0, 0)  # BPF: return 0


def pull_the_cable(sock):
    """As a DROP rule or a lost host: what comes is gone before TCP sees it, ACKs and SYNs too."""
    program = ctypes.create_string_buffer(DROP_ALL)
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HL", 1, ctypes.addressof(program)))


def test_s337_a_filtered_replica(stable):
    """No answer to a SYN: after connect_ms the request goes to the other replica, once."""
    sims = [stable.sim("--tokens-per-s", "0", "--slots", "4").warm() for _ in range(2)]
    doors = [FaultProxy(sim.address) for sim in sims]
    corral = stable.corral(*doors, slots=4, timeouts={"connect_ms": 300})
    assert corral.post("/api/chat", chat()).status == 200
    pull_the_cable(doors[0].sock)
    doors[0].cut()
    began = time.monotonic()
    # More than one has slots for, so both are tried.
    answers = together(8, lambda i: corral.post("/api/chat", chat()))
    assert [answer.status for answer in answers] == [200] * 8
    assert time.monotonic() - began < 0.3 + 3
    assert 1 <= corral.metrics().sum("corral_upstream_retries_total") <= 8
    for door in doors:
        door.close()


def test_s337_every_replica_filtered(stable):
    sim = stable.sim("--tokens-per-s", "0").warm()
    door = FaultProxy(sim.address)
    corral = stable.corral(door, timeouts={"connect_ms": 300}, queue={"replica_grace_s": 0})
    assert corral.post("/api/chat", chat()).status == 200
    pull_the_cable(door.sock)
    door.cut()
    began = time.monotonic()
    answer = corral.post("/api/chat", chat())
    assert answer.status in (502, 503) and time.monotonic() - began < 1.9, answer
    corral.wait_idle()
    door.close()


@pytest.mark.long
def test_s338_s339_lost_hosts(stable):
    """No FIN, no RST: 30 s later both sides are free, and what was cut looks cut."""
    sim = stable.sim("--tokens-per-s", "20", "--slots", "8").warm()
    door = FaultProxy(sim.address)
    corral = stable.corral(door, slots=8)
    before = corral.fds()
    idle = corral.client()
    idle.send(h1.get("/api/version", corral.key()))
    assert idle.answer("GET").status == 200
    streaming = corral.open_chat(tokens=100000)
    streaming.until(b'"done":false')
    sim.fault("hang_mid_stream", after_chunks=3, count=1)
    cut = corral.open_chat(tokens=100000, timeout=60)
    for _ in range(3):
        cut.until(b'"done":false')
    began = time.monotonic()
    pull_the_cable(idle.sock)
    pull_the_cable(streaming.sock)
    wait_for(lambda: corral.metrics().sum("corral_open_connections") == 1, 40, "the clients' connections")
    assert time.monotonic() - began > 10
    wait_for(lambda: sim.stat("aborted") >= 1, 3, "the abort")
    began = time.monotonic()
    with door.lock:  # nothing comes and nothing is on its way: keep-alive probes find out
        for one in door.open:
            pull_the_cable(one)
    answer = cut.answer(timeout=60)
    assert answer.end == "fin" and time.monotonic() - began < 45, answer
    cut.close()
    wait_for(lambda: corral.fds() <= before + 4, 60, "the descriptors")
    door.close()


def test_s346_polls_that_pass_while_nothing_else_does(stable):
    """Health says yes and every request hangs: 504 for who was there, the others go elsewhere."""
    liar, good = (stable.sim("--tokens-per-s", "0").warm() for _ in range(2))
    corral = stable.corral(liar, good, timeouts={"first_byte_s": 2})
    liar.fault("hang_before_head")
    clients = [corral.open_chat(tokens=2) for _ in range(6)]
    ends = [client.answer(timeout=12).status for client in clients]
    assert ends.count(504) <= 2 and ends.count(200) >= 4, ends
    # Out for a while or not: a request that has the choice of a free replica is answered.
    assert 200 in [corral.post("/api/chat", chat()).status for _ in range(2)]
    for client in clients:
        client.close()
    liar.config(faults=[])
    corral.wait_idle()
