"""Which scenarios are meant: files and folders, and the words that choose among them."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.errors import ScenarioError
from harness.language import Scenario, load_scenario
from harness.yaml_nodes import read


def add_selection(parser: argparse.ArgumentParser) -> None:
    """The arguments that choose scenarios."""
    parser.add_argument(
        "paths", nargs="+", type=Path, metavar="PATH", help="a scenario, or a folder of scenarios"
    )
    parser.add_argument(
        "--profile",
        type=Path,
        metavar="FILE",
        help="use this profile, not the one that a scenario names",
    )
    parser.add_argument(
        "-k",
        dest="word",
        default="",
        metavar="SUBSTRING",
        help="only those with this in path, title, tags or covers",
    )


def chosen(arguments: argparse.Namespace) -> list[Scenario]:
    """The scenarios that the arguments choose; raises `ScenarioError` with all problems."""
    scenarios = load_all(arguments.paths, arguments.profile)
    return [scenario for scenario in scenarios if _matches(scenario, arguments.word)]


def load_all(paths: Sequence[Path], profile: Path | None) -> list[Scenario]:
    """Every scenario; raises `ScenarioError` with the problems of all files."""
    problems = []
    found = []
    for path in scenario_files(paths):
        try:
            found.append(load_scenario(path, profile=profile))
        except ScenarioError as wrong:
            problems += [problem for problem in wrong.problems if problem not in problems]
    if problems:
        raise ScenarioError(problems)
    return found


def scenario_files(paths: Sequence[Path]) -> Iterator[Path]:
    """Files as given; of a folder every scenario in it: profiles and parts are left out."""
    for path in paths:
        if path.is_dir():
            yield from (file for file in sorted(path.rglob("*.yaml")) if not _is_part(file))
        else:
            yield path


def _is_part(path: Path) -> bool:
    """Whether a file in a folder is no scenario of its own: a profile, or steps to include."""
    with contextlib.suppress(ScenarioError):
        root = read(path)
        return root.get("profile") is not None or (
            root.get("scenario") is None and {key.data for key, _ in root.pairs} == {"steps"}
        )
    return False


def _matches(scenario: Scenario, word: str) -> bool:
    return any(
        word in text for text in (scenario.path, scenario.title, *scenario.tags, *scenario.covers)
    )
