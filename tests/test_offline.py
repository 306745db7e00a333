"""Who is away misses nothing: queued, delivered later, once, and gone on with where it was."""

import pytest
from bench import Bench

from chatd.core.effects import Account
from chatd.core.flow import MISSED_BROADCASTS
from chatd.core.limits import Limits
from chatd.wire.messages import (
    Ack,
    AskSeen,
    Bye,
    Error,
    Group,
    Hello,
    Incoming,
    IncomingBroadcast,
    Newname,
    Notice,
    Outgoing,
    OutgoingBroadcast,
    OutgoingGroup,
    Position,
    Quit,
    Received,
    Seen,
    Welcome,
    Who,
)


def contents(frames) -> list[str]:
    return [one.content for one in frames if isinstance(one, Incoming | IncomingBroadcast)]


def seqs(frames) -> list[int]:
    return [one.seq for one in frames if isinstance(one, Incoming | IncomingBroadcast)]


def met(bench: Bench, *names: str, plain=False) -> list[int]:
    """Sessions under these names, all open at once."""
    return [bench.join(name, plain=plain) for name in names]


def send(bench: Bench, conn: int, to: str, *texts: str) -> list:
    said = bench.say(conn, *(Outgoing(to, text, f"{to}-{text}") for text in texts))
    return [one for one in said if not isinstance(one, Notice)]


# --- queued -------------------------------------------------------------------------------------


def test_a_message_for_somebody_absent_is_queued_and_tells_since_when(begin):
    bench = begin()
    ann, bob = met(bench, "ann", "bob")
    bench.say(bob, Quit())
    bench.wait(20)
    (ack,) = send(bench, ann, "bob", "later")
    (seen,) = bench.say(ann, AskSeen("bob", "s"))
    assert isinstance(seen, Seen)
    assert (ack.state, ack.last_seen, ack.absent) == ("queued", seen.last_seen, ["bob"])
    assert ack.last_seen < ack.ts


def test_what_waited_comes_late_in_order_and_once(begin):
    bench = begin()
    ann, bob = met(bench, "ann", "bob")
    bench.say(bob, Quit())
    send(bench, ann, "bob", "one", "two", "three")
    bob, _, rest = bench.enter("bob")
    assert contents(rest) == ["one", "two", "three"]
    assert all(one.late for one in rest)
    bench.say(bob, Received(rest[-1].seq), Quit())
    assert contents(bench.enter("bob")[2]) == []


def test_what_waited_survives_a_restart(begin):
    bench = begin()
    ann, bob = met(bench, "ann", "bob")
    bench.say(bob, Quit())
    (ack,) = send(bench, ann, "bob", "kept")
    bench = bench.restarted()
    _, _, rest = bench.enter("bob")
    assert (contents(rest), seqs(rest)) == (["kept"], [ack.seq])


def test_what_was_delivered_and_not_confirmed_is_delivered_once_more(begin):
    bench = begin()
    ann, bob = met(bench, "ann", "bob")
    send(bench, ann, "bob", "one", "two")
    first, _ = bench.got(bob)
    bench.say(bob, Received(first.seq))
    bench.lose(bob)
    assert contents(bench.enter("bob")[2]) == ["two"]


def test_a_plain_session_has_what_its_socket_took(begin):
    bench = begin(drains=False)
    ann, _ = bench.join("ann"), bench.join("bob", plain=True)
    send(bench, ann, "bob", "one")
    bench.drain()
    send(bench, ann, "bob", "two")  # and this one stays in our queue
    bench = bench.restarted()
    assert contents(bench.enter("bob", plain=True)[2]) == ["two"]


def test_nobody_can_be_written_to_who_was_named_by_the_server_and_left(begin):
    bench = begin()
    ann, guest = bench.join("ann"), bench.join()
    assert send(bench, ann, "client1", "here")[0].state == "stored"
    bench.say(guest, Quit())
    (error,) = send(bench, ann, "client1", "gone")
    assert error.error == 301


def test_a_guest_who_takes_a_name_can_be_written_to_while_away(begin):
    bench = begin()
    ann, guest = bench.join("ann"), bench.join()
    bench.say(guest, Newname("gus"), Quit())
    assert send(bench, ann, "gus", "later")[0].state == "queued"
    bench = bench.restarted()
    assert contents(bench.enter("gus")[2]) == ["later"]


def test_a_queue_has_a_bound(begin):
    bench = begin(limits=Limits(queue=3))
    ann, bob = met(bench, "ann", "bob")
    bench.say(bob, Quit())
    answers = send(bench, ann, "bob", "1", "2", "3")
    assert [type(one) for one in answers] == [Ack] * 3
    (error,) = send(bench, ann, "bob", "4")
    assert (error.error, error.to) == (305, "bob")
    bench = bench.restarted()
    ann = bench.join("ann")
    assert send(bench, ann, "bob", "5")[0].error == 305, "counted anew at the start"
    bench.enter("bob")
    assert send(bench, ann, "bob", "6")[0].state == "stored"


def test_who_is_in_the_password_file_can_be_written_to_before_the_first_log_in(begin):
    bench = begin()
    bench.run(bench.hub.replace_passwords([filed(bench)], bench.now))
    bench.commit()
    ann = bench.join("ann")
    bench.say(ann, OutgoingBroadcast("to those who are here"))
    assert send(bench, ann, "bob", "welcome")[0].state == "queued"
    bench = bench.restarted()
    bench.run(bench.hub.replace_passwords([filed(bench)], bench.now))
    bob = bench.enter("bob", password="pw")
    assert contents(bob[2]) == ["to those who are here", "welcome"]


def filed(bench: Bench) -> Account:
    known = bench.hub.accounts.named("bob")
    number = known.number if known else bench.hub.new_number()
    return Account(number, "bob", "bob", "bob", "pw", filed=True)


# --- broadcasts ---------------------------------------------------------------------------------


def test_of_the_broadcasts_missed_the_newest_come(begin):
    bench = begin()
    ann, bob = met(bench, "ann", "bob")
    bench.say(bob, Quit())
    send(bench, ann, "bob", "for you")
    for first in range(0, MISSED_BROADCASTS + 50, 50):
        texts = [str(n) for n in range(first, first + 50)]
        bench.say(ann, *(OutgoingBroadcast(text) for text in texts))
    bob, _, rest = bench.enter("bob")
    while more := bench.say(bob, Received(rest[-1].seq)):
        rest += more
    wanted = [str(n) for n in range(50, MISSED_BROADCASTS + 50)]
    assert contents(rest) == ["for you", *wanted], "direct messages are complete"


def test_a_plain_session_gets_no_missed_broadcasts(begin):
    bench = begin()
    ann, bob = bench.join("ann"), bench.join("bob", plain=True)
    bench.say(bob, Quit())
    bench.say(ann, OutgoingBroadcast("missed"), Outgoing("bob", "kept"))
    bob, _, rest = bench.enter("bob", plain=True)
    assert contents(rest) == ["kept"]
    bench.say(ann, OutgoingBroadcast("live"))
    assert contents(bench.got(bob)) == ["live"]


@pytest.mark.parametrize("plain", [False, True])
def test_somebody_new_gets_nothing_of_the_past_now_or_after_a_restart(begin, plain):
    bench = begin()
    ann = bench.join("ann")
    bench.say(ann, OutgoingBroadcast("before your time"))
    bob, _, rest = bench.enter("bob", plain=plain)
    assert rest == []
    bench.say(bob, Quit())
    bench = bench.restarted()
    assert contents(bench.enter("bob")[2]) == []


# --- resuming -----------------------------------------------------------------------------------


def test_a_session_goes_on_exactly_behind_the_number_it_names(begin):
    bench = begin()
    ann, bob = met(bench, "ann", "bob")
    send(bench, ann, "bob", *"12345")
    got = bench.got(bob)
    bench.lose(bob)
    for index, one in enumerate(got):
        after = Position(bench.store.epoch, one.seq)
        conn, welcome, rest = bench.enter("bob", after=after)
        assert not welcome.gap
        assert seqs(rest) == seqs(got[index + 1 :])
        bench.lose(conn)


def test_another_epoch_is_a_gap_and_goes_on_where_the_account_was(begin):
    bench = begin()
    ann, bob = met(bench, "ann", "bob")
    bench.say(bob, Quit())
    send(bench, ann, "bob", "one")
    _, welcome, rest = bench.enter("bob", after=Position("another", 10_000))
    assert (welcome.gap, welcome.epoch) == (True, bench.store.epoch)
    assert contents(rest) == ["one"]


def test_a_place_in_the_future_is_an_error_and_the_session_goes_on(begin):
    bench = begin()
    ann, bob = met(bench, "ann", "bob")
    bench.say(bob, Quit())
    send(bench, ann, "bob", "one")
    bob, error, rest = bench.enter("bob", after=Position(bench.store.epoch, 10_000))
    assert isinstance(error, Error)
    assert (error.error, error.fatal) == (204, False)
    assert isinstance(rest[0], Welcome)
    assert contents(rest) == ["one"]
    assert bench.settle(bob) == []


def test_what_is_no_longer_in_the_log_is_a_gap(begin):
    bench = begin(keep_ms=1000)
    ann, bob = met(bench, "ann", "bob")
    bench.say(bob, Quit())
    send(bench, ann, "bob", "forgotten")
    bench.wait(5)
    send(bench, ann, "bob", "kept")
    bench.run(bench.hub.purge(bench.now))
    bench.commit()
    _, welcome, rest = bench.enter("bob")
    assert (welcome.gap, contents(rest)) == (True, ["kept"])


def test_a_token_resumes_its_session_also_after_a_restart(begin):
    bench = begin()
    bob, welcome, _ = bench.enter("bob")
    bench.lose(bob)
    bench = bench.restarted()
    _, again, _ = bench.enter("bob", token=welcome.token)
    assert again.resumed


def test_the_token_of_a_session_that_took_over_is_the_one_that_is_kept(begin):
    bench = begin()
    _, first, _ = bench.enter("bob")
    _, second, _ = bench.enter("bob", token=first.token)
    bench = bench.restarted()
    _, third, _ = bench.enter("bob", token=second.token)
    assert (second.resumed, third.resumed) == (True, True)


@pytest.mark.parametrize("change", [str.upper, str.strip, lambda token: token + "x"])
def test_a_token_that_was_tampered_with_never_opens_a_protected_name(begin, change):
    bench = begin(accounts=[Account(1, "bob", "bob", "bob", "pw")])
    bob, welcome, _ = bench.enter("bob", password="pw")
    bench.say(bob, Quit())
    if change(welcome.token) == welcome.token:  # the token itself does
        assert bench.enter("bob", token=welcome.token)[1].resumed
        return
    conn = bench.connect()
    *_, error = bench.say(conn, Hello(name="bob", v=1, token=change(welcome.token)))
    assert (error.error, error.fatal) == (102, True)
    assert conn not in bench.opened


def test_a_ghost_is_replaced_by_whoever_holds_its_token(begin):
    bench = begin()
    ann = bench.join("ann")
    ghost, welcome, _ = bench.enter("bob")
    send(bench, ann, "bob", "into the void")
    bench.got(ann)
    _, _, rest = bench.enter("bob", token=welcome.token, after=Position(bench.store.epoch, 0))
    assert contents(rest) == ["into the void"]
    assert [type(one) for one in bench.got(ghost)][-1] is Bye
    assert ghost in bench.closed
    assert bench.got(ann) == [], "nobody is told of a change that is none"
    assert bench.say(ann, Who())[0].users == ["ann", "bob"]


# --- idempotent sending -------------------------------------------------------------------------


def test_a_retry_is_answered_by_the_first_result_also_after_a_restart(begin):
    bench = begin()
    ann, _ = met(bench, "ann", "bob")
    (first,) = bench.say(ann, Outgoing("bob", "once", "a1"))
    (second,) = bench.say(ann, Outgoing("bob", "once", "a1"))
    assert (second.seq, second.ts, second.dup) == (first.seq, first.ts, True)
    bench = bench.restarted()
    ann = bench.join("ann")
    (third,) = bench.say(ann, Outgoing("bob", "once", "a1"))
    assert (third.seq, third.dup, third.state) == (first.seq, True, "queued")
    assert contents(bench.enter("bob")[2]) == ["once"]


def test_the_same_key_for_something_else_is_refused_and_the_session_goes_on(begin):
    bench = begin()
    ann, bob = met(bench, "ann", "bob")
    bench.say(ann, Outgoing("bob", "once", "a1"))
    bench = bench.restarted()
    ann, bob = met(bench, "ann", "bob")
    for other in (Outgoing("bob", "twice", "a1"), OutgoingBroadcast("once", "a1")):
        (error,) = bench.say(ann, other)
        assert (error.error, error.re) == (308, "a1")
    assert bench.got(bob) == []
    assert bench.say(bob, Outgoing("ann", "once", "a1"))[0].state == "stored", "a key of one's own"


def test_a_welcome_that_was_lost_on_the_way_shuts_nobody_out(begin):
    bench = begin(accounts=[Account(1, "bob", "bob", "bob", "pw")])
    _, welcome, _ = bench.enter("bob", password="pw")
    for _ in range(3):  # each time the connection ends before the client has read its answer
        bench.enter("bob", token=welcome.token)
    _, again, _ = bench.enter("bob", token=welcome.token)
    assert again.resumed


def test_a_new_log_in_makes_older_tokens_void(begin):
    bench = begin(accounts=[Account(1, "bob", "bob", "bob", "pw")])
    _, stale, _ = bench.enter("bob", password="pw")
    _, fresh, _ = bench.enter("bob", password="pw")
    conn = bench.connect()
    *_, error = bench.say(conn, Hello(name="bob", v=1, token=stale.token))
    assert (error.error, conn in bench.opened) == (103, False)
    assert bench.enter("bob", token=fresh.token)[1].resumed


def test_a_retry_is_answered_as_before_though_its_group_is_gone(begin):
    bench = begin()
    ann, bob = met(bench, "ann", "bob")
    bench.say(bob, Group("create", "team", ["ann"], id="g"))
    first = next(
        one for one in bench.say(ann, OutgoingGroup("team", "hi", "k")) if isinstance(one, Ack)
    )
    bench.say(bob, Group("delete", "team", id="d"))
    bench.settle(ann)
    (again,) = bench.say(ann, OutgoingGroup("team", "hi", "k"))
    assert (again.re, again.seq, again.ts, again.dup) == ("k", first.seq, first.ts, True)
    (other,) = bench.say(ann, OutgoingGroup("team", "something else", "k"))
    assert (other.error, other.re) == (401, "k")
    (never,) = bench.say(ann, OutgoingGroup("team", "hi", "k2"))
    assert (never.error, never.re) == (401, "k2")


def test_a_retry_to_a_guest_who_left_is_answered_as_before(begin):
    bench = begin()
    ann = bench.join("ann")
    guest = bench.join()
    (first,) = bench.say(ann, Outgoing("client1", "hi", "k"))
    bench.say(guest, Quit())
    bench.settle(ann)
    (again,) = bench.say(ann, Outgoing("client1", "hi", "k"))
    assert (again.seq, again.dup) == (first.seq, True)
    (new,) = bench.say(ann, Outgoing("client1", "hi again", "k3"))
    assert (new.error, new.re) == (301, "k3")
