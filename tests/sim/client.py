"""A small client for tests of the sim: raw, and unsurprised by anything that comes back."""

import json
import socket
import threading
import time

import cases
import wire


class Answer:
    def __init__(self, data, end):
        self.data = data
        self.end = end  # "whole", "fin", "rst" or "timeout"
        self.head, rest = wire.split_head(data)
        self.rest = b"" if rest is None else rest

    @property
    def status(self):
        return int(self.head.split(None, 2)[1])

    @property
    def chunks(self):
        return wire.unchunk(self.rest)[0]

    @property
    def body(self):
        if b"Transfer-Encoding: chunked" in self.head:
            return b"".join(self.chunks)
        return self.rest

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def lines(self):
        return [json.loads(line) for line in self.body.splitlines() if line]


def connect(address, timeout):
    """To a host and port, or to a path."""
    if not isinstance(address, str):
        return socket.create_connection(address, timeout=timeout)
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(timeout)
    sock.connect(address)
    return sock


def ask(sim, request, timeout=5.0, enough=None):
    """Send one request; read until the answer is whole, the peer leaves, or the time is over."""
    method = request.split(b" ", 1)[0].decode()
    data = b""
    with connect(sim.address, timeout) as sock:
        sock.sendall(request)
        deadline = time.monotonic() + timeout
        while True:
            try:
                if enough(data) if enough else wire.complete(data, method):
                    return Answer(data, "whole")
            except (ValueError, IndexError):
                pass  # nonsense on purpose: read on until the peer leaves
            sock.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                piece = sock.recv(65536)
            except ConnectionResetError:
                return Answer(data, "rst")
            except socket.timeout:
                return Answer(data, "timeout")
            if not piece:
                return Answer(data, "fin")
            data += piece


def post(sim, path, body, **more):
    return ask(sim, cases.post(path, json.dumps(body)), **more)


def get(sim, path, **more):
    return ask(sim, cases.get(path), **more)


def chat(model="tiny", tokens=4, **more):
    body = {"model": model, "messages": [{"role": "user", "content": "hello there"}],
            "options": {"num_predict": tokens}}
    body.update(more)
    return body


def config(sim, **members):
    answer = post(sim, "/sim/config", members)
    assert answer.status == 200, answer.body


def stats(sim):
    return get(sim, "/sim/stats").json


def wait_for(condition, timeout=5.0):
    """Poll until the condition holds; its last value."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value or time.monotonic() > deadline:
            assert value, "waited in vain"
            return value
        time.sleep(0.01)


def together(count, function):
    """Run function(i) in `count` threads at once, return the results."""
    results = [None] * count

    def work(i):
        results[i] = function(i)

    threads = [threading.Thread(target=work, args=(i,), daemon=True) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def open_and_send(sim, request):
    """A connection on which a request was sent; the caller closes it."""
    sock = socket.create_connection(sim.address, timeout=5)
    sock.sendall(request)
    return sock
