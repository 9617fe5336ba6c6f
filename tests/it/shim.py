"""The shared page of shim.c, which is preloaded into a gateway: calls that fail, a clock that jumps."""

import errno
import mmap
import os
import shutil
import struct
import subprocess

import pytest

KINDS = {"memory": 1, "read": 2, "send": 3, "accept": 4, "socket": 5, "connect": 6, "epoll_ctl": 7}
ERRORS = {"memory": errno.ENOMEM, "read": errno.EIO, "send": errno.EPIPE, "accept": errno.ENFILE,
          "socket": errno.EMFILE, "connect": errno.EADDRNOTAVAIL, "epoll_ctl": errno.ENOSPC}


class Shim:
    """`env` is for the process that is to have it."""

    def __init__(self, folder):
        if shutil.which("cc") is None:
            pytest.skip("no compiler")
        library, path = folder / "shim.so", folder / "page"
        source = os.path.join(os.path.dirname(__file__), "shim.c")
        subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", str(library), source, "-ldl"], check=True)
        path.write_bytes(b"\0" * mmap.PAGESIZE)
        self.file = open(path, "r+b")
        self.page = mmap.mmap(self.file.fileno(), mmap.PAGESIZE)
        self.env = dict(os.environ, LD_PRELOAD=str(library), SHIM_FILE=str(path))

    def arm(self, kind, n, error=None, more=0):
        """The n-th call of that kind from now on fails, and so many behind it."""
        self.page[24:28] = struct.pack("i", more)
        self.page[4:16] = struct.pack("iii", n, 0, error or ERRORS[kind])
        self.page[0:4] = struct.pack("i", KINDS[kind])

    def disarm(self):
        """How many calls failed."""
        self.page[0:4] = struct.pack("i", 0)
        return struct.unpack("iiii", self.page[:16])[2]

    def jump(self, seconds):
        """The wall clock shows so much more than the machine's."""
        self.page[16:24] = struct.pack("q", seconds)
