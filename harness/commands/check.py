"""`harness check`: everything that is wrong with scenarios, without running them."""

from __future__ import annotations

import argparse

from harness.errors import Exit
from harness.selection import add_selection, chosen, warnings


def add(parser: argparse.ArgumentParser) -> None:
    """Its arguments."""
    add_selection(parser)


def main(arguments: argparse.Namespace) -> int:
    """Says how many can be run; the problems of the others are an error of `chosen`."""
    scenarios = chosen(arguments)
    for warning in warnings(scenarios):
        print(warning)
    count = len(scenarios)
    print(f"{count} scenario{'s'[: count != 1]} can be run")
    return Exit.PASSED
