"""Text from elsewhere can do nothing but be text."""

import unicodedata

import pytest
from hostile import CASES, EMOJI
from hypothesis import given
from hypothesis import strategies as st

from chatd.wire.text import MARKS, harmless, harmless_lines, timestamp


@pytest.mark.parametrize(
    "text", ["hello", "", "grüße 你好 🙂 👩‍👩‍👧", "a \\ b [31m not an escape", "é"]
)
def test_ordinary_text_is_left_alone(text: str):
    assert harmless(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[31mred\x1b[0m", "ared"),
        ("a\x1b]0;title\x07b", "ab"),
        ("a\x1b]0;title\x1b\\b", "ab"),
        ("a\x9b2Jb", "ab"),
        ("a\x1bcb", "ab"),
        ("a\x1bP1$r\x1b\\b", "ab"),
        ("one\ntwo\r\nthree\rfour\x85five", "one two three four five"),
        ("bell\x07back\x08del\x7f", "bell\ufffdback\ufffddel\ufffd"),
        ("right\u202eleft\u2066x\u2069", "right\ufffdleft\ufffdx\ufffd"),
        ("half\ud800", "half\ufffd"),
        ("para\u2029graph", "para\ufffdgraph"),
    ],
)
def test_what_could_drive_a_terminal_is_gone(text: str, shown: str):
    assert harmless(text) == shown


TRICKY = st.text(st.sampled_from("\x1b[]()0;m\x07\x9b\x9d\x9c\\\r\n\t\x00aé\u202e\ud800P^_ ~"))


@given(st.text() | TRICKY)
def test_no_control_character_and_no_surrogate_survives_anything(text: str):
    left = harmless(text)
    assert not any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in left)
    assert "\u202e" not in left
    assert harmless(left) == left
    left.encode()


# --- what nobody sees, and what covers others ---


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_the_corpus_is_text_like_any_other(case):
    for line in harmless_lines(case.text):
        assert all(char.isprintable() for char in line)
        assert harmless(line) == line


@pytest.mark.parametrize(
    "text",
    [*EMOJI, "نمی\u200cخواهم", "क्\u200dष", "Ti\u1ebf\u0301ng", "한국", "שָׁלוֹם", "e\u0301\u0302"],
)
def test_what_scripts_and_emoji_are_made_with_is_left_alone(text):
    assert harmless(text) == text


# The alphabets of the tricks: sequences, breaks, joiners, selectors, tags, marks, directions.
HIDDEN = "\u200b\u200c\u200d\u2060\xad\u034f\u3164\ufe0e\ufe0f\ufe00\U000e0041\U000e007f\ufeff"
PILES = st.text(st.sampled_from("ae1é宽👩❤\u0301\u0302\u20dd\u1161\u0941 " + HIDDEN))


@given(st.text() | TRICKY | PILES)
def test_nothing_invisible_stands_alone_and_no_pile_is_high(text: str):
    left = harmless(text)
    assert harmless(left) == left
    marks = 0
    for before, char, after in zip(" " + left, left, left[1:] + " ", strict=False):
        if char in "\u200c\u200d":
            assert not before.isascii()
            assert not after.isascii()
            continue
        if char in "\ufe0e\ufe0f":
            assert before in "#*0123456789©®" or before > "\u2000"
            continue
        assert char not in HIDDEN
        marks = marks + 1 if unicodedata.category(char)[0] == "M" else 0
        assert marks <= MARKS
    assert not left or unicodedata.category(left[0])[0] != "M"


@given(st.text() | TRICKY | PILES)
def test_the_lines_of_a_text_are_lines(text: str):
    lines = harmless_lines(text)
    assert lines
    assert all(harmless(line) == line for line in lines)
    assert harmless(text).replace("\u25cc", "") == " ".join(lines).replace("\u25cc", "")


def test_a_moment_is_told_in_utc_to_the_millisecond():
    assert timestamp(0) == "1970-01-01T00:00:00.000Z"
    assert timestamp(1_700_000_000_123) == "2023-11-14T22:13:20.123Z"
