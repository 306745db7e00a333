"""Lies about a recorded run: what a clause claims, turned into a record in which it is not true.

A lie is one changed record (`rehearsal.Record`): an item is missing, doubled, swapped with its
neighbour, changed, told to somebody else, later than the fence; a channel ends, or does not. What
must never come is put immediately before the observer's fence answers, which is the last place
where it can be. `CLAIMS` says which lies contradict a verb: those count. Others are told as well
and only show how strict a clause is.
"""

from __future__ import annotations

import contextlib
import json
import random
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import rstr
from msgspec import Struct, field, structs
from pyte.screens import Char

from harness.errors import Place
from harness.expect import CannotJoin, Exits, Expectation, IsClosed, Never, NeverShows, Shows
from harness.laws import WITHOUT, LawLine
from harness.patterns import FramePattern, Item, Pattern, RegexPattern, TextPattern
from harness.programs import Program, said_exit
from harness.rehearsal import Entry, GhostView, Judged, Record, Rehearsal, Screen, copy_of, item_of
from harness.scope import VARIABLE, UnboundError, names_captured, names_used
from harness.screen import Snapshot, Styled, Text
from harness.steps import Exchange
from harness.values import COMPARISON

ALIEN = "nobody has sent this"
MOST = 6  # items of one clause that are lied about, the first and the last ones
TRIES = 40  # items of a history that a law is tried with
SAMPLES = {"word": "somebody", "int": "4711", "rest": "something", "json": "4711",
           "uuid": "00000000-0000-4000-8000-000000000000"}  # fmt: skip

# What a verb claims: the lies that contradict it.
POSITIVE = ("drop", "corrupt", "delay", "cut")
CLAIMS: dict[str, tuple[str, ...]] = {
    "sees": (*POSITIVE, "swap"),
    "sees next": (*POSITIVE, "swap", "double", "alien"),
    "sees in any order": POSITIVE,
    "sees one of": POSITIVE,
    "sees only": (*POSITIVE, "swap", "double", "alien", "leak"),
    "sees nothing": ("alien", "leak"),
    "never sees": ("inject",),
    "never prints": ("inject",),
    "prints": (*POSITIVE, "swap"),
    "shows": ("drop", "corrupt"),
    "never shows": ("inject",),
    "is closed": ("stays open", "another end"),
    "exits": ("stays open", "another end"),
    "cannot join": ("drop", "corrupt", "let in"),
    "survives": ("cut",),
    "is asked": ("drop", "corrupt"),
}
LAW_CLAIMS: dict[str, tuple[str, ...]] = {
    "once": ("drop", "double"),
    "in order": ("swap",),
    "at most once": ("double",),
    "exactly once": ("drop", "double"),
    "nothing invented": ("corrupt",),
    "private stays private": ("leak",),
    "converges": ("drop",),
}
ANY_LAW = ("drop", "double", "swap", "corrupt", "leak")  # of one's own: one of them is enough


class Lie(Struct):
    """A changed record; of several, one that is noticed is enough."""

    kind: str
    about: str
    records: Iterable[list[Entry]]
    counts: bool = True


class Target(Struct):
    """What is lied about: an expectation for one actor, a check, a question, a law."""

    place: Place
    actor: str
    verb: str
    wanted: str
    lies: list[Lie]
    law: LawLine | None = None  # judged alone
    forbidden: list[Pattern] = field(default_factory=list)  # what must never be told


# Words.


def garbled(text: str) -> str:
    """Another text of the same shape: letters stay letters, digits digits."""
    other = "".join(map(_other, text))
    return other if other != text else f"{text}x"


def _other(char: str) -> str:
    if char.isdecimal():
        return str((int(char) + 1) % 10)
    if not char.isalpha():
        return char
    if not char.isascii():
        return "ж" if char != "ж" else "я"
    first = ord("a" if char.islower() else "A")
    return chr(first + (ord(char) - first + 1) % 26)


def changed(value: Any) -> Any:
    """Another value of the same shape, in all its parts."""
    if isinstance(value, str):
        return garbled(value)
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, Mapping):
        return {key: changed(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [changed(inner) for inner in value] or [ALIEN]
    return ALIEN


def with_frame(entry: Entry, frame: Any) -> Entry:
    """The entry with another frame, and its source."""
    return copy_of(entry, data=frame, text=json.dumps(frame, ensure_ascii=False))


def corrupted(entry: Entry) -> Entry:
    """All of it is changed."""
    if entry.data is None:
        return copy_of(entry, text=garbled(entry.text))
    return with_frame(entry, changed(entry.data))


def one_word(entry: Entry) -> Entry:
    """One word, or one field, is changed: which, is drawn by the entry's number."""
    draw = random.Random(entry.number)  # noqa: S311
    if isinstance(entry.data, Mapping) and entry.data:
        key = draw.choice(sorted(entry.data))
        return with_frame(entry, {**entry.data, key: changed(entry.data[key])})
    words = list(re.finditer(r"\w+", entry.text))
    if entry.data is not None or not words:
        return corrupted(entry)
    at = draw.choice(words)
    return copy_of(entry, text=entry.text[: at.start()] + garbled(at[0]) + entry.text[at.end() :])


def with_value(entry: Entry, old: Any, new: Any) -> Entry:
    """One value is another, wherever it stands."""
    if entry.data is None:
        return copy_of(entry, text=entry.text.replace(str(old), str(new)))
    return with_frame(entry, _put(entry.data, old, new))


def _put(value: Any, old: Any, new: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _put(inner, old, new) for key, inner in value.items()}
    if isinstance(value, list):
        return [_put(inner, old, new) for inner in value]
    if type(value) is type(old) and value == old:
        return new
    return value.replace(str(old), str(new)) if isinstance(value, str) else value


def example(pattern: Pattern) -> Item | None:
    """Something that a pattern matches, in part or as a whole; none if we cannot think of any."""
    for item in _examples(pattern):
        if pattern.match(item, part=True) is not None:
            return item
    return None


def _examples(pattern: Pattern) -> Iterator[Item]:
    if isinstance(pattern, FramePattern):
        frame = _sample(pattern, pattern.fields)
        yield Item(json.dumps(frame, ensure_ascii=False), 0.0, frame, is_frame=True)
    elif isinstance(pattern, TextPattern):
        text = "".join(part or "something" for part in pattern.parts)
        yield Item(text, 0.0)
    if isinstance(pattern, TextPattern | RegexPattern):
        draw = rstr.Rstr(random.Random(1))  # noqa: S311
        for _ in range(TRIES):
            try:
                yield Item(draw.xeger(pattern.regex), 0.0)
            except (ValueError, KeyError, NotImplementedError):  # it does not know them all
                return


def _sample(pattern: FramePattern, value: Any) -> Any:
    if isinstance(value, Mapping):
        if set(value) == {"in any order"}:
            return _sample(pattern, value["in any order"])
        return {key: _sample(pattern, inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_sample(pattern, inner) for inner in value]
    if not isinstance(value, str):
        return value
    whole = VARIABLE.fullmatch(value)
    if whole and whole["name"]:
        kind = whole["kind"]
        if kind is None:
            return pattern.lookup(whole["name"])
        return 4711 if kind == "int" else SAMPLES[kind]
    found = example(TextPattern(value, pattern.lookup))
    return found.text if found else value


# Screens.


def screen_with(screen: Screen, change: Callable[[Any], Any], pattern: Any) -> Screen:
    """The lines on which a pattern stands, changed."""
    if isinstance(pattern, Snapshot):
        return structs.replace(screen, rows=[change(row) for row in screen.rows] or [ALIEN])
    drawn = [
        [cell._replace(data=change(cell.data)) for cell in line]
        if pattern.find(GhostView(Screen(drawn=[line]))) is not None
        else line
        for line in screen.drawn
    ]
    return structs.replace(screen, drawn=drawn)


def forbidden_screen(screen: Screen, pattern: Any) -> Screen | None:
    """The screen with what must never be on it, if we can draw that."""
    if isinstance(pattern, Snapshot):
        return structs.replace(screen, rows=pattern.rows())
    found = example(pattern.pattern) if isinstance(pattern, Text | Styled) else None
    if found is None:
        return None
    style = pattern.style if isinstance(pattern, Styled) else {}
    cells = [Char(char, **style) for char in found.text]
    return structs.replace(screen, drawn=[*screen.drawn, cells])


# The record, as what can be lied about.


class Story:
    """A recorded run that was judged honestly, and the lies about it."""

    def __init__(self, record: Record, honest: Rehearsal) -> None:
        self.entries, self.honest = record.entries, honest
        self.turns: list[tuple[int, int]] = []  # first entry, the entry behind the last
        starts = [n for n, e in enumerate(self.entries) if e.kind in ("turn", "last")]
        for at, start in enumerate(starts):
            if self.entries[start].kind == "turn":
                end = starts[at + 1] if at + 1 < len(starts) else len(self.entries)
                self.turns.append((start, end))

    # Changing the record.

    def instead(self, number: int, *others: Entry) -> list[Entry]:
        """Other entries in the place of one, and of those by which it has grown."""
        grown = set(self.growth(number))
        return [
            one
            for at, entry in enumerate(self.entries)
            for one in (others if at == number else () if at in grown else (entry,))
        ]

    def growth(self, number: int) -> Iterator[int]:
        """The entries by which an item without borders grew."""
        actor = self.entries[number].actor
        for at in range(number + 1, len(self.entries)):
            entry = self.entries[at]
            if entry.actor == actor and entry.kind in ("item", "end", "start"):
                return
            if entry.actor == actor and entry.kind == "grow":
                yield at

    def before(self, number: int, *others: Entry) -> list[Entry]:
        """Other entries before one."""
        return [*self.entries[:number], *others, *self.entries[number:]]

    def swapped(self, one: int, other: int) -> list[Entry]:
        """Two entries of an actor, each in the place of the other."""
        entries = list(self.entries)
        a, b = entries[one], entries[other]
        entries[one], entries[other] = copy_of(b, at=a.at), copy_of(a, at=b.at)
        return entries

    def end_of(self, turn: int, actor: str) -> int:
        """Where to put what comes immediately before the fence's answer to an actor."""
        start, end = self.turns[turn]
        for at in range(start, end):
            if self.entries[at].kind == "end" and self.entries[at].actor == actor:
                return at
        return end

    def is_cut(self, number: int, how: Entry) -> list[Entry]:
        """From an entry on an actor is told nothing, until it is started again."""
        actor, gone, entries = how.actor, False, []
        for at, entry in enumerate(self.entries):
            if at == number:
                gone = True
                entries.append(how)
            gone = gone and not (entry.kind == "start" and entry.actor == actor)
            if not (gone and entry.actor == actor and entry.kind in TOLD):
                entries.append(entry)
        return entries

    def ending(self, actor: str, at: float) -> Entry:
        """How the channel of an actor may end."""
        if isinstance(self.honest.ghost(actor), Program):
            return Entry("end", at, actor, text=said_exit(1), code=1)
        return Entry("end", at, actor, text="fin")

    def delayed(self, number: int, turn: int) -> list[Entry] | None:
        """An item that comes when its exchange is over; none if the channel ends before that."""
        entry, (_, end) = self.entries[number], self.turns[turn]
        counted = self.honest.ghost(entry.actor).counted
        if counted and counted.pattern.match(item_of(entry)) is not None:
            return None  # who asks without a word of his own takes the next answer for this one
        between = self.entries[number:end]
        if end >= len(self.entries) or any(
            e.actor == entry.actor and e.kind in ("end", "start") for e in between
        ):
            return None
        entries = self.before(end + 1, copy_of(entry))
        del entries[number]
        return entries

    def visible(self, turn: int | None = None) -> Iterator[Entry]:
        """What anybody was told, in an exchange or at all."""
        start, end = (0, len(self.entries)) if turn is None else self.turns[turn]
        for entry in self.entries[start:end]:
            if entry.kind == "item" and not entry.hidden and entry.text.strip():
                yield entry

    def alien(self, actor: str) -> Entry:
        """Something that nobody has sent, in the shape that an actor is told things."""
        if self.honest.ghost(actor).kind != "wire":
            return Entry("item", 0.0, actor, text=ALIEN)
        return with_frame(Entry("item", 0.0, actor, flag=True), {"code": ALIEN, "text": ALIEN})

    def leaked(self, turn: int, actor: str) -> Entry | None:
        """What somebody else was told in an exchange, and this actor was not."""
        own = {entry.text for entry in self.visible(turn) if entry.actor == actor}
        for entry in self.visible(turn):
            if entry.actor not in (actor, "server") and entry.text not in own:
                frame = entry.data if self.honest.ghost(actor).kind == "wire" else None
                return copy_of(entry, actor=actor, data=frame, flag=frame is not None)
        return None

    # What is lied about.

    def targets(self) -> Iterator[Target]:
        """Everything in the scenario's own steps that expects something."""
        exchanges = [step for step in self.honest.scenario.steps if isinstance(step, Exchange)]
        seen: set[Place] = set()
        for judged in self._first_and_last(self.honest.judged):
            yield self._expectation(judged, exchanges)
        for exchange in exchanges:
            key = f"turn {exchange.place}"
            turn = next(
                (n for n, (at, _) in enumerate(self.turns) if self.entries[at].key == key), None
            )
            if turn is None or exchange.place in seen:  # it never came to that
                continue
            seen.add(exchange.place)
            yield from self._questions(exchange, turn)
            yield from self._checks(exchange)
        for law in self.honest.scenario.laws:
            if law.name != WITHOUT:
                yield self._law(law)

    @staticmethod
    def _first_and_last(judged: list[Judged]) -> list[Judged]:
        """Of what is repeated, or said of many actors, the first two and the last two."""
        clauses: dict[Place, list[Judged]] = {}
        for one in judged:
            clauses.setdefault(one.place, []).append(one)
        return [one for same in clauses.values() for one in (*same[:2], *same[2:][-2:])]

    def _expectation(self, judged: Judged, exchanges: list[Exchange]) -> Target:
        found, verb = judged.expectation, judged.expectation.clause.verb.name
        claims = CLAIMS.get(verb, POSITIVE)
        lies = [
            structs.replace(lie, counts=lie.counts and lie.kind in claims)
            for make in self._makers(found)
            for lie in make(judged)
        ]
        within = next(
            (e.within for e in exchanges if any(c.place == found.place for c in e.clauses)), None
        )
        if within is not None and judged.took:
            lies.append(Lie("late", "", [self._late(judged, within)]))
        wanted = ", ".join(str(pattern) for pattern in found.patterns)
        target = Target(judged.place, found.actor.name, verb, wanted, lies)
        if verb == "never sees" and not _is_phrase(found.clause.value, self.honest):
            target.forbidden = found.patterns
        return target

    def _makers(self, found: Expectation) -> tuple[Callable[[Judged], Iterator[Lie]], ...]:
        if isinstance(found, NeverShows):
            return (self._never_shown,)
        if isinstance(found, Never):
            return (self._never,)
        if isinstance(found, Shows):
            return (self._shown,)
        if isinstance(found, IsClosed | Exits):
            return (self._ended,)
        if isinstance(found, CannotJoin):
            return (self._items, self._let_in)
        if found.clause.verb.name == "survives":
            return (self._died,)
        if found.clause.verb.name == "sees next":
            return (self._items, self._interrupted)
        return (self._items, self._intruded) if found.negative else (self._items,)

    def _items(self, judged: Judged) -> Iterator[Lie]:
        taken = [number for number, _ in judged.took if number >= 0]
        for at, number in enumerate(taken):
            if MOST // 2 <= at < len(taken) - MOST // 2:
                continue
            entry = self.entries[number]
            yield Lie("drop", entry.text, [self.instead(number)])
            yield Lie("corrupt", entry.text, [self.instead(number, corrupted(entry))])
            yield Lie("word", entry.text, [self.instead(number, one_word(entry))], counts=False)
            if (late := self.delayed(number, judged.turn)) is not None:
                yield Lie("delay", entry.text, [late])
            end = self.ending(entry.actor, entry.at)
            yield Lie("cut", entry.text, [self.is_cut(number, end)])
            last = at + 1 == len(taken) and judged.expectation.clause.verb.name == "sees next"
            twice = self.instead(number, entry, copy_of(entry))
            yield Lie("double", entry.text, [twice], counts=not last)
            if at + 1 < len(taken) and entry.text != self.entries[taken[at + 1]].text:
                yield Lie("swap", entry.text, [self.swapped(number, taken[at + 1])])

    def _interrupted(self, judged: Judged) -> Iterator[Lie]:
        for number, _ in judged.took[:1]:
            alien = structs.replace(
                self.alien(judged.expectation.actor.name), at=self.entries[number].at
            )
            yield Lie("alien", ALIEN, [self.before(number, alien)])

    def _intruded(self, judged: Judged) -> Iterator[Lie]:
        actor = judged.expectation.actor.name
        end = self.end_of(judged.turn, actor)
        yield Lie("alien", ALIEN, [self.before(end, self.alien(actor))])
        leaked = self.leaked(judged.turn, actor)
        if leaked is not None:
            yield Lie("leak", leaked.text, [self.before(end, leaked)])

    def _never(self, judged: Judged) -> Iterator[Lie]:
        actor = judged.expectation.actor.name
        end = self.end_of(judged.turn, actor)
        for pattern in judged.expectation.patterns:
            item = self._heard_of(pattern) or example(pattern)
            records = []
            if item is not None:
                text = Entry("item", 0.0, actor, text=item.text, data=item.frame,
                             flag=item.is_frame)  # fmt: skip
                records = [self.before(end, text)]
            yield Lie("inject", str(pattern), records)

    def _heard_of(self, pattern: Pattern) -> Item | None:
        """What somebody in this run was really told and must not be told to all."""
        return next(
            (
                item_of(entry)
                for entry in self.visible()
                if pattern.match(item_of(entry), part=True) is not None
            ),
            None,
        )

    def _shown(self, judged: Judged) -> Iterator[Lie]:
        for pattern in judged.expectation.patterns:
            for kind, change in (("corrupt", garbled), ("drop", lambda text: " " * len(text))):
                yield Lie(kind, str(pattern), [self._screens(judged, pattern, change)])

    def _screens(self, judged: Judged, pattern: Any, change: Callable[[str], str]) -> list[Entry]:
        """Every screen of an exchange, and the one that it began with, changed."""
        start, end = self.turns[judged.turn]
        actor = judged.expectation.actor.name
        entries: list[Entry] = []
        for at, entry in enumerate(self.entries):
            mine = start < at < end and entry.kind == "screen" and entry.actor == actor
            entries.append(
                copy_of(entry, data=screen_with(entry.data, change, pattern)) if mine else entry
            )
            if at == start and (last := self._screen_before(at, actor)) is not None:
                entries.append(copy_of(last, data=screen_with(last.data, change, pattern)))
        return entries

    def _screen_before(self, number: int, actor: str) -> Entry | None:
        for entry in reversed(self.entries[:number]):
            if entry.kind == "screen" and entry.actor == actor:
                return entry
        return None

    def _never_shown(self, judged: Judged) -> Iterator[Lie]:
        actor = judged.expectation.actor.name
        end = self.end_of(judged.turn, actor)
        last = self._screen_before(end, actor) or Entry("screen", 0.0, actor, data=Screen())
        for pattern in judged.expectation.patterns:
            screen = forbidden_screen(last.data, pattern)
            records = [self.before(end, copy_of(last, data=screen))] if screen else []
            yield Lie("inject", str(pattern), records)

    def _ended(self, judged: Judged) -> Iterator[Lie]:
        found = judged.expectation
        _, end = self.turns[judged.turn]
        ends = [
            at
            for at, entry in enumerate(self.entries[:end])
            if entry.kind == "end" and entry.actor == found.actor.name
        ]
        if not ends:
            return
        entry = self.entries[ends[-1]]
        yield Lie("stays open", entry.text, [self.instead(ends[-1])])
        if entry.code is not None:
            other = copy_of(entry, code=entry.code + 1, text=said_exit(entry.code + 1))
        else:
            other = copy_of(entry, text="reset" if entry.text == "fin" else "fin")
        wants = found.clause.value is not None
        yield Lie("another end", entry.text, [self.instead(ends[-1], other)], counts=wants)

    def _let_in(self, judged: Judged) -> Iterator[Lie]:
        ghost = self.honest.ghost(judged.expectation.actor.name)
        start, end = self.turns[judged.turn]
        acted = next((n for n in range(start, end) if self.entries[n].kind == "acted"), None)
        if acted is None:
            return
        role = self.honest.role(self.honest.members[ghost.name])
        entries = []
        if ghost.kind == "shell" and role.prompt is not None:
            entries = [Entry("ready", 0.0, ghost.name)]
        for exchange in role.login if ghost.kind == "wire" else ():
            for clause in exchange.clauses:
                if clause.verb.name == "sees" and not isinstance(clause.value, list):
                    item = example(self.honest.pattern(clause.value, ghost))
                    entries += [Entry("item", 0.0, ghost.name, text=item.text, data=item.frame,
                                      flag=item.is_frame)] if item else []  # fmt: skip
        if entries:
            yield Lie("let in", "", [self.before(acted + 1, *entries)])

    def _died(self, judged: Judged) -> Iterator[Lie]:
        actor = judged.expectation.actor.name
        end = self.end_of(judged.turn, actor)
        yield Lie("cut", "", [self.is_cut(end, self.ending(actor, 0.0))])

    def _late(self, judged: Judged, within: float) -> list[Entry]:
        number = judged.took[-1][0]
        start, _ = self.turns[judged.turn]
        acted = [e.at for e in self.entries[start:number] if e.kind == "acted"]
        since = acted[-1] if acted else self.entries[start].at
        entry = self.entries[number]
        return self.instead(number, copy_of(entry, at=max(entry.at, since + 1.5 * within + 0.1)))

    # Questions, checks, laws.

    def _questions(self, exchange: Exchange, turn: int) -> Iterator[Target]:
        for clause in exchange.clauses:
            if clause.verb.name != "is asked":
                continue
            for actor in clause.who:
                if actor in self.honest.actors:
                    lies = [
                        Lie(kind, str(clause.value), [self._asked(turn, actor, change)])
                        for kind, change in (("drop", lambda _: ""), ("corrupt", garbled))
                    ]
                    yield Target(clause.place, actor, "is asked", str(clause.value), lies)

    def _asked(self, turn: int, actor: str, change: Callable[[str], str]) -> list[Entry]:
        """The questions of an exchange are others."""
        start, end = self.turns[turn]
        entries: list[Entry] = []
        for at, entry in enumerate(self.entries):
            mine = start < at < end and entry.kind == "screen" and entry.actor == actor
            entries.append(_asking(entry, change) if mine else entry)
            if at == start and (last := self._screen_before(at, actor)) is not None:
                entries.append(_asking(last, change))
        return entries

    def _checks(self, exchange: Exchange) -> Iterator[Target]:
        for check in exchange.checks:
            text = str(check.data)
            actor = next((name for clause in exchange.clauses for name in clause.who), "")
            lies = []
            for name in dict.fromkeys(names_used(text)):
                found = self._captured(name, actor)
                if found is not None:
                    records = self._other_values(*found, self._other_side(text, name, actor))
                    lies.append(Lie("another value", f"${{{name}}}", records))
                elif (login := self._learnt(name, actor)) is not None:
                    lies.append(Lie("another value", f"${{{name}}}", self._other_names(*login)))
            yield Target(check.place, actor, "check", text, lies)

    def _other_side(self, text: str, name: str, actor: str) -> list[Any]:
        """What a name is compared with: where they must not be equal, the value to lie with."""
        match = COMPARISON.match(text)
        sides = [match[1], match[3]] if match else []
        found = []
        for side in sides:
            with contextlib.suppress(UnboundError):
                if name not in names_used(side):
                    found.append(self.honest.scope.fill(side, actor))
        return found

    def _captured(self, name: str, actor: str) -> tuple[int, Any] | None:
        """The item that a name was taken from last, and its value."""
        owner, _, inner = name.rpartition(".")
        for judged in reversed(self.honest.judged):
            for number, found in judged.took:
                said_by = judged.expectation.actor.name
                if number >= 0 and inner in found and owner in ("", said_by):
                    return number, found[inner]
        return None

    def _learnt(self, name: str, actor: str) -> tuple[int, str, str] | None:
        """The act by which an actor learnt a name at his login, and which."""
        head, _, inner = name.rpartition(".")
        owner = head or actor
        member = self.honest.members.get(owner)
        login = self.honest.role(member).login if member else []
        known = {
            captured
            for exchange in login
            for clause in exchange.clauses
            for captured, _ in names_captured(clause.value)
        }
        for at, entry in reversed(list(enumerate(self.entries))):
            if inner in known and inner in entry.state.get(f"captured {owner}", {}):
                return at, owner, inner
        return None

    def _other_names(self, number: int, owner: str, name: str) -> Iterator[list[Entry]]:
        entry, key = self.entries[number], f"captured {owner}"
        known = entry.state[key]
        other = {**entry.state, key: {**known, name: changed(known[name])}}
        yield self.instead(number, copy_of(entry, state=other))

    def _other_values(self, number: int, value: Any, near: list[Any]) -> Iterator[list[Entry]]:
        """The record with other values, near ones and far ones."""
        others: list[Any] = [changed(value), f"{value}x"]
        if isinstance(value, int):
            others = [value + 1, value - 1, value + 1000, -1000 - value, 0]
        elif isinstance(value, str) and value.lstrip("-").isdecimal():
            others = [str(int(value) + step) for step in (1, -1, 1000)] + ["0", *others]
        for other in [*others, *near]:
            if other != value:
                yield self.instead(number, with_value(self.entries[number], value, other))

    def _law(self, law: LawLine) -> Target:
        known = LAW_CLAIMS.get(law.name)
        kinds = [(kind,) for kind in known] if known else [ANY_LAW]
        lies = [
            Lie(
                " or ".join(kind) if len(kind) == 1 else "any",
                law.name,
                islice((r for k in kind for r in self._about_the_history(k)), TRIES),
            )
            for kind in kinds
        ]
        return Target(law.place, "everybody", f"law {law.name}", str(law.value or ""), lies, law)

    def _about_the_history(self, kind: str) -> Iterator[list[Entry]]:
        items = [e for e in self.visible() if e.actor != "server"]
        for entry in reversed(items):
            number = entry.number
            if kind == "drop":
                yield self.instead(number)
            elif kind == "double":
                yield self.instead(number, entry, copy_of(entry))
            elif kind == "corrupt":
                yield from self._invented(entry)
            elif kind == "leak":
                for actor in self.honest.actors.values():
                    ghost = self.honest.ghost(actor.name)
                    if (
                        actor.name != entry.actor
                        and ghost.kind == self.honest.ghost(entry.actor).kind
                    ):
                        yield self.before(number + 1, copy_of(entry, actor=actor.name))
            else:
                yield from self._swapped_with_earlier(entry, items)

    def _invented(self, entry: Entry) -> Iterator[list[Entry]]:
        """Each word, or each field, another."""
        if isinstance(entry.data, Mapping):
            for key, value in entry.data.items():
                if isinstance(value, str):
                    other = with_frame(entry, {**entry.data, key: changed(value)})
                    yield self.instead(entry.number, other)
        else:
            for at in re.finditer(r"\w+", entry.text):
                text = entry.text[: at.start()] + garbled(at[0]) + entry.text[at.end() :]
                yield self.instead(entry.number, copy_of(entry, text=text))

    def _swapped_with_earlier(self, entry: Entry, items: list[Entry]) -> Iterator[list[Entry]]:
        for other in items:
            if other.actor == entry.actor and other.number < entry.number:
                yield self.swapped(other.number, entry.number)


def _is_phrase(value: Any, run: Rehearsal) -> bool:
    return isinstance(value, Mapping) and any(key in run.profile.phrases for key in value)


def _asking(entry: Entry, change: Callable[[str], str]) -> Entry:
    screen: Screen = entry.data
    return copy_of(entry, data=structs.replace(screen, question=change(screen.question)))


TOLD = frozenset({"item", "grow", "screen", "end", "ready", "sent"})
