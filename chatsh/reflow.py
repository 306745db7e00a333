"""Where the line being typed is after its terminal was made narrower.

Some terminals cut off what no longer fits; others wrap every row anew, and the cursor goes down
with its text. prompt_toolkit knows of the former only: it would leave a part of the old line behind
and draw the new one below it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from prompt_toolkit.data_structures import Point

# What tells of a terminal that wraps anew. To take another for one would erase other people's
# lines; not to know one leaves a row too much.
_VARIABLES = ("TMUX", "STY", "VTE_VERSION", "KITTY_WINDOW_ID", "ALACRITTY_WINDOW_ID")
_TERMS = ("tmux", "screen", "xterm-kitty", "alacritty", "foot")


def wraps_anew(env: Mapping[str, str] = os.environ) -> bool:
    """Whether the terminal of this environment is known to."""
    return env.get("TERM", "").startswith(_TERMS) or any(name in env for name in _VARIABLES)


def follow(renderer: Any) -> None:
    """Tell a renderer of prompt_toolkit where the cursor has gone with what it drew last.

    It has no public way to be told.
    """
    screen, was = renderer._last_screen, renderer._last_size  # noqa: SLF001
    columns = renderer.output.get_size().columns
    if screen is None or was is None or not 0 < columns < was.columns:
        return
    column, row = renderer._cursor_pos  # noqa: SLF001
    above = sum(_rows(screen.data_buffer[one], columns) for one in range(row))
    renderer._cursor_pos = Point(column % columns, above + column // columns)  # noqa: SLF001


def _rows(drawn: Mapping[int, Any], columns: int) -> int:
    """How many rows one row has become."""
    length = max((at + 1 for at, cell in drawn.items() if cell.char != " "), default=0)
    return max(1, -(-length // columns))
