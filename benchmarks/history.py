"""A daemon with a million stored messages: its start, a page of history and a search, under load.

    python -m benchmarks.history [--messages 1000000]

Prints the time from the command to `listening`, and the median and worst answer to a page and to a
search while other sessions send, each beside the round trip of a `ping` at that time.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.machine import describe
from chatd.core.effects import (
    Account,
    Append,
    Entry,
    Group,
    Join,
    MoveCursors,
    PutAccount,
    PutGroup,
)
from chatd.store.sqlite import SqliteStore

PEOPLE = 200
TEAM = PEOPLE + 1
BATCH = 5000  # messages of one transaction while filling
ROUNDS = 200
WORDS = [f"word{number}" for number in range(20_000)]


class Wire:
    """An extended session for measuring: one request, one answer, everything else thrown away."""

    def __init__(self, port: int, name: str) -> None:
        self._sock = socket.create_connection(("127.0.0.1", port))
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self._sock.makefile("rb")
        self._newest = 0
        self.ask("welcome", code="hello", name=name, v=1)

    def ask(self, answer: str, **request: Any) -> dict[str, Any]:
        """Send, and read until a frame of that code comes."""
        self._sock.sendall(json.dumps(request).encode() + b"\n")
        while True:
            frame: dict[str, Any] = json.loads(self._file.readline())
            if frame["code"] == answer:
                return frame
            seq = frame.get("seq", 0)
            if frame["code"].startswith("incoming") and seq > self._newest:
                self._newest = seq
                self._sock.sendall(b'{"code":"received","upto":%d}\n' % seq)


def fill(folder: Path, messages: int) -> None:
    """People, a group, and messages between them: one in three to the group, one to everyone."""
    random.seed(1)
    store = SqliteStore(folder)
    for number in range(1, PEOPLE + 1):
        store.submit(0, PutAccount(Account(number, f"p{number}", f"p{number}", f"p{number}")))
    made = Entry("event", 1, "p1", TEAM, '{"kind":"created","group":"team"}', 0)
    joins = [Join(TEAM, number) for number in range(1, PEOPLE + 1)]
    store.submit(0, Append(made, (PutGroup(Group(TEAM, "team", "team", 1, 0)), *joins)))
    for number in range(messages):
        author, target = random.sample(range(1, PEOPLE + 1), 2)
        kind = ("direct", "group", "broadcast")[number % 3]
        to = {"direct": target, "group": TEAM, "broadcast": 0}[kind]
        text = " ".join(random.choices(WORDS, k=8))
        store.submit(0, Append(Entry(kind, author, f"p{author}", to, text, number, f"k{number}")))  # type: ignore[arg-type]
        if number % BATCH == BATCH - 1:
            store.completions()
    head = store.last_seq()
    store.submit(0, MoveCursors(dict.fromkeys(range(1, PEOPLE + 1), head), []))
    store.completions()
    store.close()


@contextmanager
def daemon(folder: Path) -> Iterator[tuple[int, float]]:
    """A running daemon: its port, and the seconds until it was ready."""
    begun = time.perf_counter()
    words = [sys.executable, "-m", "chatd", "0", "--host", "127.0.0.1", "--data", str(folder)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        ready = re.search(r"port (\d+)", process.stdout.readline())
        assert ready is not None
        took = time.perf_counter() - begun
        drain = threading.Thread(target=process.stdout.read, daemon=True)
        drain.start()
        try:
            yield int(ready[1]), took
        finally:
            process.terminate()
            drain.join()


def measure(ask: Callable[[], object]) -> list[float]:
    """Milliseconds of each of `ROUNDS` calls."""
    took = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        ask()
        took.append((time.perf_counter() - begun) * 1000)
    return took


def chat(port: int, name: str, over: threading.Event) -> None:
    """Send to the group and to one, each when the last was acknowledged, until it is over."""
    wire, number = Wire(port, name), 0
    while not over.is_set():
        number += 1
        key = f"{name}-{time.time_ns()}"
        if number % 2:
            wire.ask("ack", code="outgoing_group", group="team", content="hello team", id=key)
        else:
            wire.ask("ack", code="outgoing", to="p5", content="hello", id=key)


def main() -> int:
    """Fill, start, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--messages", type=int, default=1_000_000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        fill(Path(folder), args.messages)
        filling = time.perf_counter() - begun
        with daemon(Path(folder)) as (port, started):
            rows = under_load(port)
    print(describe())
    print(f"{args.messages} messages, stored at {args.messages / filling:,.0f} per second")
    print(f"start to `listening`        {started:8.2f} s")
    ping = statistics.median(rows["ping"])
    for name, took in rows.items():
        median, worst = statistics.median(took), max(took)
        print(f"{name:<27} {median:8.2f} ms   worst {worst:8.2f} ms   {median / ping:6.1f} x ping")
    return 0


def under_load(port: int) -> dict[str, list[float]]:
    """Each kind of question, asked while four others send."""
    over = threading.Event()
    talkers = [
        threading.Thread(target=chat, args=(port, f"p{number}", over)) for number in (1, 2, 3, 4)
    ]
    for one in talkers:
        one.start()
    asker = Wire(port, "p9")
    deep = random.Random(2)
    questions: dict[str, dict[str, Any]] = {
        "ping": {"code": "ping", "n": 1},
        "history of a person": {"with": "p7"},
        "history of the group": {"group": "team"},
        "history of everything": {"all": True},
        "search: a rare word": {"all": True, "q": "word77"},
        "search: two words": {"all": True, "q": "word1 word2"},
        "search: a word of mine": {"all": True, "q": "hello"},
    }
    try:
        rows = {}
        for name, fields in questions.items():
            if "code" in fields:
                rows[name] = measure(lambda f=fields: asker.ask("pong", **f))  # type: ignore[misc]
            else:
                rows[name] = measure(
                    lambda f=fields: asker.ask("items", code="history", id="h", **f)  # type: ignore[misc]
                )
        rows["a page in the middle"] = measure(
            lambda: asker.ask(
                "items", code="history", id="h", all=True, before=deep.randrange(1000, 900_000)
            )
        )
    finally:
        over.set()
        for one in talkers:
            one.join()
    return rows


if __name__ == "__main__":
    sys.exit(main())
