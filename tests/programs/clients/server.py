"""A line server for the ten clients: who writes a line is heard by everybody, himself included.

Commands: `/ping WORD`, `/echo TEXT`, `/dm NAME TEXT`, `/silent ...` (never answered), `/flood N` (N
lines to the others), `/long N` (N lines that begin with `| `, and one `|`), `/step NAME PERCENT`
(a step of NAME's progress bar), `/quit`.
"""

import contextlib
import selectors
import signal
import socket
import sys


class Server:
    def __init__(self, port):
        self.selector = selectors.DefaultSelector()
        self.listener = socket.create_server(("127.0.0.1", port))
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.names = {}  # socket -> name, none before the first line
        self.buffers = {}

    def run(self):
        print(f"listening on port {self.listener.getsockname()[1]}", flush=True)
        while True:
            for key, _ in self.selector.select():
                if key.fileobj is self.listener:
                    self.accept()
                else:
                    self.read(key.fileobj)

    def accept(self):
        peer, _ = self.listener.accept()
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.names[peer], self.buffers[peer] = None, b""
        self.selector.register(peer, selectors.EVENT_READ)

    def read(self, peer):
        try:
            data = peer.recv(65536)
        except OSError:
            data = b""
        if not data:
            return self.gone(peer)
        *lines, self.buffers[peer] = (self.buffers[peer] + data).split(b"\n")
        for line in lines:
            if peer in self.names:
                self.line(peer, line.decode(errors="replace").rstrip("\r"))
        return None

    def gone(self, peer):
        self.selector.unregister(peer)
        del self.names[peer], self.buffers[peer]
        peer.close()

    def say(self, peer, *lines):
        with contextlib.suppress(OSError):  # its end is read later
            peer.sendall("".join(f"{line}\n" for line in lines).encode())

    def line(self, peer, text):
        name = self.names[peer]
        if name is None:
            self.names[peer] = text.split()[0]
            return self.say(peer, f"You are {text.split()[0]}.")
        word, _, rest = text.partition(" ")
        command = getattr(self, "do_" + word[1:], None) if word.startswith("/") else None
        if command:
            return command(peer, rest)
        for other in list(self.names):
            self.say(other, f"{name}: {text}")
        return None

    def named(self, name):
        return [peer for peer, known in self.names.items() if known == name]

    def do_ping(self, peer, word):
        self.say(peer, f"pong {word}")

    def do_echo(self, peer, text):
        self.say(peer, text)

    def do_dm(self, peer, rest):
        to, _, text = rest.partition(" ")
        for other in self.named(to):
            self.say(other, f"{self.names[peer]}: {text}")

    def do_silent(self, peer, rest):
        pass

    def do_flood(self, peer, count):
        for other in list(self.names):
            if other is not peer:
                self.say(other, *(f"{self.names[peer]}: {n}" for n in range(1, int(count) + 1)))

    def do_long(self, peer, count):
        self.say(peer, *(f"| {n}" for n in range(1, int(count) + 1)), "|")

    def do_step(self, peer, rest):
        to, percent = rest.split()
        for other in self.named(to):
            self.say(other, f"% {percent}")

    def do_quit(self, peer, rest):
        self.gone(peer)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    Server(int(sys.argv[1]) if len(sys.argv) > 1 else 0).run()
