"""Several runs at a time: orders for a keeper, and what it tells.

Each run is a process of its own, below a keeper (`harness.keeper`) that outlives this process just
long enough to end them all. Whoever holds a `Pool` may have threads and be killed.
"""

from __future__ import annotations

import contextlib
import pickle
import signal
import socket
from collections.abc import Generator, Iterator, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self

import psutil
from msgspec import Struct, structs

from harness import guardian, keeper
from harness.flaky import ONCE, Plan, Series
from harness.journal import Event
from harness.keeper import Order, Told
from harness.language import Scenario
from harness.run import Options
from harness.runner import INTERRUPTED, Outcome, outcome_of
from harness.startup import check_commands

PATIENCE = 60.0  # seconds for a keeper to end its runs and itself


class Job(Struct):
    """One run to be made."""

    scenario: Scenario
    row: Mapping[str, Any]
    options: Options | None = None  # its own, where several programs are judged at once


class Pool:
    """Runs that are made elsewhere. Not for several threads at once."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._keeper = guardian.start_apart(keeper.main, theirs.fileno())
        self._line = Connection(ours.detach())
        self._running: dict[int, tuple[Job, Options]] = {}
        self._number = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def running(self) -> int:
        """How many runs are on their way."""
        return len(self._running)

    def start(self, job: Job, options: Options, *, watch: bool = False) -> int:
        """Order a run; its number, under which its end will be told."""
        self._number += 1
        self._running[self._number] = (job, options)
        with contextlib.suppress(OSError):  # it is dead: `next` will say so
            self._line.send(Order(self._number, job.scenario, job.row, options, watch))
        return self._number

    def next(self, timeout: float | None = None) -> tuple[int, Event | Outcome] | None:
        """What happened next: an event of a watched run, or the end of a run; none in time."""
        try:
            if not self._line.poll(timeout):
                return None
            told: Told = self._line.recv()
        except (EOFError, OSError):
            return self._orphan()
        if told.event is not None:
            return told.number, told.event
        job, options = self._running.pop(told.number)
        if told.outcome:
            path = Path(told.outcome)
            outcome: Outcome = pickle.loads(path.read_bytes())  # noqa: S301 - our own child's
            path.unlink()
            return told.number, outcome
        return told.number, died(job, options, told.died, told.said)

    def _orphan(self) -> tuple[int, Outcome]:
        """The keeper was killed: its runs with it. Each of them is told as a fault of ours."""
        if not self._running:
            raise RuntimeError("the keeper of the runs died")
        number = min(self._running)
        return number, died(*self._running.pop(number), "died with its keeper", [])

    def close(self) -> None:
        """End what still runs; afterwards nothing is left of it."""
        self._line.close()
        try:
            code = self._keeper.wait(PATIENCE)
        except (psutil.TimeoutExpired, KeyboardInterrupt):
            self._keeper.kill()  # its runs die with it
            code = self._keeper.wait()
        if code == -signal.SIGKILL:
            guardian.sweep()


def died(job: Job, options: Options, how: str, said: list[str]) -> Outcome:
    """The outcome of a run whose process ended without one."""
    outcome = outcome_of(job.scenario, job.row, options)
    outcome.status, outcome.details = "bug", said
    outcome.what = f"the process of this run {how}; the other runs went on"
    return outcome


class InterruptedRunsError(KeyboardInterrupt):
    """An interrupt while runs were made; `outcomes`: of those that had begun, told or not."""

    def __init__(self, outcomes: list[Outcome]) -> None:
        super().__init__()
        self.outcomes = outcomes


def cut_off(job: Job, options: Options) -> Outcome:
    """The outcome of a run that was interrupted."""
    outcome = outcome_of(job.scenario, job.row, options)
    outcome.status, outcome.what = "environment", INTERRUPTED
    return outcome


class Watcher:
    """Somebody who looks on while runs are made; this one does not."""

    events = False  # whether it wants every event
    interval: float | None = None  # seconds after which `tick` is called if nothing happens

    def began(self, number: int, job: Job) -> None:
        """An attempt begins."""

    def event(self, number: int, event: Event) -> None:
        """Something happened in it."""

    def ended(self, number: int, outcome: Outcome) -> None:
        """It is over."""

    def tick(self) -> None:
        """Time goes by."""


def run_all(
    jobs: Sequence[Job],
    options: Options,
    at_a_time: int,
    plan: Plan = ONCE,
    watcher: Watcher | None = None,
) -> Generator[Outcome, None, None]:
    """The outcomes, in the order of the jobs, each of as many attempts as planned."""
    for job in jobs:
        check_commands(job.options or options, job.scenario)
    with Pool() as pool:
        schedule = _Schedule(pool, jobs, options, plan, watcher or Watcher())
        try:
            yield from schedule.outcomes(at_a_time)
        except KeyboardInterrupt:
            raise InterruptedRunsError(list(schedule.cut_off())) from None


class _Schedule:
    """Which attempt of which run is next."""

    def __init__(
        self, pool: Pool, jobs: Sequence[Job], options: Options, plan: Plan, watcher: Watcher
    ) -> None:
        self._pool, self._jobs, self._options, self._watcher = pool, jobs, options, watcher
        self._series = [Series(plan, options.seed) for _ in jobs]
        self._attempts: dict[int, tuple[int, int]] = {}  # number -> job, attempt
        self._first = 0  # of the jobs that are not over

    def outcomes(self, at_a_time: int) -> Iterator[Outcome]:
        """Each as soon as those before it are over."""
        while self._first < len(self._jobs):
            while self._pool.running < at_a_time and (index := self._next()) is not None:
                self._begin(index)
            told = self._pool.next(self._watcher.interval)
            if told is not None:
                self._hear(*told)
            self._watcher.tick()
            while self._first < len(self._jobs) and self._series[self._first].is_over:
                yield self._series[self._first].outcome()
                self._first += 1

    def cut_off(self) -> Iterator[Outcome]:
        """What has begun and was not told yet, in the order of the jobs."""
        for job, series in list(zip(self._jobs, self._series, strict=True))[self._first :]:
            if series.is_over:
                yield series.outcome()
            elif series.begun:
                yield cut_off(job, job.options or self._options)

    def _next(self) -> int | None:
        open_ = range(self._first, len(self._jobs))
        return next((index for index in open_ if self._series[index].wants_more), None)

    def _begin(self, index: int) -> None:
        attempt, seed = self._series[index].begin()
        options = structs.replace(self._jobs[index].options or self._options, seed=seed)
        number = self._pool.start(self._jobs[index], options, watch=self._watcher.events)
        self._attempts[number] = (index, attempt)
        self._watcher.began(number, self._jobs[index])

    def _hear(self, number: int, said: Event | Outcome) -> None:
        if isinstance(said, Event):
            self._watcher.event(number, said)
            return
        index, attempt = self._attempts.pop(number)
        self._series[index].ended[attempt] = said
        self._watcher.ended(number, said)


def run_isolated(job: Job, options: Options) -> Outcome:
    """One run in a process of its own, for who may have threads."""
    return next(run_all([job], options, 1))
