"""What the tests of the harness share: write a scenario, run `harness` on it as a person would."""

import os
from pathlib import Path
from textwrap import dedent

import ready

HERE = Path(__file__).parent
PROFILE = HERE / "small.yaml"
DAEMON = f"python3 {HERE / 'daemon.py'}"
GIVE_UP = 100  # seconds
READ = ("harness.commands.run", "harness.commands.check")


def written(folder: Path, text: str, name: str = "scenario.yaml") -> Path:
    """A scenario file with this text."""
    path = folder / name
    path.write_text(dedent(text).lstrip("\n"))
    return path


def harness(*arguments, env=None):
    """The finished command `harness ARGUMENTS`; a run leaves no evidence unless it is told to."""
    if arguments[:1] == ("run",) and "--evidence" not in arguments:
        arguments += ("--evidence", "none")
    return ready.run(
        "harness", *map(str, arguments),
        modules=READ, env={**os.environ, **(env or {})}, timeout=GIVE_UP,
    )  # fmt: skip


def run(folder: Path, text: str, *options, fault: str | None = None):
    """`harness run` on a scenario with the small programs, the daemon with a planted fault."""
    server = ["--server", f"{DAEMON} ${{server.port}} --fault {fault}"] if fault else []
    path = written(folder, text)
    return harness("run", path, "--profile", PROFILE, *server, *options)


def closing(done) -> str:
    """The last line of its output."""
    return done.stdout.splitlines()[-1]
