"""The daemon as a process, by its sockets and signals: what it says, and what it survives."""

import contextlib
import json
import os
import re
import resource
import signal
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from support import PATIENCE, Ended, Wire, one_error, run_chatd
from test_listen import needs_ipv6

FAULTY = [str(Path(__file__).parent / "programs_chatd" / "faulty.py")]


def contents(frames: list[dict]) -> list[str]:
    return [f["content"] for f in frames if f["code"].startswith("incoming")]


def kinds(frames: list[dict]) -> list[str]:
    return [f["kind"] for f in frames if f["code"] == "notice"]


# --- the conversation of S3 -----------------------------------------------------------------------


def test_the_frames_of_s3_byte_for_byte(everywhere):
    bob, ann = everywhere.join_plain("bob"), everywhere.join_plain("ann")
    assert bob.send("who").line() == b'{"code":"users","users":["bob","ann"]}'
    bob.send("outgoing", to="ann", content="hi")
    assert ann.line() == b'{"code":"incoming","from":"bob","content":"hi"}'
    ann.send("outgoing_broadcast", content="all")
    assert bob.line() == b'{"code":"incoming_broadcast","from":"ann","content":"all"}'
    ann.send("outgoing", to="client4", content="x")
    assert ann.line() == (
        b'{"code":"incoming","from":"server",'
        b'"content":"User \\"client4\\" is not connected to the server."}'
    )
    ann.send("quit")
    assert ann.rest() == []
    assert bob.settle_plain() == []


def test_three_bare_clients_of_s3_that_read_object_by_object(chatd):
    """One `recv` and one `json.loads` each; every message is waited for by all, as people do."""

    def ask(sock, **frame):
        sock.sendall(json.dumps(frame).encode())

    def read(sock):
        return json.loads(sock.recv(65_536))

    names = ["ann", "bob", "eve"]
    socks = [socket.create_connection(("127.0.0.1", chatd.port), PATIENCE) for _ in names]
    for name, sock in zip(names, socks, strict=True):
        ask(sock, code="hello", name=name)
        assert read(sock) == {"code": "welcome"}
        ask(sock, code="who")
        assert name in read(sock)["users"]
    for n in range(66):
        ask(socks[n % 3], code="outgoing_broadcast", content=str(n))
        for other in (1, 2):
            heard = read(socks[(n + other) % 3])
            assert heard == {
                "code": "incoming_broadcast",
                "from": names[n % 3],
                "content": str(n),
            }
    for sock in socks:
        ask(sock, code="quit")
        assert sock.recv(100) == b""
        sock.close()


def test_requests_of_one_segment_are_answered_in_order_and_then_the_end(everywhere):
    bob, ann = everywhere.join("bob"), everywhere.join("ann")
    bob.settle()
    ann.raw(
        b'{"code":"outgoing","to":"bob","content":"x","id":"a"}{"code":"ping","n":5}{"code":"quit"}'
    )
    ack, pong, bye = ann.rest()
    assert (ack["code"], ack["re"], ack["state"]) == ("ack", "a", "stored")
    assert pong == {"code": "pong", "n": 5}
    assert (bye["code"], bye["reason"]) == ("bye", "quit")
    assert contents(bob.settle()) == ["x"]


def test_a_client_that_half_closes_still_gets_its_answers(everywhere):
    bob = everywhere.join("bob")
    wire = everywhere.wire()
    wire.raw(b'{"code":"hello","name":"ann","v":1}\n{"code":"outgoing","to":"bob","content":"x",')
    wire.raw(b'"id":"a"}\n{"code":"who","id":"w"}\n')
    wire.sock.shutdown(socket.SHUT_WR)
    codes = [frame["code"] for frame in wire.rest()]
    assert codes == ["welcome", "ack", "users"]
    frames = bob.settle()
    assert contents(frames) == ["x"]
    assert kinds(frames) == ["joined", "lost"]


def test_one_piped_line_without_an_end_is_answered(chatd):
    wire = chatd.wire().raw(b'{"code":"who"}')
    wire.sock.shutdown(socket.SHUT_WR)
    (error,) = wire.rest()
    assert error["error"] == 111


def test_objects_however_they_are_cut(chatd):
    wire = chatd.wire()
    pretty = json.dumps({"code": "hello", "name": "Zoë", "v": 1}, indent=4, ensure_ascii=False)
    for byte in pretty.encode():
        wire.raw(bytes([byte]))
    assert wire.read()["name"] == "Zoë"
    wire.raw(b'\r\n\r\n{"code":"ping"}\r\n  {"code":"ping","n":"\xc3\xa4"}{"code":"ping","n":3}')
    assert [wire.read().get("n") for _ in range(3)] == [None, "ä", 3]


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b'{"code":"hello","name":"*"}', 104),
        (b'{"code":"hello","name":"server"}', 104),
        (b'{"code":"hello","name":"ann"}', 103),
        (b'{"code":"hello","name":"x","v":0}', 109),
    ],
)
def test_a_hello_that_is_refused_is_told_why_and_closed(chatd, line: bytes, error: int):
    chatd.join("ann")
    (frame,) = chatd.wire().raw(line).rest()
    assert (frame["code"], frame["error"], frame["fatal"]) == ("error", error, True)


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b'{"code":"who","id":"r"}', 111),
        (b"hello?", 201),
        (b'"text"', 201),
        (b"\xff\xfe", 201),
        (b'{"code":"shout","id":"r"}', 202),
        (b'{"code":"newname","id":"r"}', 203),
        (b'{"code":"hello","v":"x"}', 204),
        (b'{"code":"' + b"x" * 70_000 + b'"}', 205),
    ],
)
def test_an_error_before_hello_leaves_the_connection_usable(chatd, line: bytes, error: int):
    wire = chatd.wire()
    frame = wire.raw(line + b"\n").read()
    assert (frame["code"], frame["error"], frame.get("fatal")) == ("error", error, None)
    if b'"id"' in line:
        assert frame["re"] == "r"
    assert wire.ask("hello", name="ann", v=1)["code"] == "welcome"


def test_every_request_with_a_key_gets_one_answer_that_carries_it(chatd):
    chatd.join("bob")
    ann = chatd.join("ann")
    asked = [
        ("who", {}), ("outgoing", {"to": "bob", "content": "x"}),
        ("outgoing", {"to": "zoe", "content": "x"}), ("outgoing_broadcast", {"content": "x"}),
        ("seen", {"name": "bob"}), ("seen", {"name": "zoe"}), ("newname", {"name": "anna"}),
        ("newname", {"name": "*"}), ("register", {"password": "pw"}), ("shout", {}),
        ("outgoing", {"to": "bob"}), ("admin", {"op": "stats"}), ("newname", {"name": "bob"}),
    ]  # fmt: skip
    for number, (code, fields) in enumerate(asked):
        ann.send(code, id=str(number), **fields)
    answers = sorted((f for f in ann.settle() if "re" in f), key=lambda f: int(f["re"]))
    assert [a["re"] for a in answers] == [str(n) for n in range(len(asked))]
    assert [a.get("error") for a in answers] == [
        None, None, 301, None, None, 301, None, 104, None, 202, 203, 506, 105
    ]  # fmt: skip


def test_unknown_fields_are_ignored_and_unknown_codes_are_told(chatd):
    ann = chatd.join("ann", colour="red")
    assert ann.ask("who", colour=[1, {"a": 2}])["code"] == "users"
    error = ann.ask("teleport", id="t")
    assert (error["error"], error["re"]) == (202, "t")
    assert ann.settle() == []


def test_a_plain_session_is_told_of_its_errors_by_the_server(chatd):
    ann = chatd.join_plain("ann")
    for code, fields, text in [
        ("outgoing", {"to": "ann", "content": "x"}, "You cannot send a message to yourself."),
        ("outgoing", {"to": "bob", "content": ""}, "An empty message cannot be sent."),
        ("hello", {"name": "eve"}, "You have said hello already."),
        ("teleport", {}, 'The code "teleport" is not known here.'),
    ]:
        assert ann.ask(code, **fields) == {"code": "incoming", "from": "server", "content": text}


def test_a_message_before_hello_reaches_nobody_and_stands_in_no_log(chatd):
    bob = chatd.join("bob")
    assert chatd.wire().ask("outgoing", to="bob", content="unseen words")["error"] == 111
    assert bob.settle() == []
    assert "unseen words" not in chatd.log()


# --- bad peers, and the others who do not notice --------------------------------------------------


def talk(ann: Wire, bob: Wire, text: str):
    ann.tell("bob", text)
    assert text in contents(bob.settle())


HURTS = {
    "binary": os.urandom(200_000),
    "five megabytes without an end": b"x" * 5_000_000,
    "five megabytes of one string": b'{"code":"' + b"y" * 5_000_000,
    "deep nesting": b'{"code":' + b"[" * 200_000 + b"\n",
    "null bytes": b"\0" * 100_000,
    "an unfinished object": b'{"code":"hello","name":"',
    "a request of another protocol": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "a TLS handshake": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(500),
    "many unknown codes": b'{"code":"x"}\n' * 5_000,
    "lone surrogates": b'{"code":"hello","name":"\\ud800"}\n' * 20,
}


@pytest.mark.parametrize("what", HURTS)
@pytest.mark.parametrize("end", ["fin", "reset", "stay"])
def test_the_others_do_not_notice(chatd, what: str, end: str):
    bob, ann = chatd.join("bob"), chatd.join("ann")
    bob.settle()
    wire = chatd.wire()
    thread = threading.Thread(target=send_all, args=(wire, HURTS[what]))
    thread.start()
    talk(ann, bob, "during")
    if end == "stay":
        talk(ann, bob, "after")
    wire.sock.shutdown(socket.SHUT_RDWR) if end == "fin" else wire.reset()
    thread.join(PATIENCE)
    talk(ann, bob, "in the end")
    assert kinds(bob.settle()) == []
    assert "Traceback" not in chatd.log()


def send_all(wire: Wire, data: bytes):
    with contextlib.suppress(OSError):  # the daemon has had enough of it
        wire.raw(data)


def test_ten_lines_of_garbage_are_enough(everywhere):
    bob = everywhere.join("bob")
    ann = everywhere.join("ann")
    frames = ann.raw(b"garbage\n" * 10).rest()
    assert [f["error"] for f in frames[:-1]] == [201] * 10
    assert (frames[-1]["code"], frames[-1]["reason"]) == ("bye", "error")
    assert kinds(bob.settle()) == ["joined", "lost"]


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_client_that_drops_out_is_told_of_and_its_name_is_free(everywhere, how: str):
    bob = everywhere.join("bob")
    getattr(everywhere.join("ann"), how)()
    notice = bob.await_("notice", kind="lost")
    assert notice["text"] == "ann has lost its connection."
    assert bob.ask("who")["users"] == ["bob"]
    assert re.search(r"event=disconnect name=ann .* reason=(eof|reset)", everywhere.log())
    everywhere.join("ann")


def test_a_client_that_does_not_read_holds_up_nobody(everywhere):
    frozen = everywhere.join("frozen")  # never reads again
    bob, ann = everywhere.join("bob"), everywhere.join("ann")
    bob.settle()
    for n in range(600):
        ann.send("outgoing_broadcast", content=f"{n} " + "x" * 15_000)
        heard = bob.await_("incoming_broadcast")
        assert heard["content"].startswith(f"{n} ")
        bob.send("received", upto=heard["seq"])
    assert frozen.sock.fileno() > 0
    talk(ann, bob, "still here")


# --- logging in -----------------------------------------------------------------------------------


def passwords(path: Path, text: str = "ann secret\nbob:hidden\n") -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


def test_log_in_by_the_file(start, tmp_path):
    chatd = start(passwords(tmp_path / "users"))
    assert chatd.join("ann", password="secret").welcome["name"] == "ann"
    assert chatd.join("BOB", password="hidden").welcome["name"] == "bob"
    (wrong,) = chatd.wire().send("hello", name="bob", v=1, password="no").rest()
    (unknown,) = chatd.wire().send("hello", name="zoe", v=1, password="no").rest()
    assert wrong == unknown
    assert wrong["error"] == 101
    (missing,) = chatd.wire().send("hello", name="bob2", v=1).rest()
    assert missing["error"] == 102
    assert chatd.wire().send("hello", v=1).rest()[0]["error"] == 101


def test_an_address_that_guesses_has_to_wait(start, tmp_path):
    chatd = start(passwords(tmp_path / "users"))
    answers = [
        chatd.wire().send("hello", name="ann", v=1, password=f"guess{n}").rest()[0]
        for n in range(6)
    ]
    assert [a["error"] for a in answers] == [101] * 5 + [107]
    assert 0 < answers[-1]["retry_after"] <= 60


def test_the_loop_goes_on_while_passwords_are_compared(start, tmp_path):
    chatd = start(passwords(tmp_path / "users"), "--guests")
    zoe = chatd.join("zoe")
    wires = [chatd.wire().send("hello", name="ann", v=1, password="no") for _ in range(5)]
    assert zoe.ask("ping", n=1) == {"code": "pong", "n": 1}
    assert [wire.rest()[0]["error"] for wire in wires] == [101] * 5


def test_a_password_and_a_token_take_over(start, tmp_path):
    chatd = start(passwords(tmp_path / "users"))
    bob = chatd.join("bob", password="hidden")
    first = chatd.join("ann", password="secret")
    second = chatd.join("ann", password="secret")
    assert first.rest()[-1]["reason"] == "replaced"
    third = chatd.join("ann", token=second.welcome["token"])
    assert third.welcome["resumed"] is True
    assert second.rest()[-1]["reason"] == "replaced"
    assert kinds(bob.settle()) == ["joined"]


def test_a_reload_takes_the_new_passwords_and_keeps_the_old_where_the_file_is_bad(start, tmp_path):
    users = passwords(tmp_path / "users")
    chatd = start(users)
    ann = chatd.join("ann", password="secret")
    passwords(users, "ann fresh\neve new\n")
    reload(chatd)
    assert chatd.join("eve", password="new")
    ann.send("quit").rest()
    assert chatd.wire().send("hello", name="ann", v=1, password="secret").rest()[0]["error"] == 101
    assert chatd.join("ann", password="fresh")
    passwords(users, "one word\nbroken\n")
    reload(chatd)
    assert re.search('event=reload failed="[^\n]*users, line 2: no password', chatd.log())
    assert chatd.join("eve", password="new")


def reload(chatd):
    """SIGHUP, and wait until it has been obeyed: a connection of its own wakes the loop."""
    before = chatd.log().count("event=reload")
    chatd.signal(signal.SIGHUP)
    while chatd.log().count("event=reload") == before:
        chatd.wire().send("quit").rest()


def test_the_memory_store_delivers_and_leaves_no_database(start):
    one = start("--store", "memory")
    bob, ann = one.join_plain("bob"), one.join_plain("ann")
    bob.send("outgoing", to="ann", content="hi")
    assert ann.line() == b'{"code":"incoming","from":"bob","content":"hi"}'
    assert {file.name for file in one.data.iterdir()} == {"server.log", "tls.pem"}


def test_a_log_that_was_moved_away_is_begun_anew_at_a_reload(chatd):
    log = chatd.data / "server.log"
    log.rename(chatd.data / "old.log")
    chatd.signal(signal.SIGHUP)
    while not log.exists():
        chatd.wire().send("quit").rest()
    chatd.join("ann")
    assert "name=ann" in chatd.log()
    assert "name=ann" not in (chatd.data / "old.log").read_text()


def test_operators_are_those_who_are_named_and_log_in_by_password(start, tmp_path):
    chatd = start(passwords(tmp_path / "users"), "--operator", "ann")
    bob, ann = chatd.join("bob", password="hidden"), chatd.join("ann", password="secret")
    assert bob.ask("admin", op="shutdown", id="1")["code"] == "notice"
    assert bob.await_("error")["error"] == 506
    ann.send("admin", op="kick", name="bob", id="2")
    assert ann.await_("ok")["re"] == "2"
    assert bob.rest()[-1]["reason"] == "kicked"
    ann.send("admin", op="shutdown", id="3")
    assert [f["code"] for f in ann.rest() if f["code"] != "notice"] == ["ok", "bye"]
    ann.close()
    assert chatd.wait() == 0


# --- the end --------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["INT", "TERM"])
def test_a_signal_logs_everybody_off_and_leaves_the_port_free(everywhere, start, number):
    ann, plain = everywhere.join("ann"), everywhere.join_plain("bob")
    mute = everywhere.wire()
    ann.await_("notice", kind="joined")
    everywhere.signal(number)
    (bye,) = ann.rest()
    assert (bye["code"], bye["reason"]) == ("bye", "shutdown")
    assert contents(plain.rest()) == ["The server is shutting down; you have been logged off."]
    mute.rest()
    for wire in (ann, plain, mute):
        wire.close()
    assert everywhere.wait() == 0
    log = everywhere.log()
    assert log.index("event=disconnect name=ann") < log.index("event=stop reason=SIG")
    again = start(port=everywhere.port, data="again")
    assert again.port == everywhere.port


def test_clients_that_do_not_go_are_left_behind(chatd):
    wires = [chatd.join(), chatd.join_plain("bob"), chatd.wire()]
    assert chatd.stop() == 0
    for wire in wires:
        wire.rest()


def test_a_second_signal_ends_it_at_once(start):
    chatd = start()
    frozen = chatd.join("frozen")
    for n in range(200):
        chatd.join(f"n{n}").close()
    frozen.settle()
    chatd.signal(signal.SIGINT)
    assert frozen.rest()[-1]["reason"] == "shutdown"
    chatd.signal(signal.SIGINT)
    assert chatd.wait() == 130


def test_what_was_acknowledged_survives_a_kill(start):
    chatd = start()
    ann = chatd.join("ann")
    for n in range(50):
        ann.send("outgoing_broadcast", content=f"m{n}", id=str(n))
    acks = [ann.await_("ack", re=str(n)) for n in range(50)]
    chatd.process.kill()
    chatd.wait()
    again = start()
    ann = again.join("ann")
    assert ann.welcome["seq"] >= acks[-1]["seq"]
    for n in range(50):
        ann.send("outgoing_broadcast", content=f"m{n}", id=str(n))
    repeated = [ann.await_("ack", re=str(n)) for n in range(50)]
    assert [(a["seq"], a["dup"]) for a in repeated] == [(a["seq"], True) for a in acks]


def test_a_full_disk_is_told_and_everything_works_again_afterwards(start):
    chatd = start()
    bob, ann = chatd.join("bob"), chatd.join("ann")
    bob.settle()
    resource.prlimit(chatd.process.pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
    ann.send("outgoing", to="bob", content="lost", id="1")
    error = ann.await_("error")
    assert (error["error"], error["re"]) == (505, "1")
    assert contents(bob.settle()) == []
    resource.prlimit(
        chatd.process.pid,
        resource.RLIMIT_FSIZE,
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY),
    )
    ann.send("outgoing", to="bob", content="kept", id="2")
    assert ann.await_("ack")["re"] == "2"
    assert contents(bob.settle()) == ["kept"]
    assert "event=storage" in chatd.log()


# --- no place -------------------------------------------------------------------------------------


def test_without_descriptors_newcomers_are_told_and_later_let_in(start):
    chatd = start(limits={resource.RLIMIT_NOFILE: (64, 64)})
    bob, ann = chatd.join("bob"), chatd.join("ann")
    crowd, refused = [], None
    while refused is None:
        assert len(crowd) < 64
        wire = chatd.wire().send("who")
        frame = wire.read()
        refused = frame if frame["error"] == 108 else crowd.append(wire)
    assert refused["fatal"] is True
    talk(ann, bob, "while it is full")
    for wire in crowd:
        wire.send("quit").rest()
        wire.close()
    talk(ann, bob, "and afterwards")
    late = None
    while late is None:
        wire = chatd.wire().send("hello", name="late", v=1)
        late = wire if wire.read()["code"] == "welcome" else None
    assert "late" in ann.send("who").await_("users")["users"]


def test_more_than_the_bound_of_clients_are_told_so(start):
    chatd = start("--max-clients", "2")
    ann, _bob = chatd.join("ann"), chatd.join("bob")
    (error,) = chatd.wire().rest()
    assert (error["error"], error["name"], error["fatal"]) == (108, "server_full", True)
    ann.send("quit").rest()
    ann.close()
    late = None
    while late is None:
        wire = chatd.wire().send("hello", name="late", v=1)
        late = wire if wire.read()["code"] == "welcome" else None


def test_select_refuses_descriptors_that_it_cannot_watch(start):
    """The standard input of the daemon takes a high number of descriptors away from it."""
    chatd = start(
        selector="select",
        limits={resource.RLIMIT_NOFILE: (2048, 2048)},
        program=[str(Path(__file__).parent / "programs_chatd" / "crowded.py")],
    )
    ann = chatd.join("ann")
    wires = []
    while True:
        wire = chatd.wire().send("who")
        wires.append(wire)
        if wire.read()["error"] == 108:
            break
    assert ann.ask("ping", n=1)["code"] == "pong"
    for wire in wires:
        wire.close()


# --- addresses ------------------------------------------------------------------------------------


@needs_ipv6
def test_ipv4_and_ipv6_meet_on_one_port(start):
    chatd = start(host="")
    four, six = chatd.join("four"), chatd.wire("::1")
    assert six.ask("hello", name="six", v=1)["code"] == "welcome"
    four.tell("six", "from four")
    assert contents(six.settle()) == ["from four"]
    six.tell("four", "from six")
    assert contents(four.settle()) == ["from six"]
    log = chatd.log()
    assert re.search(r"event=connect name=four address=127\.0\.0\.1:\d+", log)
    assert re.search(r"event=connect name=six address=\[::1\]:\d+", log)
    assert "::ffff" not in log


def test_fifty_unnamed_clients_get_fifty_names(chatd):
    wires = [chatd.join() for _ in range(50)]
    names = [wire.welcome["name"] for wire in wires]
    assert sorted(names) == sorted(f"client{n}" for n in range(1, 51))
    wires[6].send("quit").rest()
    wires[0].await_("notice", kind="quit")
    assert chatd.join().welcome["name"] == "client7"


def test_two_hundred_at_once(everywhere):
    wires = [everywhere.wire() for _ in range(200)]
    for number, wire in enumerate(wires):
        wire.send("hello", name=f"user{number}", notices=True, v=1)
    for wire in wires:
        wire.await_("welcome")
    wires[0].send("outgoing_broadcast", content="to all")
    for wire in wires[1:]:
        assert wire.await_("incoming_broadcast")["content"] == "to all"
    assert len(wires[7].send("who").await_("users")["users"]) == 200


# --- our own faults -------------------------------------------------------------------------------


def test_an_error_in_a_handler_costs_its_peer_alone_and_stands_in_the_log(start):
    chatd = start(program=FAULTY)
    bob, ann = chatd.join("bob"), chatd.join("ann")
    ann.settle()
    error, bye = ann.send("seen", name="fault:handler", id="1").rest()
    assert (error["error"], error["fatal"], bye["reason"]) == (503, True, "error")
    reference = re.search(r"noted as (\w+)", error["text"])[1]
    log = chatd.log()
    assert f"event=error reference={reference}" in log
    assert "inner detail" in log[log.index(reference) :]
    assert "inner detail" not in json.dumps([error, bye])
    assert kinds(bob.settle()) == ["joined", "lost"]
    chatd.join("ann")


def test_an_error_of_the_loop_says_goodbye_to_everybody_and_ends_with_1(start):
    chatd = start(program=FAULTY)
    bob, plain, ann = chatd.join("bob"), chatd.join_plain("plain"), chatd.join("ann")
    bob.settle()
    ann.send("seen", name="fault:loop")
    for wire in (ann, bob):
        bye = wire.rest()[-1]
        assert (bye["code"], bye["reason"], bye["reconnect"]) == ("bye", "error", True)
    plain.rest()
    assert chatd.wait() == 1
    assert "Traceback" in chatd.log()
    assert "RuntimeError: an inner detail" in chatd.log()
    assert not any("Traceback" in line for line in chatd.lines)


# --- what does not start --------------------------------------------------------------------------


def test_a_port_in_use_is_one_line(chatd, tmp_path):
    args = [str(chatd.port), "--host", "127.0.0.1", "--data", str(tmp_path / "x")]
    error = one_error(run_chatd(*args))
    assert str(chatd.port) in error
    assert "choose another port" in error


@pytest.mark.skipif(os.geteuid() == 0, reason="root may listen on every port")
def test_a_privileged_port_is_one_line(tmp_path):
    error = one_error(run_chatd("81", "--host", "127.0.0.1", "--data", str(tmp_path / "x")))
    assert "take a port above 1023" in error


def test_a_folder_in_use_is_one_line(chatd):
    error = one_error(run_chatd("0", "--host", "127.0.0.1", "--data", str(chatd.data)))
    assert "another chatd is using this folder; choose another --data" in error


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host", "host.invalid", "a" * 300])
def test_a_host_that_is_not_ours_is_one_line(tmp_path, host: str):
    assert host in one_error(run_chatd("0", "--host", host, "--data", str(tmp_path / "x")))


def test_a_database_that_is_none_is_one_line(tmp_path):
    (tmp_path / "chat.db").write_bytes(b"no database at all " * 1000)
    error = one_error(run_chatd("0", "--host", "127.0.0.1", "--data", str(tmp_path)))
    assert str(tmp_path / "chat.db") in error


def test_a_log_that_cannot_be_written_is_one_line(tmp_path):
    args = ["0", "--host", "127.0.0.1", "--data", str(tmp_path / "d"), "--log", str(tmp_path)]
    error = one_error(run_chatd(*args))
    assert f"cannot write the log {tmp_path}: " in error
    assert "--log" in error


# --- the log --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "logged", "text"),
    [("full", True, True), ("meta", True, False), ("none", False, False)],
)
def test_what_the_log_and_the_terminal_show_of_messages(start, kind, logged: bool, text: bool):
    chatd = start("--log-content", kind)
    bob, ann = chatd.join("bob"), chatd.join("ann")
    ann.send("outgoing", to="bob", content="a secret\x1b[2J", id="1").await_("ack")
    assert ("motd" in bob.welcome) is (kind == "full")
    log = chatd.log()
    assert ("event=message" in log) is logged
    assert ("a secret" in log) is text
    assert "\x1b" not in log
    for wire in (ann, bob):
        wire.close()
    assert chatd.stop() == 0
    shown = "\n".join(chatd.lines)
    assert ("ann -> bob: a secret" in shown) is text
    assert ("ann -> bob: (not shown)" in shown) is (kind == "meta")
    assert "\x1b" not in shown


def test_the_log_has_a_line_for_each_coming_message_and_going(chatd):
    bob, ann = chatd.join("bob"), chatd.join("ann")
    ann.send("outgoing", to="bob", content="hello bob")
    ann.send("outgoing_broadcast", content="hello all")
    ann.send("quit").rest()
    bob.await_("notice", kind="quit")
    lines = chatd.log().splitlines()
    stamp = r"time=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z "
    for pattern in (
        r"event=connect name=ann address=127\.0\.0\.1:\d+",
        r'event=message seq=1 .*from=ann to=bob text="hello bob"',
        r'event=message seq=2 .*from=ann to=\* text="hello all"',
        r"event=disconnect name=ann address=127\.0\.0\.1:\d+ reason=quit",
    ):
        assert sum(bool(re.fullmatch(stamp + pattern, line)) for line in lines) == 1, pattern


def test_nobody_else_can_read_the_log(chatd):
    chatd.join("ann")
    assert stat.S_IMODE((chatd.data / "server.log").stat().st_mode) == 0o600


# --- without a terminal ---------------------------------------------------------------------------


def test_standard_input_is_not_read_where_it_is_no_terminal(start):
    read_end, write_end = os.pipe()
    os.write(write_end, b"/stop\n")
    chatd = start(stdin=read_end)
    assert chatd.join("ann").settle() == []
    assert os.read(read_end, 100) == b"/stop\n"
    os.close(read_end)
    os.close(write_end)


def test_nobody_who_reads_its_output_is_no_reason_to_fail(tmp_path):
    read_end, write_end = os.pipe()
    command = [sys.executable, "-m", "chatd", "0", "--host", "127.0.0.1", "--data", tmp_path]
    with subprocess.Popen(command, stdout=write_end, stderr=subprocess.PIPE) as process:
        os.close(write_end)
        port = int(re.search(rb"port (\d+)", os.read(read_end, 1000))[1])
        os.close(read_end)
        with Wire(port) as ann:
            ann.send("hello", name="ann", v=1).await_("welcome")
            ann.send("outgoing_broadcast", content="x", id="1").await_("ack")
        process.terminate()
        assert process.communicate(timeout=PATIENCE) == (None, b"")
        assert process.returncode == 0


def test_the_end_of_a_stream_is_an_end(chatd):
    wire = chatd.wire()
    wire.sock.shutdown(socket.SHUT_WR)
    with pytest.raises(Ended, match="eof"):
        wire.line()
