"""A server that knows only S3, in a process of its own."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

PROGRAM = Path(__file__).parent / "s3_server.py"


class Server(Protocol):
    """What these tests need of any server."""

    process: subprocess.Popen[str]
    port: int  # on 127.0.0.1


class S3Server(NamedTuple):
    process: subprocess.Popen[str]
    port: int


def kill(server: Server) -> None:
    """End it as a power cut would, as far as its clients can tell."""
    server.process.kill()
    server.process.wait()


@contextlib.contextmanager
def s3_server() -> Iterator[S3Server]:
    """A server as students write it, ready to be connected to."""
    command = [sys.executable, str(PROGRAM), "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            ready = re.search(r"port (\d+)", process.stdout.readline())
            assert ready, "the server did not start"
            yield S3Server(process, int(ready[1]))
        finally:
            process.kill()
