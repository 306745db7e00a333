"""What somebody meets who writes a profile for the first time: slips are told where they are."""

import pytest

from tests.programs.kit import DAEMON, harness, written

SCENARIO = """
scenario: first steps
use: mine
cast: {ana: shell}
steps:
  - server survives:
"""


def profile(folder, role, *, ready="{prints: 'listening on ..., port ${port=int}'}", run=""):
    """A scenario with a profile of its own, whose only role is this one."""
    run = run or f"{DAEMON} ${{server.port}}"
    written(folder, f"profile: mine\nserver:\n  run: {run}\n  ready: {ready}\n"
            f"roles:\n  shell: {role}\n", "mine.yaml")  # fmt: skip
    return written(folder, SCENARIO)


@pytest.mark.parametrize(
    ("role", "name"),
    [
        ("{tcp: '127.0.0.1:${port}'}", "port"),
        ("{pty: 'cat ${self.name}'}", "self.name"),
        ("{pipe: cat, args: ['${server.prot}']}", "server.prot"),
        ("{tcp: '127.0.0.1:${server.port}', login: [self sends: '${nam}']}", "nam"),
    ],
)
@pytest.mark.parametrize("command", ["check", "run"])
def test_a_name_without_a_value_is_told_where_the_profile_has_it(tmp_path, role, name, command):
    done = harness(command, profile(tmp_path, role))
    assert done.returncode == 2, done.stdout + done.stderr
    assert (
        f"mine.yaml:6:{10 + role.index('${' + name)}: H201 ${{{name}}} has no value"
        in done.stdout + done.stderr
    )
    assert "server.port, server.host, server.home, name" in done.stdout + done.stderr


def test_a_profile_alone_gets_a_note_for_what_a_scenario_might_set(tmp_path):
    profile(tmp_path, "{tcp: '127.0.0.1:${room}'}")
    done = harness("check", tmp_path / "mine.yaml")
    assert done.returncode == 0
    assert "note: " in done.stdout
    assert "${room} has no value here" in done.stdout


def test_what_a_scenario_sets_may_stand_in_its_profile(tmp_path):
    path = profile(tmp_path, "{pty: cat, args: ['${room}', '${ana.name}']}")
    path.write_text(path.read_text().replace("use: mine", "use: mine\nvars: {room: 5}"))
    assert harness("check", path).returncode == 0


def test_an_open_quotation_mark_in_a_command_has_its_place(tmp_path):
    path = profile(tmp_path, """{pty: 'python3 "x'}""", run="""'python3 "y'""")
    done = harness("check", path)
    assert done.returncode == 2
    assert "mine.yaml:3:8: H011" in done.stdout
    assert "mine.yaml:6:16: H011" in done.stdout


@pytest.mark.parametrize("option", ["--server", "--client"])
@pytest.mark.parametrize("text", ['python3 "unclosed', "python3 ${eech}/x.py"])
@pytest.mark.parametrize("command", ["run", "grade"])
def test_a_command_that_cannot_be_is_told_by_its_option(tmp_path, option, text, command):
    path = profile(tmp_path, "{pty: cat}")
    folder = ("-o", tmp_path / "grades") if command == "grade" else ()
    done = harness(command, path, option, text, *folder)
    assert done.returncode == 2
    said = done.stdout + done.stderr
    assert option in said
    assert "eech" in said or "quotation" in said
    assert "Traceback" not in said


def test_what_is_wrong_with_a_profile_is_told_once(tmp_path):
    profile(tmp_path, "{pty: cat")
    done = harness("check", tmp_path)
    assert done.returncode == 2
    assert done.stdout.count("mine.yaml:6") == 1


def test_what_is_allowed_is_listed_once(tmp_path):
    done = harness("check", profile(tmp_path, "{pty: cat}\nfence: {roundtrip: {auction: none}}"))
    assert "allowed: shell, pipe, wire" in done.stdout
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "mine.yaml").write_text((tmp_path / "mine.yaml").read_text())
    done = harness("check", written(tmp_path, SCENARIO.replace("mine", "mein")))
    assert "allowed: mine\n" in done.stdout
