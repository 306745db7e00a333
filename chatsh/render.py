"""Events to lines for a person, as rich text; every string from elsewhere is made harmless here."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import NamedTuple

from rich.cells import cell_len
from rich.text import Text
from rich.theme import Theme as Styles

from chatd.wire.errors import FAULTS, ErrorCode
from chatd.wire.messages import (
    SERVER,
    Ack,
    GroupEvent,
    GroupInfo,
    Incoming,
    IncomingGroup,
    Item,
    Items,
    Outgoing,
    OutgoingBroadcast,
    OutgoingGroup,
    Seen,
)
from chatd.wire.text import harmless
from chatsh import bodies
from chatsh.themes import THEMES, Theme, name_style
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
NOT_FOLDED = "No text of that number is folded; the last row of a folded one tells its number."
KEPT = "You are not connected; your line is kept and sent when the connection is back."

NOTHING_WAITS = "Nothing waits to be seen."
NOTHING_SENT = "You have sent nothing yet."
AGAIN = "If so, type it again."  # or else the answer to the question would be a message
SHARED = "Others learn what you have read."
NOT_SHARED = "Nobody learns what you have read."
NO_EDITOR = "There is no editor here; type the text itself."
UNDISTURBED = "Nobody can call you now; /dnd off lets them again."
CALLED = "You are called for what is said to you alone, and where your name is said."
OFFLINE = "not connected, trying again"

NOT_EDITED = "The editor was interrupted; the line is as it was."

# Named by what they are for: the theme of the console tells how that looks.
OWN, QUIET, WRONG, DIRECT = "chat.own", "chat.quiet", "chat.wrong", "chat.direct"
NEW, MENTION, HEADING = "chat.new", "chat.mention", "chat.heading"
PLAIN = THEMES["plain"]


class Line(NamedTuple):
    """A message before it is laid out: what stands before its text, and whose it is.

    An event of a group is a head alone, and nobody's.
    """

    head: Text
    content: str = ""
    sender: str | None = None
    own: bool = False


def styles(theme: Theme) -> Styles:
    """A theme as the console of a terminal takes it."""
    return Styles(
        {f"chat.{name}": style for name, style in asdict(theme).items() if isinstance(style, str)}
    )


def line(message: Item, me: str | None = None, theme: Theme = PLAIN) -> Line:
    """What an item of the log says."""
    if isinstance(message, GroupEvent):
        return Line(notice(change(message)))
    own = me is not None and message.sender == me
    to = message.to if isinstance(message, Incoming) else None
    group = message.group if isinstance(message, IncomingGroup) else None
    direct = isinstance(message, Incoming) and message.sender != SERVER
    return _line(message.sender, message.content, theme, own=own, to=to, group=group, direct=direct)


def own_line(message: Item, me: str | None, theme: Theme = PLAIN) -> Line:
    """What somebody has said from here: as everybody sees it, and not to whom."""
    assert not isinstance(message, GroupEvent)
    group = message.group if isinstance(message, IncomingGroup) else None
    direct = isinstance(message, Incoming)
    return _line(me, message.content, theme, own=True, group=group, direct=direct)


def _line(
    name: str | None,
    content: str,
    theme: Theme = PLAIN,
    *,
    own: bool = False,
    to: str | None = None,
    group: str | None = None,
    direct: bool = False,
) -> Line:
    """`alice: `, `[team] alice: ` or `alice -> bob: `, the name marked if `direct`; the text."""
    who = harmless(name or "me") + (f" -> {harmless(to)}" if to is not None else "")
    style = WRONG if name == SERVER else OWN if own else name_style(theme, name or "")
    before = (f"[{harmless(group)}] ", QUIET) if group is not None else ""
    said = Text(who, style)
    if direct:
        said.stylize(DIRECT)
    return Line(Text.assemble(before, said, ": "), content, name, own)


def lines(rows: Iterable[Text]) -> Text:
    """Rows as one text."""
    return Text("\n").join(rows)


def rows(output: str, columns: int) -> int:
    """How many rows lines take that end with a line break, their styles as a terminal has them."""
    widths = map(cell_len, _STYLES.sub("", output).splitlines())
    return sum(max(1, -(-width // columns)) for width in widths)


_STYLES = re.compile(r"\x1b\[[0-9;]*m")


def plain(one: Line) -> Text:
    """A message as long as it is; what follows its first line stands behind a gutter."""
    return lines(bodies.rows(one.head, one.content))


def item(message: Item, *, me: str | None = None, dated: bool = False) -> Text:
    """One item of the log for a program; with its time where it is not from now."""
    shown = plain(line(message, me))
    if not (dated or message.late):
        return shown
    return Text.assemble(stamp(when(message.ts or "")), shown)


def stamp(moment: str) -> Text:
    """`[2026-11-21 10:00] `, before what was not said now."""
    return Text(f"[{moment}] ", QUIET)


def in_short(message: Item) -> tuple[str, str]:
    """Who says what, for a notice outside of the shell."""
    assert not isinstance(message, GroupEvent)
    group = f" in {message.group}" if isinstance(message, IncomingGroup) else ""
    return f"{message.sender}{group}", message.content


def begun(names: Iterable[str]) -> Text:
    """Where an earlier shell left a line unfinished."""
    return notice_lines(
        f"A line to {name} is begun; /talk {name} goes on with it." for name in names
    )


def several(lines: int) -> str:
    """The question before a block is sent."""
    return f"Send these {lines} lines as one message? [y]es, as [c]ode, [n]o: "


def muted(names: Iterable[str]) -> str:
    """Who does not call."""
    return f"These do not call you: {', '.join(names)}." if names else "Nobody is muted."


def groups(info: GroupInfo, *, asked: str) -> Text:
    """The groups of an answer, one per line, and the names that were refused."""
    told = [
        f"{harmless(row.group)}: {', '.join(map(harmless, row.members))}; "
        f"owner {harmless(row.owner)}, made {when(row.created)}"
        for row in info.groups
    ]
    failed = [
        f"{harmless(one.name)}: {_WHY.get(one.error, f'error {one.error}')}" for one in info.failed
    ]
    done = {"leave": "You have left the group.", "delete": "The group is deleted."}
    if not told and not failed:
        told = [done.get(asked, "You are in no group.")]
    return Text("\n".join((*told, *failed)))


_WHY: dict[int, str] = {
    ErrorCode.BAD_NAME: "nobody can be called that",
    ErrorCode.NO_SUCH_USER: "there is nobody of that name",
    ErrorCode.ALREADY_MEMBER: "is in the group already",
    ErrorCode.NO_SUCH_MEMBER: "is not in the group",
    ErrorCode.OWNER_MUST_HAND_OVER: "owns the group",
}


def page(answer: Items, shown: Callable[[Item], Text]) -> Text:
    """What a history or a search has found, oldest first; `shown` is what a program gets."""
    if not answer.items:
        return notice("Nothing was found.")
    found = [shown(one) for one in answer.items]
    return lines(
        [*found, notice("There is more; /history takes a number up to 200.")]
        if answer.more
        else found
    )


def away(ack: Ack) -> Text:
    """The receiver is not there, in S1's words, and then what becomes of the message."""
    name = harmless(ack.absent[0]) if ack.absent else "?"
    seen_at = f"{name} was last here at {when(ack.last_seen)}; " if ack.last_seen else ""
    first = FAULTS[ErrorCode.NO_SUCH_USER].text.format(name=name)
    return lines([wrong(first), notice(f"{seen_at}the message is stored for {name}.")])


def wrong(text: str) -> Text:
    """What the server refused, in its words."""
    return plain(_line(SERVER, text))


def complaint(text: str) -> Text:
    """What the shell itself cannot do."""
    return Text(harmless(text), WRONG)


def notice(text: str) -> Text:
    """Something to know that nobody said."""
    return Text(harmless(text), QUIET)


def notice_lines(texts: Iterable[str]) -> Text:
    """Several things to know, a line each."""
    return lines(map(notice, texts))


def unsent(messages: Iterable[Outgoing | OutgoingBroadcast | OutgoingGroup]) -> Text:
    """What an earlier shell could not send, and what can be done with it."""
    kept = [f"  to {harmless(_receiver(message))}: {message.content}" for message in messages]
    many = len(kept) != 1
    count, it = (f"{len(kept)} lines", "them") if many else ("1 line", "it")
    first = f"{count} from before could not be sent; /unsent sends {it}, /unsent drop forgets {it}:"
    return notice_lines([first, *kept])


def _receiver(message: Outgoing | OutgoingBroadcast | OutgoingGroup) -> str:
    if isinstance(message, Outgoing):
        return message.to
    return message.group if isinstance(message, OutgoingGroup) else "everyone"


def users(names: Iterable[str]) -> Text:
    """The list of those who are here, one name per line."""
    return Text("\n".join([CURRENT_USERS, *map(harmless, names)]))


def seen(answer: Seen) -> Text:
    """Whether somebody is here, and else since when not."""
    name = harmless(answer.name)
    if answer.online:
        return notice(f"{name} is here.")
    if answer.last_seen:
        return notice(f"{name} was last here at {when(answer.last_seen)}.")
    return notice(f"{name} was never here.")


def pong(word: object) -> Text:
    """The answer to a ping, with the word that was given to it."""
    return notice("pong" if word is None else f"pong {word}")
