"""The certificates of servers as they were first seen, in a file of their own."""

import os
import stat

import pytest

from chatsh.known import CertificateError, KnownServers

ONE, OTHER = "SHA256:" + "a" * 43, "SHA256:" + "b" * 43


@pytest.fixture
def known(tmp_path):
    return KnownServers(tmp_path / "state" / "known_servers")


def test_what_is_seen_first_is_told_and_kept_and_then_known(known):
    told = known.check("Chat.Example.org", 8000, ONE)
    assert told == (
        f"The certificate of Chat.Example.org, port 8000 is {ONE}, seen for the first time; "
        f"kept in {known.path}."
    )
    assert known.path.read_text() == f"chat.example.org:8000 {ONE}\n"
    assert stat.S_IMODE(known.path.stat().st_mode) == 0o600
    assert KnownServers(known.path).check("chat.example.org.", 8000, ONE) == ""
    assert known.knows("chat.example.org", 8000)


def test_another_port_and_another_host_are_other_servers(known):
    known.check("::1", 8000, ONE)
    assert not known.knows("::1", 8001)
    assert not known.knows("::2", 8000)
    assert known.check("::1", 8001, OTHER)
    assert known.check("localhost", 8000, OTHER)
    assert known.path.read_text().splitlines()[0] == f"[::1]:8000 {ONE}"


def test_a_changed_one_is_refused_with_the_line_to_remove(known):
    known.path.parent.mkdir()
    known.path.write_text(f"# mine\n\nother:8000 {OTHER}\nchat:8000 {ONE}\n")
    with pytest.raises(CertificateError) as refused:
        known.check("chat", 8000, OTHER)
    said = str(refused.value)
    assert said.startswith(f"THE CERTIFICATE OF chat, port 8000 HAS CHANGED: it is {OTHER}, and ")
    assert f"line 4 of {known.path} knows {ONE}" in said
    assert f"remove line 4 of {known.path}, and connect again" in said
    assert "Somebody may have come between you and the server" in said
    assert "\n" not in said


def test_each_of_several_lines_is_good(known):
    known.path.parent.mkdir()
    known.path.write_text(f"chat:8000 {ONE}\nchat:8000 {OTHER}\n")
    assert known.check("chat", 8000, ONE) == known.check("chat", 8000, OTHER) == ""


def test_a_certificate_known_of_one_server_of_a_list_is_good_for_the_others_and_no_other_is(known):
    others = [("a", 8000), ("b", 8000)]
    known.check("a", 8000, ONE)
    assert known.check("c", 8000, ONE, others=others) == ""
    assert not known.knows("c", 8000), "it goes with what it is like"
    with pytest.raises(CertificateError) as refused:
        known.check("c", 8000, OTHER, others=others)
    said = str(refused.value)
    assert said.startswith(f"The certificate of c, port 8000 is {OTHER}, which is not known")
    assert "nothing was sent there" in said
    assert said.endswith("go there once alone, and then to all of the list again: chatsh c 8000")
    assert known.check("c", 8000, OTHER), "alone it is met for the first time"
    assert known.check("c", 8000, OTHER, others=others) == ""
    with pytest.raises(CertificateError, match="HAS CHANGED"):
        known.check("a", 8000, OTHER, others=[("c", 8000)])


def test_nothing_is_taken_at_first_sight_where_a_session_has_begun_elsewhere(known):
    with pytest.raises(CertificateError, match="nothing was sent there"):
        known.check("c", 8000, ONE, others=[("a", 8000)], begun=True)
    assert known.check("c", 8000, ONE, others=[("a", 8000)])


@pytest.mark.parametrize(
    "line", ["chat:8000", f"chat {ONE}", f"chat:8000 {ONE}x", "chat:8000 SHA256:short", "nonsense"]
)
def test_a_line_that_is_none_is_told_and_trusts_nobody(known, line: str):
    known.path.parent.mkdir()
    known.path.write_text(f"{line}\n")
    with pytest.raises(CertificateError, match=f"line 1 of {known.path} is not HOST:PORT"):
        known.check("chat", 8000, ONE)


@pytest.mark.parametrize("content", [b"\xff\xfe", None])
def test_a_file_that_cannot_be_read_trusts_nobody(known, content):
    known.path.parent.mkdir()
    known.path.write_bytes(content) if content else known.path.mkdir()
    with pytest.raises(CertificateError, match=f"cannot read {known.path}: "):
        known.knows("chat", 8000)


def test_where_it_cannot_be_kept_that_is_told_and_it_holds_until_the_end(tmp_path):
    (tmp_path / "file").write_text("in the way")
    known = KnownServers(tmp_path / "file" / "known_servers")
    assert f"it cannot be kept in {known.path}: File exists." in known.check("chat", 8000, ONE)
    assert known.check("chat", 8000, ONE) == ""
    with pytest.raises(CertificateError, match="start it anew, and connect again"):
        known.check("chat", 8000, OTHER)


def test_a_host_cannot_write_to_the_terminal_or_a_line_of_its_own(known):
    host = "a\x1b[2J b\nchat:8000"
    assert known.check(host, 8000, ONE).isprintable()
    assert known.path.read_text() == f"[a%[2j%b%chat:8000]:8000 {ONE}\n"
    assert known.check(host, 8000, ONE) == ""
    assert not known.knows("chat", 8000)


def test_it_is_among_the_files_of_the_shell(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert os.fspath(KnownServers().path) == f"{tmp_path}/chatsh/known_servers"
