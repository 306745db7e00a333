"""Several terminals side by side, in which a person plays; what is done becomes a script.

The line that is being typed is the stage's own: only when it is entered, or a key is pressed that
the program has to see at once, the actor does it. So what is noted is what a scenario can do.
"""

from __future__ import annotations

import os
import sys
import tempfile
import termios
import time
import tty
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from rich.console import Console
from rich.layout import Layout
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from harness import acts as deeds
from harness.actors import Actor
from harness.errors import BrokenPromiseError, Place, Problem, ScenarioError, SetupError
from harness.language import load_scenario
from harness.programs import Shell
from harness.reactor import Channel
from harness.record import Act, Setting, draft, frame_of
from harness.report import clean
from harness.run import Run
from harness.runner import gather_cast
from harness.values import KEYS

COMMAND = b"\x1d"  # Ctrl-]: the next key is for the stage
FRAMES = 0.05  # seconds between two pictures, at least
NAMES = {data: name for name, data in reversed(KEYS.items())}
LONGEST = max(map(len, NAMES))
FOCUS = {KEYS[f"f{number}"]: number - 1 for number in range(1, 10) if f"f{number}" in KEYS}
ENTER, RUB = (b"\r", b"\n"), (b"\x7f", b"\x08")
HELP = "F1, F2, ... or Ctrl-] and a digit: who acts; Ctrl-] q: done"


def perform(setting: Setting) -> list[Act]:
    """Let a person play until they are done; raises `ScenarioError` where there is no terminal."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        what = "needs a terminal to play in"
        raise ScenarioError([Problem(Place("harness record"), what, "or a script: --script FILE")])
    with tempfile.TemporaryDirectory(prefix="harness-record-") as folder:
        path = Path(folder) / "stage.yaml"
        path.write_text(draft([Act("server survives", None, 1)], setting), encoding="utf-8")
        scenario = load_scenario(path, profile=setting.profile)
    run = Run(scenario, {}, setting.options)
    try:
        run.start_server()
        gather_cast(run)
        with Stage(run) as stage:
            stage.play()
    except BrokenPromiseError as broken:
        raise SetupError("\n    ".join([broken.what, *broken.details])) from broken
    finally:
        run.close()
    if not stage.acts:
        raise ScenarioError([Problem(Place("harness record"), "nobody did anything", HELP)])
    return stage.acts


class Stage:
    """The picture, the keyboard, and what was done."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._actors = list(run.actors.values())
        self._focus = 0
        self._lines: dict[str, str] = {actor.name: "" for actor in self._actors}
        self._held = b""  # of a key that comes in pieces
        self._command = False
        self._over = False
        self._said = HELP
        self._drawn = 0.0
        self.acts: list[Act] = []

    def __enter__(self) -> Self:
        # A descriptor of its own: that it does not block must not concern the output.
        self._fd = os.open(os.ttyname(sys.stdin.fileno()), os.O_RDONLY | os.O_NOCTTY)
        self._before = termios.tcgetattr(self._fd)
        tty.setraw(self._fd)
        self._keys = Channel(self._run.reactor, self._fd, self._typed, self._hung_up)
        self._live = Live(console=Console(highlight=False), auto_refresh=False, screen=True,
                          redirect_stdout=False, redirect_stderr=False)  # fmt: skip
        self._live.start()
        self._run.reactor.looks.append(self._draw)
        return self

    def __exit__(self, *_: object) -> None:
        self._run.reactor.looks.remove(self._draw)
        self._live.stop()
        self._keys.close()
        termios.tcsetattr(self._fd, termios.TCSADRAIN, self._before)
        os.close(self._fd)

    def play(self) -> None:
        """Until the person is done, or nobody is left."""
        self._queue: list[bytes] = []
        while not self._over:
            if self._queue:
                self._key(self._queue.pop(0))
            else:
                self._run.reactor.step(time.monotonic() + FRAMES)

    def _hung_up(self, _how: str) -> None:
        self._over = True

    # Keys.

    def _typed(self, data: bytes) -> None:
        self._held += data
        while self._held:
            key = next((self._held[:n] for n in range(min(LONGEST, len(self._held)), 0, -1)
                        if self._held[:n] in NAMES or self._held[:n] in FOCUS), b"")  # fmt: skip
            key = key or self._letter()
            if not key:
                return
            self._held = self._held[len(key) :]
            self._queue.append(key)

    def _letter(self) -> bytes:
        """The first letter, if all its bytes are there."""
        for end in range(1, min(4, len(self._held)) + 1):
            try:
                self._held[:end].decode()
            except UnicodeDecodeError:
                continue
            return self._held[:end]
        return b"" if len(self._held) < 4 else self._held[:1]

    def _key(self, key: bytes) -> None:
        if self._command:
            self._command = False
            self._order(key)
        elif key == COMMAND:
            self._command = True
        elif key in FOCUS:
            self._turn_to(FOCUS[key])
        else:
            self._play_key(self._actors[self._focus], key)
        self._draw(now=True)

    def _order(self, key: bytes) -> None:
        if key in (b"q", b"Q"):
            self._over = True
        elif key.isdigit():
            self._turn_to(int(key) - 1)
        else:
            self._said = HELP

    def _turn_to(self, number: int) -> None:
        if 0 <= number < len(self._actors):
            self._focus = number

    def _play_key(self, actor: Actor, key: bytes) -> None:
        line = self._lines[actor.name]
        drawn = isinstance(actor, Shell) and actor.draft
        if key in ENTER and not drawn:
            self._enter(actor, line)
        elif key in RUB and line:
            self._lines[actor.name] = line[:-1]
        elif key not in NAMES and key.decode("utf-8", "replace").isprintable():
            self._lines[actor.name] = line + key.decode("utf-8", "replace")
        elif key == KEYS.get("space"):
            self._lines[actor.name] = line + " "
        elif isinstance(actor, Shell) and (name := "enter" if key in ENTER else NAMES.get(key)):
            if line and self._do(actor, "drafts", line):
                self._lines[actor.name] = ""
            self._do(actor, "presses", name)

    def _enter(self, actor: Actor, line: str) -> None:
        self._lines[actor.name] = ""
        if actor.kind != "wire":
            self._do(actor, "types", line)
            return
        try:
            self._do(actor, "sends", frame_of(line, Place("what you typed")))
        except ScenarioError as error:
            self._said, self._lines[actor.name] = error.problems[0].text, line

    def _do(self, actor: Actor, verb: str, value: Any) -> bool:
        """Let an actor do something, and note it; false if it could not."""
        try:
            if not actor.alive:
                raise BrokenPromiseError(f"{actor.name} is gone")
            DEEDS[verb](self._run, actor, value)
        except BrokenPromiseError as broken:
            self._said = broken.what
            return False
        self.acts.append(Act(f"{actor.name} {verb}", _literal(value), len(self.acts) + 1))
        self._said = HELP
        return True

    # Pictures.

    def _draw(self, *, now: bool = False) -> None:
        if now or time.monotonic() - self._drawn >= FRAMES:
            self._live.update(self._picture(), refresh=True)
            self._drawn = time.monotonic()

    def _picture(self) -> Layout:
        whole, panes = Layout(), Layout()
        panes.split_row(*(Layout(self._pane(at)) for at in range(len(self._actors))))
        whole.split_column(panes, Layout(Text(clean(self._said), "dim", no_wrap=True), size=1))
        return whole

    def _pane(self, at: int) -> Panel:
        actor = self._actors[at]
        height = max(1, self._live.console.height - 4)
        rows = [clean(row) for row in actor.picture()][-height + 1 :]
        mine = at == self._focus
        text = Text("\n".join(rows) + "\n", no_wrap=True, overflow="crop")
        text.append(f"{clean(self._lines[actor.name])}", "bold")
        text.append("▏" if mine else "", "bold")
        title = f"{at + 1} {actor.name}" + (f" ({actor.ended})" if actor.ended else "")
        return Panel(text, title=clean(title), border_style="bold green" if mine else "dim")


DEEDS = {"types": deeds.types, "drafts": deeds.drafts, "presses": deeds.presses,
         "sends": deeds.sends}  # fmt: skip


def _literal(value: Any) -> Any:
    """What was typed stands for nothing but itself."""
    if isinstance(value, Mapping):
        return {key: _literal(inner) for key, inner in value.items()}
    return value.replace("${", "$${") if isinstance(value, str) else value
