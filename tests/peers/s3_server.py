"""A chat server as students write it from S3 alone: a thread per client, recv and json.loads.

It knows nothing of line ends, ids, notices or errors. Two objects in one segment kill the thread of
the client that sent them, as they do in the real ones. Prints `listening on 127.0.0.1, port N`.
"""

import contextlib
import json
import socket
import sys
import threading

clients: dict[str, socket.socket] = {}


def send(name: str, **message: str | list[str]) -> None:
    with contextlib.suppress(OSError, KeyError):
        clients[name].sendall(json.dumps(message).encode())


def relay(me: str, message: dict[str, str]) -> bool:
    """Do what one message asks for; False after `quit`."""
    match message["code"]:
        case "who":
            send(me, code="users", users=list(clients))
        case "outgoing" if message["to"] in clients:
            send(message["to"], code="incoming", **{"from": me, "content": message["content"]})
        case "outgoing":
            text = f'User "{message["to"]}" is not connected to the server.'
            send(me, code="incoming", **{"from": "server", "content": text})
        case "outgoing_broadcast":
            for name in [name for name in clients if name != me]:
                content = message["content"]
                send(name, code="incoming_broadcast", **{"from": me, "content": content})
        case "quit":
            return False
        case other:
            print(f"{me} sent the unknown code {other}", flush=True)
    return True


def serve(conn: socket.socket) -> None:
    me = json.loads(conn.recv(4096))["name"]
    clients[me] = conn
    send(me, code="welcome")
    try:
        while (data := conn.recv(65536)) and relay(me, json.loads(data)):
            pass
    except ValueError:
        print(f"{me} sent what is not one object: {data!r}", flush=True)
    except OSError:
        pass
    finally:
        del clients[me]
        conn.close()


def main() -> None:
    with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as listener:
        print(f"listening on 127.0.0.1, port {listener.getsockname()[1]}", flush=True)
        while True:
            conn, _ = listener.accept()
            threading.Thread(target=serve, args=(conn,), daemon=True).start()


main()
