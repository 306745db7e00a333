"""Conversations on a screen: the focus, what waits beside it, drafts, blocks of text, notices."""

import itertools
import os
import signal

import pytest
from peers.shells import PROMPT

from chatd.wire.messages import Group, Newname, Outgoing, OutgoingBroadcast, OutgoingGroup

BEN = f"[ben] {PROMPT}"
FOCUS_IN, FOCUS_OUT = "\x1b[I", "\x1b[O"
PASTE = "\x1b[200~{}\x1b[201~"


def bottom(terminal) -> str:
    """The status line."""
    return terminal.screen.display[-1].strip()


def has_status(shells, terminal, text):
    shells.until(lambda: bottom(terminal) == text, f"the status {text!r}")


# --- the focus ---


def test_bare_text_goes_to_the_one_that_has_the_focus_and_no_word_acts(shells, chatd, ann, ben):
    cid = shells.peer(chatd, "cid")
    ann.enter("/talk ben")
    shells.at(ann, BEN)
    for text in ("hello", "bye", "who", "a|b", "//slash", "?"):
        ann.enter(text)
        shells.hears(ben, text.replace("//", "/"))
    ann.enter("cid|for cid alone")
    said = "That would go to ben: write /dm cid TEXT, or /dm ben TEXT if it should."
    shells.sees(ann, said)
    ann.enter("/dm cid hi cid")
    shells.hears(cid, "hi cid")
    ann.enter("/exit")
    shells.at(ann, PROMPT)
    ann.enter("hello all")
    shells.hears(ben, "hello all")
    shells.settles(cid)
    assert cid.heard[-2:] == ["hi cid", "hello all"]


def test_what_is_said_elsewhere_waits_counted_and_next_shows_it(shells, chatd, ann, ben):
    cid = shells.peer(chatd, "cid")
    ann.enter("/talk ben")
    shells.at(ann, BEN)
    cid.send(OutgoingBroadcast("hello all"))
    cid.send(OutgoingBroadcast("is Ann here?"))
    cid.send(Outgoing("ann", "psst"))
    ben.send(Outgoing("ann", "hi"))
    shells.sees(ann, "ben: hi")
    has_status(shells, ann, "unseen: everyone 2 (@1), cid 1")
    assert not {"cid: psst", "cid: hello all"} & set(ann.rows)
    ann.enter("/next")  # the oldest of those that call
    shells.sees(ann, "cid: is Ann here?")
    shells.sees(ann, "cid: psst")
    shells.at(ann, PROMPT)
    rows = ann.rows
    new = next(at for at, row in enumerate(rows) if "new" in row)
    assert rows[new + 1 : new + 4] == ["cid: hello all", "cid: is Ann here?", "cid: psst"]
    ann.enter("/next")
    shells.sees(ann, "Nothing waits to be seen.")
    assert bottom(ann) == ""


def test_a_group_can_have_the_focus(shells, ann, ben):
    ann.enter("/group create team ben")
    shells.until(lambda: any(row.startswith("team: ") for row in ann.rows), "the group")
    ann.enter("/talk team")
    shells.at(ann, f"[team] {PROMPT}")
    ann.enter("hello")
    shells.sees(ann, "[team] ann: hello")
    ben.send(OutgoingGroup("team", "hi"))
    shells.sees(ann, "[team] ben: hi")
    ben.send(OutgoingBroadcast("elsewhere"))
    has_status(shells, ann, "to team: delivered to 1  |  unseen: everyone 1")


def test_who_is_removed_from_a_group_never_talks_to_everyone_by_that(shells, chatd, ann, ben):
    ben.send(Group("create", "team", ["ann"]))
    shells.until(lambda: any("team" in row for row in ann.rows), "the group")
    ann.enter("/talk team")
    shells.at(ann, f"[team] {PROMPT}")
    ann.type("secret")
    ben.send(Group("remove", "team", ["ann"]))
    shells.sees(ann, "ben has removed ann from team.")
    ann.type("\r")
    shells.until(lambda: any(row.startswith("server: ") for row in ann.rows), "the refusal")
    shells.settles(ben)
    assert "secret" not in ben.heard


def test_the_focus_shows_what_was_said_before_this_shell_came(shells, chatd, ben, ann):
    ann.enter("/dm ben one")
    shells.hears(ben, "one")
    ben.send(Outgoing("ann", "two"))
    shells.sees(ann, "ben: two")
    ann.enter("/quit")
    shells.ends(ann)
    again = shells.log_in(chatd, "ann")
    again.enter("/talk ben")
    shells.until(lambda: any(row.endswith("] ben: two") for row in again.rows), "the last line")
    assert any(row.endswith("ann -> ben: one") for row in again.rows)


def test_a_focus_follows_a_new_name(shells, ann, ben):
    ann.enter("/talk ben")
    shells.at(ann, BEN)
    ben.send(Newname("benny"))
    shells.at(ann, f"[benny] {PROMPT}")
    ann.enter("hi")
    shells.hears(ben, "hi")


# --- drafts ---


def test_each_conversation_keeps_its_draft(shells, chatd, ann, ben):
    cid = shells.peer(chatd, "cid")
    shells.sees(ann, "cid has joined.")
    ann.enter("/talk ben")
    shells.at(ann, BEN)
    ann.type("for ben")
    shells.at(ann, f"{BEN} for ben")
    cid.send(Outgoing("ann", "psst"))
    has_status(shells, ann, "unseen: cid 1")
    ann.type("\x1bn")  # Alt-N
    shells.at(ann, f"[cid] {PROMPT}")
    ann.type("for cid")
    shells.at(ann, f"[cid] {PROMPT} for cid")
    ann.type("\x1bp")  # Alt-P
    shells.at(ann, f"{BEN} for ben")
    ann.type("\r")
    shells.hears(ben, "for ben")
    ann.enter("/talk cid")
    shells.at(ann, f"[cid] {PROMPT} for cid")
    ann.type("\r")
    shells.hears(cid, "for cid")


def test_drafts_survive_a_shell_that_is_killed(shells, chatd, ann, ben):
    ann.enter("/talk ben")
    shells.at(ann, BEN)
    ann.type("for b\x1bpfor all")
    shells.at(ann, f"{PROMPT} for all")
    os.kill(ann.child.pid, signal.SIGKILL)
    shells.ends(ann)
    shells.until(lambda: any("ann has lost" in text for text in ben.heard), "the loss")
    again = shells.start_shell(chatd, "ann")
    shells.at(again, f"{PROMPT} for all")
    shells.sees(again, "A line to ben is begun; /talk ben goes on with it.")
    again.type("\x03")
    shells.at(again, PROMPT)
    again.enter("/talk ben")
    shells.at(again, f"{BEN} for b")


# --- several lines ---


def test_a_pasted_block_is_one_message_after_one_question(shells, ann, ben):
    ann.type(PASTE.format("one\r\n\ttwo > x\rthree\n"))
    shells.at(ann, "three")
    ann.type("\r")
    shells.at(ann, "Send these 3 lines as one message? [y]es, as [c]ode, [n]o:")
    ann.type("y")
    shells.hears(ben, "one\n\ttwo > x\nthree")
    shells.at(ann, PROMPT)


def test_a_block_can_be_code_or_stay_a_draft(shells, ann, ben):
    ann.type("/dm ben " + PASTE.format("a = 1\n```\nb") + "\r")
    shells.at(ann, "Send these 3 lines as one message? [y]es, as [c]ode, [n]o:")
    ann.type("n")
    shells.at(ann, "b")
    ann.type("\r")
    shells.at(ann, "Send these 3 lines as one message? [y]es, as [c]ode, [n]o:")
    ann.type("c")
    shells.hears(ben, "````\na = 1\n```\nb\n````")


def test_a_copied_line_is_not_sent_before_enter(shells, ann, ben):
    ann.type(PASTE.format("one line\n"))
    shells.at(ann, f"{PROMPT} one line")
    ann.type("\r")
    shells.hears(ben, "one line")


def test_alt_enter_begins_a_new_line(shells, ann, ben):
    ann.type("one\x1b\rtwo\r")
    shells.at(ann, "Send these 2 lines as one message? [y]es, as [c]ode, [n]o:")
    ann.type("\r")
    shells.hears(ben, "one\ntwo")


EDITORS = {
    "appends": ('sh -c \'printf " more" >> "$0"\'', f"{PROMPT} begun more", None),
    "fails": ("false", f"{PROMPT} begun", "false ended with code 1; the line is as it was."),
    "is not there": (
        "no-such-editor",
        f"{PROMPT} begun",
        "no-such-editor does not start: No such file or directory.",
    ),
    "writes no text": (
        'sh -c \'printf "\\377" > "$0"\'',
        f"{PROMPT} begun",
        "What the editor has left is no text in UTF-8.",
    ),
    "is quoted wrongly": (
        "vi 'x",
        f"{PROMPT} begun",
        "VISUAL or EDITOR cannot be understood: No closing quotation.",
    ),
}


@pytest.mark.parametrize("editor", EDITORS)
def test_a_line_goes_through_the_editor_and_back_into_the_prompt(shells, chatd, editor):
    command, line, said = EDITORS[editor]
    ann = shells.log_in(chatd, "ann", EDITOR=command)
    ann.type("begun\x18\x05")  # Ctrl-X Ctrl-E
    if said:
        shells.sees(ann, said)
    shells.at(ann, line)
    ann.type("\x03")
    ann.enter("/quit")
    assert shells.ends(ann) == 0


def test_edit_begins_with_the_text_behind_it(shells, chatd):
    ann = shells.log_in(chatd, "ann", VISUAL="sed -i s/one/two/", EDITOR="false")
    ann.enter("/edit one")
    shells.at(ann, f"{PROMPT} two")


# --- attention ---


def away(shells, terminal, ben):
    """The window loses the focus, and what comes is marked as new from now on."""
    terminal.type(FOCUS_OUT)
    before = marks(terminal)
    for number in itertools.count(terminal.flow.count("anybody there")):
        ben.send(OutgoingBroadcast(f"anybody there, {number}?"))
        shells.sees(terminal, f"ben: anybody there, {number}?")
        if len(marks(terminal)) > len(before):
            break


def marks(terminal) -> list[int]:
    """The rows that say that what follows is new."""
    return [at for at, row in enumerate(terminal.rows) if row.strip("─ ").startswith("new")]


def readings(peer) -> list[object]:
    """The receipts that say that something was read."""
    return [event for event in list(peer.events) if getattr(event, "read", None)]


def calls(terminal) -> int:
    """How often the bell rang."""
    return terminal.raw.count(b"\x07")


def test_a_direct_message_and_a_mention_call_whoever_does_not_look(shells, chatd, ann, ben):
    away(shells, ann, ben)
    ben.send(OutgoingBroadcast("annual meeting"))
    shells.sees(ann, "ben: annual meeting")
    assert calls(ann) == 0
    ben.send(Outgoing("ann", "psst"))
    shells.sees(ann, "ben: psst")
    cid = shells.peer(chatd, "cid")
    cid.send(OutgoingBroadcast("where is ANN?"))
    shells.sees(ann, "cid: where is ANN?")
    shells.until(lambda: calls(ann) == 2, "two calls")
    (mark,) = marks(ann)
    assert ann.rows[mark + 1].startswith("ben: anybody there")


def test_nobody_is_called_who_looks_again(shells, chatd, ann, ben):
    away(shells, ann, ben)
    ann.type(FOCUS_IN)
    before = 0
    for number in itertools.count():  # each calls, until the shell has heard of the focus
        heard, before = before, writes_to(shells, chatd, ann, f"dan{number}")
        if before == heard:
            break
    assert writes_to(shells, chatd, ann, "eve") == before
    assert len(marks(ann)) == 1


def writes_to(shells, chatd, terminal, name) -> int:
    """The calls up to the message of somebody new."""
    shells.peer(chatd, name).send(Outgoing("ann", "psst"))
    shells.sees(terminal, f"{name}: psst")
    return calls(terminal)


def test_muted_people_and_dnd_call_nobody(shells, chatd, ann, ben):
    ann.enter("/mute ben")
    shells.sees(ann, "These do not call you: ben.")
    away(shells, ann, ben)
    ben.send(Outgoing("ann", "one"))
    shells.sees(ann, "ben: one")
    ann.enter("/dnd on")
    shells.sees(ann, "Nobody can call you now; /dnd off lets them again.")
    away(shells, ann, ben)
    shells.peer(chatd, "cid").send(Outgoing("ann", "two"))
    shells.sees(ann, "cid: two")
    assert calls(ann) == 0
    ann.enter("/unmute Ben")
    shells.sees(ann, "Nobody is muted.")
    ann.enter("/dnd off")
    shells.until(lambda: any(row.startswith("You are called") for row in ann.rows), "the answer")
    away(shells, ann, ben)
    ben.send(Outgoing("ann", "three"))
    shells.until(lambda: calls(ann) == 1, "a call")


def test_replayed_lines_call_nobody(shells, chatd, ann, ben):
    ann.enter("/quit")
    shells.ends(ann)
    ben.send(Outgoing("ann", "while you were away"))
    again = shells.start_shell(chatd, "ann")
    shells.until(lambda: "while you were away" in again.flow, "the late line")
    shells.at(again, PROMPT)
    assert calls(again) == 0


def test_what_nobody_looked_at_is_not_read(shells, ann, ben):
    away(shells, ann, ben)
    ben.send(Outgoing("ann", "psst"))
    shells.sees(ann, "ben: psst")
    shells.settles(ben)
    assert readings(ben) == []
    ann.type("x")
    shells.until(lambda: readings(ben), "the reading")


def test_the_terminal_is_asked_for_its_focus_only_while_a_line_is_typed(shells, chatd):
    ann = shells.log_in(chatd, "ann", EDITOR="printf IN-THE-EDITOR")
    ann.type("x\x18\x05")
    shells.until(lambda: b"IN-THE-EDITOR" in ann.raw, "the editor")
    before = ann.raw[: ann.raw.index(b"IN-THE-EDITOR")]
    assert before.rindex(b"\x1b[?1004l") > before.rindex(b"\x1b[?1004h")
    shells.at(ann, f"{PROMPT} x")
    ann.type("\x03")
    ann.enter("/quit")
    shells.ends(ann)
    assert ann.raw.rindex(b"\x1b[?1004l") > ann.raw.rindex(b"\x1b[?1004h")
