"""The help says what there is, as it is, and fits."""

import re
from pathlib import Path

import pytest

from chatsh import helping
from chatsh.bodies import cells
from chatsh.grammar import COMMANDS, Complaint, Mode, Situation, parse

HERE = Situation(Mode.GENERAL, ("ben", "cara", "Ann Lee"), ("team",))
README = (Path(__file__).parent.parent / "README.md").read_text("utf-8")


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("width", [40, 60, 80, 132])
def test_the_table_fits_and_tells_of_every_command(width):
    shown = helping.overview(width).plain
    assert all(cells(row) <= width for row in shown.split("\n"))
    firsts = [row.split()[0] for row in shown.split("\n") if row.startswith("/")]
    for command in COMMANDS:
        assert command.words[0] in firsts
        for other in (*command.words[1:], *command.also):
            assert other in shown


def test_on_80_columns_a_row_says_what_a_command_does():
    rows = helping.overview(80).plain.split("\n")
    assert "/seen NAME                tell when somebody was last here" in rows
    assert rows.index("Talk") < rows.index("Groups") < rows.index("Find") < rows.index("The shell")


def test_a_program_gets_every_command_as_plain_lines():
    shown = helping.overview(None).plain
    for command in COMMANDS:
        assert command.does in shown
        for word in (*command.words, *command.also):
            assert word in shown.split() or f"{word} " in shown


@pytest.mark.parametrize("command", COMMANDS, ids=lambda one: one.words[0])
def test_each_command_has_examples_that_mean_something(command):
    shown = helping.one(command).plain.split("\n")
    assert command.examples
    assert "for example:" in shown
    for example in command.examples:
        assert f"  {example}" in shown
        action = parse(example, HERE)
        assert action is not None
        assert not isinstance(action, Complaint)
        if example.startswith("/"):
            assert example.split()[0] in command.words


def test_one_command_shows_its_forms_what_it_does_and_examples():
    (command,) = (one for one in COMMANDS if one.words[0] == "/dm")
    assert helping.one(command).plain.split("\n") == [
        "/dm NAME TEXT  send a message to one person",
        "               also: /whisper  /w  /msg  NAME|TEXT  NAME~TEXT",
        "for example:",
        "  /dm ben are you there?",
        '  /dm "Ann Lee" hello',
        "  ben|are you there?",
    ]


@pytest.mark.parametrize("width", [40, 60, 80, 132])
@pytest.mark.parametrize("command", COMMANDS, ids=lambda one: one.words[0])
def test_one_command_is_wrapped_between_words(command, width):
    rows = helping.one(command, width).plain.split("\n")
    told = rows[: rows.index("for example:")]
    assert all(cells(row) <= width for row in told if row != command.usage)
    assert words(command.does) in words("\n".join(told))


def test_no_command_of_the_readme_is_unknown():
    section = README[README.index("## The shell") : README.index("## The harness")]
    typed = set(re.findall(r"`(/[a-z]+)", section))
    assert typed
    assert typed <= {word for command in COMMANDS for word in command.words}
