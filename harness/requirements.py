"""Tables of requirements: what `covers` refers to, with its words. Markdown or CSV."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path

from harness.errors import Place, Problem, ScenarioError

ID = r"[A-Za-z][A-Za-z0-9._]*-?\d[\w.-]*"
ROW = re.compile(rf"\s*\|\s*`?({ID})`?\s*\|\s*([^|]+?)\s*\|")  # of a Markdown table
HELP = "Markdown: rows `| S1-22 | what must hold |`; CSV: lines `S1-22,what must hold`"


def read_requirements(path: Path) -> dict[str, str]:
    """Id to words, in the order of the file; raises `ScenarioError` if there are none."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError([Problem(Place(str(path)), f"cannot be read: {error}", HELP)]) from None
    rows = _csv(text) if path.suffix == ".csv" else _markdown(text)
    found: dict[str, str] = {}
    for line, name, words in rows:
        if name in found:
            problem = Problem(Place(str(path), line), f"requirement {name!r} is there twice")
            raise ScenarioError([problem])
        found[name] = words
    if not found:
        raise ScenarioError([Problem(Place(str(path)), "there is no requirement in it", HELP)])
    return found


def _markdown(text: str) -> Iterator[tuple[int, str, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        if match := ROW.match(line):
            yield number, match[1], match[2]


def _csv(text: str) -> Iterator[tuple[int, str, str]]:
    reader = csv.reader(text.splitlines())
    for row in reader:
        if len(row) >= 2 and re.fullmatch(ID, row[0].strip()):
            yield reader.line_num, row[0].strip(), row[1].strip()
