"""Every group in memory, with who is in it and who was; it changes in the order of the log."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from chatd.core.effects import Group as Kept
from chatd.core.effects import Join, KeptGroup, Part, PutGroup
from chatd.wire.errors import ErrorCode, PeerError
from chatd.wire.names import fold


@dataclass(slots=True)
class Room:
    """One group in memory. `members` in the order of their joining; `past` once were."""

    kept: Kept
    members: dict[int, None] = field(default_factory=dict)
    past: set[int] = field(default_factory=set)
    authors: set[int] = field(default_factory=set)  # who has said something, and wants receipts


class Directory:
    """Every group, by number and by folded name."""

    def __init__(self, groups: Iterable[KeptGroup]) -> None:
        self.rooms: dict[int, Room] = {}
        self.by_key: dict[str, Room] = {}
        for kept, members, past, authors in groups:
            room = Room(kept, dict.fromkeys(members), set(past), set(authors))
            self.rooms[kept.number] = room
            if not kept.deleted:
                self.by_key[kept.key] = room

    def put(self, kept: Kept) -> None:
        """Make or change a group."""
        room = self.rooms.get(kept.number)
        if room is None:
            room = self.rooms[kept.number] = Room(kept)
        self.by_key.pop(room.kept.key, None)
        room.kept = kept
        if not kept.deleted:
            self.by_key[kept.key] = room

    def join(self, change: Join) -> None:
        """One more member."""
        room = self.rooms[change.group]
        room.members[change.account] = None
        room.past.discard(change.account)

    def part(self, change: Part) -> None:
        """One member less."""
        room = self.rooms[change.group]
        room.members.pop(change.account, None)
        room.past.add(change.account)

    def of(self, account: int) -> list[Room]:
        """The groups somebody is in."""
        return [
            room
            for room in self.by_key.values()
            if account in room.members
        ]  # fmt: skip

    def find(self, name: str, account: int) -> Room:
        """A group by its name, as one of its members; raises `PeerError` (401, 402)."""
        try:
            room = self.by_key[fold(name)]
        except (KeyError, PeerError):
            raise PeerError(ErrorCode.NO_SUCH_GROUP, group=name) from None
        if account in room.members:
            return room
        gone = account in room.past
        raise PeerError(ErrorCode.NOT_MEMBER if gone else ErrorCode.NO_SUCH_GROUP, group=name)

    def find_past(self, name: str, account: int) -> Room:
        """The same for those who once were members: what they saw then they may read again."""
        try:
            return self.find(name, account)
        except PeerError as wrong:
            if wrong.code is not ErrorCode.NOT_MEMBER:
                raise
            return self.by_key[fold(name)]


def apply(directory: Directory, changes: Iterable[Join | Part | PutGroup]) -> None:
    """Make true what was stored."""
    for change in changes:
        if isinstance(change, PutGroup):
            directory.put(change.group)
        elif isinstance(change, Join):
            directory.join(change)
        else:
            directory.part(change)
