"""Grades at size: thirty submissions in parallel, and the same points every time."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))
from programs.kit import harness

ROOT = Path(__file__).parent.parent.parent
SERVER = f"python3 {ROOT}/tests/s3/server.py {{port}}"
FAULTS = ("leaks", "dies-of-garbage", "doubles", "ascii", "loses-some")


def graded(folder, programs):
    scenarios = ROOT / "scenarios"
    named = [("--program", f"{name}={command}") for name, command in programs.items()]
    done = harness(
        "grade", scenarios / "portable" / "server", "--profile", scenarios / "profiles" / "s3.yaml",
        "-k", "direct", "-j", 4, "--partial", "-o", folder, *sum(named, ()),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads((folder / "grades.json").read_text())
    return {one["name"]: (one["points"], one["worth"]) for one in document["programs"]}


@pytest.mark.timeout(3600)
def test_thirty_submissions_get_the_same_points_ten_times(tmp_path):
    programs = {f"student-{number:02}": SERVER for number in range(30)}
    for number, fault in enumerate(FAULTS):
        programs[f"student-{number:02}"] += f" --fault {fault}"
    first = graded(tmp_path / "0", programs)
    assert first["student-29"][0] == first["student-29"][1] > first["student-00"][0]
    for again in range(1, 10):
        assert graded(tmp_path / str(again), programs) == first, again
