"""Puts runs on record: `recorded.py PROFILE OUT SCENARIO...` pickles what a rehearsal needs.

A process of its own, because a run forks.
"""

import pickle
import sys
from pathlib import Path

from harness.language import load_scenario
from harness.rehearsal import RecordedRun
from harness.run import Options
from harness.runner import run_scenario


def main():
    profile, out, *paths = map(Path, sys.argv[1:])
    found = []
    for path in paths:
        scenario = load_scenario(path, profile=None if profile == Path("-") else profile)
        for row in scenario.rows():
            runs = []

            def make(*given, runs=runs):
                runs.append(RecordedRun(*given))
                return runs[-1]

            outcome = run_scenario(scenario, row, Options(), make=make)
            if outcome.status != "passed":
                sys.exit(f"{path}: {outcome.status}: {outcome.what}")
            found.append((scenario, row, runs[0].options, runs[0].record, runs[0].judged))
    out.write_bytes(pickle.dumps(found))


if __name__ == "__main__":
    main()
