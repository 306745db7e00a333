"""A run's own folder: home and working directory of its programs, removed afterwards."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from harness.language import HomeFile
from harness.scope import Scope

FOLDER = "harness-run-"  # and the process id of the harness, so that `sweep` knows its own


def new_home() -> Path:
    """A new folder."""
    return Path(tempfile.mkdtemp(prefix=f"{FOLDER}{os.getpid()}-")).resolve()


def write_files(home: Path, files: Mapping[str, HomeFile], scope: Scope) -> None:
    """The scenario's own files."""
    for name, file in files.items():
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(scope.fill(file.text)), encoding="utf-8")
        path.chmod(file.mode)


def remove_tree(folder: Path) -> None:
    """Remove a run's folder, whatever modes its files have."""
    shutil.rmtree(folder, ignore_errors=True)


def sweep() -> None:
    """Remove folders of runs whose harness was killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDER}*"):
        pid = folder.name.removeprefix(FOLDER).partition("-")[0]
        if pid.isdigit() and not _exists(int(pid)):
            remove_tree(folder)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
