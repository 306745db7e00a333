"""`chatsh --plain`: lines are added to the terminal, and nothing else happens to it."""

import signal
import termios

import pytest
from peers.servers import kill
from peers.shells import CHATSH, DIRECT, PROMPT

from chatd.wire.messages import OutgoingBroadcast

LOST = "The connection to the server was lost."


def talk(shells, server, name, *options, **env):
    return shells.log_in(server, name, "--plain", *options, **env)


def test_what_is_typed_is_sent_and_what_comes_is_added(shells, chatd):
    ann = talk(shells, chatd, "ann")
    ben = shells.peer(chatd, "ben")
    shells.sees(ann, "ben has joined.")
    ann.enter("hello")
    shells.sees(ann, "ann: hello")
    shells.hears(ben, "hello")
    ben.send(OutgoingBroadcast("hi"))
    shells.sees(ann, "ben: hi")
    shells.at(ann, PROMPT)
    rows = ann.rows[ann.rows.index("ben has joined.") :]
    expected = ["ben has joined.", f"{PROMPT} hello", "ann: hello", PROMPT, "ben: hi", PROMPT]
    assert [row for row in rows if row] == expected


def test_nothing_is_written_but_text_and_line_ends(shells, chatd):
    ann = talk(shells, chatd, "ann", TERM="xterm-256color", FORCE_COLOR="1")
    ben = shells.peer(chatd, "ben")
    shells.sees(ann, "ben has joined.")
    ben.send(OutgoingBroadcast("\x1b[2Ja\x07b"))
    ann.enter("/help")
    ann.enter("/wo")
    shells.sees(ann, "There is no command /wo; did you mean /who?")
    ann.enter("/quit")
    assert shells.ends(ann) == 0
    text = ann.raw.decode()
    assert text.replace("\r\n", "").isprintable()


def test_what_was_typed_before_a_message_came_still_belongs_to_the_line(shells, chatd):
    ann = talk(shells, chatd, "ann")
    ben = shells.peer(chatd, "ben")
    shells.sees(ann, "ben has joined.")
    shells.at(ann, PROMPT)
    ann.type("hel")
    shells.at(ann, f"{PROMPT} hel")
    ben.send(OutgoingBroadcast("hi"))
    shells.sees(ann, "ben: hi")
    shells.at(ann, PROMPT)
    assert f"{PROMPT} hel" in ann.rows
    ann.enter("lo")
    shells.sees(ann, "ann: hello")
    shells.hears(ben, "hello")


def test_the_mode_stands_in_the_prompt(shells, chatd):
    ann = talk(shells, chatd, "ann")
    ben = shells.peer(chatd, "ben")
    shells.sees(ann, "ben has joined.")
    ann.enter("/direct")
    shells.at(ann, DIRECT)
    ann.enter("ben~psst")
    shells.sees(ann, "ann: psst")
    shells.hears(ben, "psst")
    ann.enter("/exit")
    shells.at(ann, PROMPT)


def test_what_was_shown_before_a_line_was_typed_is_read(shells, chatd):
    ben = shells.log_in(chatd, "ben")
    ann = talk(shells, chatd, "ann")
    ben.enter("ann|look")
    shells.sees(ann, "ben: look")
    ann.enter("/ping")
    shells.sees(ann, "pong")
    shells.until(lambda: any("to ann: read" in row for row in ben.rows), "the reading")


def test_the_terminal_keeps_its_modes(shells, chatd):
    ann = talk(shells, chatd, "ann")
    before = termios.tcgetattr(ann.child.child_fd)
    assert before[3] & termios.ICANON
    assert before[3] & termios.ECHO
    ann.enter("/quit")
    assert shells.ends(ann) == 0
    assert before == termios.tcgetattr(ann.child.child_fd)


def test_a_password_is_asked_for_without_echo(shells, chatd):
    ann = talk(shells, chatd, "ann")
    ann.enter("/register")
    shells.at(ann, "password:")
    ann.enter("secret")
    shells.at(ann, "the same again:")
    ann.enter("secret")
    shells.sees(ann, "Your name is protected now.")
    assert b"secret" not in ann.raw
    shells.at(ann, PROMPT)
    ann.enter("/register")
    shells.at(ann, "password:")
    ann.type("\x03")
    shells.sees(ann, "No password was given; your name stays as it is.")
    shells.at(ann, PROMPT)


# --- keys and signals ---


def test_ctrl_c_drops_the_line_and_ctrl_d_leaves(shells, chatd):
    ben = shells.peer(chatd, "ben")
    ann = talk(shells, chatd, "ann")
    ann.type("dropped")
    shells.at(ann, f"{PROMPT} dropped")
    ann.type("\x03")
    shells.at(ann, PROMPT)
    ann.enter("kept")
    shells.hears(ben, "kept")
    shells.sees(ann, "ann: kept")
    shells.at(ann, PROMPT)
    ann.type("\x04")
    assert shells.ends(ann) == 0
    shells.hears(ben, "ann is quitting.")


def test_ctrl_z_stops_it_and_the_prompt_is_there_again(shells, chatd):
    words = (*CHATSH, "127.0.0.1", str(chatd.port), "ann", "--plain")
    job = shells.start("bash", "--norc", "-i", PS1="% ", TERM="dumb")
    shells.until(lambda: job.row.endswith("%"), "the prompt of bash")
    job.enter(" ".join(words))
    shells.at(job, PROMPT)
    job.type("\x1a")
    shells.until(lambda: job.row.endswith("%"), "the prompt of bash")
    job.enter("fg")
    shells.at(job, PROMPT)
    job.enter("/ping back")
    shells.sees(job, "pong back")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("draft", ["", "hel"])
def test_a_signal_ends_it_politely(shells, chatd, number, draft):
    ben = shells.peer(chatd, "ben")
    ann = talk(shells, chatd, "ann")
    ann.type(draft)
    shells.at(ann, f"{PROMPT} {draft}".rstrip())
    ann.child.kill(number)
    assert shells.ends(ann) == 128 + number
    shells.hears(ben, "ann is quitting.")


def test_a_signal_ends_it_also_while_a_password_is_asked_for(shells, chatd):
    ann = talk(shells, chatd, "ann")
    ann.enter("/register")
    shells.at(ann, "password:")
    ann.child.kill(signal.SIGTERM)
    assert shells.ends(ann) == 128 + signal.SIGTERM


def test_a_closed_terminal_ends_it(shells, chatd):
    ben = shells.peer(chatd, "ben")
    ann = talk(shells, chatd, "ann")
    shells.hears(ben, "ann has joined.")
    ann.hang_up()
    shells.terminals.remove(ann)
    shells.hears(ben, "ann is quitting.")


# --- the server goes ---


def test_a_lost_server_is_told_and_found_again(shells, chatd, start):
    ann = talk(shells, chatd, "ann")
    kill(chatd)
    shells.sees(ann, LOST)
    shells.at(ann, PROMPT)
    ann.enter("hello")
    start(port=chatd.port)
    shells.sees(ann, "connected again")
    shells.sees(ann, "ann: hello")
    shells.at(ann, PROMPT)
    ann.enter("/quit")
    assert shells.ends(ann) == 0


def test_without_reconnect_a_lost_server_is_the_end(shells, chatd):
    ann = talk(shells, chatd, "ann", "--no-reconnect")
    kill(chatd)
    assert shells.ends(ann) == 3
    assert LOST in ann.rows


def test_a_shutdown_logs_off(shells, chatd):
    ann = talk(shells, chatd, "ann")
    chatd.signal(signal.SIGTERM)
    assert shells.ends(ann) == 3
    assert "The server is shutting down; you have been logged off." in ann.rows


# --- the libraries ---


def test_the_libraries_of_the_other_front_are_not_loaded(shells, chatd):
    words = (*CHATSH[:1], "-v", *CHATSH[1:], "127.0.0.1", str(chatd.port), "ann", "--plain")
    ann = shells.start(*words)
    shells.until(lambda: PROMPT in ann.rows, "the prompt")
    assert b"import 'chatsh.plain'" in ann.raw
    assert b"import 'cmd2" not in ann.raw
    assert b"import 'prompt_toolkit" not in ann.raw


def test_in_a_pipe_it_is_what_a_pipe_gets_anyway(chatd):
    import subprocess

    done = subprocess.run(
        [*CHATSH, "--plain", "127.0.0.1", str(chatd.port), "bob"],
        input="hi\n",
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("bob: hi\n")
    assert PROMPT not in done.stdout
