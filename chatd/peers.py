"""The connections as the hub's effects see them: what is queued for whom, in which dialect."""

from __future__ import annotations

from collections.abc import Callable

from chatd.core.effects import Close, Opened, Probe, Send, Tell
from chatd.dialects.http import HttpDialect, Request, speaks_http
from chatd.dialects.json import JsonDialect
from chatd.net.connection import Connection
from chatd.net.loop import Loop
from chatd.wire.errors import PeerError
from chatd.wire.messages import Message, Users, Welcome

PACE = 0.02  # seconds between two objects to a peer that cannot tell one from the next
HOLD = 1.0  # seconds such a peer is left alone after `welcome`, if it never asks who is there
UNFINISHED = 120.0  # seconds for one object: enough for a hundred bytes at one a second
STALL = 256 * 1024  # bytes queued for a plain peer: from here on it is served from the log
OUTBOX = 8 * 1024 * 1024  # bytes queued for one peer that are not in the log

Encoder = Callable[[Message], bytes]
Items = list[Message | PeerError]


class Peer:
    """One connection with its dialect; `held` keeps what a bare peer is not to see yet."""

    __slots__ = ("connection", "dialect", "finished", "first", "held", "timed")

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.dialect: JsonDialect | HttpDialect = JsonDialect()
        self.first: bytes | None = b""  # until they tell what is spoken
        self.held: list[bytes] | None = None
        self.finished = 0  # reads that brought an object to its end
        self.timed = False  # the time of an unfinished object runs

    @property
    def unfinished(self) -> bool:
        """Whether something has begun that has not ended."""
        return bool(self.first) or self.dialect.unfinished


class Peers:
    """Every open connection by its number."""

    def __init__(
        self,
        loop: Loop,
        unfinished: Callable[[int, Items], None],
        asked: Callable[[Connection, Request], None],
    ) -> None:
        """`unfinished` is told when the time for an object is over, like anything received.

        `asked` is told of a request of HTTP, which comes alone on its connection.
        """
        self._loop = loop
        self._asked = asked
        self._unfinished = unfinished
        self._peers: dict[int, Peer] = {}
        self.stalled: dict[int, None] = {}  # who takes less than is queued
        self.overrun: dict[int, None] = {}  # who takes nothing, and has had its bound

    def add(self, connection: Connection) -> None:
        """Somebody is there."""
        self._peers[connection.id] = Peer(connection)

    def forget(self, conn: int) -> None:
        """Its connection is no more."""
        self._peers.pop(conn, None)

    def received(self, conn: int, data: bytes) -> Items:
        """The messages that these bytes complete."""
        peer = self._peers.get(conn)
        if peer is None:
            return []
        if peer.first is not None:
            data = self._recognise(peer, peer.first + data)
        items = peer.dialect.receive(data)
        peer.finished += bool(items)
        if peer.unfinished and not peer.timed:
            self._time(peer)
        return items

    def _recognise(self, peer: Peer, first: bytes) -> bytes:
        """What there is to read once the first bytes tell in which dialect: until then, nothing."""
        is_http = speaks_http(first)
        peer.first = first if is_http is None else None
        if is_http:
            peer.dialect = HttpDialect(lambda request: self._asked(peer.connection, request))
        return b"" if is_http is None else first

    def _time(self, peer: Peer) -> None:
        before, peer.timed = peer.finished, True

        def over() -> None:
            peer.timed = False
            if not peer.unfinished:
                return
            if peer.finished == before:
                self._unfinished(peer.connection.id, peer.dialect.give_up())
            else:
                self._time(peer)

        self._loop.after(UNFINISHED, over)

    def opened(self, effect: Opened) -> None:
        """A session is open: from now on it is spoken to in its kind, and at its pace."""
        peer = self._peers.get(effect.conn)
        if peer is None:
            return  # it went while the store or the pool had its hello
        assert isinstance(peer.dialect, JsonDialect)
        peer.dialect.opened(is_plain=effect.plain)
        if effect.plain and peer.dialect.bare:
            peer.connection.pace = PACE
            peer.held = []
            self._loop.after(HOLD, lambda: self._release(peer))

    def send(self, effect: Send) -> None:
        """Queue one message for many, encoded once for each kind of them."""
        encoded: dict[Encoder, bytes] = {}
        for conn in effect.to:
            peer = self._peers.get(conn)
            if peer is None:
                continue
            encode = peer.dialect.encode
            data = encoded.get(encode)
            if data is None:
                data = encoded[encode] = encode(effect.message)
            if data and peer.held is None:
                self._queue(peer, data)
            elif data:
                self._hold(peer, effect.message, data)

    def _queue(self, peer: Peer, data: bytes) -> None:
        connection = peer.connection
        self._loop.queue(connection, data)
        if connection.queued > STALL:
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
        for data in held or ():
            self._queue(peer, data)

    def close(self, effect: Close) -> None:
        """Close when everything queued is written."""
        peer = self._peers.pop(effect.conn, None)
        if peer:
            self._release(peer)
            self._loop.close_soon(peer.connection, "by the hub")

    def abort(self, conn: int) -> None:
        """Close now; what is queued is lost to it."""
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
            self._loop.after(PACE, lambda: self._loop.tell_drained(peer.connection))
            return False
        return peer is not None

    def probe(self, effect: Probe) -> None:
        """Let the kernel find out whether somebody is there."""
        peer = self._peers.get(effect.conn)
        if peer:
            peer.connection.probe(effect.seconds)

    def say_at_once(self, message: Message) -> None:
        """The last word to everybody where there will be no further turn: what goes, goes."""
        for peer in self._peers.values():
            peer.connection.queue(peer.dialect.encode(message))
            peer.connection.pace = 0.0
            try:
                peer.connection.write()
                peer.connection.hang_up()
            except OSError:
                continue  # it is gone as well
