"""From the bytes of a terminal to the lines that a program said."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.canvas import CanvasView
from harness.scope import token
from harness.screen import StyleError, parse_style, said_style, style_of
from harness.terminal import Terminal
from harness.views import LinesView, ScreenView

PROMPT = re.compile(re.escape("say> "))
UP_AND_ERASE = "\r\x1b[J"


def lines_view(prompt=PROMPT):
    return LinesView(prompt)


def screen_view(columns=40, lines=8, echo=True, answers=None):
    answer = (answers if answers is not None else []).append
    return ScreenView(PROMPT, (columns, lines), answer, echo=echo)


def canvas_view(columns=40, lines=8, prompt="> ", echo=True):
    return CanvasView(re.compile(prompt), (columns, lines), lambda _: None, echo=echo)


def fed(view, *chunks):
    for chunk in chunks:
        view.feed(chunk.encode())
    return view.settled()


def test_prompts_are_stripped_at_both_ends_of_a_line():
    view = lines_view()
    assert fed(view, "say> ana: hello\r\n", "ben: hisay> \r\nsay> say> x\r\n") == [
        "ana: hello",
        "ben: hi",
        "x",
    ]


def test_an_answered_question_is_cut_off_the_next_line():
    view = lines_view()
    fed(view, "Port: ")
    assert view.asked() == "Port: "
    view.typed("8000", submitted=True, answers="Port: ")
    assert fed(view, "Name: ", "\r\n") == ["Name:"]


def test_a_line_arrives_whole_however_it_is_cut_and_without_colours():
    whole = "say> \x1b[31mgrün\x1b[0m: hello\x1b]0;title\x07 there\r\n".encode()
    for cut in range(len(whole)):
        view = lines_view()
        view.feed(whole[:cut])
        view.feed(whole[cut:])
        assert view.settled() == ["grün: hello there"]


def test_a_cooked_program_is_ready_as_often_as_it_has_asked():
    view = lines_view()
    assert not view.ready()
    fed(view, "say> ")
    assert view.ready()
    view.typed("x", submitted=True)
    assert not view.ready()
    fed(view, "ana: hello\r\nsay> ")
    assert view.ready()


def test_lines_above_the_prompt_are_settled_once_and_in_order():
    view = screen_view()
    assert fed(view, "one\r\ntwo\r\n") == []
    assert fed(view, "say> ") == ["one", "two"]
    assert fed(view, f"{UP_AND_ERASE}three\r\nsay> ") == ["three"]
    assert view.settled() == []


def test_own_echo_is_no_answer():
    view = screen_view()
    fed(view, "say> ")
    view.typed("NEVER PRODUCED", submitted=True)
    assert fed(view, "NEVER PRODUCED\r\n", "say> ") == []


@pytest.mark.parametrize("row", ["ana: hello{}", "{}ana: hello", "ana: {}hello"])
def test_a_question_of_the_harness_amid_a_line_is_no_part_of_it(row):
    view, question = screen_view(columns=30), f"/ping {token()}"
    fed(view, "say> ")
    view.typed(question, submitted=True)
    came = fed(view, f"\r\x1b[J{row.format(question)}\r\n\r\nsay> {question}\r\nsay> ")
    assert came == ["ana: hello", ""]
    assert view.ready()


def test_what_a_person_typed_stays_in_the_line_of_another():
    view = screen_view()
    fed(view, "say> ")
    view.typed("hello", submitted=True)
    assert fed(view, "\r\x1b[Jana: hello\r\nsay> hello\r\nsay> ") == ["ana: hello"]


def test_an_answer_that_repeats_the_question_is_heard_whole():
    view, question = screen_view(columns=60), f"/ping {token()}"
    fed(view, "say> ")
    view.typed(question, submitted=True)
    answer = f"no such command: {question}"
    assert fed(view, f"{question}\r\n{answer}\r\nsay> ") == [answer]


def test_somebody_elses_text_on_the_prompts_row_is_heard():
    view = screen_view()
    fed(view, "say> ")
    view.typed("hello", submitted=True)
    assert fed(view, "ana: leaked\r\nsay> ") == ["say> ana: leaked"]


def test_lines_that_scroll_off_are_not_lost():
    view = screen_view(lines=4)
    many = [f"line {n}" for n in range(100)]
    assert fed(view, "\r\n".join(many) + "\r\nsay> ") == many


def test_a_wrapped_line_is_one_line_and_so_is_a_wrapped_echo():
    view = screen_view(columns=20)
    long = "ana: " + "x" * 50
    assert fed(view, f"{long}\r\nsay> ") == [long]
    view.typed("y" * 50, submitted=True)
    assert fed(view, "y" * 50 + "\r\nben: hi\r\nsay> ") == ["ben: hi"]


def test_a_mark_before_the_further_rows_of_a_long_line_is_not_heard():
    view = screen_view(columns=20)
    fed(view, "say> ")
    view.typed("y" * 40, submitted=False)
    assert fed(view, "y" * 15 + "\r\n> " + "y" * 18 + "\r\n> " + "y" * 7) == []
    assert view.ready()
    view.typed("", submitted=True)
    assert fed(view, "\r\nben: hi\r\nsay> ") == ["ben: hi"]
    assert view.ready()


def test_a_toolbar_below_the_prompt_is_nobodys_line():
    view = screen_view()
    bar = "\r\n\x1b[7m a toolbar \x1b[0m\x1b[1A\x1b[6G"
    assert fed(view, f"say> {bar}") == []
    assert fed(view, f"{UP_AND_ERASE}ana: hello\r\nsay> {bar}") == ["ana: hello"]


def test_it_is_not_ready_before_the_last_line_was_taken():
    view = screen_view()
    fed(view, "say> ")
    assert view.ready()
    view.typed("hello", submitted=True)
    assert not view.ready()
    fed(view, f"{UP_AND_ERASE}ana: in between\r\nsay> ")  # a message came first
    assert not view.ready()
    fed(view, "hello\r\nsay> ")
    assert view.ready()


def test_a_program_that_erases_what_was_entered_is_ready_when_it_has_drawn():
    view = screen_view(echo=False)
    fed(view, "say> ")
    view.typed("hello", submitted=True)
    assert not view.ready()
    fed(view, f"{UP_AND_ERASE}say> ")
    assert view.ready()


def test_a_draft_has_to_be_on_the_line_before_more_is_typed():
    view = screen_view()
    fed(view, "say> ")
    view.typed("hel", submitted=False)
    assert not view.ready()
    fed(view, "hel")
    assert view.ready()
    assert fed(view, f"{UP_AND_ERASE}ana: hello\r\nsay> hel") == ["ana: hello"]
    assert view.ready()


def test_a_cleared_screen_repeats_nothing():
    view = screen_view()
    assert fed(view, "one\r\nsay> ") == ["one"]
    assert fed(view, "\x1b[2J\x1b[Hsay> ") == []
    assert fed(view, f"{UP_AND_ERASE}two\r\nsay> ") == ["two"]


def test_a_full_screen_program_leaves_the_lines_as_they_were():
    view = screen_view()
    fed(view, "one\r\nsay> ")
    assert fed(view, "\x1b[?1049h\x1b[Hmail for you\r\nsay> ") == []
    assert view.picture()[0] == "mail for you"
    assert fed(view, "\x1b[?1049l") == []
    assert view.picture() == ["one", "say>"]


def test_a_narrower_terminal_loses_and_repeats_nothing():
    view = screen_view(lines=8)
    assert fed(view, *(f"{n}\r\n" for n in range(6)), "say> ") == [str(n) for n in range(6)]
    view.resize(30, 4)
    assert fed(view, f"{UP_AND_ERASE}six\r\nsay> ") == ["six"]


def test_questions_for_the_cursor_are_answered():
    answers = []
    fed(screen_view(answers=answers), "one\r\nsay> \x1b[6n")
    assert answers == [b"\x1b[2;6R"]


def test_what_is_left_when_the_program_ends_is_heard():
    view = screen_view()
    fed(view, "say> ")
    view.typed("/quit", submitted=True)
    fed(view, "/quit\r\nbye\r\nlast words")
    assert view.flush() == ["bye", "last words"]


JUNK = (
    "\x1b[>4;1m", "\x1b[<1u", "\x1b[=5;1u", "\x1b[?1u", "\x1b[!p", "\x1b[2 q", "\x1b[?2026$p",
    "\x1b[?2004h", "\x1b[4:3m", "\x1b[38:2::1:2:3m", "\x1b[58;5;1m", "\x1bP+q544e\x1b\\",
    "\x1b_Gi=1;AAAA\x1b\\", "\x1b]0;a title\x07", "\x1b]8;;http://example.org\x1b\\",
    "\x1b]52;c;c2VjcmV0\x07", "\x1b(B", "\x1b=", "\x9d52;c", "\x0e\x0f", "\x00",
)  # fmt: skip


@pytest.mark.parametrize("junk", JUNK)
def test_not_a_letter_of_a_sequence_is_text_however_it_is_cut(junk):
    whole = f"one {junk}two\r\nsay> ".encode()
    wanted = ["one 52;ctwo" if "\x9d" in junk else "one two"]
    for cut in range(len(whole)):
        for view in (screen_view(), lines_view()):
            view.feed(whole[:cut])
            view.feed(whole[cut:])
            assert view.settled() == wanted


def test_a_cursor_that_is_sent_far_away_stays_on_the_screen():
    assert fed(screen_view(), "one\r\n\x1b[999;999H\r\x1b[2;1Hsay> ") == ["one"]


@pytest.mark.parametrize(
    "text",
    ["漢字かな", "e\u0301te\u0301", "👩\u200d👩\u200d👧 two", "❤\ufe0f 🇩🇪", "नमस्ते", "a\u0308" * 9],
)  # fmt: skip
def test_every_script_comes_out_as_it_went_in(text):
    assert fed(lines_view(), f"ana: {text}\r\nsay> ") == [f"ana: {text}"]
    assert fed(screen_view(), f"ana: {text}\r\nsay> ") == [f"ana: {text}"]


def test_a_wide_line_that_is_wrapped_is_one_line():
    assert fed(screen_view(columns=20), "漢字" * 20 + "\r\nsay> ") == ["漢字" * 20]


def test_a_title_and_a_bracketed_paste_are_known_and_nobodys_line():
    for view in (screen_view(), lines_view()):
        assert not view.pasting
        assert fed(view, "\x1b]2;chat\x07\x1b[?2004hone\r\nsay> ") == ["one"]
        assert view.pasting
        fed(view, "\x1b[?2004l")
        assert not view.pasting


def test_of_a_line_that_was_rewritten_the_last_form_counts():
    view = lines_view()
    bar = ["\r[#  ]", "\r[## ]", "\r\x1b[Kana: hi\r\n[## ]", "\r[###]\r\n"]
    assert fed(view, *bar) == ["ana: hi", "[###]"]
    assert fed(view, "wait |\b/\b-\b \bdone\r\n", "\x07bell\r\n") == ["wait done", "bell"]


def test_a_cooked_program_that_draws_its_prompt_again_is_still_ready():
    view = lines_view()
    fed(view, "say> ")
    view.typed("x", submitted=True)
    fed(view, "say> ", "\r\x1b[Kana: hello\r\nsay> ")
    assert view.ready()


def test_a_program_without_a_prompt_that_shows_what_is_typed_has_said_nothing():
    view = ScreenView(None, (40, 8), lambda _: None)
    view.typed("NEVER", submitted=True)
    assert fed(view, "NEVER\r\n", "ana: hello\r\n") == ["ana: hello"]


def test_what_is_typed_ahead_and_shown_twice_is_no_answer():
    view = ScreenView(PROMPT, (40, 8), lambda _: None, patient=False)
    view.typed("NEVER", submitted=True)
    assert fed(view, "NEVER\r\n", "welcome\r\nsay> ", "NEVER\r\nsay> ") == ["welcome"]


def test_a_resize_while_a_full_screen_program_is_up_disturbs_nothing_below_it():
    view = screen_view(lines=8)
    assert fed(view, *(f"{n}\r\n" for n in range(6)), "say> ") == [str(n) for n in range(6)]
    fed(view, "\x1b[?1049h\x1b[H", "\r\n".join(f"mail {n}" for n in range(8)))
    view.resize(40, 4)
    assert fed(view, "\x1b[?1049l", f"{UP_AND_ERASE}six\r\nsay> ") == ["six"]


def painted(*rows, field="> ", title="chat"):
    """A frame of a full-screen program; the cursor ends in the input field."""
    drawn = "".join(f"\x1b[{y};1H\x1b[K{row}" for y, row in enumerate([title, *rows], 1))
    return f"{drawn}\x1b[8;1H\x1b[K{field}"


def test_a_row_of_a_canvas_is_said_once_however_far_it_scrolls():
    view = canvas_view()
    assert fed(view, "\x1b[?1049h", painted("a", "b")) == ["chat", "a", "b"]
    assert fed(view, painted("a", "b", "c")) == ["c"]
    assert fed(view, painted("b", "c", "d")) == ["d"]
    assert fed(view, painted("c", "d", "d")) == ["d"]
    assert fed(view, painted("c", "d", "d")) == []


def test_frames_that_arrive_together_are_seen_one_by_one():
    view = canvas_view()
    numbers = [str(n) for n in range(100)]
    frames = [painted(*numbers[n : n + 3]) for n in range(98)]
    assert fed(view, "".join(frames)) == ["chat", *numbers]


def test_an_unfinished_frame_is_not_looked_at():
    view = canvas_view()
    fed(view, painted("a"))
    assert fed(view, "\x1b[3;1Hana: he") == []
    assert fed(view, "llo\x1b[8;3H") == ["ana: hello"]


def test_a_full_screen_program_takes_a_line_and_shows_it_in_its_pane_but_does_not_answer():
    view = canvas_view()
    fed(view, painted("a"))
    assert view.ready()
    view.typed("NEVER", submitted=False)
    assert not view.ready()
    assert fed(view, painted("a", field="> NEVER")) == []
    assert view.ready()
    view.typed("", submitted=True)
    assert fed(view, painted("a", "> NEVER")) == []
    assert fed(view, painted("a", "> NEVER", "NEVER")) == ["NEVER"]


def test_panes_beside_each_other_are_compared_each_by_itself():
    view = canvas_view()
    fed(view, painted("│hello │ana│", "│      │ben│"))
    assert fed(view, painted("│hello │ana│", "│hi    │ben│")) == ["hi"]
    assert fed(view, painted("│hi    │ana│", "│again │ben│", "│      │cid│")) == ["again", "cid"]


def test_line_drawing_is_drawn():
    view = canvas_view()
    view.feed(b"\x1b(0lqk\x1b(B")
    assert view.picture() == ["┌─┐"]


def test_what_was_said_on_the_main_screen_before_and_after_is_heard():
    view = canvas_view()
    assert fed(view, "welcome\r\n\x1b[?1049h", painted("a")) == ["welcome", "chat", "a"]
    view.feed(b"\x1b[3;1Hlast\x1b[?1049lbye\r\n")
    assert view.flush() == ["last", "bye"]


def test_what_is_said_below_a_draft_that_was_never_drawn_is_no_part_of_it():
    view = screen_view()
    view.feed(b"say> ")
    view.typed("half a sente", submitted=False)
    view.feed(b"\r\nlogged off\r\n")
    assert view.flush() == ["logged off"]


def test_a_canvas_that_is_drawn_again_for_another_size_repeats_nothing():
    view = canvas_view()
    for n in range(20):
        fed(view, painted(*map(str, range(n, n + 3))))
    view.resize(40, 12)
    old = painted(*map(str, range(13, 22)), "22").replace("\x1b[8;1H", "\x1b[12;1H")
    assert fed(view, "\x1b[2J", old) == ["22"]


@pytest.mark.parametrize(
    ("drawn", "said"),
    [
        ("\x1b[1;31m", "bold red"),
        ("\x1b[3;4;38;5;2;44m", "italic underline green on blue"),
        ("\x1b[38;2;1;2;3m", "#010203"),
        ("\x1b[38:2::1:2:3m", "#010203"),
        ("\x1b[7;93m", "reverse bright_yellow"),
        ("\x1b[33m", "yellow"),
        ("\x1b[1m\x1b[22m", "plain"),
    ],
)
def test_styles_are_told_in_the_words_they_are_asked_for(drawn, said):
    terminal = Terminal(20, 2, lambda _: None)
    terminal.feed(f"{drawn}x".encode())
    style = style_of(terminal.cells(0)[0])
    assert said_style(style) == said
    if said != "plain":
        assert parse_style(said).items() <= style.items()
    assert not parse_style("strike").items() <= style.items()
    assert parse_style("not strike").items() <= style.items()


@pytest.mark.parametrize("text", ["rde", "bold on bold", "", "not red", "on", "not"])
def test_a_style_that_is_none_says_what_is_allowed(text):
    with pytest.raises(StyleError, match="allowed: "):
        parse_style(text)


@given(st.lists(st.one_of(st.binary(max_size=30), st.sampled_from([b"\x1b[", b"\x1b[?", b"9999"]))))
def test_no_output_of_a_program_can_raise(chunks):
    terminal = Terminal(20, 5, lambda _: None)
    view = screen_view(columns=20, lines=5)
    cooked = lines_view()
    canvas = canvas_view(columns=20, lines=5)
    for chunk in chunks:
        terminal.feed(chunk)
        view.feed(chunk)
        cooked.feed(chunk)
        canvas.feed(chunk)
    assert len(terminal.picture()) <= terminal.lines
    for one in (view, cooked, canvas):
        one.ready()
        one.resize(10, 3)
        list(one.drawn())
        one.flush()
