"""Files that only their owner may read, replaced as a whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import platformdirs

from chatd.wire.names import same


def state_folder() -> Path:
    """Where a person's files of `chatsh` are."""
    return platformdirs.user_state_path("chatsh")


def file_of(kind: str, server: str, name: str) -> Path:
    """Where this kind of thing is kept for one server and the person who goes by that name there.

    A digest, for a host and a name together may be longer than the name of a file.
    """
    digest = hashlib.sha256(f"{server}\n{same(name)}".encode(errors="replace")).hexdigest()
    return state_folder() / kind / f"{digest[:32]}.jsonl"


def make_folder(path: Path) -> None:
    """The folder, and those above it that are missing, for its owner alone. Raises `OSError`."""
    if not path.parent.exists():  # pathlib would give those no mode
        make_folder(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)


def replace_file(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Write it anew, with mode 0600; `durable` waits until it would survive a power cut.

    Raises `OSError`, and then what was there before is still there.
    """
    make_folder(path.parent)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:  # mode 0600
        try:
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
            Path(file.name).replace(path)
        except OSError:
            Path(file.name).unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Be the only one of our programs at a file or folder that is there. Raises `OSError`."""
    fd = os.open(path, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems have no locks
            fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def append_to_file(path: Path, data: bytes) -> None:
    """Add to the end of a file, which gets mode 0600 where it is new: all of it, or nothing.

    Raises `OSError`.
    """
    make_folder(path.parent)
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    with os.fdopen(fd, "ab", buffering=0) as file, locked(path):
        end = file.seek(0, os.SEEK_END)
        try:
            while data:  # a disk that is nearly full takes a part, and only then complains
                data = data[file.write(data) :]
        except OSError:
            file.truncate(end)
            raise
