"""Whether somebody is looking, and how to call them when not.

A terminal that knows about focus tells when its window gets and loses it (xterm's FocusIn and
FocusOut, mode 1004). Whoever has pressed no key for a while is not looking either.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from collections.abc import Callable
from html import escape

from chatd.wire.text import harmless

FOCUS_ON, FOCUS_OFF = "\x1b[?1004h", "\x1b[?1004l"
FOCUS_IN, FOCUS_OUT = "\x1b[I", "\x1b[O"
SHOWN = 200  # characters of a notice outside of the shell
CALM = 5.0  # seconds between two calls from one conversation
DESKTOP_PATIENCE = 5.0  # seconds for a program that shows a notice


class Attention:
    """What is known about the person before the terminal. `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float], idle: Callable[[], float]) -> None:
        self._clock = clock
        self._idle = idle
        self._pressed: float | None = None  # where no keys are told of, everything is read
        self._focused = True  # until the terminal says otherwise
        self._called: dict[str, float] = {}  # when, by conversation

    def pressed(self) -> None:
        """A key, and whoever pressed it, was there."""
        self._pressed = self._clock()
        self._focused = True

    def focused(self, has: bool) -> None:
        """The window has the focus now, or has lost it."""
        self._focused = has

    @property
    def looking(self) -> bool:
        """Whether what is shown now is seen now."""
        if self._pressed is None:
            return True
        return self._focused and self._clock() - self._pressed < self._idle()

    def may_call(self, talk: str) -> bool:
        """Whether a conversation may call now: nobody looks, and it has not called just before."""
        now = self._clock()
        if self.looking or now - self._called.get(talk, -CALM) < CALM:
            return False
        self._called[talk] = now
        return True


def _osc(text: str) -> str:
    """A sequence for the terminal itself, through tmux where that stands between."""
    sequence = f"\x1b]{text}\x07"
    if "TMUX" not in os.environ:
        return sequence
    return "\x1bPtmux;" + sequence.replace("\x1b", "\x1b\x1b") + "\x1b\\"


def _field(text: str) -> str:
    """Text that ends neither its field nor its sequence."""
    return harmless(text)[:SHOWN].replace(";", ",")


def _desktop(who: str, text: str) -> str:
    """Through the desktop's own program, which may be slow or not there at all."""

    def show() -> None:
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(
                ["notify-send", "--app-name=chatsh", "--", _field(who), escape(_field(text))],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=DESKTOP_PATIENCE,
                check=False,
            )

    threading.Thread(target=show, name="notice", daemon=True).start()
    return ""


# What a notice writes to the terminal, by the setting `notify`.
_CALLS: dict[str, Callable[[str, str], str]] = {
    "off": lambda _, __: "",
    "bell": lambda _, __: "\a",
    "osc9": lambda who, text: _osc(f"9;{_field(who)}: {_field(text)}"),
    "osc777": lambda who, text: _osc(f"777;notify;{_field(who)};{_field(text)}"),
    "desktop": _desktop,
}


def call(way: str, who: str, text: str) -> str:
    """Call the person who is not looking; what is to be written to the terminal for that."""
    return _CALLS[way](who, text)
