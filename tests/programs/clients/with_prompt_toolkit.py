"""prompt_toolkit: `patch_stdout` puts what is printed above the prompt, in batches.

A line is sent when the next prompt is up: what is printed while a prompt ends, `patch_stdout`
sometimes loses (prompt-toolkit/python-prompt-toolkit#1079), and that is not what is tried here.
"""

import asyncio

from line import Connection
from prompt_toolkit import PromptSession
from prompt_toolkit.patch_stdout import patch_stdout


async def main():
    talk = Connection()
    print(talk.hello)
    session, entered = PromptSession(), []

    def prompt_is_up():
        while entered:
            talk.send(entered.pop(0))

    with patch_stdout():
        talk.listen(print)
        while True:
            try:
                entered.append(await session.prompt_async("say> ", pre_run=prompt_is_up))
            except EOFError:
                break


asyncio.run(main())
