"""A machine that misbehaves: log targets, the wall clock, a start with little (S-354 to S-371)."""

import ctypes
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time

import jwt
import pytest

import h1
from harness import chat, program, wait_for
from shim import Shim

SECRET = b"a secret of more than thirty-two bytes"
DAY, YEAR = 86400, 31556952
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE, CLONE_NEWNS = 1, 32, 4096, 16384, 1 << 18, 0x20000


def ask_many(corral, count):
    with corral.client(timeout=20) as client:
        for _ in range(count):
            client.send(h1.get("/api/version", corral.key()))
            assert client.answer("GET").status == 200


def dropped(corral):
    return corral.metrics().sum("corral_log_dropped_total")


# ---- S-357: what is logged goes nowhere ----


def test_s357_a_full_disk_costs_log_lines_only(stable, tmp_path):
    """Whole lines again once there is room."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "none", str(disk)], check=False,
                      capture_output=True).returncode:
        pytest.skip("no leave to mount")
    try:
        sim = stable.sim("--tokens-per-s", "0").warm()
        corral = stable.corral(sim, log={"file": str(disk / "log")})
        ask_many(corral, 150)
        wait_for(lambda: dropped(corral) > 0, 3, "the drops")
        time.sleep(0.3)  # what was on its way is lost too
        os.truncate(disk / "log", 0)
        before = dropped(corral)
        ask_many(corral, 3)
        wait_for(lambda: (disk / "log").read_text().count('"access"') == 3, 3, "the lines")
        assert dropped(corral) == before
        assert corral.stop() == 0
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)


def test_s357_a_read_only_folder_keeps_the_old_target(stable, tmp_path):
    """Rotated where nothing can be made: lines are lost and counted, and come back."""
    folder = tmp_path / "logs"
    folder.mkdir()
    sim = stable.sim("--tokens-per-s", "0").warm()
    corral = stable.corral(sim, log={"file": str(folder / "log")})
    ask_many(corral, 1)
    shutil.rmtree(folder)
    corral.signal(signal.SIGUSR1)

    def lost():
        ask_many(corral, 1)
        return dropped(corral) > 0
    wait_for(lost, 3, "the drops")
    folder.mkdir()
    corral.signal(signal.SIGUSR1)

    def written():
        ask_many(corral, 1)
        return (folder / "log").exists() and "/api/version" in (folder / "log").read_text()
    wait_for(written, 3, "the new file")


def piped(stable, sim, **more):
    """(corral, reading end): its log is a pipe of the smallest size."""
    out, into = os.pipe()
    fcntl.fcntl(into, 1031, 4096)  # F_SETPIPE_SZ
    corral = stable.serve(stable.make_config([sim], **more), stderr=into)
    os.close(into)
    return corral, out


def test_s357_a_log_pipe_whose_reader_stopped(stable):
    """Standard error is a pipe and nobody reads it: served, counted, reloaded, and ended in time."""
    sim = stable.sim("--tokens-per-s", "0").warm()
    corral, out = piped(stable, sim)
    ask_many(corral, 1500)
    wait_for(lambda: dropped(corral) > 0, 5, "the drops")
    for _ in range(3):  # errors of a file go to standard error, from the main thread
        corral.reload("".join("nonsense-%d: 1\n" % i for i in range(200)), result="failed")
    assert h1.ask(corral.health, h1.get("/healthz")).status == 200
    # Somebody reads again: whole lines come.
    read = []
    reader = threading.Thread(target=lambda: read.extend(iter(lambda: os.read(out, 65536), b"")),
                              daemon=True)
    reader.start()

    def again():
        ask_many(corral, 1)
        return b"".join(read).count(b'"access"') > 20
    wait_for(again, 5, "lines")
    corral.signal(signal.SIGTERM)
    assert corral.wait_exit(5) == 0
    reader.join(5)
    os.close(out)


def test_s357_a_stuck_log_does_not_hold_up_the_end(stable):
    sim = stable.sim("--tokens-per-s", "0").warm()
    corral, out = piped(stable, sim)
    ask_many(corral, 300)
    began = time.monotonic()
    corral.signal(signal.SIGTERM)
    assert corral.wait_exit(10) == 0 and time.monotonic() - began < 5
    os.close(out)


def test_s357_a_log_pipe_that_is_closed(stable):
    """No SIGPIPE."""
    sim = stable.sim("--tokens-per-s", "0").warm()
    corral, out = piped(stable, sim)
    os.close(out)
    ask_many(corral, 50)
    wait_for(lambda: dropped(corral) >= 50, 3, "the drops")
    assert corral.stop() == 0


# ---- S-371: what is logged is one line ----

CONTROL = re.compile("[\0-\x1f\x7f-\x9f]")
ODD = ["\u009b31m", "\u0085",
       "\x1b[2J\x1b]0;x\x07", "a\tb", "\\r\\n{}", '","level":"error', "\u2028", "\u00e9", "%0d%0a", "\x7f"]


def test_s371_one_escaped_line_each(stable, tmp_path):
    """Odd bytes in path, query, fields, model, and the claims of a token."""
    secret = tmp_path / "secret"
    secret.write_bytes(SECRET)
    secret.chmod(0o600)
    sim = stable.sim("--tokens-per-s", "0").warm()
    corral = stable.corral(sim, log={"level": "debug"}, issuers=[
        {"issuer": "people", "audience": ["corral"], "keys_file": str(secret)}])
    for odd in ODD + ["x" * 8000]:
        claims = {"iss": "people", "aud": "corral", "tenant": "acme", "sub": odd,
                  "exp": int(time.time()) + 99}
        for token in (jwt.encode(claims, SECRET, "HS256"),
                      jwt.encode(claims, SECRET, "HS256", headers={"kid": odd})):
            corral.ask(h1.post("/api/chat", chat(odd), token))
            corral.ask(h1.post("/api/chat", chat(), token))
        for field in ("User-Agent", "X-Request-Id", "traceparent"):
            raw = h1.get("/api/version", corral.key(), [(field, "MARK")])
            corral.ask(raw.replace(b"MARK", odd.encode()))
        corral.ask(b"GET /" + odd.encode() + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
        corral.ask(b"GET /?" + odd.encode() + b" HTTP/1.1\r\nHost: " + odd.encode() + b"\r\n\r\n")
    assert corral.stop() == 0
    lines = corral.log.read_bytes().splitlines()
    lines.remove(b"corral: listening on http://127.0.0.1:%d" % corral.address[1])
    for line in lines:
        made = json.loads(line)
        assert made["event"] and made["time"], line
        assert not CONTROL.search(line.decode()), line


# ---- S-359: the wall clock jumps ----


@pytest.mark.parametrize("jump", [
    DAY, pytest.param(-DAY, marks=pytest.mark.long), pytest.param(10 * YEAR, marks=pytest.mark.long),
    -10 * YEAR], ids=["a day on", "a day back", "ten years on", "ten years back"])
def test_s359_the_wall_clock_jumps(stable, monkeypatch, tmp_path, jump):
    """Streams, waits and deadlines go on as if nothing were; tokens are judged by the new time."""
    monkeypatch.setenv("CORRAL", program("CORRAL_PLAIN"))
    shim = Shim(tmp_path)
    secret = tmp_path / "secret"
    secret.write_bytes(SECRET)
    secret.chmod(0o600)
    sim = stable.sim("--tokens-per-s", "20", "--slots", "2").warm()
    corral = stable.serve(stable.make_config(
        [sim], slots=2, workers=1, timeouts={"head_s": 2, "stream_silence_s": 5}, queue={"max_wait_s": 10},
        issuers=[{"issuer": "people", "audience": ["corral"], "keys_file": str(secret)}]), env=shim.env)

    def token(now):
        return jwt.encode({"iss": "people", "aud": "corral", "tenant": "acme", "sub": "ann",
                           "iat": int(now), "exp": int(now) + 3600}, SECRET, "HS256")

    def status(text):
        return corral.ask(h1.get("/api/version", text)).status
    old, new = token(time.time()), token(time.time() + jump)
    assert (status(old), status(new)) == (200, 401)
    running = corral.open_chat(tokens=60)
    running.until(b'"done":false')
    second = corral.open_chat(tokens=60)
    second.until(b'"done":false')
    waiting = corral.open_chat(tokens=2)
    wait_for(lambda: corral.waiting() == 1, 3, "a waiter")
    idle = corral.client().send(h1.get("/api/version", corral.key()))
    assert idle.answer("GET").status == 200
    late = corral.client().send(b"GET / HTTP/1.1\r\n")
    began = time.monotonic()
    shim.jump(jump)
    # What was verified before counts no more when it is over, or has not begun. A clock that shows
    # a time before corral was made is wrong: then no token is good.
    assert (status(old), status(new)) == (401, 401 if jump < -YEAR else 200)
    assert status(corral.key()) == 200
    assert late.answer("GET", timeout=6).status == 408 and time.monotonic() - began > 1
    for client in (running, second, waiting):
        client.data = client.data or b""
        client.until(b'"done":true', timeout=10)
    assert idle.wait_end(0.1) == "open"
    shim.jump(0)
    assert (status(old), status(new)) == (200, 401)
    for client in (running, second, waiting, idle, late):
        client.close()
    corral.wait_idle()


# ---- a start with little ----


def test_s366_a_start_without_a_network(stable, make_config):
    """A replica whose name nobody knows, one that is not there: up, not ready, says why, heals."""
    sim = stable.sim("--tokens-per-s", "0")
    port = sim.port
    sim.kill()
    config = make_config([sim], queue={"replica_grace_s": 0})
    config["replicas"].append({"url": "http://no-such-host.invalid:11434"})
    corral = stable.serve(config, wait=False)
    wait_for(lambda: corral.process.poll() is None and "listening" in corral.text() or
             len(corral.logged("replica.unreachable")) >= 2, 10, "the start")
    assert h1.ask(corral.health, h1.get("/healthz")).status == 200
    assert h1.ask(corral.health, h1.get("/readyz")).status == 503
    assert corral.post("/api/chat", chat()).status == 503
    again = stable.sim("--tokens-per-s", "0", port=port).warm()
    wait_for(lambda: corral.post("/api/chat", chat()).status == 200, 15, "the replica")
    assert again.posts() >= 1
    assert h1.ask(corral.health, h1.get("/readyz")).status == 200


def restricted(uid):
    """A root that cannot be written to, no capabilities, a stranger's user id."""
    libc = ctypes.CDLL(None, use_errno=True)

    def call(name, *arguments):
        if getattr(libc, name)(*arguments) != 0:
            raise OSError(ctypes.get_errno(), name)

    def enter():
        call("unshare", CLONE_NEWNS)
        call("mount", b"none", b"/", None, MS_REC | MS_PRIVATE, None)
        call("mount", b"/", b"/", None, MS_BIND | MS_REC, None)
        os.chdir("/")
        for mounted in [line.split()[1] for line in open("/proc/self/mounts", encoding="ascii")]:
            if not mounted.startswith(("/proc", "/sys", "/dev")):
                libc.mount(None, mounted.encode(), None, MS_REMOUNT | MS_BIND | MS_RDONLY, None)
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
        try:
            open("/tmp/x", "w", encoding="ascii").close()
        except OSError:
            return
        raise OSError("the root can be written to")
    return enter


def test_s368_a_read_only_root_and_no_rights(stable, make_config, monkeypatch):
    """As a restricted pod runs it: user 65532, no capabilities, nothing to write to."""
    monkeypatch.setenv("CORRAL", program("CORRAL_PLAIN"))
    if os.getuid() != 0:
        pytest.skip("only root can take so much away")
    folder = tempfile.mkdtemp(dir="/var/tmp")
    try:
        sim = stable.sim("--tokens-per-s", "0").warm()
        config = make_config([sim])
        for path in (config["api_keys_file"], program("CORRAL")):
            shutil.copy(path, folder)
            os.chown(os.path.join(folder, os.path.basename(path)), 65532, 65532)
        config["api_keys_file"] = os.path.join(folder, os.path.basename(config["api_keys_file"]))
        os.chmod(config["api_keys_file"], 0o600)
        monkeypatch.setenv("CORRAL", os.path.join(folder, "corral"))
        os.chmod(folder, 0o755)
        stable.folder = type(stable.folder)(folder)
        try:
            corral = stable.serve(config, preexec=restricted(65532))
        except subprocess.SubprocessError:
            pytest.skip("no leave to make a namespace")
        assert corral.post("/api/chat", chat()).status == 200
        status = open("/proc/%d/status" % corral.process.pid, encoding="ascii").read()
        assert "Uid:\t65532\t65532\t65532\t65532" in status and "CapEff:\t0000000000000000" in status
        corral.reload(config)
        assert corral.post("/api/chat", chat()).status == 200
        assert corral.stop() == 0
    finally:
        shutil.rmtree(folder)
