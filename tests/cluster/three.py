"""Three daemons behind one port: the server of a scenario where the product is a cluster.

    three.py URL MACHINES STREAMS PORT [OPTION...]

URL is that of NATS, MACHINES are three process ids whose networks the daemons live in (0: ours), in
STREAMS stands which folder uses which stream; PORT and the rest are chatd's.

Connections are accepted here and handed to the daemons in turn, as descriptors: each daemon talks
to its peer directly, by the socket that it would have accepted itself. The first daemon has the
terminal. Signals go to all of them, and the end of one by an error is the end of all.
"""

import contextlib
import hashlib
import json
import os
import selectors
import signal
import socket
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from machines import enter

from chatd import certificate, cli
from chatd.config import parse
from chatd.net.listen import listen
from chatd.net.loop import _tune
from harness.guardian import die_with_parent

LARGEST = 4096  # bytes of an address
PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Handed(socket.socket):
    """A listener whose connections are accepted by somebody else."""

    def __init__(self, end: socket.socket, address: tuple):
        super().__init__(fileno=end.detach())
        self._address = address

    def getsockname(self) -> tuple:
        return self._address

    def accept(self) -> tuple[socket.socket, tuple]:
        data, fds, *_ = socket.recv_fds(self, LARGEST, 1)
        if not fds:
            raise BlockingIOError
        return socket.socket(fileno=fds[0]), tuple(json.loads(data))


class Node:
    """One daemon, and the way of connections to it."""

    def __init__(self, serve: Callable[[Handed], int], address: tuple):
        self._end, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        parent = os.getpid()
        self.pid = os.fork()
        if not self.pid:
            die_with_parent(parent)
            self._end.close()  # or nobody would ever see the end of it
            sys.exit(serve(Handed(theirs, address)))
        theirs.close()

    def hand(self, sock: socket.socket, address: tuple) -> bool:
        """Whether it takes this connection."""
        try:
            socket.send_fds(self._end, [json.dumps(address).encode()], [sock.fileno()])
        except OSError:
            return False  # it accepts no more
        return True


class Three:
    """All of them; `run` comes back with an exit code."""

    def __init__(self, listeners: list[socket.socket], folder: Path):
        self._listeners = listeners
        self._nodes: list[Node] = []
        self._turns = 0
        self._expected = 0  # daemons that are not ready yet
        self._early: list[int] = []  # signals for them
        self._ready = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        ready = folder / "ready"  # names without a file are of one network alone, unix(7)
        ready.unlink(missing_ok=True)
        self._ready.bind(str(ready))
        os.environ["NOTIFY_SOCKET"] = str(ready)
        self._waiting = selectors.DefaultSelector()
        self._waiting.register(self._ready, selectors.EVENT_READ, self._is_ready)

    def start(self, serve: Callable[[int, Handed], int], number: int) -> None:
        """So many daemons, each a fork of this process."""
        address = self._listeners[0].getsockname()
        self._nodes += [Node(partial(serve, n), address) for n in range(number)]
        self._expected = number

    def run(self) -> int:
        """Until all have ended, or one by an error."""
        heard, says = socket.socketpair()
        for end in (heard, says):
            end.setblocking(False)
        signal.set_wakeup_fd(says.fileno())
        for number in (*PASSED_ON, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)
        self._waiting.register(heard, selectors.EVENT_READ, self._signalled)
        code = self._bury()  # whoever has ended before we could be told
        while self._nodes and not code:
            for key, _ in self._waiting.select():
                code = code or key.data(key.fileobj)
        for node in self._nodes:
            os.kill(node.pid, signal.SIGKILL)
        return code

    def _is_ready(self, ready: socket.socket) -> int:
        """Connections wait until all daemons are there, and so do signals."""
        self._expected -= ready.recv(LARGEST).startswith(b"READY=1")
        if not self._expected:
            self._waiting.unregister(ready)
            self._pass_on(self._early)
            for listener in self._listeners:
                listener.setblocking(False)
                self._waiting.register(listener, selectors.EVENT_READ, self._accept)
        return 0

    def _accept(self, listener: socket.socket) -> int:
        with contextlib.suppress(OSError):  # that one is gone again
            sock, address = listener.accept()
            with sock:
                any(self._next().hand(sock, address) for _ in self._nodes)
        return 0

    def _next(self) -> Node:
        self._turns += 1
        return self._nodes[self._turns % len(self._nodes)]

    def _signalled(self, heard: socket.socket) -> int:
        numbers = [number for number in heard.recv(LARGEST) if number in PASSED_ON]
        if self._expected:
            self._early += numbers
        else:
            self._pass_on(numbers)
        return self._bury()

    def _pass_on(self, numbers: list[int]) -> None:
        for number in numbers:
            for node in self._nodes:
                os.kill(node.pid, number)

    def _bury(self) -> int:
        """The exit code of a daemon that has failed, or 0."""
        for node in list(self._nodes):
            pid, status = os.waitpid(node.pid, os.WNOHANG)
            if pid:
                self._nodes.remove(node)
                if status:
                    return os.waitstatus_to_exitcode(status)
        return 0


def stream_of(folder: Path, streams: Path) -> str:
    """The log that belongs to a data folder; told to whoever deletes those of folders gone."""
    name = hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    (streams / name).write_text(str(folder), "utf-8")
    return name


def main(url: str, machines: str, streams: str, *words: str) -> int:
    config = parse(words)
    listeners = listen(config.host, config.port)
    for listener in listeners:
        _tune(listener)  # what is set for it holds for those it accepts
    folder = config.data_for(listeners[0].getsockname()[1]).absolute()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    certificate.read(config.tls, folder)
    own = str(folder / certificate.OWN)
    common = [*words, "--cluster", f"{url}/{stream_of(folder, Path(streams))}"]
    common += [] if config.tls else ["--tls", own, own]  # people know one certificate
    places = [int(pid) for pid in machines.split(",")]

    def serve(number: int, handed: Handed) -> int:
        enter(places[number])
        if number:
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        cli.listen = lambda *_: [handed]
        return cli.main([*common, "--data", str(folder / f"node{number}")])

    three = Three(listeners, folder)
    three.start(serve, len(places))
    return three.run()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
