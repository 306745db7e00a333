"""A run that a person can watch: who does what, and what everybody sees."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from harness.journal import Event
from harness.pool import Job, Watcher
from harness.report import clean
from harness.runner import Outcome

COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "red")
ARROWS = {"does": "▶", "sees": "│"}


class Show(Watcher):
    """Runs on the screen, as they happen; one at a time."""

    events = True

    def __init__(self) -> None:
        self._console = Console(highlight=False, markup=False, emoji=False)

    def began(self, number: int, job: Job) -> None:
        """The title."""
        names = [member.name for member in job.scenario.cast]
        self._colours = dict(zip(names, COLOURS * len(names), strict=False))
        self._width = max(map(len, [*names, "server"]))
        self._console.rule(Text(clean(job.scenario.title), "bold"), align="left")

    def ended(self, number: int, outcome: Outcome) -> None:
        """How it went."""
        style = "bold green" if outcome.status == "passed" else "bold red"
        self._console.print(Text(f"{outcome.status} in {outcome.seconds:.1f} s", style))

    def event(self, number: int, event: Event) -> None:
        """A line of the conversation."""
        if event.kind not in ARROWS or not event.text.strip():
            return
        colour = self._colours.get(event.actor, "white")
        line = Text(f"{event.actor:>{self._width}} ", colour)
        line.append(ARROWS[event.kind] + " ", colour)
        line.append(clean(event.text), "bold" if event.kind == "does" else "")
        self._console.print(line, soft_wrap=True)
