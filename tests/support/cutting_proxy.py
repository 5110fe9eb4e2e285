"""A wire to the database that breaks at a chosen statement, before or after the server has it."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tidegauge.settings import DatabaseAddress

_QUERY = 3


class CuttingProxy:
    """Relays connections; once armed, cuts the one that sends the n-th statement from then on."""

    def __init__(self, server: DatabaseAddress) -> None:
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._left: int | None = None
        self._after = False
        self._answered = threading.Event()
        self.cut: list[bytes] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def arm(self, statement: int, *, after: bool) -> None:
        """Cut at the statement of this number, from 0; `after`: once the server has answered it."""
        self._answered.clear()
        self._left, self._after = statement, after

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        server = socket.create_connection((self._server.host, self._server.port))
        deaf = threading.Event()
        threading.Thread(target=self._answer, args=(server, client, deaf), daemon=True).start()
        try:
            while packet := _packet(client):
                if not self._is_the_one(packet):
                    server.sendall(packet)
                    continue
                self.cut.append(packet[5:])
                if self._after:
                    deaf.set()  # the answer reaches nobody
                    server.sendall(packet)
                    self._answered.wait(10)
                return
        except OSError:
            return
        finally:
            _shut(client)
            _shut(server)

    def _answer(self, server: socket.socket, client: socket.socket, deaf: threading.Event) -> None:
        with suppress(OSError):
            while data := server.recv(65536):
                if deaf.is_set():
                    self._answered.set()
                else:
                    client.sendall(data)

    def _is_the_one(self, packet: bytes) -> bool:
        if self._left is None or packet[4] != _QUERY:
            return False
        self._left -= 1
        if self._left >= 0:
            return False
        self._left = None
        return True


def _packet(client: socket.socket) -> bytes:
    head = _exactly(client, 4)
    if len(head) < 4:
        return b""
    (length,) = struct.unpack("<I", head[:3] + b"\x00")
    return head + _exactly(client, length)


def _exactly(client: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = client.recv(size - len(data))
        if not more:
            return b""
        data += more
    return data


def _shut(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()


@contextmanager
def cutting_proxy(server: DatabaseAddress) -> Iterator[CuttingProxy]:
    """Give a proxy until the block ends."""
    proxy = CuttingProxy(server)
    try:
        yield proxy
    finally:
        proxy.close()
