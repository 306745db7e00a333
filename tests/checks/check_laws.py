"""Laws over a long history: a million events are judged in seconds."""

import time

from harness.history import EVERYBODY, History, Sent, Told
from harness.laws import laws

CAST = [f"c{number}" for number in range(100)]
MESSAGES = 10_000  # each told to a hundred


def long_history() -> History:
    history = History(actors=set(CAST), since=dict.fromkeys(CAST, 0))
    number = 1
    for at in range(MESSAGES):
        sender = CAST[at % len(CAST)]
        history.sent.append(Sent(number, sender, EVERYBODY, f"message {at}"))
        for offset, observer in enumerate(CAST, 1):
            history.told.append(Told(number + offset, observer, sender, f"message {at}"))
        number += len(CAST) + 1
    return history


def test_a_million_events_are_judged_in_ten_seconds():
    history = long_history()
    began = time.process_time()
    for law in laws().values():
        assert law.find(history, None) is None
    took = time.process_time() - began
    print(
        f"\n{len(history.told) + len(history.sent)} events, {len(laws())} laws: {took:.1f} s of CPU"
    )
    assert took < 10
