"""The network between one actor and the server: a proxy in the run's own reactor.

An actor has a link if its scenario says anything about it; its `${server.port}` is the port of
the link then. A connection that it makes is continued to the server, byte by byte, and every
end is passed on as it came: FIN, half-close, RST. What a link cannot pass on is the refusal of
a server that is down: there the connection is made, and reset at once.

Nothing here waits. What is under way has a moment at which it is due, and the reactor wakes
for the next of them. A direction holds about `QUEUE` bytes, then its source is no longer
read, and feels it: the kernel's buffers on either side are small.
"""

from __future__ import annotations

import contextlib
import errno
import math
import random
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from msgspec import Struct

from harness.errors import SetupError
from harness.reactor import Channel, Reactor
from harness.values import rate, seconds

QUEUE = 64 * 1024  # bytes under way in one direction, from which on its source is not read
BUFFER = 32 * 1024  # bytes of the kernel's buffers at either end; the kernel doubles it
BURST = 0.02  # seconds of a bandwidth that are passed on at once
DRAIN = 1 << 20  # bytes read and dropped before an orderly close, so that it is one
TRIES = 20  # to find a port that is free for IPv4 and IPv6
LINGER_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close sends RST
NO_IPV6 = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)
HERE = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
LOOPBACK = ("", "localhost", "0.0.0.0", "::", *HERE.values())  # noqa: S104 - compared with

Piece = memoryview | str  # bytes, or how the direction ended: `fin`, `reset`


class Shape(Struct, frozen=True):
    """What a link does to what passes, in each direction."""

    latency: float = 0.0  # seconds
    jitter: float = 0.0  # seconds more or less
    bandwidth: float = 0.0  # bytes per second; 0: no limit
    slice: int = 0  # bytes per write at most; 0: no limit

    @property
    def most(self) -> int | None:
        """Bytes to pass on at once."""
        limits = [max(1, int(self.bandwidth * BURST))] if self.bandwidth else []
        return min(limits + ([self.slice] if self.slice else []), default=None)


def shape(value: Mapping[str, Any]) -> Shape:
    """The shape that `{latency: 80ms, jitter: 20ms, bandwidth: 8kB/s, slice: 1}` stands for."""
    return Shape(
        latency=seconds(value.get("latency")) or 0.0,
        jitter=seconds(value.get("jitter")) or 0.0,
        bandwidth=rate(value.get("bandwidth")) or 0.0,
        slice=int(value.get("slice") or 0),
    )


class _Way:
    """One direction: pieces in the order in which they came, none before its time."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self._pieces: deque[tuple[float, Piece]] = deque()
        self._last = self._free = 0.0  # when the last piece is due; when the bandwidth allows more
        self.reset_due = math.inf  # when the source's reset is felt, whatever is still under way
        self.queued = 0  # bytes

    def put(self, piece: bytes | str, shape_: Shape) -> None:
        """Something has come in, or the end of it."""
        wobble = self._dice.uniform(-shape_.jitter, shape_.jitter) if shape_.jitter else 0.0
        due = time.monotonic() + max(0.0, shape_.latency + wobble)
        self._last = max(self._last, due)  # nothing overtakes
        if not isinstance(piece, str):
            self.queued += len(piece)
            self._pieces.append((self._last, memoryview(piece)))
            return
        self._pieces.append((self._last, piece))
        if piece == "reset":
            self.reset_due = self._last

    def due(self, shape_: Shape) -> float | None:
        """When the next piece may pass; none if there is nothing."""
        if not self._pieces:
            return None
        return max(self._pieces[0][0], self._free if shape_.bandwidth else 0.0)

    def take(self, shape_: Shape) -> bytes | str | None:
        """The next piece, if its time has come."""
        due, now = self.due(shape_), time.monotonic()
        if due is None or due > now:
            return None
        moment, piece = self._pieces.popleft()
        if isinstance(piece, str):
            return piece
        most = shape_.most or len(piece)
        if len(piece) > most:
            self._pieces.appendleft((moment, piece[most:]))
        part = bytes(piece[:most])
        self.queued -= len(part)
        if shape_.bandwidth:
            self._free = max(self._free, now - BURST) + len(part) / shape_.bandwidth
        return part


class _Connection:
    """A connection through a link. End 0 is the actor's, end 1 the server's."""

    def __init__(self, link: Link, ends: tuple[socket.socket, socket.socket]) -> None:
        self._link, self._ends = link, ends
        self._ways = [_Way(link.dice()), _Way(link.dice())]  # from end 0, from end 1
        self._closed = [False, False]  # nothing more is passed on to this end
        self._channels = [
            Channel(
                link.reactor, end.fileno(), partial(self._fed, at), partial(self._ended, at),
                half_open=True,
            )
            for at, end in enumerate(ends)
        ]  # fmt: skip
        self.open = True

    def _fed(self, at: int, data: bytes) -> None:
        self._ways[at].put(data, self._link.shape)

    def _ended(self, at: int, how: str) -> None:
        self._ways[at].put(how, self._link.shape)

    def hold(self, on: bool) -> None:
        """Let nothing pass, or everything again."""
        for channel in self._channels:
            channel.hold(on)

    @property
    def busy(self) -> bool:
        """Whether something is under way."""
        written = all(channel.written for channel in self._channels)
        return not written or any(way.queued for way in self._ways)

    def look(self) -> None:
        """Pass on whatever is due."""
        for at in (0, 1):
            if self.open:
                self._pass(at)
        if all(self._closed):
            self.close()

    def _pass(self, at: int) -> None:
        """Pass on what end `at` has said."""
        way, target, shape_ = self._ways[at], self._channels[1 - at], self._link.shape
        while target.written and (piece := way.take(shape_)) is not None:
            if isinstance(piece, str):
                self._end(1 - at, piece)
                return
            target.write(piece)
            if shape_.slice:  # one write per turn, or the kernel would join them again
                break
        if target.broken or way.reset_due <= time.monotonic():
            self.close(reset=True)  # one of them has gone; what is under way is for nobody
            return
        self._channels[at].set_reading(way.queued <= QUEUE)
        due = way.due(shape_) if target.written else None
        self._link.reactor.wake_by(way.reset_due if due is None else due)

    def _end(self, at: int, how: str) -> None:
        """Tell end `at` how the other one has ended."""
        if how == "reset":
            self.close(reset=True)
            return
        self._closed[at] = True
        with contextlib.suppress(OSError):
            self._ends[at].shutdown(socket.SHUT_WR)

    def close(self, *, reset: bool = False) -> None:
        """Close both ends, orderly or by a reset; what is under way is lost."""
        if not self.open:
            return
        self.open = False
        for channel, end in zip(self._channels, self._ends, strict=True):
            channel.close()
            _break_off(end) if reset else _close_orderly(end)
        self._ways = [_Way(self._link.dice()), _Way(self._link.dice())]


class _Door(Channel):
    """A listening socket: readable means that somebody knocks."""

    def __init__(
        self, reactor: Reactor, listener: socket.socket, knock: Callable[[socket.socket], None]
    ) -> None:
        self.listener, self._knock = listener, knock
        super().__init__(reactor, listener.fileno(), _ignore, _ignore)

    def readable(self) -> None:
        """Take one connection."""
        with contextlib.suppress(OSError):  # it may have gone away again
            self._knock(self.listener.accept()[0])


class Link:
    """The way of one actor to the server; `port` and `host` are what the actor connects to.

    `server` says where the server is, whenever a connection is made; `seed` decides the jitter.
    """

    def __init__(
        self, reactor: Reactor, server: Callable[[], tuple[str, int]], seed: object
    ) -> None:
        self.reactor, self._server = reactor, server
        self._seeds = random.Random(str(seed))  # noqa: S311 - has to be repeatable, not secret
        self.state, self.shape = "restored", Shape()
        self.taken = 0  # connections that were continued to the server
        self._lost = False  # its connections were broken off, and nobody has connected since
        self._connections: list[_Connection] = []
        self._doors: list[_Door] = []
        # The port is kept while nobody listens at it: then a connection is refused, by the kernel.
        self._kept = _new_port()
        self.port = int(self._kept[0].getsockname()[1])
        self.host = "::1" if server()[0] == "::1" else HERE[socket.AF_INET]
        self._listen()
        reactor.looks.append(self.look)

    def dice(self) -> random.Random:
        """The chances of one direction of one connection."""
        return random.Random(self._seeds.random())  # noqa: S311

    @property
    def obstacle(self) -> str:
        """Why the actor cannot prove anything through it; empty if it can."""
        if self.state != "restored":
            return f"its link is {self.state}"
        return "its link was broken off, and it has not come back since" if self._lost else ""

    @property
    def busy(self) -> bool:
        """Whether something is under way and will arrive."""
        return self.state == "restored" and any(one.busy for one in self._connections)

    def fresh(self) -> None:
        """The actor starts: what was before is forgotten."""
        self._lost = False

    # What can be done to it.

    def become(self, value: Any) -> None:
        """`cut`, `reset`, `frozen`, `restored`, or a mapping as `shape` reads it."""
        {"cut": self._cut, "reset": self._reset, "frozen": self._freeze}.get(
            str(value), partial(self._restore, value)
        )()

    def _cut(self) -> None:
        self.state = "cut"
        self._shut_doors()
        self._break(reset=False)

    def _reset(self) -> None:
        self._break(reset=True)

    def _break(self, *, reset: bool) -> None:
        self._lost |= bool(self._connections)
        for connection in self._connections:
            connection.close(reset=reset)
        self._connections.clear()

    def _freeze(self) -> None:
        self.state = "frozen"
        self._listen()  # in the kernel's queue a connection is made, and that is all
        self._hold(True)

    def _restore(self, value: Any) -> None:
        self.state = "restored"
        self.shape = shape(value) if isinstance(value, Mapping) else Shape()
        self._listen()
        self._hold(False)

    def _hold(self, on: bool) -> None:
        for door in self._doors:
            door.hold(on)
        for connection in self._connections:
            connection.hold(on)

    # Connections.

    def _listen(self) -> None:
        for kept in self._kept if not self._doors else ():
            listener = _socket(kept.family)
            listener.bind(kept.getsockname())
            listener.listen(128)
            self._doors.append(_Door(self.reactor, listener, self._accept))

    def _shut_doors(self) -> None:
        for door in self._doors:
            door.close()
            door.listener.close()
        self._doors.clear()

    def _accept(self, ours: socket.socket) -> None:
        _prepare(ours)
        try:
            host, port = self._server()
            theirs = _dial(HERE[ours.family] if host in LOOPBACK else host, port)
        except OSError:
            _break_off(ours)
            return
        self._lost = False
        self.taken += 1
        self._connections.append(_Connection(self, (ours, theirs)))

    def look(self) -> None:
        """Pass on whatever is due; called once per turn of the reactor."""
        if self.state != "restored":
            return
        for connection in self._connections:
            connection.look()
        self._connections = [one for one in self._connections if one.open]

    def close(self) -> None:
        """Release everything."""
        if self.look in self.reactor.looks:
            self.reactor.looks.remove(self.look)
        self._shut_doors()
        self._break(reset=True)
        for kept in self._kept:
            kept.close()


def _socket(family: int) -> socket.socket:
    found = socket.socket(family, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        found.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    for buffer in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        found.setsockopt(socket.SOL_SOCKET, buffer, BUFFER)  # before anybody connects
    return found


def _new_port() -> list[socket.socket]:
    """Sockets that keep one port for IPv4 and, where the machine has it, for IPv6."""
    for _ in range(TRIES):
        first = _socket(socket.AF_INET)
        first.bind((HERE[socket.AF_INET], 0))
        second = _socket(socket.AF_INET6) if socket.has_ipv6 else None
        try:
            if second is not None:
                second.bind((HERE[socket.AF_INET6], first.getsockname()[1]))
                return [first, second]
        except OSError as error:
            assert second
            second.close()
            if error.errno not in NO_IPV6:
                first.close()
                continue
        return [first]
    raise SetupError("no port is free for a link, for IPv4 and IPv6")


def _prepare(one: socket.socket) -> None:
    one.setblocking(False)
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _dial(host: str, port: int) -> socket.socket:
    """A connection that is about to be made; how that went shows when it is used."""
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    found = _socket(family)
    _prepare(found)
    failed = found.connect_ex(address)
    if failed not in (0, errno.EINPROGRESS):
        found.close()
        raise OSError(failed, "cannot connect")
    return found


def _break_off(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
    end.close()


def _close_orderly(end: socket.socket) -> None:
    """Close by FIN: with bytes unread in its buffer, the kernel would send RST instead."""
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_WR)
        left = DRAIN
        while left > 0 and (data := end.recv(QUEUE)):
            left -= len(data)
    end.close()


def _ignore(_said: object) -> None:
    return
