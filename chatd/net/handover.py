"""Between processes of this machine: the door at which one asks for an upgrade, and the channel.

The door is a socket in the data folder, so that its mode says who may ask. Connecting to it is the
question, and what is read up to the end of the stream is the answer. The channel joins the process
that serves to the one that will: lines both ways, and descriptors beside them.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

CALLERS = 8  # that wait; one is served, the others are told so
LINE = 4096  # bytes, at most
DESCRIPTORS = 64  # for the addresses of one host name, and more

Listeners = list[socket.socket]


class Caller:
    """Somebody at the door."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def answer(self, data: bytes) -> None:
        """Say this, and close; nobody has to be there any more."""
        with contextlib.suppress(OSError), self._sock:
            self._sock.sendall(data)


class Door:
    """A listening socket at a path."""

    def __init__(self, sock: socket.socket, path: Path) -> None:
        self._sock = sock
        self._path = path
        sock.setblocking(False)

    @classmethod
    def build(cls, path: Path) -> Door:
        """A new one, also where a process that is no more has left its own. Raises `OSError`."""
        path.unlink(missing_ok=True)
        sock = socket.socket(socket.AF_UNIX)
        try:
            with _short(path) as address:
                sock.bind(address)
            path.chmod(0o600)
            sock.listen(CALLERS)
        except OSError:
            sock.close()
            raise
        return cls(sock, path)

    def fileno(self) -> int:
        """Readable when somebody is there."""
        return self._sock.fileno()

    def open(self) -> Caller | None:
        """Whoever is there; None where nobody is after all."""
        try:
            return Caller(self._sock.accept()[0])
        except OSError:
            return None

    def leave(self) -> None:
        """Free the descriptor: another process has the door."""
        self._sock.close()

    def close(self) -> None:
        """Take the door away."""
        self._path.unlink(missing_ok=True)
        self._sock.close()


def ask(path: Path) -> bytes:
    """Knock, and wait for the answer. Raises `OSError` where nobody is behind that door."""
    with socket.socket(socket.AF_UNIX) as sock:
        with _short(path) as address:
            sock.connect(address)
        with contextlib.suppress(ConnectionError):
            return b"".join(iter(lambda: sock.recv(LINE), b""))
    return b""


@contextlib.contextmanager
def _short(path: Path) -> Iterator[str]:
    """The path, or a way around the 107 bytes that an address may have (unix(7))."""
    if len(os.fsencode(path)) <= 100 or not Path("/proc/self/fd").exists():
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


class Channel:
    """One end of it; waits for at most `patience` seconds."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._data = b""

    @classmethod
    def pair(cls) -> tuple[Channel, socket.socket]:
        """Our end, and the one for the other process."""
        ours, theirs = socket.socketpair()
        return cls(ours), theirs

    @classmethod
    def inherited(cls, fd: int) -> Channel:
        """The end that this process was started with. Raises `OSError` where there is none."""
        os.set_inheritable(fd, False)
        return cls(socket.socket(fileno=fd))

    def fileno(self) -> int:
        """Readable when a line comes, or the end."""
        return self._sock.fileno()

    def tell(self, line: bytes, fds: Sequence[int] = ()) -> None:
        """One line, and descriptors for the other process. Raises `OSError`."""
        socket.send_fds(self._sock, [line + b"\n"], list(fds))

    def hear(self, patience: float | None = None) -> bytes:
        """The next line; b"" where the other process has ended. Raises `OSError` in the end."""
        return self.receive(patience)[0]

    def receive(self, patience: float | None = None) -> tuple[bytes, list[int]]:
        """The next line, and the descriptors that came with it."""
        self._sock.settimeout(patience)
        fds: list[int] = []
        while b"\n" not in self._data:
            data, more, _, _ = socket.recv_fds(self._sock, LINE, DESCRIPTORS)
            if not data:
                return b"", fds
            self._data += data
            fds += more
        line, _, self._data = self._data.partition(b"\n")
        return line, fds

    def close(self) -> None:
        """Nothing more will be said."""
        self._sock.close()


def adopted(fd: int) -> socket.socket:
    """The socket of a descriptor that another process has given us."""
    return socket.socket(fileno=fd)
