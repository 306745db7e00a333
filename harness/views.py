"""From the bytes of a terminal to settled lines: without prompts and own echo.

Two views: `LinesView` for programs that leave line editing to the kernel (the harness switches
its echo off), and `ScreenView` for programs that draw their line themselves. In both a line is an
answer of the program and never what was typed: typed text that comes back on the prompt's row is
the terminal's echo.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from typing import Protocol

from harness.terminal import Terminal

ESCAPE = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)|[()*+][0-9A-Za-z]|[ -/]*[0-~])"
)
UNFINISHED = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|\][^\x07\x1b\n]*|[()*+ -/]*)?\Z")


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


class LinesView:
    """For cooked programs: prompts are stripped at both ends, answered questions are cut off."""

    def __init__(self, prompt: re.Pattern[str] | None) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._prompt = prompt
        ends = rf"((?:{prompt.pattern})+)" if prompt else r"(?!)"
        self._head, self._tail = re.compile(rf"\A{ends}"), re.compile(rf"{ends}\Z")
        self._raw = ""
        self._rest = ""
        self._lines: list[str] = []
        self._shown: list[str] = []
        self._prompts = 0  # seen in finished lines
        self._typed = 0  # lines typed at a prompt

    def feed(self, data: bytes) -> None:
        """Take what was written."""
        self._raw += self._decode(data)
        unfinished = UNFINISHED.search(self._raw)
        end = unfinished.start() if unfinished else len(self._raw)
        self._rest += ESCAPE.sub("", self._raw[:end])
        self._raw = self._raw[end:]
        *lines, self._rest = self._rest.split("\n")
        self._lines += [self._strip(line.rstrip("\r").rpartition("\r")[2]) for line in lines]

    def _strip(self, line: str) -> str:
        for end in (self._head, self._tail):
            if match := end.search(line):
                self._prompts += self._count(match[0])
                line = line[: match.start()] + line[match.end() :]
        return line.rstrip()

    def _count(self, text: str) -> int:
        return len(self._prompt.findall(text)) if self._prompt else 0

    def settled(self) -> list[str]:
        """Lines finished since the last call."""
        lines, self._lines = self._lines, []
        self._shown += lines
        return lines

    def flush(self) -> list[str]:
        """The lines left when the program has ended."""
        if self._rest:
            self._lines.append(self._strip(self._rest))
            self._rest = ""
        return self.settled()

    def asked(self) -> str:
        """The unfinished last line."""
        return self._rest

    def ready(self) -> bool:
        # The kernel keeps typed lines, so the prompt need not be the last thing written: others may
        # have spoken since. It is enough that the program has asked as often as it was answered.
        """Whether a line can be typed now."""
        if self._prompt is None:
            return True
        return self._prompts + self._count(self._rest) > self._typed

    def typed(self, text: str, *, submitted: bool, answers: str | None = None) -> None:
        """Remember what was typed."""
        if answers is not None:
            self._rest = self._rest.removeprefix(answers)  # the newline of the answer was the echo
        elif submitted:
            self._typed += 1

    def edited(self) -> None:
        """Keys were pressed."""
        return

    def resize(self, columns: int, lines: int) -> None:
        """Another size of the terminal."""
        return

    def picture(self) -> list[str]:
        """What a person sees now."""
        return [*self._shown[-24:], self._rest] if self._rest else self._shown[-24:]


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
    ) -> None:
        self._terminal = Terminal(*size, answer)
        self._prompt = prompt
        self._echo = echo  # whether an entered line stays on the screen
        self._next = 0  # first row that is not settled yet
        self._draft = ""
        self._entered: list[str] = []  # lines entered and not yet seen to be taken, without blanks
        self._answers: set[str] = set()
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
        self._lines += self.settled()
        row = self._prompt_row()
        if row is None or not self._taken():
            return False
        on_it = "".join(map(self._terminal.text, range(row, self._terminal.row + 1)))
        rest = _squeeze(self._after_prompt(on_it) or "")
        draft = _squeeze(self._draft)
        return self._edited or (rest.startswith(draft) if draft else not rest)

    def typed(self, text: str, *, submitted: bool, answers: str | None = None) -> None:
        """Remember what was typed."""
        if answers is not None:
            self._settle(self._terminal.row)
            self._answers |= {_squeeze(answers + text), _squeeze(answers)}
            return
        self._draft += text
        if submitted:
            self._entered.append(_squeeze(self._draft))
            self._draft, self._drawn = "", False

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
        for _ in range(1 + len(self._draft) // self._terminal.columns + self._edited):
            if self._after_prompt(self._terminal.text(row)) is not None:
                return row
            row -= 1
            if len(self._terminal.text(row)) < self._terminal.columns - 1:
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
        own = self._entered.pop(0) if self._entered else _squeeze(self._draft)
        seen = _squeeze(behind)
        while seen != own and own.startswith(seen) and row < end:
            more, row = self._terminal.line(row)
            seen += _squeeze(more)
        if seen not in ("", own) and not self._edited:
            self._lines.append(text)  # not ours: whoever wrote there is to be heard
        self._edited = False
        return row

    def _say(self, text: str) -> None:
        key = _squeeze(text)
        if key in self._answers:
            self._answers.discard(key)
        else:
            self._lines.append(text)


def _squeeze(text: str) -> str:
    """Without blanks: where a drawn line was broken, nobody can tell how many there were."""
    return "".join(text.split())
