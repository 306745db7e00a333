"""Passwords: the file, the hashes (argon2id, RFC 9106), and a small pool that compares them.

Comparing takes tens of milliseconds by design, so it never happens in the loop; and it takes as
long for a name that does not exist.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import stat
from base64 import b64encode
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import argon2
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError
from argon2.low_level import ARGON2_VERSION

from chatd.core.effects import Hash, Verify
from chatd.files import replace_file
from chatd.wire.errors import ConfigError, PeerError
from chatd.wire.names import check_name

WORKERS = 2  # each takes a core and 64 MiB while it works
HASHED = "$argon2"

_hasher = argon2.PasswordHasher()


def hash_password(password: str) -> str:
    """An argon2id hash with its parameters and salt."""
    return _hasher.hash(password.encode(errors="surrogatepass"))


def _nobody() -> str:
    """A hash of no password: to compute a real one would cost every start of a daemon 100 ms."""
    salt, digest = (
        b64encode(os.urandom(size)).rstrip(b"=").decode()
        for size in (_hasher.salt_len, _hasher.hash_len)
    )
    costs = f"m={_hasher.memory_cost},t={_hasher.time_cost},p={_hasher.parallelism}"
    return f"{HASHED}id$v={ARGON2_VERSION}${costs}${salt}${digest}"


NOBODY = _nobody()  # what the password of an unknown name is held against


def verify(stored: str | None, password: str) -> bool:
    """Whether this is the password, in the same time for all cases."""
    given = password.encode(errors="surrogatepass")
    hashed = stored if stored is not None and stored.startswith(HASHED) else NOBODY
    good = False
    try:
        good = _hasher.verify(hashed, given)
    except VerifyMismatchError:
        pass
    except (VerificationError, InvalidHashError):  # a hash that is none costs nothing by itself
        with contextlib.suppress(VerifyMismatchError):
            _hasher.verify(NOBODY, given)
    if stored is not None and hashed is NOBODY:
        return hmac.compare_digest(stored.encode(), given)
    return good and hashed is not NOBODY


class PasswordPool:
    """Carries out `Verify` and `Hash` beside the loop; `wake` is called when an answer is there."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="passwords")
        self._answers: deque[tuple[int, bool | str]] = deque()

    def submit(self, wanted: Verify | Hash) -> None:
        """Take the work; its answer will be among `answers`."""
        self._pool.submit(self._work, wanted)

    def answers(self) -> list[tuple[int, bool | str]]:
        """Tickets and what came out since the last call."""
        return [self._answers.popleft() for _ in range(len(self._answers))]

    def close(self) -> None:
        """Wait for nothing."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _work(self, wanted: Verify | Hash) -> None:
        if isinstance(wanted, Verify):
            self._answers.append((wanted.ticket, verify(wanted.stored, wanted.password)))
        else:
            self._answers.append((wanted.ticket, hash_password(wanted.password)))
        self._wake()


def read_file(path: Path) -> dict[str, tuple[str, str]]:
    """Folded name to name and password, or its hash. Raises `ConfigError` with file and line."""
    users: dict[str, tuple[str, str]] = {}
    for number, line in enumerate(_lines(path), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, secret = _split(line)
        try:
            key = check_name(name)
        except PeerError as wrong:
            raise ConfigError(f"{path}, line {number}: {wrong}") from None
        if not secret:
            raise ConfigError(f"{path}, line {number}: no password; write `name password`")
        if key in users:
            raise ConfigError(f"{path}, line {number}: {name} is there twice; remove one line")
        users[key] = (name, secret)
    if not users:
        raise ConfigError(f"{path} has no users; add one: chatd passwd {path} NAME")
    return users


def _lines(path: Path) -> list[str]:
    try:
        mode = path.stat().st_mode
        if stat.S_ISREG(mode) and mode & (stat.S_IRGRP | stat.S_IROTH):
            raise ConfigError(f"{path} can be read by others; mend it: chmod 600 {path}")
        return path.read_text("utf-8").splitlines()
    except OSError as error:
        raise ConfigError(f"cannot read the password file {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"the password file {path} is not UTF-8 text") from None


def _split(line: str) -> tuple[str, str]:
    """`name password` or `name:password`, by what comes first; a hash may follow any name."""
    before, hashed, rest = line.partition(":" + HASHED)
    if hashed:
        return before.strip(), (HASHED + rest).strip()
    place = next((at for at, char in enumerate(line) if char in ": \t"), len(line))
    return line[:place], line[place + 1 :].strip()


def set_password(path: Path, name: str, password: str) -> bool:
    """Add or change one user, hashed; True where it was there before. Raises `ConfigError`."""
    key = check_name(name)
    if path.exists():
        lines = _lines(path)
        if any(line.strip() for line in lines):
            read_file(path)
    else:
        lines = []
    new = f"{name}:{hash_password(password)}"
    kept = [new if _names(line, key) else line for line in lines]
    known = new in kept
    lines = kept if known else [*kept, new]
    replace_file(path, "".join(line + "\n" for line in lines))
    return known


def _names(line: str, key: str) -> bool:
    return bool(line.strip()) and not line.startswith("#") and check_name(_split(line)[0]) == key
