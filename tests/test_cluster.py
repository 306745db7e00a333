"""Several daemons that share one log: what one of them is told holds on all of them."""

import re
import signal

import pytest
from peers.nats import Nats, bound, messages


@pytest.fixture
def nodes(start, nats, stream):
    """Start so many daemons on one stream."""

    def begin(number: int, *words):
        url = f"{nats.url}/{stream}"
        return [start(*words, "--cluster", url, data=f"node{n}") for n in range(number)]

    return begin


def codes(frames: list[dict]) -> list[str]:
    return [each["code"] for each in frames]


def both(one, two) -> list:
    """Ann on one node and Ben on another, who know of each other: a `pong` is behind that."""
    wires = [one.join("ann"), two.join("ben")]
    for wire in wires:
        wire.settle()
    return wires


def answer(wire, re: str) -> dict:
    """The answer to a request, whatever it is."""
    while (frame := wire.read()).get("re") != re:
        pass
    return frame


def test_a_message_reaches_somebody_on_another_node(nodes):
    one, two = nodes(2)
    ann, ben = one.join("ann"), two.join("ben")
    assert ann.await_("notice", kind="joined", name="ben")
    ack = ann.tell("ben", "hi")
    assert ack["state"] == "stored"
    (got,) = ben.settle()
    assert (got["code"], got["from"], got["content"]) == ("incoming", "ann", "hi")
    assert got["seq"] == ack["seq"]
    ben.send("received", upto=got["seq"]).settle()
    assert ann.await_("receipt")["delivered"] == got["seq"]


def test_a_broadcast_reaches_everybody_but_its_author(nodes):
    one, two = nodes(2)
    ann, ben, cid = one.join("ann"), two.join("ben"), two.join_plain("cid")
    ann.send("outgoing_broadcast", content="all", id="1").await_("ack")
    assert ben.await_("incoming_broadcast")["content"] == "all"
    assert cid.settle_plain()[-1] == {
        "code": "incoming_broadcast",
        "from": "ann",
        "content": "all",
    }
    assert "incoming_broadcast" not in codes(ann.settle())


def test_everybody_is_listed_on_every_node(nodes):
    one, two = nodes(2)
    ann, ben = both(one, two)
    for somebody in (ann, ben):
        somebody.settle()
        assert somebody.ask("who", id="w")["users"] == ["ann", "ben"]  # as they joined
        shown = somebody.ask("who", id="w", detail=True)["detail"]
        assert sorted(each["name"] for each in shown) == ["ann", "ben"]
    assert ann.ask("seen", name="ben", id="s")["online"]


def test_everybody_is_listed_in_the_order_of_their_coming(nodes):
    one, two = nodes(2)
    wires = [(one, two)[n % 2].join(f"user{n}") for n in range(4)]
    for wire in wires:
        wire.settle()
        assert wire.ask("who", id="w")["users"] == [f"user{n}" for n in range(4)]


def test_who_quits_elsewhere_is_told_and_then_was_seen(nodes):
    one, two = nodes(2)
    ann, ben = both(one, two)
    ben.send("quit").await_("bye")
    assert ann.await_("notice", kind="quit")["text"] == "ben is quitting."
    seen = ann.ask("seen", name="ben", id="s")
    assert (seen["online"], "last_seen" in seen) == (False, True)
    assert ann.ask("who", id="w")["users"] == ["ann"]


def test_who_is_absent_gets_it_later_on_another_node(nodes):
    one, two = nodes(2)
    ann, ben = both(one, two)
    ben.send("quit").rest()
    assert ann.await_("notice", kind="quit")
    assert ann.tell("ben", "later")["state"] == "queued"
    ben = one.join("ben")
    (got,) = [each for each in ben.settle() if each["code"] == "incoming"]
    assert (got["content"], got["late"]) == ("later", True)


def test_a_name_has_one_session_on_all_nodes(nodes):
    one, two = nodes(2)
    ann = one.join("ann")
    other = two.wire()
    refused = other.ask("hello", name="Ann", v=1)
    assert (refused["error"], refused["fatal"]) == (103, True)
    # Its holder is asked whether it is there, on its own node.
    assert ann.read()["code"] == "ping"
    assert ann.settle() == []


def test_a_name_that_is_taken_on_two_nodes_at_once_is_one_session(nodes):
    one, two = nodes(2)
    wires = [(one, two)[n % 2].wire() for n in range(8)]
    for wire in wires:
        wire.send("hello", name="ann", v=1)
    answers = [wire.read() for wire in wires]
    codes = [each["code"] for each in answers]
    assert sorted(codes) == ["error"] * 7 + ["welcome"]
    assert {each["error"] for each in answers if each["code"] == "error"} == {103}


def test_those_without_a_name_get_different_ones(nodes):
    one, two = nodes(2)
    wires = [(one, two)[n % 2].wire() for n in range(8)]
    for wire in wires:
        wire.send("hello", v=1)
    names = [wire.await_("welcome")["name"] for wire in wires]
    assert len(set(names)) == 8


def test_whoever_holds_the_token_takes_over_on_another_node_and_misses_nothing(nodes):
    one, two = nodes(2)
    ann, ben = both(one, two)
    first = ben.tell("ann", "1")["seq"]
    assert ann.await_("incoming")["seq"] == first
    seen = {"epoch": ann.welcome["epoch"], "seq": first}
    ben.tell("ann", "2")
    again = two.join("ann", token=ann.welcome["token"], after=seen)
    assert again.welcome["resumed"]
    assert [each["content"] for each in again.settle() if each["code"] == "incoming"] == ["2"]
    assert ann.until("bye")[-1]["reason"] == "replaced"
    assert [each for each in ben.settle() if each["code"] == "notice"] == []
    assert sorted(ben.ask("who", id="w")["users"]) == ["ann", "ben"]


def test_a_retry_on_another_node_is_answered_by_the_first_result(nodes):
    one, two = nodes(2)
    ann, ben = both(one, two)
    first = ann.send("outgoing", to="ben", content="hi", id="k").await_("ack")
    again = two.join("ann", token=ann.welcome["token"])
    second = again.send("outgoing", to="ben", content="hi", id="k").await_("ack")
    assert (second["seq"], second["dup"]) == (first["seq"], True)
    other = again.send("outgoing", to="ben", content="ho", id="k").await_("error")
    assert other["error"] == 308
    assert [each["content"] for each in ben.settle() if each["code"] == "incoming"] == ["hi"]


def test_a_group_means_the_same_on_every_node(nodes):
    one, two = nodes(2)
    ann, ben, cid = one.join("ann"), two.join("ben"), two.join("cid")
    ann.settle()
    made = ann.send("group", op="create", group="team", names=["ben"], id="g").await_("group_info")
    assert made["groups"][0]["members"] == ["ann", "ben"]
    assert ben.await_("group_event")["kind"] == "created"
    ben.send("outgoing_group", group="team", content="hi", id="1").await_("ack")
    assert ann.await_("incoming_group")["content"] == "hi"
    ann.send("group", op="add", group="team", names=["cid"], id="a").await_("group_info")
    assert cid.await_("group_event")["kind"] == "added"
    ann.send("group", op="remove", group="team", names=["ben"], id="r").await_("group_info")
    assert ben.await_("group_event", kind="removed")
    refused = ben.send("outgoing_group", group="team", content="x", id="2").await_("error")
    assert refused["error"] == 402
    ann.send("group", op="rename", group="team", to="crew", id="n").await_("group_info")
    (crew,) = cid.ask("group", op="list", id="l")["groups"] if cid.settle() else [None]
    assert (crew["group"], crew["members"]) == ("crew", ["ann", "cid"])


def test_a_group_that_is_made_on_two_nodes_at_once_is_made_once(nodes):
    one, two = nodes(2)
    ann, ben = both(one, two)
    for _ in range(5):
        for wire in (ann, ben):
            wire.send("group", op="create", group="team", id="g")
        answers = [answer(wire, "g") for wire in (ann, ben)]
        assert sorted(each["code"] for each in answers) == ["error", "group_info"]
        (lost,) = [each for each in answers if each["code"] == "error"]
        assert lost["error"] == 404
        won = ann if answers[0]["code"] == "group_info" else ben
        won.send("group", op="delete", group="team", id="d").await_("group_info")
        for wire in (ann, ben):
            wire.settle()


def test_a_new_name_holds_everywhere(nodes):
    one, two = nodes(2)
    ann, ben = both(one, two)
    ann.send("newname", name="anna", id="n").await_("ok")
    assert ben.await_("notice", kind="renamed")["new"] == "anna"
    ben.tell("anna", "hi")
    assert ann.await_("incoming")["content"] == "hi"
    assert ben.send("newname", name="Anna", id="n").await_("error")["error"] == 105


def test_a_password_holds_everywhere(nodes):
    one, two = nodes(2)
    ann, ben = both(one, two)
    ann.send("register", password="secret", id="r").await_("ok")
    ann.send("quit").rest()
    assert ben.await_("notice", kind="quit")
    assert two.wire().ask("hello", name="ann", v=1)["error"] == 102
    assert two.join("ann", password="secret").welcome["name"] == "ann"


def test_an_operator_removes_somebody_on_another_node_and_speaks_to_all(nodes, tmp_path):
    people = tmp_path / "people"
    people.write_text("boss:secret\n")
    people.chmod(0o600)
    one, two = nodes(2, people, "--guests", "--operator", "boss")
    boss, ben = one.join("boss", password="secret"), two.join("ben")
    boss.settle()
    boss.send("admin", op="announce", text="lunch", id="1").await_("ok")
    assert ben.await_("notice", kind="announce")["text"] == "lunch"
    boss.send("admin", op="kick", name="ben", id="2").await_("ok")
    assert ben.until("bye")[-1]["reason"] == "kicked"
    assert boss.await_("notice", kind="removed")["name"] == "ben"


def test_wrong_passwords_are_counted_on_all_nodes(nodes, tmp_path):
    users = tmp_path / "users"
    users.write_text("ben secret\n")
    users.chmod(0o600)
    one, two = nodes(2, users, "--guests")
    guest = two.join("ann")
    for n in range(5):
        wire = (one, two)[n % 2].wire().send("hello", v=1, name="ben", password="guess")
        assert wire.rest()[-1]["error"] == 101
        guest.settle()
    refused = one.wire().send("hello", v=1, name="ben", password="secret").rest()[-1]
    assert (refused["error"], refused["retry_after"] > 0) == (107, True)


def test_history_and_search_find_what_was_said_elsewhere(nodes):
    one, two = nodes(2)
    ann, ben = both(one, two)
    ann.tell("ben", "the red fox")
    ben.tell("ann", "the blue fox")
    for wire, other in ((ann, "ben"), (ben, "ann")):
        asked = {"id": "h", "with": other}
        items = wire.send("history", **asked).await_("items")["items"]
        assert [each["content"] for each in items] == ["the red fox", "the blue fox"]
        items = wire.send("history", q="blue", **asked).await_("items")["items"]
        assert [each["content"] for each in items] == ["the blue fox"]


def test_a_node_that_comes_later_knows_everything(nodes, start, nats, stream):
    (one,) = nodes(1)
    ann, ben = one.join("ann"), one.join("ben")
    ann.tell("ben", "hi")
    ann.send("group", op="create", group="team", names=["ben"], id="g").await_("group_info")
    two = start("--cluster", f"{nats.url}/{stream}", data="late")
    cid = two.join("cid")
    assert sorted(cid.ask("who", id="w")["users"]) == ["ann", "ben", "cid"]
    again = two.join("ben", token=ben.welcome["token"])
    assert [each["content"] for each in again.settle() if each["code"] == "incoming"] == ["hi"]
    assert again.ask("group", op="list", id="l")["groups"][0]["members"] == ["ann", "ben"]


def test_the_people_of_a_node_that_stops_go_to_another_one_and_nobody_notices(nodes):
    one, two = nodes(2)
    ann, ben = both(one, two)
    ann.settle()
    assert two.stop() == 0
    bye = ben.until("bye")[-1]
    assert (bye["reason"], bye["reconnect"]) == ("shutdown", True)
    again = one.join("ben", token=ben.welcome["token"])
    ann.tell("ben", "still there?")
    assert again.await_("incoming")["content"] == "still there?"
    assert [each for each in ann.settle() if each["code"] == "notice"] == []


def test_the_names_of_a_node_that_was_killed_are_free_again(nodes):
    one, two = nodes(2)
    ann, ben = one.join("ann"), two.join_plain("ben")
    two.process.kill()
    assert ann.await_("notice", kind="lost")["name"] == "ben"
    assert one.join_plain("ben").settle_plain() == []
    ben.close()


# --- NATS is slow, gone, or not what it should be -----------------------------------------------


def ready(node) -> tuple[int, str]:
    """What a load balancer is told."""
    with node.wire() as wire:
        wire.raw(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
        head, _, body = b"".join(iter(lambda: wire.sock.recv(4096), b"")).partition(b"\r\n\r\n")
    return int(head.split()[1]), body.decode().strip()


def test_the_metrics_of_a_node_tell_how_many_there_are_and_how_long_nats_takes(nodes):
    one, two = nodes(2)
    both(one, two)
    with one.wire() as wire:
        wire.raw(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        page = b"".join(iter(lambda: wire.sock.recv(65536), b"")).decode()
    assert "\nchatd_nodes 2.0\n" in page
    (counted,) = re.findall(r"^chatd_store_commit_duration_seconds_count (\d+)", page, re.M)
    assert int(counted) > 0
    assert re.search(r'event=cluster nodes=2 text=".*:\d+ has come"', one.log())


def test_probes_while_nats_is_gone_leave_no_refusal_behind(start, own_nats, tmp_path):
    (tmp_path / "limits").write_text("hello = 1\n")
    node = start("--cluster", own_nats.url, "--limits", tmp_path / "limits")
    own_nats.freeze()
    ready(node)
    silent = node.wire()  # has come later than the probe, and says nothing
    assert silent.rest()[-1]["error"] == 112
    assert node.log().count("code=112") == 1
    own_nats.thaw()


GONE = {
    "killed": (Nats.kill, Nats.start),
    "frozen": (Nats.freeze, Nats.thaw),
}


@pytest.mark.parametrize("how", GONE)
def test_while_nats_is_gone_sessions_stay_and_sends_are_refused(start, own_nats, how):
    leave, come_back = GONE[how]
    node = start("--cluster", own_nats.url)
    ann, ben = node.join("ann"), node.join("ben")
    ann.settle()
    assert ready(node) == (200, "ready")
    leave(own_nats)
    ann.send("outgoing", to="ben", content="kept", id="1")  # not refused: it may be kept already
    told = ann.await_("notice", kind="announce")
    assert "cannot be kept" in told["text"]
    refused = ann.send("outgoing", to="ben", content="lost", id="2").await_("error")
    assert (refused["error"], refused["re"], refused["retry_after"]) == (505, "2", 1)
    status, why = ready(node)
    assert status == 503
    assert "NATS" in why
    assert "event=cluster" in node.log()
    come_back(own_nats)
    assert ann.await_("ack", re="1")["state"] == "stored"
    assert "kept again" in ann.await_("notice", kind="announce")["text"]
    assert ann.send("outgoing", to="ben", content="now", id="3").await_("ack")
    contents = [each["content"] for each in ben.settle() if each["code"] == "incoming"]
    assert contents == ["kept", "now"]
    assert ready(node) == (200, "ready")


def test_while_nats_is_gone_who_comes_back_is_refused_at_once_and_what_was_given_up_is_forgotten(
    start, own_nats
):
    one, two = (start("--cluster", own_nats.url, data=f"node{n}") for n in range(2))
    ann, ben = both(one, two)
    ann.settle()
    own_nats.freeze()
    ben.send("outgoing", to="ann", content="kept", id="1")  # others wait for what becomes of it
    proof = {"name": "ann", "v": 1, "token": ann.welcome["token"]}
    two.wire().send("hello", **proof).close()  # its turn comes when NATS is back
    assert "cannot be kept" in ben.await_("notice", kind="announce")["text"]
    refused = two.wire().ask("hello", **proof)
    assert (refused["error"], refused["fatal"], refused["retry_after"]) == (505, True, 1)
    own_nats.thaw()
    assert ann.await_("incoming")["content"] == "kept"
    assert "bye" not in [each["code"] for each in ann.settle()]


def test_a_pong_that_nobody_can_prove_is_refused_and_a_sign_of_life_is_not(start, own_nats):
    node = start("--cluster", own_nats.url)
    ann = node.join("ann")
    ann.settle()
    own_nats.freeze()
    refused = ann.send("ping", n="7").await_("error", re="7")
    assert (refused["error"], refused["retry_after"]) == (505, 1)
    assert "n" not in ann.send("ping").await_("pong")
    assert ann.send("who", id="w").await_("users", re="w")["users"] == ["ann"]
    own_nats.thaw()
    assert "kept again" in ann.await_("notice", kind="announce")["text"]
    assert ann.send("ping", n="8").await_("pong")["n"] == "8"


def test_a_stream_that_is_full_is_told_and_goes_on_when_there_is_room(start, own_nats):
    node = start("--cluster", own_nats.url)
    ann, ben = node.join("ann"), node.join("ben")
    ann.settle()
    bound(own_nats, "chatd", messages(own_nats, "chatd"))  # of which some are to be deleted
    for n in range(30):
        ann.send("outgoing", to="ben", content=str(n), id=str(n))
    assert "cannot be kept" in ann.await_("notice", kind="announce")["text"]
    status, why = ready(node)
    assert (status, "maximum messages exceeded" in why) == (503, True)
    assert ann.send("outgoing", to="ben", content="lost", id="x").await_("error")["error"] == 505
    bound(own_nats, "chatd", -1)
    assert ann.await_("ack", re="29")["state"] == "stored"
    assert "kept again" in ann.await_("notice", kind="announce")["text"]
    ann.tell("ben", "last")
    contents = [each["content"] for each in ben.settle() if each["code"] == "incoming"]
    assert contents == [*map(str, range(30)), "last"]


def test_nobody_is_taken_for_dead_because_nats_was_frozen(start, own_nats):
    one, two = (start("--cluster", own_nats.url, data=f"node{n}") for n in range(2))
    ann, ben = both(one, two)
    own_nats.freeze()
    for wire in (ann, ben):
        assert "cannot be kept" in wire.await_("notice", kind="announce")["text"]
    own_nats.thaw()
    for wire in (ann, ben):
        assert "kept again" in wire.await_("notice", kind="announce")["text"]
    ann.tell("ben", "hi")
    assert [each["code"] for each in ben.settle()] == ["incoming"]
    assert [each["code"] for each in ann.settle()] == []
    assert "taken for dead" not in one.log() + two.log()


def test_a_node_stops_in_time_without_nats(start, own_nats):
    node = start("--cluster", own_nats.url)
    ann = node.join("ann")
    own_nats.kill()
    assert node.stop() == 0
    assert ann.until("bye")[-1]["reason"] == "shutdown"


def test_what_was_acknowledged_is_there_after_everything_was_killed(start, own_nats):
    node = start("--cluster", own_nats.url)
    ann, ben = node.join("ann"), node.join("ben")
    ben.send("quit").rest()
    for n in range(20):
        assert ann.tell("ben", str(n))["state"] == "queued"
    node.process.kill()
    own_nats.kill()
    own_nats.start()
    ben = start("--cluster", own_nats.url, data="elsewhere").join("ben")
    contents = [each["content"] for each in ben.settle() if each["code"] == "incoming"]
    assert contents == [str(n) for n in range(20)]


def test_a_node_that_was_frozen_lets_its_people_go_and_lives_again(nodes):
    one, two = nodes(2)
    ann, ben = both(one, two)
    two.join_plain("dan")
    ann.settle()
    two.signal(signal.SIGSTOP)
    again = one.join("ann", token=ann.welcome["token"])
    cid = two.wire().send("hello", name="cid", v=1)
    assert again.await_("notice", kind="lost", name="dan")  # the others have buried the node
    two.signal(signal.SIGCONT)
    bye = ben.until("bye")[-1]
    assert (bye["reason"], bye["reconnect"]) == ("shutdown", True)
    assert cid.await_("welcome")["name"] == "cid"
    cid.tell("ann", "hi")
    assert again.await_("incoming")["content"] == "hi"
    back = one.join("ben", token=ben.welcome["token"])
    assert sorted(back.ask("who", id="w")["users"]) == ["ann", "ben", "cid"]
    assert [each for each in again.settle() if each["code"] == "notice"] == []  # of ben
