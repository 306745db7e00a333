"""`harness learn`: draft a profile of a program that nobody has described."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from harness.errors import Exit, Place, Problem, ScenarioError
from harness.learn import learn, profile_text, try_out
from harness.report import clean, report
from harness.run import Options


def add(parser: argparse.ArgumentParser) -> None:
    """Its arguments."""
    parser.add_argument(
        "--server", required=True, metavar="CMD",
        help="the command that starts it; {port} stands for the port, if it takes one",
    )  # fmt: skip
    parser.add_argument(
        "--client", metavar="CMD",
        help="the command of a person's program, with {host}, {port}, {name} where it takes them;"
        " without it sockets are tried",
    )  # fmt: skip
    parser.add_argument(
        "-o", dest="out", type=Path, metavar="FILE", help="the profile to write (default: print it)"
    )
    parser.add_argument("--force", action="store_true", help="write over a file that is there")


def main(arguments: argparse.Namespace) -> int:
    """Learn, write, try it out; 1 if a small dialogue does not pass with what was drafted."""
    out: Path | None = arguments.out
    if out is not None and out.exists() and not arguments.force:
        help_ = "another name for -o, or --force"
        raise ScenarioError([Problem(Place(str(out)), "is there already", help_)])
    draft = learn(arguments.server, arguments.client, Options(), _tell)
    for one in draft.open:
        _tell(f"not found out: {one}")
    if out is None:
        print(profile_text(draft, "learned"), end="")
        return Exit.PASSED
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(profile_text(draft, out.stem, out.parent), encoding="utf-8", newline="\n")
    outcome = try_out(out, draft, Options())
    if outcome is None:
        print(f"wrote {clean(str(out))}; it has no acts yet, so nothing was tried")
        return Exit.BROKEN
    if outcome.status != "passed":
        print(report(outcome))
        print(f"wrote {clean(str(out))}, but a small dialogue does not pass with it")
        return Exit.BROKEN
    print(f"wrote {clean(str(out))}; a small dialogue passes with it")
    return Exit.PASSED


def _tell(text: str) -> None:
    print(clean(text), file=sys.stderr, flush=True)
