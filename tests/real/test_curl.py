"""curl and Ollama's own command line, as a user calls them."""

import json
import subprocess

import pytest

import stand

CHAT = json.dumps({"model": "tiny", "messages": [{"role": "user", "content": "Say hello."}],
                   "options": {"num_predict": 16}, "max_tokens": 16})
ROUTES = ["/api/chat", "/v1/chat/completions", "/v1/messages"]
SIGN_IN = "You need to be signed in to Ollama to run Cloud models."
WRONG = "something went wrong, please see the ollama server logs for details"


def curl(gateway, path, credential, *args):
    """curl as in the README; (status, body)."""
    bearer = ["-H", "Authorization: Bearer " + credential] if credential else []
    done = subprocess.run(
        ["curl", "-sS", "-w", "\n%{http_code}", "--cacert", str(gateway.authority.ca), *bearer,
         *args, "https://localhost:%d%s" % (gateway.port, path)],
        env=stand.clean_env(), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


def message(body):
    error = json.loads(body)["error"]
    return error if isinstance(error, str) else error["message"]


@pytest.mark.parametrize("kind", ["key", "jwt"])
@pytest.mark.parametrize("path", ROUTES)
def test_chat(gateway, path, kind):
    credential = gateway.keys["full"] if kind == "key" else gateway.tokens.mint("full")
    whole = json.dumps(dict(json.loads(CHAT), stream=False))
    status, body = curl(gateway, path, credential, "-d", whole)
    assert status == 200 and isinstance(json.loads(body), dict), body


@pytest.mark.parametrize("path, mark", zip(ROUTES, ['"done":true', "data: [DONE]", "message_stop"]),
                         ids=ROUTES)
def test_stream(gateway, path, mark):
    """-N shows the lines as they come; 16 tokens make many, and the last event is there."""
    asked = json.dumps(dict(json.loads(CHAT), stream=True))
    status, body = curl(gateway, path, gateway.keys["full"], "-N", "-d", asked)
    lines = [line for line in body.splitlines() if line.startswith(("{", "data:"))]
    assert status == 200 and len(lines) >= 8 and mark in lines[-1], body
    stand.note("curl -N %-21s %d lines" % (path, len(lines)))


@pytest.mark.parametrize("path", ["/api/tags", "/v1/models"])
def test_list(gateway, path):
    status, body = curl(gateway, path, gateway.keys["full"])
    found = json.loads(body).get("models") or json.loads(body)["data"]
    names = sorted(model.get("id") or model["name"] for model in found)
    assert status == 200 and names == ["embed:latest", "tiny:latest"], body


@pytest.mark.parametrize("path", ROUTES)
def test_refusals(gateway, path):
    """401, 403 and 404, each with a sentence in the caller's dialect."""
    missing = CHAT.replace('"tiny"', '"missing"')
    for credential, asked, wanted in [
            (None, CHAT, 401), ("ck_" + "A" * 43, CHAT, 401), (gateway.keys["elsewhere"], CHAT, 403),
            (gateway.keys["full"], missing, 404)]:
        status, body = curl(gateway, path, credential, "-d", asked)
        assert status == wanted and len(message(body)) > 10, (status, body)


def test_admin_route_is_closed(gateway):
    status, body = curl(gateway, "/api/delete", gateway.keys["full"], "-X", "DELETE", "-d",
                        '{"model":"tiny"}')
    assert status == 403 and "operator" in message(body), body


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
