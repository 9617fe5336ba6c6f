"""TLS records that come in pieces, on both sides and over both protocols: who waits for the rest costs nothing.

`SSL_has_pending` is true of part of a record: asking again until the rest came once froze the whole worker.
"""

import os
import socket
import ssl
import threading
import time

import pytest

import h1
import h2
import pki
from harness import chat, release, wait_for


class Site:
    def __init__(self, folder):
        make = pki.Maker(folder)
        self.root = make.authority("root")
        self.leaf = make.issue("leaf", self.root, dns=["localhost"], ip=["127.0.0.1"], usage=("server",))

    def context(self, version=None, protocol=None):
        made = ssl.create_default_context(cafile=self.root.chain)
        made.set_ciphers("DEFAULT:@SECLEVEL=0")
        if version:
            made.minimum_version = made.maximum_version = version
        if protocol:
            made.set_alpn_protocols([protocol])
        return made

    def door(self):
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.set_ciphers("DEFAULT:@SECLEVEL=0")
        made.load_cert_chain(*self.leaf.pair)
        return made


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return Site(tmp_path_factory.mktemp("site"))


class Records:
    """TLS over a socket whose records the test sends itself, as it likes."""

    def __init__(self, sock, context, **kwargs):
        self.sock = sock
        self.come, self.go = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.come, self.go, **kwargs)
        sock.settimeout(10)
        self.step(self.tls.do_handshake)
        self.flush()

    def step(self, call):
        while True:
            try:
                return call()
            except ssl.SSLWantReadError:
                self.flush()
                piece = self.sock.recv(65536)
                if not piece:
                    return b""
                self.come.write(piece)

    def flush(self):
        self.sock.sendall(self.go.read())

    def record(self, data):
        """`data` as records, not sent."""
        self.tls.write(data)
        return self.go.read()

    def read(self, count=65536):
        return self.step(lambda: self.tls.read(count))


def cpu_s(pid):
    """Processor time of all threads."""
    with open("/proc/%d/stat" % pid, encoding="ascii") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def costs_nothing(corral, good, seconds=1.0):
    """Beside all who wait a good client is served, and the processor rests."""
    slowest = 0
    for _ in range(20):
        began = time.monotonic()
        assert good() == 200
        slowest = max(slowest, time.monotonic() - began)
    before = cpu_s(corral.process.pid)
    time.sleep(seconds)
    used = cpu_s(corral.process.pid) - before
    print("slowest good request %.1f ms; %.0f %% of a core at rest" % (slowest * 1000, used / seconds * 100))
    assert slowest < 1 and used / seconds < 0.1


def secure(stable, make_config, site, sims, **more):
    config = make_config(sims, workers=1, tls={"certificates": [{"chain": site.leaf.chain, "key": site.leaf.secret}]},
                         timeouts={"head_s": 120, "handshake_s": 60, "body_s": 120}, **more)
    config["listeners"][0]["tls"] = True
    return stable.serve(config)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("protocol", ["http/1.1", "h2"])
def test_a_clients_record_cut_at_every_byte(stable, make_config, site, monkeypatch, protocol, version):
    monkeypatch.setenv("CORRAL", release())
    corral = secure(stable, make_config, site, [stable.sim("--tokens-per-s", "0").warm()])
    request = h1.get("/api/tags", corral.key())
    if protocol == "h2":
        block = b"".join(b"\0" + bytes([len(n)]) + n + bytes([len(v)]) + v for n, v in (
            (b":method", b"GET"), (b":scheme", b"https"), (b":path", b"/api/tags"), (b":authority", b"localhost"),
            (b"authorization", b"Bearer " + corral.key().encode())))
        request = h2.PREFACE + h2.settings() + h2.frame(h2.HEADERS, 5, 1, block)
    waiting, cut = [], 0
    while True:
        sock = socket.create_connection(corral.address)
        records = Records(sock, site.context(version, protocol), server_hostname="localhost")
        data = records.record(request)
        if cut >= len(data):
            sock.close()
            break
        sock.sendall(data[:cut])
        waiting.append((records, data[cut:]))
        cut += 1
    trust = site.context(protocol="http/1.1")
    costs_nothing(corral, lambda: h1.ask(corral.address, h1.get("/api/tags", corral.key()), tls=trust,
                                         name="localhost").status)
    for records, rest in waiting:
        records.sock.sendall(rest)
    for records, _ in waiting:
        came = b""
        while (b'"models"' not in came):
            piece = records.read()
            assert piece, came
            came += piece
        records.sock.close()


def test_a_replicas_record_cut_at_every_byte(stable, make_config, site, monkeypatch):
    """A replica behind TLS that holds back the rest of a record of its answer, at every byte of it."""
    monkeypatch.setenv("CORRAL", release())
    sim = stable.sim("--tokens-per-s", "0").warm()
    go_on = threading.Event()
    held = []
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
    line = b'{"model":"tiny","message":{"role":"assistant","content":"a"},"done":false}\n'
    last = b'{"model":"tiny","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop",' \
           b'"prompt_eval_count":1,"eval_count":1}\n'

    def chunk(data):
        return b"%x\r\n%s\r\n" % (len(data), data)

    def serve(sock):
        try:
            records = Records(sock, site.door(), server_side=True)
            while True:
                asked = b""
                while b"\r\n\r\n" not in asked:
                    piece = records.read()
                    if not piece:
                        return
                    asked += piece
                if b"POST /api/chat" not in asked:
                    records.sock.sendall(records.record(sim_answer(sim, asked)))
                    continue
                data = records.record(head + chunk(line))
                cut = len(held)
                held.append(cut)
                sock.sendall(data[:cut % len(data)])
                go_on.wait(60)
                sock.sendall(data[cut % len(data):] + records.record(chunk(last) + b"0\r\n\r\n"))
        except OSError:
            pass
        finally:
            sock.close()

    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(512)
    over = threading.Event()

    def accept():
        while not over.is_set():
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(sock,), daemon=True).start()
    threading.Thread(target=accept, daemon=True).start()
    good = stable.sim("--tokens-per-s", "0", "--models", "other:1B").warm("other")
    corral = stable.serve(make_config([], workers=1, tenants={"acme": {"max_running": 400}}, replicas=[
        {"url": "https://127.0.0.1:%d" % listener.getsockname()[1], "slots": 400, "tls": {"ca_file": site.root.chain}},
        {"url": good.url, "slots": 8}]))
    wait_for(lambda: b"tiny" in corral.get("/api/ps").body, 10, "the replica's models, loaded")
    clients = [corral.open_chat(timeout=60) for _ in range(300)]
    wait_for(lambda: len(held) >= 300, 30, "every request at the replica")
    costs_nothing(corral, lambda: corral.post("/api/chat", chat("other", 1)).status)
    go_on.set()
    for client in clients:
        answer = client.answer()
        assert answer.status == 200 and answer.lines[-1]["done"], answer
        client.close()
    over.set()
    listener.close()


def sim_answer(sim, asked):
    """What the simulator says to a poll."""
    with socket.create_connection(sim.address) as s:
        s.sendall(asked.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
        data = b""
        while True:
            piece = s.recv(65536)
            if not piece:
                return data.replace(b"Connection: close\r\n", b"")
            data += piece
