"""The front for who hears or feels the terminal: lines are only ever added, nothing is redrawn.

The terminal's own line editing takes the keys, so that a screen reader meets what it meets in every
other program: a line is this program's when Enter is pressed. What is being typed then cannot be
seen from here, nor moved. What arrives begins on a new line, and the prompt is said again behind
it; the keys typed before it still belong to the line, and most terminals show them again on Ctrl-R.
"""

from __future__ import annotations

import getpass
import signal
import sys
from types import FrameType

from chatsh.batch import Batch
from chatsh.exits import ExitCode
from chatsh.lines import Lines, silence
from chatsh.link import Link
from chatsh.settings import Settings


class Plain(Batch):
    """A conversation on a terminal of which nothing is asked but to show lines."""

    def __init__(self, link: Link, lines: Lines, *, settings: Settings, reconnect: bool) -> None:
        super().__init__(link, lines, settings=settings, reconnect=reconnect)
        self._at_prompt = False  # the cursor is behind it
        self._interrupted = False
        self._asking = False  # in a system call that only an exception ends

    def secret(self, prompt: str) -> str | None:
        """Ask without echo; None for an empty answer, Ctrl-C or Ctrl-D."""
        self._asking = True
        try:
            return getpass.getpass(prompt) or None
        except (EOFError, KeyboardInterrupt, UnicodeDecodeError):
            print()
            return None
        finally:
            self._asking = False

    def run(self) -> int:
        """The whole conversation; the exit code."""
        signal.signal(signal.SIGINT, self._on_interrupt)
        signal.signal(signal.SIGCONT, self._on_return)
        self._conversation.view.attended()
        self._conversation.offer_unsent()
        return super().run()

    @property
    def _attentive(self) -> bool:
        return True  # a person need not wait

    def _enter(self, line: str) -> None:
        self._at_prompt = False  # Enter has ended the row
        self._conversation.view.attended()
        self._conversation.enter(line)

    def _print(self) -> None:
        try:
            self._write()
        except OSError:  # the terminal is gone
            silence(sys.stdout)
            self.leave(ExitCode.NORMAL)

    def _write(self) -> None:
        shown = list(self._texts())
        if self._interrupted:
            self._lines.forget()  # as the terminal has
        if self._at_prompt and (shown or self._interrupted or self._code is not None):
            print()
            self._at_prompt = False
        for text in shown:
            print(text.plain)
        if not self._at_prompt and (shown or self._interrupted or not self._awaited):
            self._prompt()
        self._interrupted = False
        sys.stdout.flush()

    def _prompt(self) -> None:
        """Say it, unless the next line was typed already: its Enter would stand before it."""
        if self._code is None and not self._lines.more():
            print(self._conversation.prompt, end="")
            self._at_prompt = True

    @property
    def _awaited(self) -> bool:
        """Whether the answer to what was typed is about to come, and then the prompt behind it."""
        return self._link.client.opened and not self._link.settled

    def _on_interrupt(self, _: int, __: FrameType | None) -> None:
        if self._asking:
            raise KeyboardInterrupt
        self._interrupted = True
        self._lines.wake()

    def _on_return(self, _: int, __: FrameType | None) -> None:
        """From Ctrl-Z: the terminal was somebody else's, and the cursor is in a new row."""
        self._at_prompt = False
        self._lines.wake()

    def _on_end(self, number: int, frame: FrameType | None) -> None:
        super()._on_end(number, frame)
        if self._asking:
            raise KeyboardInterrupt
