"""A server that answers every line after a known time: `python3 slow_answers.py [PORT]`.

`hello NAME` and `ping WORD` are answered at once. `say N` is answered by `said N` after as many
milliseconds as stand in the table, one after the other; no answer waits for another.
"""

import asyncio
import sys

DELAYS = [20] * 90 + [60] * 8 + [120] * 2  # milliseconds: what p50, p95 and p99 have to be


async def serve(reader, writer):
    loop, count = asyncio.get_running_loop(), 0
    while line := await reader.readline():
        word, _, rest = line.decode().strip().partition(" ")
        if word == "say":
            delay = DELAYS[(int(rest) * 37 + count) % len(DELAYS)] / 1000
            count += 1
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
