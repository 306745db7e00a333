"""What can be run but proves little: told by `harness check`, and in the notes of a run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from harness.checking import Checker
from harness.scope import KINDS
from harness.steps import Clause, Exchange, Step
from harness.verbs import Family
from harness.yaml_nodes import Value


def lint(steps: Iterable[Step], check: Checker) -> None:
    """Look at every exchange."""
    files: dict[str, list[str]] = {}
    for step in steps:
        if isinstance(step, Exchange):
            _source_is_gone(step, check)
            _until(step, check)
            _texts(step, check, files)


COMMENT = re.compile(r"\s+#(?=[^\s#!])")  # a word behind it, as in #1 or #team
TYPED = re.compile(r"(?<!\$)\$\{([A-Za-z_]\w*):(\w+)\}")


def _texts(exchange: Exchange, check: Checker, files: dict[str, list[str]]) -> None:
    """Texts that do not say what they seem to say."""
    for clause in exchange.clauses:
        for text in _scalars(clause.node):
            if COMMENT.match(_behind(text, files)):
                check.warn(
                    text.place, "what stands behind # is a comment",
                    "quote the text if it belongs to it",
                )  # fmt: skip
            found = TYPED.search(text.raw)
            if found and found[2] in KINDS:
                check.warn(
                    text.at(found[0]), f"{found[0]} is taken as it stands: it captures nothing",
                    f"write ${{{found[1]}={found[2]}}}",
                )  # fmt: skip


def _scalars(value: Value | None) -> Iterator[Value]:
    if value is None:
        return
    if value.kind == "scalar":
        yield value
        return
    for inner in value.data if value.kind == "list" else (v for pair in value.data for v in pair):
        yield from _scalars(inner)


def _behind(text: Value, files: dict[str, list[str]]) -> str:
    """What stands on its line behind an unquoted text; empty for all others."""
    if not text.raw or text.raw[0] in "'\"|>" or "\n" in text.raw:
        return ""
    file, line, start = text.place.file, text.place.line, text.place.column - 1
    if file not in files:
        try:
            files[file] = Path(file).read_text(encoding="utf-8").split("\n")
        except (OSError, UnicodeDecodeError):
            files[file] = []
    row = files[file][line - 1] if line <= len(files[file]) else ""
    return row[start + len(text.raw) :] if row.startswith(text.raw, start) else ""


def _source_is_gone(exchange: Exchange, check: Checker) -> None:
    """Who was killed can prove nothing; only what follows shows that the server has noticed."""
    gone = {who for c in exchange.clauses if c.verb.ends for who in c.who}
    if not gone or any(_is_consequence(clause, gone) for clause in exchange.clauses):
        return
    for clause in exchange.clauses:
        if clause.verb.family is Family.NEGATIVE and clause.verb.name != "survives":
            check.warn(
                clause.place,
                f"nothing shows when this is over: {', '.join(sorted(gone))} can prove nothing"
                " any more",
                "say beside it what has to follow, for example: others see: {lost: ...}",
            )


def _is_consequence(clause: Clause, gone: set[str]) -> bool:
    awaited = clause.verb.family in (Family.POSITIVE, Family.END) or clause.verb.name == "sees only"
    return awaited and not set(clause.who) <= gone


def _until(exchange: Exchange, check: Checker) -> None:
    if not exchange.until_fence:
        return
    if not any(clause.verb.standing for clause in exchange.clauses):
        check.wrong(
            exchange.place, "until: fence is about `never`, and nothing is forbidden here",
            "take it away, or say what is never seen",
        )  # fmt: skip
    if not exchange.fenced:
        check.wrong(
            exchange.place, "until: fence, but this exchange has none (fence: none)",
            "take one of the two away",
        )  # fmt: skip
