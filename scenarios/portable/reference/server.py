"""A right server of the base protocol: `python3 server.py PORT [--director]`.

A client is judged with it: it follows the protocol and nothing else, and sends one object per
segment, the next once the last was read, so that no client is blamed for what a network does.
With `--director` it takes orders: whoever says no hello may `watch` a name (and is told every
object that it sends, as `heard`, and its end, as `gone`), `tell` somebody bytes as they stand, and
`ping`. A watcher so sees what a client really sends, and says to it what no right server would.
"""

from __future__ import annotations

import codecs
import contextlib
import json
import queue
import re
import socket
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from harness.ports import on_the_way

TOKEN = re.compile(r'"(?:[^"\\]|\\.)*(?P<end>"|\Z)|[{}]', re.DOTALL)
LONGEST = 1 << 20  # characters of one object
BRIEF, LONG = 0.001, 0.05  # seconds between two looks at what was read
ROOM = 1000  # objects that wait for a peer that does not read


class Objects:
    """JSON objects out of a stream, however they are cut; what is none is passed over."""

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._left = ""

    def feed(self, data: bytes) -> Iterator[Any]:
        """The objects that `data` completes; raises `ValueError` for one without an end."""
        self._left += self._decode(data)
        while (end := self._end()) is not None:
            text, self._left = self._left[:end], self._left[end:]
            with contextlib.suppress(ValueError, RecursionError):
                yield json.loads(text)
        if len(self._left) > LONGEST:
            raise ValueError("an object without an end")

    def _end(self) -> int | None:
        """Where the first object ends."""
        self._left = self._left[self._left.find("{") :] if "{" in self._left else ""
        depth = 0
        for token in TOKEN.finditer(self._left):
            if token["end"] == "":
                return None
            depth += {"{": 1, "}": -1}.get(token[0], 0)
            if depth == 0:
                return token.end()
        return None


def await_reading(ours: Any, theirs: Any) -> None:
    """Return when the other end has read all: nothing announces that, so look, ever more rarely."""
    pause = BRIEF
    while on_the_way(ours, theirs):
        time.sleep(pause)
        pause = min(2 * pause, LONG)


class Peer:
    """A connection: read by a thread of its own, written to by another, so nobody waits for it."""

    def __init__(self, connection: socket.socket) -> None:
        self.name = ""
        self.watched: set[str] = set()
        self.said_quit = False
        self._connection = connection
        self._outbox: queue.Queue[tuple[list[bytes], Any]] = queue.Queue(ROOM)
        threading.Thread(target=self._write, daemon=True).start()

    def send(self, pieces: list[bytes], then: Any = None) -> None:
        """Queue bytes; whoever lets too many wait is cut off."""
        try:
            self._outbox.put_nowait((pieces, then))
        except queue.Full:
            self.close()

    def read(self) -> Iterator[bytes]:
        """What it sends, as it comes."""
        with contextlib.suppress(OSError):
            while data := self._connection.recv(65_536):
                yield data

    def close(self) -> None:
        """End the connection."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def _write(self) -> None:
        with contextlib.suppress(OSError):
            ours, theirs = self._connection.getsockname(), self._connection.getpeername()
            while True:
                pieces, then = self._outbox.get()
                for piece in pieces:
                    self._connection.sendall(piece)
                    await_reading(ours, theirs)
                if then:
                    then()


class Server:
    """Who is connected, and what happens to what they say."""

    def __init__(self, *, directed: bool = False) -> None:
        self._directed = directed
        self._lock = threading.RLock()
        self._peers: dict[str, Peer] = {}
        self._directors: list[Peer] = []

    def serve(self, port: int) -> None:
        """Take connections until the process ends."""
        with socket.create_server(("127.0.0.1", port)) as listener:
            print(f"listening on port {listener.getsockname()[1]}", flush=True)
            while True:
                connection, _ = listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self.attend, args=(connection,), daemon=True).start()

    def attend(self, connection: socket.socket) -> None:
        """One connection from its beginning to its end."""
        peer, objects = Peer(connection), Objects()
        try:
            for data in peer.read():
                for message in objects.feed(data):
                    if not self.take(peer, message):
                        return
        except ValueError:
            pass
        finally:
            self.forget(peer)
            connection.close()

    def forget(self, peer: Peer) -> None:
        """It is gone, whether it said so or not."""
        with self._lock:
            if self._peers.get(peer.name) is peer:
                del self._peers[peer.name]
                self._report(peer, {"code": "gone", "who": peer.name, "quit": peer.said_quit})

    def take(self, peer: Peer, message: Any) -> bool:
        """Do what one object asks for; false when the connection is to end."""
        if not isinstance(message, dict) or not isinstance(message.get("code"), str):
            return True
        with self._lock:
            if not peer.name:
                return self._greet(peer, message)
            to_itself = message.get("to") == peer.name
            if not to_itself:  # the harness's own questions
                self._report(peer, {"code": "heard", "from": peer.name, "object": message})
            do = getattr(self, f"on_{message['code']}", None)
            return do is None or do(peer, message) is not False

    # Before hello.

    def _greet(self, peer: Peer, message: dict[str, Any]) -> bool:
        if message["code"] == "hello":
            return self.on_hello(peer, message)
        if self._directed and message["code"] in ("watch", "tell", "ping"):
            self._order(peer, message)
        return True

    def on_hello(self, peer: Peer, message: dict[str, Any]) -> bool:
        """The name is taken, free, or none."""
        name = message.get("name")
        if not isinstance(name, str) or not self.may_be_called(name):
            self.say(peer, {"code": "error", "content": "This name cannot be used."})
            return False
        peer.name = name
        self._peers[name] = peer
        self._report(peer, {"code": "heard", "from": name, "object": message})
        self.say(peer, {"code": "welcome"})
        return True

    def may_be_called(self, name: str) -> bool:
        """Whether a newcomer may have this name."""
        return name.strip() not in ("", "*") and name not in self._peers

    # After it.

    def on_who(self, peer: Peer, _message: dict[str, Any]) -> None:
        """The list goes to whoever asks."""
        self.say(peer, {"code": "users", "users": self.names(peer)})

    def names(self, _asker: Peer) -> list[str]:
        """All who are connected."""
        return list(self._peers)

    def on_outgoing(self, peer: Peer, message: dict[str, Any]) -> None:
        """To one person."""
        to, content = message.get("to"), message.get("content")
        if not isinstance(to, str) or not isinstance(content, str):
            return
        if to in self._peers:
            self.deliver(peer, self._peers[to], content)
        else:
            self.nobody(peer, to)

    on_text = on_outgoing

    def deliver(self, sender: Peer, receiver: Peer, content: str) -> None:
        """A direct message to its receiver."""
        self.say(receiver, {"code": "incoming", "from": sender.name, "content": content})

    def nobody(self, peer: Peer, to: str) -> None:
        """There is nobody of that name."""
        text = f'User "{to}" is not connected to the server.'
        self.say(peer, {"code": "incoming", "from": "server", "content": text})

    def on_outgoing_broadcast(self, peer: Peer, message: dict[str, Any]) -> None:
        """To everyone else."""
        content = message.get("content")
        if isinstance(content, str):
            for other in self.audience(peer):
                self.spam(peer, other, content)

    def audience(self, sender: Peer) -> list[Peer]:
        """Who gets a broadcast."""
        return [peer for peer in self._peers.values() if peer is not sender]

    def spam(self, sender: Peer, receiver: Peer, content: str) -> None:
        """A broadcast to one of its receivers."""
        self.say(receiver, {"code": "incoming_broadcast", "from": sender.name, "content": content})

    def on_quit(self, peer: Peer, _message: dict[str, Any]) -> bool:
        """The end of the connection."""
        peer.said_quit = True
        return False

    def say(self, peer: Peer, message: dict[str, Any]) -> None:
        """Send one object."""
        peer.send([json.dumps(message, ensure_ascii=False).encode()])

    # Orders of a director.

    def _order(self, peer: Peer, order: dict[str, Any]) -> None:
        done = {"code": "done", "of": order["code"], "n": order.get("n")}
        if order["code"] == "watch":
            peer.watched.add(str(order.get("name")))
            self._directors.append(peer)
        elif order["code"] == "tell" and order.get("to") in self._peers:
            pieces = [str(piece).encode("utf-8", "surrogateescape") for piece in order["pieces"]]
            self._peers[order["to"]].send(pieces, lambda: self.say(peer, done))
            return
        self.say(peer, done)

    def _report(self, peer: Peer, message: dict[str, Any]) -> None:
        for director in self._directors:
            if peer.name in director.watched:
                self.say(director, message)


def main(server: type[Server] = Server) -> None:
    """Serve at the port that is given."""
    server(directed="--director" in sys.argv).serve(int(sys.argv[1]))


if __name__ == "__main__":
    main()
