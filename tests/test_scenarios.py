"""Every scenario in `scenarios/` is a test, run against the real programs."""

from pathlib import Path

import pytest

from harness.pytest_plugin import ScenarioRun, play, scenario_runs

SCENARIOS = Path(__file__).parent.parent / "scenarios"


@pytest.mark.parametrize("run", scenario_runs(SCENARIOS))
def test_scenario(run: ScenarioRun):
    play(run)
