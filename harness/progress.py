"""What runs just now, on a terminal: a line that is redrawn, above it what is over."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Self

from harness.pool import Job, Watcher
from harness.report import clean
from harness.runner import Outcome

if TYPE_CHECKING:
    from rich.live import Live
    from rich.text import Text

NAMED = 4  # runs that are named
REDRAW = 0.2  # seconds


class Progress(Watcher):
    """A line at the bottom of a terminal; nothing at all where there is none."""

    def __init__(self, total: int) -> None:
        self._live = _live() if sys.stdout.isatty() else None
        self.interval = REDRAW if self._live else None
        self._total, self._over, self._attempts = total, 0, 0
        self._running: dict[int, tuple[str, float]] = {}
        self._began, self._drawn = time.monotonic(), 0.0

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def say(self, text: str) -> None:
        """Print something that stays, above the line."""
        if self._live:
            self._live.console.print(text, soft_wrap=True)
        else:
            print(text, flush=True)

    def began(self, number: int, job: Job) -> None:
        """An attempt begins."""
        self._running[number] = (job.scenario.title, time.monotonic())
        self.tick()

    def ended(self, number: int, outcome: Outcome) -> None:
        """An attempt is over."""
        self._running.pop(number, None)
        self._attempts += 1

    def count(self) -> None:
        """All attempts of a run are over."""
        self._over += 1

    def tick(self) -> None:
        """Draw, not too often."""
        now = time.monotonic()
        if self._live and now - self._drawn >= REDRAW:
            self._drawn = now
            self._live.update(self._line(now), refresh=True)

    def _line(self, now: float) -> Text:
        from rich.text import Text

        assert self._live
        longest = sorted(self._running.values(), key=lambda one: one[1])
        names = ", ".join(f"{clean(title)} {now - began:.0f} s" for title, began in longest[:NAMED])
        more = f" and {len(longest) - NAMED} more" if len(longest) > NAMED else ""
        attempts = f", {self._attempts} attempts" if self._attempts > self._over else ""
        head = f"{self._over}/{self._total}{attempts}, {now - self._began:.0f} s"
        line = Text(f"{head}  {names}{more}", style="dim", no_wrap=True, overflow="ellipsis")
        line.truncate(max(20, self._live.console.width - 1), overflow="ellipsis")
        return line


def _live() -> Live | None:
    """A place to draw on. Only a terminal needs rich, which takes as long to import as a run."""
    from rich.console import Console
    from rich.live import Live

    console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
    if console.is_dumb_terminal:
        return None
    return Live(
        console=console, auto_refresh=False, transient=True, redirect_stderr=False,
        redirect_stdout=False,
    )  # fmt: skip
