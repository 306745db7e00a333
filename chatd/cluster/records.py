"""What stands in the stream: JSON, so that it can be looked into with the tools of NATS."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from chatd.core.effects import (
    Account,
    Append,
    Enter,
    Leave,
    MoveCursors,
    Order,
    PutAccount,
)

FORMAT = 1  # of all this; nodes of another one are refused


class Settings(Struct, frozen=True):
    """What all nodes of a cluster have to agree on."""

    closed: bool = False
    guests: bool = False
    guest_name: str = ""
    format: int = FORMAT

    def __str__(self) -> str:
        who = "a password file" if self.closed else "no password file"
        return f"{who}, {'guests' if self.guests else 'no guests'}, {self.guest_name}"


class Arrive(Struct, frozen=True, tag=True):
    """A node begins; `origin` of the record is its name from here on."""

    settings: Settings
    where: str  # host and port, for people
    heir_of: str = ""  # the node that used its folder before, and so is no more


class Dead(Struct, frozen=True, tag=True):
    """That node is no more; whatever else comes from it is not true."""

    node: str


class Forget(Struct, frozen=True, tag=True):
    """No copy keeps the messages up to there."""

    upto: int  # seq


class Said(Struct, frozen=True, tag=True):
    """One entry of the log."""

    append: Append


class Put(Struct, frozen=True, tag=True):
    """An account was made or changed."""

    put: PutAccount


class Entering(Struct, frozen=True, tag=True):
    """Somebody wants a session."""

    enter: Enter


class Leaving(Struct, frozen=True, tag=True):
    """... and has it no more."""

    leave: Leave


class Moving(Struct, frozen=True, tag=True):
    """Positions."""

    moves: MoveCursors


class Ordering(Struct, frozen=True, tag=True):
    """Something to be done elsewhere."""

    order: Order


class Fencing(Struct, frozen=True, tag=True):
    """Nothing: it has only a place."""


What = Arrive | Dead | Forget | Said | Put | Entering | Leaving | Moving | Ordering | Fencing


class Record(Struct, frozen=True):
    """One message of the stream.

    `n` counts the records of its origin, from 1: entries without changes by themselves (they come
    strictly one after the other), all else by itself.
    """

    origin: str
    n: int
    base: int  # how far its node had read when it decided; a place in the stream
    what: What

    @property
    def is_message(self) -> bool:
        """Whether it is an entry alone: what retention may take out of the stream."""
        return isinstance(self.what, Said) and not self.what.append.changes


encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Record).decode


def account_of(what: What) -> Account | None:
    """Whose state the record is, where it is somebody's."""
    if isinstance(what, Put):
        return what.put.account
    if isinstance(what, Entering):
        return what.enter.account
    return what.leave.account if isinstance(what, Leaving) else None


def tail(record: Record) -> str:
    """The last part of the subject under which a record is published."""
    account = account_of(record.what)
    if account is not None:
        return f"account.{account.number}"
    if record.is_message:
        return "message"
    return "event" if isinstance(record.what, Said) else type(record.what).__name__.lower()


signs = msgspec.json.Encoder().encode
_signs = msgspec.json.Decoder(dict[str, float]).decode


def told_signs(data: bytes) -> dict[str, float]:
    """What a sign of life says: nodes to the seconds since somebody has heard of each."""
    try:
        return _signs(data)
    except msgspec.MsgspecError:  # anybody can send these
        return {}
