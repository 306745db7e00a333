"""The daemon: it joins the loop, the dialects, the hub and the store, and carries out effects."""

from __future__ import annotations

import gc
import os
import secrets
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from types import FrameType
from typing import Any

from msgspec import structs

from chatd import __version__
from chatd.certificate import Certificate
from chatd.config import Config, read_limits
from chatd.console import Console, Printer, as_line, terminal
from chatd.core.effects import (
    Account,
    Alarm,
    Close,
    Effect,
    Failed,
    Happened,
    Hash,
    News,
    Now,
    Opened,
    Page,
    Probe,
    Send,
    Slow,
    Stop,
    Submit,
    Tell,
    Verify,
)
from chatd.core.handover import Handed, at_the_door, expect, hand_over
from chatd.core.hub import Hub, Kept, Setup
from chatd.core.limits import Limits, Sparse
from chatd.dialects.http import REASONS, Request
from chatd.dialects.json import extended
from chatd.log import ServerLog
from chatd.net.connection import Connection, origin_of
from chatd.net.durations import Durations
from chatd.net.handover import Listeners
from chatd.net.listen import source
from chatd.net.loop import Loop
from chatd.net.notify import notify
from chatd.pages import Pages, Sources
from chatd.passwords import PasswordPool, read_file
from chatd.peers import Items, Peers
from chatd.store.base import Store
from chatd.upgrade import Program, Retired, Start, Upgrades
from chatd.wire.errors import ConfigError, ErrorCode, PeerError
from chatd.wire.messages import Bye, Error

MS_PER_DAY = 24 * 3600 * 1000
FAREWELL = 1.5  # seconds for the last words of a shutdown
SOON = 0.01  # seconds for positions until they are stored
AT_THE_DOOR = 1.0  # seconds for those who have connected already when a new process is ready
PRINTING = 0.3  # seconds for the last lines of the terminal
SPARSE = ("refused", "unreadable", "delayed")  # events that a flood brings
REFUSALS = (400, 403, 404, 405, 408, 431)  # answers over HTTP that are told to the log
NO_PLACE = {
    "full": "all places are taken",
    "address": "too many connections of one address",
    "descriptors": "no descriptor is left",
}
MOTD = "Messages on this server are written to its log."


class Daemon:
    """One process, one port, one log. `run` serves until it is told to stop."""

    def __init__(
        self,
        config: Config,
        store: Store,
        log: ServerLog,
        *,
        passwords: Sequence[Account] = (),
        certificate: Callable[[], Certificate] | None = None,
        handed: Handed | None = None,
    ) -> None:
        """`certificate` reads it, now and at each reload. Raises `ConfigError`."""
        self._config = config
        self._store = store
        self._log = log
        refusal = extended(Error.of(PeerError(ErrorCode.SERVER_FULL), fatal=True))
        limits = read_limits(config)
        self.loop = Loop(self, config.selector, max_clients=limits.max_clients, refusal=refusal)
        kept = _kept(store, passwords, handed)
        setup = _setup(config, store, limits)
        self._hub = Hub(
            setup, kept, lambda: secrets.token_urlsafe(24), self._now(), self._note_error
        )
        self._pool = PasswordPool(self.loop.wake)
        self._read_certificate = certificate
        self.certificate = certificate() if certificate else None
        self._peers = Peers(
            self.loop, limits, self._items, self._asked, self._secured, tls_only=config.tls_only
        )
        sources = Sources(self._unready, self._metrics)
        self._pages = Pages(config.metrics_from, sources, self.loop.wake)
        self._asking: list[tuple[Connection, Request]] = []  # for pages that are being prepared
        self._commits = Durations()
        self._signals: list[int] = []
        self._ring = self._alarm_is_over
        self._stopping = ""
        self._deadline = 0.0
        self._moves_by: float | None = None  # when positions that moved are stored at the latest
        self._storage_failed = False
        self._sparse = {event: Sparse() for event in SPARSE}
        self._no_place = dict.fromkeys(NO_PLACE, 0)  # who was refused at the door, by why
        self._failed_handshakes = 0
        self._upgrades = Upgrades(
            self.loop,
            refuse=self._why_no_upgrade,
            failed=self._upgrade_failed,
            ready=self._retire,
        )
        self._sockets: Listeners = []  # on which a new process will accept
        self.retired: Retired | None = None  # it is to be handed over when this has run
        self._printer = Printer()
        self._fd = terminal()
        self._console = Console(-1 if self._fd is None else self._fd, self._printer.say)
        self._act: dict[type, Callable[[Any], None]] = {
            Opened: self._peers.opened,
            Send: self._peers.send,
            Close: self._peers.close,
            Tell: self._peers.tell,
            Probe: self._peers.probe,
            Slow: self._peers.slow,
            Submit: lambda effect: store.submit(effect.ticket, effect.operation),
            Verify: self._pool.submit,
            Hash: self._pool.submit,
            Alarm: self._alarm,
            Happened: lambda effect: self._happened(effect.event, effect.fields),
            Stop: self._stop,
        }
        self._run(self._hub.replace_passwords(passwords, self._now()))
        if handed:
            self._run(expect(self._hub, handed, self._now()))

    def _now(self) -> Now:
        return Now(*self.loop.now())

    # --- its life -------------------------------------------------------------------------------

    def run(self, start: Start, greeting: str) -> int:
        """Serve until told to stop; 0, or 1 after an error of ours that ended it."""
        self._take_signals()
        self._signals += start.held
        self.loop.listen_on(start.sockets)
        if start.door:
            self._upgrades.answer(start.door)
        if self._fd is not None:
            self.loop.watch(self._fd, self._typed)
        if self._store.fileno() >= 0:
            self.loop.watch(self._store.fileno(), self._store.take_in)
        about = {"version": __version__, "pid": os.getpid(), **self._shown_certificate()}
        self._happened("start", {**about, **self._shown_store()})
        self._printer.say(greeting)
        self._printer.flush()
        if start.failed:
            self._upgrade_failed(start.failed)
        if start.serving:
            start.serving()
        else:
            notify("READY=1", f"STATUS={greeting.splitlines()[0]}")
        self._run(self._hub.purge(self._now()))
        _spare_the_collector()
        try:
            return self._serve()
        finally:
            signal.set_wakeup_fd(-1)
            self.loop.close()
            self._pool.close()
            self._printer.close(PRINTING)

    def _serve(self) -> int:
        try:
            while not self._over():
                self._log.flush()
                self.loop.turn()
        except Exception:
            return self._crashed()
        self._happened("stop", {"reason": self._stopping})
        return 0

    def _over(self) -> bool:
        return bool(self._stopping) and (
            not self.loop.connections or self.loop.clock() >= self._deadline
        )

    def _crashed(self) -> int:
        """An error in our own bookkeeping: say goodbye to everybody, and say why in the log."""
        self._note_error(None)
        self._peers.say_at_once(
            Bye("error", "The server has failed; you have been logged off.", reconnect=True)
        )
        return 1

    def _take_signals(self) -> None:
        signal.set_wakeup_fd(self.loop.wake_fd, warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._signalled)
        for number in (signal.SIGTTIN, signal.SIGTTOU):  # in the background of a terminal
            signal.signal(number, signal.SIG_IGN)

    def _signalled(self, number: int, _: FrameType | None) -> None:
        if self._stopping and number != signal.SIGHUP and not self.retired:
            os._exit(128 + number)  # asked a second time: at once
        self._signals.append(number)

    def _obey_signals(self) -> None:
        while self._signals and not self.retired:
            number = signal.Signals(self._signals.pop(0))
            if number == signal.SIGHUP and self._fd is None:
                self._reload()
            elif not self._stopping:
                self._run(self._hub.shut_down(number.name, self._now()))

    def _reload(self) -> None:
        """All of what can be read again, or nothing of it; nobody is dropped for it."""
        notify("RELOADING=1", f"MONOTONIC_USEC={int(self.loop.clock() * 1e6)}")
        self._log.reopen()
        try:
            limits = read_limits(self._config)
            known = self._hub.accounts.everybody()
            passwords = filed_accounts(self._config, known, self._hub.new_number)
            certificate = self._read_certificate() if self._read_certificate else None
        except ConfigError as error:
            state = f"not reloaded: {error}"
            self._happened("reload", {"failed": str(error)})
        else:
            self.certificate = certificate
            self._hub.replace_limits(limits)
            self._peers.limits = limits
            self.loop.max_clients = limits.max_clients
            self._run(self._hub.replace_passwords(passwords, self._now()))
            state = "reloaded"
            self._happened("reload", {"passwords": len(passwords), **self._shown_certificate()})
        self._log.flush()  # whoever has waited for the end of it looks there
        notify("READY=1", f"STATUS={state}")

    def _shown_certificate(self) -> dict[str, str]:
        return {"certificate": self.certificate.fingerprint} if self.certificate else {}

    def _shown_store(self) -> dict[str, str | None]:
        """Where the log is, if that is not this folder."""
        where = self._store.about.removeprefix("data: ")
        return {"data": where or None, "warning": self._store.warning or None}

    # --- what the loop tells --------------------------------------------------------------------

    def connected(self, connection: Connection) -> None:
        """See `Application`."""
        self._peers.add(connection)
        conn, whom = connection.id, source(connection.host)
        self._guarded(conn, lambda: self._hub.connected(conn, whom, connection.origin, self._now()))

    def may_come(self, host: str, others: int) -> bool:
        """See `Application`."""
        limits = self._peers.limits
        return limits.exempts(host) or not limits.per_address or others < limits.per_address

    def refused(self, address: tuple[str, int], why: str) -> None:
        """See `Application`."""
        self._no_place[why] += 1
        code = ErrorCode.SERVER_FULL
        about = {"code": int(code), "text": NO_PLACE[why], "address": origin_of(address)}
        self._happened("refused", about)
        self._log.flush()  # this is no turn's answer: it is told at once

    def received(self, connection: Connection, data: bytes) -> None:
        """See `Application`."""
        self._guarded(connection.id, lambda: self._take(connection, data))

    def _take(self, connection: Connection, data: bytes) -> list[Effect]:
        conn, now = connection.id, self._now()
        items = self._peers.received(conn, data)
        effects: list[Effect] = []
        if items or (data.strip() and not connection.handshaking):
            # Half an object is a sign of life too, half a handshake has a time of its own.
            effects = self._hub.received(conn, items, now)
        late = self._hub.charge(conn, len(items), len(data), now)  # to whoever has come by it
        return effects + late if late else effects

    def _items(self, conn: int, items: Items) -> None:
        self._guarded(conn, lambda: self._hub.received(conn, items, self._now()))

    def _secured(self, connection: Connection, first: bytes) -> bool:
        if self.certificate is None:
            return False
        seconds = self._hub.setup.limits.handshake
        self.loop.start_tls(connection, self.certificate.context, first, seconds)
        return True

    def _asked(self, connection: Connection, request: Request) -> None:
        """A page is asked for: it is answered, and that was all this connection is for."""

        def answer() -> list[Effect]:
            status, page = self._pages.answer(request, connection.host)
            self.loop.queue(connection, page)
            if status in REFUSALS:
                about = {"http": status, "text": REASONS[status], "path": request.path or None}
                self._happened("refused", {**about, "address": connection.origin})
            return self._hub.lost(connection.id, "http", self._now())

        if self._pages.prepared(request):
            self._guarded(connection.id, answer)
        else:
            self._asking.append((connection, request))

    def closed(self, connection: Connection, why: str) -> None:
        """See `Application`."""
        if connection.handshaking:
            text = why if why.startswith("tls: ") else f"tls: no handshake, but {why}"
            self._happened("refused", {"text": text, "address": connection.origin})
            self._failed_handshakes += 1
        if connection.id not in self.loop.connections:
            self._peers.forget(connection.id)
        elif any(asking is connection for asking, _ in self._asking):
            return  # it ends with its answer
        self._guarded(connection.id, lambda: self._hub.lost(connection.id, why, self._now()))
        self._peers.flush()  # this may be told while the turn is being written already

    def turn_ended(self) -> None:
        """See `Application`: commit, then answer and deliver."""
        self._obey_signals()
        if self._asking:
            asking, self._asking = self._asking, []
            for connection, request in asking:
                self._asked(connection, request)
        for ticket, answer in self._pool.answers():
            told = self._hub.verified if isinstance(answer, bool) else self._hub.hashed
            self._guarded(0, partial(told, ticket, answer, self._now()))  # type: ignore[arg-type]
        self._keep_and_deliver()
        for conn in _taken_out(self._peers.overrun):
            self._peers.abort(conn)  # first: what the hub would close would be waited for
            self._guarded(conn, partial(self._hub.not_reading, conn, self._now()))
        if self._sockets and not self._stopping:
            self._hand_over()
        self._peers.flush()
        self._log.flush()
        self._printer.flush()

    # --- a new process takes over ---------------------------------------------------------------

    def _why_no_upgrade(self) -> str:
        if os.getpid() == 1:
            return "it is process 1 of a container, which would end with it: start a new container"
        if self._fd is not None:
            return "it runs on a terminal, which would lose it: stop it there, start the new one"
        return "it is shutting down" if self._stopping else ""

    def _upgrade_failed(self, why: str) -> None:
        self._happened("upgrade", {"failed": why})
        self._log.flush()  # whoever has asked looks there
        notify("READY=1", f"STATUS=not upgraded: {why}")

    def _retire(self, new: Program) -> None:
        """The new program is ready: those who are about to come in are the last."""
        notify("RELOADING=1", f"MONOTONIC_USEC={int(self.loop.clock() * 1e6)}")
        self._happened("upgrade", {"version": new.version, "pid": new.pid})
        self._sockets = self.loop.stop_accepting()
        self._deadline = self.loop.clock() + AT_THE_DOOR
        self.loop.after(AT_THE_DOOR, lambda: None)

    def _hand_over(self) -> None:
        """Everything is kept and answered: let everybody go, unless somebody is coming in."""
        if at_the_door(self._hub) and self.loop.clock() < self._deadline:
            return
        handed, effects = hand_over(self._hub, self._now())
        self._run(effects)
        self.retired = self._upgrades.retired(self._sockets, handed, self._signals)
        self._end_soon("upgrade")
        self._keep_and_deliver()

    def drained(self, connection: Connection) -> bool:
        """See `Application`."""
        if not self._peers.is_drained(connection.id):
            return False
        effects = self._hub.taken(connection.id, self._now())
        self._run(effects)
        self._peers.flush()
        return bool(effects) or (self._hub.moved and self._moves_due())

    def _tell_news(self) -> bool:
        news = self._hub.news()
        self._run(news)
        return bool(news)

    def _flush(self) -> bool:
        """Positions that moved: with what is stored anyway, else soon, with those to come.

        A commit for them alone costs as much as one for a hundred messages.
        """
        if not self._hub.moved or not (self._hub.asking or self._stopping or self._moves_due()):
            return False
        self._moves_by = None
        effects = self._hub.flush(self._now())
        self._run(effects)
        return bool(effects)

    def _moves_due(self) -> bool:
        now = self.loop.clock()
        if self._moves_by is None:
            self._moves_by = now + SOON
            self.loop.after(SOON, lambda: None)
        return now >= self._moves_by

    def _answer(self) -> bool:
        """Commit, and pass on what became durable; that may ask the store for more."""
        before, began = self._store.commits, self.loop.clock()
        completions = self._store.completions()
        if self._store.commits != before:
            self._commits.observe(self.loop.clock() - began)
        while self._store.took:
            self._commits.observe(self._store.took.pop())
        now = self._now()
        for done in completions:
            if self._storage_failed or type(done) is Failed:
                self._note_storage(done)
            self._run(self._hub.completed(done, now))
            if self._peers.stalled:
                self._tell_stalled()
        return bool(completions)

    def _keep_and_deliver(self) -> None:
        """Commit, and queue what was decided; whoever is slow by it goes on from the log."""
        while self._tell_news() or self._flush() or self._answer():
            pass
        self._log.flush()
        self._peers.flush(last=True)
        self._tell_stalled()

    def _tell_stalled(self) -> None:
        for conn in _taken_out(self._peers.stalled):
            self._run(self._hub.stalled(conn, self._now()))

    def _guarded(self, conn: int, act: Callable[[], list[Effect]]) -> None:
        """An error of ours in serving one peer costs that peer its connection, and nobody else.

        What the hub decides is guarded there, item by item; 0 is for what serves nobody alone.
        """
        try:
            self._run(act())
        except Exception:
            reference = self._note_error(conn)
            self._run(self._hub.failed(conn, reference, self._now()))

    def _note_error(self, conn: int | None) -> str:
        """Keep the exception of the moment under a reference; `conn` is whom it served.

        0 is nobody in particular, None the end of the daemon.
        """
        reference = secrets.token_hex(4)
        where = "the daemon ends" if conn is None else f"connection {conn}" if conn else "no one"
        known = self.loop.connections.get(conn or 0)
        about = {"where": where, "address": known.origin if known else None}
        self._happened("error", {"reference": reference, **about})
        self._log.traceback(traceback.format_exc())
        return reference

    def _note_storage(self, done: object) -> None:
        """Told once when storing begins to fail, and once when it works again."""
        if isinstance(done, Page | News) or (self._hub.trouble and type(done) is not Failed):
            return  # what can be read, or is told, says nothing of writing
        failed = isinstance(done, Failed) and done.code is ErrorCode.STORAGE_FULL
        if failed != self._storage_failed:
            self._storage_failed = failed
            reason = done.why if isinstance(done, Failed) else "it works again"
            self._happened("storage", {"reason": reason})

    # --- what the pages say ---------------------------------------------------------------------

    def _unready(self) -> str:
        if self._stopping:
            return "shutting down"
        return self._hub.trouble or ("nothing can be stored" if self._storage_failed else "")

    def _metrics(self) -> tuple[str, bytes]:
        from chatd.metrics import Readings, Tally, text  # see `Pages.prepared`

        return text(
            Readings(
                self._hub,
                self.loop,
                Tally(
                    commits=self._commits,
                    writable=not (self._storage_failed or self._hub.trouble),
                    no_place=self._no_place,
                    answers=self._pages.answers,
                    failed_handshakes=self._failed_handshakes,
                    left_out=sum(one.left_out for one in self._sparse.values()),
                ),
            )
        )

    def _typed(self) -> None:
        lines = self._console.read()
        if lines is None:
            assert self._fd is not None
            self.loop.unwatch(self._fd)
            return
        for line in lines:
            self._hub.now = self._now()
            self._guarded(0, partial(self._console.obey, self._hub, line))

    # --- effects --------------------------------------------------------------------------------

    def _run(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            self._act[type(effect)](effect)

    def _alarm(self, effect: Alarm) -> None:
        # Every connection has one: this takes a third of what a function made for it would.
        self.loop.after(effect.seconds, partial(self._ring, effect))

    def _alarm_is_over(self, effect: Alarm) -> None:
        self._run(self._hub.alarm(effect.kind, effect.conn, self._now()))

    def _stop(self, effect: Stop) -> None:
        self._upgrades.give_up("it was told to stop meanwhile")
        notify("STOPPING=1")
        self.loop.stop_listening()
        self._end_soon(effect.reason)

    def _end_soon(self, reason: str) -> None:
        """No later than the last words are out, or their time is over."""
        self._stopping = reason
        self._deadline = self.loop.clock() + FAREWELL
        self.loop.after(FAREWELL, lambda: None)

    def _happened(self, event: str, fields: Any) -> None:
        if event in SPARSE:
            host = str(fields.get("address")).rpartition(":")[0]
            left_out = self._sparse[event].admit(source(host.strip("[]")), self.loop.clock())
            if left_out is None:
                return
            fields = {**fields, "left_out": left_out or None}
        if event == "message" and self._config.log_content != "full":
            if self._config.log_content == "none":
                return
            fields = {key: value for key, value in fields.items() if key != "text"}
        self._log.write(self._hub.now.wall, event, fields)
        line = as_line(event, fields)
        if line is not None:
            self._printer.say(line)


def _spare_the_collector() -> None:
    """What there is stays, and what a turn makes is gone by its end without anybody's looking.

    Looked for after every 700 new objects, cycles cost a log-in as much as all its rules.
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def _taken_out(conns: dict[int, None]) -> list[int]:
    taken = list(conns)
    conns.clear()
    return taken


def first_number(store: Store, handed: Handed | None) -> int:
    """A number that no account of the store has, nor one of the process before."""
    return max(store.first_free_number(), handed.first_number if handed else 0)


def _kept(store: Store, passwords: Sequence[Account], handed: Handed | None) -> Kept:
    """The state of the store; numbers go on behind those of the password file."""
    first = max([first_number(store, handed), *(one.number + 1 for one in passwords)])
    return Kept(
        accounts=store.accounts(),
        groups=store.groups(),
        cursors=store.cursors(),
        waiting=store.waiting(),
        seq=store.last_seq(),
        elsewhere=store.elsewhere(),
        purged=store.purged(),
        first_number=first,
    )


def check_operators(config: Config, accounts: Iterable[Account]) -> None:
    """Nobody becomes an operator by being the first to say a name. Raises `ConfigError`."""
    proved = {account.login for account in accounts if account.password is not None}
    for name in sorted(config.operators - proved):
        raise ConfigError(
            f"--operator {name}: that name has no password; add it to a password file, "
            "or let its owner /register it first"
        )


def _setup(config: Config, store: Store, limits: Limits) -> Setup:
    return Setup(
        epoch=store.epoch,
        server=f"chatd {__version__}",
        closed=config.passwords is not None,
        guests=config.guests,
        guest_name=config.guest_name,
        operators=config.operators,
        limits=limits,
        keep_ms=config.keep_days * MS_PER_DAY or None,
        keep_bytes=config.keep_bytes or None,
        motd=MOTD if config.log_content == "full" else None,
        shared=bool(config.cluster),
    )


def filed_accounts(
    config: Config, known: Iterable[Account], new_number: Callable[[], int]
) -> list[Account]:
    """The accounts of the password file, with the numbers they had before."""
    if config.passwords is None:
        return []
    everybody = list(known)
    numbers = {account.login: account for account in everybody}
    shown = {account.key: account for account in everybody if account.key != account.login}
    accounts = []
    for key, (name, secret) in read_file(config.passwords).items():
        if key in shown:
            raise ConfigError(f"{config.passwords}: {shown[key].login} is called {name} now")
        before = numbers.get(key) or Account(new_number(), name, key, key)
        accounts.append(structs.replace(before, login=key, password=secret, filed=True))
    return accounts


def say_error(error: Exception) -> None:
    """One line for the operator."""
    print(f"chatd: {error}", file=sys.stderr)
