"""Machines for a cluster: network namespaces on one switch, which end with whoever made them.

A program that wants some starts anew in a network of its own (`move_apart`): the switch is in it,
so that nothing is left behind on this machine, however the program ends. Where namespaces are not
permitted all machines are this one, on the loopback, and `Network.about` says so.
"""

import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path

APART = "CLUSTER_APART"  # environment variable: this program is in a network of its own
CLONE_NEWNET = 0x40000000  # <linux/sched.h>
SWITCH = "switch"


def _unshare() -> list[str]:
    return ["unshare", "--net", *([] if os.geteuid() == 0 else ["--map-root-user"])]


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)


def move_apart() -> None:
    """Start this program again, in a network of its own; comes back where that is not permitted."""
    if APART in os.environ or not all(map(shutil.which, ("ip", "unshare", "nsenter"))):
        return
    probe = "ip link set lo up && ip link add probe type bridge"
    if subprocess.run([*_unshare(), "sh", "-c", probe], capture_output=True).returncode == 0:
        environment = {**os.environ, APART: "1"}
        os.execvpe("unshare", [*_unshare(), sys.executable, *sys.orig_argv[1:]], environment)


def enter(pid: int) -> None:
    """Go into the network of that process; 0 stays here. Raises `OSError`."""
    if not pid:
        return
    with Path(f"/proc/{pid}/ns/net").open("rb") as there:
        if ctypes.CDLL(None, use_errno=True).setns(there.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")


class Machine:
    """A network of its own with one cable to the switch, held by a process that ends with us."""

    def __init__(self, number: int):
        self.address = f"10.77.0.{number}"
        self._cable = f"cable{number}"
        self._holder = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "echo; exec cat > /dev/null"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        self._holder.stdout.readline()
        self.pid = self._holder.pid
        self.before = ("nsenter", f"--net=/proc/{self.pid}/ns/net")
        peer = ("peer", "name", "eth0", "netns", str(self.pid))
        _run("ip", "link", "add", self._cable, "type", "veth", *peer)
        _run("ip", "link", "set", self._cable, "master", SWITCH, "up")
        _run(*self.before, "ip", "link", "set", "lo", "up")
        _run(*self.before, "ip", "address", "add", f"{self.address}/24", "dev", "eth0")
        _run(*self.before, "ip", "link", "set", "eth0", "up")

    def cut(self) -> None:
        """Pull the cable."""
        _run("ip", "link", "set", self._cable, "down")

    def heal(self) -> None:
        """Plug it in again."""
        _run("ip", "link", "set", self._cable, "up")

    def end(self) -> None:
        self._holder.stdout.close()
        self._holder.communicate()


class Here:
    """This machine, in the place of one: it has no cable of its own."""

    address, pid, before = "127.0.0.1", 0, ()

    def end(self) -> None:
        pass


class Network:
    """Machines that hear each other, and are heard by us."""

    def __init__(self):
        self.apart = APART in os.environ
        self.about = "network namespaces" if self.apart else "loopback: no namespaces here"
        self._machines: list[Machine | Here] = []
        if self.apart:
            _run("ip", "link", "set", "lo", "up")
            _run("ip", "link", "add", SWITCH, "type", "bridge")
            _run("ip", "address", "add", "10.77.0.1/24", "dev", SWITCH)
            _run("ip", "link", "set", SWITCH, "up")

    def plug_in(self, count: int) -> list:
        """So many more machines."""
        first = len(self._machines) + 11
        more = [Machine(first + n) if self.apart else Here() for n in range(count)]
        self._machines += more
        return more

    def end(self) -> None:
        for one in self._machines:
            one.end()
