"""The daemon, the clients with their proxies, and the progress that sets off the faults."""

import asyncio
import contextlib
import sys
from collections import Counter, deque
from pathlib import Path

from plan import Plan
from proxy import Proxy
from talker import Client


class World:
    """Everything of one proof; `run` ends when nothing more is to come."""

    def __init__(self, plan: Plan, folder: Path, selector: str):
        self.plan = plan
        self.acknowledged = 0
        self.struck: Counter[str] = Counter()
        self.up = asyncio.Event()  # the daemon listens
        self.port = 0
        self.clients: list[Client] = []
        self.by_name: dict[str, Client] = {}
        self.proxies = [Proxy(self) for _ in plan.names]
        self._folder = folder
        self._selector = ["--selector", selector] if selector else []
        self._faults = deque(plan.faults)
        self._to_kill: asyncio.Queue[None] = asyncio.Queue()
        self._joined: asyncio.Queue[Client] = asyncio.Queue()
        self._over = asyncio.Event()
        self._tasks: list[asyncio.Task] = []
        self._killing = False

    # --- its course -----------------------------------------------------------------------------

    async def run(self) -> None:
        """Everybody joins, talks through the faults, and takes what is left."""
        await self._start_daemon()
        self._tasks.append(asyncio.create_task(self._kill_on_demand()))
        for name, proxy in zip(self.plan.names, self.proxies, strict=True):
            await self._add(name, proxy)
        for group, members in self.plan.groups.items():
            owner = self.by_name[members[0]]
            await owner.request("group", op="create", group=group, names=members[1:])
        for client in self.clients:
            client.start()
        await self._unless_broken(self._over.wait())
        await self._unless_broken(self._to_kill.join())
        for client in self.clients:
            await self._unless_broken(client.settle())

    async def _add(self, name: str, proxy: Proxy) -> None:
        await proxy.listen()
        client = self.by_name[name] = Client(self, name, self.plan.messages[name], proxy.port)
        self.clients.append(client)
        self._tasks.append(asyncio.create_task(client.run()))
        await self._unless_broken(self._joined.get())

    def joined(self, client: Client) -> None:
        """It has its first session."""
        self._joined.put_nowait(client)

    async def _unless_broken(self, awaitable) -> None:
        """Wait for this, but not when a task has failed: its exception is raised instead."""
        wanted = asyncio.ensure_future(awaitable)
        done, _ = await asyncio.wait({wanted, *self._tasks}, return_when=asyncio.FIRST_COMPLETED)
        for one in done:
            one.result()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for proxy in self.proxies:
            await proxy.close()
        self._killing = True
        with contextlib.suppress(ProcessLookupError):
            self._daemon.kill()
        await self._daemon.wait()

    # --- progress -------------------------------------------------------------------------------

    def one_more(self, acknowledged: int) -> None:
        """So many messages are acknowledged now: some faults may be due."""
        self.acknowledged = acknowledged
        while self._faults and self._faults[0].at <= acknowledged:
            fault = self._faults.popleft()
            if fault.kind == "kill":
                self._to_kill.put_nowait(None)
            else:
                self.proxies[fault.victim].armed.append(fault)
        self.look()

    def look(self) -> None:
        """Let go on what is due, and everything where only those who are held have work left."""
        for proxy in self.proxies:
            proxy.release(self.acknowledged)
        if all(client.finished for client in self.clients):
            self._finish()
        pairs = zip(self.clients, self.proxies, strict=False)
        if not any(not client.finished and not proxy.holds for client, proxy in pairs):
            for proxy in self.proxies:
                proxy.release(None)

    def _finish(self) -> None:
        for proxy in self.proxies:
            proxy.armed.clear()
        self._over.set()

    async def pause(self, seconds: float) -> None:
        """What the daemon has asked for, but no longer than to the end."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._over.wait(), seconds)

    # --- the daemon -----------------------------------------------------------------------------

    async def _start_daemon(self) -> None:
        self._daemon = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "chatd", str(self.port), "--host", "127.0.0.1",
            "--data", str(self._folder / "data"), "--log-content", "none", *self._selector,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        said = []
        while line := await self._daemon.stdout.readline():
            said.append(line.decode())
            if said[-1].startswith("listening on"):
                self.port = int(said[-1].rpartition(" ")[2])
            elif said[-1].startswith("data: "):
                self._tasks.append(asyncio.create_task(self._watch(self._daemon, said)))
                self.up.set()
                return
        raise RuntimeError("the daemon does not start: " + "".join(said))

    async def _watch(self, daemon, said: list[str]) -> None:
        """Take what it prints, and see that it ends by our hand alone."""
        while line := await daemon.stdout.readline():
            said.append(line.decode())
        if not self._killing:
            raise RuntimeError("the daemon has ended: " + "".join(said[-30:]))
        await asyncio.Event().wait()

    async def _kill_on_demand(self) -> None:
        while True:
            await self._to_kill.get()
            self.up.clear()
            self._killing = True
            self._daemon.kill()
            await self._daemon.wait()
            await self._start_daemon()
            self._killing = False
            self.struck["kill"] += 1
            self._to_kill.task_done()
