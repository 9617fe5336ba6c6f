"""Nothing malformed gets through (P-01): every attack by number, against a recorder of bytes.

Each is sent whole, byte by byte and split at random; of what is refused, no byte reaches the
replica. CORRAL_SEED repeats the splits of a run.
"""

import importlib
import itertools
import json
import os
import pathlib
import random
import re
import ssl
import sys
import time

import pytest

import attack_bodies
import attack_replies
import attack_tokens
import attacks
import h1
import pki
import test_strict
from conftest import Stable
from harness import chat, free_port, wait_for
from recorder import SEED, Recorder, split, ways

ROOT = pathlib.Path(__file__).parents[2]
CLOSES = 3.0  # a second, on a machine that has nothing else to do
REFUSED = {
    **attacks.TABLE,
    **attack_bodies.TABLE,
    **{name: (401, attacks.post(b"Authorization: Bearer TOKEN\r\n" + attacks.CL).replace(
        attacks.AUTH, b"").replace(b"TOKEN", text.encode("latin-1")))
       for name, text in attack_tokens.TABLE.items()},
}
for _size in (8192, 65536, 9000000):
    REFUSED["S-248 a token of %d" % _size] = (431, attacks.STRANGER % (
        b"Authorization: Bearer " + b"a" * _size + b"\r\n"))


class Lines(dict):
    """Request id -> status that the one access line of it must have, and not the reason `ok`."""

    def check(self, corral):
        last = list(self)[-1:]
        wait_for(lambda: not last or last[0] in corral.text(), 3, "the last line")
        seen = [line for line in corral.logged("access") if line["request_id"] in self]
        assert len(seen) == len(self), "lines are missing, or there are two of one request"
        for line in seen:
            assert line["status"] == self[line["request_id"]] and line["reason"] != "ok", line


@pytest.fixture(scope="module")
def target(tmp_path_factory, keyfile, make_config):
    """(corral, recorder, access lines): keys and tokens are known, `beta` may use `embed*`."""
    folder = tmp_path_factory.mktemp("target")
    (folder / "keys.json").write_text(json.dumps(attack_tokens.jwks()))
    (folder / "secret").write_bytes(attack_tokens.SECRET)
    for name in ("keys.json", "secret"):
        (folder / name).chmod(0o600)
    issuers = [{"issuer": "keys", "audience": ["corral"], "keys_file": str(folder / "keys.json")},
               {"issuer": "secret", "audience": ["corral"], "keys_file": str(folder / "secret")}]
    recorder = Recorder()
    with Stable(folder, keyfile.keys, make_config) as made:
        corral = made.corral(recorder, slots=64, issuers=issuers, protocols=["http/1.1"], tenants={
            "acme": {}, "beta": {"models": ["embed*"]}})
        wait_for(lambda: corral.get("/api/tags").json["models"], 5, "the replica's models")
        print("seed of the splits: %d" % SEED)
        lines = Lines()
        yield corral, recorder, lines
        lines.check(corral)
    recorder.close()


def filled(corral, data):
    return data.replace(b"KEY", corral.key().encode()).replace(b"NARROW", corral.key("beta").encode())


def is_head(data):
    return data.startswith(b"HEAD ")


def strike(client, pieces):
    for piece in pieces:
        if not client.try_send(piece):
            break
    return client.answer("HEAD" if is_head(b"".join(pieces[:5])) else "POST", timeout=CLOSES + 1)


def check_closed(client, data):
    began = time.monotonic()
    assert client.wait_end(CLOSES) in ("fin", "rst")
    assert time.monotonic() - began < CLOSES
    assert is_head(data) or client.data == b"", "a second answer"


def check_alive(client, corral, data):
    """The connection was kept: the next request on it is read as if nothing had been."""
    assert client.data == b"", "a second answer"
    client.send(h1.get("/api/version", corral.key()))
    answer = client.answer("GET")
    assert answer.status == 200 and answer.json == {"version": "0.24.0"}, answer


KEPT = (401, 403, 404, 405, 411, 415)


@pytest.mark.parametrize("name", REFUSED)
def test_refused(target, name):
    corral, recorder, lines = target
    status, data = REFUSED[name]
    data = filled(corral, data)
    for way, pieces in ways(data, name):
        with corral.client() as client:
            answer = strike(client, pieces)
            assert answer.status == status, (way, SEED, answer)
            if answer.field("Connection") == "close":
                check_closed(client, data)
            else:
                assert status in KEPT or name.startswith(("S-26", "S-27", "S-28", "S-29")), name
                check_alive(client, corral, data)
        lines[answer.field("X-Request-Id")] = status
        assert recorder.taken() == [], (way, "bytes reached the replica")
    assert corral.get("/api/version").status == 200


@pytest.mark.parametrize("name", attack_tokens.GOOD)
def test_good_tokens_pass(target, name):
    """So that what refuses the others is what is wrong with them."""
    corral, recorder, _ = target
    made = attack_tokens.GOOD[name]
    answer = corral.ask(h1.post("/api/chat", chat(stream=False), made() if callable(made) else made))
    assert answer.status == 200, answer
    assert len(recorder.taken()) == 1


# ---- what reaches the replica is ours, whatever came ----

HEAD = re.compile(
    rb"POST /(?:api/(?:chat|generate|embed|embeddings|show)|v1/(?:chat/completions|completions|"
    rb"embeddings|responses|messages)) HTTP/1\.1\r\nHost: localhost:\d+\r\n"
    rb"Content-Type: application/json\r\nContent-Length: (\d+)\r\nAccept: [a-z/-]+\r\n"
    rb"X-Request-Id: req_[0-9a-f]{24}\r\n\r\n")


def requests_in(data):
    """Bodies, read by a second strict reader; every byte belongs to one."""
    found = []
    while data:
        head = HEAD.match(data)
        assert head, data[:600]
        length, at = int(head.group(1)), head.end()
        assert str(length).encode() == head.group(1) and len(data) >= at + length
        found.append(data[at:at + length])
        json.loads(found[-1].decode("utf-8", "replace"))  # what is no UTF-8 in a text goes on as it came
        data = data[at + length:]
    return found


ODD = [bytes([b]) for b in list(range(0x21)) + [0x22, 0x2c, 0x3a, 0x3b, 0x5c, 0x7f, 0x80, 0x85,
                                                0xa0, 0xad, 0xc2, 0xff]] + [b"\r\n", b"\r\n ", b"%0a"]
PLACES = ("before the name", "in the name", "before the colon", "behind the colon", "in the value",
          "behind the value")


def permutation(place, odd, name, value):
    if place == "before the name":
        return odd + name + b": " + value
    if place == "in the name":
        return name[:8] + odd + name[8:] + b": " + value
    if place == "before the colon":
        return name + odd + b": " + value
    if place == "behind the colon":
        return name + b":" + odd + value
    if place == "in the value":
        return name + b": " + value[:1] + odd + value[1:]
    return name + b": " + value + odd


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", ["S-052 Transfer-Encoding", "S-052 Content-Length"])
def test_permutations_of_framing(target, name, place):
    """S-052: one odd piece in the framing field, alone and beside the other framing field."""
    corral, recorder, _ = target
    own = name[6:].encode()
    te = own == b"Transfer-Encoding"
    value = b"chunked" if te else b"%d" % len(attacks.BODY)
    body = attacks.ONE_CHUNK if te else attacks.BODY
    dice = random.Random("%d %s %s" % (SEED, name, place))
    served = 0
    for odd, beside in itertools.product(ODD, (False, True)):
        fields = permutation(place, odd, own, value) + b"\r\n"
        fields += (attacks.CL if te else attacks.TE) if beside else b""
        data = filled(corral, attacks.post(fields, body + attacks.SECOND))
        with corral.client() as client:
            answer = strike(client, split(data, dice))
            second = client.answer() if answer.status == 200 else None
            assert second or client.wait_end(CLOSES) in ("fin", "rst"), (SEED, odd)
        taken = [requests_in(piece) for piece in recorder.taken()]
        bodies = [body for piece in taken for body in piece]
        if answer.status == 200:
            # Legal white space: then both requests are what they say.
            assert odd in (b" ", b"\t") and not beside, (SEED, odd, answer)
            assert second.status == 200 and bodies == [attacks.BODY] * 2, (odd, bodies)
            served += 1
        else:
            assert 400 <= answer.status < 600 and bodies == [], (SEED, odd, bodies)
    assert served == (2 if place in ("behind the colon", "behind the value") else 0)


def mutate(data, dice):
    data = bytearray(data)
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        at, kind = dice.randrange(len(data)), dice.randrange(5)
        if kind == 0:
            data[at] = dice.randrange(256)
        elif kind == 1:
            del data[at:at + dice.randrange(1, 4)]
        elif kind == 2:
            data[at:at] = dice.choice(ODD)
        elif kind == 3:
            other = dice.randrange(len(data))
            data[at:at] = data[other:other + dice.randrange(1, 40)]
        else:
            data[at:at] = dice.choice((b"\r\n", b"\r\n\r\n", attacks.TE, attacks.CL, b"0\r\n\r\n",
                                       b"Content-Length: 0\r\n", b"Host: x\r\n"))
        if not data:
            break
    return bytes(data) or b"x"


def mutations(target, count):
    """S-053: as many requests at the replica as were answered with 200, each whole and ours."""
    corral, recorder, _ = target
    dice = random.Random(SEED)
    seeds = [attacks.post(), attacks.chunked(attacks.ONE_CHUNK), attacks.post() + attacks.post(),
             *test_strict.GOOD.values()]
    accepted = 0
    for _ in range(count):
        data = mutate(filled(corral, dice.choice(seeds)), dice)
        with corral.client() as client:
            for piece in split(data, dice) if len(data) > 1 else [data]:
                if not client.try_send(piece):
                    break
            client.wait_end(0.02)
            answered = client.data
        wait_for(lambda: corral.metrics().sum("corral_open_connections") == 0, 5, "the end")
        bodies = [body for piece in recorder.taken() for body in requests_in(piece)]
        # A client that leaves early gets less than what was sent for it, never more.
        statuses = len(re.findall(rb"HTTP/1\.1 200 OK\r\n", answered))
        assert statuses <= len(bodies) + answered.count(b'"version"'), (SEED, data, answered)
        accepted += len(bodies)
    return accepted


def test_mutated_streams(target):
    assert mutations(target, 300) > 0


@pytest.mark.long
def test_ten_thousand_mutated_streams(target):
    assert mutations(target, 10000) > 500


CLOSED = [("POST", "/api/pull"), ("POST", "/api/push"), ("POST", "/api/create"),
          ("POST", "/api/copy"), ("DELETE", "/api/delete"), ("POST", "/api/me"),
          ("POST", "/api/signout"), ("POST", "/api/experimental/web_search"),
          ("POST", "/api/blobs/sha256:" + "0" * 64), ("DELETE", "/api/user/keys/x")]
SLASHES = [b"//", b"/./", b"/x/../", b"\\", b"%2f", b"%5c", b"/;a/", b"/%2e/", b"%252f", b"/..;/",
           b"\xc0\xaf", b"/a/%2e%2e/"]
ENDS = [b"/", b"/.", b"/..", b";x=1", b"?x", b"?x=/api/tags", b"#x", b"%20", b"%00", b".json"]
STARTS = [b"/", b"/.", b"\\", b"/x/..", b"http://localhost", b"//localhost", b"/api/tags/.."]


def spelled(path, dice):
    path = path.encode()
    for _ in range(dice.randrange(1, 5)):
        at, kind = dice.randrange(len(path)), dice.randrange(6)
        if kind == 0:
            path = path[:at] + b"%%%02x" % path[at] + path[at + 1:]
        elif kind == 1:
            path = path[:at] + path[at:at + 1].swapcase() + path[at + 1:]
        elif kind == 2:
            path += dice.choice(ENDS)
        elif kind == 3:
            path = dice.choice(STARTS) + path
        else:
            at = path.find(b"/", at)
            path = path if at < 0 else path[:at] + dice.choice(SLASHES) + path[at + 1:]
    return path


def spellings(target, count):
    """P-06: no spelling of an admin route gets a byte through, or an answer but a refusal."""
    corral, recorder, _ = target
    dice = random.Random(SEED)
    for _ in range(count):
        method, path = dice.choice(CLOSED)
        method = dice.choice((method, method, "POST", "GET", "HEAD", "DELETE"))
        made = spelled(path, dice)
        data = filled(corral, attacks.post(line=method.encode() + b" " + made + b" HTTP/1.1\r\n"))
        answer = corral.ask(data)
        assert answer.status in (400, 403, 404, 405), (SEED, method, made, answer)
    assert recorder.taken() == [], SEED


def test_spellings_of_admin_routes(target):
    spellings(target, 500)


@pytest.mark.long
def test_many_spellings_of_admin_routes(target):
    spellings(target, 100000)


@pytest.mark.parametrize("how", ["fin", "rst", "half"])
def test_a_client_that_leaves_in_its_body(target, how):
    """S-047: nothing was opened for it."""
    corral, recorder, _ = target
    data = filled(corral, attacks.post())
    for at in range(data.index(b"\r\n\r\n") + 4, len(data), 7):
        client = corral.client().send(data[:at])
        client.leave(how)
        client.close()
    wait_for(lambda: corral.metrics().sum("corral_open_connections") == 0, 5, "the end")
    assert recorder.taken() == []


def test_a_mebibyte_of_one_byte_chunks(target):
    """S-037: served, and not at the price of a second of work."""
    corral, recorder, _ = target
    body = json.dumps(chat(stream=False)).encode()
    body += b" " * (1048576 - len(body))
    pieces = b"".join(b"1\r\n%c\r\n" % byte for byte in body)
    data = h1.request("POST", "/api/chat", h1.bearer(corral.key(), ("Transfer-Encoding", "chunked")))
    began = os.times()
    with corral.client(timeout=30) as client:
        client.send(data + pieces + b"0\r\n\r\n")
        assert client.answer().status == 200
    assert os.times().elapsed - began.elapsed < 10
    assert requests_in(b"".join(recorder.taken())) == [body]


@pytest.mark.parametrize("kind", ["length", "chunked"])
@pytest.mark.parametrize("value", ["websocket", "h2c", "foo"])
def test_upgrade_with_a_body(target, value, kind):
    """S-109: one request, its body, and what follows is the next with its own credential."""
    corral, recorder, _ = target
    fields = b"Upgrade: %s\r\nConnection: Upgrade\r\n" % value.encode()
    body = attacks.BODY if kind == "length" else attacks.ONE_CHUNK
    data = attacks.post((attacks.CL if kind == "length" else attacks.TE) + fields, body)
    with corral.client() as client:
        client.send(filled(corral, data) + h1.get("/api/tags"))
        assert client.answer().status == 200
        assert client.answer().status == 401
    assert requests_in(b"".join(recorder.taken())) == [attacks.BODY]


def test_bad_tokens_beside_a_tls_connection(stable, make_config, tmp_path):
    """S-253: what a failed check leaves behind in OpenSSL ends nobody's connection."""
    authority = pki.Authority(tmp_path)
    chain, key = authority.leaf(tmp_path, "leaf")
    (tmp_path / "keys.json").write_text(json.dumps(attack_tokens.jwks()))
    (tmp_path / "keys.json").chmod(0o600)
    issuers = [{"issuer": "keys", "audience": ["corral"], "keys_file": str(tmp_path / "keys.json")}]
    recorder = Recorder()
    config = make_config([recorder], workers=1, issuers=issuers,
                         tls={"certificates": [{"chain": chain, "key": key}]})
    config["listeners"] = [{"address": "127.0.0.1:%d" % free_port(), "tls": True}]
    corral = stable.serve(config)
    made = ssl.create_default_context(cafile=str(authority.file))
    bad = [attack_tokens.token(signature=bytes([i]) * 256) for i in range(100)]
    bad += [attack_tokens.token("ES256", signature=bytes([i]) * 64) for i in range(100)]
    with corral.client(tls=made, name="localhost") as good, \
            corral.client(tls=made, name="localhost") as other:
        for text in bad:
            other.send(h1.get("/api/tags", text))
            assert other.answer("GET").status == 401
            good.send(h1.get("/api/version", corral.key()))
            assert good.answer("GET").status == 200
    recorder.close()


def test_prompts_stay_out_of_logs_and_metrics(target):
    """S-300."""
    corral, recorder, _ = target
    mark = "marker-6f1c-of-a-prompt"
    for path in ("/api/chat", "/api/generate", "/v1/chat/completions", "/nope"):
        for extra in ({}, {"_debug": mark}, {"options": {"num_predict": mark}}, {mark: 1}):
            corral.post(path, {**chat(stream=False), "prompt": mark, **extra,
                               "messages": [{"role": "user", "content": mark}]})
    recorder.taken()
    assert mark not in corral.text() and mark not in corral.metrics().text


# ---- every number ----


def functions(path):
    return set(re.findall(r"(?:def |START_TEST\()(\w+)", (ROOT / path).read_text()))


def numbers_of_cases():
    names = [*REFUSED, *test_strict.GOOD, *attack_tokens.GOOD, *attack_replies.TABLE,
             *attack_replies.GOOD, "S-052 Transfer-Encoding"]
    return {int(re.match(r"S-(\d{3}) .", name).group(1)) for name in names}


def test_every_rule_that_is_taken_out_stands_in_the_source():
    """The long tier takes them out; here only that their texts have not drifted away."""
    path = list(sys.path)
    sys.path.insert(0, str(ROOT / "tests" / "mutants"))
    try:
        rules = importlib.import_module("rules").RULES
    finally:
        sys.path[:] = path
    lost = [(name, file) for name, file, text, *_ in rules
            if (ROOT / "gateway" / file).read_text().count(text) != 1]
    assert len(rules) > 150 and lost == []
    rows = re.findall(r"^\| (.+?) \| `(.+?)` \| \d+ \| \d+ \|$", (ROOT / "docs/RULES.md").read_text(), re.M)
    assert rows == [(name, file) for name, file, *_ in rules], "docs/RULES.md: tests/mutants/run --write WORD writes rows"


def test_every_number_is_a_case_or_has_a_reason():
    wanted = {*range(1, 133), *range(219, 254), 261, 262, *range(267, 304), 304, 305, 306, 309, 311,
              312, 313, *range(337, 344), 346, 347, *range(350, 360), *range(366, 374)}
    cases = numbers_of_cases()
    held = set(attacks.HELD)
    without = set(attacks.WITHOUT)
    assert cases | held | without >= wanted, sorted(wanted - cases - held - without)
    assert not cases & without and not held & without, "a reason for what has a test"
    for number, place in attacks.HELD.items():
        path, _, name = place.partition("::")
        assert name in functions(path), (number, place)
    assert all(len(reason) > 20 for reason in attacks.WITHOUT.values())
