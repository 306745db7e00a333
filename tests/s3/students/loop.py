"""One loop with select. `loop.py --port N`. Everything it sends ends with a newline."""

import argparse
import json
import select
import socket

parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int, required=True)
args = parser.parse_args()


class Client:
    def __init__(self, sock):
        self.sock = sock
        self.inbuf = b""
        self.outbuf = b""
        self.name = None
        self.gone = False

    def push(self, msg):
        self.outbuf += json.dumps(msg, ensure_ascii=False).encode() + b"\n"


def take_object(buf):
    """Cut one {...} from the front by counting braces outside of strings."""
    start = buf.find(b"{")
    if start < 0:
        return None, b""
    depth, quoted, escaped = 0, False, False
    for i in range(start, len(buf)):
        ch = buf[i : i + 1]
        if quoted:
            if escaped:
                escaped = False
            elif ch == b"\\":
                escaped = True
            elif ch == b'"':
                quoted = False
        elif ch == b'"':
            quoted = True
        elif ch == b"{":
            depth += 1
        elif ch == b"}":
            depth -= 1
            if depth == 0:
                return buf[start : i + 1], buf[i + 1 :]
    return None, buf[start:]


clients = []


def by_name(name):
    return next((c for c in clients if c.name is not None and c.name == name), None)


def handle(client, msg):
    code = msg.get("code")
    if client.name is None:
        name = msg.get("name")
        if code == "hello" and isinstance(name, str) and name not in ("", "*"):
            client.name = name
            client.push({"code": "welcome"})
        return
    if code == "who":
        client.push({"code": "users", "users": [c.name for c in clients if c.name is not None]})
    elif code in ("outgoing", "text"):
        friend = by_name(msg.get("to"))
        if friend is None:
            text = f"*** {msg.get('to')} is not here ***"
            client.push({"code": "incoming", "from": "SERVER", "content": text})
        else:
            friend.push({"code": "incoming", "from": client.name, "content": msg.get("content")})
    elif code == "outgoing_broadcast":
        for other in clients:
            if other is not client and other.name is not None:
                other.push(
                    {
                        "code": "incoming_broadcast",
                        "from": client.name,
                        "content": msg.get("content"),
                    }
                )
    elif code == "quit":
        client.gone = True


listener = socket.create_server(("", args.port))
listener.setblocking(False)
while True:
    reading = [listener, *(c.sock for c in clients)]
    writing = [c.sock for c in clients if c.outbuf]
    can_read, can_write, _ = select.select(reading, writing, [])
    if listener in can_read:
        sock, _ = listener.accept()
        sock.setblocking(False)
        clients.append(Client(sock))
    for client in list(clients):
        try:
            if client.sock in can_write:
                client.outbuf = client.outbuf[client.sock.send(client.outbuf) :]
            if client.sock in can_read:
                data = client.sock.recv(65536)
                client.gone |= not data
                client.inbuf += data
        except OSError:
            client.gone = True
        while not client.gone:
            raw, client.inbuf = take_object(client.inbuf)
            if raw is None:
                break
            try:
                message = json.loads(raw)
            except (ValueError, RecursionError):
                continue
            handle(client, message)
        if client.gone:
            clients.remove(client)
            client.sock.close()
