"""Peers without a terminal, which see exactly what is sent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from chatd.wire.messages import Incoming, IncomingBroadcast, Notice, Ping
from chatsh.client import Answered, Client, Event, Request
from chatsh.link import Address, Keeper, Link

from .servers import Server

Kind = TypeVar("Kind")


@contextmanager
def logged_in(server: Server, name: str | None) -> Iterator[Link]:
    """A session under that name."""
    with Link(Address("127.0.0.1", server.port), Client(name)) as link:
        link.open()
        yield link


def first(link: Link, kind: type[Kind]) -> Kind:
    """The next event of that kind; those before it are gone."""
    return next(event for event in link.events() if isinstance(event, kind))


def settled(link: Link) -> list[Event]:
    """Everything that was on its way: the answer to a ping comes behind it."""
    key = link.send(Ping())
    seen: list[Event] = []
    for event in link.events():
        if isinstance(event, Answered) and event.id == key:
            return seen
        seen.append(event)
    raise AssertionError("the connection ended")


def notices(link: Link) -> list[str]:
    """The notices that were on their way."""
    return [event.text for event in settled(link) if isinstance(event, Notice)]


class Peer:
    """A session that is read in the background, for tests that watch a terminal meanwhile."""

    def __init__(self, server: Server, name: str | None, *, reconnect: bool = False) -> None:
        self.link = Link(Address("127.0.0.1", server.port), Client(name))
        self.link.open()
        self.events: list[object] = []
        self._keeper = Keeper(self.link, self.events.append, reconnect=reconnect)
        self._keeper.start()

    @property
    def heard(self) -> list[str]:
        """The texts of all messages and notices, in order."""
        return [
            event.text if isinstance(event, Notice) else event.content
            for event in list(self.events)
            if isinstance(event, Notice | Incoming | IncomingBroadcast)
        ]

    @property
    def settled(self) -> bool:
        """Whether everything sent has been answered."""
        return self.link.settled

    def send(self, request: Request) -> None:
        self.link.send(request)

    def close(self) -> None:
        self._keeper.stop()
