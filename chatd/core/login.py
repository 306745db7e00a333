"""From `hello` to an open session: names, passwords, assigned names, and who may take over.

A name that has an open session is refused to a newcomer without proof (103), before any password is
asked for; whoever holds the session's token or the name's password takes the session over.
"""

from __future__ import annotations

import hashlib
from itertools import chain, count
from typing import TYPE_CHECKING

from msgspec import structs

from chatd.core import elsewhere
from chatd.core.effects import (
    Account,
    Alarm,
    Effect,
    Happened,
    Opened,
    Order,
    Probe,
    Send,
    Verify,
)
from chatd.core.flow import begin, confirm_earlier, receipts_since
from chatd.core.limits import Limits as OurLimits
from chatd.core.session import Gone, Session, State
from chatd.wire.errors import ErrorCode, PeerError
from chatd.wire.messages import VERSION, Bye, Hello, Limits, Message, Ping, Welcome
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
    if said.name is None:
        return _enter_unnamed(hub, session)
    key = check_name(said.name)
    account = hub.accounts.named(key)
    if key in hub.groups.by_key:
        raise PeerError(ErrorCode.BAD_NAME, why="it is the name of a group")
    if account and said.token and account.token == token_hash(said.token):
        session.authenticated = account.password is not None
        return open_session(hub, session, account, resumed=True)
    stale: list[Effect] = []
    if said.token:
        stale.append(hub.tell_error(session.conn, PeerError(ErrorCode.BAD_TOKEN)))
    return stale + _enter_named(hub, session, said, key)


def _enter_unnamed(hub: Hub, session: Session) -> list[Effect]:
    if hub.setup.closed and not hub.setup.guests:
        raise PeerError(ErrorCode.BAD_LOGIN)
    name = assigned_name(hub, session.address)
    key = fold(name)
    account = Account(hub.new_number(), name, key, key, assigned=True)
    hub.put_account(account)
    return open_session(hub, session, account)


def _enter_named(hub: Hub, session: Session, said: Hello, key: str) -> list[Effect]:
    account = hub.accounts.named(key)
    taken = account is not None and hub.has_session(account.number)
    if account and taken and said.password is None:
        return _already(hub, session, account)
    protected = account.password is not None if account else False
    if not protected and (not hub.setup.closed or hub.setup.guests):
        return _holder_or_open(hub, session, said, key)
    if said.password is None:
        raise PeerError(ErrorCode.PASSWORD_REQUIRED)
    began = hub.now.monotonic
    if wait := hub.tries.begin(session.address, key, began):
        raise PeerError.for_now(ErrorCode.TOO_MANY_TRIES, wait)

    def checked(good: bool) -> list[Effect]:
        if good:
            hub.tries.succeeded(session.address, key, began)
            return _checked(hub, session, account)
        told = elsewhere.tell_failed(hub, session.address, key) if hub.shared else []
        return told + _checked(hub, session, None)

    ticket = hub.ticket(checked)
    hub.block(session, ticket)
    return [Verify(ticket, said.password, account.password if account else None)]


def _holder_or_open(hub: Hub, session: Session, said: Hello, key: str) -> list[Effect]:
    """A name without a password belongs to whoever says it, while nobody else has it."""
    account = hub.accounts.named(key)
    if account is None:
        account = Account(hub.new_number(), str(said.name), key, key)
    elif hub.has_session(account.number):
        return _already(hub, session, account)
    return open_session(hub, session, account)


def _already(hub: Hub, session: Session, account: Account) -> list[Effect]:
    """103 to the newcomer; the holder stays, but has to show that it is alive."""
    seconds = hub.setup.limits.probe
    wrong = PeerError(ErrorCode.ALREADY_LOGGED_IN, name=account.name, retry_after=seconds)
    refused = hub.refuse(session, wrong)
    holder = hub.session_of(account.number)
    if holder is None:
        return refused + hub.submit(Order("probe", account.number), lambda _: [])
    return refused + probe(hub, holder)


def probe(hub: Hub, holder: Session) -> list[Effect]:
    """Somebody else wants this name: its holder has to show that it is alive."""
    if not holder.answered_probe:
        return []  # it is asked already, and its time runs
    seconds = hub.setup.limits.probe
    holder.answered_probe = holder.plain  # only TCP can ask a plain one
    return [
        *([] if holder.plain else [Send([holder.conn], Ping())]),
        Probe(holder.conn, seconds),
        Alarm(seconds, "probe", holder.conn),
    ]


def _checked(hub: Hub, session: Session, account: Account | None) -> list[Effect]:
    """The pool has answered: `account` is who has proved to be it."""
    if session.conn not in hub.sessions:
        return []  # it was closed by us meanwhile
    if any(isinstance(item, Gone) for item in session.inbox):
        return hub.drop(session, "lost")
    if wait := hub.tries.wait(session.address, hub.now.monotonic):
        # Asked at once over many connections, name by name, passwords are guessed no faster.
        return hub.refuse(session, PeerError.for_now(ErrorCode.TOO_MANY_TRIES, wait))
    if account is None:
        hub.tries.failed(session.address, hub.now.monotonic)
        hub.counts.failed_logins += 1
        return hub.refuse(session, PeerError(ErrorCode.BAD_LOGIN))
    session.authenticated = True
    return open_session(hub, session, hub.accounts.named(account.login) or account)


def open_session(
    hub: Hub, session: Session, account: Account, *, resumed: bool = False
) -> list[Effect]:
    """The person is in, or will be when no other node has this account in use."""
    said = session.hello or Hello()
    session.notices = not session.plain if said.notices is None else said.notices
    # Kept while it is resumed: a `welcome` that is lost on the way must not shut its owner out.
    token = said.token if resumed and said.token else _new_token(hub, session)
    account = structs.replace(account, token=token_hash(token) if token else None)

    def opened() -> list[Effect]:
        return _open(hub, session, account, token, resumed=resumed)

    if not hub.shared:
        return opened()
    return elsewhere.claim(hub, session, account, opened, resumed=resumed)


def _open(
    hub: Hub, session: Session, account: Account, token: str, *, resumed: bool
) -> list[Effect]:
    """Whoever held the name before has proved to be the same, and leaves."""
    holder = hub.session_of(account.number)
    known = holder is not None or hub.elsewhere.pop(account.number, None) is not None
    replaced = replace(hub, holder) if holder else []
    said = session.hello or Hello()
    session.state = State.READY
    session.account = account
    if session.bucket is not None:
        session.bucket = hub.buckets.of(account.number)
    kept = hub.put_account(account) if not hub.shared else hub.know(account)
    hub.online[account.key] = hub.by_account[account.number] = session
    if session.notices:
        hub.noticed.add(session)
    came = {"name": account.name, "address": session.origin, "client": said.client}
    alarm = [] if session.plain else [Alarm(hub.setup.limits.ping, "ping", session.conn)]
    start, gap = _start(hub, session, said)
    return [
        *replaced,
        *kept,  # behind what is kept of the holder, with its old token
        Opened(session.conn, session.plain),
        *_wrong_position(hub, session, said),
        Send([session.conn], _welcome(hub, session, token, resumed=resumed, gap=gap)),
        *alarm,
        Happened("connect", came),
        *([] if known else announce(hub, account, resumed=resumed)),
        *_come_back(hub, session, account, start),
    ]


def _new_token(hub: Hub, session: Session) -> str:
    """A plain session is told none; what was given out before is worth nothing from now on."""
    return "" if session.plain else hub.new_token()


def _start(hub: Hub, session: Session, said: Hello) -> tuple[int, bool]:
    """The number behind which this session goes on, and whether some of that is gone."""
    own = hub.positions.begin(session.number, hub.seq)
    start, gap = own, False
    if said.after is not None and not session.plain:
        session.resumable = True
        good = said.after.epoch == hub.setup.epoch and said.after.seq <= hub.seq
        start, gap = (said.after.seq, False) if good else (own, True)
    return start, gap or start < hub.purged


def _wrong_position(hub: Hub, session: Session, said: Hello) -> list[Effect]:
    """A place that the log never had is an error; another log's is a gap, and no one's fault."""
    if (
        session.plain
        or said.after is None
        or said.after.epoch != hub.setup.epoch
        or said.after.seq <= hub.seq
    ):
        return []
    wrong = PeerError(
        ErrorCode.BAD_FIELD, why=f"after.seq is beyond the log, which ends at {hub.seq}"
    )
    return [hub.tell_error(session.conn, wrong)]


def announce(hub: Hub, account: Account, *, resumed: bool) -> list[Effect]:
    """Tell the others who came; one who resumes in time was never gone for them."""
    departed = hub.departed.pop(account.number, None)
    hub.expected.pop(account.number, None)
    if resumed and departed is not None:
        return []
    lost = hub.notify("lost", departed[0]) if departed is not None else []
    return lost + hub.notify("joined", account.name)


def _come_back(hub: Hub, session: Session, account: Account, start: int) -> list[Effect]:
    """What waits for this person, and what became of what they said."""
    hub.waiting.pop(account.number, None)
    if session.plain:
        return begin(hub, session, start)
    told = receipts_since(hub, account, account.last_seen or 0)
    return [*confirm_earlier(hub, session, start), *begin(hub, session, start), *told]


def replace(hub: Hub, holder: Session) -> list[Effect]:
    """The same person has another session, and this one ends."""
    text = "You have logged in from somewhere else."
    return [Send([holder.conn], Bye("replaced", text)), *hub.drop(holder, "replaced")]


def token_hash(token: str) -> str:
    """What is kept of a token, so that nobody who reads the store can use it."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()


def announced(limits: OurLimits, *, metered: bool) -> Limits:
    """What a session is told of the bounds that it may meet."""
    return Limits(
        object=limits.object,
        content=limits.content,
        members=limits.members,
        queue=limits.queue,
        inbox=limits.inbox,
        garbage=limits.garbage,
        unfinished=limits.unfinished,
        reading=limits.reading,
        rate=limits.rate if metered else 0.0,
        burst=limits.burst,
        connections=limits.per_address if metered else 0,
    )


def _welcome(hub: Hub, session: Session, token: str, *, resumed: bool, gap: bool) -> Message:
    if session.plain:
        return Welcome()
    return Welcome(
        v=VERSION,
        name=session.name,
        token=token,
        epoch=hub.setup.epoch,
        seq=hub.seq,
        resumed=resumed,
        gap=gap,
        limits=announced(hub.setup.limits, metered=session.bucket is not None),
        time=timestamp(hub.now.wall),
        server=hub.setup.server,
        motd=hub.setup.motd,
    )


def assigned_name(hub: Hub, address: str) -> str:
    """The number this address had before, if it is free; else the smallest free one."""
    remembered = hub.guest_numbers.get(address)
    for number in chain([remembered] if remembered else [], count(1)):
        name = hub.setup.guest_name.format(n=number)
        if fold(name) not in hub.accounts and fold(name) not in hub.groups.by_key:
            break
    hub.guest_numbers[address] = number
    hub.guest_numbers.move_to_end(address)
    if len(hub.guest_numbers) > REMEMBERED_GUESTS:
        hub.guest_numbers.popitem(last=False)
    return name
