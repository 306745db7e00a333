"""What the ten clients share: a connection on which lines go both ways."""

import os
import socket
import sys
import threading


class Connection:
    """One session, by the arguments PORT NAME; `hello` is the server's first line."""

    def __init__(self, password=""):
        port, name = sys.argv[1:3]
        self.sock = socket.create_connection(("127.0.0.1", int(port)))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.send(f"{name} {password}".strip())
        self.lines = self.sock.makefile("r", encoding="utf-8", newline="\n")
        self.hello = next(self.lines).rstrip("\n")

    def send(self, line):
        self.sock.sendall(line.encode() + b"\n")

    def listen(self, show):
        """Call `show` with every line that comes, in a thread; its end is the program's."""

        def read():
            for line in self.lines:
                show(line.rstrip("\n"))
            sys.stdout.flush()
            os._exit(0)

        threading.Thread(target=read, daemon=True).start()
