"""Actors that are sockets, and speak the protocol themselves."""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
from typing import Any

from harness.actors import Actor, Launch
from harness.errors import BrokenPromiseError, NotApplicableError
from harness.frames import FRAMINGS
from harness.reactor import Channel

LINGER_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close sends RST
CONNECT = 10.0  # seconds to give up connecting on loopback
NO_IPV6 = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)
SMALL = 4096  # bytes of receive buffer, so that a reader that stops is felt soon


class Wire(Actor):
    """A socket that speaks the protocol itself."""

    kind = "wire"

    def start(self, launch: Launch) -> None:
        """Connect."""
        framing = FRAMINGS[launch.frames]
        self._codec, self._encode = framing.codec(), framing.encode
        self._bytes = launch.frames == "bytes"
        self._channel: Channel | None = None
        family = socket.AF_INET6 if ":" in launch.address[0] else socket.AF_INET
        try:
            self._socket = socket.socket(family, socket.SOCK_STREAM)
            self.joined = True  # from here on there is something to close
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * SMALL)
            self._socket.settimeout(CONNECT)
            self._socket.connect(launch.address)
        except OSError as error:
            if family == socket.AF_INET6 and error.errno in NO_IPV6:
                raise NotApplicableError("this machine has no IPv6") from error
            self.deliver(f"cannot connect: {error.strerror or error}")
            self.end("refused")
            return
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._channel = Channel(self._reactor, self._socket.fileno(), self._fed, self._eof)

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

    def send_bytes(self, data: bytes) -> None:
        """Send bytes, as one write."""
        if self._channel is None or self.dismissed:
            raise BrokenPromiseError(f"{self.name} is not connected any more")
        self.journal.tape(self.name, "i", data)
        self._channel.write(data)

    @property
    def sent(self) -> bool:
        """Whether the kernel has taken everything."""
        return self._channel is None or self._channel.written

    def half_close(self) -> None:
        """Say that nothing more will be sent; go on reading."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def set_reading(self, on: bool) -> None:
        """Stop taking what arrives, or go on."""
        if self._channel:
            if not on:
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
            self._channel.set_reading(on)

    def hang_up(self, *, reset: bool = False) -> None:
        """Close the connection from this side, orderly or by a reset."""
        if reset:
            with contextlib.suppress(OSError):
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
        if self._channel:
            self._channel.close()
        self._socket.close()
        self.dismissed = True
        self.end("we hung up")

    def close(self) -> None:
        """Release everything."""
        if self.joined:
            if self._channel:
                self._channel.close()
            self._socket.close()
