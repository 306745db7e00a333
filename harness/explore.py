"""Explores: dialogues that nobody wrote, drawn from a profile's acts, judged by laws, shrunk.

Every dialogue is text of the scenario language from the start: it is written to a file, loaded and
run like any other, so that what is found is a scenario already. A seed repeats what is drawn. It
does not repeat in which order a server reads what several actors send at once; so a finding is
believed only if the same dialogue fails by the same law again.
"""

from __future__ import annotations

import itertools
import os
import random
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from msgspec import Struct, field, structs

from harness.errors import Place, Problem, ScenarioError, SetupError
from harness.history import Recogniser
from harness.language import Scenario, load_scenario
from harness.laws import ONCE, TABLE
from harness.pool import Job, Pool
from harness.profile import Profile, Role
from harness.run import Options
from harness.runner import Outcome
from harness.scope import names_used

NAMES = ("ana", "ben", "cid", "dan", "eva", "fay", "gus", "hal", "ina")
NOBODY = "nobody-of-this-name"
PLAIN = ("hello", "good morning", "who is there?", "see you", "hi")
NASTY = (
    "", " ", " blanks around ", "two  blanks", "a" * 200, "word " * 900, "'", '"', '"q" \\ \\n',
    "{}", '{"code": "quit"}', "]}", "null", "true", "0", "-1", "NaN", "/quit", "/nick", "exit",
    "%s%n%x", "${name}", "../../etc/passwd", "<b>&amp;</b>", "a:b", "a,b;c|d", "*", "#", "@ana",
    "Grüße", "e\u0301", "日本語", "👩‍👩‍👧 🎉", "\u202eback", "zero\u200bwidth", "İı", "ﬁ",
    "\t", "two\nlines", "\r\n", "\x00", "\x1b[31mred\x1b[0m", "\x7f", "\x85", "\u2028",
)  # fmt: skip
WORDS = ("one", "two", "7")
PERSONS = frozenset({"to", "who", "name", "user", "target", "nick", "member"})
TEXTS = frozenset({"text", "content", "message", "body"})
PARTINGS = {
    "wire": ("closes", "resets", "leaves"),
    "shell": ("is killed", "leaves"),
    "pipe": ("is killed", "closes"),
}
STEPS = (4, 26)  # of a dialogue
NEW_TEXTS = 5  # nasty texts by which a dialogue is ahead of the one before it
BURST = 0.25  # how likely somebody says several things without waiting
REPLAYS = 3  # of a dialogue that failed; one that fails again is believed
TRIES = 2  # of a smaller dialogue, for what does not fail every time
SHRINKING = 60.0  # seconds for making a finding smaller


class Act(Struct, frozen=True):
    """What one actor does: `verb` of the language; an act of the profile has `name` and values.

    A value is a text, or `Person(who)` for the name of somebody in the cast.
    """

    who: str
    verb: str
    name: str = ""
    values: tuple[tuple[str, Any], ...] = ()


class Person(Struct, frozen=True):
    """The name of somebody in the cast."""

    who: str


class Together(Struct, frozen=True):
    """One exchange: acts of different actors. Without acts: a fence of everybody."""

    acts: tuple[Act, ...] = ()


class Dialogue(Struct, frozen=True):
    """What is drawn, and what is made smaller."""

    steps: tuple[Together, ...]
    cast: tuple[str, ...]
    laws: tuple[str, ...]

    @property
    def exchanges(self) -> int:
        """How many exchanges there are in its file."""
        return sum(map(bool, (step.acts for step in self.steps))) + len(_come_first(self))


class World(Struct):
    """What can be drawn: a profile, seen by one role."""

    profile: Profile
    role: Role
    actors: int = 3
    laws: tuple[str, ...] = ()
    own_server: bool = True

    def acts(self) -> list[str]:
        """Acts that can be drawn; those that are messages more often."""
        fits = [
            act
            for act in self.profile.acts
            if act != "leave" and self.profile.has_act(act, self.role.name)
        ]
        return [act for act in fits for _ in range(6 if act in self.profile.messages else 1)]

    def arguments(self, act: str) -> list[str]:
        """The arguments of an act, in a fixed order."""
        used = set(names_used(list(self.profile.act(act, self.role.name).values())))
        return sorted(name for name in used if name != "token" and "." not in name)

    def partings(self) -> list[str]:
        """The ways in which an actor may go."""
        can_leave = self.profile.has_act("leave", self.role.name)
        return [way for way in PARTINGS[self.role.kind] if way != "leaves" or can_leave]

    @property
    def talks_to_itself(self) -> bool:
        """Whether a message to oneself can be told from the confirmation that it was sent."""
        told = {name for names in self.profile.messages.values() for name in names}
        shapes = [(n, self.profile.shape_of(n, self.role.name)) for n in self.profile.phrases]
        ours = [shape for name, shape in shapes if name in told and shape is not None]
        return not any(name not in told and shape in ours for name, shape in shapes)

    def nasty(self) -> list[str]:
        """Texts that this role has a way to send as they are."""
        if self.role.kind == "wire" and self.role.frames in ("json-lines", "json"):
            return list(NASTY)
        return [text for text in NASTY if text.isprintable() and not set(text) & set("'\"\\")]


def world(
    profile: Profile, role: str, actors: int, laws: Sequence[str], *, own_server: bool
) -> World:
    """What can be drawn; raises `ScenarioError` if that is nothing."""
    place = Place(profile.path)
    if role not in profile.roles:
        known = ", ".join(profile.roles)
        raise ScenarioError([Problem(place, f"no role {role!r}", f"--role: one of {known}")])
    found = World(profile, profile.roles[role], actors, tuple(laws), own_server)
    if not found.acts():
        help_ = "acts: {dm: {" + role + ": {sends: {to: '${to}', text: '${text}'}}}}"
        raise ScenarioError([Problem(place, f"a {role} has no acts to draw from", help_)])
    return found


# Drawing.


def draw(around: World, seed: int, number: int) -> Dialogue:
    """The dialogue of this number; the same for the same seed."""
    dice = random.Random(f"{seed}:{number}")  # noqa: S311 - to be repeated
    cast = NAMES[: around.actors]
    plain = dice.random() < 0.5  # every text is one that no server may refuse
    nasty = _nasty(around, seed, number) if not plain else iter(())
    steps: list[Together] = []
    while len(steps) < dice.randint(*STEPS):
        steps += _some_steps(around, dice, cast, len(steps), nasty)
    return repaired(Dialogue((*steps, Together()), cast, _laws(around, plain=plain)))


def _nasty(around: World, seed: int, number: int) -> Iterator[str]:
    """Nasty texts without end; those of dialogues that follow one another are others."""
    texts = around.nasty()
    random.Random(seed).shuffle(texts)  # noqa: S311
    at = number * NEW_TEXTS
    return itertools.cycle([*texts[at % len(texts) :], *texts[: at % len(texts)]])


def _laws(around: World, *, plain: bool) -> tuple[str, ...]:
    """The laws of a dialogue beside those of the profile."""
    ours = () if around.profile.laws else tuple(law.name for law in TABLE if law is not ONCE)
    return tuple(
        law
        for law in dict.fromkeys((*ours, *around.laws))
        if plain or law != "exactly once"  # what a server refuses is due to nobody
    )


def _some_steps(
    around: World, dice: random.Random, cast: Sequence[str], number: int, nasty: Iterator[str]
) -> list[Together]:
    who = dice.choice(cast)
    kind = dice.random()
    if kind < 0.12:
        return [Together()]
    if kind < 0.2:
        gone = Together((Act(who, dice.choice(around.partings())),))
        return [gone, *([Together()] if dice.random() < 0.7 else [])]
    if kind < 0.32:
        return [Together((Act(who, "joins"),))]
    if kind < 0.32 + BURST:
        count = dice.randint(2, 4)
        return [
            Together((_act(around, dice, who, f"{number}.{at}", nasty),)) for at in range(count)
        ]
    speakers = dice.sample(cast, dice.randint(1, len(cast)))
    return [Together(tuple(_act(around, dice, one, f"{number}", nasty) for one in speakers))]


def _act(around: World, dice: random.Random, who: str, number: str, nasty: Iterator[str]) -> Act:
    name = dice.choice(around.acts())
    values = [
        (word, _value(around, dice, word, (who, number), nasty)) for word in around.arguments(name)
    ]
    return Act(who, "does", name, tuple(values))


def _value(
    around: World, dice: random.Random, word: str, by: tuple[str, str], nasty: Iterator[str]
) -> Any:
    if word in PERSONS:
        others = [who for who in NAMES[: around.actors] if who != by[0]]
        known = [*others, by[0]] if around.talks_to_itself or not others else others
        return NOBODY if dice.random() < 0.1 else Person(dice.choice(known))
    if word not in TEXTS:
        return dice.choice(WORDS)
    if dice.random() < 0.6 and (text := next(nasty, None)) is not None:
        return text
    said = dice.choice(PLAIN)
    return said if dice.random() < 0.2 else f"{said} {' '.join(by)}"


# What makes sense: nobody acts who is not there.


class _Stage:
    """Who is there, as far as the dialogue itself decides."""

    def __init__(self, cast: Sequence[str], later: Sequence[str]) -> None:
        self.here = set(cast) - set(later)
        self.ever = set(self.here)
        self.going: set[str] = set()  # gone, and no fence since
        self.parted = False
        self.said: dict[tuple[str, str], bool] = {}  # by whom, what; whether it surely was told

    def admits(self, act: Act) -> bool:
        """Whether it can be done now; then it is."""
        if act.verb == "joins":
            fits = act.who not in self.here and act.who not in self.going
        else:
            named = {value.who for _, value in act.values if isinstance(value, Person)}
            fits = act.who in self.here and named <= self.ever and self._can_be_told_apart(act)
        if fits and act.verb == "joins":
            self.here.add(act.who)
            self.ever.add(act.who)
        elif fits and act.verb != "does":
            self.here.discard(act.who)
            self.going.add(act.who)
            self.parted = True
        return fits

    def _can_be_told_apart(self, act: Act) -> bool:
        """Whether the law can tell an act from what the same actor has said before.

        Equal messages are told apart by their number. That is no help if one of them may have been
        refused, because it was for nobody, for oneself, or for somebody who was not there.
        """
        to = {value for word, value in act.values if word in PERSONS}
        sure = not self.parted and NOBODY not in to and Person(act.who) not in to
        for key in [(act.who, str(value)) for word, value in act.values if word in TEXTS]:
            if key in self.said and not (sure and self.said[key]):
                return False
            self.said[key] = sure
        return True


def repaired(dialogue: Dialogue) -> Dialogue:
    """The same without what makes no sense any more, and without who does not occur."""
    first: dict[str, str] = {}
    for step in dialogue.steps:
        for act in step.acts:
            first.setdefault(act.who, act.verb)
    stage = _Stage(dialogue.cast, [who for who, verb in first.items() if verb == "joins"])
    steps: list[Together] = []
    for step in dialogue.steps:
        if not step.acts:
            stage.going.clear()
            if not steps or steps[-1].acts:
                steps.append(step)
        elif acts := tuple(act for act in step.acts if stage.admits(act)):
            steps.append(Together(acts))
    return structs.replace(dialogue, steps=tuple(steps))


def _come_first(dialogue: Dialogue) -> list[str]:
    """Who comes again later: whoever joins in a step is not there before it."""
    first: dict[str, str] = {}
    again = set()
    for step in dialogue.steps:
        for act in step.acts:
            first.setdefault(act.who, act.verb)
            if act.verb == "joins" and first[act.who] != "joins":
                again.add(act.who)
    return [who for who in dialogue.cast if who in again]


# As a file.


def text_of(dialogue: Dialogue, around: World, title: str, folder: Path) -> str:
    """The dialogue as a scenario file that stands in this folder."""
    profile = os.path.relpath(Path(around.profile.path).resolve(), folder.resolve())
    lines = [
        f"scenario: {quoted(title)}",
        f"use: {quoted(profile)}",
        f"cast: {{{', '.join(f'{who}: {around.role.name}' for who in dialogue.cast)}}}",
    ]
    if dialogue.laws:
        lines.append(f"laws: [{', '.join(dialogue.laws)}]")
    lines.append("steps:")
    if around.own_server:
        lines.append("  - server never prints: Traceback")
    lines += [f"  - {who} joins:" for who in _come_first(dialogue)]
    for step in dialogue.steps:
        lines += _step_lines(step)
    return "\n".join(lines) + "\n"


def _step_lines(step: Together) -> Iterator[str]:
    if not step.acts:
        yield "  - fence: everyone"
    for at, act in enumerate(step.acts):
        yield f"  {' ' if at else '-'} {act.who} {act.verb}:{_said(act)}"


def _said(act: Act) -> str:
    if act.verb != "does":
        return ""
    if not act.values:
        return f" {act.name}"
    values = ", ".join(f"{name}: {_shown(value)}" for name, value in act.values)
    return f" {{{act.name}: {{{values}}}}}"


def _shown(value: Any) -> str:
    if isinstance(value, Person):
        return f"'${{{value.who}.name}}'"
    return quoted(value.replace("${", "$${"))


def quoted(text: str) -> str:
    """A text as a double-quoted scalar of YAML: what cannot be seen is spelled out."""
    return '"' + "".join(map(_letter, text)) + '"'


def _letter(char: str) -> str:
    if char in '"\\':
        return f"\\{char}"
    return char if char.isprintable() else f"\\U{ord(char):08x}"


# Running.


class Finding(Struct):
    """A dialogue that breaks a promise, as small as it could be made."""

    law: str
    dialogue: Dialogue
    outcome: Outcome
    number: int  # of the dialogue, from 1
    exchanges: int  # before it was made smaller
    again: int  # of `REPLAYS`, how often it failed again
    found: float  # seconds after which it was drawn and failed
    runs: int = 0  # made to shrink it
    shrunk: float = 0.0  # seconds spent on that


class Summary(Struct):
    """What exploring came to."""

    findings: list[Finding] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)  # failed once, and not again
    dialogues: int = 0
    acts: int = 0
    told: int = 0  # messages that somebody was told, in the dialogues that were looked at
    looked_at: int = 0
    seconds: float = 0.0


def broken_law(outcome: Outcome) -> str:
    """The promise that was broken, by a name that is the same for the same crime; or none."""
    if outcome.status in ("wrong", "bug", "environment"):
        raise SetupError(
            f"a drawn dialogue could not be played: {outcome.place or outcome.path}: "
            f"{outcome.what}" + "".join(f"\n    {line}" for line in outcome.details[-5:])
        )
    if outcome.status != "failed":
        return ""
    if found := re.match(r"law '([^']+)'", outcome.what):
        return found[1]
    for words, law in CRIMES:
        if words in outcome.what or any(words in line for line in outcome.details):
            return law
    place = outcome.place
    if place and place.file != outcome.path:  # such as a login that was refused
        return f"what its profile promises at {Path(place.file).name}:{place.line}"
    return "what its profile promises"


CRIMES = (
    ("ended by itself", "the server survives"),
    ("server never prints", "the server prints no Traceback"),
    ("nobody can tell", "the server answers its fence"),
    ("programs were left over", "nothing is left over"),
)


class Explorer:
    """Draws, runs, and makes smaller what is found."""

    def __init__(self, around: World, options: Options, seed: int, jobs: int = 1) -> None:
        self._world, self._seed, self._jobs = around, seed, jobs
        self._options = structs.replace(options, keep=False, evidence=None)
        self._folder = Path(tempfile.mkdtemp(prefix="explore-"))
        self._pool = Pool()
        self._written = 0

    def close(self) -> None:
        """Leave nothing behind."""
        self._pool.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def explore(
        self,
        seconds: float,
        runs: int | None,
        *,
        go_on: bool = False,
        told: Callable[[Summary], None] = lambda _: None,
    ) -> Summary:
        """Draw until the time is over, so many dialogues were made, or something is found."""
        summary, began = Summary(), time.monotonic()
        waiting: dict[int, tuple[int, Dialogue]] = {}
        drawn = 0
        while True:
            more = time.monotonic() - began < seconds and (runs is None or drawn < runs)
            more = more and (go_on or not summary.findings)
            while more and len(waiting) < self._jobs and (runs is None or drawn < runs):
                drawn += 1
                dialogue = draw(self._world, self._seed, drawn)
                look = drawn <= LOOKED_AT
                waiting[self._start(dialogue, keep=look)] = (drawn, dialogue)
            if not waiting:
                break
            number, outcome = self._next()
            at, dialogue = waiting.pop(number)
            self._count(summary, dialogue, outcome)
            if (law := broken_law(outcome)) and (go_on or not summary.findings):
                for other in list(waiting):  # they are nobody's any more: shrinking is alone
                    self._next()
                    del waiting[other]
                if law not in [finding.law for finding in summary.findings]:
                    self._believe(summary, law, at, dialogue, time.monotonic() - began)
            told(summary)
        summary.seconds = time.monotonic() - began
        return summary

    def _count(self, summary: Summary, dialogue: Dialogue, outcome: Outcome) -> None:
        summary.dialogues += 1
        summary.acts += sum(len(step.acts) for step in dialogue.steps)
        if outcome.events and outcome.status == "passed":
            role = Recogniser(self._world.profile, self._world.role.name)
            seen = [event for event in outcome.events if event.kind == "sees"]
            summary.told += sum(role.told(event) is not None for event in seen)
            summary.looked_at += 1

    def _believe(
        self, summary: Summary, law: str, number: int, dialogue: Dialogue, found: float
    ) -> None:
        """Replay it; if it fails again, make it smaller."""
        replays = [self._play(dialogue) for _ in range(REPLAYS)]
        failed = [outcome for outcome in replays if broken_law(outcome) == law]
        if not failed:
            summary.doubts.append(f"dialogue {number}: {law}")
            return
        shrinker = Shrinker(self, law, TRIES if len(failed) == REPLAYS else REPLAYS + 1)
        small, outcome = shrinker.shrink(dialogue, failed[-1])
        summary.findings.append(
            Finding(
                law, small, outcome, number, dialogue.exchanges, len(failed), found,
                shrinker.runs, shrinker.seconds,
            )
        )  # fmt: skip

    def fails(self, dialogue: Dialogue, law: str, tries: int) -> Outcome | None:
        """The outcome of a dialogue that breaks this law in one of some tries, or none."""
        for _ in range(tries):
            outcome = self._play(dialogue)
            if broken_law(outcome) == law:
                return outcome
        return None

    def run_file(self, path: Path, law: str) -> Outcome | None:
        """How a written file fails, if it does in some tries."""
        for _ in range(REPLAYS + 1):
            self._pool.start(Job(load_scenario(path), {}), self._options)
            outcome = self._hear()[1]
            if broken_law(outcome) == law:
                return outcome
        return None

    def _play(self, dialogue: Dialogue) -> Outcome:
        self._start(dialogue)
        return self._next()[1]

    def _start(self, dialogue: Dialogue, *, keep: bool = False) -> int:
        scenario = self.written(dialogue, self._folder / f"dialogue{self._written}.yaml")
        self._written += 1
        return self._pool.start(Job(scenario, {}), structs.replace(self._options, keep=keep))

    def _next(self) -> tuple[int, Outcome]:
        """The end of a drawn dialogue, whose file is not needed any more."""
        number, outcome = self._hear()
        Path(outcome.path).unlink(missing_ok=True)
        return number, outcome

    def _hear(self) -> tuple[int, Outcome]:
        told = self._pool.next()
        assert told is not None
        number, outcome = told
        assert isinstance(outcome, Outcome)
        return number, outcome

    def written(self, dialogue: Dialogue, path: Path, title: str = "Drawn") -> Scenario:
        """The dialogue as a file, loaded."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text_of(dialogue, self._world, title, path.parent), encoding="utf-8")
        return load_scenario(path)


LOOKED_AT = 5  # dialogues whose messages are counted, to know whether laws have anything to judge


class Shrinker:
    """Makes a failing dialogue smaller by running smaller ones (delta debugging), within a time."""

    def __init__(self, explorer: Explorer, law: str, tries: int) -> None:
        self._explorer, self._law, self._tries = explorer, law, tries
        self._began = time.monotonic()
        self._known: set[Dialogue] = set()
        self.runs = 0
        self._found: Outcome | None = None

    @property
    def seconds(self) -> float:
        """The time spent."""
        return time.monotonic() - self._began

    def shrink(self, dialogue: Dialogue, outcome: Outcome) -> tuple[Dialogue, Outcome]:
        """The smallest that was found, and how it fails."""
        self._found = outcome
        before = None
        while before != dialogue and self.seconds < SHRINKING:
            before = dialogue
            dialogue = self._fewer_steps(dialogue)
            dialogue = self._first_that_fails(dialogue, _fewer_acts)
            dialogue = self._first_that_fails(dialogue, _fewer_actors)
            dialogue = self._first_that_fails(dialogue, _simpler_values)
        assert self._found
        return dialogue, self._found

    def _fails(self, dialogue: Dialogue) -> bool:
        if dialogue in self._known or self.seconds > SHRINKING:
            return False
        self._known.add(dialogue)
        self.runs += 1
        outcome = self._explorer.fails(dialogue, self._law, self._tries)
        self._found = outcome or self._found
        return outcome is not None

    def _fewer_steps(self, dialogue: Dialogue) -> Dialogue:
        size = max(1, len(dialogue.steps) // 2)
        while size:
            at = 0
            while at < len(dialogue.steps):
                steps = (*dialogue.steps[:at], *dialogue.steps[at + size :])
                smaller = repaired(structs.replace(dialogue, steps=steps))
                if len(smaller.steps) < len(dialogue.steps) and self._fails(smaller):
                    dialogue = smaller
                else:
                    at += size
            size //= 2
        return dialogue

    def _first_that_fails(
        self, dialogue: Dialogue, smaller_ones: Callable[[Dialogue], Iterator[Dialogue]]
    ) -> Dialogue:
        """Take the first smaller one that fails, and begin again with it."""
        while True:
            found = next((one for one in smaller_ones(dialogue) if self._fails(one)), None)
            if found is None:
                return dialogue
            dialogue = found


def _fewer_acts(dialogue: Dialogue) -> Iterator[Dialogue]:
    for at, step in enumerate(dialogue.steps):
        for one in range(len(step.acts) if len(step.acts) > 1 else 0):
            left = Together((*step.acts[:one], *step.acts[one + 1 :]))
            yield _with_step(dialogue, at, left)


def _fewer_actors(dialogue: Dialogue) -> Iterator[Dialogue]:
    needed = {act.who for step in dialogue.steps for act in step.acts}
    needed |= {
        value.who
        for step in dialogue.steps
        for act in step.acts
        for _, value in act.values
        if isinstance(value, Person)
    }
    for who in reversed(dialogue.cast):
        if who not in needed and len(dialogue.cast) > 1:
            cast = tuple(other for other in dialogue.cast if other != who)
            yield structs.replace(dialogue, cast=cast)


def _simpler_values(dialogue: Dialogue) -> Iterator[Dialogue]:
    for at, step in enumerate(dialogue.steps):
        for one, act in enumerate(step.acts):
            for number, (word, value) in enumerate(act.values):
                for simple in _simpler(value):
                    values = [*act.values[:number], (word, simple), *act.values[number + 1 :]]
                    mended = structs.replace(act, values=tuple(values))
                    acts = (*step.acts[:one], mended, *step.acts[one + 1 :])
                    yield _with_step(dialogue, at, Together(acts))


def _simpler(value: Any) -> Iterator[str]:
    """Shorter texts; each is shorter than the one before it was, so this comes to an end."""
    if isinstance(value, str) and value != NOBODY and len(value) > len("hi"):
        half = len(value) // 2
        yield from (
            text for text in ("hi", value[:half], value[half:]) if 0 < len(text) < len(value)
        )


def _with_step(dialogue: Dialogue, at: int, step: Together) -> Dialogue:
    steps = (*dialogue.steps[:at], step, *dialogue.steps[at + 1 :])
    return repaired(structs.replace(dialogue, steps=steps))
