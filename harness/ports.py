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
import struct
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
from msgspec import Struct

LOWEST = 10_000
FIRST_OUTGOING = Path("/proc/sys/net/ipv4/ip_local_port_range")
TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))  # Linux; proc(5)
LISTENING = "0A"  # state of a row
AF_NETLINK, NETLINK_SOCK_DIAG = 16, 4  # <linux/netlink.h>, <linux/sock_diag.h>
BY_FAMILY, NLM_F_REQUEST = 20, 1
UNREAD, UNSENT = 72, 76  # places of idiag_rqueue and idiag_wqueue in the answer
Address = tuple[Any, ...]  # host and port, as sockets give them
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


def on_the_way(ours: Address, theirs: Address) -> bool:
    """Whether bytes that we have sent to `theirs` from `ours` were not read there yet.

    Linux and the same machine only; elsewhere never.
    """
    if sys.platform != "linux":
        return False
    try:
        return _queue(ours, theirs, UNSENT) > 0 or _queue(theirs, ours, UNREAD) > 0
    except OSError:  # not allowed to ask
        return any(_is_waiting(row, ours[1], theirs[1]) for row in _table())


def _queue(local: Address, remote: Address, which: int) -> int:
    """Bytes in a queue of the connection of `local`, asked of the kernel: sock_diag(7)."""
    family = socket.AF_INET6 if ":" in local[0] else socket.AF_INET
    ends = [socket.inet_pton(family, end[0]).ljust(16, b"\0") for end in (local, remote)]
    ports = struct.pack("!HH", local[1], remote[1])
    body = struct.pack("=BBBxI", family, socket.IPPROTO_TCP, 0, 0xFFFF_FFFF) + ports
    body += ends[0] + ends[1] + struct.pack("=III", 0, 0xFFFF_FFFF, 0xFFFF_FFFF)
    with socket.socket(AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as kernel:
        kernel.send(struct.pack("=IHHII", 16 + len(body), BY_FAMILY, NLM_F_REQUEST, 0, 0) + body)
        answer = kernel.recv(8192)
    if struct.unpack_from("=H", answer, 4)[0] != BY_FAMILY:  # there is no such connection
        return 0
    return int(struct.unpack_from("=I", answer, which)[0])


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
