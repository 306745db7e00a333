r"""Regular expressions that can take for ever: a repetition of a repetition.

`(a+)+b` tries every way of cutting a run of `a` into pieces before it gives up: twice the time
for each further letter. What a program under test prints must never hold up the harness, so such
expressions are refused. `(\d+, )*` is none of them: each round has to pass a comma, which the
inner repetition cannot take, so there is one way of cutting only.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from typing import Any

parser: Any = importlib.import_module("re._parser")  # what `re` itself parses with
MANY = 64  # as often as this is as bad as without an upper bound
REPEATS = ("MAX_REPEAT", "MIN_REPEAT")


def nested_repeat(expression: str) -> str | None:
    """The repeated part that repeats something itself, as it is written; none if all is well."""
    if not _nested(expression):
        return None
    return next((part for part in _repeated_groups(expression) if _nested(part)), expression)


def _nested(expression: str) -> bool:
    try:
        return any(map(_ambiguous, _bodies(parser.parse(expression))))
    except re.error:  # a part that refers to a group outside it
        return False


def _bodies(items: Any) -> Iterator[Any]:
    """The bodies of all repetitions, the outer ones first."""
    for operator, argument in items:
        if str(operator) in REPEATS and argument[1] >= MANY:
            yield argument[2]
        for inner in _inside(argument):
            yield from _bodies(inner)


def _inside(argument: Any) -> Iterator[Any]:
    """The sequences of items that are the parts of an item."""
    if isinstance(argument, parser.SubPattern):
        yield argument
    elif isinstance(argument, list | tuple):
        for part in argument:
            yield from _inside(part)


def _ambiguous(body: Any) -> bool:
    """Whether a repeated body can share out the same text to its rounds in several ways."""
    items = list(_flat(body))
    separators = [argument for operator, argument in items if str(operator) == "LITERAL"]
    return any(all(_takes(inner, code) for code in separators) for inner in _bodies(body))


def _flat(body: Any) -> Iterator[tuple[Any, Any]]:
    """The items that every round has to pass, those of plain groups among them."""
    for operator, argument in body:
        if str(operator) == "SUBPATTERN":
            yield from _flat(argument[-1])
        else:
            yield operator, argument


def _takes(body: Any, code: int) -> bool:
    """Whether the body of the inner repetition can take a character."""
    return any(_takes_item(str(operator), argument, code) for operator, argument in body)


def _takes_item(operator: str, argument: Any, code: int) -> bool:
    if operator == "LITERAL":
        return bool(argument == code)
    if operator == "NOT_LITERAL":
        return bool(argument != code)
    if operator == "IN":
        return _in_set(argument, code)
    parts = list(_inside(argument))
    return any(_takes(part, code) for part in parts) if parts else operator not in ("AT",)


def _in_set(argument: Any, code: int) -> bool:
    negated, found = False, False
    for operator, value in argument:
        kind = str(operator)
        negated |= kind == "NEGATE"
        found |= kind == "LITERAL" and value == code
        found |= kind == "RANGE" and value[0] <= code <= value[1]
        found |= kind == "CATEGORY" and _in_category(str(value), code)
    return found != negated


def _in_category(name: str, code: int) -> bool:
    letter = {"DIGIT": "d", "SPACE": "s", "WORD": "w"}.get(name.rpartition("_")[2], "")
    if not letter:
        return True
    sign = letter.upper() if "_NOT_" in name else letter
    return re.match(rf"\{sign}", chr(code)) is not None


def _repeated_groups(expression: str) -> list[str]:
    """The groups that are repeated, as they are written, the outer ones first."""
    starts, found = [], []
    escaped = in_set = False
    for at, sign in enumerate(expression):
        if escaped or sign == "\\":
            escaped = not escaped
        elif in_set or sign == "[":
            in_set = sign != "]"
        elif sign == "(":
            starts.append(at)
        elif sign == ")" and starts:
            start = starts.pop()
            if expression[at + 1 : at + 2] in ("*", "+", "{"):
                found.append((start, expression[start : at + 2]))
    return [part for _, part in sorted(found)]
