"""A client on `input()`: the kernel edits the line, messages are printed whenever they come."""

import os
import sys
import threading

from talk import Talk


def main():
    port = input("Port: ") if len(sys.argv) < 2 else sys.argv[1]
    name = input("Name: ") if len(sys.argv) < 3 else sys.argv[2]
    talk = Talk(port, name, print)
    print(f"You are {talk.name}.")

    def listen():
        talk.listen()
        if not talk.leaving:
            os._exit(3)

    threading.Thread(target=listen, daemon=True).start()
    while True:
        try:
            line = input("say> ")
        except EOFError:
            break
        if not talk.command(line):
            break
    sys.exit(0)


if __name__ == "__main__":
    main()
