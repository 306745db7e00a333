"""Several runs at a time, each in a process of its own.

A run forks programs into pseudo-terminals, which is only safe in a process with one thread; so
every run gets a fresh interpreter, and its outcome comes back as one line of JSON.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from harness.language import Scenario, load_scenario
from harness.run import Options
from harness.runner import Outcome, outcome_of, run_scenario


class Job(Struct):
    """One run to be made."""

    scenario: Scenario
    row: Mapping[str, Any]


class Order(Struct):
    """What a worker is told."""

    path: str
    row: int
    options: Options


def run_all(jobs: Sequence[Job], options: Options, at_a_time: int) -> Iterator[Outcome]:
    """The outcomes, in the order of the jobs."""
    with ThreadPoolExecutor(at_a_time) as pool:
        yield from pool.map(lambda job: run_isolated(job, options), jobs)


def run_isolated(job: Job, options: Options) -> Outcome:
    """One run in an interpreter of its own."""
    row = list(job.scenario.rows()).index(dict(job.row))
    order = Order(job.scenario.path, row, options)
    done = subprocess.run(
        [sys.executable, "-m", "harness.pool"],
        input=msgspec.json.encode(order), capture_output=True, check=False,
    )  # fmt: skip
    try:
        return msgspec.json.decode(done.stdout, type=Outcome)
    except msgspec.DecodeError:
        said = done.stderr.decode("utf-8", "replace").splitlines()
        outcome = outcome_of(job.scenario, job.row, options)
        outcome.status = "bug"
        outcome.what, outcome.details = f"the worker ended with {done.returncode}", said[-20:]
        return outcome


def main() -> None:
    """A worker: an order on standard input, an outcome on standard output."""
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    profile = Path(order.options.profile) if order.options.profile else None
    scenario = load_scenario(Path(order.path), profile=profile)
    row = list(scenario.rows())[order.row]
    outcome = run_scenario(scenario, row, order.options)
    sys.stdout.buffer.write(msgspec.json.encode(outcome))


if __name__ == "__main__":
    main()
