"""Films of terminals: asciicast v2, one file per terminal.

A cast is a line of JSON for the header and one for each event, `[seconds, code, data]`: `o` came
out of the program, `i` was typed, `r` is a new size (`100x30`), `m` a step of the scenario. The
format is that of https://docs.asciinema.org/manual/asciicast/v2/; any player takes it.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from harness.errors import Place, Problem, ScenarioError
from harness.journal import Chunk

CODES = ("o", "i", "m", "r")
LARGEST = 64 << 20  # bytes of a cast that is read
SIZE = re.compile(r"([1-9]\d{0,3})x([1-9]\d{0,3})")
DEFAULT_SIZE = (80, 24)
FAINT, PLAIN = "\x1b[2m", "\x1b[22m"


class Cast(Struct):
    """A film: size at its start in columns and rows, and its events in the order of time."""

    title: str
    size: tuple[int, int]
    events: list[tuple[float, str, str]]


def film(
    title: str,
    chunks: Iterable[Chunk],
    marks: Iterable[tuple[float, str]],
    *,
    echo: bool,
    mask: Callable[[str], str] = str,
) -> Cast:
    """The film of one terminal; `marks` are its chapters.

    With `echo` what was typed is drawn faintly: the terminal's own echo was switched off.
    """
    decoders = {code: codecs.getincrementaldecoder("utf-8")("replace") for code in "io"}
    size: tuple[int, int] | None = None
    events = [(at, "m", text) for at, text in marks]
    for chunk in chunks:
        if chunk.kind == "r":
            told = _size(chunk.data.decode("ascii", "replace")) or DEFAULT_SIZE
            if size is not None:
                events.append((chunk.at, "r", "{}x{}".format(*told)))
            size = size or told
            continue
        text = mask(decoders[chunk.kind].decode(chunk.data))
        if text:
            events.append((chunk.at, chunk.kind, text))
            if echo and chunk.kind == "i":
                events.append((chunk.at, "o", _echoed(text)))
    events.sort(key=lambda event: event[0])  # stable: a chapter begins before its first byte
    return Cast(title, size or DEFAULT_SIZE, events)


def _echoed(text: str) -> str:
    """What a terminal would have shown: line ends, and control characters as `^C`."""
    shown = "".join(
        char if ord(char) >= 32 and char != "\x7f" else f"^{chr(ord(char) ^ 64)}"
        for char in re.split(r"[\r\n]", text)[0]
    )
    return f"{FAINT}{shown}{PLAIN}" + ("\r\n" if re.search(r"[\r\n]", text) else "")


def written(cast: Cast, limit: int) -> bytes:
    """The file; events that would make it longer than `limit` bytes are left out at its end."""
    header = {
        "version": 2, "width": cast.size[0], "height": cast.size[1], "title": cast.title,
        "env": {"TERM": "xterm-256color"},
    }  # fmt: skip
    lines = [_ascii(header)]
    left = limit - len(lines[0]) - 200  # room for the last word
    for at, code, data in cast.events:
        line = _ascii([round(at, 6), code, data])
        left -= len(line) + 1
        if left < 0:
            lines.append(_ascii([round(at, 6), "m", "the rest is left out"]))
            break
        lines.append(line)
    return b"\n".join(lines) + b"\n"


def _ascii(value: Any) -> bytes:
    """JSON without a character that could do anything to whoever looks at the file."""
    return json.dumps(value).encode("ascii")


def read(path: Path) -> Cast:
    """A cast from its file, strictly; raises `ScenarioError` with the line that is wrong."""
    try:
        if path.stat().st_size > LARGEST:
            raise _wrong(path, 1, f"longer than {LARGEST} bytes")
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise _wrong(path, 1, f"cannot be read: {error.strerror}") from error
    if lines[-1] == b"":
        lines.pop()
    header = _json(path, 1, lines[0] if lines else b"")
    if not isinstance(header, dict) or header.get("version") != 2:
        raise _wrong(path, 1, "the first line is not the header of an asciicast of version 2")
    size = tuple(header.get(key) for key in ("width", "height"))
    if _size("{}x{}".format(*size)) != size:
        raise _wrong(path, 1, "`width` and `height` have to be whole numbers from 1 to 9999")
    events = list(_events(path, lines[1:]))
    return Cast(str(header.get("title", "")), size, events)


def _events(path: Path, lines: Sequence[bytes]) -> Iterator[tuple[float, str, str]]:
    before = 0.0
    for number, line in enumerate(lines, 2):
        event = _json(path, number, line)
        if not _is_event(event):
            raise _wrong(path, number, "not an event: [seconds, code, text]")
        at, code, data = event
        if at < before:
            raise _wrong(path, number, f"{at} comes after {before}: time runs backwards")
        if code == "r" and not _size(data):
            raise _wrong(path, number, f"not a size: {data!r}")
        before = at
        yield float(at), code, data


def _is_event(event: Any) -> bool:
    return (
        isinstance(event, list)
        and len(event) == 3
        and type(event[0]) in (int, float)
        and event[0] >= 0
        and event[1] in CODES
        and isinstance(event[2], str)
    )


def _size(text: str) -> tuple[int, int] | None:
    match = SIZE.fullmatch(text)
    return (int(match[1]), int(match[2])) if match else None


def size_of(text: str) -> tuple[int, int]:
    """Columns and rows of the data of an `r` event."""
    return _size(text) or DEFAULT_SIZE


def _json(path: Path, number: int, line: bytes) -> Any:
    try:
        return msgspec.json.decode(line)
    except msgspec.DecodeError as error:
        raise _wrong(path, number, f"not JSON: {error}") from error


def _wrong(path: Path, line: int, text: str) -> ScenarioError:
    return ScenarioError([Problem(Place(str(path), line), text)])
