"""Makes text from elsewhere harmless for a terminal and for a log of lines.

What a peer says can do nothing but be text: no escape sequence, no control character, no change of
direction survives (ECMA-48; Unicode TR36, section 3.5 on bidirectional text).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

_SEQUENCES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"  # CSI
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"  # OSC, DCS
    r"|\x1b[ -/]*[0-~]?"  # two-byte escapes
)
_REPLACED = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u061c"
    "\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
_BREAKS = re.compile(r"\r\n|[\r\n\x85]")


def harmless(text: str) -> str:
    """One line of printable text: sequences dropped, breaks and tabs to spaces, the rest U+FFFD."""
    if text.isascii() and text.isprintable():
        return text
    text = _SEQUENCES.sub("", text)
    return _REPLACED.sub("\ufffd", _BREAKS.sub(" ", text).replace("\t", "    "))


def timestamp(milliseconds: int) -> str:
    """A moment since 1970 as RFC 3339 in UTC, to the millisecond."""
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
