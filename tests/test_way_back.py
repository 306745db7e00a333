"""A chat of several daemons goes on in one: from the copy of the log that a node leaves behind."""

import json
from contextlib import closing
from pathlib import Path

import pytest
from test_cluster_store import answers, contents, said, settle
from test_replay import event

from chatd.cli import main
from chatd.cluster.store import ClusterStore
from chatd.core.effects import (
    Account,
    Cursor,
    Enter,
    Group,
    Join,
    MoveCursors,
    Part,
    Purge,
    PutAccount,
    PutGroup,
)
from chatd.store.sqlite import COPY, SqliteStore
from chatd.store.transfer import about, export, import_
from chatd.wire.errors import StoreError

ALL, SO_FAR = "its node was the last to end", "as far as its node has read"


def fill(store) -> int:
    """Accounts, a group and messages, one of them too old; the number of the group."""
    team = store.first_free_number()
    group = PutGroup(Group(team, "team", "team", 7, 0))
    answers(
        store,
        *(PutAccount(Account(n, f"U{n}", f"u{n}", f"u{n}", "hash", token="t")) for n in (7, 8)),
        said("too old", author=7, ts=0),
        event(team, "created", group, Join(team, 7), Join(team, 8)),
        said("hi", author=7, id="k1"),
        event(team, "left", Part(team, 8)),
    )
    answers(store, said("bye", author=8, id="k2"), Purge(before=1))
    answers(store, MoveCursors({7: 4}, [Cursor(7, 8, 5, 4, 9)]))
    return team


def kept(store) -> tuple:
    """Everything that a daemon is told at its start."""
    reading = (store.last_seq, store.accounts, store.groups, store.cursors, store.waiting)
    return store.epoch, *(each() for each in reading), store.purged(), store.entries(0, 100)


def test_what_one_store_takes_over_is_what_the_nodes_had(node, sqlite_store, tmp_path):
    one, two = node(), node()
    team = fill(one)
    settle(two)
    before = kept(two)
    one.close()
    two.close()
    import_(tmp_path / "kept", export(tmp_path / "copy1"))
    after = sqlite_store()
    assert kept(after) == before
    assert after.first_free_number() > team
    (again, new) = answers(after, said("hi", author=7, id="k1"), said("new"))
    assert again.dup
    assert new.seq == before[1] + 1


def test_only_who_was_the_last_to_end_says_that_nothing_is_missing(node, tmp_path):
    one, two = node(), node()
    answers(one, said("to all"))
    settle(two)
    assert SO_FAR in about(tmp_path / "copy0")
    one.close()
    answers(two, Enter(Account(7, "Ann", "ann", "ann"), 0, False, False, False))
    seq = two.last_seq()
    two.close()
    assert SO_FAR in about(tmp_path / "copy0")
    assert f"up to entry {seq} of 2023-11-14 22:13:20 UTC: {ALL}" in about(tmp_path / "copy1")
    with closing(SqliteStore(tmp_path / "copy1" / COPY)) as copy:
        assert copy.accounts()[0].last_seen, "it has read how its own people have left"


def test_a_part_of_a_log_is_none(tmp_path, capsys):
    SqliteStore(tmp_path / "node" / COPY, durable=False).close()  # a node killed at its start
    file = tmp_path / "file"
    for command in ("export", "backup"):
        assert main([command, "--data", str(tmp_path / "node"), str(file)]) == 2
        said = capsys.readouterr().err
        assert "has only a part of it" in said
        assert said.count("\n") == 1
    with pytest.raises(StoreError, match="only a part"):
        next(export(tmp_path / "node"))
    assert not file.exists()


def test_a_node_that_still_reads_has_no_copy_that_goes_for_the_log(node, nats, stream, tmp_path):
    answers(node(), *(said(f"m{n}") for n in range(20)))
    told = []

    class Watched(ClusterStore):
        def take_in(self):
            super().take_in()
            told.append(how_far(tmp_path / "late"))

    with closing(Watched([nats.url], tmp_path / "late", name=stream)):
        assert told
        assert all("has only a part of it" in each for each in told)
        assert SO_FAR in how_far(tmp_path / "late")


def how_far(folder: Path) -> str:
    try:
        return about(folder)
    except StoreError as error:
        return str(error)


def test_nobody_guesses_which_of_two_chats_is_meant(tmp_path, capsys):
    for folder in ("node", f"node/{COPY}"):
        SqliteStore(tmp_path / folder).close()
    assert main(["export", "--data", str(tmp_path / "node"), "-"]) == 2
    assert "has a chat of its own and" in capsys.readouterr().err
    assert main(["export", "--data", str(tmp_path / "node" / COPY), "-"]) == 0


def test_what_may_be_the_last_copy_of_a_lost_log_is_not_thrown_away(nats, stream, tmp_path):
    folder = tmp_path / "node"
    one = ClusterStore([nats.url], folder, name=stream)
    answers(one, said("all that is left"))
    epoch = one.epoch
    one.close()
    for _ in range(2):
        with pytest.raises(StoreError, match=r"a copy of another log .* `chatd export"):
            ClusterStore([nats.url], folder, name=f"{stream}new")
    assert import_(tmp_path / "kept", export(folder)) == 2
    with closing(SqliteStore(tmp_path / "kept")) as store:
        assert (store.epoch, contents(store)) == (epoch, ["all that is left"])
    again = ClusterStore([nats.url], folder, name=stream)
    assert contents(again) == ["all that is left"]
    again.close()


def test_a_copy_that_a_power_failure_has_broken_is_made_anew(nats, stream, tmp_path):
    folder = tmp_path / "node"
    (folder / COPY).mkdir(parents=True)
    (folder / COPY / "chat.db").write_bytes(b"nonsense" * 1000)
    store = ClusterStore([nats.url], folder, name=stream)
    assert answers(store, said("hi"))
    store.close()
    assert ALL in about(folder)


def test_a_backup_of_a_copy_is_the_chat_of_one_daemon(node, tmp_path):
    store = node()
    answers(store, said("hi"))
    (tmp_path / "new").mkdir()
    data = str(tmp_path / "copy0")
    assert main(["backup", "--data", data, str(tmp_path / "new" / "chat.db")]) == 0
    with closing(SqliteStore(tmp_path / "new")) as one:
        assert (one.epoch, contents(one)) == (store.epoch, ["hi"])
    assert about(tmp_path / "new") == ""


@pytest.mark.parametrize("killed", [False, True])
def test_people_of_a_cluster_go_on_with_one_daemon(start, nats, stream, tmp_path, capsys, killed):
    url, file = f"{nats.url}/{stream}", str(tmp_path / "moving")
    one, two = (start("--cluster", url, data=f"node{n}") for n in range(2))
    ann, ben = one.join("ann"), two.join("ben")
    ann.send("register", password="secret", id="r").await_("notice")
    ann.settle()
    ann.send("group", op="create", group="team", names=["ben"], id="g").await_("group_info")
    seq = ben.await_("group_event")["seq"]
    ben.send("received", upto=seq).settle()
    ben.close()
    ann.send("outgoing_group", group="team", content="while away", id="m").await_("ack")
    sent = ann.tell("ben", "direct")
    if not killed:
        assert two.stop() == 0
    end(one, killed)
    assert main(["export", "--data", str(one.data), file]) == 0
    assert (SO_FAR if killed else ALL) in capsys.readouterr().err
    assert json.loads(Path(file).read_text("utf-8").splitlines()[0])["seq"] == sent["seq"]
    assert main(["import", "--data", str(tmp_path / "new"), file]) == 0
    moved = start(data="new")
    after = {"epoch": ben.welcome["epoch"], "seq": seq}
    again = moved.join("ben", token=ben.welcome["token"], after=after)
    assert (again.welcome["resumed"], again.welcome.get("gap", False)) == (True, False)
    missed = [each["content"] for each in again.settle() if each["code"].startswith("incoming")]
    assert missed == ["while away", "direct"]
    for password, code in (("guess", "error"), ("secret", "welcome")):
        wire = moved.wire().send("hello", name="ann", v=1, password=password)
        assert wire.read()["code"] == code
    ack = wire.send("outgoing_group", group="team", content="while away", id="m").await_("ack")
    assert ack["dup"]
    wire.send("outgoing_group", group="team", content="once more", id="n").await_("ack")
    assert again.await_("incoming_group")["seq"] == sent["seq"] + 1


def end(node, killed: bool):
    if killed:
        node.process.kill()
        node.process.wait()
    else:
        assert node.stop() == 0
