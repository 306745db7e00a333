"""Flakiness as a result: several attempts of one run, and what they say together.

Attempts that differ are an outcome of their own, *flaky*, which fails: a promise that is kept
sometimes is not kept. The seed of an attempt repeats what the harness itself drew: the order of
`together`, and with `--shake` the delays and halts. It does not repeat what the machine and the
programs did: their scheduling, their own randomness, ports and tokens.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from msgspec import Struct, field, structs

from harness.errors import Exit
from harness.runner import EXITS, Attempt, Outcome, is_over

QUARANTINE = 2  # further attempts of a scenario that is known to be flaky
NO_RESULT = ("bug", "wrong")  # what has nothing to do with the program under test
NAMED = 10  # attempts that the report names


class Plan(Struct, frozen=True):
    """How often each run is made: `repeat` times, and up to `retries` times more if it failed."""

    repeat: int = 1
    retries: int = 0


ONCE = Plan()


class Series(Struct):
    """The attempts of one run, as they come in, in any order."""

    plan: Plan
    seed: int
    begun: int = 0
    ended: dict[int, Outcome] = field(default_factory=dict)  # attempt -> outcome

    @property
    def wants_more(self) -> bool:
        """Whether another attempt has to begin now."""
        if self.begun < self.plan.repeat:
            return True
        return self._ended and self._may_retry

    @property
    def is_over(self) -> bool:
        """Whether all attempts are there."""
        return self._ended and not self.wants_more

    @property
    def _ended(self) -> bool:
        return self.begun == len(self.ended)

    @property
    def _may_retry(self) -> bool:
        outcomes = list(self.ended.values())
        retries = max([self.plan.retries, *(QUARANTINE for one in outcomes if one.flaky)])
        failed = all(EXITS[one.status] in (Exit.BROKEN, Exit.ENVIRONMENT) for one in outcomes)
        return failed and self.plan.repeat == 1 and self.begun <= retries

    def begin(self) -> tuple[int, int]:
        """Begin an attempt: its number from 1, and its seed."""
        self.begun += 1
        return self.begun, self.seed + self.begun - 1

    def outcome(self) -> Outcome:
        """What all attempts say together."""
        outcomes = [self.ended[number] for number in sorted(self.ended)]
        return outcomes[0] if len(outcomes) == 1 else together(outcomes)


def together(outcomes: Sequence[Outcome]) -> Outcome:
    """One outcome of several attempts: theirs if they agree, otherwise *flaky*."""
    worst = max(outcomes, key=lambda outcome: (_weight(outcome), -outcomes.index(outcome)))
    one = structs.replace(
        worst,
        seconds=sum(outcome.seconds for outcome in outcomes),
        attempts=[
            Attempt(number, it.status, it.what, it.seed, it.seconds, it.place)
            for number, it in enumerate(outcomes, 1)
        ],
        details=list(worst.details), notes=list(worst.notes),
    )  # fmt: skip
    statuses = Counter(outcome.status for outcome in outcomes)
    if len(statuses) > 1 and worst.status not in NO_RESULT:
        _become_flaky(one, statuses)
    elif len(outcomes) > 1:
        one.notes.append(f"{len(outcomes)} attempts, all {worst.status}")
    return one


def _weight(outcome: Outcome) -> int:
    """What tells more about a run than another of its attempts."""
    order = ("skipped", "passed", "known", "environment", "failed", "wrong", "bug")
    return order.index(outcome.status)


def _become_flaky(one: Outcome, statuses: Counter[str]) -> None:
    count = ", ".join(f"{number} {status}" for status, number in statuses.most_common())
    one.status = "flaky"
    one.what = f"flaky: of {len(one.attempts)} attempts {count}; {one.what}"
    one.details += _how_often(one.attempts)
    one.notes.append(WHAT_A_SEED_DOES)
    if one.flaky is None:
        return
    if is_over(one.flaky):
        one.notes.append(f"it was to be mended until {one.flaky.until}: {one.flaky.because}")
        return
    one.status = "known"
    one.notes.append(f"known to be flaky until {one.flaky.until}: {one.flaky.because}")


def _how_often(attempts: list[Attempt]) -> list[str]:
    """Which attempts did not pass, with their seeds, grouped by what they say."""
    groups: dict[str, list[Attempt]] = {}
    for attempt in attempts:
        if EXITS[attempt.status] is not Exit.PASSED:
            first = attempt.what.partition("\n")[0]
            groups.setdefault(f"{attempt.place or ''} {first}".strip(), []).append(attempt)
    lines = []
    for what, found in groups.items():
        named = ", ".join(f"{one.number} (seed {one.seed})" for one in found[:NAMED])
        more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
        lines.append(f"{len(found)} of {len(attempts)}: {what}: attempt {named}{more}")
    return lines


WHAT_A_SEED_DOES = (
    "a seed repeats the order of `together` and, with --shake, the delays and halts; it does not"
    " repeat what the machine and the programs do: scheduling, their own randomness, ports"
)
