"""`harness explore`: random dialogues of a profile's acts, judged by laws; what fails is a file."""

from __future__ import annotations

import argparse
import re
import secrets
import shlex
import time
from collections.abc import Callable
from pathlib import Path

from harness.commands.run import add_pool, add_programs, options_of
from harness.errors import Exit, Place, Problem, ScenarioError
from harness.explore import NAMES, Explorer, Finding, Summary, World, world
from harness.laws import ONCE, laws
from harness.profile import load_profile
from harness.report import clean, report
from harness.values import seconds

SAID_EVERY = 10.0  # seconds between two signs of life


def add(parser: argparse.ArgumentParser) -> None:
    """Its arguments."""
    parser.add_argument(
        "--profile", type=Path, required=True, metavar="FILE", help="whose acts are drawn"
    )
    add_programs(parser)
    add_pool(parser)
    parser.add_argument(
        "--actors", type=_actors, default=3, metavar="N",
        help=f"how many take part (3; at most {len(NAMES)})",
    )  # fmt: skip
    parser.add_argument("--role", default="wire", help="the role that all of them play (wire)")
    parser.add_argument(
        "--law", action="append", default=[], metavar="NAME",
        help="judge by this law beside those of the profile; may be given several times",
    )  # fmt: skip
    parser.add_argument(
        "--seed", type=int, metavar="N",
        help="what is drawn (default: any, which is printed); it does not repeat in which order a"
        " server reads what several send at once",
    )  # fmt: skip
    parser.add_argument(
        "--time", type=_duration, default=60.0, metavar="TIME", help="draw for so long (60s)"
    )
    parser.add_argument("--runs", type=int, metavar="N", help="draw at most so many dialogues")
    parser.add_argument(
        "--go-on", action="store_true", help="do not stop at the first finding: one per law"
    )
    parser.add_argument(
        "-o", dest="folder", type=Path, default=Path("explored"), metavar="FOLDER",
        help="where the scenario files of what is found go (explored)",
    )  # fmt: skip


def _actors(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text) <= len(NAMES)):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to {len(NAMES)}")
    return int(text)


def _duration(text: str) -> float:
    found = seconds(text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is no time such as 60s, 500ms, 2m")
    return found


def main(arguments: argparse.Namespace) -> int:
    """Explore; 1 if something was found."""
    for law in arguments.law:
        if law not in laws() or law == ONCE.name:
            known = ", ".join(name for name in laws() if name != ONCE.name)
            problem = Problem(Place("--law"), f"unknown law {law!r}", f"allowed: {known}")
            raise ScenarioError([problem])
    around = world(
        load_profile(arguments.profile), arguments.role, arguments.actors, arguments.law,
        own_server=arguments.at is None,
    )  # fmt: skip
    seed = secrets.randbelow(1_000_000) if arguments.seed is None else arguments.seed
    print(f"exploring {around.profile.name}: {_judged(around)}; seed {seed}", flush=True)
    with Explorer(around, options_of(arguments), seed, arguments.jobs) as explorer:
        summary = explorer.explore(
            arguments.time, arguments.runs, go_on=arguments.go_on, told=_signs_of_life()
        )
        for finding in summary.findings:
            _tell(explorer, finding, arguments)
    _close(summary, around)
    return Exit.BROKEN if summary.findings else Exit.PASSED


def _judged(around: World) -> str:
    names = [line.name for line in around.profile.laws] or [n for n in laws() if n != ONCE.name]
    return ", ".join(dict.fromkeys((*names, *around.laws)))


def _signs_of_life() -> Callable[[Summary], None]:
    """A line now and then, for who waits."""
    last = [time.monotonic()]

    def tell(summary: Summary) -> None:
        if time.monotonic() - last[0] > SAID_EVERY:
            last[0] = time.monotonic()
            print(f"  {summary.dialogues} dialogues, nothing found yet", flush=True)

    return tell


def _tell(explorer: Explorer, finding: Finding, arguments: argparse.Namespace) -> None:
    """Write its file, run that, and tell how it fails."""
    name = re.sub(r"\W+", "_", finding.law).strip("_")
    path = arguments.folder / f"{name}.yaml"
    explorer.written(finding.dialogue, path, f"Found by exploring: {finding.law}")
    outcome = explorer.run_file(path, finding.law) or finding.outcome
    print(f"\nfound: {clean(finding.law)}")
    print(
        f"  dialogue {finding.number}, after {finding.found:.1f} s;"
        f" played again it failed {finding.again} of 3 times"
    )
    print(
        f"  shrunk from {finding.exchanges} exchanges to {finding.dialogue.exchanges}"
        f" ({finding.runs} smaller ones played, {finding.shrunk:.1f} s)"
    )
    print(report(outcome))
    print(f"file: {path}")
    print(f"repeat: {_repeat(path, arguments)}")


def _repeat(path: Path, arguments: argparse.Namespace) -> str:
    words = ["harness", "run", str(path)]
    for option in ("server", "client"):
        if given := getattr(arguments, option):
            words += [f"--{option}", given]
    if arguments.at:
        words += ["--at", f"{arguments.at[0]}:{arguments.at[1]}"]
    return shlex.join(words)


def _close(summary: Summary, around: World) -> None:
    for doubt in summary.doubts:
        print(f"note: seen once, and not again when it was played again: {clean(doubt)}")
    if summary.looked_at and not summary.told:
        print(
            "note: nobody was told a message in the first dialogues, so most laws had nothing to"
            f" judge ({around.profile.path}: `messages` names acts and phrases with from and text)"
        )
    print(
        f"{summary.dialogues} dialogues, {summary.acts} acts, {summary.seconds:.1f} s:"
        f" {len(summary.findings) or 'nothing'} found"
    )
