"""Laws: promises over the whole history of a run, judged when it is over. One row each.

A law of one's own is an object `Law` that the entry point group `harness.laws` names.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from harness.checking import Checker
from harness.errors import BrokenPromiseError, Place, Problem, ScenarioError
from harness.history import EVERYBODY, NOBODY, History, Sent, Told
from harness.values import as_list
from harness.yaml_nodes import Value

if TYPE_CHECKING:
    from harness.run import Run

GROUP = "harness.laws"  # entry points
NO_MESSAGE = "no message was recognised: the laws had nothing to judge (profile: messages)"
WITHOUT = "without"  # takes laws of the profile away from a scenario


class Broken(Struct, frozen=True):
    """How a law was broken: in a sentence, and the few events that show it, by number."""

    what: str
    witness: tuple[int, ...] = ()


class Law(Struct, frozen=True):
    """A row.

    `find(history, value)` returns how the law was broken, or none; `value` is what stands behind
    it in the scenario, of the kind `takes` (a row of `values.VALUES`).
    """

    name: str
    meaning: str
    find: Callable[[History, Any], Broken | None]
    takes: str = "nothing"


def in_order(history: History, _value: Any) -> Broken | None:
    """Everybody is told the messages of one sender in the order of sending."""
    last: dict[tuple[str, str], tuple[Told, Sent]] = {}
    for told, sent in history.pairs():
        if sent is None:
            continue
        key = (told.observer, told.speaker)
        before = last.get(key)
        if before is not None and before[1].number > sent.number:
            return Broken(
                f"{told.observer} was told {sent.text!r} of {told.speaker} after a later one",
                (sent.number, before[1].number, before[0].number, told.number),
            )
        last[key] = (told, sent)
    return None


def at_most_once(history: History, _value: Any) -> Broken | None:
    """Nobody is told one message twice."""
    first: dict[tuple[str, str, str], Told] = {}
    for told, sent in history.pairs():
        key = (told.observer, told.speaker, told.text)
        known = history.sendings(told.speaker, told.text)
        if sent is None and key in first and known:
            return Broken(
                f"{told.observer} was told {told.text!r} of {told.speaker} once too often",
                (known[0].number, first[key].number, told.number),
            )
        first.setdefault(key, told)
    return None


def exactly_once(history: History, value: Any) -> Broken | None:
    """Whom a message is for is told of it exactly once, if he is there from before to the end."""
    twice = at_most_once(history, value)
    if twice is not None:
        return twice
    got = {(told.observer, sent.number) for told, sent in history.pairs() if sent is not None}
    seen = {number for _, number in got}
    for sent in history.sent:
        sure = sent.sender in history.since or sent.number in seen
        for observer, since in history.since.items() if sure else ():
            person = history.who(observer)
            due = person != sent.sender and sent.to in (EVERYBODY, person)
            if due and since <= sent.number and (observer, sent.number) not in got:
                return Broken(
                    f"{observer} was never told {sent.text!r} of {sent.sender}", (sent.number,)
                )
    return None


def nothing_invented(history: History, _value: Any) -> Broken | None:
    """Whatever is told of an actor, that actor said before."""
    for told in history.told:
        if told.speaker == NOBODY:
            continue  # the server, for instance
        known = history.sendings(told.speaker, told.text)
        if not any(sent.number < told.number for sent in known) and not history.may_have_written(
            told.speaker, told.text, told.number
        ):
            return Broken(
                f"{told.observer} was told {told.text!r} of {told.speaker}, who never said so",
                (told.number,),
            )
    return None


def private_stays_private(history: History, _value: Any) -> Broken | None:
    """A message to one person is told to nobody else."""
    for told in history.told:
        known = history.sendings(told.speaker, told.text)
        if known and not any(history.is_for(sent, told.observer) for sent in known):
            return Broken(
                f"{told.observer} was told {told.text!r}, which was for {known[0].to}",
                (known[0].number, told.number),
            )
    return None


def converges(history: History, _value: Any) -> Broken | None:
    """What one was told for all, everybody was told who was there from before to the end."""
    got: dict[int, dict[str, Told]] = {}
    for told, sent in history.pairs():
        if sent and sent.to == EVERYBODY and history.who(told.observer) != sent.sender:
            got.setdefault(sent.number, {})[told.observer] = told
    for sent in history.sent:
        here = got.get(sent.number, {})
        for observer, since in history.since.items() if here else ():
            alone = history.who(observer) == sent.sender
            if since <= sent.number and observer not in here and not alone:
                one = next(iter(here.values()))
                return Broken(
                    f"{one.observer} was told {sent.text!r} of {sent.sender}, {observer} was not",
                    (sent.number, one.number),
                )
    return None


def _no_history(_history: History, _value: Any) -> Broken | None:
    return None


ONCE = Law(
    "once", "everybody still connected at the end was told this exactly once", _no_history,
    "patterns",
)  # fmt: skip
TABLE = (
    ONCE,
    Law("in order", "everybody is told one sender's messages in the order of sending", in_order),
    Law("at most once", "nobody is told one message twice", at_most_once),
    Law(
        "exactly once",
        "whom a message is for is told of it exactly once, if there from before to the end",
        exactly_once,
    ),
    Law(
        "nothing invented", "whatever is told of an actor, that actor said before", nothing_invented
    ),
    Law("private stays private", "a message to one is told to nobody else", private_stays_private),
    Law(
        "converges",
        "what one was told for all, everybody was told who was there from before to the end",
        converges,
    ),
)


@functools.cache
def laws() -> Mapping[str, Law]:
    """Every law by name: ours, and those that installed packages bring."""
    found = {law.name: law for law in TABLE}
    for entry in metadata.entry_points(group=GROUP):
        law = entry.load()
        if not isinstance(law, Law):
            problem = Problem(Place(entry.value), f"entry point {entry.name!r} is no Law")
            raise ScenarioError([problem])
        found[law.name] = law
    return found


class LawLine(Struct, frozen=True):
    """A line of `laws`."""

    name: str
    value: Any
    place: Place


def read_laws(value: Value, check: Checker) -> Iterator[tuple[LawLine, Value]]:
    """The lines of `laws`, with their values: a law that takes nothing may be a mere word."""
    for item in check.listing(value, "laws"):
        pairs = [(item, NOTHING)] if item.kind == "scalar" else check.mapping(item, "a law")
        for key, inner in pairs:
            if key.data == WITHOUT:
                for name in inner.values:
                    check.known(name, laws(), "law", "unknown-law")
                yield LawLine(WITHOUT, inner.plain(), key.place), inner
            elif check.known(key, [*laws(), WITHOUT], "law", "unknown-law"):
                law = laws()[str(key.data)]
                check.fits(inner, law.takes, f"what law {law.name!r} is given")
                yield LawLine(law.name, inner.plain(), key.place), inner


NOTHING = Value(None, Place(""), "scalar")


def judge(run: Run, lines: list[LawLine]) -> None:
    """Raise `BrokenPromiseError` for the first law that does not hold, with its witness."""
    history: History | None = None
    waived = {name for line in lines if line.name == WITHOUT for name in as_list(line.value)}
    for line in lines:
        if line.name in (WITHOUT, *waived):
            continue
        if line.name == ONCE.name:
            _once(run, line)
            continue
        if history is None:
            history = run.history()
            if not history.sent and line in run.scenario.laws:
                run.obstacles.add(NO_MESSAGE)
        broken = laws()[line.name].find(history, line.value)
        if broken is not None:
            raise BrokenPromiseError(
                f"law {line.name!r}: {broken.what}", line.place, tuple(_shown(run, broken))
            )


def _shown(run: Run, broken: Broken) -> list[str]:
    events = [run.journal.events[number] for number in broken.witness]
    signs = {"does": ">", "sees": "<"}
    return [f"{e.at:8.3f}  {e.actor} {signs.get(e.kind, '*')} {e.text}" for e in events]


def _once(run: Run, line: LawLine) -> None:
    for actor in run.actors.values():
        if not actor.alive:
            continue
        pattern = run.pattern(line.value, actor)
        hits = [i for i in actor.items if not i.hidden and pattern.match(i) is not None]
        if len(hits) != 1:
            raise BrokenPromiseError(
                f"law once: {actor.name} was told {len(hits)} times: {pattern}", line.place
            )
