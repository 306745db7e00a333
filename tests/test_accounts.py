"""Who is known, by which names."""

import pytest
from msgspec import structs

from chatd.core.accounts import Accounts
from chatd.core.effects import Account
from chatd.wire.errors import ErrorCode, PeerError

ANN = Account(1, "Ann", "ann", "ann")
BOB = Account(2, "Robert", "robert", "bob", password="x")


def test_an_account_is_found_by_its_shown_name_and_by_the_one_of_logging_in():
    accounts = Accounts([ANN, BOB])
    assert accounts.named("robert") == accounts.named("bob") == accounts.numbered(2) == BOB
    assert "bob" in accounts
    assert list(accounts.everybody()) == [ANN, BOB]


def test_names_are_found_however_they_are_written():
    accounts = Accounts([ANN])
    assert accounts.find("ANN") == accounts.find("ａｎｎ") == ANN


@pytest.mark.parametrize("name", ["zoe", "", "*", "\x00", "a" * 2000])
def test_whoever_is_not_known_is_named_in_the_error(name):
    with pytest.raises(PeerError) as wrong:
        Accounts([ANN]).find(name)
    assert wrong.value.code is ErrorCode.NO_SUCH_USER
    assert wrong.value.details["to"] == name


def test_a_changed_account_is_known_by_its_new_names_alone():
    accounts = Accounts([ANN])
    accounts.know(structs.replace(ANN, name="Anna", key="anna", login="anna"))
    assert accounts.named("ann") is None
    assert accounts.find("anna").number == 1
    assert len(accounts.everybody()) == 1


def test_a_forgotten_account_has_no_name_and_no_number():
    accounts = Accounts([BOB])
    accounts.forget(2)
    accounts.forget(2)
    assert (accounts.named("bob"), accounts.named("robert"), accounts.numbered(2)) == (None,) * 3
