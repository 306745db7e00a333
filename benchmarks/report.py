"""What a comparison found: medians, ratios beside the targets, as a table, as Markdown, as SVG."""

from __future__ import annotations

import datetime as dt
import re
import statistics
from collections.abc import Iterable, Sequence
from html import escape
from typing import NamedTuple

from benchmarks.machine import describe
from benchmarks.servers import Program

Sample = dict[str, float]  # figures of one run, by name


class Target(NamedTuple):
    """`program` is to reach `factor` times the median of `versus`, or the value itself."""

    program: str
    versus: str | None
    factor: float


class Row(NamedTuple):
    """One line of the table: which figure of which workload."""

    workload: str
    figure: str
    label: str
    unit: str
    scale: float = 1.0  # what a figure is divided by
    less: bool = False  # whether less is better
    targets: tuple[Target, ...] = ()


def _rates(workload: str, label: str, unit: str, scale: float, *targets: Target) -> tuple[Row, Row]:
    """The two rates of a workload: targets are for what the server's processor does."""
    cpu = Row(workload, "per_cpu", label, f"{unit}/CPU s", scale, targets=targets)
    return cpu, Row(workload, "per_wall", label, f"{unit}/s", scale)


def _ours(versus: str | None, factor: float) -> Target:
    return Target("chatd", versus, factor)


ROWS = (
    *_rates("fan-out-10", "fan-out, saturated, 10 receivers", "k", 1e3),
    *_rates("fan-out-100", "fan-out, saturated, 100 receivers", "k", 1e3,
            _ours("ngircd", 1.2), _ours("inspircd", 1.0)),
    *_rates("fan-out-1000", "fan-out, saturated, 1,000 receivers", "k", 1e3,
            _ours("ngircd", 2.0), _ours("inspircd", 2.0)),
    *_rates("in-flight-1", "fan-out, one in flight, 100 receivers", "k", 1e3,
            _ours("ngircd", 1.0)),
    *_rates("direct", "direct messages, 50 pairs", "k", 1e3,
            _ours("ngircd", 0.35), Target("memory", "ngircd", 0.8)),
    *_rates("direct-1", "direct messages, 50 pairs, one in flight each", "k", 1e3),
    *_rates("log-ins", "log-ins, 256 at once", "k", 1e3, _ours("ngircd", 1.0)),
    Row("latency", "p50", "latency at 200/s to 100, p50", "ms", less=True,
        targets=(_ours("ngircd", 1.5),)),
    Row("latency", "p99", "latency at 200/s to 100, p99", "ms", less=True,
        targets=(_ours("ngircd", 1.0),)),
    Row("idle-1000", "kib", "idle memory, 1,000 plain", "KiB each", less=True),
    Row("idle-1000-extended", "kib", "idle memory, 1,000 extended", "KiB each", less=True),
    Row("idle-10000", "kib", "idle memory, 10,000 plain", "KiB each", less=True,
        targets=(_ours(None, 4),)),
    Row("idle-10000-extended", "kib", "idle memory, 10,000 extended", "KiB each", less=True,
        targets=(_ours(None, 8),)),
    *_rates("resume", "resume of 10,000 messages", "k", 1e3),
    Row("start", "ms", "cold start", "ms", less=True),
)  # fmt: skip
RIVALS = ("ngircd", "inspircd")  # the columns that ours is divided by
ENOUGH = 5  # rounds of a result that may be kept


class Result:
    """The samples of a comparison. `void` tells of the runs that say nothing."""

    def __init__(self, programs: Sequence[Program], rounds: int, load: float) -> None:
        self.programs = list(programs)
        self.rounds = rounds
        self.load = load  # of the machine when it began
        self.void: list[str] = []
        self._samples: dict[tuple[str, str], list[Sample]] = {}

    def add(self, workload: str, program: str, sample: Sample) -> None:
        """One run."""
        if sample:
            self._samples.setdefault((workload, program), []).append(sample)

    def median(self, workload: str, program: str, figure: str) -> float | None:
        """Of all runs; None where there is none."""
        found = self._samples.get((workload, program), [])
        values = [one[figure] for one in found if figure in one]
        return statistics.median(values) if values else None

    def ratio(self, row: Row, program: str, versus: str) -> float | None:
        """One program's median as a multiple of another's."""
        mine, other = (self.median(row.workload, one, row.figure) for one in (program, versus))
        return mine / other if mine is not None and other else None

    def label(self, program: str) -> str:
        """A program as people call it."""
        return next((one.label for one in self.programs if one.name == program), program)

    def enough(self, workloads: Iterable[str]) -> bool:
        """Whether this may replace an older result: each of these was measured often enough."""
        return all(len(self._samples.get((one, "chatd"), [])) >= ENOUGH for one in workloads)


# --- words ----------------------------------------------------------------------------------------


def verdict(result: Result, row: Row, target: Target) -> str:
    """A target with what became of it: `>= 1.2 ngircd: 0.40 MISSED`."""
    if target.versus is None:
        value = result.median(row.workload, target.program, row.figure)
        value = value / row.scale if value is not None else None
        name = row.unit
    else:
        value = result.ratio(row, target.program, target.versus)
        name = f"x {result.label(target.versus)}"
    who = "" if target.program == "chatd" else f"{result.label(target.program)}: "
    wanted = f"{who}{'<=' if row.less else '>='} {target.factor:g} {name}"
    if value is None:
        return wanted
    met = value <= target.factor if row.less else value >= target.factor
    return f"{wanted}: {value:.2f} {'met' if met else 'MISSED'}"


def figure(value: float | None) -> str:
    """Three digits that count; a dash for what there is not."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def table(result: Result, rows: Sequence[Row]) -> list[list[str]]:
    """Every row with its medians, ratios and targets, below a head."""
    labels = [program.label for program in result.programs]
    rivals = [name for name in RIVALS if any(one.name == name for one in result.programs)]
    head = ["", "unit", *labels, *(f"/ {result.label(name)}" for name in rivals), "targets"]
    return [head, *(_cells(result, row, rivals) for row in rows)]


def _cells(result: Result, row: Row, rivals: Sequence[str]) -> list[str]:
    medians = [result.median(row.workload, one.name, row.figure) for one in result.programs]
    values = [figure(one / row.scale if one is not None else None) for one in medians]
    ratios = [figure(result.ratio(row, "chatd", name)) for name in rivals]
    targets = "; ".join(verdict(result, row, target) for target in row.targets)
    return [row.label, row.unit, *values, *ratios, targets]


def busy(result: Result, rows: Sequence[Row]) -> list[list[str]]:
    """How busy server and generator were, and what else ran: processors, by workload."""
    head = ["", *(program.label for program in result.programs), "others"]
    return [head, *(_busy(result, row) for row in rows if row.figure in ("per_cpu", "p50"))]


def _busy(result: Result, row: Row) -> list[str]:
    cells, others = [row.label.removesuffix(", p50")], []
    for program in result.programs:
        server, load, other = (
            result.median(row.workload, program.name, key) for key in ("server", "load", "others")
        )
        cells.append(f"{server:.2f} + {load:.2f}" if server is not None else "-")
        others += [other] if other is not None else []
    return [*cells, f"{statistics.median(others):.2f}" if others else "-"]


BUSY = "Processors used, by the server + by the load generator; the generator is no limit below 1."


def as_table(result: Result, rows: Sequence[Row]) -> str:
    """For the terminal."""
    head = f"{about(result)}\nMedians of {result.rounds}; ratios are chatd's."
    parts = [head, columns(table(result, rows)), BUSY, columns(busy(result, rows))]
    return "\n\n".join([*parts, *void_runs(result)])


def void_runs(result: Result) -> list[str]:
    """A sentence about them, where there are any."""
    return [f"Void runs, repeated: {'; '.join(result.void)}."] if result.void else []


def columns(cells: Sequence[Sequence[str]]) -> str:
    """A table for the terminal."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    last = len(widths) - 1
    return "\n".join(
        "  ".join(
            cell.ljust(width) if number in (0, 1, last) else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    )


def about(result: Result) -> str:
    """Where and when it was measured."""
    versions = ", ".join(
        f"{one.label} {one.version()}" for one in result.programs if one.name not in NO_VERSION
    )
    today = dt.datetime.now(dt.UTC).date()
    return (
        f"{today}; {describe()}; {versions}; load of the machine at the beginning {result.load:.1f}"
    )


NO_VERSION = ("memory", "relay", "one", "three", "lazy")


def as_markdown(result: Result) -> str:
    """For the file of results."""
    void = "".join(f"{line}\n\n" for line in void_runs(result))
    return f"""\
`make bench`, {about(result)}.

Medians of {result.rounds} runs in which the programs take turns, each on a server started
for it. Plain sessions, messages of 64 bytes; `k` is thousands of deliveries or log-ins, by second
of the server's own processor time (`CPU s`) and of the clock. Saturated: at most 256 on their
way to the slowest receiver, 16 for each pair of direct messages. `chatd` is on SQLite with
`synchronous=FULL` and writes `server.log`; the others store nothing. The C relay writes once for
each connection and turn, and does nothing else. Every delivery was counted: none was missing.

{markdown(table(result, ROWS))}

{BUSY}

{markdown(busy(result, ROWS))}

{void}![Deliveries and log-ins per second of the server's processor time](RESULTS.svg)
"""


def markdown(cells: Sequence[Sequence[str]]) -> str:
    """The same for a document."""
    head, *rest = cells
    lines = [head, ["---"] * len(head), *rest]
    return "\n".join(f"| {' | '.join(line)} |".replace("|  |", "| |") for line in lines)


def replace_section(text: str, title: str, body: str) -> str:
    """A document with the section of that title renewed, or added at its end."""
    section = f"## {title}\n\n{body.rstrip()}\n"
    found = re.search(rf"^## {re.escape(title)}\n.*?(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    if found is None:
        return f"{text.rstrip()}\n\n{section}"
    rest = text[found.end() :]
    return text[: found.start()] + section + (f"\n{rest}" if rest else "")


# --- the picture ----------------------------------------------------------------------------------

COLOURS = {
    "chatd": "#1f6feb", "memory": "#7fb0ff", "ngircd": "#e3872d", "inspircd": "#b35ea6",
    "relay": "#9a9a9a",
}  # fmt: skip
WIDTH, LEFT, BAR, GAP = 760, 150, 16, 34  # pixels


def as_svg(result: Result) -> str:
    """Bars for each rate of the server's processor time, each row to its own scale."""
    rows = [row for row in ROWS if row.figure == "per_cpu"]
    parts, top = [], 10
    for row in rows:
        panel = _panel(result, row, top)
        parts += panel
        top += GAP + BAR * sum(line.startswith("<rect") for line in panel)
    frame = f'xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" font-size="12"'
    back = f'<rect width="{WIDTH}" height="{top}" fill="white"/>'
    return "\n".join([f'<svg {frame} font-family="sans-serif">', back, *parts, "</svg>\n"])


def _panel(result: Result, row: Row, top: int) -> list[str]:
    medians = {
        one.name: result.median(row.workload, one.name, row.figure) for one in result.programs
    }
    values = {name: value for name, value in medians.items() if value is not None}
    parts = [f'<text x="10" y="{top + 12}" font-weight="bold">{row.label}, {row.unit}</text>']
    for number, (name, value) in enumerate(values.items()):
        y, width = top + 20 + number * BAR, value / max(values.values()) * (WIDTH - LEFT - 80)
        parts += [
            f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR - 3}"'
            f' fill="{COLOURS[name]}"/>',
            f'<text x="{LEFT - 6}" y="{y + 11}" text-anchor="end">'
            f"{escape(result.label(name))}</text>",
            f'<text x="{LEFT + width + 5:.1f}" y="{y + 11}">{figure(value / row.scale)}</text>',
        ]
    return parts
