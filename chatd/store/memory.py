"""The store that forgets: the reference for the promise, and for trying things out."""

from __future__ import annotations

import secrets

from chatd.core.effects import Account, Append, Entry, Failed, Operation, PutAccount, Stored
from chatd.store.base import Row
from chatd.wire.errors import ErrorCode


class MemoryStore:
    """Keeps the promise of `chatd.store.base.Store` for as long as the process lives."""

    def __init__(self) -> None:
        self.epoch = secrets.token_hex(4)
        self._log: list[Entry] = []
        self._keys: dict[tuple[int, str], int] = {}
        self._accounts: dict[int, Account] = {}
        self._done: list[Stored | Failed] = []

    def submit(self, ticket: int, operation: Operation) -> None:
        """See `Store`."""
        match operation:
            case Append(entry):
                self._done.append(self._append(ticket, entry))
            case PutAccount(account):
                self._accounts[account.number] = account
                self._done.append(Stored(ticket))

    def _append(self, ticket: int, entry: Entry) -> Stored | Failed:
        key = (entry.author, entry.id) if entry.id is not None else None
        if key in self._keys:
            seq = self._keys[key]
            first = self._log[seq - 1]
            if (first.kind, first.target, first.content) != (
                entry.kind,
                entry.target,
                entry.content,
            ):
                return Failed(ticket, ErrorCode.ID_REUSED)
            return Stored(ticket, seq, first.ts, dup=True)
        self._log.append(entry)
        if key:
            self._keys[key] = len(self._log)
        return Stored(ticket, len(self._log), entry.ts)

    def completions(self) -> list[Stored | Failed]:
        """See `Store`."""
        done, self._done = self._done, []
        return done

    def last_seq(self) -> int:
        """See `Store`."""
        return len(self._log)

    def first_free_number(self) -> int:
        """See `Store`."""
        used = [*self._accounts, *(entry.author for entry in self._log)]
        return max(used, default=0) + 1

    def accounts(self) -> list[Account]:
        """See `Store`."""
        return list(self._accounts.values())

    def entries(self, after: int, limit: int) -> list[Row]:
        """See `Store`."""
        rows = self._log[after : after + limit]
        return [Row(seq, entry) for seq, entry in enumerate(rows, after + 1)]

    def close(self) -> None:
        """See `Store`."""
