"""Conversations: with everyone, with one person, with a group, and what in each is still unseen.

All of it belongs to the thread that shows things: whether an item is seen is decided when it would
be shown, not when it came. Without a focus every conversation is on the screen. With one, only that
is, and what is said elsewhere waits, counted.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from chatd.wire.messages import (
    SERVER,
    Ack,
    GroupEvent,
    Incoming,
    IncomingBroadcast,
    IncomingGroup,
    Item,
    Outgoing,
    OutgoingBroadcast,
    OutgoingGroup,
)
from chatd.wire.names import same
from chatd.wire.text import harmless

KEPT = 1000  # items of one conversation that can be shown again
EVERYONE = "everyone"  # reserved, so no person and no group is called that


@dataclass(slots=True)
class Talk:
    """One conversation, and the newest that was said in it."""

    name: str
    group: bool = False
    said: deque[Item] = field(default_factory=lambda: deque(maxlen=KEPT))
    hidden: int = 0  # how many of the newest were never on the screen
    unread: int = 0  # how many of those are of others
    calls: int = 0  # how many of those are for this person alone, or name them

    @property
    def unseen(self) -> list[Item]:
        """What was never on the screen, as far as it is kept."""
        return list(self.said)[max(len(self.said) - self.hidden, 0) :]

    @property
    def seen(self) -> list[Item]:
        """What was on the screen once."""
        return list(self.said)[: max(len(self.said) - self.hidden, 0)]

    def count(self) -> str:
        """How much is unseen, for a status line: `team 5 (@1)`."""
        named = f" (@{self.calls})" if self.calls and (self.group or self.name == EVERYONE) else ""
        return f"{harmless(self.name)} {self.unread}{named}"


def talk_of(item: Item) -> tuple[str, bool]:
    """The name of the conversation that an item belongs to, and whether that is a group."""
    if isinstance(item, IncomingBroadcast):
        return EVERYONE, False
    if isinstance(item, IncomingGroup | GroupEvent):
        return item.group, True
    return item.to or item.sender, False  # `to` stands in one's own


def own_item(said: Outgoing | OutgoingBroadcast | OutgoingGroup, ack: Ack | None, me: str) -> Item:
    """What was sent from here as others see it; a server of S3 acknowledges nothing."""
    seq, ts = (ack.seq, ack.ts) if ack else (0, "")
    if isinstance(said, OutgoingGroup):
        return IncomingGroup(said.group, me, said.content, seq, ts)
    if isinstance(said, Outgoing):
        return Incoming(me, said.content, seq or None, ts or None, to=said.to)
    return IncomingBroadcast(me, said.content, seq or None, ts or None)


def mentions(text: str, names: tuple[str, ...]) -> list[tuple[int, int]]:
    """Where one of the names stands in a text as a word of its own, in any case: (start, end)."""
    return [found.span() for found in _any_of(names).finditer(text)] if any(names) else []


@lru_cache(maxsize=16)
def _any_of(names: tuple[str, ...]) -> re.Pattern[str]:
    longest_first = sorted(filter(None, names), key=len, reverse=True)
    either = "|".join(map(re.escape, longest_first))
    return re.compile(rf"(?<!\w)(?:{either})(?!\w)", re.IGNORECASE)


def calls(item: Item, names: tuple[str, ...]) -> bool:
    """Whether an item is for the person of these names: said to them alone, or naming them."""
    if isinstance(item, GroupEvent):
        return False
    if isinstance(item, Incoming):
        return item.to is None and item.sender != SERVER
    return bool(mentions(item.content, names))


class Talks:
    """All conversations of one shell, and the one that has the focus."""

    def __init__(self) -> None:
        self.focus: Talk | None = None  # None: everything is on the screen
        self.before: Talk | None = None  # what had the focus before this
        self._talks: dict[str, Talk] = {}

    def get(self, name: str, *, group: bool = False) -> Talk:
        """The conversation with that person or group, begun where there is none."""
        return self._talks.setdefault(same(name), Talk(name, group))

    def _on_screen(self, talk: Talk) -> bool:
        return self.focus in (None, talk)

    def add(self, item: Item, *, called: bool = False) -> bool:
        """Remember an item; whether it is to be shown now."""
        if isinstance(item, Incoming) and item.sender == SERVER:
            return True  # about something that was just done
        name, group = talk_of(item)
        talk = self.get(name, group=group)
        talk.said.append(item)
        if self._on_screen(talk):
            return True
        talk.hidden += 1
        talk.unread += 1
        talk.calls += called
        return False

    def add_own(self, item: Item) -> None:
        """Remember what was said from here; it is always shown."""
        name, group = talk_of(item)
        talk = self.get(name, group=group)
        talk.said.append(item)
        talk.hidden += bool(talk.hidden)  # once more then, behind what it may be an answer to

    def focus_on(self, talk: Talk | None) -> tuple[list[Item], int]:
        """Put this one on the screen, None: all.

        What of it was not seen yet, in the log's order, and how much more is not kept any longer.
        """
        if talk is not self.focus:
            self.before, self.focus = self.focus, talk
        shown = [talk] if talk else list(self._talks.values())
        unseen = [item for one in shown for item in one.unseen]
        dropped = sum(one.hidden for one in shown) - len(unseen)
        for one in shown:
            one.hidden = one.unread = one.calls = 0
        return sorted(unseen, key=lambda item: item.seq or 0), dropped

    def next(self) -> Talk | None:
        """Where to look next: where somebody calls, else where something has waited longest."""
        waiting = sorted(self._waiting(), key=lambda talk: (not talk.calls, _first(talk)))
        return waiting[0] if waiting else None

    def _waiting(self) -> Iterator[Talk]:
        return (talk for talk in self._talks.values() if talk.hidden)

    def unseen(self, muted: Iterable[str]) -> str:
        """How much waits where, for a status line; empty where nothing does."""
        quiet = {same(name) for name in muted}
        return ", ".join(talk.count() for talk in self._waiting() if same(talk.name) not in quiet)

    def renamed(self, old: str, new: str) -> None:
        """A person or a group has another name now; the conversation stays the same."""
        talk = self._talks.pop(same(old), None)
        if talk is not None:
            talk.name = new
            self._talks[same(new)] = talk


def _first(talk: Talk) -> int:
    return talk.unseen[0].seq or 0
