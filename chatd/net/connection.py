"""One connected socket: its outbox, its pace, and how it ends.

Nothing is written where it is decided: `queue` appends, and the loop writes once per turn. Nothing
is closed where it is decided either: `close_soon` marks, and the loop closes when all is written.
"""

from __future__ import annotations

import contextlib
import socket
from collections import deque
from itertools import islice

from chatd.net.tls import TlsSocket

NOTHING: deque[bytes] = deque()  # the outbox of all who wait for nothing: an own one has 600 bytes
LEAST, MOST = 1024, 65_536  # bytes that are read of a connection in one turn
PORTION = 8192  # ... of one that was too fast, when its time has come
AT_ONCE = 256  # requests that are to be in them: five milliseconds of work
PIECES = 512  # buffers per system call; Linux takes 1,024 (IOV_MAX)


def origin_of(address: tuple[str, int]) -> str:
    """Host and port as people write them."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Connection:
    """Owned by the loop; the application knows it by `id` and queues bytes for it."""

    __slots__ = (
        "_sent",
        "address",
        "doomed",
        "drained",
        "hung_up",
        "id",
        "next_write",
        "outbox",
        "pace",
        "paused",
        "peer_ended",
        "portion",
        "queued",
        "sock",
        "writing",
    )

    def __init__(self, sock: socket.socket, number: int, address: tuple[str, int]) -> None:
        self.sock: socket.socket | TlsSocket = sock  # see `Loop.start_tls`
        self.id = number
        self.address = address
        self.outbox = NOTHING  # is an own one while something waits
        self.queued = 0  # bytes
        self.pace = 0.0  # seconds between two writes of one object each; 0: as fast as it goes
        self.next_write = 0.0  # monotonic, where there is a pace
        self.doomed = ""  # why it is to be closed
        self.hung_up = False  # our end is closed; what still comes is thrown away
        self.paused = False  # nothing is read for now; what comes waits in the kernel
        self.portion = LEAST  # bytes that are read at once
        self.peer_ended = False  # nothing more will come
        self.drained = False  # the application is to be told when everything is written
        self.writing = False  # the loop waits until it takes more
        self._sent = 0  # bytes of the first piece that are gone already

    @property
    def host(self) -> str:
        """The peer's address without the port."""
        return self.address[0]

    @property
    def origin(self) -> str:
        """The peer's address as people write it."""
        return origin_of(self.address)

    @property
    def secure(self) -> bool:
        """Whether it speaks TLS, or is about to."""
        return isinstance(self.sock, TlsSocket)

    @property
    def handshaking(self) -> bool:
        """Whether it is not sure yet that it will."""
        return isinstance(self.sock, TlsSocket) and self.sock.handshaking

    def queue(self, data: bytes) -> None:
        """Append one object; the loop writes it at the end of this turn, or later."""
        if self.outbox is NOTHING:
            self.outbox = deque()
        self.outbox.append(data)
        self.queued += len(data)

    def keep_rest(self, data: bytes, sent: int) -> None:
        """Nothing waited, and so much of this one object went: the loop writes the rest."""
        self.outbox = deque([data])
        self.queued = len(data) - sent
        self._sent = sent

    def close_soon(self, why: str) -> None:
        """Close when everything queued is written. The first reason is the true one."""
        self.doomed = self.doomed or why

    def probe(self, seconds: float) -> None:
        """Let the kernel find out within `seconds` whether the other end still answers."""
        patience = max(1, int(seconds) // 3)
        for name, value in (("TCP_KEEPIDLE", 1), ("TCP_KEEPINTVL", patience), ("TCP_KEEPCNT", 2)):
            option = getattr(socket, name, None)
            if option is not None:
                with contextlib.suppress(OSError):
                    self.sock.setsockopt(socket.IPPROTO_TCP, option, value)

    def read(self) -> bytes | None:
        """What has come, b"" at the end of the stream, None where nothing was there after all."""
        try:
            return self.sock.recv(self.portion)
        except BlockingIOError:
            return None

    def suit(self, size: int, count: int, *, useful: bool) -> None:
        """So many bytes held so many requests: read as much at once as a turn has time for.

        Portions grow by what is `useful` alone: nothing is made as cheaply as garbage.
        """
        fitting = size * AT_ONCE // count
        if count > AT_ONCE:
            self.portion = max(LEAST, fitting)
        elif useful and size >= self.portion:  # of one record of TLS more than was asked for
            self.portion = min(MOST, 2 * size, fitting)

    def write(self) -> bool:
        """Write what goes without waiting; True when nothing is left that may go now."""
        while self.outbox:
            try:
                sent = self._send()
            except BlockingIOError:
                return False
            self._forget(sent)
            if self.pace and not self._sent:
                return True
        return True

    def _send(self) -> int:
        first = self.outbox[0]
        if self.pace or len(self.outbox) == 1 or self._sent:
            return self.sock.send(first[self._sent :] if self._sent else first)
        return self.sock.sendmsg(list(islice(self.outbox, PIECES)))

    def _forget(self, sent: int) -> None:
        self.queued -= sent
        sent += self._sent
        while self.outbox and sent >= len(self.outbox[0]):
            sent -= len(self.outbox.popleft())
        self._sent = sent
        if not self.outbox:
            self.outbox = NOTHING

    def hang_up(self) -> None:
        """Say that nothing more will come; an abrupt close could destroy our last words."""
        self.hung_up = True
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)
