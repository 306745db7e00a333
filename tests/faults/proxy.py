"""The way of one client to the daemon, and what can happen to it."""

import asyncio
import contextlib
import socket
import struct
from collections import deque

from plan import Fault

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: a close sends RST


class Line:
    """One connection of the client, and the one to the daemon that belongs to it."""

    def __init__(self, near, far):
        self.near, self.far = near, far  # writers: to the client, and to the daemon
        self.open = asyncio.Event()  # cleared while nothing passes
        self.open.set()
        self.cut = False  # nothing passes any more

    def end(self):
        """Nobody has broken it: the end of one side is the end of the other."""
        if not self.cut:
            self.cut = True
            self.near.close()
            self.far.close()


class Proxy:
    """Listens for one client; a fault strikes with the next bytes that pass in either direction."""

    def __init__(self, world):
        self.world = world
        self.armed: deque[Fault] = deque()
        self._kept: list[asyncio.StreamWriter] = []  # of half-open connections
        self._held: list[tuple[int, Line, bool]] = []  # until when, which, and whether cut then
        self._tasks: set[asyncio.Task] = set()

    async def listen(self) -> None:
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._kept:
            writer.transport.abort()

    @property
    def holds(self) -> bool:
        """Whether its client waits for something that this proxy keeps back."""
        return bool(self._held)

    def release(self, acknowledged: int | None) -> None:
        """Let go on what was held until so many were acknowledged; None: everything."""
        due = [one for one in self._held if acknowledged is None or one[0] <= acknowledged]
        for one in due:
            self._held.remove(one)
            _, line, deaf = one
            line.open.set()
            if deaf:
                reset(line.near)

    def _accepted(self, reader, writer) -> None:
        task = asyncio.create_task(self._carry(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(self, near_reader, near) -> None:
        await self.world.up.wait()
        try:
            far_reader, far = await asyncio.open_connection("127.0.0.1", self.world.port)
        except OSError:
            reset(near)
            return
        line = Line(near, far)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump(line, near_reader, far))
                both.create_task(self._pump(line, far_reader, near))
        finally:
            line.end()

    async def _pump(self, line: Line, reader, writer) -> None:
        with contextlib.suppress(OSError):
            while not line.cut:
                data = await reader.read(65_536)
                await line.open.wait()
                if line.cut or not data or writer.is_closing():
                    break
                if self.armed:
                    fault = self.armed.popleft()
                    passing = int(len(data) * fault.share)
                    writer.write(data[:passing])
                    data = data[passing:]
                    self._strike(line, fault)
                    await line.open.wait()
                    if line.cut or writer.is_closing():
                        break
                writer.write(data)
                await writer.drain()
        line.end()

    def _strike(self, line: Line, fault: Fault) -> None:
        self.world.struck[fault.kind] += 1
        until = self.world.acknowledged + fault.span
        if fault.kind == "stall":
            line.open.clear()
            self._held.append((until, line, False))
            self.world.look()
            return
        line.cut = True
        if fault.kind == "rst":
            reset(line.near)
            reset(line.far)
        elif fault.kind == "fin":
            line.near.close()
            line.far.close()
        elif fault.kind == "ghost":  # the daemon does not learn that its client is gone
            reset(line.near)
            self._kept.append(line.far)
        else:  # deaf: the client does not learn it of the daemon, for a while
            reset(line.far)
            self._held.append((until, line, True))
            self.world.look()


def reset(writer: asyncio.StreamWriter) -> None:
    """Close by RST."""
    sock = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()
