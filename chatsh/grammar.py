"""A typed line to an action: the one grammar, as a table of commands and a few rules for the rest.

    /word ...            a command; what is unknown is a complaint and never a message
    //text               the message "/text"
    NAME|text NAME~text  a message to one person, cut at the first of the two signs, if what stands
                         before it is a possible name; `*|text` goes to everyone
    who ? exit bye ...   the bare words
    text                 in general mode a message to everyone

People and groups share one name space: `team|text` goes to a group that one is in. While group mode
asks its questions, a line without a slash is the answer.

What is sent is sent byte for byte: no rule here trims, collapses or unquotes the text of a chat
line. Only commands take quotes off, and only where one pair of them holds the whole text.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from enum import Enum, Flag, auto
from typing import NamedTuple

from chatd.wire.messages import (
    MAX_PAGE,
    AskSeen,
    Group,
    History,
    Newname,
    Outgoing,
    OutgoingBroadcast,
    OutgoingGroup,
    Ping,
    Quit,
    Set,
    Who,
)
from chatd.wire.names import EXIT_WORDS, MAX_NAME, is_name, same


class Mode(Enum):
    """What a line without a slash means; the value stands before the prompt."""

    GENERAL = ""
    TALK = "[{}] "  # ... to the one that has the focus
    DIRECT = "[direct] "
    GROUP = "[group] "
    GROUP_NEW = "[group: make a new one? y/n] "
    GROUP_NAME = "[group: its name] "
    GROUP_MEMBERS = "[group: its members, NAME~NAME~...] "


class Situation(NamedTuple):
    """What a line's meaning depends on besides itself."""

    mode: Mode = Mode.GENERAL
    names: Iterable[str] = ()  # the known ones: only they may hold spaces without quotes
    groups: Iterable[str] = ()  # those one is in
    wanted: str = ""  # the name of the group that is being made
    focus: str = ""  # with whom one talks
    focus_group: bool = False
    me: str = ""

    @property
    def others(self) -> list[str]:
        """The known people but oneself."""
        return [name for name in self.names if same(name) != same(self.me)]


class Switch(NamedTuple):
    """Go to a mode."""

    mode: Mode


class Begin(NamedTuple):
    """A group of this name is to be made; its members are asked for next."""

    group: str


class Focus(NamedTuple):
    """Talk to one person or group, and see them alone; without a name to and of everyone."""

    name: str = ""
    group: bool = False


class Next(NamedTuple):
    """Go where something waits to be seen."""


class Edit(NamedTuple):
    """Go on with a line in an editor."""

    text: str = ""


class Mute(NamedTuple):
    """Let a person or a group not call any more, or again; without a name tell which do not."""

    name: str = ""
    on: bool = True


class Disturb(NamedTuple):
    """Let nobody call, or whoever may; None tells which it is."""

    on: bool | None = None


class Status(NamedTuple):
    """Tell what became of one's own messages, to one person or group or to all."""

    name: str = ""


class Unsent(NamedTuple):
    """Send the messages that an earlier shell could not send, or forget them."""

    drop: bool = False


class Setting(NamedTuple):
    """Show the settings, explain one, or change one to what was typed."""

    name: str = ""
    value: str = ""


class More(NamedTuple):
    """Show a folded text as a whole, the newest for None."""

    number: int | None = None


class Where(NamedTuple):
    """Tell where conversations are kept."""


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
    | OutgoingGroup
    | AskSeen
    | Newname
    | Set
    | Group
    | History
    | Ping
    | Quit
    | Switch
    | Begin
    | Focus
    | Next
    | Edit
    | Mute
    | Disturb
    | Status
    | Unsent
    | Setting
    | More
    | Where
    | Protect
    | Help
    | Complaint
)


class Names(Flag):
    """What a command's first argument may name."""

    PERSON = auto()
    GROUP = auto()


class Topic(Enum):
    """What a command is for; the value heads them in the help, in this order."""

    TALK = "Talk"
    CONVERSATIONS = "Conversations"
    GROUPS = "Groups"
    FIND = "Find"
    YOURSELF = "Yourself"
    SHELL = "The shell"


class Command(NamedTuple):
    """One row of the table; `parse` gets what stands behind the word, without blanks around it."""

    words: tuple[str, ...]  # the first is the one that help shows
    form: str  # of the arguments; what is not in brackets must be there
    does: str
    parse: Callable[[str, Situation], Action | None]  # None: not of this form
    also: tuple[str, ...] = ()  # forms without a slash
    takes: Names = Names(0)  # what can be completed
    choices: tuple[str, ...] = ()  # words that can stand for the argument
    topic: Topic = Topic.SHELL
    examples: tuple[str, ...] = ()

    @property
    def usage(self) -> str:
        """The whole command as it is to be typed."""
        return f"{self.words[0]} {self.form}".rstrip()


SEPARATORS = re.compile(r"[|~]")
EVERYONE = "*"
DEFAULT_PAGE = 20  # messages of a history
# How like another word a misspelt one is (`difflib`). With 0.65, two letters of three that have
# changed their places are near; of commands, half of which have few letters, that is not enough.
NEAR_NAME, NEAR_COMMAND = 0.65, 0.7
_FARTHEST = 2 * MAX_NAME  # characters in which a name ends, blanks too many included
_QUOTED_TEXT = re.compile(r'"((?:[^"]|(?<=\\)")*)(?<!\\)"', re.DOTALL)
_QUOTED_WORD = re.compile(r"""(["'])(.+?)\1(?=\s|$)""")
_WORD_ENDS = re.compile(r"(?=\s)|$")
_LISTED = re.compile(r'"[^"]*"|[^"~|,]+|"')  # commas stand between names, but may be in them too


def parse(line: str, situation: Situation) -> Action | None:
    """What a line asks for; None for a blank one. Total: every line means something."""
    body = line.strip()
    answer = ANSWERS.get(situation.mode)
    if answer and not body.startswith("/"):
        return answer(body, situation)
    if not body:
        return None
    if body.startswith("//"):
        return _chat(line.replace("//", "/", 1), situation)
    if body.startswith("/"):
        return _command(body, situation)
    if situation.mode is Mode.TALK:
        return _for_another(line, situation) or _to_focus(line, situation)
    if body in _BARE_WORDS:
        return _BARE_WORDS[body]
    return _addressed(line, situation) or _chat(line, situation)


def _command(body: str, situation: Situation) -> Action:
    word, *rest = body.split(maxsplit=1)
    command = BY_WORD.get(word.lower())
    if command is None:
        return Complaint(unknown(word))
    action = command.parse(rest[0] if rest else "", situation)
    return Complaint(f"Usage: {command.usage}") if action is None else action


def unknown(word: str) -> str:
    """The complaint about a command that does not exist."""
    hint = did_you_mean(word, BY_WORD, NEAR_COMMAND) or "/help lists all commands."
    return f"There is no command {word}; {hint}"


def did_you_mean(word: str, known: Iterable[str], cutoff: float = NEAR_NAME) -> str:
    """The question whether the nearest of the known words was meant; empty where none is near."""
    by_fold = {same(one.casefold()): one for one in known}
    wanted = same(word.casefold())
    by_fold.pop(wanted, None)
    close = difflib.get_close_matches(wanted, by_fold, n=1, cutoff=cutoff)
    return f"did you mean {by_fold[close[0]]}?" if close else ""


def _addressed(line: str, situation: Situation) -> Action | None:
    cut = SEPARATORS.search(line)
    if cut is None:
        return None
    name, text = line[: cut.start()].strip(), line[cut.end() :]
    if name == EVERYONE and cut[0] == "|":
        return OutgoingBroadcast(text)
    if not is_name(name):
        return None
    return OutgoingGroup(name, text) if _means_group(name, situation) else Outgoing(name, text)


def _means_group(name: str, situation: Situation) -> bool:
    """People and groups share one name space; in group mode an unknown name is a group's."""
    if _known(name, situation.groups):
        return True
    return situation.mode is Mode.GROUP and not _known(name, situation.names)


def _known(name: str, names: Iterable[str]) -> bool:
    return same(name) in {same(one) for one in names}


def _for_another(line: str, situation: Situation) -> Action | None:
    """What looks as if it were for somebody who is known may not go to another one by mistake."""
    cut = SEPARATORS.search(line)
    name = line[: cut.start()].strip() if cut else ""
    known = (EVERYONE, *situation.names, *situation.groups)
    if not cut or not _known(name, known):
        return None
    form = "/bc TEXT" if name == EVERYONE else f"/dm {quoted(name)} TEXT"
    focus = quoted(situation.focus)
    return Complaint(
        f"That would go to {situation.focus}: write {form}, or /dm {focus} TEXT if it should."
    )


def _to_focus(text: str, situation: Situation) -> Action:
    if situation.focus_group:
        return OutgoingGroup(situation.focus, text)
    return Outgoing(situation.focus, text)


def _chat(line: str, situation: Situation) -> Action:
    if situation.mode is Mode.TALK:
        return _to_focus(line, situation)
    if situation.mode in (Mode.DIRECT, Mode.GROUP):
        mode, what = ("direct", "NAME") if situation.mode is Mode.DIRECT else ("group", "GROUP")
        return Complaint(f"In {mode} mode write {what}~TEXT; /exit goes back to everyone.")
    return OutgoingBroadcast(line)


# --- the questions of group mode ----------------------------------------------------------------


def _make_one(answer: str, _: Situation) -> Action:
    return Switch(Mode.GROUP_NAME if answer.lower() in ("y", "yes") else Mode.GROUP)


def _name_it(answer: str, _: Situation) -> Action:
    if not is_name(answer):
        return Complaint("A group cannot be called that; choose another name, or /exit.")
    return Begin(answer)


def _fill_it(answer: str, situation: Situation) -> Action:
    if SEPARATORS.search(answer):
        names = [name.strip() for name in SEPARATORS.split(answer) if name.strip()]
    else:
        names = _names(answer, situation)
    return Group("create", situation.wanted, names)


ANSWERS: dict[Mode, Callable[[str, Situation], Action]] = {
    Mode.GROUP_NEW: _make_one,
    Mode.GROUP_NAME: _name_it,
    Mode.GROUP_MEMBERS: _fill_it,
}


# --- arguments ----------------------------------------------------------------------------------


def unquoted(text: str) -> str:
    r"""The text without the one pair of quotes that holds all of it; in there `\"` is a quote."""
    whole = _QUOTED_TEXT.fullmatch(text)
    return whole[1].replace('\\"', '"') if whole else text


def quoted(name: str) -> str:
    """A name as the first argument of a command."""
    return f'"{name}"' if " " in name or "," in name else name


def split_name(rest: str, names: Iterable[str]) -> tuple[str, str]:
    """The name that a command's arguments begin with, and the text behind it.

    The longest known name wins, then a quoted one, then the first word.
    """
    known = {same(name) for name in names}
    for end in reversed([found.start() for found in _WORD_ENDS.finditer(rest, 0, _FARTHEST)]):
        if same(rest[:end]) in known:
            return rest[:end].rstrip(), rest[end:].lstrip()
    inside = _QUOTED_WORD.match(rest)
    if inside:
        return inside[2], rest[inside.end() :].lstrip()
    name, *text = rest.split(maxsplit=1)
    return name, "".join(text)


def _message(rest: str, situation: Situation) -> Action | None:
    if not rest:
        return None
    name, text = split_name(rest, (*situation.names, *situation.groups))
    if not text:
        return None
    if _known(name, situation.groups):
        return OutgoingGroup(name, unquoted(text))
    return Outgoing(name, unquoted(text))


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


def _leave(rest: str, situation: Situation) -> Action:
    if not rest:
        return Quit()
    group = unquoted(rest)
    if _known(group, situation.groups):
        return Group("leave", group)
    return Complaint(f'There is no group "{group}"; /leave alone leaves the server.')


def _names(rest: str, situation: Situation) -> list[str]:
    """Names with blanks, commas or `~` between them, the longest known one first."""
    known = (*situation.names, *situation.groups)
    names: list[str] = []
    for part in _LISTED.findall(rest):
        left = part.strip()
        while left:
            name, left = split_name(left, known)
            names.append(name)
    return names


GROUP_FORMS: dict[str, Callable[[list[str]], Action | None]] = {
    "create": lambda names: Group("create", names[0], names[1:]) if names else None,
    "add": lambda names: Group("add", names[0], names[1:]) if names[1:] else None,
    "remove": lambda names: Group("remove", names[0], names[1:]) if names[1:] else None,
    "rename": lambda names: Group("rename", names[0], to=names[1]) if len(names) == 2 else None,
    "owner": lambda names: Group("owner", names[0], to=names[1]) if len(names) == 2 else None,
    "leave": lambda names: Group("leave", names[0]) if len(names) == 1 else None,
    "info": lambda names: Group("info", names[0]) if len(names) == 1 else None,
    "delete": lambda names: Group("delete", names[0]) if len(names) == 1 else None,
    "list": lambda names: None if names else Group("list"),
}


def _group(rest: str, situation: Situation) -> Action | None:
    if not rest:
        return Switch(Mode.GROUP_NEW)
    word, *more = rest.split(maxsplit=1)
    form = GROUP_FORMS.get(word.lower())
    return form(_names(more[0] if more else "", situation)) if form else None


def _history(rest: str, situation: Situation) -> Action | None:
    """`[NAME|GROUP] [COUNT]`."""
    name, last = rest, rest.rpartition(" ")[2]
    count = DEFAULT_PAGE
    known = (*situation.names, *situation.groups)
    if last.isascii() and last.isdigit() and not _known(rest, known):
        name, count = rest[: -len(last)].strip(), int(last)
    if not 1 <= count <= MAX_PAGE:
        return Complaint(f"A page has 1 to {MAX_PAGE} messages.")
    if not name:
        return History(all=True, limit=count)
    name = unquoted(name)
    if _known(name, situation.groups):
        return History(group=name, limit=count)
    return History(peer=name, limit=count)


def _talk(rest: str, situation: Situation) -> Action:
    name = unquoted(rest)
    if name in ("", EVERYONE):
        return Focus()
    if not is_name(name):
        return Complaint(f'Nobody is called "{name}"; /talk NAME, or /talk alone for everyone.')
    return Focus(name, _known(name, situation.groups))


def _disturb(rest: str, _: Situation) -> Action | None:
    return (
        Disturb({"": None, "on": True, "off": False}[rest]) if rest in ("", "on", "off") else None
    )


def _mute(*, on: bool) -> Callable[[str, Situation], Action | None]:
    return lambda rest, _: Mute(unquoted(rest), on) if rest or on else None


def _receipts(rest: str, _: Situation) -> Action | None:
    return Set(receipts=rest == "on") if rest in ("on", "off") else None


def _unsent(rest: str, _: Situation) -> Action | None:
    return Unsent(drop=rest == "drop") if rest in ("", "drop") else None


def _setting(rest: str, _: Situation) -> Action:
    name, *value = rest.split(maxsplit=1) or [""]
    return Setting(name.lower(), "".join(value))


def _more(rest: str, _: Situation) -> Action | None:
    if not rest:
        return More()
    return More(int(rest)) if re.fullmatch("[0-9]{1,9}", rest) else None


def _help(rest: str, _: Situation) -> Action:
    if not rest:
        return Help()
    command = BY_WORD.get("/" + rest.lower().removeprefix("/"))
    return Help(command) if command else Complaint(unknown("/" + rest.removeprefix("/")))


COMMANDS = (
    Command(
        ("/dm", "/whisper", "/w", "/msg"),
        "NAME TEXT",
        "send a message to one person",
        _message,
        also=("NAME|TEXT", "NAME~TEXT"),
        takes=Names.PERSON | Names.GROUP,
        topic=Topic.TALK,
        examples=("/dm ben are you there?", '/dm "Ann Lee" hello', "ben|are you there?"),
    ),
    Command(
        ("/bc", "/all"),
        "TEXT",
        "send a message to everyone",
        _to_everyone,
        also=("*|TEXT", "TEXT"),
        topic=Topic.TALK,
        examples=("/bc lunch?", "*|lunch?", "lunch?"),
    ),
    Command(
        ("/direct",),
        "",
        "direct mode: every line is NAME~TEXT, until /exit",
        _alone(lambda: Switch(Mode.DIRECT)),
        topic=Topic.TALK,
        examples=("/direct",),
    ),
    Command(
        ("/talk", "/query"),
        "[NAME or GROUP]",
        "talk to one alone and see only that; alone: to everyone again",
        _talk,
        takes=Names.PERSON | Names.GROUP,
        topic=Topic.CONVERSATIONS,
        examples=("/talk ben", "/talk team", "/talk"),
    ),
    Command(
        ("/next",),
        "",
        "go where something waits to be seen; Alt-N does it too",
        _alone(Next),
        topic=Topic.CONVERSATIONS,
        examples=("/next",),
    ),
    Command(
        ("/edit",),
        "[TEXT]",
        "write in your editor, then send it with Enter; also Ctrl-X Ctrl-E",
        lambda rest, _: Edit(rest),
        topic=Topic.CONVERSATIONS,
        examples=("/edit", "/edit Dear all,"),
    ),
    Command(
        ("/mute",),
        "[NAME or GROUP]",
        "let them not call you; alone: tell who is muted",
        _mute(on=True),
        takes=Names.PERSON | Names.GROUP,
        topic=Topic.CONVERSATIONS,
        examples=("/mute team", "/mute"),
    ),
    Command(
        ("/unmute",),
        "NAME or GROUP",
        "let them call you again",
        _mute(on=False),
        takes=Names.PERSON | Names.GROUP,
        topic=Topic.CONVERSATIONS,
        examples=("/unmute team",),
    ),
    Command(
        ("/dnd",),
        "[on|off]",
        "do not disturb: let nobody call you while this shell runs",
        _disturb,
        choices=("on", "off"),
        topic=Topic.CONVERSATIONS,
        examples=("/dnd on", "/dnd"),
    ),
    Command(
        ("/group",),
        "[create|add|remove|rename|owner|leave|info|list|delete GROUP NAMES]",
        "make and change groups; alone: group mode, to /exit",
        _group,
        also=("GROUP|TEXT", "GROUP~TEXT"),
        topic=Topic.GROUPS,
        examples=(
            "/group create team ben cara",
            '/group add team "Ann Lee"',
            "/group rename team crew",
            "team|hello all of you",
        ),
    ),
    Command(
        ("/leave",),
        "[GROUP]",
        "leave a group; alone: the server",
        _leave,
        takes=Names.GROUP,
        topic=Topic.GROUPS,
        examples=("/leave team",),
    ),
    Command(
        ("/who", "/users", "/names"),
        "",
        "list who is here",
        _alone(Who),
        also=("who",),
        topic=Topic.FIND,
        examples=("/who",),
    ),
    Command(
        ("/seen",),
        "NAME",
        "tell when somebody was last here",
        _name_for(AskSeen),
        takes=Names.PERSON,
        topic=Topic.FIND,
        examples=("/seen ben",),
    ),
    Command(
        ("/history",),
        "[NAME or GROUP] [COUNT]",
        f"show what was said last: {DEFAULT_PAGE} messages, or COUNT",
        _history,
        takes=Names.PERSON | Names.GROUP,
        topic=Topic.FIND,
        examples=("/history", "/history ben", "/history team 50"),
    ),
    Command(
        ("/search",),
        "WORDS",
        "find what was said",
        lambda rest, _: History(all=True, q=rest) if rest else None,
        topic=Topic.FIND,
        examples=("/search lunch friday",),
    ),
    Command(
        ("/more",),
        "[NUMBER]",
        "show a folded text as a whole; alone: the newest",
        _more,
        topic=Topic.FIND,
        examples=("/more", "/more 3"),
    ),
    Command(
        ("/newname", "/nick"),
        "NAME",
        "take another name",
        _name_for(Newname),
        topic=Topic.YOURSELF,
        examples=("/newname ana2",),
    ),
    Command(
        ("/register",),
        "",
        "protect your name with a password",
        _alone(Protect),
        topic=Topic.YOURSELF,
        examples=("/register",),
    ),
    Command(
        ("/status",),
        "[NAME or GROUP]",
        "tell what became of your messages",
        lambda rest, _: Status(unquoted(rest)),
        takes=Names.PERSON | Names.GROUP,
        topic=Topic.YOURSELF,
        examples=("/status", "/status ben"),
    ),
    Command(
        ("/receipts",),
        "on|off",
        "let others know what you have read, or not",
        _receipts,
        choices=("on", "off"),
        topic=Topic.YOURSELF,
        examples=("/receipts off",),
    ),
    Command(
        ("/unsent",),
        "[drop]",
        "send what could not be sent before, or forget it",
        _unsent,
        choices=("drop",),
        topic=Topic.YOURSELF,
        examples=("/unsent", "/unsent drop"),
    ),
    Command(
        ("/set",),
        "[NAME] [VALUE or default]",
        "show your settings, or change one",
        _setting,
        topic=Topic.SHELL,
        examples=("/set", "/set fold 20", "/set fold default"),
    ),
    Command(
        ("/log",),
        "",
        "tell where what is said is kept",
        _alone(Where),
        topic=Topic.SHELL,
        examples=("/log",),
    ),
    Command(
        ("/help", "/?"),
        "[COMMAND]",
        "explain the commands",
        _help,
        also=("?",),
        topic=Topic.SHELL,
        examples=("/help", "/help dm"),
    ),
    Command(
        ("/ping",),
        "[WORD]",
        "wait for the server's answer and everything before it",
        lambda rest, _: Ping(rest or None),
        topic=Topic.SHELL,
        examples=("/ping",),
    ),
    Command(
        ("/exit",),
        "",
        "leave the mode; in general mode, the server",
        _exit,
        topic=Topic.SHELL,
        examples=("/exit",),
    ),
    Command(
        ("/quit", "/disc"),
        "",
        "leave the server",
        _alone(Quit),
        also=tuple(sorted(EXIT_WORDS)),
        topic=Topic.SHELL,
        examples=("/quit",),
    ),
)
BY_WORD = {word: command for command in COMMANDS for word in command.words}

_BARE_WORDS: dict[str, Action] = {"who": Who(), "?": Help(), **dict.fromkeys(EXIT_WORDS, Quit())}
