"""GNU readline: what comes is printed above the line, which is drawn again with its draft."""

import readline
import sys
import threading

from line import Connection

PROMPT = "say> "


class Screen:
    def __init__(self):
        self.lock, self.editing, self.waiting = threading.Lock(), False, []
        readline.parse_and_bind("set enable-bracketed-paste on")  # as in bash; Python has it off
        readline.set_pre_input_hook(self.begin)

    def begin(self):
        """The prompt is there."""
        with self.lock:
            self.editing = True
            while self.waiting:
                self.redraw(self.waiting.pop(0))

    def end(self):
        with self.lock:
            self.editing = False

    def show(self, text):
        with self.lock:
            if self.editing:
                self.redraw(text)
            else:
                self.waiting.append(text)

    def redraw(self, text):
        sys.stdout.write(f"\r\x1b[K{text}\n{PROMPT}{readline.get_line_buffer()}")
        sys.stdout.flush()


screen = Screen()
talk = Connection()
print(talk.hello)
talk.listen(screen.show)
while True:
    try:
        line = input(PROMPT)
    except EOFError:
        break
    screen.end()
    talk.send(line)
