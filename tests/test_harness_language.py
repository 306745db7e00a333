"""What is wrong with a file is told at once, at its place, with what is allowed there."""

import random
import re
import shutil

import pytest
from programs.kit import PROFILE, closing, harness, run, written

from harness import secrets
from harness.errors import ScenarioError
from harness.exchange import shaken
from harness.language import load_scenario
from harness.verbs import TABLE

HEAD = "scenario: A promise\ncast: {ana: shell, ben: wire}\nsteps:\n"


def test_all_problems_of_all_files_come_at_once_and_nothing_runs(tmp_path):
    written(tmp_path, HEAD + "  - ana seees: x\n  - anna types: y\n", "a.yaml")
    written(tmp_path, HEAD + "  - ana resizes: big\n", "b.yaml")
    written(tmp_path, HEAD + "  - ana types: /users\n", "right.yaml")
    done = harness("run", tmp_path, "--profile", PROFILE)
    assert done.returncode == 2
    places = re.findall(r"(\w)\.yaml:(\d+):(\d+): ", done.stdout)
    assert places == [("a", "4", "9"), ("a", "5", "5"), ("b", "4", "18")]
    assert done.stdout.splitlines()[-1] == "0 passed, 0 failed, 0 skipped"
    assert done.stderr == ""


def test_check_reads_without_running(tmp_path):
    path = written(tmp_path, HEAD + "  - ana types: /users\n")
    done = harness("check", path, "--profile", PROFILE)
    assert (done.returncode, done.stdout) == (0, "1 scenario can be run\n")


def test_list_names_path_title_and_what_is_covered(tmp_path):
    path = written(tmp_path, "covers: [S1-20]\n" + HEAD + "  - ana types: /users\n")
    done = harness("list", path, "--profile", PROFILE)
    assert (done.returncode, done.stdout) == (0, f"{path}: A promise [S1-20]\n")


def test_a_file_that_is_not_there_is_said_so(tmp_path):
    done = harness("run", tmp_path / "nothing.yaml")
    assert done.returncode == 2
    assert "nothing.yaml:1:1: H001 cannot be read: No such file" in done.stdout


def test_a_profile_is_looked_for_beside_the_scenario_and_above(tmp_path):
    (tmp_path / "profiles").mkdir()
    shutil.copy(PROFILE, tmp_path / "profiles" / "small.yaml")
    (tmp_path / "deep").mkdir()
    path = written(tmp_path / "deep", "use: small\n" + HEAD + "  - ana types: /users\n")
    assert load_scenario(path).profile.name == "small"
    wrong = written(tmp_path / "deep", "use: smal\n" + HEAD + "  - ana types: /users\n")
    with pytest.raises(ScenarioError, match="did you mean 'small'"):
        load_scenario(wrong)


def test_matrix_and_ranges_unfold(tmp_path):
    text = """
        scenario: Everybody, twice
        vars: {greeting: hello}
        matrix: {dress: [shell, wire], n: [1, 2, 3]}
        cast: {client1..client3: '${dress}'}
        steps:
          - client1 does: {dm: {to: client2, text: '${greeting} ${n}'}}
    """
    scenario = load_scenario(written(tmp_path, text), profile=PROFILE)
    assert [member.name for member in scenario.cast] == ["client1", "client2", "client3"]
    assert len(list(scenario.rows())) == 6


def test_singular_and_plural_are_the_same_verb(tmp_path):
    text = HEAD + "  - ana, ben see: {re: x}\n  - ana sees: {re: x}\n  - ana, ben never see: x\n"
    steps = load_scenario(written(tmp_path, text), profile=PROFILE).steps
    assert [step.clauses[0].verb.name for step in steps] == ["sees", "sees", "never sees"]


def test_every_form_of_every_verb_is_known_once():
    forms = [form for verb in TABLE for form in {verb.name, verb.plural}]
    assert len(forms) == len(set(forms))


def exchanges(tmp_path, text):
    return load_scenario(written(tmp_path, text), profile=PROFILE).steps


def test_together_mixes_the_parts_by_the_seed_and_keeps_each_in_its_order(tmp_path):
    parts = "".join(
        f"      - {{{who} types: [{who}1], {who} drafts: {who}2, {who} presses: enter}}\n"
        for who in ("a", "b", "c")
    )
    (step,) = exchanges(tmp_path, f"scenario: x\ncast: {{a: shell, b: shell, c: shell}}\n"
                                  f"steps:\n  - together:\n{parts}    within: 2s\n")  # fmt: skip
    assert step.within == 2.0
    seen = set()
    for seed in range(40):
        mixed = shaken(step, random.Random(seed))
        again = shaken(step, random.Random(seed))
        assert [clause.text for clause in mixed] == [clause.text for clause in again]
        for who in ("a", "b", "c"):
            mine = [clause.text for clause in mixed if clause.who == (who,)]
            assert mine == [f"{who} types", f"{who} drafts", f"{who} presses"]
        seen.add(tuple(clause.text for clause in mixed))
    assert len(seen) > 20


def test_an_exchange_with_a_condition_happens_only_if_it_holds(tmp_path):
    done = run(tmp_path, """
        scenario: Conditions
        matrix: {wanted: [yes please, '']}
        cast: {ana: shell}
        steps:
          - when: ${wanted}
            ana types: /bc wanted
            ana sees: 'ana: wanted'
          - when: ${ana.name} == nobody
            ana types: /bc never
            ana sees: 'ana: never'
          - when: ['${ana.name} == ana', '${wanted}']
            ana types: /bc both
            ana sees: 'ana: ${said=word}'
          - when: ${said}
            ana types: /bc ${said} again
            ana sees: {re: '${name}: ${said} (?P<more>\\w+)'}
            check: ${more} == again
          - ana never sees: never
        """)  # fmt: skip
    assert (done.returncode, closing(done)) == (0, "2 passed, 0 failed, 0 skipped"), done.stdout


def test_values_of_the_file_insert_each_other_and_what_a_program_said_never_does(tmp_path):
    done = run(tmp_path, """
        scenario: Values in values
        vars: {greeting: 'hello ${who}', who: '${ana.name}'}
        matrix: {text: ['${greeting}!', plain]}
        cast: {ana: {role: shell, name: '${called}'}, ben: wire}
        steps:
          - ana types: /bc ${text}
            ben sees: {content: '${text}'}
          - ana types: /bc $${who}
            ben sees: {content: '${heard=rest}'}
            check: ${ben.heard} != ${who}
          - ben sends: {code: outgoing, to: '${ana.name}', content: '${heard}'}
            ana sees: 'ben: $${who}'
        """.replace("'${called}'", "ana"))  # fmt: skip
    assert (done.returncode, closing(done)) == (0, "2 passed, 0 failed, 0 skipped"), done.stdout


def test_a_film_may_pause(tmp_path):
    text = (
        "scenario: x\ntags: [film]\ncast: {ana: shell}\nsteps:\n  - pause: 1.5s\n  - ana joins:\n"
    )
    pause, _ = exchanges(tmp_path, text)
    assert pause.seconds == 1.5


def test_an_included_file_takes_values_and_its_problems_are_told_in_it(tmp_path):
    written(
        tmp_path, "steps:\n  - ana types: hello ${whom}\n  - include: deeper.yaml\n", "part.yaml"
    )
    written(tmp_path, "steps:\n  - ana types: deep\n", "deeper.yaml")
    with pytest.raises(ScenarioError) as caught:
        exchanges(tmp_path, HEAD + "  - include: part.yaml\n")
    assert {(p.place.file[-9:], p.place.line) for p in caught.value.problems} == {("part.yaml", 2)}
    steps = exchanges(tmp_path, HEAD + "  - include: part.yaml\n    vars: {whom: ben}\n")
    assert [step.clauses[0].value for step in steps] == ["hello ${whom}", "deep"]
    assert steps[0].local == {"whom": "ben"}


def test_secrets_are_shown_nowhere(tmp_path):
    text = """
        scenario: A secret
        secrets: [password, said]
        vars: {password: hunter22}
        cast: {ana: shell, ben: wire}
        steps:
          - ana types: /bc my password is hunter22
            ben sees: {content: 'my password is ${said=word}'}
          - ana types: /bc open-${password}-sesame
            ana sees: this never comes ${password}
        """
    done = run(tmp_path, text, "--evidence", tmp_path / "kept")
    assert done.returncode == 1
    assert "> /bc open-***-sesame" in done.stdout
    kept = [path for path in (tmp_path / "kept").rglob("*") if path.is_file()]
    assert kept
    assert [str(path) for path in kept if b"hunter22" in path.read_bytes()] == []
    shown = run(tmp_path, text, "--show")
    assert "hunter22" not in done.stdout + done.stderr + shown.stdout + shown.stderr


def test_a_secret_is_masked_across_the_pieces_of_a_stream():
    secrets.remember("hunter22")
    try:
        assert b"".join(secrets.masked_pieces([b"a hun", b"ter", b"22 b"])) == b"a ******** b"
        assert secrets.mask("xhunter22y") == "x***y"
    finally:
        secrets.forget()
    assert secrets.mask("hunter22") == "hunter22"
