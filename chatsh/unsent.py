"""Messages that could not be sent before the shell ended, kept for the next time.

One file for each server and name, a JSON object of the wire per line. With the messages their ids
are kept: one that the server had stored already, only its answer was lost, is not stored again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import msgspec
import platformdirs
from msgspec.structs import replace

from chatd.wire.errors import PeerError
from chatd.wire.messages import Outgoing, OutgoingBroadcast, OutgoingGroup, encode
from chatd.wire.names import fold

Message = Outgoing | OutgoingBroadcast | OutgoingGroup

_decode = msgspec.json.Decoder(Message).decode


def state_folder() -> Path:
    """Where a person's files of `chatsh` are."""
    return platformdirs.user_state_path("chatsh")


class Spool:
    """The messages of one person for one server."""

    def __init__(self, server: str, name: str) -> None:
        with contextlib.suppress(PeerError):
            name = fold(name)
        # A digest, for a host and a name together may be longer than the name of a file.
        digest = hashlib.sha256(f"{server}\n{name}".encode(errors="replace")).hexdigest()
        self.path = state_folder() / "unsent" / f"{digest[:32]}.jsonl"

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
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lines = [encode(replace(message, id=key)) + b"\n" for key, message in messages.items()]
        with tempfile.NamedTemporaryFile(dir=self.path.parent, delete=False) as file:  # mode 0600
            try:
                file.write(b"".join(lines))
                file.flush()
                os.fsync(file.fileno())
                Path(file.name).replace(self.path)
            except OSError:
                Path(file.name).unlink(missing_ok=True)
                raise
