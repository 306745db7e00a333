"""Frames, however a peer cuts or ends them."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatd.wire import framing as module
from chatd.wire.errors import ErrorCode, PeerError
from chatd.wire.framing import MAX_DEPTH, Framer

WHO = b'{"code":"who"}'
TRICKY = json.dumps(
    {"code": "outgoing", "to": 'a"b', "content": '}{"code":"quit"}\\ \n é'}
).encode()
PRETTY = json.dumps({"a": [1, {"b": "}"}, []], "c": "x"}, indent=2).encode()


def read(*pieces: bytes, limit: int = 65_536) -> list[bytes | int]:
    """What a framer makes of the pieces; errors as their numbers."""
    framer = Framer(limit)
    return [
        int(item.code) if isinstance(item, PeerError) else item
        for piece in pieces
        for item in framer.feed(piece)
    ]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"", b"\n\n \r\n"])
@pytest.mark.parametrize("one", [WHO, TRICKY, PRETTY])
def test_objects_end_with_a_line_end_or_with_nothing(one: bytes, end: bytes):
    assert read(one + end + one + end) == [one, one]


@pytest.mark.parametrize("one", [TRICKY, PRETTY, '{"ü":"\U0001f600"}'.encode()])
def test_an_object_split_at_any_byte_is_still_the_same_object(one: bytes):
    for cut in range(len(one)):
        assert read(one[:cut], one[cut:] + b"\n" + WHO) == [one, WHO]


def test_an_object_may_come_one_byte_at_a_time():
    stream = TRICKY + b"\r\n" + PRETTY + WHO
    assert read(*(bytes([byte]) for byte in stream)) == [TRICKY, PRETTY, WHO]


def test_blank_lines_are_no_objects_and_no_errors():
    assert read(b"\n\r\n  \n\t\n") == []


@pytest.mark.parametrize(
    "garbage",
    [b"hello?", b"\xff\xfe\x00\x80", b'"a string"', b"null", b"12", b"}", b"]]", b"{]", b'{"a":1]',
     b'{"code": "who"', b'{"code": "wh', b'{"a" {', b"{", b"[hello", b"[" * (MAX_DEPTH + 1)],
)  # fmt: skip
def test_after_garbage_the_next_object_is_found(garbage: bytes):
    found = read(garbage + b"\n" + WHO + b"\n")
    assert found[-1] == WHO
    assert found.count(ErrorCode.NOT_JSON) == 1
    assert len(found) == 2


def test_a_bare_object_right_behind_garbage_is_found():
    assert read(b"hello", WHO) == [ErrorCode.NOT_JSON, WHO]
    assert read(b"hello{", b' "code":"who"}') == [ErrorCode.NOT_JSON, b'{ "code":"who"}']


@pytest.mark.parametrize("space", [b"", b" ", b"\n", b"\r\n  "])
def test_an_object_right_behind_garbage_is_found_however_it_is_cut(space: bytes):
    data = b"]{" + space + b'"code":"who"}\n'
    for cut in range(len(data) + 1):
        framer = Framer()
        error, found = framer.feed(data[:cut]) + framer.feed(data[cut:])
        assert error.code is ErrorCode.NOT_JSON
        assert found == data[1:-1]


def test_space_that_may_stand_in_an_object_is_not_kept_for_ever():
    framer = Framer(1000)
    framer.feed(b"x{")
    for _ in range(100):
        framer.feed(b" " * 1000)
        assert len(framer._data) <= 2000
    assert framer.feed(b'\n{"a":1}')[-1] == b'{"a":1}'


def test_an_array_is_one_value_and_what_is_in_it_is_not_obeyed():
    assert read(b'[{"code":"quit"}]\n' + WHO) == [b'[{"code":"quit"}]', WHO]


@pytest.mark.parametrize(
    "long",
    [b"x" * 300, b'{"code":"' + b"y" * 300 + b'"}', b'{"a":[' + b'{"code":"quit"},' * 30 + b"1]}",
     b'{"code":"' + b'{\\"code\\"' * 40 + b'"}'],
)  # fmt: skip
@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_what_is_too_long_is_told_once_and_skipped_to_its_end(long: bytes, step: int):
    stream = long + b"\n" + WHO
    pieces = [stream[at : at + step] for at in range(0, len(stream), step)]
    assert read(*pieces, limit=200) == [ErrorCode.TOO_LONG, WHO]


def test_what_is_too_long_is_not_kept():
    framer = Framer(limit=1000)
    for _ in range(1000):
        framer.feed(b'{"code":"' + b"z" * 991 if _ == 0 else b"z" * 1000)
    assert len(framer._data) < 2000


def test_the_time_of_an_unfinished_object_runs_out():
    framer = Framer()
    assert framer.feed(b'{"code":') == []
    assert framer.unfinished
    assert [wrong.code for wrong in framer.give_up()] == [ErrorCode.NOT_JSON]
    assert not framer.unfinished
    assert framer.give_up() == []
    assert framer.feed(WHO) == [WHO]


def test_a_peer_without_line_ends_is_recognised_by_its_first_object():
    framer = Framer()
    framer.feed(WHO)
    assert framer.bare
    framer.feed(b"\n" + WHO)
    assert not framer.bare
    framer = Framer()
    framer.feed(WHO + b"\n" + WHO)
    assert not framer.bare


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(
    st.lists(st.tuples(st.dictionaries(st.text(), JSON), st.sampled_from([b"", b"\n", b"\r\n"]))),
    st.booleans(),
    st.booleans(),
    st.data(),
)
def test_any_objects_in_any_pieces_come_out_as_they_went_in(objects, pretty, ascii_only, data):
    encoded = [
        json.dumps(one, indent=2 if pretty else None, ensure_ascii=ascii_only).encode(
            "utf-8", "surrogatepass"
        )
        for one, _ in objects
    ]
    stream = b"".join(one + end for one, (_, end) in zip(encoded, objects, strict=True))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=5)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert read(*pieces) == encoded


class Counted:
    """A pattern, and how many bytes it was looked for in."""

    def __init__(self, pattern: re.Pattern[bytes]) -> None:
        self.pattern, self.bytes = pattern, 0

    def search(self, data: bytearray, at: int = 0) -> re.Match[bytes] | None:
        found = self.pattern.search(data, at)
        self.bytes += (found.end() if found else len(data)) - at
        return found


@pytest.mark.parametrize("stretch", [b"x\n", b'{"', b'"{', b"{\n", b'{"\n', b'{"":{}', b"{ "])
def test_of_much_garbage_no_byte_is_looked_at_more_often_than_of_little(monkeypatch, stretch):
    counted = {name: Counted(getattr(module, name)) for name in ("_NEXT_OBJECT", "_MAYBE_OBJECT")}
    for name, one in counted.items():
        monkeypatch.setattr(module, name, one)
    garbage = stretch * (16_384 // len(stretch))
    found = Framer().feed(garbage)
    looked_at = sum(one.bytes for one in counted.values())
    assert looked_at <= 3 * len(garbage) + module._MAYBE * (len(found) + 1)


def test_behind_so_much_garbage_in_a_row_the_rest_of_a_read_is_dropped():
    framer = Framer(garbage=3)
    assert framer.feed(b"x\nx\n" + WHO + b"x\nx\n")[2] == WHO
    assert len(framer.feed(b"x\n" * 1000 + b'{"half')) == 3
    assert not framer.unfinished
    assert framer.feed(WHO) == [WHO]


@given(st.lists(st.binary() | st.sampled_from([b'{"', b"}", b'"', b"\\", b"\n", b"[", WHO])))
def test_no_bytes_confuse_it_for_longer_than_time_allows(pieces: list[bytes]):
    framer = Framer(limit=50)
    for piece in pieces:
        framer.feed(piece)
        assert len(framer._data) <= 50 + len(piece) + 50
    framer.give_up()
    assert framer.feed(WHO) == [WHO]
