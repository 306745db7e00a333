"""`chatsh` in a pipe: lines in, plain text out."""

import os
import re
import signal
import subprocess

import pytest
from peers.links import first, logged_in, notices, settled
from peers.servers import kill, s3_server
from peers.shells import CHATSH

from chatd.wire.messages import (
    Incoming,
    IncomingBroadcast,
    IncomingGroup,
    Outgoing,
    OutgoingBroadcast,
    Receipt,
)

PATIENCE = 60.0  # seconds, only for giving up


def run(server, *words: str, text: str = "", env=None) -> subprocess.CompletedProcess[str]:
    command = [*CHATSH, "127.0.0.1", str(server.port), *words]
    return subprocess.run(
        command, input=text, capture_output=True, text=True, timeout=PATIENCE, env=env
    )


def said(done: subprocess.CompletedProcess[str]) -> list[str]:
    """What came behind the blank line that ends the greeting."""
    lines = done.stdout.splitlines()
    return lines[lines.index("") + 1 :]


def test_a_script_runs_line_by_line_and_prints_plain_text(chatd):
    with logged_in(chatd, "ann") as ann:
        done = run(chatd, "bob", text="/who\n/bc hello\n/quit\n")
        assert (done.returncode, done.stderr) == (0, "")
        assert said(done) == ["current users:", "ann", "bob", "bob: hello"]
        assert first(ann, IncomingBroadcast).content == "hello"
        assert notices(ann) == ["bob is quitting."]
    assert "\x1b" not in done.stdout
    assert "enter your message" not in done.stdout


def test_each_line_is_answered_before_the_next_is_done(chatd):
    text = "".join(f"line {number}\nzoe|{number}\n/ping {number}\n" for number in range(20))
    done = run(chatd, "bob", text=text)
    expected = []
    for number in range(20):
        expected.append(f"bob: line {number}")
        expected.append('server: User "zoe" is not connected to the server.')
        expected.append(f"pong {number}")
    assert said(done) == expected


def test_a_talk_in_which_nothing_was_said_holds_up_no_line(chatd):
    with logged_in(chatd, "ann") as ann:  # who is here: so nothing is told of her either
        done = run(chatd, "bob", text="/talk ann\nhi\n")
        assert said(done)[1:] == ["bob: hi"]
        assert [one.content for one in settled(ann) if isinstance(one, Incoming)] == ["hi"]


def test_the_end_of_the_input_is_a_polite_end(chatd):
    with logged_in(chatd, "ann") as ann:
        for text in ("", "hi", "hi\n", "hi\r\n"):
            done = run(chatd, "bob", text=text)
            assert (done.returncode, done.stderr) == (0, "")
            assert said(done) == (["bob: hi"] if text else [])
        assert [text for text in notices(ann) if "lost" in text] == []


def test_groups_work_through_a_pipe_dialogue_included(chatd):
    script = [
        *("/group", "y", "team", "ann~zoe", "team~hello", "/exit"),
        *("/group rename team crew", "crew|again", "/history crew", "/status", "/leave crew"),
        *("/group delete crew", "/group", "", "/leave"),
    ]
    with logged_in(chatd, "ann") as ann:
        done = run(chatd, "bob", text="\n".join(script))
        texts = [event.content for event in settled(ann) if isinstance(event, IncomingGroup)]
    assert (done.returncode, done.stderr, texts) == (0, "", ["hello", "again"])
    lines = [re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d", "WHEN", line) for line in said(done)]
    status = next(line for line in lines if line.startswith("to "))
    lines.remove(status)  # how much was delivered by then is ann's affair
    assert lines == [
        "team: bob, ann; owner bob, made WHEN",
        "zoe: there is nobody of that name",
        "[team] bob: hello",
        "crew: bob, ann; owner bob, made WHEN",
        "[crew] bob: again",
        "[WHEN] bob has made the group team: bob, ann.",
        "[WHEN] [crew] bob: hello",
        "[WHEN] bob has renamed team to crew.",
        "[WHEN] [crew] bob: again",
        'server: You own "crew": make somebody else its owner first, or delete it.',
        "The group is deleted.",
    ]
    assert status.startswith("to crew: 2 stored; the newest: ")


def test_a_pipe_reads_nothing_in_the_sense_of_a_person(chatd):
    with logged_in(chatd, "ann") as ann:
        done = run(chatd, "bob", text="/ping 1\nann|hi\n/history ann\n/ping 2\n")
        assert done.returncode == 0
        ann.send(Outgoing("bob", "answer"))
        assert said(run(chatd, "bob", text="one\n/ping 3\n/ping 4\n"))[-1] == "pong 4"
        receipts = [event for event in settled(ann) if isinstance(event, Receipt)]
    assert [(one.by, one.read) for one in receipts] == [("bob", None)]


def test_a_refused_request_is_shown_and_the_script_goes_on(chatd):
    done = run(chatd, "bob", text="/wo\nbob|x\n/dm\n/edit\n/register\n/ping last\n")
    assert done.returncode == 0
    assert said(done) == [
        "There is no command /wo; did you mean /who?",
        "server: You cannot send a message to yourself.",
        "Usage: /dm NAME TEXT",
        "There is no editor here; type the text itself.",
        "No password was given; your name stays as it is.",
        "pong last",
    ]


def test_a_colourful_environment_changes_nothing(chatd):
    env = {**os.environ, "FORCE_COLOR": "1", "CLICOLOR_FORCE": "1", "TERM": "xterm-256color"}
    done = run(chatd, "bob", text="hi\n/help\n", env=env)
    assert "\x1b" not in done.stdout


def test_the_shells_libraries_are_not_loaded(chatd):
    env = {**os.environ, "PYTHONVERBOSE": "1"}
    done = run(chatd, "bob", text="/who\n", env=env)
    assert done.returncode == 0
    assert "import 'chatsh.batch'" in done.stderr
    assert "import 'cmd2" not in done.stderr
    assert "import 'prompt_toolkit" not in done.stderr


def test_bytes_that_are_no_text_are_sent_as_replacement_characters(chatd):
    command = [*CHATSH, "127.0.0.1", str(chatd.port), "bob"]
    with logged_in(chatd, "ann") as ann:
        done = subprocess.run(command, input=b"a\xff\x00b\n", capture_output=True, timeout=PATIENCE)
        assert done.returncode == 0
        assert first(ann, IncomingBroadcast).content == "a\ufffd\x00b"


def test_a_reader_that_has_enough_is_no_error(chatd):
    script = 'printf "/who\\n/help\\n/who\\n" | "$@" 2>errors | head -1; cat errors'
    command = ["bash", "-c", f"set -o pipefail; {script}", "bash"]
    done = subprocess.run(
        [*command, *CHATSH, "127.0.0.1", str(chatd.port), "bob"],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        cwd=chatd.data,
    )
    assert done.stdout == f"connecting to server at 127.0.0.1, {chatd.port}\n"
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "<&- >&-"])
def test_closed_standard_streams_are_no_obstacle(chatd, closed):
    command = ["sh", "-c", f'"$@" {closed}', "sh", *CHATSH, "127.0.0.1", str(chatd.port), "bob"]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE
    )
    assert (done.returncode, done.stderr) == (0, "")


class Piped:
    """A run that still gets lines."""

    def __init__(self, server):
        self.process = subprocess.Popen(
            [*CHATSH, "127.0.0.1", str(server.port), "bob"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.until("")

    def until(self, line: str) -> None:
        for got in self.process.stdout:
            if got.rstrip("\n") == line:
                return
        raise AssertionError(f"never said: {line}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()


def test_messages_are_shown_while_the_input_is_idle(chatd):
    with Piped(chatd) as bob, logged_in(chatd, "ann") as ann:
        bob.until("ann has joined.")
        ann.send(OutgoingBroadcast("hi"))
        bob.until("ann: hi")


@pytest.mark.parametrize(
    ("how", "says", "code"),
    [
        (signal.SIGKILL, "The server cannot be reached; you have been logged out.", 3),
        (signal.SIGTERM, "The server is shutting down; you have been logged off.", 3),
    ],
)
def test_a_server_that_goes_ends_the_run_although_the_input_is_idle(chatd, how, says, code):
    with Piped(chatd) as bob:
        chatd.signal(how)
        bob.until(says)
        assert bob.process.wait(PATIENCE) == code


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_the_run_politely(chatd, number):
    with logged_in(chatd, "ann") as ann, Piped(chatd) as bob:
        bob.process.send_signal(number)
        assert bob.process.wait(PATIENCE) == 128 + number
        assert bob.process.stderr.read() == ""
        assert notices(ann) == ["bob has joined.", "bob is quitting."]


def test_a_server_of_s3_takes_a_script_too():
    with s3_server() as s3:
        done = run(s3, "bob", text="/who\n/bc hello\nzoe|x\n/ping x\n/quit\n")
        assert (done.returncode, done.stderr) == (0, "")
        assert said(done)[:4] == ["current users:", "bob", "bob: hello", "bob: x"]
        assert said(done)[4:] == ['server: User "zoe" is not connected to the server.', "pong x"]
        kill(s3)


def test_a_line_too_long_for_the_server_is_refused_and_the_next_ones_are_done(chatd):
    done = run(chatd, "bob", text="x" * 70_000 + "\nafter\n/quit\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert said(done) == ["server: A message may have at most 16384 bytes.", "bob: after"]


def test_output_that_cannot_be_written_is_one_line_and_no_traceback(chatd):
    if not os.path.exists("/dev/full"):  # noqa: PTH110 - a device
        pytest.skip("this system has no /dev/full")
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        done = subprocess.run(
            [*CHATSH, "127.0.0.1", str(chatd.port), "bob"],
            input="/who\n",
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=PATIENCE,
        )
    assert done.returncode == 1
    assert done.stderr.startswith("chatsh: cannot write the output: ")
    assert done.stderr.count("\n") == 1
