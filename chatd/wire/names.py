"""Names of people and groups: which are possible, and which are the same (RFC 8265, RFC 8266).

One name space holds people, groups and the reserved words, so that `x~y` is never ambiguous.
"""

from __future__ import annotations

from functools import lru_cache

from precis_i18n import get_profile

from chatd.wire.errors import ErrorCode, PeerError

MAX_NAME = 32  # characters
FORBIDDEN = frozenset('|~":*')  # they end a name in the grammar of the shell
LEADING = frozenset("/#@!?")
EXIT_WORDS = frozenset({"exit", "quit", "logout", "logoff", "bye"})
RESERVED = EXIT_WORDS | {"server", "all", "everyone", "who"}

REMEMBERED = 16_384  # names of at most MAX_NAME characters: some three megabytes

_nickname = get_profile("Nickname").enforce


def fold(name: str) -> str:
    """The form under which names are compared: equal for look-alikes in case and width.

    Raises `PeerError` (104) for what can be no name at all.
    """
    folded = _folded_anew(name) if len(name) > MAX_NAME else _folded(name)
    if folded is None:
        raise PeerError(ErrorCode.BAD_NAME, why="it holds characters a name may not have")
    return folded


def _folded_anew(name: str) -> str | None:
    if name.isascii() and name.isprintable():  # then this is all that the rules do to it
        return " ".join(name.lower().split()) or None
    try:
        return str(_nickname(name))
    except UnicodeError:
        return None


# Each message names its receiver; the rules take ten times as long as the rest of its way.
_folded = lru_cache(REMEMBERED)(_folded_anew)


def same(name: str) -> str:
    """What is equal for equal names: the folded form, or the text itself where it is no name."""
    try:
        return fold(name)
    except PeerError:
        return name


def check_name(name: str) -> str:
    """The folded form of a name that may be taken; raises `PeerError` (104) with the reason."""
    _refuse(
        (not name, "it is empty"),
        (len(name) > MAX_NAME, f"it is longer than {MAX_NAME} characters"),
        (name != name.strip() or "  " in name, "it has spaces too many"),
    )
    key = fold(name)  # what is forbidden is so in every width
    _refuse(
        (not FORBIDDEN.isdisjoint(key), 'the characters | ~ " : * are not allowed in it'),
        (key[:1] in LEADING, f"it may not begin with {key[:1]}"),
        (key in RESERVED, f'"{key}" is a reserved word'),
    )
    return key


def _refuse(*rules: tuple[bool, str]) -> None:
    for wrong, why in rules:
        if wrong:
            raise PeerError(ErrorCode.BAD_NAME, why=why)


def is_name(text: str) -> bool:
    """Whether somebody could be called this."""
    try:
        check_name(text)
    except PeerError:
        return False
    return True
