"""One peer's state: what it may say when, and who it is."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from msgspec import Struct

from chatd.core.effects import Account
from chatd.core.limits import Bucket
from chatd.wire.errors import ErrorCode, PeerError
from chatd.wire.messages import WINDOW_BYTES, WINDOW_ITEMS, Hello, Message, Quit


class State(Enum):
    """Where a peer stands between its first byte and its last."""

    GREETING = "greeting"
    CHECKING = "checking"  # the password is being compared
    READY = "ready"
    LEAVING = "leaving"


class InFlight(NamedTuple):
    """One item on its way to a session; the same object serves all who get it."""

    seq: int
    size: int  # bytes, about
    author: int  # account
    conversation: int  # account, group, or everyone


class Gone(Struct, frozen=True):
    """The connection has ended, behind everything that came over it."""

    why: str


Item = Message | PeerError | Gone

NEXT = {
    (State.GREETING, Hello): State.CHECKING,
    (State.GREETING, Quit): State.LEAVING,
    (State.READY, Quit): State.LEAVING,
}


# What all share who have nothing there: an own one has 600 bytes, and most are silent.
NO_ITEMS: deque[Item] = deque()
NO_FLIGHT: deque[InFlight] = deque()


@dataclass(slots=True, eq=False)
class Session:
    """One connection and, once it is ready, the person behind it."""

    conn: int
    address: str  # host, without the port
    origin: str  # host and port, for the log
    since: int  # milliseconds since 1970
    heard: float  # monotonic time of the last item
    state: State = State.GREETING
    account: Account | None = None
    hello: Hello | None = None
    plain: bool = True
    notices: bool = False
    claim: int = 0  # names this session among all nodes of a cluster
    authenticated: bool = False  # by password or token, not only by saying a name
    misses: int = 0
    answered_probe: bool = True  # nobody has asked, or it has said something since
    garbage: int = 0
    began: float = 0.0  # monotonic time of connecting
    bucket: Bucket | None = None  # what it may still send; None: no rate holds for it
    blocked: int | None = None  # the ticket that the next item waits for
    inbox: deque[Item] = field(default_factory=lambda: NO_ITEMS)  # see `take_in`
    # --- what reaches it; see `chatd.core.flow` ---
    live: bool = False  # it stands at the end of the log
    reading: bool = False  # a page of the log was asked for
    resumable: bool = False  # it confirms what it has, and so can go on where it stood
    position: int = 0  # seq; where it is not live: all up to there is queued
    opened_at: int = 0  # the head of the log when the session began: what is older comes late
    broadcasts_after: int = 0
    flight: deque[InFlight] = field(default_factory=lambda: NO_FLIGHT)  # see `sent`
    flight_bytes: int = 0
    confirmed: float = 0.0  # monotonic time of the last sign that it takes what it is sent
    watched: bool = False  # an alarm looks after that

    @property
    def number(self) -> int:
        """Of the account; 0 before the session is open."""
        return self.account.number if self.account else 0

    @property
    def window_full(self) -> bool:
        """Whether nothing more may be sent before something is confirmed."""
        return len(self.flight) >= WINDOW_ITEMS or self.flight_bytes >= WINDOW_BYTES

    @property
    def name(self) -> str:
        """The shown name; empty before the session is open."""
        return self.account.name if self.account else ""

    def take_in(self, *items: Item) -> None:
        """These wait to be handled, behind those that wait already."""
        if self.inbox is NO_ITEMS:
            self.inbox = deque()
        self.inbox.extend(items)

    def next_item(self) -> Item:
        """Take out what came first."""
        item = self.inbox.popleft()
        if not self.inbox:
            self.inbox = NO_ITEMS
        return item

    def put_back(self, item: Item) -> None:
        """This comes before all that waits."""
        self.take_in()
        self.inbox.appendleft(item)

    def sent(self, mark: InFlight) -> None:
        """One more that is not confirmed."""
        if self.flight is NO_FLIGHT:
            self.flight = deque()
        self.flight.append(mark)
        if not self.plain:
            self.flight_bytes += mark.size

    def arrived(self, upto: int) -> list[InFlight]:
        """What was not confirmed up to there is so now."""
        arrived = []
        while self.flight and self.flight[0].seq <= upto:
            arrived.append(self.flight.popleft())
        if not self.flight:
            self.flight = NO_FLIGHT
        if not self.plain:
            self.flight_bytes -= sum(mark.size for mark in arrived)
        return arrived

    def admit(self, message: Message) -> None:
        """Move on by the table; raises `PeerError` where the message is out of place."""
        kind = type(message)
        if (self.state, kind) in NEXT:
            self.state = NEXT[self.state, kind]
        elif self.state is State.GREETING:
            raise PeerError(ErrorCode.HELLO_FIRST)
        elif kind is Hello:
            raise PeerError(ErrorCode.HELLO_TWICE)


class Crowd:
    """Sessions that all get the same."""

    def __init__(self) -> None:
        self._sessions: dict[int, Session] = {}  # by connection
        self._conns: tuple[int, ...] | None = None

    def __contains__(self, session: Session) -> bool:
        return session.conn in self._sessions

    @property
    def conns(self) -> tuple[int, ...]:
        """Their connections: one object as long as nobody comes or goes, so none per message."""
        if self._conns is None:
            self._conns = tuple(self._sessions)
        return self._conns

    def add(self, session: Session) -> None:
        """One more."""
        self._sessions[session.conn] = session
        self._conns = None

    def remove(self, session: Session) -> None:
        """One less, if it was there."""
        if self._sessions.pop(session.conn, None):
            self._conns = None


class Live(Crowd):
    """The sessions that stand at the end of the log: they get each item as it is stored."""

    def __init__(self) -> None:
        super().__init__()
        self.extended: dict[int, Session] = {}  # of them, those that confirm

    def add(self, session: Session) -> None:
        """It has everything."""
        super().add(session)
        session.live = True
        if not session.plain:
            self.extended[session.conn] = session

    def remove(self, session: Session) -> None:
        """It is left behind, or gone."""
        super().remove(session)
        session.live = False
        self.extended.pop(session.conn, None)
