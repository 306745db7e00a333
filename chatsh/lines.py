"""Lines of a pipe or a terminal, for a program that also has something else to wait for."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from types import FrameType
from typing import Generic, TextIO, TypeVar

from chatsh.exits import ExitCode
from chatsh.link import Keeper, Link

CHUNK = 65_536

Shown = TypeVar("Shown")


def silence(stream: TextIO) -> None:
    """Nobody takes what is written there; else Python would complain once more at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


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

    def more(self) -> bool:
        """Whether something has been typed already that was not taken yet."""
        return self.ready() or bool(select.select([self.fd], [], [], 0)[0])

    def wait(self, *, for_input: bool = True) -> None:
        """Wait to be woken, and for input if wanted; take it."""
        watched = [self._woken, self.fd] if for_input else [self._woken]
        readable, _, _ = select.select(watched, [], [])
        if self._woken in readable:
            os.read(self._woken, CHUNK)
        if self.fd in readable:
            try:
                data = os.read(self.fd, CHUNK)
            except OSError:  # a terminal that is gone
                data = b""
            self._data += data
            self._ended = not data

    def everything(self, most: int) -> bytes:
        """All that comes, up to its end; what is longer than `most` is longer by a little only."""
        while not self._ended and len(self._data) <= most:
            self.wait()
        return self._data

    def forget(self) -> None:
        """Drop what has no end yet."""
        whole, end, _ = self._data.rpartition(b"\n")
        self._data = whole + end

    def next(self) -> str | None:
        """The next line without its end, None at the end of all; waits for it."""
        while not self.ready():
            self.wait()
        if not self._data:
            return None
        line, _, self._data = self._data.partition(b"\n")
        return line.decode(errors="replace").removesuffix("\r")


class LineFront(ABC, Generic[Shown]):
    """Does line after line and prints what comes, both in the main thread, until told to leave."""

    def __init__(self, link: Link, lines: Lines) -> None:
        self._link = link
        self._lines = lines
        self._outbox: deque[Shown] = deque()
        self._code: int | None = None

    def post(self, shown: Shown) -> None:
        """Have this printed. From any thread."""
        self._outbox.append(shown)
        self._lines.wake()

    def leave(self, code: int) -> None:
        """End with this code; the first one counts. From any thread and from signal handlers."""
        if self._code is None:
            self._code = code
        self._lines.wake()

    def converse(self, keeper: Keeper) -> int:
        """Run every line, then leave; the exit code."""
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_end)
        keeper.start()
        try:
            while self._code is None:
                self._print()
                self._step()
        finally:
            keeper.stop()
        self._end()
        self._print()
        return self._code

    def _step(self) -> None:
        """Do the next line, or wait for something to happen."""
        if self._attentive and self._lines.ready():
            self._do(self._lines.next())
        else:
            self._lines.wait(for_input=self._attentive)

    @property
    def _attentive(self) -> bool:
        """Whether the next line is to be done now: when the one before it was answered."""
        return self._link.settled

    def _do(self, line: str | None) -> None:
        if line is None:
            self.leave(ExitCode.NORMAL)
        else:
            self._enter(line)

    def _on_end(self, number: int, _: FrameType | None) -> None:
        self.leave(128 + number)

    @abstractmethod
    def _enter(self, line: str) -> None:
        """Do a line."""

    @abstractmethod
    def _print(self) -> None:
        """Print what was posted."""

    def _end(self) -> None:  # a front need not do anything here
        """The link is closed; what is posted now is still printed."""

    def _taken(self) -> Iterator[Shown]:
        while self._outbox:
            yield self._outbox.popleft()
