import pytest
from rich.console import Console

from chatd.wire.messages import Seen
from chatsh import render
from chatsh.grammar import COMMANDS

HOSTILE = [
    "\x1b[2J\x1b[Hgone",
    "\x1b]0;title\x07x",
    "\x1b]52;c;c2VjcmV0\x1b\\x",
    "\x9b31mred",
    "\x90payload\x9cx",
    "\x01\x02raw",
    "a\rb",
    "a\nenter your message> /quit",
    "\u202eevil\u2066",
    "\u2028line",
    "[bold red]markup[/] :smile:",
    "[/dm",
    "\x08\x08\x08bob",
    "\x7f",
]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize(
    "line",
    [
        lambda text: render.said(text, text),
        render.wrong,
        render.complaint,
        render.notice,
        lambda text: render.users([text]),
        lambda text: render.seen(Seen(text, False, last_seen=text)),
        render.pong,
    ],
)
def test_nothing_from_elsewhere_reaches_the_terminal_as_more_than_text(line, text):
    console = Console(force_terminal=True, color_system=None, width=200)
    with console.capture() as capture:
        console.print(line(text), soft_wrap=True)
    shown = capture.get()
    rows = 2 if shown.startswith("current users:") else 1
    assert shown.count("\n") == rows
    assert all(char.isprintable() or char == "\n" for char in shown)
    assert "\x1b" not in shown


def test_markup_and_emoji_are_text_like_any_other():
    assert render.said("bob", "[bold]x[/] :smile:").plain == "bob: [bold]x[/] :smile:"


def test_a_message_stands_contiguous_behind_its_senders_name():
    assert render.said("alice", "hi").plain == "alice: hi"
    assert render.said(None, "hi", own=True).plain == "me: hi"


def test_help_lists_every_command_and_every_other_form():
    shown = render.all_commands().plain
    for command in COMMANDS:
        assert command.does in shown
        for word in (*command.words, *command.also):
            assert word in shown.split() or f"{word} " in shown


def test_the_list_of_users_has_one_name_per_line():
    assert render.users(["User 1", "bob"]).plain == "current users:\nUser 1\nbob"
