"""A server that tells what it reads from every connection, and does what its console says.

It prints `N connected`, `N read b'..'`, `N eof` (and goes on writing), `N ECONNRESET`. Console:
`say N TEXT`; `flood N BYTES`, which tells when nothing more is taken and when everything was;
`write`, which adds to a file.
"""

import errno
import selectors
import socket
import sys
from pathlib import Path

SMALL = 4096  # bytes of the kernel's buffer, so that what is taken is what the other end takes
CHUNK = b"x" * 1023 + b"\n"


class Reporter:
    def __init__(self):
        self.selector = selectors.DefaultSelector()
        self.listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)
        self.selector.register(self.listener, selectors.EVENT_READ, self.accept)
        self.selector.register(sys.stdin, selectors.EVENT_READ, self.console)
        self.peers, self.owed = [], {}

    def run(self):
        print(f"listening on port {self.listener.getsockname()[1]}")
        while True:
            for key, events in self.selector.select():
                key.data(key.fileobj, events)

    def accept(self, listener, _events):
        peer = listener.accept()[0]
        peer.setblocking(False)
        self.peers.append(peer)
        print(f"{len(self.peers)} connected")
        self.selector.register(peer, selectors.EVENT_READ, self.serve)

    def serve(self, peer, events):
        number = self.peers.index(peer) + 1
        if events & selectors.EVENT_READ:
            self.read(peer, number)
        if events & selectors.EVENT_WRITE:
            self.flood(peer, number)

    def read(self, peer, number):
        try:
            data = peer.recv(65536)
        except OSError as error:
            self.gone(peer, f"{number} {errno.errorcode[error.errno]}")
        else:
            if data:
                print(f"{number} read {data!r}")
            else:
                self.gone(peer, f"{number} eof")

    def gone(self, peer, how):
        self.selector.unregister(peer)
        print(how)

    def console(self, stdin, _events):
        word, *rest = stdin.readline().strip().split(maxsplit=2)
        getattr(self, f"on_{word}")(*rest)

    def on_say(self, number, text):
        self.peers[int(number) - 1].sendall(text.encode() + b"\n")

    def on_flood(self, number, count):
        peer = self.peers[int(number) - 1]
        self.owed[peer] = (int(count), int(count), False)
        self.selector.modify(peer, selectors.EVENT_READ | selectors.EVENT_WRITE, self.serve)

    def flood(self, peer, number):
        total, left, told = self.owed[peer]
        try:
            while left:
                left -= peer.send(CHUNK[:left])
        except BlockingIOError:
            if not told:
                print(f"{number} takes no more after {total - left} bytes")
            self.owed[peer] = (total, left, True)
        else:
            print(f"{number} took {total} bytes")
            self.selector.modify(peer, selectors.EVENT_READ, self.serve)

    def on_write(self):
        try:
            with Path("kept.txt").open("a") as file:
                file.write("something\n")
        except OSError as error:
            print(f"not written: {errno.errorcode[error.errno]}")
        else:
            print("written")


if __name__ == "__main__":
    Reporter().run()
