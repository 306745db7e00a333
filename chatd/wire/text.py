"""Makes text from elsewhere harmless for a terminal and for a log of lines.

What a peer says can do nothing but be text: no escape sequence, no control character, no change of
direction survives (ECMA-48; Unicode TR36, section 3.5 on bidirectional text), nothing that nobody
can see, and no pile of marks that covers the lines around it.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime
from functools import lru_cache

MARKS = 4  # on one character; written languages need three, a screen has room for no more

_SEQUENCES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"  # CSI
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"  # OSC, DCS
    r"|\x1b[ -/]*[0-~]?"  # two-byte escapes
)
_REPLACED = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u061c"
    "\u202a-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
_BREAKS = re.compile(r"\r?\n")
_BLANKS = re.compile("[\r\x85]")
# Default_Ignorable_Code_Point of Unicode without what is replaced above: invisible, of a width that
# terminals disagree about, and good for hiding a text in a text.
_INVISIBLE = (
    "\xad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u2060-\u2065\u206a-\u206f\u3164\ufe00-\ufe0d"
    "\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_SPECIAL = re.compile("[^\x00-\xac\xae-\u02ff]")  # the others are as they are
# Compiled when first wanted: these take milliseconds, which most programs never need.
_DROPPED = f"[{_INVISIBLE}]"
_JOINED = rf"[^\x00-\x9f\s{_INVISIBLE}\u200c\u200d\ufe0e\ufe0f\ufffd]"
_STRAY_STYLE = "(?<![#*0-9\xa9\xae\u203c-\u3299\U0001f000-\U0001faff])[\ufe0e\ufe0f]"
_STRAY_JOINER = (
    f"(?<!{_JOINED})(?<!{_JOINED}[\ufe0e\ufe0f])[\u200c\u200d]|[\u200c\u200d](?!{_JOINED})"
)
_PILE = re.compile(f"[^\x00-\u02ff]{{{MARKS + 1},}}")  # no mark stands before U+0300


def harmless(text: str) -> str:
    """One line of printable text: `harmless_lines` with a blank for each break."""
    if text.isascii() and text.isprintable():
        return text
    return " ".join(harmless_lines(text))


def harmless_lines(text: str, tab: str = "    ") -> list[str]:
    """The lines of a text, each printable; at least one.

    Lines end with LF or CRLF. Sequences are dropped, tabs and a CR alone become blanks, control
    characters and those that change the direction of writing U+FFFD. Invisible characters are
    dropped, but for what scripts and emoji are made with: one joiner between two characters beyond
    ASCII that are no blanks, and one variation selector 15 or 16 behind a symbol or a digit. A
    character keeps its first `MARKS` marks; a line that begins with one gets a dotted circle for it
    to stand on.
    """
    lines = _BREAKS.split(_SEQUENCES.sub("", text))
    return [_line(_BLANKS.sub(" ", line).replace("\t", tab)) for line in lines]


def _line(line: str) -> str:
    line = _REPLACED.sub("\ufffd", line)
    if not _SPECIAL.search(line):
        return line
    line = _PILE.sub(_levelled, re.sub(_DROPPED, "", line))
    line = re.sub(_STRAY_JOINER, "", re.sub(_STRAY_STYLE, "", line))
    return f"\u25cc{line}" if _is_mark(line[:1]) else line


def _levelled(pile: re.Match[str]) -> str:
    """The first marks of each character; joiners and selectors between them begin no new one."""
    kept, marks = [], 0
    for char in pile[0]:
        if _is_mark(char):
            marks += 1
        elif char not in "\u200c\u200d\ufe0e\ufe0f":
            marks = 0
        if marks <= MARKS:
            kept.append(char)
    return "".join(kept)


def _is_mark(char: str) -> bool:
    """Whether it takes no place of its own; vowels and ends of Hangul syllables count as well."""
    if char in ("", "\ufe0e", "\ufe0f"):
        return False
    if "\u1160" <= char <= "\u11ff" or "\ud7b0" <= char <= "\ud7ff":
        return True
    return unicodedata.category(char)[0] == "M"


def whole(text: str) -> str:
    """Without half characters, which a terminal may give and no text in UTF-8 holds."""
    return text.encode(errors="replace").decode()


@lru_cache(256)  # the messages of one turn have few different ones
def timestamp(milliseconds: int) -> str:
    """A moment since 1970 as RFC 3339 in UTC, to the millisecond."""
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def fingerprint(certificate: bytes) -> str:
    """Of a certificate in DER, written as ssh writes those of its keys, to be compared by eye."""
    import hashlib  # few programs need it
    from base64 import b64encode

    digest = hashlib.sha256(certificate).digest()
    return f"SHA256:{b64encode(digest).decode().rstrip('=')}"
