"""The shell's lines in, a JSON object for each event out: the front of a conversation for programs.

A message is confirmed to the server when its object is written. A program that dies, or has enough
of them, gets the rest the next time.
"""

from __future__ import annotations

import sys
from typing import Any

from chatd.wire.messages import Bye, Group, Quit
from chatsh import objects
from chatsh.client import Event, Request
from chatsh.exits import ExitCode, code_of
from chatsh.grammar import Begin, Complaint, Mode, Situation, Switch, parse
from chatsh.lines import LineFront, Lines
from chatsh.link import GaveUp, Keeper, Link, Lost, Told

FOR_PEOPLE = "That command is for people; a program gets events instead."


class Events(LineFront[Any]):
    """A conversation with a program. The link's client is one that does not confirm by itself."""

    def __init__(self, link: Link, lines: Lines, *, reconnect: bool = False) -> None:
        super().__init__(link, lines)
        self._keeper = Keeper(link, self._happened, reconnect=reconnect)
        self._mode = Mode.GENERAL
        self._wanted = ""  # the name of the group that is being made
        self._line = 0  # the number of the newest one
        self._asked: dict[str, int] = {}  # the number of the line by the id of its request

    def run(self) -> int:
        """The whole conversation; the exit code."""
        return self.converse(self._keeper)

    def _happened(self, event: Event | Lost | GaveUp | Told) -> None:
        if isinstance(event, Bye) and self._keeper.called_back:
            return  # it is about to be open again
        self.post(event)
        match event:
            case Bye():
                self.leave(code_of(event))
            case Lost() if event.again and not self._link.settled:
                self._keeper.hurry()
            case Lost() if not event.again:
                self.leave(ExitCode.LOST)
            case GaveUp():
                self.leave(ExitCode.REFUSED if event.error else ExitCode.LOST)

    def _enter(self, line: str) -> None:
        self._line += 1
        client = self._link.client
        action = parse(line, Situation(self._mode, client.users, client.groups, self._wanted))
        match action:
            case None:
                pass
            case Quit():
                self.leave(ExitCode.NORMAL)
            case Switch():
                self._mode = action.mode
            case Begin():
                self._wanted, self._mode = action.group, Mode.GROUP_MEMBERS
            case Complaint():
                self._complain(action.text)
            case _ if isinstance(action, Request):
                self._request(action)
            case _:
                self._complain(FOR_PEOPLE)

    def _request(self, request: Request) -> None:
        if isinstance(request, Group) and self._mode is Mode.GROUP_MEMBERS:
            self._mode = Mode.GROUP
        self._asked[self._link.send(request)] = self._line
        if not self._link.client.opened:
            self._keeper.hurry()

    def _complain(self, text: str) -> None:
        self.post({"type": "error", "text": text, "line": self._line})

    def _print(self) -> None:
        for event in self._taken():
            if isinstance(event, Told):
                print(event.text, file=sys.stderr, flush=True)
            told = event if isinstance(event, dict) else self._object(event)
            if told:
                print(objects.encode(told), flush=True)
            self._link.received(getattr(event, "seq", None) or 0)

    def _object(self, event: Event | Lost | GaveUp | Told) -> objects.Object | None:
        told = objects.of(event, self._link.client.name)
        if told and "id" in told:
            told["line"] = self._asked.pop(told["id"], None)
        return told
