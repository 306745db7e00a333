"""The table of messages and the table of errors."""

import json

import msgspec
import pytest

from chatd.wire.errors import FAULTS, ErrorCode, PeerError
from chatd.wire.messages import (
    Error,
    FromClient,
    FromServer,
    Hello,
    Incoming,
    Message,
    Outgoing,
    OutgoingBroadcast,
    Quit,
    Users,
    Welcome,
    Who,
    by_code,
    encode,
)

DETAILS = {
    "name": "ann",
    "why": "because",
    "after": 3,
    "version": 1,
    "seconds": 30.0,
    "code": "x",
    "field": "f",
    "limit": 4,
    "reference": "r",
    "group": "g",
}


@pytest.mark.parametrize(
    ("message", "frame"),
    [
        (Hello(name="ann"), {"code": "hello", "name": "ann"}),
        (Welcome(), {"code": "welcome"}),
        (Who(), {"code": "who"}),
        (Users(["ann"]), {"code": "users", "users": ["ann"]}),
        (Outgoing("ann", "hi"), {"code": "outgoing", "to": "ann", "content": "hi"}),
        (Incoming("ann", "hi"), {"code": "incoming", "from": "ann", "content": "hi"}),
        (OutgoingBroadcast("hi"), {"code": "outgoing_broadcast", "content": "hi"}),
        (Quit(), {"code": "quit"}),
    ],
    ids=lambda one: type(one).__name__,
)
def test_the_frames_of_s3_are_written_as_s3_writes_them(message: Message, frame: dict):
    assert json.loads(encode(message)) == frame


def test_every_code_stands_for_one_message():
    for union in (FromClient, FromServer):
        assert len(by_code(union)) == len(union.__args__)


@pytest.mark.parametrize("kind", list(dict.fromkeys(FromClient.__args__ + FromServer.__args__)))
def test_a_field_of_the_extension_is_optional_where_s3_knows_the_message(kind):
    s3 = {"hello": {"name"}, "welcome": set(), "who": set(), "users": {"users"},
          "outgoing": {"to", "content"}, "text": {"to", "content"},
          "incoming": {"from", "content"}, "outgoing_broadcast": {"content"},
          "incoming_broadcast": {"from", "content"}, "quit": set()}  # fmt: skip
    code = kind.__struct_config__.tag
    if code in s3:
        required = {f.encode_name for f in msgspec.structs.fields(kind) if f.required}
        assert required <= s3[code]
    assert kind.__doc__, "every message says what it is for"


def test_every_error_has_a_row_and_every_row_an_error():
    assert set(FAULTS) == set(ErrorCode)


@pytest.mark.parametrize("code", list(ErrorCode))
def test_every_error_can_be_told(code: ErrorCode):
    details = {k: v for k, v in DETAILS.items() if "{" + k in FAULTS[code].text}
    error = Error.of(PeerError(code, **details), re="r1")
    frame = json.loads(encode(error))
    assert frame["error"] == code
    assert frame["name"] == code.name.lower()
    assert frame["re"] == "r1"
    assert "{" not in frame["text"].replace('{"code"', "")
    assert frame["text"][-1] in ".}"


def test_the_numbers_that_others_rely_on():
    assert ErrorCode.ALREADY_LOGGED_IN == 103
    assert FAULTS[ErrorCode.ALREADY_LOGGED_IN].text == "{name} already has an open session."
    assert FAULTS[ErrorCode.NO_SUCH_USER].text == 'User "{name}" is not connected to the server.'
    assert FAULTS[ErrorCode.SELF_MESSAGE].text == "You cannot send a message to yourself."


def test_what_is_told_beside_the_text_are_fields_of_their_own():
    error = Error.of(PeerError(ErrorCode.MESSAGE_TOO_LONG, limit=5), "r")
    assert error.limit == 5
    error = Error.of(PeerError(ErrorCode.NO_SUCH_USER, name="x", to="x"))
    assert (error.to, error.re) == ("x", None)


def test_a_name_with_braces_is_text():
    assert "{0}" in str(PeerError(ErrorCode.NO_SUCH_USER, name="{0} {why}", to="x"))
