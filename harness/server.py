"""The server under test as an actor: what it prints is its transcript."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

from harness.actors import Actor, Launch, Program
from harness.patterns import Item
from harness.process import PipeProcess, PtyProcess
from harness.reactor import Reactor
from harness.views import LinesView


class Server(Program):
    """The program under test; it can be killed, frozen and restarted on its port, with its data."""

    kind = "server"

    def __init__(
        self, reactor: Reactor, heard: Callable[[Actor, Item], None], *, console: bool
    ) -> None:
        super().__init__("server", reactor, heard)
        self.console = console
        self.starts = 0

    def start(self, launch: Launch) -> None:
        """Start it, or start it again."""
        if self.starts:
            self.close()
        self.starts += 1
        self.ended, self.exit_code, self.dismissed, self.frozen = None, None, False, False
        self._view = LinesView(launch.prompt)
        process: PtyProcess | PipeProcess
        if self.console:
            process = PtyProcess(
                launch.command, launch.env, launch.cwd, size=launch.size, echo=False
            )
        else:
            process = PipeProcess(launch.command, launch.env, launch.cwd, stdin=False)
        self._attach(process)

    def _fed(self, data: bytes) -> None:
        self._view.feed(data)
        for line in self._view.settled():
            self.deliver(line)

    def _flush(self) -> None:
        for line in self._view.flush():
            self.deliver(line)

    def type(self, text: str) -> None:
        """Type a line on its console."""
        if self._output:
            self._output.write(text.encode() + b"\n")

    def stop(self) -> None:
        """Ask it to end, as its operator would."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                self.signal("CONT")
                self.signal("TERM")
        self.dismissed = True


def address(values: Mapping[str, Any]) -> tuple[str, int]:
    """Where the server listens."""
    return str(values["host"]), int(values["port"])
