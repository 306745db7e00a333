"""People who talk without a pause, and what must stand on a screen meanwhile."""

from __future__ import annotations

from chatd.wire.messages import OutgoingBroadcast

from .servers import Server
from .shells import PROMPT, Shells
from .terminal import Terminal


class Flood:
    """Lines to everybody, each sent when the one before is acknowledged: at once, or nearly."""

    def __init__(self, shells: Shells, server: Server, name: str) -> None:
        self._shells = shells
        self._peer = shells.peer(server, name)
        self.name = name
        self.lines: list[str] = []  # as rows of a screen

    @property
    def heard(self) -> list[str]:
        """What was said to this one, too."""
        return [text for text in self._peer.heard if not text.endswith(("joined.", "quitting."))]

    def say(self, lines: int) -> None:
        """So many more, while the screens are kept reading."""
        for _ in range(lines):
            self.burst(1)

    def burst(self, lines: int) -> None:
        """So many more, and none of them waits for another."""
        for number in range(len(self.lines), len(self.lines) + lines):
            self.lines.append(f"{self.name}: line {number}")
            self._peer.send(OutgoingBroadcast(f"line {number}"))
        self._shells.until(lambda: self._peer.settled, "an acknowledgement")

    def all_stand(self, terminal: Terminal) -> None:
        """Wait for the last of them; then each stands there once, in order."""
        self._shells.sees(terminal, self.lines[-1])
        shown = [row for row in terminal.rows if row.startswith(f"{self.name}: ")]
        assert shown == self.lines


def line_of(terminal: Terminal, prompt: str = PROMPT) -> str | None:
    """What stands behind the lowest prompt; None where there is no prompt, or none below all."""
    rows = terminal.screen.display
    at = max((at for at, row in enumerate(rows) if row.startswith(prompt)), default=None)
    if at is None:
        return None
    end = next((end for end in range(at, len(rows)) if not rows[end].strip()), len(rows))
    if any(row.strip() for row in rows[end:]):
        return None
    return "".join(rows[at:end]).removeprefix(prompt).strip()
