"""Real servers for tests: the daemon, and a server that knows only S3."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent


class Server(NamedTuple):
    """A server's process and its port on 127.0.0.1."""

    process: subprocess.Popen[str]
    port: int

    def end(self, how: signal.Signals) -> None:
        self.process.send_signal(how)
        self.process.wait()


@contextlib.contextmanager
def started(*argv: str | Path) -> Iterator[Server]:
    """A program that prints `listening on HOST, port N` when it is ready."""
    command = [sys.executable, *map(str, argv)]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout
            ready = re.search(r"port (\d+)", process.stdout.readline())
            assert ready, f"{argv} did not start"
            yield Server(process, int(ready[1]))
        finally:
            process.kill()


def daemon(data: Path, *options: str, port: int = 0) -> contextlib.AbstractContextManager[Server]:
    """The daemon, with its data in that folder."""
    return started("-m", "chatd", str(port), *options, "--host", "127.0.0.1", "--data", data)


def s3_server() -> contextlib.AbstractContextManager[Server]:
    """A server as students write it."""
    return started(HERE / "s3_server.py", "0")
