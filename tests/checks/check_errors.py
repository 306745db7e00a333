"""Errors at their full size: schema and loader on 1,000 files; no file breaks the loader."""

import random
import shutil
from itertools import pairwise
from pathlib import Path

import pytest
from broken.corpus import FILES, HEAD, SENSE, VALUES, WORDS, YAML
from broken.shapes import disagreement, drawn
from jsonschema import Draft202012Validator
from programs.kit import PROFILE

from harness.codes import CODES, indented
from harness.errors import ScenarioError
from harness.fmt import formatted
from harness.language import load_scenario
from harness.schema import scenario_schema
from harness.yaml_nodes import LARGEST, read

ROOT = Path(__file__).parent.parent.parent
OURS = sorted((ROOT / "scenarios").rglob("*.yaml"))
SIGNS = "{}[]:,#&*!|>'\"%@`-?\t\n ~$\\\0é\x85"


@pytest.mark.parametrize("start", range(1000, 2000, 100))
def test_schema_and_loader_agree_about_1000_files(tmp_path, start):
    shutil.copy(PROFILE, tmp_path / "small.yaml")
    validator = Draft202012Validator(scenario_schema())
    documents = {seed: drawn(random.Random(seed)) for seed in range(start, start + 100)}
    differ = {seed: disagreement(doc, tmp_path, validator) for seed, doc in documents.items()}
    assert {seed: found for seed, found in differ.items() if found} == {}
    assert 20 < sum(validator.is_valid(document) for document in documents.values()) < 80


def test_a_hundred_broken_files_and_more_have_a_code_each():
    rows = [*YAML, *WORDS, *VALUES, *SENSE, *FILES]
    assert len(rows) >= 100
    print(f"{len(rows)} broken files, {len({code for _, code, _ in rows})} codes of {len(CODES)}")


@pytest.mark.parametrize("seed", range(10))
def test_a_file_with_random_damage_is_read_or_told_with_a_place(tmp_path, seed):
    """Signs dropped, doubled, put in: 100 damaged files a seed; never a traceback, never a hang."""
    draw = random.Random(seed)
    shutil.copy(PROFILE, tmp_path / "small.yaml")
    text = HEAD + "steps:\n" + indented("".join(t for _, _, t in draw.sample([*WORDS, *SENSE], 5)))
    told = 0
    for _ in range(100):
        damaged = list(text.replace("«", "").replace("»", ""))
        for _ in range(draw.randint(1, 6)):
            at = draw.randrange(len(damaged))
            damaged[at : at + draw.randint(0, 3)] = draw.choices(SIGNS, k=draw.randint(0, 3))
        path = tmp_path / "damaged.yaml"
        path.write_text("".join(damaged))
        try:
            load_scenario(path)
        except ScenarioError as error:
            told += 1
            lines = path.read_text().split("\n")
            for problem in error.problems:
                assert problem.code in CODES, problem
                assert problem.place.line <= len(lines) + 1
    assert told > 50


def test_the_layout_of_all_our_files_settles_and_loads_the_same(tmp_path):
    for path in OURS:
        text = formatted(path)
        copy = tmp_path / path.name
        copy.write_text(text)
        assert formatted(copy) == text
        assert read(copy).plain() == read(path).plain()


def test_files_at_the_limits_are_decided_quickly(tmp_path):
    """The biggest file, the deepest, the widest reference: each one problem, in bounded memory."""
    path = tmp_path / "big.yaml"
    bomb = "a: &a [" + "x, " * 50 + "x]\n"
    names = "abcdefghijklmnop"
    for one, two in pairwise(names):
        bomb += f"{two}: &{two} [{', '.join([f'*{one}'] * 50)}]\n"
    for text, code in (
        ("#" * (LARGEST + 1), "H003"), ("[" * (LARGEST // 2), "H004"),
        ("{a: " * 200_000, "H004"), (f"scenario: x\n{bomb}", "H005"),
    ):  # fmt: skip
        path.write_text(text)
        with pytest.raises(ScenarioError) as caught:
            load_scenario(path)
        assert [problem.code for problem in caught.value.problems] == [code]
