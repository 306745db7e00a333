"""What may stand behind a clause: one row per kind of value, and what is allowed, in words."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from msgspec import Struct

DURATION = re.compile(r"(\d+(?:\.\d+)?) ?(ms|s|min)?")
UNITS = {"ms": 0.001, "s": 1.0, "min": 60.0}
SIZE = re.compile(r"(\d{1,4})x(\d{1,4})")
COMPARISON = re.compile(r"\A(.*?)\s*(==|!=|<=|>=|<|>)\s*(.*)\Z", re.DOTALL)
SIGNALS = sorted(s.name.removeprefix("SIG") for s in signal.Signals)
RATE = re.compile(r"(\d+(?:\.\d+)?) ?(k|K|M|Ki|Mi)?(B|bit)/s")
THOUSANDS = {None: 1, "k": 1000, "K": 1000, "M": 1000**2, "Ki": 1024, "Mi": 1024**2}
MOST = 1 << 30  # bytes, of anything that is counted
LINK_STATES = ("cut", "reset", "frozen", "restored")
DISK_STATES = ("full", "restored")
KEYS = {
    "up": b"\x1b[A", "down": b"\x1b[B", "right": b"\x1b[C", "left": b"\x1b[D",
    "home": b"\x1b[H", "end": b"\x1b[F", "delete": b"\x1b[3~", "insert": b"\x1b[2~",
    "page-up": b"\x1b[5~", "page-down": b"\x1b[6~",
    "enter": b"\r", "tab": b"\t", "esc": b"\x1b", "backspace": b"\x7f", "space": b" ",
    "ctrl-\\": b"\x1c",
    **{f"ctrl-{chr(code + 96)}": bytes([code]) for code in range(1, 27)},
}  # fmt: skip


class ValueKind(Struct, frozen=True):
    """A kind of value: a test on the plain value, and what is allowed, in words."""

    fits: Callable[[Any], bool]
    allowed: str


def texts(value: Any) -> Iterator[str]:
    """Every text in a value from a file, however deep; keys are none."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)


def seconds(value: Any) -> float | None:
    """A duration as seconds: `200ms`, `5s`, `2min`, or a number of seconds."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) if value > 0 else None
    match = DURATION.fullmatch(value) if isinstance(value, str) else None
    return float(match[1]) * UNITS[match[2] or "s"] if match else None


def rate(value: Any) -> float | None:
    """Bytes per second: `8kB/s`, `1MiB/s`, `64kbit/s`; none if it is no rate, or nothing passes."""
    match = RATE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return None
    return float(match[1]) * THOUSANDS[match[2]] / (8 if match[3] == "bit" else 1) or None


def size(value: Any) -> tuple[int, int] | None:
    """Columns and lines of `100x30`; none if it is no size of a terminal."""
    match = SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None or not (int(match[1]) >= 2 and int(match[2]) >= 1):
        return None
    return int(match[1]), int(match[2])


def as_list(value: Any) -> list[Any]:
    """A list as it is; anything else as a list of one."""
    return value if isinstance(value, list) else [value]


def _scalar(value: Any) -> bool:
    return isinstance(value, str | int | float)


def _line(value: Any) -> bool:
    lines = as_list(value)
    return bool(lines) and all(_scalar(line) and "\n" not in str(line) for line in lines)


def _keys(value: Any) -> bool:
    return bool(as_list(value)) and all(map(_scalar, as_list(value)))


def _piece(value: Any) -> bool:
    if isinstance(value, dict) and set(value) == {"every", "bytes"}:
        return (seconds(value["every"]) or 0) > 0 and _chunk(value["bytes"])
    return _chunk(value)


def _chunk(value: Any) -> bool:
    if not isinstance(value, dict):
        return _scalar(value)
    if set(value) == {"hex"}:
        return _is_hex(str(value["hex"]))
    return set(value) == {"repeat", "times"} and _count(value["times"], least=0)


def _is_hex(text: str) -> bool:
    try:
        return bytes.fromhex(text) is not None
    except ValueError:
        return False


def _count(value: Any, *, least: int = 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= MOST


def _link(value: Any) -> bool:
    if not isinstance(value, dict):
        return value in LINK_STATES
    fits = {"latency": seconds, "jitter": seconds, "bandwidth": rate, "slice": _count}
    return bool(value) and all(
        key in fits and fits[key](inner) not in (None, False) for key, inner in value.items()
    )


def _pattern(value: Any) -> bool:
    return _scalar(value) or (isinstance(value, dict) and bool(value))


VALUES = {
    "line": ValueKind(_line, "a line of text (or a list of lines), without line breaks"),
    "text": ValueKind(_scalar, "a text"),
    "keys": ValueKind(_keys, f"keys such as [up, ctrl-c]; known: {', '.join(KEYS)}"),
    "size": ValueKind(lambda value: size(value) is not None, "a size such as 100x30"),
    "frame": ValueKind(
        lambda value: bool(as_list(value))
        and all(isinstance(frame, dict | str) for frame in as_list(value)),
        "a frame such as {code: who}, or a list of frames",
    ),
    "pieces": ValueKind(
        lambda value: bool(as_list(value)) and all(map(_piece, as_list(value))),
        "text, {hex: 'ff 00'}, {repeat: x, times: 100}, or a list of them (one write each);"
        " {every: 1s, bytes: one of these}: a byte at a time",
    ),
    "signal": ValueKind(
        lambda value: value is None or isinstance(value, str),
        f"a signal or nothing; known: {', '.join(SIGNALS)}",
    ),
    "link": ValueKind(
        _link,
        f"{', '.join(LINK_STATES)}, or some of"
        " {latency: 80ms, jitter: 20ms, bandwidth: 8kB/s, slice: 1}",
    ),
    "disk": ValueKind(lambda value: value in DISK_STATES, " or ".join(DISK_STATES)),
    "patterns": ValueKind(
        lambda value: bool(as_list(value)) and all(map(_pattern, as_list(value))),
        "a pattern (text, {re: ...}, a frame, a phrase) or a list of patterns",
    ),
    "screen": ValueKind(
        lambda value: bool(as_list(value)) and all(map(_pattern, as_list(value))),
        "a pattern (text, {re: ...}, a phrase), {text: .., style: bold red}, {snapshot: FILE}, or"
        " a list of them",
    ),
    "maybe-patterns": ValueKind(
        lambda value: value is None or all(map(_pattern, as_list(value))),
        "nothing, a pattern or a list of patterns",
    ),
    "list": ValueKind(
        lambda value: isinstance(value, list) and bool(value) and all(map(_pattern, value)),
        "a list of patterns",
    ),
    "nothing": ValueKind(lambda value: value is None, "nothing (end the line after the colon)"),
    "code": ValueKind(
        lambda value: value is None or (isinstance(value, int) and not isinstance(value, bool)),
        "an exit code, or nothing for any",
    ),
    "how": ValueKind(
        lambda value: value in (None, "fin", "reset"), "fin, reset, or nothing for either"
    ),
    "act": ValueKind(
        lambda value: isinstance(value, str) or (isinstance(value, dict) and len(value) == 1),
        "an act of the profile: name, or {name: {argument: value}}",
    ),
}  # fmt: skip

# Kinds that are judged when their names are filled in; in the others a name is as good as a text.
FILLED = ("keys", "size", "frame", "pieces", "signal", "link", "disk", "code", "how")
WORDS = {"signal": SIGNALS, "keys": [*KEYS]}


def unfit(kind: str, value: Any) -> str:
    """What is allowed, if a value whose names are filled in is not of its kind; else empty."""
    words = WORDS.get(kind)
    known = words is None or value is None or all(str(word) in words for word in as_list(value))
    return "" if known and VALUES[kind].fits(value) else f"allowed: {VALUES[kind].allowed}"
