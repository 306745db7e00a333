"""Draws the README's picture from a real run: `make picture`.

A daemon and two shells run in pseudo-terminals, the conversation below is typed into them, and what
stands on the two screens in the end becomes one SVG without any reference to another file or host.
"""

from __future__ import annotations

import re
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

import pexpect
from rich.console import Console
from rich.style import Style
from rich.terminal_theme import DIMMED_MONOKAI
from rich.text import Text

from harness.terminal import Terminal

BIN = Path(sys.executable).parent
TARGET = Path(__file__).resolve().parent.parent / "docs" / "conversation.svg"
COLUMNS, ROWS = 74, 15
PATIENCE = 30.0  # seconds for one line to be seen; only ever spent where something is wrong

# Who types what, and what both see then.
LINES = (
    ("ana", "Good morning! Is the build green?", "ana: Good morning! Is the build green?"),
    ("ben", "All of it. /help shows what this shell can do.", "ben: All of it."),
    ("ana", "/dm ben the release is yours :-)", "ana: the release is yours"),
    ("ben", 'ana|it\'s 5 > 3; echo "thanks"', 'ben: it\'s 5 > 3; echo "thanks"'),
)
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

    def __init__(self, name: str, port: str, home: str) -> None:
        self.name = name
        self._child = pexpect.spawn(
            str(BIN / "chatsh"),
            ["127.0.0.1", port, name],
            dimensions=(ROWS, COLUMNS),
            env={"PATH": "/usr/bin:/bin", "HOME": home, "TERM": "xterm-256color"},
        )
        self._child.delaybeforesend = None
        self._screen = Terminal(COLUMNS, ROWS, self._answer)

    def _answer(self, data: bytes) -> None:
        self._child.send(data)

    def sees(self, text: str) -> None:
        """Wait until this stands on the screen, above a fresh prompt."""
        deadline = time.monotonic() + PATIENCE
        while not self._settled(text):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.name} does not see: {text}")
            self._screen.feed(bytes(self._child.read_nonblocking(65_536, timeout=PATIENCE)))  # type: ignore[arg-type]

    def _settled(self, text: str) -> bool:
        shown = [row for row in self._screen.picture() if row.strip()]
        prompt = any(row.rstrip() == "enter your message>" for row in shown)
        return prompt and text in " ".join(shown)

    def types(self, line: str) -> None:
        """A line, and Enter."""
        self._child.send(line + "\r")

    def drafts(self, text: str) -> None:
        """A line without Enter."""
        self._child.send(text)

    def leaves(self) -> None:
        """End the shell."""
        self._child.close(force=True)

    def picture(self) -> Text:
        """The screen with its colours."""
        rows = (self._row(y) for y in range(ROWS))
        return Text("\n").join(rows)

    def _row(self, y: int) -> Text:
        row, line = Text(), self._screen.buffer[y]
        for x in range(COLUMNS):
            cell = line[x]
            colour = cell.fg if cell.fg != "default" else None
            colour = f"#{colour}" if colour and re.fullmatch("[0-9a-f]{6}", colour) else colour
            names = {"brown": "yellow", "brightblack": "bright_black"}
            style = Style(
                color=names.get(colour or "", colour), bold=cell.bold, reverse=cell.reverse
            )
            row.append(cell.data, style)
        return row


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


def play(port: str, home: str) -> list[Text]:
    """The conversation; the screens of both in the end."""
    people = []
    try:
        for name in ("ana", "ben"):
            people.append(Person(name, port, home))
            people[-1].sees("current users:")
        people[0].sees("ben has joined.")
        for name, line, seen in LINES:
            next(one for one in people if one.name == name).types(line)
            for one in people:
                one.sees(seen)
        return [one.picture() for one in people]
    finally:
        for one in people:
            one.leaves()


def draw(title: str, screen: Text) -> str:
    """One terminal window as an SVG fragment that still has a place for its `x`."""
    console = Console(file=StringIO(), record=True, width=COLUMNS, force_terminal=True)
    console.print(screen)
    return console.export_svg(
        title=title, theme=DIMMED_MONOKAI, code_format=SVG, unique_id=title.split()[0]
    )


def main() -> int:
    """Play, draw, write."""
    with tempfile.TemporaryDirectory() as folder, daemon(folder) as port:
        screens = play(port, folder)
    windows = [
        draw(f"{name} - chatsh", screen)
        for name, screen in zip(("ana", "ben"), screens, strict=True)
    ]
    size = re.search(r'width="([\d.]+)" height="([\d.]+)"', windows[0])
    assert size is not None
    width, height = float(size[1]), float(size[2])
    placed = [window.replace("{x}", str(n * (width + 16))) for n, window in enumerate(windows)]
    TARGET.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * width + 16} {height}">\n'
        + "".join(placed)
        + "</svg>\n",
        "utf-8",
    )
    print(f"drawn: {TARGET.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
