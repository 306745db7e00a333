"""What a store is made of, as rows: in this language one keeper's content is given to another.

A row has the columns of the table that it is named after, in their order. What a line of a file
says is one only where every value is of its type and within its bounds.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal, Protocol

from msgspec import Meta, Struct

from chatd.core.effects import Kind

LARGEST = 2**53  # every reader of JSON can hold it
LAST_MOMENT = 253_402_300_799_999  # milliseconds since 1970: the end of the year 9999

Number = Annotated[int, Meta(ge=1, le=LARGEST)]  # of an account, a group, or an entry
Place = Annotated[int, Meta(ge=0, le=LARGEST)]  # in the log; 0: before its first entry
Moment = Annotated[int, Meta(ge=0, le=LAST_MOMENT)]  # milliseconds since 1970
Flag = Literal[0, 1]


class Head(Struct, frozen=True, forbid_unknown_fields=True):
    """The first line: which format, how far the log goes, and how many rows follow."""

    chatd: int
    seq: Place
    rows: int | None = None  # None: it was not counted


class Fact(Struct, frozen=True, forbid_unknown_fields=True):
    """Something about the log as a whole: its `epoch`, and up to where it is `purged`."""

    key: str
    value: str


class AccountRow(Struct, frozen=True, forbid_unknown_fields=True):
    """See `chatd.core.effects.Account`."""

    number: Number
    name: str
    key: str
    login: str
    password: str | None
    last_seen: Moment | None
    received: Place
    receipts: Flag
    token: str | None


class RoomRow(Struct, frozen=True, forbid_unknown_fields=True):
    """See `chatd.core.effects.Group`."""

    number: Number
    name: str
    key: str
    owner: Number
    created: Moment
    deleted: Flag


class MemberRow(Struct, frozen=True, forbid_unknown_fields=True):
    """From `since` to `until`, both included, the account saw what was said in the room."""

    account: Number
    room: Number
    since: Place
    until: Place | None  # None: it still does
    place: Place  # counts who joined the room


class CursorRow(Struct, frozen=True, forbid_unknown_fields=True):
    """See `chatd.core.effects.Cursor`."""

    conversation: Place
    account: Number
    delivered: Place
    read: Place
    moved: Moment


class LogRow(Struct, frozen=True, forbid_unknown_fields=True):
    """See `chatd.core.effects.Entry`; `author` 0 is the server, `target` 0 is everyone."""

    seq: Number
    ts: Moment
    kind: Kind
    author: Place
    name: str
    target: Place
    content: str
    id: str | None


AnyRow = Fact | AccountRow | RoomRow | MemberRow | CursorRow | LogRow
TABLES: dict[str, type[AnyRow]] = {  # in the order in which they are given
    "meta": Fact,
    "accounts": AccountRow,
    "rooms": RoomRow,
    "members": MemberRow,
    "cursors": CursorRow,
    "log": LogRow,
}


class Movable(Protocol):
    """A store that can take over what another one has kept."""

    def fill(self, seq: int, rows: Iterable[AnyRow]) -> None:
        """Take all rows into an empty store, in the order of `TABLES`, or none.

        The log goes on behind `seq`. What getting a row raises comes through. Raises `ValueError`
        for a row that does not go with those before it, `StoreError` where nothing can be written.
        """
