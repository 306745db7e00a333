"""The daemon, the clients with their proxies, and the progress that sets off the faults."""

import asyncio
import contextlib
import os
import signal
import sys
from collections import Counter, deque
from pathlib import Path
from random import random

import psutil
from plan import BLOWS, Plan
from proxy import Proxy
from talker import Client

AMID = 1.5  # seconds, within which a power cut ends an upgrade that has been asked for


class World:
    """Everything of one proof; `run` ends when nothing more is to come."""

    def __init__(self, plan: Plan, folder: Path, *options: str):
        """`options` are the daemon's."""
        self.plan = plan
        self.acknowledged = 0
        self.struck: Counter[str] = Counter()
        self.up = asyncio.Event()  # the daemon listens
        self.port = 0
        self.clients: list[Client] = []
        self.by_name: dict[str, Client] = {}
        self.proxies = [Proxy(self) for _ in plan.names]
        self._folder = folder
        self._options = options
        self._faults = deque(plan.faults)
        self._blows: asyncio.Queue[str] = asyncio.Queue()  # that are due
        self.pid = 0  # of the process that serves
        self.idle_fds = 0  # of a daemon that has just started
        self._joined: asyncio.Queue[Client] = asyncio.Queue()
        self._over = asyncio.Event()
        self._tasks: list[asyncio.Task] = []
        self._people: list[asyncio.Task] = []
        self._killing = False

    # --- its course -----------------------------------------------------------------------------

    async def run(self) -> None:
        """Everybody joins, talks through the faults, and takes what is left."""
        await self.begin()
        await self.talk()

    async def begin(self) -> None:
        """The daemon is there, and everybody in it."""
        await self._start_daemon()
        self._tasks.append(asyncio.create_task(self._deal_blows()))
        for name, proxy in zip(self.plan.names, self.proxies, strict=True):
            await self._add(name, proxy)
        for group, members in self.plan.groups.items():
            owner = self.by_name[members[0]]
            await owner.request("group", op="create", group=group, names=members[1:])

    async def talk(self) -> None:
        """Say what is planned, through the faults, and take what is left."""
        for client in self.clients:
            client.start()
        await self.unless_broken(self._over.wait())
        await self.unless_broken(self._blows.join())
        for client in self.clients:
            await self.unless_broken(client.settle())

    def go_on(self, plan: Plan) -> None:
        """The same people have more to say."""
        self.plan, self.acknowledged = plan, 0
        self._faults = deque(plan.faults)
        self._over.clear()
        for client in self.clients:
            client.plan(plan.messages[client.name])

    async def _add(self, name: str, proxy: Proxy) -> None:
        await proxy.listen()
        client = self.by_name[name] = Client(self, name, self.plan.messages[name], proxy.port)
        self.clients.append(client)
        self._people.append(asyncio.create_task(client.run()))
        await self.unless_broken(self._joined.get())

    def joined(self, client: Client) -> None:
        """It has its first session."""
        self._joined.put_nowait(client)

    async def unless_broken(self, awaitable) -> None:
        """Wait for this, but not when a task has failed: its exception is raised instead."""
        wanted = asyncio.ensure_future(awaitable)
        tasks = {wanted, *self._tasks, *self._people}
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for one in done:
            one.result()

    async def leave(self) -> None:
        """Everybody goes, without a word."""
        for proxy in self.proxies:
            await proxy.close()
        await _cancelled(self._people)
        self.proxies.clear()
        self._people.clear()

    async def close(self) -> None:
        await self.leave()
        await _cancelled(self._tasks)
        self._killing = True
        self._strike_dead()
        await self._daemon.communicate()

    # --- progress -------------------------------------------------------------------------------

    def one_more(self, acknowledged: int) -> None:
        """So many messages are acknowledged now: some faults may be due."""
        self.acknowledged = acknowledged
        while self._faults and self._faults[0].at <= acknowledged:
            fault = self._faults.popleft()
            if fault.kind in BLOWS:
                self._blows.put_nowait(fault.kind)
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
            "--data", str(self._folder / "data"), "--log-content", "none", *self._options,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,  # with all who take over from it
        )  # fmt: skip
        said: list[str] = []
        while line := await self._daemon.stdout.readline():
            said.append(line.decode())
            if said[-1].startswith("listening on"):
                self.port = int(said[-1].rpartition(" ")[2])
            elif said[-1].startswith("data: "):
                self.pid = self._daemon.pid
                self.idle_fds = self.idle_fds or psutil.Process(self.pid).num_fds()
                self._gone = asyncio.Event()
                self._tasks.append(asyncio.create_task(self._watch(self._daemon, said)))
                self.up.set()
                return
        raise RuntimeError("the daemon does not start: " + "".join(said))

    async def _watch(self, daemon, said: list[str]) -> None:
        """Take what it prints, and see that it ends by our hand alone."""
        while line := await daemon.stdout.readline():
            said.append(line.decode())
            del said[:-30]
        if not self._killing:
            raise RuntimeError("the daemon has ended: " + "".join(said))
        self._gone.set()
        await asyncio.Event().wait()

    async def _deal_blows(self) -> None:
        while True:
            kind = await self._blows.get()
            await getattr(self, "_" + kind)()
            self.struck[kind] += 1
            self._blows.task_done()

    def _strike_dead(self) -> None:
        """Whoever serves, and whoever is about to."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._daemon.pid, signal.SIGKILL)

    async def _kill(self) -> None:
        self.up.clear()
        self._killing = True
        self._strike_dead()
        await self._gone.wait()
        await self._daemon.wait()
        await self._start_daemon()
        self._killing = False

    async def _reload(self) -> None:
        os.kill(self.pid, signal.SIGHUP)

    async def _upgrade(self) -> None:
        asking = await self._ask_upgrade()
        said = (await asking.communicate())[0].decode()
        if asking.returncode:
            raise RuntimeError(said)
        self.pid = int(said.rpartition(" ")[2])

    async def _powercut(self) -> None:
        """Everything of it ends at some moment of an upgrade."""
        asking = await self._ask_upgrade()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asking.wait(), random() * AMID)
        with contextlib.suppress(ProcessLookupError):
            asking.kill()  # one that is slow to start would ask the next daemon
        await asking.communicate()
        await self._kill()

    async def _ask_upgrade(self):
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "chatd", "upgrade", "--data", str(self._folder / "data"),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip


async def _cancelled(tasks) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
