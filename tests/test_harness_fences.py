"""Proofs that nothing more comes: each finds what it promises, and says what it rests on."""

import re
import subprocess
import sys

import pytest
from programs.kit import closing, harness, written
from programs.parties import ASKED, FENCES, HERE, PRIVATE, PROMISES, RELAYED, profile

from harness.errors import ScenarioError
from harness.fences import STRENGTH
from harness.language import load_scenario
from harness.profile import load_profile


def run(folder, text, grade, *flags, options=(), **told):
    """`harness run` against the line server with a profile that declares this proof."""
    path = written(folder, text)
    return harness("run", path, "--profile", profile(folder, grade, *flags, **told), *options)


def took(done):
    """The seconds of the one run."""
    return float(re.search(r"\((\d+\.\d+) s", done.stdout)[1])


DRESSED = """
    scenario: Whoever is not meant is not told, in any dress
    matrix:
      dress: [{ana: wire, cid: wire}, {ana: shell, cid: pipe}, {ana: pipe, cid: shell}]
    cast: {ana: '${dress.ana}', ben: wire, cid: '${dress.cid}'}
    steps:
      - ana does: {dm: {to: ben, text: hello}}
        ben sees only: 'ana: hello'
        ana sees only: sent hello
        cid never sees: hello
      - ben does: {dm: {to: ana, text: bye}}
        ana sees: 'ben: bye'
        cid sees nothing:
"""


@pytest.mark.parametrize("grade", FENCES)
def test_a_right_server_passes_and_the_proof_is_named(tmp_path, grade):
    if grade == "quiet" and not sys.platform.startswith("linux"):
        pytest.skip("reads /proc")
    done = run(tmp_path, DRESSED, grade)
    assert (done.returncode, closing(done)) == (0, "3 passed, 0 failed, 0 skipped"), done.stdout
    # Of his own things the source has no relay: he asks.
    named = {"relay": "3 relay, 1 roundtrip"}.get(grade, f"4 {grade}")
    assert done.stdout.count(f"s; {named})") == 3


LEAKS = [  # path of the leak, how late, proofs that are sound there
    ("thread", 0, "roundtrip"),
    ("thread", 0.2, "roundtrip"), ("thread", 0.2, "relay"),
    ("queue", 0, "relay"), ("queue", 0, "quiet"), ("queue", 0.2, "relay"),
    ("timer", 0.2, "window"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "late", "grade"), LEAKS)
def test_a_leak_is_found_by_the_proof_that_fits_its_path(tmp_path, path, late, grade):
    text = PRIVATE.replace("cast:", "matrix: {round: [1, 2, 3]}\ncast:")
    flags = (f"--path {path} --delay {late} --leak",)
    done = run(tmp_path, text, grade, *flags, window="1s")
    assert closing(done) == "0 passed, 3 failed, 0 skipped", done.stdout
    assert done.stdout.count("cid never sees: hello — but it came") == 6  # line and report of each


def test_a_leak_of_a_server_that_answers_nothing_is_found_by_quiet(tmp_path):
    assert run(tmp_path, PRIVATE, "quiet", "--mute").returncode == 0
    done = run(tmp_path, PRIVATE, "quiet", "--mute --leak")
    assert "cid never sees: hello — but it came" in done.stdout


COPY = """
    scenario: The copy comes later
    cast: {ana: wire, ben: wire, cid: wire}
    steps:
      - ana does: {dm: {to: ben, text: hello}}
        cid sees: 'ana: hello'
"""


def test_what_is_missing_when_a_sound_fence_returns_is_not_coming(tmp_path):
    done = run(tmp_path, COPY, "roundtrip", "--path timer --delay 60 --leak", patience="90s")
    assert "is not coming (fence: roundtrip)" in done.stdout
    assert took(done) < 60


@pytest.mark.parametrize(("grade", "path"), [("relay", "queue"), ("window", "timer")])
def test_what_is_late_where_things_may_be_late_is_waited_for(tmp_path, grade, path):
    done = run(tmp_path, COPY, grade, f"--path {path} --delay 0.5 --leak", window="10ms")
    assert done.returncode == 0, done.stdout


def test_with_timers_a_fence_does_not_settle_what_is_missing(tmp_path):
    done = run(tmp_path, COPY, "window", patience="300ms", window="10ms")
    assert done.returncode == 1
    assert re.search(r"cid sees: ana: hello — did not come within [\d.]+ s", done.stdout)


def test_what_an_earlier_exchange_has_caused_is_none_of_the_next(tmp_path):
    text = """
        scenario: A late copy belongs to the exchange that caused it
        cast: {ana: wire, ben: wire, cid: wire}
        steps:
          - ana does: {dm: {to: ben, text: hello}}
            ana sees only: sent hello
          - ben sends: who
            ben sees: users ana ben cid
            cid sees nothing:
    """
    done = run(tmp_path, text, "relay", "--path queue --delay 0.3 --leak")
    assert done.returncode == 0, done.stdout


def with_fence(folder, fence, *flags, delivery="queued"):
    """A profile with this fence."""
    path = profile(folder, "unproved", *flags)
    text = path.read_text().replace("fence: {}", f"fence: {fence}")
    path.write_text(text.replace("delivery: inline", f"delivery: {delivery}"))
    return path


def test_one_message_to_everybody_is_a_relay_for_all_and_hidden_from_all(tmp_path):
    relay = ASKED + "\n  relay:\n    wire: {sends: 'bc ${token}', sees: '${from}: ${token}'}"
    text = """
        scenario: A relay that everybody hears
        cast: {ana: wire, ben: wire, cid: wire, dan: wire}
        steps:
          - ana does: {dm: {to: ben, text: hello}}
            ben sees only: 'ana: hello'
            cid, dan see nothing:
          - ben does: {dm: {to: ana, text: bye}}
            ana sees only: 'ben: bye'
            ben sees only: sent bye
            cid, dan see nothing:
    """
    path = with_fence(tmp_path, relay, "--path queue")
    done = harness("run", written(tmp_path, text), "--profile", path)
    assert done.returncode == 0, done.stdout
    assert "6 relay" in done.stdout


def test_who_can_write_to_himself_is_his_own_relay(tmp_path):
    relay = RELAYED.replace("'dm ${to} ${token}'", "'dm ${to} ${token}', self: true")
    text = """
        scenario: To oneself
        cast: {ana: wire, ben: wire}
        steps:
          - ana does: {dm: {to: ben, text: hello}}
            ana sees only: sent hello
    """
    path = with_fence(tmp_path, relay, "--path queue")
    done = harness("run", written(tmp_path, text), "--profile", path)
    assert "s; 1 relay)" in done.stdout, done.stdout


@pytest.mark.parametrize(
    ("grade", "wanted", "code"),
    [
        ("roundtrip", "acked", 1), ("relay", "acked", 0),
        ("unproved", "window", 1),
    ],
)  # fmt: skip
def test_a_proof_that_is_too_weak_is_a_failure_in_its_line(tmp_path, grade, wanted, code):
    done = run(tmp_path, PRIVATE, grade, options=("--min-grade", wanted))
    assert done.returncode == code, done.stdout
    if code:
        said = f"cid never sees: decided only by {grade}; wanted {wanted} or better"
        assert f"scenario.yaml:6:5: {said}" in done.stdout


SAID_LATER = """
    scenario: Not now, but later
    cast: {ana: wire, ben: wire, cid: wire}
    steps:
      - ana does: {dm: {to: ben, text: hello}}
        cid never sees: hello
        until: fence
      - ana does: {dm: {to: cid, text: hello}}
        ben never sees: nothing of the kind
"""


def test_until_fence_forbids_for_one_exchange_only(tmp_path):
    assert run(tmp_path, SAID_LATER, "roundtrip").returncode == 0
    done = run(tmp_path, SAID_LATER.replace("        until: fence\n", ""), "roundtrip")
    assert "cid never sees: hello — but it came" in done.stdout


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("until: fence", "until: noon", "unknown end of never 'noon'"),
        ("cid never sees: hello", "ben sees: 'ana: hello'", "nothing is forbidden here"),
        ("until: fence", "until: fence\n        fence: none", "this exchange has none"),
    ],
)
def test_an_until_that_means_nothing_is_told(tmp_path, old, new, said):
    path = written(tmp_path, SAID_LATER.replace(old, new, 1))
    with pytest.raises(ScenarioError, match=re.escape(said)):
        load_scenario(path, profile=profile(tmp_path, "roundtrip"))


def test_a_stated_time_is_noted_by_check_and_by_run(tmp_path):
    path, told = written(tmp_path, PRIVATE), profile(tmp_path, "window", window="10ms")
    line = next(n for n, text in enumerate(told.read_text().splitlines(), 1) if "window:" in text)
    note = f"note: {told}:{line}:11: a stated time proves nothing"
    checked = harness("check", path, "--profile", told)
    assert (checked.returncode, note in checked.stdout) == (0, True), checked.stdout
    done = harness("run", path, "--profile", told)
    assert (done.returncode, note in done.stderr) == (0, True), done.stderr


GONE = """
    scenario: The source is gone
    cast: {ana: wire, ben: wire}
    steps:
      - ana resets:
        ben never sees: hello
"""


def test_a_negative_whose_source_is_gone_is_noted_unless_a_consequence_stands_beside_it(tmp_path):
    told = profile(tmp_path, "roundtrip")
    alone = load_scenario(written(tmp_path, GONE), profile=told)
    assert "scenario.yaml:5:5: nothing shows when this is over: ana" in str(alone.warnings[0])
    text = GONE + "        ben sees: ana left\n"
    assert load_scenario(written(tmp_path, text), profile=told).warnings == []


@pytest.mark.parametrize(
    ("fence", "said"),
    [
        ("{echo: {wire: none}}", "unknown fence 'echo'"),
        ("loud", "fence has to be a mapping"),
        ("{roundtrip: {wire: {sends: who}}}", "a fence needs sees"),
        ("{roundtrip: {wire: {types: who, sees: users}}}", "unknown key of a fence 'types'"),
        ("{roundtrip: {pipe: {sends: who, sees: users}}}", "unknown key of a fence 'sends'"),
        ("{acked: {wire: {sees: sent}}}", "a fence needs when"),
        ("{relay: {wire: {sends: hello, sees: '${token}'}}}", "sends of a relay needs ${token}"),
        ("{relay: {wire: {sends: '${token}', sees: hello}}}", "sees of a relay needs ${token}"),
        ("{relay: {wires: {sends: '${token}'}}}", "unknown role 'wires'"),
        ("{quiet: [wires]}", "unknown role 'wires'"),
        ("{window: soon}", "window has to be a duration"),
        ("{window: {wire: soon}}", "a window has to be a duration"),
    ],
)
def test_a_fence_that_cannot_work_is_told_with_its_place(tmp_path, fence, said):
    path = with_fence(tmp_path, fence)
    line = next(n for n, text in enumerate(path.read_text().splitlines(), 1) if "fence:" in text)
    with pytest.raises(ScenarioError) as wrong:
        load_profile(path)
    assert re.search(rf"unproved\.yaml:{line}:\d+: .*{re.escape(said)}", str(wrong.value))


def test_a_fence_that_is_never_answered_is_told_at_its_place_in_the_profile(tmp_path):
    done = run(tmp_path, PRIVATE, "roundtrip", "--fault no-pong", patience="300ms")
    told = (tmp_path / "roundtrip.yaml").read_text().splitlines()
    line = told.index("    wire: {sends: 'ping ${token}', sees: 'pong ${token}'}") + 1
    assert f"roundtrip.yaml:{line}:5: nobody can tell whether more was coming" in done.stdout


def test_a_relay_that_never_comes_says_whose_it_was(tmp_path):
    done = run(tmp_path, PRIVATE, "relay", "--fault drop-dm", patience="300ms")
    assert re.search(r"\w+ did not get the harness's own message from \w+", done.stdout)


needs_proc = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


@needs_proc
def test_quiet_is_patient_with_a_server_that_wakes_up_and_not_with_one_that_never_rests(tmp_path):
    done = run(tmp_path, PRIVATE, "quiet", "--wake 0.2")
    assert done.returncode == 0, done.stdout
    done = run(tmp_path, PRIVATE, "quiet", "--wake 0.001", patience="500ms")
    assert "the programs did not come to rest" in done.stdout


@needs_proc
def test_quiet_does_not_wait_for_those_that_stand_still(tmp_path):
    text = """
        scenario: Who reads nothing keeps nobody from resting
        cast: {ana: wire, ben: wire, cid: shell, dan: wire}
        steps:
          - {ben stops reading: , cid is frozen: , dan sees nothing: , fence: none}
          - ana sends: [dm ben hello, dm cid hello]
            ana sees: [sent hello, sent hello]
            dan sees nothing:
    """
    done = run(tmp_path, text, "quiet")
    assert done.returncode == 0, done.stdout
    assert "quiet" in done.stdout


@needs_proc
def test_a_server_that_is_not_ours_cannot_be_watched_for_quiet(tmp_path):
    with subprocess.Popen(
        [sys.executable, HERE / "party.py"], stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            port = server.stdout.readline().split()[-1]
            done = run(tmp_path, PRIVATE, "quiet", options=("--at", f"127.0.0.1:{port}"))
        finally:
            server.kill()
    assert (done.returncode, closing(done)) == (0, "0 passed, 0 failed, 1 skipped"), done.stdout
    assert "not the harness's own (--at)" in done.stdout


FAST = ("late-leak", "no-newline", "killed", "double-leave")  # fmt: skip


@pytest.mark.parametrize("fault", FAST)
def test_a_broken_server_fails_at_once_and_in_a_line_of_the_scenario(tmp_path, fault):
    done = run(tmp_path, PROMISES, "roundtrip", f"--fault {fault}", patience="90s")
    assert done.returncode == 1, done.stdout
    assert took(done) < 60  # a tenth of a second, if the machine has nothing else to do
    assert re.search(r"^\S*scenario\.yaml:\d+:\d+: ", done.stdout, re.MULTILINE)


def test_a_server_that_is_never_ready_is_given_up_when_its_profile_says_so(tmp_path):
    path = profile(tmp_path, "roundtrip", "--hang")
    path.write_text(path.read_text().replace("server:\n", "server:\n  patience: 300ms\n"))
    done = harness("run", written(tmp_path, PRIVATE), "--profile", path)
    assert done.returncode == 3
    assert "never became ready" in done.stdout


def test_a_server_that_ends_before_it_is_ready_is_not_waited_for(tmp_path):
    path = profile(tmp_path, "roundtrip", "--die")
    path.write_text(path.read_text().replace("server:\n", "server:\n  patience: 10min\n"))
    done = harness("run", written(tmp_path, PRIVATE), "--profile", path)
    assert done.returncode == 3
    assert "no configuration" in done.stdout
    assert took(done) < 60


def test_every_grade_is_explained():
    doc = (HERE.parents[1] / "docs" / "scenarios.md").read_text()
    section = doc.partition("## Proofs that nothing more comes")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    assert rows == [*reversed(STRENGTH)]


def test_a_misspelt_profile_is_answered_with_those_that_there_are(tmp_path):
    profile(tmp_path, "roundtrip")
    path = written(tmp_path, PRIVATE.replace("cast:", "use: roundtrop\ncast:"))
    done = harness("check", path)
    assert done.returncode == 2
    assert "no profile 'roundtrop'" in done.stdout
    assert "did you mean 'roundtrip'?" in done.stdout
