"""The embedded keeper: one SQLite file in WAL mode, one transaction per turn of the loop.

`submit` writes into an open transaction; `completions` commits it (`synchronous=FULL`), so that the
price of a disk sync is paid once for everything a turn brought.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import sqlite3
from collections.abc import Callable
from pathlib import Path

from chatd.core.effects import Account, Append, Entry, Failed, Operation, PutAccount, Stored
from chatd.store.base import Row
from chatd.store.migrations import migrate
from chatd.wire.errors import ErrorCode, StoreError

FILE = "chat.db"


class SqliteStore:
    """Keeps the promise of `chatd.store.base.Store` in `folder`, which it makes (mode 0700).

    Raises `StoreError` where the folder or the file cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = _lock(folder)
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
            self._db = sqlite3.connect(self._path, isolation_level=None)
            self._prepare()
        except (OSError, sqlite3.Error, StoreError) as error:
            raise StoreError(f"cannot use {self._path}: {error}") from error
        self._answers: list[Stored | Failed] = []
        self._open = False
        self.epoch = self._read_epoch()

    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        migrate(self._db)
        self._db.execute("INSERT OR IGNORE INTO meta VALUES ('epoch', ?)", (secrets.token_hex(4),))

    def _read_epoch(self) -> str:
        (epoch,) = self._db.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone()
        return str(epoch)

    def submit(self, ticket: int, operation: Operation) -> None:
        """See `Store`."""
        try:
            self._begin()
            answer = OPERATIONS[type(operation)](self, ticket, operation)
        except sqlite3.Error as error:
            self._give_up(error)
            answer = Failed(ticket, ErrorCode.STORAGE_FULL, str(error))
        self._answers.append(answer)

    def completions(self) -> list[Stored | Failed]:
        """Commit what was submitted since the last call."""
        if self._open:
            try:
                self._db.execute("COMMIT")
                self._open = False
            except sqlite3.Error as error:
                self._give_up(error)
        answers, self._answers = self._answers, []
        return answers

    def _begin(self) -> None:
        if not self._open:
            self._db.execute("BEGIN IMMEDIATE")
            self._open = True

    def _give_up(self, error: sqlite3.Error) -> None:
        """The transaction is lost, and with it everything that was answered in it."""
        self._answers = [
            Failed(answer.ticket, ErrorCode.STORAGE_FULL, str(error))
            if isinstance(answer, Stored)
            else answer
            for answer in self._answers
        ]
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")
        self._open = False

    def append(self, ticket: int, operation: Append) -> Stored | Failed:
        """Put one entry at the end, or answer what became of the same key before."""
        entry = operation.entry
        first = self._first(entry) if entry.id is not None else None
        if first is not None:
            seq, ts, *content = first
            same = content == [entry.kind, entry.target, entry.content]
            return Stored(ticket, seq, ts, True) if same else Failed(ticket, ErrorCode.ID_REUSED)
        cursor = self._db.execute(
            "INSERT INTO log (kind, author, name, target, content, ts, id)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (entry.kind, entry.author, entry.name, entry.target, entry.content, entry.ts, entry.id),
        )
        assert cursor.lastrowid is not None
        return Stored(ticket, cursor.lastrowid, entry.ts)

    def _first(self, entry: Entry) -> tuple[int, int, str, int, str] | None:
        found: tuple[int, int, str, int, str] | None = self._db.execute(
            "SELECT seq, ts, kind, target, content FROM log WHERE author = ? AND id = ?",
            (entry.author, entry.id),
        ).fetchone()
        return found

    def put_account(self, ticket: int, operation: PutAccount) -> Stored | Failed:
        """Make or replace one account."""
        one = operation.account
        self._db.execute(
            "INSERT OR REPLACE INTO accounts VALUES (?, ?, ?, ?, ?, ?)",
            (one.number, one.name, one.key, one.login, one.password, one.last_seen),
        )
        return Stored(ticket)

    def last_seq(self) -> int:
        """See `Store`."""
        row = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'log'").fetchone()
        return int(row[0]) if row else 0

    def first_free_number(self) -> int:
        """See `Store`."""
        (used,) = self._db.execute(
            "SELECT max(coalesce((SELECT max(number) FROM accounts), 0),"
            " coalesce((SELECT max(author) FROM log), 0))"
        ).fetchone()
        return int(used) + 1

    def accounts(self) -> list[Account]:
        """See `Store`."""
        rows = self._db.execute(
            "SELECT number, name, key, login, password, last_seen FROM accounts ORDER BY number"
        )
        return [Account(*row) for row in rows]

    def entries(self, after: int, limit: int) -> list[Row]:
        """See `Store`."""
        rows = self._db.execute(
            "SELECT seq, kind, author, name, target, content, ts, id FROM log"
            " WHERE seq > ? ORDER BY seq LIMIT ?",
            (after, limit),
        )
        return [Row(seq, Entry(*entry)) for seq, *entry in rows]

    def close(self) -> None:
        """See `Store`."""
        self._db.close()
        os.close(self._lock)


OPERATIONS: dict[type, Callable[[SqliteStore, int, Operation], Stored | Failed]] = {
    Append: SqliteStore.append,  # type: ignore[dict-item]
    PutAccount: SqliteStore.put_account,  # type: ignore[dict-item]
}


def _lock(folder: Path) -> int:
    """One daemon per folder, for as long as it lives; the lock dies with the process."""
    lock = os.open(folder / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise StoreError("another chatd is using this folder; choose another --data") from None
    return lock
