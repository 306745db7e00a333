"""`server.log`: one line of key=value pairs for each thing that happened, mode 0600, rotated."""

from __future__ import annotations

import json
import logging
import os
import re
import stat
import sys
from collections.abc import Mapping
from io import FileIO, TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path

from chatd.wire.errors import ConfigError
from chatd.wire.text import timestamp

SIZE = 10_000_000  # bytes of one file
KEPT = 5  # older files

_BARE = re.compile(r"[\w.@:/+*\[\]-]+")


class ServerLog:
    """Writes lines; where that fails it says so once, and the daemon goes on."""

    def __init__(self, path: Path) -> None:
        """Raises `ConfigError` where the file cannot be written."""
        self.path = path
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._handler = _Handler(path)
        except OSError as error:
            raise ConfigError(
                f"cannot write the log {path}: {error.strerror}; choose another with --log"
            ) from None

    def write(self, ts: int, event: str, fields: Mapping[str, str | int | None]) -> None:
        """One line; `ts` in milliseconds since 1970, fields without a value left out."""
        pairs = [f"{key}={_value(value)}" for key, value in fields.items() if value is not None]
        self._line(" ".join([f"time={timestamp(ts)}", f"event={event}", *pairs]))

    def traceback(self, text: str) -> None:
        """The lines of a traceback, marked so that no one takes them for events."""
        self._line("\n".join(f"  | {line}" for line in text.splitlines()))

    def reopen(self) -> None:
        """Begin the file anew, after somebody has moved it away."""
        self._handler.close()

    def close(self) -> None:
        """Flush and close."""
        self._handler.close()

    def _line(self, text: str) -> None:
        self._handler.handle(logging.makeLogRecord({"msg": text}))


class _Handler(RotatingFileHandler):
    def __init__(self, path: Path) -> None:
        self._complained = False
        super().__init__(path, maxBytes=SIZE, backupCount=KEPT, encoding="utf-8")

    def _open(self) -> TextIOWrapper:
        return TextIOWrapper(FileIO(self.baseFilename, self.mode, opener=_private), self.encoding)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """A full disk is told once; a server that stops for its log helps nobody."""
        if not self._complained:
            self._complained = True
            reason = sys.exc_info()[1]
            print(f"chatd: cannot write {self.baseFilename}: {reason}", file=sys.stderr)


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
    return json.dumps(value, ensure_ascii=not value.isprintable())
