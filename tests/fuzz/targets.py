"""What is fuzzed: bytes in, and what has to hold then; a broken promise is an exception.

The decoders get their bytes in two different cuts, which may make no difference. The hub and the
daemon get a *play*: steps divided by a byte that no UTF-8 has, each a letter and what belongs to
it.

    0 1 2 3 BYTES   one of four peers sends these bytes
    a b c d         its connection ends, and it comes back with a fresh one
    t T             half a second passes, 40 seconds pass
    s p w           the store answers, the passwords are compared, plain peers take what is queued

Beside the four a pair that behaves itself is in the chat. Whatever the others do, at the end a
message of the one reaches the other exactly once.
"""

import json
import os
import socket
import tempfile
from collections.abc import Callable
from contextlib import closing
from itertools import chain, count
from pathlib import Path

from bench import Bench
from test_peers import House

from chatd.core.effects import Account
from chatd.dialects.http import MAX_HEAD, HttpDialect, Request, encode, speaks_http
from chatd.dialects.json import JsonDialect, extended, plain
from chatd.wire.errors import ErrorCode, PeerError
from chatd.wire.framing import Framer
from chatd.wire.messages import Bye, Error, Hello, Message, Outgoing, Ping, Pong, Received

BREAK = b"\xff"  # between two steps
STEPS = 60  # of one play: more of them find nothing that fewer do not
FEW = 2048  # bytes of one object in a fuzzed framer, so that its bound is met
OTHERS = 4


def pieces(data: bytes) -> list[bytes]:
    """The same bytes in pieces of changing size."""
    cuts, at = [], 0
    while at < len(data):
        size = 1 + data[at] % 31
        cuts.append(data[at : at + size])
        at += size
    return cuts


# --- the decoders ---------------------------------------------------------------------------------


def framing(data: bytes) -> None:
    """Any cut gives the same objects, and the room it takes is bounded."""
    whole, cut = Framer(FEW), Framer(FEW)
    found = [_shown(one) for one in whole.feed(data)]
    found_cut = []
    for piece in pieces(data):
        found_cut += [_shown(one) for one in cut.feed(piece)]
        assert len(cut._data) <= FEW + len(piece) + 1
    assert found == found_cut
    assert whole.unfinished == cut.unfinished
    whole.give_up()
    assert not whole.unfinished
    assert whole.feed(b'\n{"code":"who"}\n')[-1:] == [b'{"code":"who"}']


def _shown(one: bytes | PeerError) -> object:
    return one if isinstance(one, bytes) else (one.code, str(one))


def dialect(data: bytes) -> None:
    """Each item is a message or an error that can be told, in either kind of session."""
    items = JsonDialect(FEW).receive(data)
    cut = JsonDialect(FEW)
    assert len(items) == sum(len(cut.receive(piece)) for piece in pieces(data))
    for item in items:
        told = Error.of(item) if isinstance(item, PeerError) else item
        for encoded in (extended(told), plain(told)):
            assert encoded[:-1].isascii() or encoded.decode()
            assert encoded.count(b"\n") == bool(encoded)
            assert not encoded or isinstance(json.loads(encoded), dict)


def http(data: bytes) -> None:
    """At most one request, from any cut the same; nothing is kept beyond its bound."""
    asked: list[list[Request]] = [[], []]
    for found, parts in zip(asked, ([data], pieces(data)), strict=True):
        one = HttpDialect(found.append)
        for part in parts:
            assert one.receive(part) == []
            assert len(one._head) < MAX_HEAD
        one.give_up()
        assert len(found) == 1
        assert not one.unfinished
    assert asked[0] == asked[1]
    speaks_http(data)
    encode(Error.of(PeerError(ErrorCode.HELLO_TIMEOUT, seconds=30.0)))


# --- the hub --------------------------------------------------------------------------------------

KNOWN = [Account(1, "ann", "ann", "ann", "a"), Account(2, "bob", "bob", "bob", "b")]


class Play:
    """A hub with dialects before it, four peers of whom nothing is known, and a pair."""

    def __init__(self) -> None:
        tokens = chain(("of ann", "of bob"), count(1))  # nobody guesses those of the pair
        self.bench = Bench(KNOWN, answers=False, checks=False, drains=False, tokens=tokens)
        self.got: dict[int, list[Message]] = {}
        self.pair = [self._come(name, name[0]) for name in ("ann", "bob")]
        self.others = [self._connect() for _ in range(OTHERS)]

    def _connect(self) -> tuple[int, JsonDialect]:
        return self.bench.connect(), JsonDialect()

    def _come(self, name: str, password: str) -> int:
        conn, _ = self._connect()
        self.got[conn] = []
        self.bench.say(conn, Hello(name=name, v=1, password=password))
        self.settle()
        return conn

    def step(self, step: bytes) -> None:
        """One step of the play."""
        letter, rest = step[:1], step[1:]
        if letter in b"0123" and letter:
            self._sends(int(letter), rest)
        elif letter in b"abcd" and letter:
            self._ends(b"abcd".index(letter))
        else:
            ACTS.get(letter, lambda _: None)(self)
        self._look()

    def passes(self) -> None:
        """Many seconds; no store takes longer than a reader that confirms nothing may."""
        self.bench.commit()
        self._look()
        self.bench.wait(40.0)

    def _sends(self, which: int, data: bytes) -> None:
        conn, spoken = self.others[which]
        if conn in self.bench.closed:
            self.others[which] = self._connect()
            return
        items = spoken.receive(data)
        self.bench.run(self.bench.hub.received(conn, items, self.bench.now))
        self.bench.run(self.bench.hub.charge(conn, len(items), len(data), self.bench.now))

    def _ends(self, which: int) -> None:
        conn, _ = self.others[which]
        self.bench.run(self.bench.hub.lost(conn, "eof", self.bench.now))
        self.others[which] = self._connect()

    def _look(self) -> None:
        """What everybody was sent can be encoded; the pair confirms, and answers pings."""
        for conn in list(self.bench.inboxes):
            for message in self.bench.got(conn):
                assert extended(message).count(b"\n") == 1
                plain(message)
                if conn in self.got:
                    self._take(conn, message)

    def _take(self, conn: int, message: Message) -> None:
        self.got[conn].append(message)
        assert not isinstance(message, Bye), message
        answer: list[Message] = [Pong(message.n)] if isinstance(message, Ping) else []
        seq = getattr(message, "seq", None)
        answer += [Received(seq)] if seq and type(message).__name__ != "Welcome" else []
        if answer:
            self.bench.run(self.bench.hub.received(conn, answer, self.bench.now))

    def settle(self) -> None:
        """Everything that can be answered is."""
        for _ in range(200):
            self.bench.check()
            self.bench.commit()
            self.bench.drain()
            if not any(self.bench.inboxes.values()):
                return
            self._look()
        raise AssertionError("it never comes to rest")

    def end(self) -> None:
        """The pair talks: stored once, delivered once, in whatever state the others left it."""
        self.settle()
        ann, bob = self.pair
        said = Outgoing("bob", "the message of the pair", id="of the pair")
        for _ in range(2):
            self.bench.run(self.bench.hub.received(ann, [said], self.bench.now))
            self.settle()
        acks = [m for m in self.got[ann] if getattr(m, "re", None) == said.id]
        assert [m.dup for m in acks] == [False, True], acks
        assert [getattr(m, "content", "") for m in self.got[bob]].count(said.content) == 1


ACTS: dict[bytes, Callable[[Play], None]] = {
    b"t": lambda play: play.bench.wait(0.5),
    b"T": Play.passes,
    b"s": lambda play: play.bench.commit(),
    b"p": lambda play: play.bench.check(),
    b"w": lambda play: play.bench.drain(),
}


def hub(data: bytes) -> None:
    """Bytes of four peers in any order; the pair does not notice."""
    play = Play()
    for step in data.split(BREAK)[:STEPS]:
        play.step(step)
    play.end()


# --- the daemon -----------------------------------------------------------------------------------


class Stage:
    """The daemon as it is, on sockets, with a clock that is a number."""

    def __init__(self, folder: Path) -> None:
        self.house = House(folder)
        self.pair = [self._come(name) for name in ("ann", "bob")]
        self.others = [self._connect() for _ in range(OTHERS)]

    def _connect(self) -> socket.socket:
        return self.house.connect(socket.SOCK_STREAM).sock

    def _come(self, name: str) -> "Voice":
        voice = Voice(self._connect())
        voice.say({"code": "hello", "name": name, "v": 1})
        self.turn([voice])
        return voice

    def turn(self, voices: "list[Voice]") -> None:
        """One turn of the daemon, and what these make of it."""
        self.house.turn()
        for voice in voices:
            voice.look()

    def step(self, step: bytes) -> None:
        """One step of the play; the store and the pool of a daemon answer by themselves."""
        letter, rest = step[:1], step[1:]
        if letter in b"0123" and letter:
            self._sends(int(letter), rest)
        elif letter in b"abcd" and letter:
            self.others[b"abcd".index(letter)].close()
            self.others[b"abcd".index(letter)] = self._connect()
        elif letter in PASSED:
            self.house.clock.now += PASSED[letter]
        self.turn(self.pair)
        self.turn(self.pair)

    def _sends(self, which: int, data: bytes) -> None:
        try:
            self.others[which].send(data)
        except BlockingIOError:
            pass
        except OSError:  # the daemon has had enough of it
            self.others[which].close()
            self.others[which] = self._connect()

    def end(self) -> None:
        ann, bob = self.pair
        text = "the message of the pair"
        for _ in range(2):
            ann.say({"code": "outgoing", "to": "bob", "content": text, "id": "of the pair"})
            for _ in range(4):
                self.turn(self.pair)
        acks = [one for one in ann.got if one.get("re") == "of the pair"]
        assert [one.get("dup", False) for one in acks] == [False, True], acks
        assert [one.get("content") for one in bob.got].count(text) == 1
        self.house.log.flush()
        assert "event=error" not in self.house.log.path.read_text("utf-8")

    def close(self) -> None:
        self.house.close()
        for sock in self.others:
            sock.close()


class Voice:
    """One of the pair: reads what comes, confirms it, and answers pings."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.got: list[dict] = []
        self._data = b""

    def say(self, frame: dict) -> None:
        self.sock.send(json.dumps(frame).encode() + b"\n")

    def look(self) -> None:
        try:
            self._data += self.sock.recv(1 << 20)
        except BlockingIOError:
            return
        *lines, self._data = self._data.split(b"\n")
        frames = [json.loads(line) for line in lines]
        self.got += frames
        seen = [f["seq"] for f in frames if "seq" in f and f["code"] != "welcome"]
        if seen:
            self.say({"code": "received", "upto": max(seen)})
        for frame in frames:
            assert frame["code"] != "bye", frame
            if frame["code"] == "ping":
                self.say({"code": "pong"})


PASSED = {b"t": 0.5, b"T": 20.0}  # seconds; the pair is asked every 30, and answers in a turn


def daemon(data: bytes) -> None:
    """Bytes of four sockets in any order; the pair does not notice, nor does the log."""
    with (
        tempfile.TemporaryDirectory(dir=SHORT_LIVED) as folder,
        closing(Stage(Path(folder))) as one,
    ):
        for step in data.split(BREAK)[:STEPS]:
            one.step(step)
        one.end()


SHORT_LIVED = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
TARGETS: dict[str, Callable[[bytes], None]] = {
    "framing": framing,
    "dialect": dialect,
    "http": http,
    "hub": hub,
    "daemon": daemon,
}
CORPUS = Path(__file__).parent / "corpus"
