"""One peer's state: what it may say when, and who it is."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from msgspec import Struct

from chatd.core.effects import Account
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
    authenticated: bool = False  # by password or token, not only by saying a name
    misses: int = 0
    answered_probe: bool = True  # nobody has asked, or it has said something since
    garbage: int = 0
    began: float = 0.0  # monotonic time of connecting
    blocked: int | None = None  # the ticket that the next item waits for
    inbox: deque[Item] = field(default_factory=deque)
    # --- what reaches it; see `chatd.core.flow` ---
    live: bool = False  # it stands at the end of the log
    reading: bool = False  # a page of the log was asked for
    resumable: bool = False  # it confirms what it has, and so can go on where it stood
    position: int = 0  # seq; where it is not live: all up to there is queued
    opened_at: int = 0  # the head of the log when the session began: what is older comes late
    broadcasts_after: int = 0
    flight: deque[InFlight] = field(default_factory=deque)
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

    def admit(self, message: Message) -> None:
        """Move on by the table; raises `PeerError` where the message is out of place."""
        kind = type(message)
        if (self.state, kind) in NEXT:
            self.state = NEXT[self.state, kind]
        elif self.state is State.GREETING:
            raise PeerError(ErrorCode.HELLO_FIRST)
        elif kind is Hello:
            raise PeerError(ErrorCode.HELLO_TWICE)
