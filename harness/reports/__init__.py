"""Reports for machines: a module for each format, with `text` from outcomes to what is written."""

from __future__ import annotations

import argparse
import importlib
import os
from collections.abc import Sequence
from pathlib import Path

from harness.errors import SetupError
from harness.runner import Outcome

FORMATS = {
    "junit": "JUnit XML, with every attempt and what each run covers",
    "tap": "TAP version 13",
    "json": "one JSON document, described in docs/scenarios.md",
}


def add_reports(parser: argparse.ArgumentParser) -> None:
    """An argument for each format."""
    for name, meaning in FORMATS.items():
        parser.add_argument(f"--{name}", type=Path, metavar="FILE", help=f"write {meaning}")


def wanted(arguments: argparse.Namespace) -> dict[str, Path]:
    """Which formats are to be written where; raises `SetupError` where nothing can be written."""
    found = {name: getattr(arguments, name) for name in FORMATS if getattr(arguments, name)}
    for path in found.values():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a"):
                pass
        except OSError as error:
            raise SetupError(f"cannot write {path}: {error.strerror}") from error
    return found


def write(files: dict[str, Path], outcomes: Sequence[Outcome]) -> None:
    """Write every report, whole or not at all."""
    for name, path in files.items():
        text: str = importlib.import_module(f"harness.reports.{name}").text(outcomes)
        part = path.with_name(f".{path.name}.{os.getpid()}")
        part.write_text(text, encoding="utf-8")
        part.replace(path)
