"""What became of a message: delivered, read, unshared; cumulative, and never ahead of the truth."""

from bench import Bench

from chatd.wire.messages import (
    Group,
    Incoming,
    IncomingGroup,
    Newname,
    Ok,
    Outgoing,
    OutgoingGroup,
    Position,
    Quit,
    Read,
    Receipt,
    Received,
    Set,
)


def receipts(frames) -> list[tuple[str, int, int | None]]:
    """By whom, how far delivered, and how far read."""
    return [(one.by, one.delivered, one.read) for one in frames if isinstance(one, Receipt)]


def seqs(frames) -> list[int]:
    return [one.seq for one in frames if isinstance(one, Incoming | IncomingGroup)]


def two(begin) -> tuple[Bench, int, int]:
    bench = begin()
    return bench, bench.join("ann"), bench.join("bob")


def test_a_receipt_follows_what_the_receiver_confirms_and_nothing_else(begin):
    bench, ann, bob = two(begin)
    bench.say(ann, Outgoing("bob", "hi", "a1"))
    assert receipts(bench.settle(ann)) == []
    (seq,) = seqs(bench.got(bob))
    assert bench.say(bob, Received(seq)) == []
    (receipt,) = bench.got(ann)
    assert receipt == Receipt("bob", seq, peer="bob")


def test_receipts_are_cumulative_and_only_move_forward(begin):
    bench, ann, bob = two(begin)
    bench.say(ann, *(Outgoing("bob", text, text) for text in "12345"))
    got = seqs(bench.got(bob))
    bench.got(ann)
    bench.say(bob, Received(got[2]))
    bench.say(bob, Received(got[0]))
    bench.say(bob, Received(got[4]))
    assert receipts(bench.got(ann)) == [("bob", got[2], None), ("bob", got[4], None)]


def test_several_confirmations_of_one_turn_are_one_receipt(begin):
    bench, ann, bob = two(begin)
    bench.say(ann, *(Outgoing("bob", text, text) for text in "12345"))
    got = seqs(bench.got(bob))
    bench.got(ann)
    bench.say(bob, *(Received(seq) for seq in got))
    assert receipts(bench.got(ann)) == [("bob", got[4], None)]


def test_read_is_told_with_the_delivery_it_implies(begin):
    bench, ann, bob = two(begin)
    bench.say(ann, *(Outgoing("bob", text, text) for text in "12"))
    first, second = seqs(bench.got(bob))
    bench.got(ann)
    assert bench.say(bob, Read(first, peer="ann")) == []
    assert receipts(bench.got(ann)) == [("bob", first, first)]
    bench.say(bob, Received(second))
    bench.say(bob, Read(first, peer="ann"))
    assert receipts(bench.got(ann)) == [("bob", second, first)]


def test_nothing_can_be_read_that_was_not_sent(begin):
    bench, ann, bob = two(begin)
    bench.say(bob, Quit())
    bench.say(ann, *(Outgoing("bob", str(n), str(n)) for n in range(300)))
    bench.got(ann)
    bob, _, rest = bench.enter("bob")
    bench.say(bob, Read(10**9, peer="ann"))
    assert receipts(bench.got(ann)) == [("bob", seqs(rest)[-1], seqs(rest)[-1])]


def test_only_the_author_is_told(begin):
    bench, ann, bob = two(begin)
    cid = bench.join("cid")
    bench.say(ann, Outgoing("bob", "hi"))
    bench.got(cid)
    bench.say(bob, Received(seqs(bench.got(bob))[-1]), Read(1, peer="ann"))
    assert receipts(bench.settle(cid)) == []


def test_a_plain_receiver_has_what_its_socket_took_and_reads_nothing(begin):
    bench = begin(drains=False)
    ann, _ = bench.join("ann"), bench.join("bob", plain=True)
    (ack,) = bench.say(ann, Outgoing("bob", "hi", "a1"))
    assert receipts(bench.settle(ann)) == []
    bench.drain()
    assert receipts(bench.got(ann)) == [("bob", ack.seq, None)]


def test_a_plain_author_sees_no_receipts(begin):
    bench = begin()
    ann, bob = bench.join("ann", plain=True), bench.join("bob")
    bench.say(ann, Outgoing("bob", "hi"))
    bench.say(bob, Received(seqs(bench.got(bob))[-1]))
    assert bench.got(ann) == []


def test_who_shares_no_receipts_tells_so_instead_of_what_was_read(begin):
    bench, ann, bob = two(begin)
    bench.say(ann, Outgoing("bob", "hi"))
    (seq,) = seqs(bench.got(bob))
    assert bench.say(bob, Set(receipts=False, id="s")) == [Ok("s")]
    bench.say(bob, Read(seq, peer="ann"))
    assert bench.got(ann) == [Receipt("bob", seq, peer="bob", unshared=True)]


def test_the_setting_is_kept_and_can_be_changed_back(begin):
    bench, ann, bob = two(begin)
    bench.say(bob, Set(receipts=False))
    bench = bench.restarted()
    ann, bob = bench.join("ann"), bench.join("bob")
    bench.say(ann, Outgoing("bob", "hi"))
    (seq,) = seqs(bench.got(bob))
    bench.say(bob, Received(seq))
    assert [one.unshared for one in bench.got(ann)] == [True]
    bench.say(bob, Set(), Set(receipts=True), Read(seq, peer="ann"))
    assert bench.got(ann) == [Receipt("bob", seq, peer="bob", read=seq)]


def test_an_author_who_was_away_is_told_on_the_return_also_after_a_restart(begin):
    bench, ann, bob = two(begin)
    bench.say(ann, Outgoing("bob", "hi"), Quit())
    bench.wait(20)
    (seq,) = seqs(bench.got(bob))
    bench.say(bob, Received(seq), Read(seq, peer="ann"))
    _, _, rest = bench.enter("ann")
    assert receipts(rest) == [("bob", seq, seq)]
    bench = bench.restarted()
    _, _, rest = bench.enter("ann")
    assert receipts(rest) == [("bob", seq, seq)]


def test_a_receipt_that_went_into_a_dead_connection_is_told_again(begin):
    bench, ann, bob = two(begin)
    bench.say(ann, Outgoing("bob", "hi"))
    (seq,) = seqs(bench.got(bob))
    bench.say(bob, Received(seq))
    bench.wait(60)  # nobody has noticed yet that the link is gone
    bench.lose(ann)
    _, _, rest = bench.enter("ann", after=Position(bench.store.epoch, 0))
    assert receipts(rest) == [("bob", seq, None)]


def test_what_is_confirmed_by_resuming_behind_it_is_delivered(begin):
    bench, ann, bob = two(begin)
    bench.say(ann, Outgoing("bob", "hi"))
    (seq,) = seqs(bench.got(bob))
    bench.lose(bob)  # and with it what bob had confirmed
    bench.settle(ann)
    bench.enter("bob", after=Position(bench.store.epoch, seq))
    assert receipts(bench.got(ann)) == [("bob", seq, None)]


def test_nobody_is_told_of_a_delivery_that_is_not_stored():
    bench = Bench()
    ann, bob = bench.join("ann"), bench.join("bob")
    bench.say(ann, Outgoing("bob", "hi"))
    (seq,) = seqs(bench.got(bob))
    bench.answers = False
    bench.say(bob, Received(seq))
    assert bench.got(ann) == []
    bench.commit()
    assert receipts(bench.got(ann)) == [("bob", seq, None)]


def test_a_receipt_names_people_as_they_are_called_now(begin):
    bench, ann, bob = two(begin)
    bench.say(ann, Outgoing("bob", "hi"))
    (seq,) = seqs(bench.got(bob))
    bench.say(bob, Newname("rob"), Received(seq))
    assert receipts(bench.got(ann)) == [("rob", seq, None)]


def test_in_a_group_each_author_is_told_of_each_member(begin):
    bench, ann, bob = two(begin)
    cid = bench.join("cid")
    bench.say(ann, Group("create", "team", ["bob", "cid"]))
    bench.say(ann, OutgoingGroup("team", "from ann"))
    bench.say(bob, OutgoingGroup("team", "from bob"))
    bench.got(ann)
    first, second = seqs(bench.got(cid))
    bench.got(bob)
    bench.say(cid, Received(first))
    assert receipts(bench.got(bob)) == []
    assert bench.got(ann) == [Receipt("cid", first, group="team")]
    bench.say(cid, Received(second), Read(second, group="team"))
    assert receipts(bench.got(bob)) == [("cid", second, second)]
    assert bench.got(ann)[-1] == Receipt("cid", second, group="team", read=second)


def test_reading_is_never_answered_not_even_where_nobody_is_of_that_name(begin):
    bench, ann, _ = two(begin)
    bench.say(ann, Group("create", "team", ["bob"]), Group("remove", "team", ["bob"]))
    bob = bench.hub.online["bob"].conn
    bench.got(bob)
    for asked in (Read(1, peer="nobody"), Read(1, group="none"), Read(1, group="team")):
        assert bench.say(bob, asked) == []


def test_reading_nothing_in_particular_is_an_error(begin):
    bench, ann, _ = two(begin)
    (error,) = bench.say(ann, Read(1))
    assert error.error == 203
