"""cmd2: what comes is an asynchronous alert above the prompt."""

import sys

import cmd2
from line import Connection


class Chat(cmd2.Cmd):
    def __init__(self, talk):
        super().__init__(allow_cli_args=False)
        self.prompt, self.talk = "say> ", talk

    def onecmd_plus_hooks(self, line, **_options):
        if line == "eof":
            return True
        self.talk.send(line)
        return False


talk = Connection()
print(talk.hello)
chat = Chat(talk)
talk.listen(lambda text: chat.add_alert(msg=text))
sys.exit(chat.cmdloop())
