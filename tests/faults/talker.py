"""One client: it reconnects, repeats what was not acknowledged, and confirms what it has."""

import asyncio
import contextlib
import json
from typing import NamedTuple

from plan import EVERYONE, Message

PIPELINE = 8  # messages sent and not acknowledged yet
ITEMS = ("incoming", "incoming_broadcast", "incoming_group", "group_event")
CONFIRMED = 5  # items from one `received` to the next


class Got(NamedTuple):
    """One item as it came, in the order of coming."""

    seq: int
    sender: str
    number: int


class Client:
    """Lives through every fault with what it has: its position, its token, its unsent messages."""

    def __init__(self, world, name: str, messages: list[Message], port: int):
        self.world, self.name, self.port = world, name, port
        self.have = 0  # seq
        self.opened = 0  # sessions
        self.plan(messages)
        self._token = self._epoch = None
        self._confirmed = 0
        self._writer: asyncio.StreamWriter | None = None
        self._waiting: dict[str, asyncio.Future] = {}

    def plan(self, messages: list[Message]) -> None:
        """What it has to say from now on; everything before is settled."""
        self.messages = messages
        self.acknowledged: dict[int, int] = {}  # number to seq
        self.got: list[Got] = []
        self.wrong: list[str] = []
        self._next = 0  # index of the first message that was never sent
        self._settling: tuple[int, int] | None = None  # the ping's number, and what was there then
        self._settled = asyncio.Event()

    @property
    def finished(self) -> bool:
        """Whether everything it wanted to say is acknowledged."""
        return len(self.acknowledged) == len(self.messages)

    # --- its life -------------------------------------------------------------------------------

    async def run(self) -> None:
        """One session after the other, until cancelled."""
        while True:
            with contextlib.suppress(OSError, EOFError):
                await self._session()

    async def _session(self) -> None:
        reader, self._writer = await self._connect()
        try:
            self._hello()
            while (line := await self._line(reader)).endswith(b"\n"):
                frame = json.loads(line)
                self._take(frame)
                if frame.get("error") == 103:  # the daemon says how long the other one has
                    await self.world.pause(frame["retry_after"])
        finally:
            self._writer.close()
            self._writer = None

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port, limit=1_048_576)

    async def _line(self, reader: asyncio.StreamReader) -> bytes:
        return await reader.readline()

    def _hello(self) -> None:
        more = {"token": self._token} if self._token else {}
        if self._epoch:
            more["after"] = {"epoch": self._epoch, "seq": self.have}
        self._send("hello", name=self.name, v=1, **more)

    def _send(self, code: str, **fields) -> None:
        if self._writer and not self._writer.is_closing():
            self._writer.write(json.dumps({"code": code, **fields}).encode() + b"\n")

    # --- what the world asks of it --------------------------------------------------------------

    async def request(self, code: str, **fields) -> dict:
        """A request outside of the faults, and its answer."""
        key = f"r{len(self._waiting)}"
        self._waiting[key] = asyncio.get_running_loop().create_future()
        self._send(code, id=key, **fields)
        return await self._waiting[key]

    def start(self) -> None:
        """Begin to talk."""
        self._fill()

    async def settle(self) -> None:
        """Come back when nothing more is on its way to this client."""
        self._ask_for_rest(0)
        await self._settled.wait()

    def _ask_for_rest(self, number: int) -> None:
        self._settling = (number, self.have)
        self._send("received", upto=self.have)
        self._send("ping", n=number)

    # --- frames ---------------------------------------------------------------------------------

    def _take(self, frame: dict) -> None:
        handle = getattr(self, "_on_" + frame["code"], None)
        if handle:
            handle(frame)
        if "seq" in frame and frame["code"] in ITEMS:
            self._note(frame)

    def _note(self, frame: dict) -> None:
        seq = frame["seq"]
        if seq <= self.have:
            self.wrong.append(f"{self.name}: item {seq} came behind item {self.have}")
        self.have = max(self.have, seq)
        if frame.get("from") in self.world.by_name:  # others may be there as well
            self.got.append(Got(seq, frame["from"], int(frame["content"])))
        if len(self.got) % CONFIRMED == 0:
            self._send("received", upto=self.have)

    def _on_welcome(self, frame: dict) -> None:
        self.opened += 1
        self._token, self._epoch = frame["token"], frame["epoch"]
        if frame.get("gap"):
            self.wrong.append(f"{self.name}: a gap, behind item {self.have}")
        if self.opened == 1:
            self.have = frame["seq"]
            self.world.joined(self)
        for message in self.messages[: self._next]:
            if message.number not in self.acknowledged:
                self._say(message)
        if self.opened > 1:
            self._fill()
        if self._settling:
            self._ask_for_rest(self._settling[0] + 1)

    def _fill(self) -> None:
        while self._next - len(self.acknowledged) < PIPELINE and self._next < len(self.messages):
            self._say(self.messages[self._next])
            self._next += 1

    def _say(self, message: Message) -> None:
        key, content = f"{self.name}-{message.number}", str(message.number)
        if message.to == EVERYONE:
            self._send("outgoing_broadcast", content=content, id=key)
            return
        code, field = ("outgoing_group", "group") if message.group else ("outgoing", "to")
        self._send(code, **{field: message.to}, content=content, id=key)

    def _on_ack(self, frame: dict) -> None:
        number = int(frame["re"].rpartition("-")[2])
        before = self.acknowledged.setdefault(number, frame["seq"])
        if before != frame["seq"]:
            self.wrong.append(f"{self.name}: message {number} is {before} and {frame['seq']}")
        self.world.one_more(sum(len(one.acknowledged) for one in self.world.clients))
        self._fill()

    def _on_group_info(self, frame: dict) -> None:
        self._waiting[frame["re"]].set_result(frame)

    def _on_receipt(self, frame: dict) -> None:
        reader = self.world.by_name[frame["by"]]
        if frame["delivered"] > reader.have:
            self.wrong.append(f"{self.name}: {reader.name} has {reader.have}, but was told {frame}")

    def _on_error(self, frame: dict) -> None:
        if frame["error"] not in (103, 110, 504):
            raise RuntimeError(f"{self.name} was told {frame}")

    def _on_pong(self, frame: dict) -> None:
        if self._settling is None or frame["n"] != self._settling[0]:
            return
        if self.have == self._settling[1]:
            self._settled.set()
        else:
            self._ask_for_rest(self._settling[0] + 1)
