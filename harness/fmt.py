"""The one layout of scenario and profile files.

Comments, blank lines and the author's choice between `{a: b}` and lines stay. The keys at the top
get their order, lists two blanks of indentation, texts no quotes unless they need them. The
meaning is compared before and after: a layout that would change it is an error of ours.
"""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.emitter import Emitter
from ruamel.yaml.scalarstring import (
    DoubleQuotedScalarString,
    PlainScalarString,
    ScalarString,
    SingleQuotedScalarString,
)

from harness.yaml_nodes import Value, parsed, read

UNLIMITED = 1_000_000  # columns: text is never folded
WIDEST = 100  # columns of a list in brackets over several lines; a longer one gets a line for each
ORDER = ("scenario", "profile", "like", "covers", "tags", "points", "judges", "needs", "fails",
         "flaky", "use", "matrix", "vars", "secrets", "files", "server", "cast", "patience",
         "roles", "can", "delivery", "fence", "acts", "phrases", "messages", "steps", "cleanup",
         "laws")  # fmt: skip
# Nobody hesitates how to read these without quotes: words and blanks, no sign that YAML knows.
PLAIN = re.compile(r"[A-Za-z/_][\w/.+;()<~^$-]*(?: [\w/.+;()<~^$-]+)*", re.ASCII)
MEANS_SOMETHING = ("true", "false", "null", "yes", "no", "on", "off", "y", "n")
LONG = 160  # signs of a text in double quotes that may stand in one line
PIECE = 80  # signs of such a text in each line, if it is longer
MANY = 12  # items of a list that may stand in one line, however long it is
ESCAPES = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\b": "\\b", '"': '\\"', "\\": "\\\\"}


class _Emitter(Emitter):
    """Folds no text, and escapes what cannot be seen in the one way that JSON knows, too."""

    def write_plain(self, text: Any, split: Any = True) -> None:
        super().write_plain(text, split=False)

    def write_single_quoted(self, text: Any, split: Any = True) -> None:
        super().write_single_quoted(text, split=False)

    def write_double_quoted(self, text: Any, split: Any = True) -> None:
        signs = [escaped(sign) for sign in text]
        if len(text) <= LONG:
            self.write_indicator(f'"{"".join(signs)}"', True)
            return
        self.write_indicator('"\\', True)
        for start in range(0, len(signs), PIECE):
            self.write_indent()
            piece = "".join(signs[start : start + PIECE])
            piece = f"\\{piece}" if piece.startswith(" ") else piece
            self.write_indicator(piece + ("\\" if start + PIECE < len(signs) else '"'), False)


def escaped(sign: str) -> str:
    """A sign as it stands in double quotes."""
    if sign in ESCAPES:
        return ESCAPES[sign]
    if sign.isprintable():
        return sign
    return f"\\u{ord(sign):04x}" if ord(sign) <= 0xFFFF else f"\\U{ord(sign):08x}"


def formatted(path: Path) -> str:
    """The text of a file as it is to be; raises `ScenarioError` for what is no YAML.

    A file that cannot be laid out without changing what it means stays as it is.
    """
    root = read(path)
    before = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    text = laid_out(_ordered(before, root))
    if text == before:  # as nearly every file is: nothing to compare
        return before
    same = _in_order(parsed(text, str(path)), top=True) == _in_order(root, top=True)
    return text if same and laid_out(text) == text else before


def laid_out(text: str) -> str:
    """The layout of a document whose keys are in their order."""
    yaml = YAML()
    yaml.Emitter = _Emitter
    yaml.preserve_quotes = True
    yaml.width = UNLIMITED
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.brace_single_entry_mapping_in_flow_sequence = True
    root = _tidy(yaml.load(text), block=True)
    stream = io.StringIO()
    yaml.dump(root, stream)
    return stream.getvalue().rstrip("\n") + "\n"


def _ordered(text: str, root: Value) -> str:
    """The keys at the top in their order, each with the comments and blank lines before it.

    What stands before the first key is about the file and stays there.
    """
    keys = [(str(key.data), key.place.line - 1) for key, _ in root.pairs]
    lines = text.splitlines(keepends=True)
    at_line_start = all(key.place.column == 1 for key, _ in root.pairs)
    if not keys or not at_line_start or len({line for _, line in keys}) < len(keys):
        return text
    if not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    starts = [keys[0][1], *(_with_comments(lines, line) for _, line in keys[1:])]
    blocks = [
        (name, lines[start:end])
        for (name, _), start, end in zip(keys, starts, [*starts[1:], len(lines)], strict=True)
    ]
    blocks.sort(key=lambda block: ORDER.index(block[0]) if block[0] in ORDER else len(ORDER))
    return "".join([*lines[: starts[0]], *(line for _, block in blocks for line in block)])


def _with_comments(lines: list[str], line: int) -> int:
    """The first of the comments and blank lines right above a line."""
    while line and (not lines[line - 1].strip() or lines[line - 1].startswith("#")):
        line -= 1
    return line


def _in_order(value: Value, *, top: bool = False) -> Any:
    """A value in which the order of keys counts, except at the top."""
    if value.kind == "list":
        return [_in_order(item) for item in value.data]
    if value.kind == "mapping":
        pairs = [(key.data, _in_order(inner)) for key, inner in value.data]
        return dict(pairs) if top else pairs
    return value.data


def _tidy(node: Any, *, block: bool) -> Any:
    """The node with quotes where they are needed; `block`: not inside brackets or braces."""
    if isinstance(node, CommentedMap | CommentedSeq):
        items = node.items() if isinstance(node, CommentedMap) else enumerate(node)
        if block and isinstance(node, CommentedSeq) and _too_wide(node):
            node.fa.set_block_style()
        inner = block and node.fa.flow_style() is not True
        if isinstance(node, CommentedSeq) and not all(map(_may_be_plain, filter(_is_text, node))):
            items = [(at, item) for at, item in items if not _is_quoted(item)]  # all alike
        for key, value in list(items):
            node[key] = _tidy(value, block=inner)
        return node
    return _quoted(node) if _is_quoted(node) and not node.anchor.value else node


def _is_text(node: Any) -> bool:
    return isinstance(node, str)


def _is_quoted(node: Any) -> bool:
    return isinstance(node, SingleQuotedScalarString | DoubleQuotedScalarString)


def _may_be_plain(text: str) -> bool:
    gap = "..." in text  # stands for anything: the quotes help to see where it ends
    return bool(PLAIN.fullmatch(text)) and not gap and text.lower() not in MEANS_SOMETHING


def _quoted(text: ScalarString) -> Any:
    """The text without quotes if it is plain, in single ones if nothing has to be escaped."""
    if _may_be_plain(text):
        return PlainScalarString(str(text))
    if len(text) > LONG or not isinstance(text, DoubleQuotedScalarString):
        return text
    if text.isprintable() and text and "'" not in text:
        return SingleQuotedScalarString(str(text))
    return text


def _too_wide(node: CommentedSeq) -> bool:
    """Whether a list of single values in brackets is too long for a line."""
    single = not any(isinstance(item, CommentedMap | CommentedSeq) for item in node)
    return single and len(node) > MANY and sum(len(str(item)) + 2 for item in node) > WIDEST
