"""From `hello` to an open session, with time as a number."""

import pytest
from bench import Bench

from chatd.core.effects import Account, Failed
from chatd.core.limits import Limits
from chatd.wire.errors import ErrorCode
from chatd.wire.messages import (
    Bye,
    Error,
    Hello,
    Newname,
    Notice,
    Ok,
    Outgoing,
    Ping,
    Pong,
    Quit,
    Register,
    Users,
    Welcome,
    Who,
)

ANN = Account(1, "Ann", "ann", "ann", "secret", filed=True)
BOB = Account(2, "Bob", "bob", "bob", "hidden", filed=True)
E = ErrorCode


def hello(bench: Bench, *, address="10.0.0.1", v=1, **fields) -> tuple[int, list]:
    conn = bench.connect(address)
    return conn, bench.say(conn, Hello(v=v, **fields))


def refusal(bench: Bench, **fields) -> ErrorCode:
    """The one fatal error of a hello that is refused."""
    conn, (error,) = hello(bench, **fields)
    assert isinstance(error, Error)
    assert error.fatal
    assert conn in bench.closed
    assert conn not in bench.opened
    return ErrorCode(error.error)


def names(bench: Bench, conn: int) -> list[str]:
    (users,) = bench.say(conn, Who())
    assert isinstance(users, Users)
    return users.users


# --- names ----------------------------------------------------------------------------------------


def test_a_hello_with_a_name_opens_a_session_under_it():
    bench = Bench()
    conn, (welcome,) = hello(bench, name="Ann")
    assert isinstance(welcome, Welcome)
    assert (welcome.v, welcome.name, welcome.resumed) == (1, "Ann", False)
    assert welcome.token
    assert welcome.epoch == bench.store.epoch
    assert names(bench, conn) == ["Ann"]


def test_a_version_above_ours_is_answered_by_ours_and_one_below_is_refused():
    bench = Bench()
    _, (welcome,) = hello(bench, name="Ann", v=99)
    assert welcome.v == 1
    assert refusal(bench, name="Bob", v=0) is E.BAD_VERSION


@pytest.mark.parametrize("name", ["*", "server", "a|b", "", "x" * 33, "/x"])
def test_what_is_no_name_is_refused(name: str):
    assert refusal(Bench(), name=name) is E.BAD_NAME


def test_others_are_told_who_has_joined_and_who_has_not():
    bench = Bench()
    ann = bench.join("Ann")
    hello(bench, name="Bob")
    (notice,) = bench.got(ann)
    assert (notice.kind, notice.name, notice.text) == ("joined", "Bob", "Bob has joined.")
    assert refusal(bench, name="*") is E.BAD_NAME
    assert refusal(bench, name="BOB") is E.ALREADY_LOGGED_IN
    assert bench.settle(ann) == []


def test_a_plain_hello_sees_nothing_but_welcome():
    bench = Bench()
    conn = bench.connect()
    assert bench.say(conn, Hello(name="Ann")) == [Welcome()]
    assert bench.opened == {conn: True}


# --- names given by the server --------------------------------------------------------------------


def test_the_unnamed_get_the_smallest_free_numbers():
    bench = Bench()
    conns = [bench.join(address=f"10.0.0.{n}") for n in range(1, 4)]
    assert names(bench, conns[0]) == ["client1", "client2", "client3"]
    bench.say(conns[1], Quit())
    bench.join(address="10.0.0.9")
    assert names(bench, conns[0]) == ["client1", "client3", "client2"]


def test_a_returning_address_gets_its_number_back_where_it_is_free():
    bench = Bench()
    conns = [bench.join(address=f"10.0.0.{n}") for n in range(1, 4)]
    bench.say(conns[1], Quit())
    bench.say(conns[2], Quit())
    bench.join(address="10.0.0.3")
    assert names(bench, conns[0]) == ["client1", "client3"]
    bench.join(address="10.0.0.7")
    bench.join(address="10.0.0.2")  # its number is somebody else's now
    assert names(bench, conns[0]) == ["client1", "client3", "client2", "client4"]


def test_fifty_unnamed_of_one_address_get_fifty_names():
    bench = Bench()
    conns = [bench.join() for _ in range(50)]
    assert len(set(names(bench, conns[0]))) == 50


def test_a_given_name_is_never_one_that_somebody_has_chosen_or_registered():
    bench = Bench([Account(1, "Client2", "client2", "client2", "pw")])
    first = bench.join("CLIENT1")
    bench.join()
    assert names(bench, first) == ["CLIENT1", "client3"]
    bench.say(first, Quit())
    second = bench.join()
    assert "client1" not in names(bench, second), "who chose it may come back"


def test_the_pattern_of_given_names_is_the_operators():
    bench = Bench(guest_name="User {n}")
    assert names(bench, bench.join()) == ["User 1"]


def test_a_given_name_stays_taken_when_its_session_is_taken_over():
    bench = Bench()
    conn, (welcome,) = hello(bench)
    again, (first, *_) = hello(bench, name="client1", token=welcome.token)
    assert first.resumed
    assert conn in bench.closed
    third, _ = hello(bench)
    assert names(bench, third) == ["client1", "client2"]
    assert again not in bench.closed


# --- 103 and taking over --------------------------------------------------------------------------


def test_a_second_session_of_a_name_is_refused_and_the_first_is_undisturbed():
    bench = Bench()
    first = bench.join("Ann", plain=True)
    conn = bench.connect()
    (error,) = bench.say(conn, Hello(name="aNN"))
    assert (error.error, error.text) == (103, "Ann already has an open session.")
    assert error.retry_after == 3.0
    assert conn in bench.closed
    assert names(bench, first) == ["Ann"]


def test_the_holder_of_a_wanted_name_is_asked_and_stays_when_it_answers():
    bench = Bench()
    ann = bench.join("Ann")
    bench.wait(20)  # long silent, as people are
    assert refusal(bench, name="Ann") is E.ALREADY_LOGGED_IN
    assert bench.probed == [ann]
    assert bench.got(ann) == [Ping()]
    bench.wait(2)
    bench.say(ann, Pong())
    bench.wait(5)
    assert ann not in bench.closed


def test_a_holder_that_answers_at_once_stays_however_often_it_is_asked():
    bench = Bench()
    ann = bench.join("Ann")
    for _ in range(3):
        assert refusal(bench, name="Ann") is E.ALREADY_LOGGED_IN
        bench.say(ann, Pong())
        bench.wait(1.5)
    bench.wait(10)
    assert ann not in bench.closed


def test_asking_again_gives_a_silent_holder_no_more_time():
    bench = Bench()
    ann = bench.join("Ann")
    refusal(bench, name="Ann")
    bench.wait(2)
    refusal(bench, name="Ann")
    assert bench.probed == [ann]
    bench.wait(1.1)
    assert ann in bench.closed


def test_the_holder_of_a_wanted_name_is_dropped_when_it_does_not_answer():
    bench = Bench()
    ann, ben = bench.join("Ann"), bench.join("Ben")
    bench.wait(20)
    assert refusal(bench, name="Ann") is E.ALREADY_LOGGED_IN
    bench.wait(2.9)
    assert ann not in bench.closed
    bench.wait(0.2)
    assert ann in bench.closed
    assert [n.text for n in bench.settle(ben) if isinstance(n, Notice)] == [
        "Ann has lost its connection."
    ]
    bench.join("Ann")


def test_a_plain_holder_is_left_to_the_kernel():
    bench = Bench()
    ann = bench.join("Ann", plain=True)
    bench.wait(20)
    assert refusal(bench, name="Ann") is E.ALREADY_LOGGED_IN
    bench.wait(10)
    assert bench.probed == [ann]
    assert ann not in bench.closed


def test_the_token_takes_the_session_over_and_nobody_else_notices():
    bench = Bench()
    conn, (welcome,) = hello(bench, name="Ann")
    ben = bench.join("Ben")
    bench.got(conn)
    again, (resumed,) = hello(bench, name="Ann", token=welcome.token)
    assert resumed.resumed
    assert resumed.token == welcome.token
    (bye,) = bench.got(conn)
    assert isinstance(bye, Bye)
    assert bye.reason == "replaced"
    assert conn in bench.closed
    assert bench.settle(ben) == []
    assert names(bench, again).count("Ann") == 1


def test_an_unknown_token_is_told_and_opens_a_fresh_session():
    bench = Bench()
    _, (error, welcome, *_) = hello(bench, name="Ann", token="nonsense")
    assert (error.error, error.fatal) == (E.BAD_TOKEN, False)
    assert not welcome.resumed


def test_what_the_store_keeps_of_a_token_opens_nothing():
    bench = Bench()
    _, welcome, _ = bench.enter("ann")
    (kept,) = bench.store.accounts()
    assert welcome.token not in str(kept)
    _, (error, *_) = hello(bench, name="ann", token=kept.token)
    assert error.error == E.BAD_TOKEN


def test_the_token_of_another_name_takes_nothing_over():
    bench = Bench()
    bench.join("Ann")
    _, (welcome,) = hello(bench, name="Ben")
    conn, (*_, error) = hello(bench, name="Ann", token=welcome.token)
    assert error.error == E.ALREADY_LOGGED_IN
    assert conn in bench.closed


def test_an_unknown_token_without_a_session_in_the_way_still_needs_the_password():
    bench = Bench([ANN], closed=True)
    conn, frames = hello(bench, name="Ann", token="nonsense")
    assert frames[-1].error == E.PASSWORD_REQUIRED
    assert conn in bench.closed


# --- passwords ------------------------------------------------------------------------------------


def test_a_protected_name_needs_its_password():
    bench = Bench([ANN], closed=True)
    assert refusal(bench, name="Ann") is E.PASSWORD_REQUIRED
    _, (welcome,) = hello(bench, name="ann", password="secret")
    assert welcome.name == "Ann"


def test_unknown_user_and_wrong_password_are_one_answer():
    bench = Bench([ANN], closed=True)
    _, (wrong,) = hello(bench, name="Ann", password="guess")
    _, (unknown,) = hello(bench, name="Zoe", password="guess")
    assert wrong == unknown
    assert (wrong.error, wrong.text) == (101, "Unknown user or wrong password.")


def test_both_take_the_work_of_comparing():
    bench = Bench([ANN], closed=True, checks=False)
    for name in ("Ann", "Zoe"):
        hello(bench, name=name, password="guess")
    assert len(bench._work) == 2
    assert bench._work[1].stored is None


def test_a_closed_server_lets_no_unknown_or_unnamed_in_unless_for_guests():
    closed, open_ = Bench([ANN], closed=True), Bench([ANN], closed=True, guests=True)
    assert refusal(closed, name="Zoe") is E.PASSWORD_REQUIRED
    assert refusal(closed) is E.BAD_LOGIN
    open_.join("Zoe")
    open_.join()
    assert refusal(open_, name="Ann") is E.PASSWORD_REQUIRED


def test_who_was_removed_from_the_password_file_is_unknown_to_a_closed_server():
    bench = Bench([ANN, BOB], closed=True)
    bench.say(bench.join("Ann", password="secret"), Quit())
    after_restart = Bench([BOB], closed=True, store=bench.store)
    assert refusal(after_restart, name="Ann") is E.PASSWORD_REQUIRED
    assert refusal(after_restart, name="Ann", password="secret") is E.BAD_LOGIN
    assert refusal(after_restart, name="Ann", password="") is E.BAD_LOGIN


def test_the_password_takes_an_open_session_over():
    bench = Bench([ANN], closed=True)
    first = bench.join("Ann", password="secret")
    second, (welcome, *_) = hello(bench, name="Ann", password="secret")
    assert welcome.name == "Ann"
    assert bench.got(first)[-1].reason == "replaced"
    assert first in bench.closed
    assert second not in bench.closed


def test_without_a_password_an_open_session_is_103_even_where_the_name_is_protected():
    bench = Bench([ANN], closed=True)
    first = bench.join("Ann", password="secret")
    assert refusal(bench, name="Ann") is E.ALREADY_LOGGED_IN
    assert refusal(bench, name="Ann", password="guess") is E.BAD_LOGIN
    assert first not in bench.closed


def test_requests_behind_a_hello_wait_for_the_password():
    bench = Bench([ANN], closed=True, checks=False)
    conn = bench.connect()
    assert bench.say(conn, Hello(name="Ann", v=1, password="secret"), Who(), Ping(n=1)) == []
    bench.check()
    bench.commit()
    welcome, users, pong = bench.got(conn)
    assert isinstance(welcome, Welcome)
    assert users == Users(["Ann"])
    assert pong == Pong(n=1)


@pytest.mark.parametrize("good", ["secret", "guess"])
def test_whoever_leaves_while_the_password_is_compared_has_left(good: str):
    bench = Bench([ANN, BOB], closed=True, checks=False)
    conn = bench.connect()
    bench.say(conn, Hello(name="Ann", v=1, password=good))
    bench.lose(conn, "reset")
    bench.check()
    bench.checks = True
    assert conn in bench.closed
    assert names(bench, bench.join("Bob", password="hidden")) == ["Bob"]


def test_whoever_asks_too_much_while_the_password_is_compared_gets_no_session():
    bench = Bench([ANN], closed=True, checks=False, limits=Limits(inbox=10))
    conn = bench.connect()
    bench.say(conn, Hello(name="Ann", v=1, password="secret"))
    bench.say(conn, *[Who()] * 11)
    assert conn in bench.closed
    bench.check()
    assert conn not in bench.opened


def test_a_shutdown_while_a_password_is_compared_opens_no_session():
    bench = Bench([ANN], closed=True, checks=False)
    conn = bench.connect()
    bench.say(conn, Hello(name="Ann", v=1, password="secret"))
    bench.run(bench.hub.shut_down("test", bench.now))
    (error,) = bench.got(conn)
    assert error.error == E.SHUTTING_DOWN
    bench.check()
    assert conn not in bench.opened


# --- guessing -------------------------------------------------------------------------------------


def test_after_a_few_failures_an_address_has_to_wait():
    bench = Bench([ANN], closed=True, limits=Limits(tries=3, tries_within=60.0))
    for _ in range(3):
        assert refusal(bench, name="Ann", password="guess") is E.BAD_LOGIN
    conn, (error,) = hello(bench, name="Ann", password="secret")
    assert error.error == E.TOO_MANY_TRIES
    assert error.retry_after == 60
    assert conn in bench.closed
    bench.wait(30.5)
    _, (error,) = hello(bench, name="Ann", password="secret")
    assert error.retry_after == 30
    bench.wait(30)
    bench.join("Ann", password="secret")


def test_others_behind_other_addresses_do_not_wait():
    bench = Bench([ANN, BOB], closed=True, limits=Limits(tries=1))
    assert refusal(bench, name="Ann", password="guess") is E.BAD_LOGIN
    bench.join("Bob", address="10.9.9.9", password="hidden")


def test_who_offers_no_password_guesses_none_and_does_not_wait():
    bench = Bench([ANN], closed=True, guests=True, limits=Limits(tries=1))
    assert refusal(bench, name="Ann", password="guess") is E.BAD_LOGIN
    bench.join("Zoe")


def test_guesses_over_many_connections_at_once_are_no_faster():
    bench = Bench([ANN], closed=True, checks=False, limits=Limits(tries=3))
    conns = [bench.connect() for _ in range(20)]
    for conn in conns[:-1]:
        bench.run(bench.hub.received(conn, [Hello(name="Ann", v=1, password="guess")], bench.now))
    bench.run(bench.hub.received(conns[-1], [Hello(name="Ann", v=1, password="secret")], bench.now))
    assert len(bench._work) == 3, "and no more passwords are compared"
    bench.check()
    answers = [bench.got(conn)[0] for conn in conns]
    assert [a.error for a in answers] == [101] * 3 + [107] * 17


def test_names_are_not_guessed_faster_by_asking_for_all_of_them_at_once():
    users = [Account(n, f"user{n}", f"user{n}", f"user{n}", "pw") for n in range(1, 31)]
    bench = Bench(users, closed=True, checks=False, limits=Limits(address_tries=10))
    conns = [bench.connect() for _ in users]
    for conn, user in zip(conns, users, strict=True):
        bench.say(conn, Hello(name=user.name, v=1, password="guess"))
    bench.check()
    assert [bench.got(conn)[0].error for conn in conns] == [101] * 10 + [107] * 20


def test_who_guesses_a_name_keeps_the_others_of_its_address_from_nothing():
    bench = Bench([ANN, BOB], closed=True, limits=Limits(tries=1))
    assert refusal(bench, name="Ann", password="guess") is E.BAD_LOGIN
    assert refusal(bench, name="Ann", password="secret") is E.TOO_MANY_TRIES
    bench.join("Bob", password="hidden")
    bench.join("Ann", address="10.9.9.9", password="secret")


def test_many_right_passwords_of_one_address_at_once_are_all_let_in():
    users = [Account(n, f"user{n}", f"user{n}", f"user{n}", "pw") for n in range(1, 31)]
    bench = Bench(users, closed=True, checks=False)
    conns = [bench.connect() for _ in users]
    for conn, user in zip(conns, users, strict=True):
        bench.say(conn, Hello(name=user.name, v=1, password="pw"))
    bench.check()
    assert set(bench.opened) == set(conns)


# --- the file again -------------------------------------------------------------------------------


def reload(bench: Bench, *accounts: Account):
    bench.run(bench.hub.replace_passwords(accounts, bench.now))
    bench.commit()


def test_a_new_password_holds_from_the_reload_on_even_for_who_is_logged_in():
    bench = Bench([ANN, BOB], closed=True)
    conn = bench.join("Ann", password="secret")
    reload(bench, Account(1, "Ann", "ann", "ann", "fresh", filed=True), BOB)
    bench.say(conn, Quit())
    assert refusal(bench, name="Ann", password="secret") is E.BAD_LOGIN
    bench.join("Ann", password="fresh")


def test_who_is_no_longer_in_the_file_cannot_come_back():
    bench = Bench([ANN, BOB], closed=True)
    conn = bench.join("Ann", password="secret")
    reload(bench, BOB)
    assert conn not in bench.closed
    bench.say(conn, Quit())
    assert refusal(bench, name="Ann", password="secret") is E.BAD_LOGIN
    bench.join("Bob", password="hidden")


def test_a_password_of_the_file_is_not_kept_in_the_store():
    bench = Bench([ANN], closed=True)
    bench.say(bench.join("Ann", password="secret"), Quit())
    assert [one.password for one in bench.store.accounts()] == [None]


# --- register and newname (C24) -------------------------------------------------------------------


def test_a_registered_name_needs_its_password_from_then_on():
    bench = Bench()
    ann = bench.join("Ann")
    assert bench.say(ann, Register("mine", id="r1")) == [Ok("r1")]
    bench.say(ann, Quit())
    assert refusal(bench, name="Ann") is E.PASSWORD_REQUIRED
    assert refusal(bench, name="Ann", password="guess") is E.BAD_LOGIN
    bench.join("Ann", password="mine")


def test_a_registered_name_is_protected_after_a_restart_too():
    bench = Bench()
    bench.say(bench.join("Ann"), Register("mine"))
    again = Bench(store=bench.store)
    assert refusal(again, name="Ann") is E.PASSWORD_REQUIRED
    again.join("Ann", password="mine")


def test_a_given_name_that_is_registered_is_kept():
    bench = Bench()
    guest = bench.join()
    assert bench.say(guest, Register("mine", id="r")) == [Ok("r")]
    bench.say(guest, Quit())
    assert names(bench, bench.join()) == ["client2"]
    bench.join("client1", password="mine")


def test_a_password_of_the_file_is_changed_in_the_file_alone():
    bench = Bench([ANN], closed=True)
    ann = bench.join("Ann", password="secret")
    (error,) = bench.say(ann, Register("mine", id="r"))
    assert (error.error, error.re) == (E.NOT_PERMITTED, "r")


def test_a_new_name_is_told_to_the_others_and_frees_the_old_one():
    bench = Bench()
    ann, ben = bench.join("Ann"), bench.join("Ben")
    assert bench.say(ann, Newname("Anna", id="n")) == [Ok("n")]
    (notice,) = bench.settle(ben)
    assert (notice.kind, notice.name, notice.new) == ("renamed", "Ann", "Anna")
    assert notice.text == "Ann is now known as Anna."
    assert names(bench, ben) == ["Anna", "Ben"]
    bench.join("Ann")


def test_a_message_to_the_new_name_arrives_and_one_to_the_old_does_not():
    bench = Bench()
    ann, ben = bench.join("Ann"), bench.join("Ben")
    bench.say(ann, Newname("Anna"))
    bench.got(ben)
    bench.say(ben, Outgoing("anna", "hi"))
    assert [m.content for m in bench.settle(ann)] == ["hi"]
    (error,) = bench.say(ben, Outgoing("Ann", "hi", id="x"))
    assert (error.error, error.re, error.to) == (E.NO_SUCH_USER, "x", "Ann")
    assert error.text == 'User "Ann" is not connected to the server.'


@pytest.mark.parametrize("wanted", ["Ben", "BEN", "Off", "client1"])
def test_a_name_that_somebody_has_is_not_taken(wanted: str):
    bench = Bench([Account(7, "Off", "off", "off", "pw")])
    ann = bench.join("Ann")
    bench.join("Ben")
    bench.join()
    (error,) = bench.say(ann, Newname(wanted, id="n"))
    assert (error.error, error.re, error.fatal) == (E.NAME_TAKEN, "n", False)
    assert names(bench, ann)[0] == "Ann"


def test_a_bad_new_name_changes_nothing_and_closes_nothing():
    bench = Bench()
    ann = bench.join("Ann")
    (error,) = bench.say(ann, Newname("*", id="n"))
    assert (error.error, error.fatal) == (E.BAD_NAME, False)
    assert names(bench, ann) == ["Ann"]


def test_ones_own_name_may_be_spelled_anew():
    bench = Bench()
    ann = bench.join("ann")
    assert bench.say(ann, Newname("ANN", id="n")) == [Ok("n")]
    assert names(bench, ann) == ["ANN"]


def test_a_renamed_account_is_logged_in_to_under_its_first_name():
    bench = Bench([ANN, BOB], closed=True)
    ann = bench.join("Ann", password="secret")
    bench.say(ann, Newname("Anna"))
    bench.say(ann, Quit())
    again = bench.join("Ann", password="secret")
    assert names(bench, again) == ["Anna"]
    bob = bench.join("Bob", password="hidden")
    (error,) = bench.say(bob, Newname("Ann", id="n"))
    assert error.error == E.NAME_TAKEN, "it is still a name to log in with"


def test_a_new_name_that_cannot_be_kept_is_not_taken():
    bench = Bench()
    ann, ben = bench.join("Ann"), bench.join("Ben")
    bench.answers = False
    assert bench.say(ann, Newname("Anna", id="n")) == []
    (submitted,) = bench.store.completions()
    bench.run(bench.hub.completed(Failed(submitted.ticket, E.STORAGE_FULL), bench.now))
    bench.answers = True
    bench.commit()
    (error,) = bench.got(ann)
    assert (error.error, error.re) == (E.STORAGE_FULL, "n")
    assert names(bench, ben) == ["Ann", "Ben"]


# --- who says nothing -----------------------------------------------------------------------------


def test_a_connection_that_says_nothing_is_closed_after_a_while():
    bench = Bench()
    conn = bench.connect()
    bench.wait(29.9)
    assert conn not in bench.closed
    bench.wait(0.2)
    (error,) = bench.got(conn)
    assert (error.error, error.fatal) == (E.HELLO_TIMEOUT, True)
    assert conn in bench.closed


def test_a_hello_of_one_byte_a_second_is_in_time():
    bench = Bench()
    conn = bench.connect()
    for _ in range(60):
        bench.wait(1)
        assert bench.say(conn) == []  # something came that is no object yet
    (welcome,) = bench.say(conn, Hello(name="slow", v=1))
    assert welcome.name == "slow"


def test_a_hello_that_never_ends_is_closed_all_the_same():
    bench = Bench()
    conn = bench.connect()
    for _ in range(125):
        bench.wait(1)
        bench.say(conn)
    assert conn in bench.closed


def test_whoever_has_said_hello_is_not_late():
    bench = Bench()
    conn = bench.join("Ann", plain=True)
    bench.wait(1000)
    assert conn not in bench.closed
