"""`harness run`, `harness list`, `harness check`: arguments in, exit code out."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from harness.errors import Exit, ScenarioError
from harness.language import Scenario, load_scenario
from harness.pool import Job, run_all
from harness.report import clean, closing_line, one_line, report
from harness.run import Options
from harness.runner import EXITS, Outcome, run_scenario
from harness.show import Show
from harness.yaml_nodes import read

WORST_FIRST = (Exit.BUG, Exit.WRONG, Exit.BROKEN, Exit.ENVIRONMENT, Exit.PASSED)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        prog="harness",
        description="Replays whole conversations between real programs, from scenario files.",
        epilog="Exit codes: 0 passed, 1 a promise was broken, 2 a scenario is wrong, "
        "3 the environment did not allow the test, 4 a fault of the harness itself.",
    )
    top.add_argument("--version", action="version", version=f"harness {_version()}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, meaning in COMMANDS.items():
        command = commands.add_parser(name, help=meaning, description=meaning)
        command.add_argument(
            "paths",
            nargs="+",
            type=Path,
            metavar="PATH",
            help="a scenario, or a folder of scenarios",
        )
        command.add_argument(
            "--profile",
            type=Path,
            metavar="FILE",
            help="use this profile, not the one that a scenario names",
        )
        command.add_argument(
            "-k",
            dest="word",
            default="",
            metavar="SUBSTRING",
            help="only those with this in path, title, tags or covers",
        )
    _run_options(commands.choices["run"])
    return top


COMMANDS = {
    "run": "run scenarios against real programs",
    "list": "list scenarios: path, title, what they cover",
    "check": "read scenarios and tell everything that is wrong with them, without running",
}


def _run_options(run: argparse.ArgumentParser) -> None:
    run.add_argument("--server", metavar="CMD", help="start this server instead of the profile's")
    run.add_argument(
        "--at", type=_address, metavar="HOST:PORT", help="use a server that runs already"
    )
    run.add_argument("--show", action="store_true", help="show the conversations as they happen")
    run.add_argument("-j", dest="jobs", type=int, default=1, metavar="N", help="runs at a time")
    run.add_argument("-x", "--stop", action="store_true", help="stop at the first failure")
    run.add_argument(
        "--patience",
        type=float,
        default=1.0,
        metavar="FACTOR",
        help="multiply every patience, for slow machines",
    )


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or not 0 < int(port) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return host.strip("[]") or "127.0.0.1", int(port)


def _version() -> str:
    return metadata.version("chatd")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = parser().parse_args(argv)
    signal.signal(signal.SIGTERM, _terminate)
    try:
        return _main(arguments)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return Exit.ENVIRONMENT
    except BrokenPipeError:
        return Exit.ENVIRONMENT
    except Exception:
        traceback.print_exc()
        print("This is a fault of the harness itself; please report it.", file=sys.stderr)
        return Exit.BUG


def _terminate(_number: int, _frame: Any) -> None:
    raise KeyboardInterrupt


def _main(arguments: argparse.Namespace) -> int:
    try:
        scenarios = list(load_all(arguments.paths, arguments.profile))
    except ScenarioError as wrong:
        for problem in wrong.problems:
            print(clean_lines(str(problem)))
        print(closing_line([]))
        return Exit.WRONG
    chosen = [scenario for scenario in scenarios if _matches(scenario, arguments.word)]
    return {"run": _run, "list": _list, "check": _check}[arguments.command](chosen, arguments)


def load_all(paths: Sequence[Path], profile: Path | None) -> Iterator[Scenario]:
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
    yield from found


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


def clean_lines(text: str) -> str:
    """Several lines, each of them cleaned."""
    return "\n".join(map(clean, text.split("\n")))


def _list(scenarios: list[Scenario], _arguments: argparse.Namespace) -> int:
    for scenario in scenarios:
        covers = f" [{', '.join(scenario.covers)}]" if scenario.covers else ""
        print(clean(f"{scenario.path}: {scenario.title}{covers}"))
    return Exit.PASSED


def _check(scenarios: list[Scenario], _arguments: argparse.Namespace) -> int:
    count = len(scenarios)
    print(f"{count} scenario{'s'[: count != 1]} can be run")
    return Exit.PASSED


def _run(scenarios: list[Scenario], arguments: argparse.Namespace) -> int:
    jobs = [Job(scenario, row) for scenario in scenarios for row in scenario.rows()]
    outcomes: list[Outcome] = []
    for outcome in _outcomes(jobs, arguments):
        outcomes.append(outcome)
        if not arguments.show:
            print(one_line(outcome), flush=True)
        if EXITS[outcome.status] is not Exit.PASSED:
            print(report(outcome), flush=True)
            if arguments.stop:
                break
    if not outcomes:
        print("no scenario was selected: see `harness list`", file=sys.stderr)
    print(closing_line(outcomes), flush=True)
    exits = [EXITS[outcome.status] for outcome in outcomes]
    return next((code for code in WORST_FIRST if code in exits), Exit.WRONG)


def _outcomes(jobs: list[Job], arguments: argparse.Namespace) -> Iterator[Outcome]:
    options = Options(server=arguments.server, at=arguments.at, patience=arguments.patience)
    if arguments.show:
        for job in jobs:
            yield Show(job.scenario, job.row).play(options)
    elif arguments.jobs > 1:
        yield from run_all(jobs, options, arguments.jobs, arguments.profile)
    else:
        yield from (run_scenario(job.scenario, job.row, options) for job in jobs)
