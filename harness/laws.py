"""Laws: promises over the whole history of a run, judged when it is over. One row each."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import Struct

from harness.errors import BrokenPromiseError

if TYPE_CHECKING:
    from harness.language import LawLine
    from harness.run import Run


class Law(Struct, frozen=True):
    """A row: `value` is a row of `values.VALUES`; `judge` raises `BrokenPromiseError`."""

    name: str
    value: str
    meaning: str
    judge: Callable[[Run, LawLine], None]


def _once(run: Run, law: LawLine) -> None:
    for actor in run.actors.values():
        if not actor.alive:
            continue
        pattern = run.pattern(law.value, actor)
        hits = [i for i in actor.items if not i.hidden and pattern.match(i) is not None]
        if len(hits) != 1:
            raise BrokenPromiseError(
                f"law once: {actor.name} was told {len(hits)} times: {pattern}", law.place
            )


TABLE = (
    Law(
        "once",
        "patterns",
        "everybody still connected at the end was told this exactly once",
        _once,
    ),
)
LAWS = {law.name: law for law in TABLE}
