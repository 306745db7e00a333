import threading

import pytest

from chatd.wire.messages import Ack, Receipt
from chatsh.status import AWAY, KEPT, Statuses


def stored(*seqs: int, to: str = "ben", statuses: Statuses | None = None, **more) -> Statuses:
    statuses = statuses or Statuses()
    for seq in seqs:
        statuses.acknowledged(to, Ack("x", seq, "t", "stored", **more))
    return statuses


def in_team(*seqs: int, absent: tuple[str, ...] = ()) -> Statuses:
    statuses = Statuses()
    for seq in seqs:
        ack = Ack("x", seq, "t", "stored", absent=list(absent))
        statuses.acknowledged("team", ack, group=True)
    return statuses


def by(name: str, delivered: int, read: int | None = None, **more) -> Receipt:
    peer = None if "group" in more else name
    return Receipt(name, delivered, peer=peer, read=read, **more)


def test_nothing_was_said_and_nothing_is_told():
    statuses = Statuses()
    assert (statuses.newest, statuses.lines()) == ("", [])
    assert not statuses.reported(by("ben", 5))
    assert statuses.newest == ""


def test_a_message_becomes_stored_delivered_and_read():
    statuses = stored(7)
    assert statuses.newest == "to ben: stored"
    assert statuses.reported(by("ben", 7))
    assert statuses.newest == "to ben: delivered"
    assert statuses.reported(by("ben", 7, 7))
    assert statuses.newest == "to ben: read"


def test_what_changes_nothing_of_the_newest_says_so():
    statuses = stored(7, 9)
    assert not statuses.reported(by("ben", 7, 7))
    assert statuses.newest == "to ben: stored"
    assert statuses.lines() == ["to ben: 2 stored, 1 delivered, 1 read"]
    assert not statuses.reported(by("cleo", 100))


def test_a_message_to_somebody_who_is_away_waits_until_it_is_delivered():
    statuses = stored(7, absent=["ben"])
    assert statuses.newest == f"to ben: {AWAY}"
    assert statuses.lines() == [f"to ben: 1 stored, 0 delivered, 0 read, {AWAY}"]
    statuses.reported(by("ben", 7))
    assert statuses.newest == "to ben: delivered"
    assert statuses.lines() == ["to ben: 1 stored, 1 delivered, 0 read"]


def test_who_does_not_share_what_is_read_appears_as_such_and_may_change_it():
    statuses = stored(7)
    statuses.reported(by("ben", 7, unshared=True))
    assert statuses.newest == "to ben: delivered"
    assert statuses.lines() == ["to ben: 1 stored, 1 delivered, what is read is not shared"]
    statuses.reported(by("ben", 7, 7))
    assert statuses.lines() == ["to ben: 1 stored, 1 delivered, 1 read"]


def test_a_repeated_acknowledgement_counts_once():
    statuses = stored(7, 7, dup=True)
    assert statuses.lines() == ["to ben: 1 stored, 0 delivered, 0 read"]


@pytest.mark.parametrize("typed", ["BEN", "ben", "ＢＥＮ"])
def test_a_name_is_the_same_however_it_is_typed(typed):
    statuses = stored(7, to=typed)
    statuses.reported(by("ben", 7, 7))
    assert statuses.newest == f"to {typed}: read"
    assert statuses.lines("Ben") == [f"to {typed}: 1 stored, 1 delivered, 1 read"]
    assert statuses.lines("cleo") == []
    assert statuses.lines("\x00") == []


def test_who_takes_another_name_keeps_what_was_said_to_them():
    statuses = stored(7, 8)
    statuses.reported(by("ben", 7, 7))
    statuses.renamed("ben", "joe")
    assert statuses.newest == "to joe: stored"
    statuses.reported(by("joe", 8))
    assert statuses.lines("joe") == ["to joe: 2 stored, 2 delivered, 1 read"]
    assert statuses.lines("ben") == []
    statuses.renamed("zoe", "kim")
    assert len(statuses.lines()) == 1


def test_in_a_group_the_state_of_the_newest_counts_people():
    statuses = in_team(5, 6, absent=("dan",))
    assert statuses.newest == "to team: waits for dan"
    statuses.reported(by("ben", 6, group="team"))
    statuses.reported(by("cleo", 6, group="team"))
    assert statuses.newest == "to team: delivered to 2, waits for dan"
    statuses.reported(by("cleo", 6, 6, group="team"))
    assert statuses.newest == "to team: delivered to 2, read by 1, waits for dan"
    statuses.reported(by("dan", 6, group="team"))
    assert statuses.lines() == ["to team: 2 stored; the newest: delivered to 3, read by 1"]


def test_who_has_left_a_group_holds_nobody_up():
    statuses = in_team(5)
    statuses.reported(by("cleo", 5, group="team"))
    statuses.acknowledged("team", Ack("x", 9, "t", "stored"), group=True)
    statuses.reported(by("ben", 9, 9, group="team"))
    assert statuses.newest == "to team: delivered to 1, read by 1"


def test_the_status_line_is_about_what_was_said_last():
    statuses = stored(7)
    stored(8, to="cleo", statuses=statuses)
    assert statuses.newest == "to cleo: stored"
    statuses.reported(by("ben", 7))
    assert statuses.newest == "to cleo: stored"
    assert statuses.lines() == [
        "to ben: 1 stored, 1 delivered, 0 read",
        "to cleo: 1 stored, 0 delivered, 0 read",
    ]


def test_what_is_remembered_of_one_conversation_is_bounded():
    statuses = stored(*range(1, KEPT + 50))
    assert statuses.lines() == [f"to ben: {KEPT} stored, 0 delivered, 0 read"]


def test_a_keyboard_and_a_link_may_use_it_at_once():
    statuses, done = Statuses(), threading.Event()
    wrong: list[Exception] = []

    def look() -> None:
        try:
            while not done.is_set():
                statuses.lines()
        except RuntimeError as error:  # what Python says of a table that grew meanwhile
            wrong.append(error)

    looker = threading.Thread(target=look)
    looker.start()
    for seq in range(1, 3000):
        stored(seq, to=f"n{seq % 300}", statuses=statuses)
    done.set()
    looker.join()
    assert wrong == []
