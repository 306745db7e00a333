"""`harness run`: scenarios against real programs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

from harness.errors import Exit
from harness.fences import STRENGTH
from harness.pool import Job, run_all
from harness.report import closing_line, one_line, report
from harness.run import Options
from harness.runner import EXITS, Outcome, run_scenario
from harness.selection import add_selection, chosen
from harness.show import Show

WORST_FIRST = (Exit.BUG, Exit.WRONG, Exit.BROKEN, Exit.ENVIRONMENT, Exit.PASSED)


def add(parser: argparse.ArgumentParser) -> None:
    """Its arguments."""
    add_selection(parser)
    add_programs(parser)
    add_pool(parser)
    parser.add_argument("--show", action="store_true", help="show conversations as they happen")
    parser.add_argument("-x", "--stop", action="store_true", help="stop at the first failure")


def add_programs(parser: argparse.ArgumentParser) -> None:
    """The arguments that say what is judged, and how strictly."""
    parser.add_argument("--server", metavar="CMD", help="start this server, not the profile's")
    parser.add_argument(
        "--client", metavar="CMD", help="start this in every terminal, not the profile's program"
    )
    parser.add_argument(
        "--at", type=_address, metavar="HOST:PORT", help="use a server that runs already"
    )
    parser.add_argument(
        "--patience",
        type=float,
        default=1.0,
        metavar="FACTOR",
        help="multiply every patience, for slow machines",
    )
    parser.add_argument(
        "--min-grade", choices=STRENGTH, metavar="GRADE",
        help=f"fail where something is proved by less ({', '.join(STRENGTH)})",
    )  # fmt: skip


def add_pool(parser: argparse.ArgumentParser) -> None:
    """The arguments that say how many runs there are at a time."""
    parser.add_argument("-j", dest="jobs", type=int, default=1, metavar="N", help="runs at a time")


def options_of(arguments: argparse.Namespace) -> Options:
    """What the arguments say about each run."""
    return Options(
        profile=str(arguments.profile) if arguments.profile else None,
        server=arguments.server,
        client=arguments.client,
        at=arguments.at,
        patience=arguments.patience,
        min_grade=arguments.min_grade,
    )


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or not 0 < int(port) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return host.strip("[]") or "127.0.0.1", int(port)


def main(arguments: argparse.Namespace) -> int:
    """Run what was chosen; the exit code is that of the worst outcome."""
    jobs = [Job(scenario, row) for scenario in chosen(arguments) for row in scenario.rows()]
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
    return worst(outcomes)


def worst(outcomes: list[Outcome]) -> int:
    """The exit code of several runs; of none it is that of a wrong command line."""
    exits = [EXITS[outcome.status] for outcome in outcomes]
    return next((code for code in WORST_FIRST if code in exits), Exit.WRONG)


def _outcomes(jobs: list[Job], arguments: argparse.Namespace) -> Iterator[Outcome]:
    options = options_of(arguments)
    if arguments.show:
        for job in jobs:
            yield Show(job.scenario, job.row).play(options)
    elif arguments.jobs > 1:
        yield from run_all(jobs, options, arguments.jobs)
    else:
        yield from (run_scenario(job.scenario, job.row, options) for job in jobs)
