"""What real processes do when they are killed or stopped, or when the disk is full."""

import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from support import PATIENCE, Chatd, Wire, one_error, run_chatd

READER = Path(__file__).parent / "programs" / "reader.py"
FROZEN = int(os.environ.get("FROZEN_MESSAGES", "3000"))  # the full size is 10,000
GROWTH = 20_000_000  # bytes
BATCH = 50


def made(chatd: Chatd, *names: str) -> None:
    """Accounts of people who are away."""
    for name in names:
        wire = chatd.join(name)
        wire.send("quit")
        wire.rest()
        wire.close()


def catch_up(wire: Wire, last: str) -> list[dict]:
    """Confirm what comes until this text is there; all messages in their order."""
    got = []
    while not got or got[-1]["content"] != last:
        frame = wire.read()
        if frame["code"] == "incoming":
            got.append(frame)
            if len(got) % BATCH == 0:
                wire.send("received", upto=frame["seq"])
    return got


# --- kill ---------------------------------------------------------------------------------------


def test_what_was_acknowledged_before_a_kill_is_there_after_the_restart(start):
    first = start()
    made(first, "bob")
    ann = first.join("ann")
    keys = [str(n) for n in range(1000)]
    for key in keys:
        ann.send("outgoing", to="bob", content=key, id=key)
    acknowledged = {}
    while len(acknowledged) < 500:
        ack = ann.await_("ack")
        acknowledged[ack["re"]] = ack["seq"]
    first.process.kill()
    first.end()
    second = start()
    ann = second.join("ann", token=ann.welcome["token"])
    assert ann.welcome["resumed"]
    for key in keys:
        ack = ann.send("outgoing", to="bob", content=key, id=key).await_("ack")
        if key in acknowledged:
            assert (ack["seq"], ack["dup"]) == (acknowledged[key], True)
    got = catch_up(second.join("bob"), "999")
    assert [frame["content"] for frame in got] == keys
    assert {f["content"]: f["seq"] for f in got}.items() >= acknowledged.items()


# --- stop ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["extended", "plain"])
def test_a_stopped_reader_costs_no_memory_and_gets_everything_when_it_goes_on(start, kind):
    chatd = start("--log-content", "none")
    more = ["plain"] if kind == "plain" else []
    command = [sys.executable, str(READER), str(chatd.port), "bob", str(FROZEN), *more]
    reader = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert reader.stdout.readline() == "ready\n"
        ann, cid = chatd.join("ann"), chatd.join("cid")
        reader.send_signal(signal.SIGSTOP)
        daemon = psutil.Process(chatd.process.pid)
        send_numbers(ann, cid, 0, 300)  # what everything needs once: caches, buffers, pages
        before = daemon.memory_info().rss
        send_numbers(ann, cid, 300, FROZEN)
        grown = daemon.memory_info().rss - before
        reader.send_signal(signal.SIGCONT)
        said, _ = reader.communicate(timeout=PATIENCE * 2)
        assert said == "all in order\n"
        assert grown < GROWTH
    finally:
        reader.kill()
        reader.communicate()


def send_numbers(ann: Wire, cid: Wire, first: int, last: int) -> None:
    """Messages of 4 kB to Bob, while Cid is not kept waiting."""
    for begin in range(first, last, BATCH):
        numbers = range(begin, min(begin + BATCH, last))
        for n in numbers:
            ann.send("outgoing", to="bob", content=f"{n} {'x' * 4000}", id=f"n{n}")
        for n in numbers:
            ann.await_("ack", re=f"n{n}")
        ann.send("outgoing", to="cid", content=f"to {last}")
        frame = cid.await_("incoming", content=f"to {last}")
        cid.send("received", upto=frame["seq"])


# --- a full disk --------------------------------------------------------------------------------


def fill(ann: Wire, acknowledged: list[str]) -> None:
    """Send until there is no room for more."""
    while True:
        text = f"{len(acknowledged)} {'x' * 4000}"
        ann.send("outgoing", to="bob", content=text, id=text[:8])
        answer = _answer(ann, text[:8])
        if answer["code"] == "error":
            assert (answer["error"], answer["name"]) == (505, "storage_full")
            return
        acknowledged.append(text)


def _answer(wire: Wire, key: str) -> dict:
    frame = wire.read()
    while frame.get("re") != key:
        frame = wire.read()
    return frame


def full_and_back(start, chatd: Chatd, make_room) -> None:
    made(chatd, "bob")
    ann = chatd.join("ann")
    acknowledged: list[str] = []
    fill(ann, acknowledged)
    assert acknowledged, "there was no room at all"
    for key in ("again", "and again"):
        ann.send("outgoing", to="bob", content=key * 500, id=key)
        assert _answer(ann, key)["error"] == 505
    ann.send("history", all=True, limit=1, id="h")
    assert _answer(ann, "h")["items"][0]["content"] == acknowledged[-1], "reading goes on"
    cid = chatd.join("cid")
    assert set(cid.ask("who")["users"]) == {"ann", "cid"}, "and so do coming and asking"
    make_room()
    ann.send("outgoing", to="bob", content="room", id="room")
    assert _answer(ann, "room")["code"] == "ack"
    ann.send("outgoing", to="cid", content="hello", id="new")
    assert _answer(ann, "new")["state"] == "stored"
    cid.await_("incoming", content="hello")
    chatd.process.kill()
    chatd.end()
    bob = start(data=chatd.data).join("bob")
    got = catch_up(bob, "room")
    assert [frame["content"] for frame in got] == [*acknowledged, "room"]


def test_where_files_may_not_grow_sending_fails_until_they_may_again(start):
    limit = (600_000, resource.RLIM_INFINITY)
    chatd = start(limits={resource.RLIMIT_FSIZE: limit})

    def make_room():
        resource.prlimit(chatd.process.pid, resource.RLIMIT_FSIZE, (limit[1], limit[1]))

    full_and_back(start, chatd, make_room)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 3 MB, of which 1 MB is taken."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    options = ["-t", "tmpfs", "-o", "size=3m", "none", str(disk)]
    done = subprocess.run([mount, *options], capture_output=True, text=True) if mount else None
    if done is None or done.returncode:
        pytest.skip(f"cannot mount a tmpfs: {done.stderr.strip() if done else 'no mount'}")
    (disk / "filler").write_bytes(b"\0" * 1_000_000)
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_on_a_full_disk_sending_fails_until_there_is_room_again(start, small_disk):
    chatd = start(data="disk/data")
    full_and_back(start, chatd, (small_disk / "filler").unlink)


# --- what keeps a daemon from starting ----------------------------------------------------------


def refused(data: Path) -> str:
    return one_error(run_chatd("0", "--host", "127.0.0.1", "--data", str(data)))


def test_a_folder_in_use_is_refused(chatd):
    assert "another chatd" in refused(chatd.data)
    assert chatd.join("ann").welcome["name"] == "ann"


def test_a_file_of_a_newer_program_is_refused(start, tmp_path):
    start().end()
    with sqlite3.connect(tmp_path / "data" / "chat.db") as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    assert "newer chatd" in refused(tmp_path / "data")


@pytest.mark.parametrize("where", [0, 40, 4096 + 10, 4 * 4096, 8 * 4096])
def test_a_damaged_file_is_one_error_or_is_read(start, tmp_path, where):
    """Damage that is seen only later is found later; it is never a traceback at the start."""
    one = start()
    made(one, "ann", "bob")
    assert one.stop() == 0
    path = tmp_path / "data" / "chat.db"
    content = bytearray(path.read_bytes())
    content[where : where + 64] = b"\xa5" * len(content[where : where + 64])
    path.write_bytes(content)
    again = start(wait=False)
    if again.says("^data: |^chatd: ").string.startswith("data: "):
        assert again.stop() == 0
    else:
        assert again.wait() == 2
        assert [line.startswith("chatd: ") for line in again.lines] == [True]
    assert not any("Traceback" in line for line in again.lines)
