"""What happened last time in this folder: which runs failed, how long each took.

Kept in the user's cache folder, a small file for each working folder, so that nothing litters.
Losing it costs nothing, so no error of it is worth a word.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

import msgspec
import platformdirs
from msgspec import Struct, field

from harness.errors import Exit
from harness.runner import EXITS, Outcome


class Memory(Struct):
    """Of runs, by their names."""

    failed: dict[str, str] = field(default_factory=dict)  # name -> status
    seconds: dict[str, float] = field(default_factory=dict)

    def learn(self, outcomes: Iterable[Outcome]) -> None:
        """Take in how runs went; what was not run stays as it was."""
        for outcome in outcomes:
            name = stable_name(outcome.path, outcome.name)
            self.failed.pop(name, None)
            if EXITS[outcome.status] is not Exit.PASSED:
                self.failed[name] = outcome.status
            self.seconds[name] = round(outcome.seconds / max(1, len(outcome.attempts)), 3)


def stable_name(path: str, name: str) -> str:
    """The name of a run, however its path was written: seen from the working folder."""
    return os.path.relpath(path) + name.removeprefix(path)


def recall() -> Memory:
    """What is known in this working folder; nothing if that cannot be read."""
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        return msgspec.json.decode(_file().read_bytes(), type=Memory)
    return Memory()


def keep(memory: Memory) -> None:
    """Write it down; of files that are gone nothing is kept."""
    for known in (memory.failed, memory.seconds):
        for name in [name for name in known if not Path(name.partition("[")[0]).exists()]:
            known.pop(name)
    with contextlib.suppress(OSError):
        path = _file()
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}")
        part.write_bytes(msgspec.json.encode(memory))
        part.replace(path)


def _file() -> Path:
    word = hashlib.sha256(os.fsencode(Path.cwd())).hexdigest()[:20]
    return platformdirs.user_cache_path("harness") / f"{word}.json"
