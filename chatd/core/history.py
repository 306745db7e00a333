"""Pages of what was said, and the search in it: never more than the asker may see."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatd.core.effects import Effect, Failed, Find, Page, Send
from chatd.core.flow import message_of
from chatd.core.session import Session
from chatd.wire.errors import ErrorCode, PeerError
from chatd.wire.messages import History, Items

if TYPE_CHECKING:
    from chatd.core.hub import Hub

PAGE_BYTES = 1_048_576  # of text in one answer: `limit` long lines would be more


def history(hub: Hub, session: Session, asked: History) -> list[Effect]:
    """Answer one page, oldest first; without `after` the last one within the bounds."""
    wanted = Find(
        account=session.number,
        after=asked.after or 0,
        before=asked.before,
        latest=asked.after is None,
        limit=asked.limit,
        size=PAGE_BYTES,
        target=_target(hub, session, asked),
        author=hub.accounts.find(asked.author).number if asked.author is not None else None,
        words=asked.q,
    )

    def then(page: Page | Failed) -> list[Effect]:
        if isinstance(page, Failed):
            return hub.refuse(session, hub.refusal(page), asked.id)
        items = [message_of(hub, row, session.number) for row in page.rows]
        return [Send([session.conn], Items(asked.id, items, page.more))]

    return hub.submit(wanted, then)


def _target(hub: Hub, session: Session, asked: History) -> int | None:
    if asked.group is not None:
        return hub.groups.find_past(asked.group, session.number).kept.number
    if asked.peer is not None:
        return hub.accounts.find(asked.peer).number
    if asked.all:
        return None
    raise PeerError(ErrorCode.MISSING_FIELD, field="with")
