"""`harness load`: many casts of one scenario against one server, by a schedule, with thresholds."""

from __future__ import annotations

import argparse
import gc
import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from harness import calibration
from harness.commands.run import add_programs, options_of
from harness.errors import (
    BrokenPromiseError,
    Exit,
    NotApplicableError,
    Place,
    Problem,
    ScenarioError,
)
from harness.language import Scenario, load_scenario
from harness.report import clean
from harness.values import seconds

if TYPE_CHECKING:
    from harness.load import Plan, Result, Row

PERCENTILES = (50, 90, 99, 99.9)
RATE = re.compile(r"(\d+(?:\.\d+)?)(?:/(s|m|min))?")
THRESHOLD = re.compile(
    r"(?:line (?P<line>\d+): *)?(?P<what>p\d+(?:\.\d+)?|max|mean|failures|late)"
    r" *(?P<sign><=|<) *(?P<bound>\d+(?:\.\d+)?(?:us|ms|s|m|%)?)"
)
SAID_EVERY = 10.0  # seconds between two signs of life
MILLI = 1000.0  # microseconds


class Threshold(Struct, frozen=True):
    """What must hold of a load: `p99 < 200ms` of each exchange, or of one; `failures < 1%`."""

    text: str
    what: str
    bound: float  # microseconds, a count, or a share of the casts
    inclusive: bool
    percent: bool = False
    line: int | None = None

    def holds(self, value: float) -> bool:
        """Whether a measured value is within the bound."""
        return value <= self.bound if self.inclusive else value < self.bound


def add(parser: argparse.ArgumentParser) -> None:
    """Its arguments."""
    parser.add_argument("scenario", type=Path, metavar="SCENARIO", help="a scenario of sockets")
    parser.add_argument(
        "--profile", type=Path, metavar="FILE", help="use this profile, not the scenario's"
    )
    add_programs(parser)
    parser.add_argument(
        "--casts", type=_number, default=100, metavar="N", help="casts at a time, at most (100)"
    )
    parser.add_argument(
        "--rate", type=_rate, default=20.0, metavar="RATE",
        help="casts that begin, whatever the others do: 20/s, 300/min (20/s)",
    )  # fmt: skip
    many = parser.add_mutually_exclusive_group()
    many.add_argument(
        "--duration", type=_duration, metavar="TIME", help="let casts begin for so long"
    )
    many.add_argument(
        "--rounds", type=_number, default=1, metavar="N",
        help="casts in all: N times --casts (1)",
    )  # fmt: skip
    parser.add_argument(
        "--gather", action="store_true",
        help="all casts join before the first begins, and stay until the last is over",
    )  # fmt: skip
    parser.add_argument(
        "--threshold", action="append", default=[], type=threshold, metavar="TEXT",
        help="fail unless this holds: 'p99 < 200ms' (of each exchange), 'line 7: max < 1s',"
        " 'failures < 1%%', 'late <= 3'; may be given several times",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers as JSON")


def _number(text: str) -> int:
    if not (text.isdecimal() and 0 < int(text) < 1_000_000):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1")
    return int(text)


def _rate(text: str) -> float:
    found = RATE.fullmatch(text)
    if not found or not float(found[1]):
        raise argparse.ArgumentTypeError(f"{text!r} is no rate such as 20/s or 300/min")
    return float(found[1]) / (60 if found[2] in ("m", "min") else 1)


def _duration(text: str) -> float:
    found = seconds(text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is no time such as 10s, 500ms, 2m")
    return found


def threshold(text: str) -> Threshold:
    """A threshold as it is written; raises `argparse.ArgumentTypeError`."""
    found = THRESHOLD.fullmatch(text.strip())
    what, bound = (found["what"], found["bound"]) if found else ("", "")
    counted = what in ("failures", "late")
    number = float(re.match(r"[\d.]+", bound)[0]) if bound else 0.0  # type: ignore[index]
    if found and counted and re.fullmatch(r"[\d.]+%?", bound) and not found["line"]:
        return Threshold(text, what, number, found["sign"] == "<=", bound.endswith("%"))
    time_ = _microseconds(bound)
    if not found or counted or time_ is None or (what[0] == "p" and float(what[1:]) > 100):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no threshold such as 'p99 < 200ms', 'line 7: max < 1s', 'failures < 1%'"
        )
    line = int(found["line"]) if found["line"] else None
    return Threshold(text, what, time_, found["sign"] == "<=", line=line)


def _microseconds(text: str) -> float | None:
    if text.endswith("us"):
        return float(text[:-2])
    found = seconds(text) if not text.endswith("%") else None
    return None if found is None else found * 1_000_000


def main(arguments: argparse.Namespace) -> int:
    """Play it; 1 if a promise or a threshold was broken."""
    try:
        from harness.load import Load, Plan, unfit
    except ModuleNotFoundError as missing:
        print(
            f"harness load needs the package {missing.name!r}: pip install 'chatd[load]'",
            file=sys.stderr,
        )
        return Exit.ENVIRONMENT
    scenario = load_scenario(arguments.scenario, profile=arguments.profile)
    if problems := list(unfit(scenario)):
        raise ScenarioError(problems)
    if lacks := scenario.lacks():
        print(f"not applicable: profile {scenario.profile.name} cannot {', '.join(lacks)}")
        return Exit.PASSED
    plan = _plan(arguments, Plan)
    _lines_exist(arguments.threshold, scenario)
    calibration.renew()
    gc.freeze()
    try:
        result = Load(scenario, options_of(arguments), plan).run(_signs_of_life(plan))
    except NotApplicableError as error:
        print(f"not applicable: {clean(str(error))}")
        return Exit.PASSED
    except BrokenPromiseError as broken:  # of the server, which is nobody's alone
        print(f"{clean(scenario.path)}: {clean(broken.what)}")
        print("\n".join(f"    {clean(line.strip())}" for line in broken.details))
        return Exit.BROKEN
    finally:
        gc.unfreeze()
    print("\n".join(_told(result)))
    crossed = [one for one in arguments.threshold if not _is_kept(one, result)]
    for one in arguments.threshold:
        print(f"{'crossed' if one in crossed else 'kept   '}  {one.text}")
    if arguments.json:
        arguments.json.write_text(json.dumps(_as_json(result, scenario), indent=1) + "\n")
    allowed = any(one.what == "failures" for one in arguments.threshold)
    bad = crossed or result.broken or (result.failed and not allowed)
    print(f"{result.passed} casts passed, {result.failed} failed, {result.late} began late")
    return Exit.BROKEN if bad else Exit.PASSED


def _plan(arguments: argparse.Namespace, make: type[Plan]) -> Plan:
    if arguments.duration:
        total = max(1, round(arguments.duration * arguments.rate))
    else:
        total = arguments.casts * arguments.rounds
    if arguments.gather and total > arguments.casts:
        help_ = f"--casts {total}, or without --gather"
        what = f"--gather: all {total} casts cannot be there if {arguments.casts} are the most"
        raise ScenarioError([Problem(Place("--casts"), what, help_)])
    return make(total, arguments.casts, arguments.rate, arguments.gather)


def _lines_exist(thresholds: list[Threshold], scenario: Scenario) -> None:
    lines = sorted({step.place.line for step in scenario.steps})
    for one in thresholds:
        if one.line is not None and one.line not in lines:
            help_ = f"exchanges begin in lines {', '.join(map(str, lines))}"
            what = f"{one.text!r}: no exchange begins in line {one.line}"
            raise ScenarioError([Problem(Place(scenario.path, one.line), what, help_)])


def _signs_of_life(plan: Plan) -> Callable[[Result], None]:
    last = [time.monotonic()]

    def tell(result: Result) -> None:
        if time.monotonic() - last[0] > SAID_EVERY:
            last[0] = time.monotonic()
            print(
                f"  {result.started} of {plan.total} casts came, {result.passed} passed,"
                f" {result.failed - _under_way(result)} failed",
                flush=True,
            )

    return tell


def _under_way(result: Result) -> int:
    return result.failed - sum(failure.count for failure in result.failures.values())


# What is told.


def _told(result: Result) -> Iterator[str]:
    plan = result.plan
    how = (
        "all there from the first to the last"
        if plan.gather
        else f"at most {plan.places} at a time"
    )
    yield f"{plan.total} casts, {how}, {plan.rate:g} begin per second; {result.seconds:.1f} s"
    yield (
        f"{result.sockets} sockets at a time at most, {result.exchanges} exchanges"
        f" ({result.exchanges / result.seconds:.1f}/s), {result.heard} lines and frames arrived"
    )
    yield ""
    head = "".join(f"{name:>10}" for name in ("count", *(f"p{p:g}" for p in PERCENTILES), "max"))
    yield f"{'ms from act to arrival':44}{head}"
    for row in sorted(result.rows.values(), key=lambda row: row.place):
        label = f"line {row.place.line}  {clean(row.label)}"
        values = [f"{_ms(row, p):10.1f}" for p in PERCENTILES]
        last = f"{row.times.get_max_value() / MILLI:10.1f}"
        yield f"{label[:43]:44}{row.times.get_total_count():>10}{''.join(values)}{last}"
    yield ""
    yield (
        f"the harness's own rounds: p99 {result.rounds.get_value_at_percentile(99) / MILLI:.1f} ms,"
        f" max {result.rounds.get_max_value() / MILLI:.1f} ms (no time above is surer than that)"
    )
    if result.late:
        yield (
            f"{result.late} casts began late, by up to {result.latest:.2f} s: they wait for a"
            " place (--casts), or this machine is too slow for --rate"
        )
    yield from _failures(result)
    yield (
        f"laws over all casts: {result.messages} messages, told {result.told} times,"
        f" {len(result.broken) or 'no'} broken ({result.judging:.1f} s)"
    )
    for what, witness in result.broken:
        yield f"  {clean(what)}"
        yield from (f"      {clean(line)}" for line in witness)


def _ms(row: Row, percentile: float) -> float:
    return float(row.times.get_value_at_percentile(percentile)) / MILLI


def _failures(result: Result) -> Iterator[str]:
    for failure in sorted(result.failures.values(), key=lambda one: -one.count):
        where = f"{failure.place}: " if failure.place else ""
        yield f"failed in {failure.count} casts: {where}{clean(failure.what)}"
        for cast, what, details in failure.examples:
            yield f"    cast {cast}: {clean(what.splitlines()[0])}"
            yield from (f"        {clean(line.strip())}" for line in details)


def _is_kept(one: Threshold, result: Result) -> bool:
    if one.what in ("failures", "late"):
        count = result.failed if one.what == "failures" else result.late
        return one.holds(100 * count / max(1, result.started) if one.percent else count)
    rows = [row for row in result.rows.values() if one.line in (None, row.place.line)]
    return bool(rows) and all(one.holds(_value(one.what, row)) for row in rows)


def _value(what: str, row: Row) -> float:
    if what == "max":
        return float(row.times.get_max_value())
    if what == "mean":
        return float(row.times.get_mean_value())
    return float(row.times.get_value_at_percentile(float(what[1:])))


def _as_json(result: Result, scenario: Scenario) -> dict[str, Any]:
    return {
        "format": 1, "scenario": scenario.title, "path": scenario.path,
        "casts": result.started, "passed": result.passed, "failed": result.failed,
        "rate": result.plan.rate, "late": result.late, "latest_s": round(result.latest, 4),
        "seconds": round(result.seconds, 3), "sockets": result.sockets,
        "exchanges": result.exchanges, "heard": result.heard,
        "own_rounds_p99_us": result.rounds.get_value_at_percentile(99),
        "laws": [{"what": what, "witness": list(witness)} for what, witness in result.broken],
        "failures": [
            {"place": str(f.place or ""), "what": f.what, "casts": f.count}
            for f in result.failures.values()
        ],
        "exchanges_us": [
            {
                "line": row.place.line, "file": row.place.file, "what": row.label,
                "count": row.times.get_total_count(),
                **{f"p{p:g}": row.times.get_value_at_percentile(p) for p in PERCENTILES},
                "max": row.times.get_max_value(),
                "hdr": row.times.encode().decode("ascii"),
            }
            for row in result.rows.values()
        ],
    }  # fmt: skip
