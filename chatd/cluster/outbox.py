"""What a node has published and not read yet: it is sent again until it has come back."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from chatd.cluster.link import Letter
from chatd.cluster.records import Record
from chatd.core.effects import MoveCursors, Operation

CURSORS = 2000  # positions in one record: 200 kB of the million that NATS takes


class Waiting(NamedTuple):
    """Something published that has not come back."""

    serial: int  # its place among all that this node has published
    record: Record
    letter: Letter
    tickets: list[int]
    operation: Operation
    published: float = 0.0  # monotonic time


@dataclass(slots=True)
class Outbox:
    """Records of one numbering, in their order."""

    newest: int = 0  # the number given last
    waiting: deque[Waiting] = field(default_factory=deque)

    def settle(self, n: int) -> list[Waiting]:
        """Take out everything up to that number."""
        taken = []
        while self.waiting and self.waiting[0].record.n <= n:
            taken.append(self.waiting.popleft())
        return taken


class Overtaken:
    """Records of positions, of which one says nothing any more when later ones say all it said.

    Positions only move forward, so that nobody misses what is skipped.
    """

    def __init__(self) -> None:
        self._newest: dict[object, int] = {}  # the place of whatever moved last
        self._left: Counter[int] = Counter()  # how much of each place is still the newest

    def add(self, place: int, moves: MoveCursors) -> list[int]:
        """One more; the places that are overtaken by it."""
        moved = [*moves.received, *((one.account, one.conversation) for one in moves.conversations)]
        before = [self._newest[key] for key in moved if key in self._newest]
        self._newest.update(dict.fromkeys(moved, place))
        self._left.update({place: len(moved)})
        self._left.subtract(before)
        gone = [one for one in dict.fromkeys(before) if not self._left[one]]
        for one in gone:
            del self._left[one]
        return gone


def pieces(moves: MoveCursors) -> Iterable[MoveCursors]:
    """Each small enough for one record."""
    cursors, received = list(moves.conversations), list(moves.received.items())
    for start in range(0, max(len(cursors), len(received), 1), CURSORS):
        end = start + CURSORS
        yield MoveCursors(dict(received[start:end]), cursors[start:end])
