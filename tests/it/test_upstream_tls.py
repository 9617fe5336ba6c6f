"""TLS to replicas: always verified, never left out, and otherwise like any replica (S-216)."""

import pathlib
import shutil
import ssl
import time

import pytest

import h1
import pki
from harness import chat, wait_for
from relay import Relay


class Herd:
    """Certificates of replicas and of corral as their client."""

    def __init__(self, folder):
        self.folder = folder
        self.make = pki.Maker(folder)
        self.root = self.make.authority("replica root")
        self.other = self.make.authority("another root")
        self.good = self.replica("good", dns=["gpu.test"], ip=["127.0.0.1"])
        self.corral = self.make.issue("corral", self.root, dns=["corral.test"])

    def replica(self, name, issuer=None, **kwargs):
        return self.make.issue(name, issuer or self.root, **dict(dict(usage=("server",)), **kwargs))

    def door(self, issued, clients=False):
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.set_ciphers("DEFAULT:@SECLEVEL=0")
        made.load_cert_chain(*issued.pair)
        if clients:
            made.verify_mode = ssl.CERT_REQUIRED
            made.load_verify_locations(self.root.chain)
        return made


@pytest.fixture(scope="module")
def herd(tmp_path_factory):
    return Herd(tmp_path_factory.mktemp("herd"))


@pytest.fixture
def sim(stable):
    return stable.sim("--tokens-per-s", "0", "--slots", "8").warm()


@pytest.fixture
def relay(sim, herd):
    made = Relay(sim.address, tls=herd.door(herd.good))
    yield made
    made.close()


def config_of(make_config, herd, relay, host="127.0.0.1", slots=8, tls=(), **more):
    settings = {"ca_file": herd.root.chain}
    settings.update(dict(tls))
    more.setdefault("queue", {"replica_grace_s": 0})
    return make_config([], replicas=[{"url": "https://%s:%d" % (host, relay.port), "slots": slots,
                                      "tls": {k: v for k, v in settings.items() if v}}], **more)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_streams_bodies_and_polls_pass(stable, sim, relay, herd, make_config, version):
    relay.tls.minimum_version = relay.tls.maximum_version = version
    corral = stable.serve(config_of(make_config, herd, relay, workers=1))
    accepted = relay.accepted
    for _ in range(20):
        answer = corral.post("/api/chat", chat(tokens=50))
        assert (answer.status, answer.end, len(answer.lines)) == (200, "whole", 51)
    assert relay.accepted <= accepted + 2  # kept alive
    body = chat(tokens=200)
    body["messages"][0]["content"] = "a" * 6000000
    answer = corral.post("/api/chat", body)
    assert (answer.status, answer.end) == (200, "whole")
    assert int(sim.last("/api/chat")[1]["content-length"][0]) > 6000000
    assert corral.get("/api/tags").json["models"]
    assert sim.last("/api/chat")[1]["host"] == ["localhost:%d" % relay.port]


def test_a_client_that_leaves_ends_the_request(stable, sim, relay, herd, make_config):
    corral = stable.serve(config_of(make_config, herd, relay))
    client = corral.open_chat(tokens=50000000)
    client.until(b'"done":false')
    client.close()
    wait_for(lambda: sim.stat("aborted") >= 1, 3, "the abort")
    corral.wait_idle()


def test_a_slow_client_holds_the_replica_back(stable, sim, relay, herd, make_config):
    corral = stable.serve(config_of(make_config, herd, relay))
    with corral.client(rcvbuf=4096, timeout=30) as client:
        client.send(corral.chat_bytes(tokens=20000))
        client.until(b'"done":false')
        before = corral.rss()
        wait_for(lambda: corral.slots_taken() == 1, 2, "the stream")
        answer_bytes = 0
        while b'"done":true' not in client.data:
            answer_bytes += len(client.data)
            client.data = client.data[-20:]
            assert client.fill(wait_deadline())
    assert answer_bytes > 1000000
    assert corral.rss() - before < 30 << 20


def wait_deadline():
    return time.monotonic() + 20


def test_the_name_may_be_given(stable, sim, relay, herd, make_config):
    """The certificate has no 127.0.0.2 in it; server_name says what it must have."""
    relay.tls = herd.door(herd.replica("by-name", dns=["gpu.test", "*.pool.test"]))
    relay.tls.sni_callback = lambda sock, name, context: relay.names.append(name)
    corral = stable.serve(config_of(make_config, herd, relay, tls={"server_name": "gpu.test"}))
    assert corral.post("/api/chat", chat()).status == 200
    assert set(relay.names) == {"gpu.test"}
    config = config_of(make_config, herd, relay, tls={"server_name": "a.pool.test"})
    assert stable.serve(config).post("/api/chat", chat()).status == 200


def test_corral_shows_its_certificate(stable, sim, relay, herd, make_config):
    relay.tls = herd.door(herd.good, clients=True)
    corral = stable.serve(config_of(make_config, herd, relay, tls={
        "certificate": herd.corral.chain, "key": herd.corral.secret}))
    assert corral.post("/api/chat", chat()).status == 200
    assert relay.peers[-1]["subjectAltName"] == (("DNS", "corral.test"),)


def old_version(herd):
    made = herd.door(herd.good)
    made.minimum_version = ssl.TLSVersion.TLSv1
    made.maximum_version = ssl.TLSVersion.TLSv1
    return made


# S-216: name -> (the replica's door, corral's settings, what the log says)
BAD = {
    "name": (lambda h: h.door(h.replica("wrong", dns=["other.test"])), {}, "IP address mismatch"),
    "server-name": (lambda h: h.door(h.good), {"server_name": "x.test"}, "hostname mismatch"),
    "wildcard-too-wide": (lambda h: h.door(h.replica("wide", dns=["*.test"])),
                          {"server_name": "a.b.test"}, "hostname mismatch"),
    "common-name": (lambda h: h.door(h.make.issue("gpu.test", h.root, usage=("server",))),
                    {"server_name": "gpu.test"}, "hostname mismatch"),
    "expired": (lambda h: h.door(h.replica("old", ip=["127.0.0.1"], valid=(-48, -1))), {}, "expired"),
    "authority": (lambda h: h.door(h.replica("alien", h.other, ip=["127.0.0.1"])), {},
                  "unable to get"),
    "not-the-system-s": (lambda h: h.door(h.good), {"ca_file": None}, "unable to get"),
    "self-signed": (lambda h: h.door(h.make.issue("self", ip=["127.0.0.1"], usage=("server",))), {},
                    "self-signed"),
    "usage": (lambda h: h.door(h.make.issue("client", h.root, ip=["127.0.0.1"])), {}, "purpose"),
    "weak": (lambda h: h.door(h.replica("weak", ip=["127.0.0.1"], kind="rsa1024")), {}, "too weak"),
    "version": (old_version, {}, "protocol"),
    "plain": (lambda h: None, {}, ""),
    "wants-a-certificate": (lambda h: h.door(h.good, clients=True), {}, "certificate required"),
}


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
@pytest.mark.parametrize("case", sorted(BAD))
def test_s216_a_bad_replica_is_not_spoken_to(stable, herd, make_config, case):
    door, settings, says = BAD[case]
    sim = stable.sim()
    relay = Relay(sim.address, tls=door(herd))
    corral = stable.serve(config_of(make_config, herd, relay, tls=settings), wait=False)
    line = wait_for(lambda: corral.logged("replica.unreachable"), 8, "a line about it")[0]
    assert line["reason"] == "tls_failed", line
    assert says in line["detail"], line
    assert corral.post("/api/chat", chat()).status == 503
    assert h1.ask(corral.health, h1.get("/readyz")).status == 503
    assert sum(sim.stats()["requests"].values()) == 0
    relay.close()


@pytest.mark.parametrize("case", ["name", "expired", "authority"])
def test_s216_a_replica_that_turns_bad_is_a_502(stable, sim, relay, herd, make_config, case):
    corral = stable.serve(config_of(make_config, herd, relay))
    posts = sim.posts()
    # The poller's connection lives on, so that the next request is the one that finds out.
    relay.tls = BAD[case][0](herd)
    answer = corral.post("/api/chat", chat())
    assert answer.status == 502
    assert corral.access(answer.field("X-Request-Id"))["reason"] == "tls_failed"
    assert corral.metrics().sum("corral_upstream_failures_total", reason="tls_failed") == 1
    assert sim.posts() == posts
    relay.cut()
    line = wait_for(lambda: [x for x in corral.logged("replica.unreachable") +
                             corral.logged("replica.down") if x["reason"] == "tls_failed"],
                    8, "the poller to see it")[0]
    assert BAD[case][2] in line["detail"]
    assert corral.post("/api/chat", chat()).status == 503
    relay.tls = herd.door(herd.good)
    wait_for(lambda: corral.post("/api/chat", chat()).status == 200, 8, "a good certificate")


def test_a_slow_handshake_may_take_connect_ms(stable, sim, herd, make_config):
    """Polls wait as long as requests do: a replica that takes longer than the default is usable where it says so."""
    class Slow(ssl.SSLContext):
        def wrap_socket(self, *args, **kwargs):
            time.sleep(2.6)
            return super().wrap_socket(*args, **kwargs)
    made = Slow(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(*herd.good.pair)
    slow = Relay(sim.address, tls=made)
    corral = stable.serve(config_of(make_config, herd, slow, timeouts={"connect_ms": 4500}), wait=False)
    corral.wait_ready()
    assert corral.post("/api/chat", chat()).status == 200
    slow.close()


def test_files_are_read_again(stable, sim, relay, herd, make_config, tmp_path):
    """Another authority, and another certificate of ours, without a restart."""
    files = {name: tmp_path / name for name in ("ca", "chain", "key")}
    shutil.copy(herd.root.chain, files["ca"])
    shutil.copy(herd.corral.chain, files["chain"])
    shutil.copy(herd.corral.secret, files["key"])
    relay.tls = herd.door(herd.good, clients=True)
    corral = stable.serve(config_of(make_config, herd, relay, tls={
        "ca_file": str(files["ca"]), "certificate": str(files["chain"]), "key": str(files["key"])}))
    assert corral.post("/api/chat", chat()).status == 200
    relay.tls = herd.door(herd.replica("moved", herd.other, ip=["127.0.0.1"]), clients=True)
    relay.cut()
    wait_for(lambda: corral.logged("replica.down"), 5, "the loss")
    renewed = herd.make.issue("renewed", herd.root, dns=["renewed.test"])
    shutil.copy(renewed.chain, files["chain"])
    shutil.copy(renewed.secret, files["key"])
    shutil.copy(herd.other.chain, files["ca"])
    wait_for(lambda: corral.post("/api/chat", chat()).status == 200, 8, "the new files")
    assert relay.peers[-1]["subjectAltName"] == (("DNS", "renewed.test"),)


@pytest.mark.parametrize("tls", [{"server_name": "x.test"}, {"ca_file": "other"}])
def test_connections_from_before_are_not_used_under_new_rules(stable, sim, relay, herd, make_config,
                                                              tls):
    config = config_of(make_config, herd, relay, workers=1)
    corral = stable.serve(config)
    assert corral.post("/api/chat", chat()).status == 200  # and its connection is kept
    settings = {"ca_file": herd.root.chain, **tls}
    settings["ca_file"] = herd.other.chain if settings["ca_file"] == "other" else settings["ca_file"]
    config["replicas"][0]["tls"] = settings
    corral.reload(config)
    wait_for(lambda: corral.post("/api/chat", chat()).status in (502, 503), 5, "the new rules")
    posts = sim.posts()
    assert all(corral.post("/api/chat", chat()).status in (502, 503) for _ in range(10))
    assert sim.posts() == posts


@pytest.mark.parametrize("name,says", [("ca_file", "holds no PEM certificate"),
                                       ("certificate", "holds no PEM certificate"),
                                       ("key", "is not the key of"), ("missing", "No such file")])
def test_useless_files_stop_the_start(stable, herd, make_config, tmp_path, name, says):
    junk = tmp_path / "junk"
    junk.write_text("junk")
    tls = {"certificate": herd.corral.chain, "key": herd.corral.secret}
    tls[name if name != "missing" else "ca_file"] = str(junk)
    if name == "missing":
        junk.unlink()
    if name == "key":
        shutil.copy(herd.good.secret, junk)
    fake = type("Fake", (), {"port": 9})
    corral = stable.serve(config_of(make_config, herd, fake, tls=tls), wait=False)
    corral.exit_expected = 1
    assert corral.wait_exit() == 1
    assert says in corral.text() and str(pathlib.Path(junk)) in corral.text()
