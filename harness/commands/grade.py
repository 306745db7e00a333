"""`harness grade`: several programs judged by the same scenarios, with points and pages."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct, structs

from harness.commands.run import add_pool, add_programs, options_of
from harness.errors import Exit, Place, Problem, ScenarioError
from harness.gradebook import number, write_gradebook
from harness.grades import COULD_NOT_RUN, Matrix, Sheet, sheet
from harness.language import Scenario
from harness.pool import Job, run_all
from harness.report import clean
from harness.requirements import read_requirements
from harness.run import Options
from harness.selection import add_selection, chosen, nothing_chosen

EACH = "${each}"


class Program(Struct):
    """One program to be judged, with the scenarios as they are for its profile."""

    name: str
    options: Options
    scenarios: list[Scenario]


def add(parser: argparse.ArgumentParser) -> None:
    """Its arguments."""
    add_selection(parser)
    add_programs(parser)
    add_pool(parser)
    parser.add_argument(
        "--each", nargs="+", type=Path, metavar="FOLDER", default=[],
        help=f"judge the program in each of these folders: {EACH} stands for the folder"
        " in --server, --client and --profile",
    )  # fmt: skip
    parser.add_argument(
        "--program", action="append", default=[], type=_named, metavar="NAME=CMD",
        help="judge this server under this name; may be given several times",
    )  # fmt: skip
    parser.add_argument(
        "--requirements", type=Path, metavar="FILE",
        help="the words of the requirements (Markdown table or CSV), and which are covered by none",
    )  # fmt: skip
    parser.add_argument(
        "--partial", action="store_true",
        help="a failed run earns the share of its expectations that held, unless the server died",
    )  # fmt: skip
    parser.add_argument("--title", default="Grades", help="the heading of the pages")
    parser.add_argument(
        "-o", dest="folder", type=Path, default=Path("grades"), metavar="FOLDER",
        help="where the pages go (grades)",
    )  # fmt: skip


def _named(text: str) -> tuple[str, str]:
    name, equals, command = text.partition("=")
    if not (equals and name.strip() and command.strip()):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=CMD")
    return name.strip(), command.strip()


def main(arguments: argparse.Namespace) -> int:
    """Judge them all; 0 if every run found something out, whatever it was."""
    requirements = read_requirements(arguments.requirements) if arguments.requirements else {}
    programs = list(_programs(arguments))
    _no_name_twice(programs)
    if not any(program.scenarios for program in programs):
        print(nothing_chosen(_selection(programs[0].options, arguments)), file=sys.stderr)
        return Exit.WRONG
    jobs = [
        Job(scenario, row, program.options)
        for program in programs
        for scenario in program.scenarios
        for row in scenario.rows()
    ]
    outcomes = run_all(jobs, Options(), arguments.jobs)
    sheets = []
    for program in programs:
        runs = [(one, next(outcomes)) for one in program.scenarios for _ in one.rows()]
        sheets.append(sheet(program.name, runs, partial=arguments.partial))
        print(_line(sheets[-1]), flush=True)
    commands = {program.name: _command(program, arguments) for program in programs}
    matrix = Matrix(sheets, requirements)
    if unknown := matrix.unknown():
        said = f"covered, but not in {arguments.requirements}: {', '.join(unknown)}"
        print(clean(f"warning: {said}"), file=sys.stderr)
    write_gradebook(arguments.folder, matrix, arguments.title, commands)
    print(f"pages: {arguments.folder / 'index.html'}")
    stuck = any(one.with_verdict(COULD_NOT_RUN) for one in sheets)
    return Exit.ENVIRONMENT if stuck else Exit.PASSED


def _programs(arguments: argparse.Namespace) -> Iterator[Program]:
    options = options_of(arguments)
    for folder in arguments.each:
        if not folder.is_dir():
            problem = Problem(Place(str(folder)), "is no folder", "--each needs folders")
            raise ScenarioError([problem])
        yield _program(folder.resolve().name, _of_folder(options, folder.resolve()), arguments)
    for name, command in arguments.program:
        yield _program(name, structs.replace(options, server=command), arguments)
    if not arguments.each and not arguments.program:
        scenarios = chosen(arguments)
        name = scenarios[0].profile.name if scenarios else ""
        yield Program(name, options, scenarios)


def _no_name_twice(programs: list[Program]) -> None:
    names = [program.name for program in programs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        problem = Problem(Place(twice), "two programs have this name", "give each its own name")
        raise ScenarioError([problem])


def _program(name: str, options: Options, arguments: argparse.Namespace) -> Program:
    return Program(name, options, chosen(_selection(options, arguments)))


def _selection(options: Options, arguments: argparse.Namespace) -> argparse.Namespace:
    """What is asked for, with the profile of one program."""
    profile = Path(options.profile) if options.profile else None
    return argparse.Namespace(**{**vars(arguments), "profile": profile})


def _of_folder(options: Options, folder: Path) -> Options:
    quoted = shlex.quote(str(folder))
    return structs.replace(
        options,
        server=options.server and options.server.replace(EACH, quoted),
        client=options.client and options.client.replace(EACH, quoted),
        profile=options.profile and options.profile.replace(EACH, str(folder)),
    )


def _line(one: Sheet) -> str:
    counts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(one.counts().items()))
    return clean(f"{one.program}: {number(one.points)} of {number(one.worth)} points ({counts})")


def _command(program: Program, arguments: argparse.Namespace) -> str:
    options = program.options
    given = {
        "--profile": options.profile, "--server": options.server, "--client": options.client,
        "--at": options.at and f"{options.at[0]}:{options.at[1]}",
    }  # fmt: skip
    words = ["harness", "run", *map(str, arguments.paths)]
    return shlex.join([*words, *(w for key, value in given.items() if value for w in (key, value))])
