"""What can be run but proves little: told by `harness check`, and in the notes of a run."""

from __future__ import annotations

from collections.abc import Iterable

from harness.checking import Checker
from harness.steps import Clause, Exchange, Step
from harness.verbs import Family


def lint(steps: Iterable[Step], check: Checker) -> None:
    """Look at every exchange."""
    for step in steps:
        if isinstance(step, Exchange):
            _source_is_gone(step, check)
            _until(step, check)


def _source_is_gone(exchange: Exchange, check: Checker) -> None:
    """Who was killed can prove nothing; only what follows shows that the server has noticed."""
    gone = {who for c in exchange.clauses if c.verb.ends for who in c.who}
    if not gone or any(_is_consequence(clause, gone) for clause in exchange.clauses):
        return
    for clause in exchange.clauses:
        if clause.verb.family is Family.NEGATIVE and clause.verb.name != "survives":
            check.warn(
                clause.place,
                f"nothing shows when this is over: {', '.join(sorted(gone))} can prove nothing"
                " any more",
                "say beside it what has to follow, for example: others see: {lost: ...}",
            )


def _is_consequence(clause: Clause, gone: set[str]) -> bool:
    awaited = clause.verb.family in (Family.POSITIVE, Family.END) or clause.verb.name == "sees only"
    return awaited and not set(clause.who) <= gone


def _until(exchange: Exchange, check: Checker) -> None:
    if not exchange.until_fence:
        return
    if not any(clause.verb.standing for clause in exchange.clauses):
        check.wrong(
            exchange.place, "until: fence is about `never`, and nothing is forbidden here",
            "take it away, or say what is never seen",
        )  # fmt: skip
    if not exchange.fenced:
        check.wrong(
            exchange.place, "until: fence, but this exchange has none (fence: none)",
            "take one of the two away",
        )  # fmt: skip
