"""A person's settings: a TOML file, its types and its defaults.

For example:

times = "each"
mute = ["team"]

[servers.work]          # `chatsh work`
host = "chat.example.org"
port = 8000
name = "ana"
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import msgspec
import platformdirs
from msgspec import Meta, inspect

from chatd.wire.text import harmless
from chatsh.private import locked, make_folder, replace_file

DEFAULT = "default"  # in place of a value: take the setting out of the file
_SHOWN = 60  # characters of a wrong value that are repeated
_NUMBER = re.compile(r"[0-9]{1,9}")
_BOOLS = {"on": True, "yes": True, "true": True, "off": False, "no": False, "false": False}
_WORDS = re.compile(r'"([^"]*)"|([^\s,"]+)')


class SettingsError(Exception):
    """The settings cannot be used; the text is one sentence that says where and why."""


class Server(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where to go and as whom, under a word of one's own."""

    host: Annotated[
        str, Meta(description="its address, or several with commas; empty: this machine")
    ] = ""
    port: Annotated[int, Meta(ge=1, le=65_535, description="its port")] = 8000
    name: Annotated[str, Meta(description="your name there; empty: one is assigned")] = ""
    tls: Annotated[
        Literal["auto", "on", "off"],
        Meta(description="whether in TLS; auto: if it is not this machine"),
    ] = "auto"


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that can be set, with what holds where nothing is."""

    times: Annotated[
        Literal["gaps", "each", "off"],
        Meta(description="when it was said: on each, after gaps, never"),
    ] = "gaps"
    fold: Annotated[
        int, Meta(ge=0, le=100_000, description="rows shown of a long text; 0: all")
    ] = 12
    theme: Annotated[
        Literal["plain", "mono", "vivid"],
        Meta(description="colours: none, the terminal's own, many"),
    ] = "plain"
    notify: Annotated[
        Literal["off", "bell", "osc9", "osc777", "desktop"],
        Meta(description="how you are called while you look away"),
    ] = "bell"
    dnd: Annotated[bool, Meta(description="do not disturb: no call at all")] = False
    idle: Annotated[
        int,
        Meta(ge=0, le=86_400, description="seconds without a key until you look away"),
    ] = 120
    mute: Annotated[tuple[str, ...], Meta(description="people and groups that never call you")] = ()
    mentions: Annotated[
        tuple[str, ...], Meta(description="words that call you as your name does")
    ] = ()
    history: Annotated[
        int, Meta(ge=0, le=100_000, description="typed lines that are kept; 0: none")
    ] = 1000
    log: Annotated[
        Literal["off", "text", "json"],
        Meta(description="keep what is said, a file per conversation"),
    ] = "off"
    servers: Annotated[
        dict[str, Server], Meta(description="in the file alone: where `chatsh WORD` goes")
    ] = {}


DEFAULTS = Settings()
NAMES = tuple(name for name in Settings.__struct_fields__ if name != "servers")  # for `/set`


def settings_file() -> Path:
    """Where they are."""
    return platformdirs.user_config_path("chatsh") / "chatsh.toml"


# --- what there is ------------------------------------------------------------------------------


class Field(NamedTuple):
    """One setting, or one key of a server, in words."""

    does: str
    typed: str  # what it takes from `/set`
    written: str  # and from the file
    choices: tuple[str, ...] = ()  # all words that it takes, where they are few


@cache
def fields(kind: type[msgspec.Struct]) -> dict[str, Field]:
    """Every key of it, in the order of the type."""
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    return {one.name: _field(one.type) for one in info.fields}


def _field(kind: inspect.Type) -> Field:
    assert isinstance(kind, inspect.Metadata)
    assert kind.extra_json_schema
    return Field(kind.extra_json_schema["description"], *_possible(kind.type))


def _possible(kind: inspect.Type) -> tuple[str, str, tuple[str, ...]]:
    """What a value of this type may be, typed and written, and the words to choose from."""
    if isinstance(kind, inspect.LiteralType):
        words = tuple(map(str, kind.values))
        return _one_of(words), _one_of([f'"{word}"' for word in words]), words
    if isinstance(kind, inspect.IntType):
        number = f"a number from {kind.ge} to {kind.le}"
        return number, number, ()
    if isinstance(kind, inspect.BoolType):
        return "on or off", "true or false", ("on", "off")
    if isinstance(kind, inspect.VarTupleType):
        return 'words, such as: ana "my team"', 'a list of words, such as ["ana", "my team"]', ()
    return ("", "a text in quotes" if isinstance(kind, inspect.StrType) else "a table", ())


def _one_of(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


def setting(name: str) -> Field:
    """One that `/set` knows. Raises `SettingsError`."""
    if name == "servers":
        raise SettingsError(f"servers stand in the file alone: {settings_file()}")
    if name not in NAMES:
        raise SettingsError(unknown(name))
    return fields(Settings)[name]


def shown(value: object) -> str:
    """A value as it can be typed."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return " ".join(f'"{one}"' if _WORDS.fullmatch(one) is None else one for one in value)
    return str(value)


def unknown(name: str, kind: type[msgspec.Struct] = Settings) -> str:
    """The complaint about a name that means nothing."""
    names = NAMES if kind is Settings else kind.__struct_fields__
    close = difflib.get_close_matches(name.lower(), names, n=1)
    hint = f"did you mean {close[0]}?" if close else f"there are {_and(names)}"
    return f'there is no setting "{harmless(name)[:_SHOWN]}"; {hint}'


def _and(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}"


# --- reading ------------------------------------------------------------------------------------

_S = TypeVar("_S", bound=msgspec.Struct)


def load(path: Path | None = None) -> Settings:
    """What the file says; the defaults where there is none. Raises `SettingsError`."""
    path = path or settings_file()
    try:
        values = _table(path)
        servers = values.get("servers")
        for word, server in servers.items() if isinstance(servers, dict) else ():
            _checked(Server, server, f"servers.{word}")
        return _checked(Settings, values)
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}") from error


def _table(path: Path) -> dict[str, Any]:
    """What is in the file, unchecked; nothing where there is none."""
    text = _text(path)
    if not text:
        return {}
    import tomllib  # most people have no file, and a script is over in the time this takes

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:  # it says in which line
        raise SettingsError(f"{error}; mend it there, or move the file away") from error


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except UnicodeError as error:
        raise SettingsError("it is not UTF-8; save it as that, or move it away") from error
    except OSError as error:
        if not os.access(path.parent, os.X_OK):  # of somebody else, as after `su`
            return ""
        raise SettingsError(f"{error.strerror}; it has to be a file that you may read") from error


def _checked(kind: type[_S], values: Mapping[str, Any], at: str = "") -> _S:
    """The values, each of its type; `at` is the table they are in."""
    if not isinstance(values, dict):
        raise SettingsError(f"{at} takes a table, not {_repeated(values)}")
    for key, value in values.items():
        if key not in kind.__struct_fields__:
            raise SettingsError(f"{f'in {at}: ' if at else ''}{unknown(key, kind)}")
        try:
            msgspec.convert({key: value}, kind)
        except msgspec.ValidationError as error:
            place, possible = f"{at}.{key}".removeprefix("."), fields(kind)[key].written
            raise SettingsError(f"{place} takes {possible}, not {_repeated(value)}") from error
    return msgspec.convert(values, kind)


def _repeated(value: object) -> str:
    text = harmless(msgspec.json.encode(value).decode())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


# --- changing -----------------------------------------------------------------------------------


def change(settings: Settings, name: str, text: str) -> Settings:
    """The settings with one changed to what was typed. Raises `SettingsError`."""
    possible = setting(name).typed
    if text.lower() == DEFAULT:
        value = getattr(DEFAULTS, name)
    else:
        value = _typed(text, getattr(DEFAULTS, name))
    try:
        return msgspec.convert(msgspec.structs.asdict(settings) | {name: value}, Settings)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{name} takes {possible}, not {_repeated(text)}") from error


def _typed(text: str, like: object) -> object:
    """What was typed, as something of the type of `like` if it can be."""
    if isinstance(like, bool):
        return _BOOLS.get(text.lower(), text)
    if isinstance(like, int):
        return int(text) if _NUMBER.fullmatch(text) else text
    if isinstance(like, tuple):
        found = (quoted or bare for quoted, bare in _WORDS.findall(text))
        return tuple(dict.fromkeys(word for word in found if word))
    return text.lower()


def keep(settings: Settings, name: str, path: Path | None = None) -> None:
    """Write one setting into the file, or take it out where it is the default again.

    The rest stays as it is, with comments and order. Raises `SettingsError`: it could not be kept.
    """
    import tomlkit  # needed here only

    path = (path or settings_file()).resolve()  # a link to the file stays one
    value = msgspec.to_builtins(getattr(settings, name))
    try:
        make_folder(path.parent)
        with locked(path.parent):
            _table(path)  # which tells what is wrong with it
            document = tomlkit.parse(_text(path))
            if value == msgspec.to_builtins(getattr(DEFAULTS, name)):
                document.pop(name, None)
            else:
                document[name] = value
            replace_file(path, tomlkit.dumps(document).encode())
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}") from error
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from error
