"""Reports for machines, read back by readers that are not ours; which runs are chosen."""

import io
import json
import os
import pty
import re
import select
import subprocess
import sys
from pathlib import Path

import pytest
from junitparser import Error, Failure, JUnitXml, Skipped
from junitparser.xunit2 import FlakyFailure, RerunFailure, TestCase
from programs.kit import closing, harness, written
from tap.parser import Parser

from harness.errors import Place
from harness.reports import github, junit, tap
from harness.reports import json as document
from harness.runner import EXITS, Attempt, Outcome
from harness.selection import share, tag_expression

TROUBLE = Path(__file__).parent / "programs" / "trouble.yaml"
HOSTILE = "\x1b[31m<&\"']]>\x00\ud800\ufffe --> # SKIP ::error::\u202e % \t ok 7 ... é\n---\n...\r"


def outcome(status, **more):
    return Outcome(
        f"title {HOSTILE}", "scenarios/a.yaml", {"dress": HOSTILE}, status=status,
        what=f"what {HOSTILE}" if status != "passed" else "", details=[HOSTILE], covers=["S1-2"],
        tags=["smoke", HOSTILE], points=2.5, profile="small", seed=3, seconds=1.25,
        place=Place("scenarios/a.yaml", 4, 7), notes=[HOSTILE], **more,
    )  # fmt: skip


ATTEMPTS = [
    Attempt(1, "failed", f"one {HOSTILE}", 3, 0.5, Place("scenarios/a.yaml", 4, 7)),
    Attempt(2, "passed", "", 4, 0.25),
    Attempt(3, "failed", "three", 5, 0.5),
]
RERUN = [Attempt(1, "failed", "one", 3, 0.5), Attempt(2, "failed", "two", 4, 0.5)]
EVERY = [
    outcome("passed"), outcome("failed"), outcome("known"), outcome("skipped"),
    outcome("environment"), outcome("wrong"), outcome("bug"),
    outcome("flaky", attempts=ATTEMPTS), outcome("failed", attempts=RERUN),
]  # fmt: skip


def test_every_way_to_end_is_in_the_samples():
    assert {one.status for one in EVERY} == set(EXITS)


def test_junit_is_read_by_another_reader_with_every_attempt():
    suites = JUnitXml.fromstring(junit.text(EVERY).encode())
    (suite,) = suites
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (9, 3, 3, 2)
    cases = [TestCase.fromelem(case) for case in suite]
    kinds = [[type(result) for result in case.result] for case in cases]
    assert kinds[:7] == [[], [Failure], [Skipped], [Skipped], [Error], [Error], [Error]]
    told = dict.fromkeys(("covers", "tag", "points", "seed"))
    told |= {one.name: one.value for one in cases[0].properties()}
    assert (told["covers"], told["points"], told["seed"]) == ("S1-2", "2.5", "3")
    flaky, rerun = cases[7], cases[8]
    assert [one.message.split(":")[0] for one in flaky.iterchildren(FlakyFailure)] == [
        "attempt 1, seed 3", "attempt 3, seed 5",
    ]  # fmt: skip
    assert [one.message for one in rerun.iterchildren(RerunFailure)] == ["attempt 2, seed 4: two"]
    assert cases[1].result[0].type == "failed"
    assert "\\x1b[31m<&" in cases[1].result[0].message


def test_tap_is_read_by_another_reader():
    lines = list(Parser().parse(io.StringIO(tap.text(EVERY))))
    assert {line.category for line in lines} == {"version", "plan", "test"}
    tests = [line for line in lines if line.category == "test"]
    assert [line.ok for line in tests] == [True, False, False, True, *[False] * 5]
    assert [line.skip for line in tests] == [False, False, False, True, *[False] * 5]
    assert [line.todo for line in tests] == [False, False, True, *[False] * 6]
    plan = next(line for line in lines if line.category == "plan")
    assert plan.expected_tests == len(EVERY)


def test_the_json_document_holds_everything_whatever_programs_say():
    read = json.loads(document.text(EVERY))
    assert read["schema"] == 1
    assert read["summary"]["failed"] == 2
    assert [run["status"] for run in read["runs"]] == [one.status for one in EVERY]
    flaky = read["runs"][7]
    assert [one["seed"] for one in flaky["attempts"]] == [3, 4, 5]
    assert flaky["place"] == {"file": "scenarios/a.yaml", "line": 4, "column": 7}
    assert "chunks" not in flaky


def test_annotations_are_one_line_each_with_everything_escaped():
    for one in EVERY:
        line = github.annotation(one)
        assert re.fullmatch(r"::(error|notice) file=scenarios/a\.yaml,line=4,col=7,title=.*", line)
        assert not re.search(r"[\x00-\x1f]", line)
        assert "title=" + one.status + "%3A title" in line


SCENARIO = """
    scenario: Number {number}
    tags: [{tags}]
    covers: [S1-{number}]
    cast: {{ana: line}}
    server: {{args: ['--say=::error::injected']}}
    steps:
      - ana sends: echo {number}
        ana sees: '{sees}'
"""


@pytest.fixture
def folder(tmp_path):
    """Four scenarios: the second fails."""
    for number, tags in enumerate(("smoke", "smoke, slow", "slow", ""), 1):
        text = SCENARIO.format(number=number, tags=tags, sees=number if number != 2 else "no")
        written(tmp_path, text, f"{number}.yaml")
    return tmp_path


def run(folder, *options, **env):
    return harness("run", folder, "--profile", TROUBLE, "--evidence", "none", *options, env=env)


def test_all_reports_of_one_run_agree(folder, tmp_path):
    out = tmp_path / "reports" / "here"
    done = run(folder, "-j", 2, "--junit", out / "j.xml", "--tap", out / "t.tap",
               "--json", out / "r.json")  # fmt: skip
    assert (done.returncode, closing(done)) == (1, "3 passed, 1 failed, 0 skipped"), done.stdout
    xml = JUnitXml.fromfile(str(out / "j.xml"))
    assert (xml.tests, xml.failures) == (4, 1)
    read = json.loads((out / "r.json").read_text())
    assert [one["status"] for one in read["runs"]] == ["passed", "failed", "passed", "passed"]
    failed = read["runs"][1]
    assert failed["place"]["line"] == 8
    assert any(event["text"] == "listening on port" or event["actor"] == "server"
               for event in failed["events"])  # fmt: skip
    assert read["summary"]["factor"] >= 1
    oks = [line.ok for line in Parser().parse_file(str(out / "t.tap")) if line.category == "test"]
    assert oks == [True, False, True, True]
    assert sorted(path.name for path in out.iterdir()) == ["j.xml", "r.json", "t.tap"]


def test_a_report_that_cannot_be_written_is_said_before_anything_runs(folder):
    done = run(folder, "--junit", folder / "1.yaml" / "report.xml")
    assert done.returncode == 3
    assert "cannot write" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_github_gets_annotations_and_no_commands_of_programs(folder):
    done = run(folder, "-k", "2.yaml", GITHUB_ACTIONS="true", GITHUB_WORKSPACE=str(folder))
    lines = done.stdout.splitlines()
    on = True
    word = re.fullmatch(r"::stop-commands::(\w+)", lines[0])[1]
    heard = []
    for line in lines:
        if line.strip().startswith(f"::stop-commands::{word}"):
            on = False
        elif line.strip() == f"::{word}::":
            on = True
        elif on and line.strip().startswith("::"):
            heard.append(line)
    assert len(heard) == 1
    assert heard[0].startswith(
        "::error file=2.yaml,line=8,col=5,title=failed%3A Number 2::ana sees"
    )
    assert "::error::injected" in done.stdout
    assert closing(done) == "0 passed, 1 failed, 0 skipped"
    assert "::" not in run(folder, "-k", "1.yaml", GITHUB_ACTIONS="").stdout


@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        (["--tag", "smoke"], "12"),
        (["--tag", "smoke and not slow"], "1"),
        (["--tag", "smoke", "--tag", "slow"], "2"),
        (["--covers", "S1-3", "--covers", "S1-4"], "34"),
        (["--covers", "S1-*", "--tag", "not (smoke or slow)"], "4"),
        (["-k", "Number 3"], "3"),
    ],
)
def test_scenarios_are_chosen_by_tags_requirements_and_words(folder, options, numbers):
    done = harness("list", folder, "--profile", TROUBLE, *options)
    assert re.findall(r"/(\d)\.yaml:", done.stdout) == list(numbers)


def test_the_tags_there_are(folder):
    assert run(folder, "--list-tags").stdout.splitlines() == ["slow (2)", "smoke (2)"]


@pytest.mark.parametrize("text", ["", "a and", "not", "(a", "a b", ") a", "or"])
def test_what_is_no_expression_of_tags_is_refused_in_one_line(folder, text):
    done = harness("list", folder, "--tag", text)
    assert done.returncode == 2
    assert "error: argument --tag:" in done.stderr.splitlines()[-1]


def test_not_binds_closer_than_and_and_and_closer_than_or():
    fits = tag_expression("a or not b and c")
    assert [fits(tags) for tags in ({"a", "b"}, {"c"}, {"b", "c"}, set())] == [
        True, True, False, False,
    ]  # fmt: skip


def names(done):
    return re.findall(r"^(?:passed|failed) +\S*/(\d)\.yaml", done.stdout, re.MULTILINE)


def test_what_failed_last_is_played_alone_or_first(folder, tmp_path):
    env = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    assert names(run(folder, "--last-failed", **env)) == list("1234")
    assert names(run(folder, "--last-failed", **env)) == ["2"]
    assert names(run(folder, "--failed-first", **env)) == list("2134")
    written(folder, SCENARIO.format(number=2, tags="", sees="2"), "2.yaml")
    assert names(run(folder, "--last-failed", **env)) == ["2"]
    assert names(run(folder, "--last-failed", **env)) == list("1234")


def test_shares_are_all_together_and_take_equally_long(folder, tmp_path):
    report = tmp_path / "report.json"
    runs = [{"name": f"{folder}/{n}.yaml", "path": f"{folder}/{n}.yaml", "seconds": s}
            for n, s in ((1, 9.0), (2, 4.0), (3, 4.0))]  # fmt: skip
    report.write_text(json.dumps({"runs": runs}))
    shares = [
        names(run(folder, "--shard", f"{number}/2", "--durations", report)) for number in (1, 2)
    ]
    assert shares == [["1"], ["2", "3", "4"]]
    done = run(folder, "--shard", "1/2", "--durations", folder / "1.yaml")
    assert done.returncode == 2
    assert "is no report of --json" in done.stdout
    assert run(folder, "--shard", "3/2").returncode == 2


def test_every_run_is_in_exactly_one_share():
    from harness.pool import Job

    class Named:
        def __init__(self, path):
            self.path = path

    jobs = [Job(Named(f"{number}.yaml"), {}) for number in range(23)]
    for of in (1, 2, 7, 30):
        found = [job.scenario.path for n in range(1, of + 1) for job in share(jobs, n, of, {})]
        assert sorted(found) == sorted(job.scenario.path for job in jobs)


def on_a_terminal(*arguments, **env):
    """What a person sees of the command on a terminal of 80 columns, as bytes."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "harness", *map(str, arguments)], stdin=theirs, stdout=theirs,
        stderr=subprocess.STDOUT, env={**os.environ, "COLUMNS": "80", **env}, close_fds=True,
    ) as process:  # fmt: skip
        os.close(theirs)
        seen = b""
        while True:
            select.select([ours], [], [])
            try:
                data = os.read(ours, 65536)
            except OSError:
                break
            if not data:
                break
            seen += data
    os.close(ours)
    return process.returncode, seen


def test_a_terminal_shows_what_runs_and_a_pipe_does_not(folder):
    command = ["run", folder, "--profile", TROUBLE, "--evidence", "none", "-k", "1.yaml"]
    code, seen = on_a_terminal(*command, TERM="xterm")
    assert code == 0, seen
    assert re.search(rb"0/1, \d+ s  Number 1", seen)
    assert seen.replace(b"\r\n", b"\n").rstrip().endswith(b"1 passed, 0 failed, 0 skipped")
    code, seen = on_a_terminal(*command, TERM="dumb")
    assert code == 0
    assert b"\x1b" not in seen
    assert b"0/1, " not in seen
    code, seen = on_a_terminal(*command, TERM="xterm", NO_COLOR="1")
    assert not re.search(rb"\x1b\[[0-9;]*3[0-7]m", seen)
    assert b"0/1, " not in run(folder, "-k", "1.yaml").stdout.encode()


def test_quiet_says_only_what_fails_and_verbose_how_it_was_proved(folder):
    quiet = run(folder, "-q")
    assert "passed   " not in quiet.stdout
    assert "Number 2" in quiet.stdout
    assert closing(quiet) == "3 passed, 1 failed, 0 skipped"
    loud = run(folder, "-v", "-k", "1.yaml")
    assert re.search(r"1\.yaml:8:5 ana sees 1 \(came\)", loud.stdout)
    assert re.search(r"seed 0, patience stretched [\d.]+ times", loud.stdout)


def test_a_changed_scenario_is_played_again(folder):
    pytest.importorskip("watchfiles")
    command = [sys.executable, "-m", "harness", "run", folder, "--profile", TROUBLE, "--watch",
               "--evidence", "none", "-k", "yaml"]  # fmt: skip
    with subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        until(process, r"3 passed, 1 failed, 0 skipped")
        while True:  # until it watches: the first change may come too early
            written(folder, SCENARIO.format(number=2, tags="", sees="2"), "2.yaml")
            if select.select([process.stdout], [], [], 0.5)[0]:
                break
        seen = until(process, r"1 passed, 0 failed, 0 skipped")
        process.terminate()
        process.stdout.read()
    assert "2.yaml changed" in seen
    assert process.returncode == 130


def until(process, pattern):
    seen = ""
    for line in process.stdout:
        seen += line
        if re.search(pattern, line):
            return seen
    raise AssertionError(seen)
