"""What the daemon allows in time and number, and who has used it up. Time is an argument."""

from __future__ import annotations

from collections import OrderedDict
from typing import Annotated

from msgspec import Meta, Struct

Seconds = Annotated[float, Meta(gt=0, le=366 * 86_400.0)]
Number = Annotated[int, Meta(ge=1, le=1_000_000_000)]


class Limits(Struct, frozen=True, forbid_unknown_fields=True):
    """The bounds of one daemon; its fields are the names in a file of limits."""

    hello: Seconds = 30.0  # from connecting to `hello`, where nothing at all comes
    slow_hello: Seconds = 120.0  # ... where something came: a hundred bytes at one a second
    handshake: Seconds = 10.0  # of TLS, from its first byte to its end
    ping: Seconds = 30.0  # between two questions whether an extended peer is there
    misses: Number = 3  # unanswered pings in a row
    probe: Seconds = 3.0  # how long the holder of a wanted name has for a sign of life
    garbage: Number = 10  # unreadable objects in a row
    tries: Number = 5  # failed log-ins of one address within `tries_within`
    tries_within: Seconds = 60.0
    reading: Seconds = 600.0  # a full window without any confirmation
    # Before others are told that a session which can resume is lost; 0: at once.
    grace: Annotated[float, Meta(ge=0, le=366 * 86_400.0)] = 30.0
    retry: Seconds = 1.0  # between two tries of what the store has refused
    purge: Seconds = 3600.0  # between two looks for what is too old
    queue: Number = 10_000  # messages that wait for one absent person
    inbox: Number = 8192  # requests that wait for an answer of the store or the pool
    max_clients: Annotated[int, Meta(ge=0)] = 0  # connections at once, for the loop; 0: no bound


class Tries:
    """Counts failed log-ins by address, for the most recent addresses only."""

    REMEMBERED = 4096  # addresses: what many strangers at once may cost in memory

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._failed: OrderedDict[str, list[float]] = OrderedDict()

    def failed(self, address: str, now: float) -> None:
        """One more failure of that address."""
        self._failed[address] = [*self._recent(address, now), now]
        self._failed.move_to_end(address)
        if len(self._failed) > self.REMEMBERED:
            self._failed.popitem(last=False)

    def wait(self, address: str, now: float) -> float:
        """How long that address has to wait before it may try again: 0 for at once."""
        recent = self._recent(address, now)
        if len(recent) < self.limits.tries:
            return 0.0
        return max(0.0, recent[-self.limits.tries] + self.limits.tries_within - now)

    def _recent(self, address: str, now: float) -> list[float]:
        since = now - self.limits.tries_within
        return [moment for moment in self._failed.get(address, ()) if moment > since]
