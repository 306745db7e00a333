"""Exploring: eight planted bugs are found in 60 s and shrunk; a right server is not accused."""

import re

import pytest
from programs.kit import HERE, harness

PROFILE = HERE / "planted.yaml"
FAULTS = (
    "leak-third", "double-fifth", "swap-burst", "lose-after-reset", "keep-name", "rare-text",
    "wrong-sender", "leak-newest",
)  # fmt: skip


def explore(folder, *options):
    return harness("explore", "--profile", PROFILE, "-o", folder, "--time", "60s", *options)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_bug_is_found_and_shrunk(tmp_path, fault):
    server = f"python3 {HERE / 'planted.py'} {{port}} --fault {fault}"
    done = explore(tmp_path, "--server", server, "--seed", 11)
    assert done.returncode == 1, done.stdout
    (file,) = tmp_path.glob("*.yaml")
    found = float(re.search(r"after ([\d.]+) s", done.stdout)[1])
    exchanges = int(re.search(r"exchanges to (\d+)", done.stdout)[1])
    print(f"\n{fault}: {file.stem} after {found} s, {exchanges} exchanges")
    assert found < 60
    assert exchanges <= 5
    assert harness("run", file, "--server", server).returncode == 1


@pytest.mark.parametrize("seed", [1, 2])
def test_a_right_server_is_not_accused(tmp_path, seed):
    done = explore(tmp_path, "--seed", seed)
    print(f"\n{done.stdout.splitlines()[-1]}")
    assert done.returncode == 0, done.stdout
