"""What is true of the embedded store alone: files, restarts, full disks, and other daemons."""

import os
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing

import pytest
from test_store_contract import contents, keep, put, said

from chatd.core.effects import (
    Account,
    Append,
    Failed,
    Find,
    MoveCursors,
    Purge,
    PutAccount,
    Recall,
    Stored,
)
from chatd.store.migrations import MIGRATIONS
from chatd.store.sqlite import FILE, UNINDEXED, SqliteStore
from chatd.wire.errors import ErrorCode, StoreError


def test_the_log_goes_on_where_it_was_after_a_restart(tmp_path):
    with closing(SqliteStore(tmp_path)) as store:
        epoch = store.epoch
        last = keep(store, said("a", id="1"), said("b"))[-1].seq
        put(store, PutAccount(Account(1, "Ann", "ann", "ann", "hash", 5)))
    with closing(SqliteStore(tmp_path)) as store:
        assert store.epoch == epoch
        assert store.last_seq() == last
        assert contents(store) == ["a", "b"]
        assert store.accounts() == [Account(1, "Ann", "ann", "ann", "hash", 5)]
        again, new = keep(store, said("a", id="1"), said("c"))
        assert again.dup
        assert new.seq > last


def test_a_number_is_not_given_again_even_where_its_entry_is_gone(tmp_path):
    with closing(SqliteStore(tmp_path)) as store:
        last = keep(store, said("a"), said("b"))[-1].seq
        store._db.execute("DELETE FROM log")
    with closing(SqliteStore(tmp_path)) as store:
        assert store.last_seq() == last
        assert keep(store, said("c"))[0].seq > last


def test_another_folder_is_another_log(tmp_path):
    with closing(SqliteStore(tmp_path / "a")) as one, closing(SqliteStore(tmp_path / "b")) as two:
        assert one.epoch != two.epoch


def test_what_was_answered_survives_a_kill(tmp_path):
    program = (
        "import os, sys; from pathlib import Path; sys.path.insert(0, sys.argv[2])\n"
        "from test_store_contract import keep, said; from chatd.store.sqlite import SqliteStore\n"
        "store = SqliteStore(Path(sys.argv[1])); keep(store, said('kept'))\n"
        "os.kill(os.getpid(), 9)"
    )
    here = os.path.dirname(__file__)  # noqa: PTH120 - for a command line
    subprocess.run([sys.executable, "-c", program, str(tmp_path), here], check=False)
    with closing(SqliteStore(tmp_path)) as store:
        assert contents(store) == ["kept"]


def test_nobody_else_can_read_the_files(tmp_path):
    with closing(SqliteStore(tmp_path / "data")) as store:
        keep(store, said("secret"))
        assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
        for path in (tmp_path / "data").iterdir():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def full(store: SqliteStore, *, is_full: bool):
    (pages,) = store._db.execute("PRAGMA page_count").fetchone()
    store._db.execute(f"PRAGMA max_page_count = {pages if is_full else 1_000_000}")


def test_a_full_disk_fails_the_whole_turn_and_the_store_works_again_afterwards(tmp_path):
    with closing(SqliteStore(tmp_path)) as store:
        keep(store, said("before"))
        full(store, is_full=True)
        done = keep(store, said("small"), said("x" * 1_000_000), said("behind"))
        codes = [d.code if isinstance(d, Failed) else d for d in done]
        assert codes[:2] == [ErrorCode.STORAGE_FULL] * 2
        assert [d.ticket for d in done] == [1, 2, 3]
        kept = ["before", *(["behind"] if isinstance(done[2], Stored) else [])]
        assert contents(store) == kept
        full(store, is_full=False)
        (after,) = keep(store, said("after"))
        assert isinstance(after, Stored)
        assert contents(store) == [*kept, "after"]
    with closing(SqliteStore(tmp_path)) as store:
        assert contents(store) == [*kept, "after"], "what was told is what is kept"


def found(store: SqliteStore, words: str) -> list[str]:
    (page,) = put(store, Find(account=2, limit=5000, words=words))
    return [row.entry.content for row in page.rows]


def check_index(store: SqliteStore):
    """Every word of the log is in the index once; raises where that is not so (fts5.html, 6.4)."""
    store._db.execute("INSERT INTO log_text (log_text, rank) VALUES ('integrity-check', 1)")


def test_words_are_found_in_the_turn_in_which_they_are_said(tmp_path):
    with closing(SqliteStore(tmp_path)) as store:
        first, page, second = put(
            store,
            Append(said("apple")),
            Find(account=2, limit=9, words="apple"),
            Append(said("pear")),
        )
        assert isinstance(first, Stored)
        assert isinstance(second, Stored)
        assert [row.entry.content for row in page.rows] == ["apple"]
        assert found(store, "pear") == ["pear"]
        check_index(store)


def test_words_that_were_not_in_the_index_are_found_after_a_restart(tmp_path):
    with closing(SqliteStore(tmp_path)) as store:
        keep(store, said("apple"), said("pear"))
    with closing(SqliteStore(tmp_path)) as store:
        keep(store, said("apple again"))
        assert found(store, "apple") == ["apple", "apple again"]
        check_index(store)


def test_few_entries_wait_for_the_index_however_many_are_kept(tmp_path):
    with closing(SqliteStore(tmp_path)) as store:
        for _ in range(5):
            keep(store, *[said("apple")] * (UNINDEXED // 2))
            (upto,) = store._db.execute("SELECT upto FROM indexed").fetchone()
            assert store.last_seq() - upto < UNINDEXED
        assert len(found(store, "apple")) == 5 * (UNINDEXED // 2)
        check_index(store)


def test_what_is_purged_is_not_left_in_the_index(tmp_path):
    with closing(SqliteStore(tmp_path)) as store:
        keep(store, said("apple"), said("pear"))
        put(store, Purge(before=1_800_000_000_000))
        keep(store, said("plum"))
        assert (found(store, "apple"), found(store, "plum")) == ([], ["plum"])
        check_index(store)


def test_on_a_full_disk_a_search_finds_what_was_in_the_index(tmp_path):
    with closing(SqliteStore(tmp_path)) as store:
        keep(store, said("apple old"))
        assert found(store, "apple") == ["apple old"]
        words = [" ".join(f"w{n}x{m}" for m in range(500)) for n in range(20)]
        keep(store, *[said(f"apple {one}") for one in words])
        full(store, is_full=True)
        assert found(store, "apple") == ["apple old"]
        full(store, is_full=False)
        assert len(found(store, "apple")) == 21
        check_index(store)


def test_a_key_is_known_in_the_turn_of_its_first_use(tmp_path):
    with closing(SqliteStore(tmp_path)) as store:
        first, again, recalled, other = put(
            store,
            Append(said("a", id="1")),
            Append(said("a", id="1")),
            Recall(1, "1", "a"),
            Append(said("b", id="1")),
        )
        assert (again.seq, again.dup) == (recalled.seq, recalled.dup) == (first.seq, True)
        assert other.code is ErrorCode.ID_REUSED
        assert contents(store) == ["a"]


def test_an_account_and_its_position_are_kept_in_one_turn(tmp_path):
    with closing(SqliteStore(tmp_path)) as store:
        put(store, PutAccount(Account(1, "Ann", "ann", "ann")), MoveCursors({1: 7}, []))
        assert store.accounts()[0].received == 7


def test_the_write_ahead_log_does_not_grow_while_little_is_said(tmp_path):
    with closing(SqliteStore(tmp_path)) as store:
        wal = tmp_path / f"{FILE}-wal"
        before = wal.stat().st_size
        for n in range(50):
            keep(store, said(str(n)))
        assert wal.stat().st_size == before
    with closing(SqliteStore(tmp_path)) as store:
        assert len(contents(store)) == 50


def test_a_second_daemon_on_the_same_folder_is_refused(tmp_path):
    one = SqliteStore(tmp_path)
    with pytest.raises(StoreError, match="another chatd is using this folder"):
        SqliteStore(tmp_path)
    one.close()
    SqliteStore(tmp_path).close()


def test_a_file_of_a_newer_chatd_is_refused_and_left_alone(tmp_path):
    SqliteStore(tmp_path).close()
    newer = len(MIGRATIONS) + 1
    with closing(sqlite3.connect(tmp_path / FILE)) as db:
        db.execute(f"PRAGMA user_version = {newer}")
    with pytest.raises(StoreError, match="written by a newer chatd"):
        SqliteStore(tmp_path)
    with closing(sqlite3.connect(tmp_path / FILE)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (newer,)


@pytest.mark.parametrize("content", [b"this is no database at all" * 100, b"\0" * 5000])
def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path, content: bytes):
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(StoreError, match=str(tmp_path / FILE)):
        SqliteStore(tmp_path)
    assert (tmp_path / FILE).read_bytes() == content


def test_a_database_with_a_damaged_page_is_refused(tmp_path):
    with closing(SqliteStore(tmp_path)) as store:
        keep(store, *(said("x" * 1000, id=str(n)) for n in range(100)))
    data = bytearray((tmp_path / FILE).read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    (tmp_path / FILE).write_bytes(data)
    with pytest.raises(StoreError, match="malformed"):
        SqliteStore(tmp_path)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match=str(tmp_path / "file")):
        SqliteStore(tmp_path / "file" / "data")


def test_a_refused_folder_can_be_used_as_soon_as_it_is_mended(tmp_path):
    (tmp_path / FILE).write_bytes(b"broken" * 1000)
    with pytest.raises(StoreError):
        SqliteStore(tmp_path)
    (tmp_path / FILE).unlink()
    with closing(SqliteStore(tmp_path)) as store:
        keep(store, said("a"))
