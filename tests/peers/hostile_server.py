"""A server that says whatever a test makes it say, to one client."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from typing import Any


class HostileServer:
    """Opens every session, answers pings, and lists the names and groups that it was given."""

    def __init__(self, names: list[str], groups: list[str], motd: str) -> None:
        self._names, self._groups, self._motd = names, groups, motd
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._conn: socket.socket | None = None
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def say(self, code: str, **fields: Any) -> None:
        """One object to the client, half characters and all."""
        assert self._conn
        self._conn.sendall(json.dumps({"code": code, **fields}).encode() + b"\n")

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            self._conn, _ = self._listener.accept()
            with self._conn.makefile("rb") as lines:
                for line in lines:
                    self._answer(json.loads(line))

    def _answer(self, asked: dict[str, Any]) -> None:
        if asked["code"] == "hello":
            self.say("welcome", v=1, name=asked["name"], motd=self._motd, epoch="e", seq=0)
        elif asked["code"] == "ping":
            self.say("pong", n=asked["n"])
        elif asked["code"] == "who":
            self.say("users", users=self._names, re=asked.get("id"))
        elif asked["code"] == "group":
            rows = [
                {"group": name, "owner": "eve", "members": ["eve"], "created": ""}
                for name in self._groups
            ]
            self.say("group_info", groups=rows, re=asked.get("id"))

    def close(self) -> None:
        for sock in (self._conn, self._listener):
            if sock:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
                sock.close()
        self._thread.join()
