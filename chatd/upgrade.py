"""`chatd upgrade`: a new process takes the place of the old one, and nobody is refused meanwhile.

    the old one                                        the new one
    starts the new program, and goes on serving        imports, reads its settings, says `ready`
    accepts no more; keeps and answers what it has,
    lets everybody go to come back at once, closes
    the store; gives away sockets and `Handed`         opens the store, serves, says `serving`
    ends

Who connects in between waits in the backlog of the sockets. Where the new one fails, at whatever
point, the old one goes on: before `ready` nobody notices, behind it they resume once more.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import BinaryIO, NamedTuple

import msgspec
from msgspec import Struct

from chatd import __version__, certificate
from chatd.config import Config, read_limits
from chatd.core.handover import Handed
from chatd.net.handover import Caller, Channel, Door, Listeners, adopted, ask
from chatd.net.loop import Loop
from chatd.net.notify import notify
from chatd.passwords import read_file
from chatd.wire.errors import ChatError, ConfigError
from chatd.wire.text import harmless

DOOR = "upgrade"  # in the data folder
VARIABLE = "CHATD_SUCCEEDS"  # the descriptor of the channel, to the new process
LINE_WITHIN = 1.0  # seconds for the rest of a line, and for an end that has begun
READY_WITHIN = 30.0  # seconds for the new program to import and to read its settings
SERVING_WITHIN = 300.0  # ... to open the store, which may have to be migrated
GO, SERVING = b"go", b"serving"
WORDS = 300  # characters of what a program that failed has said last
HELD = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class UpgradeError(ChatError):
    """There is no new process, and why; the old one goes on."""


class Program(Struct, frozen=True):
    """One of the two."""

    version: str
    pid: int

    def __str__(self) -> str:
        return f"chatd {self.version}, process {self.pid}"


class Outcome(Struct, frozen=True, omit_defaults=True):
    """What whoever has asked is told."""

    failed: str = ""
    old: Program | None = None
    new: Program | None = None


def this_program() -> Program:
    """The one that runs here."""
    return Program(__version__, os.getpid())


# --- whoever asks -------------------------------------------------------------------------------


def request(folder: Path) -> Outcome:
    """Ask the daemon of this data folder, and wait until that is done or has failed."""
    try:
        answer = ask(folder / DOOR)
    except (FileNotFoundError, ConnectionRefusedError):
        return Outcome(f"no chatd that keeps a log runs on {folder}; see --data and --port")
    except PermissionError:
        return Outcome(f"{folder} belongs to another user; run this as the user of that chatd")
    except OSError as error:
        return Outcome(f"cannot ask the chatd of {folder}: {error.strerror}")
    try:
        return msgspec.json.decode(answer, type=Outcome)
    except msgspec.DecodeError:
        return Outcome("that chatd has ended meanwhile; see its server.log")


# --- the old process ----------------------------------------------------------------------------


def open_errors() -> BinaryIO:
    """Our standard error, or nowhere where there is none."""
    where = os.devnull if sys.__stderr__ is None else os.dup(sys.__stderr__.fileno())
    return open(where, "wb")  # noqa: PTH123 - a descriptor


class Successor:
    """The new program in a process of its own, started as this one was."""

    def __init__(self) -> None:
        """Raises `OSError` where it cannot even be started."""
        import subprocess  # these two take a while, and few daemons need them
        import tempfile

        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._channel, theirs = Channel.pair()
        with theirs:
            fd = theirs.fileno()
            self._process = subprocess.Popen(
                [sys.executable, *sys.orig_argv[1:]],
                env={**os.environ, VARIABLE: str(fd)},
                pass_fds=[fd],
                stderr=self._errors,
            )
        self.program = Program("", self._process.pid)

    def fileno(self) -> int:
        """Readable when there is something for `ready`."""
        return self._channel.fileno()

    def ready(self) -> Program:
        """The new program, which has read its settings; raises `UpgradeError`."""
        try:
            line = self._channel.hear(LINE_WITHIN)
            self.program = msgspec.json.decode(line, type=Program)
        except (OSError, msgspec.DecodeError):
            raise UpgradeError(self.give_up()) from None
        return self.program

    def succeed(self, fds: Sequence[int], handed: Handed) -> None:
        """Give everything away, and come back when the new one serves; raises `UpgradeError`."""
        import tempfile

        answer = b""
        with (
            tempfile.TemporaryFile() as state,
            open_errors() as errors,
            contextlib.suppress(OSError),  # it has ended, or takes too long
        ):
            state.write(msgspec.json.encode(handed))
            state.flush()
            self._channel.tell(GO, [errors.fileno(), state.fileno(), *fds])
            answer = self._channel.hear(SERVING_WITHIN)
        if answer != SERVING:
            raise UpgradeError(self.give_up())

    def give_up(self, patience: float = LINE_WITHIN) -> str:
        """End it, whatever it does; why it has failed, as far as it has said so."""
        from subprocess import TimeoutExpired

        self._channel.close()
        try:
            how = f"has ended with {self._process.wait(patience)}"
        except TimeoutExpired:
            self._process.kill()
            self._process.wait()
            how = "did not answer in time"
        return f"the new program {how}{self._last_words()}"

    def _last_words(self) -> str:
        with self._errors:
            self._errors.seek(0)
            lines = self._errors.read().decode(errors="replace").split("\n")
        said = [line.strip() for line in lines if line.strip()]
        return f": {harmless(said[-1])[:WORDS]}" if said else ""


@dataclass
class Retired:
    """A daemon that has let everybody go, with what it leaves."""

    successor: Successor
    caller: Caller
    sockets: Listeners
    door: Door
    handed: Handed
    held: list[int]  # signals that came too late for it

    def hand_over(self) -> Start | None:
        """Give everything to the new process; None when that serves, else how to go on here."""
        for one in HELD:
            signal.signal(one, self._hold)
        new, old = self.successor.program, this_program()
        fds = [self.door.fileno(), *(sock.fileno() for sock in self.sockets)]
        try:
            self.successor.succeed(fds, self.handed)
        except UpgradeError as failed:
            return self._go_on(str(failed))
        # By us, whom the manager still believes: only from here on it listens to the new one.
        notify(f"MAINPID={new.pid}", "READY=1", f"STATUS=upgraded to {new}")
        for number in self.held:
            os.kill(new.pid, number)
        self.caller.answer(msgspec.json.encode(Outcome(old=old, new=new)))
        return None

    def _go_on(self, why: str) -> Start:
        def serving() -> None:
            self.caller.answer(msgspec.json.encode(Outcome(why)))

        return Start(self.sockets, self.door, self.handed, why, serving, self.held)

    def _hold(self, number: int, _: FrameType | None) -> None:
        self.held.append(number)


class Upgrades:
    """Answers the door on the loop of the old process, up to the moment when the new one is ready.

    `refuse` says why there can be none now; `failed` and `ready` are told what became of one.
    """

    def __init__(
        self,
        loop: Loop,
        *,
        refuse: Callable[[], str],
        failed: Callable[[str], None],
        ready: Callable[[Program], None],
    ) -> None:
        self._loop = loop
        self._refuse = refuse
        self._failed = failed
        self._ready = ready
        self._caller: Caller | None = None
        self.successor: Successor | None = None
        self._door: Door | None = None

    def answer(self, door: Door) -> None:
        """From now on there may be one."""
        self._door = door
        self._loop.watch(door.fileno(), self._knocked)

    def _knocked(self) -> None:
        assert self._door is not None
        caller = self._door.open()
        if caller is None:
            return
        under_way = "an upgrade is under way already" if self.successor else ""
        if why := under_way or self._refuse():
            caller.answer(msgspec.json.encode(Outcome(why)))
            return
        self._caller = caller
        self._begin()

    def _begin(self) -> None:
        try:
            one = self.successor = Successor()
        except OSError as error:
            self._fail(f"the new program cannot be started: {error}")
            return
        self._loop.watch(one.fileno(), self._heard)
        self._loop.after(READY_WITHIN, lambda: self._late(one))

    def _heard(self) -> None:
        assert self.successor is not None
        self._loop.unwatch(self.successor.fileno())
        try:
            program = self.successor.ready()
        except UpgradeError as failed:
            self._fail(str(failed))
        else:
            self._ready(program)

    def _late(self, one: Successor) -> None:
        if self.successor is one and not one.program.version:
            self._loop.unwatch(one.fileno())
            self._fail(one.give_up(0.0))

    def give_up(self, why: str) -> None:
        """Something else has come first, for whichever state this is in."""
        if self.successor:
            if not self.successor.program.version:
                self._loop.unwatch(self.successor.fileno())
            self.successor.give_up(0.0)
            self._fail(why)

    def _fail(self, why: str) -> None:
        caller, self.successor, self._caller = self._caller, None, None
        self._failed(why)
        if caller:
            caller.answer(msgspec.json.encode(Outcome(why)))

    def retired(self, sockets: Listeners, handed: Handed, held: list[int]) -> Retired:
        """What is left of the daemon when it has ended."""
        assert self.successor
        assert self._caller
        assert self._door
        return Retired(self.successor, self._caller, sockets, self._door, handed, held)


# --- the new process ----------------------------------------------------------------------------


class Start(NamedTuple):
    """What a daemon begins with."""

    sockets: Listeners
    door: Door | None = None  # None: it builds one
    handed: Handed | None = None
    failed: str = ""  # why the upgrade failed for which this daemon had ended before
    serving: Callable[[], None] | None = None  # to be called then
    held: Sequence[int] = ()  # signals that were meant for it


def succeed(config: Config) -> Start | None:
    """Wait for what the process before us leaves; None where there is none.

    What is wrong with the settings is found before anything is touched: raises `ConfigError`.
    """
    fd = os.environ.pop(VARIABLE, None)
    if fd is None:
        return None
    channel = Channel.inherited(int(fd))
    read_limits(config)
    if config.passwords:
        read_file(config.passwords)
    if config.tls:
        certificate.read(config.tls, Path())
    channel.tell(msgspec.json.encode(this_program()))
    go, fds = channel.receive()
    if not go:
        raise ConfigError("the chatd to succeed is no more")
    return _adopt(config, channel, fds)


def _adopt(config: Config, channel: Channel, fds: Sequence[int]) -> Start:
    errors, state, door, *listeners = fds
    with os.fdopen(state, "rb") as file:
        file.seek(0)
        handed = msgspec.json.decode(file.read(), type=Handed)
    sockets = [adopted(fd) for fd in listeners]
    folder = config.data_for(sockets[0].getsockname()[1])

    def serving() -> None:
        os.dup2(errors, 2)  # what we say there is no longer for the process before us
        os.close(errors)
        with contextlib.suppress(OSError):
            channel.tell(SERVING)
        channel.close()

    return Start(sockets, Door(adopted(door), folder / DOOR), handed, serving=serving)
