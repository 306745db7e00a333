"""A client on prompt_toolkit: it draws its own line, a toolbar below it, and messages above it."""

import asyncio
import sys

from prompt_toolkit import PromptSession
from prompt_toolkit.application import run_in_terminal
from talk import Talk


class Drawn:
    """Lines that arrive are printed above the prompt, or, when there is none, before the next."""

    def __init__(self):
        self.waiting = []
        self.loop = asyncio.get_running_loop()
        self.session = PromptSession(bottom_toolbar=lambda: "a toolbar")

    def show(self, text):
        self.loop.call_soon_threadsafe(self.later, text)

    def later(self, text):
        self.waiting.append(text)
        app = self.session.app
        if app.is_running and not app.is_done:  # what a prompt draws at its end erases ours
            run_in_terminal(self.drain)

    def drain(self):
        if self.session.app.is_running and self.session.app.is_done:
            return  # the next prompt shows it first
        while self.waiting:
            print(self.waiting.pop(0))

    async def ask(self):
        self.drain()
        try:
            return await self.session.prompt_async("say> ")
        except (EOFError, KeyboardInterrupt):
            return "/quit"


async def main():
    drawn = Drawn()
    talk = Talk(sys.argv[1], sys.argv[2], drawn.show)
    print(f"You are {talk.name}.")
    listening = drawn.loop.run_in_executor(None, talk.listen)
    while talk.command(await drawn.ask()):
        pass
    await listening
    drawn.drain()


if __name__ == "__main__":
    asyncio.run(main())
