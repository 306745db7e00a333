"""What stands above the prompt: messages, the times and days between them, and long ones folded.

On a terminal a message is a row as everywhere, `alice: hi`. What else stands there is told apart:
a line for each new day, a dim time after a silence, a gutter before further rows, a dim last row
where a long text is folded. A program gets the messages alone, and whole.

Any thread may use it; it reads no clock but the one that it is given.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta
from itertools import count

from rich.text import Text

from chatd.wire.messages import (
    Item,
    Items,
)
from chatd.wire.text import harmless
from chatsh import bodies, render
from chatsh.render import Line
from chatsh.settings import Settings
from chatsh.talks import mentions
from chatsh.themes import THEMES, Theme
from chatsh.wording import when

SILENCE = timedelta(minutes=5)  # after that long, the time is told
KEPT = 100  # folded texts that `/more` still knows
LONGEST_COLOURED = 20_000  # characters of code that are worth the colours
# What is coloured: the usual languages, and not each of the 500 whose rules somebody might pick to
# keep this machine busy.
LANGUAGES = frozenset(
    (
        *("bash", "c", "c++", "console", "cpp", "csharp", "css", "diff", "dockerfile", "go"),
        *("haskell", "html", "ini", "java", "javascript", "js", "json", "kotlin", "lua", "make"),
        *("makefile", "markdown", "md", "nix", "perl", "php", "powershell", "py", "python", "rb"),
        *("ruby", "rs", "rust", "scala", "sh", "shell", "sql", "swift", "toml", "ts", "typescript"),
        *("xml", "yaml", "zig"),
    )
)


class Transcript:
    """The rows of one person's terminal, in the order in which they are asked for.

    `width` tells the terminal's cells at that moment, or None where a program reads; `now` is the
    time in this machine's zone, for what a server sends without one.
    """

    def __init__(
        self,
        settings: Callable[[], Settings],
        width: Callable[[], int | None],
        now: Callable[[], datetime],
    ) -> None:
        self._settings = settings
        self._width = width
        self._now = now
        self._lock = threading.Lock()
        self._last = now()
        self._day = self._last.date()
        self._numbers = count(1)
        self._folded: dict[int, Callable[[], list[Text]]] = {}

    def item(self, message: Item, me: str | None) -> Text:
        """A message or an event of a group, with what belongs before it."""
        if self._width() is None:
            return render.item(message, me=me)
        line = render.line(message, me, self.theme)
        return self._placed(line, me, message.ts, late=message.late)

    def own(self, message: Item, me: str | None) -> Text:
        """What was said from here, once the server has it."""
        line = render.own_line(message, me, self.theme)
        return render.plain(line) if self._width() is None else self._placed(line, me, message.ts)

    def page(self, answer: Items, me: str | None) -> Text:
        """What a history or a search has found, each with its day and time, nothing folded."""
        if self._width() is None:
            return render.page(answer, lambda one: render.item(one, me=me, dated=True))
        return render.page(answer, lambda one: render.lines(self._found(one, me)))

    def _found(self, message: Item, me: str | None) -> list[Text]:
        line = render.line(message, me, self.theme)
        dated = Text.assemble(render.stamp(when(message.ts or "")), line.head)
        return self._rows(line._replace(head=dated), me)

    def new(self, dropped: int = 0) -> Text:
        """The line above what was not seen before; `dropped` more of it is not kept."""
        more = f"; {dropped} more with /history" if dropped else ""
        return _rule(f"new{more}", render.NEW)

    def heading(self, name: str) -> Text:
        """Where the conversation with somebody begins."""
        return _rule(harmless(name), render.HEADING)

    def unfolded(self, number: int | None = None) -> Text | None:
        """A folded text as a whole, the newest for None; None where there is none of the number."""
        with self._lock:
            newest = max(self._folded, default=0)
            whole = self._folded.get(newest if number is None else number)
        return whole and render.lines(whole())

    @property
    def theme(self) -> Theme:
        """The one that is set; the plain one for a name that none has."""
        return THEMES.get(self._settings().theme, render.PLAIN)

    # --- days and times ---

    def _placed(self, line: Line, me: str | None, ts: str | None, *, late: bool = False) -> Text:
        with self._lock:
            moment = self._moment(ts)
            clock = f"{moment:%H:%M}"
            before = [*self._day_line(moment.date())]
            if late:
                line = line._replace(head=Text.assemble(render.stamp(clock), line.head))
            elif self._settings().times == "each":
                line = line._replace(head=Text.assemble((f"{clock} ", render.QUIET), line.head))
            elif self._silent_before(moment) and self._settings().times == "gaps":
                before.append(Text(clock, render.QUIET))
            return render.lines([*before, *self._bounded(line, me)])

    def _moment(self, ts: str | None) -> datetime:
        now = self._now()
        try:
            return datetime.fromisoformat(ts).astimezone(now.tzinfo) if ts else now
        except (ValueError, OverflowError):  # no time, or none that this machine's zone can tell
            return now

    def _day_line(self, day: date) -> Iterable[Text]:
        if day != self._day:
            self._day = day
            yield _rule(f"{day:%A}, {day.day} {day:%B} {day.year}", render.HEADING)

    def _silent_before(self, moment: datetime) -> bool:
        silent = moment - self._last > SILENCE
        self._last = moment
        return silent

    # --- rows ---

    def _rows(self, line: Line, me: str | None) -> list[Text]:
        mark = None if line.own else self._marking(me)
        return bodies.rows(line.head, line.content, self._width(), mark=mark, colour=self._colour)

    def _bounded(self, line: Line, me: str | None) -> list[Text]:
        """The rows, or the first of them and how to see the others."""
        rows, width, limit = self._rows(line, me), self._width(), self._settings().fold
        if width is None or not limit:
            return rows
        ends = [bodies.breaks(row.plain, width, words=False) for row in rows]
        hidden = sum(len(each) + 1 for each in ends) - limit
        if hidden <= 1:  # the row that says so would take the place of it
            return rows
        number = next(self._numbers)
        self._folded[number] = lambda: self._rows(line, me)
        self._folded.pop(number - KEPT, None)
        note = f"... {hidden} more lines; /more {number} shows them"
        return [*_first(rows, ends, limit), Text(note, render.QUIET)]

    def _marking(self, me: str | None) -> bodies.Mark:
        names = tuple(name for name in (me, *self._settings().mentions) if name)

        def mark(text: Text) -> None:
            for start, end in mentions(text.plain, names):
                text.stylize(render.MENTION, start, end)

        return mark

    def _colour(self, code: str, language: str) -> Text:
        if language in LANGUAGES and len(code) <= LONGEST_COLOURED and _colours():
            from chatsh.colours import coloured  # slow, and most never need it

            return coloured(code, language, self.theme)
        return Text(code, bodies.CODE)


def _colours() -> bool:
    return not os.environ.get("NO_COLOR")


def _rule(text: str, style: str) -> Text:
    """A short one: a terminal that gets narrower breaks what was as wide as it."""
    return Text(f"──── {text} ────", style)


def _first(rows: list[Text], ends: list[list[int]], limit: int) -> list[Text]:
    """So many rows of the terminal; `ends` tells where it breaks each of `rows`."""
    shown: list[Text] = []
    for row, breaks in zip(rows, ends, strict=True):
        if limit <= len(breaks):
            return [*shown, row[: breaks[limit - 1]]] if limit else shown
        shown.append(row)
        limit -= len(breaks) + 1
    return shown
