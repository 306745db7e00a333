"""What is said, kept for its reader: a file for each conversation, of lines of text or of JSON.

    logs/chat.example.org-8000/everyone.log
    logs/chat.example.org-8000/ana.jsonl

Each line is a message or a change of a group. A line of text is what the screen showed, with its
moment before it; one of JSON is the object that `chatsh.objects` makes of the same.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from msgspec.structs import replace

from chatd.wire.messages import IncomingBroadcast, Item
from chatd.wire.names import same
from chatd.wire.text import timestamp
from chatsh import objects, wording
from chatsh.link import Address
from chatsh.private import append_to_file, state_folder
from chatsh.settings import Settings
from chatsh.talks import EVERYONE, talk_of

LONGEST = 200  # bytes of a file's name, and some for its ending
_PLAIN = re.compile(r"[^\W_]|[ _.-]")  # a letter or a digit, or one of these
_ENDINGS = {"text": ".log", "json": ".jsonl"}


class Logs:
    """The files of one server. They are opened for each line: nothing is lost with the shell.

    What is kept depends on `settings` at that moment; `complain` is told once that a line cannot be
    kept. Of the thread that reads the link.
    """

    def __init__(
        self,
        address: Address,
        settings: Callable[[], Settings],
        now: Callable[[], datetime],
        complain: Callable[[str], None],
    ) -> None:
        server = file_name(f"{address.host or 'localhost'}-{address.port}")
        self.folder = state_folder() / "logs" / server
        self._settings = settings
        self._now = now
        self._complain = complain
        self._complained = False

    @property
    def where(self) -> str:
        """Whether and where anything is kept, for a person."""
        kind = self._settings().log
        if kind == "off":
            return "Nothing is kept; /set log text keeps what is said from then on."
        return f"What is said is kept as {kind} in {self.folder}"

    def keep(self, item: Item, me: str | None) -> None:
        """Add a line to the file of the conversation, if that is wanted."""
        kind = self._settings().log
        if kind == "off":
            return
        moment = self._moment(item)
        if kind == "json":
            milliseconds = int(moment.timestamp() * 1000)
            told = objects.of(replace(item, ts=item.ts or timestamp(milliseconds)), me)
            line = objects.encode(told or {})
        else:
            line = f"{moment:%Y-%m-%d %H:%M:%S} {wording.line(replace(item, late=False))}"
        self._append(self.folder / (log_name(item) + _ENDINGS[kind]), f"{line}\n".encode())

    def _moment(self, item: Item) -> datetime:
        """When it was said, here; the present where the server does not tell."""
        try:
            return datetime.fromisoformat(item.ts or "").astimezone()
        except (ValueError, OverflowError):
            return self._now()

    def _append(self, path: Path, data: bytes) -> None:
        try:
            append_to_file(path, data)
        except OSError as error:
            if not self._complained:
                self._complained = True
                self._complain(f"What is said is not kept: {path}: {error.strerror}")


def log_name(item: Item) -> str:
    """The name of the file of a conversation, without its ending."""
    name = file_name(talk_of(item)[0])
    if name == EVERYONE and not isinstance(item, IncomingBroadcast):
        return _escaped(name[0]) + name[1:]  # on a server of S3, somebody called that
    return name


def file_name(name: str) -> str:
    """A name as one of a file: equal for equal names, different for others on every file system.

    What may mean something there is written as in an address, `%2F`; what is too long ends in `%-`
    and a digest.
    """
    name = same(name).lower()  # also what can be no name here
    parts = [one if _PLAIN.fullmatch(one) else _escaped(one) for one in name]
    if name[:1] in (".", " "):
        parts[0] = _escaped(name[0])
    whole = ("".join(parts) or "%").encode()
    if len(whole) <= LONGEST:
        return whole.decode()
    digest = hashlib.sha256(whole).hexdigest()[:32]
    return f"{whole[: LONGEST - 34].decode(errors='ignore')}%-{digest}"


def _escaped(one: str) -> str:
    return "".join(f"%{byte:02X}" for byte in one.encode(errors="replace"))
