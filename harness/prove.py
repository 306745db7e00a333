"""Expectations that have been seen to fail: every scenario is told lies, and has to notice them.

A scenario is run once with real programs and put on record, judged once more from the record
(which has to come out the same), and then once for every lie (`lies`), aimed at each of its
expectations in turn. A lie is noticed if the run fails, by the clause it was aimed at or by any
other. An expectation that notices none of the lies that contradict it is *empty*: it would hold
whatever the program did. One that misses some of them is *weak*.
"""

from __future__ import annotations

import re
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from msgspec import Struct, field

from harness.diff import short
from harness.errors import BrokenPromiseError, HarnessError, Place
from harness.journal import Event
from harness.language import Scenario
from harness.lies import Story, Target
from harness.patterns import Item, Pattern
from harness.rehearsal import Entry, Record, RecordedRun, Rehearsal, item_of, rehearse
from harness.run import Options
from harness.runner import Outcome, run_scenario
from harness.scope import VARIABLE
from harness.verbs import FORMS

# What programs print when they die, or when somebody has blundered: to forbid it needs no reason.
CRASHES = re.compile(r"(?i)traceback|panic|exception|fatal|segmentation|core dumped|assertion")


class Told(Struct, frozen=True):
    """A lie, and what came of it."""

    kind: str
    about: str
    counts: bool  # whether it contradicts what the clause claims
    noticed: bool
    by: str = ""  # "itself", or where the clause or law stands that noticed it


class Tried(Struct):
    """An expectation of one actor, and the lies that were aimed at it."""

    place: Place
    actor: str
    verb: str
    wanted: str
    told: list[Told] = field(default_factory=list)
    unsaid: list[str] = field(default_factory=list)  # forbidden, but nobody says anything like it


class Proof(Struct):
    """What became of one scenario (or one row of its matrix)."""

    tried: list[Tried] = field(default_factory=list)
    different: str = ""  # why the record was judged otherwise than the run, if it was
    at: Place | None = None


class Finding(Struct):
    """A clause that does not see what it should."""

    place: Place
    verdict: str  # empty, weak, idle
    what: str

    def __str__(self) -> str:
        return f"{self.place}: {self.verdict}: {self.what}"


class Score(Struct):
    """Lies noticed and told: those that count, and all."""

    noticed: int = 0
    told: int = 0
    of_all_noticed: int = 0
    of_all: int = 0

    @property
    def percent(self) -> float:
        """Share of the lies that count and were noticed; of none it is all."""
        return 100.0 * self.noticed / self.told if self.told else 100.0

    @property
    def strictness(self) -> float:
        """The same for all lies, also for those that a clause may overlook."""
        return 100.0 * self.of_all_noticed / self.of_all if self.of_all else 100.0


def prove_scenario(
    scenario: Scenario,
    row: Mapping[str, Any],
    options: Options,
    watch: Callable[[Event], None] | None = None,
    beat: Callable[[], None] | None = None,
) -> Outcome:
    """One live run, and if it passed, all the lies about it: `Outcome.proof`. Never raises."""
    runs: list[RecordedRun] = []

    def make(*given: Any) -> RecordedRun:
        runs.append(RecordedRun(*given))
        return runs[-1]

    outcome = run_scenario(scenario, row, options, watch, beat, make)
    if outcome.status == "passed":
        try:
            outcome.proof = prove(runs[0], row)
        except Exception as error:  # ours: a rehearsal must never fail like this
            outcome.status, outcome.what = "bug", f"{type(error).__name__}: {error}"
            outcome.details = "".join(traceback.format_exception(error)).splitlines()
    return outcome


def prove(run: RecordedRun, row: Mapping[str, Any]) -> Proof:
    """Tell the lies about a run that has passed."""
    honest = Rehearsal(run.scenario, row, run.options, run.record)
    broken = rehearse(honest)
    proof = Proof()
    if broken is not None:
        proof.different, proof.at = f"failed from the record: {broken.what}", broken.place
        return proof
    live, ghost = run.judged, honest.verdicts
    odd = next((a for a, b in zip(live, ghost, strict=False) if _key(a) != _key(b)), None)
    if odd is not None or len(live) != len(ghost):
        what = f"{odd.actor} {odd.verb}" if odd else "another number of clauses"
        proof.different = f"decided otherwise from the record: {what}"
        proof.at = odd.place if odd else None
        return proof
    proof.tried = list(lie_about(honest, run.record, row))
    return proof


def lie_about(honest: Rehearsal, record: Record, row: Mapping[str, Any]) -> Iterator[Tried]:
    """Tell every lie about a record that was judged honestly."""
    story, judge = Story(record, honest), _Judge(honest, record, row)
    said = list(_said(honest, story))
    for target in story.targets():
        tried = Tried(target.place, target.actor, target.verb, target.wanted)
        tried.told = [
            Told(lie.kind, lie.about, lie.counts, bool(by), by)
            for lie in target.lies
            for by in [judge.noticed_by(target, lie.records)]
        ]
        tried.unsaid = [str(p) for p in target.forbidden if not _is_sayable(p, said)]
        yield tried


def _key(verdict: Any) -> tuple[Any, ...]:
    # Not the grade: a live run on a slow machine asks its questions earlier or later.
    return verdict.place, verdict.actor, verdict.verb, tuple(verdict.wanted)


class _Judge(Struct):
    """Plays records in which something is not true."""

    honest: Rehearsal
    record: Record
    row: Mapping[str, Any]

    def noticed_by(self, target: Target, records: Iterable[list[Entry]]) -> str:
        """Who noticed one of these lies: `itself`, another place, or nobody."""
        for entries in records:
            broken = self._play(target, entries)
            if broken is not None:
                own = broken.place == target.place
                return "itself" if own else str(broken.place or broken.what)
        return ""

    def _play(self, target: Target, entries: list[Entry]) -> BrokenPromiseError | None:
        run = self.honest
        rehearsal = Rehearsal(run.scenario, self.row, run.options, self.record, entries)
        try:
            if target.law is None:
                return rehearse(rehearsal)
            rehearsal.judge_alone(target.law, run.scope.captured)
        except BrokenPromiseError as broken:
            return broken
        except HarnessError as wrong:  # a name that was never captured: the run does not pass
            return BrokenPromiseError(str(wrong), target.place)
        return None


# What is said at all.


def _said(run: Rehearsal, story: Story) -> Iterator[Item]:
    """Everything that anybody says or is told in a run, and all that the profile has words for."""
    for entry in story.entries:
        if entry.kind == "item":
            yield item_of(entry)
        elif entry.kind == "note" and entry.key == "does":
            yield Item(entry.text, 0.0, entry.data, is_frame=entry.data is not None)
    for shapes in run.profile.phrases.values():
        for shape in shapes.values():
            yield Item(
                VARIABLE.sub("x", str(shape)), 0.0, shape, is_frame=not isinstance(shape, str)
            )


def _is_sayable(pattern: Pattern, said: list[Item]) -> bool:
    """Whether somebody could say it: somebody does, or a program that breaks."""
    if CRASHES.search(str(pattern)):
        return True
    words = re.findall(r"\w{3,}", str(pattern))
    return any(pattern.match(item, part=True) is not None for item in said) or any(
        word in item.text for word in words for item in said
    )


# What is reported.


def score(proofs: Iterable[Proof]) -> Score:
    """The lies of several proofs."""
    total = Score()
    for told in (told for proof in proofs for tried in proof.tried for told in tried.told):
        total.of_all += 1
        total.of_all_noticed += told.noticed
        total.told += told.counts
        total.noticed += told.counts and told.noticed
    return total


def findings(proofs: Iterable[Proof]) -> list[Finding]:
    """The clauses that are empty, weak or idle, in the order of the files."""
    clauses: dict[Place, list[Tried]] = defaultdict(list)
    for proof in proofs:
        for tried in proof.tried:
            clauses[tried.place].append(tried)
    found = [one for place, tries in clauses.items() for one in _finding(place, tries)]
    return sorted(found, key=lambda one: one.place)


def _finding(place: Place, tries: list[Tried]) -> Iterator[Finding]:
    told = [told for tried in tries for told in tried.told if told.counts]
    missed = [one for one in told if not one.noticed]
    first = tries[0]
    who = ", ".join(dict.fromkeys(tried.actor for tried in tries))
    verb = FORMS[first.verb].plural if "," in who and first.verb in FORMS else first.verb
    clause = short(f"{who} {verb}: {first.wanted}".rstrip(": "))
    kinds = ", ".join(dict.fromkeys(one.kind for one in missed))
    if len(missed) == len(told):
        tried_kinds = f"no lie was noticed (tried: {kinds})" if told else "there is no lie about it"
        yield Finding(place, "empty", f"{clause} — {tried_kinds}")
    elif missed:
        noticed = ", ".join(dict.fromkeys(one.kind for one in told if one.noticed))
        yield Finding(
            place, "weak", f"{clause} — not noticed: {kinds}; noticed: {noticed}{_why(missed)}"
        )
    elif unsaid := [one for one in first.unsaid if all(one in tried.unsaid for tried in tries)]:
        yield Finding(
            place, "idle", f"{clause} — nobody says anything like {', '.join(map(repr, unsaid))}"
        )


def _why(missed: list[Told]) -> str:
    kinds = {one.kind for one in missed}
    if "drop" in kinds:
        return " (something else will do as well)"
    return " (whatever is said will do)" if "corrupt" in kinds else ""
