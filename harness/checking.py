"""Collects everything that is wrong with a file, with places and suggestions."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from harness.backtracking import nested_repeat
from harness.codes import number
from harness.errors import Place, Problem, ScenarioError
from harness.patterns import expression_of
from harness.scope import KINDS, Scope, UnboundError, names_captured, names_used
from harness.values import FILLED, VALUES, seconds, unfit
from harness.yaml_nodes import Value

TEXTS = ("line", "text", "patterns", "maybe-patterns", "list")  # kinds of values that are text
REPAIRS = {
    "not-a-mapping": "for example {key: value}, or lines `key: value` below it",
    "not-a-list": "for example [one, two], or lines that begin with '- '",
    "not-a-text": "one line of text, in quotes if it begins with a sign",
    "not-a-duration": "a number and its unit: ms, s or min",
}


class Checker:
    """Problems of one file, and the checks that many keys share."""

    def __init__(self) -> None:
        self._found: dict[Problem, None] = {}  # in order, each once
        self.warnings: list[Problem] = []  # what can be run, but proves little

    @property
    def problems(self) -> list[Problem]:
        """What was found so far."""
        return list(self._found)

    def wrong(self, place: Place, text: str, help_: str = "", *, code: str = "wrong-value") -> None:
        """Note a problem; reading goes on, so that all of them are told at once.

        `code` is the name of a row of `codes.TABLE`.
        """
        self._found.setdefault(Problem(place, text, help_, number(code)))

    def warn(self, place: Place, text: str, help_: str = "") -> None:
        """Note what is allowed but weak, and what would be stronger."""
        self.warnings.append(Problem(place, text, help_))

    def add(self, problems: Iterable[Problem]) -> None:
        """Note what another reader has found."""
        self._found.update(dict.fromkeys(problems))

    def finish(self) -> None:
        """Raise `ScenarioError` if anything was wrong."""
        if self._found:
            raise ScenarioError(self.problems)

    def mapping(self, value: Value, what: str) -> list[tuple[Value, Value]]:
        """The pairs of what has to be a mapping."""
        if value.kind != "mapping":
            self._not(value, f"{what} has to be a mapping (key: value)", "not-a-mapping")
        return value.pairs

    def _not(self, value: Value, text: str, code: str) -> None:
        """It is of the wrong kind; of a value that a comment has swallowed this is the reason."""
        if value.swallowed:
            text = f"{text}; what stands here is a comment"
            self.wrong(value.place, text, "text that begins with # needs quotes", code="swallowed")
        else:
            self.wrong(value.place, text, REPAIRS[code], code=code)

    def keys(self, value: Value, allowed: Iterable[str], what: str) -> Value:
        """The mapping, its misspelt keys reported and then taken for what they are like.

        So one slip is one problem: what would follow from the missing key is not told as well.
        """
        names, pairs = list(allowed), []
        present = {key.data for key, _ in value.pairs}
        for key, inner in value.pairs:
            if self.known(key, names, what):
                pairs.append((key, inner))
                continue
            meant = close(key.data, names)
            if meant and meant not in present:
                pairs.append((Value(meant, key.place, "scalar", key.raw), inner))
        return Value(pairs, value.place, value.kind) if value.kind == "mapping" else value

    def listing(self, value: Value, what: str) -> list[Value]:
        """The values of what has to be a list."""
        if value.kind != "list":
            self._not(value, f"{what} has to be a list (lines that begin with '- ')", "not-a-list")
            return []
        return value.values

    def known(
        self, key: Value, allowed: Iterable[str], what: str, code: str = "unknown-key"
    ) -> bool:
        """Whether a word is one of those allowed here."""
        names = list(allowed)
        if key.kind == "scalar" and key.data in names:
            return True
        said = str(key.data) if key.kind == "scalar" else f"a {key.kind}"
        self.wrong(key.place, f"unknown {what} {said!r}", suggestion(said, names), code=code)
        return False

    def text(self, value: Value, what: str) -> str:
        """A text, not empty."""
        if value.kind != "scalar" or value.data is None or str(value.data).strip() == "":
            self._not(value, f"{what} has to be a text", "not-a-text")
            return ""
        return str(value.data)

    def texts(self, value: Value, what: str) -> list[str]:
        """A list of texts (or one)."""
        return [self.text(item, what) for item in value.values]

    def duration(self, value: Value, what: str) -> float | None:
        """A duration in seconds."""
        number = seconds(value.data) if value.kind == "scalar" else None
        if number is None:
            self._not(
                value, f"{what} has to be a duration such as 200ms, 5s or 2min", "not-a-duration"
            )
        return number

    def flag(self, value: Value, what: str) -> bool:
        """A `true` or `false`."""
        if not isinstance(value.data, bool):
            self.wrong(value.place, f"{what} has to be true or false", "write true or false")
        return value.data is True

    def number(self, value: Value, what: str) -> float:
        """A number that is not negative."""
        number = value.data
        if isinstance(number, bool) or not isinstance(number, int | float) or number < 0:
            self.wrong(
                value.place, f"{what} cannot be {shown(value.plain())}",
                "allowed: a number such as 1 or 2.5",
            )  # fmt: skip
            return 0.0
        return float(number)

    def fits(self, value: Value, kind: str, what: str) -> None:
        """Whether a value is of its kind (a row of `values.VALUES`)."""
        row = VALUES[kind]
        if kind in FILLED and any(names_used(value.plain())):
            return  # judged by `filled`
        if value.swallowed and not row.fits(None):
            self._not(value, f"{what} cannot be nothing", "swallowed")
        elif not row.fits(value.plain()):
            self.wrong(
                value.place, f"{what} cannot be {shown(value.plain())}", f"allowed: {row.allowed}"
            )
        elif kind in TEXTS:
            self._verbatim(value)

    def filled(
        self, value: Value, kind: str, what: str, scopes: Iterable[Mapping[str, Any]]
    ) -> None:
        """Whether a value with names in it is of its kind, with the values that the file gives."""
        if kind not in FILLED or not any(names_used(value.plain())):
            return
        for scope in scopes:
            try:
                data = Scope(scope).fill(value.plain())
            except UnboundError:
                return  # captured: judged when it is known
            if help_ := unfit(kind, data):
                self.wrong(value.place, f"{what} cannot be {shown(data)}", help_)

    def _verbatim(self, value: Value) -> None:
        """Whether YAML left the texts as they were written: 1.10 is a number, and 1.1 then."""
        for item in value.values:
            if item.kind == "scalar" and not isinstance(item.data, str | None):
                text = str(item.data)
                if item.raw and text != item.raw:
                    self.wrong(
                        item.place, f"{item.raw} is read as {text}",
                        f"a text needs quotes: '{item.raw}'", code="number-as-text",
                    )  # fmt: skip

    def regex(self, value: Value) -> None:
        """Whether a regular expression can be compiled, and never takes for ever."""
        try:
            expression = expression_of(str(value.data), lambda _name: "x")
            re.compile(expression)
        except (re.error, OverflowError, RecursionError) as error:
            self.wrong(
                value.place, f"no regular expression: {error}",
                "put a \\ before a sign that stands for itself", code="bad-regex",
            )  # fmt: skip
            return
        if (inner := nested_repeat(expression)) is not None:
            self.wrong(
                value.at(inner), f"the repeated part {inner!r} repeats something itself",
                "repeat one of the two, or end each round with a sign that the inner one cannot be",
                code="slow-regex",
            )  # fmt: skip

    def captures(self, value: Value) -> set[str]:
        """The names a value captures, their kinds checked."""
        found = set()
        for name, kind in names_captured(value.plain()):
            found.add(name)
            if kind not in KINDS:
                place = locate(value, f"${{{name}={kind}")
                self.wrong(
                    place, f"unknown kind of capture {kind!r}", suggestion(kind, list(KINDS)),
                    code="unknown-capture",
                )  # fmt: skip
            if "." in name or "-" in name:
                self.wrong(
                    locate(value, f"${{{name}="), f"{name!r} cannot be captured",
                    "a name is a word", code="bad-capture",
                )  # fmt: skip
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
            place = locate(value, f"${{{name}}}")
            self.wrong(place, f"${{{name}}} is never set", help_, code="never-set")


def locate(value: Value, part: str) -> Place:
    """Where `part` stands inside `value`."""
    if value.kind == "scalar":
        return value.at(part)
    inner = value.data if value.kind == "list" else [v for pair in value.data for v in pair]
    return next((locate(v, part) for v in inner if part in str(v.plain())), value.place)


def close(word: Any, allowed: Collection[str]) -> str:
    """What was perhaps meant; empty if nothing is like it."""
    return next(iter(difflib.get_close_matches(str(word)[:200], allowed, n=1, cutoff=0.5)), "")


def suggestion(word: Any, allowed: Collection[str]) -> str:
    """What was perhaps meant, and what is allowed."""
    like = close(word, allowed)
    meant = f"did you mean {like!r}? " if like else ""
    return f"{meant}allowed: {', '.join(dict.fromkeys(map(str, allowed))) or 'nothing'}"


def shown(value: Any) -> str:
    """A value in a message, not too long."""
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
