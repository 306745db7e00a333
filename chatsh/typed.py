"""The lines that were typed, for the arrow key and Ctrl-R, over all shells of a person.

The file is prompt_toolkit's: a line is appended as soon as it is typed, so that it outlives
whatever ends the shell, and shells that run at once add to each other's. What is asked for without
echo has a session of its own and never comes here.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from prompt_toolkit.history import FileHistory, History, InMemoryHistory

from chatsh.private import locked, make_folder, replace_file, state_folder

_ENTRY = b"\n#"  # begins one; each line of its text begins with a plus sign


class TypedLines(FileHistory):
    """At most `limit` lines in a file, its owner's alone; raises `OSError` when it is opened."""

    def __init__(self, path: Path, limit: Callable[[], int]) -> None:
        super().__init__(path)
        self._path = path
        self._limit = limit
        make_folder(path.parent)
        with locked(path.parent):
            self._trim()

    def _trim(self) -> None:
        """Forget the oldest lines; and all of a file that was not written in this way."""
        before = self._path.read_bytes() if self._path.exists() else None
        foreign, *entries = (before or b"").split(_ENTRY)
        last = entries[max(0, len(entries) - self._limit()) :] if not foreign else []
        after = b"".join(_ENTRY + entry for entry in last)
        if after != before:
            replace_file(self._path, after, durable=False)
        self._path.chmod(0o600)

    def load_history_strings(self) -> Iterable[str]:
        """The newest first; none where they cannot be read any more."""
        try:
            return super().load_history_strings()
        except OSError:
            return ()

    def store_string(self, string: str) -> None:
        """Keep a line, if any are kept; one that cannot be written lives as long as this shell."""
        with contextlib.suppress(OSError), locked(self._path.parent):
            if not self._limit() or not self._path.exists():
                self._trim()  # forgets what was kept before, or makes the file with its mode
            if self._limit():
                super().store_string(string)


def typed_lines(limit: Callable[[], int]) -> History:
    """Those of this person; where they cannot be kept, that is told once."""
    path = state_folder() / "history"
    try:
        return TypedLines(path, limit)
    except OSError as error:
        print(f"chatsh: no history is kept: {path}: {error.strerror}", file=sys.stderr)
        return InMemoryHistory()
