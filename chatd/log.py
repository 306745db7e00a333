"""`server.log`: one line of key=value pairs for each thing that happened, mode 0600, rotated.

Lines are gathered, and written with one call by `flush`, which the daemon does before anybody is
told what they are about: system calls for each line cost more than a message to fifty receivers.
"""

from __future__ import annotations

import json
import logging
import os
import re
import stat
import sys
from collections.abc import Mapping
from functools import lru_cache
from io import FileIO, TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path

from chatd.wire.errors import ConfigError
from chatd.wire.text import timestamp

SIZE = 10_000_000  # bytes of one file
KEPT = 5  # older files
GATHERED = 1000  # lines that wait at most

NAME = 32  # characters: what is longer is hardly said twice

_BARE = re.compile(r"[\w.@:/+*\[\]-]+")


class ServerLog:
    """Writes lines; where that fails it says so once, and the daemon goes on."""

    def __init__(self, path: Path) -> None:
        """Raises `ConfigError` where the file cannot be written."""
        self.path = path
        self._lines: list[str] = []
        self._time = (-1, "")  # milliseconds, and how a line of then begins: many have the same
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._handler = _Handler(path)
        except OSError as error:
            raise ConfigError(
                f"cannot write the log {path}: {error.strerror}; choose another with --log"
            ) from None

    def write(self, ts: int, event: str, fields: Mapping[str, str | int | None]) -> None:
        """One line; `ts` in milliseconds since 1970, fields without a value left out."""
        if self._time[0] != ts:
            self._time = ts, f"time={timestamp(ts)} event="
        line = self._time[1] + event
        for key, value in fields.items():
            if isinstance(value, str) and len(value) <= NAME:
                line += _pair(key, value)
            elif value is not None:
                line += f" {key}={_value(value)}"
        self._lines.append(line)
        if len(self._lines) >= GATHERED:
            self.flush()

    def traceback(self, text: str) -> None:
        """The lines of a traceback, marked so that no one takes them for events."""
        self._lines += [f"  | {line}" for line in text.splitlines()]
        self.flush()  # whatever becomes of us now

    def reopen(self) -> None:
        """Begin the file anew, after somebody has moved it away."""
        self.flush()
        self._handler.close()

    def close(self) -> None:
        """Flush and close."""
        self.flush()
        self._handler.close()

    def flush(self) -> None:
        """Write what was gathered."""
        if self._lines:
            text, self._lines = "\n".join(self._lines), []
            self._handler.handle(logging.makeLogRecord({"msg": text}))


class _Handler(RotatingFileHandler):
    def __init__(self, path: Path) -> None:
        self._complained = False
        self._bytes: int | None = None  # in the file; None where it has no size
        super().__init__(path, maxBytes=SIZE, backupCount=KEPT, encoding="utf-8")

    def _open(self) -> TextIOWrapper:
        file = FileIO(self.baseFilename, self.mode, opener=_private)
        about = os.fstat(file.fileno())
        self._bytes = about.st_size if stat.S_ISREG(about.st_mode) else None
        return TextIOWrapper(file, self.encoding)

    def shouldRollover(self, record: logging.LogRecord) -> bool:  # noqa: N802 - logging's name
        """By our own count: the library's asks the file system five times."""
        if self.stream is None:  # closed, to be begun anew
            self.stream = self._open()
        return self._bytes is not None and self._bytes + _size(record) >= self.maxBytes

    def emit(self, record: logging.LogRecord) -> None:
        """Write, and count."""
        super().emit(record)
        if self._bytes is not None:
            self._bytes += _size(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """A full disk is told once; a server that stops for its log helps nobody."""
        if not self._complained:
            self._complained = True
            reason = sys.exc_info()[1]
            print(f"chatd: cannot write {self.baseFilename}: {reason}", file=sys.stderr)


def _size(record: logging.LogRecord) -> int:
    return len(record.getMessage().encode(errors="replace")) + 1


def _private(path: str, flags: int) -> int:
    """Messages stand in it: nobody else reads it, even where the file was there before."""
    fd = os.open(path, flags | os.O_CLOEXEC, 0o600)
    if stat.S_ISREG(os.fstat(fd).st_mode):
        os.fchmod(fd, 0o600)
    return fd


def _value(value: str | int) -> str:
    if isinstance(value, int):
        return str(int(value))
    if _BARE.fullmatch(value):
        return value
    return _as_it_is(value) if value.isprintable() else _escaped(value)


@lru_cache(4096)  # names, addresses and kinds come again and again
def _pair(key: str, value: str) -> str:
    return f" {key}={_value(value)}"


_as_it_is = json.JSONEncoder(ensure_ascii=False).encode
_escaped = json.JSONEncoder().encode
