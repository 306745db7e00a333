"""Every message between the daemon and its clients: the single source of truth for the protocol.

`docs/protocol.md` is compared with this file by a test. A field that S3 does not know is optional
and left out where it has its default, so that the same types write S3's frames exactly.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from chatd.wire.errors import PeerError

VERSION = 1
SERVER = "server"  # the reserved name under which the daemon itself speaks
MAX_OBJECT = 65_536  # bytes of one object from a client
MAX_CONTENT = 16_384  # bytes of one message's text in UTF-8: 4,096 of the longest characters
MAX_ID = 64  # bytes of a sender's key
MAX_PAGE = 200  # items of one answer to `history`
WINDOW_ITEMS = 256  # unconfirmed items in flight to one session
WINDOW_BYTES = 262_144  # ... and their bytes

Id = Annotated[str, Meta(max_length=MAX_ID)]
Seq = Annotated[int, Meta(ge=0, le=2**63 - 1)]  # a place in the log
Name = Annotated[str, Meta(max_length=1024)]  # what is too long for a name gets 104, not 204


class Message(Struct, frozen=True, gc=False, omit_defaults=True, tag_field="code", tag=str.lower):
    """One JSON object; `code` says which."""


# --- from clients -------------------------------------------------------------------------------


class Position(Struct, frozen=True):
    """A place in the log that `epoch` names."""

    epoch: str
    seq: Seq


class Hello(Message, frozen=True):
    """Open a session; answered by `Welcome` or a fatal `Error`. Without `v` it is a plain one."""

    name: Name | None = None
    v: int | None = None
    password: Annotated[str, Meta(max_length=1024)] | None = None
    token: Annotated[str, Meta(max_length=256)] | None = None
    after: Position | None = None
    client: Annotated[str, Meta(max_length=256)] | None = None
    notices: bool | None = None


class Who(Message, frozen=True):
    """Ask for the connected names; answered by `Users`."""

    id: Id | None = None
    detail: bool = False


class Outgoing(Message, frozen=True):
    """One message to one person; answered by `Ack` or `Error`."""

    to: Name
    content: str
    id: Id | None = None


class Text(Outgoing, frozen=True):
    """`Outgoing` under the name that S3's prose gives it."""


class OutgoingBroadcast(Message, frozen=True, tag="outgoing_broadcast"):
    """One message to everyone connected but the sender; answered by `Ack`."""

    content: str
    id: Id | None = None


class OutgoingGroup(Message, frozen=True, tag="outgoing_group"):
    """One message to all members of a group, absent ones too; answered by `Ack`."""

    group: Name
    content: str
    id: Id | None = None


class Received(Message, frozen=True):
    """Everything up to this number is safe with the client."""

    upto: Seq


class Read(Message, frozen=True, rename={"peer": "with"}):
    """A conversation was shown to an attentive person, up to this number."""

    upto: Seq
    peer: Name | None = None
    group: Name | None = None


class Set(Message, frozen=True):
    """Own settings; answered by `Ok`. Without receipts nobody learns what one has read."""

    receipts: bool | None = None
    id: Id | None = None


class Group(Message, frozen=True):
    """Make, change, leave or look at groups; answered by `GroupInfo`."""

    op: Literal["create", "add", "remove", "rename", "leave", "owner", "delete", "info", "list"]
    group: Name | None = None
    names: list[Name] = []
    to: Name | None = None
    id: Id | None = None


class History(Message, frozen=True, rename={"peer": "with", "author": "from"}):
    """One page of a conversation, newest where no bound is given, or a search; answered by `Items`.

    `all` takes everything one may see. `before` and `after` bound `seq`, `q` is words to find.
    """

    peer: Name | None = None
    group: Name | None = None
    all: bool = False
    before: Seq | None = None
    after: Seq | None = None
    limit: Annotated[int, Meta(ge=1, le=MAX_PAGE)] = 50
    q: Annotated[str, Meta(max_length=256)] | None = None
    author: Name | None = None
    id: Id | None = None


class AskSeen(Message, frozen=True, tag="seen"):
    """Ask when somebody was last here; answered by `Seen`."""

    name: Name
    id: Id | None = None


class Newname(Message, frozen=True):
    """Take another shown name; answered by `Ok`."""

    name: Name
    id: Id | None = None


class Register(Message, frozen=True):
    """Protect the present name by a password; answered by `Ok`."""

    password: Annotated[str, Meta(min_length=1, max_length=1024)]
    id: Id | None = None


class Admin(Message, frozen=True):
    """What only operators may do; answered by `Ok`, or `Stats` for `stats`."""

    op: Literal["kick", "announce", "stats", "shutdown"]
    name: Name | None = None
    text: Annotated[str, Meta(max_length=1024)] | None = None
    id: Id | None = None


class Quit(Message, frozen=True):
    """Leave; answered by `Bye`, after which the server closes."""


class Ping(Message, frozen=True):
    """Answered by `Pong`, behind every delivery decided before it."""

    n: int | Id | None = None


class Pong(Message, frozen=True):
    """The answer to a `Ping` of either side."""

    n: int | Id | None = None


FromClient = (
    Hello
    | Who
    | Outgoing
    | Text
    | OutgoingBroadcast
    | OutgoingGroup
    | Received
    | Read
    | AskSeen
    | Newname
    | Register
    | Set
    | Group
    | History
    | Admin
    | Quit
    | Ping
    | Pong
)

# --- from the server ----------------------------------------------------------------------------


class Limits(Struct, frozen=True):
    """What the server takes. Objects, texts, ids and windows in bytes, times in seconds.

    `rate` requests a second after a `burst` of so many at once (0: as many as there are), and
    `connections` of one address (0: no bound). A request counts one, and one more for 4,096 bytes.
    """

    object: int = MAX_OBJECT
    content: int = MAX_CONTENT
    id: int = MAX_ID
    items: int = WINDOW_ITEMS
    bytes: int = WINDOW_BYTES
    page: int = MAX_PAGE
    members: int = 1000  # of a group
    queue: int = 10_000  # direct messages that wait for one absent person
    inbox: int = 8192  # requests that wait for their answers
    garbage: int = 10  # unreadable objects in a row
    unfinished: float = 120.0  # for one object
    reading: float = 600.0  # without any confirmation while the window is full
    rate: float = 0.0
    burst: int = 0
    connections: int = 0


class Welcome(Message, frozen=True):
    """The session is open. All fields are the extension's; a plain session sees none of them."""

    v: int | None = None
    name: str | None = None
    token: str | None = None
    epoch: str | None = None
    seq: int | None = None
    resumed: bool | None = None
    gap: bool = False
    limits: Limits | None = None
    time: str | None = None
    server: str | None = None
    motd: str | None = None


class Presence(Struct, frozen=True):
    """One row of `Users.detail`: since when somebody is here, and for how many seconds silent."""

    name: str
    since: str
    idle: int


class Users(Message, frozen=True):
    """The connected names in the order of their joining, the asker's among them."""

    users: list[str]
    re: str | None = None
    detail: list[Presence] | None = None


class Incoming(Message, frozen=True, rename={"sender": "from"}):
    """A message for this person alone; `to` stands in one's own, as `history` shows them."""

    sender: str
    content: str
    seq: int | None = None
    ts: str | None = None
    late: bool = False
    to: str | None = None


class IncomingBroadcast(Message, frozen=True, tag="incoming_broadcast", rename={"sender": "from"}):
    """A message for everyone."""

    sender: str
    content: str
    seq: int | None = None
    ts: str | None = None
    late: bool = False


class IncomingGroup(Message, frozen=True, tag="incoming_group", rename={"sender": "from"}):
    """A message for the members of a group."""

    group: str
    sender: str
    content: str
    seq: int
    ts: str
    late: bool = False


class Ack(Message, frozen=True):
    """The message of that id is durable, as number `seq` of the log.

    `queued`: the receiver is absent and was last seen then; `absent` names who does not see it yet.
    """

    re: str | None
    seq: int
    ts: str
    state: Literal["stored", "queued"]
    dup: bool = False
    last_seen: str | None = None
    absent: list[str] = []


class Receipt(Message, frozen=True, rename={"peer": "with"}):
    """To authors: how far `by` has received and read; `unshared` where the latter is not told."""

    by: str
    delivered: int
    peer: str | None = None
    group: str | None = None
    read: int | None = None
    unshared: bool = False


class GroupRow(Struct, frozen=True):
    """One group as its members see it."""

    group: str
    owner: str
    members: list[str]
    created: str


class GroupFailure(Struct, frozen=True):
    """A name with which a group request did not work, and the number of the error."""

    name: str
    error: int


class GroupInfo(Message, frozen=True, tag="group_info"):
    """The groups asked for, as they are now."""

    groups: list[GroupRow]
    re: str | None = None
    failed: list[GroupFailure] = []


GroupKind = Literal["created", "added", "removed", "renamed", "left", "owner", "deleted"]


class GroupEvent(Message, frozen=True, tag="group_event"):
    """A change of a group, in the order of the log; `to` is the new name, or the new owner."""

    group: str
    kind: GroupKind
    by: str
    seq: int
    ts: str
    names: list[str] = []
    to: str | None = None
    late: bool = False


Item = Incoming | IncomingBroadcast | IncomingGroup | GroupEvent


class Items(Message, frozen=True):
    """One page, in the order of the log; `more` where it goes on."""

    re: str | None
    items: list[Item]
    more: bool


class Seen(Message, frozen=True):
    """Whether somebody is here, and else since when not."""

    name: str
    online: bool
    re: str | None = None
    last_seen: str | None = None


NoticeKind = Literal["joined", "quit", "lost", "removed", "renamed", "announce"]


class Notice(Message, frozen=True):
    """Something to know that nobody said; `text` for people, the other fields for programs."""

    kind: NoticeKind
    text: str
    ts: str
    name: str | None = None
    new: str | None = None


class Ok(Message, frozen=True):
    """Done."""

    re: str


class Stats(Message, frozen=True):
    """Figures of the daemon, for operators."""

    re: str | None
    sessions: int
    accounts: int
    seq: int
    uptime: int  # seconds


class Error(Message, frozen=True):
    """What was wrong with a request, or why there is no session; see `chatd.wire.errors`."""

    error: int
    name: str
    text: str
    re: str | None = None
    fatal: bool = False
    retry_after: float | None = None
    to: str | None = None
    limit: int | None = None

    @classmethod
    def of(cls, wrong: PeerError, re: str | None = None, *, fatal: bool = False) -> Error:
        """The frame that tells a peer of its error; `re` is the id of the request at fault."""
        more: dict[str, Any] = {
            field: wrong.details[field]
            for field in ("re", "retry_after", "to", "limit")
            if field in wrong.details
        }
        name = wrong.code.name.lower()
        if re is not None:
            more["re"] = re
        return cls(int(wrong.code), name, str(wrong), fatal=fatal, **more)


ByeReason = Literal["quit", "shutdown", "kicked", "replaced", "idle", "error"]


class Bye(Message, frozen=True):
    """The last word before the server closes, and whether to come back."""

    reason: ByeReason
    text: str
    reconnect: bool = False
    after_s: int | None = None


FromServer = (
    Welcome
    | Users
    | Incoming
    | IncomingBroadcast
    | IncomingGroup
    | Ack
    | Receipt
    | Seen
    | GroupInfo
    | GroupEvent
    | Items
    | Notice
    | Ok
    | Stats
    | Error
    | Bye
    | Ping
    | Pong
)

encode = msgspec.json.Encoder().encode


def by_code(union: Any) -> dict[str, type[Message]]:
    """The classes of a union by their `code`."""
    return {str(cls.__struct_config__.tag): cls for cls in union.__args__}
