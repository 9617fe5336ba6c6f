"""Replicas that are hostile or broken: what they say byte for byte (facts/attacks.md 4.5).

Every reply is sent whole, byte by byte and split at random; CORRAL_SEED repeats a run's splits.
"""

import json
import re

import pytest

import attack_replies
import h1
from conftest import Stable
from harness import chat, wait_for
from recorder import SEED, Recorder, ways

THEIRS = re.compile("set-cookie|location|server:|powered|via:|alt-svc|strict|access-control|theirs")


@pytest.fixture(scope="module")
def pair(tmp_path_factory, keyfile, make_config):
    recorder = Recorder()
    with Stable(tmp_path_factory.mktemp("pair"), keyfile.keys, make_config) as made:
        corral = made.corral(recorder, slots=64)
        wait_for(lambda: corral.get("/api/tags").json["models"], 5, "the replica's models")
        print("seed of the splits: %d" % SEED)
        yield corral, recorder
    recorder.close()


def check(answer, expected):
    assert answer.head.startswith(b"HTTP/1.1 "), answer
    assert not THEIRS.search(answer.head.decode("latin-1").lower()), answer.head
    if expected == "cut" or (expected == "lost" and answer.status == 200):
        assert (answer.status, answer.end) == (200, "fin"), answer
        assert b'"done":true' not in answer.body
    else:
        assert (answer.status, answer.end) == (502 if expected == "lost" else expected, "whole"), \
            answer


@pytest.mark.parametrize("name", {**attack_replies.TABLE, **attack_replies.GOOD})
def test_replies(pair, name):
    corral, recorder = pair
    reply, end, expected = {**attack_replies.TABLE, **attack_replies.GOOD}[name]
    whole = reply if isinstance(reply, bytes) else b"".join(reply)
    for way, pieces in ways(whole, name) if whole else [("whole", [b""])]:
        recorder.reply, recorder.end = pieces, end
        ended = recorder.ended
        with corral.client() as client:
            client.send(h1.post("/api/chat", chat(), corral.key()))
            answer = client.answer(timeout=10)
            print(way)
            check(answer, expected)
            recorder.calm()
            if answer.end == "whole":
                client.send(h1.post("/api/chat", chat(stream=False), corral.key()))
                assert client.answer().status == 200, "the client's connection lives on"
            if name.startswith("S-124"):
                wait_for(lambda: recorder.ended > ended, 2, "the end of a connection with more on it")
        recorder.calm()
    line = corral.access(answer.field("X-Request-Id"))
    assert (line["reason"] == "ok") == (expected == 200), line
    assert len(recorder.taken()) >= 1
    corral.wait_idle()


def test_a_reply_before_the_request_was_sent(pair):
    """S-130: handled, and the connection is not used again."""
    corral, recorder = pair
    body = json.dumps(chat(stream=False)).encode() + b" " * 15000000
    recorder.early = True
    answer = corral.ask(h1.post("/api/chat", body, corral.key()), timeout=20)
    assert answer.status == 200, answer
    assert len(b"".join(recorder.taken())) < len(body), "it was not early"
    recorder.calm()
    for _ in range(4):
        assert corral.post("/api/chat", chat(stream=False)).status == 200
    wait_for(lambda: corral.metrics().sum("corral_body_bytes") == 0, 5, "memory given back")
    recorder.taken()
