"""Faults of one scenario never reach another, however many are played at the same time."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from programs.kit import PROFILE, closing, harness, written

ROOT = Path(__file__).parent.parent.parent
SCENARIOS = int(os.environ.get("FAULT_SCENARIOS", "96"))
FAULTS = {  # what is done to ana, and what ben and cid are told of it
    "killed": ("ana is killed: KILL", "lost"),
    "cut": ("ana link is: cut", "lost"),
    "reset": ("ana link is: reset", "lost"),
    "left": ("ana types: /quit", "quit"),
    "frozen": ("ana is frozen:", ""),
    "black hole": ("ana link is: frozen", ""),
    "slow": ("ana link is: {latency: 50ms, jitter: 20ms}", ""),
    "sliced": ("ana link is: {slice: 1}", ""),
    "full disk": ("server disk is: full", ""),
    "nothing": ("mark: nothing", ""),
}


def played(number, fault):
    """A scenario with a fault, whose others are told of this one and of no other."""
    act, told = FAULTS[fault]
    follows = f"others see: {{{told}: {{who: ana}}}}" if told else ""
    others = ", ".join(word for word in ("lost", "quit") if word != told)
    return f"""
        scenario: {fault}, number {number}
        cast: {{ana: shell, ben: wire, cid: wire}}
        patience: 60s
        steps:
          - ben sends: {{code: outgoing_broadcast, content: before {number}, id: b1}}
            ana sees: 'ben: before {number}'
            cid sees: {{content: before {number}}}
          - {act}
            {follows}
          - ben, cid never see: [{others}]
            ben sends: {{code: outgoing_broadcast, content: after {number}, id: b2}}
            cid sees only: {{content: after {number}}}
          - server survives:
    """


@pytest.mark.parametrize("jobs", [8, 16])
def test_faults_never_cross_scenarios(tmp_path, jobs):
    dice = random.Random(jobs)
    faults = [dice.choice(sorted(FAULTS)) for _ in range(SCENARIOS)]
    for number, fault in enumerate(faults):
        written(tmp_path, played(number, fault), f"s{number:03}.yaml")
    done = harness(
        "run", tmp_path, "--profile", PROFILE, "-j", jobs, "--patience", 6,
        "--json", tmp_path / "report.json",
    )  # fmt: skip
    told = [line for line in done.stdout.splitlines() if not line.startswith("passed")]
    assert closing(done) == f"{SCENARIOS} passed, 0 failed, 0 skipped", "\n".join(told)[-20_000:]


def test_a_program_that_looks_the_same_but_is_not_ours_survives_every_kill(tmp_path):
    """The same command line, started by somebody else: it is neither killed nor halted."""
    bystander = subprocess.Popen(
        [sys.executable, PROFILE.parent / "daemon.py", "0"],
        stdout=subprocess.PIPE, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        bystander.stdout.readline()
        for signal in ("KILL", "TERM", "STOP"):
            text = f"""
                scenario: The server gets {signal}
                cast: {{ana: wire}}
                steps:
                  - server is {"frozen:" if signal == "STOP" else f"killed: {signal}"}
            """
            written(tmp_path, text, f"{signal}.yaml")
        done = harness("run", tmp_path, "--profile", PROFILE, "-j", 3)
        assert closing(done) == "3 passed, 0 failed, 0 skipped", done.stdout
        assert bystander.poll() is None
        assert psutil.Process(bystander.pid).status() != psutil.STATUS_STOPPED
    finally:
        bystander.kill()
        bystander.wait()
        bystander.stdout.close()


def test_nothing_is_ever_killed_by_its_name():
    for path in (ROOT / "harness").rglob("*.py"):
        source = path.read_text()
        assert "pkill" not in source, path
        assert "killall" not in source, path


@pytest.mark.parametrize("network", ["{latency: 20ms, jitter: 20ms}", "{slice: 3}"])
def test_a_thousand_messages_pass_a_slow_link_in_order(tmp_path, network):
    text = f"""
        scenario: Many messages on a slow way
        cast: {{ana: wire, ben: wire}}
        patience: 120s
        steps:
          - ben link is: {network}
          - repeat: 1000
            steps:
              - ana sends: {{code: outgoing, to: ben, content: 'n${{round}}', id: 'a${{round}}'}}
                fence: none
          - ben sees next: {json.dumps([{"content": f"n{n}"} for n in range(1, 1001)])}
    """
    done = harness("run", written(tmp_path, text), "--profile", PROFILE)
    assert closing(done) == "1 passed, 0 failed, 0 skipped", done.stdout[-3000:]
