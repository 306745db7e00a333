"""The view of a full-screen program (curses): what newly appears on its screen is what it says.

Such a program has no lines that settle: it paints, scrolls its panes and paints again. So its
screen is compared with what it was before, and a row that was not there is an item, once for as
long as it stays, however far it moves. Two rules keep that sound. A screen is looked at only when
it is finished, which is when the cursor is back in the input field (`prompt`) or about to leave
it; so every screen that the program finished is seen, also those that were repainted within one
read. And the row of the input field is nobody's: what is typed there is no answer.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator
from difflib import SequenceMatcher
from itertools import zip_longest

from harness.views import ScreenView, squeeze

BETWEEN_PANES = re.compile("[│┃║┆┇┊┋╎╏]")
FRAME = "".join(map(chr, range(0x2500, 0x2580))) + " "
REMEMBERED = 1000  # rows that a redrawing after a resize may bring back

Pane = list[tuple[int, str]]  # number of the row, text; blank rows left out


class CanvasView(ScreenView):
    """Rows that newly appear, each once while it stays; vertical lines part panes."""

    def __init__(
        self,
        prompt: re.Pattern[str] | None,
        size: tuple[int, int],
        answer: Callable[[bytes], None],
        *,
        echo: bool = True,
        patient: bool = True,
    ) -> None:
        super().__init__(prompt, size, answer, echo=echo, patient=patient)
        self._terminal.leaving = self._look_if_finished
        self._terminal.switching = self._look
        # What was on the main and on the alternate screen when they were last looked at.
        self._before: dict[bool, list[Pane]] = {False: [], True: []}
        self._said: deque[str] = deque(maxlen=REMEMBERED)
        self._resized = False

    def settled(self) -> list[str]:
        """Rows that appeared since the last call."""
        self._look_if_finished()
        lines, self._lines = self._lines, []
        return lines

    def flush(self) -> list[str]:
        """The rows left when the program has ended."""
        self._look()
        return self.settled()

    def asked(self) -> str:
        """The row of the cursor."""
        return self._terminal.text(self._terminal.row)

    def typed(self, text: str, *, submitted: bool, answers: str | None = None) -> None:
        """Remember what was typed."""
        field = self.asked()
        if answers is not None:
            self._echoes.append({squeeze(answers + text), squeeze(answers)})
            return
        self._draft += text
        self._edited |= "\n" in text
        if submitted:
            if self._echo:  # a copy of it, with or without the prompt, is no answer
                self._echoes.append({squeeze(self._draft), squeeze(field + text)})
            self._draft, self._edited = "", False

    def resize(self, columns: int, lines: int) -> None:
        """The terminal has another size: everything will be drawn again."""
        super().resize(columns, lines)
        self._resized = True

    def _at_prompt(self) -> bool:
        # A line that was taken at once leaves nothing to draw: an empty field has to be enough.
        field = self._field()
        if field is None:
            return False
        draft = squeeze(self._draft)  # of a long one the field shows the end
        return self._edited or field == draft or (bool(field) and draft.endswith(field))

    def _field(self) -> str | None:
        """What stands in the input field; none while the cursor is elsewhere."""
        behind = self._after_prompt(self.asked())
        if behind is None or self._field_row() != self._terminal.row:
            return None
        return squeeze(behind.rstrip(FRAME))

    def _field_row(self) -> int | None:
        """The last row that begins with the prompt: above it, it may be a copy in a pane."""
        top = self._terminal.top
        for row in reversed(range(top, top + self._terminal.lines)):
            if self._after_prompt(self._terminal.text(row)) is not None:
                return row
        return None

    def _look_if_finished(self) -> None:
        if self._terminal.dirty and self._field() is not None:
            self._look()

    def _look(self) -> None:
        terminal = self._terminal
        terminal.dirty.clear()
        panes = self._panes()
        main = terminal.alternate is None
        appeared: Pane = []
        nothing: Pane = []
        for old, new in zip_longest(self._before[main], panes, fillvalue=nothing):
            appeared += _appeared(old, new)
        self._before[main] = panes
        again = set(self._said) if self._resized else set()
        self._resized &= not appeared
        for _, text in sorted(appeared, key=lambda row: row[0]):
            if text not in again:
                self._said.append(text)
                self._say(text)

    def _panes(self) -> list[Pane]:
        panes: list[Pane] = []
        field = self._field_row()
        for y in range(self._terminal.lines):
            row = self._terminal.top + y
            texts = BETWEEN_PANES.split(self._terminal.text(row)) if row != field else []
            panes += [[] for _ in range(len(panes), len(texts))]
            for pane, text in zip(panes, texts, strict=False):
                if text := text.strip(FRAME):
                    pane.append((y, text))
        return panes


def _appeared(old: Pane, new: Pane) -> Iterator[tuple[int, str]]:
    """The rows of `new` that are not in `old`, or are there once less."""
    before, now = [text for _, text in old], [text for _, text in new]
    if before == now:
        return
    matcher = SequenceMatcher(None, before, now, autojunk=False)
    for kind, _, _, start, end in matcher.get_opcodes():
        if kind in ("insert", "replace"):
            yield from new[start:end]
