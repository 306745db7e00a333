"""Code in a message: between fences, lines of backticks, as in CommonMark (section 4.5)."""

from __future__ import annotations

import re

SHORTEST = 3  # backticks


def fenced(code: str) -> str:
    """The code between two fences, longer than any row of backticks in it."""
    longest = max(map(len, re.findall("`+", code)), default=0)
    fence = "`" * max(SHORTEST, longest + 1)
    return f"{fence}\n{code}\n{fence}"
