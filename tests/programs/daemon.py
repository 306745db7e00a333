"""A small JSON-lines chat daemon with faults by option: the harness has to find each of them.

It says `listening on HOST, port N`, greets by `hello`, knows `outgoing`, `outgoing_broadcast`,
`who`, `ping` and `quit`, and reads lines from its console.
"""

import argparse
import json
import os
import selectors
import signal
import socket
import sys
from pathlib import Path

FAULTS = (
    "leak-dm",  # a third person gets every direct message
    "late-leak",  # the same, after the acknowledgement
    "last-leak",  # the same, immediately before the next pong
    "lose-dm",  # the receiver gets nothing
    "quit-for-lost",  # a lost client is announced as one that has quit
    "wrong-text",  # one letter is changed
    "twice",  # a broadcast is delivered twice
    "crash",  # a broadcast ends the daemon
    "no-pong",  # a ping is never answered
    "chatty",  # somebody is told something nobody asked for
)


class Peer:
    def __init__(self, sock):
        self.sock, self.name, self.buffer = sock, None, b""
        self.owed = []

    def send(self, **frame):
        try:
            self.sock.setblocking(True)
            self.sock.sendall(json.dumps(frame).encode() + b"\n")
        except OSError:
            pass
        finally:
            self.sock.setblocking(False)


class Daemon:
    def __init__(self, port, fault, log):
        self.fault, self.log = fault, log
        self.selector = selectors.DefaultSelector()
        self.listener = socket.create_server(("127.0.0.1", port))
        self.listener.setblocking(False)
        self.selector.register(self.listener, selectors.EVENT_READ, self.accept)
        self.peers = []
        self.given = 0

    def say(self, text):
        print(text, flush=True)

    def run(self):
        self.say(f"listening on 127.0.0.1, port {self.listener.getsockname()[1]}")
        if sys.stdin is not None and sys.stdin.isatty():
            self.selector.register(sys.stdin, selectors.EVENT_READ, self.console)
        while True:
            for key, _ in self.selector.select():
                key.data(key.fileobj)

    def accept(self, listener):
        sock, _ = listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        peer = Peer(sock)
        self.peers.append(peer)
        self.selector.register(sock, selectors.EVENT_READ, lambda _: self.read(peer))

    def console(self, stdin):
        line = stdin.readline().strip()
        if line == "/who":
            self.say("users: " + ", ".join(p.name for p in self.named()))
        elif line == "/stop":
            sys.exit(0)
        else:
            for peer in self.named():
                peer.send(code="incoming_broadcast", **{"from": "server"}, content=line)

    def named(self):
        return [p for p in self.peers if p.name]

    def read(self, peer):
        try:
            data = peer.sock.recv(65536)
        except OSError:
            data = b""
        if not data:
            return self.gone(peer, "quit" if self.fault == "quit-for-lost" else "lost")
        peer.buffer += data
        while b"\n" in peer.buffer and peer in self.peers:
            line, peer.buffer = peer.buffer.split(b"\n", 1)
            if line.strip():
                self.handle(peer, line)
        return None

    def gone(self, peer, kind):
        if peer in self.peers:
            self.peers.remove(peer)
            self.selector.unregister(peer.sock)
            peer.sock.close()
            if peer.name:
                self.say(f"{peer.name} {kind}")
                for other in self.named():
                    other.send(code="notice", kind=kind, name=peer.name)

    def handle(self, peer, line):
        try:
            frame = json.loads(line)
            code = frame["code"]
        except (ValueError, TypeError, KeyError):
            return peer.send(code="error", error=201)
        method = getattr(self, "on_" + str(code), None)
        if method is None:
            return peer.send(code="error", error=202)
        return method(peer, frame)

    def on_hello(self, peer, frame):
        name = frame.get("name")
        if not name:
            self.given += 1
            name = f"client{self.given}"
        if holder := next((p for p in self.peers if p.name == name), None):
            holder.send(code="ping", n=len(name))  # is it still there?
            return peer.send(code="error", error=103)
        peer.send(code="welcome", name=name)
        for other in self.named():
            other.send(code="notice", kind="joined", name=name)
        peer.name = name
        if self.log:
            with Path(self.log).open("a") as log:
                log.write(f"{name}\n")
        return self.say(f"{name} joined")

    def on_who(self, peer, frame):
        peer.send(code="users", users=[p.name for p in self.named()])

    def on_pong(self, peer, frame):
        self.say(f"{peer.name} is alive: {frame['n']}")

    def on_ping(self, peer, frame):
        for item in peer.owed:
            peer.send(**item)
        peer.owed.clear()
        if self.fault != "no-pong":
            peer.send(code="pong", n=frame.get("n"))

    def on_quit(self, peer, frame):
        self.gone(peer, "quit")

    def on_outgoing(self, peer, frame):
        text = frame["content"]
        if self.fault == "wrong-text":
            text = text[:-1] + "?"
        target = next((p for p in self.named() if p.name == frame["to"]), None)
        if target is None:
            return peer.send(code="error", error=301, to=frame["to"], re=frame.get("id"))
        item = {"code": "incoming", "from": peer.name, "content": text}
        if self.fault != "lose-dm":
            target.send(**item)
        if self.fault == "leak-dm":
            self.leak(peer, target, item)
        peer.send(code="ack", re=frame.get("id"), content=frame["content"])
        if self.fault == "late-leak":
            self.leak(peer, target, item)
        if self.fault == "last-leak":
            self.leak_last(peer, target, item)
        return None

    def leak(self, peer, target, item):
        for other in self.named():
            if other not in (peer, target):
                other.send(**item)

    def leak_last(self, peer, target, item):
        for other in self.named():
            if other not in (peer, target):
                other.owed.append(item)

    def on_outgoing_broadcast(self, peer, frame):
        if self.fault == "crash":
            raise RuntimeError("planted")
        for other in self.named():
            if other is not peer:
                for _ in range(2 if self.fault == "twice" else 1):
                    other.send(
                        code="incoming_broadcast", **{"from": peer.name}, content=frame["content"]
                    )
        if self.fault == "chatty":
            self.named()[-1].send(code="notice", kind="gossip")
        peer.send(code="ack", re=frame.get("id"), content=frame["content"])


def linger():
    """A program that leaves its group, closes everything, and does not mind being told to end."""
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        signal.pause()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int, nargs="?", default=0)
    parser.add_argument("--fault", choices=FAULTS)
    parser.add_argument("--log")
    parser.add_argument("--die", action="store_true", help="end before being ready")
    parser.add_argument("--hang", action="store_true", help="never say that it is ready")
    parser.add_argument("--orphan", action="store_true", help="leave a program behind")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if options.die:
        sys.exit("cannot read the configuration")
    if options.hang:
        signal.pause()
    if options.orphan and os.fork() == 0:
        linger()
    Daemon(options.port, options.fault, options.log).run()


if __name__ == "__main__":
    main()
