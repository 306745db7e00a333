"""The server's own terminal: what happens, as lines for people, and the commands typed there."""

from __future__ import annotations

import contextlib
import os
import queue
import stat
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec import Struct

from chatd.core import admin
from chatd.core.commands import present
from chatd.core.delivery import server_says
from chatd.core.effects import Effect
from chatd.core.hub import Hub
from chatd.wire.errors import ErrorCode, PeerError
from chatd.wire.text import harmless, harmless_lines

WAITING = 1000  # lines for a terminal that does not take them, as after Ctrl-S
WIDTH = 400  # characters of one line; the log has the whole

Fields = Mapping[str, str | int | None]
SHOWN: dict[str, str] = {
    "connect": "{name} has joined from {address}.",
    "quit": "{name} is quitting. ({address})",
    "lost": "{name} has lost its connection. ({address})",
    "gone": "{name} has left: {reason}. ({address})",
    "renamed": "{name} is now known as {new}.",
    "refused": "refused {address}: {text}",
    "kick": "{name} was removed by {by}.",
    "broadcast": "{from}: {text}",
    "direct": "{from} -> {to}: {text}",
    "error": "an error of ours, noted as {reference} in the log",
    "storage": "cannot store: {reason}",
    "reload": "read again: the passwords, the limits and the certificate.",
    "not reloaded": "everything stays as it was: {failed}",
    "upgrade": "chatd {version}, process {pid}, takes over.",
    "not upgraded": "not upgraded: {failed}",
}
FAILING = {"reload": "not reloaded", "upgrade": "not upgraded"}
REASONS = {
    "quit": "quit", "eof": "lost", "reset": "lost", "timeout": "lost", "idle": "lost", "tls": "lost"
}  # fmt: skip


def as_line(event: str, fields: Fields) -> str | None:
    """An event as a person reads it; None for what only the log is for."""
    if event == "disconnect":
        event = REASONS.get(str(fields["reason"]).partition(":")[0], "gone")
    elif event == "message":
        event = "broadcast" if fields["to"] == "*" else "direct"
        fields = {"text": "(not shown)", **fields}
    elif event in FAILING and "failed" in fields:
        event = FAILING[event]
    shown = SHOWN.get(event)
    if shown is None:
        return None
    line = harmless(shown.format_map(fields))
    return line if len(line) <= WIDTH else line[: WIDTH - 1] + "…"


class Printer:
    """Prints what was said in a turn at its end, so that the terminal costs little for each line.

    A terminal may stand still, as a pipe may: those are written by a thread, so that they stop
    nobody. What takes everything at once, a file or the null device, needs none.
    """

    def __init__(self) -> None:
        self._said: list[str] = []
        self._given = self._printed = 0  # lines, to the thread and by it
        self._lines: queue.SimpleQueue[list[str]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        if _may_wait():
            self._thread = threading.Thread(target=self._print_all, name="printer", daemon=True)
            self._thread.start()

    def say(self, line: str) -> None:
        """Print a line, or drop it where too many wait already."""
        if self._given - self._printed + len(self._said) < WAITING:
            self._said.append(line)

    def flush(self) -> None:
        """Print what was said since the last call."""
        if not self._said:
            return
        said, self._said = self._said, []
        if self._thread is None:
            _print(said)
        else:
            self._given += len(said)
            self._lines.put(said)

    def close(self, patience: float) -> None:
        """Print what waits, for at most so many seconds."""
        self.flush()
        if self._thread is not None:
            self._lines.put([])
            self._thread.join(patience)

    def _print_all(self) -> None:
        while said := self._lines.get():
            _print(said)
            self._printed += len(said)


def _print(lines: list[str]) -> None:
    try:
        _print_text("\n".join(lines))
    except (OSError, ValueError):
        _print_nowhere()


def _print_text(text: str) -> None:
    try:
        print(text, flush=True)
    except UnicodeEncodeError:  # a locale with fewer characters than people use
        print(text.encode("ascii", "backslashreplace").decode(), flush=True)


def _may_wait() -> bool:
    """Whether writing to our output may have to wait for somebody."""
    try:
        about = os.fstat(sys.stdout.fileno())
        nowhere = Path(os.devnull).stat()
    except (AttributeError, OSError, ValueError):
        return True  # nobody knows
    return not (stat.S_ISREG(about.st_mode) or about.st_rdev == nowhere.st_rdev)


def _print_nowhere() -> None:
    """Nobody reads what we print any more: what is left of it would spoil the exit code."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


class ConsoleCommand(Struct, frozen=True):
    """One command of the console: what it takes, what it is for, and what it does."""

    takes: str
    purpose: str
    act: Callable[[Hub, str], list[Effect] | str]


def _all(hub: Hub, text: str) -> list[Effect]:
    return server_says(hub, text)


def _whisper(hub: Hub, rest: str) -> list[Effect]:
    name, text = split_name(hub, rest)
    return server_says(hub, text, to=name)


def _who(hub: Hub, _: str) -> str:
    names = [one.name for one in present(hub)]
    return "\n".join(["current users:", *names]) if names else "nobody is here"


def _kick(hub: Hub, rest: str) -> list[Effect]:
    return admin.kick(hub, rest.strip().strip('"'), "the server")


def _stop(hub: Hub, _: str) -> list[Effect]:
    return hub.shut_down("stopped at the console", hub.now)


COMMANDS: dict[str, ConsoleCommand] = {
    "/all": ConsoleCommand("TEXT", "say something to everyone", _all),
    "/whisper": ConsoleCommand("NAME TEXT", "say something to one", _whisper),
    "/who": ConsoleCommand("", "list who is here", _who),
    "/kick": ConsoleCommand("NAME", "remove somebody", _kick),
    "/stop": ConsoleCommand("", "log everybody off and stop", _stop),
}
FOR_USERS = frozenset(
    {"/help", "/newname", "/nick", "/disc", "/quit", "/leave", "/exit", "/dm", "/bc", "/users"}
)


def split_name(hub: Hub, rest: str) -> tuple[str, str]:
    """A name, quoted or the longest that is here, and the text behind it."""
    if rest.startswith('"') and '"' in rest[1:]:
        name, _, text = rest[1:].partition('"')
        return name, text.strip()
    fitting = [one.name for one in present(hub) if rest.startswith(one.name + " ")]
    name = max(fitting, key=len, default=rest.partition(" ")[0])
    return name, rest[len(name) :].strip()


class Console:
    """Reads the terminal without waiting, and turns its lines into effects."""

    def __init__(self, fd: int, say: Callable[[str], None]) -> None:
        self._fd = fd
        self._say = say
        self._data = b""

    def read(self) -> list[str] | None:
        """The lines that were typed since the last call; None when the terminal is gone."""
        try:
            data = os.read(self._fd, 65_536)
        except OSError:
            return None
        if not data:
            return None
        *lines, self._data = (self._data + data).split(b"\n")
        return [harmless(line.decode(errors="replace")).strip() for line in lines]

    def obey(self, hub: Hub, line: str) -> list[Effect]:
        """Carry out one line; what is wrong with it is said here and nowhere else."""
        word, _, rest = line.partition(" ")
        command = COMMANDS.get(word)
        if command is None:
            if line:
                self._say(_unknown(word))
            return []
        try:
            if command.takes and not rest.strip():
                raise PeerError(ErrorCode.MISSING_FIELD, field=command.takes)
            done = command.act(hub, rest.strip())
        except PeerError as wrong:
            self._say(f"{word}: {wrong}")
            return []
        if isinstance(done, str):
            self._say("\n".join(harmless_lines(done)))
            return []
        return done


def _unknown(word: str) -> str:
    here = ", ".join(f"{name} {command.takes}".strip() for name, command in COMMANDS.items())
    why = f"{word} is only for users" if word in FOR_USERS else f"unknown command {word}"
    return f"{why}; here are: {here}"


def terminal() -> int | None:
    """The descriptor to read commands from: only a terminal whose foreground we are."""
    if sys.stdin is None:
        return None  # closed by whoever started us
    with contextlib.suppress(OSError, ValueError):
        fd = sys.stdin.fileno()
        if os.isatty(fd) and os.tcgetpgrp(fd) == os.getpgrp():
            return fd
    return None
