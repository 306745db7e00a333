"""Many runs in one thread: each a greenlet, whose reactor gives way to the others as it waits.

A run is written as if it were alone: it steps its reactor until something is decided. `Seat` is a
reactor whose step goes to the `Hub` and comes back when one of its own descriptors is ready, or its
time has come. So a thousand sockets cost one selector, no thread, and no change of the code that
judges. (The package `greenlet` comes with the extra `load`.)
"""

from __future__ import annotations

import heapq
import selectors
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from greenlet import GreenletExit, getcurrent, greenlet

from harness.reactor import TICK, Channel, Reactor

IDLE = 0.1  # seconds between looks of a run in which there is no program to look at


class Hub:
    """One selector for all; runs whoever has something to do."""

    def __init__(self, spent: Callable[[float], None] = lambda _: None) -> None:
        self.selector = selectors.DefaultSelector()
        self._spent = spent  # told how long a round took, in seconds
        self._new: deque[greenlet] = deque()
        self._times: list[tuple[float, int, Seat]] = []
        self._count = 0
        self._myself = getcurrent()
        self._runs: list[greenlet] = []
        self._closing = False

    def spawn(self, work: Callable[[], None]) -> None:
        """Let `work` begin in the next round."""
        one = greenlet(work, parent=self._myself)
        self._new.append(one)
        self._runs.append(one)

    def round(self, deadline: float) -> None:
        """Wait until somebody has something to do, at most to the deadline; let them do it."""
        while self._times and self._times[0][1] != self._times[0][2].turn:
            heapq.heappop(self._times)  # it was woken by something else
        next_ = self._times[0][0] if self._times else deadline
        wait = 0.0 if self._new else max(0.0, min(deadline, next_) - time.monotonic())
        ready = self.selector.select(wait)
        began = time.monotonic()
        due: dict[Seat, None] = {}
        for key, events in ready:
            seat, channel = key.data
            seat.ready.append((channel, events))
            due[seat] = None
        while self._times and self._times[0][0] <= began:
            _, turn, seat = heapq.heappop(self._times)
            if turn == seat.turn:
                due[seat] = None
        for seat in due:
            seat.turn = 0
            if seat.waiting is not None:
                seat.waiting.switch()
        for _ in range(len(self._new)):
            self._new.popleft().switch()
        if due:
            self._spent(time.monotonic() - began)

    def give_way(self, seat: Seat, moment: float) -> None:
        """Called by a run: come back when something is ready for it, or at this moment."""
        if self._closing:
            raise GreenletExit
        self._count += 1
        seat.turn = self._count
        heapq.heappush(self._times, (moment, self._count, seat))
        seat.waiting = getcurrent()
        self._myself.switch()
        seat.waiting = None

    def close(self) -> None:
        """End what still runs, release the selector."""
        self._closing = True
        for one in self._runs:
            if one and not one.dead:
                one.throw(GreenletExit)
        self.selector.close()


class Seat(Reactor):
    """The reactor of one run among many."""

    def __init__(self, hub: Hub, tick: float = TICK) -> None:
        self._hub = hub
        self._pace = tick
        super().__init__(_Part(hub.selector, self))
        self._tick = tick
        self.turn = 0  # the number of its wait; 0: it is not waiting for a time
        self.ready: list[tuple[Channel, int]] = []
        self.waiting: greenlet | None = None

    def step(self, deadline: float) -> None:
        """Give way until something happens, a tick or the deadline; handle it."""
        moment = min(time.monotonic() + self._tick, deadline, self._wake)
        self._tick, self._wake = self._pace, float("inf")
        self._hub.give_way(self, moment)
        ready, self.ready = self.ready, []
        for channel, events in ready:
            if events & selectors.EVENT_READ and channel.open:
                channel.readable()
            if events & selectors.EVENT_WRITE and channel.open:
                channel.writable()
        for look in list(self.looks):
            look()


class _Part:
    """The part of the hub's selector that one reactor sees."""

    def __init__(self, selector: selectors.BaseSelector, seat: Seat) -> None:
        self._selector, self._seat = selector, seat
        self.unregister = selector.unregister
        self.get_map = selector.get_map

    def register(self, fd: int, events: int, channel: Any) -> None:
        """Wait for these events."""
        self._selector.register(fd, events, (self._seat, channel))

    def modify(self, fd: int, events: int, channel: Any) -> None:
        """Wait for other events."""
        self._selector.modify(fd, events, (self._seat, channel))

    def close(self) -> None:
        """The selector is the hub's."""
