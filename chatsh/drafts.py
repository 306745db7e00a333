"""Lines that are not finished, one for each conversation, kept beyond the end of the shell.

A JSON object of texts by conversation. It is replaced at every change but never waited for: it
survives the end of the program in whatever way, not that of the machine.
"""

from __future__ import annotations

import contextlib

import msgspec

from chatd.wire.names import same
from chatd.wire.text import whole
from chatsh.private import file_of, replace_file

LARGEST = 1_000_000  # bytes of a file that is read
_decode = msgspec.json.Decoder(dict[str, str]).decode


class Drafts:
    """The drafts of one person for one server."""

    def __init__(self, server: str, name: str) -> None:
        self._path = file_of("drafts", server, name)
        self._texts: dict[str, str] = {}
        # What cannot be read holds no draft.
        unreadable = (OSError, msgspec.MsgspecError, UnicodeError, RecursionError)
        with contextlib.suppress(*unreadable), self._path.open("rb") as file:
            self._texts = _decode(file.read(LARGEST))

    def of(self, talk: str) -> str:
        """What is begun in this conversation."""
        return self._texts.get(same(talk), "")

    def keep(self, talk: str, text: str) -> None:
        """Remember this instead. Never raises: a draft may be lost with its disk."""
        begun = same(talk)  # once: this is done for each key that is pressed
        if text == self._texts.get(begun, ""):
            return
        self._texts = {key: value for key, value in self._texts.items() if key != begun}
        if text:
            self._texts[begun] = text
        data = msgspec.json.encode({key: whole(value) for key, value in self._texts.items()})
        with contextlib.suppress(OSError):
            replace_file(self._path, data, durable=False)

    def others(self, talk: str) -> list[str]:
        """In which other conversations something is begun."""
        return [key for key in self._texts if key != same(talk)]

    def renamed(self, old: str, new: str) -> None:
        """A person or a group has another name now."""
        text = self.of(old)
        if text:
            self.keep(old, "")
            self.keep(new, text)
