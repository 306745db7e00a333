"""What every keeper of the log promises (`chatd.store.base.Store`)."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from peers.nats import names
from ready import readable
from support import PATIENCE

from chatd.cluster.store import ClusterStore
from chatd.core.effects import (
    Account,
    Append,
    Completion,
    Entry,
    Failed,
    Find,
    PutAccount,
    Recall,
    Stored,
    Touch,
)
from chatd.store.memory import MemoryStore
from chatd.store.sqlite import SqliteStore
from chatd.wire.errors import ErrorCode

MAKE = {
    "memory": lambda *_: MemoryStore(),
    "sqlite": lambda _, folder: SqliteStore(folder),
    "jetstream": lambda request, folder: ClusterStore(
        [request.getfixturevalue("nats").url], folder, name=f"log{next(names)}"
    ),
}


@pytest.fixture(params=MAKE)
def store(request, tmp_path):
    one = MAKE[request.param](request, tmp_path / "data")
    yield one
    one.close()


def answers(store, number: int) -> list:
    """So many answers, as they come; what is told of others is left out."""
    done: list[Completion] = []
    while True:
        done += [one for one in store.completions() if isinstance(one, Completion)]
        if len(done) >= number:
            return done
        assert store.fileno() >= 0, done
        assert readable(store.fileno(), PATIENCE)
        store.take_in()


def said(content: str, author=1, id=None, target=0, kind="broadcast") -> Entry:  # noqa: A002
    return Entry(kind, author, f"user{author}", target, content, 1_700_000_000_000, id)


def put(store, *operations) -> list:
    """All of them in one turn; the answers."""
    for ticket, operation in enumerate(operations, 1):
        store.submit(ticket, operation)
    return answers(store, len(operations))


def keep(store, *entries: Entry) -> list:
    return put(store, *map(Append, entries))


def contents(store) -> list[str]:
    return [row.entry.content for row in store.entries(0, 10_000)]


def test_an_empty_log_begins_at_nothing(store):
    assert store.last_seq() == 0
    assert store.entries(0, 10) == []
    assert store.accounts() == []
    assert store.first_free_number() >= 1
    assert store.epoch
    assert store.purged() == 0


def test_nothing_is_answered_before_it_is_asked_for_and_then_once(store):
    store.submit(7, Append(said("hi")))
    (done,) = answers(store, 1)
    assert (done.ticket, done.seq > 0, done.dup) == (7, True, False)
    assert [one for one in store.completions() if isinstance(one, Completion)] == []


def test_what_was_said_under_a_key_is_recalled_for_the_same_text_alone(store):
    _, kept, _ = keep(store, said("one"), said("two", id="k"), said("two", author=2, id="k2"))
    same, other_text, other_author, unknown = put(
        store,
        Recall(1, "k", "two"),
        Recall(1, "k", "three"),
        Recall(1, "k2", "two"),
        Recall(1, "none", "two"),
    )
    assert same == Stored(1, kept.seq, 1_700_000_000_000, dup=True)
    assert [one.dup for one in (other_text, other_author, unknown)] == [False] * 3
    assert len(contents(store)) == 3


def test_entries_are_numbered_and_answered_in_their_order(store):
    done = keep(store, *(said(f"m{n}") for n in range(100)))
    assert [d.ticket for d in done] == list(range(1, 101))
    seqs = [d.seq for d in done]
    assert seqs == sorted(set(seqs))
    assert store.last_seq() == seqs[-1]
    assert contents(store) == [f"m{n}" for n in range(100)]


def test_numbers_go_on_rising_from_turn_to_turn(store):
    before = keep(store, said("a"), said("b"))[-1].seq
    assert keep(store, said("c"))[0].seq > before


def test_entries_come_back_as_they_were_given(store):
    entry = said("grüße\n\x00\x1b 🙂 '; DROP TABLE log; --", id="k'1")
    (done,) = keep(store, entry)
    (row,) = store.entries(0, 10)
    assert (row.seq, row.entry) == (done.seq, entry)


def test_entries_are_read_a_page_at_a_time(store):
    keep(store, *(said(f"m{n}") for n in range(10)))
    first = store.entries(0, 4)
    second = store.entries(first[-1].seq, 4)
    assert [r.entry.content for r in first + second] == [f"m{n}" for n in range(8)]


def test_a_repeated_key_is_answered_by_the_first_result_and_not_stored_again(store):
    first = keep(store, said("hi", id="a1"))[0]
    keep(store, said("between"))
    (again,) = keep(store, said("hi", id="a1"))
    assert again == Stored(1, first.seq, first.ts, dup=True)
    assert contents(store) == ["hi", "between"]


def test_a_repeated_key_within_one_turn_is_found_too(store):
    first, again = keep(store, said("hi", id="a1"), said("hi", id="a1"))
    assert again.seq == first.seq
    assert (first.dup, again.dup) == (False, True)
    assert contents(store) == ["hi"]


@pytest.mark.parametrize(
    "other",
    [said("ho", id="a1"), said("hi", id="a1", target=5, kind="direct")],
)
def test_a_key_for_other_content_is_refused(store, other: Entry):
    keep(store, said("hi", id="a1"))
    (failed,) = keep(store, other)
    assert isinstance(failed, Failed)
    assert failed.code is ErrorCode.ID_REUSED
    assert contents(store) == ["hi"]


def test_a_refused_key_does_not_harm_its_turn(store):
    keep(store, said("hi", id="a1"))
    done = keep(store, said("x"), said("other", id="a1"), said("y"))
    assert [type(d) for d in done] == [Stored, Failed, Stored]
    assert contents(store) == ["hi", "x", "y"]


def test_the_same_key_of_another_author_is_another_message(store):
    keep(store, said("hi", id="1"), said("hi", author=2, id="1"))
    assert contents(store) == ["hi", "hi"]


def test_entries_without_a_key_are_never_the_same(store):
    keep(store, said("hi"), said("hi"))
    assert contents(store) == ["hi", "hi"]


def test_an_account_is_kept_and_replaced_by_its_number(store):
    ann = Account(3, "Ann", "ann", "ann", "hash", 1_700_000_000_000)
    assert put(store, PutAccount(ann)) == [Stored(1)]
    renamed = Account(3, "Anna", "anna", "ann", "hash", 1_700_000_000_001)
    put(store, PutAccount(renamed))
    assert store.accounts() == [renamed]


def test_a_number_of_an_account_or_an_author_is_never_free_again(store):
    first = store.first_free_number()
    put(store, PutAccount(Account(first + 2, "Ann", "ann", "ann")))
    assert store.first_free_number() == first + 3
    keep(store, said("from a guest", author=first + 8))
    assert store.first_free_number() == first + 9


def test_a_name_may_change_hands(store):
    put(store, PutAccount(Account(1, "Ann", "ann", "ann")))
    put(store, PutAccount(Account(1, "Eve", "eve", "eve")))
    put(store, PutAccount(Account(2, "Ann", "ann", "ann")))
    assert sorted(one.name for one in store.accounts()) == ["Ann", "Eve"]


AUTHORS = st.integers(1, 3)
ENTRIES = st.lists(
    st.builds(
        said,
        st.sampled_from(["a", "b", "c"]),
        AUTHORS,
        st.none() | st.sampled_from(["1", "2", "3"]),
    ),
    max_size=12,
)


@pytest.mark.parametrize("kind", MAKE)
@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(turns=st.lists(ENTRIES, max_size=4))
def test_any_turns_keep_what_a_plain_list_would(kind, turns, tmp_path_factory, request):
    one = MAKE[kind](request, tmp_path_factory.mktemp("s"))
    kept: list[Entry] = []
    keys: dict[tuple[int, str], tuple[int, Entry]] = {}
    try:
        for turn in turns:
            for entry, done in zip(turn, keep(one, *turn), strict=True):
                key = (entry.author, entry.id)
                if entry.id is not None and key in keys:
                    seq, first = keys[key]
                    good = isinstance(done, Stored) and done.dup and done.seq == seq
                    assert good if first == entry else done.code is ErrorCode.ID_REUSED
                else:
                    kept.append(entry)
                    keys[key] = (done.seq, entry)
        assert [row.entry for row in one.entries(0, 1000)] == kept
    finally:
        one.close()


ODD = ['"', "'", "AND", "OR NOT", "a*", "NEAR(", "^a", "content:x", "\x00", "(", "é", " ", "-"]


@pytest.mark.parametrize("words", ODD)
def test_no_words_to_find_are_an_error_of_the_store(store, words: str):
    (stored,) = put(store, Append(said("kept")))
    (page,) = put(store, Find(account=1, limit=10, words=words))
    assert isinstance(stored, Stored)
    assert not isinstance(page, Failed), page.why
    assert contents(store) == ["kept"]


def test_something_written_for_nothing_is_kept_and_changes_nothing(store):
    keep(store, said("a"))
    before = store.commits, store.last_seq()
    assert put(store, Touch()) == [Stored(1)]
    assert store.commits > before[0]
    assert (contents(store), store.last_seq()) == (["a"], before[1])


def test_what_is_only_read_is_no_commit(store):
    keep(store, said("a"))
    before = store.commits
    assert len(put(store, Find(account=1, limit=5))) == 1
    assert store.commits == before
