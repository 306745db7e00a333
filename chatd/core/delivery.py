"""From a message said to a message kept, acknowledged and delivered: in this order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatd.core.effects import (
    EVERYONE,
    SERVER_ACCOUNT,
    Account,
    Append,
    Effect,
    Entry,
    Failed,
    Happened,
    Send,
    Stored,
)
from chatd.core.session import Session
from chatd.wire.errors import ErrorCode, PeerError
from chatd.wire.messages import (
    MAX_CONTENT,
    SERVER,
    Ack,
    Incoming,
    IncomingBroadcast,
    Outgoing,
    OutgoingBroadcast,
)
from chatd.wire.text import timestamp

if TYPE_CHECKING:
    from chatd.core.hub import Hub


def direct(hub: Hub, session: Session, said: Outgoing) -> list[Effect]:
    """One message to one person."""
    check_content(said.content)
    author = _author(session)
    receiver = hub.find_online(said.to).account
    assert receiver is not None
    if receiver.number == author.number:
        raise PeerError(ErrorCode.SELF_MESSAGE)
    entry = Entry(
        "direct", author.number, author.name, receiver.number, said.content, hub.now.wall, said.id
    )
    return _append(hub, session, entry, receiver.key)


def broadcast(hub: Hub, session: Session, said: OutgoingBroadcast) -> list[Effect]:
    """One message to everyone but its author."""
    check_content(said.content)
    author = _author(session)
    entry = Entry(
        "broadcast", author.number, author.name, EVERYONE, said.content, hub.now.wall, said.id
    )
    return _append(hub, session, entry)


def server_says(hub: Hub, content: str, to: str | None = None) -> list[Effect]:
    """The operator at the console, to everyone or to one."""
    check_content(content)
    receiver = hub.find_online(to).account if to is not None else None
    if receiver is None:
        entry = Entry("broadcast", SERVER_ACCOUNT, SERVER, EVERYONE, content, hub.now.wall)
        return _append(hub, None, entry)
    entry = Entry("direct", SERVER_ACCOUNT, SERVER, receiver.number, content, hub.now.wall)
    return _append(hub, None, entry, receiver.key)


def check_content(content: str) -> None:
    """Raises `PeerError` for what is no message."""
    if not content.strip():
        raise PeerError(ErrorCode.EMPTY_MESSAGE)
    if len(content) > MAX_CONTENT or len(content.encode()) > MAX_CONTENT:
        raise PeerError(ErrorCode.MESSAGE_TOO_LONG, limit=MAX_CONTENT)


def _author(session: Session) -> Account:
    assert session.account is not None
    return session.account


def _append(hub: Hub, session: Session | None, entry: Entry, to: str = "") -> list[Effect]:
    def then(done: Stored | Failed) -> list[Effect]:
        if isinstance(done, Failed):
            wrong = PeerError(done.code)
            return hub.refuse(session, wrong, entry.id) if session else []
        return _acknowledge(session, entry, done) + _deliver(hub, session, entry, done, to)

    return hub.submit(Append(entry), then)


def _acknowledge(session: Session | None, entry: Entry, done: Stored) -> list[Effect]:
    if session is None or entry.id is None:
        return []
    ack = Ack(entry.id, done.seq, timestamp(done.ts), "stored", done.dup)
    return [Send([session.conn], ack)]


def _deliver(
    hub: Hub, session: Session | None, entry: Entry, done: Stored, to: str
) -> list[Effect]:
    if done.dup:
        return []
    told: dict[str, str | int | None] = {"seq": done.seq, "from": entry.name}
    if entry.kind == "broadcast":
        everyone = [one.conn for one in hub.online.values() if one is not session]
        message = IncomingBroadcast(entry.name, entry.content, done.seq, timestamp(done.ts))
        told |= {"to": "*", "text": entry.content}
        return [Send(everyone, message), Happened("message", told)]
    receiver = hub.online.get(to)
    told |= {"to": receiver.name if receiver else to, "text": entry.content}
    heard = [receiver.conn] if receiver else []
    message_for_one = Incoming(entry.name, entry.content, done.seq, timestamp(done.ts))
    return [Send(heard, message_for_one), Happened("message", told)]
