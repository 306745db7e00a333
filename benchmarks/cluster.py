"""What a cluster costs: SQLite alone, one node and three nodes on JetStream, on the same work.

    python -m benchmarks.cluster [--rounds 5] [--seconds 3] [--quick] [--results FILE]

Both clusters stand on the same three NATS nodes with three replicas, which sync their files before
they answer, as SQLite does; three nodes also on such that sync them every two minutes ("lazy"). Of
the sessions each node has its share, and of every pair the two are on different nodes. All of it
runs on this one machine, so that what counts is the processor time of a message; by the clock three
nodes share its processors.
A run in which something is missing is void: it is told, repeated, and not counted.
"""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import count, cycle
from pathlib import Path
from typing import NamedTuple

import psutil

from benchmarks.compare import (
    Lab,
    Measure,
    Watch,
    closing_all,
    deliver,
    laboratory,
    rounds,
    short_options,
    talking,
)
from benchmarks.report import (
    Result,
    Sample,
    about,
    columns,
    figure,
    markdown,
    replace_section,
    void_runs,
)
from benchmarks.servers import PROGRAMS, S3, Program, Server, running

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from peers.nats import NatsCluster

TITLE = "A cluster beside one daemon"
RECEIVERS = 99
PAIRS = 10  # no multiple of three: the two of a pair are on different nodes
LOG_INS = 240
NODES = {"sqlite": 1, "one": 1, "three": 3, "lazy": 3}
SYNCS = ("always", "2m")  # the second is what NATS does unless it is told
MICRO = 1e6
WHO = b'{"code":"who"}\n'  # its answer stands behind the coming of everybody, on every node
DIALECT = S3._replace(join=WHO, ping=WHO, pong=b'"users"')
CLUSTERED = (
    ("one", "one node", SYNCS[0]),
    ("three", "three nodes", SYNCS[0]),
    ("lazy", "three nodes, lazy", SYNCS[1]),
)
streams = count(1)  # each run has one of its own


class Nodes(Server):
    """Daemons that are one chat: people come to each of them in turn."""

    def __init__(self, program: Program, servers: Sequence[Server], keepers: Sequence[int]) -> None:
        self.program, self.dialect = program, program.dialect
        self._servers = servers
        self._turns = cycle(servers)
        self._keepers = [psutil.Process(pid) for pid in keepers]

    def cpu(self) -> float:
        """Of all daemons; see `Server`."""
        return sum(one.cpu() for one in self._servers)

    def nats(self) -> float:
        """Seconds of processor time of all NATS nodes, in steps of 10 ms."""
        times = [one.cpu_times() for one in self._keepers]
        return sum(one.user + one.system for one in times)

    def connect(self, hello: bytes) -> socket.socket:
        """See `Server`."""
        return next(self._turns).connect(hello)


class Bench:
    """The columns, on NATS clusters by how they sync their files."""

    def __init__(self, clusters: dict[str, NatsCluster]) -> None:
        self._clusters = clusters
        self._stream = ""
        own = PROGRAMS["chatd"]
        self.programs = [
            own._replace(name="sqlite", label="chatd", dialect=DIALECT),
            *(
                own._replace(
                    name=name, label=label, dialect=DIALECT, words=partial(self._words, sync)
                )
                for name, label, sync in CLUSTERED
            ),
        ]

    def _words(self, sync: str, folder: Path, port: int) -> Sequence[str]:
        url = f"{self._clusters[sync].url}/{self._stream}"
        return [*PROGRAMS["chatd"].words(folder, port), "--cluster", url]

    @contextmanager
    def nodes(self, lab: Lab, program: Program) -> Iterator[Nodes]:
        """They run, on a stream that nobody has used."""
        self._stream = f"bench{next(streams)}"
        cluster = self._clusters[SYNCS[program.name == "lazy"]]
        pids = [one.process.pid for one in cluster.servers]
        with ExitStack() as stack:
            number = NODES[program.name]
            servers = [stack.enter_context(running(program, lab.folder)) for _ in range(number)]
            yield Nodes(program, servers, pids)

    def deliveries(
        self, lab: Lab, program: Program, *, receivers: int = 0, pairs: int = 0
    ) -> Sample:
        """To many, or in pairs; microseconds of processor time for each message."""
        with (
            self.nodes(lab, program) as server,
            talking(server, receivers, pairs) as talks,
        ):
            before = server.nats()
            window = "16" if pairs else "256"
            sample = deliver(lab, server, talks, "flood", window)
            nats = server.nats() - before
        each = receivers or 1
        return {
            "wall": sample["per_wall"] / each,
            "daemons": MICRO * each / sample["per_cpu"],
            "nats": MICRO * nats / sample["sent"],
        }

    def log_ins(self, lab: Lab, program: Program) -> Sample:
        """Many come at once."""
        with self.nodes(lab, program) as server:
            before, watch = server.nats(), Watch(server)
            hellos = [DIALECT.hello(f"r{number:04}") for number in range(LOG_INS)]
            with closing_all(server.sessions(hellos)):
                watch.stop()
            nats = server.nats() - before
        return {
            "wall": LOG_INS / watch.wall,
            "daemons": MICRO * watch.cpu / LOG_INS,
            "nats": MICRO * nats / LOG_INS,
        }

    def workloads(self) -> dict[str, Measure]:
        """What is measured."""
        return {
            "fan-out": partial(self.deliveries, receivers=RECEIVERS),
            "direct": partial(self.deliveries, pairs=PAIRS),
            "log-ins": self.log_ins,
        }


class Row(NamedTuple):
    """One line of the table."""

    workload: str
    figure: str
    label: str
    unit: str


ROWS = (
    Row("fan-out", "wall", f"to {RECEIVERS} others", "messages/s"),
    Row("fan-out", "daemons", "... daemons", "us CPU each"),
    Row("fan-out", "nats", "... NATS", "us CPU each"),
    Row("direct", "wall", f"direct, {PAIRS} pairs", "messages/s"),
    Row("direct", "daemons", "... daemons", "us CPU each"),
    Row("direct", "nats", "... NATS", "us CPU each"),
    Row("log-ins", "wall", "log-ins", "1/s"),
    Row("log-ins", "daemons", "... daemons", "us CPU each"),
    Row("log-ins", "nats", "... NATS", "us CPU each"),
)


def table(result: Result) -> list[list[str]]:
    """Medians, and what they are as multiples of each other."""
    values = ["SQLite", *(label for _, label, _ in CLUSTERED)]
    head = ["", "unit", *values, "one / SQLite", "three / one", "lazy / three"]
    return [head, *(_cells(result, row) for row in ROWS)]


def _cells(result: Result, row: Row) -> list[str]:
    sqlite, one, three, lazy = (result.median(row.workload, name, row.figure) for name in NODES)
    nothing = row.figure == "nats"  # it has no part in the first column
    ratios = [None if nothing else _ratio(one, sqlite), _ratio(three, one), _ratio(lazy, three)]
    values = [None if nothing else sqlite, one, three, lazy, *ratios]
    return [row.label, row.unit, *map(figure, values)]


def _ratio(mine: float | None, other: float | None) -> float | None:
    return mine / other if mine is not None and other else None


def as_markdown(result: Result) -> str:
    """For the file of results."""
    return f"""\
`python -m benchmarks.cluster`, {about(result)}.

Medians of {result.rounds} runs in which the kinds take turns. One daemon on SQLite; one daemon, and
three, on the same three NATS nodes (three replicas, all on this machine, which has two processors
for six programs and the load), with `sync_interval: always`; `lazy` is with two minutes instead.
Plain sessions, messages of 64 bytes, saturated; the sessions are spread over the nodes, and the two
of a pair are on different ones. Every delivery was counted.

{markdown(table(result))}

{"".join(void_runs(result))}"""


def main() -> int:
    """Measure in rounds, print, write."""
    args = short_options(__doc__, seconds=3.0, quick=0.5)
    with laboratory(args.seconds) as lab, _keepers(lab.folder) as clusters:
        bench = Bench(clusters)
        result = Result(bench.programs, args.rounds, psutil.getloadavg()[0])
        try:
            rounds(lab, bench.workloads(), result)
        except KeyboardInterrupt:
            print("\ninterrupted; everything that was started is ended", file=sys.stderr)
            return 128 + signal.SIGINT
    print("\n\n".join([about(result), columns(table(result)), *void_runs(result)]))
    if args.results:
        text = replace_section(args.results.read_text("utf-8"), TITLE, as_markdown(result))
        args.results.write_text(text, "utf-8")
    return 1 if result.void else 0


@contextmanager
def _keepers(folder: Path) -> Iterator[dict[str, NatsCluster]]:
    with ExitStack() as stack:
        clusters = {}
        for sync in SYNCS:
            clusters[sync] = NatsCluster(folder / f"nats-{sync}", sync=sync)
            stack.callback(clusters[sync].end)
        yield clusters


if __name__ == "__main__":
    sys.exit(main())
