"""Goes on with a text in the editor of its writer."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

PATIENCE = 2.0  # seconds for an editor to end that has been told to
KNOWN = ("editor", "nano", "vi")  # where neither VISUAL nor EDITOR names one


class EditorError(Exception):
    """The text is as it was; one sentence says why."""


def edit(text: str) -> str:
    """The text as it is when the editor has ended; raises `EditorError`."""
    command = _command()
    with tempfile.TemporaryDirectory(prefix="chatsh-") as folder:  # mode 0700
        path = Path(folder) / "message.md"
        path.write_text(text, "utf-8", "replace")
        try:
            code = _run([*command, str(path)])
        except OSError as error:
            raise EditorError(f"{command[0]} does not start: {error.strerror}.") from error
        if code:
            raise EditorError(f"{command[0]} ended with code {code}; the line is as it was.")
        try:
            return path.read_bytes().decode().replace("\r\n", "\n").removesuffix("\n")
        except (OSError, UnicodeError) as error:
            raise EditorError("What the editor has left is no text in UTF-8.") from error


def _run(command: list[str]) -> int:
    """Wait for its end, whatever that takes; one that must go first puts the terminal in order."""
    with subprocess.Popen(command) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE)
            process.kill()
            raise


def _command() -> list[str]:
    named = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    try:
        words = shlex.split(named or "")
    except ValueError as error:
        raise EditorError(f"VISUAL or EDITOR cannot be understood: {error}.") from error
    found = words or [one for one in KNOWN if shutil.which(one)][:1]
    if not found:
        raise EditorError("There is no editor; name one in the variable EDITOR.")
    return found
