"""Which scenarios are meant: files and folders, and the words that choose among them."""

from __future__ import annotations

import argparse
import contextlib
import re
import statistics
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import msgspec
from msgspec import Struct, structs

from harness.checking import close
from harness.errors import Place, Problem, ScenarioError
from harness.language import Scenario, load_scenario
from harness.memory import recall, stable_name
from harness.pool import Job
from harness.report import clean_lines
from harness.runner import run_name
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
    parser.add_argument(
        "--tag", action="append", default=[], type=tag_expression, metavar="EXPRESSION",
        help="only those whose tags fit: smoke, 'not slow', 'smoke and (fault or not slow)';"
        " given several times, all have to fit",
    )  # fmt: skip
    parser.add_argument(
        "--covers", action="append", default=[], metavar="ID",
        help="only those that cover this requirement (S1-22, or S1-*); given several times, one of"
        " them",
    )  # fmt: skip


def chosen(arguments: argparse.Namespace) -> list[Scenario]:
    """The scenarios that the arguments choose; raises `ScenarioError` with all problems."""
    scenarios = load_all(arguments.paths, arguments.profile)
    return [scenario for scenario in scenarios if _matches(scenario, arguments)]


def load_all(paths: Sequence[Path], profile: Path | None) -> list[Scenario]:
    """Every scenario; raises `ScenarioError` with the problems of all files."""
    problems = []
    found = []
    for path in scenario_files(paths):
        try:
            found.append(load_scenario(path, profile=profile))
        except ScenarioError as wrong:
            problems += wrong.problems
    if problems:
        raise ScenarioError(_each_once(problems))
    return found


def _each_once(problems: Sequence[Problem]) -> list[Problem]:
    """A file may be read for several scenarios, and for itself, by another path."""
    found: dict[Problem, Problem] = {}
    for problem in problems:
        place = structs.replace(problem.place, file=str(Path(problem.place.file).resolve()))
        found.setdefault(structs.replace(problem, place=place), problem)
    return list(found.values())


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


def warnings(scenarios: Sequence[Scenario]) -> list[str]:
    """What can be run but proves little, each said once, as it may be printed."""
    found = dict.fromkeys(problem for scenario in scenarios for problem in scenario.warnings)
    return [f"note: {clean_lines(str(problem))}" for problem in found]


def _matches(scenario: Scenario, arguments: argparse.Namespace) -> bool:
    return (
        any(arguments.word in text for text in _texts(scenario))
        and all(fits(scenario.tags) for fits in arguments.tag)
        and (not arguments.covers or _covers(scenario, arguments.covers))
    )


def nothing_chosen(arguments: argparse.Namespace) -> str:
    """Why nothing was selected, in the words of the command line; its files can be read."""
    found = load_all(arguments.paths, arguments.profile)
    if not found:
        return clean_lines(f"no scenario in {', '.join(repr(str(p)) for p in arguments.paths)}")
    if any(_matches(scenario, arguments) for scenario in found):
        return "none of the runs was selected: see --row and --shard"
    tags = {tag for scenario in found for tag in scenario.tags}
    covered = {name for scenario in found for name in scenario.covers}
    reasons = [_has_none("has the tag", tag, tags) for one in arguments.tag for tag in one.named]
    reasons += [_has_none("covers", name, covered) for name in arguments.covers]
    if not any(arguments.word in text for scenario in found for text in _texts(scenario)):
        reasons.append(f"no scenario has {arguments.word!r} in path, title, tags or covers")
    told = "; ".join(filter(None, reasons))
    return clean_lines(told or f"none of {len(found)} scenarios fits all that was asked")


def _has_none(what: str, asked: str, there: Collection[str]) -> str:
    """That no scenario has it, and what was perhaps meant; empty if one has it."""
    if any(fnmatchcase(one, asked) for one in there):
        return ""
    like = close(asked, there)
    meant = f", did you mean {like!r}" if like else ""
    return f"no scenario {what} {asked!r}{meant}"


def _texts(scenario: Scenario) -> tuple[str, ...]:
    return (scenario.path, scenario.title, *scenario.tags, *scenario.covers)


def _covers(scenario: Scenario, wanted: Sequence[str]) -> bool:
    return any(fnmatchcase(one, pattern) for one in scenario.covers for pattern in wanted)


# Expressions of tags: words, `not`, `and`, `or`, brackets; `not` binds closest, `or` least.

Fits = Callable[[Collection[str]], bool]
WORDS = re.compile(r"\s*([()]|[^\s()]+)")


class TagExpression(Struct, frozen=True):
    """Whether tags fit an expression, and the tags that it names."""

    fits: Fits
    named: list[str]

    def __call__(self, tags: Collection[str]) -> bool:
        """Whether they fit."""
        return self.fits(tags)


def tag_expression(text: str) -> TagExpression:
    """Whether tags fit an expression; raises `ArgumentTypeError` for what is none."""
    words = deque(WORDS.findall(text))
    named = [word for word in words if word not in ("(", ")", "not", "and", "or")]
    try:
        fits = _either(words)
    except IndexError:
        raise argparse.ArgumentTypeError(f"{text!r} ends too early: a tag is missing") from None
    if words:
        raise argparse.ArgumentTypeError(f"{text!r} makes no sense from {words[0]!r} on")
    return TagExpression(fits, named)


def _either(words: deque[str]) -> Fits:
    options = [_both(words)]
    while words and words[0] == "or":
        words.popleft()
        options.append(_both(words))
    return lambda tags: any(fits(tags) for fits in options)


def _both(words: deque[str]) -> Fits:
    needs = [_one(words)]
    while words and words[0] == "and":
        words.popleft()
        needs.append(_one(words))
    return lambda tags: all(fits(tags) for fits in needs)


def _one(words: deque[str]) -> Fits:
    word = words.popleft()
    if word == "not":
        inner = _one(words)
        return lambda tags: not inner(tags)
    if word == "(":
        inner = _either(words)
        if words.popleft() != ")":
            raise argparse.ArgumentTypeError("a bracket is not closed")
        return inner
    if word in (")", "and", "or"):
        raise argparse.ArgumentTypeError(f"a tag is missing before {word!r}")
    return lambda tags: word in tags


# Runs: those that failed, and a share of all.


def add_runs(parser: argparse.ArgumentParser) -> None:
    """The arguments that choose among the runs of the scenarios."""
    parser.add_argument(
        "--last-failed", action="store_true",
        help="only what failed last time; all, if nothing did",
    )  # fmt: skip
    parser.add_argument(
        "--failed-first", action="store_true", help="what failed last time comes first"
    )
    parser.add_argument(
        "--shard", type=_shard, metavar="I/N", help="only the I-th of N shares of all runs"
    )
    parser.add_argument(
        "--durations", type=Path, metavar="FILE",
        help="with --shard: a report of --json, to make shares that take equally long; every share"
        " needs the same file",
    )  # fmt: skip


def _shard(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([0-9]{1,4})/([0-9]{1,4})", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise argparse.ArgumentTypeError(f"{text!r} is no share such as 2/4")
    return int(match[1]), int(match[2])


def chosen_runs(arguments: argparse.Namespace, scenarios: Sequence[Scenario]) -> list[Job]:
    """The runs of the scenarios that the arguments choose, in the order of playing."""
    rows = slice(None) if arguments.row is None else slice(arguments.row - 1, arguments.row)
    jobs = [Job(scenario, row) for scenario in scenarios for row in list(scenario.rows())[rows]]
    if arguments.shard:
        number, of = arguments.shard
        jobs = share(jobs, number, of, _seconds(arguments.durations))
    if arguments.last_failed or arguments.failed_first:
        failed = recall().failed
        before = [job for job in jobs if _name(job) in failed]
        after = [job for job in jobs if job not in before]
        jobs = before if arguments.last_failed and before else before + after
    return jobs


def _name(job: Job) -> str:
    return stable_name(job.scenario.path, run_name(job.scenario.path, job.row))


def _seconds(report: Path | None) -> dict[str, float]:
    """How long runs took, from a report; raises `ScenarioError` if it is none."""
    if report is None:
        return {}
    try:
        runs = msgspec.json.decode(report.read_bytes(), type=_Report).runs
    except (OSError, msgspec.MsgspecError) as error:
        problem = Problem(Place(str(report)), f"is no report of --json: {error}")
        raise ScenarioError([problem]) from error
    return {stable_name(run.path, run.name): run.seconds for run in runs}


class _Ran(Struct):
    name: str
    path: str
    seconds: float


class _Report(Struct):
    runs: list[_Ran]


def share(jobs: Sequence[Job], number: int, of: int, seconds: Mapping[str, float]) -> list[Job]:
    """One of `of` shares, which together are all: the longest first, each to the emptiest share.

    What is not known to have taken so long counts like the median of what is.
    """
    usual = statistics.median(seconds.values()) if seconds else 1.0
    weights = {_name(job): seconds.get(_name(job), usual) for job in jobs}
    loads = [0.0] * of
    mine = set()
    for name in sorted(weights, key=lambda name: (-weights[name], name)):
        emptiest = loads.index(min(loads))
        loads[emptiest] += weights[name]
        if emptiest == number - 1:
            mine.add(name)
    return [job for job in jobs if _name(job) in mine]
