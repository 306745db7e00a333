"""The shell on a terminal, judged by the screen, against the real daemon."""

import psutil
import pytest
from peers.links import logged_in
from peers.shells import CHATSH, DIRECT, PROMPT

from chatd.wire.messages import OutgoingBroadcast

DRAFT = f"{PROMPT} hel"


# --- what is shown ---


def test_the_start_shows_who_is_here_a_blank_line_and_the_prompt(shells, chatd):
    with logged_in(chatd, "ben"):
        ann = shells.log_in(chatd, "ann")
    rows = ann.rows
    assert rows[0] == f"connecting to server at 127.0.0.1, {chatd.port}"
    at = rows.index("current users:")
    assert rows[at : at + 5] == ["current users:", "ben", "ann", "", PROMPT]
    assert ann.screen.cursor.x == len(PROMPT) + 1


def test_three_people_see_what_is_theirs(shells, chatd, ann):
    ben, cid = (shells.log_in(chatd, name) for name in ("ben", "cid"))
    ann.enter('/dm ben "Hello there!"')
    for each in (ann, ben):
        shells.sees(each, "ann: Hello there!")
    ben.enter('/bc "Hi all"')
    for each in (ann, ben, cid):
        shells.sees(each, "ben: Hi all")
    assert "ann: Hello there!" not in cid.rows
    ann.enter("dan|anybody?")
    shells.sees(ann, 'server: User "dan" is not connected to the server.')
    cid.enter("cid~me")
    shells.sees(cid, "server: You cannot send a message to yourself.")
    cid.enter("/quit")
    shells.sees(ann, "cid is quitting.")
    assert shells.ends(cid) == 0


REQUESTS = [
    ("/who", "current users:"),
    ("/seen ann", "ann is here."),
    ("/ping two words", "pong two words"),
    ("/ping", "pong"),
    ("/newname joe", "You are now joe."),
    (
        "/newname *",
        'server: That name cannot be used: the characters | ~ " : * are not allowed in it.',
    ),
    ("/wo", "There is no command /wo; did you mean /who?"),
    ("/dm ben", "Usage: /dm NAME TEXT"),
    ("/help ping", "/ping [WORD]  wait for the server's answer and everything before it"),
    ("/leave team", 'There is no group "team"; /leave alone leaves the server.'),
]


@pytest.mark.parametrize(("line", "row"), REQUESTS)
def test_what_a_request_shows(shells, ann, line, row):
    ann.enter(line)
    shells.until(lambda: row in ann.flow, row)
    shells.at(ann, PROMPT)


def test_direct_mode_shows_in_the_prompt_and_exit_leaves_it(shells, chatd, ann):
    ben = shells.peer(chatd, "ben")
    ann.enter("/direct")
    shells.at(ann, DIRECT)
    ann.enter("ben~a~b")
    shells.hears(ben, "a~b")
    ann.enter("hello")
    shells.sees(ann, "In direct mode write NAME~TEXT; /exit goes back to everyone.")
    ann.enter("/exit")
    shells.at(ann, PROMPT)
    ann.enter("hello")
    shells.hears(ben, "hello")
    assert ben.heard == ["a~b", "hello"]


def test_nothing_that_others_say_drives_the_terminal(shells, chatd, ann):
    ben = shells.peer(chatd, "ben")
    for text in (*HOSTILE, "the end"):
        ben.send(OutgoingBroadcast(text))
    shells.sees(ann, "ben: the end")
    shells.at(ann, PROMPT)
    said = [row for row in ann.rows if row.startswith("ben:")]
    assert len(said) == len(HOSTILE) + 1
    assert not any(text.encode() in ann.raw for text in HOSTILE)


HOSTILE = [
    "\x1b[2J\x1b[Hgone",
    "\x1b]0;owned\x07",
    "\x1b[6n\x1b[5i",
    "a\rben: b",
    "a\nann: b",
    "\x01raw\x02",
    "\u202erevers",
    "\x9b2J",
]


# --- what is being typed ---


def test_the_draft_stands_on_the_screen_after_each_of_50_lines(shells, chatd, ann):
    ben = shells.peer(chatd, "ben")
    ann.type("hel")
    shells.at(ann, DRAFT)
    for number in range(50):
        ben.send(OutgoingBroadcast(f"line {number}"))
        shells.sees(ann, f"ben: line {number}")
        shells.at(ann, DRAFT)
    ann.enter("lo")
    shells.hears(ben, "hello")
    shells.sees(ann, "ann: hello")


def test_a_flood_of_200_lines_loses_none_and_leaves_the_draft(shells, chatd, ann):
    ben = shells.peer(chatd, "ben")
    ann.type("hel")
    for number in range(200):
        ben.send(OutgoingBroadcast(f"line {number}"))
    shells.sees(ann, "ben: line 199")
    shells.at(ann, DRAFT)
    said = [row for row in ann.rows if row.startswith("ben: line")]
    assert said == [f"ben: line {number}" for number in range(200)]
    ann.enter("lo")
    shells.hears(ben, "hello")


def test_lines_that_come_and_lines_that_are_typed_lose_nothing_of_each_other(shells, chatd, ann):
    ben = shells.peer(chatd, "ben")
    for number in range(200):
        ben.send(OutgoingBroadcast(f"line {number}"))
        if number % 5 == 0:
            ann.enter(f"typed {number}")
            shells.pump(0)
    shells.sees(ann, "ben: line 199")
    shells.hears(ben, "typed 195")
    shells.sees(ann, "ann: typed 195")
    assert ben.heard == [f"typed {number}" for number in range(0, 200, 5)]
    for who, numbers in (("ben: line", range(200)), ("ann: typed", range(0, 200, 5))):
        assert [row for row in ann.rows if row.startswith(who)] == [f"{who} {n}" for n in numbers]


SENT_AS_THEY_ARE = [
    'rm -rf x; echo "y',
    "!ls",
    "!touch owned",
    "@f",
    "a > b",
    "a >> b",
    ": | tee b",
    "# x",
    "it's",
    "'it",
    '"quoted',
    "$(touch owned) `touch owned`",
    "help",
    "_eof",
    "quit now",
    "  two  blanks  ",
    "tab\\tslash\\",
    "ünïcödé 🎈 日本",
    "shell touch owned",
    "run_script f",
]


def test_text_is_sent_byte_for_byte_and_does_nothing_else(shells, chatd, ann, tmp_path):
    ben = shells.peer(chatd, "ben")
    program = psutil.Process(ann.child.pid)
    sent = {
        **{text: text for text in SENT_AS_THEY_ARE},
        'ben|rm -rf x; echo "y': 'rm -rf x; echo "y',
        "//x": "/x",
    }
    for line, text in sent.items():
        ann.enter(line)
        shells.hears(ben, text)
        assert not program.children()
    assert ben.heard == list(sent.values())
    assert list((tmp_path / "work").iterdir()) == []


def test_control_c_empties_the_line_and_stays(shells, chatd, ann):
    ben = shells.peer(chatd, "ben")
    shells.sees(ann, "ben has joined.")
    ann.type("\x03")
    shells.until(lambda: ann.rows.count(PROMPT) == 2, "a second prompt")
    ann.type("not this")
    shells.at(ann, f"{PROMPT} not this")
    ann.type("\x03")
    shells.at(ann, PROMPT)
    ann.enter("but this")
    shells.hears(ben, "but this")
    assert ben.heard == ["but this"]


def test_the_line_before_comes_back_with_the_arrow_key(shells, ann):
    ann.enter("/ping 1")
    shells.sees(ann, "pong 1")
    ann.type("\x1b[A")
    shells.at(ann, f"{PROMPT} /ping 1")


COMPLETIONS = [
    ("/regi", "/register"),
    ("/SEE", "/seen"),
    ("/seen us", '/seen "User 1"'),
    ("/dm z", "/dm zoe"),
    ("/whisper user", '/whisper "User 1"'),
    ("zo", "zoe|"),
    ("us", "User 1|"),
    ("/help newn", "/help /newname"),
    ("hello", "hello"),
    ("zoe|zo", "zoe|zo"),
]


def test_tab_completes_commands_and_the_names_of_who_is_here(shells, chatd, ann):
    shells.peer(chatd, "User 1")
    zoe = shells.peer(chatd, "zoe")
    shells.sees(ann, "zoe has joined.")
    for begun, whole in COMPLETIONS:
        ann.type(f"{begun}\t")
        shells.at(ann, f"{PROMPT} {whole}")
        ann.type("\x03")
        shells.at(ann, PROMPT)
    ann.type("/dm z\t")
    shells.at(ann, f"{PROMPT} /dm zoe")
    ann.enter("hi")
    shells.hears(zoe, "hi")


def test_tab_shows_what_there_is_to_choose(shells, ann):
    ann.type("/w\t")
    shells.until(lambda: "/whisper  send a message to one person" in ann.flow, "a menu")
    shells.until(lambda: "/who      list who is here" in ann.flow, "a menu")


# --- the end ---


@pytest.mark.parametrize(
    "word",
    ["/quit", "/disc", "/leave", "/exit", "exit", "quit", "logout", "logoff", "bye", "\x04"],
)
def test_every_way_to_leave_is_a_clean_quit(shells, chatd, word):
    ben = shells.peer(chatd, "ben")
    ann = shells.start(
        *("sh", "-c", 'stty -a; "$@"; echo "code $?"; stty -a', "sh"),
        *(*CHATSH, "127.0.0.1", str(chatd.port), "ann"),
    )
    shells.at(ann, PROMPT)
    ann.type(word if word == "\x04" else word + "\r")
    assert shells.ends(ann) == 0
    shells.hears(ben, "ann is quitting.")
    assert ben.heard == ["ann has joined.", "ann is quitting."]
    before, after = ann.raw.split(b"code 0\r\n")
    assert after
    assert before.startswith(after)
