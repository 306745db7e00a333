"""`harness explain CODE`: what a code means, with an example that is wrong and the same mended."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from harness.checking import suggestion
from harness.codes import CODES, NUMBERS, PROFILE, TABLE, Code
from harness.errors import Exit, ScenarioError
from harness.language import load_scenario
from harness.profile import load_profile
from harness.report import clean


def add(parser: argparse.ArgumentParser) -> None:
    """Its arguments."""
    parser.add_argument(
        "codes", nargs="*", metavar="CODE", help="such as H101 or unknown-verb; none: list them all"
    )


def main(arguments: argparse.Namespace) -> int:
    """Prints the list, or the rows that were asked for."""
    if not arguments.codes:
        for one in TABLE:
            print(f"{one.number} {one.name:26} {one.meaning}")
        return Exit.PASSED
    for word in arguments.codes:
        row = CODES.get(NUMBERS.get(word.lower(), word.upper()))
        if row is None:
            names = [*CODES] if word[:1] in "hH" and word[1:].isdigit() else [*NUMBERS]
            print(f"no code {clean(word)!r}: {suggestion(word, names)}", file=sys.stderr)
            return Exit.WRONG
        print("\n".join(_lines(row)))
    return Exit.PASSED


def _lines(row: Code) -> Iterator[str]:
    yield f"{row.number} {row.name}"
    yield f"    {row.meaning}"
    yield ""
    yield "wrong:"
    yield from _example(row.wrong)
    yield from ("", *told(row))
    yield ""
    yield "mended:"
    yield from _example(row.mended)


def _example(text: str) -> Iterator[str]:
    yield from (f"    {clean(line)}" for line in text.splitlines())


def told(row: Code) -> Iterator[str]:
    """What the loader says about the wrong example."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "wrong.yaml"
        for name, text in {"example.yaml": PROFILE, **row.files}.items():
            path.with_name(name).write_text(text, encoding="utf-8")
        if row.name != "unreadable":
            path.write_bytes(row.made() if row.made else row.document(row.wrong).encode())
        try:
            (load_profile if row.shape == "profile" else load_scenario)(path)
        except ScenarioError as error:
            for line in str(error).replace(f"{folder}/", "").splitlines():
                yield f"    {clean(line)}"
