"""How conversations end: lost links, servers that go, kicks, and log-ins that are refused."""

import signal

import pytest
from peers.servers import kill, s3_server
from peers.shells import CHATSH, PROMPT

from chatd.wire.messages import OutgoingBroadcast

LOST = "The connection to the server was lost."
KEPT = "You are not connected; your line is kept and sent when the connection is back."
UNREACHABLE = "The server cannot be reached; you have been logged out."
SHUTDOWN = "The server is shutting down; you have been logged off."


# --- the server goes ---


@pytest.mark.parametrize("draft", ["", "half a li"])
def test_a_shutdown_logs_everybody_off(shells, chatd, draft):
    ann, ben = shells.log_in(chatd, "ann"), shells.log_in(chatd, "ben")
    ann.type(draft)
    shells.at(ann, f"{PROMPT} {draft}".rstrip())
    chatd.process.send_signal(signal.SIGINT)
    for each in (ann, ben):
        assert shells.ends(each) == 3
        assert SHUTDOWN in each.rows


def test_a_lost_server_is_told_at_once_and_found_again(shells, chatd, start):
    ann = shells.log_in(chatd, "ann")
    ann.type("hel")
    shells.at(ann, f"{PROMPT} hel")
    kill(chatd)
    shells.sees(ann, LOST)
    shells.at(ann, f"{PROMPT} hel")
    ann.enter("lo")
    shells.sees(ann, KEPT)
    start(port=chatd.port)
    shells.sees(ann, "connected again")
    shells.sees(ann, "ann: hello")
    ann.enter("/who")
    shells.until(lambda: ann.rows.count("current users:") == 2, "the list of users")
    ann.enter("/quit")
    assert shells.ends(ann) == 0


def test_a_line_that_was_on_its_way_is_sent_again(shells, chatd, start):
    ann = shells.log_in(chatd, "ann")
    chatd.signal(signal.SIGSTOP)
    ann.enter("on its way")
    shells.at(ann, PROMPT)
    kill(chatd)
    shells.sees(ann, LOST)
    shells.sees(ann, KEPT)
    start(port=chatd.port)
    shells.sees(ann, "ann: on its way")
    assert ann.rows.count("ann: on its way") == 1


def test_who_types_to_a_server_that_stays_away_is_logged_out(shells, chatd):
    ann = shells.log_in(chatd, "ann")
    kill(chatd)
    shells.sees(ann, LOST)
    ann.enter("anybody?")
    shells.sees(ann, KEPT)
    assert shells.ends(ann) == 3
    assert UNREACHABLE in ann.rows


def test_help_and_leaving_work_without_a_server(shells, chatd):
    ann = shells.log_in(chatd, "ann")
    kill(chatd)
    shells.sees(ann, LOST)
    ann.enter("/help ping")
    shells.sees(ann, "/ping [WORD]  wait for the server's answer and everything before it")
    ann.enter("/quit")
    assert shells.ends(ann) == 0


@pytest.mark.parametrize("draft", ["", "half a li"])
def test_without_reconnect_a_lost_server_is_the_end(shells, chatd, draft):
    ann = shells.log_in(chatd, "ann", "--no-reconnect")
    ann.type(draft)
    shells.at(ann, f"{PROMPT} {draft}".rstrip())
    kill(chatd)
    assert shells.ends(ann) == 3
    assert [row for row in ann.rows if row in (LOST, UNREACHABLE)] == [LOST, UNREACHABLE]


def test_a_kicked_user_is_told_and_leaves(shells, tmp_path):
    console = shells.start(
        *(CHATSH[0], "-m", "chatd", "0", "--host", "127.0.0.1"), "--data", str(tmp_path / "data")
    )
    shells.until(lambda: "listening on" in console.flow, "the start of the daemon")
    port = console.rows[0].split()[-1]
    ann = shells.start(*CHATSH, "127.0.0.1", port, "ann")
    shells.at(ann, PROMPT)
    console.enter("/kick ann")
    assert shells.ends(ann) == 5
    assert b"Traceback" not in ann.raw


# --- the log-in ---


def test_a_second_session_is_refused_with_103(shells, chatd):
    ann = shells.log_in(chatd, "ann")
    second = shells.start(*CHATSH, "127.0.0.1", str(chatd.port), "ann")
    assert shells.ends(second) == 4
    assert "103: ann already has an open session." in second.rows
    ann.enter("/ping still here")
    shells.sees(ann, "pong still here")


def test_an_illegal_name_is_refused(shells, chatd):
    star = shells.start(*CHATSH, "127.0.0.1", str(chatd.port), "*")
    assert shells.ends(star) == 4
    assert any(row.startswith("104: ") for row in star.rows)


@pytest.fixture
def guarded(start, tmp_path):
    passwords = tmp_path / "passwords.txt"
    passwords.write_text("ann:secret word\nben hidden\n")
    passwords.chmod(0o600)
    return start(str(passwords))


def asked(shells, chatd, name):
    shell = shells.start(*CHATSH, "127.0.0.1", str(chatd.port), name)
    shells.at(shell, f"password of {name}:")
    return shell


def test_a_password_is_asked_for_without_echo(shells, guarded):
    ann = asked(shells, guarded, "ann")
    ann.enter("secret word")
    shells.at(ann, PROMPT)
    assert b"secret" not in ann.raw


@pytest.mark.parametrize("name", ["ann", "nobody"])
def test_a_wrong_password_and_an_unknown_name_are_refused_alike(shells, guarded, name):
    wrong = asked(shells, guarded, name)
    wrong.enter("guess")
    assert shells.ends(wrong) == 4
    assert "101: Unknown user or wrong password." in wrong.rows
    assert b"guess" not in wrong.raw


def test_a_password_may_come_from_the_environment(shells, guarded):
    env = {"CHATSH_PASSWORD": "hidden"}
    ben = shells.start(*CHATSH, "127.0.0.1", str(guarded.port), "ben", **env)
    shells.at(ben, PROMPT)


def test_a_question_for_the_password_can_be_declined(shells, guarded):
    ann = asked(shells, guarded, "ann")
    ann.type("\x04")
    assert shells.ends(ann) == 4
    assert b"Traceback" not in ann.raw
    ben = asked(shells, guarded, "ben")
    ben.type("\x03")
    assert shells.ends(ben) == 130
    assert b"Traceback" not in ben.raw


@pytest.mark.parametrize("term", ["xterm-256color", "dumb"])
def test_a_name_is_protected_with_a_password_typed_twice(shells, chatd, term):
    ann = shells.log_in(chatd, "ann", TERM=term)
    ben = shells.peer(chatd, "ben")
    ann.enter("/register")
    shells.at(ann, "password:")
    ann.enter("secret one")
    shells.at(ann, "the same again:")
    ann.enter("secret two")
    shells.sees(ann, "The two are not the same; your name stays as it is.")
    shells.at(ann, PROMPT)
    ann.enter("/register")
    for question in ("password:", "the same again:"):
        shells.at(ann, question)
        ann.enter("secret one")
    shells.sees(ann, "Your name is protected now.")
    shells.at(ann, PROMPT)
    ann.enter("/quit")
    assert shells.ends(ann) == 0
    assert b"secret" not in ann.raw
    assert not any("secret" in text for text in ben.heard)
    again = asked(shells, chatd, "ann")
    again.enter("secret one")
    shells.at(again, PROMPT)


@pytest.mark.parametrize("term", ["xterm-256color", "dumb"])
@pytest.mark.parametrize("key", ["\x03", "\x04", "\r"])
def test_a_password_can_be_left_out(shells, chatd, term, key):
    ann = shells.log_in(chatd, "ann", TERM=term)
    ann.enter("/register")
    shells.at(ann, "password:")
    ann.type(key)
    shells.sees(ann, "No password was given; your name stays as it is.")
    shells.at(ann, PROMPT)
    ann.enter("/ping x")
    shells.sees(ann, "pong x")


def test_messages_and_the_end_come_while_a_password_is_asked_for(shells, chatd):
    ann = shells.log_in(chatd, "ann")
    ann.enter("/register")
    shells.at(ann, "password:")
    ann.type("sec")
    shells.peer(chatd, "ben").send(OutgoingBroadcast("hi"))
    shells.sees(ann, "ben: hi")
    shells.at(ann, "password:")
    assert ann.screen.cursor.x == len("password: ")
    chatd.signal(signal.SIGTERM)
    assert shells.ends(ann) == 3
    assert SHUTDOWN in ann.rows
    assert b"sec" not in ann.raw


# --- a server that knows only S3 ---


def test_a_server_of_s3_is_enough_to_chat(shells):
    with s3_server() as s3:
        ann, ben = shells.log_in(s3, "ann"), shells.log_in(s3, "ben")
        assert "current users:" in ann.rows
        ann.enter("ben|hi")
        for each in (ann, ben):
            shells.sees(each, "ann: hi")
        ben.enter("hello all")
        for each in (ann, ben):
            shells.sees(each, "ben: hello all")
        ann.enter("zoe|x")
        shells.sees(ann, 'server: User "zoe" is not connected to the server.')
        ann.enter("/seen ben")
        shells.sees(ann, "server: This server does not know how to do that.")
        ann.enter("/ping x")
        shells.sees(ann, "pong x")
        ann.enter("/quit")
        assert shells.ends(ann) == 0
        kill(s3)
        shells.sees(ben, LOST)
