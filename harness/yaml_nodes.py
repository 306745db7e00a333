"""YAML with places: every key and value knows its line and column.

Reading is bounded: a file has a largest size, a deepest nesting and, since a reference to an
anchor stands for all that is behind it, a largest number of values.
"""

from __future__ import annotations

import functools
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec import Struct
from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.error import MarkedYAMLError, StreamMark, YAMLError
from ruamel.yaml.events import AliasEvent
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from harness.codes import number
from harness.errors import Place, Problem, ScenarioError

LARGEST = 1024 * 1024  # bytes of a file
DEEPEST = 50  # lists and mappings inside each other
MOST = 100_000  # values of a file, those behind references counted each time
REMEMBERED = 16  # documents, by their text: many scenarios share few profiles and parts
TAG = "tag:yaml.org,2002:"
PLAIN_TAGS = ("str", "int", "float", "bool", "null", "seq", "map", "timestamp", "merge", "value")
QUOTE = "text that begins with {} needs quotes"
REPAIRS = (  # what the YAML reader says, the code, what a person has to do
    ("mapping values are not allowed", "colon-in-text",
     "text that contains ': ' needs quotes: 'ana: hello'"),
    ("found character '\\t'", "tab", "indent with blanks, not with tabs"),
    ("block sequence entries are not allowed", "bare-text", QUOTE.format("'- '")),
    ("sequence entries are not allowed", "bare-text", QUOTE.format("'- '")),
    ("cannot start any token", "bare-text", QUOTE.format("this character")),
    ("while scanning a block scalar", "bare-text", QUOTE.format("| or >")),
    ("while scanning an alias", "bare-text", QUOTE.format("*")),
    ("undefined alias", "bare-text", QUOTE.format("*")),
    ("while scanning an anchor", "bare-text", QUOTE.format("&")),
    ("while scanning a tag", "bare-text", QUOTE.format("!")),
    ("while parsing a tag", "bare-text", QUOTE.format("!")),
    ("while parsing a node", "bare-text", QUOTE.format("this character")),
    ("while scanning a quoted", "open-quote", "the closing quote is missing, or \\ needs '...'"),
    ("while scanning a double-quoted", "bad-escape",
     "in '...' a \\ is a \\; in \"...\" write \\\\"),
    ("while parsing a flow", "open-bracket",
     "] closes a list, } a mapping; text with , [ ] { } needs quotes"),
    ("a single document", "two-documents", "one scenario per file: take --- out"),
    ("could not find expected ':'", "no-yaml",
     "a key needs a colon after it; text with ': ' needs quotes"),
    ("expected <block end>", "no-yaml",
     "give the line the indentation of its neighbours; quote all of a text that begins with a"
     " quotation mark"),
    ("", "no-yaml", "lines are `key: value` or `- value`, indented with blanks"),
)  # fmt: skip
COLON = re.compile(r":(?=\s|$)")
NO_BLANK = re.compile(r"[\w'\"]:\S")
BEGINS_WITH_LIST = re.compile(r"[\s-]*\[[^]]*\]\s*\w+.*:")


class Value(Struct):
    """A node: `data` is a scalar, a list of `Value`, or a list of (key, value) pairs."""

    data: Any
    place: Place
    kind: str  # scalar, list, mapping
    raw: str = ""  # a scalar as it stands in the file, with its quotes
    swallowed: bool = False  # nothing stands here because all of it is a comment

    def plain(self) -> Any:
        """The same without places."""
        if self.kind == "list":
            return [value.plain() for value in self.data]
        if self.kind == "mapping":
            return {key.data: value.plain() for key, value in self.data}
        return self.data

    @property
    def pairs(self) -> list[tuple[Value, Value]]:
        """The pairs of a mapping; none of anything else."""
        return self.data if self.kind == "mapping" else []

    @property
    def values(self) -> list[Value]:
        """The values of a list; anything else is a list of one."""
        return self.data if self.kind == "list" else [self]

    def get(self, key: str) -> Value | None:
        """The value of a key."""
        return next((value for name, value in self.pairs if name.data == key), None)

    def at(self, word: str) -> Place:
        """Where a word stands inside a scalar; its beginning, if that cannot be told."""
        found = re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", self.raw) if word else None
        start = found.start() if found else self.raw.find(word)
        if start < 1:
            return self.place
        before = self.raw[:start]
        line = self.place.line + before.count("\n")
        column = start - before.rfind("\n") if "\n" in before else self.place.column + start
        return Place(self.place.file, line, column)


def read(path: Path, shown: str = "") -> Value:
    """The document in a file; raises `ScenarioError` for what is no YAML."""
    shown = shown or str(path)
    return parsed(_decoded(_bytes(path, shown), shown), shown)


@functools.lru_cache(REMEMBERED)
def parsed(text: str, shown: str) -> Value:
    """The document of a text, which nobody changes; raises `ScenarioError` for what is no YAML."""
    yaml = YAML(typ="safe", pure=True)
    yaml.Composer = _Bounded
    try:
        node = yaml.compose(text)
    except MarkedYAMLError as error:
        raise ScenarioError([_syntax(error, text, shown)]) from error
    except ReaderError as error:
        raise ScenarioError([_unreadable(error, text, shown)]) from error
    except YAMLError as error:
        raise _refused(Place(shown), "no-yaml", f"no YAML: {error}") from error
    except _TooDeepError as error:
        raise _refused(
            _place(error.mark, shown), "too-deep",
            f"lists and mappings more than {DEEPEST} deep", "such a file means nothing here",
        ) from error  # fmt: skip
    if node is None:
        raise _refused(
            Place(shown), "empty-file", "the file is empty", "scenario: what the product promises"
        )
    return _Reader(text, shown, yaml.composer).document(node)


def _refused(place: Place, code: str, text: str, help_: str = "") -> ScenarioError:
    return ScenarioError([Problem(place, text, help_, number(code))])


def _bytes(path: Path, shown: str) -> bytes:
    place = Place(shown)
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise _refused(place, "unreadable", "cannot be read: it is a folder", "name a file")
        if not stat.S_ISREG(status.st_mode):
            raise _refused(place, "unreadable", "cannot be read: it is no file", "name a file")
        if status.st_size > LARGEST:
            raise _refused(
                place, "too-large",
                f"the file has {status.st_size} bytes, more than {LARGEST}",
                "repeat: and matrix: say much in few lines; cut the rest into several files",
            )  # fmt: skip
        return path.read_bytes()
    except OSError as error:
        raise _refused(
            place,
            "unreadable",
            f"cannot be read: {error.strerror}",
            "look at the path and its mode",
        ) from error
    except ValueError as error:  # a null byte in the path
        raise _refused(place, "unreadable", f"cannot be read: {error}") from error


def _decoded(data: bytes, shown: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8", "replace").split("\n")
        place = Place(shown, len(before), len(before[-1]) + 1)
        raise _refused(
            place, "not-utf8", f"byte {data[error.start]:#04x} is no UTF-8 text",
            "save the file as UTF-8; bytes for a socket are written {hex: 'ff fe'}",
        ) from error  # fmt: skip


def _place(mark: StreamMark | None, shown: str) -> Place:
    return Place(shown, mark.line + 1, mark.column + 1) if mark else Place(shown)


def _syntax(error: MarkedYAMLError, text: str, shown: str) -> Problem:
    mark = error.problem_mark or error.context_mark
    said = " ".join(filter(None, (error.context, error.problem)))
    what = f"no YAML: {error.problem or error.context}"
    place, lines = _place(mark, shown), text.split("\n")
    line = lines[place.line - 1] if place.line <= len(lines) else ""
    if BEGINS_WITH_LIST.match(line):
        return Problem(place, what, "several actors: ana, ben see:", number("key-no-text"))
    code, repair = next((code, repair) for sign, code, repair in REPAIRS if sign in said)
    if code == "colon-in-text":
        code, repair = _colon(lines, place.line, repair)
    if code in ("open-quote", "open-bracket") and error.context_mark:
        place = _place(error.context_mark, shown)  # where it was opened, not the end of the file
    if "\t" in line[: place.column] and line[: place.column].isspace():
        code, repair = "tab", "indent with blanks, not with tabs"
    return Problem(place, what, repair, number(code))


def _colon(lines: list[str], at_line: int, usual: str) -> tuple[str, str]:
    """Why a colon cannot stand there: two in its line, or the line does not follow the one before.

    Returns the code and the repair.
    """
    line = lines[at_line - 1]
    if len(COLON.findall(line)) > 1:
        return (
            "colon-in-text",
            f"{usual}; a key inside a key needs braces, a: {{b: c}}, or a line of its own",
        )
    at = next((n for n in range(at_line - 1, 0, -1) if lines[n - 1].strip()), at_line)
    if at < at_line and not COLON.search(lines[at - 1]) and NO_BLANK.search(lines[at - 1]):
        return "no-yaml", f"put a blank after the colon in line {at}"
    return "no-yaml", "the line is indented too far: give it the indentation of its neighbours"


def _unreadable(error: ReaderError, text: str, shown: str) -> Problem:
    before = text[: error.position].split("\n")
    return Problem(
        Place(shown, len(before), len(before[-1]) + 1),
        f"no YAML: the character {ord(text[error.position]):#06x} may not stand in a file",
        'in "..." it is written \\x1b or \\u202e',
        number("control-character"),
    )


class _TooDeepError(Exception):
    """Nested deeper than anybody means it."""

    def __init__(self, mark: StreamMark) -> None:
        super().__init__()
        self.mark = mark


class _Bounded(Composer):
    """Composes no deeper than `DEEPEST`, and remembers which anchors are referred to."""

    nesting = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """One node, and those inside it."""
        event = self.parser.peek_event()
        if isinstance(event, AliasEvent):
            self.__dict__.setdefault("referred", {}).setdefault(event.anchor, event.start_mark)
        if self.nesting > DEEPEST:
            raise _TooDeepError(event.start_mark)
        self.nesting += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.nesting -= 1


class _Reader:
    """Makes values of nodes, noting what is wrong with them."""

    def __init__(self, text: str, shown: str, composer: Any) -> None:
        self._text, self._shown = text, shown
        self._referred: dict[str, StreamMark] = composer.__dict__.get("referred", {})
        self._problems: list[Problem] = []
        self._count = 0

    def document(self, node: Node) -> Value:
        """The whole document; raises `ScenarioError`."""
        value = self._value(node, 0)
        if self._problems:
            raise ScenarioError(self._problems)
        return value

    def _wrong(self, place: Place, code: str, text: str, help_: str) -> None:
        self._problems.append(Problem(place, text, help_, number(code)))

    def _value(self, node: Node, depth: int) -> Value:
        place = _place(node.start_mark, self._shown)
        self._count += 1
        if self._count > MOST or depth > DEEPEST:
            mark = next(iter(self._referred.values()), node.start_mark)
            raise _refused(
                _place(mark, self._shown), "too-much", f"stands for more than {MOST} values",
                "write out what is meant, without references such as *name",
            )  # fmt: skip
        if node.anchor and node.anchor not in self._referred:
            self._wrong(place, "bare-text", f"'&{node.anchor}' is an anchor nobody refers to",
                        QUOTE.format("&"))  # fmt: skip
        if isinstance(node, SequenceNode):
            return Value([self._value(item, depth + 1) for item in node.value], place, "list")
        if isinstance(node, MappingNode):
            return Value(self._pairs(node, depth), place, "mapping")
        assert isinstance(node, ScalarNode)
        raw = self._text[node.start_mark.index : node.end_mark.index]
        return Value(self._scalar(node, place), place, "scalar", raw)

    def _pairs(self, node: MappingNode, depth: int) -> list[tuple[Value, Value]]:
        pairs: list[tuple[Value, Value]] = []
        first: dict[Any, Place] = {}
        for key_node, value_node in node.value:
            key = self._value(key_node, depth + 1)
            if key.kind != "scalar":
                self._wrong(
                    key.place, "key-no-text", f"a {key.kind} cannot be a key",
                    "several actors: ana, ben see:",
                )  # fmt: skip
                continue
            if key.data in first:
                self._wrong(
                    key.place, "duplicate-key",
                    f"{key.data!r} stands here twice (first in line {first[key.data].line})",
                    "give a list as its value, or begin a new exchange with '- '",
                )  # fmt: skip
            first.setdefault(key.data, key.place)
            value = self._value(value_node, depth + 1)
            if value.data is None and not value.raw:
                self._nothing(key_node, value)
            pairs.append((key, value))
        return pairs

    def _nothing(self, key: Node, value: Value) -> None:
        """Nothing stands there: say so where it should stand."""
        end = key.end_mark
        value.place = Place(self._shown, end.line + 1, end.column + 2)
        rest = self._text[end.index :].partition("\n")[0]
        value.swallowed = re.match(r"\s*:\s+#", rest) is not None
        if value.swallowed:
            value.place = Place(self._shown, end.line + 1, end.column + rest.index("#") + 1)

    def _scalar(self, node: ScalarNode, place: Place) -> Any:
        tag = str(node.tag or "")
        kind = tag.removeprefix(TAG)
        if kind not in PLAIN_TAGS:
            self._wrong(place, "bare-text", f"{tag!r} is a tag of YAML", QUOTE.format("!"))
            return node.value
        try:
            return CONVERT.get(kind, str)(node.value)
        except ValueError:
            self._wrong(place, "bad-number", f"{node.value!r} is no {kind}", "a text needs quotes")
            return node.value


INT = re.compile(r"[-+]?[0-9]+")
CONVERT: dict[str, Callable[[str], Any]] = {
    "null": lambda _text: None,
    "bool": lambda text: text.lower() == "true",
    "int": lambda text: int(text) if INT.fullmatch(text) else int(text.replace("_", ""), 0),
    "float": lambda text: float(text.replace("_", "").lower().replace(".inf", "inf")
                                .replace(".nan", "nan")),
}  # fmt: skip
