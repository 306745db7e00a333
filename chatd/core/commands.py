"""What each message does: one row per message of `FromClient`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from msgspec import structs

from chatd.core import admin
from chatd.core.admin import ok
from chatd.core.delivery import broadcast, direct, to_group
from chatd.core.effects import Account, Effect, Failed, Happened, Hash, Outrun, Send, Stored
from chatd.core.flow import read, received
from chatd.core.groups import group
from chatd.core.history import history
from chatd.core.login import hello
from chatd.core.session import Gone, Session
from chatd.wire.errors import ErrorCode, PeerError
from chatd.wire.messages import (
    Admin,
    AskSeen,
    Group,
    Hello,
    History,
    Message,
    Newname,
    Outgoing,
    OutgoingBroadcast,
    OutgoingGroup,
    Ping,
    Pong,
    Presence,
    Quit,
    Read,
    Received,
    Register,
    Seen,
    Set,
    Text,
    Users,
    Who,
)
from chatd.wire.names import check_name
from chatd.wire.text import timestamp

if TYPE_CHECKING:
    from chatd.core.elsewhere import Elsewhere
    from chatd.core.hub import Hub


def who(hub: Hub, session: Session, asked: Who) -> list[Effect]:
    """The connected names, to the asker alone."""
    there = present(hub)
    names = [one.name for one in there] + list(hub.expected.values())
    detail = [_presence(hub, one) for one in there] if asked.detail else None
    return [Send([session.conn], Users(names, asked.id, detail))]


def present(hub: Hub) -> list[Session | Elsewhere]:
    """Who has a session, on whatever node, in the order of the log-ins."""
    there: list[Session | Elsewhere] = [*hub.online.values(), *hub.elsewhere.values()]
    if hub.elsewhere:
        there.sort(key=lambda one: one.claim)
    return there


def _presence(hub: Hub, one: Session | Elsewhere) -> Presence:
    return Presence(one.name, timestamp(one.since), int(hub.now.monotonic - one.heard))


def seen(hub: Hub, session: Session, asked: AskSeen) -> list[Effect]:
    """Whether somebody is here, or when it was last."""
    account = hub.accounts.find(asked.name)
    if hub.is_here(account.number):
        return [Send([session.conn], Seen(account.name, True, asked.id))]
    when = timestamp(account.last_seen) if account.last_seen else None
    return [Send([session.conn], Seen(account.name, False, asked.id, when))]


def newname(hub: Hub, session: Session, asked: Newname) -> list[Effect]:
    """Another shown name. A protected account is still logged in to under its first name (C24)."""
    account = session.account
    assert account is not None
    key = check_name(asked.name)
    if asked.name == account.name:
        return ok(session, asked.id)
    holder = hub.accounts.named(key)
    taken = holder is not None and holder.number != account.number
    if taken or key in hub.groups.by_key:
        raise PeerError(ErrorCode.NAME_TAKEN, name=asked.name)
    login = account.login if account.password else key
    renamed = structs.replace(account, name=asked.name, key=key, login=login, assigned=False)
    change = {"name": account.name, "new": renamed.name, "address": session.origin}

    def told() -> list[Effect]:
        return [
            *ok(session, asked.id),
            Happened("renamed", change),
            *hub.notify("renamed", account.name, new=renamed.name),
        ]

    return _change_account(hub, session, renamed, asked, told)


def _change_account(
    hub: Hub,
    session: Session,
    changed: Account,
    asked: Newname | Register | Set,
    told: Callable[[], list[Effect]],
) -> list[Effect]:
    """Keep a changed account; `told` once it is durable, as before where it cannot be."""
    before = session.account
    assert before is not None
    session.account = changed
    hub.reseat()
    hub.changing += 1  # until then nobody may take the name it had

    def then(done: Stored | Failed | Outrun) -> list[Effect]:
        hub.changing -= 1
        if isinstance(done, Stored):
            return told()
        hub.accounts.know(before)
        session.account = before
        hub.reseat()
        if isinstance(done, Outrun):
            return hub.again(session, asked)
        return hub.refuse(session, hub.refusal(done), asked.id)

    return hub.put_account(changed, then)


def register(hub: Hub, session: Session, asked: Register) -> list[Effect]:
    """Protect the present name by a password; hashing takes its time elsewhere."""
    if session.account and session.account.filed:
        raise PeerError(ErrorCode.NOT_PERMITTED)
    ticket = hub.ticket(lambda hashed: _protect(hub, session, asked, hashed))
    hub.block(session, ticket)
    return [Hash(ticket, asked.password)]


def _protect(hub: Hub, session: Session, asked: Register, hashed: str) -> list[Effect]:
    if session.account is None or session.conn not in hub.sessions:
        return []
    session.authenticated = True
    protected = structs.replace(session.account, password=hashed, assigned=False)
    return _change_account(hub, session, protected, asked, lambda: ok(session, asked.id))


def set_(hub: Hub, session: Session, asked: Set) -> list[Effect]:
    """Own settings; what is not named stays as it is."""
    account = hub.of_session(session)
    wanted = account.receipts if asked.receipts is None else asked.receipts
    changed = structs.replace(account, receipts=wanted)
    return _change_account(hub, session, changed, asked, lambda: ok(session, asked.id))


def quit_(hub: Hub, session: Session, _: Quit) -> list[Effect]:
    """Leave, by one's own choice."""
    return hub.end(session, "quit", "quit", "Goodbye.")


def ping(hub: Hub, session: Session, asked: Ping) -> list[Effect]:
    """Answered behind everything that was decided before (the hub holds it back until then).

    Where a cluster cannot say so, one without a number is answered all the same: it asks for a sign
    of life alone.
    """
    if hub.unproved and asked.n is not None:
        return hub.refuse(session, hub.refusal(hub.unproved), str(asked.n))
    return [Send([session.conn], Pong(asked.n))]


def pong(hub: Hub, session: Session, _: Pong) -> list[Effect]:
    """A sign of life, noted when it was received."""
    return []


def operate(hub: Hub, session: Session, asked: Admin) -> list[Effect]:
    """What operators may do, once they have proved who they are."""
    account = session.account
    if not (account and session.authenticated and account.login in hub.setup.operators):
        raise PeerError(ErrorCode.NOT_PERMITTED)
    return admin.OPERATIONS[asked.op](hub, session, asked)


COMMANDS: dict[type[Message], Callable[[Hub, Session, Any], list[Effect]]] = {
    Hello: hello,
    Who: who,
    Outgoing: direct,
    Text: direct,
    OutgoingBroadcast: broadcast,
    OutgoingGroup: to_group,
    Received: received,
    Read: read,
    Set: set_,
    Group: group,
    History: history,
    AskSeen: seen,
    Newname: newname,
    Register: register,
    Admin: operate,
    Quit: quit_,
    Ping: ping,
    Pong: pong,
}

# These do not wait for what the store has still to answer: it answers in their order anyway.
APPENDING = frozenset({Outgoing, Text, OutgoingBroadcast, OutgoingGroup})
# The answers of the others prove that nothing more was on its way: not the receipts either.
UNFENCED = APPENDING | {Hello, Received, Read, Pong, Gone}
# ... nor from another node of a cluster: these wait until its log has been read so far.
FENCED = frozenset({Ping, Who, AskSeen, History, Group})
