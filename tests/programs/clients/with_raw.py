"""Raw: the terminal gives every key, and the program shows them itself."""

import os
import select
import sys
import termios
import tty

from line import Connection

PROMPT = "say> "


def show(text):
    os.write(1, text.encode())


def talk_raw(talk):
    draft, buffer = "", b""
    show(f"{talk.hello}\r\n{PROMPT}")
    while True:
        ready, _, _ = select.select([0, talk.sock], [], [])
        if talk.sock in ready:
            data = talk.sock.recv(65536)
            if not data:
                return
            *lines, buffer = (buffer + data).split(b"\n")
            for line in lines:
                show(f"\r\x1b[K{line.decode()}\r\n{PROMPT}{draft}")
        if 0 in ready:
            for key in os.read(0, 1024).decode(errors="replace"):
                if key == "\r":
                    show("\r\n" + PROMPT)
                    talk.send(draft)
                    draft = ""
                elif key == "\x04":
                    return
                elif key == "\x7f":
                    draft = draft[:-1]
                    show("\b \b")
                else:
                    draft += key
                    show(key)


saved = termios.tcgetattr(sys.stdin)
try:
    tty.setraw(sys.stdin)
    talk_raw(Connection())
finally:
    termios.tcsetattr(sys.stdin, termios.TCSADRAIN, saved)
