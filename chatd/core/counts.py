"""What has happened since the start, in plain integers; whoever shows it, reads it here."""

from __future__ import annotations

from collections import Counter

from chatd.core.effects import Kind
from chatd.wire.errors import ErrorCode


class Counts:
    """Only growing, and counted where the thing is decided: once for a message, whoever gets it."""

    __slots__ = ("delays", "deliveries", "errors", "failed_logins", "messages")

    def __init__(self) -> None:
        self.messages: dict[Kind, int] = {"direct": 0, "broadcast": 0, "group": 0}
        self.deliveries = 0  # items of the log, queued for a session
        self.errors: Counter[ErrorCode] = Counter()  # told to peers
        self.delays = 0  # times that a session was read from later, for being too fast
        self.failed_logins = 0  # wrong passwords and unknown names
