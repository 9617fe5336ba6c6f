"""Fixtures of the tier --real. REAL_CACHE and REAL_OLLAMA say where tests/real/prepare put things."""

import pathlib
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "it"))

import harness  # noqa: E402 pylint: disable=wrong-import-position
import stand  # noqa: E402 pylint: disable=wrong-import-position

TENANTS = {
    "full": {},
    "narrow": {"verbs": ["chat", "list"], "models": ["tiny*"]},  # one verb, one model
    "elsewhere": {"models": ["embed*"]},  # all verbs, but not the model that chats
    "nochat": {"verbs": ["list"]},
    "webui": {},
    "limited": {"limits": [{"name": "rpm", "requests": 1, "window_s": 8}]},
    "budget": {"limits": [{"name": "daily", "tokens": 60, "calendar": "day"}]},
}


class Gateway:
    """corral over TLS in front of replicas, with what its callers need to know."""

    def __init__(self, folder, replicas, slots=1, tenants=None, **more):
        folder.mkdir(parents=True, exist_ok=True)
        self.tenants = tenants or TENANTS
        self.authority = stand.Authority(folder)
        self.tokens = stand.Tokens(folder)
        self.keyfile = harness.KeyFile(folder, self.tenants)
        self.keys = self.keyfile.keys
        self.port, self.plain = harness.free_port(), harness.free_port()
        self.config = dict({
            "listeners": [{"address": "127.0.0.1:%d" % self.port, "tls": True},
                          {"address": "127.0.0.1:%d" % self.plain,
                           "protocols": ["h2", "http/1.1"]}],
            "workers": 2,
            "tls": {"certificates": [{"chain": str(self.authority.chain),
                                      "key": str(self.authority.key)}]},
            "api_keys_file": self.keyfile.only(self.tenants),
            "issuers": [self.tokens.issuer],
            "tenants": [dict(settings, name=name) for name, settings in self.tenants.items()],
            "replicas": [{"url": replica.url, "slots": slots} for replica in replicas],
            "health": {"address": "127.0.0.1:%d" % harness.free_port()},
            "metrics": {"address": "127.0.0.1:%d" % harness.free_port()},
            "limits": {"auth_failures_per_10s": 100000, "connections_per_address": 1024},
        }, **more)
        self.url = "https://127.0.0.1:%d" % self.port
        self.plain_url = "http://127.0.0.1:%d" % self.plain
        self.corral = harness.Corral(folder / "corral", self.keys, self.config)

    def set_tenant(self, name, **settings):
        """Reload with other rights for one tenant."""
        config = dict(self.config, tenants=[
            dict(settings if name == own else self.tenants[own], name=own) for own in self.tenants])
        self.corral.reload(config)

    def client(self, timeout=30.0, protocol="h1"):
        return stand.WIRES[protocol].Client(self.corral.address, timeout, name="localhost",
                                            tls=self.authority.context())

    def ask(self, data, timeout=60.0, protocol="h1"):
        with self.client(timeout, protocol) as client:
            return client.send(data).answer()

    def heard(self, work, count):
        """What `work` returns, and the access lines of its requests: at least `count`."""
        time.sleep(0.2)  # the log's last lines
        before = len(self.corral.logged("access"))
        result = work()
        harness.wait_for(lambda: len(self.corral.logged("access")) >= before + count, 5,
                         "%d access lines" % count)
        time.sleep(0.2)
        return result, self.corral.logged("access")[before:]


@pytest.fixture(scope="session")
def ollama():
    """One real Ollama, one slot, for all tests that do not harm it."""
    server = stand.Ollama()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def gateway(tmp_path_factory, ollama):
    made = Gateway(tmp_path_factory.mktemp("gateway"), [ollama])
    yield made
    made.corral.finish()


@pytest.fixture(scope="session")
def make_gateway(tmp_path_factory):
    return lambda *args, **more: Gateway(tmp_path_factory.mktemp("gateway"), *args, **more)
