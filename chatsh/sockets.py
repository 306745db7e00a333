"""What the system is asked about a connected socket."""

from __future__ import annotations

import errno
import select
import socket

# The other system is asked, in seconds, and has so many milliseconds to take what was sent: no
# program has to answer.
_CLOSELY = {
    "TCP_KEEPIDLE": 2,
    "TCP_KEEPINTVL": 1,
    "TCP_KEEPCNT": 3,
    "TCP_USER_TIMEOUT": 5000,
}


def readable(sock: socket.socket, seconds: float) -> bool:
    """Whether something comes in time. Raises `OSError` where it was closed by another thread."""
    poll = select.poll()
    try:
        poll.register(sock, select.POLLIN)
    except ValueError as error:
        raise OSError(errno.EBADF, "closed") from error
    return bool(poll.poll(seconds * 1000))


def watch_closely(sock: socket.socket) -> None:
    """Have a socket that is kept alive notice within seconds that the other machine is gone."""
    for name, value in _CLOSELY.items():
        if option := getattr(socket, name, None):  # not every system has each
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
