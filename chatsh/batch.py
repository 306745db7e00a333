"""Lines from a pipe to a server and plain text back: no prompt, no colour, no terminal needed.

Each line waits for the answer to the one before it, so that a script's order is the server's order.
Only the main thread writes; the thread that reads the link wakes it through a pipe.
"""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Iterator

from rich.text import Text

from chatsh.conversation import Conversation
from chatsh.exits import ExitCode
from chatsh.lines import Lines
from chatsh.link import Link
from chatsh.settings import Settings
from chatsh.view import Shown, text_of


class Batch:
    """The front of a conversation that has no terminal."""

    def __init__(self, link: Link, lines: Lines, settings: Settings) -> None:
        self._conversation = Conversation(link, self, reconnect=False, settings=settings)
        self._link = link
        self._lines = lines
        self._outbox: deque[Shown] = deque()
        self._code: int | None = None

    # --- the front, called from any thread ---

    def show(self, shown: Shown) -> None:
        """Queue lines for standard output."""
        self._outbox.append(shown)
        self._lines.wake()

    def leave(self, code: int) -> None:
        """End with this code; the first one counts."""
        if self._code is None:
            self._code = code
        self._lines.wake()

    def refresh(self) -> None:
        """There is no status line."""

    def call(self, sequence: str) -> None:
        """Nobody is there to be called."""

    def edit(self, text: str) -> str | None:
        """Nobody is there to write."""
        return None

    def secret(self, prompt: str) -> str | None:
        """Nobody is there to be asked."""
        return None

    def columns(self) -> int | None:
        """A program has no width."""
        return None

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
        self._conversation.keep_unsent()
        self._print()
        return self._code

    def _step(self) -> None:
        """Do the next line, or wait for something to happen."""
        if self._link.settled and self._lines.ready():
            self._do(self._lines.next())
        else:
            self._lines.wait(for_input=self._link.settled)
        self._print()

    def _do(self, line: str | None) -> None:
        if line is None:
            self.leave(ExitCode.NORMAL)
        else:
            self._conversation.enter(line)

    def _print(self) -> None:
        for text in self._taken():
            print(text.plain, flush=True)

    def _taken(self) -> Iterator[Text]:
        while self._outbox:
            text = text_of(self._outbox.popleft())
            if text is not None:
                yield text
