"""From one process to the next: what the store does not keep.

To everybody else those who come back after an upgrade were never gone: until they are here, or
their time is over, they are listed, and what is said to them is not said to somebody absent.
"""

from __future__ import annotations

from msgspec import Struct

from chatd.core.effects import Account, Alarm, Effect, Now, Send
from chatd.core.hub import FAREWELL, Hub
from chatd.core.session import Session, State
from chatd.wire.errors import ErrorCode, PeerError
from chatd.wire.messages import Bye

RETURN = 10.0  # seconds for coming back, at least: also where nobody else is waited for
COME_BACK = Bye(
    "shutdown", "The server is being upgraded; come back at once.", reconnect=True, after_s=0
)


class Expected(Struct, frozen=True):
    """Somebody who will come back."""

    number: int  # of the account
    name: str
    received: int  # seq
    here: bool  # until the upgrade; else lost shortly before it
    assigned: Account | None = None  # ... which no store has


class Handed(Struct, frozen=True):
    """What the next process is told by the one before it."""

    people: list[Expected]
    guests: dict[str, int]  # numbers of assigned names, by address
    first_number: int  # no account has this one, or one above it


def at_the_door(hub: Hub) -> bool:
    """Whether somebody is about to come in."""
    return any(one.state in (State.GREETING, State.CHECKING) for one in hub.sessions.values())


def hand_over(hub: Hub, now: Now) -> tuple[Handed, list[Effect]]:
    """Let everybody go, the extended ones to come back at once."""
    hub.now = now
    extended = [one for one in hub.online.values() if not one.plain]
    names = {one.number: one.name for one in extended}
    names |= {number: name for number, (name, _) in hub.departed.items()}
    people = [_expected(hub, number, name) for number, name in names.items()]
    effects: list[Effect] = []
    for session in list(hub.online.values()):
        if session.plain:
            effects += hub.notify("lost", session.name)
    for session in list(hub.sessions.values()):
        effects += _let_go(hub, session)
    return Handed(people, dict(hub.guest_numbers), hub.new_number()), effects


def _expected(hub: Hub, number: int, name: str) -> Expected:
    account = hub.accounts.numbered(number)
    received = hub.positions.begin(number, hub.seq)
    assigned = account if account and account.assigned else None
    return Expected(number, name, received, hub.is_here(number), assigned)


def _let_go(hub: Hub, session: Session) -> list[Effect]:
    if session.account is None:
        return hub.refuse(session, PeerError(ErrorCode.SHUTTING_DOWN))
    last = Bye("shutdown", FAREWELL) if session.plain else COME_BACK
    return [Send([session.conn], last), *hub.drop(session, "upgrade")]


def expect(hub: Hub, handed: Handed, now: Now) -> list[Effect]:
    """Wait for those who were here before the upgrade."""
    seconds = max(hub.setup.limits.grace, RETURN)
    for one in handed.people:
        if one.assigned:
            hub.accounts.know(one.assigned)
        hub.positions.begin(one.number, one.received)
        if one.here:
            hub.expected[one.number] = one.name
        hub.departed[one.number] = (one.name, now.monotonic + seconds)
    hub.guest_numbers.update(handed.guests)
    return [Alarm(seconds, "grace", one.number) for one in handed.people]
