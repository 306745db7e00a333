"""asyncio streams. `streams.py` takes the port in CHAT_PORT, or a free one, and says which."""

import asyncio
import json
import os

users: dict[str, asyncio.StreamWriter] = {}


async def tell(writer: asyncio.StreamWriter, message: dict) -> None:
    writer.write(json.dumps(message).encode())


async def chat(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    me, buffer, decoder = "", "", json.JSONDecoder()
    undecoded = b""
    try:
        while data := await reader.read(2048):
            undecoded += data
            try:
                buffer += undecoded.decode()
                undecoded = b""
            except UnicodeDecodeError as error:
                buffer += undecoded[: error.start].decode()
                undecoded = undecoded[error.start :] if error.end == len(undecoded) else b""
            while buffer:
                try:
                    message, end = decoder.raw_decode(buffer)
                except ValueError as error:
                    if getattr(error, "pos", 0) == 0 and buffer[0] != "{":
                        buffer = ""
                    break
                except RecursionError:
                    buffer = ""
                    break
                buffer = buffer[end:].lstrip()
                match message:
                    case {"code": "hello", "name": str(name)} if not me:
                        if name in users or name == "*" or not name:
                            await tell(writer, {"code": "refused", "name": name})
                            return
                        me = name
                        users[me] = writer
                        await tell(writer, {"code": "welcome"})
                        print(f"[+] {me}", flush=True)
                    case _ if not me:
                        pass
                    case {"code": "who"}:
                        await tell(writer, {"code": "users", "users": list(users)})
                    case {"code": "outgoing", "to": str(to), "content": content}:
                        if to in users:
                            told = {"code": "incoming", "from": me, "content": content}
                            await tell(users[to], told)
                        else:
                            await tell(writer, {"code": "not_found", "to": to})
                    case {"code": "outgoing_broadcast", "content": content}:
                        told = {"code": "incoming_broadcast", "from": me, "content": content}
                        for name, other in users.items():
                            if name != me:
                                await tell(other, told)
                    case {"code": "quit"}:
                        return
    except ConnectionError:
        pass
    finally:
        users.pop(me, None)
        print(f"[-] {me or 'somebody'}", flush=True)
        writer.close()


async def main() -> None:
    port = int(os.environ.get("CHAT_PORT", "0"))
    server = await asyncio.start_server(chat, "localhost", port)
    print(f"chat room open at {server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


asyncio.run(main())
