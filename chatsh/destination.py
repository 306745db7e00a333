"""Where to go and as whom: from the words of the command line, the profiles, the environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from chatd.wire.text import harmless
from chatsh.client import is_text
from chatsh.link import MAX_PORT
from chatsh.settings import Server

DEFAULT_HOST, DEFAULT_PORT = "localhost", 8000
VARIABLE = "CHATSH_SERVER"  # of the environment: a profile, or HOST:PORT


class UsageError(Exception):
    """The arguments, or the answers to our questions, cannot be used."""


class Destination(NamedTuple):
    """Whom to call, under which name, and whether in TLS; None is what was not given."""

    host: str | None = None
    port: int | None = None
    name: str | None = None
    tls: bool | None = None


def place(words: Sequence[str], profiles: Mapping[str, Server] | None = None) -> Destination:
    """The arguments in whatever order they came, or the one profile; raises `UsageError`."""
    if len(words) > 3:
        raise UsageError(f"too many arguments: {harmless(' '.join(words[3:]))}")
    for word in words:
        check_text(word)
    if profiles and len(words) == 1 and words[0] in profiles and not is_port(words[0]):
        return _of_profile(profiles[words[0]])
    where, name = words[:2], next(iter(words[2:]), None)
    ports = [word for word in where if is_port(word)]
    hosts = [word for word in where if not is_port(word)]
    if len(ports) > 1:
        raise UsageError(f"{ports[0]} and {ports[1]} are both ports, and no host is among them")
    if len(hosts) > 1:
        raise UsageError(_no_port(hosts))
    if hosts and hosts[0].lstrip("+-").isdecimal():
        raise UsageError(out_of_range(hosts[0]))
    host, port = next(iter(hosts), None), next(iter(ports), None)
    return Destination(host, int(port) if port else None, name)


def rather(words: Sequence[str], profiles: Mapping[str, Server]) -> str:
    """What may have been meant by a host that nobody knows; empty where there is no telling."""
    if len(words) == 2:
        host, port = sorted(words, key=is_port)
        name = shown(host)
        return f'; if {name} is your name: chatsh "" {port} {name}' if "." not in host else ""
    if len(words) == 1 and profiles:
        return f"; the servers of your settings are: {harmless(', '.join(profiles))}"
    return ""


def without_questions(
    given: Destination, profiles: Mapping[str, Server], variable: str | None
) -> Destination:
    """The whole destination, for who cannot be asked; raises `UsageError`.

    `variable` is what the environment says, of use where no place was given.
    """
    if variable and given.host is None and given.port is None:
        given = _of_variable(variable, profiles)
    host = DEFAULT_HOST if given.host is None else given.host
    return given._replace(host=host, port=given.port or DEFAULT_PORT)


def _of_variable(variable: str, profiles: Mapping[str, Server]) -> Destination:
    if variable in profiles:
        return _of_profile(profiles[variable])
    host, colon, port = variable.rpartition(":")
    if not (colon and is_port(port) and is_text(host)):
        raise UsageError(f"{VARIABLE} is neither a profile nor HOST:PORT: {shown(variable)}")
    return Destination(host.removeprefix("[").removesuffix("]"), int(port))


def _of_profile(profile: Server) -> Destination:
    tls = None if profile.tls == "auto" else profile.tls == "on"
    return Destination(profile.host, profile.port, profile.name or None, tls)


def check_text(word: str) -> None:
    """Raises `UsageError` for an argument that came as bytes that are no text."""
    if not is_text(word):
        raise UsageError(f"{shown(word)} is no text in UTF-8")


def is_port(word: str) -> bool:
    """Whether this is a number that can be a port."""
    return word.isascii() and word.isdecimal() and len(word) <= 5 and 1 <= int(word) <= MAX_PORT


def _no_port(words: Sequence[str]) -> str:
    for word in words:
        if word.lstrip("+-").isdecimal():
            return out_of_range(word)
    return f"neither {shown(words[0])} nor {shown(words[1])} is a port"


def out_of_range(word: str) -> str:
    """What is wrong with a number that is no port."""
    return f"{shown(word)} is not a port: it is a number from 1 to {MAX_PORT}"


def shown(word: str) -> str:
    """An argument as it may be printed."""
    return harmless(word) or '""'
