"""How the programs of a run are started, with all names filled in, and the server waited for."""

from __future__ import annotations

import os
import re
import shlex
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import ports
from harness.actors import Actor, Launch
from harness.checking import suggestion
from harness.errors import Place, Problem, ScenarioError, SetupError
from harness.links import Link
from harness.patterns import TextPattern, nearest
from harness.process import command_line, environment
from harness.scope import names_captured, names_used
from harness.values import size

if TYPE_CHECKING:
    from harness.language import Member, Scenario
    from harness.profile import Role
    from harness.run import Options, Run

START_PATIENCE = 20.0  # seconds for a program to start and be ready, at least
TAKEN_PATIENCE = 75.0  # seconds for a port to become free: closed connections keep it for 60
TRY_AGAIN = 1.0  # seconds
FIRST_WORDS = 10_000  # lines in which a server has to say that it is ready
IN_USE = re.compile(r"in use|EADDRINUSE|Errno 98\b", re.IGNORECASE)
PLACEHOLDERS = {"{port}": "${server.port}", "{host}": "${server.host}", "{name}": "${name}"}


def start_server(run: Run) -> None:
    """Start the server, or start it again on its port; wait until it is ready."""
    spec = run.profile.server
    known = run.scope.values.get("server", {})
    place = {"host": spec.host, "port": 0, "home": str(run.home), **known}
    run.scope.values["server"] = place
    if run.options.at:
        place["host"], place["port"] = run.options.at
        return
    give_up = time.monotonic() + run.seconds(TAKEN_PATIENCE)
    while not _is_started(run):
        if time.monotonic() >= give_up:
            raise SetupError(f"its port stays in use{_said(run)}")
        pause = time.monotonic() + TRY_AGAIN * (run.listens != "free")
        run.server_may_end = True  # it has ended, and will be started again
        run.reactor.until(lambda: False, pause)
        run.server_may_end = False


def _is_started(run: Run) -> bool:
    """Start the server and wait for it; false if another program has its port."""
    spec = run.profile.server
    place = run.scope.values["server"]
    _take_turn(run)
    _is_nobody_elses(run)
    passed = {name: os.environ[name] for name in spec.passes if name in os.environ}
    extra = {**passed, **spec.env, **run.scenario.server_env}
    args = [*spec.args, *run.scenario.server_args]
    start = len(run.server.items)
    run.server.start(_launch(run, _server_command(run), args, extra, "server"))
    deadline = time.monotonic() + run.seconds(spec.patience)
    run.server_may_end = True
    run.reactor.until(lambda: _is_ready(run, start) or run.server.ended is not None, deadline)
    run.server_may_end = False
    if run.server.ended is None and _is_ready(run, start):
        return True
    if run.server.ended is not None and _is_in_use(run, start):
        if run.listens == "free":  # somebody was faster: another one
            _give_back(run)
            place["port"] = 0
        return False
    raise SetupError(f"the server never became ready: {_why_not(run, start)}{_said(run)}")


def _server_command(run: Run) -> str:
    return given(run.options.server) or run.profile.server.run


def given(command: str | None) -> str:
    """A command of the command line: `{port}` is short for `${server.port}`, files are ours."""
    if command is None:
        return ""
    for short, name in PLACEHOLDERS.items():
        command = command.replace(short, name)
    return shlex.join(_absolute(word) for word in shlex.split(command))


def check_commands(options: Options, scenario: Scenario) -> None:
    """Whether the commands of the command line can be started; raises `ScenarioError`."""
    own = {*scenario.vars, *scenario.matrix}
    usual = ("server.port", "server.host", "server.home", "here")
    for option, command in (("--server", options.server), ("--client", options.client)):
        known = dict.fromkeys((*usual, *(("name",) if option == "--client" else ()), *own))
        try:
            text = given(command)
        except ValueError as error:
            raise _wrong_option(option, f"no command: {str(error).lower()}: {command}",
                                "close the quotation mark") from error  # fmt: skip
        for name in names_used(text):
            if name not in known and name.partition(".")[0] not in own:
                raise _wrong_option(option, f"${{{name}}} has no value here",
                                    suggestion(name, known))  # fmt: skip


def _wrong_option(option: str, text: str, help_: str) -> ScenarioError:
    return ScenarioError([Problem(Place(option), text, help_)])


def _absolute(word: str) -> str:
    """The program runs in a folder of its own; its files are named from where we were called."""
    is_file = ("/" in word or "." in word) and Path(word).exists()
    return str(Path(word).absolute()) if is_file else word


# Ports. How a server comes by its port is `listens`: its own fixed one, one that we have found
# (`free`), or its own that we shall see (`any`, and whenever a command has no place for a port).


def _how_it_listens(run: Run) -> int | str | None:
    how = run.profile.server.listens
    words = [_server_command(run), *map(str, (*run.profile.server.args, *run.scenario.server_args))]
    return "any" if how == "free" and not any("${server.port}" in word for word in words) else how


def _take_turn(run: Run) -> None:
    """A server with a port of its own is used by one run at a time, on the whole machine."""
    if run.held is not None:
        return
    run.listens = how = _how_it_listens(run)
    if how == "free":
        run.held = ports.hold_free_port()
        run.scope.values["server"]["port"] = run.held.port
        return
    if isinstance(how, int):
        run.scope.values["server"]["port"] = how
        name = f"port {how}"
    elif how == "any":
        name = f"command {os.getuid()} {_server_command(run)}"[:90]
    elif run.profile.server.exclusive:
        name = f"profile {os.getuid()} {run.profile.name}"[:90]
    else:
        return
    while run.held is None:
        run.held = ports.hold(name)
        if run.held is None:
            run.reactor.step(time.monotonic() + TRY_AGAIN)


def _give_back(run: Run) -> None:
    if run.held is not None:
        os.close(run.held.lock)
        run.held = None


def _is_nobody_elses(run: Run) -> None:
    """A fixed port at which somebody else answers is not the server's: we would test a stranger."""
    if isinstance(run.listens, int) and ports.is_served(run.listens):
        raise SetupError(
            f"port {run.listens} is in use by another program; end it, or give the server"
            " another port"
        )


def _is_in_use(run: Run, start: int) -> bool:
    port = run.scope.values["server"]["port"]
    said = any(IN_USE.search(item.text) for item in run.server.items[start:][-50:])
    return run.listens is not None and (said or bool(port and not ports.is_free(port)))


def _is_ready(run: Run, start: int) -> bool:
    spec = run.profile.server
    printed = spec.prints is None or _has_printed(run, start)
    says_where = "port" in dict(names_captured(spec.prints))  # then nobody has to look
    return printed and (says_where or run.listens is None or _listens(run))


def _has_printed(run: Run, start: int) -> bool:
    pattern = _ready_line(run)
    for item in run.server.items[start : start + FIRST_WORDS]:
        found = pattern.match(item, part=True)
        if found is not None:
            run.scope.values["server"].update({k: v for k, v in found.items() if k == "port"})
            return True
    return False


def _ready_line(run: Run) -> TextPattern:
    return TextPattern(run.profile.server.prints or "", run.scope.lookup)


def _never_printed(run: Run, start: int) -> str:
    """What was waited for, where the profile has it, and the line most like it."""
    spec = run.profile.server
    seconds, place = run.seconds(spec.patience), run.profile.places.get("ready")
    what = f"it runs, but waited {seconds:g} s for {spec.prints!r} ({place})"
    pattern = _ready_line(run)
    near = nearest(pattern, run.server.items[start : start + FIRST_WORDS])
    return what if near is None else "\n    ".join((what, *pattern.differences(near)))


def _listens(run: Run) -> bool:
    """Whether the server, or what it has started, takes connections at its port."""
    place = run.scope.values["server"]
    wanted = None if run.listens == "any" else place["port"]
    for host, port in ports.listening(run.server.process.pid):
        if wanted in (None, port):
            place["host"], place["port"] = host, port
            return True
    return False


def _why_not(run: Run, start: int) -> str:
    if run.server.ended is not None:
        return run.server.ended
    if run.profile.server.prints is not None and not _has_printed(run, start):
        return _never_printed(run, start)
    if run.listens is None:
        return "it runs, but never said so in time"
    others = sorted({port for _, port in ports.listening(run.server.process.pid)})
    if not others:
        return "it runs, but takes no connections"
    return (
        f"it runs, but takes no connections at port {run.scope.values['server']['port']}, only at"
        f" {', '.join(map(str, others))} (its command has to take the port, as {{port}};"
        " without {port} any will do)"
    )


def _said(run: Run) -> str:
    return "".join(f"\n    {item.text}" for item in run.server.items[-10:])


def _launch(run: Run, command: str, args: list[Any], extra: Mapping[str, Any], name: str) -> Launch:
    env = environment(run.home, run.mark, _texts(run.scope.fill(extra, name)))
    words = [str(run.scope.fill(word, name)) for word in shlex.split(command)]
    words += [str(run.scope.fill(arg, name)) for arg in args]
    return Launch(command=tuple(command_line(words, env)), env=env, cwd=run.home)


def link_of(run: Run, actor: Actor) -> Link:
    """The actor's link to the server; its `${server.port}` is the link's from then on."""
    if actor.link is None:

        def where() -> tuple[str, int]:
            server = run.scope.values["server"]
            return str(server["host"]), int(server["port"])

        seed = f"{run.options.seed}:{run.scenario.path}:{actor.name}"
        actor.link = Link(run.reactor, where, seed)
        place = {"server.port": actor.link.port, "server.host": actor.link.host}
        run.scope.captured.setdefault(actor.name, {}).update(place)
    return actor.link


def _suffers(run: Run, name: str, verb: str) -> bool:
    """Whether a clause with this verb is about an actor, somewhere in the scenario."""
    from harness.steps import Exchange  # which knows the verbs, which know how to start

    return any(
        clause.verb.name == verb and not {name, "everyone", "others"}.isdisjoint(clause.who)
        for step in (*run.scenario.steps, *run.scenario.cleanup)
        if isinstance(step, Exchange)
        for clause in step.clauses
    )


def actor_launch(run: Run, member: Member, role: Role) -> Launch:
    """Everything needed to start an actor, its names filled in."""
    if _suffers(run, member.name, "link is"):
        link_of(run, run.actors[member.name]).fresh()
    if role.kind == "wire":
        host, _, port = str(run.scope.fill(role.start, member.name)).rpartition(":")
        return Launch(
            address=(host.strip("[]"), int(port)), frames=role.frames, paced=role.paced,
            slow=_suffers(run, member.name, "stops reading"),
            abrupt=run.listens is not None and run.options.at is None,
        )  # fmt: skip
    args = role.args if member.args is None else member.args
    command = given(run.options.client) if role.kind == "shell" else ""
    if "${" in command:  # it says itself where its arguments stand
        args = []
    launch = _launch(run, command or role.start, args, {**role.env, **member.env}, member.name)
    stdin = role.stdin if member.stdin is None else member.stdin
    filled = None if stdin is None else tuple(map(str, run.scope.fill(stdin, member.name)))
    return Launch(
        command=launch.command, env=launch.env, cwd=launch.cwd, stdin=filled,
        size=size(run.scope.fill(member.size)) or role.size, view=role.view,
        echo=role.echo, prompt=_prompt(run, role.prompt, member.name), impatient=role.impatient,
    )  # fmt: skip


def _prompt(run: Run, prompt: Any, name: str) -> Any:
    if prompt is None:
        return None
    text = prompt["re"] if isinstance(prompt, Mapping) else re.escape(str(prompt))
    return re.compile(str(run.scope.fill(text, name)))


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    return {str(key): str(value) for key, value in values.items()}
