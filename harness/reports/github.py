"""Annotations of GitHub Actions: each failure is shown in the file, at its line.

Everything else that is printed there could be taken for a command, also what a program under test
has said; so commands are switched off, and on again for ours alone.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Self

from harness.errors import Exit
from harness.runner import EXITS, Outcome

LEVELS = {"known": "notice", "flaky": "error"}


class Annotations:
    """What is printed for GitHub; elsewhere nothing."""

    def __init__(self) -> None:
        self._on = os.environ.get("GITHUB_ACTIONS") == "true"
        self._word = secrets.token_hex(16)
        self._pause()

    def _pause(self) -> None:
        if self._on:
            print(f"::stop-commands::{self._word}", flush=True)

    def tell(self, outcome: Outcome) -> None:
        """Annotate one outcome, if there is something to say about it."""
        if not self._on or (EXITS[outcome.status] is Exit.PASSED and outcome.status != "known"):
            return
        print(f"::{self._word}::")
        print(annotation(outcome))
        self._pause()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Let commands be commands again."""
        if self._on:
            print(f"::{self._word}::", flush=True)


def annotation(outcome: Outcome) -> str:
    """The command for one outcome."""
    place = outcome.place
    file = _from_the_root(place.file if place else outcome.path)
    where = {"file": file, "line": place.line if place else 1, "col": place.column if place else 1}
    where["title"] = f"{outcome.status}: {outcome.title}"
    told = ",".join(f"{name}={_escaped(str(value), ',:')}" for name, value in where.items())
    message = _escaped("\n".join([outcome.what, *outcome.details]))
    return f"::{LEVELS.get(outcome.status, 'error')} {told}::{message}"


def _from_the_root(file: str) -> str:
    root = Path(os.environ.get("GITHUB_WORKSPACE") or Path.cwd())
    return os.path.relpath(file, root)


def _escaped(text: str, more: str = "") -> str:
    """Percent-encoded as the runner wants it: what would end a message or a property."""
    return "".join(
        f"%{ord(char):02X}" if char in f"%\r\n{more}" or ord(char) < 32 else char for char in text
    )
