"""How the database became what it is: an append-only list, counted by `user_version`."""

from __future__ import annotations

import sqlite3

from chatd.wire.errors import StoreError

# Never change an entry that was released; add one.
MIGRATIONS = (
    """
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE accounts (
        number    INTEGER PRIMARY KEY,
        name      TEXT NOT NULL,
        key       TEXT NOT NULL UNIQUE,
        login     TEXT NOT NULL UNIQUE,
        password  TEXT,
        last_seen INTEGER                     -- milliseconds since 1970
    );
    CREATE TABLE log (
        seq       INTEGER PRIMARY KEY AUTOINCREMENT,
        ts        INTEGER NOT NULL,           -- milliseconds since 1970
        kind      TEXT NOT NULL,
        author    INTEGER NOT NULL,
        name      TEXT NOT NULL,
        target    INTEGER NOT NULL,
        content   TEXT NOT NULL,
        id        TEXT
    );
    CREATE UNIQUE INDEX log_key ON log (author, id) WHERE id IS NOT NULL;
    """,
    """
    ALTER TABLE accounts ADD COLUMN received INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE accounts ADD COLUMN receipts INTEGER NOT NULL DEFAULT 1;
    ALTER TABLE accounts ADD COLUMN token TEXT;
    CREATE TABLE rooms (
        number    INTEGER PRIMARY KEY,
        name      TEXT NOT NULL,
        key       TEXT NOT NULL,
        owner     INTEGER NOT NULL,
        created   INTEGER NOT NULL,
        deleted   INTEGER NOT NULL
    );
    CREATE TABLE members (
        account   INTEGER NOT NULL,
        room      INTEGER NOT NULL,
        since     INTEGER NOT NULL,           -- seq of the first entry they see
        until     INTEGER,                    -- ... and of the last; NULL while they are in it
        place     INTEGER NOT NULL,           -- counts who joined the room, in their order
        PRIMARY KEY (account, room, since)
    ) WITHOUT ROWID;
    CREATE TABLE cursors (
        conversation INTEGER NOT NULL,
        account   INTEGER NOT NULL,
        delivered INTEGER NOT NULL,
        read      INTEGER NOT NULL,
        moved     INTEGER NOT NULL,           -- milliseconds since 1970
        PRIMARY KEY (conversation, account)
    ) WITHOUT ROWID;
    CREATE INDEX log_target ON log (target, seq);
    CREATE INDEX log_author ON log (author, seq);
    CREATE VIRTUAL TABLE log_text USING fts5 (content, content = 'log', content_rowid = 'seq');
    INSERT INTO log_text (log_text) VALUES ('rebuild');
    """,
    """
    CREATE TABLE indexed (upto INTEGER NOT NULL);  -- seq: what is later is not in log_text yet
    INSERT INTO indexed SELECT coalesce(max(seq), 0) FROM log;
    """,
)


def migrate(database: sqlite3.Connection) -> None:
    """Bring a database up to date; raises `StoreError` for one of a newer program."""
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise StoreError(
            f"it was written by a newer chatd (format {version}, this one knows "
            f"{len(MIGRATIONS)}): use that one, or another --data"
        )
    tables = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if not version and tables != (0,):
        raise StoreError("it is the database of another program: use another --data")
    for number, script in enumerate(MIGRATIONS[version:], version + 1):
        database.executescript(f"BEGIN; {script} PRAGMA user_version = {number}; COMMIT;")
