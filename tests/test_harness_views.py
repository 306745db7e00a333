"""From the bytes of a terminal to the lines that a program said."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.terminal import Terminal
from harness.views import LinesView, ScreenView

PROMPT = re.compile(re.escape("say> "))
UP_AND_ERASE = "\r\x1b[J"


def lines_view(prompt=PROMPT):
    return LinesView(prompt)


def screen_view(columns=40, lines=8, echo=True, answers=None):
    answer = (answers if answers is not None else []).append
    return ScreenView(PROMPT, (columns, lines), answer, echo=echo)


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


@pytest.mark.parametrize("junk", ["\x1b[>4;1m", "\x1b[?2004h", "\x1b[999;999H", "\x1bP+q\x1b\\"])
def test_unknown_sequences_are_dropped(junk):
    assert fed(screen_view(), f"one\r\n{junk}\r\x1b[2;1Hsay> ")[:1] == ["one"]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=30), st.sampled_from([b"\x1b[", b"\x1b[?", b"9999"]))))
def test_no_output_of_a_program_can_raise(chunks):
    terminal = Terminal(20, 5, lambda _: None)
    view = screen_view(columns=20, lines=5)
    cooked = lines_view()
    for chunk in chunks:
        terminal.feed(chunk)
        view.feed(chunk)
        cooked.feed(chunk)
    assert len(terminal.picture()) <= terminal.lines
    view.ready()
    view.flush()
    cooked.flush()
