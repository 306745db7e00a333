"""`harness list`: what scenarios there are, and what they cover."""

from __future__ import annotations

import argparse

from harness.errors import Exit
from harness.report import clean
from harness.selection import add_selection, chosen


def add(parser: argparse.ArgumentParser) -> None:
    """Its arguments."""
    add_selection(parser)


def main(arguments: argparse.Namespace) -> int:
    """A line for each scenario."""
    for scenario in chosen(arguments):
        covers = f" [{', '.join(scenario.covers)}]" if scenario.covers else ""
        print(clean(f"{scenario.path}: {scenario.title}{covers}"))
    return Exit.PASSED
