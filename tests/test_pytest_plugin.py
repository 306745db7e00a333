"""Scenarios as items of pytest, seen as a person sees them: from the command line."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from programs.kit import written

TROUBLE = Path(__file__).parent / "programs" / "trouble.yaml"
PLAIN = ["-p", "no:cacheprovider", "-p", "no:cov", "-p", "no:timeout", "-o", "addopts="]

GOOD = """
    scenario: It answers
    covers: [S1-1]
    tags: [smoke, needs-time, skip]
    matrix: {word: [hello, bye]}
    cast: {ana: line}
    steps:
      - ana sends: echo ${word}
        ana sees: ${word}
"""
BAD = """
    # a comment
    scenario: It shouts
    cast: {ana: line}
    steps:
      - ana sends: echo hello
        ana sees: HELLO
"""
KNOWN = BAD.replace("cast:", 'fails: {because: "#12", until: 2999-01-01}\n    cast:')
SKIPPED = BAD.replace("cast:", "needs: [shouting]\n    cast:")
WRONG = BAD.replace("ana sees:", "ana seas:")
OTHERS = {
    "compose.yaml": "services: {web: {image: x}}\n",
    "workflow.yml": "steps:\n  - run: scenario\n",
    "part.yaml": "steps:\n  - ana sends: echo\n",
    "broken.yaml": "a: [scenario, steps\n",
    "list.yaml": "- scenario: x\n  steps: []\n",
    "binary.yaml": "scenario\x00steps",
}


def ran(folder, *options):
    """The finished command `pytest`, in a folder that has no other configuration."""
    (folder / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers --strict-config\n")
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    return subprocess.run(
        [sys.executable, "-m", "pytest", *PLAIN, "-W", "error", "-p", "no:randomly", "-rA",
         "--strict-markers", f"--harness-profile={TROUBLE}", "-c", "pytest.ini",
         *map(str, options)],
        cwd=folder, capture_output=True, text=True, check=False, env=env,
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    for name, text in OTHERS.items():
        (tmp_path / name).write_text(text)
    written(tmp_path, GOOD, "good.yaml")
    return tmp_path


def test_only_scenarios_are_collected_and_each_row_is_an_item(folder):
    done = ran(folder, "--collect-only", "-q")
    assert [line for line in done.stdout.splitlines() if "::" in line] == [
        "good.yaml::word=hello", "good.yaml::word=bye",
    ], done.stdout  # fmt: skip


def test_a_failure_is_the_conversation_with_its_line_marked(folder):
    written(folder, BAD, "bad.yaml")
    done = ran(folder)
    assert done.returncode == 1, done.stdout
    assert re.search(r"FAILED bad\.yaml::scenario - bad\.yaml:6:5: ana sees", done.stdout)
    assert "  >    6 |     ana sees: HELLO" in done.stdout
    assert re.search(r"^ +\d\.\d+ < hello$", done.stdout, re.MULTILINE)
    assert "Traceback" not in done.stdout
    assert "1 failed, 2 passed" in done.stdout


def test_every_other_way_to_end_is_a_word_of_pytest(folder):
    written(folder, KNOWN, "known.yaml")
    written(folder, SKIPPED, "skipped.yaml")
    done = ran(folder, "-n", 2)
    assert done.returncode == 0, done.stdout
    assert "2 passed, 1 skipped, 1 xfailed" in done.stdout
    assert "#12" in done.stdout


def test_a_wrong_scenario_is_an_error_with_its_place_and_its_repair(folder):
    written(folder, WRONG, "wrong.yaml")
    done = ran(folder)
    assert done.returncode == 2
    assert re.search(r"wrong\.yaml:6:9: .*'seas'", done.stdout)
    assert "Traceback" not in done.stdout


@pytest.mark.parametrize(
    ("options", "count"),
    [(["-k", "bye"], 1), (["-m", "smoke"], 2), (["-m", "not needs-time"], 0), (["-k", "S1"], 2)],
)
def test_tags_are_markers_and_words_choose(folder, options, count):
    done = ran(folder, "--collect-only", "-q", *options)
    assert done.stdout.count("good.yaml::") == count, done.stdout


def test_the_harness_is_imported_with_the_first_scenario_only(tmp_path):
    (tmp_path / "test_x.py").write_text(
        "import sys\ndef test_x():\n"
        "    ours = [name for name in sys.modules if name.startswith('harness.')]\n"
        "    assert ours == ['harness.pytest_plugin']\n"
        "    assert 'ruamel' not in sys.modules\n"
    )
    (tmp_path / "compose.yaml").write_text("services: {}\n")
    done = ran(tmp_path)
    assert done.returncode == 0, done.stdout


def test_another_server_can_be_given(folder):
    server = f"python3 {TROUBLE.parent / 'trouble.py'} {{port}} --say given"
    done = ran(folder, "--harness-server", server, "--harness-patience", "2")
    assert done.returncode == 0, done.stdout
    assert ran(folder, "--harness-at", "nowhere").returncode == 4
