"""Several runs in one interpreter: a list of orders on standard input, a list of outcomes back."""

import json
import sys
from pathlib import Path

from harness.language import load_scenario
from harness.run import Options
from harness.runner import run_scenario


def made(order):
    """Status, what, and the requirements that it is about."""
    options = Options(**order["options"])
    scenario = load_scenario(Path(order["path"]), profile=Path(options.profile))
    outcome = run_scenario(scenario, list(scenario.rows())[order["row"]], options)
    return outcome.status, outcome.what, outcome.covers


json.dump([made(order) for order in json.load(sys.stdin)], sys.stdout)
