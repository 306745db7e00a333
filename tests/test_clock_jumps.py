"""Somebody sets the clock while people talk: only what is shown as a time changes."""

import pytest

from chatd.wire.messages import Ack, History, Incoming, Items, Outgoing, Ping

HOUR = 3_600_000  # milliseconds
JUMPS = {"an hour back": -HOUR, "ten years on": 87_600 * HOUR, "to 1970": -1_700_001_000_000}


def texts(messages) -> list[str]:
    return [m.content for m in messages if isinstance(m, Incoming)]


@pytest.fixture(params=JUMPS)
def jump(request) -> int:
    return JUMPS[request.param]


def test_messages_keep_their_order_and_reach_everybody_once(begin, jump: int):
    bench = begin()
    ann, bob = bench.join("ann"), bench.join("bob")
    acks = []
    for n in range(6):
        bench.jumped = jump if n % 2 else 0
        acks += [
            m for m in bench.say(ann, Outgoing("bob", str(n), id=str(n))) if isinstance(m, Ack)
        ]
    assert [a.seq for a in acks] == sorted({a.seq for a in acks})
    assert texts(bench.settle(bob)) == list("012345")
    (page,) = [m for m in bench.say(ann, History(peer="bob", id="h")) if isinstance(m, Items)]
    assert texts(page.items) == list("012345")


def test_what_waits_is_delivered_after_a_jump_and_a_restart(begin, jump: int):
    bench = begin()
    ann, bob = bench.join("ann"), bench.join("bob")
    bench.lose(bob)
    bench.say(ann, Outgoing("bob", "before", id="1"))
    bench.jumped = jump
    bench.say(ann, Outgoing("bob", "behind", id="2"))
    again = bench.restarted()
    again.jumped = jump
    _, _, waited = again.enter("bob")
    assert texts(waited) == ["before", "behind"]


def test_no_time_is_over_sooner_or_later_for_it(begin, jump: int):
    bench = begin()
    ann = bench.join("ann")
    silent = bench.connect()
    bench.jumped = jump
    bench.wait(29.0)
    assert silent not in bench.closed
    bench.say(ann, Ping(n=1))
    bench.wait(1.5)
    assert silent in bench.closed
    bench.wait(40)
    assert ann not in bench.closed
