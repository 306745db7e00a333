"""Every slip is told once: by a stable code, inside the wrong token, with the repair."""

import re
import shutil
from pathlib import Path

import pytest
from broken.corpus import FILES, HEAD, PROFILES, RAW, SENSE, VALUES, WORDS, YAML
from programs.kit import PROFILE, closing, harness, run

from harness import codes
from harness.backtracking import nested_repeat
from harness.cli import main
from harness.errors import ScenarioError
from harness.language import load_scenario
from harness.profile import load_profile

WRITTEN = [(name, code, f"{HEAD}steps:\n{codes.indented(text)}")
           for name, code, text in (*YAML, *WORDS, *VALUES, *SENSE)]  # fmt: skip
WRITTEN = [(name, code, text.replace("\n  cleanup:", "\ncleanup:").replace("\n  «\t»", "\n«\t»")
            .replace("\n  «---»\n  ", "\n«---»\n"))
           for name, code, text in WRITTEN] + FILES  # fmt: skip


def marked(text):
    """The text without its marks, and from where to where the slip reaches: line, column."""
    start, end = text.index("«"), text.index("»")
    before, slip = text[:start], text[start + 1 : end]
    first = (before.count("\n") + 1, start - before.rfind("\n"))
    last_line = before + slip
    last = (last_line.count("\n") + 1, len(last_line) - last_line.rfind("\n"))
    return before + slip + text[end + 1 :], first, last


def problems_of(path, profile=None):
    with pytest.raises(ScenarioError) as caught:
        load_scenario(path, profile=profile)
    return caught.value.problems


@pytest.fixture
def folder(tmp_path):
    """A folder with the profile `small` and a file to include."""
    shutil.copy(PROFILE, tmp_path / "small.yaml")
    (tmp_path / "part.yaml").write_text("steps:\n  - mark: part\n")
    return tmp_path


def check_problem(path, capsys, code, first, last):
    """One problem, of this code, in this place, with a repair; and exit code 2."""
    problems = problems_of(path)
    assert [problem.code for problem in problems] == [codes.number(code)], problems
    place = (problems[0].place.line, problems[0].place.column)
    assert first <= place <= last, problems[0]
    assert problems[0].help
    assert main(["check", str(path)]) == 2
    told = capsys.readouterr()
    assert f"{problems[0].place}: {problems[0].code} " in told.out
    assert "Traceback" not in told.err


@pytest.mark.parametrize(
    ("code", "text"),
    [row[1:] for row in WRITTEN],
    ids=[row[0].replace(" ", "-") for row in WRITTEN],
)
def test_a_slip_is_told_once_inside_the_wrong_token(folder, capsys, code, text):
    plain, first, last = marked(text)
    path = folder / "broken.yaml"
    path.write_bytes(plain.encode())
    check_problem(path, capsys, code, first, last)


@pytest.mark.parametrize(("code", "data", "line", "column"), [row[1:] for row in RAW],
                         ids=[row[0].replace(" ", "-") for row in RAW])  # fmt: skip
def test_bytes_that_are_no_text_are_told_where_they_stand(folder, capsys, code, data, line, column):
    path = folder / "broken.yaml"
    path.write_bytes(data)
    check_problem(path, capsys, code, (line, column), (line, column))


@pytest.mark.parametrize(("code", "old", "new"), [row[1:] for row in PROFILES],
                         ids=[row[0].replace(" ", "-") for row in PROFILES])  # fmt: skip
def test_a_slip_in_a_profile_is_told_once(folder, code, old, new):
    text = PROFILE.read_text()
    assert old in text
    plain, first, last = marked(text.replace(old, new, 1))
    path = folder / "small.yaml"
    path.write_text(plain)
    with pytest.raises(ScenarioError) as caught:
        load_profile(path)
    found = {(p.code, p.place.line, p.place.column) for p in caught.value.problems}
    assert {code for code, *_ in found} == {codes.number(code)}, caught.value
    assert all(first <= place[1:] <= last for place in found), caught.value
    assert all(problem.help for problem in caught.value.problems)


def test_a_folder_or_nothing_at_all_is_told_so(tmp_path):
    (tmp_path / "folder.yaml").mkdir()
    for name in ("folder.yaml", "nothing.yaml"):
        problems = problems_of(tmp_path / name, PROFILE)
        assert [problem.code for problem in problems] == [codes.number("unreadable")]
    done = harness("run", tmp_path / "nothing.yaml")
    assert (done.returncode, done.stderr) == (2, "")


@pytest.mark.parametrize("row", codes.TABLE, ids=[row.number for row in codes.TABLE])
def test_the_example_of_a_code_is_wrong_by_it_alone_and_loads_when_mended(tmp_path, row):
    if row.name == "no-value":
        pytest.skip("told while running")
    (tmp_path / "example.yaml").write_text(codes.PROFILE)
    for name, text in row.files.items():
        (tmp_path / name).write_text(text)
    path = tmp_path / "wrong.yaml"
    if row.name != "unreadable":
        path.write_bytes(row.made() if row.made else row.document(row.wrong).encode())
    load = load_profile if row.shape == "profile" else load_scenario
    with pytest.raises(ScenarioError) as caught:
        load(path)
    assert {problem.code for problem in caught.value.problems} == {row.number}, caught.value
    path.write_text(row.document(row.mended))
    load(path)


def test_a_name_that_has_no_value_after_all_is_told_while_running(tmp_path):
    row = codes.CODES[codes.number("no-value")]
    head = "scenario: x\ncast: {ana: shell}\nsteps:\n"
    wrong = run(tmp_path, head + codes.indented(row.wrong))
    assert (wrong.returncode, wrong.stderr) == (2, "")
    assert "${n} has no value yet" in wrong.stdout
    right = run(tmp_path, head + codes.indented(row.mended))
    assert (right.returncode, closing(right)) == (0, "1 passed, 0 failed, 0 skipped")


def test_numbers_and_names_of_codes_are_unique_and_all_in_use():
    assert len(codes.CODES) == len(codes.NUMBERS) == len(codes.TABLE)
    source = "".join(path.read_text() for path in Path(codes.__file__).parent.rglob("*.py")
                     if path.name != "codes.py")  # fmt: skip
    assert [row.name for row in codes.TABLE if f'"{row.name}"' not in source] == []


def test_explain_tells_what_a_code_means_with_an_example(capsys):
    assert main(["explain", "H101"]) == 0
    told = capsys.readouterr().out
    assert "unknown-verb" in told
    assert "- ana tpyes: hello" in told
    assert "- ana types: hello" in told
    assert re.search(r"^    \S+:5:9: H101 unknown verb 'tpyes'$", told, re.MULTILINE)
    assert main(["explain", "unknown-verb"]) == 0
    assert capsys.readouterr().out == told


def test_explain_without_a_code_lists_them_all(capsys):
    assert main(["explain"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if line.startswith("H")] == list(codes.CODES)


def test_explain_of_an_unknown_code_names_the_nearest(capsys):
    assert main(["explain", "unknown-verbs"]) == 2
    assert "unknown-verb" in capsys.readouterr().err


def test_names_that_may_have_a_value_are_not_complained_of(folder):
    text = f"""{HEAD}matrix: {{text: ['hi ${{ben.name}}', ho]}}
vars: {{greeting: 'dear ${{text}}'}}
steps:
  - ana joins:
  - ana types: '${{greeting}}'
    ana sees: ['${{n=int}} of ${{n}}', x]
  - when: '${{n}} > 1'
    ana types: 'now ${{n}} and ${{ana.n}}'
  - repeat: 2
    steps:
      - {{ana types: 'round ${{round}}', ana sees: 'n ${{m=int}}'}}
      - ana types: 'm ${{m}}'
  - ana leaves:
  - ana exits: 0
  - ana joins:
  - ana sees: {{re: '${{n}} (?P<left>\\d+)'}}
  - ana types: '${{left}}'
cleanup:
  - ana types: '${{n}}'
"""
    (folder / "right.yaml").write_text(text)
    load_scenario(folder / "right.yaml")


@pytest.mark.parametrize(
    ("expression", "slow"),
    [
        (r"(a+)+b", "(a+)+"), (r"(?:x|y+)*", "(?:x|y+)*"), (r"(.*,)*", "(.*,)*"),
        (r"(\d+, )*\d+", None), (r"(\[[^]]*\] )?> ", None), (r"((\w+)-(\w+) )*", None),
        (r"(a*+)*", None), (r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}", None),
        (r"(?=(a+)+)b", "(a+)+"), (r"\((a+)+", "(a+)+"),
    ],
)  # fmt: skip
def test_a_repetition_of_a_repetition_is_found_unless_each_round_ends_by_a_sign(expression, slow):
    assert nested_repeat(expression) == slow
