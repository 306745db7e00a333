"""`harness prove`: a run played from its record, every kind of lie, and clauses that miss them."""

import json
import pickle
import re
import subprocess
import sys

import pytest
from msgspec import structs
from programs.kit import GIVE_UP, HERE, PROFILE, closing, harness, written

from harness.errors import BrokenPromiseError, Place
from harness.lies import CLAIMS, LAW_CLAIMS, example, garbled
from harness.patterns import FramePattern, RegexPattern, TextPattern, unknown
from harness.prove import Proof, Told, Tried, findings, lie_about, score
from harness.rehearsal import Rehearsal, rehearse
from harness.verbs import TABLE

WEAK = HERE.parent / "weak"
EVERYTHING = """
    scenario: A clause of every kind
    cast: {ana: shell, ben: drawn, cid: wire, dan: counted, eve: shell,
           fay: {role: asked, login: none}}
    steps:
      - fay is asked: 'Port:'
        fay types: '${server.port}'
      - fay is asked: 'Name:'
        fay types: fay
        fay sees: You are fay.
        server prints: fay joined
        others see: {joined: {who: fay}}
      - cid does: {dm: {to: ana, text: good morning}}
        ana sees: 'cid: good morning'
        cid sees: {code: ack, re: '${id=rest}'}
        check: ${id} != nothing
        ben never sees: morning
        eve sees nothing:
      - ana does: {dm: {to: ben, text: 'hello, ben'}}
        ben sees next: 'ana: hello, ben'
        ben shows: hello, ben
        ben never shows: hello, eve
        cid sees nothing:
      - cid sends:
          - {code: outgoing_broadcast, content: one, id: c1}
          - {code: outgoing_broadcast, content: two, id: c2}
        dan sees only: [{content: one}, {content: two}]
        ben sees: ['cid: one', 'cid: two']
        ana sees in any order: ['cid: two', 'cid: one']
        eve sees one of: ['cid: one', 'cid: none']
        server, ana survive:
        within: 20s
        patience: 60s
      - eve types: /quit
        eve exits: 0
        others see: {quit: {who: eve}}
        server never prints: eve lost
      - cid sends: {code: quit}
        cid is closed: fin
        others see: {quit: {who: cid}}
    laws:
      - once: {quit: {who: eve}}
"""


SWALLOWED = """
    scenario: Questions that look like the harness's own, and a look at the server alone
    cast: {dan: counted, eve: wire}
    steps:
      - dan sends: {code: who}
        dan sees: {code: users, users: [dan, eve]}
      - server survives:
"""


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """Runs of the weak scenarios and of everything, on record."""
    folder = tmp_path_factory.mktemp("records")
    everything = written(folder, EVERYTHING)
    swallowed = written(folder, SWALLOWED, "swallowed.yaml")
    out = folder / "records"
    subprocess.run(
        [sys.executable, HERE / "recorded.py", PROFILE, out, everything, swallowed],
        check=True, timeout=GIVE_UP,
    )  # fmt: skip
    return pickle.loads(out.read_bytes())


def key(verdict):
    return verdict.place, verdict.actor, verdict.verb, verdict.wanted


def test_a_record_is_judged_as_the_run_was(records):
    for scenario, row, options, record, judged in records:
        rehearsal = Rehearsal(scenario, row, options, record)
        assert rehearse(rehearsal) is None
        assert [key(verdict) for verdict in rehearsal.verdicts] == [key(v) for v in judged]
        assert judged


def test_a_record_is_judged_by_what_was_told_and_not_by_what_is_left_of_the_run(records):
    scenario, row, options, record, _ = records[0]
    told = [e for e in record.entries if e.kind == "item" and not e.hidden]
    entries = [e for e in record.entries if e is not told[-1]]
    broken = rehearse(Rehearsal(scenario, row, options, record, entries))
    assert isinstance(broken, BrokenPromiseError)


def lied(scenario, row, options, record, _judged):
    """Every lie about a record, and who noticed it."""
    honest = Rehearsal(scenario, row, options, record)
    assert rehearse(honest) is None
    return list(lie_about(honest, record, row))


@pytest.fixture(scope="module")
def tries(records):
    """The lies about everything."""
    return lied(*records[0])


def test_every_kind_of_lie_is_noticed_by_the_clause_that_it_contradicts(tries):
    told = [(tried.verb, lie) for tried in tries for lie in tried.told]
    assert [lie for _, lie in told if lie.counts and not lie.noticed] == []
    # What is cut or late may be noticed by whatever is looked at first.
    assert [
        lie
        for _, lie in told
        if lie.counts and lie.kind not in ("cut", "late") and lie.by != "itself"
    ] == []
    kinds = {"drop", "corrupt", "delay", "cut", "swap", "alien", "leak", "inject", "stays open",
             "another end", "another value", "late"}  # fmt: skip
    assert kinds <= {lie.kind for _, lie in told if lie.by == "itself"}
    expecting = {verb.name for verb in TABLE if verb.expectation or verb.name == "is asked"}
    noticing = {verb for verb, lie in told if lie.by == "itself"}
    assert noticing >= {*expecting, "check", "law once"} - {"cannot join"}  # which is played below


def test_no_answer_of_the_harness_hides_one_that_is_missing_and_no_server_dies_unseen(records):
    told = [(tried.verb, lie) for tried in lied(*records[1]) for lie in tried.told if lie.counts]
    assert [one for one in told if not one[1].noticed] == []
    assert {"sees", "survives"} == {verb for verb, _ in told}


def test_whoever_cannot_join_is_not_let_in(tmp_path):
    text = """
        scenario: A name is given once
        cast: {ana: wire, twin: {role: wire, name: ana}}
        steps:
          - twin cannot join: {code: error, error: 103}
    """
    found = proved(tmp_path, text)
    kinds = {told["kind"] for tried in found["tried"] for told in tried["told"] if told["noticed"]}
    assert {"drop", "corrupt", "let in"} <= kinds


def proved(folder, text, *options):
    """What `harness prove` finds out about one scenario."""
    out = folder / "out.json"
    path = written(folder, text)
    done = harness("prove", path, "--profile", PROFILE, "--json", out, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(out.read_text())["runs"][0]["proof"]


@pytest.fixture(scope="module")
def weak(tmp_path_factory):
    """What is found in the scenarios that were made to be weak."""
    out = tmp_path_factory.mktemp("weak") / "out.json"
    done = harness("prove", WEAK, "--profile", PROFILE, "--json", out, "-j", 2)
    return done, json.loads(out.read_text())


def test_every_weak_expectation_is_named_with_its_line(weak):
    done, found = weak
    marked = {
        f"{path}:{number}": re.search(r"# (empty|weak|idle)", line)[1]
        for path in sorted(WEAK.glob("*.yaml"))
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(r"# (empty|weak|idle)", line)
    }
    assert len(marked) >= 10
    places = {f"{one['place']['file']}:{one['place']['line']}": one["verdict"]
              for one in found["findings"]}  # fmt: skip
    assert places == marked
    for place, verdict in marked.items():
        assert re.search(rf"^{re.escape(place)}:\d+: {verdict}: ", done.stdout, re.MULTILINE)


def test_what_was_not_noticed_is_said(weak):
    done, found = weak
    assert (
        "not noticed: corrupt; noticed: drop, delay, cut (whatever is said will do)" in done.stdout
    )
    assert "not noticed: drop, corrupt, delay; noticed: cut (something else will do" in done.stdout
    lies = found["lies"]
    assert f"{lies['noticed']} of {lies['told']} lies noticed" in closing(done)
    assert re.search(r"; \d expectations are empty, \d weak$", closing(done))


def test_too_few_noticed_lies_are_a_failure(weak, tmp_path):
    done, found = weak
    assert done.returncode == 1
    assert found["lies"]["percent"] < 95
    path = WEAK / "any_line.yaml"
    assert harness("prove", path, "--profile", PROFILE, "--min", 75).returncode == 0
    assert harness("prove", path, "--profile", PROFILE, "--min", 76).returncode == 1


def test_a_scenario_that_fails_is_not_proved(tmp_path):
    text = """
        scenario: Nobody says that
        cast: {ana: wire, ben: wire}
        steps:
          - ana does: {dm: {to: ben, text: hello}}
            ben sees: good bye
    """
    done = harness("prove", written(tmp_path, text), "--profile", PROFILE)
    assert done.returncode == 1
    assert "is not coming" in done.stdout
    assert closing(done).startswith("0 of 0 lies")


def test_a_wrong_percentage_is_refused():
    for wrong in ("101", "-1", "many"):
        done = harness("prove", WEAK, "--min", wrong)
        assert done.returncode == 2
        assert "is not a percentage" in done.stderr


# The parts.


def test_another_text_has_the_same_shape():
    assert garbled("ana: Hello, 42 z9!") == "bob: Ifmmp, 53 a0!"
    assert garbled("...") == "...x"
    assert garbled("日本") != "日本"


@pytest.mark.parametrize(
    "pattern",
    [
        TextPattern("hello ... ${n=int}", unknown),
        TextPattern("...", unknown),
        RegexPattern(r"time=20\S+Z (red|green)"),
        RegexPattern(r"[\x00-\x08]"),
        FramePattern({"code": "x", "n": "${n=int}", "who": ["ana", "..."]}, unknown, exact=True),
    ],
    ids=str,
)
def test_what_is_forbidden_can_be_made_from_its_pattern(pattern):
    assert pattern.match(example(pattern), part=True) is not None


def test_of_what_matches_nothing_there_is_no_example():
    assert example(RegexPattern(r"a\Aa")) is None


def test_every_verb_and_law_has_its_lies():
    from harness.laws import TABLE as LAWS

    expecting = {verb.name for verb in TABLE if verb.expectation or verb.name == "is asked"}
    assert expecting == set(CLAIMS)
    assert {law.name for law in LAWS} == set(LAW_CLAIMS)


def told(kind, noticed, counts=True):
    return Told(kind, "", counts, noticed, "itself" if noticed else "")


def test_only_lies_that_contradict_a_clause_count():
    place = Place("a.yaml", 3, 5)
    lies = [told("drop", True), told("corrupt", False), told("double", False, counts=False)]
    total = score([Proof([Tried(place, "ana", "sees", "x", lies)])])
    assert (total.noticed, total.told, total.of_all) == (1, 2, 3)
    assert (total.percent, round(total.strictness)) == (50.0, 33)


def test_a_clause_is_empty_only_if_no_actor_and_no_row_has_noticed_anything():
    place = Place("a.yaml", 3, 5)
    blind = Tried(place, "ana", "sees", "x", [told("drop", False)])
    seeing = structs.replace(blind, actor="ben", told=[told("drop", True)])
    assert [one.verdict for one in findings([Proof([blind])])] == ["empty"]
    assert [one.verdict for one in findings([Proof([blind]), Proof([seeing])])] == ["weak"]
    assert findings([Proof([seeing])]) == []
