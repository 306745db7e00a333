"""The connections as the hub's effects see them: what is queued for whom, in which dialect."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from chatd.core.effects import Close, Opened, Probe, Send, Slow, Tell
from chatd.core.limits import Limits
from chatd.dialects.http import HttpDialect, Request, speaks_http
from chatd.dialects.json import JsonDialect
from chatd.net.connection import Connection
from chatd.net.loop import Loop
from chatd.net.tls import HANDSHAKE
from chatd.pages import LOOPBACK, is_within
from chatd.wire.errors import ErrorCode, PeerError
from chatd.wire.messages import Message, Users, Welcome

HOLD = 1.0  # seconds such a peer is left alone after `welcome`, if it never asks who is there
TOGETHER = 64  # messages joined at most: what a queue may be beyond its bound before it is known
MANY = 16  # requests at once; who brings more shares the time of a turn with others who do
STALL = 256 * 1024  # bytes queued for a plain peer: from here on it is served from the log
OUTBOX = 8 * 1024 * 1024  # bytes queued for one peer that are not in the log

Encoder = Callable[[Message], bytes]
Items = list[Message | PeerError]
Audience = tuple[dict[Encoder, list[Connection]], "list[Peer]"]  # by kind, and those apart


class Peer:
    """One connection with its dialect; `held` keeps what a bare peer is not to see yet."""

    __slots__ = ("connection", "dialect", "finished", "first", "held", "timed")

    def __init__(self, connection: Connection, limits: Limits) -> None:
        self.connection = connection
        self.dialect: JsonDialect | HttpDialect = JsonDialect(limits.object, limits.garbage)
        self.first: bytes | None = b""  # until they tell what is spoken
        self.held: list[bytes] | None = None
        self.finished = 0  # reads that brought an object to its end
        self.timed = False  # the time of an unfinished object runs

    @property
    def is_apart(self) -> bool:
        """Whether it takes one object at a time, and not always."""
        return self.held is not None or bool(self.connection.pace)

    @property
    def unfinished(self) -> bool:
        """Whether something has begun that has not ended."""
        return bool(self.first) or self.dialect.unfinished


class Batch:
    """Messages of one turn for the same receivers: encoded and joined once, when it is queued."""

    __slots__ = ("_members", "_unreached", "messages", "omitted", "to")

    def __init__(self, to: Sequence[int]) -> None:
        self.to = to
        self.messages: list[Message] = []
        self.omitted: dict[int, set[int]] = {}  # connections to the places of what they do not get
        self._members: frozenset[int] = frozenset()  # when it is first asked for
        self._unreached = 0  # a connection in `to` for which nothing is in it so far

    def is_for(self, to: Sequence[int]) -> bool:
        """Whether exactly the same receive it."""
        return self.to is to or self.to == to

    def add(self, message: Message, omitted: int) -> int:
        """One more, which `omitted` does not get; gives who is reached by this one first, or 0."""
        before = self._unreached
        self._unreached = omitted if not self.messages or omitted == before else 0
        if omitted:
            self.omitted.setdefault(omitted, set()).add(len(self.messages))
        self.messages.append(message)
        return before if before != self._unreached else 0

    def reaches(self, conn: int) -> bool:
        """Whether anything of it is for this one."""
        return conn != self._unreached and self._includes(conn)

    def _includes(self, conn: int) -> bool:
        self._members = self._members or frozenset(self.to)
        return conn in self._members

    def without_omitted(self, conn: int) -> list[Message]:
        """What of it is for one who does not get everything."""
        omitted = self.omitted[conn]
        if not self._includes(conn):
            return []  # gone since, and no longer one of them
        return [one for place, one in enumerate(self.messages) if place not in omitted]


class Peers:
    """Every open connection by its number.

    Messages for one are joined, and so are those for the same many; no receiver has both waiting,
    so that each gets everything in the order in which it was sent.
    """

    def __init__(
        self,
        loop: Loop,
        limits: Limits,
        unfinished: Callable[[int, Items], None],
        asked: Callable[[Connection, Request], None],
        secured: Callable[[Connection, bytes], bool] = lambda *_: False,
        *,
        tls_only: bool = False,
    ) -> None:
        """`unfinished` is told when the time for an object is over, like anything received.

        `asked` is told of a request of HTTP, which comes alone on its connection. `secured` gets a
        connection that begins like TLS, with what was read of it, and tells whether it goes on so.
        """
        self._loop = loop
        self.limits = limits
        self._asked = asked
        self._secured = secured
        self._tls_only = tls_only
        self._unfinished = unfinished
        self._peers: dict[int, Peer] = {}
        self._for_one: dict[int, list[Message]] = {}
        self._for_many: Batch | None = None
        self._known: tuple[Sequence[int], Audience] | None = None
        self._busy = 0  # connections that have brought many requests in this turn
        self._share = 1  # ... in the last one: by so many a turn is shared
        self.stalled: dict[int, None] = {}  # who takes less than is queued
        self.overrun: dict[int, None] = {}  # who takes nothing, and has had its bound

    def add(self, connection: Connection) -> None:
        """Somebody is there."""
        self._peers[connection.id] = Peer(connection, self.limits)

    def forget(self, conn: int) -> None:
        """Its connection is no more."""
        self._peers.pop(conn, None)
        self._known = None

    def received(self, conn: int, data: bytes) -> Items:
        """The messages that these bytes complete."""
        peer, size = self._peers.get(conn), len(data)
        if peer is None:
            return []
        if peer.first is not None:
            try:
                data = self._recognise(peer, peer.first + data)
            except PeerError as wrong:
                return [wrong]
        items = peer.dialect.receive(data)
        peer.finished += bool(items)
        if peer.unfinished and not peer.timed:
            self._time(peer)
        if items:
            self._busy += len(items) > MANY
            useful = not isinstance(items[-1], PeerError)
            peer.connection.suit(size, len(items) * self._share, useful=useful)
        return items

    def _recognise(self, peer: Peer, first: bytes) -> bytes:
        """What there is to read once the first bytes tell in which dialect: until then, nothing.

        Raises `PeerError` where that dialect has to be spoken in TLS, and is not.
        """
        connection = peer.connection
        if (
            not connection.secure
            and first.startswith(HANDSHAKE)
            and self._secured(connection, first)
        ):
            peer.first = b""  # now of what is inside
            return b""
        is_http = speaks_http(first)
        peer.first = first if is_http is None else None
        if is_http:
            peer.dialect = HttpDialect(lambda request: self._asked(connection, request))
        if self._tls_only and is_http is not None and not connection.secure:
            _may_be_plain(connection, is_http=is_http)
        return b"" if is_http is None else first

    def _time(self, peer: Peer) -> None:
        peer.timed = True
        over = partial(self._time_is_over, peer.connection.id, peer.finished)  # nobody who is gone
        self._loop.after(self.limits.unfinished, over)

    def _time_is_over(self, conn: int, before: int) -> None:
        peer = self._peers.get(conn)
        if peer is None:
            return
        peer.timed = False
        if peer.unfinished and peer.finished == before:
            self._unfinished(conn, peer.dialect.give_up())
        elif peer.unfinished:
            self._time(peer)

    def opened(self, effect: Opened) -> None:
        """A session is open: from now on it is spoken to in its kind, and at its pace."""
        self._settle(effect.conn)  # in the words for one who is not open
        self._known = None
        peer = self._peers.get(effect.conn)
        if peer is None:
            return  # it went while the store or the pool had its hello
        assert isinstance(peer.dialect, JsonDialect)
        peer.dialect.opened(is_plain=effect.plain)
        if effect.plain and peer.dialect.bare:
            peer.connection.pace = self.limits.apart
            peer.held = []
            self._loop.after(HOLD, lambda: self._release(peer))

    def send(self, effect: Send) -> None:
        """Queue one message; it leaves with the others of this turn, see `flush`."""
        if len(effect.to) == 1 and not effect.omitted:
            self._send_one(effect.to[0], effect.message)
        elif effect.to:
            self._send_many(effect)

    def _send_one(self, conn: int, message: Message) -> None:
        if self._for_many and self._for_many.reaches(conn):
            self._hand_many()
        waiting = self._for_one.get(conn)
        if waiting is None:
            self._for_one[conn] = [message]
            return
        waiting.append(message)
        if len(waiting) >= TOGETHER:
            self._hand_one(conn, self._for_one.pop(conn))

    def _send_many(self, effect: Send) -> None:
        batch = self._for_many
        if batch is None or not batch.is_for(effect.to):
            self._hand_many()
            batch = self._for_many = Batch(effect.to)
            batch.add(effect.message, effect.omitted)
            reached = [conn for conn in self._for_one if batch.reaches(conn)]
        else:
            reached = [batch.add(effect.message, effect.omitted)]
        for conn in reached:
            self._hand_one(conn, self._for_one.pop(conn, ()))
        if len(batch.messages) >= TOGETHER:
            self._hand_many()

    def flush(self, *, last: bool = False) -> None:
        """Queue everything that was sent since the last call; the `last` of a turn goes at once."""
        if last:
            self._share, self._busy = max(1, self._busy), 0
        self._hand_many(last=last)
        if self._for_one:
            waiting, self._for_one = self._for_one, {}
            for conn, messages in waiting.items():
                self._hand_one(conn, messages, last=last)

    def _settle(self, conn: int) -> None:
        """Queue what was sent to this one."""
        if self._for_many and self._for_many.reaches(conn):
            self._hand_many()
        self._hand_one(conn, self._for_one.pop(conn, ()))

    def _hand_one(self, conn: int, messages: Sequence[Message], *, last: bool = False) -> None:
        peer = self._peers.get(conn)
        if peer and peer.is_apart:
            self._queue_apart(peer, messages)
        elif peer and messages:
            self._write([peer.connection], b"".join(map(peer.dialect.encode, messages)), last=last)

    def _hand_many(self, *, last: bool = False) -> None:
        batch, self._for_many = self._for_many, None
        if batch is None:
            return
        kinds, apart = self._audience(batch.to)
        for encode, connections in kinds.items():
            others = connections
            if batch.omitted:
                others = [one for one in connections if one.id not in batch.omitted]
            self._write(others, b"".join(map(encode, batch.messages)), last=last)
        for peer in apart:
            if peer.connection.id not in batch.omitted:
                self._queue_apart(peer, batch.messages)
        for conn in batch.omitted:
            self._hand_one(conn, batch.without_omitted(conn), last=last)

    def _audience(self, to: Sequence[int]) -> Audience:
        """Those of `to` who are there; most messages to many are for the same as the last one."""
        if self._known is None or self._known[0] is not to:
            kinds: dict[Encoder, list[Connection]] = {}
            apart = []
            for peer in filter(None, map(self._peers.get, to)):
                if peer.is_apart:
                    apart.append(peer)
                else:
                    kinds.setdefault(peer.dialect.encode, []).append(peer.connection)
            self._known = to, (kinds, apart)
        return self._known[1]

    def _write(self, connections: Sequence[Connection], data: bytes, *, last: bool) -> None:
        if not data:
            return
        hand = self._loop.send if last else self._loop.queue_for_all
        for connection in hand(connections, data):
            if connection.queued > STALL:
                self._note_stalled(connection)

    def _queue_apart(self, peer: Peer, messages: Sequence[Message]) -> None:
        """For a peer that takes one object at a time."""
        for message in messages:
            data = peer.dialect.encode(message)
            if data and peer.held is not None:
                self._hold(peer, message, data)
            elif data:
                self._queue(peer, data)

    def _queue(self, peer: Peer, data: bytes) -> None:
        self._loop.queue(peer.connection, data)
        if peer.connection.queued > STALL:
            self._note_stalled(peer.connection)

    def _note_stalled(self, connection: Connection) -> None:
        self.stalled[connection.id] = None
        if connection.queued > OUTBOX:
            self.overrun[connection.id] = None

    def _hold(self, peer: Peer, message: Message, data: bytes) -> None:
        """A bare peer reads `welcome` and its first `users` each as all there is (rule 3)."""
        assert peer.held is not None
        if isinstance(message, Welcome | Users):
            self._queue(peer, data)
        else:
            peer.held.append(data)
        if isinstance(message, Users):
            self._release(peer)

    def _release(self, peer: Peer) -> None:
        held, peer.held = peer.held, None
        self._known = None
        for data in held or ():
            self._queue(peer, data)

    def close(self, effect: Close) -> None:
        """Close when everything queued is written."""
        self._settle(effect.conn)
        self._known = None
        peer = self._peers.pop(effect.conn, None)
        if peer:
            self._release(peer)
            self._loop.close_soon(peer.connection, "by the hub")

    def abort(self, conn: int) -> None:
        """Close now; what is queued is lost to it."""
        self._known = None
        peer = self._peers.pop(conn, None)
        if peer:
            self._loop.abort(peer.connection)

    def tell(self, effect: Tell) -> None:
        """Say when everything queued is written; for a bare peer also what is held back."""
        peer = self._peers.get(effect.conn)
        if peer:
            self._loop.tell_drained(peer.connection)

    def is_drained(self, conn: int) -> bool:
        """Whether really nothing waits; where something is held, it is asked again later."""
        peer = self._peers.get(conn)
        if peer and peer.held:
            self._loop.after(peer.connection.pace, lambda: self._loop.tell_drained(peer.connection))
            return False
        return peer is not None

    def slow(self, effect: Slow) -> None:
        """Let it wait."""
        peer = self._peers.get(effect.conn)
        if peer:
            self._loop.pause(peer.connection, effect.seconds)

    def probe(self, effect: Probe) -> None:
        """Let the kernel find out whether somebody is there."""
        peer = self._peers.get(effect.conn)
        if peer:
            peer.connection.probe(effect.seconds)

    def say_at_once(self, message: Message) -> None:
        """The last word to everybody where there will be no further turn: what goes, goes."""
        self.flush()
        for peer in self._peers.values():
            peer.connection.queue(peer.dialect.encode(message))
            peer.connection.pace = 0.0
            try:
                peer.connection.write()
                peer.connection.hang_up()
            except OSError:
                continue  # it is gone as well


def _may_be_plain(connection: Connection, *, is_http: bool) -> None:
    """Pages for this machine, as health checks ask for them. Raises `PeerError` for the rest."""
    if not (is_http and is_within(connection.host, LOOPBACK)):
        raise PeerError(ErrorCode.TLS_REQUIRED)
