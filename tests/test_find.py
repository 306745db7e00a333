"""The one query of the log, and the state beside it: every store has to find the same."""

from itertools import count

import hypothesis.strategies as st
import pytest
from hypothesis import example, given

from chatd.core.effects import (
    Account,
    Append,
    Cursor,
    Entry,
    Failed,
    Find,
    Group,
    Join,
    MoveCursors,
    Page,
    Part,
    PutAccount,
    PutGroup,
    Stored,
)
from chatd.store.memory import MemoryStore
from chatd.store.sqlite import SqliteStore
from chatd.wire.errors import ErrorCode

ANN, BOB, CID, TEAM = 1, 2, 3, 4
TICKETS = count(1)


def done(store, *operations) -> list:
    """Their answers, each under its own ticket."""
    tickets = [next(TICKETS) for _ in operations]
    for ticket, operation in zip(tickets, operations, strict=True):
        store.submit(ticket, operation)
    answers = store.completions()
    assert [one.ticket for one in answers] == tickets
    return answers


def said(kind: str, author: int, target: int, content: str) -> Append:
    return Append(Entry(kind, author, f"name{author}", target, content, 1000))


def joins(*accounts: int) -> Append:
    changes = (
        PutGroup(Group(TEAM, "team", "team", ANN, 0)),
        *(Join(TEAM, one) for one in accounts),
    )
    return Append(said("event", ANN, TEAM, "joins").entry, changes)


def parts(account: int) -> Append:
    return Append(said("event", ANN, TEAM, "parts").entry, (Part(TEAM, account),))


def seqs(store, account: int, **more) -> list[int]:
    (page,) = done(store, Find(account=account, limit=1000, **more))
    assert isinstance(page, Page)
    return [row.seq for row in page.rows]


@pytest.fixture(params=["memory", "sqlite"])
def store(request, sqlite_store):
    one = MemoryStore() if request.param == "memory" else sqlite_store()
    done(
        one,
        said("direct", ANN, BOB, "one for bob"),  # 1
        said("direct", BOB, ANN, "two for ann"),  # 2
        said("broadcast", CID, 0, "three for all"),  # 3
        joins(ANN, BOB),  # 4
        said("group", ANN, TEAM, "five for the team"),  # 5
        parts(BOB),  # 6
        said("group", ANN, TEAM, "seven without bob"),  # 7
        said("direct", CID, ANN, "eight for ann"),  # 8
        said("broadcast", ANN, 0, "nine for all"),  # 9
    )
    return one


@pytest.mark.parametrize(
    ("account", "more", "wanted"),
    [
        (ANN, {}, [1, 2, 3, 4, 5, 6, 7, 8, 9]),
        (BOB, {}, [1, 2, 3, 4, 5, 6, 9]),
        (CID, {}, [3, 8, 9]),
        (99, {}, [3, 9]),
        (ANN, {"own": False}, [2, 3, 8]),
        (BOB, {"own": False}, [1, 3, 4, 5, 6, 9]),
        (ANN, {"after": 3}, [4, 5, 6, 7, 8, 9]),
        (ANN, {"after": 3, "before": 6}, [4, 5]),
        (ANN, {"after": 9}, []),
        (ANN, {"broadcasts_after": 3}, [1, 2, 4, 5, 6, 7, 8, 9]),
        (ANN, {"broadcasts_after": 9}, [1, 2, 4, 5, 6, 7, 8]),
        (ANN, {"target": 0}, [3, 9]),
        (ANN, {"target": 0, "own": False}, [3]),
        (ANN, {"target": BOB}, [1, 2]),
        (ANN, {"target": CID}, [8]),
        (ANN, {"target": ANN}, []),
        (BOB, {"target": CID}, []),
        (ANN, {"target": TEAM}, [4, 5, 6, 7]),
        (BOB, {"target": TEAM}, [4, 5, 6]),
        (CID, {"target": TEAM}, []),
        (ANN, {"author": CID}, [3, 8]),
        (ANN, {"author": ANN, "target": BOB}, [1]),
        (ANN, {"words": "for"}, [1, 2, 3, 5, 8, 9]),
        (ANN, {"words": "ANN for"}, [2, 8]),
        (ANN, {"words": "parts"}, []),
        (BOB, {"words": "for", "target": ANN}, [1, 2]),
        (BOB, {"words": "bob"}, [1]),
        (BOB, {"words": "for", "target": TEAM}, [5]),
        (CID, {"words": "team"}, []),
        (ANN, {"words": "ann", "target": ANN}, []),
        (ANN, {"words": "for", "after": 2, "before": 8}, [3, 5]),
        (ANN, {"words": "for", "author": CID}, [3, 8]),
    ],
)
def test_what_is_asked_for_is_found_and_nothing_else(store, account, more, wanted):
    assert seqs(store, account, **more) == wanted


def test_a_page_has_its_limit_and_says_whether_there_is_more(store):
    first, last, whole = done(
        store,
        Find(account=ANN, limit=2),
        Find(account=ANN, limit=2, latest=True),
        Find(account=ANN, limit=9, latest=True),
    )
    assert ([row.seq for row in first.rows], first.more) == ([1, 2], True)
    assert ([row.seq for row in last.rows], last.more) == ([8, 9], True)
    assert ([row.seq for row in whole.rows], whole.more) == (list(range(1, 10)), False)
    assert {page.head for page in (first, last, whole)} == {9}


def test_a_page_ends_where_it_is_big_enough(store):
    first, one = done(
        store, Find(account=ANN, limit=9, size=12), Find(account=ANN, limit=9, size=1)
    )
    assert ([row.seq for row in first.rows], first.more) == ([1, 2], True)
    assert ([row.seq for row in one.rows], one.more) == ([1], True), "one at least"


def test_a_page_sees_what_was_submitted_before_it_and_nothing_behind(store):
    _, page, stored = done(
        store,
        said("direct", BOB, ANN, "ten"),
        Find(account=ANN, after=9, limit=9),
        said("direct", BOB, ANN, "eleven"),
    )
    assert ([row.seq for row in page.rows], page.head, stored.seq) == ([10], 10, 11)


def test_a_member_who_comes_back_has_two_pieces(store):
    done(store, joins(BOB), said("group", ANN, TEAM, "eleven"), parts(BOB))
    assert seqs(store, BOB, target=TEAM) == [4, 5, 6, 10, 11, 12]


def test_what_is_kept_beside_the_log_comes_back(store):
    done(
        store,
        PutAccount(Account(ANN, "Ann", "ann", "ann", receipts=False, token="t")),
        PutAccount(Account(BOB, "Bob", "bob", "bob")),
        MoveCursors({BOB: 1}, [Cursor(BOB, ANN, 1, 0, 7)]),
        MoveCursors({BOB: 5}, [Cursor(BOB, ANN, 1, 1, 8), Cursor(BOB, TEAM, 5, 0, 9)]),
        PutAccount(Account(BOB, "Rob", "rob", "bob", received=0)),
    )
    ann, bob = store.accounts()
    assert (ann.receipts, ann.token) == (False, "t")
    assert (bob.name, bob.received) == ("Rob", 5), "a position moves by its own operation alone"
    assert sorted(store.cursors(), key=lambda one: one.conversation) == [
        Cursor(BOB, ANN, 1, 1, 8),
        Cursor(BOB, TEAM, 5, 0, 9),
    ]
    ((group, members, past, *_),) = store.groups()
    assert (group.name, list(members), list(past)) == ("team", [ANN], [BOB])
    assert store.waiting() == {ANN: 2}, "events and broadcasts wait for nobody"


def test_a_page_never_shows_what_was_lost_with_its_turn(sqlite_store):
    store = sqlite_store()
    done(store, said("direct", BOB, ANN, "kept"))
    (pages,) = store._db.execute("PRAGMA page_count").fetchone()
    store._db.execute(f"PRAGMA max_page_count = {pages + 4}")
    lost, page, full = done(
        store,
        said("direct", BOB, ANN, "lost with its turn"),
        Find(account=ANN, limit=9),
        said("direct", BOB, ANN, "x" * 100_000),
    )
    assert (lost.code, full.code) == (ErrorCode.STORAGE_FULL, ErrorCode.STORAGE_FULL)
    assert ([row.entry.content for row in page.rows], page.head) == (["kept"], 1)
    (page,) = done(store, Find(account=ANN, limit=9))
    assert page.head == 1


# --- any log ------------------------------------------------------------------------------------

people = st.sampled_from([ANN, BOB, CID])
entries = st.one_of(
    st.builds(said, st.just("direct"), people, people, st.sampled_from(["a b", "b c", "c"])).filter(
        lambda one: one.entry.author != one.entry.target  # nobody writes to oneself
    ),
    st.builds(said, st.just("broadcast"), people, st.just(0), st.sampled_from(["a b", "c"])),
    st.builds(said, st.just("group"), people, st.just(TEAM), st.sampled_from(["a b", "b"])),
    st.builds(parts, people),
    st.builds(joins, people),
)
bounds = st.integers(0, 12)
finds = st.builds(
    Find,
    account=people,
    after=bounds,
    before=st.none() | bounds,
    latest=st.booleans(),
    limit=st.integers(1, 12),
    size=st.integers(1, 40),
    own=st.booleans(),
    broadcasts_after=bounds,
    target=st.none() | st.sampled_from([0, ANN, BOB, CID, TEAM]),
    author=st.none() | people,
    words=st.none() | st.sampled_from(["a", "b", "a b", "b a", "z"]),
)


@given(log=st.lists(entries, max_size=12), asked=st.lists(finds, min_size=1, max_size=12))
@example([said("broadcast", BOB, 0, "a b")], [Find(account=ANN, limit=1, target=0, words="a")])
def test_both_stores_find_the_same_in_any_log(tmp_path_factory, log, asked):
    """A member joins twice only where it has left: the hub sees to that."""
    inside: set[int] = set()
    kept = []
    for one in log:
        changes = [change for change in one.changes if isinstance(change, Join | Part)]
        if any(isinstance(change, Join) == (change.account in inside) for change in changes):
            continue
        for change in changes:
            inside ^= {change.account}
        if one.entry.kind == "group" and one.entry.author not in inside:
            continue
        kept.append(one)
    memory, sqlite = MemoryStore(), SqliteStore(tmp_path_factory.mktemp("any"))
    try:
        for store in (memory, sqlite):
            assert all(isinstance(one, Stored) for one in done(store, *kept))
        for one in asked:
            (first,), (second,) = done(memory, one), done(sqlite, one)
            assert not isinstance(second, Failed)
            assert (list(first.rows), first.more, first.head) == (
                list(second.rows),
                second.more,
                second.head,
            )
    finally:
        sqlite.close()
