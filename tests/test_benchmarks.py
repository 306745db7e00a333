"""What a comparison makes of its samples, and that its load generator misses nothing."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import xml.etree.ElementTree as ET

import psutil
import pytest

from benchmarks import hostile
from benchmarks.compare import Lab, direct, fan_out, workloads
from benchmarks.report import (
    ROWS,
    Result,
    Row,
    Target,
    as_markdown,
    as_svg,
    as_table,
    figure,
    replace_section,
    verdict,
)
from benchmarks.servers import PATIENCE, PROGRAMS, Failure, read_until
from benchmarks.trouble import FLOODING, FROZEN, KINDS, SILENT

RATE = Row("fan-out-100", "per_cpu", "fan-out", "k/CPU s", 1e3)
MEMORY = Row("idle-10000", "kib", "idle", "KiB each", less=True)
needs_cc = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("cc") is None, reason="no Linux, or no C compiler"
)


@pytest.fixture
def result() -> Result:
    one = Result(list(PROGRAMS.values()), rounds=3, load=0.5)
    for ours, theirs in ((900, 2000), (1000, 1000), (5000, 1900)):
        one.add("fan-out-100", "chatd", {"per_cpu": ours, "server": 1, "load": 0.5, "others": 0})
        one.add("fan-out-100", "ngircd", {"per_cpu": theirs})
    one.add("idle-10000", "chatd", {"kib": 3.5})
    one.add("idle-10000", "inspircd", {})
    return one


def test_medians_count_not_means(result):
    assert result.median("fan-out-100", "chatd", "per_cpu") == 1000
    assert result.median("fan-out-100", "relay", "per_cpu") is None
    assert result.median("idle-10000", "inspircd", "kib") is None
    assert result.ratio(RATE, "chatd", "ngircd") == pytest.approx(1000 / 1900)
    assert result.ratio(RATE, "chatd", "relay") is None


@pytest.mark.parametrize(
    ("row", "target", "said"),
    [
        (RATE, Target("chatd", "ngircd", 0.5), ">= 0.5 x ngircd: 0.53 met"),
        (RATE, Target("chatd", "ngircd", 1.2), ">= 1.2 x ngircd: 0.53 MISSED"),
        (RATE, Target("memory", "ngircd", 0.8), "chatd, memory: >= 0.8 x ngircd"),
        (MEMORY, Target("chatd", None, 4), "<= 4 KiB each: 3.50 met"),
        (MEMORY, Target("chatd", None, 3), "<= 3 KiB each: 3.50 MISSED"),
    ],
)
def test_a_target_stands_beside_what_became_of_it(result, row, target, said: str):
    assert verdict(result, row, target) == said


@pytest.mark.parametrize(
    ("value", "shown"), [(None, "-"), (1234.5, "1,234"), (12.34, "12.3"), (0.01234, "0.0123")]
)
def test_figures_have_three_digits_that_count(value, shown: str):
    assert figure(value) == shown


def test_every_row_has_a_workload_and_every_workload_a_row():
    assert {row.workload for row in ROWS} == set(workloads(quick=False))
    assert set(workloads(quick=True)) == set(workloads(quick=False))


def test_table_document_and_picture_hold_every_program(result):
    result.void.append("direct, ngircd: void")
    shown = as_table(result, ROWS)
    assert "Void runs, repeated: direct, ngircd: void." in shown
    ET.fromstring(as_svg(result))
    for text in (shown, as_markdown(result), as_svg(result)):
        assert "ngircd" in text
        assert "fan-out, saturated, 100 receivers" in text


def test_only_five_runs_of_each_may_replace_a_result(result):
    assert not result.enough(["fan-out-100"])
    for _ in range(2):
        result.add("fan-out-100", "chatd", {"per_cpu": 1})
    assert result.enough(["fan-out-100"])
    assert not result.enough(["fan-out-100", "idle-10000"])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("# R\n\n## A\n\nx\n\n## B\n\ny\n", "# R\n\n## A\n\nnew\n\n## B\n\ny\n"),
        ("# R\n\n## A\n\nx\n", "# R\n\n## A\n\nnew\n"),
        ("# R\n\n## B\n\ny\n", "# R\n\n## B\n\ny\n\n## A\n\nnew\n"),
    ],
)
def test_a_section_is_renewed_and_the_others_stay(before: str, after: str):
    assert replace_section(before, "A", "new\n") == after
    assert replace_section(after, "A", "new\n") == after


def test_reading_up_to_an_answer_ends_with_its_line():
    here, there = socket.socketpair()
    with here, there:
        there.sendall(b'x\n{"code":"welcome"}\n')
        read_until(here, b"welcome")
        there.close()
        with pytest.raises(Failure, match="the end came before b'pong'"):
            read_until(here, b"pong")


@needs_cc
@pytest.mark.parametrize("measure", [fan_out(5, 16), fan_out(3, 1), direct(4, 8)])
@pytest.mark.parametrize("program", ["relay", "chatd", "memory"])
def test_every_delivery_is_counted(tmp_path, measure, program: str):
    sample = measure(Lab(tmp_path, 0.1), PROGRAMS[program])
    assert sample["per_cpu"] > 0
    assert sample["load"] > 0


@needs_cc
@pytest.mark.parametrize("workload", ["log-ins", "latency", "idle-1000-extended", "resume"])
def test_each_kind_of_workload_runs(tmp_path, workload: str):
    assert workloads(quick=True)[workload](Lab(tmp_path, 0.1), PROGRAMS["chatd"])
    assert not list(tmp_path.glob("chatd-*"))


@needs_cc
def test_the_healthy_are_measured_beside_all_the_others(tmp_path):
    """Which is void unless the frozen have everything, and the server has no error to tell of."""
    sample = hostile.measure(12, [*KINDS], Lab(tmp_path, 0.2), hostile.PROGRAM)
    assert sample["p99"] > 0
    assert sample["flooded"] > 0
    assert sample["accepted"] >= sum((FROZEN, SILENT, FLOODING))


def test_what_was_measured_beside_others_stands_beside_what_is_promised():
    result = Result([hostile.PROGRAM], rounds=1, load=0.5)
    result.add("alone", "chatd", {"p50": 1.0, "p99": 2.0, "grown": 0.1})
    result.add("beside", "chatd", {"p50": 1.0, "p99": 2.6, "grown": 8.0, "after": 40.0})
    rows = {row[0]: row for row in hostile.table(result)}
    assert rows["delay, p99"][2:] == ["2", "2.6", "1.3", "<= 1.2 x alone: MISSED"]
    assert rows["delay, p50"][2:] == ["1", "1", "1", ""]
    assert [row[-1] for row in rows.values() if row[1] == "MiB more"] == [
        "<= 32: met", "<= 32: MISSED",
    ]  # fmt: skip
    assert "delay, p99" in hostile.as_markdown(result, 12)


def compare(tmp_path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.compare", "--programs", "relay", *words],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@needs_cc
def test_a_trial_prints_a_table_and_leaves_the_results_alone(tmp_path):
    results = tmp_path / "RESULTS.md"
    words = ["--quick", "--workloads", "start", "--results", str(results)]
    with compare(tmp_path, *words) as process:
        out, errors = process.communicate()
    assert process.returncode == 0
    assert "cold start" in out
    assert "left as it is" in errors
    assert list(tmp_path.iterdir()) == []


@needs_cc
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_nothing_is_left_of_a_run_that_is_interrupted(tmp_path, number: int):
    with compare(tmp_path, "--workloads", "fan-out-10", "--seconds", "60") as process:
        assert "round 1" in process.stderr.readline()
        started = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(number)
        process.communicate()
    assert process.returncode == 128 + number
    _, left = psutil.wait_procs(started, timeout=PATIENCE)
    assert left == []
    assert list(tmp_path.iterdir()) == []
