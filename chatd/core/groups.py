"""Groups: who is in them, who may change them, and the entry of the log that each change is.

A change becomes true with its entry: in memory when the store answers, in the order of the log. So
a removal cuts exactly, whatever else is under way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import msgspec
from msgspec import structs

from chatd.core.delivery import deliver
from chatd.core.effects import (
    Account,
    Append,
    Change,
    Effect,
    Entry,
    Failed,
    Join,
    Outrun,
    Part,
    PutGroup,
    Send,
    Stored,
)
from chatd.core.effects import Group as Kept
from chatd.core.rooms import Room, apply
from chatd.core.session import Session
from chatd.wire.errors import ErrorCode, PeerError
from chatd.wire.messages import Group, GroupFailure, GroupInfo, GroupRow
from chatd.wire.names import check_name, fold
from chatd.wire.text import timestamp

if TYPE_CHECKING:
    from chatd.core.hub import Hub


def group(hub: Hub, session: Session, asked: Group) -> list[Effect]:
    """Carry out one request about groups."""
    return OPERATIONS[asked.op](hub, session, asked)


def _needed(value: str | None, what: str) -> str:
    if value is None:
        raise PeerError(ErrorCode.MISSING_FIELD, field=what)
    return value


def _room(hub: Hub, session: Session, asked: Group) -> Room:
    return hub.groups.find(_needed(asked.group, "group"), session.number)


def _owned(hub: Hub, session: Session, asked: Group) -> Room:
    room = _room(hub, session, asked)
    if room.kept.owner != session.number:
        raise PeerError(ErrorCode.NOT_OWNER, group=room.kept.name)
    return room


def _free_name(hub: Hub, name: str) -> str:
    key = check_name(name)
    if key in hub.accounts or key in hub.groups.by_key:
        raise PeerError(ErrorCode.GROUP_NAME_TAKEN, name=name)
    return key


def _create(hub: Hub, session: Session, asked: Group) -> list[Effect]:
    name = _needed(asked.group, "group")
    key = _free_name(hub, name)
    kept = Kept(hub.new_number(), name, key, session.number, hub.now.wall)
    found, failed = _people(hub, asked.names, known={session.number: None})
    people = [hub.of_session(session), *found]
    _check_size(hub, len(people))
    change = Change("created", name, [one.name for one in people])
    joins = [Join(kept.number, one.number) for one in people]
    made = [effect for one in people for effect in hub.keep(one)]
    return made + _change(hub, session, asked, kept, change, [PutGroup(kept), *joins], failed)


def _check_size(hub: Hub, members: int) -> None:
    limit = hub.setup.limits.members
    if members > limit:
        raise PeerError(ErrorCode.GROUP_FULL, limit=limit)


def _add(hub: Hub, session: Session, asked: Group) -> list[Effect]:
    room = _owned(hub, session, asked)
    found, failed = _people(hub, asked.names, room.members)
    _check_size(hub, len(room.members) + len(found))
    if not found:
        return _info_of(hub, session, asked, [room], failed)
    change = Change("added", room.kept.name, [one.name for one in found])
    made = [effect for one in found for effect in hub.keep(one)]
    joins = [Join(room.kept.number, one.number) for one in found]
    return made + _change(hub, session, asked, room.kept, change, joins, failed)


def _people(
    hub: Hub, names: Iterable[str], known: dict[int, None]
) -> tuple[list[Account], list[GroupFailure]]:
    """Those who can be added, each once; and who cannot, and why."""
    found: dict[int, Account] = {}
    failed: list[GroupFailure] = []
    for name in names:
        try:
            one = hub.accounts.find(name)
        except PeerError as wrong:
            failed.append(GroupFailure(name, int(wrong.code)))
            continue
        if one.number in known:
            failed.append(GroupFailure(name, int(ErrorCode.ALREADY_MEMBER)))
        else:
            found[one.number] = one
    return list(found.values()), failed


def _remove(hub: Hub, session: Session, asked: Group) -> list[Effect]:
    room = _owned(hub, session, asked)
    found: dict[int, Account] = {}
    failed: list[GroupFailure] = []
    for name in asked.names:
        try:
            one = _member(hub, room, name)
            if one.number == session.number:
                raise PeerError(ErrorCode.OWNER_MUST_HAND_OVER, group=room.kept.name)
            found[one.number] = one
        except PeerError as wrong:
            failed.append(GroupFailure(name, int(wrong.code)))
    if not found:
        return _info_of(hub, session, asked, [room], failed)
    change = Change("removed", room.kept.name, [one.name for one in found.values()])
    parts = [Part(room.kept.number, number) for number in found]
    return _change(hub, session, asked, room.kept, change, parts, failed)


def _member(hub: Hub, room: Room, name: str) -> Account:
    wrong = PeerError(ErrorCode.NO_SUCH_MEMBER, name=name, group=room.kept.name)
    try:
        one = hub.accounts.find(name)
    except PeerError:
        raise wrong from None
    if one.number not in room.members:
        raise wrong
    return one


def _rename(hub: Hub, session: Session, asked: Group) -> list[Effect]:
    room = _owned(hub, session, asked)
    name = _needed(asked.to, "to")
    if fold(name) != room.kept.key:
        _free_name(hub, name)
    kept = structs.replace(room.kept, name=name, key=check_name(name))
    change = Change("renamed", room.kept.name, to=name)
    return _change(hub, session, asked, kept, change, [PutGroup(kept)])


def _leave(hub: Hub, session: Session, asked: Group) -> list[Effect]:
    room = _room(hub, session, asked)
    if room.kept.owner == session.number:
        if len(room.members) > 1:
            raise PeerError(ErrorCode.OWNER_MUST_HAND_OVER, group=room.kept.name)
        return _delete(hub, session, asked)
    change = Change("left", room.kept.name, [session.name])
    parts = [Part(room.kept.number, session.number)]
    return _change(hub, session, asked, room.kept, change, parts)


def _owner(hub: Hub, session: Session, asked: Group) -> list[Effect]:
    room = _owned(hub, session, asked)
    heir = _member(hub, room, _needed(asked.to, "to"))
    kept = structs.replace(room.kept, owner=heir.number)
    change = Change("owner", room.kept.name, to=heir.name)
    return _change(hub, session, asked, kept, change, [PutGroup(kept)])


def _delete(hub: Hub, session: Session, asked: Group) -> list[Effect]:
    room = _owned(hub, session, asked)
    kept = structs.replace(room.kept, deleted=True)
    parts = [Part(kept.number, member) for member in room.members]
    change = Change("deleted", kept.name)
    return _change(hub, session, asked, kept, change, [*parts, PutGroup(kept)])


def _info(hub: Hub, session: Session, asked: Group) -> list[Effect]:
    return _info_of(hub, session, asked, [_room(hub, session, asked)])


def _list(hub: Hub, session: Session, asked: Group) -> list[Effect]:
    return _info_of(hub, session, asked, hub.groups.of(session.number))


def _info_of(
    hub: Hub,
    session: Session,
    asked: Group,
    rooms: list[Room],
    failed: list[GroupFailure] | None = None,
) -> list[Effect]:
    rows = [_row(hub, room) for room in rooms if not room.kept.deleted]
    return [Send([session.conn], GroupInfo(rows, asked.id, failed or []))]


def _row(hub: Hub, room: Room) -> GroupRow:
    names = [hub.name_of(number) for number in room.members]
    return GroupRow(
        room.kept.name, hub.name_of(room.kept.owner), names, timestamp(room.kept.created)
    )


def _change(
    hub: Hub,
    session: Session,
    asked: Group,
    kept: Kept,
    change: Change,
    changes: Sequence[Join | Part | PutGroup],
    failed: list[GroupFailure] | None = None,
) -> list[Effect]:
    """Store a change; once it is durable it becomes true, and is told to all whom it concerns."""
    text = msgspec.json.encode(change).decode()
    entry = Entry("event", session.number, session.name, kept.number, text, hub.now.wall)
    concerned = dict(hub.groups.rooms[kept.number].members) if _known(hub, kept) else {}

    def then(done: Stored | Failed | Outrun) -> list[Effect]:
        hub.changing -= 1
        if isinstance(done, Outrun):
            return hub.again(session, asked)
        if isinstance(done, Failed):
            return hub.refuse(session, hub.refusal(done), asked.id)
        apply(hub.groups, changes)
        room = hub.groups.rooms[kept.number]
        told = [number for number in concerned | room.members if number != session.number]
        seen = [room] if session.number in room.members else []
        return [
            *_info_of(hub, session, asked, seen, failed),
            *deliver(hub, entry, done, told),
        ]

    hub.changing += 1
    return hub.submit(Append(entry, tuple(changes)), then)


def _known(hub: Hub, kept: Kept) -> bool:
    return kept.number in hub.groups.rooms


OPERATIONS: dict[str, Callable[[Hub, Session, Group], list[Effect]]] = {
    "create": _create,
    "add": _add,
    "remove": _remove,
    "rename": _rename,
    "leave": _leave,
    "owner": _owner,
    "delete": _delete,
    "info": _info,
    "list": _list,
}
