"""`harness`: the command line, a table of subcommands; arguments in, exit code out."""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
import traceback
from collections.abc import Sequence
from importlib import metadata
from typing import Any

from harness.errors import Exit, ScenarioError, SetupError
from harness.report import clean_lines, closing_line, problems_line

COMMANDS = {  # each a module of `harness.commands`
    "run": "run scenarios against real programs",
    "list": "list scenarios: path, title, what they cover",
    "grade": "judge several programs by the same scenarios: points, a page for each, a matrix",
    "replay": "watch a run that is over: all its terminals side by side",
    "prove": "tell lies about each run: what expectations would notice, and which are empty",
    "record": "play with real programs; a scenario comes out",
    "explore": "draw random dialogues, judge them by laws, shrink what fails to a scenario file",
    "learn": "draft a profile of a program that nobody has described",
    "load": "play many casts of a scenario against one server, and measure",
    "check": "read scenarios and tell everything that is wrong with them, without running",
    "explain": "tell what the code of a problem means, with an example and its repair",
    "schema": "print the JSON Schema of scenario or profile files, for editors",
    "fmt": "lay out scenario and profile files, comments kept",
}


class _Version(argparse.Action):
    """Looks the version up when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        parser.exit(message=f"harness {metadata.version('chatd')}\n")


def parser(chosen: str | None) -> argparse.ArgumentParser:
    """The command line; of commands that are not the chosen one, only the name and the meaning."""
    top = argparse.ArgumentParser(
        prog="harness",
        description="Replays whole conversations between real programs, from scenario files.",
        epilog="Exit codes: 0 passed, 1 a promise was broken, 2 a scenario is wrong, "
        "3 the environment did not allow the test, 4 a fault of the harness itself; "
        "130 it was interrupted.",
    )
    top.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, meaning in COMMANDS.items():
        command = commands.add_parser(name, help=meaning, description=meaning)
        if name == chosen:  # the modules of all the others would double the time of a start
            module = importlib.import_module(f"harness.commands.{name}")
            module.add(command)
            command.set_defaults(main=module.main)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    words = sys.argv[1:] if argv is None else argv
    arguments = parser(next(filter(COMMANDS.__contains__, words), None)).parse_args(words)
    signal.signal(signal.SIGTERM, _terminate)
    try:
        return int(arguments.main(arguments))
    except ScenarioError as wrong:
        for problem in wrong.problems:
            print(clean_lines(str(problem)))
        only_read = arguments.command in ("check", "fmt")
        print(problems_line(wrong.problems) if only_read else closing_line([]))
        return Exit.WRONG
    except SetupError as error:
        print(clean_lines(str(error)), file=sys.stderr)
        return Exit.ENVIRONMENT
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return Exit.INTERRUPTED
    except BrokenPipeError:
        return Exit.ENVIRONMENT
    except Exception:
        traceback.print_exc()
        print("This is a fault of the harness itself; please report it.", file=sys.stderr)
        return Exit.BUG


def _terminate(_number: int, _frame: Any) -> None:
    raise KeyboardInterrupt
