"""What a person sees of the shell, judged by the screen, against the real daemon."""

import pytest
from peers.shells import PROMPT

from chatd.wire.messages import Group, Outgoing, OutgoingBroadcast, OutgoingGroup

DRAFT = f"{PROMPT} hel"


def below(terminal, row: str, count: int) -> list[str]:
    """So many rows from that one on."""
    at = terminal.rows.index(row)
    return terminal.rows[at : at + count]


# --- messages of more than a row ---


def test_further_lines_of_a_message_stand_behind_a_gutter(shells, ann, ben):
    ann.type("hel")
    shells.at(ann, DRAFT)
    ben.send(OutgoingBroadcast("one\nann: two\n\n  three\n"))
    shells.sees(ann, "  │   three")
    assert below(ann, "ben: one", 4) == ["ben: one", "  │ ann: two", "  │", "  │   three"]
    shells.at(ann, DRAFT)


def test_code_is_shown_as_code_in_colours_of_its_language(shells, ann, ben):
    ben.send(OutgoingBroadcast("so:\n```python\ndef f():\n\treturn 1\n```\nyes"))
    shells.sees(ann, "  │ yes")
    rows = ["ben: so:", "  │ def f():", "  │     return 1", "  │ yes"]
    assert below(ann, "ben: so:", 4) == rows
    y = ann.screen.display.index(rows[1].ljust(80))
    assert ann.screen.buffer[y][4].fg != ann.screen.buffer[y][0].fg


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {"LC_ALL": "C"}])
def test_code_and_folds_are_told_apart_on_poor_terminals_too(shells, chatd, env):
    ann, ben = shells.log_in(chatd, "ann", **env), shells.peer(chatd, "ben")
    ben.send(OutgoingBroadcast("```python\n" + "x = 1\n" * 30 + "```"))
    shells.sees(ann, "... 19 more lines; /more 1 shows them")
    assert below(ann, "ben:", 3) == ["ben:", "  │ x = 1", "  │ x = 1"]


def test_a_long_text_is_folded_and_more_shows_it(shells, ann, ben):
    ann.type("hel")
    ben.send(OutgoingBroadcast("\n".join(f"row {number}" for number in range(40))))
    shells.sees(ann, "... 28 more lines; /more 1 shows them")
    assert "  │ row 11" in ann.rows
    assert "  │ row 12" not in ann.rows
    shells.at(ann, DRAFT)
    ann.enter("\x15/more 1")
    shells.sees(ann, "  │ row 39")
    ann.enter("/more 2")
    shells.until(lambda: "No text of that number is folded" in ann.flow, "the complaint")
    shells.at(ann, PROMPT)


def test_times_can_be_shown_on_each_line(shells, chatd, ann, ben):
    ann.enter("/set times each")
    shells.until(lambda: "times is each now" in ann.flow, "the setting")
    ben.send(OutgoingBroadcast("hi"))
    shells.until(lambda: any(row.endswith(" ben: hi") for row in ann.rows), "the message")
    (row,) = (row for row in ann.rows if row.endswith(" ben: hi"))
    assert len(row) == len("12:34 ben: hi")


# --- colours ---


def style_of(terminal, row: str, column: int):
    y = terminal.screen.display.index(row.ljust(terminal.screen.columns))
    return terminal.screen.buffer[y][column]


def test_own_lines_names_and_mentions_are_told_apart(shells, ann, ben):
    ben.send(OutgoingBroadcast("hello ann"))
    shells.sees(ann, "ben: hello ann")
    ann.enter("hello ben")
    shells.sees(ann, "ann: hello ben")
    own, other = style_of(ann, "ann: hello ben", 0), style_of(ann, "ben: hello ann", 0)
    assert (own.fg, own.bold) == ("default", True)
    assert other.fg != "default"
    text, mention = (style_of(ann, "ben: hello ann", column) for column in (5, 11))
    assert text.fg == "default"
    assert (mention.fg, mention.bold) == ("magenta", True)


def test_a_theme_acts_at_once(shells, ann, ben):
    ann.enter("/set theme mono")
    shells.until(lambda: "theme is mono now" in ann.flow, "the setting")
    ben.send(OutgoingBroadcast("hello ann"))
    shells.sees(ann, "ben: hello ann")
    assert style_of(ann, "ben: hello ann", 0).fg == "default"
    assert style_of(ann, "ben: hello ann", 11).underscore


# --- help, slips of the pen, completion ---


@pytest.mark.parametrize("size", [(24, 80), (10, 40)])
def test_the_help_fits_and_leaves_the_prompt_where_it_is(shells, chatd, size):
    ann = shells.log_in(chatd, "ann", size=size)
    ann.enter("/help")
    shells.sees(ann, "//text sends a text that begins with /.")
    shells.at(ann, PROMPT)
    shown = ann.rows[ann.rows.index("Talk") :]
    assert any(row.startswith("/history") for row in shown)
    ann.enter("/help dm")
    shells.sees(ann, "  ben|are you there?")


NEAR = [
    ("bne|hi", 'server: User "bne" is not connected to the server.'),
    ("/dm Benn hi", 'server: User "Benn" is not connected to the server.'),
    ("/seen bne", 'server: User "bne" is not connected to the server.'),
]


@pytest.mark.parametrize(("line", "first"), NEAR)
def test_a_misspelt_name_is_asked_about_below_the_servers_line(shells, ann, ben, line, first):
    ann.enter(line)
    shells.sees(ann, "did you mean ben? If so, type it again.")
    assert below(ann, first, 2) == [first, "did you mean ben? If so, type it again."]
    assert not any("hi" in text for text in ben.heard)


def test_a_misspelt_group_is_asked_about(shells, ann, ben):
    ben.send(Group("create", "team", ["ann"]))
    shells.sees(ann, "ben has made the group team: ben, ann.")
    ann.enter("/group rename taem staff")
    shells.sees(ann, "did you mean team? If so, type it again.")
    first = 'server: There is no group "taem".'
    assert below(ann, first, 2) == [first, "did you mean team? If so, type it again."]


def test_a_name_like_no_other_is_not_asked_about(shells, ann, ben):
    ann.enter("somebody|hi")
    shells.sees(ann, 'server: User "somebody" is not connected to the server.')
    ann.enter("/ping x")
    shells.sees(ann, "pong x")
    assert not any("did you mean" in row for row in ann.rows)


COMPLETIONS = [
    ("hello @be", "hello @ben"),
    ("@be", "@ben"),
    ("/bc see @be", "/bc see @ben"),
    ("/receipts of", "/receipts off"),
    ("/unsent d", "/unsent drop"),
    ("/mor", "/more"),
    ("/history tea", "/history team"),
    ("mail a@be", "mail a@be"),
]


def test_tab_completes_names_inside_a_text_and_the_words_of_commands(shells, ann, ben):
    ben.send(Group("create", "team", ["ann"]))
    ben.send(OutgoingGroup("team", "hi"))
    shells.sees(ann, "[team] ben: hi")
    for begun, whole in COMPLETIONS:
        ann.type(f"{begun}\t")
        shells.at(ann, f"{PROMPT} {whole}")
        ann.type("\x03")
        shells.at(ann, PROMPT)


def test_a_name_is_in_reverse_where_the_line_is_for_one_person(shells, chatd):
    ann = shells.log_in(chatd, "ann")
    ben = shells.peer(chatd, "ben")
    ben.send(OutgoingBroadcast("for all"))
    ben.send(Outgoing("ann", "for you"))
    shells.sees(ann, "ben: for you")
    shells.at(ann, PROMPT)
    ann.enter("/dm ben for him")
    shells.sees(ann, "ann: for him")

    def reverse(text: str) -> bool:
        y = next(at for at, row in enumerate(ann.screen.display) if row.rstrip() == text)
        return ann.screen.buffer[y][0].reverse

    assert [reverse(text) for text in ("ben: for all", "ben: for you", "ann: for him")] == [
        False,
        True,
        True,
    ]
