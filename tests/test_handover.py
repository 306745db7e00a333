"""What a hub is told by the one before it: who comes back from an upgrade was never gone."""

import pytest

from chatd.core.handover import COME_BACK, RETURN, at_the_door
from chatd.core.limits import Limits
from chatd.wire.messages import (
    Ack,
    AskSeen,
    Bye,
    Incoming,
    Notice,
    Outgoing,
    Position,
    Seen,
    Users,
    Who,
)


def kinds(messages) -> list[tuple[str, str | None]]:
    return [(one.kind, one.name) for one in messages if isinstance(one, Notice)]


@pytest.fixture
def bench(begin):
    return begin(limits=Limits(grace=0))  # nobody waits longer than an upgrade needs


def test_each_is_told_in_its_kind_and_the_extended_who_is_really_gone(bench):
    ann, pat = bench.join("ann"), bench.join("pat", plain=True)
    bench.upgraded()
    lost, last = bench.got(ann)
    assert (kinds([lost]), last) == ([("lost", "pat")], COME_BACK)
    (bye,) = bench.got(pat)
    assert bye == Bye("shutdown", "The server is shutting down; you have been logged off.")
    assert bench.closed == [ann, pat]


def test_whoever_comes_back_in_time_was_never_gone(bench):
    _, first, _ = bench.enter("ann")
    _, second, _ = bench.enter("ben")
    after = bench.upgraded()
    ann, hello, _ = after.enter("ann", token=first.token)
    assert hello.resumed
    assert after.say(ann, Who()) == [Users(["ann", "ben"])]
    assert after.say(ann, AskSeen("ben", "s")) == [Seen("ben", True, "s")]
    (ack,) = after.say(ann, Outgoing("ben", "for your return", "1"))
    assert isinstance(ack, Ack)
    assert (ack.state, ack.absent) == ("stored", [])
    _, hello, rest = after.enter("ben", token=second.token)
    assert [one.content for one in rest if isinstance(one, Incoming)] == ["for your return"]
    after.wait(RETURN * 2)
    assert kinds(after.got(ann)) == []
    assert after.say(ann, Who()) == [Users(["ann", "ben"])]


def test_whoever_does_not_come_back_is_lost_in_the_end(bench):
    bench.join("ann")
    bench.join("ben")
    after = bench.upgraded()
    ann, _, _ = after.enter("ann", token="token1")
    after.wait(RETURN - 0.1)
    assert kinds(after.got(ann)) == []
    after.wait(0.1)
    assert kinds(after.got(ann)) == [("lost", "ben")]
    assert after.say(ann, Who()) == [Users(["ann"])]
    (ack,) = after.say(ann, Outgoing("ben", "later", "1"))
    assert (ack.state, ack.absent) == ("queued", ["ben"])


def test_somebody_else_of_that_name_is_somebody_else(bench):
    bench.join("ann")
    bench.join("ben")
    after = bench.upgraded()
    ann, _, _ = after.enter("ann", token="token1")
    after.enter("ben")
    assert kinds(after.got(ann)) == [("lost", "ben"), ("joined", "ben")]
    after.wait(RETURN)
    assert kinds(after.got(ann)) == []
    assert after.say(ann, Who()) == [Users(["ann", "ben"])]


def test_an_assigned_name_is_kept_for_whoever_has_it(bench):
    first, second = bench.enter(), bench.enter()
    bench.say(first[0], Outgoing("client2", "before", "1"))
    (before,) = bench.got(second[0])
    after = bench.upgraded()
    ann, hello, _ = after.enter("client1", token=first[1].token)
    assert (hello.resumed, hello.name) == (True, "client1")
    assert after.enter()[1].name == "client3"
    after.say(ann, Outgoing("client2", "behind", "2"))
    place = Position(after.store.epoch, before.seq)
    _, hello, rest = after.enter("client2", token=second[1].token, after=place)
    assert hello.resumed
    assert [one.content for one in rest if isinstance(one, Incoming)] == ["behind"]


def test_an_assigned_name_is_free_again_when_nobody_comes_back(bench):
    bench.join()
    after = bench.upgraded()
    assert after.hub.accounts.named("client1")
    after.wait(RETURN)
    assert after.hub.accounts.named("client1") is None


def test_somebody_lost_shortly_before_may_come_back_too(begin):
    bench = begin()
    ann, ben = bench.join("ann"), bench.join("ben", after=Position("other", 1))
    bench.lose(ben)
    assert kinds(bench.got(ann)) == []
    after = bench.upgraded()
    ann, _, _ = after.enter("ann", token="token1")
    assert after.say(ann, Who()) == [Users(["ann"])], "who asks is told the truth"
    after.enter("ben", token="token2")
    after.wait(100)
    assert kinds(after.got(ann)) == []


def test_a_hello_that_is_being_checked_is_at_the_door(bench):
    assert not at_the_door(bench.hub)
    bench.join("ann")
    assert not at_the_door(bench.hub)
    bench.connect()
    assert at_the_door(bench.hub)
