"""Who is connected under which name, and what reaches whom.

The hub is told what arrived and what became durable, and returns effects; it touches no socket, no
clock and no disk. Two rules hold it together:

* Nobody sees what is not stored: a message is submitted first; its acknowledgement and its
  deliveries are decided in the moment the store answers.
* A session's requests take effect in the order sent: what comes behind a message that the store has
  not answered yet waits in the session's inbox. So a `pong` stands behind every delivery that was
  decided before it, and a `quit` behind the acknowledgements it could cut off.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import count
from typing import Any

from msgspec import Struct, structs

from chatd.core import alarms, commands, elsewhere, flow
from chatd.core.accounts import Accounts
from chatd.core.counts import Counts
from chatd.core.effects import (
    Account,
    Alarm,
    Came,
    Close,
    Completion,
    Cursor,
    Effect,
    Failed,
    Fence,
    Happened,
    KeptGroup,
    News,
    Now,
    Operation,
    Purge,
    PutAccount,
    Send,
    Slow,
    Stop,
    Stored,
    Submit,
    Touch,
)
from chatd.core.limits import Bucket, Buckets, Limits, Tries
from chatd.core.positions import Positions
from chatd.core.rooms import Directory
from chatd.core.session import NO_ITEMS, Crowd, Gone, Item, Live, Session, State
from chatd.wire.errors import FAULTS, ErrorCode, PeerError
from chatd.wire.messages import (
    Bye,
    ByeReason,
    Error,
    Hello,
    Notice,
    NoticeKind,
    OutgoingGroup,
)
from chatd.wire.names import fold
from chatd.wire.text import timestamp

Then = Callable[[Any], list[Effect]]

FAREWELL = FAULTS[ErrorCode.SHUTTING_DOWN].text
NOTICES: dict[NoticeKind, str] = {
    "joined": "{name} has joined.",
    "quit": "{name} is quitting.",
    "lost": "{name} has lost its connection.",
    "removed": "{name} was removed.",
    "renamed": "{name} is now known as {new}.",
}
SOON = 0.05  # seconds between two pieces of a long purge, for those who talk meanwhile


class Setup(Struct, frozen=True, kw_only=True):
    """What a hub is told once, at its making."""

    epoch: str  # names the log
    server: str = "chatd"  # program and version
    closed: bool = False  # only the known names may enter
    guests: bool = False  # ... and unknown ones all the same
    guest_name: str = "client{n}"
    operators: frozenset[str] = frozenset()  # folded names
    motd: str | None = None
    keep_ms: int | None = None  # entries older than that are forgotten; None: kept for ever
    keep_bytes: int | None = None  # the oldest are forgotten where the log is bigger
    limits: Limits = Limits()
    shared: bool = False  # other daemons use the same log: see `chatd.core.elsewhere`


class Kept(Struct, frozen=True, kw_only=True):
    """The state that the store has kept, as the hub begins with it."""

    accounts: Sequence[Account] = ()
    groups: Sequence[KeptGroup] = ()
    cursors: Sequence[Cursor] = ()
    waiting: Mapping[int, int] = {}  # account to the number of messages it has not confirmed
    seq: int = 0
    purged: int = 0  # entries up to this one are no longer in the log
    first_number: int = 1
    elsewhere: Sequence[Came] = ()  # who has a session on another node


class Hub:
    """Rooms, names, delivery: decisions only."""

    def __init__(
        self,
        setup: Setup,
        kept: Kept,
        new_token: Callable[[], str],
        now: Now,
        note_fault: Callable[[int], str] | None = None,
    ) -> None:
        """`note_fault` keeps the exception of the moment, which serving that connection brought.

        It gives a reference. Without it exceptions are raised, as tests want them.
        """
        self.setup = setup
        self.shared = setup.shared
        self._note_fault = note_fault
        self._serving = 0  # the connection for which something is done; 0: for none
        self.seq = kept.seq  # of the newest entry of the log
        self.now: Now = now  # of what is being handled
        self.started = now
        self.purged = kept.purged  # entries up to this one are no longer in the log
        self.new_token = new_token
        self.sessions: dict[int, Session] = {}  # every connection, by its number
        self.online: dict[str, Session] = {}  # who is in the chat, by folded name, as they joined
        self.accounts = Accounts(kept.accounts)
        self.by_account: dict[int, Session] = {}  # who is in the chat, by account
        self.noticed = Crowd()  # of those, who wants notices
        self.live = Live()  # of those, who stands at the end of the log
        self.groups = Directory(kept.groups)
        self.changing = 0  # changes of groups and names that the store has not answered
        # Accounts that may resume before others are told, with their names, and until when.
        self.departed: dict[int, tuple[str, float]] = {}
        self.expected: dict[int, str] = {}  # of those, who comes back from an upgrade
        self.elsewhere = {one.account.number: elsewhere.of(one, now) for one in kept.elsewhere}
        self.fellows = 0  # other daemons that use the log
        self.trouble = ""  # why nothing can be kept at present
        self.unproved: Failed | None = None  # why nobody knows how far the others are
        self.positions = Positions(kept.accounts, kept.cursors)
        self.waiting = dict(kept.waiting)  # account to the number of messages for its return
        self.retrying = False  # the store has refused something that is tried again
        self._unkept: set[int] = set()  # accounts that it has refused
        self.tries = Tries(setup.limits)
        self.buckets = Buckets()
        self.counts = Counts()
        self._news: list[tuple[Notice, int]] = []  # with the connection of whom it is about
        self.guest_numbers: OrderedDict[str, int] = OrderedDict()  # by address
        self._numbers = count(kept.first_number)
        self._tickets = count(1)
        self._waiting: dict[int, tuple[int, Then]] = {}  # ticket to whom it serves, and how
        self._blocked: dict[int, list[Session]] = {}
        self._newest_stored = 0  # the last ticket that went to the store

    # --- what the daemon tells -----------------------------------------------------------------

    def connected(self, conn: int, address: str, origin: str, now: Now) -> list[Effect]:
        """Somebody is there; nothing is said until a `hello` comes."""
        self.now = now
        limits = self.setup.limits
        bucket = None if limits.exempts(address) else Bucket()
        self.sessions[conn] = Session(
            conn, address, origin, now.wall, now.monotonic, began=now.monotonic, bucket=bucket
        )
        return [Alarm(limits.hello, "hello", conn)]

    def received(self, conn: int, items: Sequence[Item], now: Now) -> list[Effect]:
        """What a connection brought, in order; never raises for what a peer said."""
        self.now = now
        session = self.sessions.get(conn)
        if session is None or session.state is State.LEAVING:
            return []
        session.heard, session.misses, session.answered_probe = now.monotonic, 0, True
        if items:
            session.take_in(*items)
        if len(session.inbox) > self.setup.limits.inbox:
            return self.end(session, "lost", "error", "You send more than can be answered.")
        return self._advance(session)

    def charge(self, conn: int, items: int, size: int, now: Now) -> list[Effect]:
        """So many requests of so many bytes have come: who is too fast waits, and is told once."""
        session = self.sessions.get(conn)
        if session is None or session.bucket is None:
            return []
        wait = session.bucket.take(items, size, now.monotonic, self.setup.limits)
        if not wait:
            return []
        self.counts.delays += 1
        if session.bucket.told:
            return [Slow(conn, wait)]
        session.bucket.told = True
        wrong = PeerError.for_now(ErrorCode.TOO_FAST, wait)
        return [
            Slow(conn, wait),
            self._note("delayed", session, wrong),
            self.tell_error(conn, wrong),
        ]

    def lost(self, conn: int, why: str, now: Now) -> list[Effect]:
        """The connection has ended; what it brought before still counts."""
        self.now = now
        session = self.sessions.get(conn)
        if session is None:
            return []
        if session.state is State.GREETING and not session.inbox and session.blocked is None:
            return self.drop(session, why)  # it has asked nothing: however long the store takes
        session.take_in(Gone(why))
        return self._advance(session)

    def completed(self, done: Completion | News, now: Now) -> list[Effect]:
        """The store has answered a ticket, or tells what others have done."""
        self.now = now
        if isinstance(done, Stored) and done.seq > self.seq:
            self.seq = done.seq
        elif self.shared and isinstance(done, News):
            return self._learn(done)
        effects = self._resolve(done.ticket, done)  # type: ignore[union-attr] # no news is here
        full = isinstance(done, Failed) and done.code is ErrorCode.STORAGE_FULL
        return effects + self.retry_soon() if full else effects

    def purge(self, now: Now) -> list[Effect]:
        """Forget what is older, or more, than the operator wants to keep."""
        self.now, self._serving = now, 0
        if self.setup.keep_ms is None and self.setup.keep_bytes is None:
            return []
        before = now.wall - self.setup.keep_ms if self.setup.keep_ms is not None else 0

        def then(done: Completion) -> list[Effect]:
            more = isinstance(done, Stored) and done.seq > self.purged
            if isinstance(done, Stored):
                self.purged = max(self.purged, done.seq)
            return [Alarm(SOON if more else self.setup.limits.purge, "purge", 0)]

        return self.submit(Purge(before, self.setup.keep_bytes), then)

    @property
    def moved(self) -> bool:
        """Whether `flush` would store something."""
        return self.positions.moved and not self.retrying

    @property
    def asking(self) -> bool:
        """Whether the store has still to answer something that changes it."""
        return self._newest_stored in self._waiting

    def flush(self, now: Now) -> list[Effect]:
        """Before the store commits: what moved in this turn."""
        self.now, self._serving = now, 0
        return flow.flush(self)

    def taken(self, conn: int, now: Now) -> list[Effect]:
        """Everything queued for this connection is written."""
        self.now, self._serving = now, conn
        session = self.sessions.get(conn)
        try:
            return flow.taken(self, session) if session and session.plain else []
        except Exception:
            return self._fault()

    def stalled(self, conn: int, now: Now) -> list[Effect]:
        """A plain peer takes less than is queued for it: from here on it reads from the log."""
        self.now = now
        session = self.sessions.get(conn)
        return flow.stall(self, session, self.seq) if session and session.plain else []

    def verified(self, ticket: int, good: bool, now: Now) -> list[Effect]:
        """The pool has compared a password."""
        self.now = now
        return self._resolve(ticket, good)

    def hashed(self, ticket: int, password: str, now: Now) -> list[Effect]:
        """The pool has hashed a password."""
        self.now = now
        return self._resolve(ticket, password)

    def alarm(self, kind: str, conn: int, now: Now) -> list[Effect]:
        """A time is over; what it was for may be long settled."""
        self.now, self._serving = now, 0 if kind in alarms.OF_NO_CONNECTION else conn
        try:
            return alarms.ALARMS[kind](self, conn)
        except Exception:
            return self._fault()

    def shut_down(self, reason: str, now: Now) -> list[Effect]:
        """Log everybody off, then stop."""
        self.now = now
        effects: list[Effect] = []
        for session in list(self.sessions.values()):
            if session.account and self.fellows and not session.plain:
                effects += [Send([session.conn], elsewhere.MOVE_ON)]
                effects += self.drop(session, "shutdown", "lost", lingers=True)
            elif session.account:
                notice: NoticeKind | None = "lost" if self.fellows else None
                effects += self.end(session, notice, "shutdown", FAREWELL)
            else:
                effects += self.refuse(session, PeerError(ErrorCode.SHUTTING_DOWN))
        return [*effects, Stop(reason)]

    def failed(self, conn: int, reference: str, now: Now) -> list[Effect]:
        """An error of ours while this peer was served: it is told the reference, and no more."""
        self.now = now
        session = self.sessions.get(conn)
        if session is None:
            return []
        wrong = PeerError(ErrorCode.INTERNAL, reference=reference)
        told = self.tell_error(conn, wrong, fatal=True)
        return [told, *self.end(session, "lost", "error", str(wrong))]

    def not_reading(self, conn: int, now: Now) -> list[Effect]:
        """The peer takes nothing any more, and the bound of what is kept for it is reached."""
        self.now = now
        session = self.sessions.get(conn)
        return self.drop(session, "not_reading", "lost") if session else []

    def replace_limits(self, limits: Limits) -> None:
        """From now on these hold; what is running already ends by the old ones."""
        self.setup = structs.replace(self.setup, limits=limits)
        self.tries.limits = limits

    def replace_passwords(self, accounts: Iterable[Account], now: Now) -> list[Effect]:
        """The password file was read: these are in it now, and nobody else is.

        Who is new is kept at once: what is said to them waits for the first time they come.
        """
        self.now, self._serving = now, 0
        filed = {account.number: account for account in accounts}
        new = [
            account for account in filed.values() if self.accounts.numbered(account.number) is None
        ]
        for known in self.accounts.everybody():
            if known.filed and known.number not in filed:
                filed[known.number] = structs.replace(known, password=None, filed=False)
        for account in filed.values():
            self.accounts.know(account)
        for session in self.online.values():
            if session.account:
                session.account = filed.get(session.account.number, session.account)
        return [effect for account in new for effect in self.put_account(account)]

    # --- what the commands use -----------------------------------------------------------------

    def submit(self, operation: Operation, then: Then) -> list[Effect]:
        """Ask the store; `then` gets its answer."""
        self._newest_stored = ticket = self.ticket(then)
        return [Submit(ticket, operation)]

    def ticket(self, then: Then) -> int:
        """A number under which an answer will come."""
        ticket = next(self._tickets)
        self._waiting[ticket] = self._serving, then
        return ticket

    @property
    def newest(self) -> int:
        """The last ticket that went to the store."""
        return self._newest_stored

    def again(self, session: Session, item: Item) -> list[Effect]:
        """Decide anew what was decided by something that did not hold any more."""
        return self._handle(session, item) if session.conn in self.sessions else []

    def refusal(self, done: Failed) -> PeerError:
        """What a peer is told when the store has refused something."""
        if not self.shared or done.code is not ErrorCode.STORAGE_FULL:
            return PeerError(done.code)
        return PeerError.for_now(done.code, self.setup.limits.retry)

    def block(self, session: Session, ticket: int) -> None:
        """Nothing more of this session is handled before the answer to `ticket`."""
        session.blocked = ticket
        self._blocked.setdefault(ticket, []).append(session)

    def new_number(self) -> int:
        """A number for an account that nobody had before."""
        return next(self._numbers)

    def put_account(self, account: Account, then: Then | None = None) -> list[Effect]:
        """Know this account from now on, and keep it where it is not an assigned name's."""
        self.accounts.know(account)
        if account.assigned:
            return []
        return self.submit(
            PutAccount(self.as_kept(account)),
            then or (lambda done: self._kept(account.number, done)),
        )

    def know(self, account: Account) -> list[Effect]:
        """Know this account from now on; it is kept already."""
        self.accounts.know(account)
        return []

    def as_kept(self, account: Account) -> Account:
        """An account as the store has it."""
        begins = self.positions.begin(account.number, self.seq)  # the past is not for it
        password = None if account.filed else account.password
        return structs.replace(account, password=password, received=begins)

    def _kept(self, number: int, done: Completion) -> list[Effect]:
        self._unkept.discard(number)
        if isinstance(done, Stored):
            return []
        self._unkept.add(number)
        return self.retry_soon()

    def retry_soon(self) -> list[Effect]:
        """The store has refused something: until it takes what it is given, it is asked again."""
        if self.retrying:
            return []
        self.retrying = True
        return [Alarm(self.setup.limits.retry, "retry", 0)]

    def retry(self) -> list[Effect]:
        """Keep what the store has refused; positions go with the end of this turn.

        Where nothing waits to be kept, the store is asked all the same whether it can.
        """
        self.retrying = False
        accounts = [one for one in map(self.accounts.numbered, self._unkept) if one]
        self._unkept.clear()
        kept = [effect for account in accounts for effect in self.put_account(account)]
        return kept or self.submit(Touch(), lambda _: [])

    def name_of(self, number: int) -> str:
        """The name of an account or a group."""
        return flow.name_in(self, number)

    def of_session(self, session: Session) -> Account:
        """Who speaks in an open session."""
        assert session.account is not None
        return session.account

    def session_of(self, number: int) -> Session | None:
        """The open session of an account."""
        return self.by_account.get(number)

    def keep(self, account: Account) -> list[Effect]:
        """An assigned name that others will come back to becomes like a chosen one."""
        if not account.assigned:
            return []
        kept = structs.replace(account, assigned=False)
        session = self.session_of(account.number)
        if session:
            session.account = kept
        return self.put_account(kept)

    def is_here(self, account: int) -> bool:
        """Whether somebody is in the chat, or about to be again."""
        return account in self.by_account or account in self.expected or account in self.elsewhere

    def has_session(self, account: int) -> bool:
        """Whether an account is in use, here or on another node."""
        return account in self.by_account or account in self.elsewhere

    def find_elsewhere(self, name: str) -> int | None:
        """The account of a name that has a session on another node."""
        account = self.accounts.named(fold(name)) if self.elsewhere else None
        return account.number if account and account.number in self.elsewhere else None

    def kick(self, victim: Session, by: str) -> list[Effect]:
        """Remove somebody who is here."""
        removed = {"name": victim.name, "by": by}
        told = f"You were removed by {by}."
        return [Happened("kick", removed), *self.end(victim, "removed", "kicked", told)]

    def find_online(self, name: str) -> Session:
        """The open session of a name; raises `PeerError` (301)."""
        try:
            return self.online[fold(name)]
        except (KeyError, PeerError):
            raise PeerError(ErrorCode.NO_SUCH_USER, name=name, to=name) from None

    def reseat(self) -> None:
        """A shown name has changed; everybody keeps the place of their joining."""
        self.online = {one.account.key: one for one in self.online.values() if one.account}

    def notify(
        self, kind: NoticeKind, name: str, *, new: str | None = None, text: str | None = None
    ) -> list[Effect]:
        """Tell everybody who wants notices, but not the one it is about.

        Who joins is told with all others who join in this turn, see `news`.
        """
        if not self.noticed.conns:
            return []
        about = self.online.get(fold(new or name)) if name else None
        omitted = about.conn if about and about in self.noticed else 0
        text = text if text is not None else NOTICES[kind].format(name=name, new=new)
        self._news.append(
            (Notice(kind, text, timestamp(self.now.wall), name or None, new), omitted)
        )
        return [] if kind == "joined" else self.news()

    def news(self) -> list[Effect]:
        """Tell who has joined, at the end of a turn: a thousand who come at once are one write."""
        news, self._news = self._news, []
        return [Send(self.noticed.conns, notice, omitted) for notice, omitted in news]

    def tell_error(
        self, conn: int, wrong: PeerError, re: str | None = None, *, fatal: bool = False
    ) -> Send:
        """What a peer is told of its error; `re` is the id of the request at fault."""
        self.counts.errors[wrong.code] += 1
        return Send([conn], Error.of(wrong, re, fatal=fatal))

    def refuse(self, session: Session, wrong: PeerError, re: str | None = None) -> list[Effect]:
        """Answer an error; before the session is open a fatal one ends the connection."""
        fatal = FAULTS[wrong.code].fatal and session.state is not State.READY
        told: list[Effect] = [self.tell_error(session.conn, wrong, re, fatal=fatal)]
        if not fatal:
            return told
        if wrong.code is not ErrorCode.PASSWORD_REQUIRED:  # a shell asks for it, and comes again
            told.append(self._note("refused", session, wrong))
        return told + self.drop(session, "refused")

    def _note(self, event: str, session: Session, wrong: PeerError) -> Happened:
        about: dict[str, str | int | None] = {"code": int(wrong.code), "text": str(wrong)}
        return Happened(event, {**about, "name": session.name or None, "address": session.origin})

    def end(
        self, session: Session, notice: NoticeKind | None, reason: ByeReason, text: str
    ) -> list[Effect]:
        """Say the last word, close, and tell the others why somebody is gone."""
        if session.conn not in self.sessions:
            return []
        last: list[Effect] = []
        if session.account:
            last.append(Send([session.conn], Bye(reason, text)))
        return [*last, *self.drop(session, reason, notice)]

    def drop(
        self,
        session: Session,
        reason: str,
        notice: NoticeKind | None = None,
        *,
        lingers: bool = False,
    ) -> list[Effect]:
        """Forget a session and close its connection; `notice` tells the others.

        Who `lingers` has time to come back before they are told, as has who is lost and can resume.
        """
        self.sessions.pop(session.conn, None)
        self.live.remove(session)
        session.state = State.LEAVING
        session.inbox = NO_ITEMS
        effects: list[Effect] = [Close(session.conn)]
        account = session.account
        if account is None or self.online.get(account.key) is not session:
            return effects
        del self.online[account.key]
        self.noticed.remove(session)
        del self.by_account[account.number]
        effects.append(
            Happened(
                "disconnect",
                {"name": account.name, "address": session.origin, "reason": reason},
            )
        )
        lingers = lingers or (notice == "lost" and session.resumable and not session.plain)
        lingers = lingers and self.setup.limits.grace > 0
        last = structs.replace(account, last_seen=self.now.wall)
        if not self.shared:
            effects += self.put_account(last) if not account.assigned else []
        elif reason != "replaced":  # else it is the next one's already
            effects += self.know(last)
            effects += elsewhere.give_back(self, last, session.claim, notice, lingers=lingers)
        return effects + self.part(account, notice, lingers=lingers)

    def part(self, account: Account, notice: NoticeKind | None, *, lingers: bool) -> list[Effect]:
        """Somebody is gone: the others are told, of one who `lingers` when it does not come back.

        An assigned name is forgotten with it.
        """
        grace = self.setup.limits.grace
        if lingers and grace:
            self.departed[account.number] = (account.name, self.now.monotonic + grace)
            return [Alarm(grace, "grace", account.number)]
        if account.assigned:
            self.accounts.forget(account.number)
        return self.notify(notice, account.name) if notice else []

    # --- inside --------------------------------------------------------------------------------

    def _advance(self, session: Session, released: bool = False) -> list[Effect]:
        """Handle what waits in a session's inbox, as far as nothing holds it back."""
        effects: list[Effect] = []
        while session.inbox and session.blocked is None:
            if self.positions.moved and type(session.inbox[0]) not in commands.UNFENCED:
                effects += flow.flush(self)
            if self.shared and not released and type(session.inbox[0]) in commands.FENCED:
                effects += self.submit(Fence(), self._fenced)
                self.block(session, self._newest_stored)
                break
            if self._must_wait(session.inbox[0], released):
                self.block(session, self._newest_stored)
                break
            released = False
            effects += self._handle(session, session.next_item())
        return effects

    def _fenced(self, done: Stored | Failed) -> list[Effect]:
        self.unproved = done if isinstance(done, Failed) else None
        return []

    def _must_wait(self, item: Item, released: bool) -> bool:
        """`released`: what it waited for is answered, but others may have asked since."""
        if not self.asking:
            return False
        if type(item) in commands.APPENDING:
            return bool(self.changing) and type(item) is OutgoingGroup
        if type(item) is Hello and self.trouble:
            return False  # it is refused: whoever asks may find another node
        if type(item) is Hello and item.password is None and item.token is None:
            return bool(self.changing)  # it has asked nothing before, and takes nobody's place
        return bool(self.changing) or not released

    def _resolve(self, ticket: int, answer: object) -> list[Effect]:
        self._serving, then = self._waiting.pop(ticket)
        try:
            effects = then(answer)
        except Exception:
            effects = self._fault()
        if ticket in self._blocked:
            for session in self._blocked.pop(ticket):
                if session.blocked == ticket:  # else what it waited for was decided anew
                    session.blocked = None
                    effects += self._advance(session, released=True)
        return effects

    def _learn(self, news: News) -> list[Effect]:
        self._serving = 0
        try:
            return elsewhere.learn(self, news)
        except Exception:
            return self._fault()

    def _fault(self) -> list[Effect]:
        """An error of ours costs whom it served the connection, and nobody else an item.

        So it is caught where one item or one answer is handled: what was decided for others in the
        same turn is still sent.
        """
        if self._note_fault is None:
            raise  # within the `except` of whoever called
        return self.failed(self._serving, self._note_fault(self._serving), self.now)

    def _handle(self, session: Session, item: Item) -> list[Effect]:
        self._serving = session.conn
        try:
            if isinstance(item, Gone):
                return self.drop(session, item.why, "lost")
            if isinstance(item, PeerError):
                return self._unreadable(session, item)
            session.garbage = 0
            session.admit(item)
            return commands.COMMANDS[type(item)](self, session, item)
        except PeerError as wrong:
            return self._refuse_in_turn(session, item, wrong)
        except Exception:
            return self._fault()

    def _refuse_in_turn(self, session: Session, item: Item, wrong: PeerError) -> list[Effect]:
        re = getattr(item, "id", None)
        if type(item) not in commands.APPENDING or not self._must_wait(wrong, released=False):
            return self.refuse(session, wrong, re)
        # It did not wait, but its refusal must not overtake the answers to those before it.
        wrong.details |= {"re": re} if re is not None else {}
        session.put_back(wrong)
        return []

    def _unreadable(self, session: Session, wrong: PeerError) -> list[Effect]:
        session.garbage = session.garbage + 1 if wrong.code is ErrorCode.NOT_JSON else 0
        told = [*self.refuse(session, wrong), self._note("unreadable", session, wrong)]
        if session.garbage < self.setup.limits.garbage:
            return told
        return told + self.end(session, "lost", "error", "This is not the protocol spoken here.")
