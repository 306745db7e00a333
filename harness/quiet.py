"""The last resort of a fence: everything sleeps, nothing waits, and nobody has run in between.

For servers that answer nothing. A look notes how often each thread of the run's programs was
switched (proc(5): a thread that ran has a higher count when it sleeps again), then what waits in
sockets, pipes and terminals. If two looks find all threads asleep with the same counts and nothing
waiting, then nobody has run from the one to the other, and nobody has a reason to.

It is blind to a thread that sleeps before it sends, and to timers: a profile that declares `quiet`
says that the server has none. A server that wakes up every second is caught between two rounds; one
that never rests cannot be fenced this way. Linux, and programs of this run, only.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from msgspec import Struct

from harness.actors import Actor
from harness.errors import NotApplicableError
from harness.ports import TABLES
from harness.programs import Program
from harness.wire import Wire

if TYPE_CHECKING:
    from harness.run import Run

APART = 0.025  # seconds between two looks: longer than the kernel takes to pass on what was written
ASLEEP = frozenset("SIZXx")  # states of a thread that does nothing; I: idle in the kernel
HALTED = frozenset("Tt")  # by a signal: it will not run before it is told to
CLOSE_WAIT, STATES = "08", ("01", "04", "05", "08", "0A")  # of sockets, in the kernel's tables
Counts = dict[tuple[int, int], tuple[int, int]]  # (process, thread) -> switches, of both kinds


class Look(Struct, frozen=True):
    """What one look found; `busy` says in words what is not at rest."""

    at: float
    counts: Counts
    busy: str


class Rest:
    """Whether the server and everybody that takes part have come to rest. Never blocks."""

    def __init__(self, run: Run) -> None:
        if not sys.platform.startswith("linux"):
            raise NotApplicableError("the fence `quiet` reads /proc of Linux, and this is no Linux")
        if run.options.at:
            raise NotApplicableError(
                "the fence `quiet` looks at the server's threads, and the server is not the"
                " harness's own (--at)"
            )
        self._run = run
        self._last: Look | None = None
        self.done = False

    @property
    def why(self) -> str:
        """What was not at rest when it was last looked at."""
        return self._last.busy if self._last and self._last.busy else "its threads go on running"

    def poll(self) -> None:
        """Look again, if the last look was long enough ago."""
        if self.done or (self._last and time.monotonic() - self._last.at < APART):
            return
        before, self._last = self._last, self._look()
        self.done = (
            before is not None
            and not (before.busy or self._last.busy)
            and before.counts == self._last.counts
        )

    def _look(self) -> Look:
        actors = [actor for actor in self._run.everybody() if actor.joined and actor.ended is None]
        counts: Counts = {}
        busy, halted, family = "", set(), _family(actors)
        for process in family:
            for thread, state, switches in _threads(process):
                counts[process, thread] = switches
                if state in HALTED:
                    halted.add(process)
                elif state not in ASLEEP:
                    busy = f"thread {thread} of process {process} runs"
        busy = busy or _waits_for_us(actors) or _waits_in_sockets(actors, family, halted)
        return Look(time.monotonic(), counts, busy)


def _family(actors: list[Actor]) -> set[int]:
    """The programs among the actors, and all that they have started."""
    found = set()
    for actor in actors:
        if isinstance(actor, Program):
            with contextlib.suppress(psutil.Error):
                root = psutil.Process(actor.process.pid)
                found |= {root.pid, *(child.pid for child in root.children(recursive=True))}
    return found


def _threads(process: int) -> Iterator[tuple[int, str, tuple[int, int]]]:
    """Number, state and switches (voluntary and not) of every thread."""
    for folder in _listed(Path(f"/proc/{process}/task")):
        with contextlib.suppress(OSError):  # it has ended
            rows = dict(
                line.split(":\t", 1)
                for line in (folder / "status").read_text("utf-8", "replace").splitlines()
                if ":\t" in line
            )
            switches = (rows["voluntary_ctxt_switches"], rows["nonvoluntary_ctxt_switches"])
            yield int(folder.name), rows["State"][0], (int(switches[0]), int(switches[1]))


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:  # it has ended
        return []


def _waits_for_us(actors: list[Actor]) -> str:
    """What a program has written and we have not read, or the other way round."""
    for actor in actors:
        if actor.frozen:
            continue
        under_way = actor.link is not None and actor.link.busy
        if under_way or (isinstance(actor, Program | Wire) and actor.waits()):
            return f"something is on its way to or from {actor.name}"
    return ""


def _waits_in_sockets(actors: list[Actor], programs: set[int], halted: set[int]) -> str:
    """What stands in the kernel's queues of the connections that somebody awake will read."""
    ours = {actor.inode: actor.frozen for actor in actors if isinstance(actor, Wire)}
    awake = {inode for inode, frozen in ours.items() if not frozen}
    stuck = {inode for inode, frozen in ours.items() if frozen}
    for process in programs:
        (stuck if process in halted else awake).update(_sockets(process))
    rows = [row for row in _connections() if row.state in STATES]
    away = {(row.remote, row.local) for row in rows if row.inode in stuck}
    for row in rows:
        if row.inode in awake and (row.local, row.remote) not in away and row.waiting:
            return f"{row.waiting} bytes wait in a socket at port {row.local.rpartition(':')[2]}"
    return ""


def _sockets(process: int) -> Iterator[int]:
    for link in _listed(Path(f"/proc/{process}/fd")):
        with contextlib.suppress(OSError, ValueError):
            name = str(link.readlink())
            if name.startswith("socket:["):
                yield int(name[8:-1])


class Connection(Struct, frozen=True):
    """A row of the kernel's tables: addresses as it writes them, and bytes in both queues."""

    local: str
    remote: str
    state: str
    waiting: int
    inode: int


def _connections() -> Iterator[Connection]:
    for table in TABLES:
        with contextlib.suppress(OSError):
            for line in table.read_text("ascii").splitlines()[1:]:
                yield _connection(line.split())


def _connection(words: list[str]) -> Connection:
    unsent, unread = (int(count, 16) for count in words[4].split(":"))
    if words[3] == CLOSE_WAIT and unread == 1:  # the end itself is counted, for as long as it lasts
        unread = 0
    local, remote = (f"{at[-13:-5]}:{int(at[-4:], 16)}" for at in words[1:3])
    return Connection(local, remote, words[3], unsent + unread, int(words[9]))
