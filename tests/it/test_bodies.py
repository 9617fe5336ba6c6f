"""What a body may hold, and what corral changes in it: as little as Ollama needs, and it is told (docs/BODIES.md)."""

import json
import urllib.parse

import pytest

import h1
import harness
from conftest import Stable
from harness import chat, wait_for

MODELS = [
    {"name": "tiny", "options": {"num_ctx_max": 4096}},
    {"name": "other", "options": {"allowed": ["num_batch", "num_gpu", "main_gpu", "use_mmap", "num_thread",
                                              "draft_num_predict", "shift"]}},
]
RUNNER = {"num_batch": 7, "num_gpu": 1, "main_gpu": 0, "use_mmap": True, "num_thread": 3, "draft_num_predict": 2}


@pytest.fixture(scope="module")
def pair(tmp_path_factory, keyfile, make_config):
    """(corral, sim): one with settings of its own for some models."""
    with Stable(tmp_path_factory.mktemp("bodies"), keyfile.keys, make_config) as made:
        sim = made.sim("--slots", "8", "--tokens-per-s", "0", "--models", "tiny:268.10M,embed:22.57M,other:1B,plain:1B")
        yield made.corral(sim, slots=8, models=MODELS), sim


def sent(sim, path="/api/chat"):
    return json.loads(sim.last(path)[2])


def changed(corral, answer):
    """What the answer says was changed; the access line says the same."""
    told = answer.field("X-Corral-Changed")
    assert corral.access(answer.field("X-Request-Id")).get("changed") == told
    return told


# ---- what is dropped or clamped is told ----

@pytest.mark.parametrize("model,asked,passes,told", [
    ("tiny", 4096, 4096, None),
    ("tiny", 3000, 3000, None),
    ("tiny", 8192, 4096, "options.num_ctx;clamped=4096"),
    ("tiny", 0, None, "options.num_ctx;dropped"),
    ("tiny", "x", None, "options.num_ctx;dropped"),
    ("plain", 4096, None, "options.num_ctx;dropped"),
    ("other", 4096, None, "options.num_ctx;dropped"),
], ids=lambda value: str(value))
def test_num_ctx_passes_up_to_its_maximum(pair, model, asked, passes, told):
    """A prompt of about 3,000 tokens is read whole by a model whose entry lets the client ask for the room."""
    corral, sim = pair
    body = chat(model, stream=False)
    body["messages"][0]["content"] = "word " * 3000
    body["options"]["num_ctx"] = asked
    answer = corral.post("/api/chat", body)
    assert answer.status == 200, answer
    assert sent(sim)["options"].get("num_ctx") == passes
    assert changed(corral, answer) == told
    room = passes or 2048
    assert min(room, 3500) <= answer.json["prompt_eval_count"] <= room, answer.json
    loaded = {m["name"]: m["context_length"] for m in sim.ask(h1.get("/api/ps")).json["models"]}
    assert loaded[model + ":latest"] == room


@pytest.mark.parametrize("name", [*RUNNER, "shift"])
def test_options_pass_where_the_entry_allows_them(pair, name):
    corral, sim = pair
    for model, passes in (("other", True), ("plain", False)):
        body = chat(model)
        where, label = (body, name) if name == "shift" else (body["options"], "options." + name)
        where[name] = RUNNER.get(name, True)
        answer = corral.post("/api/chat", body)
        assert answer.status == 200, answer
        got = sent(sim)
        assert (name in (got if name == "shift" else got["options"])) == passes
        assert changed(corral, answer) == (None if passes else label + ";dropped")


def test_all_that_was_changed_is_told_in_one_field(pair):
    corral, _ = pair
    body = chat("plain", keep_alive=-1, shift=False, insecure=True)
    body["options"].update(RUNNER, num_ctx=9, seed=1)
    answer = corral.post("/api/chat", body)
    assert answer.status == 200, answer
    assert sorted(changed(corral, answer).split(", ")) == sorted(
        ["keep_alive;dropped", "shift;dropped", "insecure;dropped", "options.num_ctx;dropped"] +
        ["options.%s;dropped" % name for name in RUNNER])


@pytest.mark.parametrize("path,body,told", [
    ("/v1/chat/completions", {"max_completion_tokens": 5}, "max_completion_tokens;renamed=max_tokens"),
    ("/v1/chat/completions", {"max_tokens": 5}, None),
    ("/v1/chat/completions", {"stream": True}, None),
    ("/api/chat", {"options": {"num_predict": 5}}, None),
    ("/api/chat", {"keep_alive": None}, None),
    ("/api/show", {"name": "tiny", "model": ""}, "name;renamed=model"),
])
def test_only_what_changes_the_request_is_told(pair, path, body, told):
    corral, _ = pair
    answer = corral.post(path, {"model": "tiny", "messages": [{"role": "user", "content": "x"}], **body})
    assert answer.status == 200, answer
    assert changed(corral, answer) == told


def test_a_limit_that_bounds_the_output_is_told(stable):
    sim = stable.sim("--tokens-per-s", "0").warm()
    corral = stable.corral(sim, tenants={"acme": {"limits": [{"name": "t", "tokens": 2000, "window_s": 3600}]}},
                           limits={"default_output_tokens": 100})
    def ask(path, **body):
        answer = corral.post(path, dict({"model": "tiny", "messages": [{"role": "user", "content": "x"}]}, **body))
        assert answer.status == 200, answer
        return changed(corral, answer)
    assert ask("/api/chat", options={"num_predict": 4}) is None
    assert ask("/api/chat") == "options.num_predict;bounded=100"
    assert ask("/v1/chat/completions") == "max_tokens;bounded=100"
    told = ask("/v1/chat/completions", max_tokens=100000)
    assert told.startswith("max_tokens;bounded=") and 0 < int(told.rpartition("=")[2]) < 2000


# ---- any name that Ollama can store ----

NAMES = ["hf.co/Org/Repo-GGUF:Q4_K_M", "localhost:5000/me/x:8b", "registry.example.com:8443/Team_1/a..b:1.5",
         "me/x.1_y-z:latest", "a" * 255 + "/" + "b" * 80 + "/" + "c" * 80 + ":" + "d" * 80]
STUBS = ["stub:latest", "hf.co/me/stub:latest", "big:120b-cloud", "other-stub:cloud", "both:latest"]


@pytest.fixture(scope="module")
def herd(tmp_path_factory, keyfile, make_config):
    """(corral, its first sim, its second sim): models of other registries; stubs, one of them a model elsewhere."""
    with Stable(tmp_path_factory.mktemp("herd"), keyfile.keys, make_config) as made:
        first = made.sim("--slots", "8", "--tokens-per-s", "0", "--no-cloud", "0", "--remote", ",".join(STUBS),
                         "--models", ",".join(name + ":1B" for name in NAMES + STUBS))
        second = made.sim("--slots", "8", "--tokens-per-s", "0", "--models", "both:latest:1B")
        tenants = {"acme": {}, "beta": {"models": ["hf.co/*", "localhost:5000/*"]}}
        yield made.corral(first, second, slots=8, tenants=tenants), first, second


def listed(corral, tenant="acme"):
    native = [m["name"] for m in corral.get("/api/tags", tenant).json["models"]]
    assert [m["id"] for m in corral.get("/v1/models", tenant).json["data"]] == native
    return native


def test_every_name_is_listed(herd):
    corral, *_ = herd
    assert sorted(listed(corral)) == sorted(NAMES + ["both:latest"])


@pytest.mark.parametrize("name", NAMES, ids=lambda name: name[:30])
def test_every_name_is_served(herd, name):
    corral, first, _ = herd
    for path, body in (("/api/chat", chat(name)), ("/api/show", {"model": name}), ("/api/generate", {"model": name, "prompt": "x"}),
                       ("/v1/chat/completions", chat(name)), ("/api/chat", chat(name.upper())),
                       ("/v1/messages", chat(name, max_tokens=3))):
        answer = corral.post(path, body)
        assert answer.status == 200, (path, answer)
        assert sent(first, path)["model"] == body["model"]
    loaded = wait_for(lambda: [m for m in corral.get("/api/ps").json["models"] if m["name"] == name], 10)
    assert len(loaded) == 1


@pytest.mark.parametrize("name", NAMES, ids=lambda name: name[:30])
def test_a_model_is_shown_with_its_slashes_encoded_or_not(herd, name):
    corral, *_ = herd
    for spelled in (name, urllib.parse.quote(name, safe=""), urllib.parse.quote(name, safe="/")):
        answer = corral.get("/v1/models/" + spelled)
        assert (answer.status, answer.json["id"]) == (200, name), answer
        assert answer.json["owned_by"] == (name.split("/")[-2].lower() if "/" in name else "library")


@pytest.mark.parametrize("path,status", [
    ("hf.co%252FOrg%252FRepo-GGUF", 400), ("..%2Fapi%2Ftags", 400), ("%2e%2e/x", 400), ("a%00", 400), ("a%20b", 400),
    ("hf.co%2F%2Fx", 400), ("%2Fa", 400), ("hf.co/Org/Nope", 404), ("https:%2F%2Fhf.co%2FOrg%2FRepo", 400)])
def test_what_is_no_name_is_refused_however_it_is_encoded(herd, path, status):
    corral, *_ = herd
    assert corral.get("/v1/models/" + path).status == status


def test_patterns_know_registries(herd):
    corral, *_ = herd
    assert sorted(listed(corral, "beta")) == sorted(NAMES[:2])
    assert corral.post("/api/chat", chat(NAMES[0]), "beta").status == 200
    assert corral.post("/api/chat", chat(NAMES[2]), "beta").status == 403


@pytest.mark.parametrize("name", [name for name in STUBS if name != "both:latest"])
def test_a_model_that_runs_elsewhere_is_refused(herd, name):
    """By its tag, or because its replica names the host that it would ask."""
    corral, first, _ = herd
    before = first.posts()
    for path in ("/api/chat", "/api/show", "/v1/chat/completions"):
        answer = corral.post(path, chat(name))
        assert answer.status == 403 and b"Cloud models are not allowed" in answer.body, answer
        assert corral.access(answer.field("X-Request-Id"))["reason"] == "model_remote"
    assert corral.get("/v1/models/" + name).status == 403
    assert first.posts() == before


def test_of_a_stub_and_a_model_the_model_is_taken(herd):
    """Also when all slots of the replica that has it are taken: the others wait."""
    corral, first, second = herd
    before = first.posts(), second.posts()
    second.config(tokens_per_s=50)
    answers = harness.together(24, lambda i: corral.post(("/api/chat", "/api/show")[i % 2], chat("both", tokens=20)))
    second.config(tokens_per_s=0)
    assert {answer.status for answer in answers} == {200}
    assert (first.posts(), second.posts()) == (before[0], before[1] + 24)


def test_allow_remote_lists_and_serves_them(stable):
    """And takes effect, and ends, with a reload."""
    sim = stable.sim("--tokens-per-s", "0", "--no-cloud", "0", "--remote", ",".join(STUBS), "--models",
                     ",".join(name + ":1B" for name in STUBS))
    corral = stable.corral(sim)
    closed = dict(corral.config)
    ask = lambda name: corral.post("/api/chat", chat(name))
    assert listed(corral) == [] and {ask(name).status for name in STUBS} == {403}
    corral.reload(dict(closed, models=[{"name": "*", "allow_remote": True}]))
    assert sorted(listed(corral)) == sorted(STUBS)
    for name in STUBS:
        answer = wait_for(lambda: (lambda got: got if got.status == 200 else None)(ask(name)))
        assert answer.end == "whole"
        assert corral.get("/v1/models/" + name).json["id"] == name
        assert corral.post("/api/show", {"model": name}).status == 200
    corral.reload(closed)
    assert wait_for(lambda: listed(corral) == [])
    assert {ask(name).status for name in STUBS} == {403}


@pytest.mark.parametrize("spelled,status,passes", [
    (" tiny ", 200, "tiny"), ("\ttiny:latest\n", 200, "tiny:latest"), ("tiny", 200, "tiny"), ("tiny:local", 200, "tiny:local"),
    ("tiny: latest", 400, None), ("tiny :latest", 400, None), ("tiny :local", 400, None), ("tiny: local", 400, None),
    ("tiny\u00a0", 400, None), ("tiny: cloud", 400, None), ("tiny:cloud ", 403, None)])
def test_the_name_that_was_judged_is_sent(pair, spelled, status, passes):
    corral, sim = pair
    for path in ("/api/chat", "/v1/chat/completions", "/v1/messages"):
        answer = corral.post(path, chat(spelled, max_tokens=3))
        assert answer.status == status, answer
        if status == 200:
            assert sent(sim, path)["model"] == passes
            assert changed(corral, answer) == ("model;trimmed" if passes != spelled else None)


# ---- names that differ in case only ----

SCHEMA = '{"type":"object","properties":{"id":{"type":"string"},"ID":{"type":"string"},"Id":{}},"required":["id","ID"]}'
TOOL = '{"type":"function","function":{"name":"f","description":"d","parameters":%s}}'
CALLS = '[{"role":"assistant","content":"","tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":%s}}]}]'
MESSAGES = '[{"role":"user","content":"x"}]'
BY_CASE = {  # a route, the members of a body
    "tools": ("/api/chat", '"messages":%s,"tools":[%s]' % (MESSAGES, TOOL % SCHEMA)),
    "v1 tools": ("/v1/chat/completions", '"messages":%s,"tools":[%s]' % (MESSAGES, TOOL % SCHEMA)),
    "anthropic tools": ("/v1/messages", '"messages":%s,"max_tokens":9,"tools":[{"name":"f","input_schema":%s}]'
                        % (MESSAGES, SCHEMA)),
    "responses tools": ("/v1/responses", '"input":"x","tools":[{"type":"function","name":"f","parameters":%s}]' % SCHEMA),
    "arguments": ("/api/chat", '"messages":' + CALLS % '{"id":1,"ID":2}'),
    "anthropic input": ("/v1/messages", '"max_tokens":9,"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"i",'
                        '"name":"f","input":{"id":1,"ID":2}}]}]'),
    "format": ("/api/generate", '"prompt":"x","format":' + SCHEMA),
    "response_format": ("/v1/chat/completions", '"messages":%s,"response_format":{"type":"json_schema","json_schema":'
                        '{"name":"n","schema":%s}}' % (MESSAGES, SCHEMA)),
    "metadata": ("/v1/responses", '"input":"x","metadata":{"id":"1","ID":"2"}'),
    "anthropic metadata": ("/v1/messages", '"messages":%s,"max_tokens":9,"metadata":{"id":"1","ID":"2"}' % MESSAGES),
    "logit_bias": ("/v1/chat/completions", '"messages":%s,"logit_bias":{"a":1,"A":2}' % MESSAGES),
    "options": ("/api/chat", '"messages":%s,"options":{"num_predict":3,"Num_Predict":4,"x":1,"X":2}' % MESSAGES),
    "unknown": ("/api/chat", '"messages":%s,"x":{"y":{"a":1,"A":2,"\\u0041b":3}}' % MESSAGES),
    "parts": ("/v1/chat/completions", '"messages":[{"role":"user","content":[{"type":"text","text":"x","Type":"y"}]}]'),
}
ONE_NAME = {
    "top level": ("/api/chat", '"messages":%s,"stream":true,"STREAM":false' % MESSAGES),
    "escaped": ("/api/chat", '"messages":%s,"stream":true,"\\u0053tream":false' % MESSAGES),
    "message": ("/api/chat", '"messages":[{"role":"user","content":"x","Content":"y"}]'),
    "part": ("/v1/messages", '"max_tokens":9,"messages":[{"role":"user","content":[{"type":"text","text":"x","Text":"y"}]}]'),
    "item": ("/v1/responses", '"input":[{"role":"user","content":"x","Role":"y"}]'),
    "stream_options": ("/v1/chat/completions", '"messages":%s,"stream":true,"stream_options":{"include_usage":true,'
                       '"Include_Usage":false}' % MESSAGES),
    "tool": ("/api/chat", '"messages":%s,"tools":[{"type":"function","Type":"x","function":{"name":"f"}}]' % MESSAGES),
    "function": ("/api/chat", '"messages":%s,"tools":[{"type":"function","function":{"name":"f","Name":"g"}}]' % MESSAGES),
    "call": ("/api/chat", '"messages":[{"role":"assistant","tool_calls":[{"function":{"name":"f","NAME":"g"}}]}]'),
    "same": ("/api/chat", '"messages":%s,"x":{"a":1,"a":2}' % MESSAGES),
    "same escaped": ("/api/chat", '"messages":%s,"x":{"a":1,"\\u0061":2}' % MESSAGES),
    "same option": ("/api/chat", '"messages":%s,"options":{"num_ctx":1,"num_ct\\u0078":2}' % MESSAGES),
    "same schema": ("/api/chat", '"messages":%s,"tools":[%s]' % (MESSAGES, TOOL % '{"properties":{"id":{},"id":{}}}')),
    "same argument": ("/api/chat", '"messages":' + CALLS % '{"id":1,"id":2}'),
}


def raw(members, model="tiny"):
    """A body as it is, bytes or text."""
    text = members if isinstance(members, bytes) else members.encode()
    return b'{"model":"' + model.encode() + b'",' + text + b'}'


@pytest.mark.parametrize("name", BY_CASE)
def test_names_of_maps_differ_in_case(pair, name):
    corral, sim = pair
    path, members = BY_CASE[name]
    answer = corral.post(path, raw(members))
    assert answer.status == 200, answer
    got = json.loads(sim.last(path)[2])
    for key, value in json.loads(raw(members)).items():
        if key not in ("stream", "options"):
            assert got[key] == value
    if name == "options":
        assert got["options"] == {"num_predict": 3, "Num_Predict": 4, "x": 1, "X": 2}


@pytest.mark.parametrize("name", ONE_NAME)
def test_names_of_structs_do_not(pair, name):
    corral, sim = pair
    path, members = ONE_NAME[name]
    before = sim.posts()
    answer = corral.post(path, raw(members))
    assert answer.status == 400 and b"occurs twice" in answer.body, answer
    assert sim.posts() == before


# ---- text that is no Unicode ----

TEXTS = {  # as spelled, as Ollama reads it
    "high surrogate": (b"a\\ud83db", "a\ufffdb"),
    "low surrogate": (b"\\ude00", "\ufffd"),
    "surrogates reversed": (b"\\ude00\\ud83d", "\ufffd\ufffd"),
    "high surrogate, then an escape": (b"\\ud83d\\u0041", "\ufffdA"),
    "high surrogate at the end": (b"text \\ud83d", "text \ufffd"),
    "a pair": (b"\\ud83d\\ude00", "\U0001f600"),
    "escaped NUL": (b"a\\u0000b", "a\0b"),
    "stray byte": (b"a\xffb", "a\ufffdb"),
    "cut character": (b"a\xe2\x82", "a\ufffd\ufffd"),
    "overlong": (b"\xc0\xaf", "\ufffd\ufffd"),
    "surrogate in UTF-8": (b"\xed\xa0\x80", "\ufffd\ufffd\ufffd"),
    "beyond Unicode": (b"\xf4\x90\x80\x80", "\ufffd\ufffd\ufffd\ufffd"),
}
PLACES = {  # a route, the members of a body around a text
    "content": ("/api/chat", b'"messages":[{"role":"user","content":"%s"}]'),
    "v1 content": ("/v1/chat/completions", b'"messages":[{"role":"user","content":"%s"}]'),
    "v1 part": ("/v1/chat/completions", b'"messages":[{"role":"user","content":[{"type":"text","text":"%s"}]}]'),
    "anthropic": ("/v1/messages", b'"max_tokens":9,"system":"%s","messages":[{"role":"user","content":"x"}]'),
    "anthropic part": ("/v1/messages", b'"max_tokens":9,"messages":[{"role":"user","content":[{"type":"text","text":"%s"}]}]'),
    "responses": ("/v1/responses", b'"input":"%s"'),
    "prompt": ("/api/generate", b'"prompt":"%s"'),
    "argument": ("/api/chat", b'"messages":[{"role":"assistant","content":"","tool_calls":[{"function":{"name":"f",'
                 b'"arguments":{"a":"%s"}}}]}]'),
    "description": ("/api/chat", b'"messages":[{"role":"user","content":"x"}],"tools":[{"type":"function","function":'
                    b'{"name":"f","description":"%s","parameters":{"type":"object","properties":{"a":{"description":"%s"}}}}}]'),
    "option": ("/api/chat", b'"messages":[{"role":"user","content":"x"}],"options":{"stop":["%s"]}'),
}
NAMES_AND_KEYS = {
    "model": ("/api/chat", b'{"model":"tiny%s"}'),
    "name": ("/api/show", b'{"name":"tiny%s"}'),
    "key": ("/api/chat", b'{"model":"tiny","%s":1}'),
    "key of a map": ("/api/chat", b'{"model":"tiny","x":{"%s":1}}'),
    "option": ("/api/chat", b'{"model":"tiny","options":{"%s":1}}'),
    "role": ("/api/chat", b'{"model":"tiny","messages":[{"role":"%s"}]}'),
    "tool": ("/api/chat", b'{"model":"tiny","tools":[{"function":{"name":"f%s"}}]}'),
    "anthropic tool": ("/v1/messages", b'{"model":"tiny","tools":[{"name":"f%s"}]}'),
    "called": ("/api/chat", b'{"model":"tiny","messages":[{"tool_calls":[{"function":{"name":"f%s"}}]}]}'),
    "call": ("/v1/chat/completions", b'{"model":"tiny","messages":[{"tool_calls":[{"id":"%s"}]}]}'),
    "result": ("/v1/chat/completions", b'{"model":"tiny","messages":[{"role":"tool","tool_call_id":"%s"}]}'),
    "used": ("/v1/messages", b'{"model":"tiny","messages":[{"content":[{"type":"tool_use","name":"%s"}]}]}'),
    "parameter": ("/api/chat", b'{"model":"tiny","tools":[{"function":{"parameters":{"properties":{"%s":{}}}}}]}'),
}


@pytest.mark.parametrize("text", TEXTS)
def test_what_ollama_reads_in_a_text_passes(pair, text):
    corral, sim = pair
    for path, members in PLACES.values():
        body = raw(members.replace(b"%s", TEXTS[text][0]))
        answer = corral.post(path, body)
        assert answer.status == 200, (path, members, answer)
        assert sim.last(path)[2] == body, "byte for byte"


@pytest.mark.parametrize("place", NAMES_AND_KEYS)
@pytest.mark.parametrize("text", [name for name in TEXTS if name != "a pair"])
def test_names_and_keys_are_unicode(pair, place, text):
    corral, sim = pair
    path, body = NAMES_AND_KEYS[place]
    before = sim.posts()
    answer = corral.post(path, body.replace(b"%s", TEXTS[text][0]))
    assert answer.status == 400, answer
    assert corral.access(answer.field("X-Request-Id"))["reason"] == (
        "json_nul" if "NUL" in text else "json_utf8")
    assert sim.posts() == before


@pytest.mark.parametrize("member", [b'"prompt":"a\0b"', b'"prompt":"a\nb"', b'"prompt":"\\x"', b'"prompt":"\\u12"',
                                    b'"prompt":"\xe2"x"', b'"prompt":"\\ud83d\\u"'])
def test_what_ollama_refuses_stays_out(pair, member):
    corral, _ = pair
    assert corral.post("/api/generate", raw(member)).status == 400
