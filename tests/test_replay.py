"""A chat moves to another keeper by the keeper's own operations, as a cluster has to take it."""

from contextlib import closing

import pytest
from msgspec import structs
from test_store_contract import put, store  # noqa: F401 - a fixture
from test_transfer import fill, said

from chatd.cli import UNFINISHED, main
from chatd.cluster.store import ClusterStore
from chatd.core.effects import (
    Append,
    Cursor,
    Entry,
    Find,
    Group,
    Join,
    MoveCursors,
    Part,
    Purge,
    PutGroup,
)
from chatd.store.replay import replay
from chatd.store.sqlite import SqliteStore
from chatd.store.transfer import Reading, export
from chatd.wire.errors import StoreError

BIG = 7 << 20  # the number of a group that was made in a cluster; it will be 4


def event(number: int, kind: str, *changes) -> Append:
    entry = said("event", 1, number, f'{{"kind":"{kind}","group":"team"}}').entry
    return Append(entry, changes)


MORE = (
    said("group", 1, 3, "ben is gone"),
    event(3, "added", Join(3, 2)),
    said("group", 1, 3, "ben is back", "k6"),
    event(BIG, "created", PutGroup(Group(BIG, "Crew", "crew", 2, 8)), Join(BIG, 2), Join(BIG, 1)),
    event(BIG, "left", Part(BIG, 1)),
    said("group", 2, BIG, "alone", "k7"),
    said("direct", 2, 1, "for ana"),
    MoveCursors({1: 8, 2: 3}, [Cursor(1, 3, 8, 6, 11), Cursor(2, 1, 2, 0, 12)]),
)


def translated(entry: Entry) -> Entry:
    return structs.replace(entry, target=4) if entry.target == BIG else entry


def seen(store, account: int) -> list:  # noqa: F811
    """What an account may see, and whether it has confirmed it; without what a replay has made."""
    (page,) = put(store, Find(account=account, limit=1000))
    received = {one.number: one.received for one in store.accounts()}[account]
    shown = [(translated(row.entry), row.seq <= received) for row in page.rows]
    return [one for one in shown if '"kind":"created"' not in one[0].content]


def read_by(store, cursors) -> dict:  # noqa: F811
    """How many entries each cursor stands behind, of those that were not forgotten."""
    entries = [row.seq for row in store.entries(0, 1000) if '"created"' not in row.entry.content]
    return {
        (one.account, one.conversation): (
            sum(seq <= one.delivered for seq in entries),
            sum(seq <= one.read for seq in entries),
            one.moved,
        )
        for one in cursors
    }


@pytest.mark.parametrize("forgotten", [0, 3, 5, 9])
def test_everybody_sees_the_same_behind_it(store, tmp_path, forgotten: int):  # noqa: F811
    before = SqliteStore(tmp_path / "before")
    fill(before)
    put(before, *MORE)
    if forgotten:
        before.forget(forgotten)
        put(before, Purge())
    reading = Reading(export(tmp_path / "before"))
    reading.head()
    replay(reading.rows(), store, getattr(store, "wait", pytest.fail))
    for account in (1, 2):
        assert seen(store, account) == seen(before, account)
    assert store.waiting() == before.waiting()
    groups = {one.group.key: one for one in store.groups()}
    for one in before.groups():
        number = 4 if one.group.number == BIG else one.group.number
        assert groups[one.group.key].group == structs.replace(one.group, number=number)
        assert groups[one.group.key].members == one.members
    assert read_by(store, store.cursors()) == read_by(before, before.cursors())
    for mine, theirs in zip(store.accounts(), before.accounts(), strict=True):
        for field in ("number", "name", "login", "password", "last_seen", "receipts", "token"):
            assert getattr(mine, field) == getattr(theirs, field)
    (again,) = put(store, said("group", 2, 4, "alone", "k7"))
    assert again.dup
    assert getattr(store, "copy", store).first_free_number() == 5
    before.close()


def moved_into(url: str, data, tmp_path) -> int:
    file = tmp_path / "moving"
    if not file.exists():
        assert main(["export", "--data", str(data), str(file)]) == 0
    return main(["import", "--cluster", url, str(file)])


def test_a_chat_of_one_daemon_goes_on_in_a_cluster(start, nats, stream, tmp_path, capsys):
    url, old = f"{nats.url}/{stream}", start()
    ann, ben = old.join("ann"), old.join("ben")
    ann.send("register", password="secret", id="r").await_("ok")
    ann.send("group", op="create", group="team", names=["ben"], id="g").await_("group_info")
    seq = ben.await_("group_event")["seq"]
    ben.send("received", upto=seq).settle()
    ben.close()
    ann.send("outgoing_group", group="team", content="while away", id="m").await_("ack")
    ann.close()
    assert old.stop() == 0
    assert moved_into(url, old.data, tmp_path) == 0
    assert f"rows imported into stream {stream}" in capsys.readouterr().out
    one, two = (start("--cluster", url, data=f"node{n}") for n in range(2))
    after = {"epoch": ben.welcome["epoch"], "seq": seq}
    again = two.join("ben", token=ben.welcome["token"], after=after)
    assert (again.welcome["resumed"], again.welcome["gap"]) == (True, True)
    assert again.await_("incoming_group")["content"] == "while away"
    for password, code in (("guess", "error"), ("secret", "welcome")):
        wire = one.wire().send("hello", name="ann", v=1, password=password)
        assert wire.read()["code"] == code
    ack = wire.send("outgoing_group", group="team", content="while away", id="m").await_("ack")
    assert ack["dup"]
    assert moved_into(url, old.data, tmp_path) == 2
    assert f"there is a stream {stream} already" in capsys.readouterr().err


def test_what_no_store_would_have_never_gets_to_a_stream(nats, stream, tmp_path, capsys):
    url, file = f"{nats.url}/{stream}", tmp_path / "moving"
    file.write_text('{"chatd":2,"seq":1,"rows":3}\n{"table":"log","row":{}}\n')
    assert main(["import", "--cluster", url, str(file)]) == 2
    assert "line 2 is not one of an export" in capsys.readouterr().err
    assert main(["import", "--cluster", "http://x", str(file)]) == 2
    assert "--cluster takes nats://" in capsys.readouterr().err


# --- NATS goes away in the midst ----------------------------------------------------------------


@pytest.fixture
def exported(tmp_path):
    """A chat as a store, which stays open, and as a file."""
    with closing(SqliteStore(tmp_path / "before")) as before:
        fill(before)
        put(before, *MORE)
        assert main(["export", "--data", str(tmp_path / "before"), str(tmp_path / "file")]) == 0
        yield before, str(tmp_path / "file")


@pytest.fixture
def in_the_midst(monkeypatch):
    """Something happens once a part of an import has come back, and perhaps more in trouble."""
    take_in = ClusterStore.take_in
    happening = []

    def takes_in(node):
        if happening and happening[0][0](node):
            happening.pop(0)[1]()
        take_in(node)

    def plan(first, then=None):
        monkeypatch.setattr(ClusterStore, "take_in", takes_in)
        happening.append((ClusterStore.last_seq, first))
        if then:
            happening.append((lambda node: node._trouble, then))
        return happening

    return plan


def is_the_same(url: str, stream: str, folder, before) -> bool:
    with closing(ClusterStore([url], folder, name=stream)) as one:
        return all(seen(one, account) == seen(before, account) for account in (1, 2))


def test_an_import_goes_on_when_nats_is_back(
    own_nats, exported, in_the_midst, tmp_path, monkeypatch
):
    before, file = exported
    monkeypatch.setattr("chatd.cluster.store.STUCK", 1)  # seconds until it is in trouble
    planned = in_the_midst(own_nats.kill, own_nats.start)
    assert main(["import", "--cluster", f"{own_nats.url}/a", file]) == 0
    assert not planned
    assert is_the_same(own_nats.url, "a", tmp_path / "node", before)


def test_what_an_import_has_left_is_served_by_nobody_and_makes_room_for_the_next(
    own_nats, exported, in_the_midst, tmp_path, capsys, monkeypatch
):
    (before, file), url = exported, own_nats.url
    monkeypatch.setattr("chatd.cluster.store.STARTING", 1)
    in_the_midst(own_nats.kill)
    assert main(["import", "--cluster", f"{url}/a", file]) == 2
    told = capsys.readouterr().err
    assert told.endswith(f"{UNFINISHED}\n")
    assert told.count("\n") == 1
    own_nats.start()
    monkeypatch.undo()
    with pytest.raises(StoreError, match="a part of an import that is not finished"):
        ClusterStore([url], tmp_path / "node", name="a")
    assert main(["import", "--cluster", f"{url}/a", file]) == 0
    assert is_the_same(url, "a", tmp_path / "node", before)
    assert main(["import", "--cluster", f"{url}/a", file]) == 2
    assert "there is a stream a already" in capsys.readouterr().err


def test_of_two_imports_at_once_one_is_whole(
    nats, stream, exported, in_the_midst, tmp_path, capsys
):
    before, file = exported
    words = ["import", "--cluster", f"{nats.url}/{stream}", file]
    codes = []
    in_the_midst(lambda: codes.append(main(words)))
    codes.append(main(words))
    assert codes == [0, 2]
    assert f"the stream {stream} is another one now" in capsys.readouterr().err
    assert is_the_same(nats.url, stream, tmp_path / "node", before)
