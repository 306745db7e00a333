"""Bytes of a connection to messages, and messages to bytes for both kinds of session."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatd.dialects.json import JsonDialect, extended, plain
from chatd.wire.errors import ErrorCode, PeerError
from chatd.wire.messages import (
    MAX_ID,
    Ack,
    Bye,
    Error,
    Hello,
    Incoming,
    IncomingBroadcast,
    Message,
    Notice,
    Ok,
    Outgoing,
    Ping,
    Pong,
    Text,
    Users,
    Welcome,
    Who,
)

E = ErrorCode


def read(*pieces: bytes) -> list[Message | PeerError]:
    dialect = JsonDialect()
    return [item for piece in pieces for item in dialect.receive(piece)]


def wrong(data: bytes) -> PeerError:
    (error,) = read(data)
    assert isinstance(error, PeerError), error
    return error


# --- in -------------------------------------------------------------------------------------------


def test_a_bare_object_is_a_message():
    assert read(b'{"code":"who"}') == [Who()]


def test_several_share_a_segment_and_one_is_split_inside_a_character():
    said = '{"code":"outgoing","to":"bob","content":"ü"}'.encode()
    cut = said.index("ü".encode()) + 1
    assert read(b'{"code":"who"}' + said[:cut], said[cut:] + b"\r\n") == [
        Who(),
        Outgoing("bob", "ü"),
    ]


def test_the_code_of_the_prose_is_the_same_request():
    (said,) = read(b'{"code":"text","to":"bob","content":"hi"}')
    assert said == Text("bob", "hi")


def test_unknown_fields_are_ignored():
    assert read(b'{"code":"who","colour":{"a":[1]},"id":"x"}\n') == [Who(id="x")]


def test_fields_may_stand_in_any_order():
    assert read(b'{"content":"x","to":"bob","code":"outgoing"}') == [Outgoing("bob", "x")]


@pytest.mark.parametrize(
    "data",
    [b"hello?\n", b"null\n", b"12\n", b'"text"\n', b"[1,2]\n", b'[{"code":"quit"}]\n',
     b'{"code":who}\n', b'{"code":"who",}\n', b"{'code':'who'}\n", b'{"code":"\xff"}\n',
     b"\xff\xfe\x00\n", b'{"code":"ping","n":NaN}\n', b'{"code":"ping","n":Infinity}\n',
     b'{"code":"ping","n":01}\n', b'{"code"}\n', b"{\x00}\n", b"\x16\x03\x01\x02\x00\x01\n",
     b"GET / HTTP/1.1\n"],
)  # fmt: skip
def test_what_is_no_object_is_201(data: bytes):
    assert wrong(data).code is E.NOT_JSON


def test_no_code_is_a_missing_field():
    error = wrong(b'{"to":"bob"}')
    assert error.code is E.MISSING_FIELD
    assert '"code"' in str(error)


@pytest.mark.parametrize("code", ["", "shout", "Who", "welcome", "incoming", "x" * 1000, "é"])
def test_an_unknown_code_is_202_and_named(code: str):
    error = wrong(json.dumps({"code": code}).encode())
    assert error.code is E.UNKNOWN_CODE
    assert code[:20] in str(error)
    assert len(str(error)) < 200


@pytest.mark.parametrize(
    ("data", "field"),
    [(b'{"code":"outgoing","content":"x"}', "to"), (b'{"code":"outgoing","to":"x"}', "content"),
     (b'{"code":"outgoing_broadcast"}', "content"), (b'{"code":"newname"}', "name"),
     (b'{"code":"register"}', "password"), (b'{"code":"admin"}', "op"),
     (b'{"code":"seen"}', "name")],
)  # fmt: skip
def test_a_missing_field_is_203_and_named(data: bytes, field: str):
    error = wrong(data)
    assert error.code is E.MISSING_FIELD
    assert f'"{field}"' in str(error)


@pytest.mark.parametrize(
    "data",
    [b'{"code":1}', b'{"code":null}', b'{"code":["who"]}',
     b'{"code":"outgoing","to":1,"content":"x"}', b'{"code":"outgoing","to":null,"content":"x"}',
     b'{"code":"outgoing","to":"b","content":["x"]}', b'{"code":"hello","v":"1"}',
     b'{"code":"hello","v":1.5}', b'{"code":"hello","v":true}', b'{"code":"hello","name":{}}',
     b'{"code":"hello","notices":"yes"}', b'{"code":"hello","after":5}',
     b'{"code":"register","password":""}', b'{"code":"admin","op":"explode"}',
     b'{"code":"who","id":5}', b'{"code":"ping","n":[1]}', b'{"code":"who","detail":"x"}',
     b'{"code":"outgoing","to":"b","content":"\\ud800"}', b'{"code":"who","id":"\\udfff"}'],
)  # fmt: skip
def test_a_wrong_type_or_half_a_character_is_204(data: bytes):
    assert wrong(data).code is E.BAD_FIELD


def test_a_key_is_bounded_in_bytes():
    fits, longer = "ü" * (MAX_ID // 2), "ü" * (MAX_ID // 2) + "x"
    assert read(json.dumps({"code": "who", "id": fits}).encode()) == [Who(id=fits)]
    assert wrong(json.dumps({"code": "who", "id": longer}).encode()).code is E.BAD_FIELD


@pytest.mark.parametrize("key", ["a1", "ü", "tab\there", "\u202e", "bell\x07", ""])
def test_an_error_carries_the_key_of_its_request_unchanged(key: str):
    error = wrong(json.dumps({"code": "outgoing", "id": key}).encode())
    assert Error.of(error).re == key


@pytest.mark.parametrize("key", [5, None, "x" * 65, "\ud800", ["a"]])
def test_what_is_no_key_is_not_carried_back(key):
    error = wrong(json.dumps({"code": "outgoing", "id": key}).encode())
    assert Error.of(error).re is None


def test_too_deep_is_an_error_and_not_the_end():
    deep = b'{"code":' + b"[" * 5000 + b"]" * 5000 + b"}\n"
    items = read(deep, b'{"code":"who"}')
    assert items[-1] == Who()
    assert {item.code for item in items[:-1]} == {E.NOT_JSON}


def test_a_line_that_is_too_long_is_205_and_the_next_is_read():
    items = read(b"[" + b'"' + b"x" * 70_000, b"y" * 1_000_000, b'"]\n{"code":"who"}')
    assert [type(i) is PeerError and i.code for i in items] == [E.TOO_LONG, False]


def test_an_unfinished_object_can_be_given_up():
    dialect = JsonDialect()
    assert dialect.receive(b'{"code":"wh') == []
    assert dialect.unfinished
    (error,) = dialect.give_up()
    assert error.code is E.NOT_JSON
    assert dialect.receive(b'{"code":"who"}') == [Who()]


@pytest.mark.parametrize(
    ("pieces", "bare"),
    [((b'{"code":"hello"}',), True), ((b'{"code":"hello"}\n',), False),
     ((b'{"code":"hello"}\r\n',), False), ((b'{"code":"hello"}{"code":"who"}',), True),
     ((b'{"code":"hello"}', b'{"code":"who"}'), True),
     ((b'{"code":"hello"}\n{"code":"who"}',), False)],
)  # fmt: skip
def test_a_peer_without_line_ends_is_known_by_its_hello(pieces, bare: bool):
    dialect = JsonDialect()
    for piece in pieces:
        dialect.receive(piece)
    assert dialect.bare is bare


@given(st.lists(st.binary(max_size=80) | st.sampled_from([b'{"code":', b'"who"', b"}", b"\n"])))
def test_no_bytes_make_it_raise(pieces: list[bytes]):
    dialect = JsonDialect()
    for piece in pieces:
        for item in dialect.receive(piece):
            assert isinstance(item, Message | PeerError)
    dialect.give_up()
    assert dialect.receive(b'\n{"code":"who"}')[-1] == Who()


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
CODES = st.sampled_from(
    ["hello", "who", "outgoing", "text", "outgoing_broadcast", "seen", "newname", "register",
     "admin", "quit", "ping", "pong", "welcome", "received", "read", "set", "group", "history"]
)  # fmt: skip
KEYS = st.sampled_from(["name", "to", "content", "id", "v", "n", "op", "after", "notices", "upto"])


@given(CODES, st.dictionaries(KEYS, VALUES))
def test_any_values_in_any_field_are_a_message_or_an_error(code: str, fields: dict):
    (item,) = read(json.dumps({"code": code, **fields}).encode("utf-8", "surrogatepass"))
    if isinstance(item, PeerError):
        extended(Error.of(item))
        assert 200 < item.code < 300


# --- out ------------------------------------------------------------------------------------------


FRAMES = [
    b'{"code":"ping","n":1}',
    b'{"code":"outgoing","to":"ann","content":"{}[]\\"","id":"1"}',
    b'{"code":"outgoing","to":"ann","content":"\xc3\xa9","id":"%s"}' % (b"\xc3\xa9" * 40),
    b'{"code":"ping",\n "n":2}',
    b'{"code":"nothing"}',
    b"garbage",
    b"",
    b'{"code":"who"}{"code":"quit"}',
]


@given(st.lists(st.sampled_from(FRAMES), max_size=8), st.sampled_from([b"\n", b"\r\n"]))
def test_lines_are_the_same_messages_whether_they_come_together_or_in_pieces(frames, end: bytes):
    data = b"".join(frame + end for frame in frames)
    together = [repr(item) for item in read(data)]
    assert together == [repr(item) for item in read(*(data[n : n + 1] for n in range(len(data))))]


def test_a_peer_of_lines_is_none_without_line_ends_when_one_of_them_is_cut():
    dialect = JsonDialect()
    for piece in (b'{"code":"ping"}\n', b'{"code":', b'"ping"}', b"\n"):
        dialect.receive(piece)
        assert not dialect.bare
    assert not dialect.unfinished


def test_a_frame_is_one_line():
    line = extended(Incoming("ann", "two\nlines\u2028", 7, "now"))
    assert line.endswith(b"}\n")
    assert line.count(b"\n") == 1
    assert json.loads(line)["content"] == "two\nlines\u2028"


S3 = [
    (Welcome(v=1, name="ann", token="t", seq=4, gap=True), {"code": "welcome"}),
    (Users(["ann", "bob"], re="x"), {"code": "users", "users": ["ann", "bob"]}),
    (Users([]), {"code": "users", "users": []}),
    (
        Incoming("ann", "hi", 7, "now", late=True),
        {"code": "incoming", "from": "ann", "content": "hi"},
    ),
    (
        IncomingBroadcast("ann", "hi", 7, "now"),
        {"code": "incoming_broadcast", "from": "ann", "content": "hi"},
    ),
    (
        Error.of(PeerError(E.NO_SUCH_USER, name="zoe", to="zoe")),
        {
            "code": "incoming",
            "from": "server",
            "content": 'User "zoe" is not connected to the server.',
        },
    ),
    (
        Notice("joined", "Bob has joined.", "now", "Bob"),
        {"code": "incoming", "from": "server", "content": "Bob has joined."},
    ),
    (Bye("shutdown", "down"), {"code": "incoming", "from": "server", "content": "down"}),
    (Bye("kicked", "out"), {"code": "incoming", "from": "server", "content": "out"}),
    (Bye("error", "oh"), {"code": "incoming", "from": "server", "content": "oh"}),
]


@pytest.mark.parametrize(("message", "seen"), S3, ids=lambda one: type(one).__name__)
def test_a_plain_session_sees_exactly_the_fields_of_s3(message: Message, seen: dict):
    line = plain(message)
    assert line.endswith(b"}\n")
    assert json.loads(line) == seen


@pytest.mark.parametrize(
    "message",
    [Ack("a", 1, "now", "stored"), Ok("a"), Ping(), Pong(), Bye("quit", "x"), Bye("replaced", "x"),
     Bye("idle", "x")],
)  # fmt: skip
def test_a_plain_session_sees_nothing_of_the_rest(message: Message):
    assert plain(message) == b""


def test_before_hello_an_error_is_an_error():
    dialect = JsonDialect()
    error = json.loads(dialect.encode(Error.of(PeerError(E.HELLO_FIRST))))
    assert (error["code"], error["error"], error["name"]) == ("error", 111, "hello_first")
    assert "fatal" not in error
    dialect.opened(is_plain=True)
    assert dialect.encode is plain
    dialect.opened(is_plain=False)
    assert dialect.encode is extended


@given(st.text(), st.text())
def test_any_text_survives_the_way_out_and_in(name: str, content: str):
    try:
        line = extended(Incoming(name, content))
    except UnicodeEncodeError:
        return  # a lone surrogate never gets in
    assert json.loads(line) == {"code": "incoming", "from": name, "content": content}


def test_hello_brings_all_its_fields():
    (said,) = read(
        b'{"code":"hello","name":"ann","v":1,"password":"p","token":"t","client":"c",'
        b'"after":{"epoch":"e7","seq":41},"notices":true}'
    )
    assert isinstance(said, Hello)
    assert (said.after.epoch, said.after.seq) == ("e7", 41)
