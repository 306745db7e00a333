"""`harness record`: play with real programs; a scenario comes out."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from harness.commands.run import add_programs, options_of, worst
from harness.errors import Exit, Place, Problem, ScenarioError
from harness.profile import load_profile
from harness.record import Act, Setting, actors_of, check, read_script, record
from harness.report import clean, one_line, report

TAKES = 3  # a recording is played so often: what differs is no promise


def add(parser: argparse.ArgumentParser) -> None:
    """Its arguments."""
    parser.add_argument(
        "--profile", type=Path, metavar="FILE",
        help="how the programs are started (default: the only one in profiles/ or in this folder)",
    )  # fmt: skip
    parser.add_argument(
        "--cast", default="", metavar="CAST",
        help="who plays, such as 'ana: shell, ben: shell' (default: everybody in the script, in"
        " the profile's first role; ana and ben)",
    )  # fmt: skip
    parser.add_argument(
        "--script", type=Path, metavar="FILE",
        help="lines such as `ana: /dm ben hi`, instead of a person who plays",
    )  # fmt: skip
    parser.add_argument("-o", dest="out", type=Path, metavar="FILE", help="the file to write")
    parser.add_argument("--title", default="", help="the promise, as a sentence")
    parser.add_argument("--force", action="store_true", help="write over a file that is there")
    add_programs(parser)


def main(arguments: argparse.Namespace) -> int:
    """Record, write, play what was written; the exit code is that of the last."""
    out: Path | None = arguments.out
    if out is not None and out.exists() and not arguments.force:
        raise _wrong(str(out), "is there already", "another name for -o, or --force")
    profile = _profile(arguments.profile)
    script = _text(arguments.script)
    setting = Setting(profile, _cast(arguments, script, profile), options_of(arguments))
    acts, shown = _acts(arguments, script, setting)
    path = out or Path("recorded.yaml")
    recorded = record(
        acts, setting, path, arguments.title or _title(setting), shown=shown, takes=TAKES
    )
    for doubt in recorded.doubts:
        print(f"left out: {clean(doubt)}", file=sys.stderr)
    if out is None:
        print(recorded.text, end="")
        return Exit.PASSED
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(recorded.text, encoding="utf-8", newline="\n")
    outcome = check(out, setting)
    print(one_line(outcome))
    if outcome.status != "passed":
        print(report(outcome))
    return worst([outcome])


def _acts(arguments: argparse.Namespace, script: str, setting: Setting) -> tuple[list[Act], str]:
    """What is done, and what its source is called."""
    if arguments.script is not None:
        shown = str(arguments.script)
        return read_script(script, shown, setting.cast, load_profile(setting.profile)), shown
    from harness.stage import perform

    return perform(setting), "what you played"


def _profile(given: Path | None) -> Path:
    """The profile that is named, or the only one that lies near."""
    if given is not None:
        load_profile(given)
        return given
    here = Path()
    near = [
        path
        for path in (*here.glob("profiles/*.yaml"), *here.glob("*.yaml"))
        if b"\nprofile:" in b"\n" + path.read_bytes()
    ]
    if len(near) != 1:
        found = ", ".join(map(str, near)) or "none"
        raise _wrong("harness record", "needs to know the profile",
                     f"--profile FILE (here: {found}); `harness learn` drafts one")  # fmt: skip
    return near[0]


def _text(script: Path | None) -> str:
    if script is None:
        return ""
    try:
        return script.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _wrong(str(script), f"cannot be read: {error}", "a text file of lines") from error


def _cast(arguments: argparse.Namespace, script: str, profile: Path) -> dict[str, str]:
    roles = load_profile(profile).roles
    if not arguments.cast:
        names = actors_of(script) if script else ["ana", "ben"]
        return dict.fromkeys(names, next(iter(roles)))
    cast = {}
    for part in arguments.cast.split(","):
        name, colon, role = (word.strip() for word in part.partition(":"))
        if not name.isidentifier() or not colon or role not in roles:
            raise _wrong("--cast", f"{part.strip()!r} is nobody",
                         f"NAME: ROLE, roles: {', '.join(roles)}")  # fmt: skip
        cast[name] = role
    return cast


def _title(setting: Setting) -> str:
    *others, last = setting.cast
    return f"What {', '.join(others)} and {last} said" if others else f"What {last} said"


def _wrong(where: str, what: str, help_: str) -> ScenarioError:
    return ScenarioError([Problem(Place(where), what, help_)])
