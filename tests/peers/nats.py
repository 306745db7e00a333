"""A real nats-server with JetStream, or several as a cluster, each in a folder of its own."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from itertools import count
from pathlib import Path

import nats
import pytest
from nats.js.errors import NotFoundError

# Beside this Python; the tests of somebody who packages us may bring another one.
HERE = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
PROGRAM = shutil.which("nats-server", path=HERE)
PATIENCE = 40.0  # seconds
names = count(1)  # of streams: each test has one of its own


class Nats:
    """One server on a free port; it can be killed, frozen and started again on what it has kept."""

    def __init__(
        self,
        folder: Path,
        *words: str,
        jetstream: bool = True,
        host: str = "127.0.0.1",
        before=(),
        sync="2m",
        settings="",
    ):
        """`before` stands in front of its command: what brings it into the network of `host`.

        `sync` is how often it syncs its files: `always` is before it answers; `settings` are more
        lines of its configuration.
        """
        if PROGRAM is None:
            pytest.skip("nats-server is not installed: make .venv/dev.stamp")
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "nats.conf"
        store = f'jetstream {{ store_dir: "{folder}", sync_interval: "{sync}" }}'
        config.write_text(f"{store}\n{settings}")
        self._words = [*words, *(["-c", str(config)] if jetstream else [])]
        self.host, self._before = host, before
        self.port = 0
        self.process: subprocess.Popen | None = None
        self.start()

    def start(self):
        """Wait until it says that it is ready: on the port that it had before."""
        self.process = subprocess.Popen(
            [*self._before, PROGRAM, "-a", self.host, "-p", str(self.port or -1), *self._words],
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        )
        for line in self.process.stderr:
            if "Listening for client connections on" in line:
                self.port = int(line.rpartition(":")[2])
            if "Server is ready" in line:
                break
        else:
            raise AssertionError("nats-server has ended")
        # Nobody reads on: what it says goes to nowhere, and never blocks it.
        self._drain = subprocess.Popen(
            ["cat"], stdin=self.process.stderr, stdout=subprocess.DEVNULL
        )
        self.process.stderr.close()

    @property
    def url(self) -> str:
        return f"nats://{self.host}:{self.port}"

    def signal(self, number: int):
        self.process.send_signal(number)

    def freeze(self):
        """All its threads stand still when this returns; a signal alone takes its time."""
        self.signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)

    def thaw(self):
        self.signal(signal.SIGCONT)

    def kill(self):
        self.signal(signal.SIGKILL)
        self.process.wait(PATIENCE)
        self._drain.wait(PATIENCE)

    def end(self):
        if self.process.poll() is None:
            self.thaw()
            self.kill()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class NatsCluster:
    """Three servers that replicate for each other; each tells its health on a port of its own."""

    def __init__(self, folder: Path, machines=(("127.0.0.1", ()),) * 3, sync="2m"):
        """`machines` are the address of each, and what brings a command there."""
        routes = [f"nats://{host}:{free_port()}" for host, _ in machines]
        named = ["-cluster_name", "test", "-routes", ",".join(routes)]
        self._monitors = [free_port() for _ in machines]
        self.servers = [
            Nats(
                folder / str(n),
                *("-cluster", route, *named, "-server_name", f"n{n}"),
                *("-m", str(self._monitors[n])),
                host=machines[n][0],
                before=machines[n][1],
                sync=sync,
            )
            for n, route in enumerate(routes)
        ]
        for n in range(len(machines)):
            self.wait(n)

    def restart(self, number: int):
        """Wait until it has caught up, as whoever looks after it would."""
        self.servers[number].start()
        self.wait(number)

    def wait(self, number: int):
        """Until it says that it is well."""
        where = f"http://{self.servers[number].host}:{self._monitors[number]}/healthz"
        while True:
            with contextlib.suppress(urllib.error.HTTPError):
                urllib.request.urlopen(where, timeout=PATIENCE).close()
                return

    def leader(self, stream: str) -> int:
        """Which of them decides what is in a stream."""
        return int(asyncio.run(_leader(self.url, stream)).removeprefix("n"))

    @property
    def url(self) -> str:
        return ",".join(one.url for one in self.servers)

    def end(self):
        for one in self.servers:
            one.end()


async def _leader(url: str, stream: str) -> str:
    client = await nats.connect(url.split(","))
    info = await client.jetstream().stream_info(stream)
    await client.close()
    return info.cluster.leader


def messages(server: Nats, stream: str) -> int:
    """How many a stream has."""

    async def ask() -> int:
        client = await nats.connect(server.url)
        info = await client.jetstream().stream_info(stream)
        await client.close()
        return info.state.messages

    return asyncio.run(ask())


def bound(server: Nats, stream: str, most: int):
    """From now on the stream takes no more messages than that; -1: as many as come."""

    async def change():
        client = await nats.connect(server.url)
        log = client.jetstream()
        config = (await log.stream_info(stream)).config
        await log.update_stream(config.evolve(max_msgs=most))
        await client.close()

    asyncio.run(change())


def make_stream(server: Nats, name: str):
    """A stream that is no log of ours."""

    async def make():
        client = await nats.connect(server.url)
        await client.jetstream().add_stream(name=name, subjects=[f"{name}.>"])
        await client.close()

    asyncio.run(make())


def publish(server: Nats, subject: str, data: bytes) -> int:
    """Write into a stream by hand; the place of what was written."""

    async def write() -> int:
        client = await nats.connect(server.url)
        done = await client.jetstream().publish(subject, data)
        await client.close()
        return done.seq

    return asyncio.run(write())


def is_kept(server: Nats, stream: str, place: int) -> bool:
    """Whether that message is still in the stream."""

    async def ask() -> bool:
        client = await nats.connect(server.url)
        try:
            await client.jetstream().get_msg(stream, place)
        except NotFoundError:
            return False
        finally:
            await client.close()
        return True

    return asyncio.run(ask())
