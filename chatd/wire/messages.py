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

Id = Annotated[str, Meta(max_length=MAX_ID)]
Name = Annotated[str, Meta(max_length=1024)]  # what is too long for a name gets 104, not 204


class Message(Struct, frozen=True, omit_defaults=True, tag_field="code", tag=str.lower):
    """One JSON object; `code` says which."""


# --- from clients -------------------------------------------------------------------------------


class Position(Struct, frozen=True):
    """A place in the log that `epoch` names."""

    epoch: str
    seq: int


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
    | AskSeen
    | Newname
    | Register
    | Admin
    | Quit
    | Ping
    | Pong
)

# --- from the server ----------------------------------------------------------------------------


class Limits(Struct, frozen=True):
    """What the server takes, in bytes unless the name says otherwise."""

    object: int = MAX_OBJECT
    content: int = MAX_CONTENT
    id: int = MAX_ID


class Welcome(Message, frozen=True):
    """The session is open. All fields are the extension's; a plain session sees none of them."""

    v: int | None = None
    name: str | None = None
    token: str | None = None
    epoch: str | None = None
    seq: int | None = None
    resumed: bool | None = None
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
    """A message for this person alone."""

    sender: str
    content: str
    seq: int | None = None
    ts: str | None = None


class IncomingBroadcast(Message, frozen=True, tag="incoming_broadcast", rename={"sender": "from"}):
    """A message for everyone."""

    sender: str
    content: str
    seq: int | None = None
    ts: str | None = None


class Ack(Message, frozen=True):
    """The message of that id is durable, as number `seq` of the log."""

    re: str
    seq: int
    ts: str
    state: Literal["stored", "queued"]
    dup: bool = False


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
    | Ack
    | Seen
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
