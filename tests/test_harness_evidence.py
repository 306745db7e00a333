"""What a failed run leaves behind: complete, harmless, bounded, and good for repeating it."""

import codecs
import json
import os
import pty
import random
import re
import shlex
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from programs.kit import PROFILE, closing, harness, written

from harness import cast, diff, evidence
from harness.errors import ScenarioError
from harness.journal import Chunk, Event
from harness.patterns import FramePattern, Item, RegexPattern, TextPattern, nearest
from harness.replay import load
from harness.run import Options
from harness.runner import Outcome
from harness.terminal import Terminal

TYPO = """
    scenario: A typo in <script>alert(1)</script> what is expected
    matrix: {word: [right, 'it''s "$HOME"']}
    cast: {ana: shell, ben: wire}
    files: {notes.log: {text: "kept\\n", mode: 644}, token: {text: hush-hush, mode: 600}}
    steps:
      - mark: the beginning
      - ben does: {dm: {to: ana, text: hello there}}
        ana sees: {dm: {from: ben, text: hello there}}
      - ana does: {dm: {to: ben, text: '${word} </pre><b>&'}}
        ben sees: {code: incoming, content: '${word} </pre><i>&'}
"""
ROW = 'it\'s "$HOME"'


def play(folder, text=TYPO, *options, profile=PROFILE, env=None):
    return harness(
        "run", written(folder, text), "--profile", profile, "--evidence", folder / "left",
        "--patience", "10", *options, env=env,
    )  # fmt: skip


def folders(folder):
    return sorted((folder / "left").iterdir()) if (folder / "left").is_dir() else []


@pytest.fixture(scope="module")
def left(tmp_path_factory):
    """The folder that the second row of TYPO leaves behind, and what was printed."""
    folder = tmp_path_factory.mktemp("evidence")
    done = play(folder, TYPO, "--row", "2")
    assert (done.returncode, closing(done)) == (1, "0 passed, 1 failed, 0 skipped"), done.stdout
    (found,) = folders(folder)
    return found, done


def events(folder):
    return [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]


def test_a_failure_leaves_a_folder_with_everything_and_says_where(left):
    folder, done = left
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == {
        "index.html", "events.jsonl", "report.txt", "repeat.txt", "server.txt",
        "ana.cast", "ben.hex.txt", "files/01-notes.log",
    }  # fmt: skip
    assert re.fullmatch(r".*scenario-row2-\d{8}-\d{6}", folder.name)
    assert [line for line in done.stdout.splitlines() if line.startswith("evidence: ")] == [
        f"evidence: {folder} (index.html, or `harness replay` it)"
    ]
    assert (folder / "report.txt").read_text() in done.stdout
    assert "listening on 127.0.0.1" in (folder / "server.txt").read_text()
    assert (folder / "files" / "01-notes.log").read_text() == "kept\n"


def test_the_page_asks_nobody_for_anything_and_takes_no_text_for_markup(left):
    page = (left[0] / "index.html").read_text()
    assert not re.search(r"<script|<link|<img|<iframe|\ssrc=|@import|url\(|https?:", page)
    assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "&lt;/pre&gt;&lt;b&gt;&amp;" in page
    assert page.count("<pre") == page.count("</pre>")
    assert 'id="broken"' in page
    assert re.search(r"<del>i</del><ins>b</ins>", page), "the word that differs is marked"


def test_every_event_is_there_in_the_order_of_arrival_with_the_verdicts(left):
    head, *rest = events(left[0])
    assert (head["evidence"], head["status"], head["row"]) == (1, "failed", {"word": ROW})
    assert head["cast"] == {"ana": "shell", "ben": "wire", "server": "server"}
    happened = [event for event in rest if "event" in event]
    assert [event["event"] for event in happened] == list(range(len(happened)))
    assert [event["at"] for event in happened] == sorted(event["at"] for event in happened)
    assert {event["kind"] for event in happened} == {"does", "sees", "fence", "note"}
    told = [event for event in happened if (event.get("data") or {}).get("code") == "incoming"]
    assert [event["data"]["content"] for event in told] == [f"{ROW} </pre><b>&"]
    assert {"verdict": "sees", "actor": "ana", "wanted": ["ben: hello there"]}.items() <= next(
        event for event in rest if event.get("wanted") == ["ben: hello there"]
    ).items()


def test_the_cast_plays_what_was_on_the_terminal_with_chapters_and_what_was_typed(left):
    film = cast.read(left[0] / "ana.cast")
    said = "".join(text for _, code, text in film.events if code == "o")
    typed = "".join(text for _, code, text in film.events if code == "i")
    marks = [text for _, code, text in film.events if code == "m"]
    assert "ben: hello there" in said
    assert f'/dm ben "{ROW} </pre><b>&"\r' in typed
    assert any(mark.startswith("ben: {'code': 'outgoing'") for mark in marks)
    assert marks[-1].startswith("failed: ben sees: ")
    screen = Terminal(*film.size, lambda _: None)
    screen.feed(said.encode())
    assert any(f'/dm ben "{ROW}' in row for row in screen.picture()), "what was typed can be seen"


def test_the_bytes_of_a_socket_can_be_put_together_again(left):
    text = (left[0] / "ben.hex.txt").read_text()
    rows = re.findall(r"^ {10}([<>]) ([0-9a-f]{8})  ((?:[0-9a-f]{2} ?)+) +\|", text, re.MULTILINE)
    came = {"<": b"", ">": b""}
    for sign, offset, data in rows:
        assert int(offset, 16) == len(came[sign])
        came[sign] += bytes.fromhex(data)
    frames = [json.loads(line) for line in came["<"].splitlines()]
    assert f"{ROW} </pre><b>&" in [frame.get("content") for frame in frames]
    assert json.loads(came[">"].splitlines()[0]) == {"code": "hello", "name": "ben"}
    assert '= {"code": "welcome"' in text


def test_the_command_that_is_left_makes_this_one_run_again(left, tmp_path):
    folder, done = left
    assert "--row 2" in (folder / "repeat.txt").read_text()
    script = (folder / "repeat.txt").read_text().replace("harness run", '"$@" run --evidence none')
    again = subprocess.run(
        ["sh", "-c", script, "sh", sys.executable, "-m", "harness"],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert closing(again) == "0 passed, 1 failed, 0 skipped", again.stdout + again.stderr
    assert (
        again.stdout.splitlines()[0].partition(" (")[0]
        == (done.stdout.splitlines()[0].partition(" (")[0])
    )


def test_a_command_survives_the_shell_whatever_the_names_are():
    options = Options(
        profile="a b.yaml", server="python3 'x y.py' --port 0; rm -rf /", client="c $(id)",
        at=("::1", 7), patience=2.5, min_grade="acked", seed=7, shake=True,
    )  # fmt: skip
    words = shlex.split(evidence.repeat_command(Outcome("t", "it's/a`b`.yaml", {}), 3, options))
    assert words == [
        "harness", "run", "it's/a`b`.yaml", "--row", "3", "--profile", "a b.yaml",
        "--server", "python3 'x y.py' --port 0; rm -rf /", "--client", "c $(id)",
        "--min-grade", "acked", "--at", "[::1]:7", "--patience", "2.5", "--shake", "--seed", "7",
    ]  # fmt: skip


RIGHT = TYPO.replace("<i>&", "<b>&")


def test_what_passes_leaves_nothing_unless_it_is_asked_for(tmp_path):
    assert play(tmp_path, RIGHT, "--row", "1").returncode == 0
    assert folders(tmp_path) == []
    done = play(tmp_path, RIGHT, "--row", "1", "--evidence", f"always:{tmp_path / 'left'}")
    assert done.returncode == 0, done.stdout
    (folder,) = folders(tmp_path)
    assert "ana sees" not in (folder / "report.txt").read_text()
    assert "passed" in (folder / "index.html").read_text()


def test_nothing_is_left_where_nothing_is_wanted(tmp_path):
    done = play(tmp_path, TYPO, "--evidence", "none")
    assert done.returncode == 1
    assert "evidence: " not in done.stdout
    assert folders(tmp_path) == []


def test_runs_at_the_same_time_never_write_over_each_other(tmp_path):
    rows = ", ".join("abcdef")
    text = TYPO.replace("[right, 'it''s \"$HOME\"']", f"[{rows}]").replace(
        "ana: shell", "ana: wire"
    )
    text = text.replace("ana sees: {dm: {from: ben, text: hello there}}", "ana sees: {content: x}")
    done = play(tmp_path, text, "-j", "3", "--repeat", "2")
    assert done.returncode == 1
    found = folders(tmp_path)
    assert len(found) == 12
    rows = [events(folder)[0]["row"]["word"] for folder in found]
    assert sorted(rows) == sorted("abcdef" * 2)
    assert all((folder / "index.html").read_text().endswith("</html>\n\n") for folder in found)


def test_a_row_that_there_is_not_is_told(tmp_path):
    done = play(tmp_path, TYPO, "--row", "3")
    assert (done.returncode, closing(done)) == (2, "0 passed, 0 failed, 0 skipped")
    wrong = play(tmp_path, TYPO, "--row", "0")
    assert wrong.returncode == 2
    assert "they count from 1" in wrong.stderr


def test_a_place_that_cannot_be_written_changes_no_verdict(tmp_path):
    (tmp_path / "left").write_text("a file")
    done = play(tmp_path, TYPO, "--row", "1")
    assert (done.returncode, closing(done)) == (1, "0 passed, 1 failed, 0 skipped")
    assert "note: no evidence in" in done.stdout


def test_without_the_library_of_the_page_everything_else_is_there(tmp_path):
    (tmp_path / "jinja2").mkdir()
    (tmp_path / "jinja2" / "__init__.py").write_text("raise ImportError('not installed')")
    done = play(tmp_path, TYPO, "--row", "1", env={"PYTHONPATH": str(tmp_path)})
    assert (done.returncode, closing(done)) == (1, "0 passed, 1 failed, 0 skipped"), done.stderr
    assert "note: no index.html: it needs jinja2 (pip install jinja2)" in done.stdout
    (folder,) = folders(tmp_path)
    assert not (folder / "index.html").exists()
    assert (folder / "ana.cast").exists()


def test_a_server_that_never_became_ready_leaves_what_it_said(tmp_path):
    done = play(tmp_path, TYPO, "--row", "1", "--server", "sh -c 'echo cannot bind; exit 3'")
    assert done.returncode == 3
    (folder,) = folders(tmp_path)
    assert "cannot bind" in (folder / "server.txt").read_text()
    assert events(folder)[0]["status"] == "environment"


HOSTILE = r"""
    scenario: A program that says terrible things
    cast: {ana: wire, eve: shell}
    steps:
      - ana sends: {code: outgoing, to: eve, content: "\e]0;owned\a\e[31m\u202Ered\u200B", id: a1}
        ana sees: {code: ack, re: a1}
      - ana sends bytes: {hex: 7b 22 63 6f 64 65 22 3a 1b 5d 30 3b ff fe 00 7d 0a}
        eve sees: never said
"""


def test_hostile_bytes_are_spelled_out_in_every_file(tmp_path):
    done = play(tmp_path, HOSTILE)
    assert done.returncode == 1, done.stdout
    (folder,) = folders(tmp_path)
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        text = path.read_bytes().decode("utf-8")
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\u200b]", text), path.name
    assert "owned" in (folder / "index.html").read_text()


def test_a_secret_is_in_no_file(tmp_path):
    text = """
        scenario: A secret is said, typed, sent and written down
        secrets: [password]
        vars: {password: 'hush "hush" é'}
        files: {notes.log: {text: "the word is ${password}\\n", mode: 644}}
        cast: {ana: shell, ben: wire}
        steps:
          - ana types: '/bc ${password}'
            ben sees: {content: '${password}'}
          - ben does: {dm: {to: ana, text: '${password}'}}
            ana sees: 'ben: ${password}!'
    """
    done = play(tmp_path, text)
    assert done.returncode == 1, done.stdout
    (folder,) = folders(tmp_path)
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        said = path.read_text()
        dumped = bytes.fromhex("".join(re.findall(r"[<>] [0-9a-f]{8}  (.*?) +\|", said)))
        assert "hush" not in said + dumped.decode("utf-8", "replace"), path.name
    assert "the word is ***" in (folder / "files" / "01-notes.log").read_text()


# Films.


@given(st.lists(st.tuples(st.sampled_from("io"), st.binary(max_size=40)), max_size=20))
def test_any_bytes_become_a_film_that_a_strict_reader_takes(tmp_path_factory, pieces):
    chunks = [Chunk(0.1 * n, "ana", kind, data) for n, (kind, data) in enumerate(pieces)]
    film = cast.film("ana", [Chunk(0, "ana", "r", b"100x30"), *chunks], [(0.05, "x")], echo=False)
    path = tmp_path_factory.getbasetemp() / f"any-{os.getpid()}.cast"
    path.write_bytes(cast.written(film, 1 << 20))
    again = cast.read(path)
    assert (again.size, len(again.events)) == ((100, 30), len(film.events))
    for code in "io":
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        said = "".join(decoder.decode(data) for kind, data in pieces if kind == code)
        assert "".join(text for _, kind, text in again.events if kind == code) == said


HEAD = '{"version": 2, "width": 80, "height": 24}\n'


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("", 1, "not JSON"),
        ('{"version": 3, "width": 80, "height": 24}\n', 1, "not the header"),
        ('{"version": 2, "width": 0, "height": 24}\n', 1, "whole numbers"),
        ('{"version": 2, "width": "80", "height": 24}\n', 1, "whole numbers"),
        (HEAD + '[0.1, "o", "x"]\n[0.0, "o", "y"]\n', 3, "time runs backwards"),
        (HEAD + '[0.1, "x", "y"]\n', 2, "not an event"),
        (HEAD + '[0.1, "o"]\n', 2, "not an event"),
        (HEAD + '[true, "o", "x"]\n', 2, "not an event"),
        (HEAD + '[0.1, "r", "80 by 24"]\n', 2, "not a size"),
        (HEAD + "[0.1,\n", 2, "not JSON"),
        (HEAD + '\n[0.1, "o", "x"]\n', 2, "not JSON"),
    ],
)
def test_a_wrong_film_is_told_with_its_line(tmp_path, text, line, told):
    path = tmp_path / "ana.cast"
    path.write_text(text)
    with pytest.raises(ScenarioError) as caught:
        cast.read(path)
    assert told in str(caught.value)
    assert f"ana.cast:{line}:" in str(caught.value)


def test_a_film_has_its_sizes_and_never_grows_beyond_its_bound(tmp_path):
    chunks = [Chunk(0, "ana", "r", b"80x24"), Chunk(1, "ana", "r", b"40x10")]
    chunks += [Chunk(2, "ana", "o", b"\x1b" * 1000) for _ in range(50)]
    film = cast.film("ana", chunks, [], echo=False)
    path = tmp_path / "ana.cast"
    path.write_bytes(cast.written(film, 20_000))
    assert path.stat().st_size <= 20_000
    again = cast.read(path)
    assert again.events[0] == (1.0, "r", "40x10")
    assert again.events[-1][1:] == ("m", "the rest is left out")


# Bounds.


def test_only_the_newest_folders_stay_and_nothing_else_is_touched(tmp_path, monkeypatch):
    monkeypatch.setattr(evidence, "KEEP", 3)
    for number in range(6):
        folder = tmp_path / f"run-{number}"
        folder.mkdir()
        (folder / "events.jsonl").write_text('{"evidence": 1}\n')
        os.utime(folder, (number, number))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    os.utime(tmp_path / "mine", (0, 0))
    evidence.prune(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "run-3", "run-4", "run-5"]


def test_long_runs_leave_their_beginning_and_their_end(tmp_path):
    outcome = Outcome("t", "t.yaml", {}, "failed", cast={"ana": "wire", "server": "server"})
    many = evidence.EVENTS + 5_000
    outcome.events = [Event(n, n / 1000, "ana", "sees", f"line {n}") for n in range(many)]
    outcome.chunks = [Chunk(n / 1000, "ana", "o", b"x" * 100) for n in range(many)]
    first, left_out, last = evidence.ends(outcome.events, evidence.EVENTS // 4, evidence.EVENTS)
    assert (first[0].number, left_out, last[-1].number) == (0, 5_000, many - 1)
    assert len(first) + len(last) == evidence.EVENTS
    lines = list(evidence.hex_lines(outcome.chunks, outcome.events))
    assert sum(map(len, lines)) < 8 * evidence.BYTES
    assert lines[-1].endswith("the rest is left out")


def test_only_public_texts_of_the_scenarios_folder_are_kept(tmp_path):
    home = tmp_path / "home"
    for name, mode, data in [
        ("a.log", 0o644, b"fine \x1b[2Jtext\n"), ("secret", 0o600, b"hush"),
        ("data.db", 0o644, b"SQLite\0\0"), ("deep/b.log", 0o644, b"fine\n"),
        ("private/c.log", 0o644, b"hush"),
    ]:  # fmt: skip
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(mode)
    (home / "private").chmod(0o700)
    (home / "link").symlink_to("/etc/passwd")
    os.mkfifo(home / "fifo", 0o644)
    (home / "big.log").write_bytes(b"0123456789\n" * 200_000)
    found = {str(path.relative_to(home)): evidence._text_of(path) for path in evidence._found(home)}
    assert set(found) == {"a.log", "data.db", "deep/b.log", "big.log"}
    assert found["data.db"] is None
    assert found["a.log"] == "fine \\x1b[2Jtext\n"
    assert len(found["big.log"]) < evidence.FILE + 100
    assert found["big.log"].startswith("... ")
    assert stat.S_ISFIFO((home / "fifo").stat().st_mode)


# Nearest misses.

PEOPLE = ("ana", "ben", "cid", "dan")
SAID = "hello there good bye see you tomorrow at nine who is online the server was restarted"


def chat(draw):
    lines = {f"{draw.choice(PEOPLE)}: {' '.join(draw.sample(SAID.split(), draw.randint(2, 6)))}"
             for _ in range(30)}  # fmt: skip
    return sorted(lines)


def typo(draw, text):
    """A word of the text mistyped: a letter lost, doubled, changed, or two swapped."""
    at = draw.randrange(len(text) - 1)
    made = draw.choice([
        text[:at] + text[at + 1 :], text[: at + 1] + text[at:],
        text[:at] + draw.choice("qzj") + text[at + 1 :],
        text[:at] + text[at + 1] + text[at] + text[at + 2 :],
    ])  # fmt: skip
    return made if made != text and made.strip() == made else typo(draw, text)


def lookup(name):
    return {"who": "ana"}[name]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("shape", ["text", "expression", "frame"])
def test_the_nearest_miss_is_the_line_that_was_meant(seed, shape):
    draw = random.Random(f"{shape} {seed}")
    lines = chat(draw)
    meant = draw.choice(lines)
    who, text = meant.split(": ")
    if shape == "frame":
        told = [line.split(": ") for line in lines]
        frames = [{"code": "incoming", "from": by, "content": what} for by, what in told]
        items = [Item(json.dumps(frame), 0.0, frame, is_frame=True) for frame in frames]
        wanted = {"code": "incoming", "from": who, "content": typo(draw, text)}
        pattern = FramePattern(wanted, lookup, exact=False)
    else:
        items = [Item(line, 0.0) for line in lines]
        wanted = typo(draw, meant)
        pattern = TextPattern(wanted, lookup)
        if shape == "expression":
            pattern = RegexPattern(re.escape(wanted).replace(who, r"\w+"))
    near = nearest(pattern, [item for item in items if pattern.match(item) is None])
    assert near is items[lines.index(meant)], pattern
    assert any(re.search(r"\[-|\{\+|a gap", line) for line in pattern.differences(near))


@pytest.mark.parametrize(
    ("expected", "seen", "marked"),
    [
        (["ana: hello there"], "ana: hello their", "ana: hello [-there-]{+their+}"),
        (["one two three"], "one three", "one [-two -]three"),
        (["one three"], "one two three", "one {+two +}three"),
        (["ana: hi"], "ana: hi!", "ana: hi{+!+}"),
        (["user: ", diff.GAP], "users: ana, ben", "[-user-]{+users+}: ana, ben"),
        (["from ", diff.GAP, " to ben"], "from ana to dan", "from ana to [-ben-]{+dan+}"),
        (["a b"], "a\u00a0b", "a[- -]{+\\xa0+}b"),
        (["paypal"], "p\u0430ypal", "[-paypal-]{+p\\u0430ypal+}"),
    ],
)
def test_words_that_differ_are_marked(expected, seen, marked):
    assert diff.words(expected, seen) == marked


def test_a_long_line_is_shown_around_its_difference():
    long = "word " * 2_000
    marked = diff.words([f"{long}expected {long}"], f"{long}seen {long}")
    assert "[-expected-]{+seen+}" in marked
    assert len(marked) < 300
    assert len(diff.short(f"{long}expected {long}", f"{long}seen")) < 200
    assert "expected" in diff.short(f"{long}expected {long}", f"{long}seen")


PLAIN = st.text("abc d", max_size=60).map(str.rstrip)


@given(PLAIN, PLAIN)
def test_both_texts_can_be_read_from_what_is_marked(expected, seen):
    marked = diff.words([expected], seen)
    if "…" not in marked:
        assert re.sub(r"\[-(.*?)-\]|\{\+.*?\+\}", r"\1", marked) == expected
        assert re.sub(r"\[-.*?-\]|\{\+(.*?)\+\}", r"\1", marked) == seen


def test_frames_are_compared_field_by_field():
    frame = {"code": "incoming", "content": "hello there", "from": "ana", "seq": 7}
    wanted = {"code": "incoming", "contnt": "x", "from": "${who}", "seq": "7"}
    pattern = FramePattern(wanted, lookup, exact=True)
    assert pattern.differences(Item(json.dumps(frame), 0.0, frame, is_frame=True)) == [
        'missing   contnt: "x" (but there is content)',
        'differs   seq: [-"7"-]{+7+}',
        'besides   content: "hello there"',
    ]


def test_who_else_was_told_and_what_came_too_early_is_said(tmp_path):
    text = """
        scenario: In which order
        cast: {ana: wire, ben: wire, cid: wire}
        steps:
          - ana sends: [{code: ping, n: a}, {code: ping, n: b}]
            ana sees: [{n: b}, {n: a}]
    """
    done = play(tmp_path, text)
    assert 'but       it came out of turn: {"code": "pong", "n": "a"}' in done.stdout, done.stdout
    text = """
        scenario: Who was told
        cast: {ana: wire, ben: wire, cid: wire}
        steps:
          - ana sends: {code: outgoing_broadcast, content: hello, id: a1}
            ana sees: {code: incoming_broadcast, content: hello}
    """
    assert "told      ben, cid" in play(tmp_path, text).stdout


# Replay.


def test_what_is_no_terminal_gets_the_conversation_as_lines(left):
    done = harness("replay", left[0])
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("failed: A typo in <script>")
    assert lines[-1].startswith("failed: ben sees: ")
    assert any(re.fullmatch(r" +\d+\.\d{3} +ana < ben: hello there", line) for line in lines)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "cannot be read: No such file or directory"),
        ("", "not the evidence of a run"),
        ("no json\n", "not JSON"),
        ('{"evidence": 1, "cast": {}}\n{"event": 0, "at": "x", "kind": "sees"}\n', "not an event"),
        ('{"evidence": 1, "cast": {}}\n[]\n', "not an object"),
        ("[" * 100_000 + "\n", "not JSON"),
    ],
)
def test_a_folder_that_is_no_evidence_is_told(tmp_path, text, told):
    if text is not None:
        (tmp_path / "events.jsonl").write_text(text)
    with pytest.raises(ScenarioError, match=told):
        load(tmp_path)


def on_a_terminal(*arguments):
    """The exit code of `harness ARGUMENTS` on a terminal of 120x40, and what it wrote."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "harness", *map(str, arguments)],
        stdin=theirs, stdout=theirs, stderr=theirs,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"},
    ) as program:  # fmt: skip
        os.close(theirs)
        said = b""
        try:
            while piece := os.read(ours, 65_536):
                said += piece
        except OSError:  # how a pseudo-terminal ends on Linux
            pass
        os.close(ours)
    return program.returncode, said


def test_a_terminal_gets_all_terminals_side_by_side_and_no_byte_of_the_programs(tmp_path):
    head = {"evidence": 1, "title": "t\x1b]0;owned\x07", "status": "failed", "what": "w",
            "cast": {"ana": "shell", "ben": "shell"}}  # fmt: skip
    event = {"event": 0, "at": 0.1, "actor": "ana", "kind": "sees", "text": "\x1b]0;owned\x07 seen"}
    (tmp_path / "events.jsonl").write_text(f"{json.dumps(head)}\n{json.dumps(event)}\n")
    for name in ("ana", "ben"):
        said = [[0.1, "o", f"I am {name}\x1b]0;owned\x07\r\n"], [0.2, "m", "ch\x1b[2Japter"],
                [9999, "r", "60x10"], [9999, "o", "\x1b[31mred\x1b[0m the end"]]  # fmt: skip
        lines = "".join(f"{json.dumps(one)}\n" for one in said)
        (tmp_path / f"{name}.cast").write_text(HEAD + lines)
    code, said = on_a_terminal("replay", tmp_path, "--speed", "50")
    assert code == 0, said
    assert b"\x1b]0;" not in said
    assert b"\x1b[2J" not in said
    screen = Terminal(120, 40, lambda _: None)
    screen.feed(said)
    rows = screen.picture()
    assert any(re.search("I am ana.*I am ben", row) for row in rows), rows
    assert any(re.search("red the end.*red the end", row) for row in rows), rows
    assert any("seen" in row for row in rows)


def test_a_run_that_is_shown_has_a_column_for_everybody(tmp_path):
    path = written(tmp_path, TYPO)
    options = ("--row", "1", "--evidence", "none", "--show", "-q")
    code, said = on_a_terminal("run", path, "--profile", PROFILE, *options)
    assert code == 1
    screen = Terminal(120, 400, lambda _: None)
    screen.feed(said)
    rows = screen.picture()
    at = {name: next(row.index(name) for row in rows if row.strip() == name)
          for name in ("ana", "ben", "server")}  # fmt: skip
    assert at == {"ana": 0, "ben": 40, "server": 80}
    assert any(row.startswith("│ ben: hello there") for row in rows)
    assert any(row.startswith(f"{'':40}▶ {{'code': 'outgoing'") for row in rows)


@pytest.mark.parametrize("speed", ["0", "-1", "nan", "inf", "fast"])
def test_a_speed_has_to_be_one(tmp_path, speed):
    done = harness("replay", tmp_path, "--speed", speed)
    assert done.returncode == 2
    assert "is not a number above 0" in done.stderr


def test_names_of_folders_are_tidy_and_tell_the_scenario(tmp_path):
    for path, row, name in [
        ("scenarios/a b/hé.yaml", 0, "scenarios-a_b-h_"), ("../x.yaml", 2, "x-row2"),
        ("/very/deep/folder/of/one.yaml", 0, "of-one"), ("\x1b[2J.yaml", 0, "_2J"),
    ]:  # fmt: skip
        assert evidence.slug(Outcome("t", path, {}), row).endswith(name)
    assert Path(evidence.slug(Outcome("t", "/x/.yaml", {}), 0)).name not in ("", ".", "..")
