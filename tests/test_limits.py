"""Counting failed log-ins, with time as a number."""

from chatd.core.limits import Limits, Tries

LIMITS = Limits(tries=3, tries_within=60.0)


def test_an_address_may_fail_a_few_times():
    tries = Tries(LIMITS)
    tries.failed("a", 100.0)
    tries.failed("a", 101.0)
    assert tries.wait("a", 102.0) == 0.0


def test_then_it_has_to_wait_until_the_oldest_failure_is_long_ago():
    tries = Tries(LIMITS)
    for moment in (100.0, 101.0, 110.0):
        tries.failed("a", moment)
    assert tries.wait("a", 110.0) == 50.0
    assert tries.wait("a", 159.5) == 0.5
    assert tries.wait("a", 160.0) == 0.0
    tries.failed("a", 160.0)
    assert tries.wait("a", 160.5) == 0.5


def test_other_addresses_do_not_wait():
    tries = Tries(LIMITS)
    for _ in range(10):
        tries.failed("a", 100.0)
    assert tries.wait("b", 100.0) == 0.0


def test_many_addresses_cost_bounded_memory_and_the_latest_are_remembered():
    tries = Tries(LIMITS)
    for number in range(Tries.REMEMBERED + 100):
        for _ in range(3):
            tries.failed(f"host {number}", 100.0)
    assert len(tries._failed) == Tries.REMEMBERED
    assert tries.wait(f"host {Tries.REMEMBERED + 99}", 100.0) == 60.0
    assert tries.wait("host 0", 100.0) == 0.0


def test_failures_of_one_address_cost_bounded_memory():
    tries = Tries(LIMITS)
    for moment in range(10_000):
        tries.failed("a", float(moment))
    assert len(tries._failed["a"]) <= 60
