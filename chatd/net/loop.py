"""The one loop: it owns every socket and every deadline, and a turn of it reads aloud.

Readiness-based, on `selectors`: epoll or kqueue where there is one, else poll or select. Signals
and other threads only wake it. Descriptors past `FD_SETSIZE` are refused at accept where select(2)
is used: one of them would make it fail for everybody.
"""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import socket
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from chatd.net.connection import NOTHING, PORTION, Connection
from chatd.net.durations import Durations
from chatd.net.listen import plain_address, source
from chatd.net.timers import Timers
from chatd.net.tls import VERSIONS, Context, TlsError, TlsSocket

FD_SETSIZE = 1024
ACCEPTS = 256  # per turn, so that a storm of log-ins cannot starve those who talk
HANDSHAKES = 8  # steps of them per turn; of each one step has a signature in it, 0.4 ms
GRACE = 10.0  # seconds for what is queued when a connection is to be closed
LINGER = 2.0  # seconds for the peer to take our last words
BREATH = 0.1  # seconds without accepting when not even a refusal is possible
INHERITED = sys.platform == "linux"  # what is set for a listener holds for those it accepts
NO_DESCRIPTOR = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
KEEPALIVE = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4))  # seconds, seconds, -

SELECTORS: dict[str, type[selectors.BaseSelector]] = {
    name: getattr(selectors, kind)
    for name, kind in {
        "epoll": "EpollSelector",
        "kqueue": "KqueueSelector",
        "poll": "PollSelector",
        "select": "SelectSelector",
    }.items()
    if hasattr(selectors, kind)
}


class Application(Protocol):
    """What the loop serves. An exception of one of these calls ends the loop."""

    def connected(self, connection: Connection) -> None:
        """Somebody is there."""

    def received(self, connection: Connection, data: bytes) -> None:
        """Bytes have come."""

    def refused(self, address: tuple[str, int], why: str) -> None:
        """Somebody finds no place, and will be told so: `full`, `address` or `descriptors`."""

    def may_come(self, host: str, others: int) -> bool:
        """Whether one more of this address has a place beside so many others of it."""

    def closed(self, connection: Connection, why: str) -> None:
        """Nothing more will come; what is queued is still written where it can be."""

    def drained(self, connection: Connection) -> bool:
        """Everything queued for a connection that asked for this is with its kernel.

        True asks for another turn at once, for what comes of it.
        """

    def turn_ended(self) -> None:
        """Everything of this turn is read; now it can be kept, and then answered."""


class Loop:
    """Sockets, deadlines and the order of things."""

    def __init__(
        self,
        app: Application,
        selector: str = "",
        *,
        max_clients: int = 0,
        refusal: bytes = b"",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`refusal` is said to those who find no place: beyond `max_clients` (0: no such bound)."""
        self.clock = clock
        self.timers = Timers()
        self.connections: dict[int, Connection] = {}
        self._app = app
        self._selector = SELECTORS[selector]() if selector else selectors.DefaultSelector()
        self._fd_limit = FD_SETSIZE if selector == "select" else 0
        self.max_clients = max_clients
        self.accepted = 0  # connections so far
        self.refused = 0  # ... and those that found no place
        self.handshakes = Counter(dict.fromkeys(VERSIONS, 0))  # that are done
        self._sources: Counter[str] = Counter()  # connections by whom limits count them for
        self.turns = Durations()  # without their waiting
        self._refusal = refusal
        self._greeting: deque[Connection] = deque()  # whose handshakes are to go on
        self._leaving = 0  # connections that are closed from our side
        self._listeners: list[socket.socket] = []
        self._dirty: dict[Connection, None] = {}  # to be written or closed at the end of this turn
        self._go_on = False  # writing has given the application something to do
        self._spare = os.open(os.devnull, os.O_RDONLY)
        self._waker, self._wake_end = socket.socketpair()
        for end in (self._waker, self._wake_end):
            end.setblocking(False)
        self.watch(self._wake_end.fileno(), self._woken)

    # --- what the application uses --------------------------------------------------------------

    def now(self) -> tuple[float, int]:
        """Both clocks: monotonic seconds, and milliseconds since 1970."""
        return self.clock(), time.time_ns() // 1_000_000

    @property
    def wake_fd(self) -> int:
        """For `signal.set_wakeup_fd`."""
        return self._waker.fileno()

    def wake(self) -> None:
        """End the waiting; from any thread."""
        with contextlib.suppress(BlockingIOError):
            self._waker.send(b"\0")

    def listen_on(self, sockets: Iterable[socket.socket]) -> None:
        """Accept connections on these."""
        for sock in sockets:
            sock.setblocking(False)
            _tune(sock)
            self._listeners.append(sock)
            self._selector.register(sock, selectors.EVENT_READ, self._accept_all)

    def stop_accepting(self) -> list[socket.socket]:
        """Nobody new; who connects waits for whoever accepts on these sockets later."""
        released, self._listeners = self._listeners, []
        for sock in released:
            with contextlib.suppress(KeyError):
                self._selector.unregister(sock)
        return released

    def stop_listening(self) -> None:
        """Nobody new."""
        for sock in self.stop_accepting():
            sock.close()

    def watch(self, fd: int, call: Callable[[], None]) -> None:
        """Call when `fd` is readable. Raises `OSError` for what cannot be waited for."""
        self._selector.register(fd, selectors.EVENT_READ, lambda _: call())

    def unwatch(self, fd: int) -> None:
        """No longer."""
        self._selector.unregister(fd)

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        """Call when so much time is over."""
        self.timers.at(self.clock() + seconds, call)

    def queue(self, connection: Connection, data: bytes) -> None:
        """Write this at the end of the turn."""
        connection.queue(data)
        self._dirty[connection] = None

    def queue_for_all(self, connections: Sequence[Connection], data: bytes) -> Sequence[Connection]:
        """The same for many; all of them have something waiting then."""
        for connection in connections:
            self.queue(connection, data)
        return connections

    def send(self, connections: Sequence[Connection], data: bytes) -> Sequence[Connection]:
        """The same for the last in a turn: it goes at once; gives those for whom some of it waits.

        This is where a fan-out spends its time, so it stands here whole. Why nothing went is found
        out when it is tried again, at the end of the turn.
        """
        size, waiting = len(data), []
        for connection in connections:
            if connection.outbox:
                connection.queue(data)
                waiting.append(connection)
                continue
            try:
                sent = connection.sock.send(data)
            except OSError:
                sent = 0
            if sent != size:
                connection.keep_rest(data, sent)
                waiting.append(connection)
        self._dirty.update(dict.fromkeys(waiting))
        return waiting

    def tell_drained(self, connection: Connection) -> None:
        """Call `Application.drained` once when everything queued is written."""
        connection.drained = True
        self._dirty[connection] = None

    def close_soon(self, connection: Connection, why: str) -> None:
        """Close this when all is written."""
        if not connection.doomed:
            self.after(GRACE, lambda: self._forget(connection))
        connection.close_soon(why)
        self._dirty[connection] = None

    def pause(self, connection: Connection, seconds: float) -> None:
        """Read nothing from this for so long: the kernel lets the other end wait."""

        def resume() -> None:
            if connection.id in self.connections:
                self._read_again(connection)

        if not connection.paused:
            connection.paused = True
            connection.portion = min(connection.portion, PORTION)
            self._want(connection)
            self.after(seconds, resume)

    def start_tls(
        self, connection: Connection, context: Context, first: bytes, seconds: float
    ) -> None:
        """Go on in TLS with a connection of which this was read; `seconds` are for the handshake.

        What is queued before that is done is lost to the peer.
        """
        assert isinstance(connection.sock, socket.socket)
        connection.sock = TlsSocket(
            connection.sock,
            context,
            first,
            greet=lambda: self._greet_soon(connection),
            owing=lambda: self.queue(connection, b""),
            again=lambda: self.after(0.0, lambda: self._serve(connection, selectors.EVENT_READ)),
            succeeded=self._note_handshake,
        )
        number = connection.id
        self.after(seconds, lambda: self._handshake_is_over(number, seconds))

    # --- one turn -------------------------------------------------------------------------------

    def turn(self) -> None:
        """Wait, read, act, keep, write, close: in this order, so nobody sees what is not stored."""
        delay = 0.0 if self._dirty or self._go_on else self.timers.delay(self.clock())
        ready = self._selector.select(delay)
        began = self.clock()
        for key, events in ready:
            if isinstance(key.data, Connection):
                self._serve(key.data, events)
            else:
                key.data(key.fileobj)
        for call in self.timers.due(self.clock()):
            call()
        self._go_on = False
        self._app.turn_ended()
        self._write_queued()
        self.turns.observe(self.clock() - began)

    def abort(self, connection: Connection) -> None:
        """Close this now; what is queued is lost to it."""
        self._forget(connection)

    def close(self) -> None:
        """Close everything at once."""
        self.stop_listening()
        for connection in list(self.connections.values()):
            self._forget(connection)
        self._selector.close()
        self._waker.close()
        self._wake_end.close()
        if self._spare >= 0:
            os.close(self._spare)

    def _woken(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._wake_end.recv(4096):
                pass

    # --- coming ---------------------------------------------------------------------------------

    def _accept_all(self, listener: object) -> None:
        assert isinstance(listener, socket.socket)
        for _ in range(ACCEPTS):
            try:
                sock, address = listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno not in NO_DESCRIPTOR:
                    continue  # that one is gone again; there may be more (accept(2), ERRORS)
                if not self._turn_away(listener):
                    self._pause(listener)
                    return
                continue
            self._admit(sock, plain_address(address))

    def _admit(self, sock: socket.socket, address: tuple[str, int]) -> None:
        why = self._no_place(sock, address[0])
        if why:
            self._refuse(sock, address, why)
            return
        sock.setblocking(False)
        if not INHERITED:
            _tune(sock)
        self.accepted += 1
        connection = Connection(sock, self.accepted, address)
        self._selector.register(sock, selectors.EVENT_READ, connection)
        self.connections[connection.id] = connection
        self._sources[source(address[0])] += 1
        self._app.connected(connection)

    def _no_place(self, sock: socket.socket, host: str) -> str:
        here = len(self.connections) - self._leaving
        if self.max_clients and here >= self.max_clients:
            return "full"
        if self._fd_limit and sock.fileno() >= self._fd_limit:
            return "descriptors"
        return "" if self._app.may_come(host, self._sources[source(host)]) else "address"

    def _pause(self, listener: socket.socket) -> None:
        """Without a descriptor to say no with, a waiting peer would keep the loop spinning."""

        def resume() -> None:
            if listener in self._listeners:
                self._selector.register(listener, selectors.EVENT_READ, self._accept_all)

        self._selector.unregister(listener)
        self.after(BREATH, resume)

    def _turn_away(self, listener: socket.socket) -> bool:
        """No descriptor is left: give up the spare one to say so, and take it back."""
        if self._spare >= 0:
            os.close(self._spare)
            self._spare = -1
        try:
            sock, address = listener.accept()
            self._refuse(sock, plain_address(address), "descriptors")
        except OSError:
            return False
        finally:
            with contextlib.suppress(OSError):
                self._spare = os.open(os.devnull, os.O_RDONLY)
        return True

    def _refuse(self, sock: socket.socket, address: tuple[str, int], why: str) -> None:
        self.refused += 1
        self._app.refused(address, why)
        sock.setblocking(False)
        with contextlib.suppress(OSError):
            sock.send(self._refusal)
            sock.shutdown(socket.SHUT_WR)
            sock.recv(4096)  # unread bytes would turn the close into a reset
        sock.close()

    def _greet_soon(self, connection: Connection) -> None:
        self._greeting.append(connection)
        if len(self._greeting) == 1:
            self.after(0.0, self._greet)

    def _greet(self) -> None:
        """Go on with some handshakes; a flood of them must not hold up those who talk."""
        for _ in range(min(HANDSHAKES, len(self._greeting))):
            connection = self._greeting[0]
            assert isinstance(connection.sock, TlsSocket)
            connection.sock.its_turn = True
            self._serve(connection, selectors.EVENT_READ)
            self._greeting.popleft()
        if self._greeting:
            self.after(0.0, self._greet)

    def _note_handshake(self, version: str) -> None:
        self.handshakes[version] += 1

    def _handshake_is_over(self, number: int, seconds: float) -> None:
        connection = self.connections.get(number)
        if connection and connection.handshaking:
            self._broken(connection, f"tls: no handshake within {seconds:g} seconds")

    # --- reading --------------------------------------------------------------------------------

    def _serve(self, connection: Connection, events: int) -> None:
        if connection.id not in self.connections:
            return
        if events & selectors.EVENT_READ:
            self._read(connection)
        if events & selectors.EVENT_WRITE:
            self._dirty[connection] = None

    def _read(self, connection: Connection) -> None:
        if connection.paused:
            return
        try:
            data = connection.read()
        except OSError as error:
            self._broken(connection, _why(error))
            return
        if connection.hung_up:
            if data == b"":
                self._forget(connection)
        elif data:
            self._app.received(connection, data)
        elif data == b"":
            self._ended(connection)

    def _ended(self, connection: Connection) -> None:
        """The peer says no more; it may still want its answers."""
        connection.peer_ended = True
        self._want(connection)
        self._app.closed(connection, "eof")

    def _broken(self, connection: Connection, why: str) -> None:
        """Nothing can be written any more either."""
        hung_up = connection.hung_up
        self._forget(connection)
        if not hung_up and not connection.peer_ended:
            self._app.closed(connection, why)

    # --- writing --------------------------------------------------------------------------------

    def _write_queued(self) -> None:
        dirty, self._dirty = self._dirty, {}
        for connection in dirty:
            if connection.id in self.connections:
                self._write(connection)

    def _write(self, connection: Connection) -> None:
        if connection.pace and self._too_early(connection):
            return
        try:
            done = connection.write()
        except OSError:
            self._broken(connection, "reset")
            return
        if connection.pace and done:
            connection.next_write = self.clock() + connection.pace
            if connection.outbox:
                self._write_later(connection)
        self._want(connection, writing=not done)
        if connection.drained and not connection.outbox:
            connection.drained = False
            self._go_on |= self._app.drained(connection)
        if connection.doomed and not connection.outbox and not connection.hung_up:
            self._hang_up(connection)

    def _too_early(self, connection: Connection) -> bool:
        early = bool(connection.outbox) and connection.next_write > self.clock()
        if early:
            self._write_later(connection)
        return early

    def _write_later(self, connection: Connection) -> None:
        def again() -> None:
            self._dirty[connection] = None

        self.timers.at(connection.next_write, again)

    def _want(self, connection: Connection, *, writing: bool | None = None) -> None:
        """Keep what the selector waits for in step; it is told only of changes."""
        if writing is not None:
            if writing == connection.writing:
                return
            connection.writing = writing
        reading = not (connection.peer_ended or connection.paused)
        events = selectors.EVENT_READ if reading else 0
        events |= selectors.EVENT_WRITE if connection.writing else 0
        self._register(connection, events)

    def _read_again(self, connection: Connection) -> None:
        if connection.paused:
            connection.paused = False
            self._want(connection)
            # What was taken from the kernel, and not from below us, makes no socket ready.
            self.after(0.0, lambda: self._serve(connection, selectors.EVENT_READ))

    def _register(self, connection: Connection, events: int) -> None:
        known = connection.sock in self._selector.get_map()
        if known and events:
            self._selector.modify(connection.sock, events, connection)
        elif known:
            self._selector.unregister(connection.sock)
        elif events:
            self._selector.register(connection.sock, events, connection)

    # --- leaving --------------------------------------------------------------------------------

    def _hang_up(self, connection: Connection) -> None:
        if connection.peer_ended:
            self._forget(connection)
            return
        connection.hang_up()
        self._read_again(connection)  # what it has not read would turn the end into a reset
        self._leaving += 1
        self.after(LINGER, lambda: self._forget(connection))

    def _forget(self, connection: Connection) -> None:
        if self.connections.pop(connection.id, None) is None:
            return
        self._leaving -= connection.hung_up
        self._leave(source(connection.host))
        with contextlib.suppress(KeyError):
            self._selector.unregister(connection.sock)
        connection.sock.close()
        connection.outbox, connection.queued = NOTHING, 0  # deadlines know it for some time

    def _leave(self, whom: str) -> None:
        self._sources[whom] -= 1
        if not self._sources[whom]:
            del self._sources[whom]


def _why(error: OSError) -> str:
    if isinstance(error, TlsError):
        return str(error)
    return "reset" if error.errno == errno.ECONNRESET else "timeout"


def _tune(sock: socket.socket) -> None:
    """No waiting for more to send (40 ms otherwise), and dead peers are found by the kernel."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in KEEPALIVE:
            if hasattr(socket, name):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
