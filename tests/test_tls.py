"""TLS below a connection: the loop on real sockets, with a clock that is a number."""

import contextlib
import socket
import ssl
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from peers.secure import client_context, write_certificate
from support import RESET, selectors_here
from test_loop import App, Clock

from chatd.net.listen import listen
from chatd.net.loop import HANDSHAKES, Loop
from chatd.net.tls import MOST, OWED, TlsError, TlsSocket, server_context

PATIENCE = 10.0  # seconds for a handshake, of the loop's clock
TURNS = 10_000


class SecureApp(App):
    """Goes on in TLS where the first byte says so."""

    def __init__(self, context):
        super().__init__()
        self.context = context

    def received(self, connection, data):
        if data[:1] == b"\x16" and not connection.secure:
            self.loop.start_tls(connection, self.context, data, PATIENCE)
        else:
            super().received(connection, data)


class Peer:
    """A client in TLS whose every wait is a turn of the loop."""

    def __init__(self, house, version=None):
        self.house = house
        self.sock = socket.create_connection(("127.0.0.1", house.port), 30)
        self.sock.setblocking(False)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = client_context(version).wrap_bio(self.incoming, self.outgoing)

    def hello(self) -> bytes:
        """The first flight, unsent."""
        with pytest.raises(ssl.SSLWantReadError):
            self.tls.do_handshake()
        return self.outgoing.read()

    def do(self, call, *args):
        """What comes of a call of OpenSSL's that may have to hear something first."""
        for _ in range(TURNS):
            try:
                result = call(*args)
            except ssl.SSLWantReadError:
                self.flush()
                self.fetch()
            else:
                self.flush()
                return result
        raise AssertionError("it never happened")

    def flush(self):
        data = self.outgoing.read()
        while data:
            try:
                data = data[self.sock.send(data) :]
            except BlockingIOError:
                self.house.turn()

    def fetch(self):
        try:
            data = self.sock.recv(65_536)
        except BlockingIOError:
            self.house.turn()
        else:
            self.incoming.write(data) if data else self.incoming.write_eof()

    def shake(self):
        self.do(self.tls.do_handshake)
        return self

    def say(self, data: bytes):
        self.do(self.tls.write, data)

    def hear(self, size: int) -> bytes:
        """So many bytes, or what there is up to close_notify."""
        heard = bytearray()
        while len(heard) < size and (data := self.do(self.tls.read, 65_536)):
            heard += data
        return bytes(heard)


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    path, _ = write_certificate(tmp_path_factory.mktemp("tls"), "own.pem")
    return server_context(str(path), str(path))


@pytest.fixture(params=selectors_here())
def house(request, context):
    """A loop on each selector of this machine, and who is served by it."""
    app, clock = SecureApp(context), Clock()
    loop = app.loop = Loop(app, request.param, clock=clock)
    sockets = listen("127.0.0.1", 0)
    loop.listen_on(sockets)
    peers = []

    def turn():
        loop.wake()
        loop.turn()

    def until(done):
        for _ in range(TURNS):
            if done():
                return
            turn()
        raise AssertionError("it never happened")

    def peer(version=None):
        peers.append(Peer(one, version))
        until(lambda: len(app.connections) == len(peers))
        return peers[-1]

    def secured(version=None):
        """A peer and its connection, both sure of it."""
        client = peer(version).shake()
        connection = app.connections[-1]
        until(lambda: not connection.handshaking)
        return client, connection

    port = sockets[0].getsockname()[1]
    one = SimpleNamespace(
        app=app,
        clock=clock,
        loop=loop,
        port=port,
        peer=peer,
        secured=secured,
        turn=turn,
        until=until,
    )
    yield one
    for client in peers:
        client.sock.close()
    loop.close()


def ends(house) -> list[str]:
    return [event[2] for event in house.app.what("closed")]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_what_is_said_in_tls_is_heard_and_answered(house, version):
    house.app.answer = lambda connection, data: house.loop.queue(connection, data.upper())
    peer = house.peer(version).shake()
    assert peer.tls.version() == version.name.replace("_", ".")
    peer.say(b"hello")
    assert peer.hear(5) == b"HELLO"


def test_a_key_that_is_stolen_later_opens_nothing_that_was_recorded(context):
    exchanges = {cipher["kea"] for cipher in context.get_ciphers()}
    assert exchanges <= {"kx-any", "kx-ecdhe", "kx-dhe"}  # TLS 1.3 has ephemeral ones alone


def test_older_versions_are_refused(house):
    peer = house.peer()
    hello = bytearray(peer.hello())
    versions = hello.index(b"\x00\x2b")  # the extension supported_versions, with 1.3 and 1.2
    hello[versions + 4 : versions + 9] = b"\x04\x03\x02\x03\x01"
    peer.sock.send(hello)
    house.until(lambda: ends(house))
    assert ends(house) == ["tls: unsupported protocol"]


def test_a_first_flight_in_single_bytes_is_the_same(house):
    peer = house.peer()
    for byte in peer.hello():
        peer.sock.send(bytes([byte]))
        house.turn()
    peer.shake().say(b"x")
    house.until(lambda: house.app.what("received"))
    assert house.app.events[-1][2] == b"x"


@pytest.mark.parametrize("begun", [1, 100])
def test_a_handshake_that_stops_is_closed_in_time(house, begun: int):
    peer = house.peer()
    peer.sock.send(peer.hello()[:begun])
    house.until(lambda: house.app.connections[0].secure)
    house.clock.now += PATIENCE - 0.1
    house.turn()
    assert ends(house) == []
    house.clock.now += 0.2
    house.turn()
    assert ends(house) == ["tls: no handshake within 10 seconds"]
    assert not house.loop.connections


def test_a_handshake_that_drips_has_no_more_time(house):
    peer = house.peer()
    for byte in peer.hello()[:20]:
        if ends(house):
            break
        peer.sock.send(bytes([byte]))
        house.until(lambda: house.app.connections[0].secure)
        house.clock.now += 1
        house.turn()
    assert ends(house) == ["tls: no handshake within 10 seconds"]


def test_a_handshake_that_is_done_may_be_followed_by_silence(house):
    house.secured()
    house.clock.now += 10 * PATIENCE
    house.turn()
    assert ends(house) == []


@pytest.mark.parametrize(
    ("garbage", "alert"),
    [(b"\x16hello", b""), (b"\x16\x03\x01\x00\x05" + b"x" * 500, b"\x15")],
    ids=["no record", "a record of nonsense"],
)
def test_garbage_that_begins_like_tls_is_closed_at_once(house, garbage: bytes, alert: bytes):
    peer = house.peer()
    peer.sock.send(garbage)
    house.until(lambda: ends(house))
    (why,) = ends(house)
    assert why.startswith("tls: ")
    assert peer.sock.recv(100)[:1] == alert
    assert not house.loop.connections


def first_flight() -> bytes:
    outgoing = ssl.MemoryBIO()
    tls = client_context().wrap_bio(ssl.MemoryBIO(), outgoing)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


@given(
    flips=st.lists(st.tuples(st.integers(1, 516), st.integers(0, 255)), max_size=8),
    behind=st.binary(max_size=50),
)
def test_a_handshake_of_whatever_bytes_waits_or_is_an_error_of_the_peer(context, flips, behind):
    hello = bytearray(first_flight() + behind)
    for at, byte in flips:
        hello[at] = byte
    ours, theirs = socket.socketpair()
    with theirs:
        ours.setblocking(False)
        calls = dict.fromkeys(("greet", "owing", "again"), lambda: None)
        done: list[str] = []
        tls = TlsSocket(ours, context, bytes(hello), succeeded=done.append, **calls)
        tls.its_turn = True
        with contextlib.suppress(BlockingIOError, TlsError):
            tls.recv(65_536)
            raise AssertionError("there is nothing to read yet")
        assert (tls.handshaking, done) == (True, [])
        tls.close()


def test_a_reset_within_the_handshake_is_one(house):
    peer = house.peer()
    peer.sock.send(peer.hello())
    house.until(lambda: house.app.connections[0].secure)
    peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    peer.sock.close()
    house.until(lambda: ends(house))
    assert ends(house) == ["reset"]


def test_an_end_within_the_handshake_is_one(house):
    peer = house.peer()
    peer.sock.send(peer.hello()[:50])
    peer.sock.shutdown(socket.SHUT_WR)
    house.until(lambda: ends(house))
    assert ends(house) == ["eof"]
    assert house.app.connections[0].handshaking


def test_no_more_than_some_handshakes_go_on_in_one_turn(house):
    clients = [house.peer() for _ in range(2 * HANDSHAKES + 1)]
    for client in clients:
        client.sock.send(client.hello())
    answered = [0]
    while answered[-1] < len(clients):
        house.turn()
        answered.append(sum(is_readable(client.sock) for client in clients))
        assert answered[-1] - answered[-2] <= HANDSHAKES
    for client in clients:
        client.shake()


def is_readable(sock) -> bool:
    try:
        return bool(sock.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return False


def test_last_words_within_the_handshake_do_not_keep_it_open(house):
    peer = house.peer()
    peer.sock.send(b"\x16")
    house.until(lambda: house.app.connections[0].secure)
    connection = house.app.connections[0]
    house.loop.queue(connection, b"in plain, never")
    house.loop.close_soon(connection, "late")
    house.until(lambda: connection.hung_up)
    assert peer.sock.recv(100) == b""


def test_a_changed_record_ends_it_and_nothing_of_it_is_heard(house):
    peer = house.peer().shake()
    peer.tls.write(b"pay 10")
    record = bytearray(peer.outgoing.read())
    record[-1] ^= 1
    peer.sock.send(record)
    house.until(lambda: ends(house))
    assert ends(house) == ["tls: decryption failed or bad record mac"]
    assert house.app.what("received") == []


def test_bytes_in_plain_behind_the_handshake_end_it(house):
    peer = house.peer().shake()
    peer.sock.send(b'{"code":"who"}\n')
    house.until(lambda: ends(house))
    assert ends(house)[0].startswith("tls: ")
    assert house.app.what("received") == []


def test_a_reader_that_stands_still_is_bounded_and_gets_everything_later(house):
    peer, connection = house.secured()
    pieces = [b"%07d" % n * 1000 for n in range(1000)]
    for piece in pieces:
        house.loop.queue(connection, piece)
    house.loop.tell_drained(connection)
    for _ in range(50):
        house.turn()
    assert connection.writing
    tls = connection.sock
    assert tls._outgoing.pending + len(tls._unsent) <= 1.1 * MOST
    assert connection.queued == sum(map(len, connection.outbox)) - connection._sent
    assert peer.hear(7_000_000) == b"".join(pieces)
    house.until(lambda: house.app.what("drained"))
    assert not connection.writing
    assert connection.queued == 0


def test_what_is_queued_in_one_turn_leaves_in_few_records(house):
    peer, connection = house.secured()
    for _ in range(1000):
        house.loop.queue(connection, b"small\n")
    house.turn()
    raw = peer.sock.recv(100_000)
    assert len(raw) < 6000 + 100
    peer.incoming.write(raw)
    assert peer.hear(6000) == b"small\n" * 1000


def test_with_a_pace_one_object_is_one_record(house):
    peer, connection = house.secured()
    connection.pace = 0.02
    for word in (b"one\n", b"two\n"):
        house.loop.queue(connection, word)
    house.turn()
    peer.incoming.write(peer.sock.recv(1000))
    assert peer.tls.read(100) == b"one\n"
    house.clock.now += 0.02
    house.turn()
    peer.incoming.write(peer.sock.recv(1000))
    assert peer.tls.read(100) == b"two\n"


def test_the_end_is_said_in_tls_before_the_kernel_says_it(house):
    peer, connection = house.secured()
    house.loop.queue(connection, b"bye")
    house.loop.close_soon(connection, "test")
    assert peer.hear(100) == b"bye"  # and close_notify: without it OpenSSL complains
    house.until(lambda: is_at_end(peer.sock))
    peer.sock.close()
    house.until(lambda: not house.loop.connections)


def is_at_end(sock) -> bool:
    try:
        return sock.recv(100) == b""
    except BlockingIOError:
        return False


def test_a_peer_that_says_its_end_in_tls_alone_still_gets_its_answer(house):
    """Its last words and close_notify in one segment, and no FIN."""
    peer = house.peer().shake()
    peer.tls.write(b"ask")
    with pytest.raises(ssl.SSLWantReadError):
        peer.tls.unwrap()
    peer.flush()
    house.until(lambda: ends(house))
    assert [event[2] for event in house.app.what("received")] == [b"ask"]
    assert ends(house) == ["eof"]
    (connection,) = house.app.connections
    house.loop.queue(connection, b"answer")
    house.loop.close_soon(connection, "eof")
    house.until(lambda: not house.loop.connections)
    peer.incoming.write(peer.sock.recv(1000))
    assert peer.tls.read(100) == b"answer"
    assert peer.tls.unwrap() is None  # the other's close_notify is there


def test_a_half_closed_peer_gets_its_answer(house):
    peer = house.peer().shake()
    peer.say(b"ask")
    peer.sock.shutdown(socket.SHUT_WR)
    house.until(lambda: ends(house))
    (connection,) = house.app.connections
    house.loop.queue(connection, b"answer")
    house.loop.close_soon(connection, "eof")
    house.until(lambda: not house.loop.connections)
    assert peer.hear(100) == b"answer"


def test_a_reset_is_told_as_one(house):
    peer, _ = house.secured()
    peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    peer.sock.close()
    house.until(lambda: ends(house))
    assert ends(house) == ["reset"]


def test_answers_that_are_asked_for_and_not_taken_are_bounded(house):
    peer, connection = house.secured()
    connection.sock._outgoing.write(
        b"x" * (OWED + 1)
    )  # as by key updates of a peer that reads nothing
    peer.say(b"y")
    house.until(lambda: ends(house))
    assert ends(house) == ["tls: the peer does not take the answers that it asks for"]
