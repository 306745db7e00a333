"""A server that answers every line after a known time: `python3 slow_answers.py [PORT]`.

`hello NAME` and `ping WORD` are answered at once. `say N` is answered by `said N` after as many
milliseconds as the table says, each of a hundred answers another row; none waits for another.
"""

import asyncio
import itertools
import sys

DELAYS = [100] * 90 + [300] * 8 + [600] * 2  # milliseconds: what p50, p95 and p99 have to be
TURN = itertools.count()  # of all connections, so that a hundred answers have them all


async def serve(reader, writer):
    loop = asyncio.get_running_loop()
    while line := await reader.readline():
        word, _, rest = line.decode().strip().partition(" ")
        if word == "say":
            delay = DELAYS[next(TURN) * 37 % len(DELAYS)] / 1000
            loop.call_later(delay, writer.write, f"said {rest}\n".encode())
        else:
            writer.write(f"{word} {rest}\n".encode())
    writer.close()


async def main():
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    server = await asyncio.start_server(serve, "127.0.0.1", port)
    print(f"listening on port {server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


asyncio.run(main())
