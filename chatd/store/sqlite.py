"""The embedded keeper: one SQLite file in WAL mode, one transaction per turn of the loop.

`submit` gathers entries and writes the rest into an open transaction; `completions` writes the
entries with one statement and commits (`synchronous=FULL`), so that the price of a disk sync is
paid once for everything a turn brought. Words are put into the full-text index many entries at a
time, as small transactions are what it is slow at: a search first brings it up to date.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import secrets
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from msgspec.structs import astuple

from chatd.core.effects import (
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
from chatd.store.memory import again, page
from chatd.store.migrations import migrate
from chatd.store.queries import build
from chatd.store.rows import TABLES, AnyRow
from chatd.wire.errors import ErrorCode, StoreError

APPEND = (
    "INSERT INTO log (seq, kind, author, name, target, content, ts, id)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
PUT_ACCOUNT = (
    "INSERT INTO accounts"
    " (number, name, key, login, password, last_seen, received, receipts, token)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (number) DO UPDATE SET"
    " name = excluded.name, key = excluded.key, login = excluded.login,"
    " password = excluded.password, last_seen = excluded.last_seen,"
    " receipts = excluded.receipts, token = excluded.token"
)
MOVE_CURSOR = (
    "INSERT INTO cursors (conversation, account, delivered, read, moved) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT (conversation, account) DO UPDATE SET"
    " delivered = max(delivered, excluded.delivered), read = max(read, excluded.read),"
    " moved = excluded.moved"
)
Kept = TypeVar("Kept")
FILE = "chat.db"
COPY = "copy"  # the folder in which a node of a cluster has it
WHOLE = "whole"  # such a copy when no node was left that could have said more
WAL = 1010 * 4120  # bytes: a thousand pages, and those of one more turn
UNINDEXED = 500  # entries whose words wait for the index at most: about 2 ms
PURGED_AT_ONCE = 2000  # entries: about 20 ms, in which nobody is answered


def _at_the_start(read: Callable[[SqliteStore], Kept]) -> Callable[[SqliteStore], Kept]:
    """For what is read before anybody is served: damage that is found by it is one clear error."""

    @functools.wraps(read)
    def checked(self: SqliteStore) -> Kept:
        try:
            return read(self)
        except sqlite3.Error as error:
            raise StoreError(f"cannot read {self.path}: {error}") from error

    return checked


class SqliteStore:
    """Keeps the promise of `chatd.store.base.Store` in `folder`, which it makes (mode 0700).

    Raises `StoreError` where the folder or the file cannot be used. What is not `durable` is a copy
    of something else, and waits for no disk; it has no epoch before it is told.
    """

    about = warning = ""

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        self.path = folder / FILE
        self._durable = durable
        with contextlib.ExitStack() as undo:
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._lock = lock(folder)
                undo.callback(os.close, self._lock)
                os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
                self._db = sqlite3.connect(self.path, isolation_level=None)
                undo.callback(self._db.close)
                self._prepare()
                _lengthen(self.path.with_name(f"{FILE}-wal"))
                self.epoch = self._read_epoch()
                self._seq = self._kept_seq = self._last_seq()  # given out, and durable
                self._indexed = self._kept_indexed = self._read_indexed()
            except (OSError, sqlite3.Error, StoreError) as error:
                raise StoreError(f"cannot use {self.path}: {error}") from error
            undo.pop_all()
        self.commits = 0
        self.took: list[float] = []
        self._answers: list[Completion] = []
        self._found: dict[int, Find] = {}  # what was read in the open transaction
        self._open = False
        self._accounts: list[tuple[Any, ...]] = []  # that are not written yet
        self._rows: list[tuple[Any, ...]] = []  # and entries
        self._keys: dict[tuple[int, str], Row] = {}  # ... and those of them that have an id

    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute(f"PRAGMA synchronous = {'FULL' if self._durable else 'OFF'}")
        migrate(self._db)
        first = ("epoch", secrets.token_hex(4)) if self._durable else ("copy", "")
        self._db.execute("INSERT OR IGNORE INTO meta VALUES (?, ?)", first)
        if self._durable:  # made from a copy, as by a backup
            self._db.execute("DELETE FROM meta WHERE key = 'copy'")

    def _read_epoch(self) -> str:
        row = self._db.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone()
        return str(row[0]) if row else ""

    def note(self, key: str, value: str) -> None:
        """Say something of a copy as a whole: its `epoch`, or what it is a `copy` of.

        Raises `StoreError`.
        """
        try:
            self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))
            self.epoch = self._read_epoch()
        except sqlite3.Error as error:
            raise StoreError(f"cannot write {self.path}: {error}") from error

    def _read_indexed(self) -> int:
        (upto,) = self._db.execute("SELECT upto FROM indexed").fetchone()
        return int(upto)

    def submit(self, ticket: int, operation: Operation) -> None:
        """See `Store`."""
        if type(operation) not in GATHERED:
            self._write()
        try:
            if not isinstance(operation, Find):
                self._begin()
            elif self._open:
                self._found[ticket] = operation
            answer = OPERATIONS[type(operation)](self, ticket, operation)
        except sqlite3.Error as error:
            if not isinstance(operation, Find):  # what cannot be read costs nobody what is written
                self._give_up(error)
            answer = Failed(ticket, ErrorCode.STORAGE_FULL, str(error))
        self._answers.append(answer)

    def completions(self) -> list[Completion]:
        """Commit what was submitted since the last call."""
        self._write()
        if self._open:
            try:
                if self._seq - self._indexed >= UNINDEXED:
                    self._index()
                self._db.execute("COMMIT")
                self._open = False
                self.commits += 1
                self._kept_seq, self._kept_indexed = self._seq, self._indexed
            except sqlite3.Error as error:
                self._give_up(error)
        answers, self._answers = self._answers, []
        self._found.clear()
        return answers

    def _begin(self) -> None:
        if not self._open:
            self._db.execute("BEGIN IMMEDIATE")
            self._open = True

    def _write(self) -> None:
        """Put what was gathered into the open transaction."""
        gathered = ((PUT_ACCOUNT, self._accounts), (APPEND, self._rows))
        self._accounts, self._rows = [], []
        self._keys.clear()
        try:
            for statement, rows in gathered:
                if rows:
                    self._db.executemany(statement, rows)
        except sqlite3.Error as error:
            self._give_up(error)

    def _index(self) -> None:
        """Bring the index of words up to the end of what is written."""
        self._db.execute(
            "INSERT INTO log_text (rowid, content)"
            " SELECT seq, content FROM log WHERE seq > ? AND kind <> 'event'",
            (self._indexed,),
        )
        self._indexed = self._seq
        self._db.execute("UPDATE indexed SET upto = ?", (self._seq,))

    def _give_up(self, error: sqlite3.Error) -> None:
        """The transaction is lost, with everything that was answered in it; pages are read anew."""
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")
        self._open = False
        self._seq, self._indexed = self._kept_seq, self._kept_indexed
        self._accounts.clear()
        self._rows.clear()
        self._keys.clear()
        self._answers = [self._instead(answer, str(error)) for answer in self._answers]
        self._found.clear()

    def _instead(self, answer: Completion, why: str) -> Completion:
        """What holds of an answer now that its transaction is lost."""
        if isinstance(answer, Stored):
            return Failed(answer.ticket, ErrorCode.STORAGE_FULL, why)
        wanted = self._found.get(answer.ticket)
        if wanted is None:
            return answer
        try:
            return self.find(answer.ticket, wanted)
        except sqlite3.Error as error:
            return Failed(answer.ticket, ErrorCode.STORAGE_FULL, str(error))

    def append(self, ticket: int, operation: Append) -> Stored | Failed:
        """One entry at the end with what becomes true by it, or what its key became before."""
        entry = operation.entry
        first = self.first(entry.author, entry.id) if entry.id is not None else None
        if first is not None:
            return again(ticket, first, entry)
        self._seq = seq = self._seq + 1
        self._rows.append((seq, *astuple(entry)))
        if entry.id is not None:
            self._keys[entry.author, entry.id] = Row(seq, entry)
        for change in operation.changes:
            CHANGES[type(change)](self, change, seq)
        return Stored(ticket, seq, entry.ts)

    def append_as(self, seq: int, operation: Append) -> Stored | Failed:
        """The same under a number that was given elsewhere, above all others."""
        before, self._seq = self._seq, seq - 1
        try:
            self._begin()
            done = self.append(0, operation)
        except sqlite3.Error as error:
            self._give_up(error)
            return Failed(0, ErrorCode.STORAGE_FULL, str(error))
        if isinstance(done, Failed) or done.dup:
            self._seq = before
        return done

    def first(self, author: int, key: str) -> Row | None:
        """The entry that was stored under this key."""
        if (author, key) in self._keys:
            return self._keys[author, key]
        found = self._db.execute(
            "SELECT seq, kind, author, name, target, content, ts, id FROM log"
            " WHERE author = ? AND id = ?",
            (author, key),
        ).fetchone()
        return _row(found) if found else None

    def recall(self, ticket: int, operation: Recall) -> Stored:
        """What was stored under a key, if it was this."""
        row = self.first(operation.author, operation.id)
        if row is None or row.entry.content != operation.content:
            return Stored(ticket)
        return Stored(ticket, row.seq, row.entry.ts, dup=True)

    def touch(self, ticket: int, _: Touch) -> Stored:
        """A row that is written anew takes a page, as a new one does."""
        self._db.execute("INSERT OR REPLACE INTO meta VALUES ('touched', '')")
        return Stored(ticket)

    def put_group(self, change: PutGroup, _: int) -> None:
        """Make or replace one group."""
        one = change.group
        self._db.execute(
            "INSERT OR REPLACE INTO rooms VALUES (?, ?, ?, ?, ?, ?)",
            (one.number, one.name, one.key, one.owner, one.created, one.deleted),
        )

    def join(self, change: Join, seq: int) -> None:
        """An interval of membership begins."""
        self._db.execute(
            "INSERT OR IGNORE INTO members (account, room, since, place)"
            " VALUES (?, ?, ?, (SELECT count(*) FROM members WHERE room = ?))",
            (change.account, change.group, seq, change.group),
        )

    def part(self, change: Part, seq: int) -> None:
        """... and ends."""
        self._db.execute(
            "UPDATE members SET until = ? WHERE account = ? AND room = ? AND until IS NULL",
            (seq, change.account, change.group),
        )

    def put_account(self, ticket: int, operation: PutAccount) -> Stored:
        """Make or replace one account; its position only moves by `MoveCursors`."""
        one = operation.account
        self._accounts.append(
            (
                one.number,
                one.name,
                one.key,
                one.login,
                one.password,
                one.last_seen,
                one.received,
                one.receipts,
                one.token,
            )
        )
        return Stored(ticket)

    def move_cursors(self, ticket: int, operation: MoveCursors) -> Stored:
        """Positions move forward."""
        self._db.executemany(
            "UPDATE accounts SET received = max(received, ?) WHERE number = ?",
            [(seq, number) for number, seq in operation.received.items()],
        )
        self._db.executemany(
            MOVE_CURSOR,
            [
                (one.conversation, one.account, one.delivered, one.read, one.moved)
                for one in operation.conversations
            ],
        )
        return Stored(ticket)

    def find(self, ticket: int, operation: Find) -> Page:
        """One page of what somebody may see."""
        if operation.words is not None:
            self._index_to_search()
        statement, parameters = build(operation)
        rows = [_row(one) for one in self._db.execute(statement, parameters)]
        return page(ticket, operation, rows, self._seq)

    def _index_to_search(self) -> None:
        """Where nothing can be written, the words of the newest entries are not found."""
        if self._indexed == self._seq:
            return
        try:
            self._begin()
            self._index()
        except sqlite3.Error as error:
            self._give_up(error)

    def purge(self, ticket: int, operation: Purge) -> Stored:
        """Forget the oldest entries, some at a time; answers up to where the log is gone."""
        upto = self.too_old(operation)
        self.forget(upto)
        return Stored(ticket, max(upto, self._purged()))

    def too_old(self, operation: Purge) -> int:
        """The last entry to be forgotten now; 0 for none."""
        rows = self._db.execute(
            "SELECT seq, ts, kind, content FROM log ORDER BY seq LIMIT ?", (PURGED_AT_ONCE,)
        ).fetchall()
        too_big = operation.keep_bytes is not None and self._used() > operation.keep_bytes
        old = [row for row in rows if too_big or row[1] < operation.before]
        # The log loses a beginning, never a piece of its middle, whatever the clock has done.
        old = rows[: rows.index(old[-1]) + 1] if old else []
        return int(old[-1][0]) if old else 0

    def forget(self, upto: int) -> list[int]:
        """Forget the entries up to there; which messages they were."""
        self._write()
        self._begin()
        old = self._db.execute(
            "SELECT seq, kind, content FROM log WHERE seq <= ? ORDER BY seq", (upto,)
        ).fetchall()
        if upto <= self._purged():
            return []
        if upto > self._seq:  # a copy that was made later
            self._seq = upto
            self._go_on_behind(upto)
        if upto > self._indexed:
            self._index()
        self._db.executemany(
            "INSERT INTO log_text (log_text, rowid, content) VALUES ('delete', ?, ?)",
            [(seq, content) for seq, kind, content in old if kind != "event"],
        )
        self._db.execute("DELETE FROM log WHERE seq <= ?", (upto,))
        self._db.execute("INSERT OR REPLACE INTO meta VALUES ('purged', ?)", (str(upto),))
        return [seq for seq, kind, _ in old if kind != "event"]

    def _used(self) -> int:
        """Bytes of the database that hold something."""
        pages, free, size = (
            self._db.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * size)

    def fill(self, seq: int, rows: Iterable[AnyRow]) -> None:
        """See `Movable`."""
        self._begin()
        try:
            self._db.execute("DELETE FROM meta")
            for row in rows:
                self._db.execute(INSERTS[type(row)], astuple(row))
            self._go_on_behind(seq)
            self._seq, self._indexed = seq, 0
            self._index()
            self._db.execute("COMMIT")
        except sqlite3.IntegrityError as error:
            raise ValueError(str(error)) from error
        except sqlite3.Error as error:
            raise StoreError(f"cannot write {self.path}: {error}") from error
        finally:
            self._filled()

    def _go_on_behind(self, seq: int) -> None:
        self._db.execute("DELETE FROM sqlite_sequence WHERE name = 'log'")
        self._db.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('log', ?)", (seq,))

    def _filled(self) -> None:
        """Go on with what is in the file now, whether that is everything or nothing."""
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")
        self._open = False
        self.epoch = self._read_epoch()
        self._seq = self._kept_seq = self._last_seq()
        self._indexed = self._kept_indexed = self._read_indexed()

    @_at_the_start
    def last_seq(self) -> int:
        """See `Store`."""
        return self._last_seq()

    def _last_seq(self) -> int:
        row = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'log'").fetchone()
        return int(row[0]) if row else 0

    @_at_the_start
    def first_free_number(self) -> int:
        """See `Store`."""
        (used,) = self._db.execute(
            "SELECT max(coalesce((SELECT max(number) FROM accounts), 0),"
            " coalesce((SELECT max(number) FROM rooms), 0),"
            " coalesce((SELECT max(author) FROM log), 0),"
            " coalesce((SELECT max(target) FROM log), 0))"
        ).fetchone()
        return int(used) + 1

    @_at_the_start
    def accounts(self) -> list[Account]:
        """See `Store`."""
        rows = self._db.execute(
            "SELECT number, name, key, login, password, last_seen, received, receipts, token"
            " FROM accounts ORDER BY number"
        )
        return [
            Account(number, name, key, login, password, seen, received, bool(receipts), token)
            for number, name, key, login, password, seen, received, receipts, token in rows
        ]

    @_at_the_start
    def groups(self) -> list[KeptGroup]:
        """See `Store`."""
        rows = self._db.execute("SELECT number, name, key, owner, created, deleted FROM rooms")
        groups = [
            Group(number, name, key, owner, created, bool(deleted))
            for number, name, key, owner, created, deleted in rows.fetchall()
        ]
        return [self._kept(group) for group in groups]

    def _kept(self, group: Group) -> KeptGroup:
        rows = self._db.execute(
            "SELECT account, until FROM members WHERE room = ? ORDER BY place",
            (group.number,),
        ).fetchall()
        present = [account for account, until in rows if until is None]
        past = {account for account, _ in rows} - set(present)
        said = self._db.execute(
            "SELECT DISTINCT author FROM log WHERE target = ? AND kind = 'group'", (group.number,)
        )
        return KeptGroup(group, present, sorted(past), sorted(author for (author,) in said))

    @_at_the_start
    def cursors(self) -> list[Cursor]:
        """See `Store`."""
        rows = self._db.execute("SELECT account, conversation, delivered, read, moved FROM cursors")
        return [Cursor(*row) for row in rows]

    @_at_the_start
    def waiting(self) -> dict[int, int]:
        """See `Store`."""
        rows = self._db.execute(
            "SELECT number, (SELECT count(*) FROM log l WHERE l.target = number"
            " AND l.seq > received AND l.kind = 'direct' AND l.author <> number)"
            " + (SELECT count(*) FROM members m JOIN log l ON l.target = m.room"
            " AND l.seq > received AND l.seq >= m.since AND (m.until IS NULL OR l.seq <= m.until)"
            " WHERE m.account = number AND l.kind = 'group' AND l.author <> number)"
            " FROM accounts"
        )
        return {number: count for number, count in rows if count}

    @_at_the_start
    def purged(self) -> int:
        """See `Store`."""
        return self._purged()

    def _purged(self) -> int:
        row = self._db.execute("SELECT value FROM meta WHERE key = 'purged'").fetchone()
        return int(row[0]) if row else 0

    def entries(self, after: int, limit: int) -> list[Row]:
        """See `Store`."""
        rows = self._db.execute(
            "SELECT seq, kind, author, name, target, content, ts, id FROM log"
            " WHERE seq > ? ORDER BY seq LIMIT ?",
            (after, limit),
        )
        return [_row(one) for one in rows]

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
        self._db.close()
        if self._lock >= 0:  # a second time it could be somebody else's descriptor
            os.close(self._lock)
            self._lock = -1


OPERATIONS: dict[type, Callable[[SqliteStore, int, Any], Completion]] = {
    Append: SqliteStore.append,
    PutAccount: SqliteStore.put_account,
    MoveCursors: SqliteStore.move_cursors,
    Find: SqliteStore.find,
    Purge: SqliteStore.purge,
    Recall: SqliteStore.recall,
    Touch: SqliteStore.touch,
}
GATHERED = frozenset({Append, PutAccount, Recall})  # all others look at what these have written
CHANGES: dict[type, Callable[[SqliteStore, Any, int], None]] = {
    PutGroup: SqliteStore.put_group,
    Join: SqliteStore.join,
    Part: SqliteStore.part,
}
INSERTS = {
    kind: f"INSERT INTO {table} ({', '.join(kind.__struct_fields__)})"  # noqa: S608
    f" VALUES ({', '.join('?' * len(kind.__struct_fields__))})"
    for table, kind in TABLES.items()
}


def _row(found: tuple[Any, ...]) -> Row:
    """The columns seq, kind, author, name, target, content, ts, id."""
    return Row(found[0], Entry(*found[1:]))


def _lengthen(path: Path) -> None:
    """Give the write-ahead log the length it grows to anyway, until SQLite begins it anew.

    A sync of a file that has grown waits for the journal of the file system as well: twice as long.
    What stands behind the last valid frame is read by nobody (sqlite.org/fileformat2.html, 4.1),
    and no lock is lost by closing this file: those are on the database and its -shm.
    """
    with contextlib.suppress(OSError), path.open("r+b", buffering=0) as file:
        length = file.seek(0, os.SEEK_END)
        missing = WAL - length
        if missing <= 0:
            return
        try:
            if file.write(bytes(missing)) < missing:
                file.truncate(length)  # the little that is left is for messages
            os.fsync(file.fileno())
        except OSError:
            file.truncate(length)


def lock(folder: Path) -> int:
    """One daemon per folder, for as long as it lives; the lock dies with the process."""
    held = os.open(folder / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(held)
        raise StoreError("another chatd is using this folder; choose another --data") from None
    return held
