"""How far everybody is: forward only, stored once, and never lost to a refused store."""

from chatd.core.effects import Account, Cursor, MoveCursors
from chatd.core.positions import Positions

ANN, BOB, TEAM = 1, 2, 9
ACCOUNTS = [Account(ANN, "ann", "ann", "ann", received=5)]


def test_positions_begin_where_they_were_kept():
    positions = Positions(ACCOUNTS, [Cursor(ANN, BOB, 4, 3, 100)])
    assert positions.begin(ANN, 77) == 5
    assert positions.cursor(ANN, BOB) == Cursor(ANN, BOB, 4, 3, 100)
    assert positions.take_moves() is None


def test_an_account_without_a_position_begins_at_the_present():
    positions = Positions([], [])
    assert positions.begin(BOB, 77) == 77
    assert positions.begin(BOB, 99) == 77
    assert positions.cursor(BOB, ANN) == Cursor(BOB, ANN)


def test_positions_only_move_forward():
    positions = Positions(ACCOUNTS, [])
    positions.received(ANN, 4)
    positions.move(ANN, BOB, [BOB], 100, delivered=7, read=6)
    positions.move(ANN, BOB, [BOB], 200, delivered=3, read=2)
    assert positions.begin(ANN, 0) == 5
    assert positions.cursor(ANN, BOB) == Cursor(ANN, BOB, 7, 6, 200)


def test_what_has_moved_is_taken_once_with_those_who_want_to_know():
    positions = Positions(ACCOUNTS, [])
    positions.received(ANN, 8)
    positions.move(ANN, BOB, [BOB], 100, delivered=8)
    positions.move(ANN, TEAM, [BOB, 3], 100, delivered=7)
    taken = positions.take_moves()
    assert taken is not None
    moves, to_tell = taken
    assert moves == MoveCursors(
        {ANN: 8}, [Cursor(ANN, BOB, 8, 0, 100), Cursor(ANN, TEAM, 7, 0, 100)]
    )
    assert to_tell == {(ANN, BOB): {BOB}, (ANN, TEAM): {BOB, 3}}
    assert positions.take_moves() is None


def test_what_could_not_be_stored_is_taken_again_but_never_before_what_is_newer():
    positions = Positions(ACCOUNTS, [])
    positions.received(ANN, 8)
    positions.move(ANN, BOB, [BOB], 100, delivered=8)
    positions.move(ANN, TEAM, [3], 100, delivered=7)
    refused = positions.take_moves()
    assert refused is not None
    positions.received(ANN, 9)
    positions.move(ANN, BOB, [4], 200, delivered=9)
    positions.put_back(*refused)
    assert positions.take_moves() == (
        MoveCursors({ANN: 9}, [Cursor(ANN, BOB, 9, 0, 200), Cursor(ANN, TEAM, 7, 0, 100)]),
        {(ANN, BOB): {BOB, 4}, (ANN, TEAM): {3}},
    )


def test_everybody_in_a_conversation_is_found_by_it():
    positions = Positions([], [Cursor(ANN, TEAM, 1), Cursor(BOB, TEAM, 2), Cursor(BOB, ANN, 3)])
    assert sorted(one.account for one in positions.of_conversation(TEAM)) == [ANN, BOB]
    assert list(positions.of_conversation(77)) == []
