"""What fuzzing has kept is replayed: each input that reached new code, and each that broke some."""

import pytest
from fuzz.targets import CORPUS, STEPS, TARGETS

from chatd.core import commands
from chatd.wire.messages import Outgoing, Who


@pytest.mark.parametrize("name", TARGETS)
def test_what_was_found_once_breaks_no_promise(name: str):
    inputs = sorted((CORPUS / name).iterdir())
    assert len(inputs) >= 4
    for one in inputs:
        try:
            TARGETS[name](one.read_bytes())
        except Exception as error:
            error.add_note(f"with {one}")
            raise


def test_a_play_that_takes_the_pair_apart_is_noticed(monkeypatch):
    """A hub that loses a message, or has an error of its own, does not pass."""
    monkeypatch.setitem(commands.COMMANDS, Outgoing, lambda *_: [])
    for name in ("hub", "daemon"):
        with pytest.raises(AssertionError):
            TARGETS[name](b"")
    monkeypatch.undo()
    monkeypatch.setitem(commands.COMMANDS, Who, lambda *_: 1 / 0)
    play = b'0{"code":"hello","name":"eve","v":1}\xff0{"code":"who"}\n\xffs' + b"\xff" * STEPS
    with pytest.raises(ZeroDivisionError):
        TARGETS["hub"](play)
    with pytest.raises(AssertionError):
        TARGETS["daemon"](play)
