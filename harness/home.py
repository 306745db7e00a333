"""A run's own folder: home and working directory of its programs, removed afterwards."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from harness.guardian import session
from harness.language import HomeFile
from harness.scope import Scope


def new_home() -> Path:
    """A new folder, in that of the session."""
    return Path(tempfile.mkdtemp(prefix="home-", dir=session()))


def write_files(home: Path, files: Mapping[str, HomeFile], scope: Scope) -> None:
    """The scenario's own files."""
    for name, file in files.items():
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(scope.fill(file.text)), encoding="utf-8")
        path.chmod(file.mode)
