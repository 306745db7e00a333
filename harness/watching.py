"""`harness run --watch`: again whenever a file changes, with what the change is about."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from harness.errors import Exit, ScenarioError, SetupError
from harness.evidence import FOLDER
from harness.language import Scenario
from harness.report import clean_lines, closing_line
from harness.selection import load_all

INSTALL = "--watch needs the package watchfiles: pip install 'chatd[watch]'"
SETTLE = 200  # milliseconds in which changes belong together: editors write a file in steps


def watch(arguments: argparse.Namespace, play: Callable[[argparse.Namespace], int]) -> int:
    """Play, then wait for changes and play again, until Ctrl-C.

    A scenario that has changed is played alone; a profile, a part or a program may be used by any,
    so then everything is played.
    """
    try:
        from watchfiles import watch as changes
    except ImportError as error:
        raise SetupError(INSTALL) from error
    _play(arguments, play)
    for found in changes(*_folders(arguments), debounce=SETTLE, raise_interrupt=True):
        paths = {Path(name) for _, name in found if _counts(Path(name))}
        if paths:
            print(f"\n{', '.join(sorted(path.name for path in paths))} changed", flush=True)
            _play(_narrowed(arguments, paths), play)
    return Exit.PASSED


def _play(arguments: argparse.Namespace, play: Callable[[argparse.Namespace], int]) -> None:
    try:
        play(arguments)
    except ScenarioError as wrong:  # it will be mended in the next moment
        print("\n".join(clean_lines(str(problem)) for problem in wrong.problems))
        print(closing_line([]), flush=True)
    print("waiting for changes (Ctrl-C ends)", file=sys.stderr, flush=True)


def _folders(arguments: argparse.Namespace) -> set[Path]:
    """Where something may change that counts: beside the scenarios, their profiles, the server."""
    named = [*arguments.paths, *([arguments.profile] if arguments.profile else [])]
    words = (arguments.server or "").split()
    named += [Path(word) for word in words if Path(word).is_file() and "/" in word]
    named += _profiles(arguments)
    return {path if path.is_dir() else path.absolute().parent for path in named}


def _profiles(arguments: argparse.Namespace) -> Iterator[Path]:
    try:
        for scenario in load_all(arguments.paths, arguments.profile):
            yield Path(scenario.profile.path)
    except ScenarioError:
        return


def _counts(path: Path) -> bool:
    """Whether a change can matter: not of what is written by running."""
    hidden = any(part.startswith(".") for part in path.parts)
    written = {FOLDER, "__pycache__"} & set(path.parts)
    return not hidden and not written and path.suffix in (".yaml", ".yml", ".py", "")


def _narrowed(arguments: argparse.Namespace, changed: set[Path]) -> argparse.Namespace:
    """The same arguments for the scenarios that have changed, if nothing else has."""
    known = {Path(one.path).resolve() for one in _loadable(changed, arguments.profile)}
    if {path.resolve() for path in changed} != known:
        return arguments
    return argparse.Namespace(**{**vars(arguments), "paths": sorted(changed)})


def _loadable(changed: set[Path], profile: Path | None) -> Iterator[Scenario]:
    for path in changed:
        try:
            yield from load_all([path], profile) if path.is_file() else ()
        except ScenarioError:
            continue
