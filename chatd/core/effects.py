"""What the core asks for, what it is told, and what the store keeps.

The hub returns effects and never acts; the daemon carries them out in the order given. A `ticket`
is a number of the hub's: whatever answers later is known by it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import msgspec
from msgspec import Struct

from chatd.wire.errors import ErrorCode
from chatd.wire.messages import GroupKind, Message, NoticeKind


class Now(NamedTuple):
    """One reading of both clocks; below the loop, time is an argument."""

    monotonic: float  # seconds, for deadlines
    wall: int  # milliseconds since 1970 (UTC), for people and for the log


# --- the state that is kept ---------------------------------------------------------------------


class Account(Struct, frozen=True, gc=False):
    """One person, known by a shown name; kept across restarts unless the name was assigned."""

    number: int  # never reused, and none that a group has
    name: str  # as shown
    key: str  # the folded form of `name`
    login: str  # the folded name of logging in: outlives a change of name where there is a password
    password: str | None = None  # an argon2 hash, or the plain text of a password file
    last_seen: int | None = None  # milliseconds since 1970
    received: int = 0  # everything up to this `seq` is safe with the person
    receipts: bool = True  # others may know what was read
    token: str | None = None  # SHA-256 of the newest session's token
    assigned: bool = False  # named by the server: nobody to come back, so nothing is kept
    filed: bool = False  # the password is the password file's, and is kept there alone


class Group(Struct, frozen=True, gc=False):
    """A named list of people; its members stand beside it, with the time of their membership."""

    number: int  # shares the numbers of the accounts, so that a target needs no kind
    name: str
    key: str
    owner: int  # account
    created: int  # milliseconds since 1970
    deleted: bool = False


class KeptGroup(NamedTuple):
    """A group as the store gives it back: who is in it, who was, and who has said something."""

    group: Group
    members: Sequence[int]  # accounts, in the order of their joining
    past: Sequence[int]
    authors: Sequence[int]


class Cursor(Struct, frozen=True, gc=False):
    """How far `account` has received and read the conversation with `conversation`."""

    account: int
    conversation: int  # the number of the other person, or of the group
    delivered: int = 0  # seq
    read: int = 0  # seq
    moved: int = 0  # milliseconds since 1970


SERVER_ACCOUNT = 0  # the author of what the server's console says
EVERYONE = 0  # the target of a broadcast

Kind = Literal["direct", "broadcast", "group", "event"]


class Entry(Struct, frozen=True, gc=False):
    """One row of the log. Who may see it follows from its kind and target."""

    kind: Kind
    author: int  # account
    name: str  # of the author, as shown at that time
    target: int  # account, group, or `EVERYONE`
    content: str  # of an event: JSON, see `Change`
    ts: int  # milliseconds since 1970
    id: str | None = None  # the sender's key: (author, id) is stored once


class Change(Struct, frozen=True, omit_defaults=True):
    """The content of an event entry, as JSON: names as they were shown at that time."""

    kind: GroupKind
    group: str
    names: list[str] = []
    to: str | None = None


read_change = msgspec.json.Decoder(Change).decode


class Row(Struct, frozen=True, gc=False):
    """One entry with its place in the log."""

    seq: int
    entry: Entry


# --- operations of the store and its answers ----------------------------------------------------


class Join(Struct, frozen=True, gc=False, tag=True):
    """From this entry on, and including it, the account sees what is said in the group."""

    group: int
    account: int


class Part(Struct, frozen=True, gc=False, tag=True):
    """This entry is the last that the account sees of the group."""

    group: int
    account: int


class PutGroup(Struct, frozen=True, gc=False, tag=True):
    """Make or replace the group of that number."""

    group: Group


class Append(Struct, frozen=True, gc=False):
    """Put one entry at the end of the log, unless (author, id) is there already.

    `changes` become true with it, or not at all.
    """

    entry: Entry
    changes: tuple[Join | Part | PutGroup, ...] = ()


class PutAccount(Struct, frozen=True, gc=False):
    """Make or replace the account of that number."""

    account: Account


class MoveCursors(Struct, frozen=True, gc=False):
    """Move positions forward: of accounts as a whole, and of their conversations."""

    received: Mapping[int, int]  # account to seq
    conversations: Sequence[Cursor]


class Find(Struct, frozen=True, kw_only=True, gc=False):
    """Read entries that `account` may see, oldest first; answered by `Page`.

    What may be seen: what was said to the account, by it (with `own`), to everyone, and to groups
    while it was a member. `target` narrows that to one conversation. A page ends before `limit`
    entries when it has `size` bytes of text.
    """

    account: int
    after: int = 0  # seq, exclusive
    before: int | None = None  # seq, exclusive; the page then ends there, else it begins at `after`
    latest: bool = False  # the last page within the bounds instead of the first
    limit: int
    size: int = 1 << 30
    own: bool = True
    broadcasts_after: int = 0  # seq; broadcasts up to it are left out
    target: int | None = None  # account, group, or `EVERYONE`
    author: int | None = None
    words: str | None = None  # all of them stand in the text


class Purge(Struct, frozen=True, gc=False):
    """Forget some of the oldest entries: those before a time, or of a log that is too big.

    Answered by `Stored`, whose `seq` is the last entry that is gone.
    """

    before: int = 0  # milliseconds since 1970
    keep_bytes: int | None = None


class Recall(Struct, frozen=True, gc=False):
    """Ask what became of a message that was said before under this key.

    Answered by `Stored` with `dup` where the same text was stored, else by one without a `seq`.
    """

    author: int  # account
    id: str
    content: str


class Touch(Struct, frozen=True, gc=False):
    """Write something that says nothing, to see whether anything can be kept."""


# --- ... and of a store that several daemons share -----------------------------------------------


class Enter(Struct, frozen=True, gc=False):
    """Open a session of this account here, unless somebody has it elsewhere, or its name.

    Answered by `Entered`, or by `Outrun`.
    """

    account: Account
    since: int  # milliseconds since 1970
    plain: bool  # it cannot resume: where it is lost it is gone
    resumed: bool
    proved: bool  # whoever has the account now is the same, and leaves


class Leave(Struct, frozen=True, gc=False):
    """The session of that claim is over; never refused."""

    account: Account
    claim: int  # see `Entered`
    notice: NoticeKind | None  # what the others are told
    grace: bool  # ... when it has not come back by then


class Fence(Struct, frozen=True, gc=False):
    """Answered when everything is told that was acknowledged anywhere before this was asked."""


class Order(Struct, frozen=True, gc=False):
    """Something to be done wherever it can be done: see `chatd.core.elsewhere`."""

    kind: Literal["kick", "probe", "announce", "failed"]
    number: int = 0  # account
    text: str = ""


Shared = Enter | Leave | Fence | Order
Operation = Append | PutAccount | MoveCursors | Find | Purge | Recall | Touch | Shared


class Stored(Struct, frozen=True, gc=False):
    """The operation is durable. For an `Append`: as entry `seq`, which may be an earlier one."""

    ticket: int
    seq: int = 0
    ts: int = 0
    dup: bool = False


class Page(Struct, frozen=True, gc=False):
    """What a `Find` found; `head` is the newest `seq` of the log when it looked."""

    ticket: int
    rows: Sequence[Row]
    more: bool
    head: int


class Failed(Struct, frozen=True, gc=False):
    """Nothing was written; the request may be repeated where the code says so."""

    ticket: int
    code: ErrorCode
    why: str = ""


class Entered(Struct, frozen=True, gc=False):
    """The session may be opened; `claim` names it among all that this account ever had."""

    ticket: int
    claim: int


class Outrun(Struct, frozen=True, gc=False):
    """Somebody else's change came first, and was told before this: decide again."""

    ticket: int


# --- what others do to a shared store: nobody's answer, in the order of the log -------------------


class Appended(Struct, frozen=True, gc=False):
    """An entry to deliver, with what became true by it."""

    row: Row
    changes: tuple[Join | Part | PutGroup, ...] = ()


class Known(Struct, frozen=True, gc=False):
    """An account was made or changed."""

    account: Account


class Came(Struct, frozen=True, gc=False):
    """Somebody has a session elsewhere; one that was here has been taken over."""

    account: Account
    since: int  # milliseconds since 1970
    claim: int  # see `Entered`; rises in the order of all log-ins
    resumed: bool = False


class Went(Struct, frozen=True, gc=False):
    """... and has it no more."""

    account: Account
    notice: NoticeKind | None = None
    grace: bool = False


class Moved(Struct, frozen=True, gc=False):
    """Positions have moved."""

    moves: MoveCursors


class Ordered(Struct, frozen=True, gc=False):
    """Something is to be done, if it can be done here."""

    order: Order


class Forgot(Struct, frozen=True, gc=False):
    """Entries up to there are no longer in the log."""

    upto: int  # seq


class Fellows(Struct, frozen=True, gc=False):
    """So many other daemons use the log now; `about` is what has changed, for the operator."""

    number: int
    about: str = ""


class Expelled(Struct, frozen=True, gc=False):
    """To the others this daemon is no more, and why: nobody has a session here any more."""

    why: str


class Trouble(Struct, frozen=True, gc=False):
    """Nothing can be kept at present, and why; with an empty reason it works again."""

    why: str


News = Appended | Known | Came | Went | Moved | Ordered | Forgot | Fellows | Expelled | Trouble
Completion = Stored | Page | Failed | Entered | Outrun


# --- effects ------------------------------------------------------------------------------------


class Opened(Struct, frozen=True, gc=False):
    """This connection has a session; from now on it is spoken to as what it is."""

    conn: int
    plain: bool


class Send(Struct, frozen=True, gc=False):
    """Queue one message for several connections: encoded once for each kind of them.

    Whoever sends to the same many again and again gives the same object, so that this is seen.
    """

    to: Sequence[int]
    message: Message
    omitted: int = 0  # a connection that does not get it, though it is in `to`


class Close(Struct, frozen=True, gc=False):
    """Close when everything queued is written."""

    conn: int


class Probe(Struct, frozen=True, gc=False):
    """Find out within `seconds` whether somebody is still at the other end."""

    conn: int
    seconds: float


class Slow(Struct, frozen=True, gc=False):
    """Read nothing from this connection for so many seconds; whoever sends to it waits."""

    conn: int
    seconds: float


class Submit(Struct, frozen=True, gc=False):
    """Hand an operation to the store; `Hub.completed` is told."""

    ticket: int
    operation: Operation


class Verify(Struct, frozen=True, gc=False):
    """Compare a password in the pool; `Hub.verified` is told. Without `stored` it takes as long."""

    ticket: int
    password: str
    stored: str | None


class Hash(Struct, frozen=True, gc=False):
    """Hash a password in the pool; `Hub.hashed` is told."""

    ticket: int
    password: str


class Alarm(Struct, frozen=True, gc=False):
    """Call `Hub.alarm` after so many seconds; it may have become meaningless by then."""

    seconds: float
    kind: str
    conn: int


class Happened(Struct, frozen=True, gc=False):
    """Something for `server.log` and for the server's terminal."""

    event: str
    fields: Mapping[str, str | int | None]


class Stop(Struct, frozen=True, gc=False):
    """End the daemon when the last words are out."""

    reason: str


class Tell(Struct, frozen=True, gc=False):
    """`Hub.taken` is to be told when everything queued for this connection is with its kernel."""

    conn: int


Effect = (
    Opened | Send | Tell | Close | Probe | Slow | Submit | Verify | Hash | Alarm | Happened | Stop
)
