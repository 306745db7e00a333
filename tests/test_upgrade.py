"""`chatd upgrade`: real processes, one after the other, and people who go on talking."""

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest
from peers.links import Peer
from peers.shells import PROMPT
from support import PATIENCE, run_chatd

from chatd.certificate import make
from chatd.files import replace_file
from chatd.wire.messages import Incoming, Notice, Outgoing, Ping

PROGRAM = Path(__file__).parent / "programs_chatd" / "next_version.py"
AS_NOBODY = """
import locale, os, sys
from chatd import cli
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
sys.exit(cli.main())
"""


@pytest.fixture
def plan(tmp_path, monkeypatch):
    """What the next version is; a daemon of `planned` obeys."""
    path = tmp_path / "plan"
    monkeypatch.setenv("PLAN", str(path))
    return path


@pytest.fixture
def planned(plan, start):
    return start(program=[PROGRAM])


@pytest.fixture
def peers():
    """Make people who come back when they are called; all of them leave with the test."""
    made: list[Peer] = []

    def peer(chatd, name) -> Peer:
        made.append(Peer(chatd, name, reconnect=True))
        return made[-1]

    yield peer
    for one in made:
        one.close()


def ask_upgrade(data: Path) -> subprocess.CompletedProcess:
    return run_chatd("upgrade", "--data", data)


def asking(data: Path) -> subprocess.Popen:
    """The same, not waited for."""
    command = [sys.executable, "-m", "chatd", "upgrade", "--data", str(data)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def end_of(process: subprocess.Popen) -> subprocess.CompletedProcess:
    said = process.communicate(timeout=PATIENCE)
    return subprocess.CompletedProcess(process.args, process.returncode, *said)


def at_the_gate(planned, plan: Path) -> tuple[subprocess.Popen, Path]:
    """An upgrade whose new process stands before the database until something is written there."""
    plan.write_text("gate")
    gate = plan.with_suffix(".gate")
    os.mkfifo(gate)
    process = asking(planned.data)
    planned.says("^at the gate$")
    return process, gate


def settle(*peers: Peer) -> None:
    """Everything that was on its way to them is there."""
    for peer in peers:
        arrived = threading.Event()
        events, key = peer.events, peer.link.send(Ping())
        while not any(getattr(event, "id", None) == key for event in list(events)):
            arrived.wait(0.005)  # the thread of the link puts it there


def texts(peer: Peer) -> list[str]:
    return [event.content for event in peer.events if isinstance(event, Incoming)]


def said_of_people(peer: Peer) -> list[str]:
    return [event.text for event in peer.events if isinstance(event, Notice)]


# --- it goes on ---------------------------------------------------------------------------------


def test_talk_goes_on_over_upgrades_once_in_order_and_nobody_leaves_or_joins(planned, plan, peers):
    ann, ben, cleo = (peers(planned, name) for name in ("ann", "ben", "cleo"))
    settle(ann, ben, cleo)
    before = [said_of_people(one) for one in (ann, ben, cleo)]
    sent = []
    for version in ("9.9.9", "old"):
        plan.write_text(version)
        process = asking(planned.data)
        while process.poll() is None or len(sent) % 100:
            sent.append(f"{len(sent)}")
            ann.send(Outgoing("ben", sent[-1]))
            ann.send(Outgoing("cleo", sent[-1]))
            if len(sent) % 10 == 0:
                settle(ann)
        planned.upgrade(end_of(process))
    settle(ann, ben, cleo)
    assert texts(ben) == texts(cleo) == sent
    assert [said_of_people(one) for one in (ann, ben, cleo)] == before
    queued = [one for one in ann.events if getattr(one, "reply", None) and "queued" in repr(one)]
    assert queued == [], "whoever is about to be back is not away"
    wire = planned.join("dora")
    assert sorted(wire.send("who").await_("users")["users"]) == ["ann", "ben", "cleo", "dora"]


def test_who_asks_is_told_both_versions_and_processes(planned, plan):
    plan.write_text("9.9.9")
    fds = psutil.Process(planned.pid).num_fds()
    done = ask_upgrade(planned.data)
    old = planned.pid
    planned.upgrade(done)
    assert psutil.Process(planned.pid).num_fds() == fds
    assert re.fullmatch(
        rf"upgraded from chatd \d+\.\d+\.\d+, process {old} to chatd 9\.9\.9, process \d+\n",
        done.stdout,
    )
    log = planned.log()
    assert f"event=upgrade version=9.9.9 pid={planned.pid}\n" in log
    assert f"event=start version=9.9.9 pid={planned.pid} " in log
    assert planned.join("ann").welcome["server"] == "chatd 9.9.9"
    assert not planned.stop()
    left = {one.name for one in planned.data.iterdir()}
    assert left == {"chat.db", "lock", "server.log", "tls.pem"}


def test_drafts_stay_and_shells_show_nothing(shells, chatd):
    ann, ben = shells.log_in(chatd, "ann"), shells.log_in(chatd, "ben")
    shells.sees(ann, "ben has joined.")
    ben.enter("/dm ann before")
    shells.sees(ann, "ben: before")
    ann.type("not sent y")
    shells.at(ann, f"{PROMPT} not sent y")
    chatd.upgrade()
    ben.enter("/dm ann behind it")
    shells.sees(ann, "ben: behind it")
    ann.type("et")
    shells.at(ann, f"{PROMPT} not sent yet")
    ann.enter("")
    shells.sees(ben, "ann: not sent yet")
    shells.sees(ann, "ann: not sent yet")
    rows = [row for row in ann.rows if row.strip() and PROMPT not in row]
    begin = rows.index("ben has joined.")
    assert rows[begin + 1 :] == ["ben: before", "ben: behind it", "ann: not sent yet"]
    assert not re.search("connect|lost|log", "\n".join(ben.rows[-8:]))


def test_a_shell_that_does_not_reconnect_is_logged_off(shells, chatd):
    ann = shells.log_in(chatd, "ann", "--no-reconnect")
    chatd.upgrade()
    assert shells.ends(ann) == 3
    assert "The server is shutting down; you have been logged off." in ann.rows


def test_assigned_names_stay_with_those_who_have_them(chatd, peers):
    first, second = peers(chatd, None), peers(chatd, None)
    names = [one.link.client.name for one in (first, second)]
    chatd.upgrade()
    first.send(Outgoing(names[1], "still you?"))
    settle(first, second)
    assert texts(second) == ["still you?"]
    assert [one.link.client.name for one in (first, second)] == names
    assert chatd.join().welcome["name"] not in names


def test_a_plain_session_ends_as_at_a_restart_and_the_others_are_told(chatd, peers):
    ann, pat = peers(chatd, "ann"), chatd.join_plain("pat")
    settle(ann)
    chatd.upgrade()
    bye = {"from": "server", "content": "The server is shutting down; you have been logged off."}
    assert pat.rest() == [{"code": "incoming", **bye}]
    settle(ann)
    assert said_of_people(ann)[-1] == "pat has lost its connection."
    chatd.join_plain("pat")
    settle(ann)
    assert said_of_people(ann)[-1] == "pat has joined."


def test_whoever_connects_meanwhile_waits_and_is_served(planned, plan):
    process, gate = at_the_gate(planned, plan)
    wires = [planned.wire().send("hello", name=f"user{n}", v=1) for n in range(50)]
    gate.write_text("open")
    planned.upgrade(end_of(process))
    assert [wire.await_("welcome")["name"] for wire in wires] == [f"user{n}" for n in range(50)]


def test_whoever_is_about_to_come_in_comes_in(planned, plan):
    """Said hello, and not heard yet: with the old one or with the new one, but not refused."""
    process = asking(planned.data)
    names = []
    while process.poll() is None:
        wire = planned.wire().send("hello", name=f"user{len(names)}", v=1)
        names.append(wire.await_("welcome")["name"])
        wire.close()
    planned.upgrade(end_of(process))
    assert names == [f"user{n}" for n in range(len(names))]


# --- it does not --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "why"),
    [
        ("broken", "has ended with 1: ImportError: half .*of it is missing"),
        ("silent", "did not answer in time"),
        ("cannot read", "has ended with 2: chatd: cannot use .*: planted"),
        ("killed", "has ended with -9"),
    ],
)
def test_where_the_new_program_fails_the_old_one_goes_on(
    plan, start, peers, monkeypatch, version, why
):
    if version == "silent":
        monkeypatch.setenv("IMPATIENT", "0.2")
    chatd = start(program=[PROGRAM])
    ann, ben = peers(chatd, "ann"), peers(chatd, "ben")
    ann.send(Outgoing("ben", "before"))
    settle(ann, ben)
    before, fds = said_of_people(ann), psutil.Process(chatd.pid).num_fds()
    plan.write_text(version)
    done = ask_upgrade(chatd.data)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(f"chatd: not upgraded: the new program {why}\n", done.stderr)
    assert "\x1b" not in done.stderr
    ann.send(Outgoing("ben", "behind"))
    settle(ann, ben)
    assert texts(ben) == ["before", "behind"]
    assert said_of_people(ann) == before
    assert chatd.log().count("event=upgrade failed=") == 1
    assert psutil.Process(chatd.pid).children() == []
    assert psutil.Process(chatd.pid).num_fds() == fds
    if version != "silent":  # no good program is as fast as that one was asked to be
        plan.write_text("9.9.9")
        chatd.upgrade()
        settle(ann, ben)
        assert chatd.join("cleo").welcome["server"] == "chatd 9.9.9"


@pytest.mark.parametrize(
    ("option", "good", "bad", "said"),
    [
        ("--limits", lambda: "tries = 5\n", "tries = 'few'\n", "settings: Expected `int`"),
        ("--tls", make, "none", "settings holds no certificate"),
    ],
)
def test_wrong_settings_are_found_before_anybody_is_let_go(
    start, tmp_path, option, good, bad, said
):
    settings = tmp_path / "settings"
    replace_file(settings, good())
    chatd = start(option, *[settings] * (2 if option == "--tls" else 1))
    ann = chatd.join("ann")
    settings.write_text(bad)
    done = ask_upgrade(chatd.data)
    assert done.returncode == 1
    assert said in done.stderr
    assert ann.settle() == []


def test_two_upgrades_at_once_are_one(planned, plan):
    plan.write_text("silent")
    process = asking(planned.data)
    planned.says("^silent$")
    second = ask_upgrade(planned.data)
    assert second.returncode == 1
    assert second.stderr == "chatd: not upgraded: an upgrade is under way already\n"
    (new,) = psutil.Process(planned.pid).children()
    new.kill()
    assert end_of(process).stderr.endswith("has ended with -9\n")
    assert planned.join("ann").settle() == []


def test_a_daemon_that_is_stopped_meanwhile_stops(planned, plan):
    plan.write_text("silent")
    process = asking(planned.data)
    planned.says("^silent$")
    assert planned.stop() == 0
    assert end_of(process).stderr == "chatd: not upgraded: it was told to stop meanwhile\n"


def test_a_signal_that_comes_too_late_is_for_the_new_one(planned, plan):
    process, gate = at_the_gate(planned, plan)
    planned.signal(signal.SIGTERM)
    gate.write_text("open")
    assert end_of(process).returncode == 0
    assert planned.wait() == 0
    assert planned.log().splitlines()[-1].endswith("event=stop reason=SIGTERM")


def test_without_a_daemon_there_is_nothing_to_upgrade(start, tmp_path):
    def refusal(data: Path) -> str:
        done = ask_upgrade(data)
        assert (done.returncode, done.stdout) == (1, "")
        return done.stderr

    nobody = "chatd: not upgraded: no chatd that keeps a log runs on {}; see --data and --port\n"
    assert refusal(tmp_path / "nowhere") == nobody.format(tmp_path / "nowhere")
    chatd = start()
    chatd.process.kill()
    chatd.wait()
    assert refusal(chatd.data) == nobody.format(chatd.data)
    memory = start("--store", "memory", data="memory")
    assert refusal(memory.data) == nobody.format(memory.data)


def test_the_daemon_of_another_user_cannot_be_asked(chatd):
    if os.getuid():
        chatd.data.chmod(0)
        done = ask_upgrade(chatd.data)
        chatd.data.chmod(0o700)
    else:
        done = run_chatd("upgrade", "--data", chatd.data, program=["-c", AS_NOBODY])
    assert done.returncode == 1
    assert done.stderr == (
        f"chatd: not upgraded: {chatd.data} belongs to another user; "
        "run this as the user of that chatd\n"
    )


def test_a_folder_with_a_long_name_has_a_door_too(start):
    chatd = start(data="x" * 120)
    chatd.upgrade()
    assert chatd.join("ann").settle() == []


def test_what_was_acknowledged_survives_a_kill_right_behind_the_upgrade(start, chatd):
    ann = chatd.join("ann")
    first = ann.send("outgoing_broadcast", content="kept", id="1").await_("ack")
    chatd.upgrade()
    chatd.signal(signal.SIGKILL)
    chatd.wait()
    again = start().join("ann", token=ann.welcome["token"])
    again.send("outgoing_broadcast", content="kept", id="1")
    ack = again.await_("ack")
    assert (ack["seq"], ack["dup"]) == (first["seq"], True)
