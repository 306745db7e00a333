"""A progress bar on the last row is drawn again and again; what comes is put above it."""

import sys
import threading

from line import Connection


class Bar:
    def __init__(self):
        self.percent, self.lock = None, threading.Lock()

    def draw(self):
        done = self.percent // 10
        sys.stdout.write(f"\r[{'#' * done}{' ' * (10 - done)}] {self.percent}%")

    def heard(self, text):
        with self.lock:
            if text.startswith("% "):
                self.percent = int(text[2:])
                self.draw()
                if self.percent == 100:
                    self.percent = None
                    sys.stdout.write("\n")
            elif self.percent is None:
                sys.stdout.write(f"{text}\n")
            else:
                sys.stdout.write(f"\r\x1b[K{text}\n")
                self.draw()
            sys.stdout.flush()


talk = Connection()
print(talk.hello)
talk.listen(Bar().heard)
while True:
    try:
        talk.send(input("say> "))
    except EOFError:
        break
