"""Keys of the line being typed, beside those that every line editor has.

    Enter          send; of several lines too
    Alt-Enter      begin a new line
    Alt-N, Alt-P   go where something waits, and back to where one was
    Ctrl-X Ctrl-E  write on in the editor

What is pasted is text: its line ends do not send it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from prompt_toolkit.application.current import get_app
from prompt_toolkit.enums import DEFAULT_BUFFER
from prompt_toolkit.filters import Condition, completion_is_selected, has_focus
from prompt_toolkit.input.ansi_escape_sequences import ANSI_SEQUENCES
from prompt_toolkit.input.base import Input
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.key_binding.key_processor import KeyPress
from prompt_toolkit.keys import Keys
from prompt_toolkit.output.vt100 import Vt100_Output

from chatsh.attention import FOCUS_IN, FOCUS_OFF, FOCUS_ON, FOCUS_OUT


class Typist(Protocol):
    """What the keys act on."""

    def go(self, where: str) -> None:
        """To the conversation that is `next`, or `back`."""

    def edit_line(self) -> None:
        """Go on with the line in the editor."""


@Condition
def several_lines() -> bool:
    """Whether the line being typed is more than one."""
    return "\n" in get_app().current_buffer.text


def bindings(typist: Typist) -> KeyBindings:
    """Our keys."""
    ours, typing = KeyBindings(), has_focus(DEFAULT_BUFFER)

    @ours.add("enter", filter=typing & several_lines)
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    @ours.add("enter", filter=typing & completion_is_selected)
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.complete_state = None

    @ours.add("escape", "enter", filter=typing)
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    @ours.add(Keys.BracketedPaste)
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text(pasted(event.data))

    @ours.add("escape", "n", filter=typing)
    def _(_: KeyPressEvent) -> None:
        typist.go("next")

    @ours.add("escape", "p", filter=typing)
    def _(_: KeyPressEvent) -> None:
        typist.go("back")

    @ours.add("c-x", "c-e", filter=typing)
    def _(_: KeyPressEvent) -> None:
        typist.edit_line()

    return ours


def answers(keys: dict[str, str]) -> KeyBindings:
    """Keys that each answer a question at once; no other key does anything."""
    ours = KeyBindings()
    for key, answer in keys.items():
        ours.add(key)(lambda event, answer=answer: event.app.exit(result=answer))
    ours.add(Keys.Any)(lambda _: None)
    return ours


def pasted(data: str) -> str:
    """A block as it is inserted: without the line end that a copied line often has behind it."""
    return data.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n")


# --- the terminal -------------------------------------------------------------------------------

# What it tells: where its cursor is, and whether its window has the focus.
_REPORT = re.compile(r"\x1b\[(?:\d+;\d+R|[IO])")


class ChatOutput(Vt100_Output):
    """Writes frames as a whole, and asks for the terminal's focus while a line is being typed.

    The latter is as long as it is asked to mark what is pasted: another program that gets the
    terminal meanwhile, an editor or the shell after Ctrl-Z, would take the answers for keys.
    """

    _held = False

    @contextmanager
    def together(self) -> Iterator[None]:
        """Write everything of this block at once: no frame of the terminal shows half of it.

        Nor is anything taken back meanwhile: what is pasted just then is no keys either.
        """
        self._held = True
        try:
            yield
        finally:
            self._held = False
            self.flush()

    def flush(self) -> None:
        """Write what has come together, unless more of it is to come."""
        if not self._held:
            super().flush()

    def enable_bracketed_paste(self) -> None:
        """Ask for both."""
        super().enable_bracketed_paste()
        self.write_raw(FOCUS_ON)

    def disable_bracketed_paste(self) -> None:
        """Take both back."""
        if not self._held:
            super().disable_bracketed_paste()
            self.write_raw(FOCUS_OFF)


def listen_for_focus(source: Input, told: Callable[[bool], None]) -> None:
    """Call this with what the terminal tells of its focus; no key comes of it.

    What it tells is taken out before anything else is made of what came: amid a pasted block it
    would become text, and amid the mark of its end the paste would never end.
    """
    for sequence in (FOCUS_IN, FOCUS_OUT):  # for those that come in pieces
        ANSI_SEQUENCES[sequence] = Keys.Ignore
    parser: Any = getattr(source, "vt100_parser", None)
    if parser is None:  # no terminal
        return
    press_key, parse = parser.feed_key_callback, parser.feed

    def heed(press: KeyPress) -> None:
        if press.data in (FOCUS_IN, FOCUS_OUT):
            told(press.data == FOCUS_IN)
        else:
            press_key(press)

    def report(found: re.Match[str]) -> str:
        heed(KeyPress(Keys.CPRResponse, found[0]))
        return ""

    parser.feed_key_callback = heed
    parser.feed = lambda data: parse(_REPORT.sub(report, data))
