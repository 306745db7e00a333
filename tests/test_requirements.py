"""Every requirement is shown by a scenario or a test, and `docs/requirements.md` says by which."""

import ast
import functools
import re
import tomllib
from pathlib import Path

import pytest

from harness.yaml_nodes import read

ROOT = Path(__file__).parent.parent
TABLE = ROOT / "docs" / "requirements.md"
SCENARIOS = ROOT / "scenarios"
COUNTS = {"S0": 36, "S1": 23, "S2": 35, "S3": 25, "S4": 19}

ROW = re.compile(r"\| (S\d-\d\d) \| (.+?) \| (.+?) \| (.*?) ?\|", re.ASCII)
SHOWN = re.compile(r"`([^`]+)`")


def read_table(text: str) -> dict[str, list[str]]:
    """Row to what shows it, in the order of the document; raises for a row that is there twice."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        match = ROW.fullmatch(line.strip())
        if match:
            assert match[1] not in found, f"{match[1]} is there twice"
            found[match[1]] = SHOWN.findall(match[3])
            rest = SHOWN.sub("", match[3]).strip()
            assert not rest, f"{match[1]}: {rest}"
    return found


@functools.cache
def table() -> dict[str, list[str]]:
    return read_table(TABLE.read_text("utf-8"))


@functools.cache
def covered() -> dict[str, list[str]]:
    """Scenario to the rows that it says it covers."""
    return {
        path.relative_to(SCENARIOS).as_posix(): read(path).plain().get("covers", [])
        for path in sorted(SCENARIOS.rglob("*.yaml"))
        if path.parent.name != "profiles"
    }


@functools.cache
def functions_of(path: Path) -> set[str]:
    """The names of the test functions of a file."""
    tree = ast.parse(path.read_text("utf-8"))
    return {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test")
    }


def exists(shown: str) -> bool:
    """Whether a scenario, or a test as `test_file.py::test_function`, is there."""
    file, separator, function = shown.partition("::")
    if not separator:
        return shown in covered()
    path = ROOT / "tests" / file
    return path.is_file() and function in functions_of(path)


def test_the_table_has_every_row_of_every_document():
    wanted = [f"{doc}-{n:02}" for doc, count in COUNTS.items() for n in range(1, count + 1)]
    assert list(table()) == wanted


def test_every_row_is_shown_by_something():
    assert [row for row, shown in table().items() if not shown] == []


def test_what_shows_a_row_is_there():
    missing = [(row, one) for row, shown in table().items() for one in shown if not exists(one)]
    assert missing == []


def test_the_table_and_the_scenarios_say_the_same():
    said = {(row, one) for row, shown in table().items() for one in shown if "::" not in one}
    done = {(row, path) for path, rows in covered().items() for row in rows}
    assert said - done == set(), "in the table, but the scenario does not cover it"
    assert done - said == set(), "covered by the scenario, but not in the table"


def test_every_scenario_shows_a_requirement():
    assert [path for path, rows in covered().items() if not rows] == []


def test_a_wrong_table_is_noticed():
    assert read_table("| S0-01 | x | `a.yaml` `t.py::test_t` | why |") == {
        "S0-01": ["a.yaml", "t.py::test_t"]
    }
    with pytest.raises(AssertionError, match="twice"):
        read_table("| S0-01 | x | `a` |  |\n| S0-01 | y | `b` |  |")
    with pytest.raises(AssertionError, match="planned"):
        read_table("| S0-01 | x | planned |  |")
    assert not exists("dialogue/no_such_scenario.yaml")
    assert not exists("test_requirements.py::test_that_is_not_there")


# --- rows about the house itself ----------------------------------------------------------------


def test_the_oldest_python_is_3_11():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["requires-python"] == ">=3.11"


@pytest.mark.parametrize("heading", ["Installing", "Documentation", "Running the tests"])
def test_the_readme_fills_what_was_left_empty(heading):
    readme = (ROOT / "README.md").read_text("utf-8")
    section = re.search(rf"^#+ {heading}\n(.*?)(?=^#|\Z)", readme, re.DOTALL | re.MULTILINE)
    assert section is not None
    assert len(section[1].split()) > 10


def test_the_licence_is_mit():
    assert "MIT License" in (ROOT / "LICENSE.md").read_text("utf-8")
