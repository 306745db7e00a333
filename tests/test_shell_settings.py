"""Settings, typed lines and logs on a terminal, judged by the screen, against the real daemon."""

import json
import lzma
import signal
import stat

import pytest
from peers.shells import CHATSH, PROMPT

from chatd.wire.messages import Outgoing, OutgoingBroadcast

UP, CTRL_R, CTRL_C = "\x1b[A", "\x12", "\x03"


@pytest.fixture
def config(shells):
    path = shells.home / "config" / "chatsh" / "chatsh.toml"
    path.parent.mkdir(parents=True)
    return path


@pytest.fixture
def history(shells):
    path = shells.home / "state" / "chatsh" / "history"
    path.parent.mkdir(parents=True)
    return path


def typed(history):
    """The lines in the file, the oldest first."""
    return [line[1:] for line in history.read_text().splitlines() if line.startswith("+")]


def leave(shells, shell):
    shell.enter("/quit")
    assert shells.ends(shell) == 0


# --- /set ---


def test_what_is_set_holds_at_once_and_the_next_time(shells, chatd):
    ann = shells.log_in(chatd, "ann")
    ann.enter("/set fold 3")
    shells.sees(ann, "fold is 3 now.")
    leave(shells, ann)
    again = shells.log_in(chatd, "ann")
    again.enter("/set fold")
    shells.sees(again, "It is 3; the default is 12.")
    shells.sees(again, "/set fold takes a number from 0 to 100000, or default.")
    shells.at(again, PROMPT)


@pytest.mark.parametrize(("theme", "coloured"), [("plain", True), ("mono", False), ("vivid", True)])
def test_a_theme_is_used_from_the_next_line_on(shells, chatd, theme, coloured):
    ann, ben = shells.log_in(chatd, "ann"), shells.peer(chatd, "ben")
    ann.enter(f"/set theme {theme}")
    shells.sees(ann, f"theme is {theme} now.")
    ben.send(OutgoingBroadcast("hi"))
    shells.sees(ann, "ben: hi")
    (row,) = (y for y, text in enumerate(ann.screen.display) if text.startswith("ben: hi"))
    assert (ann.screen.buffer[row][0].fg != "default") is coloured


def test_the_table_of_settings_fits_into_80_columns(shells, chatd):
    ann = shells.log_in(chatd, "ann")
    ann.enter("/set")
    shells.sees(ann, "dnd       off      off      do not disturb: no call at all")
    shells.sees(ann, "log       off      off      keep what is said, a file per conversation")
    shells.at(ann, PROMPT)


@pytest.mark.parametrize(
    ("begun", "whole"),
    [
        ("/set the", "/set theme"),
        ("/set theme v", "/set theme vivid"),
        ("/set theme d", "/set theme default"),
        ("/set dnd of", "/set dnd off"),
        ("/set fold d", "/set fold default"),
        ("/set nothing x", "/set nothing x"),
    ],
)
def test_tab_completes_settings_and_what_they_can_be(shells, chatd, begun, whole):
    ann = shells.log_in(chatd, "ann")
    ann.type(f"{begun}\t")
    shells.at(ann, f"{PROMPT} {whole}")


def test_a_wrong_file_is_told_before_anything_is_connected(shells, chatd, config):
    config.write_text('tmies = "each"\n')
    ann = shells.start(*CHATSH, "127.0.0.1", str(chatd.port), "ann", size=(24, 200))
    assert shells.ends(ann) == 2
    assert ann.rows[0] == f'chatsh: {config}: there is no setting "tmies"; did you mean times?'
    assert not any(ann.rows[1:])


# --- typed lines ---


def test_up_and_control_r_find_the_lines_of_earlier_shells(shells, chatd):
    for number in (1, 2):
        ann = shells.log_in(chatd, "ann")
        ann.enter(f"/ping number {number}")
        shells.sees(ann, f"pong number {number}")
        leave(shells, ann)
    again = shells.log_in(chatd, "ann")
    again.type(UP * 2)
    shells.at(again, f"{PROMPT} /ping number 2")
    again.type(CTRL_C)
    shells.at(again, PROMPT)
    again.type(CTRL_R + "number 1")
    shells.until(lambda: "/ping number 1" in again.row, "a search of earlier lines")
    again.type("\r\r")
    shells.sees(again, "pong number 1")


def test_a_line_is_kept_though_the_shell_is_killed_at_once(shells, chatd, history):
    ann = shells.log_in(chatd, "ann")
    ann.enter("/ping 1")
    shells.sees(ann, "pong 1")
    ann.child.kill(signal.SIGKILL)
    assert typed(history) == ["/ping 1"]


def test_two_shells_keep_the_lines_of_both(shells, chatd, history):
    both = {name: shells.log_in(chatd, name) for name in ("ann", "ben")}
    pings = [f"/ping {name} {number}" for number in range(3) for name in both]
    for ping in pings:
        shell = both[ping.split()[1]]
        shell.enter(ping)
        shells.sees(shell, ping.replace("/ping", "pong"))
    assert typed(history) == pings


def test_only_the_newest_lines_are_kept(shells, chatd, config, history):
    config.write_text("history = 3\n")
    history.write_text("".join(f"\n# 2026-01-01\n+line {n}\n+more\n" for n in range(9)))
    history.chmod(0o644)
    ann = shells.log_in(chatd, "ann")
    assert typed(history) == ["line 6", "more", "line 7", "more", "line 8", "more"]
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    leave(shells, ann)


def test_no_line_is_kept_where_none_is_wanted(shells, chatd, config, history):
    config.write_text("history = 0\n")
    history.write_text("\n# 2026-01-01\n+before\n")
    ann = shells.log_in(chatd, "ann")
    assert typed(history) == []
    ann.enter("/ping 1")
    shells.sees(ann, "pong 1")
    ann.type(UP)
    shells.at(ann, f"{PROMPT} /ping 1")
    ann.type(CTRL_C)
    shells.at(ann, PROMPT)
    ann.enter("/set history 5")
    shells.sees(ann, "history is 5 now.")
    leave(shells, ann)
    assert typed(history) == ["/quit"]


@pytest.mark.parametrize("term", ["xterm-256color", "dumb"])
def test_what_is_typed_without_echo_is_kept_nowhere(shells, chatd, history, term):
    ann = shells.log_in(chatd, "ann", TERM=term)
    ann.enter("/register")
    for question in ("password: ", "the same again: "):
        shells.until(lambda asked=question: asked.strip() in ann.row, question)
        ann.enter("secret7")
    shells.sees(ann, "Your name is protected now.")
    leave(shells, ann)
    assert typed(history) == ["/register", "/quit"]
    files = [path for path in shells.home.rglob("*") if path.is_file()]
    assert history in files
    assert not any(b"secret7" in path.read_bytes() for path in files)


@pytest.mark.parametrize(
    "before", [lzma.compress(b'{"history_version": "4.0.0"}'), b"garbage", b""]
)
def test_a_history_of_another_kind_is_replaced(shells, chatd, history, before):
    history.write_bytes(before)
    ann = shells.log_in(chatd, "ann")
    ann.enter("/ping 1")
    shells.sees(ann, "pong 1")
    leave(shells, ann)
    assert typed(history) == ["/ping 1", "/quit"]
    assert b"chatsh:" not in ann.raw


def test_where_the_folder_cannot_be_written_one_line_says_so(shells, chatd):
    (shells.home / "state").write_text("no folder")
    ann = shells.log_in(chatd, "ann")
    assert ann.flow.count("chatsh: no history is kept: ") == 1
    ann.enter("/ping 1")
    shells.sees(ann, "pong 1")
    ann.type(UP)
    shells.at(ann, f"{PROMPT} /ping 1")


# --- logs of conversations ---


def test_what_is_said_is_kept_in_a_file_for_each_conversation(shells, chatd):
    ann, ben = shells.log_in(chatd, "ann"), shells.peer(chatd, "ben")
    ann.enter("/log")
    shells.sees(ann, "Nothing is kept; /set log text keeps what is said from then on.")
    ann.enter("unheard")
    shells.hears(ben, "unheard")
    ann.enter("/set log text")
    shells.sees(ann, "log is text now.")
    ann.enter("hello")
    shells.sees(ann, "ann: hello")
    ann.enter("ben|just us")
    shells.sees(ann, "ann: just us")
    ben.send(Outgoing("ann", "\x1b[2Jyes\nann: no"))
    shells.sees(ann, "ben: yes")
    ann.enter("/log")
    folder = shells.home / "state" / "chatsh" / "logs" / f"127.0.0.1-{chatd.port}"
    shells.until(lambda: f"What is said is kept as text in {folder}" in ann.flow, "the folder")
    leave(shells, ann)
    kept = {path.name: path.read_text().splitlines() for path in folder.iterdir()}
    assert {name: [line[20:] for line in lines] for name, lines in kept.items()} == {
        "everyone.log": ["ann: hello"],
        "ben.log": ["ann: just us", "ben: yes ann: no"],
    }


def test_a_message_that_is_refused_is_not_kept(shells, chatd, config):
    config.write_text('log = "json"\n')
    ann = shells.log_in(chatd, "ann")
    ann.enter("ann|me")
    shells.sees(ann, "server: You cannot send a message to yourself.")
    ann.enter("hello")
    shells.sees(ann, "ann: hello")
    leave(shells, ann)
    (path,) = (shells.home / "state" / "chatsh" / "logs").rglob("*.jsonl")
    (line,) = path.read_text().splitlines()
    told = json.loads(line)
    assert (path.name, told["type"], told["from"]) == ("everyone.jsonl", "message", "ann")
    assert (told["to"], told["text"]) == ("*", "hello")


def test_a_full_disk_is_told_once_and_the_chat_goes_on(shells, chatd, config):
    config.write_text('log = "text"\n')
    shell = (*CHATSH, "127.0.0.1", str(chatd.port), "ann")
    ann = shells.start("sh", "-c", 'ulimit -f 1; exec "$@"', "sh", *shell)
    shells.at(ann, PROMPT)
    for letter in "abc":
        ann.enter(letter * 600)
        shells.until(lambda one=letter: f"ann: {one * 600}" in ann.flow, "the message")
    shells.until(lambda: ann.flow.count("What is said is not kept: ") == 1, "a complaint")
    ann.enter("short")
    shells.sees(ann, "ann: short")
    assert ann.flow.count("What is said is not kept: ") == 1
    leave(shells, ann)
    (path,) = shells.home.rglob("everyone.log")
    assert {line[20:] for line in path.read_text().splitlines()} <= {
        f"ann: {'a' * 600}",
        "ann: short",
    }
