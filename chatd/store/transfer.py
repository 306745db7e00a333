"""The store as JSON lines, and back: for moving, for looking into it, and for keeping.

The first line says what follows; every other line is one row: `{"table": ..., "row": {...}}`. What
is exported, imported and exported again is the same, byte for byte.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

import msgspec
from msgspec import Raw, Struct

from chatd.core.effects import read_change
from chatd.store.base import Store
from chatd.store.migrations import MIGRATIONS
from chatd.store.replay import replay
from chatd.store.rows import (
    LAST_MOMENT,
    TABLES,
    AccountRow,
    AnyRow,
    Fact,
    Head,
    LogRow,
    MemberRow,
    Movable,
    Place,
    RoomRow,
)
from chatd.store.sqlite import COPY, FILE, WHOLE, SqliteStore
from chatd.wire.errors import StoreError
from chatd.wire.text import harmless

FORMAT = 2  # of the rows: a migration that leaves these tables as they are changes nothing here
ORDER = {  # what makes the order of a table's rows the same every time
    "meta": "key",
    "accounts": "number",
    "rooms": "number",
    "members": "account, room, since",
    "cursors": "conversation, account",
    "log": "seq",
}
FACTS = ("epoch", "purged")  # what else stands in `meta` is the keeper's own business
MOMENT = "%Y-%m-%d %H:%M:%S UTC"
ALL = "its node was the last to end, and nothing is missing unless one was started since"
SO_FAR = (
    "as far as its node has read; where others went on, take the copy of the last one to end, or"
    " import with --new-epoch"
)
WRONG = (msgspec.MsgspecError, ValueError, RecursionError)  # what reading a line can raise


class _Line(Struct, frozen=True, forbid_unknown_fields=True):
    table: str
    row: Raw


# --- out ----------------------------------------------------------------------------------------


def export(folder: Path) -> Iterator[str]:
    """The lines of a store, of one moment, also while a daemon uses it. Raises `StoreError`."""
    with closing(_open_to_read(folder)) as database:
        try:
            database.execute("BEGIN")
            (version,) = database.execute("PRAGMA user_version").fetchone()
            if version != len(MIGRATIONS):
                raise StoreError(f"it has format {version}; start this chatd on it once")
            _check_whole(database)
            yield _encoded(Head(FORMAT, _sequence(database), _count(database)))
            for table, kind in TABLES.items():
                for row in _select(database, table, ", ".join(kind.__struct_fields__)):
                    yield _encoded({"table": table, "row": kind(*row)})
        except sqlite3.Error as error:
            raise StoreError(f"cannot read {folder / FILE}: {error}") from error


def _select(database: sqlite3.Connection, table: str, what: str) -> sqlite3.Cursor:
    ours = f"WHERE key IN {FACTS}" if table == "meta" else ""
    statement = f"SELECT {what} FROM {table} {ours} ORDER BY {ORDER[table]}"  # noqa: S608
    return database.execute(statement)


def _count(database: sqlite3.Connection) -> int:
    return sum(_select(database, table, "count(*)").fetchone()[0] for table in TABLES)


def _sequence(database: sqlite3.Connection) -> int:
    row = database.execute("SELECT seq FROM sqlite_sequence WHERE name = 'log'").fetchone()
    return int(row[0]) if row else 0


def _encoded(content: Any) -> str:
    return msgspec.json.encode(content).decode()


def backup(folder: Path, target: Path) -> None:
    """A copy of the database of one moment, while the daemon goes on. Raises `StoreError`."""
    if target.exists():
        raise StoreError(f"{target} exists; choose another name")
    with closing(_open_to_read(folder)) as source:
        try:
            _check_whole(source)
            os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            with closing(sqlite3.connect(target)) as copy:
                source.backup(copy)
        except (OSError, sqlite3.Error) as error:
            target.unlink(missing_ok=True)
            raise StoreError(f"cannot write {target}: {error}") from error


def _open_to_read(folder: Path) -> sqlite3.Connection:
    path = _find(folder)
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, isolation_level=None)


def _find(folder: Path) -> Path:
    """The database of a daemon; of a node of a cluster that of its copy. Raises `StoreError`."""
    own, copy = folder / FILE, folder / COPY / FILE
    if own.is_file() and copy.is_file():
        raise StoreError(
            f"{folder} has a chat of its own and, in {copy.parent}, the copy of a cluster's: name"
            " that one with --data, or move it elsewhere to have the other"
        )
    if not own.is_file() and not copy.is_file():
        raise StoreError(f"there is no {own}; name the data folder with --data")
    return own if own.is_file() else copy


def _fact(database: sqlite3.Connection, key: str) -> str | None:
    row = database.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return None if row is None else str(row[0])


def _check_whole(database: sqlite3.Connection) -> None:
    if _fact(database, "epoch") is None:
        raise StoreError(
            "this copy of a cluster's log has only a part of it: its node is starting, or has ended"
            " before it had read everything; take that of another node, or start it once more"
        )


def about(folder: Path) -> str:
    """How far a copy goes, for whoever takes it for the log; "" for what is no copy.

    Raises `StoreError`.
    """
    with closing(_open_to_read(folder)) as database:
        try:
            _check_whole(database)
            copy = _fact(database, "copy")
            last = _last(database)
        except sqlite3.Error as error:
            raise StoreError(f"cannot read {folder}: {error}") from error
    if copy is None:
        return ""
    return f"a copy of a cluster's log, up to {last}: {ALL if copy == WHOLE else SO_FAR}"


def _last(database: sqlite3.Connection) -> str:
    """The newest entry, for people."""
    seq = _sequence(database)
    found = database.execute(
        "SELECT ts FROM log WHERE seq = ? AND ts BETWEEN 0 AND ?", (seq, LAST_MOMENT)
    ).fetchone()
    when = f" of {time.strftime(MOMENT, time.gmtime(found[0] // 1000))}" if found else ""
    return f"entry {seq}{when}"


# --- in -----------------------------------------------------------------------------------------


def import_(folder: Path, lines: Iterable[str], *, new_epoch: bool = False) -> int:
    """Fill an empty store; the number of rows. Raises `StoreError` and has changed nothing then.

    With `new_epoch` the log is another one, whose clients are told of a gap.
    """
    store = SqliteStore(folder)
    try:
        if store.last_seq() or store.accounts():
            raise StoreError(f"{folder} is not empty; import into a new folder")
        return move(lines, store, secrets.token_hex(4) if new_epoch else "")
    finally:
        store.close()


def move(lines: Iterable[str], store: Movable, epoch: str = "") -> int:
    """Fill any empty store; the number of rows. Raises `StoreError` and has changed nothing then.

    `epoch` takes the place of the one in the file.
    """
    reading = Reading(lines, epoch)
    try:
        store.fill(reading.head().seq, reading.rows())
    except UnicodeDecodeError:
        raise  # no line was read at all
    except WRONG as error:
        why = harmless(str(error))
        raise StoreError(f"line {reading.number} is not one of an export: {why}") from error
    return reading.count


def give(folder: Path, store: Store, wait: Callable[[], None]) -> None:
    """Fill an empty store with that of a folder, by its own operations: see `replay`."""
    reading = Reading(export(folder))
    reading.head()
    replay(reading.rows(), store, wait)


class Reading:
    """An export as it is read: typed rows, and that they go together. Raises what is in `WRONG`."""

    def __init__(self, lines: Iterable[str], epoch: str = "") -> None:
        self._lines = iter(lines)
        self._epoch = epoch
        self._head = Head(FORMAT, 0)
        self._tables = list(TABLES)  # those that may still come
        self._names: dict[int, str] = {}  # numbers that were given: to an account, or to a room
        self._last = 0  # place in the log
        self._facts: set[str] = set()
        self.number = 0  # of the line that is being read
        self.count = 0  # rows that were read

    def head(self) -> Head:
        """The first line. Raises `StoreError` where there is none."""
        self.number = 1
        line = next(self._lines, "")
        if not line:
            raise StoreError("the file is empty")
        self._head = msgspec.json.decode(line, type=Head)
        if self._head.chatd != FORMAT:
            raise ValueError(f"it has format {self._head.chatd}, and this chatd reads {FORMAT}")
        return self._head

    def rows(self) -> Iterator[AnyRow]:
        """Every other line. Raises `StoreError` for a file that has lost its end."""
        for line in self._lines:
            self.number += 1
            row = self._read(line)
            if row is not None:
                yield row
            self.count += 1
        if self._head.rows not in (None, self.count):
            raise StoreError(f"the file has {self.count} of {self._head.rows} rows: it was cut off")
        if "epoch" not in self._facts:
            raise StoreError("the file does not say which log this is: it has no epoch")

    def _read(self, line: str) -> AnyRow | None:
        """One row, None for what is of no use to another keeper."""
        said = msgspec.json.decode(line, type=_Line)
        if said.table not in self._tables:
            what = "is out of order" if said.table in TABLES else "is no table"
            raise ValueError(f"{said.table} {what}")
        del self._tables[: self._tables.index(said.table)]
        row = msgspec.json.decode(said.row, type=TABLES[said.table])
        check = self._CHECKS.get(type(row))
        return check(self, row) if check else row

    def _fact(self, fact: Fact) -> Fact | None:
        if fact.key not in FACTS:
            return None
        if fact.key == "purged":
            self._last = msgspec.convert(fact.value, type=Place, strict=False)
            if self._last > self._head.seq:
                raise ValueError(f"{self._last} is beyond the end of the log")
        elif not fact.value:
            raise ValueError("the epoch has no name")
        self._facts.add(fact.key)
        new = self._epoch if fact.key == "epoch" else ""
        return Fact(fact.key, new or fact.value)

    def _numbered(self, row: AccountRow | RoomRow) -> AccountRow | RoomRow:
        """A number stands for one account or one room: who has it is sent what is said to it."""
        if row.number in self._names:
            raise ValueError(f"{row.number} is {self._names[row.number]} already")
        self._names[row.number] = row.name
        return row

    def _member(self, row: MemberRow) -> MemberRow:
        if row.room not in self._names:
            raise ValueError(f"there is no room {row.room}")
        return row

    def _entry(self, row: LogRow) -> LogRow:
        if not self._last < row.seq <= self._head.seq:
            raise ValueError(f"{row.seq} does not lie between {self._last} and {self._head.seq}")
        self._last = row.seq
        if row.kind == "event":
            read_change(row.content)
        return row

    _CHECKS: ClassVar[dict[type, Callable[[Reading, Any], AnyRow | None]]] = {
        Fact: _fact,
        AccountRow: _numbered,
        RoomRow: _numbered,
        MemberRow: _member,
        LogRow: _entry,
    }
