"""`harness replay`: a run that is over, to be watched: all its terminals side by side."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

from rich.console import Console

from harness.errors import Exit
from harness.replay import Player, load, minutes


def add(parser: argparse.ArgumentParser) -> None:
    """Its arguments."""
    parser.add_argument(
        "folder", type=Path, metavar="FOLDER", help="a folder that `harness run --evidence` wrote"
    )
    parser.add_argument(
        "--speed", type=_speed, default=1.0, metavar="FACTOR", help="so many times as fast"
    )


def _speed(text: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not (math.isfinite(speed) and speed > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return speed


def main(arguments: argparse.Namespace) -> int:
    """Plays it on a terminal; elsewhere prints the conversation."""
    recording = load(arguments.folder)
    if sys.stdout.isatty():
        Player(recording, Console(highlight=False), speed=arguments.speed).play()
    else:
        for line in minutes(recording):
            print(line)
    return Exit.PASSED
