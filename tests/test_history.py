"""Pages of what was said, and the search in it: all that the asker may see, and never more."""

import pytest
from bench import Bench

from chatd.wire.messages import (
    Error,
    Group,
    GroupEvent,
    History,
    Items,
    Outgoing,
    OutgoingBroadcast,
    OutgoingGroup,
    Quit,
)


class Scene:
    """Ann, Bob and Cid have talked: to each other, to all, and in a group that Bob has left."""

    def __init__(self, bench: Bench):
        self.bench = bench
        self.conns = {name: bench.join(name) for name in ("ann", "bob", "cid")}
        self.said("ann", Outgoing("bob", "a secret for bob"))
        self.said("bob", Outgoing("ann", "an answer for ann"))
        self.said("cid", Outgoing("bob", "cid to bob"))
        self.said("ann", OutgoingBroadcast("hello everybody"))
        self.said("ann", Group("create", "team", ["bob"]))
        self.said("bob", OutgoingGroup("team", "in the team"))
        self.said("ann", Group("remove", "team", ["bob"]))
        self.said("ann", OutgoingGroup("team", "without bob"))

    def said(self, who: str, *messages):
        self.bench.say(self.conns[who], *messages)
        for conn in self.conns.values():
            self.bench.got(conn)

    def ask(self, who: str, **asked) -> Items | Error:
        (answer,) = self.bench.say(self.conns[who], History(**asked, id="h"))
        assert isinstance(answer, Error) or answer.re == "h"
        return answer

    def found(self, who: str, **asked) -> list[str]:
        """Messages by their text, events by their kind."""
        page = self.ask(who, **asked)
        assert isinstance(page, Items), page
        return [one.kind if isinstance(one, GroupEvent) else one.content for one in page.items]


@pytest.fixture
def scene(begin) -> Scene:
    return Scene(begin())


# --- what may be seen ---------------------------------------------------------------------------


def test_a_conversation_shows_both_sides_and_to_whom_ones_own_went(scene):
    page = scene.ask("ann", peer="bob")
    assert [(one.sender, one.content, one.to) for one in page.items] == [
        ("ann", "a secret for bob", "bob"),
        ("bob", "an answer for ann", None),
    ]
    assert not page.more


@pytest.mark.parametrize(
    ("who", "everything"),
    [
        (
            "ann",
            "a secret for bob, an answer for ann, hello everybody, created, in the team, removed, "
            "without bob",
        ),
        (
            "bob",
            "a secret for bob, an answer for ann, cid to bob, hello everybody, created, "
            "in the team, removed",
        ),
        ("cid", "cid to bob, hello everybody"),
    ],
)
def test_all_is_what_one_may_see_and_nothing_else(scene, who, everything):
    assert ", ".join(scene.found(who, all=True)) == everything
    pieces, before = [], None
    while True:
        page = scene.ask(who, all=True, before=before, limit=2)
        pieces = [*page.items, *pieces]
        if not page.more:
            break
        before = page.items[0].seq
    assert [one.seq for one in pieces] == [one.seq for one in scene.ask(who, all=True).items]
    assert len(pieces) == len(everything.split(", "))


def test_a_group_shows_its_members_what_was_said_while_they_were_in_it(scene):
    assert scene.found("ann", group="team") == ["created", "in the team", "removed", "without bob"]
    assert scene.found("bob", group="team") == ["created", "in the team", "removed"]
    assert scene.ask("cid", group="team").error == 401


def test_who_comes_back_to_a_group_has_a_hole_where_they_were_away(scene):
    scene.said("ann", Group("add", "team", ["bob"]), OutgoingGroup("team", "with bob"))
    wanted = ["created", "in the team", "removed", "added", "with bob"]
    assert scene.found("bob", group="team") == wanted
    assert scene.found("bob", all=True, q="without") == []


def test_a_search_finds_words_only_where_the_asker_may_look(scene):
    assert scene.found("ann", all=True, q="secret") == ["a secret for bob"]
    assert scene.found("cid", all=True, q="secret") == []
    assert scene.found("bob", all=True, q="bob") == ["a secret for bob", "cid to bob"]
    assert scene.found("bob", peer="cid", q="bob") == ["cid to bob"]
    assert scene.found("ann", group="team", q="bob") == ["without bob"]
    assert scene.found("ann", peer="ann", q="answer") == [], "nobody talks with oneself"


def test_the_author_narrows_a_page_and_a_search(scene):
    assert scene.found("ann", peer="bob", author="bob") == ["an answer for ann"]
    assert scene.found("bob", all=True, author="cid") == ["cid to bob"]
    assert scene.found("bob", all=True, author="ann", q="bob") == ["a secret for bob"]


def test_history_is_the_same_after_a_restart(scene):
    before = scene.ask("bob", all=True)
    bench = scene.bench.restarted()
    bob = bench.join("bob")
    assert bench.say(bob, History(all=True, id="h")) == [before]


# --- pages --------------------------------------------------------------------------------------


@pytest.fixture
def long(begin) -> Scene:
    scene = Scene(begin())
    scene.said("cid", *(Outgoing("ann", str(n)) for n in range(1, 121)))
    return scene


def numbers(first: int, last: int) -> list[str]:
    return [str(n) for n in range(first, last + 1)]


def test_without_bounds_the_newest_page_comes_oldest_first(long):
    page = long.ask("ann", peer="cid")
    assert [one.content for one in page.items] == numbers(71, 120)
    assert page.more


def test_pages_backwards_and_forwards_meet_without_a_gap_or_an_overlap(long):
    newest = long.ask("ann", peer="cid", limit=40)
    older = long.ask("ann", peer="cid", limit=40, before=newest.items[0].seq)
    oldest = long.ask("ann", peer="cid", limit=40, before=older.items[0].seq)
    assert [page.more for page in (newest, older, oldest)] == [True, True, False]
    back = [one.content for page in (oldest, older, newest) for one in page.items]
    assert back == numbers(1, 120)
    forth, after = [], 0
    while True:
        page = long.ask("ann", peer="cid", limit=50, after=after)
        forth += [one.content for one in page.items]
        after = page.items[-1].seq
        if not page.more:
            break
    assert forth == back


def test_both_bounds_are_exclusive_and_the_page_begins_at_the_lower_one(long):
    seqs = [one.seq for one in long.ask("ann", peer="cid", limit=120).items]
    page = long.ask("ann", peer="cid", after=seqs[9], before=seqs[19])
    assert [one.content for one in page.items] == numbers(11, 19)
    assert not page.more
    page = long.ask("ann", peer="cid", after=seqs[9], before=seqs[19], limit=3)
    assert ([one.content for one in page.items], page.more) == (numbers(11, 13), True)


@pytest.mark.parametrize(
    "bounds",
    [
        {"after": 10**15},
        {"before": 0},
        {"before": 1},
        {"after": 50, "before": 20},
        {"after": 50, "before": 50},
        {"after": 9_223_372_036_854_775_807},
    ],
)
def test_bounds_that_hold_nothing_are_an_empty_page(long, bounds):
    page = long.ask("ann", peer="cid", **bounds)
    assert (page.items, page.more) == ([], False)


@pytest.mark.parametrize("bound", ["after", "before"])
def test_a_bound_beyond_every_number_harms_nobody(long, bound):
    answer = long.ask("ann", peer="cid", **{bound: 2**63 - 1})
    assert isinstance(answer, Items | Error)
    assert long.found("ann", peer="cid", limit=1) == ["120"]


def test_a_page_of_long_messages_ends_early_and_says_so(begin, monkeypatch):
    monkeypatch.setattr("chatd.core.history.PAGE_BYTES", 3000)
    scene = Scene(begin())
    scene.said("cid", *(Outgoing("ann", f"{n} " + "\u00fc" * 500) for n in range(10)))
    page = scene.ask("ann", peer="cid", limit=10)
    assert (len(page.items), page.more) == (3, True)
    assert page.items[-1].content.startswith("9 ")


# --- searching ----------------------------------------------------------------------------------


@pytest.fixture
def words(begin) -> Scene:
    scene = Scene(begin())
    for text in (
        'she said "good night" to all',
        "NEAR and far, AND more OR less",
        "wild* cards: 50% off",
        "na\u00efve caf\u00e9 \u0436\u0438\u0437\u043d\u044c",
        "the quick brown fox",
        "quick the fox is not brown",
    ):
        scene.said("cid", Outgoing("ann", text))
    return scene


@pytest.mark.parametrize(
    ("q", "count"),
    [
        ("quick", 2),
        ("QUICK fox", 2),
        ("fox quick", 2),
        ("qui", 0),
        ("quick zebra", 0),
        ("quick OR zebra", 0),
        ("NEAR", 1),
        ("NEAR far", 1),
        ("AND", 1),
        ("OR less", 1),
        ("not brown", 1),
        ('"good night"', 1),
        ('night "', 1),
        ("wild*", 1),
        ("wil*", 0),
        ("50%", 1),
        ("\u0436\u0438\u0437\u043d\u044c", 1),
        ("caf\u00e9", 1),
        ("(", 0),
        ('"', 0),
        ("*", 0),
        ("", 0),
        ("   ", 0),
        ("content : fox", 0),
        ("^fox", 2),
        ("fo\0x", 0),
        ("'; DROP TABLE log; --", 0),
    ],
)
def test_words_are_only_words_whatever_they_look_like(words, q, count):
    page = words.ask("ann", peer="cid", q=q)
    assert isinstance(page, Items), page
    assert len(page.items) == count


def test_a_search_is_paged_like_everything_else(words):
    page = words.ask("ann", all=True, q="quick", limit=1)
    assert ([one.content for one in page.items], page.more) == (
        ["quick the fox is not brown"],
        True,
    )
    page = words.ask("ann", all=True, q="quick", limit=1, before=page.items[0].seq)
    assert ([one.content for one in page.items], page.more) == (["the quick brown fox"], False)


# --- what is wrong ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({}, 203),
        ({"peer": "nobody"}, 301),
        ({"peer": "server"}, 301),
        ({"all": True, "author": "nobody"}, 301),
        ({"group": "none"}, 401),
        ({"group": "team", "author": "nobody"}, 301),
        ({"group": ""}, 401),
        ({"group": "\u202e\0"}, 401),
    ],
)
def test_what_cannot_be_asked_is_one_error_and_the_session_goes_on(scene, asked, code):
    error = scene.ask("ann", **asked)
    assert (error.error, error.re, error.fatal) == (code, "h", False)
    assert scene.found("ann", peer="bob")


def test_whoever_leaves_before_the_page_is_there_costs_nothing(scene):
    scene.bench.answers = False
    scene.bench.say(scene.conns["ann"], History(all=True), Quit())
    scene.bench.lose(scene.conns["ann"])
    scene.bench.commit()
    assert scene.conns["ann"] in scene.bench.closed
