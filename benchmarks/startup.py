"""How long `chatsh` takes to start, beside the `import cmd2` that no shell on it can go below.

    python -m benchmarks.startup [--rounds 9]

Prints medians: from the command to the prompt on a terminal, to the connection of `chatsh --to`,
and to its end, with the processor time of it. The kinds take turns, so that a busy machine is busy
for all of them.
"""

from __future__ import annotations

import argparse
import os
import pty
import select
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.history import daemon
from benchmarks.machine import describe

PROMPT = b"enter your message>"
ASKED, ANSWER = b"\x1b[6n", b"\x1b[1;1R"  # where the cursor is, as terminals say it
PATIENCE = 30.0  # seconds, only for giving up
CHATSH = (sys.executable, "-m", "chatsh")


class Took(NamedTuple):
    """Seconds: of the clock, and of the processor for the program itself."""

    wall: float
    user: float


class Bench:
    """A daemon's port, and a home without settings."""

    def __init__(self, port: int, home: Path) -> None:
        self.port = str(port)
        self.env = {**os.environ, "HOME": str(home), "TERM": "xterm-256color"}
        self.env.pop("PYTHONDONTWRITEBYTECODE", None)  # else each start compiles
        for variable in ("XDG_CONFIG_HOME", "XDG_STATE_HOME"):
            self.env[variable] = str(home)

    def to_end(self, words: list[str]) -> Took:
        """A program that ends by itself."""
        begun = time.perf_counter()
        pid = os.posix_spawn(words[0], words, self.env)
        _, status, used = os.wait4(pid, 0)
        took = time.perf_counter() - begun
        assert os.waitstatus_to_exitcode(status) == 0, words
        return Took(took, used.ru_utime)

    def to_prompt(self, *options: str) -> Took:
        """A shell on a terminal, until its prompt is there."""
        words = [*CHATSH, "127.0.0.1", self.port, "ann", *options]
        begun = time.perf_counter()
        pid, fd = pty.fork()
        if pid == 0:
            os.execve(words[0], words, self.env)
        seen, asked = b"", 0
        while PROMPT not in seen:
            assert select.select([fd], [], [], PATIENCE)[0], seen
            seen += os.read(fd, 65_536)
            while asked < seen.count(ASKED):
                asked += 1
                os.write(fd, ANSWER)
        took = time.perf_counter() - begun
        os.close(fd)  # a hang-up
        _, _, used = os.wait4(pid, 0)
        return Took(took, used.ru_utime)

    def to_connection(self) -> Took:
        """`chatsh --to`, until it has reached a server."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = str(listener.getsockname()[1])
            begun = time.perf_counter()
            words = [*CHATSH, "127.0.0.1", port, "--to", "*", "hi"]
            with subprocess.Popen(words, env=self.env, stderr=subprocess.DEVNULL) as process:
                listener.accept()[0].close()
                took = time.perf_counter() - begun
                _, _, used = os.wait4(process.pid, 0)
                process.returncode = 0
        return Took(took, used.ru_utime)

    def kinds(self) -> dict[str, Callable[[], Took]]:
        """What is measured, by name."""
        python = sys.executable
        send = [*CHATSH, "127.0.0.1", self.port, "--to", "*", "hi"]
        return {
            "python -c pass": lambda: self.to_end([python, "-c", "pass"]),
            'python -c "import cmd2"': lambda: self.to_end([python, "-c", "import cmd2"]),
            "chatsh to its prompt": self.to_prompt,
            "chatsh --plain to its prompt": lambda: self.to_prompt("--plain"),
            "chatsh --to, to the connection": self.to_connection,
            "chatsh --to, to its end": lambda: self.to_end(send),
        }


def main() -> int:
    """Start, take turns, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder, daemon(Path(folder, "data")) as (port, _):
        kinds = Bench(port, Path(folder)).kinds()
        for measure in kinds.values():
            measure()  # once for the disk, and for what Python keeps compiled
        took = [{name: measure() for name, measure in kinds.items()} for _ in range(rounds)]
    print(describe())
    print(f"{'medians of ' + str(rounds):<32} {'wall':>8} {'user':>8} {'x import':>9} {'more':>8}")
    middle = {name: _median([one[name] for one in took]) for name in kinds}
    least = middle['python -c "import cmd2"'].wall
    for name, (wall, user) in middle.items():
        ms, user_ms, more = 1000 * wall, 1000 * user, 1000 * (wall - least)
        print(f"{name:<32} {ms:5.0f} ms {user_ms:5.0f} ms {wall / least:9.2f} {more:+5.0f} ms")
    return 0


def _median(took: Sequence[Took]) -> Took:
    return Took(*(statistics.median(column) for column in zip(*took, strict=True)))


if __name__ == "__main__":
    sys.exit(main())
