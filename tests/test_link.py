import contextlib
import errno
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path

import pytest
from peers.links import first, logged_in, notices
from peers.servers import kill, s3_server

from chatd.wire.messages import (
    Ack,
    Bye,
    Incoming,
    IncomingBroadcast,
    Outgoing,
    OutgoingBroadcast,
    Ping,
    Pong,
    Users,
    Who,
)
from chatsh.client import Answered, Client, Opened
from chatsh.link import (
    Address,
    GaveUp,
    Keeper,
    Link,
    LinkError,
    LoginRefusedError,
    Lost,
    backoff,
    connect,
)

ECHO_BOT = Path(__file__).parents[1] / "examples" / "echo_bot.py"
PATIENCE = 30.0  # seconds, only for giving up


@contextmanager
def answering(*replies: bytes, then_close: bool = True):
    """A server for one connection, which says this to whatever it hears."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        done = threading.Event()

        def serve():
            conn, _ = listener.accept()
            with conn:
                for reply in replies:
                    conn.recv(65_536)
                    conn.sendall(reply)
                if not then_close:
                    done.wait(PATIENCE)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield Address("127.0.0.1", listener.getsockname()[1])
        done.set()
        thread.join(PATIENCE)


@pytest.fixture
def s3():
    with s3_server() as running:
        yield running


# --- connecting ---


def complaint(address: Address, timeout: float = PATIENCE) -> str:
    with pytest.raises(LinkError) as refused:
        Link(address, Client("ana"), timeout=timeout).open()
    return str(refused.value)


def test_a_port_where_nothing_listens():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert complaint(Address("127.0.0.1", port)) == (
        f"cannot connect to 127.0.0.1, port {port}: "
        "nothing listens there (Connection refused); is the server running?"
    )


def test_a_name_server_that_never_answers_is_waited_for_no_longer_than_said(monkeypatch):
    never = threading.Event()

    def waits(*_, **__):
        never.wait()
        return []

    monkeypatch.setattr(socket, "getaddrinfo", waits)
    assert complaint(Address("far.example", 8000), timeout=0.2) == (
        "cannot connect to far.example, port 8000: "
        "that host name cannot be resolved (no answer within 0.2 seconds)"
    )
    never.set()


def test_all_addresses_of_a_host_are_tried_within_the_timeout(monkeypatch):
    given = []

    def connecting(address, timeout):
        given.append((address, timeout))
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", connecting)
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda *_, **__: [(0, 0, 0, "", (host, 8000)) for host in ("::1", "::1", "127.0.0.1")],
    )
    assert complaint(Address("both", 8000), timeout=10).endswith("10 seconds (timed out)")
    assert [address for address, _ in given] == [("::1", 8000), ("127.0.0.1", 8000)]
    assert given[0][1] == pytest.approx(5, abs=1)


def test_what_talks_without_an_end_and_says_no_welcome_is_left():
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def chatter():
            conn, _ = listener.accept()
            with conn, contextlib.suppress(OSError):
                while True:
                    conn.sendall(b"\n")

        thread = threading.Thread(target=chatter, daemon=True)
        thread.start()
        said = complaint(Address("127.0.0.1", listener.getsockname()[1]), timeout=0.3)
        thread.join(PATIENCE)
    assert "is it a chat server?" in said


@pytest.mark.parametrize("host", ["nowhere.invalid", "a..b", "x" * 300, "a\0b", "\udc80"])
def test_a_host_that_cannot_be_resolved(host):
    said = complaint(Address(host, 8000))
    assert said.startswith("cannot connect to ")
    assert ", port 8000: that host name cannot be resolved (" in said


def test_a_port_that_is_none():
    assert complaint(Address("localhost", 70_000)) == (
        "cannot connect to localhost, port 70000: a port is a number from 1 to 65535"
    )


def test_a_server_that_accepts_no_more():
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]  # the queue holds one or two of them
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        port = full.getsockname()[1]
        said = complaint(Address("127.0.0.1", port), timeout=0.2)
        for each in waiting:
            each.close()
    assert said == (
        f"cannot connect to 127.0.0.1, port {port}: no answer within 0.2 seconds (timed out)"
    )


# What a network says cannot be had from a loopback interface.
@pytest.mark.parametrize(
    ("number", "means"),
    [
        (errno.EHOSTUNREACH, "the host cannot be reached (No route to host)"),
        (errno.ENETUNREACH, "there is no way to that network (Network is unreachable)"),
        (errno.EACCES, "Permission denied"),
    ],
)
def test_what_the_network_says(monkeypatch, number, means):
    def fails(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(socket, "create_connection", fails)
    with pytest.raises(LinkError, match="cannot connect to 192") as error:
        connect(Address("192.0.2.1", 8000), 1)
    assert str(error.value).endswith(means)


STRANGERS = [
    ([b"HTTP/1.1 400 Bad Request\r\n\r\n"], " answers, but it is not a chat server"),
    ([b"SSH-2.0-OpenSSH_9.2\r\n"], " answers, but it is not a chat server"),
    ([b""], " closed the connection without a welcome; is it a chat server?"),
    ([b'{"code":"users","users":[]}\n'], " closed the connection without a welcome"),
    ([], " the connection without a welcome"),  # unread bytes turn a close into a reset
]


@pytest.mark.parametrize(("replies", "said"), STRANGERS)
def test_what_is_no_chat_server_is_told_so(replies, said):
    with answering(*replies) as address:
        assert said in complaint(address)


def test_what_says_nothing_is_told_so():
    with answering(then_close=False) as address:
        said = complaint(address, timeout=0.2)
    assert said == (f"{address} accepts connections but says no welcome; is it a chat server?")


def test_the_second_session_of_a_name_is_refused_with_103(chatd):
    with (
        logged_in(chatd, "ana"),
        pytest.raises(LoginRefusedError) as refused,
        logged_in(chatd, "ana"),
    ):
        pass
    assert str(refused.value) == "103: ana already has an open session."


# --- a session ---


def test_ask_waits_for_its_answer_and_keeps_what_came_before(chatd):
    with logged_in(chatd, "ana") as ana, logged_in(chatd, "ben") as ben:
        ben.ask(Outgoing("ana", "first"))
        assert ana.ask(Who()).users == ["ana", "ben"]
        assert first(ana, Incoming).content == "first"


def test_messages_reach_whom_they_are_for(chatd):
    with logged_in(chatd, "ana") as ana, logged_in(chatd, "ben") as ben:
        assert isinstance(ana.ask(Outgoing("ben", "hi")), Ack)
        assert first(ben, Incoming).content == "hi"
        assert isinstance(ana.ask(OutgoingBroadcast("all")), Ack)
        assert first(ben, IncomingBroadcast).content == "all"
        assert ana.ask(Ping("x")).n is not None


def test_leaving_is_a_quit_and_not_a_loss(chatd):
    with logged_in(chatd, "ana") as ana:
        with logged_in(chatd, "ben"):
            pass
        assert notices(ana) == ["ben has joined.", "ben is quitting."]


def test_events_end_with_the_connection(chatd):
    with logged_in(chatd, "ana") as ana:
        kill(chatd)
        list(ana.events())
        with pytest.raises(LinkError):
            ana.ask(Who())


def test_a_silent_server_is_asked_and_in_the_end_given_up():
    with answering(b'{"code":"welcome","v":1}\n', then_close=False) as address:
        link = Link(address, Client("ana"), quiet=0.05)
        link.open()
        assert [type(event) for event in link.events()] == [Opened]
        link.drop()


def test_the_echo_bot_says_back_what_it_is_told(chatd):
    command = [sys.executable, ECHO_BOT, "127.0.0.1", str(chatd.port)]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as bot,
        logged_in(chatd, "ana") as ana,
    ):
        assert bot.stdout.readline() == "echo is listening\n"
        for text in ("hi", 'it\'s "5" > 3 | x', "ü 🎈"):
            ana.send(Outgoing("echo", text))
            assert first(ana, Incoming).content == text
        assert chatd.stop() == 0
        assert bot.stderr.read() == "The server is shutting down; you have been logged off.\n"
        assert bot.wait() == 1


def test_the_echo_bot_confirms_what_it_got_and_more_than_a_window_of_it(chatd):
    command = [sys.executable, ECHO_BOT, "127.0.0.1", str(chatd.port)]
    with logged_in(chatd, "ana") as ana:
        for texts in ([f"number {number}" for number in range(400)], ["only this"]):
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as bot:
                assert bot.stdout.readline() == "echo is listening\n"
                for text in texts:
                    ana.send(Outgoing("echo", text))
                assert [first(ana, Incoming).content for _ in texts] == texts
                bot.send_signal(signal.SIGINT)
                assert bot.wait() == 1


# --- a server that knows only S3 ---


def test_three_clients_chat_on_a_server_of_s3(s3):
    with logged_in(s3, "ana") as ana, logged_in(s3, "ben") as ben, logged_in(s3, "cid") as cid:
        assert sorted(cid.ask(Who()).users) == ["ana", "ben", "cid"]
        assert ana.ask(Outgoing("ben", "hi")) is None
        assert first(ben, Incoming).content == "hi"
        ben.ask(OutgoingBroadcast("all"))
        assert [first(each, IncomingBroadcast).content for each in (ana, cid)] == ["all", "all"]


def test_a_server_that_reads_one_object_per_segment_gets_them_one_by_one(s3):
    with logged_in(s3, "ana") as ana, logged_in(s3, "ben") as ben:
        for number in range(20):
            ana.send(Outgoing("ben", str(number)))
        assert [first(ben, Incoming).content for _ in range(20)] == list(map(str, range(20)))
        assert isinstance(ana.ask(Ping("still here")), Pong)
        assert isinstance(ben.ask(Who()), Users)


def test_an_unknown_receiver_on_a_server_of_s3_is_its_own_message(s3):
    with logged_in(s3, "ana") as ana:
        ana.send(Outgoing("zoe", "x"))
        heard = first(ana, Incoming)
        assert (heard.sender, heard.content) == (
            "server",
            'User "zoe" is not connected to the server.',
        )


# --- coming back ---


class Kept:
    """A kept link and what it delivered."""

    def __init__(self, server, *more, **options):
        self.events: queue.SimpleQueue = queue.SimpleQueue()
        first, *others = [Address("127.0.0.1", one.port) for one in (server, *more)]
        self.link = Link(first, Client("ana"), others=others)
        self.link.open()
        delays = options.pop("delays", lambda: repeat(0.02))
        self.keeper = Keeper(self.link, self.events.put, delays=delays, **options)
        self.keeper.start()

    def until(self, kind: type):
        while not isinstance(event := self.events.get(timeout=PATIENCE), kind):
            pass
        return event


@contextmanager
def kept(*servers, **options):
    it = Kept(*servers, **options)
    yield it
    it.keeper.stop()


def test_a_restarted_server_is_found_again_and_gets_what_waited_once(start, chatd):
    with kept(chatd) as ana:
        kill(chatd)
        assert ana.until(Lost) == Lost(again=True)
        ana.link.send(OutgoingBroadcast("kept"))
        again = start(port=chatd.port)
        with logged_in(again, "ben") as ben:
            ana.until(Opened)
            assert isinstance(ana.until(Answered).reply, Ack)
            ana.link.send(Outgoing("ben", "last"))
            heard = [event.content for event in until_incoming(ben)]
            assert heard in (["last"], ["kept", "last"])


def until_incoming(link: Link) -> list:
    heard = []
    while not (heard and isinstance(heard[-1], Incoming)):
        heard.append(first(link, Incoming | IncomingBroadcast))
    return heard


def test_who_waits_for_a_server_that_stays_away_is_told_in_the_end(chatd):
    with kept(chatd, patience=0.2) as ana:
        kill(chatd)
        ana.until(Lost)
        ana.keeper.hurry()
        assert ana.until(GaveUp) == GaveUp()


def test_a_hurry_does_not_wait_for_the_next_attempt(start, chatd):
    with kept(chatd, delays=lambda: repeat(3600.0)) as ana:
        kill(chatd)
        ana.until(Lost)
        start(port=chatd.port)
        ana.keeper.hurry()
        ana.until(Opened)


def test_without_reconnect_a_loss_is_the_end(chatd):
    with kept(chatd, reconnect=False) as ana:
        kill(chatd)
        assert ana.until(Lost) == Lost(again=False)
        assert ana.until(GaveUp) == GaveUp()


def test_an_orderly_end_is_no_loss(chatd):
    with kept(chatd) as ana:
        assert chatd.stop() == 0
        assert ana.until(Bye).reason == "shutdown"
        ana.keeper.stop()
        assert ana.events.empty()


def test_attempts_come_ever_more_rarely_and_never_together():
    delays = backoff(first=1.0, most=8.0)
    ceilings = [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    assert all(0 <= next(delays) <= ceiling for ceiling in ceilings)
    assert next(backoff()) != next(backoff())
