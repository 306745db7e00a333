"""`harness run`: scenarios against real programs."""

from __future__ import annotations

import argparse
import secrets
import sys
from collections import Counter
from collections.abc import Iterator

from msgspec import structs

from harness import reports
from harness.errors import Exit, Place, Problem, ScenarioError
from harness.evidence import FOLDER
from harness.fences import STRENGTH
from harness.flaky import Plan
from harness.language import Scenario
from harness.memory import keep, recall
from harness.pool import InterruptedRunsError, Job, Watcher, run_all
from harness.progress import Progress
from harness.report import clean, closing_line, one_line, proofs_and_notes, report
from harness.reports.github import Annotations
from harness.run import Options
from harness.runner import EXITS, INTERRUPTED, Outcome
from harness.selection import (
    add_runs,
    add_selection,
    chosen,
    chosen_runs,
    nothing_chosen,
    warnings,
)
from harness.watching import watch

WORST_FIRST = (Exit.BUG, Exit.WRONG, Exit.BROKEN, Exit.ENVIRONMENT, Exit.PASSED)


def add(parser: argparse.ArgumentParser) -> None:
    """Its arguments."""
    add_selection(parser)
    add_programs(parser)
    add_pool(parser)
    add_evidence(parser)
    add_runs(parser)
    add_attempts(parser)
    reports.add_reports(parser)
    parser.add_argument("--show", action="store_true", help="show conversations as they happen")
    parser.add_argument("-x", "--stop", action="store_true", help="stop at the first failure")
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing of what passes")
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="say of what passes how it was proved"
    )
    parser.add_argument("--list-tags", action="store_true", help="only list the tags there are")
    parser.add_argument(
        "--accept",
        action="store_true",
        help="write what came instead into the scenario, where a text, frame or snapshot is missed",
    )
    parser.add_argument(
        "--watch", action="store_true", help="run again whenever a file changes (extra: watch)"
    )


def add_programs(parser: argparse.ArgumentParser) -> None:
    """The arguments that say what is judged, and how strictly."""
    parser.add_argument("--server", metavar="CMD", help="start this server, not the profile's")
    parser.add_argument(
        "--client", metavar="CMD", help="start this in every terminal, not the profile's program"
    )
    parser.add_argument(
        "--at", type=host_and_port, metavar="HOST:PORT", help="use a server that runs already"
    )
    parser.add_argument(
        "--patience",
        type=_factor,
        default=1.0,
        metavar="FACTOR",
        help="multiply every patience, beyond what a slow machine is given anyhow",
    )
    parser.add_argument(
        "--min-grade", choices=STRENGTH, metavar="GRADE",
        help=f"fail where something is proved by less ({', '.join(STRENGTH)})",
    )  # fmt: skip


def add_pool(parser: argparse.ArgumentParser) -> None:
    """The arguments that say how many runs there are at a time."""
    parser.add_argument(
        "-j", dest="jobs", type=_positive, default=1, metavar="N", help="runs at a time"
    )


def add_attempts(parser: argparse.ArgumentParser) -> None:
    """The arguments that bring out what does not always happen."""
    parser.add_argument(
        "--repeat", type=_positive, default=1, metavar="N",
        help="make each run N times; runs that differ are flaky, which is a failure",
    )  # fmt: skip
    parser.add_argument(
        "--retries", type=_count, default=0, metavar="N",
        help="make a failed run up to N times more; one that passes then is flaky",
    )  # fmt: skip
    parser.add_argument(
        "--shake", action="store_true",
        help="add delays and halt programs for moments, as the seed says",
    )  # fmt: skip
    parser.add_argument(
        "--seed", type=_count, metavar="N", help="what the harness draws: the order of `together`,"
        " and what --shake does (default: 0; with --shake any, which is printed)",
    )  # fmt: skip


def add_evidence(parser: argparse.ArgumentParser) -> None:
    """The arguments that say which single run is made, and what is kept of it."""
    add_row(parser)
    parser.add_argument(
        "--evidence", default=FOLDER, metavar="DIR",
        help=f"keep what explains a failed run in a folder below DIR (default: {FOLDER}); "
        "always: of every run (always:DIR for another folder); none: nothing",
    )  # fmt: skip


def add_row(parser: argparse.ArgumentParser) -> None:
    """The argument that says which of a scenario's runs is made."""
    parser.add_argument(
        "--row", type=_row, metavar="N", help="only this row of a scenario's matrix, from 1"
    )


def with_evidence(options: Options, text: str) -> Options:
    """The options with what `--evidence` says: where, and whether of every run."""
    word, _, folder = text.partition(":")
    if word == "always":
        return structs.replace(options, evidence=folder or FOLDER, evidence_always=True)
    return structs.replace(options, evidence=None if text in ("none", "") else text)


def options_of(arguments: argparse.Namespace) -> Options:
    """What the arguments say about each run."""
    return Options(
        profile=str(arguments.profile) if arguments.profile else None,
        server=arguments.server,
        client=arguments.client,
        at=arguments.at,
        patience=arguments.patience,
        min_grade=arguments.min_grade,
        seed=_seed(arguments),
        shake=getattr(arguments, "shake", False),
    )


def _seed(arguments: argparse.Namespace) -> int:
    given: int | None = getattr(arguments, "seed", None)
    if given is None:
        return secrets.randbelow(1_000_000) if getattr(arguments, "shake", False) else 0
    return given


def _count(text: str) -> int:
    if not text.isdecimal() or len(text) > 9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number, 0 or more")
    return int(text)


def _positive(text: str) -> int:
    if (number := _count(text)) == 0:
        raise argparse.ArgumentTypeError("0 is too few")
    return number


def _factor(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number <= 10_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a factor such as 0.5 or 3")
    return number


def _row(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of a row: they count from 1")
    return int(text)


def host_and_port(text: str) -> tuple[str, int]:
    """What `--at` is given; raises `ArgumentTypeError` for what is no address."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or not 0 < int(port) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return host.strip("[]") or "127.0.0.1", int(port)


def main(arguments: argparse.Namespace) -> int:
    """Run what was chosen; the exit code is that of the worst outcome."""
    if arguments.accept:
        _may_accept(arguments)
    return watch(arguments, play) if arguments.watch else play(arguments)


def play(arguments: argparse.Namespace) -> int:
    """Choose, run, report."""
    scenarios = chosen(arguments)
    if arguments.list_tags:
        return _list_tags(scenarios)
    files = reports.wanted(arguments)
    for warning in warnings(scenarios):
        print(warning, file=sys.stderr)
    jobs = chosen_runs(arguments, scenarios)
    options = with_evidence(options_of(arguments), arguments.evidence)
    if options.shake:
        print(f"seed {options.seed}", flush=True)
    outcomes: list[Outcome] = []
    try:
        _run(jobs, options, arguments, outcomes)
    except InterruptedRunsError as cut:
        outcomes += cut.outcomes
        raise
    finally:
        reports.write(files, outcomes)
        memory = recall()
        memory.learn(one for one in outcomes if one.what != INTERRUPTED)
        keep(memory)
    if not outcomes:
        print(nothing_chosen(arguments), file=sys.stderr)
    print(closing_line(outcomes), flush=True)
    return worst(outcomes)


def _run(
    jobs: list[Job], options: Options, arguments: argparse.Namespace, outcomes: list[Outcome]
) -> None:
    """Make the runs, say how they go, collect how they went."""
    if arguments.accept:
        _accept(jobs, options, arguments, outcomes)
        return
    plan = Plan(arguments.repeat, arguments.retries)
    at_a_time = 1 if arguments.show else arguments.jobs
    with Progress(len(jobs)) as progress, Annotations() as annotations:
        watcher = _show() if arguments.show else progress
        for outcome in run_all(jobs, options, at_a_time, plan, watcher):
            outcomes.append(outcome)
            progress.count()
            for text in _told(outcome, arguments):
                progress.say(text)
            annotations.tell(outcome)
            if arguments.stop and EXITS[outcome.status] is not Exit.PASSED:
                break


NOT_WITH_ACCEPT = {  # each has its own idea of how often, or in which order, a run is made
    "jobs": ("-j", 1), "repeat": ("--repeat", 1), "retries": ("--retries", 0),
    "shake": ("--shake", False), "watch": ("--watch", False), "show": ("--show", False),
}  # fmt: skip


def _may_accept(arguments: argparse.Namespace) -> None:
    """Whether one run at a time says what is to be written; raises `ScenarioError`."""
    wrong = [said for name, (said, usual) in NOT_WITH_ACCEPT.items()
             if getattr(arguments, name) != usual]  # fmt: skip
    if wrong:
        what = f"--accept cannot be given together with {' and '.join(wrong)}"
        raise ScenarioError([Problem(Place("harness run"), what, "accept first, then run again")])


def _accept(
    jobs: list[Job], options: Options, arguments: argparse.Namespace, outcomes: list[Outcome]
) -> None:
    """Write what came instead, show what was written, and how it goes now."""
    from harness.accept import accept

    options = structs.replace(options, accept=True, evidence=None)
    with Progress(len(jobs)) as progress:
        for accepted in accept(jobs, options, arguments.profile, progress.tick):
            outcomes += accepted.outcomes
            for line in (*accepted.diff(), *map(clean, accepted.refused)):
                progress.say(line)
            for outcome in accepted.outcomes:
                progress.count()
                for text in _told(outcome, arguments):
                    progress.say(text)


def _show() -> Watcher:
    from harness.show import Show  # with rich, which nobody else waits for

    return Show()


def _told(outcome: Outcome, arguments: argparse.Namespace) -> Iterator[str]:
    """What is printed about an outcome."""
    failed = EXITS[outcome.status] is not Exit.PASSED
    if not arguments.show and (failed or not arguments.quiet):
        yield one_line(outcome)
    if failed:
        yield report(outcome)
    elif arguments.verbose:
        yield from (f"    {line}" for line in proofs_and_notes(outcome))


def _list_tags(scenarios: list[Scenario]) -> int:
    count = Counter(tag for scenario in scenarios for tag in scenario.tags)
    for tag, number in sorted(count.items()):
        print(f"{clean(tag)} ({number})")
    return Exit.PASSED


def worst(outcomes: list[Outcome]) -> int:
    """The exit code of several runs; of none it is that of a wrong command line."""
    exits = [EXITS[outcome.status] for outcome in outcomes]
    return next((code for code in WORST_FIRST if code in exits), Exit.WRONG)
