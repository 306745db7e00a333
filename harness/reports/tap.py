"""TAP version 13: a line for each run; what is known or does not apply has a directive."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

from harness.errors import Exit
from harness.report import clean
from harness.runner import EXITS, Outcome

DIRECTIVE = re.compile(r"#(?=\W*(?:skip|todo))", re.IGNORECASE)


def text(outcomes: Sequence[Outcome]) -> str:
    """The document."""
    return "\n".join(_lines(outcomes)) + "\n"


def _lines(outcomes: Sequence[Outcome]) -> Iterator[str]:
    yield "TAP version 13"
    yield f"1..{len(outcomes)}"
    for number, outcome in enumerate(outcomes, 1):
        fine = EXITS[outcome.status] is Exit.PASSED and outcome.status != "known"
        said = f"{_plain(outcome.name)} - {_plain(outcome.title)}"
        yield f"{'ok' if fine else 'not ok'} {number} - {said}{_directive(outcome)}"
        if not fine:
            yield from _diagnosis(outcome)


def _plain(text: str) -> str:
    """Text without what would be read as a directive; not every reader knows the escape."""
    return DIRECTIVE.sub("-", clean(text)).replace("#", "\\#")


def _directive(outcome: Outcome) -> str:
    if outcome.status == "skipped":
        return f" # SKIP {_plain(outcome.what)}"
    return f" # TODO {_plain(outcome.notes[-1])}" if outcome.status == "known" else ""


def _diagnosis(outcome: Outcome) -> Iterator[str]:
    """A YAML block; its values are JSON, which is YAML and has no trouble with any text."""
    place = outcome.place
    values = {
        "status": outcome.status,
        "message": clean(outcome.what),
        "at": {"file": place.file, "line": place.line, "column": place.column} if place else None,
        "covers": outcome.covers,
        "seed": outcome.seed,
        "attempts": [
            {"number": it.number, "status": it.status, "seed": it.seed, "message": clean(it.what)}
            for it in outcome.attempts
        ],
        "details": [clean(line) for line in outcome.details],
    }
    yield "  ---"
    yield from (f"  {name}: {json.dumps(value)}" for name, value in values.items() if value)
    yield "  ..."
