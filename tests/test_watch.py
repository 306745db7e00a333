"""Silence: when a server is asked, when another one is tried, and when nobody is believed there."""

import pytest

from chatsh.watch import CALM, DOUBT, FIRST_PAUSE, LAST_PAUSE, SILENCE, UNANSWERED, Due, Watch

QUIET = 20.0
ALONE = {"several": False, "extended": True, "stuck": False}
AMONG = ALONE | {"several": True}


@pytest.fixture
def watch():
    one = Watch(QUIET)
    one.heard(100.0)
    return one


def course(watch: Watch, situation: dict, *, begin: float = 100.0) -> list[tuple[float, Due]]:
    """What is due when, until it is lost, where nothing is ever heard."""
    now, seen = begin, []
    while not seen or seen[-1][1] is not Due.LOST:
        seconds, due = watch.due(now, **situation)
        now += seconds
        if due is Due.PROBE:
            watch.probed(now)
        elif due is Due.MOVE:
            watch.tried(now)
        if due:
            seen.append((now - begin, due))
    return seen


def test_a_server_alone_is_asked_rarely_and_believed_in_for_long(watch):
    assert course(watch, ALONE) == [
        *((QUIET * n, Due.PROBE) for n in (1, 2, 3)),
        (4 * QUIET, Due.LOST),
    ]


def test_one_of_several_is_asked_soon_and_then_others_are_tried_ever_more_rarely(watch):
    seen = course(watch, AMONG)
    first = SILENCE + DOUBT
    assert seen[:2] == [(SILENCE, Due.PROBE), (first, Due.MOVE)]
    moves = [at for at, due in seen if due is Due.MOVE]
    assert moves == [first, first + 5, first + 15, first + 35]
    assert seen[-1] == (4 * QUIET, Due.LOST)


def test_what_is_unanswered_is_no_reason_to_wait(watch):
    watch.asked(101.0)
    watch.asked(102.0)
    assert course(watch, AMONG)[:2] == [
        (1 + UNANSWERED, Due.PROBE),
        (1 + UNANSWERED + DOUBT, Due.MOVE),
    ]


def test_what_is_heard_ends_every_doubt(watch):
    watch.asked(101.0)
    watch.probed(104.0)
    assert watch.in_doubt
    watch.heard(105.0)
    assert not watch.in_doubt
    assert course(watch, AMONG, begin=105.0)[0] == (SILENCE, Due.PROBE)


def test_who_can_keep_nothing_is_left_at_once_and_then_after_pauses(watch):
    stuck = AMONG | {"stuck": True}
    pause, now = FIRST_PAUSE, 100.0
    for _ in range(6):
        assert watch.due(now, **stuck) == (0, Due.MOVE)
        watch.tried(now)
        watch.heard(now + pause - 0.5)  # that it still says so is no reason to hurry
        assert watch.due(now + pause - 0.5, **stuck) == (0.5, Due.MOVE)
        now, pause = now + pause, min(2 * pause, LAST_PAUSE)
    now += CALM
    watch.heard(now)
    watch.tried(now)
    assert watch.due(now + FIRST_PAUSE, **stuck) == (0, Due.MOVE)


def test_a_server_alone_is_never_left(watch):
    assert watch.due(100.0, **ALONE | {"stuck": True}) == (QUIET, Due.PROBE)


def test_a_server_of_s3_need_not_say_anything_unless_it_was_asked(watch):
    plain = ALONE | {"extended": False}
    assert watch.due(1e6, **plain) == (QUIET, None)
    watch.asked(1e6)
    assert watch.due(1e6, **plain) == (4 * QUIET, Due.LOST)


def test_what_is_asked_meanwhile_is_looked_at_soon(watch):
    seconds, due = watch.due(100.0, **AMONG)
    assert (seconds <= 1, due) == (True, None)
