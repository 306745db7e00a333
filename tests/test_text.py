"""Text from elsewhere can do nothing but be text."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatd.wire.text import harmless, timestamp


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


def test_a_moment_is_told_in_utc_to_the_millisecond():
    assert timestamp(0) == "1970-01-01T00:00:00.000Z"
    assert timestamp(1_700_000_000_123) == "2023-11-14T22:13:20.123Z"
