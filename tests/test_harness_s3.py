"""The portable scenarios judge servers and clients of the base protocol by what they really do."""

import json
import os
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest
from programs.kit import closing, harness, written

from harness import ports
from harness.language import load_scenario
from harness.patterns import FramePattern, Item

ROOT = Path(__file__).parent.parent
PORTABLE = ROOT / "scenarios" / "portable"
S3 = Path(__file__).parent / "s3"
STRICT = S3 / "strict.yaml"
SERVER = f"python3 {S3 / 'server.py'} {{port}} --fault"
CLIENT = f"python3 {S3 / 'client.py'} {{host}} {{port}} {{name}} --fault"
WILD = f"python3 {S3 / 'wild.py'} {{port}}"

# What each fault breaks: the scenario that has to say so, and the requirement that it names.
SERVER_FAULTS = [
    ("needs-newline", "handshake", "S3-01"),
    ("one-per-recv", "split_object", "S3-01"),
    ("first-of-two", "two_objects", "S3-01"),
    ("truncates", "long_text", "S3-04"),
    ("to-sender-too", "broadcast", "S3-08"),
    ("misses-the-last", "broadcast", "S3-08"),
    ("dies-of-garbage", "garbage", "S3-11"),
    ("dies-of-missing-fields", "garbage", "S3-11"),
    ("keeps-the-gone", "gone_without_quit", "S3-10"),
    ("keeps-quitters", "quit", "S3-09"),
    ("swaps-names", "direct", "S3-06"),
    ("leaks", "direct", "S3-04"),
    ("leaks-late", "privacy", "S3-04"),
    ("loses-some", "in_order", "S3-06"),
    ("doubles", "broadcast", "S3-08"),
    ("second-takes-name", "same_name", "S3-23"),
    ("star-is-a-name", "star_is_no_name", "S3-19"),
    ("says-nothing-of-nobody", "unknown_user_is_told", "S3-04"),
    ("nobody-is-everybody", "unknown_user", "S3-04"),
    ("ascii", "any_language", "S3-01"),
    ("breaks-characters", "split_character", "S3-01"),
    ("blocks-on-slow", "slow_reader", "S3-08"),
    ("closes-others", "gone_while_told", "S3-10"),
    ("wordy-welcome", "handshake", "S3-02"),
    ("who-without-asker", "who", "S3-03"),
    ("talks-to-strangers", "garbage_before_hello", "S3-25"),
    ("dies-without-quit", "gone_without_quit", "S3-10"),
    ("announces", "handshake", "S3-02"),
    ("no-text", "called_text", "S3-05"),
]
CLIENT_FAULTS = [
    ("one-per-recv", "pieces", "S3-01"),
    ("needs-newline", "first_lines", "S3-14"),
    ("small-buffer", "long_text", "S3-01"),
    ("all-are-to-all", "told_apart", "S3-06"),
    ("without-sender", "told", "S3-06"),
    ("deaf", "told", "S3-08"),
    ("wrong-code", "direct", "S3-04"),
    ("sends-broadcast", "direct", "S3-16"),
    ("dies-of-unknown", "no_data_is_a_crash", "S3-11"),
    ("traceback-at-end", "server_ends", "S3-10"),
    ("loses-while-typing", "while_typing", "S3-06"),
    ("no-quit", "leaving", "S3-09"),
    ("swallows-quotes", "direct", "S3-16"),
    ("cuts-at-last-bar", "direct", "S3-16"),
    ("ascii", "told", "S3-06"),
    ("no-first-line", "first_lines", "S3-14"),
    ("other-name", "handshake", "S3-12"),
    ("who-once", "who", "S3-18"),
]
# Of a scenario with several rows, the one that shows the fault (others may, too).
ROWS = {
    "dies-of-missing-fields": 10,
    "talks-to-strangers": 7,
    "swallows-quotes": 1,
    "cuts-at-last-bar": 2,
}
ROWS |= {("client", "ascii"): 2}
PATIENCE = {"blocks-on-slow": 0.1}  # what is read slowly is waited for long, what never comes too


def judged(kind: str, faults, command: str) -> list[str]:
    """Which of the faults were not found where they have to be, and what was found instead."""
    orders = [
        {
            "path": str(PORTABLE / kind / f"{scenario}.yaml"),
            "row": ROWS.get((kind, fault), ROWS.get(fault, 0)),
            "options": {
                "profile": str(STRICT),
                "patience": PATIENCE.get(fault, 0.5),
                kind: f"{command} {fault}",
            },
        }
        for fault, scenario, _ in faults
    ]
    done = subprocess.run(
        [sys.executable, S3 / "batch.py"],
        input=json.dumps(orders), capture_output=True, text=True, check=True, timeout=300,
    )  # fmt: skip
    return [
        f"{fault}: {status} {what}"
        for (fault, _, requirement), (status, what, covers) in zip(
            faults, json.loads(done.stdout), strict=True
        )
        if status != "failed" or requirement not in covers
    ]


# A few faults at a time: an interpreter for each would cost more than the runs.


@pytest.mark.parametrize("first", range(0, len(SERVER_FAULTS), 8))
def test_a_wrong_server_is_named_by_scenario_and_requirement(first):
    assert judged("server", SERVER_FAULTS[first : first + 8], SERVER) == []


@pytest.mark.parametrize("first", range(0, len(CLIENT_FAULTS), 8))
def test_a_wrong_client_is_named_by_scenario_and_requirement(first):
    assert judged("client", CLIENT_FAULTS[first : first + 8], CLIENT) == []


def named(done) -> set[str]:
    """The portable scenarios that failed."""
    return set(re.findall(r"^failed\s+\S*?/(\w+)\.yaml", done.stdout, re.MULTILINE))


# --- programs that are given ----------------------------------------------------------------------


def test_a_given_server_is_judged_by_what_judges_servers_and_a_given_client_by_the_rest():
    paths = [PORTABLE / "server" / "who.yaml", PORTABLE / "client" / "who.yaml"]
    server = harness("run", *paths, "--server", f"{SERVER} none")
    client = harness("run", *paths, "--client", f"{CLIENT} none")
    both = harness("run", *paths, "--server", f"{SERVER} none", "--client", f"{CLIENT} none")
    assert closing(server) == closing(client) == "1 passed, 0 failed, 1 skipped"
    assert "it judges a client, and a server was given" in server.stdout
    assert "it judges a server, and a client was given" in client.stdout
    assert closing(both) == "2 passed, 0 failed, 0 skipped"


def test_what_a_profile_cannot_do_is_not_applicable_and_never_passed():
    done = harness("run", PORTABLE / "server" / "called_text.yaml", "--server", f"{SERVER} none")
    assert closing(done) == "0 passed, 0 failed, 1 skipped"
    assert "profile s3 cannot text" in done.stdout


def test_a_scenario_may_name_roles_that_a_profile_without_the_ability_has_not(tmp_path):
    done = harness(
        "run", PORTABLE / "client", "--profile", ROOT / "scenarios/profiles/chatd.yaml",
        "-k", "said", "--server", "chatd {port}",
    )  # fmt: skip
    assert done.returncode in (0, 2), done.stdout
    assert "unknown role" not in done.stdout


def test_our_own_server_started_as_the_assignment_says_gets_full_marks():
    paths = [PORTABLE / "server" / f"{name}.yaml" for name in ("handshake", "direct", "quit")]
    done = harness("run", *paths, "--server", f"python3 {ROOT / 'server.py'} {{port}}")
    assert closing(done) == "3 passed, 0 failed, 0 skipped", done.stdout


@pytest.mark.parametrize("student", ["threads", "loop", "streams"])
def test_students_servers_are_judged_by_a_profile_alone(student):
    profile = S3 / "students" / f"{student}.yaml"
    assert len(profile.read_text().splitlines()) <= 25
    paths = [PORTABLE / "server" / f"{name}.yaml"
             for name in ("direct", "unknown_user_is_told", "split_character")]  # fmt: skip
    done = harness("run", *paths, "--profile", profile)
    # One of them throws away what is not yet a character.
    assert named(done) == ({"split_character"} if student == "threads" else set()), done.stdout


# --- servers in the wild --------------------------------------------------------------------------

BOTH_TALK = [PORTABLE / "server" / "direct.yaml"]


@pytest.mark.parametrize(
    "habit", ["silent", "jumpy", "floods", "floods-a-line", "spins", "stubborn", "forks"]
)
def test_a_right_server_passes_whatever_its_habits(habit):
    mark = f"1000.{os.getpid()}"  # seconds that its children sleep; other runs have others
    done = harness("run", *BOTH_TALK, "--server", f"{WILD} {habit} {mark}")
    assert closing(done) == "1 passed, 0 failed, 0 skipped", done.stdout
    assert [process for process in psutil.process_iter() if _has(process, mark)] == []


def _has(process: psutil.Process, word: str) -> bool:
    try:
        return word in process.cmdline()
    except psutil.Error:
        return False


def test_a_server_that_dies_of_one_message_is_named_and_the_next_scenario_runs():
    paths = [PORTABLE / "server" / f"{name}.yaml" for name in ("called_text", "direct")]
    done = harness("run", *paths, "--profile", STRICT, "--server", f"{SERVER} dies-of-garbage")
    assert closing(done) == "2 passed, 0 failed, 0 skipped", done.stdout
    profile = STRICT
    garbage = harness(
        "run", PORTABLE / "server" / "garbage.yaml", "--profile", profile, "-x",
        "--server", f"{SERVER} dies-of-garbage",
    )  # fmt: skip
    assert "the server ended by itself: the program exited with 1" in garbage.stdout
    assert "JSONDecodeError" in garbage.stdout


def fixed_port_profile(folder: Path, port: int, habit: str) -> Path:
    """A profile of a server that has a port of its own."""
    return written(
        folder,
        f"""
        profile: fixed
        like: {ROOT / "scenarios/profiles/s3.yaml"}
        server:
          run: python3 {S3 / "wild.py"} {port} {habit}
          ready: {{listens: {port}}}
        """,
        "fixed.yaml",
    )


@pytest.fixture
def port():
    """A port that is nobody's while the test runs."""
    held = ports.hold_free_port()
    os.close(held.lock)
    return held.port


def test_a_fixed_port_is_used_by_one_run_at_a_time(tmp_path, port):
    profile = fixed_port_profile(tmp_path, port, "no-reuse")
    paths = [PORTABLE / "server" / f"{name}.yaml" for name in ("quit", "direct", "quit", "who")]
    done = harness("run", *paths, "--profile", profile, "-j", "4")
    assert closing(done) == "4 passed, 0 failed, 0 skipped", done.stdout


def test_a_command_without_a_place_for_a_port_is_asked_for_none(port):
    command = f"python3 {S3 / 'wild.py'} {port} silent"
    done = harness("run", *BOTH_TALK, *BOTH_TALK, "--server", command, "-j", "2")
    assert closing(done) == "2 passed, 0 failed, 0 skipped", done.stdout


def test_a_stranger_on_the_port_is_not_tested(tmp_path, port):
    with socket.create_server(("127.0.0.1", port)):
        done = harness("run", *BOTH_TALK, "--profile", fixed_port_profile(tmp_path, port, "silent"))
    assert done.returncode == 3
    assert f"port {port} is in use by another program" in done.stdout


def test_a_server_on_another_port_than_it_was_given_is_told_so():
    command = "python3 -c 'import socket,time; s=socket.create_server((\"\", 0)); time.sleep(99)' "
    done = harness("run", *BOTH_TALK, "--server", f"{command}{{port}}", "--patience", "0.05")
    assert done.returncode == 3
    assert "only at" in done.stdout
    assert "its command has to take the port" in done.stdout


def test_a_file_is_named_from_where_the_harness_was_called(monkeypatch):
    monkeypatch.chdir(S3)
    done = harness("run", *BOTH_TALK, "--server", "python3 server.py {port} --fault none")
    assert closing(done) == "1 passed, 0 failed, 0 skipped", done.stdout


# --- ports ----------------------------------------------------------------------------------------


def test_no_two_runs_get_one_port():
    held = []
    threads = [
        threading.Thread(target=lambda: held.append(ports.hold_free_port())) for _ in range(50)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({one.port for one in held}) == 50
    for one in held:
        os.close(one.lock)


def test_a_lock_is_free_again_when_it_is_closed():
    first = ports.hold("a test")
    assert first is not None
    assert ports.hold("a test") is None
    os.close(first.lock)
    second = ports.hold("a test")
    assert second is not None
    os.close(second.lock)


@pytest.mark.skipif(sys.platform != "linux", reason="asked of the Linux kernel")
@pytest.mark.parametrize("by_tables", [False, True])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_what_was_not_read_is_on_the_way(monkeypatch, host, by_tables):
    if by_tables:
        monkeypatch.setattr(ports, "NETLINK_SOCK_DIAG", 9999)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with (
        socket.create_server((host, 0), family=family) as listener,
        socket.create_connection(listener.getsockname()[:2]) as ours,
        listener.accept()[0] as theirs,
    ):
        ways = ours.getsockname(), ours.getpeername()
        assert not ports.on_the_way(*ways)
        ours.sendall(b"12")
        assert ports.on_the_way(*ways)
        theirs.recv(1)
        assert ports.on_the_way(*ways)
        theirs.recv(1)
        assert not ports.on_the_way(*ways)


# --- the language ---------------------------------------------------------------------------------


def test_a_list_in_any_order_has_the_same_items_and_no_others():
    pattern = FramePattern({"users": {"in any order": ["a", "b", "b"]}}, str, exact=True)

    def matches(users):
        return pattern.match(Item("", 0.0, {"users": users}, is_frame=True)) is not None

    assert matches(["b", "a", "b"])
    assert not matches(["a", "b"])
    assert not matches(["a", "a", "b"])
    assert not matches(["a", "b", "b", "c"])
    assert not matches("abb")


def test_a_profile_that_is_like_another_changes_only_what_it_says(tmp_path):
    own = written(
        tmp_path,
        f"""
        profile: own
        like: {ROOT / "scenarios/profiles/s3.yaml"}
        server: {{run: 'my-server ${{here}}'}}
        phrases:
          welcomed: {{bare: {{code: hi}}}}
        """,
        "own.yaml",
    )
    profile = load_scenario(BOTH_TALK[0], profile=own).profile
    base = load_scenario(BOTH_TALK[0]).profile
    assert (profile.name, profile.server.run) == ("own", "my-server ${here}")
    assert (profile.server.listens, profile.acts) == (base.server.listens, base.acts)
    assert profile.phrases["welcomed"] == {"bare": {"code": "hi"}}
    assert profile.phrases["users"] == base.phrases["users"]
    assert str(ROOT / "scenarios/profiles") in profile.roles["shell"].start


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("like: nobody", "no profile 'nobody'"),
        ("like: own.yaml", "is like itself"),
        ("like: {}", "like has to be a text"),
        ("server: {run: x, ready: {listens: somewhere}}", "listens cannot be 'somewhere'"),
        ("server: {run: x, ready: {listens: 0}}", "listens cannot be 0"),
        ("server: {run: x, stop: KILLL}", "unknown signal 'KILLL'"),
    ],
)
def test_what_is_wrong_with_a_profile_is_told(tmp_path, text, told):
    own = written(tmp_path, f"profile: own\nroles: {{line: {{pipe: cat}}}}\n{text}\n", "own.yaml")
    done = harness("check", BOTH_TALK[0], "--profile", own)
    assert done.returncode == 2
    assert told in done.stdout


def test_what_has_to_hold_eventually_is_asked_again(tmp_path):
    program = tmp_path / "third.py"
    program.write_text(
        "import sys\n"
        "for number, line in enumerate(sys.stdin, 1):\n"
        "    print('ready' if number > 2 else 'not yet', flush=True)\n"
    )
    text = """
        scenario: The third answer is the right one
        cast: {ana: line}
        steps:
          - ana types: are you ready?
            ana sees next: ready
            eventually: 20s
    """
    profile = written(
        tmp_path,
        f"""
        profile: third
        server: {{run: sleep 100, ready: {{}}}}
        roles: {{line: {{pipe: 'python3 {program}'}}}}
        """,
        "third.yaml",
    )
    path = written(tmp_path, text.replace("sees next", "sees"))
    done = harness("run", path, "--profile", profile)
    assert closing(done) == "1 passed, 0 failed, 0 skipped", done.stdout
