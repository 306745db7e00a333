"""How like two texts are, and where they differ: nearest misses for people.

An expected text is a list of parts: literal text, or `GAP` for what may be anything. Differences
are marked word by word, as `git diff --word-diff` does: `[-expected-]{+seen+}`.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

GAP = None
MISSING: Final = object()
Parts = Sequence[str | None]

LOOK = 300  # characters of a line that are compared when the likest of many is looked for
CLOSE = 2_000  # characters of the differing middle of two lines that are compared exactly
AROUND = 30  # characters of equal text that are shown on either side of a difference
SHOWN = 160  # characters of one expected or seen line, or of one difference, that are shown
BESIDES = 0.2  # likeness lost where a line is nothing but what fills the gaps
ENOUGH = 0.45  # what is less like than this is something else
WORD = re.compile(r"\s+|\w+|[^\w\s]")


def likeness(expected: Parts, seen: str) -> float:
    """How much `seen` looks like what was expected: 0 (nothing in common) to 1."""
    literal = "".join(part for part in expected if part)[:LOOK].casefold()
    seen = seen[:LOOK].casefold()
    if not literal or not seen:
        return float(not literal and (GAP in expected or not seen))
    blocks = _matcher(literal, seen).get_matching_blocks()
    if GAP not in expected:
        return 2 * sum(block.size for block in blocks) / (len(literal) + len(seen))
    telling = sum(block.size for block in blocks if block.size > 2 or block.size == len(literal))
    return telling / len(literal) - BESIDES * (1 - telling / len(seen))


def words(expected: Parts, seen: str) -> str:
    """`seen`, with every word marked that is not as expected; equal stretches are shortened."""
    wanted, seen = _filled(expected, seen), seen.rstrip() or seen
    start = same_start(wanted, seen)
    while start and _is_word(seen[start - 1]):  # a word is marked as a whole
        start -= 1
    left = WORD.findall(wanted[start : start + CLOSE])
    right = WORD.findall(seen[start : start + CLOSE])
    marked = [_equal(seen[:start], last=not left and not right, first=True)]
    codes = _matcher(left, right).get_opcodes()
    for kind, a, b, c, d in codes:
        old, new = "".join(left[a:b]), "".join(right[c:d])
        marked.append(_equal(new, last=b == len(left)) if kind == "equal" else _changed(old, new))
    return "".join(marked)


def short(text: str, like: str = "", most: int = SHOWN) -> str:
    """`text`, if it is long only its surroundings of the first difference to `like`."""
    if len(text) <= most:
        return text
    at = same_start(text, like)
    start = min(max(0, at - most // 3), len(text) - most)
    head = "…" if start else ""
    tail = "…" if start + most < len(text) else ""
    return f"{head}{text[start : start + most]}{tail}"


def fields(
    expected: Any, seen: Any, same: Callable[[Any, Any], bool], path: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """Where a frame differs, field by field: path, what was expected, what was seen.

    `same(expected, seen)` judges a leaf; what is not there is `MISSING`. Fields that were not
    expected are no difference.
    """
    if isinstance(expected, Mapping) and isinstance(seen, Mapping):
        for key, value in expected.items():
            inner = f"{path}.{key}" if path else str(key)
            if key in seen:
                yield from fields(value, seen[key], same, inner)
            else:
                yield inner, value, MISSING
    elif not same(expected, seen):
        yield path, expected, seen


def same_start(left: str, right: str) -> int:
    """How many characters are the same from the start."""
    pairs = enumerate(zip(left, right, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(left), len(right)))


def _matcher(left: Sequence[Any], right: Sequence[Any]) -> difflib.SequenceMatcher[Any]:
    return difflib.SequenceMatcher(None, left, right, autojunk=False)


def _is_word(char: str) -> bool:
    return char == "_" or char.isalnum()


def _filled(expected: Parts, seen: str) -> str:
    return "".join(pieces(expected, seen))


def pieces(expected: Parts, seen: str) -> list[str]:
    """What was expected, part by part, the gaps filled with what stands there in `seen`."""
    if GAP not in expected:
        return [part or "" for part in expected]
    literal = "".join(part for part in expected if part)
    blocks = _matcher(literal[:CLOSE], seen[:CLOSE]).get_matching_blocks()[:-1]
    blocks = [block for block in blocks if block.size > 1] or blocks
    filled: list[str] = []
    at = taken = 0  # characters of `literal` and of `seen` that are used up
    for part in expected:
        if part is not GAP:
            filled.append(part)
            at += len(part)
            continue
        before = [block.b + min(block.size, at - block.a) for block in blocks if block.a < at]
        after = [block.b + max(0, at - block.a) for block in blocks if block.a + block.size > at]
        start = max(taken, *before, 0)
        taken = max(start, min(after, default=len(seen)))
        filled.append(seen[start:taken])
    return filled


def _equal(text: str, *, first: bool = False, last: bool = False) -> str:
    """Equal text, only as much of it as stands beside a difference."""
    if len(text) <= 2 * AROUND + 1:
        return text
    head = "" if first else text[:AROUND]
    tail = "" if last else text[-AROUND:]
    return f"{head}…{tail}"


def _changed(old: str, new: str) -> str:
    if _looks_the_same(old, new):
        old, new = ascii(old)[1:-1], ascii(new)[1:-1]
    return (f"[-{short(old)}-]" if old else "") + (f"{{+{short(new)}+}}" if new else "")


def _looks_the_same(old: str, new: str) -> bool:
    """Whether a person could not tell two different texts apart: look-alikes are spelled out."""
    if not old or not new:
        return False
    alike = unicodedata.normalize("NFKC", old) == unicodedata.normalize("NFKC", new)
    return alike or (len(old) == len(new) and old.isascii() != new.isascii())
