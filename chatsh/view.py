"""What is on the screen: which conversation, what waits beside it, and who is called to look.

All of it belongs to the thread that shows things. What was said comes here when it would be shown,
and only then is it decided whether it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from rich.text import Text

from chatd.wire.messages import (
    SERVER,
    AskSeen,
    History,
    Incoming,
    IncomingGroup,
    Item,
    Items,
    Notice,
)
from chatd.wire.names import same
from chatsh import render
from chatsh.attention import Attention, call
from chatsh.drafts import Drafts
from chatsh.link import Link
from chatsh.settings import Settings
from chatsh.talks import EVERYONE, KEPT, Talk, Talks, calls, talk_of
from chatsh.transcript import Transcript

CONTEXT = 10  # items of a conversation that are shown where it gets the focus
COMINGS = ("joined", "quit", "lost", "renamed")  # notices for whoever sees everything

Shown = Text | Callable[[], Text | None]  # the latter is called where it is shown


def text_of(shown: Shown) -> Text | None:
    """The text, now that it is to be shown; None where there is nothing to see."""
    return shown if isinstance(shown, Text) else shown()


class Screen(Protocol):
    """What shows lines. `show` and `refresh` may be called from any thread."""

    def show(self, shown: Shown) -> None:
        """Put lines before the person, soon and in the order of the calls."""

    def call(self, sequence: str) -> None:
        """Give the terminal a sequence that shows nothing there. Only from within `Shown`."""

    def refresh(self) -> None:
        """The status has changed."""

    def columns(self) -> int | None:
        """How wide the terminal is now, in cells; None where a program reads."""


class View:
    """What one person sees of their conversations."""

    def __init__(
        self,
        link: Link,
        screen: Screen,
        settings: Callable[[], Settings],
        transcript: Transcript,
        drafts: Drafts,
    ) -> None:
        self.attention = Attention(link.now, lambda: settings().idle)
        self._link = link
        self._screen = screen
        self._settings = settings
        self._transcript = transcript
        self._drafts = drafts
        self._talks = Talks()
        self._looked_back: dict[str, Talk] = {}  # ids of requests for what was said before
        self._unread: dict[tuple[str | None, str | None], int] = {}  # shown, and not looked at
        self._marked = False  # what came while nobody looked has its mark

    @property
    def focus(self) -> Talk | None:
        """The conversation that alone is on the screen; None: all are."""
        return self._talks.focus

    @property
    def waiting(self) -> str:
        """What waits to be seen, for a status line."""
        return self._talks.unseen(self._settings().mute)

    # --- the person ---

    def attended(self) -> None:
        """Somebody is at the keyboard: what was shown before this has been read."""
        self.attention.pressed()
        self._marked = False
        unread, self._unread = self._unread, {}
        for (peer, group), seq in unread.items():
            self._link.looked(seq, peer=peer, group=group)

    @property
    def draft(self) -> str:
        """What is begun in the conversation that has the focus."""
        return self._drafts.of(self._name)

    def keep_draft(self, text: str) -> None:
        """Remember what is begun there."""
        self._drafts.keep(self._name, text)

    def offer_drafts(self) -> None:
        """Tell what an earlier shell left unfinished elsewhere."""
        begun = self._drafts.others(self._name)
        if begun:
            self._screen.show(render.begun(begun))

    # --- the focus ---

    @property
    def _name(self) -> str:
        return self.focus.name if self.focus else EVERYONE

    def talk_to(self, name: str, *, group: bool = False) -> None:
        """See this conversation alone."""
        self.go(self._talks.get(name, group=group))

    def next(self) -> None:
        """Go where something waits to be seen."""
        talk = self._talks.next()
        if talk is None:
            self._screen.show(render.notice(render.NOTHING_WAITS))
        else:
            self.go(None if talk.name == EVERYONE else talk)

    def back(self) -> None:
        """Go where one was before."""
        self.go(self._talks.before)

    def go(self, talk: Talk | None) -> None:
        """See one conversation alone, None: all of them, and what waits there."""
        seen = talk.seen[-CONTEXT:] if talk else []
        unseen, dropped = self._talks.focus_on(talk)
        lines = [self._transcript.heading(self._name), *map(self._line, seen)]
        if unseen:
            lines += [self._transcript.new(dropped), *map(self._line, unseen)]
        self._screen.show(render.lines(lines))
        for item in unseen:
            self._shown(item)
        if talk and not talk.said:
            self._look_back(talk)
        self._screen.refresh()

    def _look_back(self, talk: Talk) -> None:
        """Ask what was said there before, and whether the other one is here."""
        if not self._link.client.extended:
            return
        peer, group = (None, talk.name) if talk.group else (talk.name, None)
        key = self._link.client.new_id()
        self._looked_back[key] = talk  # before the answer can come, in another thread
        self._link.send(History(peer=peer, group=group, limit=CONTEXT), key)
        if not talk.group and talk.name not in self._link.client.users:
            self._link.send(AskSeen(talk.name))

    def earlier(self, key: str, items: Sequence[Item]) -> bool:
        """What was said before, if this is the answer to our asking for it. From any thread."""
        talk = self._looked_back.pop(key, None)
        if talk is not None and items:
            self._screen.show(lambda: self._remembered(talk, items))
        return talk is not None

    def _remembered(self, talk: Talk, items: Sequence[Item]) -> Text | None:
        """What was said before stands before what came since the question."""
        since = {item.seq for item in talk.said}
        before = [item for item in items if item.seq not in since]
        if len(talk.said) + len(before) <= KEPT:  # else the newest would fall out
            talk.said.extendleft(reversed(before))
        return self._transcript.page(Items(None, before, more=False), self._me) if before else None

    # --- what happens ---

    def arrived(self, item: Item) -> Text | None:
        """What is to be shown of something that was said, now that it would be."""
        if self._own(item):
            self._talks.add_own(item)
            return self._line(item)
        if not self._talks.add(item, called=self._calls(item)):
            self._screen.refresh()
            return None
        self._shown(item)
        if self._marked or self.attention.looking:
            return self._line(item)
        self._marked = True
        return render.lines([self._transcript.new(), self._line(item)])

    def _shown(self, item: Item) -> None:
        """It stands before the person."""
        if item.seq is None:
            return
        if isinstance(item, Incoming) and item.sender != SERVER:
            self._unread[item.sender, None] = item.seq
        elif isinstance(item, IncomingGroup):
            self._unread[None, item.group] = item.seq

    def _calls(self, item: Item) -> bool:
        """Whether it is for this person; where nobody looks, they are called."""
        settings, (talk, _) = self._settings(), talk_of(item)
        if same(talk) in map(same, settings.mute):
            return False
        if not calls(item, (self._me, *settings.mentions)):
            return False
        if not (item.late or settings.dnd) and self.attention.may_call(talk):
            self._screen.call(call(settings.notify, *render.in_short(item)))
        return True

    def told(self, notice: Notice) -> Text | None:
        """With a focus, only what everybody must know or what is about the one talked with."""
        if self.focus and notice.kind in COMINGS and same(self._name) != same(notice.name or ""):
            return None
        return render.notice(notice.text)

    def renamed(self, old: str, new: str) -> None:
        """A person or a group has another name now."""
        self._talks.renamed(old, new)
        self._drafts.renamed(old, new)
        self._screen.refresh()

    @property
    def _me(self) -> str:
        return self._link.client.name or ""

    def _line(self, item: Item) -> Text:
        shown = self._transcript.own if self._own(item) else self._transcript.item
        return shown(item, self._me)

    def _own(self, item: Item) -> bool:
        return getattr(item, "sender", None) == self._me
