"""A heap of deadlines. It reads no clock: whoever has one asks what is due."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count


class Timers:
    """Calls to be made at a monotonic time, in seconds; those of the same time in order."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()

    def at(self, when: float, call: Callable[[], None]) -> None:
        """Remember a call. There is no taking back: a call that has lost its point does nothing."""
        heapq.heappush(self._heap, (when, next(self._order), call))

    def delay(self, now: float) -> float | None:
        """Seconds until the first deadline, 0 if it has passed; None where there is none."""
        return max(0.0, self._heap[0][0] - now) if self._heap else None

    def due(self, now: float) -> list[Callable[[], None]]:
        """Take out what is due."""
        calls = []
        while self._heap and self._heap[0][0] <= now:
            calls.append(heapq.heappop(self._heap)[2])
        return calls
