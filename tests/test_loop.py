"""The turn of the loop on real sockets, with a clock that is a number."""

import contextlib
import os
import resource
import selectors
import socket
import struct
import threading

import pytest
from support import selectors_here

from chatd.net import loop as module
from chatd.net.connection import LEAST, MOST, PORTION
from chatd.net.listen import listen
from chatd.net.loop import Loop


class App:
    """Notes what the loop tells; `answer` is called with what came."""

    def __init__(self):
        self.events: list = []
        self.connections: list = []
        self.turns = 0
        self.places = 1_000_000  # for one address
        self.answer = lambda *_: None

    def refused(self, address, why):
        self.events.append(("refused", address, why))

    def may_come(self, host, others):
        return others < self.places

    def connected(self, connection):
        self.connections.append(connection)
        self.events.append(("connected", connection.id))

    def received(self, connection, data):
        self.events.append(("received", connection.id, data))
        self.answer(connection, data)

    def closed(self, connection, why):
        self.events.append(("closed", connection.id, why))

    def drained(self, connection) -> bool:
        self.events.append(("drained", connection.id))
        return True

    def turn_ended(self):
        self.turns += 1

    def what(self, kind: str) -> list:
        return [event for event in self.events if event[0] == kind]


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(params=selectors_here())
def served(request):
    """A loop on each selector of this machine, its application, its clock and its port."""
    app, clock = App(), Clock()
    loop = Loop(app, request.param, refusal=b"full\n", clock=clock)
    sockets = listen("127.0.0.1", 0)
    loop.listen_on(sockets)
    loop.port = sockets[0].getsockname()[1]
    clients: list[socket.socket] = []

    def connect() -> socket.socket:
        client = socket.create_connection(("127.0.0.1", loop.port), 30)
        clients.append(client)
        return client

    loop.connect = connect
    yield loop, app, clock
    for client in clients:
        client.close()
    loop.close()


def turn_until(loop: Loop, done) -> None:
    """Turns, each of which waits for something to happen, until it has."""
    for _ in range(10_000):
        if done():
            return
        loop.turn()
    raise AssertionError("it never happened")


def admitted(loop: Loop, app: App):
    client = loop.connect()
    before = len(app.connections)
    turn_until(loop, lambda: len(app.connections) > before)
    return client, app.connections[-1]


def test_who_connects_is_told_of_with_address(served):
    loop, app, _ = served
    client, connection = admitted(loop, app)
    assert (connection.host, connection.address[1]) == client.getsockname()
    assert connection.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert connection.sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert not connection.sock.getblocking()


def test_what_is_queued_is_written_at_the_end_of_the_turn(served):
    loop, app, _ = served
    client, _ = admitted(loop, app)

    def answer(connection, data):
        loop.queue(connection, b"1")
        loop.queue(connection, b"2")
        assert app.turns == turns, "nothing is written before the turn has ended"

    app.answer = answer
    turns = app.turns
    client.sendall(b"hi")
    turn_until(loop, lambda: app.what("received"))
    assert client.recv(10) == b"12"


def test_a_peer_that_half_closes_still_gets_its_answer_and_then_the_end(served):
    loop, app, _ = served
    client, connection = admitted(loop, app)
    client.sendall(b"ask")
    client.shutdown(socket.SHUT_WR)
    turn_until(loop, lambda: app.what("closed"))
    assert app.events[-1] == ("closed", connection.id, "eof")
    loop.queue(connection, b"answer")
    loop.close_soon(connection, "eof")
    turn_until(loop, lambda: not loop.connections)
    assert client.recv(100) == b"answer"
    assert client.recv(100) == b""


def test_a_reset_is_told_as_one(served):
    loop, app, _ = served
    client, connection = admitted(loop, app)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()
    turn_until(loop, lambda: app.what("closed"))
    assert app.events[-1] == ("closed", connection.id, "reset")
    assert not loop.connections


def test_a_reader_that_stands_still_holds_up_nobody(served):
    loop, app, _ = served
    _, frozen = admitted(loop, app)
    other, connection = admitted(loop, app)
    for _ in range(100):
        loop.queue(frozen, b"x" * 100_000)
    loop.queue(connection, b"for you")
    loop.turn()
    assert other.recv(100) == b"for you"
    assert frozen.queued > 1_000_000
    assert frozen.writing


def test_a_reader_that_moves_on_gets_everything(served):
    loop, app, _ = served
    client, connection = admitted(loop, app)
    pieces = [b"%07d" % n * 1000 for n in range(500)]
    for piece in pieces:
        loop.queue(connection, piece)
    loop.tell_drained(connection)
    got = bytearray()
    client.setblocking(False)
    while len(got) < 3_500_000:
        try:
            got += client.recv(1 << 20)
        except BlockingIOError:
            loop.turn()
    turn_until(loop, lambda: app.what("drained"))
    assert bytes(got) == b"".join(pieces)
    assert not connection.writing


def test_what_is_sent_at_once_goes_as_far_as_it_goes_and_the_rest_later_in_order(served):
    loop, app, _ = served
    client, connection = admitted(loop, app)
    other, quick = admitted(loop, app)
    pieces = [b"%07d" % n * 100_000 for n in range(12)]
    waiting = [bool(loop.send([connection], piece)) for piece in pieces]
    assert (waiting[0], waiting[-1]) == (False, True) or all(waiting)
    assert loop.send([connection, quick], b"end") == [connection]
    assert other.recv(10) == b"end", "it waits for nobody, not for the end of the turn either"
    assert connection.queued == sum(map(len, connection.outbox)) - connection._sent
    got = bytearray()
    client.setblocking(False)
    while len(got) < 8_400_003:
        try:
            got += client.recv(1 << 20)
        except BlockingIOError:
            loop.turn()
    assert bytes(got) == b"".join(pieces) + b"end"
    assert not connection.queued
    assert not connection.outbox


def test_what_is_sent_at_once_to_one_who_is_gone_is_found_out_in_the_turn(served):
    loop, app, _ = served
    client, connection = admitted(loop, app)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    turn_until(loop, lambda: app.what("closed"))
    assert loop.send([connection], b"to nobody") == [connection]
    loop.turn()
    assert not loop.connections


def test_reading_is_bounded_per_turn_so_that_a_flood_starves_nobody(served):
    loop, app, _ = served
    flood, _ = admitted(loop, app)
    other, connection = admitted(loop, app)
    flood.setblocking(False)
    sent = flood.send(b"x" * 10_000_000)
    assert sent > 200_000
    other.sendall(b"me too")
    turn_until(loop, lambda: ("received", connection.id, b"me too") in app.events)
    taken = sum(len(data) for _, number, data in app.what("received") if number != connection.id)
    assert taken < sent


def test_a_pace_keeps_objects_apart_in_time(served):
    loop, app, clock = served
    client, connection = admitted(loop, app)
    connection.pace = 0.02
    for word in (b"one\n", b"two\n", b"three\n"):
        loop.queue(connection, word)
    loop.turn()
    assert client.recv(100) == b"one\n"
    for moment, word in ((0.02, b"two\n"), (0.02, b"three\n")):
        clock.now += moment * 0.9
        loop.wake()
        loop.turn()
        client.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.recv(100)
        client.settimeout(30)
        clock.now += moment * 0.11
        loop.wake()
        loop.turn()
        assert client.recv(100) == word


def test_a_paced_reader_that_stands_still_costs_no_turns(served):
    loop, app, clock = served
    _, connection = admitted(loop, app)
    connection.pace = 0.02
    for _ in range(100):
        loop.queue(connection, b"x" * 1_000_000)
        clock.now += 1
        loop.wake()
        loop.turn()
    clock.now += 1
    loop.wake()
    loop.turn()
    waiting = len(loop.timers._heap)
    for _ in range(20):
        loop.wake()
        loop.turn()
    assert len(loop.timers._heap) <= waiting + 1


def test_a_doomed_connection_is_closed_when_all_is_written(served):
    loop, app, _ = served
    client, connection = admitted(loop, app)
    loop.queue(connection, b"bye\n")
    loop.close_soon(connection, "test")
    loop.turn()
    assert client.recv(100) == b"bye\n"
    assert client.recv(100) == b""
    assert loop.connections, "the peer has some time to read"
    client.sendall(b"late words are thrown away")
    client.close()
    turn_until(loop, lambda: not loop.connections)
    assert not app.what("received")
    assert not app.what("closed")


@pytest.mark.parametrize(("queued", "seconds"), [(0, module.LINGER), (50_000_000, module.GRACE)])
def test_a_doomed_connection_whose_peer_does_nothing_is_closed_after_a_while(
    served, queued: int, seconds: float
):
    loop, app, clock = served
    _, connection = admitted(loop, app)
    loop.queue(connection, b"x" * (queued + 1))
    loop.close_soon(connection, "test")
    loop.turn()
    clock.now += seconds - 0.1
    loop.wake()
    loop.turn()
    assert loop.connections
    clock.now += 0.2
    loop.wake()
    loop.turn()
    assert not loop.connections


def test_calls_are_made_when_their_time_has_come(served):
    loop, _, clock = served
    called = []
    loop.after(5.0, lambda: called.append("five"))
    loop.wake()
    loop.turn()
    assert called == []
    clock.now += 5.0
    loop.turn()
    assert called == ["five"]


def test_another_thread_ends_the_waiting(served):
    loop, app, _ = served
    thread = threading.Thread(target=loop.wake)
    thread.start()
    loop.turn()
    thread.join()
    assert app.turns == 1


def test_waking_often_is_one_turn(served):
    loop, app, _ = served
    for _ in range(100_000):
        loop.wake()
    loop.turn()
    loop.after(0.0, lambda: None)
    loop.turn()
    assert app.turns == 2


def test_beyond_the_bound_of_clients_it_is_said_that_there_is_no_place(served):
    loop, app, _ = served
    loop.max_clients = 1
    admitted(loop, app)
    refused = loop.connect()
    loop.turn()
    assert refused.recv(100) == b"full\n"
    assert refused.recv(100) == b""
    assert len(app.connections) == 1


def test_an_address_with_too_many_connections_gets_no_more_until_one_of_them_goes(served):
    loop, app, _ = served
    app.places = 2
    first, connection = admitted(loop, app)
    admitted(loop, app)
    refused = loop.connect()
    turn_until(loop, lambda: app.what("refused"))
    assert refused.recv(100) == b"full\n"
    assert app.what("refused") == [("refused", refused.getsockname(), "address")]
    first.close()
    turn_until(loop, lambda: app.what("closed"))
    loop.close_soon(connection, "eof")
    turn_until(loop, lambda: len(loop.connections) == 1)
    admitted(loop, app)


def test_no_address_is_remembered_when_all_its_connections_are_gone(served):
    loop, app, _ = served
    _, connection = admitted(loop, app)
    loop.abort(connection)
    assert not loop._sources


def test_who_is_paused_is_read_from_later_and_the_others_at_once(served):
    loop, app, clock = served
    client, connection = admitted(loop, app)
    other, second = admitted(loop, app)
    loop.pause(connection, 5.0)
    client.sendall(b"later")
    other.sendall(b"now")
    turn_until(loop, lambda: app.what("received"))
    clock.now += 4.9
    other.sendall(b"and now")
    turn_until(loop, lambda: len(app.what("received")) == 2)
    assert {number for _, number, _ in app.what("received")} == {second.id}
    clock.now += 0.1
    turn_until(loop, lambda: len(app.what("received")) == 3)
    assert app.events[-1] == ("received", connection.id, b"later")


def test_who_is_not_known_yet_is_read_in_small_portions(served):
    loop, app, _ = served
    client, _ = admitted(loop, app)
    client.sendall(b"x" * 10_000)
    turn_until(loop, lambda: sum(len(data) for *_, data in app.what("received")) == 10_000)
    assert max(len(data) for *_, data in app.what("received")) == LEAST


def test_who_was_paused_is_read_in_small_portions_when_its_time_has_come(served):
    loop, app, clock = served
    client, connection = admitted(loop, app)
    connection.portion = MOST
    loop.pause(connection, 5.0)
    client.sendall(b"x" * 100_000)
    clock.now += 5.0
    turn_until(loop, lambda: app.what("received"))
    assert len(app.what("received")[0][-1]) == PORTION


def test_who_is_paused_is_not_read_for_another_reason_either(served):
    """Such as that more is decrypted than was asked for."""
    loop, app, clock = served
    client, connection = admitted(loop, app)
    client.sendall(b"later")
    loop.pause(connection, 5.0)
    loop._serve(connection, selectors.EVENT_READ)
    assert not app.what("received")
    clock.now += 5.0
    turn_until(loop, lambda: app.what("received"))


def test_who_is_paused_still_gets_what_is_queued(served):
    loop, app, _ = served
    client, connection = admitted(loop, app)
    loop.pause(connection, 5.0)
    loop.queue(connection, b"for you")
    loop.turn()
    assert client.recv(100) == b"for you"


def test_who_is_paused_and_closed_reads_the_last_words_however_much_it_has_sent(served):
    loop, app, _ = served
    client, connection = admitted(loop, app)
    loop.pause(connection, 5.0)
    client.sendall(b"x" * 100_000)
    loop.queue(connection, b"bye\n")
    loop.close_soon(connection, "test")
    loop.turn()
    client.shutdown(socket.SHUT_WR)
    turn_until(loop, lambda: not loop.connections)
    assert client.recv(100) == b"bye\n"
    assert client.recv(100) == b""


def test_a_place_is_free_again_when_somebody_leaves(served):
    loop, app, _ = served
    loop.max_clients = 1
    client, connection = admitted(loop, app)
    client.close()
    turn_until(loop, lambda: app.what("closed"))
    loop.close_soon(connection, "eof")
    turn_until(loop, lambda: not loop.connections)
    admitted(loop, app)


def test_descriptors_that_select_cannot_watch_are_refused(monkeypatch):
    app = App()
    loop = Loop(app, "select", refusal=b"full\n")
    try:
        sockets = listen("127.0.0.1", 0)
        loop.listen_on(sockets)
        monkeypatch.setattr(loop, "_fd_limit", sockets[0].fileno())
        with socket.create_connection(sockets[0].getsockname(), 30) as client:
            loop.turn()
            assert client.recv(100) == b"full\n"
            assert client.recv(100) == b""
        assert not app.connections
    finally:
        loop.close()


def test_without_even_a_spare_descriptor_it_does_not_spin_and_accepts_when_there_is_one(served):
    loop, app, clock = served
    client, _connection = admitted(loop, app)
    waiting = loop.connect()
    bounds = resource.getrlimit(resource.RLIMIT_NOFILE)
    os.close(loop._spare)
    resource.setrlimit(resource.RLIMIT_NOFILE, (loop._spare, bounds[1]))
    loop._spare = -1
    crowd = []
    try:
        with contextlib.suppress(OSError):
            while True:
                crowd.append(os.open(os.devnull, os.O_RDONLY))
        loop.turn()
        assert loop._listeners[0] not in loop._selector.get_map(), "it would be ready at once"
        client.sendall(b"still here")
        turn_until(loop, lambda: app.what("received"))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, bounds)
        for fd in crowd:
            os.close(fd)
    clock.now += module.BREATH
    turn_until(loop, lambda: len(app.connections) == 2)
    assert app.connections[1].address == waiting.getsockname()


def test_one_that_is_gone_before_it_is_accepted_costs_nothing(served):
    loop, app, _ = served
    for _ in range(20):
        gone = loop.connect()
        gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        gone.close()
    client, connection = admitted(loop, app)
    client.sendall(b"hi")
    turn_until(loop, lambda: ("received", connection.id, b"hi") in app.events)
