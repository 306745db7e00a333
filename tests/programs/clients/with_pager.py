"""Shows a long answer page by page, as `more` does; what comes meanwhile waits until it is read."""

import queue
import sys
import termios
import threading
import tty

from line import Connection

PAGE = 10


class Pager:
    def __init__(self):
        self.lock, self.paging, self.waiting = threading.Lock(), False, []
        self.pages = queue.Queue()

    def heard(self, text):
        if text.startswith("|"):
            self.pages.put(text)
            return
        with self.lock:
            if self.paging:
                self.waiting.append(text)
            else:
                print(text)

    def read(self):
        """Show everything up to a `|` by itself."""
        with self.lock:
            self.paging = True
        for number, text in enumerate(iter(self.pages.get, "|")):
            if number and number % PAGE == 0 and self.key() == "q":
                break
            print(text)
        with self.lock:
            self.paging = False
            while self.waiting:
                print(self.waiting.pop(0))

    def key(self):
        sys.stdout.write("\x1b[7m--More--\x1b[0m")
        sys.stdout.flush()
        saved = termios.tcgetattr(0)
        try:
            tty.setcbreak(0, termios.TCSANOW)  # a flush would lose an early key
            return sys.stdin.read(1)
        finally:
            termios.tcsetattr(0, termios.TCSADRAIN, saved)
            sys.stdout.write("\r\x1b[K")


pager, talk = Pager(), Connection()
print(talk.hello)
talk.listen(pager.heard)
while True:
    try:
        line = input("say> ")
    except EOFError:
        break
    talk.send(line)
    if line.startswith("/long"):
        pager.read()
