"""`harness run` on small real programs: what is right passes, every planted fault fails."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from programs.kit import DAEMON, PROFILE, closing, harness, run, written

DIALOGUE = """
    scenario: Messages reach the people they are meant for, and nobody else
    matrix: {dress: [shell, asked, drawn]}
    cast: {client1..client3: '${dress}'}
    steps:
      - client1 does: {dm: {to: client2, text: Hello there!}}
        client1 sees: {sent: {from: client1, text: Hello there!}}
        client2 sees: {dm: {from: client1, text: Hello there!}}
        client3 never sees: Hello there!
      - client3 does: {dm: {to: client4, text: Goodbye.}}
        client3 sees: {no-user: {who: client4}}
        others see nothing:
      - client2 is killed: KILL
        others see: {lost: {who: client2}}
        others never see: {quit: {who: client2}}
    laws:
      - once: {lost: {who: client2}}
"""
DIALOGUE_WITHOUT_KILL = DIALOGUE.split("      - client2 is killed")[0]


def broken_line(done):
    """The line of the scenario that the report marks as broken."""
    match = re.search(r"^  >\s+\d+ \| (.*)$", done.stdout, re.MULTILINE)
    return match[1].strip().removeprefix("- ") if match else done.stdout


@pytest.mark.parametrize("dress", ["shell", "asked", "drawn"])
def test_a_right_server_passes_with_shells(tmp_path, dress):
    done = run(tmp_path, DIALOGUE.replace("[shell, asked, drawn]", f"[{dress}]"))
    assert (done.returncode, closing(done)) == (0, "1 passed, 0 failed, 0 skipped"), done.stdout


def test_a_right_server_passes_with_sockets(tmp_path):
    text = DIALOGUE_WITHOUT_KILL.replace("[shell, asked, drawn]", "[wire, acked, counted]")
    done = run(tmp_path, text)
    assert (done.returncode, closing(done)) == (0, "3 passed, 0 failed, 0 skipped"), done.stdout


@pytest.mark.parametrize("dress", ["shell", "drawn", "wire", "acked", "counted"])
@pytest.mark.parametrize(
    ("fault", "line"),
    [
        ("leak-dm", "client3 never sees: Hello there!"),
        ("late-leak", "client3 never sees: Hello there!"),
        ("lose-dm", "client2 sees: {dm: {from: client1, text: Hello there!}}"),
        ("wrong-text", "client2 sees: {dm: {from: client1, text: Hello there!}}"),
    ],
)
def test_every_planted_fault_is_found_in_its_line(tmp_path, dress, fault, line):
    text = DIALOGUE_WITHOUT_KILL.replace("[shell, asked, drawn]", f"[{dress}]")
    done = run(tmp_path, text, fault=fault)
    assert (done.returncode, closing(done)) == (1, "0 passed, 1 failed, 0 skipped"), done.stdout
    assert broken_line(done) == line, done.stdout


def test_quit_instead_of_lost_is_found(tmp_path):
    done = run(tmp_path, DIALOGUE.replace("shell, asked, ", ""), fault="quit-for-lost")
    assert done.returncode == 1
    assert broken_line(done) == "others never see: {quit: {who: client2}}", done.stdout


TWICE = """
    scenario: A broadcast comes once
    cast: {ana: wire, ben: wire, cid: wire}
    steps:
      - ana sends: {code: outgoing_broadcast, content: hello, id: a1}
        ben, cid see only: {code: incoming_broadcast, from: ana, content: hello}
        ana sees: {code: ack, re: a1}
"""


@pytest.mark.parametrize("fault", ["twice", "chatty"])
def test_whatever_comes_besides_is_found_where_only_one_thing_may_come(tmp_path, fault):
    assert run(tmp_path, TWICE).returncode == 0
    done = run(tmp_path, TWICE, fault=fault)
    assert done.returncode == 1
    assert broken_line(done).startswith("ben, cid see only")
    assert "unexpected" in done.stdout


def test_a_crash_of_the_server_ends_the_waiting_and_is_named(tmp_path):
    text = TWICE + "    patience: 60s\n"
    done = run(tmp_path, text, fault="crash")
    assert done.returncode == 1
    assert "RuntimeError: planted" in done.stdout
    assert float(re.search(r"\((\d+\.\d+) s\)", done.stdout)[1]) < 60


def test_a_fence_that_is_not_answered_is_a_failure_not_a_pass(tmp_path):
    text = TWICE + "    patience: 1s\n"
    done = run(tmp_path, text, fault="no-pong")
    assert done.returncode == 1
    assert "got no answer to the harness's own question" in done.stdout


@pytest.mark.parametrize("dress", ["shell", "drawn"])
def test_what_was_typed_is_no_answer(tmp_path, dress):
    text = f"""
        scenario: Typed text that is never answered
        cast: {{ana: {dress}, ben: {dress}}}
        steps:
          - ana types: /silent NEVER-PRODUCED
            ana sees: '...NEVER-PRODUCED...'
    """
    done = run(tmp_path, text)
    assert done.returncode == 1
    assert "is not coming (fence: roundtrip)" in done.stdout


def test_a_server_that_dies_at_its_start_is_an_environment_that_does_not_allow_the_test(tmp_path):
    done = harness(
        "run", written(tmp_path, TWICE), "--profile", PROFILE, "--server", f"{DAEMON} --die"
    )
    assert (done.returncode, closing(done)) == (3, "0 passed, 1 failed, 0 skipped")
    assert "never became ready: the program exited with 1" in done.stdout
    assert "cannot read the configuration" in done.stdout


def test_a_server_that_never_says_that_it_is_ready_is_given_up(tmp_path):
    done = harness(
        "run", written(tmp_path, TWICE), "--profile", PROFILE, "--server", f"{DAEMON} --hang",
        "--patience", "0.05",
    )  # fmt: skip
    assert done.returncode == 3
    assert "never became ready: it runs, but waited" in done.stdout


def test_a_program_that_is_not_there_is_named(tmp_path):
    done = harness(
        "run", written(tmp_path, TWICE), "--profile", PROFILE, "--server", "nosuchserver"
    )
    assert done.returncode == 3
    assert "program not found: nosuchserver" in done.stdout


FAULTS = """
    scenario: Freezing, thawing, killing, restarting
    cast: {ana: wire, ben: shell, cid: wire, dan: wire}
    steps:
      - ben is frozen:
      - ana sends: {code: outgoing, to: ben, content: are you there, id: a1}
        ana sees: {code: ack, re: a1}
        ben sees nothing:
      - ben is thawed:
        ben sees: 'ana: are you there'
      - cid resets:
        ana, ben, dan see: {lost: {who: cid}}
      - dan half-closes:
        dan is closed:
        ana, ben see: {lost: {who: dan}}
      - server is killed: KILL
        ana is closed:
        ben sees: the connection was closed
        ben exits: 3
"""


def test_faults_of_processes_and_connections(tmp_path):
    done = run(tmp_path, FAULTS)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("dress", "end"),
    [("shell", "is killed: KILL"), ("drawn", "is killed: KILL"), ("wire", "resets:")],
)
def test_whoever_has_left_may_join_again_and_the_minutes_go_on(tmp_path, dress, end):
    text = f"""
        scenario: Back again
        cast: {{ana: wire, ben: {dress}}}
        steps:
          - ben joins:
          - ana does: {{dm: {{to: '${{ben.name}}', text: the first time}}}}
            ben sees: {{dm: {{from: '${{ana.name}}', text: the first time}}}}
          - ben {end}
            ana sees: {{lost: {{who: '${{ben.name}}'}}}}
          - ben joins:
          - ana does: {{dm: {{to: '${{ben.name}}', text: once more}}}}
            ben sees: {{dm: {{from: '${{ana.name}}', text: once more}}}}
            ben never sees: the first time
    """
    done = run(tmp_path, text)
    assert done.returncode == 0, done.stdout


def test_whoever_is_here_may_not_join_again(tmp_path):
    text = """
        scenario: Twice
        cast: {ana: wire}
        steps:
          - ana joins:
          - ana joins:
    """
    done = run(tmp_path, text)
    assert done.returncode == 1
    assert "ana has joined already" in done.stdout


def test_the_server_comes_back_on_its_port_with_its_data(tmp_path):
    text = """
        scenario: Restart
        cast: {ana: wire, ben: wire}
        server: {args: [--log, '${server.home}/names']}
        files: {names: {text: "old\\n", mode: 600}}
        steps:
          - ana sends: {code: who}
            ana sees: {users: [ana]}
            server prints: 'listening on ..., port ${first=int}'
          - server is restarted: KILL
            ana is closed:
          - ben joins:
            server prints: 'listening on ..., port ${second=int}'
            check: ${server.first} == ${server.second}
          - server types: /who
            server prints: 'users: ben'
          - server types: /stop
            server exits: 0
            ben is closed:
    """
    done = run(tmp_path, text)
    assert done.returncode == 0, done.stdout


def test_a_draft_and_the_words_that_were_never_sent(tmp_path):
    text = """
        scenario: Killed in mid sentence
        matrix: {dress: [shell, drawn]}
        cast: {ana: '${dress}', ben: '${dress}', cid: shell}
        steps:
          - ana drafts: /bc never fini
          - cid types: /bc meanwhile
            others see: 'cid: meanwhile'
          - ana is killed:
            others see: {lost: {who: ana}}
            others never see: [never fini, quit]
    """
    done = run(tmp_path, text)
    assert (done.returncode, closing(done)) == (0, "2 passed, 0 failed, 0 skipped"), done.stdout


def test_keys_sizes_screens_and_pipes(tmp_path):
    text = """
        scenario: The other ways to take part
        cast:
          ana: {role: drawn, size: 60x12}
          ben: pipe
          dan: {role: pipe, stdin: [/quit]}
          cid: {role: shell, args: [], login: none}
        steps:
          - ana shows: ['a toolbar', 'say>']
          - ana drafts: hel
            ana shows: say> hel
          - ana presses: [backspace, backspace, backspace]
          - ana resizes: 40x10
          - ana types: '/bc a rather long line that has to be wrapped by a narrow terminal'
            ana sees: 'ana: a rather long line that has to be wrapped by a narrow terminal'
            ana never shows: nonsense
          - ben joins:
            ben sees: You are ben.
          - ben types: [/users, /ping done]
            ben sees in any order: ['users: ana, ben', pong done]
          - ben closes:
            ben exits: 0
          - dan joins:
            dan exits: 0
          - cid is asked: 'Port:'
            cid types: '1'
          - cid is asked: 'Name:'
            cid types: cid
            cid exits: 1
            cid sees: '...Connection refused...'
          - ana presses: ctrl-d
            ana exits: 0
    """
    done = run(tmp_path, text)
    assert done.returncode == 0, done.stdout


def test_captures_choices_comparisons_and_loops(tmp_path):
    text = """
        scenario: Captured values
        vars: {greeting: hello}
        cast: {one: guest, two: guest}
        steps:
          - one sends: {code: outgoing, to: '${two.name}', content: '${greeting}', id: 7}
            one sees one of: [{code: error}, {code: ack, re: '${id=int}'}]
            as: what
            two sees: {from: '${one.name}', content: '${said=rest}'}
            check: ['${said} == hello', '${one.id} < 8', '${one.name} != ${two.name}']
          - repeat: 3
            steps:
              - two sends: {code: ping, n: 'n${round}'}
                two sees next: {code: pong, n: 'n${round}'}
          - mark: the end
          - fence: everyone
          - together:
              - one sends: {code: ping, n: a}
                one sees: {n: a}
              - two sends: {code: ping, n: b}
                two sees: {n: b}
    """
    done = run(tmp_path, text)
    assert done.returncode == 0, done.stdout
    wrong = run(tmp_path, text.replace("${one.id} < 8", "${one.id} > 8"))
    assert wrong.returncode == 1
    assert "check: ${one.id} > 8 — 7 > 8 is not true" in wrong.stdout


def test_parts_are_included_with_their_values(tmp_path):
    written(
        tmp_path,
        """
        steps:
          - ana sends: {code: ping, n: '${word}'}
            ana sees: {code: pong, n: '${word}'}
        """,
        "part.yaml",
    )
    text = """
        scenario: Parts
        cast: {ana: wire}
        steps:
          - {include: part.yaml, vars: {word: one}}
          - {include: part.yaml, vars: {word: two}}
    """
    done = run(tmp_path, text)
    assert done.returncode == 0, done.stdout
    again = harness("run", tmp_path, "--profile", PROFILE)  # the part is no scenario
    assert closing(again) == "1 passed, 0 failed, 0 skipped"


def test_who_may_not_join_is_told_why(tmp_path):
    text = """
        scenario: A name that is taken
        cast: {ana: wire, twin: {role: wire, name: ana}}
        steps:
          - twin cannot join: {code: error, error: 103}
            ana sees nothing:
            server prints: 'ana is alive: 3'
    """
    assert run(tmp_path, text).returncode == 0
    done = run(tmp_path, text.replace("name: ana", "name: eva"))
    assert done.returncode == 1
    assert broken_line(done).startswith("twin cannot join")


def test_a_promise_of_time_is_kept_or_broken(tmp_path):
    text = """
        scenario: In time
        cast: {ana: wire}
        steps:
          - ana sends: {code: ping, n: x}
            ana sees: {code: pong}
            within: 60s
    """
    assert run(tmp_path, text).returncode == 0
    done = run(tmp_path, text.replace("60s", "0.000001ms"))
    assert done.returncode == 1
    assert "ana sees within" in done.stdout


def test_what_a_profile_cannot_do_is_skipped_never_passed(tmp_path):
    text = TWICE.replace("cast:", "needs: [groups]\n    cast:")
    done = run(tmp_path, text)
    assert (done.returncode, closing(done)) == (0, "0 passed, 0 failed, 1 skipped")


def test_cleanup_runs_after_a_failure_too(tmp_path):
    text = """
        scenario: Tidy
        cast: {ana: wire}
        steps:
          - ana sends: {code: ping, n: x}
            ana sees: {code: nothing-of-the-kind}
        cleanup:
          - ana sends: {code: quit}
            ana is closed:
    """
    done = run(tmp_path, text)
    assert done.returncode == 1
    assert "> {'code': 'quit'}" in done.stdout


def test_a_report_names_the_line_the_miss_and_everybodys_last_words(tmp_path):
    done = run(tmp_path, TWICE.replace("content: hello}", "content: hallo}"))
    assert "scenario.yaml:5:5: ben sees only" in done.stdout
    assert re.search(r"expected .*hallo", done.stdout)
    assert re.search(r"nearest .*hello", done.stdout)
    assert re.search(r"^  ana$", done.stdout, re.MULTILINE)
    assert re.search(r"^  server$", done.stdout, re.MULTILINE)
    assert "listening on 127.0.0.1" in done.stdout


def test_control_characters_of_a_program_do_not_reach_the_reader(tmp_path):
    text = """
        scenario: Hostile
        cast: {ana: wire, ben: wire}
        steps:
          - ana sends: {code: outgoing, to: ben, content: "\\e]0;title\\a\\x9b31m", id: a1}
            ben sees: {content: nothing of the kind}
    """
    done = run(tmp_path, text)
    assert done.returncode == 1
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", done.stdout)


def test_show_lets_a_person_watch(tmp_path):
    done = run(tmp_path, TWICE, "--show")
    assert done.returncode == 0
    assert "A broadcast comes once" in done.stdout
    assert re.search(r"ana ▶ .*outgoing_broadcast", done.stdout)
    assert closing(done) == "1 passed, 0 failed, 0 skipped"


def test_several_at_a_time_and_a_choice_by_words(tmp_path):
    for number in range(4):
        written(tmp_path, TWICE.replace("comes once", f"number {number}"), f"{number}.yaml")
    done = harness("run", tmp_path, "--profile", PROFILE, "-j", 2)
    assert (done.returncode, closing(done)) == (0, "4 passed, 0 failed, 0 skipped"), done.stdout
    done = harness("run", tmp_path, "--profile", PROFILE, "-k", "number 2")
    assert closing(done) == "1 passed, 0 failed, 0 skipped"


def test_a_server_that_runs_already_can_be_used(tmp_path):
    with subprocess.Popen(
        [sys.executable, Path(PROFILE).parent / "daemon.py", "0"],
        stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
    ) as daemon:  # fmt: skip
        try:
            port = daemon.stdout.readline().split()[-1]
            done = run(tmp_path, TWICE, "--at", f"127.0.0.1:{port}")
        finally:
            daemon.kill()
    assert done.returncode == 0, done.stdout


def marked(mark):
    """Programs that were started by a harness with this mark in its environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("COVERAGE_FILE") == mark and process.pid != os.getpid():
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def test_nothing_is_left_after_a_run(tmp_path):
    mark = str(tmp_path / "mark")
    path = written(tmp_path, DIALOGUE)
    env = {"TMPDIR": str(tmp_path), "COVERAGE_FILE": mark}
    done = harness("run", path, "--profile", PROFILE, "-k", "Messages", env=env)
    assert done.returncode in (0, 1)
    assert marked(mark) == []
    assert list(tmp_path.glob("harness-run-*")) == []


def test_a_program_that_slips_away_is_found_and_is_a_failure(tmp_path):
    done = harness("run", written(tmp_path, TWICE), "--profile", PROFILE,
                   "--server", f"{DAEMON} --orphan")  # fmt: skip
    assert done.returncode == 1
    assert "programs were left over" in done.stdout
    pid = int(re.search(r"(\d+): .*daemon\.py", done.stdout)[1])
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


WAITS = """
    scenario: Waits
    cast: {ana: shell, ben: drawn, cid: wire}
    patience: 90s
    steps:
      - cid sees: something that never comes
        fence: none
"""


def ended_by(number, tmp_path):
    """A harness in the middle of a run, after this signal: exit code, programs that still run."""
    mark = str(tmp_path / "mark")
    path = written(tmp_path, WAITS)
    command = [sys.executable, "-m", "harness", "run", path, "--profile", PROFILE, "--show"]
    env = {**os.environ, "TMPDIR": str(tmp_path), "COVERAGE_FILE": mark, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as process:
        for line in process.stdout:
            if "cid joined" in line:
                break
        programs = [p for p in marked(mark) if p.pid != process.pid]
        assert len(programs) >= 3
        process.send_signal(number)
        process.stdout.read()
    _, alive = psutil.wait_procs(programs, timeout=30)
    return process.returncode, alive


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_tidies_up(tmp_path, number):
    code, alive = ended_by(number, tmp_path)
    assert (code, alive) == (130, [])
    assert list(tmp_path.glob("harness-run-*")) == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="parent-death signal of Linux")
def test_nothing_runs_on_when_the_harness_is_killed(tmp_path):
    _, alive = ended_by(signal.SIGKILL, tmp_path)
    assert alive == []
    assert list(tmp_path.glob("harness-run-*")) == []


def test_nothing_but_the_expected_after_an_end_and_without_a_fence(tmp_path):
    text = """
        scenario: Who cannot be fenced is waited for
        cast: {ana: wire, ben: shell, eve: raw}
        steps:
          - eve sends bytes: ["hello?", "\\n"]
            eve sees only: {code: error, error: 201}
            ana, ben see nothing:
          - ana sends: {code: ping, n: x}
            ana sees: {code: pong, n: x}
            ben never sees: pong x
            fence: none
          - ben is killed: KILL
            ana sees only: {lost: {who: ben}}
    """
    done = run(tmp_path, text)
    assert done.returncode == 0, done.stdout
    assert "unproved" in done.stdout
    wrong = run(tmp_path, text.replace("error: 201", "error: 999") + "    patience: 1s\n")
    assert wrong.returncode == 1
    assert broken_line(wrong).startswith("eve sees only")


KNOWN = """
    scenario: The server answers what nobody promised
    fails: {{because: "#12", until: {until}}}
    cast: {{ana: wire}}
    steps:
      - ana sends: {{code: ping, n: one}}
        ana sees: {{code: pong, n: {answer}}}
"""


@pytest.mark.parametrize(
    ("until", "answer", "code", "line"),
    [
        ("2999-01-01", "two", 0, "0 passed, 0 failed, 0 skipped, 1 known"),
        ("2999-01-01", "one", 1, "0 passed, 1 failed, 0 skipped"),
        ("2001-01-01", "two", 1, "0 passed, 1 failed, 0 skipped"),
    ],
)
def test_a_known_bug_may_fail_until_its_day_and_may_not_pass(tmp_path, until, answer, code, line):
    done = run(tmp_path, KNOWN.format(until=until, answer=answer))
    assert (done.returncode, closing(done)) == (code, line), done.stdout
