"""One loop that drains everything: terminals, sockets and pipes of one scenario.

Single-threaded, readiness-based. Nothing ever blocks on a full pipe because nobody is reading it,
and the order of arrival in this loop is the order of events in the report.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import select
import selectors
import time
from collections import deque
from collections.abc import Callable
from typing import Any

READ = 65_536  # bytes per read
TICK = 0.02  # seconds between looks at what has no descriptor: processes that end
SOON = 0.001  # the same, while somebody waits for what no descriptor tells

GONE = {errno.EIO: "fin", errno.ECONNRESET: "reset", errno.EPIPE: "reset"}


class Reactor:
    """Waits for descriptors, moves bytes, and calls `after` whenever something may have changed."""

    def __init__(self, selector: Any = None) -> None:
        self._selector = selector or selectors.DefaultSelector()
        self.looks: list[Callable[[], None]] = []  # called once per step
        self._tick, self._wake = TICK, math.inf

    def now(self) -> float:
        """The time of everything that this loop does, in seconds."""
        return time.monotonic()

    def step(self, deadline: float) -> None:
        """Wait for something to happen, for a tick or the deadline; handle it."""
        timeout = max(0.0, min(self._tick, min(deadline, self._wake) - time.monotonic()))
        self._tick, self._wake = TICK, math.inf
        for key, events in self._selector.select(timeout):
            channel: Channel = key.data
            if events & selectors.EVENT_READ and channel.open:
                channel.readable()
            if events & selectors.EVENT_WRITE and channel.open:
                channel.writable()
        for look in list(self.looks):
            look()

    def look_soon(self) -> None:
        """Let the next step be a short one."""
        self._tick = SOON

    def wake_by(self, moment: float) -> None:
        """Let the next step end at this moment of `time.monotonic`, if nothing ends it before.

        For one step only: whoever is called once per step says it again, as long as it is so.
        """
        self._wake = min(self._wake, moment)

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
    """One descriptor: bytes in by callback, bytes out by queue, each piece a write.

    `half_open`: when nothing more is to be read, it can still be written to, as with sockets.
    """

    def __init__(
        self,
        reactor: Reactor,
        fd: int,
        on_data: Callable[[bytes], None],
        on_end: Callable[[str], None],
        *,
        half_open: bool = False,
    ) -> None:
        self._reactor, self.fd = reactor, fd
        self._on_data, self._on_end = on_data, on_end
        self._out: deque[bytes] = deque()
        self.reading, self.open = True, True
        self.broken = False  # nothing can be written any more
        self._held = False  # neither read nor written
        self._half_open, self._ended = half_open, False  # ended: nothing more to read
        os.set_blocking(fd, False)
        reactor.register(self)

    def interest(self) -> int:
        """The events to wait for."""
        if self._held:
            return 0
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

    def holds_more(self) -> bool:
        """Whether bytes wait to be read, or the end does. Never blocks."""
        looked = select.poll()
        looked.register(self.fd, select.POLLIN)
        return bool(looked.poll(0))

    def set_reading(self, on: bool) -> None:
        """Stop or go on taking what the other side writes."""
        if self.reading != on:
            self.reading = on
            self._update()

    def hold(self, on: bool) -> None:
        """Neither read nor write, or go on."""
        self._held = on
        self._update()

    def _update(self) -> None:
        if self.open:
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
        while self._out and not self._held:
            try:
                sent = os.write(self.fd, self._out[0])
            except BlockingIOError:
                break
            except OSError:
                self._out.clear()  # the reading side will say why
                self.broken = True
                break
            if sent < len(self._out[0]):
                self._out[0] = self._out[0][sent:]
                break
            self._out.popleft()
        self._update()

    def close(self) -> None:
        """Let go of the descriptor; closing it is the owner's."""
        if self.open:
            self.open = False
            self._reactor.forget(self)

    def _end(self, how: str) -> None:
        if not self._ended:
            self._ended = True
            if how == "reset" or not self._half_open:
                self._out.clear()
            with contextlib.suppress(KeyError, ValueError):
                self._reactor.register(self)
            self._on_end(how)
