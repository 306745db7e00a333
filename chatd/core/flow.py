"""How items of the log reach a session: live while it keeps up, from the log when it does not.

Every session has a position: all that its account may see up to there is queued for it. A session
that is *live* stands at the end of the log and gets each item as it is stored. One whose window is
full is not live any more: nothing is kept for it, and it is continued from the log, by the same
query that serves the offline queue and a resumed session (rules 10 and 11 of the protocol).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from chatd.core.effects import (
    EVERYONE,
    Account,
    Alarm,
    Cursor,
    Effect,
    Failed,
    Find,
    Page,
    Row,
    Send,
    Stored,
    Tell,
    read_change,
)
from chatd.core.session import InFlight, Session
from chatd.wire.errors import ErrorCode, PeerError
from chatd.wire.messages import (
    SERVER,
    WINDOW_BYTES,
    WINDOW_ITEMS,
    GroupEvent,
    Incoming,
    IncomingBroadcast,
    IncomingGroup,
    Item,
    Read,
    Receipt,
    Received,
)
from chatd.wire.text import timestamp

if TYPE_CHECKING:
    from chatd.core.hub import Hub

MISSED_BROADCASTS = 200  # the newest of those that an absent person gets
FRAME = 200  # bytes of an item besides its text, about
RESUMED = 1000  # items that a resumed session may have got and not confirmed
TOLD_AT_ONCE = 500  # receipts for an author who comes back


def message_of(hub: Hub, row: Row, viewer: int, *, late: bool = False) -> Item:
    """An entry as the account `viewer` is told it."""
    entry, ts = row.entry, timestamp(row.entry.ts)
    if entry.kind == "direct":
        to = hub.name_of(entry.target) if entry.author == viewer else None
        return Incoming(entry.name, entry.content, row.seq, ts, late, to)
    if entry.kind == "broadcast":
        return IncomingBroadcast(entry.name, entry.content, row.seq, ts, late)
    if entry.kind == "group":
        group = hub.name_of(entry.target)
        return IncomingGroup(group, entry.name, entry.content, row.seq, ts, late)
    change = read_change(entry.content)
    return GroupEvent(
        change.group, change.kind, entry.name, row.seq, ts, change.names, change.to, late
    )


def conversation(row: Row) -> int:
    """Whose messages a receipt for this item is about; nobody's for an event."""
    if row.entry.kind == "event":
        return EVERYONE
    return row.entry.author if row.entry.kind == "direct" else row.entry.target


def _mark(row: Row) -> InFlight:
    content = row.entry.content
    size = len(content) if content.isascii() else len(content.encode())
    return InFlight(row.seq, size + FRAME, row.entry.author, conversation(row))


# --- live ---------------------------------------------------------------------------------------


def push(hub: Hub, row: Row, accounts: Iterable[int] | None) -> list[Effect]:
    """Give an item that was just stored to those of `accounts` (None: everybody) who are live."""
    message = message_of(hub, row, EVERYONE)
    if accounts is None:
        return _queue_for_all(hub, row, message)
    found = map(hub.by_account.get, accounts)
    return _queue(hub, row, [one for one in found if one is not None and one.live], message)


def _queue_for_all(hub: Hub, row: Row, message: Item) -> list[Effect]:
    """Nothing is done for each of the plain: what was said to all is not confirmed by them."""
    author = hub.session_of(row.entry.author)
    omitted = author.conn if author and author.live else 0
    conns = hub.live.conns
    hub.counts.deliveries += len(conns) - bool(omitted)
    confirming = [one for one in hub.live.extended.values() if one is not author]
    return [Send(conns, message, omitted), *_in_flight(hub, row, confirming)]


def _queue(hub: Hub, row: Row, sessions: list[Session], message: Item) -> list[Effect]:
    hub.counts.deliveries += len(sessions)
    sent = Send([one.conn for one in sessions], message)
    if row.entry.target == EVERYONE:
        sessions = [one for one in sessions if not one.plain]
    return [sent, *_in_flight(hub, row, sessions)]


def _in_flight(hub: Hub, row: Row, sessions: Iterable[Session]) -> list[Effect]:
    """What is not confirmed yet; a plain session confirms by taking it."""
    effects: list[Effect] = []
    mark = None
    for one in sessions:
        mark = mark or _mark(row)
        one.sent(mark)
        if one.plain:
            if len(one.flight) == 1:  # else it is asked for already
                effects.append(Tell(one.conn))
        elif one.window_full:
            effects += stall(hub, one, row.seq)
    return effects


def stall(hub: Hub, session: Session, position: int) -> list[Effect]:
    """Nothing more is queued for this session until it has taken what it has."""
    if not session.live:
        return []
    hub.live.remove(session)
    session.position = position
    told = [Tell(session.conn)] if session.plain else []
    return [*_watch(hub, session), *told]


def _watch(hub: Hub, session: Session) -> list[Effect]:
    """From now on it has to take something from time to time (502)."""
    session.confirmed = hub.now.monotonic
    if session.watched:
        return []
    session.watched = True
    return [Alarm(hub.setup.limits.reading, "reading", session.conn)]


# --- from the log -------------------------------------------------------------------------------


def begin(hub: Hub, session: Session, after: int) -> list[Effect]:
    """Bring a session that was just opened to the end of the log, from its position on."""
    session.position = after
    session.opened_at = session.broadcasts_after = hub.seq
    if after >= hub.seq:
        return _go_live(hub, session)
    watch = _watch(hub, session)
    if session.plain:
        return watch + read_on(hub, session)
    missed = Find(
        account=session.number,
        after=after,
        latest=True,
        limit=MISSED_BROADCASTS,
        own=False,
        target=EVERYONE,
    )

    def then(page: Page | Failed) -> list[Effect]:
        session.reading = False
        if isinstance(page, Page):
            first = page.rows[0].seq - 1 if page.more else after
            session.broadcasts_after = first
        return read_on(hub, session)

    session.reading = True
    return watch + hub.submit(missed, then)


def read_on(hub: Hub, session: Session) -> list[Effect]:
    """Read as much as the window takes, from the position on."""
    if session.live or session.reading or session.conn not in hub.sessions:
        return []
    items = WINDOW_ITEMS - len(session.flight)
    size = WINDOW_BYTES - session.flight_bytes
    if items < WINDOW_ITEMS // 2 or size < WINDOW_BYTES // 2:
        return []
    session.reading = True
    wanted = Find(
        account=session.number,
        after=session.position,
        limit=items,
        size=size,
        own=False,
        broadcasts_after=session.broadcasts_after,
    )
    return hub.submit(wanted, lambda page: _continue(hub, session, page))


def _continue(hub: Hub, session: Session, page: Page | Failed) -> list[Effect]:
    session.reading = False
    if session.conn not in hub.sessions:
        return []
    if isinstance(page, Failed):
        return [Alarm(hub.setup.limits.retry, "continue", session.conn)]
    effects: list[Effect] = []
    for row in page.rows:
        late = row.seq <= session.opened_at
        effects += _queue(hub, row, [session], message_of(hub, row, session.number, late=late))
        session.position = row.seq
    if page.more:
        return [*effects, Tell(session.conn)] if session.plain else effects + read_on(hub, session)
    session.position = max(session.position, page.head)
    if session.position < hub.seq or session.window_full:
        return effects + read_on(hub, session)
    return effects + _go_live(hub, session)


def _go_live(hub: Hub, session: Session) -> list[Effect]:
    hub.live.add(session)
    return []


# --- confirmed ----------------------------------------------------------------------------------


def received(hub: Hub, session: Session, said: Received) -> list[Effect]:
    """An extended session has everything up to there."""
    session.resumable = True
    return confirm(hub, session, said.upto)


def confirm(hub: Hub, session: Session, upto: int) -> list[Effect]:
    """What was in flight up to there has arrived: note how far, and go on if there is more."""
    upto = min(upto, hub.seq if session.live else session.position)
    arrived = session.arrived(upto)
    if arrived or session.plain:
        session.confirmed = hub.now.monotonic
    _note_arrived(hub, session.number, arrived, upto)
    return read_on(hub, session)


def _note_arrived(hub: Hub, reader: int, arrived: Iterable[InFlight], upto: int) -> None:
    reached: dict[int, int] = {}
    authors: dict[int, set[int]] = {}
    for mark in arrived:
        if mark.conversation != EVERYONE:
            reached[mark.conversation] = mark.seq
            authors.setdefault(mark.conversation, set()).add(mark.author)
    for number, seq in reached.items():
        hub.positions.move(reader, number, authors[number], hub.now.wall, delivered=seq)
    hub.positions.received(reader, upto)


def confirm_earlier(hub: Hub, session: Session, after: int) -> list[Effect]:
    """What came over an earlier connection is confirmed only now, by going on behind it."""
    own = hub.positions.begin(session.number, after)
    if after <= own:
        return []
    wanted = Find(
        account=session.number, after=own, before=after + 1, latest=True, limit=RESUMED, own=False
    )

    def then(page: Page | Failed) -> list[Effect]:
        if isinstance(page, Page):
            _note_arrived(hub, session.number, map(_mark, page.rows), after)
        return []

    return hub.submit(wanted, then)


def taken(hub: Hub, session: Session) -> list[Effect]:
    """The kernel has taken everything for a plain session: that is all it can confirm (rule 11)."""
    return confirm(hub, session, hub.seq if session.live else session.position)


def read(hub: Hub, session: Session, said: Read) -> list[Effect]:
    """A conversation was shown to somebody who looked; never answered (rule 13)."""
    if said.group is None and said.peer is None:
        raise PeerError(ErrorCode.MISSING_FIELD, field="with")
    try:
        number, authors = _looked_at(hub, session, said)
    except PeerError:
        return []  # a name that has gone since: there is nobody to tell
    upto = min(said.upto, hub.seq if session.live else session.position)
    if upto > hub.positions.cursor(session.number, number).read:
        hub.positions.move(session.number, number, authors, hub.now.wall, delivered=upto, read=upto)
    return []


def _looked_at(hub: Hub, session: Session, said: Read) -> tuple[int, set[int]]:
    """The number of the conversation, and whose messages are in it."""
    if said.group is not None:
        room = hub.groups.find(said.group, session.number)
        return room.kept.number, room.authors
    number = hub.accounts.find(said.peer or "").number
    return number, {number}


def flush(hub: Hub) -> list[Effect]:
    """Store, once per turn, what moved; the authors are told when that is durable."""
    moved = None if hub.retrying else hub.positions.take_moves()
    if moved is None:
        return []
    moves, to_tell = moved

    def then(done: Stored | Failed) -> list[Effect]:
        if isinstance(done, Failed):
            hub.positions.put_back(moves, to_tell)
            return hub.retry_soon()
        return [
            effect
            for (reader, number), authors in to_tell.items()
            for author in authors
            for effect in tell(hub, author, hub.positions.cursor(reader, number))
        ]

    return hub.submit(moves, then)


def tell(hub: Hub, author: int, cursor: Cursor) -> list[Effect]:
    """How far somebody is, to an author who is here."""
    session = hub.session_of(author)
    if session is None or session.plain or author == cursor.account:
        return []
    return [Send([session.conn], _receipt(hub, cursor))]


def _receipt(hub: Hub, cursor: Cursor) -> Receipt:
    by = hub.name_of(cursor.account)
    group = cursor.conversation in hub.groups.rooms
    account = hub.accounts.numbered(cursor.account)
    shared = account is None or account.receipts
    return Receipt(
        by,
        cursor.delivered,
        None if group else by,
        hub.name_of(cursor.conversation) if group else None,
        cursor.read if shared and cursor.read else None,
        not shared,
    )


def receipts_since(hub: Hub, account: Account, moment: int) -> list[Effect]:
    """What became of somebody's messages since then, and shortly before.

    What was told to a connection that was dead already has to be told again: it does no harm.
    """
    limits = hub.setup.limits
    moment -= round(1000 * limits.ping * (limits.misses + 2))
    rooms = (room for room in hub.groups.of(account.number) if account.number in room.authors)
    numbers = [account.number, *(room.kept.number for room in rooms)]
    moved = [
        cursor
        for number in numbers
        for cursor in hub.positions.of_conversation(number)
        if cursor.moved >= moment
    ]
    newest = sorted(moved, key=lambda cursor: cursor.moved)[-TOLD_AT_ONCE:]
    return [effect for cursor in newest for effect in tell(hub, account.number, cursor)]


def name_in(hub: Hub, number: int) -> str:
    """The name of an account or a group, whoever it is."""
    if number == EVERYONE:
        return SERVER
    account = hub.accounts.numbered(number)
    if account:
        return account.name
    room = hub.groups.rooms.get(number)
    return room.kept.name if room else "(somebody who left)"
