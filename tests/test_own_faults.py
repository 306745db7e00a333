"""An error of ours, planted in each place where peers are served: who it served is told, and no one
else is.

The daemon's own loop, hub and store, with a clock that is a number.
"""

import json
import re
import socket
from contextlib import closing

import pytest
from fuzz.targets import Stage

from chatd.core import alarms, commands, flow
from chatd.core.hub import Hub
from chatd.dialects.json import JsonDialect
from chatd.pages import Pages
from chatd.wire.messages import Hello, Message

SECRET = "an inner detail"
REQUESTS: dict[str, dict] = {
    "outgoing": {"to": "ann", "content": "x"},
    "text": {"to": "ann", "content": "x"},
    "outgoing_broadcast": {"content": "x"},
    "outgoing_group": {"group": "g", "content": "x"},
    "received": {"upto": 0},
    "read": {"upto": 0, "with": "ann"},
    "set": {"receipts": True},
    "group": {"op": "list"},
    "history": {"all": True},
    "seen": {"name": "ann"},
    "newname": {"name": "Eve"},
    "register": {"password": "pw"},
    "admin": {"op": "stats"},
}


def broken(*_):
    raise RuntimeError(SECRET)


@pytest.fixture
def stage(tmp_path):
    with closing(Stage(tmp_path)) as one:
        yield one


class Eve:
    """A peer that is served where it breaks."""

    def __init__(self, stage: Stage):
        self.stage, self.sock = stage, stage.others[0]

    def send(self, code: str, **fields) -> list[dict]:
        """A request, and what this peer has been sent when its turn is over."""
        self.sock.send(json.dumps({"code": code, **fields}).encode() + b"\n")
        return self.got()

    def got(self) -> list[dict]:
        self.stage.turn(self.stage.pair)
        self.stage.turn(self.stage.pair)
        try:
            data = self.sock.recv(1 << 20)
        except BlockingIOError:
            return []
        return [json.loads(line) for line in data.splitlines()]


def noted(stage: Stage) -> list[str]:
    """The references of the log; each has its traceback."""
    stage.house.log.flush()
    text = stage.house.log.path.read_text("utf-8")
    found = re.findall(r"event=error reference=(\w+)", text)
    assert text.count(f"RuntimeError: {SECRET}") == len(found)
    return found


def the_pair_talks(stage: Stage):
    """Each of them hears the other once, and was told of nothing."""
    ann, bob = stage.pair
    for voice, other in ((ann, "bob"), (bob, "ann")):
        voice.say({"code": "outgoing", "to": other, "content": f"to {other}", "id": "1"})
    for _ in range(4):
        stage.turn(stage.pair)
    assert [f["content"] for f in bob.got if "content" in f].count("to bob") == 1
    assert [f["content"] for f in ann.got if "content" in f].count("to ann") == 1
    assert not [f for f in ann.got + bob.got if f["code"] in ("error", "bye")]


def is_told(stage: Stage, frames: list[dict]):
    """The peer has a reference to what stands in the log, and knows no more."""
    (reference,) = noted(stage)
    (error,) = [f for f in frames if f["code"] == "error"]
    assert (error["error"], error["fatal"]) == (503, True)
    assert reference in error["text"]
    assert SECRET not in json.dumps(frames)


@pytest.mark.parametrize("kind", commands.COMMANDS)
def test_an_error_in_a_handler_is_its_peers_alone(stage, monkeypatch, kind: type[Message]):
    eve = Eve(stage)
    code = str(kind.__struct_config__.tag)
    if kind is not Hello:
        eve.send("hello", name="eve", v=1)
    monkeypatch.setitem(commands.COMMANDS, kind, broken)
    frames = eve.send(code, **REQUESTS.get(code, {}))
    monkeypatch.undo()
    is_told(stage, frames)
    the_pair_talks(stage)


@pytest.mark.parametrize("kind", alarms.ALARMS)
def test_an_error_when_a_time_is_over_ends_nothing(stage, monkeypatch, kind: str):
    eve = Eve(stage)
    eve.send("hello", name="eve", v=1)
    conn = max(stage.house.daemon._hub.online.values(), key=lambda one: one.conn).conn
    monkeypatch.setitem(alarms.ALARMS, kind, broken)
    hub, daemon = stage.house.daemon._hub, stage.house.daemon
    daemon._run(hub.alarm(kind, conn, daemon._now()))
    monkeypatch.undo()
    frames = eve.got()
    if kind in alarms.OF_NO_CONNECTION:
        assert len(noted(stage)) == 1
        assert frames == []
    else:
        is_told(stage, frames)
    the_pair_talks(stage)


def test_an_error_when_the_store_has_answered_is_the_askers_alone(stage, monkeypatch):
    eve = Eve(stage)
    eve.send("hello", name="eve", v=1)
    monkeypatch.setattr("chatd.core.delivery.deliver", broken)
    frames = eve.send("outgoing", to="ann", content="x", id="1")
    monkeypatch.undo()
    is_told(stage, frames)
    the_pair_talks(stage)


def test_an_error_when_a_password_is_hashed_is_the_askers_alone(stage, monkeypatch):
    eve = Eve(stage)
    eve.send("hello", name="eve", v=1)
    monkeypatch.setattr("chatd.core.commands._protect", broken)
    frames = eve.send("register", password="pw")
    while not frames:
        stage.house.loop.turn()  # the pool wakes it
        frames = eve.got()
    monkeypatch.undo()
    is_told(stage, frames)
    the_pair_talks(stage)


@pytest.mark.parametrize(
    ("owner", "method"),
    [
        (JsonDialect, "receive"),
        (Hub, "received"),
        (Hub, "charge"),
        (Hub, "lost"),
        (flow, "taken"),
        (Hub, "connected"),
        (Pages, "answer"),
    ],
)
def test_an_error_before_the_hub_has_begun_is_noted_and_ends_nothing(
    stage, monkeypatch, owner: object, method: str
):
    plain, asking = (Eve(stage) for _ in range(2))
    plain.sock, asking.sock = stage.others[1], stage.others[2]
    plain.send("hello", name="plain")
    eve = Eve(stage)
    whole = getattr(owner, method)

    def breaking(self, *args):
        return broken() if stage.angry else whole(self, *args)

    monkeypatch.setattr(owner, method, breaking)
    stage.angry = True
    if method == "connected":
        stage.house.connect(socket.SOCK_STREAM)
    elif method == "lost":
        eve.sock.close()
        stage.house.turn()
    elif method == "taken":
        stage.pair[0].say({"code": "outgoing", "to": "plain", "content": "x"})
        for _ in range(3):
            stage.house.clock.now += 1  # a peer that looks for no line ends is left alone at first
            stage.turn(stage.pair)
    elif method == "answer":
        asking.sock.send(b"GET /healthz HTTP/1.0\r\n\r\n")
        stage.house.turn()
    else:
        eve.sock.send(b'{"code":"hello","name":"eve","v":1}\n')
        stage.house.turn()
    stage.angry = False
    assert len(noted(stage)) >= 1
    the_pair_talks(stage)


def test_who_asks_behind_a_broken_answer_is_answered(stage, monkeypatch):
    """What waits for the same commit is handled, whatever became of the one before."""
    eve = Eve(stage)
    eve.send("hello", name="eve", v=1)
    monkeypatch.setattr("chatd.core.delivery.deliver", broken)
    ann = stage.pair[0]
    ann.say({"code": "ping", "n": "behind"})
    eve.send("outgoing", to="ann", content="x", id="1")
    monkeypatch.undo()
    stage.turn(stage.pair)
    assert [f for f in ann.got if f["code"] == "pong"] == [{"code": "pong", "n": "behind"}]
    the_pair_talks(stage)
