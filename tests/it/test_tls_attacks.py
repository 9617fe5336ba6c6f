"""TLS towards clients under attack: hellos of every kind, floods, stalls, bad files, expiry."""

import datetime
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time

import pytest

import h1
import hello
import pki
from conftest import Stable
from harness import chat, together, wait_for


class Site:
    def __init__(self, folder):
        self.folder, self.make = folder, pki.Maker(folder)
        self.root = self.make.authority("root")
        self.ecdsa, self.rsa = self.leaf("ecdsa"), self.leaf("rsa", kind="rsa")

    def leaf(self, name, **kwargs):
        settings = dict(dns=["localhost"], ip=["127.0.0.1"], usage=("server",))
        return self.make.issue(name, self.root, **dict(settings, **kwargs))

    def context(self, **kwargs):
        return ssl.create_default_context(cafile=self.root.chain, **kwargs)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return Site(tmp_path_factory.mktemp("site"))


def config_of(make_config, sims, *issued, **more):
    pairs = [{"chain": one.chain, "key": one.secret} for one in issued]
    config = make_config(sims, tls={"certificates": pairs}, **more)
    config["listeners"][0]["tls"] = True
    return config


@pytest.fixture(scope="module")
def secure(tmp_path_factory, keyfile, make_config, site):
    with Stable(tmp_path_factory.mktemp("attacked"), keyfile.keys, make_config) as made:
        sim = made.sim("--tokens-per-s", "0", "--slots", "8").warm()
        corral = made.serve(config_of(make_config, [sim], site.ecdsa, site.rsa, slots=8))
        yield corral
        # Whatever was done to it, it serves.
        assert corral.post("/api/chat", chat(), tls=site.context(), name="localhost").status == 200
        wait_for(lambda: corral.metrics().sum("corral_open_connections") == 0, 8, "no leak")


def first(corral, handshake, **kwargs):
    return hello.ask(corral.address, hello.record(handshake, **kwargs))


# ---- S-186 to S-189: versions, suites, groups ----

@pytest.mark.parametrize("version", [0x0300, 0x0301, 0x0302])
def test_s186_old_versions_get_the_alert(secure, version):
    reply = first(secure, hello.hello12(hello.TLS12_GOOD + [0x002f, 0xc013, 0xc009], version=version))
    # Of SSL 3 OpenSSL knows nothing any more, not even its number.
    assert reply.alert == ("protocol_version" if version > 0x0300 else "handshake_failure")
    reply = first(secure, hello.hello(hello.TLS12_GOOD, hello.usual() + [hello.versions(version)]))
    assert reply.alert == "protocol_version"


def test_s186_a_hello_of_ssl_2_is_no_hello(secure):
    body = b"\1\0\2" + hello.u16(9) + hello.u16(0) + hello.u16(16) + b"\1\0\x80\7\0\xc0\0\0\x2f"
    data = hello.u16(0x8000 | (len(body) + 16)) + body + os.urandom(16)
    assert hello.ask(secure.address, data).cipher is None


OLD_SUITES = {
    "cbc": [0xc009, 0xc00a, 0xc013, 0xc014, 0xc023, 0xc024, 0xc027, 0xc028],
    "rsa-exchange": [0x002f, 0x0035, 0x003c, 0x003d, 0x009c, 0x009d],
    "3des": [0x000a, 0xc008, 0xc012], "rc4": [0x0004, 0x0005, 0xc007, 0xc011],
    "null": [0x0000, 0x0001, 0x0002, 0x003b, 0xc006, 0xc010], "export": [0x0003, 0x0006, 0x0008],
    "dhe": [0x009e, 0x009f, 0xccaa, 0x0033, 0x0039, 0x0067, 0x006b],
    "anonymous": [0x0018, 0x0034, 0xc018, 0xc019], "psk": [0x00a8, 0xccab, 0xd001],
    "ccm": [0xc0ac, 0xc0ad, 0xc0ae, 0xc09c], "camellia-aria": [0xc072, 0xc05c, 0xc060],
    "none": [0x00ff], "reserved": [0x0a0a, 0xfafa, 0xffff],
}


@pytest.mark.parametrize("kind", sorted(OLD_SUITES))
def test_s187_only_the_six_suites_of_tls_1_2(secure, kind):
    assert first(secure, hello.hello12(OLD_SUITES[kind])).alert == "handshake_failure"


def test_s187_the_six_suites_work(secure):
    for suite in hello.TLS12_GOOD:
        reply = first(secure, hello.hello12(OLD_SUITES["cbc"] + [suite]))
        assert (reply.version, reply.cipher, reply.compression) == (0x0303, suite, 0)


def test_s188_the_three_suites_of_tls_1_3_and_no_other(secure):
    for suite in hello.TLS13:
        reply = first(secure, hello.hello13([suite]))
        assert (reply.version, reply.cipher) == (0x0304, suite)
    for suites in ([0x1304], [0x1305], [0x1306, 0x13ff], [0x00c6]):
        assert first(secure, hello.hello13(suites)).alert == "handshake_failure"


def test_s189_groups(secure):
    for group in (0x1d, 0x17, 0x18):
        assert first(secure, hello.hello13(hello.TLS13, (group,))).version == 0x0304
        assert first(secure, hello.hello12(hello.TLS12_GOOD, hello.usual((group,)))).version == 0x0303
    for group in (0x0100, 0x0101, 0x0019, 0x001e, 0x0016, 0x11ec, 0x2a2a):
        bad = first(secure, hello.hello13(hello.TLS13, (group,), [(group, os.urandom(256))]))
        assert bad.alert == "handshake_failure", hex(group)
        bad = first(secure, hello.hello12(hello.TLS12_GOOD, hello.usual((group,))))
        assert bad.alert == "handshake_failure", hex(group)
    # A share of an unknown group only, beside one that we know: asked again for that.
    again = first(secure, hello.hello13(hello.TLS13, (0x11ec, 0x17), [(0x11ec, os.urandom(1200))]))
    assert again.retry and again.version == 0x0304
    assert first(secure, hello.hello13(hello.TLS13, (0x1d, 0x17), [])).retry


@pytest.mark.parametrize("group,key", [
    (0x1d, bytes(32)), (0x1d, b"\1" + bytes(31)), (0x1d, b"x" * 31), (0x1d, b"x" * 33), (0x1d, b"x"),
    (0x17, b"\4" + bytes(64)), (0x17, b"\0"), (0x17, b"\4" + b"\xff" * 64), (0x17, b"\4" * 64),
    (0x18, b"\4" + bytes(96)), (0x18, b"\2" + bytes(48))])
def test_s189_shares_that_are_no_point(secure, group, key):
    reply = first(secure, hello.hello13(hello.TLS13, (group,), [(group, key)]))
    assert reply.alert in ("illegal_parameter", "handshake_failure", "decode_error", "internal_error")


# ---- S-190 to S-194: what may be sent later, and hellos out of shape ----

def s_client(corral, *args, data=b"", wait=0.0):
    done = subprocess.Popen(
        ["openssl", "s_client", "-connect", "127.0.0.1:%d" % corral.address[1], "-servername",
         "localhost", *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT)
    for piece in (data if isinstance(data, list) else [data]):
        done.stdin.write(piece)
        done.stdin.flush()
        time.sleep(wait)
    out, _ = done.communicate(timeout=20)
    return out.decode("latin-1")


def test_s190_a_client_cannot_renegotiate(secure):
    out = s_client(secure, "-tls1_2", data=[b"", b"R\n"], wait=0.3)
    assert "RENEGOTIATING" in out and "no renegotiation" in out, out[-800:]


def test_s192_no_early_data(secure, tmp_path):
    session, early = tmp_path / "session", tmp_path / "early"
    request = h1.get("/api/version", secure.key())
    out = s_client(secure, "-tls1_3", "-sess_out", str(session), data=[b"", request], wait=0.3)
    assert "Max Early Data: 0" in out
    early.write_bytes(request)
    out = s_client(secure, "-tls1_3", "-sess_in", str(session), "-early_data", str(early),
                   data=[b""], wait=0.3)
    assert "Early data was not sent" in out or "Early data was rejected" in out, out[-600:]


def test_s192_the_field_about_early_data_goes_nowhere(stable, make_config, site):
    sim = stable.sim("--tokens-per-s", "0").warm()
    corral = stable.serve(config_of(make_config, [sim], site.ecdsa))
    answer = corral.post("/api/chat", chat(), headers=[("Early-Data", "1")], tls=site.context(),
                         name="localhost")
    assert answer.status == 200
    assert "early-data" not in sim.last("/api/chat")[1]


def test_s193_no_compression_no_heartbeat(secure):
    heartbeat = hello.extension(0x0f, b"\1")
    reply = first(secure, hello.hello12(hello.TLS12_GOOD, hello.usual() + [heartbeat],
                                        compression=b"\1\0"))
    assert reply.compression == 0 and 0x0f not in reply.extensions
    assert first(secure, hello.hello12(hello.TLS12_GOOD, compression=b"\1")).alert
    reply = first(secure, hello.hello13(hello.TLS13, more=[heartbeat]))
    assert reply.version == 0x0304 and 0x0f not in reply.extensions
    data = hello.record(b"\1\xff\xff", kind=24) * 3
    assert hello.ask(secure.address, data).cipher is None


@pytest.mark.parametrize("kind,payload", [(20, b"\1"), (22, b""), (23, b""), (21, b""), (20, b"")])
def test_s193_floods_of_small_records_are_cut(secure, kind, payload):
    """10^5 of them: before a hello, and after one."""
    for start in (b"", hello.record(hello.hello13(hello.TLS13))):
        with socket.create_connection(secure.address, 10) as sock:
            began = time.monotonic()
            try:
                sock.sendall(start + hello.record(payload, 0x0303, kind) * 100000)
                while sock.recv(65536):
                    pass
            except OSError:
                pass
            assert time.monotonic() - began < 4  # sooner than the handshake's own limit


def test_s194_large_and_scattered_hellos(secure):
    padding = hello.extension(21, bytes(15000))
    assert first(secure, hello.hello13(hello.TLS13, more=[padding])).version == 0x0304
    whole = hello.hello13(hello.TLS13)
    scattered = b"".join(hello.record(whole[i:i + 1]) for i in range(len(whole)))
    assert hello.ask(secure.address, scattered).version == 0x0304
    many = [hello.extension(0x5000 + i, b"x") for i in range(200)]
    assert first(secure, hello.hello13(hello.TLS13, more=many)).version == 0x0304
    endless = b"\1" + (0xffffff).to_bytes(3, "big") + bytes(16000)
    reply = hello.ask(secure.address, hello.record(endless[:16000]) * 20)
    assert reply.alert and reply.cipher is None


def bad_names():
    good = hello.server_name(b"localhost")
    return {
        "twice": [good, good], "address": [hello.server_name(b"127.0.0.1")],
        "nul": [hello.server_name(b"local\0host")], "empty": [hello.server_name(b"")],
        "long": [hello.server_name(b"a" * 300)], "type": [hello.server_name(b"localhost", 1)],
        "short": [hello.extension(0, b"\0")], "none": [hello.extension(0, b"")],
        "lies": [hello.extension(0, b"\0\xff\0\0\5local")],
        "two": [hello.extension(0, hello.vector(b"\0\0\1a" + b"\0\0\1b"))],
        "high": [hello.server_name(b"\xff\xfe\x80")], "dot": [hello.server_name(b"localhost.")],
    }


@pytest.mark.parametrize("case", sorted(bad_names()))
@pytest.mark.parametrize("make", [hello.hello13, None])
def test_s194_bad_names_are_an_alert_or_no_name(secure, case, make):
    extensions = bad_names()[case]
    whole = (hello.hello13(hello.TLS13, more=extensions) if make else
             hello.hello12(hello.TLS12_GOOD, hello.usual() + extensions))
    reply = first(secure, whole)
    if case in ("address", "high", "dot", "empty"):
        assert reply.cipher is not None  # names that nobody has: the first certificate
    else:
        assert reply.alert and reply.cipher is None, reply


def test_s194_extensions_twice(secure):
    for one in hello.usual():
        reply = first(secure, hello.hello12(hello.TLS12_GOOD, hello.usual() + [one]))
        assert reply.alert in ("illegal_parameter", "decode_error"), reply


# ---- S-195, S-196: half a handshake ----

def test_s195_a_handshake_that_stalls_after_each_flight(stable, make_config, site):
    sim = stable.sim().warm()
    corral = stable.serve(config_of(make_config, [sim], site.ecdsa, timeouts={"handshake_s": 1}))
    starts = [b"", b"\x16", hello.record(hello.hello13(hello.TLS13))[:100],
              hello.record(hello.hello13(hello.TLS13)), hello.record(hello.hello12(hello.TLS12_GOOD)),
              hello.record(hello.hello13(hello.TLS13, (0x1d, 0x17), [])),
              hello.record(hello.hello12(hello.TLS12_GOOD)) +
              hello.record(b"\x10" + hello.vector(hello.vector(hello.share(0x17), 1), 3), 0x0303)]
    began = time.monotonic()
    clients = []
    for start in starts:
        clients.append(corral.client())
        clients[-1].try_send(start)
    for client in clients:
        assert client.wait_end(4) in ("fin", "rst")
    assert time.monotonic() - began < 4.5
    wait_for(lambda: corral.metrics().sum("corral_open_connections") == 0, 3, "the places")
    assert corral.metrics().sum("corral_connections_refused_total",
                                reason="tls_handshake_timeout") >= 6


def half_open(stable, make_config, site, count):
    sim = stable.sim("--tokens-per-s", "0").warm()
    corral = stable.serve(config_of(make_config, [sim], site.ecdsa, timeouts={"handshake_s": 60},
                                    limits={"connections_per_address": 100000,
                                            "connections_per_trusted_address": 100000,
                                            "connections_per_known_address": 100000}))
    start = hello.record(hello.hello13(hello.TLS13))
    held = []
    for _ in range(count):
        sock = socket.create_connection(corral.address, 10)
        sock.sendall(start)
        held.append(sock)
    wait_for(lambda: corral.metrics().sum("corral_open_connections") == count, 60, "all of them")
    began = time.monotonic()
    answer = corral.post("/api/chat", chat(), tls=site.context(), name="localhost")
    assert answer.status == 200
    assert time.monotonic() - began < 1
    for sock in held:
        sock.close()
    wait_for(lambda: corral.metrics().sum("corral_open_connections") == 0, 30, "the places")


def test_s196_half_open_handshakes_hold_nobody_up(stable, make_config, site):
    half_open(stable, make_config, site, 200)


@pytest.mark.long
def test_s196_five_thousand_half_open_handshakes(stable, make_config, site):
    half_open(stable, make_config, site, 5000)


# ---- S-205 to S-210: files ----

def broken_files(site, folder):
    """name -> (chain, key, what the message says)"""
    sealed = folder / "sealed"
    sealed.write_bytes(subprocess.run(
        ["openssl", "ec", "-in", site.ecdsa.secret, "-aes256", "-passout", "pass:secret"],
        capture_output=True, check=True).stdout)
    assert b"ENCRYPTED" in sealed.read_bytes()
    whole = open(site.ecdsa.chain, "rb").read()
    for name, data in (("cut", whole[:len(whole) // 2]), ("empty", b""), ("large", whole + b"\n" * 10000000),
                       ("disorder", open(site.rsa.chain, "rb").read() + whole)):
        (folder / name).write_bytes(data)
    (folder / "folder").mkdir()
    weak = site.leaf("weak", kind="rsa1024")
    sha1 = site.make.issue("sha1", site.make.authority("sha1 root"), sha1=True,
                           dns=["localhost"], usage=("server",))
    p192 = site.leaf("p192", kind="p192")
    good = site.ecdsa
    return {
        "mismatch": (good.chain, site.rsa.secret, "is not the key of the certificate"),
        "cut": (str(folder / "cut"), good.secret, "holds no PEM certificate"),
        "passphrase": (good.chain, str(sealed), "without a passphrase"),
        "empty": (str(folder / "empty"), good.secret, "is empty"),
        "folder": (str(folder / "folder"), good.secret, "is not a regular file"),
        "large": (str(folder / "large"), good.secret, "is larger than"),
        "disorder": (str(folder / "disorder"), site.rsa.secret, "out of order"),
        "missing": (good.chain, str(folder / "nothing"), "No such file"),
        "key-for-chain": (good.secret, good.secret, "holds no PEM certificate"),
        # S-205
        "rsa-1024": (weak.chain, weak.secret, "not usable"),
        "p-192": (p192.chain, p192.secret, "not usable"),
        "sha-1": (sha1.chain, sha1.secret, "not usable"),
    }


FILE_CASES = ["mismatch", "cut", "passphrase", "empty", "folder", "large", "disorder", "missing",
              "key-for-chain", "rsa-1024", "p-192", "sha-1"]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_s205_s206_bad_files_stop_the_start(stable, make_config, site, tmp_path):
    cases = broken_files(site, tmp_path)
    assert sorted(cases) == sorted(FILE_CASES)
    for name, (chain, key, says) in cases.items():
        pair = type("Pair", (), {"chain": chain, "secret": key})
        corral = stable.serve(config_of(make_config, [], pair, replicas=[{"url": "http://127.0.0.1:9"}]),
                              wait=False)
        corral.exit_expected = 1
        assert corral.wait_exit() == 1, name
        text = corral.text()
        assert says in text and (chain in text or key in text), (name, text)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_s207_bad_files_on_reload_change_nothing(stable, make_config, site, tmp_path):
    (tmp_path / "bad").mkdir()
    cases = broken_files(site, tmp_path / "bad")
    chain, key = tmp_path / "tls.pem", tmp_path / "tls.key"
    pair = type("Pair", (), {"chain": str(chain), "secret": str(key)})
    shutil.copy(site.ecdsa.chain, chain)
    shutil.copy(site.ecdsa.secret, key)
    sim = stable.sim("--tokens-per-s", "0").warm()
    corral = stable.serve(config_of(make_config, [sim], pair))
    served = shown(corral, site)
    for name in ("mismatch", "cut", "passphrase", "empty", "rsa-1024"):
        shutil.copy(cases[name][0], chain)
        shutil.copy(cases[name][1], key)
        corral.reload(result="failed")
        assert shown(corral, site) == served, name
        wait_for(lambda: [x for x in corral.logged("reload.failed") if cases[name][2] in x["detail"]],
                 2, "what is wrong: " + name)
    fresh = site.leaf("fresh")
    shutil.copy(fresh.chain, chain)
    shutil.copy(fresh.secret, key)
    corral.reload()
    wait_for(lambda: shown(corral, site) == fresh.certificate.serial_number, 3, "the next good pair")


def shown(corral, site):
    with corral.client(tls=site.context(), name="localhost") as client:
        return int(client.sock.getpeercert()["serialNumber"], 16)


def put(folder, issued, names=("pem", "key")):
    """Each file by a rename, one after the other."""
    for name in names:
        shutil.copy(issued.chain if name == "pem" else issued.secret, folder / "new")
        os.replace(folder / "new", folder / ("tls." + name))


def watched(stable, make_config, site, folder):
    put(folder, site.ecdsa)
    pair = type("Pair", (), {"chain": str(folder / "tls.pem"), "secret": str(folder / "tls.key")})
    sim = stable.sim("--tokens-per-s", "0").warm()
    return stable.serve(config_of(make_config, [sim], pair))


def test_s209_the_key_comes_after_the_certificate(stable, make_config, site, tmp_path):
    corral = watched(stable, make_config, site, tmp_path)
    old, fresh = shown(corral, site), site.leaf("later")
    put(tmp_path, fresh, ["pem"])
    wait_for(lambda: corral.reloads("failed") >= 1, 5, "the half pair to be seen")
    for _ in range(20):
        assert shown(corral, site) == old
    put(tmp_path, fresh, ["key"])
    wait_for(lambda: shown(corral, site) == fresh.certificate.serial_number, 5, "the whole pair")


def rotate(stable, make_config, site, folder, rotations, per_rotation):
    corral = watched(stable, make_config, site, folder)
    pairs = [site.leaf("turn-%d" % i) for i in range(8)]
    made = site.context()
    seen = set()

    def shake(_):
        for _ in range(per_rotation):
            with corral.client(tls=made, name="localhost") as client:
                seen.add(client.sock.getpeercert()["serialNumber"])
    together(2, shake)
    before = corral.rss()
    for i in range(rotations):
        put(folder, pairs[i % len(pairs)])
        corral.reload()
        together(2, shake)
    assert len(seen) >= min(rotations, len(pairs))
    return corral.rss() - before


def test_s210_rotations_under_handshakes(stable, make_config, site, tmp_path):
    rotate(stable, make_config, site, tmp_path, 10, 10)


@pytest.mark.long
def test_s210_a_thousand_rotations(stable, make_config, site, tmp_path, monkeypatch):
    # Without a sanitizer, whose quarantine would hide what is kept.
    monkeypatch.setenv("CORRAL", os.environ.get("CORRAL_PLAIN", os.environ["CORRAL"]))
    assert rotate(stable, make_config, site, tmp_path, 1000, 100) < 5 << 20


def swaps_under_load(stable, make_config, site, folder, count):
    """P-10: connections that come all the time, with a short answer and a long one on each."""
    put(folder, site.ecdsa)
    pair = type("Pair", (), {"chain": str(folder / "tls.pem"), "secret": str(folder / "tls.key")})
    sim = stable.sim("--tokens-per-s", "50", "--slots", "64").warm()
    corral = stable.serve(config_of(make_config, [sim], pair, slots=64,
                                    tenants={"acme": {"max_running": 64, "max_waiting": 64}}))
    pairs = [site.leaf("load-%d" % i) for i in range(8)]
    stop, ends, seen = threading.Event(), [], set()

    def run(tokens):
        made = site.context()
        while not stop.is_set():
            try:
                with corral.client(tls=made, name="localhost", timeout=60) as client:
                    seen.add(client.sock.getpeercert()["serialNumber"])
                    for wanted in (1, tokens):
                        client.send(corral.chat_bytes(tokens=wanted))
                        done = client.answer()
                        ends.append((done.status, done.end, done.lines[-1].get("eval_count") == wanted))
            except (OSError, ValueError) as error:
                ends.append(repr(error))
    threads = [threading.Thread(target=run, args=(tokens,), daemon=True) for tokens in [1] * 4 + [100] * 16]
    for thread in threads:
        thread.start()
    wait_for(lambda: sim.stat("in_flight") >= 16, 10, "the streams")
    for i in range(count):
        put(folder, pairs[i % len(pairs)])
        corral.reload()
    stop.set()
    for thread in threads:
        thread.join(60)
    print("%d swaps under %d requests, %d certificates seen" % (count, len(ends), len(seen)))
    assert set(ends) == {(200, "whole", True)} and len(ends) > 50
    assert len(seen) > min(count, len(pairs)) // 2 and corral.reloads("ok") >= count
    assert sim.stat("aborted") == 0
    corral.wait_idle()


def test_p10_certificates_swap_under_load(stable, make_config, site, tmp_path):
    swaps_under_load(stable, make_config, site, tmp_path, 20)


@pytest.mark.long
def test_p10_a_thousand_certificates_swap_under_load(stable, make_config, site, tmp_path):
    swaps_under_load(stable, make_config, site, tmp_path, 1000)


@pytest.mark.long
def test_s208_a_hundred_swaps_without_a_signal(stable, make_config, site, tmp_path):
    corral = watched(stable, make_config, site, tmp_path)
    pairs = [site.leaf("swap-%d" % i) for i in range(2)]
    for i in range(100):
        put(tmp_path, pairs[i % 2])
        wait_for(lambda: shown(corral, site) == pairs[i % 2].certificate.serial_number, 5, "swap %d" % i)


# ---- S-212, S-213 ----

def test_s212_ends_are_told_in_time_and_still_serve(stable, make_config, site):
    issued = [site.leaf("day-%d" % days, dns=["d%d.test" % days], valid=(-24, days * 24 - 1))
              for days in (13, 2, 1, 20)]
    issued.append(site.leaf("over", dns=["over.test"], valid=(-48, -1)))
    sim = stable.sim("--tokens-per-s", "0").warm()
    corral = stable.serve(config_of(make_config, [sim], *issued))
    lines = wait_for(lambda: corral.logged("certificate.expires"), 3, "the warnings")
    assert {(x["certificate"], x["days_left"]) for x in lines} == {("0", 12), ("1", 1), ("2", 0)}
    assert all(x["file"] == issued[int(x["certificate"])].chain for x in lines)
    assert [x["certificate"] for x in corral.logged("certificate.expired")] == ["4"]
    for i, one in enumerate(issued):
        ends = one.certificate.not_valid_after.replace(tzinfo=datetime.timezone.utc).timestamp()
        assert corral.metrics().sum("corral_certificate_expiry_timestamp_seconds",
                                    certificate=str(i)) == ends
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    assert corral.post("/api/chat", chat(), tls=made, name="over.test").status == 200
    # Told once: a reload repeats nothing.
    corral.reload()
    wait_for(lambda: corral.logged("reload.done"), 2, "the line")
    assert len(corral.logged("certificate.expires")) == 3


def cut_tls(client, how):
    """FIN or RST of the connection below, without a close_notify."""
    client.sock = socket.socket(fileno=client.sock.detach())
    client.leave(how)


@pytest.mark.parametrize("how", ["fin", "rst"])
def test_s213_a_fin_without_close_notify(stable, make_config, site, how):
    sim = stable.sim("--tokens-per-s", "50").warm()
    corral = stable.serve(config_of(make_config, [sim], site.ecdsa))
    posts = sim.posts()
    whole = h1.post("/api/chat", chat(tokens=100000), corral.key())
    with corral.client(tls=site.context(), name="localhost") as client:  # mid-request
        client.send(whole[:-10])
        wait_for(lambda: corral.metrics().sum("corral_body_bytes") > 0, 2, "the body")
        cut_tls(client, how)
    wait_for(lambda: corral.metrics().sum("corral_cancels_total", phase="body") == 1, 2, "the count")
    assert sim.posts() == posts
    with corral.client(tls=site.context(), name="localhost") as client:  # mid-response
        client.send(whole)
        client.until(b'"done":false')
        cut_tls(client, how)
    wait_for(lambda: corral.metrics().sum("corral_cancels_total", phase="stream") == 1, 2, "the count")
    wait_for(lambda: sim.stat("aborted") >= 1, 2, "the abort")
    corral.wait_idle()


# ---- S-214: the tools of others ----

def tool(name):
    found = shutil.which(name)
    if not found:
        pytest.skip("%s is not installed (a Debian package)" % name)
    return found


def test_s214_sslscan_finds_nothing(secure):
    out = subprocess.run([tool("sslscan"), "--no-colour", "127.0.0.1:%d" % secure.address[1]],
                         capture_output=True, text=True, timeout=120, check=True).stdout
    for version in ("SSLv2", "SSLv3", "TLSv1.0", "TLSv1.1"):
        assert "%-9s disabled" % version in out, out
    for version in ("TLSv1.2", "TLSv1.3"):
        assert "%-9s enabled" % version in out, out
    assert "Session renegotiation not supported" in out or "Secure session renegotiation" in out
    assert "Compression disabled" in out or "does not support compression" in out
    assert out.count("not vulnerable to heartbleed") == 2
    suites = [line.split() for line in out.splitlines() if line.startswith(("Preferred", "Accepted"))]
    assert {x[4] for x in suites if x[1] == "TLSv1.3"} == {
        "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}
    assert all(x[4].startswith("ECDHE-") and ("GCM" in x[4] or "CHACHA20" in x[4])
               for x in suites if x[1] == "TLSv1.2") and len(suites) == 9


@pytest.mark.long
def test_s214_testssl_finds_nothing_above_info(secure, site, tmp_path):
    out = tmp_path / "findings.csv"
    subprocess.run([tool("testssl"), "--quiet", "--color", "0", "--ip", "127.0.0.1",
                    "--csvfile", str(out), "--add-ca", site.root.chain,
                    "localhost:%d" % secure.address[1]], capture_output=True, timeout=1200, check=False)
    assert out.exists()
    # What is about this test's own authority and names, not about the server.
    own = ("cert", "DNS_CAArecord", "OCSP", "HSTS", "HPKP", "banner", "security_headers", "scanTime")
    rows = [line.split('","') for line in out.read_text().splitlines()[1:]]
    assert {'"SSLv3', '"CCS', '"BEAST', '"ALPN'} <= {row[0] for row in rows}, rows[:5]
    bad = [row for row in rows if row[3] in ("LOW", "MEDIUM", "HIGH", "CRITICAL") and
           not row[0].strip('"').startswith(own)]
    assert not bad, bad
