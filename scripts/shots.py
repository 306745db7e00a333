"""Draws the README's pictures from real runs: `make shots`.

For each picture a daemon and some shells run in pseudo-terminals, what stands below is typed into
them, and what their screens show in the end becomes one SVG without any reference to another file
or host.
"""

from __future__ import annotations

import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import NamedTuple

import pexpect
from rich.console import Console
from rich.style import Style
from rich.terminal_theme import DIMMED_MONOKAI
from rich.text import Text

from harness.terminal import Terminal

BIN = Path(sys.executable).parent
FOLDER = Path(__file__).resolve().parent.parent / "docs"
COLUMNS, ROWS = 74, 15
PATIENCE = 30.0  # seconds for one line to be seen; only ever spent where something is wrong
PROMPT = "enter your message>"
ENTER, TAB, AWAY = "\r", "\t", "\x1b[O"


class Act(NamedTuple):
    """Somebody types this, and then everybody in `seen` has that on their screen."""

    who: str
    keys: str
    seen: dict[str, str]


class Shot(NamedTuple):
    """One picture: who is there, of whom a window is shown, and what happens."""

    people: tuple[str, ...]
    shown: tuple[str, ...]
    acts: tuple[Act, ...]
    rows: int = ROWS


def both(who: str, line: str, seen: str) -> Act:
    """A line that ana and ben see."""
    return Act(who, line + ENTER, {"ana": seen, "ben": seen})


CODE = "\x1b[200~def half(n):\n    return n / 2\n\x1b[201~"
SHOTS = {
    "conversation": Shot(
        ("ana", "ben"),
        ("ana", "ben"),
        (
            both("ana", "Good morning! Is the build green?", "ana: Good morning! Is the build"),
            both("ben", "All of it. /help shows what this shell can do.", "ben: All of it."),
            both("ana", "/dm ben the release is yours :-)", "ana: the release is yours"),
            both("ben", 'ana|it\'s 5 > 3; echo "thanks"', 'ben: it\'s 5 > 3; echo "thanks"'),
        ),
    ),
    "focus": Shot(
        ("ana", "ben", "cleo"),
        ("ana",),
        (
            Act("ana", "/talk ben" + ENTER, {"ana": "[ben] " + PROMPT}),
            both("ben", "/dm ana do you have that function?", "ben: do you have"),
            Act("ana", CODE + ENTER, {"ana": "Send these 2 lines as one message?"}),
            Act("ana", "c", {"ana": "return n / 2", "ben": "return n / 2"}),
            Act("cleo", "lunch, @ana?" + ENTER, {"ana": "unseen: everyone 1 (@1)"}),
            Act("cleo", "/dm ana soup today" + ENTER, {"ana": "cleo 1"}),
            Act("ana", "it halves, as the na", {"ana": "it halves, as the na"}),
        ),
    ),
    "completion": Shot(
        ("ana",),
        ("ana",),
        (
            Act("ana", "/halp dm" + ENTER, {"ana": "did you mean /help?"}),
            Act("ana", "/help dm" + ENTER, {"ana": "for example:"}),
            Act("ana", "/se" + TAB, {"ana": "/search"}),
        ),
        20,
    ),
}
SVG = """\
<svg class="terminal" x="{{x}}" viewBox="0 0 {width} {height}" width="{width}" height="{height}">
<style>.{unique_id} {{{{ font-family: ui-monospace, Menlo, Consolas, monospace;
font-size: {char_height}px; line-height: {line_height}px; }}}} {styles}</style>
<defs><clipPath id="{unique_id}-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" /></clipPath>{lines}</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-terminal)">
{backgrounds}<g class="{unique_id}">{matrix}</g></g></svg>
"""


class Person:
    """One shell in a terminal of its own, and a model of what stands on it."""

    def __init__(self, name: str, port: str, home: str, rows: int) -> None:
        self._rows = rows
        self._child = pexpect.spawn(
            str(BIN / "chatsh"),
            ["127.0.0.1", port, name],
            dimensions=(rows, COLUMNS),
            env={"PATH": "/usr/bin:/bin", "HOME": home, "TERM": "xterm-256color"},
        )
        self._child.delaybeforesend = None
        self._screen = Terminal(COLUMNS, rows, self._answer)

    def _answer(self, data: bytes) -> None:
        self._child.send(data)

    def sees(self, text: str) -> None:
        """Wait until this stands on the screen."""
        self._until(lambda: text in " ".join(row.rstrip() for row in self._screen.picture()), text)

    def settles(self) -> None:
        """Wait until the line is being typed in."""
        self._until(lambda: PROMPT in self._row(self._screen.cursor.y).plain, PROMPT)

    def _until(self, condition: Callable[[], bool], text: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"nobody sees: {text}\n" + "\n".join(self._screen.picture()))
            self._screen.feed(bytes(self._child.read_nonblocking(65_536, timeout=PATIENCE)))  # type: ignore[arg-type]

    def types(self, keys: str) -> None:
        """Keys, as they are."""
        self._child.send(keys)

    def leaves(self) -> None:
        """End the shell."""
        self._child.close(force=True)

    def picture(self) -> Text:
        """The screen with its colours."""
        rows = (self._row(y) for y in range(self._rows))
        return Text("\n").join(rows)

    def _row(self, y: int) -> Text:
        row, line = Text(), self._screen.buffer[y]
        for x in range(COLUMNS):
            cell = line[x]
            style = Style(
                color=_colour(cell.fg),
                bgcolor=_colour(cell.bg),
                bold=cell.bold,
                underline=cell.underscore,
                reverse=cell.reverse,
            )
            row.append(cell.data, style)
        return row


def _colour(name: str) -> str | None:
    """A colour of the screen's model as rich calls it."""
    if name == "default":
        return None
    known = {"brown": "yellow", "brightblack": "bright_black"}
    return f"#{name}" if re.fullmatch("[0-9a-f]{6}", name) else known.get(name, name)


@contextmanager
def daemon(folder: str) -> Iterator[str]:
    """A daemon on a free port, which is given."""
    child = pexpect.spawn(str(BIN / "chatd"), ["0", "--host", "127.0.0.1", "--data", folder])
    try:
        child.expect(r"port (\d+)")
        assert isinstance(child.match, re.Match)
        yield child.match[1].decode()  # type: ignore[union-attr]
    finally:
        child.close(force=True)


def play(shot: Shot, port: str, home: str) -> list[Text]:
    """Everything that happens; the screens to be shown, in the end."""
    people: dict[str, Person] = {}
    try:
        for name in shot.people:
            people[name] = Person(name, port, f"{home}/{name}", shot.rows)
            for each in people.values():
                each.sees(PROMPT if len(people) == 1 or each is people[name] else f"{name} has")
        for act in shot.acts:
            people[act.who].types(act.keys)
            for name, seen in act.seen.items():
                people[name].sees(seen)
        for one in people.values():
            one.settles()
        return [people[name].picture() for name in shot.shown]
    finally:
        for one in people.values():
            one.leaves()


def draw(title: str, screen: Text) -> str:
    """One terminal window as an SVG fragment that still has a place for its `x`."""
    console = Console(file=StringIO(), record=True, width=COLUMNS, force_terminal=True)
    console.print(screen)
    return console.export_svg(
        title=title, theme=DIMMED_MONOKAI, code_format=SVG, unique_id=title.split()[0]
    )


def side_by_side(windows: list[str]) -> str:
    """The windows as one picture."""
    size = re.search(r'width="([\d.]+)" height="([\d.]+)"', windows[0])
    assert size is not None
    width, height = float(size[1]), float(size[2])
    placed = [window.replace("{x}", str(n * (width + 16))) for n, window in enumerate(windows)]
    whole = len(windows) * (width + 16) - 16
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {whole} {height}">\n'
    return head + "".join(placed) + "</svg>\n"


def main() -> int:
    """Play, draw, write."""
    for name, shot in SHOTS.items():
        with tempfile.TemporaryDirectory() as folder, daemon(folder) as port:
            screens = play(shot, port, folder)
        windows = [
            draw(f"{who} - chatsh", screen) for who, screen in zip(shot.shown, screens, strict=True)
        ]
        (FOLDER / f"{name}.svg").write_text(side_by_side(windows), "utf-8")
        print(f"drawn: docs/{name}.svg")
    return 0


if __name__ == "__main__":
    sys.exit(main())
