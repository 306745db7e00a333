"""Profiles: how a server and its clients are started, spoken to and fenced."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from harness.checking import Checker, locate, suggestion
from harness.codes import number
from harness.errors import NotApplicableError, Place, Problem, ScenarioError
from harness.frames import FRAMINGS
from harness.laws import LawLine, read_laws
from harness.proofs import Proofs, read_proofs
from harness.scope import names_captured, names_used
from harness.steps import Exchange, Names, StepReader, kinds_of_server
from harness.values import KEYS as KEYS_OF_BOARD
from harness.values import SIGNALS, as_list, size
from harness.yaml_nodes import Value, read

KEYS = ("profile", "like", "server", "roles", "can", "delivery", "fence", "acts", "phrases",
        "patience", "messages", "laws", "secrets")  # fmt: skip
SERVER_KEYS = ("run", "ready", "args", "env", "passes", "console", "exclusive", "host",
               "stop", "patience")  # fmt: skip
ROLE_KEYS = ("like", "pty", "pipe", "tcp", "args", "env", "size", "prompt", "view", "echo",
             "login", "called", "frames", "paced", "stdin", "answers", "impatient")  # fmt: skip
FILLED_IN = {  # keys of a role with names in them -> names that have a value there only
    "pty": (), "pipe": (), "tcp": (), "args": (), "env": (), "stdin": (), "prompt": (),
    "called": ("n",),
}  # fmt: skip
OF_SERVER = ("server.port", "server.host", "server.home")
LISTENS = ("free", "any")
VIEWS = ("lines", "screen", "canvas")
MOST_BASES = 8  # profiles that are like one another
MERGED = 3  # levels of mappings: acts, name, role
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
    view: str = "lines"
    echo: bool = True
    login: list[Exchange] = field(default_factory=list)
    called: str = ""
    frames: str = "json-lines"
    paced: bool = False  # a frame is sent once the one before was read
    impatient: bool = False  # types without waiting for the prompt
    stdin: list[Any] | None = None
    answers: list[tuple[Any, Any]] = field(default_factory=list)  # what is seen, what is sent
    like: tuple[str, ...] = ()  # roles whose acts, phrases and fences it shares


class ServerSpec(Struct):
    """How the server is started, and how it is known to be ready."""

    run: str
    prints: str | None = None
    listens: int | str | None = None  # its port, `free` (we choose) or `any` (we look)
    args: list[Any] = field(default_factory=list)
    env: dict[str, Any] = field(default_factory=dict)
    passes: list[str] = field(default_factory=list)  # variables it gets from whoever runs us
    host: str = "127.0.0.1"
    console: bool = False
    exclusive: bool = False
    stop: str = "TERM"  # how it is ended; KILL: with everything it has started
    patience: float = 20.0  # seconds for it to be ready


class Insertion(Struct):
    """A value that names are filled in to, when somebody starts or logs in."""

    who: str  # a role, or `server`
    value: Value
    names: tuple[str, ...] = ()  # that have a value there, besides the usual ones


class Profile(Struct):
    """Everything a scenario takes for granted about the product."""

    name: str
    path: str
    server: ServerSpec
    roles: dict[str, Role] = field(default_factory=dict)
    can: list[str] = field(default_factory=list)
    proofs: Proofs = field(default_factory=Proofs)
    acts: dict[str, dict[str, Any]] = field(default_factory=dict)
    phrases: dict[str, dict[str, Any]] = field(default_factory=dict)
    patience: float = 5.0
    secrets: list[str] = field(default_factory=list)  # names whose values nobody is shown
    messages: dict[str, list[str]] = field(default_factory=dict)  # act -> phrases, for the laws
    laws: list[LawLine] = field(default_factory=list)
    captured: set[str] = field(default_factory=set)
    warnings: list[Problem] = field(default_factory=list)
    insertions: list[Insertion] = field(default_factory=list)
    places: dict[str, Place] = field(default_factory=dict)  # `ready`, `ROLE.prompt` -> where

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

    def shape_of(self, name: str, role: str) -> Any:
        """How a role is told something, or none."""
        return self._shape(self.phrases[name], role)

    def phrase(self, name: str, role: str) -> Any:
        """How a role is told something; raises `NotApplicableError` if it never is."""
        shape = self.shape_of(name, role)
        if shape is None:
            raise NotApplicableError(f"a {role} is never told {name!r} in profile {self.name}")
        return shape

    def fence_of(self, grade: str, role: str) -> Any:
        """How a role is fenced by this grade, or none."""
        shape = self._shape(self.proofs.shapes.get(grade, {}), role)
        return None if shape == "none" else shape

    def fence_place(self, grade: str, role: str) -> Place:
        """Where the profile says how a role is fenced by this grade; else where the file begins."""
        found = self._shape(self.proofs.places.get(grade, {}), role)
        return found if isinstance(found, Place) else Place(self.path)


def load_profile(path: Path) -> Profile:
    """Read a profile; raises `ScenarioError` with everything that is wrong with it."""
    check = Checker()
    root = _over_its_base(read(path), path, check, depth=0)
    name = root.get("profile")
    profile = Profile(
        name=check.text(name, "profile") if name else path.stem,
        path=str(path),
        server=_server(root, check),
    )
    _server_insertions(root.get("server"), profile)
    _roles(root, profile, check)
    _catches_port(profile, check)
    _tables(root, profile, check)
    _laws(root, profile, check)
    check.finish()
    profile.warnings = check.warnings
    return profile


def check_names(
    profile: Profile, roles: Collection[str], given: Collection[str], heads: Collection[str]
) -> list[Problem]:
    """The names without a value where the server and these roles are started, or log in.

    `given` are the names that a scenario sets, `heads` what may stand before a dot there.
    """
    check = Checker()
    for row in profile.insertions:
        if row.who not in ("server", *roles):
            continue
        own = () if row.who == "server" else ("name", *sorted(profile.captured))
        known = dict.fromkeys((*OF_SERVER, *own, *row.names, "here", *sorted(given)))
        for name in names_used(row.value.plain()):
            head, dot, _ = name.partition(".")
            if name not in known and not (dot and head != "server" and head in heads):
                check.wrong(
                    locate(row.value, f"${{{name}}}"), f"${{{name}}} has no value here",
                    suggestion(name, known), code="never-set",
                )  # fmt: skip
    return check.problems


def _catches_port(profile: Profile, check: Checker) -> None:
    """Whether anybody can know the server's port, if a role wants to."""
    spec = profile.server
    caught = "port" in dict(names_captured(spec.prints))
    users = [row.who for row in profile.insertions
             if row.who != "server" and "server.port" in names_used(row.value.plain())]  # fmt: skip
    if users and not caught and spec.listens is None:
        check.warn(
            profile.places.get("ready", Place(profile.path)),
            f"ready catches no port, but ${{server.port}} is used (role {users[0]})",
            "ready: {prints: 'listening on port ${port=int}'}, or {listens: any}",
        )


def _over_its_base(root: Value, path: Path, check: Checker, depth: int) -> Value:
    """A profile put over the one that it is `like`: its own keys win."""
    check.mapping(root, "a profile")
    root = check.keys(root, KEYS, "key of a profile")
    like = root.get("like")
    if like is None or not check.text(like, "like"):
        return root
    if depth > MOST_BASES:
        raise ScenarioError([Problem(like.place, f"{path.stem} is like itself")])
    base_path = find_profile(like, path)
    base = _over_its_base(read(base_path), base_path, check, depth + 1)
    return _merged(_with_here(base, base_path.resolve().parent), root, depth=1)


def _merged(base: Value, own: Value, depth: int) -> Value:
    """The keys of both; where both have mappings, those are put together down to a role's keys."""
    if base.kind != "mapping" or own.kind != "mapping" or depth > MERGED:
        return own
    pairs = {key.data: (key, value) for key, value in base.pairs}
    for key, value in own.pairs:
        whole = key.data == "ready" or key.data not in pairs
        kept = value if whole else _merged(pairs[key.data][1], value, depth + 1)
        pairs[key.data] = (key, kept)
    return Value(list(pairs.values()), own.place, "mapping")


def _with_here(value: Value, folder: Path) -> Value:
    """`${here}` of a profile that another is like stays the folder of that profile."""
    if value.kind == "mapping":
        pairs = [(key, _with_here(inner, folder)) for key, inner in value.pairs]
        return Value(pairs, value.place, "mapping")
    if value.kind == "list":
        return Value([_with_here(item, folder) for item in value.data], value.place, "list")
    if isinstance(value.data, str):
        return Value(value.data.replace("${here}", str(folder)), value.place, "scalar")
    return value


def find_profile(name: Value, scenario: Path) -> Path:
    """The file of a profile: in `profiles` beside the scenario, or in a folder above.

    A name that ends with .yaml is a path, from the folder of the file that names it.
    """
    word = str(name.data)
    if word.endswith(".yaml") and (scenario.resolve().parent / word).is_file():
        return scenario.resolve().parent / word
    looked = []
    for folder in scenario.resolve().parents:
        for path in (folder / "profiles" / f"{word}.yaml", folder / f"{word}.yaml"):
            if path.is_file() and path != scenario.resolve():
                return path
        looked += _profiles_in(folder)
        if (folder / "pyproject.toml").exists() or (folder / ".git").exists():
            break
    problem = Problem(
        name.place, f"no profile {word!r}", suggestion(word, looked), number("unknown-profile")
    )
    raise ScenarioError([problem])


def _profiles_in(folder: Path) -> list[str]:
    """The names that `use` finds here."""
    beside = [path for path in sorted(folder.glob("*.yaml")) if _says_profile(path)]
    return [path.stem for path in (*sorted(folder.glob("profiles/*.yaml")), *beside)]


def _says_profile(path: Path) -> bool:
    try:
        return re.search(r"^profile:", path.read_text("utf-8"), re.MULTILINE) is not None
    except (OSError, UnicodeDecodeError):
        return False


def _server(root: Value, check: Checker) -> ServerSpec:
    value = root.get("server")
    spec = ServerSpec(run="")
    if value is None:
        check.wrong(
            root.place, "a profile needs a server", "server: {run: command, ready: {prints: ...}}",
            code="bad-server",
        )  # fmt: skip
        return spec
    check.mapping(value, "server")
    value = check.keys(value, SERVER_KEYS, "key of server")
    for key, inner in value.pairs:
        _server_key(spec, str(key.data), inner, check)
    if value.kind == "mapping" and value.get("run") is None:
        check.wrong(
            value.place, "server needs run: the command that starts it", "run: my-server --port 0",
            code="bad-server",
        )  # fmt: skip
    return spec


def _server_insertions(value: Value | None, profile: Profile) -> None:
    for key, inner in value.pairs if value is not None else ():
        if key.data in ("run", "args", "env"):
            profile.insertions.append(Insertion("server", inner))
        elif key.data == "ready":
            printed = inner.get("prints")
            profile.places["ready"] = (printed or inner).place


def _server_key(spec: ServerSpec, key: str, value: Value, check: Checker) -> None:
    if key == "ready":
        _ready(spec, value, check)
    elif key == "stop":
        check.known(value, SIGNALS, "signal", "unknown-signal")
        spec.stop = str(value.data)
    elif key == "patience":
        spec.patience = check.duration(value, "patience") or spec.patience
    elif key == "run":
        spec.run = _command(value, key, check)
    else:
        SHAPES[key](check, value, key)
        setattr(spec, key, check.text(value, key) if key == "host" else value.plain())


def _command(value: Value, what: str, check: Checker) -> str:
    """A command whose words can be told apart, as a shell would."""
    text = check.text(value, what)
    try:
        shlex.split(text)
    except ValueError as error:
        check.wrong(
            value.place, f"{what} is no command: {str(error).lower()}",
            "close the quotation mark; one that stands for itself is written \\'",
            code="open-quote",
        )  # fmt: skip
    return text


def _ready(spec: ServerSpec, value: Value, check: Checker) -> None:
    check.mapping(value, "ready")
    for key, inner in check.keys(value, ("prints", "listens"), "key of ready").pairs:
        if key.data == "prints":
            spec.prints = check.text(inner, "prints")
            check.captures(inner)
        elif inner.data in LISTENS or (isinstance(inner.data, int) and 0 < inner.data < 65_536):
            spec.listens = inner.data
        else:
            check.wrong(
                inner.place,
                f"listens cannot be {inner.plain()!r}",
                "allowed: its port, such as 2011; free (the harness chooses one, the command takes"
                " it as ${server.port}); any (the harness looks which)",
            )


def _roles(root: Value, profile: Profile, check: Checker) -> None:
    value = root.get("roles")
    if value is None:
        check.wrong(
            root.place, "a profile needs roles", "roles: {shell: {pty: command}}",
            code="missing-key",
        )  # fmt: skip
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
            code="unknown-role",
        )
        return own
    return {**_inherited(base, roles, check, (*seen, name)), **own}


def _role(
    name: str, keys: dict[str, tuple[Value, Value]], profile: Profile, check: Checker, names: Names
) -> Role | None:
    sound = [check.known(key, ROLE_KEYS, "key of a role") for key, _ in keys.values()]
    ways = [way for way in KIND_OF if way in keys]
    if not ways and ("like" in keys or not all(sound)):
        return None  # what it lacks follows from a slip that is told already
    if len(ways) != 1:
        place = next((key.place for key, _ in keys.values()), Place(profile.path))
        check.wrong(
            place, f"role {name!r} needs one of pty, tcp, pipe", "pty: the command of a client",
            code="no-way-to-play",
        )  # fmt: skip
        return None
    start = keys[ways[0]][1]
    said = check.text(start, "tcp") if "tcp" in ways else _command(start, ways[0], check)
    role = Role(name, KIND_OF[ways[0]], said)
    before = len(names.values)
    names.actors = {**kinds_of_server(), "self": frozenset({role.kind})}
    names.groups = ()
    for word, (_, value) in keys.items():
        if word in ROLE_READERS:
            setattr(role, *ROLE_READERS[word](value, check, names))
        if word in FILLED_IN:
            profile.insertions.append(Insertion(name, value, FILLED_IN[word]))
    if "prompt" in keys:
        profile.places[f"{name}.prompt"] = keys["prompt"][1].place
    login = (Insertion(name, value, ("token",)) for value in names.values[before:])
    profile.insertions += login
    if any(("is asked" in sees) != (role.kind == "shell") for sees, _ in role.answers):
        fit = "is asked and presses" if role.kind == "shell" else "sees and sends"
        check.wrong(keys["answers"][0].place, f"an answer of a {role.kind} has {fit}")
    if role.view == "canvas" and role.prompt is None:
        check.wrong(
            keys["view"][0].place,
            f"role {name!r} with view: canvas needs a prompt",
            "prompt: what stands before its input field, where the cursor waits when all is drawn",
        )
    return role


def _login(value: Value, check: Checker, names: Names) -> tuple[str, Any]:
    steps = StepReader(check, names).steps(value)
    return "login", [step for step in steps if isinstance(step, Exchange)]


def _size(value: Value, check: Checker, _names: Names) -> tuple[str, Any]:
    check.fits(value, "size", "size")
    return "size", size(value.data) or (80, 24)


def _frames(value: Value, check: Checker, _names: Names) -> tuple[str, Any]:
    check.known(value, FRAMINGS, "framing", "wrong-value")
    return "frames", value.data


def _view(value: Value, check: Checker, _names: Names) -> tuple[str, Any]:
    check.known(value, VIEWS, "view", "wrong-value")
    return "view", str(value.data)


def _echo(value: Value, check: Checker, _names: Names) -> tuple[str, Any]:
    check.known(value, ("kept", "erased"), "echo", "wrong-value")
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
            check.known(key, ("sees", "sends", "is asked", "presses"), "key of an answer")
        sees, sends = row.get("sees"), row.get("sends")
        asked, keys = row.get("is asked"), row.get("presses")
        if asked is not None and keys is not None:
            check.fits(keys, "keys", "presses")
            for key in keys.values:
                check.known(Value(str(key.data), key.place, "scalar"), KEYS_OF_BOARD, "key")
            pairs.append(({"is asked": check.text(asked, "is asked")}, as_list(keys.plain())))
            continue
        if sees is None or sends is None:
            check.wrong(
                row.place, "an answer needs sees and sends (a shell's: is asked and presses)",
                "{sees: frame, sends: frame}, {is asked: --More--, presses: space}",
                code="missing-key",
            )  # fmt: skip
            continue
        check.captures(sees)
        pairs.append((sees.plain(), sends.plain()))
    return "answers", pairs


def _like(value: Value, _check: Checker, _names: Names) -> tuple[str, Any]:
    return "like", (str(value.data),)


def _checked(word: str, value: Value, check: Checker, _names: Names) -> tuple[str, Any]:
    SHAPES[word](check, value, word)
    return word, value.plain()


SHAPES = {
    "args": Checker.listing, "stdin": Checker.listing, "passes": Checker.listing,
    "env": Checker.mapping, "called": Checker.text, "paced": Checker.flag,
    "impatient": Checker.flag, "console": Checker.flag, "exclusive": Checker.flag,
    "host": Checker.text,
}  # fmt: skip
ROLE_READERS: dict[str, Any] = {
    "login": _login, "size": _size, "frames": _frames, "view": _view, "echo": _echo,
    "prompt": _prompt, "like": _like, "answers": _answers,
    **{word: partial(_checked, word) for word in ("args", "env", "called", "stdin", "paced",
                                                  "impatient")},
}  # fmt: skip


def _tables(root: Value, profile: Profile, check: Checker) -> None:
    kinds = {name: role.kind for name, role in profile.roles.items()}
    roles = root.get("roles")
    named = [str(key.data) for key, _ in roles.pairs] if roles is not None else []
    declared = dict.fromkeys((*named, *KIND_OF.values()))
    if set(named) == set(kinds):  # else what is told of a role that is wrong itself is no news
        profile.proofs = read_proofs(root, kinds, check)
    for word in ("acts", "phrases"):
        value = root.get(word)
        for key, inner in check.mapping(value, word) if value is not None else ():
            shapes = {}
            for role, shape in check.mapping(inner, f"{word} {key.data!r}"):
                if check.known(role, declared, "role", "unknown-role"):
                    shapes[str(role.data)] = shape.plain()
            getattr(profile, word)[str(key.data)] = shapes
    for word in ("can", "secrets"):
        if (value := root.get(word)) is not None:
            setattr(profile, word, check.texts(value, word))
    if (patience := root.get("patience")) is not None:
        profile.patience = check.duration(patience, "patience") or profile.patience


def _laws(root: Value, profile: Profile, check: Checker) -> None:
    if (messages := root.get("messages")) is not None:
        for act, phrases in _message_rows(messages, check):
            if check.known(act, profile.acts, "act", "unknown-act"):
                told = profile.messages.setdefault(str(act.data), [])
                for phrase in phrases.values:
                    check.known(phrase, profile.phrases, "phrase", "unknown-phrase")
                    told.append(str(phrase.data))
    if (lines := root.get("laws")) is not None:
        profile.laws = [line for line, _ in read_laws(lines, check)]


def _message_rows(messages: Value, check: Checker) -> list[tuple[Value, Value]]:
    """Acts with their phrases: a list means the phrases of the same names."""
    if messages.kind == "mapping":
        return messages.pairs
    return [(item, item) for item in check.listing(messages, "messages")]
