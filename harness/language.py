"""The scenario language: a file becomes typed steps, or a list of all that is wrong with it."""

from __future__ import annotations

import contextlib
import itertools
import math
import re
from collections.abc import Collection, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from harness import secrets
from harness.checking import Checker, locate, suggestion
from harness.errors import Place, Problem
from harness.flow import Flow, Known
from harness.laws import LawLine, read_laws
from harness.lint import lint
from harness.profile import Profile, check_names, find_profile, load_profile
from harness.scope import Scope, UnboundError, names_used
from harness.steps import Clause, Exchange, Names, Step, StepReader, kinds_of_server
from harness.values import size
from harness.yaml_nodes import Value, read

KEYS = ("scenario", "covers", "tags", "needs", "use", "cast", "vars", "matrix", "files",
        "server", "steps", "cleanup", "laws", "patience", "points", "fails",
        "flaky", "judges", "secrets")  # fmt: skip
CAST_KEYS = ("role", "args", "env", "size", "stdin", "login", "name")
JUDGED = ("server", "client")
FILM = "film"  # the tag of scenarios made to be watched
MOST_ACTORS = 10_000
MOST_RUNS = 10_000
BUILT_IN = ("token", "here")
RANGE = re.compile(r"([A-Za-z_]\w*?)(\d+)\.\.([A-Za-z_]\w*?)(\d+)")
NAME = re.compile(r"[A-Za-z_][\w-]*")
RESERVED = ("server", "everyone", "others", "self")

__all__ = ["Clause", "Exchange", "Member", "Scenario", "load_scenario"]


class Member(Struct):
    """One of the cast; what is none is as the role says."""

    name: str
    role: str
    place: Place
    args: list[Any] | None = None
    env: dict[str, Any] = field(default_factory=dict)
    size: str | None = None
    stdin: list[Any] | None = None
    login: bool = True
    called: str | None = None


class HomeFile(Struct):
    """A file to write before the start."""

    text: str
    mode: int


class KnownBug(Struct, frozen=True):
    """Why a scenario fails, or sometimes fails, and the last day on which it may."""

    because: str
    until: date
    place: Place


class Scenario(Struct):
    """A scenario as loaded."""

    title: str
    path: str
    place: Place
    profile: Profile
    covers: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    needs: list[str] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)  # names whose values nobody is shown
    cast: list[Member] = field(default_factory=list)
    vars: dict[str, Any] = field(default_factory=dict)
    matrix: dict[str, list[Any]] = field(default_factory=dict)
    files: dict[str, HomeFile] = field(default_factory=dict)
    server_args: list[Any] = field(default_factory=list)
    server_env: dict[str, Any] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    cleanup: list[Step] = field(default_factory=list)
    laws: list[LawLine] = field(default_factory=list)
    patience: float | None = None
    judges: str = ""  # server or client: what `--server` or `--client` has to name
    points: float = 1.0  # what it is worth where programs are graded
    warnings: list[Problem] = field(default_factory=list)  # it can be run, but proves little
    fails: KnownBug | None = None
    flaky: KnownBug | None = None  # sometimes fails, and may until its day

    def lacks(self) -> list[str]:
        """The abilities that it needs and its profile does not have."""
        return [need for need in self.needs if need not in self.profile.can]

    def rows(self) -> Iterator[dict[str, Any]]:
        """The values of each run: every combination of the matrix."""
        for values in itertools.product(*self.matrix.values()):
            yield dict(zip(self.matrix, values, strict=True))


def load_scenario(path: Path, *, profile: Path | None = None) -> Scenario:
    """Read a scenario; raises `ScenarioError` with everything that is wrong with it, in order."""
    root = read(path)
    check = Checker()
    check.mapping(root, "a scenario")
    if root.kind != "mapping":
        check.finish()
    root = check.keys(root, KEYS, "key of a scenario")
    title = root.get("scenario")
    if title is None:
        check.wrong(
            root.place, "a scenario needs a title", "scenario: what the product promises",
            code="missing-key",
        )  # fmt: skip
    loaded = _profile(root, path, profile, check)
    if loaded is None:
        check.finish()
    assert loaded is not None
    scenario = Scenario(
        check.text(title, "scenario") if title else "", str(path), root.place, loaded
    )
    _header(root, scenario, check)
    if (judged := root.get("judges")) is not None:
        check.known(judged, JUDGED, "program to be judged")
        scenario.judges = str(judged.data)
    if profile is not None and scenario.lacks():  # it may name roles that this profile has not
        check.finish()
        return scenario
    sound = _cast(root, scenario, check)
    _steps(root, scenario, check, sound=sound)
    lint([*scenario.steps, *scenario.cleanup], check)
    check.finish()
    scenario.warnings = list(dict.fromkeys(sorted([*loaded.warnings, *check.warnings])))
    return scenario


def _profile(root: Value, path: Path, given: Path | None, check: Checker) -> Profile | None:
    if given is not None:
        return load_profile(given)
    use = root.get("use")
    if use is None:
        check.wrong(
            root.place, "a scenario needs a profile", "use: its name, or --profile FILE",
            code="missing-key",
        )  # fmt: skip
        return None
    if not check.text(use, "use"):
        return None
    return load_profile(find_profile(use, path))


def _header(root: Value, scenario: Scenario, check: Checker) -> None:
    for word in ("covers", "tags", "needs", "secrets"):
        if (value := root.get(word)) is not None:
            setattr(scenario, word, check.texts(value, word))
    if (value := root.get("vars")) is not None:
        check.mapping(value, "vars")
        scenario.vars = value.plain() if value.kind == "mapping" else {}
    if (value := root.get("patience")) is not None:
        scenario.patience = check.duration(value, "patience")
    if (value := root.get("points")) is not None:
        scenario.points = check.number(value, "points")
    for word in ("fails", "flaky"):
        if (value := root.get(word)) is not None:
            setattr(scenario, word, _known_bug(word, value, check))
    for word, reader in (("matrix", _matrix), ("files", _files), ("server", _server)):
        if (value := root.get(word)) is not None:
            reader(value, scenario, check)


def _known_bug(word: str, value: Value, check: Checker) -> KnownBug | None:
    for key, _ in check.mapping(value, word):
        check.known(key, ("because", "until"), f"key of {word}")
    because, until = value.get("because"), value.get("until")
    try:
        day = date.fromisoformat(str(until.data)) if until else None
    except ValueError:
        day = None
    if because is None or day is None:
        place = until.place if until is not None and because is not None else value.place
        check.wrong(
            place,
            f"{word} needs a reason and a last day",
            f'{word}: {{because: "#12", until: 2027-01-31}}',
        )
        return None
    return KnownBug(check.text(because, "because"), day, value.place)


def _matrix(value: Value, scenario: Scenario, check: Checker) -> None:
    for key, inner in check.mapping(value, "matrix"):
        if not check.listing(inner, f"matrix {key.data!r}"):
            if inner.kind == "list":
                check.wrong(
                    inner.place, f"matrix {key.data!r} has no values: nothing would run",
                    "give at least one", code="empty",
                )  # fmt: skip
            continue
        scenario.matrix[str(key.data)] = inner.plain()
        if math.prod(map(len, scenario.matrix.values())) > MOST_RUNS:
            del scenario.matrix[str(key.data)]
            check.wrong(
                key.place, f"more than {MOST_RUNS} runs", "fewer values, or several scenarios",
                code="too-many-steps",
            )  # fmt: skip
            return


def _files(value: Value, scenario: Scenario, check: Checker) -> None:
    for key, inner in check.mapping(value, "files"):
        name = str(key.data)
        if Path(name).is_absolute() or ".." in Path(name).parts:
            check.wrong(
                key.place, f"{name!r} is not inside the scenario's own folder",
                "a name without .. and without / at its beginning", code="outside",
            )  # fmt: skip
            continue
        text, mode = inner.data, 644
        if inner.kind == "mapping":
            for word, _ in inner.pairs:
                check.known(word, ("text", "mode"), "key of a file")
            plain = inner.plain()
            text, mode = plain.get("text", ""), plain.get("mode", 644)
        elif inner.kind == "list":
            check.wrong(inner.place, f"file {name!r} has to be a text", "or {text: ..., mode: 600}")
            continue
        if not re.fullmatch("[0-7]{3,4}", str(mode)):
            check.wrong(
                inner.place, f"mode {mode!r} is not octal", "for example 600 or 644",
                code="bad-mode",
            )  # fmt: skip
            continue
        scenario.files[name] = HomeFile("" if text is None else str(text), int(str(mode), 8))


def _server(value: Value, scenario: Scenario, check: Checker) -> None:
    for key, inner in check.mapping(value, "server"):
        if not check.known(key, ("args", "env"), "key of server"):
            continue
        if key.data == "args":
            scenario.server_args = [item.plain() for item in check.listing(inner, "args")]
        else:
            scenario.server_env = {str(k.data): v.plain() for k, v in check.mapping(inner, "env")}


def _cast(root: Value, scenario: Scenario, check: Checker) -> bool:
    """Read the cast; whether all its names are known now."""
    value = root.get("cast")
    if value is None:
        return True
    sound = value.kind == "mapping"
    for key, inner in check.mapping(value, "cast"):
        names = _names(key, check)
        sound &= bool(names)
        for name in names:
            member = _member(name, key, inner, scenario, check)
            if any(other.name == name for other in scenario.cast):
                check.wrong(
                    key.place, f"{name!r} is in the cast twice", "give one of them another name",
                    code="twice-in-cast",
                )  # fmt: skip
            elif member is not None:
                scenario.cast.append(member)
            else:
                sound = False
    return sound


def _names(key: Value, check: Checker) -> list[str]:
    text = str(key.data)
    if match := RANGE.fullmatch(text):
        first, last = int(match[2]), int(match[4])
        if match[1] != match[3] or not first <= last < first + MOST_ACTORS:
            check.wrong(
                key.place, f"{text!r} is no range", "for example client1..client3",
                code="bad-range",
            )  # fmt: skip
            return []
        return [f"{match[1]}{number}" for number in range(first, last + 1)]
    if not NAME.fullmatch(text) or text in RESERVED:
        why = "is a reserved word" if text in RESERVED else "cannot be an actor's name"
        check.wrong(
            key.place,
            f"{text!r} {why}",
            "a name is one word of letters and digits: ana, client1..client3",
            code="bad-name",
        )
        return []
    return [text]


def _member(
    name: str, key: Value, value: Value, scenario: Scenario, check: Checker
) -> Member | None:
    role = value if value.kind == "scalar" else value.get("role")
    if value.kind == "list" or role is None:
        check.wrong(
            value.place,
            f"{name!r} needs a role",
            suggestion("", list(scenario.profile.roles)),
            code="missing-key",
        )
        return None
    if not check.text(role, "role"):
        return None
    for role_name in _each_row(scenario, role, check):
        named = Value(role_name, role.place, "scalar")
        check.known(named, scenario.profile.roles, "role", "unknown-role")
    member = Member(name, str(role.data), key.place)
    for word, inner in value.pairs:
        if check.known(word, CAST_KEYS, "key of an actor"):
            _member_key(member, str(word.data), inner, check)
    return member


def _member_key(member: Member, word: str, value: Value, check: Checker) -> None:
    if word in ("args", "stdin"):
        setattr(member, word, [item.plain() for item in check.listing(value, word)])
    elif word == "env":
        member.env = {str(k.data): v.plain() for k, v in check.mapping(value, "env")}
    elif word == "size":
        check.fits(value, "size", "size")
        member.size = str(value.data) if size(value.data) else None
    elif word == "login":
        if value.data != "none":
            check.wrong(value.place, f"login cannot be {value.plain()!r} here", "allowed: none")
        member.login = False
    elif word == "name":
        member.called = check.text(value, "name")


def _each_row(scenario: Scenario, role: Value, check: Checker) -> list[str]:
    """The roles an actor has in the rows of the matrix."""
    if "${" not in str(role.data):
        return [str(role.data)]
    found = []
    for row in scenario.rows():
        try:
            found.append(str(Scope({**scenario.vars, **row}).fill(str(role.data))))
        except UnboundError:
            check.names(role, {*scenario.vars, *row}, ())
    return sorted(set(found))


def _kinds(scenario: Scenario) -> Mapping[str, frozenset[str]]:
    kinds = {}
    for member in scenario.cast:
        roles = _roles_of(member, scenario)
        known = scenario.profile.roles
        kinds[member.name] = frozenset(known[role].kind for role in roles if role in known)
    return kinds


def _roles_of(member: Member, scenario: Scenario) -> set[str]:
    """The roles that an actor has, in all rows of the matrix; raises `UnboundError`."""
    rows = scenario.rows() if "${" in member.role else [{}]
    return {str(Scope({**scenario.vars, **row}).fill(member.role)) for row in rows}


def _steps(root: Value, scenario: Scenario, check: Checker, *, sound: bool) -> None:
    value = root.get("steps")
    if value is None:
        check.wrong(
            root.place, "a scenario needs steps", "steps: a list of exchanges", code="missing-key"
        )
        return
    try:
        kinds = _kinds(scenario)
    except UnboundError:
        kinds = {member.name: frozenset() for member in scenario.cast}
    profile = scenario.profile
    names = Names({**kinds, **kinds_of_server()}, profile.phrases, profile.acts)
    names.all_actors, names.film = sound, FILM in scenario.tags
    reader = StepReader(check, names)
    scenario.steps = reader.steps(value)
    if value.kind == "list" and not value.data:
        check.wrong(
            value.place, "there is nothing to do: steps is empty", "a list of exchanges",
            code="empty",
        )  # fmt: skip
    if (cleanup := root.get("cleanup")) is not None:
        scenario.cleanup = reader.steps(cleanup)
    if (laws := root.get("laws")) is not None:
        _laws(laws, scenario, check, names)
    _sense(root, scenario, check, names)


def _sense(root: Value, scenario: Scenario, check: Checker, names: Names) -> None:
    """What can only be said of the whole: names that are set, and the order of things."""
    profile = scenario.profile
    fixed = {*scenario.vars, *scenario.matrix, *BUILT_IN}
    captured = {*names.captured, *profile.captured, "name"}
    known = {*fixed, *captured, *names.unsure, "n"}
    heads = {*names.actors, *scenario.vars, *scenario.matrix}
    plain = [root.get(word) for word in ("vars", "matrix", "files", "server", "cast")]
    complete = names.complete and all(
        value is None or value.kind == "mapping" for value in plain[:2]
    )
    for value in [*names.values, *filter(None, plain)] if complete else ():
        check.names(value, known, heads)
        _fields(value, root, check)
    _endless(plain[0], scenario, check)
    if complete:
        _filled(scenario, check)
        roles: set[str] = set()
        for member in scenario.cast:
            with contextlib.suppress(UnboundError):  # told where the cast is read
                roles |= _roles_of(member, scenario)
        own = {*known, *(f"{name}.name" for name in names.actors)} - {"token", "n", "here"}
        check.add(check_names(profile, roles, own, heads))
    order = Known(fixed, heads - set(names.actors), names.unsure, profile.captured, captured)
    Flow(check, names.actors, order).play(scenario.steps, scenario.cleanup)
    if complete:
        _secrets(root, scenario, check, {*fixed, *captured, *names.unsure})


def _filled(scenario: Scenario, check: Checker) -> None:
    """Whether every clause is given what it can take, in every row of the matrix."""
    rows = [{**scenario.vars, **row} for row in scenario.rows()]
    for step in (*scenario.steps, *scenario.cleanup):
        local = step.local if isinstance(step, Exchange) else {}
        for clause in step.clauses if isinstance(step, Exchange) else ():
            if clause.node is not None:
                scopes = ({**row, **local} for row in rows)
                what = f"what {clause.text!r} is given"
                check.filled(clause.node, clause.verb.value, what, scopes)


def _secrets(root: Value, scenario: Scenario, check: Checker, known: Collection[str]) -> None:
    """Names whose values nobody is shown: those of the file are kept out of everything now."""
    listed = root.get("secrets")
    for item in listed.values if listed is not None else []:
        if item.kind == "scalar" and item.data not in known:
            help_ = suggestion(item.data, sorted(known))
            check.wrong(item.place, f"{item.data!r} is never set", help_, code="never-set")
    for name in (*scenario.secrets, *scenario.profile.secrets):
        secrets.remember([scenario.vars.get(name), scenario.matrix.get(name)])


def _fields(used: Value, root: Value, check: Checker) -> None:
    """Whether `${case.error}` is a field of every row of `case`."""
    for name in names_used(used.plain()):
        head, dot, rest = name.partition(".")
        matrix, given = root.get("matrix"), root.get("vars")
        rows = matrix.get(head) if matrix is not None else None
        value = given.get(head) if given is not None else None
        if not dot or (rows is None and value is None):
            continue
        found = rows.values if rows is not None else [value] if value is not None else []
        lacking = [row for row in found if _field(row, rest) is None]
        if len(lacking) == len(found):
            fields = [f"{head}.{key.data}" for row in found for key, _ in row.pairs] or [head]
            help_ = suggestion(name, list(dict.fromkeys(fields)))
            place = locate(used, f"${{{name}}}")
            check.wrong(place, f"${{{name}}} is never set", help_, code="never-set")
            continue
        for row in lacking:
            check.wrong(
                row.place, f"this row of {head!r} has no {rest}",
                f"${{{name}}} is used: every row needs it", code="unbalanced-matrix",
            )  # fmt: skip


def _field(row: Value, path: str) -> Value | None:
    inner: Value | None = row
    for part in path.split("."):
        inner = inner.get(part) if inner is not None else None
    return inner


def _endless(value: Value | None, scenario: Scenario, check: Checker) -> None:
    """Whether a value of `vars` stands for itself."""
    uses = {name: {n.partition(".")[0] for n in names_used(v)} for name, v in scenario.vars.items()}
    for key, _ in value.pairs if value is not None else ():
        seen: set[str] = set()
        ahead = set(uses.get(str(key.data), ()))
        while ahead - seen:
            seen |= ahead
            ahead = {name for one in ahead for name in uses.get(one, ())}
        if key.data in seen:
            check.wrong(
                key.place, f"${{{key.data}}} stands for itself", "give it a value of its own",
                code="endless-value",
            )  # fmt: skip


def _laws(value: Value, scenario: Scenario, check: Checker, names: Names) -> None:
    for line, inner in read_laws(value, check):
        names.values.append(inner)
        scenario.laws.append(line)
