"""`harness run --accept`: only the value that is missed is written anew, byte for byte."""

import pytest
from programs.kit import PROFILE, closing, harness, written

from harness.accept import rewritten
from harness.errors import Place
from harness.proposals import text_like

HEAD = "scenario: Accepting\ncast: {ana: shell, ben: shell, wil: wire}\n"


def accepted(folder, steps, *options):
    """The finished command, the file before and after."""
    path = folder / "scenario.yaml"
    path.write_bytes((HEAD + steps).encode())
    before = path.read_bytes()
    done = harness("run", path, "--profile", PROFILE, "--accept", *options)
    return done, before, path.read_bytes()


STEPS = """
# A comment with 'quotes'.\r
steps:   # and more
  - {ana types: '/dm ben "hello there"',   ben sees: EXPECTED}   # odd layout
  -   wil sends: {code: outgoing, to: ana, content: "x: y"}
      "ana sees":
         - 'wil: x: y'

  # the end, without a line end"""


WRONG_AND_RIGHT = {
    "'ana: hello thre'": "'ana: hello there'",
    "'${ana.name}: hi there'": "'${ana.name}: hello there'",
    "ana hello there": "'ana: hello there'",
}


@pytest.mark.parametrize(("wrong", "right"), WRONG_AND_RIGHT.items())
def test_only_the_value_is_written_anew_and_every_other_byte_stays(tmp_path, wrong, right):
    done, before, after = accepted(tmp_path, STEPS.replace("EXPECTED", wrong))
    assert after == before.replace(wrong.encode(), right.encode())
    assert (done.returncode, closing(done)) == (0, "1 passed, 0 failed, 0 skipped"), done.stdout
    assert "\n-  - {ana types" in done.stdout
    assert "\n+  - {ana types" in done.stdout


@pytest.mark.parametrize(
    ("old", "seen", "new"),
    [
        ("${from}: hi", "ana: ho", "${from}: ho"),
        ("${from}: hi", "ben: ho", "ben: ho"),
        ("[...] ${from}: one", "[10:45] ana: two", "[...] ${from}: two"),
        ("${who=word} hi there", "ana: ho there", "${who=word} ho there"),
        ("${n=int} users", "7 people", "${n=int} people"),
        ("${n=int} users", "no people", "no people"),
        ("price: $${5}", "price: ${6}", "price: $${6}"),
        ("hello", "${x}", "$${x}"),
        ("", "ana", "ana"),
    ],
)
def test_of_a_text_names_captures_and_gaps_that_still_fit_stay(old, seen, new):
    assert text_like(old, seen, {"from": "ana"}.__getitem__) == new


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("plain", "also plain", "also plain"),
        ("plain", "a: b", "'a: b'"),
        ("plain", "it's # 5", "'it''s # 5'"),
        ("plain", "5", "'5'"),
        ("plain", "true", "'true'"),
        ("plain", " x", "' x'"),
        ("plain", "a, b]", "'a, b]'"),
        ("'single'", "it's", "'it''s'"),
        ("'single'", "a\x1bb", '"a\\u001bb"'),
        ('"double"', 'say "hi" \\', '"say \\"hi\\" \\\\"'),
        ("5", 6, "6"),
        ("yes", None, "null"),
    ],
)
def test_a_value_is_quoted_as_before_or_as_it_has_to_be(old, new, text):
    source = "\ufeffsteps: [{ana sees: [x, %s]}] # é\n"
    place = Place("a.yaml", 1, 10)
    assert rewritten(source % old, place, 1, [((), new)]) == source % text


def test_of_a_frame_and_of_a_phrase_only_the_fields_that_differ_are_written(tmp_path):
    steps = """
steps:
  - ana types: /dm wil 5 apples
    wil sees: {code: incoming, from: '${ana.name}', content: 4 apples}   # frame
  - ana types: /dm ben hello
    ben sees: {dm: {from: wil, text: hello}}   # phrase
    ana sees: {sent: {from: '${ana.name}', text: hullo}}
"""
    done, before, after = accepted(tmp_path, steps)
    assert closing(done) == "1 passed, 0 failed, 0 skipped", done.stdout
    right = before.replace(b"4 apples", b"5 apples").replace(b"from: wil", b"from: ana")
    assert after == right.replace(b"hullo", b"hello")


NEVER_ACCEPTED = {
    "a negative": "  - ana types: /dm ben one\n    wil sees nothing:\n    ben never sees: one\n",
    "too much": "  - ana types: /dm ben one\n    ben sees nothing:\n",
    "nothing like it": "  - ana types: /dm ben one\n    ben sees: something else entirely\n",
    "a regular expression": "  - ana types: /dm ben one\n    ben sees: {re: 'ana: on[f-z]'}\n",
    "an end": "  - wil sends: {code: quit}\n    wil sees: {code: welcome, name: wim}\n",
    "a promise of speed": "  - ana types: /dm ben one\n    ben sees: 'ana: one'\n    within: 0ms\n",
    "a check": "  - ana types: /dm ben 1\n    ben sees: 'ana: ${n=int}'\n    check: ${n} == 2\n",
    "a law": "  - ana types: /bc one\nlaws: [{once: {dm: {from: ana, text: one}}}]\n",
}


@pytest.mark.parametrize("steps", NEVER_ACCEPTED.values(), ids=NEVER_ACCEPTED)
def test_what_is_no_missed_text_is_never_accepted(tmp_path, steps):
    done, before, after = accepted(tmp_path, "steps:\n" + steps)
    assert after == before
    assert (done.returncode, closing(done)) == (1, "0 passed, 1 failed, 0 skipped"), done.stdout


def test_a_dead_server_is_not_accepted(tmp_path):
    steps = "steps:\n  - ana types: /bc one\n    ben sees: 'ana: on'\n"
    server = ("--server", f"python3 {PROFILE.parent}/daemon.py ${{server.port}} --fault crash")
    done, before, after = accepted(tmp_path, steps, *server)
    assert after == before
    assert done.returncode == 1


def test_what_two_are_told_differently_is_put_back_and_said(tmp_path):
    steps = """steps:
  - ana types: /users
    wil sends: {code: outgoing, to: ben, content: hi}
    ben, ana see: 'users: ana, ben'
"""
    done, before, after = accepted(tmp_path, steps)
    assert done.returncode == 1
    assert after == before
    assert "not accepted" in done.stdout


def test_a_row_of_the_matrix_is_not_mended_at_the_cost_of_another(tmp_path):
    steps = """matrix: {text: [one, two]}
steps:
  - ana types: /dm ben ${text}
    ben sees: 'ana: one'
"""
    done, before, after = accepted(tmp_path, steps)
    assert (done.returncode, after) == (1, before)
    assert "scenario.yaml:6:5: not accepted: it is not the same each time" in done.stdout


@pytest.mark.parametrize(("times", "code"), [(1, 0), (2, 1)])
def test_an_included_file_is_written_if_nobody_else_counts_on_it(tmp_path, times, code):
    part = written(tmp_path, "steps: [{ana types: /dm ben hi, ben sees: 'ana: ho'}]\n", "part.yaml")
    steps = "steps:\n" + "  - include: part.yaml\n" * times
    done, before, after = accepted(tmp_path, steps)
    assert (done.returncode, after) == (code, before), done.stdout
    assert ("ana: hi" in part.read_text()) == (times == 1)
    assert ("is included 2 times" in done.stdout) == (times == 2)


def test_a_value_that_stands_for_several_is_not_written(tmp_path):
    steps = """steps:
  - ana types: /dm ben hi
    ben sees: &said 'ana: ho'
  - ana types: /dm ben hi
    ben sees: *said
"""
    done, before, after = accepted(tmp_path, steps)
    assert (done.returncode, after) == (1, before)
    assert "not accepted" in done.stdout


@pytest.mark.parametrize("option", ["-j2", "--retries=1"])
def test_it_is_refused_where_runs_are_made_in_another_order(tmp_path, option):
    done, before, after = accepted(tmp_path, "steps: [{ana types: hi}]\n", option)
    assert (done.returncode, after) == (2, before)
    assert "--accept cannot be given together with" in done.stdout


def test_a_snapshot_is_written_from_the_screen_and_again_where_it_differs(tmp_path):
    steps = """steps:
  - ana types: /dm ben hello
    ana sees: 'ana: hello'
  - drew shows: {snapshot: screens/drew.txt}
"""
    path = tmp_path / "scenario.yaml"
    path.write_text(HEAD.replace("wil: wire", "drew: drawn") + steps)
    before = path.read_bytes()
    first = harness("run", path, "--profile", PROFILE, "--accept")
    assert closing(first) == "1 passed, 0 failed, 0 skipped", first.stdout
    screen = tmp_path / "screens" / "drew.txt"
    rows = screen.read_text()
    assert rows.strip()
    assert "--- /dev/null" in first.stdout
    screen.write_text(rows.replace(rows.splitlines()[0], "something else", 1))
    again = harness("run", path, "--profile", PROFILE, "--accept")
    assert closing(again) == "1 passed, 0 failed, 0 skipped", again.stdout
    assert screen.read_text() == rows
    assert "-something else" in again.stdout
    assert path.read_bytes() == before
