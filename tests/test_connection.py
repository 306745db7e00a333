"""One socket's outbox: what leaves in which send. A SEQPACKET pair keeps the sends apart."""

import socket

import pytest

from chatd.net.connection import AT_ONCE, LEAST, MOST, Connection


@pytest.fixture(params=[socket.SOCK_SEQPACKET, socket.SOCK_STREAM], ids=["packets", "stream"])
def pair(request):
    ours, theirs = socket.socketpair(socket.AF_UNIX, request.param)
    ours.setblocking(False)
    theirs.settimeout(30)
    with ours, theirs:
        yield Connection(ours, 1, ("10.0.0.1", 4000)), theirs


@pytest.fixture
def packets():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    theirs.settimeout(30)
    with ours, theirs:
        yield Connection(ours, 1, ("10.0.0.1", 4000)), theirs


def test_everything_queued_leaves_in_one_send(packets):
    connection, peer = packets
    for word in (b"one\n", b"two\n", b"three\n"):
        connection.queue(word)
    assert connection.queued == 14
    assert connection.write()
    assert peer.recv(100) == b"one\ntwo\nthree\n"
    assert connection.queued == 0
    assert not connection.outbox


def test_with_a_pace_one_object_leaves_at_a_time(packets):
    connection, peer = packets
    connection.pace = 0.02
    for word in (b"one\n", b"two\n", b"three\n"):
        connection.queue(word)
    for word in (b"one\n", b"two\n", b"three\n"):
        assert connection.write()
        assert peer.recv(100) == word
    assert connection.write()
    peer.setblocking(False)
    with pytest.raises(BlockingIOError):
        peer.recv(100)


def test_nothing_queued_is_nothing_sent(pair):
    connection, peer = pair
    assert connection.write()
    peer.setblocking(False)
    with pytest.raises(BlockingIOError):
        peer.recv(100)


def test_a_peer_that_does_not_read_fills_the_outbox_and_gets_all_of_it_later():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        connection = Connection(ours, 1, ("h", 1))
        pieces = [b"%06d" % n + b"x" * 1000 for n in range(3000)]
        for piece in pieces:
            connection.queue(piece)
        assert not connection.write()
        assert 0 < connection.queued < sum(map(len, pieces))
        theirs.setblocking(False)
        got = bytearray()
        while len(got) < sum(map(len, pieces)):
            try:
                got += theirs.recv(65_536)
            except BlockingIOError:
                connection.write()
        assert bytes(got) == b"".join(pieces)
        assert connection.queued == 0
        assert connection.write()


def test_a_read_gives_what_is_there_nothing_or_the_end():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        connection = Connection(ours, 1, ("h", 1))
        assert connection.read() is None
        theirs.sendall(b"x" * (LEAST + 10))
        assert connection.read() == b"x" * LEAST
        assert connection.read() == b"x" * 10
        theirs.close()
        assert connection.read() == b""


def test_hanging_up_lets_the_peer_read_the_last_words_and_then_the_end(pair):
    connection, peer = pair
    connection.queue(b"bye\n")
    connection.write()
    connection.hang_up()
    assert peer.recv(100) == b"bye\n"
    assert peer.recv(100) == b""
    connection.hang_up()


def test_the_first_reason_to_close_is_the_true_one(pair):
    connection, _ = pair
    connection.close_soon("first")
    connection.close_soon("second")
    assert connection.doomed == "first"


def test_an_address_is_written_as_people_write_it():
    with socket.socket() as sock:
        assert Connection(sock, 1, ("10.0.0.1", 80)).origin == "10.0.0.1:80"
        assert Connection(sock, 1, ("::1", 80)).origin == "[::1]:80"


def test_probing_asks_the_kernel_and_is_no_error_where_it_cannot():
    with socket.socket() as sock:
        Connection(sock, 1, ("h", 1)).probe(3.0)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == 2
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 1
    with socket.socket(socket.AF_UNIX) as sock:
        Connection(sock, 1, ("h", 1)).probe(3.0)


@pytest.mark.parametrize(
    ("size", "count", "useful", "portion"),
    [
        (8192, 8, True, 16_384),
        (8192, 8, False, 8192),  # garbage makes nothing grow
        (8191, 8, True, 8192),  # there was no more to read
        (20_000, 1, True, 40_000),  # of one record of TLS
        (60_000, 1, True, MOST),
        (8192, AT_ONCE, True, 8192),
        (8192, 2 * AT_ONCE, True, 4096),
        (8192, 100 * AT_ONCE, True, LEAST),
    ],
)
def test_so_much_is_read_at_once_as_a_turn_has_time_for(size, count, useful, portion):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        connection = Connection(ours, 1, ("h", 1))
        connection.portion = 8192
        connection.suit(size, count, useful=useful)
        assert connection.portion == portion
