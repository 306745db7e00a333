r"""One side of a conversation with a server, without any I/O: bytes in, bytes and events out.

    client = Client("ana")
    client.hello()
    client.send(Outgoing("ben", "hi"))          # goes out as soon as the session is open
    for segment in client.data_to_send():       # hand each one to the socket
        ...
    client.receive(b'{"code":"welcome"}\n')     # what the socket gave
    for event in client.events():               # what it meant
        ...

Requests and replies are the messages of `chatd.wire.messages`. Every request is answered by exactly
one `Answered`, in whatever order the server answers. A request stays with the client until then,
also over the next `hello`: it is sent again under its first id, by which the server knows it.

A server that answers a bare `welcome` speaks only S3: there a sent message has no answer but that
it was sent, and the list of users is the one round trip. `chatsh.link` adds the socket.
"""

from __future__ import annotations

import copy
import itertools
import os
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, NamedTuple

import msgspec
from msgspec.structs import replace

from chatd.wire.errors import ErrorCode, PeerError
from chatd.wire.framing import Framer
from chatd.wire.messages import (
    MAX_CONTENT,
    MAX_OBJECT,
    VERSION,
    Ack,
    Admin,
    AskSeen,
    Bye,
    Error,
    FromServer,
    Group,
    GroupEvent,
    GroupInfo,
    Hello,
    History,
    Incoming,
    IncomingBroadcast,
    IncomingGroup,
    Items,
    Limits,
    Message,
    Newname,
    Notice,
    Ok,
    Outgoing,
    OutgoingBroadcast,
    OutgoingGroup,
    Ping,
    Pong,
    Position,
    Quit,
    Read,
    Receipt,
    Received,
    Register,
    Seen,
    Set,
    Stats,
    Users,
    Welcome,
    Who,
    encode,
)
from chatd.wire.names import same

MAX_FRAME = 16 * 1024 * 1024  # bytes of one object from a server: the names of 100,000 people

Request = (
    Who
    | Outgoing
    | OutgoingBroadcast
    | OutgoingGroup
    | AskSeen
    | Newname
    | Register
    | Set
    | Group
    | History
    | Admin
    | Ping
)
Reply = Users | Ack | Seen | Ok | GroupInfo | Items | Stats | Pong | Error
Said = Incoming | IncomingBroadcast | IncomingGroup

_decode = msgspec.json.Decoder(FromServer).decode


class Opened(NamedTuple):
    """The session is open, under `name` (None where a server of S3 assigned one silently)."""

    name: str | None
    extended: bool
    motd: str | None = None
    gap: bool = False  # some of what was said meanwhile is not kept any more


class Refused(NamedTuple):
    """There is no session, and why; the server closes."""

    error: Error


class Strange(NamedTuple):
    """What answered the hello is no chat server."""


class Foreign(NamedTuple):
    """It is another chat, with a log of its own, where only the one before was wanted."""


class Answered(NamedTuple):
    """The reply to the request that `send` gave this id; None: sent, and S3 has no reply to it."""

    id: str
    request: Request
    reply: Reply | None


Event = (
    Opened
    | Refused
    | Strange
    | Foreign
    | Answered
    | Said
    | GroupEvent
    | Receipt
    | Notice
    | Error
    | Bye
)

# What a server of S3 can be asked, and how; its list of users serves as the round trip.
_PLAIN: dict[type[Message], Callable[[Any], Message]] = {
    Who: lambda _: Who(),
    Ping: lambda _: Who(),
    Outgoing: lambda said: Outgoing(said.to, said.content),
    OutgoingBroadcast: lambda said: OutgoingBroadcast(said.content),
}
_REPLIES: dict[type[Message], tuple[type[Message], ...]] = {
    Who: (Users,),
    Outgoing: (Ack,),
    OutgoingBroadcast: (Ack,),
    OutgoingGroup: (Ack,),
    AskSeen: (Seen,),
    Newname: (Ok,),
    Register: (Ok,),
    Set: (Ok,),
    Group: (GroupInfo,),
    History: (Items,),
    Admin: (Ok, Stats),
    Ping: (Pong,),
}
_MY_GROUPS = "groups"  # the id of our own question which groups there are
_PROBE = "probe"  # the number of our own ping
_NOT_IN_S3 = "This server does not know how to do that."


def is_text(text: str) -> bool:
    """Whether it can be sent: what came as bytes that are no UTF-8 holds half characters."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _fitting(request: Request) -> tuple[type, ...]:
    """What may answer it; no server can surprise a client with anything else."""
    return (Error, type(None), *_REPLIES[type(request)])


class Client:
    """The client's side of one account's sessions, one after the other.

    `name` None asks the server to assign one. `program` names the software to the server's
    operator. What comes is taken over as it comes, unless `confirms` is False: then only as far as
    `received` says, and the account's next session gets the rest again. Not thread-safe:
    `chatsh.link.Link` puts a lock around it.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        password: str | None = None,
        notices: bool = True,
        program: str = "chatsh",
        confirms: bool = True,
    ) -> None:
        self.name = name  # the present one, which `Newname` changes
        self.password = password
        self.opened = False  # between welcome and the end of the session
        self.extended = False
        self.last_word: Bye | None = None  # of the server, in this session
        self.stuck = False  # it cannot keep anything at present, as far as it has told
        self.limits = Limits()  # what the server takes
        self.users: tuple[str, ...] = ()  # who is here, as far as the server told
        self.groups: tuple[str, ...] = ()  # which groups we are in
        self._account = name
        self._notices = notices
        self._program = program
        self._confirms = confirms
        self._token: str | None = None
        self._epoch = ""  # names the log that `_seq` counts in
        self._bound = False  # to that log
        self._seq = 0  # everything up to there is here
        self._confirmed = 0  # ... and the server knows it
        self._looked: dict[tuple[str | None, str | None], int] = {}  # at, and not told yet
        self._framer = Framer(MAX_FRAME)
        self._unanswered: dict[str, Request] = {}  # by id, in the order of sending
        self._segments: list[bytes] = []
        self._events: list[Event] = []
        self._ids = map(f"{os.urandom(6).hex()}-{{}}".format, itertools.count(1))

    @property
    def unanswered(self) -> int:
        """How many requests wait for their answer, those kept for the next session included."""
        return len(self._unanswered)

    def hello(self, *, bound: bool = False) -> None:
        """Begin a session on a fresh connection, the first one or the next.

        `bound`: only where the log is that of the session before, else there is `Foreign`.
        """
        self.opened, self.last_word, self.stuck, self._bound = False, None, False, bound
        self._framer = Framer(MAX_FRAME)
        self._segments.clear()
        self._write(
            Hello(
                self._account if self.password else self.name,
                v=VERSION,
                password=self.password,
                token=self._token,
                after=Position(self._epoch, self._place) if self._place else None,
                client=self._program,
                notices=self._notices or None,
            )
        )

    def scout(self) -> Client:
        """One for a hello alone: what is answered is heard by it while we stay where we are.

        Who has heard a welcome gives us the same bytes, behind a `hello` that is not sent.
        """
        scout = copy.copy(self)
        vars(scout).update(_unanswered={}, _looked={}, _segments=[], _events=[])
        return scout

    @property
    def _place(self) -> int:
        """Behind which the next session goes on: the server takes what is before it for safe."""
        return self._seq if self._confirms else self._confirmed

    @property
    def pending(self) -> dict[str, Request]:
        """What waits for its answer, by id, in the order of sending."""
        return dict(self._unanswered)

    def new_id(self) -> str:
        """A name for a request that nobody has used before."""
        return next(self._ids)

    def send(self, request: Request, key: str = "") -> str:
        """Ask the server for something; the id returned is the one of its `Answered`.

        `key` is that id where it was chosen before, as for a request that may have reached the
        server once already. Raises
        `UnicodeEncodeError` for half a character, and then nothing is sent.
        """
        encode(request)
        key = key or self.new_id()
        self._unanswered[key] = request
        if self.opened:
            self._transmit(key, request)
        return key

    def probe(self) -> None:
        """Make the server say something, if it is still there, and whether it can keep anything.

        With a number, for without one a node of a cluster answers whether it can or not.
        """
        self._write(Ping(_PROBE) if self.extended else Who())

    def read(self, upto: int, *, peer: str | None = None, group: str | None = None) -> None:
        """Tell that somebody has looked at a conversation, up to this number, now or later."""
        self._looked[peer, group] = upto
        self._tell_looked()

    def _tell_looked(self) -> None:
        if self.opened:
            looked, self._looked = self._looked, {}
            for (peer, group), upto in looked.items():
                self._write(Read(upto, peer, group))

    def quit(self) -> None:
        """Say that this is a leaving, not a loss; the server closes."""
        if self.opened:
            self._write(Quit())

    def data_to_send(self) -> list[bytes]:
        """What is to be sent now, each to be given to the socket on its own; empties the list."""
        segments, self._segments = self._segments, []
        return segments

    def events(self) -> list[Event]:
        """What has happened since the last call."""
        events, self._events = self._events, []
        return events

    def receive(self, data: bytes) -> None:
        """Take what the server sent, cut anywhere. Never raises for what it holds."""
        for frame in self._framer.feed(data):
            if isinstance(frame, PeerError):
                self._garbage()
                continue
            try:
                message = _decode(frame)
            except (msgspec.MsgspecError, UnicodeError, RecursionError):
                continue  # of a newer server: what we do not know is not for us
            self._take(message)
        if self._confirms:  # once for each piece
            self.received(self._seq)

    def received(self, upto: int) -> None:
        """Take over the responsibility for what has come, up to this number of the log."""
        if self.opened and upto > self._confirmed:
            self._confirmed = upto
            self._write(Received(upto))

    def _take(self, message: FromServer) -> None:
        handler = self._HANDLERS.get(type(message))
        if handler:
            handler(self, message)
        elif self.opened:
            self._hear(message)

    def _hear(self, message: FromServer) -> None:
        """An item of the log is heard once, also where a resumed session gives it again."""
        seq = getattr(message, "seq", None)
        if seq is not None:
            if seq <= self._seq:
                return
            self._seq = seq
        if isinstance(message, GroupEvent):
            self._group_changed(message)
        self._events.append(message)  # type: ignore[arg-type]

    def _group_changed(self, event: GroupEvent) -> None:
        gone = event.kind == "deleted" or (event.kind == "removed" and self.name in event.names)
        name = event.to if event.kind == "renamed" else event.group
        self._regroup([event.group], [] if gone or name is None else [name])

    def _regroup(self, old: Iterable[str | None], new: Iterable[str]) -> None:
        """Know the groups `new` instead of those in `old`, which may be typed in any case."""
        known = {same(one): one for one in self.groups}
        for name in (*old, *new):
            known.pop(same(name or ""), None)
        self.groups = (*known.values(), *new)

    def _garbage(self) -> None:
        if not self.opened:
            self._events.append(Strange())

    def _write(self, message: Message) -> None:
        self._segments.append(encode(message) + b"\n")

    # --- requests ---

    def _transmit(self, key: str, request: Request) -> None:
        if not self.extended:
            self._transmit_plain(key, request)
        elif isinstance(request, Ping):
            self._write(replace(request, n=key))
        else:
            self._transmit_bounded(key, replace(request, id=key))

    def _transmit_bounded(self, key: str, message: Message) -> None:
        """What no server would read to its end is refused here: its error could name no request."""
        data = encode(message)
        if len(data) <= MAX_OBJECT:
            self._segments.append(data + b"\n")
            return
        wrong = PeerError(ErrorCode.MESSAGE_TOO_LONG, limit=MAX_CONTENT)
        self._answer(key, Error.of(wrong, key))

    def _transmit_plain(self, key: str, request: Request) -> None:
        form = _PLAIN.get(type(request))
        if form is None:
            unknown = ErrorCode.UNKNOWN_CODE
            self._answer(key, Error(int(unknown), unknown.name.lower(), _NOT_IN_S3))
            return
        self._write(form(request))
        if not isinstance(request, Who | Ping):
            self._answer(key, None)

    def _answer(self, key: str, reply: Reply | None) -> None:
        request = self._unanswered.get(key)
        if request is None or not isinstance(reply, _fitting(request)):
            return
        del self._unanswered[key]
        if isinstance(reply, Ok):
            self._done(request)
        self._events.append(Answered(key, request, reply))

    def _done(self, request: Request) -> None:
        """Remember what the next hello has to say."""
        if isinstance(request, Newname):
            self._renamed(self.name, request.name)
            self.name = request.name
        elif isinstance(request, Register):
            self._account, self.password = self.name, request.password

    # --- what the server says ---

    def _welcome(self, welcome: Welcome) -> None:
        if self.opened:
            return
        if self._bound and (welcome.epoch or "") != self._epoch:
            self._events.append(Foreign())
            return
        self.opened = True
        self.extended = welcome.v is not None
        self.name = welcome.name or self.name
        self._token = welcome.token
        self.limits = welcome.limits or self.limits
        if welcome.epoch is not None:
            self._count_in(welcome.epoch, welcome.seq)
        self._events.append(Opened(self.name, self.extended, welcome.motd, welcome.gap))
        if self.extended:
            self._write(Group("list", id=_MY_GROUPS))
            self._tell_looked()
        for key, request in list(self._unanswered.items()):
            self._transmit(key, request)

    def _count_in(self, epoch: str, head: int | None) -> None:
        """Forget our position in a log that is another one, or was put back to an earlier state."""
        if epoch != self._epoch or (head is not None and head < self._seq):
            self._epoch, self._seq, self._confirmed = epoch, 0, 0
            self._looked.clear()

    def _error(self, error: Error) -> None:
        if error.error == ErrorCode.STORAGE_FULL and error.retry_after is not None:
            self.stuck = True
        if error.re is not None:
            self._answer(error.re, error)
        elif self.opened:
            self._events.append(error)
        elif not self._comes_without(error):
            self._events.append(Refused(error))

    def _comes_without(self, error: Error) -> bool:
        """Whether the server passes over what was wrong with our hello, and opens a session."""
        if error.error == ErrorCode.BAD_FIELD:
            return self._place > 0 and not error.fatal  # a place that its log does not have
        return error.error == ErrorCode.BAD_TOKEN

    def _listed(self, users: Users) -> None:
        self.users = tuple(users.users)
        if users.re is not None:
            self._answer(users.re, users)
            return
        for key, request in self._unanswered.items():
            if isinstance(request, Who | Ping):
                self._answer(key, users if isinstance(request, Who) else Pong(request.n))
                return

    def _grouped(self, info: GroupInfo) -> None:
        request = self._unanswered.get(info.re or "")
        named = [row.group for row in info.groups]
        if info.re == _MY_GROUPS or (isinstance(request, Group) and request.op == "list"):
            self.groups = tuple(named)
        elif isinstance(request, Group):
            gone = request.op in ("rename", "leave", "delete")
            self._regroup([request.group] if gone else [], named)
        self._replied(info)

    def _replied(self, reply: GroupInfo | Items | Ack | Ok | Seen | Stats) -> None:
        if reply.re is not None:
            self._answer(reply.re, reply)

    def _acknowledged(self, ack: Ack) -> None:
        self.stuck = False
        self._replied(ack)

    def _pinged(self, ping: Ping) -> None:
        self._write(Pong(ping.n))

    def _ponged(self, pong: Pong) -> None:
        self.stuck = self.stuck and pong.n is None
        self._answer(str(pong.n), pong)

    def _noticed(self, notice: Notice) -> None:
        if notice.kind == "renamed":
            self._renamed(notice.name, notice.new)
        elif notice.kind == "joined" and notice.name is not None:
            self.users = (*(name for name in self.users if name != notice.name), notice.name)
        elif notice.kind in ("quit", "lost", "removed"):
            self.users = tuple(name for name in self.users if name != notice.name)
        self._events.append(notice)

    def _renamed(self, old: str | None, new: str | None) -> None:
        if new is not None:
            self.users = tuple(new if name == old else name for name in self.users)

    def _said_goodbye(self, bye: Bye) -> None:
        self.opened = False
        self.last_word = bye
        self._events.append(bye)

    _HANDLERS: ClassVar[dict[type[Message], Callable[[Client, Any], None]]] = {
        Welcome: _welcome,
        Error: _error,
        Users: _listed,
        Ack: _acknowledged,
        Ok: _replied,
        Seen: _replied,
        Stats: _replied,
        Items: _replied,
        GroupInfo: _grouped,
        Ping: _pinged,
        Pong: _ponged,
        Notice: _noticed,
        Bye: _said_goodbye,
    }
