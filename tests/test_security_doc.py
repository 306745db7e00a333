"""`docs/security.md` promises nothing without a test, and names tests that are there."""

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PAGE = (TESTS.parent / "docs" / "security.md").read_text("utf-8")
ROWS = re.findall(r"^\| (?!Promise|-|\*\*|Who)(.+?) \| (.+) \|$", PAGE, re.MULTILINE)
NAMED = sorted(set(re.findall(r"`(test_\w+\.py)(?:::(\w+))?`", PAGE)))


def names_in(file: str) -> set[str]:
    tree = ast.parse((TESTS / file).read_text("utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_promise_names_what_shows_it():
    promises = [row for row in ROWS if "`" in row[1]]
    assert len(promises) == len(ROWS) > 20


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_what_it_names_is_a_test(file: str, name: str):
    assert not name or name in names_in(file)
    assert (TESTS / file).exists()
