"""A client of plain lines: what is typed goes to the server, what comes is printed."""

import os
import socket
import sys
import threading


def main():
    port, name = sys.argv[1:]
    sock = socket.create_connection(("127.0.0.1", int(port)))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(f"name {name}\n".encode())

    def listen():
        with sock.makefile("r", encoding="utf-8") as lines:
            for line in lines:
                print(line, end="", flush=True)
        os._exit(3)

    threading.Thread(target=listen, daemon=True).start()
    for line in sys.stdin:
        sock.sendall(line.encode())
    sock.shutdown(socket.SHUT_WR)
    threading.Event().wait()


if __name__ == "__main__":
    main()
