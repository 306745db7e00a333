"""The server's own terminal: a real pseudo-terminal with the daemon in its foreground."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time

import psutil
import pytest
from support import PATIENCE, Wire

from chatd.console import as_line


class Terminal:
    """A pseudo-terminal and the daemon that leads its session."""

    def __init__(self, data, background: bool = False):
        self.master, slave = pty.openpty()
        command = [sys.executable, "-m", "chatd", "0", "--host", "127.0.0.1", "--data", str(data)]
        if background:
            # A shell with job control: the daemon is no foreground process of its terminal.
            words = " ".join(f"'{word}'" for word in command)
            command = ["/bin/sh", "-c", f'set -m; {words} & echo "pid $!"; cat']
        self.process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: __import__("fcntl").ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(slave)
        self.seen = ""
        self.data = data
        self.port = int(self.says(r"listening on .*, port (\d+)")[1])
        self.says("data: ")

    def says(self, pattern: str) -> re.Match:
        """Read on until this has been printed behind what was matched before."""
        deadline = time.monotonic() + PATIENCE
        while True:
            found = re.search(pattern, self.seen)
            if found:
                self.seen = self.seen[found.end() :]
                return found
            ready = select.select([self.master], [], [], max(0, deadline - time.monotonic()))[0]
            assert ready, f"{pattern} was not printed, but: {self.seen!r}"
            self.seen += os.read(self.master, 65_536).decode(errors="replace")

    def type(self, line: str):
        os.write(self.master, line.encode() + b"\n")

    def join(self, name: str) -> Wire:
        wire = Wire(self.port).send("hello", name=name, v=1)
        wire.await_("welcome")
        self.says(f"{re.escape(name)} has joined from 127.0.0.1:")
        return wire

    def end(self):
        if self.process.poll() is None:
            # Job control gives a program in the background a process group of its own.
            for one in psutil.Process(self.process.pid).children(recursive=True):
                one.kill()
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE)
        os.close(self.master)


@pytest.fixture
def terminal(tmp_path):
    started = []

    def begin(**more) -> Terminal:
        started.append(Terminal(tmp_path / "data", **more))
        return started[-1]

    yield begin
    for one in started:
        one.end()


def test_joins_messages_and_departures_are_shown(terminal):
    one = terminal()
    with one.join("ann") as ann, one.join("bob") as bob:
        ann.tell("bob", "hi there")
        one.says("ann -> bob: hi there\r\n")
        ann.send("outgoing_broadcast", content="to all")
        one.says("ann: to all\r\n")
        bob.send("quit")
        one.says(r"bob is quitting\. \(127\.0\.0\.1:\d+\)\r\n")
        ann.reset()
        one.says(r"ann has lost its connection\.")


def test_what_is_typed_reaches_everyone_or_one(terminal):
    one = terminal()
    with one.join("ann lee") as ann, one.join("bob") as bob:
        one.type("/all hello all")
        for wire in (ann, bob):
            heard = wire.await_("incoming_broadcast")
            assert (heard["from"], heard["content"]) == ("server", "hello all")
        for line in ("/whisper ann lee first", '/whisper "ann lee" second', "/whisper ANN"):
            one.type(line)
        assert [ann.await_("incoming")["content"] for _ in range(2)] == ["first", "second"]
        one.says('/whisper: User "ANN" is not connected|/whisper: An empty message')
        assert [f for f in bob.settle() if f["code"] == "incoming"] == []


def test_who_kick_and_stop(terminal):
    one = terminal()
    one.type("/who")
    one.says("nobody is here\r\n")
    with one.join("ann lee") as ann, one.join("bob") as bob:
        one.type("/who")
        one.says("current users:\r\nann lee\r\nbob\r\n")
        one.type("/kick ann lee")
        one.says("ann lee was removed by the server")
        assert ann.rest()[-1]["reason"] == "kicked"
        assert bob.await_("notice", kind="removed")["name"] == "ann lee"
        one.type("/stop")
        assert bob.rest()[-1]["reason"] == "shutdown"
    assert one.process.wait(PATIENCE) == 0


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("/dance", "unknown command /dance; here are: /all TEXT, /whisper NAME TEXT"),
        ("hello", "unknown command hello; here are:"),
        ("/newname x", "/newname is only for users"),
        ("/help", "/help is only for users; here are:"),
        ("/all", "/all: .*TEXT"),
        ("/kick", "/kick: .*NAME"),
        ("/kick zoe", '/kick: User "zoe" is not connected to the server.'),
        ("/whisper zoe hi", '/whisper: User "zoe" is not connected to the server.'),
    ],
)
def test_a_wrong_line_is_answered_and_nothing_else_happens(terminal, line: str, answer: str):
    one = terminal()
    with one.join("bob") as bob:
        one.type(line)
        one.says(answer)
        assert bob.settle() == []


def test_nothing_that_a_peer_says_reaches_the_terminal_as_it_is(terminal):
    one = terminal()
    nasty = "\x1b[2J\x1b]0;title\x07\x9b31m\u202eevil\r\nann: forged"
    with one.join("bob") as bob:
        bob.send("outgoing_broadcast", content=nasty)
        shown = one.says(r"bob: (.*)\r\n")[1]
        bob.send("hello", name=nasty)
        bob.send("newname", name=nasty)
        bob.send(nasty, id="x")
        bob.settle()
        one.type("/who")
        one.says("current users:\r\nbob\r\n")
    assert "evil" in shown
    assert "forged" in shown
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", shown)


def test_ctrl_c_stops_it(terminal):
    one = terminal()
    with one.join("ann") as ann:
        os.write(one.master, b"\x03")
        assert ann.rest()[-1]["reason"] == "shutdown"
    assert one.process.wait(PATIENCE) == 0


def test_the_end_of_input_ends_the_console_and_not_the_server(terminal):
    one = terminal()
    os.write(one.master, b"\x04")
    with one.join("ann") as ann:
        assert ann.settle() == []


def test_a_terminal_that_is_stopped_stops_nobody(terminal):
    one = terminal()
    with one.join("ann") as ann, one.join("bob") as bob:
        os.write(one.master, b"\x13")  # Ctrl-S
        for n in range(300):
            ann.send("outgoing_broadcast", content=f"{n} " + "x" * 500)
            heard = bob.await_("incoming_broadcast")
            bob.send("received", upto=heard["seq"])
        assert heard["content"].startswith("299 ")
        os.write(one.master, b"\x11")  # Ctrl-Q
        one.says("ann: 299 ")


def test_in_the_background_of_a_terminal_it_does_not_read_it(terminal):
    one = terminal(background=True)
    one.type("/stop")  # for `cat`, which is in the foreground
    one.says("/stop")
    with one.join("ann") as ann:
        assert ann.settle() == []
        assert ann.send("who").await_("users")["users"] == ["ann"]


@pytest.mark.parametrize(
    ("event", "fields", "line"),
    [
        ("connect", {"name": "a", "address": "h:1"}, "a has joined from h:1."),
        ("disconnect", {"name": "a", "address": "h:1", "reason": "quit"}, "a is quitting. (h:1)"),
        ("disconnect", {"name": "a", "address": "h", "reason": "x"}, "a has left: x. (h)"),
        ("message", {"from": "a", "to": "*", "text": "hi"}, "a: hi"),
        ("message", {"from": "a", "to": "b"}, "a -> b: (not shown)"),
        ("message", {"from": "a", "to": "*", "text": "\x1b[1mx\ny"}, "a: x y"),
        ("start", {}, None),
    ],
)  # fmt: skip
def test_an_event_is_a_line_for_people(event: str, fields: dict, line: str | None):
    assert as_line(event, fields) == line


PRINTS = """
import sys; from chatd.console import Printer
printer = Printer()
for turn in range(100):
    for number in range(5):
        printer.say(f"{turn} {number} {sys.argv[1]}")
    printer.flush()
printer.close(10)
print(printer._thread is not None, file=sys.stderr)
"""


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_lines_are_printed_in_their_order_to_a_file_and_to_a_pipe(tmp_path, encoding: str):
    def printed(stdout) -> tuple[bytes, bool]:
        done = subprocess.run(
            [sys.executable, "-c", PRINTS, "h\xe9"],
            stdout=stdout,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONIOENCODING": encoding},
            check=True,
        )
        return done.stdout, done.stderr.strip() == b"True"

    word = "h\xe9".encode(encoding, "backslashreplace").decode(encoding)
    wanted = [f"{turn} {number} {word}" for turn in range(100) for number in range(5)]
    by_pipe, threaded = printed(subprocess.PIPE)
    assert (by_pipe.decode(encoding).splitlines(), threaded) == (wanted, True)
    with (tmp_path / "out").open("wb") as file:
        assert printed(file) == (None, False), "a file needs no thread"
    assert (tmp_path / "out").read_text(encoding).splitlines() == wanted
