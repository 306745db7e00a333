"""What is expected: text, regular expressions and frames, each able to explain itself.

Text is literal; `...` stands for anything inside one line, `${name=kind}` captures, `${name}`
inserts what was captured, as literal text.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from msgspec import Struct

from harness.scope import KINDS, VARIABLE, UnboundError

ANY = "..."
Lookup = Callable[[str], Any]
Found = dict[str, Any]


class Item(Struct):
    """One thing that an actor was told: a settled line, or a frame."""

    text: str  # the line, or the frame's source
    at: float  # seconds, monotonic
    frame: Any = None
    is_frame: bool = False
    hidden: bool = False  # the harness's own traffic


def unknown(name: str) -> Any:
    """The lookup where no name has a value."""
    raise UnboundError(f"${{{name}}} has no value here")


class Pattern(Protocol):
    """Matches items."""

    def match(self, item: Item, *, part: bool = False) -> Found | None:
        """What was captured, or none; `part`: anywhere in the line is enough."""

    def __str__(self) -> str:
        """The pattern as a person would write it."""


class TextPattern:
    """A text with gaps and captures."""

    def __init__(self, text: str, lookup: Lookup) -> None:
        self._text = text
        self._regex, self._kinds = compile_text(text, lookup)
        self.blank = not text.strip()

    def match(self, item: Item, *, part: bool = False) -> Found | None:
        """What was captured, or none."""
        if part or item.is_frame:
            found = self._regex.search(item.text)
        else:
            found = self._regex.fullmatch(item.text.rstrip())
        if found is None:
            return None
        return {name: typed(found[name], kind) for name, kind in self._kinds.items()}

    def __str__(self) -> str:
        return self._text


class RegexPattern:
    """A regular expression; named groups capture, `${name}` inserts a value as literal text."""

    blank = False

    def __init__(self, expression: str, lookup: Lookup = unknown) -> None:
        self._kinds: dict[str, str] = {}
        self._regex = re.compile(expression_of(expression, lookup, self._kinds))

    def match(self, item: Item, *, part: bool = False) -> Found | None:
        """What was captured, or none."""
        whole = not part and not item.is_frame
        found = (self._regex.fullmatch if whole else self._regex.search)(item.text.rstrip("\n"))
        if found is None:
            return None
        kinds = self._kinds
        return {
            name: typed(text, kinds[name]) if name in kinds and text is not None else text
            for name, text in found.groupdict().items()
        }

    def __str__(self) -> str:
        return f"{{re: {self._regex.pattern!r}}}"


class FramePattern:
    """A mapping whose fields match; more fields are fine unless it is exact."""

    blank = False

    def __init__(self, fields: Mapping[str, Any], lookup: Lookup, *, exact: bool) -> None:
        self._fields, self._lookup, self._exact = dict(fields), lookup, exact

    def match(self, item: Item, *, part: bool = False) -> Found | None:
        """What was captured, or none."""
        del part
        found: Found = {}
        same = isinstance(item.frame, Mapping) and self._same(self._fields, item.frame, found)
        if not same or (self._exact and set(item.frame) != set(self._fields)):
            return None
        return found

    def _same(self, want: Any, have: Any, found: Found) -> bool:
        if isinstance(want, Mapping):
            return isinstance(have, Mapping) and all(
                key in have and self._same(value, have[key], found) for key, value in want.items()
            )
        if isinstance(want, list):
            return self._same_list(want, have, found)
        if isinstance(want, str):
            return self._same_text(want, have, found)
        return type(want) is type(have) and bool(want == have)

    def _same_list(self, want: list[Any], have: Any, found: Found) -> bool:
        if not isinstance(have, list):
            return False
        if want and want[-1] == ANY:
            want, have = want[:-1], have[: len(want) - 1]
        return len(want) == len(have) and all(
            self._same(w, h, found) for w, h in zip(want, have, strict=True)
        )

    def _same_text(self, want: str, have: Any, found: Found) -> bool:
        if want == ANY:
            return True
        single = VARIABLE.fullmatch(want)
        if single and single["name"]:
            return self._same_variable(single["name"], single["kind"], have, found)
        if not isinstance(have, str):
            return False
        regex, kinds = compile_text(want, self._lookup)
        match = regex.fullmatch(have)
        if match:
            found.update({name: typed(match[name], kind) for name, kind in kinds.items()})
        return match is not None

    def _same_variable(self, name: str, kind: str | None, have: Any, found: Found) -> bool:
        if kind is None:
            return equal(self._lookup(name), have)
        if kind == "int":
            fits = isinstance(have, int) and not isinstance(have, bool)
        else:
            fits = kind == "json" or (
                isinstance(have, str) and re.fullmatch(KINDS[kind], have, re.DOTALL) is not None
            )
        if fits:
            found[name] = have
        return fits

    def __str__(self) -> str:
        text = json.dumps(self._fields, ensure_ascii=False)
        return f"{{exactly: {text}}}" if self._exact else text


def compile_text(text: str, lookup: Lookup) -> tuple[re.Pattern[str], dict[str, str]]:
    """The regular expression of a text pattern, and the kinds of what it captures, by name."""
    parts: list[str] = []
    kinds: dict[str, str] = {}
    end = 0
    for variable in VARIABLE.finditer(text):
        parts.append(_literal(text[end : variable.start()]))
        parts.append(_variable(variable, kinds, lookup))
        end = variable.end()
    parts.append(_literal(text[end:]))
    return re.compile("".join(parts), re.DOTALL), kinds


def expression_of(text: str, lookup: Lookup, kinds: dict[str, str] | None = None) -> str:
    """A regular expression with the names in it filled in, as text and not as expressions.

    `kinds` is told the kinds of what is captured, by name.
    """
    captured = {} if kinds is None else kinds
    return VARIABLE.sub(lambda found: _variable(found, captured, lookup), text)


def _literal(text: str) -> str:
    return ".*?".join(map(re.escape, text.split(ANY)))


def _variable(variable: re.Match[str], kinds: dict[str, str], lookup: Lookup) -> str:
    name, kind = variable["name"], variable["kind"]
    if variable["literal"]:
        return re.escape("${")
    if kind is None:
        return f"(?P={name})" if name in kinds else re.escape(str(lookup(name)))
    kinds[name] = kind
    return f"(?P<{name}>{KINDS[kind]})"


def typed(text: str, kind: str) -> Any:
    """A captured text as the value its kind stands for."""
    return int(text) if kind == "int" else text


def equal(want: Any, have: Any) -> bool:
    """Equality that does not take `True` for 1."""
    return bool(want == have) and isinstance(want, bool) == isinstance(have, bool)


def nearest(pattern: Pattern, items: list[Item]) -> Item | None:
    """The item that looks most like what was expected, if any is at all like it."""
    wanted = str(pattern)
    scored = [
        (difflib.SequenceMatcher(None, wanted, item.text, autojunk=False).ratio(), -at, item)
        for at, item in enumerate(reversed(items[-200:]))
    ]
    best = max(scored, key=lambda row: row[:2], default=None)
    return best[2] if best and best[0] >= 0.5 else None


def difference(wanted: str, seen: str) -> str:
    """A line that marks, below `seen`, where it differs from `wanted`."""
    marks = [" "] * (len(seen) + 1)
    matcher = difflib.SequenceMatcher(None, wanted, seen, autojunk=False)
    for kind, _, _, start, end in matcher.get_opcodes():
        if kind != "equal":
            marks[start : max(end, start + 1)] = "^" * max(end - start, 1)
    return "".join(marks).rstrip()
