"""`harness fmt`: the one layout of scenario and profile files; never changes what they mean."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.errors import Exit, Problem, ScenarioError
from harness.fmt import formatted
from harness.report import clean


def add(parser: argparse.ArgumentParser) -> None:
    """Its arguments."""
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="a file, or a folder")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 if anything would change"
    )
    parser.add_argument("--diff", action="store_true", help="write nothing; show what would change")


def main(arguments: argparse.Namespace) -> int:
    """Formats every file; what cannot be read is told, the others are formatted all the same."""
    problems: list[Problem] = []
    changed = 0
    for path in _files(arguments.paths):
        try:
            changed += _one(path, arguments)
        except ScenarioError as wrong:
            problems += wrong.problems
    if problems:
        raise ScenarioError(problems)
    dry = arguments.check or arguments.diff
    return Exit.BROKEN if changed and dry else Exit.PASSED


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        yield from sorted(path.rglob("*.yaml")) if path.is_dir() else [path]


def _one(path: Path, arguments: argparse.Namespace) -> bool:
    """Whether a file is not laid out yet; it is then, unless that was not asked for."""
    new = formatted(path)
    old = path.read_bytes().decode("utf-8")
    if new == old:
        return False
    if arguments.diff:
        name = str(path)
        rows = difflib.unified_diff(old.splitlines(), new.splitlines(), name, name, lineterm="")
        print("\n".join(map(clean, rows)))
    elif arguments.check:
        print(f"would be laid out anew: {clean(str(path))}")
    else:
        path.write_text(new, encoding="utf-8", newline="\n")
        print(f"laid out anew: {clean(str(path))}")
    return True
