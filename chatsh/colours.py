"""Code in the colours of its language. Slow to import: whoever has no code to show does without."""

from __future__ import annotations

from pygments.token import Comment, Keyword, Name, Number, Operator, String
from rich.style import Style
from rich.syntax import ANSISyntaxTheme, Syntax
from rich.text import Text

from chatsh.themes import Theme

FEWEST = 4  # colours of a theme that can tell the kinds of words apart


def coloured(code: str, language: str, theme: Theme) -> Text:
    """The same text, with the colours of the theme, on the background of the terminal."""
    if len(theme.names) < FEWEST:
        return Text(code, theme.code)
    found = Syntax(code, language, theme=_colours(theme)).highlight(code)
    # The lexers end a text with a line end, and may leave out what they hold for nothing.
    found.right_crop(len(found) - len(code))
    return found if found.plain == code else Text(code, theme.code)


def _colours(theme: Theme) -> ANSISyntaxTheme:
    """The colours of names, which read on dark and light, for the kinds of words."""
    first, second, third, fourth, *_ = theme.names
    kinds = {
        Comment: theme.quiet,
        Keyword: second,
        Operator.Word: second,
        Name.Function: fourth,
        Name.Class: fourth,
        Number: first,
        String: third,
    }
    return ANSISyntaxTheme({kind: Style.parse(style) for kind, style in kinds.items()})
