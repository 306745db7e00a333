"""How `chatsh` starts: its arguments, its questions, and every way in which it cannot connect."""

import os
import socket
import subprocess
import sys

import pytest
from peers.shells import CHATSH, PROMPT

from chatsh.cli import Destination, UsageError, place

PATIENCE = 60.0  # seconds, only for giving up
FORMS = "chatsh HOST PORT [NAME]"


def run(*words: str, text: str = "", **options) -> subprocess.CompletedProcess[str]:
    """A run of `chatsh` without a terminal."""
    return subprocess.run(
        [*CHATSH, *words],
        input=text,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        **options,
    )


# --- arguments (C7) ---


@pytest.mark.parametrize(
    ("words", "destination"),
    [
        ([], Destination()),
        (["localhost"], Destination("localhost")),
        (["8000"], Destination(port=8000)),
        (["localhost", "8000"], Destination("localhost", 8000)),
        (["8000", "localhost"], Destination("localhost", 8000)),
        (["", "8000"], Destination("", 8000)),
        (["8000", ""], Destination("", 8000)),
        (["10.0.0.1", "1"], Destination("10.0.0.1", 1)),
        (["::1", "65535", "User 1"], Destination("::1", 65_535, "User 1")),
        (["8000", "localhost", "9000"], Destination("localhost", 8000, "9000")),
        (["localhost", "8000", ""], Destination("localhost", 8000, "")),
    ],
)
def test_the_number_is_the_port_in_any_order(words, destination):
    assert place(words) == destination


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["8000", "9000"], "8000 and 9000 are both ports, and no host is among them"),
        (["localhost", "http"], "neither localhost nor http is a port"),
        (["", ""], 'neither "" nor "" is a port'),
        (["localhost", "0"], "0 is not a port: it is a number from 1 to 65535"),
        (["localhost", "65536"], "65536 is not a port: it is a number from 1 to 65535"),
        (["localhost", "+1"], "+1 is not a port: it is a number from 1 to 65535"),
        (["70000"], "70000 is not a port: it is a number from 1 to 65535"),
        (["a", "1", "b", "c"], "too many arguments: c"),
        (["a\x1b[2J", "b"], "neither a nor b is a port"),
    ],
)
def test_words_that_name_no_place_are_refused_with_the_reason(words, says):
    with pytest.raises(UsageError) as refused:
        place(words)
    assert str(refused.value) == says
    done = run(*words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1] == f"chatsh: error: {says}"
    assert FORMS in done.stderr


@pytest.mark.parametrize("words", [["--nonsense"], ["--timeout", "never"], ["--timeout", "-1"]])
def test_unknown_options_are_refused_with_the_valid_forms(words):
    done = run(*words)
    assert done.returncode == 2
    assert FORMS in done.stderr
    assert "Traceback" not in done.stderr


def test_help_and_version_need_no_server():
    assert FORMS in run("--help").stdout
    assert run("--version").stdout.startswith("chatsh ")


def test_nothing_of_the_shell_is_imported_before_there_is_a_connection():
    code = (
        "import sys, chatsh.cli; sys.exit('cmd2' in sys.modules or 'prompt_toolkit' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- a connection that cannot be ---


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def assert_cannot_connect(done: subprocess.CompletedProcess[str], says: str) -> None:
    assert done.returncode == 1
    assert done.stderr == f"chatsh: {says}\n"


def test_a_server_that_is_down():
    port = free_port()
    done = run("127.0.0.1", str(port), "bob")
    assert done.stdout == f"connecting to server at 127.0.0.1, {port}\n"
    assert_cannot_connect(
        done,
        f"cannot connect to 127.0.0.1, port {port}: "
        "nothing listens there (Connection refused); is the server running?",
    )


def test_a_host_that_does_not_exist():
    done = run("nowhere.invalid", "8000", "bob")
    assert done.returncode == 1
    assert done.stderr.startswith(
        "chatsh: cannot connect to nowhere.invalid, port 8000: that host name cannot be resolved ("
    )


def test_a_program_that_is_no_chat_server():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        done = run("127.0.0.1", str(port), "bob", "--timeout", "0.2")
    says = f"127.0.0.1, port {port} accepts connections but says no welcome; is it a chat server?"
    assert_cannot_connect(done, says)


def test_a_failure_shows_the_same_line_on_a_terminal(shells):
    port = free_port()
    shell = shells.start(*CHATSH, "127.0.0.1", str(port), "bob")
    assert shells.ends(shell) == 1
    assert f"cannot connect to 127.0.0.1, port {port}: nothing listens there" in shell.flow


# --- questions ---


def test_what_is_missing_is_asked_for(shells, chatd):
    shell = shells.start(*CHATSH)
    shells.at(shell, "address of the server [this machine]:")
    shell.enter("127.0.0.1")
    shells.at(shell, "port [8000]:")
    shell.enter("many")
    shells.sees(shell, "many is not a port: it is a number from 1 to 65535")
    shells.at(shell, "port [8000]:")
    shell.enter(str(chatd.port))
    shells.at(shell, "your name [assigned by the server]:")
    shell.enter("bob")
    shells.at(shell, PROMPT)
    shell.enter("/ping x")
    shells.sees(shell, "pong x")
    assert "bob" in shell.rows


def test_an_empty_name_is_assigned_by_the_server(shells, chatd):
    shell = shells.start(*CHATSH, "127.0.0.1", str(chatd.port))
    shells.at(shell, "your name [assigned by the server]:")
    shell.enter("")
    shells.at(shell, PROMPT)
    assert "you are client1" in shell.rows
    shell.enter("hi")
    shells.sees(shell, "client1: hi")


@pytest.mark.parametrize(("key", "code"), [("\x03", 130), ("\x04", 2)])
def test_questions_can_be_left(shells, key, code):
    shell = shells.start(*CHATSH)
    shells.at(shell, "address of the server [this machine]:")
    shell.type(key)
    assert shells.ends(shell) == code
    assert b"Traceback" not in shell.raw


def test_answers_may_come_from_a_pipe(chatd):
    done = run(text=f"127.0.0.1\n{chatd.port}\nbob\n/who\n/quit\n")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-2:] == ["current users:", "bob"]


def test_a_name_is_not_read_from_a_pipe_that_holds_a_script(chatd):
    done = run("127.0.0.1", str(chatd.port), text="/who\n")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-2:] == ["current users:", "client1"]


@pytest.mark.parametrize("text", ["", "127.0.0.1\n", "127.0.0.1\n0\nbob\n"])
def test_a_pipe_without_the_answers_is_a_usage_error(text):
    done = run(text=text)
    assert done.returncode == 2
    assert FORMS in done.stderr
    assert "Traceback" not in done.stderr


def test_a_password_cannot_be_asked_for_in_a_pipe(start, tmp_path):
    passwords = tmp_path / "passwords.txt"
    passwords.write_text("bob secret\n")
    passwords.chmod(0o600)
    guarded = start(str(passwords))
    done = run("127.0.0.1", str(guarded.port), "bob", text="/who\n")
    assert (done.returncode, done.stderr) == (4, "102: This name needs a password.\n")
    env = {**os.environ, "CHATSH_PASSWORD": "secret"}
    assert run("127.0.0.1", str(guarded.port), "bob", text="/who\n", env=env).returncode == 0
    wrong = {**os.environ, "CHATSH_PASSWORD": "guess"}
    done = run("127.0.0.1", str(guarded.port), "bob", text="/who\n", env=wrong)
    assert (done.returncode, done.stderr) == (4, "101: Unknown user or wrong password.\n")


@pytest.mark.parametrize("words", [["a\udcff", "8000"], ["127.0.0.1", "8000", "a\udcff"]])
def test_arguments_that_are_no_text_are_a_usage_error(words):
    done = run(*words)  # Python passes half characters on as the bytes that they came from
    assert done.returncode == 2
    assert done.stderr.endswith("chatsh: error: a\ufffd is no text in UTF-8\n")


def test_a_password_that_is_no_text_is_a_usage_error(start, tmp_path):
    passwords = tmp_path / "passwords.txt"
    passwords.write_text("ann:secret\n")
    passwords.chmod(0o600)
    port = str(start(str(passwords)).port)
    done = run("127.0.0.1", port, "ann", env={**os.environ, "CHATSH_PASSWORD": "a\udcff"})
    assert done.returncode == 2
    assert done.stderr.startswith("chatsh: a password is text in UTF-8\n")
