"""What must, may and must not follow: one class per kind of expectation.

An expectation looks at its actor's transcript whenever something arrived, and is settled by the
fence: what is missing then is not coming, what did not leak by then did not leak.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness import proposals
from harness.actors import Actor
from harness.diff import short
from harness.errors import BrokenPromiseError, Place, Problem, ScenarioError
from harness.patterns import NEAR, Item, Pattern, RegexPattern, nearest
from harness.programs import Program, Shell
from harness.screen import HOW_TO_MAKE, Snapshot, pictured

if TYPE_CHECKING:
    from harness.language import Clause
    from harness.run import Run

INSTEAD = 3  # lines that are shown where none is like the one expected
REST = 0.25  # seconds without a change after which a screen is what a snapshot keeps; stretched
FRAMES = 20  # of a screen that never rests


class Expectation:
    """One clause for one actor."""

    negative = False  # settled by the fence alone
    awaits = True  # something has to come

    def __init__(
        self, run: Run, actor: Actor, clause: Clause, patterns: Sequence[Pattern], start: int
    ) -> None:
        self.run, self.actor, self.clause = run, actor, clause
        self.patterns = list(patterns)
        self.start = start  # length of the transcript before the exchange's first act
        self.met = False
        self.at = 0.0  # arrival of what met it
        self.grade = ""  # how it was decided
        self.chosen = ""
        self.took: list[tuple[int, dict[str, Any]]] = []  # items that met it, and what they gave
        self._tried = 0  # as many items were compared with what is still expected

    @property
    def place(self) -> Place:
        """Where the clause stands."""
        return self.clause.place

    def look(self) -> None:
        """Look at what has arrived; raises `BrokenPromiseError` as soon as it is clear."""

    @property
    def looks_from(self) -> int:
        """Number of the first item that may be what is still expected."""
        return self.actor.cursor

    def settle(self, grade: str) -> None:
        """The fence has returned: decide."""
        self.grade = grade
        if not self.met:
            raise self.offering(self.missing(f"is not coming (fence: {grade})"))

    def offering(self, broken: BrokenPromiseError, came: Item | None = None) -> BrokenPromiseError:
        """The failure, with what would have to be written instead if that is asked for."""
        if self.run.options.accept:
            broken.offer = proposals.offer(self, came)
        return broken

    def end_of_channel(self) -> None:
        """The actor's channel was read to its end."""
        if not self.met:
            raise self.missing(f"cannot come any more: {self.actor.ended}")

    def wanted(self) -> list[Pattern]:
        """The patterns that are not met yet."""
        return self.patterns

    def missing(self, why: str) -> BrokenPromiseError:
        """The failure to raise when a positive did not come, with the nearest miss."""
        wanted = self.wanted()
        first = wanted[0] if wanted else None
        what = f"{self.actor.name} {self.clause.verb.name}: {first} — {why}"
        hints = [] if first is None else [*self._miss(first), *self._elsewhere(first)]
        return BrokenPromiseError(what, self.place, tuple(hints))

    def _miss(self, pattern: Pattern) -> list[str]:
        """What came instead: the line that was meant, it seems, or else the latest lines."""
        items = [item for _, item in self.unclaimed(self.actor.cursor)]
        near = nearest(pattern, [item for item in items if pattern.match(item) is None])
        wanted = f"expected  {short(str(pattern), near.text if near else '')}"
        if near is not None:
            return [
                wanted,
                f"nearest   {short(near.text, str(pattern))}",
                *pattern.differences(near),
            ]
        count = len(items)
        return [
            wanted,
            f"instead   {count or 'no'} other line{'s'[: count != 1]}",
            *(f"          {short(item.text)}" for item in items[-INSTEAD:]),
        ]

    def _elsewhere(self, pattern: Pattern) -> list[str]:
        """Where exactly this did come: at another time, or to somebody else."""
        actor, lines = self.actor, []
        at = _latest(pattern, actor.items, 0)
        if at is not None:
            how = "before this exchange" if at < actor.cursor else "out of turn"
            how = "once, which met another expectation" if at in actor.claimed else how
            lines.append(f"but       it came {how}: {short(actor.items[at].text)}")
        others = (other for other in self.run.actors.values() if other is not actor)
        told = [o.name for o in others if _latest(pattern, o.items, o.cursor) is not None]
        return [*lines, f"told      {', '.join(told)}"] if told else lines

    def unclaimed(self, start: int) -> list[tuple[int, Item]]:
        """Items from `start` on that are the program's own and no other expectation's."""
        actor = self.actor
        return [
            (at, item)
            for at, item in enumerate(actor.items[start:], start)
            if not item.hidden and at not in actor.claimed
        ]

    def untried(self, start: int) -> list[tuple[int, Item]]:
        """The same without what was there at the last look; the last item then may have grown."""
        start, self._tried = max(start, self._tried - 1), len(self.actor.items)
        return self.unclaimed(start)

    def take(self, at: int, item: Item, found: dict[str, Any]) -> None:
        """An item is what was expected."""
        self.actor.claimed.add(at)
        self.took.append((at, found))
        self.at = max(self.at, item.at)
        self.run.capture(self.actor, found, self.place)


def _latest(pattern: Pattern, items: list[Item], start: int) -> int | None:
    """Where the latest item stands that is exactly what was expected."""
    for at in range(len(items) - 1, max(start, len(items) - NEAR) - 1, -1):
        if not items[at].hidden and pattern.match(items[at]) is not None:
            return at
    return None


class Sees(Expectation):
    """All patterns, in this order; other things may come in between."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._next = 0
        self._from = min(self.actor.cursor, self.start)

    @property
    def looks_from(self) -> int:
        """Number of the first item that may be what is still expected."""
        return self._from

    def wanted(self) -> list[Pattern]:
        """The patterns that are not met yet."""
        return self.patterns[self._next :]

    def look(self) -> None:
        """Look at what has arrived."""
        for at, item in self.untried(self._from):
            if self.met:
                return
            found = self.patterns[self._next].match(item)
            if found is not None:
                self.take(at, item, found)
                self._next, self._from = self._next + 1, at + 1
                self.met = self._next == len(self.patterns)


class SeesNext(Expectation):
    """All patterns, in this order, nothing in between."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._next = 0
        self._from = self.actor.cursor

    def wanted(self) -> list[Pattern]:
        """The patterns that are not met yet."""
        return self.patterns[self._next :]

    def look(self) -> None:
        """Look at what has arrived."""
        for at, item in self.unclaimed(self._from):
            if self.met:
                return
            pattern = self.patterns[self._next]
            if not item.text.strip() and not getattr(pattern, "blank", False):
                continue
            found = pattern.match(item)
            if found is None:
                raise self.offering(self.missing("something else came first"), item)
            self.take(at, item, found)
            self._next, self._from = self._next + 1, at + 1
            self.met = self._next == len(self.patterns)


class SeesAnyOrder(Expectation):
    """All patterns, each by an item of its own."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._open = list(self.patterns)
        self._from = self.actor.cursor

    def wanted(self) -> list[Pattern]:
        """The patterns that are not met yet."""
        return self._open

    def look(self) -> None:
        """Look at what has arrived."""
        for at, item in self.untried(self._from):
            for pattern in self._open:
                found = pattern.match(item)
                if found is not None:
                    self.take(at, item, found)
                    self._open.remove(pattern)
                    break
        self.met = not self._open


class SeesOneOf(Expectation):
    """One of the patterns."""

    def look(self) -> None:
        """Look at what has arrived."""
        if self.met:
            return
        for at, item in self.untried(self.actor.cursor):
            for pattern in self.patterns:
                found = pattern.match(item)
                if found is not None:
                    self.take(at, item, found)
                    self.met, self.chosen = True, str(pattern)
                    return


class SeesOnly(Sees):
    """All patterns in this order, and nothing else from the first act to the fence."""

    negative = True

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._from = self.start
        self.met = not self.patterns

    def settle(self, grade: str) -> None:
        """Decide: the fence has returned."""
        super().settle(grade)
        tolerated = self.run.tolerated(self.actor)
        for _, item in self.unclaimed(self.start):
            if item.text.strip() and not any(p.match(item) is not None for p in tolerated):
                raise BrokenPromiseError(
                    f"{self.actor.name} {self.clause.verb.name}, but was told something else",
                    self.place,
                    (f"unexpected  {item.text}", f"fence       {grade}"),
                )


class Shows(Expectation):
    """The screen, as a person sees it, has these texts now (`screen.OnScreen`)."""

    actor: Shell
    patterns: list[Any]

    def wanted(self) -> list[Any]:
        """What the screen has not got."""
        return [p for p in self.patterns if p.find(self.actor.view) is None]

    def look(self) -> None:
        """Look at the screen as it is."""
        found = [p.find(self.actor.view) for p in self.patterns]
        self.met = None not in found
        self.at = self.at or self.run.reactor.now()
        for one in found if self.met else ():
            self.run.capture(self.actor, one or {}, self.place)

    def missing(self, why: str) -> BrokenPromiseError:
        """The failure to raise, with what was there instead."""
        first = next(iter(self.wanted()), None)
        absent = first.absent() if isinstance(first, Snapshot) else ""
        if absent and self.run.options.accept and self.actor.ended is None:
            return self._written()
        if absent:
            raise ScenarioError([Problem(self.place, absent, HOW_TO_MAKE)])
        what = f"{self.actor.name} {self.clause.verb.name}: {first} — {why}"
        told = first.miss(self.actor.view) if first else []
        return BrokenPromiseError(what, self.place, tuple(told))

    def settle(self, grade: str) -> None:
        """Decide: the fence has returned."""
        snapshot = isinstance(next(iter(self.wanted()), None), Snapshot)
        if not self.met and snapshot and self.run.options.accept:
            raise self._written()
        super().settle(grade)

    def _written(self) -> BrokenPromiseError:
        """The failure to raise when the snapshots were written anew."""
        broken = BrokenPromiseError("the screen is another one", self.place)
        broken.offer = proposals.Offer(self.place, self.actor.name, files=self.accept())
        return broken

    def accept(self) -> list[proposals.Rewritten]:
        """Write the snapshot files from the screen as it stays; what was written."""
        self._comes_to_rest()
        written = []
        for pattern in self.patterns:
            if isinstance(pattern, Snapshot):
                before = pattern.read()
                pattern.write(self.actor.view)
                after = pattern.read() or ""
                written.append(proposals.Rewritten(str(pattern.path), before, after))
        return written

    def _comes_to_rest(self) -> None:
        """Programs draw in several pieces; no fence tells which is the last."""
        reactor, before = self.run.reactor, None
        for _ in range(FRAMES):
            picture = self.actor.view.picture()
            if picture == before:
                break
            before = picture
            reactor.until(lambda: False, reactor.now() + self.run.seconds(REST))


class Never(Expectation):
    """A standing watch: from the first act on, no item may match, until the scenario ends."""

    negative, awaits = True, False

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._seen = self.start

    def look(self) -> None:
        """Look at what has arrived."""
        start, self._seen = self._seen, len(self.actor.items)
        for item in self.actor.items[start:]:
            if not item.hidden:
                self._judge(item)

    def _judge(self, item: Item) -> None:
        for pattern in self.patterns:
            if pattern.match(item, part=True) is not None:
                raise BrokenPromiseError(
                    f"{self.actor.name} {self.clause.verb.name}: {pattern} — but it came",
                    self.place,
                    (f"leaked  {item.text}",),
                )

    def settle(self, grade: str) -> None:
        """Decide: the fence has returned."""
        self.look()
        self.met, self.grade = True, grade

    def end_of_channel(self) -> None:
        """Decide: nothing more can come."""
        self.look()
        self.met, self.grade = True, self.grade or "sealed"


class NeverShows(Never):
    """The screen never has one of these texts: it is looked at whenever something was drawn."""

    actor: Shell
    patterns: list[Any]
    _looked = -1  # how often something had been drawn then

    def look(self) -> None:
        """Look at the screen as it is."""
        if self._looked == self.actor.drawings:
            return
        self._looked = self.actor.drawings
        for pattern in self.patterns:
            if pattern.find(self.actor.view) is not None:
                raise BrokenPromiseError(
                    f"{self.actor.name} {self.clause.verb.name}: {pattern} — but it does",
                    self.place,
                    tuple(pictured(self.actor.picture())),
                )


class IsClosed(Expectation):
    """The channel ends, orderly or by a reset."""

    def look(self) -> None:
        """Look at what has arrived."""
        how = self.actor.ended
        if how is None:
            return
        wanted = self.run.scope.fill(self.clause.value, self.actor.name)
        if wanted and how != wanted:
            raise BrokenPromiseError(
                f"{self.actor.name} is closed: {wanted} — but it was {how}", self.place
            )
        self.met, self.at = True, self.at or self.run.reactor.now()

    def settle(self, grade: str) -> None:
        """An end is not on the way of a fence: wait for it."""

    def end_of_channel(self) -> None:
        """Decide: nothing more can come."""
        self.look()

    def missing(self, why: str) -> BrokenPromiseError:
        """The failure to raise, with what was there instead."""
        return BrokenPromiseError(f"{self.actor.name} {self.clause.verb.name} — {why}", self.place)


class Exits(IsClosed):
    """The program ends, with this exit code."""

    def look(self) -> None:
        """Look at what has arrived."""
        actor = self.actor
        if not isinstance(actor, Program) or actor.ended is None:
            return
        wanted = self.run.scope.fill(self.clause.value, actor.name)
        if wanted is not None and str(actor.exit_code) != str(wanted):
            raise BrokenPromiseError(
                f"{actor.name} exits: {wanted} — but {actor.ended}", self.place
            )
        self.met, self.at = True, self.at or self.run.reactor.now()


class CannotJoin(Sees):
    """It is told why it is not let in, and never gets as far as the end of its login."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._from = self.start
        if not self.patterns:
            self.patterns = [RegexPattern(".*")]

    def look(self) -> None:
        """Look at what has arrived."""
        super().look()
        if not self.met and self.run.is_in(self.actor):
            raise BrokenPromiseError(f"{self.actor.name} cannot join — but it did", self.place)


class Survives(Expectation):
    """The program still runs when everything else of the exchange is settled."""

    negative, awaits = True, False

    def settle(self, grade: str) -> None:
        """Decide: the fence has returned."""
        self.grade = grade
        if self.actor.ended is not None:
            raise BrokenPromiseError(
                f"{self.actor.name} survives — but {self.actor.ended}", self.place
            )
        self.met = True

    def end_of_channel(self) -> None:
        """Decide: nothing more can come."""
        raise BrokenPromiseError(f"{self.actor.name} survives — but {self.actor.ended}", self.place)
