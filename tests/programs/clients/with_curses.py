"""curses: a title, a pane with the last messages, and a line for what is typed."""

import curses
import selectors
import sys

from line import Connection


class Screen:
    def __init__(self, window, talk):
        self.window, self.talk = window, talk
        self.messages, self.draft, self.over = [talk.hello], "", False

    def run(self):
        self.window.nodelay(True)
        self.paint()
        with selectors.DefaultSelector() as selector:
            selector.register(sys.stdin, selectors.EVENT_READ, self.keys)
            selector.register(self.talk.sock, selectors.EVENT_READ, self.read)
            buffer = [b""]
            while not self.over:
                for key, _ in selector.select():
                    key.data(buffer)

    def read(self, buffer):
        data = self.talk.sock.recv(65536)
        self.over = not data
        *lines, buffer[0] = (buffer[0] + data).split(b"\n")
        for line in lines:
            self.messages.append(line.decode())
            self.paint()

    def keys(self, _buffer):
        while (key := self.window.getch()) != -1:
            if key in (10, 13):
                self.talk.send(self.draft)
                self.draft = ""
            elif key == 4:
                self.over = True
            elif key in (127, curses.KEY_BACKSPACE):
                self.draft = self.draft[:-1]
            elif 32 <= key < 127:
                self.draft += chr(key)
        self.paint()

    def paint(self):
        height, width = self.window.getmaxyx()
        self.window.erase()
        self.window.addnstr(0, 0, " chat ", width, curses.A_REVERSE)
        for y, text in enumerate(self.messages[-(height - 3) :], 1):
            self.window.addnstr(y, 0, text, width)
        self.window.hline(height - 2, 0, curses.ACS_HLINE, width)
        self.window.addnstr(height - 1, 0, f"> {self.draft}"[-(width - 1) :], width - 1)
        self.window.refresh()


talk = Connection()
curses.wrapper(lambda window: Screen(window, talk).run())
