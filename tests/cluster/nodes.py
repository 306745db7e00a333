"""What can break in a cluster: three daemons and three NATS nodes, each on a machine of its own."""

import asyncio
import contextlib
import signal
import sys
from pathlib import Path

from peers.nats import NatsCluster

STRANDED = 2  # pages that do not come until a daemon is given up
PAGE = 1.0  # seconds for one of them
BETWEEN = 0.25  # ... and until the next


class Keeper:
    """One NATS node."""

    kind = "nats"

    def __init__(self, cluster: NatsCluster, number: int, machine):
        self.name, self.machine = f"{self.kind}{number}", machine
        self._cluster, self._number = cluster, number

    async def kill(self) -> None:
        await asyncio.to_thread(self._cluster.servers[self._number].kill)

    async def revive(self) -> None:
        await asyncio.to_thread(self._cluster.restart, self._number)

    def signal(self, number: int) -> None:
        self._cluster.servers[self._number].signal(number)


class Daemon:
    """One daemon, always on the same port and folder."""

    kind = "chatd"

    def __init__(self, folder: Path, number: int, machine, url: str):
        self.name, self.machine = f"{self.kind}{number}", machine
        self._words = ("--data", str(folder / self.name), "--cluster", url)
        self._drain: asyncio.Task | None = None
        self.port = 0
        self.going = False  # its end is ours

    async def revive(self) -> None:
        """Wait until it is ready. Raises `RuntimeError` where it will not start."""
        self._process = await asyncio.create_subprocess_exec(
            *self.machine.before, sys.executable, "-m", "chatd", str(self.port),
            "--host", self.machine.address, "--log-content", "none", *self._words,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        said: list[str] = []
        while line := await self._process.stdout.readline():
            said.append(line.decode())
            if said[-1].startswith("listening on"):
                self.port = int(said[-1].rpartition(" ")[2])
            elif said[-1].startswith("certificate: "):
                self.going = False
                self._drain = asyncio.create_task(self._watch(said))
                return
        raise RuntimeError(f"{self.name} does not start: " + "".join(said))

    async def _watch(self, said: list[str]) -> None:
        while line := await self._process.stdout.readline():
            said.append(line.decode())
            del said[:-30]
        if not self.going:
            raise RuntimeError(f"{self.name} has ended: " + "".join(said))

    @property
    def watched(self) -> asyncio.Task:
        """It fails when the daemon has ended by itself."""
        return self._drain

    async def kill(self) -> None:
        self.going = True
        self.signal(signal.SIGKILL)
        await self._process.wait()

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    async def is_stranded(self) -> None:
        """Comes back when it gives no sign of life: a page that asks nobody else."""
        missed = 0
        while missed < STRANDED:
            await asyncio.sleep(BETWEEN)
            try:
                async with asyncio.timeout(PAGE):
                    missed = 0 if await self._page() else missed + 1
            except (OSError, TimeoutError):
                missed += 1

    async def _page(self) -> bytes:
        reader, writer = await asyncio.open_connection(self.machine.address, self.port)
        try:
            writer.write(b"GET /healthz HTTP/1.0\r\n\r\n")
            return await reader.readline()
        finally:
            writer.transport.abort()


class Blow:
    """One way to break one of them, until it is healed."""

    def __init__(self, kind: str, victim: Keeper | Daemon):
        self.kind, self.victim = kind, victim

    def __str__(self) -> str:
        return f"{self.kind} {self.victim.name}"

    async def strike(self) -> None:
        if self.kind == "kill":
            await self.victim.kill()
        elif self.kind == "freeze":
            self.victim.signal(signal.SIGSTOP)
        else:
            self.victim.machine.cut()

    async def heal(self) -> None:
        if self.kind == "kill":
            await self.victim.revive()
        elif self.kind == "freeze":
            self.victim.signal(signal.SIGCONT)
        else:
            self.victim.machine.heal()
