"""A model of the terminal a program draws on.

pyte keeps the screen; this subclass adds what judging a conversation needs: rows keep their
number when they scroll off (`top` is the number of the first row on the screen), a row that was
wrapped by the terminal is known as such, the alternate screen of full-screen programs does not
disturb the lines below it, and questions for the cursor's position are answered.

Not every terminal knows every sequence, and a program may write anything. So `Output` cuts the
bytes into text and whole sequences first, and only those that pyte understands get there; the
others are dropped, and not one of their letters is taken for text. No output can raise here.
"""

from __future__ import annotations

import codecs
import itertools
import re
from collections.abc import Callable, Iterator
from typing import Any

import pyte
from msgspec import Struct
from wcwidth import wcwidth

ALTERNATE = frozenset({47, 1047, 1049})  # DEC private modes that switch to the alternate screen
PASTE = 2004  # DEC private mode: what is pasted comes between two marks
HISTORY = 20_000  # rows kept after they scrolled off
LONGEST = 65_536  # characters of an unfinished sequence that are waited for

SEQUENCE = re.compile(
    r"\x1b\[(?P<private>[<=>?]?)(?P<numbers>[0-9;:]*)(?P<more>[0-?]*[ -/]*)(?P<final>[@-~])"
    r"|\x1b\](?P<osc>[^\x07\x1b\n]*)(?:\x07|\x1b\\)"
    r"|\x1b[PX^_][^\x1b\x18\x1a]*(?:\x1b\\|[\x18\x1a]|(?=\x1b[^\\]))"  # strings for devices
    r"|\x1b[()*+#%][0-~]"
    r"|\x1b[ -/]*[0-~]"
)
UNFINISHED = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*|\][^\x07\x1b\n]*\x1b?|[PX^_][^\x1b\x18\x1a]*\x1b?|[()*+#% -/]*)?\Z"
)
NO_TEXT = dict.fromkeys(range(0x80, 0xA0))  # the controls of 8-bit terminals
OURS = {"": "@ABCDEFGHJKLMPXacdefghlmnr'", "?": "hlJK"}  # finals that pyte carries out


class Output:
    """Cuts what a program writes into text and whole sequences, however the bytes are cut."""

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._held = ""

    def feed(self, data: bytes) -> str:
        """The text that is complete by now, with the sequences in it."""
        text = self._held + self._decode(data).translate(NO_TEXT)
        unfinished = UNFINISHED.search(text, max(0, len(text) - LONGEST))
        end = unfinished.start() if unfinished else len(text)
        self._held = text[end:]
        return text[:end]


def understood(sequence: re.Match[str]) -> str:
    """A sequence in the form that pyte understands; nothing if there is none."""
    final = sequence["final"]
    if final is None:
        plain = sequence[0][1:2] not in "]PX^_" and sequence["osc"] is None
        return sequence[0] if plain else ""
    if sequence["more"] or final not in OURS.get(sequence["private"], ""):
        return ""
    numbers = _plain_style(sequence["numbers"]) if final == "m" else sequence["numbers"]
    return "" if ":" in numbers else f"\x1b[{sequence['private']}{numbers}{final}"


def _plain_style(numbers: str) -> str:
    """The parameters of a style without sub-parameters and without colours of underlines."""
    if "58" in numbers:
        numbers = re.sub(r"\b58(?:[;:]5[;:]\d*|[;:]2(?:[;:]\d*){3,4})", "", numbers)
    if ":" not in numbers:
        return numbers
    numbers = re.sub(r"\b([34]8):2:(?:\d*:)?(\d+):(\d+):(\d+)", r"\1;2;\2;\3;\4", numbers)
    numbers = re.sub(r"\b([34]8):5:(\d+)", r"\1;5;\2", numbers)
    return re.sub(r"\b4:(\d+)", lambda found: "24" if found[1] == "0" else "4", numbers)


class Saved(Struct):
    """The lines below a full-screen program."""

    buffer: dict[int, Any]
    x: int
    y: int
    wrapped: set[int]


class Terminal(pyte.Screen):
    """A screen with numbered rows; `answer` writes to the program, as a real terminal would."""

    def __init__(self, columns: int, lines: int, answer: Callable[[bytes], None]) -> None:
        self.top = 0
        self.history: dict[int, str] = {}
        self.wrapped: set[int] = set()
        self.alternate: Saved | None = None
        self.leaving: Callable[[], None] = _nothing  # called before the cursor is sent elsewhere
        self.switching: Callable[[], None] = _nothing  # called before the screen is another one
        self._drawing = False
        self._answer = answer
        self._output = Output()
        super().__init__(columns, lines)
        tolerant: Any = _Tolerant(self)
        self._stream = pyte.Stream(tolerant)
        self._stream.use_utf8 = False  # the text is decoded already; line drawing is wanted

    def feed(self, data: bytes) -> None:
        """Draw what the program wrote."""
        self._stream.feed(SEQUENCE.sub(understood, self._output.feed(data)))

    @property
    def pasting(self) -> bool:
        """Whether the program wants to be told what is pasted."""
        return PASTE << 5 in self.mode  # pyte keeps private modes shifted

    @property
    def row(self) -> int:
        """Number of the cursor's row."""
        return self.top + int(self.cursor.y)

    def text(self, row: int) -> str:
        """What stands in the numbered row, without trailing blanks."""
        if row < self.top:
            return self.history.get(row, "")
        return "".join(cell.data for cell in self.cells(row)).rstrip()

    def cells(self, row: int) -> list[Any]:
        """The cells of a row on the screen: `data`, and how it is drawn (`bold`, `fg`, ...)."""
        line = self.buffer[row - self.top]
        return [line[x] for x in range(self.columns)]

    def line(self, row: int) -> tuple[str, int]:
        """The whole line that starts in `row`, unwrapped, and the number of the row after it."""
        parts = [self.text(row)]
        while row in self.wrapped:
            parts[-1] += " " * (self.columns - _width(parts[-1]))
            row += 1
            parts.append(self.text(row))
        return "".join(parts), row + 1

    def picture(self) -> list[str]:
        """The screen as a person sees it, without empty rows at its end."""
        rows = [self.text(self.top + y) for y in range(self.lines)]
        while rows and not rows[-1]:
            rows.pop()
        return rows

    def drawn(self) -> Iterator[list[Any]]:
        """The cells of each line on the screen, those that the terminal wrapped in one piece."""
        row, end = self.top, self.top + self.lines
        while row < end:
            cells = self.cells(row)
            while row in self.wrapped and row + 1 < end:
                row += 1
                cells = cells + self.cells(row)
            yield cells
            row += 1

    # What pyte does not do itself.

    def draw(self, data: str) -> None:
        """Draw text, and note where the terminal wraps it."""
        self._drawing = True
        try:
            for visible, text in itertools.groupby(data, _takes_room):
                if visible:
                    super().draw("".join(text))
                else:  # pyte would drop what follows
                    self._join("".join(text))
        finally:
            self._drawing = False

    def _join(self, marks: str) -> None:
        """Accents and joiners belong to the letter before them."""
        x, y = self.cursor.x, self.cursor.y
        if x == 0 and y > 0 and self.row - 1 in self.wrapped:
            x, y = self.columns, y - 1
        line = self.buffer[y]
        while x > 0 and not line[x - 1].data:  # the second half of a wide letter
            x -= 1
        if x > 0:
            line[x - 1] = line[x - 1]._replace(data=line[x - 1].data + marks)

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
        self._lift(lines or self.lines)
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
            self.switching()
            self.alternate = Saved(dict(self.buffer), self.cursor.x, self.cursor.y, self.wrapped)
            self.buffer.clear()
            self.wrapped = set()
        super().set_mode(*codes, **kwargs)

    def reset_mode(self, *codes: int, **kwargs: Any) -> None:
        """Reset modes."""
        if kwargs.get("private") and ALTERNATE.intersection(codes) and self.alternate:
            self.switching()
            kept, self.alternate = self.alternate, None
            self.cursor.x, self.cursor.y, self.wrapped = kept.x, kept.y, kept.wrapped
            self.buffer.clear()
            self.buffer.update(kept.buffer)
            self._lift(self.lines)
        super().reset_mode(*codes, **kwargs)

    def write_process_input(self, data: str) -> None:
        """Answer a question of the program."""
        self._answer(data.encode())

    def _lift(self, lines: int) -> None:
        """Of so many lines the cursor's is the last: what no longer fits leaves at the top."""
        lost = max(0, self.cursor.y - lines + 1)
        if lost and not self.alternate:
            self._keep(lost)
        if lost:
            kept = {y - lost: line for y, line in self.buffer.items() if y >= lost}
            self.buffer.clear()
            self.buffer.update(kept)
            self.cursor.y -= lost

    def _keep(self, rows: int) -> None:
        """The first `rows` rows leave the screen at its top."""
        for row in range(self.top, self.top + rows):
            self.history[row] = self.text(row)
            self.history.pop(row - HISTORY, None)
        self.top += rows


MOVES = frozenset({  # events of pyte after which the cursor is elsewhere, or all is
    "cursor_position", "cursor_to_line", "cursor_up", "cursor_up1", "cursor_down", "cursor_down1",
    "index", "reverse_index", "linefeed", "restore_cursor", "set_margins", "erase_in_display",
    "insert_lines", "delete_lines", "set_mode", "reset_mode", "reset",
})  # fmt: skip


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
                if event in MOVES:
                    self._terminal.leaving()
                method(*args, **kwargs)
            except Exception:  # pyte raises many kinds; none is the program's fault
                return

        return carry_out


def _takes_room(char: str) -> bool:
    return char.isascii() or wcwidth(char) > 0


def _width(text: str) -> int:
    """Columns of a text, each letter by itself, as the model draws it."""
    return len(text) if text.isascii() else sum(max(0, wcwidth(char)) for char in text)


def _nothing() -> None:
    return
