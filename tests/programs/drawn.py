"""A client on prompt_toolkit: it draws its own line, a toolbar below it, and messages above it."""

import asyncio
import sys

from prompt_toolkit import PromptSession
from prompt_toolkit.application import run_in_terminal
from talk import Talk


async def main():
    waiting = []
    loop = asyncio.get_running_loop()
    session = PromptSession(bottom_toolbar=lambda: "a toolbar")

    def show(text):
        loop.call_soon_threadsafe(later, text)

    def later(text):
        waiting.append(text)
        if session.app.is_running:
            drain()

    def drain():
        def write():
            while waiting:
                print(waiting.pop(0))

        run_in_terminal(write)

    talk = Talk(sys.argv[1], sys.argv[2], show)
    print(f"You are {talk.name}.")
    listening = loop.run_in_executor(None, talk.listen)
    while True:
        while waiting:
            print(waiting.pop(0))
        try:
            line = await session.prompt_async("say> ")
        except (EOFError, KeyboardInterrupt):
            line = "/quit"
        if not talk.command(line):
            break
    await listening


if __name__ == "__main__":
    asyncio.run(main())
