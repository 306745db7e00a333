"""Load: a thousand sockets of a dialogue with laws on; times as true as an independent client's."""

import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hdrh.histogram import HdrHistogram
from programs.kit import HERE, harness
from test_harness_load import ASKS, asked, load

SCENARIO = Path(__file__).parents[2] / "scenarios" / "load" / "three_clients.yaml"


def test_a_thousand_sockets_of_the_dialogue(tmp_path):
    numbers = tmp_path / "numbers.json"
    done = harness("load", SCENARIO, "--casts", 334, "--rate", "6/s", "--gather", "--json", numbers)
    print(f"\n{done.stdout}")
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(numbers.read_text())
    assert (found["sockets"], found["passed"], found["laws"]) == (1002, 334, [])
    told = int(re.search(r"told (\d+) times", done.stdout)[1])
    assert told == 334 * (1002 - 1) + 334  # every broadcast to all others, every message to one


def test_percentiles_are_within_five_percent_of_an_independent_measurement(tmp_path):
    with subprocess.Popen(
        [sys.executable, HERE / "slow_answers.py"], stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            port = int(server.stdout.readline().split()[-1])
            theirs = asyncio.run(asked(port, 400))
            _, found = load(
                tmp_path, ASKS, "--casts", 400, "--rate", "60/s", "--at", f"127.0.0.1:{port}",
                profile=HERE / "slow_answers.yaml",
            )  # fmt: skip
        finally:
            server.terminate()
    ours = HdrHistogram(1, 3_600_000_000, 3)
    for row in found["exchanges_us"][1:]:
        ours.add(HdrHistogram.decode(row["hdr"]))
    assert ours.get_total_count() == len(theirs) == 1200
    for percent in (50, 80, 95, 99):
        independent = theirs[int(len(theirs) * percent / 100)] * 1_000_000
        measured = ours.get_value_at_percentile(percent)
        print(f"\np{percent}: {measured / 1000:.2f} ms, independent {independent / 1000:.2f} ms")
        assert measured == pytest.approx(independent, rel=0.05)
