"""Seconds of a soak find nothing wrong, and memory that grows would be found."""

import subprocess
import sys

import pytest
from faults.flat import FLAT, growth
from support import PATIENCE
from test_faults import FAULTS, NOTHING_WRONG


def test_seconds_of_a_soak_lose_and_double_nothing_and_leave_no_descriptor():
    """One round and a bit; whether the memory is flat takes minutes to tell."""
    command = [sys.executable, str(FAULTS / "soak.py"), "--minutes", "0.01"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=3 * PATIENCE)
    assert done.stdout.endswith(NOTHING_WRONG + "\n"), done.stdout + done.stderr
    assert ", +0 at the end" in done.stdout
    of_memory = ("too short to judge the memory", "the memory is not flat")
    assert [line for line in done.stderr.splitlines() if line not in of_memory] == []


@pytest.mark.parametrize(
    ("sizes", "flat"),
    [
        ([40.0] * 30, True),
        ([30 + n for n in range(10)] + [40.0] * 20, True),
        ([30.0 + n for n in range(30)], False),
        ([40.0] * 20 + [50.0] * 10, False),
        ([40.0, 90.0] * 15, True),
    ],
)
def test_a_size_is_flat_when_it_has_stopped_growing(sizes: list[float], flat: bool):
    assert (growth(sizes) <= FLAT) is flat


def test_two_sizes_tell_nothing():
    assert growth([40.0, 80.0]) is None
