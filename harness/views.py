"""From the bytes of a terminal to settled lines: without prompts and own echo.

Two views: `LinesView` for programs that leave line editing to the kernel (the harness switches
its echo off), and `ScreenView` for programs that draw their line themselves; full-screen programs
have the third, `canvas.CanvasView`. In all of them a line is an answer of the program and never
what was typed: typed text that comes back is the terminal's echo.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from harness.scope import TOKEN
from harness.terminal import SEQUENCE, Output, Terminal

LONGEST_LINE = 65_536  # characters; what has no end by then is cut
LONGEST_MARK = 4  # letters before the further rows of a line that is entered
ON_SCREEN = 16_384  # characters that are enough to draw what a person sees of a cooked program
PASTE_MODE = re.compile(r"\x1b\[\?(?:\d+;)*2004(?:;\d+)*([hl])")
CONTROLS = re.compile(r"[\x00-\x07\x0b-\x1f\x7f]")  # all but backspace, tab and line feed


class View(Protocol):
    """What a shell actor needs to know about its terminal."""

    def feed(self, data: bytes) -> None:
        """Take what the program wrote."""

    def settled(self) -> list[str]:
        """Lines that are finished since the last call."""

    def flush(self) -> list[str]:
        """The lines that are left when the program has ended."""

    def asked(self) -> str:
        """The unfinished last line: a question or a prompt."""

    def ready(self) -> bool:
        """Whether it waits at its prompt, with nothing but our draft on it."""

    def typed(self, text: str, *, submitted: bool, answers: str | None = None) -> None:
        """Remember what was typed; `answers` is the question that it answers."""

    def edited(self) -> None:
        """Keys were pressed: what stands on the prompt's row is not known any more."""

    def resize(self, columns: int, lines: int) -> None:
        """The terminal has another size."""

    def picture(self) -> list[str]:
        """What a person sees."""

    def drawn(self) -> Iterator[list[Any]]:
        """The cells of each line that a person sees (`terminal.Terminal.drawn`)."""

    @property
    def pasting(self) -> bool:
        """Whether the program wants to be told what is pasted (bracketed paste)."""


class LinesView:
    """For cooked programs: prompts are stripped at both ends, answered questions are cut off.

    Of a line that was rewritten (a carriage return, a progress bar) its last form counts.
    """

    def __init__(
        self,
        prompt: re.Pattern[str] | None,
        size: tuple[int, int] = (80, 24),
        *,
        patient: bool = True,
    ) -> None:
        self._patient = patient  # a line is typed when the program asks for one
        self._size = size
        self._output = Output()
        self._prompt = prompt
        ends = rf"((?:{prompt.pattern})+)" if prompt else r"(?!)"
        self._head, self._tail = re.compile(rf"\A{ends}"), re.compile(rf"{ends}\Z")
        self._rest = ""
        self._lines: list[str] = []
        self._prompts = 0  # seen and not on the last line any more
        self._typed = 0  # lines typed at a prompt
        self._recent = ""  # what was written last, until somebody looks at the screen
        self._terminal: Terminal | None = None
        self.pasting = False

    def feed(self, data: bytes) -> None:
        """Take what was written."""
        written = self._output.feed(data)
        self._remember(written)
        for mode in PASTE_MODE.finditer(written):
            self.pasting = mode[1] == "h"
        *lines, self._rest = (self._rest + SEQUENCE.sub("", written)).split("\n")
        if len(self._rest) > LONGEST_LINE:
            lines, self._rest = [*lines, self._rest], ""
        self._lines += [self._strip(self._last_form(line.rstrip("\r"))) for line in lines]
        if not self._rest.endswith("\r"):  # else it may be half of a line end
            self._rest = self._last_form(self._rest)

    def _last_form(self, line: str) -> str:
        """What stands behind the last return; prompts before it were asked all the same."""
        before, _, line = line.rpartition("\r")
        self._prompts += self._count(before)
        if "\b" in line:
            line = _rubbed_out(line)
        return CONTROLS.sub("", line)

    def _strip(self, line: str) -> str:
        for end in (self._head, self._tail):
            if match := end.search(line):
                self._prompts += self._count(match[0])
                line = line[: match.start()] + line[match.end() :]
        return line.rstrip()

    def _count(self, text: str) -> int:
        return sum(1 for _ in self._prompt.finditer(text)) if self._prompt and text else 0

    def settled(self) -> list[str]:
        """Lines finished since the last call."""
        lines, self._lines = self._lines, []
        return lines

    def flush(self) -> list[str]:
        """The lines left when the program has ended."""
        if self._rest:
            self._lines.append(self._strip(self.asked()))
            self._rest = ""
        return self.settled()

    def asked(self) -> str:
        """The unfinished last line."""
        return CONTROLS.sub("", self._rest.rstrip("\r").rpartition("\r")[2])

    def ready(self) -> bool:
        # The kernel keeps typed lines, so the prompt need not be the last thing written: others may
        # have spoken since. It is enough that the program has asked as often as it was answered.
        """Whether a line can be typed now."""
        if self._prompt is None or not self._patient:
            return True
        return self._prompts + self._count(self._rest) > self._typed

    def typed(self, text: str, *, submitted: bool, answers: str | None = None) -> None:
        """Remember what was typed."""
        if answers is not None:
            # The newline of the answer was the echo.
            self._rest = self.asked().removeprefix(answers)
        elif submitted:
            self._typed += 1

    def edited(self) -> None:
        """Keys were pressed."""
        return

    def resize(self, columns: int, lines: int) -> None:
        """Another size of the terminal."""
        self._size = columns, lines
        if self._terminal is not None:
            self._terminal.resize(lines, columns)

    def picture(self) -> list[str]:
        """What a person sees now."""
        return self._screen().picture()

    def drawn(self) -> Iterator[list[Any]]:
        """The cells of each line that a person sees."""
        return self._screen().drawn()

    def _remember(self, written: str) -> None:
        written = written.replace("\n", "\r\n")  # on pipes nobody else does
        if self._terminal is not None:
            self._terminal.feed(written.encode())
            return
        self._recent += written
        if len(self._recent) > 2 * ON_SCREEN:
            self._recent = self._recent[-ON_SCREEN:]

    def _screen(self) -> Terminal:
        """Few look at the screen of a cooked program: it is drawn for the first who does."""
        if self._terminal is None:
            self._terminal = Terminal(*self._size, _nobody)
            self._terminal.feed(self._recent.encode())
            self._recent = ""
        return self._terminal


class ScreenView:
    """For programs that draw: lines above the last prompt row, each once, in order, unwrapped.

    Judged only when the cursor stands on the prompt's row: then the program has finished drawing.
    """

    def __init__(
        self,
        prompt: re.Pattern[str] | None,
        size: tuple[int, int],
        answer: Callable[[bytes], None],
        *,
        echo: bool = True,
        patient: bool = True,
    ) -> None:
        self._terminal = Terminal(*size, answer)
        self._prompt = prompt
        self._echo = echo  # whether an entered line stays on the screen
        self._patient = patient
        self._next = 0  # first row that is not settled yet
        self._draft = ""
        self._entered: list[str] = []  # lines entered and not yet seen to be taken, without blanks
        self._echoes: list[set[str]] = []  # rows that will come back, each in the forms it may have
        self._edited = False
        self._drawn = True  # something was drawn since the last line was entered
        self._lines: list[str] = []

    def feed(self, data: bytes) -> None:
        """Take what was written."""
        self._drawn = True
        self._terminal.feed(data)

    def settled(self) -> list[str]:
        """Lines finished since the last call."""
        row = self._prompt_row()
        if row is not None:
            self._settle(row)
        lines, self._lines = self._lines, []
        return lines

    def flush(self) -> list[str]:
        """The lines left when the program has ended."""
        self._settle(self._terminal.row + (1 if self.asked() else 0))
        return self.settled()

    def asked(self) -> str:
        """The unfinished last line."""
        if self._terminal.alternate:
            return ""
        return self._terminal.text(self._terminal.row)

    def ready(self) -> bool:
        """Whether a line can be typed now."""
        return not self._patient or self._at_prompt()

    def _at_prompt(self) -> bool:
        self._lines += self.settled()
        row = self._prompt_row()
        if self._prompt is None:
            return True
        if row is None or not self._taken():
            return False
        draft = squeeze(self._draft)
        rest = squeeze(self._after_prompt(self._terminal.text(row)) or "")
        for further in range(row + 1, self._terminal.row + 1):
            rest += _continued(self._terminal.text(further), draft[len(rest) :])
        ready = self._edited or (rest.startswith(draft) if draft else not rest)
        if ready:
            self._echoes.clear()  # what has not come back by now never will
        return ready

    def typed(self, text: str, *, submitted: bool, answers: str | None = None) -> None:
        """Remember what was typed."""
        if answers is not None:
            self._settle(self._terminal.row)
            self._echoes.append({squeeze(answers + text), squeeze(answers)})
            return
        self._draft += text
        self._edited |= "\n" in text  # how a program shows several lines is its own affair
        if submitted:
            self._enter(squeeze(self._draft))
            self._draft, self._drawn = "", False

    def _enter(self, line: str) -> None:
        """A line was entered. While a program prints, the kernel may show it, and later itself."""
        if self._prompt is not None:
            self._entered.append(line)
        if self._echo:
            self._echoes.append({line})

    def edited(self) -> None:
        """Keys were pressed."""
        self._edited, self._draft = True, ""

    def resize(self, columns: int, lines: int) -> None:
        """Another size of the terminal."""
        self._lines += self.settled()
        self._terminal.resize(lines, columns)

    def picture(self) -> list[str]:
        """What a person sees now."""
        return self._terminal.picture()

    def drawn(self) -> Iterator[list[Any]]:
        """The cells of each line that a person sees."""
        return self._terminal.drawn()

    @property
    def pasting(self) -> bool:
        """Whether the program wants to be told what is pasted."""
        return self._terminal.pasting

    def _taken(self) -> bool:
        """Whether the program has taken every line that was entered."""
        if self._echo:
            return not self._entered
        if self._drawn:
            self._entered.clear()
        return self._drawn

    def _prompt_row(self) -> int | None:
        if self._terminal.alternate:
            return None
        row = self._terminal.row
        if self._prompt is None:
            return row
        lines = self._draft.count("\n")  # several were pasted
        for _ in range(1 + lines + len(self._draft) // self._terminal.columns + self._edited):
            if self._after_prompt(self._terminal.text(row)) is not None:
                return row
            row -= 1
            if not lines and len(self._terminal.text(row)) < self._terminal.columns - 1:
                break  # a line that is drawn over several rows fills all but the last
        return None

    def _after_prompt(self, text: str) -> str | None:
        """What stands behind the prompt; none if there is no prompt."""
        match = self._prompt.match(text + " ") if self._prompt else None
        return None if match is None else text[match.end() :]

    def _settle(self, end: int) -> None:
        row, self._next = self._next, end
        while row < end:
            text, row = self._terminal.line(row)
            behind = self._after_prompt(text)
            if behind is None:
                self._say(text)
            else:
                row = self._own_line(text, behind, row, end)

    def _own_line(self, text: str, behind: str, row: int, end: int) -> int:
        """A prompt's row that was left behind: our own line, unless somebody else wrote on it."""
        own = self._entered.pop(0) if self._entered else squeeze(self._draft)
        if {own} in self._echoes:
            self._echoes.remove({own})  # from here on the same text is an answer
        seen = squeeze(behind)
        while seen != own and own.startswith(seen) and row < end:
            more, after = self._terminal.line(row)
            further = seen + _continued(more, own[len(seen) :])
            if not (own.startswith(further) or _is_own(further, own)):
                break  # it says something else: our line was not drawn to its end
            seen, row = further, after
        if not _is_own(seen, own) and not self._edited:
            self._lines.append(text)  # not ours: whoever wrote there is to be heard
        self._edited = False
        return row

    def _say(self, text: str) -> None:
        key = squeeze(text)
        echo = next((forms for forms in self._echoes if key in forms), None)
        if echo is None:
            self._lines.append(self._without_question(text))
        else:
            self._echoes.remove(echo)

    def _without_question(self, text: str) -> str:
        """A line without a question of the harness that the kernel has shown amid it.

        It does so while a program prints. Of all that is typed only these questions, by their
        tokens, can be told from what the program says.
        """
        for echo in self._echoes:
            for form in filter(TOKEN.search, echo):
                if match := re.search(r"\s*".join(map(re.escape, form)), text):
                    self._echoes.remove(echo)
                    return text[: match.start()] + text[match.end() :]
        return text


def _continued(row: str, own: str) -> str:
    """What a further row of our own line adds; a program may begin it with a mark (`> `)."""
    text = squeeze(row)
    marks = range(min(LONGEST_MARK, len(text) - 1) + 1)
    return next((text[n:] for n in marks if text and own.startswith(text[n:])), text)


def _rubbed_out(line: str) -> str:
    """A line in which backspaces take back what was written."""
    kept: list[str] = []
    for char in line:
        if char != "\b":
            kept.append(char)
        elif kept:
            kept.pop()
    return "".join(kept)


def _nobody(_data: bytes) -> None:
    """A cooked program that asks where the cursor is gets no answer."""


def squeeze(text: str) -> str:
    """Without blanks: where a drawn line was broken, nobody can tell how many there were."""
    return "".join(text.split())


def _is_own(seen: str, own: str) -> bool:
    """Whether a row holds only what was typed: a redraw amid the typing repeats its start."""
    return not seen or (seen.endswith(own) and own.startswith(seen.removesuffix(own)))
