"""The official SDKs through corral over TLS to a real Ollama: what each user would write, and what they get."""

import json
import subprocess

import pytest

import stand

GOOD = ["chat", "stream", "list", "jwt chat", "jwt stream", "jwt list", "narrow list"]
BAD = ["401 key", "401 expired", "401 forged", "401 stream", "401 list", "403 model", "403 jwt",
       "403 stream", "404 model"]
MORE = {
    "ollama": ["generate", "embed", "show", "401 none", "403 verb"],
    "openai": ["stream without usage", "completions", "responses", "retrieve", "embed", "403 verb",
               "404 retrieve"],
    "anthropic": ["api_key chat"],
}
CLIENTS = [sdk + kind for sdk in MORE for kind in (".py", ".mjs")]
CASES = [(client, case) for client in CLIENTS for case in GOOD + BAD + MORE[client.split(".")[0]]]
CLASSES = {"401": "AuthenticationError", "403": "PermissionDeniedError", "404": "NotFoundError"}
SENTENCES = {
    "401": "The credential is missing, wrong or expired.",
    "403 verb": "Your credential does not allow this operation (embed).",
    "403": "Your credential does not allow the model 'tiny'.",
    "404": "missing",
}
runs = {}


def told(gateway):
    key, token = gateway.keys["full"], gateway.tokens.mint("full", "--user", "ada")
    return {
        "base": gateway.url, "model": "tiny", "embed": "embed",
        "key": key, "narrow": gateway.keys["narrow"], "other": gateway.keys["elsewhere"],
        "limited": gateway.keys["limited"], "budget": gateway.keys["budget"],
        "wrong": "ck_" + "A" * 43, "jwt": token,
        "jwt_other": gateway.tokens.mint("full", "--models", "embed*"),
        "expired": gateway.tokens.expired("full"), "forged": gateway.tokens.forged(token),
    }


def start(client, gateway, tmp_path, **env):
    if client.endswith(".py"):
        command = [str(stand.CACHE / "sdk" / "bin" / "python")]
    else:
        command = ["node"]
    command.append(str(stand.HERE / ("sdk_" + client)))
    env = stand.clean_env(HOME=str(tmp_path), MODULES=str(stand.CACHE / "js"), **env)
    return subprocess.run(command, input=json.dumps(told(gateway)), env=env, capture_output=True,
                          text=True, timeout=300, check=False)


def results(client, gateway, tmp_path):
    """Every case of a client, run once; the tests look at one each."""
    if client not in runs:
        variable = "SSL_CERT_FILE" if client.endswith(".py") else "NODE_EXTRA_CA_CERTS"
        done = start(client, gateway, tmp_path, **{variable: str(gateway.authority.ca)})
        assert done.returncode == 0, done.stderr[-3000:]
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        runs[client] = {line["case"]: line for line in lines}
        grown = runs[client].get("stream", {})
        stand.note("%-13s %d cases; a stream of %s tokens came in %s pieces over %.2f s" % (
            client, len(lines), grown.get("tokens"), grown.get("pieces"), grown.get("spread_s", 0)))
    return runs[client]


@pytest.mark.parametrize("client, case", CASES, ids=["%s %s" % x for x in CASES])
def test_case(client, case, gateway, tmp_path):
    found = results(client, gateway, tmp_path)[case]
    if case[:3].isdigit():
        judge_error(client, case, found)
        return
    assert "raised" not in found, found
    if "list" in case or case == "retrieve":
        wanted = {"narrow list": ["tiny:latest"], "retrieve": ["tiny"]}
        assert found["models"] == wanted.get(case, ["embed:latest", "tiny:latest"]), found
    elif case == "embed":
        assert (found["vectors"], found["size"]) == (2, 384), found
    elif case == "show":
        assert found["family"] == "gemma3", found
    else:
        judge_answer(case, found)


def judge_answer(case, found):
    assert len(found["text"]) > 10, found
    if "tokens" in found:
        assert found["tokens"] == (None if "without" in case else 24), found
    if "chat" in case:
        assert found["reason"] in ("length", "max_tokens"), found
        return
    # 24 tokens at some 30 a second: a gateway that held them back would give them all at once.
    assert found["pieces"] >= 12 and found["spread_s"] >= 0.2, found
    assert found.get("last", "response.completed") == "response.completed", found


def judge_error(client, case, found):
    sdk, status = client.split(".")[0], case[:3]
    if sdk == "ollama":
        wanted = "ollama.ResponseError" if client.endswith(".py") else "ResponseError"
    else:
        wanted = sdk + "." + CLASSES[status]
    assert found.get("raised") == wanted, found
    assert found["status"] == int(status), found
    assert SENTENCES.get(case, SENTENCES[status]) in found["message"], found


@pytest.mark.parametrize("client", CLIENTS)
def test_private_ca_is_checked(client, gateway, tmp_path):
    """Without the CA a chat fails in TLS: the passes above were verified connections."""
    if client.endswith(".py"):
        another = stand.Authority(tmp_path)
        done = start(client, gateway, tmp_path, ONLY="chat", SSL_CERT_FILE=str(another.ca))
    else:
        done = start(client, gateway, tmp_path, ONLY="chat")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == 1 and "raised" in lines[0] and lines[0]["status"] is None, lines
