"""The shared page of turns.c, which is preloaded into a gateway: how long its turns take."""

import mmap
import os
import shutil
import struct
import subprocess

import pytest

SIZE = 24


class Turns:
    """`env` is for the process that is to be measured."""

    def __init__(self, folder):
        if shutil.which("cc") is None:
            pytest.skip("no compiler")
        library, path = folder / "turns.so", folder / "turns.page"
        source = os.path.join(os.path.dirname(__file__), "turns.c")
        subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", str(library), source, "-ldl"], check=True)
        path.write_bytes(b"\0" * mmap.PAGESIZE)
        self.file = open(path, "r+b")
        self.page = mmap.mmap(self.file.fileno(), mmap.PAGESIZE)
        self.env = dict(os.environ, LD_PRELOAD=str(library), TURNS_FILE=str(path))

    def clear(self):
        self.page[0:SIZE] = b"\0" * SIZE

    def longest_ms(self):
        return struct.unpack("Q", self.page[0:8])[0] / 1e6

    def count(self):
        return struct.unpack("Q", self.page[8:16])[0]
