"""What an event says as one line of plain text: for whoever has no terminal to style it for."""

from __future__ import annotations

from datetime import datetime

from chatd.wire.messages import (
    GroupEvent,
    Incoming,
    IncomingBroadcast,
    IncomingGroup,
    Item,
    Notice,
)
from chatd.wire.text import harmless
from chatsh.client import Event


def when(ts: str) -> str:
    """A moment of the server's in this machine's time; empty for what is none."""
    try:
        return datetime.fromisoformat(ts).astimezone().strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError):  # no time, or none that this machine's zone can tell
        return ""


_CHANGES = {
    "created": "{by} has made the group {group}: {names}.",
    "added": "{by} has added {names} to {group}.",
    "removed": "{by} has removed {names} from {group}.",
    "renamed": "{by} has renamed {group} to {to}.",
    "left": "{by} has left {group}.",
    "owner": "{to} is the owner of {group} now.",
    "deleted": "{by} has deleted the group {group}.",
}


def change(event: GroupEvent) -> str:
    """What has become of a group. Harmless part by part: what is cut off in one ends with it."""
    names = ", ".join(map(harmless, event.names))
    by, group, to = map(harmless, (event.by, event.group, event.to or ""))
    return _CHANGES[event.kind].format(by=by, group=group, names=names, to=to)


def line(event: Event) -> str | None:
    """The line that a shell shows for a message or a notice; None for anything else."""
    if isinstance(event, Notice):
        return harmless(event.text)
    if not isinstance(event, Item):
        return None
    text = change(event) if isinstance(event, GroupEvent) else _said(event)
    return f"[{when(event.ts or '')}] {text}" if event.late else text


def _said(message: Incoming | IncomingBroadcast | IncomingGroup) -> str:
    group = f"[{harmless(message.group)}] " if isinstance(message, IncomingGroup) else ""
    return f"{group}{harmless(message.sender)}: {harmless(message.content)}"
