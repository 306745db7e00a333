"""How bytes of a socket are cut into items, and items into bytes: one row per codec."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable
from typing import Any, Protocol

from msgspec import Struct

Piece = tuple[str, Any, bool]  # source, decoded frame, whether it is a frame
MOST = 1 << 20  # bytes of one item
DIGITS = re.compile(rb"0|[1-9][0-9]{0,8}")


class Codec(Protocol):
    """Bytes in, items out."""

    def feed(self, data: bytes) -> list[Piece]:
        """The items that `data` completes."""

    def rest(self) -> list[Piece]:
        """What is left, unfinished, when the connection has ended."""


class Lines:
    """Items end with LF or CRLF; with `json_lines` each is decoded."""

    def __init__(self, *, json_lines: bool) -> None:
        self._json, self._left = json_lines, b""

    def feed(self, data: bytes) -> list[Piece]:
        """Take what was written."""
        *lines, self._left = (self._left + data).split(b"\n")
        return [self._piece(line.removesuffix(b"\r")) for line in lines]

    def rest(self) -> list[Piece]:
        """What is left, unfinished, at the end."""
        left, self._left = self._left, b""
        return [self._piece(left)] if left else []

    def _piece(self, line: bytes) -> Piece:
        text = line.decode("utf-8", "replace")
        if not self._json:
            return text, None, False
        try:
            return text, json.loads(text), True
        except ValueError:
            return text, None, True


class Objects:
    """JSON values one after the other, with or without blanks between them."""

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._left = ""

    def feed(self, data: bytes) -> list[Piece]:
        """Take what was written."""
        self._left += self._decode(data)
        pieces: list[Piece] = []
        while self._left:
            self._left = self._left.lstrip()
            try:
                value, end = json.JSONDecoder().raw_decode(self._left)
            except ValueError:
                break
            pieces.append((self._left[:end], value, True))
            self._left = self._left[end:]
        return pieces

    def rest(self) -> list[Piece]:
        """What is left, unfinished, at the end."""
        left, self._left = self._left, ""
        return [(left, None, True)] if left else []


class Crlf:
    """Items end with CR and LF; either of them alone is a part of the item."""

    def __init__(self) -> None:
        self._left = bytearray()

    def feed(self, data: bytes) -> list[Piece]:
        """Take what was written."""
        self._left += data
        *lines, self._left = self._left.split(b"\r\n")
        pieces: list[Piece] = [(_text(line), None, False) for line in lines]
        while len(self._left) > MOST:
            pieces.append(_odd(f"{MOST} bytes and no end", self._left[:MOST]))
            del self._left[:MOST]
        return pieces

    def rest(self) -> list[Piece]:
        """What is left, unfinished, at the end."""
        left, self._left = self._left, bytearray()
        return [_odd("unfinished", left)] if left else []


class Counted:
    """Items that say first how long they are. `head` reads that: length and where the item begins.

    `head` gives none while the length is not complete; what is no length, or one beyond `MOST`,
    raises `ValueError`. From there on no border can be found any more, and whatever comes is an
    item that says so. An item that is a JSON object or list is a frame, another one a text.
    """

    def __init__(
        self, head: Callable[[bytearray], tuple[int, int] | None], tail: bytes = b""
    ) -> None:
        self._head, self._tail = head, tail
        self._left = bytearray()
        self._lost = ""  # why no border can be found

    def feed(self, data: bytes) -> list[Piece]:
        """Take what was written."""
        self._left += data
        pieces: list[Piece] = []
        try:
            while not self._lost and (item := self._item()) is not None:
                pieces.append(_told(item))
        except ValueError as error:
            self._lost = str(error)
        if self._lost and self._left:
            pieces.append(_odd(self._lost, self._left))
            self._left = bytearray()
        return pieces

    def _item(self) -> bytes | None:
        head = self._head(self._left)
        if head is None:
            return None
        length, start = head
        if length > MOST:
            raise ValueError(f"a length of {length}")
        end = start + length
        if len(self._left) < end + len(self._tail):
            return None
        if self._left[end : end + len(self._tail)] != self._tail:
            raise ValueError(f"no {self._tail.decode()!r} after {length} bytes")
        item = bytes(self._left[start:end])
        del self._left[: end + len(self._tail)]
        return item

    def rest(self) -> list[Piece]:
        """What is left, unfinished, at the end."""
        left, self._left = self._left, bytearray()
        return [_odd("unfinished", left)] if left else []


def _four_bytes(data: bytearray) -> tuple[int, int] | None:
    return (int.from_bytes(data[:4]), 4) if len(data) >= 4 else None


def _digits(data: bytearray) -> tuple[int, int] | None:
    """The length of a netstring, `12:`; no more than nine digits, no needless zeros."""
    digits, colon, _ = bytes(data[:10]).partition(b":")
    if not DIGITS.fullmatch(digits) and (digits or colon):
        raise ValueError("no length")
    if not colon:
        if len(digits) > 9:
            raise ValueError("no length")
        return None
    return int(digits), len(digits) + 1


def _text(data: bytes | bytearray) -> str:
    return data.decode("utf-8", "replace")


def _told(item: bytes) -> Piece:
    try:
        value = json.loads(item)
    except (ValueError, RecursionError):
        value = None
    is_frame = isinstance(value, dict | list)
    return _text(item), value if is_frame else None, is_frame


def _odd(why: str, data: bytes | bytearray) -> Piece:
    """What cannot be an item of this framing, so that it is seen."""
    return f"({why}) {_text(data)}", None, False


class Raw:
    """Whatever arrives, as it arrives."""

    def feed(self, data: bytes) -> list[Piece]:
        """Take what was written."""
        return [(data.decode("utf-8", "replace"), None, True)]

    def rest(self) -> list[Piece]:
        """What is left, unfinished, at the end."""
        return []


def _json_line(value: Any) -> bytes:
    return _json_bare(value) + b"\n"


def _json_bare(value: Any) -> bytes:
    return (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)).encode()


def _line(value: Any) -> bytes:
    return f"{value}\n".encode()


def _crlf(value: Any) -> bytes:
    return _json_bare(value) + b"\r\n"


def _len32(value: Any) -> bytes:
    item = _json_bare(value)
    return len(item).to_bytes(4) + item


def _netstring(value: Any) -> bytes:
    item = _json_bare(value)
    return b"%d:%s," % (len(item), item)


class Framing(Struct, frozen=True):
    """A way to frame: how it is read and written."""

    codec: Callable[[], Codec]
    encode: Callable[[Any], bytes]


FRAMINGS = {
    "json-lines": Framing(lambda: Lines(json_lines=True), _json_line),
    "json": Framing(Objects, _json_bare),
    "lines": Framing(lambda: Lines(json_lines=False), _line),
    "crlf": Framing(Crlf, _crlf),
    "len32": Framing(lambda: Counted(_four_bytes), _len32),
    "netstring": Framing(lambda: Counted(_digits, b","), _netstring),
    "bytes": Framing(Raw, _json_bare),
}
