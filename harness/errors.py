"""Whose failure it was: every exception of the harness says which exit code it leads to."""

from __future__ import annotations

import enum
from typing import Any

from msgspec import Struct


class Exit(enum.IntEnum):
    """What the exit code of `harness` means."""

    PASSED = 0
    BROKEN = 1  # the product broke a promise
    WRONG = 2  # a scenario, a profile or the command line is wrong
    ENVIRONMENT = 3  # the test could not be made here
    BUG = 4  # ours
    INTERRUPTED = 130  # by Ctrl-C or a signal: nothing was judged to its end


class Place(Struct, frozen=True, order=True):
    """A spot in a file; line and column count from 1."""

    file: str
    line: int = 1
    column: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class Problem(Struct, frozen=True, order=True):
    """One thing that is wrong with a scenario, and what is allowed instead.

    `code` is a number of `codes.CODES`, which `harness explain` tells more about.
    """

    place: Place
    text: str
    help: str = ""
    code: str = ""

    def __str__(self) -> str:
        head = f"{self.code} " if self.code else ""
        tail = f"\n    {self.help}" if self.help else ""
        return f"{self.place}: {head}{self.text}{tail}"


class HarnessError(Exception):
    """Root of what the harness raises on purpose."""


class ScenarioError(HarnessError):
    """The file cannot mean anything: all its problems at once, in the order of the file."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = sorted(problems)
        super().__init__("\n".join(map(str, self.problems)))


class SetupError(HarnessError):
    """The machine did not allow the test: a program is missing, a server never became ready."""


class NotApplicableError(HarnessError):
    """The profile does not have what the scenario needs; the run is skipped, never passed."""


class BrokenPromiseError(HarnessError):
    """A promise of the product was broken.

    `clause` is the place of the broken clause; `details` are further lines for the report.
    """

    def __init__(
        self, what: str, place: Place | None = None, details: tuple[str, ...] = ()
    ) -> None:
        super().__init__(what)
        self.what, self.place, self.details = what, place, details
        self.offer: Any = None  # a `proposals.Offer`, if what came instead may be accepted
