"""Profiles: how a server and its clients are started, spoken to and fenced."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from harness.checking import Checker, suggestion
from harness.errors import NotApplicableError, Place, Problem, ScenarioError
from harness.frames import FRAMINGS
from harness.steps import Exchange, Names, StepReader, kinds_of_server
from harness.values import size
from harness.yaml_nodes import Value, read

KEYS = ("profile", "server", "roles", "can", "delivery", "fence", "acts", "phrases", "patience")
SERVER_KEYS = ("run", "ready", "args", "env", "passes", "console", "exclusive", "host", "prompt")
ROLE_KEYS = ("like", "pty", "pipe", "tcp", "args", "env", "size", "prompt", "view", "echo",
             "login", "called", "frames", "stdin", "answers")  # fmt: skip
DELIVERIES = ("acknowledged", "inline")
KIND_OF = {"pty": "shell", "tcp": "wire", "pipe": "pipe"}


class Role(Struct):
    """A way to take part."""

    name: str
    kind: str
    start: str  # command, or host:port
    args: list[Any] = field(default_factory=list)
    env: dict[str, Any] = field(default_factory=dict)
    size: tuple[int, int] = (80, 24)
    prompt: Any = None
    screen: bool = False
    echo: bool = True
    login: list[Exchange] = field(default_factory=list)
    called: str = ""
    frames: str = "json-lines"
    stdin: list[Any] | None = None
    answers: list[tuple[Any, Any]] = field(default_factory=list)  # what is seen, what is sent
    like: tuple[str, ...] = ()  # roles whose acts, phrases and fences it shares


class ServerSpec(Struct):
    """How the server is started, and how it is known to be ready."""

    run: str
    prints: str | None = None
    listens: int | None = None
    args: list[Any] = field(default_factory=list)
    env: dict[str, Any] = field(default_factory=dict)
    passes: list[str] = field(default_factory=list)  # variables it gets from whoever runs us
    host: str = "127.0.0.1"
    console: bool = False
    exclusive: bool = False


class Profile(Struct):
    """Everything a scenario takes for granted about the product."""

    name: str
    path: str
    server: ServerSpec
    roles: dict[str, Role] = field(default_factory=dict)
    can: list[str] = field(default_factory=list)
    delivery: str = "inline"
    fence: dict[str, dict[str, Any]] = field(default_factory=dict)
    acts: dict[str, dict[str, Any]] = field(default_factory=dict)
    phrases: dict[str, dict[str, Any]] = field(default_factory=dict)
    patience: float = 5.0
    captured: set[str] = field(default_factory=set)

    def lineage(self, role: str) -> Iterator[str]:
        """The role, those it is like, and its kind: where to look for its shapes."""
        yield role
        if role in self.roles:
            yield from self.roles[role].like
            yield self.roles[role].kind

    def _shape(self, table: Mapping[str, Any], role: str) -> Any:
        return next((table[name] for name in self.lineage(role) if name in table), None)

    def act(self, name: str, role: str) -> dict[str, Any]:
        """What a role does for an act; raises `NotApplicableError` if it has no way to."""
        shape = self._shape(self.acts.get(name, {}), role)
        if shape is None:
            raise NotApplicableError(f"a {role} has no act {name!r} in profile {self.name}")
        return dict(shape)

    def has_act(self, name: str, role: str) -> bool:
        """Whether a role has a way to do it."""
        return self._shape(self.acts.get(name, {}), role) is not None

    def phrase(self, name: str, role: str) -> Any:
        """How a role is told something; raises `NotApplicableError` if it never is."""
        shape = self._shape(self.phrases[name], role)
        if shape is None:
            raise NotApplicableError(f"a {role} is never told {name!r} in profile {self.name}")
        return shape

    def fence_of(self, grade: str, role: str) -> Any:
        """How a role is fenced by this grade, or none."""
        shape = self._shape(self.fence.get(grade, {}), role)
        return None if shape == "none" else shape


def load_profile(path: Path) -> Profile:
    """Read a profile; raises `ScenarioError` with everything that is wrong with it."""
    root = read(path)
    check = Checker()
    for key, _ in check.mapping(root, "a profile"):
        check.known(key, KEYS, "key of a profile")
    name = root.get("profile")
    profile = Profile(
        name=check.text(name, "profile") if name else path.stem,
        path=str(path),
        server=_server(root, check),
    )
    _roles(root, profile, check)
    _tables(root, profile, check)
    check.finish()
    return profile


def find_profile(name: Value, scenario: Path) -> Path:
    """The file of a profile: in `profiles` beside the scenario, or in a folder above."""
    word = str(name.data)
    looked = []
    for folder in scenario.resolve().parents:
        for path in (folder / "profiles" / f"{word}.yaml", folder / f"{word}.yaml"):
            if path.is_file() and path != scenario.resolve():
                return path
        looked += sorted(p.stem for p in folder.glob("profiles/*.yaml"))
        if (folder / "pyproject.toml").exists() or (folder / ".git").exists():
            break
    raise ScenarioError([Problem(name.place, f"no profile {word!r}", suggestion(word, looked))])


def _server(root: Value, check: Checker) -> ServerSpec:
    value = root.get("server")
    spec = ServerSpec(run="")
    if value is None:
        check.wrong(
            root.place, "a profile needs a server", "server: {run: command, ready: {prints: ...}}"
        )
        return spec
    for key, inner in check.mapping(value, "server"):
        if check.known(key, SERVER_KEYS, "key of server"):
            _server_key(spec, str(key.data), inner, check)
    if not spec.run:
        check.wrong(value.place, "server needs run: the command that starts it")
    return spec


def _server_key(spec: ServerSpec, key: str, value: Value, check: Checker) -> None:
    if key == "ready":
        _ready(spec, value, check)
    elif key == "console":
        spec.console = bool(value.data)
    elif key in ("run", "host"):
        setattr(spec, key, check.text(value, key))
    else:
        setattr(spec, key, value.plain())


def _ready(spec: ServerSpec, value: Value, check: Checker) -> None:
    for key, inner in check.mapping(value, "ready"):
        if not check.known(key, ("prints", "listens"), "key of ready"):
            continue
        if key.data == "prints":
            spec.prints = check.text(inner, "prints")
            check.captures(inner)
        elif isinstance(inner.data, int):
            spec.listens = inner.data
        else:
            check.wrong(inner.place, "listens has to be a port")


def _roles(root: Value, profile: Profile, check: Checker) -> None:
    value = root.get("roles")
    if value is None:
        check.wrong(root.place, "a profile needs roles", "roles: {shell: {pty: command}}")
        return
    names = Names(actors=kinds_of_server())
    for key, inner in check.mapping(value, "roles"):
        merged = _inherited(inner, value, check, ())
        role = _role(str(key.data), merged, profile, check, names)
        if role is not None:
            profile.roles[role.name] = role
    profile.captured |= names.captured


def _inherited(
    value: Value, roles: Value, check: Checker, seen: tuple[str, ...]
) -> dict[str, tuple[Value, Value]]:
    """The keys of a role over those of the role it is like."""
    own = {str(key.data): (key, inner) for key, inner in check.mapping(value, "a role")}
    like = own.get("like")
    if like is None:
        return own
    name = str(like[1].data)
    base = roles.get(name)
    if base is None or name in seen:
        check.wrong(
            like[1].place,
            f"unknown role {name!r}",
            suggestion(name, [str(k.data) for k, _ in roles.pairs]),
        )
        return own
    return {**_inherited(base, roles, check, (*seen, name)), **own}


def _role(
    name: str, keys: dict[str, tuple[Value, Value]], profile: Profile, check: Checker, names: Names
) -> Role | None:
    for key, _ in keys.values():
        check.known(key, ROLE_KEYS, "key of a role")
    ways = [way for way in KIND_OF if way in keys]
    if len(ways) != 1:
        place = next((key.place for key, _ in keys.values()), Place(profile.path))
        check.wrong(place, f"role {name!r} needs one of pty, tcp, pipe")
        return None
    role = Role(name, KIND_OF[ways[0]], check.text(keys[ways[0]][1], ways[0]))
    names.actors = {**kinds_of_server(), "self": frozenset({role.kind})}
    names.groups = ()
    for word, (_, value) in keys.items():
        if word in ROLE_READERS:
            setattr(role, *ROLE_READERS[word](value, check, names))
    return role


def _login(value: Value, check: Checker, names: Names) -> tuple[str, Any]:
    steps = StepReader(check, names).steps(value)
    return "login", [step for step in steps if isinstance(step, Exchange)]


def _size(value: Value, check: Checker, _names: Names) -> tuple[str, Any]:
    check.fits(value, "size", "size")
    return "size", size(value.data) or (80, 24)


def _frames(value: Value, check: Checker, _names: Names) -> tuple[str, Any]:
    check.known(value, FRAMINGS, "framing")
    return "frames", value.data


def _view(value: Value, check: Checker, _names: Names) -> tuple[str, Any]:
    check.known(value, ("lines", "screen"), "view")
    return "screen", value.data == "screen"


def _echo(value: Value, check: Checker, _names: Names) -> tuple[str, Any]:
    check.known(value, ("kept", "erased"), "echo")
    return "echo", value.data == "kept"


def _prompt(value: Value, check: Checker, _names: Names) -> tuple[str, Any]:
    expression = value.get("re")
    if expression is not None:
        check.regex(expression)
    return "prompt", value.plain()


def _answers(value: Value, check: Checker, _names: Names) -> tuple[str, Any]:
    pairs = []
    for row in check.listing(value, "answers"):
        for key, _ in check.mapping(row, "an answer"):
            check.known(key, ("sees", "sends"), "key of an answer")
        sees, sends = row.get("sees"), row.get("sends")
        if sees is None or sends is None:
            check.wrong(row.place, "an answer needs sees and sends")
            continue
        check.captures(sees)
        pairs.append((sees.plain(), sends.plain()))
    return "answers", pairs


def _like(value: Value, _check: Checker, _names: Names) -> tuple[str, Any]:
    return "like", (str(value.data),)


ROLE_READERS: dict[str, Any] = {
    "login": _login, "size": _size, "frames": _frames, "view": _view, "echo": _echo,
    "prompt": _prompt, "like": _like, "answers": _answers,
    **{word: (lambda value, _check, _names, word=word: (word, value.plain()))
       for word in ("args", "env", "called", "stdin")},
}  # fmt: skip


def _tables(root: Value, profile: Profile, check: Checker) -> None:
    for word in ("fence", "acts", "phrases"):
        value = root.get(word)
        for key, inner in check.mapping(value, word) if value is not None else ():
            shapes = {}
            for role, shape in check.mapping(inner, f"{word} {key.data!r}"):
                if check.known(role, (*profile.roles, *KIND_OF.values()), "role"):
                    shapes[str(role.data)] = shape.plain()
            getattr(profile, word)[str(key.data)] = shapes
    if (delivery := root.get("delivery")) is not None:
        check.known(delivery, DELIVERIES, "delivery")
        profile.delivery = str(delivery.data)
    if (can := root.get("can")) is not None:
        profile.can = check.texts(can, "can")
    if (patience := root.get("patience")) is not None:
        profile.patience = check.duration(patience, "patience") or profile.patience
