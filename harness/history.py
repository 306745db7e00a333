"""The history of a run as messages: who sent what to whom, and who was told of it. For laws.

A *message* is an act of the profile with an argument `text`, and `to` if it is for one person;
people are told of it by a phrase, mostly of the same name, with `from` and `text`. The profile says
so under `messages`. Both are recognised in the minutes of a run, however they came about: by
`does`, by a typed line or by a frame.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from harness.journal import Event
from harness.patterns import FramePattern, Item, Pattern, RegexPattern, TextPattern
from harness.scope import VARIABLE

if TYPE_CHECKING:
    from harness.profile import Profile
    from harness.run import Run

UNREADABLE = frozenset({"sends bytes", "drafts", "presses", "pastes"})  # acts in pieces
SAYING = frozenset({"types", "sends"})
EVERYBODY = ""  # addressee of a public message
NOBODY = "?"  # somebody who is not in the cast, as far as the minutes tell


class Sent(Struct, frozen=True, gc=False):
    """A message as its sender gave it; `to` is a person, `EVERYBODY`, or `NOBODY`."""

    number: int  # of the event
    sender: str
    to: str
    text: str


class Told(Struct, frozen=True, gc=False):
    """A message as an observer was told of it; `speaker` is a person, or `NOBODY`."""

    number: int
    observer: str
    speaker: str
    text: str


class History(Struct):
    """What laws look at. Numbers are those of the events, in the order of arrival.

    Actors that had the same name, one after the other or as two sessions, are one *person*, called
    like one of them: what is for one of them is for all.
    """

    sent: list[Sent] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    since: dict[str, int] = field(default_factory=dict)  # actor -> present from here to the end
    actors: set[str] = field(default_factory=set)
    person: dict[str, str] = field(default_factory=dict)  # actor -> person, where it is another
    # Acts as they were written, by actor; none for what came in pieces.
    did: dict[str, list[tuple[int, str | None]]] = field(default_factory=dict)
    _by_key: dict[tuple[str, str], list[Sent]] | None = None
    _pairs: list[tuple[Told, Sent | None]] | None = None

    def who(self, actor: str) -> str:
        """The person that an actor is."""
        return self.person.get(actor, actor)

    def is_for(self, sent: Sent, observer: str) -> bool:
        """Whether an observer may be told of a message, as far as is known whom it is for."""
        return sent.to in (EVERYBODY, NOBODY) or self.who(observer) in (sent.to, sent.sender)

    def sendings(self, speaker: str, text: str) -> list[Sent]:
        """The messages of a speaker with this text, in the order of sending."""
        if self._by_key is None:
            self._by_key = defaultdict(list)
            for sent in self.sent:
                self._by_key[sent.sender, sent.text].append(sent)
        return self._by_key.get((speaker, text), [])

    def may_have_written(self, speaker: str, text: str, before: int) -> bool:
        """Whether a speaker did anything with this text in it, or anything that we cannot read."""
        return any(
            number < before and (written is None or text in written)
            for number, written in self.did.get(speaker, [])
        )

    def pairs(self) -> list[tuple[Told, Sent | None]]:
        """Each sight with its message: the first, second, ... of equal ones for each observer."""
        if self._pairs is None:
            self._pairs = list(self._pair())
        return self._pairs

    def _pair(self) -> Iterator[tuple[Told, Sent | None]]:
        following: dict[tuple[str, str, str], int] = {}  # where to go on among equal messages
        for told in self.told:
            known = self.sendings(told.speaker, told.text)
            key = (told.observer, told.speaker, told.text)
            at = following.get(key, 0)
            while at < len(known) and not self.is_for(known[at], told.observer):
                at += 1
            following[key] = at + 1
            yield told, known[at] if at < len(known) else None


class Recogniser:
    """What the lines and frames of one role mean."""

    def __init__(self, profile: Profile, role: str) -> None:
        acts = (act for act in profile.messages if profile.has_act(act, role))
        self._sends = [_open(s) for act in acts for s in profile.act(act, role).values()]
        shapes = {name: profile.shape_of(name, role) for name in profile.phrases}
        messages = [shapes[name] for told in profile.messages.values() for name in told]
        self._told = [_open(shape) for shape in messages if shape is not None]
        # Where a message is told in the same words as something else, it may be a message.
        self._other = [_open(s) for s in shapes.values() if s is not None and s not in messages]

    def __bool__(self) -> bool:
        return bool(self._told)

    def sent(self, event: Event) -> dict[str, Any] | None:
        """The arguments of a message that an act was."""
        return _first(self._sends, _item(event))

    def told(self, event: Event) -> dict[str, Any] | None:
        """The arguments of a message that an actor was told."""
        item = _item(event)
        found = _first(self._told, item)
        return None if found is None or _first(self._other, item) is not None else found


def _item(event: Event) -> Item:
    return Item(event.text, event.at, event.data, is_frame=isinstance(event.data, dict | list))


def _first(patterns: Iterable[Pattern], item: Item) -> dict[str, Any] | None:
    for pattern in patterns:
        # A text pattern is for lines, a frame's for frames: none of them looks into the other.
        if isinstance(pattern, FramePattern) == item.is_frame:
            found = pattern.match(item)
            if found is not None:
                return found
    return None


def _open(shape: Any) -> Pattern:
    """The pattern of everything that a shape may become: its arguments are captured."""
    if isinstance(shape, Mapping) and set(shape) == {"re"}:
        return RegexPattern(str(shape["re"]))  # its named groups are the arguments
    if isinstance(shape, Mapping):
        exact = set(shape) == {"exactly"}
        inner = shape["exactly"] if exact else shape
        fields = {key: _captures(value, "json") for key, value in inner.items()}
        return FramePattern(fields, _none, exact=exact)
    return TextPattern(str(_captures(shape, "rest")), _none)


def _none(name: str) -> Any:
    raise KeyError(name)


def _captures(shape: Any, kind: str) -> Any:
    if isinstance(shape, Mapping):
        return {key: _captures(value, kind) for key, value in shape.items()}
    if isinstance(shape, list):
        return [_captures(value, kind) for value in shape]
    if not isinstance(shape, str):
        return shape
    found = [match for match in VARIABLE.finditer(shape) if match["name"] and not match["kind"]]
    for match in reversed(found):
        last = match.end() == len(shape.rstrip("\"'"))
        name, how = match["name"].replace(".", "_"), kind if last else "word"
        if kind == "json" and len(match[0]) < len(shape):
            how = "rest" if last else "word"
        shape = f"{shape[: match.start()]}${{{name}={how}}}{shape[match.end() :]}"
    return shape


def history_of(run: Run, recogniser: Callable[[Profile, str], Recogniser] = Recogniser) -> History:
    """What happened in a run, as far as it was messages; `recogniser` makes that of a role."""
    profile = run.profile
    roles = {name: recogniser(profile, actor.role) for name, actor in run.actors.items()}
    person = persons(run.names)
    people = {name: person[actors[0]] for name, actors in run.names.items()}
    history = History(
        actors={name for name, role in roles.items() if role},
        person=person,
        since={
            name: actor.since
            for name, actor in run.actors.items()
            if roles[name] and actor.since is not None and actor.alive and not actor.frozen
        },
    )
    logins = {step.place.file for role in profile.roles.values() for step in role.login}
    for event in run.journal.events:
        # What is said at a login is for the server, though it may look like a message.
        if event.actor in roles and not (event.place and event.place.file in logins):
            _recognise(event, roles[event.actor], history, people)
    return history


def persons(names: Mapping[str, list[str]]) -> dict[str, str]:
    """Actor -> person: actors that shared a name are one, named like one of them."""
    person = {actor: actor for actors in names.values() for actor in actors}
    for actors in names.values():
        same = {person[actor] for actor in actors}
        one = min(same)
        person = {actor: one if other in same else other for actor, other in person.items()}
    return person


def _recognise(event: Event, role: Recogniser, history: History, people: Mapping[str, str]) -> None:
    sender = history.who(event.actor)
    if event.kind == "does":
        written = None if event.verb in UNREADABLE else event.text
        history.did.setdefault(sender, []).append((event.number, written))
        found = role.sent(event) if event.verb in SAYING else None
        if found is not None and "text" in found:
            to = _person(str(found["to"]), people) if "to" in found else EVERYBODY
            history.sent.append(Sent(event.number, sender, to, str(found["text"])))
    elif event.kind == "sees":
        found = role.told(event)
        if found is not None and "text" in found:
            speaker = _person(str(found.get("from", "")), people)
            history.told.append(Told(event.number, event.actor, speaker, str(found["text"])))


def _person(name: str, people: Mapping[str, str]) -> str:
    return people.get(name) or people.get(name.casefold()) or NOBODY
