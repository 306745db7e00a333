"""What actors do: one function per verb.

Every function takes the run, the actor and the clause's value with all names filled in. It
returns when the act was handed to the kernel, not when it had an effect: that is for the
expectations.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import psutil

from harness import startup
from harness.actors import Actor
from harness.errors import NotApplicableError
from harness.programs import Pipe, Program, Server, Shell
from harness.scope import token
from harness.values import KEYS, as_list, seconds, size
from harness.wire import Wire

EMPTIES_THE_LINE = ("enter", "ctrl-c", "ctrl-u")

if TYPE_CHECKING:
    from harness.run import Run


def types(run: Run, actor: Actor, value: Any) -> None:
    """Type a line, or several, each with Enter."""
    for line in as_list(value):
        _enter(run, actor, str(line))


def _enter(run: Run, actor: Actor, line: str) -> None:
    if isinstance(actor, Pipe | Server):
        actor.note("does", line)
        actor.type(line)
        return
    shell = cast(Shell, actor)
    answers = run.asked.pop(actor.name, None)
    if answers is None:
        run.wait_until_ready(shell)
    shell.note("does", line, verb="types")
    shell.type(line, submit=True, answers=answers)


def drafts(run: Run, actor: Actor, value: Any) -> None:
    """Type a text without Enter."""
    shell = cast(Shell, actor)
    run.wait_until_ready(shell)
    shell.note("does", f"{value} (without Enter)", verb="drafts")
    shell.type(str(value), submit=False)


def pastes(run: Run, actor: Actor, value: Any) -> None:
    """Paste a text; it is not typed, and may have several lines."""
    shell = cast(Shell, actor)
    answers = run.asked.pop(actor.name, None)
    if answers is None:
        run.wait_until_ready(shell)
    shell.note("does", f"pastes {value}", verb="pastes")
    shell.paste(str(value), answers=answers)


def presses(_run: Run, actor: Actor, value: Any) -> None:
    """Press keys."""
    shell = cast(Shell, actor)
    for key in as_list(value):
        shell.note("does", f"presses {key}", verb="presses")
        shell.press(KEYS[str(key)])
        if key in EMPTIES_THE_LINE:
            shell.draft = ""


def resizes(_run: Run, actor: Actor, value: Any) -> None:
    """Give the terminal another size."""
    columns, lines = size(value) or (80, 24)
    actor.note("does", f"resizes to {columns}x{lines}")
    cast(Shell, actor).resize(columns, lines)


def sends(run: Run, actor: Actor, value: Any) -> None:
    """Send frames."""
    wire = cast(Wire, actor)
    for frame in as_list(value):
        wire.note("does", str(frame), verb="sends", data=frame)
        run.fences.sent(wire, frame)
        wire.send(frame)


def sends_bytes(_run: Run, actor: Actor, value: Any) -> None:
    """Send bytes as they are, each piece one write."""
    wire = cast(Wire, actor)
    for piece in as_list(value):
        pause = seconds(piece["every"]) if isinstance(piece, Mapping) and "every" in piece else None
        data = piece_bytes(piece["bytes"] if pause else piece)
        slowly = f", one every {piece['every']}" if pause else ""
        wire.note("does", f"{len(data)} bytes {data[:60]!r}{slowly}", verb="sends bytes")
        wire.send_bytes(data, pause=pause or 0.0)


def piece_bytes(piece: Any) -> bytes:
    """The bytes of one piece: text, `{hex: ..}`, or `{repeat: x, times: n}`."""
    if not isinstance(piece, Mapping):
        return str(piece).replace("\\n", "\n").replace("\\r", "\r").encode()
    if "hex" in piece:
        return bytes.fromhex(str(piece["hex"]))
    return str(piece["repeat"]).encode() * int(piece["times"])


def closes(_run: Run, actor: Actor, _value: Any) -> None:
    """Close the connection, or the input of a pipe."""
    actor.note("does", "closes")
    if isinstance(actor, Pipe):
        actor.close_input()
    else:
        cast(Wire, actor).hang_up()


def half_closes(_run: Run, actor: Actor, _value: Any) -> None:
    """Say that nothing more will be sent."""
    actor.note("does", "half-closes: nothing more will be sent")
    cast(Wire, actor).half_close()


def resets(_run: Run, actor: Actor, _value: Any) -> None:
    """Break the connection off."""
    actor.note("does", "resets")
    cast(Wire, actor).hang_up(reset=True)


def stops_reading(_run: Run, actor: Actor, _value: Any) -> None:
    """Take nothing more."""
    actor.note("does", "stops reading")
    actor.frozen = True
    cast(Wire, actor).set_reading(False)


def reads_again(_run: Run, actor: Actor, _value: Any) -> None:
    """Go on taking."""
    actor.note("does", "reads again")
    actor.frozen = False
    cast(Wire, actor).set_reading(True)


def does(run: Run, actor: Actor, value: Any) -> None:
    """Do an act of the profile."""
    name, arguments = (value, {}) if isinstance(value, str) else next(iter(value.items()))
    for verb, template in run.profile.act(name, actor.role).items():
        local = {**(arguments or {}), "token": token()}
        DOES[verb](run, actor, run.scope.fill(template, actor.name, local))


def joins(run: Run, actor: Actor, _value: Any) -> None:
    """Start and log in."""
    run.join(actor)


def cannot_join(run: Run, actor: Actor, _value: Any) -> None:
    """Start and knock; the expectation says what has to come of it."""
    run.start(actor)
    run.knock(actor)


def leaves(run: Run, actor: Actor, _value: Any) -> None:
    """Leave politely."""
    actor.note("does", "leaves")
    if run.profile.has_act("leave", actor.role):
        does(run, actor, "leave")
    elif isinstance(actor, Shell):
        actor.press(KEYS["ctrl-d"])
    else:
        closes(run, actor, None)
    actor.dismissed = True


def is_killed(run: Run, actor: Actor, value: Any) -> None:
    """Send SIGKILL, or the signal given."""
    actor.dismissed = True
    _signal(run, actor, value or "KILL")


def is_stopped(run: Run, actor: Actor, value: Any) -> None:
    """Send SIGTERM, or the signal given."""
    actor.dismissed = True
    _signal(run, actor, value or "TERM")


def is_frozen(run: Run, actor: Actor, _value: Any) -> None:
    """Halt the program."""
    actor.frozen = True
    _signal(run, actor, "STOP")
    halted = psutil.Process(cast(Program, actor).process.pid)
    run.wait_for(lambda: halted.status() == psutil.STATUS_STOPPED, f"{actor.name} to halt")


def is_thawed(run: Run, actor: Actor, _value: Any) -> None:
    """Let the program go on."""
    _signal(run, actor, "CONT")
    actor.frozen = False


def is_restarted(run: Run, actor: Actor, value: Any) -> None:
    """End the server and start it again."""
    server = cast(Server, actor)
    server.dismissed = True
    _signal(run, server, value or "TERM")
    run.wait_for(lambda: server.ended is not None, f"the server to end after {value or 'TERM'}")
    run.start_server()


def link_is(run: Run, actor: Actor, value: Any) -> None:
    """Do something to the actor's way to the server; it may be before the actor joins."""
    link = startup.link_of(run, actor)
    if actor.joined and not link.taken and not link.obstacle:  # else it would prove nothing
        deadline = time.monotonic() + run.seconds(startup.START_PATIENCE)
        run.reactor.until(lambda: link.taken > 0 or actor.ended is not None, deadline)
        if not link.taken:
            raise NotApplicableError(
                f"{actor.name} does not connect through its link; its role has to use"
                " ${server.port}"
            )
    shown = value if isinstance(value, str) else ", ".join(f"{k} {v}" for k, v in value.items())
    actor.note("does", f"its link is {shown}", verb="link is", data=value)
    link.become(value)


def disk_is(_run: Run, actor: Actor, value: Any) -> None:
    """Let a program and what it has started write no file any more, or again."""
    actor.note("does", f"its disk is {value}", verb="disk is", data=value)
    cast(Program, actor).fill_disk(full=value == "full")


def _signal(_run: Run, actor: Actor, name: str) -> None:
    cast("Shell | Pipe | Server", actor).send_signal(name)


DOES = {"types": types, "drafts": drafts, "pastes": pastes, "presses": presses, "sends": sends,
        "sends bytes": sends_bytes, "closes": closes}  # fmt: skip
