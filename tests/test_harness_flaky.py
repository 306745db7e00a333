"""What does not always happen: repeated, retried, shaken, known until a day."""

import json
import re
from pathlib import Path

import pytest
from programs.kit import closing, harness, written

TROUBLE = Path(__file__).parent / "programs" / "trouble.yaml"

SOMETIMES = """
    scenario: It answers
    {more}
    cast: {{ana: line}}
    server: {{args: [--counter, '{counter}', --every, {every}]}}
    steps:
      - ana sends: echo fault?
        ana sees: fault?
"""


def run(tmp_path, *options, every, more="tags: [a]"):
    text = SOMETIMES.format(counter=tmp_path / "count", every=every, more=more)
    path = written(tmp_path, text)
    return harness("run", path, "--profile", TROUBLE, "--evidence", "none", *options)


def test_attempts_that_differ_are_flaky_with_counts_and_seeds(tmp_path):
    done = run(tmp_path, "--repeat", 6, "--seed", 40, "-j", 2, every=3)
    assert (done.returncode, closing(done)) == (1, "0 passed, 0 failed, 0 skipped, 1 flaky")
    assert "flaky: of 6 attempts 4 passed, 2 failed" in done.stdout
    seeds = [int(seed) for seed in re.findall(r"\(seed (\d+)\)", done.stdout)]
    assert len(seeds) == 2
    assert set(seeds) <= set(range(40, 46))
    assert "it does not repeat what the machine and the programs do" in done.stdout
    assert re.search(r"^  > +\d+ \|     ana sees: fault\?$", done.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    ("every", "code", "line"),
    [(1000, 0, "1 passed, 0 failed, 0 skipped"), (1, 1, "0 passed, 1 failed, 0 skipped")],
)
def test_attempts_that_agree_are_what_they_say(tmp_path, every, code, line):
    done = run(tmp_path, "--repeat", 3, every=every)
    assert (done.returncode, closing(done)) == (code, line), done.stdout
    assert "3 attempts" in done.stdout


def test_nothing_is_tried_again_unless_asked_for(tmp_path):
    done = run(tmp_path, every=1)
    assert closing(done) == "0 passed, 1 failed, 0 skipped"
    assert (tmp_path / "count").read_text() == "1"


def test_what_passes_when_it_is_tried_again_is_flaky(tmp_path):
    (tmp_path / "count").write_text("1")
    done = run(tmp_path, "--retries", 3, every=2)
    assert (done.returncode, closing(done)) == (1, "0 passed, 0 failed, 0 skipped, 1 flaky")
    assert "flaky: of 2 attempts 1 failed, 1 passed" in done.stdout


def test_what_never_passes_has_failed_after_all_retries(tmp_path):
    done = run(tmp_path, "--retries", 2, every=1)
    assert closing(done) == "0 passed, 1 failed, 0 skipped"
    assert "3 attempts, all failed" in done.stdout


@pytest.mark.parametrize(
    ("until", "every", "code", "line"),
    [
        ("2999-01-01", 2, 0, "0 passed, 0 failed, 0 skipped, 1 known"),
        ("2001-01-01", 2, 1, "0 passed, 0 failed, 0 skipped, 1 flaky"),
        ("2999-01-01", 1, 1, "0 passed, 1 failed, 0 skipped"),
    ],
)
def test_known_flakiness_is_tolerated_until_its_day_and_is_no_licence_to_fail(
    tmp_path, until, every, code, line
):
    (tmp_path / "count").write_text("1")
    more = f"flaky: {{because: '#7', until: {until}}}"
    done = run(tmp_path, every=every, more=more)
    assert (done.returncode, closing(done)) == (code, line), done.stdout
    assert "#7" in run(tmp_path, "-v", "--repeat", 2, every=2, more=more).stdout


def test_flaky_needs_a_reason_and_a_day(tmp_path):
    done = run(tmp_path, every=2, more="flaky: {because: '#7'}")
    assert done.returncode == 2
    assert re.search(r"scenario\.yaml:2:8: .*flaky needs a reason and a last day", done.stdout)


def test_shaking_halts_and_delays_as_the_seed_says(tmp_path):
    text = """
        scenario: Shaken
        cast: {ana: line, ben: {role: line}}
        steps:
          - repeat: 12
            steps:
              - ana sends: echo hello
                ana sees: hello
    """
    path = written(tmp_path, text.replace(", ben: {role: line}", ""))

    def halts(*options):
        report = tmp_path / "report.json"
        done = harness("run", path, "--profile", TROUBLE, "--evidence", "none", "--shake", "-v",
                       "--show", "--json", report, *options)  # fmt: skip
        assert done.returncode == 0, done.stdout
        return json.loads(report.read_text())["runs"][0], done.stdout

    some = [line for seed in range(7, 11) for line in halts("--seed", seed)[0]["shaken"]]
    one, said = halts("--seed", 5)
    assert said.startswith("seed 5\n")
    assert (one["seed"], one["shake"], one["status"]) == (5, True, "passed")
    again, _ = halts("--seed", 5)
    other, _ = halts("--seed", 6)
    assert one["shaken"] == again["shaken"] != other["shaken"]
    some += one["shaken"]  # what is drawn depends on where the scenario is as well
    assert any("halted" in line for line in some)
    assert any("delayed" in line for line in some)
    _, said = halts()
    assert re.match(r"seed \d+\n", said)
