"""Bytes to JSON objects, however a peer cuts or ends them; bounded, and total.

Objects may end with LF, CRLF or nothing, share a segment, be split anywhere or stand over many
lines. What is no object is reported once, and the next object is found again: behind a line end, or
where an opening brace is followed by a key. The scanner follows only strings and brackets; whether
an object is good JSON is the decoder's business.
"""

from __future__ import annotations

import re

from chatd.wire.errors import ErrorCode, PeerError
from chatd.wire.messages import MAX_OBJECT

MAX_DEPTH = 32  # nested brackets; nothing in the protocol needs more than three

# The usual object in one step: no brackets inside it but those in strings. Possessive, so that an
# unfinished one costs one pass and no backtracking.
_FLAT = re.compile(rb'\{(?:[^"{}\[\]]++|"(?:[^"\\\x00-\x1f]++|\\[^\x00-\x1f])*+")*+\}')
_SPACE = re.compile(rb"[ \t\r\n]*")
_STRUCTURE = re.compile(rb'["{}\[\]]')
_IN_STRING = re.compile(rb'["\\\x00-\x1f]')
_LINE_END = re.compile(rb"[ \t]*\r?\n")
# Behind garbage; so much space and no more is kept for what may become an object.
_NEXT_OBJECT = re.compile(rb'\n|\{[ \t\r\n]{0,256}"')
_MAYBE_OBJECT = re.compile(rb"\{[ \t\r\n]{0,256}\Z")
_MAYBE = 257  # bytes at most: it is looked for nowhere else, or much garbage would cost its square
_CLOSES = {ord("{"): ord("}"), ord("["): ord("]")}


class BrokenError(Exception):
    """What is being read cannot become an object any more; `args[0]` is the place."""


class Framer:
    """Feed it bytes; it gives the objects among them, and an error for what is none."""

    __slots__ = (
        "_at",
        "_begun",
        "_closers",
        "_data",
        "_garbage",
        "_in_string",
        "_most",
        "_reported",
        "_skipping",
        "bare",
        "limit",
    )

    def __init__(
        self, limit: int = MAX_OBJECT, *, in_lines: bool = False, garbage: int = 0
    ) -> None:
        """`in_lines`: objects came before, each with a line end.

        Behind `garbage` stretches of it in a row (0: no such bound) the rest of a feed is dropped:
        a peer that sends so much is let go, and nobody should pay for reading more of it.
        """
        self.limit = limit
        self._most = garbage
        self._garbage = 0  # stretches in a row in this feed
        self.bare = False  # the peer ends its objects with nothing, as far as the first one tells
        self._begun = in_lines  # the first object is out
        self._data = bytearray()
        self._at = 0  # everything before it is scanned
        self._closers = bytearray()  # of the brackets that are open
        self._in_string = False
        self._skipping = False  # looking for the next object
        self._reported = False  # what is skipped, or too long, has had its error

    @property
    def unfinished(self) -> bool:
        """Whether something has begun that has not ended."""
        return bool(self._data) or self._skipping

    def feed(self, data: bytes) -> list[bytes | PeerError]:
        """The objects that `data` completes, and one error for each stretch that is none."""
        self._data += data
        found: list[bytes | PeerError] = []
        self._garbage = 0
        while self._data and self._step(found):
            if self._most and self._garbage >= self._most:
                self._reset(len(self._data))
        return found

    def give_up(self) -> list[PeerError]:
        """Time is over for what is unfinished: forget it."""
        late = self.unfinished and not self._reported
        self._reset(len(self._data))
        return [PeerError(ErrorCode.NOT_JSON, why="it was never finished")] if late else []

    def _step(self, found: list[bytes | PeerError]) -> bool:
        """Take one object or one stretch of garbage; False where more bytes are needed."""
        if self._skipping:
            return self._skip(found)
        if not self._closers:
            return self._begin(found)
        try:
            end = self._scan()
        except BrokenError as broken:
            self._at = broken.args[0]
            self._skipping = True
            return True
        if end < 0:
            return self._bounded(found)
        self._emit(end, found)
        return True

    def _begin(self, found: list[bytes | PeerError]) -> bool:
        line_end = _LINE_END.match(self._data)
        if line_end:
            self.bare = False
        del self._data[: _match_end(_SPACE, self._data)]
        if not self._data:
            return False
        whole = _FLAT.match(self._data)
        if whole and whole.end() <= self.limit:
            self._emit(whole.end(), found)
            return True
        closer = _CLOSES.get(self._data[0])
        if closer is None:
            self._skipping = True
            return True
        self._closers.append(closer)
        self._at = 1
        return True

    def _emit(self, end: int, found: list[bytes | PeerError]) -> None:
        if end > self.limit or self._reported:
            self._report(found, end)
        else:
            found.append(bytes(self._data[:end]))
            self._garbage = 0
        self._reset(end)
        if not self._begun:
            self.bare = _LINE_END.match(self._data) is None
            self._begun = True

    def _scan(self) -> int:
        """Where the open object ends, or -1; raises `BrokenError` where it can no more."""
        while self._at < len(self._data):
            if not (self._scan_string() if self._in_string else self._scan_structure()):
                break
            if not self._closers:
                return self._at
        return -1

    def _scan_string(self) -> bool:
        special = _IN_STRING.search(self._data, self._at)
        if special is None:
            self._at = len(self._data)
            return False
        byte = self._data[special.start()]
        if byte == ord("\\"):
            if special.end() == len(self._data):
                self._at = special.start()
                return False
            self._at = special.end() + (self._data[special.end()] >= 0x20)
        elif byte == ord('"'):
            self._in_string = False
            self._at = special.end()
        else:
            raise BrokenError(special.start())
        return True

    def _scan_structure(self) -> bool:
        token = _STRUCTURE.search(self._data, self._at)
        if token is None:
            self._at = len(self._data)
            return False
        byte, place = self._data[token.start()], token.start()
        if byte == ord('"'):
            self._in_string = True
        elif byte in _CLOSES:
            if len(self._closers) >= MAX_DEPTH or not self._value_may_begin(place):
                raise BrokenError(place)
            self._closers.append(_CLOSES[byte])
        elif self._closers.pop() != byte:
            raise BrokenError(place + 1)
        self._at = token.end()
        return True

    def _value_may_begin(self, place: int) -> bool:
        """Whether a bracket may open here: else an object was cut off and the next one begins."""
        before = place - 1
        while before >= 0 and self._data[before] in b" \t\r\n":
            before -= 1
        return before < 0 or self._data[before] in b"[:,"

    def _bounded(self, found: list[bytes | PeerError]) -> bool:
        """What grows past the limit is read to its end, but no more kept. False: more is needed."""
        if len(self._data) > self.limit:
            self._report(found)
        if self._reported:
            del self._data[: self._at - 1]
            self._at = 1
        return False

    def _skip(self, found: list[bytes | PeerError]) -> bool:
        """Drop what is no object, up to a line end or the beginning of the next."""
        resume = _NEXT_OBJECT.search(self._data, self._at)
        maybe = _MAYBE_OBJECT.search(self._data, max(self._at, len(self._data) - _MAYBE))
        if resume and (maybe is None or resume.start() < maybe.start()):
            end = resume.end() if resume[0] == b"\n" else resume.start()
            self._report(found, end)
            self._reset(end)
            return True
        keep = len(self._data) - (maybe.start() if maybe else len(self._data))
        if len(self._data) - keep > self.limit:
            self._report(found)
        if self._reported:
            del self._data[: len(self._data) - keep]
        self._at = len(self._data) - keep
        return False

    def _report(self, found: list[bytes | PeerError], size: int | None = None) -> None:
        if not self._reported:
            self._reported = True
            long = (len(self._data) if size is None else size) > self.limit
            self._garbage = 0 if long else self._garbage + 1
            found.append(
                PeerError(ErrorCode.TOO_LONG, limit=self.limit)
                if long
                else PeerError(ErrorCode.NOT_JSON, why="it does not parse")
            )

    def _reset(self, end: int) -> None:
        del self._data[:end]
        self._at = 0
        self._closers.clear()
        self._in_string = self._skipping = self._reported = False


def _match_end(pattern: re.Pattern[bytes], data: bytearray) -> int:
    found = pattern.match(data)
    return found.end() if found else 0
