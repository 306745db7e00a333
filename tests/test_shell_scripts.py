"""`chatsh` for scripts: `--to`, `--wait-for` and `--json`, with nobody there to be asked."""

import json
import os
import re
import signal
import socket
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest
from peers.links import first, logged_in, notices, settled
from peers.servers import kill, s3_server
from peers.shells import CHATSH

from chatd.wire.messages import (
    MAX_CONTENT,
    Group,
    Incoming,
    IncomingBroadcast,
    IncomingGroup,
    Limits,
    Outgoing,
    OutgoingBroadcast,
    Receipt,
)
from chatsh import objects, render, wording
from chatsh.client import Client
from chatsh.destination import Destination, UsageError, rather, without_questions
from chatsh.link import Address, Keeper, Link
from chatsh.script import messages
from chatsh.settings import Server

PATIENCE = 60.0  # seconds, only for giving up
DELIVERED, LOST, QUEUED, REFUSED, NOT_SEEN = 0, 3, 10, 11, 12


def at(server, *words: str) -> list[str]:
    return [*CHATSH, "127.0.0.1", str(server.port), *words]


def run(server, *words: str, text: str = "", **more) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        at(server, *words), input=text, capture_output=True, text=True, timeout=PATIENCE, **more
    )


def objects_of(done: subprocess.CompletedProcess[str]) -> list[dict]:
    return [json.loads(line) for line in done.stdout.splitlines()]


@contextmanager
def present(server, name):
    """Somebody who receives all the time, as a shell does."""
    link = Link(Address("127.0.0.1", server.port), Client(name))
    link.open()
    heard = []
    keeper = Keeper(link, heard.append, reconnect=False)
    keeper.start()
    try:
        yield heard
    finally:
        keeper.stop()


def contents(heard) -> list[str]:
    return [one.content for one in heard if isinstance(one, Incoming | IncomingGroup)]


# --- sending: what became of it ---


def test_a_message_that_its_receiver_has_is_delivered(chatd):
    with present(chatd, "ann") as heard:
        done = run(chatd, "bob", "--to", "ann", "it's 5 > 3", "| x")
        assert (done.returncode, done.stdout, done.stderr) == (DELIVERED, "", "")
    assert contents(heard) == ["it's 5 > 3 | x"]


def test_a_message_for_who_is_away_is_queued(chatd):
    with logged_in(chatd, "ann"):
        pass
    done = run(chatd, "bob", "--to", "ann", "later")
    assert (done.returncode, done.stdout, done.stderr) == (QUEUED, "", "")
    with logged_in(chatd, "ann") as ann:
        assert first(ann, Incoming).content == "later"


def test_a_message_that_is_not_received_in_time_is_queued(chatd):
    with logged_in(chatd, "ann"):  # who does not read
        done = run(chatd, "bob", "--to", "ann", "hi", "--timeout", "0.3")
    assert (done.returncode, done.stdout, done.stderr) == (QUEUED, "", "")


@pytest.mark.parametrize(
    ("to", "says"),
    [
        ("zoe", 'server: User "zoe" is not connected to the server.'),
        ("bob", "server: You cannot send a message to yourself."),
    ],
)
def test_a_message_that_the_server_does_not_take_is_refused_in_one_line(chatd, to, says):
    done = run(chatd, "bob", "--to", to, "hi")
    assert (done.returncode, done.stdout, done.stderr) == (REFUSED, "", f"{says}\n")


def test_a_message_to_everybody_is_acknowledged(chatd):
    with logged_in(chatd, "ann") as ann:
        assert run(chatd, "bob", "--to", "*", "hi").returncode == DELIVERED
        assert first(ann, IncomingBroadcast).content == "hi"


@contextmanager
def team(server, *absent: str):
    """A group of bob, of ann and of cid, who are there, and of those who are not."""
    for name in ("bob", *absent):
        with logged_in(server, name):
            pass
    with present(server, "ann") as ann, present(server, "cid") as cid:
        with logged_in(server, "bob") as bob:
            bob.ask(Group("create", "team", ["ann", "cid", *absent]))
        yield ann, cid


def test_a_message_to_a_group_is_delivered_when_everybody_who_is_there_has_it(chatd):
    with team(chatd, "dan") as (ann, cid):
        done = run(chatd, "bob", "--to", "TEAM", "hi", "--json")
        assert done.returncode == DELIVERED
        assert contents(ann) == contents(cid) == ["hi"]
    (sent,) = objects_of(done)
    assert (sent["state"], sent["group"], sent["absent"]) == ("delivered", "team", ["dan"])


def test_a_message_to_a_group_of_which_nobody_is_there_is_queued(chatd):
    with team(chatd):
        pass
    assert run(chatd, "bob", "--to", "team", "hi").returncode == QUEUED


def test_the_result_can_be_had_as_an_object(chatd):
    with present(chatd, "ann"):
        (sent,) = objects_of(run(chatd, "bob", "--to", "ann", "hi", "--json"))
    assert (sent["type"], sent["state"], sent["to"]) == ("sent", "delivered", "ann")
    assert (len(sent["seqs"]), sent["absent"]) == (1, [])
    done = run(chatd, "bob", "--to", "zoe", "hi", "--json")
    assert (done.returncode, objects_of(done)[0]["error"]) == (REFUSED, 301)


def test_what_waits_for_the_sender_is_left_to_the_next_session(chatd):
    with logged_in(chatd, "bob"):
        pass
    with logged_in(chatd, "ann") as ann:
        ann.send(Outgoing("bob", "for your eyes"))
        assert run(chatd, "bob", "--to", "ann", "hi", "--timeout", "0.2").returncode == QUEUED
        with logged_in(chatd, "bob") as bob:
            assert first(bob, Incoming).content == "for your eyes"


# --- the text ---


def test_the_text_comes_from_standard_input_where_none_is_given(chatd):
    with present(chatd, "ann") as heard:
        assert run(chatd, "bob", "--to", "ann", text="one\ntwo\n").returncode == DELIVERED
    assert contents(heard) == ["one\ntwo"]


def test_code_is_sent_in_a_fence_that_it_cannot_close(chatd):
    with present(chatd, "ann") as heard:
        run(chatd, "bob", "--to", "ann", "--code", text="make: *** [all]\n")
        run(chatd, "bob", "--to", "ann", "--code", text="a\n````\nb")
    assert contents(heard) == ["```\nmake: *** [all]\n```", "`````\na\n````\nb\n`````"]


def test_a_long_text_is_cut_at_line_ends_each_part_with_its_own_fence(chatd):
    lines = [f"{number:05} {'x' * 90}" for number in range(1000)]
    with present(chatd, "ann") as heard:
        done = run(chatd, "bob", "--to", "ann", "--code", text="\n".join(lines) + "\n")
        assert done.returncode == DELIVERED
    parts = [one.removeprefix("```\n").removesuffix("\n```") for one in contents(heard)]
    assert len(parts) == 6
    assert "\n".join(parts).split("\n") == lines


@pytest.mark.parametrize(
    "text",
    [
        "x" * (MAX_CONTENT + 1),
        "é" * MAX_CONTENT,
        "\x00" * MAX_CONTENT,
        ("a" * 100 + "\n") * 1000,
        '"\\\n' * MAX_CONTENT,
        "\n" * (2 * MAX_CONTENT) + "end",
    ],
)
@pytest.mark.parametrize("code", [False, True])
def test_every_part_of_a_text_is_one_that_the_server_takes(chatd, text, code):
    with logged_in(chatd, "bob") as bob:
        for part in messages(text, bob.client.limits, code=code):
            assert hasattr(bob.ask(OutgoingBroadcast(part)), "seq")


def test_a_text_of_the_greatest_length_is_one_message():
    assert messages("x" * MAX_CONTENT, Limits(), code=False) == ["x" * MAX_CONTENT]
    fenced = "x" * (MAX_CONTENT - 8)
    assert messages(fenced, Limits(), code=True) == [f"```\n{fenced}\n```"]


@pytest.mark.parametrize("words", [[""], [], [" \t"]])
def test_an_empty_text_is_one_clear_error_without_a_connection(words):
    done = subprocess.run(
        [*CHATSH, "nowhere.invalid", "--to", "ann", *words],
        input="\n",
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert (done.returncode, done.stderr) == (2, "chatsh: there is no text to send\n")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--to"], "argument --to: whom is the message for?"),
        (["--to", "--code"], "argument --to: whom is the message for?"),
        (["--code"], "--code goes with --to"),
        (["--to", "a\udcff", "x"], "a\ufffd is no text in UTF-8"),
        (["--to", "ann", "-lol"], "unrecognized arguments: -lol"),
        (["--wait-for", "("], "argument --wait-for: not a regular expression: missing ), "),
        (["--plain", "--json"], "--plain is for people, and --to, --wait-for and --json are for "),
    ],
)
def test_options_that_mean_nothing_are_refused_with_the_reason(words, says):
    done = subprocess.run([*CHATSH, *words], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 2
    assert f"chatsh: error: {says}" in done.stderr
    assert "Warning" not in done.stderr


def test_behind_two_dashes_everything_is_text(chatd):
    with logged_in(chatd, "ann") as ann:
        assert run(chatd, "bob", "--to=*", "--timeout", "5", "--", "-lol", "--to").returncode == 0
        assert first(ann, IncomingBroadcast).content == "-lol --to"


# --- waiting ---


class Running:
    """A script that goes on while the test does something."""

    def __init__(self, server, *words: str, text: str | None = None) -> None:
        self.process = subprocess.Popen(
            at(server, *words),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def ends(self) -> tuple[int, str, str]:
        code = self.process.wait(PATIENCE)  # while its input is still open
        out, err = self.process.communicate()
        return code, out, err


def joined(link, name: str) -> None:
    """Wait until somebody is told to have come."""
    assert any(getattr(event, "text", "") == f"{name} has joined." for event in link.events())


def test_a_line_is_waited_for_and_printed(chatd):
    with logged_in(chatd, "ann") as ann, Running(chatd, "bob", "--wait-for", "^ann: b.d$") as bob:
        joined(ann, "bob")
        for text in ("good", "bad", "worse"):
            ann.send(OutgoingBroadcast(text))
        assert bob.ends() == (0, "ann: bad\n", "")


def test_lines_of_groups_and_notices_are_searched_too(chatd):
    with team(chatd), logged_in(chatd, "eve") as eve:
        with Running(chatd, "bob", "--wait-for", r"^eve is quitting") as bob:
            joined(eve, "bob")
            eve.close()
            assert bob.ends() == (0, "eve is quitting.\n", "")
        with logged_in(chatd, "eve") as eve, Running(chatd, "bob", "--wait-for", "hot") as bob:
            joined(eve, "bob")
            eve.send(Outgoing("bob", "cold"))
            eve.send(OutgoingBroadcast("hot"))
            assert bob.ends() == (0, "eve: hot\n", "")


def test_a_line_that_does_not_come_ends_the_waiting(chatd):
    done = run(chatd, "bob", "--wait-for", "never", "--timeout", "0.2")
    assert (done.returncode, done.stdout) == (NOT_SEEN, "")
    assert done.stderr == "chatsh: no such line within 0.2 seconds\n"


def test_a_pattern_that_never_ends_does_not_outlive_the_timeout(chatd):
    words = ("--wait-for", "(a+)+$", "--timeout", "1")
    with logged_in(chatd, "ann") as ann, Running(chatd, "bob", *words) as bob:
        joined(ann, "bob")
        ann.send(OutgoingBroadcast("a" * 5000 + "!"))
        assert bob.ends() == (NOT_SEEN, "", "chatsh: no such line within 1 seconds\n")


def test_an_answer_is_found_and_what_was_said_before_the_question_is_not(chatd):
    with logged_in(chatd, "bob"):
        pass
    with logged_in(chatd, "ann") as ann:
        ann.send(Outgoing("bob", "no, of yesterday"))
        words = ("--to", "ann", "well?", "--wait-for", "^(.*] )?ann: ")
        with Running(chatd, "bob", *words) as bob:
            assert first(ann, Incoming).content == "well?"
            ann.send(Outgoing("bob", "yes"))
            assert bob.ends() == (0, "ann: yes\n", "")
        with logged_in(chatd, "bob") as bob:
            assert first(bob, Incoming).content == "no, of yesterday"


def test_ones_own_words_are_no_answer(chatd):
    words = ("--to", "*", "anybody?", "--wait-for", "anybody", "--timeout", "0.3")
    assert run(chatd, "bob", *words).returncode == NOT_SEEN


def test_a_refused_question_is_not_waited_for(chatd):
    done = run(chatd, "bob", "--to", "zoe", "well?", "--wait-for", "x")
    assert (done.returncode, done.stderr.count("\n")) == (REFUSED, 1)


def test_who_waits_again_goes_on_behind_the_line_that_was_found(chatd):
    with logged_in(chatd, "bob"):
        pass
    with logged_in(chatd, "ann") as ann:
        for text in ("job 1", "other", "job 2"):
            ann.send(Outgoing("bob", text))
        settled(ann)
        words = ("--wait-for", "job", "--timeout", "30", "--json")
        found = [objects_of(run(chatd, "bob", *words))[0]["text"] for _ in range(2)]
    assert found == ["job 1", "job 2"]


def test_the_lines_searched_are_those_that_a_shell_shows():
    when = "2026-01-02T03:04:05.678Z"
    for item in (
        Incoming("ann", "a\x1b[31mb\tc", 1, when),
        Incoming("ann\x1b]", "hi", 1, when, late=True),
        IncomingBroadcast("ann", "hi", 1, when),
        IncomingGroup("team", "ann", "hi", 1, when),
    ):
        assert wording.line(item) == render.item(item).plain
    # Rows of a message are one line here: nobody can begin one with the name of somebody else.
    assert wording.line(Incoming("ann", "hi\nbob: done", 1, when)) == "ann: hi bob: done"


# --- objects ---


def test_each_event_is_an_object(chatd):
    script = "hi\nann|psst\n/who\n/wo\n/dm zoe x\n/help\n/seen ann\n/ping z\n/quit\nnever\n"
    with present(chatd, "ann"):
        done = run(chatd, "bob", "--json", text=script)
    assert (done.returncode, done.stderr) == (0, "")
    told = [one for one in objects_of(done) if one["type"] != "receipt"]
    assert [(one["type"], one.get("line")) for one in told] == [
        ("link", None),
        ("ack", 1),
        ("ack", 2),
        ("users", 3),
        ("error", 4),
        ("error", 5),
        ("error", 6),
        ("seen", 7),
        ("pong", 8),
        ("link", None),
    ]
    assert (told[0]["state"], told[0]["name"], told[-1]["state"]) == ("open", "bob", "closed")
    assert (told[1]["to"], told[1]["text"], told[1]["state"]) == ("*", "hi", "stored")
    assert (told[2]["to"], told[2]["text"]) == ("ann", "psst")
    assert told[3]["users"] == ["ann", "bob"]
    assert (told[5]["error"], told[8]["word"]) == (301, "z")
    assert all(one["id"] for one in told[1:4])


def test_a_group_is_made_and_spoken_to_by_the_shells_lines(chatd):
    script = "/group\ny\nteam\nann\nteam~hi\n/exit\nteam|again\n/history team\n"
    with logged_in(chatd, "ann") as ann:
        done = run(chatd, "bob", "--json", text=script)
        assert [one.content for one in settled(ann) if isinstance(one, IncomingGroup)] == [
            *("hi", "again")
        ]
    told = {one["type"]: one for one in objects_of(done)}
    assert told["groups"]["groups"][0]["members"] == ["bob", "ann"]
    assert told["ack"]["group"] == "team"
    kinds = [(one["type"], one.get("text")) for one in told["history"]["items"]]
    assert kinds == [("group_event", None), ("message", "hi"), ("message", "again")]


def until(running: Running, **fields) -> dict:
    """The next object with these fields."""
    for line in running.process.stdout:
        told = json.loads(line)
        if fields.items() <= told.items():
            return told
    raise AssertionError(f"never told: {fields}")


def test_messages_are_told_while_the_input_is_idle(chatd):
    with Running(chatd, "bob", "--json") as bob:
        until(bob, type="link")
        with logged_in(chatd, "eve") as eve:
            assert until(bob, type="notice")["text"] == "eve has joined."
            eve.send(Outgoing("bob", "one"))
            got = until(bob, type="message")
            assert (got["from"], got["to"], got["text"], got["late"]) == (
                "eve",
                "bob",
                "one",
                False,
            )
            eve.send(OutgoingBroadcast("two"))
            after = until(bob, type="message")
        assert (after["to"], after["text"]) == ("*", "two")
        assert after["seq"] > got["seq"]
        assert after["time"].endswith("Z")


def test_what_somebody_sends_is_nothing_but_text(chatd):
    nasty = "".join(map(chr, [*range(0x20), 0x7F, *range(0x80, 0xA0)])) + "\u202e\u2028\ufeff[x]é🙂"
    with logged_in(chatd, "eve") as eve, Running(chatd, "bob", "--json") as bob:
        until(bob, type="link")
        eve.send(OutgoingBroadcast(nasty))
        line = next(line for line in bob.process.stdout if '"message"' in line)
        assert line.rstrip("\n").isascii()
        assert line.rstrip("\n").isprintable()
        assert json.loads(line)["text"] == nasty


def test_a_line_waited_for_is_an_object_where_that_is_asked_for(chatd):
    words = ("--wait-for", "hi", "--json")
    with logged_in(chatd, "ann") as ann, Running(chatd, "bob", *words) as bob:
        joined(ann, "bob")
        ann.send(OutgoingBroadcast("hi"))
        code, out, _ = bob.ends()
        assert (code, json.loads(out)["from"]) == (0, "ann")


def test_what_a_program_was_not_told_it_is_told_the_next_time(chatd):
    with logged_in(chatd, "bob"):
        pass
    with logged_in(chatd, "ann") as ann:
        ann.send(Outgoing("bob", "one"))
        settled(ann)
        done = run(chatd, "bob", "--json", text="/ping\n")
        assert [one["text"] for one in objects_of(done) if one["type"] == "message"] == ["one"]
        ann.send(Outgoing("bob", "two"))
        settled(ann)
        done = run(chatd, "bob", "--json", text="/ping\n")
        assert [one["text"] for one in objects_of(done) if one["type"] == "message"] == ["two"]


def test_every_object_is_explained_with_all_its_fields():
    page = (Path(__file__).parent.parent / "docs" / "shell.md").read_text("utf-8")
    section = page.split("\n## For programs\n")[1].split("\n## ")[0]
    cells = [line.split("|")[1:3] for line in section.splitlines() if line.startswith("| `")]
    said = {kind.strip(" `"): set(re.findall(r"`(\w+)`", fields)) for kind, fields in cells}
    for kind, fields in objects.fields().items():
        assert fields <= said[kind], kind


# --- where to ---

PROFILES = {
    "work": Server("chat.example.org", 9000, "ana"),
    "home": Server(),
    "old": Server("s3", 1, tls="off"),
}


@pytest.mark.parametrize(
    ("given", "variable", "destination"),
    [
        (Destination(), None, Destination("localhost", 8000)),
        (Destination(), "", Destination("localhost", 8000)),
        (Destination(), "work", Destination("chat.example.org", 9000, "ana")),
        (Destination(), "home", Destination("", 8000)),
        (Destination(), "old", Destination("s3", 1, None, tls=False)),
        (Destination("h", tls=True), None, Destination("h", 8000, None, tls=True)),
        (Destination(), "example.org:7000", Destination("example.org", 7000)),
        (Destination(), "[::1]:7000", Destination("::1", 7000)),
        (Destination(), ":7000", Destination("", 7000)),
        (Destination("h"), "work", Destination("h", 8000)),
        (Destination(port=1), "work", Destination("localhost", 1)),
        (Destination("h", 1, "n"), None, Destination("h", 1, "n")),
    ],
)
def test_a_script_knows_where_to_go_without_asking(given, variable, destination):
    assert without_questions(given, PROFILES, variable) == destination


@pytest.mark.parametrize("variable", ["wrok", "host:", "host:0", "host:http"])
def test_a_variable_that_names_no_place_is_refused(variable):
    with pytest.raises(UsageError, match="CHATSH_SERVER is neither a profile nor HOST:PORT: "):
        without_questions(Destination(), {}, variable)


@pytest.fixture
def config(tmp_path):
    """An environment with a settings file of its own, to be written by the test."""
    (tmp_path / "chatsh").mkdir()
    env = {**os.environ, "XDG_CONFIG_HOME": str(tmp_path)}
    env.pop("CHATSH_SERVER", None)
    return tmp_path / "chatsh" / "chatsh.toml", env


def test_a_profile_of_the_settings_is_a_destination(chatd, config):
    file, env = config
    file.write_text(f'[servers.work]\nhost = "127.0.0.1"\nport = {chatd.port}\nname = "ana"\n')
    with logged_in(chatd, "ann") as ann:
        for words, more in ((["work"], {}), ([], {"CHATSH_SERVER": "work"})):
            done = subprocess.run(
                [*CHATSH, *words, "--to", "*", "hi"], env=env | more, timeout=PATIENCE
            )
            assert done.returncode == 0
            assert first(ann, IncomingBroadcast).sender == "ana"
        done = subprocess.run(
            [*CHATSH, "work"], input="hi\n", env=env, text=True, capture_output=True
        )
        assert done.returncode == 0
        assert done.stdout.startswith(f"connecting to server at 127.0.0.1, {chatd.port}\n")
        assert first(ann, IncomingBroadcast).sender == "ana"


NOT_A_HOST = [
    (["8000", "ben"], '; if ben is your name: chatsh "" 8000 ben'),
    (["ben", "8000"], '; if ben is your name: chatsh "" 8000 ben'),
    (["wrok"], "; the servers of your settings are: home, work"),
    (["chat.example", "8000"], ""),
    (["ben", "8000", "ana"], ""),
    ([], ""),
]


@pytest.mark.parametrize(("words", "hint"), NOT_A_HOST)
def test_what_may_have_been_meant_by_an_unknown_host(words, hint):
    assert rather(words, {"home": Server(), "work": Server()}) == hint


def test_a_misspelt_profile_is_told_with_those_there_are(config):
    file, env = config
    file.write_text('[servers.work]\nhost = "127.0.0.1"\n')
    done = subprocess.run(
        [*CHATSH, "wrok.invalid", "--to", "ann", "hi"], env=env, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.endswith("; the servers of your settings are: work\n")


@pytest.mark.parametrize("words", [["--to", "ann", "hi"], ["localhost", "8000", "bob"]])
def test_wrong_settings_are_one_line(config, words):
    file, env = config
    file.write_text("times = 3\n")
    done = subprocess.run(
        [*CHATSH, *words], env=env, capture_output=True, text=True, timeout=PATIENCE
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(f"chatsh: {file}: ")


# --- ends ---


def test_a_script_is_never_asked_for_a_password(start, tmp_path):
    passwords = tmp_path / "passwords.txt"
    passwords.write_text("bob secret\n")
    passwords.chmod(0o600)
    guarded = start(str(passwords))
    done = run(guarded, "bob", "--to", "*", "hi")
    assert (done.returncode, done.stderr) == (4, "102: This name needs a password.\n")
    env = {**os.environ, "CHATSH_PASSWORD": "secret"}
    assert run(guarded, "bob", "--to", "*", "hi", env=env).returncode == 0


def test_a_server_that_is_down_is_told():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    done = subprocess.run(
        [*CHATSH, "127.0.0.1", str(port), "--to", "ann", "hi"],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"chatsh: cannot connect to 127.0.0.1, port {port}: ")


@pytest.mark.parametrize("words", [("--wait-for", "never"), ("--json",)])
@pytest.mark.parametrize(("how", "code"), [(signal.SIGKILL, LOST), (signal.SIGTERM, LOST)])
def test_a_server_that_goes_ends_the_script(chatd, words, how, code):
    with logged_in(chatd, "ann") as ann, Running(chatd, "bob", *words) as bob:
        joined(ann, "bob")
        ann.send(Outgoing("bob", "are you there?"))
        first(ann, Receipt)  # others may hear of a log-in before its own answer is written
        chatd.signal(how)
        got, _, err = bob.ends()
    assert (got, err.count("Traceback"), err.count("\n") <= 1) == (code, 0, True), err


@pytest.mark.parametrize("words", [("--wait-for", "never"), ("--json",), ("--to", "*")])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_the_script_politely(chatd, words, number):
    with logged_in(chatd, "ann") as ann, Running(chatd, "bob", *words) as bob:
        if "--to" not in words:
            joined(ann, "bob")
            ann.send(Outgoing("bob", "are you there?"))
            first(ann, Receipt)
        else:  # more than a pipe holds: some of it has been read, and nothing is said yet
            bob.process.stdin.write("x" * 200_000)
            bob.process.stdin.flush()
        bob.process.send_signal(number)
        assert bob.ends()[::2] == (128 + number, "")
        assert [text for text in notices(ann) if "lost" in text] == []


def test_a_reader_that_has_enough_is_no_error(chatd):
    script = 'printf "/who\\n/seen x\\n/who\\n" | "$@" 2>errors | head -1; cat errors'
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {script}", "bash", *at(chatd, "bob", "--json")],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        cwd=chatd.data,
    )
    assert json.loads(done.stdout)["type"] == "link"
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("words", "closed", "code"),
    [
        (("--to", "*", "hi"), "<&- >&- 2>&-", 0),
        (("--to", "*"), "<&-", 2),
        (("--json",), "<&-", 0),
        (("--json",), "<&- >&-", 0),
    ],
)
def test_closed_standard_streams_are_no_obstacle(chatd, words, closed, code):
    done = subprocess.run(
        ["sh", "-c", f'"$@" {closed}', "sh", *at(chatd, "bob", *words)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == code
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "used"),
    [
        (("--to", "*", "hi"), "chatsh.script"),
        (("--wait-for", "x", "--timeout", "0.1"), "chatsh.script"),
        (("--json",), "chatsh.events"),
    ],
)
def test_a_script_waits_for_no_library_of_the_shell(chatd, words, used):
    done = run(chatd, "bob", *words, env={**os.environ, "PYTHONVERBOSE": "1"})
    assert f"import '{used}'" in done.stderr
    for library in ("cmd2", "prompt_toolkit", "rich", "importlib.metadata"):
        assert f"import '{library}" not in done.stderr


# --- a server of S3 ---


def test_a_server_of_s3_is_asked_whether_it_has_anything_against_it():
    with s3_server() as s3:
        with logged_in(s3, "ann") as ann:
            done = run(s3, "bob", "--to", "ann", "hi", "--json")
            assert (done.returncode, objects_of(done)[0]["state"]) == (0, "sent")
            assert first(ann, Incoming).content == "hi"
        done = run(s3, "bob", "--to", "zoe", "hi")
        says = 'server: User "zoe" is not connected to the server.\n'
        assert (done.returncode, done.stdout, done.stderr) == (REFUSED, "", says)
        kill(s3)


def test_a_line_of_a_server_of_s3_can_be_waited_for():
    with s3_server() as s3:
        with logged_in(s3, "ann") as ann:
            words = ("--to", "ann", "well?", "--wait-for", "^ann: ")
            with Running(s3, "bob", *words) as bob:
                assert first(ann, Incoming).content == "well?"
                ann.send(Outgoing("bob", "yes"))
                assert bob.ends() == (0, "ann: yes\n", "")
        kill(s3)
