"""One loop that drains everything: terminals, sockets and pipes of one scenario.

Single-threaded, readiness-based. Nothing ever blocks on a full pipe because nobody is reading it,
and the order of arrival in this loop is the order of events in the report.
"""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import time
from collections import deque
from collections.abc import Callable

READ = 65_536  # bytes per read
TICK = 0.02  # seconds between looks at what has no descriptor: processes that end

GONE = {errno.EIO: "fin", errno.ECONNRESET: "reset", errno.EPIPE: "reset"}


class Reactor:
    """Waits for descriptors, moves bytes, and calls `after` whenever something may have changed."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self.looks: list[Callable[[], None]] = []  # called once per step

    def step(self, deadline: float) -> None:
        """Wait for something to happen, for a tick or the deadline; handle it."""
        timeout = max(0.0, min(TICK, deadline - time.monotonic()))
        for key, events in self._selector.select(timeout):
            channel: Channel = key.data
            if events & selectors.EVENT_READ and channel.open:
                channel.readable()
            if events & selectors.EVENT_WRITE and channel.open:
                channel.writable()
        for look in list(self.looks):
            look()

    def until(self, done: Callable[[], bool], deadline: float) -> bool:
        """Step until `done`; false if the deadline came first."""
        while not done():
            if time.monotonic() >= deadline:
                return False
            self.step(deadline)
        return True

    def register(self, channel: Channel) -> None:
        """(Re)register what the channel waits for now."""
        events = channel.interest()
        known = channel.fd in self._selector.get_map()
        if not events:
            if known:
                self._selector.unregister(channel.fd)
        elif known:
            self._selector.modify(channel.fd, events, channel)
        else:
            self._selector.register(channel.fd, events, channel)

    def forget(self, channel: Channel) -> None:
        """The descriptor is about to be closed."""
        if channel.fd in self._selector.get_map():
            self._selector.unregister(channel.fd)

    def close(self) -> None:
        """Release the selector."""
        self._selector.close()


class Channel:
    """One descriptor: bytes in by callback, bytes out by queue, each piece a write."""

    def __init__(
        self,
        reactor: Reactor,
        fd: int,
        on_data: Callable[[bytes], None],
        on_end: Callable[[str], None],
    ) -> None:
        self._reactor, self.fd = reactor, fd
        self._on_data, self._on_end = on_data, on_end
        self._out: deque[bytes] = deque()
        self.reading, self.open = True, True
        self._ended = False  # nothing more to read
        os.set_blocking(fd, False)
        reactor.register(self)

    def interest(self) -> int:
        """The events to wait for."""
        wanted = selectors.EVENT_READ if self.reading and not self._ended else 0
        return wanted | (selectors.EVENT_WRITE if self._out else 0)

    def write(self, data: bytes) -> None:
        """Queue one piece."""
        if self.open and data:
            self._out.append(data)
            self.writable()

    @property
    def written(self) -> bool:
        """Whether everything queued was taken by the kernel."""
        return not self._out

    def set_reading(self, on: bool) -> None:
        """Stop or go on taking what the other side writes."""
        self.reading = on
        self._reactor.register(self)

    def readable(self) -> None:
        """Read once."""
        try:
            data = os.read(self.fd, READ)
        except BlockingIOError:
            return
        except OSError as error:
            self._end(GONE.get(error.errno or 0, "reset"))
            return
        if data:
            self._on_data(data)
        else:
            self._end("fin")

    def writable(self) -> None:
        """Write what is queued, as far as it goes."""
        while self._out:
            try:
                sent = os.write(self.fd, self._out[0])
            except BlockingIOError:
                break
            except OSError:
                self._out.clear()  # the reading side will say why
                break
            if sent < len(self._out[0]):
                self._out[0] = self._out[0][sent:]
                break
            self._out.popleft()
        if self.open:
            self._reactor.register(self)

    def close(self) -> None:
        """Let go of the descriptor; closing it is the owner's."""
        if self.open:
            self.open = False
            self._reactor.forget(self)

    def _end(self, how: str) -> None:
        if not self._ended:
            self._ended = True
            self._out.clear()
            with contextlib.suppress(KeyError, ValueError):
                self._reactor.register(self)
            self._on_end(how)
