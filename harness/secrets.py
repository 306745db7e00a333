"""What nobody is shown: the values of `secrets` are masked in everything that is told or kept.

A value is remembered as soon as it is known: those of the file when it is read, captured ones when
they are captured. The memory is the process's: whatever writes evidence asks `mask`, whichever run
the text came from.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from msgspec import Struct, structs

STARS = "***"
SHORTEST = 3  # signs of a value that is masked: of anything shorter reports are full
T = TypeVar("T")

_known: set[str] = set()


def remember(value: Any) -> None:
    """Keep a value, or all that are in it, out of everything that is written from now on."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            remember(inner)
    elif value is not None and not isinstance(value, bool) and len(str(value)) >= SHORTEST:
        text = str(value)
        escaped = {json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}
        _known.update({text, *escaped})


def forget() -> None:
    """Forget all values: for a process that goes on to something else."""
    _known.clear()


def mask(text: str) -> str:
    """The text with stars where a secret stood."""
    return _pattern().sub(STARS, text) if _known else text


def masked(thing: T) -> T:
    """A copy of a struct, list or mapping with all its texts masked; as it is, if none is known."""
    return _copy(thing) if _known else thing


def _copy(thing: Any) -> Any:
    if isinstance(thing, str):
        return mask(thing)
    if isinstance(thing, Struct):
        return structs.replace(
            thing, **{name: _copy(getattr(thing, name)) for name in thing.__struct_fields__}
        )
    if isinstance(thing, Mapping):
        return {_copy(key): _copy(value) for key, value in thing.items()}
    if isinstance(thing, list | tuple):
        return type(thing)(map(_copy, thing))
    return thing


def masked_pieces(pieces: Iterable[bytes]) -> list[bytes]:
    """Pieces of one stream, as long as before; a secret is masked across their borders as well."""
    found = list(pieces)
    if not _known:
        return found
    pattern = re.compile(_pattern().pattern.encode())
    whole = pattern.sub(lambda hit: b"*" * len(hit[0]), b"".join(found))
    at, result = 0, []
    for piece in found:
        result.append(whole[at : at + len(piece)])
        at += len(piece)
    return result


def _pattern() -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, sorted(_known, key=len, reverse=True))))
