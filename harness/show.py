"""A run that a person can watch: who does what, and what everybody sees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.text import Text

from harness.journal import Event
from harness.language import Scenario
from harness.report import clean
from harness.run import Options
from harness.runner import Outcome, run_scenario

COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "red")
ARROWS = {"does": "▶", "sees": "│"}


class Show:
    """One scenario on the screen, as it happens."""

    def __init__(self, scenario: Scenario, row: Mapping[str, Any]) -> None:
        self._scenario, self._row = scenario, row
        self._console = Console(highlight=False, markup=False, emoji=False)
        names = [member.name for member in scenario.cast]
        self._colours = dict(zip(names, COLOURS * len(names), strict=False))
        self._width = max(map(len, [*names, "server"]))

    def play(self, options: Options) -> Outcome:
        """Run it."""
        self._console.rule(Text(clean(self._scenario.title), "bold"), align="left")
        outcome = run_scenario(self._scenario, self._row, options, self._event)
        style = "bold green" if outcome.status == "passed" else "bold red"
        self._console.print(Text(f"{outcome.status} in {outcome.seconds:.1f} s", style))
        return outcome

    def _event(self, event: Event) -> None:
        if event.kind not in ARROWS or not event.text.strip():
            return
        colour = self._colours.get(event.actor, "white")
        line = Text(f"{event.actor:>{self._width}} ", colour)
        line.append(ARROWS[event.kind] + " ", colour)
        line.append(clean(event.text), "bold" if event.kind == "does" else "")
        self._console.print(line, soft_wrap=True)
