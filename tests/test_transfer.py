"""Export, import and backup, on the installed program and on a store in use."""

import json
import sqlite3
import tempfile
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest
from bench import Bench
from hypothesis import given
from hypothesis import strategies as st

from chatd.cli import main
from chatd.core.effects import (
    Account,
    Append,
    Cursor,
    Entry,
    Find,
    Group,
    Join,
    MoveCursors,
    Part,
    Purge,
    PutAccount,
    PutGroup,
    Stored,
    Touch,
)
from chatd.store.sqlite import SqliteStore
from chatd.store.transfer import backup, export, import_
from chatd.wire.errors import StoreError

HOSTILE = "“quoted” \x1b[31m\u202e\n\t\\ \U0001f600 'x' \"y\""


def said(kind: str, author: int, target: int, content: str, key: str | None = None) -> Append:
    return Append(Entry(kind, author, f"name{author}", target, content, 1000, key))


def fill(store: SqliteStore) -> None:
    tickets = count(1)
    for operation in (
        PutAccount(Account(1, "Ana", "ana", "ana", "$argon2id$x", 5, receipts=False, token="t")),
        PutAccount(Account(2, "ben", "ben", "ben")),
        said("broadcast", 1, 0, HOSTILE, "k1"),
        said("direct", 1, 2, "for ben alone", "k2"),
        Append(
            said("event", 1, 3, '{"kind":"created","group":"team"}').entry,
            (PutGroup(Group(3, "team", "team", 1, 7)), Join(3, 1), Join(3, 2)),
        ),
        said("group", 2, 3, "to the team"),
        Append(said("event", 1, 3, '{"kind":"removed","group":"team"}').entry, (Part(3, 2),)),
        MoveCursors({2: 4}, [Cursor(2, 1, 2, 2, 9)]),
    ):
        store.submit(next(tickets), operation)
    assert all(isinstance(done, Stored) for done in store.completions())


@pytest.fixture
def store(tmp_path: Path):
    one = SqliteStore(tmp_path / "data")
    fill(one)
    yield one
    one.close()


def test_what_is_exported_imported_and_exported_again_is_the_same(store, tmp_path: Path):
    lines = list(export(tmp_path / "data"))
    assert import_(tmp_path / "copy", lines) == len(lines) - 1
    assert list(export(tmp_path / "copy")) == lines


def test_an_imported_log_goes_on_behind_its_last_number_and_can_be_searched(store, tmp_path: Path):
    store.submit(50, Purge(keep_bytes=0))
    store.completions()
    import_(tmp_path / "copy", export(tmp_path / "data"))
    copy = SqliteStore(tmp_path / "copy")
    try:
        assert (copy.epoch, copy.last_seq(), copy.purged()) == (store.epoch, 5, 5)
        copy.submit(1, said("direct", 1, 2, "once more", "k9"))
        copy.submit(2, Find(account=2, limit=5, words="MORE"))
        first, page = copy.completions()
        assert first.seq == 6
        assert [row.entry.content for row in page.rows] == ["once more"]
    finally:
        copy.close()


@pytest.mark.parametrize(
    ("lines", "wrong"),
    [
        ([], "empty"),
        (["{}"], "line 1"),
        (["nonsense"], "line 1"),
        (['{"chatd":99,"seq":0}'], "format 99"),
        (['{"chatd":2,"seq":0}', '{"table":"sqlite_master","row":{}}'], "line 2"),
        (['{"chatd":2,"seq":0}', '{"table":"meta","row":{"key":"a"}}'], "line 2"),
        (['{"chatd":2,"seq":0}', "[1, 2]"], "line 2"),
        (['{"chatd":2,"seq":0}', '{"table":"meta","row":{"key":"a","value":{}}}'], "line 2"),
        (["[" * 100_000], "line 1"),
        (['{"chatd":2,"seq":0}', '{"table":"log","row":' + "[" * 100_000], "line 2"),
        (['{"chatd":2,"seq":0}'], "has no epoch"),
        (['{"chatd":2,"seq":0,"rows":1}'], "0 of 1 rows: it was cut off"),
        (['{"chatd":2,"seq":0,"\x1b[31m":1}'], "line 1"),
    ],
)
def test_a_file_that_is_no_export_changes_nothing(tmp_path: Path, lines, wrong):
    with pytest.raises(StoreError, match=wrong):
        import_(tmp_path / "copy", lines)
    copy = SqliteStore(tmp_path / "copy")
    assert (copy.last_seq(), copy.accounts()) == (0, [])
    copy.close()


def changed(lines: list[str], at: int, **columns) -> list[str]:
    """The row in line `at`, counted from 1, with other values."""
    line = json.loads(lines[at - 1])
    line["row"] |= columns
    return [*lines[: at - 1], json.dumps(line), *lines[at:]]


@pytest.mark.parametrize(
    ("at", "columns", "wrong"),
    [
        (3, {"number": 0}, "Expected `int` >= 1"),
        (3, {"number": 10**30}, "Expected `int` <= 9007199254740992"),
        (3, {"receipts": True}, "Expected `int`, got `bool`"),
        (3, {"last_seen": 10**15}, "Expected `int` <= 253402300799999"),
        (4, {"key": "ana"}, "UNIQUE constraint failed: accounts.key"),
        (5, {"number": 2}, "2 is ben already"),
        (6, {"room": 4}, "there is no room 4"),
        (7, {"account": 1}, "UNIQUE constraint failed: members.account"),
        (8, {"read": "2"}, "Expected `int`, got `str`"),
        (9, {"kind": "spoken"}, "Invalid enum value 'spoken'"),
        (10, {"seq": 1}, "1 does not lie between 1 and 5"),
        (10, {"id": "k1"}, "UNIQUE constraint failed: log.author, log.id"),
        (11, {"content": '{"kind":"made"}'}, "Invalid enum value 'made'"),
        (13, {"seq": 6}, "6 does not lie between 4 and 5"),
        (13, {"name": None}, "Expected `str`, got `null`"),
    ],
)
def test_a_row_that_no_store_would_have_is_named_by_its_line(
    store, tmp_path: Path, at: int, columns, wrong
):
    lines = list(export(tmp_path / "data"))
    with pytest.raises(StoreError) as refused:
        import_(tmp_path / "copy", changed(lines, at, **columns))
    assert str(refused.value).startswith(f"line {at} is not one of an export: ")
    assert wrong in str(refused.value)
    assert import_(tmp_path / "copy", lines) == 12, "nothing of it was taken"


def test_rows_out_of_order_and_a_lost_end_are_told(store, tmp_path: Path):
    lines = list(export(tmp_path / "data"))
    for wrong, told in (
        ([*lines[:5], lines[3], *lines[6:]], "line 6 is not one of an export: accounts is out of"),
        (lines[:-1], "the file has 11 of 12 rows: it was cut off"),
        ([*lines, lines[-1].replace("5", "6")], "line 14 is not one of an export: 6 does not lie"),
        ([lines[0], *lines[2:]], "the file has 11 of 12 rows"),
    ):
        with pytest.raises(StoreError) as refused:
            import_(tmp_path / "copy", wrong)
        assert str(refused.value).startswith(told)


def test_what_a_disk_check_has_left_does_not_travel(store, tmp_path: Path):
    before = list(export(tmp_path / "data"))
    store.submit(60, Touch())
    store.completions()
    assert list(export(tmp_path / "data")) == before


SPOILT = ["", "0", "-", '"', "{", "]", "9" * 30, "\x1b[2J", "\ud800", "null", "\\u0000"]


@given(st.integers(0, 12), st.integers(0, 150), st.sampled_from(SPOILT))
def test_a_file_with_any_spot_changed_is_refused_in_one_line_or_is_a_chat(line, at, instead):
    with tempfile.TemporaryDirectory() as folder:
        data, copy = Path(folder) / "data", Path(folder) / "copy"
        with closing(SqliteStore(data)) as store:
            fill(store)
            lines = list(export(data))
        at %= len(lines[line])
        lines[line] = lines[line][:at] + instead + lines[line][at + 1 :]
        why = ""
        try:
            import_(copy, lines)
        except StoreError as refused:
            why = str(refused)
        assert why.isprintable()
        with closing(SqliteStore(copy)) as store:
            assert bool(store.accounts()) == (not why)
            bench = Bench(store=store)
            bench.settle(bench.join("ben"))


@pytest.mark.parametrize("words", [[], ["--new-epoch"]])
def test_people_go_on_where_their_chat_has_moved_to(start, tmp_path: Path, words):
    old, file, new = start(), str(tmp_path / "moving"), str(tmp_path / "new")
    ann, ben = old.join("ann"), old.join("ben")
    assert ann.ask("register", password="secret", id="r")["code"] == "notice"
    ann.send("group", op="create", group="team", names=["ben"], id="g").await_("group_info")
    seq = ben.await_("group_event")["seq"]
    ben.send("received", upto=seq).settle()
    ben.close()
    ann.send("outgoing_group", group="team", content="while away", id="m").await_("ack")
    ann.close()
    assert old.stop() == 0
    assert main(["export", "--data", str(old.data), file]) == 0
    assert main(["import", *words, "--data", new, file]) == 0
    moved = start(data="new")
    after = {"epoch": ben.welcome["epoch"], "seq": seq}
    again = moved.join("ben", token=ben.welcome["token"], after=after)
    assert again.welcome["resumed"]
    assert again.welcome.get("gap", False) == bool(words)
    assert (again.welcome["epoch"] == after["epoch"]) == (not words)
    assert again.await_("incoming_group")["content"] == "while away"
    for password, code in (("guess", "error"), ("secret", "welcome")):
        wire = moved.wire().send("hello", name="ann", v=1, password=password)
        assert wire.read()["code"] == code
    ack = wire.send("outgoing_group", group="team", content="while away", id="m").await_("ack")
    assert (ack["dup"], ack["seq"]) == (True, seq + 1)


def test_a_store_that_holds_something_is_never_imported_into(store, tmp_path: Path):
    lines = list(export(tmp_path / "data"))
    store.close()
    with pytest.raises(StoreError, match="not empty"):
        import_(tmp_path / "data", lines)
    store.__init__(tmp_path / "data")


def test_a_backup_is_taken_while_the_store_is_in_use(store, tmp_path: Path):
    backup(tmp_path / "data", tmp_path / "copy.db")
    store.submit(9, said("direct", 1, 2, "later", "k3"))
    store.completions()
    with sqlite3.connect(tmp_path / "copy.db") as copy:
        assert copy.execute("SELECT count(*) FROM log").fetchone() == (5,)
    copy.close()
    assert (tmp_path / "copy.db").stat().st_mode & 0o777 == 0o600
    with pytest.raises(StoreError, match="exists"):
        backup(tmp_path / "data", tmp_path / "copy.db")


def test_the_commands_say_what_they_did_or_what_is_wrong(store, tmp_path: Path, capsys):
    data, file = str(tmp_path / "data"), str(tmp_path / "out.jsonl")
    assert main(["export", "--data", data, file]) == 0
    head = json.loads(Path(file).read_text("utf-8").splitlines()[0])
    assert head == {"chatd": 2, "seq": 5, "rows": 12}
    assert Path(file).stat().st_mode & 0o777 == 0o600
    assert main(["import", "--data", str(tmp_path / "new"), file]) == 0
    assert "rows imported" in capsys.readouterr().out
    not_text = tmp_path / "not text"
    not_text.write_bytes(b"\xff\xfe")
    for words in (
        ["export", "--data", str(tmp_path / "none"), "-"],
        ["export", "--data", data, file],
        ["import", "--data", str(tmp_path / "other"), str(tmp_path / "missing")],
        ["import", "--data", str(tmp_path / "new"), file],
        ["import", "--data", str(tmp_path / "other"), str(not_text)],
        ["export", "--new-epoch", "--data", data, "-"],
        ["backup", "--data", str(tmp_path / "none"), str(tmp_path / "b")],
        ["export"],
        ["backup", "--data", data, "-"],
    ):
        assert main(words) == 2
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert err.startswith("chatd: ")


def test_an_export_that_fails_leaves_no_file(tmp_path: Path):
    assert main(["export", "--data", str(tmp_path / "none"), str(tmp_path / "out")]) == 2
    assert list(tmp_path.iterdir()) == []


def test_old_entries_are_forgotten_from_the_beginning_and_numbers_are_not_used_again(store):
    store.submit(1, Purge(before=2000))
    assert store.completions() == [Stored(1, 5)]
    assert (store.entries(0, 10), store.purged(), store.last_seq()) == ([], 5, 5)
    store.submit(2, Purge(before=2000))
    store.submit(3, said("direct", 1, 2, "new", "k4"))
    assert store.completions() == [Stored(2, 5), Stored(3, 6, 1000)]


def test_a_log_within_its_bounds_is_left_alone(store):
    store.submit(1, Purge(before=1000, keep_bytes=10**9))
    assert store.completions() == [Stored(1, 0)]
    assert len(store.entries(0, 10)) == 5
