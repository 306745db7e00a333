"""`harness check`: everything that is wrong with scenarios, without running them."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

from harness.errors import Exit, Problem, ScenarioError
from harness.profile import check_names, load_profile
from harness.report import clean_lines
from harness.selection import add_selection, chosen, warnings
from harness.yaml_nodes import read


def add(parser: argparse.ArgumentParser) -> None:
    """Its arguments."""
    add_selection(parser)


def main(arguments: argparse.Namespace) -> int:
    """Says how many can be run; the problems of the others are an error of `chosen`.

    A profile that is named itself is read alone.
    """
    profiles = [path for path in arguments.paths if _is_profile(path)]
    arguments.paths = [path for path in arguments.paths if path not in profiles]
    notes: list[Problem] = []
    problems = list(_problems(profiles, notes))
    try:
        scenarios = chosen(arguments)
    except ScenarioError as wrong:
        problems += wrong.problems
    if problems:
        raise ScenarioError(problems)
    for note in notes:
        print(f"note: {clean_lines(str(note))}")
    for warning in warnings(scenarios):
        print(warning)
    if profiles:
        print(f"{len(profiles)} profile{'s'[: len(profiles) != 1]} can be used")
    if arguments.paths:
        print(f"{len(scenarios)} scenario{'s'[: len(scenarios) != 1]} can be run")
    return Exit.PASSED


def _is_profile(path: Path) -> bool:
    try:
        return path.is_file() and read(path).get("profile") is not None
    except ScenarioError:  # told when it is read as what it is
        return False


def _problems(profiles: Iterable[Path], notes: list[Problem]) -> Iterable[Problem]:
    """What is wrong with profiles; a name that only a scenario could set is worth a note."""
    for path in profiles:
        try:
            profile = load_profile(path)
            notes += [*profile.warnings, *check_names(profile, profile.roles, (), ())]
        except ScenarioError as wrong:
            yield from wrong.problems
