"""Our daemon beside ngircd, InspIRCd and a bare relay, in the same run on the same machine.

    python -m benchmarks.compare [--workloads a,b] [--programs a,b] [--rounds 5] [--seconds 1.5]
                                 [--quick] [--results FILE]

Every round measures every program once, in turn, each on a server started for it, so that a busy
machine is busy for all of them; medians count. Plain sessions, messages of 64 bytes. A run in which
something was lost, or came that nobody asked for, is void: it is told, repeated, and not counted.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import psutil

from benchmarks.report import (
    ENOUGH,
    ROWS,
    Result,
    Sample,
    as_markdown,
    as_svg,
    as_table,
    replace_section,
)
from benchmarks.servers import (
    HOST,
    PROGRAMS,
    TEXT,
    Failure,
    Program,
    Server,
    compiled,
    running,
)

STORM = 256  # log-ins at once
STORMS = 4  # in a run
WAITING = 10_000  # messages for one who comes back: as many as the daemon keeps for an absent one
RATE = 200  # messages a second
TRIES = 2  # of a run, where one is void
RESULTS = Path(__file__).with_name("RESULTS.md")
TITLE = "Beside other servers"


class Lab(NamedTuple):
    """Where to work, and how long a run is."""

    folder: Path
    seconds: float

    def load(self, *words: str, fds: Sequence[int] = ()) -> subprocess.Popen[bytes]:
        """The load generator; what to send goes to its input."""
        return subprocess.Popen(
            [str(compiled("load", self.folder)), *words],
            pass_fds=fds,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )


Measure = Callable[[Lab, Program], Sample]
Sockets = Sequence[socket.socket]
Talk = tuple[Sockets, Sockets, bytes]  # senders, who take turns; receivers; a message


# --- what is measured around a run ----------------------------------------------------------------


class Watch:
    """Processor seconds of the server and of the whole machine, from its making on."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._used = server.cpu()
        self._machine = _machine_seconds()
        self._begun = time.perf_counter()

    def stop(self) -> None:
        """Take the figures."""
        self.wall = time.perf_counter() - self._begun
        self.cpu = self._server.cpu() - self._used
        self.machine = _machine_seconds() - self._machine

    def sample(self, count: float, load: dict[str, float]) -> Sample:
        """`count` things were done; `load` is the generator's own account."""
        return {
            "per_cpu": count / self.cpu,
            "per_wall": count / load["wall"],
            "load": load["cpu"] / load["wall"],
            "server": self.cpu / load["wall"],
            "others": max(0.0, self.machine - self.cpu - load["cpu"]) / self.wall,
        }


def _machine_seconds() -> float:
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait - times.guest - times.guest_nice)


# --- deliveries -----------------------------------------------------------------------------------


def fan_out(receivers: int, window: int) -> Measure:
    """One sends to a room; deliveries."""
    return lambda lab, program: _deliver(lab, program, "flood", str(window), receivers=receivers)


def direct(pairs: int, window: int) -> Measure:
    """Each of them sends to one other; deliveries."""
    return lambda lab, program: _deliver(lab, program, "flood", str(window), pairs=pairs)


def pace(receivers: int) -> Measure:
    """One sends to a room, at a rate; milliseconds of each delivery from when it was due."""

    def measure(lab: Lab, program: Program) -> Sample:
        return _deliver(lab, program, "pace", str(RATE), receivers=receivers)

    return measure


def _deliver(
    lab: Lab, program: Program, mode: str, how: str, *, receivers: int = 0, pairs: int = 0
) -> Sample:
    with running(program, lab.folder) as server, talking(server, receivers, pairs) as talks:
        return deliver(lab, server, talks, mode, how)


def deliver(lab: Lab, server: Server, talks: Sequence[Talk], mode: str, how: str) -> Sample:
    """What `load.c` finds in these talks. Raises `Failure` unless exactly what was sent came."""
    fds = [fd for senders, others, _ in talks for fd in _numbers([*senders, *others])]
    watch = Watch(server)
    found = _answer(lab.load(mode, str(lab.seconds), how, fds=fds), _plan(talks))
    watch.stop()
    if found["got"] != found["wanted"] or found["over"]:
        raise Failure(f"{server.program.label}: void, not what was sent came: {found}")
    sample = watch.sample(found["got"], found)
    delays = {name: 1000 * found[name] for name in ("p50", "p99", "most")}
    return sample | delays | {"sent": found["sent"]}


@contextmanager
def talking(server: Server, receivers: int, pairs: int) -> Iterator[list[Talk]]:
    """The sessions of a run: one who speaks to so many, or so many pairs."""
    dialect, many = server.dialect, receivers or pairs
    names = [f"r{number:04}" for number in range(many)]
    names += [f"s{number:04}" for number in range(1, 1 + (pairs or 1))]
    with closing_all(server.sessions([dialect.hello(name) for name in names])) as everybody:
        for request in (dialect.join, dialect.ping) if dialect.join else ():
            server.ask_all(everybody, request)  # the second, behind the last one's coming
        others, senders = everybody[:many], everybody[many:]
        if pairs:
            tell = [dialect.tell(name) for name in names[:pairs]]
            yield [([one], [to], say) for one, to, say in zip(senders, others, tell, strict=True)]
        else:
            yield [(senders, others, dialect.say)]


@contextmanager
def closing_all(coming: Iterator[socket.socket]) -> Iterator[list[socket.socket]]:
    """All of these, closed in the end."""
    with ExitStack() as stack:
        yield [stack.enter_context(one) for one in coming]


def _plan(talks: Sequence[Talk]) -> bytes:
    """What the generator reads: see `load.c`."""
    blocks = []
    for senders, others, message in talks:
        words = [len(senders), *_numbers(senders), len(others), *_numbers(others), len(message)]
        blocks.append(" ".join(map(str, words)).encode() + b"\n" + message)
    return b"".join(blocks)


def _numbers(socks: Sockets) -> list[int]:
    return [one.fileno() for one in socks]


def _answer(process: subprocess.Popen[bytes], plan: bytes) -> dict[str, float]:
    with killed(process):
        out, errors = process.communicate(plan)
    if process.returncode:
        raise Failure(errors.decode().strip())
    answer: dict[str, float] = json.loads(out)
    return answer


@contextmanager
def killed(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Whatever it is doing by then."""
    with process:
        try:
            yield
        finally:
            process.kill()


# --- coming, staying, coming back -----------------------------------------------------------------


def log_ins(lab: Lab, program: Program) -> Sample:
    """`STORM` connect and log in at once, `STORMS` times; log-ins."""
    samples = []
    with running(program, lab.folder) as server:
        for storm in range(STORMS):
            samples.append(_storm(lab, server, storm))
            server.open(server.dialect.hello(f"s{storm:04}")).close()  # behind their leaving
    return {key: sum(one[key] for one in samples) / len(samples) for key in samples[0]}


def _storm(lab: Lab, server: Server, storm: int) -> Sample:
    hellos = [server.dialect.hello(f"r{storm * STORM + one:04}") for one in range(STORM)]
    plan = b"".join(b"%d\n%s" % (len(hello), hello) for hello in hellos)
    watch = Watch(server)
    process = lab.load("login", HOST, str(server.port), server.dialect.welcome.decode())
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    with killed(process):
        process.stdin.write(plan)
        process.stdin.close()
        answer = process.stdout.readline()
        watch.stop()  # while they are all there: their leaving is not counted
        if not answer:
            raise Failure(process.stderr.read().decode().strip())
    found: dict[str, float] = json.loads(answer)
    return watch.sample(found["got"], found)


def idle(connections: int, *, extended: bool = False) -> Measure:
    """Sessions that say nothing; KiB of the server for each."""

    def measure(lab: Lab, program: Program) -> Sample:
        hello = program.dialect.extended if extended else program.dialect.hello
        if hello is None:
            return {}
        with running(program, lab.folder) as server:
            before = server.memory()
            hellos = [hello(f"r{number:04}") for number in range(connections)]
            with closing_all(server.sessions(hellos)):
                return {"kib": (server.memory() - before) / connections}

    return measure


def resume(lab: Lab, program: Program) -> Sample:
    """Somebody comes back to `WAITING` messages; only ours keeps any."""
    dialect = program.dialect
    if dialect.extended is None:
        return {}
    with running(program, lab.folder) as server:
        back = dialect.extended("r0000")
        with server.open(back):
            pass
        _leave_messages(server)
        watch = Watch(server)
        begun, used = time.perf_counter(), time.process_time()
        with server.connect(back) as sock:
            _take_messages(sock)
        found = {"wall": time.perf_counter() - begun, "cpu": time.process_time() - used}
        watch.stop()
    return watch.sample(WAITING, found)


def _leave_messages(server: Server) -> None:
    """Each is answered, as its receiver is away; so nothing more is waited for."""
    with server.open(server.dialect.hello("s0000")) as sender:
        for _ in range(WAITING // 100):
            sender.sendall(100 * server.dialect.tell("r0000"))
            lines = 0
            while lines < 100:
                lines += sender.recv(65_536).count(b"\n")


def _take_messages(sock: socket.socket) -> None:
    """Confirm what has come, so that more does; of what has come only the last line is read."""
    taken, rest = 0, b""
    while taken < WAITING:
        data = sock.recv(1 << 20)
        if not data:
            raise Failure(f"{taken} of {WAITING} messages came")
        whole, _, rest = (rest + data).rpartition(b"\n")
        taken += whole.count(TEXT.encode())
        if whole:
            last = json.loads(whole.rpartition(b"\n")[2])
            if "seq" in last:
                sock.sendall(b'{"code":"received","upto":%d}\n' % last["seq"])


def cold_start(lab: Lab, program: Program) -> Sample:
    """From the command to the first who is let in; milliseconds."""
    begun = time.perf_counter()
    with running(program, lab.folder):
        return {"ms": 1000 * (time.perf_counter() - begun)}


def workloads(quick: bool) -> dict[str, Measure]:
    """By name; the rows of the report tell what each is."""
    many, most = (100, 200) if quick else (1000, 10_000)
    return {
        "fan-out-10": fan_out(10, 256),
        "fan-out-100": fan_out(100, 256),
        "fan-out-1000": fan_out(many, 256),
        "in-flight-1": fan_out(100, 1),
        "direct": direct(50, 16),
        "direct-1": direct(50, 1),
        "log-ins": log_ins,
        "latency": pace(100),
        "idle-1000": idle(many),
        "idle-1000-extended": idle(many, extended=True),
        "idle-10000": idle(most),
        "idle-10000-extended": idle(most, extended=True),
        "resume": resume,
        "start": cold_start,
    }


# --- all of it ------------------------------------------------------------------------------------


def main() -> int:
    """Measure in rounds, print, write."""
    args = _parse()
    chosen = {name: one for name, one in workloads(args.quick).items() if name in args.workloads}
    result = Result(_present(args.programs), args.rounds, psutil.getloadavg()[0])
    try:
        with laboratory(args.seconds) as lab:
            rounds(lab, chosen, result)
    except KeyboardInterrupt:
        print("\ninterrupted; everything that was started is ended", file=sys.stderr)
        print(as_table(result, [row for row in ROWS if row.workload in chosen]))
        return 128 + signal.SIGINT
    rows = [row for row in ROWS if row.workload in chosen]
    print(as_table(result, rows))
    if args.results:
        _write(args.results, result, chosen)
    return 1 if result.void else 0


def short_options(doc: str | None, *, seconds: float, quick: float) -> argparse.Namespace:
    """What a program with workloads of its own can be told; its defaults for one run."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, help="default: 5")
    parser.add_argument(
        "--seconds", type=float, help=f"of sending in one run (default: {seconds:g})"
    )
    parser.add_argument("--quick", action="store_true", help="a short round with few, to try it")
    parser.add_argument("--results", type=Path, help=f"the file to renew, as {RESULTS.name}")
    args = parser.parse_args()
    args.rounds = args.rounds or (1 if args.quick else 5)
    args.seconds = args.seconds or (quick if args.quick else seconds)
    return args


@contextmanager
def laboratory(seconds: float) -> Iterator[Lab]:
    """A folder with the compiled programs; whatever was started is ended with it."""
    if sys.platform != "linux" or shutil.which("cc") is None:
        sys.exit("benchmarks: the load generator needs Linux and a C compiler (cc)")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        Path(name).chmod(0o755)  # a server may want to be another user
        for source in ("load", "relay"):
            compiled(source, Path(name))  # before anything is measured
        try:
            yield Lab(Path(name), seconds)
        finally:
            _end_children()


def _end_children() -> None:
    """A signal may have come between a start and the place where its end is seen to."""
    left = psutil.Process().children(recursive=True)
    for one in left:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    psutil.wait_procs(left)


def _present(names: Sequence[str]) -> list[Program]:
    present = []
    for one in (PROGRAMS[name] for name in names):
        why = one.missing()
        if why:
            print(f"{one.label} is left out: {why}", file=sys.stderr)
        else:
            present.append(one)
    return present


def rounds(lab: Lab, chosen: dict[str, Measure], result: Result) -> None:
    """Every workload with every program, in turn; what is void is repeated once."""
    for number in range(result.rounds):
        for name, measure in chosen.items():
            for program in result.programs:
                progress(f"round {number + 1} of {result.rounds}: {name}, {program.label}")
                _run(lab, name, measure, program, result)
    progress("")


def _run(lab: Lab, name: str, measure: Measure, program: Program, result: Result) -> None:
    for _ in range(TRIES):
        try:
            sample = measure(lab, program)
        except (Failure, OSError) as error:
            result.void.append(f"{name}, {program.label}: {error}")
        else:
            result.add(name, program.name, sample)
            return


def progress(text: str) -> None:
    """What is going on, for whoever waits; on a terminal in one line."""
    begin, end = ("\r\x1b[K", "") if sys.stderr.isatty() else ("", "\n")
    print(f"{begin}{text}", end=end, file=sys.stderr, flush=True)


def _write(path: Path, result: Result, chosen: Iterable[str]) -> None:
    """The section of the results and its picture; a trial touches neither."""
    if not result.enough(chosen):
        print(f"{path} is left as it is: {ENOUGH} runs of each are needed", file=sys.stderr)
        return
    path.with_suffix(".svg").write_text(as_svg(result), "utf-8")
    text = path.read_text("utf-8") if path.exists() else "# Results\n"
    path.write_text(replace_section(text, TITLE, as_markdown(result)), "utf-8")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--workloads", type=_names(list(workloads(False))), default=list(workloads(False)))
    add("--programs", type=_names(list(PROGRAMS)), default=list(PROGRAMS))
    add("--rounds", type=int, help="of each program and workload (default: 5)")
    add("--seconds", type=float, help="of sending in one run (default: 1.5)")
    add("--quick", action="store_true", help="one short round with few connections, to try it out")
    add("--results", type=Path, help="the file of results to renew, and its picture")
    args = parser.parse_args()
    args.rounds = args.rounds or (1 if args.quick else 5)
    args.seconds = args.seconds or (0.3 if args.quick else 1.5)
    return args


def _names(known: Sequence[str]) -> Callable[[str], list[str]]:
    def some(text: str) -> list[str]:
        wrong = set(text.split(",")) - set(known)
        if wrong:
            raise argparse.ArgumentTypeError(
                f"{', '.join(sorted(wrong))}: there are {', '.join(known)}"
            )
        return [name for name in known if name in text.split(",")]

    return some


if __name__ == "__main__":
    sys.exit(main())
