"""Shells for tests: `chatsh` on a terminal, with a home of its own."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from chatd.wire.messages import Ping

from .links import Peer
from .servers import Server
from .terminal import Forked, Spawned, Stage, Terminal

CHATSH = (sys.executable, "-m", "chatsh")
PROMPT = "enter your message>"  # with its trailing blank off, as screens are compared
DIRECT = "[direct] enter your message>"


class Shells(Stage):
    """Everybody in front of a terminal in one test, in one folder."""

    def __init__(self, home: Path) -> None:
        super().__init__()
        self.home = home
        self.peers: list[Peer] = []

    def env(self, **more: str) -> dict[str, str]:
        """What a person's programs inherit."""
        kept = {key: os.environ[key] for key in ("PATH", "PYTHONPATH") if key in os.environ}
        home = str(self.home)
        state = str(self.home / "state")
        plain = {
            "HOME": home,
            "XDG_CONFIG_HOME": str(self.home / "config"),
            "XDG_STATE_HOME": state,
            "TERM": "xterm-256color",
            "LC_ALL": "C.UTF-8",
        }
        return {**kept, **plain, **more}

    def start(self, *argv: str, size: tuple[int, int] = (24, 80), **env: str) -> Terminal:
        """Any program on a terminal of its own."""
        work = self.home / "work"
        work.mkdir(exist_ok=True)
        options = {"env": self.env(**env), "dimensions": size, "cwd": str(work)}
        if argv[: len(CHATSH)] == CHATSH:
            child = Forked("chatsh", *argv[len(CHATSH) :], modules=["chatsh.shell"], **options)
        else:
            child = Spawned(argv, **options)
        terminal = Terminal(child, size=size)
        self.terminals.append(terminal)
        return terminal

    def log_in(
        self, server: Server, name: str, *options: str, size: tuple[int, int] = (24, 80), **env: str
    ) -> Terminal:
        """A shell that stands at its prompt."""
        terminal = self.start_shell(server, name, *options, size=size, **env)
        self.at(terminal, PROMPT)
        return terminal

    def start_shell(
        self, server: Server, name: str, *options: str, size: tuple[int, int] = (24, 80), **env: str
    ) -> Terminal:
        """A shell that goes to its prompt."""
        argv = (*CHATSH, *options, "127.0.0.1", str(server.port), name)
        return self.start(*argv, size=size, **env)

    def peer(self, server: Server, name: str) -> Peer:
        """Somebody without a terminal."""
        peer = Peer(server, name)
        self.peers.append(peer)
        return peer

    def hears(self, peer: Peer, text: str) -> None:
        """Wait until this is the newest that somebody heard."""
        self.until(lambda: peer.heard[-1:] == [text], f"hearing {text!r}")

    def settles(self, peer: Peer) -> None:
        """Wait until everything on its way to and from somebody has come: behind it is a ping."""
        peer.send(Ping())
        self.until(lambda: peer.settled, "the answer to a ping")

    def close(self) -> None:
        for peer in self.peers:
            peer.close()
        super().close()
