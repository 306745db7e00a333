"""Groups, missed messages, history and receipts in the shell, against the real daemon."""

import re
import shutil
import signal

import pytest
from peers.links import logged_in
from peers.servers import kill, s3_server
from peers.shells import PROMPT

from chatd.wire.messages import Group, IncomingGroup, Newname, Outgoing, OutgoingGroup, Receipt

NEW = f"[group: make a new one? y/n] {PROMPT}"
NAME = f"[group: its name] {PROMPT}"
MEMBERS = f"[group: its members, NAME~NAME~...] {PROMPT}"
GROUP = f"[group] {PROMPT}"
STAMP = r"\[\d{4}-\d\d-\d\d \d\d:\d\d\]"
TIME = r"\[\d\d:\d\d\]"  # of today; of another day, that stands above
LOST = "The connection to the server was lost."


@pytest.fixture
def ann(shells, chatd):
    return shells.log_in(chatd, "ann", size=(40, 120))


def matches(shells, terminal, pattern):
    """Wait for a row of that form."""
    shells.until(lambda: any(re.fullmatch(pattern, row) for row in terminal.rows), pattern)


def made(shells, ann, name, *members):
    ann.enter(f'/group create "{name}" {" ".join(members)}')
    everyone = ", ".join(["ann", *members])
    matches(shells, ann, rf"{name}: {everyone}; owner ann, made {STAMP[2:-2]}")


def toolbar(terminal):
    return terminal.screen.display[-1].strip()


def barrier(shells, terminal, word):
    """Behind the answer to a ping nothing more is on its way."""
    terminal.enter(f"/ping {word}")
    shells.sees(terminal, f"pong {word}")


# --- the dialogue ---


def test_three_questions_make_a_group(shells, chatd, ann, ben):
    shells.peer(chatd, "User 1")
    shells.sees(ann, "User 1 has joined.")
    ann.enter("/group")
    shells.at(ann, NEW)
    ann.enter("Y")
    shells.at(ann, NAME)
    ann.enter("a:b")
    shells.sees(ann, "A group cannot be called that; choose another name, or /exit.")
    shells.at(ann, NAME)
    ann.enter("my team")
    shells.at(ann, MEMBERS)
    ann.enter("ben ~ User 1~zoe")
    matches(shells, ann, r"my team: ann, ben, User 1; owner ann, made .*")
    shells.sees(ann, "zoe: there is nobody of that name")
    shells.at(ann, GROUP)
    ann.enter("my team~a~b|c")
    shells.sees(ann, "[my team] ann: a~b|c")
    ann.enter("ben~just you")
    shells.sees(ann, "ann: just you")
    ann.enter("nowhere~x")
    shells.sees(ann, 'server: There is no group "nowhere".')
    ann.enter("x")
    shells.sees(ann, "In group mode write GROUP~TEXT; /exit goes back to everyone.")
    ann.enter("/exit")
    shells.at(ann, PROMPT)


def test_a_name_that_is_taken_is_told_and_the_mode_stays(shells, ann, ben):
    ann.enter("/group")
    shells.at(ann, NEW)
    for answer, prompt in (("yes", NAME), ("ben", MEMBERS), ("", GROUP)):
        ann.enter(answer)
        shells.at(ann, prompt)
    shells.sees(ann, "server: The name ben is taken; choose another.")


@pytest.mark.parametrize("answers", [(), ("y",), ("y", "team")])
def test_the_questions_can_be_left_and_commands_work_between_them(shells, ann, answers):
    ann.enter("/group")
    shells.at(ann, NEW)
    prompt = NEW
    for answer, prompt in zip(answers, (NAME, MEMBERS), strict=False):
        ann.enter(answer)
        shells.at(ann, prompt)
    barrier(shells, ann, "between")
    shells.at(ann, prompt)
    ann.enter("/exit")
    shells.at(ann, PROMPT)
    ann.enter("/group list")
    shells.sees(ann, "You are in no group.")


# --- the commands ---


def test_every_form_of_the_command(shells, chatd, ann, ben):
    zoe = shells.peer(chatd, "zoe")
    shells.sees(ann, "zoe has joined.")
    made(shells, ann, "my team", "ben")
    ann.enter('/group add "my team" zoe, ben')
    matches(shells, ann, "my team: ann, ben, zoe; .*")
    shells.sees(ann, "ben: is in the group already")
    ann.enter("/group info my team")
    shells.until(lambda: sum("ann, ben, zoe" in row for row in ann.rows) == 2, "the answer")
    ann.enter('/group rename my team "the crew"')
    matches(shells, ann, "the crew: ann, ben, zoe; .*")
    ann.enter("/group remove the crew zoe kim")
    matches(shells, ann, "the crew: ann, ben; .*")
    shells.sees(ann, "kim: is not in the group")
    ann.enter("/group owner the crew ben")
    matches(shells, ann, "the crew: ann, ben; owner ben, .*")
    ann.enter("/group list")
    shells.until(lambda: sum("owner ben" in row for row in ann.rows) == 2, "the list")
    ann.enter("/group delete the crew")
    shells.sees(ann, 'server: Only the owner of "the crew" may do that.')
    ann.enter("/group leave THE CREW")
    shells.sees(ann, "You have left the group.")
    made(shells, ann, "last")
    ann.enter("/group delete last")
    shells.sees(ann, "The group is deleted.")
    ann.enter("/group swap last")
    usage = "Usage: /group [create|add|remove|rename|owner|leave|info|list|delete GROUP NAMES]"
    shells.sees(ann, usage)
    shells.settles(zoe)


def test_a_message_to_a_group_in_every_form(shells, ann, ben):
    made(shells, ann, "my team", "ben")
    forms = ["my team|1", "my team~2", "/dm my team 3", '/dm "my team" "4"', "MY TEAM|5"]
    for line in forms:
        ann.enter(line)
    ann.enter("/direct")
    ann.enter("my team~6")
    shells.sees(ann, "[MY TEAM] ann: 5")
    shells.sees(ann, "[my team] ann: 6")
    shells.settles(ben)
    texts = [event.content for event in ben.events if isinstance(event, IncomingGroup)]
    assert texts == ["1", "2", "3", "4", "5", "6"]


def test_leave_with_a_group_leaves_the_group_and_alone_the_server(shells, ann, ben):
    made(shells, ann, "team", "ben")
    ann.enter("/group owner team ben")
    matches(shells, ann, "team: .* owner ben, .*")
    ann.enter("/leave Team")
    shells.sees(ann, "You have left the group.")
    ann.enter("/leave team")
    shells.sees(ann, 'There is no group "team"; /leave alone leaves the server.')
    ann.enter("/group")
    shells.at(ann, NEW)
    ann.enter("/leave")
    assert shells.ends(ann) == 0


def test_what_others_do_to_a_group_is_seen_and_known(shells, ann, ben):
    ben.send(Group("create", "team", ["ann"]))
    shells.sees(ann, "ben has made the group team: ben, ann.")
    ann.enter("team|one")
    shells.sees(ann, "[team] ann: one")
    ben.send(Group("rename", "team", to="crew"))
    shells.sees(ann, "ben has renamed team to crew.")
    ann.type("cr\t")
    shells.at(ann, f"{PROMPT} crew|")
    ann.enter("two")
    shells.sees(ann, "[crew] ann: two")
    ben.send(Group("remove", "crew", ["ann"]))
    shells.sees(ann, "ben has removed ann from crew.")
    ann.type("cr\t")
    barrier_row = f"{PROMPT} cr"
    shells.at(ann, barrier_row)
    ann.type("\x03")
    ann.enter("/group")
    ann.enter("n")
    shells.at(ann, GROUP)
    ann.enter("crew~three")
    shells.sees(ann, 'server: You are no longer in the group "crew".')
    ben.send(Group("add", "crew", ["ann"]))
    shells.sees(ann, "ben has added ann to crew.")
    ben.send(Group("delete", "crew"))
    shells.sees(ann, "ben has deleted the group crew.")
    ann.enter("/leave crew")
    shells.sees(ann, 'There is no group "crew"; /leave alone leaves the server.')


COMPLETIONS = [
    ("/group re", "/group re"),  # remove, rename
    ("/group del", "/group delete"),
    ("/group add my", '/group add "my team"'),
    ('/group add "my team" be', '/group add "my team" ben'),
    ("/group create be", "/group create be"),
    ("/group create crew be", "/group create crew ben"),
    ("/leave my", '/leave "my team"'),
    ("/leave be", "/leave be"),
    ("/seen my", "/seen my"),
    ("/dm my", '/dm "my team"'),
    ("/history my", '/history "my team"'),
    ("my", "my team|"),
]


def test_tab_completes_groups_their_commands_and_members(shells, ann, ben):
    made(shells, ann, "my team", "ben")
    for begun, whole in COMPLETIONS:
        ann.type(f"{begun}\t")
        shells.at(ann, f"{PROMPT} {whole}")
        ann.type("\x03")
        shells.at(ann, PROMPT)
    ann.enter("/group")
    shells.at(ann, NEW)
    ann.enter("y")
    shells.at(ann, NAME)
    ann.enter("crew")
    shells.at(ann, MEMBERS)
    ann.type("ann~be\t")
    shells.at(ann, f"{MEMBERS} ann~ben~")


# --- what was missed ---


def test_who_was_away_sees_what_was_missed_with_its_time(shells, chatd, ann):
    with logged_in(chatd, "ben"):
        made(shells, ann, "team", "ben")
    shells.sees(ann, "ben is quitting.")
    ann.enter("ben|one")
    shells.sees(ann, 'server: User "ben" is not connected to the server.')
    matches(shells, ann, r"ben was last here at .*; the message is stored for ben\.")
    ann.enter("team|two")
    shells.sees(ann, "[team] ann: two")
    shells.until(lambda: toolbar(ann) == "to team: waits for ben")
    ben = shells.log_in(chatd, "ben")
    matches(shells, ben, rf"{TIME} ann: one")
    matches(shells, ben, rf"{TIME} \[team\] ann: two")
    ann.enter("ben|three")
    shells.sees(ben, "ann: three")


def test_a_thousand_messages_that_waited_come_in_order_and_once(shells, chatd, ann):
    with logged_in(chatd, "ben"):
        pass
    with logged_in(chatd, "cleo") as cleo:
        for number in range(1000):
            cleo.send(Outgoing("ben", f"number {number}"))
        cleo.ask(Outgoing("ben", "the end"))
    ben = shells.log_in(chatd, "ben", size=(24, 100))
    matches(shells, ben, rf"{TIME} cleo: the end")
    shells.at(ben, PROMPT)
    numbers = [int(row.rpartition(" ")[2]) for row in ben.rows if "cleo: number" in row]
    assert numbers == list(range(1000))
    ben.enter("/quit")
    assert shells.ends(ben) == 0
    again = shells.log_in(chatd, "ben")
    barrier(shells, again, "x")
    assert not any("cleo" in row for row in again.rows if "current" not in row)


def test_a_lost_link_loses_nothing_and_shows_nothing_twice(shells, chatd, start, ann):
    cleo = shells.peer(chatd, "cleo")
    shells.sees(ann, "cleo has joined.")
    made(shells, ann, "team", "cleo")
    cleo.send(OutgoingGroup("team", "before"))
    shells.sees(ann, "[team] cleo: before")
    kill(chatd)
    shells.sees(ann, LOST)
    ann.enter("team|typed meanwhile")
    start(port=chatd.port)
    shells.sees(ann, "connected again")
    shells.sees(ann, "[team] ann: typed meanwhile")
    back = shells.peer(chatd, "cleo")
    back.send(OutgoingGroup("team", "after"))
    shells.sees(ann, "[team] cleo: after")
    for text in ("[team] cleo: before", "[team] cleo: after", "[team] ann: typed meanwhile"):
        assert sum(text in row for row in ann.rows) == 1
    shells.settles(back)
    heard = [event.content for event in back.events if isinstance(event, IncomingGroup)]
    assert heard == ["typed meanwhile"]


# --- what became of one's own ---


def test_the_status_line_changes_in_place(shells, chatd, ann):
    with logged_in(chatd, "ben"):
        pass
    ann.enter("ben|hi")
    shells.until(lambda: toolbar(ann) == "to ben: waits for their return", "the status")
    rows = len([row for row in ann.rows if row])
    ben = shells.log_in(chatd, "ben")
    matches(shells, ben, rf"{TIME} ann: hi")
    shells.until(lambda: toolbar(ann) == "to ben: delivered", "the status")
    shells.settles(shells.peer(chatd, "cleo"))
    barrier(shells, ann, "told")
    shells.until(lambda: toolbar(ann) == "to ben: delivered", "nobody has pressed a key yet")
    ben.type("x")
    shells.until(lambda: toolbar(ann) == "to ben: read", "the status")
    assert len([row for row in ann.rows if row]) <= rows + 4  # two have joined, and the ping
    ann.enter("/status BEN")
    shells.sees(ann, "to ben: 1 stored, 1 delivered, 1 read")
    ann.enter("/status zoe")
    shells.sees(ann, "You have sent nothing to zoe.")


def test_who_does_not_want_it_does_not_tell_what_was_read(shells, chatd, ann):
    ben = shells.log_in(chatd, "ben")
    ben.enter("/receipts off")
    shells.sees(ben, "Nobody learns what you have read.")
    ann.enter("ben|hi")
    shells.sees(ben, "ann: hi")
    barrier(shells, ben, "pressed")
    barrier(shells, ann, "told")
    ann.enter("/status")
    shells.sees(ann, "to ben: 1 stored, 1 delivered, what is read is not shared")
    ben.enter("/receipts on")
    shells.sees(ben, "Others learn what you have read.")
    ann.enter("ben|again")
    shells.sees(ben, "ann: again")
    ben.type("x")
    shells.until(lambda: toolbar(ann) == "to ben: read", "the status")
    ben.enter("\x15/receipts maybe")
    shells.sees(ben, "Usage: /receipts on|off")


@pytest.mark.parametrize("term", ["xterm-256color", "dumb"])
def test_a_message_of_a_group_is_read_when_somebody_types(shells, chatd, term):
    ann = shells.log_in(chatd, "ann", TERM=term)
    ben = shells.peer(chatd, "ben")
    ben.send(Group("create", "team", ["ann"]))
    ben.send(OutgoingGroup("team", "hi"))
    shells.until(lambda: "[team] ben: hi" in ann.flow, "the message")
    shells.settles(ben)
    reads = lambda: [e.read for e in ben.events if isinstance(e, Receipt) and e.read]  # noqa: E731
    assert reads() == []
    barrier(shells, ann, "x")
    shells.until(lambda: len(reads()) == 1, "the receipt")


def test_what_came_while_the_keyboard_was_left_alone_is_unread(shells, chatd, ann, ben):
    barrier(shells, ann, "here")
    ben.send(Outgoing("ann", "hi"))
    shells.sees(ann, "ben: hi")
    with logged_in(chatd, "cleo"):
        shells.sees(ann, "cleo has joined.")
    shells.settles(ben)
    receipts = [event for event in ben.events if isinstance(event, Receipt)]
    assert receipts
    assert all(one.read is None for one in receipts)


def test_a_look_during_a_loss_is_told_afterwards(shells, chatd, start, ann, ben):
    ben.send(Outgoing("ann", "hi"))
    shells.sees(ann, "ben: hi")
    shells.settles(ben)
    kill(chatd)
    shells.sees(ann, LOST)
    ann.enter("/help ping")
    start(port=chatd.port)
    shells.sees(ann, "connected again")
    barrier(shells, ann, "x")
    back = shells.peer(chatd, "ben")
    shells.settles(back)
    assert [event.read for event in back.events if isinstance(event, Receipt)] == [1]


# --- what was said before ---


def test_history_by_person_group_and_all(shells, ann, ben):
    made(shells, ann, "team 7", "ben")
    ben.send(Outgoing("ann", "first of them"))
    shells.sees(ann, "ben: first of them")
    ann.enter("ben|second of them")
    ann.enter("team 7|third of them")
    shells.sees(ann, "[team 7] ann: third of them")
    ann.enter("/history ben")
    matches(shells, ann, rf"{STAMP} ben: first of them")
    matches(shells, ann, rf"{STAMP} ann -> ben: second of them")
    assert not any(re.match(STAMP, row) and "third" in row for row in ann.rows)
    ann.enter("/history team 7")
    matches(shells, ann, rf"{STAMP} \[team 7\] ann: third of them")
    ann.enter("/history team 7 1")
    shells.sees(ann, "There is more; /history takes a number up to 200.")
    ann.enter("/search second THEM")
    shells.until(lambda: sum("-> ben: second" in row for row in ann.rows) == 2, "what was found")
    ann.enter("/search nothing-like-it")
    shells.sees(ann, "Nothing was found.")
    ann.enter("/history ben 201")
    shells.sees(ann, "A page has 1 to 200 messages.")
    ann.enter("/search")
    shells.sees(ann, "Usage: /search WORDS")


# --- hostile, old and piped ---

HOSTILE = ["\x1b[2Jgone", "\x1b]0;owned\x07", "\x9b2J", "\u202erevers", "a\nann: b"]


def test_nothing_in_a_group_drives_the_terminal(shells, ann, ben):
    ben.send(Group("create", "team", ["ann"]))
    for text in (*HOSTILE, "the end"):
        ben.send(OutgoingGroup("team", text))
    shells.sees(ann, "[team] ben: the end")
    ann.enter("/history team")
    matches(shells, ann, rf"{STAMP} \[team\] ben: the end")
    shells.at(ann, PROMPT)
    assert not any(text.encode() in ann.raw for text in HOSTILE)
    assert sum(row.startswith("[team] ben:") for row in ann.rows) == len(HOSTILE) + 1


def test_the_status_follows_a_person_to_another_name(shells, ann, ben):
    ann.enter("ben|hi")
    shells.until(lambda: toolbar(ann) == "to ben: delivered", "the status")
    ben.send(Newname("joe"))
    shells.sees(ann, "ben is now known as joe.")
    shells.until(lambda: toolbar(ann) == "to joe: delivered", "the status")


FEATURES = ["/group create team", "/group list", "/history", "/search x", "/receipts off"]


def test_a_server_of_s3_cannot_do_all_that_and_says_so(shells):
    with s3_server() as s3:
        ann = shells.log_in(s3, "ann")
        cannot = "server: This server does not know how to do that."
        for count, line in enumerate(FEATURES, 1):
            ann.enter(line)
            shells.until(lambda count=count: ann.rows.count(cannot) == count, line)
        ann.enter("/status")
        shells.sees(ann, "You have sent nothing yet.")


def test_bytes_that_are_no_text_are_no_obstacle(shells, ann, ben):
    ann._send(b"a\xffb\r")
    shells.hears(ben, "a?b")
    barrier(shells, ann, "x")


def test_a_frozen_server_and_its_end_keep_what_was_acknowledged(shells, chatd, start, ann, ben):
    ann.enter("ben|acknowledged")
    shells.sees(ann, "ann: acknowledged")
    chatd.signal(signal.SIGSTOP)
    ann.enter("ben|on its way")
    shells.at(ann, PROMPT)
    kill(chatd)
    shells.sees(ann, LOST)
    start(port=chatd.port)
    shells.sees(ann, "ann: on its way")
    ben = shells.peer(chatd, "ben")
    shells.settles(ben)
    assert ben.heard[-1:] == ["on its way"]
    assert ann.rows.count("ann: on its way") == 1


GAP = "Some of what was said meanwhile is not kept any more."


@pytest.mark.parametrize("before", ["nothing of it", "an earlier state of it"])
def test_a_server_that_comes_back_without_its_log_is_told_and_heard(
    shells, chatd, start, tmp_path, ann, before
):
    with logged_in(chatd, "ben") as ben:
        ben.ask(Outgoing("ann", "one"))
    shells.sees(ann, "ben: one")
    barrier(shells, ann, "confirmed")
    kill(chatd)
    shells.sees(ann, LOST)
    if before == "an earlier state of it":
        shutil.copytree(tmp_path / "data", tmp_path / "other", ignore=lambda *_: ["upgrade"])
        later = start(port=chatd.port)
        shells.sees(ann, "connected again")
        with logged_in(chatd, "ben") as ben:
            for number in range(5):
                ben.ask(Outgoing("ann", f"gone {number}"))
        shells.sees(ann, "ben: gone 4")
        kill(later)
        shells.until(lambda: ann.rows.count(LOST) == 2, "the loss")
    start(port=chatd.port, data="other")
    shells.sees(ann, GAP)
    with logged_in(chatd, "ben") as ben:
        ben.ask(Outgoing("ann", "two"))
    shells.sees(ann, "ben: two")
    assert ann.rows.count("ben: one") == 1
