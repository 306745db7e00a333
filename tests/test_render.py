import time

import pytest
from rich.console import Console
from rich.text import Text

from chatd.wire.messages import (
    Ack,
    GroupEvent,
    GroupFailure,
    GroupInfo,
    GroupRow,
    Incoming,
    IncomingBroadcast,
    IncomingGroup,
    Items,
    Outgoing,
    OutgoingBroadcast,
    OutgoingGroup,
    Seen,
)
from chatsh import render

KINDS = ("created", "added", "removed", "renamed", "left", "owner", "deleted")
TWO_ROWS = ("current users:", "server: User ", "1 line from before")
TS = "2026-01-02T03:04:05.678Z"


def event(kind: str, text: str) -> GroupEvent:
    return GroupEvent(text, kind, text, 1, text, [text], text)


def paged(answer: Items) -> Text:
    return render.page(answer, lambda one: render.item(one, dated=True))


HOSTILE = [
    "\x1b[2J\x1b[Hgone",
    "\x1b]0;title\x07x",
    "\x1b]52;c;c2VjcmV0\x1b\\x",
    "\x9b31mred",
    "\x90payload\x9cx",
    "\x01\x02raw",
    "\u202eevil\u2066",
    "\u2028line",
    "[bold red]markup[/] :smile:",
    "[/dm",
    "\x08\x08\x08bob",
    "\x7f",
    "a\rann: b",
]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize(
    "line",
    [
        lambda text: render.item(Incoming(text, text)),
        render.wrong,
        render.complaint,
        render.notice,
        lambda text: render.users([text]),
        lambda text: render.seen(Seen(text, False, last_seen=text)),
        render.pong,
        lambda text: render.plain(render.own_line(IncomingGroup(text, text, text, 1, ""), text)),
        lambda text: render.item(Incoming(text, text, 1, text, late=True, to=text), dated=True),
        *(lambda text, kind=kind: render.item(event(kind, text)) for kind in KINDS),
        lambda text: render.groups(GroupInfo([GroupRow(text, text, [text], text)]), asked="info"),
        lambda text: render.groups(GroupInfo([], failed=[GroupFailure(text, 301)]), asked="add"),
        lambda text: paged(Items("x", [Incoming(text, text, 1, text)], False)),
        lambda text: render.away(Ack("x", 1, text, "queued", last_seen=text, absent=[text])),
        lambda text: render.unsent([Outgoing(text, text)]),
        lambda text: render.unsent([OutgoingGroup(text, text)]),
    ],
)
def test_nothing_from_elsewhere_reaches_the_terminal_as_more_than_text(line, text):
    console = Console(force_terminal=True, color_system=None, width=200)
    with console.capture() as capture:
        console.print(line(text), soft_wrap=True)
    shown = capture.get()
    rows = 2 if shown.startswith(TWO_ROWS) else 1
    assert shown.count("\n") == rows
    assert all(char.isprintable() or char == "\n" for char in shown)
    assert "\x1b" not in shown


@pytest.mark.parametrize("text", ["a\nenter your message> /quit", "\r\nbob: b"])
def test_a_further_line_of_a_message_is_no_line_of_its_own(text):
    first, *others = render.item(IncomingBroadcast("ann", text)).plain.split("\n")
    assert first in ("ann: a", "ann: ")
    assert [row[:4] for row in others] == ["  │ "]


def test_markup_and_emoji_are_text_like_any_other():
    assert render.item(Incoming("bob", "[bold]x[/] :smile:")).plain == "bob: [bold]x[/] :smile:"


def test_a_message_stands_contiguous_behind_its_senders_name():
    assert render.item(Incoming("alice", "hi")).plain == "alice: hi"
    assert render.plain(render.own_line(IncomingBroadcast("", "hi"), None)).plain == "me: hi"


def test_the_list_of_users_has_one_name_per_line():
    assert render.users(["User 1", "bob"]).plain == "current users:\nUser 1\nbob"


# --- times, the log, groups ---


@pytest.fixture(autouse=True)
def tokyo(monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_a_late_message_has_the_time_of_this_machine_and_a_fresh_one_none():
    assert render.item(Incoming("ben", "hi", 1, TS)).plain == "ben: hi"
    late = Incoming("ben", "hi", 1, TS, late=True)
    assert render.item(late).plain == "[2026-01-02 12:04] ben: hi"


@pytest.mark.parametrize("ts", ["", "yesterday", "2026-13-01T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_a_time_that_is_none_is_no_obstacle(ts):
    assert render.item(Incoming("ben", "hi", 1, ts, late=True)).plain.endswith("] ben: hi")


def test_a_page_shows_who_said_what_to_whom_and_that_there_is_more():
    items = [
        Incoming("ann", "one", 1, TS, to="ben"),
        IncomingBroadcast("ben", "two", 2, TS),
        IncomingGroup("team", "ann", "three", 3, TS),
        GroupEvent("team", "left", "ben", 4, TS),
    ]
    shown = paged(Items("x", items, more=True)).plain
    assert shown.splitlines() == [
        "[2026-01-02 12:04] ann -> ben: one",
        "[2026-01-02 12:04] ben: two",
        "[2026-01-02 12:04] [team] ann: three",
        "[2026-01-02 12:04] ben has left team.",
        "There is more; /history takes a number up to 200.",
    ]
    assert paged(Items("x", [], more=False)).plain == "Nothing was found."


def test_every_change_of_a_group_is_a_sentence():
    shown = [
        render.item(GroupEvent("team", kind, "ann", 1, TS, ["ben", "cleo"], "crew")).plain
        for kind in KINDS
    ]
    assert shown == [
        "ann has made the group team: ben, cleo.",
        "ann has added ben, cleo to team.",
        "ann has removed ben, cleo from team.",
        "ann has renamed team to crew.",
        "ann has left team.",
        "crew is the owner of team now.",
        "ann has deleted the group team.",
    ]


def test_an_answer_about_groups_lists_them_and_who_was_refused():
    rows = [GroupRow("team", "ann", ["ann", "ben"], TS)]
    failed = [GroupFailure("zoe", 301), GroupFailure("a|b", 104), GroupFailure("x", 999)]
    shown = render.groups(GroupInfo(rows, failed=failed), asked="add").plain
    assert shown.splitlines() == [
        "team: ann, ben; owner ann, made 2026-01-02 12:04",
        "zoe: there is nobody of that name",
        "a|b: nobody can be called that",
        "x: error 999",
    ]
    empty = {"leave": "You have left the group.", "delete": "The group is deleted."}
    for asked in ("list", "leave", "delete"):
        text = empty.get(asked, "You are in no group.")
        assert render.groups(GroupInfo([]), asked=asked).plain == text


def test_what_is_stored_for_somebody_says_since_when_they_are_away():
    ack = Ack("x", 1, TS, "queued", last_seen=TS, absent=["ben"])
    assert render.away(ack).plain.splitlines() == [
        'server: User "ben" is not connected to the server.',
        "ben was last here at 2026-01-02 12:04; the message is stored for ben.",
    ]


def test_unsent_lines_say_to_whom_and_what_can_be_done():
    messages = [Outgoing("ben", "a"), OutgoingBroadcast("b"), OutgoingGroup("team", "c")]
    assert render.unsent(messages).plain.splitlines() == [
        "3 lines from before could not be sent; /unsent sends them, /unsent drop forgets them:",
        "  to ben: a",
        "  to everyone: b",
        "  to team: c",
    ]
    one = "1 line from before could not be sent; /unsent sends it, /unsent drop forgets it:"
    assert render.unsent(messages[:1]).plain.splitlines()[0] == one


@pytest.mark.parametrize(
    ("output", "columns", "rows"),
    [
        ("", 80, 0),
        ("a\n", 80, 1),
        ("a\n\nb\n", 80, 3),
        ("\x1b[1;36mann\x1b[0m: hi\n", 7, 1),
        ("x" * 81 + "\n", 80, 2),
        ("漢" * 40 + "\n" + "漢" * 41 + "\n", 80, 3),
    ],
)
def test_rows_are_counted_as_a_terminal_breaks_them(output, columns, rows):
    assert render.rows(output, columns) == rows
