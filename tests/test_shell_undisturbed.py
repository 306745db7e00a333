"""Lines come in while a line is typed: nothing of either is lost, doubled or moved."""

import json
import os
import signal

import pytest
from peers.flood import Flood, line_of
from peers.shells import CHATSH, PROMPT

HOME, END, LEFT, KILL, YANK, WORD = "\x01", "\x05", "\x1b[D", "\x0b", "\x19", "\x17"
DRAFT = "a line that is long enough to go on in the second row of this terminal, and in the third"
QUESTION = "Send these 6 lines as one message? [y]es, as [c]ode, [n]o:"
SEARCH = "(reverse-i-search)`on': /ping one"


@pytest.fixture
def ben(shells, chatd, ann):
    return Flood(shells, chatd, "ben")


def kept(shells) -> str:
    """The draft on the disk."""
    texts = [file.read_text() for file in shells.home.glob("state/chatsh/drafts/*.jsonl")]
    return json.loads(texts[0]).get("everyone", "") if texts else ""


def stands(shells, terminal, text, prompts=1):
    """The prompt with this line is below everything else, and nowhere a second time."""
    shells.until(lambda: line_of(terminal) == text, f"the line {text!r}")
    assert sum(row.startswith(PROMPT) for row in terminal.rows) == prompts
    shells.until(lambda: kept(shells).strip() == text, "the draft on the disk")


def rests(shells, terminal, text):
    """Nothing more is to be drawn: a key comes behind all that the terminal was asked for."""
    for key, line in (("!", f"{text}!"), ("\x7f", text)):
        terminal.type(key)
        shells.until(lambda line=line: line_of(terminal) == line, f"the line {line!r}")


# --- what is typed ---


EDITING = [  # keys, and what they make of what stands before and behind the cursor
    (LEFT * 20, lambda a, b: (a[:-20], a[-20:] + b)),
    ("XYZ", lambda a, b: (a + "XYZ", b)),
    ("\x7f", lambda a, b: (a[:-1], b)),
    (KILL, lambda a, _: (a, "")),
    (HOME + YANK, lambda a, b: (DRAFT[-20:], a + b)),
    (END + WORD, lambda a, b: ((a + b)[: (a + b).rindex(" ") + 1], "")),
    (LEFT * 5 + "\x1b[3~", lambda a, b: (a[:-5], a[-4:] + b)),
    ("ü 日本", lambda a, b: (a + "ü 日本", b)),
    (HOME, lambda a, b: ("", a + b)),
]


def test_a_wrapped_line_is_edited_in_the_middle(shells, ann, ben):
    ann.type(DRAFT)
    before, behind = DRAFT, ""
    for keys, change in EDITING:
        ben.say(5)
        ann.type(keys)
        before, behind = change(before, behind)
        ben.say(5)
        stands(shells, ann, (before + behind).strip())
    ben.all_stand(ann)
    ann.type("\r")
    shells.until(lambda: ben.heard == [before + behind], "the line")


def test_a_menu_of_completions_and_a_search_stay_open(shells, ann, ben):
    ann.enter("/ping one")
    shells.sees(ann, "pong one")
    ann.type("/wh\t")
    for keys, line in (("", "/wh"), ("\t", "/whisper"), ("\t", "/who")):
        ann.type(keys)
        for _ in range(2):
            ben.say(5)
            shells.until(
                lambda row=f"{PROMPT} {line}": (
                    ann.row == row
                    and sum("/whisper  send" in one for one in ann.rows) == 1
                    and ben.lines[-1] in ann.rows
                ),
                "the menu, once",
            )
    ann.type("\r")  # takes what is chosen
    stands(shells, ann, "/who", prompts=2)
    ann.type("\x15begun\x12on")
    for _ in range(4):
        ben.say(5)
        shells.until(lambda: ann.row == SEARCH and ben.lines[-1] in ann.rows, "the search")
    assert sum("reverse-i" in row for row in ann.rows) == 1
    ann.type("\x07")  # Ctrl-G
    stands(shells, ann, "begun", prompts=2)
    ben.all_stand(ann)


def test_a_paste_that_comes_in_pieces_and_the_question_before_it_is_sent(shells, ann, ben):
    block = "\n".join(f"row {number} of a block" for number in range(6))
    pasted = f"\x1b[200~{block}\x1b[201~"
    for at in range(0, len(pasted), 9):  # the mark of the end is cut, too
        ann.type(pasted[at : at + 9])
        ben.say(2)
    shells.at(ann, "row 5 of a block")
    ben.say(5)
    shells.until(lambda: kept(shells) == block, "the draft on the disk")
    ann.type(LEFT * 5 + "\x1b\r" + "\x7f")  # a line more, and back
    ben.say(5)
    for answer in "ny":
        ann.type("\r")
        for _ in range(2):
            ben.say(5)
            shells.until(lambda: ann.row == QUESTION and ben.lines[-1] in ann.rows, "a question")
        ann.type(answer)
        ben.say(5)
    shells.until(lambda: ben.heard == [block], "the block")
    assert sum(row == QUESTION for row in ann.rows) == 2
    shells.at(ann, PROMPT)
    ben.all_stand(ann)


def test_what_is_asked_for_without_echo(shells, ann, ben):
    ann.type("/register\r")
    for question in ("password:", "the same again:"):
        shells.at(ann, question)
        ann.type("sec")
        ben.say(8)
        shells.until(lambda row=question: ann.row == row and ben.lines[-1] in ann.rows, question)
        assert ann.rows.count(question) == 1
        ann.type("ret\r")
    shells.sees(ann, "Your name is protected now.")
    stands(shells, ann, "", prompts=2)
    ben.all_stand(ann)
    assert b"sec" not in ann.raw


def test_nothing_that_is_pasted_between_two_lines_is_taken_for_keys(shells, ann, ben):
    stands(shells, ann, "")
    asked = ann.raw.count(b"\x1b[?2004h")
    ben.say(20)
    ben.all_stand(ann)
    assert ann.raw.count(b"\x1b[?2004h") > asked
    assert b"\x1b[?2004l" not in ann.raw
    assert b"\x1b[?1004l" not in ann.raw


def test_what_the_terminal_tells_amid_a_paste_is_not_in_it(shells, ann, ben):
    ann.type("\x1b[200~one\x1b[O\x1b[7;1R two\x1b[I\x1b[20")
    ann.type("\x1b[12;3R")
    ben.say(1)
    ann.type("1~ and three")
    stands(shells, ann, "one two and three")


# --- the terminal ---


@pytest.mark.parametrize("line", [DRAFT, "short"])
def test_another_size(shells, ann, ben, line):
    ann.type(line)
    for size in ((10, 40), (30, 100), (24, 80)):
        ben.say(5)
        ben.all_stand(ann)
        rests(shells, ann, line)
        ann.resize(*size)
        ben.say(5)
        stands(shells, ann, line)
    for _ in range(10):  # a window that is drawn smaller
        for columns in range(79, 30, -1):
            ann.resize(24, columns)
        ben.say(1)
    ann.resize(24, 80)
    ben.say(5)
    stands(shells, ann, line)
    ben.all_stand(ann)


def test_one_row_and_back(shells, ann, ben):
    ann.type("short")
    rests(shells, ann, "short")
    ann.resize(1, 80)
    ben.say(5)
    ben.all_stand(ann)
    rests(shells, ann, "short")
    ann.resize(24, 80)
    ben.say(5)
    stands(shells, ann, "short")
    ben.all_stand(ann)


def test_other_programs_have_the_terminal_for_a_while(shells, chatd):
    editor = 'sh -c \'read -r line < "$0"; echo EDITING; read -r word; echo "$line $word" > "$0"\''
    ann = shells.start("bash", "--norc", "--noprofile", "-i", PS1="job> ", EDITOR=editor)
    shells.at(ann, "job>")
    ann.enter("stty -a > before")
    shells.at(ann, "job>")
    ann.enter(f"{' '.join(CHATSH)} 127.0.0.1 {chatd.port} ann")
    shells.at(ann, PROMPT)
    ben = Flood(shells, chatd, "ben")
    ann.type(DRAFT)
    ben.say(3)
    for _ in range(3):
        stands(shells, ann, DRAFT)
        ann.type("\x1a")  # Ctrl-Z
        shells.at(ann, "job>")
        ben.say(3)
        ann.enter("stty -a | cmp - before && fg")
    stands(shells, ann, DRAFT)
    ann.type("\x18\x05")  # Ctrl-X Ctrl-E
    shells.at(ann, "")
    shells.sees(ann, "EDITING")
    ben.say(3)
    shells.pump(0)
    assert ben.lines[-1] not in ann.rows
    ann.type("more\r")
    stands(shells, ann, f"{DRAFT} more")
    ben.say(3)
    ann.type("\r")
    shells.until(lambda: ben.heard == [f"{DRAFT} more"], "the line")
    ben.all_stand(ann)
    ann.enter("/quit")
    shells.at(ann, "job>")
    ann.enter("stty -a | cmp - before && echo same; exit 7")
    assert shells.ends(ann) == 7
    assert "same" in ann.rows
    assert ann.raw.rindex(b"\x1b[?2004l") > ann.raw.rindex(b"\x1b[?1004h")


# --- many ---


def test_300_messages_while_lines_are_typed(shells, chatd, ann, ben):
    sent = []
    for number in range(15):
        ben.say(10)
        text = f"typed {number} " + "and more " * (number % 12)
        ann.type(text[: number % 7])
        ben.say(5)
        ann.type(text[number % 7 :].rstrip())
        ben.say(5)
        stands(shells, ann, text.rstrip(), prompts=number + 1)
        sent.append(text.rstrip())
        ann.type("\r")
    shells.until(lambda: len(ben.heard) == 15, "the lines")
    assert ben.heard == sent
    assert len(ben.lines) == 300
    ben.all_stand(ann)
    shells.until(lambda: line_of(ann) == "", "an empty line")
    os.kill(ann.child.pid, signal.SIGTERM)
    assert shells.ends(ann) == 143
