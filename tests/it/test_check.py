"""`corral check` says what `serve` would refuse, all of it at once, and where; and keys that nobody can use."""

import base64
import json
import os
import pathlib
import re
import signal
import socket
import subprocess

import pytest

import configs
import h1
import pki
from harness import SANITIZER, chat, free_port, wait_for


def run(*args):
    done = subprocess.run([os.environ["CORRAL"], *map(str, args)], capture_output=True, text=True, timeout=20,
                          check=False)
    assert not SANITIZER.search(done.stderr), done.stderr
    return done


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """What a public gateway needs: a pair, a key file, a state folder."""
    folder = tmp_path_factory.mktemp("site")
    authority = pki.Authority(folder)
    chain, key = authority.leaf(folder, "leaf")
    assert run("key", "create", "--file", folder / "keys", "--tenant", "acme").returncode == 0
    (folder / "state").mkdir()
    (folder / "clients").mkdir()
    (folder / "clients" / "ca.pem").write_text(authority.file.read_text())
    (folder / "secret").write_text("s" * 64)
    return {"folder": folder, "chain": chain, "key": key, "keys": folder / "keys", "state": folder / "state"}


PUBLIC = """listeners:
  - address: "0.0.0.0:{port}"
    tls: true
server_names: [corral.test]
tls:
  certificates:
    - chain: {chain}
      key: {key}
api_keys_file: {keys}
state_dir: {state}
tenants:
  - name: acme
replicas:
  - url: http://127.0.0.1:9
health: {{ address: "" }}
metrics: {{ address: "" }}
"""


def public(site, **changes):
    return PUBLIC.format(**{"port": free_port(), **site, **changes})


def problems(file, text, *options):
    """What check says, as (line, column, text); a marked place is compared by the caller."""
    file.write_text(text)
    done = run("check", *options, file)
    found = []
    for line in done.stderr.splitlines():
        match = re.fullmatch(r"%s:(\d+):(\d+): (.*)" % re.escape(str(file)), line)
        assert match, "without a place: " + line
        found.append((int(match.group(1)), int(match.group(2)), match.group(3)))
    errors = [p for p in found if not p[2].startswith("warning: ")]
    assert done.returncode == (1 if errors else 0), done
    assert ("is valid" in done.stdout) == (not errors)
    return found


def place(text, key):
    """Line and column (from 1) where a key of the text stands."""
    number = next(i for i, line in enumerate(text.splitlines(), 1) if key in line)
    return number, text.splitlines()[number - 1].index(key) + 1


def test_what_serve_takes_is_valid(site, tmp_path):
    assert problems(tmp_path / "c.yaml", public(site)) == []


# name -> (what is changed in PUBLIC, the key it is told at, what it says)
REFUSED = {
    "state_dir": ({"state": "/nonexistent/state"}, "state_dir", "state_dir: /nonexistent/state: "),
    "state_dir a file": ({"state": "/etc/hostname"}, "state_dir", "not a folder"),
    "chain": ({"chain": "/nonexistent/a.pem"}, "chain", "tls.certificates[0].chain: /nonexistent/a.pem: No such file"),
    "key": ({"key": "/nonexistent/a.key"}, "key: ", "tls.certificates[0].key: /nonexistent/a.key: No such file"),
    "keys": ({"keys": "/nonexistent/keys"}, "api_keys_file", "api_keys_file: /nonexistent/keys: "),
    "key is a folder": ({"key": "/etc"}, "key: ", "tls.certificates[0].key: /etc: "),
    "chain is nonsense": ({"chain": "/etc/hostname"}, "chain", "tls.certificates[0].chain: /etc/hostname: "),
}


def serve_refuses(file):
    done = run("serve", file)
    assert done.returncode == 1 and done.stderr, done
    return done.stderr


@pytest.mark.parametrize("name", REFUSED)
def test_what_serve_refuses_is_told_with_its_place(site, tmp_path, name):
    changes, key, sentence = REFUSED[name]
    file, text = tmp_path / "c.yaml", public(site, **changes)
    found = problems(file, text)
    assert len(found) == 1 and sentence in found[0][2], found
    assert found[0][:2] == place(text, key)
    serve_refuses(file)


def test_all_of_it_at_once(site, tmp_path):
    """Mistakes of the text, files that are missing and rules between keys, in one run, by their places."""
    text = public(site, chain="/nonexistent/chain", key="/nonexistent/key", keys="/nonexistent/keys",
                  state="/nonexistent/state").replace("server_names: [corral.test]\n", "")
    text += "worker: 2\nqueue: { max_waiting: x }\nissuers:\n  - issuer: i\n    audience: [a]\n" \
            "    keys_file: /nonexistent/jwks.json\nlog: { file: /nonexistent/log }\n"
    found = problems(tmp_path / "c.yaml", text)
    keys = [p[2].split(": ")[0] for p in found]
    assert sorted(keys) == sorted(["listeners[0].address", "tls.certificates[0].chain", "tls.certificates[0].key",
                                   "api_keys_file", "state_dir", "worker", "queue.max_waiting", "issuers[0].keys_file",
                                   "log.file"]), found
    assert found == sorted(found, key=lambda p: p[:2]), "in the order of the file"
    assert all(p[0] > 0 and p[1] > 0 for p in found)


def test_serve_tells_all_of_it_too(site, tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text(public(site, chain="/nonexistent/chain", keys="/nonexistent/keys", state="/nonexistent/state"))
    said = serve_refuses(file)
    for path in ("/nonexistent/chain", "/nonexistent/keys", "/nonexistent/state"):
        assert path in said, said


def test_a_network_listener_needs_names(site, tmp_path):
    """Without them every request would get 421; the line to add is told, and adding it helps."""
    file, text = tmp_path / "c.yaml", public(site)
    bare = text.replace("server_names: [corral.test]\n", "")
    found = problems(file, bare)
    assert len(found) == 1 and "421" in found[0][2], found
    assert found[0][:2] == place(bare, "address: ")
    assert "server_names" in serve_refuses(file)
    add = re.search(r"add: (server_names: \[.*\])", found[0][2]).group(1)
    assert problems(file, bare + add + "\n") == []


def test_an_address_as_a_name_is_proposed(site, tmp_path):
    text = public(site).replace("0.0.0.0:", "192.0.2.7:").replace("server_names: [corral.test]\n", "")
    found = problems(tmp_path / "c.yaml", text, "--no-files")
    assert 'server_names: ["192.0.2.7"]' in found[0][2], found


BOTH = 'listeners: [{address: "%s"}, {address: "%s"}]\n'
HEALTH = 'listeners: [{address: "%s"}]\nhealth: {address: "%s"}\n'
METRICS = 'listeners: [{address: "%s"}]\nmetrics: {address: "%s"}\n'


@pytest.mark.parametrize("text,first,second,clash", [
    (BOTH, "127.0.0.1:%d", "127.0.0.1:0%d", True), (BOTH, "[::1]:%d", "[0:0:0:0:0:0:0:1]:%d", True),
    (BOTH, "127.0.0.1:%d", "[::1]:%d", False), (BOTH, "127.0.0.1:%d", "127.0.0.2:%d", False),
    (HEALTH, "127.0.0.1:%d", "0.0.0.0:%d", True), (HEALTH, "127.0.0.1:%d", "127.0.0.1:%d", True),
    (HEALTH, "127.0.0.1:%d", "[::]:%d", False), (METRICS, "127.0.0.1:%d", "127.0.0.1:%d", True)])
def test_two_on_one_port(tmp_path, text, first, second, clash):
    port = free_port()
    file = tmp_path / "c.yaml"
    off = "".join('%s: {address: ""}\n' % name for name in ("health", "metrics") if name + ":" not in text)
    whole = text % (first % port, second % port) + off + configs.T + configs.R
    found = problems(file, whole)
    assert len(found) == (1 if clash else 0), found
    if clash:
        assert "the same port" in found[0][2] or "listed twice" in found[0][2], found
        serve_refuses(file)


def test_an_address_of_another_machine(tmp_path):
    file = tmp_path / "c.yaml"
    text = configs.base("").replace("tenants:", 'health: {address: "192.0.2.7:18081"}\ntenants:')
    found = problems(file, text)
    assert len(found) == 1 and found[0][2].startswith("health.address: 192.0.2.7:18081"), found
    assert problems(file, text, "--no-files") == []
    serve_refuses(file)


def test_a_port_that_is_used_is_no_mistake(tmp_path):
    """The gateway that runs has it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free_port()))
        taken.listen()
        text = configs.base("").replace("127.0.0.1:8443", "127.0.0.1:%d" % taken.getsockname()[1])
        assert problems(tmp_path / "c.yaml", text) == []


def test_no_files(site, tmp_path):
    """For a pipeline that has no secrets: the text alone."""
    text = public(site, chain="/nonexistent/chain", key="/nonexistent/key", keys="/nonexistent/keys",
                  state="/nonexistent/state")
    file = tmp_path / "c.yaml"
    assert problems(file, text, "--no-files") == []
    assert len(problems(file, text)) == 4
    assert [p[2].split(":")[0] for p in problems(file, text + "worker: 1\n", "--no-files")] == ["worker"]
    assert "--no-files" in run("check", "--help").stdout


def test_the_clients_authorities(site, tmp_path):
    text = public(site).replace("tls:\n  c", "tls:\n  client_auth: required\n  client_ca_dir: %s\n  c")
    file = tmp_path / "c.yaml"
    (tmp_path / "none").mkdir()
    assert problems(file, text % (site["folder"] / "clients")) == []
    for wrong in ("/nonexistent/ca", tmp_path / "none"):
        found = problems(file, text % wrong)
        assert len(found) == 1 and found[0][2].startswith("tls.client_ca_dir: %s" % wrong), found
        assert found[0][:2] == place(text, "client_ca_dir")
        serve_refuses(file)


@pytest.mark.parametrize("key", ["ca_file", "certificate", "key"])
def test_the_files_of_a_replica(site, tmp_path, key):
    own = {"ca_file": site["folder"] / "clients" / "ca.pem", "certificate": site["chain"], "key": site["key"]}
    text = configs.L + configs.T + "replicas:\n  - url: https://127.0.0.1:9\n    tls:\n"
    good = text + "".join("      %s: %s\n" % item for item in own.items())
    file = tmp_path / "c.yaml"
    assert problems(file, good) == []
    bad = good.replace("%s: %s" % (key, own[key]), "%s: /nonexistent/x" % key)
    found = problems(file, bad)
    assert len(found) == 1 and found[0][2].startswith("replicas[0].tls.%s: /nonexistent/x: " % key), found
    assert found[0][:2] == place(bad, key + ": /non")


def test_every_issuer(site, tmp_path):
    entry = "  - {issuer: %s, audience: [a], keys_file: %s, kid: k}\n"
    text = configs.base("issuers:\n" + entry % ("a", "/nonexistent/a.json") + entry % ("b", site["folder"] / "secret") +
                        entry % ("c", "/nonexistent/c.pem") + entry % ("d", site["key"]))
    found = problems(tmp_path / "c.yaml", text)
    assert [p[2].split(": ")[0] for p in found] == ["issuers[%d].keys_file" % i for i in (0, 2, 3)], found


# ---- keys of tenants that are not there ----


def keys_of(folder, tenants):
    file = folder / "keys"
    for tenant in tenants:
        assert run("key", "create", "--file", file, "--tenant", tenant).returncode == 0
    return file


@pytest.mark.parametrize("revoked", [False, True])
def test_a_key_of_a_removed_tenant_is_skipped(stable, tmp_path, revoked):
    """At a start, at a reload; the others go on, and it works again once its tenant is back."""
    file = tmp_path / "keys"
    made = {t: run("key", "create", "--file", file, "--tenant", t).stdout.strip() for t in ("gone", "acme", "beta")}
    if revoked:
        key_id = json.loads(file.read_text().splitlines()[1])["id"]
        assert run("key", "revoke", "--file", file, key_id).returncode == 0
    sim = stable.sim("--tokens-per-s", "0").warm()
    two = [{"name": "acme"}, {"name": "beta"}]
    corral = stable.corral(sim, api_keys_file=str(file), tenants={"acme": {}, "beta": {}})

    def status(tenant):
        return corral.ask(h1.post("/api/chat", chat(), made[tenant])).status
    assert [status(t) for t in ("gone", "acme", "beta")] == [401, 200, 200]
    said = corral.logged("key.skipped")
    assert len(said) == 1 and said[0]["level"] == "warn", said
    assert "%s: line 2: key k" % file in said[0]["detail"] and '"gone"' in said[0]["detail"]
    corral.reload({**corral.config, "tenants": two[:1]})
    assert [status(t) for t in ("gone", "acme", "beta")] == [401, 200, 401]
    wait_for(lambda: any("line 4" in line["detail"] for line in corral.logged("key.skipped")), 3, "beta's line")
    corral.reload({**corral.config, "tenants": [{"name": "gone"}, *two]})
    assert [status(t) for t in ("gone", "acme", "beta")] == [401 if revoked else 200, 200, 200]


def test_check_reports_such_a_key(site, tmp_path):
    file = keys_of(tmp_path, ("acme", "gone"))
    text = public(site, keys=file)
    found = problems(tmp_path / "c.yaml", text)
    assert len(found) == 1 and found[0][2].startswith("warning: api_keys_file: %s: line 3: " % file), found
    assert found[0][:2] == place(text, "api_keys_file")


def test_many_such_keys_are_counted(tmp_path, stable):
    file = keys_of(tmp_path, ("acme",))
    head, line = file.read_text().splitlines()
    other = [json.dumps({**json.loads(line), "id": "k%d" % i, "tenant": "gone", "hash": base64.urlsafe_b64encode(i.to_bytes(32, "big")).decode().rstrip("=")})
             for i in range(100)]
    file.write_text("\n".join([head, line, *other]) + "\n")
    corral = stable.corral(stable.sim(), api_keys_file=str(file), tenants={"acme": {}})
    said = corral.logged("key.skipped")
    assert 2 <= len(said) < 30 and "100" in said[-1]["detail"], said


@pytest.mark.parametrize("how", ["no line", "revoked", "of no tenant"])
def test_a_network_listener_needs_a_key(site, tmp_path, how):
    """A key file with which nobody could ever come in; an empty one says how to make it."""
    file = keys_of(tmp_path, ("gone" if how == "of no tenant" else "acme",))
    if how == "no line":
        file.write_text(file.read_text().splitlines(keepends=True)[0])
    elif how == "revoked":
        key_id = json.loads(file.read_text().splitlines()[1])["id"]
        assert run("key", "revoke", "--file", file, key_id).returncode == 0
    text = public(site, keys=file)
    found = [p for p in problems(tmp_path / "c.yaml", text) if not p[2].startswith("warning")]
    assert len(found) == 1 and "corral key create" in found[0][2], found
    assert found[0][2].startswith("api_keys_file: ") and found[0][:2] == place(text, "api_keys_file")
    assert "corral key create" in serve_refuses(tmp_path / "c.yaml")
    # On loopback it is a warning: the first key may come later.
    text = text.replace("0.0.0.0:", "127.0.0.1:")
    assert all(p[2].startswith("warning") for p in problems(tmp_path / "c.yaml", text))


def test_the_last_key_can_be_revoked(stable, site, tmp_path):
    """A reload without a key that works is in force: else the revoked one would stay."""
    file = tmp_path / "keys"
    key = run("key", "create", "--file", file, "--tenant", "acme").stdout.strip()
    corral = stable.corral(stable.sim(), api_keys_file=str(file), tenants={"acme": {}})
    assert corral.ask(h1.get("/api/tags", key)).status == 200
    key_id = json.loads(file.read_text().splitlines()[1])["id"]
    assert run("key", "revoke", "--file", file, key_id).returncode == 0
    corral.signal(signal.SIGHUP)
    wait_for(lambda: corral.ask(h1.get("/api/tags", key)).status == 401, 6, "its end")
    assert corral.logged("keys.none")


def test_what_is_no_file_has_a_place_too(tmp_path):
    for target in (tmp_path / "missing.yaml", tmp_path, pathlib.Path("/dev/null")):
        done = run("check", target)
        assert done.returncode == 1 and done.stderr.startswith("%s: " % target), done
