"""A hub on a bench: effects carried out on lists, a store that answers when told, time a number."""

from itertools import count

import msgspec

from chatd.core.effects import (
    Alarm,
    Close,
    Happened,
    Hash,
    Now,
    Opened,
    Probe,
    Send,
    Slow,
    Stop,
    Submit,
    Tell,
    Verify,
)
from chatd.core.handover import Handed, expect, hand_over
from chatd.core.hub import Hub, Kept, Setup
from chatd.net.timers import Timers
from chatd.store.memory import MemoryStore
from chatd.store.sqlite import SqliteStore
from chatd.wire.messages import Hello, Message, Ping, Pong

WALL = 1_700_000_000_000  # milliseconds since 1970 at second 0 of a bench


def reopened(store):
    """What the next process finds: the same files, or the same memory."""
    if isinstance(store, SqliteStore):
        store.close()
        return type(store)(store.path.parent)
    return store


class Bench:
    """`say` as a connection, `got` what it was sent, `wait` for a time to pass."""

    def __init__(
        self,
        accounts=(),
        *,
        answers=True,
        checks=True,
        drains=True,
        store=None,
        time=1000.0,
        tokens=None,
        first_number=0,
        **setup,
    ):
        """Without `answers` the store waits for `commit`, without `checks` the pool for `check`.

        Without `drains` nobody takes what is queued for plain peers before `drain`.
        """
        self.store = store or MemoryStore()
        self.answers, self.checks, self.drains = answers, checks, drains
        self.time = time
        self.jumped = 0  # milliseconds by which somebody has set the clock of the wall
        self._setup = setup
        self._first_number = first_number
        self._tokens = tokens or count(1)
        self.inboxes: dict[int, list[Message]] = {}
        self.opened: dict[int, bool] = {}
        self.closed: list[int] = []
        self.probed: list[int] = []
        self.slowed: list[tuple[int, float]] = []
        self.events: list[tuple[str, dict]] = []
        self.stopped = ""
        self._work: list[Verify | Hash] = []
        self._to_tell: list[int] = []
        self._alarms = Timers()
        self._conns = count(1)
        self.hub = Hub(
            Setup(epoch=self.store.epoch, **setup),
            self._kept(accounts),
            lambda: f"token{next(self._tokens)}",
            self.now,
        )

    def _kept(self, accounts) -> Kept:
        store = self.store
        return Kept(
            accounts=[*store.accounts(), *accounts],
            groups=store.groups(),
            cursors=store.cursors(),
            waiting=store.waiting(),
            seq=store.last_seq(),
            purged=store.purged(),
            first_number=max(
                [self._first_number, store.first_free_number(), *(a.number + 1 for a in accounts)]
            ),
        )

    def upgraded(self) -> "Bench":
        """A new hub that takes over from this one, a moment later."""
        handed, effects = hand_over(self.hub, self.now)
        self.run(effects)
        self.commit()
        handed = msgspec.json.decode(msgspec.json.encode(handed), type=Handed)
        after = self.restarted(first_number=handed.first_number)
        after.run(expect(after.hub, handed, after.now))
        return after

    def restarted(self, **more) -> "Bench":
        """A new hub, a moment later, on what this one's store has kept."""
        return Bench(
            answers=self.answers,
            checks=self.checks,
            drains=self.drains,
            store=reopened(self.store),
            time=self.time + 1,
            tokens=self._tokens,
            **self._setup,
            **more,
        )

    @property
    def now(self) -> Now:
        return Now(self.time, WALL + self.jumped + round(self.time * 1000))

    # --- what happens -----------------------------------------------------------------------------

    def connect(self, address="10.0.0.1") -> int:
        conn = next(self._conns)
        self.inboxes[conn] = []
        self.run(self.hub.connected(conn, address, f"{address}:{40_000 + conn}", self.now))
        return conn

    def say(self, conn: int, *items) -> list[Message]:
        """These arrive in one turn; what that connection was sent by its end."""
        self.run(self.hub.received(conn, items, self.now))
        self.turn_ends()
        return self.got(conn)

    def join(self, name=None, address="10.0.0.1", *, plain=False, **fields) -> int:
        """A connection with a session; its `welcome` and everybody's notices are taken away."""
        conn = self.connect(address)
        fields |= {} if plain else {"v": 1}
        self.say(conn, Hello(name=name, **fields))
        assert conn in self.opened, self.inboxes[conn]
        for inbox in self.inboxes.values():
            inbox.clear()
        return conn

    def enter(self, name=None, *, plain=False, **fields) -> tuple[int, Message, list[Message]]:
        """A connection with a session, its `welcome`, and what waited for it."""
        conn = self.connect()
        first, *rest = self.say(conn, Hello(name=name, **fields, **({} if plain else {"v": 1})))
        assert conn in self.opened, first
        return conn, first, rest

    def lose(self, conn: int, why="eof"):
        self.run(self.hub.lost(conn, why, self.now))
        self.turn_ends()

    def wait(self, seconds: float):
        """Time passes, alarm by alarm."""
        until = self.time + seconds
        while (delay := self._alarms.delay(self.time)) is not None and self.time + delay <= until:
            self.time += delay
            for call in self._alarms.due(self.time):
                call()
            self.turn_ends()
        self.time = until

    def got(self, conn: int) -> list[Message]:
        """What this connection was sent since the last call."""
        taken, self.inboxes[conn] = self.inboxes[conn], []
        return taken

    def settle(self, conn: int) -> list[Message]:
        """Everything in front of a `pong`."""
        *before, last = self.say(conn, Ping(n=0))
        assert last == Pong(n=0)
        return before

    def happened(self, event: str) -> list[dict]:
        return [fields for name, fields in self.events if name == event]

    # --- answers ----------------------------------------------------------------------------------

    def turn_ends(self):
        if self.checks:
            self.check()
        self.news()
        if self.answers:
            self.commit()
            self.news()
        if self.drains:
            self.drain()

    def drain(self):
        """The plain peers take what is queued for them, and what comes then."""
        while told := self._to_tell:
            self._to_tell = []
            for conn in told:
                self.run(self.hub.taken(conn, self.now))
            if self.answers:
                self.commit()

    def commit(self):
        while self._flush() or self._answer():
            pass

    def news(self):
        self.run(self.hub.news())

    def _flush(self) -> bool:
        effects = self.hub.flush(self.now)
        self.run(effects)
        return bool(effects)

    def _answer(self) -> bool:
        completions = self.store.completions()
        for done in completions:
            self.run(self.hub.completed(done, self.now))
        return bool(completions)

    def check(self):
        """The pool works: a stored password is plain text here, a hash is `hash of ...`."""
        work, self._work = self._work, []
        for one in work:
            if isinstance(one, Verify):
                good = one.stored in (one.password, f"hash of {one.password}")
                self.run(self.hub.verified(one.ticket, good, self.now))
            else:
                self.run(self.hub.hashed(one.ticket, f"hash of {one.password}", self.now))

    # --- effects ----------------------------------------------------------------------------------

    def run(self, effects):
        for effect in effects:
            self.act(effect)

    def act(self, effect):  # noqa: C901 - one row per effect
        match effect:
            case Send(to, message, omitted):
                for conn in to:
                    if conn not in self.closed and conn != omitted:
                        self.inboxes[conn].append(message)
            case Opened(conn, plain):
                assert conn not in self.closed, "a session for a connection that is closed"
                self.opened[conn] = plain
            case Tell(conn):
                self._to_tell.append(conn)
            case Close(conn):
                self.closed.append(conn)
            case Probe(conn):
                self.probed.append(conn)
            case Slow(conn, seconds):
                self.slowed.append((conn, seconds))
            case Submit(ticket, operation):
                self.store.submit(ticket, operation)
            case Verify() | Hash():
                self._work.append(effect)
            case Alarm(seconds, kind, conn):
                self._alarms.at(
                    self.time + seconds, lambda: self.run(self.hub.alarm(kind, conn, self.now))
                )
            case Happened(event, fields):
                self.events.append((event, dict(fields)))
            case Stop(reason):
                self.stopped = reason
            case _:
                raise AssertionError(effect)
