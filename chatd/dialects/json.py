"""JSON objects, as plain (S3) and as extended sessions speak them.

One `JsonDialect` belongs to one connection. The encoders have no state: what they give depends on
the message and on the kind of session alone, so that a message for many is encoded once per kind.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec

from chatd.wire.errors import FAULTS, ErrorCode, PeerError
from chatd.wire.framing import Framer
from chatd.wire.messages import (
    MAX_ID,
    MAX_OBJECT,
    SERVER,
    Ack,
    Bye,
    Error,
    FromClient,
    Incoming,
    IncomingBroadcast,
    IncomingGroup,
    Message,
    Notice,
    Users,
    Welcome,
    by_code,
    encode,
)
from chatd.wire.text import harmless

CODES = by_code(FromClient)
TOLD_TO_PLAIN = ("shutdown", "kicked", "error")  # reasons of a `bye` that S3 has no code for
_decoder = msgspec.json.Decoder(FromClient)


def extended(message: Message) -> bytes:
    """The whole message, as one line."""
    return encode(message) + b"\n"


def plain(message: Message) -> bytes:
    """What a plain session sees of it, in S3's codes and with S3's fields; nothing for the rest."""
    shown = PLAIN.get(type(message))
    reduced = shown(message) if shown else None
    return extended(reduced) if reduced is not None else b""


def _bye(message: Bye) -> Message | None:
    return Incoming(SERVER, message.text) if message.reason in TOLD_TO_PLAIN else None


def _ack(message: Ack) -> Message | None:
    """That it is stored is not told; that the receiver is away is, in S1's words first (C12)."""
    if message.state == "stored" or not message.absent:
        return None
    away = FAULTS[ErrorCode.NO_SUCH_USER].text.format(name=message.absent[0])
    seen = f" Last seen {message.last_seen}." if message.last_seen else ""
    return Incoming(SERVER, f"{away}{seen} The message is stored.")


PLAIN: dict[type[Message], Callable[[Any], Message | None]] = {
    Ack: _ack,
    IncomingGroup: lambda m: Incoming(m.sender, f"[{m.group}] {m.content}"),
    Welcome: lambda _: Welcome(),
    Users: lambda m: Users(m.users),
    Incoming: lambda m: Incoming(m.sender, m.content),
    IncomingBroadcast: lambda m: IncomingBroadcast(m.sender, m.content),
    Error: lambda m: Incoming(SERVER, m.text),
    Notice: lambda m: Incoming(SERVER, m.text),
    Bye: _bye,
}


class JsonDialect:
    """Bytes of one connection to messages, and messages to bytes for it."""

    __slots__ = ("_framer", "_garbage", "_in_lines", "_limit", "encode")

    def __init__(self, limit: int = MAX_OBJECT, garbage: int = 0) -> None:
        """`limit`: the bytes of one object; `garbage`: as of a `Framer`."""
        self.encode = extended  # before `hello` errors are errors
        self._framer: Framer | None = None  # as soon as something comes that is not whole lines
        self._in_lines = False  # something came before that was
        self._limit = limit
        self._garbage = garbage

    @property
    def bare(self) -> bool:
        """Whether the peer ends its objects with nothing, and so may not look for ends either."""
        return self._framer is not None and self._framer.bare

    @property
    def unfinished(self) -> bool:
        """Whether the last object has not ended yet."""
        return self._framer is not None and self._framer.unfinished

    def opened(self, *, is_plain: bool) -> None:
        """The session is open, and of this kind."""
        self.encode = plain if is_plain else extended

    def receive(self, data: bytes) -> list[Message | PeerError]:
        """Bytes in, messages out; never raises for what a peer sent."""
        if data.endswith(b"\n") and not self.unfinished:
            messages = decode_lines(data, self._limit)
            if messages:
                self._in_lines, self._framer = True, None
                return messages
        if self._framer is None:
            self._framer = Framer(self._limit, in_lines=self._in_lines, garbage=self._garbage)
        return [
            item if isinstance(item, PeerError) else decode(item)
            for item in self._framer.feed(data)
        ]

    def give_up(self) -> list[Message | PeerError]:
        """The time for an unfinished object is over."""
        return list(self._framer.give_up()) if self._framer else []


def decode_lines(data: bytes, limit: int = MAX_OBJECT) -> list[Message | PeerError]:
    """The usual case in one step: lines, each a good message; nothing where one is not.

    What is in doubt goes the other way, from frame to frame.
    """
    if len(data) > limit:
        return []
    try:
        messages: list[Message | PeerError] = _decoder.decode_lines(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []
    if not data.isascii() or b"\\u" in data:  # only then can an id have more bytes than characters
        return messages if all(map(_good_id, messages)) else []
    return messages


def _good_id(message: object) -> bool:
    key = getattr(message, "id", None)
    return key is None or len(key.encode()) <= MAX_ID


def decode(frame: bytes) -> Message | PeerError:
    """One object as the message it is, or what is wrong with it."""
    try:
        message: Message = _decoder.decode(frame)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return explain(frame, error)
    if not _good_id(message):
        return PeerError(ErrorCode.BAD_FIELD, why=f"id has more than {MAX_ID} bytes")
    return message


def explain(frame: bytes, error: Exception) -> PeerError:
    """Why a frame is no message: the slow way, for those who have to mend it."""
    try:
        found = json.loads(frame, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return PeerError(ErrorCode.NOT_JSON, why="it does not parse")
    if not isinstance(found, dict):
        return PeerError(ErrorCode.NOT_JSON, why="it is another kind of value")
    wrong = _explain_object(found, error)
    key = found.get("id")
    if isinstance(key, str) and len(key) <= MAX_ID and _whole(key):
        wrong.details["re"] = key
    return wrong


def _whole(text: str) -> bool:
    """Whether it can be sent back: no lone surrogate is in it, and it is no longer than an id."""
    try:
        return len(text.encode()) <= MAX_ID
    except UnicodeEncodeError:
        return False


def _explain_object(found: dict[str, Any], error: Exception) -> PeerError:
    if "code" not in found:
        return PeerError(ErrorCode.MISSING_FIELD, field="code")
    code = found["code"]
    if not isinstance(code, str):
        return PeerError(ErrorCode.BAD_FIELD, why="code is not a string")
    if code not in CODES:
        return PeerError(ErrorCode.UNKNOWN_CODE, code=harmless(code[:64]))
    for field in msgspec.structs.fields(CODES[code]):
        if field.required and field.encode_name not in found:
            return PeerError(ErrorCode.MISSING_FIELD, field=field.encode_name)
    why = str(error) if isinstance(error, msgspec.ValidationError) else "a lone surrogate"
    return PeerError(ErrorCode.BAD_FIELD, why=why)


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no number of JSON (RFC 8259, section 6)")
