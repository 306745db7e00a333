"""Plays one exchange: questions, acts, what follows for everybody, the fence.

Nothing here waits for time to pass. An exchange ends as soon as it is decided: everything
expected has come and the fence has returned; or something forbidden came, a channel ended, the
fence came back without what was expected. Patience only says when to give up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from random import Random
from typing import Any

from harness.actors import Actor
from harness.errors import BrokenPromiseError, NotApplicableError, Place, Problem, ScenarioError
from harness.expect import Expectation, Never
from harness.fences import STRENGTH, Fence
from harness.programs import Shell
from harness.run import Run, scenario_fault
from harness.scope import UnboundError
from harness.screen import on_screen
from harness.steps import Clause, Exchange
from harness.values import COMPARISON, FILLED, as_list, unfit
from harness.verbs import SERVER, Family
from harness.yaml_nodes import Value

AGAIN = 0.05  # seconds between two tries of what has to hold eventually
GRACE = 0.15  # seconds before a missing positive is put to the fence; decides nothing by itself
VERY_MUCH = 10_000  # lines in one exchange: somebody is being flooded
LOOKS_AT_ALL = {
    "sees only",
    "sees nothing",
    "sees next",
}  # must not meet leftovers of what was before


class Turn:
    """One exchange being played."""

    def __init__(self, run: Run, exchange: Exchange, myself: Actor | None = None) -> None:
        self._run, self._exchange, self._myself = run, exchange, myself
        self._expectations: list[Expectation] = []
        self._starts: dict[str, int] = {}
        self._acted_at = run.reactor.now()
        self._hopeless = False  # an act after which nobody can prove anything

    def play(self) -> None:
        """Play it; raises `BrokenPromiseError` with the place of the clause that was broken."""
        run, eventually = self._run, self._exchange.eventually
        give_up = run.reactor.now() + run.seconds(eventually or 0.0)
        while True:
            standing = list(run.watches)
            try:
                return Turn(run, self._exchange, self._myself).play_once()
            except BrokenPromiseError:
                if run.reactor.now() >= give_up:
                    raise
            run.watches[:] = standing
            run.reactor.until(lambda: False, run.reactor.now() + AGAIN)

    def play_once(self) -> None:
        """The same, without another try."""
        outer, may_end = self._run.scope.values, self._run.server_may_end
        self._run.scope.values = {
            **outer,
            **self._exchange.local,
            "server": outer.get("server", {}),
        }
        self._run.tolerances = {}
        try:
            if not self._is_wanted():
                return
            self._run.sync(f"turn {self._exchange.place}")
            self._barrier()
            self._run.sync(f"begin {self._exchange.place}")
            self._starts = {a.name: len(a.items) for a in self._run.everybody()}
            self._ask()
            self.act()
            self._expect()
            self._decide()
            self._finish()
        except BrokenPromiseError as broken:  # such as the end of the server, whoever waits
            broken.place = broken.place or self._exchange.place
            raise
        finally:
            self._run.scope.values = {**outer, "server": self._run.scope.values["server"]}
            self._run.server_may_end = may_end

    # Who.

    def _of(self, *families: Family) -> Iterator[Clause]:
        return (c for c in self._exchange.clauses if c.verb.family in families)

    def _actors(self, clause: Clause) -> list[Actor]:
        found: list[Actor] = []
        for who in clause.who:
            found += [actor for actor in self._named(who, clause) if actor not in found]
        return found

    def _named(self, who: str, clause: Clause) -> list[Actor]:
        if who == "self" and self._myself:
            return [self._myself]
        if who == SERVER:
            return [self._run.server]
        if who in self._run.actors:
            return [self._run.actors[who]]
        acting = clause.acting if who == "others" else frozenset()
        return [
            actor
            for actor in self._run.actors.values()
            if actor.alive and actor.name not in acting and actor.kind in clause.verb.who
        ]

    # Before.

    def _is_wanted(self) -> bool:
        """Whether every condition of `when` holds."""
        failed = next((item for item in self._exchange.when if not self._holds(item)), None)
        if failed is not None:
            self._run.server.note("note", f"not done: {failed.data} does not hold")
        return failed is None

    def _holds(self, condition: Value) -> bool:
        text, acting = str(condition.data), self._first_named()
        with scenario_fault(condition.place):
            if (match := COMPARISON.match(text)) is not None:
                left, right = (self._run.scope.fill(side, acting) for side in (match[1], match[3]))
                return _compares(left, match[2], right)
            try:
                return str(self._run.scope.fill(text, acting)).strip() != ""
            except UnboundError:
                return False  # captured by an exchange that did not happen either

    def _first_named(self) -> str:
        return next((name for c in self._exchange.clauses for name in c.who), "")

    def _barrier(self) -> None:
        """What earlier exchanges have caused must have arrived, where everything counts."""
        if self._myself:  # whoever is logging in cannot be asked yet, and hears only this
            return
        fences = self._run.fences
        looking = {
            actor.name: actor
            for clause in self._exchange.clauses
            if clause.verb.name in LOOKS_AT_ALL
            for actor in self._actors(clause)
            if actor.alive
        }
        if any(map(fences.behind, looking.values())):
            settle(self._run, list(looking.values()), self._patience(), self._exchange.place)

    def _ask(self) -> None:
        for clause in self._of(Family.QUESTION):
            for actor in self._actors(clause):
                self._wait_for_question(clause, actor)

    def _wait_for_question(self, clause: Clause, actor: Actor) -> None:
        assert isinstance(actor, Shell)
        run = self._run
        with scenario_fault(clause.place):
            wanted = str(run.scope.fill(str(clause.value), actor.name)).strip()
        if not actor.joined:
            raise BrokenPromiseError(f"{actor.name} has not joined yet", clause.place)

        def is_there() -> bool:
            return actor.ended is not None or actor.view.asked().strip().endswith(wanted)

        came = run.reactor.until(is_there, run.reactor.now() + self._patience())
        if not came or actor.ended is not None:
            why = actor.ended or f"not within {self._patience():g} s"
            raise BrokenPromiseError(
                f"{actor.name} is asked: {wanted} — {why}", clause.place,
                (f"its last line  {actor.view.asked()}",),
            )  # fmt: skip
        run.asked[actor.name] = actor.view.asked()

    def act(self) -> None:
        """Everything that is done: as written, or the parts of `together` in a seeded order."""
        run = self._run
        run.server_may_end |= any(
            SERVER in c.who and c.verb.family is Family.END for c in self._exchange.clauses
        )
        for clause in shaken(self._exchange, run.random):
            if clause.verb.act is None:
                continue
            for actor in self._actors(clause):
                self._one_act(clause, actor)
        run.asked.clear()

    def _one_act(self, clause: Clause, actor: Actor) -> None:
        run, verb = self._run, clause.verb
        assert verb.act
        self._is_ours(actor)
        try:
            with scenario_fault(clause.place):
                value = run.scope.fill(clause.value, actor.name)
                if not actor.joined and verb.name not in ("joins", "cannot join", "link is"):
                    raise BrokenPromiseError(f"{actor.name} has not joined yet")
                run.journal.place = clause.place
                if run.shaker and self._exchange.within is None:
                    run.shaker.before(actor)
                if verb.value in FILLED and (help_ := unfit(verb.value, value)):
                    what = f"what {clause.text!r} is given cannot be {value!r}"
                    raise ScenarioError([Problem(clause.place, what, help_)])
                _can_be_framed(run, clause, actor, value)
                run.perform(clause, actor, value)
        except BrokenPromiseError as broken:
            broken.place = broken.place or clause.place
            raise
        self._acted_at = run.reactor.now()
        run.fences.acts += 1
        self._hopeless |= verb.ends or actor is run.server
        self._hopeless |= verb.network and isinstance(value, str)  # a slow link breaks nothing
        if verb.network:
            return
        if verb.family is Family.ACT and actor.alive and actor is not run.server:
            run.fences.unsettled.add(actor.name)

    def _expect(self) -> None:
        run = self._run
        for clause in self._exchange.clauses:
            for actor in self._actors(clause) if clause.verb.act is None else ():
                if clause.verb.family is Family.TOLERANCE:
                    run.tolerances.setdefault(actor.name, []).extend(self._patterns(clause, actor))
        for clause in self._exchange.clauses:
            if clause.verb.expectation is None:
                continue
            for actor in self._actors(clause):
                self._one_expectation(clause, actor)

    def _is_ours(self, actor: Actor) -> None:
        if actor is self._run.server and self._run.options.at:
            raise NotApplicableError("the server is not the harness's own (--at)")

    def _one_expectation(self, clause: Clause, actor: Actor) -> None:
        self._is_ours(actor)
        if not actor.joined:
            raise BrokenPromiseError(f"{actor.name} has not joined yet", clause.place)
        assert clause.verb.expectation
        plain = clause.verb.value in ("code", "how", "nothing")
        patterns = [] if plain else self._patterns(clause, actor)
        start = self._starts[actor.name]
        expectation = clause.verb.expectation(self._run, actor, clause, patterns, start)
        self._expectations.append(expectation)
        if clause.verb.standing and not self._exchange.until_fence:
            self._run.watches.append(expectation)

    def _patterns(self, clause: Clause, actor: Actor) -> list[Any]:
        if clause.value is None:
            return []
        run = self._run
        with scenario_fault(clause.place):
            if clause.verb.value == "screen":
                wanted = as_list(clause.value)
                return [on_screen(run, value, actor, clause.place) for value in wanted]
            return [self._run.pattern(value, actor) for value in as_list(clause.value)]

    # Deciding.

    def _patience(self) -> float:
        exchange = self._exchange.patience
        return self._run.patience if exchange is None else self._run.seconds(exchange)

    def _decide(self) -> None:
        run, began = self._run, self._run.reactor.now()
        deadline = began + self._patience()
        fence: Fence | None = None
        while not self._settled(fence):
            open_ = [e for e in self._expectations if e.awaits and not e.met]
            if fence is None and self._fence_is_due(open_, run.reactor.now() - began):
                fence = self._fence()
                if fence.takes_time:  # a stated time is no patience
                    deadline += run.fences.window()
            if fence is not None and not fence.done and fence.poll(consequences=not open_):
                self._settle(fence)
                continue
            if run.reactor.now() >= deadline:
                raise self._give_up(fence)
            run.reactor.step(deadline)

    def _settled(self, fence: Fence | None) -> bool:
        for expectation in self._expectations:
            with scenario_fault(expectation.place):
                expectation.look()
        for expectation in self._expectations:
            if expectation.actor.ended is not None and not expectation.met:
                expectation.end_of_channel()
        came = all(e.met for e in self._expectations if e.awaits)
        if (fence is not None and fence.done) or (came and not self._exchange.fenced):
            for expectation in self._expectations:
                if not expectation.grade:
                    proved = fence and fence.grade_for(expectation.actor)
                    self._undecided(expectation, proved or "unproved")
        return came and all(e.grade for e in self._expectations if e.negative)

    def _fence_is_due(self, waiting: list[Expectation], waited: float) -> bool:
        if not self._exchange.fenced:
            return False
        negative = any(e.negative and not e.grade for e in self._expectations)
        if any(self._run.fences.by_time(e.actor) for e in self._expectations):
            return negative and not waiting  # time says nothing about what is still missing
        return negative or (bool(waiting) and waited > GRACE and not self._hopeless)

    def _fence(self) -> Fence:
        run = self._run
        acting = {
            actor.name: actor
            for clause in self._exchange.clauses
            if clause.verb.act and not clause.verb.network
            for actor in self._actors(clause)
            if actor.joined and not actor.dismissed
        }
        acting.pop(SERVER, None)
        observers = {e.actor.name: e.actor for e in self._expectations if e.actor is not run.server}
        if not acting and not observers:  # about the server alone: whoever can, goes to see
            observers = {actor.name: actor for actor in run.actors.values() if actor.alive}
        return Fence(run, acting.values(), observers.values(), hopeless=self._hopeless)

    def _settle(self, fence: Fence) -> None:
        """The fence has returned: everything it reaches is decided now."""
        for expectation in self._expectations:
            actor = expectation.actor
            grade = fence.grade_for(actor)
            if actor is self._run.server:
                self._settle_server(expectation, fence)
            elif grade is None:
                self._undecided(expectation)
            elif self._is_decided(expectation, fence, grade):
                with scenario_fault(expectation.place):
                    expectation.look()
                expectation.settle(grade)
        self._run.obstacles |= set(fence.obstacles())

    def _is_decided(self, expectation: Expectation, fence: Fence, grade: str) -> bool:
        """What is there is judged; what is missing only if the proof says that it never comes."""
        if expectation.met or not expectation.awaits:
            return expectation.negative
        return fence.proven and self._run.profile.proofs.settles(grade)

    @staticmethod
    def _settle_server(expectation: Expectation, fence: Fence) -> None:
        """What the server prints is on no fence's way; but it runs, or it does not."""
        if expectation.negative:
            expectation.settle(fence.grade_for_server())

    def _undecided(self, expectation: Expectation, grade: str = "unproved") -> None:
        """Its way cannot be fenced: what has to come is waited for, the rest judged as it is."""
        if expectation.negative and (expectation.met or not expectation.awaits):
            expectation.settle(grade)

    def _give_up(self, fence: Fence | None) -> BrokenPromiseError:
        for expectation in self._expectations:
            if not expectation.met and expectation.awaits:
                why = f"did not come within {self._patience():g} s"
                return _with(expectation.missing(why), self._unanswered(fence))
        assert fence is not None
        broken = no_answer(fence, self._patience(), self._exchange.place)
        return _with(broken, _flood(self._run, self._starts, self._acted_at))

    def _unanswered(self, fence: Fence | None) -> list[str]:
        """What says that the server may hang: nothing at all is answered, not only this."""
        if fence is None or fence.done or not fence.complaints():
            return []
        asked = "the server has not answered the harness's own question since then"
        flood = _flood(self._run, self._starts, self._acted_at)
        return [f"{asked} (profile: fence)", *flood]

    # Afterwards.

    def _finish(self) -> None:
        exchange, run = self._exchange, self._run
        for expectation in self._expectations:
            run.verdict(expectation)
            self._is_proved_well_enough(expectation)
            self._was_in_time(expectation)
            if isinstance(expectation, Never):
                continue
            actor = expectation.actor
            actor.cursor = max([actor.cursor, *(at + 1 for at in actor.claimed)])
            if exchange.name_choice and expectation.chosen:
                run.capture(actor, {exchange.name_choice: expectation.chosen}, expectation.place)
            if expectation.clause.verb.name in ("exits", "is closed") and actor is run.server:
                actor.dismissed = True
        for check in exchange.checks:
            with scenario_fault(check.place):
                self._compare(str(check.data), check.place)

    def _is_proved_well_enough(self, expectation: Expectation) -> None:
        wanted, grade = self._run.options.min_grade, expectation.grade
        if not wanted or not expectation.negative:
            return
        if STRENGTH.index(grade) < STRENGTH.index(wanted):
            raise BrokenPromiseError(
                f"{expectation.actor.name} {expectation.clause.verb.name}: decided only by"
                f" {grade}; wanted {wanted} or better",
                expectation.place,
            )

    def _was_in_time(self, expectation: Expectation) -> None:
        within = self._exchange.within
        if within is None or expectation.negative or not expectation.at:
            return
        took = expectation.at - self._acted_at
        if took > within:
            raise BrokenPromiseError(
                f"{expectation.actor.name} {expectation.clause.verb.name} within {within:g} s"
                f" — it took {took:.3f} s",
                expectation.place,
            )

    def _compare(self, text: str, place: Place) -> None:
        match = COMPARISON.match(text)
        assert match
        acting = self._first_named()
        left, right = (self._run.scope.fill(side, acting) for side in (match[1], match[3]))
        if not _compares(left, match[2], right):
            raise BrokenPromiseError(
                f"check: {text} — {left} {match[2]} {right} is not true", place
            )


def shaken(exchange: Exchange, random: Random) -> list[Clause]:
    """The clauses of an exchange; those of `together` mixed, each part in its own order."""
    if not exchange.parts:
        return exchange.clauses
    clauses = iter(exchange.clauses)
    parts = [deque(islice(clauses, count)) for count in exchange.parts]
    turns = [part for part in parts for _ in part]
    random.shuffle(turns)
    return [part.popleft() for part in turns]


def _with(broken: BrokenPromiseError, details: Iterable[str]) -> BrokenPromiseError:
    """The same failure, with further lines for the report."""
    broken.details = (*broken.details, *details)
    return broken


def _flood(run: Run, starts: Mapping[str, int], since: float) -> list[str]:
    """Who was told so much that an answer does not come through any more."""
    waited = run.reactor.now() - since
    return [
        f"{actor.name} was told {told:,} lines in {waited:.2g} s, and no answer to the harness's"
        " own question among them"
        for actor in run.everybody()
        if (told := len(actor.items) - starts.get(actor.name, 0)) >= VERY_MUCH
    ]


def no_answer(fence: Fence, patience: float, place: Place | None) -> BrokenPromiseError:
    """A fence that does not return is a broken promise: nothing is proved without it.

    Without a `place` of its own it stands where the profile asks for what did not come.
    """
    why, asked = "; ".join(fence.complaints()), fence.place()
    return BrokenPromiseError(
        f"nobody can tell whether more was coming: {why} within {patience:g} s (profile: fence)",
        place or asked,
        (f"the profile asks for it at {asked}",) if place and asked else (),
    )


def _can_be_framed(run: Run, clause: Clause, actor: Actor, value: Any) -> None:
    """A mapping has no form as text: on framings of text it would be sent as nobody meant it."""
    if clause.verb.name != "sends" or not any(isinstance(v, Mapping) for v in as_list(value)):
        return
    role = run.profile.roles[actor.role]
    if role.frames == "lines":
        what = f"a mapping can be sent only on json framings; role {actor.role} has frames:"
        raise ScenarioError([Problem(clause.place, f"{what} {role.frames}", "send a text")])


def _compares(left: object, operator: str, right: object) -> bool:
    try:
        a, b = float(str(left)), float(str(right))
    except ValueError:
        a, b = str(left), str(right)  # type: ignore[assignment]
    return {
        "==": a == b, "!=": a != b, "<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b,
    }[operator]  # fmt: skip


def settle_everything(run: Run, patience: float, place: Place | None = None) -> Fence:
    """A fence of everybody: afterwards nothing that was caused so far is still on its way."""
    return settle(run, [actor for actor in run.actors.values() if actor.alive], patience, place)


def settle(
    run: Run, observers: Iterable[Actor], patience: float, place: Place | None = None
) -> Fence:
    """A fence of some: afterwards nothing that was caused so far is on its way to them.

    `place` is whose fence it is in the scenario, if it is one step's.
    """
    began, starts = run.reactor.now(), {a.name: len(a.items) for a in run.everybody()}
    fence = Fence(run, (), observers)
    deadline = run.reactor.now() + patience + fence.takes_time * run.fences.window()

    def done() -> bool:
        return fence.poll(consequences=True)

    if not run.reactor.until(done, deadline):
        flood = _flood(run, starts, began)
        where = place or (run.scenario.place if flood else None)
        raise _with(no_answer(fence, patience, where), flood)
    run.obstacles |= set(fence.obstacles())
    return fence
