"""What those do who run the server: by `admin` messages, or at its console."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from chatd.core.effects import Effect, Order, Send
from chatd.core.session import Session
from chatd.wire.errors import ErrorCode, PeerError
from chatd.wire.messages import Admin, Ok, Stats

if TYPE_CHECKING:
    from chatd.core.hub import Hub


def kick(hub: Hub, name: str, by: str) -> list[Effect]:
    """Remove somebody; raises `PeerError` (301)."""
    away = hub.find_elsewhere(name)
    if away is not None:
        return hub.submit(Order("kick", away, by), lambda _: [])
    return hub.kick(hub.find_online(name), by)


def announce(hub: Hub, text: str) -> list[Effect]:
    """Tell everybody who takes notices."""
    if not text.strip():
        raise PeerError(ErrorCode.EMPTY_MESSAGE)
    others = hub.submit(Order("announce", text=text), lambda _: []) if hub.shared else []
    return others + hub.notify("announce", "", text=text)


def _kick(hub: Hub, session: Session, asked: Admin) -> list[Effect]:
    if asked.name is None:
        raise PeerError(ErrorCode.MISSING_FIELD, field="name")
    done = kick(hub, asked.name, session.name)
    return ok(session, asked.id) + done  # in this order, as one may remove oneself


def _announce(hub: Hub, session: Session, asked: Admin) -> list[Effect]:
    if asked.text is None:
        raise PeerError(ErrorCode.MISSING_FIELD, field="text")
    return announce(hub, asked.text) + ok(session, asked.id)


def _stats(hub: Hub, session: Session, asked: Admin) -> list[Effect]:
    uptime = int(hub.now.monotonic - hub.started.monotonic)
    known = len(hub.accounts.everybody())
    figures = Stats(asked.id, len(hub.online) + len(hub.elsewhere), known, hub.seq, uptime)
    return [Send([session.conn], figures)]


def _shutdown(hub: Hub, session: Session, asked: Admin) -> list[Effect]:
    return ok(session, asked.id) + hub.shut_down(f"asked for by {session.name}", hub.now)


def ok(session: Session, re: str | None) -> list[Effect]:
    """Done, where somebody wants to know."""
    return [Send([session.conn], Ok(re))] if re is not None else []


OPERATIONS: dict[str, Callable[[Hub, Session, Admin], list[Effect]]] = {
    "kick": _kick,
    "announce": _announce,
    "stats": _stats,
    "shutdown": _shutdown,
}
