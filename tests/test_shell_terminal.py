"""The shell on poor terminals, under signals, and what it leaves behind."""

import os
import signal
import stat

import pytest
from peers.shells import CHATSH, DIRECT, PROMPT

from chatd.wire.messages import OutgoingBroadcast

DRAFT = f"{PROMPT} hel"


# --- terminals ---


@pytest.mark.parametrize(
    "env", [{"TERM": "dumb"}, {"TERM": "unknown"}, {"NO_COLOR": "1"}, {"LC_ALL": "C"}]
)
def test_a_poor_terminal_is_enough(shells, chatd, env):
    ann = shells.log_in(chatd, "ann", **env)
    ben = shells.peer(chatd, "ben")
    shells.sees(ann, "ben has joined.")
    shells.at(ann, PROMPT)
    ann.type("hel")
    shells.at(ann, DRAFT)
    ben.send(OutgoingBroadcast("hi"))
    shells.sees(ann, "ben: hi")
    shells.at(ann, DRAFT)
    ann.enter("lo")
    shells.hears(ben, "hello")
    ann.enter("/direct")
    shells.at(ann, DIRECT)
    ann.type("\x03")
    ann.enter("/quit")
    assert shells.ends(ann) == 0


@pytest.mark.parametrize("term", ["dumb", "unknown"])
def test_a_terminal_that_can_do_nothing_gets_no_escape_sequence(shells, chatd, term):
    ann = shells.log_in(chatd, "ann", TERM=term)
    shells.peer(chatd, "ben")
    shells.sees(ann, "ben has joined.")
    ann.enter("/wo")
    shells.sees(ann, "There is no command /wo; did you mean /who?")
    ann.enter("/quit")
    assert shells.ends(ann) == 0
    assert b"\x1b" not in ann.raw


def colours(raw: bytes) -> bool:
    return any(b"\x1b[%dm" % colour in raw or b";%dm" % colour in raw for colour in range(30, 38))


def test_colours_are_shown_unless_no_color_is_set(shells, chatd):
    plain, coloured = shells.log_in(chatd, "ann", NO_COLOR="1"), shells.log_in(chatd, "cid")
    shells.peer(chatd, "ben").send(OutgoingBroadcast("hi"))
    for each in (plain, coloured):
        shells.sees(each, "ben: hi")
    assert colours(coloured.raw)
    assert not colours(plain.raw)


def test_a_narrow_terminal_shows_everything_and_keeps_the_draft(shells, chatd):
    ann = shells.log_in(chatd, "ann", size=(10, 24))
    ben = shells.peer(chatd, "ben")
    long = " ".join(f"word{number}" for number in range(20))
    ann.type("a draft longer than one row")
    shells.until(lambda: "a draft longer than one row" in ann.flow, "the draft")
    ben.send(OutgoingBroadcast(long))
    shells.until(lambda: f"ben: {long}" in ann.flow, "the message")
    shells.until(lambda: ann.flow.rstrip().endswith("a draft longer than one row"), "the draft")
    ann.enter("!")
    shells.hears(ben, "a draft longer than one row!")


def test_a_resized_terminal_keeps_the_draft(shells, chatd):
    ann = shells.log_in(chatd, "ann")
    ann.type("hel")
    shells.at(ann, DRAFT)
    ann.resize(30, 60)
    ben = shells.peer(chatd, "ben")
    shells.sees(ann, "ben has joined.")
    shells.at(ann, DRAFT)
    ann.enter("lo")
    shells.hears(ben, "hello")


# --- signals ---


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("draft", ["", "hel"])
def test_a_signal_ends_the_shell_politely(shells, chatd, number, draft):
    ben = shells.peer(chatd, "ben")
    ann = shells.log_in(chatd, "ann")
    ann.type(draft)
    shells.at(ann, f"{PROMPT} {draft}".rstrip())
    ann.child.kill(number)
    assert shells.ends(ann) == 128 + number
    shells.hears(ben, "ann is quitting.")


def test_a_closed_terminal_ends_the_shell(shells, chatd):
    ben = shells.peer(chatd, "ben")
    ann = shells.log_in(chatd, "ann")
    shells.hears(ben, "ann has joined.")
    ann.hang_up()
    shells.terminals.remove(ann)
    shells.hears(ben, "ann is quitting.")


def test_an_interrupt_from_outside_is_a_control_c(shells, chatd):
    ann = shells.log_in(chatd, "ann")
    ann.type("hel")
    shells.at(ann, DRAFT)
    ann.child.kill(signal.SIGINT)
    shells.at(ann, PROMPT)
    ann.enter("/ping x")
    shells.sees(ann, "pong x")


def test_a_suspended_shell_comes_back_with_its_draft_and_what_was_said(shells, chatd):
    ann = shells.start("bash", "--norc", "--noprofile", "-i", PS1="job> ")
    shells.at(ann, "job>")
    ann.enter(f"{' '.join(CHATSH)} 127.0.0.1 {chatd.port} ann")
    shells.at(ann, PROMPT)
    ann.type("hel")
    shells.at(ann, DRAFT)
    ann.type("\x1a")
    shells.at(ann, "job>")
    ben = shells.peer(chatd, "ben")
    ben.send(OutgoingBroadcast("hi"))
    ann.enter("fg")
    shells.sees(ann, "ben: hi")
    shells.at(ann, DRAFT)
    ann.enter("lo")
    shells.hears(ben, "hello")


# --- what stays ---


def test_typed_lines_are_kept_for_the_next_time_readable_by_their_writer_alone(shells, chatd):
    umask = os.umask(0o022)
    ann = shells.log_in(chatd, "ann")
    os.umask(umask)
    ann.enter("/ping remember")
    shells.sees(ann, "pong remember")
    ann.enter("/quit")
    assert shells.ends(ann) == 0
    history = shells.home / "state" / "chatsh" / "history"
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    assert stat.S_IMODE(history.parent.stat().st_mode) == 0o700
    again = shells.log_in(chatd, "ann")
    again.type("\x1b[A\x1b[A")
    shells.at(again, f"{PROMPT} /ping remember")


def test_a_folder_that_cannot_be_written_costs_the_history_alone(shells, chatd):
    (shells.home / "state").write_text("no folder")
    ann = shells.log_in(chatd, "ann")
    assert "chatsh: no history is kept: " in ann.flow
    ann.enter("/quit")
    assert shells.ends(ann) == 0


def test_a_broken_history_is_no_obstacle(shells, chatd):
    history = shells.home / "state" / "chatsh" / "history"
    history.parent.mkdir(parents=True)
    history.write_bytes(b"garbage")
    ann = shells.log_in(chatd, "ann")
    ann.enter("/quit")
    assert shells.ends(ann) == 0
    assert b"Traceback" not in ann.raw
