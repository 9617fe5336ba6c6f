"""The shared page of shim.c, which is preloaded into a gateway: calls that fail, a clock that jumps."""

import errno
import struct

from preload import Preloaded

KINDS = {"memory": 1, "read": 2, "send": 3, "accept": 4, "socket": 5, "connect": 6, "epoll_ctl": 7}
ERRORS = {"memory": errno.ENOMEM, "read": errno.EIO, "send": errno.EPIPE, "accept": errno.ENFILE,
          "socket": errno.EMFILE, "connect": errno.EADDRNOTAVAIL, "epoll_ctl": errno.ENOSPC}


class Shim(Preloaded):
    def __init__(self, folder):
        super().__init__(folder, "shim", "SHIM_FILE")

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
