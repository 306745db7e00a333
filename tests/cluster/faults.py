"""`make cluster-faults`: what was acknowledged arrives once and in order, whichever node breaks.

Three daemons and three NATS nodes, each on a machine of its own. In each round one of them is
killed by SIGKILL, frozen, or cut off from all others, and healed, while numbered messages are said
by real clients, who go on with another node. A session that a broken node had must be over when
that node is back, and a name that was held there must be free for others before.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import cycle, islice
from pathlib import Path
from statistics import median

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent.parent), str(HERE.parent), str(HERE.parent / "faults")]

from machines import Network, move_apart  # noqa: E402
from nodes import Blow, Daemon, Keeper  # noqa: E402
from peers.nats import PROGRAM, NatsCluster  # noqa: E402
from plan import Plan  # noqa: E402
from talker import Client  # noqa: E402
from verdict import Verdict  # noqa: E402
from wanderer import Abandoned, Wanderer  # noqa: E402

KINDS = ("kill", "freeze", "cut")
AROUND = 3.0  # seconds of a round before its blow, and again behind its end, at most
STEP = 0.05  # seconds between two looks at what may be said
PATIENCE = 180.0  # seconds for a round
FREE = 5.0  # seconds until a name of a node that is gone can be taken by others


def parse(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="cluster-faults", description=__doc__.split("\n\n", maxsplit=1)[0]
    )
    parser.add_argument("--rounds", type=int, default=30, help="blows, one after the other")
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=9)
    parser.add_argument("--outage", type=float, default=20, help="seconds until a node is healed")
    parser.add_argument("--first", type=int, default=0, help="begin with this blow of the list")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args(argv)


class Cluster:
    """What the talkers of the proof by faults take for their world."""

    def __init__(self, args: argparse.Namespace, daemons: list[Daemon]):
        self._args = args
        self._around = min(AROUND, args.outage)
        self.daemons = daemons
        self.plan = self._next_plan(0, None)
        self.share = 0.0  # of the messages of this round that may be said by now
        self.struck: Counter[str] = Counter()
        self.resumes: dict[str, list[float]] = {"chatd": [], "nats": []}  # seconds
        self.freed: list[float] = []  # seconds
        self.stalls: list[float] = []  # the longest time without an acknowledgement, of each round
        self.wrong: list[str] = []
        self.totals: Counter[str] = Counter()
        self.clients: list[Client] = []
        self.by_name: dict[str, Client] = {}
        self._abandoned: list[Abandoned] = []
        self._blow: Blow | None = None
        self._last = 0.0  # when something was acknowledged
        self._joined: asyncio.Queue[Client] = asyncio.Queue()
        self._tasks: list[asyncio.Task] = []

    def _next_plan(self, number: int, before: Plan | None) -> Plan:
        messages, rounds = self._args.messages, self._args.rounds
        each = messages * (number + 1) // rounds - messages * number // rounds
        return Plan(self._args.seed + number, self._args.clients, each, {}, 0, before=before)

    # --- what clients tell ----------------------------------------------------------------------

    def joined(self, client: Client) -> None:
        self._joined.put_nowait(client)

    def one_more(self, _: int) -> None:
        now = time.monotonic()
        self.stalls[-1] = max(self.stalls[-1], now - self._last)
        self._last = now

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, 1.0))

    def resumed(self, client: Wanderer, seconds: float) -> None:
        if self._blow is not None:
            self.resumes[self._blow.victim.kind].append(seconds)

    # --- its course -----------------------------------------------------------------------------

    async def begin(self) -> None:
        for n, name in enumerate(self.plan.names):
            home = n % len(self.daemons)
            client = self.by_name[name] = Wanderer(self, name, self.plan.messages[name], home)
            self.clients.append(client)
            self._tasks.append(asyncio.create_task(client.run()))
            await self.unless_broken(self._joined.get())
        for group, members in self.plan.groups.items():
            making = self.by_name[members[0]].request(
                "group", op="create", group=group, names=members[1:]
            )
            await self.unless_broken(making)

    async def unless_broken(self, awaitable) -> None:
        """Wait for this, but not when a task has failed: its exception is raised instead."""
        wanted = asyncio.ensure_future(awaitable)
        daemons = [one.watched for one in self.daemons if not one.going]
        tasks = {wanted, *self._tasks, *daemons}
        while not wanted.done():
            done, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for one in done:
                one.result()

    async def round(self, number: int, blow: Blow) -> None:
        """One blow, from its beginning to its end, and what became of all messages."""
        if number:
            self.plan = self._next_plan(number, self.plan)
            for client in self.clients:
                client.plan(self.plan.messages[client.name])
        async with asyncio.timeout(PATIENCE + self._args.outage):
            await self.unless_broken(self._all_at_home())
            self._blow, self._last, self.share = blow, time.monotonic(), 0.0
            self.stalls.append(0.0)
            talking = asyncio.create_task(self._talk())
            watching = [asyncio.create_task(self._watch(one)) for one in self.daemons]
            await self.unless_broken(self._deal(blow))
            await self.unless_broken(talking)
            for task in watching:
                task.cancel()
            for client in self.clients:
                await self.unless_broken(client.settle())
            ends = await asyncio.gather(*(one.judge() for one in self._abandoned))
        self.wrong += [f"{blow}: {end}" for end in ends if end]
        self.totals["sessions that had to end"] += len(ends)
        self._abandoned.clear()
        self._judge(blow)

    async def _all_at_home(self) -> None:
        """Each node has its share of them again."""
        self._blow = None
        for client in self.clients:
            client.go_home()
        while not all(client.is_home for client in self.clients):
            await asyncio.sleep(STEP)

    async def _talk(self) -> None:
        """So that there is something said at each moment of the round."""
        began, lasts = time.monotonic(), self._args.outage + 2 * self._around
        while not all(client.finished for client in self.clients):
            self.share = min(1.0, (time.monotonic() - began) / lasts)
            for client in self.clients:
                client.go_on()
            await asyncio.sleep(STEP)

    async def _deal(self, blow: Blow) -> None:
        await asyncio.sleep(self._around)
        victim = blow.victim
        squatter = None
        if isinstance(victim, Daemon):
            squatter = await asyncio.open_connection(victim.machine.address, victim.port)
            await _hello(*squatter)
        await blow.strike()
        struck = time.monotonic()
        for client in self.clients:
            client.struck = struck if client.daemon is victim else client.struck
        self.struck[blow.kind] += 1
        if squatter:
            await self._take_name(victim, struck)
        await asyncio.sleep(max(0.0, struck + self._args.outage - time.monotonic()))
        await blow.heal()
        if squatter:
            self._abandoned.append(Abandoned("passer", *squatter, plain=True))

    async def _take_name(self, victim: Daemon, struck: float) -> None:
        """Somebody else comes by the name of somebody who was on that node."""
        other = next(one for one in self.daemons if one is not victim)
        while True:
            reader, writer = await asyncio.open_connection(other.machine.address, other.port)
            try:
                if await _hello(reader, writer):
                    break
            finally:
                writer.transport.abort()
            await asyncio.sleep(STEP)
        self.freed.append(time.monotonic() - struck)

    async def _watch(self, daemon: Daemon) -> None:
        """Whoever is on a node that gives no sign of life goes elsewhere."""
        await daemon.is_stranded()
        for client in self.clients:
            if client.daemon is daemon and (left := client.abandon()):
                self._abandoned.append(left)

    def _judge(self, blow: Blow) -> None:
        verdict = Verdict(self)
        unordered = list(self._unordered())
        said = [wrong for client in self.clients for wrong in client.wrong]
        wrong = [*verdict.lost, *verdict.doubled, *unordered, *said]
        self.wrong += [f"{blow}: {one}" for one in wrong]
        self.totals["acknowledged"] += sum(len(one.acknowledged) for one in self.clients)
        self.totals["received"] += sum(len(one.got) for one in self.clients)
        self.totals["lost"] += len(verdict.lost)
        self.totals["doubled"] += len(verdict.doubled)
        self.totals["out of order"] += len(unordered)
        self.totals["refused and said again"] = sum(len(one.refused) for one in self.clients)

    def _unordered(self) -> Iterator[str]:
        """Whatever was refused meanwhile was said again behind later ones, by its sender."""
        for client in self.clients:
            last: Counter[str] = Counter()
            for one in client.got:
                if one.number in self.by_name[one.sender].refused:
                    continue
                if one.number <= last[one.sender]:
                    yield f"{client.name} got {one} behind {last[one.sender]}"
                last[one.sender] = max(last[one.sender], one.number)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for daemon in self.daemons:
            await daemon.kill()

    def line(self) -> str:
        """All counts, and the times."""
        struck = ", ".join(f"{kind} {count}" for kind, count in sorted(self.struck.items()))
        counts = ", ".join(f"{name} {count}" for name, count in self.totals.items())
        return "\n".join([
            f"blows: {struck}; {counts}",
            f"back on another node when a daemon broke: {_times(self.resumes['chatd'])}",
            f"... when a NATS node broke: {_times(self.resumes['nats'])}",
            f"names of a broken daemon free for others: {_times(self.freed)}",
            f"longest time of a round without an acknowledgement: {_times(self.stalls)}",
        ])  # fmt: skip


async def _hello(reader, writer) -> bool:
    writer.write(b'{"code":"hello","name":"passer"}\n')
    return b'"welcome"' in await reader.readline()


def _times(seconds: list[float]) -> str:
    if not seconds:
        return "nobody"
    return f"median {median(seconds):.2f} s, at most {max(seconds):.2f} s, of {len(seconds)}"


def blows(keepers: list[Keeper], daemons: list[Daemon], *, apart: bool) -> list[Blow]:
    """Each of them in turn, in each way; without networks of their own nobody can be cut off."""
    kinds = [kind for kind in KINDS if apart or kind != "cut"]
    pairs = zip(daemons, keepers, strict=True)
    return [Blow(kind, one) for pair in pairs for one in pair for kind in kinds]


async def prove(args: argparse.Namespace, network: Network, folder: Path, stack: ExitStack) -> int:
    places, homes = network.plug_in(3), network.plug_in(3)
    servers = NatsCluster(folder / "nats", [(one.address, one.before) for one in places])
    stack.callback(servers.end)
    keepers = [Keeper(servers, n, place) for n, place in enumerate(places)]
    daemons = [Daemon(folder, n, home, servers.url) for n, home in enumerate(homes)]
    await asyncio.gather(*(one.revive() for one in daemons))
    cluster = Cluster(args, daemons)
    turns = cycle(blows(keepers, daemons, apart=network.apart))
    try:
        await cluster.begin()
        for n, blow in enumerate(islice(turns, args.first, args.first + args.rounds)):
            began = time.monotonic()
            await cluster.round(n, blow)
            took = time.monotonic() - began
            silent = f"longest without an answer {cluster.stalls[-1]:.1f} s"
            print(f"{n + 1:3} {blow}: {took:.0f} s, {silent}, {dict(cluster.totals)}", flush=True)
    except TimeoutError:
        cluster.wrong.append(f"{blow}: a round is not over in time")
    finally:
        await cluster.close()
    print(cluster.line())
    for wrong in cluster.wrong[:20]:
        print(wrong, file=sys.stderr)
    return 1 if cluster.wrong else 0


def main() -> int:
    args = parse()
    if PROGRAM is None:
        print("nats-server is not installed: make .venv/dev.stamp", file=sys.stderr)
        return 3
    move_apart()
    with tempfile.TemporaryDirectory(prefix="cluster-") as folder, ExitStack() as stack:
        network = Network()
        stack.callback(network.end)
        print(f"three NATS nodes and three daemons: {network.about}", flush=True)
        return asyncio.run(prove(args, network, Path(folder), stack))


if __name__ == "__main__":
    sys.exit(main())
