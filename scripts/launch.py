"""Runs one of the programs from a checkout, with the libraries that `make` has put beside it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

HERE = Path(__file__).resolve().parent.parent
PYTHON = HERE / ".venv" / "bin" / "python"


def launch(program: str) -> NoReturn:
    """Become the program, with our arguments. The current folder stays what it is."""
    if not PYTHON.exists():
        sys.exit(f"{program}: the libraries are not there yet; run `make chat` in {HERE} once")
    os.execv(PYTHON, [str(PYTHON), "-m", program, *sys.argv[1:]])
