"""The rules of a cluster: every node that reads the same records finds the same ones true."""

from hypothesis import given
from hypothesis import strategies as st

from chatd.cluster.book import Book, Ruling
from chatd.cluster.records import (
    Arrive,
    Dead,
    Entering,
    Fencing,
    Forget,
    Leaving,
    Put,
    Record,
    Said,
    Settings,
    decode,
    encode,
)
from chatd.core.effects import (
    Account,
    Append,
    Enter,
    Entry,
    Group,
    Join,
    Leave,
    Part,
    PutAccount,
    PutGroup,
)

TRUE, LATE, EARLY, OUTRUN = Ruling.TRUE, Ruling.LATE, Ruling.EARLY, Ruling.OUTRUN


class Stream:
    """Records in their order, and the book of somebody who reads all of them."""

    def __init__(self, *nodes: str):
        self.book = Book()
        self.records: list[Record] = []
        self.numbers: dict[str, int] = {}
        for node in nodes:
            self.put(node, Arrive(Settings(), node))

    def put(self, origin: str, what, base=None, n=None) -> Ruling:
        """One more; its origin has read everything, and numbers rise by one, unless given."""
        said = isinstance(what, Said) and not what.append.changes
        key = origin + "/messages" * said
        if n is None:
            n = self.numbers[key] = self.numbers.get(key, 0) + 1
        record = Record(origin, n, len(self.records) if base is None else base, what)
        self.records.append(record)
        assert decode(encode(record)) == record
        return self.book.rule(len(self.records), record, ts=1000 + len(self.records))

    @property
    def place(self) -> int:
        return len(self.records)


def account(number: int, name: str, **more) -> Account:
    return Account(number, name, name, name, **more)


def put(number: int, name: str) -> Put:
    return Put(PutAccount(account(number, name)))


def enter(number: int, name: str, *, proved=False, **more) -> Entering:
    return Entering(Enter(account(number, name, **more), 0, False, False, proved))


def leave(number: int, name: str, claim: int, *, grace=False, **more) -> Leaving:
    return Leaving(Leave(account(number, name, **more), claim, "quit", grace))


def said(content="hi", target=0) -> Said:
    return Said(Append(Entry("broadcast", 1, "ann", target, content, 0)))


def change(number: int, *changes) -> Said:
    return Said(Append(Entry("event", 1, "ann", number, "{}", 0), changes))


def group(number: int, name: str, **more) -> PutGroup:
    return PutGroup(Group(number, name, name, 1, 0, **more))


def test_a_message_that_comes_twice_is_true_once():
    stream = Stream("a")
    assert stream.put("a", said()) is TRUE
    assert stream.put("a", said(), n=1) is LATE


def test_what_comes_behind_something_lost_is_not_true_before_it_comes_again():
    stream = Stream("a")
    rulings = [stream.put("a", said(str(n)), n=n) for n in (2, 3, 1, 2, 3)]
    assert rulings == [EARLY, EARLY, TRUE, TRUE, TRUE]


def test_the_first_of_what_retention_has_left_is_true():
    stream = Stream("a")
    stream.put("a", Forget(9))
    assert stream.put("a", said(), n=57) is TRUE
    assert stream.put("a", said(), n=59) is EARLY


def test_a_name_belongs_to_whoever_takes_it_first():
    stream = Stream("a", "b")
    before = stream.place
    assert stream.put("a", put(1, "ann"), base=before) is TRUE
    assert stream.put("b", put(2, "ann"), base=before) is OUTRUN
    assert stream.put("b", change(3, group(3, "ann")), base=before) is OUTRUN
    assert stream.put("b", change(3, group(3, "team"))) is TRUE
    assert stream.put("a", put(4, "team")) is OUTRUN


def test_a_name_that_is_given_up_is_free():
    stream = Stream("a")
    assert stream.put("a", put(1, "ann")) is TRUE
    assert stream.put("a", put(1, "eve")) is TRUE
    assert stream.put("a", put(2, "ann")) is TRUE
    assert stream.put("a", change(3, group(3, "team"))) is TRUE
    assert stream.put("a", change(3, group(3, "team", deleted=True))) is TRUE
    assert stream.put("a", change(4, group(4, "team"))) is TRUE


def test_a_change_that_did_not_know_of_another_ones_is_not_true():
    stream = Stream("a", "b")
    stream.put("a", change(3, group(3, "team"), Join(3, 1)))
    before = stream.place
    assert stream.put("a", change(3, Join(3, 2)), base=before) is TRUE
    assert stream.put("a", change(3, Part(3, 2)), base=before) is TRUE  # its own it does know
    assert stream.put("b", change(3, Part(3, 1)), base=before) is OUTRUN
    assert stream.put("b", change(3, Part(3, 1))) is TRUE


def test_an_account_has_one_session_unless_whoever_comes_has_proved_to_be_the_same():
    stream = Stream("a", "b")
    assert stream.put("a", enter(1, "ann")) is TRUE
    first = stream.place
    assert stream.put("b", enter(1, "ann")) is OUTRUN
    assert stream.put("b", enter(1, "ann", proved=True)) is TRUE
    assert stream.book.holders[1].origin == "b"
    assert stream.put("a", leave(1, "ann", first)) is LATE
    assert stream.book.holders[1].origin == "b"


def test_a_session_that_is_over_leaves_its_account_free():
    stream = Stream("a", "b")
    stream.put("a", enter(1, "ann"))
    assert stream.put("a", leave(1, "ann", stream.place, last_seen=5)) is TRUE
    assert stream.book.accounts[1].last_seen == 5
    assert stream.put("b", enter(1, "ann")) is TRUE


def test_an_assigned_name_is_free_when_nobody_can_come_back_to_it():
    stream = Stream("a", "b")
    stream.put("a", enter(1, "client1", assigned=True))
    claim = stream.place
    stream.put("a", leave(1, "client1", claim, grace=True, assigned=True))
    assert stream.put("b", enter(2, "client1", assigned=True)) is OUTRUN
    stream.put("a", leave(1, "client1", 0, assigned=True))
    assert stream.put("b", enter(2, "client1", assigned=True)) is TRUE


def test_what_a_dead_node_held_is_free_and_what_it_says_is_late():
    stream = Stream("a", "b")
    stream.put("a", enter(1, "ann"))
    assert stream.put("b", Dead("a")) is TRUE
    assert [one.name for one, _ in stream.book.released] == ["ann"]
    assert stream.book.accounts[1].last_seen == 1000 + stream.place
    assert stream.put("b", enter(1, "ann")) is TRUE
    assert stream.put("a", said()) is LATE
    assert stream.put("a", enter(1, "ann", proved=True)) is LATE


def test_a_node_that_has_said_something_its_judge_did_not_hear_is_not_dead():
    stream = Stream("a", "b")
    before = stream.place
    stream.put("a", said())
    assert stream.put("b", Dead("a"), base=before) is LATE
    assert stream.put("a", said()) is TRUE


def test_an_heir_buries_who_was_there_before():
    stream = Stream("a")
    stream.put("a", enter(1, "ann"))
    assert stream.put("b", Arrive(Settings(), "b", heir_of="a")) is TRUE
    assert stream.put("b", enter(1, "ann")) is TRUE
    assert stream.put("a", said()) is LATE


# --- whatever is said, in whatever order --------------------------------------------------------

NAMES = ["ann", "ben", "client1"]
PEOPLE = st.integers(1, 3)


@st.composite
def whats(draw):
    number, name = draw(PEOPLE), draw(st.sampled_from(NAMES))
    more = {"assigned": name == "client1"}
    claim, flag = draw(st.integers(0, 30)), draw(st.booleans())
    return draw(
        st.sampled_from(
            [
                said(),
                put(number, name),
                enter(number, name, proved=flag, **more),
                leave(number, name, claim, grace=flag, **more),
                change(number + 9, group(number + 9, name), Join(number + 9, 1)),
                change(number + 9, Part(number + 9, 1)),
                Dead(draw(st.sampled_from("abc"))),
                Arrive(Settings(), "", draw(st.sampled_from(["", "a", "b"]))),
                Fencing(),
            ]
        )
    )


STEPS = st.lists(
    st.tuples(st.sampled_from("abc"), whats(), st.integers(0, 4), st.integers(-1, 1)), max_size=30
)


def play(steps) -> Stream:
    """Records that know the last few or not, that come again, and that come too early."""
    stream = Stream("a", "b")
    for origin, what, behind, off in steps:
        key = origin + "/messages" * isinstance(what, Said)
        n = max(1, stream.numbers.get(key, 0) + off) if off else None
        stream.put(origin, what, max(0, stream.place - behind), n)
    return stream


@given(STEPS)
def test_whatever_is_said_no_name_and_no_account_has_two(steps):
    book = play(steps).book
    keys = [(key, one.number) for one in book.accounts.values() for key in {one.key, one.login}]
    keys += [(one.key, one.number) for one in book.groups.values() if not one.deleted]
    assert sorted(keys) == sorted(book.names.items())
    assert all(holder.origin in book.nodes for holder in book.holders.values())


@given(STEPS)
def test_whoever_reads_without_what_was_deleted_knows_the_same(steps):
    """What has lost, and what a later record replaces, is deleted from the stream."""
    stream, gone = play(steps), set()
    first = Book()
    for place, record in enumerate(stream.records, 1):
        if first.rule(place, record, ts=1000 + place) is TRUE:
            gone.update(first.superseded(place, record))
        else:
            gone.add(place)
    late = Book()
    for place, record in enumerate(stream.records, 1):
        if place not in gone:
            assert late.rule(place, record, ts=1000 + place) is TRUE, (place, record)
    assert (late.accounts, late.names, late.holders) == (first.accounts, first.names, first.holders)
    assert (late.groups, set(late.nodes)) == (first.groups, set(first.nodes))
