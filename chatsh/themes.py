"""Themes: the styles of what the shell shows, and a colour for each name.

Nobody tells a program whether its terminal is dark or light, so a theme has to read on both: it
names colours of the terminal's own palette, which its owner has chosen to be read, or fixed ones
with a contrast of at least 3 to 1 (WCAG 2.2, 1.4.11) to black and to white alike.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

from chatd.wire.names import same


@dataclass(frozen=True)
class Theme:
    """Styles as rich writes them, by what they are for."""

    own: str  # one's own name before one's own lines
    direct: str  # a name, besides its colour, where the line is for nobody else
    quiet: str  # times, notices, what is not said by anybody
    wrong: str  # refusals and complaints
    new: str  # the line above what is not read yet
    mention: str  # a word that calls
    code: str
    heading: str  # where a conversation begins, and the days of it
    names: tuple[str, ...]  # of other people


THEMES = {
    # Without yellow, which vanishes on white, and with blue in bold only: many terminals show that
    # brighter, and the plain one vanishes on black. Red is for what is wrong.
    "plain": Theme(
        own="bold",
        direct="reverse",
        quiet="dim",
        wrong="red",
        new="bold red",
        mention="bold magenta",
        code="cyan",
        heading="dim",
        names=(
            "bold cyan",
            "bold magenta",
            "bold green",
            "bold blue",
            "cyan",
            "magenta",
            "green",
            "underline cyan",
        ),
    ),
    "mono": Theme(
        own="bold",
        direct="reverse",
        quiet="dim",
        wrong="bold",
        new="bold underline",
        mention="bold underline",
        code="italic",
        heading="dim",
        names=("underline", "italic", "underline italic"),
    ),
    # Numbers of the 256 colours: unlike those below 16, each has one value on every terminal.
    "vivid": Theme(
        own="bold",
        direct="reverse",
        quiet="color(244)",
        wrong="color(196)",
        new="bold color(197)",
        mention="bold color(199)",
        code="color(31)",
        heading="color(244)",
        names=(
            "bold color(33)",  # blue
            "bold color(28)",  # green
            "bold color(30)",  # teal
            "bold color(136)",  # gold
            "bold color(166)",  # orange
            "bold color(164)",  # magenta
            "bold color(99)",  # violet
            "bold color(168)",  # rose
            "bold color(64)",  # olive
            "bold color(61)",  # slate
            "bold color(95)",  # brown
            "bold color(67)",  # steel
        ),
    ),
}


def name_style(theme: Theme, name: str) -> str:
    """The style of somebody's name: for ever the same, in whatever case it is written."""
    return theme.names[_number(name) % len(theme.names)]


@lru_cache(maxsize=1024)
def _number(name: str) -> int:
    """A number by the folded name; unlike `hash`, the same in each process."""
    digest = hashlib.blake2b(same(name).encode(errors="replace"), digest_size=8).digest()
    return int.from_bytes(digest)
