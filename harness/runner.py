"""Runs a scenario from start to end and says how it went."""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from harness.actors import Actor, Event
from harness.errors import (
    BrokenPromiseError,
    Exit,
    NotApplicableError,
    Place,
    ScenarioError,
    SetupError,
)
from harness.exchange import Turn, settle_everything
from harness.home import sweep, write_files
from harness.language import Exchange, Scenario
from harness.run import Options, Run
from harness.steps import Mark, Step
from harness.verbs import FORMS
from harness.wire import Wire

LAST_WORDS = 0.5  # seconds to listen to a server that seems to be dying, for the report
SEAL = 2.0  # seconds for a server to close a connection that we have half-closed


class Outcome(Struct):
    """How one run ended."""

    title: str
    path: str
    row: dict[str, Any]
    status: str = "passed"  # passed, failed, skipped, wrong, environment, bug
    what: str = ""
    place: Place | None = None
    details: list[str] = field(default_factory=list)
    transcripts: dict[str, list[Event]] = field(default_factory=dict)
    pictures: dict[str, list[str]] = field(default_factory=dict)
    began: float = 0.0
    seconds: float = 0.0
    grades: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The path, and the row of the matrix."""
        row = ", ".join(f"{key}={_short(value)}" for key, value in self.row.items())
        return f"{self.path}[{row}]" if row else self.path


EXITS = {
    "passed": Exit.PASSED, "skipped": Exit.PASSED, "failed": Exit.BROKEN, "wrong": Exit.WRONG,
    "environment": Exit.ENVIRONMENT, "bug": Exit.BUG,
}  # fmt: skip


def _short(value: Any) -> str:
    text = ",".join(map(str, value.values())) if isinstance(value, Mapping) else str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def run_scenario(scenario: Scenario, row: Mapping[str, Any], options: Options) -> Outcome:
    """One run. Never raises: whatever happens is an outcome."""
    outcome = Outcome(scenario.title, scenario.path, dict(row), began=time.monotonic())
    missing = [need for need in scenario.needs if need not in scenario.profile.can]
    if missing:
        outcome.status = "skipped"
        outcome.what = f"profile {scenario.profile.name} cannot {', '.join(missing)}"
        return outcome
    run: Run | None = None
    try:
        sweep()
        run = Run(scenario, row, options)
        _play(run, outcome)
    except BaseException as error:  # every way to fail has its own exit code
        _explain(error, outcome)
        if isinstance(error, KeyboardInterrupt):
            raise
    finally:
        if run is not None:
            _gather(run, outcome)
            _tidy(run, outcome)
    outcome.seconds = time.monotonic() - outcome.began
    return outcome


def _play(run: Run, outcome: Outcome) -> None:
    write_files(run.home, run.scenario.files, run.scope)
    run.start_server()
    try:
        _gather_cast(run)
        _steps(run, run.scenario.steps)
        _last_fence(run)
        _laws(run)
    finally:
        run.watches.clear()
        _steps(run, run.scenario.cleanup)
        outcome.notes += sorted(run.obstacles)


def _steps(run: Run, steps: list[Step]) -> None:
    for step in steps:
        if isinstance(step, Exchange):
            Turn(run, step).play()
        elif isinstance(step, Mark):
            for actor in run.everybody():
                actor.note("note", f"— {step.text} —")
        else:
            settle_everything(run, run.patience)


def _gather_cast(run: Run) -> None:
    """Whoever does not join in a step joins before the first; what that caused is over then."""
    later = {
        who
        for step in run.scenario.steps
        if isinstance(step, Exchange)
        for clause in step.clauses
        if clause.verb in (FORMS["joins"], FORMS["cannot join"])
        for who in clause.who
    }
    for member in run.scenario.cast:
        if member.name not in later:
            _join(run, run.actors[member.name], member.place)
    settle_everything(run, run.patience)
    for actor in run.actors.values():
        # A program that was started without its login is read from its first line.
        actor.cursor = len(actor.items) if run.members[actor.name].login else 0


def _join(run: Run, actor: Actor, place: Place) -> None:
    try:
        run.join(actor)
    except BrokenPromiseError as broken:
        broken.place = broken.place or place
        raise


def _last_fence(run: Run) -> None:
    """Settle every watch once more: by a round trip, else by closing and reading it out."""
    watched = {watch.actor.name: watch for watch in run.watches}
    if not watched:
        return
    fence = settle_everything(run, run.patience)
    for name in watched:
        actor = run.actors.get(name)
        if isinstance(actor, Wire) and actor.alive and fence.grade_for(actor) is None:
            actor.half_close()
            run.reactor.until(lambda actor=actor: actor.ended is not None, time.monotonic() + SEAL)  # type: ignore[misc]
    for watch in run.watches:
        watch.look()


def _laws(run: Run) -> None:
    for value, place in run.scenario.once:
        for actor in run.actors.values():
            if not actor.alive:
                continue
            pattern = run.pattern(value, actor)
            hits = [i for i in actor.items if not i.hidden and pattern.match(i) is not None]
            if len(hits) != 1:
                raise BrokenPromiseError(
                    f"law once: {actor.name} was told {len(hits)} times: {pattern}", place
                )


def _explain(error: BaseException, outcome: Outcome) -> None:
    if isinstance(error, BrokenPromiseError):
        outcome.status, outcome.what, outcome.place = "failed", error.what, error.place
        outcome.details = list(error.details)
    elif isinstance(error, ScenarioError):
        first = error.problems[0]
        outcome.status, outcome.what, outcome.place = "wrong", first.text, first.place
        outcome.details = [first.help] if first.help else []
    elif isinstance(error, NotApplicableError):
        outcome.status, outcome.what = "skipped", str(error)
    elif isinstance(error, SetupError):
        outcome.status, outcome.what = "environment", str(error)
    else:
        outcome.status, outcome.what = "bug", f"{type(error).__name__}: {error}"
        outcome.details = traceback.format_exception(error)


def _listen_for_the_reason(run: Run, outcome: Outcome) -> None:
    """Where a channel ended by itself, the server may be about to say why; evidence, no verdict."""
    if any(actor.ended and not actor.dismissed for actor in run.actors.values()):
        server = run.server
        run.reactor.until(lambda: server.ended is not None, time.monotonic() + LAST_WORDS)
        if server.ended and not server.dismissed:
            outcome.details.append(f"the server ended by itself: {server.ended}")


def _gather(run: Run, outcome: Outcome) -> None:
    run.over = True
    if outcome.status == "failed":
        _listen_for_the_reason(run, outcome)
    for actor in run.everybody():
        outcome.transcripts[actor.name] = list(actor.events)
        if actor.kind == "shell":
            outcome.pictures[actor.name] = actor.picture()
    outcome.grades = dict(run.grades)


def _tidy(run: Run, outcome: Outcome) -> None:
    left = run.close()
    if left and outcome.status == "passed":
        outcome.status, outcome.what = "failed", "programs were left over and had to be killed"
        outcome.details = left
    if Path(run.home).exists():
        outcome.notes.append(f"could not be removed: {run.home}")
