"""The page that a run leaves behind: who did what and who was told what, as a sequence chart.

One file without scripts, fonts or pictures from elsewhere; it opens from a disk without a network.
The switches are plain check boxes that style sheets react to. What programs have said is cleaned
before it comes here and escaped by the template: nothing of it is ever markup.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct, field

from harness import pages
from harness.diff import short
from harness.errors import Place
from harness.journal import Event
from harness.report import SIGNS, clean
from harness.secrets import mask

if TYPE_CHECKING:
    from harness.runner import Outcome

FIRST, LAST = 200, 1_800  # events of a long run that the chart shows
SOURCE = 2_000  # lines of the scenario that are shown
WIDE = 600  # characters of one event
MARKED = re.compile(r"\[-(?P<del>.*?)-\]|\{\+(?P<ins>.*?)\+\}")
OWN = re.compile(r"starts( .*)?|is sent SIG\w+|resizes to .*")  # acts that go to nobody else
ASKED = "> "  # how a question of the harness begins in the minutes; its answer does not
KIND_OF_EVENT = {"does": "act", "sees": "sight", "fence": "fence", "note": "note"}


class Row(Struct):
    """A line of the chart; `lane` counts from 0, the last one is the server's."""

    number: int
    at: float
    kind: str
    lane: int
    who: str
    sign: str
    text: str
    arrow: str = ""  # out: to the server; in: from it
    line: int = 0  # of the scenario's source


class Line(Struct):
    """A line of the scenario, and what was found out about it."""

    number: int
    text: str
    broken: bool = False
    verdicts: list[str] = field(default_factory=list)


class Kept(Struct):
    """A file of the folder: name, what it is, bytes."""

    name: str
    meaning: str
    size: int


def page(outcome: Outcome, kept: Sequence[Kept], repeat: str) -> str:
    """The page; raises `ImportError` where jinja2 is not installed."""
    before, left_out, after = rows(outcome)
    return pages.page(
        "evidence.html.j2", style=pages.style("evidence.css"), marked=marked, first=FIRST,
        outcome=outcome, lanes=list(outcome.cast), wide=max(1, len(outcome.cast)),
        before=before, left_out=left_out, after=after,
        source=list(source(outcome)), kept=kept, repeat=repeat,
    )  # fmt: skip


def marked(text: str) -> Iterator[tuple[str, str]]:
    """A line with word differences as pieces: `del`, `ins` or nothing, and the text."""
    end = 0
    for found in MARKED.finditer(text):
        yield "", text[end : found.start()]
        assert found.lastgroup
        yield found.lastgroup, found[found.lastgroup]
        end = found.end()
    yield "", text[end:]


def rows(outcome: Outcome) -> tuple[list[Row], int, list[Row]]:
    """The rows before what broke, how many were left out at first, the rows after it."""
    events = list(_once([event for event in outcome.events if event.text.strip() and event.actor]))
    split = len(events)
    if outcome.decided:
        split = sum(event.at <= outcome.decided for event in events)
    left_out = max(0, split - FIRST - LAST)
    shown = events[:split] if not left_out else events[:FIRST] + events[split - LAST : split]
    lanes = {name: lane for lane, name in enumerate(outcome.cast)}
    before = [_row(event, lanes, outcome.path) for event in shown if event.actor in lanes]
    after = [_row(event, lanes, outcome.path) for event in events[split:] if event.actor in lanes]
    return before, left_out, after[:FIRST]


def _once(events: Sequence[Event]) -> Iterator[Event]:
    """A chapter is written into everybody's minutes; here it is wanted once."""
    before: Event | None = None
    for event in events:
        if _is_chapter(event) and before is not None and before.text == event.text:
            continue
        before = event
        yield event


def _is_chapter(event: Event) -> bool:
    return event.kind == "note" and event.text.startswith("— ")


def _row(event: Event, lanes: dict[str, int], path: str) -> Row:
    lane, server = lanes[event.actor], len(lanes) - 1
    arrow, text = "", clean(event.text)
    if lane != server and event.kind != "note" and not OWN.fullmatch(text):
        asked = event.kind == "fence" and text.startswith(ASKED)
        arrow = "out" if event.kind == "does" or asked else "in"
        text = text.removeprefix(ASKED) if asked else text
    line = event.place.line if event.place and event.place.file == path else 0
    kind, sign = KIND_OF_EVENT.get(event.kind, "note"), SIGNS.get(event.kind, "*")
    if _is_chapter(event):
        kind = "chapter"
    shown = text if len(text) <= WIDE else f"{text[:WIDE]}… ({len(text) - WIDE} characters more)"
    return Row(event.number, event.at, kind, lane, event.actor, sign, shown, arrow, line)


def source(outcome: Outcome) -> Iterator[Line]:
    """The scenario's lines, each with the verdicts on its clauses."""
    try:
        text = mask(Path(outcome.path).read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return
    broken = _line_in(outcome.place, outcome.path)
    for number, line in enumerate(text.splitlines()[:SOURCE], 1):
        said = [
            f"{verdict.actor}: {verdict.grade or 'came'}"
            for verdict in outcome.verdicts
            if _line_in(verdict.place, outcome.path) == number
        ]
        yield Line(number, clean(short(line)), number == broken, said)


def _line_in(place: Place | None, path: str) -> int:
    return place.line if place is not None and place.file == path else 0
