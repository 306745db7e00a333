"""A thread for each client, and one lock. Its port is its own."""

import json
import socket
import threading

HOST, PORT = "127.0.0.1", 25_011
clients = {}
lock = threading.Lock()


def send(conn, **msg):
    try:
        conn.sendall(json.dumps(msg).encode())
    except OSError:
        pass


def objects(conn):
    text = ""
    while True:
        data = conn.recv(4096)
        if not data:
            return
        text += data.decode("utf-8", errors="ignore")
        while text.strip():
            try:
                obj, end = json.JSONDecoder().raw_decode(text.lstrip())
            except (ValueError, RecursionError):
                if len(text) > 100_000 or text.lstrip()[0] != "{":
                    text = ""
                break
            text = text.lstrip()[end:]
            yield obj


def handle(conn):
    name = None
    try:
        for obj in objects(conn):
            if not isinstance(obj, dict):
                continue
            code = obj.get("code")
            with lock:
                if code == "hello" and name is None:
                    wanted = obj.get("name")
                    if not isinstance(wanted, str) or wanted in clients or wanted in ("", "*"):
                        send(conn, code="error", message="pick another name")
                        return
                    name = wanted
                    clients[name] = conn
                    send(conn, code="welcome")
                elif name is None:
                    send(conn, code="error", message="say hello first")
                elif code == "who":
                    send(conn, code="users", users=sorted(clients))
                elif code == "outgoing":
                    to, content = obj.get("to"), obj.get("content")
                    if isinstance(to, str) and to in clients:
                        send(clients[to], code="incoming", **{"from": name, "content": content})
                    else:
                        send(conn, code="error", message=f"unknown user: {to}")
                elif code == "outgoing_broadcast" and "content" in obj:
                    for other, sock in clients.items():
                        if other != name:
                            text = obj["content"]
                            send(sock, code="incoming_broadcast", **{"from": name, "content": text})
                elif code == "quit":
                    return
    except OSError:
        pass
    finally:
        with lock:
            clients.pop(name, None)
        conn.close()


server = socket.socket()
server.bind((HOST, PORT))
server.listen()
while True:
    c, _ = server.accept()
    threading.Thread(target=handle, args=(c,), daemon=True).start()
