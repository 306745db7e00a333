"""Lines from a pipe to a server and plain text back: no prompt, no colour, no terminal needed.

Each line waits for the answer to the one before it, so that a script's order is the server's order.
Only the main thread writes; the thread that reads the link wakes it through a pipe.
"""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from chatsh import render
from chatsh.conversation import Conversation
from chatsh.lines import LineFront, Lines
from chatsh.link import Link
from chatsh.settings import Settings
from chatsh.view import Shown, text_of


class Batch(LineFront[Shown]):
    """The front of a conversation that has no terminal."""

    def __init__(
        self, link: Link, lines: Lines, *, settings: Settings, reconnect: bool = False
    ) -> None:
        super().__init__(link, lines)
        self._conversation = Conversation(link, self, reconnect=reconnect, settings=settings)

    # --- the front, called from any thread ---

    def show(self, shown: Shown) -> None:
        """Queue lines for standard output."""
        self.post(shown)

    def refresh(self) -> None:
        """There is no status line, but the next line may have waited for this."""
        self._lines.wake()

    def call(self, sequence: str) -> None:
        """Nobody is there to be called."""

    def edit(self, text: str) -> str | None:
        """There is no screen that an editor could have."""
        self.show(render.complaint(render.NO_EDITOR))
        return None

    def secret(self, prompt: str) -> str | None:
        """Nobody is there to be asked."""
        return None

    def columns(self) -> int | None:
        """A program has no width."""
        return None

    # --- the main thread ---

    def run(self) -> int:
        """The whole conversation; the exit code."""
        return self.converse(self._conversation.keeper)

    def _enter(self, line: str) -> None:
        self._conversation.enter(line)

    def _end(self) -> None:
        self._conversation.keep_unsent()

    def _print(self) -> None:
        for text in self._texts():
            print(text.plain, flush=True)

    def _texts(self) -> Iterator[Text]:
        """What is to be printed of what was posted."""
        for shown in self._taken():
            text = text_of(shown)
            if text is not None:
                yield text
