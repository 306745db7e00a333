"""`input()` with a prompt: the kernel edits the line; a thread prints over whatever is there."""

from line import Connection

talk = Connection()
print(talk.hello)
talk.listen(print)
while True:
    try:
        talk.send(input("say> "))
    except EOFError:
        break
