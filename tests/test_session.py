"""What a peer may say when."""

import pytest
from msgspec.structs import fields

from chatd.core.commands import COMMANDS
from chatd.core.session import NEXT, Session, State
from chatd.wire.errors import ErrorCode, PeerError
from chatd.wire.messages import FromClient, Hello, Message, Ping, Quit, Who

FIELDS = {"name": "ann", "to": "bob", "content": "hi", "password": "x", "op": "stats", "group": "g",
          "upto": 1, "receipts": True}  # fmt: skip


def example(kind: type[Message]) -> Message:
    """One message of this kind with its required fields."""
    return kind(**{f.name: FIELDS[f.name] for f in fields(kind) if f.required})


def session(state: State) -> Session:
    return Session(1, "10.0.0.1", "10.0.0.1:1", 0, 0.0, state)


@pytest.mark.parametrize("kind", [k for k in FromClient.__args__ if k not in (Hello, Quit)])
def test_before_hello_everything_else_is_refused(kind):
    one = session(State.GREETING)
    with pytest.raises(PeerError) as refused:
        one.admit(example(kind))
    assert refused.value.code is ErrorCode.HELLO_FIRST
    assert one.state is State.GREETING


def test_hello_is_said_once():
    one = session(State.GREETING)
    one.admit(Hello())
    assert one.state is State.CHECKING
    one.state = State.READY
    with pytest.raises(PeerError) as refused:
        one.admit(Hello())
    assert refused.value.code is ErrorCode.HELLO_TWICE
    assert one.state is State.READY


@pytest.mark.parametrize("state", [State.GREETING, State.READY])
def test_quit_ends_it_in_every_state(state: State):
    one = session(state)
    one.admit(Quit())
    assert one.state is State.LEAVING


def test_a_ready_session_may_say_what_it_likes():
    one = session(State.READY)
    for message in (Who(), Ping(), Who()):
        one.admit(message)
    assert one.state is State.READY


def test_every_message_of_a_client_has_a_command():
    assert set(COMMANDS) == set(FromClient.__args__)
    assert {kind for _, kind in NEXT} <= set(COMMANDS)


def test_a_session_has_no_name_before_it_is_open():
    assert session(State.GREETING).name == ""
