"""JUnit XML: a suite of all runs, a case for each.

Every way to end is told: *failed* is a failure; *flaky* is a failure too, with a `flakyFailure`
for each attempt that did not pass; a run that failed again when it was retried has a
`rerunFailure` for each further attempt; *known* and *skipped* are skipped, with the reason; what
could not be run, what is wrong and faults of the harness are errors. Properties carry what JUnit
has no word for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePath
from xml.etree import ElementTree as ET

from harness.errors import Exit
from harness.report import clean, clean_lines, report
from harness.runner import EXITS, Attempt, Outcome

KINDS = {
    "failed": "failure", "flaky": "failure", "known": "skipped", "skipped": "skipped",
    "environment": "error", "wrong": "error", "bug": "error",
}  # fmt: skip


def text(outcomes: Sequence[Outcome]) -> str:
    """The document."""
    count = Counter(KINDS.get(outcome.status, "") for outcome in outcomes)
    numbers = {
        "name": "harness", "tests": len(outcomes), "failures": count["failure"],
        "errors": count["error"], "skipped": count["skipped"],
        "time": f"{sum(outcome.seconds for outcome in outcomes):.3f}",
    }  # fmt: skip
    root = ET.Element("testsuites", _attributes(numbers))
    suite = ET.SubElement(root, "testsuite", _attributes(numbers))
    for outcome in outcomes:
        suite.append(_case(outcome))
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _attributes(values: dict[str, object]) -> dict[str, str]:
    return {name: clean(str(value)) for name, value in values.items()}


def _case(outcome: Outcome) -> ET.Element:
    path = PurePath(outcome.path)
    folder = ".".join(part for part in path.parent.parts if part not in ("/", "..")) or "scenarios"
    line = outcome.place.line if outcome.place and outcome.place.file == outcome.path else 1
    case = ET.Element("testcase", _attributes({
        "classname": folder, "name": PurePath(outcome.name).name if not outcome.row
        else f"{path.name}{outcome.name.removeprefix(outcome.path)}",
        "file": outcome.path, "line": line, "time": f"{outcome.seconds:.3f}",
    }))  # fmt: skip
    properties = ET.SubElement(case, "properties")
    for name, value in _properties(outcome):
        ET.SubElement(properties, "property", _attributes({"name": name, "value": value}))
    if kind := KINDS.get(outcome.status):
        _told(case, kind, outcome.status, outcome.what, report(outcome))
    for attempt in _failing(outcome.attempts):
        if outcome.status == "flaky" or _has_passed(outcome):
            _attempt(case, "flakyFailure", attempt)
        elif attempt.number > 1:
            _attempt(case, "rerunFailure", attempt)
    return case


def _properties(outcome: Outcome) -> Iterator[tuple[str, object]]:
    yield "title", outcome.title
    yield "status", outcome.status
    yield from (("covers", requirement) for requirement in outcome.covers)
    yield from (("tag", tag) for tag in outcome.tags)
    yield "points", f"{outcome.points:g}"
    yield "profile", outcome.profile
    yield "seed", outcome.seed
    yield "patience-factor", f"{outcome.factor:g}"
    yield from ((f"proof-{grade}", count) for grade, count in sorted(outcome.grades.items()))
    if outcome.attempts:
        yield "attempts", len(outcome.attempts)
    if outcome.evidence:
        yield "evidence", outcome.evidence


def _told(case: ET.Element, kind: str, status: str, what: str, body: str) -> None:
    inside = ET.SubElement(case, kind, _attributes({"message": what, "type": status}))
    if kind != "skipped":
        inside.text = clean_lines(body)


def _failing(attempts: Iterable[Attempt]) -> Iterator[Attempt]:
    return (attempt for attempt in attempts if EXITS[attempt.status] is not Exit.PASSED)


def _has_passed(outcome: Outcome) -> bool:
    return any(EXITS[attempt.status] is Exit.PASSED for attempt in outcome.attempts)


def _attempt(case: ET.Element, kind: str, attempt: Attempt) -> None:
    where = f"{attempt.place}: " if attempt.place else ""
    message = f"attempt {attempt.number}, seed {attempt.seed}: {attempt.what}"
    inside = ET.SubElement(
        case, kind,
        _attributes({"message": message, "type": attempt.status, "time": f"{attempt.seconds:.3f}"}),
    )  # fmt: skip
    ET.SubElement(inside, "stackTrace").text = clean_lines(f"{where}{attempt.what}")
