"""Plays a folder of evidence: all terminals side by side, below them what everybody does and sees.

What the programs wrote goes through the model of a terminal, as in the run: no byte of it reaches
the terminal that it is shown on.
"""

from __future__ import annotations

import itertools
import json
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.layout import Layout
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from harness import cast
from harness.errors import Place, Problem, ScenarioError
from harness.report import SIGNS, clean
from harness.screen import said_style, style_of
from harness.show import COLOURS
from harness.terminal import Terminal

LONGEST_PAUSE = 1.5  # seconds in which nothing happens: longer ones are shortened
STEP = 0.4  # seconds for each step, at least: runs are faster than the eye
FRAMES = 1 / 30  # seconds between two pictures
NARROWEST = 34  # columns of a panel
MINUTES = 8  # lines of the conversation below the terminals
LARGEST = 64 << 20  # bytes of the events that are read


class Moment(Struct):
    """One thing that is shown; `code` is that of a cast, or `say` for a line of the minutes."""

    at: float
    actor: str
    code: str
    data: str
    kind: str = ""


class Recording(Struct):
    """A folder of evidence."""

    head: dict[str, Any]
    sizes: dict[str, tuple[int, int]]  # terminal -> columns, rows
    moments: list[Moment]  # in the order of time


def load(folder: Path) -> Recording:
    """A folder of evidence; raises `ScenarioError` where it is none."""
    path = folder / "events.jsonl"
    lines = _lines(path)
    _, head = next(lines, (1, {}))
    if head.get("evidence") != 1 or not isinstance(head.get("cast"), dict):
        raise _wrong(path, 1, "not the evidence of a run (events.jsonl, format 1)")
    moments, sizes = [], {}
    for number, event in lines:
        if "event" in event:
            moments.append(_moment(path, number, event))
    for name in head["cast"]:
        film = folder / f"{name}.cast"
        if "/" not in name and film.is_file():
            played = cast.read(film)
            sizes[name] = played.size
            moments += [Moment(at, name, code, data) for at, code, data in played.events]
    moments.sort(key=lambda moment: moment.at)
    return Recording(head, sizes, moments)


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        if path.stat().st_size > LARGEST:
            raise _wrong(path, 1, f"longer than {LARGEST} bytes")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise _wrong(path, 1, f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise _wrong(path, 1, "not UTF-8") from error
    for number, line in enumerate(text.split("\n"), 1):
        if not line:
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise _wrong(path, number, f"not JSON: {error}") from error
        if not isinstance(value, dict):
            raise _wrong(path, number, "not an object")
        yield number, value


def _moment(path: Path, number: int, event: dict[str, Any]) -> Moment:
    at, kind = event.get("at"), event.get("kind")
    if not isinstance(at, int | float) or kind not in SIGNS:
        raise _wrong(
            path, number, "not an event: `at` is a number, `kind` one of " + ", ".join(SIGNS)
        )
    return Moment(float(at), str(event.get("actor", "")), "say", str(event.get("text", "")), kind)


def _wrong(path: Path, line: int, text: str) -> ScenarioError:
    help_ = "name a folder that `harness run --evidence DIR` has written"
    return ScenarioError([Problem(Place(str(path), line), text, help_)])


def minutes(recording: Recording) -> Iterator[str]:
    """The conversation as lines: for pipes and files."""
    yield clean(f"{recording.head.get('status')}: {recording.head.get('title')}")
    width = max([0, *(len(clean(str(name))) for name in recording.head["cast"])])
    for moment in recording.moments:
        if moment.code == "say":
            sign = SIGNS[moment.kind]
            yield f"{moment.at:9.3f} {clean(moment.actor):>{width}} {sign} {clean(moment.data)}"
    yield clean(f"{recording.head.get('status')}: {recording.head.get('what') or 'nothing to say'}")


class Player:
    """Shows a recording on a terminal."""

    def __init__(self, recording: Recording, console: Console, *, speed: float) -> None:
        self._recording, self._console, self._speed = recording, console, speed
        self._terminals = {name: Terminal(*size, _ignore) for name, size in recording.sizes.items()}
        names = list(recording.head["cast"])
        self._colours = dict(zip(names, COLOURS * (len(names) // len(COLOURS) + 1), strict=False))
        self._minutes: deque[Text] = deque(maxlen=10 * MINUTES)
        self._chapter = ""
        self._rendered: dict[str, list[Text]] = {}  # of terminals that have not changed since
        self._next_frame = 0.0

    def play(self) -> None:
        """Play it to its end; the last picture stays."""
        before, step = 0.0, -STEP
        began, shown = time.monotonic(), 0.0  # the time of the film that has passed
        with Live(
            self._picture(), console=self._console, auto_refresh=False, transient=False,
            vertical_overflow="crop", redirect_stdout=False, redirect_stderr=False,
        ) as live:  # fmt: skip
            for moment in self._recording.moments:
                pause = min(max(0.0, moment.at - before), LONGEST_PAUSE)
                if moment.code == "m" and moment.data != self._chapter:
                    pause = max(pause, STEP - (shown - step))
                    step = shown + pause
                before, shown = max(before, moment.at), shown + pause
                self._wait(live, began + shown / self._speed)
                self._happens(moment)
            self._chapter = ""
            live.update(self._picture(), refresh=True)

    def _wait(self, live: Live, until: float) -> None:
        """Draw, if there is time for it or it is due, and wait."""
        now = time.monotonic()
        if now >= self._next_frame or until - now > FRAMES:
            live.update(self._picture(), refresh=True)
            took = time.monotonic() - now
            self._next_frame = now + max(FRAMES, 3 * took)
        time.sleep(max(0.0, until - time.monotonic()))

    def _happens(self, moment: Moment) -> None:
        if moment.code in ("o", "r"):
            self._rendered.pop(moment.actor, None)
        if moment.code == "m":
            self._chapter = moment.data
        elif moment.code == "say":
            self._say(moment)
        elif moment.code == "o":
            self._terminals[moment.actor].feed(moment.data.encode())
        elif moment.code == "r":
            columns, lines = cast.size_of(moment.data)
            self._terminals[moment.actor].resize(lines, columns)

    def _say(self, moment: Moment) -> None:
        if moment.kind == "fence":
            return
        line = Text(f"{moment.at:8.3f} ", "dim", no_wrap=True, overflow="ellipsis")
        line.append(clean(moment.actor), self._colours.get(moment.actor, "white"))
        line.append(
            f" {SIGNS[moment.kind]} {clean(moment.data)}", "bold" if moment.kind == "does" else ""
        )
        self._minutes.append(line)

    # Pictures.

    def _picture(self) -> RenderableType:
        height = max(MINUTES + 6, self._console.height - 1)
        whole = Layout()
        head = self._recording.head
        title = Text(clean(self._chapter or f"{head.get('status')}: {head.get('title')}"), "bold")
        rows = self._rows(height - MINUTES - 2)
        room = height - 2 - sum(row.size or 0 for row in rows)
        said = Group(*list(self._minutes)[-room:])
        whole.split_column(*rows, Layout(Panel(said, title=title, title_align="left")))
        return _High(whole, height)

    def _rows(self, height: int) -> list[Layout]:
        """The terminals, as many beside each other as can be read."""
        names = list(self._terminals)
        beside = max(1, min(len(names), self._console.width // NARROWEST))
        groups = [names[start : start + beside] for start in range(0, len(names), beside)]
        highest = max((terminal.lines + 2 for terminal in self._terminals.values()), default=3)
        tall = max(3, min(highest, height // max(1, len(groups))))
        rows = []
        for group in groups[: max(1, height // tall)]:
            row = Layout(size=tall)
            row.split_row(*(Layout(self._panel(name, tall - 2)) for name in group))
            rows.append(row)
        return rows

    def _panel(self, name: str, height: int) -> Panel:
        rows = self._rendered.get(name)
        if rows is None:
            rows = self._rendered[name] = _screen(self._terminals[name])
        title = Text(clean(name), self._colours.get(name, "white"))
        return Panel(Group(*rows[-max(1, height) :]), title=title, title_align="left")


class _High(Struct):
    """A layout so many lines high; by itself it would fill the terminal, and scroll at its end."""

    layout: Layout
    height: int

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from console.render(self.layout, options.update_height(self.height))


def _screen(terminal: Terminal) -> list[Text]:
    """What a terminal shows, without empty rows at its end."""
    rows = [_styled(terminal.cells(terminal.top + y)) for y in range(terminal.lines)]
    while rows and not rows[-1].plain.strip():
        rows.pop()
    return rows


def _styled(cells: list[Any]) -> Text:
    """A row of a terminal in its colours."""
    row = Text(no_wrap=True, overflow="crop")
    for style, run in itertools.groupby(cells, lambda cell: said_style(style_of(cell))):
        row.append(clean("".join(cell.data for cell in run)), "" if style == "plain" else style)
    row.rstrip()
    return row


def _ignore(_answer: bytes) -> None:
    """Nobody waits for what a real terminal would have answered."""
