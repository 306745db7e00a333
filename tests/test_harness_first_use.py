"""What somebody meets who writes a profile for the first time: slips are told where they are."""

import socket

import pytest

from tests.programs.kit import DAEMON, HERE, harness, written

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


WIRE = "{tcp: '${server.host}:${server.port}', login: [self sends: {code: hello, name: ana}]}"


def test_nobody_who_listens_is_no_failure_of_the_server(tmp_path):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        done = harness("run", profile(tmp_path, WIRE), "--at", f"127.0.0.1:{port}")
    assert done.returncode == 3
    assert f"nobody listens at 127.0.0.1:{port}" in done.stdout


def test_a_ready_line_without_the_port_that_is_used_is_noted(tmp_path):
    done = harness("check", profile(tmp_path, WIRE, ready="{prints: listening on}"))
    assert "mine.yaml:4:19: ready catches no port, but ${server.port} is used" in done.stdout


def test_a_ready_line_that_never_comes_is_shown_with_its_place_and_the_nearest(tmp_path):
    path = profile(tmp_path, WIRE, ready="{prints: 'listens on ..., port ${port=int}'}")
    text = (tmp_path / "mine.yaml").read_text()
    (tmp_path / "mine.yaml").write_text(text.replace("  ready:", "  patience: 1s\n  ready:"))
    done = harness("run", path)
    assert done.returncode == 3
    assert "for 'listens on ..., port ${port=int}' (" in done.stdout
    assert "mine.yaml:5:19)" in done.stdout
    assert "[-listens-]{+listening+}" in done.stdout


def test_a_prompt_that_never_comes_is_shown_with_its_place_and_the_last_line(tmp_path):
    role = f"{{pty: 'python3 {HERE}/cooked.py ${{server.port}} ana', prompt: 'say: '}}"
    done = harness("run", profile(tmp_path, role), "--patience", "0.05")
    assert done.returncode == 1
    assert "the prompt is 'say: ' (" in done.stdout
    assert "the last line is 'say>'" in done.stdout


def test_a_client_without_placeholders_gets_the_arguments_of_its_role(tmp_path):
    echo = written(tmp_path, "import sys\nprint('got', *sys.argv[1:])\ninput('> ')\n", "echo.py")
    path = profile(tmp_path, "{pty: cat, prompt: '> ', args: ['${server.host}', '${name}']}")
    path.write_text(
        path.read_text()
        .replace("- server survives:", "- ana sees: got 127.0.0.1 ana")
        .replace("cast: {ana: shell}", "cast: {ana: {role: shell, login: none}}")
    )
    done = harness("run", path, "--client", f"python3 {echo}")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("steps", "repair"),
    [
        ("  - ana sends:BID 10\n    ana sees: x\n", "put a blank after the colon in line 5"),
        ("  - ana types: hi\n      ana sees: x\n", "the line is indented too far"),
        ("  - ana sees: ben: hello\n", "needs quotes: 'ana: hello'; a key inside a key"),
    ],
)
def test_a_colon_out_of_place_gets_the_repair_that_fits(tmp_path, steps, repair):
    text = SCENARIO.replace("  - server survives:\n", steps)
    done = harness("check", written(tmp_path, text))
    assert done.returncode == 2
    assert repair in done.stdout
