"""What became of one's own messages: stored, queued, delivered, read; by person and group.

The server tells it by acknowledgements and receipts, which are positions and not rows: everything
up to a number of the log was delivered, or read. Nothing here does any I/O.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field

from chatd.wire.messages import Ack, Receipt
from chatd.wire.names import same

KEPT = 1000  # own messages of one conversation whose state is remembered
AWAY = "waits for their return"


@dataclass(slots=True)
class Sent:
    """Own messages to one person or group, by their numbers; positions are by receiver."""

    to: str
    group: bool = False
    seqs: deque[int] = field(default_factory=lambda: deque(maxlen=KEPT))
    delivered: dict[str, int] = field(default_factory=dict)
    read: dict[str, int] = field(default_factory=dict)
    unshared: set[str] = field(default_factory=set)
    absent: tuple[str, ...] = ()  # when the newest one was stored

    @property
    def state(self) -> str:
        """What became of the newest one, in few words."""
        got, read = self._newest(self.delivered), self._newest(self.read)
        if not self.group:
            waiting = AWAY if self.absent else "stored"
            return "read" if read else "delivered" if got else waiting
        counts = ((len(got), "delivered to"), (len(read), "read by"))
        reached = [f"{what} {count}" for count, what in counts if count]
        away = [f"waits for {name}" for name in self.absent if name not in got]
        return ", ".join([*reached, *away]) or "stored"

    def _newest(self, positions: dict[str, int]) -> list[str]:
        """Who has reached the newest one."""
        return [name for name, position in positions.items() if position >= self.seqs[-1]]

    def line(self) -> str:
        """All of them: counts for a person; for a group, whose members differ, the newest one."""
        stored = f"to {self.to}: {len(self.seqs)} stored"
        if self.group:
            return f"{stored}; the newest: {self.state}"
        delivered = self._reached(self.delivered)
        read = f"{self._reached(self.read)} read"
        parts = [
            stored,
            f"{delivered} delivered",
            "what is read is not shared" if self.unshared else read,
            *([AWAY] if self.absent and delivered < len(self.seqs) else []),
        ]
        return ", ".join(parts)

    def _reached(self, positions: dict[str, int]) -> int:
        furthest = max(positions.values(), default=0)
        return sum(seq <= furthest for seq in self.seqs)


class Statuses:
    """Every conversation in which something was said from here. Any thread may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sent: dict[str, Sent] = {}  # by the folded name of the person or group
        self._last = ""

    def acknowledged(self, to: str, ack: Ack, *, group: bool = False) -> None:
        """A message is stored."""
        with self._lock:
            self._last = same(to)
            sent = self._sent.setdefault(self._last, Sent(to, group))
            if ack.seq not in sent.seqs:
                sent.seqs.append(ack.seq)
            sent.absent = tuple(ack.absent)

    def reported(self, receipt: Receipt) -> bool:
        """Somebody has received, or read; whether that changes `newest`."""
        with self._lock:
            before = self._newest()
            sent = self._sent.get(same(receipt.group or receipt.by))
            if sent is not None:
                sent.delivered[receipt.by] = receipt.delivered
                if receipt.read is not None:
                    sent.read[receipt.by] = receipt.read
                note = sent.unshared.add if receipt.unshared else sent.unshared.discard
                note(receipt.by)
            return self._newest() != before

    def renamed(self, old: str, new: str) -> None:
        """A person or a group has another name now."""
        with self._lock:
            sent = self._sent.pop(same(old), None)
            if sent is None:
                return
            sent.to = new
            for positions in (sent.delivered, sent.read):
                if old in positions:
                    positions[new] = positions.pop(old)
            self._sent[same(new)] = sent
            self._last = same(new) if self._last == same(old) else self._last

    @property
    def newest(self) -> str:
        """The state of what was said last, for a status line; empty where nothing was."""
        with self._lock:
            return self._newest()

    def _newest(self) -> str:
        sent = self._sent.get(self._last)
        return f"to {sent.to}: {sent.state}" if sent else ""

    def lines(self, name: str = "") -> list[str]:
        """A line for each conversation, or for the one of that name."""
        with self._lock:
            return [
                sent.line() for key, sent in self._sent.items() if not name or key == same(name)
            ]
