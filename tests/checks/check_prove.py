"""`harness prove` at its full size: forbidden lines at the last moment, and our own scenarios."""

import json
import os
import pickle
import random
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from programs.kit import DAEMON, HERE, PROFILE, written

from harness.expect import Never
from harness.lies import Story
from harness.rehearsal import Entry, Rehearsal, copy_of, rehearse

ROOT = Path(__file__).parent.parent.parent
TIMES = 1000
DRESSES = "[shell, drawn, wire, acked, counted]"
WATCHED = f"""
    scenario: Others are never told
    matrix: {{dress: {DRESSES}}}
    cast: {{ana: '${{dress}}', ben: '${{dress}}', eve: '${{dress}}'}}
    steps:
      - ana does: {{dm: {{to: ben, text: a secret}}}}
        ben sees: {{dm: {{from: ana, text: a secret}}}}
        eve never sees: secret
      - ben does: {{dm: {{to: ana, text: the answer}}}}
        ana sees: {{dm: {{from: ben, text: the answer}}}}
        eve never sees: [answer, '...secret...']
"""


def test_a_forbidden_line_before_the_last_answer_is_caught_1000_of_1000_from_the_record(tmp_path):
    out = tmp_path / "records"
    command = [sys.executable, HERE / "recorded.py", PROFILE, out, written(tmp_path, WATCHED)]
    subprocess.run(command, check=True, timeout=300)
    records = pickle.loads(out.read_bytes())
    draw, caught = random.Random(1), 0
    for number in range(TIMES):
        scenario, row, options, record, _ = records[number % len(records)]
        honest = Rehearsal(scenario, row, options, record)
        assert rehearse(honest) is None
        watches = [one for one in honest.judged if isinstance(one.expectation, Never)]
        watch = draw.choice(watches)
        words = ["secret", "answer"][: 1 + watches.index(watch)]  # forbidden by then
        text = f"{draw.choice(['', 'x ', 'ana: '])}{draw.choice(words)}"
        story, actor = Story(record, honest), watch.expectation.actor.name
        frame = None
        if honest.actors[actor].kind == "wire":
            frame = {"code": "incoming", "content": text}
            text = json.dumps(frame)
        leak = Entry("item", 0.0, actor, text=text, data=frame, flag=frame is not None)
        noise = [copy_of(leak, text="nothing", data=None) for _ in range(draw.randrange(4))]
        entries = story.before(story.end_of(watch.turn, actor), *noise, leak)
        broken = rehearse(Rehearsal(scenario, row, options, record, entries))
        caught += broken is not None and broken.place in [one.place for one in watches]
    print(f"caught {caught} of {TIMES}")
    assert caught == TIMES


@pytest.mark.timeout(1500)
def test_a_server_that_leaks_before_its_last_answer_is_caught_1000_of_1000(tmp_path):
    text = f"""
        scenario: Others are never told
        matrix: {{round: {list(range(TIMES))}}}
        cast: {{ana: guest, ben: guest, eve: guest}}
        steps:
          - ana does: {{dm: {{to: '${{ben.name}}', text: 'secret ${{round}}'}}}}
            ben sees: {{dm: {{from: '${{ana.name}}', text: 'secret ${{round}}'}}}}
            eve never sees: secret
    """
    server = subprocess.Popen(
        [sys.executable, *DAEMON.split()[1:], "0", "--fault", "last-leak"],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        port = re.search(r"port (\d+)", server.stdout.readline())[1]
        reader = threading.Thread(target=server.stdout.read)  # else it stops when the pipe is full
        reader.start()
        command = [sys.executable, "-m", "harness", "run", written(tmp_path, text), "--profile",
                   PROFILE, "--at", f"127.0.0.1:{port}", "--evidence", "none"]  # fmt: skip
        with (tmp_path / "said").open("w") as said:
            done = subprocess.run(command, stdout=said, check=False, timeout=1200)
    finally:
        server.terminate()
        server.wait()
        reader.join()
        server.stdout.close()
    said = (tmp_path / "said").read_text()
    caught = len(
        re.findall(r"^\S+:\d+:\d+: eve never sees: secret — but it came", said, re.MULTILINE)
    )
    print(f"caught {caught} of {TIMES}; {said.splitlines()[-1]}")
    assert done.returncode == 1
    assert caught == TIMES


@pytest.mark.timeout(3000)
def test_our_own_scenarios_notice_95_percent_of_the_lies(tmp_path):
    out = tmp_path / "out.json"
    jobs = os.environ.get("JOBS", "2")
    command = [
        sys.executable,
        "-m",
        "harness",
        "prove",
        ROOT / "scenarios",
        "-j",
        jobs,
        "--json",
        out,
    ]
    done = subprocess.run(command, check=False, timeout=3000, capture_output=True, text=True)
    print(*done.stdout.splitlines()[-8:], sep="\n")
    found = json.loads(out.read_text())
    assert done.returncode == 0
    assert found["lies"]["percent"] >= 95
    assert [one for one in found["findings"] if one["verdict"] == "empty"] == []
