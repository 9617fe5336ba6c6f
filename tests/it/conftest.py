"""Fixtures: gateways and sims. CORRAL, OLLAMA_SIM and SIM_LOAD name the built programs.

The everyday tests take minutes; those marked `long` run with CORRAL_LONG=1.
"""

import copy
import os
import signal
import sys
import threading

import pytest

import harness

LONG = os.environ.get("CORRAL_LONG") == "1"
CASE_LIMIT_S = int(os.environ.get("CORRAL_CASE_S", 3600 if LONG else 240))

TENANTS = {
    "acme": {},
    "beta": {},
    "chatonly": {"verbs": ["chat"], "models": ["tiny*"]},
    "lister": {"verbs": ["list"], "models": ["embed*"]},
}


def pytest_configure(config):
    config.addinivalue_line("markers", "long: takes many minutes; runs with CORRAL_LONG=1")
    config.addinivalue_line("markers", "http1: about HTTP/1.1 alone; not with CORRAL_PROTOCOL=h2")
    config.addinivalue_line("markers", "http2: only with CORRAL_PROTOCOL=h2")


def pytest_collection_modifyitems(config, items):
    """What does not belong to this run is not chosen; it is not skipped, which is a word for what is missing."""
    away = {"http1" if harness.PROTOCOL == "h2" else "http2"}
    if not LONG:
        away.add("long")
    left = [item for item in items if away & set(item.keywords)]
    items[:] = [item for item in items if not away & set(item.keywords)]
    config.hook.pytest_deselected(items=left)


def pytest_sessionfinish(session, exitstatus):
    session.config.corral_status = int(exitstatus)


def pytest_unconfigure(config):
    """The reports are written: a thread that a failed case left waiting does not hold up the end."""
    left = [t for t in threading.enumerate() if not t.daemon and t is not threading.main_thread()]
    if left:
        print("\nleft waiting: %s" % ", ".join(t.name for t in left), flush=True)
        sys.stderr.flush()
        os._exit(config.corral_status)


class TookTooLong(Exception):
    """A case ran into its limit."""


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    """A case that hangs fails, its fixtures are ended, and the next one runs."""
    def ring(*_):
        raise TookTooLong("%s ran for more than %d s" % (item.name, CASE_LIMIT_S))
    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(CASE_LIMIT_S)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="session")
def keyfile(tmp_path_factory):
    """One key for each tenant of these tests."""
    return harness.KeyFile(tmp_path_factory.mktemp("keys"), TENANTS)


@pytest.fixture(scope="session")
def make_config(keyfile):
    """make_config(sims, tenants={...}, **top-level keys) -> a configuration as a dict."""

    def make(sims, tenants=None, slots=1, protocols=("h2", "http/1.1"), **more):
        tenants = TENANTS if tenants is None else tenants
        config = {
            "listeners": [{"address": "127.0.0.1:%d" % harness.free_port(),
                           "protocols": list(protocols)}],
            "workers": 2,
            "api_keys_file": keyfile.only(tenants),
            "tenants": [dict(settings, name=name) for name, settings in tenants.items()],
            "replicas": [{"url": sim.url, "slots": slots} for sim in sims],
            "log": {"refusals_per_10s": 1000000},
            # Tests begin when the replicas were found; what is the default has cases of its own.
            "health": {"address": "127.0.0.1:%d" % harness.free_port(), "ready_without_replicas": False},
            "metrics": {"address": "127.0.0.1:%d" % harness.free_port()},
            "limits": {"connections_per_address": 4096, "connections_per_trusted_address": 4096,
                       "connections_per_known_address": 4096,
                       "auth_failures_per_10s": 1000000},
        }
        for name, value in more.items():
            if isinstance(value, dict) and isinstance(config.get(name), dict):
                config[name] = {**config[name], **value}
            else:
                config[name] = copy.deepcopy(value)
        return config

    return make


class Stable:
    """What a test started; ended and judged after it."""

    def __init__(self, folder, keys, make_config):
        self.folder, self.keys, self.make_config = folder, keys, make_config
        self.sims, self.corrals = [], []

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.finish()

    def sim(self, *args, **kwargs):
        self.sims.append(harness.Sim(*args, **kwargs))
        return self.sims[-1]

    def serve(self, config, **kwargs):
        folder = self.folder / ("corral-%d" % len(self.corrals))
        self.corrals.append(harness.Corral(folder, self.keys, config, **kwargs))
        return self.corrals[-1]

    def corral(self, *sims, wait=True, preexec=None, **settings):
        return self.serve(self.make_config(sims, **settings), wait=wait, preexec=preexec)

    def finish(self):
        errors = []
        for corral in self.corrals:
            try:
                corral.finish()
            except AssertionError as error:
                errors.append(error)
        for sim in self.sims:
            sim.close()
        if errors:
            raise errors[0]


@pytest.fixture
def stable(tmp_path, keyfile, make_config):
    with Stable(tmp_path, keyfile.keys, make_config) as made:
        yield made


@pytest.fixture(scope="module")
def shared(tmp_path_factory, keyfile, make_config):
    """(corral, sim) for all tests of a module that change nothing for the next."""
    with Stable(tmp_path_factory.mktemp("shared"), keyfile.keys, make_config) as made:
        sim = made.sim("--slots", "8", "--tokens-per-s", "0", "--models",
                       "tiny:268.10M,embed:22.57M,other:1B").warm("tiny", "embed")
        yield made.corral(sim, slots=8), sim


@pytest.fixture
def sim_load():
    return harness.program("SIM_LOAD")
