"""Fences: how the harness knows that nothing more is on its way, without ever sleeping.

"A must not see M because of S" is decided when the server has finished with S, and everything it
had put on A's way has arrived. So first those that acted prove that their act is done, then every
observer makes a round trip through its own program. The grade says what the proof rests on:

acked      the act's own acknowledgement, then the observer's round trip
roundtrip  a question of the actor after its act, then the observer's round trip
sealed     the channel was closed and read to its end
unproved   the source cannot prove anything any more (it was killed, it left): what was
           expected to follow stands in for the proof
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from harness.actors import Actor, Counted, Hidden
from harness.patterns import Item, Pattern
from harness.programs import Server, Shell
from harness.scope import Scope, names_used, token
from harness.wire import Wire

if TYPE_CHECKING:
    from harness.run import Run

STRENGTH = ("unproved", "roundtrip", "acked", "sealed")  # weakest first


class Awaited(Struct):
    """An acknowledgement that an act of a socket will get."""

    pattern: Pattern
    since: int  # length of the transcript when the act was sent


class Probe:
    """One actor's round trip."""

    def __init__(self, run: Run, actor: Actor, *, source: bool) -> None:
        self._run, self.actor = run, actor
        self._acks = run.fences.awaited.pop(actor.name, []) if source else []
        self._acknowledged = bool(self._acks)
        self._question = run.profile.fence_of("roundtrip", actor.role)
        self._answer: Hidden | None = None
        self.failed = ""  # why there can be no proof
        self.done = False

    @property
    def grade(self) -> str:
        """What the proof rests on."""
        profile = self._run.profile
        told = self._acknowledged or profile.fence_of("acked", self.actor.role) == "roundtrip"
        return "acked" if told and profile.delivery == "acknowledged" else "roundtrip"

    def poll(self) -> None:
        """Go on as far as possible."""
        if self.done or self.failed:
            return
        self.failed = self._obstacle()
        if not self.failed and self._answer is None:
            self._ask()
        if self._answer is not None and self._answer.seen:
            self._acks = [ack for ack in self._acks if not self._came(ack)]
            self.done = not self._acks

    def _obstacle(self) -> str:
        actor = self.actor
        if actor.ended is not None or not actor.joined:
            return actor.ended or "it has not joined"
        if actor.dismissed or actor.frozen:
            return "it was sent away" if actor.dismissed else "it is frozen"
        if self._question is None:
            return f"profile {self._run.profile.name} has no fence for its role {actor.role}"
        if isinstance(actor, Shell) and actor.has_prompt and not actor.arrived:
            return "it has not come to its prompt"
        return "it has a draft on its line" if actor.draft else ""

    def _ask(self) -> None:
        actor = self.actor
        if isinstance(actor, Shell) and not actor.ready():
            return
        local = {"token": token()}
        words = Scope({**self._run.scope.values, **local}).fill(
            {key: value for key, value in self._question.items() if key != "sees"}, actor.name
        )
        self._answer = Hidden(self._run.pattern(self._question["sees"], actor, local))
        if any(name == "token" for name in names_used(self._question["sees"])):
            actor.hidden.append(self._answer)
        else:
            counted = self._run.fences.counted(actor)
            assert counted is not None
            counted.asked.append(self._answer)
        _say(actor, words)

    def _came(self, ack: Awaited) -> bool:
        items = self.actor.items[ack.since :]
        return any(ack.pattern.match(item) is not None for item in items)


def _say(actor: Actor, words: Mapping[str, Any]) -> None:
    actor.note("fence", f"> {next(iter(words.values()))}")
    if isinstance(actor, Wire):
        actor.send(words["sends"])
    elif isinstance(actor, Shell):
        actor.type(str(words["types"]), submit=True)
    elif isinstance(actor, Server):
        actor.type(str(words["types"]))


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
        self.sources = [Probe(run, run.actors[name], source=True) for name in names]
        self._observers = list(observers)
        self._second: list[Probe] | None = None
        self._hopeless = hopeless  # the sources cannot prove anything: only consequences can
        self.done = False

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
        if self._second is None:
            alone = len(self.sources) == 1 and self.sources[0].done
            kept = {probe.actor.name: probe for probe in self.sources if alone}
            self._second = [
                kept.get(actor.name) or Probe(self._run, actor, source=False)
                for actor in self._observers
            ]
        for probe in self._second:
            probe.poll()
        self.done = all(probe.done or probe.failed for probe in self._second)
        if self.done:
            self._run.fences.unsettled -= {probe.actor.name for probe in self.sources}
        return self.done

    @property
    def proven(self) -> bool:
        """Whether everybody that acted has proved that the act is done."""
        acting = (probe for probe in self.sources if probe.actor.name in self._acting)
        return not self._hopeless and all(probe.done for probe in acting)

    def grade_for(self, actor: Actor) -> str | None:
        """What an observer's verdict rests on; none when its way could not be proved empty."""
        if actor.ended is not None and not actor.dismissed:
            return "sealed"
        probe = next((p for p in self._second or () if p.actor is actor), None)
        if probe is None or not probe.done:
            return None
        if not self.proven:
            return "unproved"
        grades = [p.grade for p in self.sources] or [probe.grade]
        return min(grades, key=STRENGTH.index)

    def unanswered(self) -> list[str]:
        """Whose question was not answered: no proof, although there should be one."""
        probes = itertools.chain(self.sources, self._second or ())
        return [p.actor.name for p in probes if not p.done and not p.failed]

    def obstacles(self) -> list[str]:
        """Who could not be fenced, and why."""
        probes = itertools.chain(self.sources, self._second or ())
        return sorted(
            {
                f"{p.actor.name} was not fenced: {p.failed}"
                for p in probes
                if p.failed and p.actor.alive
            }
        )


class Fences(Struct):
    """What the run knows about its fences."""

    run: Any
    unsettled: set[str] = field(default_factory=set)  # acted since they were last fenced
    awaited: dict[str, list[Awaited]] = field(default_factory=dict)

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
