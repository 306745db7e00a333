"""What the healthy feel of others who are frozen, silent in a handshake, flooding and fuzzing.

    python -m benchmarks.hostile [--rounds 5] [--seconds 5] [--quick] [--results FILE]

Every round measures the healthy alone and then, on a fresh server, with the others beside them
(`benchmarks/trouble.py`): the delay of each delivery at a fixed rate, what the server keeps in
memory, and whether the frozen have everything when they go on. The limits are the defaults, and
hold for this machine too. A run in which something is missing, or the server has noted an error of
its own, is void: it is told, repeated, and not counted.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import psutil

from benchmarks.compare import (
    RATE,
    Lab,
    Measure,
    Talk,
    closing_all,
    deliver,
    killed,
    laboratory,
    rounds,
    short_options,
)
from benchmarks.report import (
    ENOUGH,
    Result,
    Sample,
    about,
    columns,
    figure,
    markdown,
    replace_section,
    void_runs,
)
from benchmarks.servers import HOST, PATIENCE, PROGRAMS, S3, TEXT, Failure, Program, Server, running
from benchmarks.trouble import FLOODING, FROZEN, KINDS, LAST_WORD, SILENT

CLIENTS = 200
HEALTHY = CLIENTS - FROZEN - SILENT - FLOODING - 1
SENDERS = 5  # who take turns: each of them stays below the rate of a session
FACTOR = 1.2  # times the p99 of the healthy alone
MOST = 32.0  # MiB that the others may cost: a quarter in an outbox, a little in OpenSSL, caches
TITLE = "Beside hostile peers"


def _words(folder: Path, port: int) -> Sequence[str]:
    limits = folder / "limits.toml"
    limits.write_text("loopback = true\n")
    return [*PROGRAMS["chatd"].words(folder, port), "--limits", str(limits)]


PROGRAM = PROGRAMS["chatd"]._replace(words=_words)


# --- one run --------------------------------------------------------------------------------------


def measure(healthy: int, beside: Sequence[str], lab: Lab, program: Program) -> Sample:
    """Delays of the healthy, and MiB of the server, with these kinds of others beside them."""
    with (
        running(program, lab.folder) as server,
        _talk(server, healthy) as talk,
        ExitStack() as stack,
    ):
        before = server.memory()
        others = {kind: stack.enter_context(_others(kind, server)) for kind in beside}
        sample = deliver(lab, server, [talk], "pace", str(RATE))
        sample["grown"] = (server.memory() - before) / 1024
        if beside:
            sample |= _wake(others["frozen"], talk, int(sample["sent"]) + 1)
            sample["after"] = (server.memory() - before) / 1024
            sample["accepted"] = _metric(server, "chatd_accepted_connections_total") - healthy
        _look_for_errors(lab.folder)
    return sample


@contextmanager
def _talk(server: Server, healthy: int) -> Iterator[Talk]:
    names = [f"{'s' if number < SENDERS else 'r'}{number:04}" for number in range(healthy)]
    with closing_all(server.sessions([S3.hello(name) for name in names])) as everybody:
        yield everybody[:SENDERS], everybody[SENDERS:], S3.say


@contextmanager
def _others(kind: str, server: Server) -> Iterator[subprocess.Popen[bytes]]:
    words = [sys.executable, "-m", "benchmarks.trouble", kind, str(server.port)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE)
    with killed(process):
        assert process.stdout is not None
        if process.stdout.readline() != b"ready\n":
            raise Failure(f"{kind}: they do not get in")
        if kind == "frozen":
            process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        yield process


def _wake(frozen: subprocess.Popen[bytes], talk: Talk, said: int) -> Sample:
    """Let them go on to a last word; raises `Failure` unless each of them has everything."""
    begun = time.perf_counter()
    frozen.send_signal(signal.SIGCONT)
    talk[0][0].sendall(S3.say.replace(TEXT.encode(), LAST_WORD.encode()))
    try:
        found = json.loads(frozen.communicate(timeout=PATIENCE)[0])
    except (subprocess.TimeoutExpired, ValueError):
        raise Failure("the frozen do not come to the end") from None
    if found["wrong"] or found["broadcasts"] != FROZEN * [said]:
        raise Failure(f"of {said} messages to everybody the frozen have: {found}")
    return {"woken": 1000 * (time.perf_counter() - begun), "flooded": found["direct"] / FROZEN}


def _metric(server: Server, name: str) -> float:
    with urllib.request.urlopen(f"http://{HOST}:{server.port}/metrics", timeout=PATIENCE) as page:
        found = re.search(rf"^{name} (\S+)$", page.read().decode(), re.MULTILINE)
    assert found is not None
    return float(found[1])


def _look_for_errors(folder: Path) -> None:
    for log in folder.glob("*/data/server.log*"):
        if re.search(r"^time=\S+ event=error ", log.read_text("utf-8"), re.MULTILINE):
            raise Failure("the server has noted an error of its own")


# --- all of it ------------------------------------------------------------------------------------


def workloads(healthy: int) -> dict[str, Measure]:
    """The healthy alone, and with all the others."""
    return {"alone": partial(measure, healthy, ()), "beside": partial(measure, healthy, [*KINDS])}


def table(result: Result) -> list[list[str]]:
    """What was measured in both, and what is promised of it."""
    return [
        ["", "unit", "alone", "with the others", "ratio", "target"],
        _row(result, "p50", "delay, p50", "ms"),
        _row(result, "p99", "delay, p99", "ms", FACTOR),
        _row(result, "most", "delay, longest", "ms"),
        _row(result, "grown", "memory of the server, at the end", "MiB more", most=MOST),
        _row(result, "after", "... when the frozen have everything", "MiB more", most=MOST),
        _row(result, "server", "processors: server", ""),
        _row(result, "load", "... load generator", ""),
        _row(result, "others", "... everything else", ""),
    ]


def _row(
    result: Result, key: str, label: str, unit: str, factor: float = 0, *, most: float = 0
) -> list[str]:
    alone, beside = (result.median(one, PROGRAM.name, key) for one in ("alone", "beside"))
    ratio = beside / alone if alone and beside else None
    value = ratio if factor else beside
    wanted = f"<= {factor or most:g}{' x alone' if factor else ''}" if factor or most else ""
    if wanted and value is not None:
        wanted += ": met" if value <= (factor or most) else ": MISSED"
    shown = figure(ratio) if not most else ""
    return [label, unit, figure(alone), figure(beside), shown, wanted]


def told(result: Result) -> str:
    """What became of the others, in a sentence."""
    woken, flooded, accepted = (
        figure(result.median("beside", PROGRAM.name, key))
        for key in ("woken", "flooded", "accepted")
    )
    return (
        f"When they went on, the {FROZEN} frozen had every message, each once and in order,"
        f" within {woken} ms:\nall that was said to everybody, and {flooded} of the flood's each."
        f" The others made {accepted} connections."
    )


def as_markdown(result: Result, healthy: int) -> str:
    """For the file of results."""
    first = os.sched_getscheduler(0) != os.SCHED_OTHER
    return f"""\
`make bench-hostile`{", with precedence before other work (`chrt`)" if first else ""},
{about(result)}.

Medians of {result.rounds} rounds, in each of which {healthy} healthy plain sessions are measured
alone and then beside {FROZEN} that are frozen (a stopped process; half of them extended sessions),
{SILENT} silent in the handshake of TLS, {FLOODING} that send messages of 1 KB to the frozen without
pause, and one that sends pieces of the protocol in any order, on one connection after the other.
{SENDERS} of the healthy send {RATE} messages of 64 bytes a second to everybody; each delivery is
timed from when its message was due. It begins when the floods have used up what they may send at
once. The limits are the defaults, without the exception for this machine; the others run at low
priority, as if they were on other machines.

{markdown(table(result))}

{told(result)}

{"".join(void_runs(result))}"""


def main() -> int:
    """Measure in rounds, print, write."""
    args = short_options(__doc__, seconds=5.0, quick=0.3)
    healthy = 20 if args.quick else HEALTHY
    result = Result([PROGRAM], args.rounds, psutil.getloadavg()[0])
    chosen = workloads(healthy)
    try:
        with laboratory(args.seconds) as lab:
            rounds(lab, chosen, result)
    except KeyboardInterrupt:
        print("\ninterrupted; everything that was started is ended", file=sys.stderr)
        return 128 + signal.SIGINT
    print("\n\n".join([about(result), columns(table(result)), told(result), *void_runs(result)]))
    if args.results and result.enough(chosen):
        document = args.results.read_text("utf-8")
        text = replace_section(document, TITLE, as_markdown(result, healthy))
        args.results.write_text(text, "utf-8")
    elif args.results:
        print(f"{args.results} is left as it is: {ENOUGH} rounds are needed", file=sys.stderr)
    return 1 if result.void else 0


if __name__ == "__main__":
    sys.exit(main())
