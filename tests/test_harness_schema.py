"""The JSON Schema for editors says of a file's shape what the loader says."""

import json
import random
import shutil
from pathlib import Path

import pytest
from broken.shapes import WHOLE, disagreement, drawn
from jsonschema import Draft202012Validator
from programs.kit import PROFILE

from harness import language, profile
from harness.cli import main
from harness.schema import KINDS, ROLE, SCENARIO, SERVER, profile_schema, scenario_schema
from harness.schema import PROFILE as PROFILE_ROWS
from harness.values import VALUES
from harness.verbs import FORMS
from harness.yaml_nodes import read

ROOT = Path(__file__).parent.parent
OURS = sorted((ROOT / "scenarios").rglob("*.yaml"))


@pytest.fixture(scope="module")
def validators():
    schemas = {"scenario": scenario_schema(), "profile": profile_schema()}
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
    return {name: Draft202012Validator(schema) for name, schema in schemas.items()}


def test_every_file_that_we_ship_fits_the_schema(validators):
    wrong = []
    for path in [*OURS, PROFILE]:
        root = read(path)
        kind = "profile" if root.get("profile") is not None else "scenario"
        wrong += [
            (str(path), error.message) for error in validators[kind].iter_errors(root.plain())
        ]
    assert len(OURS) > 100
    assert wrong == []


@pytest.mark.parametrize("seeds", [range(start, start + 30) for start in (0, 30)], ids=str)
def test_schema_and_loader_agree_about_files_drawn_at_random(tmp_path, validators, seeds):
    shutil.copy(PROFILE, tmp_path / "small.yaml")
    documents = {seed: drawn(random.Random(seed)) for seed in seeds}
    differ = {seed: disagreement(document, tmp_path, validators["scenario"])
              for seed, document in documents.items()}  # fmt: skip
    assert {seed: found for seed, found in differ.items() if found} == {}
    valid = [validators["scenario"].is_valid(document) for document in documents.values()]
    assert 5 < sum(valid) < 25


def test_the_document_that_the_others_are_drawn_from_has_no_slip(tmp_path, validators):
    shutil.copy(PROFILE, tmp_path / "small.yaml")
    assert validators["scenario"].is_valid(WHOLE)
    assert disagreement(WHOLE, tmp_path, validators["scenario"]) is None


def test_every_verb_and_key_and_kind_of_value_is_in_the_schema(validators):
    exchange = scenario_schema()["$defs"]["exchange"]["patternProperties"]
    assert len(exchange) == len(FORMS)
    assert set(SCENARIO) == set(language.KEYS)
    assert set(PROFILE_ROWS) == set(profile.KEYS)
    assert set(ROLE) == set(profile.ROLE_KEYS)
    assert set(SERVER) == set(profile.SERVER_KEYS)
    assert set(KINDS) == set(VALUES)


@pytest.mark.parametrize(("change", "at"), [
    ({"roles": {"shell": {"ptty": "x"}}}, ["roles", "shell"]),
    ({"server": {"redy": {}}}, ["server"]),
    ({"delivery": "soon"}, ["delivery"]),
    ({"roles": {"shell": {"pty": "x", "view": "scren"}}}, ["roles", "shell", "view"]),
    ({"acts": {"dm": "x"}}, ["acts", "dm"]),
])  # fmt: skip
def test_a_profile_with_a_slip_does_not_fit(validators, change, at):
    right = {"profile": "x", "server": {"run": "x"}, "roles": {"shell": {"pty": "x"}}}
    assert validators["profile"].is_valid(right)
    errors = list(validators["profile"].iter_errors({**right, **change}))
    assert at in [list(error.absolute_path) for error in errors]


@pytest.mark.parametrize("of", ["scenario", "profile"])
def test_the_schema_is_printed(capsys, of):
    assert main(["schema", of]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == {"scenario": scenario_schema, "profile": profile_schema}[of]()
    assert "scenario" in printed["properties"] or "profile" in printed["properties"]
