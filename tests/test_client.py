import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from chatd.wire.messages import (
    Ack,
    AskSeen,
    Bye,
    Error,
    Group,
    History,
    Incoming,
    Newname,
    Notice,
    Ok,
    Outgoing,
    OutgoingBroadcast,
    OutgoingGroup,
    Ping,
    Pong,
    Receipt,
    Register,
    Seen,
    Set,
    Users,
    Who,
)
from chatsh.client import Answered, Client, Foreign, Opened, Refused, Strange

WELCOME = {"code": "welcome", "v": 1, "name": "ana", "token": "t1", "motd": "mind the log"}
PLAIN_WELCOME = {"code": "welcome"}


def sent(client: Client) -> list[dict]:
    return [json.loads(segment) for segment in client.data_to_send()]


def told(client: Client, *messages: dict) -> list:
    client.receive(b"".join(json.dumps(message).encode() + b"\n" for message in messages))
    return client.events()


def opened(welcome: dict = WELCOME, **options) -> Client:
    client = Client("ana", **options)
    client.hello()
    client.data_to_send()
    told(client, welcome)
    client.data_to_send()  # which groups there are
    return client


def test_hello_asks_for_an_extended_session_with_notices():
    client = Client("ana")
    client.hello()
    hello = {"code": "hello", "name": "ana", "v": 1, "client": "chatsh", "notices": True}
    assert sent(client) == [hello]


def test_a_hello_without_a_name_has_no_such_field():
    client = Client(notices=False)
    client.hello()
    assert sent(client) == [{"code": "hello", "v": 1, "client": "chatsh"}]


def test_an_extended_welcome_opens_the_session_under_the_servers_name_for_us():
    client = Client()
    client.hello()
    assert told(client, WELCOME) == [Opened("ana", True, "mind the log")]
    assert client.name == "ana"


def test_a_bare_welcome_is_a_server_of_s3():
    client = Client("ana")
    client.hello()
    assert told(client, PLAIN_WELCOME) == [Opened("ana", False)]
    assert not client.extended


LOG = WELCOME | {"epoch": "e1", "seq": 7}


@pytest.mark.parametrize("welcome", [LOG | {"epoch": "e2"}, PLAIN_WELCOME])
def test_who_is_bound_to_a_log_says_nothing_where_there_is_another(welcome):
    client = opened(LOG)
    client.send(Outgoing("ben", "for this chat"))
    sent(client)
    client.hello(bound=True)
    (hello,) = sent(client)
    assert hello["token"] == "t1"
    assert told(client, welcome) == [Foreign()]
    assert not client.opened
    assert sent(client) == []
    client.hello(bound=True)
    assert isinstance(told(client, LOG)[0], Opened)
    assert [one["content"] for one in sent(client) if "content" in one] == ["for this chat"]


def test_who_confirms_later_goes_on_behind_what_it_has_confirmed_and_hears_nothing_twice():
    client = opened(LOG, confirms=False)
    first, second = ({"code": "incoming", "from": "ben", "content": "x", "seq": n} for n in (8, 9))
    assert [one.seq for one in told(client, first, second)] == [8, 9]
    client.received(8)
    client.hello()
    assert sent(client)[-1]["after"] == {"epoch": "e1", "seq": 8}
    third = first | {"seq": 10}
    assert [one.seq for one in told(client, LOG | {"seq": 10}, second, third)[1:]] == [10]


def test_every_segment_is_one_object_with_its_line_end():
    client = opened()
    client.send(Who())
    client.send(Outgoing("ben", "one\ntwo"))
    segments = client.data_to_send()
    assert len(segments) == 2
    assert all(segment.endswith(b"}\n") and segment.count(b"\n") == 1 for segment in segments)


def test_nothing_but_hello_goes_out_before_the_welcome():
    client = Client("ana")
    client.hello()
    client.send(Who())
    assert [message["code"] for message in sent(client)] == ["hello"]
    told(client, WELCOME)
    assert [message["code"] for message in sent(client)] == ["group", "who"]


REPLIES = [
    (Who(), {"code": "users", "users": ["ana"]}, Users(["ana"], re="?")),
    (
        Outgoing("ben", "hi"),
        {"code": "ack", "seq": 7, "ts": "t", "state": "stored"},
        Ack("?", 7, "t", "stored"),
    ),
    (
        OutgoingBroadcast("hi"),
        {"code": "ack", "seq": 7, "ts": "t", "state": "stored"},
        Ack("?", 7, "t", "stored"),
    ),
    (
        AskSeen("ben"),
        {"code": "seen", "name": "ben", "online": True},
        Seen("ben", True, re="?"),
    ),
    (Newname("joe"), {"code": "ok"}, Ok("?")),
    (Register("secret"), {"code": "ok"}, Ok("?")),
    (
        Outgoing("zoe", "x"),
        {"code": "error", "error": 301, "name": "no_such_user", "text": "no"},
        Error(301, "no_such_user", "no", "?"),
    ),
]


@pytest.mark.parametrize(("request_", "reply", "means"), REPLIES)
def test_a_request_is_answered_by_the_reply_with_its_id(request_, reply, means):
    client = opened()
    key = client.send(request_)
    (out,) = sent(client)
    assert out["id"] == key
    (event,) = told(client, {**reply, "re": key})
    assert event.id == key
    assert event.request == request_
    assert event.reply == replace(means, re=key)
    assert client.unanswered == 0


def test_a_pong_answers_the_ping_with_its_number():
    client = opened()
    first, second = client.send(Ping("a")), client.send(Ping("a"))
    assert [message["n"] for message in sent(client)] == [first, second]
    assert told(client, {"code": "pong", "n": second}) == [
        Answered(second, Ping("a"), Pong(second))
    ]
    assert client.unanswered == 1


def test_a_reply_that_does_not_fit_its_request_is_ignored():
    client = opened()
    key = client.send(Who())
    assert told(client, {"code": "ack", "re": key, "seq": 1, "ts": "t", "state": "stored"}) == []
    assert client.unanswered == 1


def test_a_reply_to_nothing_is_ignored():
    assert told(opened(), {"code": "ok", "re": "nobody asked"}) == []


def test_the_servers_ping_is_answered_with_its_number():
    client = opened()
    assert told(client, {"code": "ping", "n": 3}) == []
    assert sent(client) == [{"code": "pong", "n": 3}]


def test_what_is_unanswered_is_asked_again_in_the_next_session_under_the_same_id():
    client = opened()
    key = client.send(Outgoing("ben", "hi"))
    sent(client)
    client.hello()
    assert sent(client)[0]["token"] == "t1"
    told(client, WELCOME)
    assert sent(client)[1:] == [{"code": "outgoing", "to": "ben", "content": "hi", "id": key}]


def test_the_next_hello_says_the_new_name():
    client = opened()
    key = client.send(Newname("joe"))
    told(client, {"code": "ok", "re": key})
    sent(client)
    client.hello()
    assert sent(client)[0]["name"] == "joe"


def test_the_next_hello_of_an_account_says_its_own_name_and_password():
    client = opened()
    for request in (Register("secret"), Newname("joe")):
        told(client, {"code": "ok", "re": client.send(request)})
    sent(client)
    client.hello()
    (hello,) = sent(client)
    assert (hello["name"], hello["password"]) == ("ana", "secret")


def test_a_refusal_is_told_as_such():
    client = Client("ana")
    client.hello()
    error = {"code": "error", "error": 103, "name": "already_logged_in", "text": "no"}
    assert told(client, error) == [Refused(Error(103, "already_logged_in", "no"))]


def test_an_unknown_token_is_no_refusal():
    client = Client("ana")
    client.hello()
    error = {"code": "error", "error": 110, "name": "bad_token", "text": "no"}
    assert told(client, error, WELCOME) == [Opened("ana", True, "mind the log")]


def test_what_speaks_something_else_is_strange_once():
    client = Client("ana")
    client.hello()
    client.receive(b"HTTP/1.1 400 Bad Request\r\n")
    assert client.events() == [Strange()]


def test_who_is_here_follows_the_notices():
    client = opened()
    told(client, {"code": "users", "users": ["ana", "ben"], "re": client.send(Who())})
    notices = [
        {"kind": "joined", "name": "cid"},
        {"kind": "joined", "name": "cid"},
        {"kind": "renamed", "name": "ben", "new": "joe"},
        {"kind": "lost", "name": "cid"},
        {"kind": "joined", "name": "dan"},
    ]
    events = told(client, *({"code": "notice", "text": "x", "ts": "t", **n} for n in notices))
    assert all(isinstance(event, Notice) for event in events)
    assert client.users == ("ana", "joe", "dan")


def test_messages_and_the_last_word_are_events():
    client = opened()
    assert told(
        client,
        {"code": "incoming", "from": "ben", "content": "hi", "seq": 3, "ts": "t"},
        {"code": "bye", "reason": "kicked", "text": "out"},
    ) == [Incoming("ben", "hi", 3, "t"), Bye("kicked", "out")]
    assert not client.opened


def test_an_error_about_no_request_of_ours_is_an_event():
    error = {"code": "error", "error": 503, "name": "internal", "text": "noted as x"}
    assert told(opened(), error) == [Error(503, "internal", "noted as x")]


@pytest.mark.parametrize(
    "later", [{"code": "typing", "who": "ben"}, {"code": "incoming"}, {"x": 1}]
)
def test_what_a_newer_server_says_is_passed_over(later):
    assert told(opened(), later, {"code": "incoming", "from": "b", "content": "c", "new": 1}) == [
        Incoming("b", "c")
    ]


# --- a server of S3 ---


def test_a_server_of_s3_gets_its_own_fields_alone():
    client = opened(PLAIN_WELCOME)
    for request in (Who(), Outgoing("ben", "hi"), OutgoingBroadcast("all")):
        client.send(request)
    assert sent(client) == [
        {"code": "who"},
        {"code": "outgoing", "to": "ben", "content": "hi"},
        {"code": "outgoing_broadcast", "content": "all"},
    ]


def test_for_a_server_of_s3_sent_is_all_that_is_known():
    client = opened(PLAIN_WELCOME)
    key = client.send(Outgoing("ben", "hi"))
    assert client.events() == [Answered(key, Outgoing("ben", "hi"), None)]


def test_the_list_of_users_is_the_round_trip_of_s3():
    client = opened(PLAIN_WELCOME)
    ping, who = client.send(Ping("x")), client.send(Who())
    assert [message["code"] for message in sent(client)] == ["who", "who"]
    users = {"code": "users", "users": ["ana"]}
    assert told(client, users, users) == [
        Answered(ping, Ping("x"), Pong("x")),
        Answered(who, Who(), Users(["ana"])),
    ]


def test_what_s3_cannot_do_is_refused_without_the_server():
    client = opened(PLAIN_WELCOME)
    key = client.send(AskSeen("ben"))
    (event,) = client.events()
    assert sent(client) == []
    assert event.id == key
    assert event.reply.error == 202


# --- the log: items, receipts, groups ---

TS = "2026-01-02T03:04:05.678Z"


def item(seq: int, **more) -> dict:
    return {"code": "incoming", "from": "ben", "content": f"m{seq}", "seq": seq, "ts": TS, **more}


def event(kind: str, group: str, seq: int, **more) -> dict:
    start = {"code": "group_event", "group": group, "kind": kind}
    return {**start, "by": "ben", "seq": seq, "ts": TS, **more}


def row(group: str) -> dict:
    return {"group": group, "owner": "ana", "members": ["ana"], "created": TS}


def member(*groups: str) -> Client:
    client = opened(LOGGED)
    told(client, {"code": "group_info", "groups": [row(one) for one in groups], "re": "groups"})
    assert client.groups == groups
    return client


def asked(client: Client, request, reply: dict) -> list:
    return told(client, {**reply, "re": client.send(request)})


LOGGED = {**WELCOME, "epoch": "e1", "seq": 0}


def test_what_comes_is_confirmed_once_for_each_piece():
    client = opened(LOGGED)
    events = told(client, item(3), item(5), {"code": "pong"})
    assert [one.seq for one in events] == [3, 5]
    assert sent(client) == [{"code": "received", "upto": 5}]
    told(client, {"code": "ping", "n": 1})
    assert sent(client) == [{"code": "pong", "n": 1}]


def test_every_kind_of_item_is_confirmed():
    client = opened(LOGGED)
    kinds = [
        item(1),
        {**item(2), "code": "incoming_broadcast"},
        {**item(3), "code": "incoming_group", "group": "team"},
        event("created", "team", 4),
    ]
    assert [one.seq for one in told(client, *kinds)] == [1, 2, 3, 4]
    assert sent(client) == [{"code": "received", "upto": 4}]


def test_the_next_hello_goes_on_behind_the_last_item_and_hears_none_twice():
    client = opened(LOGGED)
    told(client, item(3))
    sent(client)
    client.hello()
    assert sent(client)[0]["after"] == {"epoch": "e1", "seq": 3}
    events = told(client, {**LOGGED, "seq": 4, "resumed": True}, item(3), item(4))
    assert [one.seq for one in events[1:]] == [4]


@pytest.mark.parametrize("again", [{"epoch": "e2", "seq": 9}, {"epoch": "e1", "seq": 2}])
def test_another_log_or_an_earlier_state_of_it_is_heard_from_its_beginning(again):
    client = opened({**LOGGED, "seq": 5})
    told(client, item(5))
    client.hello()
    client.data_to_send()
    beyond = {"code": "error", "error": 204, "name": "bad_field", "text": "beyond the log"}
    events = told(client, beyond, {**WELCOME, **again, "gap": True}, item(1))
    assert events == [Opened("ana", True, "mind the log", True), Incoming("ben", "m1", 1, TS)]
    assert sent(client)[-1] == {"code": "received", "upto": 1}


def test_a_first_hello_that_cannot_be_used_is_a_refusal():
    client = Client("ana")
    client.hello()
    error = {"code": "error", "error": 204, "name": "bad_field", "text": "no"}
    assert told(client, error) == [Refused(Error(204, "bad_field", "no"))]


def test_a_look_is_told_with_its_place():
    client = opened(LOGGED)
    client.read(7, peer="ben")
    client.read(8, group="team")
    assert sent(client) == [
        {"code": "read", "upto": 7, "with": "ben"},
        {"code": "read", "upto": 8, "group": "team"},
    ]


def test_a_look_while_the_link_is_down_is_told_in_the_next_session_once():
    client = opened(LOGGED)
    client.opened = False
    client.read(7, peer="ben")
    client.read(9, peer="ben")
    client.hello()
    assert [message["code"] for message in sent(client)] == ["hello"]
    told(client, {**LOGGED, "seq": 9})
    assert sent(client)[1:] == [{"code": "read", "upto": 9, "with": "ben"}]
    client.hello()
    sent(client)
    told(client, LOGGED | {"seq": 9})
    assert "read" not in {message["code"] for message in sent(client)}


def test_a_receipt_is_an_event():
    receipt = {"code": "receipt", "by": "ben", "delivered": 3, "with": "ben", "read": 2}
    assert told(opened(LOGGED), receipt) == [Receipt("ben", 3, "ben", None, 2)]


@pytest.mark.parametrize(
    ("events", "groups"),
    [
        ([event("created", "crew", 1)], ("team", "crew")),
        ([event("added", "team", 1, names=["cleo"])], ("team",)),
        ([event("added", "crew", 1, names=["ana"])], ("team", "crew")),
        ([event("removed", "team", 1, names=["cleo"])], ("team",)),
        ([event("removed", "team", 1, names=["cleo", "ana"])], ()),
        ([event("renamed", "team", 1, to="crew")], ("crew",)),
        ([event("left", "team", 1, names=["ben"])], ("team",)),
        ([event("owner", "team", 1, to="ana")], ("team",)),
        ([event("deleted", "team", 1)], ()),
        ([event("deleted", "other", 1)], ("team",)),
        ([event("renamed", "team", 1, to="crew"), event("deleted", "crew", 2)], ()),
    ],
)
def test_which_groups_we_are_in_follows_the_events(events, groups):
    client = member("team")
    told(client, *events)
    assert client.groups == groups


GROUP_ANSWERS = [
    (Group("create", "crew"), [row("crew")], ("team", "crew")),
    (Group("info", "TEAM"), [row("team")], ("team",)),
    (Group("rename", "TEAM", to="Crew"), [row("Crew")], ("Crew",)),
    (Group("rename", "team", to="Team"), [row("Team")], ("Team",)),
    (Group("leave", "Team"), [], ()),
    (Group("delete", "TEAM"), [], ()),
    (Group("list"), [row("crew")], ("crew",)),
    (Group("add", "team", ["zoe"]), [row("team")], ("team",)),
]


@pytest.mark.parametrize(("request_", "rows", "groups"), GROUP_ANSWERS)
def test_which_groups_we_are_in_follows_the_answers(request_, rows, groups):
    client = member("team")
    (answered,) = asked(client, request_, {"code": "group_info", "groups": rows})
    assert answered.request == request_
    assert client.groups == groups


def test_a_refused_change_of_a_group_changes_nothing():
    client = member("team")
    refusal = {"code": "error", "error": 403, "name": "not_owner", "text": "no"}
    (answered,) = asked(client, Group("delete", "team"), refusal)
    assert answered.reply.error == 403
    assert client.groups == ("team",)


def test_the_groups_are_asked_for_at_every_log_in_and_nobody_hears_of_it():
    client = Client("ana")
    client.hello()
    sent(client)
    told(client, LOGGED)
    assert sent(client) == [{"code": "group", "op": "list", "id": "groups"}]
    assert told(client, {"code": "group_info", "groups": [row("team")], "re": "groups"}) == []
    assert client.unanswered == 0


def test_a_server_without_groups_says_so_and_nobody_hears_of_it():
    client = opened()
    unknown = {"code": "error", "error": 202, "name": "unknown_code", "text": "no", "re": "groups"}
    assert told(client, unknown) == []
    assert client.groups == ()


def test_a_page_answers_a_history():
    client = opened(LOGGED)
    page = {"code": "items", "items": [{**item(1), "to": "cleo"}], "more": True}
    (answered,) = asked(client, History(peer="ben"), page)
    assert answered.reply.items == [Incoming("ben", "m1", 1, TS, to="cleo")]
    assert sent(client)[-1]["code"] == "history"  # what is looked up again is not confirmed


def test_what_was_typed_before_goes_out_under_its_first_id():
    client = opened()
    assert client.send(Outgoing("ben", "hi"), "old-1") == "old-1"
    assert sent(client) == [{"code": "outgoing", "to": "ben", "content": "hi", "id": "old-1"}]
    assert client.pending == {"old-1": Outgoing("ben", "hi")}


def test_half_a_character_is_refused_before_anything_is_sent():
    client = opened()
    with pytest.raises(UnicodeEncodeError):
        client.send(Outgoing("ben", "\udc80"))
    assert client.unanswered == 0


S3_LACKS = [Group("list"), History(all=True), Set(receipts=False), OutgoingGroup("team", "x")]


@pytest.mark.parametrize("request_", S3_LACKS)
def test_a_server_of_s3_is_not_bothered_with_what_it_cannot_do(request_):
    client = opened(PLAIN_WELCOME)
    client.send(request_)
    client.read(3, peer="ben")
    assert [one.reply.text for one in client.events()] == [
        "This server does not know how to do that."
    ]


# --- total ---


@given(st.lists(st.binary(max_size=80), max_size=8), st.booleans())
def test_no_bytes_of_a_server_raise(chunks, welcomed):
    client = opened() if welcomed else Client("ana")
    client.send(Who())
    for chunk in chunks:
        client.receive(chunk)
    client.events()


CODES = st.sampled_from(
    [
        *("welcome", "users", "incoming", "incoming_group", "ack", "receipt", "seen", "group_info"),
        *("group_event", "items", "notice", "ok", "error", "bye", "ping", "pong"),
    ]
)
LISTS = st.lists(st.text(max_size=3), max_size=3)
FIELDS = ["re", "users", "text", "kind", "n", "seq", "epoch", "group", "groups", "items", "by"]
VALUES = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | LISTS


@given(st.lists(st.dictionaries(st.sampled_from(FIELDS), VALUES)), CODES)
def test_no_fields_of_a_server_raise(messages, code):
    client = opened()
    client.send(Who())
    told(client, *({"code": code, **message} for message in messages))


def test_what_is_too_long_for_any_server_is_refused_here_and_answered():
    client = opened()
    key = client.send(Outgoing("ben", "x" * 70_000))
    assert sent(client) == []
    (event,) = client.events()
    assert (event.id, event.reply.error) == (key, 304)
    assert client.unanswered == 0
