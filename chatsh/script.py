"""What a script asks of `chatsh`: to send and tell what became of it, to wait for a line, or both.

Nothing here needs a thread: one question at a time is asked of the link, and a time that is up ends
whatever the main thread then does. A session of a script leaves what it was not asked for to the
next session of its account: `chatsh --to` does not eat the messages that wait for a person.
"""

from __future__ import annotations

import contextlib
import re
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import FrameType
from typing import Any, Literal, NamedTuple

from chatd.wire.messages import (
    MAX_ID,
    SERVER,
    Ack,
    Bye,
    Error,
    Group,
    GroupInfo,
    Incoming,
    Limits,
    Outgoing,
    OutgoingBroadcast,
    OutgoingGroup,
    Receipt,
    Who,
    encode,
)
from chatd.wire.names import MAX_NAME, same
from chatd.wire.text import harmless
from chatsh import wording
from chatsh.client import Answered, Event, Reply, Request
from chatsh.destination import UsageError
from chatsh.exits import ExitCode, code_of
from chatsh.fences import fenced
from chatsh.grammar import EVERYONE
from chatsh.lines import Lines
from chatsh.link import TIMEOUT, Link, LinkError, LoginRefusedError

MAX_TEXT = 4 * 1024 * 1024  # bytes of one text from standard input
# What an object holds beside its text, escaped as badly as can be.
_AROUND = 256 + 6 * (MAX_ID + 4 * MAX_NAME)
_AGAIN = 0.1  # seconds after which the alarm rings once more, if nobody heard it

Make = Callable[[str], Request]  # a message of a text


class Ended(Exception):  # noqa: N818  # some ends are as wished
    """The session is over; `code` says how to end, the text why."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(harmless(why))
        self.code = code


class Refused(Exception):  # noqa: N818  # an answer too
    """The server does not take the message, for this reason."""

    def __init__(self, text: str, error: int | None = None) -> None:
        super().__init__(f"{SERVER}: {harmless(text)}")
        self.text = text
        self.error = error


class TimeUp(Exception):  # noqa: N818  # not an error
    """It took longer than was allowed."""


@dataclass(frozen=True)
class Wanted:
    """What a script has asked for."""

    to: str | None = None
    text: str = ""
    code: bool = False
    pattern: re.Pattern[str] | None = None
    timeout: float | None = None  # seconds for the receipts, and for the line
    json: bool = False


@contextlib.contextmanager
def deadline(seconds: float | None) -> Iterator[None]:
    """Raises `TimeUp` after so long, also amid a system call or the search for a pattern.

    For the main thread. None is no deadline.
    """

    def ring(_: int, __: FrameType | None) -> None:
        raise TimeUp

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds or 0, _AGAIN)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class Session:
    """An open link that is asked and answers; what comes meanwhile is kept for `events`."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self._arriving = link.events()
        self.kept: deque[Event] = deque()  # has happened, and was not looked at

    def ask(self, request: Request) -> Reply | None:
        """The answer to a request; None where a server of S3 has none. Raises `Ended`."""
        key = self.link.send(request)
        while True:
            event = self._next()
            if isinstance(event, Answered) and event.id == key:
                return event.reply
            self.kept.append(event)

    def events(self) -> Iterator[Event]:
        """What has happened and what happens, for ever. Raises `Ended`."""
        while True:
            yield self.kept.popleft() if self.kept else self._next()

    def _next(self) -> Event:
        event = next(self._arriving, None)
        while event is None or isinstance(event, Bye):
            self._go_on(event)
            event = next(self._arriving, None)
        return event

    def _go_on(self, last: Bye | None) -> None:
        """Have the session elsewhere after the end of this connection. Raises `Ended`."""
        if self.link.goes_on:
            try:
                self.link.open()
            except (LinkError, LoginRefusedError) as error:
                raise Ended(ExitCode.LOST, str(error)) from error
            self._arriving = self.link.events()
        elif last:
            raise Ended(code_of(last), last.text)
        else:
            raise Ended(ExitCode.LOST, "the connection to the server was lost")


# --- a text to messages -------------------------------------------------------------------------


def messages(text: str, limits: Limits, *, code: bool) -> list[str]:
    """The text in as many messages as it needs, cut at line ends where that is possible.

    Raises `UsageError` for a text that no code block can hold.
    """
    around = len(fenced(text)) - len(text) if code else 0
    content, escaped = limits.content - around, limits.object - _AROUND - 2 * around
    if content < limits.content // 2:
        raise UsageError("the text has too many backticks in a row for a code block")
    parts = [part for part in _parts(text, content, escaped) if part.strip()]
    return list(map(fenced, parts)) if code else parts


def _parts(text: str, content: int, escaped: int) -> Iterator[str]:
    """Whole lines, as many as go into so many bytes, plain and as JSON escapes them."""
    part: list[str] = []
    size = written = 0
    for line in _short_lines(text, content, escaped):
        more, more_written = _sizes(line)
        if part and (size + more > content or written + more_written > escaped):
            yield "\n".join(part)
            part, size, written = [], 0, 0
        part.append(line)
        size, written = size + more + 1, written + more_written + 2  # with a line end
    yield "\n".join(part)


def _sizes(line: str) -> tuple[int, int]:
    return len(line.encode()), len(encode(line)) - 2


def _short_lines(text: str, content: int, escaped: int) -> Iterator[str]:
    """The lines; one that is longer than a message in pieces of whole characters."""
    most = min(content, escaped // 6)  # each byte may become \\u0000
    for line in text.split("\n"):
        size, written = _sizes(line)
        if size <= content and written <= escaped:
            yield line
            continue
        rest = line.encode()
        while rest:
            piece = rest[:most].decode(errors="ignore")
            rest = rest[len(piece.encode()) :]
            yield piece


# --- sending ------------------------------------------------------------------------------------


class Receiver(NamedTuple):
    """Whom a message is for, and whose receipts tell that it has arrived."""

    name: str
    make: Make
    readers: frozenset[str] = frozenset()  # folded names
    group: bool = False


class Sent(NamedTuple):
    """What became of a text; `seqs` are the places of its messages in the log."""

    receiver: Receiver
    seqs: tuple[int, ...] = ()
    absent: tuple[str, ...] = ()  # who will get it later
    state: Literal["sent", "stored", "delivered", "queued"] = "sent"

    @property
    def code(self) -> ExitCode:
        """How to end."""
        return ExitCode.QUEUED if self.state == "queued" else ExitCode.NORMAL

    def as_json(self) -> dict[str, Any]:
        """The object that tells it."""
        to = "group" if self.receiver.group else "to"
        told = {"state": self.state, to: self.receiver.name}
        return {"type": "sent", **told, "seqs": self.seqs, "absent": self.absent}


def send(session: Session, to: str, texts: Sequence[str], patience: float) -> Sent:
    """Send one after the other, each when the one before it is stored.

    Raises `Refused`, and `Ended` where no answer comes.
    """
    acks: list[Ack | None] = []
    try:
        with deadline(patience):
            receiver = _receiver(session, to)
            for text in texts:
                acks.append(_stored(session, receiver.make(text)))  # noqa: PERF401  # may be few
    except TimeUp as late:
        why = f"no answer within {patience:g} seconds; it may have been sent, or not"
        raise Ended(ExitCode.LOST, why) from late
    except Refused as refused:
        if not acks:
            raise
        done = f"{len(acks)} of {len(texts)} parts were sent"
        raise Refused(f"{refused.text} ({done})", refused.error) from refused
    stored = [ack for ack in acks if ack]
    if not stored:
        return Sent(receiver)
    return Sent(receiver, tuple(ack.seq for ack in stored), tuple(stored[-1].absent), "stored")


def _receiver(session: Session, to: str) -> Receiver:
    """People and groups share one name space: what is not a group of ours is a person."""
    if to == EVERYONE:
        return Receiver(to, OutgoingBroadcast)
    answer, me = session.ask(Group("list")), same(session.link.client.name or "")
    for row in answer.groups if isinstance(answer, GroupInfo) else ():
        if same(row.group) == same(to):
            members = frozenset(map(same, row.members)) - {me}
            return Receiver(row.group, partial(OutgoingGroup, row.group), members, group=True)
    return Receiver(to, partial(Outgoing, to), frozenset({same(to)}))


def _stored(session: Session, message: Request) -> Ack | None:
    """The acknowledgement; None where there is none in the protocol. Raises `Refused`."""
    if not session.link.client.extended:
        _take_for_sent(session, message)
        return None
    answer = session.ask(message)
    if isinstance(answer, Error):
        raise Refused(answer.text, answer.error)
    return answer if isinstance(answer, Ack) else None


def _take_for_sent(session: Session, message: Request) -> None:
    """A server of S3 says nothing, or a line of its own: between the two round trips then."""
    session.ask(Who())
    session.kept.clear()
    session.ask(message)
    session.ask(Who())
    for event in session.kept:
        if isinstance(event, Incoming) and event.sender == SERVER:
            raise Refused(event.content)


def follow(session: Session, sent: Sent, patience: float) -> Sent:
    """Wait for the receipts of everybody who is there; where nobody is, the message waits."""
    readers = sent.receiver.readers
    if sent.state != "stored" or not readers:
        return sent
    waiting = set(readers - set(map(same, sent.absent)))
    if not waiting:
        return sent._replace(state="queued")
    # What was stored is delivered also where we do not live to see it.
    with contextlib.suppress(TimeUp, Ended), deadline(patience):
        _hear_receipts(session, sent, waiting)
    return sent._replace(state="queued" if waiting else "delivered")


def _hear_receipts(session: Session, sent: Sent, waiting: set[str]) -> None:
    """Take off those who have received it, until nobody is left."""
    group = same(sent.receiver.name) if sent.receiver.group else None
    arriving = session.events()
    while waiting:
        event = next(arriving)
        if not isinstance(event, Receipt) or event.delivered < sent.seqs[-1]:
            continue
        if group == (None if event.group is None else same(event.group)):
            waiting.discard(same(event.by))


# --- waiting ------------------------------------------------------------------------------------


def wait_for(session: Session, pattern: re.Pattern[str], after: int = 0) -> tuple[str, Event]:
    """The first line that the pattern is found in, and its event. Raises `Ended`.

    What is searched is taken over, so that the next to wait goes on behind the line found. Items
    up to `after` are no answer, and are left to the next session, with what comes behind them.
    """
    left = False
    for event in session.events():
        line, seq = wording.line(event), getattr(event, "seq", None)
        if seq is not None and seq <= after:
            left = True
            continue
        found = line is not None and pattern.search(line)
        if seq is not None and not left:
            session.link.received(seq)
        if line is not None and found:
            return line, event
    raise AssertionError("events end with an exception")


# --- the whole ----------------------------------------------------------------------------------


def run(link: Link, wanted: Wanted) -> int:
    """Do on an open link what is wanted; the exit code."""
    session = Session(link)
    try:
        sent = _send(session, wanted) if wanted.to else None
        if wanted.pattern is None:
            assert sent
            return sent.code
        return _wait(session, wanted, wanted.pattern, sent)
    except Refused as refused:
        _tell(wanted, {"type": "error", "error": refused.error, "text": refused.text})
        print(refused, file=sys.stderr)
        return ExitCode.NOT_SENT
    except Ended as ended:
        print(f"chatsh: {ended}", file=sys.stderr)
        return ended.code


def _send(session: Session, wanted: Wanted) -> Sent:
    assert wanted.to
    patience = TIMEOUT if wanted.timeout is None else wanted.timeout
    texts = messages(wanted.text, session.link.client.limits, code=wanted.code)
    sent = send(session, wanted.to, texts, patience)
    if wanted.pattern is None:  # else the line that is waited for tells more
        sent = follow(session, sent, patience)
    _tell(wanted, sent.as_json())
    return sent


def _wait(
    session: Session, wanted: Wanted, pattern: re.Pattern[str], sent: Sent | None
) -> ExitCode:
    after = sent.seqs[-1] if sent and sent.seqs else 0
    try:
        with deadline(wanted.timeout):
            line, event = wait_for(session, pattern, after)
    except TimeUp:
        print(f"chatsh: no such line within {wanted.timeout:g} seconds", file=sys.stderr)
        return ExitCode.NOT_SEEN
    if wanted.json:
        from chatsh import objects

        _tell(wanted, objects.of(event, session.link.client.name) or {})
    else:
        print(line, flush=True)
    return ExitCode.NORMAL


def _tell(wanted: Wanted, told: Mapping[str, Any]) -> None:
    if wanted.json:
        from chatsh import objects  # which takes time that most scripts need not spend

        print(objects.encode(told), flush=True)


def text_to_send(words: Sequence[str]) -> str:
    """The text of the command line, else that of standard input. Raises `UsageError`."""
    text = " ".join(words) if words else _read_all()
    if not text.strip():
        raise UsageError("there is no text to send")
    return text


def _read_all() -> str:
    lines = Lines(sys.stdin.fileno())
    lines.wake_on_signals()
    data = lines.everything(MAX_TEXT)
    if len(data) > MAX_TEXT:
        raise UsageError(f"a text to send has at most {MAX_TEXT} bytes; this one has more")
    return data.decode(errors="replace").rstrip("\r\n")
