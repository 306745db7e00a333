"""Events as JSON objects, for programs; `docs/shell.md`, "For programs", explains every field.

An object is one line of printable ASCII: whatever somebody has sent, nothing of it reaches a
terminal or a program as anything but an escape of JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from chatd.wire.messages import (
    Ack,
    Bye,
    Error,
    GroupEvent,
    GroupInfo,
    Incoming,
    IncomingBroadcast,
    IncomingGroup,
    Items,
    Notice,
    Ok,
    Outgoing,
    OutgoingBroadcast,
    OutgoingGroup,
    Ping,
    Pong,
    Receipt,
    Seen,
    Users,
)
from chatsh.client import Answered, Event, Opened, Request
from chatsh.grammar import EVERYONE
from chatsh.link import GaveUp, Lost, Told

Object = dict[str, Any]

# The type of the object, and its fields: `time=ts` is what the event calls `ts`.
_ROWS: dict[type, str] = {
    Incoming: "message from=sender to text=content seq time=ts late",
    IncomingBroadcast: "message from=sender text=content seq time=ts late",
    IncomingGroup: "message from=sender group text=content seq time=ts late",
    GroupEvent: "group_event kind group by names to seq time=ts late",
    Receipt: "receipt by group delivered read",
    Notice: "notice kind text name new time=ts",
    Error: "error error name text",
    Opened: "link name extended motd gap",
    Bye: "link reason text",
    Lost: "link",
    Ack: "ack state seq time=ts absent last_seen",
    type(None): "ack",
    Users: "users users",
    Seen: "seen name online last_seen",
    GroupInfo: "groups groups failed",
    Items: "history items more",
    Ok: "done",
    Pong: "pong",
}
_STATES: dict[type, str] = {Opened: "open", Bye: "closed", Lost: "lost", type(None): "sent"}


def fields() -> dict[str, set[str]]:
    """The names of the fields that an event can give, by the type of the object."""
    told: dict[str, set[str]] = {}
    for row in _ROWS.values():
        word, *names = row.split()
        told.setdefault(word, set()).update(name.partition("=")[0] for name in names)
    return told


def encode(told: Mapping[str, Any]) -> str:
    """One line; fields that are None are left out."""
    given = {field: value for field, value in told.items() if value is not None}
    line = json.dumps(given, default=_nested)
    return line.replace("\x7f", "\\u007f")  # the one control character that JSON lets through


def _nested(inner: Any) -> Any:
    """A row of a group as it is on the wire; an item of a history like one that comes."""
    return _told(inner) if type(inner) in _ROWS else msgspec.to_builtins(inner)


def of(event: Event | Lost | GaveUp | Told, me: str | None) -> Object | None:
    """The object of an event; None for one that tells a program nothing."""
    if isinstance(event, Answered):
        return {**_told(event.reply), **_asked(event.request, event.reply), "id": event.id}
    if type(event) not in _ROWS:
        return None
    told = _told(event)
    if isinstance(event, Incoming) and event.to is None:
        told["to"] = me
    return told


def _told(event: Any) -> Object:
    """The row of the table, filled."""
    word, *fields = _ROWS[type(event)].split()
    told: Object = {"type": word, "state": _STATES.get(type(event))}
    for field in fields:
        name, _, attribute = field.partition("=")
        told[name] = getattr(event, attribute or name)
    if isinstance(event, IncomingBroadcast):
        told["to"] = EVERYONE
    return {field: value for field, value in told.items() if value is not None}


def _asked(request: Request, reply: Any) -> Object:
    """What an answer tells of its question."""
    match request:
        case Ping():
            return {"word": request.n}
        case OutgoingGroup() if not isinstance(reply, Error):
            return {"group": request.group, "text": request.content}
        case Outgoing() if not isinstance(reply, Error):
            return {"to": request.to, "text": request.content}
        case OutgoingBroadcast() if not isinstance(reply, Error):
            return {"to": EVERYONE, "text": request.content}
    return {}
