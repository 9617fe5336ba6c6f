"""The shared page of turns.c, which is preloaded into a gateway: how long its turns take."""

import struct

from preload import Preloaded

SIZE = 24


class Turns(Preloaded):
    def __init__(self, folder):
        super().__init__(folder, "turns", "TURNS_FILE")

    def clear(self):
        self.page[0:SIZE] = b"\0" * SIZE

    def longest_ms(self):
        return struct.unpack("Q", self.page[0:8])[0] / 1e6

    def count(self):
        return struct.unpack("Q", self.page[8:16])[0]
