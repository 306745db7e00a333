"""Who is known, by number and by name: the folded shown name, and the folded one of logging in."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from chatd.core.effects import Account
from chatd.wire.errors import ErrorCode, PeerError
from chatd.wire.names import fold


class Accounts:
    """Every account of this moment; assigned names are among them while they are here."""

    def __init__(self, kept: Iterable[Account]) -> None:
        self._by_key: dict[str, Account] = {}
        self._by_number: dict[int, Account] = {}
        for account in kept:
            self.know(account)

    def __contains__(self, key: object) -> bool:
        return key in self._by_key

    def everybody(self) -> Collection[Account]:
        """Each account once."""
        return list(self._by_number.values())

    def named(self, key: str) -> Account | None:
        """The account of a folded name."""
        return self._by_key.get(key)

    def numbered(self, number: int) -> Account | None:
        """The account of a number."""
        return self._by_number.get(number)

    def find(self, name: str) -> Account:
        """The account of a name as somebody typed it; raises `PeerError` (301) in S1's words."""
        try:
            return self._by_key[fold(name)]
        except (KeyError, PeerError):
            raise PeerError(ErrorCode.NO_SUCH_USER, name=name, to=name) from None

    def know(self, account: Account) -> None:
        """This is the account of its number from now on, until the next start."""
        self.forget(account.number)
        self._by_number[account.number] = account
        self._by_key[account.login] = account
        self._by_key[account.key] = account

    def forget(self, number: int) -> None:
        """The account of that number is known no more, under no name."""
        known = self._by_number.pop(number, None)
        for key in (known.login, known.key) if known else ():
            if self._by_key.get(key) is known:  # else the name is somebody else's by now
                del self._by_key[key]
