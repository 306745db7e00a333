"""Reads numbered messages as `NAME` until so many have come, and says whether they were in order.

    reader.py PORT NAME COUNT [plain]

It can be stopped at any time: what it has not read is kept by nobody but the server.
"""

import json
import socket
import sys

CONFIRMED = 50  # items from one `received` to the next


def main() -> int:
    port, name, count, *plain = sys.argv[1:]
    sock = socket.socket()
    # Before it connects: into a window that has shrunk the kernel sends by a timer, every 200 ms.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
    sock.connect(("127.0.0.1", int(port)))
    hello = {"code": "hello", "name": name} | ({} if plain else {"v": 1})
    sock.sendall(json.dumps(hello).encode() + b"\n")
    numbers = []
    with sock.makefile("rb") as frames:
        for line in frames:
            frame = json.loads(line)
            if frame["code"] == "welcome":
                print("ready", flush=True)
            elif frame["code"] == "incoming":
                numbers.append(int(frame["content"].split()[0]))
                if not plain and len(numbers) % CONFIRMED == 0:
                    upto = {"code": "received", "upto": frame["seq"]}
                    sock.sendall(json.dumps(upto).encode() + b"\n")
                if len(numbers) == int(count):
                    break
    wanted = list(range(int(count)))
    print("all in order" if numbers == wanted else f"{len(numbers)}: {numbers[:5]}...", flush=True)
    return 0 if numbers == wanted else 1


if __name__ == "__main__":
    sys.exit(main())
