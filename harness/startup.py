"""How the programs of a run are started, with all names filled in, and the server waited for."""

from __future__ import annotations

import fcntl
import os
import re
import shlex
import socket
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.actors import Launch
from harness.errors import SetupError
from harness.language import Member
from harness.patterns import TextPattern
from harness.process import command_line, environment
from harness.profile import Role
from harness.values import size

if TYPE_CHECKING:
    from harness.run import Run

START_PATIENCE = 20.0  # seconds for a program to start and be ready, at least


def start_server(run: Run) -> None:
    """Start the server, or start it again on its port; wait until it is ready."""
    spec = run.profile.server
    known = run.scope.values.get("server", {})
    place = {"host": spec.host, "port": spec.listens or 0, "home": str(run.home), **known}
    run.scope.values["server"] = place
    if run.options.at:
        place["host"], place["port"] = run.options.at
        return
    _take_turn(run, spec.exclusive)
    passed = {name: os.environ[name] for name in spec.passes if name in os.environ}
    extra = {**passed, **spec.env, **run.scenario.server_env}
    args = [*spec.args, *run.scenario.server_args]
    run.server.start(_launch(run, run.options.server or spec.run, args, extra, "server"))
    _wait_for_server(run, time.monotonic() + max(run.patience, run.seconds(START_PATIENCE)))


def _take_turn(run: Run, exclusive: bool) -> None:
    """A server with a fixed port is used by one run at a time, on the whole machine."""
    if exclusive and run.turn is None:
        path = Path(tempfile.gettempdir()) / f"harness-{os.getuid()}-{run.profile.name}.lock"
        run.turn = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        fcntl.flock(run.turn, fcntl.LOCK_EX)


def _wait_for_server(run: Run, deadline: float) -> None:
    start = len(run.server.items)
    run.server_may_end = True
    run.reactor.until(lambda: _is_ready(run, start) or run.server.ended is not None, deadline)
    run.server_may_end = False
    if _is_ready(run, start):
        return
    why = run.server.ended or "it runs, but never said so in time"
    tail = "".join(f"\n    {item.text}" for item in run.server.items[-10:])
    raise SetupError(f"the server never became ready: {why}{tail}")


def _is_ready(run: Run, start: int) -> bool:
    spec = run.profile.server
    if spec.prints is None:
        return spec.listens is None or _listens(run)
    pattern = TextPattern(spec.prints, run.scope.lookup)
    for item in run.server.items[start:]:
        found = pattern.match(item, part=True)
        if found is not None:
            run.scope.values["server"].update({k: v for k, v in found.items() if k == "port"})
            return True
    return False


def _listens(run: Run) -> bool:
    with socket.socket() as probe:
        values = run.scope.values["server"]
        return probe.connect_ex((values["host"], int(values["port"]))) == 0


def _launch(run: Run, command: str, args: list[Any], extra: Mapping[str, Any], name: str) -> Launch:
    env = environment(run.home, run.mark, _texts(run.scope.fill(extra, name)))
    words = [str(run.scope.fill(word, name)) for word in shlex.split(command)]
    words += [str(run.scope.fill(arg, name)) for arg in args]
    return Launch(command=tuple(command_line(words, env)), env=env, cwd=run.home)


def actor_launch(run: Run, member: Member, role: Role) -> Launch:
    """Everything needed to start an actor, its names filled in."""
    if role.kind == "wire":
        host, _, port = str(run.scope.fill(role.start, member.name)).rpartition(":")
        return Launch(address=(host.strip("[]"), int(port)), frames=role.frames)
    args = role.args if member.args is None else member.args
    command = run.options.client if run.options.client and role.kind == "shell" else role.start
    launch = _launch(run, command, args, {**role.env, **member.env}, member.name)
    stdin = role.stdin if member.stdin is None else member.stdin
    filled = None if stdin is None else tuple(map(str, run.scope.fill(stdin, member.name)))
    return Launch(
        command=launch.command, env=launch.env, cwd=launch.cwd, stdin=filled,
        size=size(run.scope.fill(member.size)) or role.size, screen=role.screen,
        echo=role.echo, prompt=_prompt(run, role.prompt, member.name),
    )  # fmt: skip


def _prompt(run: Run, prompt: Any, name: str) -> Any:
    if prompt is None:
        return None
    text = prompt["re"] if isinstance(prompt, Mapping) else re.escape(str(prompt))
    return re.compile(str(run.scope.fill(text, name)))


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    return {str(key): str(value) for key, value in values.items()}
