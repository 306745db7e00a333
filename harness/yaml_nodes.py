"""YAML with places: every key and value knows its line and column."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec import Struct
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from harness.errors import Place, Problem, ScenarioError

TAG = "tag:yaml.org,2002:"
REPAIRS = (  # what the YAML reader says, what a person has to do
    ("mapping values are not allowed", "text that contains ': ' needs quotes: 'ana: hello'"),
    ("could not find expected ':'", "a key needs a colon after it; text with ': ' needs quotes"),
    ("found character '\\t'", "indent with blanks, not with tabs"),
    ("cannot start any token", "text that begins with this character needs quotes"),
    ("while parsing a flow", "] closes a list, } a mapping; text with , [ ] { } needs quotes"),
    ("expected <block end>", "quote all of a text that begins with [ { or a quotation mark"),
    ("while scanning a quoted", "the closing quote is missing"),
    ("while scanning an alias", "text that begins with * needs quotes"),
    ("while scanning an anchor", "text that begins with & needs quotes"),
)  # fmt: skip


class Value(Struct):
    """A node: `data` is a scalar, a list of `Value`, or a list of (key, value) pairs."""

    data: Any
    place: Place
    kind: str  # scalar, list, mapping

    def plain(self) -> Any:
        """The same without places."""
        if self.kind == "list":
            return [value.plain() for value in self.data]
        if self.kind == "mapping":
            return {key.data: value.plain() for key, value in self.data}
        return self.data

    @property
    def pairs(self) -> list[tuple[Value, Value]]:
        """The pairs of a mapping; none of anything else."""
        return self.data if self.kind == "mapping" else []

    @property
    def values(self) -> list[Value]:
        """The values of a list; anything else is a list of one."""
        return self.data if self.kind == "list" else [self]

    def get(self, key: str) -> Value | None:
        """The value of a key."""
        return next((value for name, value in self.pairs if name.data == key), None)


def read(path: Path, shown: str = "") -> Value:
    """The document in a file; raises `ScenarioError` for what is no YAML."""
    shown = shown or str(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ScenarioError([Problem(Place(shown), f"cannot be read: {error.strerror}")]) from error
    except UnicodeDecodeError as error:
        raise ScenarioError([Problem(Place(shown), "is not UTF-8 text")]) from error
    try:
        node = YAML(typ="rt", pure=True).compose(text)
    except MarkedYAMLError as error:
        raise ScenarioError([_syntax(error, shown)]) from error
    except YAMLError as error:
        raise ScenarioError([Problem(Place(shown), f"no YAML: {error}")]) from error
    if node is None:
        raise ScenarioError([Problem(Place(shown), "the file is empty")])
    problems: list[Problem] = []
    value = _value(node, shown, problems)
    if problems:
        raise ScenarioError(problems)
    return value


def _syntax(error: MarkedYAMLError, shown: str) -> Problem:
    mark = error.problem_mark or error.context_mark
    place = Place(shown, mark.line + 1, mark.column + 1) if mark else Place(shown)
    said = " ".join(filter(None, (error.context, error.problem)))
    repair = next((repair for sign, repair in REPAIRS if sign in said), "")
    return Problem(place, f"no YAML: {error.problem or error.context}", repair)


def _value(node: Node, shown: str, problems: list[Problem]) -> Value:
    place = Place(shown, node.start_mark.line + 1, node.start_mark.column + 1)
    if isinstance(node, SequenceNode):
        return Value([_value(item, shown, problems) for item in node.value], place, "list")
    if isinstance(node, MappingNode):
        return Value(_pairs(node, shown, problems), place, "mapping")
    assert isinstance(node, ScalarNode)
    return Value(_scalar(node, place, problems), place, "scalar")


def _pairs(node: MappingNode, shown: str, problems: list[Problem]) -> list[tuple[Value, Value]]:
    pairs: list[tuple[Value, Value]] = []
    first: dict[Any, Place] = {}
    for key_node, value_node in node.value:
        key = _value(key_node, shown, problems)
        if key.kind != "scalar":
            problems.append(
                Problem(
                    key.place, f"a {key.kind} cannot be a key", "several actors: 'ana, ben see:'"
                )
            )
            continue
        if key.data in first:
            problems.append(
                Problem(
                    key.place,
                    f"{key.data!r} stands here twice (first in line {first[key.data].line})",
                    "give a list as its value, or begin a new exchange with '- '",
                )
            )
        first.setdefault(key.data, key.place)
        value = _value(value_node, shown, problems)
        if value.data is None:  # nothing stands there: say so where it should stand
            end = key_node.end_mark
            value.place = Place(shown, end.line + 1, end.column + 2)
        pairs.append((key, value))
    return pairs


INT = re.compile(r"[-+]?[0-9]+")
CONVERT: dict[str, Callable[[str], Any]] = {
    "null": lambda _text: None,
    "bool": lambda text: text.lower() == "true",
    "int": lambda text: int(text) if INT.fullmatch(text) else int(text.replace("_", ""), 0),
    "float": lambda text: float(text.replace("_", "").replace(".inf", "inf")),
}  # fmt: skip


def _scalar(node: ScalarNode, place: Place, problems: list[Problem]) -> Any:
    kind = str(node.tag or "").removeprefix(TAG)
    try:
        return CONVERT.get(kind, str)(node.value)
    except ValueError:
        problems.append(Problem(place, f"{node.value!r} is no {kind}"))
        return node.value
