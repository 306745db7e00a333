"""Load: many casts of one scenario against one server, started by a schedule, all in one thread.

Each cast is a run of its own, with its own names, expectations, fences and laws; only the server is
shared. What is measured is what `within` measures: from an act to the arrival of what was expected.
Afterwards the laws are judged over all casts together, so that a message that reaches somebody of
another cast is found.
"""

from __future__ import annotations

import errno
import itertools
import os
import re
import resource
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from hdrh.histogram import HdrHistogram
from msgspec import Struct, field, structs

from harness.actors import Launch
from harness.errors import BrokenPromiseError, Place, Problem, SetupError
from harness.exchange import LOOKS_AT_ALL, settle_everything
from harness.expect import Expectation
from harness.frames import Lines, Piece
from harness.guardian import remove_tree
from harness.history import (
    EVERYBODY,
    NOBODY,
    UNREADABLE,
    History,
    Recogniser,
    Sent,
    Told,
    history_of,
    persons,
)
from harness.home import new_home, write_files
from harness.hub import IDLE, Hub, Seat
from harness.journal import Journal
from harness.language import Scenario
from harness.laws import ONCE, WITHOUT, laws
from harness.patterns import Item
from harness.profile import Profile
from harness.run import Options, Run
from harness.runner import LAST_WORDS, play
from harness.scope import VARIABLE
from harness.steps import Clause, Exchange
from harness.values import as_list, texts
from harness.verbs import SERVER
from harness.wire import CONNECT, Wire

LATE = 0.05  # seconds after its time from which a start is called late
SPARE = 128  # descriptors beside the sockets
JOINING = 40  # casts that join at a time where all gather first; servers have short queues
BEGIN = 3 * IDLE  # seconds from the last arrival to the first step where all gather first
SHOWN = 3  # failures of a clause that are told
LONGEST = 3_600_000_000  # microseconds; histograms reach from 1 to it
DIGITS = 3  # significant digits of a histogram
KEPT = 20_000  # recognised lines that are kept


class Plan(Struct, frozen=True):
    """How many casts there are, and when they begin."""

    total: int  # casts in all
    places: int  # at a time, at most
    rate: float  # casts that begin per second
    gather: bool = False  # all join before the first begins, and stay to the end


class Row(Struct):
    """What was measured of one exchange, or of joining."""

    label: str
    place: Place
    times: HdrHistogram = field(default_factory=lambda: HdrHistogram(1, LONGEST, DIGITS))

    def record(self, seconds: float) -> None:
        """One arrival."""
        self.times.record_value(min(LONGEST, max(1, round(seconds * 1_000_000))))


class Failure(Struct):
    """How casts failed at one clause."""

    what: str
    place: Place | None
    count: int = 0
    examples: list[tuple[int, str, tuple[str, ...]]] = field(default_factory=list)  # cast


class Result(Struct):
    """What a load came to. Times are seconds."""

    plan: Plan
    rows: dict[Place, Row] = field(default_factory=dict)
    failures: dict[str, Failure] = field(default_factory=dict)
    broken: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)  # laws over all casts
    started: int = 0
    passed: int = 0
    late: int = 0
    latest: float = 0.0
    sockets: int = 0  # most at one time
    heard: int = 0  # lines and frames that arrived
    messages: int = 0
    told: int = 0
    exchanges: int = 0
    seconds: float = 0.0
    judging: float = 0.0
    rounds: HdrHistogram = field(default_factory=lambda: HdrHistogram(1, LONGEST, DIGITS))

    @property
    def failed(self) -> int:
        """Casts in which a promise was broken."""
        return self.started - self.passed


class Minutes(Journal):
    """The minutes of one cast; every event gets its place among those of all casts."""

    def __init__(self, count: Iterator[int]) -> None:
        super().__init__()
        self._count = count
        self.order: list[int] = []  # by number of the event

    def note(self, actor: str, kind: str, text: str, *, verb: str = "", data: Any = None) -> None:
        """Write down an event."""
        self.order.append(next(self._count))
        super().note(actor, kind, text, verb=verb, data=data)

    def tape(self, actor: str, kind: str, data: bytes) -> None:
        """Bytes are not kept: there are too many."""


class Known(Recogniser):
    """A recogniser that remembers: what is said to all is told in the same words many times."""

    def __init__(self, profile: Profile, role: str) -> None:
        super().__init__(profile, role)
        self._known: dict[str, dict[str, Any] | None] = {}

    def told(self, event: Any) -> dict[str, Any] | None:
        """The arguments of a message that an actor was told."""
        if event.text not in self._known:
            if len(self._known) > KEPT:
                self._known.clear()
            self._known[event.text] = super().told(event)
        return self._known[event.text]


class Remembered(Lines):
    """Cuts and decodes JSON lines, each text once: a thousand sockets are told the same."""

    known: ClassVar[dict[bytes, Piece]] = {}

    def _piece(self, line: bytes) -> Piece:
        found = self.known.get(line)
        if found is None:
            if len(self.known) > KEPT:
                self.known.clear()
            found = self.known[line] = super()._piece(line)
        return found


CONNECTING = frozenset({errno.EINPROGRESS, errno.EALREADY, errno.EAGAIN})


class LoadWire(Wire):
    """A socket that lets others go on while it connects."""

    def start(self, launch: Launch) -> None:
        """Connect."""
        super().start(launch)
        if launch.frames == "json-lines":
            self._codec = Remembered(json_lines=True)

    def _connect(self, address: tuple[str, int]) -> None:
        self._socket.settimeout(0)
        done = self._socket.connect_ex(address)
        deadline = time.monotonic() + CONNECT
        while done in CONNECTING and time.monotonic() < deadline:
            self._reactor.look_soon()
            self._reactor.step(deadline)
            done = self._socket.connect_ex(address)
        if done not in (0, errno.EISCONN):
            raise OSError(done, os.strerror(done))


class CastRun(Run):
    """One cast of many: its server, its folder and its reactor are shared with the others."""

    kinds: ClassVar[dict[str, Any]] = {**Run.kinds, "wire": LoadWire}

    def __init__(self, load: Load, scenario: Scenario, row: Mapping[str, Any], number: int) -> None:
        self.load, self.number = load, number
        self.acted = 0.0
        self.began = self.done = False
        super().__init__(_with_names(scenario, number), row, load.options)
        self.gathered = True  # whoever comes late may find that the server has died: no news

    def new_journal(self) -> Journal:
        """The minutes."""
        return Minutes(self.load.count)

    def new_reactor(self) -> Seat:
        """A seat among the others."""
        return Seat(self.load.hub, IDLE)

    def new_home(self) -> Path:
        """All casts share one folder: their programs are sockets."""
        return self.load.home

    def history(self) -> History:
        """What has happened so far, as messages."""
        return history_of(self, self.load.recogniser)

    def _answer(self, actor: Wire, answers: list[tuple[Any, Any]], item: Item) -> bool:
        """Answer what every client answers; what is no such thing is remembered for all casts."""
        key = (actor.role, item.text)
        if key in self.load.unasked:
            return False
        if super()._answer(actor, answers, item):
            return True
        if len(self.load.unasked) > KEPT:
            self.load.unasked.clear()
        self.load.unasked.add(key)
        return False

    def sync(self, key: str) -> None:
        """Before the first step: wait for the time to begin. After the last: for all others."""
        if key == "last":
            self.load.has_played(self)
        elif not self.began and key.startswith("turn ") and key[5:] in self.load.steps:
            self.began = True
            self.load.is_here(self)

    def perform(self, clause: Clause, actor: Any, value: Any) -> None:
        """Do what a clause says."""
        super().perform(clause, actor, value)
        self.acted = self.reactor.now()

    def verdict(self, found: Expectation) -> None:
        """Measure what came."""
        if found.at and not found.negative:
            self.load.measure(found, found.at - self.acted)

    def end(self) -> None:
        """Close every connection."""
        self.over = True
        for actor in self.actors.values():
            actor.close()


def unfit(scenario: Scenario) -> Iterator[Problem]:
    """What makes a scenario one that cannot be played by many casts at a time."""
    roles = scenario.profile.roles
    for member in scenario.cast:
        role = roles.get(str(member.role))
        if role is None or role.kind != "wire":
            help_ = "give it a role with tcp: (with `does` the steps can stay as they are)"
            yield Problem(
                member.place, f"{member.name} is no socket: load plays sockets only", help_
            )
    exchanges = [
        step for step in (*scenario.steps, *scenario.cleanup) if isinstance(step, Exchange)
    ]
    if not exchanges:
        yield Problem(scenario.place, "there is no exchange to be measured")
    literal = re.compile(rf"\b({'|'.join(re.escape(m.name) for m in scenario.cast)})\b")
    for exchange in exchanges:
        for clause in exchange.clauses:
            yield from _unfit_clause(clause, literal)
    for word, value in {**scenario.vars, **scenario.matrix}.items():
        yield from _literal(scenario.place, value, literal, f"{word}: ")
    if scenario.profile.proofs.shapes.get("quiet"):
        what = "the server of a load never rests, so `fence: quiet` proves nothing"
        yield Problem(Place(scenario.profile.path), what, "declare fence.roundtrip in the profile")


def _unfit_clause(clause: Clause, literal: re.Pattern[str]) -> Iterator[Problem]:
    if clause.verb.name in LOOKS_AT_ALL:
        yield Problem(
            clause.place, f"{clause.verb.name!r} is broken by what other casts say for all",
            "in a load: `sees` for what has to come, `never sees` for what must not",
        )  # fmt: skip
    if SERVER in clause.who:
        help_ = "take the clause out: the server belongs to all casts"
        yield Problem(
            clause.place, "a load does nothing to its server, and reads nothing of it", help_
        )
    yield from _literal(clause.place, clause.value, literal, "")


def _literal(place: Place, value: Any, literal: re.Pattern[str], where: str) -> Iterator[Problem]:
    for text in texts(value):
        if found := literal.search(VARIABLE.sub("", text)):
            name = found[1]
            yield Problem(
                place, f"{where}{name!r} is a name as it stands; each cast has others",
                f"write ${{{name}.name}}: the actors are called {name}x1, {name}x2, ...",
            )  # fmt: skip


def _with_names(scenario: Scenario, number: int) -> Scenario:
    """The scenario with names that no other cast has."""
    cast = []
    for member in scenario.cast:
        role = scenario.profile.roles.get(str(member.role))
        called = member.called or (role.called if role else "") or member.name
        if "${n}" not in called:  # else the server gives the names
            called = f"{called}x{number}"
        cast.append(structs.replace(member, called=called))
    return structs.replace(scenario, cast=cast)


class House(Run):
    """The server that all casts use."""

    def __init__(self, load: Load, scenario: Scenario, options: Options) -> None:
        self._load = load
        bare = structs.replace(scenario, cast=[], steps=[], cleanup=[], laws=[])
        super().__init__(bare, next(scenario.rows()), options)

    def new_reactor(self) -> Seat:
        """A seat among the casts."""
        return Seat(self._load.hub)


class Load:
    """Plays a plan. Use `run` once."""

    def __init__(self, scenario: Scenario, options: Options, plan: Plan) -> None:
        self.scenario, self.options, self.plan = scenario, options, plan
        self.result = Result(plan)
        self.hub = Hub(self._spent)
        self.home = new_home()
        self.count = itertools.count()
        exchanges = [step for step in scenario.steps if isinstance(step, Exchange)]
        self.steps = {str(step.place) for step in exchanges}
        self._exchanges = len(exchanges)
        self._roles: dict[str, Known] = {}
        self.unasked: set[tuple[str, str]] = set()  # role, text: it asks for no answer
        self._rows = list(scenario.rows())
        self._merged = _Merged()
        self._playing = self._joining = self._here = self._played = 0
        self._next = 1
        self._start_at = 0.0  # when the schedule begins; 0: not yet
        self._fault: BaseException | None = None
        self._exchange_of = _places(scenario)
        self._house: House | None = None
        self._over = False
        self._last_words = 0.0  # seconds to wait for the end of a server that seems to be dying

    def recogniser(self, profile: Profile, role: str) -> Known:
        """What the lines of a role mean; one for all casts."""
        if role not in self._roles:
            self._roles[role] = Known(profile, role)
        return self._roles[role]

    def run(self, tell: Callable[[Result], None] = lambda _: None) -> Result:
        """Play the plan to its end; raises what makes it impossible."""
        _room_for(self.plan.places * len(self.scenario.cast))
        try:
            self._open_house()
            began = time.monotonic()
            if not self.plan.gather:
                self._start_at = began
            while not self._fault and self.result.passed + self._count_failed() < self.plan.total:
                self._start_casts()
                self.hub.round(self._next_moment())
                tell(self.result)
            self.result.seconds = time.monotonic() - (self._start_at or began)
            self._listen_for_the_reason()
            if self._fault:
                raise self._fault
            self._judge_all()
            return self.result
        finally:
            self._close_house()
            self.hub.close()
            remove_tree(self.home)

    # The server.

    def _open_house(self) -> None:
        """Start the server, and wait until it is ready; from then on it is drained and watched."""
        if self.options.at:
            return
        self._house = House(self, self.scenario, self.options)
        self.hub.spawn(partial(self._guarded, partial(self._keep_house, self._house)))
        while self.options.at is None and self._fault is None:
            self.hub.round(time.monotonic() + IDLE)

    def _keep_house(self, house: House) -> None:
        try:
            write_files(house.home, self.scenario.files, house.scope)
            house.start_server()
            place = house.scope.values["server"]
            at = (str(place["host"]), int(place["port"]))
            self.options = structs.replace(self.options, at=at, server=None)
            house.reactor.until(lambda: self._over, float("inf"))
        finally:
            house.close()
            self._house = None

    def _close_house(self) -> None:
        self._over = True
        while self._house is not None:
            self.hub.round(time.monotonic() + IDLE)

    def _listen_for_the_reason(self) -> None:
        """Where channels ended by themselves, the server may be dying: its end tells more."""
        until = time.monotonic() + self._last_words
        while self._house is not None and not self._fault and time.monotonic() < until:
            self.hub.round(until)

    def _guarded(self, work: Callable[[], None]) -> None:
        """What is no verdict ends everything."""
        try:
            work()
        except Exception as error:
            self._fault = self._fault or error

    # The schedule.

    def _count_failed(self) -> int:
        return sum(failure.count for failure in self.result.failures.values())

    def _due(self, number: int) -> float:
        """When a cast has to begin."""
        return self._start_at + (number - 1) / self.plan.rate

    def _next_moment(self) -> float:
        now = time.monotonic()
        if self.plan.gather or self._next > self.plan.total or self._playing >= self.plan.places:
            return now + IDLE
        return min(now + IDLE, self._due(self._next))

    def _start_casts(self) -> None:
        while self._next <= self.plan.total and self._may_start():
            number, self._next = self._next, self._next + 1
            self._playing += 1
            if not self.plan.gather:
                self._was_late(number)
            self._joining += 1
            self.result.started += 1
            self.result.sockets = max(self.result.sockets, self._playing * len(self.scenario.cast))
            self.hub.spawn(partial(self._guarded, partial(self._play, number)))

    def _may_start(self) -> bool:
        if self._playing >= self.plan.places:
            return False
        if self.plan.gather:
            return self._joining < JOINING
        return time.monotonic() >= self._due(self._next)

    def _was_late(self, number: int) -> None:
        late = time.monotonic() - self._due(number)
        self.result.latest = max(self.result.latest, late)
        self.result.late += late > LATE

    # One cast.

    def _play(self, number: int) -> None:
        row = self._rows[(number - 1) % len(self._rows)]
        run = CastRun(self, self.scenario, row, number)
        passed = False
        try:
            run.start_server()  # which only says where it is
            play(run)
            passed = True
        except BrokenPromiseError as broken:
            self._failed(run, broken)
        finally:
            self._keep(run, passed=passed)
            self._is_gone(run)
            run.end()
            self._playing -= 1
        self.result.passed += passed

    def is_here(self, run: CastRun) -> None:
        """A cast has joined; where all gather first, it waits for its time."""
        self._joining -= 1
        if not self.plan.gather:
            return
        self._arrived()
        run.reactor.until(lambda: self._start_at > 0, float("inf"))
        due = self._due(run.number)
        run.reactor.until(lambda: False, due)
        for actor in run.actors.values():  # what was said while others came is over
            actor.cursor = len(actor.items)
        self._was_late(run.number)

    def _is_gone(self, run: CastRun) -> None:
        """A cast that failed is not waited for."""
        if not run.began:
            self._joining -= 1
            self._arrived()
        if not run.done:
            self._played += 1

    def _arrived(self) -> None:
        self._here += 1
        if self.plan.gather and self._here == self.plan.total:
            self._start_at = time.monotonic() + BEGIN

    def has_played(self, run: CastRun) -> None:
        """A cast is done with its steps; where all have gathered, it stays until all are."""
        self.result.exchanges += self._exchanges
        run.done = True
        if self.plan.gather:
            self._played += 1
            run.reactor.until(lambda: self._played >= self.plan.total, float("inf"))
            settle_everything(run, run.patience)

    def _failed(self, run: CastRun, broken: BrokenPromiseError) -> None:
        number = run.number
        if any(actor.ended and not actor.dismissed for actor in run.actors.values()):
            self._last_words = run.seconds(LAST_WORDS)
        where = str(broken.place or "")
        what = re.sub(rf"(?<=[^\W\d_])x{number}\b", "", broken.what)
        first = what.splitlines()[0]
        key = where if where and not first.startswith("law ") else f"{where} {first[:40]}"
        failure = self.result.failures.setdefault(key, Failure(first, broken.place))
        failure.count += 1
        if len(failure.examples) < SHOWN:
            details = broken.details or tuple(_last_words(run))
            failure.examples.append((number, broken.what, details))

    # What is measured.

    def measure(self, found: Expectation, seconds: float) -> None:
        """An expected arrival."""
        place, label = self._exchange_of.get(found.place, (found.place, found.clause.text))
        row = self.result.rows.get(place)
        if row is None:
            row = self.result.rows[place] = Row(label, place)
        row.record(seconds)

    def _spent(self, seconds: float) -> None:
        self.result.rounds.record_value(min(LONGEST, max(1, round(seconds * 1_000_000))))

    # The laws over all.

    def _keep(self, run: CastRun, *, passed: bool) -> None:
        self._merged.add(run, self.recogniser, stayed=self.plan.gather and passed)
        self.result.heard += sum(len(actor.items) for actor in run.actors.values())

    def _judge_all(self) -> None:
        began = time.monotonic()
        history = self._merged.history()
        lines = [*self.scenario.profile.laws, *self.scenario.laws]
        waived = {n for line in lines if line.name == WITHOUT for n in as_list(line.value)}
        for line in lines:
            if line.name in (WITHOUT, ONCE.name, *waived):
                continue
            broken = laws()[line.name].find(history, line.value)
            if broken is not None:
                witness = tuple(self._merged.shown(number) for number in broken.witness)
                self.result.broken.append((f"law {line.name!r}: {broken.what}", witness))
        self.result.messages, self.result.told = len(history.sent), len(history.told)
        self.result.judging = time.monotonic() - began


class _Said(Struct, frozen=True, gc=False):
    """A message that was sent or told, before it is known who everybody is."""

    number: int  # among all events of all casts
    actor: str
    name: str  # the addressee, or who said it, as it was written
    text: str
    at: float


class _Merged:
    """The messages of all casts."""

    def __init__(self) -> None:
        self._sent: list[_Said] = []
        self._told: list[_Said] = []
        self._did: dict[str, list[tuple[int, str | None]]] = {}
        self._people: dict[str, str] = {}
        self._person: dict[str, str] = {}
        self._since: dict[str, int] = {}

    def add(
        self, run: CastRun, recogniser: Callable[[Profile, str], Recogniser], *, stayed: bool
    ) -> None:
        """The messages of a cast that is over; `stayed`: it was there until all were."""
        journal = run.journal
        assert isinstance(journal, Minutes)
        own = persons(run.names)
        self._person.update({_own(run, who): _own(run, one) for who, one in own.items()})
        self._people.update({name: _own(run, own[who[0]]) for name, who in run.names.items()})
        roles = {name: recogniser(run.profile, actor.role) for name, actor in run.actors.items()}
        for event in journal.events:
            if event.actor in roles and event.kind in ("does", "sees"):
                self._event(run, roles[event.actor], event, journal.order[event.number])
        for name, actor in run.actors.items() if stayed else ():
            if roles[name] and actor.alive and not actor.frozen and actor.since is not None:
                after = min(actor.since, len(journal.order) - 1)
                self._since[_own(run, name)] = journal.order[after]

    def _event(self, run: CastRun, role: Recogniser, event: Any, number: int) -> None:
        who = _own(run, event.actor)
        if event.kind == "sees":
            found, into, name = role.told(event), self._told, "from"
        else:
            found, into, name = role.sent(event), self._sent, "to"
            written = None if event.verb in UNREADABLE else event.text
            self._did.setdefault(self._person.get(who, who), []).append((number, written))
        if found is not None and "text" in found:
            said = str(found.get(name, "")) if name in found or name == "from" else EVERYBODY
            into.append(_Said(number, who, said, str(found["text"]), event.at))

    def history(self) -> History:
        """What laws look at. Who has left before the end is missed by no law."""
        self._sent.sort(key=lambda said: said.number)
        self._told.sort(key=lambda said: said.number)
        person = self._person
        return History(
            [
                Sent(s.number, person.get(s.actor, s.actor), self._addressee(s), s.text)
                for s in self._sent
            ],
            [Told(t.number, t.actor, self._who(t.name), t.text) for t in self._told],
            self._since,
            set(person),
            person,
            self._did,
        )

    def _addressee(self, sent: _Said) -> str:
        return self._who(sent.name) if sent.name else EVERYBODY

    def _who(self, name: str) -> str:
        return self._people.get(name) or self._people.get(name.casefold()) or NOBODY

    def shown(self, number: int) -> str:
        """An event of a witness."""
        for sign, said in itertools.chain(
            (("> to", s) for s in self._sent), (("< from", t) for t in self._told)
        ):
            if said.number == number:
                return f"{said.actor} {sign} {said.name or 'all'}: {said.text}"
        return f"event {number}"


def _last_words(run: CastRun) -> Iterator[str]:
    """What those were told last whose connection has ended."""
    for actor in run.actors.values():
        if actor.ended is not None and actor.items:
            yield f"{actor.name}, {actor.ended}: {actor.items[-1].text}"


def _own(run: CastRun, actor: str) -> str:
    return f"{actor}x{run.number}"


def _places(scenario: Scenario) -> dict[Place, tuple[Place, str]]:
    """Clause -> its exchange, and what that is called."""
    found: dict[Place, tuple[Place, str]] = {}
    for step in scenario.steps:
        if isinstance(step, Exchange):
            for clause in step.clauses:
                found[clause.place] = (step.place, _label(step))
    for role in (scenario.profile.roles[str(member.role)] for member in scenario.cast):
        for exchange in role.login:
            for clause in exchange.clauses:
                found[clause.place] = (exchange.place, f"login of {role.name}")
    return found


def _label(exchange: Exchange) -> str:
    first = exchange.clauses[0]
    value = first.value
    if isinstance(value, Mapping) and len(value) == 1:
        value = next(iter(value))
    return f"{first.text} {value if value is not None else ''}".strip()


def _room_for(sockets: int) -> None:
    """Raise the limit of open descriptors; raises `SetupError` if that is not allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = sockets + SPARE
    if hard not in (resource.RLIM_INFINITY, -1) and needed > hard:
        raise SetupError(
            f"{sockets} sockets at a time are more than this machine allows ({hard} descriptors:"
            " `ulimit -Hn`); use fewer --casts"
        )
    if soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
