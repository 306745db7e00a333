"""Which records of the stream are true: the same rules on every node, so the same answer.

Time, the network and the copy are elsewhere: what is decided here follows from the records alone,
and from their order. Change behind somebody's back is found by `base`: a record that was decided
before the group or account it changes was changed by another node is not true.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

from msgspec import structs

from chatd.cluster.records import (
    Arrive,
    Dead,
    Entering,
    Fencing,
    Forget,
    Leaving,
    Moving,
    Ordering,
    Put,
    Record,
    Said,
    Settings,
    account_of,
)
from chatd.core.effects import Account, Group, PutGroup


class Ruling(Enum):
    """What a record is."""

    TRUE = "true"
    LATE = "late"  # it has come before, or is of somebody dead
    EARLY = "early"  # what stood before it was lost: it will come again
    OUTRUN = "outrun"  # somebody else was first


@dataclass(slots=True)
class Node:
    """One daemon, for one life of it."""

    arrived: int  # place in the stream, as all of these
    settings: Settings
    where: str
    newest: int
    messages: int = 0  # the number of its newest message
    others: int = 0  # ... and of its newest other record


class Holder(NamedTuple):
    """Who has an account in use."""

    origin: str
    claim: int  # the place of the record that said so
    since: int  # milliseconds since 1970
    plain: bool


@dataclass
class Book:
    """Everything the rules ask for."""

    place: int = 0  # of the newest record read
    ts: int = 0  # ... and when it was stored, in milliseconds since 1970
    buried: Node | None = None  # the node that was buried last; None where there was none
    # Who had a session on it.
    released: list[tuple[Account, Holder]] = field(default_factory=list)
    forgotten: int = 0  # messages up to there are gone
    nodes: dict[str, Node] = field(default_factory=dict)
    accounts: dict[int, Account] = field(default_factory=dict)
    groups: dict[int, Group] = field(default_factory=dict)
    holders: dict[int, Holder] = field(default_factory=dict)
    names: dict[str, int] = field(default_factory=dict)  # folded, to account or group
    changed: dict[int, tuple[int, str]] = field(default_factory=dict)  # to place and origin
    # Accounts to the places of their records, and whether a later one may replace each.
    _trails: dict[int, dict[int, bool]] = field(default_factory=dict)
    _plain_update: int = 0  # the newest record of an account that changed no name

    def rule(self, place: int, record: Record, ts: int = 0) -> Ruling:
        """Read one more record, stored at `ts` (milliseconds since 1970).

        What it says has happened if it is true.
        """
        self.place, self.ts = place, ts
        node = self.nodes.get(record.origin)
        if isinstance(record.what, Arrive):
            return self._arrive(place, record, record.what) if node is None else Ruling.LATE
        if node is None:
            return Ruling.LATE
        numbering = _message if record.is_message else _other
        ruling = numbering(node, record, self.forgotten)
        if ruling is Ruling.TRUE:
            ruling = RULES[type(record.what)](self, place, record)
            node.newest = place
        return ruling

    def _arrive(self, place: int, record: Record, what: Arrive) -> Ruling:
        self.nodes[record.origin] = Node(place, what.settings, what.where, place)
        self._bury(what.heir_of)
        return Ruling.TRUE

    # --- the rules ------------------------------------------------------------------------------

    def said(self, place: int, record: Record) -> Ruling:
        """An entry with changes: nobody has changed that group since, and its name is free."""
        changes = record.what.append.changes  # type: ignore[union-attr]
        touched = {_group_of(change) for change in changes}
        made = [change.group for change in changes if isinstance(change, PutGroup)]
        good = all(self._is_unchanged(number, record) for number in touched)
        if not good or not all(self._is_free(group.number, group.key) for group in made):
            return Ruling.OUTRUN
        for number in touched:
            self.changed[number] = place, record.origin
        for group in made:
            self._put_group(group)
        return Ruling.TRUE

    def put(self, place: int, record: Record) -> Ruling:
        """An account: nobody has changed it since, and its names are free."""
        account = account_of(record.what)
        assert account is not None
        if not self._may_have(account, record):
            return Ruling.OUTRUN
        self._put_account(account, place, record.origin)
        return Ruling.TRUE

    def entering(self, place: int, record: Record) -> Ruling:
        """A session: nobody has one, or whoever comes has proved to be the same."""
        enter = record.what.enter  # type: ignore[union-attr]
        account = enter.account
        held = account.number in self.holders and not enter.proved
        if held or not self._may_have(account, record):
            return Ruling.OUTRUN
        self._put_account(account, place, record.origin)
        self.holders[account.number] = Holder(record.origin, place, enter.since, enter.plain)
        return Ruling.TRUE

    def leaving(self, place: int, record: Record) -> Ruling:
        """The end of that session, not of a later one."""
        leave = record.what.leave  # type: ignore[union-attr]
        number = leave.account.number
        holder = self.holders.get(number)
        if holder is not None and holder.claim != leave.claim:
            return Ruling.LATE
        self.holders.pop(number, None)  # the record that claimed it may have been deleted since
        known = self.accounts.get(number)
        if known is None:
            return Ruling.LATE
        same = (known.key, known.login) == (leave.account.key, leave.account.login)
        if same and self._is_unchanged(number, record):
            self._put_account(leave.account, place, record.origin)
        else:  # somebody has changed it meanwhile: that holds, and only the time of leaving is new
            self._note_seen(number, leave.account.last_seen)
        if not leave.grace:
            self._forget_assigned(number)
        return Ruling.TRUE

    def dead(self, place: int, record: Record) -> Ruling:
        """A node is dead, if it has said nothing that its judge had not heard."""
        dead = record.what
        assert isinstance(dead, Dead)
        node = self.nodes.get(dead.node)
        # It has said something that its judge had not heard: it lives.
        if node is None or (node.newest > record.base and dead.node != record.origin):
            return Ruling.LATE
        self._bury(dead.node)
        return Ruling.TRUE

    def _bury(self, origin: str) -> None:
        """What it held is free, and whatever else comes from it is late."""
        self.buried = self.nodes.pop(origin, None)
        self.released = []
        for number in self.held_by(origin):
            holder = self.holders.pop(number)
            self._note_seen(number, self.ts)
            self.released.append((self.accounts[number], holder))
        for number in [one.number for one in self.accounts.values() if one.assigned]:
            if number not in self.holders and self.changed[number][1] == origin:
                self._forget_assigned(number)

    def forget(self, place: int, record: Record) -> Ruling:
        """Always true: it was decided by the time of one node, and holds for all."""
        assert isinstance(record.what, Forget)
        self.forgotten = max(self.forgotten, record.what.upto)
        return Ruling.TRUE

    def always(self, place: int, record: Record) -> Ruling:
        """What contradicts nothing."""
        return Ruling.TRUE

    # --- what they stand on ---------------------------------------------------------------------

    def held_by(self, origin: str) -> list[int]:
        """The accounts in use at a node."""
        return [number for number, holder in self.holders.items() if holder.origin == origin]

    def _is_unchanged(self, number: int, record: Record) -> bool:
        place, origin = self.changed.get(number, (0, record.origin))
        return place <= record.base or origin == record.origin

    def _is_free(self, number: int, *names: str) -> bool:
        return all(self.names.get(name, number) == number for name in names)

    def _may_have(self, account: Account, record: Record) -> bool:
        """Nobody else has changed it, nor has its names."""
        number = account.number
        return self._is_unchanged(number, record) and self._is_free(
            number, account.key, account.login
        )

    def _put_account(self, account: Account, place: int, origin: str) -> None:
        number = account.number
        before = self.accounts.get(number)
        names = (before.key, before.login) if before else ()
        self._free(number, *names)
        if names == (account.key, account.login):
            self._plain_update = place
        self.names[account.key] = self.names[account.login] = number
        self.accounts[number] = account
        self.changed[number] = place, origin

    def _note_seen(self, number: int, last_seen: int | None) -> None:
        account = self.accounts.get(number)
        if account:
            self.accounts[number] = structs.replace(account, last_seen=last_seen)

    def _put_group(self, group: Group) -> None:
        before = self.groups.get(group.number)
        self._free(group.number, *([before.key] if before else []))
        if not group.deleted:
            self.names[group.key] = group.number
        self.groups[group.number] = group

    def _free(self, number: int, *names: str) -> None:
        for name in names:
            if self.names.get(name) == number:
                del self.names[name]

    def _forget_assigned(self, number: int) -> None:
        """Nobody comes back to an assigned name."""
        account = self.accounts.get(number)
        if account and account.assigned:
            del self.accounts[number], self.changed[number]
            self._free(number, account.key, account.login)

    def superseded(self, place: int, record: Record) -> list[int]:
        """Places of records that say nothing any more since this one, which is true.

        Never of one that took a name or gave one up: whether others could have it follows from it.
        """
        account = account_of(record.what)
        if account is None:
            return []
        number = account.number
        trail = self._trails.setdefault(number, {})
        trail[place] = place == self._plain_update
        if number not in self.accounts:  # an assigned name, and nobody has it any more
            return list(self._trails.pop(number))
        whole = self.changed[number] == (place, record.origin)
        if not whole or not isinstance(record.what, Entering | Leaving):
            return []  # it does not say everything: whether the account is in use, for one
        gone = [one for one, replaceable in trail.items() if replaceable and one != place]
        for one in gone:
            del trail[one]
        return gone


def _message(node: Node, record: Record, forgotten: int) -> Ruling:
    """Strictly one after the other; what retention has taken from the beginning is not missed."""
    cut = node.messages == 0 and node.arrived <= forgotten
    if record.n <= node.messages:
        return Ruling.LATE
    if record.n > node.messages + 1 and not cut:
        return Ruling.EARLY
    node.messages = record.n
    return Ruling.TRUE


def _other(node: Node, record: Record, _: int) -> Ruling:
    """Upwards; what is said no more was deleted, so that some may be missing."""
    if record.n <= node.others:
        return Ruling.LATE
    node.others = record.n
    return Ruling.TRUE


def _group_of(change: Any) -> int:
    return change.group.number if isinstance(change, PutGroup) else change.group


RULES: dict[type, Callable[[Book, int, Record], Ruling]] = {
    Said: Book.said,
    Put: Book.put,
    Entering: Book.entering,
    Leaving: Book.leaving,
    Dead: Book.dead,
    Forget: Book.forget,
    Moving: Book.always,
    Ordering: Book.always,
    Fencing: Book.always,
}
