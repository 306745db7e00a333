"""A run put on record, and the record played again before the same judge, without any program.

The judge (exchanges, expectations, fences, laws) looks at actors: at what they were told, how they
ended, what their screens show. `RecordedRun` is a run with real programs that writes all of that
down, with a marker wherever an exchange begins and around everything that is done. `Rehearsal` is
the same run with ghosts: an act does nothing but let the record go on to the next marker, so that
what followed an act comes after it, and nothing comes that was not there. The harness's own
questions are answered by the rehearsal itself, behind everything recorded before the next marker.
The clock is the record's; where nothing more can come, time jumps to where patience ends.

So a changed record (see `lies`) is judged in milliseconds, by the code that judged the real thing.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from msgspec import Struct, field, structs

from harness.actors import Actor, Hidden
from harness.errors import BrokenPromiseError, Place
from harness.expect import Expectation
from harness.fences import Fences
from harness.journal import Event, Journal
from harness.language import Scenario
from harness.laws import LawLine, judge
from harness.patterns import Item
from harness.programs import Pipe, Server, Shell
from harness.run import Options, Run, Verdict
from harness.steps import Clause, Exchange
from harness.wire import Wire

MARKERS = frozenset({"turn", "begin", "act", "last"})
JUMP = 0.2  # seconds of the first wait for nothing; each further one is twice as long
SCREENS = frozenset({"shows", "never shows", "is asked"})  # verbs that look at more than lines


class Screen(Struct, frozen=True):
    """What stood on a screen."""

    question: str = ""  # its unfinished last line
    rows: list[str] = []
    drawn: list[list[Any]] = []  # cells of each line, those that were wrapped in one piece


class Entry(Struct):
    """One thing that happened: a marker, or what an actor was told or became.

    turn, begin, act, last
                      markers: an exchange (after its barrier: `begin`), something that is done,
                      the last fence
    acted             the act was handed over; `state` is what it changed
    item, end, screen, ready, start, grow
                      what came of an actor; see `Ghost`
    link              what stands between an actor and the server now, in words
    note, sent        a line of the minutes; a frame that is to be acknowledged
    """

    kind: str
    at: float
    actor: str = ""
    key: str = ""  # markers: which
    text: str = ""
    data: Any = None  # frame; screen: a `Screen`
    flag: bool = False  # item: is a frame
    hidden: bool = False
    code: int | None = None
    state: dict[str, Any] = field(default_factory=dict)
    number: int = -1  # in the honest record; lies have none


class Record(Struct):
    """A run, in the order of arrival."""

    entries: list[Entry] = field(default_factory=list)
    home: str = ""

    def write(self, kind: str, at: float, actor: str = "", **more: Any) -> None:
        """Put down what happened."""
        number = len(self.entries)
        self.entries.append(Entry(kind, at, actor, number=number, **more))


# Putting on record.


class Recorded(Actor):
    """An actor that tells the record what became of it."""

    record: Callable[..., None]
    looks: bool = False  # whether its screen matters

    def deliver(self, text: str, *args: Any, **kwargs: Any) -> None:
        """Something arrived."""
        at = len(self.items)
        try:
            super().deliver(text, *args, **kwargs)
        finally:
            if len(self.items) > at:
                item = self.items[at]
                self.record("item", self.name, text=item.text, data=item.frame,
                            flag=item.is_frame, hidden=item.hidden)  # fmt: skip

    def end(self, how: str) -> None:
        """The channel was read to its end."""
        if self.ended is None:
            code = getattr(self, "exit_code", None)
            self.record("end", self.name, text=how, code=code)
        super().end(how)


class RecordedShell(Recorded, Shell):
    """A terminal on record: its screen and its questions too."""

    _known: Any = None
    _was_ready = False

    def start(self, launch: Any) -> None:
        """Start the program."""
        self._known, self._was_ready = None, False
        self.record("start", self.name)
        super().start(launch)

    def _fed(self, data: bytes) -> None:
        super()._fed(data)
        self._look_at_it()

    def type(self, text: str, *args: Any, **kwargs: Any) -> None:
        """Type `text`."""
        super().type(text, *args, **kwargs)
        self._look_at_it()

    def _look_at_it(self) -> None:
        if self.looks:
            now = Screen(
                self.view.asked(), self.picture(), [list(row) for row in self.view.drawn()]
            )
            if now != self._known:
                self._known = now
                self.record("screen", self.name, data=now)

    def ready(self) -> bool:
        """Whether a line can be typed now."""
        ready = super().ready()
        if ready and not self._was_ready:
            self._was_ready = True
            self.record("ready", self.name)
        return ready


class RecordedWire(Recorded, Wire):
    """A socket on record; where pieces have no borders, how an item grew."""

    def start(self, launch: Any) -> None:
        """Connect."""
        self.record("start", self.name)
        super().start(launch)

    def _fed(self, data: bytes) -> None:
        count, last = len(self.items), self.items[-1] if self.items else None
        before = last.text if last else ""
        super()._fed(data)
        if last is not None and len(self.items) == count and last.text != before:
            self.record("grow", self.name, text=last.text.removeprefix(before))


class RecordedPipe(Recorded, Pipe):
    """A program without a terminal, on record."""

    def start(self, launch: Any) -> None:
        """Start the program."""
        self.record("start", self.name)
        super().start(launch)


class RecordedServer(Recorded, Server):
    """The server, on record."""

    def start(self, launch: Any) -> None:
        """Start it, or start it again."""
        self.record("start", self.name)
        super().start(launch)


class RecordedJournal(Journal):
    """Minutes of which a copy goes to the record, but for what actors were told."""

    record: Callable[..., None] | None = None

    def note(self, actor: str, kind: str, text: str, *, verb: str = "", data: Any = None) -> None:
        """Write down an event."""
        super().note(actor, kind, text, verb=verb, data=data)
        if self.record is not None and kind not in ("sees", "fence"):
            place = self.events[-1].place
            self.record("note", actor, key=kind, text=text,
                        data=data, state={"verb": verb, "place": place})  # fmt: skip


class RecordedFences(Fences):
    """Fences of which the record knows what is to be acknowledged."""

    def sent(self, actor: Wire, frame: Any) -> None:
        """A socket has sent a frame of the scenario."""
        super().sent(actor, frame)
        self.run.write("sent", actor.name, data=copy.deepcopy(frame))


class RecordedRun(Run):
    """A run with real programs that is put on record."""

    kinds: ClassVar = {
        "shell": RecordedShell, "wire": RecordedWire, "pipe": RecordedPipe,
        "server": RecordedServer,
    }  # fmt: skip

    def __init__(
        self,
        scenario: Scenario,
        row: Mapping[str, Any],
        options: Options,
        watch: Callable[[Event], None] | None = None,
    ) -> None:
        self.record = Record()
        self.judged: list[Verdict] = []  # without those of logins
        self._depth = 0
        self._obstacles: dict[str, str] = {}
        super().__init__(scenario, row, options, watch)
        self.record.home = str(self.home)
        self.fences = RecordedFences(self)
        journal = self.journal
        assert isinstance(journal, RecordedJournal)
        journal.record = self.write
        looks = any(
            clause.verb.name in SCREENS
            for step in (*scenario.steps, *scenario.cleanup)
            if isinstance(step, Exchange)
            for clause in step.clauses
        )
        for actor in self.everybody():
            assert isinstance(actor, Recorded)
            actor.record, actor.looks = self.write, looks

    def new_journal(self) -> Journal:
        """The minutes of this run."""
        return RecordedJournal()

    def write(self, kind: str, actor: str = "", **more: Any) -> None:
        """Put an entry on record, until the run is over."""
        if self.over:
            return
        self._links()
        self.record.write(kind, self.reactor.now(), actor, **more)

    def _links(self) -> None:
        """What stands between an actor and the server changes by itself."""
        for actor in self.actors.values():
            now = actor.link.obstacle if actor.link else ""
            if now != self._obstacles.get(actor.name, ""):
                self._obstacles[actor.name] = now
                self.record.write("link", self.reactor.now(), actor.name, text=now)

    def sync(self, key: str) -> None:
        """An exchange begins, or the last fence: what was before has been seen."""
        if not self._depth:
            self.write(key.partition(" ")[0], key=key)

    @contextlib.contextmanager
    def _act(self, key: str) -> Iterator[None]:
        """Everything in here is one act; what it changes is kept."""
        if self._depth:
            yield
            return
        before, unsettled, acts = _state(self), set(self.fences.unsettled), self.fences.acts
        self.write("act", key=key)
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            changes = _changes(before, _state(self))
            changes["fences"] = (self.fences.unsettled - unsettled, self.fences.acts - acts)
            self.write("acted", state=changes)

    def perform(self, clause: Clause, actor: Actor, value: Any) -> None:
        """Do what a clause says."""
        with self._act(f"{clause.place} {actor.name}"):
            super().perform(clause, actor, value)

    def join(self, actor: Actor) -> None:
        """Start an actor and log in."""
        with self._act(f"join {actor.name}"):
            super().join(actor)

    def verdict(self, found: Expectation) -> None:
        """Write down how a clause was decided for an actor."""
        super().verdict(found)
        if not self._depth:
            self.judged.append(self.verdicts[-1])

    def start_server(self) -> None:
        """Start the server."""
        with self._act("server"):
            super().start_server()


def _state(run: Run) -> dict[str, Any]:
    """Everything simple that an act may change, by a path of two or three words."""
    found: dict[str, Any] = {"server": dict(run.scope.values.get("server", {}))}
    for name, known in run.scope.captured.items():
        found[f"captured {name}"] = copy.deepcopy(known)
    for actor in run.everybody():
        for key, value in vars(actor).items():
            if (
                key not in ("name", "ended")
                and not key.startswith("_")
                and isinstance(value, bool | str | None)
            ):
                found[f"flag {actor.name} {key}"] = value
        found[f"cursor {actor.name}"] = actor.cursor
        found[f"since {actor.name}"] = actor.since
        found[f"flag {actor.name} no_more"] = (
            actor.joined and isinstance(actor, Pipe) and actor.no_more
        )
        found[f"sending {actor.name}"] = (
            actor.sending if actor.joined and isinstance(actor, Wire) else 0.0
        )
    found["names"] = dict(run.names)
    return found


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in after.items() if key not in before or before[key] != value}


# Playing the record again.


class Stage:
    """Takes the place of the reactor: what it waits for is what the record says."""

    def __init__(self, entries: list[Entry], play: Callable[[Entry], None]) -> None:
        self._entries, self._play = entries, play
        self._next = 0
        self._offset = 0.0  # of our clock before that of the record
        self._clock = entries[0].at if entries else 0.0
        self._idle = 0  # waits for nothing, one after the other
        self.looks: list[Callable[[], None]] = []
        self.answer: Callable[[], bool] = bool
        self.turn = -1  # exchanges that have begun, counted from 0

    def now(self) -> float:
        """The time, in seconds, of the record."""
        return self._clock

    def step(self, deadline: float) -> None:
        """One thing happens: an entry, the answers to what was asked, or nothing but time."""
        if self.has_more:
            self._forward()
        elif self.answer():
            self._idle = 0
        else:
            wait = max(0.0, min(deadline - self._clock, JUMP * 2**self._idle))
            self._offset += wait
            self._clock += wait
            self._idle += 1
        for look in list(self.looks):
            look()

    def until(self, done: Callable[[], bool], deadline: float) -> bool:
        """Step until `done`; false if the deadline came first."""
        while not done():
            if self._clock >= deadline and not self.has_more:
                return False
            self.step(deadline)
        return True

    @property
    def has_more(self) -> bool:
        """Whether something comes before the next marker."""
        return self._next < len(self._entries) and self._entries[self._next].kind not in MARKERS

    def _forward(self) -> None:
        entry = self._entries[self._next]
        self._next += 1
        self._idle = 0
        self._clock = max(self._clock, entry.at + self._offset)
        self._play(entry)

    def catch_up(self) -> None:
        """Everything before the next marker."""
        while self.has_more:
            self._forward()

    def pass_marker(self, key: str) -> bool:
        """Go behind the next marker; false if the record knows of no such thing here."""
        self.catch_up()
        if self._next >= len(self._entries) or self._entries[self._next].key != key:
            return False
        self.turn += self._entries[self._next].kind == "turn"
        self._forward()
        return True

    def act(self, key: str) -> None:
        """Let the record go on until an act was handed over."""
        if not self.pass_marker(key):
            return
        while self.has_more:
            acted = self._entries[self._next].kind == "acted"
            self._forward()
            if acted:
                return

    def to_the_end(self) -> None:
        """Everything that is left, whoever does not do anything."""
        while self._next < len(self._entries):
            self._forward()

    def look_soon(self) -> None:
        """There is nothing to wait for."""

    def register(self, _channel: object) -> None:
        """There are no descriptors."""

    forget = register

    def close(self) -> None:
        """Nothing is held."""


class GhostView:
    """The screen and the question of a ghost, as recorded."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen

    def asked(self) -> str:
        """The unfinished last line."""
        return self._screen.question

    def picture(self) -> list[str]:
        """What a person sees."""
        return list(self._screen.rows)

    def drawn(self) -> list[list[Any]]:
        """The cells of each line."""
        return self._screen.drawn


BLANK = GhostView(Screen())


class Ghost(Actor):
    """An actor without a program: it is told what the record says."""

    drawings = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.view: Any = BLANK
        self.at_prompt = False
        self.still_sending = (0.0, 0.0)  # seconds, at which time
        self.told: list[int] = []  # number in the record of each item
        self.gone = False  # by a lie: whatever it does fails
        self.heard_before: list[Entry] = []  # what the live run has asked of its own and heard
        self._answered: list[Hidden] = []

    def play(self, entry: Entry, now: float) -> None:
        """Become what the record says."""
        getattr(self, f"_{entry.kind}")(entry, now)

    def _item(self, entry: Entry, now: float) -> None:
        item = item_of(entry, now)
        item.hidden = entry.hidden or self._is_ours(item)
        self.items.append(item)
        self.told.append(entry.number)
        self.note("fence" if item.hidden else "sees", entry.text, data=entry.data)
        self._heard(self, item)

    def _grow(self, entry: Entry, now: float) -> None:
        if self.items and len(self.items) > self.cursor:
            self.items[-1].text += entry.text
        else:
            self._item(entry, now)

    def _end(self, entry: Entry, _now: float) -> None:
        if self.ended is None:
            self.exit_code = entry.code
            self.end(entry.text)
            self.gone = entry.number < 0

    def _screen(self, entry: Entry, _now: float) -> None:
        self.view = GhostView(entry.data)
        self.drawings += 1

    def _link(self, entry: Entry, _now: float) -> None:
        self.link = Obstacle(entry.text) if entry.text else None  # type: ignore[assignment]

    def _ready(self, _entry: Entry, _now: float) -> None:
        self.at_prompt = True

    def _start(self, _entry: Entry, _now: float) -> None:
        self.ended = self.exit_code = None
        self.draft, self.view, self.at_prompt = "", BLANK, False
        self.frozen = self.dismissed = self.gone = False
        self.hidden.clear()
        if self.counted:
            self.counted.asked.clear()

    def look(self) -> None:
        """There is nothing to look at."""

    def close(self) -> None:
        """Nothing is held."""

    def answer(self) -> bool:
        """Answer what the harness has asked; whether there was anything to answer."""
        asked, self.hidden[:] = list(self.hidden), []
        for hidden in asked:
            hidden.seen = True
        return self._answer_counted() or bool(asked)

    def _answer_counted(self) -> bool:
        """Answers without a token: whoever asked first gets the first."""
        counted = self.counted
        waiting = [
            asked
            for asked in (counted.asked if counted else ())
            if asked is not None and not any(asked is known for known in self._answered)
        ]
        for hidden in waiting:
            self._answered.append(hidden)
            self._answer_one(hidden)
        return bool(waiting)

    def _answer_one(self, hidden: Hidden) -> None:
        assert self.counted
        like = [e for e in self.heard_before if self.counted.pattern.match(item_of(e)) is not None]
        if like:  # if a question of the scenario was not answered, this will be its answer
            self._item(copy_of(like[-1], hidden=False), self._reactor.now())
        else:
            self.counted.asked.remove(hidden)
            hidden.seen = True


def item_of(entry: Entry, at: float = 0.0) -> Item:
    """What an actor is told by an entry."""
    return Item(entry.text, at, entry.data, entry.flag)


PLAYS = frozenset({"item", "grow", "end", "screen", "ready", "start", "link"})  # of a ghost


class GhostShell(Ghost, Shell):
    """A terminal that shows what the record says."""

    has_prompt = True  # until it has started

    def ready(self) -> bool:
        """Whether it has been at its prompt since it was started, if it has one."""
        return self.at_prompt or not self.has_prompt

    def type(self, text: str, *, submit: bool, answers: str | None = None) -> None:
        """Nobody reads it."""
        self.draft = "" if submit else self.draft + text

    def picture(self) -> list[str]:
        """What a person would see."""
        return list(self.view.picture())


class GhostWire(Ghost, Wire):
    """A socket that is told what the record says."""

    @property
    def sending(self) -> float:
        """Seconds for which it would still be sending."""
        seconds, since = self.still_sending
        return max(0.0, seconds - (self._reactor.now() - since))

    def send(self, frame: Any) -> None:
        """Nobody reads it."""

    def send_bytes(self, data: bytes, *, pause: float = 0.0) -> None:
        """Nobody reads it."""

    def half_close(self) -> None:
        """Nobody notices."""

    def hang_up(self, *, reset: bool = False) -> None:
        """Nobody notices."""


class GhostPipe(Ghost, Pipe):
    """A program that says what the record says."""

    no_more = False

    def type(self, text: str) -> None:
        """Nobody reads it."""


class GhostServer(Ghost, Server):
    """A server that prints what the record says."""

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.joined and self.ended is None

    def type(self, text: str) -> None:
        """Nobody reads it."""


class Obstacle(Struct, frozen=True):
    """What a link is to a fence."""

    obstacle: str


class AtRest(Struct):
    """Nobody runs: what the record has before its next marker has come."""

    stage: Stage
    why: str = ""

    def poll(self) -> None:
        """There is nothing to look at."""

    @property
    def done(self) -> bool:
        """Whether nothing is on its way."""
        return not self.stage.has_more


class Judged(Struct):
    """An expectation as it was decided for one actor, and what met it."""

    turn: int  # of the exchange
    expectation: Expectation
    took: list[tuple[int, dict[str, Any]]]  # numbers in the record, with what was captured

    @property
    def place(self) -> Place:
        """Where the clause stands."""
        return self.expectation.place


class Rehearsal(Run):
    """A run that is played from a record."""

    kinds: ClassVar = {
        "shell": GhostShell, "wire": GhostWire, "pipe": GhostPipe, "server": GhostServer,
    }  # fmt: skip

    def __init__(
        self,
        scenario: Scenario,
        row: Mapping[str, Any],
        options: Options,
        record: Record,
        entries: list[Entry] | None = None,
    ) -> None:
        self._record = record
        self.stage = Stage(record.entries if entries is None else entries, self._happen)
        self.judged: list[Judged] = []
        super().__init__(scenario, row, options)
        for entry in record.entries:
            if entry.hidden:
                self.ghost(entry.actor).heard_before.append(entry)
        self.stage.answer = self._answer_questions

    # What a run makes at its start.

    def new_reactor(self) -> Any:
        """The record takes the place of the world."""
        return self.stage

    def new_journal(self) -> Journal:
        """The minutes, by the clock of the record."""
        return Journal(self.stage.now)

    def new_home(self) -> Path:
        """The folder of the recorded run, which is gone."""
        return Path(self._record.home)

    def rest(self) -> Any:
        """A way to see that nothing is on its way."""
        return AtRest(self.stage)

    # What it does.

    def sync(self, key: str) -> None:
        """An exchange begins: what was there before it has been seen."""
        self.stage.pass_marker(key)

    def perform(self, clause: Clause, actor: Actor, _value: Any) -> None:
        """Let the record go on."""
        assert isinstance(actor, Ghost)
        if actor.gone and clause.verb.name not in ("joins", "cannot join", "is restarted"):
            raise BrokenPromiseError(f"{actor.name} is not there any more", clause.place)
        self.stage.act(f"{clause.place} {actor.name}")

    def join(self, actor: Actor) -> None:
        """Let the record go on."""
        self.stage.act(f"join {actor.name}")

    def start_server(self) -> None:
        """Let the record go on."""
        self.stage.act("server")

    def verdict(self, found: Expectation) -> None:
        """Keep what met it."""
        super().verdict(found)
        told = self.ghost(found.actor.name).told
        took = [(told[at], captured) for at, captured in found.took]
        self.judged.append(Judged(self.stage.turn, found, took))

    def close(self, *, remove: bool = True) -> list[str]:
        """Nothing is held."""
        del remove
        self.over = True
        return []

    def ghost(self, name: str) -> Ghost:
        """An actor by name."""
        actor = self.server if name == self.server.name else self.actors[name]
        assert isinstance(actor, Ghost)
        return actor

    def judge_alone(self, law: LawLine, captured: Mapping[str, dict[str, Any]]) -> None:
        """The history by itself: nobody expects anything but one law."""
        self.stage.to_the_end()
        self.scope.captured = {**self.scope.captured, **captured}
        judge(self, [law])

    def _answer_questions(self) -> bool:
        answered = [self.ghost(actor.name).answer() for actor in self.everybody()]  # each of them
        return any(answered)

    def _happen(self, entry: Entry) -> None:
        if entry.kind in PLAYS:
            self.ghost(entry.actor).play(entry, self.stage.now())
        elif entry.kind == "note":
            self.journal.place = entry.state["place"]
            verb = entry.state["verb"]
            self.journal.note(entry.actor, entry.key, entry.text, verb=verb, data=entry.data)
        elif entry.kind == "sent":
            actor = self.ghost(entry.actor)
            assert isinstance(actor, Wire)
            self.fences.sent(actor, entry.data)
        elif entry.kind == "acted":
            self._change(entry.state)

    def _change(self, state: Mapping[str, Any]) -> None:
        """What an act has changed, without what it was told."""
        for path, value in state.items():
            what, _, rest = path.partition(" ")
            name, _, key = rest.partition(" ")
            if what == "server":
                self.scope.values["server"] = dict(value)
            elif what == "fences":  # who acted while he logged in
                self.fences.unsettled |= value[0]
                self.fences.acts += value[1]
            elif what == "names":
                self.names.update(value)
            elif what == "captured":
                self.scope.captured.setdefault(name, {}).update(value)
            elif what == "flag":
                setattr(self.ghost(name), key, value)
            elif what == "cursor":
                self.ghost(name).cursor = min(value, len(self.ghost(name).items))
            elif what == "since":
                self.ghost(name).since = None if value is None else len(self.journal.events)
            elif what == "sending":
                self.ghost(name).still_sending = (value, self.stage.now())


def rehearse(run: Rehearsal) -> BrokenPromiseError | None:
    """Play a record to its end or to the first broken promise, which is returned."""
    from harness.runner import play

    try:
        run.start_server()
        play(run)
    except BrokenPromiseError as broken:
        return broken
    finally:
        run.close()
    return None


def copy_of(entry: Entry, **changes: Any) -> Entry:
    """An entry that never happened."""
    return structs.replace(entry, number=-1, **changes)
