"""A proxy in front of a sim that harms the answers on their way: late, in pieces, cut off, changed."""

import random
import select
import socket
import struct
import time

from relay import Relay


class Plan:
    """What happens to the answer of one connection's requests; offsets count its bytes."""

    def __init__(self, cut_at=None, how="fin", flip_at=None, split=None, delay_s=0.0):
        self.cut_at, self.how, self.flip_at, self.split, self.delay_s = cut_at, how, flip_at, split, delay_s

    def __repr__(self):
        return "Plan(%s)" % ", ".join("%s=%r" % x for x in vars(self).items() if x[1] is not None)


class FaultProxy(Relay):
    """`plan()` is asked for each POST; None: nothing happens to its answer. A cut at 0 is before any byte."""

    def __init__(self, to):
        self.plan = lambda: None
        self.harmed = b""  # what went on of the answer harmed last
        super().__init__(to)
        self.url = "http://127.0.0.1:%d" % self.port
        self.replica = "127.0.0.1:%d" % self.port

    def _copy(self, near, far):
        near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        plan = self._relay(near, far)
        if plan is not None and plan.how == "rst":
            near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def _relay(self, near, far):
        """Until one side ends, or a plan does: that plan. A request on the same connection has its own."""
        plan, done = None, b""
        while True:
            ready = select.select([near, far], [], [], 60)[0]
            if near in ready:
                data = near.recv(65536)
                if not data:
                    return None
                if data.startswith((b"POST ", b"GET ")):
                    plan, done = (self.plan() if data.startswith(b"POST ") else None), b""
                far.sendall(data)
            if far in ready:
                data = far.recv(65536)
                if not data:
                    return None
                if plan is None:
                    near.sendall(data)
                    continue
                done += self._harm(near, data, plan, len(done))
                self.harmed = done
                if plan.cut_at is not None and len(done) >= plan.cut_at:
                    return plan

    @staticmethod
    def _pieces(data, split):
        while data and split is not None:
            n = split.randint(1, min(len(data), 40))
            yield data[:n]
            data = data[n:]
        if data:
            yield data

    def _harm(self, near, data, plan, done):
        if plan.cut_at is not None:
            data = data[:plan.cut_at - done]
        if plan.flip_at is not None and done <= plan.flip_at < done + len(data):
            at = plan.flip_at - done
            data = data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1:]
        for piece in self._pieces(data, plan.split):
            near.sendall(piece)
            if plan.delay_s:
                time.sleep(plan.delay_s)
        return data


def dice(seed=None):
    """Random numbers whose seed a failing test prints."""
    seed = random.SystemRandom().randrange(1 << 32) if seed is None else seed
    print("seed", seed)
    return random.Random(seed)
