"""Asks for a password, which is never shown, and then for lines."""

from getpass import getpass

from line import Connection

talk = Connection(getpass("Password: "))
print(talk.hello)
talk.listen(print)
while True:
    try:
        talk.send(input("say> "))
    except EOFError:
        break
