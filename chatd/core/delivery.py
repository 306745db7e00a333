"""From a message said to a message kept, acknowledged and delivered: in this order."""

from __future__ import annotations

from collections.abc import Callable, Iterable
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
    Kind,
    Recall,
    Row,
    Send,
    Stored,
)
from chatd.core.flow import push
from chatd.core.session import Session
from chatd.wire.errors import ErrorCode, PeerError
from chatd.wire.messages import (
    SERVER,
    Ack,
    Outgoing,
    OutgoingBroadcast,
    OutgoingGroup,
)
from chatd.wire.text import timestamp

if TYPE_CHECKING:
    from chatd.core.hub import Hub

# Errors that tell of the receiver, and so may be new for a message that was stored before.
GONE_SINCE = frozenset(
    {
        ErrorCode.NO_SUCH_USER,
        ErrorCode.INBOX_FULL,
        ErrorCode.NO_SUCH_GROUP,
        ErrorCode.NOT_MEMBER,
    }
)

Receivers = Callable[[], list[int] | None]  # accounts when it is stored; None: everybody


def direct(hub: Hub, session: Session, said: Outgoing) -> list[Effect]:
    """One message to one person: to one who is absent too, if there is somebody to come back."""
    if said.id is None:
        return _direct(hub, session, said)
    return _or_as_before(hub, session, said, lambda: _direct(hub, session, said))


def _direct(hub: Hub, session: Session, said: Outgoing) -> list[Effect]:
    check_content(hub, said.content)
    receiver = _receiver(hub, said.to)
    author = hub.of_session(session)
    if receiver.number == author.number:
        raise PeerError(ErrorCode.SELF_MESSAGE)
    entry = _entry(hub, "direct", author, receiver.number, said)
    return _append(hub, session, entry, lambda: [receiver.number])


def _receiver(hub: Hub, name: str) -> Account:
    receiver = hub.accounts.find(name)
    if not hub.is_here(receiver.number):
        if receiver.assigned:
            raise PeerError(ErrorCode.NO_SUCH_USER, name=name, to=name)
        if hub.waiting.get(receiver.number, 0) >= hub.setup.limits.queue:
            raise PeerError(ErrorCode.INBOX_FULL, name=receiver.name, to=receiver.name)
    return receiver


def broadcast(hub: Hub, session: Session, said: OutgoingBroadcast) -> list[Effect]:
    """One message to everyone but its author."""
    check_content(hub, said.content)
    author = hub.of_session(session)
    entry = _entry(hub, "broadcast", author, EVERYONE, said)
    return _append(hub, session, entry, lambda: None)


def to_group(hub: Hub, session: Session, said: OutgoingGroup) -> list[Effect]:
    """One message to all members of a group but its author."""
    return _or_as_before(hub, session, said, lambda: _to_group(hub, session, said))


def _to_group(hub: Hub, session: Session, said: OutgoingGroup) -> list[Effect]:
    check_content(hub, said.content)
    author = hub.of_session(session)
    room = hub.groups.find(said.group, author.number)
    entry = _entry(hub, "group", author, room.kept.number, said)
    return _append(
        hub, session, entry, lambda: [one for one in room.members if one != author.number]
    )


def _entry(
    hub: Hub,
    kind: Kind,
    author: Account,
    target: int,
    said: Outgoing | OutgoingBroadcast | OutgoingGroup,
) -> Entry:
    return Entry(kind, author.number, author.name, target, said.content, hub.now.wall, said.id)


def _or_as_before(
    hub: Hub,
    session: Session,
    said: Outgoing | OutgoingGroup,
    attempt: Callable[[], list[Effect]],
) -> list[Effect]:
    """A retry is answered as the first time (rule 8), though its receiver may be gone by now."""
    try:
        return attempt()
    except PeerError as error:
        if said.id is None or error.code not in GONE_SINCE:
            raise
        wrong, key = error, said.id

    def then(done: Stored | Failed) -> list[Effect]:
        if isinstance(done, Stored) and done.dup:
            return [Send([session.conn], Ack(key, done.seq, timestamp(done.ts), "stored", True))]
        return hub.refuse(session, wrong, key)

    return hub.submit(Recall(session.number, key, said.content), then)


def server_says(hub: Hub, content: str, to: str | None = None) -> list[Effect]:
    """The operator at the console, to everyone or to one."""
    check_content(hub, content)
    number = EVERYONE if to is None else _receiver(hub, to).number
    kind: Kind = "broadcast" if to is None else "direct"
    entry = Entry(kind, SERVER_ACCOUNT, SERVER, number, content, hub.now.wall)
    return _append(hub, None, entry, lambda: None if to is None else [number])


def check_content(hub: Hub, content: str) -> None:
    """Raises `PeerError` for what is no message."""
    if not content.strip():
        raise PeerError(ErrorCode.EMPTY_MESSAGE)
    limit = hub.setup.limits.content
    long = len(content) > limit // 4  # else it fits, whatever its characters are
    if long and (len(content) > limit or len(content.encode()) > limit):
        raise PeerError(ErrorCode.MESSAGE_TOO_LONG, limit=limit)


def _append(hub: Hub, session: Session | None, entry: Entry, receivers: Receivers) -> list[Effect]:
    def then(done: Stored | Failed) -> list[Effect]:
        if isinstance(done, Failed):
            return hub.refuse(session, hub.refusal(done), entry.id) if session else []
        accounts = receivers()
        acknowledged = _acknowledge(hub, session, entry, done, accounts) if session else []
        return acknowledged if done.dup else acknowledged + deliver(hub, entry, done, accounts)

    return hub.submit(Append(entry), then)


def _acknowledge(
    hub: Hub, session: Session, entry: Entry, done: Stored, accounts: list[int] | None
) -> list[Effect]:
    """Durable, and who is not there to see it; a plain author hears only of the latter."""
    gone = [number for number in accounts or () if not hub.is_here(number)]
    queued = entry.kind == "direct" and bool(gone)
    if session.plain:
        if not queued:
            return []
    elif entry.id is None:
        return []
    seen = hub.accounts.numbered(gone[0]) if queued else None
    last_seen = timestamp(seen.last_seen) if seen and seen.last_seen else None
    ack = Ack(
        entry.id,
        done.seq,
        timestamp(done.ts),
        "queued" if queued else "stored",
        done.dup,
        last_seen,
        [hub.name_of(number) for number in gone],
    )
    return [Send([session.conn], ack)]


def spread(hub: Hub, row: Row, accounts: Iterable[int] | None) -> list[Effect]:
    """Give what was stored to those who are there; the others find it in the log."""
    entry = row.entry
    if entry.kind == "group":
        hub.groups.rooms[entry.target].authors.add(entry.author)
    for number in accounts or ():
        if entry.kind != "event" and not hub.has_session(number):
            hub.waiting[number] = hub.waiting.get(number, 0) + 1
    return push(hub, row, accounts)


def deliver(hub: Hub, entry: Entry, done: Stored, accounts: list[int] | None) -> list[Effect]:
    """The same for what was said here, and so is noted here."""
    pushed = spread(hub, Row(done.seq, entry), accounts)
    if entry.kind == "event":
        return pushed
    to = "*" if accounts is None else hub.name_of(entry.target)
    told = {"seq": done.seq, "kind": entry.kind, "from": entry.name, "to": to}
    hub.counts.messages[entry.kind] += 1
    return [*pushed, Happened("message", {**told, "text": entry.content})]
