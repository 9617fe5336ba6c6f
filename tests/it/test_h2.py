"""HTTP/2: every attack of facts/attacks.md by its number, S-134 to S-183.

RS: the stream is reset or answered with a 4xx. GA: GOAWAY and the connection ends. In neither case
may anything reach a replica that was not there before.
"""

import contextlib
import os
import ssl
import struct
import time

import pytest

import h1
import h2
import recorder
from harness import chat, release, wait_for
from pki import Authority

KEY = "authorization"


@contextlib.contextmanager
def wired(corral, **kwargs):
    with h2.Connection(corral.address, **kwargs) as c:
        assert c.until(lambda: c.peer and c.acked), "no SETTINGS"
        yield c


def served(corral):
    """A good client on a connection of its own is answered as ever."""
    with wired(corral) as c:
        began = time.monotonic()
        answer = c.answer(c.post("/api/chat", chat(), corral.key()))
        assert (answer.status, answer.end) == (200, "whole"), answer
        return time.monotonic() - began


def cut(corral, c, code=h2.CALM, reason=None):
    """The connection ends with that code, for that reason, and others are served."""
    assert c.wait_goaway() is not None and c.wait_end() in ("fin", "rst")
    assert c.goaways[-1][1] == code, c.goaways
    if reason:
        wait_for(lambda: [x for x in corral.logged("http2.ended") if x["reason"] == reason], 3, reason)
        assert corral.metrics().sum("corral_http2_ended_total", reason=reason) >= 1
    assert served(corral) < 2


def reset_early(corral, c, count):
    """So many requests whose answer has not begun, each reset at once."""
    for _ in range(count):
        c.rst(c.headers(c.fields("POST", "/api/chat", [(KEY, "Bearer " + corral.key())]), end=False))


def begin_chat(corral, c, tokens):
    """The stream of a chat whose answer has begun."""
    stream = c.post("/api/chat", chat(tokens=tokens), corral.key())
    assert c.until(lambda: c.stream(stream).chunks)
    return stream


def refused(c, stream, timeout=5):
    """RS: the code of the reset, or the 4xx."""
    own = c.stream(stream)
    assert c.until(lambda: own.over, timeout), "neither reset nor answered"
    if own.end == "whole":
        assert 400 <= own.status < 500, own.heads
        return own.status
    return own.end


def ping(c):
    """Everything before has been looked at."""
    before = c.pings
    c.frame(h2.PING, 0, 0, b"12345678")
    return c.until(lambda: c.pings > before)


# ---- resets ----

def test_s134_rapid_reset(stable):
    sim = stable.sim().warm()
    corral = stable.corral(sim, http2={"resets_before_response": 1000000})
    before = sim.posts()
    with wired(corral) as c:
        for _ in range(1000):
            stream = c.headers(c.fields("POST", "/api/chat", [(KEY, "Bearer " + corral.key())]), end=False)
            if not c.rst(stream):
                break
        cut(corral, c, reason="h2_resets_received")
    assert sim.posts() - before <= 2  # the good client's own
    corral.wait_idle()


def test_s134_resets_after_work_began(stable):
    """Whole requests, reset at once: never more at the replica than it has slots."""
    sim = stable.sim("--tokens-per-s", "50", "--slots", "4").warm()
    corral = stable.corral(sim, slots=4, timeouts={"cancel_grace_ms": 100})
    with wired(corral) as c:
        for _ in range(200):
            c.rst(c.post("/api/chat", chat(tokens=100), corral.key()))
        assert c.wait_end() in ("fin", "rst")
        assert {code for _, code in c.goaways} <= {h2.NO_ERROR, h2.CALM}, corral.logged("http2.ended")
    corral.wait_idle(10)
    assert sim.stat("max_in_flight") <= 4
    assert served(corral) < 2


def test_s135_the_patient_form_is_asked_to_come_again(stable):
    """Below every rate: at 50 resets before an answer no new stream is taken; old ones end well."""
    sim = stable.sim("--tokens-per-s", "50", "--slots", "4").warm()
    corral = stable.corral(sim, slots=4)
    with wired(corral) as c:
        kept = begin_chat(corral, c, 60)
        reset_early(corral, c, 60)
        assert c.wait_goaway() == h2.NO_ERROR
        answer = c.answer(kept)
        assert (answer.status, answer.end) == (200, "whole")
        assert c.wait_end() == "fin"
    assert corral.metrics().sum("corral_http2_ended_total", reason="h2_resets_before_response") == 1
    served(corral)


MADE_YOU_RESET = {
    "S-136 window overflow": lambda c, s: c.frame(h2.WINDOW, 0, s, struct.pack(">I", 0x7fffffff)),
    "S-137 data is not the content-length": lambda c, s: c.frame(h2.DATA, h2.END_STREAM, s, b"12345678"),
    "S-137 more data than the content-length": lambda c, s: c.frame(h2.DATA, 0, s, b"x" * 300),
}


@pytest.mark.parametrize("name", MADE_YOU_RESET)
def test_made_you_reset(shared, name):
    corral, sim = shared
    before = sim.posts()
    with wired(corral) as c:
        for _ in range(300):
            stream = c.headers([*c.fields("POST", "/api/chat", [(KEY, "Bearer " + corral.key())]),
                                ("content-length", "100")], end=False)
            if not MADE_YOU_RESET[name](c, stream):
                break
        cut(corral, c, reason=None if "S-136" in name else "h2_resets_sent")
    assert sim.posts() - before <= 2


def test_s136_slower_than_window_updates_are_counted(stable):
    corral = stable.corral(stable.sim(), http2={"window_updates_per_s": 1000000})
    with wired(corral) as c:
        for _ in range(300):
            stream = c.headers(c.fields("POST", "/api/chat", [(KEY, "Bearer " + corral.key())]), end=False)
            if not c.frame(h2.WINDOW, 0, stream, struct.pack(">I", 0x7fffffff)):
                break
        assert c.wait_end() in ("fin", "rst") and c.goaways[-1][1] == h2.CALM
    assert corral.metrics().sum("corral_http2_ended_total", reason="h2_resets_sent") == 1


def test_s138_malformed_heads(shared):
    corral, _ = shared
    with wired(corral) as c:
        for _ in range(300):
            c.headers([*c.fields(), ("connection", "close")])
        cut(corral, c, reason="h2_resets_sent")
    assert corral.metrics().sum("corral_http2_malformed_total") >= 50


def test_s139_more_streams_than_are_allowed(shared):
    corral, _ = shared
    with wired(corral) as c:
        assert c.peer[h2.MAX_STREAMS] == 100
        key = [(KEY, "Bearer " + corral.key())]
        for _ in range(100):
            c.headers(c.fields("POST", "/api/chat", key), end=False)
        over = c.headers(c.fields("POST", "/api/chat", key), end=False)
        assert refused(c, over) == h2.REFUSED
        for _ in range(300):
            c.headers(c.fields("POST", "/api/chat", key), end=False)
        cut(corral, c, reason="h2_resets_sent")


@pytest.mark.parametrize("what", ["zero window update", "data after the end", "self-dependent"])
def test_s140_faults_that_end_the_connection(shared, what):
    corral, _ = shared
    with wired(corral) as c:
        if what == "zero window update":
            c.frame(h2.WINDOW, 0, 0, struct.pack(">I", 0))
        elif what == "data after the end":
            stream = c.post("/api/chat", chat(tokens=100000), corral.key())
            c.frame(h2.DATA, 0, stream, b"x")
        else:
            c.frame(h2.PRIORITY, 0, 3, struct.pack(">IB", 3, 0))
            if not c.until(lambda: c.goaways or c.stream(3).over, 1):
                assert ping(c), "ignored: RFC 9113 section 5.3.2 allows it"
                return
        assert c.until(lambda: c.goaways or any(s.over for s in c.streams.values()))
    served(corral)


def test_s141_upstream_work_ends_with_the_stream(stable):
    sim = stable.sim("--tokens-per-s", "50", "--slots", "2").warm()
    corral = stable.corral(sim, slots=2)
    with wired(corral) as c:
        streams = [c.post("/api/chat", chat(tokens=10000), corral.key()) for _ in range(3)]
        assert c.until(lambda: all(c.stream(s).chunks for s in streams[:2]))
        assert corral.waiting() == 1
        began = time.monotonic()
        c.rst(streams[2])  # waits in the queue
        wait_for(lambda: corral.waiting() == 0, 1, "the place in the queue")
        c.rst(streams[0])
        wait_for(lambda: sim.stat("in_flight") == 1, 1, "the replica's free slot")
        print("both gone after %.0f ms" % ((time.monotonic() - began) * 1000))
        own = c.stream(streams[1])
        count = len(own.chunks)
        assert c.until(lambda: len(own.chunks) > count + 5), "the other stream goes on"
        c.rst(streams[1])
        corral.wait_idle()


# ---- heads ----

def test_s142_continuations(shared):
    corral, _ = shared
    for count, length in ((9, 0), (5, 16000), (1000, 1)):
        with wired(corral) as c:
            stream = c.take_id()
            c.frame(h2.HEADERS, h2.END_STREAM, stream, c.block_of(c.fields()))
            piece = b"\x00" + bytes([1]) + b"x" + b"\x00" if length > 3 else b""
            for _ in range(count):
                c.frame(h2.CONTINUATION, 0, stream, (piece * (length // 4 + 1))[:length // 4 * 4])
            assert c.wait_goaway() in (h2.CALM, h2.COMPRESSION)
            assert c.wait_end() in ("fin", "rst")
    assert corral.metrics().sum("corral_http2_ended_total", reason="h2_continuations") >= 1
    with wired(corral) as c:  # as many as are allowed
        fields = [("x-%d" % i, "y") for i in range(8)]
        stream = c.headers(c.fields(), more=[fields[i:i + 2] for i in range(0, 8, 2)])
        assert c.answer(stream).status == 200


def test_s142_a_head_that_never_ends(stable):
    corral = stable.corral(stable.sim(), timeouts={"head_s": 1})
    with wired(corral) as c:
        c.frame(h2.HEADERS, h2.END_STREAM, c.take_id(), c.block_of(c.fields()))
        assert c.wait_goaway() == h2.CALM
        assert c.wait_end() in ("fin", "rst")
    assert corral.metrics().sum("corral_http2_ended_total", reason="head_timeout") == 1


@pytest.mark.parametrize("what", ["alone", "another frame between", "another stream"])
def test_s143_continuation_out_of_place(shared, what):
    corral, _ = shared
    with wired(corral) as c:
        if what == "alone":
            c.frame(h2.CONTINUATION, h2.END_HEADERS, 1, c.block_of(c.fields()))
        else:
            c.frame(h2.HEADERS, h2.END_STREAM, 1, c.block_of(c.fields()))
            if what == "another stream":
                c.frame(h2.CONTINUATION, h2.END_HEADERS, 3, b"")
            else:
                c.frame(h2.PING, 0, 0, b"12345678")
        cut(corral, c, h2.PROTOCOL)


def test_s144_hpack_bomb(shared):
    """One field of 4 KiB in the table, then a byte for each use of it."""
    corral, _ = shared
    with wired(corral) as c:
        rss = corral.rss()
        stream = c.take_id()
        c.frame(h2.HEADERS, h2.END_STREAM, stream, c.block_of([*c.fields(), ("x-bomb", "a" * 4000)]))
        for _ in range(4):
            c.frame(h2.CONTINUATION, 0, stream, b"\xbe" * 16000)
        cut(corral, c, reason="h2_header_bomb")
        assert corral.rss() - rss < 1 << 20 or "asan" in os.environ["CORRAL"]


def test_s144_heads_above_16_kib_are_told(shared):
    corral, _ = shared
    with wired(corral) as c:
        assert c.peer[6] == 16384  # SETTINGS_MAX_HEADER_LIST_SIZE
        over = c.headers(c.fields(), more=[[("x-%d" % i, "a" * 4200)] for i in range(4)])
        assert refused(c, over) == 431
        assert c.answer(c.headers([*c.fields(), *[("x-%d" % i, "a" * 3700) for i in range(4)]])).status == 200


def test_s145_fields_are_counted(shared):
    corral, _ = shared
    with wired(corral) as c:
        assert refused(c, c.headers([*c.fields(), *[("x", "y")] * 65])) == 431
        assert c.answer(c.headers([*c.fields(), *[("x", "y")] * 64])).status == 200
        c.frame(h2.HEADERS, h2.END_STREAM | h2.END_HEADERS, c.take_id(), b"\x90" * 16000)
        cut(corral, c, reason="h2_header_bomb")


HPACK_FAULTS = {
    "S-146 size update above the setting": b"\x3f\xe1\xff\xff\xff\x0f",
    "S-146 size update at the end": b"\x82\x86\x84\x41\x09localhost\x3f\x01",
    "S-147 padding of more than 7 bits": b"\x00\x85\xf2\xb2\x4a\x84\xff\x84\x49\x50\x9f\xff",
    "S-147 EOS in a string": b"\x00\x85\xf2\xb2\x4a\x84\xff\x87\x49\x51\xff\xff\xff\xfa\x7f",
    "S-147 integer overflow": b"\x7f" + b"\xff" * 12,
    "S-147 index 0": b"\x80",
    "S-147 index beyond the table": b"\xff\x7f",
}


@pytest.mark.parametrize("name", HPACK_FAULTS)
def test_hpack_faults(shared, name):
    corral, _ = shared
    with wired(corral) as c:
        c.frame(h2.HEADERS, h2.END_STREAM | h2.END_HEADERS, 1, HPACK_FAULTS[name])
        cut(corral, c, h2.COMPRESSION)


def test_s146_a_table_size_that_flaps(shared):
    corral, _ = shared
    with wired(corral) as c:
        for i in range(50):
            c.encoder.header_table_size = 0 if i % 2 else 4096
            assert c.answer(c.headers(c.fields())).status == 200


def test_s148_empty_names_and_values(shared):
    corral, _ = shared
    with wired(corral) as c:
        c.frame(h2.HEADERS, h2.END_STREAM | h2.END_HEADERS, c.take_id(),
                c.block_of(c.fields()) + b"\x00\x00\x01x")
        assert refused(c, 1) == h2.PROTOCOL
        assert refused(c, c.headers([*c.fields(), *[("x", "")] * 100])) == 431
        c.headers([*c.fields(), *[("x", "")] * 1000])
        cut(corral, c, reason="h2_header_bomb")


# ---- floods of frames ----

FLOODS = {
    "S-149 ping": (h2.frame(h2.PING, 0, 0, b"12345678"), "h2_pings"),
    "S-149 ping acknowledgements": (h2.frame(h2.PING, 1, 0, b"12345678"), "h2_pings"),
    "S-150 settings": (h2.settings({4: 65535}), "h2_settings"),
    "S-150 settings acknowledgements": (h2.frame(h2.SETTINGS, 1), "h2_protocol_error"),
    "S-151 empty data": (h2.frame(h2.DATA, 0, 1), "h2_empty_data"),
    "S-151 data of padding": (h2.frame(h2.DATA, 8, 1, b"\xff" + b"x" + b"\0" * 255), "h2_empty_data"),
    "S-152 priority": (h2.frame(h2.PRIORITY, 0, 5, b"\0\0\0\0\x10"), "h2_priorities"),
    "S-152 priority update": (h2.frame(16, 0, 0, b"\0\0\0\x05u=1"), "h2_priorities"),
    "S-153 window update": (h2.frame(h2.WINDOW, 0, 0, b"\0\0\0\1"), "h2_window_updates"),
    "S-154 unknown type": (h2.frame(0xbb, 0, 0, b"x" * 16000), "h2_unknown_frames"),
}


@pytest.mark.parametrize("name", FLOODS)
def test_floods(shared, name):
    """20,000 of a kind as fast as it goes: cut off; a hundred are nobody's fault."""
    corral, _ = shared
    data, reason = FLOODS[name]
    with wired(corral, window=65535) as c:
        if "data" in name:
            c.headers([*c.fields("POST", "/api/chat", [(KEY, "Bearer " + corral.key())])], end=False)
        c.send(data * 80)
        assert "acknowledgements" in name or (ping(c) and not c.goaways), "eighty are allowed"
        for _ in range(200):
            if not c.send(data * 100):
                break
        assert c.wait_end(10) in ("fin", "rst")
        assert not c.goaways or c.goaways[-1][1] in (h2.CALM, h2.PROTOCOL)
        wait_for(lambda: [x for x in corral.logged("http2.ended") if x["reason"] == reason], 3, reason)
    served(corral)


def test_s149_pings_whose_answers_nobody_reads(shared):
    corral, _ = shared
    with h2.Connection(corral.address, rcvbuf=4096) as c:
        c.raw.sock.settimeout(5)
        sent = 0
        while sent < 20000 and c.send(h2.frame(h2.PING, 0, 0, b"12345678") * 100):
            sent += 100
        assert sent < 20000 or c.wait_end() in ("fin", "rst")
    served(corral)


def test_s150_settings_of_33_entries(shared):
    corral, _ = shared
    with wired(corral) as c:
        c.frame(h2.SETTINGS, 0, 0, struct.pack(">HI", 0xabc, 1) * 33)
        assert c.wait_goaway() in (h2.CALM, h2.PROTOCOL)
        assert c.wait_end() in ("fin", "rst")


def test_a_lifetime_number_asks_to_come_again(stable):
    corral = stable.corral(stable.sim("--tokens-per-s", "50").warm(), http2={"frames_lifetime": 20})
    with wired(corral) as c:
        kept = begin_chat(corral, c, 50)
        c.send(h2.frame(h2.PING, 0, 0, b"12345678") * 20)
        assert c.wait_goaway() == h2.NO_ERROR
        assert c.answer(kept).end == "whole"
        assert c.wait_end() == "fin"
    assert corral.metrics().sum("corral_http2_ended_total", reason="h2_pings") == 1


def test_window_updates_of_a_busy_client_are_free(stable):
    """As some clients do: an update for the stream and the connection for each DATA frame."""
    corral = stable.corral(stable.sim("--tokens-per-s", "1000").warm(), http2={"window_updates_per_s": 1})
    with wired(corral, window=65535) as c:
        stream = c.post("/api/chat", chat(tokens=600), corral.key())
        own, told = c.stream(stream), 0
        while not own.over and c.until(lambda: len(own.chunks) > told or own.over):
            for chunk in own.chunks[told:]:
                for number in (0, stream):
                    c.frame(h2.WINDOW, 0, number, struct.pack(">I", len(chunk)))
            told = len(own.chunks)
        assert own.end == "whole" and not c.goaways and told > 100


# ---- flow control ----

def test_s155_no_window_is_back_pressure(stable):
    sim = stable.sim("--tokens-per-s", "0", "--slots", "100", "--chunk-bytes", "900").warm()
    corral = stable.corral(sim, slots=100, timeouts={"write_stall_s": 2, "cancel_grace_ms": 0},
                           tenants={"acme": {"max_running": 100}})
    before = corral.rss()
    with wired(corral, window=0) as c:
        streams = [c.post("/api/chat", chat(tokens=100000000), corral.key()) for _ in range(100)]
        assert c.until(lambda: all(c.stream(s).head for s in streams))
        time.sleep(0.5)
        grown = corral.rss() - before
        print("%.0f KiB a stream without a window" % (grown / 102400))
        assert grown < 100 * 64 * 1024 + (16 << 20) * ("asan" in os.environ["CORRAL"])
        assert c.until(lambda: all(c.stream(s).over for s in streams), 10), "the stall rule"
        assert {c.stream(s).end for s in streams} == {h2.CANCEL}
        wait_for(lambda: sim.stat("in_flight") == 0, 3, "the replica's slots")
        assert not c.goaways, "resets of ours are not the client's fault"


def test_s156_a_window_that_drips(stable):
    sim = stable.sim("--tokens-per-s", "0", "--chunk-bytes", "900").warm()
    corral = stable.corral(sim, timeouts={"write_stall_s": 1, "cancel_grace_ms": 0})
    with wired(corral, window=0) as c:
        stream = c.post("/api/chat", chat(tokens=100000000), corral.key())
        own = c.stream(stream)
        for _ in range(60):
            c.frame(h2.WINDOW, 0, stream, struct.pack(">I", 1))
            if c.until(lambda: own.over, 0.1):
                break
        assert own.end == h2.CANCEL
        wait_for(lambda: sim.stat("in_flight") == 0, 3, "the replica's slot")


def test_s157_windows(shared):
    corral, _ = shared
    with wired(corral) as c:
        c.frame(h2.WINDOW, 0, 0, struct.pack(">I", 0x7fffffff))
        cut(corral, c, h2.FLOW)
    with wired(corral, window=100) as c:  # made smaller in the middle: the rest waits until it is positive
        stream = c.post("/api/chat", chat(tokens=50), corral.key())
        own = c.stream(stream)
        assert c.until(lambda: len(own.body) == 100)
        c.send(h2.settings({4: 10}))
        assert c.until(lambda: c.acked == 2)
        c.frame(h2.WINDOW, 0, stream, struct.pack(">I", 80))
        assert ping(c) and len(own.body) == 100
        c.frame(h2.WINDOW, 0, stream, struct.pack(">I", 60))
        assert c.until(lambda: len(own.body) == 150, 3)
        c.frame(h2.WINDOW, 0, stream, struct.pack(">I", 1 << 20))
        assert c.answer(stream).end == "whole"


def test_s158_bodies_that_do_not_come(stable):
    corral = stable.corral(stable.sim().warm(), timeouts={"body_s": 1})
    with wired(corral) as c:
        streams = [c.headers(c.fields("POST", "/api/chat", [(KEY, "Bearer " + corral.key())]), end=False)
                   for _ in range(100)]
        assert c.until(lambda: all(c.stream(s).over for s in streams), 8)
        assert {c.stream(s).status for s in streams} == {408}
        assert c.until(lambda: all(getattr(c.stream(s), "reset", None) == h2.NO_ERROR for s in streams), 5)
        assert not c.goaways
        assert c.answer(c.request("GET", "/")).status == 200
    corral.wait_idle()


# ---- streams and their states ----

STATES = {
    "S-159 RST_STREAM on stream 0": (h2.frame(h2.RST, 0, 0, b"\0\0\0\x08"), h2.PROTOCOL),
    "S-159 even stream": (h2.frame(h2.HEADERS, 5, 2, b"\x82\x87\x84"), h2.PROTOCOL),
    "S-159 data on stream 0": (h2.frame(h2.DATA, 0, 0, b"x"), h2.PROTOCOL),
    "S-159 data on an idle stream": (h2.frame(h2.DATA, 0, 99, b"x"), h2.PROTOCOL),
    "S-159 reset of an idle stream": (h2.frame(h2.RST, 0, 99, b"\0\0\0\x08"), h2.PROTOCOL),
    "S-159 settings on a stream": (h2.frame(h2.SETTINGS, 0, 1), h2.PROTOCOL),
    "S-164 16 MiB of frame": (b"\xff\xff\xff" + h2.frame(h2.DATA, 0, 1)[3:], h2.FRAME_SIZE),
    "S-164 one byte over": (h2.frame(h2.PING, 0, 0, b"x" * 16385), h2.FRAME_SIZE),
    "S-164 max frame size too small": (h2.settings({5: 100}), h2.PROTOCOL),
    "S-165 headers padded over their end": (h2.frame(h2.HEADERS, 0xd, 1, b"\xff\x82"), h2.PROTOCOL),
    "S-165 padded and prioritised, too short": (h2.frame(h2.HEADERS, 0x2d, 1, b"\x00\x00"), None),
    "S-159 push promise": (h2.frame(h2.PUSH, 4, 1, b"\0\0\0\2"), h2.PROTOCOL),
}


@pytest.mark.parametrize("name", STATES)
def test_states(shared, name):
    corral, _ = shared
    data, code = STATES[name]
    with wired(corral) as c:
        c.send(data)
        got = c.wait_goaway()
        assert got == code or (code is None and got in (h2.PROTOCOL, h2.FRAME_SIZE))
        assert c.wait_end() in ("fin", "rst")
    served(corral)


def test_s159_goaway_of_the_client(shared):
    corral, _ = shared
    with wired(corral) as c:
        c.frame(h2.GOAWAY, 0, 0, struct.pack(">II", 0, 0))
        assert c.wait_end(10) in ("fin", "rst") or ping(c)
    served(corral)


def test_s159_ids_that_go_down(shared):
    corral, _ = shared
    with wired(corral) as c:
        assert c.answer(c.headers(c.fields(), stream=9)).status == 200
        c.headers(c.fields(), stream=5)
        cut(corral, c, h2.PROTOCOL, "h2_stream_id")


def test_s160_frames_on_a_stream_that_we_reset(stable):
    """A race that is nobody's fault, as long as it is short."""
    corral = stable.corral(stable.sim(), timeouts={"body_s": 1}, http2={"stale_frames_per_s": 50})
    with wired(corral) as c:
        stream = c.headers(c.fields("POST", "/api/chat", [(KEY, "Bearer " + corral.key())]), end=False)
        assert c.until(lambda: getattr(c.stream(stream), "reset", None) is not None, 8)
        c.frame(h2.DATA, 0, stream, b"late")
        c.frame(h2.WINDOW, 0, stream, struct.pack(">I", 5))
        c.headers([("x-late", "1")], stream=stream)
        assert ping(c) and not c.goaways
        c.send(h2.frame(h2.DATA, 0, stream, b"late") * 200)
        cut(corral, c, reason="h2_stale_frames")


@pytest.mark.parametrize("kind", ["data", "headers"])
def test_s161_frames_on_a_stream_that_the_client_closed(shared, kind):
    corral, _ = shared
    for how in ("reset", "whole"):
        with wired(corral) as c:
            if how == "reset":
                stream = c.headers(c.fields("POST", "/api/chat", [(KEY, "Bearer " + corral.key())]), end=False)
                c.rst(stream)
            else:
                stream = c.headers(c.fields())
                assert c.answer(stream).status == 200
            if kind == "data":
                c.frame(h2.DATA, 0, stream, b"x")
            else:
                c.headers(c.fields(), stream=stream)
            cut(corral, c, h2.CLOSED, "h2_stream_closed")


def test_s162_settings_that_are_never_acknowledged(stable):
    corral = stable.corral(stable.sim(), http2={"settings_ack_s": 1})
    with h2.Connection(corral.address, ack=False) as c:
        assert c.answer(c.request("GET", "/")).status == 200
        assert c.wait_goaway() == h2.SETTINGS_TIMEOUT
        assert c.wait_end() in ("fin", "rst")
    assert corral.metrics().sum("corral_http2_ended_total", reason="h2_settings_timeout") == 1


def test_s163_prefaces(stable, make_config):
    config = make_config([stable.sim()], timeouts={"head_s": 1}, http2={"settings_ack_s": 1})
    config["listeners"][0]["protocols"] = ["h2"]
    corral = stable.serve(config)
    for data, reason in ((b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", "h2_bad_preface"), (h2.PREFACE[:10], None),
                         (h2.PREFACE, "h2_preface_timeout"), (b"", None),
                         (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "h2_bad_preface")):
        with h2.Connection(corral.address, begin=False, ack=False) as c:
            c.send(data)
            assert c.wait_end(5) in ("fin", "rst"), data
        if reason:
            assert corral.metrics().sum("corral_http2_ended_total", reason=reason) >= 1, reason


def test_s180_stream_ids_run_out(shared):
    corral, _ = shared
    with wired(corral) as c:
        assert c.answer(c.headers(c.fields(), stream=(1 << 31) - 1)).status == 200
        assert c.wait_goaway() == h2.NO_ERROR and c.wait_end() == "fin"
    served(corral)


# ---- pseudo-header fields and fields ----

def head(**changes):
    """The pseudo-header fields of a good GET, changed; None leaves one out."""
    fields = {":method": "GET", ":scheme": "http", ":path": "/", ":authority": "localhost"}
    fields.update({":" + key: value for key, value in changes.items()})
    return [(name, value) for name, value in fields.items() if value is not None]


HEADS = {
    **{"S-166 path %r" % path: head(path=path) for path in (
        "/api/tags HTTP/1.1", "/\r\nx: y", "/\0", "/\t", "", "api/tags", "http://localhost/api/tags")},
    **{"S-167 path %r" % path: head(path=path) for path in (
        "/api/tags#x", "/api/\xff", "/api/../api/tags", "/api%2ftags", "/api//tags", "/./api/tags", "*")},
    **{"S-168 method %r" % method: head(method=method) for method in (
        "get", "GET /x HTTP/1.1", "TRACE", "PRI", "", "G\0T", "A" * 17)},
    "S-168 CONNECT": [(":method", "CONNECT"), (":authority", "localhost:443")],
    "S-168 CONNECT with a path": head(method="CONNECT"),
    "S-169 extended CONNECT": [*head(method="CONNECT"), (":protocol", "websocket")],
    **{"S-170 scheme %r" % scheme: head(scheme=scheme) for scheme in ("gopher", "https://x/?", "", "HTTP")},
    "S-171 host is not the authority": [*head(), ("host", "evil.example")],
    "S-171 two hosts": [*head(authority=None), ("host", "localhost"), ("host", "localhost")],
    **{"S-171 authority %r" % name: head(authority=name) for name in (
        "a@localhost", "local host", "localhost:99999", "", "localhost,evil", "[::1")},
    "S-171 no authority": head(authority=None),
    "S-172 somebody else's host": head(authority="evil.example"),
    **{"S-173 %s" % name: [*head(), (name, value)] for name, value in (
        ("transfer-encoding", "chunked"), ("connection", "close"), ("keep-alive", "1"), ("upgrade", "h2c"),
        ("proxy-connection", "close"), ("te", "gzip"))},
    **{"S-174 name %r" % name: [*head(), (name, "x")] for name in (
        "X-Upper", "a:b", "a b", "a\x01b", "content_length", ":unknown", "a\x7f", "n" * 65)},
    **{"S-175 value %r" % value: [*head(), ("x-value", value)] for value in (
        "a\rb", "a\nb", "a\0b", " a", "a ", "\ta", "a\x01b", "a\x7fb")},
    "S-176 length twice": [*head(method="POST", path="/api/chat"), ("content-length", "1"), ("content-length", "1")],
    **{"S-176 length %r" % value: [*head(method="POST", path="/api/chat"), ("content-length", value)]
       for value in ("+0", "0, 0", "18446744073709551616", "-1", "0x1", "5")},
    "S-176 GET with a length": [*head(), ("content-length", "5")],
    "pseudo after fields": [*head(path=None), ("x", "y"), (":path", "/")],
    "pseudo twice": [*head(), (":path", "/")],
    "response pseudo": [*head(), (":status", "200")],
    "no method": head(method=None),
    "no path": head(path=None),
    "no scheme": head(scheme=None),
    "S-178 cookie crumbs": [*head(), *[("cookie", "a=b")] * 200],
    "expect something else": [*head(method="POST", path="/api/chat"), ("expect", "200-ok")],
    "two credentials": [*head(path="/api/tags"), (KEY, "Bearer a"), (KEY, "Bearer b")],
}


# Malformed messages (RFC 9113 section 8.1.1) are reset; a head that is well formed and breaks a rule is answered. Which
# is which is ours to say, whatever nghttp2 is below: the same on every distribution.
RESET = ("S-166 path ''", "S-168 method ''", "S-168 CONNECT with", "S-169", "S-170 scheme ''", "S-171 two hosts",
         "S-171 authority ''", "S-171 no authority", "S-173", "S-174 name 'X-Upper'", "S-174 name 'a",
         "S-174 name ':unknown'", "S-175", "S-176 length '5'", "S-176 GET with a length", "pseudo", "response pseudo", "no ")
STATUS = {"S-168 method 'get'": 405, "S-168 method 'TRACE'": 405, "S-168 method 'PRI'": 405, "S-168 CONNECT": 405,
          "S-172 somebody else's host": 421, "S-174 name %r" % ("n" * 65): 431, "S-178 cookie crumbs": 431,
          "expect something else": 417, "two credentials": 401}


@pytest.mark.parametrize("name", HEADS)
def test_heads(shared, name):
    corral, sim = shared
    before = sim.posts()
    fields = [(n, v) for n, v in HEADS[name]]
    with wired(corral) as c:
        stream = c.headers([(n.encode("latin-1"), v.encode("latin-1")) for n, v in fields])
        got = refused(c, stream)
        assert got == (h2.PROTOCOL if name.startswith(RESET) else STATUS.get(name, 400))
        assert ping(c) and not c.goaways, "the connection goes on"
        assert c.answer(c.request("GET", "/")).status == 200
    assert sim.posts() == before


def test_s176_bodies_of_another_length(shared):
    corral, sim = shared
    before = sim.posts()
    body = b'{"model":"tiny","messages":[]}'
    for length in (len(body) - 1, len(body) + 1):
        with wired(corral) as c:
            stream = c.headers([*c.fields("POST", "/api/chat", [(KEY, "Bearer " + corral.key())]),
                                ("content-length", str(length))], end=False)
            c.frame(h2.DATA, h2.END_STREAM, stream, body)
            assert refused(c, stream) == h2.PROTOCOL
    assert sim.posts() == before


def test_s176_a_body_that_goes_on(shared):
    """Reset at the first byte too many, not at its end, which may never come."""
    corral, sim = shared
    before = sim.posts()
    with wired(corral) as c:
        stream = c.headers([*c.fields("POST", "/api/chat", [(KEY, "Bearer " + corral.key())]),
                            ("content-length", "10")], end=False)
        c.frame(h2.DATA, 0, stream, b'{"model":')
        assert ping(c) and not c.stream(stream).over
        c.frame(h2.DATA, 0, stream, b'"tiny"')
        assert refused(c, stream, 3) == h2.PROTOCOL
        assert c.answer(c.request("GET", "/")).status == 200
    assert sim.posts() == before


def test_s176_a_body_of_the_length_that_was_said(shared):
    """In pieces, with nothing in between, and none at all."""
    corral, _ = shared
    body = b'{"model":"tiny","messages":[],"options":{"num_predict":1}}'
    with wired(corral) as c:
        for sizes in ([len(body)], [10, 0, len(body) - 10]):
            stream = c.headers([*c.fields("POST", "/api/chat", [(KEY, "Bearer " + corral.key())]),
                                ("content-length", str(len(body)))], end=False)
            at = 0
            for size in sizes:
                at += size
                c.frame(h2.DATA, h2.END_STREAM if at == len(body) else 0, stream, body[at - size:at])
            assert c.answer(stream).status == 200
        assert c.answer(c.headers([*c.fields(), ("content-length", "0")])).status == 200


TRAILERS = {
    "pseudo-header": ([(":path", "/api/pull")], False),
    "content-length": ([("content-length", "3")], None),
    "authorization": ([("authorization", "Bearer other")], True),
    "small": ([("x-checksum", "1")], True),
    "over 4 KiB": ([("x-%d" % i, "a" * 1400) for i in range(3)], False),
    "bad name": ([("content_length", "1")], False),
    "underscore": ([("x_y", "1")], True),
    "upper case": ([("X-Y", "1")], False),
    "of a connection": ([("connection", "close")], False),
}


@pytest.mark.parametrize("name", TRAILERS)
def test_s177_trailers(shared, name):
    corral, sim = shared
    fields, good = TRAILERS[name]
    before = sim.posts()
    with wired(corral) as c:
        stream = c.headers(c.fields("POST", "/api/chat", [(KEY, "Bearer " + corral.key())]), end=False)
        c.body(stream, b'{"model":"tiny","messages":[{"role":"user","content":"x"}],"options":{"num_predict":2}}',
               end=False)
        c.headers(fields, stream=stream)
        own = c.stream(stream)
        assert c.until(lambda: own.over)
        if good is not None:
            assert (own.status == 200) == good, own.heads
    if own.status == 200:
        assert not set(dict(fields)) & set(sim.last("/api/chat")[1]) - {"content-length"}
    else:
        assert sim.posts() == before


def test_s177_trailers_end_the_body(shared):
    corral, sim = shared
    before = sim.posts()
    with wired(corral) as c:
        stream = c.headers(c.fields("POST", "/api/chat", [(KEY, "Bearer " + corral.key())]), end=False)
        c.body(stream, b'{"model":"tiny","messages":[]}', end=False)
        c.headers([("x-checksum", "1")], stream=stream, end=False)
        assert refused(c, stream) == h2.PROTOCOL
        assert c.answer(c.request("GET", "/")).status == 200
    assert sim.posts() == before


def test_s178_a_cookie_in_crumbs_is_one_request(shared):
    corral, _ = shared
    with wired(corral) as c:
        assert c.answer(c.headers([*c.fields(), *[("cookie", "a=b")] * 20])).status == 200


def test_s179_identities_do_not_mix(shared):
    corral, _ = shared
    tenants = ["acme", "beta", "lister", None, "chatonly"] * 4
    with wired(corral) as c:
        streams = []
        for tenant in tenants:
            stream = c.headers([*c.fields("POST", "/api/chat"),
                                *([(KEY, "Bearer " + corral.key(tenant))] if tenant else [])], end=False)
            streams.append(stream)
        for stream in reversed(streams):
            c.body(stream, b'{"model":"other","messages":[],"options":{"num_predict":1}}')
        for tenant, stream in zip(tenants, streams):
            expected = {"acme": 200, "beta": 200, "lister": 403, "chatonly": 403, None: 401}[tenant]
            answer = c.answer(stream)
            assert answer.status == expected, (tenant, answer)
            line = corral.access(answer.field("X-Request-Id"))
            assert line.get("tenant") == tenant and line["protocol"] == "HTTP/2"


# ---- ends ----

def test_s181_a_drain_goes_in_two_steps(stable):
    sim = stable.sim("--tokens-per-s", "20", "--slots", "100").warm()
    corral = stable.corral(sim, slots=100, tenants={"acme": {"max_running": 100}})
    with wired(corral) as c:
        streams = [c.post("/api/chat", chat(tokens=60), corral.key()) for _ in range(98)]
        assert c.until(lambda: all(c.stream(s).chunks for s in streams))
        corral.reload()
        corral.process.terminate()
        assert c.wait_goaway() == h2.NO_ERROR and c.goaways[0][0] == (1 << 31) - 1
        late = c.post("/api/chat", chat(tokens=2), corral.key())  # on its way when the end was announced
        assert c.until(lambda: len(c.goaways) == 2)
        assert c.goaways[1] == (late, h2.NO_ERROR)
        for stream in [*streams, late]:
            answer = c.answer(stream)
            assert (answer.status, answer.end) == (200, "whole")
        assert c.wait_end() == "fin"
    assert corral.wait_exit() == 0


def test_s182_protocols_that_are_mistaken(shared, stable, make_config):
    """Over plain listeners: h2 where only HTTP/1.1 is spoken."""
    corral, _ = shared
    config = make_config([stable.sim()])
    config["listeners"][0]["protocols"] = ["http/1.1"]
    only = stable.serve(config)
    with h2.Connection(only.address) as c:
        assert c.until(lambda: c.raw.end)
        assert not c.peer
    assert h1.ask(corral.address, h1.get("/")).status == 200, "both are spoken on one port"
    served(corral)


def test_expect_continue(shared):
    corral, _ = shared
    with wired(corral) as c:
        body = b'{"model":"tiny","messages":[],"options":{"num_predict":1}}'
        stream = c.headers([*c.fields("POST", "/api/chat", [(KEY, "Bearer " + corral.key())]),
                            ("expect", "100-continue"), ("content-length", str(len(body)))], end=False)
        own = c.stream(stream)
        assert c.until(lambda: own.heads) and dict(own.heads[0])[":status"] == "100"
        c.body(stream, body)
        assert c.answer(stream).status == 200


def test_an_early_answer_does_not_reset_what_comes_in_time(stable):
    """401 before the body: the rest is read; a client that goes on for ever is reset, without blame."""
    corral = stable.corral(stable.sim(), timeouts={"linger_s": 1})
    with wired(corral) as c:
        stream = c.post("/api/chat", chat())
        assert c.answer(stream).status == 401
        assert ping(c) and not hasattr(c.stream(stream), "reset")
        endless = c.headers(c.fields("POST", "/api/chat"), end=False)
        assert c.until(lambda: c.stream(endless).over)
        assert c.until(lambda: hasattr(c.stream(endless), "reset"), 5)
        assert c.stream(endless).reset == h2.NO_ERROR
        assert c.answer(c.request("GET", "/")).status == 200


def test_idle_connections_end_in_peace(stable):
    corral = stable.corral(stable.sim(), timeouts={"idle_s": 1})
    with wired(corral) as c:
        assert c.answer(c.request("GET", "/")).status == 200
        assert c.wait_goaway() == h2.NO_ERROR
        assert c.wait_end() == "fin"


def test_a_dead_replica_is_a_reset_behind_its_error(stable):
    sim = stable.sim("--tokens-per-s", "100").warm()
    corral = stable.corral(sim)
    with wired(corral) as c:
        stream = c.post("/api/chat", chat(tokens=10000), corral.key())
        other = c.request("GET", "/")
        assert c.until(lambda: len(c.stream(stream).chunks) > 3)
        sim.kill()
        own = c.stream(stream)
        assert c.until(lambda: own.over)
        assert own.end == h2.INTERNAL and b'"error"' in own.body.splitlines()[-1]
        assert c.answer(other).status == 200
        assert c.answer(c.request("GET", "/")).status == 200, "the connection goes on"


def test_a_chunk_is_one_frame_and_the_last_one_ends_the_stream(stable):
    corral = stable.corral(stable.sim("--tokens-per-s", "50").warm())
    with wired(corral) as c:
        stream = c.post("/api/chat", chat(tokens=10), corral.key())
        answer = c.answer(stream)
        assert all(chunk.endswith(b"}\n") for chunk in answer.chunks)
        assert len(answer.chunks) > 5 and all(answer.chunks), "no empty frame at the end"


# ---- what a review by fresh eyes found ----

def test_a_head_whose_payload_never_comes(stable):
    corral = stable.corral(stable.sim(), timeouts={"head_s": 1})
    with wired(corral) as c:
        c.send(h2.frame(h2.HEADERS, 5, 1, c.block_of(c.fields()))[:9])
        assert c.wait_goaway() == h2.CALM and c.wait_end() in ("fin", "rst")


def test_requests_on_their_way_at_a_goaway_cut_nobody(stable):
    corral = stable.corral(stable.sim("--tokens-per-s", "30", "--slots", "4").warm(), slots=4)
    with wired(corral) as c:
        kept = begin_chat(corral, c, 60)
        reset_early(corral, c, 50)
        assert c.wait_goaway() == h2.NO_ERROR
        c.post("/api/chat", chat(tokens=2), corral.key())
        assert c.answer(kept).end == "whole", c.goaways


def test_streams_beyond_a_goaway_are_counted(stable):
    corral = stable.corral(stable.sim("--tokens-per-s", "10").warm(), http2={"resets_before_response": 1})
    with wired(corral) as c:
        begin_chat(corral, c, 1000)
        reset_early(corral, c, 1)
        assert c.wait_goaway() == h2.NO_ERROR
        for _ in range(5000):
            c.headers(c.fields())
        cut(corral, c, reason="h2_stale_frames")


def test_an_end_without_a_window_is_a_stall(stable):
    """The last byte used up the window; the end comes later, in a frame of its own."""
    line = b'{"model":"tiny","message":{"role":"assistant","content":"x"},"done":true,"done_reason":"stop"}\n'

    def reply(sock):
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
                     b"%x\r\n%s\r\n" % (len(line), line))
        time.sleep(0.3)
        sock.sendall(b"0\r\n\r\n")
    replica = recorder.Recorder()
    replica.reply = reply
    corral = stable.corral(replica, timeouts={"write_stall_s": 1})
    with wired(corral, window=65535, own={h2.INITIAL_WINDOW: len(line)}) as c:
        stream = c.post("/api/chat", chat(), corral.key())
        assert c.until(lambda: c.stream(stream).over, 8)
        assert c.stream(stream).body == line
    replica.close()


def test_a_head_that_is_split_by_the_last_goaway(stable):
    corral = stable.corral(stable.sim(), timeouts={"drain_s": 8})
    with wired(corral) as c:
        other = c.headers(c.fields("POST", "/api/chat", [(KEY, "Bearer " + corral.key())]), end=False)
        assert ping(c)
        corral.process.terminate()
        assert c.until(lambda: c.goaways)
        stream = c.take_id()
        data = h2.frame(h2.HEADERS, 5, stream, c.block_of(c.fields()))
        c.send(data[:-3])
        assert c.until(lambda: len(c.goaways) == 2)
        c.send(data[-3:])
        c.rst(other)
        c.until(lambda: c.stream(stream).over or c.raw.end, 6)
        assert c.goaways[1][0] < stream or c.stream(stream).over
    assert corral.wait_exit() == 0


def test_late_bytes_of_many_early_answers_cut_nobody(stable):
    corral = stable.corral(stable.sim("--tokens-per-s", "30").warm(), timeouts={"linger_s": 1})
    with wired(corral) as c:
        kept = begin_chat(corral, c, 100)
        late = [c.headers(c.fields("POST", "/api/chat"), end=False) for _ in range(80)]
        assert c.until(lambda: all(hasattr(c.stream(s), "reset") for s in late), 6)
        for stream in late:
            c.frame(h2.DATA, 0, stream, b"late")
        assert c.answer(kept).end == "whole", c.goaways


def test_output_is_made_as_it_is_taken(stable, monkeypatch):
    """Large answers, 4 MB, that nobody reads, then reset: what is on its way is bounded."""
    monkeypatch.setattr(recorder, "MODELS", tuple("model-with-some-name-%d" % i for i in range(1500)))
    replica = recorder.Recorder()
    corral = stable.corral(replica)
    wait_for(lambda: len(corral.get("/api/tags").body) > 300000, 8, "a large answer")
    with h2.Connection(corral.address, rcvbuf=65536) as c:
        assert c.until(lambda: c.peer and c.acked)
        streams = [c.take_id() for _ in range(12)]
        c.send(b"".join(h2.frame(h2.HEADERS, 5, s, c.block_of(
            c.fields("GET", "/api/tags", [(KEY, "Bearer " + corral.key())]))) for s in streams))
        time.sleep(0.5)
        for stream in streams:
            c.rst(stream)
        c.frame(h2.PING, 0, 0, b"12345678")
        assert c.until(lambda: c.pings, 10)
        assert all(c.stream(s).status == 200 for s in streams)
        assert sum(len(s.body) for s in c.streams.values()) < 1 << 20
    replica.close()
    served_by_any = h1.ask(corral.address, h1.get("/"))
    assert served_by_any.status == 200


def test_what_follows_an_early_answer_has_an_end(stable):
    """limits.linger_bytes more are read of a body that nobody wants, sooner than the time that it has."""
    corral = stable.corral(stable.sim(), limits={"linger_bytes": 65536})
    with wired(corral) as c:
        stream = c.headers(c.fields("POST", "/api/chat"), end=False)
        assert c.until(lambda: c.stream(stream).over)
        began = time.monotonic()
        for _ in range(5):
            c.frame(h2.DATA, 0, stream, b"x" * 16000)
        assert c.until(lambda: hasattr(c.stream(stream), "reset"), 5)
        assert c.stream(stream).reset == h2.NO_ERROR and time.monotonic() - began < 0.5


def test_lists_that_nobody_reads_are_held_once(stable, monkeypatch):
    """Forty connections with a hundred unread lists each: one list in memory, and all of it back soon after."""
    monkeypatch.setattr(recorder, "MODELS", tuple("model-with-some-name-%d" % i for i in range(1500)))
    monkeypatch.setenv("CORRAL", release())  # a sanitizer's memory is another
    replica = recorder.Recorder()
    corral = stable.corral(replica)
    body = wait_for(lambda: [b for b in [corral.get("/api/tags").body] if len(b) > 100000], 8, "an answer")[0]
    before, held = corral.rss(), []
    for _ in range(40):
        c = h2.Connection(corral.address, window=0)
        held.append(c)
        streams = [c.headers(c.fields("GET", "/api/tags", [(KEY, "Bearer " + corral.key())])) for _ in range(100)]
        assert c.until(lambda: all(c.stream(s).head for s in streams), 20), "the heads"
        assert all(c.stream(s).status == 200 and not c.stream(s).body for s in streams)
    grown = corral.rss() - before
    print("%d answers of %d bytes wait in %d KiB" % (40 * 100, len(body), grown // 1024))
    assert grown < 4000 * 20 * 1024, "%d bytes for each" % (grown / 4000)
    first = held[0]
    first.frame(h2.WINDOW, 0, streams[0], struct.pack(">I", 1 << 24))
    first.frame(h2.WINDOW, 0, 0, struct.pack(">I", 1 << 24))
    assert first.until(lambda: first.stream(streams[0]).over, 20) and first.stream(streams[0]).body == body
    for c in held:
        c.close()
    wait_for(lambda: corral.metrics().sum("corral_open_connections") == 0, 5, "the end of the connections")
    wait_for(lambda: corral.rss() - before < 20 << 20, 10, "the memory given back")
    replica.close()


def test_answers_that_nobody_reads_are_bounded(stable):
    """Streams without a window, 16 KiB of each wait: above 2 MiB no further one is begun."""
    sim = stable.sim("--tokens-per-s", "0", "--slots", "400").warm()
    corral = stable.corral(sim, slots=400, http2={"max_streams": 1000}, tenants={"acme": {"max_running": 400}})
    with wired(corral, window=0) as c:
        begun = []
        for _ in range(300):
            stream = c.post("/api/chat", chat(tokens=8000, stream=False), corral.key())
            assert c.until(lambda s=stream: c.stream(s).head or c.stream(s).over, 20)
            if c.stream(stream).over:
                break
            begun.append(stream)
        assert c.stream(stream).end == h2.REFUSED
        assert 100 < len(begun) < 200, len(begun)


def test_answers_that_wait_have_a_budget(stable):
    """One of 32 KiB each is kept for a tenant; the one above it is cut, another tenant's is not."""
    sim = stable.sim("--tokens-per-s", "0", "--slots", "100").warm()
    corral = stable.corral(sim, slots=100, limits={"answer_memory_bytes": 2 << 20, "tenant_answer_memory_bytes": 320 * 1024})
    with wired(corral, window=0) as c:
        streams = [c.post("/api/chat", chat(tokens=1000), corral.key()) for _ in range(12)]
        assert c.until(lambda: sum(c.stream(s).over for s in streams) == 2, 5), "two of twelve are over the budget"
        assert {c.stream(s).reset for s in streams if c.stream(s).over} == {h2.CANCEL}
        assert corral.metrics().sum("corral_answer_bytes", tenant="acme") == 320 * 1024
        other = c.post("/api/chat", chat(tokens=1000), corral.key("beta"))
        assert not c.until(lambda: c.stream(other).over, 1.5)
        assert corral.metrics().sum("corral_limited_total", tenant="acme", limit="answer_memory") == 2
    wait_for(lambda: corral.metrics().sum("corral_answer_bytes") == 0, 5, "the budget given back")


def test_answers_of_all_tenants_that_wait_have_a_budget(stable):
    """A mebibyte is 32 of them, whoever they are for; tenants may have as much each."""
    sim = stable.sim("--tokens-per-s", "0", "--slots", "100").warm()
    corral = stable.corral(sim, slots=100, limits={"answer_memory_bytes": 1 << 20, "tenant_answer_memory_bytes": 1 << 20})
    with wired(corral, window=0) as c:
        streams = [c.post("/api/chat", chat(tokens=1000), corral.key(t)) for t in ("acme", "beta") for _ in range(20)]
        assert c.until(lambda: sum(c.stream(s).over for s in streams) == 8, 10), "eight of forty are over the budget"
        assert corral.metrics().sum("corral_answer_bytes") == 1 << 20


def test_a_refused_head_has_no_body(shared):
    corral, _ = shared
    with wired(corral) as c:
        stream = c.headers(c.fields("HEAD", authority="a@localhost"))
        answer = c.answer(stream)
        assert (answer.status, answer.body) == (400, b"")


def test_h2_alone_over_tls_wants_alpn(stable, make_config, tmp_path):
    """RFC 9113 section 3.2: without ALPN there is no HTTP/2 over TLS, and nothing else is spoken."""
    chain, key = Authority(tmp_path).leaf(tmp_path, "localhost")
    config = make_config([stable.sim()], protocols=["h2"], tls={"certificates": [{"chain": chain, "key": key}]})
    config["listeners"][0]["tls"] = True
    corral = stable.serve(config)
    trust = ssl.create_default_context(cafile=str(tmp_path / "root.pem"))
    with h1.Client(corral.address, tls=trust, name="localhost") as c:
        c.send(h1.get("/"))
        assert c.wait_end(3) in ("fin", "rst") and b"HTTP/1.1" not in c.data
    trust.set_alpn_protocols(["h2"])
    with h2.Connection(corral.address, tls=trust, name="localhost") as c:
        assert c.answer(c.request("GET", "/")).status == 200


def test_a_preface_that_drips_has_one_deadline(stable):
    corral = stable.corral(stable.sim(), timeouts={"head_s": 1})
    with h2.Connection(corral.address, begin=False, ack=False) as c:
        for byte in h2.PREFACE:
            c.send(bytes([byte]))
            if c.wait_end(0.3) != "open":
                break
        assert c.raw.end
