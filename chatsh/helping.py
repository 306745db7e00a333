"""What the commands are, for a person at a terminal and for a program that asked."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from rich.text import Text

from chatsh.grammar import COMMANDS, Command, Topic
from chatsh.render import HEADING, QUIET, lines

COLUMN = 24  # cells for the commands, so that what they do fits into 80
NARROW = 60  # columns; on less, a command stands in the table without its arguments
LONGEST = 40  # cells of a command that has what it does beside it
LONGEST_WORD = max(len(command.words[0]) for command in COMMANDS)
SLASHES = "//text sends a text that begins with /."
MORE = "/help dm tells more of /dm."


def overview(width: int | None) -> Text:
    """Every command with its other forms, as a table so wide; None: for a program."""
    if width is None:
        return Text("\n".join([*(_explained(command, COLUMN) for command in COMMANDS), SLASHES]))
    tables = [_table(topic, width) for topic in Topic if any(_about(topic))]
    return lines([*tables, Text(SLASHES, QUIET), Text(MORE, QUIET)])


def one(command: Command, width: int | None = None) -> Text:
    """What one command does, how it may be typed and an example, in rows so wide; None: any."""
    usage = len(command.usage)
    beside = usage <= LONGEST and (width is None or width >= NARROW)
    shown = _explained(command, usage if beside else 0, width)
    return Text("\n".join([shown, "for example:", *(f"  {line}" for line in command.examples)]))


def _about(topic: Topic) -> Iterator[Command]:
    return (command for command in COMMANDS if command.topic is topic)


def _short(command: Command) -> str:
    """As it is to be typed, unless that takes more than two rows of the table."""
    return command.usage if len(command.usage) < 2 * COLUMN else f"{command.words[0]} ..."


def _others(command: Command) -> tuple[str, ...]:
    return (*command.words[1:], *command.also)


def _explained(command: Command, column: int, width: int | None = None) -> str:
    """The command, what it does beside it or below it, and its other forms below that."""
    others = _others(command)
    told = [command.does, *([f"also: {'  '.join(others)}"] if others else [])]
    if width is not None:
        told = [row for text in told for row in textwrap.wrap(text, width - column - 2)]
    rows = [f"{'':{column}}  {row}" for row in told]
    if len(command.usage) > column:  # as long as a line itself
        return "\n".join([command.usage, *rows])
    return "\n".join([f"{command.usage:<{column}}  {told[0]}", *rows[1:]])


def _table(topic: Topic, width: int) -> Text:
    """The commands of a topic below its name."""
    from rich.console import Console  # slow to import, and only a terminal has tables
    from rich.table import Table

    wide = width >= NARROW
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(style="bold", width=COLUMN if wide else LONGEST_WORD, overflow="fold")
    table.add_column(overflow="fold")
    for command in _about(topic):
        does = Text(command.does)
        if others := _others(command):
            does.append(f"\nalso: {'  '.join(others)}", QUIET)
        table.add_row(Text(_short(command) if wide else command.words[0]), does)
    console = Console(width=width, legacy_windows=False)
    rows = [
        Text.assemble(*((segment.text, segment.style or "") for segment in row))
        for row in console.render_lines(table, pad=False)
    ]
    for row in rows:
        row.rstrip()
    return lines([Text(topic.value, HEADING), *rows])
