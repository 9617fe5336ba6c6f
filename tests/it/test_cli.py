"""The command line: first start (F28), check (F29), help, exit codes, and what is never logged."""

import json
import os
import re
import signal
import socket
import stat
import subprocess
import time

import pytest

import configs
import h1
from harness import SANITIZER, chat, wait_for
from test_dev import HOSTS

KEY = re.compile(r"ck_[A-Za-z0-9_-]{43}")
COMMANDS = [["serve"], ["check"], ["key"], ["key", "create"], ["key", "list"], ["key", "revoke"],
            ["keygen"], ["token"], ["token", "mint"], ["token", "inspect"], ["reference"],
            ["version"]]


def run(*args, env=None, timeout=20):
    done = subprocess.run([os.environ["CORRAL"], *map(str, args)], capture_output=True, text=True,
                          timeout=timeout, check=False, env=env)
    assert not SANITIZER.search(done.stderr), done.stderr
    return done


# ---- check ----


@pytest.mark.parametrize("name", configs.BROKEN)
def test_check_explains(tmp_path, name):
    marked, wanted = configs.BROKEN[name]
    text, line, column = configs.split(marked)
    file = tmp_path / "c.yaml"
    file.write_text(text)
    done = run("check", file)
    assert done.returncode == 1 and done.stdout == ""
    messages = done.stderr.splitlines()
    assert all(re.match(r"^%s:\d+:\d+: " % re.escape(str(file)), m) for m in messages), messages
    fitting = [m for m in messages if wanted in m]
    assert fitting, messages
    places = [m.split(": ", 1)[0].removeprefix(str(file) + ":") for m in fitting]
    assert "%d:%d" % (line, column) in places, (fitting, line, column)


def test_check_reports_all_at_once(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text(configs.base("worker: 1\nqueue: {max_waiting: x}\nlog: {level: loud}"))
    done = run("check", file)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 3


def test_check_of_a_good_file(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text(configs.BASE)
    done = run("check", file)
    assert done.returncode == 0 and "is valid" in done.stdout, done.stderr


@pytest.mark.parametrize("extra", ['api_keys_file: "/nonexistent/keys"', "issuers: [{issuer: i, "
                                   "audience: [a], keys_file: /nonexistent/jwks.json}]",
                                   "tls: {certificates: [{chain: /nonexistent/a, key: /b}]}"])
def test_check_reads_the_files_too(tmp_path, extra):
    file = tmp_path / "c.yaml"
    text = configs.base(extra)
    file.write_text(text.replace('8443"}', '8443", tls: true}') if "tls" in extra else text)
    done = run("check", file)
    assert done.returncode == 1 and "/nonexistent/" in done.stderr, done.stderr
    assert run("serve", file).returncode == 1


@pytest.mark.parametrize("target", ["missing.yaml", ".", "/dev/null", "/dev/zero"])
def test_check_of_what_is_no_file(tmp_path, target):
    done = run("check", target if target.startswith("/") else tmp_path / target)
    assert done.returncode == 1 and done.stderr


def test_a_public_address_needs_tls_and_credentials(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text(configs.listener('address: "0.0.0.0:18443"'))
    for command in ("check", "serve"):
        done = run(command, file)
        assert done.returncode == 1
        assert "needs tls: true" in done.stderr and "needs api_keys_file" in done.stderr


# ---- help and exit codes ----


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_answers_to_help(command):
    done = run(*command, "--help")
    assert done.returncode == 0 and done.stderr == "", done
    assert "usage: corral " + command[0] in done.stdout


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_wrong_option_is_2(command):
    done = run(*command, "--nonsense")
    assert done.returncode == 2 and done.stdout == "", done
    assert "corral" in done.stderr


def test_the_outermost_command():
    assert run().returncode == 2
    assert run("fly").returncode == 2 and "fly" in run("fly").stderr
    for word in ("--help", "-h", "help"):
        done = run(word)
        assert done.returncode == 0 and "corral serve" in done.stdout
    for word in ("version", "--version", "-V"):
        done = run(word)
        assert done.returncode == 0 and re.match(r"corral \d+\.\d+", done.stdout)
    for words in (["key"], ["key", "create"], ["token", "mint"], ["check"], ["serve"], ["version"]):
        assert run("help", *words).stdout == run(*words, "--help").stdout != run("help").stdout
    for words in (["key"], ["token"]):
        assert run(*words, "help").stdout == run(*words, "--help").stdout
    assert run("help", "fly").returncode == 2 and run("--version", "x").returncode == 2
    reference = run("reference").stdout
    for key in ("listeners", "max_waiting", "cancel_grace_ms", "num_ctx_max"):
        assert "`%s`" % key in reference or key in reference


# ---- keys and tokens ----


def test_a_key_lives_and_ends(stable, tmp_path):
    keys = tmp_path / "keys"
    key = KEY.search(run("key", "create", "--file", keys, "--tenant", "acme").stdout).group(0)
    assert stat.S_IMODE(keys.stat().st_mode) == 0o600 and key not in keys.read_text()
    sim = stable.sim("--tokens-per-s", "0")
    corral = stable.corral(sim, api_keys_file=str(keys))
    assert corral.ask(h1.get("/api/tags", key)).status == 200
    key_id = json.loads(keys.read_text().splitlines()[1])["id"]
    assert key_id in run("key", "list", "--file", keys).stdout
    assert run("key", "revoke", "--file", keys, key_id).returncode == 0 or \
        run("key", "revoke", "--file", keys, "--id", key_id).returncode == 0
    wait_for(lambda: corral.ask(h1.get("/api/tags", key)).status == 401, 6, "the revocation")


@pytest.mark.parametrize("algorithm", ["HS256", "RS256", "ES256", "EdDSA"])
def test_a_minted_token_is_taken(stable, tmp_path, algorithm):
    prefix = tmp_path / "k"
    assert run("keygen", "--algorithm", algorithm, "--out", prefix).returncode == 0
    private, public = (("k.secret", "k.secret") if algorithm == "HS256"
                       else ("k-private.pem", "k-public.pem"))
    assert stat.S_IMODE((tmp_path / private).stat().st_mode) == 0o600
    sim = stable.sim("--tokens-per-s", "0").warm()
    corral = stable.corral(sim, issuers=[{"issuer": "me", "audience": ["corral"],
                                          "keys_file": str(tmp_path / public), "kid": "k1",
                                          "algorithm": algorithm}])
    mint = ["token", "mint", "--key", tmp_path / private, "--algorithm", algorithm, "--issuer",
            "me", "--audience", "corral", "--kid", "k1", "--tenant"]
    token = run(*mint, "acme", "--user", "ada", "--verbs", "list,chat").stdout.strip()
    assert corral.ask(h1.get("/api/tags", token)).status == 200
    answer = corral.ask(h1.post("/api/chat", chat(), token))
    assert answer.status == 200
    line = corral.access(answer.field("X-Request-Id"))
    assert (line["tenant"], line["user"]) == ("acme", "ada")
    assert corral.ask(h1.post("/api/generate", {"model": "tiny"}, token)).status == 403
    stranger = run(*mint, "nobody").stdout.strip()
    head, body, signature = token.split(".")
    forged = ".".join([head, body, signature[:-6] + ("AAAAAA" if signature[-6:] != "AAAAAA"
                                                     else "BBBBBB")])
    for bad in (stranger, forged, head + "." + body + "."):
        assert corral.ask(h1.get("/api/tags", bad)).status == 401
    assert token not in corral.text() and signature not in corral.text()


# ---- first start ----


@pytest.mark.parametrize("text,found", HOSTS)
def test_ollama_host_is_read_as_ollama_reads_it(tmp_path, text, found):
    """What a first start says before it looks at its keys, which here stop it."""
    (tmp_path / "api-keys").write_text("no keys")
    done = run("serve", env=dict(os.environ, STATE_DIRECTORY=str(tmp_path), OLLAMA_HOST=text))
    assert done.returncode == 1 and "Ollama at %s. " % found in done.stderr, done.stderr


def taken(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            return False
        except OSError:
            return True


def test_a_first_start_without_a_file(stable, tmp_path):
    try:  # another run of the tests may have them for a moment
        wait_for(lambda: not any(taken(port) for port in (8080, 8081, 9464)), 60, "the default ports")
    except AssertionError:
        pytest.skip("a first start needs its default ports")
    sim = stable.sim("--tokens-per-s", "0").warm()
    state = tmp_path / "state" / "deep"
    env = dict(os.environ, STATE_DIRECTORY=str(state), OLLAMA_HOST="127.0.0.1:%d" % sim.port)
    texts = []
    for _ in range(2):
        process = subprocess.Popen([os.environ["CORRAL"], "serve"], stderr=subprocess.PIPE,
                                   text=True, env=env)
        try:
            def ready():
                try:
                    return h1.ask(("127.0.0.1", 8081), h1.get("/readyz"), timeout=2).status == 200
                except OSError:
                    return False
            wait_for(ready, 10, "the first start")
            if not texts:
                assert h1.ask(("127.0.0.1", 8080), h1.get("/api/tags")).status == 401
            with open("/proc/net/tcp", encoding="ascii") as table:
                mine = [row.split()[1] for row in table if row.split()[1].endswith(":1F90")]
            assert mine and all(a.startswith("0100007F") for a in mine), "loopback only"
        finally:
            process.send_signal(signal.SIGTERM)
            texts.append(process.communicate(timeout=10)[1])
        assert process.returncode == 0 and not SANITIZER.search(texts[-1])
    first, second = texts
    assert len(KEY.findall(first)) == 1 and not KEY.findall(second)
    assert str(state / "api-keys") in second and "corral key create" in second
    assert stat.S_IMODE((state / "api-keys").stat().st_mode) == 0o600
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert KEY.search(first).group(0) not in (state / "api-keys").read_text()


# ---- secrets ----


def test_secrets_and_prompts_are_never_written(stable):
    sim = stable.sim("--tokens-per-s", "0").warm()
    corral = stable.corral(sim, log={"level": "debug"})
    marks = {"prompt": "zebra-in-the-prompt", "token": "ck_" + "Z" * 43,
             "jwt": "eyJhbGciOiJub25lIn0.eyJ6ZWJyYSI6MX0.zebrasignature",
             "query": "zebra-in-the-query", "cookie": "zebra-in-the-cookie"}
    body = {"model": "tiny", "messages": [{"role": "user", "content": marks["prompt"]}]}
    for path in ("/api/chat", "/v1/chat/completions", "/v1/messages", "/api/nope"):
        for key in (corral.key(), marks["token"], marks["jwt"]):
            corral.ask(h1.post(path + "?a=" + marks["query"], {**body, "max_tokens": 2}, key,
                               [("Cookie", marks["cookie"])]))
    corral.ask(h1.post("/api/chat", ('{"model":"tiny","%s"' % marks["prompt"]).encode(),
                       corral.key()))
    corral.ask(b"GET /api/tags HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " +
               marks["token"].encode() + b"\r\nbad header\r\n\r\n")
    sim.kill()
    corral.post("/api/chat", body)
    wait_for(lambda: len(corral.logged("access")) >= 15, 3, "the lines")
    seen = corral.text() + corral.metrics().text
    for name, mark in {**marks, "key": corral.key()}.items():
        assert mark not in seen, name
    assert "zebra" not in seen and corral.key()[4:20] not in seen


def test_labels_come_from_configuration_only(stable):
    sim = stable.sim("--tokens-per-s", "0").warm()
    corral = stable.corral(sim)
    before = len(corral.metrics().series)
    for i in range(300):
        corral.post("/api/chat", chat("model-%d" % i))
        corral.get("/path-%d" % i, None)
        corral.ask(h1.request("M%d" % i, "/api/tags"))
    assert len(corral.metrics().series) < before + 40
    assert "model-1" not in corral.metrics().text and "path-1" not in corral.metrics().text


def test_a_down_replica_is_logged_once(stable):
    sim = stable.sim()
    corral = stable.corral(sim)
    sim.kill()
    wait_for(lambda: corral.logged("replica.down"), 5, "the line")
    time.sleep(3)  # three polls
    said = corral.logged("replica.down") + corral.logged("replica.unreachable")
    assert len(said) == 1, said
