"""curl and nghttp over each protocol, and Ollama's own command line, as a user calls them."""

import itertools
import json
import re
import subprocess

import pytest

import harness
import stand

CHAT = json.dumps({"model": "tiny", "messages": [{"role": "user", "content": "Say hello."}],
                   "options": {"num_predict": 16}, "max_tokens": 16})
ROUTES = ["/api/chat", "/v1/chat/completions", "/v1/messages"]
SIGN_IN = "You need to be signed in to Ollama to run Cloud models."
WRONG = "something went wrong, please see the ollama server logs for details"


class Curl:
    """curl as in the README, over one protocol."""

    def __init__(self, protocol, tls, *options):
        self.protocol, self.tls, self.options = protocol, tls, options

    def ask(self, gateway, path, fields, method, body):
        url = "https://localhost:%d" % gateway.port if self.tls else gateway.plain_url
        command = ["curl", "-sSN", "-w", "\n%{http_version} %{http_code}", "--cacert",
                   str(gateway.authority.ca), *self.options, "-X", method]
        for field in fields:
            command += ["-H", field]
        done = run(command + (["-d", body] if body else []) + [url + path])
        text, _, told = done.stdout.rpartition("\n")
        version, status = told.split()
        assert "HTTP/" + version == self.protocol, told
        return int(status), text


class Nghttp:
    """nghttp2's own client, which speaks nothing else."""

    protocol = "HTTP/2"

    def __init__(self, tls):
        self.tls = tls

    def ask(self, gateway, path, fields, method, body, *options):
        url = "https://localhost:%d" % gateway.port if self.tls else gateway.plain_url
        command = ["nghttp", "-s", "-y", "-t", "60", "-H", ":method: " + method, *options]
        for field in fields:
            command += ["-H", field]
        if body:
            command += ["-H", "content-type: application/json", "-d", "-"]
        done = run(command + [url + path], body)
        text, _, table = done.stdout.partition("***** Statistics *****")
        statuses = [int(status) for status in STATUS.findall(table)]
        assert statuses, done.stdout + done.stderr
        return (statuses if "-m" in options else statuses[0]), text


STATUS = re.compile(r"^ +[0-9]+ +\+\S+ +\+\S+ +\S+ +([0-9]{3}) ", re.M)
WAYS = {
    "curl HTTP/1.1": Curl("HTTP/1.1", True, "--http1.1"),
    "curl HTTP/2": Curl("HTTP/2", True, "--http2"),
    "curl HTTP/2 without TLS": Curl("HTTP/2", False, "--http2-prior-knowledge"),
    "nghttp": Nghttp(True), "nghttp without TLS": Nghttp(False),
}
asked = itertools.count()


def run(command, text=None):
    done = subprocess.run(command, env=stand.clean_env(), capture_output=True, text=True, input=text,
                          timeout=90, check=False)
    assert done.returncode == 0, done.stderr
    return done


def ask(way, gateway, path, credential, body=None, method=None):
    """(status, body); corral's access line says that it came over the way's protocol."""
    own = "own-%d" % next(asked)
    fields = ["x-request-id: " + own]
    if credential:
        fields.append("authorization: Bearer " + credential)
    answer = WAYS[way].ask(gateway, path, fields, method or ("POST" if body else "GET"), body)
    line = harness.wait_for(lambda: [x for x in gateway.corral.logged("access")
                                     if x.get("client_request_id") == own], 5, "an access line")
    assert [x["protocol"] for x in line] == [WAYS[way].protocol], line
    return answer


def message(body):
    error = json.loads(body)["error"]
    return error if isinstance(error, str) else error["message"]


@pytest.mark.parametrize("kind", ["key", "jwt"])
@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("way", WAYS)
def test_chat(gateway, way, path, kind):
    credential = gateway.keys["full"] if kind == "key" else gateway.tokens.mint("full")
    whole = json.dumps(dict(json.loads(CHAT), stream=False))
    status, body = ask(way, gateway, path, credential, whole)
    assert status == 200 and isinstance(json.loads(body), dict), body


@pytest.mark.parametrize("path, mark", zip(ROUTES, ['"done":true', "data: [DONE]", "message_stop"]),
                         ids=ROUTES)
@pytest.mark.parametrize("way", WAYS)
def test_stream(gateway, way, path, mark):
    """16 tokens make many lines, and the last event is there."""
    asked_for = json.dumps(dict(json.loads(CHAT), stream=True))
    status, body = ask(way, gateway, path, gateway.keys["full"], asked_for)
    lines = [line for line in body.splitlines() if line.startswith(("{", "data:"))]
    assert status == 200 and len(lines) >= 8 and mark in lines[-1], body
    stand.note("%-23s %-21s %d lines" % (way, path, len(lines)))


@pytest.mark.parametrize("path", ["/api/tags", "/v1/models"])
@pytest.mark.parametrize("way", WAYS)
def test_list(gateway, way, path):
    status, body = ask(way, gateway, path, gateway.keys["full"])
    found = json.loads(body).get("models") or json.loads(body)["data"]
    names = sorted(model.get("id") or model["name"] for model in found)
    assert status == 200 and names == ["embed:latest", "tiny:latest"], body


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("way", WAYS)
def test_refusals(gateway, way, path):
    """401, 403 and 404, each with a sentence in the caller's dialect; another method."""
    missing = CHAT.replace('"tiny"', '"missing"')
    for credential, body, method, wanted in [
            (None, CHAT, None, 401), ("ck_" + "A" * 43, CHAT, None, 401),
            (gateway.keys["elsewhere"], CHAT, None, 403), (gateway.keys["full"], missing, None, 404),
            (gateway.keys["full"], None, "DELETE", 405), (gateway.keys["full"], None, "GET", 405)]:
        status, body = ask(way, gateway, path, credential, body, method)
        assert status == wanted and len(message(body)) > 10, (status, body)


@pytest.mark.parametrize("way", WAYS)
def test_routes_that_are_closed(gateway, way):
    status, body = ask(way, gateway, "/api/delete", gateway.keys["full"], '{"model":"tiny"}', "DELETE")
    assert status == 403 and "operator" in message(body), body
    status, body = ask(way, gateway, "/nowhere", gateway.keys["full"])
    assert status == 404 and len(message(body)) > 10, body


@pytest.mark.parametrize("way", [way for way in WAYS if way.startswith("nghttp")])
def test_eight_in_a_connection(gateway, way):
    """nghttp -m asks eight times at once."""
    def opened():
        return gateway.corral.metrics().sum("corral_http2_connections_total")
    before = opened()
    fields = ["authorization: Bearer " + gateway.keys["full"]]
    (statuses, body), lines = gateway.heard(
        lambda: WAYS[way].ask(gateway, "/api/chat", fields, "POST", CHAT, "-m", "8"), 8)
    assert statuses == [200] * 8 and body.count('"done":true') == 8, (statuses, body)
    assert [x["protocol"] for x in lines] == ["HTTP/2"] * 8 and opened() == before + 1


def test_private_ca_is_checked(gateway):
    done = subprocess.run(["curl", "-sS", "https://localhost:%d/" % gateway.port],
                          env=stand.clean_env(), capture_output=True, text=True, timeout=30,
                          check=False)
    assert done.returncode == 60, done.stderr


# ---- the ollama command: it can carry no bearer, and what it says about a 401 is its own text ----


def ollama_command(gateway, tmp_path, host, *args):
    env = stand.clean_env(HOME=str(tmp_path), OLLAMA_HOST=host,
                          SSL_CERT_FILE=str(gateway.authority.ca))
    return subprocess.run([str(stand.OLLAMA / "bin" / "ollama"), *args], env=env,
                          capture_output=True, text=True, timeout=60, check=False,
                          stdin=subprocess.DEVNULL)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("args", [["list"], ["ps"], ["show", "tiny"], ["run", "tiny", "hi"]],
                         ids=lambda args: args[0])
def test_ollama_command_without_credential(gateway, tmp_path, args, tls):
    done = ollama_command(gateway, tmp_path, gateway.url if tls else gateway.plain_url, *args)
    said = done.stdout + done.stderr
    assert WRONG in said or SIGN_IN in said, said
    stand.note("ollama %-13s %s: exit %d, %s" % (
        " ".join(args), "TLS  " if tls else "plain", done.returncode, said.strip()))
