"""How far everybody has received and read, and what of that has still to be stored."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import structs

from chatd.core.effects import Account, Cursor, MoveCursors

Readers = dict[tuple[int, int], set[int]]  # reader and conversation to the authors to be told


class Positions:
    """One number per account, and one pair per account and conversation; they only move forward."""

    def __init__(self, accounts: Iterable[Account], cursors: Iterable[Cursor]) -> None:
        self._received = {account.number: account.received for account in accounts}
        self._cursors: dict[int, dict[int, Cursor]] = {}  # by conversation, then by account
        self._moved_accounts: dict[int, int] = {}
        self._moved_cursors: dict[tuple[int, int], Cursor] = {}
        self.to_tell: Readers = {}
        for cursor in cursors:
            self._cursors.setdefault(cursor.conversation, {})[cursor.account] = cursor

    def begin(self, account: int, seq: int) -> int:
        """Where an account stands; one that has no position yet begins at `seq`."""
        return self._received.setdefault(account, seq)

    def received(self, account: int, upto: int) -> None:
        """Everything up to there is safe with the account."""
        if upto > self._received.get(account, 0):
            self._received[account] = self._moved_accounts[account] = upto

    def learn_received(self, account: int, upto: int) -> None:
        """The same, but it is stored already."""
        self._received[account] = max(upto, self._received.get(account, 0))

    def learn(self, cursor: Cursor) -> Cursor:
        """Somebody is further, which is stored already; how far that is."""
        before = self.cursor(cursor.account, cursor.conversation)
        merged = structs.replace(
            cursor,
            delivered=max(before.delivered, cursor.delivered),
            read=max(before.read, cursor.read),
        )
        self._cursors.setdefault(cursor.conversation, {})[cursor.account] = merged
        return merged

    def cursor(self, account: int, conversation: int) -> Cursor:
        """How far somebody is in a conversation."""
        found = self._cursors.get(conversation, {}).get(account)
        return found or Cursor(account, conversation)

    def of_conversation(self, conversation: int) -> Iterable[Cursor]:
        """Everybody's cursor in a conversation."""
        return self._cursors.get(conversation, {}).values()

    def move(
        self,
        account: int,
        conversation: int,
        authors: Iterable[int],
        now: int,
        *,
        delivered: int = 0,
        read: int = 0,
    ) -> None:
        """Somebody is further, at `now` (milliseconds since 1970); `authors` want to know."""
        before = self.cursor(account, conversation)
        cursor = structs.replace(
            before,
            delivered=max(before.delivered, delivered),
            read=max(before.read, read),
            moved=now,
        )
        self._cursors.setdefault(conversation, {})[account] = cursor
        self._moved_cursors[account, conversation] = cursor
        self.to_tell.setdefault((account, conversation), set()).update(authors)

    @property
    def moved(self) -> bool:
        """Whether `take_moves` has something to give."""
        return bool(self._moved_accounts or self._moved_cursors)

    def take_moves(self) -> tuple[MoveCursors, Readers] | None:
        """What has moved since the last call, and who is to be told; None for nothing."""
        if not self.moved:
            return None
        taken = MoveCursors(self._moved_accounts, list(self._moved_cursors.values())), self.to_tell
        self._moved_accounts, self._moved_cursors, self.to_tell = {}, {}, {}
        return taken

    def put_back(self, moves: MoveCursors, to_tell: Readers) -> None:
        """It could not be stored; what has moved since is newer."""
        self._moved_accounts = {**moves.received, **self._moved_accounts}
        older = {(one.account, one.conversation): one for one in moves.conversations}
        self._moved_cursors = older | self._moved_cursors
        for key, authors in to_tell.items():
            self.to_tell.setdefault(key, set()).update(authors)
