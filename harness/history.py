"""The history of a run as messages: who sent what to whom, and who was told of it. For laws.

A *message* is an act of the profile with an argument `text`, and `to` if it is for one person;
its sight is the phrase of the same name, with `from` and `text`. The profile names them under
`messages`. Both are recognised in the minutes of a run, however a scenario brought them about: by
`does`, by a typed line or by a frame.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from harness.errors import NotApplicableError
from harness.journal import Event
from harness.patterns import FramePattern, Item, Pattern, TextPattern
from harness.scope import VARIABLE, names_used

if TYPE_CHECKING:
    from harness.profile import Profile
    from harness.run import Run

EVERYBODY = ""  # addressee of a public message


class Sent(Struct, frozen=True, gc=False):
    """A message as its sender gave it; `to` is an actor, `EVERYBODY`, or a name nobody has."""

    number: int  # of the event
    sender: str
    to: str
    text: str


class Told(Struct, frozen=True, gc=False):
    """A message as an observer was told of it; `speaker` is an actor, or a name nobody has."""

    number: int
    observer: str
    speaker: str
    text: str


class History(Struct):
    """What laws look at. Numbers are those of the events, in the order of arrival."""

    sent: list[Sent] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    since: dict[str, int] = field(default_factory=dict)  # actor -> present from here to the end
    actors: set[str] = field(default_factory=set)
    # Acts as they were written, by actor; none for bytes, which may mean anything.
    did: dict[str, list[tuple[int, str | None]]] = field(default_factory=dict)
    _by_key: dict[tuple[str, str], list[Sent]] | None = None
    _pairs: list[tuple[Told, Sent | None]] | None = None

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
            while at < len(known) and not is_for(known[at], told.observer):
                at += 1
            following[key] = at + 1
            yield told, known[at] if at < len(known) else None


def is_for(sent: Sent, observer: str) -> bool:
    """Whether an observer may be told of a message."""
    return observer in (sent.to, sent.sender) or sent.to == EVERYBODY


class Recogniser:
    """What the lines and frames of one role mean."""

    def __init__(self, profile: Profile, role: str) -> None:
        self._sends: list[Pattern] = []
        self._told: list[Pattern] = []
        for name in profile.messages:
            try:
                self._sends += [_open(s) for s in profile.act(name, role).values()]
                self._told.append(_open(profile.phrase(name, role)))
            except NotApplicableError:
                continue
        self._other = [
            _open(shape)
            for name in profile.phrases
            if name not in profile.messages and (shape := profile.shape_of(name, role)) is not None
            and "text" not in names_used(shape)
        ]  # fmt: skip

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
    return Item(event.text, event.at, event.data, is_frame=event.data is not None)


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
    if isinstance(shape, Mapping):
        return FramePattern(
            {key: _captures(value, "json") for key, value in shape.items()}, _none, exact=False
        )
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


def history_of(run: Run) -> History:
    """What happened in a run, as far as it was messages."""
    profile = run.profile
    roles = {name: Recogniser(profile, actor.role) for name, actor in run.actors.items()}
    history = History(
        actors={name for name, role in roles.items() if role},
        since={
            name: actor.since
            for name, actor in run.actors.items()
            if roles[name] and actor.since is not None and actor.alive and not actor.frozen
        },
    )
    for event in run.journal.events:
        if event.actor in history.actors:
            _recognise(event, roles[event.actor], history, run.names)
    return history


def _recognise(event: Event, role: Recogniser, history: History, names: Mapping[str, str]) -> None:
    if event.kind == "does":
        written = None if event.verb == "sends bytes" else event.text
        history.did.setdefault(event.actor, []).append((event.number, written))
        found = role.sent(event)
        if found is not None and "text" in found:
            to = _actor(str(found["to"]), names) if "to" in found else EVERYBODY
            history.sent.append(Sent(event.number, event.actor, to, str(found["text"])))
    elif event.kind == "sees":
        found = role.told(event)
        if found is not None and "text" in found:
            speaker = _actor(str(found.get("from", "")), names)
            history.told.append(Told(event.number, event.actor, speaker, str(found["text"])))


def _actor(name: str, names: Mapping[str, str]) -> str:
    """The actor of that name; a name of nobody as it is, marked."""
    return names.get(name) or names.get(name.casefold()) or f"?{name}"
