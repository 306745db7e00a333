"""What proves a cluster: three daemons as one server, its scenarios, and its faults in small."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from cluster.selection import LEFT_OUT, SCENARIOS, TELLING, applicable
from peers.nats import PROGRAM
from support import PATIENCE

CLUSTER = Path(__file__).parent / "cluster"


@pytest.fixture
def three(start, nats, tmp_path):
    """Three daemons behind one port."""
    streams = tmp_path / "streams"
    streams.mkdir()
    return start(program=(CLUSTER / "three.py", nats.url, "0,0,0", streams))


def test_connections_go_to_three_daemons_in_turn_which_are_one_chat(three):
    wires = [three.join(f"user{n}") for n in range(3)]
    for wire in wires:
        wire.settle()
        assert wire.ask("who", id="w")["users"] == ["user0", "user1", "user2"]
    logs = [(three.data / f"node{n}" / "server.log").read_text("utf-8") for n in range(3)]
    here = [set(re.findall(r"event=connect name=(user\d)", log)) for log in logs]
    assert sorted(map(len, here)) == [1, 1, 1]
    assert set.union(*here) == {"user0", "user1", "user2"}
    wires[0].tell("user1", "hi")
    assert wires[1].await_("incoming")["content"] == "hi"


def test_a_signal_ends_all_of_them(three):
    wires = [three.join(f"user{n}") for n in range(3)]
    assert three.stop() == 0
    assert [wire.until("bye")[-1]["reason"] for wire in wires] == ["shutdown"] * 3


def test_what_is_played_and_what_is_left_out_exist():
    everything = [str(path.relative_to(SCENARIOS)) for path in SCENARIOS.rglob("*.yaml")]
    for prefix in LEFT_OUT:
        assert any(path.startswith(prefix) for path in everything)
    assert set(TELLING) <= set(applicable()) < set(everything)


def test_nothing_acknowledged_is_lost_when_a_daemon_is_killed():
    if PROGRAM is None:
        pytest.skip("nats-server is not installed: make .venv/dev.stamp")
    small = ("--rounds", "1", "--messages", "60", "--clients", "3", "--outage", "1")
    done = subprocess.run(
        [sys.executable, CLUSTER / "faults.py", *small],
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "blows: kill 1; " in done.stdout
    assert ", acknowledged 60, received " in done.stdout
    assert "lost 0, doubled 0, out of order 0" in done.stdout
