"""How `chatsh` ends: its exit codes."""

from __future__ import annotations

from enum import IntEnum

from chatd.wire.messages import Bye


class ExitCode(IntEnum):
    """What is told to whoever started `chatsh`."""

    NORMAL = 0
    CANNOT_CONNECT = 1
    USAGE = 2
    LOST = 3
    REFUSED = 4
    REMOVED = 5
    QUEUED = 10
    NOT_SENT = 11
    NOT_SEEN = 12


_BYE_CODES = {"quit": ExitCode.NORMAL, "shutdown": ExitCode.LOST, "error": ExitCode.LOST}


def code_of(bye: Bye) -> ExitCode:
    """How to end after the server's last word."""
    return _BYE_CODES.get(bye.reason, ExitCode.REMOVED)
