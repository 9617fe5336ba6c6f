"""TLS towards clients: which certificate for which name, and what session tickets are worth."""

import socket
import ssl
import time

import pytest

import h1
import pki
from conftest import Stable
from harness import wait_for


def certificates(*issued):
    return [{"chain": one.chain, "key": one.secret} for one in issued]


def tls_config(make_config, sims, issued, tls=(), **more):
    config = make_config(sims, tls=dict({"certificates": certificates(*issued)}, **dict(tls)),
                         server_names=["a.test", "b.test", "x.wild.test"], **more)
    config["listeners"][0]["tls"] = True
    return config


class Hosts:
    """The certificates of these tests."""

    def __init__(self, folder):
        make = pki.Maker(folder)
        self.root = make.authority("names root")

        def issue(name, dns, kind="ecdsa"):
            return make.issue(name, self.root, dns=dns, ip=["127.0.0.1"], usage=("server",), kind=kind)
        self.first = issue("first", ["localhost", "first.test"])
        self.a = issue("a-ecdsa", ["a.test"])
        self.a_rsa = issue("a-rsa", ["a.test"], "rsa")
        self.b = issue("b-exact", ["b.test", "exact.wild.test"])
        self.wild = issue("wild", ["*.wild.test"])
        self.all = [self.first, self.a, self.a_rsa, self.b, self.wild]


@pytest.fixture(scope="module")
def hosts(tmp_path_factory):
    return Hosts(tmp_path_factory.mktemp("names"))


@pytest.fixture(scope="module")
def served(tmp_path_factory, keyfile, make_config, hosts):
    with Stable(tmp_path_factory.mktemp("served"), keyfile.keys, make_config) as made:
        sim = made.sim("--tokens-per-s", "0").warm()
        yield made.serve(tls_config(make_config, [sim], hosts.all))


def context(hosts, version=None, ciphers=None, check=False):
    made = ssl.create_default_context(cafile=hosts.root.chain)
    made.check_hostname = check
    if ciphers:
        made.set_ciphers(ciphers)
    if version:
        made.minimum_version = made.maximum_version = version
    return made


def shown(corral, made, name):
    """Which certificate a client gets that asks for `name`."""
    with corral.client(tls=made, name=name) as client:
        return client.sock.getpeercert()["subject"][0][0][1]


@pytest.mark.parametrize("name,expected", [
    ("localhost", "first"), ("first.test", "first"), ("a.test", "a-ecdsa"), ("A.TEST", "a-ecdsa"),
    ("b.test", "b-exact"), ("exact.wild.test", "b-exact"), ("x.wild.test", "wild"),
    ("X.Wild.Test", "wild"),
    # S-197: no name, or none that a certificate has
    (None, "first"), ("nobody.test", "first"), ("wild.test", "first"), ("a.b.wild.test", "first"),
    ("xwild.test", "first"), ("a.test.evil", "first")])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_s197_the_certificate_is_chosen_by_name(served, hosts, name, expected, version):
    assert shown(served, context(hosts, version), name) == expected


def test_one_name_has_certificates_of_two_kinds(served, hosts):
    for ciphers, expected in (("ECDHE-RSA-AES128-GCM-SHA256", "a-rsa"),
                              ("ECDHE-ECDSA-AES128-GCM-SHA256", "a-ecdsa")):
        made = context(hosts, ssl.TLSVersion.TLSv1_2, ciphers)
        assert shown(served, made, "a.test") == expected
    with pytest.raises((ssl.SSLError, OSError)):  # b.test has no RSA one, and none is lent to it
        shown(served, context(hosts, ssl.TLSVersion.TLSv1_2, "ECDHE-RSA-AES128-GCM-SHA256"), "b.test")


def test_s197_unknown_names_are_refused_if_so_configured(stable, hosts, make_config):
    sim = stable.sim()
    corral = stable.serve(tls_config(make_config, [sim], [hosts.a, hosts.wild],
                                     tls={"unknown_name": "refuse"}))
    assert shown(corral, context(hosts), "a.test") == "a-ecdsa"
    assert shown(corral, context(hosts), "q.wild.test") == "wild"
    for name in (None, "nobody.test", "wild.test"):
        with pytest.raises(ssl.SSLError, match="(?i)unrecognized.name"):
            shown(corral, context(hosts), name)
    wait_for(lambda: len(corral.logged("tls.failed")) == 3, 2, "a line for each")
    assert {x["detail"] for x in corral.logged("tls.failed")} == {"no certificate has that name"}


def session_of(corral, made, name, version):
    """A session to resume, taken after an answer (TLS 1.3 sends its ticket late)."""
    with corral.client(tls=made, name=name) as client:
        client.send(h1.get("/api/version", corral.key()))
        assert client.answer().status == 200
        assert client.sock.version() == version
        session = client.sock.session
        assert session.has_ticket
        return session


def resume(corral, made, name, session):
    """(whether it was resumed, the certificate shown then)."""
    raw = socket.create_connection(corral.address, 10)
    with made.wrap_socket(raw, server_hostname=name, session=session) as sock:
        sock.sendall(h1.get("/api/version", corral.key()))
        assert sock.recv(65536).startswith(b"HTTP/1.1 200")
        return sock.session_reused, sock.getpeercert()["subject"][0][0][1]


@pytest.mark.parametrize("version,text", [(ssl.TLSVersion.TLSv1_2, "TLSv1.2"),
                                          (ssl.TLSVersion.TLSv1_3, "TLSv1.3")])
def test_s201_a_ticket_is_for_the_name_it_was_given_for(served, hosts, version, text):
    made = context(hosts, version)
    session = session_of(served, made, "a.test", text)
    assert resume(served, made, "a.test", session) == (True, "a-ecdsa")
    made = context(hosts, version)
    session = session_of(served, made, "a.test", text)
    reused, certificate = resume(served, made, "b.test", session)
    assert (reused, certificate) == (False, "b-exact")
    session = session_of(served, made, "a.test", text)
    assert resume(served, made, None, session) == (False, "first")


def test_s204_ticket_keys_rotate_and_are_each_context_s_own(stable, hosts, make_config):
    version, text = ssl.TLSVersion.TLSv1_3, "TLSv1.3"
    sim = stable.sim("--tokens-per-s", "0").warm()
    # Both are made first: that writes the file of keys again, and a watched file's reload is a new context as well.
    configs = [tls_config(make_config, [sim], [hosts.a], tls={"ticket_rotation_s": rotation}) for rotation in (1, 1000)]
    one, two = (stable.serve(config) for config in configs)
    made = context(hosts, version)
    def sessions(of, count):  # a session of TLS 1.3 is used once
        return [session_of(of, made, "a.test", text) for _ in range(count)]
    of_one, of_two = sessions(one, 3), sessions(two, 1)
    began = time.monotonic()
    assert resume(one, made, "a.test", of_one[0])[0]
    assert not resume(two, made, "a.test", of_one[1])[0]
    wait_for(lambda: time.monotonic() - began > 2.2, 6, "two rotations")
    assert not resume(one, made, "a.test", of_one[2])[0]
    assert resume(two, made, "a.test", of_two[0])[0], "which does not rotate so soon"
    # A reload makes a new context: what was issued before is worth nothing.
    session = session_of(two, made, "a.test", text)
    assert resume(two, made, "a.test", session)[0]
    session = session_of(two, made, "a.test", text)
    two.reload()
    wait_for(lambda: not resume(two, made, "a.test", session)[0], 3, "the new context")
