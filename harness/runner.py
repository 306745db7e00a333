"""Runs a scenario from start to end and says how it went."""

from __future__ import annotations

import time
import traceback
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec import Struct, field, structs

from harness import calibration, laws
from harness.actors import Actor, Hidden
from harness.errors import (
    BrokenPromiseError,
    Exit,
    NotApplicableError,
    Place,
    ScenarioError,
    SetupError,
)
from harness.exchange import Turn, settle_everything
from harness.guardian import remove_tree
from harness.home import write_files
from harness.journal import Chunk, Event
from harness.judging import options_for, why_not
from harness.language import Exchange, KnownBug, Scenario
from harness.programs import Shell
from harness.run import Options, Run, Verdict
from harness.secrets import mask, masked, masked_pieces
from harness.steps import Mark, Pause, Step
from harness.verbs import FORMS
from harness.views import LinesView
from harness.wire import Wire

LAST_WORDS = 1.0  # seconds to listen to a server that seems to be dying; stretched like patience
LONGEST = 60.0  # seconds for a scenario, from the server's readiness; stretched like patience
EXCHANGES = 12  # a scenario that has more patience per exchange may last as many times as long
INTERRUPTED = "interrupted"  # what is said of a run that was cut off from outside
SEAL = 2.0  # seconds for a server to close a connection that we have half-closed


class Attempt(Struct, frozen=True):
    """One of several tries of the same run; `seed` repeats what the harness drew in it."""

    number: int  # from 1
    status: str
    what: str
    seed: int
    seconds: float
    place: Place | None = None


class Outcome(Struct):
    """How one run ended; of several attempts the one that tells most, and all of them."""

    title: str
    path: str
    row: dict[str, Any]
    status: str = "passed"  # one of EXITS
    what: str = ""
    place: Place | None = None
    details: list[str] = field(default_factory=list)
    covers: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    points: float = 1.0
    profile: str = ""
    seed: int = 0
    events: list[Event] = field(default_factory=list)  # in the order of arrival
    chunks: list[Chunk] = field(default_factory=list)  # what went over terminals and sockets
    verdicts: list[Verdict] = field(default_factory=list)
    pictures: dict[str, list[str]] = field(default_factory=dict)  # screens at the end
    cast: dict[str, str] = field(default_factory=dict)  # actor -> kind, the server last
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)
    evidence: str = ""  # folder with what the run left behind
    proof: Any = None  # a `prove.Proof`, if one was asked for
    died: bool = False  # the server, by itself
    decided: float = 0.0  # when it was broken, in seconds since the run began
    mute: list[str] = field(default_factory=list)  # terminals whose echo is switched off
    factor: float = 1.0  # by how much patience was stretched, for the machine
    shake: bool = False
    shaken: list[str] = field(default_factory=list)  # what --shake did, in order
    attempts: list[Attempt] = field(default_factory=list)  # none: it was made once
    flaky: KnownBug | None = None  # flakiness that is known, until its day
    offer: Any = None  # a `proposals.Offer`: what may be accepted, if that is asked for
    captured: dict[str, dict[str, Any]] = field(default_factory=dict)  # by actor, if kept

    @property
    def grades(self) -> Counter[str]:
        """How many verdicts rest on which proof."""
        return Counter(verdict.grade for verdict in self.verdicts if verdict.grade)

    @property
    def name(self) -> str:
        """The path, and the row of the matrix."""
        return run_name(self.path, self.row)


EXITS = {
    "passed": Exit.PASSED, "skipped": Exit.PASSED, "known": Exit.PASSED, "failed": Exit.BROKEN,
    "flaky": Exit.BROKEN,
    "wrong": Exit.WRONG, "environment": Exit.ENVIRONMENT, "bug": Exit.BUG,
}  # fmt: skip


def run_name(path: str, row: Mapping[str, Any]) -> str:
    """What a run is called: the path, and the row of the matrix."""
    values = ", ".join(f"{key}={_short(value)}" for key, value in row.items())
    return mask(f"{path}[{values}]" if values else path)


def _short(value: Any) -> str:
    text = ",".join(map(str, value.values())) if isinstance(value, Mapping) else str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def outcome_of(scenario: Scenario, row: Mapping[str, Any], options: Options) -> Outcome:
    """The outcome of a run that has not begun."""
    return Outcome(
        scenario.title, scenario.path, dict(row), covers=scenario.covers, tags=scenario.tags,
        points=scenario.points, profile=scenario.profile.name, seed=options.seed,
        shake=options.shake, flaky=scenario.flaky,
    )  # fmt: skip


def run_scenario(
    scenario: Scenario,
    row: Mapping[str, Any],
    options: Options,
    watch: Callable[[Event], None] | None = None,
    beat: Callable[[], None] | None = None,
    make: Callable[..., Run] = Run,
) -> Outcome:
    """One run. Never raises: whatever happens is an outcome.

    `watch` is told every event; `beat` is called again and again as long as the run does not hang;
    `make` makes the run.
    """
    began = time.monotonic()
    outcome = outcome_of(scenario, row, options)
    if reason := why_not(scenario, options):
        outcome.status, outcome.what = "skipped", reason
        return outcome
    run: Run | None = None
    try:
        run = make(scenario, row, options_for(scenario, options), watch)
        outcome.factor = calibration.factor()
        if beat:
            run.reactor.looks.append(beat)
        _play(run, outcome)
    except BaseException as error:  # every way to fail has its own exit code
        _explain(error, outcome)
        if isinstance(error, KeyboardInterrupt):
            raise
    finally:
        if run is not None:
            _gather(run, outcome)
            _tidy(run, outcome, began)
    if run is None:
        _conclude(scenario, outcome, began)
    if EXITS[outcome.status] is Exit.PASSED and not options.keep:
        outcome.events, outcome.chunks = [], []
    return outcome


def _conclude(scenario: Scenario, outcome: Outcome, began: float) -> None:
    """What it comes to, once nothing runs any more."""
    outcome.seconds = time.monotonic() - began
    if scenario.fails is not None:
        _known_bug(scenario.fails, outcome)


def _known_bug(bug: KnownBug, outcome: Outcome) -> None:
    """A known bug may fail until its day; a pass is news that somebody has to write down."""
    if outcome.status == "passed":
        outcome.status = "failed"
        outcome.what = f"passes, although `fails` names a known bug: {bug.because}"
        outcome.details = ["take `fails` out of the scenario: the bug is mended"]
        outcome.place = bug.place
    elif outcome.status == "failed" and not is_over(bug):
        outcome.status = "known"
        outcome.notes.append(f"known bug until {bug.until}: {bug.because}")
    elif outcome.status == "failed":
        outcome.notes.append(f"the known bug was to be mended until {bug.until}: {bug.because}")


def is_over(bug: KnownBug) -> bool:
    """Whether the day is past until which it may be there."""
    return datetime.now(tz=UTC).date() > bug.until


def _play(run: Run, outcome: Outcome) -> None:
    write_files(run.home, run.scenario.files, run.scope)
    run.start_server()
    bound = max(run.seconds(LONGEST), EXCHANGES * run.patience)
    run.reactor.looks.append(_end_of_time(bound))
    try:
        play(run)
    finally:
        outcome.decided = run.decided
        outcome.notes += [*map(str, run.scenario.warnings), *sorted(run.obstacles)]


def play(run: Run) -> None:
    """The conversation, from the cast's joining to the laws; the server runs."""
    try:
        gather_cast(run)
        _steps(run, run.scenario.steps)
        _last_fence(run)
        laws.judge(run, [*run.profile.laws, *run.scenario.laws])
    except BaseException:
        run.decided = run.journal.now()
        raise
    finally:
        run.watches.clear()
        _steps(run, run.scenario.cleanup)


def _end_of_time(bound: float) -> Callable[[], None]:
    """A look at the clock that raises once: after it there is still time to tidy up."""
    end = [time.monotonic() + bound]

    def look() -> None:
        if end and time.monotonic() >= end[0]:
            end.clear()
            raise BrokenPromiseError(f"the scenario was not over after {bound:g} s")

    return look


def _steps(run: Run, steps: list[Step]) -> None:
    for step in steps:
        if isinstance(step, Exchange):
            Turn(run, step).play()
        elif isinstance(step, Mark):
            for actor in run.everybody():
                actor.note("note", f"— {step.text} —")
        elif isinstance(step, Pause):
            run.reactor.until(lambda: False, run.reactor.now() + step.seconds)
        else:
            settle_everything(run, run.patience, step.place)


def gather_cast(run: Run) -> None:
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
    run.gathered = True
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


def _all_answered(run: Run) -> None:
    """Who asks without a word of his own may get another question's answer, but none is lost."""
    for actor in run.actors.values():
        counted = actor.counted
        if counted is None or not actor.alive or actor.frozen or actor.link is not None:
            continue

        def answered(asked: Collection[Hidden | None] = counted.asked) -> bool:
            return all(question is None for question in asked)

        if not run.reactor.until(answered, run.reactor.now() + run.patience) and actor.alive:
            raise BrokenPromiseError(
                f"{actor.name} was asked more often than it was answered: {counted.pattern}",
                run.scenario.place,
                ("the harness's own question was answered, one of the scenario was not",),
            )


def _last_fence(run: Run) -> None:
    """Settle every watch once more: by a round trip, else by closing and reading it out.

    Laws are about what everybody was told in the end: they need it, too.
    """
    run.sync("last")
    _all_answered(run)
    watched = {watch.actor.name: watch for watch in run.watches}
    if not (watched or run.profile.laws or run.scenario.laws):
        return
    fence = settle_everything(run, run.patience)
    for name in watched:
        actor = run.actors.get(name)
        if isinstance(actor, Wire) and actor.alive and fence.grade_for(actor) is None:
            actor.half_close()
            run.reactor.until(lambda actor=actor: actor.ended is not None, run.reactor.now() + SEAL)  # type: ignore[misc]
    for watch in run.watches:
        watch.look()


def _explain(error: BaseException, outcome: Outcome) -> None:
    if isinstance(error, KeyboardInterrupt):
        outcome.status, outcome.what = "environment", INTERRUPTED
    elif isinstance(error, BrokenPromiseError):
        outcome.status, outcome.what, outcome.place = "failed", error.what, error.place
        outcome.details, outcome.offer = list(error.details), error.offer
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
        outcome.details = "".join(traceback.format_exception(error)).splitlines()


def _listen_for_the_reason(run: Run, outcome: Outcome) -> None:
    """Where a channel ended by itself, the server may be about to say why; evidence, no verdict."""
    if any(actor.ended and not actor.dismissed for actor in run.actors.values()):
        server = run.server
        until = run.reactor.now() + run.seconds(LAST_WORDS)
        run.reactor.until(lambda: server.ended is not None, until)
        outcome.died = server.ended is not None and not server.dismissed
        said = f"the server ended by itself: {server.ended}"
        if outcome.died and said not in "\n".join((outcome.what, *outcome.details)):
            outcome.details.append(said)


def _gather(run: Run, outcome: Outcome) -> None:
    run.over = True
    if outcome.status == "failed":
        _listen_for_the_reason(run, outcome)
    outcome.events, outcome.chunks = run.journal.events, run.journal.chunks
    outcome.shaken = run.shaker.did if run.shaker else []
    if outcome.factor > calibration.WORTH_A_WORD:
        outcome.notes.append(f"a slow machine: patience was stretched {outcome.factor:g} times")
    outcome.verdicts = run.verdicts
    if run.options.keep:
        outcome.captured = run.scope.captured
    for actor in run.everybody():
        outcome.cast[actor.name] = actor.kind
        if actor.kind == "shell":
            outcome.pictures[actor.name] = actor.picture()
            if isinstance(actor, Shell) and actor.joined and isinstance(actor.view, LinesView):
                outcome.mute.append(actor.name)


def _tidy(run: Run, outcome: Outcome, began: float) -> None:
    left = run.close(remove=False)
    if left and outcome.status == "passed":
        outcome.status, outcome.what = "failed", "programs were left over and had to be killed"
        outcome.details = left
    _conclude(run.scenario, outcome, began)
    _hide_secrets(outcome)
    try:
        _leave(run, outcome)
    finally:
        remove_tree(run.home)
    if Path(run.home).exists():
        outcome.notes.append(f"could not be removed: {run.home}")


SHOWN = ("title", "what", "details", "events", "verdicts", "pictures", "notes")


def _hide_secrets(outcome: Outcome) -> None:
    """Mask the values of secrets in all that is told or kept of a run."""
    for name in SHOWN:
        setattr(outcome, name, masked(getattr(outcome, name)))
    streams: dict[tuple[str, str], list[int]] = {}
    for at, chunk in enumerate(outcome.chunks):
        streams.setdefault((chunk.actor, chunk.kind), []).append(at)
    for numbers in streams.values():
        pieces = masked_pieces(outcome.chunks[at].data for at in numbers)
        for at, data in zip(numbers, pieces, strict=True):
            outcome.chunks[at] = structs.replace(outcome.chunks[at], data=data)


def _leave(run: Run, outcome: Outcome) -> None:
    """Keep what helps to understand the run, as long as its folder is still there."""
    fine = EXITS[outcome.status] is Exit.PASSED or outcome.what == INTERRUPTED
    if run.options.evidence and (run.options.evidence_always or not fine):
        from harness import evidence  # not needed where everything passes

        evidence.leave(outcome, run.scenario, run.options, run.home)
