"""The password file, `chatd passwd`, and comparing."""

import os
import stat

import pytest
from argon2 import extract_parameters, low_level
from argon2.exceptions import VerifyMismatchError
from bench import Bench
from support import one_error, run_chatd

from chatd.core.effects import Account, Hash, Verify
from chatd.passwords import (
    NOBODY,
    PasswordPool,
    hash_password,
    read_file,
    set_password,
    verify,
)
from chatd.wire.errors import ConfigError, PeerError
from chatd.wire.messages import Hello


@pytest.fixture
def users(tmp_path):
    path = tmp_path / "users.txt"

    def write(content: str | bytes):
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        path.chmod(0o600)
        return path

    return write


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("ann secret\n", {"ann": ("ann", "secret")}),
        ("ann:secret", {"ann": ("ann", "secret")}),
        ("Ann\tsecret\r\n", {"ann": ("Ann", "secret")}),
        ("# comment\n\nann secret word\n", {"ann": ("ann", "secret word")}),
        ("ann a:b\nbob:c d\n", {"ann": ("ann", "a:b"), "bob": ("bob", "c d")}),
        ("ann lee:$argon2id$x", {"ann lee": ("ann lee", "$argon2id$x")}),
        ("zoë grüße\n", {"zoë": ("zoë", "grüße")}),
    ],
)
def test_a_line_is_a_name_and_a_password(users, content: str, found: dict):
    assert read_file(users(content)) == found


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "has no users; add one: chatd passwd"),
        ("# only a comment\n", "has no users"),
        ("ann secret\nbob\n", "line 2: no password"),
        ("ann secret\nbob: \n", "line 2: no password"),
        ("ann secret\n\nANN other\n", "line 3: ANN is there twice"),
        ("server secret\n", "line 1: .*reserved"),
        ("/x secret\n", "line 1: .*may not begin with /"),
        (b"ann \xff\xfe\n", "not UTF-8"),
    ],
)
def test_a_bad_file_is_refused_with_the_line(users, content, why: str):
    with pytest.raises(ConfigError, match=why):
        read_file(users(content))


def test_a_missing_file_and_a_folder_are_refused_by_name(tmp_path):
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(ConfigError, match=f"cannot read the password file {path}: "):
            read_file(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read_is_refused(users):
    path = users("ann secret\n")
    path.chmod(0)
    with pytest.raises(ConfigError, match="Permission denied"):
        read_file(path)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_file_that_others_can_read_is_refused_with_the_command_that_mends_it(users, mode: int):
    path = users("ann secret\n")
    path.chmod(mode)
    with pytest.raises(ConfigError, match=f"mend it: chmod 600 {path}"):
        read_file(path)


def test_a_bad_file_keeps_the_daemon_from_starting_in_one_line(users, tmp_path):
    path = users("ann secret\nbroken\n")
    error = one_error(run_chatd("0", str(path), "--data", str(tmp_path / "d")))
    assert f"{path}, line 2" in error


def test_passwords_are_compared_plain_and_hashed():
    for stored in ("secret", hash_password("secret")):
        assert verify(stored, "secret")
        assert not verify(stored, "Secret")
        assert not verify(stored, "")
    assert not verify(None, "secret")
    assert not verify("$argon2id$broken", "secret")
    assert not verify("$argon2id$broken", "$argon2id$broken")
    assert not verify("secret", "\ud800")


def test_an_unknown_name_costs_what_a_known_one_costs():
    assert extract_parameters(NOBODY) == extract_parameters(hash_password("secret"))


@pytest.fixture
def compared(monkeypatch):
    """Each comparison that argon2 really makes: the hash that it is made with."""
    made: list[str] = []

    def counting(encoded: bytes, secret: bytes, kind: low_level.Type) -> bool:
        try:
            good = low_level.verify_secret(encoded, secret, kind)
        except VerifyMismatchError:
            made.append(encoded.decode())
            raise
        made.append(encoded.decode())
        return good

    monkeypatch.setattr("argon2._password_hasher.verify_secret", counting)
    return made


BROKEN = NOBODY[:-20] + "!" + NOBODY[-19:]  # well-formed but for the end


@pytest.mark.parametrize(
    ("stored", "password"),
    [
        ("hashed", "secret"),
        ("hashed", "guess"),
        ("plain", "secret"),
        ("plain", "guess"),
        ("broken", "guess"),
        ("no hash at all", "guess"),
        (None, "guess"),
    ],
)
def test_every_log_in_costs_one_comparison_of_the_same_cost(compared, stored, password: str):
    """Counted, and not by the clock: known or not, right or wrong, from `hello` to the hash."""
    kept = {"plain": "secret", "broken": BROKEN, "no hash at all": "$argon2id$x"}
    secret = kept.get(stored) or hash_password("secret")
    known = [Account(1, "ann", "ann", "ann", secret, filed=True)] if stored else []
    bench = Bench(known, closed=True, checks=False)
    conn = bench.connect()
    bench.say(conn, Hello("ann", v=1, password=password))
    (asked,) = bench._work
    verify(asked.stored, asked.password)
    (hashed,) = compared
    assert extract_parameters(hashed) == extract_parameters(NOBODY)


def test_the_pool_answers_each_ticket_and_wakes():
    woken = []
    pool = PasswordPool(lambda: woken.append(1))
    pool.submit(Verify(1, "secret", "secret"))
    pool.submit(Verify(2, "guess", "secret"))
    pool.submit(Hash(3, "new"))
    pool._pool.shutdown(wait=True)
    answers = dict(pool.answers())
    assert (answers[1], answers[2]) == (True, False)
    assert verify(answers[3], "new")
    assert len(woken) == 3
    assert pool.answers() == []


def test_passwd_adds_and_changes_and_leaves_the_rest_alone(users):
    path = users("# ours\nann old\nbob:hidden\n")
    added = run_chatd("passwd", str(path), "eve", text="fresh\n")
    assert (added.returncode, added.stderr) == (0, "")
    assert added.stdout == f"eve: password added in {path}\n"
    changed = run_chatd("passwd", str(path), "ANN", text="new\n")
    assert "changed" in changed.stdout
    lines = path.read_text().splitlines()
    assert [line.split(":")[0] for line in lines] == ["# ours", "ANN", "bob", "eve"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    found = read_file(path)
    assert found["bob"] == ("bob", "hidden")
    assert verify(found["ann"][1], "new")
    assert verify(found["eve"][1], "fresh")
    assert "new" not in path.read_text()


def test_passwd_makes_a_file_that_nobody_else_can_read(tmp_path):
    path = tmp_path / "fresh"
    assert set_password(path, "ann lee", "secret") is False
    assert set_password(path, "ann lee", "other") is True
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert verify(read_file(path)["ann lee"][1], "other")


@pytest.mark.parametrize("text", ["", "\n"])
def test_passwd_without_a_password_changes_nothing(users, text: str):
    path = users("ann old\n")
    assert "nothing was changed" in one_error(run_chatd("passwd", str(path), "ann", text=text))
    assert path.read_text() == "ann old\n"


def test_passwd_with_a_bad_name_a_bad_file_or_bad_arguments_changes_nothing(users, tmp_path):
    path = users("broken\n")
    assert "line 1" in one_error(run_chatd("passwd", str(path), "ann", text="x\n"))
    assert path.read_text() == "broken\n"
    assert "cannot be used" in one_error(run_chatd("passwd", str(path), "*", text="x\n"))
    assert "usage" in one_error(run_chatd("passwd", str(path)))
    missing = tmp_path / "no" / "where"
    assert str(missing) in one_error(run_chatd("passwd", str(missing), "ann", text="x\n"))


def test_a_name_that_is_none_is_refused():
    with pytest.raises(PeerError):
        set_password(None, "*", "x")
