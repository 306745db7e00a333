"""Fences: how the harness knows that nothing more is on its way, without ever sleeping.

"A must not see M because of S" is decided when the server has finished with S, and everything it
had put on A's way has arrived. So first those that acted prove that their act is done, then every
observer gets a proof on his own way, through his own program. The grade says what it rests on;
from the strongest to the weakest:

sealed     the channel was closed and read to its end: nothing is assumed
relay      who acted has sent the observer a marked message the same way, and it has come: the
           server keeps the order of what one sends another
acked      the act's own acknowledgement, then the observer's round trip: the server acknowledges
           nothing before the deliveries are queued. A promise about all its ways, where a relay
           tries the one way that counts; so a relay is the stronger
roundtrip  a question of the actor after its act, then the observer's round trip: the server has
           finished one request of a connection before it reads the next, deliveries included
quiet      every thread sleeps and nothing waits anywhere: the server has no timers, and no thread
           that sleeps before it sends
window     a stated time has passed: the server is always faster
unproved   the source cannot prove anything any more (it was killed, it left): what was
           expected to follow stands in for the proof
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from harness.actors import Actor, Counted, Hidden
from harness.errors import Place
from harness.patterns import Item, Pattern
from harness.programs import Pipe, Server, Shell
from harness.quiet import Rest
from harness.scope import names_used, token
from harness.wire import Wire

if TYPE_CHECKING:
    from harness.run import Run

STRENGTH = ("unproved", "window", "quiet", "roundtrip", "acked", "relay", "sealed")  # weakest first

SENDING = 2.0  # seconds for which somebody who sends a byte at a time is waited for


class Awaited(Struct):
    """An acknowledgement that an act of a socket will get."""

    pattern: Pattern
    since: int  # length of the transcript when the act was sent


class Probe:
    """A part of a proof, about one actor: polled until it is done, or has failed."""

    grade = "unproved"

    def __init__(self, run: Run, actor: Actor) -> None:
        self.run, self.actor = run, actor
        self.failed = ""  # why there can be no proof
        self.done = False

    def poll(self) -> None:
        """Go on as far as possible."""
        if not (self.done or self.failed):
            self.failed = self.obstacle()
            if not self.failed:
                self.advance()

    def obstacle(self) -> str:
        """Why there can be no proof, if there cannot."""
        return _absence(self.actor)

    def advance(self) -> None:
        """The next step; sets `done`."""

    @property
    def complaint(self) -> str:
        """What was waited for in vain."""
        return f"{self.actor.name} got no answer to the harness's own question"

    @property
    def place(self) -> Place:
        """Where the profile asks for it."""
        return self.run.profile.fence_place(self.grade, self.actor.role)


class RoundTrip(Probe):
    """A question on the actor's own way, and its answer; of a source also what it is owed."""

    def __init__(self, run: Run, actor: Actor, *, source: bool) -> None:
        super().__init__(run, actor)
        self._acks = run.fences.awaited.pop(actor.name, []) if source else []
        self._acknowledged = bool(self._acks)
        self._question = run.profile.fence_of("roundtrip", actor.role)
        self._answer: Hidden | None = None

    @property
    def grade(self) -> str:  # type: ignore[override]
        """What the proof rests on."""
        profile = self.run.profile
        told = self._acknowledged or profile.fence_of("acked", self.actor.role) == "roundtrip"
        return "acked" if told and profile.proofs.delivery == "acknowledged" else "roundtrip"

    @property
    def place(self) -> Place:
        """Where the profile has the question."""
        return self.run.profile.fence_place("roundtrip", self.actor.role)

    def obstacle(self) -> str:
        """Why there can be no proof, if there cannot."""
        if absent := _absence(self.actor):
            return absent
        if self._question is None:
            return f"profile {self.run.profile.name} has no fence for its role {self.actor.role}"
        return _dumbness(self.actor)

    def advance(self) -> None:
        """Ask, then wait for the answer and the acknowledgements."""
        if self._answer is None:
            self._ask()
        if self._answer is not None and self._answer.seen:
            self._acks = [ack for ack in self._acks if not self._came(ack)]
            self.done = not self._acks

    def _ask(self) -> None:
        actor = self.actor
        if isinstance(actor, Shell) and not actor.ready():
            return
        words = {"token": token()}
        self._answer = Hidden(self.run.pattern(self._question["sees"], actor, words))
        if "token" in set(names_used(self._question["sees"])):
            actor.hidden.append(self._answer)
        else:
            counted = self.run.fences.counted(actor)
            assert counted is not None
            counted.asked.append(self._answer)
        _say(self.run, actor, self._question, words)

    def _came(self, ack: Awaited) -> bool:
        items = self.actor.items[ack.since :]
        return any(ack.pattern.match(item) is not None for item in items)


class Marked:
    """A message of the harness from one party to another, or to everybody; sent once."""

    def __init__(self, run: Run, source: Actor, to: Actor | None) -> None:
        self._run, self.source = run, source
        self._said = False
        self.words = {"token": token(), "from": _called(run, source)}
        if to is not None:
            self.words["to"] = _called(run, to)

    def say(self) -> None:
        """Send it, as soon as the source can speak."""
        if self._said or (isinstance(self.source, Shell) and not self.source.ready()):
            return
        self._said = True
        for actor in self._run.actors.values():  # whoever is told of it, in whatever words
            actor.marks.add(self.words["token"])
        shape = self._run.profile.fence_of("relay", self.source.role)
        _say(self._run, self.source, shape, self.words)


class Relay(Probe):
    """A marked message on the way of the act, awaited by the observer."""

    grade = "relay"

    def __init__(self, run: Run, observer: Actor, message: Marked) -> None:
        super().__init__(run, observer)
        self.message = message
        self._arrival: Hidden | None = None

    def obstacle(self) -> str:
        """Why there can be no proof, if there cannot."""
        source = self.message.source
        theirs = _absence(source) or _dumbness(source)
        return _absence(self.actor) or (f"{source.name}: {theirs}" if theirs else "")

    def advance(self) -> None:
        """Have it sent, then wait for it."""
        if self._arrival is None:
            shape = self.run.profile.fence_of("relay", self.actor.role)
            self._arrival = Hidden(self.run.pattern(shape["sees"], self.actor, self.message.words))
            self.actor.hidden.append(self._arrival)
        self.message.say()
        self.done = self._arrival.seen

    @property
    def complaint(self) -> str:
        """What was waited for in vain."""
        source = self.message.source.name
        return f"{self.actor.name} did not get the harness's own message from {source}"


class AtRest(Probe):
    """Everything sleeps."""

    grade = "quiet"

    def __init__(self, run: Run, actor: Actor, rest: Rest) -> None:
        super().__init__(run, actor)
        self._rest = rest

    def advance(self) -> None:
        """Look again."""
        self._rest.poll()
        self.done = self._rest.done

    @property
    def complaint(self) -> str:
        """What was waited for in vain."""
        return f"the programs did not come to rest ({self._rest.why})"


class Window(Probe):
    """A stated time; after it the observer's round trip, if there is one, so that all is read."""

    grade = "window"

    def __init__(self, run: Run, actor: Actor, seconds: float, after: Probe | None) -> None:
        super().__init__(run, actor)
        self._until = run.reactor.now() + seconds
        self._after = after

    def advance(self) -> None:
        """Wait for the time to pass."""
        if self.run.reactor.now() >= self._until:
            if self._after is not None:
                self._after.poll()
            self.done = self._after is None or self._after.done or bool(self._after.failed)


class Granted(Probe):
    """Nothing is asked of this source: the proof is the observers'."""

    def __init__(self, run: Run, actor: Actor, grade: str) -> None:
        super().__init__(run, actor)
        self.grade = grade

    def obstacle(self) -> str:
        """Why there can be no proof, if there cannot."""
        return _absence(self.actor) or (_dumbness(self.actor) if self.grade == "relay" else "")

    def advance(self) -> None:
        """It is done."""
        self.done = True


def _absence(actor: Actor) -> str:
    """Why an actor can be told nothing."""
    if actor.ended is not None or not actor.joined:
        return actor.ended or "it has not joined"
    if actor.dismissed or actor.frozen:
        return "it was sent away" if actor.dismissed else "it is frozen"
    return actor.link.obstacle if actor.link else ""


def _dumbness(actor: Actor) -> str:
    """Why an actor can say nothing."""
    if isinstance(actor, Shell) and actor.has_prompt and not actor.arrived:
        return "it has not come to its prompt"
    if isinstance(actor, Pipe) and actor.no_more:
        return "its input has ended"
    if isinstance(actor, Wire) and actor.sending > SENDING:
        return f"it is still sending, for another {actor.sending:.0f} s"
    return "it has a draft on its line" if actor.draft else ""


def _called(run: Run, actor: Actor) -> str:
    """The name by which the server knows an actor."""
    return str(run.scope.captured.get(actor.name, {}).get("name", actor.name))


def _say(run: Run, actor: Actor, shape: Mapping[str, Any], words: Mapping[str, Any]) -> None:
    """Say a thing of the harness's own, in the shape of the profile."""
    how, what = next((key, shape[key]) for key in ("sends", "types") if key in shape)
    said = run.scope.fill(what, actor.name, words)
    actor.note("fence", f"> {said}")
    if isinstance(actor, Wire):
        actor.send(said)
    elif isinstance(actor, Shell):
        actor.type(str(said), submit=True)
    elif isinstance(actor, Pipe | Server):
        actor.type(str(said))
    else:  # the loader lets no other pass
        raise AssertionError(how)


class Fence:
    """Sources first, then observers."""

    def __init__(
        self,
        run: Run,
        acting: Iterable[Actor],
        observers: Iterable[Actor],
        *,
        hopeless: bool = False,
    ) -> None:
        self._run = run
        self._acting = [actor.name for actor in acting]
        # Whoever acted earlier and was not fenced since is asked too; but proof is owed by those
        # that act now.
        names = dict.fromkeys([*self._acting, *sorted(run.fences.unsettled)])
        self._rest: Rest | None = None
        self.sources = [self._source(run.actors[name]) for name in names]
        self._observers = list(observers)
        self._ways: dict[str, list[Probe]] | None = None  # observer -> his proofs
        self._messages: dict[tuple[str, str], Marked] = {}
        self._caused = run.fences.acts
        self._hopeless = hopeless  # the sources cannot prove anything: only consequences can
        self.done = False

    # What is to be proved by whom.

    def _source(self, actor: Actor) -> Probe:
        run, profile = self._run, self._run.profile
        if profile.fence_of("roundtrip", actor.role) is not None:
            return RoundTrip(run, actor, source=True)
        if profile.proofs.delivery == "queued" and _speaks(run, actor):
            return Granted(run, actor, "relay")
        if profile.fence_of("quiet", actor.role):
            return AtRest(run, actor, self._common_rest())
        if run.fences.by_time(actor):
            return Granted(run, actor, "window")
        return RoundTrip(run, actor, source=True)  # it will say that there is none

    def _common_rest(self) -> Rest:
        self._rest = self._rest or self._run.rest()
        return self._rest

    def _ways_of(self, observer: Actor) -> list[Probe]:
        run, able = self._run, [probe for probe in self.sources if probe.done]
        if run.fences.by_time(observer) or any(p.grade == "window" for p in able):
            return [self._window(observer)]
        relayed = [probe.actor for probe in able if _reaches(run, probe.actor, observer)]
        ways: list[Probe] = [Relay(run, observer, self._message(a, observer)) for a in relayed]
        others = [probe for probe in able if probe.actor not in relayed]
        return ways if ways and not others else [*ways, self._own(observer, others)]

    def _own(self, observer: Actor, sources: Sequence[Probe]) -> Probe:
        run, profile = self._run, self._run.profile
        alone = len(self.sources) == 1 and [probe.actor for probe in sources] == [observer]
        if alone and not isinstance(sources[0], Granted):
            return sources[0]
        if profile.fence_of("roundtrip", observer.role) is not None:
            return RoundTrip(run, observer, source=False)
        if profile.fence_of("quiet", observer.role):
            if not all(isinstance(probe, AtRest) for probe in self.sources):
                self._rest = None  # the others were still busy when it was looked at
            return AtRest(run, observer, self._common_rest())
        if not self.sources and profile.fence_of("relay", observer.role) is not None:
            return Granted(run, observer, "relay")  # everything was relayed already
        return RoundTrip(run, observer, source=False)

    def _window(self, observer: Actor) -> Probe:
        run = self._run
        asked = run.profile.fence_of("roundtrip", observer.role) is not None
        seconds = run.fences.window() if run.fences.behind(observer) else 0.0
        after = RoundTrip(run, observer, source=False) if asked else None
        return Window(run, observer, seconds, after)

    def _message(self, source: Actor, observer: Actor) -> Marked:
        """The message for an observer; if it is for everybody, the same for all."""
        shape = self._run.profile.fence_of("relay", source.role)
        personal = "to" in set(names_used([shape.get("sends"), shape.get("types")]))
        key = (source.name, observer.name if personal else "")
        if key not in self._messages:
            self._messages[key] = Marked(self._run, source, observer if personal else None)
        return self._messages[key]

    @property
    def takes_time(self) -> bool:
        """Whether a stated time has to pass."""
        parties = [*(probe.actor for probe in self.sources), *self._observers]
        return any(map(self._run.fences.by_time, parties))

    # Going on.

    def poll(self, *, consequences: bool) -> bool:
        """Go on as far as possible; whether it has returned.

        `consequences`: everything expected has happened.
        """
        for probe in self.sources:
            probe.poll()
        if not all(probe.done or probe.failed for probe in self.sources):
            return False
        if not self.proven and not consequences:
            return False
        if self._ways is None:
            self._ways = {actor.name: self._ways_of(actor) for actor in self._observers}
        for probe in self._proofs():
            probe.poll()
        self.done = all(probe.done or probe.failed for probe in self._proofs())
        if self.done:
            self._has_returned(self._ways)
        return self.done

    def _proofs(self) -> Iterator[Probe]:
        for ways in (self._ways or {}).values():
            yield from ways

    def _has_returned(self, ways: Mapping[str, Sequence[Probe]]) -> None:
        fences = self._run.fences
        for name, probes in ways.items():
            if all(probe.done for probe in probes):
                fences.fenced[name] = self._caused
        behind = any(actor.alive and fences.behind(actor) for actor in self._run.actors.values())
        # What is queued or timed proves itself to nobody but him who waits for it.
        if self._run.profile.proofs.delivery not in ("queued", "timers") or not behind:
            fences.unsettled -= {probe.actor.name for probe in self.sources}

    # What it has proved.

    @property
    def proven(self) -> bool:
        """Whether everybody that acted has proved that the act is done."""
        acting = (probe for probe in self.sources if probe.actor.name in self._acting)
        return not self._hopeless and all(probe.done for probe in acting)

    def grade_for(self, actor: Actor) -> str | None:
        """What an observer's verdict rests on; none when its way could not be proved empty."""
        if actor.ended is not None and not actor.dismissed:
            return "sealed"
        ways = (self._ways or {}).get(actor.name, [])
        if not ways or not all(probe.done for probe in ways):
            return None
        if not self.proven:
            return "unproved"
        relayed = {probe.message.source for probe in ways if isinstance(probe, Relay)}
        grades = [probe.grade for probe in self.sources if probe.actor not in relayed]
        # A round trip of the observer adds nothing to assume; any other proof does.
        grades += [p.grade for p in ways if not (isinstance(p, RoundTrip) and grades)]
        return _weakest(grades)

    def grade_for_server(self) -> str:
        """What a verdict about the server itself rests on: that the acts are done."""
        if not self.proven:
            return "unproved"
        found = [probe.grade for probe in self.sources] or [p.grade for p in self._proofs()]
        return _weakest(found or ["roundtrip"])

    def _unanswered(self) -> list[Probe]:
        return [p for p in (*self.sources, *self._proofs()) if not (p.done or p.failed)]

    def complaints(self) -> list[str]:
        """What was waited for in vain: no proof, although there should be one."""
        return list(dict.fromkeys(probe.complaint for probe in self._unanswered()))

    def place(self) -> Place | None:
        """Where the profile asks for the first thing that was waited for in vain."""
        return next((probe.place for probe in self._unanswered()), None)

    def obstacles(self) -> list[str]:
        """Who could not be fenced, and why."""
        return sorted(
            {
                f"{probe.actor.name} was not fenced: {probe.failed}"
                for probe in (*self.sources, *self._proofs())
                if probe.failed and probe.actor.alive
            }
        )


def _weakest(grades: Iterable[str]) -> str:
    return min(grades, key=STRENGTH.index)


def _speaks(run: Run, actor: Actor) -> bool:
    """Whether a role knows how to send a marked message."""
    shape = run.profile.fence_of("relay", actor.role) or {}
    return "sends" in shape or "types" in shape


def _reaches(run: Run, source: Actor, observer: Actor) -> bool:
    """Whether a source can send an observer a marked message."""
    if run.profile.proofs.delivery != "queued" or not _speaks(run, source):
        return False
    shape = run.profile.fence_of("relay", observer.role) or {}
    to_oneself = bool((run.profile.fence_of("relay", source.role) or {}).get("self"))
    return "sees" in shape and (source is not observer or to_oneself)


class Fences(Struct):
    """What the run knows about its fences."""

    run: Any
    unsettled: set[str] = field(default_factory=set)  # acted since they were last fenced
    awaited: dict[str, list[Awaited]] = field(default_factory=dict)
    acts: int = 0  # how many there were so far
    fenced: dict[str, int] = field(default_factory=dict)  # observer -> acts whose effects he has

    def behind(self, actor: Actor) -> bool:
        """Whether something may be on its way to an actor."""
        return self.fenced.get(actor.name, 0) < self.acts

    def by_time(self, actor: Actor) -> bool:
        """Whether nothing but a stated time proves anything about an actor."""
        profile = self.run.profile
        if profile.proofs.delivery == "timers":
            return True
        asked = any(profile.fence_of(grade, actor.role) for grade in ("roundtrip", "quiet"))
        return not asked and profile.fence_of("window", actor.role) is not None

    def window(self) -> float:
        """The time to wait where only time proves anything, in seconds; never scaled."""
        proofs = self.run.profile.proofs
        stated = proofs.longest_window()
        return stated or (self.run.profile.patience if proofs.delivery == "timers" else 0.0)

    def sent(self, actor: Wire, frame: Any) -> None:
        """A socket has sent a frame of the scenario."""
        counted = self.counted(actor)
        question = self.run.profile.fence_of("roundtrip", actor.role)
        if counted is not None and _same_question(question["sends"], frame):
            counted.asked.append(None)
        rule = self.run.profile.fence_of("acked", actor.role)
        if isinstance(rule, Mapping) and isinstance(frame, Mapping):
            found = self.run.pattern(rule["when"], actor).match(Item("", 0.0, frame, is_frame=True))
            if found is not None:
                pattern = self.run.pattern(rule["sees"], actor, found)
                self.awaited.setdefault(actor.name, []).append(Awaited(pattern, len(actor.items)))

    def counted(self, actor: Actor) -> Counted | None:
        """The tokenless question of an actor's role, if its fence is one."""
        question = self.run.profile.fence_of("roundtrip", actor.role)
        if question is None or "token" in set(names_used(question["sees"])):
            return None
        if actor.counted is None:
            actor.counted = Counted(self.run.pattern(question["sees"], actor))
        return actor.counted


def _same_question(question: Any, frame: Any) -> bool:
    return (
        isinstance(frame, Mapping)
        and isinstance(question, Mapping)
        and all(frame.get(key) == value for key, value in question.items())
    )
