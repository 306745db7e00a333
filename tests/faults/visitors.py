"""Who comes and goes beside the talkers of a soak, each kind with a promise that is checked.

A visit that a fault cuts off proves nothing and begins anew; what a visit has found wrong stays.
"""

import asyncio
import contextlib
import json
from itertools import count

SAID = 40  # messages of a visit of two plain clients
PAUSE = 0.05  # seconds between two visits


class Cut(Exception):  # noqa: N818 - nobody's error
    """The connection has ended."""


class Wire:
    """Objects over one connection."""

    def __init__(self, reader, writer):
        self._reader, self._writer = reader, writer

    def send(self, code: str, **fields) -> None:
        self._writer.write(json.dumps({"code": code, **fields}).encode() + b"\n")

    async def read(self) -> dict:
        try:
            line = await self._reader.readline()
        except OSError:
            line = b""
        if not line.endswith(b"\n"):
            raise Cut
        return json.loads(line)

    async def until(self, code: str, **fields) -> list[dict]:
        """Everything up to the first object of that code with these fields."""
        frames = [await self.read()]
        while frames[-1]["code"] != code or not fields.items() <= frames[-1].items():
            frames.append(await self.read())
        return frames

    def reset(self) -> None:
        self._writer.transport.abort()


class Visitors:
    """All of them, until they are cancelled."""

    def __init__(self, world):
        self._world = world
        self.visits = 0  # that went to their end
        self.cut = 0
        self.wrong: list[str] = []
        self._numbers = count(1)

    async def run(self) -> None:
        """Every kind at the same time."""
        async with asyncio.TaskGroup() as all_of_them:
            for visit in (self._two_plain, self._passer_by, self._full_queue):
                all_of_them.create_task(self._again_and_again(visit))

    async def _again_and_again(self, visit) -> None:
        for number in count():
            try:
                await visit(number)
                self.visits += 1
            except (Cut, OSError):
                self.cut += 1
            await asyncio.sleep(PAUSE)

    @contextlib.asynccontextmanager
    async def _session(self, name: str, **fields):
        """A connection behind its welcome; it ends without a word unless `quit` was said."""
        await self._world.up.wait()
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self._world.port, limit=1_048_576
        )
        wire = Wire(reader, writer)
        try:
            wire.send("hello", name=name, **fields)
            first = await wire.read()
            while first["code"] == "error" and first["error"] == 110:
                first = await wire.read()
            if first["code"] != "welcome":
                raise Cut  # the one before is not known to be gone, or the daemon is going
            wire.welcome = first
            yield wire
        finally:
            writer.close()

    # --- the kinds --------------------------------------------------------------------------------

    async def _two_plain(self, number: int) -> None:
        """One tells the other, over S3's codes; what both have asked behind it proves the rest."""
        async with self._session("pat") as pat, self._session("paul") as paul:
            said = [str(next(self._numbers)) for _ in range(SAID)]
            for text in said:
                pat.send("outgoing", to="paul", content=text)
            pat.send("who")
            await pat.until("users")
            paul.send("who")
            frames = await paul.until("users")
            got = [one["content"] for one in frames if one.get("from") == "pat"]
            now = [text for text in got if int(text) >= int(said[0])]  # others wait from before
            if now != said:
                self.wrong.append(f"paul was told {now} and not {said}")
            await self._go(pat, number)
            await self._go(paul, number + 1)

    async def _passer_by(self, number: int) -> None:
        """Looks around, and leaves in one way or another."""
        async with self._session(f"passer{number % 5}", v=1) as wire:
            for code, answer, fields in (
                ("who", "users", {"detail": True}),
                ("history", "items", {"all": True, "limit": 20}),
                ("seen", "seen", {"name": "user0"}),
            ):
                wire.send(code, id=code, **fields)
                await wire.until(answer, re=code)
            await self._go(wire, number)

    async def _go(self, wire: Wire, number: int) -> None:
        if number % 2:
            wire.reset()
        else:
            wire.send("quit")
            with contextlib.suppress(Cut):
                while True:
                    await wire.read()

    async def _full_queue(self, number: int) -> None:
        """For somebody who is away, until no more is taken; then all of it is there, once."""
        async with self._session("away", v=1) as away:
            token, seq = away.welcome["token"], away.welcome["seq"]
            epoch = away.welcome["epoch"]
            away.send("received", upto=seq)
            await self._go(away, 0)
        acknowledged = await self._fill()
        got: list[str] = []
        while len(got) < len(acknowledged):
            with contextlib.suppress(Cut, OSError):
                place = {"epoch": epoch, "seq": seq}
                async with self._session("away", v=1, token=token, after=place) as away:
                    while len(got) < len(acknowledged):
                        frame = await away.read()
                        if frame.get("from") == "filler":
                            got.append(frame["content"])
                        if "seq" in frame:
                            seq = frame["seq"]
                            away.send("received", upto=seq)
                    away.send("ping", n=1)
                    await away.until("pong")
            await asyncio.sleep(PAUSE)
        if got != acknowledged:
            self.wrong.append(f"away got {got} and not {acknowledged}")

    async def _fill(self) -> list[str]:
        """What was taken, in order; over as many connections as it needs."""
        acknowledged: list[str] = []
        text = str(next(self._numbers))
        while True:
            with contextlib.suppress(Cut, OSError):
                async with self._session("filler", v=1) as wire:
                    while True:
                        wire.send("outgoing", to="away", content=text, id=text)
                        answer = await wire.read()
                        while answer.get("re") != text:
                            answer = await wire.read()
                        if answer["code"] == "error":
                            if answer["error"] != 305:
                                self.wrong.append(f"filler was told {answer}")
                            return acknowledged
                        acknowledged.append(text)
                        text = str(next(self._numbers))
            await asyncio.sleep(PAUSE)
