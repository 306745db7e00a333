"""Stores that share a stream: what one of them is asked for becomes true in all of them, once."""

from peers.nats import is_kept, messages, publish
from ready import readable
from support import PATIENCE

from chatd.cluster.records import Arrive, Put, Record, Settings, encode, tail
from chatd.cluster.store import ClusterStore
from chatd.core.effects import (
    Account,
    Append,
    Appended,
    Completion,
    Cursor,
    Enter,
    Entered,
    Entry,
    Failed,
    Fence,
    Group,
    Join,
    Leave,
    MoveCursors,
    Outrun,
    Purge,
    PutAccount,
    PutGroup,
    Stored,
)
from chatd.wire.errors import ErrorCode


def said(content: str, author=1, id=None, ts=1_700_000_000_000) -> Append:  # noqa: A002
    return Append(Entry("broadcast", author, f"user{author}", 0, content, ts, id))


def ask(store, *operations) -> list:
    """They are on their way, and nothing is read meanwhile; what was told already."""
    for ticket, operation in enumerate(operations, 1):
        store.submit(ticket, operation)
    return store.completions()


def told(store, number: int, first=()) -> tuple[list, list]:
    """So many answers, and what else was told with them."""
    answers, news = [], []
    while True:
        for one in [*first, *store.completions()]:
            (answers if isinstance(one, Completion) else news).append(one)
        if len(answers) >= number:
            return answers, news
        assert readable(store.fileno(), PATIENCE)
        store.take_in()
        first = ()


def answers(store, *operations) -> list:
    return told(store, len(operations), ask(store, *operations))[0]


def settle(*stores) -> list[list]:
    """Everything that was acknowledged anywhere is told to all; what each of them was told."""
    return [told(one, 1, ask(one, Fence()))[1] for one in stores]


def contents(store) -> list[str]:
    return [row.entry.content for row in store.entries(0, 10_000)]


def create(number: int, name: str) -> Append:
    entry = Entry("event", 1, "ann", number, "{}", 0)
    return Append(entry, (PutGroup(Group(number, name, name, 1, 0)), Join(number, 1)))


def test_what_two_nodes_say_at_once_has_one_order_on_both(node):
    one, two = node(), node()
    ask(one, *(said(f"a{n}") for n in range(50)))
    ask(two, *(said(f"b{n}", author=2) for n in range(50)))
    for store in (one, two):
        done, _ = told(store, 50)
        assert [each.seq for each in done] == sorted(each.seq for each in done)
    news = settle(one, two)
    assert contents(one) == contents(two)
    assert [each for each in contents(one) if each[0] == "a"] == [f"a{n}" for n in range(50)]
    for others in news:
        seqs = [each.row.seq for each in others if isinstance(each, Appended)]
        assert seqs == sorted(seqs)


def test_one_key_that_two_nodes_use_at_once_is_one_message(node):
    one, two = node(), node()
    for store in (one, two):
        ask(store, said("hi", id="k"))
    (first,), (second,) = (told(store, 1)[0] for store in (one, two))
    assert first.seq == second.seq
    assert sorted([first.dup, second.dup]) == [False, True]
    settle(one, two)
    assert contents(one) == contents(two) == ["hi"]


def test_one_key_for_two_messages_is_refused_to_whoever_comes_second(node):
    one, two = node(), node()
    ask(one, said("hi", id="k"))
    ask(two, said("ho", id="k"))
    done = [told(store, 1)[0][0] for store in (one, two)]
    (failed,) = [each for each in done if isinstance(each, Failed)]
    assert failed.code is ErrorCode.ID_REUSED
    assert len(contents(one)) == 1


def test_a_group_that_two_nodes_make_at_once_is_one_nodes(node):
    one, two = node(), node()
    ask(one, create(one.first_free_number(), "team"))
    ask(two, create(two.first_free_number(), "team"))
    done = [told(store, 1)[0][0] for store in (one, two)]
    assert sorted(type(each).__name__ for each in done) == ["Outrun", "Stored"]
    settle(one, two)
    assert [[each.group.name for each in store.groups()] for store in (one, two)] == [["team"]] * 2
    assert one.groups() == two.groups()


def test_no_two_nodes_have_a_number_that_is_the_same(node):
    one, two = node(), node()
    first, second = one.first_free_number(), two.first_free_number()
    assert abs(first - second) >= 1 << 20
    again = node()
    assert again.first_free_number() > max(first, second) + 1000


def test_an_account_is_in_use_once(node):
    one, two = node(), node()
    ann = Account(7, "Ann", "ann", "ann")
    for store in (one, two):
        ask(store, Enter(ann, 0, False, False, False))
    done = [told(store, 1)[0][0] for store in (one, two)]
    (entered,) = [each for each in done if isinstance(each, Entered)]
    assert sum(isinstance(each, Outrun) for each in done) == 1
    holder = (one, two)[done.index(entered)]
    assert answers(holder, Leave(ann, entered.claim, "quit", False)) == [Stored(1)]
    settle(one, two)
    (again,) = answers(one, Enter(ann, 0, False, False, False))
    assert isinstance(again, Entered)


def test_what_has_lost_is_deleted_though_its_node_is_dead(node, nats, stream):
    """Who reads the stream later does not see what it lost against, if that was replaced."""
    one = node()
    answers(one, PutAccount(Account(7, "Ann", "ann", "ann")))
    there = Record("other", 1, 0, Arrive(Settings(), "it dies at once"))
    lost = Record("other", 2, 0, Put(PutAccount(Account(8, "Eve", "ann", "ann"))))
    place = [publish(nats, f"{stream}.{tail(each)}", encode(each)) for each in (there, lost)][-1]
    settle(one)
    assert [each.name for each in one.accounts()] == ["Ann"]
    while is_kept(nats, stream, place):
        settle(one)


def test_positions_of_two_nodes_only_move_forward(node):
    one, two = node(), node()
    answers(one, PutAccount(Account(7, "Ann", "ann", "ann")))
    ask(one, MoveCursors({7: 9}, []))
    ask(two, MoveCursors({7: 5}, []))
    settle(one, two)
    assert [store.accounts()[0].received for store in (one, two)] == [9, 9]


def test_positions_take_no_room_for_each_step(nats, stream, tmp_path):
    one = ClusterStore([nats.url], tmp_path, name=stream)
    answers(one, *(PutAccount(Account(n, f"u{n}", f"u{n}", f"u{n}")) for n in (7, 8)))
    for seq in range(1, 40):
        answers(one, MoveCursors({7 + seq % 2: seq}, [Cursor(7, 8, seq, seq - 1, seq)]))
    one.close()
    while messages(nats, stream) >= 10:
        pass  # NATS deletes when it gets there
    late = ClusterStore([nats.url], tmp_path, name=stream)
    assert {each.number: each.received for each in late.accounts()} == {7: 38, 8: 39}
    assert late.cursors() == [Cursor(7, 8, 39, 38, 39)]
    late.close()


def test_what_is_too_old_is_forgotten_by_all_and_by_who_comes_later(node):
    one, two = node(), node()
    team = one.first_free_number()
    answers(one, said("old", ts=1), create(team, "team"), said("older", ts=2), said("new", ts=3))
    done = answers(one, Purge(before=3))
    assert isinstance(done[0], Stored)
    (_, news) = settle(one, two)
    assert [each.upto for each in news if type(each).__name__ == "Forgot"] == [done[0].seq]
    late = node()
    for store in (one, two, late):
        assert contents(store) == ["new"]
        assert store.purged() == done[0].seq
        assert [each.group.name for each in store.groups()] == ["team"]
    answers(one, said("newer"))
    settle(late)
    assert contents(late) == ["new", "newer"]


def test_where_everything_was_forgotten_whoever_comes_later_knows_how_far_the_log_was(node):
    one = node()
    *_, last = answers(one, *(said(f"old{n}", ts=1) for n in range(3)))
    answers(one, Purge(before=2))
    settle(one)
    late = node()
    assert (late.purged(), late.last_seq(), contents(late)) == (last.seq, last.seq, [])


def test_of_several_servers_the_first_is_gone_to(nats, own_nats, stream, tmp_path):
    for n in range(5):  # chance would find it once or twice
        name = f"{stream}-{n}"
        ClusterStore([own_nats.url, nats.url], tmp_path / name, name=name).close()
        assert messages(own_nats, name) > 0


def test_whoever_comes_later_reads_the_same(node):
    one, two = node(), node()
    ann = Account(7, "Ann", "ann", "ann", "hash", token="t")
    for n in range(3):
        (entered,) = answers(one, Enter(ann, n, False, False, False))
        answers(one, said(f"m{n}", id=f"k{n}"), Leave(ann, entered.claim, None, False))
    settle(two)
    (entered,) = answers(two, Enter(ann, 9, False, False, False))
    late = node()
    assert (contents(late), late.accounts()) == (contents(two), two.accounts())
    assert [(each.account.name, each.since) for each in late.elsewhere()] == [("Ann", 9)]
    assert answers(late, said("m1", id="k1"))[0].dup
