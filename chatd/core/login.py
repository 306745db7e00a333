"""From `hello` to an open session: names, passwords, assigned names, and who may take over.

A name that has an open session is refused to a newcomer without proof (103), before any password is
asked for; whoever holds the session's token or the name's password takes the session over.
"""

from __future__ import annotations

from itertools import chain, count
from typing import TYPE_CHECKING

from chatd.core.effects import (
    Account,
    Alarm,
    Effect,
    Happened,
    Opened,
    Probe,
    Send,
    Verify,
)
from chatd.core.session import Gone, Session, State
from chatd.wire.errors import ErrorCode, PeerError
from chatd.wire.messages import VERSION, Bye, Error, Hello, Limits, Message, Welcome
from chatd.wire.names import check_name, fold
from chatd.wire.text import timestamp

if TYPE_CHECKING:
    from chatd.core.hub import Hub

REMEMBERED_GUESTS = 4096  # addresses whose assigned number is kept for their return


def hello(hub: Hub, session: Session, said: Hello) -> list[Effect]:
    """Decide whether this peer may have a session, and under which name."""
    session.hello, session.plain = said, said.v is None
    if said.v is not None and said.v < 1:
        raise PeerError(ErrorCode.BAD_VERSION, version=VERSION)
    _check_tries(hub, session)
    if said.name is None:
        return _enter_unnamed(hub, session)
    key = check_name(said.name)
    account = hub.accounts.get(key)
    known = hub.tokens.get(said.token) if said.token else None
    if known and account and known.account == account:
        session.authenticated = known.authenticated
        return open_session(hub, session, account, resumed=True)
    stale: list[Effect] = []
    if said.token:
        stale.append(Send([session.conn], Error.of(PeerError(ErrorCode.BAD_TOKEN))))
    return stale + _enter_named(hub, session, said, key)


def _check_tries(hub: Hub, session: Session) -> None:
    wait = hub.tries.wait(session.address, hub.now.monotonic)
    if wait:
        after = max(1, round(wait))
        raise PeerError(ErrorCode.TOO_MANY_TRIES, after=after, retry_after=after)


def _enter_unnamed(hub: Hub, session: Session) -> list[Effect]:
    if hub.setup.closed and not hub.setup.guests:
        raise PeerError(ErrorCode.BAD_LOGIN)
    name = assigned_name(hub, session.address)
    key = fold(name)
    account = Account(hub.new_number(), name, key, key, assigned=True)
    hub.put_account(account)
    return open_session(hub, session, account)


def _enter_named(hub: Hub, session: Session, said: Hello, key: str) -> list[Effect]:
    account = hub.accounts.get(key)
    holder = hub.online.get(account.key) if account else None
    if holder and said.password is None:
        return _already(hub, session, holder)
    protected = account.password is not None if account else False
    if not protected and (account or not hub.setup.closed or hub.setup.guests):
        return _holder_or_open(hub, session, said, key)
    if said.password is None:
        raise PeerError(ErrorCode.PASSWORD_REQUIRED)
    ticket = hub.ticket(lambda good: _checked(hub, session, account if good else None))
    hub.block(session, ticket)
    return [Verify(ticket, said.password, account.password if account else None)]


def _holder_or_open(hub: Hub, session: Session, said: Hello, key: str) -> list[Effect]:
    """A name without a password belongs to whoever says it, while nobody else has it."""
    account = hub.accounts.get(key)
    if account is None:
        account = Account(hub.new_number(), str(said.name), key, key)
    elif account.key in hub.online:
        return _already(hub, session, hub.online[account.key])
    return open_session(hub, session, account)


def _already(hub: Hub, session: Session, holder: Session) -> list[Effect]:
    """103 to the newcomer; the holder stays, but has to show that it is alive."""
    seconds = hub.setup.limits.probe
    wrong = PeerError(ErrorCode.ALREADY_LOGGED_IN, name=holder.name, retry_after=seconds)
    asked: list[Effect] = [Probe(holder.conn, seconds), Alarm(seconds, "probe", holder.conn)]
    return hub.refuse(session, wrong) + asked


def _checked(hub: Hub, session: Session, account: Account | None) -> list[Effect]:
    """The pool has answered: `account` is who has proved to be it."""
    if any(isinstance(item, Gone) for item in session.inbox):
        return hub.drop(session, "lost")
    if account is None:
        hub.tries.failed(session.address, hub.now.monotonic)
        return hub.refuse(session, PeerError(ErrorCode.BAD_LOGIN))
    session.authenticated = True
    return open_session(hub, session, hub.accounts.get(account.login, account))


def open_session(
    hub: Hub, session: Session, account: Account, *, resumed: bool = False
) -> list[Effect]:
    """The person is in; whoever held the name before has proved to be the same, and leaves."""
    holder = hub.online.get(account.key)
    replaced = _replace(hub, holder) if holder else []
    said = session.hello or Hello()
    session.state, session.account = State.READY, account
    session.notices = not session.plain if said.notices is None else said.notices
    session.token = hub.new_token()
    hub.tokens[session.token] = session
    kept = [] if account.assigned else hub.put_account(account)
    hub.online[account.key] = session
    came = {"name": account.name, "address": session.origin, "client": said.client}
    alarm = [] if session.plain else [Alarm(hub.setup.limits.ping, "ping", session.conn)]
    return [
        *kept,
        *replaced,
        Opened(session.conn, session.plain),
        Send([session.conn], _welcome(hub, session, resumed)),
        *alarm,
        Happened("connect", came),
        *([] if holder else hub.notify("joined", account.name)),
    ]


def _replace(hub: Hub, holder: Session) -> list[Effect]:
    text = "You have logged in from somewhere else."
    return [Send([holder.conn], Bye("replaced", text)), *hub.drop(holder, "replaced")]


def _welcome(hub: Hub, session: Session, resumed: bool) -> Message:
    if session.plain:
        return Welcome()
    return Welcome(
        v=VERSION,
        name=session.name,
        token=session.token,
        epoch=hub.setup.epoch,
        seq=hub.seq,
        resumed=resumed,
        limits=Limits(),
        time=timestamp(hub.now.wall),
        server=hub.setup.server,
        motd=hub.setup.motd,
    )


def assigned_name(hub: Hub, address: str) -> str:
    """The number this address had before, if it is free; else the smallest free one."""
    remembered = hub.guest_numbers.get(address)
    for number in chain([remembered] if remembered else [], count(1)):
        name = hub.setup.guest_name.format(n=number)
        if fold(name) not in hub.accounts:
            break
    hub.guest_numbers[address] = number
    hub.guest_numbers.move_to_end(address)
    if len(hub.guest_numbers) > REMEMBERED_GUESTS:
        hub.guest_numbers.popitem(last=False)
    return name
