"""Collects everything that is wrong with a file, with places and suggestions."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable
from typing import Any

from harness.errors import Place, Problem, ScenarioError
from harness.scope import KINDS, names_captured, names_used
from harness.values import VALUES, seconds
from harness.yaml_nodes import Value


class Checker:
    """Problems of one file, and the checks that many keys share."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def wrong(self, place: Place, text: str, help_: str = "") -> None:
        """Note a problem; reading goes on, so that all of them are told at once."""
        problem = Problem(place, text, help_)
        if problem not in self.problems:
            self.problems.append(problem)

    def finish(self) -> None:
        """Raise `ScenarioError` if anything was wrong."""
        if self.problems:
            raise ScenarioError(self.problems)

    def mapping(self, value: Value, what: str) -> list[tuple[Value, Value]]:
        """The pairs of what has to be a mapping."""
        if value.kind != "mapping":
            self.wrong(value.place, f"{what} has to be a mapping (key: value)")
        return value.pairs

    def listing(self, value: Value, what: str) -> list[Value]:
        """The values of what has to be a list."""
        if value.kind != "list":
            self.wrong(value.place, f"{what} has to be a list (lines that begin with '- ')")
            return []
        return value.values

    def known(self, key: Value, allowed: Iterable[str], what: str) -> bool:
        """Whether a key is one of those allowed here."""
        names = list(allowed)
        if key.data in names:
            return True
        self.wrong(key.place, f"unknown {what} {str(key.data)!r}", suggestion(key.data, names))
        return False

    def text(self, value: Value, what: str) -> str:
        """A text, not empty."""
        if value.kind != "scalar" or value.data is None or str(value.data).strip() == "":
            self.wrong(value.place, f"{what} has to be a text")
            return ""
        return str(value.data)

    def texts(self, value: Value, what: str) -> list[str]:
        """A list of texts (or one)."""
        return [self.text(item, what) for item in value.values]

    def duration(self, value: Value, what: str) -> float | None:
        """A duration in seconds."""
        number = seconds(value.data) if value.kind == "scalar" else None
        if number is None:
            self.wrong(value.place, f"{what} has to be a duration such as 200ms, 5s or 2min")
        return number

    def number(self, value: Value, what: str) -> float:
        """A number that is not negative."""
        number = value.data
        if isinstance(number, bool) or not isinstance(number, int | float) or number < 0:
            self.wrong(value.place, f"{what} has to be a number such as 1 or 2.5")
            return 0.0
        return float(number)

    def fits(self, value: Value, kind: str, what: str) -> None:
        """Whether a value is of its kind (a row of `values.VALUES`)."""
        row = VALUES[kind]
        if not row.fits(value.plain()):
            self.wrong(
                value.place, f"{what} cannot be {shown(value.plain())}", f"allowed: {row.allowed}"
            )

    def regex(self, value: Value) -> None:
        """Whether a regular expression can be compiled."""
        try:
            re.compile(str(value.data))
        except re.error as error:
            self.wrong(value.place, f"no regular expression: {error}")

    def captures(self, value: Value) -> set[str]:
        """The names a value captures, their kinds checked."""
        found = set()
        for name, kind in names_captured(value.plain()):
            found.add(name)
            if kind not in KINDS:
                place = locate(value, f"${{{name}={kind}")
                self.wrong(
                    place, f"unknown kind of capture {kind!r}", suggestion(kind, list(KINDS))
                )
            if "." in name or "-" in name:
                self.wrong(
                    locate(value, f"${{{name}="), f"{name!r} cannot be captured", "a name is a word"
                )
        return found

    def names(self, value: Value, known: Collection[str], heads: Collection[str]) -> None:
        """Whether every inserted name is set somewhere; `heads` may stand before a dot."""
        for name in names_used(value.plain()):
            head, dot, rest = name.partition(".")
            if dot and head in heads and (head not in known or rest.partition(".")[0]):
                continue
            if not dot and name in known:
                continue
            help_ = suggestion(name, sorted({*known, *(f"{head}.name" for head in heads)}))
            self.wrong(locate(value, f"${{{name}}}"), f"${{{name}}} is never set", help_)


def locate(value: Value, part: str) -> Place:
    """The scalar inside `value` that holds `part`."""
    if value.kind == "scalar":
        return value.place
    inner = value.data if value.kind == "list" else [v for pair in value.data for v in pair]
    return next((locate(v, part) for v in inner if part in str(v.plain())), value.place)


def suggestion(word: Any, allowed: Collection[str]) -> str:
    """What was perhaps meant, and what is allowed."""
    close = difflib.get_close_matches(str(word), allowed, n=1, cutoff=0.5)
    meant = f"did you mean {close[0]!r}? " if close else ""
    return f"{meant}allowed: {', '.join(allowed) or 'nothing'}"


def shown(value: Any) -> str:
    """A value in a message, not too long."""
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
