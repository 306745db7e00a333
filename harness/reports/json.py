"""One JSON document with everything that is known about the runs.

`schema` is raised when a key changes its meaning or goes; new keys may come at any time.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from importlib import metadata
from typing import Any

import msgspec

from harness.errors import Exit
from harness.runner import EXITS, Outcome

SCHEMA = 1
LEFT_OUT = ("chunks", "flaky", "events")


def text(outcomes: Sequence[Outcome]) -> str:
    """The document."""
    document = {
        "schema": SCHEMA,
        "harness": metadata.version("chatd"),
        "summary": summary(outcomes),
        "runs": [_run(outcome) for outcome in outcomes],
    }
    return json.dumps(_valid(document), indent=1, ensure_ascii=False) + "\n"


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """How many runs ended in which way, how long all took, the machine's factor."""
    count = Counter(outcome.status for outcome in outcomes)
    return {
        **{status: count[status] for status in EXITS},
        "seconds": round(sum(outcome.seconds for outcome in outcomes), 3),
        "factor": max((outcome.factor for outcome in outcomes), default=1.0),
    }


def _run(outcome: Outcome) -> dict[str, Any]:
    """A run: all of it, the conversation only where it is needed to understand a failure."""
    plain = {
        name: _plain(getattr(outcome, name))
        for name in outcome.__struct_fields__
        if name not in LEFT_OUT
    }
    told = EXITS[outcome.status] is not Exit.PASSED or outcome.status == "known"
    events = [_plain(event) for event in outcome.events] if told else []
    return {"name": outcome.name, **plain, "grades": dict(outcome.grades), "events": events}


def _plain(value: Any) -> Any:
    return msgspec.to_builtins(value, str_keys=True)


def _valid(value: Any) -> Any:
    """Text that can be encoded: half characters, which programs may send, are replaced."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_valid(str(key)): _valid(inner) for key, inner in value.items()}
    return [_valid(inner) for inner in value] if isinstance(value, list | tuple) else value
