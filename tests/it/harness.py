"""The programs under test, each started on ports of its own and ended by its own process id."""

import itertools
import json
import os
import pathlib
import random
import re
import resource
import signal
import socket
import subprocess
import threading
import time

import h1
import h2

# The same tests over both protocols: what a client of corral speaks here.
PROTOCOL = os.environ.get("CORRAL_PROTOCOL", "h1")
wire = {"h1": h1, "h2": h2}[PROTOCOL]

SANITIZER = re.compile(r"Sanitizer|runtime error:|Assertion .* failed")
RUNNING_SLOTS = ("busy", "draining")


def release():
    """The binary as it is shipped, with its sandbox; where none was built, the one without sanitizers."""
    return os.environ.get("CORRAL_RELEASE") or program("CORRAL_PLAIN")


def program(variable):
    path = os.environ.get(variable, "")
    assert os.access(path, os.X_OK), "%s must name the built program" % variable
    return path


def patience():
    """How much longer things may take while others use this machine: 1 on a quiet one, 4 at most."""
    return min(4.0, max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1) / 2))


def is_boxed():
    """Whether CORRAL closes its sandbox: sanitizer builds do not. A port or folder that is new at a reload is then
    refused until a restart."""
    return not re.search("build-(asan|tsan)/", os.environ["CORRAL"])


def wait_for(condition, timeout=5.0, what="the condition"):
    """Poll until it holds; its last value. Bounded, so a test fails instead of hanging."""
    began = time.monotonic()
    while True:
        value = condition()
        if value:
            return value
        past = time.monotonic() - began
        assert past < timeout * patience(), "waited %.1f s in vain for %s" % (past, what)
        time.sleep(0.01)


def in_the_background(count, function):
    """Run function(i) in `count` threads. Call the result to join them: the results, or the first exception."""
    results, errors = [None] * count, []

    def work(i):
        try:
            results[i] = function(i)
        except BaseException as error:  # pylint: disable=broad-except
            errors.append(error)

    threads = [threading.Thread(target=work, args=(i,), daemon=True) for i in range(count)]
    for thread in threads:
        thread.start()

    def join(timeout=120):
        for thread in threads:
            thread.join(timeout)
        if errors:
            raise errors[0]
        return results
    return join


def together(count, function):
    """The same, joined at once."""
    return in_the_background(count, function)()


_ports = None


def free_port():
    """A port below the ephemeral range, so that no outgoing connection takes it meanwhile. CORRAL_PORTS=FROM-TO: of
    these, so that two runs at once do not take each other's. In turn, so that none is given out twice in a row."""
    global _ports  # pylint: disable=global-statement
    if _ports is None:
        first, last = map(int, os.environ.get("CORRAL_PORTS", "18000-32000").split("-"))
        own = range(first, last)
        begin = random.SystemRandom().randrange(len(own))
        _ports = itertools.cycle([*own[begin:], *own[:begin]])
    for port in itertools.islice(_ports, 1000):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # old connections of it do not matter
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise AssertionError("no free port")


def chat(model="tiny", tokens=4, **more):
    body = {"model": model, "messages": [{"role": "user", "content": "hello there"}],
            "options": {"num_predict": tokens}}
    body.update(more)
    return body


class Sim:
    """A running ollama-sim."""

    def __init__(self, *args, port=None):
        """On `port`, or on one of this run: of those that the kernel gives, another run's sim could soon get that of one
        which was killed."""
        for _ in range(1 if port else 5):
            chosen = port or free_port()
            self.process = subprocess.Popen(
                [program("OLLAMA_SIM"), "--port", str(chosen), *args], stdout=subprocess.PIPE, text=True)
            line = self.process.stdout.readline().split()
            if line:
                break
            self.process.stdout.close()
            self.process.wait(10)
        assert line, "ollama-sim did not start"
        self.port = int(line[-1].rsplit(":", 1)[1])
        self.address = ("127.0.0.1", self.port)
        self.url = "http://127.0.0.1:%d" % self.port
        self.replica = "127.0.0.1:%d" % self.port

    def ask(self, data, **kwargs):
        return h1.ask(self.address, data, **kwargs)

    def config(self, **members):
        answer = self.ask(h1.post("/sim/config", members))
        assert answer.status == 200, answer
        return self

    def fault(self, name, **fields):
        """Replace the list of faults by this one."""
        return self.config(faults=[dict(fields, name=name)])

    def stats(self):
        return self.ask(h1.get("/sim/stats")).json

    def stat(self, name):
        return self.stats()[name]

    def posts(self):
        """Requests seen but those of a poller and of these tests."""
        return sum(count for route, count in self.stats()["requests"].items()
                   if route.startswith("POST /api") or route.startswith("POST /v1"))

    def last(self, route=None):
        """The last request of a route: (request line, {lower-case name: [values]}, body)."""
        path = "/sim/last" + ("?route=" + route if route else "")
        head, _, body = self.ask(h1.get(path)).body.partition(b"\r\n\r\n")
        first, *rest = head.decode("latin-1").split("\r\n")
        fields = {}
        for line in rest:
            name, _, value = line.partition(":")
            fields.setdefault(name.lower(), []).append(value.strip())
        return first, fields, body

    def warm(self, *models):
        """Load models, so that no request is the cold one."""
        for model in models or ("tiny",):
            path = "/api/embed" if "embed" in model else "/api/generate"
            assert self.ask(h1.post(path, {"model": model, "input": "x"})).status == 200
        return self

    def kill(self):
        self.process.kill()
        self.process.wait(10)

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(10)
        self.process.stdout.close()


class KeyFile:
    """API keys for tenants, made once by `corral key create` and used by every gateway."""

    def __init__(self, folder, tenants):
        self.folder = pathlib.Path(folder)
        self.keys = {}
        for tenant in tenants:
            done = subprocess.run(
                [program("CORRAL"), "key", "create", "--file", str(self.folder / "all"),
                 "--tenant", tenant], capture_output=True, text=True, timeout=30, check=False)
            assert done.returncode == 0, done.stderr
            self.keys[tenant] = re.fullmatch(r"(ck_[A-Za-z0-9_-]{43})\n", done.stdout).group(1)

    def only(self, tenants):
        """A file with the keys of these tenants; a key of an unknown one would be skipped, with a warning."""
        path = self.folder / "-".join(sorted(tenants))
        head, *lines = (self.folder / "all").read_text().splitlines(keepends=True)
        kept = [line for line in lines if json.loads(line)["tenant"] in tenants]
        path.write_text(head + "".join(kept))
        path.chmod(0o600)
        return str(path)


class Metrics:
    """A scrape: series by name and labels."""

    LINE = re.compile(r'^([a-z0-9_]+)(?:\{(.*)\})? ([0-9.eE+-]+)$')
    LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')

    def __init__(self, text):
        self.text = text
        self.series = []
        for line in text.splitlines():
            if line and not line.startswith("#"):
                found = self.LINE.match(line)
                assert found, "not a series: " + line
                labels = dict(self.LABEL.findall(found.group(2) or ""))
                self.series.append((found.group(1), labels, float(found.group(3))))

    def sum(self, name, **labels):
        return sum(value for series, own, value in self.series if series == name and
                   all(own.get(key) == wanted for key, wanted in labels.items()))


class Corral:
    """A gateway process with its configuration in a folder of its own."""

    def __init__(self, folder, keys, config, wait=True, preexec=None, env=None, stderr=None):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.keys = keys
        self.file = self.folder / "corral.yaml"
        self.log = self.folder / "stderr.log"
        self.file.write_text(json.dumps(config, indent=1))
        self.config = config
        self.exit_expected = 0
        self.address = self._host_port(config["listeners"][0]["address"])
        self.health = self._host_port(config["health"]["address"])
        self.metrics_address = self._host_port(config["metrics"]["address"])
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([program("CORRAL"), "serve", str(self.file)],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=stderr or log,
                                            preexec_fn=preexec, env=env)
        if wait:
            self.wait_ready()

    @staticmethod
    def _host_port(text):
        if text.startswith("unix:"):
            return text[5:]
        host, _, port = text.rpartition(":")
        return (host, int(port))

    def wait_ready(self, timeout=15.0):
        def ready():
            assert self.process.poll() is None, "corral ended: " + self.text()[-3000:]
            try:
                return h1.ask(self.health, h1.get("/readyz"), timeout=2).status == 200
            except OSError:
                return False
        wait_for(ready, timeout, "readiness: " + self.text()[-1000:])
        return self

    # ---- asking ----

    def key(self, tenant="acme"):
        return self.keys[tenant] if tenant else None

    def client(self, **kwargs):
        return wire.Client(self.address, **kwargs)

    def ask(self, data, **kwargs):
        return wire.ask(self.address, data, **kwargs)

    def post(self, path, body, tenant="acme", headers=(), **kwargs):
        return self.ask(h1.post(path, body, self.key(tenant), headers), **kwargs)

    def get(self, path, tenant="acme", method="GET", headers=(), **kwargs):
        return self.ask(h1.get(path, self.key(tenant), headers, method), **kwargs)

    def chat_bytes(self, tenant="acme", path="/api/chat", **kwargs):
        return h1.post(path, chat(**kwargs), self.key(tenant))

    def open_chat(self, tenant="acme", timeout=10.0, **kwargs):
        """A connection on which a chat was sent; the caller closes it."""
        return self.client(timeout=timeout).send(self.chat_bytes(tenant, **kwargs))

    # ---- looking ----

    def refuses_connections(self):
        try:
            self.client(timeout=1).close()
            return False
        except OSError:
            return True

    def text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def logged(self, event=None):
        """Whole JSON lines of the log. The thread that writes it comes by every 50 ms."""
        found = self._logged(event)
        if event and not found:
            time.sleep(0.2)
            found = self._logged(event)
        return found

    def _logged(self, event, mark=""):
        """Lines with `mark` only; the others are not parsed, which in a long log takes longest."""
        quoted = '"event":"%s"' % event if event else ""
        lines = [json.loads(line) for line in self.text().splitlines(keepends=True)
                 if line.startswith("{") and line.endswith("}\n") and mark in line and quoted in line]
        return [line for line in lines if event is None or line["event"] == event]

    def access(self, request_id, timeout=3.0):
        """The one access line of a request."""
        def found():
            return [x for x in self._logged("access", request_id) if x["request_id"] == request_id]
        lines = wait_for(found, timeout, "an access line of " + request_id)
        assert len(lines) == 1, lines
        return lines[0]

    def metrics(self):
        answer = h1.ask(self.metrics_address, h1.get("/metrics"), timeout=10)
        assert answer.status == 200, answer
        return Metrics(answer.body.decode())

    def slots_taken(self):
        now = self.metrics()
        return sum(now.sum("corral_slots", state=state) for state in RUNNING_SLOTS)

    def waiting(self):
        return self.metrics().sum("corral_queue_waiting")

    def wait_idle(self, timeout=5.0):
        """Every slot and every place in the queue has been given back."""
        wait_for(lambda: self.slots_taken() == 0 and self.waiting() == 0, timeout, "idle slots")

    def fds(self):
        return len(os.listdir("/proc/%d/fd" % self.process.pid))

    def rss(self):
        """Resident bytes."""
        with open("/proc/%d/statm" % self.process.pid, encoding="ascii") as statm:
            return int(statm.read().split()[1]) * resource.getpagesize()

    # ---- changing and ending ----

    def write(self, config):
        """Replace the configuration file, not yet read."""
        fresh = self.folder / "fresh.yaml"
        fresh.write_text(config if isinstance(config, str) else json.dumps(config, indent=1))
        fresh.rename(self.file)

    def signal(self, number):
        self.process.send_signal(number)

    def reloads(self, result):
        return self.metrics().sum("corral_reloads_total", result=result)

    def reload(self, config=None, result="ok"):
        """SIGHUP, and wait until it has been counted."""
        if config is not None:
            self.write(config)
        before = self.reloads(result)
        self.signal(signal.SIGHUP)
        wait_for(lambda: self.reloads(result) > before, 5, "a reload that is " + result)

    def wait_exit(self, timeout=15.0):
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError("corral did not end: " + self.text()[-2000:]) from None

    def stop(self, timeout=20.0):
        """SIGTERM, and the exit status."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        return self.wait_exit(timeout)

    def finish(self):
        """End, and fail on whatever a sanitizer or an assertion said, and on a wrong exit."""
        try:
            status = self.stop()
        except AssertionError:
            self.process.kill()
            self.process.wait(10)
            raise
        text = self.text()
        found = SANITIZER.search(text)
        assert not found, text[max(0, found.start() - 500):found.start() + 4000]
        assert status == self.exit_expected, (status, text[-3000:])
