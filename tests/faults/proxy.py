"""A TCP proxy in front of an HTTP server, whose faults can be switched while it runs."""

import socket
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

from tests.ports import free_port

_CHUNK = 1 << 16


class Proxy:
    """Forwards connections to a server on this machine.

    Attributes:
        delay: Seconds by which each answer is delayed.
        silent: Whether requests are accepted and never answered.
        status: HTTP status with which the proxy answers all requests itself; None: they are forwarded.
        requests: Number of chunks that clients have sent.
    """

    def __init__(self, server_port: int) -> None:
        self.port = free_port()
        self.delay, self.silent, self.requests = 0.0, False, 0
        self.status: int | None = None
        self._server_port = server_port
        self._listener: socket.socket | None = None
        self._open: set[socket.socket] = set()

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.down()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def up(self) -> None:
        """Accept connections."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def down(self) -> None:
        """Refuse new connections, and cut those that are open."""
        if self._listener is not None:
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)  # which ends `accept`
            self._listener.close()
            self._listener = None
        for each in list(self._open):
            _cut(each)
        self._open.clear()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        server = socket.create_connection(("127.0.0.1", self._server_port))
        self._open |= {client, server}
        threading.Thread(target=self._answer, args=(server, client), daemon=True).start()
        with suppress(OSError):
            while chunk := client.recv(_CHUNK):
                self.requests += 1
                if self.status is not None:
                    client.sendall(f"HTTP/1.1 {self.status} Fault\r\nContent-Length: 0\r\n\r\n".encode())
                    break
                if not self.silent:
                    server.sendall(chunk)
        _cut(client)
        _cut(server)

    def _answer(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while chunk := server.recv(_CHUNK):
                time.sleep(self.delay)
                while self.silent:
                    time.sleep(0.05)
                client.sendall(chunk)
        _cut(client)


def _cut(each: socket.socket) -> None:
    with suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
    each.close()
