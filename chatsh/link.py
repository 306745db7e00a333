"""The socket under a client, the thread that reads it, and the coming back after a loss.

A program that answers what it is told needs no thread:

    with Link(Address("localhost", 8000), Client("echo")) as link:
        link.open()
        for event in link.events():
            if isinstance(event, Incoming):
                link.send(Outgoing(event.sender, event.content))

`Keeper` reads a link in a thread of its own for a program that has something else to wait for.
"""

from __future__ import annotations

import contextlib
import contextvars
import errno
import itertools
import math
import queue
import random
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Self

import msgspec

from chatd.wire.errors import ErrorCode
from chatd.wire.messages import Error
from chatd.wire.text import harmless
from chatsh.client import (
    Answered,
    Client,
    Event,
    Foreign,
    Opened,
    Refused,
    Reply,
    Request,
    Strange,
)
from chatsh.known import CertificateError, KnownServers
from chatsh.sockets import readable, watch_closely
from chatsh.watch import DOUBT, Due, Watch

if TYPE_CHECKING:
    from chatsh.secure import SecureSocket

TIMEOUT = 10.0  # seconds until a server must have accepted and said welcome
QUIET = 20.0  # seconds of silence before the server is asked whether it is there, and per send
LINGER = 1.0  # seconds for the server's last word after ours
PATIENCE = 10.0  # seconds a typed line waits for a server that is not there
HURRIED = 1.0  # seconds between attempts while one waits, at most
SPACING = 0.02  # seconds between two objects for a server that reads one per segment
CHUNK = 65_536
MAX_PORT = 65_535
OPENINGS, WITHIN = 4, 20.0  # sessions, and seconds: who has had more of them waits first
LATER = 1.0  # seconds until a server that cannot let anybody in at present is tried again
BRIEFLY = 2.0  # seconds for each of several servers at the start; twice as many each next time
PREFACE = 1024 * 1024  # bytes that a server may say before its welcome
NO_PLACE = (ErrorCode.SERVER_FULL, ErrorCode.SHUTTING_DOWN)  # another server may have one


class Address(NamedTuple):
    """Where a server listens; the empty host is this machine."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{harmless(self.host) or 'localhost'}, port {self.port}"


class LinkError(Exception):
    """There is no connection; the text is one sentence with host, port and reason."""


class UnknownHostError(LinkError):
    """The host name means nothing here."""


class UntrustedError(LinkError):
    """The server's certificate is not the one that is known; trying again will not help."""


class ForeignError(LinkError):
    """The server is not of the chat that the session before was in."""


class UnavailableError(LinkError):
    """The server is there, and can let nobody in at present; it may soon."""


class SilentError(LinkError):
    """The server accepts connections and says nothing."""


class LoginRefusedError(Exception):
    """The server does not open a session; `error` is what it said."""

    def __init__(self, error: Error) -> None:
        super().__init__(f"{error.error}: {harmless(error.text)}")
        self.error = error


class Lost(NamedTuple):
    """The link broke without a last word; whether it is being opened again."""

    again: bool


class GaveUp(NamedTuple):
    """The link is not opened any more; `error` where the server refused, `why` where we do."""

    error: Error | None = None
    why: str = ""


class Told(NamedTuple):
    """Something that a person should know of the link."""

    text: str


def wall_clock() -> datetime:
    """The time of this machine, in its zone."""
    return datetime.now().astimezone()


def connect(address: Address, timeout: float) -> socket.socket:
    """A connected socket; raises `LinkError` with what the system's error means here."""
    if not 1 <= address.port <= MAX_PORT:  # some resolvers take it modulo 65536
        raise LinkError(f"cannot connect to {address}: a port is a number from 1 to {MAX_PORT}")
    try:
        sock = _connect(address.host or "localhost", address.port, timeout)
    except (socket.gaierror, UnicodeError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a possible name"
        why = f"that host name cannot be resolved ({reason})"
        raise UnknownHostError(f"cannot connect to {address}: {why}") from error
    except TimeoutError as error:
        why = f"no answer within {timeout:.3g} seconds (timed out)"
        raise LinkError(f"cannot connect to {address}: {why}") from error
    except OSError as error:
        why = _REASONS.get(error.errno or 0, "{0}").format(error.strerror)
        raise LinkError(f"cannot connect to {address}: {why}") from error
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return sock


def _connect(host: str, port: int, timeout: float) -> socket.socket:
    """The first of the host's addresses that answers, all of them within the timeout."""
    deadline = time.monotonic() + timeout
    addresses = _resolve(host, port, timeout)
    while True:
        patience = max(deadline - time.monotonic(), 0.01) / len(addresses)
        try:
            return socket.create_connection(addresses.pop(0), patience)
        except OSError:
            if not addresses:
                raise


def _resolve(host: str, port: int, timeout: float) -> list[tuple[str, int]]:
    """All addresses of a host, at least one.

    In a thread, for a name server that is not there is waited for in a call that nothing ends,
    Ctrl-C neither.
    """
    answers: queue.SimpleQueue[list[tuple[str, int]] | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            answers.put(list(dict.fromkeys((str(one[4][0]), port) for one in found)))
        except (OSError, UnicodeError, ValueError) as error:
            answers.put(error)

    threading.Thread(target=ask, name="resolver", daemon=True).start()
    try:
        answer = answers.get(timeout=timeout)
    except queue.Empty:
        raise socket.gaierror(0, f"no answer within {timeout:.3g} seconds") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


_REASONS = {
    errno.ECONNREFUSED: "nothing listens there ({0}); is the server running?",
    errno.EHOSTUNREACH: "the host cannot be reached ({0})",
    errno.ENETUNREACH: "there is no way to that network ({0})",
}


def _on_this_machine(sock: socket.socket) -> bool:
    """Whether both ends are here: by an address of the loopback, or another of our own."""
    there = str(sock.getpeername()[0])
    return there == str(sock.getsockname()[0]) or there.startswith("127.")


def _names_loopback(host: str) -> bool:
    return host.lower() in ("", "localhost", "::1") or host.startswith("127.")


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Link:
    """A client and its socket. `send` may be called from any thread, reading is one thread's.

    Another machine is spoken to in TLS, and its certificate has to be the one it had before; this
    machine is not, unless by a name that has a certificate. `tls` decides otherwise. `tell` gets
    what a person should know: that a certificate is seen for the first time.

    `others` are further addresses of the same chat, tried in this order where one does not let us
    in. A session goes on only at one that keeps the same log. It `leaves` a server that is of no
    use for another one, unless that is forbidden.
    """

    def __init__(
        self,
        address: Address,
        client: Client,
        *,
        others: Sequence[Address] = (),
        tls: bool | None = None,
        known: KnownServers | None = None,
        tell: Callable[[str], None] = _tell,
        timeout: float = TIMEOUT,
        quiet: float = QUIET,
        leaves: bool = True,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.addresses = (address, *others)  # as they were given
        self.home = address  # by which what belongs to this chat is kept, wherever we are
        self.client = client
        self.tell = tell
        self._turn = deque(self.addresses)  # begins with the one that is spoken to, or tried next
        self._left: Address | None = None  # where the newest session was, or is
        self._openings: deque[float] = deque(maxlen=OPENINGS)  # when there was a welcome
        self._unheard = 0  # hellos that we have left without an answer
        self._told: set[str] = set()
        self._tls = tls
        self._known = known or KnownServers()
        self._deliver: Callable[[Event], None] | None = None
        self._timeout = timeout
        self._quiet = quiet
        self._clock = clock
        self._pause = pause
        self._lock = threading.RLock()
        self._socket: socket.socket | SecureSocket | None = None
        self._arrived: deque[Event] = deque()
        self._sent_at = 0.0
        self._watch = Watch(quiet)
        self._leaves = leaves
        self._leaving = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def deliver_to(self, deliver: Callable[[Event], None]) -> None:
        """Call this with each event, in order and never twice at once, instead of `events`.

        What has arrived already is delivered before this returns.
        """
        with self._lock:
            self._deliver = deliver
            self._settle()

    def now(self) -> float:
        """Seconds of a clock that only goes forward."""
        return self._clock()

    @property
    def settled(self) -> bool:
        """Whether every request has been answered, and its answer delivered."""
        with self._lock:
            return not self.client.unanswered

    @property
    def address(self) -> Address:
        """Where we are, or shall be tried next."""
        return self._left if self._left and self.client.opened else self._turn[0]

    @property
    def several(self) -> bool:
        """Whether there is more than one address."""
        return len(self._turn) > 1

    @property
    def goes_on(self) -> bool:
        """Whether the end of this connection need not be that of the session: it is tried at once.

        Not where one session after the other has ended.
        """
        last, openings = self.client.last_word, self._openings
        if len(openings) == OPENINGS and self._clock() - openings[0] < WITHIN:
            return False
        return self.several if last is None else self.called_back and self._at_once

    @property
    def called_back(self) -> bool:
        """Whether the server's last word was that the session goes on, here or elsewhere."""
        last = self.client.last_word
        if last is None:
            return False
        return self._displaced or (last.reconnect and (self.several or last.reason == "shutdown"))

    @property
    def _at_once(self) -> bool:
        return self.several or self._stays or self._displaced

    @property
    def _stays(self) -> bool:
        """Whether the server's last word was that another process is in its place already."""
        last = self.client.last_word
        return last is not None and last.reconnect and last.after_s == 0

    @property
    def _displaced(self) -> bool:
        """Whether we were replaced by ourselves: a hello that we had given up has come late."""
        last = self.client.last_word
        return last is not None and last.reason == "replaced" and self._unheard > 0

    def open(self, timeout: float | None = None) -> Opened:
        """Connect and log in, within so many seconds, where the first address lets us.

        After a session the next one is the first. Where none does, but one may soon, all are tried
        again. Raises `LinkError` or `LoginRefusedError`.
        """
        deadline = self._clock() + (self._timeout if timeout is None else timeout)
        each = BRIEFLY if self.several else math.inf
        while True:
            try:
                return self.attempt(max(deadline - self._clock(), 0.01), each)
            except (UnavailableError, SilentError):
                if self._clock() + LATER >= deadline:
                    raise
                self._pause(LATER)
                each *= 2

    def attempt(self, timeout: float, each: float = math.inf) -> Opened:
        """The same, with each address tried once, and for so many seconds at most."""
        self._leaving = False
        self.drop()
        if self._left == self._turn[0] and not self._stays:
            self._turn.rotate(-1)
        return self._first_of(len(self._turn), timeout, each)

    def _first_of(self, tries: int, timeout: float, each: float = math.inf) -> Opened:
        """The first of so many addresses that lets us in; else one error for all of them."""
        deadline = self._clock() + timeout
        failed: dict[str, LinkError | LoginRefusedError] = {}
        for left in range(tries, 0, -1):
            patience = max(deadline - self._clock(), 0.01) / left
            try:
                return self._open(min(patience, each))
            except LoginRefusedError as refused:
                if refused.error.error not in NO_PLACE:
                    raise  # as everybody of this chat would
                failed[f"{self._turn[0]}: {refused}"] = refused
                self._turn.rotate(-1)
            except LinkError as error:
                failed[self._turn_away(error)] = error
        raise _all_of(failed)

    def _move(self) -> None:
        """Have the session at another address, if one takes it; else it stays where it is."""
        here, silent = self._turn[0], self._watch.in_doubt
        self._watch.tried(self._clock())
        self._turn.rotate(-1)
        try:
            self._first_of(len(self._turn) - 1, DOUBT)
        except (LinkError, LoginRefusedError):
            while self._turn[0] != here:
                self._turn.rotate(-1)
        else:
            why = "does not answer" if silent else "can keep nothing at present"
            self.tell(f"{here} {why}: you are at {self.address} now.")

    def _turn_away(self, error: LinkError) -> str:
        """Have another address tried instead of this one; why, in short."""
        why = str(error)
        if self.several and isinstance(error, UntrustedError | ForeignError):
            self._tell_once(why)
            foreign = isinstance(error, ForeignError)
            why = f"{self._turn[0]} is {'another chat' if foreign else 'not trusted'}"
        if isinstance(error, ForeignError):
            self._turn.popleft()  # for good: those who are there would see us come and go
        else:
            self._turn.rotate(-1)
        return why

    def _tell_once(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self.tell(text)

    def _open(self, timeout: float) -> Opened:
        """Log in at the next address. Where that fails we still are where we were."""
        deadline = self._clock() + timeout
        fresh = self._connect(timeout, deadline)
        try:
            heard = self._say_hello(fresh, deadline)
        except BaseException:  # Ctrl-C too: there is nobody to say goodbye to
            fresh.close()
            raise
        return self._settle_at(fresh, heard)

    def _settle_at(self, fresh: socket.socket | SecureSocket, heard: bytes) -> Opened:
        """Be there from now on, where this was heard, a welcome among it."""
        fresh.settimeout(self._quiet)
        with self._lock:
            self.drop()
            self._unheard -= self._displaced
            self.client.hello(bound=self._begun)
            self.client.data_to_send()  # it is said
            self._socket, self._left = fresh, self._turn[0]
            self._openings.append(self._clock())
            self._watch.heard(self._clock())
            if self.client.unanswered:
                self._watch.asked(self._clock())
            opened = next(one for one in self._receive(heard) if isinstance(one, Opened))
            if self._leaving:  # somebody has said goodbye to the one before meanwhile
                self.say_goodbye()
            return opened

    @property
    def _begun(self) -> bool:
        """Whether the session before was at another address."""
        return self._left not in (None, self._turn[0])

    def _connect(self, timeout: float, deadline: float) -> socket.socket | SecureSocket:
        """A socket over which may be spoken: nothing was said yet, beside a handshake."""
        sock = connect(self._turn[0], timeout)
        try:
            if self.several:
                watch_closely(sock)
            return self._secured(sock, deadline) if self._wants_tls(sock) else sock
        except CertificateError as error:
            sock.close()
            raise UntrustedError(str(error)) from error
        except BaseException:
            sock.close()
            raise

    def _wants_tls(self, sock: socket.socket) -> bool:
        if self._tls is not None:
            return self._tls
        try:
            here = _on_this_machine(sock)
        except OSError as error:  # it is gone already
            raise self._broken(error) from error
        if not here:
            return True
        known = any(self._known.knows(*one) for one in self._turn)
        return known and not _names_loopback(self._turn[0].host)

    def _secured(self, sock: socket.socket, deadline: float) -> SecureSocket:
        from chatsh.secure import HandshakeError, SecureSocket  # ssl: not for this machine

        timeout = max(deadline - self._clock(), 0.01)
        secure = SecureSocket(sock, self._turn[0].host, self._clock)
        try:
            shown = secure.shake_hands(timeout)
        except TimeoutError as error:
            raise self._no_tls(f"no answer within {timeout:.0f} seconds") from error
        except HandshakeError as error:
            if full := _full(error.heard):
                raise LoginRefusedError(full) from error
            raise self._no_tls(str(error)) from error
        except OSError as error:
            raise self._no_tls(error.strerror or str(error)) from error
        there, *others = self._turn
        if news := self._known.check(*there, shown, others=others, begun=self._begun):
            self.tell(news)
        return secure

    def _no_tls(self, why: str) -> LinkError:
        return LinkError(
            f"{self._turn[0]} accepts connections but does not speak TLS ({why}). To speak to a "
            "server without TLS, so that everybody on the way can read and change what is said, "
            "add --no-tls"
        )

    def _say_hello(self, fresh: socket.socket | SecureSocket, deadline: float) -> bytes:
        """Ask to be let in; all that was answered, once a welcome is among it."""
        scout, heard = self.client.scout(), bytearray()
        scout.hello(bound=self._begun)
        with contextlib.suppress(OSError):  # a failure shows where the connection is read
            fresh.sendall(b"".join(scout.data_to_send()))
        while len(heard) < PREFACE:
            data = self._welcome_bytes(fresh, deadline)
            heard += data
            scout.receive(data)
            if any(map(self._is_welcome, scout.events())):
                return bytes(heard)
        raise self._no_chat

    def _is_welcome(self, event: Event) -> bool:
        """Whether we are in. Raises why we are not."""
        if isinstance(event, Refused):
            raise self._refusal(event.error)
        if isinstance(event, Strange):
            raise self._no_chat
        if isinstance(event, Foreign):
            raise ForeignError(
                f"{self._turn[0]} is another chat, with a log of its own, than the one "
                f"at {self._left}: it is passed over"
            )
        return isinstance(event, Opened)

    @property
    def _no_chat(self) -> LinkError:
        return LinkError(f"{self._turn[0]} answers, but it is not a chat server")

    def _refusal(self, error: Error) -> LinkError | LoginRefusedError:
        if error.error == ErrorCode.STORAGE_FULL:
            return UnavailableError(
                f"{self._turn[0]} lets nobody in, for it can keep nothing at present "
                f"({error.error} {harmless(error.name)})"
            )
        refused = LoginRefusedError(error)
        if error.error == ErrorCode.ALREADY_LOGGED_IN and self._unheard:
            return UnavailableError(f"{self._turn[0]}: {refused}")  # that may be ourselves
        return refused

    def _welcome_bytes(self, fresh: socket.socket | SecureSocket, deadline: float) -> bytes:
        try:
            fresh.settimeout(max(deadline - self._clock(), 0.0))  # at 0 it takes what is there
            data = fresh.recv(CHUNK)
        except (TimeoutError, BlockingIOError) as error:
            self._unheard += 1
            raise SilentError(
                f"{self._turn[0]} accepts connections but says no welcome; is it a chat server?"
            ) from error
        except OSError as error:
            raise self._broken(error) from error
        if not data:
            raise LinkError(
                f"{self._turn[0]} closed the connection without a welcome; is it a chat server?"
            )
        return data

    def _broken(self, error: OSError) -> LinkError:
        return LinkError(
            f"{self._turn[0]} broke the connection without a welcome ({error.strerror or error}); "
            "is it a chat server?"
        )

    def send(self, request: Request, key: str = "") -> str:
        """Ask for something, now or when the link is there; the id is that of its `Answered`.

        `key` is that id where the request may have reached the server once already.
        """
        with self._lock:
            key = self.client.send(request, key)
            if self.client.unanswered:
                self._watch.asked(self._clock())
            self._flush()
            self._settle()
        return key

    def received(self, upto: int) -> None:
        """Take over what has come up to this number, for a client that does not by itself."""
        with self._lock:
            self.client.received(upto)
            self._flush()

    def looked(self, upto: int, *, peer: str | None = None, group: str | None = None) -> None:
        """Tell that a conversation was looked at, up to this number of the log."""
        with self._lock:
            self.client.read(upto, peer=peer, group=group)
            self._flush()

    def ask(self, request: Request) -> Reply | None:
        """Ask and wait for the answer; other events stay for `events`.

        Raises `LinkError` where the connection ends first. Not beside a thread that reads.
        """
        key, kept = self.send(request), deque[Event]()
        for event in self.events():
            if isinstance(event, Answered) and event.id == key:
                self._arrived.extendleft(reversed(kept))
                return event.reply
            kept.append(event)
        raise LinkError(f"{self.address} closed the connection")

    def events(self) -> Iterator[Event]:
        """What happens, as it happens; ends with the connection."""
        while True:
            while self._arrived:
                yield self._arrived.popleft()
            if not self.read():
                yield from self._arrived
                self._arrived.clear()
                return

    def read(self) -> bool:
        """Wait for bytes and take them, or do what their absence asks for; False at the end."""
        with self._lock:
            sock, (seconds, due) = self._socket, self._due()
        try:
            data = _within(sock, seconds) if sock else b""
        except TimeoutError:
            return self._missed(due)
        except OSError:
            data = b""
        if not data:
            return False
        self._watch.heard(self._clock())
        self._receive(data)
        return True

    def _due(self) -> tuple[float, Due | None]:
        client = self.client
        return self._watch.due(
            self._clock(),
            several=self.several and self._leaves,
            extended=client.extended,
            stuck=client.stuck,
        )

    def _missed(self, due: Due | None) -> bool:
        """Nothing has come: ask, try elsewhere, and in the end believe that nobody is there."""
        if due is Due.MOVE:
            self._move()
        elif due is Due.PROBE:
            with self._lock:
                self._watch.probed(self._clock())
                self.client.probe()
                self._flush()
        return due is not Due.LOST

    def _receive(self, data: bytes) -> list[Event]:
        with self._lock:
            self.client.receive(data)
            self._flush()
            return self._settle()

    def _settle(self) -> list[Event]:
        events = self.client.events()
        self._arrived.extend(events)
        while self._deliver and self._arrived:  # each is gone before a delivery sends something
            self._deliver(self._arrived.popleft())
        return events

    def _flush(self) -> None:
        """Send what the client has. A failure shows where the connection is read."""
        for segment in self.client.data_to_send():
            if self._socket is None:
                return
            if self.client.opened and not self.client.extended:
                self._pause(max(self._sent_at + SPACING - self._clock(), 0))
                self._sent_at = self._clock()
            try:
                self._socket.sendall(segment)
            except OSError:  # a timeout too: half a frame is out, nothing can follow it
                self._shut(socket.SHUT_RDWR)
                return

    def say_goodbye(self) -> None:
        """Leave politely; what the server still says can be read until it closes."""
        with self._lock:
            self._leaving = True
            if self._socket:
                self._socket.settimeout(LINGER)
            self.client.quit()
            self._flush()
            self._shut(socket.SHUT_WR)

    def close(self) -> None:
        """Leave politely, hear the last word, and free the socket."""
        self.say_goodbye()
        deadline = self._clock() + LINGER
        with contextlib.suppress(OSError):
            while self._socket and self._clock() < deadline and self._socket.recv(CHUNK):
                pass
        self.drop()

    def drop(self) -> None:
        """Free the socket, whatever is on its way."""
        with self._lock:
            if self._socket:
                self._socket.close()
            self._socket = None
            self.client.opened = False

    def _shut(self, how: int) -> None:
        with contextlib.suppress(OSError):
            if self._socket:
                self._socket.shutdown(how)


def _within(sock: socket.socket | SecureSocket, seconds: float) -> bytes:
    """What comes in time; raises `TimeoutError`. A socket's own timeout is that of sending too."""
    if not isinstance(sock, socket.socket):
        return sock.recv(CHUNK, seconds)
    if not readable(sock, seconds):
        raise TimeoutError("timed out")
    return sock.recv(CHUNK)


def _all_of(failed: Mapping[str, LinkError | LoginRefusedError]) -> LinkError | LoginRefusedError:
    """One error for those of all addresses, which stand beside their reasons."""
    *before, last = failed.values()
    if not before or all(isinstance(one, LoginRefusedError) for one in failed.values()):
        return last
    kinds = set(map(type, failed.values()))
    told = (one for one in (UnavailableError, SilentError) if one in kinds)
    kind = UntrustedError if kinds == {UntrustedError} else next(told, LinkError)
    return kind(f"none of {len(failed)} servers lets us in: {'; '.join(failed)}")


def _full(heard: bytes) -> Error | None:
    """A full server says so to everybody alike, before it knows who speaks TLS."""
    try:
        error = msgspec.json.decode(heard, type=Error)
    except (msgspec.MsgspecError, UnicodeError):
        return None
    return error if error.error == ErrorCode.SERVER_FULL else None


def backoff(first: float = 0.5, most: float = 30.0) -> Iterator[float]:
    """Seconds between attempts: doubling up to `most`, each spread over its whole length."""
    ceiling = first
    while True:
        yield random.uniform(0, ceiling)  # noqa: S311  # spreads load, hides nothing
        ceiling = min(2 * ceiling, most)


class Keeper:
    """Reads a link in a thread, and opens it again when it is lost.

    `deliver` gets the events of the link, and `Lost`, `GaveUp` and `Told`, in the thread's context
    or in that of a caller of `send`. An `Opened` is a coming back.
    """

    def __init__(
        self,
        link: Link,
        deliver: Callable[[Event | Lost | GaveUp | Told], None],
        *,
        reconnect: bool = True,
        patience: float = PATIENCE,
        delays: Callable[[], Iterator[float]] = backoff,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.link = link
        self._deliver = deliver
        self._reconnect = reconnect
        self._patience = patience
        self._delays = delays
        self._clock = clock
        self._deadline: float | None = None
        self._wake = threading.Event()
        self._stopping = False
        # In our context: a front finds in it the terminal that it wakes.
        run = contextvars.copy_context().run
        self._thread = threading.Thread(target=run, args=(self._run,), name="link", daemon=True)

    def start(self) -> None:
        """Read from now on; what has arrived already is delivered first."""
        self.link.tell = lambda text: self._deliver(Told(text))
        self.link.deliver_to(self._deliver)
        self._thread.start()

    def hurry(self) -> None:
        """Somebody waits: try at once, and give up when the patience is over."""
        if self._deadline is None:
            self._deadline = self._clock() + self._patience
            self._wake.set()

    def stop(self) -> None:
        """Leave politely, and wait a moment for the server's last word."""
        self._stopping = True
        self._wake.set()
        self.link.say_goodbye()
        self._thread.join(LINGER)
        self.link.drop()

    def _run(self) -> None:
        while True:
            while self.link.read():
                pass
            lost = self.link.client.opened or self.called_back  # else somebody said goodbye
            self.link.drop()
            if self._stopping or not lost or not self._come_back():
                return

    @property
    def called_back(self) -> bool:
        """Whether the server's last word was to come back, here or elsewhere, and we do."""
        return self._reconnect and self.link.called_back

    def _come_back(self) -> bool:
        """Open the link again; False where that is given up."""
        self._deadline = None
        at_once = self.called_back and self.link.goes_on
        opened = self._attempt() if at_once else None  # then nobody need notice
        if opened is not None:
            return opened
        self._deliver(Lost(self._reconnect))
        delays = itertools.chain(self._first_delays(tried=at_once), self._delays())
        while opened is None and self._reconnect and self._wait(next(delays)):
            opened = self._attempt()
        if opened is None and not self._stopping:
            self._deliver(GaveUp())
        return bool(opened)

    def _first_delays(self, *, tried: bool) -> Iterable[float]:
        """Another address is tried at once; the same one no sooner than its server has said."""
        last = self.link.client.last_word
        if self.link.several:
            return (0.0,) if self.link.goes_on and not tried else ()
        return (float(last.after_s),) if last and last.after_s else ()

    def _attempt(self) -> bool | None:
        """Whether the link is open now, or never will be; None where it may be later."""
        try:
            # Where the others refuse at once, one that is silent must not have all of the time:
            # they may let us in a second later.
            share = TIMEOUT / len(self.link.addresses)
            self.link.attempt(max(min(self._time_left(), TIMEOUT), 0.01), share)
        except UntrustedError as error:
            self._deliver(GaveUp(why=str(error)))
            return False
        except UnavailableError:  # whoever waits for it has somebody to wait for
            self._deadline = self._deadline and self._clock() + self._patience
            return None
        except LinkError:
            return None
        except LoginRefusedError as refused:
            code = refused.error.error
            if code == ErrorCode.ALREADY_LOGGED_IN or (code in NO_PLACE and self.link.several):
                return None  # our own lost session, which the server is about to find out
            self._deliver(GaveUp(refused.error))
            return False
        return True

    def _wait(self, delay: float) -> bool:
        """Let time pass before the next attempt; False where there is to be none."""
        if self._deadline is not None:
            delay = min(delay, HURRIED, self._time_left())
        self._wake.wait(delay)
        self._wake.clear()
        return not self._stopping and self._time_left() > 0

    def _time_left(self) -> float:
        return math.inf if self._deadline is None else self._deadline - self._clock()
