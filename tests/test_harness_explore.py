"""Exploring: what is drawn makes sense and is a scenario; what is planted is found and shrunk."""

import random
import re

import pytest
from programs.kit import HERE, harness

from harness.explore import (
    NOBODY,
    Act,
    Dialogue,
    Person,
    Together,
    draw,
    quoted,
    repaired,
    text_of,
    world,
)
from harness.language import load_scenario
from harness.profile import load_profile
from harness.yaml_nodes import read

PROFILE = HERE / "planted.yaml"
SERVER = f"python3 {HERE / 'planted.py'} {{port}}"


@pytest.fixture(scope="module")
def around():
    return world(load_profile(PROFILE), "wire", 3, [], own_server=True)


def dialogue(*steps):
    return repaired(Dialogue(tuple(map(Together, steps)), ("ana", "ben"), ()))


def say(who, text, to=None):
    values = (("text", text),) if to is None else (("text", text), ("to", to))
    return Act(who, "does", "bc" if to is None else "dm", values)


def test_what_is_drawn_is_a_scenario_without_problems(tmp_path, around):
    for number in range(60):
        path = tmp_path / f"{number}.yaml"
        path.write_text(text_of(draw(around, 7, number), around, "Drawn", tmp_path))
        assert load_scenario(path).steps


def test_a_seed_repeats_what_is_drawn(around):
    assert [draw(around, 3, n) for n in range(20)] == [draw(around, 3, n) for n in range(20)]
    assert [draw(around, 3, n) for n in range(20)] != [draw(around, 4, n) for n in range(20)]


def test_every_kind_of_step_is_drawn(around):
    steps = [step for number in range(50) for step in draw(around, 1, number).steps]
    verbs = {act.verb for step in steps for act in step.acts}
    assert verbs == {"does", "joins", "leaves", "closes", "resets"}
    assert max(len(step.acts) for step in steps) == 3
    said = {value for step in steps for act in step.acts for _, value in act.values}
    assert {NOBODY, Person("ana"), "👩‍👩‍👧 🎉", ""} <= said


def test_nobody_acts_who_has_gone():
    gone = dialogue((Act("ana", "resets"),), (say("ana", "hi"),), (say("ben", "hi"),))
    assert [step.acts[0].who for step in gone.steps] == ["ana", "ben"]


def test_who_has_gone_comes_again_only_after_a_fence():
    at_once = dialogue((Act("ana", "closes"),), (Act("ana", "joins"),))
    assert len(at_once.steps) == 1
    later = dialogue((Act("ana", "closes"),), (), (Act("ana", "joins"),))
    assert len(later.steps) == 3


def test_who_comes_again_joins_in_a_step_at_first(tmp_path, around):
    again = dialogue((Act("ana", "closes"),), (), (Act("ana", "joins"),))
    assert "  - ana joins:\n  - ana closes:" in text_of(again, around, "", tmp_path)


def test_equal_words_are_said_twice_only_where_they_can_be_told_apart():
    assert len(dialogue((say("ana", "hi"),), (say("ana", "hi"),)).steps) == 2
    refused = dialogue((say("ana", "hi", NOBODY),), (say("ana", "hi"),))
    assert len(refused.steps) == 1


def test_any_text_can_be_written_down(tmp_path):
    dice = random.Random(1)
    path = tmp_path / "texts.yaml"
    for _ in range(200):
        text = "".join(
            chr(dice.choice((dice.randrange(0xD800), 0x1F600, 9, 10, 0x85))) for _ in "123456"
        )
        path.write_text(f"text: {quoted(text)}\n", encoding="utf-8")
        assert read(path).plain() == {"text": text}


@pytest.mark.parametrize(
    ("fault", "law"),
    [("leak-third", "private stays private"), ("rare-text", "the server prints no Traceback")],
)
def test_a_planted_bug_is_found_and_its_file_fails_by_the_same_law(tmp_path, fault, law):
    server = f"{SERVER} --fault {fault}"
    done = harness("explore", "--profile", PROFILE, "--server", server, "--seed", 1, "-o", tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"found: {law}" in done.stdout
    shrunk = re.search(r"shrunk from \d+ exchanges to (\d+)", done.stdout)
    assert int(shrunk[1]) <= 5
    (file,) = tmp_path.glob("*.yaml")
    again = harness("run", file, "--server", server)
    assert again.returncode == 1
    assert law.removeprefix("the server prints no ") in again.stdout


def test_a_right_server_is_not_accused(tmp_path):
    done = harness("explore", "--profile", PROFILE, "--seed", 5, "--runs", 12, "-o", tmp_path)
    assert done.returncode == 0, done.stdout
    assert "12 dialogues" in done.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--role", "wore"], "no role 'wore'"),
        (["--role", "raw"], ""),
        (["--law", "in ordre"], "unknown law 'in ordre'"),
        (["--actors", "0"], "no number from 1"),
        (["--time", "soon"], "no time such as"),
    ],
)
def test_bad_arguments_are_told(arguments, said):
    done = harness("explore", "--profile", PROFILE, "--runs", 1, "--seed", 1, *arguments)
    if said:
        assert done.returncode == 2
        assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
