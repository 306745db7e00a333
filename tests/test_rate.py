"""Who sends faster than the daemon takes is read from later, and told so once."""

from bench import Bench

from chatd.core.limits import Bucket, Limits
from chatd.wire.errors import ErrorCode
from chatd.wire.messages import Error, Hello

LIMITS = Limits(rate=10.0, burst=20)
NEAR = "127.0.0.1"


def bring(bench: Bench, conn: int, items: int, size: int = 0) -> list[float]:
    """So many requests come; for how long that connection is not read from then."""
    before = len(bench.slowed)
    bench.run(bench.hub.charge(conn, items, size, bench.now))
    assert all(one == conn for one, _ in bench.slowed[before:])
    return [seconds for _, seconds in bench.slowed[before:]]


def told(bench: Bench, conn: int) -> list[Error]:
    return [m for m in bench.got(conn) if isinstance(m, Error)]


def test_nobody_waits_before_the_burst_is_used_up():
    bench = Bench(limits=LIMITS)
    ann = bench.join("ann")
    assert bring(bench, ann, 20) == []
    assert bring(bench, ann, 5) == [0.5]
    bob = bench.join("bob")
    assert bring(bench, bob, 20) == []


def test_who_waits_is_told_once_with_the_time_and_again_after_a_rest():
    bench = Bench(limits=LIMITS)
    ann = bench.join("ann")
    for _ in range(5):
        bring(bench, ann, 15)
    (error,) = told(bench, ann)
    assert (error.error, error.fatal, error.retry_after) == (ErrorCode.TOO_FAST, False, 1)
    assert "nothing of it is lost" in error.text
    assert bench.hub.counts.errors[ErrorCode.TOO_FAST] == 1
    assert bench.hub.counts.delays == 4
    (line,) = bench.happened("delayed")
    assert (line["name"], line["code"], line["address"][:9]) == ("ann", 501, "10.0.0.1:")
    bench.wait(60)
    bring(bench, ann, 21)
    assert [e.error for e in told(bench, ann)] == [501]
    assert ann not in bench.closed


def test_logging_in_again_is_no_rest():
    bench = Bench(limits=LIMITS)
    ann = bench.join("ann")
    bring(bench, ann, 1000)
    bench.lose(ann)
    again = bench.join("ann")
    assert bring(bench, again, 1) == [Bucket.LONGEST]
    assert told(bench, again) == []


def test_before_hello_too_much_is_too_much_as_well():
    bench = Bench(limits=LIMITS)
    conn = bench.connect()
    assert bring(bench, conn, 0, 30 * Bucket.BYTES) == [1.0]


def test_this_machine_is_not_counted_unless_it_is_said():
    bench = Bench(limits=LIMITS)
    ann = bench.join("ann", NEAR)
    assert bring(bench, ann, 10_000) == []
    bench = Bench(limits=Limits(rate=10.0, burst=20, loopback=True))
    ann = bench.join("ann", NEAR)
    assert bring(bench, ann, 25) == [0.5]


def test_a_plain_session_is_told_in_words():
    bench = Bench(limits=LIMITS)
    ann = bench.join("ann", plain=True)
    bring(bench, ann, 25)
    assert len(told(bench, ann)) == 1  # the dialect makes `incoming` from `server` of it


def test_a_reload_changes_the_rate_of_those_who_are_here():
    bench = Bench(limits=LIMITS)
    ann = bench.join("ann")
    bench.hub.replace_limits(Limits(rate=0.0))
    assert bring(bench, ann, 10_000) == []


def test_welcome_announces_what_holds_for_this_session():
    bench = Bench(limits=Limits(rate=10.0, burst=20, members=7, content=100, per_address=9))
    for address, rate, connections in (("10.0.0.1", 10.0, 9), (NEAR, 0.0, 0)):
        conn = bench.connect(address)
        welcome = bench.say(conn, Hello(v=1))[0]
        said = welcome.limits
        assert (said.rate, said.connections) == (rate, connections)
        assert (said.burst, said.members, said.content) == (20, 7, 100)
