"""Where to go and as whom: from the words of the command line, the profiles, the environment."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from chatd.wire.text import harmless
from chatsh.client import is_text
from chatsh.link import MAX_PORT, Address
from chatsh.settings import Server

DEFAULT_HOST, DEFAULT_PORT = "localhost", 8000
VARIABLE = "CHATSH_SERVER"  # of the environment: a profile, or HOST:PORT[,HOST:PORT]
MOST = 16  # addresses of one chat: each gets its share of the time for all


class UsageError(Exception):
    """The arguments, or the answers to our questions, cannot be used."""


class Destination(NamedTuple):
    """Whom to call, under which name, and whether in TLS; None is what was not given.

    `host` may be several with commas between them, each with a port of its own behind a colon;
    `port` is that of the others.
    """

    host: str | None = None
    port: int | None = None
    name: str | None = None
    tls: bool | None = None

    @property
    def lacks_port(self) -> bool:
        """Whether a port is missing still. Raises `UsageError`."""
        return self.port is None and not has_ports(self.host or "")

    @property
    def addresses(self) -> list[Address]:
        """Where to look for the chat, in this order. Raises `UsageError`."""
        given = [Address(host, port or self.port or DEFAULT_PORT) for host, port in self._hosts]
        return list(dict.fromkeys(given))

    @property
    def _hosts(self) -> list[tuple[str, int | None]]:
        return split(self.host or "")


def split(hosts: str) -> list[tuple[str, int | None]]:
    """The hosts of a list, with the ports that they have of their own. Raises `UsageError`."""
    words = hosts.split(",")
    if len(words) > MOST:
        raise UsageError(f"{len(words)} servers are too many: a list has {MOST} at most")
    for word in words if len(words) > 1 else ():
        if not word.strip() or word.lstrip("+-").isdecimal():
            raise UsageError(f"{shown(word)} in {shown(hosts)} is no host")
    return [_split(word.strip()) for word in words]


def _split(word: str) -> tuple[str, int | None]:
    """HOST, HOST:PORT, an address of IPv6, or one in brackets with or without a port."""
    host, colon, port = word.rpartition(":")
    if not colon or word.endswith("]") or (":" in host and not host.endswith("]")):
        return word.removeprefix("[").removesuffix("]"), None
    if not is_port(port):
        raise UsageError(out_of_range(port))
    return host.removeprefix("[").removesuffix("]"), int(port)


def has_ports(hosts: str) -> bool:
    """Whether each of them has a port of its own. Raises `UsageError`."""
    return all(port for _, port in split(hosts))


def place(words: Sequence[str], profiles: Mapping[str, Server] | None = None) -> Destination:
    """The arguments in whatever order they came, or the one profile; raises `UsageError`."""
    if len(words) > 3:
        raise UsageError(f"too many arguments: {harmless(' '.join(words[3:]))}")
    for word in words:
        check_text(word)
    if profiles and len(words) == 1 and words[0] in profiles and not is_port(words[0]):
        return _of_profile(profiles[words[0]])
    if words and ":" in words[0] and not any(map(is_port, words[:2])) and has_ports(words[0]):
        if len(words) > 2:
            raise UsageError(f"too many arguments: {harmless(words[2])}")
        return Destination(words[0], None, next(iter(words[1:]), None))
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
    if host is not None and port and has_ports(host):
        raise UsageError(f"{shown(host)} says every port already, and {port} is another one")
    return Destination(host, int(port) if port else None, name)


def rather(words: Sequence[str], profiles: Mapping[str, Server]) -> str:
    """What may have been meant by a host that nobody knows; empty where there is no telling."""
    if len(words) == 2:
        host, port = sorted(words, key=is_port)
        name = shown(host)
        one = not {".", ","} & set(host)
        return f'; if {name} is your name: chatsh "" {port} {name}' if one else ""
    if len(words) == 1 and profiles:
        return f"; the servers of your settings are: {harmless(', '.join(profiles))}"
    return ""


def words_for(addresses: Sequence[Address], name: str | None) -> str:
    """The arguments that lead to these addresses in this order, as a shell takes them."""
    ports = {port for _, port in addresses}
    plain = len(ports) == 1 and all(host and ":" not in host for host, _ in addresses)
    hosts = ",".join(host if plain else _with_port(host, port) for host, port in addresses)
    words = [hosts, *(map(str, ports) if plain else ()), *([name] if name else ())]
    return shlex.join(map(harmless, words))


def _with_port(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


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
    wrong = f"{VARIABLE} is neither a profile nor HOST:PORT: {shown(variable)}"
    try:
        hosts = split(variable)
    except UsageError as error:
        raise UsageError(wrong) from error
    if not (is_text(variable) and all(port for _, port in hosts)):
        raise UsageError(wrong)
    (host, port), *others = hosts
    return Destination(variable) if others else Destination(host, port)


def _of_profile(profile: Server) -> Destination:
    tls = None if profile.tls == "auto" else profile.tls == "on"
    given = Destination(profile.host, profile.port, profile.name or None, tls)
    assert given.addresses  # what is wrong with them is told now
    return given


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
