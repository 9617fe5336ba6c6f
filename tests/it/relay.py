"""A door in front of a sim: TLS, or a path, whose connections go on to its port."""

import os
import select
import socket
import ssl
import threading


class Relay:
    """`listen` is a path or None for a port of its own; `tls` may be swapped at any time."""

    def __init__(self, to, listen=None, tls=None):
        self.to, self.tls, self.path = to, tls, listen
        if listen:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.bind(listen)
        else:
            self.sock = socket.socket()
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.sock.bind(("127.0.0.1", 0))
            self.port = self.sock.getsockname()[1]
        self.sock.listen(64)
        self.lock = threading.Lock()
        self.open, self.accepted, self.names, self.peers = set(), 0, [], []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self.sock.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near):
        far = None
        try:
            near.settimeout(10)
            if self.tls:
                near = self.tls.wrap_socket(near, server_side=True)
                self.peers.append(near.getpeercert())
            with self.lock:
                self.accepted += 1
                self.open.add(near)
            far = socket.create_connection(self.to)
            self._copy(near, far)
        except OSError:
            pass
        finally:
            with self.lock:
                self.open.discard(near)
            for one in (near, far):
                if one:
                    one.close()

    def _copy(self, near, far):
        """One thread for both ways: a TLS connection is not for two."""
        while True:
            waiting = isinstance(near, ssl.SSLSocket) and near.pending() > 0
            ready = [near] if waiting else select.select([near, far], [], [], 60)[0]
            for one in ready:
                data = one.recv(65536)
                if not data:
                    return
                (far if one is near else near).sendall(data)

    def cut(self):
        """Close what is open; new connections are taken."""
        with self.lock:
            for one in self.open:
                try:
                    one.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def close(self):
        self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()
        if self.path:
            os.unlink(self.path)
        self.cut()
