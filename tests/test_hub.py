"""Who is told what, and in which order: decisions only, with time as a number."""

import pytest
from bench import Bench
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatd.core.effects import Account, Failed
from chatd.core.limits import Limits
from chatd.dialects.json import JsonDialect, extended, plain
from chatd.wire.errors import ErrorCode, PeerError
from chatd.wire.messages import (
    MAX_CONTENT,
    Ack,
    Admin,
    AskSeen,
    Bye,
    Error,
    Hello,
    Incoming,
    IncomingBroadcast,
    Message,
    Newname,
    Notice,
    Ok,
    Outgoing,
    OutgoingBroadcast,
    Ping,
    Pong,
    Quit,
    Seen,
    Stats,
    Text,
    Users,
    Who,
    encode,
)

E = ErrorCode
OPERATOR = Account(1, "root", "root", "root", "secret")


def three(bench: Bench) -> tuple[int, int, int]:
    return bench.join("ann"), bench.join("bob"), bench.join("eve")


def contents(frames: list[Message]) -> list[str]:
    return [f.content for f in frames if isinstance(f, Incoming | IncomingBroadcast)]


# --- messages -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Outgoing, Text])
def test_a_direct_message_reaches_its_receiver_and_nobody_else(kind):
    bench = Bench()
    ann, bob, eve = three(bench)
    (ack,) = bench.say(ann, kind("Bob", "hi", id="a1"))
    assert (type(ack), ack.re, ack.state, ack.dup) == (Ack, "a1", "stored", False)
    (heard,) = bench.settle(bob)
    assert (heard.sender, heard.content, heard.seq) == ("ann", "hi", ack.seq)
    assert bench.settle(eve) == []
    assert bench.settle(ann) == []


def test_a_broadcast_reaches_everyone_but_its_sender():
    bench = Bench()
    ann, bob, eve = three(bench)
    bench.say(ann, OutgoingBroadcast("hi"))
    assert contents(bench.settle(bob)) == contents(bench.settle(eve)) == ["hi"]
    assert bench.settle(ann) == []


def test_a_message_without_a_key_is_not_acknowledged():
    bench = Bench()
    ann, bob, _ = three(bench)
    assert bench.say(ann, Outgoing("bob", "hi")) == []
    assert contents(bench.settle(bob)) == ["hi"]


def test_nobody_sees_what_is_not_stored():
    bench = Bench()
    ann, bob, _ = three(bench)
    bench.answers = False
    assert bench.say(ann, Outgoing("bob", "hi", id="1")) == []
    assert bench.got(bob) == []
    bench.commit()
    assert [type(f) for f in bench.got(ann)] == [Ack]
    assert contents(bench.got(bob)) == ["hi"]


def test_what_could_not_be_stored_is_told_to_its_sender_alone():
    bench = Bench()
    ann, bob, _ = three(bench)
    bench.answers = False
    bench.say(ann, Outgoing("bob", "lost", id="1"))
    (done,) = bench.store.completions()
    bench.run(bench.hub.completed(Failed(done.ticket, E.STORAGE_FULL), bench.now))
    bench.answers = True
    (error,) = bench.got(ann)
    assert (error.error, error.re, error.fatal) == (E.STORAGE_FULL, "1", False)
    assert bench.settle(bob) == []


def test_a_repeated_key_is_acknowledged_again_and_delivered_once():
    bench = Bench()
    ann, bob, _ = three(bench)
    (first,) = bench.say(ann, Outgoing("bob", "hi", id="1"))
    (again,) = bench.say(ann, Outgoing("bob", "hi", id="1"))
    assert (again.seq, again.dup) == (first.seq, True)
    assert contents(bench.settle(bob)) == ["hi"]
    (error,) = bench.say(ann, Outgoing("bob", "ho", id="1"))
    assert (error.error, error.re) == (E.ID_REUSED, "1")
    assert bench.settle(bob) == []


WRONG = [
    (Outgoing("zoe", "x", id="1"), E.NO_SUCH_USER),
    (Outgoing("a|b", "x", id="1"), E.NO_SUCH_USER),
    (Outgoing("", "x", id="1"), E.NO_SUCH_USER),
    (Outgoing("server", "x", id="1"), E.NO_SUCH_USER),
    (Outgoing("ann", "x", id="1"), E.SELF_MESSAGE),
    (Outgoing("ANN", "x", id="1"), E.SELF_MESSAGE),
    (Outgoing("bob", "", id="1"), E.EMPTY_MESSAGE),
    (Outgoing("bob", " \n", id="1"), E.EMPTY_MESSAGE),
    (OutgoingBroadcast("", id="1"), E.EMPTY_MESSAGE),
    (Outgoing("bob", "x" * (MAX_CONTENT + 1), id="1"), E.MESSAGE_TOO_LONG),
    (OutgoingBroadcast("é" * (MAX_CONTENT // 2 + 1), id="1"), E.MESSAGE_TOO_LONG),
    (AskSeen("zoe", id="1"), E.NO_SUCH_USER),
    (Hello(), E.HELLO_TWICE),
    (Admin("kick", name="bob", id="1"), E.NOT_PERMITTED),
    (Admin("announce", text="x", id="1"), E.NOT_PERMITTED),
    (Admin("stats", id="1"), E.NOT_PERMITTED),
    (Admin("shutdown", id="1"), E.NOT_PERMITTED),
]


@pytest.mark.parametrize(("said", "code"), WRONG)
def test_a_wrong_request_is_one_error_and_nothing_else(said: Message, code: ErrorCode):
    bench = Bench()
    ann, bob, _ = three(bench)
    (error,) = bench.say(ann, said)
    assert isinstance(error, Error)
    assert (error.error, error.fatal) == (code, False)
    assert error.re == getattr(said, "id", None)
    assert bench.settle(bob) == []
    assert bench.settle(ann) == []


def test_the_longest_message_is_delivered():
    bench = Bench()
    ann, bob, _ = three(bench)
    bench.say(ann, Outgoing("bob", "é" * (MAX_CONTENT // 2)))
    assert len(contents(bench.settle(bob))[0]) == MAX_CONTENT // 2


def test_the_limit_of_a_message_is_told():
    bench = Bench()
    (error,) = bench.say(bench.join("ann"), OutgoingBroadcast("x" * 20_000))
    assert error.limit == MAX_CONTENT


# --- order ----------------------------------------------------------------------------------------


def test_requests_are_answered_in_the_order_they_were_made():
    bench = Bench()
    ann, bob, _ = three(bench)
    answers = bench.say(
        ann,
        Outgoing("bob", "one", id="1"),
        Ping(n=1),
        Outgoing("zoe", "two", id="2"),
        Who(id="3"),
        OutgoingBroadcast("four", id="4"),
        Quit(),
    )
    kinds = [getattr(a, "re", None) or type(a) for a in answers]
    assert kinds == ["1", Pong, "2", "3", "4", Bye]
    assert contents(bench.settle(bob)) == ["one", "four"]


def test_messages_of_one_turn_arrive_in_order():
    bench = Bench()
    ann, bob, _ = three(bench)
    bench.say(ann, *(Outgoing("bob", str(n)) for n in range(300)))
    assert contents(bench.got(bob))[:200] == [str(n) for n in range(200)]


def test_a_pong_stands_behind_every_delivery_decided_before_it():
    bench = Bench()
    ann, bob, _ = three(bench)
    bench.answers = False
    bench.say(ann, Outgoing("bob", "first"))
    assert bench.say(bob, Ping(n=9)) == []
    bench.commit()
    heard, pong = bench.got(bob)
    assert heard.content == "first"
    assert pong == Pong(n=9)


def test_what_was_asked_before_the_connection_ended_still_counts():
    bench = Bench()
    ann, bob, _ = three(bench)
    bench.answers = False
    bench.say(ann, Outgoing("bob", "last words"), Quit())
    bench.run(bench.hub.lost(ann, "reset", bench.now))
    bench.answers = True
    bench.commit()
    frames = bench.settle(bob)
    assert contents(frames) == ["last words"]
    assert [f.kind for f in frames if isinstance(f, Notice)] == ["quit"]


def test_more_requests_than_can_wait_close_the_connection():
    bench = Bench(limits=Limits(inbox=5))
    ann, bob, _ = three(bench)
    bench.answers = False
    bench.say(bob, Outgoing("ann", "pending"))
    assert bench.say(ann, *[Who()] * 6)[-1].reason == "error"
    bench.answers = True
    assert ann in bench.closed
    assert contents(bench.settle(bob)) == []


# --- coming and going -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("leave", "kind", "text"),
    [
        (lambda bench, ann: bench.say(ann, Quit()), "quit", "ann is quitting."),
        (lambda bench, ann: bench.lose(ann), "lost", "ann has lost its connection."),
        (lambda bench, ann: bench.lose(ann, "reset"), "lost", "ann has lost its connection."),
    ],
)
def test_the_others_are_told_how_somebody_left(leave, kind: str, text: str):
    bench = Bench()
    ann, bob, _ = three(bench)
    leave(bench, ann)
    (notice,) = bench.settle(bob)
    assert (notice.kind, notice.name, notice.text) == (kind, "ann", text)
    assert bench.say(bob, Who())[0].users == ["bob", "eve"]
    assert ann in bench.closed


def test_who_leaves_by_quit_is_told_goodbye_and_never_lost():
    bench = Bench()
    ann, bob, _ = three(bench)
    (bye,) = bench.say(ann, Quit())
    assert (type(bye), bye.reason) == (Bye, "quit")
    bench.lose(ann)
    assert len(bench.settle(bob)) == 1


def test_a_connection_that_never_said_hello_leaves_unnoticed():
    bench = Bench()
    ann = bench.join("ann")
    for leave in (bench.lose, lambda conn: bench.say(conn, Quit())):
        conn = bench.connect()
        leave(conn)
        assert conn in bench.closed
    assert bench.settle(ann) == []


def test_notices_go_to_those_who_want_them():
    bench = Bench()
    quiet = bench.join("quiet", notices=False)
    plain_, curious = bench.join("plain", plain=True), bench.join("c", plain=True, notices=True)
    bench.say(bench.connect(), Hello(name="new", v=1))
    assert bench.got(quiet) == bench.got(plain_) == []
    assert [n.text for n in bench.got(curious)] == ["new has joined."]


def test_seen_tells_who_is_here_and_since_when_not():
    bench = Bench()
    ann, bob, _ = three(bench)
    assert bench.say(ann, AskSeen("BOB", id="1")) == [Seen("bob", True, "1")]
    bench.say(bob, Quit())
    bench.settle(ann)
    (seen,) = bench.say(ann, AskSeen("bob", id="2"))
    assert (seen.online, seen.re) == (False, "2")
    assert seen.last_seen.startswith("2023-11-")
    again = Bench(store=bench.store)
    (after_restart,) = again.say(again.join("ann"), AskSeen("bob"))
    assert after_restart.last_seen == seen.last_seen


def test_who_with_detail_tells_since_when_and_how_long_silent():
    bench = Bench()
    ann, bob = bench.join("ann"), bench.join("bob")
    bench.wait(10)
    (users,) = bench.say(ann, Who(detail=True))
    assert [(row.name, row.idle) for row in users.detail] == [("ann", 0), ("bob", 10)]
    assert users.users == ["ann", "bob"]
    assert bob not in bench.closed


# --- what is unreadable ---------------------------------------------------------------------------


def garbage() -> PeerError:
    return PeerError(E.NOT_JSON, why="it does not parse")


def test_ten_unreadable_objects_in_a_row_end_the_connection():
    bench = Bench()
    ann, bob, _ = three(bench)
    answers = [a for _ in range(10) for a in bench.say(ann, garbage())]
    assert [a.error for a in answers[:-1]] == [E.NOT_JSON] * 10
    assert answers[-1].reason == "error"
    assert ann in bench.closed
    assert [n.kind for n in bench.settle(bob)] == ["lost"]


def test_anything_readable_between_them_begins_the_count_anew():
    bench = Bench()
    ann = bench.join("ann")
    for between in (Who(), PeerError(E.UNKNOWN_CODE, code="x")):
        for _ in range(9):
            bench.say(ann, garbage())
        bench.say(ann, between)
    bench.say(ann, garbage())
    assert ann not in bench.closed


def test_garbage_before_hello_is_told_and_counted_too():
    bench = Bench()
    conn = bench.connect()
    for _ in range(9):
        assert bench.say(conn, garbage())[0].error == E.NOT_JSON
    bench.say(conn, garbage())
    assert conn in bench.closed


# --- signs of life --------------------------------------------------------------------------------


def test_an_extended_peer_is_asked_and_let_go_after_three_misses():
    bench = Bench()
    ann, bob = bench.join("ann"), bench.join("bob", plain=True)
    bench.wait(30)
    assert bench.got(ann) == [Ping()]
    bench.wait(60)
    assert bench.got(ann) == [Ping(), Ping()]
    bench.wait(29)
    assert ann not in bench.closed
    bench.wait(2)
    assert bench.got(ann)[-1].reason == "idle"
    assert ann in bench.closed
    assert bob not in bench.closed


def test_any_sign_of_life_counts():
    bench = Bench()
    ann = bench.join("ann")
    for _ in range(20):
        bench.wait(29)
        bench.say(ann, Pong())
    assert ann not in bench.closed


def test_a_plain_peer_is_never_asked():
    bench = Bench()
    bob = bench.join("bob", plain=True)
    bench.wait(10_000)
    assert bench.got(bob) == []
    assert bob not in bench.closed


# --- operators ------------------------------------------------------------------------------------


def operated() -> tuple[Bench, int, int]:
    bench = Bench([OPERATOR], operators=frozenset({"root"}))
    return bench, bench.join("root", password="secret"), bench.join("bob")


def test_an_operator_removes_somebody():
    bench, root, bob = operated()
    eve = bench.join("eve")
    answers = bench.say(root, Admin("kick", name="bob", id="k"))
    assert Ok("k") in answers
    assert [n.text for n in answers if isinstance(n, Notice)] == ["bob was removed."]
    (bye,) = bench.got(bob)
    assert (bye.reason, bye.text) == ("kicked", "You were removed by root.")
    assert bob in bench.closed
    assert [n.kind for n in bench.settle(eve)] == ["removed"]


def test_an_operator_who_removes_himself_has_his_answer():
    bench, root, _ = operated()
    ok, bye = bench.say(root, Admin("kick", name="root", id="k"))
    assert ok == Ok("k")
    assert bye.reason == "kicked"


@pytest.mark.parametrize(
    ("asked", "code"),
    [(Admin("kick", id="k"), E.MISSING_FIELD), (Admin("announce", id="k"), E.MISSING_FIELD),
     (Admin("announce", text=" ", id="k"), E.EMPTY_MESSAGE),
     (Admin("kick", name="zoe", id="k"), E.NO_SUCH_USER)],
)  # fmt: skip
def test_what_an_operator_asks_wrongly_is_told(asked: Admin, code: ErrorCode):
    bench, root, _ = operated()
    (error,) = bench.say(root, asked)
    assert (error.error, error.re) == (code, "k")


def test_an_announcement_is_a_notice_to_all():
    bench, root, bob = operated()
    answers = bench.say(root, Admin("announce", text="tea!", id="a"))
    assert Ok("a") in answers
    assert [(n.kind, n.text) for n in bench.settle(bob)] == [("announce", "tea!")]


def test_figures_are_given_to_operators():
    bench, root, _ = operated()
    bench.wait(65)
    bench.say(root, OutgoingBroadcast("x"))
    stats = next(a for a in bench.say(root, Admin("stats", id="s")) if isinstance(a, Stats))
    assert (stats.re, stats.sessions, stats.seq, stats.uptime) == ("s", 2, 1, 65)


def test_an_operator_stops_the_server_and_everybody_is_told():
    bench, root, bob = operated()
    plain_ = bench.join("plain", plain=True)
    answers = bench.say(root, Admin("shutdown", id="x"))
    assert answers[0] == Ok("x")
    assert "root" in bench.stopped
    for conn in (root, bob, plain_):
        assert conn in bench.closed
    assert [f.reason for f in bench.got(bob) if isinstance(f, Bye)] == ["shutdown"]


def test_saying_the_name_of_an_operator_is_not_enough():
    bench = Bench(operators=frozenset({"root"}))
    root = bench.join("root")
    (error,) = bench.say(root, Admin("stats", id="s"))
    assert error.error == E.NOT_PERMITTED


def test_a_renamed_operator_is_one_still_and_who_takes_the_shown_name_is_none():
    bench, root, bob = operated()
    bench.say(root, Newname("boss"))
    assert isinstance(bench.say(root, Admin("stats", id="s"))[-1], Stats)
    bench.settle(bob)
    (error,) = bench.say(bob, Newname("root", id="n"))
    assert error.error == E.NAME_TAKEN


# --- the end, and our own faults ------------------------------------------------------------------


def test_a_shutdown_says_goodbye_to_everybody_and_tells_nobody_of_the_others():
    bench = Bench()
    conns = three(bench)
    bench.run(bench.hub.shut_down("SIGTERM", bench.now))
    for conn in conns:
        (bye,) = bench.got(conn)
        assert bye.text == "The server is shutting down; you have been logged off."
        assert conn in bench.closed
    assert bench.stopped == "SIGTERM"


def test_an_error_of_ours_tells_the_peer_a_reference_and_the_others_that_it_is_lost():
    bench = Bench()
    ann, bob, _ = three(bench)
    bench.run(bench.hub.failed(ann, "abc123", bench.now))
    error, bye = bench.got(ann)
    assert (error.error, error.fatal) == (E.INTERNAL, True)
    assert "abc123" in error.text
    assert bye.reason == "error"
    assert [n.kind for n in bench.settle(bob)] == ["lost"]


def test_a_peer_that_takes_nothing_is_dropped_and_the_others_are_told():
    bench = Bench()
    ann, bob, _ = three(bench)
    bench.run(bench.hub.not_reading(ann, bench.now))
    assert ann in bench.closed
    assert [n.kind for n in bench.settle(bob)] == ["lost"]


# --- anything at all ------------------------------------------------------------------------------

NAMES = ["ann", "bob", "Ann", "eve", "zoe", "server", "", "*", "a|b", "x" * 40, "ＡＮＮ"]
NAME = st.sampled_from(NAMES)
TEXT = st.sampled_from(["hi", "", " ", "\x1b[2J", "x" * 17_000, "{}", "🙂"])
KEY = st.none() | st.sampled_from(["1", "2"])
SAID = st.one_of(
    st.builds(
        Hello,
        name=st.none() | NAME,
        v=st.none() | st.sampled_from([0, 1, 9]),
        password=st.none() | st.sampled_from(["pw", "no"]),
        token=st.none() | st.sampled_from(["token1", "token2", "x"]),
        notices=st.none() | st.booleans(),
    ),
    st.builds(Outgoing, NAME, TEXT, KEY),
    st.builds(OutgoingBroadcast, TEXT, KEY),
    st.builds(Who, KEY, st.booleans()),
    st.builds(AskSeen, NAME, KEY),
    st.builds(Newname, NAME, KEY),
    st.builds(Admin, st.sampled_from(["kick", "announce", "stats"]), st.none() | NAME, TEXT, KEY),
    st.just(Quit()),
    st.just(Ping(n=1)),
    st.just(Pong()),
    st.just(PeerError(E.NOT_JSON, why="x")),
)
STEP = st.one_of(
    st.tuples(st.just("say"), st.integers(0, 4), st.lists(SAID, min_size=1, max_size=4)),
    st.tuples(st.just("bytes"), st.integers(0, 4), st.binary(max_size=40)),
    st.tuples(st.just("lose"), st.integers(0, 4), st.none()),
    st.tuples(st.just("wait"), st.floats(0, 40), st.none()),
    st.tuples(st.just("hold"), st.booleans(), st.none()),
)


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.lists(STEP, max_size=25))
def test_whatever_is_said_nobody_sees_what_is_not_for_him_and_nothing_breaks(steps):
    bench = Bench([OPERATOR, Account(2, "eve", "eve", "eve", "pw")])
    conns = [bench.connect(f"10.0.0.{n % 2}") for n in range(5)]
    dialects = {conn: JsonDialect() for conn in conns}
    for what, one, data in steps:
        match what:
            case "say":
                bench.say(conns[one], *data)
            case "bytes":
                bench.say(conns[one], *dialects[conns[one]].receive(data))
            case "lose":
                bench.lose(conns[one])
            case "wait":
                bench.wait(one)
            case "hold":
                bench.answers = one
        check(bench)
    bench.answers = True
    bench.commit()
    check(bench)


def check(bench: Bench):
    """The invariants that hold between any two turns."""
    hub = bench.hub
    for key, session in hub.online.items():
        assert session.account.key == key
        assert session.conn in hub.sessions
        assert session.conn not in bench.closed
        assert key in hub.accounts, "a name in use is known"
    online = {session.conn for session in hub.online.values()}
    for conn, frames in bench.inboxes.items():
        for frame in frames:
            encode(frame)
            assert plain(frame) == b"" or extended(frame)
            if isinstance(frame, Incoming | IncomingBroadcast | Notice | Users):
                assert conn in bench.opened, "only who is in hears of the others"
    assert online <= set(bench.opened)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.text(min_size=1, max_size=5))))
def test_every_direct_message_is_seen_by_its_receiver_alone(said):
    bench = Bench()
    names = ["ann", "bob", "eve", "zoe"]
    conns = [bench.join(name) for name in names]
    expected: list[list[str]] = [[], [], [], []]
    heard: list[list[str]] = [[], [], [], []]
    for number, (author, receiver, text) in enumerate(said):
        content = f"{number} {text}"
        bench.say(conns[author], Outgoing(names[receiver], content))
        for got, conn in zip(heard, conns, strict=True):
            got += contents(bench.got(conn))
        if author != receiver:
            expected[receiver].append(content)
    assert heard == expected
