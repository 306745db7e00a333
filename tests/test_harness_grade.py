"""`harness grade`: points, verdicts and pages for several programs."""

import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import pytest
from programs.kit import DAEMON, PROFILE, harness, written

from harness.errors import ScenarioError
from harness.requirements import read_requirements

RIGHT = f"{DAEMON} ${{server.port}}"
PRIVATE = """
    scenario: A direct message reaches one person alone
    covers: [R-1, R-2]
    points: 3
    matrix: {dress: [wire, acked, shell]}
    cast: {ana: '${dress}', ben: '${dress}', cid: wire}
    steps:
      - ana does: {dm: {to: ben, text: psst}}
        ben sees: {dm: {from: ana, text: psst}}
        cid never sees: psst
"""
GREETED = """
    scenario: Whoever comes is welcome
    covers: [R-3]
    cast: {ana: wire}
    steps:
      - fence: ana
"""
FLYING = """
    scenario: The program can fly
    covers: [R-4]
    needs: [flying]
    points: 50
    cast: {ana: wire}
    steps:
      - fence: ana
"""
REQUIREMENTS = """
    # What the assignment asks for

    | Id | Requirement |
    |---|---|
    | R-1 | a direct message arrives |
    | R-2 | a direct message stays private |
    | R-3 | a newcomer is greeted |
    | R-4 | it flies |
    | R-5 | it <b>sings</b> |
"""


@pytest.fixture
def folder(tmp_path):
    for name, text in (("private", PRIVATE), ("greeted", GREETED), ("flying", FLYING)):
        written(tmp_path, text, f"{name}.yaml")
    written(tmp_path, REQUIREMENTS, "requirements.md")
    return tmp_path


def graded(folder, *options):
    done = harness(
        "grade", *(folder / f"{name}.yaml" for name in ("private", "greeted", "flying")),
        "--profile", PROFILE, "-j", 2, "-o", folder / "grades",
        "--requirements", folder / "requirements.md", *options,
    )  # fmt: skip
    return done, json.loads((folder / "grades" / "grades.json").read_text())


def test_points_and_verdicts_of_a_right_and_a_leaking_program(folder):
    done, grades = graded(
        folder, "--program", f"right={RIGHT}", "--program", f"leaking={RIGHT} --fault leak-dm"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[:2] == [
        "right: 4 of 4 points (1 not applicable, 4 passed)",
        "leaking: 1 of 4 points (3 failed, 1 not applicable, 1 passed)",
    ]
    right, leaking = grades["programs"]
    assert (right["points"], right["worth"], right["open"]) == (4, 4, 0)
    assert leaking["counts"] == {"failed": 3, "passed": 1, "not applicable": 1}
    by_id = {row["id"]: row for row in grades["requirements"]}
    assert by_id["R-2"]["verdicts"] == {"right": "passed", "leaking": "failed"}
    assert by_id["R-4"]["verdicts"] == {"right": "not applicable", "leaking": "not applicable"}
    assert by_id["R-5"] == {
        "id": "R-5", "text": "it <b>sings</b>", "scenarios": [],
        "verdicts": {"right": "open", "leaking": "open"},
    }  # fmt: skip


def test_a_part_of_the_points_for_what_held_before_it_broke(folder):
    _, grades = graded(folder, "--program", f"leaking={RIGHT} --fault leak-dm", "--partial")
    failed = [r for r in grades["programs"][0]["results"] if r["verdict"] == "failed"]
    assert failed
    assert all(0 <= result["points"] < result["worth"] == 1 for result in failed)


def test_what_could_not_run_leaves_its_points_open(folder):
    done, grades = graded(folder, "--program", "absent=no-such-program-anywhere")
    assert done.returncode == 3
    (absent,) = grades["programs"]
    assert (absent["points"], absent["worth"], absent["open"]) == (0, 4, 4)
    letter = (folder / "grades" / "absent.html").read_text()
    assert "What could not be found out" in letter
    assert "program not found: no-such-program-anywhere" in letter


class Page(HTMLParser):
    """The text of a page, and what it would fetch."""

    def __init__(self, path: Path):
        super().__init__()
        self.text, self.fetched, self.open = [], [], []
        self.feed(path.read_text())

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.fetched += [values[key] for key in ("src", "href") if values.get(key)]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_a_letter_says_what_was_asked_what_came_and_how_to_see_it(folder):
    graded(folder, "--program", f"leaking={RIGHT} --fault leak-dm")
    page = Page(folder / "grades" / "leaking.html")
    text = re.sub(r"\s+", " ", "".join(page.text))
    assert page.open == []
    assert page.fetched == []
    assert "1 of 4 points" in text
    assert "R-2 a direct message stays private" in text
    assert "cid never sees: psst — but it came" in text
    assert "leaked " in text
    assert "What works Whoever comes is welcome" in text
    assert "What was not asked of this program The program can fly" in text
    assert "harness run " in text


def test_the_overview_has_every_requirement_and_escapes_what_others_wrote(folder):
    graded(folder, "--program", f"<i>mine</i>={RIGHT}")
    page = Page(folder / "grades" / "index.html")
    assert page.open == []
    assert page.fetched == ["i-mine-i.html"]
    assert "<b>sings</b>" not in (folder / "grades" / "index.html").read_text()
    assert "R-5 — it <b>sings</b>" in page.text
    ET.parse(folder / "grades" / "i-mine-i.svg")


def test_each_folder_is_a_program_of_its_own(folder):
    for name in ("anna", "ben o'hara"):
        home = folder / "submissions" / name
        home.mkdir(parents=True)
        (home / "server.py").write_text(
            f"import os, sys\nos.execvp('python3', {DAEMON.split()!r} + sys.argv[1:])\n"
        )
    done, grades = graded(
        folder, "--each", *sorted((folder / "submissions").iterdir()),
        "--server", "python3 ${each}/server.py ${server.port}",
    )  # fmt: skip
    assert [one["name"] for one in grades["programs"]] == ["anna", "ben o'hara"]
    assert [one["points"] for one in grades["programs"]] == [4, 4], done.stdout


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("r.md", "| S1-01 | one | x |\n| `S1-02` | two |\n", {"S1-01": "one", "S1-02": "two"}),
        ("r.csv", 'id,text\nS1-01,"one, and more"\n', {"S1-01": "one, and more"}),
    ],
)
def test_requirements_are_read_from_markdown_and_csv(tmp_path, name, text, found):
    (tmp_path / name).write_text(text)
    assert read_requirements(tmp_path / name) == found


@pytest.mark.parametrize("text", ["", "nothing here", "| R-1 | a |\n| R-1 | b |\n"])
def test_a_file_without_requirements_or_with_one_twice_is_refused(tmp_path, text):
    (tmp_path / "r.md").write_text(text)
    with pytest.raises(ScenarioError):
        read_requirements(tmp_path / "r.md")
