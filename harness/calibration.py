"""How slow this machine is just now: all patience is stretched by it, no promise ever is."""

from __future__ import annotations

import functools
import statistics
import subprocess
import sys
import time

from harness.errors import SetupError

REFERENCE = 0.025  # seconds that a start and a round trip may take before patience is stretched
ROUNDS = 3
VALID = 10.0  # seconds
LIMIT = 20.0  # beyond it nothing is measured but an accident
WORTH_A_WORD = 1.5  # from here on the report says so
STUB = "import sys\nfor line in sys.stdin: print(line, end='', flush=True)"


_measured: list[float] = []  # when, the last time


def renew() -> None:
    """Measure again if that was a while ago: a machine that was idle then may be busy now."""
    if not _measured or time.monotonic() - _measured[0] > VALID:
        factor.cache_clear()
    factor()


@functools.cache
def factor() -> float:
    """By how much to stretch patience here: at least 1. Kept until `renew`."""
    _measured[:] = [time.monotonic()]
    first = measure()
    if first <= REFERENCE:  # as fast as can be: nobody waits for a second opinion
        return 1.0
    return stretch(statistics.median([first, *(measure() for _ in range(ROUNDS - 1))]))


def stretch(seconds: float) -> float:
    """The factor for a machine that needs so long for a start and a round trip."""
    return round(min(LIMIT, max(1.0, seconds / REFERENCE)), 2)


def measure() -> float:
    """Seconds to start a small program, and to be answered by it."""
    began = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", STUB], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as stub:
        assert stub.stdin
        assert stub.stdout
        stub.stdin.write(b"hello\n")
        stub.stdin.flush()
        if stub.stdout.readline() != b"hello\n":
            raise SetupError(f"{sys.executable} does not run programs")
        took = time.monotonic() - began
        stub.kill()
    return took
