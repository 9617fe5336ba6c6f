"""The real things under test: each on ports of its own, ended by its own process id."""

import base64
import calendar
import datetime
import ipaddress
import json
import os
import pathlib
import queue
import signal
import ssl
import subprocess
import threading
import time

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

import h1
import h2
import harness

HERE = pathlib.Path(__file__).resolve().parent
CACHE = pathlib.Path(os.environ["REAL_CACHE"])
OLLAMA = pathlib.Path(os.environ["REAL_OLLAMA"])
ISSUER = "https://issuer.test"
# What the access log calls each protocol, and who speaks it byte by byte.
PROTOCOLS = {"h1": "HTTP/1.1", "h2": "HTTP/2"}
WIRES = {"h1": h1, "h2": h2}


def note(text):
    """A sentence with numbers for whoever ran the tests."""
    path = os.environ.get("REAL_NOTES")
    if path:
        with open(path, "a", encoding="utf-8") as notes:
            notes.write(text + "\n")


def clean_env(**more):
    """Nothing of the machine's own: no CA bundle, no proxy, no OLLAMA_HOST."""
    return dict({"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}, **more)


def seconds(line):
    """When a line of the log was written."""
    stamp = line["time"]
    whole = calendar.timegm(time.strptime(stamp[:19], "%Y-%m-%dT%H:%M:%S"))
    return whole + float("0" + stamp[19:-1])


def fds(pid):
    return len(os.listdir("/proc/%d/fd" % pid))


class Ollama:
    """A real Ollama server and its runners, one process group."""

    def __init__(self, port=None, **env):
        self.port = port or harness.free_port()
        self.address = ("127.0.0.1", self.port)
        self.url = "http://127.0.0.1:%d" % self.port
        self.env = dict({"OLLAMA_NUM_PARALLEL": "1", "PRELOAD": "tiny"}, **env)
        self.start()

    def start(self):
        done = subprocess.run(["sh", str(HERE / "ollama-start.sh"), str(OLLAMA), str(self.port)],
                              env=clean_env(**self.env), capture_output=True, text=True,
                              timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        self.pid = int(done.stdout)

    def fds(self):
        return fds(self.pid)

    def runners(self):
        """Process ids of the runners: its children."""
        path = "/proc/%d/task/%d/children" % (self.pid, self.pid)
        own = {int(x) for t in os.listdir("/proc/%d/task" % self.pid) for x in
               open(path.replace("task/%d" % self.pid, "task/" + t), encoding="ascii").read().split()}
        return sorted(own)

    def crash(self):
        os.killpg(self.pid, signal.SIGKILL)
        harness.wait_for(lambda: not alive(self.pid), 10, "the end of Ollama")

    def stop(self):
        if alive(self.pid):
            os.kill(self.pid, signal.SIGTERM)
            try:
                harness.wait_for(lambda: not alive(self.pid), 10, "the end of Ollama")
            except AssertionError:
                os.killpg(self.pid, signal.SIGKILL)

    def cpu(self):
        """Seconds of processor time its runners have used: grows only while one generates."""
        ticks = 0
        for pid in self.runners():
            with open("/proc/%d/stat" % pid, encoding="ascii") as stat:
                fields = stat.read().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")


def alive(pid):
    try:
        with open("/proc/%d/stat" % pid, encoding="ascii") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


class Authority:
    """A private CA and one server certificate for localhost and 127.0.0.1."""

    def __init__(self, folder):
        self.ca, self.chain, self.key = folder / "ca.pem", folder / "tls.crt", folder / "tls.key"
        ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "corral test CA")])
        usage = {"digital_signature": False, "content_commitment": False, "key_encipherment": False,
                 "data_encipherment": False, "key_agreement": False, "key_cert_sign": False,
                 "crl_sign": False, "encipher_only": False, "decipher_only": False}
        own = x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key())
        ca = self.builder(name, name, ca_key.public_key()) \
            .add_extension(x509.BasicConstraints(True, 0), True) \
            .add_extension(x509.KeyUsage(**dict(usage, key_cert_sign=True, crl_sign=True)), True) \
            .add_extension(own, False).sign(ca_key, hashes.SHA256())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
        leaf = self.builder(subject, name, key.public_key()) \
            .add_extension(x509.BasicConstraints(False, None), True) \
            .add_extension(x509.KeyUsage(**dict(usage, digital_signature=True)), True) \
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False) \
            .add_extension(x509.SubjectAlternativeName(
                [x509.DNSName("localhost"),
                 x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False) \
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False) \
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own), False) \
            .sign(ca_key, hashes.SHA256())
        pem = serialization.Encoding.PEM
        self.ca.write_bytes(ca.public_bytes(pem))
        self.chain.write_bytes(leaf.public_bytes(pem))
        self.key.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8,
                                               serialization.NoEncryption()))
        self.key.chmod(0o600)

    @staticmethod
    def builder(subject, issuer, public):
        now = datetime.datetime.now(datetime.timezone.utc)
        return x509.CertificateBuilder().subject_name(subject).issuer_name(issuer) \
            .public_key(public).serial_number(x509.random_serial_number()) \
            .not_valid_before(now - datetime.timedelta(hours=1)) \
            .not_valid_after(now + datetime.timedelta(days=2))

    def context(self):
        context = ssl.create_default_context(cafile=str(self.ca))
        context.set_alpn_protocols(["http/1.1"])
        return context


class Tokens:
    """A JWT issuer: keys made by `corral keygen`, tokens by `corral token mint`."""

    def __init__(self, folder):
        self.prefix = str(folder / "issuer")
        self.corral("keygen", "--algorithm", "ES256", "--out", self.prefix)
        self.issuer = {"issuer": ISSUER, "audience": ["corral"], "algorithm": "ES256",
                       "keys_file": self.prefix + "-public.pem"}

    @staticmethod
    def corral(*args):
        done = subprocess.run([harness.program("CORRAL"), *args], capture_output=True, text=True,
                              timeout=30, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def mint(self, tenant, *args):
        return self.corral("token", "mint", "--key", self.prefix + "-private.pem", "--algorithm",
                           "ES256", "--issuer", ISSUER, "--audience", "corral", "--tenant", tenant,
                           *args)

    def expired(self, tenant):
        """Right in all but its time."""
        key = pathlib.Path(self.prefix + "-private.pem").read_text(encoding="ascii")
        then = int(time.time()) - 7200
        return jwt.encode({"iss": ISSUER, "aud": "corral", "tenant": tenant, "sub": "late",
                           "iat": then, "exp": then + 3600}, key, algorithm="ES256")

    @staticmethod
    def forged(token):
        """The same with one bit of its signature turned."""
        head, _, sign = token.rpartition(".")
        raw = bytearray(base64.urlsafe_b64decode(sign + "=="))
        raw[5] ^= 1
        return head + "." + base64.urlsafe_b64encode(bytes(raw)).rstrip(b"=").decode()


class OpenWebUI:
    """A real Open WebUI whose only backend is `url`, asked with `key`."""

    email, password = "admin@example.com", "Admin-passw0rd"

    def __init__(self, folder, url, key, ca, **env):
        self.folder = folder
        (folder / "data").mkdir(parents=True)
        self.port = harness.free_port()
        self.url = "http://127.0.0.1:%d" % self.port
        self.log = folder / "log"
        connection = {"0": {"enable": True, "auth_type": "bearer", "key": key}}
        settings = {
            "HOME": str(folder), "DATA_DIR": str(folder / "data"), "PYTHONUNBUFFERED": "1",
            "WEBUI_SECRET_KEY": "only-for-this-test-0123456789abcdef", "WEBUI_AUTH": "True",
            "WEBUI_ADMIN_EMAIL": self.email, "WEBUI_ADMIN_PASSWORD": self.password,
            "CORS_ALLOW_ORIGIN": self.url, "ENABLE_PERSISTENT_CONFIG": "False",
            # No torch, nothing from outside; no tool definitions, which small models refuse.
            "USE_SLIM_DOCKER": "true", "OFFLINE_MODE": "true", "HF_HUB_OFFLINE": "1",
            "BYPASS_EMBEDDING_AND_RETRIEVAL": "true", "RAG_EMBEDDING_ENGINE": "ollama",
            "ENABLE_CODE_INTERPRETER": "False", "DO_NOT_TRACK": "true",
            "SCARF_NO_ANALYTICS": "true", "ANONYMIZED_TELEMETRY": "false",
            "DEFAULT_MODEL_PARAMS": '{"function_calling":"legacy"}',
            "BYPASS_MODEL_ACCESS_CONTROL": "true",
            # A test that wants a background task switches it on.
            "ENABLE_TITLE_GENERATION": "False", "ENABLE_TAGS_GENERATION": "False",
            "ENABLE_FOLLOW_UP_GENERATION": "False",
            "ENABLE_OPENAI_API": "False", "ENABLE_OLLAMA_API": "True", "OLLAMA_BASE_URLS": url,
            "OLLAMA_API_CONFIGS": json.dumps(connection), "SSL_CERT_FILE": str(ca),
        }
        settings.update(env)
        program = CACHE / "owui" / "bin"
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [str(program / "python"), str(program / "open-webui"), "serve", "--host",
                 "127.0.0.1", "--port", str(self.port)], cwd=folder, env=clean_env(**settings),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        harness.wait_for(self.ready, 120, "Open WebUI")

    def text(self):
        return self.log.read_text(errors="replace")

    def ready(self):
        assert self.process.poll() is None, self.text()[-3000:]
        try:
            return h1.ask(("127.0.0.1", self.port), h1.get("/ready"), timeout=5).status == 200
        except OSError:
            return False

    def api(self, method, path, body=None):
        """Call its own API as the administrator."""
        if not hasattr(self, "token"):
            self.token = None
            self.token = self.api("POST", "/api/v1/auths/signin",
                                  {"email": self.email, "password": self.password})["token"]
        fields = h1.bearer(self.token) if self.token else []
        answer = h1.ask(("127.0.0.1", self.port), h1.request(method, path, fields, body), timeout=90)
        assert answer.status == 200, answer
        return answer.json

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)


class Browser:
    """A headless Chromium that does what browser.mjs can do, one step after the other."""

    def __init__(self, folder):
        self.log = folder / "browser.log"
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                ["node", str(HERE / "browser.mjs")], text=True, stderr=log,
                env=clean_env(HOME=str(folder), TMPDIR=str(folder), MODULES=str(CACHE / "js")),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.answers = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.answers.put(json.loads(line))
        self.answers.put({"error": "the browser ended"})

    def do(self, step, timeout=90, **more):
        """One step; what it answers."""
        self.process.stdin.write(json.dumps(dict(more, do=step, timeout_ms=timeout * 1000)) + "\n")
        self.process.stdin.flush()
        answer = self.answers.get(timeout=timeout + 30)
        assert "error" not in answer, (step, answer, self.log.read_text()[-2000:])
        return answer

    def shot(self, name):
        folder = pathlib.Path(os.environ["REAL_SHOTS"])
        folder.mkdir(parents=True, exist_ok=True)
        self.do("shot", path=str(folder / (name + ".png")))

    def stop(self):
        try:
            self.process.stdin.close()
            self.process.wait(20)
        except (OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait(10)
