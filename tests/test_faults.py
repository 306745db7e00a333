"""The proof by faults at a small size, and that it would find what it looks for."""

import subprocess
import sys
from pathlib import Path

import pytest
from faults.plan import CUTS, Plan
from support import PATIENCE, SELECTOR

FAULTS = Path(__file__).parent / "faults"
SMALL = ("--clients", "8", "--messages", "1000", "--kills", "2", "--cuts", "50")
AMID = ("--reloads", "1", "--upgrades", "2", "--powercuts", "1")
NOTHING_WRONG = "lost 0, doubled 0, out of order 0"


def faults(*arguments, **more) -> subprocess.CompletedProcess:
    selector = ["--selector", SELECTOR] if SELECTOR else []
    command = [sys.executable, str(FAULTS), *SMALL, *AMID, *selector, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=3 * PATIENCE, **more)


def test_nothing_acknowledged_is_lost_doubled_or_out_of_order_whatever_breaks():
    done = faults("--patience", str(2 * PATIENCE))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("seed 1: kills 2, reloads 1, upgrades 2, powercuts 1, cuts ")
    assert "sent 1000, acknowledged 1000, received " in done.stdout
    assert done.stdout.endswith(NOTHING_WRONG + "\n")


def test_the_same_seed_makes_the_same_plan_and_another_one_another():
    sizes = (5, 200, {"kill": 3, "upgrade": 2}, 40)
    one, same, other = Plan(7, *sizes), Plan(7, *sizes), Plan(8, *sizes)
    assert (one.messages, one.groups, one.faults) == (same.messages, same.groups, same.faults)
    assert one.faults != other.faults
    assert sum(len(messages) for messages in one.messages.values()) == 200
    following = Plan(8, *sizes, before=one)
    assert following.groups == one.groups
    for name, said in following.messages.items():
        assert [said[0].number - 1] == [one.messages[name][-1].number]
    assert {fault.kind for fault in one.faults} == {"kill", "upgrade", *CUTS}


@pytest.mark.parametrize(
    ("module", "line", "broken", "wrong"),
    [
        ("core/flow.py", "if after >= hub.seq:", "if True:", "never got"),
        ("core/login.py", "(said.after.seq, False)", "(own, False)", "times"),
    ],
)
def test_a_daemon_with_a_planted_fault_is_found_out(tmp_path, module, line, broken, wrong):
    """The daemon is started from a copy, which the proof finds first as it runs there."""
    source = FAULTS.parents[1] / "chatd"
    for file in source.rglob("*.py"):
        copy = tmp_path / "chatd" / file.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        text = file.read_text("utf-8")
        if file == source / module:
            assert line in text
            text = text.replace(line, broken)
        copy.write_text(text, "utf-8")
    done = faults("--patience", str(2 * PATIENCE), cwd=tmp_path)
    assert done.returncode == 1
    assert wrong in done.stderr
    assert NOTHING_WRONG not in done.stdout
