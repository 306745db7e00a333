"""Who plays: every actor has one append-only transcript and one cursor."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from msgspec import Struct, field

from harness.journal import Journal
from harness.links import Link
from harness.patterns import Item, Pattern
from harness.reactor import Reactor
from harness.scope import TOKEN


class Hidden(Struct):
    """An answer that the harness waits for and nobody else shall see."""

    pattern: Pattern
    seen: bool = False


class Counted(Struct):
    """A question without a token: its answers come in the order of asking, whoever asked."""

    pattern: Pattern
    asked: deque[Hidden | None] = field(default_factory=deque)  # none: the scenario itself asked


class Launch(Struct, frozen=True):
    """Everything needed to start an actor."""

    command: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path = Path()
    size: tuple[int, int] = (80, 24)
    prompt: Any = None  # compiled
    view: str = "lines"  # of a terminal; or screen, canvas
    echo: bool = True  # screen and canvas: an entered line stays on the screen
    address: tuple[str, int] = ("", 0)
    frames: str = "json-lines"
    paced: bool = False  # socket: a piece is sent once the one before was read
    slow: bool = False  # socket: stops reading some time, so that little may be kept for it
    abrupt: bool = False  # socket: ends by a reset when the run is over
    impatient: bool = False  # terminal: types without waiting for the prompt
    stdin: tuple[str, ...] | None = None  # pipe: all its input, then the end


class Actor(ABC):
    """One party of the conversation."""

    kind: ClassVar[str]

    def __init__(
        self,
        name: str,
        reactor: Reactor,
        heard: Callable[[Actor, Item], None],
        journal: Journal | None = None,
    ) -> None:
        self.name, self.role = name, self.kind
        self.journal = Journal() if journal is None else journal
        self.items: list[Item] = []
        self.cursor = 0
        self.claimed: set[int] = set()
        self.hidden: list[Hidden] = []  # answers with a token
        self.marks: set[str] = set()  # tokens of the harness's own messages
        self.counted: Counted | None = None
        self.ended: str | None = None  # how the channel ended, once it was read to its end
        self.frozen = False
        self.link: Link | None = None  # to the server, if the scenario does something to it
        self.joined = False
        self.since: int | None = None  # event after which it was in, once it has joined
        self.dismissed = False  # killed, closed or told to leave by the scenario
        self.draft = ""
        self.reflex: Callable[[Item], bool] | None = None  # answers what every client answers
        self._reactor, self._heard = reactor, heard

    @property
    def alive(self) -> bool:
        """Whether it takes part: started, not ended, not sent away."""
        return self.joined and self.ended is None and not self.dismissed

    @abstractmethod
    def start(self, launch: Launch) -> None:
        """Start the program, or connect."""

    def deliver(self, text: str, frame: Any = None, *, is_frame: bool = False) -> None:
        """Something arrived."""
        item = Item(text, self._reactor.now(), frame, is_frame)
        item.hidden = self._is_ours(item)
        self.items.append(item)
        self.note("fence" if item.hidden else "sees", text, data=frame)
        self._heard(self, item)

    def _is_ours(self, item: Item) -> bool:
        """Whether the harness itself has asked for it."""
        if self.reflex and self.reflex(item):
            return True
        counted = self.counted
        if counted and counted.asked and counted.pattern.match(item) is not None:
            asked = counted.asked.popleft()
            if asked:
                asked.seen = True
            return asked is not None
        for waiting in self.hidden:
            if waiting.pattern.match(item) is not None:
                waiting.seen = True
                self.hidden.remove(waiting)
                return True
            if self.kind == "wire" and waiting.pattern.match(item, part=True) is not None:
                waiting.seen = True  # something stands before it: an answer, and no secret
        return bool(self.marks) and not self.marks.isdisjoint(TOKEN.findall(item.text))

    def note(self, kind: str, text: str, *, verb: str = "", data: Any = None) -> None:
        """Write a line into the minutes."""
        self.journal.note(self.name, kind, text, verb=verb, data=data)

    def end(self, how: str) -> None:
        """The channel was read to its end."""
        if self.ended is None:
            self.ended = how
            self.note("note", ENDINGS.get(how, how))

    def again(self) -> None:
        """The channel has ended, and the same party begins a new one; the transcript goes on."""
        self.close()
        self.ended, self.draft, self.since = None, "", None
        self.frozen = self.joined = self.dismissed = False
        self.hidden.clear()
        self.cursor = len(self.items)
        if self.counted:
            self.counted.asked.clear()

    def look(self) -> None:  # noqa: B027 - most have nothing to look at
        """Called once per turn of the reactor, for what has no descriptor."""

    def picture(self) -> list[str]:
        """What a person sees now."""
        return [item.text for item in self.items if not item.hidden][-24:]

    def close(self) -> None:  # noqa: B027 - nothing is held before the start
        """Release everything; called once, at the end."""


ENDINGS = {"fin": "the connection was closed", "reset": "the connection was reset"}
