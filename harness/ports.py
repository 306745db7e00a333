"""Ports of servers that do not say theirs: found, kept apart, and seen without connecting to them.

A server may die of a connection that says nothing, so readiness is read from the kernel's tables.
A port that the harness chooses lies below those that the kernel gives to outgoing connections, and
is held by a lock that ends with this process, so that no two runs on a machine share one.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import random
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
from msgspec import Struct

LOWEST = 10_000
FIRST_OUTGOING = Path("/proc/sys/net/ipv4/ip_local_port_range")
TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))  # Linux; proc(5)
LISTENING = "0A"  # state of a row
EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - compared with, not bound to


class Held(Struct):
    """A lock, until it is closed; a port that nobody else uses, if it is about one."""

    lock: int  # descriptor
    port: int = 0


def hold(name: str) -> Held | None:
    """Take a lock that the whole machine shares; none if somebody else has it."""
    if sys.platform != "linux":
        return _hold_file(name)
    lock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        lock.bind(f"\0harness {name}")  # a name without a file; it ends with who holds it
    except OSError:
        lock.close()
        return None
    return Held(lock.detach())


def _hold_file(name: str) -> Held | None:
    word = hashlib.sha256(name.encode()).hexdigest()[:16]
    path = Path(tempfile.gettempdir()) / f"harness-{word}.lock"
    lock = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    return Held(lock)


def hold_free_port() -> Held:
    """A port that nobody uses, and that no other run will be given."""
    highest = 32_768
    with contextlib.suppress(OSError, ValueError):
        highest = max(LOWEST + 1000, int(FIRST_OUTGOING.read_text("ascii").split()[0]))
    while True:
        port = random.randrange(LOWEST, highest)  # noqa: S311
        held = hold(f"port {port}") if is_free(port) else None
        if held is not None:
            held.port = port
            return held


def is_free(port: int) -> bool:
    """Whether any server could take this port, also one that does not reuse addresses."""
    with socket.socket() as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


def is_served(port: int) -> bool:
    """Whether somebody on this machine takes connections at this port (Linux; elsewhere no)."""
    return any(row[3] == LISTENING and _port(row[1]) == port for row in _table())


def listening(pid: int) -> Iterator[tuple[str, int]]:
    """Where a program and what it has started take TCP connections: address to use, and port."""
    try:
        root = psutil.Process(pid)
        family = [root, *root.children(recursive=True)]
    except psutil.Error:
        return
    for process in family:
        with contextlib.suppress(psutil.Error):
            for at in process.net_connections("tcp"):
                if at.status == psutil.CONN_LISTEN:
                    yield "127.0.0.1" if at.laddr.ip in EVERYWHERE else at.laddr.ip, at.laddr.port


def on_the_way(ours: int, theirs: int) -> bool:
    """Whether bytes that we sent from port `ours` to port `theirs` were not read there yet.

    Linux and the same machine only; elsewhere never.
    """
    return any(_is_waiting(row, ours, theirs) for row in _table())


def _table() -> Iterator[list[str]]:
    """The rows of the kernel's tables: number, our address, their address, state, queues."""
    for table in TABLES:
        with contextlib.suppress(OSError):
            for line in table.read_text("ascii").splitlines()[1:]:
                yield line.split(None, 5)


def _port(address: str) -> int:
    return int(address.rpartition(":")[2], 16)


def _is_waiting(row: list[str], ours: int, theirs: int) -> bool:
    local, remote = _port(row[1]), _port(row[2])
    if (local, remote) not in ((ours, theirs), (theirs, ours)):
        return False
    unsent, unread = row[4].split(":")
    return int(unsent if local == ours else unread, 16) > 0
