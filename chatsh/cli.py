"""`chatsh`: arguments to a connection, a connection to a conversation, and that to an exit code.

Everything up to the open session happens before the shell's libraries are imported: a wrong
argument or a server that is down is told at once.
"""

from __future__ import annotations

import argparse
import getpass
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NamedTuple

from chatd import __version__
from chatd.wire.errors import ErrorCode
from chatd.wire.messages import Users, Who
from chatd.wire.text import harmless
from chatsh import render
from chatsh.batch import Batch
from chatsh.client import Client, Opened, is_text
from chatsh.exits import ExitCode
from chatsh.lines import Lines
from chatsh.link import MAX_PORT, TIMEOUT, Address, Link, LinkError, LoginRefusedError
from chatsh.settings import Settings, SettingsError, load

DEFAULT_PORT = 8000
INTERRUPTED = 130  # what shells report of a program that Ctrl-C ended
FORMS = """\
chatsh [options] [HOST] [PORT] [NAME]
       chatsh HOST PORT [NAME]      for example: chatsh localhost 8000 bob
       chatsh PORT HOST [NAME]      the one that is a number from 1 to 65535 is the port
       chatsh "" PORT [NAME]        "" is this machine
       chatsh                       asks for what is missing"""


class UsageError(Exception):
    """The arguments, or the answers to our questions, cannot be used."""


class Destination(NamedTuple):
    """Whom to call, under which name; None is what was not given."""

    host: str | None = None
    port: int | None = None
    name: str | None = None


def place(words: Sequence[str]) -> Destination:
    """The arguments in whatever order they came; raises `UsageError`."""
    if len(words) > 3:
        raise UsageError(f"too many arguments: {harmless(' '.join(words[3:]))}")
    for word in words:
        if not is_text(word):
            raise UsageError(f"{_shown(word)} is no text in UTF-8")
    where, name = words[:2], next(iter(words[2:]), None)
    ports = [word for word in where if _is_port(word)]
    hosts = [word for word in where if not _is_port(word)]
    if len(ports) > 1:
        raise UsageError(f"{ports[0]} and {ports[1]} are both ports, and no host is among them")
    if len(hosts) > 1:
        raise UsageError(_no_port(hosts))
    if hosts and hosts[0].lstrip("+-").isdecimal():
        raise UsageError(_out_of_range(hosts[0]))
    host, port = next(iter(hosts), None), next(iter(ports), None)
    return Destination(host, int(port) if port else None, name)


def _is_port(word: str) -> bool:
    return word.isascii() and word.isdecimal() and len(word) <= 5 and 1 <= int(word) <= MAX_PORT


def _no_port(words: Sequence[str]) -> str:
    for word in words:
        if word.lstrip("+-").isdecimal():
            return _out_of_range(word)
    return f"neither {_shown(words[0])} nor {_shown(words[1])} is a port"


def _out_of_range(word: str) -> str:
    return f"{_shown(word)} is not a port: it is a number from 1 to {MAX_PORT}"


def _shown(word: str) -> str:
    return harmless(word) or '""'


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The options, and the destination as far as given; ends the program for a wrong one."""
    parser = argparse.ArgumentParser(
        prog="chatsh",
        usage=FORMS,
        description="Chat on a chatd server, or on any server of its plain protocol.",
        epilog="The password is asked for, or taken from CHATSH_PASSWORD. In the chat, /help "
        "explains the commands. Exit codes: 0 normal, 1 cannot connect, 2 usage, 3 connection "
        "lost, 4 login refused, 5 removed by the server.",
    )
    parser.add_argument("words", nargs="*", help=argparse.SUPPRESS)
    parser.add_argument(
        "--no-reconnect", action="store_true", help="exit when the connection is lost"
    )
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=TIMEOUT,
        metavar="SECONDS",
        help="how long to wait for the server at the start (%(default)g)",
    )
    parser.add_argument("--version", action="version", version=f"chatsh {__version__}")
    arguments = parser.parse_intermixed_args(argv)
    try:
        arguments.destination = place(arguments.words)
    except UsageError as error:
        parser.error(str(error))
    return arguments


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < 3600:
        raise ValueError(text)
    return seconds


# --- asking for what is missing -----------------------------------------------------------------


class Asker:
    """Questions on a terminal, or their answers from a pipe."""

    def __init__(self, lines: Lines) -> None:
        self.lines = lines
        self.terminal = os.isatty(lines.fd)

    def ask(self, question: str) -> str:
        """One answer; raises `UsageError` where there is none."""
        if self.terminal:
            seen = sys.stdout if sys.stdout.isatty() else sys.stderr
            print(f"{question}: ", end="", flush=True, file=seen)
        answer = self.lines.next()
        if answer is None:
            raise UsageError(f"the input ended before the answer to: {question}")
        return answer.strip()


def complete(given: Destination, asker: Asker) -> Destination:
    """The destination with what was missing asked for."""
    host, port, name = given
    if host is None:
        host = asker.ask("address of the server [this machine]")
    if port is None:
        port = _ask_port(asker)
    asked = given.host is None or given.port is None
    if name is None and (asker.terminal or asked):
        name = _ask_name(asker)
    return Destination(host, port, name or None)


def _ask_port(asker: Asker) -> int:
    while True:
        answer = asker.ask(f"port [{DEFAULT_PORT}]") or str(DEFAULT_PORT)
        if _is_port(answer):
            return int(answer)
        if not asker.terminal:
            raise UsageError(_out_of_range(answer))
        print(_out_of_range(answer))


def _ask_name(asker: Asker) -> str:
    try:
        return asker.ask("your name [assigned by the server]")
    except UsageError:
        return ""  # a pipe that ends here has nothing more to say


# --- from there to the end ----------------------------------------------------------------------


_MUST_BE_TEXT = "a password is text in UTF-8"


def log_in(link: Link, asker: Asker) -> Opened:
    """Open the link, with a password where the server wants one."""
    try:
        return link.open()
    except LoginRefusedError as refused:
        if refused.error.error != ErrorCode.PASSWORD_REQUIRED:
            raise
        link.client.password = _password(link.client.name, asker)
        if not link.client.password:
            raise
    return link.open()


def _password(name: str | None, asker: Asker) -> str | None:
    password = os.environ.get("CHATSH_PASSWORD") or _typed_password(name, asker)
    if password and not is_text(password):
        raise UsageError(_MUST_BE_TEXT)
    return password


def _typed_password(name: str | None, asker: Asker) -> str | None:
    if not asker.terminal:
        return None
    try:
        return getpass.getpass(f"password of {harmless(name or 'this name')}: ")
    except EOFError:
        print()
        return None
    except UnicodeDecodeError as error:
        raise UsageError(_MUST_BE_TEXT) from error


def greet(link: Link, opened: Opened, asked_name: str | None) -> None:
    """Print what a newcomer sees before the first prompt."""
    if opened.motd:
        print(harmless(opened.motd))
    if opened.gap:
        print(render.GAP)
    if opened.name and not asked_name:
        print(f"you are {harmless(opened.name)}")
    answer = link.ask(Who())
    print(render.users(answer.users if isinstance(answer, Users) else ()).plain)
    print(flush=True)


def chat(arguments: argparse.Namespace) -> int:
    """One conversation, from the connection to the exit code."""
    settings = load()
    asker = Asker(Lines(sys.stdin.fileno()))
    asker.lines.wake_on_signals()
    host, port, name = complete(arguments.destination, asker)
    assert host is not None
    assert port is not None
    address = Address(host, port)
    print(f"connecting to server at {harmless(host) or 'localhost'}, {port}", flush=True)
    link = Link(address, Client(name), timeout=arguments.timeout)
    try:
        greet(link, log_in(link, asker), name)
        return converse(link, asker, settings, reconnect=not arguments.no_reconnect)
    finally:
        link.close()


def converse(link: Link, asker: Asker, settings: Settings, *, reconnect: bool) -> int:
    """The conversation on what is there, a terminal or pipes; the exit code."""
    if not (asker.terminal and sys.stdout.isatty()):
        return Batch(link, asker.lines, settings).run()
    from chatsh import shell  # its libraries take a quarter of a second, needed only here

    return shell.run(link, reconnect=reconnect, settings=settings)


def _open_standard_streams() -> None:
    """Make sure of them: a socket must not take the number of one that was closed."""
    if sys.stdin is None:
        sys.stdin = os.fdopen(os.open(os.devnull, os.O_RDONLY))
    if sys.stdout is None:
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]


def _end(number: int, _: FrameType | None) -> None:
    raise SystemExit(128 + number)


def main(argv: Sequence[str] | None = None) -> int:
    """Run `chatsh`; the exit code."""
    arguments = parse_arguments(argv)
    _open_standard_streams()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)  # until a front has its own way
    try:
        return chat(arguments)
    except UsageError as error:
        print(f"chatsh: {error}\nusage: {FORMS}", file=sys.stderr)
        return ExitCode.USAGE
    except SettingsError as error:
        print(f"chatsh: {error}", file=sys.stderr)
        return ExitCode.USAGE
    except LinkError as error:
        print(f"chatsh: {error}", file=sys.stderr)
        return ExitCode.CANNOT_CONNECT
    except LoginRefusedError as error:
        print(error, file=sys.stderr)
        return ExitCode.REFUSED
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        # Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):  # who read our output has enough
            return ExitCode.NORMAL
        print(f"chatsh: cannot write the output: {error.strerror}", file=sys.stderr)
        return ExitCode.CANNOT_CONNECT
