"""The pages over HTTP, on the port of the chat: what is asked well, what is not, and by whom."""

import http.client
import json
import resource
import signal
import socket
from contextlib import closing

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support import PATIENCE, Wire
from test_peers import House, later

from chatd.core.limits import Limits
from chatd.dialects.http import MAX_HEAD, METHODS, HttpDialect, Request, speaks_http
from chatd.pages import is_within

ASKED = b"GET /healthz HTTP/1.1\r\nHost: here\r\n\r\n"


# --- the dialect ----------------------------------------------------------------------------------


def asked_by(*pieces: bytes) -> list[Request]:
    """What a connection has asked for that brought these bytes."""
    found: list[Request] = []
    dialect = HttpDialect(found.append)
    for piece in pieces:
        assert dialect.receive(piece) == []
    return found


def test_a_request_cut_at_any_byte_is_the_same_request():
    for cut in range(1, len(ASKED)):
        assert asked_by(ASKED[:cut], ASKED[cut:]) == [Request("GET", "/healthz")]


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET / HTTP/1.0\n\n",
        b"GET /?a=b HTTP/1.1\r\nhost:\r\n\r\n",
        b"GET http://here:80/ HTTP/1.1\r\nHost: here\r\nX-Y: \xff\r\n\r\n",
    ],
)
def test_forms_of_one_request(head: bytes):
    assert asked_by(head) == [Request("GET", "/")]


@pytest.mark.parametrize(
    "head",
    [
        b"GET /\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",  # without Host
        b"GET / HTTP/2.0\r\n\r\n",
        b"GET  / HTTP/1.0\r\n\r\n",
        b"GET /a b HTTP/1.0\r\n\r\n",
        b"GET /\xff HTTP/1.0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : here\r\n\r\n",
        b"GET / HTTP/1.0\r\n folded: x\r\n\r\n",
        b"GET / HTTP/1.0\r\nX: \0\r\n\r\n",
        b"GET / HTTP/1.0\r\nno field\r\n\r\n",
        b"GET \r\n\r\n",
        b"CONNECT here:80 HTTP/1.1\r\nHost: here\r\n\r\n",
    ],
)
def test_what_is_no_request_is_400(head: bytes):
    assert asked_by(head) == [Request(wrong=400)]


def test_a_head_has_a_bound_and_what_comes_behind_it_is_not_kept():
    room = MAX_HEAD - len(b"GET / HTTP/1.0\r\nX: \r\n\r\n")
    full = b"GET / HTTP/1.0\r\nX: " + b"x" * room + b"\r\n\r\n"
    assert asked_by(full) == [Request("GET", "/")]
    assert asked_by(full[:-4] + b"x", b"\r\n\r\n") == [Request(wrong=431)]
    assert asked_by(b"GET ", *[b"x" * 1000] * 100) == [Request(wrong=431)]
    assert asked_by(ASKED + ASKED, ASKED) == [Request("GET", "/healthz")]


@pytest.mark.parametrize("method", METHODS)
def test_a_method_and_a_blank_are_recognised_as_soon_as_they_are_there(method: bytes):
    told = [speaks_http(method[:size]) for size in range(1, len(method) + 1)]
    assert told == [None] * (len(method) - 1) + [True]
    assert speaks_http(method[:-1] + b"!") is False


@pytest.mark.parametrize("first", [b"{", b"[", b" ", b"\n", b'"', b"g", b"GEx", b"\x16\x03\x01"])
def test_nothing_else_is_taken_for_a_request(first: bytes):
    assert speaks_http(first) is False


# --- over real sockets ----------------------------------------------------------------------------


class Answer:
    """A response and its body."""

    def __init__(self, response: http.client.HTTPResponse):
        self.status, self.headers, self.text = response.status, response.headers, response.read()


def ask(chatd, path: str, method: str = "GET", host: str = "127.0.0.1") -> Answer:
    with closing(http.client.HTTPConnection(host, chatd.port, timeout=PATIENCE)) as connection:
        connection.request(method, path)
        return Answer(connection.getresponse())


def answer_on(wire: Wire) -> Answer:
    """The response on a connection that has asked already."""
    response = http.client.HTTPResponse(wire.sock)
    response.begin()
    return Answer(response)


def is_over(wire: Wire) -> bool:
    return wire.sock.recv(1) == b""


def metrics(chatd) -> dict[tuple[str, ...], float]:
    """Name and values of labels to value."""
    families = text_string_to_metric_families(ask(chatd, "/metrics").text.decode())
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }


@pytest.mark.parametrize(("path", "text"), [("/healthz", b"ok\n"), ("/readyz", b"ready\n")])
def test_the_pages_on_every_selector(everywhere, path: str, text: bytes):
    for path_with_more in (path, path + "?x=1"):
        answer = ask(everywhere, path_with_more)
        assert (answer.status, answer.text) == (200, text)
        assert answer.headers["Connection"] == "close"


def test_a_head_is_told_the_length_without_the_text(chatd):
    wire = chatd.wire().raw(b"HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    lines = []
    while (line := wire.line()) != b"\r":
        lines.append(line.rstrip())
    assert (lines[0], b"Content-Length: 3" in lines) == (b"HTTP/1.1 200 OK", True)
    assert is_over(wire)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/metrics/", 404),
        ("GET", "/../server.log", 404),
        ("POST", "/metrics", 405),
        ("DELETE", "/", 405),
    ],
)
def test_nothing_else_is_there(chatd, method: str, path: str, status: int):
    answer = ask(chatd, path, method)
    assert answer.status == status
    assert answer.headers["Allow"] == ("GET, HEAD" if status == 405 else None)


@pytest.mark.parametrize("asked", [b"GET /healthz HTTP/1.0\r\n\r\n", ASKED, ASKED * 1000])
def test_one_request_one_answer_and_the_end_however_many_were_sent(chatd, asked: bytes):
    wire = chatd.wire().raw(asked)
    assert answer_on(wire).text == b"ok\n"
    assert is_over(wire)


def test_a_request_byte_by_byte_and_a_half_closed_connection(chatd):
    wire = chatd.wire()
    for byte in ASKED.replace(b"healthz", b"metrics"):
        wire.raw(bytes([byte]))
    wire.sock.shutdown(socket.SHUT_WR)
    assert b"chatd_build_info" in answer_on(wire).text


def test_a_head_without_an_end_is_refused_and_the_others_do_not_notice(chatd):
    bob, ann = chatd.join("bob"), chatd.join("ann")
    wire = chatd.wire().raw(b"GET /" + b"x" * MAX_HEAD)
    assert answer_on(wire).status == 431
    ann.tell("bob", "undisturbed")
    assert [f["content"] for f in bob.settle() if f["code"] == "incoming"] == ["undisturbed"]


def test_a_request_within_a_session_is_an_error_of_that_session(chatd):
    ann = chatd.join("ann")
    told = ann.raw(ASKED).settle()
    assert {frame["error"] for frame in told} == {201}


def test_a_first_line_that_only_begins_like_a_request_is_json_that_is_none(chatd):
    wire = chatd.wire()
    for piece in (b"G", b"E", b"t well\n"):
        wire.raw(piece)
    assert wire.read()["error"] == 201
    assert wire.ask("hello", name="ann")["code"] == "welcome"


@pytest.mark.parametrize("pieces", ["at once", "byte by byte"])
def test_a_plain_peer_with_pretty_printed_json_is_a_plain_peer(chatd, pieces: str):
    pretty = json.dumps({"code": "hello", "name": "GET / HTTP"}, indent=4).encode()
    wire = chatd.wire()
    for piece in [pretty] if pieces == "at once" else [bytes([byte]) for byte in pretty]:
        wire.raw(piece)
    assert wire.line() == b'{"code":"welcome"}'


def own_address() -> str:
    """An address of this machine that others would reach it by."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("192.0.2.1", 9))  # nothing is sent
        except OSError:
            pytest.skip("this machine has no address but the loopback")
        return sock.getsockname()[0]


def test_who_is_elsewhere_is_refused_unless_allowed(start):
    here = own_address()
    closed, opened = start(host=""), start("--metrics-from", here, host="", data="opened")
    for path in ("/healthz", "/readyz", "/metrics", "/nothing"):
        assert ask(closed, path, host=here).status == 403
        assert ask(closed, path).status == (404 if path == "/nothing" else 200)
    assert ask(opened, "/metrics", host=here).status == 200


@pytest.mark.parametrize(
    ("host", "within"),
    [("10.1.2.3", True), ("11.1.2.3", False), ("fd00::1", True), ("fe80::1%eth0", False)],
)
def test_an_address_is_held_against_the_networks_of_its_kind(host: str, within: bool):
    assert is_within(host, ["10.0.0.0/8", "fd00::/8"]) is within


# --- what they say --------------------------------------------------------------------------------


def test_the_metrics_are_those_of_what_was_said(start):
    chatd = start()
    ann, bob = chatd.join("ann"), chatd.join_plain("bob")
    ann.ask("register", password="secret", id="r")
    ann.tell("bob", "hi")
    bob.send("outgoing_broadcast", content="all")
    ann.await_("incoming_broadcast")
    ann.send("outgoing", to="zoe", content="x")
    ann.await_("error")
    wrong = chatd.wire().send("hello", name="ann", v=1, password="no")
    assert wrong.rest()[0]["error"] == 101
    found = metrics(chatd)
    assert found["chatd_sessions", "plain"] == found["chatd_sessions", "extended"] == 1
    assert found["chatd_connections",] >= 3
    assert found["chatd_accepted_connections_total",] == 4
    assert found["chatd_messages_total", "direct"] == 1
    assert found["chatd_messages_total", "broadcast"] == 1
    assert found["chatd_messages_total", "group"] == 0
    assert found["chatd_deliveries_total",] == 2
    assert found["chatd_refusals_total", "301", "no_such_user"] == 1
    assert found["chatd_refusals_total", "101", "bad_login"] == 1
    assert found["chatd_login_failures_total",] == 1
    assert found["chatd_log_position",] == 2
    assert found["chatd_store_writable",] == 1
    assert found["chatd_store_commit_duration_seconds_count",] >= 3
    assert found["chatd_turn_duration_seconds_count",] >= 5
    assert found["chatd_turn_duration_seconds_bucket", "+Inf"] >= 5
    assert found["chatd_queued_bytes",] == 0
    again = metrics(chatd)
    assert again["chatd_turn_duration_seconds_count",] > found["chatd_turn_duration_seconds_count",]


def test_where_there_is_no_room_the_refused_are_counted(start):
    chatd = start("--max-clients", "1")
    with chatd.join("ann"):
        assert chatd.wire().read()["error"] == 108
    found = None
    while found is None:  # the place of ann is free when the daemon has seen her go
        try:
            found = metrics(chatd)
        except http.client.HTTPException:
            continue
    assert found["chatd_refusals_total", "108", "server_full"] >= 1


def test_not_ready_while_nothing_can_be_stored_and_ready_again_without_a_message(chatd):
    ann = chatd.join("ann")
    unbounded = resource.RLIM_INFINITY
    resource.prlimit(chatd.process.pid, resource.RLIMIT_FSIZE, (1, unbounded))
    ann.send("outgoing_broadcast", content="lost", id="1")
    assert ann.await_("error")["error"] == 505
    answer = ask(chatd, "/readyz")
    assert (answer.status, answer.text) == (503, b"nothing can be stored\n")
    assert ask(chatd, "/healthz").status == 200
    assert metrics(chatd)["chatd_store_writable",] == 0
    resource.prlimit(chatd.process.pid, resource.RLIMIT_FSIZE, (unbounded, unbounded))
    while ask(chatd, "/readyz").status != 200:
        pass


def test_who_asks_during_the_end_is_told_so(chatd):
    wire = chatd.wire().raw(ASKED[:-2])
    chatd.join("ann").settle()  # what came before her is read
    chatd.signal(signal.SIGTERM)
    answer = answer_on(wire)
    assert (answer.status, is_over(wire)) == (503, True)


# --- with time as a number ------------------------------------------------------------------------


def first_line(sock: socket.socket) -> bytes:
    try:
        return sock.recv(65_536).partition(b"\r\n")[0]
    except BlockingIOError:
        return b""


@pytest.mark.parametrize("begun", [b"GET", b"GET /health"])
def test_a_head_that_is_never_finished_ends_in_time(tmp_path, begun: bytes):
    with closing(House(tmp_path)) as house:
        peer = house.connect(socket.SOCK_STREAM)
        house.peers.clear()  # what it is sent is no JSON
        later(house, 1)
        peer.sock.send(begun)
        later(house, Limits().unfinished - 2)
        assert first_line(peer.sock) == b""
        later(house, 5)
        answered = first_line(peer.sock)
        assert b"408" in answered or begun == b"GET"
        assert not house.daemon._hub.sessions
        peer.sock.close()
