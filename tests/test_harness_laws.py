"""Laws over the history: what is right is let through, each planted crime is found."""

import random

import pytest
from programs.kit import DAEMON, PROFILE, closing, harness, run, written

from harness.history import EVERYBODY, History, Sent, Told
from harness.laws import laws

CAST = ("ana", "ben", "cid", "dan")
SEEDS = range(10)
OF_HISTORIES = [name for name in laws() if name != "once"]


def right_history(seed: int, size: int = 40) -> History:
    """Random messages, public and private, each told to everybody it is for, in order."""
    dice = random.Random(seed)
    history = History(actors=set(CAST), since=dict.fromkeys(CAST, 0))
    number = 1
    on_the_way: dict[str, list[Sent]] = {name: [] for name in CAST}
    for _ in range(size):
        to = dice.choice((EVERYBODY, *CAST))
        text = dice.choice((f"word {number}", "hi"))  # the same words again are another message
        sent = Sent(number, dice.choice(CAST), to, text)
        history.sent.append(sent)
        number += 1
        for name in CAST:
            if history.is_for(sent, name):
                on_the_way[name].append(sent)
            if dice.random() < 0.5:
                number = _tell(history, name, on_the_way[name], number)
    for name in CAST:
        number = _tell(history, name, on_the_way[name], number)
    return history


def _tell(history: History, observer: str, sents: list[Sent], number: int) -> int:
    for sent in sents:
        history.told.append(Told(number, observer, sent.sender, sent.text))
        number += 1
    sents.clear()
    return number


def with_told(history: History, told: Told) -> History:
    return History(history.sent, [*history.told, told], history.since, history.actors)


def broken(law: str, history: History):
    return laws()[law].find(history, None)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("law", OF_HISTORIES)
def test_a_right_history_breaks_no_law(law, seed):
    assert broken(law, right_history(seed)) is None


def swapped(history, dice):
    """Two different messages of one sender change places before one observer."""
    by_way: dict[tuple[str, str], list[int]] = {}
    for at, told in enumerate(history.told):
        if told.text != "hi":
            by_way.setdefault((told.observer, told.speaker), []).append(at)
    first, second, *_ = dice.choice([way for way in by_way.values() if len(way) > 1])
    one, two = history.told[first], history.told[second]
    history.told[first] = Told(one.number, one.observer, one.speaker, two.text)
    history.told[second] = Told(two.number, two.observer, two.speaker, one.text)
    return {one.number, two.number}


def doubled(history, dice):
    told = dice.choice(history.told)
    again = Told(10_000, told.observer, told.speaker, told.text)
    history.told.append(again)
    return {10_000}


def lost(history, dice):
    others = [t for t in history.told if t.observer != t.speaker]
    told = dice.choice([t for t in others if t.text != "hi"])
    history.told.remove(told)
    return {history.sendings(told.speaker, told.text)[0].number}


def lost_by_one(history, dice):
    public = [s.text for s in history.sent if s.to == EVERYBODY and s.text != "hi"]
    told = dice.choice([t for t in history.told if t.text in public and t.observer != t.speaker])
    history.told.remove(told)
    return {history.sendings(told.speaker, told.text)[0].number}


def invented(history, dice):
    told = dice.choice(history.told)
    history.told.append(Told(10_000, told.observer, told.speaker, "never said"))
    return {10_000}


def leaked(history, dice):
    private = [s for s in history.sent if s.to not in (EVERYBODY, s.sender) and s.text != "hi"]
    sent = dice.choice(private)
    third = dice.choice([name for name in CAST if not history.is_for(sent, name)])
    history.told.append(Told(10_000, third, sent.sender, sent.text))
    return {sent.number, 10_000}


CRIMES = {
    "in order": swapped,
    "at most once": doubled,
    "exactly once": lost,
    "nothing invented": invented,
    "private stays private": leaked,
    "converges": lost_by_one,
}


def test_there_is_a_crime_for_each_law():
    assert sorted(CRIMES) == sorted(OF_HISTORIES)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("law", OF_HISTORIES)
def test_each_planted_crime_is_found_with_a_small_witness(law, seed):
    history = right_history(seed)
    guilty = CRIMES[law](history, random.Random(seed))
    found = broken(law, history)
    assert found is not None
    assert guilty <= set(found.witness)
    assert len(found.witness) <= 5


def test_a_message_may_be_missed_by_those_who_were_not_there_all_the_time():
    history = History(
        sent=[Sent(1, "ana", EVERYBODY, "early"), Sent(9, "ana", EVERYBODY, "late")],
        told=[Told(2, "ben", "ana", "early"), Told(10, "ben", "ana", "late")],
        since={"ana": 0, "ben": 0, "cid": 5},
        actors={"ana", "ben", "cid"},
    )
    assert broken("converges", history).witness == (9, 10)
    history = with_told(history, Told(11, "cid", "ana", "late"))
    assert broken("converges", history) is None
    assert broken("exactly once", history) is None


def test_a_message_of_somebody_who_was_killed_may_be_lost_for_all_but_not_for_some():
    history = History(
        sent=[Sent(1, "ana", EVERYBODY, "last words")],
        since={"ben": 0, "cid": 0},
        actors={"ana", "ben", "cid"},
    )
    assert broken("exactly once", history) is None
    history = with_told(history, Told(2, "ben", "ana", "last words"))
    assert broken("exactly once", history).what == "cid was never told 'last words' of ana"


def test_words_in_an_act_that_is_no_message_by_the_profile_are_not_invented():
    history = History(
        told=[Told(2, "ben", "ana", "hello")],
        actors={"ana", "ben"},
        did={"ana": [(1, "/shout hello")]},
    )
    assert broken("nothing invented", history) is None
    history.did["ana"] = [(3, "/shout hello")]  # said later than told
    assert broken("nothing invented", history) is not None
    history.did["ana"] = [(1, None)]  # bytes, that may have meant anything
    assert broken("nothing invented", history) is None


def test_two_sessions_of_one_name_are_one_person():
    history = History(
        sent=[Sent(1, "ana", "ben", "psst")],
        told=[Told(2, "again", "ana", "psst")],
        actors={"ana", "ben", "again"},
    )
    assert broken("private stays private", history).witness == (1, 2)
    history.person["again"] = "ben"
    assert broken("private stays private", history) is None


TALK = """
    scenario: What the laws say of a talk in which little is expected
    cast: {{ana: '{dress}', ben: '{dress}', cid: '{dress}'}}
    steps:
      - ana does: {{dm: {{to: ben, text: one}}}}
        ana sees: {{sent: {{from: ana, text: one}}}}
      - ana does: {{dm: {{to: ben, text: two}}}}
        ana sees: {{sent: {{from: ana, text: two}}}}
      - fence: everyone
    laws: [{law}]
"""


@pytest.mark.parametrize("dress", ["shell", "drawn", "wire"])
@pytest.mark.parametrize(
    ("fault", "law", "said"),
    [
        ("leak-dm", "private stays private", "was told 'one', which was for ben"),
        ("lose-dm", "exactly once", "ben was never told 'one' of ana"),
        ("wrong-text", "nothing invented", "of ana, who never said so"),
    ],
)
def test_real_programs_are_judged_by_the_laws_alone(tmp_path, dress, fault, law, said):
    text = TALK.format(dress=dress, law=law)
    assert closing(run(tmp_path, text)) == "1 passed, 0 failed, 0 skipped"
    done = run(tmp_path, text, fault=fault)
    assert closing(done) == "0 passed, 1 failed, 0 skipped"
    assert f"law {law!r}: " in done.stdout
    assert said in done.stdout
    assert "scenario.yaml:9:8: " in done.stdout


def test_a_law_of_the_profile_can_be_taken_away(tmp_path):
    profile = tmp_path / "strict.yaml"
    text = PROFILE.read_text().replace("${here}", str(PROFILE.parent))
    profile.write_text(text + "laws: [private stays private]\n")
    talk = TALK.format(dress="wire", law="at most once")
    waived = TALK.format(dress="wire", law="{without: private stays private}")
    server = f"{DAEMON} ${{server.port}} --fault leak-dm"
    for scenario, code in ((talk, 1), (waived, 0)):
        path = written(tmp_path, scenario)
        assert harness("run", path, "--profile", profile, "--server", server).returncode == code


def test_an_unknown_law_is_refused_with_the_known_ones(tmp_path):
    done = run(tmp_path, TALK.format(dress="wire", law="in odrer"))
    assert done.returncode == 2
    assert "did you mean 'in order'?" in done.stdout


def test_a_law_of_ones_own_is_found_by_its_entry_point(tmp_path, monkeypatch):
    package = tmp_path / "shouting.py"
    package.write_text(
        "from harness.laws import Broken, Law\n"
        "def find(history, value):\n"
        "    for told in history.told:\n"
        "        if told.text.isupper():\n"
        "            return Broken(f'{told.observer} was shouted at', (told.number,))\n"
        "LAW = Law('no shouting', 'nobody writes in capitals only', find)\n"
    )
    info = tmp_path / "shouting-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shouting\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[harness.laws]\nno-shouting = shouting:LAW\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    calm = TALK.format(dress="wire", law="no shouting")
    assert closing(run(tmp_path, calm)) == "1 passed, 0 failed, 0 skipped"
    done = run(tmp_path, calm.replace("text: two", "text: TWO"))
    assert "law 'no shouting': ben was shouted at" in done.stdout


LINES = """
    profile: lines
    server:
      run: python3 ${here}/lines.py
      ready: {prints: 'listening on port ${port=int}'}
    roles:
      line:
        tcp: 127.0.0.1:${server.port}
        frames: lines
        login:
          - self sends: I am ${name}
            self sees: welcome
    fence:
      roundtrip:
        line: {sends: 'echo ${token}', sees: '${token}'}
    acts:
      tell: {line: {sends: 'tell ${to} ${text}'}}
      say: {line: {sends: '${text}'}}
    phrases:
      tell: {line: '${from} tells you: ${text}'}
      say: {line: '${from}: ${text}'}
    messages: [tell, say]
"""
TELLER = """
    import socketserver, sys

    names = {}

    class Client(socketserver.StreamRequestHandler):
        def say(self, text):
            self.wfile.write(text.encode() + b"\\n")

        def handle(self):
            for line in self.rfile:
                verb, _, rest = line.decode().rstrip().partition(" ")
                if verb == "I":
                    names[rest.removeprefix("am ")] = self
                    self.say("welcome")
                elif verb == "echo":
                    self.say(rest)
                elif verb == "tell":
                    to, _, text = rest.partition(" ")
                    me = next(name for name in names if names[name] is self)
                    for name in names if LEAKS else [to]:
                        names[name].say(f"{me} tells you: {text}")

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    server = Server(("127.0.0.1", 0), Client)
    print(f"listening on port {server.server_address[1]}", flush=True)
    server.serve_forever()
"""
TOLD = """
    scenario: Nothing is expected here but by the laws
    cast: {ana: line, ben: line, cid: line}
    steps:
      - ana sends: tell ben psst
    laws: [private stays private, exactly once]
"""


@pytest.mark.parametrize("of", ["scenario", "profile"])
@pytest.mark.parametrize(("leaks", "code"), [(False, 0), (True, 1)])
def test_laws_know_the_lines_of_sockets_and_wait_for_what_is_on_its_way(tmp_path, leaks, code, of):
    told, laws = TOLD.rsplit("\n    laws: ", 1)
    parts = {"scenario": told, "profile": LINES}
    parts[of] = f"{parts[of].rstrip()}\n    laws: {laws}"
    profile = written(tmp_path, parts["profile"], "lines.yaml")
    written(tmp_path, TELLER.replace("LEAKS", str(leaks)), "lines.py")
    done = harness("run", written(tmp_path, parts["scenario"]), "--profile", profile)
    assert done.returncode == code, done.stdout
    assert ("was told 'psst', which was for ben" in done.stdout) == leaks


def test_laws_that_had_no_message_to_judge_say_so(tmp_path):
    text = TALK.format(dress="wire", law="in order").partition("      - ana does")[0]
    done = run(tmp_path, text + "      - fence: everyone\n    laws: [in order]\n", "-v")
    assert "the laws had nothing to judge" in done.stdout
