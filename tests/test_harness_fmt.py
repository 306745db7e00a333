"""The one layout: it settles at once, keeps comments, and never changes what a file means."""

from pathlib import Path

import pytest
from programs.kit import PROFILE

from harness.cli import main
from harness.fmt import formatted
from harness.language import load_scenario
from harness.profile import load_profile
from harness.yaml_nodes import read

ROOT = Path(__file__).parent.parent

UGLY = """\
# About the file.

use:   small
# Who plays.
cast: { ana: shell,   ben: "wire" }   # two of them
covers: ['S1', "S2"]
scenario: "It's a promise"
steps:
- ana types: "hello"   # said

  # An answer.
- ben sees: {code: 'x', text: "true", n: '5', what: "a: b", bell: "\\e[1m\\x07"}
  ben   never   sees: ["it's", 'plain text', '${name}']
- ana sees: [ {lost: {who: ben}}, 'a # b' ]
  ana sees nothing:
"""
PRETTY = """\
# About the file.

scenario: "It's a promise"
covers: [S1, S2]
use: small
# Who plays.
cast: {ana: shell, ben: wire}         # two of them
steps:
  - ana types: hello     # said

  # An answer.
  - ben sees: {code: x, text: 'true', n: '5', what: 'a: b', bell: "\\u001b[1m\\u0007"}
    ben   never   sees: ["it's", 'plain text', '${name}']
  - ana sees: [{lost: {who: ben}}, 'a # b']
    ana sees nothing:
"""


def written(folder, text, name="a.yaml"):
    path = folder / name
    path.write_text(text)
    return path


def squeezed(text):
    """The text with runs of blanks as one: where a comment begins is the author's business."""
    return [" ".join(line.split()) for line in text.splitlines()]


def test_keys_get_their_order_lists_their_indentation_and_texts_lose_their_quotes(tmp_path):
    assert squeezed(formatted(written(tmp_path, UGLY))) == squeezed(PRETTY)
    assert "\n  - ana types: hello" in formatted(written(tmp_path, UGLY))


def test_comments_and_blank_lines_stay(tmp_path):
    text = formatted(written(tmp_path, UGLY))
    assert [line.count("#") for line in UGLY.splitlines()].count(1) == sum(
        line.count("#") == 1 for line in text.splitlines()
    )
    assert text.count("\n\n") == UGLY.count("\n\n")


def test_the_scenarios_that_we_ship_have_the_layout():
    assert main(["fmt", "--check", str(ROOT / "scenarios")]) == 0


def test_what_a_file_means_is_the_same_before_and_after(tmp_path):
    for number, text in enumerate((UGLY, PROFILE.read_text())):
        path = written(tmp_path, text, f"{number}.yaml")
        before = read(path).plain()
        path.write_text(formatted(path))
        assert read(path).plain() == before
        assert formatted(path) == path.read_text()


def test_a_scenario_loads_to_the_same_steps(tmp_path):
    path = written(tmp_path, UGLY.replace("  ana sees nothing:\n", ""))

    def loaded():
        scenario = load_scenario(path, profile=PROFILE)
        clauses = [(c.who, c.verb.name, c.value) for step in scenario.steps for c in step.clauses]
        return scenario.title, scenario.covers, [m.name for m in scenario.cast], clauses

    before = loaded()
    path.write_text(formatted(path))
    assert loaded() == before


def test_a_profile_loads_to_the_same_roles(tmp_path):
    text = PROFILE.read_text()
    path = written(tmp_path, text.replace("profile: small\n", "") + "profile: small\n")
    before = load_profile(path)
    path.write_text(formatted(path))
    assert "\nprofile: small\nserver:" in path.read_text()
    after = load_profile(path)
    assert (after.name, list(after.roles), after.acts) == (
        before.name,
        list(before.roles),
        before.acts,
    )


@pytest.mark.parametrize("text", [
    "a: |\n  two\n  lines\nb: >-\n  folded\n  text\n",
    "scenario: x\nsteps: []\ncast: {}\n",
    "- a\n- {b: c}\n- - d\n",
    "{scenario: x, steps: [mark: a]}\n",
    "scenario: x\nwhen: 2027-01-31\nn: [1_000, 0x1f, 1.10, 1e3, ~, true, null, .inf]\n",
    "a: &x [1, 2]\nb: *x\n",
    "scenario: 'x'\r\nsteps:\r\n- mark: a\r\n",
    "cast: {b: x, a: y}\nscenario: x\n",
    "# nothing else\nscenario: é ‮ \"\n",
    "a: \"" + "long and longer " * 30 + "\"\n",
    "steps:\n  # first\n  - mark: a\n\n  # second\n  - mark: b\n\n# last\ncleanup: []\n",
    "scenario: x",
])  # fmt: skip
def test_odd_files_keep_their_meaning_and_settle(tmp_path, text):
    path = tmp_path / "odd.yaml"
    path.write_bytes(text.encode())
    before = read(path)
    once = formatted(path)
    path.write_text(once, newline="")
    assert read(path).plain() == before.plain()
    assert formatted(path) == once
    assert "\r" not in once


def test_check_names_what_would_change_and_writes_nothing(tmp_path, capsys):
    ugly, pretty = written(tmp_path, UGLY, "ugly.yaml"), written(tmp_path, PRETTY, "pretty.yaml")
    pretty.write_text(formatted(pretty))
    assert main(["fmt", "--check", str(tmp_path)]) == 1
    assert capsys.readouterr().out == f"would be laid out anew: {ugly}\n"
    assert ugly.read_text() == UGLY
    assert main(["fmt", "--diff", str(ugly)]) == 1
    assert '+scenario: "It\'s a promise"' in capsys.readouterr().out
    assert main(["fmt", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"laid out anew: {ugly}\n"
    assert main(["fmt", "--check", str(tmp_path)]) == 0
    assert capsys.readouterr().out == ""


def test_a_file_that_is_no_yaml_is_told_and_the_others_are_laid_out(tmp_path, capsys):
    written(tmp_path, "scenario: [x\n", "broken.yaml")
    ugly = written(tmp_path, UGLY, "ugly.yaml")
    assert main(["fmt", str(tmp_path)]) == 2
    assert "broken.yaml:1:11: H012" in capsys.readouterr().out
    assert ugly.read_text() != UGLY
