"""What is expected: text, regular expressions and frames, each able to explain itself.

Text is literal; `...` stands for anything inside one line, `${name=kind}` captures, `${name}`
inserts what was captured, as literal text.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any, Protocol

from msgspec import Struct

from harness import backtracking, diff
from harness.scope import KINDS, VARIABLE, UnboundError

ANY = "..."
NEAR = 200  # items, the latest, among which the nearest miss is looked for
ANY_ORDER = "in any order"  # a mapping of this alone: a list's items, however they are sorted
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

    def likeness(self, item: Item) -> float:
        """How much an item looks like what was expected: 0 to 1."""

    def differences(self, item: Item) -> list[str]:
        """Lines that say in what an item is not as expected, each behind a label."""

    def __str__(self) -> str:
        """The pattern as a person would write it."""


class TextPattern:
    """A text with gaps and captures."""

    def __init__(self, text: str, lookup: Lookup) -> None:
        self._text = text
        self.regex, self._kinds = compile_text(text, lookup)
        self.parts = parts_of(text, lookup)
        self.blank = not text.strip()

    def match(self, item: Item, *, part: bool = False) -> Found | None:
        """What was captured, or none."""
        if part or item.is_frame:
            found = self.regex.search(item.text)
        else:
            found = self.regex.fullmatch(item.text.rstrip())
        if found is None:
            return None
        return {name: typed(found[name], kind) for name, kind in self._kinds.items()}

    def likeness(self, item: Item) -> float:
        """How much an item looks like what was expected."""
        return diff.likeness(_within(self.parts, item), item.text)

    def differences(self, item: Item) -> list[str]:
        """The words that differ."""
        return [_words(_within(self.parts, item), item.text)]

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where in a text it stands."""
        return [found.span() for found in self.regex.finditer(text)]

    def __str__(self) -> str:
        return self._text


class RegexPattern:
    """A regular expression; named groups capture, `${name}` inserts a value as literal text."""

    blank = False

    def __init__(self, expression: str, lookup: Lookup = unknown) -> None:
        self._kinds: dict[str, str] = {}
        self.regex = re.compile(expression_of(expression, lookup, self._kinds))

    def match(self, item: Item, *, part: bool = False) -> Found | None:
        """What was captured, or none."""
        whole = not part and not item.is_frame
        found = (self.regex.fullmatch if whole else self.regex.search)(item.text.rstrip("\n"))
        if found is None:
            return None
        kinds = self._kinds
        return {
            name: typed(text, kinds[name]) if name in kinds and text is not None else text
            for name, text in found.groupdict().items()
        }

    def likeness(self, item: Item) -> float:
        """How much an item looks like what was expected, by the expression's literal parts."""
        return diff.likeness(_within(self.parts, item), item.text)

    def differences(self, item: Item) -> list[str]:
        """The words that differ from the expression's literal parts."""
        return [_words(_within(self.parts, item), item.text)]

    @cached_property
    def parts(self) -> list[str | None]:
        """Its literal parts, and gaps where it takes anything."""
        return list(_literals(backtracking.parser.parse(self.regex.pattern)))

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where in a text it stands."""
        return [found.span() for found in self.regex.finditer(text)]

    def __str__(self) -> str:
        return f"{{re: {self.regex.pattern!r}}}"


class FramePattern:
    """A mapping whose fields match; more fields are fine unless it is exact."""

    blank = False

    def __init__(self, fields: Mapping[str, Any], lookup: Lookup, *, exact: bool) -> None:
        self.fields, self.lookup, self._exact = dict(fields), lookup, exact

    def match(self, item: Item, *, part: bool = False) -> Found | None:
        """What was captured, or none."""
        del part
        found: Found = {}
        same = isinstance(item.frame, Mapping) and self._same(self.fields, item.frame, found)
        if not same or (self._exact and set(item.frame) != set(self.fields)):
            return None
        return found

    def _same(self, want: Any, have: Any, found: Found) -> bool:
        if isinstance(want, Mapping) and set(want) == {ANY_ORDER}:
            return self._same_in_any_order(want[ANY_ORDER], have)
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

    def _same_in_any_order(self, want: Any, have: Any) -> bool:
        """Each wanted value is that of another item, and no item is left; nothing is captured."""
        if not isinstance(want, list) or not isinstance(have, list) or len(want) != len(have):
            return False
        left = list(have)
        for value in want:
            at = next((at for at, one in enumerate(left) if self._same(value, one, {})), None)
            if at is None:
                return False
            del left[at]
        return True

    def _same_text(self, want: str, have: Any, found: Found) -> bool:
        if want == ANY:
            return True
        single = VARIABLE.fullmatch(want)
        if single and single["name"]:
            return self._same_variable(single["name"], single["kind"], have, found)
        if not isinstance(have, str):
            return False
        regex, kinds = compile_text(want, self.lookup)
        match = regex.fullmatch(have)
        if match:
            found.update({name: typed(match[name], kind) for name, kind in kinds.items()})
        return match is not None

    def _same_variable(self, name: str, kind: str | None, have: Any, found: Found) -> bool:
        if kind is None:
            return equal(self.lookup(name), have)
        if kind == "int":
            fits = isinstance(have, int) and not isinstance(have, bool)
        else:
            fits = kind == "json" or (
                isinstance(have, str) and re.fullmatch(KINDS[kind], have, re.DOTALL) is not None
            )
        if fits:
            found[name] = have
        return fits

    def likeness(self, item: Item) -> float:
        """How much an item looks like what was expected: the mean of its fields."""
        if not isinstance(item.frame, Mapping):
            return diff.likeness([str(self)], item.text) / 2
        scores = [self._alike(want, item.frame.get(key)) for key, want in self.fields.items()]
        return sum(scores) / len(scores) if scores else 0.0

    def _alike(self, want: Any, have: Any) -> float:
        if have is None or self._same(want, have, {}):
            return float(have is not None)
        if isinstance(want, str) and isinstance(have, str):
            return diff.likeness(parts_of(want, self.lookup), have)
        return diff.likeness([_json(want)], _json(have)) / 2

    def differences(self, item: Item) -> list[str]:
        """The fields that differ; of texts the words."""
        if not isinstance(item.frame, Mapping):
            return [f"{'but':10}that is no frame with fields"]
        lines = [
            self._difference(path, want, have, item.frame)
            for path, want, have in diff.fields(self.fields, item.frame, self._is)
        ]
        if self._exact:
            besides = [key for key in item.frame if key not in self.fields]
            lines += [f"{'besides':10}{key}: {_json(item.frame[key])}" for key in besides]
        return lines

    def _is(self, want: Any, have: Any) -> bool:
        return self._same(want, have, {})

    def _difference(self, path: str, want: Any, have: Any, frame: Mapping[str, Any]) -> str:
        if have is diff.MISSING:
            spare = [key for key in frame if key not in self.fields]
            near = difflib.get_close_matches(path, spare)
            hint = f" (but there is {near[0]})" if near else ""
            return f"{'missing':10}{path}: {diff.short(_json(want))}{hint}"
        if isinstance(want, str) and isinstance(have, str):
            marked = diff.words(parts_of(want, self.lookup), have)
        else:
            marked = f"[-{diff.short(_json(want))}-]{{+{diff.short(_json(have))}+}}"
        return f"{'differs':10}{path}: {marked}"

    def __str__(self) -> str:
        text = _json(self.fields)
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


def parts_of(text: str, lookup: Lookup) -> list[str | None]:
    """A text pattern as literal parts, values put in, and gaps where it takes anything."""
    parts: list[str | None] = []
    end = 0
    for variable in VARIABLE.finditer(text):
        parts += _cut(text[end : variable.start()])
        end = variable.end()
        if variable["literal"]:
            parts.append("${")
        else:
            parts.append(_value(variable, text[: variable.start()], lookup))
    return [part for part in (*parts, *_cut(text[end:])) if part != ""]


def _cut(text: str) -> list[str | None]:
    first, *rest = text.split(ANY)
    return [first, *(part for after in rest for part in (diff.GAP, after))]


def _value(variable: re.Match[str], before: str, lookup: Lookup) -> str | None:
    """What a name stands for; nothing is known of what is captured here, or was just before."""
    captured = f"${{{variable['name']}=" in before
    return diff.GAP if variable["kind"] is not None or captured else str(lookup(variable["name"]))


def _literals(parsed: Any) -> Iterator[str | None]:
    """The literal parts of a parsed regular expression, gaps for everything else."""
    for code, argument in parsed:
        if str(code) == "LITERAL":
            yield chr(argument)
        elif str(code) == "SUBPATTERN":
            yield from _literals(argument[-1])
        elif str(code) != "AT":
            yield diff.GAP


def _words(parts: list[str | None], seen: str) -> str:
    marked = diff.words(parts, seen)
    if "[-" in marked or "{+" in marked:
        return f"{'diff':10}{marked}"
    return f"{'but':10}what stands in a gap is nothing that may stand there"


def _within(parts: list[str | None], item: Item) -> list[str | None]:
    """Of a frame's source a text is a part."""
    return [diff.GAP, *parts, diff.GAP] if item.is_frame else parts


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def nearest(pattern: Pattern, items: list[Item]) -> Item | None:
    """The item that looks most like what was expected, the latest of several; none if none does."""
    scored = [(pattern.likeness(item), at, item) for at, item in enumerate(items[-NEAR:])]
    best = max(scored, key=lambda row: row[:2], default=None)
    return best[2] if best and best[0] >= diff.ENOUGH else None
