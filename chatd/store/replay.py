"""A chat given to any store by its own operations: to one that numbers its entries by itself.

Everything is the same then but places in the log and numbers of accounts and groups, which are
translated wherever they stand. The numbers begin anew: those of a cluster are big, and another one
has to be sure that none of its nodes gives them out again. It is another log, so that whoever comes
with a place of the old one is told of a gap. What was forgotten at the beginning of the old log has
no entry any more: a group that is older than the rest begins with an event of its making.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from itertools import count
from typing import Any, ClassVar

import msgspec

from chatd.core.effects import (
    Account,
    Append,
    Change,
    Cursor,
    Entry,
    Group,
    Join,
    MoveCursors,
    Operation,
    Part,
    PutAccount,
    PutGroup,
    Stored,
)
from chatd.store.base import Store
from chatd.store.rows import AccountRow, AnyRow, CursorRow, Fact, LogRow, MemberRow, RoomRow
from chatd.wire.errors import StoreError

AT_ONCE = 500  # operations under way: far below every bound


def replay(rows: Iterable[AnyRow], store: Store, wait: Callable[[], None]) -> None:
    """Give an empty store everything, in the order of `chatd.store.rows.TABLES`.

    `wait` comes back when there may be more answers. Raises `StoreError` where the store refuses
    something; what it has taken by then stays in it.
    """
    replaying = Replay(store, wait)
    for row in rows:
        replaying.take(row)
    replaying.end()


class Places:
    """Old places in the log to new ones, for those that are asked for."""

    def __init__(self) -> None:
        self._wanted: deque[int] = deque()
        self._new: dict[int, int] = {}
        self._newest = 0

    def want(self, places: Iterable[int]) -> None:
        """These will be asked for, before the first entry is passed."""
        self._wanted = deque(sorted({*self._wanted, *places}))

    def passed(self, old: int, new: int) -> None:
        """The entry that was `old` is `new`, and so on upwards; `old` 0 is before them all."""
        while self._wanted and self._wanted[0] < old:
            self._new[self._wanted.popleft()] = self._newest
        self._newest = new

    def new(self, old: int) -> int:
        """The last entry that is not behind it; 0 before the first one."""
        return self._new.get(old, self._newest)


class Replay:
    """The rows that were taken, as far as later ones need them."""

    def __init__(self, store: Store, wait: Callable[[], None]) -> None:
        self._store = store
        self._wait = wait
        self._tickets = count(1)
        self._asked: dict[int, int] = {}  # ticket to the old place of an entry; 0: it had none
        self._places = Places()
        self._purged = 0
        self._numbers: dict[int, int] = {}  # old to new
        self._names: dict[int, str] = {}  # by new numbers
        self._received: dict[int, int] = {}
        self._rooms: dict[int, Group] = {}  # those that are not made yet
        self._joins: dict[tuple[int, int], list[MemberRow]] = defaultdict(list)  # by room, place
        self._parts: dict[tuple[int, int], list[MemberRow]] = defaultdict(list)
        self._cursors: list[CursorRow] = []
        self._begun = False

    def take(self, row: AnyRow) -> None:
        """One more."""
        self._TAKE[type(row)](self, row)

    def end(self) -> None:
        """That was all."""
        self._begin()
        self._settle()
        received = {
            self._number(number): self._places.new(old) for number, old in self._received.items()
        }
        self._ask(MoveCursors(received, [self._moved(one) for one in self._cursors]))
        self._settle()

    def _moved(self, row: CursorRow) -> Cursor:
        account, conversation = self._number(row.account), self._number(row.conversation)
        delivered, read = self._places.new(row.delivered), self._places.new(row.read)
        return Cursor(account, conversation, delivered, read, row.moved)

    def _number(self, old: int) -> int:
        """Of an account or a group, also of one that is known by its entries alone."""
        return self._numbers.setdefault(old, len(self._numbers) + 1) if old else old

    # --- rows -----------------------------------------------------------------------------------

    def _fact(self, row: Fact) -> None:
        if row.key == "purged":
            self._purged = int(row.value)

    def _account(self, row: AccountRow) -> None:
        self._names[self._number(row.number)] = row.name
        self._received[row.number] = row.received
        account = Account(
            self._number(row.number),
            row.name,
            row.key,
            row.login,
            row.password,
            row.last_seen,
            receipts=bool(row.receipts),
            token=row.token,
        )
        self._ask(PutAccount(account))

    def _room(self, row: RoomRow) -> None:
        self._rooms[row.number] = Group(
            self._number(row.number),
            row.name,
            row.key,
            self._number(row.owner),
            row.created,
            bool(row.deleted),
        )

    def _member(self, row: MemberRow) -> None:
        """Who was in a room when nothing of now was said has nothing to see there."""
        if row.until is not None and row.until <= self._purged:
            return
        since = row.since if row.since > self._purged else 0
        self._joins[row.room, since].append(row)
        if row.until is not None:
            self._parts[row.room, row.until].append(row)

    def _entry(self, row: LogRow) -> None:
        self._begin()
        author, target = self._number(row.author), self._number(row.target)
        entry = Entry(row.kind, author, row.name, target, row.content, row.ts, row.id)
        self._append(entry, row.target, row.seq)

    # --- operations -----------------------------------------------------------------------------

    def _begin(self) -> None:
        """What is older than the log, before its first entry."""
        if self._begun:
            return
        self._begun = True
        self._places.want(self._received.values())
        self._places.want(one for row in self._cursors for one in (row.delivered, row.read))
        for number, since in sorted(self._joins):
            if not since:
                self._make(number, self._rooms[number], self._joins[number, since])

    def _make(self, number: int, group: Group, members: list[MemberRow]) -> None:
        names = [self._names.get(self._number(one.account), "") for one in members]
        content = msgspec.json.encode(Change("created", group.name, names)).decode()
        owner = self._names.get(group.owner, "")
        entry = Entry("event", group.owner, owner, group.number, content, group.created)
        self._append(entry, number, 0)

    def _append(self, entry: Entry, target: int, old: int) -> None:
        """One entry; what changes with it comes neither before nor behind its neighbours."""
        where = target, old
        members = sorted(self._joins.pop(where, []), key=lambda one: one.place)
        changes: list[Join | Part | PutGroup] = [
            *(Join(entry.target, self._number(one.account)) for one in members),
            *(Part(entry.target, self._number(one.account)) for one in self._parts.pop(where, [])),
        ]
        group = self._rooms.pop(target, None) if entry.kind == "event" else None
        if group:
            changes.insert(0, PutGroup(group))
        if changes:
            self._settle()
        self._ask(Append(entry, tuple(changes)), old)
        if changes:
            self._settle()

    def _ask(self, operation: Operation, old: int = 0) -> None:
        ticket = next(self._tickets)
        self._asked[ticket] = old
        self._store.submit(ticket, operation)
        if len(self._asked) >= AT_ONCE:
            self._settle()

    def _settle(self) -> None:
        """Wait for every answer."""
        while True:
            for done in self._store.completions():
                self._answered(done)
            if not self._asked:
                return
            self._wait()

    def _answered(self, done: Any) -> None:
        ticket = getattr(done, "ticket", None)
        if ticket not in self._asked:
            return  # what others do
        old = self._asked.pop(ticket)
        if not isinstance(done, Stored):
            why = getattr(done, "why", "") or "somebody else has changed the same meanwhile"
            raise StoreError(f"it does not take everything: {why}")
        if done.seq:
            self._places.passed(old, done.seq)

    _TAKE: ClassVar[dict[type, Callable[[Replay, Any], None]]] = {
        Fact: _fact,
        AccountRow: _account,
        RoomRow: _room,
        MemberRow: _member,
        CursorRow: lambda self, row: self._cursors.append(row),
        LogRow: _entry,
    }
