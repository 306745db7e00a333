"""Logs of conversations: what is kept, in which file, and what no name and no text can do."""

import json
import os
import resource
import stat
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatd.wire.messages import GroupEvent, Incoming, IncomingBroadcast, IncomingGroup
from chatsh.link import Address
from chatsh.logs import LONGEST, Logs, file_name, log_name
from chatsh.settings import Settings

NOON = datetime(2026, 3, 4, 12, 0, 5, tzinfo=UTC)
TS = "2026-03-04T12:00:05.250Z"
HI = Incoming("ana", "hi", 1, TS)
ITEMS = [
    (HI, "ana", "ana: hi"),
    (Incoming("me", "yes", 2, TS, to="Ana"), "ana", "me: yes"),
    (IncomingBroadcast("ana", "all", 3, TS), "everyone", "ana: all"),
    (IncomingGroup("My Team", "ana", "us", 4, TS), "my team", "[My Team] ana: us"),
    (Incoming("ana", "missed", 5, TS, late=True), "ana", "ana: missed"),
    (
        GroupEvent(kind="left", group="team", by="ana", seq=6, ts=TS),
        "team",
        "ana has left team.",
    ),
    (
        Incoming("ana", "a\n2026-03-04 12:00:05 ben: b", 7, TS),
        "ana",
        "ana: a 2026-03-04 12:00:05 ben: b",
    ),
    (Incoming("ana", "\x1b[2J\u202edlo\x00", 8, TS), "ana", "ana: \ufffddlo\ufffd"),
]


@pytest.fixture(autouse=True)
def _utc(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


class Reader:
    """Somebody whose logs are kept, and what they are told."""

    def __init__(self, kind, address=None):
        self.settings = Settings(log=kind)
        self.told = []
        address = address or Address("chat.example.org", 8000)
        self.logs = Logs(address, lambda: self.settings, lambda: NOON, self.told.append)

    def keep(self, *items):
        for item in items:
            self.logs.keep(item, "me")

    def lines(self, name):
        return (self.logs.folder / name).read_text("utf-8").splitlines()


def files(folder):
    return sorted(str(one.relative_to(folder)) for one in folder.rglob("*") if one.is_file())


@pytest.mark.parametrize(("item", "name", "line"), ITEMS)
def test_each_item_is_one_line_of_its_conversation(item, name, line):
    reader = Reader("text")
    reader.keep(item)
    assert files(reader.logs.folder) == [f"{name}.log"]
    (got,) = reader.lines(f"{name}.log")
    assert got == f"2026-03-04 12:00:05 {line}"


def test_a_json_line_is_the_object_that_programs_get():
    reader = Reader("json")
    reader.keep(*(item for item, _, _ in ITEMS))
    assert files(reader.logs.folder) == [
        "ana.jsonl",
        "everyone.jsonl",
        "my team.jsonl",
        "team.jsonl",
    ]
    first, *_, last = map(json.loads, reader.lines("ana.jsonl"))
    told = {
        "type": "message",
        "from": "ana",
        "to": "me",
        "text": "hi",
        "seq": 1,
        "time": TS,
        "late": False,
    }
    assert first == told
    assert last["text"] == "\x1b[2J\u202edlo\x00"
    assert (reader.logs.folder / "ana.jsonl").read_bytes().decode("ascii").count("\x1b") == 0


def test_what_has_no_time_or_a_wrong_one_gets_the_present():
    text, objects = Reader("text"), Reader("json")
    for ts in (None, "", "yesterday", "9999-99-99"):
        for reader in (text, objects):
            reader.keep(Incoming("ana", "hi", ts=ts))
    assert text.lines("ana.log") == ["2026-03-04 12:00:05 ana: hi"] * 4
    assert json.loads(objects.lines("ana.jsonl")[0])["time"] == "2026-03-04T12:00:05.000Z"


def test_nothing_is_kept_until_it_is_wanted(tmp_path):
    reader = Reader("off")
    reader.keep(HI)
    assert reader.logs.where == "Nothing is kept; /set log text keeps what is said from then on."
    assert list(tmp_path.iterdir()) == []
    reader.settings = Settings(log="text")
    reader.keep(HI)
    assert reader.logs.where == f"What is said is kept as text in {reader.logs.folder}"
    assert len(reader.lines("ana.log")) == 1


def test_the_files_are_their_owners_alone_and_are_added_to(tmp_path):
    umask = os.umask(0)
    try:
        for _ in range(2):
            Reader("text").keep(HI)
    finally:
        os.umask(umask)
    folder = Reader("text").logs.folder
    assert folder == tmp_path / "chatsh" / "logs" / "chat.example.org-8000"
    assert stat.S_IMODE((folder / "ana.log").stat().st_mode) == 0o600
    for made in (folder, folder.parent, folder.parent.parent):
        assert stat.S_IMODE(made.stat().st_mode) == 0o700
    assert len(Reader("text").lines("ana.log")) == 2


@pytest.mark.parametrize(
    ("address", "folder"),
    [
        (Address("", 8000), "localhost-8000"),
        (Address("::1", 9), "%3A%3A1-9"),
        (Address("../../etc", 9), "%2E.%2F..%2Fetc-9"),
        (Address("HOST", 9), "host-9"),
    ],
)
def test_each_server_has_a_folder(address, folder, tmp_path):
    assert Reader("text", address).logs.folder == tmp_path / "chatsh" / "logs" / folder


NAMES = {
    "ana": "ana",
    "Ana": "ana",
    "ａｎａ": "ana",
    "日本": "日本",
    "User 1": "user 1",
    "..": "%2E.",
    ".": "%2E",
    ".bashrc": "%2Ebashrc",
    "../../x": "%2E.%2F..%2Fx",
    "a/b": "a%2Fb",
    "a%2Fb": "a%252fb",
    "a\x00b\n": "a%00b%0A",
    "": "%",
    "everyone": "%65veryone",
    "EVERYONE": "%65veryone",
    "\ud800": "%3F",
    "x" * 200: "x" * 200,
}


@pytest.mark.parametrize(("name", "file"), NAMES.items())
def test_a_name_becomes_one_of_a_file(name, file):
    assert log_name(Incoming(name, "hi")) == file
    assert log_name(IncomingBroadcast(name, "hi")) == "everyone"


HOSTILE = st.text(
    st.characters() | st.sampled_from("./\\%-:\x00\u0301 ") | st.characters(max_codepoint=127),
    max_size=300,
)


@given(HOSTILE)
def test_no_name_leaves_the_folder_or_is_too_long(name):
    file = file_name(name)
    path = Path("/folder") / f"{file}.jsonl"
    assert len(os.fsencode(file)) <= LONGEST
    assert file
    assert not file.startswith(".")
    assert {"/", "\x00", "\n", "\x1b"}.isdisjoint(file)
    assert path.parent == Path("/folder")


@given(st.text("aA%2Ff./-", max_size=8), st.text("aA%2Ff./-", max_size=8))
def test_other_names_have_other_files(one, other):
    assert (file_name(one) == file_name(other)) == (one.lower() == other.lower())


def test_long_names_that_begin_alike_have_files_of_their_own():
    names = [file_name("日" * 300 + str(number)) for number in range(9)]
    assert len(set(names)) == 9
    assert {len(os.fsencode(name)) <= LONGEST for name in names} == {True}


# --- where it cannot be written ---


def test_what_cannot_be_written_is_told_once(tmp_path):
    (tmp_path / "chatsh").write_text("no folder")
    reader = Reader("text")
    reader.keep(HI, HI, IncomingBroadcast("ana", "hi"))
    (told,) = reader.told
    assert told.startswith(f"What is said is not kept: {reader.logs.folder}/ana.log: ")


def test_a_line_that_the_disk_does_not_take_leaves_no_half_of_it():
    reader = Reader("text")
    reader.keep(HI)
    size = (reader.logs.folder / "ana.log").stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, before[1]))
    try:
        reader.keep(HI, HI)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert len(reader.told) == 1
    reader.keep(HI)
    assert reader.lines("ana.log") == ["2026-03-04 12:00:05 ana: hi"] * 2
