"""The command line of the daemon: arguments in, exit code out, parts handed over."""

from __future__ import annotations

import getpass
import os
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from chatd import certificate
from chatd.config import Config, Importing, parse, parse_import, parse_transfer, parse_upgrade
from chatd.daemon import Daemon, check_operators, filed_accounts, first_number, say_error
from chatd.log import ServerLog
from chatd.net.handover import Door
from chatd.net.listen import listen, raise_descriptor_limit
from chatd.passwords import set_password
from chatd.store.base import Store
from chatd.store.memory import MemoryStore
from chatd.store.sqlite import FILE, SqliteStore
from chatd.store.transfer import about, backup, export, give, import_
from chatd.upgrade import DOOR, Retired, Start, request, succeed
from chatd.wire.errors import ChatError, ConfigError, StoreError

if TYPE_CHECKING:
    from chatd.cluster.store import ClusterStore

REFUSED = 2  # the exit code for whatever keeps the daemon from starting
NOT_UPGRADED = 1  # ... for an upgrade that failed, or for which there is no daemon
INTERRUPTED = 130  # ... for Ctrl-C where there is nothing to finish, as shells give it


def main(argv: Sequence[str] | None = None) -> int:
    """Start the daemon, or do what the first word asks for."""
    words = list(sys.argv[1:] if argv is None else argv)
    command = COMMANDS.get(words[0]) if words else None
    try:
        return command(words[1:]) if command else serve(parse(words))
    except ChatError as error:
        say_error(error)
        return REFUSED
    except KeyboardInterrupt:
        return INTERRUPTED


def serve(config: Config) -> int:
    """Listen, or succeed another process, and serve until stopped, or succeeded in turn."""
    raise_descriptor_limit()
    start = succeed(config) or Start(_listen(config))
    while True:
        code, retired = _serve(config, start)
        if retired is None:
            return code
        go_on = retired.hand_over()
        if go_on is None:
            return 0
        start = go_on


def _serve(config: Config, start: Start) -> tuple[int, Retired | None]:
    """Open the store and run; the exit code, or what is to be handed over."""
    port: int = start.sockets[0].getsockname()[1]
    folder = config.data_for(port)
    with ExitStack() as ending:
        store = _open_store(config, folder, port)
        ending.callback(store.close)
        log = ServerLog(config.log or folder / "server.log")
        ending.callback(log.close)
        numbers = count(first_number(store, start.handed))
        accounts = filed_accounts(config, store.accounts(), lambda: next(numbers))
        check_operators(config, [*store.accounts(), *accounts])
        reading = partial(certificate.read, config.tls, folder)
        daemon = Daemon(
            config, store, log, passwords=accounts, certificate=reading, handed=start.handed
        )
        assert daemon.certificate is not None
        shown = daemon.certificate.fingerprint
        door = start.door or _build_door(config, folder)
        kept = "\n".join([store.about or f"data: {folder}", *_hints(config, store, folder)])
        said = greeting(config, port, kept, log.path, shown)
        code = daemon.run(start._replace(door=door), said)
        if door and not daemon.retired:
            door.close()
        return code, daemon.retired


def _hints(config: Config, store: Store, folder: Path) -> list[str]:
    """What may not be as the operator thinks it is."""
    warnings = [f"warning: {store.warning}"] if store.warning else []
    before = folder / FILE
    if not config.cluster or not before.is_file():
        return warnings
    hint = f"hint: the chat in {before} is not that of the cluster, and not touched; {TO_MOVE_IT}"
    return [*warnings, hint]


def _build_door(config: Config, folder: Path) -> Door | None:
    """Where an upgrade can be asked for; what is only in memory cannot be handed over.

    A node of a cluster is replaced by another one, which its people go to.
    """
    if config.store == "memory" or config.cluster:
        return None
    with suppress(OSError):  # a file system without sockets: the rest works
        return Door.build(folder / DOOR)
    return None


def _open_store(config: Config, folder: Path, port: int) -> Store:
    try:
        if config.cluster:
            return _open_cluster(config, folder, port)
        return MemoryStore() if config.store == "memory" else SqliteStore(folder)
    except StoreError as error:
        raise ConfigError(str(error)) from error


def _open_cluster(
    config: Config, folder: Path, port: int, *, filling: bool = False
) -> ClusterStore:
    """Few starts need this, and a library that is not everywhere."""
    try:
        from chatd.cluster.records import Settings
        from chatd.cluster.store import ClusterStore
    except ImportError as error:
        raise ConfigError(f"--cluster needs more ({error}): pip install 'chatd[cluster]'") from None
    closed = config.passwords is not None
    return ClusterStore(
        config.cluster,
        folder,
        name=config.stream,
        replicas=config.replicas,
        settings=Settings(closed, config.guests, config.guest_name),
        where=f"{socket.gethostname()}:{port}",
        filling=filling,
    )


def _listen(config: Config) -> list[socket.socket]:
    where = f"{config.host or 'all addresses'}, port {config.port}"
    try:
        return listen(config.host, config.port)
    except PermissionError:
        raise ConfigError(f"not allowed to listen on {where}; take a port above 1023") from None
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"cannot listen on {where}: {why}; choose another port or --host"
        ) from None


def greeting(config: Config, port: int, kept: str, log: Path, fingerprint: str) -> str:
    """What the operator sees when the daemon is ready: how to join, and where things are."""
    host = config.host or "all addresses"
    joining = f"{'--tls ' if config.tls_only else ''}{config.host or 'localhost'}"
    lines = [f"listening on {host}, port {port}", f"join from here: chatsh {joining} {port} NAME"]
    if not config.host:
        lines.append(f"join from elsewhere: chatsh {socket.gethostname()} {port} NAME")
    lines += [f"log: {log}", kept, f"certificate: {fingerprint}"]
    return "\n".join(lines)


def upgrade(words: Sequence[str]) -> int:
    """Let a new process take over; `chatd upgrade [--data DIR | --port N]`."""
    done = request(parse_upgrade(words))
    if done.failed:
        print(f"chatd: not upgraded: {done.failed}", file=sys.stderr)
        return NOT_UPGRADED
    print(f"upgraded from {done.old} to {done.new}")
    return 0


def passwd(words: Sequence[str]) -> int:
    """Add a user to a password file, or change its password; `chatd passwd FILE NAME`."""
    if len(words) != 2:
        raise ConfigError("usage: chatd passwd FILE NAME")
    path, name = Path(words[0]), words[1]
    known = set_password(path, name, _ask_password())
    print(f"{name}: password {'changed' if known else 'added'} in {path}")
    return 0


def _ask_password() -> str:
    """Twice without echo from a terminal, else the first line of the input."""
    try:
        password = _read_password()
    except (EOFError, UnicodeDecodeError):
        password = ""
    if not password:
        raise ConfigError("an empty password is none; nothing was changed")
    return password


def _read_password() -> str:
    if sys.stdin is None or not os.isatty(sys.stdin.fileno()):
        return sys.stdin.readline().rstrip("\n") if sys.stdin else ""
    password = getpass.getpass("password: ")
    if password != getpass.getpass("once more: "):
        raise ConfigError("the two passwords differ; nothing was changed")
    return password


def export_store(words: Sequence[str]) -> int:
    """Everything stored, as JSON lines; `chatd export FILE`."""
    file, folder = parse_transfer("export", words)
    _say_how_far(folder)
    if file == STANDARD:
        sys.stdout.writelines(line + "\n" for line in export(folder))
        return 0
    try:
        with open(file, "x", encoding="utf-8", opener=_private) as lines:
            _write_or_remove(lines, folder)
    except OSError as error:
        raise ConfigError(f"cannot write {file}: {error.strerror}") from None
    return 0


def import_store(words: Sequence[str]) -> int:
    """Fill an empty data folder, or an empty stream; `chatd import FILE`."""
    asked = parse_import(words)
    try:
        if asked.file == STANDARD:
            done = _import(asked, _lines(sys.stdin))
        else:
            with Path(asked.file).open(encoding="utf-8") as lines:
                done = _import(asked, _lines(lines))
    except OSError as error:
        raise ConfigError(f"cannot read {asked.file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{asked.file} is no export: it is not UTF-8 text") from None
    print(done)
    return 0


def _import(asked: Importing, lines: Iterator[str]) -> str:
    if asked.config.cluster:
        return _import_into_cluster(asked.config, lines)
    rows = import_(asked.folder, lines, new_epoch=asked.new_epoch)
    return f"{rows} rows imported into {asked.folder}"


def _import_into_cluster(config: Config, lines: Iterator[str]) -> str:
    """By way of a store of our own, which finds everything that is wrong before NATS has any."""
    import tempfile  # no daemon needs it for its start

    with tempfile.TemporaryDirectory(prefix="chatd-") as scratch:
        folder = Path(scratch) / "rows"
        rows = import_(folder, lines)
        with closing(_open_cluster(config, Path(scratch), 0, filling=True)) as store:
            try:
                give(folder, store, store.wait)
                store.finish()
            except StoreError as error:
                raise StoreError(f"{error}; {UNFINISHED}") from error
            return f"{rows} rows imported into stream {config.stream}"


def _lines(file: TextIO) -> Iterator[str]:
    """What is too long comes in pieces, which are no rows."""
    while line := file.readline(LONGEST):
        yield line


def backup_store(words: Sequence[str]) -> int:
    """A copy of the database; `chatd backup FILE`."""
    file, folder = parse_transfer("backup", words)
    if file == STANDARD:
        raise ConfigError("a backup is a database and needs a file of its own; see chatd export")
    _say_how_far(folder)
    backup(folder, Path(file))
    return 0


def _say_how_far(folder: Path) -> None:
    """A copy may lack the end: only a person knows whether that was the last of its nodes."""
    told = about(folder)
    if told:
        print(f"chatd: {told}", file=sys.stderr)


def _write_or_remove(lines: TextIO, folder: Path) -> None:
    """Half an export is none."""
    try:
        lines.writelines(line + "\n" for line in export(folder))
        lines.flush()
    except BaseException:
        Path(lines.name).unlink()
        raise


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


UNFINISHED = "the import is not finished, and no chatd takes the stream like that: run it again"
TO_MOVE_IT = (
    "to move it, put that file into a folder of its own, then: chatd export --data THERE FILE;"
    " chatd import --cluster nats://HOST:PORT/NEWNAME FILE"
)
STANDARD = "-"  # standard input or output in place of a file
LONGEST = 1 << 24  # characters of a line that is imported: a hundred times what any entry can have
COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "upgrade": upgrade,
    "passwd": passwd,
    "export": export_store,
    "import": import_store,
    "backup": backup_store,
}
