"""What is wrong with a file is told at once, at its place, with what is allowed there."""

import re
import shutil

import pytest
from programs.kit import PROFILE, harness, written

from harness.errors import ScenarioError
from harness.language import load_scenario
from harness.verbs import TABLE

HEAD = "scenario: A promise\ncast: {ana: shell, ben: wire}\nsteps:\n"

# (what is wrong, the file, line, column, what is said, what is allowed or proposed)
BROKEN = [
    ("no yaml", "scenario: [a\n", 2, 1, "no YAML", "]"),
    ("colon", HEAD + "  - ana sees: ana: hello\n", 4, 18, "no YAML", "quotes"),
    ("tab", "scenario: x\nsteps:\n\t- ana sees: x\n", 3, 1, "no YAML", "tabs"),
    ("empty file", "", 1, 1, "empty", ""),
    ("a list", "- a\n- b\n", 1, 1, "has to be a mapping", ""),
    (
        "unknown key",
        "scenarion: x\n" + HEAD + "  - ana types: x\n",
        1,
        1,
        "'scenarion'",
        "'scenario'",
    ),
    (
        "no title",
        "cast: {ana: shell}\nsteps:\n  - ana types: x\n",
        1,
        1,
        "needs a title",
        "scenario:",
    ),
    ("no steps", "scenario: x\n", 1, 1, "needs steps", "list"),
    ("steps no list", "scenario: x\nsteps: {a: b}\n", 2, 8, "has to be a list", ""),
    ("steps empty", "scenario: x\nsteps: []\n", 2, 8, "nothing to do", ""),
    ("duplicate", HEAD + "  - ana sees: x\n    ana sees: y\n", 5, 5, "twice", "list"),
    (
        "key is a list",
        HEAD + "  - ? [ana, ben]\n    : x\n",
        4,
        7,
        "cannot be a key",
        "ana, ben see",
    ),
    ("list before a verb", HEAD + "  - [ana, ben] see: x\n", 4, 16, "no YAML", "quote"),
    ("unknown verb", HEAD + "  - ana seees: x\n", 4, 5, "'seees'", "'sees'"),
    (
        "unknown verb of two",
        HEAD + "  - ana, ben never sees it: x\n",
        4,
        5,
        "'never sees it'",
        "'never sees'",
    ),
    ("unknown actor", HEAD + "  - anna types: x\n", 4, 5, "'anna'", "'ana'"),
    ("unknown actor in a list", HEAD + "  - ana, bem see: x\n", 4, 5, "'bem'", "'ben'"),
    (
        "unknown modifier",
        HEAD + "  - ana sees: x\n    whithin: 2s\n",
        5,
        5,
        "'whithin'",
        "'within'",
    ),
    ("nobody", HEAD + "  - sees: x\n", 4, 5, "needs somebody", "ana sees"),
    ("socket types", HEAD + "  - ben types: x\n", 4, 5, "ben is a wire", "sends"),
    ("shell sends", HEAD + "  - ana sends: {code: who}\n", 4, 5, "ana is a shell", "types"),
    ("server sees", HEAD + "  - server sees: x\n", 4, 5, "server is a server", "prints"),
    ("types a mapping", HEAD + "  - ana types: {a: b}\n", 4, 16, "cannot be", "a line of text"),
    ("types nothing", HEAD + "  - ana types:\n", 4, 15, "cannot be nothing", "a line of text"),
    ("never something", HEAD + "  - ana sees nothing: x\n", 4, 23, "cannot be 'x'", "nothing"),
    (
        "unknown key of the keyboard",
        HEAD + "  - ana presses: [up, contrl-c]\n",
        4,
        23,
        "'contrl-c'",
        "'ctrl-c'",
    ),
    ("size", HEAD + "  - ana resizes: big\n", 4, 18, "'big'", "100x30"),
    ("signal", HEAD + "  - ana is killed: KIL\n", 4, 20, "'KIL'", "'KILL'"),
    ("exit code", HEAD + "  - ana exits: soon\n", 4, 16, "'soon'", "exit code"),
    ("regular expression", HEAD + "  - ana sees: {re: '(('}\n", 4, 20, "no regular expression", ""),
    ("kind of capture", HEAD + "  - ana sees: 'x ${n=number}'\n", 4, 15, "'number'", "int"),
    (
        "never set",
        HEAD + "  - ana types: '${nome}'\n    ana sees: '${nane=word}'\n",
        4,
        16,
        "${nome}",
        "nane",
    ),
    (
        "never set inside a frame",
        HEAD + "  - ben sends: {to: '${who}'}\n",
        4,
        21,
        "${who}",
        "allowed",
    ),
    (
        "frame for a shell",
        HEAD + "  - ana sees: {losst: {who: ben}}\n",
        4,
        15,
        "for sockets",
        "'lost'",
    ),
    ("unknown act", HEAD + "  - ana does: {dn: {to: ben}}\n", 4, 16, "'dn'", "'dm'"),
    ("within", HEAD + "  - ana sees: x\n    within: soon\n", 5, 13, "200ms", ""),
    ("check", HEAD + "  - ana sees: x\n    check: yes\n", 5, 12, "comparison", "=="),
    ("fence", HEAD + "  - ana sees: x\n    fence: maybe\n", 5, 12, "'maybe'", "none"),
    (
        "contradiction",
        HEAD + "  - ana sees: hello you\n    ana never sees: hello\n",
        5,
        5,
        "forbidden",
        "never be true",
    ),
    ("empty step", HEAD + "  - {}\n", 4, 5, "empty step", ""),
    ("repeat", HEAD + "  - repeat: often\n    steps: [{ana types: x}]\n", 4, 13, "number", ""),
    ("repeat alone", HEAD + "  - repeat: 3\n", 4, 5, "needs steps", "steps:"),
    ("include", HEAD + "  - include: nowhere.yaml\n", 4, 14, "is no file", "folder"),
    (
        "unknown role",
        "scenario: x\ncast: {ana: shel}\nsteps:\n  - ana joins:\n",
        2,
        13,
        "'shel'",
        "'shell'",
    ),
    (
        "no role",
        "scenario: x\ncast: {ana: {size: 80x24}}\nsteps:\n  - ana joins:\n",
        2,
        13,
        "needs a role",
        "shell",
    ),
    (
        "reserved name",
        "scenario: x\ncast: {server: shell}\nsteps:\n  - server prints: x\n",
        2,
        8,
        "reserved",
        "a name is",
    ),
    (
        "range",
        "scenario: x\ncast: {a3..a1: shell}\nsteps:\n  - mark: x\n",
        2,
        8,
        "no range",
        "client1..client3",
    ),
    (
        "twice in the cast",
        "scenario: x\ncast: {a1..a2: shell, a2: wire}\nsteps:\n  - mark: x\n",
        2,
        23,
        "twice",
        "",
    ),
    (
        "key of an actor",
        "scenario: x\ncast: {ana: {role: shell, argv: [x]}}\nsteps:\n  - mark: x\n",
        2,
        27,
        "'argv'",
        "'args'",
    ),
    ("matrix", "scenario: x\nmatrix: {n: 3}\nsteps:\n  - mark: x\n", 2, 13, "has to be a list", ""),
    ("empty matrix", "scenario: x\nmatrix: {n: []}\nsteps:\n  - mark: x\n", 2, 13, "no values", ""),
    (
        "mode",
        "scenario: x\nfiles: {a: {text: x, mode: 999}}\nsteps:\n  - mark: x\n",
        2,
        12,
        "not octal",
        "600",
    ),
    (
        "file outside",
        "scenario: x\nfiles: {../a: x}\nsteps:\n  - mark: x\n",
        2,
        9,
        "not inside",
        "",
    ),
    ("law", HEAD + "  - mark: x\nlaws:\n  - onec: x\n", 6, 5, "'onec'", "'once'"),
    (
        "key of server",
        "scenario: x\nserver: {arg: [x]}\nsteps:\n  - mark: x\n",
        2,
        10,
        "'arg'",
        "'args'",
    ),
]


@pytest.mark.parametrize(("text", "line", "column", "said", "help_"), [row[1:] for row in BROKEN],
                         ids=[row[0].replace(" ", "-") for row in BROKEN])  # fmt: skip
def test_what_is_wrong_is_told_at_its_place(tmp_path, text, line, column, said, help_):
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    with pytest.raises(ScenarioError) as caught:
        load_scenario(path, profile=PROFILE)
    problem = caught.value.problems[0]
    assert (problem.place.line, problem.place.column) == (line, column), str(caught.value)
    assert problem.place.file == str(path)
    assert said in problem.text
    assert help_ in problem.help


def test_all_problems_of_all_files_come_at_once_and_nothing_runs(tmp_path):
    written(tmp_path, HEAD + "  - ana seees: x\n  - anna types: y\n", "a.yaml")
    written(tmp_path, HEAD + "  - ana resizes: big\n", "b.yaml")
    written(tmp_path, HEAD + "  - ana types: /users\n", "right.yaml")
    done = harness("run", tmp_path, "--profile", PROFILE)
    assert done.returncode == 2
    places = re.findall(r"(\w)\.yaml:(\d+):(\d+): ", done.stdout)
    assert places == [("a", "4", "5"), ("a", "5", "5"), ("b", "4", "18")]
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
    assert "nothing.yaml:1:1: cannot be read: No such file" in done.stdout


def test_a_profile_is_looked_for_beside_the_scenario_and_above(tmp_path):
    (tmp_path / "profiles").mkdir()
    shutil.copy(PROFILE, tmp_path / "profiles" / "small.yaml")
    (tmp_path / "deep").mkdir()
    path = written(tmp_path / "deep", "use: small\n" + HEAD + "  - ana types: /users\n")
    assert load_scenario(path).profile.name == "small"
    wrong = written(tmp_path / "deep", "use: smal\n" + HEAD + "  - ana types: /users\n")
    with pytest.raises(ScenarioError, match="did you mean 'small'"):
        load_scenario(wrong)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("ready:", "redy:"), "'redy'"),
        (("tcp: 127", "udp: 127"), "needs one of pty, tcp, pipe"),
        (("like: wire", "like: wyre"), "'wyre'"),
        (("view: screen", "view: scren"), "'scren'"),
        (("delivery: inline", "delivery: soon"), "'soon'"),
        (("acts:", "akts:"), "'akts'"),
        (("self sees: You", "self seees: You"), "'seees'"),
        (("profile: small", "profile: [1]"), "has to be a text"),
    ],
)
def test_a_broken_profile_is_a_broken_scenario(tmp_path, change, said):
    profile = tmp_path / "broken.yaml"
    profile.write_text(PROFILE.read_text().replace(*change))
    done = harness("check", written(tmp_path, HEAD + "  - ana types: x\n"), "--profile", profile)
    assert done.returncode == 2
    assert said in done.stdout
    assert re.search(r"broken\.yaml:\d+:\d+: ", done.stdout)


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
