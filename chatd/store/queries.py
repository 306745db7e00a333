"""The one query of the log in SQL: what an account may see, by index and not by looking at all.

What may be seen falls into a few ranges of the log, each found by an index; a page is the merge of
their first rows. A search goes the other way: from the words to rows, and asks who may see them.
"""

from __future__ import annotations

from typing import Any

from chatd.core.effects import Find

COLUMNS = "l.seq, l.kind, l.author, l.name, l.target, l.content, l.ts, l.id"

TO_ME = "log l WHERE l.target = :me AND l.kind = 'direct'"
BY_ME = "log l WHERE l.author = :me AND l.kind = 'direct' AND l.target <> :me"
TO_ALL = "log l WHERE l.target = 0 AND l.kind = 'broadcast' AND l.seq > :heard"
IN_ROOM = (
    "members m JOIN log l ON l.target = m.room AND l.seq >= m.since"
    " AND (m.until IS NULL OR l.seq <= m.until)"
    " WHERE m.account = :me AND l.kind IN ('group', 'event')"
)
VISIBLE = (
    "(l.kind = 'direct' AND :me IN (l.target, l.author) OR l.kind = 'broadcast' AND l.seq > :heard"
    " OR l.kind = 'group' AND EXISTS (SELECT 1 FROM members m WHERE m.account = :me"
    " AND m.room = l.target AND m.since <= l.seq AND (m.until IS NULL OR l.seq <= m.until)))"
)
WORDS = "log_text t JOIN log l ON l.seq = t.rowid WHERE log_text MATCH :words AND " + VISIBLE


def build(find: Find) -> tuple[str, dict[str, Any]]:
    """The statement and its parameters; it gives one row more than asked, where there is more."""
    ranges = [WORDS + _one_target(find)] if find.words is not None else _ranges(find)
    order = "DESC" if find.latest else "ASC"
    bounds = " AND l.seq > :after"
    if find.before is not None:
        bounds += " AND l.seq < :before"
    if find.author is not None:
        bounds += " AND l.author = :author"
    if not find.own:
        bounds += " AND l.author <> :me"
    parts = [
        f"SELECT * FROM (SELECT {COLUMNS} FROM {one}{bounds} ORDER BY l.seq {order} LIMIT :n)"  # noqa: S608
        for one in ranges
    ]
    statement = " UNION ALL ".join(parts) + f" ORDER BY 1 {order} LIMIT :n"
    return statement, _parameters(find)


def _ranges(find: Find) -> list[str]:
    """Where to look; numbers of accounts and groups never meet, so both may be asked for one."""
    if find.target is None:
        return [TO_ME, *([BY_ME] if find.own else []), TO_ALL, IN_ROOM]
    if find.target == 0:
        return [TO_ALL]
    mine = [BY_ME + " AND l.target = :target"] if find.own else []
    return [TO_ME + " AND l.author = :target", *mine, IN_ROOM + " AND m.room = :target"]


def _one_target(find: Find) -> str:
    if find.target is None:
        return ""
    if find.target == 0:
        return " AND l.kind = 'broadcast'"
    return (
        " AND (l.kind = 'group' AND l.target = :target OR l.kind = 'direct'"
        " AND :target IN (l.target, l.author) AND :target <> :me)"
    )


def _parameters(find: Find) -> dict[str, Any]:
    return {
        "me": find.account,
        "heard": find.broadcasts_after,
        "after": find.after,
        "before": find.before,
        "author": find.author,
        "target": find.target,
        "words": match(find.words or ""),
        "n": find.limit + 1,
    }


def match(words: str) -> str:
    """Words to look for as FTS5 takes them: each one quoted, so that none is an operator."""
    plain = words.replace('"', " ").replace("\0", " ")
    return " ".join(f'"{word}"' for word in plain.split()) or '""'
