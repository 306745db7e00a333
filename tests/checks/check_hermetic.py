"""Parallel, hermetic, tidy, at full size: 200 scenarios, 50 runs, killed at any moment."""

import os
import random
import re
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from harness import guardian

PROGRAMS = Path(__file__).parent.parent / "programs"
TROUBLE = PROGRAMS / "trouble.yaml"
RUNS = int(os.environ.get("RUNS", "50"))
SCENARIO = """
scenario: Number {number}
cast: {{ana: line}}
server: {{args: [{args}]}}
steps:
  - ana sends: echo {number}
    ana sees: '{sees}'
"""


def write(folder, count, args=""):
    for number in range(count):
        sees = "wrong" if number % 17 == 5 else number
        text = SCENARIO.format(number=number, sees=sees, args=args.format(number=number))
        (folder / f"{number:03}.yaml").write_text(text)


def command(folder, *options):
    words = ["run", folder, "--profile", TROUBLE, "--evidence", "none", *options]
    return [sys.executable, "-m", "harness", *map(str, words)]


def verdicts(folder, *options):
    """Verdict and number of each run, and what was said of them."""
    done = subprocess.run(
        command(folder, *options), capture_output=True, text=True, check=False,
        env={**os.environ, "TMPDIR": str(folder)},
    )  # fmt: skip
    assert list(folder.glob(f"{guardian.FOLDER}*")) == []
    return re.findall(r"^(\w+) +\S*/(\d+)\.yaml \(", done.stdout, re.MULTILINE), done.stdout


@pytest.mark.timeout(0)
def test_sixteen_at_a_time_say_what_one_at_a_time_says(tmp_path):
    write(tmp_path, 200)
    alone, _ = verdicts(tmp_path, "-j", 1)
    assert len(alone) == 200
    for number in range(RUNS):
        found, said = verdicts(tmp_path, "-j", 16)
        assert found == alone, f"run {number}: {said}"


def alive(pids):
    return [pid for pid in pids if psutil.pid_exists(pid)
            and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]  # fmt: skip


@pytest.mark.timeout(0)
@pytest.mark.skipif(sys.platform != "linux", reason="Linux adopts orphans")
def test_nothing_is_left_whenever_the_harness_is_killed(tmp_path):
    """Also of servers that leave daemons without environment, terminal or parent."""
    scenarios, notes = tmp_path / "scenarios", tmp_path / "notes"
    scenarios.mkdir()
    notes.mkdir()
    write(scenarios, 16, f"--escape, '{notes}/{{number}}'")
    dice = random.Random(1)
    for number in range(RUNS):
        for note in notes.iterdir():
            note.unlink()
        process = subprocess.Popen(
            command(scenarios, "-j", 8), stdout=subprocess.DEVNULL,
            env={**os.environ, "TMPDIR": str(tmp_path)},
        )  # fmt: skip
        time.sleep(dice.uniform(0.1, 3.0))
        below = [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
        process.kill()
        process.wait()
        psutil.wait_procs([psutil.Process(pid) for pid in alive(below)], 60)
        escaped = [int(note.read_text().split()[0]) for note in notes.iterdir() if note.read_text()]
        assert alive([*below, *escaped]) == [], number
        assert list(tmp_path.glob(f"{guardian.FOLDER}*")) == [], number


@pytest.mark.timeout(0)
def test_a_run_that_hangs_is_killed_and_explained(tmp_path):
    write(tmp_path, 2)
    (tmp_path / "001.yaml").write_text(SCENARIO.format(number=1, sees=1, args="--stop-parent"))
    done = subprocess.run(
        command(tmp_path, "-j", 2, "--patience", "0.2"), capture_output=True, text=True, check=False
    )
    assert done.returncode == 4, done.stdout
    assert "hung and was killed" in done.stdout
    assert "1 passed, 1 failed, 0 skipped" in done.stdout


@pytest.mark.timeout(0)
def test_a_scenario_that_never_ends_is_ended(tmp_path):
    (tmp_path / "long.yaml").write_text(
        "scenario: Long\ncast: {ana: line}\nsteps:\n  - repeat: 100000\n    steps:\n"
        "      - {ana sends: echo x, ana sees: x}\n"
    )
    done = subprocess.run(
        command(tmp_path, "--patience", "0.2"), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stdout
    assert re.search(r"the scenario was not over after [\d.]+ s", done.stdout)


@pytest.mark.timeout(0)
def test_one_in_fifty_is_reported_flaky_with_its_seed(tmp_path):
    count = tmp_path / "count"
    (tmp_path / "one.yaml").write_text(
        "scenario: One in fifty\ncast: {ana: line}\n"
        f"server: {{args: [--counter, '{count}', --every, 50]}}\n"
        "steps:\n  - {ana sends: 'echo fault?', ana sees: 'fault?'}\n"
    )
    done = subprocess.run(
        command(tmp_path, "--repeat", 200, "-j", 2), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "flaky: of 200 attempts 196 passed, 4 failed" in done.stdout
    assert len(re.findall(r"\d+ \(seed \d+\)", done.stdout)) == 4
    assert done.stdout.splitlines()[-1] == "0 passed, 0 failed, 0 skipped, 1 flaky"
