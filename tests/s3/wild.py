"""A right server with a habit of servers in the wild: `wild.py PORT HABIT`. It prints nothing."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "scenarios" / "portable" / "reference"))

from server import Server


class Jumpy(Server):
    """Ends when somebody connects and says nothing."""

    def attend(self, connection):
        if not connection.recv(1, socket.MSG_PEEK):
            os._exit(1)
        super().attend(connection)


class Dies(Server):
    """Ends at the first object that it does not know."""

    def take(self, peer, message):
        known = isinstance(message, dict) and f"on_{message.get('code')}" in dir(self)
        if not known:
            print("KeyError: 'code'", file=sys.stderr, flush=True)
            os._exit(1)
        return super().take(peer, message)


def flood():
    while True:
        os.write(2, b"DEBUG: nothing has happened, again\n" * 100)


def flood_without_end_of_line():
    while True:
        os.write(2, b"." * 4096)


def spin():
    while True:
        pass


def in_background(work):
    threading.Thread(target=work, daemon=True).start()


def stubborn():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def with_children():
    for session in (False, True):
        subprocess.Popen(["sleep", sys.argv[3]], start_new_session=session)


HABITS = {
    "silent": lambda: None,
    "jumpy": lambda: None,
    "dies": lambda: None,
    "floods": lambda: in_background(flood),
    "floods-a-line": lambda: in_background(flood_without_end_of_line),
    "spins": lambda: in_background(spin),
    "stubborn": stubborn,
    "forks": with_children,
    "no-reuse": lambda: None,
}


def listen(port: int, *, reuse: bool) -> socket.socket:
    listener = socket.socket()
    if reuse:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen()
    return listener


def main() -> None:
    port, habit = int(sys.argv[1]), sys.argv[2]
    HABITS[habit]()
    server = {"jumpy": Jumpy, "dies": Dies}.get(habit, Server)()
    listener = listen(port, reuse=habit != "no-reuse")
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=server.attend, args=(connection,), daemon=True).start()


main()
