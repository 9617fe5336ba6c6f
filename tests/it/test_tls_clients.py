"""Client certificates: who is let in, and as whom."""

import os
import pathlib
import shutil
import ssl

import pytest

import h1
import h2
import pki
from conftest import Stable, TENANTS
from harness import chat, together, wait_for

ACME = "spiffe://corral/ns/acme/sa/app"
BETA = "spiffe://corral/ns/beta/sa/app"
NAMED = {
    "acme": {"certificate_names": [ACME, "dns:app.acme.test"]},
    "beta": {"certificate_names": [BETA]},
    "chatonly": dict(TENANTS["chatonly"], certificate_names=["dns:chat.test"]),
}


class Club:
    """Authorities and members of these tests."""

    def __init__(self, folder):
        self.folder = folder
        self.make = pki.Maker(folder)
        self.server_root = self.make.authority("server root")
        self.server = self.make.issue("server", self.server_root, dns=["localhost"],
                                      ip=["127.0.0.1"], usage=("server",))
        self.root = self.make.authority("client root")
        self.other = self.make.authority("other root")
        self.cas = folder / "cas"
        self.cas.mkdir()
        shutil.copy(self.root.chain, self.cas)
        self.acme = self.member("acme", uri=[ACME])
        self.beta = self.member("beta", uri=[BETA])

    def member(self, name, issuer=None, **kwargs):
        return self.make.issue(name, issuer or self.root, **kwargs)

    def settings(self, auth="required", **more):
        return dict({"certificates": [{"chain": self.server.chain, "key": self.server.secret}],
                     "client_auth": auth, "client_ca_dir": str(self.cas)}, **more)

    def context(self, issued=None, version=None):
        made = ssl.create_default_context(cafile=self.server_root.chain)
        made.set_ciphers("DEFAULT:@SECLEVEL=0")
        if version:
            made.minimum_version = made.maximum_version = version
        if issued:
            made.load_cert_chain(*issued.pair)
        return made


@pytest.fixture(scope="module")
def club(tmp_path_factory):
    return Club(tmp_path_factory.mktemp("club"))


def club_config(make_config, club, sims, auth="required", tenants=None, tls=(), **more):
    config = make_config(sims, tenants=tenants or NAMED, tls=club.settings(auth, **dict(tls)), **more)
    config["listeners"][0]["tls"] = True
    return config


@pytest.fixture(scope="module")
def strict(tmp_path_factory, keyfile, make_config, club):
    """client_auth: required"""
    with Stable(tmp_path_factory.mktemp("strict"), keyfile.keys, make_config) as made:
        sim = made.sim("--tokens-per-s", "0", "--slots", "8").warm()
        yield made.serve(club_config(make_config, club, [sim], slots=8)), sim


@pytest.fixture(scope="module")
def lenient(tmp_path_factory, keyfile, make_config, club):
    """client_auth: optional"""
    with Stable(tmp_path_factory.mktemp("lenient"), keyfile.keys, make_config) as made:
        sim = made.sim("--tokens-per-s", "0", "--slots", "8").warm()
        yield made.serve(club_config(make_config, club, [sim], "optional", slots=8)), sim


def ask(corral, made, data=None):
    return h1.ask(corral.address, data or h1.post("/api/chat", chat()), tls=made, name="localhost")


def refused(corral, sim, made, data=None):
    """The handshake fails, seen now or (TLS 1.3) at the first read; nothing reaches a replica."""
    before = sim.posts()
    failed = len(corral.logged("tls.failed"))
    try:
        answer = ask(corral, made, data or h1.post("/api/chat", chat(), corral.key()))
        assert answer.status == 0, answer
    except (ssl.SSLError, OSError):
        pass
    wait_for(lambda: len(corral.logged("tls.failed")) > failed, 2, "a line about it")
    assert sim.posts() == before
    return corral.logged("tls.failed")[-1].get("detail", "")


def let_in(corral, made):
    try:
        return ask(corral, made).status == 200
    except (ssl.SSLError, OSError):
        return False


VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_certificate_is_a_credential(strict, club, version):
    corral, _ = strict
    answer = ask(corral, club.context(club.acme, version))
    assert answer.status == 200
    line = corral.access(answer.field("X-Request-Id"))
    assert (line["tenant"], line["credential"]) == ("acme", "cert:" + ACME)
    assert "user" not in line
    by_host = club.member("by-host", dns=["app.acme.test"])
    answer = ask(corral, club.context(by_host, version))
    assert corral.access(answer.field("X-Request-Id"))["credential"] == "cert:dns:app.acme.test"


BAD = {
    "none": (lambda c: None, "did not return a certificate"),
    "expired": (lambda c: c.member("expired", uri=[ACME], valid=(-48, -1)), "expired"),
    "not-yet": (lambda c: c.member("not-yet", uri=[ACME], valid=(2, 48)), "not yet valid"),
    "wrong-authority": (lambda c: c.member("wrong", c.other, uri=[ACME]), "unable to get"),
    "self-signed": (lambda c: c.make.issue("alone", uri=[ACME]), "self-signed"),
    "server-usage": (lambda c: c.member("usage", uri=[ACME], usage=("server",)),
                     "unsuitable certificate purpose"),
    "authority-as-leaf": (lambda c: c.make.issue("boss", c.root, uri=[ACME], ca=True),
                          "unsuitable certificate purpose"),
    "signed-by-a-leaf": (lambda c: c.member("below", c.acme, uri=[ACME]), "CA"),
    # S-205
    "rsa-1024": (lambda c: c.member("weak", uri=[ACME], kind="rsa1024"), "key too weak"),
    "p-192": (lambda c: c.member("weak-ec", uri=[ACME], kind="p192"), ""),
    "sha-1": (lambda c: c.member("sha1", uri=[ACME], sha1=True), "weak"),
}


@pytest.mark.parametrize("case", sorted(BAD))
@pytest.mark.parametrize("version", VERSIONS)
def test_s198_s205_bad_certificates_fail_the_handshake(strict, club, case, version):
    make, says = BAD[case]
    detail = refused(*strict, club.context(make(club), version))
    assert says.lower() in detail.lower(), detail


def test_s198_a_chain_may_be_so_deep_and_no_deeper(strict, club):
    corral, sim = strict
    above = club.root
    for depth in range(1, 6):
        above = club.make.authority("middle %d" % depth, above)
        leaf = club.member("deep-%d" % depth, above, uri=[ACME])
        if depth <= 3:
            assert ask(corral, club.context(leaf)).status == 200, depth
        else:
            assert "chain too long" in refused(corral, sim, club.context(leaf)), depth


@pytest.mark.parametrize("case", sorted(set(BAD) - {"none", "p-192"}))
def test_s198_optional_means_good_or_none(lenient, club, case):
    # (A client with a P-192 key finds no algorithm to sign with and shows nothing.)
    refused(*lenient, club.context(BAD[case][0](club)))


def test_optional_takes_other_credentials_too(lenient, club):
    corral, _ = lenient
    assert ask(corral, club.context()).status == 401
    assert ask(corral, club.context(), h1.post("/api/chat", chat(), corral.key("beta"))).status == 200
    assert ask(corral, club.context(club.acme)).status == 200


def test_an_authorization_field_decides_alone(strict, club):
    corral, _ = strict
    made = club.context(club.acme)
    answer = ask(corral, made, h1.post("/api/chat", chat(), corral.key("beta")))
    assert corral.access(answer.field("X-Request-Id"))["tenant"] == "beta"
    for value in ("Bearer ck_" + "A" * 43, "Basic QTpC", "Bearer", ""):
        data = h1.post("/api/chat", chat(), None, [("Authorization", value)])
        assert ask(corral, made, data).status == 401, value


def test_rights_are_the_tenant_s(strict, club):
    corral, _ = strict
    made = club.context(club.member("chat", dns=["chat.test"]))
    assert ask(corral, made, h1.post("/api/chat", chat())).status == 200
    assert ask(corral, made, h1.post("/api/embed", {"model": "tiny", "input": "x"})).status == 403
    assert ask(corral, made, h1.post("/api/chat", chat("other"))).status == 403


NAMES = {
    # S-199: (SANs, status, reason)
    "exact": (dict(uri=[ACME]), 200, "ok"),
    "cn-only": (dict(), 401, "unknown_certificate"),
    "nul": (dict(uri=[ACME + "\0.evil"]), 401, "unknown_certificate"),
    "nul-dns": (dict(dns=["app.acme.test\0.evil"]), 401, "unknown_certificate"),
    "wildcard": (dict(dns=["*.acme.test"]), 401, "unknown_certificate"),
    "upper-dns": (dict(dns=["APP.acme.test"]), 401, "unknown_certificate"),
    "upper-uri": (dict(uri=["SPIFFE://corral/ns/acme/sa/app"]), 401, "unknown_certificate"),
    "longer": (dict(uri=[ACME + "/x"]), 401, "unknown_certificate"),
    "shorter": (dict(uri=[ACME[:-1]]), 401, "unknown_certificate"),
    "idn": (dict(dns=["xn--app-acme-9za.test"]), 401, "unknown_certificate"),
    "uri-like-a-host": (dict(uri=["dns:app.acme.test"]), 401, "unknown_certificate"),
    "host-like-a-uri": (dict(dns=[ACME]), 401, "unknown_certificate"),
    "two-of-one": (dict(uri=[ACME], dns=["app.acme.test"]), 200, "ok"),
    "two-of-two": (dict(uri=[ACME, BETA]), 401, "ambiguous_certificate"),
    "thousand": (dict(uri=["spiffe://corral/%d" % i for i in range(999)] + [ACME]), 200, "ok"),
    "too-many": (dict(uri=[ACME] + ["spiffe://corral/%d" % i for i in range(1024)]), 401,
                 "unknown_certificate"),
}


@pytest.mark.parametrize("case", sorted(NAMES))
def test_s199_only_an_exact_name_is_somebody(strict, club, case):
    corral, sim = strict
    names, status, reason = NAMES[case]
    before = sim.posts()
    # The common name is what a configuration might have meant.
    answer = ask(corral, club.context(club.make.issue("app.acme.test", club.root, **names)))
    assert answer.status == status, answer
    assert corral.access(answer.field("X-Request-Id"))["reason"] == reason
    assert sim.posts() - before == (1 if status == 200 else 0)


@pytest.mark.parametrize("kind,status", [
    ("application/json", 200), ("Application/JSON", 200), ("application/json; charset=utf-8", 200),
    ("text/plain", 415), ("application/x-www-form-urlencoded", 415), ("", 415), (None, 415),
    ("application/jsonx", 415), ("multipart/form-data; boundary=application/json", 415)])
def test_by_certificate_alone_bodies_must_be_json(strict, club, kind, status):
    corral, _ = strict
    body = b'{"model":"tiny","messages":[{"role":"user","content":"x"}],"options":{"num_predict":1}}'
    fields = [("Content-Type", kind)] if kind is not None else []
    lines = "".join("%s: %s\r\n" % pair for pair in fields)
    data = ("POST /api/chat HTTP/1.1\r\nHost: localhost\r\n%sContent-Length: %d\r\n\r\n"
            % (lines, len(body))).encode() + body
    assert ask(corral, club.context(club.acme), data).status == status
    # With a key the same passes, but for multipart (`curl -d` must work).
    data = data.replace(b"\r\n\r\n", ("\r\nAuthorization: Bearer %s\r\n\r\n" % corral.key()).encode(), 1)
    expected = 415 if kind and kind.startswith("multipart") else 200
    assert ask(corral, club.context(club.acme), data).status == expected


@pytest.mark.parametrize("version", VERSIONS)
def test_s203_clients_that_offer_a_session_get_a_full_handshake(strict, club, version):
    corral, _ = strict
    made = club.context(club.acme, version)
    session = None
    for _ in range(3):
        with corral.client() as raw:
            with made.wrap_socket(raw.sock, server_hostname="localhost", session=session) as sock:
                sock.sendall(h1.post("/api/chat", chat()))
                assert sock.recv(100).startswith(b"HTTP/1.1 200")
                assert not sock.session_reused
                session = sock.session


@pytest.mark.parametrize("version", VERSIONS)
def test_s202_tickets_from_before_client_certificates_are_void(stable, club, make_config, version):
    sim = stable.sim("--tokens-per-s", "0").warm()
    open_config = club_config(make_config, club, [sim], tenants={"acme": {}, "beta": {}, "chatonly": {}})
    strict_tls = open_config["tls"]
    open_config["tls"] = {"certificates": strict_tls["certificates"]}
    corral = stable.serve(open_config)
    made = club.context(None, version)
    with corral.client(tls=made, name="localhost") as client:
        client.send(h1.get("/api/version", corral.key()))
        assert client.answer().status == 200
        session = client.sock.session
    assert session.has_ticket
    corral.reload(dict(open_config, tls=strict_tls))

    def with_ticket():
        try:
            with corral.client() as raw:
                with made.wrap_socket(raw.sock, server_hostname="localhost", session=session) as sock:
                    sock.sendall(h1.get("/api/version", corral.key()))
                    return bool(sock.recv(100))
        except (ssl.SSLError, OSError):
            return False
    wait_for(lambda: not with_ticket(), 3, "the new rules on every worker")
    assert not any(with_ticket() for _ in range(6))


CRLS = {
    # S-200: name -> (what lies in the folder, whether acme passes, what the log says)
    "listed-others": (lambda c, d: pki.Maker.crl(c.root, d / "a", [c.beta]), True, ""),
    "revoked": (lambda c, d: pki.Maker.crl(c.root, d / "a", [c.acme]), False, "revoked"),
    "expired": (lambda c, d: pki.Maker.crl(c.root, d / "a", valid=(-48, -1)), False, "CRL has expired"),
    "not-yet": (lambda c, d: pki.Maker.crl(c.root, d / "a", valid=(1, 48)), False, "not yet valid"),
    "missing": (lambda c, d: pki.Maker.crl(c.other, d / "a"), False, "unable to get certificate CRL"),
    "wrong-signature": (lambda c, d: pki.Maker.crl(c.root, d / "a", signer=c.other), False,
                        "CRL signature"),
}


@pytest.mark.parametrize("case", sorted(CRLS))
def test_s200_revocation_lists(stable, club, make_config, tmp_path, case):
    fill, passes, says = CRLS[case]
    folder = tmp_path / "crls"
    folder.mkdir()
    fill(club, folder)
    sim = stable.sim("--tokens-per-s", "0").warm()
    corral = stable.serve(club_config(make_config, club, [sim], tls={"client_crl_dir": str(folder)}))
    if passes:
        assert ask(corral, club.context(club.acme)).status == 200
        assert "revoked" in refused(corral, sim, club.context(club.beta))
    else:
        assert says in refused(corral, sim, club.context(club.acme))


@pytest.mark.parametrize("revoked", [False, True])
def test_s200_the_whole_chain_is_looked_up(stable, club, make_config, tmp_path, revoked):
    """The list of the root names the authority between; that of the one between names nobody."""
    middle = club.make.authority("between %s" % revoked, club.root)
    leaf = club.member("below-%s" % revoked, middle, uri=[ACME])
    folder = tmp_path / "crls"
    folder.mkdir()
    pki.Maker.crl(club.root, folder / "a", [middle] if revoked else [])
    pki.Maker.crl(middle, folder / "b")
    sim = stable.sim("--tokens-per-s", "0").warm()
    corral = stable.serve(club_config(make_config, club, [sim], tls={"client_crl_dir": str(folder)}))
    if revoked:
        assert "revoked" in refused(corral, sim, club.context(leaf))
    else:
        assert ask(corral, club.context(leaf)).status == 200


def swap(folder, files):
    """What the kubelet does: a fresh folder, and `..data` renamed to point to it."""
    fresh = folder / (".." + os.urandom(4).hex())
    fresh.mkdir()
    for name, source in files.items():
        shutil.copy(source, fresh / name)
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(pathlib.Path("..data") / name)
    link = folder / "..fresh"
    link.symlink_to(fresh.name)
    os.replace(link, folder / "..data")
    for name in os.listdir(folder):
        if not name.startswith("..") and name not in files:
            (folder / name).unlink()


def test_authorities_and_lists_are_watched(stable, club, make_config, tmp_path):
    cas, crls = tmp_path / "mounted-cas", tmp_path / "mounted-crls"
    cas.mkdir()
    crls.mkdir()
    swap(cas, {"root.pem": club.root.chain})
    swap(crls, {"root.crl": pki.Maker.crl(club.root, tmp_path / "root.crl")})
    sim = stable.sim("--tokens-per-s", "0").warm()
    corral = stable.serve(club_config(make_config, club, [sim], tls={
        "client_ca_dir": str(cas), "client_crl_dir": str(crls)}))
    made = club.context(club.acme)
    assert ask(corral, made).status == 200
    reloads = corral.reloads("ok")
    swap(crls, {"root.crl": pki.Maker.crl(club.root, tmp_path / "root.crl", [club.acme])})
    wait_for(lambda: corral.reloads("ok") > reloads, 5, "the list to be read")
    wait_for(lambda: not any(let_in(corral, made) for _ in range(4)), 3, "every worker to know")
    assert "revoked" in refused(corral, sim, made)
    assert ask(corral, club.context(club.beta)).status == 200
    # A second authority comes into the folder, with its own list.
    stranger = club.member("stranger", club.other, uri=[BETA])
    assert "unable to get" in refused(corral, sim, club.context(stranger))
    reloads = corral.reloads("ok")
    swap(crls, {"root.crl": tmp_path / "root.crl",
                "other.crl": pki.Maker.crl(club.other, tmp_path / "other.crl")})
    swap(cas, {"root.pem": club.root.chain, "other.pem": club.other.chain})
    wait_for(lambda: corral.reloads("ok") > reloads, 5, "the authority to be read")
    wait_for(lambda: all(let_in(corral, club.context(stranger)) for _ in range(4)), 3,
             "the new authority")
    # A file that is none: the old ones stay in force.
    (tmp_path / "junk").write_text("junk")
    swap(cas, {"root.pem": tmp_path / "junk"})
    wait_for(lambda: corral.reloads("failed") >= 1, 5, "the refusal")
    assert ask(corral, club.context(stranger)).status == 200
    assert "holds no PEM certificate" in corral.logged("reload.failed")[-1]["detail"]


def test_a_reload_is_in_force_for_open_connections(stable, club, make_config):
    """Names count at once; the certificate is verified again, and when it holds nothing is cut."""
    sim = stable.sim("--tokens-per-s", "0").warm()
    config = club_config(make_config, club, [sim])
    corral = stable.serve(config)

    def tenant(client):
        client.send(h1.post("/api/chat", chat()))
        answer = client.answer()
        line = corral.access(answer.field("X-Request-Id"))
        return line.get("tenant"), answer.field("Connection")
    kept = [corral.client(tls=club.context(club.acme), name="localhost") for _ in range(6)]
    for client in kept:
        assert tenant(client) == ("acme", None)
        assert tenant(client) == ("acme", None)
    for one in config["tenants"]:
        one.pop("certificate_names", None)
    config["tenants"][1]["certificate_names"] = [ACME]
    corral.reload(config)

    def reloaded():
        with corral.client(tls=club.context(club.acme), name="localhost") as fresh:
            return tenant(fresh) == ("beta", None)
    wait_for(lambda: all(reloaded() for _ in range(6)), 3, "the reload on every worker")
    for client in kept:
        assert tenant(client) == ("beta", None)
        assert tenant(client) == ("beta", None)
        client.close()


@pytest.mark.parametrize("protocol", ["h1", "h2"])
def test_a_certificate_that_holds_no_more_gets_no_further_request(stable, club, make_config, tmp_path, protocol):
    """The authority is removed: what runs goes on, the next request on the same connection is a 401."""
    sim = stable.sim("--tokens-per-s", "0").warm()
    cas = tmp_path / "cas"
    cas.mkdir()
    shutil.copy(club.root.chain, cas / "root.pem")
    corral = stable.serve(club_config(make_config, club, [sim], tls={"client_ca_dir": str(cas)}))
    wire = {"h1": h1, "h2": h2}[protocol]
    request = h1.post("/api/chat", chat())
    kept = [wire.Client(corral.address, tls=club.context(club.acme), name="localhost") for _ in range(6)]
    for client in kept:
        assert client.send(request).answer().status == 200
    reloads, posts = corral.reloads("ok"), sim.posts()
    swap(cas, {"other.pem": club.other.chain})
    wait_for(lambda: corral.reloads("ok") > reloads, 5, "the authorities to be read")
    # In threads of their own: OpenSSL keeps the resets of failed handshakes in a queue of the thread, and Python's next
    # read that finds no bytes yet takes one of them for its own.
    wait_for(lambda: not any(together(4, lambda _: let_in(corral, club.context(club.acme)))), 3, "every worker")
    for client in kept:
        answer = client.send(request).answer()
        assert answer.status == 401, answer
        assert client.wait_end(3) != "open", "the connection stays"
        client.close()
    assert sim.posts() == posts, "nothing reached the replica"
    wait_for(lambda: len([x for x in corral.logged("access") if x["status"] == 401]) == 6, 3, "six refusals")


FOLDERS = {
    "empty": (lambda c, d: None, "holds no certificate of an authority"),
    "leaf": (lambda c, d: shutil.copy(c.acme.chain, d), "is not an authority"),
    "junk": (lambda c, d: (d / "x").write_text("junk"), "holds no PEM certificate"),
    "nothing": (lambda c, d: d.rmdir(), "No such file"),
    "large": (lambda c, d: (d / "x").write_bytes(b"a" * 10000000), "larger than"),
}


@pytest.mark.parametrize("case", sorted(FOLDERS))
def test_a_useless_folder_of_authorities_is_refused(stable, club, make_config, tmp_path, case):
    fill, says = FOLDERS[case]
    folder = tmp_path / "cas"
    folder.mkdir()
    fill(club, folder)
    corral = stable.serve(club_config(make_config, club, [], tls={"client_ca_dir": str(folder)},
                                      replicas=[{"url": "http://127.0.0.1:9"}]), wait=False)
    corral.exit_expected = 1
    assert corral.wait_exit() == 1
    assert says in corral.text() and str(folder) in corral.text()
