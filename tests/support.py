"""Real daemons and clients of the wire for the tests: started, waited for, and ended.

Nothing here sleeps: whoever waits, waits for bytes, for a line, or for a process, and `PATIENCE` is
only for giving up.
"""

import contextlib
import json
import os
import queue
import re
import resource
import signal
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path
from subprocess import DEVNULL

import psutil
from ready import start

from chatd.net.loop import SELECTORS

PATIENCE = 40.0  # seconds
SELECTOR = os.environ.get("CHATD_SELECTOR", "")
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: a close sends RST


class Ended(Exception):  # noqa: N818 - not an error: the stream is over
    """The other end has closed; `args[0]` is `eof` or `reset`."""


class Wire:
    """One connection to a daemon: objects out, objects in, nothing assumed about either."""

    def __init__(self, port: int, host: str = "127.0.0.1"):
        self.sock = socket.create_connection((host, port), PATIENCE)
        self._data = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def raw(self, data: bytes):
        self.sock.sendall(data)
        return self

    def send(self, code: str, **fields):
        """One object and its line end."""
        return self.raw(json.dumps({"code": code, **fields}).encode() + b"\n")

    def line(self) -> bytes:
        """The next line. Raises `Ended` where there is none."""
        while b"\n" not in self._data:
            try:
                data = self.sock.recv(65_536)
            except ConnectionError:
                raise Ended("reset") from None
            if not data:
                raise Ended("eof")
            self._data += data
        line, self._data = self._data.split(b"\n", 1)
        return line

    def read(self) -> dict:
        """The next object."""
        return json.loads(self.line())

    def until(self, code: str, **fields) -> list[dict]:
        """Everything up to the first object of that code with these fields, it included."""
        frames = [self.read()]
        while not _like(frames[-1], code, fields):
            frames.append(self.read())
        return frames

    def await_(self, code: str, **fields) -> dict:
        """The first object of that code with these fields; what comes before it is dropped."""
        return self.until(code, **fields)[-1]

    def ask(self, code: str, **fields) -> dict:
        """A request and the very next object."""
        return self.send(code, **fields).read()

    def settle(self) -> list[dict]:
        """What was on its way to an extended session: everything in front of a `pong`."""
        return self.send("ping", n="settle").until("pong", n="settle")[:-1]

    def tell(self, to: str, content: str) -> dict:
        """A direct message, and its acknowledgement: whoever settles now has it."""
        return self.send("outgoing", to=to, content=content, id=content[:60]).await_("ack")

    def settle_plain(self) -> list[dict]:
        """The same for a plain session, by `who`."""
        return self.send("who").until("users")[:-1]

    def rest(self) -> list[dict]:
        """Everything up to the end of the stream."""
        frames = []
        with contextlib.suppress(Ended):
            while True:
                frames.append(self.read())
        return frames

    def reset(self):
        """Close by RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.sock.close()

    def close(self):
        self.sock.close()


def _like(frame: dict, code: str, fields: dict) -> bool:
    return frame.get("code") == code and fields.items() <= frame.items()


# What makes a certificate, as each daemon with a folder of its own does.
FIRST = ("cryptography.x509", "cryptography.hazmat.primitives.asymmetric.ec")


class Forked:
    """A daemon of a process that has read its modules; of `subprocess.Popen` what is used here."""

    stdin = None

    def __init__(self, *words: str):
        said, says = os.pipe()
        self.stdout = os.fdopen(said)
        with Path(os.devnull).open() as nothing:
            fds = [nothing.fileno(), says, says]
            self._start = start(
                "chatd", *words, modules=FIRST, fds=fds, env=os.environ, cwd=str(Path.cwd())
            )
        os.close(says)
        self.pid, self.send_signal = self._start.pid, self._start.kill

    def poll(self) -> int | None:
        return self._start.wait(0)

    def wait(self, timeout: float | None = None) -> int:
        code = self._start.wait(timeout)
        if code is None:
            raise subprocess.TimeoutExpired("chatd", timeout)
        return code

    def kill(self):
        self.send_signal(signal.SIGKILL)


class Chatd:
    """A daemon in a process of its own; its port, its output, and its end."""

    def __init__(
        self,
        data: Path,
        *args: str,
        port: int = 0,
        host: str = "127.0.0.1",
        program=("-m", "chatd"),
        selector: str = SELECTOR,
        stdin=DEVNULL,
        limits: dict[int, tuple[int, int]] | None = None,
        wait: bool = True,
        **popen,
    ):
        command = [sys.executable, *map(str, program), str(port), *map(str, args)]
        command += ["--data", str(data)]
        command += ["--host", host] if host else []
        command += ["--selector", selector] if selector else []
        self.data = data
        self.lines: list[str] = []
        self._wires: list[Wire] = []
        self._queue: queue.Queue[str | None] = queue.Queue()

        def bound():
            for which, value in (limits or {}).items():
                resource.setrlimit(which, value)

        if (tuple(program), stdin, limits, popen) == (("-m", "chatd"), DEVNULL, None, {}):
            self.process = Forked(*command[3:])
        else:
            self.process = subprocess.Popen(
                command,
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                preexec_fn=bound if limits else None,
                **popen,
            )
        self.heirs: list[psutil.Process] = []  # who has taken over, one after the other
        self._reader = threading.Thread(target=self._drain, daemon=True)
        self._reader.start()
        self.port = 0
        if wait:
            said = self.says(r"^listening on .*, port (\d+)$")
            self.port = int(said[1])
            self.says("^data: ")

    def _drain(self):
        for line in self.process.stdout:
            self._queue.put(line.rstrip("\n"))
        self._queue.put(None)

    def says(self, pattern: str) -> re.Match:
        """Wait for a line of its output. Fails with all it said where there is none."""
        while True:
            line = self._queue.get(timeout=PATIENCE)
            if line is None:
                raise AssertionError(f"{pattern} was never said, but: {self.lines}")
            self.lines.append(line)
            found = re.search(pattern, line)
            if found:
                return found

    def log(self) -> str:
        """All of `server.log`."""
        return (self.data / "server.log").read_text("utf-8")

    def wire(self, host: str = "127.0.0.1") -> Wire:
        """A connection, closed with the daemon."""
        self._wires.append(Wire(self.port, host))
        return self._wires[-1]

    def join(self, name: str | None = None, **fields) -> Wire:
        """An extended session, behind its `welcome` (which is `welcome` of the wire)."""
        wire = self.wire()
        wire.send("hello", **({"name": name} if name else {}), v=1, **fields)
        wire.welcome = wire.await_("welcome")
        return wire

    def join_plain(self, name: str) -> Wire:
        """A session of S3, with line ends."""
        wire = self.wire().send("hello", name=name)
        assert wire.line() == b'{"code":"welcome"}'
        return wire

    def upgrade(self, done: subprocess.CompletedProcess | None = None):
        """Let a new process take over; `done`: that was asked for already."""
        done = done or run_chatd("upgrade", "--data", self.data)
        assert (done.returncode, done.stderr) == (0, "")
        old, new = re.findall(r"process (\d+)", done.stdout)
        assert int(old) == self.pid
        self.heirs.append(psutil.Process(int(new)))
        assert self.process.wait(PATIENCE) == 0
        return self

    @property
    def pid(self) -> int:
        """Of the process that serves."""
        return self.heirs[-1].pid if self.heirs else self.process.pid

    def signal(self, number: int):
        if self.heirs:
            self.heirs[-1].send_signal(number)
        else:
            self.process.send_signal(number)

    def wait(self) -> int:
        """Its exit code, when it has ended and all its output is read; of an heir: 0."""
        code = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        while not self._queue.empty():
            line = self._queue.get()
            self.lines += [] if line is None else [line]
        return code

    def stop(self) -> int:
        """SIGTERM, and what became of it."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def end(self):
        """For fixtures: whatever it is doing."""
        if self.process.poll() is None:
            self.signal(signal.SIGCONT)
            self.process.kill()
        for heir in self.heirs:
            with contextlib.suppress(psutil.NoSuchProcess):
                heir.kill()
        self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        for wire in self._wires:
            wire.close()
        self.process.stdout.close()
        if self.process.stdin:
            self.process.stdin.close()


def run_chatd(*args: str, text: str = "", program=("-m", "chatd"), **more):
    """A run that ends by itself."""
    return subprocess.run(
        [sys.executable, *map(str, program), *map(str, args)],
        input=text,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        **more,
    )


def one_error(done: subprocess.CompletedProcess) -> str:
    """The one line on standard error of a daemon that would not start."""
    assert done.returncode == 2, (done.returncode, done.stdout, done.stderr)
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("chatd: ")
    return line


def selectors_here() -> list[str]:
    """Every selector of this machine, or the one that is asked for."""
    return [SELECTOR] if SELECTOR else sorted(SELECTORS)
