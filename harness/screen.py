"""What a screen has: a text, a text in a style, or all of it as a file says (`shows`).

A style is written as rich writes it: `bold red on blue`, `not bold`, `#ff8800`. A snapshot is a
text file with the rows of the screen, without the harness's own questions; a row may have gaps
(`...`) and names, as any pattern.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from harness.checking import suggestion
from harness.errors import Place
from harness.patterns import Found, Item, Lookup, Pattern, TextPattern
from harness.scope import TOKEN
from harness.views import View

if TYPE_CHECKING:
    from harness.actors import Actor
    from harness.run import Run

ATTRIBUTES = {"bold": "bold", "italic": "italics", "underline": "underscore", "blink": "blink",
              "reverse": "reverse", "strike": "strikethrough"}  # fmt: skip
BASE = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
COLOURS = ("default", *BASE, *(f"bright_{name}" for name in BASE))
NAMED_BY_PYTE = {
    "brown": "yellow",
    "brightbrown": "bright_yellow",
    "bfightmagenta": "bright_magenta",
    **{f"bright{name}": f"bright_{name}" for name in BASE},
}
# The first of the 256 colours are the named ones; pyte keeps them by their values.
FIRST_16 = (
    "000000", "cd0000", "00cd00", "cdcd00", "0000ee", "cd00cd", "00cdcd", "e5e5e5",
    "7f7f7f", "ff0000", "00ff00", "ffff00", "5c5cff", "ff00ff", "00ffff", "ffffff",
)  # fmt: skip
BY_VALUE = dict(zip(FIRST_16, COLOURS[1:], strict=True))
VALUE = re.compile("[0-9a-f]{6}")

HOW_TO_MAKE = "`harness run --accept` writes it from the screen; it is a text file, row by row"

Style = dict[str, Any]  # attribute of a cell -> what it has to be


class StyleError(ValueError):
    """No style."""


def parse_style(text: str) -> Style:
    """What a cell's attributes have to be; raises `StyleError` with what is allowed."""
    style: Style = {}
    words = text.lower().split()
    while words:
        word = words.pop(0)
        wanted = word != "not"
        ground = "bg" if word == "on" else "fg"
        if word in ("not", "on"):
            word = words.pop(0) if words else ""
        if word in ATTRIBUTES and ground == "fg":
            style[ATTRIBUTES[word]] = wanted
        elif wanted and (word in COLOURS or VALUE.fullmatch(word.removeprefix("#"))):
            style[ground] = word
        else:
            allowed = (
                [*COLOURS, "#rrggbb"] if ground == "bg" else [*ATTRIBUTES, *COLOURS, "#rrggbb"]
            )
            raise StyleError(f"unknown style {word!r}: {suggestion(word, allowed)}")
    if not style:
        raise StyleError(f"an empty style: {suggestion('', [*ATTRIBUTES, *COLOURS])}")
    return style


def colour(name: str) -> str:
    """A colour of pyte by the name that people give it."""
    if VALUE.fullmatch(name):
        return BY_VALUE.get(name, f"#{name}")
    return NAMED_BY_PYTE.get(name, name)


def style_of(cell: Any) -> Style:
    """How a cell is drawn, in the words of a style."""
    style: Style = {name: getattr(cell, name) for name in ATTRIBUTES.values()}
    return {**style, "fg": colour(cell.fg), "bg": colour(cell.bg)}


def said_style(style: Style) -> str:
    """A cell's style as a person writes it."""
    words = [word for word, name in ATTRIBUTES.items() if style[name]]
    words += [style["fg"]] * (style["fg"] != "default")
    words += [f"on {style['bg']}"] * (style["bg"] != "default")
    return " ".join(words) or "plain"


class OnScreen(Protocol):
    """Something that a screen has or has not."""

    def find(self, view: View) -> Found | None:
        """What was captured, or none if the screen has not got it."""

    def miss(self, view: View) -> list[str]:
        """What is there instead, for the report."""

    def __str__(self) -> str:
        """As a person would write it."""


class Standing(Pattern, Protocol):
    """A pattern that knows where in a line it stands."""

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where in a text it stands."""


class Text:
    """A text in one of the lines that the screen shows."""

    def __init__(self, pattern: Pattern) -> None:
        self.pattern = pattern

    def find(self, view: View) -> Found | None:
        """What was captured, or none."""
        for cells in view.drawn():
            found = self.pattern.match(Item(_text(cells), 0.0), part=True)
            if found is not None:
                return found
        return None

    def miss(self, view: View) -> list[str]:
        """The screen."""
        return pictured(view.picture())

    def __str__(self) -> str:
        return str(self.pattern)


class Styled:
    """A text all of whose letters are drawn in a style."""

    def __init__(self, pattern: Standing, style: str) -> None:
        self.pattern, self._said, self.style = pattern, style, parse_style(style)

    def find(self, view: View) -> Found | None:
        """What was captured, or none."""
        for found, styles in self._drawn(view):
            if styles and all(self.style.items() <= style.items() for style in styles):
                return found
        return None

    def _drawn(self, view: View) -> Iterable[tuple[Found, list[Style]]]:
        """Every place of the text: what it captures, and the styles of its letters."""
        for cells in view.drawn():
            letters = [cell for cell in cells for _ in cell.data]
            text = "".join(cell.data for cell in cells)
            for start, end in self.pattern.spans(text):
                found = self.pattern.match(Item(text[start:end], 0.0), part=True) or {}
                drawn = [cell for cell in letters[start:end] if cell.data.strip()]
                yield found, [style_of(cell) for cell in drawn]

    def miss(self, view: View) -> list[str]:
        """The styles that the text has, or the screen."""
        seen = {said_style(style) for _, styles in self._drawn(view) for style in styles}
        if seen:
            return [f"the text is there, but drawn: {', '.join(sorted(seen))}"]
        return pictured(view.picture())

    def __str__(self) -> str:
        return f"{{text: {self.pattern}, style: {self._said}}}"


class Snapshot:
    """The whole screen, row by row as in a file."""

    def __init__(self, path: Path, lookup: Lookup) -> None:
        self.path, self.lookup = path, lookup

    def find(self, view: View) -> Found | None:
        """Nothing is captured; none if a row differs, or if there is no such file."""
        if not self.path.is_file():
            return None
        wanted, rows = self.rows(), settled_rows(view.picture())
        same = len(wanted) == len(rows) and all(
            self._fits(row, seen) for row, seen in zip(wanted, rows, strict=True)
        )
        return {} if same else None

    def rows(self) -> list[str]:
        """The rows of the file."""
        return settled_rows(self.path.read_text(encoding="utf-8").splitlines())

    def _fits(self, row: str, seen: str) -> bool:
        return TextPattern(row.rstrip(), self.lookup).match(Item(seen, 0.0)) is not None

    def read(self) -> str | None:
        """The text of the file; none if there is none."""
        return self.path.read_text(encoding="utf-8") if self.path.is_file() else None

    def absent(self) -> str:
        """What is wrong with the file itself, if anything."""
        return "" if self.path.is_file() else f"no snapshot {self.path}"

    def miss(self, view: View) -> list[str]:
        """The rows that differ: `-` the file, `+` the screen."""
        wanted, rows = self.rows(), settled_rows(view.picture())
        told = []
        for at in range(max(len(wanted), len(rows))):
            row, seen = (side[at] if at < len(side) else "" for side in (wanted, rows))
            told += (
                [f"    | {seen}"] if self._fits(row, seen) else [f"  - | {row}", f"  + | {seen}"]
            )
        return told

    def write(self, view: View) -> None:
        """Make the file from the screen as it is; rows that still fit stay as they were written."""
        old = self.rows() if self.path.is_file() else []
        rows = [
            old[at] if at < len(old) and self._fits(old[at], seen) else seen.replace("${", "$${")
            for at, seen in enumerate(settled_rows(view.picture()))
        ]
        write_snapshot(self.path, rows)

    def __str__(self) -> str:
        return f"{{snapshot: {self.path.name}}}"


def write_snapshot(path: Path, rows: Sequence[str]) -> None:
    """Write a snapshot file: one row a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{row.rstrip()}\n" for row in rows), encoding="utf-8")


def on_screen(run: Run, value: Any, actor: Actor, place: Place) -> OnScreen:
    """What a value of `shows` stands for."""
    if isinstance(value, Mapping) and "snapshot" in value:
        path = Path(place.file).parent / str(run.scope.fill(value["snapshot"], actor.name))
        return Snapshot(path, _lookup(run, actor))
    if isinstance(value, Mapping) and "style" in value:
        style = str(run.scope.fill(value["style"], actor.name))
        return Styled(cast(Standing, run.pattern(value["text"], actor)), style)
    return Text(run.pattern(value, actor))


def _lookup(run: Run, actor: Actor) -> Callable[[str], Any]:
    return lambda name: run.scope.lookup(name, actor.name)


def pictured(rows: Sequence[str]) -> list[str]:
    """A screen in a report."""
    return ["its screen:", *(f"  | {row}" for row in rows)]


def _text(cells: Iterable[Any]) -> str:
    return "".join(cell.data for cell in cells).rstrip()


def settled_rows(rows: Iterable[str]) -> list[str]:
    """What does not depend on the harness: without its own questions, and one empty row for many.

    How often it asks, and how many rows of a pane are empty then, is its own affair.
    """
    kept: list[str] = []
    for row in rows:
        if not TOKEN.search(row) and (row.strip() or (kept and kept[-1].strip())):
            kept.append(row.rstrip())
    return kept[:-1] if kept and not kept[-1] else kept
