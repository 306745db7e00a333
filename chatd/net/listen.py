"""Listening sockets: IPv4 and IPv6 on one port number."""

from __future__ import annotations

import contextlib
import errno
import socket

BACKLOG = 4096  # a classroom that logs in at once; 10 or 128 lose connections
TRIES = 20  # of free ports until all addresses of a host have the same one


def raise_descriptor_limit() -> None:
    """As many connections as this process may have: the soft limit is for programs on select(2)."""
    try:
        import resource
    except ImportError:
        return  # no POSIX
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def listen(host: str, port: int) -> list[socket.socket]:
    """Sockets that listen on `host` and `port`: all addresses for "", a free port for 0.

    Raises `OSError` where the port is taken, privileged, or the host is none of this machine's.
    """
    for _ in range(TRIES):
        try:
            return _everywhere(port) if not host else _on(host, port)
        except OSError as error:
            if port or error.errno != errno.EADDRINUSE:
                raise
    raise OSError(errno.EADDRINUSE, "no port is free on all addresses of this host")


def _everywhere(port: int) -> list[socket.socket]:
    """One dual-stack socket; where IPv6 is off, or has its own port space, IPv4 alone."""
    with contextlib.suppress(OSError):
        both = socket.socket(socket.AF_INET6)
        try:
            both.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            return [_bound(both, ("::", port))]
        except OSError as error:
            both.close()
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return [_bound(socket.socket(socket.AF_INET), ("0.0.0.0", port))]  # noqa: S104
    return [_bound(socket.socket(socket.AF_INET), ("0.0.0.0", port))]  # noqa: S104


def _on(host: str, port: int) -> list[socket.socket]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    try:
        for family, _, _, _, address in dict.fromkeys(found):
            number = sockets[0].getsockname()[1] if sockets else port
            one = socket.socket(family)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                sockets.append(_bound(one, (address[0], number)))
            except OSError as error:
                if not sockets or error.errno != errno.EADDRNOTAVAIL:
                    raise
    except OSError:
        for one in sockets:
            one.close()
        raise
    return sockets


def _bound(sock: socket.socket, address: tuple[object, ...]) -> socket.socket:
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def source(host: str) -> str:
    """For whom limits by address count a numeric address: of IPv6 the /64 that one line has.

    Link-local addresses of a network are all in one /64, and each is a machine.
    """
    if ":" not in host or "%" in host or host == "::1":
        return host
    return socket.inet_ntop(socket.AF_INET6, socket.inet_pton(socket.AF_INET6, host)[:8] + bytes(8))


def plain_address(address: tuple[object, ...]) -> tuple[str, int]:
    """Host and port of a peer; an IPv4 address that came in by an IPv6 socket as IPv4."""
    host, port = str(address[0]), address[1]
    assert isinstance(port, int)
    return host.removeprefix("::ffff:") if "." in host else host, port
