"""Events to lines for a person, as rich text; every string from elsewhere is made harmless here."""

from __future__ import annotations

from collections.abc import Iterable

from rich.text import Text

from chatd.wire.messages import SERVER, Seen
from chatd.wire.text import harmless
from chatsh.grammar import COMMANDS, Command

PROMPT = "enter your message> "
CURRENT_USERS = "current users:"
LOST = "The connection to the server was lost."
CONNECTED_AGAIN = "connected again"
UNREACHABLE = "The server cannot be reached; you have been logged out."
SHUTDOWN = "The server is shutting down; you have been logged off."
KEPT = "You are not connected; your line is kept and sent when the connection is back."

NAME, OWN, QUIET, WRONG = "bold cyan", "bold", "dim", "red"


def said(name: str | None, content: str, *, own: bool = False) -> Text:
    """One message: `alice: hi`, whoever said it."""
    who = harmless(name or "me")
    style = WRONG if name == SERVER else OWN if own else NAME
    return Text.assemble((who, style), ": ", harmless(content))


def wrong(text: str) -> Text:
    """What the server refused, in its words."""
    return said(SERVER, text)


def complaint(text: str) -> Text:
    """What the shell itself cannot do."""
    return Text(harmless(text), WRONG)


def notice(text: str) -> Text:
    """Something to know that nobody said."""
    return Text(harmless(text), QUIET)


def users(names: Iterable[str]) -> Text:
    """The list of those who are here, one name per line."""
    return Text("\n".join([CURRENT_USERS, *map(harmless, names)]))


def seen(answer: Seen) -> Text:
    """Whether somebody is here, and else since when not."""
    if answer.online:
        return notice(f"{answer.name} is here.")
    if answer.last_seen:
        return notice(f"{answer.name} was last here at {answer.last_seen}.")
    return notice(f"{answer.name} was never here.")


def pong(word: object) -> Text:
    """The answer to a ping, with the word that was given to it."""
    return notice("pong" if word is None else f"pong {word}")


def all_commands() -> Text:
    """Every command, with its other forms under it."""
    width = max(len(command.usage) for command in COMMANDS)
    rows = [_explained(command, width) for command in COMMANDS]
    return Text("\n".join([*rows, "A text that begins with / is sent as //text."]))


def one_command(command: Command) -> Text:
    """What one command does and how it may be typed."""
    return Text(_explained(command, len(command.usage)))


def _explained(command: Command, width: int) -> str:
    others = (*command.words[1:], *command.also)
    also = f"\n{'':{width}}  also: {'  '.join(others)}" if others else ""
    return f"{command.usage:<{width}}  {command.does}{also}"
