"""Files that hold secrets."""

from __future__ import annotations

import os
from pathlib import Path

from chatd.wire.errors import ConfigError


def replace_file(path: Path, text: str) -> None:
    """All or nothing: a new file, with mode 0600, takes the place of the old one.

    Raises `ConfigError`.
    """
    fresh = path.with_name(path.name + ".new")
    try:
        fresh.unlink(missing_ok=True)  # it may have another mode
        fd = os.open(fresh, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600)
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from None
