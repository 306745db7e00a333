"""A typed line to an action: the one grammar, as a table of commands and a few rules for the rest.

    /word ...            a command; what is unknown is a complaint and never a message
    //text               the message "/text"
    NAME|text NAME~text  a message to one person, cut at the first of the two signs, if what stands
                         before it is a possible name; `*|text` goes to everyone
    who ? exit bye ...   the bare words
    text                 in general mode a message to everyone

What is sent is sent byte for byte: no rule here trims, collapses or unquotes the text of a chat
line. Only commands take quotes off, and only where one pair of them holds the whole text.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from enum import Enum
from typing import NamedTuple

from chatd.wire.errors import PeerError
from chatd.wire.messages import (
    AskSeen,
    Newname,
    Outgoing,
    OutgoingBroadcast,
    Ping,
    Quit,
    Who,
)
from chatd.wire.names import EXIT_WORDS, MAX_NAME, fold, is_name


class Mode(Enum):
    """What a line without a slash means; the value stands before the prompt."""

    GENERAL = ""
    DIRECT = "[direct] "


class Situation(NamedTuple):
    """What a line's meaning depends on besides itself."""

    mode: Mode = Mode.GENERAL
    names: Iterable[str] = ()  # the known ones: only they may hold spaces without quotes


class Switch(NamedTuple):
    """Go to a mode."""

    mode: Mode


class Protect(NamedTuple):
    """Ask for a password and register the present name with it."""


class Help(NamedTuple):
    """Explain one command, or all of them."""

    command: Command | None = None


class Complaint(NamedTuple):
    """The line cannot be done; `text` says what to do instead."""

    text: str


Action = (
    Who
    | Outgoing
    | OutgoingBroadcast
    | AskSeen
    | Newname
    | Ping
    | Quit
    | Switch
    | Protect
    | Help
    | Complaint
)


class Command(NamedTuple):
    """One row of the table; `parse` gets what stands behind the word, without blanks around it."""

    words: tuple[str, ...]  # the first is the one that help shows
    form: str  # of the arguments; what is not in brackets must be there
    does: str
    parse: Callable[[str, Situation], Action | None]  # None: not of this form
    also: tuple[str, ...] = ()  # forms without a slash
    takes_name: bool = False  # the first argument is somebody's name

    @property
    def usage(self) -> str:
        """The whole command as it is to be typed."""
        return f"{self.words[0]} {self.form}".rstrip()


SEPARATORS = re.compile(r"[|~]")
EVERYONE = "*"
_FARTHEST = 2 * MAX_NAME  # characters in which a name ends, blanks too many included
_QUOTED_TEXT = re.compile(r'"((?:[^"]|(?<=\\)")*)(?<!\\)"', re.DOTALL)
_QUOTED_WORD = re.compile(r"""(["'])(.+?)\1(?=\s|$)""")
_WORD_ENDS = re.compile(r"(?=\s)|$")


def parse(line: str, situation: Situation) -> Action | None:
    """What a line asks for; None for a blank one. Total: every line means something."""
    body = line.strip()
    if not body:
        return None
    if body.startswith("//"):
        return _chat(line.replace("//", "/", 1), situation)
    if body.startswith("/"):
        return _command(body, situation)
    if body in _BARE_WORDS:
        return _BARE_WORDS[body]
    return _addressed(line) or _chat(line, situation)


def _command(body: str, situation: Situation) -> Action:
    word, *rest = body.split(maxsplit=1)
    command = BY_WORD.get(word.lower())
    if command is None:
        return Complaint(unknown(word))
    action = command.parse(rest[0] if rest else "", situation)
    return Complaint(f"Usage: {command.usage}") if action is None else action


def unknown(word: str) -> str:
    """The complaint about a command that does not exist."""
    close = difflib.get_close_matches(word.lower(), BY_WORD, n=1, cutoff=0.7)
    hint = f"did you mean {close[0]}?" if close else "/help lists all commands."
    return f"There is no command {word}; {hint}"


def _addressed(line: str) -> Action | None:
    cut = SEPARATORS.search(line)
    if cut is None:
        return None
    name, text = line[: cut.start()].strip(), line[cut.end() :]
    if name == EVERYONE and cut[0] == "|":
        return OutgoingBroadcast(text)
    return Outgoing(name, text) if is_name(name) else None


def _chat(line: str, situation: Situation) -> Action:
    if situation.mode is Mode.DIRECT:
        return Complaint("In direct mode write NAME~TEXT; /exit goes back to everyone.")
    return OutgoingBroadcast(line)


# --- arguments ----------------------------------------------------------------------------------


def unquoted(text: str) -> str:
    r"""The text without the one pair of quotes that holds all of it; in there `\"` is a quote."""
    whole = _QUOTED_TEXT.fullmatch(text)
    return whole[1].replace('\\"', '"') if whole else text


def quoted(name: str) -> str:
    """A name as the first argument of a command."""
    return f'"{name}"' if " " in name else name


def split_name(rest: str, names: Iterable[str]) -> tuple[str, str]:
    """The name that a command's arguments begin with, and the text behind it.

    The longest known name wins, then a quoted one, then the first word.
    """
    known = {_folded(name) for name in names}
    for end in reversed([found.start() for found in _WORD_ENDS.finditer(rest, 0, _FARTHEST)]):
        if _folded(rest[:end]) in known:
            return rest[:end].rstrip(), rest[end:].lstrip()
    inside = _QUOTED_WORD.match(rest)
    if inside:
        return inside[2], rest[inside.end() :].lstrip()
    name, *text = rest.split(maxsplit=1)
    return name, "".join(text)


def _folded(name: str) -> str | None:
    try:
        return fold(name)
    except PeerError:
        return None


def _message(rest: str, situation: Situation) -> Action | None:
    if not rest:
        return None
    name, text = split_name(rest, situation.names)
    return Outgoing(name, unquoted(text)) if text else None


def _to_everyone(rest: str, _: Situation) -> Action | None:
    return OutgoingBroadcast(unquoted(rest)) if rest else None


def _name_for(make: Callable[[str], Action]) -> Callable[[str, Situation], Action | None]:
    return lambda rest, _: make(unquoted(rest)) if rest else None


def _alone(make: Callable[[], Action]) -> Callable[[str, Situation], Action | None]:
    return lambda rest, _: None if rest else make()


def _exit(rest: str, situation: Situation) -> Action | None:
    if rest:
        return None
    return Quit() if situation.mode is Mode.GENERAL else Switch(Mode.GENERAL)


def _leave(rest: str, _: Situation) -> Action:
    if rest:
        return Complaint(f'There is no group "{rest}"; /leave alone leaves the server.')
    return Quit()


def _help(rest: str, _: Situation) -> Action:
    if not rest:
        return Help()
    command = BY_WORD.get("/" + rest.lower().removeprefix("/"))
    return Help(command) if command else Complaint(unknown("/" + rest.removeprefix("/")))


COMMANDS = (
    Command(("/who", "/users"), "", "list who is here", _alone(Who), also=("who",)),
    Command(
        ("/dm", "/whisper", "/w", "/msg"),
        "NAME TEXT",
        "send a message to one person",
        _message,
        also=("NAME|TEXT", "NAME~TEXT"),
        takes_name=True,
    ),
    Command(
        ("/bc", "/all"),
        "TEXT",
        "send a message to everyone",
        _to_everyone,
        also=("*|TEXT", "TEXT"),
    ),
    Command(
        ("/direct",),
        "",
        "direct mode: every line is NAME~TEXT, until /exit",
        _alone(lambda: Switch(Mode.DIRECT)),
    ),
    Command(("/newname", "/nick"), "NAME", "take another name", _name_for(Newname)),
    Command(("/register",), "", "protect your name with a password", _alone(Protect)),
    Command(
        ("/seen",),
        "NAME",
        "tell when somebody was last here",
        _name_for(AskSeen),
        takes_name=True,
    ),
    Command(
        ("/ping",),
        "[WORD]",
        "wait for the server's answer and everything before it",
        lambda rest, _: Ping(rest or None),
    ),
    Command(("/help",), "[COMMAND]", "explain the commands", _help, also=("?",)),
    Command(("/exit",), "", "leave the mode; in general mode, the server", _exit),
    Command(
        ("/quit", "/disc"),
        "",
        "leave the server",
        _alone(Quit),
        also=tuple(sorted(EXIT_WORDS)),
    ),
    Command(("/leave",), "", "leave the server", _leave),
)
BY_WORD = {word: command for command in COMMANDS for word in command.words}

_BARE_WORDS: dict[str, Action] = {"who": Who(), "?": Help(), **dict.fromkeys(EXIT_WORDS, Quit())}
