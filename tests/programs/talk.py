"""What the two small clients share: a connection, the commands of a line, the words for a frame."""

import json
import socket

HELP = "commands: /dm NAME TEXT, /bc TEXT, /users, /ping WORD, /quit"


class Talk:
    """One session. `show(text)` prints a line; it is called from the reading thread."""

    def __init__(self, port, name, show):
        self.show, self.leaving = show, False
        self.sock = socket.create_connection(("127.0.0.1", int(port)))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.sock.makefile("r", encoding="utf-8")
        self.send(code="hello", name=name)
        self.name = json.loads(self.file.readline()).get("name", "?")

    def send(self, **frame):
        self.sock.sendall(json.dumps(frame).encode() + b"\n")

    def command(self, line):
        """Carry out one line; false when it was the last."""
        word, _, rest = line.partition(" ")
        if word == "/quit":
            self.leaving = True
            self.send(code="quit")
            return False
        if word == "/dm":
            to, _, text = rest.partition(" ")
            self.send(code="outgoing", to=to, content=text.strip('"'), id="x")
        elif word == "/bc":
            self.send(code="outgoing_broadcast", content=rest.strip('"'), id="x")
        elif word == "/users":
            self.send(code="who")
        elif word == "/ping":
            self.send(code="ping", n=rest)
        elif word != "/silent":
            self.show(HELP)
        return True

    def listen(self):
        """Print what comes, until the connection ends."""
        for line in self.file:
            text = self.words(json.loads(line))
            if text is not None:
                self.show(text)
        self.show("the connection was closed")

    def words(self, frame):
        code = frame["code"]
        if code in ("incoming", "incoming_broadcast"):
            return f"{frame['from']}: {frame['content']}"
        return {
            "ack": lambda: f"{self.name}: {frame['content']}",
            "users": lambda: "users: " + ", ".join(frame["users"]),
            "pong": lambda: f"pong {frame['n']}",
            "notice": lambda: f"server: {frame['name']} {frame['kind']}.",
            "error": lambda: f'server: User "{frame.get("to")}" is not connected to the server.',
        }.get(code, lambda: None)()
