"""What stands above the prompt, as the rows that a terminal of that width shows."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from chatd.wire.messages import (
    GroupEvent,
    Incoming,
    IncomingBroadcast,
    IncomingGroup,
    Items,
)
from chatsh import render
from chatsh.bodies import GUTTER, breaks, cells, parts
from chatsh.settings import Settings
from chatsh.transcript import Transcript

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


class Page:
    """A transcript, with its clock, its settings and its width in the test's hand."""

    def __init__(self, width: int | None = 40, **settings):
        self.now = NOON
        self.width = width
        self.settings = Settings(**settings)
        self.transcript = Transcript(lambda: self.settings, lambda: self.width, lambda: self.now)

    def hears(self, text: str, minutes: float = 0, late: bool = False) -> list[str]:
        ts = (NOON + timedelta(minutes=minutes)).isoformat()
        item = IncomingBroadcast("ann", text, 1, ts, late)
        return self.transcript.item(item, "ben").plain.split("\n")


# --- days and times ---


def test_a_message_is_a_row_and_nothing_else():
    assert Page().hears("hi") == ["ann: hi"]


def test_a_new_day_has_a_line_once():
    page = Page()
    assert page.hears("late", 13 * 60)[0] == "──── Sunday, 22 November 2026 ────"
    assert page.hears("later", 13 * 60) == ["ann: later"]


def test_what_was_said_on_another_day_stands_below_that_day_and_the_next_below_today():
    page = Page()
    assert page.hears("old", -24 * 60, late=True) == [
        "──── Friday, 20 November 2026 ────",
        "[12:00] ann: old",
    ]
    assert page.hears("older", -24 * 60 + 1, late=True) == ["[12:01] ann: older"]
    assert page.hears("hi") == ["──── Saturday, 21 November 2026 ────", "ann: hi"]


def test_after_a_silence_the_time_is_told():
    page = Page()
    assert page.hears("a", 5) == ["ann: a"]
    assert page.hears("b", 10.1) == ["12:10", "ann: b"]
    assert page.hears("c", 12) == ["ann: c"]


def test_times_can_stand_before_each_line_or_nowhere():
    assert Page(times="each").hears("a", 7) == ["12:07 ann: a"]
    assert Page(times="off").hears("a", 7) == ["ann: a"]


@pytest.mark.parametrize("ts", [None, "", "yesterday", "0001-01-01T00:00:00+14:00"])
def test_a_message_without_a_time_is_from_now(ts):
    page = Page(times="each")
    page.now = NOON + timedelta(minutes=3)
    assert page.transcript.item(Incoming("ann", "hi", 1, ts), "ben").plain == "12:03 ann: hi"


def test_own_lines_are_placed_as_those_of_others():
    page = Page(times="each")
    ts = "2026-11-21T12:09:00Z"
    own = page.transcript.own(IncomingGroup("team", "ben", "a\nb", 1, ts), "ben")
    assert own.plain == "12:09 [team] ben: a\n  │ b"


def test_a_program_gets_the_messages_alone_and_whole():
    page = Page(None, times="each", fold=1)
    assert page.hears("a\n\nb\n", 13 * 60) == ["ann: a", "  │ ", "  │ b"]
    late = page.hears("x", -24 * 60, late=True)[0]
    assert late.endswith(" ann: x")
    assert late.startswith("[2026-11-2")
    assert page.transcript.own(IncomingBroadcast("", "x"), None).plain == "me: x"


def test_a_page_of_history_has_the_day_at_each_line_and_folds_nothing():
    page = Page(fold=2)
    found = Items("x", [IncomingGroup("team", "ann", "1\n2\n3\n4\n5", 1, "")], more=True)
    assert page.transcript.page(found, "ben").plain.split("\n") == [
        "[] [team] ann: 1",
        *(f"  │ {number}" for number in range(2, 6)),
        "There is more; /history takes a number up to 200.",
    ]


# --- lines and rows ---


def test_a_long_line_is_one_row_that_the_terminal_goes_on_with():
    assert Page().hears("word " * 20) == ["ann: " + "word " * 20]


def test_rows_behind_the_first_stand_behind_the_gutter_at_every_width():
    for width in range(12, 100):
        first, *others = Page(width, fold=0).hears("one " * 20 + "\nann: two " * 5)
        assert first.startswith("ann: one")
        assert all(row.startswith(GUTTER) and cells(row) <= width for row in others)
        assert cells(first) <= width


@pytest.mark.parametrize("fake", ["cleo: yes", "[team] cleo: yes", "enter your message> /quit"])
@pytest.mark.parametrize("fill", ["x", " ", "宽"])
def test_a_row_that_would_look_like_somebodys_line_stands_behind_the_gutter(fake, fill):
    room = 40 - len("ann: ")
    rows = Page().hears(fill * (room // cells(fill)) + fill * (room % cells(fill)) + fake)
    assert len(rows) > 1
    assert all(row.startswith(GUTTER) for row in rows[1:])


@given(st.text(st.sampled_from("ab 宽é\u0301👩\u200d❤\ufe0f")), st.integers(8, 30), st.booleans())
def test_rows_are_all_of_the_text_and_fit(text, width, words):
    ends = [0, *breaks(text, width, words=words), len(text)]
    rows = [text[start:end] for start, end in pairwise(ends)]
    assert "".join(rows) == text
    assert all(cells(row) <= width for row in rows)


# --- code ---

FENCED = [
    ("```\nx\n```", [(["x"], "")]),
    (
        "look:\n````Python\n```\n  x\n````\nwell",
        [(["look:"], None), (["```", "  x"], "python"), (["well"], None)],
    ),
    ("```\nno end", [(["no end"], "")]),
    ("```x``` in a row", [(["```x``` in a row"], None)]),
    ("```", [(["```"], None)]),
    ("```\n```", [(["```", "```"], None)]),
    ("", [([""], None)]),
]


@pytest.mark.parametrize(("content", "expected"), FENCED)
def test_code_stands_between_fences(content, expected):
    assert [(part.lines, part.language) for part in parts(content)] == expected


def test_code_keeps_its_blanks_and_breaks_where_the_row_ends():
    assert Page(12).hears("```\n  a b\n\tlong words\n```") == [
        "ann:",
        "  │   a b",
        "  │     long",
        "  │  words",
    ]


def shown(page: Page, text: str) -> str:
    console = Console(force_terminal=True, color_system="256", width=80)
    item = IncomingBroadcast("ann", text, 1, NOON.isoformat())
    styles = render.styles(page.transcript.theme)
    with console.use_theme(styles), console.capture() as capture:
        console.print(page.transcript.item(item, "ben"), soft_wrap=True)
    return capture.get()


def test_code_of_a_known_language_is_coloured_unless_nobody_wants_colours(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    code = "```{}\ndef f():\n    return 1\n```"
    keyword = "\x1b[1;35mdef"
    assert keyword in shown(Page(), code.format("python"))
    assert keyword not in shown(Page(), code.format("klingon"))
    assert keyword not in shown(Page(), code.format(""))
    assert keyword not in shown(Page(theme="mono"), code.format("python"))
    monkeypatch.setenv("NO_COLOR", "1")
    assert keyword not in shown(Page(), code.format("python"))


@pytest.mark.parametrize("code", ["", "\n\n", "x  \n\n y", "'''", "def f(:\x1b[2J", "\t\tx\r\r"])
def test_colours_change_no_character(code, monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    plain, coloured = (Page().hears(f"```{name}\n{code}\nend\n```") for name in ("", "py"))
    assert plain == coloured


# --- folding ---


def test_a_long_text_is_folded_and_shown_whole_when_asked_for():
    page = Page(fold=3)
    text = "\n".join(map(str, range(10)))
    note = "... 7 more lines; /more 1 shows them"
    assert page.hears(text) == ["ann: 0", "  │ 1", "  │ 2", note]
    assert page.transcript.unfolded().plain.split("\n")[-1] == "  │ 9"
    assert page.transcript.unfolded(1) == page.transcript.unfolded()
    assert page.transcript.unfolded(2) is None
    assert page.hears(text)[-1] == "... 7 more lines; /more 2 shows them"


def test_rows_of_the_terminal_are_counted_not_lines():
    page = Page(20, fold=3)
    assert page.hears("x" * 115) == ["ann: " + "x" * 55, "... 3 more lines; /more 1 shows them"]
    assert page.transcript.unfolded().plain == "ann: " + "x" * 115


def test_a_single_row_is_not_folded_away():
    assert len(Page(fold=3).hears("1\n2\n3\n4")) == 4


def test_nothing_is_folded_when_that_is_off():
    assert len(Page(fold=0).hears("x\n" * 500)) == 500


def test_an_old_fold_is_forgotten():
    page = Page(fold=1)
    for _ in range(101):
        page.hears("1\n2\n3")
    assert page.transcript.unfolded(1) is None
    assert page.transcript.unfolded(2) is not None


def test_what_was_folded_is_laid_out_for_the_width_of_now():
    page = Page(40, fold=2)
    page.hears("a\nb\n" + "word " * 8)
    page.width = 20
    assert len(page.transcript.unfolded().plain.split("\n")) == 5


def test_an_event_of_a_group_with_a_thousand_names_is_folded():
    page = Page(40)
    event = GroupEvent("team", "created", "ann", 1, NOON.isoformat(), ["somebody"] * 1000)
    assert page.transcript.item(event, "ben").plain.endswith("; /more 1 shows them")


# --- who, and whom ---


def test_the_name_of_the_reader_is_told_apart_where_others_write_it():
    assert "\x1b[1;35mBen\x1b[0m, benny" in shown(Page(), "hi Ben, benny")
    assert "\x1b[1;35mlunch\x1b[0m" in shown(Page(mentions=("lunch",)), "who wants lunch?")


def test_rules_name_what_they_begin():
    page = Page()
    assert page.transcript.new().plain == "──── new ────"
    assert page.transcript.heading("te\x1b[2Jam").plain == "──── team ────"
