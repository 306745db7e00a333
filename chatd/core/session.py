"""One peer's state: what it may say when, and who it is."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import Enum

from msgspec import Struct

from chatd.core.effects import Account
from chatd.wire.errors import ErrorCode, PeerError
from chatd.wire.messages import Hello, Message, Quit


class State(Enum):
    """Where a peer stands between its first byte and its last."""

    GREETING = "greeting"
    CHECKING = "checking"  # the password is being compared
    READY = "ready"
    LEAVING = "leaving"


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
    token: str = ""
    misses: int = 0
    garbage: int = 0
    blocked: int | None = None  # the ticket that the next item waits for
    inbox: deque[Item] = field(default_factory=deque)

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
