"""The shell where it may find itself: in tmux and screen, on small terminals, and at every end."""

import os
import shutil
import signal
import subprocess

import pytest
from peers.flood import Flood, line_of
from peers.servers import kill
from peers.shells import CHATSH, PROMPT

from chatd.wire.messages import Outgoing

DRAFT = "a line that is long enough to go on in the second row of this terminal, and in the third"
OFFLINE = "not connected, trying again"
FOCUS_OUT = "\x1b[O"
MODES = (b"2004", b"1004", b"1049", b"1000")  # that a terminal is asked for, and may stay in


def asks(terminal) -> list[bytes]:
    """The modes that a program has left its terminal in."""
    said = {mode: terminal.raw.rfind(b"\x1b[?%sh" % mode) for mode in MODES}
    return [mode for mode, at in said.items() if at > terminal.raw.rfind(b"\x1b[?%sl" % mode)]


def login(server, name, *options):
    """What is typed into a shell to start ours."""
    return " ".join((*CHATSH, *options, "127.0.0.1", str(server.port), name))


# --- inside of others ---

TMUX = "set -g status off\nset -g allow-passthrough on\nset -g focus-events on\n"


@pytest.fixture
def inside(shells, request):
    """A terminal with bash in a multiplexer."""
    program, folder = request.param, shells.home / "sockets"
    if not shutil.which(program):
        pytest.skip(f"there is no {program} here")
    folder.mkdir(mode=0o700)
    (shells.home / "tmux.conf").write_text(TMUX)
    (shells.home / "screenrc").write_text("startup_message off\n")
    bash = ("bash", "--norc", "--noprofile", "-i")
    called = {"tmux": ("tmux", "-S", str(folder / "s")), "screen": ("screen", "-S", "s")}[program]
    begin, end = {
        "tmux": (("-f", str(shells.home / "tmux.conf"), "new", *bash), ("kill-server",)),
        "screen": (("-c", str(shells.home / "screenrc"), *bash), ("-X", "quit")),
    }[program]
    terminal = shells.start(*called, *begin, PS1="job> ", SCREENDIR=str(folder))
    try:
        shells.at(terminal, "job>")
        yield terminal
    finally:  # its server has no terminal, and would outlive this one
        subprocess.run([*called, *end], env=shells.env(SCREENDIR=str(folder)), check=True)


def stands(shells, terminal, line):
    shells.until(lambda: line_of(terminal) == line, f"the line {line!r}")
    assert sum(row.startswith(PROMPT) for row in terminal.screen.display) == 1


@pytest.mark.parametrize("inside", ["tmux", "screen"], indirect=True)
def test_inside_of_a_multiplexer_all_is_as_outside(shells, chatd, inside):
    inside.enter("stty -a > before; clear")
    shells.until(lambda: inside.screen.cursor.y == 0 and inside.row == "job>", "a clear screen")
    inside.enter(login(chatd, "ann"))
    shells.at(inside, PROMPT)
    ben = Flood(shells, chatd, "ben")
    inside.type(DRAFT)
    # When rows go, screen scrolls the beginning of the line away, where nobody can erase it.
    rows = (24, 24) if inside.child.command.endswith("screen") else (10, 30)
    for size in ((rows[0], 40), (rows[1], 100), (24, 60), (24, 80)):
        stands(shells, inside, DRAFT)
        inside.resize(*size)
        stands(shells, inside, DRAFT)
        ben.say(4)
        shells.sees(inside, ben.lines[-1])
    stands(shells, inside, DRAFT)
    inside.type("\x15\x1b[200~one\ntwo\x1b[201~\r")
    shells.at(inside, "Send these 2 lines as one message? [y]es, as [c]ode, [n]o:")
    inside.type("y")
    shells.until(lambda: ben.heard == ["one\ntwo"], "the block")
    inside.type("\x04")
    shells.at(inside, "job>")
    inside.enter("stty -a | cmp - before && echo as before")
    shells.sees(inside, "as before")


@pytest.mark.parametrize("inside", ["tmux"], indirect=True)
def test_calls_go_through_tmux_to_the_terminal_around_it(shells, chatd, inside):
    inside.enter(login(chatd, "ann"))
    shells.at(inside, PROMPT)
    ben = shells.peer(chatd, "ben")
    for way, call in (("bell", b"\x07"), ("osc9", b"\x1b]9;cid osc9: psst\x07")):
        cid = shells.peer(chatd, f"cid {way}")
        shells.hears(ben, f"cid {way} has joined.")
        inside.enter(f"/set notify {way}")
        shells.until(lambda way=way: f"notify is {way} now" in inside.flow, "the setting")
        shells.at(inside, PROMPT)
        inside.type(FOCUS_OUT)
        while call not in inside.raw:  # tmux alone knows when it passes that on
            cid.send(Outgoing("ann", "psst"))
            shells.settles(cid)
            shells.pump(0.05)


# --- small ---


def test_a_small_terminal_shows_all_that_matters(shells, chatd):
    ann = shells.log_in(chatd, "ann", size=(10, 40))
    long = "somebody with a very long name"
    ben, cid = shells.peer(chatd, long), shells.peer(chatd, "cid")
    shells.sees(ann, "cid has joined.")
    ann.type("/w\t")
    for word in ("/w ", "/whisper", "/who"):
        shells.until(lambda word=word: any(f" {word}" in row for row in ann.rows[-8:]), word)
    ann.type("\x03")
    shells.at(ann, PROMPT)
    ann.enter(f"/talk {long}")
    shells.until(lambda: f"[{long}] {PROMPT}" in ann.flow, "the focus")
    ann.enter("hello")
    shells.hears(ben, "hello")
    cid.send(Outgoing("ann", "psst"))
    status = f"to {long}: delivered  |  unseen: cid 1"
    shells.until(lambda: status in _words(ann.screen.display), "the status")
    ann.type("\x1bn")
    shells.until(lambda: f"[cid] {PROMPT}" in ann.flow, "the other focus")
    ann.type("one\x1b\rtwo\r")
    question = "Send these 2 lines as one message? [y]es, as [c]ode, [n]o:"
    shells.until(lambda: "".join(ann.screen.display).rstrip().endswith(question), "the question")
    ann.type("y")
    shells.hears(cid, "one\ntwo")
    kill(chatd)
    shells.until(lambda: OFFLINE in "\n".join(ann.screen.display), "the state of the link")


def _words(rows):
    """Rows as the one line that they were."""
    return " ".join(" ".join(rows).split()).replace(" | ", "  |  ")


# --- poor ---


@pytest.mark.parametrize("term", ["dumb", "linux", "vt100", ""])
def test_a_block_is_asked_about_once_on_whatever_terminal(shells, chatd, term):
    ann = shells.log_in(chatd, "ann", TERM=term)
    ben = Flood(shells, chatd, "ben")
    ann.type("one")
    shells.at(ann, f"{PROMPT} one")
    ann.type("\x1b\rtwo\r")
    question = "Send these 2 lines as one message? [y]es, as [c]ode, [n]o:"
    shells.at(ann, question)
    ben.say(3)
    ben.all_stand(ann)
    shells.at(ann, question)
    assert sum(question in row for row in ann.rows) == (4 if term == "dumb" else 1)
    ann.type("y")
    shells.until(lambda: ben.heard == ["one\ntwo"], "the block")
    shells.at(ann, PROMPT)
    ann.enter("/quit")
    assert shells.ends(ann) == 0
    assert asks(ann) == []


# --- the end ---


ENDS = {  # how it ends, its exit code, and what was typed before
    "SIGTERM": (signal.SIGTERM, 143, "hel"),
    "SIGHUP": (signal.SIGHUP, 129, "/w\t"),
    "SIGQUIT": (signal.SIGQUIT, 131, "hel\x12l"),
    "SIGTERM at a question": (signal.SIGTERM, 143, "one\x1b\rtwo\r"),
    "SIGTERM at a secret": (signal.SIGTERM, 143, "/register\r"),
    "SIGTERM in an editor": (signal.SIGTERM, 143, "hel\x18\x05"),
    "the server is killed": (None, 3, "hel"),
    "Ctrl-D": ("\x04", 0, ""),
}


@pytest.mark.parametrize("how", ENDS)
def test_the_terminal_is_as_before_after_every_end(shells, chatd, how):
    ending, code, typed = ENDS[how]
    shown = {"SIGTERM in an editor": "EDITING", "SIGTERM at a secret": "password:"}.get(how)
    script = 'stty -a; "$@" & echo "pid $!"; fg > /dev/null; echo "code $?"; stty -a; exit'
    bash = ("bash", "--norc", "--noprofile", "-m", "-c", script, "sh")
    editor = "sh -c 'stty raw -echo; echo EDITING; read -r line < /dev/tty; echo never'"
    argv = (*CHATSH, "--no-reconnect", "127.0.0.1", str(chatd.port), "ann")
    ann = shells.start(*bash, *argv, EDITOR=editor)
    shells.at(ann, PROMPT)
    pid = next(int(row.split()[1]) for row in ann.rows if row.startswith("pid "))
    ann.type(typed)
    if shown:
        shells.until(lambda: any(shown in row for row in ann.rows), shown)
    elif typed:
        shells.until(lambda: ann.row not in ("", PROMPT), "what was typed")
    if ending is None:
        kill(chatd)
    elif isinstance(ending, str):
        ann.type(ending)
    else:
        os.kill(pid, ending)
    shells.ends(ann)
    assert f"code {code}" in ann.rows
    before, after = ann.raw.split(b"code %d\r\n" % code)
    assert after
    assert before.startswith(after)
    assert asks(ann) == []
    assert b"Traceback" not in ann.raw


@pytest.mark.parametrize(
    ("closed", "code"), [(">&-", 0), ("<&-", 0), (">/dev/full", 1), ("| head -1", 0)]
)
def test_a_stream_that_is_closed_or_full_leaves_the_terminal_alone(shells, chatd, closed, code):
    script = f'set -o pipefail; {login(chatd, "ann")} {closed}; echo "code $?"; exit'
    ann = shells.start("bash", "--norc", "--noprofile", "-c", script)
    ann.enter("/quit")
    shells.ends(ann)
    assert f"code {code}" in ann.rows
    assert b"Traceback" not in ann.raw
    assert asks(ann) == []
