"""What a person reads after a run: the broken clause in its file, and the minutes of everybody."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from harness.diff import short
from harness.errors import Place, Problem
from harness.journal import Event
from harness.runner import Outcome
from harness.secrets import mask

LAST = 14  # lines of each transcript that are shown
LONG = 500  # characters of one of them
SOMETIMES = ("known", "flaky")  # named in the closing line when there are any
SIGNS = {"does": ">", "sees": "<", "fence": "~", "note": "*"}


def clean(text: str) -> str:
    """Text of a program under test as it can be shown: control characters are spelled out."""
    return "".join(
        char if char == "\t" or unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co", "Cn")
        else char.encode("unicode_escape", "surrogatepass").decode()
        for char in text
    )  # fmt: skip


def clean_lines(text: str) -> str:
    """Several lines, each of them cleaned."""
    return "\n".join(map(clean, text.split("\n")))


def closing_line(outcomes: Iterable[Outcome]) -> str:
    """The last line: `12 passed, 0 failed, 1 skipped`, and what else there is of it."""
    count = Counter(outcome.status for outcome in outcomes)
    fine = count["passed"] + count["skipped"] + sum(count[name] for name in SOMETIMES)
    line = f"{count['passed']} passed, {count.total() - fine} failed, {count['skipped']} skipped"
    return line + "".join(f", {count[name]} {name}" for name in SOMETIMES if count[name])


def problems_line(problems: Collection[Problem]) -> str:
    """The last line where files are only read: `3 problems in 2 files`."""
    many, files = len(problems), len({problem.place.file for problem in problems})
    return f"{many} problem{'s'[: many != 1]} in {files} file{'s'[: files != 1]}"


def one_line(outcome: Outcome) -> str:
    """How a run went, in one line."""
    tail = f" — {clean(outcome.what.splitlines()[0])}" if outcome.what else ""
    proofs = ", ".join(f"{count} {grade}" for grade, count in sorted(outcome.grades.items()))
    attempts = f"{len(outcome.attempts)} attempts" if outcome.attempts else ""
    took = "; ".join(filter(None, (f"{outcome.seconds:.2f} s", attempts, proofs)))
    return f"{outcome.status:8} {clean(outcome.name)} ({took}){tail}"


def proofs_and_notes(outcome: Outcome) -> Iterator[str]:
    """How each promise was found to hold, and what else there is to say about a run."""
    for verdict in outcome.verdicts:
        wanted = " / ".join(verdict.wanted)
        proof = verdict.grade or "came"
        yield clean(f"{verdict.place} {verdict.actor} {verdict.verb} {wanted} ({proof})")
    yield from (f"note: {clean(note)}" for note in outcome.notes)
    yield f"seed {outcome.seed}, patience stretched {outcome.factor:g} times"


def report(outcome: Outcome) -> str:
    """Everything that helps to understand a failure."""
    return "\n".join(_lines(outcome))


def _lines(outcome: Outcome) -> Iterator[str]:
    where = f"{outcome.place}: " if outcome.place else f"{outcome.path}: "
    yield f"{outcome.status.upper()}  {clean(outcome.title)}"
    first, *rest = outcome.what.splitlines() or [""]
    yield f"{where}{clean(first)}"
    yield from map(clean, rest)
    if outcome.place:
        yield from _source(outcome.place)
    yield from (f"    {clean(line)}" for line in outcome.details)
    for name in outcome.cast:
        events = [event for event in outcome.events if event.actor == name]
        if events:
            yield from _transcript(name, events, outcome)
    yield from (f"note: {clean(note)}" for note in outcome.notes)
    if outcome.evidence:
        yield f"evidence: {clean(outcome.evidence)} (index.html, or `harness replay` it)"


def source_line(place: Place | None) -> str:
    """What stands at a place, as it can be shown; empty if nothing does."""
    try:
        lines = mask(Path(place.file).read_text(encoding="utf-8")).splitlines() if place else []
        return clean(lines[place.line - 1].strip()) if place else ""
    except (OSError, IndexError):
        return ""


def _source(place: Place) -> Iterator[str]:
    try:
        lines = mask(Path(place.file).read_text(encoding="utf-8")).splitlines()
    except OSError:
        return
    for number in range(max(1, place.line - 3), min(len(lines), place.line + 1) + 1):
        marker = ">" if number == place.line else " "
        yield f"  {marker} {number:4} | {clean(lines[number - 1])}"
        if number == place.line:
            yield f"         | {' ' * (place.column - 1)}^"


def _transcript(name: str, events: list[Event], outcome: Outcome) -> Iterator[str]:
    yield ""
    yield f"  {name}"
    if len(events) > LAST:
        before = len(events) - LAST
        yield f"    ... {before} line{'s'[: before != 1]} before"
    for event in events[-LAST:]:
        yield f"    {event.at:8.3f} {SIGNS[event.kind]} {clean(short(event.text, most=LONG))}"
    picture = outcome.pictures.get(name)
    if picture:
        yield "    its screen at the end:"
        yield from (f"      | {clean(row)}" for row in picture)
