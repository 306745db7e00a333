"""Windows: a slow reader is continued from the log, costs constant memory, and loses nothing."""

import pytest
from bench import Bench

from chatd.core.effects import Append, Failed, Find, MoveCursors, PutAccount
from chatd.core.flow import FRAME
from chatd.core.limits import Limits
from chatd.wire.errors import ErrorCode
from chatd.wire.messages import (
    WINDOW_BYTES,
    WINDOW_ITEMS,
    Ack,
    Error,
    Hello,
    Incoming,
    IncomingBroadcast,
    Notice,
    Outgoing,
    OutgoingBroadcast,
    Ping,
    Pong,
    Position,
    Quit,
    Received,
    Users,
    Who,
)

ITEMS = Incoming | IncomingBroadcast


def items(frames) -> list[str]:
    return [one.content for one in frames if isinstance(one, ITEMS)]


def numbers(first: int, last: int) -> list[str]:
    return [str(n) for n in range(first, last + 1)]


def send(bench: Bench, conn: int, texts: list[str], to="bob"):
    answers = bench.say(conn, *(Outgoing(to, text, f"k{text[:20]}") for text in texts))
    assert len([one for one in answers if isinstance(one, Ack)]) == len(texts)


# --- the window ---------------------------------------------------------------------------------


def test_a_full_window_is_not_written_to_and_goes_on_from_the_log(begin):
    bench = begin()
    ann, bob = bench.join("ann"), bench.join("bob")
    send(bench, ann, numbers(1, WINDOW_ITEMS + 44))
    first = bench.got(bob)
    assert items(first) == numbers(1, WINDOW_ITEMS)
    assert bench.settle(bob) == []
    more = bench.say(bob, Received(first[-1].seq))
    assert items(more) == numbers(WINDOW_ITEMS + 1, WINDOW_ITEMS + 44)
    send(bench, ann, ["live again"])
    assert items(bench.got(bob)) == ["live again"]


def test_a_window_counts_bytes_too_as_they_are_on_the_wire(begin):
    bench = begin()
    ann, bob = bench.join("ann"), bench.join("bob")
    text = "\U0001f600" * 4000  # 16,000 bytes
    fits = -(-WINDOW_BYTES // (len(text.encode()) + FRAME))
    send(bench, ann, [f"{n} {text}" for n in range(fits + 5)])
    got = bench.got(bob)
    assert len(items(got)) == fits
    assert len(items(bench.say(bob, Received(got[-1].seq)))) == 5


def test_nothing_more_comes_while_more_than_half_a_window_is_open_and_all_of_it_then(begin):
    bench = begin()
    ann, bob = bench.join("ann"), bench.join("bob")
    send(bench, ann, numbers(1, 2 * WINDOW_ITEMS))
    got = bench.got(bob)
    assert bench.say(bob, Received(got[0].seq)) == []
    more = bench.say(bob, Received(got[WINDOW_ITEMS // 2].seq))
    assert items(more)[0] == str(WINDOW_ITEMS + 1)
    while more:
        got += more
        more = bench.say(bob, Received(got[-1].seq))
    assert items(got) == numbers(1, 2 * WINDOW_ITEMS)


def test_who_comes_back_to_exactly_a_windowful_is_not_sent_more_before_it_is_confirmed(begin):
    bench = begin()
    ann, bob = bench.join("ann"), bench.join("bob")
    bench.say(bob, Quit())
    send(bench, ann, numbers(1, WINDOW_ITEMS))
    bob, _, rest = bench.enter("bob")
    send(bench, ann, ["one more"])
    assert len(items(rest)) == WINDOW_ITEMS
    assert items(bench.got(bob)) == []
    last = [one for one in rest if isinstance(one, ITEMS)][-1]
    assert items(bench.say(bob, Received(last.seq))) == ["one more"]


def test_what_is_said_while_somebody_catches_up_comes_in_order_and_once(begin):
    bench = begin()
    ann, bob = bench.join("ann"), bench.join("bob")
    bench.say(bob, Quit())
    send(bench, ann, numbers(1, 300))
    bob, _, got = bench.enter("bob")
    send(bench, ann, numbers(301, 310))
    got += bench.got(bob)
    while more := bench.say(bob, Received([one for one in got if isinstance(one, ITEMS)][-1].seq)):
        got += more
    assert items(got) == numbers(1, 310)
    late = [one.late for one in got if isinstance(one, ITEMS)]
    assert late == [True] * 300 + [False] * 10


def test_a_full_window_of_one_does_not_hold_back_the_others(begin):
    bench = begin()
    ann, bob, cid = (bench.join(name) for name in ("ann", "bob", "cid"))
    for first in range(1, 601, 100):
        bench.say(ann, *(OutgoingBroadcast(text) for text in numbers(first, first + 99)))
        got = bench.got(cid)
        assert items(got) == numbers(first, first + 99)
        bench.say(cid, Received(got[-1].seq))
    assert len(items(bench.got(bob))) == WINDOW_ITEMS


def test_confirming_what_was_never_sent_confirms_what_was(begin):
    bench = begin()
    ann, bob = bench.join("ann"), bench.join("bob")
    send(bench, ann, numbers(1, WINDOW_ITEMS + 10))
    bench.got(bob)
    more = bench.say(bob, Received(10**12))
    assert items(more) == numbers(WINDOW_ITEMS + 1, WINDOW_ITEMS + 10)


# --- plain sessions -----------------------------------------------------------------------------


def test_a_slow_plain_reader_is_continued_from_the_log_when_its_socket_has_taken_all(begin):
    bench = begin(drains=False)
    ann, bob = bench.join("ann"), bench.join("bob", plain=True)
    send(bench, ann, numbers(1, 10))
    bench.run(bench.hub.stalled(bob, bench.now))
    send(bench, ann, numbers(11, 700))
    assert items(bench.got(bob)) == numbers(1, 10)
    bench.drain()
    assert items(bench.got(bob)) == numbers(11, 700)
    send(bench, ann, ["live again"])
    assert items(bench.got(bob)) == ["live again"]


def test_a_slow_plain_reader_misses_no_broadcast_of_its_session(begin):
    bench = begin(drains=False)
    ann, bob = bench.join("ann"), bench.join("bob", plain=True)
    bench.run(bench.hub.stalled(bob, bench.now))
    bench.say(ann, *(OutgoingBroadcast(text) for text in numbers(1, 300)))
    assert items(bench.got(bob)) == []
    bench.drain()
    assert items(bench.got(bob)) == numbers(1, 300)


# --- not reading --------------------------------------------------------------------------------


def answering(bench: Bench, *conns: int, seconds: float) -> list:
    """Time passes, and these answer pings; what else they were sent."""
    frames = []
    for _ in range(int(seconds) // 10):
        bench.wait(10)
        for conn in conns:
            frames += [one for one in bench.say(conn, Pong()) if not isinstance(one, Ping)]
    return frames


def test_who_confirms_nothing_for_ten_minutes_with_a_full_window_is_let_go(begin):
    bench = begin()
    ann, bob = bench.join("ann"), bench.join("bob")
    send(bench, ann, numbers(1, WINDOW_ITEMS + 1))
    bench.got(bob)
    answering(bench, ann, bob, seconds=590)
    assert bob not in bench.closed
    told = answering(bench, bob, seconds=10)
    assert [(one.error, one.fatal) for one in told if isinstance(one, Error)] == [(502, True)]
    assert bob in bench.closed
    _, _, rest = bench.enter("bob")
    assert items(rest) == numbers(1, WINDOW_ITEMS), "nothing is lost"


def test_the_same_for_who_comes_back_and_never_confirms(begin):
    bench = begin()
    ann, bob = bench.join("ann"), bench.join("bob")
    bench.say(bob, Quit())
    send(bench, ann, numbers(1, WINDOW_ITEMS + 1))
    bob, _, _ = bench.enter("bob")
    answering(bench, ann, bob, seconds=610)
    assert bob in bench.closed


def test_who_confirms_from_time_to_time_stays(begin):
    bench = begin()
    ann, bob = bench.join("ann"), bench.join("bob")
    send(bench, ann, numbers(1, WINDOW_ITEMS + 1))
    got = bench.got(bob)
    for index in range(10):
        answering(bench, ann, bob, seconds=500)
        bench.say(bob, Received(got[index].seq))
    assert bob not in bench.closed


def test_who_has_nothing_to_confirm_stays(begin):
    bench = begin()
    ann, bob = bench.join("ann"), bench.join("bob")
    send(bench, ann, ["one"])
    answering(bench, ann, bob, seconds=1300)
    assert {ann, bob}.isdisjoint(bench.closed)


def test_a_silent_plain_listener_that_takes_what_it_is_sent_stays(begin):
    bench = begin(drains=False)
    ann, bob = bench.join("ann"), bench.join("bob", plain=True)
    for _ in range(20):  # behind again and again, and never for long
        bench.run(bench.hub.stalled(bob, bench.now))
        send(bench, ann, [f"at {bench.time}"])
        answering(bench, ann, seconds=60)
        bench.drain()
    bench.run(bench.hub.stalled(bob, bench.now))
    answering(bench, ann, seconds=590)
    assert bob not in bench.closed
    answering(bench, ann, seconds=20)
    assert bob in bench.closed


# --- a store that fails -------------------------------------------------------------------------


class Broken:
    """A store in front of another that fails what it is told to."""

    def __init__(self, store):
        self._store = store
        self.fails: tuple[type, ...] = ()

    def __getattr__(self, name):
        return getattr(self._store, name)

    def submit(self, ticket, operation):
        if isinstance(operation, self.fails):
            self._store._done.append(Failed(ticket, ErrorCode.STORAGE_FULL, "planted"))
        else:
            self._store.submit(ticket, operation)


def broken(**more) -> Bench:
    bench = Bench(**more)
    bench.store = Broken(bench.store)
    return bench


def test_a_log_that_could_not_be_read_is_read_again():
    bench = broken()
    ann, bob = bench.join("ann"), bench.join("bob")
    bench.say(bob, Quit())
    send(bench, ann, ["kept"])
    bench.store.fails = (Find,)
    bob, _, rest = bench.enter("bob")
    assert items(rest) == []
    bench.store.fails = ()
    bench.wait(Limits().retry)
    assert items(bench.got(bob)) == ["kept"]


def test_what_could_not_be_kept_beside_the_log_is_kept_later():
    bench = broken()
    ann, bob = bench.join("ann"), bench.join("bob")
    send(bench, ann, ["one"])
    bench.store.fails = (MoveCursors, PutAccount)
    (got,) = [one for one in bench.got(bob) if isinstance(one, ITEMS)]
    bench.say(bob, Received(got.seq))
    cid = bench.join("cid")
    bench.wait(5)
    assert bench.got(ann) == [], "what is not stored is not told"
    assert [one.name for one in bench.store.accounts()] == ["ann", "bob"]
    bench.store.fails = ()
    bench.wait(Limits().retry)
    receipts = [one for one in bench.got(ann) if not isinstance(one, Notice)]
    assert [(one.by, one.delivered) for one in receipts] == [("bob", got.seq)]
    assert [one.name for one in bench.store.accounts()] == ["ann", "bob", "cid"]
    assert cid not in bench.closed


def test_a_message_that_could_not_be_stored_is_refused_and_may_be_repeated():
    bench = broken()
    ann, bob = bench.join("ann"), bench.join("bob")
    bench.store.fails = (Append,)
    (error,) = bench.say(ann, Outgoing("bob", "hi", "a1"))
    assert (error.error, error.re) == (505, "a1")
    assert bench.got(bob) == []
    assert [type(one) for one in bench.say(bob, Who())] == [Users]
    bench.store.fails = ()
    (ack,) = bench.say(ann, Outgoing("bob", "hi", "a1"))
    assert not ack.dup
    assert items(bench.got(bob)) == ["hi"]


# --- grace --------------------------------------------------------------------------------------


def lost(frames) -> list[tuple[str, str]]:
    return [(one.kind, one.name) for one in frames if isinstance(one, Notice)]


def resumable(bench: Bench, name="bob") -> tuple[int, str, Position]:
    after = Position(bench.store.epoch, bench.hub.seq)
    conn, welcome, _ = bench.enter(name, after=after)
    return conn, welcome.token, after


def test_who_is_back_within_the_grace_was_never_gone_for_the_others(begin):
    bench = begin()
    ann = bench.join("ann")
    bob, token, after = resumable(bench)
    bench.got(ann)
    bench.lose(bob)
    assert bench.say(ann, Who())[0].users == ["ann"], "but who asks is told the truth"
    bench.wait(29)
    bench.enter("bob", token=token, after=after)
    bench.wait(60)
    assert lost(bench.got(ann)) == []


def test_who_is_not_back_is_lost_when_the_grace_is_over(begin):
    bench = begin()
    ann = bench.join("ann")
    bob, _, _ = resumable(bench)
    bench.got(ann)
    bench.lose(bob)
    bench.wait(29)
    assert lost(bench.got(ann)) == []
    bench.wait(1)
    assert lost(bench.got(ann)) == [("lost", "bob")]


def test_each_loss_has_its_own_grace(begin):
    bench = begin()
    ann = bench.join("ann")
    bob, token, after = resumable(bench)
    bench.got(ann)
    bench.lose(bob)
    bench.wait(20)
    bob, _, _ = bench.enter("bob", token=token, after=after)
    bench.lose(bob)
    bench.wait(29)
    assert lost(bench.got(ann)) == []
    bench.wait(1)
    assert lost(bench.got(ann)) == [("lost", "bob")]


@pytest.mark.parametrize("fields", [{}, {"plain": True}])
def test_who_cannot_resume_is_lost_at_once(begin, fields):
    bench = begin()
    ann = bench.join("ann")
    bob, _, _ = bench.enter("bob", **fields)
    bench.got(ann)
    bench.lose(bob)
    assert lost(bench.got(ann)) == [("lost", "bob")]


def test_a_plain_session_cannot_resume_whatever_it_says(begin):
    bench = begin()
    ann = bench.join("ann")
    bob, *_ = bench.enter("bob", plain=True, after=Position("x", 10**6))
    bench.say(bob, Received(0))
    bench.got(ann)
    bench.lose(bob)
    assert lost(bench.got(ann)) == [("lost", "bob")]


def test_a_name_in_its_grace_can_be_taken_at_once_and_the_others_are_told_both(begin):
    bench = begin()
    ann = bench.join("ann")
    bob, _, _ = resumable(bench)
    bench.got(ann)
    bench.lose(bob)
    conn = bench.connect()
    assert not isinstance(bench.say(conn, Hello(name="bob"))[0], Error)
    assert lost(bench.got(ann)) == [("lost", "bob"), ("joined", "bob")]
    bench.wait(29)
    assert lost(bench.got(ann)) == []


def test_without_a_grace_everybody_is_lost_at_once(begin):
    bench = begin(limits=Limits(grace=0))
    ann = bench.join("ann")
    bob, _, _ = resumable(bench)
    bench.got(ann)
    bench.lose(bob)
    assert lost(bench.got(ann)) == [("lost", "bob")]
