"""What a peer that knows only S3 and ends its objects with nothing gets to see (rule 3).

The daemon's own loop, hub, dialect and store, with a clock that is a number; the sockets are
SEQPACKET pairs, which keep one send apart from the next as a network cannot be made to.
"""

import gc
import json
import socket
from itertools import pairwise

import pytest

from chatd.config import Config
from chatd.core.limits import Limits
from chatd.daemon import SOON, Daemon
from chatd.log import ServerLog
from chatd.net.connection import AT_ONCE, MOST
from chatd.net.loop import Loop
from chatd.peers import HOLD, OUTBOX
from chatd.store.memory import MemoryStore
from chatd.wire.framing import Framer

APART = Limits().apart


class Clock:
    """Stands still, but for what it is moved."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class House:
    """A daemon in this process, turned by hand."""

    def __init__(self, path):
        self.clock = Clock()
        self.log = ServerLog(path / "server.log")
        self.daemon = Daemon(Config(), MemoryStore(), self.log)
        self.loop: Loop = self.daemon.loop
        self.loop.clock = self.clock
        self.peers: list[Bare] = []

    def connect(self, kind=socket.SOCK_SEQPACKET) -> "Bare":
        ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
        theirs.setblocking(False)
        self.loop._admit(ours, ("127.0.0.1", 4000 + len(self.peers)))
        connection = max(self.loop.connections.values(), key=lambda one: one.id, default=None)
        if connection:  # unless it found no place
            connection.portion = MOST  # of a packet what is not read is lost
        peer = Bare(self, theirs)
        self.peers.append(peer)
        return peer

    def turn(self):
        """What is there now, without waiting."""
        self.loop.wake()
        self.loop.turn()

    def wait(self, seconds: float):
        """Time passes in steps of a millisecond."""
        for _ in range(round(seconds * 1000)):
            self.clock.now += 0.001
            self.turn()
            for peer in self.peers:
                peer.look()

    def close(self):
        for peer in self.peers:
            peer.sock.close()
        self.loop.close()
        self.daemon._pool.close()
        self.daemon._printer.close(10)
        self.log.close()


class Bare:
    """Sends `json.dumps` as it is; one `recv` is one object, or it breaks."""

    def __init__(self, house: House, sock: socket.socket):
        self.house, self.sock = house, sock
        self.got: list[tuple[float, dict]] = []

    def send(self, code: str, **fields):
        self.sock.send(json.dumps({"code": code, **fields}).encode())
        self.house.turn()
        self.look()

    def raw(self, data: bytes):
        self.sock.send(data)
        self.house.turn()
        self.look()

    def look(self):
        while True:
            try:
                data = self.sock.recv(65_536)
            except BlockingIOError:
                return
            if not data:
                self.got.append((self.house.clock.now, {}))
                return
            self.got.append((self.house.clock.now, json.loads(data)))

    def frames(self) -> list[dict]:
        taken, self.got = [frame for _, frame in self.got], []
        return taken

    def moments(self) -> list[float]:
        return [moment for moment, _ in self.got]


@pytest.fixture
def house(tmp_path):
    one = House(tmp_path)
    yield one
    one.close()


def join(house: House, *names: str) -> list[Bare]:
    """They are in, and have asked once who is there."""
    peers = []
    for name in names:
        peer = house.connect()
        peer.send("hello", name=name)
        house.wait(APART)
        peer.send("who")
        house.wait(APART)
        assert [frame["code"] for frame in peer.frames()] == ["welcome", "users"]
        peers.append(peer)
    return peers


def test_welcome_comes_alone_and_at_once(house):
    bob = house.connect()
    bob.send("hello", name="bob")
    assert bob.frames() == [{"code": "welcome"}]


def test_nothing_comes_before_hello_is_answered(house):
    (ann,) = join(house, "ann")
    bob = house.connect()
    ann.send("outgoing_broadcast", content="hi")
    house.wait(2)
    assert bob.frames() == []


def test_nothing_unasked_comes_between_welcome_and_the_first_users(house):
    (ann,) = join(house, "ann")
    bob = house.connect()
    bob.send("hello", name="bob")
    for n in range(3):
        ann.send("outgoing", to="bob", content=str(n))
    house.wait(0.5)
    assert bob.frames() == [{"code": "welcome"}]
    bob.send("who")
    house.wait(0.5)
    users, *rest = bob.frames()
    assert users == {"code": "users", "users": ["ann", "bob"]}
    assert rest == [{"code": "incoming", "from": "ann", "content": str(n)} for n in range(3)]


def test_who_in_the_segment_of_hello_is_answered_in_a_send_of_its_own(house):
    bob = house.connect()
    bob.raw(b'{"code": "hello", "name": "bob"}{"code": "who"}')
    house.wait(2 * APART)
    assert bob.frames() == [{"code": "welcome"}, {"code": "users", "users": ["bob"]}]


def test_a_peer_that_never_asks_is_left_alone_for_a_moment_only(house):
    (ann,) = join(house, "ann")
    bob = house.connect()
    bob.send("hello", name="bob")
    ann.send("outgoing", to="bob", content="hi")
    house.wait(HOLD - 0.1)
    assert bob.frames() == [{"code": "welcome"}]
    house.wait(0.2)
    assert [frame["content"] for frame in bob.frames()] == ["hi"]


def test_objects_come_one_per_send_and_twenty_milliseconds_apart(house):
    ann, bob = join(house, "ann", "bob")
    for n in range(20):
        ann.send("outgoing", to="bob", content=str(n))
    house.wait(1)
    moments = bob.moments()
    assert len(moments) == 20
    gaps = [b - a for a, b in pairwise(moments)]
    assert min(gaps) >= APART - 1e-6
    assert [frame["content"] for frame in bob.frames()] == [str(n) for n in range(20)]


def test_answers_keep_their_distance_from_what_comes_unasked(house):
    ann, bob = join(house, "ann", "bob")
    ann.send("outgoing", to="bob", content="hi")
    bob.send("who")
    bob.send("outgoing", to="zoe", content="x")
    house.wait(1)
    moments = bob.moments()
    assert min(b - a for a, b in pairwise(moments)) >= APART - 1e-6
    assert [frame["code"] for frame in bob.frames()] == ["incoming", "users", "incoming"]


def test_three_of_them_chatting_at_once_survive_two_hundred_messages(house):
    trio = join(house, "ann", "bob", "eve")
    for n in range(200):
        trio[n % 3].send("outgoing_broadcast", content=str(n))
        if n % 3 == 0:
            trio[1].send("outgoing", to="ann", content=f"to ann {n}")
    house.wait(10)
    heard = [[frame["content"] for frame in peer.frames()] for peer in trio]
    for number, contents in enumerate(heard):
        broadcasts = [int(c) for c in contents if not c.startswith("to ann")]
        assert broadcasts == [n for n in range(200) if n % 3 != number]
    assert sum(c.startswith("to ann") for c in heard[0]) == 67


def test_the_last_word_of_a_shutdown_comes_in_a_send_of_its_own(house):
    ann, bob = join(house, "ann", "bob")
    ann.send("outgoing", to="bob", content="hi")
    house.daemon._signals.append(15)
    house.wait(0.2)
    incoming, last, end = bob.frames()[:3]
    assert incoming["content"] == "hi"
    assert last == {
        "code": "incoming",
        "from": "server",
        "content": "The server is shutting down; you have been logged off.",
    }
    assert end == {}


def test_quit_closes_at_once(house):
    (ann,) = join(house, "ann")
    ann.send("quit")
    house.turn()
    ann.look()
    assert ann.frames()[:1] == [{}]


def test_an_error_before_welcome_is_an_error_and_afterwards_the_server_says_it(house):
    ann = house.connect()
    ann.send("who")
    (error,) = ann.frames()
    assert (error["code"], error["error"]) == ("error", 111)
    house.wait(1)
    (bob,) = join(house, "bob")
    bob.send("outgoing", to="zoe", content="x")
    house.wait(0.1)
    text = 'User "zoe" is not connected to the server.'
    assert bob.frames() == [{"code": "incoming", "from": "server", "content": text}]


def test_a_peer_with_line_ends_gets_everything_as_fast_as_it_goes(house):
    (ann,) = join(house, "ann")
    bob = house.connect()
    bob.raw(b'{"code":"hello","name":"bob"}\n')
    assert bob.frames() == [{"code": "welcome"}]
    ann.send("outgoing", to="bob", content="hi")
    house.turn()
    bob.look()
    assert [frame["content"] for frame in bob.frames()] == ["hi"]


# --- time and bounds ------------------------------------------------------------------------------


def later(house: House, seconds: float, step=0.5):
    for _ in range(round(seconds / step)):
        house.clock.now += step
        house.turn()
        for peer in house.peers:
            peer.look()


def test_half_an_object_is_waited_for_and_then_given_up(house):
    (ann,) = join(house, "ann")
    ann.raw(b'{"code": "outgo')
    later(house, Limits().unfinished - 1)
    assert ann.frames() == []
    later(house, 3)
    (told,) = ann.frames()
    assert told["from"] == "server"
    assert "never finished" in told["content"]
    ann.send("who")
    later(house, 1)
    assert [frame["code"] for frame in ann.frames()] == ["users"]


def test_one_byte_a_second_is_slow_but_heard(house):
    ann, bob = join(house, "ann", "bob")
    for byte in b'{"code": "outgoing", "to": "bob", "content": "slow and steady"}':
        ann.raw(bytes([byte]))
        later(house, 1)
    assert [frame["content"] for frame in bob.frames()] == ["slow and steady"]
    assert ann.frames() == []


def test_a_hello_of_one_byte_a_second_is_heard_too(house):
    ann = house.connect()
    for byte in b'{"code": "hello", "name": "somebody with a slow line"}':
        ann.raw(bytes([byte]))
        later(house, 1)
    assert ann.frames() == [{"code": "welcome"}]


def test_one_that_says_nothing_at_all_is_told_so_and_closed(house):
    mute = house.connect()
    later(house, 29)
    assert mute.frames() == []
    later(house, 2)
    error, *_ = mute.frames()
    assert error["error"] == 112
    assert len(house.loop.connections) <= 1


def test_a_frozen_peer_costs_bounded_memory_and_nobody_elses_time(house):
    ann, eve = join(house, "ann", "eve")
    frozen = house.connect(socket.SOCK_STREAM)
    frozen.look = lambda: None
    frozen.raw(b'{"code":"hello","name":"ben"}\n{"code":"who"}\n')
    connection = max(house.loop.connections.values(), key=lambda one: one.id)
    text = "x" * 16_000
    for n in range(100):
        ann.send("outgoing", to="ben", content=f"{n} {text}")
        ann.send("outgoing", to="eve", content=str(n))
        assert connection.queued <= OUTBOX
        later(house, 0.5)
    assert connection.queued < 100 * 16_000
    assert [frame["content"] for frame in eve.frames()] == [str(n) for n in range(100)]


def test_who_is_over_the_bound_is_gone_at_once_with_all_that_was_queued(house):
    join(house, "ann")
    (connection,) = house.loop.connections.values()
    house.loop.queue(connection, b"x" * 2 * OUTBOX)
    house.daemon._peers.overrun[connection.id] = None
    house.turn()
    assert not house.loop.connections
    assert not house.daemon._hub.online


# --- what leaves together -------------------------------------------------------------------------


def joined(house, *names: str, kind=socket.SOCK_STREAM, **hello) -> "list[Bare]":
    """Sessions of these names, in the order of their coming, with nothing unread."""
    peers = [house.connect(kind) for _ in names]
    for peer, name in zip(peers, names, strict=True):
        peer.sock.send(json.dumps({"code": "hello", "name": name, **hello}).encode() + b"\n")
        house.turn()
    for peer in peers:
        drained(peer)
    return peers


def drained(peer) -> list[bytes]:
    """The lines that have come since the last call."""
    lines = []
    try:
        while data := peer.sock.recv(65_536):
            lines += data.splitlines()
    except BlockingIOError:
        pass
    return lines


def contents(peer) -> list[str]:
    return [json.loads(line)["content"] for line in drained(peer)]


def says(peer, *contents: str, to: str | None = None):
    """In one segment, so that one turn has them all."""
    kind = {"code": "outgoing", "to": to} if to else {"code": "outgoing_broadcast"}
    peer.sock.send(
        b"".join(json.dumps({**kind, "content": one}).encode() + b"\n" for one in contents)
    )


def test_what_several_say_to_all_in_one_turn_reaches_each_once_without_their_own(house):
    ann, ben, cat = joined(house, "ann", "ben", "cat")
    says(ann, "a1", "a2")
    says(ben, "b1")
    says(ann, "a3")
    house.turn()
    assert sorted(contents(cat)) == ["a1", "a2", "a3", "b1"]
    assert contents(ann) == ["b1"]
    assert contents(ben) == ["a1", "a2", "a3"]


def test_what_is_said_to_one_keeps_its_place_among_what_is_said_to_all(house):
    ann, ben, cat = joined(house, "ann", "ben", "cat")
    for number in range(4):
        says(ann, f"all {number}")
        says(ann, f"ben {number}", to="ben")
    says(cat, "from cat")
    says(cat, "cat to ann", to="ann")
    house.turn()
    in_turns = [f"{to} {number}" for number in range(4) for to in ("all", "ben")]
    got = contents(ben)
    assert [one for one in got if one != "from cat"] == in_turns
    assert got.count("from cat") == 1
    assert contents(cat) == [f"all {number}" for number in range(4)]
    assert contents(ann) == ["from cat", "cat to ann"]


def test_the_acks_of_an_author_stand_before_what_others_say_behind_them(house):
    ann, ben = joined(house, "ann", "ben", v=1, notices=False)
    for peer, key in ((ann, "1"), (ben, "2"), (ann, "3")):
        line = {"code": "outgoing_broadcast", "content": key, "id": key}
        peer.sock.send(json.dumps(line).encode() + b"\n")
    house.turn()
    got = [json.loads(line) for line in drained(ann)]
    assert sorted(one.get("re") or one["content"] for one in got) == ["1", "2", "3"]
    assert [one["seq"] for one in got] == [1, 2, 3]


def test_many_messages_of_one_turn_come_in_their_order(house):
    ann, ben = joined(house, "ann", "ben")
    many = [str(number) for number in range(300)]
    says(ann, *many)
    says(ann, *many, to="ben")
    house.turn()
    assert contents(ben) == many + many


def test_nothing_is_kept_of_what_somebody_began_who_has_gone(house):
    """The deadlines that were set for it have minutes left."""
    gone = house.connect()
    gone.raw(b'{"code":"' + b"x" * 50_000)
    (connection,) = house.loop.connections.values()
    house.loop.queue(connection, b"y" * 1_000_000)
    assert [one for one in gc.get_objects() if isinstance(one, Framer) and one.unfinished]
    gone.sock.close()
    house.turn()
    house.turn()
    assert not house.loop.connections
    assert not [one for one in gc.get_objects() if isinstance(one, Framer) and one.unfinished]
    assert not connection.outbox


@pytest.mark.parametrize("floods", [1, 2, 4])
def test_of_much_that_comes_at_once_a_turn_takes_a_part_of_each(house, floods: int):
    peers = joined(house, *"abcd"[:floods])
    ping = b'{"code":"ping"}\n'
    for peer in peers:
        peer.sock.send(ping * 8000)
    for _ in range(10):
        house.turn()
    for connection in house.loop.connections.values():
        assert AT_ONCE // 2 <= floods * connection.portion // len(ping) <= AT_ONCE


def test_what_all_get_is_written_once_for_each_in_a_turn(house):
    ann, ben = joined(house, "ann", "ben", kind=socket.SOCK_SEQPACKET)
    says(ann, "one", "two", "three")
    house.turn()
    assert ben.sock.recv(65_536).count(b"\n") == 3


def test_who_comes_in_one_turn_is_told_to_each_other_in_one_write(house):
    ann, *_ = joined(house, "ann", v=1, kind=socket.SOCK_SEQPACKET)
    peers = {name: house.connect(socket.SOCK_SEQPACKET) for name in ("ben", "cat", "dan")}
    for name, peer in peers.items():
        peer.sock.send(b'{"code":"hello","name":"%s","v":1}\n' % name.encode())
    house.turn()
    came = [json.loads(line) for line in ann.sock.recv(65_536).splitlines()]
    assert sorted(one["name"] for one in came) == ["ben", "cat", "dan"]
    for name, peer in peers.items():
        first, *others = [json.loads(line) for line in drained(peer)]
        assert (first["code"], first["name"]) == ("welcome", name)
        assert sorted(one["name"] for one in others) == sorted(peers.keys() - {name})


def test_what_a_plain_peer_took_is_stored_with_what_comes_next_or_soon(house):
    ann, ben = joined(house, "ann", "ben")
    before = house.daemon._store.commits
    for number in range(5):
        says(ann, str(number), to="ben")
        house.turn()
    assert contents(ben) == list("01234")
    assert house.daemon._store.commits == before + 5
    house.wait(SOON + 0.001)
    assert house.daemon._store.commits == before + 6
    house.wait(1.0)
    assert house.daemon._store.commits == before + 6


def test_a_pong_stands_behind_the_receipts_of_what_was_taken_before(house):
    ann, *_ = joined(house, "ann", v=1, notices=False)
    (ben,) = joined(house, "ben")
    ann.sock.send(b'{"code":"outgoing","to":"ben","content":"hi","id":"1"}\n')
    house.turn()
    ann.sock.send(b'{"code":"ping","n":1}\n')
    house.turn()
    got = [json.loads(line)["code"] for line in drained(ann)]
    assert got == ["ack", "receipt", "pong"]
    assert contents(ben) == ["hi"]
