"""Clients that others wrote, through corral over TLS to a real Ollama: clients.py, clients.mjs and go/main.go."""

import json
import subprocess

import pytest

import stand

PYTHON = ["litellm", "litellm_ollama", "pydantic_ai", "langchain_openai", "langchain_ollama", "llama_index", "smolagents"]
NODE = ["ai-openai-compatible", "ollama-ai-provider-v2", "langchain-ollama-js"]
CASES = ["chat", "stream", "hf.co", "hf.co stream", "large"]
HF = "hf.co/Org/Tiny-GGUF:Q4_K_M"
ALL = [(name, case) for name in [*PYTHON, *NODE, "go-openai"]
       for case in [*CASES, *(["half an emoji"] if name in NODE else [])]]
SENTENCES = {"ollama-ai-provider-v2": "Content Too Large"}  # it shows the status line only
runs = {}


@pytest.fixture(scope="module")
def through(gateway, ollama):
    """The gateway, once it knows a model whose name begins with a host."""
    body = json.dumps({"source": "tiny", "destination": HF}).encode()
    answer = stand.h1.ask(ollama.address, stand.h1.request("POST", "/api/copy", (), body), timeout=30)
    assert answer.status == 200, answer
    stand.harness.wait_for(
        lambda: HF in str(gateway.ask(stand.h1.get("/api/tags", gateway.keys["full"])).json), 25, "the model in the list")
    yield gateway
    body = json.dumps({"model": HF}).encode()
    stand.h1.ask(ollama.address, stand.h1.request("DELETE", "/api/delete", (), body), timeout=30)


def command(name):
    if name in PYTHON:
        return [str(stand.CACHE / "clients" / "bin" / "python"), str(stand.HERE / "clients.py"), name]
    if name in NODE:
        return ["node", str(stand.HERE / "clients.mjs"), name]
    return [str(stand.CACHE / "go" / "clients")]


def results(name, gateway, tmp_path):
    """Every case of a client, run once; its access lines."""
    if name not in runs:
        told = {"base": gateway.url, "model": "tiny", "hf": HF, "key": gateway.keys["full"]}
        env = stand.clean_env(HOME=str(tmp_path), MODULES=str(stand.CACHE / "js"), PYTHONDONTWRITEBYTECODE="1",
                              SSL_CERT_FILE=str(gateway.authority.ca), NODE_EXTRA_CA_CERTS=str(gateway.authority.ca))
        done, heard = gateway.heard(lambda: subprocess.run(
            command(name), input=json.dumps(told), env=env, capture_output=True, text=True, timeout=300, check=False), 5)
        assert done.returncode == 0, done.stderr[-3000:]
        lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        runs[name] = {line["case"]: line for line in lines}
        runs[name]["heard"] = heard
        stand.note("%-22s %s" % (name, ", ".join("%s %s" % (line["case"], line.get("pieces", line.get("raised")))
                                                for line in lines)))
    return runs[name]


@pytest.mark.parametrize("name, case", ALL, ids=["%s %s" % x for x in ALL])
def test_case(name, case, through, tmp_path):
    found = results(name, through, tmp_path)[case]
    if case == "large":
        assert "raised" in found and SENTENCES.get(name, "The request body is too large.") in found["message"], found
        return
    assert "raised" not in found and len(found["text"]) > 5, found
    if "stream" in case:
        assert found["pieces"] > 5, found


@pytest.mark.parametrize("name", [*PYTHON, *NODE, "go-openai"])
def test_no_request_was_refused_without_need(name, through, tmp_path):
    """Whatever a client asks besides its chats is answered too: 25 MB alone is refused."""
    heard = results(name, through, tmp_path)["heard"]
    if name == "litellm_ollama":  # it asks /api/show without the credential that it was given
        heard = [line for line in heard if line["path"] != "/api/show"]
    assert {line["status"] for line in heard} == {200, 413}, [(x["path"], x["status"], x["reason"]) for x in heard]
