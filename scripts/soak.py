"""`make soak-harness`: every scenario again and again on a busy machine, until one is flaky.

Two loops keep both cores busy, as on a machine that has other work. A round is the whole set once;
the first run that does not go as in the round before ends the soak and is printed.
"""

from __future__ import annotations

import argparse
import multiprocessing
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent


def burn() -> None:
    """Use a core up."""
    while True:
        pass


@contextmanager
def busy(loops: int) -> Iterator[None]:
    """A machine with so many cores in use."""
    context = multiprocessing.get_context("spawn")
    burners = [context.Process(target=burn, daemon=True) for _ in range(loops)]
    for burner in burners:
        burner.start()
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.join()


def a_round(paths: list[str], jobs: int) -> subprocess.CompletedProcess[str]:
    """All scenarios once."""
    command = [sys.executable, "-m", "harness", "run", *paths, "-j", str(jobs), "--quiet"]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


def main() -> int:
    """Rounds until the last, or the first that fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", nargs="*", default=["scenarios"])
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--jobs", type=int, default=4)
    parser.add_argument("--busy", type=int, default=2, metavar="LOOPS")
    arguments = parser.parse_args()
    began = time.monotonic()
    with busy(arguments.busy):
        for number in range(1, arguments.rounds + 1):
            done = a_round(arguments.paths, arguments.jobs)
            lines = done.stdout.splitlines() or [done.stderr]
            spent = time.monotonic() - began
            print(f"round {number}/{arguments.rounds}, {spent:.0f} s: {lines[-1]}", flush=True)
            if done.returncode:
                print(done.stdout, done.stderr, sep="\n")
                return done.returncode
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
