"""What docs/scenarios.md promises is what the harness does."""

import re
from pathlib import Path

import pytest
from programs.kit import closing, harness

from harness import language, profile
from harness.laws import TABLE as LAWS
from harness.steps import SPECIAL
from harness.verbs import MODIFIERS, TABLE

DOC = (Path(__file__).parent.parent / "docs" / "scenarios.md").read_text()
KINDS = ("shell", "wire", "pipe", "server")


def test_the_table_of_verbs_is_the_table_of_the_code():
    rows = [
        f"| `{verb.name}` | {verb.family.value} | {', '.join(k for k in KINDS if k in verb.who)}"
        f" | {verb.value} | {verb.meaning} |"
        for verb in TABLE
    ]
    rows += [f"| `{name}` | {meaning} |" for name, meaning in MODIFIERS.items()]
    section = DOC.partition("## Verbs")[2].partition("### Steps")[0]
    told = [line for line in section.splitlines() if line.startswith("| `")]
    assert told == rows


def test_the_table_of_laws_is_the_table_of_the_code():
    section = DOC.partition("## Laws")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([^:`]*)(?:: pattern)?` \| (.*) \|$", section, re.MULTILINE)
    assert rows == [(law.name, law.meaning) for law in LAWS]


@pytest.mark.parametrize(
    ("heading", "words"),
    [
        ("## A scenario's keys", [*language.KEYS, *language.CAST_KEYS]),
        ("## A profile's keys", [*profile.SERVER_KEYS, *profile.ROLE_KEYS]),
        ("### Steps that are no exchanges", SPECIAL),
    ],
)
def test_every_key_is_explained(heading, words):
    section = DOC.partition(heading)[2].partition("\n## ")[0]
    assert [word for word in words if not re.search(rf"\b{word}\b", section)] == []


def blocks(language_name):
    """The code blocks of the tutorial that begin with the name of a file."""
    return re.findall(rf"```{language_name}\n# (\S+)\n(.*?)```", DOC, re.DOTALL)


def test_the_tutorial_fails_first_and_passes_when_its_program_is_mended(tmp_path):
    (_, program), (_, mended) = blocks("python")
    for name, text in blocks("yaml"):
        (tmp_path / name).write_text(text)
    (tmp_path / "shout.py").write_text(program)
    first = harness("run", tmp_path / "shout_once.yaml")
    assert (first.returncode, closing(first)) == (1, "0 passed, 1 failed, 0 skipped")
    told = DOC.partition("$ harness run shout_once.yaml\n")[2].partition("```")[0].splitlines()
    seen = [line.replace(f"{tmp_path}/", "") for line in first.stdout.splitlines()]
    assert [line for line in told[1:] if not re.search(r" \| ", line)] == [
        line for line in seen[1 : len(told)] if not re.search(r" \| ", line)
    ]
    faulty = program[
        program.index("            for client") : program.index("        clients.remove")
    ]
    (tmp_path / "shout.py").write_text(program.replace(faulty, mended))
    second = harness("run", tmp_path / "shout_once.yaml")
    assert (second.returncode, closing(second)) == (0, "1 passed, 0 failed, 0 skipped")


def test_the_whole_profile_of_the_document_is_right(tmp_path):
    (talk,) = (text for name, text in blocks("yaml") if name == "talk.yaml")
    (tmp_path / "talk.yaml").write_text(talk)
    done = harness("check", tmp_path / "talk.yaml")
    assert done.returncode == 0, done.stdout
