"""Small rules at their edges: what a byte more, or another kind of byte, changes."""

import pytest

import h1
import harness
import recorder
from harness import chat, wait_for

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
STATES = {
    "plain": ("vendor=a,other=b~", True),
    "at the limit": ("a" * 512, True),
    "over the limit": ("a" * 513, False),
    "above ASCII": ("vendor=\xe9", False),
    "0x80": ("vendor=\x80", False),
    "a tab": ("vendor=a,\tother=b", False),
}


@pytest.mark.parametrize("name", STATES)
def test_a_trace_state_is_short_and_printable(shared, name):
    """What is not goes no further; the trace itself does."""
    corral, sim = shared
    value, passes = STATES[name]
    answer = corral.post("/api/chat", chat(), headers=[("traceparent", PARENT), ("tracestate", value)])
    assert answer.status == 200, answer
    fields = sim.last("/api/chat")[1]
    assert fields["traceparent"] == [PARENT]
    assert fields.get("tracestate") == ([value] if passes else None)


def test_a_trace_state_alone_goes_no_further(shared):
    corral, sim = shared
    assert corral.post("/api/chat", chat(), headers=[("tracestate", "vendor=a")]).status == 200
    assert "tracestate" not in sim.last("/api/chat")[1]


def test_two_trace_states_go_no_further(shared):
    corral, sim = shared
    two = [("traceparent", PARENT), ("tracestate", "a=b"), ("tracestate", "c=d")]
    assert corral.post("/api/chat", chat(), headers=two).status == 200
    assert "tracestate" not in sim.last("/api/chat")[1]


@pytest.mark.parametrize("junk", [b"\r\n", b"x", recorder.answer(b'{"done":true,"model":"tiny","response":"poison"}')],
                         ids=["line", "byte", "answer"])
def test_bytes_on_an_idle_replica_connection_end_it(stable, junk):
    """Nobody asked for them: they are the answer to no later request."""
    replica = recorder.Recorder()
    corral = stable.corral(replica, workers=1)
    good, used = replica.reply, []

    def reply(conn):
        used.append(conn)
        conn.sendall(good)
    replica.reply = reply
    assert corral.post("/api/chat", chat()).status == 200
    assert corral.post("/api/chat", chat()).status == 200
    assert used[0] is used[1], "the connection is kept"
    wait_for(lambda: corral.slots_taken() == 0, 3, "the slot")
    used[0].sendall(junk)
    wait_for(lambda: used[0].fileno() == -1, 3, "the end of the connection")
    answer = corral.post("/api/chat", chat())
    assert answer.status == 200 and b"poison" not in answer.body, answer
    assert used[2] is not used[0]
    replica.close()


@pytest.mark.parametrize("size,status", [(8192, 404), (8193, 414)])
def test_a_target_has_8_kib(shared, size, status):
    """Over both protocols; HTTP/1.1 counts the whole line."""
    corral, _ = shared
    line = 0 if harness.PROTOCOL == "h2" else len("GET  HTTP/1.1")
    answer = corral.get("/" + "a" * (size - line - 1))
    assert answer.status == status, answer


@pytest.mark.parametrize("size,status", [(253, 421), (254, 400)])
def test_a_host_has_253_bytes(shared, size, status):
    """A possible host of somebody else, and one that no name server knows."""
    corral, _ = shared
    host = ("a" * 49 + ".") * 5 + "b" * (size - 250)
    data = b"GET /api/tags HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n" % (
        host.encode(), corral.key().encode())
    assert corral.ask(data).status == status
