"""Servers of the base protocol, each wrong in one way: `server.py PORT [--fault NAME]`.

Every fault is one that people really make, and a small change of the right server.
"""

from __future__ import annotations

import json
import os
import queue
import socket
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "scenarios" / "portable" / "reference"))

import server as right
from server import Objects, Peer, Server


class NeedsNewline(Server):
    """Reads lines."""

    def attend(self, connection):
        peer = Peer(connection)
        try:
            for line in connection.makefile("rb"):
                if not self.take(peer, json.loads(line)):
                    return
        except (OSError, ValueError):
            pass
        finally:
            self.forget(peer)
            connection.close()


class OnePerRecv(Server):
    """Takes what one recv gives for one object, and passes over what is none."""

    size = 65_536

    def attend(self, connection):
        peer = Peer(connection)
        try:
            while data := connection.recv(self.size):
                for message in self.parse(data):
                    if not self.take(peer, message):
                        return
        except OSError:
            pass
        finally:
            self.forget(peer)
            connection.close()

    def parse(self, data):
        try:
            return [json.loads(data)]
        except (ValueError, RecursionError):
            return []


class FirstOfTwo(OnePerRecv):
    """Parses the first object of what one recv gave, keeps unfinished ones, forgets the rest."""

    def attend(self, connection):
        self.objects = {}
        super().attend(connection)

    def parse(self, data):
        objects = self.objects.setdefault(threading.get_ident(), Objects())
        return list(objects.feed(data))[:1]


class Truncates(OnePerRecv):
    """The same with a small buffer."""

    size = 1024


class ToSenderToo(Server):
    def audience(self, sender):
        return list(self._peers.values())


class MissesTheLast(Server):
    """A broadcast to all but the newest."""

    def audience(self, sender):
        return [peer for peer in list(self._peers.values())[:-1] if peer is not sender]


class DiesOfGarbage(OnePerRecv):
    """The whole server ends at the first thing that is no object."""

    def parse(self, data):
        try:
            messages = list(Objects().feed(data))
            assert messages, data
        except BaseException:
            sys.stderr.write("Traceback: json.decoder.JSONDecodeError: Expecting value\n")
            os._exit(1)
        else:
            return messages


class DiesOfMissingFields(Server):
    def on_outgoing(self, peer, message):
        if "to" not in message or "content" not in message:
            sys.stderr.write("KeyError: 'to'\n")
            os._exit(1)
        super().on_outgoing(peer, message)


class KeepsTheGone(Server):
    """Whoever does not say quit stays in the list."""

    def forget(self, peer):
        if peer.said_quit:
            super().forget(peer)


class KeepsQuitters(Server):
    """Whoever says quit stays in the list."""

    def forget(self, peer):
        if not peer.said_quit:
            super().forget(peer)


class SwapsNames(Server):
    def deliver(self, sender, receiver, content):
        self.say(receiver, {"code": "incoming", "from": receiver.name, "content": content})


class Leaks(Server):
    """A direct message goes to everyone."""

    def deliver(self, sender, receiver, content):
        for peer in self._peers.values():
            if peer is not sender:
                super().deliver(sender, peer, content)


class LeaksLate(Server):
    """A queue with a worker delivers; the copy for a third comes behind the rest."""

    def __init__(self, **more):
        super().__init__(**more)
        self._work = queue.Queue()
        threading.Thread(target=self._deliver, daemon=True).start()

    def deliver(self, sender, receiver, content):
        others = [peer for peer in self._peers.values() if peer not in (sender, receiver)]
        self._work.put((sender, receiver, content, 0.0))
        for other in others if "mark" not in content else ():
            self._work.put((sender, other, content, 0.2))

    def _deliver(self):
        while True:
            sender, receiver, content, delay = self._work.get()
            time.sleep(delay)
            with self._lock:
                super().deliver(sender, receiver, content)


class LosesSome(Server):
    """Every seventh message is lost."""

    count = 0

    def deliver(self, sender, receiver, content):
        self.count += 1
        if self.count % 7:
            super().deliver(sender, receiver, content)


class Doubles(Server):
    def spam(self, sender, receiver, content):
        super().spam(sender, receiver, content)
        super().spam(sender, receiver, content)


class SecondTakesName(Server):
    """A second login with a name takes what is meant for the first."""

    def may_be_called(self, name):
        return name.strip() not in ("", "*")


class StarIsAName(Server):
    def may_be_called(self, name):
        return bool(name.strip()) and name not in self._peers


class SaysNothingOfNobody(Server):
    def nobody(self, peer, to):
        pass


class NobodyIsEverybody(Server):
    """What is for somebody unknown goes to everyone."""

    def nobody(self, peer, to):
        for other in self.audience(peer):
            self.deliver(peer, other, "anybody there")


class Ascii(Server):
    def say(self, peer, message):
        text = json.dumps(message, ensure_ascii=False).encode("ascii", "replace")
        peer.send([text])


class BreaksCharacters(Server):
    """Decodes each recv for itself."""

    def attend(self, connection):
        real = connection.recv

        class Socket:
            def recv(self, size):
                return real(size).decode("utf-8", "replace").encode()

            def __getattr__(self, name):
                return getattr(connection, name)

        super().attend(Socket())


class BlocksOnSlow(Server):
    """Sends to all from one thread, and waits for each."""

    def attend(self, connection):
        self.sockets = getattr(self, "sockets", {})
        super().attend(connection)

    def say(self, peer, message):
        peer._connection.sendall(json.dumps(message, ensure_ascii=False).encode())


class ClosesOthers(Server):
    """A broken connection ends the loop that serves everybody."""

    def attend(self, connection):
        try:
            while connection.recv(1, socket.MSG_PEEK) and self.step(connection):
                pass
        except ConnectionResetError:
            for peer in list(self._peers.values()):
                peer.close()
        finally:
            peer = self.state.pop(connection, None)
            if peer:
                self.forget(peer[0])
            connection.close()

    def step(self, connection):
        self.state = getattr(self, "state", {})
        peer, objects = self.state.setdefault(connection, (Peer(connection), Objects()))
        return all(self.take(peer, message) for message in objects.feed(connection.recv(65_536)))


class WordyWelcome(Server):
    def say(self, peer, message):
        if message["code"] == "welcome":
            message = {**message, "message": f"Welcome, {peer.name}!"}
        super().say(peer, message)


class WhoWithoutAsker(Server):
    def names(self, asker):
        return [name for name, peer in self._peers.items() if peer is not asker]


class TalksToStrangers(Server):
    """Relays for connections that have said no hello."""

    def _greet(self, peer, message):
        if message["code"] == "outgoing_broadcast":
            self.on_outgoing_broadcast(peer, message)
        return super()._greet(peer, message)


class DiesWithoutQuit(Server):
    """A connection that ends without quit is an exception that nobody handles."""

    def forget(self, peer):
        if peer.name and not peer.said_quit:
            os._exit(1)
        super().forget(peer)


class Announces(Server):
    """Tells everyone who has come, although nobody has asked."""

    def on_hello(self, peer, message):
        done = super().on_hello(peer, message)
        for other in self.audience(peer):
            self.spam(peer, other, "has joined")
        return done


class NoText(Server):
    on_text = None


FAULTS = {
    "none": Server,
    "needs-newline": NeedsNewline,
    "one-per-recv": OnePerRecv,
    "first-of-two": FirstOfTwo,
    "truncates": Truncates,
    "to-sender-too": ToSenderToo,
    "misses-the-last": MissesTheLast,
    "dies-of-garbage": DiesOfGarbage,
    "dies-of-missing-fields": DiesOfMissingFields,
    "keeps-the-gone": KeepsTheGone,
    "keeps-quitters": KeepsQuitters,
    "swaps-names": SwapsNames,
    "leaks": Leaks,
    "leaks-late": LeaksLate,
    "loses-some": LosesSome,
    "doubles": Doubles,
    "second-takes-name": SecondTakesName,
    "star-is-a-name": StarIsAName,
    "says-nothing-of-nobody": SaysNothingOfNobody,
    "nobody-is-everybody": NobodyIsEverybody,
    "ascii": Ascii,
    "breaks-characters": BreaksCharacters,
    "blocks-on-slow": BlocksOnSlow,
    "closes-others": ClosesOthers,
    "wordy-welcome": WordyWelcome,
    "who-without-asker": WhoWithoutAsker,
    "talks-to-strangers": TalksToStrangers,
    "dies-without-quit": DiesWithoutQuit,
    "announces": Announces,
    "no-text": NoText,
}

if __name__ == "__main__":
    fault = sys.argv[sys.argv.index("--fault") + 1] if "--fault" in sys.argv else "none"
    right.main(FAULTS[fault])
