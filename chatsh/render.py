"""Events to lines for a person, as rich text; every string from elsewhere is made harmless here."""

from __future__ import annotations

from collections.abc import Iterable

from rich.text import Text

from chatd.wire.errors import FAULTS, ErrorCode
from chatd.wire.messages import (
    SERVER,
    Ack,
    GroupEvent,
    GroupInfo,
    Incoming,
    IncomingBroadcast,
    IncomingGroup,
    Item,
    Items,
    Outgoing,
    OutgoingBroadcast,
    OutgoingGroup,
    Seen,
)
from chatd.wire.text import harmless
from chatsh.grammar import COMMANDS, Command
from chatsh.wording import change, when

PROMPT = "enter your message> "
CURRENT_USERS = "current users:"
LOST = "The connection to the server was lost."
CONNECTED_AGAIN = "connected again"
UNREACHABLE = "The server cannot be reached; you have been logged out."
SHUTDOWN = "The server is shutting down; you have been logged off."
GAP = "Some of what was said meanwhile is not kept any more."
KEPT_FOR_LATER = "What could not be sent is kept for the next time."
NOT_KEPT = "What could not be sent is lost:"
KEPT = "You are not connected; your line is kept and sent when the connection is back."

HELP_COLUMN = 24  # where explanations begin, so that they fit into 80 columns

NAME, OWN, QUIET, WRONG = "bold cyan", "bold", "dim", "red"


def said(name: str | None, content: str, *, own: bool = False) -> Text:
    """One message: `alice: hi`, whoever said it."""
    who = harmless(name or "me")
    style = WRONG if name == SERVER else OWN if own else NAME
    return Text.assemble((who, style), ": ", harmless(content))


def item(message: Item, *, me: str | None = None, dated: bool = False) -> Text:
    """One item of the log as a line; with its time where it is not from now."""
    line = notice(change(message)) if isinstance(message, GroupEvent) else _said(message, me)
    if not (dated or message.late):
        return line
    return Text.assemble((f"[{when(message.ts or '')}] ", QUIET), line)


def _said(message: Incoming | IncomingBroadcast | IncomingGroup, me: str | None) -> Text:
    own = me is not None and message.sender == me
    if isinstance(message, IncomingGroup):
        return in_group(message.group, message.sender, message.content, own=own)
    if isinstance(message, Incoming) and message.to is not None:
        return said(f"{message.sender} -> {message.to}", message.content, own=own)
    return said(message.sender, message.content, own=own)


def in_group(group: str, name: str | None, content: str, *, own: bool = False) -> Text:
    """One message to a group: `[team] alice: hi`."""
    return Text.assemble((f"[{harmless(group)}] ", QUIET), said(name, content, own=own))


def groups(info: GroupInfo, *, asked: str) -> Text:
    """The groups of an answer, one per line, and the names that were refused."""
    lines = [
        f"{row.group}: {', '.join(row.members)}; owner {row.owner}, made {when(row.created)}"
        for row in info.groups
    ]
    failed = [f"{one.name}: {_WHY.get(one.error, f'error {one.error}')}" for one in info.failed]
    done = {"leave": "You have left the group.", "delete": "The group is deleted."}
    if not lines and not failed:
        lines = [done.get(asked, "You are in no group.")]
    return Text("\n".join(harmless(line) for line in (*lines, *failed)))


_WHY: dict[int, str] = {
    ErrorCode.BAD_NAME: "nobody can be called that",
    ErrorCode.NO_SUCH_USER: "there is nobody of that name",
    ErrorCode.ALREADY_MEMBER: "is in the group already",
    ErrorCode.NO_SUCH_MEMBER: "is not in the group",
    ErrorCode.OWNER_MUST_HAND_OVER: "owns the group",
}


def page(answer: Items, me: str | None) -> Text:
    """What a history or a search has found, oldest first."""
    if not answer.items:
        return notice("Nothing was found.")
    rows = [item(one, me=me, dated=True) for one in answer.items]
    return Text("\n").join([*rows, notice("There is more.")] if answer.more else rows)


def away(ack: Ack) -> Text:
    """The receiver is not there, in S1's words, and then what becomes of the message."""
    name = ack.absent[0] if ack.absent else "?"
    seen_at = f"{name} was last here at {when(ack.last_seen)}; " if ack.last_seen else ""
    first = FAULTS[ErrorCode.NO_SUCH_USER].text.format(name=name)
    return Text("\n").join([wrong(first), notice(f"{seen_at}the message is stored for {name}.")])


def wrong(text: str) -> Text:
    """What the server refused, in its words."""
    return said(SERVER, text)


def complaint(text: str) -> Text:
    """What the shell itself cannot do."""
    return Text(harmless(text), WRONG)


def notice(text: str) -> Text:
    """Something to know that nobody said."""
    return Text(harmless(text), QUIET)


def notice_lines(lines: Iterable[str]) -> Text:
    """Several things to know, a line each."""
    return Text("\n").join(notice(line) for line in lines)


def unsent(messages: Iterable[Outgoing | OutgoingBroadcast | OutgoingGroup]) -> Text:
    """What an earlier shell could not send, and what can be done with it."""
    lines = [f"  to {_receiver(message)}: {message.content}" for message in messages]
    many = len(lines) != 1
    count, it = (f"{len(lines)} lines", "them") if many else ("1 line", "it")
    first = f"{count} from before could not be sent; /unsent sends {it}, /unsent drop forgets {it}:"
    return notice_lines([first, *lines])


def _receiver(message: Outgoing | OutgoingBroadcast | OutgoingGroup) -> str:
    if isinstance(message, Outgoing):
        return message.to
    return message.group if isinstance(message, OutgoingGroup) else "everyone"


def users(names: Iterable[str]) -> Text:
    """The list of those who are here, one name per line."""
    return Text("\n".join([CURRENT_USERS, *map(harmless, names)]))


def seen(answer: Seen) -> Text:
    """Whether somebody is here, and else since when not."""
    if answer.online:
        return notice(f"{answer.name} is here.")
    if answer.last_seen:
        return notice(f"{answer.name} was last here at {when(answer.last_seen)}.")
    return notice(f"{answer.name} was never here.")


def pong(word: object) -> Text:
    """The answer to a ping, with the word that was given to it."""
    return notice("pong" if word is None else f"pong {word}")


def all_commands() -> Text:
    """Every command, with its other forms under it."""
    rows = [_explained(command, HELP_COLUMN) for command in COMMANDS]
    return Text("\n".join([*rows, "A text that begins with / is sent as //text."]))


def one_command(command: Command) -> Text:
    """What one command does and how it may be typed."""
    return Text(_explained(command, len(command.usage)))


def _explained(command: Command, width: int) -> str:
    others = (*command.words[1:], *command.also)
    also = f"\n{'':{width}}  also: {'  '.join(others)}" if others else ""
    if len(command.usage) > width:  # as long as a line itself
        return f"{command.usage}\n{'':{width}}  {command.does}{also}"
    return f"{command.usage:<{width}}  {command.does}{also}"
