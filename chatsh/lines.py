"""Lines of a pipe or a terminal, for a program that also has something else to wait for."""

from __future__ import annotations

import contextlib
import os
import select
import signal

CHUNK = 65_536


class Lines:
    """Lines of a descriptor, one at a time; whoever waits for one can be woken."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._data = b""
        self._ended = False
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._wake, False)

    def wake_on_signals(self) -> None:
        """Let a signal end the waiting even if it comes just before the waiting begins."""
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)

    def wake(self) -> None:
        """End the waiting, the present one or the next. From any thread."""
        with contextlib.suppress(BlockingIOError):  # enough is in it already
            os.write(self._wake, b"!")

    def ready(self) -> bool:
        """Whether `next` gives something, or the end, without waiting."""
        return b"\n" in self._data or self._ended

    def wait(self, *, for_input: bool = True) -> None:
        """Wait to be woken, and for input if wanted; take it."""
        watched = [self._woken, self.fd] if for_input else [self._woken]
        readable, _, _ = select.select(watched, [], [])
        if self._woken in readable:
            os.read(self._woken, CHUNK)
        if self.fd in readable:
            data = os.read(self.fd, CHUNK)
            self._data += data
            self._ended = not data

    def next(self) -> str | None:
        """The next line without its end, None at the end of all; waits for it."""
        while not self.ready():
            self.wait()
        if not self._data:
            return None
        line, _, self._data = self._data.partition(b"\n")
        return line.decode(errors="replace").removesuffix("\r")
