"""Groups: who may do what, and that every change cuts exactly where it stands in the log."""

import pytest
from bench import Bench

from chatd.core.limits import Limits
from chatd.dialects.json import plain
from chatd.wire.messages import (
    Ack,
    Group,
    GroupEvent,
    GroupInfo,
    Hello,
    Incoming,
    IncomingGroup,
    Newname,
    Notice,
    Outgoing,
    OutgoingGroup,
    Position,
    Quit,
    Received,
)


def met(begin, *names: str, **more) -> tuple[Bench, list[int]]:
    bench = begin(**more)
    return bench, [bench.join(name) for name in names]


def do(bench: Bench, conn: int, op: str, *args, **fields) -> GroupInfo:
    """A change that works."""
    (info,) = [one for one in bench.say(conn, Group(op, *args, **fields)) if not_notice(one)]
    assert isinstance(info, GroupInfo), info
    return info


def not_notice(frame) -> bool:
    return not isinstance(frame, Notice)


def errors(frames) -> list[int]:
    return [one.error for one in frames]


def heard(frames) -> list[str]:
    """Messages by their text, events by their kind."""
    kinds = {IncomingGroup: "content", Incoming: "content", GroupEvent: "kind"}
    return [getattr(one, kinds[type(one)]) for one in frames if type(one) in kinds]


def members(info: GroupInfo) -> list[str]:
    (row,) = info.groups
    return row.members


# --- every operation ----------------------------------------------------------------------------


def test_a_group_is_made_with_its_owner_first_and_the_others_are_told(begin):
    bench, (ann, bob) = met(begin, "ann", "bob")
    info = do(bench, ann, "create", "team", ["bob"], id="g")
    (row,) = info.groups
    assert (info.re, row.group, row.owner, row.members) == ("g", "team", "ann", ["ann", "bob"])
    (event,) = bench.got(bob)
    assert (event.kind, event.by, event.names) == ("created", "ann", ["ann", "bob"])


def test_a_message_reaches_all_other_members_and_nobody_else(begin):
    bench, (ann, bob, cid, dan) = met(begin, "ann", "bob", "cid", "dan")
    do(bench, ann, "create", "team", ["bob", "cid"])
    (ack,) = bench.say(bob, OutgoingGroup("TEAM", "hi", "b1"))[1:]
    assert (ack.re, ack.state, ack.absent) == ("b1", "stored", [])
    for conn in (ann, cid):
        last = bench.got(conn)[-1]
        assert (last.group, last.sender, last.content, last.seq) == ("team", "bob", "hi", ack.seq)
    assert bench.settle(dan) == []
    assert heard(bench.settle(bob)) == []


def test_names_that_cannot_be_added_are_told_one_by_one(begin):
    bench, (ann, *_) = met(begin, "ann", "bob")
    info = do(bench, ann, "create", "team", ["bob", "nobody", "ann", "bob", "a|b"])
    assert members(info) == ["ann", "bob"]
    assert {one.name: one.error for one in info.failed} == {"nobody": 301, "ann": 406, "a|b": 301}
    info = do(bench, ann, "add", "team", ["bob", "nobody"])
    assert [one.error for one in info.failed] == [406, 301]
    info = do(bench, ann, "remove", "team", ["nobody", "ann"])
    assert [one.error for one in info.failed] == [405, 408]
    assert members(info) == ["ann", "bob"]


def test_who_is_added_sees_what_follows_and_nothing_before(begin):
    bench, (ann, bob) = met(begin, "ann", "bob")
    do(bench, ann, "create", "team")
    bench.say(ann, OutgoingGroup("team", "before"))
    do(bench, ann, "add", "team", ["bob"])
    bench.say(ann, OutgoingGroup("team", "behind"))
    assert heard(bench.got(bob)) == ["added", "behind"]
    _, _, rest = bench.restarted().enter("bob", after=Position(bench.store.epoch, 0))
    assert heard(rest) == ["added", "behind"]


def test_who_is_removed_sees_that_and_nothing_behind_it(begin):
    bench, (ann, bob, cid) = met(begin, "ann", "bob", "cid")
    do(bench, ann, "create", "team", ["bob", "cid"])
    do(bench, ann, "remove", "team", ["bob"])
    bench.say(ann, OutgoingGroup("team", "behind your back"))
    assert heard(bench.got(bob)) == ["created", "removed"]
    assert heard(bench.got(cid)) == ["created", "removed", "behind your back"]
    assert errors(bench.say(bob, OutgoingGroup("team", "still here?"))) == [402]
    _, _, rest = bench.restarted().enter("bob", after=Position(bench.store.epoch, 0))
    assert heard(rest) == ["created", "removed"]


def test_a_renamed_group_is_the_same_under_its_new_name_alone(begin):
    bench, (ann, bob) = met(begin, "ann", "bob")
    do(bench, ann, "create", "team", ["bob"])
    info = do(bench, ann, "rename", "team", to="crew")
    assert info.groups[0].group == "crew"
    event = bench.got(bob)[-1]
    assert (event.group, event.kind, event.to) == ("team", "renamed", "crew")
    assert errors(bench.say(bob, OutgoingGroup("team", "x"))) == [401]
    bench = bench.restarted()
    bob = bench.join("bob")
    assert isinstance(bench.say(bob, OutgoingGroup("crew", "x", "b1"))[0], Ack)
    ann = bench.join("ann")
    assert do(bench, ann, "rename", "crew", to="Crew").groups[0].group == "Crew"


def test_an_owner_hands_over_and_has_no_rights_any_more(begin):
    bench, (ann, bob) = met(begin, "ann", "bob")
    do(bench, ann, "create", "team", ["bob"])
    assert do(bench, ann, "owner", "team", to="bob").groups[0].owner == "bob"
    assert errors(bench.say(ann, Group("delete", "team"))) == [403]
    bench.got(bob)
    assert do(bench, bob, "remove", "team", ["ann"]).groups[0].members == ["bob"]


def test_an_owner_leaves_only_as_the_last(begin):
    bench, (ann, bob) = met(begin, "ann", "bob")
    do(bench, ann, "create", "team", ["bob"])
    assert errors(bench.say(ann, Group("leave", "team"))) == [408]
    bench.got(bob)
    do(bench, bob, "leave", "team")
    assert bench.got(ann)[-1].kind == "left"
    do(bench, ann, "leave", "team")
    assert errors(bench.say(ann, Group("info", "team"))) == [401]


def test_a_deleted_group_frees_its_name_and_its_members_are_told(begin):
    bench, (ann, bob) = met(begin, "ann", "bob")
    do(bench, ann, "create", "team", ["bob"])
    do(bench, ann, "delete", "team")
    assert heard(bench.got(bob)) == ["created", "deleted"]
    assert errors(bench.say(ann, OutgoingGroup("team", "x"))) == [401]
    bench = bench.restarted()
    bob = bench.join("bob")
    assert members(do(bench, bob, "create", "team")) == ["bob"]


def test_list_and_info_show_ones_own_groups_alone(begin):
    bench, (ann, bob) = met(begin, "ann", "bob")
    do(bench, ann, "create", "team", ["bob"])
    do(bench, ann, "create", "mine")
    bench.got(bob)
    assert [row.group for row in do(bench, bob, "list").groups] == ["team"]
    assert [row.group for row in do(bench, ann, "list").groups] == ["team", "mine"]
    assert do(bench, bob, "info", "team").groups[0].owner == "ann"
    assert errors(bench.say(bob, Group("info", "mine"))) == [401]


@pytest.mark.parametrize(
    ("who", "asked", "code"),
    [
        ("ann", Group("create", "team"), 404),
        ("ann", Group("create", "Bob"), 404),
        ("ann", Group("create", "server"), 104),
        ("ann", Group("create", "a|b"), 104),
        ("ann", Group("create", "x" * 33), 104),
        ("ann", Group("create"), 203),
        ("ann", Group("rename", "team"), 203),
        ("ann", Group("rename", "team", to="other"), 404),
        ("ann", Group("rename", "team", to="bob"), 404),
        ("ann", Group("rename", "team", to=""), 104),
        ("ann", Group("owner", "team", to="dan"), 405),
        ("ann", Group("owner", "team", to="nobody"), 405),
        ("ann", Group("owner", "team"), 203),
        ("ann", Group("leave", "team"), 408),
        ("bob", Group("add", "team", ["dan"]), 403),
        ("bob", Group("remove", "team", ["ann"]), 403),
        ("bob", Group("rename", "team", to="x"), 403),
        ("bob", Group("owner", "team", to="bob"), 403),
        ("bob", Group("delete", "team"), 403),
        ("dan", Group("info", "team"), 401),
        ("dan", Group("leave", "team"), 401),
        ("dan", Group("delete", "team"), 401),
        ("dan", OutgoingGroup("team", "x"), 401),
        ("dan", Group("add", "nothing", ["dan"]), 401),
        ("eve", Group("info", "team"), 402),
        ("eve", OutgoingGroup("team", "x"), 402),
        ("bob", OutgoingGroup("team", " "), 303),
        ("bob", OutgoingGroup("a|b", "x"), 401),
    ],
)
def test_what_may_not_be_done_is_one_error_and_changes_nothing(begin, who, asked, code):
    bench, conns = met(begin, "ann", "bob", "dan", "eve")
    conn = dict(zip(("ann", "bob", "dan", "eve"), conns, strict=True))
    do(bench, conn["ann"], "create", "team", ["bob", "eve"])
    do(bench, conn["ann"], "create", "other")
    do(bench, conn["ann"], "remove", "team", ["eve"])
    for one in conns:
        bench.got(one)
    head = bench.store.last_seq()
    assert errors(bench.say(conn[who], asked)) == [code]
    assert bench.store.last_seq() == head
    assert members(do(bench, conn["ann"], "info", "team")) == ["ann", "bob"]


def test_a_group_has_a_bound(begin):
    bench, (ann, *_) = met(begin, "ann", "bob", "cid")
    bench.hub.replace_limits(Limits(members=2))
    do(bench, ann, "create", "team", ["bob"])
    assert errors(bench.say(ann, Group("add", "team", ["cid"]))) == [407]
    assert errors(bench.say(ann, Group("create", "big", ["bob", "cid"]))) == [407]


# --- one name space -----------------------------------------------------------------------------


def test_nobody_can_be_called_like_a_group(begin):
    bench, (ann,) = met(begin, "ann")
    do(bench, ann, "create", "team")
    conn = bench.connect()
    (error,) = bench.say(conn, Hello(name="Team", v=1))
    assert (error.error, error.fatal) == (104, True)
    assert errors(bench.say(ann, Newname("TEAM"))) == [105]
    assert errors(bench.say(ann, Outgoing("team", "x"))) == [301]


def test_no_name_is_given_to_a_guest_that_a_group_has(begin):
    bench, (ann,) = met(begin, "ann")
    do(bench, ann, "create", "client1")
    bench.join()
    assert "client1" not in bench.hub.online


def test_a_name_that_two_ask_for_in_one_turn_is_given_once(begin):
    bench, conns = met(begin, "ann", "bob", "cid", "dan")
    bench.answers = False
    ann, bob, cid, dan = conns
    bench.say(ann, Group("create", "first"))
    bench.say(bob, Group("create", "same"))
    bench.say(cid, Group("create", "SAME"))
    bench.say(dan, Newname("same", id="n"))
    bench.answers = True
    bench.commit()
    bench.commit()
    assert isinstance(bench.got(bob)[0], GroupInfo)
    assert errors(bench.got(cid)) == [404]
    assert errors(bench.got(dan)) == [105]


# --- during traffic -----------------------------------------------------------------------------


def test_a_removal_cuts_exactly_whatever_is_said_in_the_same_turn(begin):
    bench, (ann, bob, cid) = met(begin, "ann", "bob", "cid")
    do(bench, ann, "create", "team", ["bob", "cid"])
    for conn in (ann, bob, cid):
        bench.got(conn)
    bench.say(cid, OutgoingGroup("team", "before"))
    assert heard(bench.got(bob)) == ["before"]
    bench.answers = False
    bench.say(ann, Group("remove", "team", ["bob"]))
    bench.say(cid, OutgoingGroup("team", "behind"))
    bench.say(bob, OutgoingGroup("team", "too late"))
    bench.answers = True
    bench.commit()
    assert heard(bench.got(ann)) == ["behind"]
    told = bench.got(bob)
    assert heard(told) == ["removed"]
    assert errors([one for one in told if hasattr(one, "error")]) == [402]
    _, _, rest = bench.restarted().enter("bob", after=Position(bench.store.epoch, 0))
    assert heard(rest) == ["created", "before", "removed"]


def test_messages_behind_two_changes_of_one_turn_obey_both(begin):
    bench, (ann, bob, cid, dan) = met(begin, "ann", "bob", "cid", "dan")
    do(bench, ann, "create", "team", ["bob", "cid", "dan"])
    for conn in (bob, cid, dan):
        bench.got(conn)
    bench.answers = False
    bench.say(dan, OutgoingGroup("team", "before"))
    bench.say(ann, Group("remove", "team", ["cid"]), Group("remove", "team", ["bob"]))
    bench.say(ann, OutgoingGroup("team", "behind"))
    bench.say(dan, Group("leave", "team"), OutgoingGroup("team", "too late"))
    bench.answers = True
    bench.commit()
    assert heard(bench.got(cid)) == ["before", "removed"]
    assert heard(bench.got(bob)) == ["before", "removed", "removed"]
    told = bench.got(dan)
    assert errors([one for one in told if hasattr(one, "error")]) == [402]
    assert "too late" not in heard(bench.got(ann))


def test_a_rename_during_traffic_loses_nothing(begin):
    bench, (ann, bob) = met(begin, "ann", "bob")
    do(bench, ann, "create", "team", ["bob"])
    bench.got(bob)
    bench.say(bob, OutgoingGroup("team", "1", "b1"))
    assert heard(bench.got(ann)) == ["1"]
    bench.answers = False
    bench.say(ann, Group("rename", "team", to="crew"), OutgoingGroup("crew", "2", "a1"))
    bench.say(bob, OutgoingGroup("team", "3", "b2"))
    bench.answers = True
    bench.commit()
    assert heard(bench.got(ann)) == []
    told = bench.got(bob)
    assert heard(told) == ["renamed", "2"]
    assert [one.error for one in told if hasattr(one, "error")] == [401]


# --- absent, plain, and unnamed members ---------------------------------------------------------


def test_absent_members_are_named_and_get_it_later(begin):
    bench, (ann, bob, _) = met(begin, "ann", "bob", "cid")
    do(bench, ann, "create", "team", ["bob", "cid"])
    bench.say(bob, Quit())
    bench.got(ann)
    (ack,) = bench.say(ann, OutgoingGroup("team", "later", "a1"))
    assert (ack.state, ack.absent) == ("stored", ["bob"])
    bench = bench.restarted()
    _, _, rest = bench.enter("bob")
    assert [(one.late, heard([one])[0]) for one in rest if heard([one])][-1] == (True, "later")


def test_a_plain_member_sees_the_group_in_front_of_the_text(begin):
    bench = begin()
    ann, bob = bench.join("ann"), bench.join("bob", plain=True)
    do(bench, ann, "create", "team", ["bob"])
    bench.say(ann, OutgoingGroup("team", "hi"))
    last = bench.got(bob)[-1]
    assert plain(last) == b'{"code":"incoming","from":"ann","content":"[team] hi"}\n'


def test_an_unnamed_member_is_kept_like_any_other(begin):
    bench = begin()
    ann, guest = bench.join("ann"), bench.join()
    do(bench, ann, "create", "team", ["client1"])
    bench.say(guest, Quit())
    bench.got(ann)
    assert bench.say(ann, OutgoingGroup("team", "later", "a1"))[0].absent == ["client1"]
    bench = bench.restarted()
    assert heard(bench.enter("client1")[2])[-1] == "later"


def test_who_has_left_is_no_longer_counted_and_may_come_back(begin):
    bench, (ann, bob) = met(begin, "ann", "bob")
    do(bench, ann, "create", "team", ["bob"])
    bench.got(bob)
    do(bench, bob, "leave", "team")
    bench.say(ann, OutgoingGroup("team", "unheard"))
    do(bench, ann, "add", "team", ["bob"])
    bench.say(ann, OutgoingGroup("team", "heard"))
    assert heard(bench.got(bob)) == ["added", "heard"]
    last = bench.hub.seq
    bench.say(bob, Received(last))
    _, _, rest = bench.restarted().enter("bob", after=Position(bench.store.epoch, 0))
    assert heard(rest) == ["created", "added", "heard"]
