"""The settings of one daemon, validated: from arguments to one frozen struct."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple
from urllib.parse import SplitResult, urlsplit

import msgspec
from msgspec import Struct
from platformdirs import user_state_path

from chatd import __version__
from chatd.core.limits import Limits
from chatd.net.loop import SELECTORS
from chatd.pages import check_network
from chatd.wire.errors import ConfigError, PeerError
from chatd.wire.names import check_name

DEFAULT_PORT = 8000
STREAM = re.compile(r"[A-Za-z0-9_-]{0,32}")  # what NATS takes, and is no part of a subject
UNITS = {"": 1, "k": 1000, "M": 1000**2, "G": 1000**3}
LogContent = Literal["full", "meta", "none"]
StoreKind = Literal["sqlite", "memory"]

EPILOG = """\
chatd passwd FILE NAME    adds NAME to a password file, or changes its password
chatd export FILE         writes everything stored as JSON lines, also while chatd runs
chatd import FILE         fills an empty data folder with what was exported; --new-epoch where the
                          log went on elsewhere since, so that clients are told of a gap;
                          --cluster NATS fills an empty stream
chatd backup FILE         copies the database, also while chatd runs
chatd upgrade             lets a new process take over from the one that runs; nobody is cut off
                          (these four take --data DIR, or --port N for the default folder)

Joining, from this machine: chatsh localhost PORT NAME
"""


class Config(Struct, frozen=True, kw_only=True):
    """What the operator wants."""

    host: str = ""  # "": all addresses
    port: int = DEFAULT_PORT  # 0: a free one
    passwords: Path | None = None
    store: StoreKind = "sqlite"
    cluster: tuple[str, ...] = ()  # servers of NATS that share the log; none: one daemon alone
    stream: str = "chatd"  # ... and its name there
    replicas: int = 0  # of that log; 0: three where there are so many servers
    data: Path | None = None  # None: the user's state folder, one per port
    log: Path | None = None  # None: server.log in the data folder
    log_content: LogContent = "full"
    guests: bool = False
    guest_name: str = "client{n}"
    operators: frozenset[str] = frozenset()
    keep_days: int = 0  # 0: for ever
    keep_bytes: int = 0  # 0: no bound
    grace: float = 30.0  # seconds for a lost session to resume before others are told
    selector: str = ""
    max_clients: int = 0
    limits: Path | None = None  # read at the start and at each reload
    tls: tuple[Path, Path] | None = None  # certificate and key; None: own ones in the data folder
    tls_only: bool = False
    metrics_from: tuple[str, ...] = ()  # networks that may ask for the pages, beside this machine

    def data_for(self, port: int) -> Path:
        """Where the log and the accounts of the daemon on this port are."""
        return self.data or user_state_path("chatd") / str(port)


def parse(argv: Sequence[str]) -> Config:
    """Arguments to settings. Raises `ConfigError`; `--help` and `--version` end the program."""
    args = _parser().parse_intermixed_args(argv)
    cluster, stream = _cluster(args.cluster)
    if cluster and args.store == "memory":
        raise ConfigError("--store memory keeps nothing, and --cluster keeps it at NATS: take one")
    return Config(
        host=args.host,
        port=_port(args.port),
        passwords=args.passwords,
        store=args.store,
        cluster=cluster,
        stream=stream,
        replicas=_replicas(args.replicas, cluster),
        data=args.data,
        log=args.log,
        log_content=args.log_content,
        guests=args.guests,
        guest_name=_guest_name(args.guest_name),
        operators=frozenset(_name(name, "--operator") for name in args.operator),
        keep_days=_at_least_0(args.keep_days, "--keep-days"),
        keep_bytes=_bytes(args.keep_bytes),
        grace=_at_least_0(args.grace, "--grace"),
        selector=_selector(args.selector),
        max_clients=_at_least_0(args.max_clients, "--max-clients"),
        limits=args.limits,
        tls=tuple(args.tls) if args.tls else None,
        tls_only=args.tls_only,
        metrics_from=tuple(check_network(one) for one in args.metrics_from),
    )


def read_limits(config: Config) -> Limits:
    """The limits of the options, and above them those of the file as it is now.

    Raises `ConfigError` for a file that cannot be read, or has anything else in it.
    """
    given: dict[str, object] = {"grace": config.grace, "max_clients": config.max_clients}
    try:
        return msgspec.convert({**given, **_read_toml(config.limits)}, Limits)
    except msgspec.ValidationError as wrong:
        raise ConfigError(f"{config.limits or 'the options'}: {wrong}") from None


def _read_toml(path: Path | None) -> dict[str, object]:
    if path is None:
        return {}
    import tomllib  # few starts need it

    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the limits {path}: {error.strerror}") from None
    except ValueError as wrong:  # of TOML, or of UTF-8
        raise ConfigError(f"{path} is no TOML file: {wrong}") from None


def parse_transfer(command: str, argv: Sequence[str]) -> tuple[str, Path]:
    """The file and the data folder of `chatd export` and `backup`."""
    args, folder = _parse_folder(_transfer_parser(command), argv)
    return args.file, folder


class Importing(NamedTuple):
    """What `chatd import` is asked for."""

    file: str
    folder: Path
    new_epoch: bool  # the log becomes another one, as in a cluster it always does
    config: Config


def parse_import(argv: Sequence[str]) -> Importing:
    """The arguments of `chatd import`. Raises `ConfigError`."""
    parser = _transfer_parser("import")
    parser.add_argument(
        "--new-epoch", action="store_true", help="the log went on elsewhere: tell of a gap"
    )
    _add_cluster(parser)
    args, folder = _parse_folder(parser, argv)
    cluster, stream = _cluster(args.cluster)
    replicas = _replicas(args.replicas, cluster)
    config = Config(cluster=cluster, stream=stream, replicas=replicas)
    return Importing(args.file, folder, args.new_epoch, config)


def _transfer_parser(command: str) -> _Parser:
    parser = _Parser(prog=f"chatd {command}")
    parser.add_argument("file", metavar="FILE", help="- for standard input or output")
    return parser


def parse_upgrade(argv: Sequence[str]) -> Path:
    """The data folder of `chatd upgrade`."""
    return _parse_folder(_Parser(prog="chatd upgrade"), argv)[1]


def _parse_folder(parser: _Parser, argv: Sequence[str]) -> tuple[argparse.Namespace, Path]:
    parser.add_argument("--data", type=Path, metavar="DIR", help="the daemon's data folder")
    parser.add_argument("--port", default=str(DEFAULT_PORT), help="whose default folder is meant")
    args = parser.parse_args(argv)
    return args, Config(data=args.data).data_for(_port(args.port))


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        """One line, like every other error of the operator's."""
        raise ConfigError(f"{message}; see chatd --help")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="chatd",
        description="A chat daemon: one command, one port, and a log that keeps what it took.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("port", nargs="?", default=str(DEFAULT_PORT), metavar="PORT",
        help=f"port to listen on (default {DEFAULT_PORT}; 0 picks a free one)")  # fmt: skip
    add("passwords", nargs="?", type=Path, metavar="PASSWORD_FILE",
        help="who may enter, a line each: `name password` or `name:password`")  # fmt: skip
    add("--host", default="", help="address to listen on (default: all, IPv4 and IPv6)")
    add("--data", type=Path, metavar="DIR", help="folder of the log and the accounts")
    add("--store", choices=StoreKind.__args__, default="sqlite",  # type: ignore[attr-defined]
        help="memory keeps nothing beyond this run: for measuring (default: sqlite)")  # fmt: skip
    _add_cluster(parser, " (or by CHATD_CLUSTER)")
    # With a password in it: arguments are seen by everybody on the machine.
    parser.set_defaults(cluster=os.environ.get("CHATD_CLUSTER", ""))
    add(
        "--log", type=Path, metavar="FILE", help="log file (default: server.log in the data folder)"
    )
    add("--log-content", choices=LogContent.__args__, default="full",  # type: ignore[attr-defined]
        help="what server.log and the terminal show of messages (default: full)")  # fmt: skip
    add("--guests", action="store_true", help="with a password file: let unknown names in too")
    add("--guest-name", default="client{n}", metavar="PATTERN",
        help="how those without a name are called (default: client{n})")  # fmt: skip
    add("--operator", action="append", default=[], metavar="NAME",
        help="may kick, announce and stop when logged in by password (repeatable)")  # fmt: skip
    add("--keep-days", default="0", metavar="N", help="forget older messages (default: never)")
    add("--keep-bytes", default="0", metavar="N",
        help="forget the oldest messages of a log above 500M, 2G (default: no bound)")  # fmt: skip
    add("--grace", default="30", metavar="SECONDS",
        help="for a lost shell to come back before others are told (default: 30)")  # fmt: skip
    add("--selector", default=os.environ.get("CHATD_SELECTOR", ""), metavar="NAME",
        help=f"how to wait for sockets: {', '.join(SELECTORS)} (or by CHATD_SELECTOR)")  # fmt: skip
    add("--max-clients", default="0", metavar="N", help="connections at once (default: no bound)")
    add("--limits", type=Path, metavar="FILE",
        help="TOML file of limits, read again at SIGHUP like the password file")  # fmt: skip
    add("--tls", nargs=2, type=Path, metavar=("CERT", "KEY"),
        help="PEM files, read again at SIGHUP (default: made at the first start)")  # fmt: skip
    add("--tls-only", action="store_true", help="refuse peers that do not speak TLS")
    add("--metrics-from", action="append", default=[], metavar="NETWORK",
        help="may read /healthz, /readyz, /metrics, as this machine may (repeatable)")  # fmt: skip
    add("--version", action="version", version=f"chatd {__version__}")
    return parser


def _add_cluster(parser: argparse.ArgumentParser, otherwise: str = "") -> None:
    add = parser.add_argument
    add("--cluster", default="", metavar="NATS",
        help="be one of several: nats://HOST:PORT[,nats://...][/STREAM] keeps the log"
        + otherwise)  # fmt: skip
    add("--replicas", default="", metavar="N",
        help="copies of that log (default: 3 where NATS has so many servers, else 1)")  # fmt: skip


def _port(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text) <= 65_535:
        return int(text)
    raise ConfigError(f'"{text}" is no port: give a number from 1 to 65535, or 0 for a free one')


def _at_least_0(text: str, option: str) -> int:
    if text.isascii() and text.isdigit() and len(text) < 10:
        return int(text)
    raise ConfigError(f'{option} takes a whole number, not "{text}"')


def _cluster(text: str) -> tuple[tuple[str, ...], str]:
    """The servers, and the name of the stream, which stands behind one of them."""
    servers, names = [], set()
    for part in filter(None, text.split(",")):
        server = urlsplit(part)
        servers.append(f"{server.scheme}://{server.netloc}")
        names.update([server.path[1:]] if server.path[1:] else [])
        if not _is_server(server) or len(names) > 1 or not STREAM.fullmatch(next(iter(names), "")):
            raise ConfigError(f'--cluster takes nats://HOST:PORT/STREAM, not "{_shown(part)}"')
    if text and not servers:
        raise ConfigError(f'--cluster takes nats://HOST:PORT/STREAM, not "{text}"')
    return tuple(servers), next(iter(names), "chatd")


def _shown(address: str) -> str:
    """As it was typed, but for the user and the password."""
    before, _, host = address.rpartition("@")
    scheme, found, _ = before.partition("://")
    return scheme + found + host if found else host


def _is_server(server: SplitResult) -> bool:
    try:
        good = server.port != 0
    except ValueError:
        good = False
    return good and bool(server.hostname) and server.scheme in ("nats", "tls")


def _replicas(text: str, cluster: tuple[str, ...]) -> int:
    if text and not cluster:
        raise ConfigError("--replicas is a number of copies at NATS: it goes with --cluster")
    if text in ("", "1", "3", "5"):
        return int(text or 0)
    raise ConfigError(f'--replicas takes 1, 3 or 5, not "{text}"')


def _selector(name: str) -> str:
    if name and name not in SELECTORS:
        raise ConfigError(f'"{name}" is no selector here; there are {", ".join(SELECTORS)}')
    return name


def _bytes(text: str) -> int:
    """A number of bytes, with k, M or G for thousands of them."""
    number, unit = (text[:-1], text[-1]) if text[-1:].isalpha() else (text, "")
    if unit not in UNITS or not number.isdigit() or not number.isascii():
        raise ConfigError(f'--keep-bytes takes a size like 500M, not "{text}"')
    return int(number) * UNITS[unit]


def _name(name: str, option: str) -> str:
    try:
        return check_name(name)
    except PeerError as wrong:
        raise ConfigError(f'{option} "{name}": {wrong}') from None


def _guest_name(pattern: str) -> str:
    try:
        different = pattern.format(n=1) != pattern.format(n=2)
    except (LookupError, ValueError, AttributeError):
        different = False
    if not different:
        raise ConfigError(f'--guest-name "{pattern}" needs {{n}} for the number, as in client{{n}}')
    for number in (1, 99_999):
        _name(pattern.format(n=number), "--guest-name")
    return pattern
