"""`harness learn`: a profile of a program that nobody has described, good enough to play with."""

import psutil
import pytest
from programs.kit import HERE, closing, harness, written

PORTABLE = """
scenario: What one says to one, and to all
cast: {ana: ROLE, ben: ROLE, cid: ROLE}
steps:
  - ana does: {dm: {to: '${ben.name}', text: only for you}}
    ben sees: {dm: {from: '${ana.name}', text: only for you}}
    cid never sees: only for you
  - cid does: {bc: {text: for all of you}}
    ana, ben see: {bc: {from: '${cid.name}', text: for all of you}}
  - ana does: {dm: {to: nobody, text: hello}}
    ana sees: {no-user: {who: nobody}}
    others see nothing:
  - cid leaves:
"""
SMALL = f"python3 {HERE}/daemon.py {{port}}"
STUDENT = f"python3 {HERE.parent}/s3/students/loop.py --port {{port}}"


def learned(folder, server, client=None):
    out = folder / "learned.yaml"
    clients = ["--client", client] if client else []
    return harness("learn", "--server", server, *clients, "-o", out), out


def plays(folder, profile, role, *options):
    """A portable dialogue with what was learned."""
    text = PORTABLE.replace("ROLE", role)
    return harness("run", written(folder, text, "portable.yaml"), "--profile", profile, *options)


def test_a_small_dialogue_runs_with_what_was_learned_of_a_server_by_sockets(tmp_path):
    done, out = learned(tmp_path, STUDENT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "a small dialogue passes with it" in done.stdout
    checked = harness("check", out)
    assert (checked.returncode, checked.stdout) == (0, "1 profile can be used\n")
    assert harness("fmt", "--check", out).returncode == 0
    played = plays(tmp_path, out, "wire")
    assert closing(played) == "1 passed, 0 failed, 0 skipped", played.stdout
    assert "roundtrip" in played.stdout


def test_questions_are_answered_nothing_is_left_and_the_draft_finds_a_leak(tmp_path):
    mark = tmp_path / "server.log"  # in the command line of every server of this test
    done, out = learned(tmp_path, f"{SMALL} --log {mark}", f"python3 {HERE}/cooked.py")
    assert done.returncode == 0, done.stdout + done.stderr
    profile = out.read_text()
    for line in (
        "{self is asked: 'Port:', self types: '${server.port}'}",
        "{self is asked: 'Name:', self types: '${name}'}",
        "{self sees: 'You are ${name=word}.'}",
        "{prints: 'listening on 127.0.0.1, port ${port=int}'}",
        "{roundtrip: {shell: {types: '/ping ${token}', sees: 'pong ${token}'}}}",
    ):
        assert line in profile, profile + done.stderr
    assert mark.exists()
    commands = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    assert [command for command in commands if str(mark) in command] == []
    played = plays(tmp_path, out, "shell")
    assert closing(played) == "1 passed, 0 failed, 0 skipped", played.stdout
    leaky = f"{SMALL} --fault last-leak"
    played = plays(tmp_path, out, "shell", "--server", leaky)
    assert "cid never sees: only for you — but it came" in played.stdout


def test_what_a_client_answers_by_itself_is_no_fence_and_what_is_not_known_is_said(tmp_path):
    done, out = learned(tmp_path, SMALL, "cat")
    assert done.returncode == 1
    assert "not found out: fence" in done.stderr
    assert "not found out: acts: no way was found to send a message to one" in done.stderr
    assert "fence: quiet" in out.read_text()
    assert "# Not found out: fence" in out.read_text()


@pytest.mark.parametrize(
    ("server", "said"),
    [("false", "the program exited with 1"), ("no-such-program", "program not found")],
)
def test_a_server_that_does_not_start_is_one_error(tmp_path, server, said):
    done, out = learned(tmp_path, server)
    assert (done.returncode, out.exists()) == (3, False)
    assert said in done.stderr
    assert "Traceback" not in done.stderr
