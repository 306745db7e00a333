"""Right servers and clients get full marks, twenty times; the whole set names every fault."""

import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from programs.kit import closing, harness
from test_harness_s3 import (
    CLIENT,
    CLIENT_FAULTS,
    PORTABLE,
    ROOT,
    S3,
    SERVER,
    SERVER_FAULTS,
    STRICT,
    WILD,
    named,
)

PROFILES = ROOT / "scenarios" / "profiles"
STUDENTS = S3 / "students"
SERVERS = {  # options that start a right server, and how many scenarios may not apply to it
    "reference": (["--profile", STRICT], 0),
    "chatd": (["--profile", PROFILES / "chatd.yaml"], 0),
    "server.py": (["--server", f"python3 {ROOT / 'server.py'} {{port}}"], 2),
    "loop": (["--profile", STUDENTS / "loop.yaml"], 0),
    "streams": (["--profile", STUDENTS / "streams.yaml"], 1),
}
CLIENTS = {
    "reference": (["--profile", STRICT], 1),
    "chatsh": (["--profile", PROFILES / "chatsh.yaml"], 2),
}
TIMES = 20


def counts(done) -> tuple[int, int]:
    """Failed and skipped."""
    failed, skipped = re.search(r"(\d+) failed, (\d+) skipped", closing(done)).groups()
    return int(failed), int(skipped)


@pytest.mark.parametrize("name", SERVERS)
def test_a_right_server_gets_full_marks(name):
    options, not_applicable = SERVERS[name]
    done = harness("run", PORTABLE / "server", "-j", "2", *options)
    assert counts(done) == (0, not_applicable), done.stdout


@pytest.mark.parametrize("name", CLIENTS)
def test_a_right_client_gets_full_marks(name):
    options, not_applicable = CLIENTS[name]
    done = harness("run", PORTABLE / "client", "-j", "2", *options)
    assert counts(done) == (0, not_applicable), done.stdout


@pytest.mark.parametrize("time", range(TIMES))
def test_there_is_no_false_alarm(time):
    done = harness("run", PORTABLE, "--profile", STRICT, "-j", "3")
    assert counts(done) == (0, 1), done.stdout


@pytest.mark.parametrize(("fault", "scenario", "_requirement"), SERVER_FAULTS)
def test_the_whole_set_names_a_server_fault(fault, scenario, _requirement):
    done = harness(
        "run", PORTABLE / "server", "--profile", STRICT, "--server", f"{SERVER} {fault}",
        "-j", "3", "--patience", "0.5",
    )  # fmt: skip
    assert scenario in named(done), done.stdout


@pytest.mark.parametrize(("fault", "scenario", "_requirement"), CLIENT_FAULTS)
def test_the_whole_set_names_a_client_fault(fault, scenario, _requirement):
    done = harness(
        "run", PORTABLE / "client", "--profile", STRICT, "--client", f"{CLIENT} {fault}",
        "-j", "3", "--patience", "0.5",
    )  # fmt: skip
    assert scenario in named(done), done.stdout


@pytest.mark.parametrize("habit", ["silent", "floods", "spins", "stubborn", "forks"])
def test_the_whole_set_passes_whatever_the_habits(habit):
    done = harness("run", PORTABLE / "server", "--server", f"{WILD} {habit}", "-j", "2")
    assert counts(done) == (0, 2), done.stdout


def test_the_third_student_is_told_what_is_wrong():
    done = harness("run", PORTABLE / "server", "--profile", STUDENTS / "threads.yaml")
    assert named(done) == {"split_character", "slow_reader"}, done.stdout
