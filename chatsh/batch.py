"""Lines from a pipe to a server and plain text back: no prompt, no colour, no terminal needed.

Each line waits for the answer to the one before it, so that a script's order is the server's order.
Only the main thread writes; the thread that reads the link wakes it through a pipe.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections import deque
from collections.abc import Iterator

from rich.text import Text

from chatsh.conversation import Conversation, ExitCode
from chatsh.link import Link

CHUNK = 65_536


class Lines:
    """Lines of a descriptor, one at a time, without reading past what `select` knows about."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._data = b""
        self._ended = False

    def ready(self) -> bool:
        """Whether `next` gives something, or the end, without waiting."""
        return b"\n" in self._data or self._ended

    def fill(self) -> None:
        """Take what has come; waits where there is nothing."""
        data = os.read(self.fd, CHUNK)
        self._data += data
        self._ended = not data

    def next(self) -> str | None:
        """The next line without its end, None at the end of all; waits for it."""
        while not self.ready():
            self.fill()
        if not self._data:
            return None
        line, _, self._data = self._data.partition(b"\n")
        return line.decode(errors="replace").removesuffix("\r")


class Batch:
    """The front of a conversation that has no terminal."""

    def __init__(self, link: Link, lines: Lines) -> None:
        self._conversation = Conversation(link, self, reconnect=False)
        self._link = link
        self._lines = lines
        self._outbox: deque[Text] = deque()
        self._code: int | None = None
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._wake, False)

    # --- the front, called from any thread ---

    def show(self, text: Text) -> None:
        """Queue lines for standard output."""
        self._outbox.append(text)
        self._rouse()

    def leave(self, code: int) -> None:
        """End with this code; the first one counts."""
        if self._code is None:
            self._code = code
        self._rouse()

    def secret(self, prompt: str) -> str | None:
        """Nobody is there to be asked."""
        return None

    def _rouse(self) -> None:
        with contextlib.suppress(BlockingIOError):  # enough is in it already
            os.write(self._wake, b"!")

    # --- the main thread ---

    def run(self) -> int:
        """Run every line, then leave; the exit code."""
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda got, _: self.leave(128 + got))
        self._conversation.keeper.start()
        try:
            while self._code is None:
                self._step()
        finally:
            self._conversation.keeper.stop()
        self._print()
        return self._code

    def _step(self) -> None:
        """Do the next line, or wait for something to happen."""
        if not self._link.settled:
            self._wait([])
        elif not self._lines.ready():
            self._wait([self._lines.fd])
        else:
            line = self._lines.next()
            self._print()
            if line is None:
                self.leave(ExitCode.NORMAL)
            else:
                self._conversation.enter(line)

    def _wait(self, more: list[int]) -> None:
        readable, _, _ = select.select([self._woken, *more], [], [])
        if self._woken in readable:
            os.read(self._woken, CHUNK)
        if self._lines.fd in readable:
            self._lines.fill()
        self._print()

    def _print(self) -> None:
        for text in self._taken():
            print(text.plain, flush=True)

    def _taken(self) -> Iterator[Text]:
        while self._outbox:
            yield self._outbox.popleft()
