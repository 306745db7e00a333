"""Starts a daemon on a free port and opens a shell on it: what `make chat` runs.

While one runs, the next joins the same daemon and asks for a name. With input that is no terminal
the shell obeys the lines it gets and ends. Words given after the script go to the shell, behind
host and port. The daemon's data stay in `.chat` between runs.
"""

from __future__ import annotations

import getpass
import re
import socket
import subprocess
import sys
from pathlib import Path

DATA = Path(__file__).resolve().parent.parent / ".chat"
PORT = DATA / "port"  # where the daemon of another terminal listens
BIN = Path(sys.executable).parent
READY = re.compile(r"listening on .*, port (\d+)")


def main() -> int:
    """Run both, or join; the shell's exit code is ours."""
    port = _running()
    return _shell(port) if port else _both()


def _running() -> str:
    """The port of the daemon that was started here before, if it still answers."""
    try:
        port = PORT.read_text("ascii").strip()
        socket.create_connection(("localhost", int(port)), timeout=2).close()
    except (OSError, ValueError):
        return ""
    print(f"A daemon is running already; joining it on port {port}.")
    return port


def _both() -> int:
    with subprocess.Popen(
        [BIN / "chatd", "0", "--data", DATA],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,  # Ctrl-C is for the shell
    ) as daemon:
        assert daemon.stdout is not None
        ready = READY.match(daemon.stdout.readline())
        if ready is None:
            return daemon.wait() or 1
        port = ready[1]
        PORT.write_text(port, "ascii")
        print(f"A daemon listens on port {port}; others join with: chatsh HOST {port} NAME")
        try:
            return _shell(port, _name())
        except KeyboardInterrupt:
            return 0
        finally:
            PORT.unlink(missing_ok=True)
            daemon.terminate()
            daemon.stdout.read()


def _shell(port: str, *name: str) -> int:
    sys.stdout.flush()
    return subprocess.call([BIN / "chatsh", "localhost", port, *(sys.argv[1:] or name)])


def _name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "me"


if __name__ == "__main__":
    sys.exit(main())
