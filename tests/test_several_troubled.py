"""Nodes that answer and can keep nothing, or give no answer: who has others in the list goes on."""

import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path

import pytest
from peers.cuts import Cuttable
from peers.links import logged_in, notices, settled
from peers.shells import CHATSH, PROMPT
from support import PATIENCE
from test_cluster import nodes, ready  # noqa: F401 - a fixture
from test_link import kept
from test_several_hosts import NEVER, here, listed, ways
from test_shell_groups import toolbar
from test_shell_start import free_port

from chatd.wire.messages import (
    Ack,
    Error,
    Incoming,
    Notice,
    Outgoing,
    OutgoingBroadcast,
    Users,
    Who,
)
from chatsh import link as links
from chatsh import watch
from chatsh.client import Answered, Client, Opened
from chatsh.link import Address, GaveUp, Link, Lost, Told
from chatsh.script import Session

CABLE = Path(__file__).parent / "cluster" / "cable.py"
SKIPPED = 3  # its exit code where it may not make networks
CANNOT = "lets nobody in, for it can keep nothing at present (505 storage_full)"


@pytest.fixture
def impatient(monkeypatch):
    """Silence is noticed in tenths of a second."""
    for name in ("SILENCE", "UNANSWERED", "DOUBT", "GLANCE"):
        monkeypatch.setattr(watch, name, 0.3)
    monkeypatch.setattr(links, "DOUBT", 1.0)


@pytest.fixture
def way(nats):
    """The way of one node to NATS."""
    one = Cuttable(nats)
    yield one
    one.close()


@pytest.fixture
def cut_off(start, nats, stream, way):
    """A node that has just lost NATS, and one that has it."""
    one = start("--cluster", f"nats://127.0.0.1:{way.port}/{stream}", data="node0")
    two = start("--cluster", f"{nats.url}/{stream}", data="node1")
    return one, two


@contextmanager
def somebody(node, name="somebody"):
    """A session that sees the trouble begin and end."""
    wire = node.join(name)
    wire.settle()
    yield wire
    wire.close()


def in_trouble(wire) -> None:
    assert "cannot be kept" in wire.await_("notice", kind="announce")["text"]


def out_of_trouble(wire) -> None:
    assert "kept again" in wire.await_("notice", kind="announce")["text"]


# --- log-ins --------------------------------------------------------------------------------------


def test_who_comes_to_a_node_without_nats_is_let_in_by_the_next_at_once(cut_off, way, shells):
    one, two = cut_off
    with somebody(one) as wire:
        way.close()
        in_trouble(wire)
    with Link(here(one.port), Client("ana"), others=[here(two.port)]) as link:
        assert isinstance(link.open(), Opened)
        assert link.address == here(two.port)
        list_ = listed(one.port, two.port)
        done = run(list_, "bot", "--to", "*", "hi")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        ann = shells.start(*CHATSH, list_, "ann")
        shells.at(ann, PROMPT)
        shells.until(lambda: toolbar(ann) == f"at 127.0.0.1, port {two.port}", "the node")


def run(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run([*CHATSH, *words], capture_output=True, text=True, timeout=PATIENCE)


def test_where_nobody_can_keep_anything_the_error_names_all_and_no_message(start, own_nats):
    one, two = (start("--cluster", own_nats.url, data=f"node{n}") for n in range(2))
    with somebody(one) as first, somebody(two, "another") as second:
        own_nats.kill()
        in_trouble(first)
        in_trouble(second)
    for servers in ((one,), (one, two)):
        ports = [one.port for one in servers]
        done = run("--timeout", "0.5", listed(*ports), "ana", "--to", "ben", "hi")
        each = "; ".join(f"127.0.0.1, port {port} {CANNOT}" for port in ports)
        many = f"none of {len(ports)} servers lets us in: " if len(ports) > 1 else ""
        assert (done.returncode, done.stdout, done.stderr) == (1, "", f"chatsh: {many}{each}\n")


def test_who_starts_too_early_is_let_in_as_soon_as_something_can_be_kept(start, own_nats):
    node = start("--cluster", own_nats.url)
    with somebody(node) as wire:
        own_nats.kill()
        in_trouble(wire)
        pauses = []

        def pause(seconds):
            pauses.append(seconds)
            own_nats.start()
            out_of_trouble(wire)

        with Link(here(node.port), Client("ana"), timeout=PATIENCE, pause=pause) as link:
            assert isinstance(link.open(), Opened)
        assert len(pauses) == 1


def test_a_server_that_says_nothing_does_not_use_up_the_time_of_the_others(chatd, monkeypatch):
    monkeypatch.setattr(links, "BRIEFLY", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent, ways(None) as (way,):
        first, second = here(silent.getsockname()[1]), here(way.port)
        pauses = []

        def pause(seconds):
            if not pauses:
                way.lead_to(chatd)
            pauses.append(seconds)

        options = {"others": [second], "timeout": PATIENCE, "pause": pause}
        with Link(first, Client("ana"), **options) as link:
            assert isinstance(link.open(), Opened)
            assert link.address == second
    assert pauses


def test_who_was_let_in_too_late_is_not_kept_out_by_that(start, own_nats, monkeypatch):
    """Both nodes have been asked, and NATS takes what they have asked when it was thawed."""
    monkeypatch.setattr(links, "BRIEFLY", 0.3)
    one, two = (start("--cluster", own_nats.url, data=f"node{n}") for n in range(2))
    own_nats.freeze()
    others = [here(two.port)]
    options = {"others": others, "timeout": PATIENCE, "pause": lambda _: own_nats.thaw()}
    with Link(here(one.port), Client("ana"), **options) as link:
        assert isinstance(link.open(), Opened)
        assert isinstance(link.ask(Outgoing("ana2", "x")), Error)


def test_a_session_waits_for_a_server_that_can_keep_nothing_however_long_that_is(start, own_nats):
    node = start("--cluster", own_nats.url)
    now, long_tried = [0.0], threading.Event()

    def delays():
        while True:
            now[0] += 6
            if now[0] > 60:
                long_tried.set()
            yield 0.02

    options = {"delays": delays, "clock": lambda: now[0], "patience": 10}
    with ways(node) as (host,), kept(host, **options) as ana, somebody(node) as wire:
        own_nats.kill()
        in_trouble(wire)
        host.cut()
        ana.until(Lost)
        ana.link.send(OutgoingBroadcast("kept meanwhile"))
        ana.keeper.hurry()
        assert long_tried.wait(PATIENCE)
        own_nats.start()
        event = ana.until(Answered | GaveUp)
        assert isinstance(event, Answered)
        assert isinstance(event.reply, Ack)


# --- sends that are refused -----------------------------------------------------------------------


def test_who_is_refused_by_a_node_without_nats_goes_on_at_another_and_misses_nothing(cut_off, way):
    one, two = cut_off
    with kept(one, two, delays=lambda: repeat(NEVER)) as ana:
        ben = two.join("ben")
        ben.tell("ana", "before")
        assert ana.until(Incoming).content == "before"
        way.close()
        assert "cannot be kept" in until_notice(ana, "announce").text
        ben.tell("ana", "between")
        ana.link.send(Outgoing("ben", "refused"))
        refused = ana.until(Answered).reply
        assert isinstance(refused, Error)
        assert (refused.error, refused.retry_after) == (505, 1)
        assert ana.until(Told | Lost) == Told(
            f"127.0.0.1, port {one.port} can keep nothing at present: "
            f"you are at 127.0.0.1, port {two.port} now."
        )
        ana.link.send(Outgoing("ben", "again"))
        assert isinstance(ana.until(Answered).reply, Ack)
        heard = [frame["content"] for frame in ben.settle() if frame["code"] == "incoming"]
        assert heard == ["again"]


def until_notice(ana, kind: str) -> Notice:
    while (notice := ana.until(Notice)).kind != kind:
        pass
    return notice


def test_where_no_server_can_keep_anything_everybody_stays_where_they_are(start, own_nats):
    one, two = (start("--cluster", own_nats.url, data=f"node{n}") for n in range(2))
    with somebody(one) as first, somebody(two, "another") as second, kept(one, two) as ana:
        ana.link.send(Who())
        ana.until(Answered)  # nothing is on its way
        own_nats.kill()
        for wire in (first, second):
            in_trouble(wire)
        for _ in range(3):
            ana.link.send(OutgoingBroadcast("x"))
            assert ana.until(Answered | Lost).reply.error == 505
        assert ana.link._watch._pause, "the other one was tried"
        own_nats.start()
        for wire in (first, second):
            out_of_trouble(wire)
        ana.link.send(OutgoingBroadcast("kept"))
        assert isinstance(ana.until(Answered | GaveUp).reply, Ack)


@pytest.mark.usefixtures("impatient")
def test_a_log_in_that_was_given_up_and_comes_late_is_no_end(start, own_nats):
    """NATS takes it after it was thawed, when its session is somewhere already."""
    one, two = (start("--cluster", own_nats.url, data=f"node{n}") for n in range(2))
    with kept(one, two) as ana:
        ben = one.join("ben")
        ben.settle()
        own_nats.freeze()
        ana.link.send(Outgoing("ben", "once"))
        while not ana.link._unheard:  # it has tried the other node, which did not answer
            assert ready(one)  # a page that waits for nobody
        own_nats.thaw()
        assert isinstance(ana.until(Answered | GaveUp).reply, Ack)
        ana.link.send(Outgoing("ben", "twice"))
        assert isinstance(ana.until(Answered | GaveUp).reply, Ack)
        heard = [frame["content"] for frame in ben.settle() if frame["code"] == "incoming"]
        assert heard == ["once", "twice"]


# --- no answer ------------------------------------------------------------------------------------


@pytest.mark.parametrize("busy", [True, False])
@pytest.mark.usefixtures("impatient")
def test_who_is_at_a_node_that_is_frozen_goes_on_at_another(nodes, busy):  # noqa: F811
    one, two = nodes(2)
    with kept(one, two, delays=lambda: repeat(NEVER)) as ana:
        ben = two.join("ben")
        ben.tell("ana", "before")
        assert ana.until(Incoming).content == "before"
        one.signal(signal.SIGSTOP)
        if busy:
            ana.link.send(Outgoing("ben", "still there?"))
        assert ana.until(Told | Lost) == Told(
            f"127.0.0.1, port {one.port} does not answer: "
            f"you are at 127.0.0.1, port {two.port} now."
        )
        if busy:
            assert isinstance(ana.until(Answered).reply, Ack)
        one.signal(signal.SIGCONT)
        heard = [frame["content"] for frame in ben.settle() if frame["code"] == "incoming"]
        assert heard == ["still there?"] * busy
        ben.tell("ana", "behind it")
        assert ana.until(Incoming).content == "behind it"


@pytest.mark.usefixtures("impatient")
def test_a_script_goes_on_at_another_node_too(nodes):  # noqa: F811
    one, two = nodes(2)
    client = Client("ana", confirms=False)
    with Link(here(one.port), client, others=[here(two.port)], tell=lambda _: None) as link:
        link.open()
        ben = two.join("ben")
        one.signal(signal.SIGSTOP)
        assert isinstance(Session(link).ask(Outgoing("ben", "hi")), Ack)
        assert link.address == here(two.port)
        assert [each["content"] for each in ben.settle() if each["code"] == "incoming"] == ["hi"]


@pytest.mark.usefixtures("impatient")
def test_a_shell_says_that_it_has_gone_on_and_keeps_what_is_typed(nodes, shells):  # noqa: F811
    one, two = nodes(2)
    ann = shells.start(*CHATSH, listed(one.port, two.port), "ann", size=(24, 120))
    shells.at(ann, PROMPT)
    one.signal(signal.SIGSTOP)
    ann.enter("hello")
    ann.type("half a l")
    told = "does not answer: you are at 127.0.0.1, port"
    shells.sees(ann, f"127.0.0.1, port {one.port} {told} {two.port} now.")
    shells.until(lambda: toolbar(ann) == f"at 127.0.0.1, port {two.port}", "the other node")
    shells.sees(ann, "ann: hello")
    shells.at(ann, f"{PROMPT} half a l")


def test_a_server_that_is_frozen_and_has_no_other_beside_it_is_waited_for(chatd):
    """The one that is left is tried while its session is kept: what it has said is heard."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        others = [here(silent.getsockname()[1])]
        with Link(here(chatd.port), Client("ana"), others=others) as link:
            link.open()
            link._move()
            assert link.address == here(chatd.port)
            assert isinstance(link.ask(Who()), Users)


def test_who_shall_not_reconnect_is_not_moved_either(chatd):
    others = [Address("127.0.0.1", free_port())]
    for leaves in (True, False):
        with Link(here(chatd.port), Client("ana"), others=others, leaves=leaves) as link:
            link.open()
            settled(link)
            seconds, due = link._due()
            assert ((seconds, due) == (watch.GLANCE, None)) is leaves


def test_who_leaves_while_another_server_is_tried_has_left_there_too(chatd, monkeypatch):
    with ways(chatd) as (way,), logged_in(chatd, "ben") as ben:
        link = Link(here(way.port), Client("ana"), others=[here(chatd.port)])
        link.open()
        connect = links.connect

        def leave_first(*words):
            link.say_goodbye()
            return connect(*words)

        monkeypatch.setattr(links, "connect", leave_first)
        link._move()
        while link.read():
            pass
        link.drop()
        heard = notices(ben)
        assert heard[-1] == "ana is quitting."
        assert not [one for one in heard if "lost" in one]


# --- the system's part ----------------------------------------------------------------------------


def test_the_system_watches_a_server_that_has_others_beside_it(chatd):
    idle = socket.TCP_KEEPIDLE
    with socket.create_server(("127.0.0.1", 0)) as other:
        for others, closely in (([here(other.getsockname()[1])], True), ([], False)):
            with Link(here(chatd.port), Client("ana"), others=others) as link:
                link.open()
                seconds = link._socket.getsockopt(socket.IPPROTO_TCP, idle)
                assert (seconds <= 5) is closely
                assert link._socket.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


def test_a_cable_that_is_pulled_is_noticed_by_who_says_nothing():
    done = subprocess.run(
        [sys.executable, CABLE], capture_output=True, text=True, timeout=2 * PATIENCE
    )
    if done.returncode == SKIPPED:
        pytest.skip(done.stdout.strip())
    assert (done.returncode, done.stderr) == (0, "")
    assert float(done.stdout) < 40  # half of what it takes by questions
