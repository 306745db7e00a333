"""The keeper for several daemons: it publishes what is asked for, and applies what comes back.

Everything true is in the stream. Every node reads all of it (`chatd.cluster.link`), rules by the
same rules (`chatd.cluster.book`), and keeps a copy for the queries: the SQLite store in a folder of
its own that is emptied at each start. Nothing is answered before it has come back.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections import deque
from collections.abc import Callable, Sequence
from itertools import chain, count
from pathlib import Path
from typing import Any

import msgspec

from chatd.cluster.book import Book, Node, Ruling
from chatd.cluster.link import LEASE, Again, Arrived, Flow, Item, Letter, Link, Silent, Tick
from chatd.cluster.outbox import Outbox, Overtaken, Waiting, pieces
from chatd.cluster.records import (
    Arrive,
    Dead,
    Entering,
    Fencing,
    Forget,
    Leaving,
    Moving,
    Ordering,
    Put,
    Record,
    Said,
    Settings,
    What,
    decode,
    encode,
    tail,
)
from chatd.core.effects import (
    Account,
    Append,
    Appended,
    Came,
    Completion,
    Cursor,
    Enter,
    Entered,
    Expelled,
    Failed,
    Fellows,
    Fence,
    Find,
    Forgot,
    KeptGroup,
    Known,
    Leave,
    MoveCursors,
    Moved,
    News,
    Operation,
    Order,
    Ordered,
    Outrun,
    Purge,
    PutAccount,
    Recall,
    Row,
    Stored,
    Touch,
    Trouble,
    Went,
)
from chatd.store.memory import again
from chatd.store.sqlite import COPY, FILE, WHOLE, SqliteStore, lock
from chatd.wire.errors import ErrorCode, StoreError

NODE = "node"  # in the data folder: the name of this node
AT_ONCE = 2000  # records applied in one turn: about 50 ms
BOUND = 10_000  # records that have not come back: about two seconds of what one node can send
BYTES = 32 * 1024 * 1024  # ... of so many bytes
IDLE = 3  # seconds in which nothing came: whether the stream takes anything is asked
STUCK = 2  # seconds without a record coming back: they are sent again
SILENT = 4  # ... then something is wrong
HOPELESS = 20  # ... and whoever waits for a fence is answered without one: it shows that we live
STARTING = 30  # ... at the start
ENDING = 2  # ... at the end
# Seconds until a record that says nothing any more is deleted. Longer than any node reads behind
# the others: whether a node is dead depends on all that it has published, also on a fence.
KEPT = 60
NO_ECHO = "NATS does not bring back what is published: has it a quorum?"
TAKEN = "taken for dead by the others: {} had not heard of this node for a while"
COPIED = (
    "another node was started with a copy of this folder, at {}: this one goes on as a new node;"
    f" copy no file {NODE} to another machine"
)
FEW = "the log has {}: where NATS has three servers, --replicas 3 keeps it safe when one is lost"
GONE = "the stream"  # the beginning of a trouble that has no end
NUMBERS = 24  # bits: accounts and groups that one node can make in one life


class ClusterStore:
    """Keeps the promise of `chatd.store.base.Store` in a stream of NATS JetStream.

    The copy is in `folder`, and made anew. With `filling` the stream is, too, and nobody else's
    before `finish`. Raises `StoreError` where there is no such stream.
    """

    def __init__(
        self,
        servers: Sequence[str],
        folder: Path,
        *,
        name: str = "chatd",
        replicas: int = 0,
        settings: Settings | None = None,
        where: str = "",
        filling: bool = False,
    ) -> None:
        self._settings = settings or Settings()
        self._folder = folder
        self._where = where
        self._book = Book()
        self._messages, self._others = Outbox(), Outbox()
        self._fresh: list[Letter] = []  # not handed over yet
        self._serials = count(1)
        self._done: list[Completion | News] = []
        self._size = 0  # bytes that have not come back
        self._stuck = 0  # ticks since something has
        self._sent_again = False  # ... in which everything was sent again
        self._refused = ""  # ... in which NATS said this
        self._trouble = ""
        # Places that say nothing any more, of each of the last seconds.
        self._useless: deque[list[int]] = deque([] for _ in range(KEPT))
        self._overtaken = Overtaken()
        self._ticks = 0
        self._idle = 0  # ticks since anything has come
        self._unwell = -LEASE - 1.0  # the last tick at which nothing came back
        self._suspects: dict[str, int] = {}  # silent nodes, and the number of a fence
        self._shown = False  # whether somebody is told what others do
        self.commits = 0
        self.took: list[float] = []
        self._newest_back: Waiting | None = None  # of those that came with the last records
        self.warning = ""
        self.origin = secrets.token_hex(4)
        self._link = Link(servers, name, self.origin, filling=filling)
        self._copy: SqliteStore | None = None
        self._lock = -1
        try:
            log = self._link.open(replicas)
            self.epoch = log.epoch
            if log.forgotten is not None:
                self._book.forgotten = decode(log.forgotten).what.upto  # type: ignore[union-attr]
            kind = f"{'new, ' if log.new else ''}{_number(log.replicas)}"
            self.about = f"data: stream {name} of NATS, {kind}; copy: {folder}"
            self.warning = FEW.format(_number(log.replicas)) if log.may_have_more else ""
            self._lock, self._copy = _empty_copy(folder, self.epoch)
            self._begin()
        except BaseException:
            self.close()
            raise

    @property
    def copy(self) -> SqliteStore:
        """What this node has read, for queries."""
        assert self._copy is not None
        return self._copy

    # --- the start ------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Come, and read everything up to there. Raises `StoreError`."""
        self._arrive(self._heir_of())
        self._wait_for_others()
        self._check_others()
        self._wait_for_others()
        self._shown = True
        self._done.clear()
        fellows = [one.where for origin, one in self._book.nodes.items() if origin != self.origin]
        self._watch(f"here, with {', '.join(fellows)}" if fellows else "")
        self.copy.note("epoch", self.epoch)

    def _wait_for_others(self) -> None:
        while self._others.waiting:
            self.wait()

    def wait(self) -> None:
        """Take in what comes next, where there is no loop that does, and the end of any trouble.

        Raises `StoreError` where that takes too long.
        """
        began = self._ticks
        while True:
            seconds = max(self._stuck, self._ticks - began)
            if seconds > STARTING or self._trouble.startswith(GONE):
                raise StoreError(self._trouble or "NATS does not bring back what is published")
            self._send()
            self._link.wait()
            self.take_in()
            if not self._trouble:
                return

    def finish(self) -> None:
        """The stream is filled: from here on it is a log for everybody. Raises `StoreError`."""
        self._link.finish()

    def _check_others(self) -> None:
        """Nodes with other settings may have died lately: for so long they are waited for."""
        seconds = self._ticks + LEASE + 2
        while strangers := [one for one in self._book.nodes.values() if self._is_strange(one)]:
            if self._ticks > seconds:
                self._publish(Dead(self.origin), Touch(), [])
                self._send()
                raise StoreError(
                    f"another cluster uses this stream: {strangers[0].where} runs with"
                    f" {strangers[0].settings}, this is {self._settings}; give this cluster a"
                    " stream of its own: nats://HOST:PORT/NAME"
                )
            self.wait()

    def _is_strange(self, node: Node) -> bool:
        return node.settings != self._settings

    # --- what is asked for ----------------------------------------------------------------------

    def fileno(self) -> int:
        """Readable when `completions` has something that nobody has waited for."""
        return self._link.fileno()

    def submit(self, ticket: int, operation: Operation) -> None:
        """See `Store`."""
        SUBMIT[type(operation)](self, ticket, operation)

    def find(self, ticket: int, operation: Find) -> None:
        """A query of the copy."""
        self.copy.submit(ticket, operation)
        self._done += self.copy.completions()

    def append(self, ticket: int, operation: Append) -> None:
        """One entry, with what becomes true by it."""
        entry = operation.entry
        if entry.id is not None and not self._messages.waiting:
            first = self.copy.first(entry.author, entry.id)
            if first is not None:
                self._done.append(again(ticket, first, entry))
                return
        self._within_bounds(ticket, operation, Said(operation))

    def put_account(self, ticket: int, operation: PutAccount) -> None:
        """Make or replace an account."""
        self._within_bounds(ticket, operation, Put(operation))

    def enter(self, ticket: int, operation: Enter) -> None:
        """Ask for a session."""
        self._within_bounds(ticket, operation, Entering(operation))

    def leave(self, ticket: int, operation: Leave) -> None:
        """Give it back: whatever the bound is."""
        self._publish(Leaving(operation), operation, [ticket])

    def order(self, ticket: int, operation: Order) -> None:
        """Tell the others to do something."""
        self._within_bounds(ticket, operation, Ordering(operation))

    def move_cursors(self, ticket: int, operation: MoveCursors) -> None:
        """Positions move forward."""
        if self._is_full():
            self._done.append(self._full(ticket))
            return
        *others, last = pieces(operation)
        for piece in others:
            self._publish(Moving(piece), piece, [])
        self._publish(Moving(last), last, [ticket])

    def fence(self, ticket: int, operation: Fence | Touch | Recall) -> None:
        """All that are asked for in one turn share one record."""
        if not isinstance(operation, Recall) and self._fresh and self._others.waiting:
            newest = self._others.waiting[-1]
            last = newest.letter is self._fresh[-1] and newest.operation == operation
            if last:
                newest.tickets.append(ticket)
                return
        if isinstance(operation, Fence) and self._stuck < HOPELESS:
            self._publish(Fencing(), operation, [ticket])
        else:
            self._within_bounds(ticket, operation, Fencing())

    def purge(self, ticket: int, operation: Purge) -> None:
        """Let all copies forget what is too old in this one."""
        upto = self.copy.too_old(operation)
        if upto <= self.copy.purged():
            self._done.append(Stored(ticket, self.copy.purged()))
            return
        self._within_bounds(ticket, operation, Forget(upto))

    def _within_bounds(self, ticket: int, operation: Operation, what: What) -> None:
        if self._is_full():
            self._done.append(self._full(ticket))
        else:
            self._publish(what, operation, [ticket])

    def _is_full(self) -> bool:
        waiting = len(self._messages.waiting) + len(self._others.waiting)
        return bool(self._trouble) or waiting >= BOUND or self._size >= BYTES

    def _full(self, ticket: int) -> Failed:
        why = self._trouble or "more is said than NATS takes"
        return Failed(ticket, ErrorCode.STORAGE_FULL, why)

    def _publish(self, what: What, operation: Operation, tickets: list[int]) -> None:
        alone = isinstance(what, Said) and not what.append.changes
        box = self._messages if alone else self._others
        record, letter = self._written(box, what)
        serial, now = next(self._serials), self._link.now()
        box.waiting.append(Waiting(serial, record, letter, tickets, operation, now))
        self._fresh.append(letter)
        self._size += len(letter.data)

    def _written(self, box: Outbox, what: What) -> tuple[Record, Letter]:
        """A record with the next number of that numbering."""
        box.newest += 1
        record = Record(self.origin, box.newest, self._book.place, what)
        return record, Letter(tail(record), encode(record))

    def _send(self) -> None:
        """Hand over what this turn has brought."""
        if self._fresh:
            self._link.publish(self._fresh)
            self._fresh = []

    def _send_again(self) -> None:
        """Everything that has not come back; what comes back twice is true once."""
        self._sent_again = True
        waiting = sorted([*self._others.waiting, *self._messages.waiting])
        self._fresh = [one.letter for one in waiting]
        self._send()

    # --- what comes back ------------------------------------------------------------------------

    def completions(self) -> list[Completion | News]:
        """See `Store`; what others have done is among them."""
        self._send()
        done, self._done = self._done, []
        return done

    def take_in(self) -> None:
        """Read what has come; a turn does so once, so that it has an end."""
        items = self._link.take(AT_ONCE)
        for item in items:
            ITEMS[type(item)](self, item)
        if any(isinstance(item, Arrived) for item in items):
            if self._idle >= STUCK:  # the stream takes something again: ours was lost
                self._send_again()
            self._idle = 0
            self._keep_copy()

    def _keep_copy(self) -> None:
        """One transaction for all that came. A copy that misses something is none: `StoreError`."""
        for done in self.copy.completions():
            if isinstance(done, Failed):
                raise StoreError(f"the copy {self.copy.path} cannot be written: {done.why}")
        self.commits += 1
        if self._newest_back is not None:
            self.took.append(self._link.now() - self._newest_back.published)
            self._newest_back = None

    def arrived(self, item: Arrived) -> None:
        """A record of the stream."""
        try:
            record = decode(item.data)
        except msgspec.MsgspecError:
            return  # somebody has written into the stream by hand
        ruling = self._book.rule(item.place, record, item.ts)
        self._stuck = self._stuck if self._shown else 0  # at the start whatever comes is progress
        own = self._settle(record) if record.origin == self.origin else None
        if ruling is Ruling.TRUE:
            APPLY[type(record.what)](self, item.place, record, own)
            superseded = self._book.superseded(item.place, record)
            self._useless[-1] += superseded if record.origin == self.origin else []
            return
        if record.origin == self.origin or ruling is Ruling.OUTRUN or isinstance(record.what, Dead):
            # What has lost by all who read it: its node may die before it does so, and to who comes
            # later it would be true when what it lost against has been replaced.
            self._link.delete([item.place])
        if record.origin == self.origin and ruling is Ruling.EARLY and not self._sent_again:
            self._send_again()
        if own:
            self._not_true(own, ruling)

    def _not_true(self, own: Waiting, ruling: Ruling) -> None:
        if self.origin not in self._book.nodes:  # that we have come was lost, and is said again
            self._lost(own)
            return
        over = isinstance(own.record.what, Leaving) and ruling is Ruling.LATE
        self._done += [(Stored if over else Outrun)(ticket) for ticket in own.tickets]

    def _settle(self, record: Record) -> Waiting | None:
        """What was waited for is back; what was published before it and is not, is lost."""
        if record.is_message:
            return self._settle_message(record)
        settled = self._others.settle(record.n)
        own = settled.pop() if settled and settled[-1].record.n == record.n else None
        for one in settled:
            self._size -= len(one.letter.data)
            self._lost(one)
        self._back(own)
        return own

    def _settle_message(self, record: Record) -> Waiting | None:
        """These are true strictly one after the other: nothing before it can be missing."""
        node = self._book.nodes.get(self.origin)
        if node is None or node.messages != record.n:
            return None
        settled = self._messages.settle(record.n)
        own = settled[-1] if settled else None
        self._back(own)
        return own

    def _back(self, own: Waiting | None) -> None:
        if own is not None:
            self._stuck, self._sent_again, self._refused = 0, False, ""
            self._size -= len(own.letter.data)
            self._newest_back = own

    def _lost(self, one: Waiting) -> None:
        """Later ones have come back: say it anew, or decide it anew."""
        if isinstance(one.record.what, Fencing):
            self._answer_fence(one)
        elif isinstance(one.record.what, Put | Entering | Said):
            self._done += [Outrun(ticket) for ticket in one.tickets]
        else:
            self._publish(one.record.what, one.operation, one.tickets)

    # --- what is true ---------------------------------------------------------------------------

    def _tell(self, news: News) -> None:
        if self._shown:
            self._done.append(news)

    def apply_said(self, place: int, record: Record, own: Waiting | None) -> None:
        """An entry of the log."""
        assert isinstance(record.what, Said)
        append = record.what.append
        done = self.copy.append_as(place, append)
        if own:
            self._done += [msgspec.structs.replace(done, ticket=one) for one in own.tickets]
        elif isinstance(done, Stored) and not done.dup:
            self._tell(Appended(Row(place, append.entry), append.changes))

    def _stored(self, own: Waiting) -> None:
        self._done += [Stored(ticket) for ticket in own.tickets]

    def apply_put(self, place: int, record: Record, own: Waiting | None) -> None:
        """An account."""
        assert isinstance(record.what, Put)
        self._keep(record.what.put.account)
        if own:
            self._stored(own)
        else:
            self._tell(Known(record.what.put.account))

    def apply_entering(self, place: int, record: Record, own: Waiting | None) -> None:
        """A session."""
        assert isinstance(record.what, Entering)
        enter = record.what.enter
        self._keep(enter.account)
        if own:
            self._done += [Entered(ticket, place) for ticket in own.tickets]
        else:
            self._tell(Came(enter.account, enter.since, place, enter.resumed))

    def apply_leaving(self, place: int, record: Record, own: Waiting | None) -> None:
        """... and its end."""
        assert isinstance(record.what, Leaving)
        leave = record.what.leave
        account = self._book.accounts.get(leave.account.number, leave.account)
        self._keep(account)
        if own:
            self._stored(own)
        else:
            self._tell(Went(account, leave.notice, leave.grace))

    def _keep(self, account: Account) -> None:
        if not account.assigned:
            self.copy.submit(0, PutAccount(account))

    def apply_moving(self, place: int, record: Record, own: Waiting | None) -> None:
        """Positions."""
        assert isinstance(record.what, Moving)
        self.copy.submit(0, record.what.moves)
        if own:
            self._useless[-1] += self._overtaken.add(place, record.what.moves)
            self._stored(own)
        else:
            self._tell(Moved(record.what.moves))

    def apply_ordering(self, place: int, record: Record, own: Waiting | None) -> None:
        """Something to be done elsewhere."""
        assert isinstance(record.what, Ordering)
        if own:
            self._stored(own)
            # Anybody can cause these, as often as they like; the others wait for who is behind.
            passing = record.what.order.kind in ("probe", "failed")
            self._useless[-1] += [place] if passing else []
        else:
            self._tell(Ordered(record.what.order))

    def apply_fencing(self, place: int, record: Record, own: Waiting | None) -> None:
        """Everything before it is applied."""
        if own:
            self._useless[-1].append(place)
            self._answer_fence(own)

    def _answer_fence(self, own: Waiting) -> None:
        self._judge(own.record.n)
        first = self._messages.waiting[0] if self._messages.waiting else own
        if first.serial < own.serial:  # what stands before it was lost, and comes behind it
            self._send_again()
            self._publish(own.record.what, own.operation, own.tickets)
        elif isinstance(own.operation, Recall):
            self._done.append(self.copy.recall(own.tickets[0], own.operation))
        else:
            self._stored(own)

    def apply_forget(self, place: int, record: Record, own: Waiting | None) -> None:
        """Messages are too old."""
        assert isinstance(record.what, Forget)
        gone = self.copy.forget(record.what.upto)
        if own:
            self._link.delete(gone)
            self._done += [Stored(ticket, record.what.upto) for ticket in own.tickets]
        else:
            self._tell(Forgot(record.what.upto))

    def apply_arrive(self, place: int, record: Record, own: Waiting | None) -> None:
        """One more node, perhaps in the place of another."""
        assert isinstance(record.what, Arrive)
        self._release()
        if record.what.heir_of == self.origin:
            self._live_again(COPIED.format(record.what.where))
        if record.origin == self.origin:
            self._tell(Trouble(self._trouble))
        self._watch(_coming(record.what.where, self._book.buried))

    def apply_dead(self, place: int, record: Record, own: Waiting | None) -> None:
        """One node less, and nobody has a session there."""
        assert isinstance(record.what, Dead)
        self._release()
        judge, buried = self._book.nodes.get(record.origin), self._book.buried
        assert buried is not None  # else that was not true
        if judge is None:
            self._watch(f"{buried.where} has gone")
            return
        if record.what.node == self.origin:
            self._live_again(TAKEN.format(judge.where))
        self._watch(f"{buried.where} was silent for {LEASE:g} s: {judge.where} takes it for dead")

    def _release(self) -> None:
        for account, holder in self._book.released:
            self._keep(account)
            if holder.origin != self.origin:
                self._tell(Went(account, "lost", not holder.plain))

    def _watch(self, about: str) -> None:
        others = [one for one in self._book.nodes if one != self.origin]
        self._link.watch(others)
        self._tell(Fellows(len(others), about))

    def _live_again(self, why: str) -> None:
        """To the others we are no more: nothing of what has not come back will be true."""
        lost = [*self._others.waiting, *self._messages.waiting]
        self._done.append(Expelled(why))
        for one in lost:
            self._done += [_in_vain(one, ticket, why) for ticket in one.tickets]
        self._messages, self._others, self._size = Outbox(), Outbox(), 0
        self._fresh.clear()
        self._suspects.clear()
        self.origin = secrets.token_hex(4)
        self._link.live_as(self.origin)
        with contextlib.suppress(OSError):  # whoever starts here next waits for a lease
            self._sign()
        # Nobody's heir: where two have one folder, each would bury the other for ever.
        self._arrive("")

    def _arrive(self, heir_of: str) -> None:
        """Say who we are, and whom nobody needs to wait for: who was here before."""
        self._publish(Arrive(self._settings, self._where, heir_of), Touch(), [])

    def _heir_of(self) -> str:
        """Who was in this folder before; from now on we are. Raises `StoreError`."""
        path = self._folder / NODE
        try:
            before = path.read_text("ascii", "replace") if path.exists() else ""
            self._sign()
        except OSError as error:
            raise StoreError(f"cannot use {path}: {error.strerror}") from error
        return before

    def _sign(self) -> None:
        path = self._folder / NODE
        path.touch(0o600)
        path.chmod(0o600)
        path.write_text(self.origin, "ascii")

    # --- what else the link says ----------------------------------------------------------------

    def flow(self, item: Flow) -> None:
        """Everything before this is applied."""
        self._link.go_on(item)

    def sent_in_vain(self, item: Again) -> None:
        """Something was refused, or lost with its connection."""
        self._refused = item.why
        self._send_again()

    def silent(self, item: Silent) -> None:
        """A node may be dead, or we are cut off: a fence that comes back shows that we are not."""
        known = item.origin in self._book.nodes and item.origin != self.origin
        if known and item.origin not in self._suspects and self._may_judge():
            self._publish(Fencing(), Touch(), [])
            self._suspects[item.origin] = self._others.newest

    def _judge(self, fence: int) -> None:
        """Said once, and not again if it is lost: it is only true if nothing came meanwhile."""
        suspects = [one for one, number in self._suspects.items() if number <= fence]
        for one in suspects:
            del self._suspects[one]
            if one in self._book.nodes and self._may_judge():
                self._send()
                self._link.publish([self._written(self._others, Dead(one))[1]])

    def _may_judge(self) -> bool:
        """Not who was cut off just now: the signs of life of the others are still on their way."""
        return self._ticks - self._unwell > LEASE

    def ticked(self, item: Tick) -> None:
        """A second is over."""
        self._ticks += 1
        self._ask_the_stream()
        waiting = bool(self._messages.waiting or self._others.waiting)
        self._stuck = self._stuck + 1 if waiting or item.trouble else 0
        self._unwell = self._ticks if self._stuck >= STUCK else self._unwell
        if waiting and self._stuck % STUCK == 0:
            self._send_again()
        self._useless.append([])
        self._link.delete(self._useless.popleft())
        trouble = item.trouble if item.last_words or self._stuck > STUCK else ""
        if not trouble and waiting and self._stuck >= SILENT:
            trouble = self._refused or NO_ECHO
        self._say(trouble)
        if self._trouble:
            self._give_up(Touch)  # that is the answer to it
        if self._stuck >= HOPELESS:
            self._give_up(Fence)

    def _say(self, trouble: str) -> None:
        if trouble != self._trouble and not self._trouble.startswith(GONE):
            self._trouble = trouble
            self._tell(Trouble(trouble))

    def _ask_the_stream(self) -> None:
        """Whether it takes anything is seen only where something is said: if nobody does, by us."""
        self._idle += 1
        asked = self._messages.waiting or self._others.waiting
        if self._shown and not asked and (self._idle >= IDLE or self._trouble):
            self._publish(Fencing(), Touch(), [])

    def _give_up(self, kind: type[Operation]) -> None:
        for one in self._others.waiting:
            if isinstance(one.operation, kind):
                self._done += [self._full(ticket) for ticket in one.tickets]
                one.tickets.clear()

    # --- what is kept ---------------------------------------------------------------------------

    def last_seq(self) -> int:
        """See `Store`."""
        return self.copy.last_seq()

    def first_free_number(self) -> int:
        """See `Store`: no two nodes have one that is the same."""
        own = self._book.nodes[self.origin].arrived << NUMBERS
        return max(own, self.copy.first_free_number())

    def accounts(self) -> list[Account]:
        """See `Store`."""
        return self.copy.accounts()

    def groups(self) -> list[KeptGroup]:
        """See `Store`."""
        return self.copy.groups()

    def cursors(self) -> list[Cursor]:
        """See `Store`."""
        return self.copy.cursors()

    def waiting(self) -> dict[int, int]:
        """See `Store`."""
        return self.copy.waiting()

    def purged(self) -> int:
        """See `Store`."""
        return self.copy.purged()

    def entries(self, after: int, limit: int) -> list[Row]:
        """See `Store`."""
        return self.copy.entries(after, limit)

    def elsewhere(self) -> list[Came]:
        """Who has a session on another node."""
        return [
            Came(self._book.accounts[number], holder.since, holder.claim)
            for number, holder in self._book.holders.items()
            if holder.origin != self.origin
        ]

    def close(self) -> None:
        """See `Store`; the others are told that this node is no more."""
        if self._shown:
            self._publish(Dead(self.origin), Touch(), [])
            self._send()
            self._link.delete(chain.from_iterable(self._useless))
            self._shown = False
            with contextlib.suppress(StoreError):
                self._read_to_the_end()
        self._link.close()
        if self._copy is not None:
            self._copy.close()
            self._copy = None
            os.close(self._lock)

    def _read_to_the_end(self) -> None:
        """Up to our own death, if NATS has it in time; then it is known whether anybody is left."""
        end = self._ticks + ENDING
        while self._others.waiting and not self._trouble and self._ticks < end:
            self._link.wait()
            self.take_in()
        if not self._others.waiting and not self._book.nodes:
            self.copy.note("copy", WHOLE)


def _in_vain(one: Waiting, ticket: int, why: str) -> Outrun | Failed:
    """The answer to what a node that is no more has asked for: a log-in may try again."""
    if isinstance(one.operation, Enter):
        return Outrun(ticket)
    return Failed(ticket, ErrorCode.STORAGE_FULL, why)


def _coming(where: str, buried: Node | None) -> str:
    """What is told of a node that has come, perhaps in the place of another."""
    if buried is None:
        return f"{where} has come"
    if buried.where == where:
        return f"{where} has come again"
    return f"{where} has come with the folder of {buried.where}, which is taken for gone"


def _number(replicas: int) -> str:
    return f"{replicas} replicas" if replicas > 1 else "1 replica"


def _empty_copy(folder: Path, epoch: str) -> tuple[int, SqliteStore]:
    """The lock on the folder, and a new copy in it, where there is none of another log."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _spare(folder, epoch)
        held = lock(folder)
        shutil.rmtree(folder / COPY, ignore_errors=True)
    except OSError as error:
        raise StoreError(f"cannot use {folder}: {error}") from error
    return held, SqliteStore(folder / COPY, durable=False)


def _spare(folder: Path, epoch: str) -> None:
    """Of a log that is lost this copy may be all that is left. Raises `StoreError`."""
    if not (folder / COPY / FILE).is_file():
        return
    try:
        with contextlib.closing(SqliteStore(folder / COPY, durable=False)) as before:
            other = before.epoch not in ("", epoch) and (before.last_seq() or before.accounts())
    except StoreError:  # in use, or broken by a power failure: no disk was waited for
        return
    if other:
        raise StoreError(
            f"{folder} has a copy of another log than this stream is: name another --data, or keep"
            f" it with `chatd export --data {folder} FILE` and remove {folder / COPY}"
        )


SUBMIT: dict[type, Callable[[ClusterStore, int, Any], None]] = {
    Append: ClusterStore.append,
    PutAccount: ClusterStore.put_account,
    MoveCursors: ClusterStore.move_cursors,
    Find: ClusterStore.find,
    Purge: ClusterStore.purge,
    Recall: ClusterStore.fence,
    Touch: ClusterStore.fence,
    Fence: ClusterStore.fence,
    Enter: ClusterStore.enter,
    Leave: ClusterStore.leave,
    Order: ClusterStore.order,
}
ITEMS: dict[type[Item], Callable[[ClusterStore, Any], None]] = {
    Arrived: ClusterStore.arrived,
    Flow: ClusterStore.flow,
    Again: ClusterStore.sent_in_vain,
    Silent: ClusterStore.silent,
    Tick: ClusterStore.ticked,
}
APPLY: dict[type, Callable[[ClusterStore, int, Record, Waiting | None], None]] = {
    Said: ClusterStore.apply_said,
    Put: ClusterStore.apply_put,
    Entering: ClusterStore.apply_entering,
    Leaving: ClusterStore.apply_leaving,
    Moving: ClusterStore.apply_moving,
    Ordering: ClusterStore.apply_ordering,
    Fencing: ClusterStore.apply_fencing,
    Forget: ClusterStore.apply_forget,
    Arrive: ClusterStore.apply_arrive,
    Dead: ClusterStore.apply_dead,
}
