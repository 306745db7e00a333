"""A threaded chat server of plain lines, with a leak on a chosen path and faults by option.

It says `listening on port N` and knows `name NAME`, `dm TO TEXT`, `bc TEXT`, `who`, `ping WORD` and
`quit`. Deliveries are made in the sender's thread, by one worker behind a queue, or by timers
(`--path`); a leaked direct message (`--leak`) reaches everybody else the same way, `--delay`
seconds later. `--mute`: it answers nothing and only delivers.
"""

import argparse
import os
import queue
import signal
import socket
import struct
import sys
import threading
import time

FAULTS = (
    "drop-dm", "double-dm", "truncate", "shout", "reverse", "wrong-receiver", "leak", "late-leak",
    "wrong-sender", "swapped-names", "to-sender-too", "drop-bc", "double-bc", "bc-to-self",
    "bc-skips-last", "no-ack", "double-ack", "wrong-ack", "ack-to-receiver", "two-lines",
    "no-newline", "no-error", "error-for-all", "wrong-error", "close-receiver", "close-sender",
    "reset-sender", "exit", "killed", "no-leave", "double-leave", "wrong-leave",
    "ghost-user", "forgets-user", "chatty", "hang-one", "silent", "no-pong", "garbage",
)  # fmt: skip


class Peer:
    def __init__(self, sock):
        self.sock, self.name, self.lock = sock, None, threading.Lock()

    def say(self, text, end="\n"):
        try:
            with self.lock:
                self.sock.sendall((text + end).encode())
        except OSError:
            pass

    def cut(self, reset=False):
        if reset:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            os.close(self.sock.detach())
        else:
            self.sock.shutdown(socket.SHUT_RDWR)


class Party:
    def __init__(self, options):
        self.options, self.fault = options, options.fault
        self.peers, self.lock = [], threading.Lock()
        self.work = queue.Queue()
        threading.Thread(target=self.worker, daemon=True).start()

    def worker(self):
        while True:
            self.work.get()()

    def on_path(self, act, delay=0.0):
        """Do it where deliveries are made, so much later."""

        def later():
            if delay:
                time.sleep(delay)
            act()

        if self.options.path == "queue":
            self.work.put(later)
        elif self.options.path == "timer" and delay:
            timer = threading.Timer(delay, act)
            timer.daemon = True
            timer.start()
        else:
            later()

    def named(self):
        with self.lock:
            return [peer for peer in self.peers if peer.name]

    def answer(self, peer, text):
        if not self.options.mute:
            peer.say(text)

    def serve(self, sock):
        peer = Peer(sock)
        with self.lock:
            self.peers.append(peer)
        try:
            with sock.makefile("r", encoding="utf-8") as lines:
                for line in lines:
                    word, _, rest = line.rstrip("\n").partition(" ")
                    if word == "quit":
                        break
                    getattr(self, f"on_{word}", self.on_unknown)(peer, rest)
        except (OSError, ValueError):
            pass
        with self.lock:
            self.peers.remove(peer)
        self.left(peer)
        sock.close()

    def left(self, peer):
        fault = self.fault
        if not peer.name or fault == "no-leave":
            return
        name = "somebody" if fault == "wrong-leave" else peer.name
        for other in self.named():
            other.say("\n".join([f"{name} left"] * (2 if fault == "double-leave" else 1)))

    def on_unknown(self, peer, _rest):
        self.answer(peer, "what?")

    def on_name(self, peer, name):
        peer.name = name
        peer.say(f"welcome {name}")

    def on_ping(self, peer, word):
        if self.fault == "silent" and getattr(peer, "hushed", False):
            return
        if self.fault != "no-pong":
            self.answer(peer, f"pong {word}")

    def on_who(self, peer, _rest):
        names = sorted(other.name for other in self.named())
        if self.fault == "ghost-user":
            names.append("zoe")
        if self.fault == "forgets-user":
            names.pop()
        self.answer(peer, "users " + " ".join(names))

    def on_dm(self, peer, rest):
        to, _, text = rest.partition(" ")
        target = next((other for other in self.named() if other.name == to), None)
        if target is None:
            return self.unknown_user(peer, to)
        if self.fault in BEFORE_DM and BEFORE_DM[self.fault](self, peer, target):
            return None
        said = SAID.get(self.fault, lambda sender, _to, words: f"{sender}: {words}")
        line = said(peer.name, to, text)
        others = [other for other in self.named() if other not in (peer, target)]
        ends = "" if self.fault == "no-newline" else "\n"
        copies = {"drop-dm": 0, "double-dm": 2}.get(self.fault, 1)
        reached = others[-1] if self.fault == "wrong-receiver" and others else target
        for _ in range(copies):
            self.on_path(lambda: reached.say(line, ends))
        if self.fault == "to-sender-too":
            peer.say(line)
        if self.fault == "leak":
            others[-1].say(line)
        if self.options.leak:
            for other in others:
                self.on_path(lambda other=other: other.say(line), self.options.delay)
        self.acknowledge(peer, target, text)
        if self.fault == "late-leak":
            others[-1].say(line)
        return None

    def unknown_user(self, peer, to):
        if self.fault == "error-for-all":
            for other in self.named():
                other.say(f"no user {to}")
        elif self.fault == "wrong-error":
            peer.say("no user nobody")
        elif self.fault != "no-error":
            self.answer(peer, f"no user {to}")

    def acknowledge(self, peer, target, text):
        if self.fault == "wrong-ack":
            text += "!"
        if self.fault == "ack-to-receiver":
            target.say(f"sent {text}")
        if self.fault != "no-ack":
            self.answer(peer, f"sent {text}")
        if self.fault == "double-ack":
            self.answer(peer, f"sent {text}")

    def on_bc(self, peer, text):
        others = [other for other in self.named() if other is not peer]
        if self.fault == "bc-to-self":
            others.append(peer)
        if self.fault == "bc-skips-last":
            others.pop()
        copies = {"drop-bc": 0, "double-bc": 2}.get(self.fault, 1)
        for other in others * copies:
            self.on_path(lambda other=other: other.say(f"{peer.name}: {text}"))
        if self.fault == "chatty":
            others[0].say("by the way")
        self.acknowledge(peer, peer, text)


def hang(_party, peer, _target):
    threading.Event().wait()


def hush(party, peer, _target):
    for other in party.named():
        other.hushed = True
    return True


BEFORE_DM = {  # what happens before a direct message; true: nothing else does
    "close-receiver": lambda _party, _peer, target: target.cut(),
    "close-sender": lambda _party, peer, _target: peer.cut(),
    "reset-sender": lambda _party, peer, _target: peer.cut(reset=True),
    "exit": lambda _party, _peer, _target: os._exit(3),
    "killed": lambda _party, _peer, _target: os.kill(os.getpid(), signal.SIGKILL),
    "hang-one": hang,
    "silent": hush,
    "garbage": lambda _party, _peer, target: target.sock.sendall(b"\xff\xfe\x00\x1b[2J\n"),
}
SAID = {  # how a direct message is put
    "truncate": lambda sender, _to, text: f"{sender}: {text[:-1]}",
    "shout": lambda sender, _to, text: f"{sender}: {text.upper()}",
    "reverse": lambda sender, _to, text: f"{sender}: {text[::-1]}",
    "wrong-sender": lambda _sender, _to, text: f"somebody: {text}",
    "swapped-names": lambda _sender, to, text: f"{to}: {text}",
    "two-lines": lambda sender, _to, text: f"{sender}:\n{text}",
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--path", choices=("thread", "queue", "timer"), default="thread")
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--leak", action="store_true")
    parser.add_argument("--mute", action="store_true")
    parser.add_argument("--fault", choices=FAULTS)
    parser.add_argument("--wake", type=float, help="a thread that wakes up this often (seconds)")
    parser.add_argument("--die", action="store_true", help="end before being ready")
    parser.add_argument("--hang", action="store_true", help="never say that it is ready")
    options = parser.parse_args()
    if options.die:
        sys.exit("no configuration")
    if options.hang:
        signal.pause()
    party = Party(options)
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    print(f"listening on port {listener.getsockname()[1]}", flush=True)
    if options.wake:
        threading.Thread(target=wake, args=(options.wake,), daemon=True).start()
    while True:
        sock, _ = listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=party.serve, args=(sock,), daemon=True).start()


def wake(every):
    while True:
        time.sleep(every)


if __name__ == "__main__":
    main()
