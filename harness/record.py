"""From what people do to a scenario: played several times, and what followed becomes expectations.

A recording is a script of acts. It is played with a proof after each act that nothing more is on
its way, so everything that anybody was told belongs to one act. What differs from one take to the
next, and what looks like a time, is volatile: it becomes a gap, or a capture if it is said again.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct, field, structs

from harness.errors import Place, Problem, ScenarioError
from harness.fmt import MEANS_SOMETHING, escaped, laid_out
from harness.journal import Event
from harness.language import Scenario, load_scenario
from harness.pool import Job, run_isolated
from harness.profile import Profile, find_profile, load_profile
from harness.run import Options
from harness.runner import Outcome
from harness.scope import KINDS
from harness.yaml_nodes import Value, parsed

CHAPTER = re.compile(r"— act (\d+) —")
EXITED = re.compile(r"the program exited with (\d+)")
CLOSED = {"the connection was closed": "fin", "the connection was reset": "reset"}
PIECE = re.compile(r"\w+(?:[:.+/@-]\w+)*|\s+|[^\w\s]")
CLOCK = re.compile(r"\d{1,2}:\d\d(:\d\d([.,]\d+)?)?([AaPp][Mm])?|\d{4}-\d\d-\d\d([T_ ].*)?"
                   r"|\d{1,2}[./]\d{1,2}[./]\d{2,4}|" + KINDS["uuid"])  # fmt: skip
EPOCH = re.compile(r"\d{10}(\.\d+)?|\d{13}")
NEAR_NOW = 7 * 86_400  # seconds: a number so near to the time of day is a time
WIDE = 90  # columns of a clause in one line
BY_KIND = {"shell": "types", "pipe": "types", "server": "types", "wire": "sends"}
LINE = re.compile(r"([A-Za-z_][\w-]*)\s*:\s?(.*)")


class Act(Struct, frozen=True):
    """One line of a script: what somebody does, as a clause."""

    clause: str  # WHO VERB
    value: Any
    line: int  # of the script, from 1

    @property
    def who(self) -> str:
        """Who does it."""
        return self.clause.partition(" ")[0]


class Said(Struct, frozen=True):
    """One thing that somebody was told."""

    text: str
    frame: Any = None


class Exchange(Struct):
    """What followed one act, in one take."""

    told: dict[str, list[Said]] = field(default_factory=dict)
    ended: dict[str, str] = field(default_factory=dict)  # actor -> how, in the words of the note


class Take(Struct):
    """The script played once."""

    exchanges: list[Exchange]
    names: dict[str, str]  # what the server calls an actor, if that is another name


class Setting(Struct, frozen=True):
    """Who plays, with which programs."""

    profile: Path
    cast: dict[str, str]  # actor -> role
    options: Options = Options()


# Scripts.


def read_script(text: str, shown: str, cast: Mapping[str, str], profile: Profile) -> list[Act]:
    """The acts of a script; raises `ScenarioError` with the lines that say nothing."""
    acts, problems = [], []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            acts.append(_act(line, number, shown, cast, profile))
        except ScenarioError as error:
            problems += error.problems
    if not acts and not problems:
        problems = [Problem(Place(shown), "nobody does anything", 'for example ana: /bc "hi"')]
    if problems:
        raise ScenarioError(problems)
    return acts


def actors_of(text: str) -> list[str]:
    """Those who do something in a script, in the order of their first lines."""
    lines = (line for line in text.splitlines() if not line.lstrip().startswith("#"))
    found = [re.match(r"\s*([A-Za-z_][\w-]*)", line) for line in lines]
    return [name for name in dict.fromkeys(m[1] for m in found if m) if name != "server"]


def _act(line: str, number: int, shown: str, cast: Mapping[str, str], profile: Profile) -> Act:
    place = Place(shown, number)
    short = LINE.fullmatch(line.strip())
    if short and (short[1] in cast or short[1] == "server"):
        kind = profile.roles[cast[short[1]]].kind if short[1] in cast else "server"
        value = frame_of(short[2], place) if kind == "wire" else short[2]
        return Act(f"{short[1]} {BY_KIND[kind]}", value, number)
    try:
        root = parsed(line.strip(), shown)
    except ScenarioError as error:
        raise ScenarioError([structs.replace(error.problems[0], place=place)]) from error
    if len(root.pairs) != 1 or str(root.pairs[0][0].data).split()[0] not in (*cast, "server"):
        who = ", ".join(cast)
        help_ = f"NAME: what is typed, or NAME VERB: value; names: {who}"
        raise ScenarioError([Problem(place, f"nobody of the cast does {line.strip()!r}", help_)])
    key, value = root.pairs[0]
    return Act(str(key.data), value.plain(), number)


def frame_of(text: str, place: Place) -> Any:
    """What a socket sends: a frame in JSON or YAML, or a line of text."""
    if not text.startswith("{"):
        return text
    try:
        return parsed(text, place.file).plain()
    except ScenarioError as error:
        raise ScenarioError([structs.replace(error.problems[0], place=place)]) from error


# Playing.


def play(acts: Sequence[Act], setting: Setting, shown: str) -> Take:
    """Play a script once; raises `ScenarioError` if the programs do not allow it."""
    outcome = play_any(acts, setting)
    if outcome.status != "passed":
        at = outcome.place.line if outcome.place else 0
        act = next((a for number, a in enumerate(acts) if _draft_line(number) == at), None)
        place = Place(shown, act.line if act else 1)
        raise ScenarioError([Problem(place, outcome.what, "\n    ".join(outcome.details))])
    return take_of(outcome, acts)


def play_any(acts: Sequence[Act], setting: Setting) -> Outcome:
    """The outcome of playing a script, with all that was said."""
    with tempfile.TemporaryDirectory(prefix="harness-record-") as folder:
        path = Path(folder) / "recording.yaml"
        path.write_text(draft(acts, setting), encoding="utf-8")
        scenario = load_scenario(path, profile=setting.profile)
        return run_isolated(Job(scenario, {}), structs.replace(setting.options, keep=True))


DRAFT_HEAD = 3  # lines before the first step


def _draft_line(number: int) -> int:
    return DRAFT_HEAD + 3 * number + 2


def draft(acts: Sequence[Act], setting: Setting) -> str:
    """The scenario of a take: each act, and a proof that nothing more is coming."""
    lines = ["scenario: a recording", f"cast: {flow(setting.cast)}", "steps:"]
    for number, act in enumerate(acts):
        lines += [f"- mark: act {number}", f"- {_key(act.clause)}: {flow(act.value)}",
                  "- fence: everyone"]  # fmt: skip
    lines.append(f"- mark: act {len(acts)}")  # what comes now is the end of the run
    return "\n".join(lines) + "\n"


def take_of(outcome: Outcome, acts: Sequence[Act]) -> Take:
    """What followed each act."""
    exchanges = [Exchange() for _ in acts]
    for number, event in _numbered(outcome.events):
        if number == len(acts):
            break
        if event.kind == "sees" and event.actor != "server" and event.text.strip():
            frame = event.data if isinstance(event.data, Mapping) else None
            said = Said(event.text.rstrip(), frame)
            exchanges[number].told.setdefault(event.actor, []).append(said)
        elif event.kind == "note" and not CHAPTER.fullmatch(event.text):
            exchanges[number].ended.setdefault(event.actor, event.text)
    names = {who: str(found.get("name", who)) for who, found in outcome.captured.items()}
    return Take(exchanges, {who: name for who, name in names.items() if name != who})


def _numbered(events: Sequence[Event]) -> Iterator[tuple[int, Event]]:
    """Events with the number of the act that they follow; none before the first."""
    number = -1
    for event in events:
        if event.kind == "note" and (chapter := CHAPTER.fullmatch(event.text)):
            number = int(chapter[1])
        if number >= 0:
            yield number, event


# What is the same in all takes.


class Volatile(Struct, frozen=True):
    """A piece that is not the same in every take, or will not be tomorrow."""

    values: tuple[str, ...]  # in each take
    before: str = ""  # the word before it, or the key of its field


Template = list[str | Volatile]


class Comparison:
    """What all takes have in common."""

    def __init__(self, acts: Sequence[Act], takes: Sequence[Take]) -> None:
        self._takes = takes
        self._typed = " ".join(json.dumps(act.value, ensure_ascii=False) for act in acts)
        self._now = time.time()

    def items(self, number: int, who: str) -> tuple[list[Any], bool] | None:
        """What an actor is told after an act, and whether in this order; none if it is not sure."""
        told = [take.exchanges[number].told.get(who, []) for take in self._takes]
        if len({len(items) for items in told}) > 1:
            return None
        columns = [self._merged([*column]) for column in zip(*told, strict=True)]
        if all(_is_telling(column) for column in columns):
            return columns, True
        ordered = [sorted(items, key=lambda item: self._shape(item.text)) for items in told]
        columns = [self._merged([*column]) for column in zip(*ordered, strict=True)]
        return columns, False

    def _shape(self, text: str) -> str:
        return re.sub(r"\d+", "0", text)

    def _merged(self, said: list[Said]) -> Any:
        frames = [self._named(one.frame, at) for at, one in enumerate(said)]
        if all(isinstance(frame, Mapping) for frame in frames):
            return self._field(frames, "")
        return self.template([str(self._named(one.text, at)) for at, one in enumerate(said)])

    def _named(self, value: Any, take: int) -> Any:
        """A value with the names that the server gave as `${actor.name}`; others are escaped."""
        if isinstance(value, Mapping):
            return {key: self._named(inner, take) for key, inner in value.items()}
        if isinstance(value, list):
            return [self._named(inner, take) for inner in value]
        return with_names(value, self._takes[take].names) if isinstance(value, str) else value

    def _field(self, values: list[Any], key: str) -> Any:
        first = values[0]
        if all(isinstance(value, Mapping) for value in values):
            keys = [key for key in first if all(key in value for value in values)]
            return {key: self._field([value[key] for value in values], key) for key in keys}
        if all(isinstance(value, list) and len(value) == len(first) for value in values):
            return [self._field([*column], key) for column in zip(*values, strict=True)]
        if all(isinstance(value, str) for value in values):
            return self.template(values, key)
        same = all(value == first and type(value) is type(first) for value in values)
        if same and not self._is_time(json.dumps(first)):
            return first
        return [Volatile(tuple(json.dumps(value) for value in values), key)]

    def template(self, texts: Sequence[str], key: str = "") -> Template:
        """A text of all takes: what is the same, and what is volatile."""
        rows = [PIECE.findall(text) for text in texts]
        if len({len(row) for row in rows}) > 1:
            return self._uneven(rows)
        found: Template = []
        before = key
        for column in zip(*rows, strict=True):
            same = len(set(column)) == 1 and not self._is_time(column[0])
            found.append(column[0] if same else Volatile(tuple(column), before))
            before = column[0] if same and column[0].isidentifier() else before
        return found

    @staticmethod
    def _uneven(rows: list[list[str]]) -> Template:
        """Only the beginning and the end are the same."""
        shortest = min(map(len, rows))
        head = _alike(rows)
        tail = min(_alike([row[head:][::-1] for row in rows]), shortest - head)
        values = tuple("".join(row[head : len(row) - tail]) for row in rows)
        return [*rows[0][:head], Volatile(values), *rows[0][len(rows[0]) - tail :]]

    def _is_time(self, piece: str) -> bool:
        """Whether it is a time, a date or an identity that nobody of the cast has said."""
        if piece in self._typed:
            return False
        if EPOCH.fullmatch(piece):
            number = float(piece) / (1000 if len(piece) == 13 else 1)
            return abs(number - self._now) < NEAR_NOW
        return CLOCK.fullmatch(piece) is not None


def _alike(rows: Sequence[Sequence[str]]) -> int:
    """With how many equal pieces all rows begin."""
    columns = zip(*rows, strict=False)
    return len(list(itertools.takewhile(lambda column: len(set(column)) == 1, columns)))


def with_names(text: str, names: Mapping[str, str]) -> str:
    """A text as a pattern, with the names that the server gave as `${actor.name}`."""
    text = text.replace("${", "$${")
    if not names:
        return text
    whose = {name: who for who, name in names.items()}
    any_name = "|".join(map(re.escape, sorted(whose, key=len, reverse=True)))
    return re.sub(rf"(?<![\w-])(?:{any_name})(?![\w-])", lambda m: f"${{{whose[m[0]]}.name}}", text)


def _is_telling(value: Any) -> bool:
    """Whether there is anything left that is the same in all takes."""
    if isinstance(value, Mapping):
        return any(map(_is_telling, value.values()))
    if isinstance(value, list):
        return any(isinstance(piece, str) and piece.strip() for piece in value) or not value
    return True


# Writing.


class Captures:
    """Volatile pieces that are said again later: captured where they are said first."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, ...], set[int]] = {}
        self._names: dict[tuple[str, ...], tuple[str, str, int]] = {}  # -> actor, name, exchange

    def count(self, value: Any, number: int) -> None:
        """Note which pieces stand in an exchange."""
        for piece in _volatile(value):
            self._seen.setdefault(piece.values, set()).add(number)

    def written(self, value: Any, who: str, number: int) -> Any:
        """A value of an expectation as it stands in the file."""
        if isinstance(value, Mapping):
            return {key: self.written(inner, who, number) for key, inner in value.items()}
        if isinstance(value, list) and any(not isinstance(p, str | Volatile) for p in value):
            return [self.written(inner, who, number) for inner in value]
        if not isinstance(value, list):
            return value
        text = "".join(
            piece if isinstance(piece, str) else self._piece(piece, who, number) for piece in value
        )
        return re.sub(r"(\.\.\.)(?:[\s:.,-]*\.\.\.)+", r"\1", text)

    def _piece(self, piece: Volatile, who: str, number: int) -> str:
        known = self._names.get(piece.values)
        if known and number > known[2]:
            return f"${{{known[0]}.{known[1]}}}"
        again = any(later > number for later in self._seen.get(piece.values, ()))
        if known or not again or not all(re.fullmatch(r"\S+", value) for value in piece.values):
            return "..."
        kind = "int" if all(re.fullmatch(KINDS["int"], v) for v in piece.values) else "word"
        name = self._free_name(piece.before.lower())
        self._names[piece.values] = (who, name, number)
        return f"${{{name}={kind}}}"

    def _free_name(self, word: str) -> str:
        taken = {name for _, name, _ in self._names.values()} | {"name"}
        first = word if word.isidentifier() and word.isascii() else "value"
        names = itertools.chain([first], (f"{first}{n}" for n in itertools.count(2)))
        return next(name for name in names if name not in taken)


def _volatile(value: Any) -> Iterator[Volatile]:
    if isinstance(value, Volatile):
        yield value
    elif isinstance(value, Mapping | list):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _volatile(inner)


class Writer:
    """Writes the scenario of several takes."""

    def __init__(
        self, acts: Sequence[Act], takes: Sequence[Take], setting: Setting, profile: Profile
    ) -> None:
        self._acts, self._takes, self._setting, self._profile = acts, takes, setting, profile
        self._compared = Comparison(acts, takes)
        self._captures = Captures()
        self._gone: set[str] = set()
        self.doubts: list[str] = []  # what is not the same in every take, for people

    def text(self, title: str, use: str) -> str:
        """The file, in the layout of `harness fmt`."""
        rows = [self._heard(number) for number in range(len(self._acts))]
        for number, row in enumerate(rows):
            for value, _ in row.values():
                self._captures.count(value, number)
        head = [f"scenario: {flow(title)}", f"use: {flow(use)}",
                f"cast: {flow(self._setting.cast)}", "", "steps:"]  # fmt: skip
        steps = ["\n".join(self._step(number, row)) for number, row in enumerate(rows)]
        return laid_out("\n".join(head) + "\n" + "\n\n".join(steps) + "\n")

    def _heard(self, number: int) -> dict[str, tuple[list[Any], bool]]:
        """What each of the cast is told after an act, as far as it is the same in all takes."""
        found = {}
        for who in self._setting.cast:
            items = self._compared.items(number, who)
            if items is None:
                act = self._acts[number]
                self.doubts.append(
                    f"after {act.clause}: {act.value}, {who} is not told the same in every take"
                )
            else:
                found[who] = items
        return found

    def _step(self, number: int, row: Mapping[str, tuple[list[Any], bool]]) -> Iterator[str]:
        act = self._acts[number]
        yield f"  - {_clause(act.clause, self._value(act.value))}"
        ends = dict(self._ends(number))
        here = [who for who in self._setting.cast if who not in self._gone]
        for (verb, text), whom in self._groups(number, row, ends, here):
            names = self._names(whom, here, act, ends)
            plural = len(whom) > 1 and names != "everyone"
            said = {"sees": "see", "sees nothing": "see nothing",
                    "sees in any order": "see in any order"}[verb] if plural else verb  # fmt: skip
            yield f"    {_clause(f'{names} {said}', text)}"
        for who, end in ends.items():
            self._gone.add(who)
            if end:
                yield f"    {who} {end}"

    def _groups(
        self,
        number: int,
        row: Mapping[str, tuple[list[Any], bool]],
        ends: Collection[str],
        here: Sequence[str],
    ) -> list[tuple[tuple[str, Any], list[str]]]:
        """Clauses of an exchange, each with all who are told the same."""
        groups: list[tuple[tuple[str, Any], list[str]]] = []
        for who in here:
            if who not in row or not (clause := self._clause_of(who, number, row[who], ends)):
                continue
            whom = next((whom for other, whom in groups if other == clause), None)
            if whom is None:
                groups.append((clause, [who]))
            else:
                whom.append(who)
        return sorted(groups, key=lambda group: group[0][0] == "sees nothing")

    def _clause_of(
        self, who: str, number: int, heard: tuple[list[Any], bool], ends: Collection[str]
    ) -> tuple[str, Any] | None:
        items, in_order = heard
        if not items:
            can_prove = self._has_proof(who) and who not in ends
            return ("sees nothing", None) if can_prove else None
        written = [self._captures.written(item, who, number) for item in items]
        verb = "sees" if in_order else "sees in any order"
        return verb, written[0] if len(written) == 1 else written

    def _has_proof(self, who: str) -> bool:
        role = self._setting.cast[who]
        grades = ("roundtrip", "relay", "quiet", "window")
        return any(self._profile.fence_of(grade, role) for grade in grades)

    @staticmethod
    def _names(whom: list[str], here: Sequence[str], act: Act, ends: Collection[str]) -> str:
        """How a group is called: by a word if there is one."""
        others = [who for who in here if who != act.who]
        if len(whom) == 1 or ends:
            return ", ".join(whom)
        if whom == list(here):
            return "everyone"
        return "others" if whom == others and act.who in here else ", ".join(whom)

    def _ends(self, number: int) -> Iterator[tuple[str, str]]:
        """Who is gone after an act, and the clause that says so."""
        act = self._acts[number]
        verb = act.clause.partition(" ")[2]
        for who in self._setting.cast:
            hows = {take.exchanges[number].ended.get(who, "") for take in self._takes}
            if who in self._gone or hows == {""}:
                continue
            how = hows.pop() if len(hows) == 1 else ""
            by_us = who == act.who and verb not in ("types", "sends", "presses")
            exited = EXITED.fullmatch(how)
            if not by_us and exited:
                yield who, f"exits: {exited[1]}"
            elif not by_us and how in CLOSED:
                yield who, f"is closed: {CLOSED[how]}"
            else:
                yield who, ""

    def _value(self, value: Any) -> Any:
        """What somebody does, with names that the server gave; a name in it stays one."""
        if isinstance(value, str) and "${" not in value:
            return with_names(value, self._takes[0].names)
        if isinstance(value, Mapping):
            return {key: self._value(inner) for key, inner in value.items()}
        return [self._value(one) for one in value] if isinstance(value, list) else value


def _clause(key: str, value: Any) -> str:
    """A clause, over several lines if it is long."""
    if value is None:
        return f"{key}:"
    line = f"{key}: {flow(value)}"
    if len(line) <= WIDE or not isinstance(value, list):
        return line
    return f"{key}:" + "".join(f"\n      - {flow(item)}" for item in value)


PLAIN_KEY = re.compile(r"[A-Za-z_][\w-]*(?: [\w-]+)*", re.ASCII)


def _key(key: Any) -> str:
    """A key; words that YAML takes for something else are quoted."""
    plain = PLAIN_KEY.fullmatch(str(key)) and str(key).lower() not in MEANS_SOMETHING
    return str(key) if plain else flow(str(key))


def flow(value: Any) -> str:
    """A value in one line of YAML; texts are quoted, the layout takes off what is not needed."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(k)}: {flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(flow, value)) + "]"
    if not isinstance(value, str):
        return json.dumps(value)
    if value.isprintable() and "'" not in value:
        return f"'{value}'"
    return '"' + "".join(map(escaped, value)) + '"'


def use_of(profile: Path, scenario: Path) -> str:
    """How a scenario names its profile: by its name where that is found, else by its path."""
    word = Value(profile.stem, Place(str(scenario)), "scalar")
    try:
        if find_profile(word, scenario).resolve() == profile.resolve():
            return profile.stem
    except ScenarioError:
        pass
    return os.path.relpath(profile.resolve(), scenario.resolve().parent)


class Recorded(Struct, frozen=True):
    """A scenario that was recorded, and what people should know of it."""

    text: str
    doubts: list[str]


def record(
    acts: Sequence[Act], setting: Setting, path: Path, title: str, *, shown: str, takes: int = 3
) -> Recorded:
    """Play a script so many times, and write down what followed each act every time."""
    played = [play(acts, setting, shown) for _ in range(takes)]
    writer = Writer(acts, played, setting, load_profile(setting.profile))
    text = writer.text(title, use_of(setting.profile, path))
    return Recorded(text, writer.doubts)


def check(path: Path, setting: Setting) -> Outcome:
    """Play what was recorded, as it will be played."""
    scenario: Scenario = load_scenario(path, profile=setting.profile)
    return run_isolated(Job(scenario, {}), setting.options)
