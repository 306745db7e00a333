"""`--shake`: small delays before acts, and programs halted for moments, as a seed says.

Whatever passes only because everybody is quick, or because two things happen to come in one order,
fails more often then. Exchanges with `within` are left alone: it is a promise about the product,
and the delay would be ours. Nobody is halted where a fence looks at who sleeps (`quiet`).
"""

from __future__ import annotations

import os
import random
import signal
import time
from typing import TYPE_CHECKING

from harness.actors import Actor
from harness.programs import Program

if TYPE_CHECKING:
    from harness.run import Run

DELAY = 0.03  # seconds at most
HALT = 0.05
OFTEN, SOMETIMES = 0.5, 0.3  # how probable a delay is, and a halt


class Shaker:
    """The hand that shakes one run; `before` is called before every act."""

    def __init__(self, run: Run, name: str) -> None:
        self._run = run
        self._random = random.Random(f"shake {name}")  # noqa: S311
        self.did: list[str] = []
        self._halted: dict[str, tuple[Program, float]] = {}  # and when to let it go on
        run.reactor.looks.append(self._look)

    def before(self, actor: Actor) -> None:
        """Perhaps halt somebody, perhaps wait; the actor itself is let go, so that it can act."""
        halt, wait = self._random.random() < SOMETIMES, self._random.random() < OFTEN
        who, halt_for = self._random.random(), self._random.uniform(HALT / 10, HALT)
        delay = self._random.uniform(0.0, DELAY)
        self._release(actor.name)
        if halt:
            self._halt(who, halt_for, actor)
        if wait:
            self._did(actor, f"delayed by {delay * 1000:.0f} ms")
            self._run.reactor.until(lambda: False, time.monotonic() + delay)

    def _did(self, actor: Actor, what: str) -> None:
        actor.note("note", f"{what} (shake)")
        self.did.append(f"{actor.name} {what}")

    def _halt(self, who: float, seconds: float, but: Actor) -> None:
        programs = [
            one for one in self._run.everybody()
            if isinstance(one, Program) and one is not but and one.alive and one.running
            and not one.frozen
        ]  # fmt: skip
        if programs and not self._somebody_looks_at_sleep():
            program = programs[int(who * len(programs))]
            self._did(program, f"halted for {seconds * 1000:.0f} ms")
            os.kill(program.process.pid, signal.SIGSTOP)
            self._halted[program.name] = (program, time.monotonic() + seconds)

    def _look(self) -> None:
        now = time.monotonic()
        for name, (_, until) in list(self._halted.items()):
            if now >= until:
                self._release(name)

    def _release(self, name: str) -> None:
        if name in self._halted:
            program, _ = self._halted.pop(name)
            if program.running:
                os.kill(program.process.pid, signal.SIGCONT)

    def _somebody_looks_at_sleep(self) -> bool:
        run = self._run
        return any(run.profile.fence_of("quiet", actor.role) for actor in run.actors.values())
