"""Peers that are stuck or mean harm, each kind in a process of its own.

    python -m benchmarks.trouble KIND PORT

`ready` is printed when all of them are in place, and the floods have sent what the daemon takes at
once, until they are told to be too fast. They go on until they are ended. They stand for other
machines, so they leave the processors to the daemon.
"""

from __future__ import annotations

import json
import os
import random
import selectors
import socket
import ssl
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from typing import Any

from benchmarks.servers import HOST, PATIENCE, S3, read_until

FROZEN, SILENT, FLOODING = 20, 20, 5
NICE = 19
ROOM = 32_768  # bytes that the kernel keeps for a frozen one: it is not to read in its place
LONG = 1000  # characters of what is said to them
BATCH = 50  # messages of a flood that are made at once
LAST_WORD = "that was all"  # said to everybody, behind everything
TOO_FAST = b'"error":501'
FEW = 20  # times that a fuzzing connection sends, unless it is closed before
ANSWER = 0.01  # seconds that it waits each time for what comes of it


def frozen_name(number: int) -> str:
    """Plain and extended sessions by turns."""
    return f"f{number:04}"


def _connect(port: int, room: int = 0) -> socket.socket:
    sock = socket.socket()
    if room:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
    sock.settimeout(PATIENCE)
    sock.connect((HOST, port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


# --- frozen ---------------------------------------------------------------------------------------


class Frozen:
    """A session that reads everything, whenever it is let; what it read is counted."""

    def __init__(self, port: int, number: int) -> None:
        extended = S3.extended if number % 2 else None
        self.sock = _connect(port, ROOM)
        self.sock.sendall((extended or S3.hello)(frozen_name(number)))
        read_until(self.sock, S3.welcome)
        self.broadcasts = self.direct = self.wrong = 0
        self.done = False
        self._extended = bool(extended)
        self._rest = b""
        self._next: dict[str, int] = {}  # number of an author's next message

    def take(self) -> None:
        """What has come; an extended one confirms it."""
        data = self.sock.recv(65_536)
        if not data:
            raise SystemExit("a frozen session was closed")
        *lines, self._rest = (self._rest + data).split(b"\n")
        frames = [json.loads(line) for line in lines]
        for frame in frames:
            self._note(frame)
        last = max((one.get("seq", 0) for one in frames), default=0)
        if last and self._extended:
            self.sock.sendall(b'{"code":"received","upto":%d}\n' % last)

    def _note(self, frame: dict[str, Any]) -> None:
        if frame["code"] == "incoming_broadcast":
            self.done = frame["content"] == LAST_WORD
            self.broadcasts += not self.done
        elif frame["code"] == "incoming":
            number = int(frame["content"].split()[0])
            self.direct += 1
            self.wrong += number != self._next.get(frame["from"], 0)
            self._next[frame["from"]] = number + 1


def frozen(port: int) -> None:
    """Read on until each has heard the last word; whoever freezes this process does the rest."""
    sessions = [Frozen(port, number) for number in range(FROZEN)]
    print("ready", flush=True)
    with selectors.DefaultSelector() as selector:
        for one in sessions:
            selector.register(one.sock, selectors.EVENT_READ, one)
        while not all(one.done for one in sessions):
            for key, _ in selector.select():
                key.data.take()
    found = {
        "broadcasts": [one.broadcasts for one in sessions],
        "direct": sum(one.direct for one in sessions),
        "wrong": sum(one.wrong for one in sessions),
    }
    print(json.dumps(found), flush=True)


# --- silent in the handshake ----------------------------------------------------------------------


def _first_flight() -> bytes:
    outgoing = ssl.MemoryBIO()
    context = ssl.create_default_context()
    with suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="chat").do_handshake()
    return outgoing.read()


def silent(port: int) -> None:
    """Begin a handshake of TLS, say no more, and come back when that is the end of it."""
    flight = _first_flight()
    begun = [flight[: 1 if number % 2 else None] for number in range(SILENT)]

    def come(selector: selectors.BaseSelector, said: bytes) -> None:
        sock = _connect(port)
        sock.sendall(said)
        selector.register(sock, selectors.EVENT_READ, said)

    with selectors.DefaultSelector() as selector:
        for said in begun:
            come(selector, said)
        print("ready", flush=True)
        while True:
            for key, _ in selector.select():
                if not _read(key.fileobj):
                    selector.unregister(key.fileobj)
                    key.fileobj.close()  # type: ignore[union-attr]
                    come(selector, key.data)


def _read(sock: Any) -> bool:
    """Throw away what has come; False at the end."""
    try:
        return bool(sock.recv(65_536))
    except (BlockingIOError, TimeoutError):
        return True
    except OSError:
        return False


# --- flooding -------------------------------------------------------------------------------------


def _messages() -> Iterator[bytes]:
    """Numbered messages to the frozen, one after the other."""
    for number in count():
        for to in map(frozen_name, range(FROZEN)):
            message = {"code": "outgoing", "to": to, "content": f"{number} {LONG * 'x'}"}
            yield json.dumps(message).encode() + b"\n"


class Flood:
    """A session that sends as fast as it is let."""

    def __init__(self, port: int, name: str) -> None:
        assert S3.extended
        self.sock = _connect(port)
        self.sock.sendall(S3.extended(name))
        read_until(self.sock, S3.welcome)
        self.sock.setblocking(False)
        self._messages = _messages()
        self._unsent = b""
        self.told = False  # that it is too fast

    def go_on(self, events: int) -> None:
        """Read what there is, write what goes."""
        if events & selectors.EVENT_READ:
            data = self.sock.recv(65_536)
            if not data:
                raise SystemExit("a flood was closed")
            self.told |= TOO_FAST in data
        if events & selectors.EVENT_WRITE:
            batch = (next(self._messages) for _ in range(0 if self._unsent else BATCH))
            self._unsent = self._unsent or b"".join(batch)
            self._unsent = self._unsent[self.sock.send(self._unsent) :]


def flooding(port: int) -> None:
    """Messages to those who do not read, as fast as it goes."""
    floods = [Flood(port, f"h{number:04}") for number in range(FLOODING)]
    with selectors.DefaultSelector() as selector:
        for one in floods:
            selector.register(one.sock, selectors.EVENT_READ | selectors.EVENT_WRITE, one)
        waiting = True
        while True:
            for key, events in selector.select():
                key.data.go_on(events)
            if waiting and all(one.told for one in floods):
                waiting = False
                print("ready", flush=True)


# --- fuzzing --------------------------------------------------------------------------------------

PIECES = (
    b"{", b"}", b'"', b":", b",", b"[", b"\n", b" ", b"\\u0000", b"\\ud800", b"\xff", b"\x00",
    b'"code":', b'"hello"', b'"outgoing"', b'"who"', b'"history"', b'"group"', b'"received"',
    b'"name":', b'"to":', b'"content":', b'"id":', b'"v":1', b'"upto":', b'"q":', b'"all":true',
    b'{"code":"hello","v":1}\n', b'{"code":"who"}\n', b'{"code":"received","upto":99999}\n',
    b'{"code":"outgoing","to":"f0001","content":"", "id":"x"}\n', b"-1e999", b"[" * 500,
    b'{"code":"history","id":"h","all":true}\n', b"GET / HTTP/1.1\r\n", b"Host: x\r\n\r\n",
    b"GET /metrics HTTP/1.0\r\n\r\n", b"\x16\x03\x01\x00\x05", b"x" * 5000, b'{"' * 35_000,
)  # fmt: skip


def fuzzing(port: int) -> None:
    """Pieces of what is spoken here in any order, on one connection after the other."""
    chance = random.Random(1)
    print("ready", flush=True)
    while True:
        with suppress(OSError), _connect(port) as sock:
            sock.settimeout(ANSWER)
            for _ in range(chance.randrange(FEW)):
                sock.send(b"".join(chance.choices(PIECES, k=chance.randrange(1, 30))))
                if not _read(sock):
                    break


KINDS: dict[str, Callable[[int], None]] = {
    "frozen": frozen,
    "silent": silent,
    "flooding": flooding,
    "fuzzing": fuzzing,
}


def main() -> int:
    """Play one kind."""
    kind, port = sys.argv[1:]
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))  # the rest may have precedence
    os.nice(NICE)
    KINDS[kind](int(port))
    return 0


if __name__ == "__main__":
    sys.exit(main())
