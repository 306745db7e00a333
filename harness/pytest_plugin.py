"""Scenarios as pytest items: one per run, failing with the harness's own report.

    # conftest.py or a test module
    from harness.pytest_plugin import scenario_runs, play

    @pytest.mark.parametrize("run", scenario_runs(Path("scenarios")))
    def test_scenario(run):
        play(run)

Each run gets a process of its own: forking into pseudo-terminals is only safe with one thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import Struct

from harness.errors import ScenarioError
from harness.language import load_scenario
from harness.pool import Job, run_isolated
from harness.report import report
from harness.run import Options
from harness.selection import scenario_files


class ScenarioRun(Struct):
    """One run of a scenario, or the reason why its file cannot be read."""

    path: Path
    name: str
    job: Job | None = None
    wrong: str = ""


def runs(folder: Path) -> Iterator[ScenarioRun]:
    """Every run of every scenario in a folder, in a stable order; a wrong file is a run too."""
    if not folder.is_dir():
        return
    for path in scenario_files([folder]):
        name = path.relative_to(folder).with_suffix("").as_posix()
        try:
            scenario = load_scenario(path)
        except ScenarioError as error:
            yield ScenarioRun(path, name, wrong=str(error))
            continue
        rows = list(scenario.rows())
        for number, row in enumerate(rows, 1):
            suffix = f"-{number}" if len(rows) > 1 else ""
            yield ScenarioRun(path, f"{name}{suffix}", Job(scenario, row))


def scenario_runs(folder: Path) -> list[object]:
    """The runs of a folder as parameters for a test, named by their paths."""
    return [pytest.param(run, id=run.name) for run in runs(folder)]


def play(run: ScenarioRun, options: Options | None = None) -> None:
    """Make one run; fails or skips the test as the run went."""
    if run.job is None:
        pytest.fail(run.wrong, pytrace=False)
    outcome = run_isolated(run.job, options or Options())
    if outcome.status == "skipped":
        pytest.skip(outcome.what)
    if outcome.status != "passed":
        pytest.fail(report(outcome), pytrace=False)
