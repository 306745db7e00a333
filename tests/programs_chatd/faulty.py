"""`chatd` with planted faults: `seen` of `fault:handler` or of `fault:loop` breaks that part."""

import sys

from chatd.cli import main
from chatd.core import commands
from chatd.net.loop import Loop
from chatd.wire.messages import AskSeen

SECRET = "an inner detail that no peer is to read"
seen, write_queued = commands.COMMANDS[AskSeen], Loop._write_queued
broken = []


def faulty_seen(hub, session, asked):
    if asked.name == "fault:handler":
        raise RuntimeError(SECRET)
    if asked.name == "fault:loop":
        broken.append(asked)
    return seen(hub, session, asked)


def faulty_write_queued(loop):
    if broken:
        raise RuntimeError(SECRET)
    write_queued(loop)


commands.COMMANDS[AskSeen] = faulty_seen
Loop._write_queued = faulty_write_queued
sys.exit(main())
