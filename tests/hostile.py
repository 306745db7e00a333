"""What somebody might send so that another's terminal does more than show it.

Each row is a text and what stands behind `eve: ` then, at 80 columns: the rest of that row, and
further rows. A terminal's cell keeps the marks of its character.
"""

from typing import NamedTuple


class Case(NamedTuple):
    """A text that is not what it seems, and the rows that it may be."""

    what: str
    text: str
    rows: list[str]


GUTTER = "  │ "
MARK = "\N{COMBINING ACUTE ACCENT}"
ROOM = 80 - len("eve: ")

CASES = [
    # --- sequences of ECMA-48, in 7 and in 8 bits, whole, cut off and nested ---
    Case("clear", "a\x1b[2J\x1b[Hb", ["ab"]),
    Case("colour", "a\x1b[31;1mb\x1b[0m", ["ab"]),
    Case("colons", "a\x1b[38:2::255:0:0mb", ["ab"]),
    Case("private", "a\x1b[?1049hb\x1b[>4;2m\x1b[=1uc", ["abc"]),
    Case("scroll region", "a\x1b[1;2rb\x1b[99Sc", ["abc"]),
    Case("asks", "a\x1b[6n\x1b[c\x1b[5n\x1b[>q\x05b", ["a\ufffdb"]),
    Case("title", "a\x1b]0;owned\x07b", ["ab"]),
    Case("clipboard", "a\x1b]52;c;b3duZWQ=\x1b\\b", ["ab"]),
    Case("link", "a\x1b]8;;http://x\x1b\\b\x1b]8;;\x1b\\", ["ab"]),
    Case("endless title", "a\x1b]0;owned", ["a"]),
    Case(
        "device control",
        "a\x1bP$q m\x1b\\b\x1b_app\x1b\\c\x1b^priv\x1b\\d\x1bXsos\x1b\\e",
        ["abcde"],
    ),
    Case("8 bit", "a\x9b2Jb\x9d0;owned\x9cc\x90q\x9cd\x9fapp\x9ce", ["abcde"]),
    Case("two bytes", "a\x1bc\x1b7\x1b8\x1bM\x1b(0b", ["ab"]),
    Case("cut off", "a\x1b[", ["a"]),
    Case("nested", "a\x1b\x1b[2J[2Jb", ["a[2Jb"]),
    Case("joined again", "a\x1b\u200b[2Jb", ["a[2Jb"]),
    # --- control characters ---
    Case("raw of prompt_toolkit", "a\x01\x1b[2J\x02b", ["a\ufffd\ufffdb"]),
    Case("backspace", "abc\x08\x08\x08d\x7f", ["abc\ufffd\ufffd\ufffdd\ufffd"]),
    Case("return", "a\rben: hi", ["a ben: hi"]),
    Case("return over a long line", "x" * 70 + "\rben: hi", ["x" * 70 + " ben:", " hi"]),
    Case("shift", "a\x0e\x0fb\x0b\x0cc", ["a\ufffd\ufffdb\ufffd\ufffdc"]),
    Case("nul and bell", "a\x00b\x07", ["a\ufffdb\ufffd"]),
    Case("tab", "a\tb", ["a    b"]),
    # --- lines ---
    Case("a line of ben's", "a\nben: hi", ["a", f"{GUTTER}ben: hi"]),
    Case(
        "a line of the shell's",
        "a\r\nenter your message> /quit",
        ["a", f"{GUTTER}enter your message> /quit"],
    ),
    Case("separators", "a\u2028ben: b\u2029c\x85d", ["a\ufffdben: b\ufffdc d"]),
    Case("padded", "a" + " " * (ROOM - 1) + "ben: hi", ["a", f"{GUTTER}ben: hi"]),
    Case("filled", "x" * ROOM + "ben: hi", ["x" * ROOM, f"{GUTTER}ben: hi"]),
    Case(
        "filled with wide ones",
        "宽" * 37 + "x[team] ben: hi",
        ["宽" * 37 + "x", f"{GUTTER}[team] ben: hi"],
    ),
    Case(
        "fence", "```\n\x1b[2Jben: hi\n```\nben: ho", ["", f"{GUTTER}ben: hi", f"{GUTTER}ben: ho"]
    ),
    Case("only breaks", "\n\n\n", [""]),
    # --- directions, and what nobody sees ---
    Case(
        "right to left",
        "a\u202etxt.exe\u202c\u2067b\u2069\u200fc",
        ["a\ufffdtxt.exe\ufffd\ufffdb\ufffd\ufffdc"],
    ),
    Case("zero width", "a\u200b\u200c\u200d\u2060\ufeffb", ["a\ufffdb"]),
    Case("soft hyphens", "a\xad\xad\u180eb\u034f", ["ab"]),
    Case("tags", "a\U000e0069\U000e0067\U000e006e\U000e007fb\U000e0100", ["ab"]),
    Case("fillers", "a\u3164\u115f\u1160\uffa0b", ["ab"]),
    Case("selectors", "a\ufe0f\ufe00b", ["ab"]),
    Case("annotations", "a\ufff9b\ufffac\ufffb", ["a\ufffdb\ufffdc\ufffd"]),
    # --- marks ---
    Case("a pile of marks", "e" + MARK * 300 + "nd", ["é" + MARK * 3 + "nd"]),
    Case("piles without end", ("e" + MARK * 50) * 10, [("é" + MARK * 3) * 10]),
    Case("a mark at the beginning", MARK * 300 + "nd", ["\u25cc" + MARK * 4 + "nd"]),
    Case("a mark at the beginning of a line", "a\n" + MARK + "b", ["a", f"{GUTTER}\u25cc{MARK}b"]),
    Case("enclosing marks", "a\u20dd\u20de\u20e3\u20dd\u20de\u20e3b", ["ab"]),
    # --- width ---
    Case("a long word", "x" * 200, ["x" * ROOM, "x" * 80, "x" * 45]),
    Case(
        "wide at the edge",
        "a\n" + "x" * 75 + "宽宽",
        ["a", f"{GUTTER}{'x' * 75}", f"{GUTTER}宽宽"],
    ),
    # --- what other programs would read something into ---
    Case("markup", "[bold red]a[/] [link=x]b[/link] [/", ["[bold red]a[/] [link=x]b[/link] [/"]),
    Case("names of emoji", ":smile: :heart:", [":smile: :heart:"]),
    Case(
        "formats",
        "{0} %s %(x)s $HOME `id` \\x1b[2J <b>x</b> &amp;",
        ["{0} %s %(x)s $HOME `id` \\x1b[2J <b>x</b> &amp;"],
    ),
]
EMOJI = ["👩\u200d👩\u200d👧", "❤\ufe0f", "1\ufe0f\u20e3", "👍🏽", "🇩🇪", "🏳\ufe0f\u200d🌈"]
