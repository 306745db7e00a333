"""What the harness tells: where a failure is placed, what stands beside it, what was cut off."""

import json
import os
import re
import signal
import subprocess
import sys

import pytest
from programs.kit import closing, harness, written

from harness.journal import Event
from harness.report import report
from harness.runner import Outcome, _explain


def test_a_traceback_is_told_line_by_line():
    outcome = Outcome("A title", "a.yaml", {})
    try:
        raise ValueError("one" + chr(10) + "two")
    except ValueError as error:
        _explain(error, outcome)
    told = report(outcome)
    assert "\\n" not in told
    assert "    ValueError: one" in told.splitlines()
    assert not any("\n" in line for line in outcome.details)


AUCTION = """
    import socketserver, sys

    class Seller(socketserver.StreamRequestHandler):
        def handle(self):
            for line in self.rfile:
                if line.startswith(b"FLOOD"):
                    with contextlib.suppress(OSError):
                        while True:
                            self.wfile.write(b"BID 10\\n" * 5000)
                elif line.startswith(b"HANG"):
                    threading.Event().wait()
                else:
                    self.wfile.write(line)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    import contextlib, threading
    with Server(("127.0.0.1", 0), Seller) as server:
        print("port", server.server_address[1], flush=True)
        server.serve_forever()
"""
AUCTION_PROFILE = """
    profile: auction
    server: {run: "python3 ${here}/auction.py", ready: {prints: 'port ${port=int}'}}
    roles:
      wire: {tcp: '127.0.0.1:${server.port}', frames: lines}
    delivery: inline
    fence: {roundtrip: {wire: {sends: 'ask ${token}', sees: 'ask ${token}'}}}
"""


def auction(folder, step):
    """A run of one step in an auction that can flood and hang, and the step's line."""
    written(folder, AUCTION, "auction.py")
    profile = written(folder, AUCTION_PROFILE, "auction.yaml")
    text = f"scenario: An auction\ncast: {{ana: wire, ben: wire}}\nsteps:\n  - {step}\n"
    return harness("run", written(folder, text), "--profile", profile)


def test_a_flood_is_told_at_its_step_with_its_size(tmp_path):
    done = auction(tmp_path, "{ana sends: FLOOD, ana never sees: SOLD, patience: 2s}")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "scenario.yaml:4:5: nobody can tell whether more was coming" in done.stdout
    assert "the profile asks for it at" in done.stdout
    told = re.search(r"ana was told ([\d,]+) lines in [\d.]+ s, and no answer to", done.stdout)
    assert told, done.stdout
    assert int(told[1].replace(",", "")) >= 10_000


def test_a_hang_is_told_beside_what_did_not_come(tmp_path):
    step = "{ana sends: HANG, ana sees: SOLD, patience: 1s}"
    done = auction(tmp_path, step)
    late = r"ana sees: SOLD — did not come within [\d.]+ s$"  # 1 s, stretched on a slow machine
    assert re.search(late, done.stdout, re.MULTILINE), done.stdout + done.stderr
    silent = "the server has not answered the harness's own question since then (profile: fence)"
    assert silent in done.stdout
    missed = auction(tmp_path, step.replace("HANG", "BID"))
    assert missed.returncode == 1
    assert silent not in missed.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_reports_tell_which_run_was_cut_off(tmp_path, number):
    auction(tmp_path, "{ana sends: BID, ana sees: BID}")
    first, last = tmp_path / "first.yaml", tmp_path / "second.yaml"
    (tmp_path / "scenario.yaml").rename(first)
    last.write_text(first.read_text().replace("{ana sends: BID, ana sees: BID}", HANGS))
    command = [sys.executable, "-m", "harness", "run", first, last, "--show", "-j", "1"]
    command += ["--profile", tmp_path / "auction.yaml", "--json", tmp_path / "report.json"]
    env = {**os.environ, "PYTHONUNBUFFERED": "1"}
    command += ["--evidence", tmp_path / "evidence"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as process:
        for line in process.stdout:
            if "HANG" in line:
                break
        process.send_signal(number)
        process.stdout.read()
    assert process.returncode == 130
    runs = json.loads((tmp_path / "report.json").read_text())["runs"]
    told = [(one["status"], one["what"]) for one in runs]
    assert told == [("passed", ""), ("environment", "interrupted")]
    assert not list(tmp_path.glob("evidence/*"))


HANGS = "{ana sends: HANG, ana sees: SOLD, patience: 60s}"


def test_the_exit_code_of_an_interrupt_is_told():
    assert "130 it was interrupted" in " ".join(harness("--help").stdout.split())


def test_one_line_is_one_line():
    outcome = Outcome("A title", "a.yaml", {}, status="failed", cast={"ana": "wire"})
    outcome.events = [Event(n, 0.0, "ana", "sees", "x") for n in range(15)]
    assert "... 1 line before" in report(outcome)


@pytest.mark.parametrize("word", ["sleep", "wait", "timeout"])
@pytest.mark.parametrize("step", ["- {word}: 1s", "- {{ana sends: BID, {word}: 1s}}"])
def test_who_looks_for_a_sleep_is_told_what_there_is_instead(tmp_path, word, step):
    profile = written(tmp_path, AUCTION_PROFILE, "auction.yaml")
    text = "scenario: A\ncast: {ana: wire}\nsteps:\n  " + step.format(word=word) + "\n"
    done = harness("check", written(tmp_path, text), "--profile", profile)
    assert done.returncode == 2
    assert f"unknown word {word!r}" in done.stdout
    assert "there are no sleeps" in done.stdout
    assert "`within: 2s`" in done.stdout
    assert "fence" in done.stdout


def test_check_and_fmt_count_problems_and_files(tmp_path):
    wrong = "scenario: A\ncast: {ana: wire}\nsteps:\n  - ana seees: x\n"
    written(tmp_path, wrong + "  - ana seees: y\n", "a.yaml")
    profile = written(tmp_path, AUCTION_PROFILE, "auction.yaml")
    done = harness("check", tmp_path / "a.yaml", "--profile", profile)
    assert (done.returncode, closing(done)) == (2, "2 problems in 1 file")
    bad = written(tmp_path, "a: [\n", "b.yaml")
    assert closing(harness("fmt", bad)) == "1 problem in 1 file"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--tag", "shel"), "no scenario has the tag 'shel', did you mean 'shell'"),
        (("--covers", "S1-3"), "no scenario covers 'S1-3', did you mean 'S1-2'"),
        (("-k", "zebra"), "no scenario has 'zebra' in path, title, tags or covers"),
        (("--tag", "shell and slow"), "none of 2 scenarios fits all that was asked"),
        (("--row", "9"), "none of the runs was selected: see --row and --shard"),
    ],
)
def test_who_selects_nothing_is_told_what_was_asked(tmp_path, options, said):
    profile = written(tmp_path, AUCTION_PROFILE, "auction.yaml")
    rest = "cast: {ana: wire}\nsteps:\n  - ana sends: x\n"
    first = written(tmp_path, f"scenario: A\ntags: [shell]\ncovers: [S1-2]\n{rest}", "a.yaml")
    second = written(tmp_path, f"scenario: B\ntags: [slow]\n{rest}", "b.yaml")
    done = harness("run", first, second, "--profile", profile, *options)
    assert (done.returncode, done.stderr.strip()) == (2, said)


def test_an_empty_folder_is_named(tmp_path):
    (tmp_path / "empty").mkdir()
    done = harness("run", tmp_path / "empty")
    assert done.returncode == 2
    assert re.search(r"no scenario in '.*empty'", done.stderr)


def test_a_grade_page_shows_the_line_and_what_is_not_in_the_table(tmp_path):
    auction(tmp_path, "{ana sends: BID, ana sees: SOLD, patience: 1s}")
    path = tmp_path / "scenario.yaml"
    path.write_text(path.read_text() + "covers: [R-9]\n")
    table = written(tmp_path, "| id | text |\n|---|---|\n| R-1 | It sells. |\n", "table.md")
    done = harness(
        "grade", path, "--profile", tmp_path / "auction.yaml", "--requirements", table,
        "-o", tmp_path / "grades",
    )  # fmt: skip
    assert f"warning: covered, but not in {table}: R-9" in done.stderr, done.stdout + done.stderr
    pages = tmp_path / "grades"
    assert (
        "<pre>- {ana sends: BID, ana sees: SOLD, patience: 1s}</pre>"
        in (pages / "auction.html").read_text()
    )
    assert "Not in the table" in (pages / "index.html").read_text()


def checked(folder, step):
    """What `harness check` says about a step in the auction."""
    profile = written(folder, AUCTION_PROFILE, "auction.yaml")
    text = f"scenario: A\ncast: {{ana: wire}}\nsteps:\n  - {step}\n"
    return harness("check", written(folder, text), "--profile", profile).stdout


@pytest.mark.parametrize(
    ("step", "told"),
    [
        ("ana sends: MSG ben #1", True),
        ("ana sends: JOIN #team", True),
        ("ana sends: MSG ben # a comment", False),
        ("ana sends: 'MSG ben #1'", False),
        ("ana sends: MSG#1", False),
    ],
)
def test_a_swallowed_end_of_a_text_is_told(tmp_path, step, told):
    said = "what stands behind # is a comment"
    assert (said in checked(tmp_path, step)) == told


def test_a_capture_with_a_colon_is_told_with_its_repair(tmp_path):
    assert "write ${n=int}" in checked(tmp_path, "ana sees: 'BID ${n:int}'")
    assert "write ${n" not in checked(tmp_path, "ana sees: 'BID $${n:int}'")


def test_a_mapping_is_not_sent_as_a_line(tmp_path):
    done = auction(tmp_path, "{ana sends: {bid: 10}, ana sees: BID}")
    said = "a mapping can be sent only on json framings; role wire has frames: lines"
    assert done.returncode == 2
    assert f"scenario.yaml:4:6: {said}" in done.stdout, done.stdout
