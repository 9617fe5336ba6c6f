"""The gateways that are measured, their configurations (peers/) and the credentials they check."""

import base64
import functools
import json
import machine
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

BUILD = machine.ROOT / "build-release"
PEERS = pathlib.Path(__file__).resolve().parent / "peers"
CORRAL = BUILD / "gateway/corral"
BODY_BYTES = 494


def body(stream, tokens, size=BODY_BYTES):
    """A chat of 494 bytes. num_predict is always there: without it a limited tenant would get a bound of its own. A
    larger one is a longer system message."""
    value = {"model": "tiny", "stream": stream, "options": {"num_predict": tokens}, "messages": [
        {"role": "system", "content": "You are a careful assistant. "},
        {"role": "user", "content": "Name three rivers of Europe and say where each of them ends."}]}
    short = size - len(json.dumps(value))
    value["messages"][0]["content"] += ("Answer briefly. " * (short // 16 + 1))[:short]
    return json.dumps(value)


def ask(url, headers=None, data=None, tries=50):
    """The answer of something that is just starting."""
    for attempt in range(tries):
        try:
            return urllib.request.urlopen(urllib.request.Request(url, headers=headers or {}, data=data),
                                          timeout=5).read()
        except OSError as error:
            if attempt == tries - 1:
                raise SystemExit(f"bench: {url}: {error}")
            time.sleep(0.1)


class Gateway:
    """One running gateway. `direct` is none at all: the upstream itself."""

    def __init__(self, herd, name, clear, tls, arguments, h2c=0):
        self.name, self.clear, self.tls, self.h2c, self.process = name, clear, tls, h2c, None
        self.path = herd.work / ("sim.sock" if name == "direct" else f"{clear}.sock")
        self.tls_path = herd.work / f"{tls}.sock"
        self.log = herd.work / f"{name}-{clear}.log"
        if arguments:
            with open(self.log, "ab") as log:
                self.process = subprocess.Popen([str(a) for a in arguments], stdout=log, stderr=subprocess.STDOUT,
                                                stdin=subprocess.DEVNULL)
            herd.gateways.append(self)

    def pids(self):
        return machine.children(self.process.pid) if self.process else []

    def stop(self):
        if self.process:
            self.process.terminate()
            try:
                self.process.wait(3)
            except subprocess.TimeoutExpired:
                for pid in self.pids():
                    os.kill(pid, 9)
                self.process.wait()


class Herd:
    """A work folder with credentials, one ollama-sim, and gateways in front of it. `against`: another corral, which is
    then measured beside ours and nothing else is."""

    def __init__(self, against=None):
        self.corrals = {"old": pathlib.Path(against).resolve(), "new": CORRAL} if against else {}
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="corral-bench-"))
        self.gateways = []
        peers = {} if against else {"haproxy": "haproxy", "nginx-light": "nginx"}
        self.binaries = machine.install({**peers, "wrk": "wrk", "openssl": "openssl", "nghttp2-client": "h2load"})
        if not against:
            self.binaries["envoy"] = machine.install_envoy()
        os.environ["OPENSSL_CONF"] = str(PEERS / "openssl-client.cnf")
        self.make_credentials()
        self.upstream = machine.free_port()
        self.sim = Gateway(self, "sim", self.upstream, 0, [
            BUILD / "tests/sim/ollama-sim", "--port", self.upstream, "--path", self.work / "sim.sock", "--models",
            "tiny:268.10M", "--slots", 1100, "--tokens-per-s", 0, "--keep-alive-s", -1])
        ask(f"http://127.0.0.1:{self.upstream}/api/chat", data=body(False, 1).encode())

    def make_credentials(self):
        def run(*arguments):
            return subprocess.run([str(a) for a in arguments], check=True, capture_output=True, text=True,
                                  env={**os.environ, "OPENSSL_CONF": ""}).stdout.strip()
        w = self.work
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
            w / "key.pem", "-out", w / "cert.pem", "-days", 2, "-subj", "/CN=localhost")
        (w / "cert-and-key.pem").write_text((w / "cert.pem").read_text() + (w / "key.pem").read_text())
        self.tokens = {}
        for algorithm, key in (("HS256", "hs256.secret"), ("RS256", "rs256-private.pem")):
            name = algorithm.lower()
            run(CORRAL, "keygen", "--algorithm", algorithm, "--out", w / name)
            for tenant in ("bench", "unlimited"):
                self.tokens[name, tenant] = run(
                    CORRAL, "token", "mint", "--key", w / key, "--algorithm", algorithm, "--issuer",
                    f"https://{name}.test", "--audience", "corral", "--tenant", tenant, "--user", "ada",
                    "--lifetime-s", 7200)
        self.secret = (w / "hs256.secret").read_text().strip()
        modulus = run("openssl", "rsa", "-pubin", "-in", w / "rs256-public.pem", "-noout", "-modulus").split("=")[1]

        def b64(data):
            return base64.urlsafe_b64encode(data).decode().rstrip("=")
        (w / "jwks.json").write_text(json.dumps({"keys": [
            {"kty": "oct", "alg": "HS256", "k": b64(self.secret.encode())},
            {"kty": "RSA", "alg": "RS256", "n": b64(bytes.fromhex(modulus)), "e": "AQAB"}]}))

    def names(self):
        """What can run here, in the order of the table."""
        peers = [n for n in ("haproxy", "nginx", "envoy") if self.binaries.get(n)]
        return ["corral", *peers]

    def versions(self):
        def first(arguments, pattern):
            done = subprocess.run([str(a) for a in arguments], capture_output=True, text=True)
            return re.search(pattern, done.stdout + done.stderr).group(1)
        if self.corrals:
            return {name: first([path, "version"], r"(.+)") for name, path in self.corrals.items()}
        found = {"corral": first([CORRAL, "version"], r"(\d[^\s]*)")}
        for name, option, pattern in (("haproxy", "-v", r"version (\S+)"), ("nginx", "-v", r"nginx/(\S+)"),
                                      ("envoy", "--version", r"/(\d+\.\d+\.\d+)/")):
            if self.binaries.get(name):
                found[name] = first([self.binaries[name], option], pattern)
        found["openssl"] = first(["openssl", "version"], r"OpenSSL (\S+)")
        return found

    def configure(self, file, binary=None, **values):
        text = (PEERS / file).read_text()
        for key, value in {"WORK": self.work, "UPSTREAM": self.upstream, "SECRET": self.secret, **values}.items():
            text = text.replace(f"@{key}@", str(value))
        path = self.work / f"{values['CLEAR']}-{file}"
        path.write_text("".join(line for line in text.splitlines(True) if self.knows(binary, line)))
        return path

    @functools.lru_cache(maxsize=None)
    def knows(self, binary, line):
        """False: a line of a corral's configuration that this one, an older one, does not know."""
        if not line.rstrip().endswith("# optional"):
            return True
        key = line.strip().partition(":")[0]
        reference = subprocess.run([binary, "reference"], capture_output=True, text=True, check=True).stdout
        return "." + key + "`" in reference

    def start(self, name, wrapper=()):
        """`wrapper`: what runs a corral, with its options; the sandbox is then off."""
        if name == "direct":
            return Gateway(self, name, self.upstream, 0, None)
        clear, tls, h2c = machine.free_port(), 0 if name == "floor" else machine.free_port(), machine.free_port()
        ports = {"CLEAR": clear, "TLS": tls, "H2C": h2c}
        binary = self.binaries.get(name)
        if name == "floor":
            arguments = [BUILD / "bench/bench-relay", clear, self.upstream]
        elif name.startswith("corral") or name in self.corrals:
            replica = f"unix:{self.work}/sim.sock" if name == "corral-path" else f"http://127.0.0.1:{self.upstream}"
            corral = self.corrals.get(name, CORRAL)
            arguments = [*wrapper, corral, "serve", self.configure(
                "corral.yaml", corral, METRICS=machine.free_port(), REPLICA=replica, WORKERS=2 if name == "corral2" else 1,
                SANDBOX="off" if wrapper else "auto", **ports)]
        elif name == "haproxy":
            arguments = [binary, "-db", "-f", self.configure("haproxy.cfg", **ports)]
        elif name == "nginx":
            arguments = [binary, "-p", self.work, "-g", "daemon off;", "-c",
                         self.configure("nginx.conf", **ports)]
        else:
            arguments = [binary, "--concurrency", 1, "--disable-hot-restart", "-l", "warning", "-c",
                         self.configure("envoy.yaml", **ports)]
        gateway = Gateway(self, name, clear, tls, arguments, h2c)
        ask(f"http://127.0.0.1:{clear}/api/chat", {"Authorization": f"Bearer {self.tokens['hs256', 'bench']}",
                                                   "Host": "localhost"}, body(False, 1).encode())
        if name not in ("floor", "nginx"):
            self.must_refuse(gateway)
        return gateway

    def must_refuse(self, gateway):
        """Whoever is measured as checking tokens checks them."""
        for algorithm in ("hs256", "rs256"):
            token = self.tokens[algorithm, "bench"]
            forged = token[:-9] + ("A" if token[-9] != "A" else "B") + token[-8:]
            try:
                urllib.request.urlopen(urllib.request.Request(
                    f"http://127.0.0.1:{gateway.clear}/api/chat", headers={"Authorization": f"Bearer {forged}"},
                    data=body(False, 1).encode()), timeout=5)
            except urllib.error.HTTPError as error:
                if error.code == 401:
                    continue
            raise SystemExit(f"bench: {gateway.name} takes a forged {algorithm.upper()} token")

    def pace(self, tokens_per_s):
        ask(f"http://127.0.0.1:{self.upstream}/sim/config", data=json.dumps({"tokens_per_s": tokens_per_s}).encode())

    def empty_logs(self):
        for path in self.work.glob("*.log"):
            os.truncate(path, 0)

    def stop(self):
        for gateway in self.gateways:
            gateway.stop()
        shutil.rmtree(self.work, ignore_errors=True)
