"""A client without a terminal that tells what it reads; its input: `connect`, `say TEXT`, `end`."""

import errno
import selectors
import socket
import sys


class Caller:
    def __init__(self, port):
        self.port, self.sock = port, None
        self.selector = selectors.DefaultSelector()
        self.selector.register(sys.stdin, selectors.EVENT_READ, self.command)

    def run(self):
        self.connect()
        while True:
            for key, _ in self.selector.select():
                key.data()

    def connect(self):
        self.sock = socket.socket()
        try:
            self.sock.connect(("127.0.0.1", self.port))
        except OSError as error:
            print(errno.errorcode[error.errno])
        else:
            print("connected")
            self.selector.register(self.sock, selectors.EVENT_READ, self.read)

    def read(self):
        try:
            data = self.sock.recv(65536)
            said = f"read {data!r}" if data else "eof"
        except OSError as error:
            data, said = b"", errno.errorcode[error.errno]
        if not data:
            self.selector.unregister(self.sock)
            self.sock.close()
        print(said)

    def command(self):
        word, _, text = sys.stdin.readline().strip().partition(" ")
        if word in ("", "end"):
            sys.exit(0)
        if word == "connect":
            self.connect()
        else:
            self.sock.sendall(text.encode())


if __name__ == "__main__":
    Caller(int(sys.argv[1])).run()
