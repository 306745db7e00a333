"""`chatsh`: arguments to a connection, a connection to what is wanted of it, and that to a code.

Nothing is imported before it is needed: a wrong argument or a server that is down is told at once,
and a script waits for no library of the shell.
"""

from __future__ import annotations

import argparse
import contextlib
import getpass
import os
import re
import signal
import sys
import warnings
from collections.abc import Iterator, Sequence
from types import FrameType

from chatd import __version__
from chatd.wire.errors import ErrorCode
from chatd.wire.messages import Users, Who
from chatd.wire.text import harmless
from chatsh.client import Client, Opened, is_text
from chatsh.destination import (
    DEFAULT_PORT,
    VARIABLE,
    Destination,
    UsageError,
    check_text,
    is_port,
    out_of_range,
    place,
    rather,
    without_questions,
)
from chatsh.exits import ExitCode
from chatsh.lines import Lines, silence
from chatsh.link import TIMEOUT, Address, Link, LinkError, LoginRefusedError, UnknownHostError
from chatsh.settings import SettingsError, load

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
INTERRUPTED = 130  # what shells report of a program that Ctrl-C ended
LONGEST = 7 * 86_400  # seconds of a timeout
FORMS = """\
chatsh [options] [HOST] [PORT] [NAME]
       chatsh HOST PORT [NAME]      for example: chatsh localhost 8000 bob
       chatsh PORT HOST [NAME]      the one that is a number from 1 to 65535 is the port
       chatsh "" PORT [NAME]        "" is this machine
       chatsh HOST,HOST PORT [NAME]              several servers of one chat, HOST:PORT among them
       chatsh PROFILE               a server of the settings file
       chatsh                       asks for what is missing
       chatsh [WHERE] --to NAME [TEXT ...]       sends TEXT, or what comes from a pipe
       chatsh [WHERE] --wait-for PATTERN         prints the first line that it is found in
       chatsh [WHERE] --json                     events as JSON, for programs"""
EPILOG = f"""\
The password is asked for, or taken from CHATSH_PASSWORD. With --to, --wait-for and --json nothing
is asked for: where WHERE is not given, {VARIABLE} says it (a profile, or HOST:PORT), else it is
this machine, port {DEFAULT_PORT}.

  make 2>&1 | chatsh work --to team --code
  chatsh --to bot "deploy" --wait-for '^bot: done' --timeout 600

In the chat, /help explains the commands.

Exit codes: 0 normal, or delivered; 1 cannot connect; 2 usage; 3 connection lost; 4 login refused;
5 removed by the server; 10 queued: stored, but not received yet; 11 the message was refused;
12 no such line came in time."""


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The options and the destination as far as given; ends the program for what is wrong."""
    parser = _parser()
    arguments = _parse(parser, list(sys.argv[1:] if argv is None else argv))
    try:
        for word in (arguments.to or "", *arguments.text):
            check_text(word)
        _check_options(arguments)
        arguments.settings = load()
        arguments.destination = place(arguments.where, arguments.settings.servers)
    except UsageError as error:
        parser.error(str(error))
    except SettingsError as error:
        parser.exit(ExitCode.USAGE, f"chatsh: {harmless(str(error))}\n")
    return arguments


def _parse(parser: argparse.ArgumentParser, words: list[str]) -> argparse.Namespace:
    """What stands before `--to` is the destination, what stands behind it the name and the text."""
    begin = next((at for at, word in enumerate(words) if _is_to(word)), len(words))
    arguments = parser.parse_intermixed_args(words[:begin])
    arguments.where, arguments.to, arguments.text = arguments.words, None, []
    if begin == len(words):
        return arguments
    del arguments.words  # argparse is to begin anew with them
    _, equals, name = words[begin].partition("=")
    rest = words[begin + 1 :]
    if not equals and rest and not rest[0].startswith("--"):
        name = rest.pop(0)
    if not name:
        parser.error("argument --to: whom is the message for?")
    end = rest.index("--") if "--" in rest else len(rest)
    parser.parse_intermixed_args(rest[:end], arguments)
    arguments.to, arguments.text = name, [*arguments.words, *rest[end + 1 :]]
    return arguments


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="chatsh",
        usage=FORMS,
        description="Chat on a chatd server, or on any server of its plain protocol.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("words", nargs="*", help=argparse.SUPPRESS)
    add(
        "--to",
        nargs=1,
        metavar=("NAME",),
        help="send a message to a person, a group or everybody (*); what stands behind it is the "
        "text, behind -- also one that begins with a dash",
    )
    add("--code", action="store_true", help="send the text as a block of code")
    add(
        "--wait-for",
        type=_pattern,
        metavar="PATTERN",
        help="a regular expression, searched in the lines that the shell would show; with --to in "
        "those that come after the message",
    )
    add("--json", action="store_true", help="events, or what became of --to, as JSON objects")
    add("--plain", action="store_true", help="add lines only, for a screen reader")
    add(
        "--tls",
        action=argparse.BooleanOptionalAction,
        help="speak TLS to this machine too, or to no machine (default: to all but this one)",
    )
    add("--no-reconnect", action="store_true", help="exit when the connection is lost")
    add(
        "--timeout",
        type=_seconds,
        metavar="SECONDS",
        help=f"how long to wait: at the start for the server ({TIMEOUT:g}), with --to for the "
        f"receipts ({TIMEOUT:g}), with --wait-for for the line (for ever)",
    )
    add("--version", action="version", version=f"chatsh {__version__}")
    return parser


def _pattern(text: str) -> re.Pattern[str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what may mean something else one day
            return re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise argparse.ArgumentTypeError(f"not a regular expression: {error}") from error


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0 < seconds <= LONGEST:
        raise argparse.ArgumentTypeError(
            f"it takes seconds, up to {LONGEST}, not {harmless(text) or 'nothing'}"
        )
    return seconds


def _is_to(word: str) -> bool:
    return word == "--to" or word.startswith("--to=")


def _check_options(arguments: argparse.Namespace) -> None:
    scripted = arguments.to is not None or arguments.wait_for or arguments.json
    if arguments.code and arguments.to is None:
        raise UsageError("--code goes with --to")
    if arguments.plain and scripted:
        raise UsageError("--plain is for people, and --to, --wait-for and --json are for programs")


# --- for programs -------------------------------------------------------------------------------


def serve(arguments: argparse.Namespace) -> int:
    """What a script wants, without a question; the exit code."""
    with _undisturbed():
        from chatsh import script
    text = script.text_to_send(arguments.text) if arguments.to is not None else ""
    destination = without_questions(
        arguments.destination, arguments.settings.servers, os.environ.get(VARIABLE)
    )
    wanted = script.Wanted(
        arguments.to,
        text,
        arguments.code,
        arguments.wait_for,
        arguments.timeout,
        arguments.json,
    )
    client = Client(destination.name, confirms=False)
    link = _link(destination, client, arguments, min(arguments.timeout or TIMEOUT, TIMEOUT))
    try:
        log_in(link, None)
        if arguments.to is None and arguments.wait_for is None:
            return _converse_with_program(link, reconnect=_to_others(link, arguments))
        return script.run(link, wanted)
    finally:
        link.close()


def _link(
    destination: Destination, client: Client, arguments: argparse.Namespace, timeout: float
) -> Link:
    first, *others = destination.addresses
    tls = destination.tls if arguments.tls is None else arguments.tls
    leaves = not arguments.no_reconnect
    return Link(first, client, others=others, tls=tls, timeout=timeout, leaves=leaves)


def _to_others(link: Link, arguments: argparse.Namespace) -> bool:
    """Whether a program's conversation goes on elsewhere; it waits for no server to come back."""
    return link.several and not arguments.no_reconnect


def _converse_with_program(link: Link, *, reconnect: bool) -> int:
    with _undisturbed():
        from chatsh.events import Events
    lines = Lines(sys.stdin.fileno())
    lines.wake_on_signals()
    return Events(link, lines, reconnect=reconnect).run()


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
    whole = given
    if whole.host is None:
        whole = whole._replace(host=asker.ask("address of the server [this machine]"))
    if whole.lacks_port:
        whole = whole._replace(port=_ask_port(asker))
    if whole.name is None and (asker.terminal or whole != given):
        whole = whole._replace(name=_ask_name(asker) or None)
    return whole._replace(name=whole.name or None)


def _ask_port(asker: Asker) -> int:
    while True:
        answer = asker.ask(f"port [{DEFAULT_PORT}]") or str(DEFAULT_PORT)
        if is_port(answer):
            return int(answer)
        if not asker.terminal:
            raise UsageError(out_of_range(answer))
        print(out_of_range(answer))


def _ask_name(asker: Asker) -> str:
    try:
        return asker.ask("your name [assigned by the server]")
    except UsageError:
        return ""  # a pipe that ends here has nothing more to say


# --- from there to the end ----------------------------------------------------------------------


_MUST_BE_TEXT = "a password is text in UTF-8"


def log_in(link: Link, asker: Asker | None) -> Opened:
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


def _password(name: str | None, asker: Asker | None) -> str | None:
    password = os.environ.get("CHATSH_PASSWORD")
    if not password and asker:
        password = _typed_password(name, asker)
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
    with _undisturbed():
        from chatsh import render
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
    asker = Asker(Lines(sys.stdin.fileno()))
    asker.lines.wake_on_signals()
    destination = complete(arguments.destination, asker)
    name = destination.name
    link = _link(destination, Client(name), arguments, arguments.timeout or TIMEOUT)
    print(f"connecting to {_shown(destination.addresses)}", flush=True)
    try:
        greet(link, log_in(link, asker), name)
        return converse(link, asker, arguments)
    finally:
        link.close()


def _shown(addresses: Sequence[Address]) -> str:
    """One in the words of S1."""
    if len(addresses) > 1:
        return f"one of {'; '.join(map(str, addresses))}"
    ((host, port),) = addresses
    return f"server at {harmless(host) or 'localhost'}, {port}"


def converse(link: Link, asker: Asker, arguments: argparse.Namespace) -> int:
    """The conversation on what is there, a terminal or pipes; the exit code."""
    settings, reconnect = arguments.settings, not arguments.no_reconnect
    if not (asker.terminal and sys.stdout.isatty()):
        with _undisturbed():
            from chatsh.batch import Batch
        elsewhere = _to_others(link, arguments)
        return Batch(link, asker.lines, settings=settings, reconnect=elsewhere).run()
    if arguments.plain:
        with _undisturbed():
            from chatsh.plain import Plain
        return Plain(link, asker.lines, settings=settings, reconnect=reconnect).run()
    with _undisturbed():
        from chatsh import shell  # its libraries take a quarter of a second, needed only here
    return shell.run(link, reconnect=reconnect, settings=settings)


def _open_standard_streams() -> None:
    """Make sure of them: a socket must not take the number of one that was closed."""
    if sys.stdin is None:
        sys.stdin = os.fdopen(os.open(os.devnull, os.O_RDONLY))
    if sys.stdout is None:
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    if sys.stderr is None:
        sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Put signals off: what they raise in the midst of an import may come out as another error."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end(number: int, _: FrameType | None) -> None:
    raise SystemExit(128 + number)


def main(argv: Sequence[str] | None = None) -> int:
    """Run `chatsh`; the exit code."""
    arguments = parse_arguments(argv)
    _open_standard_streams()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)  # until a front has its own way
    scripted = arguments.to is not None or arguments.wait_for or arguments.json
    try:
        return serve(arguments) if scripted else chat(arguments)
    except UsageError as error:
        print(
            f"chatsh: {error}" if scripted else f"chatsh: {error}\nusage: {FORMS}", file=sys.stderr
        )
        return ExitCode.USAGE
    except LinkError as error:
        unknown = isinstance(error, UnknownHostError)
        hint = rather(arguments.where, arguments.settings.servers) if unknown else ""
        print(f"chatsh: {error}{hint}", file=sys.stderr)
        return ExitCode.CANNOT_CONNECT
    except LoginRefusedError as error:
        print(error, file=sys.stderr)
        return ExitCode.REFUSED
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        silence(sys.stdout)
        if isinstance(error, BrokenPipeError):  # who read our output has enough
            return ExitCode.NORMAL
        print(f"chatsh: cannot write the output: {error.strerror}", file=sys.stderr)
        return ExitCode.CANNOT_CONNECT
