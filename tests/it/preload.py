"""A C file of this folder that is built and preloaded into a gateway, and the page that both share."""

import mmap
import os
import shutil
import subprocess

import pytest


class Preloaded:
    """`env` is for the process that is to have it; `name`.c finds the path of the page in the variable."""

    def __init__(self, folder, name, variable):
        if shutil.which("cc") is None:
            pytest.skip("no compiler")
        library, path = folder / (name + ".so"), folder / (name + ".page")
        source = os.path.join(os.path.dirname(__file__), name + ".c")
        subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", str(library), source, "-ldl"], check=True)
        path.write_bytes(b"\0" * mmap.PAGESIZE)
        self.file = open(path, "r+b")
        self.page = mmap.mmap(self.file.fileno(), mmap.PAGESIZE)
        self.env = {**os.environ, "LD_PRELOAD": str(library), variable: str(path)}
