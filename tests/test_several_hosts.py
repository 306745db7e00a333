"""One chat at several addresses: which is tried when, and that a session goes on exactly there."""

import json
import os
import shlex
import signal
import socket
import subprocess
import threading
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path

import pytest
from peers.cuts import Cuttable
from peers.links import logged_in, settled
from peers.servers import kill
from peers.shells import CHATSH, PROMPT
from support import PATIENCE
from test_link import kept
from test_shell_groups import toolbar
from test_shell_start import free_port

from chatd.wire.messages import Ack, Incoming, IncomingBroadcast, Outgoing, OutgoingBroadcast, Who
from chatsh import link as links
from chatsh.cli import UsageError, place
from chatsh.client import Answered, Client, Opened
from chatsh.destination import without_questions, words_for
from chatsh.link import Address, Link, LinkError, LoginRefusedError, Lost, Told
from chatsh.script import Session
from chatsh.settings import Server

DRAINED = Path(__file__).parent / "programs_chatd" / "drained.py"
NEVER = 3600.0  # seconds of a pause that no test waits for


@contextmanager
def ways(*servers):
    """An address of its own for each, which may be none yet; a closed one is a server that died."""
    made = [Cuttable(server) for server in servers]
    try:
        yield made
    finally:
        for one in made:
            one.close()


def here(port: int) -> Address:
    return Address("127.0.0.1", port)


def listed(*ports: int) -> str:
    return ",".join(f"127.0.0.1:{port}" for port in ports)


# --- what can be written --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "addresses"),
    [
        (["a,b,c", "9"], [("a", 9), ("b", 9), ("c", 9)]),
        (["9", "a,b", "ana"], [("a", 9), ("b", 9)]),
        (["a,b:1,[::1]:2,::1", "9"], [("a", 9), ("b", 1), ("::1", 2), ("::1", 9)]),
        (["a:1,b:2"], [("a", 1), ("b", 2)]),
        (["a:1,b:2", "ana"], [("a", 1), ("b", 2)]),
        (["a:1", "ana"], [("a", 1)]),
        (["a, b,a", "9"], [("a", 9), ("b", 9)]),
        ([":1,[::1]", "9"], [("", 1), ("::1", 9)]),
        (["::1", "9"], [("::1", 9)]),
    ],
)
def test_several_addresses_are_one_place(words, addresses):
    given = place(words)
    assert given.addresses == addresses
    assert given.name == ("ana" if "ana" in words else None)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["a,,b", "9"], '"" in a,,b is no host'),
        (["a,b,", "9"], '"" in a,b, is no host'),
        (["a,8000", "9"], "8000 in a,8000 is no host"),
        (["a:b,c", "9"], "b is not a port: it is a number from 1 to 65535"),
        (["a:0", "ana"], "0 is not a port: it is a number from 1 to 65535"),
        (["a:1,b:2", "9"], "a:1,b:2 says every port already, and 9 is another one"),
        (["a:1", "ana", "ben"], "too many arguments: ben"),
        (["a,b", "ana"], "neither a,b nor ana is a port"),
        ([",".join(map(str, range(17))), "9"], "17 servers are too many: a list has 16 at most"),
    ],
)
def test_a_list_with_something_wrong_is_told_so(words, says):
    with pytest.raises(UsageError) as refused:
        assert place(words).addresses
    assert str(refused.value) == says


def test_a_variable_may_list_them():
    given = without_questions(place([]), {}, "a:1,b:2")
    assert given.addresses == [("a", 1), ("b", 2)]
    with pytest.raises(UsageError, match="CHATSH_SERVER is neither a profile nor HOST:PORT: a,b:2"):
        without_questions(place([]), {}, "a,b:2")


@pytest.mark.parametrize(
    ("list_", "words"),
    [
        (["a,b", "9", "ana"], "a,b 9 ana"),
        (["a:1,b", "2", "my name"], "a:1,b:2 'my name'"),
        (["::1,b", "9"], "'[::1]:9,b:9'"),
        ([":1,b", "1", "o'neil"], """:1,b:1 'o'"'"'neil'"""),
    ],
)
def test_a_place_can_be_told_as_words_that_lead_there(list_, words):
    given = place(list_)
    assert words_for(given.addresses, given.name) == words
    again = place(shlex.split(words))
    assert (again.addresses, again.name) == (given.addresses, given.name)


def test_a_profile_may_list_them():
    profiles = {"work": Server("a,b:1", 9, "ana"), "wrong": Server("a,,b")}
    given = place(["work"], profiles)
    assert (given.addresses, given.name) == ([("a", 9), ("b", 1)], "ana")
    with pytest.raises(UsageError, match='"" in a,,b is no host'):
        place(["wrong"], profiles)


# --- the start ------------------------------------------------------------------------------------


def test_a_wrong_name_and_a_server_that_is_down_do_not_keep_anybody_out(chatd):
    others = [here(free_port()), here(chatd.port)]
    with Link(Address("no.such.host.invalid", 1), Client("ana"), others=others) as link:
        assert isinstance(link.open(), Opened)
        assert link.address == others[-1]
        assert link.home == ("no.such.host.invalid", 1)


def test_where_none_lets_us_in_one_error_names_each_with_its_reason():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        down, mute = free_port(), silent.getsockname()[1]
        link = Link(here(mute), Client("ana"), others=[here(down)], timeout=0.4)
        with pytest.raises(LinkError) as refused:
            link.open()
    assert str(refused.value) == (
        "none of 2 servers lets us in: "
        f"127.0.0.1, port {mute} accepts connections but says no welcome; is it a chat server?; "
        f"cannot connect to 127.0.0.1, port {down}: "
        "nothing listens there (Connection refused); is the server running?"
    )


def test_where_one_is_full_there_may_be_a_place_at_the_next(start, chatd):
    full = start("--max-clients", "1", data="full")
    full.join("ben")
    with Link(here(full.port), Client("ana"), others=[here(chatd.port)]) as link:
        assert isinstance(link.open(), Opened)
    with pytest.raises(LoginRefusedError, match="108: The server is full"):
        Link(here(full.port), Client("ana"), others=[Address("", full.port)]).open()


def test_what_the_whole_chat_refuses_is_not_asked_of_the_next(chatd):
    with logged_in(chatd, "ana"), ways(None) as (untouched,):
        link = Link(here(chatd.port), Client("ana"), others=[here(untouched.port)])
        with pytest.raises(LoginRefusedError, match="103: ana already has an open session"):
            link.open()
        assert link.address == here(chatd.port)  # where a password would be said
        untouched.lead_to(chatd)


# --- a loss ---------------------------------------------------------------------------------------


def test_after_a_loss_it_goes_on_at_the_next_at_once_and_exactly(chatd):
    with (
        ways(chatd, chatd, chatd) as hosts,
        kept(*hosts, delays=lambda: repeat(NEVER)) as ana,
    ):
        ben, cleo = chatd.join("ben"), chatd.join("cleo")
        for number, host in enumerate(hosts):
            ben.tell("ana", f"to {number}")
            assert ana.until(Incoming).content == f"to {number}"
            assert ana.link.address == here(host.port)
            if host is not hosts[-1]:
                host.close()
                ana.link.send(Outgoing("cleo", f"from {number}"))
                ben.tell("ana", f"between {number}")
                assert ana.until(Lost) == Lost(again=True)
                said = [ana.until(Incoming | Answered) for _ in range(2)]
                (answered,) = (one for one in said if isinstance(one, Answered))
                assert isinstance(answered.reply, Ack)
                assert said[said[0] is answered].content == f"between {number}"
        heard = [frame["content"] for frame in cleo.settle() if frame["code"] == "incoming"]
        assert heard == ["from 0", "from 1"]


def test_a_pause_comes_only_behind_a_whole_round(chatd, monkeypatch):
    tried, over = [], threading.Event()

    def paused():
        tried.append("pause")
        yield 0.0
        tried.append("pause")
        over.set()
        yield NEVER

    def refuse(address, _):
        tried.append(address.port)
        raise LinkError("planted")

    with ways(chatd, chatd, chatd) as hosts, kept(*hosts, delays=paused) as ana:
        monkeypatch.setattr(links, "connect", refuse)
        hosts[0].close()
        ana.until(Lost)
        one, two, three = (host.port for host in hosts)
        assert over.wait(PATIENCE)
    assert tried == [two, three, one, "pause", two, three, one, "pause"]


def test_who_is_sent_away_again_and_again_pauses(chatd):
    now = [0.0]
    with ways(chatd, chatd) as hosts:
        first, second = (here(host.port) for host in hosts)
        link = Link(first, Client("ana"), others=[second], clock=lambda: now[0])
        for address in (first, second) * 2:
            assert link.goes_on
            link.open()
            assert link.address == address
            link.drop()
        assert not link.goes_on
        now[0] += 21
        assert link.goes_on


def test_another_chat_among_them_gets_nothing_of_what_was_meant_for_this_one(start, chatd):
    wrong = start(data="another")
    ben = wrong.join("ben")
    with kept(chatd, wrong) as ana:
        kill(chatd)
        ana.until(Lost)
        ana.link.send(OutgoingBroadcast("for this one"))
        told = ana.until(Told).text
        assert told == (
            f"127.0.0.1, port {wrong.port} is another chat, with a log of its own, "
            f"than the one at 127.0.0.1, port {chatd.port}: it is passed over"
        )
        start(port=chatd.port)
        ana.until(Opened)
        assert isinstance(ana.until(Answered).reply, Ack)
        assert not ana.link.several
    assert wrong.log().count("event=connect name=ana") == 1, "it is not asked again"
    assert [frame["code"] for frame in ben.settle()] == ["notice", "notice"]


def test_a_server_of_s3_does_not_go_on_with_the_chat_of_another(s3, chatd):
    with ways(chatd) as (host,):
        link = Link(here(host.port), Client("ana"), others=[here(s3.port)])
        link.open()
        host.close()
        link.send(OutgoingBroadcast("for this one"))
        with pytest.raises(LinkError, match=f"port {s3.port} is another chat; cannot connect"):
            link.open()
        with logged_in(s3, "ben") as ben:
            assert not [one for one in settled(ben) if isinstance(one, IncomingBroadcast)]


@pytest.fixture
def s3():
    from peers.servers import s3_server

    with s3_server() as running:
        yield running


def test_who_confirms_later_gets_again_what_it_has_not_taken(chatd):
    """A program that goes on elsewhere has not taken what it only has heard."""
    with ways(chatd, chatd) as hosts, logged_in(chatd, "ben") as ben:
        client = Client("ana", confirms=False)
        link = Link(here(hosts[0].port), client, others=[here(hosts[1].port)])
        link.open()
        ben.ask(Outgoing("ana", "first"))
        assert [one.content for one in settled(link) if isinstance(one, Incoming)] == ["first"]
        link.drop()
        link.open()
        ben.ask(Outgoing("ana", "second"))
        assert [one.content for one in settled(link) if isinstance(one, Incoming)] == ["second"]
        link.close()
    with logged_in(chatd, "ana") as again:
        heard = [one.content for one in settled(again) if isinstance(one, Incoming)]
    assert heard == ["first", "second"]


# --- a server that is drained ---------------------------------------------------------------------


@pytest.fixture
def drained(start):
    return start(program=[DRAINED])


def test_who_is_drained_goes_on_elsewhere_at_once_and_hears_of_nothing(start, drained):
    with ways(None) as (other,), kept(drained, other, delays=lambda: repeat(NEVER)) as ana:
        ben = drained.join("ben")
        ben.tell("ana", "before")
        ana.until(Incoming)
        assert drained.stop() == 0
        (bye,) = [frame for frame in ben.rest() if frame["code"] == "bye"]
        assert (bye["reconnect"], bye["after_s"]) == (True, 5)
        ana.link.send(OutgoingBroadcast("meanwhile"))
        other.lead_to(start())
        between = []
        while not isinstance(event := ana.events.get(timeout=PATIENCE), Answered):
            between.append(type(event).__name__)
        assert isinstance(event.reply, Ack)
        assert "Lost" not in between
        assert "Opened" in between


def test_who_knows_one_address_alone_waits_until_the_server_may_be_back(start, drained):
    waited = []

    def delays():
        waited.append("pause")
        yield from repeat(NEVER)

    with kept(drained, delays=delays) as ana:
        assert drained.stop() == 0
        assert ana.until(Lost) == Lost(again=True)
        start(port=drained.port)
        ana.keeper.hurry()
        ana.until(Opened)
    assert waited == []


# --- shells and programs --------------------------------------------------------------------------


def test_a_shell_says_where_it_is_and_goes_on_elsewhere_with_its_draft(shells, chatd):
    with ways(chatd, chatd) as hosts:
        first, second = (host.port for host in hosts)
        ann = shells.start(*CHATSH, listed(first, second), "ann")
        shells.at(ann, PROMPT)
        assert f"connecting to one of 127.0.0.1, port {first}; 127.0.0.1, port {second}" in ann.rows
        shells.until(lambda: toolbar(ann) == f"at 127.0.0.1, port {first}", "the status")
        ann.type("half a l")
        shells.at(ann, f"{PROMPT} half a l")
        hosts[0].close()
        shells.sees(ann, f"connected again at 127.0.0.1, port {second}")
        shells.until(lambda: toolbar(ann) == f"at 127.0.0.1, port {second}", "the status")
        ann.enter("ine")
        shells.sees(ann, "ann: half a line")


def test_a_shell_shows_nothing_of_a_server_that_is_drained(shells, start, drained):
    with ways(None) as (other,):
        ann = shells.start(*CHATSH, listed(drained.port, other.port), "ann")
        shells.at(ann, PROMPT)
        rows = [row for row in ann.rows if row.strip()]
        assert drained.stop() == 0
        other.lead_to(start())
        shells.until(lambda: toolbar(ann) == f"at 127.0.0.1, port {other.port}", "the status")
        assert [row for row in ann.rows if row.strip()][:-1] == rows[:-1]
        ann.enter("still here")
        shells.sees(ann, "ann: still here")


def test_a_shell_that_shall_not_reconnect_ends_with_its_server(shells, chatd):
    with ways(chatd, chatd) as hosts:
        list_ = listed(*(host.port for host in hosts))
        ann = shells.start(*CHATSH, "--no-reconnect", list_, "ann")
        shells.at(ann, PROMPT)
        hosts[0].close()
        assert shells.ends(ann) == 3


def test_what_is_begun_stays_with_the_list_wherever_it_was(shells, chatd):
    with ways(chatd, chatd) as hosts:
        list_ = listed(*(host.port for host in hosts))
        ann = shells.start(*CHATSH, list_, "ann")
        shells.at(ann, PROMPT)
        hosts[0].close()
        shells.sees(ann, f"connected again at 127.0.0.1, port {hosts[1].port}")
        ann.type("begun")
        shells.at(ann, f"{PROMPT} begun")
        ben = shells.peer(chatd, "ben")
        os.kill(ann.child.pid, signal.SIGKILL)
        shells.ends(ann)
        shells.until(lambda: "ann has lost its connection." in ben.heard, "the loss")
        again = shells.start(*CHATSH, list_, "ann")
        shells.at(again, f"{PROMPT} begun")


def test_what_is_unsent_at_the_end_is_found_with_the_words_that_are_told(shells, start, chatd):
    with ways(chatd) as (host,):
        list_ = listed(host.port, chatd.port)
        ann = shells.start(*CHATSH, list_, "ann", size=(24, 150))
        shells.at(ann, PROMPT)
        host.close()
        shells.sees(ann, f"connected again at 127.0.0.1, port {chatd.port}")
        kill(chatd)
        shells.until(lambda: "not connected" in toolbar(ann), "the loss")
        for line in ("unsent", "/quit"):
            ann.enter(line)
        assert shells.ends(ann) == 0
    told = "What could not be sent is kept for the next time: chatsh "
    (words,) = [row.removeprefix(told) for row in ann.rows if row.startswith(told)]
    assert words == f"{list_} ann"
    start(port=chatd.port)
    again = shells.start(*CHATSH, *shlex.split(words), size=(24, 150))
    shells.sees(again, "  to everyone: unsent")


@contextmanager
def program(*words: str):
    with subprocess.Popen(
        [*CHATSH, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_script_that_waits_goes_on_waiting_elsewhere(chatd):
    ben = chatd.join("ben")
    with (
        ways(chatd, chatd) as hosts,
        program(listed(*(host.port for host in hosts)), "ana", "--wait-for", "done") as script,
    ):
        ben.await_("notice", kind="joined", name="ana")
        hosts[0].close()
        ben.tell("ana", "it is done")
        out, err = script.communicate(timeout=PATIENCE)
    assert (script.returncode, out.endswith("ben: it is done\n"), err) == (0, True, "")


def test_a_message_of_a_script_that_is_on_its_way_is_said_once_elsewhere(chatd):
    ben = chatd.join("ben")
    with ways(chatd, chatd) as hosts:
        first, second = (here(host.port) for host in hosts)
        with Link(first, Client("ana", confirms=False), others=[second]) as link:
            link.open()
            session = Session(link)
            session.ask(Who())
            hosts[0].close()
            assert isinstance(session.ask(Outgoing("ben", "once")), Ack)
            assert link.address == second
    heard = [frame["content"] for frame in ben.settle() if frame["code"] == "incoming"]
    assert heard == ["once"]


def test_a_script_takes_the_first_that_is_there(chatd):
    done = subprocess.run(
        [*CHATSH, listed(free_port(), chatd.port), "ana", "--to", "*", "hi"],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_program_with_json_is_told_of_the_loss_and_goes_on(chatd):
    ben = chatd.join("ben")
    with (
        ways(chatd, chatd) as hosts,
        program(listed(*(host.port for host in hosts)), "ana", "--json") as script,
    ):
        assert json.loads(script.stdout.readline())["state"] == "open"
        hosts[0].close()
        ben.tell("ana", "behind it")
        script.stdin.write("/dm ben and back\n")
        script.stdin.close()
        told = [json.loads(line) for line in script.stdout]
        assert script.wait(PATIENCE) == 0
    links_ = [one["state"] for one in told if one["type"] == "link"]
    assert links_[:2] == ["lost", "open"]
    assert [one["text"] for one in told if one["type"] == "message"] == ["behind it"]
    assert ben.await_("incoming")["content"] == "and back"


def test_a_script_ends_where_no_server_is_left(chatd):
    with (
        ways(chatd) as (host,),
        program(listed(host.port, free_port()), "ana", "--json") as script,
    ):
        assert json.loads(script.stdout.readline())["state"] == "open"
        host.close()
        assert json.loads(script.stdout.readline())["state"] == "lost"
        script.stdin.close()
        assert script.wait(PATIENCE) == 0


def test_a_batch_goes_on_elsewhere_with_the_lines_behind_it(chatd):
    with (
        ways(chatd, chatd) as hosts,
        program(listed(*(host.port for host in hosts)), "ana") as script,
    ):
        while "current users" not in script.stdout.readline():
            pass
        hosts[0].close()
        out, err = script.communicate("hello\n", timeout=PATIENCE)
    again = f"connected again at 127.0.0.1, port {hosts[1].port}"
    assert [line for line in out.splitlines() if line][-2:] == [again, "ana: hello"]
    assert (script.returncode, err) == (0, "")
