"""The link of a shell: what is lost with it, what is shown of it, and starts without any."""

import re
import signal
import socket
import sys
from contextlib import ExitStack, closing

import pytest
from peers.cuts import Cuttable
from peers.flood import Flood, line_of
from peers.servers import kill
from peers.shells import CHATSH, PROMPT

OFFLINE = "not connected, trying again"
LATE = re.compile(r"^\[[^\]]*\] ")


def test_30_cuts_lose_and_double_nothing_while_both_talk(shells, chatd):
    with closing(Cuttable(chatd)) as way:
        ann, ben = shells.log_in(way, "ann"), Flood(shells, chatd, "ben")
        typed = []
        for number in range(30):
            shells.until(lambda: way.carries, "a connection")
            ben.say(3)
            typed.append(f"typed {number}")
            ann.type(typed[-1][:4])
            ben.say(2)
            if number % 3 == 0:
                way.cut()
            ann.type(typed[-1][4:] + "\r")
            if number % 3 == 1:
                way.cut()
            ben.say(3)
            if number % 3 == 2:
                way.cut()
        shells.until(lambda: ben.heard == typed, "all that was typed")
        shells.until(lambda: any(row.endswith(ben.lines[-1]) for row in ann.rows), "the last line")
        shown = [LATE.sub("", row) for row in ann.rows]
        assert [row for row in shown if row.startswith("ben: ")] == ben.lines
        shells.sees(ann, f"ann: {typed[-1]}")
        own = [row for row in ann.rows if row.startswith("ann: ")]
        assert own == [f"ann: {line}" for line in typed]
        shells.until(lambda: line_of(ann) == "", "an empty line")


@pytest.mark.parametrize("size", [(24, 80), (10, 40)])
def test_the_state_of_the_link_stands_below_the_line(shells, chatd, start, size):
    ann = shells.log_in(chatd, "ann", size=size)
    ann.type("hel")
    shells.at(ann, f"{PROMPT} hel")
    kill(chatd)
    shells.until(lambda: ann.screen.display[-1].strip() == OFFLINE, "the state")
    shells.at(ann, f"{PROMPT} hel")
    start(port=chatd.port)
    shells.sees(ann, "connected again")
    shells.until(lambda: OFFLINE not in ann.rows, "the state again")
    shells.at(ann, f"{PROMPT} hel")


def test_a_line_that_waits_for_the_link_survives_a_shell_that_is_killed(shells, chatd, start):
    ann = shells.log_in(chatd, "ann")
    kill(chatd)
    shells.sees(ann, "The connection to the server was lost.")
    ann.enter("ben|still to be sent")
    shells.until(lambda: "your line is kept" in ann.flow, "the promise")
    ann.child.kill(signal.SIGKILL)
    shells.ends(ann)
    start(port=chatd.port)
    again = shells.log_in(chatd, "ann", size=(24, 100))
    assert "  to ben: still to be sent" in again.rows


# --- starts without a network ---

# A name server that never answers is waited for in a call that no signal ends.
SILENT_NAMES = """
import ctypes, socket, sys
libc, lock = ctypes.CDLL(None), ctypes.create_string_buffer(64)
def never(*_, **__):
    libc.pthread_mutex_lock(lock)
    libc.pthread_mutex_lock(lock)
socket.getaddrinfo = never
from chatsh.cli import main
sys.exit(main())
"""


@pytest.fixture
def nowhere(request):
    """How to start a shell that nobody will answer, and what it must say of that."""
    with ExitStack() as stack:
        if request.param == "names":
            why = "that host name cannot be resolved (no answer within 0.3 seconds)"
            yield (sys.executable, "-c", SILENT_NAMES, "far.example", "8000"), why
            return
        backlog = 0 if request.param == "full" else 16
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=backlog))
        port, why = listener.getsockname()[1], "says no welcome; is it a chat server?"
        if request.param == "full":
            why = "no answer within 0.3 seconds (timed out)"
            for _ in range(4):  # the queue holds one or two of them
                waiting = stack.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(("127.0.0.1", port))
        yield (*CHATSH, "127.0.0.1", str(port)), why


@pytest.mark.parametrize("nowhere", ["names", "silent", "full"], indirect=True)
def test_a_start_that_nobody_answers_ends_in_time_or_at_once(shells, nowhere):
    argv, why = nowhere
    hurried = shells.start(*argv, "ann", "--timeout", "0.3")
    patient = shells.start(*argv, "ann", "--timeout", "3000")
    assert shells.ends(hurried) == 1
    said = hurried.flow.rstrip()
    assert said.count("chatsh: ") == 1
    assert "".join(said.split()).endswith("".join(why.split()))
    shells.until(lambda: patient.rows[0].startswith("connecting to server at"), "the attempt")
    patient.child.kill(signal.SIGINT)
    assert shells.ends(patient) == 130
    assert b"Traceback" not in patient.raw + hurried.raw
