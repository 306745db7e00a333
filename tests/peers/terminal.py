"""A person at a terminal: a program in a pty, judged by the screen that a terminal would show."""

from __future__ import annotations

import contextlib
import itertools
import os
import select
import termios
import time
import unicodedata
from collections.abc import Callable, Mapping, Sequence

import pexpect
import pyte
from ready import start
from wcwidth import wcwidth

PATIENCE = 30.0  # seconds, only for giving up


class _Screen(pyte.HistoryScreen):
    """Answers what a program asks its terminal, such as where the cursor is."""

    def __init__(self, columns: int, rows: int, answer: Callable[[bytes], None]) -> None:
        super().__init__(columns, rows, history=10_000)
        self._answer = answer

    def draw(self, data: str) -> None:
        """Joiners and selectors take no cell; at one of them, pyte would leave out all the rest."""
        super().draw("".join(one for one in data if wcwidth(one) or unicodedata.combining(one)))

    def write_process_input(self, data: str) -> None:
        self._answer(data.encode())

    def select_graphic_rendition(self, *attributes: int, private: bool = False) -> None:
        """Colours and the like; what editors ask of keyboards in this way is nothing to see."""
        if not private:
            super().select_graphic_rendition(*attributes)

    def resize(self, lines: int | None = None, columns: int | None = None) -> None:
        """As terminals do it: what is lost at the top has scrolled away, and the cursor with it."""
        lines = lines or self.lines
        over = max(self.cursor.y + 1 - lines, 0)
        row, self.cursor.y = self.cursor.y - over, self.lines - 1
        for _ in range(over):
            self.index()
        for below in range(lines, self.lines):
            self.buffer.pop(below, None)
        self.lines, self.cursor.y = min(lines, self.lines), row
        super().resize(lines, columns)
        self.ensure_hbounds()


class Spawned(pexpect.spawn):
    """Any program, started on a terminal of its own."""

    def __init__(self, argv: Sequence[str], **options) -> None:
        super().__init__(argv[0], list(argv[1:]), **options)
        self.delaybeforesend = None

    def hang_up(self) -> None:
        """Close it, by its file object: a bare descriptor would be closed once more later."""
        self.ptyproc.fileobj.close()

    def ending(self) -> int:
        """Its exit code when it has ended, or the signal as a negative number."""
        self.wait()
        return -self.signalstatus if self.exitstatus is None else self.exitstatus

    def end(self) -> None:
        self.close(force=True)


class Forked:
    """A program of ours on a terminal of its own, from a process that has read its modules."""

    def __init__(
        self, program: str, *words: str, dimensions: tuple[int, int], modules: Sequence[str],
        env: Mapping[str, str], cwd: str,
    ) -> None:  # fmt: skip
        self.child_fd, theirs = os.openpty()
        self._file = os.fdopen(self.child_fd, "rb", 0)
        self.setwinsize(*dimensions)
        self._start = start(
            program, *words, modules=modules, fds=[theirs] * 3, env=env, cwd=cwd, terminal=True
        )
        os.close(theirs)
        self.pid, self.kill, self.ending = self._start.pid, self._start.kill, self._start.wait

    def setwinsize(self, rows: int, columns: int) -> None:
        termios.tcsetwinsize(self.child_fd, (rows, columns))

    def hang_up(self) -> None:
        self._file.close()

    def end(self) -> None:
        self.hang_up()
        self._start.end()


class Terminal:
    """One program, its pty and its screen. Call `pump` often, or the program blocks."""

    def __init__(self, child: Spawned | Forked, *, size: tuple[int, int]) -> None:
        self.child = child
        self.raw = b""  # everything the program wrote
        self._scrolled: dict[range, list] = {}  # rows and their texts, by the columns of the screen
        self.ended = False
        self.screen = _Screen(size[1], size[0], self._send)
        self._stream = pyte.ByteStream(self.screen)

    @property
    def rows(self) -> list[str]:
        """Everything there is to see, what has scrolled away included."""
        return [row.rstrip() for row in self._full_rows]

    @property
    def flow(self) -> str:
        """All rows as one text, for what is longer than a row."""
        return "".join(self._full_rows)

    @property
    def _full_rows(self) -> list[str]:
        return [*self._above(), *self.screen.display]

    def _above(self) -> list[str]:
        """What has scrolled away: nothing changes there any more, so each row is put together once.

        But for another width, or where all of it was erased.
        """
        top, columns = self.screen.history.top, range(self.screen.columns)
        known = self._scrolled.get(columns, [])
        if len(known) > len(top) or (known and known[-1][0] is not top[len(known) - 1]):
            known = []
        for row in itertools.islice(top, len(known), None):
            known.append((row, "".join(row[x].data for x in columns)))
        self._scrolled = {columns: known}
        return [text for _, text in known]

    @property
    def row(self) -> str:
        """The row with the cursor."""
        return self.screen.display[self.screen.cursor.y].rstrip()

    def type(self, text: str) -> None:
        self._send(text.encode())

    def enter(self, line: str) -> None:
        self.type(line + "\r")

    def _send(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            os.write(self.child.child_fd, data)

    def resize(self, rows: int, columns: int) -> None:
        while not self.ended and select.select([self.child.child_fd], [], [], 0)[0]:
            self.take()  # what was written for the old size
        self.screen.resize(rows, columns)
        self.child.setwinsize(rows, columns)

    def take(self) -> None:
        """Read what the program wrote, once."""
        try:
            data = os.read(self.child.child_fd, 65_536)
        except OSError:  # how Linux says that nobody has the other end any more
            data = b""
        self.ended = self.ended or not data
        self.raw += data
        self._stream.feed(data)

    def hang_up(self) -> None:
        self.child.hang_up()

    def close(self) -> None:
        self.child.end()


class Stage:
    """All the terminals of one test, kept reading while any of them is waited for."""

    def __init__(self) -> None:
        self.terminals: list[Terminal] = []

    def pump(self, seconds: float) -> None:
        """Let the programs write, for at most so long."""
        by_fd = {one.child.child_fd: one for one in self.terminals if not one.ended}
        for fd in select.select(by_fd, [], [], seconds)[0]:
            by_fd[fd].take()

    def until(self, condition: Callable[[], bool], what: str = "it") -> None:
        """Wait for something to become true, and show every screen where it does not."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                screens = "\n---\n".join("\n".join(one.rows) for one in self.terminals)
                raise AssertionError(f"{what} did not happen; the screens:\n{screens}")
            self.pump(0.05)

    def sees(self, terminal: Terminal, row: str) -> None:
        """Wait until this is a whole row of the screen."""
        self.until(lambda: row in terminal.rows, f"the row {row!r}")

    def at(self, terminal: Terminal, row: str) -> None:
        """Wait until the cursor's row is this."""
        self.until(lambda: terminal.row == row, f"the cursor in the row {row!r}")

    def ends(self, terminal: Terminal) -> int:
        """Wait for the end of the program; its exit code, or the signal as a negative number."""
        self.until(lambda: terminal.ended, "the end of the program")
        return terminal.child.ending()

    def close(self) -> None:
        for terminal in self.terminals:
            terminal.close()
