"""./dev: what it refuses, what it says about itself, and which Ollama `./dev run` finds."""

import os
import pathlib
import signal
import subprocess
import sys

import pytest

from harness import free_port

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
from ollama_host import connectable  # noqa: E402

HOSTS = [("", "http://127.0.0.1:11434"), ("0.0.0.0", "http://127.0.0.1:11434"),
         ("0.0.0.0:8000", "http://127.0.0.1:8000"), ("http://0.0.0.0:8000", "http://127.0.0.1:8000"),
         ("http://0.0.0.0", "http://127.0.0.1:80"), ("https://models.test", "https://models.test:443"),
         (":11434", "http://127.0.0.1:11434"), (":8000", "http://127.0.0.1:8000"), ("::", "http://[::1]:11434"),
         ("[::]:8000", "http://[::1]:8000"), ("[::1]", "http://[::1]:11434"), ("::1", "http://[::1]:11434"),
         ("models.test", "http://models.test:11434"), ("models.test:9", "http://models.test:9"),
         ("models.test:9/path", "http://models.test:9"), ("models.test:99999", "http://models.test:11434"),
         (" \"10.0.0.1\" ", "http://10.0.0.1:11434"), ("http://models.test:x/", "http://models.test:80"),
         ("localhost", "http://127.0.0.1:11434"), ("localhost:8000", "http://127.0.0.1:8000"),
         ("https://localhost", "https://127.0.0.1:443"), ("http://models.test", "http://models.test:80"),
         ("https://models.test:8443/ollama/", "https://models.test:8443"), ("[fd00::7]:9", "http://[fd00::7]:9")]


@pytest.mark.parametrize("text,found", HOSTS)
def test_an_ollama_is_looked_for_where_its_command_does(text, found):
    assert connectable(text) == found


def dev(*args, **kwargs):
    return subprocess.run([str(ROOT / "dev"), *args], capture_output=True, text=True, timeout=60, check=False, **kwargs)


@pytest.mark.parametrize("args", [
    ["nonsense"], ["run", "--fake"], ["run", "--real", "x"], ["test", "--longer"], ["test", "--long", "--real"],
    ["build", "debug"], ["build", "asan", "tsan"], ["check", "all"], ["bench", "--nonsense"], ["bench", "x"],
    ["bench", "--against", "/nonexistent"], ["fuzz", "ten"], ["fuzz", "1", "nonsense"], []], ids=" ".join)
def test_what_is_not_known_is_refused(args):
    done = dev(*args)
    assert done.returncode == 2 and "usage: ./dev" in done.stderr and not done.stdout, done
    assert "building" not in done.stderr and "installing" not in done.stderr


@pytest.mark.parametrize("command", ["run", "test", "build", "check", "bench", "fuzz", ""])
def test_each_command_says_what_it_does(command):
    done = dev(*[word for word in (command, "--help") if word])
    assert done.returncode == 0 and ("usage: ./dev " + command).strip() in done.stdout and not done.stderr, done


HANGING = """
import threading

def test_leaves_a_thread():
    threading.Thread(target=threading.Event().wait).start()
    assert False

def test_hangs():
    threading.Event().wait()

def test_is_good():
    pass
"""


def test_a_run_ends_although_cases_hang(tmp_path):
    """Under the hooks of conftest.py: a case that hangs fails, and a thread that is left holds nothing up."""
    (tmp_path / "test_hanging.py").write_text(HANGING)
    env = dict(os.environ, CORRAL_CASE_S="1", PYTHONPATH=str(pathlib.Path(__file__).parent))
    report = tmp_path / "junit.xml"
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "conftest", "-p", "no:cacheprovider", "--rootdir",
                           str(tmp_path), "--junitxml", str(report), str(tmp_path)], capture_output=True, text=True,
                          timeout=60, check=False, env=env, cwd=tmp_path)
    assert done.returncode == 1 and "2 failed, 1 passed" in done.stdout, done
    assert "TookTooLong" in done.stdout and report.read_text().count("<failure") == 2


@pytest.mark.parametrize("form", ["0.0.0.0:%d", "http://0.0.0.0:%d", ":%d"])
def test_a_run_finds_the_ollama_that_listens_everywhere(stable, form):
    sim = stable.sim("--tokens-per-s", "0").warm()
    env = dict(os.environ, OLLAMA_HOST=form % sim.port, PORT=str(free_port()))
    process = subprocess.Popen(["sh", str(ROOT / "tests/run-demo"), str(ROOT)], stdout=subprocess.PIPE, text=True,
                               env=env, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("curl"):
                break
        assert any("in front of http://127.0.0.1:%d;" % sim.port in line for line in lines), lines
        assert not any("ollama-sim" in line for line in lines), lines
        command = lines[-1].strip()
        done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=30, check=False)
        assert '"done":true' in done.stdout, done
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)
        process.stdout.close()
