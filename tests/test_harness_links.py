"""Faults are verbs: each is seen from its other end, by real programs that tell what they read."""

import select
import socket
import struct
import time
from pathlib import Path

import pytest
from programs.kit import PROFILE, closing, harness, run, written

from harness.errors import ScenarioError
from harness.frames import FRAMINGS, MOST
from harness.language import load_scenario
from harness.links import QUEUE, Link
from harness.reactor import Reactor

REPORTER = Path(__file__).parent / "programs" / "reporter.yaml"
GIVE_UP = 60.0  # seconds
DATA_SEGS_IN = 152  # offset in the kernel's struct tcp_info
PASSED = (0, "1 passed, 0 failed, 0 skipped")


def told(folder, text, *options):
    """Run a scenario with the programs that tell what they read."""
    return harness("run", written(folder, text), "--profile", REPORTER, *options)


def assert_passes(done, expected=PASSED):
    assert (done.returncode, closing(done)) == expected, done.stdout + done.stderr


# What both ends of a link read.


def test_a_cut_link_ends_both_directions_and_refuses_until_it_is_restored(tmp_path):
    text = """
        scenario: A cut link
        cast: {ana: wire, cid: wire, bot: caller}
        steps:
          - ana sends: hello
            bot sees: connected
            server prints: ["1 read b'hello\\\\n'", 3 connected]
          - server types: say 3 welcome
            bot sees: "read b'welcome\\\\n'"
          - ana, bot links are: cut
            server prints: 1 eof
            ana is closed: fin
            bot sees: eof
          - server prints: 3 eof
          - bot types: connect
            bot sees: ECONNREFUSED
          - bot link is: restored
          - bot types: connect
            bot sees: connected
            server prints: 4 connected
          - bot types: say back
            server prints: "4 read b'back'"
          - cid sends: me too
            server prints: "2 read b'me too\\\\n'"
    """
    assert_passes(told(tmp_path, text))


def test_a_reset_link_is_read_as_econnreset_by_both_and_takes_new_connections(tmp_path):
    text = """
        scenario: A link that is reset
        cast: {ana: wire, bot: caller}
        steps:
          - bot sees: connected
            server prints: 2 connected
          - everyone links are: reset
            ana is closed: reset
            bot sees: ECONNRESET
            server prints: 1 ECONNRESET
          - server prints: 2 ECONNRESET
          - bot types: connect
            bot sees: connected
            server prints: 3 connected
    """
    assert_passes(told(tmp_path, text))


@pytest.mark.parametrize("dress", ["wire", "shell"])
def test_through_a_frozen_link_nothing_passes_and_nothing_is_lost(tmp_path, dress):
    said = "{code: incoming_broadcast, content: one}" if dress == "wire" else "'ben: one'"
    text = f"""
        scenario: A black hole
        cast: {{ana: {dress}, ben: wire, cid: wire}}
        steps:
          - ana link is: frozen
            others see nothing:
          - ben sends: {{code: outgoing_broadcast, content: one, id: b1}}
            cid sees: {{content: one}}
            ana sees nothing:
          - ben sends: {{code: who}}
            ben sees: {{code: users, users: [ana, ben, cid]}}
          - ana link is: restored
            ana sees: {said}
            others see nothing:
    """
    assert_passes(run(tmp_path, text))


def test_who_cannot_be_fenced_is_told_with_the_state_of_the_link(tmp_path):
    text = """
        scenario: No way to prove anything
        cast: {ana: wire, ben: wire}
        steps:
          - ana link is: frozen
            ana never sees: nix
          - ben sends: {code: who}
            ben sees: {code: nothing of the kind}
    """
    done = run(tmp_path, text)
    assert done.returncode == 1
    assert "note: ana was not fenced: its link is frozen" in done.stdout


def test_what_is_sent_into_a_black_hole_arrives_once_when_it_is_restored(tmp_path):
    text = """
        scenario: What is sent meanwhile is kept
        cast: {ana: wire, ben: wire, cid: wire}
        steps:
          - ana link is: frozen
          - ana sends: {code: outgoing_broadcast, content: one, id: a1}
            ben sees nothing:
          - ana sends: {code: outgoing_broadcast, content: two, id: a2}
            ben sees nothing:
          - cid sends: {code: outgoing_broadcast, content: three, id: c1}
            ben sees only: {content: three}
          - ana link is: restored
            ben sees only: [{content: one}, {content: two}]
    """
    assert_passes(run(tmp_path, text))


def test_half_closing_and_resetting_pass_through_a_link(tmp_path):
    text = """
        scenario: Ends are passed on as they came
        cast: {ana: wire, ben: wire}
        steps:
          - everyone links are: {latency: 20ms}
          - ana sends: last words
            ana half-closes:
            server prints: ["1 read b'last words\\\\n'", 1 eof]
          - server types: say 1 goodbye
            ana sees: goodbye
          - ben resets:
            server prints: 2 ECONNRESET
    """
    assert_passes(told(tmp_path, text))


def test_a_link_can_be_cut_before_its_actor_joins(tmp_path):
    text = """
        scenario: Unplugged from the start
        cast: {bot: caller, ana: wire}
        steps:
          - bot link is: cut
          - bot joins:
            bot sees: ECONNREFUSED
          - bot link is: restored
          - bot types: connect
            bot sees: connected
    """
    assert_passes(told(tmp_path, text))


def test_a_link_that_nobody_connects_through_is_not_applicable(tmp_path):
    text = """
        scenario: A program that never connects
        cast: {sue: sh}
        steps:
          - sue link is: cut
    """
    done = told(tmp_path, text, "--patience", "0.01")
    assert_passes(done, (0, "0 passed, 0 failed, 1 skipped"))


def test_a_slow_link_changes_no_verdict(tmp_path):
    text = """
        scenario: Slow, and all the same
        cast: {ana: shell, ben: wire, cid: wire}
        matrix:
          way: [{latency: 100ms, jitter: 50ms}, {bandwidth: 4kB/s}, {slice: 1}]
        steps:
          - ana, ben links are: '${way}'
          - ana does: {dm: {to: ben, text: Hello there!}}
            ana sees: {sent: {from: ana, text: Hello there!}}
            ben sees: {dm: {from: ana, text: Hello there!}}
            cid never sees: Hello there!
          - ben sends: {code: outgoing_broadcast, content: to all, id: b1}
            ana sees only: 'ben: to all'
    """
    assert_passes(run(tmp_path, text), (0, "3 passed, 0 failed, 0 skipped"))


@pytest.mark.parametrize("fault", ["leak-dm", "late-leak"])
def test_a_leak_is_found_through_a_slow_link(tmp_path, fault):
    text = """
        scenario: A leak on a slow way
        cast: {ana: wire, ben: wire, cid: wire}
        steps:
          - cid link is: {latency: 150ms}
          - ana sends: {code: outgoing, to: ben, content: secret, id: a1}
            ben sees: {content: secret}
            cid never sees: secret
    """
    done = run(tmp_path, text, fault=fault)
    assert done.returncode == 1
    assert "cid never sees" in done.stdout


# A link by itself, between two sockets.


@pytest.fixture
def pair():
    """A reactor, a link, and the ends of a connection through it; `pair.far` is the server's."""
    made = Pair()
    yield made
    made.close()


class Pair:
    def __init__(self):
        self.reactor = Reactor()
        self.listener = socket.create_server(("127.0.0.1", 0))
        address = self.listener.getsockname()
        self.link = Link(self.reactor, lambda: address, seed=1)
        self.near = socket.create_connection(("127.0.0.1", self.link.port))
        while not select.select([self.listener], [], [], 0)[0]:
            self.reactor.step(time.monotonic() + GIVE_UP)
        self.far = self.listener.accept()[0]
        for end in (self.near, self.far):
            end.setblocking(False)

    def receive(self, count):
        """What the far end reads until it has `count` bytes; and when the last of it came."""
        data = b""
        deadline = time.monotonic() + GIVE_UP
        while len(data) < count and time.monotonic() < deadline:
            self.reactor.step(time.monotonic() + 0.01)
            try:
                data += self.far.recv(1 << 20)
            except BlockingIOError:
                continue
        return data, time.monotonic()

    def close(self):
        self.link.close()
        self.reactor.close()
        for end in (self.near, self.far, self.listener):
            end.close()


def test_nothing_arrives_before_the_latency_is_over_and_nothing_overtakes(pair):
    pair.link.become({"latency": "60ms", "jitter": "50ms"})
    began, sent = time.monotonic(), b""
    for number in range(40):
        pair.near.sendall(b"%d " % number)
        sent += b"%d " % number
        pair.reactor.step(time.monotonic())
    data, ended = pair.receive(len(sent))
    assert data == sent
    assert ended - began >= 0.06 - 0.05


def test_the_jitter_comes_from_the_seed():
    listener = socket.create_server(("127.0.0.1", 0))
    reactor = Reactor()
    links = [Link(reactor, listener.getsockname, seed=seed) for seed in (7, 7, 8)]
    first, second, third = ([link.dice().random() for _ in range(5)] for link in links)
    assert first == second != third
    for closable in (*links, reactor, listener):
        closable.close()


def test_a_bandwidth_is_kept(pair):
    pair.link.become({"bandwidth": "100kB/s"})
    began = time.monotonic()
    pair.near.sendall(b"x" * 30_000)
    data, ended = pair.receive(30_000)
    assert len(data) == 30_000
    assert ended - began >= 0.25  # 0.3 s less what may pass at once


def test_slices_are_writes_of_their_own(pair):
    pair.link.become({"slice": 1})
    pair.near.sendall(b"one at a time")
    data, _ = pair.receive(13)
    info = pair.far.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    assert (data, struct.unpack_from("I", info, DATA_SEGS_IN)[0]) == (b"one at a time", 13)


def test_a_slow_link_makes_its_source_wait(pair):
    pair.link.become({"bandwidth": "1kB/s"})
    assert flooded(pair) < 16 * QUEUE


def test_a_frozen_link_makes_its_source_wait_and_keeps_every_byte(pair):
    pair.link.become("frozen")
    count = flooded(pair)
    assert count < 16 * QUEUE
    assert select.select([pair.far], [], [], 0)[0] == []
    pair.link.become("restored")
    data, _ = pair.receive(count)
    assert len(data) == count


def flooded(pair):
    """How many bytes the near end gets rid of, until nothing is taken in fifty rounds."""
    count = refused = 0
    pair.near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32 * 1024)
    while refused < 50 and count < 64 << 20:
        pair.reactor.step(time.monotonic())
        try:
            count += pair.near.send(b"x" * 4096)
            refused = 0
        except BlockingIOError:
            refused += 1
    return count


def test_a_link_resets_what_goes_to_a_server_that_is_down(pair):
    pair.listener.close()
    late = socket.create_connection(("127.0.0.1", pair.link.port))
    while not select.select([late], [], [], 0)[0]:
        pair.reactor.step(time.monotonic() + GIVE_UP)
    with late, pytest.raises(ConnectionResetError):
        late.recv(1)


def test_a_frozen_link_keeps_an_end_to_itself(pair):
    pair.link.become("frozen")
    pair.near.close()
    pair.reactor.step(time.monotonic())
    assert select.select([pair.far], [], [], 0)[0] == []
    pair.link.become("restored")
    while not select.select([pair.far], [], [], 0)[0]:
        pair.reactor.step(time.monotonic() + GIVE_UP)
    assert pair.far.recv(1) == b""


# Reading, slowly and not at all; writing, slowly.


def test_whoever_stops_reading_is_felt_by_the_server_and_reads_everything_later(tmp_path):
    text = """
        scenario: A reader that stops
        cast: {ana: wire, ben: wire}
        patience: 30s
        steps:
          - ana stops reading:
            server types: flood 1 2000000
            server prints: 1 takes no more after ${taken=int} bytes
            check: ${server.taken} < 200000
          - server types: flood 2 2000000
            server prints: 2 took 2000000 bytes
          - ana reads again:
            server prints: 1 took 2000000 bytes
    """
    assert_passes(told(tmp_path, text))


def test_a_byte_at_a_time_is_sent_while_others_talk_and_before_what_comes_later(tmp_path):
    text = """
        scenario: A slow writer
        cast: {ana: wire, ben: wire}
        steps:
          - ana sends bytes:
              - {every: 30ms, bytes: '{"code": "who"}'}
              - \\n
            ben sends: {code: who}
            ben sees: {code: users}
            fence: none
          - ana sends: {code: outgoing_broadcast, content: after it, id: a1}
            ana sees next: [{code: users}, {code: ack, re: a1}]
            ben sees: {content: after it}
    """
    assert_passes(run(tmp_path, text))


def test_each_byte_of_a_slow_writer_is_read_by_itself(tmp_path):
    text = """
        scenario: A slow writer, seen from the server
        cast: {ana: wire}
        steps:
          - ana sends bytes: {every: 200ms, bytes: {hex: 61 62 63}}
            ana half-closes:
            server prints: ["1 read b'a'", "1 read b'b'", "1 read b'c'", 1 eof]
    """
    assert_passes(told(tmp_path, text))


# Disks.


def test_a_full_disk_is_an_error_for_the_server_until_there_is_room(tmp_path):
    text = """
        scenario: A full disk
        cast: {ana: wire}
        steps:
          - server types: write
            server prints: written
          - server disk is: full
            server types: write
            server prints: 'not written: EFBIG'
          - server disk is: restored
            server types: write
            server prints: written
    """
    assert_passes(told(tmp_path, text))


def test_a_full_disk_is_full_for_what_a_program_has_started_too_and_kills_nobody(tmp_path):
    text = """
        scenario: A full disk for a family
        cast: {sue: sh}
        files:
          write.sh: 'echo ready; while read it; do echo $it >f && echo kept || echo no; done'
        steps:
          - sue types: sh write.sh
            sue sees: ready
          - sue types: first
            sue sees: kept
          - sue disk is: full
            sue types: third
            sue sees: 'no'
            sue survives:
          - sue disk is: restored
            sue closes:
            sue exits: 0
    """
    assert_passes(told(tmp_path, text))


# Values from a matrix.


def test_a_signal_may_come_from_the_matrix(tmp_path):
    text = """
        scenario: However it is killed
        matrix: {signal: [KILL, TERM, SEGV], who: [shell]}
        cast: {ana: '${who}', ben: wire}
        steps:
          - ana is killed: '${signal}'
            ben sees: {lost: {who: ana}}
    """
    assert_passes(run(tmp_path, text), (0, "3 passed, 0 failed, 0 skipped"))


def test_link_states_and_ends_may_come_from_the_matrix(tmp_path):
    text = """
        scenario: However it ends
        matrix: {end: [{way: cut, how: fin}, {way: reset, how: reset}]}
        cast: {ana: wire, ben: wire}
        steps:
          - ana link is: '${end.way}'
            ana is closed: '${end.how}'
            ben sees: {lost: {who: ana}}
    """
    assert_passes(run(tmp_path, text), (0, "2 passed, 0 failed, 0 skipped"))


def problems(path):
    """All that is wrong with a scenario."""
    with pytest.raises(ScenarioError) as caught:
        load_scenario(path, profile=PROFILE)
    return caught.value.problems


@pytest.mark.parametrize(
    ("clause", "values", "wrong"),
    [
        ("ana is killed: '${x}'", "[KILL, SIGKILL]", "'SIGKILL'"),
        ("ana is killed: '${x}'", "[9]", "9"),
        ("ben link is: '${x}'", "[cut, gone]", "'gone'"),
        ("ben link is: {latency: '${x}'}", "[80ms, fast]", "{'latency': 'fast'}"),
        ("ben link is: {slice: '${x}'}", "[0]", "{'slice': 0}"),
        ("ana presses: '${x}'", "[up, upp]", "'upp'"),
        ("ana resizes: '${x}'", "[100x30, big]", "'big'"),
        ("ben is closed: '${x}'", "[fin, rst]", "'rst'"),
        ("ana exits: '${x}'", "[0, zero]", "'zero'"),
        ("server disk is: '${x}'", "[empty]", "'empty'"),
        ("ben sends bytes: {hex: '${x}'}", "['0a', 'zz']", "{'hex': 'zz'}"),
    ],
)
def test_a_wrong_value_in_the_matrix_is_told_with_its_clause(tmp_path, clause, values, wrong):
    path = written(
        tmp_path,
        f"scenario: x\ncast: {{ana: shell, ben: wire}}\nmatrix: {{x: {values}}}\n"
        f"steps:\n  - {clause}\n",
    )
    (problem,) = problems(path)
    assert (problem.place.line, problem.place.column) == (5, 5 + clause.index(":") + 2)
    assert problem.text.endswith(f"cannot be {wrong}")
    assert problem.help.startswith("allowed: ")


@pytest.mark.parametrize(
    "clause",
    [
        "ben link is: slow",
        "ben link is: {}",
        "ben link is: {latency: fast}",
        "ben link is: {speed: 1}",
        "ben link is: {bandwidth: 8}",
        "ben link is: {slice: 0}",
        "ben sends bytes: {every: 0s, bytes: x}",
        "ben sends bytes: {every: 1s}",
        "server disk is: half full",
    ],
)
def test_a_wrong_fault_is_told_with_what_is_allowed(tmp_path, clause):
    text = f"scenario: x\ncast: {{ben: wire}}\nsteps:\n  - {clause}\n"
    (problem,) = problems(written(tmp_path, text))
    assert (problem.place.line, problem.place.column) == (4, 5 + clause.index(":") + 2)
    assert "allowed: " in problem.help


# Framings.


def items(framing, data, *, step=None):
    """What a framing makes of bytes, fed at once or in steps, and of their end."""
    codec = FRAMINGS[framing].codec()
    parts = [data] if step is None else [data[at : at + step] for at in range(0, len(data), step)]
    found = [piece for part in parts for piece in codec.feed(part)]
    return found + codec.rest()


@pytest.mark.parametrize("framing", ["crlf", "len32", "netstring"])
@pytest.mark.parametrize("step", [None, 1, 3])
def test_what_is_framed_is_read_again(framing, step):
    encode = FRAMINGS[framing].encode
    data = encode("hello") + encode("grüße") + encode("")
    assert [text for text, _, _ in items(framing, data, step=step)] == ["hello", "grüße", ""]


@pytest.mark.parametrize("framing", ["len32", "netstring"])
def test_a_counted_item_that_is_json_is_a_frame(framing):
    data = FRAMINGS[framing].encode({"code": "who"})
    assert items(framing, data) == [('{"code": "who"}', {"code": "who"}, True)]


@pytest.mark.parametrize(
    ("framing", "data", "told"),
    [
        ("crlf", b"a\nb\rc\r\n", ["a\nb\rc"]),
        ("crlf", b"half", ["(unfinished) half"]),
        ("len32", b"\xff\xff\xff\xffxy", ["(a length of 4294967295) \ufffd\ufffd\ufffd\ufffdxy"]),
        ("len32", b"\0\0\0\5ab", ["(unfinished) \0\0\0\5ab"]),
        ("netstring", b"2:ok,hello", ["ok", "(no length) hello"]),
        ("netstring", b"3:abc;", ["(no ',' after 3 bytes) 3:abc;"]),
        ("netstring", b"01:a,", ["(no length) 01:a,"]),
        ("netstring", b"99999999999", ["(no length) 99999999999"]),
        ("netstring", b"5:ab", ["(unfinished) 5:ab"]),
    ],
)
def test_garbage_in_a_framing_is_an_item_that_says_so(framing, data, told):
    assert [text for text, _, _ in items(framing, data)] == told


@pytest.mark.parametrize("framing", ["crlf", "len32", "netstring"])
def test_a_framing_keeps_no_more_than_one_item(framing):
    codec = FRAMINGS[framing].codec()
    pieces = [piece for _ in range(40) for piece in codec.feed(b"9" * (MOST // 8))]
    assert sum(len(text) for text, _, _ in pieces) >= 4 * MOST


def test_scenarios_speak_in_other_framings(tmp_path):
    profile = written(
        tmp_path,
        f"""
        profile: other
        server:
          run: python3 {REPORTER.parent}/reporter.py ${{server.port}}
          ready: {{prints: 'listening on port ${{port=int}}'}}
          console: true
        roles:
          net: {{tcp: '127.0.0.1:${{server.port}}', frames: netstring}}
          crlf: {{tcp: '127.0.0.1:${{server.port}}', frames: crlf}}
        fence: {{roundtrip: {{wire: none}}}}
        """,
        "other.yaml",
    )
    text = """
        scenario: Other framings
        cast: {ana: net, ben: crlf}
        steps:
          - ana sends: {code: who}
            ben sends: EHLO me
            server prints: ["1 read b'15:{\\"code\\": \\"who\\"},'", "2 read b'EHLO me\\\\r\\\\n'"]
          - server types: "say 1 5:hello,6:x"
            ana sees: hello
    """
    assert_passes(harness("run", written(tmp_path, text), "--profile", profile))
