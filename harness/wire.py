"""Actors that are sockets, and speak the protocol themselves."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
import time
from collections import deque
from typing import Any

from harness.actors import Actor, Launch
from harness.errors import BrokenPromiseError, NotApplicableError
from harness.frames import FRAMINGS
from harness.ports import on_the_way
from harness.reactor import Channel

LINGER_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close sends RST
CONNECT = 10.0  # seconds to give up connecting on loopback
NO_IPV6 = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)
SMALL = 4096  # bytes of receive buffer, so that a reader that stops is felt soon


class Wire(Actor):
    """A socket that speaks the protocol itself."""

    kind = "wire"
    address = ("", 0)  # where it connects to
    _channel: Channel | None = None  # before the start, and when the connection was refused

    def start(self, launch: Launch) -> None:
        """Connect."""
        framing = FRAMINGS[launch.frames]
        self._codec, self._encode = framing.codec(), framing.encode
        self._bytes = launch.frames == "bytes"
        self._paced, self._abrupt = launch.paced, launch.abrupt
        # Pieces, until what went before was read; of those with a pause, a byte at a time.
        self._waiting: deque[tuple[memoryview, float]] = deque()
        self._not_before = 0.0  # when the next piece may go
        self._channel, self.address = None, launch.address
        family = socket.AF_INET6 if ":" in launch.address[0] else socket.AF_INET
        try:
            self._socket = socket.socket(family, socket.SOCK_STREAM)
            self.joined = True  # from here on there is something to close
            if launch.slow:  # once it is connected, the kernel keeps megabytes for it
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
            self._socket.settimeout(CONNECT)
            self._connect(launch.address)
        except OSError as error:
            if family == socket.AF_INET6 and error.errno in NO_IPV6:
                raise NotApplicableError("this machine has no IPv6") from error
            self.deliver(f"cannot connect: {error.strerror or error}")
            self.end("refused")
            return
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._channel = Channel(
            self._reactor, self._socket.fileno(), self._fed, self._eof, half_open=True
        )

    def _connect(self, address: tuple[str, int]) -> None:
        """Connect; who connects through a link is connected when the link has passed it on."""
        taken = self.link.taken if self.link else 0
        self._socket.connect(address)
        if self.link and not self.link.obstacle:
            deadline = time.monotonic() + CONNECT
            self._reactor.until(lambda: self.link is None or self.link.taken > taken, deadline)

    def _fed(self, data: bytes) -> None:
        self.journal.tape(self.name, "o", data)
        for text, frame, is_frame in self._codec.feed(data):
            last = self.items[-1] if self.items else None
            if self._bytes and last and len(self.items) > self.cursor:
                last.text += text  # pieces have no borders: one item grows until it is consumed
            else:
                self.deliver(text, frame, is_frame=is_frame)

    def _eof(self, how: str) -> None:
        for text, frame, is_frame in self._codec.rest():
            self.deliver(text, frame, is_frame=is_frame)
        self.end(how)

    def send(self, frame: Any) -> None:
        """Send one frame."""
        self.send_bytes(self._encode(frame))

    def send_bytes(self, data: bytes, *, pause: float = 0.0) -> None:
        """Send bytes, as one write; with a pause (seconds), a byte at a time, while all goes on."""
        if self._channel is None or self.dismissed:
            raise BrokenPromiseError(f"{self.name} is not connected any more")
        if data:
            self._waiting.append((memoryview(data), pause))
        self.look()

    def look(self) -> None:
        """Send what waits: all of it, or, if paced, one piece once the one before was read."""
        while self._channel and self._channel.open and self._waiting:
            if self._paced and not self._was_read():
                self._reactor.look_soon()
                return
            if time.monotonic() < self._not_before:
                self._reactor.wake_by(self._not_before)
                return
            data = self._next_piece()
            self.journal.tape(self.name, "i", data)
            self._channel.write(data)

    def waits(self) -> bool:
        """Whether something is between the connection and us, on either way."""
        channel = self._channel
        return bool(self._waiting) or bool(
            channel and channel.open and (channel.holds_more() or not channel.written)
        )

    @property
    def inode(self) -> int:
        """The number by which the kernel's tables know the socket; 0 without one."""
        return os.fstat(self._channel.fd).st_ino if self._channel and self._channel.open else 0

    def _next_piece(self) -> bytes:
        piece, pause = self._waiting.popleft()
        if not pause:
            return bytes(piece)
        self._not_before = time.monotonic() + pause
        if len(piece) > 1:
            self._waiting.appendleft((piece[1:], pause))
        return bytes(piece[:1])

    @property
    def sending(self) -> float:
        """Seconds for which it will still be sending, a byte at a time."""
        return sum(len(piece) * pause for piece, pause in self._waiting)

    def _was_read(self) -> bool:
        assert self._channel
        if self.ended is not None:
            return True
        if not self._channel.written:
            return False
        try:
            ours, theirs = self._socket.getsockname(), self._socket.getpeername()
        except OSError:  # the other side is gone
            return True
        return not on_the_way(ours, theirs)

    def _send_the_rest(self) -> None:
        """What was sent by the scenario arrives before the end that it makes."""

        def arrived() -> bool:
            if self._channel is None or self.ended is not None:
                return True
            if self._waiting or not self._paced:
                return not self._waiting and self._channel.written
            self._reactor.look_soon()
            return self._was_read()

        self._reactor.until(arrived, time.monotonic() + CONNECT + self.sending)

    def half_close(self) -> None:
        """Say that nothing more will be sent; go on reading."""
        self._send_the_rest()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def set_reading(self, on: bool) -> None:
        """Stop taking what arrives, or go on."""
        if self._channel:
            self._channel.set_reading(on)

    def hang_up(self, *, reset: bool = False) -> None:
        """Close the connection from this side, orderly or by a reset."""
        if reset:
            self._waiting.clear()
            self._break_off()
        else:
            self._send_the_rest()
            if self._abrupt and self._was_closed():
                self._break_off()
        if self._channel:
            self._channel.close()
        self._socket.close()
        self.dismissed = True
        self.end("we hung up")

    def _break_off(self) -> None:
        """Let the next close be a reset."""
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)

    def _was_closed(self) -> bool:
        """Whether the other side has closed first: then its port stays taken for a minute.

        Unless we answer with a reset, which it cannot tell from a close any more.
        """
        try:
            self._socket.setblocking(False)
            return self._socket.recv(1, socket.MSG_PEEK) == b""
        except OSError:
            return False

    def close(self) -> None:
        """Release everything."""
        if self.joined:
            if self._abrupt:
                self._break_off()
            if self._channel:
                self._channel.close()
            self._socket.close()
