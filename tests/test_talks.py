"""Conversations as a model: where an item belongs, what is unseen, who calls; drafts; attention."""

import json
import stat

import pytest

from chatd.wire.messages import (
    Ack,
    GroupEvent,
    Incoming,
    IncomingBroadcast,
    IncomingGroup,
    Outgoing,
    OutgoingBroadcast,
    OutgoingGroup,
)
from chatsh.attention import CALM, Attention, call
from chatsh.drafts import Drafts
from chatsh.fences import fenced
from chatsh.talks import EVERYONE, KEPT, Talks, calls, mentions, own_item, talk_of

ACK = Ack("a1", 7, "2026-11-21T10:00:00.000Z", "stored")


def direct(text="hi", sender="ben", seq=1):
    return Incoming(sender, text, seq, "")


def public(text="hi", sender="ben", seq=1):
    return IncomingBroadcast(sender, text, seq, "")


def in_team(text="hi", sender="ben", seq=1):
    return IncomingGroup("team", sender, text, seq, "")


@pytest.mark.parametrize(
    ("item", "talk"),
    [
        (direct(), ("ben", False)),
        (public(), (EVERYONE, False)),
        (in_team(), ("team", True)),
        (GroupEvent("team", "added", "ben", 1, ""), ("team", True)),
        (own_item(Outgoing("cid", "hi"), ACK, "ann"), ("cid", False)),
        (own_item(OutgoingGroup("team", "hi"), ACK, "ann"), ("team", True)),
        (own_item(OutgoingBroadcast("hi"), None, "ann"), (EVERYONE, False)),
    ],
)
def test_each_item_belongs_to_one_conversation(item, talk):
    assert talk_of(item) == talk


def test_without_a_focus_everything_is_shown():
    talks = Talks()
    assert all(talks.add(item) for item in (direct(), public(), in_team()))
    assert talks.unseen(()) == ""
    assert talks.next() is None


def test_with_a_focus_the_others_wait_and_come_in_the_order_of_the_log():
    talks = Talks()
    talks.focus_on(talks.get("ben"))
    assert talks.add(direct(seq=1))
    assert not talks.add(public(seq=2))
    assert not talks.add(in_team(seq=3), called=True)
    assert not talks.add(public(seq=4))
    assert talks.unseen(()) == "everyone 2, team 1 (@1)"
    assert talks.unseen(["TEAM"]) == "everyone 2"
    items, dropped = talks.focus_on(None)
    assert [item.seq for item in items] == [2, 3, 4]
    assert dropped == 0
    assert talks.unseen(()) == ""


def test_where_somebody_calls_comes_first_and_then_what_has_waited_longest():
    talks = Talks()
    talks.focus_on(talks.get("zoe"))
    talks.add(public(seq=2))
    talks.add(direct(sender="cid", seq=3), called=True)
    talks.add(in_team(seq=4))
    seen = []
    while (talk := talks.next()) is not None:
        seen.append(talk.name)
        talks.focus_on(talk)
    assert seen == ["cid", EVERYONE, "team"]
    assert talks.before.name == EVERYONE


def test_what_is_too_much_to_keep_is_counted():
    talks = Talks()
    talks.focus_on(talks.get("zoe"))
    for seq in range(KEPT + 5):
        talks.add(direct(seq=seq))
    items, dropped = talks.focus_on(talks.get("BEN"))
    assert [items[0].seq, len(items), dropped] == [5, KEPT, 5]


def test_an_own_line_stands_again_behind_what_waits_where_it_was_said():
    talks = Talks()
    talks.focus_on(talks.get("zoe"))
    talks.add(direct(seq=1))
    talks.add_own(own_item(Outgoing("ben", "yes"), ACK, "ann"))
    assert talks.unseen(()) == "ben 1"
    items, _ = talks.focus_on(talks.get("ben"))
    assert [item.content for item in items] == ["hi", "yes"]


def test_a_conversation_keeps_its_lines_under_a_new_name():
    talks = Talks()
    talks.add(direct())
    talks.renamed("Ben", "benny")
    assert [item.content for item in talks.get("benny").said] == ["hi"]
    assert not talks.get("ben").said


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ann", ["ann"]),
        ("hi Ann!", ["Ann"]),
        ("@ann: ANN", ["ann", "ANN"]),
        ("annual", []),
        ("joann", []),
        ("a.b", ["a.b"]),
        ("axb", []),
        ("mary ann", ["ann"]),
    ],
)
def test_a_mention_is_a_word_of_its_own(text, found):
    assert [text[start:end] for start, end in mentions(text, ("ann", "a.b", ""))] == found


@pytest.mark.parametrize(
    ("item", "meant"),
    [
        (direct(), True),
        (direct(sender="server"), False),
        (own_item(Outgoing("cid", "hi ann"), ACK, "ann"), False),
        (public("hi ann"), True),
        (public("hi all"), False),
        (in_team("Ann?"), True),
        (GroupEvent("team", "added", "ben", 1, "", ["ann"]), False),
    ],
)
def test_what_is_for_one_person_calls_them(item, meant):
    assert calls(item, ("ann",)) is meant


# --- drafts ---


@pytest.fixture
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path


def test_drafts_are_there_for_the_next_shell_of_the_same_person(state):
    drafts = Drafts("host:1", "ann")
    drafts.keep(EVERYONE, "to all")
    drafts.keep("Ben", "to \ud800 ben\nand more")
    drafts.keep(EVERYONE, "")
    again = Drafts("host:1", "ANN")
    assert again.of("ben") == "to ? ben\nand more"
    assert again.of(EVERYONE) == ""
    assert again.others(EVERYONE) == ["ben"]
    assert Drafts("host:1", "cid").others("") == []
    (path,) = state.rglob("*.jsonl")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_draft_goes_with_a_new_name(state):
    drafts = Drafts("host:1", "ann")
    drafts.keep("ben", "hi")
    drafts.renamed("ben", "benny")
    drafts.renamed("cid", "cc")
    assert (drafts.of("ben"), drafts.of("benny")) == ("", "hi")


@pytest.mark.parametrize("junk", [b"", b"\xff", b"[1]", b'{"a":1}', b"[" * 100_000])
def test_a_broken_file_of_drafts_holds_none(state, junk):
    drafts = Drafts("host:1", "ann")
    drafts.keep("ben", "hi")
    (path,) = state.rglob("*.jsonl")
    path.write_bytes(junk)
    again = Drafts("host:1", "ann")
    assert again.of("ben") == ""
    again.keep("ben", "new")
    assert json.loads(path.read_text()) == {"ben": "new"}


def test_a_disk_that_takes_nothing_costs_the_draft_alone(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    drafts = Drafts("host:1", "ann")
    drafts.keep("ben", "hi")
    assert drafts.of("ben") == "hi"


# --- attention ---


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_who_presses_no_key_for_a_while_does_not_look():
    clock = Clock()
    attention = Attention(clock, lambda: 60)
    clock.now = 1000
    assert attention.looking  # nobody tells of keys here
    attention.pressed()
    clock.now += 59
    assert attention.looking
    clock.now += 1
    assert not attention.looking
    attention.pressed()
    assert attention.looking
    attention.focused(False)
    assert not attention.looking
    attention.focused(True)
    assert attention.looking


def test_each_conversation_calls_once_in_a_while():
    clock = Clock()
    attention = Attention(clock, lambda: 60)
    attention.pressed()
    assert not attention.may_call("ben")
    attention.focused(False)
    assert attention.may_call("ben")
    assert not attention.may_call("ben")
    assert attention.may_call("cid")
    clock.now += CALM
    assert attention.may_call("ben")


@pytest.mark.parametrize(
    ("way", "sequence"),
    [
        ("off", ""),
        ("bell", "\x07"),
        ("osc9", "\x1b]9;ben: a, b\x07"),
        ("osc777", "\x1b]777;notify;ben;a, b\x07"),
    ],
)
def test_a_call_is_one_sequence_whatever_is_said(monkeypatch, way, sequence):
    monkeypatch.delenv("TMUX", raising=False)
    assert call(way, "ben", "a; \x1b]0;owned\x07b") == sequence


def test_tmux_passes_a_sequence_on(monkeypatch):
    monkeypatch.setenv("TMUX", "x")
    assert call("osc9", "ben", "hi") == "\x1bPtmux;\x1b\x1b]9;ben: hi\x07\x1b\\"


# --- code ---


@pytest.mark.parametrize(
    ("code", "fence"), [("a", "```"), ("`a`", "```"), ("```", "````"), ("x `````", "``````")]
)
def test_a_fence_is_longer_than_any_in_the_code(code, fence):
    assert fenced(code) == f"{fence}\n{code}\n{fence}"
