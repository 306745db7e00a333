"""The store as JSON lines, and back: for moving, for looking into it, and for keeping.

The first line says what follows; every other line is one row: `{"table": ..., "row": {...}}`. What
is exported, imported and exported again is the same, byte for byte.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from chatd.store.migrations import MIGRATIONS
from chatd.store.sqlite import FILE, SqliteStore
from chatd.wire.errors import StoreError

FORMAT = 2  # of the rows: a migration that leaves these tables as they are changes nothing here
ORDER = {  # the tables and what makes their order the same every time
    "meta": "key",
    "accounts": "number",
    "rooms": "number",
    "members": "account, room, since",
    "cursors": "conversation, account",
    "log": "seq",
}


def export(folder: Path) -> Iterator[str]:
    """The lines of a store, of one moment, also while a daemon uses it. Raises `StoreError`."""
    with closing(_open_to_read(folder)) as database:
        try:
            database.execute("BEGIN")
            (version,) = database.execute("PRAGMA user_version").fetchone()
            if version != len(MIGRATIONS):
                raise StoreError(f"it has format {version}; start this chatd on it once")
            yield _line({"chatd": FORMAT, "seq": _sequence(database)})
            for table, order in ORDER.items():
                rows = database.execute(f"SELECT * FROM {table} ORDER BY {order}")  # noqa: S608
                names = [column[0] for column in rows.description]
                for row in rows:
                    yield _line({"table": table, "row": dict(zip(names, row, strict=True))})
        except sqlite3.Error as error:
            raise StoreError(f"cannot read {folder / FILE}: {error}") from error


def import_(folder: Path, lines: Iterable[str]) -> int:
    """Fill an empty store; the number of rows. Raises `StoreError` and has changed nothing then."""
    store = SqliteStore(folder)
    try:
        if store.last_seq() or store.accounts():
            raise StoreError(f"{folder} is not empty; import into a new folder")
        return store.fill(lambda database: _fill(database, lines))
    finally:
        store.close()


def backup(folder: Path, target: Path) -> None:
    """A copy of the database of one moment, while the daemon goes on. Raises `StoreError`."""
    if target.exists():
        raise StoreError(f"{target} exists; choose another name")
    with closing(_open_to_read(folder)) as source:
        try:
            os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            with closing(sqlite3.connect(target)) as copy:
                source.backup(copy)
        except (OSError, sqlite3.Error) as error:
            target.unlink(missing_ok=True)
            raise StoreError(f"cannot write {target}: {error}") from error


def _open_to_read(folder: Path) -> sqlite3.Connection:
    path = folder / FILE
    if not path.is_file():
        raise StoreError(f"there is no {path}; name the data folder with --data")
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, isolation_level=None)


def _sequence(database: sqlite3.Connection) -> int:
    row = database.execute("SELECT seq FROM sqlite_sequence WHERE name = 'log'").fetchone()
    return int(row[0]) if row else 0


def _line(content: dict[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def _fill(database: sqlite3.Connection, lines: Iterable[str]) -> int:
    columns = {table: _columns(database, table) for table in ORDER}
    database.execute("DELETE FROM meta")
    seq, count = 0, 0
    for number, line in enumerate(lines, 1):
        try:
            content = json.loads(line)
            if number == 1:
                seq = _checked_header(content)
            else:
                _insert(database, columns, content)
                count += 1
        except (ValueError, KeyError, TypeError, sqlite3.Error) as error:
            raise StoreError(f"line {number} is not one of an export: {error}") from error
    if not count:
        raise StoreError("the file is empty")
    database.execute("DELETE FROM sqlite_sequence WHERE name = 'log'")
    database.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('log', ?)", (seq,))
    database.execute("INSERT INTO log_text (log_text) VALUES ('rebuild')")
    database.execute("UPDATE indexed SET upto = ?", (seq,))
    return count


def _columns(database: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in database.execute(f"PRAGMA table_info({table})")]


def _checked_header(content: dict[str, Any]) -> int:
    if content["chatd"] != FORMAT:
        raise ValueError(f"it has format {content['chatd']}, and this chatd reads {FORMAT}")
    return int(content["seq"])


def _insert(
    database: sqlite3.Connection, columns: dict[str, list[str]], content: dict[str, Any]
) -> None:
    table, row = content["table"], content["row"]
    if sorted(row) != sorted(columns[table]):
        raise ValueError(f"the columns of {table} are {', '.join(columns[table])}")
    marks = ", ".join("?" * len(row))
    names = ", ".join(columns[table])
    values = [row[name] for name in columns[table]]
    database.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", values)  # noqa: S608
