"""Cooked: reads standard input line by line, without a prompt; a thread prints what comes."""

import sys

from line import Connection

talk = Connection()
print(talk.hello)
talk.listen(print)
while line := sys.stdin.readline():
    talk.send(line.rstrip("\n"))
