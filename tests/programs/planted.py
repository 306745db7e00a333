"""The small daemon with eight bugs that show only in some dialogues, for exploring."""

import argparse
import signal
import sys
import time

import daemon

FAULTS = (
    "leak-third",  # a direct message goes to somebody third as well
    "double-fifth",  # every fifth broadcast comes twice
    "swap-burst",  # two broadcasts of one peer, close to each other, change places
    "lose-after-reset",  # somebody's connection breaks, and the next message of another is lost
    "keep-name",  # who has lost the connection cannot come again by that name
    "rare-text",  # dies of a letter beyond the first 65,536
    "wrong-sender",  # what one says to oneself comes in the name of somebody else
    "leak-newest",  # a direct message goes to who has joined last as well
)
CLOSE = 0.01  # seconds


class Planted(daemon.Daemon):
    def __init__(self, port, fault):
        super().__init__(port, None, None)
        self.planted = fault
        self.said = 0
        self.lost = False
        self.held = None  # a broadcast that waits for another: peer, frame, until when
        self.kept = set()

    def run(self):
        self.say(f"listening on 127.0.0.1, port {self.listener.getsockname()[1]}")
        while True:
            for key, _ in self.selector.select(CLOSE if self.held else None):
                key.data(key.fileobj)
            if self.held and time.monotonic() >= self.held[2]:
                self.let_go()

    def let_go(self):
        held, self.held = self.held, None
        if held:
            super().on_outgoing_broadcast(*held[:2])

    def gone(self, peer, kind):
        self.let_go()
        if kind == "lost" and peer.name:
            self.lost = True
            self.kept.add(peer.name)
        super().gone(peer, kind)

    def on_hello(self, peer, frame):
        if self.planted == "keep-name" and frame.get("name") in self.kept:
            return peer.send(code="error", error=103)
        return super().on_hello(peer, frame)

    def on_ping(self, peer, frame):
        self.let_go()
        super().on_ping(peer, frame)

    def on_outgoing(self, peer, frame):
        self.die_of(frame)
        self.let_go()
        target = next((p for p in self.named() if p.name == frame["to"]), None)
        if target and self.planted == "lose-after-reset" and self.lost:
            self.lost = False
            return peer.send(code="ack", re=frame.get("id"))
        super().on_outgoing(peer, frame)
        others = [p for p in self.named() if p not in (peer, target)]
        seen = {"code": "incoming", "from": peer.name, "content": frame["content"]}
        if target and self.planted == "leak-third":
            for other in others:
                other.send(**seen)
        if target and self.planted == "leak-newest" and self.named()[-1] in others:
            self.named()[-1].send(**seen)
        if target is peer and self.planted == "wrong-sender" and others:
            peer.send(**{**seen, "from": others[0].name})
        return None

    def on_outgoing_broadcast(self, peer, frame):
        self.die_of(frame)
        self.said += 1
        if self.planted == "swap-burst":
            if self.held and self.held[0] is peer:
                super().on_outgoing_broadcast(peer, frame)
                return self.let_go()
            self.let_go()
            self.held = (peer, frame, time.monotonic() + CLOSE)
            return None
        super().on_outgoing_broadcast(peer, frame)
        if self.planted == "double-fifth" and self.said % 5 == 0:
            super().on_outgoing_broadcast(peer, frame)
        return None

    def die_of(self, frame):
        if self.planted == "rare-text" and any(ord(char) > 0xFFFF for char in frame["content"]):
            raise ValueError("cannot encode that")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int, nargs="?", default=0)
    parser.add_argument("--fault", choices=FAULTS)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    Planted(options.port, options.fault).run()


if __name__ == "__main__":
    main()
