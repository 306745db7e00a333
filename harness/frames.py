"""How bytes of a socket are cut into items, and items into bytes: one row per codec."""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable
from typing import Any, Protocol

from msgspec import Struct

Piece = tuple[str, Any, bool]  # source, decoded frame, whether it is a frame


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


class Framing(Struct, frozen=True):
    """A way to frame: how it is read and written."""

    codec: Callable[[], Codec]
    encode: Callable[[Any], bytes]


FRAMINGS = {
    "json-lines": Framing(lambda: Lines(json_lines=True), _json_line),
    "json": Framing(Objects, _json_bare),
    "lines": Framing(lambda: Lines(json_lines=False), _line),
    "bytes": Framing(Raw, _json_bare),
}
