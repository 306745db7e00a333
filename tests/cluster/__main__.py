"""`make cluster-test`: the scenarios of the product against three daemons and three NATS nodes.

Each node is in a network of its own where that is permitted. The harness is as always: its server
is `three.py`, which hands the clients of a scenario to the daemons in turn.
"""

import argparse
import asyncio
import contextlib
import shlex
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(ROOT), str(HERE.parent)]

import nats  # noqa: E402
from machines import Network, move_apart  # noqa: E402
from peers.nats import PROGRAM, NatsCluster  # noqa: E402
from selection import LEFT_OUT, SCENARIOS, TELLING, applicable  # noqa: E402

SWEEP = 3.0  # seconds


def parse(argv=None) -> tuple[argparse.Namespace, list[str]]:
    """Our own arguments, and those of `harness run`."""
    parser = argparse.ArgumentParser(prog="cluster", description=__doc__.split("\n\n", 1)[0])
    parser.add_argument("--telling", action="store_true", help="only a few, for every change")
    parser.add_argument("-j", type=int, default=2, help="runs at a time")
    parser.add_argument("--only", nargs="+", metavar="PATH", help="these scenarios")
    return parser.parse_known_args(argv)


async def sweep(url: str, streams: Path) -> None:
    """Delete the streams of data folders that are gone: each costs three servers their time."""
    client = await nats.connect(url.split(","))
    while True:
        await asyncio.sleep(SWEEP)
        for one in list(streams.iterdir()):
            if not Path(one.read_text("utf-8")).exists():
                with contextlib.suppress(nats.js.errors.NotFoundError):
                    await client.jetstream().delete_stream(one.name)
                one.unlink()


async def play(url: str, machines: list, streams: Path, words: list[str]) -> int:
    """The exit code of the harness."""
    places = ",".join(str(one.pid) for one in machines)
    server = [sys.executable, str(HERE / "three.py"), url, places, str(streams), "{port}"]
    server += ["--host", "127.0.0.1", "--data", "${server.home}/data"]
    server += ["--log", "${server.home}/server.log"]
    sweeping = asyncio.create_task(sweep(url, streams))
    command = ("-m", "harness", "run", "--server", shlex.join(server), *words)
    playing = await asyncio.create_subprocess_exec(sys.executable, *command, cwd=ROOT)
    code = await playing.wait()
    sweeping.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await sweeping
    return code


def main() -> int:
    args, more = parse()
    if PROGRAM is None:
        print("nats-server is not installed: make .venv/dev.stamp", file=sys.stderr)
        return 3
    move_apart()
    chosen = [str(SCENARIOS / path) for path in (TELLING if args.telling else applicable())]
    words = [*(args.only or chosen), *more]
    with tempfile.TemporaryDirectory(prefix="cluster-") as name, contextlib.ExitStack() as ending:
        network = Network()
        ending.callback(network.end)
        print(f"three NATS nodes and three daemons: {network.about}", flush=True)
        for what, why in () if args.only or args.telling else LEFT_OUT.items():
            print(f"left out: {what}: {why}", flush=True)
        keepers = [(one.address, one.before) for one in network.plug_in(3)]
        servers = NatsCluster(Path(name) / "nats", keepers)
        ending.callback(servers.end)
        streams = Path(name) / "streams"
        streams.mkdir()
        jobs = ["-j", str(args.j)]
        return asyncio.run(play(servers.url, network.plug_in(3), streams, [*jobs, *words]))


if __name__ == "__main__":
    sys.exit(main())
