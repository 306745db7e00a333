"""The certificates of servers as they were first seen: a file like the known hosts of ssh.

A line is HOST:PORT and a fingerprint. A server may have several lines: each of them is good.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
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
        return bool(self._of(host, port))

    def check(
        self,
        host: str,
        port: int,
        fingerprint: str,
        *,
        others: Iterable[tuple[str, int]] = (),
        begun: bool = False,
    ) -> str:
        """What to tell of a server that shows this one; nothing where it is known.

        Keeps what is new. Raises `CertificateError` where another one is known. `others` are
        addresses of the same chat: what is known of them is good here too, and where anything is,
        or a session has `begun` at one of them, nothing else is taken at first sight.
        """
        pins = self._of(host, port)
        if pins and fingerprint not in _shown_by(pins):
            raise CertificateError(self._changed(host, port, pins[0], fingerprint))
        theirs = [pin for other in others for pin in self._of(*other)]
        if fingerprint in _shown_by([*pins, *theirs]):
            return ""
        if theirs or begun:
            raise CertificateError(_stranger(host, port, fingerprint))
        server = _server(host, port)
        self._here[server] = fingerprint
        about = f"The certificate of {_shown(host, port)} is {fingerprint}, seen for the first time"
        return f"{about}; {self._keep(f'{server} {fingerprint}')}."

    def _of(self, host: str, port: int) -> list[_Pin]:
        server = _server(host, port)
        pins = [pin for pin in self._pins() if pin.server == server]
        if server in self._here and not pins:
            return [_Pin(0, server, self._here[server])]
        return pins

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


def _shown_by(pins: Iterable[_Pin]) -> set[str]:
    return {pin.fingerprint for pin in pins}


def _stranger(host: str, port: int, fingerprint: str) -> str:
    return (
        f"The certificate of {_shown(host, port)} is {fingerprint}, which is not known, neither of "
        "it nor of another server of the list; nothing was sent there. If whoever runs it says "
        "that it is right, go there once alone, and then to all of the list again: "
        f"chatsh {harmless(host)} {port}"
    )


def _server(host: str, port: int) -> str:
    name = (host or "localhost").lower().removesuffix(".")
    name = "".join(char if char.isprintable() and char != " " else "%" for char in name)
    return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"


def _shown(host: str, port: int) -> str:
    return f"{harmless(host) or 'localhost'}, port {port}"
