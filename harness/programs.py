"""Actors that are programs: in a terminal, on pipes, and the server under test."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Callable

from harness.actors import Actor, Launch
from harness.journal import Journal
from harness.patterns import Item
from harness.process import PipeProcess, PtyProcess, signal_group
from harness.reactor import Channel, Reactor
from harness.views import LinesView, ScreenView, View


class Program(Actor):
    """An actor that is a process; its channel ends when the process has."""

    process: PtyProcess | PipeProcess
    view: View

    def __init__(
        self,
        name: str,
        reactor: Reactor,
        heard: Callable[[Actor, Item], None],
        journal: Journal | None = None,
    ) -> None:
        super().__init__(name, reactor, heard, journal)
        self.exit_code: int | None = None
        self._output: Channel | None = None
        self._drained = False

    def _attach(self, process: PtyProcess | PipeProcess) -> None:
        self.process = process
        self._drained = False
        self._output = Channel(self._reactor, process.reader, self._fed, self._eof)
        self.joined = True

    def _fed(self, data: bytes) -> None:
        self.journal.tape(self.name, "o", data)
        self.view.feed(data)
        self._say(self.view.settled())

    def _say(self, lines: list[str]) -> None:
        for line in lines:
            self.deliver(line)

    def _eof(self, _how: str) -> None:
        self._drained = True

    @property
    def running(self) -> bool:
        """Whether the process runs."""
        return self.joined and self.process.poll() is None

    def look(self) -> None:
        """Look at what has arrived."""
        if not self.joined or self.ended is not None:
            return
        code = self.process.poll()
        if code is None:
            return
        if not self._drained and self._output:  # what it wrote last is still in the kernel
            self._output.readable()
            if not self._drained and _more(self._output.fd):
                return
        self._say(self.view.flush())
        self.exit_code = code
        self.end(said_exit(code))

    def send_signal(self, name: str) -> None:
        """Send a signal to the program."""
        self.note("does", f"is sent SIG{name}")
        self._send(signal.Signals[f"SIG{name}"])

    def _send(self, number: signal.Signals) -> None:
        if self.running:  # once it was waited for, its number may belong to somebody else
            os.kill(self.process.pid, number)

    def again(self) -> None:
        """The same person starts the program once more."""
        super().again()
        self.exit_code = None

    def close(self) -> None:
        """Release everything."""
        if not self.joined:
            return
        if self._output:
            self._output.close()
        if self.running:
            signal_group(self.process.pid, signal.SIGKILL)
        self.process.close()


class Shell(Program):
    """A person's program in a pseudo-terminal."""

    kind = "shell"
    arrived = False  # has been at its prompt

    def start(self, launch: Launch) -> None:
        """Start the program."""
        self.size = launch.size
        self.journal.tape(self.name, "r", "{}x{}".format(*launch.size).encode())
        if launch.screen:
            self.view = ScreenView(launch.prompt, launch.size, self._raw, echo=launch.echo)
        else:
            self.view = LinesView(launch.prompt)
        self.has_prompt = launch.prompt is not None
        self._attach(
            PtyProcess(launch.command, launch.env, launch.cwd, size=launch.size, echo=launch.screen)
        )

    def again(self) -> None:
        """The same person starts the program once more."""
        super().again()
        self.arrived = False

    def _raw(self, data: bytes) -> None:
        self.journal.tape(self.name, "i", data)
        if self._output:
            self._output.write(data)

    def ready(self) -> bool:
        """Whether a line can be typed now."""
        ready = self.view.ready()
        self._say(self.view.settled())
        return ready

    def type(self, text: str, *, submit: bool, answers: str | None = None) -> None:
        """Type `text`, with Enter after it if it is to be submitted."""
        self.view.typed(text, submitted=submit, answers=answers)
        self._say(self.view.settled())
        self.draft = "" if submit else self.draft + text
        self._raw(text.encode() + (b"\r" if submit else b""))

    def press(self, keys: bytes) -> None:
        """Press keys, whatever the program makes of them."""
        self.view.edited()
        self._raw(keys)

    def resize(self, columns: int, lines: int) -> None:
        """Another size of the terminal."""
        self.view.resize(columns, lines)
        self.journal.tape(self.name, "r", f"{columns}x{lines}".encode())
        assert isinstance(self.process, PtyProcess)
        self.process.resize(columns, lines)

    def picture(self) -> list[str]:
        """What a person sees now."""
        return self.view.picture() if self.joined else []


class Pipe(Program):
    """A program without a terminal: input and output are pipes."""

    kind = "pipe"

    def start(self, launch: Launch) -> None:
        """Start the program; if all its input is known, give it and end it."""
        self.view = LinesView(launch.prompt)
        self._attach(PipeProcess(launch.command, launch.env, launch.cwd, stdin=True))
        self._input = Channel(self._reactor, self.process.writer, _ignore, _ignore)
        self._input.set_reading(False)
        self._no_more = False
        if launch.stdin is not None:
            for line in launch.stdin:
                self.type(line)
            self.close_input()

    def type(self, text: str) -> None:
        """Write one line to its input."""
        self.journal.tape(self.name, "i", text.encode() + b"\n")
        self._input.write(text.encode() + b"\n")

    def close_input(self) -> None:
        """End of input, once everything was written."""
        self._no_more = True

    def look(self) -> None:
        """Look at what has arrived."""
        if self.joined and self._no_more and self._input.open and self._input.written:
            self._input.close()
            assert isinstance(self.process, PipeProcess)
            self.process.close_input()
        super().look()

    def close(self) -> None:
        """Release everything."""
        if self.joined:
            self._input.close()
        super().close()


class Server(Program):
    """The program under test; it can be killed, frozen and restarted on its port, with its data."""

    kind = "server"

    def __init__(
        self,
        reactor: Reactor,
        heard: Callable[[Actor, Item], None],
        journal: Journal | None = None,
        *,
        console: bool,
    ) -> None:
        super().__init__("server", reactor, heard, journal)
        self.console = console

    def start(self, launch: Launch) -> None:
        """Start it, or start it again."""
        self.close()
        self.ended, self.exit_code, self.dismissed, self.frozen = None, None, False, False
        self.view = LinesView(launch.prompt)
        if self.console:
            self._attach(
                PtyProcess(launch.command, launch.env, launch.cwd, size=launch.size, echo=False)
            )
        else:
            self._attach(PipeProcess(launch.command, launch.env, launch.cwd, stdin=False))

    def type(self, text: str) -> None:
        """Type a line on its console."""
        self.journal.tape(self.name, "i", text.encode() + b"\n")
        if self._output:
            self._output.write(text.encode() + b"\n")

    def stop(self) -> None:
        """Ask it to end, as its operator would."""
        self.dismissed = True
        self._send(signal.SIGCONT)
        self._send(signal.SIGTERM)


def said_exit(code: int) -> str:
    """How a person says an exit code."""
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"the program was ended by {signal.Signals(-code).name}"
    return f"the program exited with {code}"


def _more(fd: int) -> bool:
    """Whether a closed terminal or pipe still holds output. Never blocks."""
    return bool(select.select([fd], [], [], 0)[0])


def _ignore(_said: object) -> None:
    return
