"""What other daemons of a cluster do: told in the order of the log, and the same here as there.

Whoever has a session on another node is here as far as anybody can tell: listed, written to, taken
over. What was said there is delivered here; what is decided in two places at once is decided anew
by whoever came second (`Outrun`), by what holds now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from msgspec import structs

from chatd.core import flow, login
from chatd.core.delivery import spread
from chatd.core.effects import (
    Account,
    Appended,
    Came,
    Effect,
    Enter,
    Entered,
    Entry,
    Expelled,
    Failed,
    Fellows,
    Forgot,
    Happened,
    Known,
    Leave,
    Moved,
    News,
    Now,
    Order,
    Ordered,
    Outrun,
    Send,
    Trouble,
    Went,
)
from chatd.core.rooms import apply
from chatd.core.session import Gone, Session, State
from chatd.wire.messages import Bye, Hello

if TYPE_CHECKING:
    from chatd.core.hub import Hub

MOVE_ON = Bye(
    "shutdown",
    "This server of several is going; another one has your place.",
    reconnect=True,
    after_s=3,  # here; the others have a place at once
)
IN_TROUBLE = "Messages cannot be kept at present; what you send is refused until they can."
OUT_OF_TROUBLE = "Messages are kept again."


@dataclass(slots=True)
class Elsewhere:
    """A session on another node."""

    name: str
    claim: int
    since: int  # milliseconds since 1970
    heard: float  # monotonic time of the last that we know of


def of(came: Came, now: Now) -> Elsewhere:
    """The session of somebody who came."""
    return Elsewhere(came.account.name, came.claim, came.since, now.monotonic)


# --- a session is claimed from all nodes ---------------------------------------------------------


def claim(
    hub: Hub,
    session: Session,
    account: Account,
    opened: Callable[[], list[Effect]],
    *,
    resumed: bool,
) -> list[Effect]:
    """Ask for the account; `opened` when it is ours alone."""

    def then(done: Entered | Outrun | Failed) -> list[Effect]:
        if isinstance(done, Entered):
            session.claim = done.claim
            return opened() if _waits(hub, session) else _too_late(hub, session, account)
        if account.assigned:
            hub.accounts.forget(account.number)
        if session.conn not in hub.sessions:
            return []
        session.state = State.GREETING
        if isinstance(done, Outrun):
            return hub.again(session, session.hello or Hello())
        return [
            hub.tell_error(session.conn, hub.refusal(done), fatal=True),
            *hub.drop(session, "refused"),
        ]

    if not _waits(hub, session):  # given up while it waited: it must take nobody's place
        if account.assigned:
            hub.accounts.forget(account.number)
        return hub.drop(session, "lost") if session.conn in hub.sessions else []
    proved = resumed or session.authenticated
    wanted = Enter(hub.as_kept(account), session.since, session.plain, resumed, proved)
    asked = hub.submit(wanted, then)
    hub.block(session, hub.newest)
    return asked


def _waits(hub: Hub, session: Session) -> bool:
    gone = any(isinstance(item, Gone) for item in session.inbox)
    return session.conn in hub.sessions and not gone


def _too_late(hub: Hub, session: Session, account: Account) -> list[Effect]:
    """It is ours, and nobody wants it any more."""
    given_back = give_back(hub, account, session.claim)
    return given_back + (hub.drop(session, "lost") if session.conn in hub.sessions else [])


def give_back(
    hub: Hub, account: Account, claim: int, notice: Any = None, *, lingers: bool = False
) -> list[Effect]:
    """Nobody has this account here any more."""
    left = Leave(hub.as_kept(account), claim, notice, lingers)
    return hub.submit(left, lambda _: [])


# --- what is told -------------------------------------------------------------------------------


def learn(hub: Hub, news: News) -> list[Effect]:
    """Make true here what has become true for all."""
    return NEWS[type(news)](hub, news)


def _appended(hub: Hub, news: Appended) -> list[Effect]:
    entry = news.row.entry
    hub.seq = max(hub.seq, news.row.seq)
    author = hub.elsewhere.get(entry.author)
    if author:
        author.heard = hub.now.monotonic
    before = _members(hub, entry)
    apply(hub.groups, news.changes)
    joined = hub.news()  # its author may be among those who have just come
    return [*joined, *spread(hub, news.row, _receivers(hub, entry, before))]


def _members(hub: Hub, entry: Entry) -> dict[int, None]:
    room = hub.groups.rooms.get(entry.target) if entry.kind in ("group", "event") else None
    return dict(room.members) if room else {}


def _receivers(hub: Hub, entry: Entry, before: dict[int, None]) -> Iterable[int] | None:
    """Whom an entry concerns; of a change also those who were members before it."""
    if entry.kind == "broadcast":
        return None
    if entry.kind == "direct":
        return [entry.target]
    return [one for one in before | _members(hub, entry) if one != entry.author]


def _known(hub: Hub, news: Known) -> list[Effect]:
    away, name = hub.elsewhere.get(news.account.number), news.account.name
    _know(hub, news.account)
    if away is None or away.name == name:
        return []
    before, away.name = away.name, name
    return hub.notify("renamed", before, new=name)


def _know(hub: Hub, account: Account) -> None:
    """The account as it is now; a password of our own password file stays with us."""
    ours = hub.accounts.named(account.login)
    if ours and ours.filed:
        account = structs.replace(account, password=ours.password, filed=True)
    if ours and ours.number != account.number:
        hub.accounts.forget(ours.number)
    hub.accounts.know(account)
    hub.positions.begin(account.number, account.received)
    session = hub.session_of(account.number)
    if session:
        session.account = account
        hub.reseat()


def _came(hub: Hub, news: Came) -> list[Effect]:
    number = news.account.number
    holder = hub.session_of(number)
    replaced = login.replace(hub, holder) if holder else []
    known = holder is not None or number in hub.elsewhere
    _know(hub, news.account)
    hub.elsewhere[number] = of(news, hub.now)
    hub.waiting.pop(number, None)
    if known:
        return replaced
    return replaced + login.announce(hub, news.account, resumed=news.resumed)


def _went(hub: Hub, news: Went) -> list[Effect]:
    number = news.account.number
    hub.elsewhere.pop(number, None)
    if hub.session_of(number):
        return []  # it is here by now
    _know(hub, news.account)
    return hub.part(news.account, news.notice, lingers=news.grace)


def _moved(hub: Hub, news: Moved) -> list[Effect]:
    effects: list[Effect] = []
    for number, seq in news.moves.received.items():
        hub.positions.learn_received(number, seq)
    for cursor in news.moves.conversations:
        merged = hub.positions.learn(cursor)
        room = hub.groups.rooms.get(cursor.conversation)
        for author in room.authors if room else (cursor.conversation,):
            effects += flow.tell(hub, author, merged)
    return effects


def _forgot(hub: Hub, news: Forgot) -> list[Effect]:
    hub.purged = max(hub.purged, news.upto)
    return []


def _fellows(hub: Hub, news: Fellows) -> list[Effect]:
    hub.fellows = news.number
    if not news.about:
        return []
    return [Happened("cluster", {"nodes": news.number + 1, "text": news.about})]


def _expelled(hub: Hub, news: Expelled) -> list[Effect]:
    """To the others we are no more, and whoever was here may be there by now."""
    hub.trouble = news.why  # until the store has a place among them again
    effects: list[Effect] = [Happened("cluster", {"reason": news.why})]
    for session in list(hub.online.values()):
        effects += [Send([session.conn], MOVE_ON), *hub.drop(session, "expelled")]
    return effects


def _in_trouble(hub: Hub, news: Trouble) -> list[Effect]:
    before, hub.trouble = hub.trouble, news.why
    if bool(before) == bool(news.why):
        return []
    text = IN_TROUBLE if news.why else OUT_OF_TROUBLE
    about = {"reason": news.why or "it works again"}
    return [Happened("cluster", about), *hub.notify("announce", "", text=text)]


# --- what is asked of whichever node can do it ---------------------------------------------------


def tell_failed(hub: Hub, address: str, name: str) -> list[Effect]:
    """Whoever guesses passwords has no more tries with several nodes than with one."""
    return hub.submit(Order("failed", text=f"{address} {name}"), lambda _: [])


def _ordered(hub: Hub, news: Ordered) -> list[Effect]:
    return ORDERS[news.order.kind](hub, news.order)


def _announce(hub: Hub, order: Order) -> list[Effect]:
    return hub.notify("announce", "", text=order.text)


def _kick(hub: Hub, order: Order) -> list[Effect]:
    session = hub.session_of(order.number)
    return hub.kick(session, order.text) if session else []


def _probe(hub: Hub, order: Order) -> list[Effect]:
    session = hub.session_of(order.number)
    return login.probe(hub, session) if session else []


def _failed(hub: Hub, order: Order) -> list[Effect]:
    address, _, name = order.text.partition(" ")
    hub.tries.failed_elsewhere(address, name, hub.now.monotonic)
    return []


ORDERS: dict[str, Callable[[Hub, Order], list[Effect]]] = {
    "announce": _announce,
    "kick": _kick,
    "probe": _probe,
    "failed": _failed,
}
NEWS: dict[type, Callable[[Hub, Any], list[Effect]]] = {
    Appended: _appended,
    Known: _known,
    Came: _came,
    Went: _went,
    Moved: _moved,
    Forgot: _forgot,
    Fellows: _fellows,
    Expelled: _expelled,
    Trouble: _in_trouble,
    Ordered: _ordered,
}
