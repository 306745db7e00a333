"""A run that a person can watch: who does what, and what everybody sees."""

from __future__ import annotations

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from harness.journal import Event
from harness.pool import Job, Watcher
from harness.report import clean
from harness.runner import Outcome
from harness.secrets import mask

COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "red")
NARROWEST = 22  # columns of an actor's own column
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
        self._columns = self._places([*names, "server"])
        for name in self._columns:
            self._print_in_column(name, Text(name, f"bold {self._colours.get(name, 'white')}"))

    def _places(self, names: list[str]) -> dict[str, int]:
        """Where each actor's column begins; none where there is no room, or no terminal."""
        wide = self._console.width // len(names)
        if not self._console.is_terminal or wide < NARROWEST:
            return {}
        return {name: number * wide for number, name in enumerate(names)}

    def ended(self, number: int, outcome: Outcome) -> None:
        """How it went."""
        style = "bold green" if outcome.status == "passed" else "bold red"
        self._console.print(Text(f"{outcome.status} in {outcome.seconds:.1f} s", style))

    def event(self, number: int, event: Event) -> None:
        """A line of the conversation."""
        if event.kind not in ARROWS or not event.text.strip():
            return
        colour = self._colours.get(event.actor, "white")
        line = Text(ARROWS[event.kind] + " ", colour)
        line.append(clean(mask(event.text)), "bold" if event.kind == "does" else "")
        if event.actor in self._columns:
            self._print_in_column(event.actor, line)
        else:
            name = Text(f"{event.actor:>{self._width}} ", colour)
            self._console.print(name + line, soft_wrap=True)

    def _print_in_column(self, actor: str, line: Text) -> None:
        left, whole = self._columns[actor], self._console.width
        right = max(0, whole - left - whole // len(self._columns) + 1)
        line.overflow = "fold"
        self._console.print(Padding(line, (0, right, 0, left)))
