"""What became of one's own messages: stored, queued, delivered, read; by person and group.

The server tells it by acknowledgements and receipts, which are positions and not rows: everything
up to a number of the log was delivered, or read. Nothing here does any I/O.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from chatd.wire.messages import Ack, Receipt

KEPT = 1000  # own messages of one conversation whose state is remembered
AWAY = "waits for their return"


@dataclass(slots=True)
class Sent:
    """Own messages of one conversation, by their numbers; positions are those of each receiver."""

    seqs: deque[int] = field(default_factory=lambda: deque(maxlen=KEPT))
    delivered: dict[str, int] = field(default_factory=dict)
    read: dict[str, int] = field(default_factory=dict)
    unshared: set[str] = field(default_factory=set)
    queued: bool = False

    def reached(self, positions: dict[str, int]) -> int:
        """How many of them everybody who reports has reached."""
        least = min(positions.values(), default=0)
        return sum(seq <= least for seq in self.seqs)

    @property
    def state(self) -> str:
        """What became of the newest one, in a word."""
        newest = self.seqs[-1] if self.seqs else 0
        if any(position >= newest for position in self.read.values()):
            return "read"
        if any(position >= newest for position in self.delivered.values()):
            return "delivered"
        return AWAY if self.queued else "stored"


class Statuses:
    """Every conversation in which something was said from here."""

    def __init__(self) -> None:
        self._sent: dict[str, Sent] = {}  # by the name of the person or group
        self._last = ""

    def acknowledged(self, to: str, ack: Ack) -> None:
        """A message is stored."""
        sent = self._sent.setdefault(to, Sent())
        if ack.seq not in sent.seqs:
            sent.seqs.append(ack.seq)
        sent.queued = ack.state == "queued"
        self._last = to

    def reported(self, receipt: Receipt) -> None:
        """Somebody has received, or read."""
        name = receipt.group or receipt.peer or receipt.by
        sent = self._sent.get(name)
        if sent is None:
            return
        sent.delivered[receipt.by] = receipt.delivered
        if receipt.read is not None:
            sent.read[receipt.by] = receipt.read
        if receipt.unshared:
            sent.unshared.add(receipt.by)

    @property
    def newest(self) -> str:
        """The state of what was said last, for a status line; empty where nothing was."""
        sent = self._sent.get(self._last)
        return f"to {self._last}: {sent.state}" if sent else ""

    def lines(self, name: str = "") -> list[str]:
        """A line for each conversation, or for the one of that name."""
        chosen = {to: sent for to, sent in self._sent.items() if name in ("", to)}
        return [_line(to, sent) for to, sent in chosen.items()]


def _line(to: str, sent: Sent) -> str:
    count = len(sent.seqs)
    parts = [f"{count} stored", f"{sent.reached(sent.delivered)} delivered"]
    if sent.unshared:
        parts.append("what is read is not shared")
    else:
        parts.append(f"{sent.reached(sent.read)} read")
    if sent.queued and sent.reached(sent.delivered) < count:
        parts.append(AWAY)
    return f"to {to}: {', '.join(parts)}"
