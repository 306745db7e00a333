"""Peers that mean harm, over real sockets; beside them a pair that talks and does not notice."""

import json
import re
import socket
from contextlib import closing
from itertools import count

import psutil
import pytest
from support import Ended
from test_daemon import contents, kinds, passwords, talk
from test_http import ask, metrics
from test_peers import House, drained, join, joined, later, says

from chatd.core.limits import Limits, Sparse


@pytest.fixture
def with_limits(start, tmp_path):
    """Daemons with a file of limits."""

    def begin(*args, **limits):
        file = tmp_path / "limits.toml"
        words = {name: str(value).lower() for name, value in limits.items()}
        file.write_text("".join(f"{name} = {value}\n" for name, value in words.items()))
        return start(*args, "--limits", file)

    return begin


def pair(chatd):
    bob, ann = chatd.join("bob"), chatd.join("ann")
    ann.settle(), bob.settle()
    return ann, bob


def lines(chatd, event: str) -> list[str]:
    return re.findall(rf"^time=\S+ event={event} (.*)$", chatd.log(), re.MULTILINE)


# --- silent, slow ---------------------------------------------------------------------------------


def test_who_says_nothing_or_never_ends_is_closed_in_time(with_limits):
    chatd = with_limits(hello=0.2, slow_hello=0.4, unfinished=0.3)
    ann, bob = pair(chatd)
    begun = (b"", b"", b'{"code":', b"{" * 20, b"GET /", b"GET / HTTP/1.0\r\nX: ", b"\n\n")
    wires = [chatd.wire().raw(data) for data in begun]
    talk(ann, bob, "meanwhile")
    for data, wire in zip(begun, wires, strict=True):
        if b"GET /" in data:
            assert b" 408 " in wire.line()
        else:
            assert wire.rest()[-1]["error"] == 112
    talk(ann, bob, "and afterwards")
    assert all(re.search(r"code=112 .* address=127\.", one) for one in lines(chatd, "refused")[:3])


def test_a_drip_after_hello_costs_nobody_anything(tmp_path):
    with closing(House(tmp_path)) as house:
        drip, bob = join(house, "drip", "bob")
        for _ in range(300):
            drip.raw(b"x")
            later(house, 1)
        assert ["never finished" in frame["content"] for frame in drip.frames()] == [True, True]
        drip.raw(b"\n")
        drip.send("outgoing", to="bob", content="all the same")
        later(house, 1)
        assert [frame["content"] for frame in bob.frames()] == ["all the same"]


# --- many, fast -----------------------------------------------------------------------------------


def test_a_flood_is_told_once_loses_nothing_and_holds_nobody_up(with_limits):
    chatd = with_limits(loopback=True, rate=1000, burst=50)
    ann, bob = pair(chatd)
    flood, zoe = chatd.join("flood"), chatd.join("zoe")
    for n in range(200):
        flood.send("outgoing", to="zoe", content=str(n), id=str(n))
    talk(ann, bob, "during")
    frames = flood.until("ack", re="199")
    talk(ann, bob, "after")
    assert [f["re"] for f in frames if f["code"] == "ack"] == [str(n) for n in range(200)]
    got = contents(zoe.until("incoming", content="199"))
    assert got == [str(n) for n in range(200)]
    told = [f for f in frames if f["code"] == "error"]
    assert 1 <= len(told) == len(lines(chatd, "delayed"))
    assert all((f["error"], f.get("fatal", False)) == (501, False) for f in told)
    counted = metrics(chatd)
    assert counted["chatd_delays_total",] >= 1
    assert counted["chatd_refusals_total", "501", "too_fast"] == len(told)


def test_who_is_too_fast_is_read_from_when_its_time_has_come(tmp_path):
    with closing(House(tmp_path)) as house:
        house.daemon._hub.replace_limits(Limits(loopback=True, rate=2.0, burst=10))
        flood, bob = peers = [house.connect(socket.SOCK_STREAM) for _ in range(2)]
        house.peers = []  # several objects come at once
        flood.sock.send(b'{"code":"hello","name":"flood","v":1}\n' + b'{"code":"ping"}\n' * 19)
        house.turn()
        house.turn()
        assert flood.sock.recv(65_536).count(b'"pong"') == 19
        flood.sock.send(b'{"code":"ping","n":"late"}\n')
        bob.sock.send(b'{"code":"hello","name":"bob","v":1}\n')
        house.turn()
        assert b"welcome" in bob.sock.recv(65_536)
        later(house, 4)
        assert b"late" not in flood.sock.recv(65_536)
        later(house, 2)
        assert b"late" in flood.sock.recv(65_536)
        house.peers = peers


def test_sizes_are_those_of_the_file_of_limits_and_announced(with_limits):
    chatd = with_limits(object=2048, content=10, members=2, garbage=2)
    ann, bob = pair(chatd)
    said = ann.welcome["limits"]
    assert [said[name] for name in ("object", "content", "members", "garbage")] == [2048, 10, 2, 2]
    error = ann.raw(b'{"code":"' + b"x" * 3000 + b'"}\n').read()
    assert (error["error"], error["limit"]) == (205, 2048)
    error = ann.ask("outgoing", to="bob", content="x" * 11, id="1")
    assert (error["error"], error["limit"], error["re"]) == (304, 10, "1")
    error = ann.ask("group", op="create", group="g", names=["bob", "zoe", "bob"], id="2")
    assert error["code"] == "group_info"
    chatd.join("zoe")
    error = ann.send("group", op="add", group="g", names=["zoe"], id="3").await_("error")
    assert (error["error"], error["limit"]) == (407, 2)
    ann.tell("bob", "x" * 10)
    assert contents(bob.settle()) == ["x" * 10]


def test_an_address_has_so_many_connections_and_gets_one_back_when_one_goes(with_limits):
    chatd = with_limits(loopback=True, per_address=3)
    ann, bob = pair(chatd)
    third = chatd.wire()
    assert third.ask("who")["error"] == 111
    (error,) = chatd.wire().rest()
    assert (error["error"], error["fatal"]) == (108, True)
    (line,) = lines(chatd, "refused")
    assert re.fullmatch(r'code=108 text="[^"]*one address" address=127\.0\.0\.1:\d+', line)
    talk(ann, bob, "still here")
    third.send("quit").rest()
    third.close()
    page = None
    while page is None:
        with chatd.wire() as wire:
            wire.raw(b"GET /metrics HTTP/1.0\r\n\r\n")
            data = wire.sock.makefile("rb").read()
            page = data if data.startswith(b"HTTP/1.1 200") else None
    assert re.search(rb'^chatd_turned_away_total\{why="address"\} [1-9]', page, re.MULTILINE)


def test_a_thousand_log_ins_leave_nothing_behind(chatd):
    ann, bob = pair(chatd)
    process = psutil.Process(chatd.process.pid)
    before = process.num_fds()
    for n in range(1000):
        with chatd.wire() as wire:
            wire.send("hello", name="again" if n % 2 else f"guest {n}", v=1)
            if n % 3 == 0:
                wire.send("quit").rest()
            elif n % 3 == 1:
                wire.reset()
    talk(ann, bob, "meanwhile")
    while process.num_fds() > before:  # those that were reset are found in the next turns
        ann.settle()
    frame = {"code": "error"}
    while frame["code"] == "error":  # the last of the sessions has been let go
        frame = chatd.wire().ask("hello", name="again", v=1)
    assert "event=error" not in chatd.log()


def test_guesses_at_a_name_keep_nobody_else_of_that_address_out(with_limits, tmp_path):
    chatd = with_limits(passwords(tmp_path / "users"), tries=2)
    bob = chatd.join("bob", password="hidden")
    guesses = [chatd.wire().send("hello", name="ann", v=1, password=str(n)) for n in range(30)]
    answers = [wire.rest()[0]["error"] for wire in guesses]
    assert (answers.count(101), answers.count(107)) == (2, 28)
    assert bob.ask("ping", n=1)["code"] == "pong"
    token = bob.welcome["token"]
    assert chatd.join("bob", token=token).welcome["resumed"]
    chatd.join("bob", password="hidden")
    assert len(lines(chatd, "refused")) == Sparse.EACH


def test_a_key_that_is_used_again_stores_nothing_twice(chatd):
    ann, bob = pair(chatd)
    same = b'{"code":"outgoing","to":"bob","content":"once","id":"k"}\n'
    other = same.replace(b"once", b"other")
    ann.raw(same * 200 + other * 200)
    frames = [ann.read() for _ in range(400)]
    acks = [f for f in frames if f["code"] == "ack"]
    assert len({f["seq"] for f in acks}) == 1
    assert [f.get("dup", False) for f in acks] == [False] + [True] * 199
    assert [f["error"] for f in frames if f["code"] == "error"] == [308] * 200
    assert contents(bob.settle()) == ["once"]


# --- a disk that does not keep up -----------------------------------------------------------------


def test_a_disk_that_takes_a_minute_for_each_commit_delays_everybody_and_ends_nobody(
    tmp_path, monkeypatch
):
    """What came meanwhile is read before any deadline counts."""
    with closing(House(tmp_path)) as house:
        ann, bob = joined(house, "ann", "bob", v=1)
        kept = house.daemon._store.completions

        def slow() -> list:
            done = kept()
            house.clock.now += 60.0 * bool(done)
            return done

        monkeypatch.setattr(house.daemon._store, "completions", slow)
        for n in range(5):  # pings are asked for, and missed, in each of these minutes
            says(ann, f"ann {n}", to="bob")
            says(bob, f"bob {n}", to="ann")
            newcomer = house.connect(socket.SOCK_STREAM)
            house.turn()
            newcomer.sock.send(b'{"code":"hello","name":"new %d","v":1}\n' % n)
            house.turn()
            assert b'"welcome"' in newcomer.sock.recv(65_536)
        for one, other in ((ann, "bob"), (bob, "ann")):
            heard = contents(map(json.loads, drained(one)))
            assert heard == [f"{other} {n}" for n in range(5)]
        assert {one.account.name for one in house.daemon._hub.online.values()} >= {"ann", "bob"}


# --- what the log says of them --------------------------------------------------------------------


def test_what_is_no_request_stands_in_the_log_with_its_address_and_a_flood_of_it_is_cut(chatd):
    ann, bob = pair(chatd)
    bad = chatd.join("bad")
    bad.raw(b'{"code":"x"}\n' * 1000)
    assert {bad.read()["error"] for _ in range(1000)} == {202}
    talk(ann, bob, "meanwhile")
    written = lines(chatd, "unreadable")
    assert len(written) == Sparse.EACH
    origin = f"127.0.0.1:{bad.sock.getsockname()[1]}"
    assert all(f"name=bad address={origin}" in one for one in written)
    assert metrics(chatd)["chatd_unlogged_lines_total",] == 1000 - Sparse.EACH


def test_what_an_error_repeats_forges_no_line_of_the_log(chatd):
    wire = chatd.wire()
    wire.send("x\ntime=1 event=stop reason=forged\x1b[2J").read()
    assert "\n" not in lines(chatd, "unreadable")[0]
    assert not re.search(r"^time=1 ", chatd.log(), re.MULTILINE)
    assert "\x1b" not in chatd.log()


@pytest.mark.parametrize(
    ("asked", "status"), [(b"GET / HTTP/9.9", 400), (b"PUT /healthz HTTP/1.0", 405)]
)
def test_a_request_over_http_that_is_refused_stands_in_the_log(chatd, asked: bytes, status: int):
    with chatd.wire() as wire:
        wire.raw(asked + b"\r\n\r\n")
        assert str(status).encode() in wire.line()
        origin = f"127.0.0.1:{wire.sock.getsockname()[1]}"
    (line,) = lines(chatd, "refused")
    assert line.startswith(f"http={status} ")
    assert line.endswith(f"address={origin}")
    assert ask(chatd, "/healthz").status == 200
    assert metrics(chatd)["chatd_http_total", str(status)] == 1


# --- resets, and what is unasked ------------------------------------------------------------------


@pytest.mark.parametrize("said", [b"", b'{"code":"hello","name":"eve","v":1}\n', b"GET / HTTP/1.0"])
def test_a_storm_of_resets_is_nobodys_business(chatd, said: bytes):
    ann, bob = pair(chatd)
    for _ in range(100):
        wire = chatd.wire()
        wire.raw(said)
        wire.reset()
    talk(ann, bob, "meanwhile")
    assert "event=error" not in chatd.log()
    assert set(kinds(bob.settle())) <= {"joined", "lost"}


def test_who_asks_for_more_than_it_reads_is_closed_and_memory_is_bounded(chatd):
    """Answers are in no log: who does not take them cannot get them later."""
    ann, bob = pair(chatd)
    greedy = chatd.join("greedy")
    for n in range(6):
        ann.tell("greedy", f"{n}" + "x" * 15_000)
    asked = b'{"code":"history","with":"ann"}\n' * 20
    process = psutil.Process(chatd.process.pid)
    before = process.memory_info().rss
    try:
        for n in count():
            greedy.raw(asked)
            ann.tell("bob", f"meanwhile {n}")
            bob.send("received", upto=bob.await_("incoming", content=f"meanwhile {n}")["seq"])
    except (OSError, Ended):
        pass
    assert process.memory_info().rss - before < 100 * 1024 * 1024
    assert re.search(r"event=disconnect name=greedy .* reason=not_reading", chatd.log())
    talk(ann, bob, "and afterwards")
