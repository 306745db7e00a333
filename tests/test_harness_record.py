"""`harness record`: a scenario comes out that passes at once."""

import os
import re
import sys
from pathlib import Path

import pexpect
import pytest
from programs.kit import HERE, PROFILE, closing, harness, written

from harness.record import Act, Exchange, Said, Setting, Take, Writer

CHATD = HERE.parent.parent / "scenarios" / "profiles" / "chatd.yaml"
SEED = """
# what three people said
client1: /dm client2 "Hello there!"
client2: /bc "Hello!"
client3: /dm client4 "Goodbye."
client1: /quit
"""


def recorded(folder, script, profile, *options):
    out = folder / "recorded.yaml"
    path = written(folder, script, "script.txt")
    done = harness("record", "--profile", profile, "--script", path, "-o", out, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("passed "), done.stdout
    return out


@pytest.mark.parametrize("profile", [CHATD, PROFILE], ids=["chatd", "small"])
def test_the_dialogue_of_three_is_recorded_from_a_script_and_passes(tmp_path, profile):
    out = recorded(tmp_path, SEED, profile)
    leaves = "client1 is quitting." if profile == CHATD else "'server: client1 quit.'"
    told = "everyone sees: 'client2: Hello!'"
    refused = " 'server: User \"client4\" is not connected to the server.'"
    if profile == CHATD:
        refused = f"\n      -{refused}\n      - 'did you mean client2? If so, type it again.'"
    assert (
        out.read_text().partition("\n\n")[2]
        == f"""steps:
  - client1 types: '/dm client2 "Hello there!"'
    client1, client2 see: 'client1: Hello there!'
    client3 sees nothing:

  - client2 types: '/bc "Hello!"'
    {told}

  - client3 types: '/dm client4 "Goodbye."'
    client3 sees:{refused}
    others see nothing:

  - client1 types: /quit
    client2, client3 see: {leaves}
    client1 exits: 0
"""
    )
    assert harness("fmt", "--check", out).returncode == 0
    again = harness("run", out, "--profile", profile)
    assert closing(again) == "1 passed, 0 failed, 0 skipped", again.stdout


GUESTS = """
import itertools, secrets, socketserver, time
clients = {}
class Client(socketserver.StreamRequestHandler):
    def handle(self):
        self.name = f"guest-{secrets.token_hex(4)}"
        self.tell(f"you are {self.name}")
        clients[self.name] = self
        for line in map(bytes.decode, self.rfile):
            word, _, rest = line.strip().partition(" ")
            if word == "echo":
                self.tell(rest)
            elif word == "ticket":
                ticket = secrets.token_hex(6)
                for client in list(clients.values()):
                    client.tell(f"[{time.strftime('%H:%M:%S')}] {self.name} has ticket {ticket}.")
                self.last = ticket
            elif word == "which":
                self.tell(f"it was {self.last}, at {time.time():.3f}")
    def tell(self, text):
        self.wfile.write(f"{text}\\n".encode())
server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Client)
server.daemon_threads = True
print("listening on port", server.server_address[1], flush=True)
server.serve_forever()
"""
GUEST_PROFILE = """
profile: guests
server: {run: 'python3 ${here}/guests.py', ready: {prints: 'listening on port ${port=int}'}}
roles:
  line:
    tcp: '127.0.0.1:${server.port}'
    frames: lines
    login: [{self sees: 'you are ${name=word}'}]
fence: {roundtrip: {line: {sends: 'echo ${token}', sees: '${token}'}}}
"""


def test_names_of_the_server_times_and_tickets_are_no_literals(tmp_path):
    written(tmp_path, GUESTS, "guests.py")
    profile = written(tmp_path, GUEST_PROFILE, "guests.yaml")
    out = recorded(tmp_path, "ana: ticket\nben: echo hi\nana: which\n", profile)
    assert (
        out.read_text()
        == """scenario: What ana and ben said
use: guests
cast: {ana: line, ben: line}

steps:
  - ana sends: ticket
    ana sees: '[...] ${ana.name} has ticket ${ticket=word}.'
    ben sees: '[...] ${ana.name} has ticket ....'

  - ben sends: echo hi
    ben sees: hi
    ana sees nothing:

  - ana sends: which
    ana sees: 'it was ${ana.ticket}, at ...'
    ben sees nothing:
"""
    )


def test_what_differs_from_take_to_take_is_left_out_and_said():
    acts = [Act("ana types", "hi", 1), Act("ana types", "ho", 2)]
    said = {"ben": [Said("ana: hi")]}
    takes = [
        Take([Exchange(said), Exchange({})], {}),
        Take([Exchange({}), Exchange(said)], {}),
    ]
    writer = Writer(acts, takes, Setting(PROFILE, {"ana": "shell", "ben": "shell"}), _profile())
    text = writer.text("Doubtful", "small")
    assert "ben" not in text.partition("steps:")[2]
    assert len(writer.doubts) == 2


def test_what_comes_in_another_order_is_expected_in_any_order():
    takes = [
        Take([Exchange({"ana": [Said(one), Said(two)]})], {})
        for one, two in (("ben: 1", "cid says 2"), ("cid says 2", "ben: 1"))
    ]
    writer = Writer([Act("ana types", "hi", 1)], takes, Setting(PROFILE, {"ana": "shell"}),
                    _profile())  # fmt: skip
    assert "see in any order" not in writer.text("x", "small")
    assert "sees in any order: ['ben: 1', 'cid says 2']" in writer.text("x", "small")


def _profile():
    from harness.profile import load_profile

    return load_profile(PROFILE)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("", "nobody does anything"),
        ("ana: hi\nzoe tpyes: hi\n", "script.txt:2:1: "),
        ("ana: hi\nben: [\nben types: [\n", "script.txt:3:1: "),
    ],
)
def test_a_wrong_script_is_one_error_with_its_line(tmp_path, script, said):
    path = written(tmp_path, script, "script.txt")
    done = harness("record", "--profile", PROFILE, "--script", path, "--cast",
                   "ana: shell, ben: shell")  # fmt: skip
    assert done.returncode == 2
    assert said in done.stdout
    assert "Traceback" not in done.stderr


def test_a_file_that_is_there_is_not_written_over(tmp_path):
    out = written(tmp_path, "mine", "mine.yaml")
    done = harness("record", "--profile", PROFILE, "--script", out, "-o", out)
    assert (done.returncode, out.read_text()) == (2, "mine")


def test_a_person_plays_in_terminals_side_by_side(tmp_path):
    out = tmp_path / "played.yaml"
    stage = pexpect.spawn(
        sys.executable,
        ["-m", "harness", "record", "--profile", str(PROFILE), "-o", str(out)],
        dimensions=(30, 160), timeout=60, encoding="utf-8", env={**os.environ, "TERM": "xterm"},
    )  # fmt: skip
    try:
        stage.expect("1 ana")
        stage.send("/dm ben hullo\x7f\x7f\x7f\x7fello\r")
        stage.expect("ana: hello")
        stage.send("\x1d2/bc from ben")
        stage.expect("from ben")
        stage.send("\r")
        stage.expect("ben: from ben")
        stage.send("\x1dq")
        stage.expect("passed ")
        stage.expect(pexpect.EOF)
    finally:
        stage.close(force=True)
    assert stage.exitstatus == 0
    steps = out.read_text().partition("steps:\n")[2]
    assert (
        steps
        == """  - ana types: /dm ben hello
    everyone sees: 'ana: hello'

  - ben types: /bc from ben
    everyone sees: 'ben: from ben'
"""
    )


def test_without_a_terminal_it_asks_for_a_script():
    done = harness("record", "--profile", PROFILE)
    assert done.returncode == 2
    assert "--script FILE" in done.stdout
    assert not re.search("Traceback", done.stderr)
    assert Path(PROFILE).exists()
