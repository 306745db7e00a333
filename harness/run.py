"""One run of a scenario: its folder, its server, its actors and what they know."""

from __future__ import annotations

import contextlib
import os
import random
import shlex
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from msgspec import Struct

from harness import calibration, secrets, startup
from harness.actors import Actor, Launch
from harness.codes import number
from harness.errors import BrokenPromiseError, Place, Problem, ScenarioError, SetupError
from harness.expect import Expectation
from harness.fences import Fences
from harness.guardian import remove_tree
from harness.history import History, history_of
from harness.home import new_home
from harness.journal import Event, Journal
from harness.language import Clause, Member, Scenario
from harness.patterns import FramePattern, Item, Pattern, RegexPattern, TextPattern, equal
from harness.ports import Held
from harness.process import leftovers
from harness.profile import Role
from harness.programs import Pipe, Program, Server, Shell
from harness.quiet import Rest
from harness.reactor import Reactor
from harness.scope import VARIABLE, Scope, UnboundError, token
from harness.shaking import Shaker
from harness.startup import START_PATIENCE
from harness.wire import Wire

TAKES_KEYS = (
    "its program takes single keys: perhaps it edits its line itself (view: screen or canvas),"
    " or shows a page"
)
STOP_PATIENCE = 5.0  # seconds for a server to end when asked


class Options(Struct, frozen=True):
    """How to run, from the command line."""

    profile: str | None = None  # file, instead of the one that the scenario names
    server: str | None = None  # command, instead of the profile's
    client: str | None = None  # command of every role in a terminal, instead of the profile's
    at: tuple[str, int] | None = None  # a server that runs already
    patience: float = 1.0  # factor
    min_grade: str | None = None  # weaker proofs are failures
    seed: int = 0
    shake: bool = False  # seeded order and jitter, to bring out what depends on timing
    evidence: str | None = None  # folder for what failed runs leave behind
    evidence_always: bool = False  # and those that passed
    keep: bool = False  # events and bytes of runs that passed, too
    prove: bool = False  # tell lies about runs that passed
    accept: bool = False  # say what would have to be written for what came instead


class Verdict(Struct, frozen=True):
    """What was found out about one clause for one actor, and by what proof."""

    place: Place
    actor: str
    verb: str
    wanted: list[str]
    grade: str = ""  # none: it came, which proves itself
    at: float = 0.0  # seconds since the run began


class Run:
    """Everything that lives as long as one run. `close` leaves nothing behind.

    `rehearsal` has runs of other kinds: one that is put on record, and one that plays a record.
    """

    kinds: ClassVar[dict[str, Any]] = {
        "shell": Shell, "wire": Wire, "pipe": Pipe, "server": Server,
    }  # fmt: skip

    def __init__(
        self,
        scenario: Scenario,
        row: Mapping[str, Any],
        options: Options,
        watch: Callable[[Event], None] | None = None,
    ) -> None:
        self.journal = self.new_journal()
        self.journal.watch = watch
        drawn = f"{options.seed}:{scenario.path}:{sorted(row.items())}"
        self.random = random.Random(drawn)  # noqa: S311
        self.scenario, self.profile, self.options = scenario, scenario.profile, options
        here = {"here": str(Path(self.profile.path).resolve().parent)}
        self.scope = Scope({**here, **scenario.vars, **row})
        for name in (*scenario.secrets, *self.profile.secrets):  # where no file was read, too
            secrets.remember(self.scope.values.get(name))
        self.reactor = self.new_reactor()
        self.fences = Fences(self)
        self.mark = token()
        self.home = self.new_home()
        self.asked: dict[str, str] = {}
        self.watches: list[Expectation] = []
        self.tolerances: dict[str, list[Pattern]] = {}
        self.obstacles: set[str] = set()  # who could not be fenced, for the report
        self.verdicts: list[Verdict] = []
        self.names: dict[str, list[str]] = {}  # what actors are or were called -> who
        self.server_may_end = False
        self.decided = 0.0  # when a promise was broken, in seconds since the run began
        self.over = False  # what comes now belongs to nobody's promise
        self.patience = self.seconds(scenario.patience or self.profile.patience)
        self.server: Server = self.kinds["server"](
            self.reactor, self._heard, self.journal, console=self.profile.server.console
        )
        self.members = {member.name: member for member in scenario.cast}
        self.actors: dict[str, Actor] = {
            member.name: self._actor(member) for member in scenario.cast
        }
        self.reactor.looks.append(self._look)
        self.shaker = Shaker(self, drawn) if options.shake else None
        self.held: Held | None = None  # the server's port, or its turn to use it
        self.listens: int | str | None = None  # how the server comes by its port
        self._joined = 0
        self.gathered = False  # the cast has joined

    def seconds(self, seconds: float) -> float:
        """A time to give up after, on this machine."""
        return seconds * self.options.patience * calibration.factor()

    def _actor(self, member: Member) -> Actor:
        role = self.role(member)
        actor: Actor = self.kinds[role.kind](member.name, self.reactor, self._heard, self.journal)
        actor.role = role.name
        return actor

    def role(self, member: Member) -> Role:
        """The role an actor plays in this run."""
        return self.profile.roles[str(self.scope.fill(member.role))]

    def everybody(self) -> list[Actor]:
        """The cast and the server."""
        return [*self.actors.values(), self.server]

    # What it is made of.

    def new_journal(self) -> Journal:
        """The minutes."""
        return Journal()

    def new_reactor(self) -> Reactor:
        """The loop that drains everything, and its clock."""
        return Reactor()

    def new_home(self) -> Path:
        """The folder of all its programs."""
        return new_home()

    def rest(self) -> Rest:
        """A way to see that all its programs sleep."""
        return Rest(self)

    def sync(self, key: str) -> None:
        """The judge has seen what there was; told at the beginning of every exchange."""

    def perform(self, clause: Clause, actor: Actor, value: Any) -> None:
        """Do what a clause says."""
        assert clause.verb.act
        clause.verb.act(self, actor, value)

    def start_server(self) -> None:
        """Start the server, or start it again on its port; wait until it is ready."""
        with scenario_fault(Place(self.profile.path)):
            startup.start_server(self)

    # Actors.

    def start(self, actor: Actor) -> None:
        """Start an actor, without logging in."""
        member = self.members[actor.name]
        role = self.role(member)
        if actor.joined:
            self._come_back(actor)
        self._joined += 1
        called = member.called or role.called or member.name
        name = self.scope.fill(called, actor.name, {"n": self._joined})
        self.scope.captured.setdefault(actor.name, {})["name"] = name
        self.names.setdefault(str(name), []).append(actor.name)
        if role.answers and isinstance(actor, Wire):
            actor.reflex = partial(self._answer, actor, role.answers)
        elif role.answers and isinstance(actor, Shell):
            actor.pages = [(str(row["is asked"]), keys) for row, keys in role.answers]
        launch = startup.actor_launch(self, member, role)
        actor.note("does", said_start(launch), verb="starts")
        for line in launch.stdin or ():
            actor.note("does", line, verb="types")
        actor.start(launch)

    def _come_back(self, actor: Actor) -> None:
        """Whoever has left, or was killed, may join again; what was seen before stays said."""
        gone = actor.dismissed or actor.ended is not None
        deadline = self.reactor.now() + self.patience
        if not gone or not self.reactor.until(lambda: actor.ended is not None, deadline):
            raise BrokenPromiseError(f"{actor.name} has joined already")
        actor.again()

    def _answer(self, actor: Wire, answers: list[tuple[Any, Any]], item: Item) -> bool:
        """Answer what every client of this role answers by itself; whether it was such a thing."""
        for sees, sends in answers:
            found = self.pattern(sees, actor).match(item)
            if found is not None:
                if actor.alive:
                    actor.send(self.scope.fill(sends, actor.name, found))
                return True
        return False

    def join(self, actor: Actor) -> None:
        """Start an actor and log in."""
        from harness.exchange import Turn

        before = len(actor.items)
        with scenario_fault(Place(self.profile.path)):
            self.start(actor)
        if not self.gathered:
            self._somebody_listens(actor)
        member = self.members[actor.name]
        if not member.login:
            return
        role = self.role(member)
        for exchange in role.login:
            Turn(self, exchange, myself=actor).play()
        actor.claimed.clear()
        actor.cursor = before  # whoever joins in a step can be asked about his login there
        if isinstance(actor, Shell) and actor.has_prompt:
            self.wait_until_ready(actor)
        if role.login or role.kind == "shell":
            actor.since = len(self.journal.events)

    def _somebody_listens(self, actor: Actor) -> None:
        """Who is refused before anybody got in has met no server; raises `SetupError`."""
        place = self.scope.values["server"]
        others = [other for other in self.actors.values() if other.joined and other is not actor]
        if not isinstance(actor, Wire) or others or actor.link is not None:
            return
        if actor.ended == "refused" and actor.address == (place["host"], place["port"]):
            why = "" if place["port"] else ": ready catches no port (see `harness check`)"
            raise SetupError(f"nobody listens at {place['host']}:{place['port']}{why}")

    def history(self) -> History:
        """What has happened so far, as messages."""
        return history_of(self)

    def knock(self, actor: Actor) -> None:
        """The acts of the first exchange of a login, whatever comes of it."""
        from harness.exchange import Turn

        login = self.role(self.members[actor.name]).login
        if login and self.members[actor.name].login and actor.ended is None:
            Turn(self, login[0], myself=actor).act()

    def is_in(self, actor: Actor) -> bool:
        """Whether an actor got through its login."""
        if isinstance(actor, Shell):
            return actor.has_prompt and actor.ended is None and actor.ready()
        wanted = [
            self.pattern(clause.value, actor)
            for exchange in self.role(self.members[actor.name]).login
            for clause in exchange.clauses
            if clause.verb.name == "sees" and not isinstance(clause.value, list)
        ]
        return bool(wanted) and all(
            any(pattern.match(item) is not None for item in actor.items) for pattern in wanted
        )

    # Knowledge.

    def capture(self, actor: Actor, found: Mapping[str, Any], place: Place) -> None:
        """Keep what was captured; what is bound already has to be equal."""
        known = self.scope.captured.setdefault(actor.name, {})
        for name, value in found.items():
            if name in known and name != "name" and not equal(known[name], value):
                raise BrokenPromiseError(
                    f"${{{name}}} was {known[name]!r} before, now it is {value!r}", place
                )
            known[name] = value
            if name in self.scenario.secrets or name in self.profile.secrets:
                secrets.remember(value)
            if name == "name":
                self.names.setdefault(str(value), []).append(actor.name)

    def pattern(self, value: Any, actor: Actor, local: Mapping[str, Any] | None = None) -> Pattern:
        """The pattern that a value of a scenario stands for, in the shape of the actor's role."""

        def lookup(name: str) -> Any:
            return self.scope.lookup(name, actor.name, local)

        if isinstance(value, Mapping):
            key, inner = next(iter(value.items()))
            if len(value) == 1 and key == "re":
                return RegexPattern(str(inner), lookup)
            if len(value) == 1 and key == "exactly":
                return FramePattern(inner, lookup, exact=True)
            if len(value) == 1 and key in self.profile.phrases:
                shape = self.profile.phrase(key, actor.role)
                return self.pattern(_spoken(shape, inner or {}), actor, local)
            return FramePattern(value, lookup, exact=False)
        return TextPattern(str(value), lookup)

    def verdict(self, found: Expectation) -> None:
        """Write down how a clause was decided for an actor."""
        wanted = [str(pattern) for pattern in found.patterns]
        at = self.journal.since_began(found.at) if found.at else self.journal.now()
        self.verdicts.append(
            Verdict(found.place, found.actor.name, found.clause.verb.name, wanted, found.grade, at)
        )

    def tolerated(self, actor: Actor) -> list[Pattern]:
        """What an actor may see in this exchange."""
        return self.tolerances.get(actor.name, [])

    # Waiting.

    def wait_for(self, done: Callable[[], bool], what: str) -> None:
        """Wait until `done`; raises `BrokenPromiseError` when patience ends."""
        patience = max(self.patience, self.seconds(START_PATIENCE))
        if not self.reactor.until(done, self.reactor.now() + patience):
            raise BrokenPromiseError(f"waited {patience:g} s for {what}")

    def wait_until_ready(self, shell: Shell) -> None:
        """Wait for the empty prompt."""

        def ready_or_gone() -> bool:
            return shell.ended is not None or shell.ready()

        if not shell.joined:
            raise BrokenPromiseError(f"{shell.name} has not joined yet")
        if shell.ended is None:
            try:
                self.wait_for(ready_or_gone, f"the prompt of {shell.name}")
            except BrokenPromiseError as broken:
                broken.details += self._about_prompt(shell)
                if shell.reads_keys():
                    broken.details += (TAKES_KEYS,)
                raise
        if shell.ended is not None:
            raise BrokenPromiseError(
                f"{shell.name} has no prompt: {shell.ended}", None, _last_words(shell)
            )
        shell.arrived = True
        if shell.reads_keys():
            raise ScenarioError([
                Problem(
                    Place(self.profile.path),
                    f"the program of {shell.name} edits its line itself (role {shell.role})",
                    "give the role `view: screen` (or canvas, if it paints the whole screen)",
                )
            ])  # fmt: skip

    def _about_prompt(self, shell: Shell) -> tuple[str, ...]:
        """Which prompt it should be, by the profile, and what stands there instead."""
        role = self.role(self.members[shell.name])
        place = self.profile.places.get(f"{role.name}.prompt") or Place(self.profile.path)
        last = next((row for row in reversed(shell.picture()) if row.strip()), "")
        return f"the prompt is {role.prompt!r} ({place})", f"the last line is {last!r}"

    def _heard(self, actor: Actor, item: Item) -> None:
        if self.over or item.hidden:
            return
        for watch in self.watches:
            if watch.actor is actor:
                watch.look()

    def _look(self) -> None:
        for actor in self.everybody():
            actor.look()
        for watch in self.watches if not self.over else ():
            if watch.clause.verb.value == "screen":
                watch.look()
        server = self.server
        if server.ended and not (server.dismissed or self.server_may_end or self.over):
            raise BrokenPromiseError(
                f"the server ended by itself: {server.ended}", None, _last_words(server)
            )

    def close(self, *, remove: bool = True) -> list[str]:
        """End everything, remove the folder; returns what had to be killed as a leftover."""
        self.over = True
        for actor in self.actors.values():
            actor.close()
            if actor.link is not None:
                actor.link.close()
        self.server.stop(self.profile.server.stop)
        self.reactor.until(
            lambda: not self.server.running, self.reactor.now() + self.seconds(STOP_PATIENCE)
        )
        self.server.close()
        self.reactor.close()
        left = leftovers(self.mark, patience=2.0)
        if remove:
            remove_tree(self.home)
        if self.held is not None:
            os.close(self.held.lock)
        return left


def said_start(launch: Launch) -> str:
    """How a program was started, as a person would write it."""
    if not launch.command:
        return "connects"
    program, *arguments = launch.command
    return f"starts {shlex.join([Path(program).name, *arguments])}"


def _last_words(actor: Program) -> tuple[str, ...]:
    return tuple(f"  | {item.text}" for item in actor.items[-5:])


def _spoken(shape: Any, arguments: Mapping[str, Any]) -> Any:
    """A phrase with its arguments put in; the arguments may be patterns themselves."""
    if isinstance(shape, Mapping):
        return {key: _spoken(value, arguments) for key, value in shape.items()}
    if isinstance(shape, list):
        return [_spoken(value, arguments) for value in shape]
    if not isinstance(shape, str):
        return shape
    whole = VARIABLE.fullmatch(shape)
    if whole and whole["name"] in arguments and whole["kind"] is None:
        return arguments[whole["name"]]
    return VARIABLE.sub(
        lambda found: (
            str(arguments[found["name"]])
            if found["name"] in arguments and found["kind"] is None
            else found[0]
        ),
        shape,
    )


@contextlib.contextmanager
def scenario_fault(place: Place) -> Iterator[None]:
    """A name without a value is the scenario's fault."""
    try:
        yield
    except UnboundError as error:
        help_ = "capture it in an exchange before this one, or give it a value in vars"
        problem = Problem(place, str(error), help_, number("no-value"))
        raise ScenarioError([problem]) from error
