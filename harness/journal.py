"""The minutes of a run: everything that was done, said and seen, in the order of arrival.

One reactor serves all actors of a run, so there is one order. `Event` is a line for people and
for laws; a `Chunk` is what really went over a terminal or a socket, for evidence that can be
replayed. Times are seconds since the run began.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from msgspec import Struct

from harness.errors import Place
from harness.secrets import masked

TAPE_LIMIT = 16 << 20  # bytes of chunks kept in one run; the end of a flood is not worth a disk


class Event(Struct, frozen=True, omit_defaults=True):
    """One thing that happened to one actor.

    `kind` is `does` (an act of the scenario), `sees` (told to it), `fence` (question or answer of
    the harness itself) or `note`. `data` is the decoded frame of a socket, or the value of an act;
    `verb` the verb of an act, `place` its clause.
    """

    number: int
    at: float
    actor: str
    kind: str
    text: str
    verb: str = ""
    place: Place | None = None
    data: Any = None


class Chunk(Struct, frozen=True):
    """Bytes that went in (`i`) or came out (`o`) of an actor's channel; `r`: a new size."""

    at: float
    actor: str
    kind: str
    data: bytes


class Journal:
    """Kept by a run, written to by its actors."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self.events: list[Event] = []
        self.chunks: list[Chunk] = []
        self.watch: Callable[[Event], None] | None = None  # for a person who looks on
        self.place: Place | None = None  # of the clause that is being played
        self.room = TAPE_LIMIT

    def now(self) -> float:
        """Seconds since the run began."""
        return self._clock() - self._began

    def since_began(self, moment: float) -> float:
        """A moment of the clock as seconds since the run began."""
        return max(0.0, moment - self._began)

    def note(self, actor: str, kind: str, text: str, *, verb: str = "", data: Any = None) -> None:
        """Write down an event."""
        place = self.place if kind == "does" else None
        event = Event(len(self.events), self.now(), actor, kind, text, verb, place, data)
        self.events.append(event)
        if self.watch:
            self.watch(masked(event))

    def tape(self, actor: str, kind: str, data: bytes) -> None:
        """Keep bytes as they were, until the room for them is used up."""
        self.room -= len(data)
        if self.room >= 0:
            self.chunks.append(Chunk(self.now(), actor, kind, data))

    def of(self, actor: str) -> Iterator[Event]:
        """What happened to one actor."""
        return (event for event in self.events if event.actor == actor)
