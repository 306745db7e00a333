"""Proofs at their full size: planted leaks on every path, forty broken servers, patience.

Every row is a real server with a real fault. Most of the time is the servers' own delays, so many
runs go on side by side.
"""

import multiprocessing
import statistics
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path

import pytest
from programs.kit import written
from programs.parties import PRIVATE, PROMISES, WAITED_FOR, profile
from programs.party import FAULTS

from harness.language import load_scenario
from harness.run import Options
from harness.runner import run_scenario

PATHS, DELAYS = ("thread", "queue", "timer"), (0.0, 0.2, 2.0)
ROUNDS, FEW, PART = 100, 20, 10  # rounds of a sound proof, of the others, and of one job
SIDE_BY_SIDE = 12
COLUMNS = (
    "unproved",
    "window 50ms",
    "window 500ms",
    "window +500ms",
    "roundtrip",
    "relay",
    "quiet",
)


def is_sound(path, delay, column):
    """Whether the theory says that this proof finds a leak on this path."""
    if column.startswith("window"):
        return column == "window +500ms" or (column == "window 500ms" and delay < 0.5)
    if column == "quiet":
        return delay == 0 and path != "timer"
    return column in {"thread": ("roundtrip", "relay"), "queue": ("relay",), "timer": ()}[path]


def play(folder, text, kind, flags, factor=1.0, **told):
    """One run in this process: the outcome."""
    path = profile(folder, kind, *flags, **told)
    scenario = load_scenario(written(folder, text), profile=path)
    return run_scenario(scenario, {}, Options(patience=factor))


def some_rounds(folder, path, delay, column, rounds):
    """How many of these rounds found the leak, and how long each took (seconds)."""
    folder.mkdir()
    kind, _, window = column.partition(" ")
    if window.startswith("+"):
        window = f"{delay + 0.5}s"
    flags = (f"--path {path} --delay {delay} --leak",)
    outcomes = [play(folder, PRIVATE, kind, flags, window=window) for _ in range(rounds)]
    bad = [o.what for o in outcomes if o.status not in ("passed", "failed")]
    assert not bad, bad
    found = [o for o in outcomes if o.status == "failed" and "cid never sees" in o.what]
    if is_sound(path, delay, column):  # a proof that does not fit may raise false alarms, too
        wrong = [o.what for o in outcomes if o.status == "failed" and o not in found]
        assert not wrong, wrong
    return len(found), [o.seconds for o in outcomes]


def pool():
    """Processes of their own: a run forks, and may do so in a process with one thread only."""
    return ProcessPoolExecutor(SIDE_BY_SIDE, mp_context=multiprocessing.get_context("spawn"))


def test_a_leak_is_found_by_every_proof_that_fits_its_path(tmp_path):
    cells = {}
    with pool() as executor:
        for number, cell in enumerate(product(PATHS, DELAYS, COLUMNS)):
            rounds = ROUNDS if is_sound(*cell) else FEW
            cells[cell] = (
                rounds,
                [
                    executor.submit(some_rounds, tmp_path / f"{number}-{part}", *cell, PART)
                    for part in range(rounds // PART)
                ],
            )
        table = {}
        for cell, (rounds, parts) in cells.items():
            results = [part.result() for part in parts]
            took = statistics.median(second for _, seconds in results for second in seconds)
            table[cell] = sum(found for found, _ in results), rounds, took
    print("\nfound / rounds, median of a whole run; * sound by theory")
    print(f"{'the copy is made':24}", *(f"{column:>19}" for column in COLUMNS))
    for path, delay in product(PATHS, DELAYS):
        row = []
        for column in COLUMNS:
            found, rounds, took = table[path, delay, column]
            star = "*" if is_sound(path, delay, column) else " "
            row.append(f"{found:>5}/{rounds}{star} {took:6.2f} s".rjust(19))
        print(f"by {path}, {delay:g} s late".ljust(24), *row)
    missed = {
        cell: f"{found} of {rounds}"
        for cell, (found, rounds, _) in table.items()
        if is_sound(*cell) and found < rounds
    }
    assert missed == {}


def judged(folder, fault, patience, factor):
    """Status, broken line, and seconds of a run against a server with this fault."""
    folder.mkdir()
    flags = (f"--fault {fault}",) if fault else ()
    outcome = play(folder, PROMISES, "roundtrip", flags, factor, patience=patience)
    return outcome.status, outcome.place and outcome.place.line, outcome.seconds


def test_a_broken_server_fails_at_once_however_patient_one_is(tmp_path):
    assert len(FAULTS) >= 30
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as executor:
        right = [
            executor.submit(judged, tmp_path / f"right-{number}", None, "30s", 1.0)
            for number in range(10)
        ]
        results = [future.result() for future in right]
        assert {status for status, _, _ in results} == {"passed"}
        start_up = statistics.median(seconds for _, _, seconds in results)
        broken = {
            fault: executor.submit(judged, tmp_path / fault, fault, "30s", 1.0)
            for fault in FAULTS
            if fault not in WAITED_FOR
        }
        found = {fault: future.result() for fault, future in broken.items()}
    with pool() as executor:
        waited = {
            fault: executor.submit(judged, tmp_path / fault, fault, "30s", 1.0)
            for fault in WAITED_FOR
        }
        found |= {fault: future.result() for fault, future in waited.items()}
    beyond = {fault: seconds - start_up for fault, (_, _, seconds) in found.items()}
    for fault, seconds in sorted(beyond.items(), key=lambda pair: pair[1]):
        print(f"{fault:16} {seconds * 1000:8.0f} ms  line {found[fault][1]}")
    median = statistics.median(beyond.values())
    print(f"median {median * 1000:.0f} ms beyond a right server's {start_up * 1000:.0f} ms")
    assert {fault: status for fault, (status, _, _) in found.items() if status != "failed"} == {}
    assert median < 1.0  # on an idle machine below 0.3


@pytest.mark.parametrize("factor", [0.2, 2.0])
def test_patience_never_changes_a_verdict(tmp_path, factor):
    with pool() as executor:
        runs = {
            (fault, f): executor.submit(judged, tmp_path / f"{fault}-{f}", fault, "5s", f)
            for fault in (None, *FAULTS)
            for f in (1.0, factor)
        }
        verdicts = {key: future.result()[:2] for key, future in runs.items()}
    changed = {
        fault: (verdicts[fault, 1.0], verdicts[fault, factor])
        for fault in (None, *FAULTS)
        if verdicts[fault, 1.0] != verdicts[fault, factor]
    }
    assert changed == {}
    assert verdicts[None, factor][0] == "passed"


def test_the_folder_of_scenarios_never_sleeps():
    scenarios = Path(__file__).parents[2] / "scenarios"
    words = ("sleep", "pause")
    assert not [
        path
        for path in scenarios.rglob("*.yaml")
        if any(word in path.read_text() for word in words)
    ]
