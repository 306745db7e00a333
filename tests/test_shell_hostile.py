"""Nothing that comes from elsewhere does more on a terminal than stand there, on its own rows."""

from contextlib import closing

import pytest
from hostile import CASES, EMOJI
from peers.hostile_server import HostileServer
from peers.shells import PROMPT

DRAFT = f"{PROMPT} hel"
NAMES = [case.text for case in CASES]


@pytest.fixture
def eve(shells):
    with closing(HostileServer(["eve", *NAMES], ["team", *NAMES], "".join(NAMES))) as server:
        yield server


@pytest.fixture
def ann(shells, eve):
    ann = shells.log_in(eve, "ann")
    ann.type("hel")
    shells.at(ann, DRAFT)
    return ann


def rows_since(terminal, row: str) -> list[str]:
    """Everything behind that row and before the prompt, which a dumb terminal shows often."""
    rows = terminal.rows
    while rows[-1] != DRAFT:
        assert not rows.pop()
    begin = len(rows) - rows[::-1].index(row)
    return [row for row in rows[begin:] if row != DRAFT]


def barrier(shells, eve, ann, word: str) -> None:
    eve.say("notice", kind="joined", text=word, ts="")
    shells.sees(ann, word)
    shells.at(ann, DRAFT)


def unharmed(ann) -> None:
    """The terminal is as it was: its edges, its modes, its character set, its title."""
    screen = ann.screen
    assert screen.margins is None
    assert screen.charset == 0
    assert screen.g0_charset[ord("x")] == "x"
    assert screen.title == ""
    assert "owned" not in ann.flow
    assert b"owned" not in ann.raw


@pytest.mark.parametrize("env", [{}, {"TERM": "dumb"}, {"NO_COLOR": "1"}])
def test_messages_stand_on_the_rows_that_are_theirs(shells, eve, env):
    ann = shells.log_in(eve, "ann", **env)
    ann.type("hel")
    shells.at(ann, DRAFT)
    barrier(shells, eve, ann, "begin")
    expected = []
    for case in CASES:
        eve.say("incoming_broadcast", **{"from": "eve", "content": case.text})
        expected += [row.rstrip() for row in (f"eve: {case.rows[0]}", *case.rows[1:])]
    barrier(shells, eve, ann, "end")
    assert rows_since(ann, "begin") == [*expected, "end"]
    unharmed(ann)


def test_half_a_character_is_no_text_and_no_harm(shells, eve, ann):
    eve.say("incoming_broadcast", **{"from": "eve", "content": "a\ud800b"})
    eve.say("incoming_broadcast", **{"from": "eve", "content": "whole"})
    shells.sees(ann, "eve: whole")
    shells.at(ann, DRAFT)


def test_emoji_stand_as_they_were_sent(shells, eve, ann):
    barrier(shells, eve, ann, "begin")
    for text in EMOJI:
        eve.say("incoming_broadcast", **{"from": "eve", "content": f"{text} ok"})
    barrier(shells, eve, ann, "end")
    rows = rows_since(ann, "begin")
    assert len(rows) == len(EMOJI) + 1
    assert all(row.endswith(" ok") for row in rows[:-1])
    for text in EMOJI:
        assert text.encode() in ann.raw


KINDS = [
    lambda text: ("incoming", {"from": text, "content": text}),
    lambda text: (
        "incoming_group",
        {"group": text, "from": text, "content": "x", "seq": 1, "ts": text},
    ),
    lambda text: ("incoming", {"from": "eve", "content": "x", "ts": text, "late": True}),
    lambda text: (
        "group_event",
        {
            "group": text,
            "kind": "renamed",
            "by": text,
            "to": text,
            "seq": 1,
            "ts": "",
            "names": [text],
        },
    ),
    lambda text: ("notice", {"kind": "joined", "name": text, "text": text, "ts": text}),
    lambda text: (
        "notice",
        {"kind": "renamed", "name": text, "new": text, "text": text, "ts": text},
    ),
    lambda text: ("error", {"error": 502, "text": text}),
]


@pytest.mark.parametrize("kind", KINDS)
def test_names_groups_notices_and_errors_stay_text(shells, eve, ann, kind):
    barrier(shells, eve, ann, "begin")
    for text in NAMES:
        code, fields = kind(text)
        eve.say(code, **fields)
    barrier(shells, eve, ann, "end")
    assert not any(row.startswith(("ben: hi", "enter your")) for row in rows_since(ann, "begin"))
    unharmed(ann)
    ann.enter("lo")
    shells.at(ann, PROMPT)


def test_lists_completion_and_the_word_of_the_day_stay_text(shells, eve, ann):
    ann.type("\x15")
    for line in ("/who", "/group list"):
        ann.enter(line)
        shells.until(lambda: "eve" in ann.flow, "the list")
        shells.at(ann, PROMPT)
    whole = "a: eve; owner eve, made"
    shells.until(lambda: whole in ann.rows, "the groups: what is cut off ends with its own name")
    ann.type("/dm \t")
    shells.until(lambda: any(row.strip() == ":smile: :heart:" for row in ann.rows), "the menu")
    ann.type("\x03")
    shells.at(ann, PROMPT)
    ann.type("/dm ev\t")
    shells.at(ann, f"{PROMPT} /dm eve")
    unharmed(ann)


PROMPTS = [
    ("a\x1b[2J\x1b]0;owned\x07b", "ab"),
    ("a\x01\x1b[31m\x02b\rc", "a\ufffd\ufffdb c"),
    ("a\nben: hi\u202e", "a ben: hi\ufffd"),
    ("a\u200b\xadb" + "\u0301" * 50, "ab" + "\u0301" * 4),
]


@pytest.mark.parametrize(("name", "shown"), PROMPTS)
def test_a_hostile_name_in_the_status_and_the_prompt_is_text(shells, eve, ann, name, shown):
    ann.enter("\x15/talk eve")
    shells.at(ann, f"[eve] {PROMPT}")
    eve.say("incoming", **{"from": name, "content": "x", "seq": 1, "ts": ""})
    shells.until(lambda: "unseen:" in ann.screen.display[-1], "the status")
    ann.enter("/next")
    shells.at(ann, f"[{shown}] {PROMPT}")
    ann.type("hel")
    shells.at(ann, f"[{shown}] {DRAFT}")
    unharmed(ann)
