"""What happens when a time is over; what it was for may be long settled by then."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from chatd.core import elsewhere, flow
from chatd.core.effects import Alarm, Effect, Send
from chatd.core.session import State
from chatd.wire.errors import ErrorCode, PeerError
from chatd.wire.messages import Ping

if TYPE_CHECKING:
    from chatd.core.hub import Hub


def hello_is_late(hub: Hub, conn: int) -> list[Effect]:
    """Nothing within the time: whoever connects and says nothing does not stay.

    Whoever has said something has more time once, enough for a slow line.
    """
    session, limits = hub.sessions.get(conn), hub.setup.limits
    if session is None or session.state is not State.GREETING:
        return []
    if session.heard > session.began and hub.now.monotonic - session.began < limits.slow_hello:
        return [Alarm(limits.slow_hello - limits.hello, "hello", session.conn)]
    return hub.refuse(session, PeerError(ErrorCode.HELLO_TIMEOUT, seconds=limits.hello))


def ask_alive(hub: Hub, conn: int) -> list[Effect]:
    """Ping an extended peer, and let it go when it has not answered for too long."""
    session, limits = hub.sessions.get(conn), hub.setup.limits
    if session is None:
        return []
    if hub.now.monotonic - session.heard < limits.ping / 2:
        return [Alarm(limits.ping, "ping", session.conn)]
    if session.misses >= limits.misses:
        return hub.end(session, "lost", "idle", "You did not answer.")
    session.misses += 1
    return [Send([session.conn], Ping()), Alarm(limits.ping, "ping", session.conn)]


def probe_is_over(hub: Hub, conn: int) -> list[Effect]:
    """The name was wanted by somebody else; a silent extended holder is dropped."""
    session = hub.sessions.get(conn)
    if session is None or session.plain or session.answered_probe:
        return []
    return hub.end(session, "lost", "idle", "You did not answer.")


def grace_is_over(hub: Hub, number: int) -> list[Effect]:
    """Somebody who could have come back has not: now the others are told."""
    name, until = hub.departed.get(number, ("", 0.0))
    if not name or hub.now.monotonic < until:  # back, or back and lost once more
        return []
    del hub.departed[number]
    hub.expected.pop(number, None)
    account = hub.accounts.numbered(number)
    if account and account.assigned:
        hub.accounts.forget(number)
        freed = elsewhere.give_back(hub, account, 0) if hub.shared else []
        return freed + hub.notify("lost", name)
    return hub.notify("lost", name)


def nothing_is_read(hub: Hub, conn: int) -> list[Effect]:
    """It is behind, and has confirmed nothing for too long; nothing is lost to it (502)."""
    session = hub.sessions.get(conn)
    if session is None:
        return []
    if session.live:
        session.watched = False
        return []
    rest = session.confirmed + hub.setup.limits.reading - hub.now.monotonic
    if rest > 0:
        return [Alarm(rest, "reading", conn)]
    told = hub.tell_error(conn, PeerError(ErrorCode.NOT_READING), fatal=True)
    return [told, *hub.drop(session, "not_reading", "lost")]


def read_again(hub: Hub, conn: int) -> list[Effect]:
    """The log could not be read for this session; it may be possible now."""
    session = hub.sessions.get(conn)
    return flow.read_on(hub, session) if session else []


OF_NO_CONNECTION = frozenset({"grace", "retry", "purge"})
ALARMS: dict[str, Callable[[Hub, int], list[Effect]]] = {
    "hello": hello_is_late,
    "ping": ask_alive,
    "probe": probe_is_over,
    "grace": grace_is_over,
    "reading": nothing_is_read,
    "continue": read_again,
    "retry": lambda hub, _: hub.retry(),
    "purge": lambda hub, _: hub.purge(hub.now),
}
