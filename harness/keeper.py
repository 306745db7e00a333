"""The keeper: a process that makes runs for another one, and ends them all when that one is gone.

A run forks programs into pseudo-terminals, which is only safe in a process with one thread; so the
keeper has one, and forks for every run, which costs milliseconds and shares nothing with any other
run. It leads a session of its own, so that neither Ctrl-C nor the death of its owner's group
reaches it; it adopts orphans (Linux), so that whatever a run leaves behind is a child of it.

Protocol, with `harness.pool`, on a socket: messages of `multiprocessing.connection`. The owner
sends `Order`s; the keeper sends `Told`s, small ones: the outcome itself is a file in its folder.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import pickle
import signal
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from harness import calibration, guardian
from harness.journal import Event
from harness.language import Scenario
from harness.run import Options
from harness.runner import Outcome, run_scenario

POLITE = 8.0  # seconds for runs to tidy up when they are told to end
SILENCE, SHORTEST = 60.0, 10.0  # seconds without a sign of life; stretched like patience
PROVING = 1800.0  # the same, where replays follow that give none
BEAT = 1.0  # seconds between signs of life
LAST_CHANCE = 2.0  # seconds for a hanging run to say where it hangs
FAR = float("inf")
ENDS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
LAST_LINES = 40  # of what a run printed that died


class Order(Struct):
    """A run to make."""

    number: int
    scenario: Scenario
    row: Mapping[str, Any]
    options: Options
    watch: bool = False  # tell every event


class Told(Struct):
    """What the keeper says about a run: an event of it, or how its process ended."""

    number: int
    event: Event | None = None
    outcome: str = ""  # file with the pickled outcome; none: it died before there was one
    died: str = ""
    said: list[str] = field(default_factory=list)  # last words of the process


class _Child(Struct):
    number: int
    pid: int
    said: Connection
    silence: float  # seconds without a sign of life after which it hangs
    deadline: float
    killed: str = ""


class Keeper:
    """Forks runs, watches them, buries them."""

    def __init__(self, owner: Connection, folder: Path) -> None:
        self._owner, self._folder = owner, folder
        self._children: dict[int, _Child] = {}

    def serve(self) -> None:
        """Until the owner is gone."""
        while True:
            speakers = [self._owner, *(child.said for child in self._children.values())]
            for speaker in wait(speakers, self._pause()):
                if speaker is not self._owner:
                    self._hear(self._speaker(speaker))
                    continue
                try:
                    order = self._owner.recv()
                except (EOFError, OSError):
                    return
                self._fork(order)
            self._kill_the_late()

    def end(self) -> None:
        """Tell the runs to end, wait for a while, kill what is left."""
        for pid in self._children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + POLITE
        while self._children and time.monotonic() < deadline:
            for speaker in wait([child.said for child in self._children.values()], 0.1):
                self._hear(self._speaker(speaker))
        guardian.clean_up(self._folder)

    def _speaker(self, speaker: object) -> _Child:
        return next(child for child in self._children.values() if child.said is speaker)

    def _pause(self) -> float | None:
        """Seconds until there is something to do that no message tells."""
        first = min((child.deadline for child in self._children.values()), default=FAR)
        return None if first == FAR else max(0.0, first - time.monotonic())

    def _fork(self, order: Order) -> None:
        calibration.renew()  # for all runs that begin now
        _player(order.options)
        ours, theirs = os.pipe()
        keeper = os.getpid()

        def play() -> None:
            os.close(ours)
            self._owner.close()
            for other in self._children.values():
                other.said.close()
            guardian.die_with_parent(keeper)
            _be_a_run(order, Connection(theirs, readable=False), self._folder)

        pid = guardian.fork(play)
        os.close(theirs)
        usual = PROVING if order.options.prove else SILENCE
        silence = max(SHORTEST, usual * order.options.patience * calibration.factor())
        said, deadline = Connection(ours, writable=False), time.monotonic() + silence
        self._children[pid] = _Child(order.number, pid, said, silence, deadline)

    def _hear(self, child: _Child) -> None:
        try:
            message = child.said.recv()
        except (EOFError, OSError):
            child.said.close()
            self._end_of(child)
            return
        child.deadline = time.monotonic() + child.silence
        if message is not None:
            self._tell(Told(child.number, event=message))

    def _end_of(self, child: _Child) -> None:
        """It closed its end, which it does by exiting."""
        _, status = os.waitpid(child.pid, 0)
        del self._children[child.pid]
        guardian.kill_all(partial(guardian.descendants, but=frozenset(self._children)))
        code = os.waitstatus_to_exitcode(status)
        outcome = self._folder / f"{child.number}.outcome"
        told = Told(child.number, said=_last_words(self._folder, child.number))
        if code == 0 and outcome.exists():
            told.outcome = str(outcome)
        else:
            told.died = child.killed or _ending(code)
        self._tell(told)

    def _kill_the_late(self) -> None:
        """Whoever does not end by itself is asked for a traceback, then killed."""
        for child in self._children.values():
            if time.monotonic() >= child.deadline:
                os.kill(child.pid, signal.SIGKILL if child.killed else signal.SIGABRT)
                child.killed = "hung and was killed"
                child.deadline = time.monotonic() + LAST_CHANCE

    def _tell(self, told: Told) -> None:
        with contextlib.suppress(OSError):  # the owner is gone: `serve` will see it
            self._owner.send(told)


def _ending(code: int) -> str:
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"


def _last_words(folder: Path, number: int) -> list[str]:
    path = folder / f"{number}.stderr"
    lines = path.read_text("utf-8", "replace").splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return lines[-LAST_LINES:]


def _player(options: Options) -> Callable[..., Outcome]:
    """What makes a run."""
    if not options.prove:
        return run_scenario
    from harness.prove import prove_scenario

    return prove_scenario


def _be_a_run(order: Order, owner: Connection, folder: Path) -> None:
    """What a forked child does: one run, and its outcome into a file."""
    guardian.adopt_orphans()
    for number in ENDS:
        signal.signal(number, signal.default_int_handler)
    with (folder / f"{order.number}.stderr").open("wb") as words:
        os.dup2(words.fileno(), 2)
    faulthandler.enable()
    outcome = _player(order.options)(
        order.scenario, order.row, order.options, owner.send if order.watch else None,
        partial(_beat, owner, [time.monotonic()]),
    )  # fmt: skip
    write_outcome(outcome, folder / f"{order.number}.outcome")


def _beat(owner: Connection, last: list[float]) -> None:
    """A sign of life, not too often."""
    now = time.monotonic()
    if now - last[0] >= BEAT:
        last[0] = now
        owner.send(None)


def write_outcome(outcome: Outcome, path: Path) -> None:
    """Put an outcome where the owner will look for it. Frames may hold any text: no JSON."""
    path.write_bytes(pickle.dumps(outcome))


def main(line: int) -> None:
    """Keep runs for who holds the other end of a socket."""
    owner = Connection(line)
    guardian.adopt_orphans()
    guardian.sweep()
    folder = guardian.begin_session()
    guardian.use(folder)
    keeper = Keeper(owner, folder)
    for number in ENDS:
        signal.signal(number, lambda *_: sys.exit(1))
    try:
        keeper.serve()
    finally:
        keeper.end()
