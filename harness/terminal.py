"""A model of the terminal a program draws on.

pyte keeps the screen; this subclass adds what judging a conversation needs: rows keep their
number when they scroll off (`top` is the number of the first row on the screen), a row that was
wrapped by the terminal is known as such, the alternate screen of full-screen programs does not
disturb the lines below it, and questions for the cursor's position are answered. Sequences that
the model does not know are dropped: no output of a program can raise here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyte

ALTERNATE = frozenset({47, 1047, 1049})  # DEC private modes that switch to the alternate screen
HISTORY = 20_000  # rows kept after they scrolled off


class Terminal(pyte.Screen):
    """A screen with numbered rows; `answer` writes to the program, as a real terminal would."""

    def __init__(self, columns: int, lines: int, answer: Callable[[bytes], None]) -> None:
        self.top = 0
        self.history: dict[int, str] = {}
        self.wrapped: set[int] = set()
        self.alternate: Any = None
        self._drawing = False
        self._answer = answer
        super().__init__(columns, lines)
        self._stream = pyte.ByteStream(_Tolerant(self))

    def feed(self, data: bytes) -> None:
        """Draw what the program wrote."""
        self._stream.feed(data)

    @property
    def row(self) -> int:
        """Number of the cursor's row."""
        return self.top + int(self.cursor.y)

    def text(self, row: int) -> str:
        """What stands in the numbered row, without trailing blanks."""
        if row < self.top:
            return self.history.get(row, "")
        line = self.buffer[row - self.top]
        return "".join(line[x].data for x in range(self.columns)).rstrip()

    def line(self, row: int) -> tuple[str, int]:
        """The whole line that starts in `row`, unwrapped, and the number of the row after it."""
        parts = [self.text(row)]
        while row in self.wrapped:
            parts[-1] = parts[-1].ljust(self.columns)
            row += 1
            parts.append(self.text(row))
        return "".join(parts), row + 1

    def picture(self) -> list[str]:
        """The screen as a person sees it, without empty rows at its end."""
        rows = [self.text(self.top + y) for y in range(self.lines)]
        while rows and not rows[-1]:
            rows.pop()
        return rows

    # What pyte does not do itself.

    def draw(self, data: str) -> None:
        """Draw text, and note where the terminal wraps it."""
        self._drawing = True
        try:
            super().draw(data)
        finally:
            self._drawing = False

    def linefeed(self) -> None:
        """To the next row."""
        mark = self.wrapped.add if self._drawing else self.wrapped.discard
        mark(self.row)
        super().linefeed()

    def index(self) -> None:
        """To the next row, scrolling at the bottom."""
        at_bottom = self.cursor.y == (self.margins.bottom if self.margins else self.lines - 1)
        if at_bottom and not self.alternate and (self.margins is None or self.margins.top == 0):
            self._keep(1)
        super().index()

    def erase_in_line(self, how: int = 0, private: bool = False) -> None:
        """Erase in the cursor's row."""
        super().erase_in_line(how, private)
        self.wrapped.discard(self.row)

    def erase_in_display(self, how: int = 0, *args: Any, **kwargs: Any) -> None:
        """Erase in the screen."""
        if how in (2, 3) and not self.alternate:
            self._keep(self.cursor.y)  # what was above the prompt has been said
        first = self.row if how == 0 else self.top
        super().erase_in_display(how, *args, **kwargs)
        self.wrapped = {row for row in self.wrapped if row < first}

    def resize(self, lines: int | None = None, columns: int | None = None) -> None:
        """Another size of the terminal."""
        lost = max(0, self.cursor.y - (lines or self.lines) + 1)
        if lost:
            self._keep(lost)
            kept = {y - lost: line for y, line in self.buffer.items() if y >= lost}
            self.buffer.clear()
            self.buffer.update(kept)
            self.cursor.y -= lost
        y = self.cursor.y
        if lines and lines < self.lines:  # pyte would drop rows from the top: cut below instead
            for spare in range(lines, self.lines):
                self.buffer.pop(spare, None)
            self.lines = lines
        super().resize(lines, columns)
        self.cursor.y = y

    def set_mode(self, *codes: int, **kwargs: Any) -> None:
        """Set modes; the alternate screen is one of them."""
        if kwargs.get("private") and ALTERNATE.intersection(codes) and not self.alternate:
            self.alternate = (dict(self.buffer), self.cursor.x, self.cursor.y)
            self.buffer.clear()
        super().set_mode(*codes, **kwargs)

    def reset_mode(self, *codes: int, **kwargs: Any) -> None:
        """Reset modes."""
        if kwargs.get("private") and ALTERNATE.intersection(codes) and self.alternate:
            kept, self.cursor.x, self.cursor.y = self.alternate
            self.alternate = None
            self.buffer.clear()
            self.buffer.update(kept)
        super().reset_mode(*codes, **kwargs)

    def write_process_input(self, data: str) -> None:
        """Answer a question of the program."""
        self._answer(data.encode())

    def _keep(self, rows: int) -> None:
        """The first `rows` rows leave the screen at its top."""
        for row in range(self.top, self.top + rows):
            self.history[row] = self.text(row)
            self.history.pop(row - HISTORY, None)
        self.top += rows


class _Tolerant:
    """Passes events to a terminal and drops those it cannot carry out."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal

    def __getattr__(self, event: str) -> Any:
        method = getattr(self._terminal, event)
        if not callable(method):
            return method

        def carry_out(*args: Any, **kwargs: Any) -> None:
            try:
                method(*args, **kwargs)
            except Exception:  # pyte raises many kinds; none is the program's fault
                return

        return carry_out
