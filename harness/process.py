"""Programs under test as processes: started in a clean environment, ended without a trace.

Each program is the leader of its own process group, dies with the harness (Linux), and carries a
mark in its environment, by which `leftovers` finds what slipped out of its group. What empties its
environment as well is found because this process adopts it (`harness.guardian`).
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import os
import shlex
import shutil
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import pexpect
import psutil

from harness import guardian
from harness.errors import SetupError

LOCAL = 3  # index of the local modes in what termios gives
TIOCGPTPEER = 0x5441  # <asm-generic/ioctls.h>: the program's end of a terminal
MARK = "HARNESS_RUN"  # environment variable with the name of the run
PASSED_ON = ("COVERAGE_PROCESS_START", "COVERAGE_FILE", "SYSTEMROOT", "TZ")


class Process(Protocol):
    """A program under test."""

    pid: int
    reader: int  # descriptor its output comes from
    writer: int  # descriptor its input goes to, -1 when there is none

    def poll(self) -> int | None:
        """Its exit code (negative: the signal), or none while it runs."""

    def unread(self) -> int:
        """Bytes of its input that it has not read; 0 if that cannot be told."""

    def close(self) -> None:
        """Let go of its descriptors."""


class PtyProcess:
    """A program in a pseudo-terminal."""

    def __init__(
        self, command: Sequence[str], env: Mapping[str, str], cwd: Path,
        *, size: tuple[int, int], echo: bool,
    ) -> None:  # fmt: skip
        columns, lines = size
        self._echo = echo
        try:
            self._child = pexpect.spawn(
                command[0], list(command[1:]), env=dict(env), cwd=str(cwd), echo=echo,
                dimensions=(lines, columns), preexec_fn=die_with_parent(), timeout=None,
            )  # fmt: skip
        except OSError as error:
            raise SetupError(f"cannot start {command[0]} in a terminal: {error}") from error
        self._child.delaybeforesend = None
        inner: Any = self._child.ptyproc  # type: ignore[attr-defined]
        inner.delayafterclose = inner.delayafterterminate = 0
        self.pid = int(self._child.pid or 0)
        self.reader = self.writer = self._child.child_fd

    def resize(self, columns: int, lines: int) -> None:
        """Tell the program that its terminal has another size."""
        self._child.setwinsize(lines, columns)

    def unread(self) -> int:
        """Bytes that it could read from its terminal: whole lines, unless it reads single keys."""
        with contextlib.suppress(OSError):
            inner = fcntl.ioctl(self.reader, TIOCGPTPEER, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
            try:
                return _unread(inner)
            finally:
                os.close(inner)
        return 0

    def in_line_mode(self) -> bool:
        """Whether the kernel edits the line; where it does, it does not show what is typed."""
        try:
            mode = termios.tcgetattr(self.reader)
        except termios.error:  # its program is gone
            return True
        if not self._echo and mode[LOCAL] & termios.ECHO:
            mode[LOCAL] &= ~termios.ECHO  # the program has switched it on: typed text is no answer
            termios.tcsetattr(self.reader, termios.TCSANOW, mode)
        return bool(mode[LOCAL] & termios.ICANON)

    def poll(self) -> int | None:
        """The exit code, or none while it runs."""
        if self._child.isalive():
            return None
        signalled = self._child.signalstatus
        return -signalled if signalled else int(self._child.exitstatus or 0)

    def close(self) -> None:
        """Release everything."""
        with contextlib.suppress(OSError, pexpect.ExceptionPexpect):
            self._child.close(force=True)


class PipeProcess:
    """A program whose input and output are pipes; both outputs in one, in the order of writing."""

    def __init__(
        self, command: Sequence[str], env: Mapping[str, str], cwd: Path, *, stdin: bool
    ) -> None:
        try:
            self._child = subprocess.Popen(
                command, env=dict(env), cwd=cwd, start_new_session=True,
                stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                preexec_fn=die_with_parent(),  # the harness has one thread
            )  # fmt: skip
        except OSError as error:
            raise SetupError(f"cannot start {command[0]}: {error}") from error
        assert self._child.stdout
        self.pid = self._child.pid
        self.reader = self._child.stdout.fileno()
        self.writer = self._child.stdin.fileno() if self._child.stdin else -1

    def unread(self) -> int:
        """Bytes of its input that it has not read."""
        return _unread(self.writer) if self.writer >= 0 else 0

    def poll(self) -> int | None:
        """The exit code, or none while it runs."""
        return self._child.poll()

    def close_input(self) -> None:
        """End of input."""
        if self._child.stdin:
            self._child.stdin.close()
            self.writer = -1

    def close(self) -> None:
        """Release everything."""
        with contextlib.suppress(OSError):
            self.close_input()
        if self._child.stdout:
            self._child.stdout.close()
        if self._child.poll() is None:
            signal_group(self.pid, signal.SIGKILL)
            self._child.wait()


def _unread(fd: int) -> int:
    """Bytes in a pipe (seen from either end) or terminal; 0 where that cannot be told."""
    count = array.array("i", [0])
    with contextlib.suppress(OSError):
        fcntl.ioctl(fd, termios.FIONREAD, count)
    return count[0]


def die_with_parent() -> Callable[[], None]:
    """What a child does before it becomes the program: ask to be killed when the harness dies.

    And it ignores SIGXFSZ, so that a full disk (`disk is: full`) is an error and not a death.
    """
    return partial(_prepare, os.getpid())


def _prepare(parent: int) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    guardian.die_with_parent(parent)


def command_line(text: str | Sequence[str], env: Mapping[str, str]) -> list[str]:
    """The words of a command, its program found; raises `SetupError` if there is none."""
    words = shlex.split(text) if isinstance(text, str) else list(text)
    if not words:
        raise SetupError("an empty command cannot be started")
    program = shutil.which(words[0], path=env["PATH"])
    if program is None:
        raise SetupError(f"program not found: {words[0]} (looked in {env['PATH']})")
    return [program, *words[1:]]


def environment(home: Path, mark: str, extra: Mapping[str, str]) -> dict[str, str]:
    """A clean environment: programs installed beside this interpreter are found first."""
    beside = str(Path(sys.executable).parent)
    kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return {
        **kept,
        "PATH": os.pathsep.join([beside, os.environ.get("PATH", os.defpath)]),
        "HOME": str(home),
        "TMPDIR": str(home),
        "LANG": "C.UTF-8",
        "TERM": "xterm-256color",
        "PYTHONUNBUFFERED": "1",
        MARK: mark,
        guardian.MARK: guardian.session().name,
        **extra,
    }


def signal_group(pid: int, number: int) -> None:
    """Signal a program and what it has started; nothing happens if it is gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def kill_family(pid: int) -> None:
    """Kill a program and everything it has started, whatever group that is in."""
    with contextlib.suppress(psutil.Error):
        for process in psutil.Process(pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                process.kill()
    signal_group(pid, signal.SIGKILL)


def leftovers(mark: str, patience: float) -> list[str]:
    """Kill what still runs of this run, however it got away; says what it was."""
    deadline = time.monotonic() + patience
    found = _slipped(mark)
    while found and time.monotonic() < deadline:  # the kernel may still be busy with the dead
        psutil.wait_procs(found, timeout=0.05)
        found = [process for process in found if guardian.is_running(process)]
    said = []
    for process in found:
        with contextlib.suppress(psutil.Error):
            said.append(f"{process.pid}: {shlex.join(process.cmdline())}")
            process.kill()
    return said


def _slipped(mark: str) -> list[psutil.Process]:
    return list({*guardian.marked(MARK, mark), *guardian.adopted()})
