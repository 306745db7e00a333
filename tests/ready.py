"""Programs that have read their modules already: each start is a fork of a process that did.

A start of Python with all modules of the shell or the harness costs more than most tests. So each
program is read once, by a process in which nothing else happens; it forks for every start, and the
fork becomes the program as `python -m` would have made it: its arguments, environment, folder,
descriptors and terminal are its own, and its end is that of the interpreter. Real starts are shown
by the scenarios and by the tests of starting.

Protocol: a message of JSON for each start, its three descriptors and a pipe beside it. The pipe
says the process id, and later how it ended: a number of four bytes each.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import gc
import importlib.util
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

LARGEST = 200_000  # bytes of a message: arguments and environment
NUMBER = struct.Struct("i")
READ_AT_START = ("PYTHON", "LC_", "LANG")  # by the interpreter: forks for others are others


class Start:
    """A program that was started; `pid` is its own."""

    def __init__(self, said: int) -> None:
        self._said = said
        self._status: int | None = None
        (self.pid,) = NUMBER.unpack(os.read(said, NUMBER.size))

    def wait(self, seconds: float | None = None) -> int | None:
        """How it ended, as `subprocess` says it; none if it has not within that time."""
        if self._status is None and readable(self._said, seconds):
            (status,) = NUMBER.unpack(os.read(self._said, NUMBER.size))
            self._status = os.waitstatus_to_exitcode(status)
            os.close(self._said)
        return self._status

    def kill(self, number: int) -> None:
        """Send it a signal, if it is still there."""
        if self.wait(0) is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def end(self) -> None:
        """Whatever it is doing."""
        self.kill(signal.SIGKILL)
        self.wait()


def readable(fd: int, seconds: float | None) -> bool:
    """Whether something comes within that time; of any descriptor, as select(2) has 1,024."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(None if seconds is None else 1000 * seconds))


class Ready:
    """A program with `cli.main`, and the modules it will want, read by a process of their own."""

    def __init__(self, program: str, modules: Sequence[str], env: Mapping[str, str]) -> None:
        self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, __file__, str(theirs.fileno()), program, *modules]
        with theirs:
            self._process = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, env=env
            )

    def order(self, fds: Sequence[int], **order: object) -> Start:
        """One more start."""
        said, says = os.pipe()
        try:
            socket.send_fds(self._line, [json.dumps(order).encode()], [*fds, says])
        finally:
            os.close(says)
        return Start(said)


@functools.cache
def _ready(program: str, modules: tuple[str, ...], env: tuple[tuple[str, str], ...]) -> Ready:
    """The one of this process; it ends when nobody can order anything any more."""
    return Ready(program, modules, dict(env))


def start(
    program: str,
    *words: str,
    modules: Sequence[str] = (),
    fds: Sequence[int],
    env: Mapping[str, str],
    cwd: str,
    terminal: bool = False,
) -> Start:
    """`python -m PROGRAM WORDS`; `terminal`: the descriptors are to be the terminal of its own."""
    read = {key: env[key] for key in env if key.startswith((*READ_AT_START, "PATH"))}
    one = _ready(program, tuple(modules), tuple(sorted(read.items())))
    return one.order(fds, words=words, env=dict(env), cwd=cwd, terminal=terminal)


def run(
    program: str, *words: str, modules: Sequence[str] = (), env: Mapping[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    """A run that ends by itself, as `subprocess.run` tells of it; nothing can be read by it."""
    with (
        Path(os.devnull).open() as nothing,
        tempfile.TemporaryFile("w+") as said,
        tempfile.TemporaryFile("w+") as complained,
    ):
        fds = [one.fileno() for one in (nothing, said, complained)]
        begun = start(program, *words, modules=modules, fds=fds, env=env, cwd=str(Path.cwd()))
        code = begun.wait(timeout)
        if code is None:
            begun.end()
            raise subprocess.TimeoutExpired([program, *words], timeout)
        texts = [(one.seek(0), one.read())[1] for one in (said, complained)]
    return subprocess.CompletedProcess([program, *words], code, *texts)


# --- the process that forks -----------------------------------------------------------------------


def next_start(line: socket.socket) -> dict | None:
    """Fork for each order; returns in the fork, or, with nothing, when there are no more orders."""
    while True:
        data, fds, *_ = socket.recv_fds(line, LARGEST, 4)
        if not data:
            return None
        pid = os.fork()
        if not pid:
            line.close()
            return _begun(json.loads(data), *fds)
        for fd in fds:
            os.close(fd)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _begun(order: dict, stdin: int, stdout: int, stderr: int, says: int) -> dict:
    """A fork waits for the other one, so that somebody can say how that ended."""
    pid = os.fork()
    if pid:
        os.closerange(0, says)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        os.write(says, NUMBER.pack(pid))
        status = os.waitpid(pid, 0)[1]
        with contextlib.suppress(BrokenPipeError):
            os.write(says, NUMBER.pack(status))
        os._exit(0)
    os.close(says)
    if order["terminal"]:
        os.setsid()
        fcntl.ioctl(stdin, termios.TIOCSCTTY, 0)
    for fd, wanted in ((stdin, 0), (stdout, 1), (stderr, 2)):
        os.dup2(fd, wanted)
        os.close(fd)
    return order


def become(order: dict, program: str) -> None:
    """What `python -m PROGRAM` finds when it begins."""
    os.environ.clear()
    os.environ.update(order["env"])
    time.tzset()
    os.chdir(order["cwd"])
    sys.path[0] = order["cwd"]
    sys.orig_argv[1:] = ["-m", program, *order["words"]]
    sys.argv = [importlib.util.find_spec(f"{program}.__main__").origin, *order["words"]]
    by_line = 1 if os.isatty(1) else -1
    sys.stdin = sys.__stdin__ = os.fdopen(0, closefd=False)
    sys.stdout = sys.__stdout__ = os.fdopen(1, "w", by_line, closefd=False)
    sys.stderr = sys.__stderr__ = os.fdopen(2, "w", 1, errors="backslashreplace", closefd=False)


def serve(line: socket.socket, program: str, *modules: str) -> int:
    """Read the modules, then fork; each fork returns what the program says at its end."""
    main = importlib.import_module(f"{program}.cli").main
    for module in modules:
        importlib.import_module(module)
    gc.freeze()  # a collection in a fork would copy all of it
    order = next_start(line)
    if order is None:
        return 0
    become(order, program)
    return main()


if __name__ == "__main__":
    number, *names = sys.argv[1:]
    sys.exit(serve(socket.socket(fileno=int(number)), *names))
