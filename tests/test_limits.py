"""What is allowed in time and number, with time as a number."""

import pytest

from chatd.core.limits import Bucket, Buckets, Limits, Sparse, Tries, is_loopback

LIMITS = Limits(tries=3, address_tries=5, tries_within=60.0, rate=10.0, burst=20)


# --- log-ins --------------------------------------------------------------------------------------


def test_a_name_may_be_tried_a_few_times_from_one_address():
    tries = Tries(LIMITS)
    assert [tries.begin("a", "ann", 100.0 + n) for n in range(3)] == [0.0] * 3
    assert tries.begin("a", "ann", 103.0) == 57.0


def test_then_it_has_to_wait_until_the_oldest_failure_is_long_ago():
    tries = Tries(LIMITS)
    for moment in (100.0, 101.0, 110.0):
        tries.begin("a", "ann", moment)
    assert tries.begin("a", "ann", 110.0) == 50.0
    assert tries.begin("a", "ann", 159.5) == 0.5
    assert tries.begin("a", "ann", 160.0) == 0.0
    assert tries.begin("a", "ann", 160.5) == 0.5


def test_waiting_does_not_make_it_longer():
    tries = Tries(LIMITS)
    for _ in range(3):
        tries.begin("a", "ann", 100.0)
    assert [tries.begin("a", "ann", 100.0 + n) for n in range(60)] == [60.0 - n for n in range(60)]
    assert tries.begin("a", "ann", 160.0) == 0.0


def test_another_address_and_another_name_do_not_wait():
    tries = Tries(LIMITS)
    for _ in range(10):
        tries.begin("a", "ann", 100.0)
    assert tries.begin("b", "ann", 100.0) == 0.0
    assert tries.begin("a", "bob", 100.0) == 0.0


def test_an_address_that_tries_name_after_name_has_to_wait_too():
    tries = Tries(LIMITS)
    for n in range(5):
        assert tries.begin("a", f"user{n}", 100.0) == 0.0
        tries.failed("a", 100.0)
    assert tries.begin("a", "ann", 110.0) == tries.wait("a", 110.0) == 50.0
    assert tries.begin("b", "ann", 110.0) == 0.0


def test_a_crowd_that_tries_at_once_has_not_failed():
    tries = Tries(LIMITS)
    assert {tries.begin("a", f"user{n}", 100.0) for n in range(1000)} == {0.0}


def test_who_succeeds_has_tried_nothing():
    tries = Tries(LIMITS)
    for n in range(100):
        assert tries.begin("a", f"user{n % 7}", 100.0 + n / 100) == 0.0
        tries.succeeded("a", f"user{n % 7}", 100.0 + n / 100)


def test_many_addresses_cost_bounded_memory_and_the_latest_are_remembered():
    tries = Tries(LIMITS)
    for number in range(Tries.REMEMBERED + 100):
        for _ in range(3):
            tries.begin(f"host {number}", "ann", 100.0)
            tries.failed(f"host {number}", 100.0)
    assert len(tries._failed) == Tries.REMEMBERED
    assert tries.begin(f"host {Tries.REMEMBERED + 99}", "ann", 100.0) == 60.0
    assert tries.begin("host 0", "ann", 100.0) == 0.0


def test_failures_of_one_address_cost_bounded_memory():
    tries = Tries(LIMITS)
    for moment in range(10_000):
        if not tries.begin("a", "ann", float(moment)):
            tries.failed("a", float(moment))
    assert all(len(moments) <= 5 for moments in tries._failed.values())


# --- the rate of requests -------------------------------------------------------------------------


def test_a_burst_is_free_and_then_the_rate_holds():
    bucket = Bucket()
    assert bucket.take(20, 0, 100.0, LIMITS) == 0.0
    assert bucket.take(1, 0, 100.0, LIMITS) == 0.1
    assert bucket.take(1, 0, 100.1, LIMITS) == pytest.approx(0.1)
    assert bucket.take(5, 0, 100.6, LIMITS) == pytest.approx(0.1)
    assert bucket.take(20, 0, 200.0, LIMITS) == 0.0


def test_rest_gives_no_more_than_a_burst():
    bucket = Bucket()
    bucket.take(1, 0, 100.0, LIMITS)
    assert bucket.take(21, 0, 1e6, LIMITS) == 0.1


def test_bytes_count_too():
    bucket = Bucket()
    assert bucket.take(0, 20 * Bucket.BYTES, 100.0, LIMITS) == 0.0
    assert bucket.take(0, 10 * Bucket.BYTES, 100.0, LIMITS) == 1.0


def test_no_debt_is_longer_than_a_peer_is_waited_for():
    bucket = Bucket()
    assert bucket.take(1_000_000, 0, 100.0, LIMITS) == Bucket.LONGEST
    assert Limits().ping > Bucket.LONGEST
    assert bucket.take(20, 0, 100.0 + Bucket.LONGEST + 2, LIMITS) == 0.0


def test_it_is_to_be_told_again_after_a_rest_only():
    bucket = Bucket()
    bucket.take(30, 0, 100.0, LIMITS)
    bucket.told = True
    bucket.take(30, 0, 101.0, LIMITS)
    assert bucket.told
    bucket.take(1, 0, 200.0, LIMITS)
    assert not bucket.told


def test_a_rate_of_0_is_no_bound():
    assert Bucket().take(10**9, 10**9, 100.0, Limits(rate=0.0)) == 0.0


def test_an_account_that_comes_back_has_the_bucket_it_had_and_there_are_not_too_many():
    buckets = Buckets()
    first = buckets.of(1)
    assert buckets.of(1) is first
    for account in range(2, Buckets.REMEMBERED + 2):
        buckets.of(account)
    assert len(buckets._known) == Buckets.REMEMBERED
    assert buckets.of(1) is not first


@pytest.mark.parametrize(
    ("address", "ours"),
    [("127.0.0.1", True), ("127.1.2.3", True), ("::1", True), ("128.0.0.1", False), ("::", False)],
)
def test_this_machine_is_known_by_its_addresses(address: str, ours: bool):
    assert is_loopback(address) is ours


# --- lines of the log -----------------------------------------------------------------------------


def test_a_flood_of_lines_is_cut_and_counted():
    sparse = Sparse()
    told = [sparse.admit("a", 100.0) for _ in range(50)]
    assert told == [0] * Sparse.EACH + [None] * (50 - Sparse.EACH)
    assert sparse.admit("b", 101.0) == 50 - Sparse.EACH
    assert sparse.admit("b", 102.0) == 0
    assert sparse.left_out == 50 - Sparse.EACH


def test_after_a_while_lines_are_written_again():
    sparse = Sparse()
    for _ in range(50):
        sparse.admit("a", 100.0)
    assert sparse.admit("a", 100.0 + Sparse.WINDOW) == 50 - Sparse.EACH


def test_many_addresses_at_once_write_no_more_and_cost_no_memory():
    sparse = Sparse()
    told = [sparse.admit(f"host {n}", 100.0) for n in range(10_000)]
    assert told.count(0) == Sparse.ALL
    assert len(sparse._written) == Sparse.ALL
