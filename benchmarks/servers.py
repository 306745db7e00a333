"""The programs that are compared: how each is started, and the bytes of the protocol it speaks."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil

HOST = "127.0.0.1"
HERE = Path(__file__).parent
TEXT = "x" * 64
PATIENCE = 30.0  # seconds, only for giving up
AT_ONCE = 1000  # log-ins while sessions are opened
NEVER = 100_000_000  # for limits that are lifted


class Failure(Exception):  # noqa: N818 - a run has failed, not a program
    """A run that says nothing: something was lost, or somebody did not answer."""


class Dialect(NamedTuple):
    """What a session sends, as bytes, and by which bytes its answers are known.

    Names have five characters: an `r` (receivers) or an `s` (senders), and digits.
    """

    hello: Callable[[str], bytes]
    welcome: bytes  # the last of what answers `hello`
    say: bytes  # a message to everybody, or to the room
    tell: Callable[[str], bytes]  # a message to one
    join: bytes = b""  # for those who are in the room; ends with `ping`
    ping: bytes = b""  # where others tell of their coming
    pong: bytes = b""  # the answer, behind everything before it
    extended: Callable[[str], bytes] | None = None  # another `hello`, where there are two kinds


S3 = Dialect(
    hello=lambda name: b'{"code":"hello","name":"%s"}\n' % name.encode(),
    welcome=b'"welcome"',
    say=b'{"code":"outgoing_broadcast","content":"%s"}\n' % TEXT.encode(),
    tell=lambda name: (
        b'{"code":"outgoing","to":"%s","content":"%s"}\n' % (name.encode(), TEXT.encode())
    ),
    extended=lambda name: b'{"code":"hello","name":"%s","v":1}\n' % name.encode(),
)
IRC = Dialect(
    hello=lambda name: b"NICK %s\r\nUSER u 0 * :u\r\n" % name.encode(),
    welcome=b" 422 ",  # there is no message of the day
    say=b"PRIVMSG #room :%s\r\n" % TEXT.encode(),
    tell=lambda name: b"PRIVMSG %s :%s\r\n" % (name.encode(), TEXT.encode()),
    join=b"JOIN #room\r\nPING barrier\r\n",
    ping=b"PING barrier\r\n",
    pong=b"barrier\r\n",
)
# The relay carries as many bytes as a line of S3's has.
PADDED = f"{TEXT + '-' * 50}\n".encode()
BARE = Dialect(
    hello=lambda name: name.encode() + b"\n",
    welcome=b"welcome\n",
    say=b"* " + PADDED,
    tell=lambda name: name.encode() + b" " + PADDED,
)


class Program(NamedTuple):
    """One column of the table."""

    name: str
    label: str
    dialect: Dialect
    words: Callable[[Path, int], Sequence[str]]  # a folder of its own and a port to argv
    missing: Callable[[], str]  # why it cannot take part; empty where it can
    version: Callable[[], str]
    given: bool = False  # whether it takes a listening socket as systemd gives them


def _chatd(*options: str) -> Callable[[Path, int], Sequence[str]]:
    def words(folder: Path, port: int) -> Sequence[str]:
        data = str(folder / "data")
        return [sys.executable, "-m", "chatd", str(port), "--host", HOST, "--data", data, *options]

    return words


def _ngircd(folder: Path, port: int) -> Sequence[str]:
    user = pwd.getpwuid(os.getuid()).pw_name
    conf = folder / "ngircd.conf"
    conf.write_text(f"""
[Global]
Name = irc.bench.test
Listen = {HOST}
Ports = {port}
MotdFile = {folder}/none
ServerUID = {user}
ServerGID = {os.getgid()}
[Limits]
MaxConnections = 0
MaxConnectionsIP = 0
MaxJoins = 0
MaxNickLength = 30
MaxPenaltyTime = 0
PingTimeout = 3600
[Options]
DNS = no
Ident = no
PAM = no
""")
    conf.chmod(0o644)
    return ["ngircd", "-n", "-f", str(conf)]


def _inspircd(folder: Path, port: int) -> Sequence[str]:
    conf = folder / "inspircd.conf"
    conf.write_text(f"""
<server name="irc.bench.test" description="bench" network="bench" id="001">
<admin name="bench" nick="bench" email="bench@bench.test">
<bind address="{HOST}" port="{port}" type="clients">
<connect allow="*" timeout="60" threshold="{NEVER}" commandrate="{NEVER}" fakelag="no"
 pingfreq="1h" hardsendq="{NEVER}" softsendq="{NEVER}" recvq="{NEVER}" localmax="{NEVER}"
 globalmax="{NEVER}" limit="{NEVER}" maxconnwarn="no" resolvehostnames="no" useident="no">
<performance netbuffersize="65534" somaxconn="4096" softlimit="{NEVER}" nouserdns="yes">
<pid file="{folder}/pid">
<path datadir="{folder}" logdir="{folder}" runtimedir="{folder}">
""")
    root = ["--runasroot"] if os.getuid() == 0 else []
    return ["inspircd", "--nofork", "--nolog", *root, f"--config={conf}"]


def _relay(folder: Path, port: int) -> Sequence[str]:
    return [str(compiled("relay", folder.parent)), str(port)]


def compiled(name: str, folder: Path) -> Path:
    """The program of `NAME.c`, made once in that folder."""
    made = folder / name
    if not made.exists():
        subprocess.run(["cc", "-O2", "-o", made, HERE / f"{name}.c"], check=True)
    return made


def _found(program: str, package: str) -> Callable[[], str]:
    return lambda: "" if shutil.which(program, path=_path()) else f"{package} is not installed"


def _path() -> str:
    return os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"])


def _says(*words: str) -> Callable[[], str]:
    def version() -> str:
        done = subprocess.run(
            words, capture_output=True, text=True, check=False, env={"PATH": _path()}
        )
        found = re.search(r"\d+(\.\d+)+", done.stdout)
        return found[0] if found else "?"

    return version


_OURS = _says(sys.executable, "-m", "chatd", "--version")
PROGRAMS = {
    one.name: one
    for one in (
        Program("chatd", "chatd", S3, _chatd(), str, _OURS),
        Program("memory", "chatd, memory", S3, _chatd("--store", "memory"), str, _OURS),
        Program("ngircd", "ngircd", IRC, _ngircd, _found("ngircd", "ngircd"),
                _says("ngircd", "--version"), given=True),
        Program("inspircd", "InspIRCd", IRC, _inspircd, _found("inspircd", "inspircd"),
                _says("inspircd", "--version")),
        Program("relay", "C relay", BARE, _relay, str, lambda: "-"),
    )
}  # fmt: skip


class Server:
    """A program that runs: its port, and what it has used."""

    def __init__(self, program: Program, port: int, process: subprocess.Popen[bytes]) -> None:
        self.program = program
        self.dialect = program.dialect
        self.port = port
        self._pid = process.pid
        self._process = psutil.Process(process.pid)

    def cpu(self) -> float:
        """Seconds of processor time so far: of this process alone, all its threads."""
        try:
            threads = Path(f"/proc/{self._pid}/task").glob("*/schedstat")
            return sum(int(one.read_text().split()[0]) for one in threads) / 1e9
        except (OSError, ValueError, IndexError):  # a kernel without; then in steps of 10 ms
            used = self._process.cpu_times()
            return used.user + used.system

    def memory(self) -> float:
        """KiB that are resident."""
        return self._process.memory_info().rss / 1024

    def connect(self, hello: bytes) -> socket.socket:
        """A connection on which `hello` was said, and nothing is read yet."""
        sock = socket.create_connection((HOST, self.port), PATIENCE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(hello)
        return sock

    def open(self, hello: bytes) -> socket.socket:
        """A session that is open."""
        sock = self.connect(hello)
        read_until(sock, self.dialect.welcome)
        return sock

    def sessions(self, hellos: Sequence[bytes]) -> Iterator[socket.socket]:
        """Open sessions, some at a time: InspIRCd lets people in once a second."""
        for first in range(0, len(hellos), AT_ONCE):
            coming = [self.connect(hello) for hello in hellos[first : first + AT_ONCE]]
            for one in coming:
                read_until(one, self.dialect.welcome)
                yield one

    def ask_all(self, socks: Sequence[socket.socket], request: bytes) -> None:
        """A barrier: each says this, and has read everything up to the answer."""
        for first in range(0, len(socks), AT_ONCE):
            some = socks[first : first + AT_ONCE]
            for one in some:
                one.sendall(request)
            for one in some:
                read_until(one, self.dialect.pong)


def read_until(sock: socket.socket, wanted: bytes) -> None:
    """Throw away what comes, up to these bytes and the end of their line."""
    seen, tail = False, b""
    while not (seen and tail.endswith(b"\n")):
        try:
            data = sock.recv(65_536)
        except TimeoutError:
            raise Failure(f"no {wanted!r} came") from None
        if not data:
            raise Failure(f"the end came before {wanted!r}: {tail!r}")
        tail = tail[-len(wanted) :] + data
        seen = seen or wanted in tail


@contextmanager
def running(program: Program, folder: Path) -> Iterator[Server]:
    """Start a program, wait until it lets somebody in, and kill it in the end."""
    own = folder / f"{program.name}-{time.time_ns()}"
    own.mkdir()
    listener = socket.create_server((HOST, 0), backlog=4096)
    port, fd = listener.getsockname()[1], listener.fileno()
    words = program.words(own, port)
    if program.given:  # its own queue of ten collapses where 256 connect at once
        words = ["bash", "-c", f'LISTEN_PID=$$ LISTEN_FDS=1 exec "$@" 3<&{fd}', "-", *words]
    else:
        listener.close()
    process = subprocess.Popen(
        words,
        pass_fds=[fd] if program.given else [],
        env={**os.environ, "PATH": _path()},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # a Ctrl-C is for us, and we end it
    )
    listener.close()
    try:
        _wait(program, process, port)
        yield Server(program, port, process)
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(own)


def _wait(program: Program, process: subprocess.Popen[bytes], port: int) -> None:
    until = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < until:
        try:
            with socket.create_connection((HOST, port), PATIENCE) as sock:
                sock.sendall(program.dialect.hello("s0000"))
                read_until(sock, program.dialect.welcome)
                return
        except ConnectionRefusedError:
            time.sleep(0.001)
    raise Failure(f"{program.label} does not start (exit code {process.poll()})")
