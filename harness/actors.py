"""Who plays: every actor has one append-only transcript and one cursor."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from msgspec import Struct, field

from harness.errors import BrokenPromiseError, NotApplicableError
from harness.frames import FRAMINGS
from harness.patterns import Item, Pattern
from harness.process import PipeProcess, PtyProcess, signal_group
from harness.reactor import Channel, Reactor
from harness.views import LinesView, ScreenView, View

LINGER_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close sends RST
CONNECT = 10.0  # seconds to give up connecting on loopback
NO_IPV6 = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)
SMALL = 4096  # bytes of receive buffer, so that a reader that stops is felt soon


class Event(Struct, frozen=True):
    """A line of the minutes: who did, saw or was asked what."""

    at: float
    actor: str
    kind: str  # does, sees, fence, note
    text: str


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
    screen: bool = False
    echo: bool = True  # screen view: an entered line stays on the screen
    address: tuple[str, int] = ("", 0)
    frames: str = "json-lines"
    stdin: tuple[str, ...] | None = None  # pipe: all its input, then the end


class Actor:
    """One party of the conversation."""

    kind: ClassVar[str]

    def __init__(self, name: str, reactor: Reactor, heard: Callable[[Actor, Item], None]) -> None:
        self.name, self.role = name, self.kind
        self.items: list[Item] = []
        self.cursor = 0
        self.claimed: set[int] = set()
        self.hidden: list[Hidden] = []  # answers with a token
        self.counted: Counted | None = None
        self.ended: str | None = None  # how the channel ended, once it was read to its end
        self.frozen = False
        self.joined = False
        self.dismissed = False  # killed, closed or told to leave by the scenario
        self.draft = ""
        self.events: list[Event] = []
        self.watch: Callable[[Event], None] | None = None  # for a person who looks on
        self._reactor, self._heard = reactor, heard

    @property
    def alive(self) -> bool:
        """Whether it takes part: started, not ended, not sent away."""
        return self.joined and self.ended is None and not self.dismissed

    def deliver(self, text: str, frame: Any = None, *, is_frame: bool = False) -> None:
        """Something arrived."""
        item = Item(text, time.monotonic(), frame, is_frame)
        item.hidden = self._is_ours(item)
        self.items.append(item)
        self.note("fence" if item.hidden else "sees", text)
        self._heard(self, item)

    def _is_ours(self, item: Item) -> bool:
        """Whether the harness itself has asked for it."""
        counted = self.counted
        if counted and counted.asked and counted.pattern.match(item) is not None:
            asked = counted.asked.popleft()
            if asked:
                asked.seen = True
            return asked is not None
        for waiting in self.hidden:
            if not waiting.seen and waiting.pattern.match(item) is not None:
                waiting.seen = True
                return True
        return False

    def note(self, kind: str, text: str) -> None:
        """Write a line into the minutes."""
        event = Event(time.monotonic(), self.name, kind, text)
        self.events.append(event)
        if self.watch:
            self.watch(event)

    def end(self, how: str) -> None:
        """The channel was read to its end."""
        if self.ended is None:
            self.ended = how
            self.note("note", ENDINGS.get(how, how))

    def look(self) -> None:
        """Called once per turn of the reactor, for what has no descriptor."""

    def picture(self) -> list[str]:
        """What a person sees now."""
        return [item.text for item in self.items if not item.hidden][-24:]

    def close(self) -> None:
        """Release everything; called once, at the end."""


ENDINGS = {"fin": "the connection was closed", "reset": "the connection was reset"}


class Program(Actor):
    """An actor that is a process; its channel ends when the process has."""

    process: PtyProcess | PipeProcess

    def __init__(self, name: str, reactor: Reactor, heard: Callable[[Actor, Item], None]) -> None:
        super().__init__(name, reactor, heard)
        self.exit_code: int | None = None
        self._output: Channel | None = None
        self._drained = False

    def _attach(self, process: PtyProcess | PipeProcess) -> None:
        self.process = process
        self._drained = False
        self._output = Channel(self._reactor, process.reader, self._fed, self._eof)
        self.joined = True

    def _fed(self, data: bytes) -> None:
        raise NotImplementedError

    def _flush(self) -> None:
        raise NotImplementedError

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
        self._flush()
        self.exit_code = code
        self.end(said_exit(code))

    def signal(self, name: str) -> None:
        """Send a signal to the program."""
        number = signal.Signals[f"SIG{name}"]
        self.note("does", f"is sent SIG{name}")
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, number)

    def close(self) -> None:
        """Release everything."""
        if not self.joined:
            return
        if self._output:
            self._output.close()
        signal_group(self.process.pid, signal.SIGKILL)
        self.process.close()


class Shell(Program):
    """A person's program in a pseudo-terminal."""

    kind = "shell"
    view: View
    arrived = False  # has been at its prompt

    def start(self, launch: Launch) -> None:
        """Start the program."""
        self.size = launch.size
        if launch.screen:
            self.view = ScreenView(launch.prompt, launch.size, self._raw, echo=launch.echo)
        else:
            self.view = LinesView(launch.prompt)
        self.has_prompt = launch.prompt is not None
        self._attach(
            PtyProcess(launch.command, launch.env, launch.cwd, size=launch.size, echo=launch.screen)
        )

    def _fed(self, data: bytes) -> None:
        self.view.feed(data)
        for line in self.view.settled():
            self.deliver(line)

    def _flush(self) -> None:
        for line in self.view.flush():
            self.deliver(line)

    def _raw(self, data: bytes) -> None:
        if self._output:
            self._output.write(data)

    def ready(self) -> bool:
        """Whether a line can be typed now."""
        ready = self.view.ready()
        for line in self.view.settled():
            self.deliver(line)
        return ready

    def type(self, text: str, *, submit: bool, answers: str | None = None) -> None:
        """Type `text`, with Enter after it if it is to be submitted."""
        self.view.typed(text, submitted=submit, answers=answers)
        for line in self.view.settled():
            self.deliver(line)
        self.draft = "" if submit else self.draft + text
        self._raw(text.encode() + (b"\r" if submit else b""))

    def press(self, keys: bytes) -> None:
        """Press keys, whatever the program makes of them."""
        self.view.edited()
        self._raw(keys)

    def resize(self, columns: int, lines: int) -> None:
        """Another size of the terminal."""
        self.view.resize(columns, lines)
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
        self._view = LinesView(launch.prompt)
        self._attach(PipeProcess(launch.command, launch.env, launch.cwd, stdin=True))
        self._input = Channel(self._reactor, self.process.writer, _ignore, _ignore_end)
        self._input.set_reading(False)
        self._no_more = False
        if launch.stdin is not None:
            for line in launch.stdin:
                self.type(line)
            self.close_input()

    def _fed(self, data: bytes) -> None:
        self._view.feed(data)
        for line in self._view.settled():
            self.deliver(line)

    def _flush(self) -> None:
        for line in self._view.flush():
            self.deliver(line)

    def type(self, text: str) -> None:
        """Write one line to its input."""
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


class Wire(Actor):
    """A socket that speaks the protocol itself."""

    kind = "wire"

    def start(self, launch: Launch) -> None:
        """Connect."""
        framing = FRAMINGS[launch.frames]
        self._codec, self._encode = framing.codec(), framing.encode
        self._bytes = launch.frames == "bytes"
        self._channel: Channel | None = None
        family = socket.AF_INET6 if ":" in launch.address[0] else socket.AF_INET
        try:
            self._socket = socket.socket(family, socket.SOCK_STREAM)
            self.joined = True  # from here on there is something to close
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * SMALL)
            self._socket.settimeout(CONNECT)
            self._socket.connect(launch.address)
        except OSError as error:
            if family == socket.AF_INET6 and error.errno in NO_IPV6:
                raise NotApplicableError("this machine has no IPv6") from error
            self.deliver(f"cannot connect: {error.strerror or error}")
            self.end("refused")
            return
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._channel = Channel(self._reactor, self._socket.fileno(), self._fed, self._eof)

    def _fed(self, data: bytes) -> None:
        for text, frame, is_frame in self._codec.feed(data):
            last = self.items[-1] if self.items else None
            if self._bytes and last and len(self.items) > self.cursor:
                last.text += text  # pieces have no borders: one item grows until it is consumed
            else:
                self.deliver(text, frame, is_frame=is_frame)

    def _eof(self, how: str) -> None:
        for text, frame, is_frame in self._codec.rest():
            self.deliver(text, frame, is_frame=is_frame)
        self.end(how)

    def send(self, frame: Any) -> None:
        """Send one frame."""
        self.send_bytes(self._encode(frame))

    def send_bytes(self, data: bytes) -> None:
        """Send bytes, as one write."""
        if self._channel is None or self.dismissed:
            raise BrokenPromiseError(f"{self.name} is not connected any more")
        self._channel.write(data)

    @property
    def sent(self) -> bool:
        """Whether the kernel has taken everything."""
        return self._channel is None or self._channel.written

    def half_close(self) -> None:
        """Say that nothing more will be sent; go on reading."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def set_reading(self, on: bool) -> None:
        """Stop taking what arrives, or go on."""
        if self._channel:
            if not on:
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
            self._channel.set_reading(on)

    def hang_up(self, *, reset: bool = False) -> None:
        """Close the connection from this side, orderly or by a reset."""
        if reset:
            with contextlib.suppress(OSError):
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
        if self._channel:
            self._channel.close()
        self._socket.close()
        self.dismissed = True
        self.end("we hung up")

    def close(self) -> None:
        """Release everything."""
        if self.joined:
            if self._channel:
                self._channel.close()
            self._socket.close()


def said_exit(code: int) -> str:
    """How a person says an exit code."""
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"the program was ended by {signal.Signals(-code).name}"
    return f"the program exited with {code}"


def _more(fd: int) -> bool:
    """Whether a closed terminal or pipe still holds output. Never blocks."""
    return bool(select.select([fd], [], [], 0)[0])


def _ignore(_data: bytes) -> None:
    return


def _ignore_end(_how: str) -> None:
    return


KINDS = {"shell": Shell, "wire": Wire, "pipe": Pipe}
