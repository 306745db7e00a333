"""The promise of every keeper of the log; `tests/test_store_contract.py` holds them to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from chatd.core.effects import Account, Came, Completion, Cursor, KeptGroup, News, Operation, Row


class Store(Protocol):
    """A log of entries and the accounts beside it.

    `seq` numbers the entries, strictly increasing from 1, never reused. `epoch` names the log: it
    is another one where the numbers begin anew.
    """

    about: str  # where everything is, for the operator; "" where that is the data folder
    warning: str  # what should be changed there; "" for nothing
    epoch: str
    commits: int  # transactions that became durable, since the start
    took: list[float]  # seconds, of those that `completions` did not wait for; to be taken out

    def submit(self, ticket: int, operation: Operation) -> None:
        """Take an operation. Never blocks, and never raises for a full disk."""

    def completions(self) -> Sequence[Completion | News]:
        """What has become durable, or failed, since the last call; in the order of the log.

        Where others use the log too, what they have done is among it.
        """

    def fileno(self) -> int:
        """Readable when `take_in` has something to take; -1 where nothing comes on its own."""

    def take_in(self) -> None:
        """Take what has come; `completions` gives it."""

    def last_seq(self) -> int:
        """The number of the newest entry; 0 for an empty log."""

    def first_free_number(self) -> int:
        """An account number that no account and no entry ever had, like those above it."""

    def accounts(self) -> list[Account]:
        """Every account that was kept."""

    def groups(self) -> list[KeptGroup]:
        """Every group that was made, the deleted ones too."""

    def cursors(self) -> list[Cursor]:
        """Every position in a conversation."""

    def waiting(self) -> dict[int, int]:
        """Accounts to the number of direct and group messages that they have not confirmed."""

    def purged(self) -> int:
        """Entries up to this `seq` are no longer in the log; 0 where it is whole."""

    def entries(self, after: int, limit: int) -> list[Row]:
        """At most `limit` entries with a `seq` above `after`, in order, whoever may see them."""

    def elsewhere(self) -> list[Came]:
        """Who has a session on another daemon that uses this log."""

    def close(self) -> None:
        """Release the files; what was not asked for by `completions` may be lost."""
