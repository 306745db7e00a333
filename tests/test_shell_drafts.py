"""Drafts on a screen and on the disk, whatever ends the shell and whatever the file holds."""

import json
import os
import random
import signal

import pytest
from peers.flood import line_of
from peers.shells import PROMPT

from chatsh.private import file_of

TYPED = "a line that somebody has begun, and that goes on for a while until it is in the second row"


@pytest.fixture
def file(shells, chatd, monkeypatch):
    """Where the drafts of somebody are."""
    monkeypatch.setenv("XDG_STATE_HOME", str(shells.home / "state"))
    return lambda name: file_of("drafts", f"127.0.0.1:{chatd.port}", name)


def kept(path) -> str:
    return json.loads(path.read_bytes()).get("everyone", "") if path.exists() else ""


def test_a_shell_that_is_killed_while_somebody_types_loses_the_last_key_at_most(
    shells, chatd, file
):
    chance = random.Random(1)
    ben = shells.peer(chatd, "ben")
    names = ("ann", "cid")
    begun = dict.fromkeys(names, "")
    for _ in range(4):
        terminals = {name: shells.start_shell(chatd, name) for name in names}
        for name, terminal in terminals.items():
            shells.until(
                lambda name=name, terminal=terminal: line_of(terminal) == begun[name].strip(),
                f"the draft {begun[name]!r}",
            )
        ends = {name: len(begun[name]) + chance.randrange(1, 20) for name in names}
        for at in range(max(ends.values())):
            for name, terminal in terminals.items():
                if len(begun[name]) <= at < ends[name]:
                    terminal.type(TYPED[at])
            shells.pump(0)
        for name, terminal in terminals.items():
            os.kill(terminal.child.pid, signal.SIGKILL)
            shells.ends(terminal)
            begun[name] = kept(file(name))
            seen = line_of(terminal)
            assert TYPED[: ends[name]].startswith(begun[name])
            assert begun[name].startswith(seen[:-1])
        shells.until(
            lambda: (
                sum("lost its" in text for text in ben.heard) % 2 == 0
                and "has lost its connection." in ben.heard[-1]
            ),
            "the losses",
        )


def test_a_terminal_that_can_do_nothing_shows_a_draft_and_every_edit(shells, chatd):
    ben = shells.peer(chatd, "ben")
    ann = shells.log_in(chatd, "ann", TERM="dumb")
    ann.type("begum")
    shells.at(ann, f"{PROMPT} begum")
    ann.type("\x7f")
    shells.at(ann, f"{PROMPT} begu")
    ann.type("n\x1b[D\x1b[D")
    ann.type("XY")
    shells.at(ann, f"{PROMPT} begXYun")
    os.kill(ann.child.pid, signal.SIGKILL)
    shells.ends(ann)
    shells.until(lambda: any("ann has lost" in text for text in ben.heard), "the loss")
    again = shells.start_shell(chatd, "ann", TERM="dumb")
    shells.at(again, f"{PROMPT} begXYun")
    again.enter("!")
    shells.hears(ben, "begXYun!")
    shells.at(again, PROMPT)


WRONG = {
    "no JSON": b"garbage \xff\x00",
    "other JSON": b'{"everyone": 3}',
    "deep": b"[" * 100_000,
    "huge": json.dumps({"everyone": "x" * 2_000_000}).encode(),
    "empty": b"",
}


@pytest.mark.parametrize("what", [*WRONG, "a folder"])
def test_a_file_of_drafts_that_is_none_disturbs_nobody(shells, chatd, file, what):
    path = file("ann")
    path.parent.mkdir(parents=True)
    if what == "a folder":
        path.mkdir()
    else:
        path.write_bytes(WRONG[what])
    ann, ben = shells.log_in(chatd, "ann"), shells.peer(chatd, "ben")
    ann.type("hel")
    shells.at(ann, f"{PROMPT} hel")
    if what != "a folder":
        assert kept(path) == "hel"
    ann.enter("lo")
    shells.hears(ben, "hello")
    ann.enter("/quit")
    assert shells.ends(ann) == 0
    assert b"Traceback" not in ann.raw
    assert not [one for one in path.parent.iterdir() if one != path]
