"""Clauses that can never both be true, found without running anything."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from harness.checking import Checker, shown
from harness.errors import Place
from harness.scope import VARIABLE
from harness.steps import Clause, Exchange
from harness.values import as_list, texts

EXPECTS = {  # verb -> what it is about; `sees nothing` and the `never` verbs speak of the same
    "sees": "told", "sees next": "told", "sees in any order": "told", "sees only": "told",
    "shows": "shown", "prints": "printed",
}  # fmt: skip
FORBIDS = {"never sees": "told", "never shows": "shown", "never prints": "printed"}
ARRIVES = ("sees", "sees next", "sees in any order", "sees one of")
HOLE = "\0"  # stands for what is not known


class Forbidden(Struct, frozen=True):
    """Something that an actor is not to be told from now on."""

    actor: str
    about: str
    pattern: Any
    place: Place


class Contradictions:
    """Reads exchanges in their order."""

    def __init__(self, check: Checker) -> None:
        self._check = check
        self._forbidden: list[Forbidden] = []

    def look(self, exchange: Exchange, who: Mapping[int, list[str]]) -> None:
        """One exchange; `who` says whom each clause is about, by the clause's number."""
        if exchange.when:
            return
        standing = len(self._forbidden)
        clauses = list(enumerate(exchange.clauses))
        for number, clause in clauses:
            about = FORBIDS.get(clause.verb.name)
            if about and not _depends(clause.value):
                self._forbidden += [
                    Forbidden(actor, about, pattern, clause.place)
                    for actor in who[number]
                    for pattern in as_list(clause.value)
                ]
        for number, clause in clauses:
            for actor in who[number]:
                self._expected(clause, actor)
                self._against(clause, actor, [c for n, c in clauses if actor in who[n]])
        if exchange.until_fence:
            del self._forbidden[standing:]

    def _expected(self, clause: Clause, actor: str) -> None:
        about = EXPECTS.get(clause.verb.name)
        for pattern in as_list(clause.value) if about else ():
            for ban in self._forbidden:
                if (ban.actor, ban.about) == (actor, about) and _covers(ban.pattern, pattern):
                    self._never_both(clause, ban, pattern)

    def _never_both(self, clause: Clause, ban: Forbidden, pattern: Any) -> None:
        """Told at the later of the two clauses."""
        if clause.place > ban.place:
            where = f"in line {ban.place.line}"
            text = f"{shown(pattern)} is expected, but {shown(ban.pattern)} is forbidden {where}"
            self._wrong(clause.place, f"{text} to the end of the scenario")
        else:
            self._wrong(
                ban.place, f"{shown(ban.pattern)} is forbidden here, but {shown(pattern)} expected"
            )

    def _against(self, clause: Clause, actor: str, beside: list[Clause]) -> None:
        """Clauses of one actor in one exchange that exclude each other."""
        others = {other.verb.name: other for other in beside}
        if clause.verb.name == "sees nothing":
            for name in (*ARRIVES, "sees only"):
                if name in others:
                    self._wrong(
                        clause.place, f"{actor} sees nothing, and {name} something",
                        "nothing else: sees only, with all that may come",
                    )  # fmt: skip
        if clause.verb.name == "survives" and "exits" in others:
            self._wrong(clause.place, f"{actor} survives, and exits")
        if clause.verb.name == "sees only":
            for name in ("sees", "sees next", "sees in any order"):
                self._outside(clause, actor, others.get(name))

    def _outside(self, only: Clause, actor: str, other: Clause | None) -> None:
        """What is expected beside `sees only` has to be among what is allowed."""
        allowed = as_list(only.value)
        for pattern in as_list(other.value) if other else ():
            told_apart = all(isinstance(text, str) for text in (pattern, *allowed))
            if other and told_apart and not any(_may_be(text, pattern) for text in allowed):
                self._wrong(
                    other.place, f"{actor} sees only something else than {shown(pattern)}",
                    "put all that comes into the list of sees only",
                )  # fmt: skip

    def _wrong(
        self, place: Place, text: str, help_: str = "one of the two can never be true"
    ) -> None:
        self._check.wrong(place, text, help_, code="contradiction")


def _may_be(allowed: str, text: str) -> bool:
    return "..." in allowed or "${" in allowed or allowed == text


def _depends(value: Any) -> bool:
    """Whether a pattern means something else each time (or is told by a regular expression)."""
    return any(VARIABLE.search(text) is not None for text in texts(value)) or (
        isinstance(value, Mapping) and set(value) == {"re"}
    )


def _covers(banned: Any, expected: Any) -> bool:
    """Whether all that matches `expected` is forbidden by `banned`; in doubt it is not."""
    if isinstance(expected, Mapping) and set(expected) == {"re"}:
        return False
    if isinstance(banned, Mapping):
        return isinstance(expected, Mapping) and _within(banned, expected)
    if not str(banned).strip():
        return False
    return any(_part_of(str(banned), text) for text in texts(expected))


def _within(banned: Mapping[Any, Any], expected: Mapping[Any, Any]) -> bool:
    """Whether every field of the forbidden frame is in the expected one, with the same value."""
    return all(
        key in expected
        and (
            _within(value, expected[key])
            if isinstance(value, Mapping) and isinstance(expected[key], Mapping)
            else type(value) is type(expected[key]) and value == expected[key]
        )
        for key, value in banned.items()
    )


def _part_of(banned: str, text: str) -> bool:
    known = VARIABLE.sub(HOLE, text).replace("...", HOLE)
    parts = [re.escape(part) for part in banned.split("...")]
    return re.search(".*".join(parts), known) is not None
