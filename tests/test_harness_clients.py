"""Ten styles of terminal programs: what is an answer, and what is only on the screen."""

from pathlib import Path

import pytest
from programs.kit import closing, harness, written

PROFILE = Path(__file__).parent / "programs" / "clients" / "clients.yaml"
STYLES = ("cooked", "input", "password", "pager", "progress", "readline", "prompt_toolkit", "cmd2",
          "raw", "curses")  # fmt: skip
HEAD = """
scenario: What a client says, and what it only shows
use: clients
matrix: {{style: [{styles}]}}
cast: {{ana: '${{style}}', ben: line}}
steps:
"""


def played(folder, steps, styles=STYLES):
    """The run of a scenario in which ana is each of the styles in turn."""
    text = HEAD.format(styles=", ".join(styles)) + steps.strip("\n") + "\n"
    return harness("run", written(folder, text), "--profile", PROFILE, "-j", "2")


def failures(done):
    """What the runs that failed say in their first line."""
    return [line for line in done.stdout.splitlines() if line.startswith("failed ")]


def test_a_right_dialogue_passes_in_every_style(tmp_path):
    done = played(tmp_path, """
  - ana types: hello there
    ana, ben see: 'ana: hello there'
  - ben sends: good morning
    ana sees only: 'ben: good morning'
  - ana types: /echo to myself
    ana sees next: to myself
    ben sees nothing:
  - ben sends: /dm ana 漢字 👩 done
    ana sees: 'ben: 漢字 👩 done'
    ana never sees: nobody said this
""")  # fmt: skip
    assert closing(done) == f"{len(STYLES)} passed, 0 failed, 0 skipped", done.stdout


def test_typed_text_that_is_never_answered_fails_in_every_style(tmp_path):
    done = played(tmp_path, """
  - ana types: /silent NEVER
    ana sees one of: [/silent NEVER, 'say> /silent NEVER', '...NEVER...', '...> ...']
""")  # fmt: skip
    assert closing(done) == f"0 passed, {len(STYLES)} failed, 0 skipped", done.stdout
    assert all("is not coming (fence: roundtrip)" in line for line in failures(done)), done.stdout


def test_a_draft_is_no_answer_either(tmp_path):
    done = played(tmp_path, """
  - ana drafts: NEVER
    ana sees: '...NEVER...'
    patience: 300ms
""")  # fmt: skip
    assert closing(done) == f"0 passed, {len(STYLES)} failed, 0 skipped", done.stdout
    assert all("did not come within" in line for line in failures(done)), done.stdout


def test_messages_that_come_while_typing_are_all_seen_in_order_and_the_draft_stays(tmp_path):
    numbers = ", ".join(f"'ben: {n}'" for n in range(1, 61))
    done = played(tmp_path, f"""
  - ana drafts: hel
  - ben sends: /flood 60
    ana sees next: [{numbers}]
  - ana types: lo
    ana, ben see next: 'ana: hello'
""")  # fmt: skip
    assert closing(done) == f"{len(STYLES)} passed, 0 failed, 0 skipped", done.stdout


def test_prompts_keys_and_redraws_are_nothing_that_was_said(tmp_path):
    done = played(tmp_path, """
  - ana types: /silent {}
    ana sees nothing:
  - ana resizes: 70x30
    ana sees nothing:
  - ana types: [/silent one, /silent two, /silent three]
    ana sees nothing:
""".format("x" * 200), [style for style in STYLES if style != "cooked"])  # fmt: skip
    assert closing(done) == f"{len(STYLES) - 1} passed, 0 failed, 0 skipped", done.stdout


def test_a_progress_bar_says_only_how_it_ended(tmp_path):
    steps = "".join(f"""
  - ben sends: /step ana {percent}
    ana sees nothing:
  - ben sends: at {percent}
    ana sees only: 'ben: at {percent}'
""" for percent in (10, 40, 70))  # fmt: skip
    done = played(tmp_path, steps.lstrip("\n") + """
  - ana shows: '[#######   ] 70%'
  - ben sends: /step ana 100
    ana sees only: '[##########] 100%'
""", ["progress"])  # fmt: skip
    assert closing(done) == "1 passed, 0 failed, 0 skipped", done.stdout


def test_a_pager_stops_and_goes_on_by_a_key_and_its_mark_is_no_line(tmp_path):
    pages = [", ".join(f"'| {n}'" for n in range(start, start + 10)) for start in (1, 11, 21)]
    done = played(tmp_path, f"""
  - ana types: /long 30
    ana sees: [{pages[0]}]
  - ana is asked: --More--
    ana presses: space
    ana sees: [{pages[1]}]
    ana shows: {{text: --More--, style: reverse}}
  - ben sends: hello
  - ana is asked: --More--
    ana presses: space
    ana sees: [{pages[2]}, 'ben: hello']
    ana never sees: More
""", ["pager"])  # fmt: skip
    assert closing(done) == "1 passed, 0 failed, 0 skipped", done.stdout


def test_a_role_that_reads_on_by_itself_hears_a_long_answer_as_one(tmp_path):
    numbers = ", ".join(f"'| {n}'" for n in range(1, 31))
    done = played(tmp_path, f"""
  - ana types: /long 30
    ana sees only: [{numbers}]
    ben sees nothing:
""", ["reader"])  # fmt: skip
    assert closing(done) == "1 passed, 0 failed, 0 skipped", done.stdout


def test_a_full_screen_program_says_what_newly_appears_and_nothing_again(tmp_path):
    done = played(tmp_path, """
  - repeat: 30
    steps:
      - ben sends: again ${round}
        ana sees only: 'ben: again ${round}'
  - ben sends: the same
    ana sees only: 'ben: the same'
  - ben sends: the same
    ana sees only: 'ben: the same'
  - ana resizes: 80x12
    ana sees nothing:
  - ana resizes: 80x24
    ana sees nothing:
  - ana shows: {text: ' chat ', style: reverse not bold}
  - ana drafts: abc
    ana shows: '> abc'
""", ["curses"])  # fmt: skip
    assert closing(done) == "1 passed, 0 failed, 0 skipped", done.stdout


@pytest.mark.parametrize("style", ["readline", "raw"])
def test_a_view_that_does_not_fit_is_found_before_it_can_lie(tmp_path, style):
    profile = PROFILE.read_text().replace("${here}", str(PROFILE.parent))
    profile += "  wrong: {shell: {types: x}}\n"
    role = f"  wrong:\n    like: {style}\n    view: lines\n    prompt: '> '\n  line:  "
    path = written(tmp_path, profile.replace("  line:  ", role, 1), "clients.yaml")
    done = harness("run", written(tmp_path, """
        scenario: A program that edits its line itself is no cooked program
        use: clients
        cast: {ana: wrong}
        steps:
          - ana types: NEVER
            ana sees: NEVER
    """), "--profile", path)  # fmt: skip
    assert done.returncode == 2, done.stdout
    assert "edits its line itself (role wrong)" in done.stdout
    assert "view: screen" in done.stdout


def test_a_paste_is_one_text_where_the_program_asks_for_it_and_lines_elsewhere(tmp_path):
    done = played(tmp_path, """
  - ana pastes: one line
  - ana types: ' and its end'
    ben sees: 'ana: one line and its end'
  - ana pastes: "first\\nsecond\\n"
    ben sees next: ['ana: first', 'ana: second']
""", ["cooked", "input", "raw"])  # fmt: skip
    assert closing(done) == "3 passed, 0 failed, 0 skipped", done.stdout


def test_several_lines_are_pasted_between_marks_and_wait_for_enter(tmp_path):
    done = played(tmp_path, """
  - ana pastes: one line
  - ana types: ' and its end'
    ben sees: 'ana: one line and its end'
  - ana pastes: "first\\nsecond"
    ben sees nothing:
  - ana types: ' and more'
    ben sees next: ['ana: first', 'ana: second and more']
""", ["readline", "prompt_toolkit"])  # fmt: skip
    assert closing(done) == "2 passed, 0 failed, 0 skipped", done.stdout


def snapshot(folder, wanted, text):
    (folder / "screens").mkdir(exist_ok=True)
    if text is not None:
        (folder / "screens" / "hello.txt").write_text(text)
    return played(folder, """
  - ben sends: hello
    ana sees: 'ben: hello'
    ana shows: {snapshot: screens/hello.txt}
""", wanted)  # fmt: skip


def test_a_snapshot_is_the_whole_screen_and_a_difference_is_told_row_by_row(tmp_path):
    right = "You are ana.\nben: ...\n\nsay>\n"
    done = snapshot(tmp_path, ["raw"], "You are ana.\nben: ...\nsay>\n")
    assert closing(done) == "1 passed, 0 failed, 0 skipped", done.stdout
    done = snapshot(tmp_path, ["raw"], right)
    assert closing(done) == "0 passed, 1 failed, 0 skipped", done.stdout
    assert "  - | \n" in done.stdout
    assert "  + | say>" in done.stdout


def test_a_missing_snapshot_is_an_error_that_says_how_it_is_made(tmp_path):
    done = snapshot(tmp_path, ["raw"], None)
    assert done.returncode == 2, done.stdout
    assert "no snapshot" in done.stdout
    assert "harness run --accept" in done.stdout
