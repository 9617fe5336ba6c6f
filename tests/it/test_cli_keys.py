"""Who has the API key file stays who has it, whoever makes or revokes a key."""

import os
import pathlib
import re
import stat
import subprocess

import pytest

from harness import SANITIZER

SERVICE = 12345  # no user of this machine
KEY = re.compile(r"ck_[A-Za-z0-9_-]{43}")
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


def run(*args, user=None, program="CORRAL"):
    """`user`: the program is opened before, since it may lie where only root comes by (in /root)."""
    def become():
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
    path = os.environ[program]
    if user:
        opened = os.open(path, os.O_RDONLY)
        os.set_inheritable(opened, True)
        path = "/proc/self/fd/%d" % opened
    done = subprocess.run([path, *map(str, args)], close_fds=not user, capture_output=True, text=True, timeout=20,
                          check=False, preexec_fn=become if user else None)
    if user:
        os.close(opened)
    assert not SANITIZER.search(done.stderr), done.stderr
    return done


def create(file, **kwargs):
    return run("key", "create", "--file", file, "--tenant", "acme", **kwargs)


def facts(path):
    st = os.stat(path)
    return st.st_uid, st.st_gid, stat.S_IMODE(st.st_mode)


def ids(path):
    return re.findall(r'"id":"(\w+)"', pathlib.Path(path).read_text())


@pytest.fixture
def file(tmp_path):
    made = tmp_path / "keys"
    assert create(made).returncode == 0
    return made


@AS_ROOT
@pytest.mark.parametrize("command", ["create", "revoke"])
@pytest.mark.parametrize("uid,gid,mode", [(SERVICE, SERVICE, 0o600), (0, SERVICE, 0o640), (SERVICE, 0, 0o440)])
def test_owner_group_and_mode_stay(file, command, uid, gid, mode):
    os.chown(file, uid, gid)
    file.chmod(mode)
    done = create(file) if command == "create" else run("key", "revoke", "--file", file, ids(file)[0])
    assert done.returncode == 0, done.stderr
    assert facts(file) == (uid, gid, mode)
    assert len(ids(file)) == (2 if command == "create" else 1)
    assert '"revoked":true' in file.read_text() or command == "create"
    assert [p.name for p in file.parent.iterdir()] == ["keys"], "nothing is left beside it"


@pytest.mark.parametrize("command", ["create", "revoke"])
@pytest.mark.parametrize("way", ["absolute", "relative", "chain", "folder"])
def test_a_link_stays_a_link(file, tmp_path, command, way):
    live = tmp_path / "live"
    live.mkdir()
    link = live / "keys"
    if way == "folder":
        (live / "..data").symlink_to("..")
        link.symlink_to(os.path.join("..data", "keys"))
    elif way == "chain":
        (live / "one").symlink_to(file)
        link.symlink_to("one")
    else:
        link.symlink_to(file if way == "absolute" else os.path.join("..", "keys"))
    led = os.readlink(link)
    done = create(link) if command == "create" else run("key", "revoke", "--file", link, ids(file)[0])
    assert done.returncode == 0, done.stderr
    assert link.is_symlink() and os.readlink(link) == led
    assert len(ids(file)) == (2 if command == "create" else 1)
    assert '"revoked":true' in file.read_text() or command == "create"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["keys", "live"], "written where the file is"


def test_a_link_to_nothing_is_refused(tmp_path):
    (tmp_path / "keys").symlink_to(tmp_path / "away" / "keys")
    done = create(tmp_path / "keys")
    assert done.returncode == 1 and not KEY.search(done.stdout)
    assert "link" in done.stderr and (tmp_path / "keys").is_symlink()


def test_a_file_of_two_names_is_refused(file, tmp_path):
    os.link(file, tmp_path / "other")
    before = file.read_text()
    done = create(file)
    assert done.returncode == 1 and "hard link" in done.stderr and not KEY.search(done.stdout)
    assert file.read_text() == before == (tmp_path / "other").read_text()


@AS_ROOT
def test_who_may_not_give_files_away_is_refused(file, tmp_path):
    """Another user who may write the folder: the file would become theirs, and unreadable for corral."""
    for folder in [tmp_path, *list(tmp_path.parents)[:3]]:
        if folder.stat().st_uid == os.getuid() and folder != pathlib.Path("/tmp"):
            folder.chmod(0o777)
    os.chown(file, SERVICE, SERVICE)
    file.chmod(0o644)
    before = file.read_text()
    done = create(file, user=SERVICE + 1, program="CORRAL_PLAIN")
    assert done.returncode == 1 and not KEY.search(done.stdout), done
    assert str(SERVICE) in done.stderr and "root" in done.stderr, done.stderr
    assert file.read_text() == before and facts(file) == (SERVICE, SERVICE, 0o644)
    assert [p.name for p in tmp_path.iterdir()] == ["keys"]


@AS_ROOT
def test_access_control_lists_stay(file):
    """The group's bits of such a file are its mask: with them alone nobody but the owner could read it."""
    entry = lambda tag, bits, who=0xffffffff: (  # noqa: E731
        tag.to_bytes(2, "little") + bits.to_bytes(2, "little") + who.to_bytes(4, "little"))
    acl = (2).to_bytes(4, "little") + entry(1, 6) + entry(2, 4, SERVICE) + entry(4, 0) + entry(16, 4) + entry(32, 0)
    try:
        os.setxattr(file, "system.posix_acl_access", acl)
    except OSError:
        pytest.skip("this file system has no access control lists")
    assert create(file).returncode == 0
    assert os.getxattr(file, "system.posix_acl_access") == acl and len(ids(file)) == 2


@AS_ROOT
def test_root_hears_whose_a_new_file_is(tmp_path):
    done = create(tmp_path / "keys")
    assert done.returncode == 0 and "chown" in done.stderr and str(tmp_path / "keys") in done.stderr
    assert "chown" not in create(tmp_path / "keys").stderr


@pytest.mark.parametrize("there", ["k-public.pem", "k-private.pem"])
def test_keygen_makes_both_or_none(tmp_path, there):
    (tmp_path / there).write_text("mine")
    done = run("keygen", "--algorithm", "ES256", "--out", tmp_path / "k")
    assert done.returncode == 1 and there in done.stderr, done.stderr
    assert [p.name for p in tmp_path.iterdir()] == [there] and (tmp_path / there).read_text() == "mine"


def test_names_cannot_steer_a_terminal(tmp_path):
    """A right-to-left override in a user's name shows one name and is another."""
    file = tmp_path / "keys"
    assert run("key", "create", "--file", file, "--tenant", "acme", "--user", "ada\u202eb\u2028c").returncode == 0
    for done in (run("key", "list", "--file", file), run("key", "list", "--file", file, "--json")):
        assert done.returncode == 0 and "\\u202e" in done.stdout and "\\u2028" in done.stdout
        assert "\u202e" not in done.stdout and "\u2028" not in done.stdout
