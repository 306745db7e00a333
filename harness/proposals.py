"""What would have to be written for what came instead: the offers that `--accept` takes up.

An offer is made where a positive expectation is settled by a proof, as long as the values of all
names are known. It changes single values: of a text only what differs, so that names, captures and
gaps that still fit stay as they were written.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from harness.diff import GAP, pieces, same_start
from harness.errors import HarnessError, Place
from harness.patterns import FramePattern, Item, Lookup, Pattern, TextPattern, nearest, parts_of
from harness.scope import VARIABLE
from harness.values import as_list

if TYPE_CHECKING:
    from harness.actors import Actor
    from harness.expect import Expectation
    from harness.run import Run

Path = tuple[str | int, ...]  # keys and numbers that lead from a pattern to one of its values
Changes = list[tuple[Path, Any]]
BY_HAND = ("sees one of", "shows", "is closed", "exits", "cannot join")


class CannotBeAcceptedError(HarnessError):
    """Why nothing can be written for what came instead."""


class Rewritten(Struct, frozen=True):
    """A file of its own that was written anew: a snapshot."""

    path: str
    before: str | None  # none: there was no such file
    after: str


class Offer(Struct, frozen=True):
    """What to write in place of one pattern of a clause; `why_not`: nothing can be written."""

    place: Place  # of the clause
    who: str
    number: int = 0  # of the pattern, if the clause has a list
    changes: Changes = field(default_factory=list)
    files: list[Rewritten] = field(default_factory=list)
    why_not: str = ""


def offer(expectation: Expectation, came: Item | None = None) -> Offer:
    """What to write for an expectation that is not met; `came`: what stands in its place."""
    actor, clause = expectation.actor, expectation.clause
    wanted = expectation.wanted()[0]
    number = next(at for at, one in enumerate(expectation.patterns) if one is wanted)
    try:
        if clause.verb.name in BY_HAND:
            raise CannotBeAcceptedError(f"{clause.verb.name!r} is changed by hand")
        item = came or _nearest(expectation, wanted)
        value = as_list(clause.value)[number]
        changes = changed(expectation.run, actor, value, item)
    except CannotBeAcceptedError as error:
        return Offer(clause.place, actor.name, number, why_not=str(error))
    return Offer(clause.place, actor.name, number, changes)


def _nearest(expectation: Expectation, wanted: Pattern) -> Item:
    items = [item for _, item in expectation.unclaimed(expectation.looks_from)]
    found = nearest(wanted, [item for item in items if wanted.match(item) is None])
    if found is None:
        raise CannotBeAcceptedError("nothing like it came")
    return found


def changed(run: Run, actor: Actor, value: Any, item: Item) -> Changes:
    """The values that a pattern of the scenario needs to be what came."""

    def lookup(name: str) -> Any:
        return run.scope.lookup(name, actor.name)

    if not isinstance(value, Mapping):
        if item.is_frame:
            raise CannotBeAcceptedError("a text is a part of a frame: write the frame, as {...}")
        return [((), text_like(str(value), item.text.rstrip(), lookup))]
    key, inner = next(iter(value.items()))
    if len(value) == 1 and key == "re":
        raise CannotBeAcceptedError("a regular expression is changed by hand")
    if len(value) == 1 and key in run.profile.phrases:
        return _below(str(key), _spoken(run.profile.phrase(key, actor.role), inner, item, lookup))
    if len(value) == 1 and key == "exactly":
        if set(inner) != set(item.frame if isinstance(item.frame, Mapping) else ()):
            raise CannotBeAcceptedError("the frame has other fields")
        return _below("exactly", list(_fields(inner, item.frame, lookup)))
    return list(_fields(value, item.frame, lookup))


def _below(key: str, changes: Changes) -> Changes:
    return [((key, *path), new) for path, new in changes]


# Texts.


def text_like(written: str, seen: str, lookup: Lookup) -> str:
    """A text pattern that matches `seen`, with all of `written` that still fits."""
    parts, tokens = _tokens(written, lookup)
    first = parts[0] or ""
    same = same_start(first, seen)  # a single bracket is too little to be aligned
    filled = [first[:same], *pieces([first[same:], *parts[1:]], seen[same:])]
    tokens.insert(0, "")
    blocks = difflib.SequenceMatcher(
        None, "".join(filled), seen, autojunk=False
    ).get_matching_blocks()
    new, at, taken = "", 0, 0
    for token, text in zip(tokens, filled, strict=True):
        start, at = at, at + len(text)
        found = _stands(blocks, start, at) if token and text else None
        if found is not None and found >= taken:
            new += _literal(seen[taken:found]) + token
            taken = found + len(text)
    new += _literal(seen[taken:])
    fits = TextPattern(new, lookup).match(Item(seen, 0.0)) is not None
    return new if fits else _literal(seen)


def _tokens(written: str, lookup: Lookup) -> tuple[list[str | None], list[str]]:
    """A pattern cut into parts, and for each how it is written; nothing for literal text."""
    parts: list[str | None] = []
    tokens: list[str] = []
    end = 0
    for found in [*VARIABLE.finditer(written), None]:
        literal = written[end : found.start() if found else len(written)].split("...")
        for number, piece in enumerate(literal):
            parts += [GAP, piece] if number else [piece]
            tokens += ["...", ""] if number else [""]
        if found is None:
            break
        end = found.end()
        value = ["${"] if found["literal"] else _value(written, found, lookup)
        parts += value
        tokens.append("" if found["literal"] else found[0])
    return parts, tokens


def _value(written: str, found: re.Match[str], lookup: Lookup) -> list[str | None]:
    before = f"${{{found['name']}="
    if found["kind"] is not None or before in written[: found.start()]:
        return [GAP]
    return ["".join(part or "" for part in parts_of(found[0], lookup))]


def _stands(blocks: list[difflib.Match], start: int, end: int) -> int | None:
    """Where a stretch of the one text stands in the other, all of it in one piece."""
    return next((b.b + start - b.a for b in blocks if b.a <= start and end <= b.a + b.size), None)


def _literal(text: str) -> str:
    return text.replace("${", "$${")


# Frames.


def _fields(want: Any, have: Any, lookup: Lookup, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """The values in which a frame differs, and what they are to be."""
    if FramePattern({"": want}, lookup, exact=False).match(Item("", 0.0, {"": have})) is not None:
        return
    if isinstance(want, Mapping) and isinstance(have, Mapping):
        if missing := [str(key) for key in want if key not in have]:
            raise CannotBeAcceptedError(f"the frame has no field {missing[0]!r}")
        for key, value in want.items():
            yield from _fields(value, have[key], lookup, (*path, key))
    elif isinstance(want, list) and isinstance(have, list) and len(want) == len(have):
        for number, value in enumerate(want):
            yield from _fields(value, have[number], lookup, (*path, number))
    elif isinstance(want, str) and isinstance(have, str):
        yield path, text_like(want, have, lookup)
    elif isinstance(want, Mapping | list) or isinstance(have, Mapping | list):
        raise CannotBeAcceptedError("the frame has another shape")
    else:
        yield path, _literal(have) if isinstance(have, str) else have


# Phrases: the words are the profile's, the arguments the scenario's.


def _spoken(shape: Any, arguments: Mapping[str, Any] | None, item: Item, lookup: Lookup) -> Changes:
    found: dict[str, Any] = {}
    shape = shape.get("exactly", shape) if isinstance(shape, Mapping) else shape
    have = item.frame if isinstance(shape, Mapping) else item.text.rstrip()
    given = arguments or {}
    if not _solved(shape, have, given, lookup, found):
        raise CannotBeAcceptedError("the words are the profile's: change them there (phrases)")
    return [
        change
        for name, want in given.items()
        if name in found
        for change in _fields(want, found[name], lookup, (name,))
    ]


def _solved(
    shape: Any, have: Any, given: Mapping[str, Any], lookup: Lookup, found: dict[str, Any]
) -> bool:
    """Whether what came has the shape of a phrase; `found` is told its arguments."""
    if isinstance(shape, Mapping):
        return isinstance(have, Mapping) and all(
            key in have and _solved(value, have[key], given, lookup, found)
            for key, value in shape.items()
        )
    if not isinstance(shape, str):
        return bool(shape == have)
    whole = VARIABLE.fullmatch(shape)
    if whole and whole["name"] in given and whole["kind"] is None:
        return bool(found.setdefault(whole["name"], have) == have)
    if not isinstance(have, str):
        return False
    match = re.fullmatch(_expression(shape, given, lookup), have, re.DOTALL)
    if match is None:
        return False
    return all(found.setdefault(name, text) == text for name, text in match.groupdict().items())


def _expression(shape: str, given: Mapping[str, Any], lookup: Callable[[str], Any]) -> str:
    """A phrase as a regular expression whose groups are its arguments."""
    parts, end, seen = [], 0, set()
    for variable in VARIABLE.finditer(shape):
        name = variable["name"]
        parts.append(_gaps(shape[end : variable.start()]))
        end = variable.end()
        if name in seen:
            parts.append(f"(?P={name})")
        elif name in given:
            seen.add(name)
            parts.append(f"(?P<{name}>.*?)")
        else:
            value = "${" if variable["literal"] else str(lookup(name))
            parts.append(re.escape(value) if variable["kind"] is None else ".*?")
    return "".join([*parts, _gaps(shape[end:])])


def _gaps(text: str) -> str:
    return ".*?".join(map(re.escape, text.split("...")))
