"""Messages that could not be sent before the shell ended, kept for the next time.

One file for each server and name, a JSON object of the wire per line. With the messages their ids
are kept: one that the server had stored already, only its answer was lost, is not stored again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

import msgspec
from msgspec.structs import replace

from chatd.wire.messages import Outgoing, OutgoingBroadcast, OutgoingGroup, encode
from chatsh.private import file_of, replace_file

Message = Outgoing | OutgoingBroadcast | OutgoingGroup

_decode = msgspec.json.Decoder(Message).decode


class Spool:
    """The messages of one person for one server."""

    def __init__(self, server: str, name: str) -> None:
        self.path = file_of("unsent", server, name)

    def load(self) -> dict[str, Message]:
        """What is kept, by id, in the order of typing; unreadable lines are passed over."""
        kept = {}
        with contextlib.suppress(OSError):
            for line in self.path.read_bytes().splitlines():
                with contextlib.suppress(msgspec.MsgspecError, UnicodeError, RecursionError):
                    message = _decode(line)
                    kept[message.id or ""] = replace(message, id=None)
        kept.pop("", None)
        return kept

    def save(self, messages: Mapping[str, Message]) -> None:
        """Keep these instead, readable by their writer alone.

        Raises `OSError`, and then what was kept before is still there.
        """
        if not messages:
            self.path.unlink(missing_ok=True)
            return
        lines = [encode(replace(message, id=key)) + b"\n" for key, message in messages.items()]
        replace_file(self.path, b"".join(lines))
