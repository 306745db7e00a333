"""What a node has published and not read yet: it is sent again until it has come back."""

from __future__ import annotations

from collections import deque
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


def pieces(moves: MoveCursors) -> Iterable[MoveCursors]:
    """Each small enough for one record."""
    cursors, received = list(moves.conversations), list(moves.received.items())
    for start in range(0, max(len(cursors), len(received), 1), CURSORS):
        end = start + CURSORS
        yield MoveCursors(dict(received[start:end]), cursors[start:end])
