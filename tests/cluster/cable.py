"""How many seconds until a link that says nothing notices that a cable was pulled."""

import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent.parent), str(HERE.parent)]

from machines import Network, move_apart  # noqa: E402

from chatsh.client import Client  # noqa: E402
from chatsh.known import KnownServers  # noqa: E402
from chatsh.link import Address, Link  # noqa: E402

SKIPPED = 3
NOWHERE = Address("10.77.0.2", 1)  # the other address of the list: a machine that is not there


def serve(machine, folder: str) -> tuple[subprocess.Popen, int]:
    """A daemon on that machine, and its port."""
    words = ["0", "--host", machine.address, "--data", f"{folder}/data"]
    daemon = subprocess.Popen(
        [*machine.before, sys.executable, "-m", "chatd", *words],
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        cwd=HERE.parent.parent,
    )
    for line in daemon.stdout:
        if line.startswith("listening on"):
            return daemon, int(line.rpartition(" ")[2])
    raise RuntimeError("chatd does not start")


def main() -> int:
    move_apart()
    network = Network()
    if not network.apart:
        print(network.about)
        return SKIPPED
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        stack.callback(network.end)
        (machine,) = network.plug_in(1)
        daemon, port = serve(machine, folder)
        stack.callback(daemon.wait)
        stack.callback(daemon.kill)
        known = KnownServers(Path(folder) / "known")
        where = Address(machine.address, port)
        link = Link(where, Client("ana"), others=[NOWHERE], known=known, tell=lambda _: None)
        link.open()
        machine.cut()
        began = time.monotonic()
        while link.read():
            pass
        print(f"{time.monotonic() - began:.1f}")
        link.drop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
