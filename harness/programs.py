"""Actors that are programs: in a terminal, on pipes, and the server under test."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import time
from collections.abc import Callable, Sequence
from typing import Any

import psutil

from harness.actors import Actor, Launch
from harness.canvas import CanvasView
from harness.errors import NotApplicableError
from harness.journal import Journal
from harness.patterns import Item
from harness.process import PipeProcess, PtyProcess, kill_family, signal_group
from harness.reactor import Channel, Reactor
from harness.terminal import SEQUENCE
from harness.values import KEYS
from harness.views import LinesView, ScreenView, View

DRAWN = {"screen": ScreenView, "canvas": CanvasView}


KEPT_LINES = 10_000  # of what the server prints
LAST_LINES = 100  # of what it prints beyond them
FORGOTTEN = Item("", 0.0, hidden=True)


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
            if not self._drained and self._output.holds_more():
                return
        self._say(self.view.flush())
        self.exit_code = code
        self.end(said_exit(code))

    def waits(self) -> bool:
        """Whether something is between it and us: output to be read, or input it has not taken."""
        output = self._output
        busy = output is not None and not self._drained and output.open
        return bool(output and busy and (output.holds_more() or not output.written)) or (
            self.process.unread() > 0
        )

    def send_signal(self, name: str) -> None:
        """Send a signal to the program."""
        self.note("does", f"is sent SIG{name}")
        self._send(signal.Signals[f"SIG{name}"])

    def fill_disk(self, *, full: bool) -> None:
        """Let the program and what it has started write to no file, or again to all of them.

        It is a limit on the size of files: a write fails with EFBIG, also one that would only
        change what is there. Raises `NotApplicableError` where there are no such limits.
        """
        if not hasattr(psutil.Process, "rlimit"):
            raise NotApplicableError("this system cannot limit the files of a running program")
        _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        with contextlib.suppress(psutil.NoSuchProcess):
            program = psutil.Process(self.process.pid)
            limit_files(program, 0 if full else most, most)  # first: children begin with its limits
            for child in program.children(recursive=True):
                limit_files(child, 0 if full else most, most)

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
    drawings = 0  # how often it has written something
    pages: Sequence[tuple[str, list[str]]] = ()  # questions that keys answer by themselves
    _turned = False  # the page at which it stands was answered

    def start(self, launch: Launch) -> None:
        """Start the program."""
        self.size = launch.size
        self.journal.tape(self.name, "r", "{}x{}".format(*launch.size).encode())
        drawn, patient = DRAWN.get(launch.view), not launch.impatient
        if drawn:
            self.view = drawn(
                launch.prompt, launch.size, self._raw, echo=launch.echo, patient=patient
            )
        else:
            self.view = LinesView(launch.prompt, launch.size, patient=patient)
        self.has_prompt = launch.prompt is not None
        self._attach(
            PtyProcess(launch.command, launch.env, launch.cwd, size=launch.size, echo=bool(drawn))
        )

    def again(self) -> None:
        """The same person starts the program once more."""
        super().again()
        self.arrived = False

    def _fed(self, data: bytes) -> None:
        self.drawings += 1
        super()._fed(data)
        asked = self.view.asked().strip() if self.pages else ""
        keys = next(
            (keys for question, keys in self.pages if asked.endswith(question.strip())), None
        )
        # Only a colour was switched off, or the line is about to be rubbed out.
        again = not SEQUENCE.sub("", data.decode("latin-1")).strip("\r")
        if keys is not None and not (self._turned and again):
            self.note("fence", f"> presses {', '.join(keys)}: {asked}")
            self._raw(b"".join(KEYS[key] for key in keys))
        self._turned = keys is not None

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

    def paste(self, text: str, *, answers: str | None = None) -> None:
        """Paste `text`, as a terminal does: between marks if the program has asked for them."""
        keys = text.replace("\n", "\r")
        if self.view.pasting:
            self.view.typed(text, submitted=False)
            self.draft += text
            self._raw(b"\x1b[200~" + keys.replace("\x1b[201~", "").encode() + b"\x1b[201~")
            return
        *lines, rest = text.split("\n")
        for line in lines:
            self.view.typed(line, submitted=True, answers=answers)
            answers = None
        self.view.typed(rest, submitted=False)
        self._say(self.view.settled())
        self.draft = rest if lines else self.draft + rest
        self._raw(keys.encode())

    def reads_keys(self) -> bool:
        """Whether the program edits the line itself, though its view is for those that do not."""
        assert isinstance(self.process, PtyProcess)
        return isinstance(self.view, LinesView) and not self.process.in_line_mode()

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

    def waits(self) -> bool:
        """Whether something is between it and us, its input included."""
        return not self._input.written or super().waits()

    @property
    def no_more(self) -> bool:
        """Whether its input has ended, or is about to."""
        return self._no_more

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

    def deliver(self, text: str, frame: Any = None, *, is_frame: bool = False) -> None:
        """It has printed a line; of a flood the first lines and the last few are kept."""
        if len(self.items) < KEPT_LINES:
            super().deliver(text, frame, is_frame=is_frame)
            return
        if len(self.items) == KEPT_LINES:
            self.note("note", f"more than {KEPT_LINES} lines: watched from here on, but not kept")
        self.items[-LAST_LINES] = FORGOTTEN
        self.items.append(Item(text, time.monotonic()))
        self._heard(self, self.items[-1])

    def type(self, text: str) -> None:
        """Type a line on its console."""
        self.journal.tape(self.name, "i", text.encode() + b"\n")
        if self._output:
            self._output.write(text.encode() + b"\n")

    def stop(self, name: str) -> None:
        """Ask it to end, as its operator would; KILL ends it with everything it has started."""
        self.dismissed = True
        if name == "KILL" and self.joined:
            kill_family(self.process.pid)
        self._send(signal.SIGCONT)
        self._send(signal.Signals[f"SIG{name}"])


def limit_files(process: psutil.Process, size: int, most: int) -> None:
    """Limit the files that a process writes to `size` bytes; it can be raised to `most` again."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process.rlimit(psutil.RLIMIT_FSIZE, (size, most))


def said_exit(code: int) -> str:
    """How a person says an exit code."""
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"the program was ended by {signal.Signals(-code).name}"
    return f"the program exited with {code}"


def _ignore(_said: object) -> None:
    return
