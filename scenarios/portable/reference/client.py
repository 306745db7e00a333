"""A right client of the base protocol: `python3 client.py HOST PORT NAME`.

At its prompt `NAME|TEXT` is a message to one, `*|TEXT` one to everyone, `who` asks who is there and
`quit` leaves.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import threading
from typing import Any

from server import Objects

PROMPT = "enter your message>"


class Client:
    """The conversation with a server, without a keyboard."""

    def __init__(self, host: str, port: int, name: str) -> None:
        self._socket = socket.create_connection((host, port))
        self.objects = Objects()
        self.ended = False
        self.send(code="hello", name=name)

    def send(self, **message: str) -> None:
        """Send one object; nothing happens once the connection has ended."""
        with contextlib.suppress(OSError):
            self._socket.sendall(self.encode(message))

    def encode(self, message: dict[str, str]) -> bytes:
        """An object as bytes."""
        return json_bytes(message)

    def listen(self) -> None:
        """Show what the server says, until it says nothing more."""
        with contextlib.suppress(OSError, ValueError):
            while data := self.receive():
                for message in self.objects.feed(data):
                    self.take(message)
        self.ended = True

    def receive(self) -> bytes:
        """What the server has sent."""
        return self._socket.recv(65_536)

    def take(self, message: dict[str, Any]) -> None:
        """One object of the server."""
        show = getattr(self, f"on_{message.get('code')}", None)
        if show is not None:
            show(message)

    def on_welcome(self, _message: dict[str, Any]) -> None:
        """We are in, and ask who else is."""
        self.send(code="who")

    def on_users(self, message: dict[str, Any]) -> None:
        """The list of names, and the prompt after it."""
        print("current users:", *message["users"], "", sep="\n")
        print(PROMPT, end=" ", flush=True)

    def on_incoming(self, message: dict[str, Any]) -> None:
        """A message to us alone."""
        self.say(f"{message['from']}: {message['content']}")

    def on_incoming_broadcast(self, message: dict[str, Any]) -> None:
        """A message to everyone."""
        self.say(f"{message['from']} to all: {message['content']}")

    def say(self, text: str) -> None:
        """Show a line, and the prompt again."""
        print(f"\n{text}\n{PROMPT}", end=" ", flush=True)

    def typed(self, line: str) -> bool:
        """What a person has typed; false when it was the wish to go."""
        to, bar, text = self.cut(line)
        if line == "quit":
            self.leave()
            return False
        if line == "who":
            self.send(code="who")
        elif not bar:
            self.say("To whom? NAME|TEXT, or *|TEXT for everyone.")
        elif to == "*":
            self.send(code="outgoing_broadcast", content=text)
            print(PROMPT, end=" ", flush=True)
        else:
            self.send(code="outgoing", to=to, content=text)
            print(PROMPT, end=" ", flush=True)
        return True

    def cut(self, line: str) -> tuple[str, str, str]:
        """Receiver, bar and text."""
        return line.partition("|")

    def leave(self) -> None:
        """Say that we go."""
        self.send(code="quit")


def json_bytes(message: dict[str, str]) -> bytes:
    """One object, without anything behind it."""
    return json.dumps(message).encode()


def main(client: type[Client] = Client) -> None:
    """Connect the keyboard."""
    host, port, name = sys.argv[1:4]
    print(f"connecting to server at {host}, {port}", flush=True)
    one = client(host, int(port), name)
    threading.Thread(target=_listen, args=(one,), daemon=True).start()
    for line in sys.stdin:
        if not one.typed(line.rstrip("\n")):
            return
    one.leave()


def _listen(client: Client) -> None:
    client.listen()
    print("\nThe server has closed the connection.", flush=True)
    os._exit(0)  # the keyboard's thread is waiting for a line that nobody needs any more


if __name__ == "__main__":
    main()
