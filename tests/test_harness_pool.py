"""Runs in processes of their own: the same verdicts, and nothing left of what is killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from programs.kit import closing, harness, written

from harness import calibration, guardian
from harness.ports import is_free

TROUBLE = Path(__file__).parent / "programs" / "trouble.yaml"
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="Linux adopts orphans")

GOOD = """
    scenario: It answers {number}
    cast: {{ana: line}}
    steps:
      - ana sends: echo {number}
        ana sees: '{number}'
"""
ASKED = """
    scenario: Trouble
    cast: {{ana: line}}
    server: {{args: {args}}}
    steps:
      - ana sends: echo hello
        ana sees: hello
"""
WAITS = """
    scenario: Waits
    cast: {{ana: line}}
    server: {{args: {args}}}
    patience: 90s
    steps:
      - ana sees: what never comes
        fence: none
"""


def run(*arguments, **env):
    return harness("run", "--profile", TROUBLE, "--evidence", "none", *arguments, env=env)


def is_gone(pid):
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_verdicts_do_not_depend_on_how_many_runs_there_are_at_a_time(tmp_path):
    for number in range(6):
        text = GOOD.format(number=number)
        written(tmp_path, text.replace("sees: '3'", "sees: '4'"), f"{number}.yaml")
    alone, together = run(tmp_path), run(tmp_path, "-j", 4)
    assert closing(alone) == closing(together) == "5 passed, 1 failed, 0 skipped", alone.stdout
    assert [line.split(" (")[0] for line in alone.stdout.splitlines() if ".yaml (" in line] == [
        line.split(" (")[0] for line in together.stdout.splitlines() if ".yaml (" in line
    ]


def test_a_run_that_is_killed_is_explained_and_the_others_go_on(tmp_path):
    written(tmp_path, GOOD.format(number=1), "1.yaml")
    written(tmp_path, ASKED.format(args="[--kill-parent]"), "2.yaml")
    written(tmp_path, GOOD.format(number=3), "3.yaml")
    done = run(tmp_path, "-j", 2)
    assert (done.returncode, closing(done)) == (4, "2 passed, 1 failed, 0 skipped"), done.stdout
    assert "the process of this run was killed by SIGKILL; the other runs went on" in done.stdout


@LINUX
def test_programs_inherit_no_descriptors(tmp_path):
    text = ASKED.format(args="[]") + "        server prints: open 0 1 2\n"
    held = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(held, True)
    try:
        done = run(written(tmp_path, text))
    finally:
        os.close(held)
    assert done.returncode == 0, done.stdout


@LINUX
def test_what_slips_away_without_a_trace_is_a_failure_of_its_run(tmp_path):
    note = tmp_path / "note"
    done = run(written(tmp_path, ASKED.format(args=f"[--escape, '{note}']")))
    assert done.returncode == 1
    assert "programs were left over" in done.stdout
    pid, port = map(int, note.read_text().split())
    assert is_gone(pid)
    assert is_free(port)


def waiting(tmp_path, note):
    """A harness in the middle of a run whose server has left a daemon behind."""
    path = written(tmp_path, WAITS.format(args=f"[--escape, '{note}']"))
    command = [sys.executable, "-m", "harness", "run", path, "--profile", TROUBLE, "--show"]
    env = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)
    for line in process.stdout:
        if "connects" in line:
            break
    return process


def keeper_of(process):
    (keeper,) = psutil.Process(process.pid).children()
    return keeper


@LINUX
def test_nothing_is_left_when_the_harness_is_killed(tmp_path):
    note = tmp_path / "note"
    with waiting(tmp_path, note) as process:
        keeper = keeper_of(process)
        below = keeper.children(recursive=True)
        process.kill()
        process.stdout.read()
    keeper.wait(60)
    pid, port = map(int, note.read_text().split())
    assert [one for one in below if not is_gone(one.pid)] == []
    assert is_gone(pid)
    assert is_free(port)
    assert list(tmp_path.glob("harness-run-*")) == []


@LINUX
def test_a_killed_keeper_takes_its_runs_along_and_is_explained(tmp_path):
    with waiting(tmp_path, tmp_path / "note") as process:
        keeper = keeper_of(process)
        below = keeper.children(recursive=True)
        escaped = int((tmp_path / "note").read_text().split()[0])
        keeper.kill()
        said = process.stdout.read()
    _, alive = psutil.wait_procs([one for one in below if one.pid != escaped], 60)
    assert alive == []
    assert process.returncode == 4
    assert "the process of this run died with its keeper" in said
    assert list(tmp_path.glob("harness-run-*")) == []
    psutil.Process(escaped).kill()


def test_the_next_run_cleans_up_after_one_that_nobody_could_clean_up_after(tmp_path):
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    folder = tmp_path / f"{guardian.FOLDER}{ended.pid}-abc"
    (folder / "home" / "deep").mkdir(parents=True)
    (folder / "home" / "deep" / "file").write_text("left")
    (folder / "home" / "deep").chmod(0o500)
    env = {**os.environ, guardian.MARK: folder.name}
    with subprocess.Popen(["sleep", "1000"], env=env) as left:
        done = run(written(tmp_path, GOOD.format(number=1)), TMPDIR=str(tmp_path))
    assert done.returncode == 0, done.stdout
    assert left.returncode == -signal.SIGKILL
    assert not folder.exists()


def test_patience_is_stretched_by_the_machine_and_never_shortened():
    assert calibration.stretch(0.0) == 1.0
    assert calibration.stretch(calibration.REFERENCE * 3) == 3.0
    assert calibration.stretch(1000.0) == calibration.LIMIT
    assert calibration.measure() > 0.0
    assert calibration.factor() == calibration.factor()
