"""The text of a message as rows for a screen: its lines, its code, and where a row must end.

Somebody's line begins with their name at the left edge, and nothing else of a message does: what
follows its first row stands behind a gutter. Only the one row that a terminal itself continues, a
long text without line breaks, goes on at the edge, so that it can be copied as one; unless it would
go on there like a line of somebody's.

Text is code between fences as in CommonMark: a line of three or more backticks, with a word for
the language or none, and a line of at least as many; where that is missing, the end of the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import NamedTuple

from rich.text import Text

from chatd.wire.text import harmless_lines

GUTTER = "  │ "
QUIET, CODE = "chat.quiet", "chat.code"
NARROWEST = 8  # cells beside the gutter, whatever the terminal says
_FENCE = re.compile(r" {0,3}(`{3,})[ ]*([\w+#.-]*)[ ]*")
_LIKE_A_LINE = re.compile(r"\s*(?:\[|\S{1,32}(?: \S{1,32}){0,3}: |\S+ \S+ \S+> )")
_EMOJI_STYLE = "\ufe0f"

Mark = Callable[[Text], None]  # puts styles onto a line of prose
Colour = Callable[[str, str], Text]  # code and its language to the same code in colours


class Part(NamedTuple):
    """Lines of one kind; `language` is None for prose and "" for code of an unnamed one."""

    lines: list[str]
    language: str | None = None


def parts(content: str) -> list[Part]:
    """What a message is made of, harmless; a fence without code behind it is prose."""
    found, fence = [Part([])], ""
    for line in _trimmed(harmless_lines(content)):
        wall = _FENCE.fullmatch(line)
        if fence and wall and len(wall[1]) >= len(fence) and not wall[2]:
            fence = ""
            found.append(Part([]))
        elif wall and not fence:
            fence = wall[1]
            found.append(Part([], wall[2].lower()))
        else:
            found[-1].lines.append(line)
    kept = [part for part in found if part.lines]
    return kept or [Part(_trimmed(harmless_lines(content)))]


def _trimmed(lines: list[str]) -> list[str]:
    """Without the blank lines at the end; at least one."""
    while len(lines) > 1 and not lines[-1].strip():
        lines.pop()
    return lines


def rows(
    head: Text,
    content: str,
    width: int | None = None,
    *,
    mark: Mark | None = None,
    colour: Colour | None = None,
) -> list[Text]:
    """A message behind its head, one `Text` per row; the first may be longer than the terminal.

    `width` is in cells; None leaves every line as long as it is.
    """
    made = parts(content)
    first = made[0]
    if first.language is not None:
        shown = [_without_blank_end(head)]
    elif len(made) == 1 and len(first.lines) == 1:
        return _one_line(head, _prose(first.lines[0], mark), width)
    else:
        line = _prose(first.lines.pop(0), mark)
        shown = _wrapped(line, width, head)
    for part in made:
        for line in _lines(part, mark, colour):
            shown += _wrapped(line, width, words=part.language is None)
    return shown


def _without_blank_end(head: Text) -> Text:
    short = head.copy()
    short.rstrip()
    return short


def _prose(line: str, mark: Mark | None) -> Text:
    text = Text(line)
    if mark:
        mark(text)
    return text


def _lines(part: Part, mark: Mark | None, colour: Colour | None) -> Iterator[Text]:
    if part.language is None:
        yield from (_prose(line, mark) for line in part.lines)
    elif part.language and colour:
        coloured = colour("\n".join(part.lines), part.language)
        yield from coloured.split("\n", allow_blank=True)
    else:
        yield from (Text(line, CODE) for line in part.lines)


def _one_line(head: Text, line: Text, width: int | None) -> list[Text]:
    whole = Text.assemble(head, line)
    if width is None:
        return [whole]
    ends = breaks(whole.plain, width, words=False)
    if any(_like_a_line(whole.plain, end) for end in ends):
        return _wrapped(line, width, head)
    return [whole]


def _like_a_line(text: str, start: int) -> bool:
    """Whether what begins here, at the left edge, might be taken for a line of its own."""
    return text[max(start - 2, 0) : start].isspace() or bool(_LIKE_A_LINE.match(text, start))


def _wrapped(
    line: Text, width: int | None, head: Text | None = None, *, words: bool = True
) -> list[Text]:
    """One line as rows behind the gutter, or the first of them behind the head."""
    begun = head if head is not None else Text(GUTTER, QUIET)
    if width is None:
        return [Text.assemble(begun, line)]
    room = max(width - len(GUTTER), NARROWEST)
    first = max(width - cells(begun.plain), 0)
    ends = breaks(line.plain, room, first=first, words=words)
    pieces = line.divide(ends)
    return [
        Text.assemble(Text(GUTTER, QUIET) if number else begun, piece)
        for number, piece in enumerate(pieces)
    ]


def cells(text: str) -> int:
    """How many cells a text takes at most, on whatever terminal.

    Terminals differ in sequences joined to one emoji: taken apart, they are the widest.
    """
    if text.isascii():
        return len(text)
    return sum(_size(text, at) for at in range(len(text)))


def _size(text: str, at: int) -> int:
    size = _width(text[at])
    return 2 if size == 1 and text[at + 1 : at + 2] == _EMOJI_STYLE else size


@lru_cache(maxsize=4096)
def _width(char: str) -> int:
    from wcwidth import wcwidth  # slow to import, and a program's lines have no width

    return max(int(wcwidth(char)), 0)


def breaks(text: str, width: int, *, first: int | None = None, words: bool = True) -> list[int]:
    """Where the rows after the first begin, if `first` cells are free in that and `width` in each.

    With `words`, a row ends behind a blank where it has one.
    """
    room = width if first is None else first
    if len(text) <= room and text.isascii():
        return []
    found: list[int] = []
    start = blank = used = 0
    for at, char in enumerate(text):
        size = _size(text, at)
        while used + size > room and (at > start or room < width):
            start = blank if words and blank > start else at
            used = cells(text[start:at])
            room = width
            found.append(start)
        used += size
        if char == " ":
            blank = at + 1
    return found
