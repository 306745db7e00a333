"""What the daemon allows in time and number, and who has used it up. Time is an argument.

Who shares an address is not one person: a school sits behind one. So what is counted by address has
room for a crowd, and what is held against one person is held against a session or an account.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Annotated

from msgspec import Meta, Struct

from chatd.wire.messages import MAX_CONTENT, MAX_OBJECT

Seconds = Annotated[float, Meta(gt=0, le=366 * 86_400.0)]
Number = Annotated[int, Meta(ge=1, le=1_000_000_000)]
OrNone = Annotated[int, Meta(ge=0, le=1_000_000_000)]  # 0: no bound


class Limits(Struct, frozen=True, forbid_unknown_fields=True):
    """The bounds of one daemon; its fields are the names in a file of limits."""

    hello: Seconds = 30.0  # from connecting to `hello`, where nothing at all comes
    slow_hello: Seconds = 120.0  # ... where something came: a hundred bytes at one a second
    handshake: Seconds = 10.0  # of TLS, from its first byte to its end
    ping: Seconds = 30.0  # between two questions whether an extended peer is there
    misses: Number = 3  # unanswered pings in a row
    probe: Seconds = 3.0  # how long the holder of a wanted name has for a sign of life
    garbage: Number = 10  # unreadable objects in a row
    tries: Number = 5  # failed log-ins to one name from one address within `tries_within`
    address_tries: Number = 200  # ... to all names: a class whose keyboards are set wrongly
    tries_within: Seconds = 60.0
    reading: Seconds = 600.0  # a full window without any confirmation
    # Before others are told that a session which can resume is lost; 0: at once.
    grace: Annotated[float, Meta(ge=0, le=366 * 86_400.0)] = 30.0
    retry: Seconds = 1.0  # between two tries of what the store has refused
    purge: Seconds = 3600.0  # between two looks for what is too old
    queue: Number = 10_000  # messages that wait for one absent person
    inbox: Number = 8192  # requests that wait for an answer of the store or the pool
    max_clients: OrNone = 0  # connections at once, for the loop; 0: no bound
    per_address: OrNone = 500  # ... of one address: twelve for each of a class behind one router
    rate: Annotated[float, Meta(ge=0, le=1e9)] = 50.0  # requests a second and session; 0: no bound
    burst: Number = 1000  # requests at once, for who has been quiet
    loopback: bool = False  # whether `per_address` and `rate` hold for this machine too
    # Bytes of one object from a client, and of one message's text: less, but never more than what
    # clients and windows are made for.
    object: Annotated[int, Meta(ge=1024, le=MAX_OBJECT)] = MAX_OBJECT
    content: Annotated[int, Meta(ge=1, le=MAX_CONTENT)] = MAX_CONTENT
    unfinished: Seconds = 120.0  # for one object: enough for a hundred bytes at one a second
    members: Number = 1000  # of one group
    apart: Seconds = 0.02  # between two objects to a peer that cannot tell one from the next

    def exempts(self, address: str) -> bool:
        """Whether `per_address` and `rate` do not hold for a numeric address."""
        return is_loopback(address) and not self.loopback


def is_loopback(address: str) -> bool:
    """Whether a numeric address is this machine's own, as the kernel writes it."""
    return address.startswith("127.") or address == "::1"


class Tries:
    """Counts failed log-ins by address and name, and by address, for the most recent ones only.

    To one name a try counts as failed until it has succeeded: of many at once no more are compared
    than may fail. To an address only failures count, since a whole class may log in at once.
    Nothing is counted by name alone: whoever guesses elsewhere keeps nobody from logging in.
    """

    REMEMBERED = 4096  # addresses with names: what many strangers at once may cost in memory

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._failed: OrderedDict[tuple[str, str], list[float]] = OrderedDict()

    def begin(self, address: str, name: str, now: float) -> float:
        """Begin a try: 0.0; or how many seconds it has to wait, and then nothing has begun."""
        of_name = self._wait((address, name), self.limits.tries, now)
        wait = max(of_name, self.wait(address, now))
        if not wait:
            self._note((address, name), now)
        return wait

    def wait(self, address: str, now: float) -> float:
        """How many seconds all tries of this address have to wait."""
        return self._wait((address, ""), self.limits.address_tries, now)

    def failed(self, address: str, now: float) -> None:
        """A try of this address has failed."""
        self._note((address, ""), now)

    def failed_elsewhere(self, address: str, name: str, now: float) -> None:
        """... which another node of a cluster has begun."""
        self._note((address, name), now)
        self.failed(address, now)

    def succeeded(self, address: str, name: str, began: float) -> None:
        """The try that began then was none to count."""
        moments = self._failed.get((address, name), [])
        if began in moments:
            moments.remove(began)

    def _note(self, key: tuple[str, str], now: float) -> None:
        self._failed[key] = [*self._recent(key, now), now]
        self._failed.move_to_end(key)
        if len(self._failed) > self.REMEMBERED:
            self._failed.popitem(last=False)

    def _wait(self, key: tuple[str, str], bound: int, now: float) -> float:
        recent = self._recent(key, now)
        if len(recent) < bound:
            return 0.0
        return max(0.0, recent[-bound] + self.limits.tries_within - now)

    def _recent(self, key: tuple[str, str], now: float) -> list[float]:
        since = now - self.limits.tries_within
        return [moment for moment in self._failed.get(key, ()) if moment > since]


class Bucket:
    """Tokens of one sender: `burst` at first, `rate` more each second, one for a request."""

    BYTES = 4096  # that cost a token more: long requests are work too
    LONGEST = 15.0  # seconds of debt: less than a peer is waited for that does not answer

    __slots__ = ("_at", "_left", "told")

    def __init__(self) -> None:
        self._left = float("inf")
        self._at = 0.0
        self.told = False  # that it is too fast, since it was last at rest

    def take(self, items: int, size: int, now: float, limits: Limits) -> float:
        """Pay for so many requests of so many bytes: the seconds until the next may be read."""
        rate, burst = limits.rate, float(limits.burst)
        if not rate:
            return 0.0
        filled = self._left + (now - self._at) * rate
        self._at = now
        if filled >= burst:
            filled, self.told = burst, False
        self._left = max(filled - items - size / self.BYTES, -rate * self.LONGEST)
        return max(0.0, -self._left / rate)


class Buckets:
    """The buckets of accounts: coming back does not fill one."""

    REMEMBERED = 4096

    def __init__(self) -> None:
        self._known: OrderedDict[int, Bucket] = OrderedDict()

    def of(self, account: int) -> Bucket:
        """The same as before, where that is not long ago."""
        bucket = self._known.setdefault(account, Bucket())
        self._known.move_to_end(account)
        if len(self._known) > self.REMEMBERED:
            self._known.popitem(last=False)
        return bucket


class Sparse:
    """Decides which of many like lines are written, so that a flood does not fill a disk."""

    WINDOW = 60.0  # seconds
    EACH = 10  # lines of one address in that time
    ALL = 100  # ... and of all

    def __init__(self) -> None:
        self.left_out = 0  # lines so far
        self._told = 0  # ... of which a line has told already
        self._began = float("-inf")
        self._written: dict[str, int] = {}  # by address
        self._all = 0

    def admit(self, address: str, now: float) -> int | None:
        """How many were left out before this line; None where it is left out as well."""
        if now - self._began >= self.WINDOW:
            self._began, self._all = now, 0
            self._written.clear()
        written = self._written.get(address, 0)
        if written >= self.EACH or self._all >= self.ALL:
            self.left_out += 1
            return None
        self._written[address] = written + 1
        self._all += 1
        before, self._told = self.left_out - self._told, self.left_out
        return before
