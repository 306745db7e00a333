"""Clients of the base protocol, each wrong in one way.

`client.py HOST PORT NAME [--fault NAME]`
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "scenarios" / "portable" / "reference"))

import client as right
from client import Client


class Recv:
    """Each recv is one object."""

    def feed(self, data):
        try:
            return [json.loads(data)]
        except ValueError:
            return []


class Lines:
    """Each line is one object."""

    def __init__(self):
        self.left = b""

    def feed(self, data):
        *lines, self.left = (self.left + data).split(b"\n")
        return [json.loads(line) for line in lines]


class OnePerRecv(Client):
    def __init__(self, *where):
        super().__init__(*where)
        self.objects = Recv()


class NeedsNewline(Client):
    def __init__(self, *where):
        super().__init__(*where)
        self.objects = Lines()


class SmallBuffer(OnePerRecv):
    def receive(self):
        return self._socket.recv(1024)


class AllAreToAll(Client):
    """Shows what is for one as what is for everyone."""

    on_incoming = Client.on_incoming_broadcast


class WithoutSender(Client):
    def on_incoming(self, message):
        self.say(message["content"])


class Deaf(Client):
    """Knows nothing of broadcasts."""

    def on_incoming_broadcast(self, message):
        pass


class WrongCode(Client):
    def send(self, **message):
        if message["code"] == "outgoing":
            message["code"] = "message"
        super().send(**message)


class SendsBroadcast(Client):
    """Takes everything for a broadcast."""

    def send(self, **message):
        if message["code"] == "outgoing":
            message = {"code": "outgoing_broadcast", "content": message["content"]}
        super().send(**message)


class DiesOfUnknown(Client):
    def take(self, message):
        try:
            getattr(self, f"on_{message['code']}")(message)
        except (AttributeError, KeyError):
            traceback.print_exc()
            os._exit(1)


class TracebackAtEnd(Client):
    """A recv that gives nothing is parsed all the same."""

    def listen(self):
        try:
            while True:
                for message in [json.loads(self.receive())]:
                    self.take(message)
        except (OSError, ValueError):
            traceback.print_exc()
            sys.stderr.flush()


class LosesWhileTyping(Client):
    """Reads the socket after each line, not before."""

    def __init__(self, *where):
        super().__init__(*where)
        self.first = 2

    def take(self, message):
        if self.first:
            self.first -= 1
            super().take(message)

    def typed(self, line):
        self.first = 3
        return super().typed(line)


class NoQuit(Client):
    def leave(self):
        self._socket.close()


class SwallowsQuotes(Client):
    def cut(self, line):
        return line.replace('"', "").partition("|")


class CutsAtLastBar(Client):
    def cut(self, line):
        return line.rpartition("|")


class Ascii(Client):
    def say(self, text):
        super().say(text.encode("ascii", "replace").decode())


class NoFirstLine(Client):
    """Says nothing of where it connects, and prompts with something else."""

    def on_users(self, message):
        print("Users online:", ", ".join(message["users"]))
        print("enter your message>", end=" ", flush=True)


class OtherName(Client):
    """The nickname is put in capitals."""

    def __init__(self, host, port, name):
        super().__init__(host, port, name.capitalize())


class WhoOnce(Client):
    """Shows the list at the start only."""

    shown = False

    def on_users(self, message):
        if not self.shown:
            super().on_users(message)
        self.shown = True


FAULTS = {
    "none": Client,
    "one-per-recv": OnePerRecv,
    "needs-newline": NeedsNewline,
    "small-buffer": SmallBuffer,
    "all-are-to-all": AllAreToAll,
    "without-sender": WithoutSender,
    "deaf": Deaf,
    "wrong-code": WrongCode,
    "sends-broadcast": SendsBroadcast,
    "dies-of-unknown": DiesOfUnknown,
    "traceback-at-end": TracebackAtEnd,
    "loses-while-typing": LosesWhileTyping,
    "no-quit": NoQuit,
    "swallows-quotes": SwallowsQuotes,
    "cuts-at-last-bar": CutsAtLastBar,
    "ascii": Ascii,
    "no-first-line": NoFirstLine,
    "other-name": OtherName,
    "who-once": WhoOnce,
}

if __name__ == "__main__":
    fault = "none"
    if "--fault" in sys.argv:
        at = sys.argv.index("--fault")
        fault = sys.argv[at + 1]
        del sys.argv[at : at + 2]
    right.main(FAULTS[fault])
