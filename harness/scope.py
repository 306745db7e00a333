"""Names and what they stand for: `${name}` in commands, frames and expectations."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from harness.errors import HarnessError

KINDS = {
    "word": r"\S+",
    "int": r"-?\d+",
    "rest": r".*",
    "uuid": r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}",
    "json": r".+",
}
# `$${` is a literal `${`; a name may have dots: `${client2.name}`, `${server.port}`.
VARIABLE = re.compile(r"(?P<literal>\$\$\{)|\$\{(?P<name>[A-Za-z_][\w.-]*)(?:=(?P<kind>\w*))?\}")


DEEPEST = 16  # values of the file that insert one another


GROUP = re.compile(r"\(\?P<([A-Za-z_]\w*)>")  # what a regular expression captures by itself


class UnboundError(HarnessError):
    """A name that stands for nothing yet, or for two things."""


class Scope:
    """Values by name: those of the file, those of one run, and what each actor captured.

    A value of the file may itself insert names, as deep as `DEEPEST`; what a program has said
    never does.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = dict(values)
        self.captured: dict[str, dict[str, Any]] = {}
        self._filling: list[str] = []

    def bind(self, actor: str, found: Mapping[str, Any]) -> None:
        """Keep what an actor captured."""
        self.captured.setdefault(actor, {}).update(found)

    def lookup(self, name: str, actor: str = "", local: Mapping[str, Any] | None = None) -> Any:
        """The value of a name as `actor` would mean it; raises `UnboundError`."""
        for space in (local or {}, self.captured.get(actor, {})):
            if name in space:
                return space[name]
        if name in self.values:
            return self._own(name, self.values[name], actor)
        head, _, rest = name.partition(".")
        if rest:
            return self._inside(head, rest, actor, local or {})
        owners = [who for who, found in self.captured.items() if name in found]
        if len(owners) == 1:
            return self.captured[owners[0]][name]
        if owners:
            choices = " or ".join(f"${{{who}.{name}}}" for who in sorted(owners))
            raise UnboundError(
                f"${{{name}}} was captured by {' and '.join(owners)}: write {choices}"
            )
        raise UnboundError(f"${{{name}}} has no value yet")

    def _inside(self, head: str, rest: str, actor: str, local: Mapping[str, Any]) -> Any:
        for space in (local, self.captured, self.values):
            value: Any = space.get(head)
            for part in rest.split("."):
                value = value.get(part) if isinstance(value, Mapping) else None
            if value is not None and space is self.values:
                return self._own(f"{head}.{rest}", value, actor)
            if value is not None:
                return value
        raise UnboundError(f"${{{head}.{rest}}} has no value yet")

    def _own(self, name: str, value: Any, actor: str) -> Any:
        """A value of the file, with the names in it filled in."""
        if next(names_used(value), None) is None:
            return value
        if len(self._filling) >= DEEPEST:
            raise UnboundError(f"${{{name}}} stands for itself")
        self._filling.append(name)
        try:
            return self.fill(value, actor)
        finally:
            self._filling.pop()

    def fill(self, value: Any, actor: str = "", local: Mapping[str, Any] | None = None) -> Any:
        """A copy of `value` with every name replaced; a text that is one name keeps the type."""
        if isinstance(value, str):
            return self._fill_text(value, actor, local)
        if isinstance(value, Mapping):
            return {
                self.fill(k, actor, local): self.fill(v, actor, local) for k, v in value.items()
            }
        if isinstance(value, list):
            return [self.fill(item, actor, local) for item in value]
        return value

    def _fill_text(self, text: str, actor: str, local: Mapping[str, Any] | None) -> Any:
        whole = VARIABLE.fullmatch(text)
        if whole and whole["name"] and whole["kind"] is None:
            return self.lookup(whole["name"], actor, local)

        def insert(found: re.Match[str]) -> str:
            if found["literal"]:
                return "${"
            if found["kind"] is not None:
                return found[0]  # a capture: the pattern's business
            return str(self.lookup(found["name"], actor, local))

        return VARIABLE.sub(insert, text)


def names_used(value: Any) -> Iterator[str]:
    """Every name that `value` inserts."""
    yield from (name for name, kind in _variables(value) if kind is None)


def names_captured(value: Any) -> Iterator[tuple[str, str]]:
    """Every name that `value` captures, with its kind."""
    yield from ((name, kind) for name, kind in _variables(value) if kind is not None)


def _variables(value: Any) -> Iterator[tuple[str, str | None]]:
    if isinstance(value, str):
        for found in VARIABLE.finditer(value):
            if found["name"]:
                yield found["name"], found["kind"]
    elif isinstance(value, Mapping):
        if set(value) == {"re"}:
            yield from ((name, "word") for name in GROUP.findall(str(value["re"])))
        for pair in value.items():
            yield from _variables(list(pair))
    elif isinstance(value, list):
        for item in value:
            yield from _variables(item)


TOKEN = re.compile(r"h[0-9a-f]{12}")


def token() -> str:
    """A word that was never used before: marks what the harness itself asks."""
    return f"h{uuid.uuid4().hex[:12]}"
