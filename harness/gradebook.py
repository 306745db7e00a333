"""The grades of several programs as pages to read: an overview, and a letter for each program."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

from harness.grades import (
    COULD_NOT_RUN,
    FAILED,
    NOT_APPLICABLE,
    NOT_COVERED,
    PASSED,
    Matrix,
    Sheet,
    as_document,
    by_scenario,
    total,
)
from harness.pages import page, style

MARKS = {PASSED: "✓", FAILED: "✗", NOT_APPLICABLE: "–", COULD_NOT_RUN: "?", NOT_COVERED: "·"}


def write_gradebook(folder: Path, matrix: Matrix, title: str, commands: Mapping[str, str]) -> None:
    """`index.html`, `grades.json`, and per program `NAME.html` and the badge `NAME.svg`.

    `commands`: what a program's author runs to see the same.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = _file_names([one.program for one in matrix.sheets])
    covering = matrix.covering()
    common = {"matrix": matrix, "title": title, "css": style("grades.css"), "number": number}
    index = page(
        "grades_index.html.j2", **common, covering=covering, scenarios=matrix.scenarios(),
        uncovered=[name for name, scenarios in covering.items() if not scenarios],
        pages={program: f"{name}.html" for program, name in names.items()}, marks=MARKS,
    )  # fmt: skip
    (folder / "index.html").write_text(index, encoding="utf-8")
    for one in matrix.sheets:
        letter = page(
            "grades_program.html.j2", **common, one=one, command=commands.get(one.program, ""),
            by_scenario=by_scenario, total=total,
        )  # fmt: skip
        (folder / f"{names[one.program]}.html").write_text(letter, encoding="utf-8")
        (folder / f"{names[one.program]}.svg").write_text(badge(one), encoding="utf-8")
    document = msgspec.json.format(msgspec.json.encode(as_document(matrix)), indent=1)
    (folder / "grades.json").write_bytes(document + b"\n")


def number(points: float) -> str:
    """Points as a person writes them: 3, 2.5, 0.33."""
    return f"{points:.2f}".rstrip("0").rstrip(".")


def _file_names(programs: list[str]) -> dict[str, str]:
    """A name for the files of each program: only harmless characters, no two alike."""
    found: dict[str, str] = {}
    taken = {"index", "grades"}
    for program in programs:
        name = base = re.sub(r"[^\w.-]+", "-", program).strip(".-") or "program"
        count = 1
        while name.casefold() in taken:
            count += 1
            name = f"{base}-{count}"
        taken.add(name.casefold())
        found[program] = name
    return found


def badge(one: Sheet) -> str:
    """A small picture of the points, to be put into a README."""
    share = one.points / one.worth if one.worth else 0.0
    colour = "#0b6b34" if share >= 0.9 else "#7a5200" if share >= 0.5 else "#b3261e"
    return page("badge.svg.j2", text=f"{number(one.points)} of {number(one.worth)}", colour=colour)
