"""`docs/protocol.md` says what `chatd.wire` does: every code, field and error, and its traces."""

import json
import re
from pathlib import Path

import msgspec
import pytest

from chatd.wire.errors import FAULTS, ErrorCode
from chatd.wire.messages import FromClient, FromServer, by_code

PAGE = (Path(__file__).parent.parent / "docs" / "protocol.md").read_text("utf-8")
PLAIN = {
    "Requests": {
        "hello": {"name?"},
        "who": set(),
        "outgoing": {"to", "content"},
        "text": {"to", "content"},
        "outgoing_broadcast": {"content"},
        "quit": set(),
    },
    "What the server sends": {
        "welcome": set(),
        "users": {"users"},
        "incoming": {"from", "content"},
        "incoming_broadcast": {"from", "content"},
    },
}
UNIONS = {"Requests": FromClient, "What the server sends": FromServer}


def table(title: str) -> list[list[str]]:
    """The cells of the table below a heading."""
    section = PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def fields_of(kind) -> list[str]:
    return [f.encode_name + ("" if f.required else "?") for f in msgspec.structs.fields(kind)]


@pytest.mark.parametrize("title", UNIONS)
def test_every_message_stands_in_its_table_with_all_its_fields(title: str):
    said = {row[0].strip("*`"): re.findall(r"`([^`]+)`", row[1]) for row in table(title)}
    built = {code: fields_of(kind) for code, kind in by_code(UNIONS[title]).items()}
    assert {code: sorted(fields) for code, fields in said.items()} == {
        code: sorted(fields) for code, fields in built.items()
    }


@pytest.mark.parametrize("title", UNIONS)
def test_what_a_plain_session_uses_is_bold_and_nothing_else(title: str):
    bold = {
        row[0].strip("*`"): set(re.findall(r"\*\*`([^`]+)`\*\*", row[1]))
        for row in table(title)
        if row[0].startswith("**")
    }
    assert bold == PLAIN[title]
    plain = [row for row in table(title) if not row[0].startswith("**")]
    assert not any("**" in row[1] for row in plain)


@pytest.mark.parametrize("title", UNIONS)
def test_the_choices_of_a_field_are_all_named(title: str):
    meanings = {row[0].strip("*`"): row[2] for row in table(title)}
    for code, kind in by_code(UNIONS[title]).items():
        for field in msgspec.inspect.type_info(kind).fields:
            if isinstance(field.type, msgspec.inspect.LiteralType):
                for value in field.type.values:
                    assert f"`{value}`" in meanings[code], f"{code}.{field.name}: {value}"


def test_every_error_stands_in_its_table():
    said = {int(row[0]): (row[1].strip("`"), row[2] == "yes") for row in table("Errors")}
    assert said == {int(e): (e.name.lower(), FAULTS[e].fatal) for e in ErrorCode}
    assert [int(row[0]) for row in table("Errors")] == sorted(said)


TRACES = [line for line in PAGE.split("```")[1].splitlines() if line]


@pytest.mark.parametrize("line", TRACES)
def test_every_line_of_a_trace_is_a_message(line: str):
    direction, text = re.fullmatch(r"\w+ ([<>]) (.*)", line).groups()
    frame = json.loads(text.replace("{…}", "{}"))
    msgspec.convert(frame, FromClient if direction == ">" else FromServer)
    assert "fatal" not in frame or FAULTS[ErrorCode(frame["error"])].fatal
