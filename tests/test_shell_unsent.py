"""What could not be sent is kept, offered at the next start, and sent only when asked for."""

import stat
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from peers.servers import kill
from peers.shells import CHATSH, PROMPT

from chatd.wire.messages import Outgoing, OutgoingBroadcast, OutgoingGroup
from chatsh.unsent import Spool, _decode

LOST = "The connection to the server was lost."
KEPT = "What could not be sent is kept for the next time."
MESSAGES = {
    "a-1": Outgoing("ben", 'line\n"two" \x1b[2J'),
    "a-2": OutgoingBroadcast("é"),
    "a-3": OutgoingGroup("my team", ""),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "chatsh" / "unsent"


def test_what_is_saved_is_loaded_again_in_its_order(folder):
    Spool("host:1", "ann").save(MESSAGES)
    assert list(Spool("host:1", "ANN").load().items()) == list(MESSAGES.items())
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    (file,) = folder.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_each_server_and_name_has_its_own(folder):
    Spool("host:1", "ann").save(MESSAGES)
    for server, name in (("host:2", "ann"), ("host:1", "ben"), ("h" * 300, "n" * 300)):
        spool = Spool(server, name)
        assert spool.load() == {}
        spool.save({"x": Outgoing("a", "b")})
    assert Spool("host:1", "ann").load() == MESSAGES


def test_nothing_to_keep_leaves_nothing_behind(folder):
    Spool("host:1", "ann").save({})
    assert not folder.exists()
    Spool("host:1", "ann").save(MESSAGES)
    Spool("host:1", "ann").save({})
    assert list(folder.iterdir()) == []


def test_a_folder_that_cannot_be_written_leaves_what_was_kept(folder, monkeypatch):
    spool = Spool("host:1", "ann")
    spool.save(MESSAGES)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        spool.save({"x": Outgoing("a", "b")})
    assert spool.load() == MESSAGES
    assert len(list(folder.iterdir())) == 1


@given(st.lists(st.binary(max_size=60), max_size=5))
def test_a_file_that_cannot_be_read_is_as_good_as_none(tmp_path_factory, lines):
    spool = Spool("host:1", "ann")
    spool.path = tmp_path_factory.mktemp("kept") / "file"
    spool.path.write_bytes(b"\n".join([*lines, b"", b'{"code":"outgoing","to":"b","content":"c"}']))
    assert spool.load() == {}
    spool.save(MESSAGES)
    assert spool.load() == MESSAGES
    assert len([_decode(line) for line in spool.path.read_bytes().splitlines()]) == len(MESSAGES)


# --- in the shell ---


OFFER = [
    "2 lines from before could not be sent; /unsent sends them, /unsent drop forgets them:",
    "  to ben: one",
    "  to everyone: two",
]


@pytest.fixture
def lost(shells, chatd):
    """Somebody typed two lines to a server that was gone, and left."""
    ann = shells.log_in(chatd, "ann")
    kill(chatd)
    shells.sees(ann, LOST)
    for line in ("ben|one", "two", "/newname other", "/quit"):
        ann.enter(line)
    assert shells.ends(ann) == 0
    assert KEPT in ann.rows
    return ann


def offered(terminal):
    rows = terminal.rows
    at = rows.index(OFFER[0]) if OFFER[0] in rows else len(rows)
    return rows[at : at + 3]


@pytest.fixture
def again(shells, chatd, start, lost):
    """The server is back, ben is there, and ann comes again."""
    start(port=chatd.port)
    ben = shells.peer(chatd, "ben")
    return shells.log_in(chatd, "ann", size=(24, 100)), ben


def test_nothing_is_sent_unasked_and_the_offer_stays(shells, chatd, again):
    ann, ben = again
    assert offered(ann) == OFFER
    ann.enter("/ping x")
    shells.sees(ann, "pong x")
    ann.enter("/quit")
    assert shells.ends(ann) == 0
    assert KEPT not in ann.rows
    shells.settles(ben)
    assert ben.heard == ["ann has joined.", "ann is quitting."]
    third = shells.log_in(chatd, "ann", size=(24, 100))
    assert offered(third) == OFFER


def test_it_is_sent_once_when_asked_for(shells, chatd, again):
    ann, ben = again
    ann.enter("/unsent")
    shells.sees(ann, "ann: two")
    assert [row for row in ann.rows if row.startswith("ann: ")] == ["ann: one", "ann: two"]
    ann.enter("/unsent")
    shells.sees(ann, "Nothing from before is unsent.")
    ann.enter("/quit")
    assert shells.ends(ann) == 0
    shells.settles(ben)
    assert ben.heard == ["ann has joined.", "one", "two", "ann is quitting."]
    assert "from before" not in shells.log_in(chatd, "ann").flow


def test_it_is_forgotten_when_asked_for(shells, chatd, again):
    ann, ben = again
    ann.enter("/unsent drop")
    shells.sees(ann, "What was unsent is forgotten.")
    ann.enter("/unsent all")
    shells.sees(ann, "Usage: /unsent [drop]")
    ann.enter("/quit")
    assert shells.ends(ann) == 0
    shells.settles(ben)
    assert ben.heard == ["ann has joined.", "ann is quitting."]
    assert "from before" not in shells.log_in(chatd, "ann").flow


def test_it_is_still_there_when_the_link_breaks_again(shells, chatd, start, lost):
    server = start(port=chatd.port)
    ann = shells.log_in(chatd, "ann", size=(24, 100))
    kill(server)
    shells.sees(ann, LOST)
    for line in ("/unsent", "three", "/quit"):
        ann.enter(line)
    assert shells.ends(ann) == 0
    start(port=chatd.port)
    shells.peer(chatd, "ben")
    third = shells.log_in(chatd, "ann", size=(24, 100))
    assert "  to everyone: three" in third.rows
    third.enter("/unsent")
    shells.sees(third, "ann: three")
    said = [row for row in third.rows if row.startswith("ann: ")]
    assert said == ["ann: one", "ann: two", "ann: three"]


def test_a_line_whose_answer_was_lost_is_not_stored_twice(shells, chatd, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    ben = shells.peer(chatd, "ben")
    for _ in range(2):
        Spool(f"127.0.0.1:{chatd.port}", "ann").save({"same-1": Outgoing("ben", "again")})
        ann = shells.log_in(chatd, "ann")
        ann.enter("/unsent")
        shells.sees(ann, "ann: again")
        ann.enter("/quit")
        assert shells.ends(ann) == 0
    shells.settles(ben)
    assert [text for text in ben.heard if "ann" not in text] == ["again"]


def test_who_is_logged_out_is_told_that_the_line_is_kept(shells, chatd):
    ann = shells.log_in(chatd, "ann")
    kill(chatd)
    shells.sees(ann, LOST)
    ann.enter("anybody?")
    assert shells.ends(ann) == 3
    assert KEPT in ann.rows


def test_a_folder_that_cannot_be_written_is_told(shells, chatd):
    (shells.home / "state").write_text("no folder")
    ann = shells.log_in(chatd, "ann")
    kill(chatd)
    shells.sees(ann, LOST)
    ann.enter("x")
    ann.enter("/quit")
    assert shells.ends(ann) == 0
    assert "What could not be sent is lost: Not a directory" in ann.rows
    assert b"Traceback" not in ann.raw


def test_a_pipe_can_send_it_too(shells, chatd, again):
    ann, ben = again
    ann.enter("/quit")
    assert shells.ends(ann) == 0
    command = [*CHATSH, "127.0.0.1", str(chatd.port), "ann"]
    done = subprocess.run(
        command, input="/unsent\n/ping x\n", capture_output=True, text=True, env=shells.env()
    )
    assert done.stdout.splitlines()[-3:] == ["ann: one", "ann: two", "pong x"]
    assert PROMPT not in done.stdout
    shells.settles(ben)
    assert [text for text in ben.heard if "ann" not in text] == ["one", "two"]
    assert "from before" not in shells.log_in(chatd, "ann").flow
