"""The certificates of servers as they were first seen: a file like the known hosts of ssh.

A line is HOST:PORT and a fingerprint. A server may have several lines: each of them is good.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from chatd.wire.text import harmless
from chatsh.private import append_to_file, state_folder

_LINE = re.compile(r"(\S+:[0-9]{1,5}) (SHA256:[A-Za-z0-9+/]{43})")


class CertificateError(Exception):
    """The server must not be spoken to; the text says why, and what to do."""


class _Pin(NamedTuple):
    line: int
    server: str
    fingerprint: str


class KnownServers:
    """What is known; the file is read again for each question."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or state_folder() / "known_servers"
        self._here: dict[str, str] = {}  # first seen by this program: the file may not take it

    def knows(self, host: str, port: int) -> bool:
        """Whether this server has shown a certificate before. Raises `CertificateError`."""
        server = _server(host, port)
        return server in self._here or any(pin.server == server for pin in self._pins())

    def check(self, host: str, port: int, fingerprint: str) -> str:
        """What to tell of a server that shows this one; nothing where it is known.

        Keeps what is new. Raises `CertificateError` where another one is known.
        """
        server = _server(host, port)
        pins = [pin for pin in self._pins() if pin.server == server]
        if server in self._here and not pins:
            pins = [_Pin(0, server, self._here[server])]
        if any(pin.fingerprint == fingerprint for pin in pins):
            return ""
        if pins:
            raise CertificateError(self._changed(host, port, pins[0], fingerprint))
        self._here[server] = fingerprint
        about = f"The certificate of {_shown(host, port)} is {fingerprint}, seen for the first time"
        return f"{about}; {self._keep(f'{server} {fingerprint}')}."

    def _keep(self, line: str) -> str:
        try:
            append_to_file(self.path, f"{line}\n".encode())
        except OSError as error:
            return f"it cannot be kept in {self.path}: {error.strerror}"
        return f"kept in {self.path}"

    def _changed(self, host: str, port: int, pin: _Pin, fingerprint: str) -> str:
        where = f"line {pin.line} of {self.path}" if pin.line else "this program"
        remedy = f"remove {where}" if pin.line else "start it anew"
        return (
            f"THE CERTIFICATE OF {_shown(host, port)} HAS CHANGED: it is {fingerprint}, and "
            f"{where} knows {pin.fingerprint}. Somebody may have come between you and the server, "
            "to read and change what is said; nothing was sent. Ask whoever runs the server, and "
            "not by this way, for its fingerprint, which chatd prints at its start. If the new one "
            f"is right: {remedy}, and connect again."
        )

    def _pins(self) -> Iterator[_Pin]:
        try:
            lines = self.path.read_text("utf-8").splitlines()
        except (FileNotFoundError, NotADirectoryError):
            return
        except (OSError, UnicodeError) as error:
            why = getattr(error, "strerror", None) or "it is not UTF-8"
            raise CertificateError(f"cannot read {self.path}: {why}") from error
        for number, line in enumerate(lines, 1):
            found = _LINE.fullmatch(line.strip())
            if found:
                yield _Pin(number, found[1], found[2])
            elif line.strip() and not line.startswith("#"):
                raise CertificateError(
                    f"line {number} of {self.path} is not HOST:PORT SHA256:...; "
                    "mend it, or remove it"
                )


def _server(host: str, port: int) -> str:
    name = (host or "localhost").lower().removesuffix(".")
    name = "".join(char if char.isprintable() and char != " " else "%" for char in name)
    return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"


def _shown(host: str, port: int) -> str:
    return f"{harmless(host) or 'localhost'}, port {port}"
