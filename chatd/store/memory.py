"""The store that forgets: the reference for the promise, and for trying things out."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from typing import Any

from msgspec import structs

from chatd.core.effects import (
    EVERYONE,
    Account,
    Append,
    Came,
    Completion,
    Cursor,
    Entry,
    Failed,
    Find,
    Group,
    Join,
    KeptGroup,
    MoveCursors,
    Operation,
    Page,
    Part,
    Purge,
    PutAccount,
    PutGroup,
    Recall,
    Row,
    Stored,
    Touch,
)
from chatd.wire.errors import ErrorCode

Interval = tuple[int, int, int | None]  # account, since, until


class MemoryStore:
    """Keeps the promise of `chatd.store.base.Store` for as long as the process lives."""

    about = warning = ""

    def __init__(self) -> None:
        self.epoch = secrets.token_hex(4)
        self._log: list[Row] = []
        self._keys: dict[tuple[int, str], Row] = {}
        self._accounts: dict[int, Account] = {}
        self._groups: dict[int, Group] = {}
        self._members: dict[int, list[Interval]] = {}
        self._cursors: dict[tuple[int, int], Cursor] = {}
        self._done: list[Completion] = []
        self.commits = 0
        self.took: list[float] = []
        self._gone = 0  # entries at the beginning that are forgotten

    def submit(self, ticket: int, operation: Operation) -> None:
        """See `Store`."""
        self._done.append(OPERATIONS[type(operation)](self, ticket, operation))

    def append(self, ticket: int, operation: Append) -> Stored | Failed:
        """One entry, with what becomes true by it."""
        entry = operation.entry
        key = (entry.author, entry.id) if entry.id is not None else None
        if key in self._keys:
            return again(ticket, self._keys[key], entry)
        row = Row(len(self._log) + 1, entry)
        self._log.append(row)
        if key:
            self._keys[key] = row
        for change in operation.changes:
            self._apply(change, row.seq)
        return Stored(ticket, row.seq, entry.ts)

    def _apply(self, change: Join | Part | PutGroup, seq: int) -> None:
        if isinstance(change, PutGroup):
            self._groups[change.group.number] = change.group
            return
        intervals = self._members.setdefault(change.group, [])
        if isinstance(change, Join):
            intervals.append((change.account, seq, None))
            return
        self._members[change.group] = [
            (account, since, seq if account == change.account and until is None else until)
            for account, since, until in intervals
        ]

    def recall(self, ticket: int, operation: Recall) -> Stored:
        """What was stored under a key, if it was this."""
        row = self._keys.get((operation.author, operation.id))
        if row is None or row.entry.content != operation.content:
            return Stored(ticket)
        return Stored(ticket, row.seq, row.entry.ts, dup=True)

    def put_account(self, ticket: int, operation: PutAccount) -> Stored:
        """Make or replace; the position only moves by `MoveCursors`."""
        account = operation.account
        before = self._accounts.get(account.number)
        received = before.received if before else account.received
        self._accounts[account.number] = structs.replace(account, received=received)
        return Stored(ticket)

    def move_cursors(self, ticket: int, operation: MoveCursors) -> Stored:
        """Positions move forward."""
        for number, seq in operation.received.items():
            if number in self._accounts:
                moved = structs.replace(self._accounts[number], received=seq)
                self._accounts[number] = moved
        for cursor in operation.conversations:
            self._cursors[cursor.conversation, cursor.account] = cursor
        return Stored(ticket)

    def find(self, ticket: int, operation: Find) -> Page:
        """Look at everything, and ask of each row whether it may be seen."""
        rows = [row for row in self._log[self._gone :] if self._fits(row, operation)]
        return page(ticket, operation, rows[::-1] if operation.latest else rows, len(self._log))

    def purge(self, ticket: int, operation: Purge) -> Stored:
        """Forget what is older; the reference has no size, and so none that is too big."""
        while len(self._log) > self._gone and self._log[self._gone].entry.ts < operation.before:
            self._keys = {key: row for key, row in self._keys.items() if row.seq > self._gone + 1}
            self._gone += 1
        return Stored(ticket, self._gone)

    def _fits(self, row: Row, find: Find) -> bool:
        entry = row.entry
        bounds = find.after < row.seq and (find.before is None or row.seq < find.before)
        author = find.author in (None, entry.author) and (find.own or entry.author != find.account)
        return (
            bounds
            and author
            and self._visible(row, find)
            and (find.words is None or _has_words(entry, find.words))
            and find.target in (None, *_conversations(entry, find.account))
        )

    def _visible(self, row: Row, find: Find) -> bool:
        entry = row.entry
        if entry.kind == "direct":
            return find.account in (entry.target, entry.author)
        if entry.kind == "broadcast":
            return row.seq > find.broadcasts_after
        return any(
            account == find.account and since <= row.seq and (until is None or row.seq <= until)
            for account, since, until in self._members.get(entry.target, ())
        )

    def touch(self, ticket: int, _: Touch) -> Stored:
        """Memory takes everything."""
        return Stored(ticket)

    def completions(self) -> list[Completion]:
        """See `Store`."""
        done, self._done = self._done, []
        self.commits += any(not isinstance(one, Page) for one in done)
        return done

    def last_seq(self) -> int:
        """See `Store`."""
        return len(self._log)

    def first_free_number(self) -> int:
        """See `Store`."""
        said = (number for row in self._log for number in (row.entry.author, row.entry.target))
        return max([0, *self._accounts, *self._groups, *said]) + 1

    def accounts(self) -> list[Account]:
        """See `Store`."""
        return list(self._accounts.values())

    def groups(self) -> list[KeptGroup]:
        """See `Store`."""
        return [self._kept(group) for group in self._groups.values()]

    def _kept(self, group: Group) -> KeptGroup:
        intervals = self._members.get(group.number, [])
        present = [account for account, _, until in intervals if until is None]
        past = {account for account, _, _ in intervals} - set(present)
        said = (row.entry for row in self._log if row.entry.target == group.number)
        authors = {entry.author for entry in said if entry.kind == "group"}
        return KeptGroup(group, present, sorted(past), sorted(authors))

    def cursors(self) -> list[Cursor]:
        """See `Store`."""
        return list(self._cursors.values())

    def waiting(self) -> dict[int, int]:
        """See `Store`."""
        counts = {}
        for number, account in self._accounts.items():
            wanted = Find(account=number, after=account.received, limit=0, own=False)
            rows = (row for row in self._log[self._gone :] if self._fits(row, wanted))
            counts[number] = sum(row.entry.kind in ("direct", "group") for row in rows)
        return {number: count for number, count in counts.items() if count}

    def purged(self) -> int:
        """See `Store`."""
        return self._gone

    def entries(self, after: int, limit: int) -> list[Row]:
        """See `Store`."""
        after = max(after, self._gone)
        return self._log[after : after + limit]

    def fileno(self) -> int:
        """See `Store`: here nothing comes on its own."""
        return -1

    def take_in(self) -> None:
        """See `Store`."""

    def elsewhere(self) -> list[Came]:
        """See `Store`."""
        return []

    def close(self) -> None:
        """See `Store`."""


OPERATIONS: dict[type, Callable[[MemoryStore, int, Any], Completion]] = {
    Append: MemoryStore.append,
    PutAccount: MemoryStore.put_account,
    MoveCursors: MemoryStore.move_cursors,
    Find: MemoryStore.find,
    Purge: MemoryStore.purge,
    Recall: MemoryStore.recall,
    Touch: MemoryStore.touch,
}


def again(ticket: int, first: Row, entry: Entry) -> Stored | Failed:
    """The answer to a key that was used before: the first one's, for the same message only."""
    before = first.entry
    if (before.kind, before.target, before.content) != (entry.kind, entry.target, entry.content):
        return Failed(ticket, ErrorCode.ID_REUSED)
    return Stored(ticket, first.seq, before.ts, dup=True)


def page(ticket: int, find: Find, rows: list[Row], head: int) -> Page:
    """What of the rows (newest first for `latest`) goes into one page, oldest first."""
    size, end = 0, 0
    for row in rows[: find.limit]:
        size += len(row.entry.content.encode())
        end += 1
        if size >= find.size:
            break
    taken = rows[:end]
    return Page(ticket, taken[::-1] if find.latest else taken, len(rows) > end, head)


def _conversations(entry: Entry, me: int) -> tuple[int, ...]:
    """Under which targets the account `me` finds an entry."""
    if entry.kind == "broadcast":
        return (EVERYONE,)
    if entry.kind != "direct":
        return (entry.target,)
    return (entry.target if entry.author == me else entry.author,)


def _has_words(entry: Entry, words: str) -> bool:
    said = re.findall(r"\w+", entry.content.casefold())
    wanted = re.findall(r"\w+", words.casefold())
    return entry.kind != "event" and bool(wanted) and all(word in said for word in wanted)
