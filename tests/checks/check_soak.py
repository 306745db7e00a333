"""The shipped scenarios on a busy machine: the same verdicts again and again."""

import os
import subprocess
import sys

import pytest

ROUNDS = os.environ.get("ROUNDS", "2")


@pytest.mark.timeout(int(ROUNDS) * 1200)
def test_no_scenario_is_flaky_on_a_busy_machine():
    done = subprocess.run(
        [sys.executable, "-m", "scripts.soak", "--rounds", ROUNDS],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
