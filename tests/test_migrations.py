"""Files of older programs are read by newer ones, and files of newer ones are left alone."""

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from chatd.core.effects import Account, Append, Entry, Find, Group, Join, PutGroup
from chatd.store.migrations import MIGRATIONS
from chatd.store.sqlite import FILE, SqliteStore
from chatd.wire.errors import StoreError

# The first format as it was released, with rows. Never change it.
FIRST = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE accounts (
    number    INTEGER PRIMARY KEY,
    name      TEXT NOT NULL,
    key       TEXT NOT NULL UNIQUE,
    login     TEXT NOT NULL UNIQUE,
    password  TEXT,
    last_seen INTEGER
);
CREATE TABLE log (
    seq       INTEGER PRIMARY KEY AUTOINCREMENT,
    ts        INTEGER NOT NULL,
    kind      TEXT NOT NULL,
    author    INTEGER NOT NULL,
    name      TEXT NOT NULL,
    target    INTEGER NOT NULL,
    content   TEXT NOT NULL,
    id        TEXT
);
CREATE UNIQUE INDEX log_key ON log (author, id) WHERE id IS NOT NULL;
INSERT INTO meta VALUES ('epoch', 'e7');
INSERT INTO accounts VALUES (1, 'Ann', 'ann', 'ann', '$argon2id$kept', 1700000000000);
INSERT INTO accounts VALUES (2, 'Bob', 'bob', 'bob', NULL, NULL);
INSERT INTO log VALUES (3, 1700000000001, 'direct', 1, 'Ann', 2, 'the first words', 'a1');
INSERT INTO log VALUES (4, 1700000000002, 'broadcast', 2, 'Bob', 0, 'words for all', NULL);
INSERT INTO log VALUES (9, 1700000000003, 'direct', 2, 'Bob', 1, 'and the last', 'b1');
PRAGMA user_version = 1;
"""


def made(folder: Path, script: str) -> Path:
    folder.mkdir()
    with closing(sqlite3.connect(folder / FILE)) as database:
        database.executescript(script)
    return folder


@pytest.fixture
def migrated(tmp_path: Path):
    store = SqliteStore(made(tmp_path / "old", FIRST))
    yield store
    store.close()


def found(store: SqliteStore, **asked) -> list[tuple[int, str]]:
    store.submit(1, Find(limit=100, **asked))
    (page,) = store.completions()
    return [(row.seq, row.entry.content) for row in page.rows]


def test_what_the_first_format_held_is_all_there(migrated):
    assert migrated.epoch == "e7"
    assert migrated.accounts() == [
        Account(1, "Ann", "ann", "ann", "$argon2id$kept", 1700000000000),
        Account(2, "Bob", "bob", "bob"),
    ]
    words = [(3, "the first words"), (4, "words for all"), (9, "and the last")]
    assert found(migrated, account=1) == words
    assert found(migrated, account=2, target=1) == [words[0], words[2]]
    assert (migrated.last_seq(), migrated.first_free_number()) == (9, 3)
    assert (migrated.groups(), migrated.cursors(), migrated.purged()) == ([], [], 0)


def test_what_the_first_format_held_can_be_searched(migrated):
    assert found(migrated, account=1, words="WORDS") == [
        (3, "the first words"),
        (4, "words for all"),
    ]
    assert found(migrated, account=99, words="words") == [(4, "words for all")]


def test_a_migrated_file_goes_on_like_any_other(migrated):
    again = Append(Entry("direct", 1, "Ann", 2, "the first words", 5, "a1"))
    fresh = Append(
        Entry("event", 1, "Ann", 3, "{}", 6),
        (PutGroup(Group(3, "team", "team", 1, 6)), Join(3, 1)),
    )
    migrated.submit(1, again)
    migrated.submit(2, fresh)
    migrated.submit(3, Append(Entry("group", 1, "Ann", 3, "new words", 7)))
    repeated, event, said = migrated.completions()
    assert (repeated.seq, repeated.dup) == (3, True)
    assert (event.seq, said.seq) == (10, 11)
    assert found(migrated, account=1, words="words")[-1] == (11, "new words")


def test_migrating_is_done_once(tmp_path: Path):
    folder = made(tmp_path / "old", FIRST)
    for _ in range(2):
        store = SqliteStore(folder)
        rows = found(store, account=1)
        store.close()
        assert len(rows) == 3
    with closing(sqlite3.connect(folder / FILE)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)


def test_a_migrated_file_and_a_new_one_have_the_same_schema(tmp_path: Path, migrated):
    SqliteStore(tmp_path / "new").close()
    shapes = []
    for folder in ("old", "new"):
        with closing(sqlite3.connect(tmp_path / folder / FILE)) as database:
            rows = database.execute("SELECT name, type, tbl_name FROM sqlite_master").fetchall()
            tables = sorted(name for name, kind, _ in rows if kind == "table")
            columns = {t: database.execute(f"PRAGMA table_info({t})").fetchall() for t in tables}
            shapes.append((sorted(rows), columns))
    assert shapes[0] == shapes[1]


def test_the_first_migration_still_makes_the_first_format(tmp_path: Path):
    """Whoever changes a released migration changes what new and old files have in common."""
    frozen = "\n".join(line for line in FIRST.splitlines() if not line.startswith("INSERT"))
    shapes = []
    for name, script in (("frozen", frozen), ("ours", MIGRATIONS[0])):
        with closing(sqlite3.connect(made(tmp_path / name, script) / FILE)) as database:
            tables = ("meta", "accounts", "log")
            columns = [database.execute(f"PRAGMA table_info({t})").fetchall() for t in tables]
            index = database.execute("PRAGMA index_list(log)").fetchall()
            shapes.append((columns, index))
    assert shapes[0] == shapes[1]


def test_a_newer_format_is_refused_and_left_as_it_is(tmp_path: Path):
    newer = f"{FIRST} PRAGMA user_version = {len(MIGRATIONS) + 1};"
    folder = made(tmp_path / "newer", newer)
    before = (folder / FILE).read_bytes()
    with pytest.raises(StoreError, match="newer chatd"):
        SqliteStore(folder)
    with closing(sqlite3.connect(folder / FILE)) as database:
        assert database.execute("SELECT count(*) FROM log").fetchone() == (3,)
    assert (
        hashlib.sha256(before[100:]).digest()
        == hashlib.sha256((folder / FILE).read_bytes()[100:]).digest()
    ), "nothing but the header of the file may differ"


def test_a_migration_that_fails_leaves_the_old_format(tmp_path: Path):
    folder = made(tmp_path / "odd", FIRST + "CREATE TABLE rooms (number INTEGER);")
    with pytest.raises(StoreError, match="rooms"):
        SqliteStore(folder)
    with closing(sqlite3.connect(folder / FILE)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (1,)
        columns = [row[1] for row in database.execute("PRAGMA table_info(accounts)")]
    assert "received" not in columns


def test_the_database_of_another_program_is_left_alone(tmp_path: Path):
    with closing(sqlite3.connect(tmp_path / FILE)) as other:
        other.execute("CREATE TABLE recipes (name TEXT)")
    with pytest.raises(StoreError, match="of another program"):
        SqliteStore(tmp_path)
    with closing(sqlite3.connect(tmp_path / FILE)) as other:
        assert other.execute("SELECT name FROM sqlite_master").fetchall() == [("recipes",)]
