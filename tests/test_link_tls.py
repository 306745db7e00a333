"""The link in TLS: whom it speaks to in it, whose certificate it takes, and what it never does."""

import contextlib
import socket
import ssl
import threading
from contextlib import contextmanager

import pytest
from peers.links import first, settled
from peers.secure import write_certificate
from peers.servers import kill, s3_server
from support import PATIENCE
from test_http import own_address
from test_several_hosts import ways

from chatd.certificate import OWN
from chatd.wire.messages import Bye, Incoming, Outgoing, OutgoingBroadcast
from chatsh.client import Answered, Client, Opened
from chatsh.known import KnownServers
from chatsh.link import Address, GaveUp, Keeper, Link, LinkError, LoginRefusedError, UntrustedError


@pytest.fixture
def known(tmp_path):
    return KnownServers(tmp_path / "known")


@pytest.fixture
def dial(known):
    """Makes links in TLS to ports of this machine; `dial.told` is what people were told."""
    made, told = [], []

    def link(port: int, name: str = "ana", *, host: str = "127.0.0.1", tls=True, **more) -> Link:
        address = Address(host, port)
        made.append(Link(address, Client(name), tls=tls, known=known, tell=told.append, **more))
        return made[-1]

    link.told = told
    yield link
    for one in made:
        one.close()


@contextmanager
def serving(serve):
    """A server for one connection, `serve`d in a thread; its port, and what it has heard."""
    heard = bytearray()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def run():
            sock, _ = listener.accept()
            sock.settimeout(PATIENCE)
            with sock, contextlib.suppress(OSError):
                serve(sock, heard)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield listener.getsockname()[1], heard
        thread.join(PATIENCE)


def complaint(link: Link, kind=LinkError) -> str:
    with pytest.raises(kind) as refused:
        link.open()
    return str(refused.value)


# --- whose certificate ----------------------------------------------------------------------------


def test_a_certificate_is_told_at_first_sight_and_known_from_then_on(chatd, dial, known):
    fingerprint = chatd.says("^certificate: (.*)")[1]
    for name in ("ana", "ben"):
        assert isinstance(dial(chatd.port, name).open(), Opened)
    (told,) = dial.told
    assert f"is {fingerprint}, seen for the first time; kept in {known.path}" in told
    assert known.path.read_text() == f"127.0.0.1:{chatd.port} {fingerprint}\n"


def with_its_own(folder):
    """What serves a connection with a new certificate and keeps what it hears; the fingerprint."""
    path, fingerprint = write_certificate(folder, "server.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)

    def serve(sock, heard):
        with context.wrap_socket(sock, server_side=True) as secure:
            heard += secure.recv(1000)

    return serve, fingerprint


def test_a_changed_certificate_stops_it_before_anything_is_said(dial, known, tmp_path):
    serve, fingerprint = with_its_own(tmp_path)
    with serving(serve) as (port, heard):
        before = "SHA256:" + "x" * 43
        known.path.write_text(f"127.0.0.1:{port} {before}\n")
        said = complaint(dial(port), UntrustedError)
    assert f"it is {fingerprint}, and line 1 of {known.path} knows {before}" in said
    assert heard == b""
    assert dial.told == []


def following(link: Link):
    """A keeper, and its events as they come."""
    events, news = [], threading.Condition()

    def deliver(event):
        with news:
            events.append(event)
            news.notify_all()

    def wait_for(kind):
        with news:
            news.wait_for(lambda: any(isinstance(e, kind) for e in events), PATIENCE)
        return next(event for event in events if isinstance(event, kind))

    keeper = Keeper(link, deliver, delays=lambda: iter(lambda: 0.05, None))
    keeper.start()
    return keeper, wait_for


def test_it_comes_back_to_the_same_certificate_and_resumes(chatd, start, dial):
    link = dial(chatd.port)
    link.open()
    keeper, wait_for = following(link)
    kill(chatd)
    link.send(OutgoingBroadcast("said meanwhile"))
    start(port=chatd.port)
    wait_for(Opened)
    assert wait_for(Answered).reply.state == "stored"
    assert len(dial.told) == 1
    keeper.stop()


def test_it_does_not_come_back_to_another_certificate(chatd, start, dial):
    link = dial(chatd.port)
    link.open()
    keeper, wait_for = following(link)
    kill(chatd)
    start(port=chatd.port, data="another")
    assert "HAS CHANGED" in wait_for(GaveUp).why
    keeper.stop()


def test_servers_of_one_certificate_are_one_for_those_who_know_it(chatd, dial, known):
    with ways(chatd, chatd) as hosts:
        first, second = (Address("127.0.0.1", host.port) for host in hosts)
        link = dial(first.port, others=[second])
        link.open()
        hosts[0].close()
        link.open()
        assert link.address == second
        assert len(dial.told) == len(known.path.read_text().splitlines()) == 1


def test_a_server_of_the_list_that_nobody_knows_hears_nothing_behind_one_that_is(
    chatd, dial, tmp_path
):
    """Whoever can cut the way to the first must not get the token by being the second."""
    serve, fingerprint = with_its_own(tmp_path)
    with ways(chatd) as (host,), serving(serve) as (port, heard):
        link = dial(host.port, others=[Address("127.0.0.1", port)])
        link.open()
        host.close()
        said = complaint(link)
    assert f"127.0.0.1, port {port} is not trusted; cannot connect to" in said
    assert f"The certificate of 127.0.0.1, port {port} is {fingerprint}" in dial.told[-1]
    assert heard == b""


# --- with whom ------------------------------------------------------------------------------------


def test_this_machine_is_spoken_to_without_it_by_whatever_address(start, dial, known):
    chatd = start(host="")
    for name, host in (("a", "127.0.0.1"), ("b", ""), ("c", own_address()), ("d", "127.0.0.2")):
        dial(chatd.port, name, host=host, tls=None).open()
    assert not known.path.exists()


def test_who_has_a_certificate_is_spoken_to_in_tls_wherever_it_seems_to_be(start, dial):
    """A name server that lies must not take TLS away."""
    chatd, here = start(host=""), own_address()
    dial(chatd.port, host=here).open()
    (chatd.data / OWN).unlink()
    kill(chatd)
    start(host="", port=chatd.port)
    assert "HAS CHANGED" in complaint(dial(chatd.port, host=here, tls=None), UntrustedError)
    dial(chatd.port, host=here, tls=False).open()


def test_a_server_of_s3_is_not_spoken_to_in_plain_by_itself(dial):
    with s3_server() as server:
        said = complaint(dial(server.port, timeout=1))
    assert f"127.0.0.1, port {server.port} accepts connections but does not speak TLS" in said
    assert "add --no-tls" in said


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b'{"code":"error","error":201,"name":"not_json","text":"?"}\n', "wrong version number"),
        (b"", "it closed the connection"),
        (b"\x15\x03\x01\x00\x02\x02\x28", "alert"),
    ],
)
def test_what_is_no_tls_gets_a_handshake_and_nothing_else(dial, answer: bytes, why: str):
    def serve(sock, heard):
        heard += sock.recv(65_536)
        sock.sendall(answer)
        sock.shutdown(socket.SHUT_WR)
        while data := sock.recv(65_536):
            heard.extend(data)

    with serving(serve) as (port, heard):
        said = complaint(dial(port))
    assert "does not speak TLS" in said
    assert why in said
    assert heard[0] == 0x16
    assert b"ana" not in heard


@pytest.mark.parametrize("drips", [False, True])
def test_a_handshake_that_does_not_end_is_given_up_in_time(dial, drips: bool):
    over = threading.Event()

    def serve(sock, _):
        sock.sendall(b"\x16\x03\x03\x40\x00")
        while drips and not over.wait(0.02):
            sock.sendall(b"\x02")
        over.wait(PATIENCE)

    with serving(serve) as (port, _):
        assert "(no answer within " in complaint(dial(port, timeout=0.3))
        over.set()


def test_a_full_server_is_told_as_one(start, dial):
    chatd = start("--max-clients", "1")
    chatd.join("ann")
    assert "108: The server is full" in complaint(dial(chatd.port), LoginRefusedError)


def test_who_asks_in_plain_for_a_server_of_tls_alone_is_told_so(start, dial):
    chatd = start("--tls-only")
    said = complaint(dial(chatd.port, tls=False), LoginRefusedError)
    assert said.startswith("113: This server is spoken to in TLS alone")
    assert "--tls" in said
    assert isinstance(dial(chatd.port).open(), Opened)


# --- what is said ---------------------------------------------------------------------------------


def test_many_threads_may_say_something_while_one_listens(chatd, dial):
    ana, ben = dial(chatd.port, "ana"), dial(chatd.port, "ben")
    ana.open()
    ben.open()

    def say(number: int) -> None:
        for n in range(50):
            ana.send(Outgoing("ben", f"{number} {n} " + "x" * 5000))

    threads = [threading.Thread(target=say, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    replies = [first(ana, Answered).reply.state for _ in range(200)]
    heard = [first(ben, Incoming).content.split()[:2] for _ in range(200)]
    for thread in threads:
        thread.join(PATIENCE)
    assert replies == ["stored"] * 200
    for number in range(4):
        assert [n for who, n in heard if who == str(number)] == [str(n) for n in range(50)]


def test_the_last_word_is_heard_behind_the_own_end(chatd, dial):
    ana = dial(chatd.port)
    ana.open()
    settled(ana)
    ana.say_goodbye()
    assert [event.reason for event in ana.events() if isinstance(event, Bye)] == ["quit"]


def test_a_record_changed_on_the_way_is_the_end_and_not_a_message(chatd, dial, tmp_path):
    """A server in the middle passes records on, and changes a byte of one."""
    flipping = threading.Event()

    def serve(near, _):
        with socket.create_connection(("127.0.0.1", chatd.port), PATIENCE) as far:
            back = threading.Thread(target=copy, args=(near, far))
            back.start()
            while data := far.recv(65_536):
                near.sendall(bytes([*data[:-1], data[-1] ^ 1]) if flipping.is_set() else data)
            back.join(PATIENCE)

    def copy(source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    with serving(serve) as (port, _):
        ana = dial(port)
        ana.open()
        ben = chatd.join("ben")
        ben.tell("ana", "as it is")
        assert first(ana, Incoming).content == "as it is"
        flipping.set()
        ben.tell("ana", "changed")
        assert [event for event in ana.events() if isinstance(event, Incoming)] == []
        ana.close()
    again = dial(chatd.port)
    again.open()
    # What was not confirmed comes again, and the confirmation of the first may have been cut off.
    contents = [first(again, Incoming).content]
    while contents[-1] != "changed":
        contents.append(first(again, Incoming).content)
    assert contents in (["changed"], ["as it is", "changed"])


def test_a_server_that_takes_nothing_any_more_is_a_loss_and_no_standstill(dial, tmp_path):
    path, _ = write_certificate(tmp_path, "server.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    over = threading.Event()

    def serve(sock, _):
        with context.wrap_socket(sock, server_side=True) as secure:
            secure.recv(1000)
            secure.sendall(b'{"code":"welcome","v":1,"name":"ana","token":"t"}\n')
            over.wait(PATIENCE)

    with serving(serve) as (port, _):
        ana = dial(port, quiet=0.2)
        ana.open()
        for _ in range(1000):  # more than any kernel takes
            ana.send(OutgoingBroadcast("x" * 15_000))
        assert [event for event in ana.events() if not isinstance(event, Opened)] == []
        assert not ana.settled
        over.set()
