"""What a pattern matches, what it captures, and how it explains a miss."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.frames import FRAMINGS
from harness.patterns import FramePattern, Item, RegexPattern, TextPattern, nearest
from harness.scope import Scope, UnboundError

VALUES = {"who": "a.b*c", "n": 7, "dots": "x...y", "case": {"error": 201}}


def lookup(name):
    return Scope(VALUES).lookup(name)


def line(text):
    return Item(text, 0.0)


def frame(value):
    return Item(str(value), 0.0, value, is_frame=True)


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("hello", "hello", {}),
        ("hello", "hello you", None),
        ("hello...", "hello you", {}),
        ("...you", "hello you", {}),
        ("h...o y...u", "hello you", {}),
        ("a.c", "abc", None),
        ("users: ${all=rest}", "users: a, b", {"all": "a, b"}),
        ("${n=int} lines", "12 lines", {"n": 12}),
        ("${n=int} lines", "x lines", None),
        ("${w=word}!", "two words!", None),
        ("hi ${who}", "hi a.b*c", {}),
        ("hi ${who}", "hi aXbbc", None),
        ("hi ${dots}", "hi x...y", {}),
        ("hi ${dots}", "hi xay", None),
        ("$${who}", "${who}", {}),
        ("${a=word} and ${a}", "x and x", {"a": "x"}),
        ("${a=word} and ${a}", "x and y", None),
        ("trailing blanks", "trailing blanks  ", {}),
    ],
)
def test_text(pattern, text, found):
    assert TextPattern(pattern, lookup).match(line(text)) == found


def test_a_part_of_a_line_is_enough_where_it_is_asked_for():
    assert TextPattern("ell", lookup).match(line("hello")) is None
    assert TextPattern("ell", lookup).match(line("hello"), part=True) == {}


def test_a_regular_expression_captures_by_its_groups():
    assert RegexPattern(r"(?P<h>\d\d):\d\d").match(line("12:30")) == {"h": "12"}
    assert RegexPattern(r"\d\d").match(line("12:30")) is None


@pytest.mark.parametrize(
    ("fields", "value", "found"),
    [
        ({"code": "ack"}, {"code": "ack", "re": "x"}, {}),
        ({"code": "ack"}, {"code": "error"}, None),
        ({"code": "ack"}, {"re": "x"}, None),
        ({"code": "ack"}, ["code", "ack"], None),
        ({"seq": "${seq=int}"}, {"seq": 4}, {"seq": 4}),
        ({"seq": "${seq=int}"}, {"seq": "4"}, None),
        ({"seq": "${seq=int}"}, {"seq": True}, None),
        ({"text": "..."}, {"text": None}, {}),
        ({"text": "hi ..."}, {"text": "hi you"}, {}),
        ({"text": "hi ..."}, {"text": 3}, None),
        ({"error": "${case.error}"}, {"error": 201}, {}),
        ({"error": "${case.error}"}, {"error": "201"}, None),
        ({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}}, {}),
        ({"a": [1, 2]}, {"a": [1, 2]}, {}),
        ({"a": [1, 2]}, {"a": [1, 2, 3]}, None),
        ({"a": [1, "..."]}, {"a": [1, 2, 3]}, {}),
        ({"a": 1}, {"a": True}, None),
        ({"name": "${name=rest}"}, {"name": "two words"}, {"name": "two words"}),
    ],
)
def test_frames(fields, value, found):
    assert FramePattern(fields, lookup, exact=False).match(frame(value)) == found


def test_an_exact_frame_has_nothing_else():
    exact = FramePattern({"code": "welcome"}, lookup, exact=True)
    assert exact.match(frame({"code": "welcome"})) == {}
    assert exact.match(frame({"code": "welcome", "v": 1})) is None


@given(st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs", "Cc"])))
def test_text_without_signs_matches_itself_and_nothing_more(text):
    text = text.replace("...", "").replace("${", "").strip()
    pattern = TextPattern(text, lookup)
    assert pattern.match(line(text)) == {}
    assert pattern.match(line(text + "x")) is None


def test_short_names_belong_to_their_actor_and_must_not_be_ambiguous():
    scope = Scope({"greeting": "hello"})
    scope.bind("ana", {"name": "client1"})
    scope.bind("ben", {"name": "client2", "seq": 4})
    assert scope.fill("${name} ${ana.name} ${seq}", "ben") == "client2 client1 4"
    assert scope.fill("${seq}", "ana") == 4
    with pytest.raises(UnboundError, match=re.escape("write ${ana.name} or ${ben.name}")):
        scope.fill("${name}")
    with pytest.raises(UnboundError, match="has no value yet"):
        scope.fill("${nothing}")


def test_the_nearest_miss_is_the_line_that_was_meant():
    items = [line("ana has joined."), line("ana: Hello here!"), line("ben is quitting.")]
    pattern = TextPattern("ana: Hello there!", lookup)
    assert nearest(pattern, items).text == "ana: Hello here!"
    assert nearest(pattern, [line("12345")]) is None


STREAM = '{"code": "a"}\r\n{"text": "grün"}\n'


@pytest.mark.parametrize(("framing", "sent"), [("json-lines", STREAM), ("json", STREAM)])
def test_frames_are_the_same_however_they_are_cut(framing, sent):
    data = sent.encode()
    for cut in range(len(data)):
        codec = FRAMINGS[framing].codec()
        pieces = codec.feed(data[:cut]) + codec.feed(data[cut:]) + codec.rest()
        assert [frame for _, frame, _ in pieces] == [{"code": "a"}, {"text": "grün"}]


def test_objects_need_no_line_ends_and_garbage_is_shown_at_the_end():
    codec = FRAMINGS["json"].codec()
    assert [frame for _, frame, _ in codec.feed(b'{"a":1}{"b":2} {"c"')] == [{"a": 1}, {"b": 2}]
    assert codec.rest() == [('{"c"', None, True)]


def test_a_line_that_is_no_json_is_still_seen():
    assert FRAMINGS["json-lines"].codec().feed(b"oops\n") == [("oops", None, True)]
