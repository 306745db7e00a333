"""One client of a cluster: whatever happens to its node, it goes on with the next one."""

import asyncio
import contextlib
import json
import time

from talker import PIPELINE, Client

CONNECTING = 3.0  # seconds
PAUSE = 0.05  # seconds between two nodes
PATIENCE = 60.0  # seconds for an end that has to come


class Abandoned:
    """A session whose client has gone on elsewhere, without the node being able to know."""

    def __init__(self, name: str, reader, writer, *, plain: bool = False):
        self.name = name
        self._reader, self._writer = reader, writer
        self._asked, self._answer = ("who", "users") if plain else ("ping", "pong")

    def close(self) -> None:
        """Without a word."""
        self._writer.transport.abort()

    async def judge(self) -> str:
        """What is wrong with it when its node is back: it must be over, and answer nothing more."""
        with contextlib.suppress(OSError):
            self._writer.write(json.dumps({"code": self._asked}).encode() + b"\n")
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._end()
        except TimeoutError:
            return f"{self.name}: its session of before has no end"
        finally:
            self.close()

    async def _end(self) -> str:
        with contextlib.suppress(OSError, ValueError):
            while line := await self._reader.readline():
                frame = json.loads(line)
                if frame["code"] == self._answer:
                    return f"{self.name}: two sessions have the name"
        return ""


class Wanderer(Client):
    """Paced by the world; `struck` is when its node was dealt a blow, or has let it go."""

    def __init__(self, world, name: str, messages, at: int):
        self.home = self.at = at  # the number of its node
        self.struck: float | None = None
        self.refused: set[int] = set()  # messages that were put off with 505
        self._reading: asyncio.Task | None = None
        self._reader = None
        self._welcomed = False  # what is said before would stand in front of what is said again
        super().__init__(world, name, messages, 0)

    @property
    def daemon(self):
        return self.world.daemons[self.at]

    async def run(self) -> None:
        while True:
            with contextlib.suppress(OSError, EOFError):
                await self._session()
            self.struck = self.struck or time.monotonic()
            self.at = (self.at + 1) % len(self.world.daemons)
            await asyncio.sleep(PAUSE)

    async def _connect(self):
        daemon, self._welcomed = self.daemon, False
        try:
            async with asyncio.timeout(CONNECTING):
                self._reader, writer = await asyncio.open_connection(
                    daemon.machine.address, daemon.port, limit=1_048_576
                )
        except TimeoutError:
            raise ConnectionError from None
        return self._reader, writer

    async def _line(self, reader) -> bytes:
        """The next line; none where the node was given up meanwhile."""
        self._reading = asyncio.ensure_future(reader.readline())
        try:
            await asyncio.wait([self._reading])
            return b"" if self._reading.cancelled() else self._reading.result()
        finally:
            self._reading.cancel()

    @property
    def is_home(self) -> bool:
        return self.at == self.home and self.struck is None

    def go_home(self) -> None:
        """To the node where it began."""
        if self.at != self.home:
            self.at = self.home - 1
            self.abandon().close()

    def abandon(self) -> Abandoned | None:
        """Leave everything as it is, and go on elsewhere."""
        if self._reading is None or self._writer is None:
            return None
        # Whoever closes it closes this one, not the connection: the node is to find out by itself.
        left, self._writer = self._writer, _Nobody()
        self._reading.cancel()
        return Abandoned(self.name, self._reader, left)

    def _fill(self) -> None:
        upto = round(self.world.share * len(self.messages))
        while self._next - len(self.acknowledged) < PIPELINE and self._next < upto:
            self._say(self.messages[self._next])
            self._next += 1

    def go_on(self) -> None:
        """More may be said."""
        if self._welcomed:
            self._fill()

    def _on_welcome(self, frame: dict) -> None:
        if self.struck is not None and self.opened:
            self.world.resumed(self, time.monotonic() - self.struck)
        self.struck, self._welcomed = None, True
        super()._on_welcome(frame)

    def _on_error(self, frame: dict) -> None:
        if frame["error"] != 505:
            super()._on_error(frame)
            return
        key = str(frame.get("re", ""))
        if key.startswith(self.name + "-"):
            number = int(key.rpartition("-")[2])
            self.refused.add(number)
            asyncio.get_running_loop().call_later(frame["retry_after"], self._again, number)
        elif self._settling:
            self._ask_for_rest(self._settling[0] + 1)

    def _again(self, number: int) -> None:
        for message in self.messages[: self._next]:
            if message.number == number and number not in self.acknowledged and self._welcomed:
                self._say(message)


class _Nobody:
    """In the place of a connection that somebody else has."""

    def close(self) -> None:
        pass

    def is_closing(self) -> bool:
        return True
