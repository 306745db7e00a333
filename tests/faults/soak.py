"""`make soak`: mixed load with faults against one daemon, for as long as is asked for.

Rounds of the proof by faults, by the same people: directly, in groups and to everyone, through
proxies that reset, freeze and half-open their connections. Beside them are visitors, plain ones
too, who come and go, and a queue that is filled to its limit. In the first third of the time the
daemon is killed, reloaded and upgraded, also with a power cut amid; then it is only reloaded, so
that one process lives long enough to be judged:

* Memory is flat where the median of its size over the last third of that time is at most 5 % above
  the one over the second; the first is for warming up. Deadlines of two minutes wait for each
  connection that was cut off: in less than ten minutes the memory has not stopped to grow.
* No descriptor is leaked where, when everybody has gone, it has as many as at its start.
* Of each round: every acknowledged message is at everybody who is to have it, once and in order.
"""

import argparse
import asyncio
import logging
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import psutil
from flat import FLAT, growth
from plan import Plan
from verdict import Verdict
from visitors import Visitors
from world import World

CLIENTS = 12
MESSAGES = 600  # of a round
CUTS = 24
ROUGH = {"kill": 1, "reload": 1, "upgrade": 1, "powercut": 1}
STEADY = {"reload": 1}
# What waits for its time is memory too: with times this short it is soon as much as it will be.
LIMITS = "queue = 200\npurge = 10\nhello = 10\nslow_hello = 20\nreading = 60\n"
KEPT = "20M"  # of the log, so that old messages are forgotten meanwhile
SAMPLES = 30  # at least; and one per minute
PATIENCE = 300.0  # seconds for a round, and for the last descriptor


class Sample(NamedTuple):
    """The daemon at one moment."""

    at: float  # seconds since the beginning
    rss: int  # bytes
    fds: int
    cpu: float  # seconds used so far by this process
    steady: bool

    def line(self, before: "Sample | None") -> str:
        same = before is not None and self.cpu >= before.cpu and self.at > before.at
        busy = f"{(self.cpu - before.cpu) / (self.at - before.at):4.0%}" if same else "   -"
        return f"{self.at / 60:5.1f} min  {self.rss / 1e6:6.1f} MB  {self.fds:3} fds  CPU {busy}"


class Soak:
    """One run; `run` gives what is wrong."""

    def __init__(self, world: World, minutes: float, seed: int):
        self._world = world
        self._visitors = Visitors(world)
        self._seconds = 60 * minutes
        self._seed = seed
        self._began = time.monotonic()
        self._samples: list[Sample] = []
        self.totals: Counter[str] = Counter()
        self.wrong: list[str] = []

    @property
    def _at(self) -> float:
        return time.monotonic() - self._began

    @property
    def _steady(self) -> bool:
        return self._at > self._seconds / 3

    async def run(self) -> None:
        await self._world.begin()
        self._began = time.monotonic()
        watching = asyncio.create_task(self._watch())
        visiting = asyncio.create_task(self._visitors.run())
        try:
            await self._rounds()
        finally:
            for task in (watching, visiting):
                task.cancel()
            await asyncio.gather(watching, visiting, return_exceptions=True)
        await self._world.leave()
        self.wrong += self._visitors.wrong
        await self._judge_descriptors()
        self._judge_memory()

    async def _rounds(self) -> None:
        while self._at < self._seconds:
            async with asyncio.timeout(PATIENCE):
                await self._world.talk()
            verdict = Verdict(self._world)
            self.wrong += verdict.wrong
            self._count(verdict)
            blows = STEADY if self._steady else ROUGH
            self._seed += 1
            plan = Plan(self._seed, CLIENTS, MESSAGES, blows, CUTS, before=self._world.plan)
            self._world.go_on(plan)

    def _count(self, verdict: Verdict) -> None:
        clients = self._world.clients
        self.totals["rounds"] += 1
        self.totals["acknowledged"] += sum(len(one.acknowledged) for one in clients)
        self.totals["received"] += sum(len(one.got) for one in clients)
        self.totals["lost"] += len(verdict.lost)
        self.totals["doubled"] += len(verdict.doubled)
        self.totals["out of order"] += len(verdict.unordered)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(min(60.0, self._seconds / SAMPLES))
            try:
                daemon = psutil.Process(self._world.pid)
                rss, fds, cpu = daemon.memory_info().rss, daemon.num_fds(), daemon.cpu_times()
            except psutil.Error:
                continue  # it was killed just now
            if not rss:
                continue  # ... and nobody has asked yet how it ended
            before = self._samples[-1] if self._samples else None
            self._samples.append(Sample(self._at, rss, fds, cpu.user + cpu.system, self._steady))
            print(self._samples[-1].line(before), f" {self.totals['rounds']} rounds", flush=True)

    async def _judge_descriptors(self) -> None:
        daemon, deadline = psutil.Process(self._world.pid), time.monotonic() + PATIENCE
        while daemon.num_fds() > self._world.idle_fds and time.monotonic() < deadline:
            await asyncio.sleep(0.2)
        left = daemon.num_fds() - self._world.idle_fds
        print(f"descriptors: {self._world.idle_fds} at the start, {left:+} at the end")
        if left > 0:
            self.wrong.append(f"{left} descriptors were not closed")

    def _judge_memory(self) -> None:
        steady = [one.rss for one in self._samples if one.steady]
        grown = growth(steady)
        if grown is None:
            self.wrong.append("too short to judge the memory")
            return
        print(f"memory: {steady[-1] / 1e6:.1f} MB, {grown:+.1%} behind the warm-up")
        if grown > FLAT:
            self.wrong.append("the memory is not flat")

    def line(self) -> str:
        struck = ", ".join(f"{kind} {count}" for kind, count in sorted(self._world.struck.items()))
        counts = ", ".join(f"{name} {self.totals[name]}" for name in self.totals)
        visits = f"visits {self._visitors.visits} and {self._visitors.cut} cut off"
        return f"faults: {struck}\n{visits}\n{counts}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="soak", description=__doc__.split("\n\n", 1)[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # that a peer is gone is what we are for
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    (folder / "limits.toml").write_text(LIMITS)
    options = ["--limits", str(folder / "limits.toml"), "--keep-bytes", KEPT]
    plan = Plan(args.seed, CLIENTS, MESSAGES, ROUGH, CUTS)

    async def soaked() -> Soak:
        world = World(plan, folder, *options)
        soak = Soak(world, args.minutes, args.seed)
        try:
            await soak.run()
        except (RuntimeError, TimeoutError) as broken:
            soak.wrong.append(str(broken) or "a round is not over in time")
        finally:
            await world.close()
        return soak

    try:
        soak = asyncio.run(soaked())
    finally:
        shutil.rmtree(folder)
    print(soak.line())
    for wrong in soak.wrong[:20]:
        print(wrong, file=sys.stderr)
    return 1 if soak.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
