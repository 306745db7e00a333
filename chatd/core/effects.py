"""What the core asks for, what it is told, and what the store keeps.

The hub returns effects and never acts; the daemon carries them out in the order given. A `ticket`
is a number of the hub's: whatever answers later is known by it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from msgspec import Struct

from chatd.wire.errors import ErrorCode
from chatd.wire.messages import Message


class Now(NamedTuple):
    """One reading of both clocks; below the loop, time is an argument."""

    monotonic: float  # seconds, for deadlines
    wall: int  # milliseconds since 1970 (UTC), for people and for the log


# --- the state that is kept ---------------------------------------------------------------------


class Account(Struct, frozen=True):
    """One person, known by a shown name; kept across restarts unless the name was assigned."""

    number: int  # never reused
    name: str  # as shown
    key: str  # the folded form of `name`
    login: str  # the folded name of logging in: outlives a change of name where there is a password
    password: str | None = None  # an argon2 hash, or the plain text of a password file
    last_seen: int | None = None  # milliseconds since 1970
    assigned: bool = False  # named by the server: nobody to come back, so nothing is kept
    filed: bool = False  # the password is the password file's, and is kept there alone


SERVER_ACCOUNT = 0  # the author of what the server's console says
EVERYONE = 0  # the target of a broadcast

Kind = Literal["direct", "broadcast"]


class Entry(Struct, frozen=True):
    """One row of the log. Who may see it follows from its kind and target."""

    kind: Kind
    author: int  # account
    name: str  # of the author, as shown at that time
    target: int  # account, or `EVERYONE`
    content: str
    ts: int  # milliseconds since 1970
    id: str | None = None  # the sender's key: (author, id) is stored once


# --- operations of the store and its answers ----------------------------------------------------


class Append(Struct, frozen=True):
    """Put one entry at the end of the log, unless (author, id) is there already."""

    entry: Entry


class PutAccount(Struct, frozen=True):
    """Make or replace the account of that number."""

    account: Account


Operation = Append | PutAccount


class Stored(Struct, frozen=True):
    """The operation is durable. For an `Append`: as entry `seq`, which may be an earlier one."""

    ticket: int
    seq: int = 0
    ts: int = 0
    dup: bool = False


class Failed(Struct, frozen=True):
    """Nothing was written; the request may be repeated where the code says so."""

    ticket: int
    code: ErrorCode
    why: str = ""


# --- effects ------------------------------------------------------------------------------------


class Opened(Struct, frozen=True):
    """This connection has a session; from now on it is spoken to as what it is."""

    conn: int
    plain: bool


class Send(Struct, frozen=True):
    """Queue one message for several connections: encoded once for each kind of them."""

    to: Sequence[int]
    message: Message


class Close(Struct, frozen=True):
    """Close when everything queued is written."""

    conn: int


class Probe(Struct, frozen=True):
    """Find out within `seconds` whether somebody is still at the other end."""

    conn: int
    seconds: float


class Submit(Struct, frozen=True):
    """Hand an operation to the store; `Hub.completed` is told."""

    ticket: int
    operation: Operation


class Verify(Struct, frozen=True):
    """Compare a password in the pool; `Hub.verified` is told. Without `stored` it takes as long."""

    ticket: int
    password: str
    stored: str | None


class Hash(Struct, frozen=True):
    """Hash a password in the pool; `Hub.hashed` is told."""

    ticket: int
    password: str


class Alarm(Struct, frozen=True):
    """Call `Hub.alarm` after so many seconds; it may have become meaningless by then."""

    seconds: float
    kind: str
    conn: int


class Happened(Struct, frozen=True):
    """Something for `server.log` and for the server's terminal."""

    event: str
    fields: Mapping[str, str | int | None]


class Stop(Struct, frozen=True):
    """End the daemon when the last words are out."""

    reason: str


Effect = Opened | Send | Close | Probe | Submit | Verify | Hash | Alarm | Happened | Stop
