"""A heap of deadlines."""

from hypothesis import given
from hypothesis import strategies as st

from chatd.net.timers import Timers


def test_nothing_to_wait_for_is_no_deadline():
    assert Timers().delay(0.0) is None
    assert Timers().due(1e9) == []


def test_the_earliest_deadline_is_the_one_to_wait_for():
    timers = Timers()
    for when in (30.0, 10.0, 20.0):
        timers.at(when, lambda: None)
    assert timers.delay(4.0) == 6.0
    assert timers.delay(12.0) == 0.0


def test_what_is_due_is_called_once():
    timers, called = Timers(), []
    timers.at(10.0, lambda: called.append("ten"))
    timers.at(11.0, lambda: called.append("eleven"))
    for now in (9.9, 10.0, 10.5):
        for call in timers.due(now):
            call()
    assert called == ["ten"]
    assert timers.delay(10.5) == 0.5


@given(st.lists(st.floats(0, 100)))
def test_calls_come_in_the_order_of_their_times_and_then_of_their_making(times):
    timers, called = Timers(), []
    for number, when in enumerate(times):
        timers.at(when, lambda pair=(when, number): called.append(pair))
    for call in timers.due(100.0):
        call()
    assert called == sorted(called)
    assert len(called) == len(times)
