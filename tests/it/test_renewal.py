"""Files that the configuration names are renewed as certbot, the kubelet and `mv` renew them: inside the sandbox, so with
the binary that is shipped (CORRAL_RELEASE, else CORRAL_PLAIN). What was there before is gone each time, so nothing can be read that is not the new one."""

import base64
import hashlib
import hmac
import json
import os
import pathlib
import shutil
import signal
import ssl
import subprocess
import time

import pytest

import h1
import pki
from harness import chat, release, wait_for


class Place:
    """A folder of files that are renewed together, in one of the ways."""

    WAYS = ["mv", "certbot", "kubernetes", "links of links"]

    def __init__(self, root, way):
        self.root, self.way, self.turn, self.files = root, way, 0, {}
        self.folder = root / {"mv": "live", "certbot": "live/corral.test", "kubernetes": "mount",
                              "links of links": "a"}[way]
        self.folder.mkdir(parents=True)
        for name in ("archive/corral.test", "c", "d"):
            (root / name).mkdir(parents=True)
        (root / "b").symlink_to("c")

    def path(self, name):
        return str(self.folder / name)

    @staticmethod
    def _link(at, target):
        fresh = at.with_name("..fresh")
        fresh.symlink_to(target)
        os.replace(fresh, at)

    def _write(self, path, data):
        path.write_bytes(data)
        path.chmod(0o600)

    def put(self, **files):
        """Renew all of these; dots in a name are written as two underscores."""
        self.turn += 1
        files = {name.replace("__", "."): data for name, data in files.items()}
        getattr(self, "_" + self.way.replace(" ", "_"))(files)
        self.files.update(files)

    def _mv(self, files):
        for name, data in files.items():
            self._write(self.root / "fresh", data)
            os.replace(self.root / "fresh", self.folder / name)

    def _certbot(self, files):
        for name, data in files.items():
            own = "%s%d" % (name, self.turn)
            self._write(self.root / "archive/corral.test" / own, data)
            self._link(self.folder / name, "../../archive/corral.test/" + own)
            (self.root / "archive/corral.test" / ("%s%d" % (name, self.turn - 1))).unlink(missing_ok=True)

    def _kubernetes(self, files):
        own = "..2026_%d" % self.turn
        (self.folder / own).mkdir()
        for name, data in {**self.files, **files}.items():
            self._write(self.folder / own / name, data)
        self._link(self.folder / "..data", own)
        for name in files:
            if not (self.folder / name).is_symlink():
                (self.folder / name).symlink_to("..data/" + name)
        shutil.rmtree(self.folder / ("..2026_%d" % (self.turn - 1)), ignore_errors=True)

    def _links_of_links(self, files):
        """a/NAME -> ../b/NAME, b -> c, c/NAME -> an absolute path in d, which is the link that is turned."""
        for name, data in files.items():
            own = "%s.%d" % (name, self.turn)
            self._write(self.root / "d" / own, data)
            self._link(self.root / "c" / name, self.root / "d" / own)
            if not (self.folder / name).is_symlink():
                (self.folder / name).symlink_to("../b/" + name)
            (self.root / "d" / ("%s.%d" % (name, self.turn - 1))).unlink(missing_ok=True)


@pytest.fixture(autouse=True)
def shipped(monkeypatch):
    monkeypatch.setenv("CORRAL", release())


@pytest.fixture(scope="module")
def papers(tmp_path_factory):
    """Two of everything, before and after."""
    folder = tmp_path_factory.mktemp("papers")
    make = pki.Maker(folder)
    made = {"root": make.authority("server root")}
    for turn in (1, 2):
        made["server", turn] = make.issue("server %d" % turn, made["root"], dns=["localhost"], usage=("server",))
        made["ca", turn] = make.authority("client root %d" % turn)
        made["client", turn] = make.issue("client %d" % turn, made["ca", turn], uri=["spiffe://a/b"])
    return made


def read(path):
    return pathlib.Path(path).read_bytes()


def api_keys(folder):
    """(the file, the key) of a new key file."""
    folder.mkdir()
    done = subprocess.run([release(), "key", "create", "--file", str(folder / "keys"), "--tenant", "acme"],
                          capture_output=True, text=True, check=True, timeout=20)
    return read(folder / "keys"), done.stdout.strip()


def token(secret):
    def b64(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=")
    now = int(time.time())
    data = b64(b'{"alg":"HS256"}') + b"." + b64(json.dumps(
        {"iss": "me", "aud": "corral", "tenant": "acme", "iat": now, "exp": now + 60}).encode())
    return (data + b"." + b64(hmac.new(secret, data, hashlib.sha256).digest())).decode()


def start(stable, tmp_path, way, sim, papers):
    """A gateway all of whose files lie in a Place; and what a client of each turn has."""
    place, cas = Place(tmp_path / "own", way), Place(tmp_path / "cas", way)
    turns = []
    for turn in (1, 2):
        keys, key = api_keys(tmp_path / ("keys%d" % turn))
        secret = b"a secret of more than thirty-two bytes, number %d" % turn
        made = ssl.create_default_context(cafile=papers["root"].chain)
        made.load_cert_chain(*papers["client", turn].pair)
        turns.append({"key": key, "token": token(secret), "context": made, "files": {
            "chain__pem": read(papers["server", turn].chain), "key__pem": read(papers["server", turn].secret),
            "keys": keys, "secret": secret, "ca__pem": read(papers["ca", turn].chain),
            "client__pem": read(papers["client", turn].chain), "client__key": read(papers["client", turn].secret)}})
    place.put(**turns[0]["files"])
    cas.put(ca__pem=turns[0]["files"]["ca__pem"])
    config = stable.make_config(
        [sim], api_keys_file=place.path("keys"),
        issuers=[{"issuer": "me", "audience": ["corral"], "keys_file": place.path("secret")}],
        tls={"certificates": [{"chain": place.path("chain.pem"), "key": place.path("key.pem")}],
             "client_auth": "optional", "client_ca_dir": str(cas.folder)},
        tenants={"acme": {"certificate_names": ["spiffe://a/b"]}})
    config["listeners"][0]["tls"] = True
    config["replicas"].append({"url": "https://127.0.0.1:9", "tls": {
        "ca_file": place.path("ca.pem"), "certificate": place.path("client.pem"), "key": place.path("client.key")}})
    # The configuration is behind links as well, and named before the start.
    own = Place(tmp_path / "config", way)
    own.put(corral__yaml=json.dumps(config).encode())
    folder = stable.folder / "corral-0"
    folder.mkdir(parents=True)
    (folder / "corral.yaml").symlink_to(own.path("corral.yaml"))
    corral = stable.serve(config)
    assert wait_for(lambda: corral.logged("start"), 3, "the start line")[0]["sandbox"] is True
    return corral, place, cas, own, turns


def works(corral, turn):
    """Whether everything of a turn is in force: certificate authority, API key, token, client certificate."""
    with_tls = {"tls": turn["context"], "name": "localhost"}
    try:
        return [h1.ask(corral.address, h1.post("/api/chat", chat(), credential), **with_tls).status
                for credential in (turn["key"], turn["token"], None)] == [200, 200, 200]
    except OSError:
        return False


def server_serial(corral, turn):
    with h1.Client(corral.address, tls=turn["context"], name="localhost") as client:
        return client.sock.getpeercert()["serialNumber"]


@pytest.mark.parametrize("way", Place.WAYS)
def test_everything_is_renewed(stable, tmp_path, papers, way):
    sim = stable.sim("--tokens-per-s", "0").warm()
    corral, place, cas, own, turns = start(stable, tmp_path, way, sim, papers)
    assert works(corral, turns[0])
    first = server_serial(corral, turns[0])
    for renewed in (turns[1], turns[0]):  # and once more: the folders are those of the second time
        place.put(**renewed["files"])
        cas.put(ca__pem=renewed["files"]["ca__pem"])
        wait_for(lambda: works(corral, renewed), 10, "the renewal")
    assert server_serial(corral, turns[0]) == first
    assert not [line for line in corral.logged("reload.failed") if "Permission" in line["detail"]], corral.text()
    # The configuration itself, by SIGHUP.
    config = {**corral.config, "tenants": [{"name": "acme", "verbs": ["list"], "certificate_names": ["spiffe://a/b"]}]}
    own.put(corral__yaml=json.dumps(config).encode())
    corral.signal(signal.SIGHUP)
    wait_for(lambda: h1.ask(corral.address, h1.post("/api/chat", chat(), turns[0]["key"]), tls=turns[0]["context"],
                            name="localhost").status == 403, 5, "the new configuration")


@pytest.mark.parametrize("way", Place.WAYS)
def test_a_reload_after_a_renewal(stable, tmp_path, papers, way):
    """SIGHUP reads all of them again, whether the watch has seen them or not; none is outside of the sandbox."""
    corral, place, cas, _, turns = start(stable, tmp_path, way, stable.sim(), papers)
    for _ in range(2):
        place.put(**turns[1]["files"])
        cas.put(ca__pem=turns[1]["files"]["ca__pem"])
        before = corral.reloads("ok")
        corral.signal(signal.SIGHUP)
        wait_for(lambda: corral.reloads("ok") > before, 5, "the reload")
