"""The way of one client to a server, which can be cut."""

from __future__ import annotations

import contextlib
import socket
import threading

from .servers import Server

CHUNK = 65_536


class Cuttable:
    """Listens for one client after the other and passes on what is said, until it is cut.

    Who comes before there is a server waits for it.
    """

    def __init__(self, server: Server | None = None) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._ends: list[socket.socket] = []
        self._carrying: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept)
        if server:
            self.lead_to(server)

    def lead_to(self, server: Server) -> None:
        """From now on, to this one."""
        self.process = server.process
        self._to = server.port
        self._accepting.start()

    @property
    def carries(self) -> bool:
        """Whether a client is connected."""
        return bool(self._ends)

    def cut(self) -> None:
        """Break the connection of now, with whatever is on its way."""
        ends, self._ends = self._ends, []
        for end in ends:
            _shut(end)

    def close(self) -> None:
        _shut(self._listener)
        self._accepting.join()
        self._listener.close()
        self.cut()
        for thread in self._carrying:
            thread.join()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._to))
                self._carrying.append(threading.Thread(target=_carry_both, args=(near, far)))
                self._carrying[-1].start()
                self._ends = [near, far]


def _carry_both(near: socket.socket, far: socket.socket) -> None:
    with near, far:
        back = threading.Thread(target=_carry, args=(far, near))
        back.start()
        _carry(near, far)
        back.join()


def _carry(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(CHUNK):
            sink.sendall(data)
    _shut(source)
    _shut(sink)


def _shut(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
