"""The client of NATS on a thread of its own: asyncio lives here, and nowhere else.

The loop of the daemon hands over what is to be published, and takes what has come; `fileno` is
readable when there is something. It waits for nothing but the start. What comes is bounded by the
flow control of the consumer: its questions stand between the records, and are answered by whoever
takes these.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import ParseResult, urlsplit

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import AuthorizationError, NoRespondersError
from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    DiscardPolicy,
    StorageType,
    StreamConfig,
    StreamInfo,
)
from nats.js.errors import APIError, NotFoundError, ServiceUnavailableError

from chatd.cluster.records import FORMAT, signs, told_signs
from chatd.wire.errors import StoreError

# Version of the server. With 2.9.10 three replicas lose what they have stored: a leader that was
# cut off comes back with entries of its own, and some of what is acknowledged then is in it alone.
NEEDED = (2, 10, 27)
CONNECTING = 5.0  # seconds for the first connection
# Seconds for one answer of JetStream. A stream that has no leader yet, because another node makes
# it just now, gives none, and is asked again.
ANSWERS = (0.5, 1.0, 1.5, 2.0, 2.5)
TICK = 1.0  # seconds between two signs of life
LEASE = 3.0  # seconds of silence after which a node is dead: its names are free within five
ECHO = 2.0  # seconds without one's own: it is NATS that is silent
AWAY = 2.0  # seconds without a heartbeat of the consumer: it is made anew
BROKEN = -2  # in place of a number: none comes behind it
CATCHING_UP = 20.0  # seconds for a new leader
AGAIN = 0.2  # seconds between two reports that something was refused
MANY = 3  # replicas: one of their machines may be lost
LOG = f"chatd, format {FORMAT}"  # what the description of a stream begins with
FILLING = f"chatd, import of format {FORMAT}"  # ... while it has a part of one
NO_REPLICAS = (10074, 10005)  # error codes: one server alone, or fewer than are asked for
FEW_SERVERS = "; each replica needs a server of its own in one cluster of NATS: --replicas"
NO_TAKER = "NATS answers {}: nobody takes what is published; has it a quorum?"
NO_TLS = "it does not speak TLS; nothing was sent there"
NO_USER = "it wants a user and a password: nats://USER:PASSWORD@HOST:PORT"
WRONG_USER = "it does not let in this user with this password"
NO_TRUST = "its certificate is not trusted: {}; SSL_CERT_FILE=FILE names a CA of your own"


class Letter(NamedTuple):
    """One message to publish."""

    tail: str  # of its subject
    data: bytes


class Arrived(NamedTuple):
    """A record of the stream, in its order, each once."""

    place: int
    data: bytes
    ts: int  # milliseconds since 1970, by the clock of NATS


class Flow(NamedTuple):
    """Give this to `Link.go_on` when everything before it is done."""

    reply: str


class Again(NamedTuple):
    """What was published may be lost: whatever has not come back is to be sent again."""

    why: str = ""  # what NATS says of it; "" where the connection was lost


class Silent(NamedTuple):
    """That node has given no sign of life for a lease, though we could have heard it."""

    origin: str


class Tick(NamedTuple):
    """A second is over."""

    trouble: str  # why NATS cannot be reached; "" where it can
    last_words: bool = False  # ... and never again: the stream is another one


Item = Arrived | Flow | Again | Silent | Tick


class Log(NamedTuple):
    """The stream as it was found or made."""

    epoch: str
    replicas: int
    new: bool  # made just now
    may_have_more: bool  # replicas: NATS is a cluster, and they are fewer than three
    forgotten: bytes | None  # the last record about what is no longer kept


class _Client(Client):
    """As it is, but `tls://` is TLS: nats-py leaves that to what the server says."""

    refusing = ""  # why a server would hang up on us

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        if initial_connection and self._current_server is not None:
            self._check(info, self._current_server.uri)  # before anything is sent
        await super()._process_info(info, initial_connection)

    def _check(self, info: dict[str, Any], url: ParseResult) -> None:
        if url.scheme == "tls":
            info["tls_required"] = info.get("tls_required") or info.get("tls_available")
            if not info["tls_required"]:
                raise nats.errors.Error(NO_TLS)
        wrong = WRONG_USER if url.username else NO_USER
        self.refusing = wrong if info.get("auth_required") else ""

    def why(self, error: Exception) -> str:
        """What is wrong with a connection, for the operator."""
        if hasattr(error, "verify_message"):  # of OpenSSL, about a certificate
            return NO_TRUST.format(error.verify_message)
        shut = isinstance(error, ConnectionError) or "authorization" in str(error).lower()
        if shut and self.refusing:
            return self.refusing
        return getattr(error, "strerror", None) or str(error) or type(error).__name__


class Link:
    """One connection to NATS, and the stream `name` behind it; `filling`: one that is made now."""

    def __init__(
        self, servers: Sequence[str], name: str, origin: str, *, filling: bool = False
    ) -> None:
        self._servers = list(servers)
        self._name = name
        self.origin = origin
        self._kind = FILLING if filling else LOG
        self._items: deque[Item] = deque()
        self._readable, self._writable = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="nats", daemon=True)
        self._watched: dict[str, float] = {}  # nodes, and since when
        self._signs: dict[str, float] = {}  # ... and when they have shown life, here or elsewhere
        self._place = 0  # of the newest record that has come
        self._newest = 0  # its number within the consumer
        self._heard = 0.0  # of the consumer
        self._behind = 0.0  # since then JetStream knows less than we have read
        self._connected = 0.0  # since then
        self._echo = 0.0  # when our own sign of life came back last
        self._refused = 0.0  # when that was said last
        self._reading: Any = None  # the subscription of the consumer
        self._tasks: list[asyncio.Task[None]] = []
        self._making: asyncio.Task[None] | None = None  # a consumer
        self._wrong = ""  # the last error of the connection
        self._epoch = ""
        self._made = False  # the stream, by us
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        self._loop.close()

    # --- for the loop of the daemon -------------------------------------------------------------

    def fileno(self) -> int:
        """Readable when there is something to take."""
        return self._readable

    def now(self) -> float:
        """Monotonic seconds."""
        return self._loop.time()

    def open(self, replicas: int) -> Log:
        """Connect, find or make the stream, and begin to read it; `replicas` 0: three if possible.

        Raises `StoreError`.
        """
        log: Log = self._wait(self._open(replicas))
        return log

    def finish(self) -> None:
        """What was being filled is a log now. Raises `StoreError`."""
        self._wait(self._asked(self._finish))

    def take(self, most: int) -> list[Item]:
        """What has come, at most so much of it."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._readable, 65_536)
        items = [self._items.popleft() for _ in range(min(most, len(self._items)))]
        if self._items:
            self._wake()
        return items

    def wait(self) -> None:
        """Until there is something to take: at the start, when there is no loop yet."""
        os.set_blocking(self._readable, True)
        os.read(self._readable, 1)
        os.set_blocking(self._readable, False)
        self._wake()  # what is there may be all that comes

    def publish(self, letters: Sequence[Letter]) -> None:
        """In this order; what comes of it is seen when it comes back."""
        self._loop.call_soon_threadsafe(self._do, self._publish(letters))

    def go_on(self, flow: Flow) -> None:
        """More may come."""
        self._loop.call_soon_threadsafe(self._do, self._publish_to(flow.reply, b""))

    def delete(self, places: Iterable[int]) -> None:
        """These are not needed any more; nothing is done about one that stays."""
        subject = f"$JS.API.STREAM.MSG.DELETE.{self._name}"
        for place in places:
            data = json.dumps({"seq": place, "no_erase": True}).encode()
            self._loop.call_soon_threadsafe(self._do, self._publish_to(subject, data))

    def watch(self, origins: Iterable[str]) -> None:
        """From now on these nodes are to give signs of life."""
        self._loop.call_soon_threadsafe(self._watch, frozenset(origins))

    def live_as(self, origin: str) -> None:
        """The name under which we give them."""
        self.origin = origin

    def close(self) -> None:
        """Send what is published, and end the thread."""
        with contextlib.suppress(StoreError):
            self._wait(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        for fd in (self._readable, self._writable):
            os.close(fd)

    def _wait(self, what: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result()

    # --- on the thread --------------------------------------------------------------------------

    def _tell(self, item: Item) -> None:
        self._items.append(item)
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._writable, b"\0")

    def _do(self, what: Coroutine[Any, Any, None]) -> None:
        self._queue.put_nowait(what)

    async def _work(self) -> None:
        """One after the other, so that what is published stays in its order."""
        while True:
            what = await self._queue.get()
            with contextlib.suppress(nats.errors.Error):  # it is sent again when we are back
                await what

    async def _publish(self, letters: Sequence[Letter]) -> None:
        """Only the last is acknowledged: what keeps it from being stored keeps them all."""
        if not self._client.is_connected:
            return
        *others, last = letters
        for letter in others:
            await self._client.publish(f"{self._name}.{letter.tail}", letter.data)
        await self._client.publish(f"{self._name}.{last.tail}", last.data, reply=self._answers)

    async def _publish_to(self, subject: str, data: bytes) -> None:
        if self._client.is_connected:
            await self._client.publish(subject, data)

    async def _answered(self, message: Msg) -> None:
        status = (message.headers or {}).get("Status")
        if status is None and b'"error"' not in message.data:
            return
        if self._loop.time() - self._refused > AGAIN:
            self._refused = self._loop.time()
            why = NO_TAKER.format(status) if status else _why(message.data)
            self._loop.call_later(AGAIN, self._tell, Again(why))

    def _watch(self, origins: frozenset[str]) -> None:
        now = self._loop.time()
        self._watched = {one: self._watched.get(one, now) for one in origins}
        self._signs = {one: at for one, at in self._signs.items() if one in origins}

    async def _beaten(self, message: Msg) -> None:
        """A sign of life; our own shows that we could hear the others, too."""
        now, origin = self._loop.time(), message.subject.rpartition(".")[2]
        self._note_sign(origin, now)
        if origin == self.origin:
            if now - self._echo > ECHO:
                self._connected = now
            self._echo = now
        self._learn(message.data)

    def _learn(self, data: bytes) -> None:
        """Whom the others have heard of, and how long ago: not everybody hears everybody."""
        for origin, seconds in told_signs(data).items():
            self._note_sign(origin, self._loop.time() - max(seconds, 0.0))

    def _note_sign(self, origin: str, at: float) -> None:
        if origin in self._watched:
            self._signs[origin] = max(at, self._signs.get(origin, at))

    def _is_silent(self, origin: str, now: float) -> bool:
        since = max(self._connected, self._watched[origin], self._signs.get(origin, 0.0))
        return now - since > LEASE

    @property
    def _trouble(self) -> str:
        """Why NATS cannot be reached."""
        if not self._client.is_connected:
            return f"NATS: {self._wrong or 'no connection'}"
        return "" if self._loop.time() - self._echo <= ECHO else "NATS does not answer"

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            with contextlib.suppress(nats.errors.Error):
                await self._beat()
            self._tell(Tick(self._trouble))

    async def _beat(self) -> None:
        now = self._loop.time()
        if not self._client.is_connected:
            self._connected = now
            return
        told = {origin: now - at for origin, at in self._signs.items()}
        await self._client.publish(f"{self._beats}.{self.origin}", signs(told))
        for origin in self._watched:
            if not self._trouble and self._is_silent(origin, now):
                self._tell(Silent(origin))
        if now - self._heard > AWAY:
            self._read_on()

    # --- the connection -------------------------------------------------------------------------

    async def _open(self, replicas: int) -> Log:
        self._queue: asyncio.Queue[Coroutine[Any, Any, None]] = asyncio.Queue()
        self._client: Client = await self._connect()
        self._beats = f"chatd_beat.{self._name}"
        info = await self._asked(partial(self._prepare, replicas))
        self._epoch = _epoch(info, self._name, self._kind)
        self._answers = self._client.new_inbox()
        await self._client.subscribe(self._answers, cb=self._answered)
        await self._client.subscribe(f"{self._beats}.*", cb=self._beaten)
        number, forgotten = info.config.num_replicas or 1, await self._asked(self._forgotten)
        more = bool(info.cluster and info.cluster.name) and number < MANY
        log = Log(self._epoch, number, self._made, more, forgotten)
        await self._asked(self._consume)
        self._connected = self._echo = self._loop.time()
        self._tasks = [self._loop.create_task(one) for one in (self._work(), self._tick())]
        return log

    async def _connect(self) -> Client:
        where = ", ".join(map(_harmless, self._servers))
        client = _Client()

        async def failed(error: Exception) -> None:
            self._wrong = client.why(error)

        try:
            connecting = client.connect(
                self._servers,
                name=f"chatd {self.origin}",
                error_cb=failed,
                disconnected_cb=self._gone,
                reconnected_cb=self._back,
                reconnect_time_wait=TICK / 4,  # type: ignore[arg-type]
                max_reconnect_attempts=-1,
                ping_interval=2,
                max_outstanding_pings=2,
                dont_randomize=True,  # the first that is named is on the own machine
                pending_size=0,
            )
            await asyncio.wait_for(connecting, CONNECTING)
        except (AuthorizationError, OSError, TimeoutError, ValueError, nats.errors.Error) as error:
            why = self._wrong or str(error) or "no answer"
            raise StoreError(f"cannot reach NATS at {where}: {why}") from None
        it = client.connected_server_version
        version = (it.major, it.minor, it.patch)
        if version < NEEDED:
            await client.close()
            has, needed = (".".join(map(str, one)) for one in (version, NEEDED))
            raise StoreError(
                f"NATS at {where} has version {has}; {needed} or newer is needed, since older ones"
                " may lose what they have stored"
            )
        return client

    async def _gone(self) -> None:
        self._wrong = self._wrong or "the connection is lost"

    async def _back(self) -> None:
        self._wrong = ""
        self._connected = self._loop.time()
        self._read_on()
        self._tell(Again())

    async def _close(self) -> None:
        for task in [*self._tasks, *([self._making] if self._making else [])]:
            task.cancel()
        client = getattr(self, "_client", None)
        if client is None or client.is_closed:
            return
        while not self._queue.empty():
            with contextlib.suppress(nats.errors.Error):
                await self._queue.get_nowait()
        with contextlib.suppress(nats.errors.Error, TimeoutError):
            await client.flush(1)
        await client.close()

    # --- the stream -----------------------------------------------------------------------------

    async def _asked(self, request: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """An answer of JetStream; raises `StoreError` in the operator's words."""
        try:
            return await self._asked_again(request)
        except (NoRespondersError, ServiceUnavailableError) as error:
            code = getattr(error, "err_code", None)
            if code in (None, 10039, 10076):
                raise StoreError("NATS runs without JetStream: nats-server -js") from None
            raise StoreError(f"JetStream has no quorum: {_text(error)}") from None
        except APIError as error:
            few = FEW_SERVERS if error.err_code in NO_REPLICAS else ""
            raise StoreError(
                f"JetStream refuses the stream {self._name}: {_text(error)}{few}"
            ) from None
        except (TimeoutError, nats.errors.Error):
            raise StoreError("JetStream does not answer: is there a quorum of its nodes?") from None

    async def _asked_again(self, request: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        try:
            for seconds in ANSWERS:
                self._stream: JetStreamContext = self._client.jetstream(timeout=seconds)
                try:
                    return await request()
                except TimeoutError:
                    continue
                except NotFoundError:  # another node makes it just now, and not all know of it yet
                    await asyncio.sleep(seconds)
            raise TimeoutError
        finally:
            self._stream = self._client.jetstream(timeout=ANSWERS[-1])

    async def _prepare(self, replicas: int) -> StreamInfo:
        await self._stream.account_info()
        info = await self._find()
        if info is None:
            return await self._make(replicas)
        _epoch(info, self._name, self._kind)
        if replicas and replicas != info.config.num_replicas:
            config = info.config.evolve(num_replicas=replicas)
            info = await self._stream.update_stream(config)
        return info

    async def _find(self) -> StreamInfo | None:
        """The stream; what an import has left behind makes room for the next one."""
        try:
            info = await self._stream.stream_info(self._name)
        except NotFoundError:
            return None
        if self._kind == LOG:
            return info
        if _described(info)[0] != FILLING:
            raise StoreError(
                f"there is a stream {self._name} already: import into one of its own,"
                " nats://HOST:PORT/NAME"
            )
        await self._stream.delete_stream(self._name)
        return None

    async def _make(self, replicas: int) -> StreamInfo:
        epoch = secrets.token_hex(4)
        for number in [replicas] if replicas else [MANY, 1]:
            config = StreamConfig(
                name=self._name,
                description=f"{self._kind}, epoch {epoch}",
                subjects=[f"{self._name}.>"],
                storage=StorageType.FILE,
                discard=DiscardPolicy.NEW,
                num_replicas=number,
            )
            try:
                info = await self._stream.add_stream(config)
                self._made = True
                return info
            except APIError as error:
                if error.err_code == 10058 and self._kind == LOG:
                    # Another node was faster, with an epoch of its own.
                    return await self._stream.stream_info(self._name)
                if replicas or number == 1 or error.err_code not in NO_REPLICAS:
                    raise
        raise AssertionError(replicas)

    async def _forgotten(self) -> bytes | None:
        try:
            found = await self._stream.get_last_msg(self._name, f"{self._name}.forget")
        except NotFoundError:
            return None
        return found.data

    async def _finish(self) -> None:
        """Others may have it from here on."""
        info = await self._stream.stream_info(self._name)
        if _described(info)[1] != self._epoch:
            raise StoreError(f"the stream {self._name} is another one now")
        description = f"{LOG}, epoch {self._epoch}"
        await self._stream.update_stream(info.config.evolve(description=description))
        self._kind = LOG

    # --- the consumer ---------------------------------------------------------------------------

    def _read_on(self) -> None:
        """Make it anew; signs of life are given meanwhile, however long JetStream takes."""
        if self._making is None or self._making.done():
            self._making = self._loop.create_task(self._make_anew())

    async def _make_anew(self) -> None:
        """Behind the last record, if it is still the same log."""
        try:
            info = await self._stream.stream_info(self._name)
            if _described(info)[1] != self._epoch:
                raise StoreError(f"the stream {self._name} is another one now")
            if info.state.last_seq < self._place:
                self._is_behind()
            else:
                self._behind = 0.0
                await self._consume()
        except NotFoundError:
            self._tell(Tick(f"the stream {self._name} is gone", last_words=True))
        except StoreError as error:
            self._tell(Tick(str(error), last_words=True))
        except (TimeoutError, nats.errors.Error) as error:
            self._wrong = _text(error)  # the next tick tries again

    def _is_behind(self) -> None:
        """A new leader has to catch up first; one that never does has lost what was newest."""
        now = self._loop.time()
        self._behind = self._behind or now
        if now - self._behind > CATCHING_UP:
            raise StoreError(f"the stream {self._name} has lost what was newest in it")

    async def _consume(self) -> None:
        if self._reading is not None:
            await self._reading.unsubscribe()
        inbox = self._client.new_inbox()
        self._newest, self._heard = 0, self._loop.time()
        self._reading = await self._client.subscribe(inbox, cb=self._reader(inbox))
        config = ConsumerConfig(
            deliver_subject=inbox,
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=self._place + 1,
            ack_policy=AckPolicy.NONE,
            flow_control=True,
            idle_heartbeat=TICK / 2,
            num_replicas=1,
            mem_storage=True,
        )
        await self._stream.add_consumer(self._name, config)

    def _reader(self, inbox: str) -> Callable[[Msg], Coroutine[Any, Any, None]]:
        async def came(message: Msg) -> None:
            if self._reading is None or self._reading.subject != inbox:
                return  # an earlier consumer's
            self._heard = self._loop.time()
            if message.headers and "Status" in message.headers:
                self._told(message)
                return
            place, number, ts = _sequence(message.reply)
            if number != self._newest + 1:
                self._break_off()
                return
            self._newest = number
            if place > self._place:  # a server that is behind begins earlier than it was asked to
                self._place = place
                self._tell(Arrived(place, message.data, ts))

        return came

    def _told(self, message: Msg) -> None:
        """A heartbeat, or a question whether we have got so far; it may stand in either."""
        headers = message.headers or {}
        reply = message.reply or headers.get("Nats-Consumer-Stalled")
        if reply:
            self._tell(Flow(reply))
        newest = headers.get("Nats-Last-Consumer")
        if newest is not None and int(newest) != self._newest:
            self._break_off()

    def _break_off(self) -> None:
        """Something was lost, or a restarted server begins from the beginning: read it anew.

        Nothing more of this consumer is taken: its numbers would fit again at some time.
        """
        self._newest, self._heard = BROKEN, 0.0
        self._read_on()


def _sequence(reply: str) -> tuple[int, int, int]:
    """Place in the stream, number within the consumer, milliseconds since 1970.

    `$JS.ACK.STREAM.CONSUMER.DELIVERED.PLACE.NUMBER.NANOSECONDS.PENDING`, or with two parts more for
    a domain and an account, and perhaps one behind (NATS ADR-15).
    """
    parts = reply.split(".")
    first = 5 if len(parts) == 9 else 7
    return int(parts[first]), int(parts[first + 1]), int(parts[first + 2]) // 1_000_000


def _described(info: StreamInfo) -> tuple[str, str]:
    """What the description says a stream is, and its epoch."""
    kind, _, epoch = (info.config.description or "").partition(", epoch ")
    return kind, epoch


def _epoch(info: StreamInfo, name: str, wanted: str) -> str:
    """What the description says. Raises `StoreError` for a stream that is not ours."""
    kind, epoch = _described(info)
    if kind == FILLING and wanted == LOG:
        raise StoreError(
            f"the stream {name} of NATS has a part of an import that is not finished: wait for it,"
            " run chatd import again, or name another stream: nats://HOST:PORT/NAME"
        )
    if kind != wanted or not epoch:
        raise StoreError(
            f"the stream {name} of NATS is not a log of this chatd; name another one: "
            "nats://HOST:PORT/NAME"
        )
    return epoch


def _harmless(server: str) -> str:
    """An address without the password that may be in it."""
    parts = urlsplit(server)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _why(data: bytes) -> str:
    with contextlib.suppress(ValueError, KeyError, TypeError):
        return f"NATS says: {json.loads(data)['error']['description']}"
    return "NATS refuses what is published"


def _text(error: Exception) -> str:
    return getattr(error, "description", None) or str(error) or type(error).__name__
